/**
 * Victims by page: the least recently used frame or zspage of a pool is taken off the lists, all its objects are written to the
 * store, and it is freed if it is empty then, else put back.
 */
import { OUT_CURSOR } from '../../../assembly/abi.ts';
import { ERRNO_MIN } from '../../errors.ts';
import type { Steps } from '../../steps.ts';
import { zpools, type Zpool } from '../../zpool.ts';
import type { Run } from './run.ts';
import type { State } from './state.ts';
import { begin, type Job, type Writes } from './writes.ts';

/** A frame or zspage that was taken off the lists of its pool. */
interface Victim {
  /** Number of its pool. */
  index: number;
  pool: Zpool;
  victim: number;
  /** The objects in it. */
  handles: number[];
}

/** Moves one victim to the store. False when there is none, or nothing goes any more. */
export function* movePage(state: State, op: string, run: Run, writes: Writes): Steps<boolean> {
  const page = isolate(state);
  if (page === undefined) return false;
  try {
    for (const handle of page.handles) {
      if (!writes.hasRoom) yield* writes.room();
      if (run.failure !== undefined || state.isOver) break;
      const { calls } = state;
      const job = beginOf(state, op, page.index, handle, run);
      if (job !== undefined) writes.make(job);
      else if (state.calls !== calls) break; // a codec has called back: look at all anew
    }
  } finally {
    if (writes.size !== 0) yield* writes.all();
    release(state, page, run);
  }
  return run.failure === undefined;
}

function isolate({ core, pools }: State): Victim | undefined {
  const found = pools.toReclaim();
  if (found === undefined) return undefined;
  const [index, pool] = found;
  const { exports } = core;
  const victim = exports.zpoolIsolate(zpools.address(pool)) >>> 0;
  if (victim === 0 || victim >= ERRNO_MIN) return undefined;
  const handles: number[] = [];
  for (let cursor = 0; ; cursor = core.out[OUT_CURSOR] as number) {
    const handle = exports.zpoolVictimNext(zpools.address(pool), victim, cursor) >>> 0;
    if (handle === 0 || handle >= ERRNO_MIN) return { index, pool, victim, handles };
    handles.push(handle);
  }
}

/** Begins the write of an object of a victim; undefined when it is none of ours, or has gone meanwhile. */
function beginOf(state: State, op: string, index: number, handle: number, run: Run): Job | undefined {
  const record = state.front.zswapOwner(state.address, index, handle) >>> 0;
  return record === 0 || state.budget.left <= 0 ? undefined : begin(state, op, record, run);
}

/** Frees the victim if it is empty, or puts it back. */
function release(state: State, { pool, victim }: Victim, run: Run): void {
  if (state.isGone || zpools.address(pool) === 0) return;
  const { exports } = state.core;
  if (exports.zpoolRelease(zpools.address(pool), victim) >>> 0 === 0) run.tries += 1;
  exports.zpoolRunDeferred(zpools.address(pool), 0);
}
