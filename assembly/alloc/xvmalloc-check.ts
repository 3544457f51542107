/**
 * The check of an xvmalloc pool. xvmalloc-blocks.ts shows the layout that it verifies;
 * the allocator is in xvmalloc.ts.
 */
import {
  BOOT_BUMP,
  BOOT_FIRST,
  FRAME_HANDLES,
  FRAME_SLAB,
  PAGE_MASK,
  PAGE_SIZE,
  boot,
  frameAddress,
  genA,
} from '../mem/layout';
import { POOL_DESCRIPTORS, POOL_HANDLES, POOL_LRU, POOL_OPTIONS, POOL_TABLES, poolAt } from '../mem/pool';
import { out, scratchBase, setOut } from '../mem/scratch';
import { slabCheck } from '../mem/slab';
import {
  FRAME_EITHER,
  RULE_LIST,
  RULE_LRU,
  RULE_MAPS,
  RULE_OBJECT,
  RULE_POOL,
  RULE_POOL_COUNT,
  broken,
  isRecord,
  listLength,
} from '../mem/verify';
import {
  HAS_BITMAP,
  START_BITMAP_BYTES,
  FREE,
  GENERATION_SHIFT,
  HEADER,
  INLINE,
  KEY_SHIFT,
  FIELDS,
  FIELDS_END,
  LISTS,
  LIST_MASKS,
  LRU_LINKS,
  MAPPED,
  MAPS_MASK,
  MAP_BYTES,
  MAP_NEXT,
  MIN_LISTED,
  NEXT,
  NONE,
  ONE_MAP,
  PREVIOUS,
  PREVIOUS_FREE,
  PREVIOUS_MASK,
  PREVIOUS_SHIFT,
  RAW_FIELD,
  SIZE_MASK,
  USED,
  WHOLE,
  blockEnd,
  startBitmapOf,
  frameAt,
  granuleField,
  hasStartBitmap,
  isIsolated,
  isRaw,
  startFieldFor,
  startFieldOf,
  listAt,
  listMask,
  mapKey,
  mapLink,
  mapWord,
  mask,
  nextStart,
  offsetIn,
  ownEntry,
  roundUp,
  startIn,
  startOf,
} from './xvmalloc-blocks';

// Words of the result area: a copy of the pool header, whose counters are counted down, and the number of free blocks
// that must be on a list.
const COPY: u32 = 64;
const COPY_BYTES: usize = 72;
const LISTED: u32 = COPY + <u32>(COPY_BYTES >> 2);
const FRAMES: u32 = COPY + 1;
const OBJECTS: u32 = COPY + 2;
const LIVE_BYTES: u32 = COPY + 3;
const MAPS: u32 = COPY + 7;
const VICTIMS: u32 = COPY + 8;
const MAP_RECORDS: u32 = COPY + <u32>((POOL_HANDLES + 8) >> 2);
const START_BITMAPS: u32 = COPY + <u32>((POOL_DESCRIPTORS + 8) >> 2);

function countDown(counter: u32, number: u32): void {
  setOut(counter, out(counter) - number);
}

/**
 * Verifies every frame, block, list, record and counter of the pool. Returns 0 or EUCLEAN. It trusts nothing that it
 * reads.
 */
export function check(pool: usize): u32 {
  const poolFrame = frameAt(pool);
  if ((load<u64>(pool, POOL_OPTIONS) | load<u64>(pool, POOL_OPTIONS + 8)) != 0 || poolAt(pool).tableFrames != 1) {
    return broken(RULE_POOL, poolFrame);
  }
  let result = slabCheck(pool + POOL_DESCRIPTORS, START_BITMAP_BYTES, FRAME_SLAB);
  if (result == 0) result = slabCheck(pool + POOL_HANDLES, MAP_BYTES, FRAME_HANDLES);
  if (result != 0) return result;
  memory.copy(scratchBase() + ((<usize>COPY) << 2), pool, COPY_BYTES);
  setOut(LISTED, 0);
  const bump = boot(BOOT_BUMP);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = ownEntry(pool, frame);
    if (entry == 0) continue;
    countDown(FRAMES, 1);
    if (!frameIsSound(pool, entry, frame)) return broken(RULE_OBJECT, frame);
    if (!mapsAreSound(pool, entry, frame)) return broken(RULE_MAPS, frame);
  }
  // All counters must be 0 now. (Also those of the records: each record belongs to a frame and was counted there.)
  if (
    (out(FRAMES) | out(OBJECTS) | out(LIVE_BYTES) | out(MAPS) | out(VICTIMS) | out(MAP_RECORDS) | out(START_BITMAPS)) !=
    0
  ) {
    return broken(RULE_POOL_COUNT, poolFrame);
  }
  const onLru = poolAt(pool).frames - poolAt(pool).isolated;
  if (listLength(pool + POOL_LRU, LRU_LINKS, onLru, (<u32>pool) | FRAME_EITHER, 0) != onLru)
    return broken(RULE_LRU, poolFrame);
  return listsCheck(pool, poolFrame);
}

/** X1..X3: true when the blocks fill the frame without gaps, and the starts are exactly those of the used blocks. */
function frameIsSound(pool: usize, entry: usize, frame: u32): bool {
  if (hasStartBitmap(entry)) {
    if (
      load<u32>(entry, FIELDS) != HAS_BITMAP ||
      load<u32>(entry, FIELDS + 8) != 0 ||
      !isRecord(startBitmapOf(entry), (<u32>pool) | FRAME_SLAB, START_BITMAP_BYTES) ||
      load<u32>(startBitmapOf(entry)) != frame
    )
      return false;
    countDown(START_BITMAPS, 1);
  }
  let start = nextStart(entry, 0);
  if (isIsolated(entry)) {
    if (load<u32>(entry, LRU_LINKS + 4) != 0) return false;
    countDown(VICTIMS, 1);
  } else if (start == NONE) return false;
  const most = mask();
  if ((genA(entry) & most) == most) return false;
  if (isRaw(entry)) {
    if (start != NONE) countDownObject(PAGE_SIZE);
    return (load<u32>(entry, FIELDS) & ~USED) == RAW_FIELD && load<u64>(entry, FIELDS + 4) == 0;
  }
  const base = frameAddress(frame);
  let used: u32 = 0;
  let before: u32 = 0; // the bits about the previous block that the header must have
  let at: u32 = 0;
  do {
    const header = load<u32>(base + <usize>at);
    const size = header & SIZE_MASK;
    const generation = header >> GENERATION_SHIFT;
    if ((header & (PREVIOUS_MASK | PREVIOUS_FREE)) != before) return false;
    before = at << PREVIOUS_SHIFT;
    if ((header & FREE) != 0) {
      if (((size & 3) | generation | (header & PREVIOUS_FREE)) != 0) return false;
      if (size >= MIN_LISTED && size != WHOLE) setOut(LISTED, out(LISTED) + 1);
      before |= PREVIOUS_FREE;
    } else {
      if (size == 0 || generation >= most || start != (at + HEADER) >> 2) return false;
      if (
        !hasStartBitmap(entry) &&
        <u32>load<u16>(startFieldOf(entry, granuleField(start >> 1))) != startFieldFor(start, roundUp(size))
      )
        return false;
      start = nextStart(entry, start + 1);
      used += 1;
      countDownObject(size);
    }
    at += HEADER + roundUp(size);
  } while (at < PAGE_SIZE);
  if (at != PAGE_SIZE || start != NONE) return false;
  if (hasStartBitmap(entry)) return bitmapStarts(startBitmapOf(entry)) == used;
  for (let field = entry + FIELDS; field < entry + FIELDS_END; field += 2) {
    used -= <u32>(load<u16>(field) != 0);
  }
  return used == 0;
}

/** Number of starts in a start bitmap. It also counts two bits of one granule; startIn finds neither of these. */
function bitmapStarts(bitmap: usize): u32 {
  let starts: u32 = 0;
  for (let at: usize = 4; at < START_BITMAP_BYTES; at += 4) starts += popcnt<u32>(load<u32>(bitmap + at));
  return starts;
}

function countDownObject(size: u32): void {
  countDown(OBJECTS, 1);
  countDown(LIVE_BYTES, size);
}

/** True when each mapped object of a frame is live and counted once. The starts of the frame must be verified. */
function mapsAreSound(pool: usize, entry: usize, frame: u32): bool {
  let link = entry + MAPPED;
  while (load<u32>(link) != 0) {
    const record = load<u32>(link);
    if ((record & INLINE) == 0) {
      if (!isRecord(record, (<u32>pool) | FRAME_HANDLES, MAP_BYTES) || load<u32>(record) != frame) return false;
      countDown(MAP_RECORDS, 1);
    }
    const word = mapWord(link);
    const map = load<u32>(word);
    const start = (map >> KEY_SHIFT) & 1023;
    if (map >> KEY_SHIFT != mapKey(start)) return false;
    // mapLink finds this link, or an earlier one when the object, or the record, occurs twice.
    if (
      (map & (ONE_MAP - 1)) != INLINE ||
      (map & MAPS_MASK) == 0 ||
      startIn(entry, start >> 1) != start ||
      mapLink(entry, start) != link
    )
      return false;
    countDown(MAPS, (map & MAPS_MASK) / ONE_MAP);
    if (word == link) break;
    link = <usize>record + MAP_NEXT;
  }
  return true;
}

/**
 * X4, X5: verifies that every free block of 32 bytes or more is on its list, and that the bitmap of the lists is right.
 */
function listsCheck(pool: usize, poolFrame: u32): u32 {
  let left = out(LISTED);
  for (let list: u32 = 0; list < LISTS; list++) {
    const first = <usize>load<u32>(listAt(pool, list), POOL_TABLES);
    let last: u32 = 0;
    for (let block = first; block != 0; block = load<u32>(block, NEXT)) {
      if (left == 0 || !isFreeBlock(pool, block, list) || load<u32>(block, PREVIOUS) != last)
        return broken(RULE_LIST, frameAt(block));
      last = <u32>block;
      left -= 1;
    }
    if (((load<u64>(listMask(pool, list), LIST_MASKS) >> list) & 1) != <u64>(first != 0))
      return broken(RULE_LIST, poolFrame);
  }
  return left == 0 && load<u64>(pool, LIST_MASKS + 56) >> 60 == 0 ? 0 : broken(RULE_LIST, poolFrame);
}

/** True when an address is that of a free block of this list. All frames must be verified. */
function isFreeBlock(pool: usize, block: usize, list: u32): bool {
  const entry = ownEntry(pool, frameAt(block));
  if (entry == 0 || isRaw(entry) || (block & 3) != 0) return false;
  const header = load<u32>(block);
  const size = header & SIZE_MASK;
  if ((header & FREE) == 0 || size == WHOLE || (size - MIN_LISTED) >> 3 != list) return false;
  if (offsetIn(block) == 0) return true;
  // A free block begins where a used block ends (X3), and the starts tell which blocks are used.
  const previous = (block & ~(<usize>PAGE_MASK)) + <usize>((header & PREVIOUS_MASK) >> PREVIOUS_SHIFT);
  const start = startOf(previous) + 1;
  return startIn(entry, (start >> 1) & 511) == start && blockEnd(previous, load<u32>(previous)) == block;
}
