/// <reference lib="esnext.disposable" preserve="true" />
/** SwapSpace: a swap area on top of a zswap. */
import { MemoryStore } from '../backing/memory.ts';
import { requirePage } from '../codec/foreign.ts';
import { ASYNC_DISPOSE, DISPOSE } from '../dispose.ts';
import { MAKER, requireMaker, requireU32 } from '../errors.ts';
import type { Ram } from '../ram.ts';
import { requireTakenStore } from './common/options.ts';
import { zswaps, type Zswap } from './zswap/index.ts';
import { requireZswapOptions, type ZswapOptions } from './zswap/settings.ts';
import type { ZswapOpenOptions } from './zswap/reopen.ts';
import type { ZswapStats } from './zswap/stats.ts';

export type SwapSpaceOptions = ZswapOptions;
export type SwapSpaceOpenOptions = ZswapOpenOptions;

// The symbols' names are computed (dispose.ts), so TypeScript must be told of the methods.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface SwapSpace {
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A swap area: numbered slots that hold one page each. zswap stores the pages. A page that zswap refuses is written to
 * the backing store. Once pageOut has returned, the page is safe in one of the two.
 *
 * Errors of every method: EINVAL for a bad argument, and then nothing changes; ECLOSED after close.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class SwapSpace {
  readonly #zswap: Zswap;

  private constructor(maker: unknown, zswap: Zswap) {
    requireMaker(maker, 'SwapSpace', 'SwapSpace.create or SwapSpace.open');
    this.#zswap = zswap;
  }

  /** The zswap that holds the pages in memory. Settings and statistics are there. */
  get zswap(): Zswap {
    return this.#zswap;
  }

  /**
   * Creates a swap area.
   * @param options the options of Zswap.create. Default store: a MemoryStore without a limit
   * @throws as Zswap.create
   */
  static async create(options: SwapSpaceOptions = {}): Promise<SwapSpace> {
    const op = 'SwapSpace.create';
    const taken = requireZswapOptions(op, options);
    const store = taken.store ?? requireTakenStore(op, new MemoryStore());
    return new SwapSpace(MAKER, await zswaps.make(op, { ...taken, store }));
  }

  /**
   * Opens a swap area in a restored RAM. It goes on with the state that it had when the image was made, as Zswap.open
   * says. Its slots are the pages of type 0 of that zswap.
   * @param ram a RAM from Ram.restore
   * @param name the name of its zswap, as in ram.fronts(); the kind there is 'zswap'
   * @param options the options of Zswap.open. Without a store, and if no page is in one, it gets a MemoryStore
   * @throws as Zswap.open; EINVAL also for a zswap that had no store
   * @example
   * const ram = await Ram.restore(image);
   * const swap = await SwapSpace.open(ram, 'zswap#1', { store: await FileStore.open({ path: 'swap', existing: 'reopen' }) });
   * swap.pageIn(7, page);
   */
  static async open(ram: Ram, name: string, options: SwapSpaceOpenOptions = {}): Promise<SwapSpace> {
    return new SwapSpace(MAKER, await zswaps.open('SwapSpace.open', ram, name, options, () => new MemoryStore()));
  }

  /**
   * Stores a page in a slot, in place of the page that the slot held.
   * @param slot 0 … 4294967295
   * @param page 4096 bytes
   * @throws ENOSPC the store is full; EIO the store failed; ENOMEM no frame even for the index; EAGAIN zswap refuses
   *   the page and the store is asynchronous. The slot is then empty: the new page and the old one are both lost
   */
  pageOut(slot: number, page: Uint8Array): void {
    const op = 'swapSpace.pageOut';
    requireU32(op, 'slot', slot);
    zswaps.pageOut(op, this.#zswap, slot, page);
  }

  /**
   * pageOut that waits for an asynchronous store. The page is copied at once. Of two calls for one slot, the later one
   * wins.
   */
  async pageOutAsync(slot: number, page: Uint8Array): Promise<void> {
    const op = 'swapSpace.pageOutAsync';
    requireU32(op, 'slot', slot);
    await zswaps.pageOutAsync(op, this.#zswap, slot, page);
  }

  /**
   * Reads the page of a slot.
   * @param into 4096 bytes; unchanged if the slot holds no page
   * @returns true when the slot holds a page
   * @throws EIO the store fails or has lost the page; EAGAIN the page is in an asynchronous store
   */
  pageIn(slot: number, into: Uint8Array): boolean {
    requireArguments('swapSpace.pageIn', slot, into);
    return this.#zswap.load(0, slot, into);
  }

  /** pageIn that waits for an asynchronous store. */
  async pageInAsync(slot: number, into: Uint8Array): Promise<boolean> {
    requireArguments('swapSpace.pageInAsync', slot, into);
    return this.#zswap.loadAsync(0, slot, into);
  }

  /**
   * Empties a slot.
   * @returns true when it held a page
   */
  free(slot: number): boolean {
    requireU32('swapSpace.free', 'slot', slot);
    return this.#zswap.invalidatePage(0, slot);
  }

  /** The same as free, which never waits. The slot is freed at the store in the background. */
  async freeAsync(slot: number): Promise<boolean> {
    return this.free(slot);
  }

  stats(): ZswapStats {
    return this.#zswap.stats();
  }

  /** Closes the zswap: see Zswap.close. */
  close(): Promise<void> {
    return this.#zswap.close();
  }

  [DISPOSE](): void {
    this.#zswap[DISPOSE]();
  }

  [ASYNC_DISPOSE](): Promise<void> {
    return this.close();
  }
}

function requireArguments(op: string, slot: number, into: Uint8Array): void {
  requireU32(op, 'slot', slot);
  requirePage(op, 'into', into);
}
