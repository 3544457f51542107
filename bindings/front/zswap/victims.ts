/**
 * Victims by page: the least recently used frame or zspage of a pool is isolated and its objects are written to the
 * store. Then it is freed if it is empty, else put back. If a store writes only some of the objects, the victim is kept
 * for the next stores.
 */
import { OUT_CURSOR, OUT_POOL } from '../../../assembly/abi.ts';
import { ERRNO_MIN } from '../../errors.ts';
import type { Steps } from '../../steps.ts';
import { zpools, type Zpool } from '../../zpool.ts';
import type { Run } from './run.ts';
import type { State } from './state.ts';
import { begin, type Job, type Writes } from './writes.ts';

/** An isolated frame or zspage. */
interface Victim {
  /** Index of its pool. */
  index: number;
  pool: Zpool;
  victim: number;
  /** Where the walk over its objects goes on. */
  cursor: number;
}

/**
 * Moves the objects of one victim to the store. The kept victim comes first.
 * @param most the most writes of the run. A victim with more objects is kept. Less than Infinity only with a
 *   synchronous store
 * @returns false when there is no victim, nothing more can be written, or the run has made its writes
 */
export function* movePage(state: State, op: string, run: Run, writes: Writes, most: number): Steps<boolean> {
  const page = takeKept(state) ?? isolate(state);
  if (page === undefined) return false;
  let keep = false;
  try {
    for (;;) {
      if (!writes.hasRoom) yield* writes.room();
      if (run.failure !== undefined || state.isOver) break;
      const { calls } = state;
      const { cursor } = page;
      const handle = nextOf(state, page);
      if (handle === 0) break;
      if (run.writes >= most) {
        page.cursor = cursor;
        keep = true;
        break;
      }
      const job = beginOf(state, op, page.index, handle, run);
      if (job !== undefined) writes.make(job);
      else if (state.calls !== calls) break; // a codec has called back: look everything up again
    }
  } finally {
    if (writes.size !== 0) yield* writes.all();
    if (keep) state.front.zswapVictimKeep(state.address, page.index, page.victim, page.cursor);
    else release(state, page, run);
  }
  return run.failure === undefined && !keep;
}

/** Takes the kept victim; it is not kept any more. */
function takeKept({ core, front, address, pools }: State): Victim | undefined {
  const victim = front.zswapVictimTake(address) >>> 0;
  if (victim === 0) return undefined;
  const index = core.out[OUT_POOL] as number;
  return { index, pool: pools.at(index), victim, cursor: core.out[OUT_CURSOR] as number };
}

/** Isolates the next victim. */
function isolate({ core, pools }: State): Victim | undefined {
  const found = pools.toReclaim();
  if (found === undefined) return undefined;
  const [index, pool] = found;
  const victim = core.exports.zpoolIsolate(zpools.address(pool)) >>> 0;
  return victim === 0 || victim >= ERRNO_MIN ? undefined : { index, pool, victim, cursor: 0 };
}

/** The next object of a victim, 0 when there are no more. */
function nextOf({ core }: State, page: Victim): number {
  const handle = core.exports.zpoolVictimNext(zpools.address(page.pool), page.victim, page.cursor) >>> 0;
  if (handle >= ERRNO_MIN) return 0;
  page.cursor = core.out[OUT_CURSOR] as number;
  return handle;
}

/** Begins the write of an object. undefined when it belongs to no entry of this zswap, or was freed meanwhile. */
function beginOf(state: State, op: string, index: number, handle: number, run: Run): Job | undefined {
  const record = state.front.zswapOwner(state.address, index, handle) >>> 0;
  return record === 0 || state.budget.left <= 0 ? undefined : begin(state, op, record, run);
}

/** Frees the victim if it is empty, else puts it back. */
function release(state: State, { pool, victim }: Victim, run: Run): void {
  if (state.isGone || zpools.address(pool) === 0) return;
  const { exports } = state.core;
  if (exports.zpoolRelease(zpools.address(pool), victim) >>> 0 === 0) run.tries += 1;
  exports.zpoolRunDeferred(zpools.address(pool), 0);
}
