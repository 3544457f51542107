/** The check of a zswap: its index, records, LRU, slot map and counters must agree. */
import {
  CODEC_MAX,
  COUNTER_COUNT,
  ENTRY,
  FILL,
  NO_POOL,
  OUT_KEY_HIGH,
  OUT_KEY_LOW,
  OUT_PLACE,
  OUT_SIZE,
  RAW_KEYS,
  WRITTEN,
} from '../abi';
import { isError } from '../base/errno';
import { FRAME_SLAB, PAGE_SHIFT, PAGE_SIZE } from '../mem/layout';
import { FRONT_KINDS_FROM, POOL_DESCRIPTORS, POOL_LRU, isPool, poolAt } from '../mem/pool';
import { blockBuffer, out } from '../mem/scratch';
import { gather } from '../mem/span';
import { slabCheck, slabNext, slabUsed } from '../mem/slab';
import { RULE_FRONT, RULE_LRU, broken, isRecord, listLength } from '../mem/verify';
import { tableFind, tableNext } from '../page/table';
import { zpoolSpan } from '../zpool';
import { NOTE, noteCheck } from './note';
import { SLOT_USED, slotMapCheck, slotState, slotsTaken } from './slot-map';
import { SLOTS } from './backed';
import {
  BUDGET,
  COUNTERS,
  FLAGS_MAX,
  KEY_BYTES,
  LINKS,
  PENDING,
  POOLS,
  POOL_COUNT,
  POOL_MASK,
  RAW,
  RAW_KEY,
  RECORD_BYTES,
  REFERENCED,
  cellOf,
  frontAt,
  indexOf,
  kindOfCell,
  poolIndex,
  poolOf,
  prefix,
  recordAt,
  recordTerm,
  usedAt,
  valueOf,
  VICTIM_END,
} from './zswap-layout';
import { victimIsSound } from './zswap-victim';

/** Verifies a zswap whose pools have passed their own checks. 0 or EUCLEAN. */
export function zswapCheck(front: usize): u32 {
  const home = <u32>(front >> PAGE_SHIFT);
  let result = slabCheck(front + POOL_DESCRIPTORS, RECORD_BYTES, FRAME_SLAB);
  if (result == 0) result = slotMapCheck(front + SLOTS);
  if (result == 0) result = headerCheck(front);
  if (result == 0) result = noteCheck(front);
  if (result == 0) result = cellsCheck(front);
  if (result != 0) return result;
  result = recordsCheck(front);
  if (result != 0) return result;
  const entry = prefix(front) == 0;
  const listed = entry ? frontAt(front).entries - frontAt(front).inFlight : 0;
  if (listLength(front + POOL_LRU, LINKS, listed, (<u32>front) | FRAME_SLAB, RECORD_BYTES) != listed)
    return broken(RULE_LRU, home);
  return 0;
}

/** The pools exist and have as many entries as the header says. Unused words are zero. */
function headerCheck(front: usize): u32 {
  const home = <u32>(front >> PAGE_SHIFT);
  let entries: u32 = 0;
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    const used = usedAt(front, index);
    if (used.pool == 0) {
      if ((used.codec | used.entries) != 0 || frontAt(front).current == index) return broken(RULE_FRONT, home);
      continue;
    }
    if (!isPool(used.pool) || poolAt(used.pool).kind >= FRONT_KINDS_FROM || used.codec > CODEC_MAX)
      return broken(RULE_FRONT, home);
    entries += used.entries;
  }
  const current = frontAt(front).current;
  if (current != NO_POOL && current >= POOL_COUNT) return broken(RULE_FRONT, home);
  if (frontAt(front).limitPercent > 100 || frontAt(front).thresholdPercent > 100 || frontAt(front).flags > FLAGS_MAX)
    return broken(RULE_FRONT, home);
  for (let at = COUNTERS + ((<usize>COUNTER_COUNT) << 2); at < POOLS; at += 4) {
    if (load<u32>(front + at) != 0) return broken(RULE_FRONT, home);
  }
  const budget = load<f64>(front + BUDGET);
  if (!(budget >= 0) || floor<f64>(budget) != budget) return broken(RULE_FRONT, home);
  for (let at = VICTIM_END; at < NOTE; at += 4) {
    if (load<u32>(front + at) != 0) return broken(RULE_FRONT, home);
  }
  if (!victimIsSound(front)) return broken(RULE_FRONT, home);
  return entries == frontAt(front).entries && entries == slabUsed(front + POOL_DESCRIPTORS)
    ? 0
    : broken(RULE_FRONT, home);
}

/** Every cell refers to something that exists, and there are as many cells of each kind as the counters say. */
function cellsCheck(front: usize): u32 {
  const home = <u32>(front >> PAGE_SHIFT);
  const slots = front + SLOTS;
  let entries: u32 = 0;
  let fills: u32 = 0;
  let written: u32 = 0;
  let pending: u32 = 0;
  let raws: u32 = 0;
  let place: u32 = 0;
  for (let cell = tableNext(indexOf(front), 0); cell != 0; cell = tableNext(indexOf(front), place)) {
    const low = out(OUT_KEY_LOW);
    const high = out(OUT_KEY_HIGH);
    place = out(OUT_PLACE) + 1;
    const kind = kindOfCell(cell);
    if (high >= RAW_KEYS != (kind == RAW_KEY)) return broken(RULE_FRONT, home);
    if (kind == ENTRY || kind == RAW_KEY) {
      if (!isRecord(valueOf(cell), (<u32>front) | FRAME_SLAB, RECORD_BYTES)) return broken(RULE_FRONT, home);
      const record = recordAt(valueOf(cell));
      if (kind == ENTRY && (record.offset != low || record.type != high)) return broken(RULE_FRONT, home);
      if (kind == RAW_KEY && (record.handle != low || (RAW_KEYS | (record.flags & POOL_MASK)) != high))
        return broken(RULE_FRONT, home);
      if (kind == ENTRY) entries += 1;
      else raws += 1;
    } else if (kind == FILL) {
      fills += 1;
    } else if (kind == WRITTEN) {
      if (slotState(slots, valueOf(cell)) != SLOT_USED) return broken(RULE_FRONT, home);
      written += 1;
    } else if (kind == PENDING) {
      pending += 1;
    } else {
      return broken(RULE_FRONT, home);
    }
    if (place == 0) break;
  }
  const sums =
    frontAt(front).entries == entries &&
    frontAt(front).sameFilledPages == fills &&
    frontAt(front).written == written &&
    frontAt(front).pending == pending &&
    (prefix(front) != 0 ? frontAt(front).raw : 0) == raws &&
    slotsTaken(slots) >= written + frontAt(front).inFlight;
  return sums ? 0 : broken(RULE_FRONT, home);
}

/** Every record belongs to a cell, and its object exists. */
function recordsCheck(front: usize): u32 {
  const home = <u32>(front >> PAGE_SHIFT);
  let sum = frontAt(front).sum;
  let raw: u32 = 0;
  let jobs: u32 = 0;
  for (
    let address = slabNext(front + POOL_DESCRIPTORS, 0);
    address != 0;
    address = slabNext(front + POOL_DESCRIPTORS, address)
  ) {
    const record = recordAt(address);
    sum ^= recordTerm(address);
    const cell = cellOf(front, record.offset, record.type);
    if (cell == 0 || kindOfCell(cell) != ENTRY || valueOf(cell) != <u32>address) return broken(RULE_FRONT, home);
    if ((record.flags & ~(POOL_MASK | REFERENCED | RAW)) != 0 || poolIndex(address) >= POOL_COUNT)
      return broken(RULE_FRONT, home);
    const from = poolOf(address, front) != 0 ? zpoolSpan(poolOf(address, front), record.handle, 0) : <u32>-1;
    if (isError(from)) return broken(RULE_FRONT, home);
    if ((record.flags & RAW) != 0) {
      raw += 1;
      if (out(OUT_SIZE) != PAGE_SIZE) return broken(RULE_FRONT, home);
      if (prefix(front) != 0 && tableFind(indexOf(front), record.handle, RAW_KEYS | poolIndex(address)) == 0)
        return broken(RULE_FRONT, home);
    } else if (prefix(front) != 0 && !hasKey(from, record.offset, record.type)) {
      return broken(RULE_FRONT, home);
    }
    if (record.job != 0) jobs += 1;
  }
  return sum == 0 && raw == frontAt(front).raw && jobs == frontAt(front).inFlight ? 0 : broken(RULE_FRONT, home);
}

/** True when the object at a span (mem/span.ts) begins with this key. */
function hasKey(from: usize, offset: u32, type: u32): bool {
  if (out(OUT_SIZE) <= KEY_BYTES) return false;
  const object = blockBuffer();
  gather(object, from, out(OUT_SIZE));
  return load<u32>(object) == offset && load<u32>(object, 4) == type;
}
