/**
 * Writeback: the coldest pages are moved to the store, until enough pages are moved or frames are free, or nothing more
 * can be moved. One body of steps serves both kinds of stores: with a synchronous one it never waits. Store and codec
 * are foreign code: they may call back, close the zswap, or start a writeback themselves.
 */
import { DUPLICATE_ENTRY, NO_LIMIT, ZSWAP_ENTRIES, ZSWAP_POOL_FRAMES } from '../../../assembly/abi.ts';
import { CompcacheError, requireU32 } from '../../errors.ts';
import { runSync, wait, type Steps } from '../../steps.ts';
import type { StoreIo } from '../common/store-io.ts';
import { Progress, TRIES, type Goal, type Run } from './run.ts';
import type { State } from './state.ts';
import { movePage } from './victims.ts';
import { Writes, begin, type Job } from './writes.ts';

/** How many entries a frame may hold, roughly. */
const ENTRIES_PER_FRAME = 4;
/** A store may write this many entries to finish a victim by page, even if it owes fewer. */
const STEP = 8;
/** The most frames or zspages that one compaction empties while a page waits. */
const COMPACTED = 8;

export class Writeback {
  readonly #state: State;
  /** The layout of the pools in which compaction has freed no frame. */
  #uselessLayout: string | undefined;
  #background: Promise<void> | undefined;

  constructor(state: State) {
    this.#state = state;
  }

  // ── for callers ────────────────────────────────────────────────────────────

  /** Checks the arguments of a call that writes back. @throws ENODEV without a store */
  require(op: string, what: string, value: number): StoreIo {
    requireU32(op, what, value);
    this.#state.live(op);
    if (this.#state.io === undefined) throw new CompcacheError('ENODEV', op, 'there is no backing store');
    return this.#state.io;
  }

  /** require for a synchronous call. @throws EAGAIN the store is asynchronous */
  requireSync(op: string, what: string, value: number): void {
    if (!this.require(op, what, value).isSync)
      throw new CompcacheError('EAGAIN', op, `the store is asynchronous: use ${op.slice(6)}Async`);
  }

  /**
   * Moves this many pages, at least 1.
   * @returns pages moved
   * @throws the failure of the store, when no page was moved
   */
  *entries(op: string, entries: number): Steps<number> {
    const run = yield* this.#move(op, { entries, frames: Infinity, victims: 0 });
    if (run.moved === 0 && run.failure !== undefined) throw run.failure;
    return run.moved;
  }

  /**
   * Gives this many frames back, at least 1.
   * @returns frames that became free
   * @throws as entries, when none became free
   */
  *frames(op: string, frames: number): Steps<number> {
    const { figures } = this.#state;
    this.#uselessLayout = undefined;
    const before = figures.frames;
    const run = yield* this.#move(op, { entries: Infinity, frames, victims: NO_LIMIT });
    const freed = Math.max(before - figures.frames, 0);
    if (freed === 0 && run.failure !== undefined) throw run.failure;
    return freed;
  }

  // ── for pages that are stored ──────────────────────────────────────────────

  /** Gives frames back, with a synchronous store. A failure is counted, not thrown. */
  shrink(op: string, frames: number): Run {
    return runSync(this.#move(op, { entries: Infinity, frames, victims: COMPACTED }));
  }

  /**
   * Writes back the entries that a store owes; with an asynchronous store it only begins to. A failure is counted, not
   * thrown.
   */
  pay(op: string, entries: number): void {
    const state = this.#state;
    const io = state.io as StoreIo;
    if (!io.isSync) this.#startPaying(op, entries);
    else if (state.settings.victims === 'page') this.#payPages(op, entries);
    else this.#payEntries(op, io, entries);
  }

  /** Takes victims until this many entries were moved. The last victim may be kept for the next stores. */
  #payPages(op: string, entries: number): void {
    // When nothing may be written, no victim is kept, because each store would take it up for nothing.
    if (this.#state.budget.left <= 0) this.#state.front.zswapVictimEnd(this.#state.address);
    else runSync(this.#move(op, { entries, frames: Infinity, victims: 0 }, Math.max(entries, STEP)));
  }

  /** Moves a few entries for a store. A shorter and faster form of #move. */
  #payEntries(op: string, io: StoreIo, entries: number): void {
    const state = this.#state;
    const run: Run = { moved: 0, writes: 0, tries: 0, failure: undefined };
    const writes = new Writes(state, io, op, run);
    state.running += 1;
    try {
      while (
        run.moved < entries &&
        run.tries < TRIES &&
        run.failure === undefined &&
        state.budget.left > 0 &&
        !state.isOver
      ) {
        const job = this.#beginEntry(op, run);
        if (job === undefined) break;
        writes.make(job);
      }
    } finally {
      state.running -= 1;
    }
    if (!state.isOver && state.pools.freeable > 0) state.pools.compact(1);
  }

  /** Begins to give frames back in the background, with an asynchronous store. A failure is counted. */
  startShrinking(op: string, frames: number): void {
    const state = this.#state;
    if (state.budget.left === 0) return;
    this.#start(op, { entries: Infinity, frames, victims: COMPACTED }, (run) => {
      if (run.moved === 0 && !state.isOver) state.figures.count('rejectReclaimFail');
    });
  }

  /** Begins to write owed entries back in the background. */
  #startPaying(op: string, entries: number): void {
    this.#start(op, { entries, frames: Infinity, victims: 0 });
  }

  /** Begins a run in the background, unless one is under way. */
  #start(op: string, goal: Goal, ended?: (run: Run) => void): void {
    if (this.#background !== undefined) return;
    this.#background = this.#state.active
      .run(this.#move(op, goal))
      .then(ended)
      .catch(() => undefined)
      .finally(() => (this.#background = undefined));
  }

  // ── one run ────────────────────────────────────────────────────────────────

  /**
   * Writes back until the goal is reached, nothing more can be moved, or `most` writes were made (with victims by
   * page). There is a store.
   */
  *#move(op: string, goal: Goal, most = Infinity): Steps<Run> {
    const state = this.#state;
    const io = state.io as StoreIo;
    // A run that store or codec start inside another one has only one try. Otherwise the number of writes would be 8 to
    // the power of their depth.
    const tries = io.isSync && state.running !== 0 ? TRIES - 1 : 0;
    const run: Run = { moved: 0, writes: 0, tries, failure: undefined };
    const progress = new Progress(goal, state.figures.frames);
    const writes = new Writes(state, io, op, run);
    if (io.isSync) state.running += 1;
    try {
      yield* state.settings.victims === 'page'
        ? this.#movePages(op, progress, run, writes, most)
        : this.#moveEntries(op, io, progress, run, writes);
    } catch (error) {
      run.failure ??= error as CompcacheError;
    } finally {
      if (io.isSync) state.running -= 1;
    }
    if (writes.size !== 0) yield* writes.all();
    if (state.isOver) return run;
    this.#compactFor(progress, run);
    state.settle();
    return run;
  }

  *#movePages(op: string, progress: Progress, run: Run, writes: Writes, most: number): Steps<void> {
    while (this.#wants(progress, run, 0)) if (!(yield* movePage(this.#state, op, run, writes, most))) return;
  }

  *#moveEntries(op: string, io: StoreIo, progress: Progress, run: Run, writes: Writes): Steps<void> {
    const state = this.#state;
    while (this.#wants(progress, run, writes.size)) {
      // For a few frames, do not begin many more writes than they have entries.
      if (writes.size >= progress.goal.frames * ENTRIES_PER_FRAME) {
        yield* writes.one();
        continue;
      }
      if (!io.hasRoom) {
        yield* wait(io.room(op));
        continue;
      }
      const { calls } = state;
      const job = this.#beginEntry(op, run);
      if (job !== undefined) {
        writes.make(job);
        continue;
      }
      if (state.calls !== calls) continue; // a codec has called back: look everything up again
      if (run.failure?.code === 'ENOSPC' && !io.isSync && (yield* wait(state.frees?.freed()))) {
        run.failure = undefined;
        continue;
      }
      if (writes.size === 0) return;
      yield* writes.one();
    }
  }

  /**
   * Begins the write of the next victim by entry. undefined without a victim, or when a codec has called back: then
   * look everything up again.
   */
  #beginEntry(op: string, run: Run): Job | undefined {
    const state = this.#state;
    for (; run.tries < TRIES; run.tries++) {
      const record = state.front.zswapVictim(state.address) >>> 0;
      if (record === 0) return undefined;
      const { calls } = state;
      const job = begin(state, op, record, run);
      if (job !== undefined || run.failure?.code === 'ENOSPC') return job;
      if (state.calls !== calls) {
        run.tries += 1;
        return undefined;
      }
      state.front.zswapPass(state.address, record);
    }
    return undefined;
  }

  /** True when more entries are to be written. */
  #wants(progress: Progress, run: Run, active: number): boolean {
    const { isOver, budget, figures, pools, settings } = this.#state;
    if (isOver || run.failure !== undefined || budget.left <= 0 || run.tries >= TRIES) return false;
    if (run.moved + active >= progress.goal.entries) return false;
    if (progress.goal.frames === Infinity || !progress.isDue(run.moved)) return true;
    if (progress.reached(figures.frames)) return false;
    if (settings.victims === 'page') return true;
    if (progress.reached(figures.frames - pools.freeable) || progress.compactionIsDue(run.moved))
      pools.compact(progress.goal.victims);
    return !progress.reached(figures.frames);
  }

  /** Compacts the pools after entries were removed from many places, if that can reach the goal. */
  #compactFor(progress: Progress, run: Run): void {
    const { figures, pools, settings } = this.#state;
    if (settings.victims !== 'entry' || progress.goal.frames === Infinity || progress.reached(figures.frames)) return;
    // When nothing can be written back, every store comes here. One compaction without a result is enough.
    if (run.moved === 0 && this.#uselessLayout === this.#layout()) return;
    const before = figures.frames;
    pools.compact(progress.goal.victims);
    this.#uselessLayout = figures.frames < before ? undefined : this.#layout();
  }

  /** A text that changes when entries come or go. */
  #layout(): string {
    return [ZSWAP_ENTRIES, ZSWAP_POOL_FRAMES, DUPLICATE_ENTRY].map((which) => this.#state.figures.of(which)).join();
  }
}
