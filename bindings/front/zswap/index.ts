/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Zswap: a compressed cache of swapped pages in front of a backing store. This file has the public class and its
 * documentation; the other files of this folder do the work. state.ts has what they share. lifecycle.ts creates and
 * closes a zswap, reopen.ts opens one in a restored RAM from the settings in note.ts. settings.ts, pools.ts and
 * stats.ts are about what their names say. store.ts, load.ts and page-out.ts move pages in and out. writeback.ts moves
 * pages to the backing store, with run.ts (goal and progress), victims.ts (victims by page) and writes.ts (calls of the
 * store).
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

/** What SwapSpace may call and callers may not. @internal */
export interface ZswapAccess {
  /** create with checked options (requireZswapOptions). */
  make(op: string, options: TakenZswapOptions): Promise<Zswap>;
  /** open. `otherwise` makes a store if the zswap had one and none is given. */
  open(op: string, ram: Ram, name: string, options: ZswapOpenOptions, otherwise: () => BackingStore): Promise<Zswap>;
  /**
   * Stores a page; if zswap refuses it, writes it raw to the backing store.
   * @throws EAGAIN the store is asynchronous; ENOSPC the store is full; EIO the store failed; ENOMEM no frame for the
   *   index. After an error the page is lost
   */
  pageOut(op: string, zswap: Zswap, offset: number, page: Uint8Array): void;
  /** pageOut that waits. The page is copied at once. Until it is written, loads read that copy. */
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
 * A compressed cache of pages that are being swapped out. The pages are compressed in a RAM. When they reach the limit
 * of that RAM, the coldest pages are written to a backing store, from which they can still be loaded. A page has a type
 * (the number of its swap area) and an offset (the number of the page in that area).
 *
 * A page that store() has accepted stays until it is invalidated or replaced, in the pool, in the store or on its way
 * there, and it loads bit for bit. If the store has lost or changed it, the load fails with EIO and the page is
 * removed. If the store only fails to answer, the load fails with EIO and the page stays.
 *
 * With an asynchronous store, a synchronous call that would have to wait throws EAGAIN; its `…Async` variant waits.
 * Other calls may run meanwhile, and count as if they came before or after it: a page that is overwritten, invalidated
 * or loaded while it is being written is not moved to the store.
 *
 * Store and codec may call back. A page is stored as it was at the call, whatever they do to the caller's array. If the
 * array that a page is to be loaded into has become shorter or was detached meanwhile, the load throws EINVAL.
 *
 * Index and settings are in the RAM: if the RAM was saved (ram.snapshot) and restored, open goes on with the zswap, if
 * its store exists, too. Errors of every method: EINVAL for a bad argument, and then nothing changes; ECLOSED after
 * close.
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
   * @throws EINVAL for a bad option or a combination that is not possible; EBUSY another front end has the store;
   *   ENOMEM no frames for its tables; ENODEV the host does not have the codec; also the errors of Ram.create
   */
  static async create(options: ZswapOptions = {}): Promise<Zswap> {
    return zswaps.make('Zswap.create', requireZswapOptions('Zswap.create', options));
  }

  /**
   * Opens a zswap in a restored RAM. It goes on with the state that it had when the image was made. Settings, pools,
   * counters and writebackLimit are in the RAM. Writes that were under way count as not done. Slots that hold no page
   * are freed. The RAM stays the caller's, as with the option `ram` of create.
   *
   * The store must be the one that the zswap had, or a copy. Up to 16 slots that hold pages are read, and one of them
   * must begin with the header that was written there. If a slot is damaged or has changed since, this is found when
   * its page is loaded (EIO).
   * @param ram a RAM from Ram.restore
   * @param name the name of the zswap, as in ram.fronts()
   * @param options the backing store and the caller's codecs, which are not in the RAM. There is no `clock`, because a
   *   zswap needs none
   * @returns the zswap
   * @throws ENOENT there is no such front end; EINVAL it is of another kind, an option is bad, a codec is missing (the
   *   message has its name), no store is given although pages are in one, the store has too few slots, or it is not the
   *   one that the zswap had (with a `cause` if none of the slots can be read); EBUSY the zswap is open or being
   *   opened, another front end has the store, or an evict callback of the RAM is running; ENODEV the host does not
   *   have a codec; EIO the settings in the RAM are invalid; ECLOSED the RAM is closed. After an error nothing has
   *   changed, and open can be called again
   * @example
   * const ram = await Ram.restore(image);
   * const zswap = await Zswap.open(ram, 'zswap#1', { store: await FileStore.open({ path: 'swap', existing: 'reopen' }) });
   * zswap.load(0, 7, page);
   */
  static async open(ram: Ram, name: string, options: ZswapOpenOptions = {}): Promise<Zswap> {
    return new Zswap(MAKER, await open('Zswap.open', ram, name, options));
  }

  /**
   * Closes the zswap: waits for writes that are under way, asks the store to sync, and frees all frames. Pages in
   * memory are not written back, because nothing could find them again. The store stays open; its slots are not freed.
   * Another front end may use it when its calls have ended; a call that hangs counts, too. Idempotent.
   * @returns when all is done. With a synchronous store, all is done when close returns
   * @throws EBUSY (a rejection) inside an evict callback of its RAM: nothing has changed, and close can be called
   *   again; EIO (a rejection) the sync of the store fails: everything else is done
   */
  async close(): Promise<void> {
    return close('zswap.close', this.#state);
  }

  /** @throws EBUSY inside an evict callback of its RAM: nothing has changed then */
  [DISPOSE](): void {
    close('zswap.close', this.#state).catch(() => undefined);
  }

  [ASYNC_DISPOSE](): Promise<void> {
    return this.close();
  }

  // ── settings ───────────────────────────────────────────────────────────────

  /** The RAM that the zswap is in. */
  get ram(): Ram {
    return this.#state.ram;
  }

  /** The name of the zswap among the pools and front ends of the RAM. */
  get name(): string {
    return this.#state.name;
  }

  get victims(): 'entry' | 'page' {
    return this.#state.settings.victims;
  }

  /** True when pages are stored. If it is set to false, pages that are there stay. */
  get enabled(): boolean {
    return this.#state.settings.enabled;
  }

  set enabled(value: boolean) {
    this.#set('enabled', value);
  }

  /**
   * The most frames it may have, in percent of all frames of the RAM. A lower value takes effect with the next store.
   */
  get maxPoolPercent(): number {
    return this.#state.settings.maxPoolPercent;
  }

  set maxPoolPercent(value: number) {
    this.#set('maxPoolPercent', value);
  }

  /** Pages are accepted again at this percentage of the limit. */
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

  /** How many pages may still be written back; Infinity: no limit. */
  get writebackLimit(): number {
    return this.#state.budget.left;
  }

  set writebackLimit(value: number) {
    if (value !== Infinity) requireRange('zswap.writebackLimit', 'writebackLimit', value, 0, Number.MAX_SAFE_INTEGER);
    this.#state.live('zswap.writebackLimit');
    this.#state.budget.set(value);
  }

  /**
   * Allocator of the current pool. Another allocator starts a new pool. The old pool drains, and is destroyed when it
   * is empty.
   * @throws ENOMEM; EBUSY when 64 pools drain
   */
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
   * Name of the current pool's codec. Setting it to a codec of the core or to a Codec starts a new pool, as with
   * `allocator`.
   * @throws as allocator; EBUSY also after 254 foreign codecs; ENOSPC when the names of all codecs it ever had take
   *   more than 1400 bytes, because they are in the RAM for open
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
    state.saveSettings(op);
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
    state.saveSettings(op);
  }

  // ── pages ──────────────────────────────────────────────────────────────────

  /**
   * Stores a page, in place of an older one of the same key.
   *
   * With a backing store, each call writes a few of the coldest pages to the store when the limit is near
   * (`acceptThresholdPercent`), at most 16. If the limit is reached nevertheless, a synchronous store makes room for
   * this page only. With an asynchronous store the page is refused, and room is made in the background.
   * @param type of the area, 0 … 4294967039 (0 with index 'dense')
   * @param offset of the page in it, 0 … 4294967295
   * @param page 4096 bytes
   * @returns true when it was accepted. If not, a counter of stats() says why, and an older copy is removed, so that
   *   nobody loads it
   * @see Linux 6.12 mm/zswap.c zswap_store
   */
  store(type: number, offset: number, page: Uint8Array): boolean {
    return this.#storing.offer('zswap.store', type, offset, page, false) === undefined;
  }

  /**
   * Loads a page from the pool or the store.
   * @param into 4096 bytes; unchanged unless the page is found
   * @returns true when the page is there
   * @throws EIO its bytes are damaged or the store fails; EAGAIN it is in an asynchronous store
   * @see Linux 6.12 mm/zswap.c zswap_load
   */
  load(type: number, offset: number, into: Uint8Array): boolean {
    return load(this.#state, 'zswap.load', type, offset, into);
  }

  /** load that waits for an asynchronous store. @throws EIO; EINVAL also when `into` has become shorter meanwhile */
  loadAsync(type: number, offset: number, into: Uint8Array): Promise<boolean> {
    return loadAsync(this.#state, 'zswap.loadAsync', type, offset, into);
  }

  /** True when the page is in the pool, in the store, or on its way there. */
  has(type: number, offset: number): boolean {
    const { front, address } = this.#state;
    requireKey('zswap.has', type, offset);
    this.#state.live('zswap.has');
    return front.zswapHas(address, offset, type) !== 0;
  }

  /**
   * Removes a page from the pool and the store.
   * @returns true when it was there
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
   * Removes all pages of a type. It looks at every key of the index.
   * @returns how many there were
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
   * Moves the coldest pages to the store. With victims 'page' it moves whole frames or zspages, so it may move more.
   * @param entries pages wanted; 0 does nothing
   * @returns pages moved: fewer when there are no more, writebackLimit is used up, or the store fails
   * @throws ENODEV there is no store; EAGAIN it is asynchronous. If nothing was moved: EIO the store failed, ENOSPC the
   *   store is full
   */
  writeback(entries: number): number {
    const op = 'zswap.writeback';
    this.#writeback.requireSync(op, 'entries', entries);
    return entries === 0 ? 0 : runSync(this.#writeback.entries(op, entries));
  }

  /** writeback that waits. Several writes are under way at a time, at most maxInFlight. */
  async writebackAsync(entries: number): Promise<number> {
    const op = 'zswap.writebackAsync';
    this.#writeback.require(op, 'entries', entries);
    return entries === 0 ? 0 : this.#state.active.run(this.#writeback.entries(op, entries));
  }

  /**
   * Gives frames back to the RAM, by compaction and by moving the coldest pages to the store. Use it when the RAM is
   * short of memory.
   * @param frames wanted; 0 does nothing
   * @returns frames that became free. It may be more; or fewer, for the reasons of writeback
   * @throws as writeback, when none became free
   */
  shrink(frames: number): number {
    const op = 'zswap.shrink';
    this.#writeback.requireSync(op, 'frames', frames);
    return frames === 0 ? 0 : runSync(this.#writeback.frames(op, frames));
  }

  /** shrink that waits. */
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

  /** Verifies every structure of its RAM. @throws EUCLEAN */
  check(): void {
    this.#state.live('zswap.check');
    this.#state.ram.check();
  }
}
