/**
 * Writing back: the coldest pages go to the store, until so many pages or frames are wanted no more, or nothing goes. One body for
 * both kinds of stores: with a synchronous one nothing in it has to be waited for. Store and codec are foreign code, which may
 * call back, close the zswap, or write back themselves.
 */
import { DUPLICATE_ENTRY, NO_LIMIT, ZSWAP_ENTRIES, ZSWAP_POOL_FRAMES } from '../../../assembly/abi.ts';
import { CompcacheError, requireU32 } from '../../errors.ts';
import { runSync, wait, type Steps } from '../../steps.ts';
import type { StoreIo } from '../common/store-io.ts';
import { Progress, TRIES, type Goal, type Run } from './run.ts';
import type { State } from './state.ts';
import { movePage } from './victims.ts';
import { Writes, begin, type Job } from './writes.ts';

/** Entries that a frame may hold, roughly. */
const ENTRIES_PER_FRAME = 4;
/** Entries that a store may write to bring a victim by page to its end, though it owes fewer. */
const STEP = 8;
/** Frames or zspages that are emptied at once while a page waits. */
const COMPACTED = 8;

export class Writeback {
  readonly #state: State;
  /** The layout that compaction has found nothing in. */
  #vain: string | undefined;
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

  /** The same for a synchronous call. @throws EAGAIN with an asynchronous store */
  requireSync(op: string, what: string, value: number): void {
    if (!this.require(op, what, value).isSync)
      throw new CompcacheError('EAGAIN', op, `the store is asynchronous: use ${op.slice(6)}Async`);
  }

  /** Moves so many pages, of at least one. @returns pages moved @throws what the store has failed with, when none was */
  *entries(op: string, entries: number): Steps<number> {
    const run = yield* this.#move(op, { entries, frames: Infinity, victims: 0 });
    if (run.moved === 0 && run.failure !== undefined) throw run.failure;
    return run.moved;
  }

  /** Gives so many frames back, of at least one. @returns frames that came back @throws as entries, when none did */
  *frames(op: string, frames: number): Steps<number> {
    const { figures } = this.#state;
    this.#vain = undefined;
    const before = figures.frames;
    const run = yield* this.#move(op, { entries: Infinity, frames, victims: NO_LIMIT });
    const freed = Math.max(before - figures.frames, 0);
    if (freed === 0 && run.failure !== undefined) throw run.failure;
    return freed;
  }

  // ── for pages that are stored ──────────────────────────────────────────────

  /** Gives frames back, with a synchronous store. What fails is counted, and not thrown. */
  shrink(op: string, frames: number): Run {
    return runSync(this.#move(op, { entries: Infinity, frames, victims: COMPACTED }));
  }

  /** Moves so many entries, or begins to, with an asynchronous store. What fails is counted, and not thrown. */
  pay(op: string, entries: number): void {
    const state = this.#state;
    const io = state.io as StoreIo;
    if (!io.isSync) this.#startPaying(op, entries);
    else if (state.settings.victims === 'page') this.#payPages(op, entries);
    else this.#payEntries(op, io, entries);
  }

  /** Takes victims until so many entries have moved. The last one may be left to the next stores. */
  #payPages(op: string, entries: number): void {
    // What is kept while nothing may be written would be taken up by every store in vain.
    if (this.#state.budget.left <= 0) this.#state.front.zswapVictimEnd(this.#state.address);
    else runSync(this.#move(op, { entries, frames: Infinity, victims: 0 }, Math.max(entries, STEP)));
  }

  /** #move for a few entries in one of many stores, without what that does for others. */
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

  /** Begins to give frames back behind the caller's back, with an asynchronous store. What fails is counted. */
  startShrinking(op: string, frames: number): void {
    const state = this.#state;
    if (this.#background !== undefined || state.budget.left === 0) return;
    this.#background = state.active
      .run(this.#move(op, { entries: Infinity, frames, victims: COMPACTED }))
      .then((run) => {
        if (run.moved === 0 && !state.isOver) state.figures.count('rejectReclaimFail');
      })
      .catch(() => undefined)
      .finally(() => (this.#background = undefined));
  }

  /** The same behind the caller's back, one run at a time. */
  #startPaying(op: string, entries: number): void {
    if (this.#background !== undefined) return;
    this.#background = this.#state.active
      .run(this.#move(op, { entries, frames: Infinity, victims: 0 }))
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => (this.#background = undefined));
  }

  // ── one run ────────────────────────────────────────────────────────────────

  /** Writes back until the goal is reached, no more goes, or so many writes were made (with victims by page). There is a store. */
  *#move(op: string, goal: Goal, most = Infinity): Steps<Run> {
    const state = this.#state;
    const io = state.io as StoreIo;
    // One that store or codec have begun inside another has one try: eight each would be eight to the power of their depth.
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
      // For a few frames not many more entries are begun than they hold.
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
      if (state.calls !== calls) continue; // a codec has called back: look at all anew
      if (run.failure?.code === 'ENOSPC' && !io.isSync && (yield* wait(state.frees?.freed()))) {
        run.failure = undefined;
        continue;
      }
      if (writes.size === 0) return;
      yield* writes.one();
    }
  }

  /** Begins the write of the next victim by entry; undefined without one, or when a codec has called back: look at all anew. */
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

  /** Whether more is to be written. */
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

  /** What lies scattered after entries were taken here and there is moved together, if that gives the frames wanted. */
  #compactFor(progress: Progress, run: Run): void {
    const { figures, pools, settings } = this.#state;
    if (settings.victims !== 'entry' || progress.goal.frames === Infinity || progress.reached(figures.frames)) return;
    // When nothing can be written back, every store comes here; going through all objects in vain once is enough.
    if (run.moved === 0 && this.#vain === this.#layout()) return;
    const before = figures.frames;
    pools.compact(progress.goal.victims);
    this.#vain = figures.frames < before ? undefined : this.#layout();
  }

  /** Changes when entries come or go. */
  #layout(): string {
    return [ZSWAP_ENTRIES, ZSWAP_POOL_FRAMES, DUPLICATE_ENTRY].map((which) => this.#state.figures.of(which)).join();
  }
}
