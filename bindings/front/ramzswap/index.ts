/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Ramzswap: a block device whose pages are compressed in a RAM. This file has the public class and its documentation.
 * The other files of this folder do the work. The state (state.ts) is private to the class.
 */
import { DEFAULT_ALLOCATOR } from '../../allocators.ts';
import type { BackingStore } from '../../backing/types.ts';
import { moduleFor } from '../../builds.ts';
import type { CoreCodecName } from '../../codec/core.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { ASYNC_DISPOSE, DISPOSE } from '../../dispose.ts';
import { MAKER, requireMaker } from '../../errors.ts';
import { rams, type Ram } from '../../ram.ts';
import type { AllocatorName, Codec } from '../../types.ts';
import { resolveCodec } from '../common/options.ts';
import { start } from './attach.ts';
import { disksizeOf, memlimitOf, setMemlimit, setSetting, setWritebackLimit, settingsNow } from './configure.ts';
import { close, flush, resetNow, resetSoon } from './reset.ts';
import { compact, compactSoon, discard, freeNotify } from './freeing.ts';
import { SECTOR, read, readPage, write, writePage } from './ranges.ts';
import { open, type RamzswapOpenOptions } from './open.ts';
import { recompressNow, recompressSoon, type RecompressOptions } from './recompress.ts';
import type { WritebackSelection } from './selection.ts';
import { codecName, takeRamzswapOptions, type RamzswapOptions, type RamzswapSettings } from './settings.ts';
import { begin, live, newState, type State } from './state.ts';
import {
  bdStat,
  blockState,
  ioStat,
  mmStat,
  ramzswapStats,
  type BdStat,
  type BlockState,
  type IoStat,
  type MmStat,
  type RamzswapStats,
} from './stats.ts';
import { runNow, runSoon } from './waiting.ts';
import { markIdle, markIdleSoon, writebackNow, writebackSoon } from './writeback.ts';

export type { RamzswapOpenOptions } from './open.ts';
export type { RecompressOptions } from './recompress.ts';
export type { WritebackSelection } from './selection.ts';
export type { RamzswapOptions, RamzswapSettings } from './settings.ts';
export type { BdStat, BlockState, IoStat, MmStat, RamzswapStats } from './stats.ts';

// The symbols' names are computed (dispose.ts), so TypeScript must be told of the methods.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface Ramzswap {
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A block device in compressed memory. Each page is either empty (it reads as zeros), same-filled, compressed, stored
 * raw, or in a backing store.
 *
 * create makes a device; with `disksize` it is initialised at once. Before init, I/O and statistics throw ENODEV. After
 * init, setting a setting throws EBUSY. reset returns the device to the state before init.
 *
 * A write that fails keeps the old data. With an asynchronous backing store, a synchronous call that would have to wait
 * throws EAGAIN; its `…Async` variant waits.
 *
 * Errors of every method: EINVAL for a bad argument or a request beyond the device, and then nothing changes; ECLOSED
 * after close.
 * @see ramzswap v3 (2009); Linux 6.16 drivers/block/zram/zram_drv.c
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Ramzswap {
  readonly #state: State;

  private constructor(maker: unknown, state: State) {
    requireMaker(maker, 'Ramzswap', 'Ramzswap.create or Ramzswap.open');
    this.#state = state;
  }

  // ── life ───────────────────────────────────────────────────────────────────

  /**
   * Creates a device.
   * @throws EINVAL for a bad option; ENODEV for a codec that the host does not have; with disksize, also the errors of
   *   init
   */
  static async create(given: RamzswapOptions = {}): Promise<Ramzswap> {
    const op = 'Ramzswap.create';
    const { options, settings } = takeRamzswapOptions(op, given);
    const loaded = new Map<unknown, ForeignCodec>();
    for (const codec of [settings.codec, ...(settings.recompCodecs ?? [])]) {
      if (typeof codec === 'string') loaded.set(codec, (await resolveCodec(op, codec)) as ForeignCodec);
    }
    // init is synchronous, so the WebAssembly module is loaded here.
    const module = options.ram === undefined ? await moduleFor(op, options) : undefined;
    const state = newState(options, settings, module, loaded);
    if (settings.disksize !== undefined) start(state, op, {});
    return new Ramzswap(MAKER, state);
  }

  /**
   * Opens a device in a restored RAM. It goes on with the state that it had when the image was made. Its settings are
   * in the RAM, with the last values of writebackLimit and memlimit. Writes that were under way count as not done. The
   * I/O counters begin at 0; the figures of pages and pool go on. The RAM stays the caller's, as with the option `ram`
   * of create.
   *
   * The store must be the one that the device had, or a copy. Up to 16 slots that hold pages are read, and one of them
   * must begin with the header that was written there. If a slot is damaged or has changed since, this is found when
   * its page is read (EIO).
   * @param ram a RAM from Ram.restore
   * @param name the name of the device, as in ram.fronts()
   * @param options the backing store and the caller's codecs, which are not in the RAM, and a clock
   * @returns the device, initialised
   * @throws ENOENT there is no such front end; EINVAL it is of another kind, an option is bad, a codec is missing (the
   *   message has its name), no store is given although pages are in one, the store has too few slots, or it is not the
   *   one that the device had (with a `cause` if none of the slots can be read); EBUSY the device is open already,
   *   another front end has the store, or an evict callback of the RAM is running; ENODEV the host does not have a
   *   codec; EIO the settings in the RAM are invalid; ECLOSED the RAM is closed. Also what the clock throws. After an
   *   error nothing has changed, and open can be called again
   * @example
   * const ram = await Ram.restore(image);
   * const disk = await Ramzswap.open(ram, ram.fronts()[0].name, { backing: await FileStore.open({ path: 'swap', existing: 'reopen' }) });
   * disk.readPage(0, page);
   */
  static async open(ram: Ram, name: string, options: RamzswapOpenOptions = {}): Promise<Ramzswap> {
    return new Ramzswap(MAKER, await open('Ramzswap.open', ram, name, options));
  }

  /**
   * Initialises the device.
   * @param options settings, which replace those of create
   * @throws EBUSY it is initialised, another front end has the store, or an evict callback of its RAM is running;
   *   EINVAL for a bad setting, or no disksize; ENOMEM the RAM or the host has no room for it. After an error nothing
   *   is left
   *   for a bad setting, or no disksize; ENOMEM where the RAM, or the host, has no room for it. Nothing is left then
   */
  init(options: RamzswapSettings = {}): void {
    start(this.#state, 'ramzswap.init', options);
  }

  /**
   * Returns the device to the state before init: all pages and their slots are freed, and the settings of create apply
   * again.
   * @throws EBUSY a call that waits is under way, a call of the store is running, or an evict callback of its RAM is
   *   running; EAGAIN slots of an asynchronous store must be freed. After an error nothing has changed
   */
  reset(): void {
    resetNow(this.#state, 'ramzswap.reset');
  }

  /**
   * reset that waits for an asynchronous store until all slots are free. It works in slices; meanwhile other calls
   * throw EBUSY.
   * @throws as reset, but not EAGAIN. EBUSY also when a call of the store hangs: if it hung before the reset, nothing
   *   has changed; if it hangs while it frees a slot, the pages are gone. In both cases resetAsync can be called again
   */
  async resetAsync(): Promise<void> {
    await resetSoon(this.#state, 'ramzswap.resetAsync');
  }

  /**
   * Closes the device: waits for calls of the store that are under way, asks the store to sync, and frees everything. A
   * call that works in slices ends after the current slice. The store stays open. Another front end may use it when its
   * last call has ended; a call that hangs counts, too. Idempotent.
   * @returns when all is done. With a synchronous store and no call under way, all is done when close returns
   * @throws EBUSY (a rejection) inside an evict callback of its RAM: nothing changes, and close can be called again;
   *   EIO (a rejection) the sync of the store fails: the device is closed nevertheless
   */
  close(): Promise<void> {
    return close(this.#state);
  }

  /** Asks the backing store to write everything to its medium. @throws EIO */
  async flush(): Promise<void> {
    await flush(this.#state, 'ramzswap.flush');
  }

  [DISPOSE](): void {
    this.close().catch(() => undefined);
  }

  [ASYNC_DISPOSE](): Promise<void> {
    return this.close();
  }

  // ── settings ───────────────────────────────────────────────────────────────

  /** True when the device is initialised. */
  get initstate(): boolean {
    return this.#state.device !== undefined;
  }

  /** Bytes of the device. Before init: as set, else 0. */
  get disksize(): number {
    return disksizeOf(this.#state);
  }

  set disksize(value: number | string) {
    setSetting(this.#state, 'disksize', value);
  }

  /** The pool's allocator. */
  get allocator(): AllocatorName {
    return settingsNow(this.#state).allocator ?? DEFAULT_ALLOCATOR;
  }

  set allocator(value: AllocatorName) {
    setSetting(this.#state, 'allocator', value);
  }

  /** Name of the codec that writes use. */
  get codec(): string {
    return codecName(settingsNow(this.#state).codec);
  }

  set codec(value: CoreCodecName | Codec) {
    setSetting(this.#state, 'codec', value);
  }

  /** The backing store; undefined when there is none. */
  get backing(): BackingStore | undefined {
    return settingsNow(this.#state).backing;
  }

  set backing(value: BackingStore | undefined) {
    setSetting(this.#state, 'backing', value);
  }

  /** The most bytes of the pool's frames; 0: no limit. It may be set at any time. Pages that are stored stay. */
  get memlimit(): number {
    return memlimitOf(this.#state);
  }

  set memlimit(value: number | string) {
    setMemlimit(this.#state, value);
  }

  /** How many pages writeback may still write; Infinity: no limit. */
  get writebackLimit(): number {
    return this.#state.budget;
  }

  set writebackLimit(value: number) {
    setWritebackLimit(this.#state, value);
  }

  // ── pages, sectors, bytes ──────────────────────────────────────────────────

  /**
   * Reads a page.
   * @param index 0 … pages of the device - 1
   * @param into 4096 bytes; unchanged if it fails
   * @throws EIO its bytes are damaged or the store fails; EAGAIN it is in an asynchronous store
   */
  readPage(index: number, into: Uint8Array): void {
    runNow(readPage(this.#state, begin(this.#state, 'ramzswap.readPage', false), index, into));
  }

  /** readPage that waits for an asynchronous store. */
  async readPageAsync(index: number, into: Uint8Array): Promise<void> {
    await runSoon(readPage(this.#state, begin(this.#state, 'ramzswap.readPageAsync', true), index, into));
  }

  /**
   * Writes a page.
   * @param index 0 … pages of the device - 1
   * @param page 4096 bytes
   * @throws ENOMEM the limit is reached or no frame is free, and there is no backing store; ENOSPC the store is full,
   *   or EIO the store failed, and memory has no room either; EIO the codec failed; EAGAIN the page must go to an
   *   asynchronous store. After an error the old data stay
   */
  writePage(index: number, page: Uint8Array): void {
    runNow(writePage(this.#state, begin(this.#state, 'ramzswap.writePage', false), index, page));
  }

  /**
   * writePage that waits for an asynchronous store. The page is copied at once. Of two writes of one page, the later
   * one wins.
   */
  async writePageAsync(index: number, page: Uint8Array): Promise<void> {
    await runSoon(writePage(this.#state, begin(this.#state, 'ramzswap.writePageAsync', true), index, page));
  }

  /**
   * Reads sectors of 512 bytes.
   * @param sector the first, 0 … sectors of the device - 1
   * @param into a multiple of 512 bytes. After an error, bytes of the pages before may have been written to it
   * @throws as readPage
   */
  readSectors(sector: number, into: Uint8Array): void {
    runNow(read(this.#state, begin(this.#state, 'ramzswap.readSectors', false), sector, SECTOR, into));
  }

  /** readSectors that waits for an asynchronous store. */
  async readSectorsAsync(sector: number, into: Uint8Array): Promise<void> {
    await runSoon(read(this.#state, begin(this.#state, 'ramzswap.readSectorsAsync', true), sector, SECTOR, into));
  }

  /**
   * Writes sectors of 512 bytes. If only a part of a page is written, its other bytes stay.
   * @param sector the first
   * @param bytes a multiple of 512 bytes
   * @throws as readPage and writePage; the pages before the one that failed are written. EINVAL also when the buffer
   *   was detached or became shorter meanwhile
   */
  writeSectors(sector: number, bytes: Uint8Array): void {
    runNow(write(this.#state, begin(this.#state, 'ramzswap.writeSectors', false), sector, SECTOR, bytes));
  }

  /** writeSectors that waits for an asynchronous store. The bytes must not change meanwhile. */
  async writeSectorsAsync(sector: number, bytes: Uint8Array): Promise<void> {
    await runSoon(write(this.#state, begin(this.#state, 'ramzswap.writeSectorsAsync', true), sector, SECTOR, bytes));
  }

  /** Reads bytes at any offset. @throws as readSectors */
  read(offset: number, into: Uint8Array): void {
    runNow(read(this.#state, begin(this.#state, 'ramzswap.read', false), offset, 1, into));
  }

  /** read that waits for an asynchronous store. */
  async readAsync(offset: number, into: Uint8Array): Promise<void> {
    await runSoon(read(this.#state, begin(this.#state, 'ramzswap.readAsync', true), offset, 1, into));
  }

  /** Writes bytes at any offset. @throws as writeSectors */
  write(offset: number, bytes: Uint8Array): void {
    runNow(write(this.#state, begin(this.#state, 'ramzswap.write', false), offset, 1, bytes));
  }

  /** write that waits for an asynchronous store. The bytes must not change meanwhile. */
  async writeAsync(offset: number, bytes: Uint8Array): Promise<void> {
    await runSoon(write(this.#state, begin(this.#state, 'ramzswap.writeAsync', true), offset, 1, bytes));
  }

  // ── freeing ────────────────────────────────────────────────────────────────

  /**
   * Frees pages: they read as zeros afterwards.
   * @param index the first
   * @param count default 1
   * @returns how many of them held something
   */
  discard(index: number, count = 1): number {
    return discard(this.#state, index, count);
  }

  /** Frees a page because its swap slot is free, so that its contents are not needed any more. */
  freeNotify(index: number): void {
    freeNotify(this.#state, index);
  }

  /** Compacts the pool. @returns frames given back */
  compact(): number {
    return compact(this.#state);
  }

  /**
   * compact in slices: other calls can run every millisecond or so. It compacts the pool in parts, so it may give back
   * a few frames less than compact.
   * @returns frames given back
   * @throws ENODEV before init; ECLOSED, also when the device is closed meanwhile
   * @example
   * const served = device.compactAsync();
   * await device.readPageAsync(0, page); // does not wait for the whole compaction
   * console.log(await served, 'frames');
   */
  async compactAsync(): Promise<number> {
    return compactSoon(this.#state);
  }

  // ── idle pages, writeback, recompression ───────────────────────────────────

  /**
   * Marks objects as idle by their age, and removes the mark from younger objects. An access or recompress also removes
   * the mark. Pages that are no objects in memory are not marked.
   * @param age the least number of seconds since the last access; or 'all', the default. A page that was accessed more
   *   than 24 days ago may seem up to 255 seconds older than it is
   * @returns how many objects are idle now
   */
  markIdle(age: number | 'all' = 'all'): number {
    return markIdle(this.#state, begin(this.#state, 'ramzswap.markIdle', false), age);
  }

  /**
   * markIdle in slices: other calls can run every millisecond or so. Ages are those at the time of the call. A page
   * that is accessed after it was marked loses the mark again.
   * @param age seconds, or 'all', as for markIdle
   * @returns how many objects were marked
   * @throws ENODEV before init; ECLOSED, also when the device is closed meanwhile
   */
  async markIdleAsync(age: number | 'all' = 'all'): Promise<number> {
    return markIdleSoon(this.#state, begin(this.#state, 'ramzswap.markIdleAsync', true), age);
  }

  /**
   * Moves pages to the backing store, the largest first.
   * @param selection pages that are idle, huge (stored raw), both, or incompressible for recompress; or page numbers
   * @returns pages moved
   * @throws ENODEV there is no backing store; EAGAIN it is asynchronous; EBUSY another writeback is running. If nothing
   *   was moved: EIO writebackLimit is used up or the store failed, ENOSPC the store is full
   */
  writeback(selection: WritebackSelection): number {
    return writebackNow(this.#state, 'ramzswap.writeback', selection);
  }

  /**
   * writeback that waits, in slices: other calls can run every millisecond or so. Several writes of an asynchronous
   * store are under way at a time. A page that is changed meanwhile stays in memory.
   * @param selection as for writeback
   * @returns pages moved; when the device is closed meanwhile, the pages moved until then
   * @throws as writeback, but not EAGAIN
   */
  async writebackAsync(selection: WritebackSelection): Promise<number> {
    return writebackSoon(this.#state, 'ramzswap.writebackAsync', selection);
  }

  /**
   * Compresses pages again with the further codecs. A page gets a new object only if that takes a smaller size class.
   * If no codec makes it smaller, it is marked as incompressible and not tried again until it is written. A page that
   * is tried loses its idle mark.
   * @returns pages that take less memory now
   * @throws EINVAL there are no further codecs, or no block can reach the threshold. It ends early when there is no
   *   frame for a new object
   */
  recompress(options: RecompressOptions = {}): number {
    return recompressNow(this.#state, options);
  }

  /**
   * recompress in slices: other calls can run every millisecond or so. If it ends early, the pages that are already
   * smaller stay so.
   * @param options as for recompress
   * @returns pages that take less memory now
   * @throws as recompress; ENODEV before init; ECLOSED, also when the device is closed meanwhile
   * @example
   * device.markIdle(3600);
   * const smaller = await device.recompressAsync({ type: 'idle', maxPages: 10_000 });
   */
  async recompressAsync(options: RecompressOptions = {}): Promise<number> {
    return recompressSoon(this.#state, options);
  }

  // ── figures ────────────────────────────────────────────────────────────────

  /** The statistics of ramzswap. */
  stats(): RamzswapStats {
    return ramzswapStats(this.#state, live(this.#state, 'ramzswap.stats'));
  }

  /** zram's mm_stat. */
  mmStat(): MmStat {
    return mmStat(this.#state, live(this.#state, 'ramzswap.mmStat'));
  }

  /** zram's mem_used_max: sets the highest number to the current number. */
  resetMemUsedMax(): void {
    const { front, address } = live(this.#state, 'ramzswap.resetMemUsedMax');
    front.ramzResetPeak(address);
  }

  /** zram's io_stat. */
  ioStat(): IoStat {
    live(this.#state, 'ramzswap.ioStat');
    return ioStat(this.#state);
  }

  /** zram's bd_stat. */
  bdStat(): BdStat {
    return bdStat(this.#state, live(this.#state, 'ramzswap.bdStat'));
  }

  /** zram's block_state: every page that holds something, in order of its number. */
  blockState(): Generator<BlockState> {
    live(this.#state, 'ramzswap.blockState');
    return blockState(this.#state);
  }

  /** Verifies every structure of its RAM. @throws EUCLEAN */
  check(): void {
    rams.check(live(this.#state, 'ramzswap.check').ram);
  }

  /** The RAM that the device is in. @throws ENODEV before init */
  get ram(): Ram {
    return live(this.#state, 'ramzswap.ram').ram;
  }
}
