/**
 * zswap: a compressed cache of swapped pages, and the way of the coldest to a
 * backing store.
 *
 * What it is. An index from (type, offset) to where the page is: in a zpool,
 * compressed; nowhere, because it is same-filled; or in a slot of the store. And
 * all that has to be decided about that: limits, what to write next, what a write
 * that has ended means. What it is not. It asks no store itself: composing a slot
 * and taking note of what became of it are two calls, between which the caller
 * writes, at once or waiting. Nothing is assumed about what happens in between:
 * the second call looks everything up again.
 *
 *                 index (page/table.ts), 8 bytes a page
 *   (type, offset) ──► cell ──┬─ ENTRY ───► record ──► object of a zpool
 *                             ├─ FILL       the word itself
 *                             ├─ WRITTEN    slot, generation
 *                             └─ PENDING    job: being written, not in the pool
 *
 *   record, 28 bytes
 *     0 pool | flags << 8    4 offset   8 type   12 handle
 *    16 previous  20 next: LRU of records, most recent first; without a job
 *    24 job: the write of this entry that is under way, 0 for none
 *
 *   cell    state: kind in 4 bits, generation above
 *
 *   header: a pool header (mem/pool.ts) whose page table is the index, then
 *   256 current pool      260 limit, percent     264 accept threshold, percent
 *   268 flags             272 last job           276 last generation
 *   280 epoch             284 entries            288 same-filled pages
 *   292 pages in the store 296 pages pending     300 pages kept raw
 *   304 entries with a job 308 pools to destroy   312 what records add up to (check())
 *   320 slot map          352 counters           416 pools: address, codec, entries
 *  1184 budget: pages that may still be written back (f64)
 *  1192 victim that is kept (zswap-victim.ts)
 *
 * Two ways to choose what to write (FRONT_VICTIMS):
 *   entry  the least recently used record, second chance: one that was loaded
 *          or is new is passed over once. As in Linux since 6.6 and 6.12.
 *   page   the zpool's least recently used frame or zspage, whole, as before.
 *          Then an object begins with the 8 bytes of its page's key, which is how
 *          the victim's owner is found; for a page kept raw, which leaves no room
 *          for them, the index has a second key: handle and pool.
 *
 * Vital statistics: 28 bytes a page in the pool and 20 to 40 in the index (8 when
 * that is dense); none but those of the index once it is written or same-filled.
 * 64 zpools at once, of which one is current and the others drain.
 *
 * Trade-offs: records cost memory that handles in cells would not, and buy an
 * LRU across all pools, and writes that can be told from each other. A page that
 * is being written can be read, replaced and dropped as if it were not: whoever
 * touches it takes the job away, and the write, when it ends, finds nothing to
 * do but to give the slot back.
 *
 * Source: Linux mm/zswap.c 6.1 (page), 6.12 (entry). The index of written pages
 * is ours: there the swap offset is the place on the device.
 */
import {
  BEING_WRITTEN,
  COMPRESS,
  COUNTER_COUNT,
  DECOMPRESS,
  DECOMPRESS_FAIL,
  DENSE,
  DUPLICATE_ENTRY,
  ENTRY,
  FILL,
  FIRST_FOREIGN,
  FULL,
  IN_STORE,
  NO_POOL,
  NO_SLOT,
  OUT_BLOCK_BYTES,
  OUT_BLOCK_CODEC,
  OUT_ENTRIES,
  OUT_GENERATION,
  OUT_JOB,
  OUT_KEY_HIGH,
  OUT_KEY_LOW,
  OUT_PLACE,
  OUT_SLOT,
  POOR,
  RAW_KEYS,
  SPARSE,
  VICTIM_PAGE,
  WRITE_DONE,
  WRITE_LATE,
  WRITTEN,
  WRITTEN_BACK,
  ZSWAP_CURRENT,
  ZSWAP_IN_FLIGHT,
  ZSWAP_LIMIT,
  ZSWAP_POOL_FRAMES,
  ZSWAP_RAW,
  ZSWAP_SAME_FILLED,
  ZSWAP_SLOTS,
  ZSWAP_STORED,
  ZSWAP_STORE_SLOTS,
  ZSWAP_VICTIMS,
  ZSWAP_WRITTEN,
} from '../abi';
import { EINVAL, EIO, ENOENT, ENOMEM, ENOSPC, isError } from '../base/errno';
import { listAppend, listPush, listRemove, listToFront } from '../base/list';
import { sameFilled } from '../codec/samefill';
import { frameRoom } from '../mem/frame';
import { FRAME_SLAB, PAGE_SIZE } from '../mem/layout';
import {
  NAME_BYTES,
  POOL_DESCRIPTORS,
  POOL_LRU,
  POOL_NAME,
  ZSWAP,
  kindOf,
  poolAt,
  poolCreate,
  poolNumber,
  poolOption,
  sealPool,
  setPoolOption,
} from '../mem/pool';
import { blockBuffer, out, pageBuffer, setOut } from '../mem/scratch';
import { gather } from '../mem/span';
import { slabAlloc, slabFree, slabInit } from '../mem/slab';
import { stateOf, tableFind, tableMake, tableNext, tableRemove, tableShape, tableStart } from '../page/table';
import { codecCompress, codecDecompress } from '../codec/buffers';
import { pageFill, pageLoad } from '../page/path';
import { objectFree as zpoolFree } from '../page/store';
import { zpoolDestroy, zpoolMalloc, zpoolMallocRaw, zpoolMax, zpoolRange, zpoolSize } from '../zpool';
import { KIND_BITS, SLOTS, compose, objectIn, objectOut, slotCodecOf } from './backed';
import { SLOT_RAW, slotData } from './slot';
import { slotDoom, slotMapStart, slotTake, slotsTaken, slotsThere } from './slot-map';
import { isFull, limitOf, nextVictim, zswapFrames } from './zswap-limit';
import { victimShrinks } from './zswap-victim';
import {
  COUNTERS,
  FRONT_VICTIMS,
  Front,
  KEEP_RAW,
  KEY_BYTES,
  LIMIT_FLAGS,
  LINKS,
  PENDING,
  POOLS,
  POOL_BYTES,
  POOL_COUNT,
  POOL_MASK,
  RAW,
  RAW_KEY,
  RECORD_BYTES,
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

// ── life ─────────────────────────────────────────────────────────────────────

/**
 * Creates a zswap.
 * @param victims VICTIM_ENTRY or VICTIM_PAGE
 * @param shape of the index: SPARSE, or DENSE (type 0 and victims by entry only)
 * @param slots of the store, 0 for no store
 * @param epoch word that tells this one's slots from those of others
 * @param name its address, UTF-8
 * @returns the front; EINVAL, ENOMEM
 */
export function zswapCreate(victims: u32, shape: u32, slots: u32, epoch: u32, name: usize, nameBytes: u32): u32 {
  if (
    victims > VICTIM_PAGE ||
    shape < DENSE ||
    shape > SPARSE ||
    (victims == VICTIM_PAGE && shape == DENSE) ||
    nameBytes == 0 ||
    nameBytes > NAME_BYTES
  )
    return EINVAL;
  if (!frameRoom(slots == 0 ? 1 : 3)) return ENOMEM;
  const front = poolCreate(ZSWAP);
  if (front == 0) return ENOMEM;
  memory.copy(front + POOL_NAME, name, nameBytes);
  poolAt(front).nameBytes = nameBytes;
  setPoolOption(front, FRONT_VICTIMS, victims);
  slabInit(front + POOL_DESCRIPTORS, RECORD_BYTES, FRAME_SLAB);
  tableStart(indexOf(front), shape);
  frontAt(front).current = NO_POOL;
  frontAt(front).epoch = epoch;
  if (slots != 0 && !slotMapStart(front + SLOTS, slots)) {
    zpoolDestroy(front);
    return ENOMEM;
  }
  sealPool(front);
  poolNumber();
  return <u32>front;
}

/** Sets what may change. EINVAL. */
export function zswapSet(front: usize, limitPercent: u32, thresholdPercent: u32, same: u32, raw: u32): u32 {
  if (!isFront(front) || limitPercent > 100 || thresholdPercent > 100) return EINVAL;
  frontAt(front).limitPercent = limitPercent;
  frontAt(front).thresholdPercent = thresholdPercent;
  frontAt(front).flags =
    (frontAt(front).flags & LIMIT_FLAGS) | (same != 0 ? SAME_FILLED : 0) | (raw != 0 ? KEEP_RAW : 0);
  sealPool(front);
  return 0;
}

/** The number of a pool with this codec that is in use, NO_POOL for none. */
function poolNumbered(front: usize, pool: u32, codec: u32): u32 {
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    if (usedAt(front, index).pool == pool && usedAt(front, index).codec == codec) return index;
  }
  return NO_POOL;
}

/** Makes a pool the current one: new pages go there. Its number; EINVAL; ENOSPC when 64 are in use. */
export function zswapUse(front: usize, pool: u32, codec: u32): u32 {
  if (!isFront(front) || kindOf(pool) == 0) return EINVAL;
  let index = poolNumbered(front, pool, codec);
  if (index == NO_POOL) index = poolNumbered(front, 0, 0);
  if (index == NO_POOL) return ENOSPC;
  usedAt(front, index).pool = pool;
  usedAt(front, index).codec = codec;
  sealPool(front);
  const before = frontAt(front).current;
  frontAt(front).current = index;
  if (before != NO_POOL && before != index && usedAt(front, before).entries == 0) frontAt(front).drained += 1;
  return index;
}

/** Address of the number of pools that zswapDrained would give, for a view of it. EINVAL. */
export function zswapDrainedAt(front: usize): u32 {
  return isFront(front) ? <u32>(changetype<usize>(frontAt(front)) + offsetof<Front>('drained')) : EINVAL;
}

/** A pool that is neither current nor has pages, to be destroyed by the caller; its number is free then. NO_POOL for none. */
export function zswapDrained(front: usize): u32 {
  if (!isFront(front)) return NO_POOL;
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    if (usedAt(front, index).pool == 0 || index == frontAt(front).current || usedAt(front, index).entries != 0)
      continue;
    memory.fill(front + POOLS + <usize>index * POOL_BYTES, 0, POOL_BYTES);
    sealPool(front);
    return index;
  }
  frontAt(front).drained = 0;
  return NO_POOL;
}

// ── entries ──────────────────────────────────────────────────────────────────

function countPool(front: usize, index: u32, by: i32): void {
  usedAt(front, index).entries += by;
  if (usedAt(front, index).entries == 0 && index != frontAt(front).current) frontAt(front).drained += 1;
}

/** Takes the write of an entry away from it: it is as if none were under way. It goes to the end of the LRU that is named. */
export function loseJob(front: usize, record: usize): void {
  recordAt(record).job = 0;
  frontAt(front).inFlight -= 1;
}

/** Frees an entry's object and record. The cell is the caller's. */
function dropRecord(front: usize, record: usize): void {
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

/** Gives up what a cell holds, but not the cell. */
function release(front: usize, cell: usize): void {
  const kind = kindOfCell(cell);
  const value = valueOf(cell);
  if (kind == ENTRY) {
    dropRecord(front, value);
  } else if (kind == FILL) {
    frontAt(front).sameFilledPages -= 1;
  } else if (kind == WRITTEN) {
    frontAt(front).written -= 1;
    slotDoom(front + SLOTS, value);
  } else {
    frontAt(front).pending -= 1;
  }
}

/** Takes a page out. Its cell may have moved meanwhile, when a raw key went. */
export function remove(front: usize, cell: usize, offset: u32, type: u32): void {
  release(front, cell);
  tableRemove(indexOf(front), cellOf(front, offset, type), offset);
}

// ── store ────────────────────────────────────────────────────────────────────

/**
 * Begins storing the page in the page buffer: an older copy goes, the limit is
 * looked at, a same-filled page is stored.
 * @returns 0 stored; COMPRESS: compress it, then zswapPut; FULL; EINVAL a bad
 *   key; ENOENT no frame for the index
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

function isKey(front: usize, offset: u32, type: u32): bool {
  return isFront(front) && type < RAW_KEYS && (type == 0 || tableShape(indexOf(front)) == SPARSE);
}

/** The most bytes of a block that the current pool takes. EINVAL. */
export function zswapMost(front: usize): u32 {
  if (!isFront(front) || frontAt(front).current == NO_POOL) return EINVAL;
  const most = zpoolMax(usedAt(front, frontAt(front).current).pool);
  return isError(most) ? most : min(most, PAGE_SIZE - 1) - prefix(front);
}

/** zswapBegin, then all of it with a codec of the core. 0 stored; FULL, POOR, or an error of zswapBegin or zswapPut. */
export function zswapStore(front: usize, offset: u32, type: u32): u32 {
  const result = zswapBegin(front, offset, type);
  if (result != COMPRESS) return result;
  const codec = usedAt(front, frontAt(front).current).codec;
  return zswapPut(front, offset, type, codecCompress(codec, PAGE_SIZE, zswapMost(front)));
}

/**
 * Puts a page into the current pool: the block of `bytes` bytes in the block
 * buffer, or with 0 bytes the page in the page buffer as it is.
 * @returns 0; POOR a page that does not compress, and is not to be kept; ENOMEM
 *   no frame for the object; ENOENT none for record or index; EINVAL
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

/** Record and cell of a new object. 0, or ENOENT without a frame and nothing has changed. */
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
  // Foreign code may have stored the page meanwhile, in a codec of the caller's say.
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
 * @param exclusive 1: a page that is loaded goes
 * @returns PAGE_SIZE; 0 not here; IN_STORE: in OUT_SLOT and OUT_GENERATION; BEING_WRITTEN: by OUT_JOB; DECOMPRESS: a block of
 *   OUT_BLOCK_BYTES is in the block buffer, by the codec OUT_BLOCK_CODEC; EIO it does not decompress
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

/** An entry is used: it is not to be written now. */
function touch(front: usize, record: usize): void {
  recordAt(record).flags |= REFERENCED;
  if (recordAt(record).job == 0) return;
  loseJob(front, record);
  if (prefix(front) == 0) listPush(front + POOL_LRU, record, LINKS);
}

/** The page of an entry into the page buffer: PAGE_SIZE, DECOMPRESS, EIO. */
function pageOf(front: usize, record: usize): u32 {
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

/** Copies an entry's block, or raw page, out of the pool: its bytes, EIO when the object is gone. */
function blockOf(front: usize, record: usize, to: usize): u32 {
  const at: u32 = (recordAt(record).flags & RAW) != 0 ? 0 : prefix(front);
  return objectOut(poolOf(record, front), recordAt(record).handle, at, to);
}

// ── invalidate ───────────────────────────────────────────────────────────────

/** Takes a page out. Whether it was there. */
export function zswapInvalidate(front: usize, offset: u32, type: u32): u32 {
  if (!isFront(front)) return 0;
  const cell = cellOf(front, offset, type);
  if (cell == 0) return 0;
  remove(front, cell, offset, type);
  return 1;
}

/** Takes out all pages of a type: how many they were. */
export function zswapInvalidateArea(front: usize, type: u32): u32 {
  if (!isFront(front)) return 0;
  let pages: u32 = 0;
  let before: u32;
  // Joined leaves may bring keys behind the place that was reached: hence rounds, until one finds none.
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

/** Whether there is no page of this type. */
export function zswapHas(front: usize, offset: u32, type: u32): u32 {
  return isFront(front) && cellOf(front, offset, type) != 0 ? 1 : 0;
}

// ── writeback ────────────────────────────────────────────────────────────────

/**
 * Takes the next victim by entry: the least recently used record, where one that
 * is referenced is passed over once.
 * @returns the record, for zswapWrite; 0 when there is none without a job
 */
export function zswapVictim(front: usize): u32 {
  return isFront(front) && prefix(front) == 0 ? <u32>nextVictim(front, <u32>-1) : 0;
}

/** The record of an object of one of the pools, 0 for an object that is not ours or has a job. */
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

/** A new number that is not 0; what it is compared with lasts less long than it takes to come round. */
function nextJob(front: usize): u32 {
  frontAt(front).lastJob = max<u32>(frontAt(front).lastJob + 1, 1);
  return frontAt(front).lastJob;
}

/**
 * Begins the write of an entry: takes a slot and composes it in the block buffer.
 * @param raw 1: the page as it is, not its block. By a codec that is not of the core, the page buffer must hold it
 * @returns bytes of the slot; for zswapWriteEnd OUT_JOB, OUT_SLOT, OUT_GENERATION, and the key of the page in OUT_KEY_LOW
 *   and OUT_KEY_HIGH. ENOSPC no free slot, EIO the entry cannot be read
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

/** The page of an entry that is by a foreign codec: bytes of its block in the block buffer, OUT_BLOCK_CODEC; 0 when it is not. EIO. */
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
 * @param end WRITE_DONE: the slot holds it now. WRITE_FAILED: the slot may hold anything. WRITE_LATE: it may still happen,
 *   and the slot stays taken until frontSettled
 * @returns 1: the page is in the store and no more in the pool. 0: it stays where it is or has gone meanwhile; the slot
 *   is doomed
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
    // A raw key that went may have moved the cell.
    setCell(front, cellOf(front, offset, type), offset, WRITTEN, slot, generation);
    frontAt(front).written += 1;
    zswapCount(front, WRITTEN_BACK);
    return 1;
  }
  if (end != WRITE_LATE) slotDoom(front + SLOTS, slot);
  if (ours) {
    const record = valueOf(cell);
    loseJob(front, record);
    recordAt(record).flags &= ~REFERENCED;
    if (prefix(front) == 0) listAppend(front + POOL_LRU, record, LINKS);
  }
  return 0;
}

/**
 * A page that was refused is to go to the store: it is pending from now on, in place of what was there. The caller keeps it.
 * @returns its job; EINVAL, ENOMEM no frame for the index
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

/** The cell of a page that is pending with this job, 0 when it was replaced or has gone. */
function pendingCell(front: usize, offset: u32, type: u32, job: u32): usize {
  const cell = cellOf(front, offset, type);
  return cell != 0 && kindOfCell(cell) == PENDING && valueOf(cell) == job ? cell : 0;
}

/**
 * Begins the write of a pending page, which is in the page buffer.
 * @returns bytes of the slot; for zswapDirectEnd OUT_SLOT and OUT_GENERATION. ENOENT it was replaced or has gone;
 *   ENOSPC no free slot; EINVAL
 */
export function zswapDirect(front: usize, offset: u32, type: u32, job: u32): u32 {
  if (!isFront(front)) return EINVAL;
  if (pendingCell(front, offset, type, job) == 0) return ENOENT;
  const slot = slotTake(front + SLOTS);
  if (slot == NO_SLOT) return ENOSPC;
  memory.copy(slotData(), pageBuffer(), PAGE_SIZE);
  return compose(front, SLOT_RAW, PAGE_SIZE, slot);
}

/** Ends it, or gives it up (slot NO_SLOT). 1: the page is in the store. 0: it has gone, or was replaced meanwhile; the slot is doomed. */
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
  if (end != WRITE_LATE && slot != NO_SLOT) slotDoom(front + SLOTS, slot);
  if (cell != 0) remove(front, cell, offset, type);
  return 0;
}

/** An entry that cannot be written is passed over: it goes to the front of the LRU. */
export function zswapPass(front: usize, record: usize): void {
  if (isFront(front) && prefix(front) == 0) listToFront(front + POOL_LRU, record, LINKS);
}

// ── slots ────────────────────────────────────────────────────────────────────

/** Whether a page is in this very slot still. */
export function zswapIsIn(front: usize, offset: u32, type: u32, slot: u32, generation: u32): u32 {
  if (!isFront(front)) return 0;
  const cell = cellOf(front, offset, type);
  return cell != 0 && stateOf(cell) == (WRITTEN | (generation << KIND_BITS)) && valueOf(cell) == slot ? 1 : 0;
}

// ── figures ──────────────────────────────────────────────────────────────────

/** One counter, POOL_LIMIT_HIT and so on, or what there is now, ZSWAP_STORED and so on. */
export function zswapFigure(front: usize, which: u32): u32 {
  if (!isFront(front)) return 0;
  if (which < COUNTER_COUNT) return load<u32>(front + COUNTERS + <usize>(which << 2));
  switch (which) {
    case ZSWAP_STORED:
      return frontAt(front).entries + frontAt(front).sameFilledPages;
    case ZSWAP_POOL_FRAMES:
      return poolFrames(front);
    case ZSWAP_SAME_FILLED:
      return frontAt(front).sameFilledPages;
    case ZSWAP_RAW:
      return frontAt(front).raw;
    case ZSWAP_WRITTEN:
      return frontAt(front).written;
    case ZSWAP_IN_FLIGHT:
      return frontAt(front).inFlight + frontAt(front).pending;
    case ZSWAP_SLOTS:
      return slotsTaken(front + SLOTS);
    case ZSWAP_LIMIT:
      return limitOf(front, zswapFrames(front));
    case ZSWAP_CURRENT:
      return frontAt(front).current;
    case ZSWAP_VICTIMS:
      return poolOption(front, FRONT_VICTIMS);
    case ZSWAP_STORE_SLOTS:
      return slotsThere(front + SLOTS);
    default:
      return frontAt(front).entries; // ZSWAP_ENTRIES
  }
}

/** Frames of objects. */
function poolFrames(front: usize): u32 {
  let frames: u32 = 0;
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    const pool = <usize>usedAt(front, index).pool;
    if (pool != 0) frames += poolAt(pool).frames;
  }
  return frames;
}

/** Address of the pool by that number, 0 for none; its entries in OUT_ENTRIES, its codec in OUT_BLOCK_CODEC. */
export function zswapUsed(front: usize, index: u32): u32 {
  if (!isFront(front) || index >= POOL_COUNT) return 0;
  setOut(OUT_ENTRIES, usedAt(front, index).entries);
  setOut(OUT_BLOCK_CODEC, usedAt(front, index).codec);
  return usedAt(front, index).pool;
}
