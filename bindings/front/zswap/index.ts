/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Zswap: a compressed cache of swapped pages in front of a backing store. What callers see, and nothing else: each call goes to
 * the room that does it. state.ts holds what the rooms share; life.ts begins and ends it, reopen.ts finds it in a restored RAM by
 * what note.ts has kept there; settings.ts, pools.ts and stats.ts keep
 * what their names say; store.ts, load.ts and page-out.ts move pages in and out; writeback.ts moves them to the backing store,
 * run.ts counting, victims.ts choosing whole frames, and writes.ts calling the store.
 */
import { requireAllocator } from '../../allocators.ts';
import type { BackingStore } from '../../backing/types.ts';
import type { CoreCodecName } from '../../codec/core.ts';
import { ASYNC_DISPOSE, DISPOSE } from '../../dispose.ts';
import { MAKER, requireMaker } from '../../errors.ts';
import type { Ram } from '../../ram.ts';
import { runSync } from '../../steps.ts';
import type { AllocatorName, Codec } from '../../types.ts';
import { codecNow, requireRange } from '../common/options.ts';
import { close, create } from './lifecycle.ts';
import { load, loadAsync } from './load.ts';
import { pageOut, pageOutAsync } from './page-out.ts';
import {
  requireSetting,
  requireZswapOptions,
  tellSettings,
  type Setting,
  type SettingValues,
  type TakenZswapOptions,
  type ZswapOptions,
} from './settings.ts';
import { open, type ZswapOpenOptions } from './reopen.ts';
import { requireKey, type State } from './state.ts';
import type { ZswapStats } from './stats.ts';
import { Storing } from './store.ts';
import { Writeback } from './writeback.ts';

/** What swap spaces may do with a zswap and callers may not. @internal */
export interface ZswapAccess {
  /** create, with options that requireZswapOptions has checked. */
  make(op: string, options: TakenZswapOptions): Promise<Zswap>;
  /** open, with the store that one which had a store and is given none gets. */
  open(op: string, ram: Ram, name: string, options: ZswapOpenOptions, otherwise: () => BackingStore): Promise<Zswap>;
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
 * The index lies in the RAM, and so do the settings: a zswap whose RAM was saved (ram.snapshot) and restored goes on with open,
 * if its store is kept as well. Errors of every method: EINVAL for a bad argument, and nothing
 * changes; ECLOSED after close.
 * @see Linux 6.12 mm/zswap.c (victims 'entry'), 6.1 (victims 'page')
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Zswap {
  readonly #state: State;
  readonly #storing: Storing;
  readonly #writeback: Writeback;

  private constructor(maker: unknown, state: State) {
    requireMaker(maker, 'Zswap', 'Zswap.create or Zswap.open');
    this.#state = state;
    this.#writeback = new Writeback(state);
    this.#storing = new Storing(state, this.#writeback);
  }

  static {
    zswaps = {
      make: async (op, options) => new Zswap(MAKER, await create(op, options)),
      open: async (op, ram, name, options, otherwise) =>
        new Zswap(MAKER, await open(op, ram, name, options, otherwise)),
      pageOut: (op, zswap, offset, page) => pageOut(zswap.#state, zswap.#storing, op, offset, page),
      pageOutAsync: (op, zswap, offset, page) => pageOutAsync(zswap.#state, zswap.#storing, op, offset, page),
    };
  }

  // ── life ───────────────────────────────────────────────────────────────────

  /**
   * Creates a zswap.
   * @throws EINVAL for a bad option or a combination that there is not; EBUSY for a store that another front end has; ENOMEM
   *   without frames for its tables; ENODEV for a codec that the host lacks; what Ram.create throws
   */
  static async create(options: ZswapOptions = {}): Promise<Zswap> {
    return zswaps.make('Zswap.create', requireZswapOptions('Zswap.create', options));
  }

  /**
   * Opens a zswap that lies in a restored RAM: it goes on where it was when the image was made. Settings, pools, counters and
   * what may still be written back come from the RAM. Writes that were under way then count as not done, and slots that no page
   * is in are freed. The RAM stays the caller's, as one that is given to create.
   *
   * The store must be the one that it had, or a copy: up to 16 of the slots that pages are in are read, and one of them has to
   * begin as what was written there. A page whose slot is damaged, or has changed since, is found when it is loaded (EIO).
   * @param ram a RAM of Ram.restore
   * @param name of the zswap, as in ram.fronts()
   * @param options its backing store, and codecs of the caller's: neither lies in the RAM. There is no `clock`, since a zswap asks none
   * @returns the zswap, when its store was recognised
   * @throws ENOENT for no such front end; EINVAL for one of another kind, a bad option, a codec that lacks (the message names it),
   *   no store when pages are in one, one with fewer slots, or another one than that which the pages are in, one that gives none
   *   of those slots included (then with a `cause`); EBUSY when it is open or being opened, when another front end has the store, or inside an evict callback of the
   *   RAM; ENODEV for a codec that the host lacks; EIO when the settings in the RAM make no sense; ECLOSED when the RAM is closed.
   *   Nothing has changed then, and it can be called again
   * @example
   * const ram = await Ram.restore(image);
   * const zswap = await Zswap.open(ram, 'zswap#1', { store: await FileStore.open({ path: 'swap', existing: 'reopen' }) });
   * zswap.load(0, 7, page);
   */
  static async open(ram: Ram, name: string, options: ZswapOpenOptions = {}): Promise<Zswap> {
    return new Zswap(MAKER, await open('Zswap.open', ram, name, options));
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
    return close('zswap.close', this.#state);
  }

  /** @throws EBUSY inside an evict callback in its RAM: nothing has changed then */
  [DISPOSE](): void {
    close('zswap.close', this.#state).catch(() => undefined);
  }

  [ASYNC_DISPOSE](): Promise<void> {
    return this.close();
  }

  // ── settings ───────────────────────────────────────────────────────────────

  /** The RAM that it works in. */
  get ram(): Ram {
    return this.#state.ram;
  }

  /** Its name among the pools of the RAM. */
  get name(): string {
    return this.#state.name;
  }

  get victims(): 'entry' | 'page' {
    return this.#state.settings.victims;
  }

  /** Whether pages are stored. Those that are there stay. */
  get enabled(): boolean {
    return this.#state.settings.enabled;
  }

  set enabled(value: boolean) {
    this.#set('enabled', value);
  }

  /** The most frames it may have, in percent of all frames of the RAM. A lower one takes effect with the next store. */
  get maxPoolPercent(): number {
    return this.#state.settings.maxPoolPercent;
  }

  set maxPoolPercent(value: number) {
    this.#set('maxPoolPercent', value);
  }

  /** Where, in percent of that limit, pages are accepted again. */
  get acceptThresholdPercent(): number {
    return this.#state.settings.acceptThresholdPercent;
  }

  set acceptThresholdPercent(value: number) {
    this.#set('acceptThresholdPercent', value);
  }

  get sameFilled(): boolean {
    return this.#state.settings.sameFilled;
  }

  set sameFilled(value: boolean) {
    this.#set('sameFilled', value);
  }

  get exclusiveLoads(): boolean {
    return this.#state.settings.exclusiveLoads;
  }

  set exclusiveLoads(value: boolean) {
    this.#set('exclusiveLoads', value);
  }

  /** How many pages may still be written back; Infinity without a limit. */
  get writebackLimit(): number {
    return this.#state.budget.left;
  }

  set writebackLimit(value: number) {
    if (value !== Infinity) requireRange('zswap.writebackLimit', 'writebackLimit', value, 0, Number.MAX_SAFE_INTEGER);
    this.#state.live('zswap.writebackLimit');
    this.#state.budget.set(value);
  }

  /** The current pool's allocator. Another one starts a new pool; the old one drains and is destroyed when it is empty. @throws ENOMEM, EBUSY when 64 pools drain */
  get allocator(): AllocatorName {
    return this.#state.pools.allocator;
  }

  set allocator(value: AllocatorName) {
    const op = 'zswap.allocator';
    requireAllocator(op, value);
    const state = this.#state;
    state.live(op);
    state.pools.use(op, value, state.pools.codec);
    state.settle();
  }

  /**
   * Name of the current pool's codec. Set to a name of the core or a Codec, it starts a new pool, as `allocator` does.
   * @throws as allocator; EBUSY also after 254 codecs outside the core, ENOSPC when the names of those that it ever had take more
   *   than 1400 bytes: they lie in the RAM for open
   */
  get codec(): string {
    return this.#state.pools.codecs.nameOf(this.#state.pools.codec);
  }

  set codec(value: CoreCodecName | Codec) {
    const op = 'zswap.codec';
    const codec = codecNow(op, value);
    const state = this.#state;
    state.live(op);
    state.pools.use(op, state.pools.allocator, codec);
    state.keepSettings(op);
    state.settle();
  }

  #set<K extends Setting>(which: K, value: SettingValues[K]): void {
    const op = `zswap.${which}`;
    const state = this.#state;
    const { settings } = state;
    requireSetting(op, which, value);
    state.live(op);
    settings[which] = value;
    tellSettings(settings, state.front, state.address);
    state.keepSettings(op);
  }

  // ── pages ──────────────────────────────────────────────────────────────────

  /**
   * Stores a page, in place of an older one of the same key.
   *
   * With a backing store, it writes a few of the coldest pages there when the limit is near (`acceptThresholdPercent`), at most 16.
   * A limit that is reached all the same makes room for this page only, with a synchronous store; with an asynchronous one the
   * page is refused, and room is made in the background.
   * @param type of the area, 0 … 4294967039 (0 with index 'dense')
   * @param offset of the page in it, 0 … 4294967295
   * @param page 4096 bytes
   * @returns whether it was accepted. If not, a counter of stats() says why, and an older copy is gone: nobody may load it
   * @see Linux 6.12 mm/zswap.c zswap_store
   */
  store(type: number, offset: number, page: Uint8Array): boolean {
    return this.#storing.offer('zswap.store', type, offset, page, false) === undefined;
  }

  /**
   * Loads a page, from the pool or the store.
   * @param into 4096 bytes; unchanged unless the page is found
   * @returns whether it is there
   * @throws EIO when its bytes are damaged or the store fails; EAGAIN when it is in an asynchronous store
   * @see Linux 6.12 mm/zswap.c zswap_load
   */
  load(type: number, offset: number, into: Uint8Array): boolean {
    return load(this.#state, 'zswap.load', type, offset, into);
  }

  /** load, which waits for an asynchronous store. @throws EIO; EINVAL also when `into` has become shorter meanwhile */
  loadAsync(type: number, offset: number, into: Uint8Array): Promise<boolean> {
    return loadAsync(this.#state, 'zswap.loadAsync', type, offset, into);
  }

  /** Whether a page is there, wherever. */
  has(type: number, offset: number): boolean {
    const { front, address } = this.#state;
    requireKey('zswap.has', type, offset);
    this.#state.live('zswap.has');
    return front.zswapHas(address, offset, type) !== 0;
  }

  /**
   * Drops a page, in the pool and in the store.
   * @returns whether it was there
   */
  invalidatePage(type: number, offset: number): boolean {
    const op = 'zswap.invalidatePage';
    const state = this.#state;
    requireKey(op, type, offset);
    state.live(op);
    const was = state.front.zswapInvalidate(state.address, offset, type) !== 0;
    if (was) state.settle();
    return was;
  }

  /**
   * Drops all pages of a type. It goes through all keys.
   * @returns how many they were
   */
  invalidateArea(type: number): number {
    const op = 'zswap.invalidateArea';
    const state = this.#state;
    requireKey(op, type, 0);
    state.live(op);
    const pages = state.front.zswapInvalidateArea(state.address, type) >>> 0;
    state.settle();
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
    this.#writeback.requireSync(op, 'entries', entries);
    return entries === 0 ? 0 : runSync(this.#writeback.entries(op, entries));
  }

  /** writeback, which waits. Several writes are under way at a time, at most maxInFlight. */
  async writebackAsync(entries: number): Promise<number> {
    const op = 'zswap.writebackAsync';
    this.#writeback.require(op, 'entries', entries);
    return entries === 0 ? 0 : this.#state.active.run(this.#writeback.entries(op, entries));
  }

  /**
   * Gives frames back to the RAM: by compaction, and by moving the coldest pages to the store. For who is short of memory.
   * @param frames wanted; 0 does nothing
   * @returns frames that came back, which may be more, or fewer for the reasons of writeback
   * @throws as writeback, when none came back
   */
  shrink(frames: number): number {
    const op = 'zswap.shrink';
    this.#writeback.requireSync(op, 'frames', frames);
    return frames === 0 ? 0 : runSync(this.#writeback.frames(op, frames));
  }

  /** shrink, which waits. */
  async shrinkAsync(frames: number): Promise<number> {
    const op = 'zswap.shrinkAsync';
    this.#writeback.require(op, 'frames', frames);
    return frames === 0 ? 0 : this.#state.active.run(this.#writeback.frames(op, frames));
  }

  // ── figures ────────────────────────────────────────────────────────────────

  stats(): ZswapStats {
    this.#state.live('zswap.stats');
    return this.#state.figures.all(this.#state.pools.size);
  }

  /** Walks every structure of its RAM. @throws EUCLEAN */
  check(): void {
    this.#state.live('zswap.check');
    this.#state.ram.check();
  }
}
