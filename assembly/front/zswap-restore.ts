/**
 * A zswap in a RAM that was restored: what is settled before it is opened again, what tells its store, what it has to remember, and
 * how it goes when nobody opens it.
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
 * What was under way when the image was made counts as not done: an entry whose write had not ended is an entry again, a page that
 * was on its way to the store is not there, and slots that no page is in are doomed. 0; EINVAL.
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
  // Joined leaves may bring cells behind the place that was reached: hence more than one round.
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

/** The next page in the store from a place on (0: the first): its slot in OUT_SLOT, its generation in OUT_GENERATION, 1; 0 at the end. */
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

/** Pages that may still be written back, Infinity without a limit; 0 for no zswap. */
export function zswapBudget(front: usize): f64 {
  return isFront(front) ? load<f64>(front + BUDGET) : 0;
}

/** Keeps that number, of at least 0. */
export function zswapSetBudget(front: usize, left: f64): void {
  if (isFront(front)) setBudget(front, left);
}

/** Destroys a zswap with its pools. 0; EINVAL; EBUSY while an object of one is mapped or a victim isolated, and nothing changes. */
export function zswapDestroy(front: usize): u32 {
  if (!isFront(front)) return EINVAL;
  zswapVictimEnd(front);
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    const pool = <usize>usedAt(front, index).pool;
    if (pool != 0 && (poolAt(pool).maps != 0 || poolAt(pool).isolated != 0)) return EBUSY;
  }
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    const pool = <usize>usedAt(front, index).pool;
    // One pool may be there twice, with two codecs.
    if (pool != 0 && kindOf(pool) != 0) zpoolDestroy(pool);
  }
  return zpoolDestroy(front);
}
