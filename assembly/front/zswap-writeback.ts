/**
 * Writing pages of a zswap to its store: which record is next, and the two calls for a write. The first call composes
 * the slot, then the caller calls the store, then the second call records the result. Anything may happen in between,
 * so the second call looks everything up again.
 */
import {
  DECOMPRESS,
  ENTRY,
  FIRST_FOREIGN,
  NO_SLOT,
  OUT_BLOCK_BYTES,
  OUT_BLOCK_CODEC,
  OUT_GENERATION,
  OUT_JOB,
  OUT_KEY_HIGH,
  OUT_KEY_LOW,
  OUT_SLOT,
  RAW_KEYS,
  WRITE_DONE,
  WRITE_LATE,
  WRITTEN,
  WRITTEN_BACK,
} from '../abi';
import { EINVAL, EIO, ENOENT, ENOMEM, ENOSPC, isError } from '../base/errno';
import { listAppend, listRemove, listToFront } from '../base/list';
import { PAGE_SIZE } from '../mem/layout';
import { POOL_LRU } from '../mem/pool';
import { blockBuffer, out, pageBuffer, setOut } from '../mem/scratch';
import { gather } from '../mem/span';
import { stateOf, tableFind, tableMake } from '../page/table';
import { zpoolRange, zpoolSize } from '../zpool';
import { SLOTS, compose, slotCodecOf } from './backed';
import { SLOT_RAW, slotData } from './slot';
import { slotToFree, slotTake } from './slot-map';
import { blockOf, dropRecord, isKey, loseJob, pageOf, release, remove } from './zswap-entries';
import { nextVictim } from './zswap-limit';
import {
  KEY_BYTES,
  LINKS,
  PENDING,
  POOL_COUNT,
  RAW,
  REFERENCED,
  cellOf,
  frontAt,
  indexOf,
  isFront,
  kindOfCell,
  poolIndex,
  prefix,
  recordAt,
  setCell,
  usedAt,
  valueOf,
  zswapCount,
} from './zswap-layout';

/**
 * Takes the next victim by entry: the least recently used record. A referenced record is skipped once.
 * @returns the record, for zswapWrite; 0 when every record is being written or there is none
 */
export function zswapVictim(front: usize): u32 {
  return isFront(front) && prefix(front) == 0 ? <u32>nextVictim(front, <u32>-1) : 0;
}

/**
 * The record of an object of a pool. 0 when the object belongs to no entry of this zswap, or its entry is being
 * written.
 */
export function zswapOwner(front: usize, index: u32, handle: u32): u32 {
  if (!isFront(front) || prefix(front) == 0 || index >= POOL_COUNT) return 0;
  const pool = <usize>usedAt(front, index).pool;
  let record: u32 = 0;
  const raw = tableFind(indexOf(front), handle, RAW_KEYS | index);
  if (raw != 0) {
    record = valueOf(raw);
  } else {
    const size = zpoolSize(pool, handle);
    if (isError(size) || size <= KEY_BYTES) return 0;
    const key = blockBuffer();
    gather(key, zpoolRange(pool, handle, 0, KEY_BYTES, 0), KEY_BYTES);
    const cell = cellOf(front, load<u32>(key), load<u32>(key, 4));
    if (cell == 0 || kindOfCell(cell) != ENTRY) return 0;
    record = valueOf(cell);
  }
  return recordAt(record).handle == handle && poolIndex(record) == index && recordAt(record).job == 0 ? record : 0;
}

/** A new number for a write, not 0. It wraps around, but only after more writes than can be under way at once. */
function nextJob(front: usize): u32 {
  frontAt(front).lastJob = max<u32>(frontAt(front).lastJob + 1, 1);
  return frontAt(front).lastJob;
}

/**
 * Begins the write of an entry: takes a slot and composes it in the block buffer.
 * @param raw 1: writes the raw page, not its block. If a foreign codec made the block, the page must be in the page
 *   buffer
 * @returns the bytes of the slot; for zswapWriteEnd OUT_JOB, OUT_SLOT and OUT_GENERATION, and the key of the page in
 *   OUT_KEY_LOW and OUT_KEY_HIGH. ENOSPC: no slot is free; EIO: the entry cannot be read
 */
export function zswapWrite(front: usize, record: usize, raw: u32): u32 {
  const codec = usedAt(front, poolIndex(record)).codec;
  let kind = slotCodecOf(codec);
  let length: u32;
  if ((recordAt(record).flags & RAW) != 0) raw = 1;
  if (raw != 0) {
    if (codec < FIRST_FOREIGN || (recordAt(record).flags & RAW) != 0) {
      if (pageOf(front, record) != PAGE_SIZE) return EIO;
    }
    memory.copy(slotData(), pageBuffer(), PAGE_SIZE);
    kind = SLOT_RAW;
    length = PAGE_SIZE;
  } else {
    length = blockOf(front, record, slotData());
    if (isError(length)) return EIO;
  }
  const slot = slotTake(front + SLOTS);
  if (slot == NO_SLOT) return ENOSPC;
  const bytes = compose(front, kind, length, slot);
  if (prefix(front) == 0) listRemove(front + POOL_LRU, record, LINKS);
  recordAt(record).job = nextJob(front);
  frontAt(front).inFlight += 1;
  setOut(OUT_JOB, recordAt(record).job);
  setOut(OUT_KEY_LOW, recordAt(record).offset);
  setOut(OUT_KEY_HIGH, recordAt(record).type);
  return bytes;
}

/**
 * Puts the block of an entry into the block buffer, if a foreign codec made it. Returns its bytes, with the codec in
 * OUT_BLOCK_CODEC; 0 when no foreign codec made it; EIO.
 */
export function zswapForeign(front: usize, record: usize): u32 {
  if (!isFront(front)) return EIO;
  const result =
    (recordAt(record).flags & RAW) != 0 || usedAt(front, poolIndex(record)).codec < FIRST_FOREIGN
      ? 0
      : pageOf(front, record);
  return result == DECOMPRESS ? out(OUT_BLOCK_BYTES) : result;
}

/**
 * Ends a write of an entry.
 * @param end WRITE_DONE: the slot holds the page. WRITE_FAILED: the slot may hold anything. WRITE_LATE: the write may
 *   still happen, and the slot stays in use until frontSettled
 * @returns 1: the page is in the store and no longer in the pool. 0: it stays in the pool, or was removed meanwhile;
 *   the slot is to be freed
 */
export function zswapWriteEnd(
  front: usize,
  offset: u32,
  type: u32,
  job: u32,
  slot: u32,
  generation: u32,
  end: u32,
): u32 {
  if (!isFront(front)) return 0;
  const cell = cellOf(front, offset, type);
  const ours = cell != 0 && kindOfCell(cell) == ENTRY && recordAt(valueOf(cell)).job == job;
  if (ours && end == WRITE_DONE) {
    dropRecord(front, valueOf(cell));
    // Removing a raw key may have moved the cell: look it up again.
    setCell(front, cellOf(front, offset, type), offset, WRITTEN, slot, generation);
    frontAt(front).written += 1;
    zswapCount(front, WRITTEN_BACK);
    return 1;
  }
  if (end != WRITE_LATE) slotToFree(front + SLOTS, slot);
  if (ours) {
    const record = valueOf(cell);
    loseJob(front, record);
    recordAt(record).flags &= ~REFERENCED;
    if (prefix(front) == 0) listAppend(front + POOL_LRU, record, LINKS);
  }
  return 0;
}

/**
 * Makes a page pending that the pool has refused: it is on its way to the store, in place of the older page. The caller
 * keeps its bytes.
 * @returns the number of its write; EINVAL; ENOMEM no frame for the index
 */
export function zswapPend(front: usize, offset: u32, type: u32): u32 {
  if (!isKey(front, offset, type)) return EINVAL;
  let cell = tableMake(indexOf(front), offset, type);
  if (cell == 0) return ENOMEM;
  if (stateOf(cell) != 0) {
    release(front, cell);
    cell = cellOf(front, offset, type);
  }
  setCell(front, cell, offset, PENDING, nextJob(front), 0);
  frontAt(front).pending += 1;
  return valueOf(cell);
}

/** The cell of a page that is pending with this write. 0 when the page was replaced or removed. */
function pendingCell(front: usize, offset: u32, type: u32, job: u32): usize {
  const cell = cellOf(front, offset, type);
  return cell != 0 && kindOfCell(cell) == PENDING && valueOf(cell) == job ? cell : 0;
}

/**
 * Begins the write of a pending page, which is in the page buffer.
 * @returns the bytes of the slot; for zswapDirectEnd OUT_SLOT and OUT_GENERATION. ENOENT: the page was replaced or
 *   removed; ENOSPC: no slot is free; EINVAL
 */
export function zswapDirect(front: usize, offset: u32, type: u32, job: u32): u32 {
  if (!isFront(front)) return EINVAL;
  if (pendingCell(front, offset, type, job) == 0) return ENOENT;
  const slot = slotTake(front + SLOTS);
  if (slot == NO_SLOT) return ENOSPC;
  memory.copy(slotData(), pageBuffer(), PAGE_SIZE);
  return compose(front, SLOT_RAW, PAGE_SIZE, slot);
}

/**
 * Ends the write of a pending page, or gives it up (slot NO_SLOT). 1: the page is in the store. 0: it was removed or
 * replaced, or the write failed; the slot is to be freed.
 */
export function zswapDirectEnd(
  front: usize,
  offset: u32,
  type: u32,
  job: u32,
  slot: u32,
  generation: u32,
  end: u32,
): u32 {
  if (!isFront(front)) return 0;
  const cell = pendingCell(front, offset, type, job);
  if (cell != 0 && end == WRITE_DONE) {
    frontAt(front).pending -= 1;
    frontAt(front).written += 1;
    setCell(front, cell, offset, WRITTEN, slot, generation);
    return 1;
  }
  if (end != WRITE_LATE && slot != NO_SLOT) slotToFree(front + SLOTS, slot);
  if (cell != 0) remove(front, cell, offset, type);
  return 0;
}

/** Skips an entry that cannot be written: its record moves to the front of the LRU. */
export function zswapPass(front: usize, record: usize): void {
  if (isFront(front) && prefix(front) == 0) listToFront(front + POOL_LRU, record, LINKS);
}
