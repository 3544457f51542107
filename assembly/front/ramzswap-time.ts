/**
 * When a page of a ramzswap was last accessed: seconds since the device was
 * made, in the 23 bits that a cell has for it.
 *
 *   bit 22 clear   bits 0..21: seconds since the device's second `since`
 *   bit 22 set     bits 0..21: units of 256 seconds since it was made
 *
 * An access that lies 2^22 seconds (48 days) behind `since` moves that on to
 * 2^21 seconds before it, and all cells with it: what is older then is rounded
 * down to whole units. So times of the last 24 days are exact, older ones at most
 * 255 seconds too early, and 2^30 seconds can be told, 34 years. All cells are
 * gone through once in 24 days at most.
 *
 * A clock that goes back is no fault: times before `since` are told in units.
 */
import { ENTRY, KIND_MASK, OUT_KEY_LOW, TIME_END } from '../abi';
import { POOL_INDEX, writePoolChecksum } from '../mem/pool';
import { out } from '../mem/scratch';
import { stateOf, tableNext } from '../page/table';
import { TIME_SHIFT, deviceAt, ramzSettings, setState } from './ramzswap-layout';

const FLAGS: u32 = (1 << TIME_SHIFT) - 1; // all but the time
const UNIT_SHIFT: u32 = 8;
const COARSE: u32 = TIME_END >> UNIT_SHIFT; // bit 22

/** A state with another second, which is not 2^22 or more behind `since`. */
/* @inline */ function withSecond(since: u32, state: u32, second: u32): u32 {
  return (state & FLAGS) | ((second >= since ? second - since : COARSE | (second >> UNIT_SHIFT)) << TIME_SHIFT);
}

/** The second in the state of an object. */
export function secondOf(front: usize, state: u32): u32 {
  const time = state >> TIME_SHIFT;
  return (time & COARSE) == 0 ? deviceAt(front).since + time : (time & ~COARSE) << UNIT_SHIFT;
}

/** The state of an object that is accessed now. */
export function timed(front: usize, state: u32, now: u32): u32 {
  const second = min(now, TIME_END - 1);
  if (second >= deviceAt(front).since + COARSE) moveOn(front, second - (COARSE >> 1));
  return withSecond(deviceAt(front).since, state, second);
}

/** Lets exact times begin later. */
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
