/**
 * The pages of a zswap: storing a page in the current pool, loading it, invalidating it. zswap-writeback.ts moves pages
 * to the store. Here, pages in the store or on their way there are only removed.
 */
import {
  BEING_WRITTEN,
  COMPRESS,
  DECOMPRESS,
  DECOMPRESS_FAIL,
  DUPLICATE_ENTRY,
  ENTRY,
  FILL,
  FIRST_FOREIGN,
  FULL,
  IN_STORE,
  NO_POOL,
  OUT_BLOCK_BYTES,
  OUT_BLOCK_CODEC,
  OUT_GENERATION,
  OUT_JOB,
  OUT_KEY_HIGH,
  OUT_KEY_LOW,
  OUT_PLACE,
  OUT_SLOT,
  POOR,
  RAW_KEYS,
  SPARSE,
  WRITTEN,
} from '../abi';
import { EINVAL, EIO, ENOENT, ENOMEM, isError } from '../base/errno';
import { listPush, listRemove } from '../base/list';
import { sameFilled } from '../codec/samefill';
import { PAGE_SIZE } from '../mem/layout';
import { POOL_DESCRIPTORS, POOL_LRU } from '../mem/pool';
import { blockBuffer, out, pageBuffer, setOut } from '../mem/scratch';
import { slabAlloc, slabFree } from '../mem/slab';
import { stateOf, tableFind, tableMake, tableNext, tableRemove, tableShape } from '../page/table';
import { codecCompress, codecDecompress } from '../codec/buffers';
import { pageFill, pageLoad } from '../page/path';
import { objectFree as zpoolFree } from '../page/store';
import { zpoolMalloc, zpoolMallocRaw, zpoolMax } from '../zpool';
import { KIND_BITS, SLOTS, objectIn, objectOut } from './backed';
import { slotToFree } from './slot-map';
import { isFull } from './zswap-limit';
import { victimShrinks } from './zswap-victim';
import {
  KEEP_RAW,
  KEY_BYTES,
  LINKS,
  PENDING,
  POOL_MASK,
  RAW,
  RAW_KEY,
  REFERENCED,
  SAME_FILLED,
  cellOf,
  frontAt,
  indexOf,
  isFront,
  kindOfCell,
  poolIndex,
  poolOf,
  prefix,
  recordAt,
  recordTerm,
  setCell,
  usedAt,
  valueOf,
  zswapCount,
} from './zswap-layout';

// ── entries ──────────────────────────────────────────────────────────────────

function countPool(front: usize, index: u32, by: i32): void {
  usedAt(front, index).entries += by;
  if (usedAt(front, index).entries == 0 && index != frontAt(front).current) frontAt(front).drained += 1;
}

/**
 * Cancels the write of an entry: when the write ends, its result is ignored. The caller puts the record back into the
 * LRU.
 */
export function loseJob(front: usize, record: usize): void {
  recordAt(record).job = 0;
  frontAt(front).inFlight -= 1;
}

/** Frees the object and record of an entry. The caller changes the cell. */
export function dropRecord(front: usize, record: usize): void {
  const flags = recordAt(record).flags;
  zpoolFree(poolOf(record, front), recordAt(record).handle);
  victimShrinks(front, flags & POOL_MASK);
  if ((flags & RAW) != 0) {
    frontAt(front).raw -= 1;
    if (prefix(front) != 0) {
      const cell = tableFind(indexOf(front), recordAt(record).handle, RAW_KEYS | (flags & POOL_MASK));
      if (cell != 0) tableRemove(indexOf(front), cell, recordAt(record).handle);
    }
  }
  if (recordAt(record).job != 0) loseJob(front, record);
  else if (prefix(front) == 0) listRemove(front + POOL_LRU, record, LINKS);
  frontAt(front).entries -= 1;
  frontAt(front).sum ^= recordTerm(record);
  countPool(front, flags & POOL_MASK, -1);
  slabFree(front + POOL_DESCRIPTORS, record);
}

/** Frees what a cell refers to. The cell itself stays. */
export function release(front: usize, cell: usize): void {
  const kind = kindOfCell(cell);
  const value = valueOf(cell);
  if (kind == ENTRY) {
    dropRecord(front, value);
  } else if (kind == FILL) {
    frontAt(front).sameFilledPages -= 1;
  } else if (kind == WRITTEN) {
    frontAt(front).written -= 1;
    slotToFree(front + SLOTS, value);
  } else {
    frontAt(front).pending -= 1;
  }
}

/** Removes a page. The cell is looked up again, because removing a raw key may have moved it. */
export function remove(front: usize, cell: usize, offset: u32, type: u32): void {
  release(front, cell);
  tableRemove(indexOf(front), cellOf(front, offset, type), offset);
}

// ── store ────────────────────────────────────────────────────────────────────

/**
 * Begins to store the page in the page buffer: removes an older copy, tests the limit, and stores a same-filled page at
 * once.
 * @returns 0 stored; COMPRESS: compress the page, then call zswapPut; FULL; EINVAL a bad key; ENOENT no frame for the
 *   index
 */
export function zswapBegin(front: usize, offset: u32, type: u32): u32 {
  if (!isKey(front, offset, type)) return EINVAL;
  const old = cellOf(front, offset, type);
  if (old != 0) {
    zswapCount(front, DUPLICATE_ENTRY);
    remove(front, old, offset, type);
  }
  if (isFull(front)) return FULL;
  const page = pageBuffer();
  if ((frontAt(front).flags & SAME_FILLED) == 0 || !sameFilled(page, PAGE_SIZE)) return COMPRESS;
  const cell = tableMake(indexOf(front), offset, type);
  if (cell == 0) return ENOENT;
  setCell(front, cell, offset, FILL, load<u32>(page), 0);
  frontAt(front).sameFilledPages += 1;
  return 0;
}

export function isKey(front: usize, offset: u32, type: u32): bool {
  return isFront(front) && type < RAW_KEYS && (type == 0 || tableShape(indexOf(front)) == SPARSE);
}

/** The most bytes of a block that the current pool takes. EINVAL. */
export function zswapMost(front: usize): u32 {
  if (!isFront(front) || frontAt(front).current == NO_POOL) return EINVAL;
  const most = zpoolMax(usedAt(front, frontAt(front).current).pool);
  return isError(most) ? most : min(most, PAGE_SIZE - 1) - prefix(front);
}

/**
 * Stores a page with a codec of the core: zswapBegin, compression and zswapPut. 0 stored; FULL, POOR, or an error of
 * zswapBegin or zswapPut.
 */
export function zswapStore(front: usize, offset: u32, type: u32): u32 {
  const result = zswapBegin(front, offset, type);
  if (result != COMPRESS) return result;
  const codec = usedAt(front, frontAt(front).current).codec;
  return zswapPut(front, offset, type, codecCompress(codec, PAGE_SIZE, zswapMost(front)));
}

/**
 * Puts a page into the current pool: the block of `bytes` bytes in the block buffer, or with 0 bytes the page in the
 * page buffer, raw.
 * @returns 0; POOR: the page does not compress and raw pages are refused; ENOMEM no frame for the object; ENOENT no
 *   frame for the record or the index; EINVAL
 */
export function zswapPut(front: usize, offset: u32, type: u32, bytes: u32): u32 {
  const most = zswapMost(front);
  if (isError(most) || bytes > most || !isKey(front, offset, type)) return EINVAL;
  const raw = bytes == 0;
  if (raw && (frontAt(front).flags & KEEP_RAW) == 0) return POOR;
  const index = frontAt(front).current;
  const pool = <usize>usedAt(front, index).pool;
  const handle = raw ? zpoolMallocRaw(pool) : zpoolMalloc(pool, bytes + prefix(front));
  if (isError(handle)) return handle;
  const result = enter(front, offset, type, index, handle, raw);
  if (result != 0) {
    zpoolFree(pool, handle);
    return result;
  }
  if (raw) objectIn(pool, handle, 0, pageBuffer(), PAGE_SIZE);
  else objectIn(pool, handle, prefix(front), blockBuffer(), bytes);
  if (!raw && prefix(front) != 0) {
    store<u32>(blockBuffer(), offset);
    store<u32>(blockBuffer(), type, 4);
    objectIn(pool, handle, 0, blockBuffer(), KEY_BYTES);
  }
  return 0;
}

/** Makes the record and the cell of a new object. 0; ENOENT without a frame, and nothing has changed. */
function enter(front: usize, offset: u32, type: u32, index: u32, handle: u32, raw: bool): u32 {
  const record = slabAlloc(front + POOL_DESCRIPTORS);
  if (record == 0) return ENOENT;
  const keyed = raw && prefix(front) != 0;
  if (keyed) {
    const cell = tableMake(indexOf(front), handle, RAW_KEYS | index);
    if (cell == 0) {
      slabFree(front + POOL_DESCRIPTORS, record);
      return ENOENT;
    }
    setCell(front, cell, handle, RAW_KEY, <u32>record, 0);
  }
  let cell = tableMake(indexOf(front), offset, type);
  if (cell == 0) {
    if (keyed) tableRemove(indexOf(front), tableFind(indexOf(front), handle, RAW_KEYS | index), handle);
    slabFree(front + POOL_DESCRIPTORS, record);
    return ENOENT;
  }
  // A foreign codec of the caller may have stored the same page meanwhile.
  if (stateOf(cell) != 0) {
    release(front, cell);
    cell = cellOf(front, offset, type);
  }
  recordAt(record).flags = index | REFERENCED | (raw ? RAW : 0);
  recordAt(record).offset = offset;
  recordAt(record).type = type;
  recordAt(record).handle = handle;
  recordAt(record).job = 0;
  if (prefix(front) == 0) listPush(front + POOL_LRU, record, LINKS);
  else store<u64>(record + LINKS, 0);
  setCell(front, cell, offset, ENTRY, <u32>record, 0);
  frontAt(front).entries += 1;
  frontAt(front).sum ^= recordTerm(record);
  usedAt(front, index).entries += 1;
  if (raw) frontAt(front).raw += 1;
  return 0;
}

// ── load ─────────────────────────────────────────────────────────────────────

/**
 * Loads a page into the page buffer.
 * @param exclusive 1: the page is removed when it was loaded
 * @returns PAGE_SIZE; 0: the page is not here; IN_STORE: it is in the slot OUT_SLOT with the generation OUT_GENERATION;
 *   BEING_WRITTEN: by the write OUT_JOB; DECOMPRESS: the block buffer has a block of OUT_BLOCK_BYTES, made by the codec
 *   OUT_BLOCK_CODEC; EIO: the block does not decompress
 */
export function zswapLoad(front: usize, offset: u32, type: u32, exclusive: u32): u32 {
  if (!isFront(front)) return EINVAL;
  const cell = cellOf(front, offset, type);
  if (cell == 0) return 0;
  const kind = kindOfCell(cell);
  const value = valueOf(cell);
  if (kind == WRITTEN) {
    setOut(OUT_SLOT, value);
    setOut(OUT_GENERATION, stateOf(cell) >> KIND_BITS);
    return IN_STORE;
  }
  if (kind == PENDING) {
    setOut(OUT_JOB, value);
    return BEING_WRITTEN;
  }
  if (kind == FILL) {
    pageFill(value);
  } else {
    touch(front, value);
    const result = pageOf(front, value);
    if (isError(result)) zswapCount(front, DECOMPRESS_FAIL);
    if (result != PAGE_SIZE) return result;
  }
  if (exclusive != 0) remove(front, cell, offset, type);
  return PAGE_SIZE;
}

/** 1 when a page is still in this slot, with this generation. */
export function zswapIsIn(front: usize, offset: u32, type: u32, slot: u32, generation: u32): u32 {
  if (!isFront(front)) return 0;
  const cell = cellOf(front, offset, type);
  return cell != 0 && stateOf(cell) == (WRITTEN | (generation << KIND_BITS)) && valueOf(cell) == slot ? 1 : 0;
}

/** Marks an entry as used. A write of it that is under way is cancelled: the page stays in the pool. */
function touch(front: usize, record: usize): void {
  recordAt(record).flags |= REFERENCED;
  if (recordAt(record).job == 0) return;
  loseJob(front, record);
  if (prefix(front) == 0) listPush(front + POOL_LRU, record, LINKS);
}

/** Decompresses the page of an entry into the page buffer: PAGE_SIZE, DECOMPRESS, EIO as zswapLoad. */
export function pageOf(front: usize, record: usize): u32 {
  const pool = poolOf(record, front);
  const codec = usedAt(front, poolIndex(record)).codec;
  const handle = recordAt(record).handle;
  if ((recordAt(record).flags & RAW) != 0 || (codec < FIRST_FOREIGN && prefix(front) == 0)) {
    return pageLoad(pool, handle) == PAGE_SIZE ? PAGE_SIZE : EIO;
  }
  const bytes = blockOf(front, record, blockBuffer());
  if (isError(bytes)) return EIO;
  if (codec < FIRST_FOREIGN) return codecDecompress(bytes, PAGE_SIZE) == PAGE_SIZE ? PAGE_SIZE : EIO;
  setOut(OUT_BLOCK_BYTES, bytes);
  setOut(OUT_BLOCK_CODEC, codec);
  return DECOMPRESS;
}

/**
 * Copies the block, or raw page, of an entry out of the pool. Returns its bytes; EIO when the object does not exist.
 */
export function blockOf(front: usize, record: usize, to: usize): u32 {
  const at: u32 = (recordAt(record).flags & RAW) != 0 ? 0 : prefix(front);
  return objectOut(poolOf(record, front), recordAt(record).handle, at, to);
}

// ── invalidate ───────────────────────────────────────────────────────────────

/** Removes a page. 1 when it was there. */
export function zswapInvalidate(front: usize, offset: u32, type: u32): u32 {
  if (!isFront(front)) return 0;
  const cell = cellOf(front, offset, type);
  if (cell == 0) return 0;
  remove(front, cell, offset, type);
  return 1;
}

/** Removes all pages of a type. Returns how many there were. */
export function zswapInvalidateArea(front: usize, type: u32): u32 {
  if (!isFront(front)) return 0;
  let pages: u32 = 0;
  let before: u32;
  // When leaves are merged, keys may move behind the place that this walk has reached. So walk again until a walk finds
  // none.
  do {
    before = pages;
    let place: u32 = 0;
    for (let cell = tableNext(indexOf(front), 0); cell != 0; cell = tableNext(indexOf(front), place)) {
      place = out(OUT_PLACE);
      if (out(OUT_KEY_HIGH) != type || kindOfCell(cell) == RAW_KEY) {
        place += 1;
        if (place == 0) break;
        continue;
      }
      remove(front, cell, out(OUT_KEY_LOW), type);
      pages += 1;
    }
  } while (pages != before);
  return pages;
}

/** 1 when a page with this key is there, else 0. */
export function zswapHas(front: usize, offset: u32, type: u32): u32 {
  return isFront(front) && cellOf(front, offset, type) != 0 ? 1 : 0;
}
