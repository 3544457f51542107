/**
 * xvmalloc: blocks of any size inside a frame.
 *
 * What it is. The allocator of the first ramzswap: boundary tags and segregated
 * free lists as in TLSF, but no block crosses the border of a frame. Blocks fill a
 * frame without gaps. A request takes the low end of a free block that is certainly
 * large enough, a freed block is merged with its free neighbours, and a frame is
 * freed as soon as it is one free block. It is dense on mixed sizes, and every step
 * is O(1).
 *
 * What it is not. It is not good with objects above half a frame: two of them never
 * share a frame, and the room beside them is for smaller requests only. It cannot
 * move objects, so a hole stays until a neighbour is freed. (These were the two
 * reasons for its successors.)
 *
 *   0    4              h    h+4                        k    k+4         4096
 *   ┌────┬───────────┬──┬────┬──────────┬──────┬···─────┬────┬───────────┬──┐
 *   │ hd │ payload   │  │ hd │ previous │ next │        │ hd │ payload   │  │
 *   └────┴───────────┴──┴────┴──────────┴──────┴···─────┴────┴───────────┴──┘
 *   used, padded to 4    free: on list (size - 32) / 8   used
 *
 * xvmalloc-blocks.ts shows the layout of headers, frame entries and records, and how
 * a frame entry stores where used blocks begin.
 *
 * Handle: generation | granule (8 bytes) where the data begin, 9 bits | frame, from
 * the high bits down. Two used blocks begin at least 8 bytes apart, so at most one
 * begins in a granule. The generation is genA of the frame at the time of the
 * malloc; each free in the frame increments genA, until it differs from the
 * generation of the freed block. So a stale handle is refused until its frame has
 * had about 2^g frees since the malloc, g = min(8, 23 - bits of a frame number): 256
 * up to 128 MiB of RAM, 32 at 1 GiB, 8 at 4 GiB. After that it is accepted only if an
 * object begins in the same granule. The destruction of a pool counts as a free in
 * each of its frames.
 *
 * A frame of type FRAME_RAW is one raw page (page/path.ts); its generation is genA.
 *
 * Reclaim (the original has none). The LRU has the frames in the order of the last
 * malloc in each. A victim is off the LRU. Otherwise it stays as it was: its free
 * blocks stay on their lists, but malloc skips them, and frees merge blocks as usual.
 * `release` frees the frame if no object is left.
 *
 * Vital statistics: largest object 4088 bytes; overhead for each object 4 bytes and up
 * to 3 of padding; for each frame nothing beside the frame table, or 132 bytes if it
 * had more than six objects; malloc and free O(1) (while a frame is isolated: plus the
 * free blocks of victims that malloc skips). ENOMEM also when there is no frame for the
 * start bitmap (seventh object of a frame) or the map record (second mapped object).
 *
 * Source: the xvmalloc of the ramzswap v3 patches (2009), still the same in Linux
 * 2.6.39, drivers/staging/zram/xvmalloc.c. Rules X1..X19 are those of
 * docs/rules/xvmalloc-xcfmalloc.md. One historic defect stays, since the figures
 * depend on it: a request does not find a block of exactly its own size when that size
 * is 4 modulo 8 (X8). These defects are absent: requests of 4089..4092 that grew the
 * pool and failed, one error code for everything, a destroy that leaked, double frees
 * that were detected only until the block was merged. A difference: the search scans
 * one level of 8 words, one or two cache lines; the original has two levels.
 */
import { OUT_CURSOR } from '../abi';
import { EBUSY, EINVAL, ENOMEM, ENOSPC } from '../base/errno';
import { listCount, listPush, listRemove, toFront } from '../base/list';
import { frameAlloc, frameFree, needed } from '../mem/frame';
import { advanced, settled } from '../mem/generation';
import {
  FRAME_DATA,
  FRAME_HANDLES,
  FRAME_RAW,
  FRAME_SLAB,
  PAGE_MASK,
  PAGE_SIZE,
  entryOf,
  frameAddress,
  frameBits,
  frameOf,
  genA,
  setGenA,
} from '../mem/layout';
import {
  POOL_DESCRIPTORS,
  POOL_HANDLES,
  POOL_LRU,
  POOL_TABLES,
  countIsolated,
  countMap,
  countObject,
  poolAt,
  uncountMap,
  uncountObject,
  victimTake,
} from '../mem/pool';
import { setOut } from '../mem/scratch';
import { slabAlloc, slabFrames, slabFree, slabInit } from '../mem/slab';
import { locateWhole, spanWhole } from '../mem/span';
import { walkFree, walkObject } from '../mem/walk';
import {
  START_BITMAP_BYTES,
  FREE,
  GENERATION_SHIFT,
  HEADER,
  INLINE,
  KEY_SHIFT,
  FIELDS,
  LISTS,
  LRU_LINKS,
  MAPPED,
  MAPS_MASK,
  MAP_BYTES,
  MAP_NEXT,
  MAP_WORD,
  MAX_SIZE,
  MIN_LISTED,
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
  addStart,
  advanceGeneration,
  blockEnd,
  startBitmapOf,
  entryAt,
  fetchEnd,
  find,
  flipStart,
  frameAt,
  generationOf,
  granuleField,
  handleEntry,
  handleOf,
  hasStartBitmap,
  isIsolated,
  isRaw,
  startFieldOf,
  listAt,
  makeHandle,
  mapKey,
  mapLink,
  mapWord,
  mask,
  nextStart,
  offsetIn,
  ownEntry,
  relist,
  resolve,
  roundUp,
  sizeAt,
  startAt,
  startInBitmap,
  startOf,
} from './xvmalloc-blocks';

export { check } from './xvmalloc-check';

// ── algorithm ────────────────────────────────────────────────────────────────

/** None: a pool takes only its header frame. */
export function initFrames(a: u32, b: u32, c: u32): u32 {
  return 0;
}

/** EINVAL for options, since there are none, and for owner bytes: there are no records for them. */
export function init(pool: usize, a: u32, b: u32, c: u32, ownerBytes: u32): u32 {
  if ((a | b | c | ownerBytes) != 0) return EINVAL;
  slabInit(pool + POOL_DESCRIPTORS, START_BITMAP_BYTES, FRAME_SLAB);
  slabInit(pool + POOL_HANDLES, MAP_BYTES, FRAME_HANDLES);
  return 0;
}

export function largest(pool: usize): u32 {
  return MAX_SIZE;
}

export function hugeSize(pool: usize): u32 {
  return MAX_SIZE;
}

/** Free lists are for sizes in steps of 8 bytes. */
export function rounded(pool: usize, size: u32): u32 {
  return (size + 7) & ~7;
}

/** Takes a frame and puts it at the front of the LRU. Returns its address, 0 without a frame. */
function takeFrame(pool: usize, type: u32): usize {
  const frame = frameAlloc((<u32>pool) | type);
  if (frame == 0) return 0;
  const entry = entryOf(frame);
  setGenA(entry, settled(genA(entry), mask()));
  poolAt(pool).frames += 1;
  listPush(pool + POOL_LRU, entry, LRU_LINKS);
  return frameAddress(frame);
}

/** X17: frees an empty frame that is off the LRU. */
function releaseFrame(pool: usize, entry: usize): void {
  if (hasStartBitmap(entry)) slabFree(pool + POOL_DESCRIPTORS, startBitmapOf(entry));
  poolAt(pool).frames -= 1;
  frameFree(frameOf(entry));
}

/** Called for each frame of a pool that is destroyed: the handles of live objects go stale. */
export function frameEnds(entry: usize): void {
  setGenA(entry, advanced(genA(entry), mask()));
}

function noFrame(): u32 {
  needed(1);
  return ENOMEM;
}

/** X9..X15. EINVAL for size 0, ENOSPC above 4088, ENOMEM without a frame. */
export function malloc(pool: usize, size: u32): u32 {
  if (size == 0) return EINVAL;
  if (size > MAX_SIZE) return ENOSPC;
  const rounded = roundUp(size);
  let block = find(pool, (max<u32>(rounded, MIN_LISTED) - (MIN_LISTED - 7)) >> 3);
  if (block == 0) {
    block = takeFrame(pool, FRAME_DATA);
    if (block == 0) return noFrame();
    store<u32>(block, WHOLE | FREE);
    relist(pool, block, WHOLE, true);
  }
  const entry = entryAt(block);
  if (!addStart(pool, entry, block + HEADER, rounded)) return noFrame();
  const header = load<u32>(block);
  const room = header & SIZE_MASK;
  relist(pool, block, room, false);
  let last = block;
  let flag: u32 = 0;
  if (room != rounded) {
    // X12
    last = block + HEADER + rounded;
    const rest = room - rounded - HEADER;
    store<u32>(last, rest | FREE | (offsetIn(block) << PREVIOUS_SHIFT));
    relist(pool, last, rest, true);
    flag = PREVIOUS_FREE;
  }
  setPrevious(block + HEADER + room, last, flag); // X12, X13
  const generation = genA(entry) & mask();
  store<u32>(block, size | (header & PREVIOUS_MASK) | (generation << GENERATION_SHIFT));
  toFront(pool + POOL_LRU, entry, LRU_LINKS);
  countObject(pool, size);
  return makeHandle(generation, block + HEADER);
}

/**
 * Stores in the header of the block at `next` where its previous block is, and if that is free. Nothing at the end of
 * the frame.
 */
function setPrevious(next: usize, block: usize, free: u32): void {
  if (offsetIn(next) == 0) return;
  store<u32>(next, (load<u32>(next) & ~(PREVIOUS_MASK | PREVIOUS_FREE)) | (offsetIn(block) << PREVIOUS_SHIFT) | free);
}

/** A frame of type FRAME_RAW for a raw page. ENOMEM without a frame. */
export function mallocRaw(pool: usize): u32 {
  const data = takeFrame(pool, FRAME_RAW);
  if (data == 0) return noFrame();
  const entry = entryAt(data);
  store<u32>(entry, RAW_FIELD | USED, FIELDS);
  countObject(pool, PAGE_SIZE);
  return handleOf(data);
}

/**
 * EINVAL for a number that is no live handle of the pool, EBUSY while the object is mapped. It does not call `resolve`,
 * since it needs the field again.
 */
export function free(pool: usize, handle: u32): u32 {
  const bits = frameBits();
  const frame = handle & ((1 << bits) - 1);
  handle >>= bits;
  const granule = handle & 511;
  const entry = handleEntry(pool, frame, granule);
  if (entry == 0) return EINVAL;
  const field = hasStartBitmap(entry) ? <usize>0 : startFieldOf(entry, granuleField(granule));
  const start = field == 0 ? startInBitmap(entry, granule) : startAt(entry, field);
  if (start == NONE) return EINVAL;
  const data = frameAddress(frame) + <usize>(start << 2);
  if (field != 0) fetchEnd(frameAddress(frame), load<u16>(field));
  const generation = generationOf(entry, data);
  if (generation != handle >> 9) return EINVAL;
  if (load<u32>(entry, MAPPED) != 0 && mapLink(entry, start) != 0) return EBUSY;
  uncountObject(pool, sizeAt(data));
  advanceGeneration(entry, generation);
  if (field == 0) flipStart(startBitmapOf(entry), start);
  else store<u16>(field, 0);
  if ((start == 0 || freeBlock(pool, data - HEADER)) && !isIsolated(entry)) {
    listRemove(pool + POOL_LRU, entry, LRU_LINKS);
    releaseFrame(pool, entry);
  }
  return 0;
}

/** X16..X18: frees a block and merges it. True when the frame is one free block now; that block is on no list. */
function freeBlock(pool: usize, block: usize): bool {
  let header = load<u32>(block);
  let next = blockEnd(block, header);
  const right = offsetIn(next) != 0 ? load<u32>(next) : 0;
  if ((header & PREVIOUS_FREE) != 0) {
    block = (block & ~(<usize>PAGE_MASK)) + <usize>((header & PREVIOUS_MASK) >> PREVIOUS_SHIFT);
    header = load<u32>(block);
    relist(pool, block, header & SIZE_MASK, false);
  }
  if ((right & FREE) != 0) {
    relist(pool, next, right & SIZE_MASK, false);
    next = blockEnd(next, right);
  }
  const size = <u32>(next - block) - HEADER;
  store<u32>(block, size | FREE | (header & PREVIOUS_MASK));
  if (size == WHOLE) return true;
  relist(pool, block, size, true);
  setPrevious(next, block, PREVIOUS_FREE);
  return false;
}

/** There are no owner bytes. */
export function ownerOf(pool: usize, handle: u32): usize {
  return 0;
}

/** Address of the first byte of an object. EINVAL. */
export function span(pool: usize, handle: u32, writing: bool): u32 {
  const data = resolve(pool, handle);
  if (data == 0) return EINVAL;
  spanWhole(sizeAt(data));
  return <u32>data;
}

export function locate(pool: usize, handle: u32): u32 {
  return locateWhole(span(pool, handle, false));
}

// ── mapping ──────────────────────────────────────────────────────────────────

/** Like span, and counts the map. EBUSY at 65535 maps of one object; ENOMEM without a frame for a map record. */
export function map(pool: usize, handle: u32, writable: bool, discard: bool): u32 {
  const data = resolve(pool, handle);
  if (data == 0) return EINVAL;
  const entry = entryAt(data);
  const link = mapLink(entry, startOf(data));
  if (link == 0) {
    let word = (mapKey(startOf(data)) << KEY_SHIFT) | ONE_MAP | INLINE;
    const first = load<u32>(entry, MAPPED);
    if (first != 0) {
      const record = slabAlloc(pool + POOL_HANDLES);
      if (record == 0) return noFrame();
      store<u32>(record, frameAt(data));
      store<u32>(record, first, MAP_NEXT);
      store<u32>(record, word, MAP_WORD);
      word = <u32>record;
    }
    store<u32>(entry, word, MAPPED);
  } else {
    const word = mapWord(link);
    const maps = load<u32>(word) + ONE_MAP;
    if ((maps & MAPS_MASK) == 0) return EBUSY;
    store<u32>(word, maps);
  }
  countMap(pool);
  return span(pool, handle, false);
}

/** EINVAL also for an object that is not mapped. */
export function unmap(pool: usize, handle: u32): u32 {
  const data = resolve(pool, handle);
  if (data == 0) return EINVAL;
  const link = mapLink(entryAt(data), startOf(data));
  if (link == 0) return EINVAL;
  const word = mapWord(link);
  const maps = load<u32>(word) - ONE_MAP;
  if ((maps & MAPS_MASK) != 0) {
    store<u32>(word, maps);
  } else if (word == link) {
    store<u32>(link, 0);
  } else {
    const record = <usize>load<u32>(link);
    store<u32>(link, load<u32>(record, MAP_NEXT));
    slabFree(pool + POOL_HANDLES, record);
  }
  uncountMap(pool);
  return 0;
}

// ── compaction ───────────────────────────────────────────────────────────────

/** Objects cannot move. */
export function compact(pool: usize, victims: u32): u32 {
  return 0;
}

export function compactFrom(pool: usize, cursor: u32, most: u32): u32 {
  setOut(OUT_CURSOR, 0);
  return 0;
}

export function freeable(pool: usize): u32 {
  return 0;
}

// ── reclaim ──────────────────────────────────────────────────────────────────

/** Takes the least recently used frame without a mapped object off the LRU. Returns its number, 0 for none. */
export function isolate(pool: usize): u32 {
  return frameOf(victimTake(pool, LRU_LINKS, MAPPED));
}

/** The frame entry of a victim of this pool, 0 for any other number. */
function victimEntry(pool: usize, victim: u32): usize {
  const entry = ownEntry(pool, victim);
  return entry != 0 && isIsolated(entry) ? entry : 0;
}

/**
 * The first live handle of a victim from a cursor on (0: from the start), 0 for none; the next cursor in OUT_CURSOR.
 * EINVAL.
 */
export function victimNext(pool: usize, victim: u32, cursor: u32): u32 {
  const entry = victimEntry(pool, victim);
  if (entry == 0) return EINVAL;
  const start = nextStart(entry, cursor);
  setOut(OUT_CURSOR, start + 1);
  return start == NONE ? 0 : handleOf(frameAddress(victim) + <usize>(start << 2));
}

/** Ends the reclaim of a victim. Returns 1 when its frame is freed, 0 when it goes to the front of the LRU. EINVAL. */
export function release(pool: usize, victim: u32): u32 {
  const entry = victimEntry(pool, victim);
  if (entry == 0) return EINVAL;
  countIsolated(pool, -1);
  if (nextStart(entry, 0) == NONE) {
    releaseFrame(pool, entry);
    return 1;
  }
  listPush(pool + POOL_LRU, entry, LRU_LINKS);
  return 0;
}

// ── statistics and walk ──────────────────────────────────────────────────────

/** There is no deferred work. */
export function runDeferred(pool: usize, force: u32): u32 {
  return 0;
}

export function descriptorFrames(pool: usize): u32 {
  return slabFrames(pool + POOL_DESCRIPTORS);
}

export function ownsFrames(): u32 {
  return (1 << FRAME_SLAB) | (1 << FRAME_HANDLES) | (1 << FRAME_DATA) | (1 << FRAME_RAW);
}

/** No object lies in two frames. */
export function spanning(pool: usize): u32 {
  return 0;
}

/** A row for each list. */
export function tables(pool: usize): u32 {
  return LISTS;
}

/**
 * A row has one word: the number of free blocks on a list, of 32 + 8 · list bytes or 4 more. EINVAL after the last row.
 */
export function table(pool: usize, nth: u32, to: usize): u32 {
  if (nth >= LISTS) return EINVAL;
  store<u32>(to, listCount(listAt(pool, nth) + POOL_TABLES, PREVIOUS));
  return 0;
}

/** Reports the contents of a frame of the pool to mem/walk.ts. */
export function walk(pool: usize, frame: u32): void {
  const entry = entryOf(frame);
  let block = frameAddress(frame);
  if (isRaw(entry)) {
    if (nextStart(entry, 0) == 0) walkObject(handleOf(block), 0, PAGE_SIZE);
    return;
  }
  do {
    const header = load<u32>(block);
    const size = header & SIZE_MASK;
    const at = offsetIn(block) + HEADER;
    if ((header & FREE) == 0) walkObject(handleOf(block + HEADER), at, size);
    else if (size != 0) walkFree(at, size);
    block = blockEnd(block, header);
  } while (offsetIn(block) != 0);
}
