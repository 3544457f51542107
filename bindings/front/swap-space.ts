/// <reference lib="esnext.disposable" preserve="true" />
/** SwapSpace: swap as its user holds it. */
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
 * A swap area: numbered slots that hold a page each. A page goes to zswap, and what that refuses goes to the backing store:
 * once pageOut has returned, the page is safe in one of the two.
 *
 * Errors of every method: EINVAL for a bad argument, and nothing changes; ECLOSED after close.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class SwapSpace {
  readonly #zswap: Zswap;

  private constructor(maker: unknown, zswap: Zswap) {
    requireMaker(maker, 'SwapSpace', 'SwapSpace.create or SwapSpace.open');
    this.#zswap = zswap;
  }

  /** The compressed part; its settings and statistics are there. */
  get zswap(): Zswap {
    return this.#zswap;
  }

  /**
   * Creates a swap area.
   * @param options those of Zswap.create. Default store: one in JavaScript's memory, without a limit
   * @throws as Zswap.create
   */
  static async create(options: SwapSpaceOptions = {}): Promise<SwapSpace> {
    const op = 'SwapSpace.create';
    const taken = requireZswapOptions(op, options);
    const store = taken.store ?? requireTakenStore(op, new MemoryStore());
    return new SwapSpace(MAKER, await zswaps.make(op, { ...taken, store }));
  }

  /**
   * Opens a swap area that lies in a restored RAM: it goes on where it was when the image was made, as Zswap.open says. Its slots
   * are the pages of type 0 of that zswap.
   * @param ram a RAM of Ram.restore
   * @param name of its zswap, as in ram.fronts(); the kind there is 'zswap'
   * @param options those of Zswap.open. Where no page is in the store, and none is given, it gets one in JavaScript's memory
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
   * Takes a page, in place of the one that the slot held.
   * @param slot 0 … 4294967295
   * @param page 4096 bytes
   * @throws ENOSPC the store is full, EIO it failed, ENOMEM no frame even for the index, EAGAIN zswap refuses the page and the
   *   store is asynchronous. The slot is empty then: neither the page nor an older one is there
   */
  pageOut(slot: number, page: Uint8Array): void {
    const op = 'swapSpace.pageOut';
    requireU32(op, 'slot', slot);
    zswaps.pageOut(op, this.#zswap, slot, page);
  }

  /** pageOut, which waits for an asynchronous store. The page is copied at once; of two calls for one slot the later one wins. */
  async pageOutAsync(slot: number, page: Uint8Array): Promise<void> {
    const op = 'swapSpace.pageOutAsync';
    requireU32(op, 'slot', slot);
    await zswaps.pageOutAsync(op, this.#zswap, slot, page);
  }

  /**
   * Gives a page back.
   * @param into 4096 bytes; unchanged unless the slot holds a page
   * @returns whether it does
   * @throws EIO when the store fails or has lost the page; EAGAIN when it is in an asynchronous store
   */
  pageIn(slot: number, into: Uint8Array): boolean {
    requireArguments('swapSpace.pageIn', slot, into);
    return this.#zswap.load(0, slot, into);
  }

  /** pageIn, which waits for an asynchronous store. */
  async pageInAsync(slot: number, into: Uint8Array): Promise<boolean> {
    requireArguments('swapSpace.pageInAsync', slot, into);
    return this.#zswap.loadAsync(0, slot, into);
  }

  /**
   * Empties a slot.
   * @returns whether it held a page
   */
  free(slot: number): boolean {
    requireU32('swapSpace.free', 'slot', slot);
    return this.#zswap.invalidatePage(0, slot);
  }

  /** free: it never has to wait. The store is told of it in the background. */
  async freeAsync(slot: number): Promise<boolean> {
    return this.free(slot);
  }

  stats(): ZswapStats {
    return this.#zswap.stats();
  }

  /** Zswap.close. */
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
