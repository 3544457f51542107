/**
 * When a page of a ramzswap was last accessed: seconds since the device was created, in 23 bits of the cell.
 *
 *   bit 22 clear   bits 0..21: seconds after the device's second `since`
 *   bit 22 set     bits 0..21: units of 256 seconds after the creation
 *
 * When an access lies 2^22 seconds (48 days) or more after `since`, `since` moves to 2^21 seconds before that access.
 * All cells are then rewritten, and times older than the new `since` are rounded down to whole units. So the times of
 * the last 24 days are exact, and older times are at most 255 seconds too early. The range is 2^30 seconds, which is 34
 * years. All cells are rewritten at most once in 24 days.
 *
 * The clock may go back: a time before `since` is stored in units.
 */
import { ENTRY, KIND_MASK, OUT_KEY_LOW, TIME_END } from '../abi';
import { POOL_INDEX, writePoolChecksum } from '../mem/pool';
import { out } from '../mem/scratch';
import { stateOf, tableNext } from '../page/table';
import { TIME_SHIFT, deviceAt, ramzSettings, setState } from './ramzswap-layout';

const FLAGS: u32 = (1 << TIME_SHIFT) - 1; // all bits but the time
const UNIT_SHIFT: u32 = 8;
const COARSE: u32 = TIME_END >> UNIT_SHIFT; // bit 22

/** A state with another second. The second must be less than 2^22 after `since`. */
/* @inline */ function withSecond(since: u32, state: u32, second: u32): u32 {
  return (state & FLAGS) | ((second >= since ? second - since : COARSE | (second >> UNIT_SHIFT)) << TIME_SHIFT);
}

/** The second of the last access in the state of an object. */
export function secondOf(front: usize, state: u32): u32 {
  const time = state >> TIME_SHIFT;
  return (time & COARSE) == 0 ? deviceAt(front).since + time : (time & ~COARSE) << UNIT_SHIFT;
}

/** The state of an object with the time of an access that happens now. */
export function timed(front: usize, state: u32, now: u32): u32 {
  const second = min(now, TIME_END - 1);
  if (second >= deviceAt(front).since + COARSE) moveOn(front, second - (COARSE >> 1));
  return withSecond(deviceAt(front).since, state, second);
}

/** Moves `since` to a later second and rewrites all cells. */
function moveOn(front: usize, since: u32): void {
  let index: u32 = 0;
  for (let cell = tableNext(front + POOL_INDEX, 0); cell != 0; cell = tableNext(front + POOL_INDEX, index)) {
    index = out(OUT_KEY_LOW) + 1;
    const state = stateOf(cell);
    if ((state & KIND_MASK) == ENTRY)
      setState(front, cell, index - 1, withSecond(since, state, secondOf(front, state)));
    if (index == 0) break;
  }
  deviceAt(front).since = since;
  writePoolChecksum(front, ramzSettings(front));
}
