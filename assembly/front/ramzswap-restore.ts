/**
 * A ramzswap in a RAM that was restored: what is settled before it is opened again, what tells its store, and how it goes when
 * nobody opens it.
 */
import { EINVAL, ENTRY, OUT_GENERATION, OUT_KEY_LOW, OUT_SLOT, WRITTEN } from '../abi';
import { POOL_INDEX } from '../mem/pool';
import { out, setOut } from '../mem/scratch';
import { stateOf, tableNext } from '../page/table';
import { zpoolDestroy } from '../zpool';
import { KIND_BITS, SLOTS } from './backed';
import { isDevice, kindOfState } from './ramzswap';
import { deviceAt } from './ramzswap-layout';
import { secondOf } from './ramzswap-time';
import { slotKeep, slotsToFreeAll } from './slot-map';

/** The pool of a device. EINVAL. */
export function ramzPool(front: usize): u32 {
  return isDevice(front) ? deviceAt(front).pool : EINVAL;
}

/** Writes that were under way when the image was made count as not done: slots that no page is in are doomed. 0; EINVAL. */
export function ramzSettle(front: usize): u32 {
  if (!isDevice(front)) return EINVAL;
  slotsToFreeAll(front + SLOTS);
  let index: u32 = 0;
  for (let cell = tableNext(front + POOL_INDEX, 0); cell != 0; cell = tableNext(front + POOL_INDEX, index)) {
    index = out(OUT_KEY_LOW) + 1;
    if (kindOfState(stateOf(cell)) == WRITTEN) slotKeep(front + SLOTS, load<u32>(cell));
    if (index == 0) break;
  }
  return 0;
}

/** Destroys a device with its pool. 0; EINVAL; EBUSY while an object is mapped or a victim isolated, and nothing changes. */
export function ramzDestroy(front: usize): u32 {
  if (!isDevice(front)) return EINVAL;
  const pool = <usize>deviceAt(front).pool;
  if (pool != 0) {
    const result = zpoolDestroy(pool);
    if (result != 0) return result;
  }
  return zpoolDestroy(front);
}

/** The next page in the store from a number on: its slot in OUT_SLOT, its generation in OUT_GENERATION, 1; 0 at the end. OUT_KEY_LOW is its number. */
export function ramzBacked(front: usize, index: u32): u32 {
  if (!isDevice(front)) return 0;
  for (
    let cell = tableNext(front + POOL_INDEX, index);
    cell != 0;
    cell = tableNext(front + POOL_INDEX, out(OUT_KEY_LOW) + 1)
  ) {
    if (kindOfState(stateOf(cell)) == WRITTEN) {
      setOut(OUT_SLOT, load<u32>(cell));
      setOut(OUT_GENERATION, stateOf(cell) >> KIND_BITS);
      return 1;
    }
    if (out(OUT_KEY_LOW) + 1 == 0) break;
  }
  return 0;
}

/** The latest second of an access that a page tells: time goes on from there. */
export function ramzLastSecond(front: usize): u32 {
  let latest: u32 = 0;
  if (!isDevice(front)) return latest;
  let index: u32 = 0;
  for (let cell = tableNext(front + POOL_INDEX, 0); cell != 0; cell = tableNext(front + POOL_INDEX, index)) {
    index = out(OUT_KEY_LOW) + 1;
    if (kindOfState(stateOf(cell)) == ENTRY) latest = max(latest, secondOf(front, stateOf(cell)));
    if (index == 0) break;
  }
  return max(latest, deviceAt(front).since);
}
