/**
 * A zswap in a restored RAM: what changes before it is opened again, which of its slots show whether a store is the
 * right one, its budget, and how it is destroyed when it is not opened.
 */
import { EBUSY, EINVAL, OUT_GENERATION, OUT_KEY_HIGH, OUT_KEY_LOW, OUT_PLACE, OUT_SLOT, WRITTEN } from '../abi';
import { listAppend } from '../base/list';
import { POOL_DESCRIPTORS, POOL_LRU, kindOf, poolAt } from '../mem/pool';
import { out, setOut } from '../mem/scratch';
import { slabNext } from '../mem/slab';
import { stateOf, tableNext } from '../page/table';
import { zpoolDestroy } from '../zpool';
import { KIND_BITS, SLOTS } from './backed';
import { slotKeep, slotsToFreeAll } from './slot-map';
import { loseJob, remove } from './zswap-entries';
import {
  BUDGET,
  LINKS,
  PENDING,
  POOL_COUNT,
  frontAt,
  indexOf,
  isFront,
  kindOfCell,
  prefix,
  recordAt,
  setBudget,
  usedAt,
  valueOf,
} from './zswap-layout';
import { zswapVictimEnd } from './zswap-victim';

/**
 * Treats writes that had not ended when the image was made as not done. An entry that was being written is an ordinary
 * entry again. A page that was refused and on its way to the store is removed. Slots that hold no page are to be freed.
 * 0; EINVAL.
 */
export function zswapSettle(front: usize): u32 {
  if (!isFront(front)) return EINVAL;
  for (
    let record = slabNext(front + POOL_DESCRIPTORS, 0);
    record != 0;
    record = slabNext(front + POOL_DESCRIPTORS, record)
  ) {
    if (recordAt(record).job == 0) continue;
    loseJob(front, record);
    if (prefix(front) == 0) listAppend(front + POOL_LRU, record, LINKS);
  }
  // When leaves are merged, cells may move behind the place that this walk has reached. So walk again until none is
  // left.
  while (frontAt(front).pending != 0) {
    let place: u32 = 0;
    for (let cell = tableNext(indexOf(front), 0); cell != 0; cell = tableNext(indexOf(front), place)) {
      place = out(OUT_PLACE) + 1;
      if (kindOfCell(cell) == PENDING) remove(front, cell, out(OUT_KEY_LOW), out(OUT_KEY_HIGH));
      if (place == 0) break;
    }
  }
  slotsToFreeAll(front + SLOTS);
  let place: u32 = 0;
  for (let cell = tableNext(indexOf(front), 0); cell != 0; cell = tableNext(indexOf(front), place)) {
    place = out(OUT_PLACE) + 1;
    if (kindOfCell(cell) == WRITTEN) slotKeep(front + SLOTS, valueOf(cell));
    if (place == 0) break;
  }
  return 0;
}

/**
 * Finds the next page in the store, from a place in the index on (0: the first). 1: its slot in OUT_SLOT, its
 * generation in OUT_GENERATION. 0 at the end.
 */
export function zswapWritten(front: usize, place: u32): u32 {
  if (!isFront(front)) return 0;
  for (let cell = tableNext(indexOf(front), place); cell != 0; cell = tableNext(indexOf(front), out(OUT_PLACE) + 1)) {
    if (kindOfCell(cell) == WRITTEN) {
      setOut(OUT_SLOT, valueOf(cell));
      setOut(OUT_GENERATION, stateOf(cell) >> KIND_BITS);
      return 1;
    }
    if (out(OUT_PLACE) + 1 == 0) break;
  }
  return 0;
}

/** Pages that may still be written back; Infinity without a limit. 0 when the front end is no zswap. */
export function zswapBudget(front: usize): f64 {
  return isFront(front) ? load<f64>(front + BUDGET) : 0;
}

/** Sets how many pages may still be written back, at least 0. */
export function zswapSetBudget(front: usize, left: f64): void {
  if (isFront(front)) setBudget(front, left);
}

/**
 * Destroys a zswap with its pools. 0; EINVAL; EBUSY while an object is mapped or a victim isolated in a pool: then
 * nothing changes.
 */
export function zswapDestroy(front: usize): u32 {
  if (!isFront(front)) return EINVAL;
  zswapVictimEnd(front);
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    const pool = <usize>usedAt(front, index).pool;
    if (pool != 0 && (poolAt(pool).maps != 0 || poolAt(pool).isolated != 0)) return EBUSY;
  }
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    const pool = <usize>usedAt(front, index).pool;
    // A pool may be in the list twice, with two codecs.
    if (pool != 0 && kindOf(pool) != 0) zpoolDestroy(pool);
  }
  return zpoolDestroy(front);
}
