/**
 * Stores a page in the pool, and makes room if the pool is full. The codec is foreign code, and so is the store that
 * writeback calls. Before any of it runs, the page is copied; after it, everything is looked up again.
 */
import { ANSWERS_END, COMPRESS, ENOENT, ENOMEM, FULL, OUT_OWED, POOR, ZSWAP_LIMIT } from '../../../assembly/abi.ts';
import { copyIn, copyOf } from '../../bytes.ts';
import { requirePage } from '../../codec/foreign.ts';
import { requireKey, type State } from './state.ts';
import type { Writeback } from './writeback.ts';

// Results besides those of the core.
const CODEC_FAILED = ANSWERS_END;
const RECLAIM_FAILED = ANSWERS_END + 1;

/** The most frames that one store gives back when the limit was lowered: 512 KiB. */
const STEP_FRAMES = 128;
/** Frames to give back when an allocation has failed although some are free: the longest zspage by default. */
const ZSPAGE_FRAMES = 8;
/** The most steps of one store: a frame for the limit, a zspage for the allocator, and one more. */
const STEPS = 3;

export class Storing {
  readonly #state: State;
  readonly #writeback: Writeback;

  constructor(state: State, writeback: Writeback) {
    this.#state = state;
    this.#writeback = writeback;
  }

  /**
   * Stores a page. Returns undefined when it was accepted, else the page. With `again` that is a copy, as the page was
   * at the call.
   */
  offer(op: string, type: number, offset: number, given: Uint8Array, again: boolean): Uint8Array | undefined {
    const state = this.#state;
    requireKey(op, type, offset);
    requirePage(op, 'page', given);
    state.live(op);
    if (!state.settings.enabled) {
      const page = again ? copyOf(op, 'page', given) : given;
      state.drop(type, offset);
      return page;
    }
    // Store and codec may change or detach the caller's array, so the page is copied before they run. Most stores need
    // no copy.
    let page = state.pools.isForeign ? copyOf(op, 'page', given) : given;
    let result = this.#attempt(op, type, offset, page);
    const lacksRoom = result === FULL || result === ENOMEM || result === ENOENT;
    if (page === given && result !== 0 && (again || (lacksRoom && state.io?.isSync === true)))
      page = copyOf(op, 'page', given);
    if (lacksRoom) result = this.#retry(op, type, offset, page, result);
    if (result !== 0) this.#refused(op, result);
    else this.#pay(op);
    state.settle();
    return result === 0 ? undefined : page;
  }

  /** Tries once. 0, or the reason for the failure. */
  #attempt(op: string, type: number, offset: number, page: Uint8Array): number {
    const state = this.#state;
    copyIn(op, 'page', state.core.page, page);
    if (state.pools.isForeign) return this.#attemptWith(op, type, offset, page, state.pools.codec);
    return state.front.zswapStore(state.address, offset, type) >>> 0;
  }

  /** Tries once with a foreign codec. */
  #attemptWith(op: string, type: number, offset: number, page: Uint8Array, codec: number): number {
    const state = this.#state;
    const { address, front, pools } = state;
    const begun = front.zswapBegin(address, offset, type) >>> 0;
    if (begun !== COMPRESS) return begun;
    const block = pools.codecs.compressed(op, codec, page, front.zswapMost(address) >>> 0);
    // The codec may have closed the zswap, or changed the current pool.
    state.live(op);
    if (block === undefined || codec !== pools.codec || block.length > front.zswapMost(address) >>> 0)
      return CODEC_FAILED;
    if (block.length === 0) state.core.page.set(page);
    else state.core.blockBuffer.set(block);
    return front.zswapPut(address, offset, type, block.length) >>> 0;
  }

  /** Makes room if possible, and tries again. */
  #retry(op: string, type: number, offset: number, page: Uint8Array, result: number): number {
    const state = this.#state;
    const { figures, io } = state;
    if (io === undefined) return result;
    if (!io.isSync) {
      this.#writeback.startShrinking(op, Math.max(figures.excess, result === FULL ? 1 : ZSPAGE_FRAMES));
      return result;
    }
    let last = result;
    for (let step = 0; step < STEPS; step++) {
      const before = figures.frames;
      const run = this.#writeback.shrink(
        op,
        last === FULL
          ? Math.min(Math.max(before - figures.of(ZSWAP_LIMIT) + 1, 1), STEP_FRAMES)
          : ZSPAGE_FRAMES << step,
      );
      state.live(op);
      if (run.moved === 0 && figures.frames >= before) return last === FULL ? RECLAIM_FAILED : last;
      state.front.zswapAccept(state.address);
      last = this.#attempt(op, type, offset, page);
      if (last !== FULL && last !== ENOMEM && last !== ENOENT) break;
    }
    return last;
  }

  /**
   * Writes back what this store owes (assembly/front/zswap-limit.ts): a few entries, so that the limit is rarely
   * reached.
   */
  #pay(op: string): void {
    const state = this.#state;
    const owed = state.core.out[OUT_OWED] as number;
    // If foreign code stores a page during a writeback, that store owes nothing: it would never end.
    if (owed === 0 || state.running !== 0 || state.io === undefined) return;
    this.#writeback.pay(op, owed);
    state.live(op);
  }

  /** Counts why a page was refused. */
  #refused(op: string, result: number): void {
    const { figures } = this.#state;
    switch (result) {
      case FULL:
        break; // poolLimitHit, or the limit was reached and the accept threshold is not
      case POOR:
        figures.count('rejectCompressPoor');
        break;
      case CODEC_FAILED:
        figures.count('rejectCompressFail');
        break;
      case RECLAIM_FAILED:
        figures.count('rejectReclaimFail');
        break;
      case ENOENT:
        figures.count('rejectKmemcacheFail');
        break;
      case ENOMEM:
        figures.count('rejectAllocFail');
        break;
      default:
        throw this.#state.failure(op, result);
    }
  }
}
