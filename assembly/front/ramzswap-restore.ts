/**
 * A ramzswap in a restored RAM: what changes before it is opened again, which of its slots show whether a store is the
 * right one, and how it is destroyed when it is not opened.
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

/**
 * Treats writes that had not ended when the image was made as not done: slots that hold no page are to be freed. 0;
 * EINVAL.
 */
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

/**
 * Finds the next page in the store, from a page number on. 1: its slot in OUT_SLOT, its generation in OUT_GENERATION,
 * its page number in OUT_KEY_LOW. 0 at the end.
 */
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

/** The latest second of an access that the pages record. The clock of the opened device goes on from it. */
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
