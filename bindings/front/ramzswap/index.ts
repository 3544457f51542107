/// <reference lib="esnext.disposable" preserve="true" />
/** Ramzswap: a block device whose pages lie compressed in a RAM. */
import {
  ANSWERS_END, COMPRESS, DECOMPRESS, ENOENT, ENOMEM, ENTRY, FILL, FIRST_FOREIGN, FRAMES_MAX, HUGE, IDLE, INCOMPRESSIBLE, IN_STORE,
  KIND_MASK, OUT_GENERATION, OUT_KEY_LOW, OUT_PAGE_BYTES, OUT_PAGE_STATE, OUT_SLOT, OVER_LIMIT, POOR, PRIORITY_MASK, PRIORITY_SHIFT,
  RAMZ_BYTES, RAMZ_FRAMES, RAMZ_GOOD, RAMZ_HUGE, RAMZ_HUGE_EVER, RAMZ_OBJECTS, RAMZ_PEAK, RAMZ_SAME, RAMZ_SLOTS, RAMZ_WRITTEN, REPLACED,
  TIME_END, WRITTEN,
} from '../../../assembly/abi.ts';
import { SLOT_BYTES, type BackingStore } from '../../backing/types.ts';
import { moduleFor } from '../../builds.ts';
import { copyIn, copyOf, copyOut, lengthOf, requireBytes, requireUnshrunk, viewOf } from '../../bytes.ts';
import type { CoreCodecName } from '../../codec/core.ts';
import { requirePage, type ForeignCodec } from '../../codec/foreign.ts';
import { ASYNC_DISPOSE, DISPOSE } from '../../dispose.ts';
import { CompcacheError, ERRNO_MIN, MAKER, codeOf, requireMaker, requireU32, show, takeOptions } from '../../errors.ts';
import { isPromise } from '../../promises.ts';
import { Ram, rams, type FrontEnd } from '../../ram.ts';
import { parseBytes } from '../../sizes.ts';
import type { AllocatorName, Codec } from '../../types.ts';
import { PAGE_SIZE, type Core, type CoreExports } from '../../wasm.ts';
import { DEFAULT_ALLOCATOR, optionWords, rowOf } from '../../allocators.ts';
import { zpools, type Zpool } from '../../zpool.ts';
import { codecNow, requireRange, requireTakenStore, requireWord, resolveCodec } from '../common/options.ts';
import { isObject, takeSelection, wantedBy, type Found, type WritebackSelection } from './selection.ts';
import { SETTINGS, codecName, pagesOf, takeRamzswapOptions, takeSettings, type RamzswapOptions, type RamzswapSettings, type Settings } from './settings.ts';
import type { BdStat, BlockState, IoStat, MmStat, RamzswapStats } from './stats.ts';
import { decompressed, leaveStore, noFrame, notedPlace, takeStore } from '../common/shared.ts';
import { SlotFrees } from '../common/slot-frees.ts';
import { StoreIo, bytesRead, type Outcome } from '../common/store-io.ts';

export type { WritebackSelection } from './selection.ts';
export type { RamzswapOptions, RamzswapSettings } from './settings.ts';
export type { BdStat, BlockState, IoStat, MmStat, RamzswapStats } from './stats.ts';

/** An answer of ours, beside those of the core. */
const CODEC_FAILED = ANSWERS_END;

const SECTOR = 512;
const MIN_RAM = 64 * 2 ** 20;
const MAX_RAM = FRAMES_MAX * PAGE_SIZE;
const BUCKET = 64;

/** In place of a block that would be longer than is worth keeping. */
const NO_BLOCK = new Uint8Array(0);

export interface RecompressOptions {
  /** Default: any page. */
  type?: 'idle' | 'huge' | 'huge_idle';
  /** Only if the result has fewer bytes than that. Default: any. */
  threshold?: number;
  /** The most pages that are tried. */
  maxPages?: number;
  /** Only the codec of that priority, 1 … 3. Default: each above the page's own, until one makes it smaller. */
  priority?: number;
}

/** What there is while the device is initialised. */
interface Device {
  settings: Settings;
  ram: Ram;
  core: Core;
  front: CoreExports;
  address: number;
  pool: Zpool;
  end: FrontEnd;
  pages: number;
  io: StoreIo | undefined;
  frees: SlotFrees | undefined;
  /** Lets the store go, once no call of it is under way. */
  leave: () => void;
  start: number;
  blockAddress: number;
}

/** What a device is made of. All of it was taken before: making it runs nothing of the caller's. */
interface Plan {
  settings: Settings;
  pages: number;
  slots: number;
  start: number;
  io: StoreIo | undefined;
  /** What happens when a call of the store has ended or hangs. */
  events: { changed: () => void };
}

/** A page that the pool has not taken. */
interface Refused {
  index: number;
  /** Memory of ours. */
  page: Uint8Array;
  /** Second of the access. */
  now: number;
  /** It does not compress. */
  isPoor: boolean;
}

/** A write to the store that is under way, for a page that may have changed when it ends. */
interface Job {
  index: number;
  slot: number;
  generation: number;
  bytes: Uint8Array;
}

/** A write that waits for its turn, or for the store. */
interface Turn {
  /** When it has ended, or was taken out. */
  over: Promise<void>;
  end: () => void;
}

// The symbols' names are computed (dispose.ts), so TypeScript must be told of the methods.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface Ramzswap {
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A block device in compressed memory. A page of it is nothing yet (and reads as zeros), same-filled, compressed, kept as it is,
 * or in a backing store.
 *
 * Life: create makes one that is initialised if `disksize` is given. Until init, I/O and statistics are ENODEV; after it,
 * settings are EBUSY; reset returns there.
 *
 * A write that fails keeps the old data. With an asynchronous backing store, a synchronous call that would have to wait for it
 * throws EAGAIN; the `…Async` twin waits.
 *
 * Errors of every method: EINVAL for a bad argument, or one beyond the device, and nothing changes; ECLOSED after close.
 * @see ramzswap v3 (2009); Linux 6.16 drivers/block/zram/zram_drv.c
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Ramzswap {
  readonly #options: RamzswapOptions;
  /** The settings of create. */
  readonly #created: Settings;
  /** The core of a RAM of its own. */
  readonly #module: WebAssembly.Module | undefined;
  /** Codecs of names that had to be loaded. */
  readonly #loaded: Map<unknown, ForeignCodec>;
  readonly #clock: () => number;
  /** Writes of pages as they were, by page: whoever changes the page takes its write out. */
  readonly #moving = new Map<number, Job>();
  /** Writes of new pages that wait, by page, oldest first: a later write that ends before them takes them out. */
  readonly #coming = new Map<number, Turn[]>();
  #settings: Settings;
  #device: Device | undefined;
  #codecs: ForeignCodec[] = [];
  #priorities: number[] = [];
  #most = 0;
  #memlimit = 0;
  #budget = Infinity;
  #counters = noCounters();
  #busy = false;
  #resetting = false;
  /** How often a page was changed: foreign code may have done so meanwhile. */
  #changes = 0;
  #closed = false;
  #closing: Promise<void> | undefined;
  readonly #active = new Set<Promise<unknown>>();

  private constructor(maker: unknown, options: RamzswapOptions, settings: Settings, module: WebAssembly.Module | undefined, loaded: Map<unknown, ForeignCodec>) {
    requireMaker(maker, 'Ramzswap', 'Ramzswap.create');
    this.#options = options;
    this.#created = settings;
    this.#module = module;
    this.#loaded = loaded;
    this.#clock = options.clock ?? seconds;
    this.#settings = settings;
  }

  // ── life ───────────────────────────────────────────────────────────────────

  /**
   * Creates a device.
   * @throws EINVAL for a bad option; ENODEV for a codec that the host lacks; with disksize, what init throws
   */
  static async create(given: RamzswapOptions = {}): Promise<Ramzswap> {
    const op = 'Ramzswap.create';
    const { options, settings } = takeRamzswapOptions(op, given);
    const loaded = new Map<unknown, ForeignCodec>();
    for (const codec of [settings.codec, ...(settings.recompCodecs ?? [])]) {
      if (typeof codec === 'string') loaded.set(codec, (await resolveCodec(op, codec)) as ForeignCodec);
    }
    // init is synchronous, so the core is loaded now.
    const module = options.ram === undefined ? await moduleFor(op, options) : undefined;
    const device = new Ramzswap(MAKER, options, settings, module, loaded);
    if (settings.disksize !== undefined) device.#start(op, {});
    return device;
  }

  /**
   * Initialises the device.
   * @param options settings, over those of create
   * @throws EBUSY when it is initialised, when another front end has the store, or inside an evict callback of its RAM; EINVAL
   *   for a bad setting, or no disksize; ENOMEM where the RAM, or the host, has no room for it. Nothing is left then
   */
  init(options: RamzswapSettings = {}): void {
    this.#start('ramzswap.init', options);
  }

  #start(op: string, given: RamzswapSettings): void {
    const start = this.#time(op);
    this.#requireUninitialised(op);
    const taken = takeSettings(op, takeOptions<RamzswapSettings>(op, given, SETTINGS));
    const settings = { ...this.#settings, ...taken };
    const pages = pagesOf(op, settings.disksize);
    optionWords(op, settings.allocator ?? DEFAULT_ALLOCATOR, settings.zpool ?? {});
    const { numbers, codecs } = this.#number(op, settings);
    const store = settings.backing === undefined ? undefined : requireTakenStore(op, settings.backing);
    const slots = store?.slots ?? 0;
    const events = { changed: (): void => undefined };
    const { maxInFlight = 32, timeout = 30_000 } = this.#options;
    const io = store && new StoreIo(store.source, maxInFlight, timeout, () => { events.changed(); }, store.isSync);
    // Only now, since clock, options, codecs and store are the caller's: what follows asks none of them.
    this.#requireUninitialised(op);
    if (this.#options.ram !== undefined) rams.requireIdle(op, this.#options.ram);
    const device = this.#make(op, { settings, pages, slots, start, io, events });
    this.#device = device;
    this.#priorities = numbers;
    this.#codecs = codecs;
    this.#memlimit = settings.memlimit ?? 0;
    this.#counters = noCounters();
    this.#most = mostOf(device);
    numbers.forEach((number, priority) => device.front.ramzCodec(device.address, priority, number));
    this.#use(device);
    try {
      if (settings.swapHeader === true) this.#writeHeader(op, start);
    } catch (error) {
      if (this.#device === device) this.#release(op);
      throw error;
    }
  }

  /** Numbers of the codecs, by priority, and those that are not of the core. EINVAL. */
  #number(op: string, settings: Settings): { numbers: number[]; codecs: ForeignCodec[] } {
    const codecs: ForeignCodec[] = [];
    const numbers = [settings.codec ?? 0, ...(settings.recompCodecs ?? [])].map((taken) => {
      const codec = typeof taken === 'string' ? (this.#loaded.get(taken) ?? codecNow(op, taken)) : taken;
      if (typeof codec === 'number') return codec;
      codecs.push(codec);
      return FIRST_FOREIGN + codecs.length - 1;
    });
    return { numbers, codecs };
  }

  #make(op: string, plan: Plan): Device {
    const { pages, slots } = plan;
    const ram = this.#options.ram ?? this.#ownRam(pages);
    let undo = (): void => undefined;
    try {
      const name = rams.freshName(op, ram, 'ramzswap');
      const core = rams.core(op, ram);
      const { exports: front, page, pageAddress } = core;
      const utf8 = new TextEncoder().encode(name);
      page.set(utf8);
      const epoch = Math.floor(Math.random() * 2 ** 32);
      const address = front.ramzCreate(pages, slots, epoch, pageAddress, utf8.length) >>> 0;
      if (address >= ERRNO_MIN) throw noFrame(op, core, address);
      undo = () => void front.zpoolDestroy(address);
      const { allocator = DEFAULT_ALLOCATOR, zpool } = plan.settings;
      const pool = rams.heldPool(op, ram, allocator, { ...zpool, name: rams.freshName(op, ram, `${name}/pool`) });
      const undoFront = undo;
      undo = () => {
        zpools.destroy(op, pool);
        undoFront();
      };
      return this.#joined(op, plan, { ram, core, front, address, pool, name });
    } catch (error) {
      undo();
      if (ram !== this.#options.ram) ram.close();
      throw error;
    }
  }

  #joined(op: string, { settings, pages, start, io, events }: Plan, made: Pick<Device, 'ram' | 'core' | 'front' | 'address' | 'pool'> & { name: string }): Device {
    const { name, ...parts } = made;
    const { core, address, ram } = parts;
    const { backing: store } = settings;
    // A later device may lie where this one was.
    const gone = (): boolean => this.#device?.end !== end || rams.isClosed(ram);
    const frees = io === undefined ? undefined : new SlotFrees(io, core, address, gone);
    const end: FrontEnd = {
      name,
      ownFrames: () => core.exports.zpoolMetadataFrames(address) >>> 0,
      isBusy: () => this.#moving.size + this.#coming.size !== 0,
    };
    // A write that hangs may still strike a slot.
    const leave = (): void => {
      if (store === undefined || io === undefined) return;
      if (io.isSync || !io.isAtWork) leaveStore(store);
      else events.changed = leave;
    };
    events.changed = () => frees?.storeChanged();
    if (store !== undefined) takeStore(op, store);
    rams.noteFront(ram, end, true);
    return { ...parts, settings, pages, start, io, frees, end, leave, blockAddress: core.exports.blockBuffer() >>> 0 };
  }

  /** A RAM of its own: the device, were none of it to compress, its table, and what pools need. */
  #ownRam(pages: number): Ram {
    const { bytes, limit } = this.#options;
    const whole = Math.min(MAX_RAM, Math.max(MIN_RAM, Math.ceil(pages * PAGE_SIZE * 1.04) + 2 ** 22));
    return Ram.createSync({
      bytes: bytes ?? whole,
      ...(limit === undefined ? {} : { limit }),
      ...(this.#module === undefined ? {} : { module: this.#module }),
    });
  }

  /** Names pool and limits to the core. */
  #use({ front, address, pool }: Device): void {
    front.ramzUse(address, zpools.address(pool), this.#most, this.#memlimit === 0 ? 0 : Math.min(Math.max(1, Math.floor(this.#memlimit / PAGE_SIZE)), 0xffffffff));
  }

  /**
   * Returns the device to what it was before init: all pages go, their slots are freed, the settings are those of create.
   * @throws EBUSY while a call waits for the backing store, the store itself is at work, or inside an evict callback of its RAM;
   *   EAGAIN when slots of an asynchronous store must be freed. Nothing changes when one is thrown
   */
  reset(): void {
    const op = 'ramzswap.reset';
    const device = this.#resettable(op);
    if (device === undefined) return;
    if (device.io?.isAtWork === true && !rams.isClosed(device.ram)) throw atWork(op);
    if (device.io?.isSync === false && device.front.ramzFigure(device.address, RAMZ_SLOTS) !== 0) {
      throw new CompcacheError('EAGAIN', op, 'slots of an asynchronous store must be freed: use resetAsync');
    }
    this.#resetting = true;
    try {
      this.#freeSlots(device);
    } finally {
      this.#resetting = false;
    }
    if (this.#device === device) this.#forget(op); // a store may have closed it
  }

  /**
   * reset, which waits for an asynchronous store: until slots that are being freed are free, too.
   * @throws as reset, but no EAGAIN; EBUSY also when a call of the store hangs: nothing changes when it hung before; the pages
   *   are gone when it is one that frees them. In either case resetAsync can be called again
   */
  async resetAsync(): Promise<void> {
    const op = 'ramzswap.resetAsync';
    const device = this.#resettable(op);
    if (device === undefined) return;
    this.#resetting = true;
    try {
      await this.#tracked(() => this.#freeSlotsAsync(op, device));
    } finally {
      this.#resetting = false;
    }
  }

  async #freeSlotsAsync(op: string, device: Device): Promise<void> {
    await this.#requireRest(op, device);
    this.#freeSlots(device);
    await this.#requireRest(op, device);
    if (this.#device === device) this.#forget(op);
  }

  /** Waits until no call of an asynchronous store is under way. EBUSY when one hangs. */
  async #requireRest(op: string, { io, ram }: Device): Promise<void> {
    if (io === undefined || io.isSync) return;
    await io.idle();
    if (io.isAtWork && !rams.isClosed(ram)) throw new CompcacheError('EBUSY', op, 'a call of the backing store hangs');
  }

  /** The device, when nothing waits for it. EBUSY. */
  #resettable(op: string): Device | undefined {
    this.#open(op);
    const device = this.#device;
    const isInStore = device?.io?.isSync === true && device.io.isAtWork && !rams.isClosed(device.ram);
    if (this.#active.size !== 0 || this.#busy || this.#resetting || isInStore) throw atWork(op);
    this.#requireReleasable(op);
    return device;
  }

  /** Whether #release can do all of its work: a RAM cannot be closed while an evict callback runs. EBUSY. */
  #requireReleasable(op: string): void {
    if (this.#device !== undefined && !rams.isClosed(this.#device.ram)) rams.requireIdle(op, this.#device.ram);
  }

  #forget(op: string): void {
    this.#release(op);
    this.#settings = this.#created;
    this.#budget = Infinity;
  }

  /** Drops what is in the store, and begins to tell it. */
  #freeSlots(device: Device): void {
    if (device.io === undefined || this.#device !== device) return;
    for (const { index, state } of this.#states()) if ((state & KIND_MASK) === WRITTEN) this.#drop(device, index);
    device.frees?.drain();
  }

  #release(op: string): void {
    const device = this.#device;
    if (device !== undefined && !rams.isClosed(device.ram)) {
      if (device.ram !== this.#options.ram) {
        rams.close(device.ram);
      } else {
        zpools.destroy(op, device.pool);
        device.core.exports.zpoolDestroy(device.address);
        rams.noteFront(device.ram, device.end, false);
      }
    }
    this.#device = undefined;
    this.#moving.clear();
    for (const index of this.#coming.keys()) this.#takeOut(index);
    device?.leave();
  }

  /**
   * Ends it: waits for calls of the store that are under way, has it make them last, and lets go of everything. The store stays
   * open; another front end may have it when the last call has ended, also of those that hang. Idempotent.
   * @returns when all is done; with a synchronous store, all is done when close returns
   * @throws EBUSY (a rejection) inside an evict callback of its RAM: nothing changes, and it can be called again; EIO (a
   *   rejection) when the store's sync fails: it is closed then
   */
  close(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    const op = 'ramzswap.close';
    try {
      this.#requireReleasable(op);
    } catch (error) {
      return Promise.reject(error as CompcacheError);
    }
    this.#closed = true;
    let end: (finished: Promise<void>) => void = () => undefined;
    this.#closing = new Promise((resolve) => (end = resolve)); // before the store is asked: it may call close
    end(this.#finish(op));
    return this.#closing;
  }

  async #finish(op: string): Promise<void> {
    while (this.#active.size !== 0) await Promise.allSettled(this.#active);
    const io = this.#device?.io;
    let outcome: Outcome<void> = { value: undefined };
    if (io?.isSync === true) outcome = this.#sync(op, io);
    else if (io !== undefined) {
      await io.idle();
      outcome = await this.#syncSoon(op, io);
    }
    this.#release(op);
    if ('failure' in outcome) throw outcome.failure;
  }

  #sync(op: string, io: StoreIo): Outcome<void> {
    return io.now(op, () => io.store.sync?.());
  }

  async #syncSoon(op: string, io: StoreIo): Promise<Outcome<void>> {
    return io.soon(op, () => io.store.sync?.());
  }

  /** Has the backing store make last what was written to it. @throws EIO */
  async flush(): Promise<void> {
    const op = 'ramzswap.flush';
    const { io } = this.#live(op);
    if (io === undefined) return;
    const outcome = io.isSync ? this.#sync(op, io) : await this.#tracked(() => this.#syncInTurn(op, io));
    if ('failure' in outcome) throw outcome.failure;
  }

  async #syncInTurn(op: string, io: StoreIo): Promise<Outcome<void>> {
    while (!io.hasRoom) await io.room(op);
    return this.#syncSoon(op, io);
  }

  [DISPOSE](): void {
    this.close().catch(() => undefined);
  }

  [ASYNC_DISPOSE](): Promise<void> {
    return this.close();
  }

  #open(op: string): void {
    if (this.#closed || (this.#options.ram !== undefined && rams.isClosed(this.#options.ram))) throw new CompcacheError('ECLOSED', op, 'the device or its RAM is closed');
  }

  #live(op: string): Device {
    const device = this.#device;
    if (device === undefined || this.#closed || this.#resetting || rams.isClosed(device.ram)) throw this.#notLive(op);
    return device;
  }

  /** Why there is no device to work with. */
  #notLive(op: string): CompcacheError {
    this.#open(op);
    if (this.#device === undefined) return new CompcacheError('ENODEV', op, 'the device is not initialised');
    if (rams.isClosed(this.#device.ram)) return new CompcacheError('ECLOSED', op, 'the RAM is closed');
    return new CompcacheError('EBUSY', op, 'the device is being reset');
  }

  #requireUninitialised(op: string): void {
    this.#open(op);
    if (this.#device !== undefined) throw new CompcacheError('EBUSY', op, 'the device is initialised: reset it first');
  }

  /** Makes a call, which is active until it has ended. */
  async #tracked<T>(call: () => Promise<T>): Promise<T> {
    let end = (): void => undefined;
    const active = new Promise<void>((resolve) => (end = resolve));
    this.#active.add(active);
    try {
      return await call();
    } finally {
      this.#active.delete(active);
      end();
    }
  }

  // ── settings ───────────────────────────────────────────────────────────────

  #settingsNow(): Settings {
    return this.#device?.settings ?? this.#settings;
  }

  /** Whether it is initialised. */
  get initstate(): boolean {
    return this.#device !== undefined;
  }

  /** Bytes of the device; 0 before init, unless it is set. */
  get disksize(): number {
    return this.#device !== undefined ? this.#device.pages * PAGE_SIZE : (this.#settings.disksize ?? 0);
  }

  set disksize(value: number | string) {
    this.#set('disksize', value);
  }

  /** The pool's allocator. */
  get allocator(): AllocatorName {
    return this.#settingsNow().allocator ?? DEFAULT_ALLOCATOR;
  }

  set allocator(value: AllocatorName) {
    this.#set('allocator', value);
  }

  /** Name of the codec of writes. */
  get codec(): string {
    return codecName(this.#settingsNow().codec);
  }

  set codec(value: CoreCodecName | Codec) {
    this.#set('codec', value);
  }

  /** The backing store, if there is one. */
  get backing(): BackingStore | undefined {
    return this.#settingsNow().backing;
  }

  set backing(value: BackingStore | undefined) {
    this.#set('backing', value);
  }

  #set<K extends keyof RamzswapSettings & keyof Settings>(key: K, value: RamzswapSettings[K]): void {
    const op = `ramzswap.${key}`;
    this.#requireUninitialised(op);
    const taken = takeSettings(op, { [key]: value });
    this.#requireUninitialised(op); // codec and store are the caller's
    const others = Object.entries(this.#settings).filter(([name]) => name !== key);
    this.#settings = { ...(Object.fromEntries(others) as Settings), ...taken };
  }

  /** The most bytes of the pool's frames, 0 for no limit. It may be set at any time; what is there stays. */
  get memlimit(): number {
    return this.#device === undefined ? (this.#settings.memlimit ?? 0) : this.#memlimit;
  }

  set memlimit(value: number | string) {
    const op = 'ramzswap.memlimit';
    this.#open(op);
    const bytes = parseBytes(op, 'memlimit', value);
    if (this.#device === undefined) {
      this.#settings = { ...this.#settings, memlimit: bytes };
      return;
    }
    const device = this.#live(op);
    this.#memlimit = bytes;
    this.#use(device);
  }

  /** How many pages writeback may still write; Infinity without a limit. */
  get writebackLimit(): number {
    return this.#budget;
  }

  set writebackLimit(value: number) {
    this.#open('ramzswap.writebackLimit');
    if (value !== Infinity) requireRange('ramzswap.writebackLimit', 'writebackLimit', value, 0, Number.MAX_SAFE_INTEGER);
    this.#budget = value;
  }

  // ── reading ────────────────────────────────────────────────────────────────

  /**
   * Reads a page.
   * @param index 0 … pages of the device - 1
   * @param into 4096 bytes; unchanged if it fails
   * @throws EIO when its bytes are damaged or the store fails; EAGAIN when it is in an asynchronous store
   */
  readPage(index: number, into: Uint8Array): void {
    const op = 'ramzswap.readPage';
    const time = this.#time(op);
    requirePage(op, 'into', into);
    this.#checkRange(op, this.#live(op), index, 1);
    this.#counting('Reads', () => { copyOut(op, 'into', into, this.#page(op, index, time)); });
  }

  /** readPage, which waits for an asynchronous store. */
  async readPageAsync(index: number, into: Uint8Array): Promise<void> {
    const op = 'ramzswap.readPageAsync';
    const time = this.#time(op);
    requirePage(op, 'into', into);
    this.#checkRange(op, this.#live(op), index, 1);
    await this.#countingAsync('Reads', () => this.#tracked(() => this.#withPage(op, index, time, (page) => { copyOut(op, 'into', into, page); })));
  }

  /** A page, in a buffer that the next call may use; EIO, EAGAIN. */
  #page(op: string, index: number, time: number): Uint8Array {
    for (;;) {
      const device = this.#live(op);
      const here = this.#here(op, device, index, time);
      if (here !== undefined) return here;
      const io = device.io as StoreIo;
      if (!io.isSync) throw new CompcacheError('EAGAIN', op, 'the page is in an asynchronous store: use the …Async twin');
      const [slot, generation] = notedPlace(device.core);
      const buffer = new Uint8Array(SLOT_BYTES);
      const outcome = io.now(op, () => io.store.read(slot, new Uint8Array(buffer.buffer)));
      const page = this.#opened(op, index, slot, generation, buffer, outcome);
      if (page !== undefined) return page;
    }
  }

  /** Hands over a page as soon as it is there, in a buffer that the next call may use. EIO. */
  async #withPage<T>(op: string, index: number, time: number, use: (page: Uint8Array) => T): Promise<T> {
    for (;;) {
      const device = this.#live(op);
      const here = this.#here(op, device, index, time);
      if (here !== undefined) return use(here);
      const io = device.io as StoreIo;
      const [slot, generation] = notedPlace(device.core);
      if (!io.isSync && !io.hasRoom) {
        await io.room(op);
        continue;
      }
      const buffer = new Uint8Array(SLOT_BYTES);
      const outcome = await io.soon(op, () => io.store.read(slot, new Uint8Array(buffer.buffer)));
      const page = this.#opened(op, index, slot, generation, buffer, outcome);
      if (page !== undefined) return use(page);
    }
  }

  /** A page that is not in the store; undefined for one that is, whose place the core has noted. EIO. */
  #here(op: string, device: Device, index: number, time: number): Uint8Array | undefined {
    const { front, address, core } = device;
    const result = front.ramzRead(address, index, secondOf(device, time)) >>> 0;
    if (result === PAGE_SIZE) return core.page;
    if (result === IN_STORE) return undefined;
    if (result === DECOMPRESS) return this.#decompress(op, device);
    throw new CompcacheError('EIO', op, `page ${index} does not decompress`);
  }

  /** What was read of a slot, by a store that had another view on that memory; undefined when the page has moved meanwhile. EIO. */
  #opened(op: string, index: number, slot: number, generation: number, buffer: Uint8Array, outcome: Outcome<unknown>): Uint8Array | undefined {
    const device = this.#live(op);
    const { front, address, core, blockAddress } = device;
    this.#counters.bdReads += 1;
    if (front.ramzIsIn(address, index, slot, generation) === 0) return undefined;
    const length = bytesRead(op, outcome, buffer);
    if (length instanceof CompcacheError) throw length;
    core.bytes.set(buffer.subarray(0, length), blockAddress);
    const result = front.frontOpen(address, length, slot, generation) >>> 0;
    if (result === PAGE_SIZE) return core.page;
    if (result === DECOMPRESS) return this.#decompress(op, device);
    throw new CompcacheError('EIO', op, `slot ${slot} of the store does not hold what was written there`);
  }

  /** The page whose block the core has put into the block buffer. Foreign code runs. EIO. */
  #decompress(op: string, { core }: Device): Uint8Array {
    return decompressed(op, core, this.#codecs);
  }

  // ── writing ────────────────────────────────────────────────────────────────

  /**
   * Writes a page.
   * @param index 0 … pages of the device - 1
   * @param page 4096 bytes
   * @throws ENOMEM beyond the limit or without a frame, and no backing store; ENOSPC the store is full, or EIO it failed, and
   *   there is no room in memory either; EIO the codec failed; EAGAIN when the page is for an asynchronous store. The old data stay
   */
  writePage(index: number, page: Uint8Array): void {
    const op = 'ramzswap.writePage';
    const time = this.#time(op);
    requirePage(op, 'page', page);
    this.#checkRange(op, this.#live(op), index, 1);
    this.#counting('Writes', () => { this.#put(op, index, page, time); });
  }

  /** writePage, which waits for an asynchronous store. The page is copied at once; of two writes of one page the later one wins. */
  async writePageAsync(index: number, page: Uint8Array): Promise<void> {
    const op = 'ramzswap.writePageAsync';
    const time = this.#time(op);
    requirePage(op, 'page', page);
    this.#checkRange(op, this.#live(op), index, 1);
    await this.#countingAsync('Writes', () => this.#putAsync(op, index, page, time));
  }

  #put(op: string, index: number, page: Uint8Array, time: number): void {
    const device = this.#live(op);
    const refused = this.#keep(op, device, index, page, time);
    if (refused === undefined) return;
    const io = device.io as StoreIo;
    if (!io.isSync) throw new CompcacheError('EAGAIN', op, 'the page is for an asynchronous store: use the …Async twin');
    this.#putInStore(op, device, io, refused, this.#enqueue(index));
  }

  async #putAsync(op: string, index: number, page: Uint8Array, time: number): Promise<void> {
    const device = this.#live(op);
    const refused = this.#keep(op, device, index, page, time);
    if (refused === undefined) return;
    const io = device.io as StoreIo;
    const turn = this.#enqueue(index);
    if (io.isSync) this.#putInStore(op, device, io, refused, turn);
    else await this.#tracked(() => this.#send(op, device, io, refused, turn));
  }

  /** Keeps a page in the pool. What is returned is for the store, which there is then. ENOMEM, EIO. */
  #keep(op: string, device: Device, index: number, given: Uint8Array, time: number, turn?: Turn): Refused | undefined {
    const isForeign = (this.#priorities[0] as number) >= FIRST_FOREIGN;
    const page = isForeign ? copyOf(op, 'page', given) : given; // the codec may do to it what it likes
    const now = secondOf(device, time);
    const result = this.#tryPool(op, device, index, page, now, false, turn);
    if (result === 0) return undefined;
    this.#requireStore(op, device, result);
    return { index, page: isForeign ? page : copyOf(op, 'page', given), now, isPoor: result === POOR };
  }

  #putInStore(op: string, device: Device, io: StoreIo, refused: Refused, turn: Turn): void {
    try {
      const job = this.#compose(op, device, refused);
      this.#endComing(op, device, job, io.now(op, () => io.store.write(job.slot, job.bytes)), turn);
    } catch (error) {
      if (!this.#keepAfterAll(op, device, refused, turn)) throw error;
    } finally {
      this.#leave(refused.index, turn);
    }
  }

  /** Sends a page to the store when the writes of that page before it have ended. One that was taken out leads to nothing. */
  async #send(op: string, device: Device, io: StoreIo, refused: Refused, turn: Turn): Promise<void> {
    const { index } = refused;
    try {
      for (;;) {
        await this.#untilFirst(index, turn);
        while (!io.hasRoom) await io.room(op);
        if (!this.#isComing(index, turn)) return;
        if (this.#device !== device || rams.isClosed(device.ram)) throw new CompcacheError('ECLOSED', op, 'the device or its RAM is closed');
        try {
          const job = this.#compose(op, device, refused);
          const outcome = await io.soon(op, () => io.store.write(job.slot, job.bytes));
          this.#endComing(op, device, job, outcome, turn);
          return;
        } catch (error) {
          const full = CompcacheError.made(error) && error.code === 'ENOSPC' && error.cause === undefined;
          if (!full || !(await device.frees?.freed())) throw error;
        }
      }
    } catch (error) {
      if (!this.#keepAfterAll(op, device, refused, turn)) throw error;
    } finally {
      this.#leave(index, turn);
    }
  }

  /**
   * What becomes of a page that the store has not taken: one that does not compress is kept as it is, one that a later write has
   * replaced leads to nothing. False when it has failed.
   */
  #keepAfterAll(op: string, device: Device, { index, page, now, isPoor }: Refused, turn: Turn): boolean {
    if (this.#device !== device || rams.isClosed(device.ram)) return false;
    if (!this.#isComing(index, turn)) return true;
    return isPoor && this.#tryPool(op, device, index, page, now, true, turn) === 0;
  }

  /** Writes a part of a page: the rest is what the writes before have left. EAGAIN. */
  #patch(op: string, index: number, part: Uint8Array, from: number, length: number, time: number): void {
    this.#live(op);
    if (this.#coming.has(index)) throw new CompcacheError('EAGAIN', op, `a write of page ${index} is under way: use the …Async twin`);
    this.#put(op, index, patched(op, this.#page(op, index, time), part, from, length), time);
  }

  /** The same for a part in memory of ours. Nothing may come between reading the page and putting it back, so that happens in one go, when those before have ended. */
  async #patchAsync(op: string, index: number, part: Uint8Array, from: number, time: number): Promise<void> {
    if (this.#live(op).io?.isSync !== false) return this.#patch(op, index, part, from, part.length, time);
    const turn = this.#enqueue(index);
    try {
      if (this.#coming.get(index)?.[0] !== turn) await this.#untilFirst(index, turn);
      let rest: { device: Device; io: StoreIo; refused: Refused } | undefined;
      await this.#withPage(op, index, time, (whole) => {
        if (!this.#isComing(index, turn)) return;
        const page = patched(op, whole, part, from, part.length);
        const device = this.#live(op);
        const refused = this.#keep(op, device, index, page, time, turn);
        if (refused !== undefined) rest = { device, io: device.io as StoreIo, refused };
      });
      if (rest !== undefined) await this.#send(op, rest.device, rest.io, rest.refused, turn);
    } finally {
      this.#leave(index, turn);
    }
  }

  // ── turns ──────────────────────────────────────────────────────────────────

  #enqueue(index: number): Turn {
    let end = (): void => undefined;
    const over = new Promise<void>((resolve) => (end = resolve));
    const turn = { over, end };
    const turns = this.#coming.get(index);
    if (turns === undefined) this.#coming.set(index, [turn]);
    else turns.push(turn);
    return turn;
  }

  #isComing(index: number, turn: Turn): boolean {
    return this.#coming.get(index)?.includes(turn) === true;
  }

  /** Waits until no write of the page is before this one, or this one was taken out. */
  async #untilFirst(index: number, turn: Turn): Promise<void> {
    for (let turns = this.#coming.get(index); turns?.includes(turn) === true && turns[0] !== turn; turns = this.#coming.get(index)) {
      await Promise.race([(turns[0] as Turn).over, turn.over]);
    }
  }

  #leave(index: number, turn: Turn): void {
    turn.end();
    const turns = this.#coming.get(index)?.filter((other) => other !== turn);
    if (turns === undefined || turns.length === 0) this.#coming.delete(index);
    else this.#coming.set(index, turns);
  }

  /** Takes out the writes of a page up to one, which has ended; without it, all. */
  #takeOut(index: number, last?: Turn): void {
    const turns = this.#coming.get(index) ?? [];
    const count = last === undefined ? turns.length : turns.indexOf(last) + 1;
    for (const turn of turns.slice(0, count)) this.#leave(index, turn);
  }

  /** One try to keep a page in the pool, as it is if need be: 0, or why not. */
  #tryPool(op: string, device: Device, index: number, page: Uint8Array, now: number, asIs: boolean, turn?: Turn): number {
    let result = this.#attempt(op, device, index, page, now, asIs);
    // Asking zsmalloc what compaction would bring costs little; the others would go through all their frames.
    if ((result === OVER_LIMIT || result === ENOMEM) && isFreeable(device)) {
      this.#counters.compacted += zpools.compact(op, device.pool);
      result = this.#attempt(op, device, index, page, now, asIs);
    }
    if (result === 0) this.#changed(device, index, turn);
    return result;
  }

  /** Where a codec outside the core has a part, `page` is memory of ours. */
  #attempt(op: string, device: Device, index: number, page: Uint8Array, now: number, asIs: boolean): number {
    const { core, front, address, blockAddress } = device;
    copyIn(op, 'page', core.page, page);
    if (asIs) return front.ramzKeep(address, index, now) >>> 0;
    const number = this.#priorities[0] as number;
    if (number < FIRST_FOREIGN) return front.ramzWrite(address, index, now) >>> 0;
    const begun = front.ramzBegin(address, index) >>> 0;
    if (begun !== COMPRESS) return begun;
    const block = this.#compressed(op, number, page);
    if (this.#live(op) !== device) throw new CompcacheError('EIO', op, 'the codec has reset the device');
    if (block === undefined) return CODEC_FAILED;
    if (block.length === 0) core.page.set(page);
    else core.bytes.set(block, blockAddress);
    return front.ramzPut(address, index, block.length, now) >>> 0;
  }

  /** The block of a page by a codec that is not of the core: of 0 bytes when it is too long; undefined when the codec fails. */
  #compressed(op: string, number: number, page: Uint8Array): Uint8Array | undefined {
    const codec = this.#codecs[number - FIRST_FOREIGN] as ForeignCodec;
    try {
      return codec.compress(op, page, this.#most) ?? NO_BLOCK;
    } catch {
      return undefined;
    }
  }

  /** Requires that a page which cannot be kept is for the store. ENOMEM, EIO. */
  #requireStore(op: string, device: Device, result: number): void {
    if (result === CODEC_FAILED) throw new CompcacheError('EIO', op, 'the codec failed');
    if (result !== OVER_LIMIT && result !== POOR && result !== ENOMEM) throw new CompcacheError(codeOf(result), op, `page beyond the device`);
    if (device.io !== undefined) return;
    const bytes = zpools.frameCounts(device.pool).frames * PAGE_SIZE;
    if (result === OVER_LIMIT) throw new CompcacheError('ENOMEM', op, `memlimit is ${this.#memlimit} bytes, the pool has ${bytes}: 1 frame needed, 0 free`);
    throw noFrame(op, device.core, result);
  }

  /** Takes a slot and composes the page for it. ENOSPC. */
  #compose(op: string, device: Device, { index, page }: Refused): Job {
    const { core, front, address } = device;
    core.page.set(page);
    const length = front.ramzDirect(address, index) >>> 0;
    if (length >= ERRNO_MIN) throw new CompcacheError(codeOf(length), op, 'no slot of the backing store is free');
    return this.#job(device, index, length);
  }

  #job({ core, blockAddress }: Device, index: number, length: number): Job {
    const { out, bytes } = core;
    return { index, slot: out[OUT_SLOT] as number, generation: out[OUT_GENERATION] as number, bytes: bytes.slice(blockAddress, blockAddress + length) };
  }

  /** Ends the write of a page that is new: unless a later one was first, the page is in the store now. EIO, ENOSPC, ENOMEM. */
  #endComing(op: string, device: Device, job: Job, outcome: Outcome<unknown>, turn: Turn): void {
    const newest = this.#isComing(job.index, turn);
    if (this.#device !== device || rams.isClosed(device.ram)) throw new CompcacheError('ECLOSED', op, 'the device or its RAM is closed');
    if ('failure' in outcome) {
      this.#settle(device, job, outcome);
      throw outcome.failure;
    }
    this.#counters.bdWrites += 1;
    const result = newest ? device.front.ramzWritten(device.address, job.index, job.slot, job.generation) >>> 0 : 0;
    if (newest && result === 0) this.#changed(device, job.index, turn);
    else this.#settle(device, job, outcome);
    if (result !== 0) throw noFrame(op, device.core, result);
  }

  /** A slot that leads to nothing is doomed, once nobody may write it any more. */
  #settle(device: Device, { slot }: Job, outcome: Outcome<unknown>): void {
    const doom = (): void => {
      if (this.#device !== device || rams.isClosed(device.ram)) return;
      device.front.frontSettled(device.address, slot);
      device.frees?.drain();
    };
    if ('failure' in outcome && outcome.late !== undefined) void outcome.late.then(doom);
    else doom();
  }

  /** A page is not what it was: writes of it that were begun before that one, or all, lead to nothing. */
  #changed(device: Device, index: number, turn?: Turn): void {
    this.#changes += 1;
    if (this.#moving.size !== 0) this.#moving.delete(index);
    if (this.#coming.size !== 0) this.#takeOut(index, turn);
    device.frees?.drain();
  }

  // ── sectors and bytes ──────────────────────────────────────────────────────

  /**
   * Reads sectors of 512 bytes.
   * @param sector the first, 0 … sectors of the device - 1
   * @param into a multiple of 512 bytes; if it fails, those of whole pages before may have been written
   * @throws as readPage
   */
  readSectors(sector: number, into: Uint8Array): void {
    const op = 'ramzswap.readSectors';
    const time = this.#time(op);
    const length = this.#lengthAt(op, 'into', into, sector, SECTOR);
    this.#read(op, sector * SECTOR, into, length, time);
  }

  /** readSectors, which waits for an asynchronous store. */
  async readSectorsAsync(sector: number, into: Uint8Array): Promise<void> {
    const op = 'ramzswap.readSectorsAsync';
    const time = this.#time(op);
    const length = this.#lengthAt(op, 'into', into, sector, SECTOR);
    await this.#readAsync(op, sector * SECTOR, into, length, time);
  }

  /**
   * Writes sectors of 512 bytes. Of a page that is written in part the rest stays.
   * @param sector the first
   * @param bytes a multiple of 512 bytes
   * @throws as readPage and writePage; pages before the one that failed are written. EINVAL for the page at which the buffer has
   *   been detached, or become shorter, meanwhile
   */
  writeSectors(sector: number, bytes: Uint8Array): void {
    const op = 'ramzswap.writeSectors';
    const time = this.#time(op);
    const length = this.#lengthAt(op, 'bytes', bytes, sector, SECTOR);
    this.#write(op, sector * SECTOR, bytes, length, time);
  }

  /** writeSectors, which waits for an asynchronous store. The bytes must not change meanwhile. */
  async writeSectorsAsync(sector: number, bytes: Uint8Array): Promise<void> {
    const op = 'ramzswap.writeSectorsAsync';
    const time = this.#time(op);
    const length = this.#lengthAt(op, 'bytes', bytes, sector, SECTOR);
    await this.#writeAsync(op, sector * SECTOR, bytes, length, time);
  }

  /** Reads bytes from any offset. @throws as readSectors */
  read(offset: number, into: Uint8Array): void {
    const op = 'ramzswap.read';
    const time = this.#time(op);
    const length = this.#lengthAt(op, 'into', into, offset, 1);
    this.#read(op, offset, into, length, time);
  }

  /** read, which waits for an asynchronous store. */
  async readAsync(offset: number, into: Uint8Array): Promise<void> {
    const op = 'ramzswap.readAsync';
    const time = this.#time(op);
    const length = this.#lengthAt(op, 'into', into, offset, 1);
    await this.#readAsync(op, offset, into, length, time);
  }

  /** Writes bytes at any offset. @throws as writeSectors */
  write(offset: number, bytes: Uint8Array): void {
    const op = 'ramzswap.write';
    const time = this.#time(op);
    const length = this.#lengthAt(op, 'bytes', bytes, offset, 1);
    this.#write(op, offset, bytes, length, time);
  }

  /** write, which waits for an asynchronous store. The bytes must not change meanwhile. */
  async writeAsync(offset: number, bytes: Uint8Array): Promise<void> {
    const op = 'ramzswap.writeAsync';
    const time = this.#time(op);
    const length = this.#lengthAt(op, 'bytes', bytes, offset, 1);
    await this.#writeAsync(op, offset, bytes, length, time);
  }

  /** Length of the bytes for a range of the device, which begins at so many units. EINVAL. */
  #lengthAt(op: string, what: string, bytes: Uint8Array, place: number, unit: number): number {
    requireBytes(op, what, bytes);
    const length = lengthOf(bytes);
    if (length % unit !== 0) throw new CompcacheError('EINVAL', op, `${what} must have a multiple of ${unit} bytes, not ${length}`);
    requireRange(op, unit === SECTOR ? 'sector' : 'offset', place, 0, Math.floor(Number.MAX_SAFE_INTEGER / unit));
    const device = this.#live(op);
    if (place * unit + length > device.pages * PAGE_SIZE) this.#beyond(op, device);
    return length;
  }

  #beyond(op: string, { pages }: Device): never {
    this.#counters.invalidIo += 1;
    throw new CompcacheError('EINVAL', op, `the request goes beyond the device of ${pages * PAGE_SIZE} bytes`);
  }

  #checkRange(op: string, device: Device, index: number, count: number): void {
    requireU32(op, 'index', index);
    if (index + count > device.pages) this.#beyond(op, device);
  }

  #read(op: string, offset: number, into: Uint8Array, all: number, time: number): void {
    const target = inSteps(op, 'into', offset, into, all);
    for (const { index, from, at, length } of partsOf(offset, all)) {
      this.#counting('Reads', () => { copyOut(op, 'into', target, partOf(this.#page(op, index, time), from, length), at); });
    }
  }

  async #readAsync(op: string, offset: number, into: Uint8Array, all: number, time: number): Promise<void> {
    const target = inSteps(op, 'into', offset, into, all);
    for (const { index, from, at, length } of partsOf(offset, all)) {
      await this.#countingAsync('Reads', () => this.#tracked(() => this.#withPage(op, index, time, (page) => { copyOut(op, 'into', target, partOf(page, from, length), at); })));
    }
  }

  #write(op: string, offset: number, bytes: Uint8Array, all: number, time: number): void {
    const source = inSteps(op, 'bytes', offset, bytes, all);
    for (const { index, from, at, length } of partsOf(offset, all)) {
      this.#counting('Writes', () => {
        const part = length === all ? source : stepOf(op, source, all, at, length);
        if (length === PAGE_SIZE) this.#put(op, index, part, time);
        else this.#patch(op, index, part, from, length, time);
      });
    }
  }

  async #writeAsync(op: string, offset: number, bytes: Uint8Array, all: number, time: number): Promise<void> {
    const source = inSteps(op, 'bytes', offset, bytes, all);
    for (const { index, from, at, length } of partsOf(offset, all)) {
      await this.#countingAsync('Writes', async () => {
        const part = length === all ? source : stepOf(op, source, all, at, length);
        if (length === PAGE_SIZE) return this.#putAsync(op, index, part, time);
        const own = exactly(op, part, length);
        return this.#tracked(() => this.#patchAsync(op, index, own, from, time));
      });
    }
  }

  /** Counts a call, and its failure. */
  #counting<T>(what: 'Reads' | 'Writes', call: () => T): T {
    this.#counters[`num${what}`] += 1;
    try {
      return call();
    } catch (error) {
      this.#countFailure(what, error);
      throw error;
    }
  }

  async #countingAsync<T>(what: 'Reads' | 'Writes', call: () => Promise<T>): Promise<T> {
    this.#counters[`num${what}`] += 1;
    try {
      return await call();
    } catch (error) {
      this.#countFailure(what, error);
      throw error;
    }
  }

  /** What is to be called again in another way was no call. */
  #countFailure(what: 'Reads' | 'Writes', error: unknown): void {
    if (CompcacheError.made(error) && error.code === 'EAGAIN') this.#counters[`num${what}`] -= 1;
    else this.#counters[`failed${what}`] += 1;
  }

  // ── freeing ────────────────────────────────────────────────────────────────

  /**
   * Frees pages: they read as zeros.
   * @param index the first
   * @param count default 1
   * @returns how many of them held something
   */
  discard(index: number, count = 1): number {
    const op = 'ramzswap.discard';
    const device = this.#live(op);
    requireU32(op, 'count', count);
    this.#checkRange(op, device, index, count);
    let freed = 0;
    // From one page that holds something to the next, so that an empty range costs nothing.
    for (let at = index; at < index + count; at++) {
      const next = this.#next(device, at);
      if (next === undefined || next.index >= index + count) break;
      at = next.index;
      freed += this.#drop(device, at);
    }
    // Writes that are under way are for pages that do not hold anything yet.
    for (const at of this.#coming.keys()) if (at >= index && at < index + count) this.#takeOut(at);
    this.#counters.discard += freed;
    device.frees?.drain();
    return freed;
  }

  /** Frees a page whose contents nobody wants any more: the notice of a swap slot that is free. */
  freeNotify(index: number): void {
    const op = 'ramzswap.freeNotify';
    const device = this.#live(op);
    this.#checkRange(op, device, index, 1);
    this.#counters.notifyFree += this.#drop(device, index);
    device.frees?.drain();
  }

  #drop(device: Device, index: number): number {
    this.#changes += 1;
    this.#moving.delete(index);
    this.#takeOut(index);
    return device.front.ramzDrop(device.address, index);
  }

  /** Moves objects together. @returns frames given back */
  compact(): number {
    const op = 'ramzswap.compact';
    const device = this.#live(op);
    const frames = zpools.compact(op, device.pool);
    this.#counters.compacted += frames;
    return frames;
  }

  // ── idle pages, writeback ──────────────────────────────────────────────────

  /**
   * Marks pages as idle, and no others: the mark of younger ones goes. An access clears it, and recompress. Only those that are
   * objects in memory.
   * @param age seconds since the last access at least; or 'all', the default. What is older than 24 days may seem up to 255
   *   seconds older than it is
   * @returns how many are idle now
   */
  markIdle(age: number | 'all' = 'all'): number {
    const op = 'ramzswap.markIdle';
    const time = this.#time(op);
    const device = this.#live(op);
    if (age !== 'all') requireU32(op, 'age', age);
    const before = age === 'all' ? TIME_END : Math.max(0, secondOf(device, time) - age + 1);
    return device.front.ramzIdle(device.address, before) >>> 0;
  }

  /**
   * Moves pages to the backing store, the largest first.
   * @param selection pages that are idle, kept as they are (huge), both, given up by recompress, or by number
   * @returns pages moved
   * @throws ENODEV no backing store; EAGAIN an asynchronous one; EBUSY another writeback runs; when nothing was moved: EIO
   *   writebackLimit is used up or the store failed, ENOSPC it is full
   */
  writeback(selection: WritebackSelection): number {
    const op = 'ramzswap.writeback';
    const { device, io, wanted } = this.#selected(op, selection);
    if (!io.isSync) throw new CompcacheError('EAGAIN', op, 'the store is asynchronous: use writebackAsync');
    return this.#moveNow(op, device, io, wanted);
  }

  #moveNow(op: string, device: Device, io: StoreIo, wanted: (page: Found) => boolean): number {
    const run = { moved: 0, failure: undefined as CompcacheError | undefined };
    for (const index of this.#candidates(op, device, wanted)) {
      const job = this.#beginMove(op, device, index, run);
      if (job !== undefined) this.#endMove(device, job, io.now(op, () => io.store.write(job.slot, job.bytes)), run);
      if (run.failure !== undefined || this.#device !== device) break;
    }
    return movedOf(run);
  }

  /** writeback, which waits. Several writes are under way at a time. A page that is changed meanwhile stays where it is. */
  async writebackAsync(selection: WritebackSelection): Promise<number> {
    const op = 'ramzswap.writebackAsync';
    const { device, io, wanted } = this.#selected(op, selection);
    if (io.isSync) return this.#moveNow(op, device, io, wanted);
    this.#busy = true;
    try {
      return await this.#tracked(() => this.#moveAll(op, device, io, wanted));
    } finally {
      this.#busy = false;
    }
  }

  async #moveAll(op: string, device: Device, io: StoreIo, wanted: (page: Found) => boolean): Promise<number> {
    const run = { moved: 0, failure: undefined as CompcacheError | undefined };
    const active = new Set<Promise<void>>();
    for (const index of this.#candidates(op, device, wanted)) {
      try {
        while (!io.hasRoom) await io.room(op);
      } catch (error) {
        run.failure ??= error as CompcacheError;
      }
      if (run.failure !== undefined || this.#device !== device || this.#closed) break;
      const job = this.#beginMove(op, device, index, run);
      if (job === undefined) continue;
      const write = io.soon(op, () => io.store.write(job.slot, job.bytes))
        .then((outcome) => this.#endMove(device, job, outcome, run))
        .finally(() => active.delete(write));
      active.add(write);
    }
    await Promise.all(active);
    return movedOf(run);
  }

  #selected(op: string, selection: WritebackSelection): { device: Device; io: StoreIo; wanted: (page: Found) => boolean } {
    const taken = takeSelection(op, selection);
    const device = this.#live(op);
    const wanted = wantedBy(op, taken, device.pages);
    if (device.io === undefined) throw new CompcacheError('ENODEV', op, 'there is no backing store');
    if (this.#busy) throw new CompcacheError('EBUSY', op, 'another writeback runs');
    if (this.#budget <= 0) throw new CompcacheError('EIO', op, 'writebackLimit is used up');
    return { device, io: device.io, wanted };
  }

  /** Pages to move, largest first in steps of 64 bytes. Those of a step are looked for when their turn comes. */
  *#candidates(op: string, device: Device, wanted: (page: Found) => boolean): Generator<number> {
    const sizes = new Uint32Array(PAGE_SIZE / BUCKET + 1);
    for (const page of this.#states()) if (isObject(page) && wanted(page)) (sizes[bucketOf(page)] as number) += 1;
    for (let bucket = sizes.length - 1; bucket >= 0; bucket--) {
      if (sizes[bucket] === 0) continue;
      for (const page of this.#states()) {
        if (isObject(page) && bucketOf(page) === bucket && wanted(page) && !this.#moving.has(page.index)) yield page.index;
        if (this.#device !== device || this.#closed) return;
      }
    }
  }

  #beginMove(op: string, device: Device, index: number, run: { failure: CompcacheError | undefined }): Job | undefined {
    if (this.#budget <= 0) {
      run.failure = new CompcacheError('EIO', op, 'writebackLimit is used up');
      return undefined;
    }
    const length = device.front.ramzOut(device.address, index) >>> 0;
    if (codeOf(length) === 'ENOSPC' && length >= ERRNO_MIN) run.failure = new CompcacheError('ENOSPC', op, 'no slot of the backing store is free');
    if (length >= ERRNO_MIN) return undefined;
    this.#budget -= 1;
    const job = this.#job(device, index, length);
    this.#moving.set(index, job);
    return job;
  }

  #endMove(device: Device, job: Job, outcome: Outcome<unknown>, run: { moved: number; failure: CompcacheError | undefined }): void {
    if (this.#device !== device || rams.isClosed(device.ram)) return;
    const unchanged = this.#moving.get(job.index) === job;
    if (unchanged) this.#moving.delete(job.index);
    if ('failure' in outcome) run.failure ??= outcome.failure;
    else this.#counters.bdWrites += 1;
    const moved = unchanged && !('failure' in outcome) && device.front.ramzWritten(device.address, job.index, job.slot, job.generation) === 0;
    if (moved) run.moved += 1;
    else {
      this.#budget += 1;
      this.#settle(device, job, outcome);
    }
    device.frees?.drain();
  }

  // ── recompression ──────────────────────────────────────────────────────────

  /**
   * Compresses pages anew with the further codecs. A page keeps its object unless the new one takes a smaller size class; one
   * that none of them makes smaller is marked, and never tried again until it is written. A page that is tried is not idle any
   * more.
   * @returns pages that take less now
   * @throws EINVAL no further codecs, or a threshold that no block reaches. It ends where there is no frame for a new object
   */
  recompress(options: RecompressOptions = {}): number {
    const op = 'ramzswap.recompress';
    const taken = takeOptions<RecompressOptions>(op, options, ['type', 'threshold', 'maxPages', 'priority']);
    const { type, threshold = PAGE_SIZE, maxPages = Infinity, priority } = taken;
    const device = this.#live(op);
    if (type !== undefined) requireWord(op, 'type', type, ['idle', 'huge', 'huge_idle']);
    if (taken.threshold !== undefined) requireRange(op, 'threshold', threshold, 1, this.#most);
    if (maxPages !== Infinity) requireU32(op, 'maxPages', maxPages);
    const last = this.#priorities.length - 1;
    if (last === 0) throw new CompcacheError('EINVAL', op, 'there are no further codecs');
    if (priority !== undefined) requireRange(op, 'priority', priority, 1, last);
    const mask = type === 'idle' ? IDLE : type === 'huge' ? HUGE : type === 'huge_idle' ? HUGE | IDLE : 0;
    let tried = 0;
    let smaller = 0;
    let compacted = false;
    for (const page of this.#states()) {
      if (!isObject(page) || (page.state & mask) !== mask || (page.state & INCOMPRESSIBLE) !== 0) continue;
      if (taken.threshold !== undefined && page.bytes < threshold) continue;
      const from = (page.state & HUGE) !== 0 ? 1 : ((page.state >>> PRIORITY_SHIFT) & PRIORITY_MASK) + 1;
      const tries = priority === undefined ? range(from, last) : priority >= from ? [priority] : [];
      if (tries.length === 0) continue;
      if (tried++ >= maxPages) break;
      let done = this.#recompressPage(op, device, page.index, tries, threshold);
      if (done === undefined && !compacted) {
        compacted = true; // once: what earlier pages have left may lie together
        this.#counters.compacted += zpools.compact(op, device.pool);
        done = this.#recompressPage(op, device, page.index, tries, threshold);
      }
      if (done === undefined) break;
      if (done === 'smaller') smaller += 1;
      else if (done === 'never' && tries.at(-1) === last && (priority === undefined || last === 1)) device.front.ramzGiveUp(device.address, page.index);
      if (this.#live(op) !== device) break;
    }
    return smaller;
  }

  /** Tries codecs on a page; 'never' when none makes it smaller, 'not now' when that is not known; undefined without a frame. */
  #recompressPage(op: string, device: Device, index: number, priorities: readonly number[], threshold: number): 'smaller' | 'never' | 'not now' | undefined {
    const { front, address } = device;
    let verdict: 'never' | 'not now' = 'never';
    for (const priority of priorities) {
      const number = this.#priorities[priority] as number;
      let result = DECOMPRESS;
      if (number < FIRST_FOREIGN) result = front.ramzRecompress(address, index, priority, threshold) >>> 0;
      if (result === DECOMPRESS) result = this.#recompressWith(op, device, index, priority, threshold);
      if (result === REPLACED) {
        this.#changes += 1;
        this.#moving.delete(index); // but what is to come in its place comes
        return 'smaller';
      }
      if (result === ENOMEM) return undefined;
      if (result === ENOENT) return 'not now';
      if (result !== 0) verdict = 'not now';
    }
    return verdict;
  }

  /** The same where a codec outside the core has a part: as ramzReplace, CODEC_FAILED. */
  #recompressWith(op: string, device: Device, index: number, priority: number, threshold: number): number {
    const { core, front, address, blockAddress } = device;
    const peeked = front.ramzPeek(address, index) >>> 0;
    if (peeked !== PAGE_SIZE && peeked !== DECOMPRESS) return peeked;
    const changes = this.#changes;
    // Foreign code may have written the page, or ended the device.
    const isOld = (): boolean => this.#device !== device || rams.isClosed(device.ram) || this.#changes !== changes;
    let page: Uint8Array;
    try {
      page = peeked === DECOMPRESS ? this.#decompress(op, device) : core.page.slice();
    } catch {
      return CODEC_FAILED;
    }
    if (isOld()) return CODEC_FAILED;
    const number = this.#priorities[priority] as number;
    let length: number;
    if (number < FIRST_FOREIGN) {
      core.page.set(page);
      length = core.exports.codecCompress(number, PAGE_SIZE, this.#most) >>> 0;
    } else {
      const block = this.#compressed(op, number, page);
      if (block === undefined || isOld()) return CODEC_FAILED;
      core.bytes.set(block, blockAddress);
      length = block.length;
    }
    return length === 0 ? 0 : front.ramzReplace(address, index, length, priority, threshold) >>> 0;
  }

  // ── figures ────────────────────────────────────────────────────────────────

  /** ramzswap's record. */
  stats(): RamzswapStats {
    const device = this.#live('ramzswap.stats');
    const { numReads, numWrites, failedReads, failedWrites, invalidIo, notifyFree, discard, bdReads, bdWrites } = this.#counters;
    const figures = figuresOf(device);
    return {
      disksize: device.pages * PAGE_SIZE, memlimit: this.#memlimit,
      numReads, numWrites, failedReads, failedWrites, invalidIo, notifyFree, discard,
      pagesSame: figures.same, pagesStored: figures.stored, pagesUsed: figures.frames, goodCompress: figures.good, pagesExpand: figures.huge,
      origDataSize: figures.stored * PAGE_SIZE, comprDataSize: figures.bytes, memUsedTotal: figures.frames * PAGE_SIZE,
      bdevNumReads: bdReads, bdevNumWrites: bdWrites,
    };
  }

  /** zram's mm_stat. */
  mmStat(): MmStat {
    const device = this.#live('ramzswap.mmStat');
    const figures = figuresOf(device);
    return {
      origDataSize: figures.stored * PAGE_SIZE,
      comprDataSize: figures.bytes,
      memUsedTotal: figures.frames * PAGE_SIZE,
      memLimit: this.#memlimit,
      memUsedMax: figures.peak * PAGE_SIZE,
      samePages: figures.same,
      pagesCompacted: this.#counters.compacted,
      hugePages: figures.huge,
      hugePagesSince: figures.hugeEver,
    };
  }

  /** zram's mem_used_max: from now on counts what is used now. */
  resetMemUsedMax(): void {
    const device = this.#live('ramzswap.resetMemUsedMax');
    device.front.ramzResetPeak(device.address);
  }

  /** zram's io_stat. */
  ioStat(): IoStat {
    this.#live('ramzswap.ioStat');
    const { failedReads, failedWrites, invalidIo, notifyFree } = this.#counters;
    return { failedReads, failedWrites, invalidIo, notifyFree };
  }

  /** zram's bd_stat. */
  bdStat(): BdStat {
    const device = this.#live('ramzswap.bdStat');
    const { bdReads, bdWrites } = this.#counters;
    return { bdCount: figuresOf(device).written, bdReads, bdWrites };
  }

  /** zram's block_state: every page that holds something, in order. */
  blockState(): Generator<BlockState> {
    this.#live('ramzswap.blockState');
    return this.#blocks();
  }

  *#blocks(): Generator<BlockState> {
    const { front, address } = this.#device ?? this.#live('ramzswap.blockState');
    for (const { index, state, bytes } of this.#states()) {
      const kind = state & KIND_MASK;
      const object = kind === ENTRY;
      const recompressed = object && ((state >>> PRIORITY_SHIFT) & PRIORITY_MASK) !== 0;
      const flags = [
        kind === FILL ? 's' : '.', kind === WRITTEN ? 'w' : '.', object && (state & HUGE) !== 0 ? 'h' : '.', object && (state & IDLE) !== 0 ? 'i' : '.',
        recompressed ? 'r' : '.', object && (state & INCOMPRESSIBLE) !== 0 ? 'n' : '.',
      ];
      yield { index, accessTime: front.ramzSecond(address, state) >>> 0, flags: flags.join(''), bytes };
    }
  }

  /** Walks every structure of its RAM. @throws EUCLEAN */
  check(): void {
    rams.check(this.#live('ramzswap.check').ram);
  }

  /** The RAM that it works in. @throws ENODEV before init */
  get ram(): Ram {
    return this.#live('ramzswap.ram').ram;
  }

  // ── inside ─────────────────────────────────────────────────────────────────

  /** The time, by the caller's clock, which may do anything: it is asked before all else. What it throws is thrown. EINVAL. */
  #time(op: string): number {
    const time: unknown = this.#clock();
    if (isPromise(time) || typeof time !== 'number' || !Number.isFinite(time)) throw new CompcacheError('EINVAL', op, `clock must give a finite number, not ${show(time)}`);
    return time;
  }

  #next({ front, address, core }: Device, index: number): Found | undefined {
    if (front.ramzNext(address, index) === 0) return undefined;
    const { out } = core;
    return { index: out[OUT_KEY_LOW] as number, state: out[OUT_PAGE_STATE] as number, bytes: out[OUT_PAGE_BYTES] as number };
  }

  /** Every page that holds something, in order. */
  *#states(): Generator<Found> {
    const device = this.#device;
    for (let index = 0; device !== undefined && this.#device === device && !rams.isClosed(device.ram); index++) {
      const found = this.#next(device, index);
      if (found === undefined) return;
      index = found.index;
      yield found;
    }
  }

  /** Page 0 as mkswap makes it. */
  #writeHeader(op: string, time: number): void {
    const { pages } = this.#live(op);
    const page = new Uint8Array(PAGE_SIZE);
    const view = new DataView(page.buffer);
    view.setUint32(1024, 1, true); // version
    view.setUint32(1028, pages - 1, true); // last page
    page.set(new TextEncoder().encode('SWAPSPACE2'), PAGE_SIZE - 10);
    this.#put(op, 0, page, time);
  }
}

function bucketOf({ bytes }: Found): number {
  return Math.floor(bytes / BUCKET);
}

/** What is counted of I/O. */
function noCounters() {
  return { numReads: 0, numWrites: 0, failedReads: 0, failedWrites: 0, invalidIo: 0, notifyFree: 0, discard: 0, bdReads: 0, bdWrites: 0, compacted: 0 };
}

function atWork(op: string): CompcacheError {
  return new CompcacheError('EBUSY', op, 'a call waits for the backing store');
}

/** Whether compaction would bring a frame, where the allocator knows. */
function isFreeable({ core, pool, settings: { allocator = DEFAULT_ALLOCATOR } }: Device): boolean {
  return rowOf(allocator).knowsFreeable && core.exports.zpoolFreeable(zpools.address(pool)) >>> 0 !== 0;
}

/** Second of a device's life. */
function secondOf({ start }: Device, time: number): number {
  return Math.min(TIME_END - 1, Math.max(0, Math.floor(time - start)));
}

function seconds(): number {
  return performance.now() / 1000;
}

/** The most bytes of a block that is worth keeping: a longer one takes as much as the page itself. */
function mostOf({ pool, core }: Device): number {
  return Math.min(core.exports.zpoolHugeSize(zpools.address(pool)) >>> 0, PAGE_SIZE - 1);
}

function figuresOf({ front, address }: Device): Record<'stored' | 'same' | 'huge' | 'written' | 'hugeEver' | 'peak' | 'bytes' | 'good' | 'frames', number> {
  const figure = (which: number): number => front.ramzFigure(address, which);
  const same = figure(RAMZ_SAME);
  const written = figure(RAMZ_WRITTEN);
  return {
    stored: figure(RAMZ_OBJECTS) + same + written,
    same,
    huge: figure(RAMZ_HUGE),
    written,
    hugeEver: figure(RAMZ_HUGE_EVER),
    peak: figure(RAMZ_PEAK),
    bytes: figure(RAMZ_BYTES),
    good: figure(RAMZ_GOOD),
    frames: figure(RAMZ_FRAMES),
  };
}

/** A copy of a page of ours with some of its bytes replaced. EINVAL when those are others now: reading the page may have run foreign code. */
function patched(op: string, page: Uint8Array, part: Uint8Array, from: number, length: number): Uint8Array {
  const copy = page.slice();
  requireUnshrunk(op, 'bytes', part, length);
  copyOut(op, 'bytes', copy, part, from);
  return copy;
}

/** A caller's array for a range of the device: as it is when it lies in one page, else a view of ours, which is used in steps. */
function inSteps(op: string, what: string, offset: number, bytes: Uint8Array, length: number): Uint8Array {
  return (offset % PAGE_SIZE) + length <= PAGE_SIZE ? bytes : viewOf(op, what, bytes);
}

/** Bytes of such a view for the next page. EINVAL when it has become shorter. */
function stepOf(op: string, view: Uint8Array, all: number, at: number, length: number): Uint8Array {
  requireUnshrunk(op, 'bytes', view, all);
  return view.subarray(at, at + length);
}

/** A copy of a part of so many bytes. EINVAL when it has other ones now. */
function exactly(op: string, part: Uint8Array, length: number): Uint8Array {
  const copy = copyOf(op, 'bytes', part);
  requireUnshrunk(op, 'bytes', copy, length);
  return copy;
}

/** A part of a page of ours. */
function partOf(page: Uint8Array, from: number, length: number): Uint8Array {
  return length === PAGE_SIZE ? page : page.subarray(from, from + length);
}

/** The pages that a range of bytes lies in: from where in the page, where in the buffer, how many bytes. */
function* partsOf(offset: number, length: number): Generator<{ index: number; from: number; at: number; length: number }> {
  for (let at = 0; at < length; ) {
    const from = (offset + at) % PAGE_SIZE;
    const part = Math.min(PAGE_SIZE - from, length - at);
    yield { index: Math.floor((offset + at) / PAGE_SIZE), from, at, length: part };
    at += part;
  }
}

function range(first: number, last: number): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
}

function movedOf(run: { moved: number; failure: CompcacheError | undefined }): number {
  if (run.moved === 0 && run.failure !== undefined) throw run.failure;
  return run.moved;
}
