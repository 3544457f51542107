/** Frees pages that callers do not need any more, and frames by compaction. */
import { requireU32 } from '../../errors.ts';
import { drop } from './changes.ts';
import { nextPage } from './pages.ts';
import { compactInSlices, compactPool } from './pool.ts';
import { Slices } from './slices.ts';
import { live, requirePages, type State } from './state.ts';

/** Frees pages. @returns how many of them held something */
export function discard(state: State, index: number, count: number): number {
  const op = 'ramzswap.discard';
  const device = live(state, op);
  requireU32(op, 'count', count);
  requirePages(state, op, device, index, count);
  let freed = 0;
  // Goes from one page that holds something to the next, so that an empty range costs nothing.
  for (let at = index; at < index + count; at++) {
    const next = nextPage(device, at);
    if (next === undefined || next.index >= index + count) break;
    at = next.index;
    freed += drop(state, device, at);
  }
  // A queued write may be for a page that holds nothing yet.
  state.writeQueue.cancelRange(index, index + count);
  state.counters.discard += freed;
  device.frees?.drain();
  return freed;
}

/** Frees a page because its swap slot is free. */
export function freeNotify(state: State, index: number): void {
  const op = 'ramzswap.freeNotify';
  const device = live(state, op);
  requirePages(state, op, device, index, 1);
  state.counters.notifyFree += drop(state, device, index);
  device.frees?.drain();
}

/** Compacts the pool. @returns frames given back */
export function compact(state: State): number {
  const op = 'ramzswap.compact';
  return compactPool(state, op, live(state, op));
}

/** Compacts the pool in slices. */
export async function compactSoon(state: State): Promise<number> {
  const op = 'ramzswap.compactAsync';
  return state.active.run(compactInSlices(state, op, live(state, op), new Slices()));
}
