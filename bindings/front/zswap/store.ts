/**
 * Storing a page: into the pool, after making room if it is full. The codec and, through writing back, the store are foreign code:
 * before any of it runs, the page is in memory of ours, and after it everything is looked at anew.
 */
import { ANSWERS_END, COMPRESS, ENOENT, ENOMEM, FULL, POOR, ZSWAP_OWES } from '../../../assembly/abi.ts';
import { copyIn, copyOf } from '../../bytes.ts';
import { requirePage } from '../../codec/foreign.ts';
import { requireKey, type State } from './state.ts';
import type { Writeback } from './writeback.ts';

// Answers of ours, beside those of the core.
const CODEC_FAILED = ANSWERS_END;
const RECLAIM_FAILED = ANSWERS_END + 1;

/** Frames given back in one store at most: 1 MiB, so that none takes long. */
const STEP_FRAMES = 256;
/** Frames wanted when an allocation has failed though some are free: the longest zspage by default. */
const ZSPAGE_FRAMES = 8;

export class Storing {
  readonly #state: State;
  readonly #writeback: Writeback;
  /** Whether later stores are to give frames back, down to the accept threshold. The core keeps it, and this what it was last. */
  #owes: boolean;

  constructor(state: State, writeback: Writeback) {
    this.#state = state;
    this.#writeback = writeback;
    this.#owes = state.figures.of(ZSWAP_OWES) !== 0;
  }

  /** Undefined when the page was accepted. Else the page: with `again` in memory of ours, as it was at the call. */
  offer(op: string, type: number, offset: number, given: Uint8Array, again: boolean): Uint8Array | undefined {
    const state = this.#state;
    requireKey(op, type, offset);
    requirePage(op, 'page', given);
    state.live(op);
    if (!state.settings.enabled) {
      const page = again ? copyOf(op, 'page', given) : given;
      state.lose(type, offset);
      return page;
    }
    // Store and codec may take the caller's array away. Before they run, the page is copied; most stores need neither.
    let page = state.pools.isForeign || this.#owes ? copyOf(op, 'page', given) : given;
    if (this.#owes) this.#payOff(op);
    let result = this.#attempt(op, type, offset, page);
    const lacksRoom = result === FULL || result === ENOMEM || result === ENOENT;
    if (page === given && result !== 0 && (again || (lacksRoom && state.io?.isSync === true))) page = copyOf(op, 'page', given);
    if (lacksRoom) result = this.#retry(op, type, offset, page, result);
    if (result !== 0) this.#refused(op, result);
    state.settle();
    return result === 0 ? undefined : page;
  }

  /** One try: 0, or why not. */
  #attempt(op: string, type: number, offset: number, page: Uint8Array): number {
    const state = this.#state;
    copyIn(op, 'page', state.core.page, page);
    if (state.pools.isForeign) return this.#attemptWith(op, type, offset, page, state.pools.codec);
    return state.front.zswapStore(state.address, offset, type) >>> 0;
  }

  /** With a codec that is not of the core: it compresses in between. */
  #attemptWith(op: string, type: number, offset: number, page: Uint8Array, codec: number): number {
    const state = this.#state;
    const { address, front, pools } = state;
    const begun = front.zswapBegin(address, offset, type) >>> 0;
    if (begun !== COMPRESS) return begun;
    const block = pools.codecs.compressed(op, codec, page, front.zswapMost(address) >>> 0);
    // It was foreign code: it may have closed this, or made another pool the current one.
    state.live(op);
    if (block === undefined || codec !== pools.codec || block.length > front.zswapMost(address) >>> 0) return CODEC_FAILED;
    if (block.length === 0) state.core.page.set(page);
    else state.core.blockBuffer.set(block);
    return front.zswapPut(address, offset, type, block.length) >>> 0;
  }

  /** Makes room, if anything can, and tries again. */
  #retry(op: string, type: number, offset: number, page: Uint8Array, result: number): number {
    const state = this.#state;
    const { figures, io } = state;
    if (io === undefined) return result;
    const frames = Math.max(figures.excess, result === FULL ? 1 : ZSPAGE_FRAMES);
    if (!io.isSync) {
      this.#writeback.startShrinking(op, frames);
      return result;
    }
    const before = figures.frames;
    const run = this.#writeback.shrink(op, Math.min(frames, STEP_FRAMES));
    state.live(op);
    if (run.moved === 0 && figures.frames >= before) return result === FULL ? RECLAIM_FAILED : result;
    this.#owe(frames > STEP_FRAMES && figures.excess > 0);
    return this.#attempt(op, type, offset, page);
  }

  /** Goes on with what a full pool began, a step a store: down to the accept threshold, or until nothing goes any more. */
  #payOff(op: string): void {
    const { figures } = this.#state;
    const before = figures.excess;
    if (before > 0) this.#writeback.shrink(op, Math.min(before, STEP_FRAMES));
    this.#state.live(op);
    const left = figures.excess;
    this.#owe(left > 0 && left < before);
  }

  /** Notes whether frames are owed. While they are, pages are accepted though the threshold is not reached. */
  #owe(owes: boolean): void {
    if (!owes && !this.#owes) return;
    this.#owes = owes;
    this.#state.front.zswapOwe(this.#state.address, owes ? 1 : 0);
  }

  /** Counts why a page was refused. */
  #refused(op: string, result: number): void {
    const { figures } = this.#state;
    switch (result) {
      case FULL: break; // poolLimitHit, or the limit was hit before and is not yet left by enough
      case POOR: figures.count('rejectCompressPoor'); break;
      case CODEC_FAILED: figures.count('rejectCompressFail'); break;
      case RECLAIM_FAILED: figures.count('rejectReclaimFail'); break;
      case ENOENT: figures.count('rejectKmemcacheFail'); break;
      case ENOMEM: figures.count('rejectAllocFail'); break;
      default: throw this.#state.failure(op, result);
    }
  }
}
