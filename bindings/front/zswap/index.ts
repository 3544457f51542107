/// <reference lib="esnext.disposable" preserve="true" />
/** Zswap: a compressed cache of swapped pages in front of a backing store. */
import {
  ANSWERS_END, BEING_WRITTEN, CODEC_MAX, COMPRESS, DECOMPRESS, DUPLICATE_ENTRY, ENOENT, ENOMEM, ENOSPC, FIRST_FOREIGN, FULL, IN_STORE,
  NO_SLOT, OUT_CURSOR, OUT_ENTRIES, OUT_GENERATION, OUT_JOB, OUT_KEY_HIGH, OUT_KEY_LOW, OUT_SLOT, POOR, RAW_KEYS, VICTIM_ENTRY, VICTIM_PAGE,
  WRITE_DONE, WRITE_FAILED, WRITE_LATE, ZSWAP_ENTRIES, ZSWAP_IN_FLIGHT, ZSWAP_LIMIT, ZSWAP_POOL_FRAMES, ZSWAP_RAW, ZSWAP_SAME_FILLED,
  ZSWAP_SLOTS, ZSWAP_STORED, ZSWAP_WRITTEN,
} from '../../../assembly/abi.ts';
import { DEFAULT_ALLOCATOR, requireAllocator, rowOf } from '../../allocators.ts';
import { SLOT_BYTES } from '../../backing/types.ts';
import { copyIn, copyOf, copyOut, firstOf, requireUnshrunk, viewOf } from '../../bytes.ts';
import { CORE_CODECS, type CoreCodecName } from '../../codec/core.ts';
import { requirePage, type ForeignCodec } from '../../codec/foreign.ts';
import { ASYNC_DISPOSE, DISPOSE } from '../../dispose.ts';
import { CompcacheError, ERRNO_MIN, MAKER, codeOf, isU32, requireMaker, requireU32, show } from '../../errors.ts';
import { SHAPES } from '../../page-table.ts';
import { Ram, rams, type FrontEnd } from '../../ram.ts';
import type { AllocatorName, Codec, ZpoolOptions } from '../../types.ts';
import { PAGE_SIZE, closedCore, type Core, type CoreExports } from '../../wasm.ts';
import { zpools, type Zpool } from '../../zpool.ts';
import {
  codecNow, requireFlag, requirePercent, requireRange, requireZswapOptions, resolveCodec, type TakenZswapOptions,
  type ZswapOptions,
} from '../common/options.ts';
import { decompressed, leaveStore, noFrame, notedPlace, takeStore, tracked } from '../common/shared.ts';
import { SlotFrees } from '../common/slot-frees.ts';
import { StoreIo, bytesRead, type Outcome } from '../common/store-io.ts';
import { Progress, type Goal, type Run } from './run.ts';
import { COUNTERS, type Counter, type ZswapStats } from './stats.ts';

// Answers of ours, beside those of the core.
const CODEC_FAILED = ANSWERS_END;
const RECLAIM_FAILED = ANSWERS_END + 1;

/** Foreign codecs that there are numbers for. */
const CODECS_MAX = CODEC_MAX - FIRST_FOREIGN + 1;
/** Highest type of a page; above are keys of the index's own. */
const TYPE_MAX = RAW_KEYS - 1;
/** Attempts in a row that moved nothing, after which writing back ends, as in the kernel's reclaim. */
const TRIES = 8;
/** Frames given back in one store at most: 1 MiB, so that none takes long. */
const STEP_FRAMES = 256;
/** Entries that a frame may hold, roughly. */
const ENTRIES_PER_FRAME = 4;
/** Frames wanted when an allocation has failed though some are free: the longest zspage by default. */
const ZSPAGE_FRAMES = 8;

/** One zpool that has pages, or the current one. */
interface Used {
  pool: Zpool;
  allocator: AllocatorName;
  codec: number;
}

/** One write to the store. */
interface Job {
  offset: number;
  type: number;
  job: number;
  slot: number;
  generation: number;
  /** Which budget it was taken from. */
  budget: number;
  bytes: Uint8Array;
}

/** A page that is on its way to the store, or waits for its turn. */
type Pending = Pick<Job, 'type' | 'offset' | 'job'>;

/** What swap spaces may do with a zswap and callers may not. @internal */
export interface ZswapAccess {
  /** create, with options that requireZswapOptions has checked. */
  make(op: string, options: TakenZswapOptions): Promise<Zswap>;
  /**
   * store, and what it refuses is written to the store as it is.
   * @throws EAGAIN the store is asynchronous, ENOSPC full, EIO failed, ENOMEM no frame for the index. The page is gone then
   */
  pageOut(op: string, zswap: Zswap, offset: number, page: Uint8Array): void;
  /** The same, which waits. The page is copied at once; until it is written it is read from that copy. */
  pageOutAsync(op: string, zswap: Zswap, offset: number, page: Uint8Array): Promise<void>;
}

/** Not exported from the package. @internal */
export let zswaps: ZswapAccess;

// The symbols' names are computed (dispose.ts), so TypeScript must be told of the methods.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface Zswap {
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A compressed cache of pages that are being swapped out. Pages are kept compressed in a RAM; when that reaches its limit,
 * the coldest are written to a backing store, from where they still load. A page is known by its type (the number of a swap
 * area) and offset (that of a page in it).
 *
 * A page that store() has accepted is there until it is invalidated or replaced: in the pool, or in the store, or on its way,
 * and it loads bit for bit. If the store has lost or changed it, the load fails with EIO and the page is gone; if the store
 * merely fails to answer, the load fails with EIO and the page stays.
 *
 * With an asynchronous store, a synchronous call that would have to wait for it throws EAGAIN; the `…Async` twin waits. What
 * happens while it waits is as good as if it had happened before or after: whoever overwrites, invalidates or loads a page
 * while it is being written wins.
 *
 * Store and codec may call back. A page that is being stored is stored as it was at the call, whatever they do to the caller's
 * array; an array that a page is to be loaded into, and that has become shorter meanwhile or was detached, is EINVAL.
 *
 * Nothing survives the process: the index lies in the RAM. Errors of every method: EINVAL for a bad argument, and nothing
 * changes; ECLOSED after close.
 * @see Linux 6.12 mm/zswap.c (victims 'entry'), 6.1 (victims 'page')
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Zswap {
  readonly #ram: Ram;
  readonly #name: string;
  readonly #victims: 'entry' | 'page';
  readonly #front: CoreExports;
  readonly #address: number;
  readonly #blockAddress: number;
  readonly #ownRam: boolean;
  readonly #io: StoreIo | undefined;
  readonly #frees: SlotFrees | undefined;
  readonly #zpoolOptions: Omit<ZpoolOptions, 'name' | 'evict'>;
  /** The allocator whose options those are. */
  readonly #zpoolOptionsOf: AllocatorName;
  readonly #keep: boolean;
  readonly #raw: boolean;
  readonly #frontEnd: FrontEnd;
  readonly #pools = new Map<number, Used>();
  readonly #codecs: ForeignCodec[] = [];
  /** Pages on their way to the store that are not in the pool, by job. */
  readonly #direct = new Map<number, Uint8Array>();
  #core: Core;
  /** One word of the RAM: pools that have drained. */
  #drained: Uint32Array;
  #current: Used;
  #foreign: ForeignCodec | undefined;
  /** Pools that could not be destroyed yet. */
  #lingering: Zpool[] = [];
  #enabled: boolean;
  #exclusiveLoads: boolean;
  #maxPoolPercent: number;
  #acceptThresholdPercent: number;
  #sameFilled: boolean;
  #budget: number;
  /** Frames above the accept threshold that later stores are to give back. */
  #debt = 0;
  /** How often the budget was set: what a write gives back, it gives to the one that it took from. */
  #budgets = 0;
  #background: Promise<void> | undefined;
  /** Calls that wait for the store and have things to put back when it has answered. */
  readonly #active = new Set<Promise<unknown>>();
  /** Calls so far: whether codec or store have called back. */
  #calls = 0;
  /** Calls on the stack that write back. */
  #running = 0;
  /** The layout that compaction has found nothing in. */
  #vain: string | undefined;
  #closed = false;
  #closing: Promise<void> | undefined;

  private constructor(maker: unknown, op: string, ram: Ram, codec: number | ForeignCodec, options: TakenZswapOptions) {
    requireMaker(maker, 'Zswap', 'Zswap.create');
    const { store } = options;
    this.#ram = ram;
    this.#victims = options.victims ?? 'entry';
    this.#name = rams.freshName(op, ram, 'zswap');
    this.#core = rams.core(op, ram);
    this.#front = this.#core.exports;
    this.#ownRam = options.ram === undefined;
    this.#io = store === undefined ? undefined
      : new StoreIo(store.source, options.maxInFlight ?? 32, options.timeout ?? 30_000, () => this.#frees?.storeChanged(), store.isSync);
    this.#zpoolOptions = options.zpool ?? {};
    this.#zpoolOptionsOf = options.allocator ?? DEFAULT_ALLOCATOR;
    this.#keep = (options.incompressible ?? (store === undefined ? 'refuse' : 'keep')) === 'keep';
    this.#raw = options.writebackCompressed === false;
    this.#enabled = options.enabled ?? true;
    this.#exclusiveLoads = options.exclusiveLoads ?? false;
    this.#maxPoolPercent = options.maxPoolPercent ?? 100;
    this.#acceptThresholdPercent = options.acceptThresholdPercent ?? 90;
    this.#sameFilled = options.sameFilled ?? true;
    this.#budget = options.writebackLimit ?? Infinity;
    this.#blockAddress = this.#core.exports.blockBuffer() >>> 0;
    this.#address = this.#make(op, options.index ?? 'sparse', store?.slots ?? 0);
    this.#drained = new Uint32Array(this.#core.memory.buffer, this.#core.exports.zswapDrainedAt(this.#address) >>> 0, 1);
    this.#frontEnd = {
      name: this.#name,
      ownFrames: () => this.#core.exports.zpoolMetadataFrames(this.#address) >>> 0,
      isBusy: () => this.#figure(ZSWAP_IN_FLIGHT) !== 0,
    };
    this.#frees = this.#io === undefined ? undefined : new SlotFrees(this.#io, this.#core, this.#address, () => this.#isGone());
    this.#configure();
    try {
      this.#current = this.#use(op, this.#zpoolOptionsOf, codec);
    } catch (error) {
      this.#core.exports.zpoolDestroy(this.#address);
      throw error;
    }
    rams.noteFront(ram, this.#frontEnd, true);
  }

  static {
    zswaps = {
      make: (op, options) => Zswap.#create(op, options),
      pageOut: (op, zswap, offset, page) => zswap.#pageOut(op, offset, page),
      pageOutAsync: (op, zswap, offset, page) => zswap.#pageOutAsync(op, offset, page),
    };
  }

  // ── life ───────────────────────────────────────────────────────────────────

  /**
   * Creates a zswap.
   * @throws EINVAL for a bad option or a combination that there is not; EBUSY for a store that another front end has; ENOMEM
   *   without frames for its tables; ENODEV for a codec that the host lacks; what Ram.create throws
   */
  static async create(options: ZswapOptions = {}): Promise<Zswap> {
    return Zswap.#create('Zswap.create', requireZswapOptions('Zswap.create', options));
  }

  static async #create(op: string, options: TakenZswapOptions): Promise<Zswap> {
    const codec = await resolveCodec(op, options.codec);
    const ram = options.ram ?? (await Ram.create(pick(options, ['bytes', 'limit', 'build', 'simd', 'module'])));
    try {
      return Zswap.#over(op, ram, codec, options);
    } catch (error) {
      if (options.ram === undefined) ram.close();
      throw error;
    }
  }

  /** Takes the store, for as long as there is a zswap. */
  static #over(op: string, ram: Ram, codec: number | ForeignCodec, options: TakenZswapOptions): Zswap {
    const store = options.store?.source;
    if (store !== undefined) takeStore(op, store);
    try {
      return new Zswap(MAKER, op, ram, codec, options);
    } catch (error) {
      if (store !== undefined) leaveStore(store);
      throw error;
    }
  }

  #make(op: string, index: 'sparse' | 'dense', slots: number): number {
    const { page, pageAddress } = this.#core;
    const utf8 = new TextEncoder().encode(this.#name);
    page.set(utf8);
    const victims = this.#victims === 'page' ? VICTIM_PAGE : VICTIM_ENTRY;
    const epoch = Math.floor(Math.random() * 2 ** 32);
    const address = this.#front.zswapCreate(victims, SHAPES[index], slots, epoch, pageAddress, utf8.length) >>> 0;
    if (address < ERRNO_MIN) return address;
    throw noFrame(op, this.#core, address);
  }

  /**
   * Ends it: waits for writes that are under way, has the store make them last, and gives all frames back. Pages are not
   * written for that: nothing could find them again. The store stays open, it is the caller's; slots that hold pages are not
   * freed there. Another front end may have it once its calls have ended, those that hang included. Idempotent.
   * @returns when all is done; with a synchronous store, all is done when close returns
   * @throws EBUSY (a rejection) inside an evict callback in its RAM: nothing has changed then, and it can be called again. EIO
   *   (a rejection) when the store's sync fails; everything else is done then
   */
  async close(): Promise<void> {
    return this.#close();
  }

  /** @throws EBUSY inside an evict callback in its RAM: nothing has changed then */
  [DISPOSE](): void {
    this.#close().catch(() => undefined);
  }

  [ASYNC_DISPOSE](): Promise<void> {
    return this.close();
  }

  /** All that can fail comes first. */
  #close(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    const op = 'zswap.close';
    rams.requireIdle(op, this.#ram);
    let end: (end: Promise<void>) => void = () => undefined;
    // A store that closes it again while it is asked to sync gets the same promise.
    this.#closing = new Promise((resolve) => (end = resolve));
    end(this.#finish(op));
    return this.#closing;
  }

  async #finish(op: string): Promise<void> {
    this.#closed = true;
    this.#calls += 1;
    const io = this.#io;
    // A store or codec that closes it is called by something that has things to put back.
    while (this.#running !== 0) await undefined;
    while (this.#active.size !== 0) await Promise.allSettled(this.#active);
    let outcome: Outcome<unknown> | undefined;
    if (io !== undefined) {
      if (!io.isSync) await io.idle();
      const sync = (): unknown => io.store.sync?.();
      outcome = io.isSync ? io.now(op, sync) : await io.soon(op, sync);
    }
    this.#release(op);
    if (outcome !== undefined && 'failure' in outcome) throw outcome.failure;
  }

  /** Gives back what it has: the store, and its frames. Nothing foreign runs in here. */
  #release(op: string): void {
    const core = this.#core;
    const pools = [...[...this.#pools.values()].map((used) => used.pool), ...this.#lingering];
    this.#core = closedCore();
    this.#drained = new Uint32Array(1);
    this.#direct.clear();
    this.#pools.clear();
    this.#lingering = [];
    this.#leaveStore();
    if (rams.isClosed(this.#ram)) return;
    rams.noteFront(this.#ram, this.#frontEnd, false);
    if (this.#ownRam) {
      this.#ram.close();
      return;
    }
    for (const pool of pools) zpools.destroy(op, pool);
    core.exports.zpoolDestroy(this.#address);
  }

  /** A write that hangs may still strike a slot: until it has ended, nobody else is to have the store. */
  #leaveStore(): void {
    const io = this.#io;
    if (io === undefined) return;
    if (io.inFlight === 0) leaveStore(io.store);
    else void io.ended().then(() => leaveStore(io.store));
  }

  /** Every call begins with this, but those that change nothing. */
  #live(op: string): void {
    this.#calls += 1;
    if (this.#isOver) throw new CompcacheError('ECLOSED', op, `${this.#name} or its RAM is closed`);
  }

  // ── settings ───────────────────────────────────────────────────────────────

  /** The RAM that it works in. */
  get ram(): Ram {
    return this.#ram;
  }

  /** Its name among the pools of the RAM. */
  get name(): string {
    return this.#name;
  }

  get victims(): 'entry' | 'page' {
    return this.#victims;
  }

  /** Whether pages are stored. Those that are there stay. */
  get enabled(): boolean {
    return this.#enabled;
  }

  set enabled(value: boolean) {
    requireFlag('zswap.enabled', 'enabled', value);
    this.#live('zswap.enabled');
    this.#enabled = value;
  }

  /** The most frames it may have, in percent of all frames of the RAM. A lower one takes effect with the next store. */
  get maxPoolPercent(): number {
    return this.#maxPoolPercent;
  }

  set maxPoolPercent(value: number) {
    requirePercent('zswap.maxPoolPercent', 'maxPoolPercent', value);
    this.#live('zswap.maxPoolPercent');
    this.#maxPoolPercent = value;
    this.#configure();
  }

  /** Where, in percent of that limit, pages are accepted again. */
  get acceptThresholdPercent(): number {
    return this.#acceptThresholdPercent;
  }

  set acceptThresholdPercent(value: number) {
    requirePercent('zswap.acceptThresholdPercent', 'acceptThresholdPercent', value);
    this.#live('zswap.acceptThresholdPercent');
    this.#acceptThresholdPercent = value;
    this.#configure();
  }

  get sameFilled(): boolean {
    return this.#sameFilled;
  }

  set sameFilled(value: boolean) {
    requireFlag('zswap.sameFilled', 'sameFilled', value);
    this.#live('zswap.sameFilled');
    this.#sameFilled = value;
    this.#configure();
  }

  get exclusiveLoads(): boolean {
    return this.#exclusiveLoads;
  }

  set exclusiveLoads(value: boolean) {
    requireFlag('zswap.exclusiveLoads', 'exclusiveLoads', value);
    this.#live('zswap.exclusiveLoads');
    this.#exclusiveLoads = value;
  }

  /** How many pages may still be written back; Infinity without a limit. */
  get writebackLimit(): number {
    return this.#budget;
  }

  set writebackLimit(value: number) {
    if (value !== Infinity) requireRange('zswap.writebackLimit', 'writebackLimit', value, 0, Number.MAX_SAFE_INTEGER);
    this.#live('zswap.writebackLimit');
    this.#budget = value;
    this.#budgets += 1;
  }

  /** The current pool's allocator. Another one starts a new pool; the old one drains and is destroyed when it is empty. @throws ENOMEM, EBUSY when 64 pools drain */
  get allocator(): AllocatorName {
    return this.#current.allocator;
  }

  set allocator(value: AllocatorName) {
    const op = 'zswap.allocator';
    requireAllocator(op, value);
    this.#live(op);
    this.#current = this.#use(op, value, this.#foreign ?? this.#current.codec);
    this.#settle();
  }

  /** Name of the current pool's codec. Set to a name of the core or a Codec, it starts a new pool, as `allocator` does. */
  get codec(): string {
    return this.#codecName(this.#current.codec);
  }

  set codec(value: CoreCodecName | Codec) {
    const op = 'zswap.codec';
    const codec = codecNow(op, value);
    this.#live(op);
    this.#current = this.#use(op, this.#current.allocator, codec);
    this.#settle();
  }

  #codecName(number: number): string {
    return Object.keys(CORE_CODECS)[number] ?? (this.#codecs[number - FIRST_FOREIGN] as ForeignCodec).name;
  }

  #configure(): void {
    this.#front.zswapSet(this.#address, this.#maxPoolPercent, this.#acceptThresholdPercent, this.#sameFilled ? 1 : 0, this.#keep ? 1 : 0);
  }

  /** Makes the pool with that allocator and codec the current one. */
  #use(op: string, allocator: AllocatorName, codec: number | ForeignCodec): Used {
    const number = typeof codec === 'number' ? codec : this.#numberOf(op, codec);
    let used = [...this.#pools.values()].find((one) => one.allocator === allocator && one.codec === number);
    const isNew = used === undefined;
    if (used === undefined) {
      const options = allocator === this.#zpoolOptionsOf ? this.#zpoolOptions : {};
      used = { pool: rams.heldPool(op, this.#ram, allocator, { ...options, name: rams.freshName(op, this.#ram, `${this.#name}/${allocator}`) }), allocator, codec: number };
    }
    const index = this.#front.zswapUse(this.#address, zpools.address(used.pool), number) >>> 0;
    if (index >= ERRNO_MIN) {
      if (isNew) zpools.destroy(op, used.pool);
      throw new CompcacheError('EBUSY', op, 'too many pools are draining');
    }
    this.#pools.set(index, used);
    // It is kept for the blocks that it has made; a call that fails keeps none.
    if (typeof codec !== 'number') this.#codecs[number - FIRST_FOREIGN] ??= codec;
    this.#foreign = number < FIRST_FOREIGN ? undefined : this.#codecs[number - FIRST_FOREIGN];
    return used;
  }

  /** The number of a codec that is not of the core: the one that it had, or the next. */
  #numberOf(op: string, codec: ForeignCodec): number {
    const at = this.#codecs.findIndex(({ source }) => source === codec.source);
    const next = at === -1 ? this.#codecs.length : at;
    if (next >= CODECS_MAX) throw new CompcacheError('EBUSY', op, `${CODECS_MAX} codecs have been used`);
    return FIRST_FOREIGN + next;
  }

  // ── store ──────────────────────────────────────────────────────────────────

  /**
   * Stores a page, in place of an older one of the same key.
   *
   * When the limit is reached, a synchronous store takes the coldest pages first, down to the accept threshold, at most 256
   * frames of them in this call and the rest in those that follow; with an asynchronous one that begins in the background, and
   * pages are refused until it has come so far.
   * @param type of the area, 0 … 4294967039 (0 with index 'dense')
   * @param offset of the page in it, 0 … 4294967295
   * @param page 4096 bytes
   * @returns whether it was accepted. If not, a counter of stats() says why, and an older copy is gone: nobody may load it
   * @see Linux 6.12 mm/zswap.c zswap_store
   */
  store(type: number, offset: number, page: Uint8Array): boolean {
    return this.#offer('zswap.store', type, offset, page, false) === undefined;
  }

  /** Undefined when the page was accepted. Else the page: with `again` in memory of ours, as it was at the call. */
  #offer(op: string, type: number, offset: number, given: Uint8Array, again: boolean): Uint8Array | undefined {
    this.#requireKey(op, type, offset);
    requirePage(op, 'page', given);
    this.#live(op);
    if (!this.#enabled) {
      const page = again ? copyOf(op, 'page', given) : given;
      this.#front.zswapInvalidate(this.#address, offset, type);
      this.#settle();
      return page;
    }
    // Store and codec may take the caller's array away. Before they run, the page is copied; most stores need neither.
    let page = this.#foreign !== undefined || this.#debt > 0 ? copyOf(op, 'page', given) : given;
    if (this.#debt > 0) this.#payOff(op);
    let result = this.#attempt(op, type, offset, page);
    const lacksRoom = result === FULL || result === ENOMEM || result === ENOENT;
    if (page === given && result !== 0 && (again || (lacksRoom && this.#io?.isSync === true))) page = copyOf(op, 'page', given);
    if (lacksRoom) result = this.#retry(op, type, offset, page, result);
    if (result !== 0) this.#refused(op, result);
    this.#settle();
    return result === 0 ? undefined : page;
  }

  /** One try: 0, or why not. */
  #attempt(op: string, type: number, offset: number, page: Uint8Array): number {
    copyIn(op, 'page', this.#core.page, page);
    if (this.#foreign !== undefined) return this.#attemptWith(op, type, offset, page, this.#foreign);
    return this.#front.zswapStore(this.#address, offset, type) >>> 0;
  }

  /** With a codec that is not of the core: it compresses in between. */
  #attemptWith(op: string, type: number, offset: number, page: Uint8Array, codec: ForeignCodec): number {
    const begun = this.#front.zswapBegin(this.#address, offset, type) >>> 0;
    if (begun !== COMPRESS) return begun;
    const most = this.#front.zswapMost(this.#address) >>> 0;
    let block: Uint8Array | undefined;
    try {
      block = codec.compress(op, page, most);
    } catch {
      this.#live(op);
      return CODEC_FAILED;
    }
    // It was foreign code: it may have closed this, or made another pool the current one.
    this.#live(op);
    if (codec !== this.#foreign || (block?.length ?? 0) > this.#front.zswapMost(this.#address) >>> 0) return CODEC_FAILED;
    if (block === undefined) this.#core.page.set(page);
    else this.#core.blockBuffer.set(block);
    return this.#front.zswapPut(this.#address, offset, type, block?.length ?? 0) >>> 0;
  }

  /** Makes room, if anything can, and tries again. */
  #retry(op: string, type: number, offset: number, page: Uint8Array, result: number): number {
    if (this.#io === undefined) return result;
    const frames = Math.max(this.#excess(), result === FULL ? 1 : ZSPAGE_FRAMES);
    if (!this.#io.isSync) {
      this.#startShrinking(op, frames);
      return result;
    }
    const before = this.#frames();
    const run = this.#shrinkNow(op, Math.min(frames, STEP_FRAMES));
    this.#live(op);
    if (run.moved === 0 && this.#frames() >= before) return result === FULL ? RECLAIM_FAILED : result;
    this.#debt = frames > STEP_FRAMES ? this.#excess() : 0;
    if (this.#debt > 0) this.#front.zswapAccept(this.#address);
    return this.#attempt(op, type, offset, page);
  }

  /** Goes on with what a full pool began, a step a store: down to the accept threshold, or until nothing goes any more. */
  #payOff(op: string): void {
    const before = this.#excess();
    if (before > 0) this.#shrinkNow(op, Math.min(before, STEP_FRAMES));
    this.#live(op);
    const left = this.#excess();
    this.#debt = left < before ? left : 0;
  }

  /** Counts why a page was refused. */
  #refused(op: string, result: number): void {
    switch (result) {
      case FULL: break; // poolLimitHit, or the limit was hit before and is not yet left by enough
      case POOR: this.#count('rejectCompressPoor'); break;
      case CODEC_FAILED: this.#count('rejectCompressFail'); break;
      case RECLAIM_FAILED: this.#count('rejectReclaimFail'); break;
      case ENOENT: this.#count('rejectKmemcacheFail'); break;
      case ENOMEM: this.#count('rejectAllocFail'); break;
      default: throw this.#failure(op, result);
    }
  }

  #count(counter: Counter): void {
    this.#front.zswapCount(this.#address, COUNTERS[counter]);
  }

  // ── load ───────────────────────────────────────────────────────────────────

  /**
   * Loads a page, from the pool or the store.
   * @param into 4096 bytes; unchanged unless the page is found
   * @returns whether it is there
   * @throws EIO when its bytes are damaged or the store fails; EAGAIN when it is in an asynchronous store
   * @see Linux 6.12 mm/zswap.c zswap_load
   */
  load(type: number, offset: number, into: Uint8Array): boolean {
    const op = 'zswap.load';
    this.#requireKey(op, type, offset);
    requirePage(op, 'into', into);
    this.#live(op);
    const result = this.#find(type, offset);
    if (result === 0) return false;
    if (result !== PAGE_SIZE) return this.#loadNow(op, type, offset, viewOf(op, 'into', into), result);
    copyOut(op, 'into', into, this.#core.page);
    if (this.#exclusiveLoads) this.#settle();
    return true;
  }

  /** load, which waits for an asynchronous store. @throws EIO; EINVAL also when `into` has become shorter meanwhile */
  async loadAsync(type: number, offset: number, into: Uint8Array): Promise<boolean> {
    const op = 'zswap.loadAsync';
    this.#requireKey(op, type, offset);
    requirePage(op, 'into', into);
    const view = viewOf(op, 'into', into);
    for (;;) {
      this.#live(op);
      requireUnshrunk(op, 'into', view, PAGE_SIZE);
      const result = this.#find(type, offset);
      if (result !== IN_STORE) return this.#loadHere(op, type, offset, view, result);
      if (await this.#loadSoon(op, type, offset, view)) return true;
    }
  }

  /** What the core says of a page, which it puts into the page buffer if it can. */
  #find(type: number, offset: number): number {
    return this.#front.zswapLoad(this.#address, offset, type, this.#exclusiveLoads ? 1 : 0) >>> 0;
  }

  /** Gives a page out that need not be read from the store. `into` still has 4096 bytes. False: there is none. */
  #loadHere(op: string, type: number, offset: number, into: Uint8Array, result: number): boolean {
    if (result === 0) return false;
    const calls = this.#calls;
    switch (result) {
      case PAGE_SIZE: copyOut(op, 'into', into, this.#core.page); break;
      case DECOMPRESS: copyOut(op, 'into', into, this.#decompress(op)); break;
      case BEING_WRITTEN: copyOut(op, 'into', into, this.#direct.get(this.#core.out[OUT_JOB] as number) as Uint8Array); break;
      default: throw this.#failure(op, result);
    }
    // A codec that has called back may have put another page there: that one stays.
    if (this.#exclusiveLoads && this.#calls === calls) this.#lose(type, offset);
    return true;
  }

  /** The page whose block the core has put into the block buffer. EIO. */
  #decompress(op: string): Uint8Array {
    try {
      return decompressed(op, this.#core, this.#codecs);
    } catch (error) {
      if (!this.#isOver) this.#count('decompressFail');
      throw error;
    }
  }

  /** Loads what the core does not have, from a synchronous store if it says so. */
  #loadNow(op: string, type: number, offset: number, into: Uint8Array, result: number): boolean {
    const io = this.#io as StoreIo;
    // Inside a call of the store there is one try: eight each would be eight to the power of their depth.
    const most = this.#io?.isAtWork === true ? 1 : TRIES;
    for (let tries = 0; result === IN_STORE; tries++) {
      if (!io.isSync) throw new CompcacheError('EAGAIN', op, 'the page is in an asynchronous store: use loadAsync');
      if (tries === most) throw new CompcacheError('EAGAIN', op, `the store has moved the page in each of ${most} reads`);
      const [slot, generation] = notedPlace(this.#core);
      const buffer = new Uint8Array(SLOT_BYTES);
      const outcome = io.now(op, () => io.store.read(slot, buffer));
      this.#live(op);
      requireUnshrunk(op, 'into', into, PAGE_SIZE);
      // The store may have called back; what it changed is how it is now.
      if (this.#isIn(type, offset, slot, generation)) {
        this.#deliver(op, type, offset, into, slot, generation, buffer, outcome);
        return true;
      }
      result = this.#find(type, offset);
    }
    return this.#loadHere(op, type, offset, into, result);
  }

  /** The same from any store. False when the page has moved meanwhile: look again. */
  async #loadSoon(op: string, type: number, offset: number, into: Uint8Array): Promise<boolean> {
    const io = this.#io as StoreIo;
    const [slot, generation] = notedPlace(this.#core);
    if (!io.hasRoom) {
      await io.room(op);
      return false;
    }
    const buffer = new Uint8Array(SLOT_BYTES);
    const outcome = await io.soon(op, () => io.store.read(slot, buffer));
    this.#live(op);
    requireUnshrunk(op, 'into', into, PAGE_SIZE);
    if (!this.#isIn(type, offset, slot, generation)) return false;
    this.#deliver(op, type, offset, into, slot, generation, buffer, outcome);
    return true;
  }

  #isIn(type: number, offset: number, slot: number, generation: number): boolean {
    return this.#front.zswapIsIn(this.#address, offset, type, slot, generation) !== 0;
  }

  /** Gives out what was read of a slot. A slot that holds something else, or nothing, has lost the page: it goes. EIO. */
  #deliver(op: string, type: number, offset: number, into: Uint8Array, slot: number, generation: number, buffer: Uint8Array, outcome: Outcome<unknown>): void {
    const length = bytesRead(op, outcome, buffer);
    if (length instanceof CompcacheError) {
      this.#count('readFail');
      if ('failure' in outcome && outcome.notFound === true) this.#lose(type, offset);
      throw length;
    }
    const calls = this.#calls;
    copyIn(op, 'slot', this.#core.blockBuffer, firstOf(buffer, length));
    const result = this.#front.frontOpen(this.#address, length, slot, generation) >>> 0;
    if (result === PAGE_SIZE) {
      copyOut(op, 'into', into, this.#core.page);
    } else if (result === DECOMPRESS) {
      copyOut(op, 'into', into, this.#decompress(op));
    } else {
      this.#count('readFail');
      this.#lose(type, offset);
      throw new CompcacheError('EIO', op, `slot ${slot} of the store does not hold what was written there: the page is lost`);
    }
    if (this.#exclusiveLoads && this.#calls === calls) this.#lose(type, offset);
  }

  #lose(type: number, offset: number): void {
    this.#front.zswapInvalidate(this.#address, offset, type);
    this.#settle();
  }

  // ── invalidate ─────────────────────────────────────────────────────────────

  /** Whether a page is there, wherever. */
  has(type: number, offset: number): boolean {
    this.#requireKey('zswap.has', type, offset);
    this.#live('zswap.has');
    return this.#front.zswapHas(this.#address, offset, type) !== 0;
  }

  /**
   * Drops a page, in the pool and in the store.
   * @returns whether it was there
   */
  invalidatePage(type: number, offset: number): boolean {
    const op = 'zswap.invalidatePage';
    this.#requireKey(op, type, offset);
    this.#live(op);
    const was = this.#front.zswapInvalidate(this.#address, offset, type) !== 0;
    if (was) this.#settle();
    return was;
  }

  /**
   * Drops all pages of a type. It goes through all keys.
   * @returns how many they were
   */
  invalidateArea(type: number): number {
    const op = 'zswap.invalidateArea';
    this.#requireKey(op, type, 0);
    this.#live(op);
    const pages = this.#front.zswapInvalidateArea(this.#address, type) >>> 0;
    this.#settle();
    return pages;
  }

  // ── writeback ──────────────────────────────────────────────────────────────

  /**
   * Moves the coldest pages to the store. With victims 'page' it moves whole frames or zspages, so it may be more.
   * @param entries pages wanted; 0 does nothing
   * @returns pages moved: fewer when there are no more, writebackLimit is used up, or the store begins to fail
   * @throws ENODEV without a store; EAGAIN with an asynchronous one; when nothing was moved: EIO the store failed, ENOSPC
   *   it is full
   */
  writeback(entries: number): number {
    const op = 'zswap.writeback';
    const io = this.#requireStoreNow(op, 'entries', entries);
    if (!io) return 0;
    return this.#movedOf(this.#moveNow(op, { entries, frames: Infinity }));
  }

  /** writeback, which waits. Several writes are under way at a time, at most maxInFlight. */
  async writebackAsync(entries: number): Promise<number> {
    const op = 'zswap.writebackAsync';
    this.#requireStore(op, 'entries', entries);
    return entries === 0 ? 0 : this.#movedOf(await tracked(this.#active, this.#moveSoon(op, { entries, frames: Infinity })));
  }

  /**
   * Gives frames back to the RAM: by compaction, and by moving the coldest pages to the store. For who is short of memory.
   * @param frames wanted; 0 does nothing
   * @returns frames that came back, which may be more, or fewer for the reasons of writeback
   * @throws as writeback, when none came back
   */
  shrink(frames: number): number {
    const op = 'zswap.shrink';
    const io = this.#requireStoreNow(op, 'frames', frames);
    if (!io) return 0;
    this.#vain = undefined;
    const before = this.#frames();
    return this.#framesOf(before, this.#shrinkNow(op, frames));
  }

  /** shrink, which waits. */
  async shrinkAsync(frames: number): Promise<number> {
    const op = 'zswap.shrinkAsync';
    this.#requireStore(op, 'frames', frames);
    if (frames === 0) return 0;
    this.#vain = undefined;
    const before = this.#frames();
    return this.#framesOf(before, await this.#shrinkSoon(op, frames));
  }

  #requireStore(op: string, what: string, value: number): StoreIo {
    requireU32(op, what, value);
    this.#live(op);
    if (this.#io === undefined) throw new CompcacheError('ENODEV', op, 'there is no backing store');
    return this.#io;
  }

  /** The store for a synchronous call; undefined when there is nothing to do. */
  #requireStoreNow(op: string, what: string, value: number): StoreIo | undefined {
    const io = this.#requireStore(op, what, value);
    if (!io.isSync) throw new CompcacheError('EAGAIN', op, `the store is asynchronous: use ${op.slice(6)}Async`);
    return value === 0 ? undefined : io;
  }

  #movedOf(run: Run): number {
    if (run.moved === 0 && run.failure !== undefined) throw run.failure;
    return run.moved;
  }

  #framesOf(before: number, run: Run): number {
    const freed = Math.max(before - this.#frames(), 0);
    if (freed === 0 && run.failure !== undefined) throw run.failure;
    return freed;
  }

  #frames(): number {
    return this.#front.zswapFrames(this.#address) >>> 0;
  }

  /** Frames above the accept threshold. */
  #excess(): number {
    return this.#front.zswapExcess(this.#address) >>> 0;
  }

  #shrinkNow(op: string, frames: number): Run {
    return this.#moveNow(op, { entries: Infinity, frames });
  }

  #shrinkSoon(op: string, frames: number): Promise<Run> {
    return tracked(this.#active, this.#moveSoon(op, { entries: Infinity, frames }));
  }

  /** Writing back to the accept threshold, behind the caller's back; what fails is counted. */
  #startShrinking(op: string, frames: number): void {
    if (this.#background !== undefined || this.#budget === 0) return;
    this.#background = this.#shrinkSoon(op, frames)
      .then((run) => {
        if (run.moved === 0 && !this.#isOver) this.#count('rejectReclaimFail');
      })
      .catch(() => undefined)
      .finally(() => (this.#background = undefined));
  }

  /** Writing back until the goal is reached or no more goes. With a synchronous store. */
  #moveNow(op: string, goal: Goal): Run {
    // One that store or codec have begun inside another has one try: eight each would be eight to the power of their depth.
    const run: Run = { moved: 0, tries: this.#running === 0 ? 0 : TRIES - 1, failure: undefined };
    const progress = new Progress(goal, this.#frames());
    this.#running += 1;
    try {
      while (this.#wants(progress, run, 0)) {
        const more = this.#victims === 'page' ? this.#pageNow(op, run) : this.#entryNow(op, run);
        if (this.#isOver) return run;
        if (!more) break;
      }
    } finally {
      this.#running -= 1;
    }
    this.#compactFor(progress, run);
    this.#settle();
    return run;
  }

  /** The same with any store, many writes at a time. */
  async #moveSoon(op: string, goal: Goal): Promise<Run> {
    const io = this.#io as StoreIo;
    if (io.isSync) return this.#moveNow(op, goal);
    const run: Run = { moved: 0, tries: 0, failure: undefined };
    const progress = new Progress(goal, this.#frames());
    const active = new Set<Promise<void>>();
    try {
      while (!this.#isOver && this.#wants(progress, run, active.size)) {
        const more = this.#victims === 'page' ? await this.#pageSoon(op, run) : await this.#entrySoon(op, io, run, active, goal);
        if (!more) break;
      }
    } catch (error) {
      run.failure ??= error as CompcacheError;
    }
    await Promise.all(active);
    if (this.#isOver) return run;
    this.#compactFor(progress, run);
    this.#settle();
    return run;
  }

  /** Begins the write of one entry, or waits until that may be. False when there is none, and none under way. */
  async #entrySoon(op: string, io: StoreIo, run: Run, active: Set<Promise<void>>, goal: Goal): Promise<boolean> {
    // For a few frames not many more entries are begun than they hold.
    if (active.size >= goal.frames * ENTRIES_PER_FRAME) {
      await Promise.race(active);
      return true;
    }
    if (!io.hasRoom) {
      await io.room(op);
      return true;
    }
    const calls = this.#calls;
    const job = this.#beginEntry(op, run);
    if (job === undefined && this.#calls !== calls) return true;
    if (job !== undefined) {
      const write = this.#finishSoon(op, job, run).finally(() => active.delete(write));
      active.add(write);
      return true;
    }
    if (run.failure?.code === 'ENOSPC' && (await this.#frees?.freed())) {
      run.failure = undefined;
      return true;
    }
    if (active.size === 0) return false;
    await Promise.race(active);
    return true;
  }

  /** Whether more is to be written. */
  #wants(progress: Progress, run: Run, active: number): boolean {
    if (run.failure !== undefined || this.#budget <= 0 || run.tries >= TRIES) return false;
    if (run.moved + active >= progress.goal.entries) return false;
    if (progress.goal.frames === Infinity || !progress.isDue(run.moved)) return true;
    if (progress.reached(this.#frames())) return false;
    if (this.#victims === 'page') return true;
    if (progress.reached(this.#frames() - this.#freeable()) || progress.compactionIsDue(run.moved)) this.#compact();
    return !progress.reached(this.#frames());
  }

  /** Frames that compaction would give back, where asking costs little. */
  #freeable(): number {
    let frames = 0;
    const { exports } = this.#core;
    for (const { pool, allocator } of this.#pools.values()) if (rowOf(allocator).knowsFreeable) frames += exports.zpoolFreeable(zpools.address(pool)) >>> 0;
    return frames;
  }

  /** What lies scattered after entries were taken here and there is moved together, if that gives the frames wanted. */
  #compactFor(progress: Progress, run: Run): void {
    if (this.#victims !== 'entry' || progress.goal.frames === Infinity || progress.reached(this.#frames())) return;
    // When nothing can be written back, every store comes here; going through all objects in vain once is enough.
    if (run.moved === 0 && this.#vain === this.#layout()) return;
    const before = this.#frames();
    this.#compact();
    this.#vain = this.#frames() < before ? undefined : this.#layout();
  }

  /** Changes when entries come or go. */
  #layout(): string {
    return [ZSWAP_ENTRIES, ZSWAP_POOL_FRAMES, DUPLICATE_ENTRY].map((which) => this.#figure(which)).join();
  }

  #compact(): void {
    for (const { pool } of this.#pools.values()) zpools.compact('zswap.compact', pool);
  }

  /** Begins the write of the next victim by entry; undefined without one, or when a codec has called back: look at all anew. */
  #beginEntry(op: string, run: Run): Job | undefined {
    for (; run.tries < TRIES; run.tries++) {
      const record = this.#front.zswapVictim(this.#address) >>> 0;
      if (record === 0) return undefined;
      const calls = this.#calls;
      const job = this.#begin(op, record, run);
      if (job !== undefined || run.failure?.code === 'ENOSPC') return job;
      if (this.#calls !== calls) {
        run.tries += 1;
        return undefined;
      }
      this.#front.zswapPass(this.#address, record);
    }
    return undefined;
  }

  /** Begins a write: takes a slot and composes it. Undefined, and the failure noted, when that cannot be. */
  #begin(op: string, record: number, run: Run): Job | undefined {
    const { out } = this.#core;
    if (this.#raw && !this.#preparePage(op, record)) return undefined;
    const length = this.#front.zswapWrite(this.#address, record, this.#raw ? 1 : 0) >>> 0;
    if (length < ERRNO_MIN) {
      this.#budget -= 1;
      return this.#jobOf(out[OUT_KEY_LOW] as number, out[OUT_KEY_HIGH] as number, out[OUT_JOB] as number, length);
    }
    if (codeOf(length) === 'ENOSPC') run.failure = new CompcacheError('ENOSPC', op, 'no slot of the backing store is free');
    return undefined;
  }

  /** A write whose slot the core has composed, with a copy of the slot. */
  #jobOf(offset: number, type: number, job: number, length: number): Job {
    const { out, bytes } = this.#core;
    return {
      offset,
      type,
      job,
      slot: out[OUT_SLOT] as number,
      generation: out[OUT_GENERATION] as number,
      budget: this.#budgets,
      bytes: bytes.slice(this.#blockAddress, this.#blockAddress + length),
    };
  }

  /** Before a page is written as it is: a block of a foreign codec is decompressed into the page buffer. False when that fails. */
  #preparePage(op: string, record: number): boolean {
    const length = this.#front.zswapForeign(this.#address, record) >>> 0;
    if (length === 0 || length === PAGE_SIZE) return true;
    if (length >= ERRNO_MIN) return false;
    const calls = this.#calls;
    try {
      const page = this.#decompress(op);
      // It was foreign code: if it has called back, the record may be another page's now.
      if (this.#calls !== calls) return false;
      this.#core.bytes.set(page, this.#core.pageAddress);
      return true;
    } catch {
      return false;
    }
  }

  /** Takes note of how a write has ended. */
  #ended(job: Job, outcome: Outcome<unknown>, run: Run): void {
    if (this.#isGone()) return;
    const moved = this.#front.zswapWriteEnd(this.#address, job.offset, job.type, job.job, job.slot, job.generation, doneBy(outcome)) !== 0;
    run.tries = moved ? 0 : run.tries + 1;
    if (moved) run.moved += 1;
    else if (job.budget === this.#budgets) this.#budget += 1;
    if ('failure' in outcome) this.#noteFailure(job, outcome, run);
    this.#frees?.drain();
  }

  #noteFailure(job: Job, outcome: { failure: CompcacheError; late?: Promise<void> }, run: Run): void {
    run.failure ??= outcome.failure;
    this.#count('writebackFail');
    void outcome.late?.then(() => {
      if (this.#isGone()) return;
      this.#front.frontSettled(this.#address, job.slot);
      this.#frees?.drain();
    });
  }

  /** Whether nothing more is to be begun. */
  get #isOver(): boolean {
    return this.#closed || rams.isClosed(this.#ram);
  }

  #isGone(): boolean {
    return this.#core.bytes.length === 0 || rams.isClosed(this.#ram);
  }

  /** One entry to a synchronous store. False when there is none, or nothing goes any more. */
  #entryNow(op: string, run: Run): boolean {
    const calls = this.#calls;
    const job = this.#beginEntry(op, run);
    if (job === undefined) return this.#calls !== calls;
    const io = this.#io as StoreIo;
    this.#ended(job, io.now(op, () => io.store.write(job.slot, job.bytes)), run);
    return run.failure === undefined;
  }

  async #finishSoon(op: string, job: Job, run: Run): Promise<void> {
    const io = this.#io as StoreIo;
    this.#ended(job, await io.soon(op, () => io.store.write(job.slot, job.bytes)), run);
  }

  // ── victims by page ────────────────────────────────────────────────────────

  /** The pool to reclaim from: the oldest that drains, else the current one. */
  #victimPool(): [index: number, used: Used] | undefined {
    let found: [number, Used] | undefined;
    for (const [index, used] of this.#pools) {
      const entries = (this.#front.zswapUsed(this.#address, index), this.#core.out[OUT_ENTRIES] as number);
      if (entries !== 0 && (found === undefined || used !== this.#current)) found = [index, used];
      if (found !== undefined && found[1] !== this.#current) break;
    }
    return found;
  }

  /** The least recently used frame or zspage of a pool, off its lists, and the objects in it. */
  #isolate(): { index: number; pool: Zpool; victim: number; handles: number[] } | undefined {
    const found = this.#victimPool();
    if (found === undefined) return undefined;
    const [index, { pool }] = found;
    const { exports } = this.#core;
    const victim = exports.zpoolIsolate(zpools.address(pool)) >>> 0;
    if (victim === 0 || victim >= ERRNO_MIN) return undefined;
    const handles: number[] = [];
    for (let cursor = 0; ; cursor = this.#core.out[OUT_CURSOR] as number) {
      const handle = exports.zpoolVictimNext(zpools.address(pool), victim, cursor) >>> 0;
      if (handle === 0 || handle >= ERRNO_MIN) return { index, pool, victim, handles };
      handles.push(handle);
    }
  }

  /** Frees the victim if it is empty, or puts it back. */
  #releaseVictim(pool: Zpool, victim: number, run: Run): void {
    if (this.#isGone() || zpools.address(pool) === 0) return;
    const { exports } = this.#core;
    if (exports.zpoolRelease(zpools.address(pool), victim) >>> 0 === 0) run.tries += 1;
    exports.zpoolRunDeferred(zpools.address(pool), 0);
  }

  #pageNow(op: string, run: Run): boolean {
    const page = this.#isolate();
    if (page === undefined) return false;
    try {
      for (const handle of page.handles) {
        const calls = this.#calls;
        const job = this.#beginOf(op, page.index, handle, run);
        if (job === undefined && this.#calls !== calls) break; // a codec has called back: look at all anew
        const io = this.#io as StoreIo;
        if (job !== undefined) this.#ended(job, io.now(op, () => io.store.write(job.slot, job.bytes)), run);
        if (run.failure !== undefined || this.#isOver) break;
      }
    } finally {
      this.#releaseVictim(page.pool, page.victim, run);
    }
    return run.failure === undefined;
  }

  async #pageSoon(op: string, run: Run): Promise<boolean> {
    const page = this.#isolate();
    if (page === undefined) return false;
    const io = this.#io as StoreIo;
    const writes: Promise<void>[] = [];
    try {
      for (const handle of page.handles) {
        while (!io.hasRoom) await io.room(op);
        if (run.failure !== undefined || this.#isOver) break;
        const calls = this.#calls;
        const job = this.#beginOf(op, page.index, handle, run);
        if (job === undefined && this.#calls !== calls) break;
        if (job !== undefined) writes.push(this.#finishSoon(op, job, run));
      }
    } finally {
      await Promise.all(writes);
      this.#releaseVictim(page.pool, page.victim, run);
    }
    return run.failure === undefined;
  }

  /** Begins the write of an object of a victim; undefined when it is none of ours, or has gone meanwhile. */
  #beginOf(op: string, index: number, handle: number, run: Run): Job | undefined {
    const record = this.#front.zswapOwner(this.#address, index, handle) >>> 0;
    return record === 0 || this.#budget <= 0 ? undefined : this.#begin(op, record, run);
  }

  // ── pages that go to the store at once ─────────────────────────────────────

  #pageOut(op: string, offset: number, given: Uint8Array): void {
    const page = this.#offer(op, 0, offset, given, true);
    if (page === undefined) return;
    this.#live(op);
    const io = this.#io as StoreIo;
    if (!io.isSync) throw new CompcacheError('EAGAIN', op, `the page is for an asynchronous store: use ${op.slice(op.indexOf('.') + 1)}Async`);
    const pending = this.#pend(op, 0, offset, page);
    const job = this.#beginDirect(op, pending);
    if (job === 'full') this.#failPending(op, pending, this.#failure(op, ENOSPC));
    if (job !== undefined) this.#endDirect(op, job, io.now(op, () => io.store.write(job.slot, job.bytes)));
  }

  async #pageOutAsync(op: string, offset: number, given: Uint8Array): Promise<void> {
    const page = this.#offer(op, 0, offset, given, true);
    if (page === undefined) return;
    this.#live(op);
    await tracked(this.#active, this.#directSoon(op, this.#io as StoreIo, this.#pend(op, 0, offset, page)));
  }

  async #directSoon(op: string, io: StoreIo, pending: Pending): Promise<void> {
    try {
      for (;;) {
        while (!io.hasRoom) await io.room(op);
        const job = this.#beginDirect(op, pending);
        if (job === undefined) return; // a later call has replaced the page, or dropped it
        if (job !== 'full') {
          this.#endDirect(op, job, await io.soon(op, () => io.store.write(job.slot, job.bytes)));
          return;
        }
        if (!(await this.#frees?.freed())) this.#failPending(op, pending, this.#failure(op, ENOSPC));
      }
    } catch (error) {
      this.#failPending(op, pending, error as CompcacheError);
    }
  }

  /** Makes a page of ours pending. */
  #pend(op: string, type: number, offset: number, page: Uint8Array): Pending {
    const job = this.#front.zswapPend(this.#address, offset, type) >>> 0;
    if (job >= ERRNO_MIN) throw this.#failure(op, job);
    this.#direct.set(job, page);
    this.#settle();
    return { type, offset, job };
  }

  /** Takes a slot for a pending page and composes it. Undefined when the page was replaced or dropped meanwhile. */
  #beginDirect(op: string, { type, offset, job }: Pending): Job | 'full' | undefined {
    if (this.#isGone()) throw new CompcacheError('ECLOSED', op, `${this.#name} or its RAM is closed`);
    const { page } = this.#core;
    page.set(this.#direct.get(job) as Uint8Array);
    const length = this.#front.zswapDirect(this.#address, offset, type, job) >>> 0;
    if (length === ENOENT) {
      this.#direct.delete(job);
      return undefined;
    }
    if (length === ENOSPC) return 'full';
    if (length >= ERRNO_MIN) throw this.#failure(op, length);
    return this.#jobOf(offset, type, job, length);
  }

  /** Gives a pending page up, and throws. */
  #failPending(op: string, pending: Pending, error: CompcacheError): never {
    if (this.#direct.has(pending.job)) this.#forgetDirect({ ...pending, slot: NO_SLOT, generation: 0 }, WRITE_FAILED);
    throw error;
  }

  #forgetDirect({ offset, type, job, slot, generation }: Omit<Job, 'bytes' | 'budget'>, end: number): void {
    this.#direct.delete(job);
    if (!this.#isGone()) this.#front.zswapDirectEnd(this.#address, offset, type, job, slot, generation, end);
  }

  #endDirect(op: string, job: Job, outcome: Outcome<unknown>): void {
    this.#forgetDirect(job, doneBy(outcome));
    if (this.#isGone()) throw new CompcacheError('ECLOSED', op, `${this.#name} or its RAM is closed`);
    if ('failure' in outcome) this.#noteFailure(job, outcome, { moved: 0, tries: 0, failure: undefined });
    this.#frees?.drain();
    if ('failure' in outcome) throw outcome.failure;
  }

  // ── slots and pools that are not needed any more ───────────────────────────

  #settle(): void {
    this.#frees?.drain();
    if (this.#drained[0] !== 0 || this.#lingering.length !== 0) this.#reap();
  }

  /** Destroys pools that have drained. */
  #reap(): void {
    const gone = this.#lingering;
    this.#lingering = [];
    for (;;) {
      const index = this.#front.zswapDrained(this.#address) >>> 0;
      const used = this.#pools.get(index);
      if (used === undefined) break;
      this.#pools.delete(index);
      gone.push(used.pool);
    }
    for (const pool of gone) {
      try {
        zpools.destroy('zswap.destroy', pool);
      } catch {
        this.#lingering.push(pool); // a victim of it is waiting for its writes
      }
    }
  }

  // ── figures and errors ─────────────────────────────────────────────────────

  stats(): ZswapStats {
    this.#live('zswap.stats');
    const counters = Object.fromEntries(Object.entries(COUNTERS).map(([name, which]) => [name, this.#figure(which)])) as Record<Counter, number>;
    return {
      ...counters,
      storedPages: this.#figure(ZSWAP_STORED),
      poolTotalSize: this.#figure(ZSWAP_POOL_FRAMES) * PAGE_SIZE,
      sameFilledPages: this.#figure(ZSWAP_SAME_FILLED),
      storedIncompressiblePages: this.#figure(ZSWAP_RAW),
      backingPages: this.#figure(ZSWAP_WRITTEN),
      inFlight: this.#figure(ZSWAP_IN_FLIGHT),
      backingSlots: this.#figure(ZSWAP_SLOTS),
      frames: this.#frames(),
      limitFrames: this.#figure(ZSWAP_LIMIT),
      pools: this.#pools.size,
    };
  }

  /** Walks every structure of its RAM. @throws EUCLEAN */
  check(): void {
    this.#live('zswap.check');
    this.#ram.check();
  }

  #figure(which: number): number {
    return this.#front.zswapFigure(this.#address, which) >>> 0;
  }

  #requireKey(op: string, type: number, offset: number): void {
    if (!isU32(offset)) requireU32(op, 'offset', offset);
    if (!isU32(type) || type > TYPE_MAX) throw new CompcacheError('EINVAL', op, `type must be a whole number from 0 to ${TYPE_MAX}, not ${show(type)}`);
  }

  #failure(op: string, result: number): CompcacheError {
    switch (codeOf(result)) {
      case 'ENOMEM': return noFrame(op, this.#core, result);
      case 'ENOSPC': return new CompcacheError('ENOSPC', op, 'no slot of the backing store is free');
      case 'EINVAL': return new CompcacheError('EINVAL', op, "index 'dense' has only type 0");
      default: return new CompcacheError(codeOf(result), op, 'the page does not decompress');
    }
  }
}

/** How a write ended, as the core wants to know it. */
function doneBy(outcome: Outcome<unknown>): number {
  if ('value' in outcome) return WRITE_DONE;
  return outcome.late === undefined ? WRITE_FAILED : WRITE_LATE;
}

function pick<T extends object>(from: T, keys: readonly (keyof T)[]): Partial<T> {
  return Object.fromEntries(keys.filter((key) => from[key] !== undefined).map((key) => [key, from[key]])) as Partial<T>;
}
