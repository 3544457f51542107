/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Ramzswap: a block device whose pages lie compressed in a RAM. The public class: each method is documented here, and done in
 * the room that it is about. The state (state.ts) is private to the class.
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
import { close, flush, resetNow, resetSoon } from './ending.ts';
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
  readonly #state: State;

  private constructor(maker: unknown, state: State) {
    requireMaker(maker, 'Ramzswap', 'Ramzswap.create or Ramzswap.open');
    this.#state = state;
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
    const state = newState(options, settings, module, loaded);
    if (settings.disksize !== undefined) start(state, op, {});
    return new Ramzswap(MAKER, state);
  }

  /**
   * Opens a device that lies in a restored RAM: it goes on where it was when the image was made. Its settings come from the RAM,
   * those of writebackLimit and memlimit as they were last. Writes that were under way then count as not done. What is counted of
   * I/O begins anew; what tells of the pages and the pool goes on. The RAM stays the caller's, as one that is given to create.
   *
   * The store must be the one that it had, or a copy: up to 16 of the slots that pages are in are read, and one of them has to
   * begin as what was written there. A page whose slot is damaged, or has changed since, is found when it is read (EIO).
   * @param ram a RAM of Ram.restore
   * @param name of the device, as in ram.fronts()
   * @param options its backing store and codecs of the caller's, neither of which lie in the RAM, and a clock
   * @returns the device, initialised
   * @throws ENOENT for no such front end; EINVAL for one of another kind, a bad option, a codec that lacks (the message names it), no
   *   store when pages are in one, one with fewer slots, or another one than that which the pages are in, one that gives none of
   *   those slots included (then with a `cause`); EBUSY when it is open or
   *   was opened meanwhile, when another front end has the store, or inside an evict callback of the RAM; ENODEV for a codec that
   *   the host lacks; EIO when the settings in the RAM make no sense; ECLOSED when the RAM is closed. Nothing changes then, and it
   *   can be called again. What the clock throws
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
   * @param options settings, over those of create
   * @throws EBUSY when it is initialised, when another front end has the store, or inside an evict callback of its RAM; EINVAL
   *   for a bad setting, or no disksize; ENOMEM where the RAM, or the host, has no room for it. Nothing is left then
   */
  init(options: RamzswapSettings = {}): void {
    start(this.#state, 'ramzswap.init', options);
  }

  /**
   * Returns the device to what it was before init: all pages go, their slots are freed, the settings are those of create.
   * @throws EBUSY while a call that waits is under way, the store itself is at work, or inside an evict callback of its RAM;
   *   EAGAIN when slots of an asynchronous store must be freed. Nothing changes when one is thrown
   */
  reset(): void {
    resetNow(this.#state, 'ramzswap.reset');
  }

  /**
   * reset, which waits for an asynchronous store: until slots that are being freed are free, too. It works in slices, between
   * which other calls are EBUSY.
   * @throws as reset, but no EAGAIN; EBUSY also when a call of the store hangs: nothing changes when it hung before; the pages
   *   are gone when it is one that frees them. In either case resetAsync can be called again
   */
  async resetAsync(): Promise<void> {
    await resetSoon(this.#state, 'ramzswap.resetAsync');
  }

  /**
   * Ends it: waits for calls of the store that are under way, has it make them last, and lets go of everything. What works in
   * slices ends with the slice. The store stays open; another front end may have it when the last call has ended, also of those
   * that hang. Idempotent.
   * @returns when all is done; with a synchronous store, and no call under way, all is done when close returns
   * @throws EBUSY (a rejection) inside an evict callback of its RAM: nothing changes, and it can be called again; EIO (a
   *   rejection) when the store's sync fails: it is closed then
   */
  close(): Promise<void> {
    return close(this.#state);
  }

  /** Has the backing store make last what was written to it. @throws EIO */
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

  /** Whether it is initialised. */
  get initstate(): boolean {
    return this.#state.device !== undefined;
  }

  /** Bytes of the device; 0 before init, unless it is set. */
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

  /** Name of the codec of writes. */
  get codec(): string {
    return codecName(settingsNow(this.#state).codec);
  }

  set codec(value: CoreCodecName | Codec) {
    setSetting(this.#state, 'codec', value);
  }

  /** The backing store, if there is one. */
  get backing(): BackingStore | undefined {
    return settingsNow(this.#state).backing;
  }

  set backing(value: BackingStore | undefined) {
    setSetting(this.#state, 'backing', value);
  }

  /** The most bytes of the pool's frames, 0 for no limit. It may be set at any time; what is there stays. */
  get memlimit(): number {
    return memlimitOf(this.#state);
  }

  set memlimit(value: number | string) {
    setMemlimit(this.#state, value);
  }

  /** How many pages writeback may still write; Infinity without a limit. */
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
   * @throws EIO when its bytes are damaged or the store fails; EAGAIN when it is in an asynchronous store
   */
  readPage(index: number, into: Uint8Array): void {
    runNow(readPage(this.#state, begin(this.#state, 'ramzswap.readPage', false), index, into));
  }

  /** readPage, which waits for an asynchronous store. */
  async readPageAsync(index: number, into: Uint8Array): Promise<void> {
    await runSoon(readPage(this.#state, begin(this.#state, 'ramzswap.readPageAsync', true), index, into));
  }

  /**
   * Writes a page.
   * @param index 0 … pages of the device - 1
   * @param page 4096 bytes
   * @throws ENOMEM beyond the limit or without a frame, and no backing store; ENOSPC the store is full, or EIO it failed, and
   *   there is no room in memory either; EIO the codec failed; EAGAIN when the page is for an asynchronous store. The old data stay
   */
  writePage(index: number, page: Uint8Array): void {
    runNow(writePage(this.#state, begin(this.#state, 'ramzswap.writePage', false), index, page));
  }

  /** writePage, which waits for an asynchronous store. The page is copied at once; of two writes of one page the later one wins. */
  async writePageAsync(index: number, page: Uint8Array): Promise<void> {
    await runSoon(writePage(this.#state, begin(this.#state, 'ramzswap.writePageAsync', true), index, page));
  }

  /**
   * Reads sectors of 512 bytes.
   * @param sector the first, 0 … sectors of the device - 1
   * @param into a multiple of 512 bytes; if it fails, those of whole pages before may have been written
   * @throws as readPage
   */
  readSectors(sector: number, into: Uint8Array): void {
    runNow(read(this.#state, begin(this.#state, 'ramzswap.readSectors', false), sector, SECTOR, into));
  }

  /** readSectors, which waits for an asynchronous store. */
  async readSectorsAsync(sector: number, into: Uint8Array): Promise<void> {
    await runSoon(read(this.#state, begin(this.#state, 'ramzswap.readSectorsAsync', true), sector, SECTOR, into));
  }

  /**
   * Writes sectors of 512 bytes. Of a page that is written in part the rest stays.
   * @param sector the first
   * @param bytes a multiple of 512 bytes
   * @throws as readPage and writePage; pages before the one that failed are written. EINVAL for the page at which the buffer has
   *   been detached, or become shorter, meanwhile
   */
  writeSectors(sector: number, bytes: Uint8Array): void {
    runNow(write(this.#state, begin(this.#state, 'ramzswap.writeSectors', false), sector, SECTOR, bytes));
  }

  /** writeSectors, which waits for an asynchronous store. The bytes must not change meanwhile. */
  async writeSectorsAsync(sector: number, bytes: Uint8Array): Promise<void> {
    await runSoon(write(this.#state, begin(this.#state, 'ramzswap.writeSectorsAsync', true), sector, SECTOR, bytes));
  }

  /** Reads bytes from any offset. @throws as readSectors */
  read(offset: number, into: Uint8Array): void {
    runNow(read(this.#state, begin(this.#state, 'ramzswap.read', false), offset, 1, into));
  }

  /** read, which waits for an asynchronous store. */
  async readAsync(offset: number, into: Uint8Array): Promise<void> {
    await runSoon(read(this.#state, begin(this.#state, 'ramzswap.readAsync', true), offset, 1, into));
  }

  /** Writes bytes at any offset. @throws as writeSectors */
  write(offset: number, bytes: Uint8Array): void {
    runNow(write(this.#state, begin(this.#state, 'ramzswap.write', false), offset, 1, bytes));
  }

  /** write, which waits for an asynchronous store. The bytes must not change meanwhile. */
  async writeAsync(offset: number, bytes: Uint8Array): Promise<void> {
    await runSoon(write(this.#state, begin(this.#state, 'ramzswap.writeAsync', true), offset, 1, bytes));
  }

  // ── freeing ────────────────────────────────────────────────────────────────

  /**
   * Frees pages: they read as zeros.
   * @param index the first
   * @param count default 1
   * @returns how many of them held something
   */
  discard(index: number, count = 1): number {
    return discard(this.#state, index, count);
  }

  /** Frees a page whose contents nobody wants any more: the notice of a swap slot that is free. */
  freeNotify(index: number): void {
    freeNotify(this.#state, index);
  }

  /** Moves objects together. @returns frames given back */
  compact(): number {
    return compact(this.#state);
  }

  /**
   * compact in slices: other calls have their turn every millisecond or so. It takes the pool in parts, as it is at the
   * time, so it may leave a few frames more than compact.
   * @returns frames given back
   * @throws ENODEV before init; ECLOSED, when it ends meanwhile, too
   * @example
   * const served = device.compactAsync();
   * await device.readPageAsync(0, page); // does not wait for all of it
   * console.log(await served, 'frames');
   */
  async compactAsync(): Promise<number> {
    return compactSoon(this.#state);
  }

  // ── idle pages, writeback, recompression ───────────────────────────────────

  /**
   * Marks pages as idle, and no others: the mark of younger ones goes. An access clears it, and recompress. Only those that are
   * objects in memory.
   * @param age seconds since the last access at least; or 'all', the default. What is older than 24 days may seem up to 255
   *   seconds older than it is
   * @returns how many are idle now
   */
  markIdle(age: number | 'all' = 'all'): number {
    return markIdle(this.#state, begin(this.#state, 'ramzswap.markIdle', false), age);
  }

  /**
   * markIdle in slices: other calls have their turn every millisecond or so. Ages are as they are when it is
   * called; a page that is accessed behind the place where it works loses the mark again.
   * @param age seconds, or 'all', as for markIdle
   * @returns how many it has marked
   * @throws ENODEV before init; ECLOSED, when it ends meanwhile, too
   */
  async markIdleAsync(age: number | 'all' = 'all'): Promise<number> {
    return markIdleSoon(this.#state, begin(this.#state, 'ramzswap.markIdleAsync', true), age);
  }

  /**
   * Moves pages to the backing store, the largest first.
   * @param selection pages that are idle, kept as they are (huge), both, given up by recompress, or by number
   * @returns pages moved
   * @throws ENODEV no backing store; EAGAIN an asynchronous one; EBUSY another writeback runs; when nothing was moved: EIO
   *   writebackLimit is used up or the store failed, ENOSPC it is full
   */
  writeback(selection: WritebackSelection): number {
    return writebackNow(this.#state, 'ramzswap.writeback', selection);
  }

  /**
   * writeback, which waits, in slices: other calls have their turn every millisecond or so. Several writes of an
   * asynchronous store are under way at a time. A page that is changed meanwhile stays where it is.
   * @param selection as for writeback
   * @returns pages moved; when it is closed meanwhile, until then
   * @throws as writeback, but no EAGAIN
   */
  async writebackAsync(selection: WritebackSelection): Promise<number> {
    return writebackSoon(this.#state, 'ramzswap.writebackAsync', selection);
  }

  /**
   * Compresses pages anew with the further codecs. A page keeps its object unless the new one takes a smaller size class; one
   * that none of them makes smaller is marked, and never tried again until it is written. A page that is tried is not idle any
   * more.
   * @returns pages that take less now
   * @throws EINVAL no further codecs, or a threshold that no block reaches. It ends where there is no frame for a new object
   */
  recompress(options: RecompressOptions = {}): number {
    return recompressNow(this.#state, options);
  }

  /**
   * recompress in slices: other calls have their turn every millisecond or so. Each page is taken as it is when its turn
   * comes. Pages that are smaller by then stay so when it ends early.
   * @param options as for recompress
   * @returns pages that take less now
   * @throws as recompress; ENODEV before init; ECLOSED, when it ends meanwhile, too
   * @example
   * device.markIdle(3600);
   * const smaller = await device.recompressAsync({ type: 'idle', maxPages: 10_000 });
   */
  async recompressAsync(options: RecompressOptions = {}): Promise<number> {
    return recompressSoon(this.#state, options);
  }

  // ── figures ────────────────────────────────────────────────────────────────

  /** ramzswap's record. */
  stats(): RamzswapStats {
    return ramzswapStats(this.#state, live(this.#state, 'ramzswap.stats'));
  }

  /** zram's mm_stat. */
  mmStat(): MmStat {
    return mmStat(this.#state, live(this.#state, 'ramzswap.mmStat'));
  }

  /** zram's mem_used_max: from now on counts what is used now. */
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

  /** zram's block_state: every page that holds something, in order. */
  blockState(): Generator<BlockState> {
    live(this.#state, 'ramzswap.blockState');
    return blockState(this.#state);
  }

  /** Walks every structure of its RAM. @throws EUCLEAN */
  check(): void {
    rams.check(live(this.#state, 'ramzswap.check').ram);
  }

  /** The RAM that it works in. @throws ENODEV before init */
  get ram(): Ram {
    return live(this.#state, 'ramzswap.ram').ram;
  }
}
