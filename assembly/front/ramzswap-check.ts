/** The check of a ramzswap: its page table, pool, slot map and counters must agree. */
import { ENTRY, FILL, HUGE, KIND_MASK, OUT_KEY_LOW, OUT_SIZE, TIME_END, WRITTEN } from '../abi';
import { isError } from '../base/errno';
import { PAGE_SHIFT, PAGE_SIZE } from '../mem/layout';
import { FRONT_KINDS_FROM, POOL_INDEX, isPool, poolAt } from '../mem/pool';
import { out } from '../mem/scratch';
import { RULE_FRONT, broken } from '../mem/verify';
import { stateOf, tableNext } from '../page/table';
import { zpoolSpan } from '../zpool';
import { SLOTS } from './backed';
import { NOTE, noteCheck } from './note';
import { HEADER_END, bytesOf, deviceAt } from './ramzswap-layout';
import { SLOT_USED, slotMapCheck, slotState, slotsTaken } from './slot-map';

/** Verifies a ramzswap whose pool has passed its own check. 0 or EUCLEAN. */
export function ramzCheck(front: usize): u32 {
  const home = <u32>(front >> PAGE_SHIFT);
  let result = slotMapCheck(front + SLOTS);
  if (result == 0) result = noteCheck(front);
  if (result != 0) return result;
  for (let at = HEADER_END; at < NOTE; at += 4) {
    if (load<u32>(front + at) != 0) return broken(RULE_FRONT, home);
  }
  const pool = <usize>deviceAt(front).pool;
  if (pool != 0 && (!isPool(pool) || poolAt(pool).kind >= FRONT_KINDS_FROM)) return broken(RULE_FRONT, home);
  if (
    deviceAt(front).pages == 0 ||
    deviceAt(front).most >= PAGE_SIZE ||
    deviceAt(front).flags > 1 ||
    deviceAt(front).since >= TIME_END
  )
    return broken(RULE_FRONT, home);
  return pagesCheck(front, pool);
}

function pagesCheck(front: usize, pool: usize): u32 {
  const home = <u32>(front >> PAGE_SHIFT);
  let objects: u32 = 0;
  let same: u32 = 0;
  let huge: u32 = 0;
  let written: u32 = 0;
  let good: u32 = 0;
  let bytes: f64 = 0;
  let index: u32 = 0;
  for (let cell = tableNext(front + POOL_INDEX, 0); cell != 0; cell = tableNext(front + POOL_INDEX, index)) {
    if (out(OUT_KEY_LOW) >= deviceAt(front).pages) return broken(RULE_FRONT, home);
    index = out(OUT_KEY_LOW) + 1;
    const state = stateOf(cell);
    const value = load<u32>(cell);
    const kind = state & KIND_MASK;
    if (kind == FILL) {
      same += 1;
    } else if (kind == WRITTEN) {
      if (slotState(front + SLOTS, value) != SLOT_USED) return broken(RULE_FRONT, home);
      written += 1;
    } else {
      if (kind != ENTRY || pool == 0 || isError(zpoolSpan(pool, value, 0))) return broken(RULE_FRONT, home);
      const size = out(OUT_SIZE);
      if (((state & HUGE) != 0) != (size == PAGE_SIZE)) return broken(RULE_FRONT, home);
      objects += 1;
      if (size == PAGE_SIZE) huge += 1;
      if (size <= PAGE_SIZE / 2) good += 1;
      bytes += <f64>size;
    }
    if (index == 0) break;
  }
  const sums =
    deviceAt(front).objects == objects &&
    deviceAt(front).same == same &&
    deviceAt(front).huge == huge &&
    deviceAt(front).written == written &&
    deviceAt(front).good == good &&
    bytesOf(front) == bytes &&
    slotsTaken(front + SLOTS) >= written;
  return sums ? 0 : broken(RULE_FRONT, home);
}
