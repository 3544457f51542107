/**
 * xvmalloc: blocks of any size inside a frame.
 *
 * What it is. The allocator of the first ramzswap: boundary tags and segregated
 * free lists in the manner of TLSF, but never across a frame. A frame is tiled
 * with blocks; a request takes the low end of a free block that is surely large
 * enough, a freed block merges with its free neighbours, and a frame that is
 * one free block goes back at once. Dense on mixed sizes, and every step O(1).
 *
 * What it is not. Good with objects above half a frame: two never share one,
 * and what is left beside them waits for smaller requests. It cannot move
 * objects, so a hole stays until a neighbour is freed (both were the reasons
 * for its successors).
 *
 *   0    4              h    h+4                        k    k+4         4096
 *   ┌────┬───────────┬──┬────┬──────────┬──────┬···─────┬────┬───────────┬──┐
 *   │ hd │ payload   │  │ hd │ previous │ next │        │ hd │ payload   │  │
 *   └────┴───────────┴──┴────┴──────────┴──────┴···─────┴────┴───────────┴──┘
 *   used, padded to 4    free: on list (size - 32) / 8   used
 *
 * What headers, entries and records hold, and how the entry knows where used
 * blocks begin, is in xvmalloc-blocks.ts.
 *
 * Handle: generation | 8-byte granule that the data begin in (9 bits) | frame,
 * from the high bits down; two used blocks begin at least 8 bytes apart, so a
 * granule names one at most. The generation is the frame's (genA) at the malloc;
 * each free in the frame moves that on, and past the freed block's. So a stale
 * handle stays refused until its frame has seen some 2^g frees since the
 * handle was given out, g = min(8, 23 - bits of a frame number): 256 up to
 * 128 MiB of RAM, 32 at 1 GiB, 8 at 4 GiB; and then still unless an object begins
 * at that very place. Destroying a pool counts as a free in each of its frames.
 *
 * A frame of type FRAME_RAW is one page kept as it is (page/path.ts); its
 * generation is the frame's.
 *
 * Reclaim (ours; the original had none). The LRU has the frames in the order of
 * the last malloc into each. A victim is off the LRU and else as it was: its
 * free blocks keep their places in the lists, but malloc passes over them; frees
 * merge as ever; the frame goes back with its release, if nothing is left.
 *
 * Vital statistics: largest object 4088; 4 bytes an object and up to 3 of
 * padding, beside the frame table nothing for a frame of up to six objects, 132
 * bytes for others; malloc and free O(1) (while a frame is under reclaim: plus
 * the free blocks of victims met). ENOMEM also where a seventh object of a frame
 * or a second mapped one lacks a frame for its record.
 *
 * Source: the xvmalloc of the ramzswap v3 patches (2009), as it still was in
 * Linux 2.6.39, drivers/staging/zram/xvmalloc.c. Rules X1..X19 are those of
 * docs/rules/xvmalloc-xcfmalloc.md. Of the historic defects one is kept, since
 * the figures are made of it: a block of 4-mod-8 size is invisible to a request
 * of its own size (X8). Gone are: requests of 4089..4092 that grew the pool and
 * failed, one error code for everything, destroy that leaked, double frees seen
 * only until the block was merged. Different: the search scans one level of
 * 8 words, a cache line or two, where the original had two levels.
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
  age,
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
  listCell,
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

/** No frames but the header. */
export function initFrames(a: u32, b: u32, c: u32): u32 {
  return 0;
}

/** EINVAL for options, of which there are none, and for owner bytes: there is no record to keep them in. */
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

/** The lists of free blocks are 8 bytes apart. */
export function rounded(pool: usize, size: u32): u32 {
  return (size + 7) & ~7;
}

/** Address of a new frame, at the front of the LRU; 0 when there is none. */
function takeFrame(pool: usize, type: u32): usize {
  const frame = frameAlloc((<u32>pool) | type);
  if (frame == 0) return 0;
  const entry = entryOf(frame);
  setGenA(entry, settled(genA(entry), mask()));
  poolAt(pool).frames += 1;
  listPush(pool + POOL_LRU, entry, LRU_LINKS);
  return frameAddress(frame);
}

/** X17: an empty frame that is off the LRU goes back. */
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

/** X9..X15. EINVAL size 0, ENOSPC beyond 4088, ENOMEM without a frame. */
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
  tellNext(block + HEADER + room, last, flag); // X12, X13
  const generation = genA(entry) & mask();
  store<u32>(block, size | (header & PREVIOUS_MASK) | (generation << GENERATION_SHIFT));
  toFront(pool + POOL_LRU, entry, LRU_LINKS);
  countObject(pool, size);
  return makeHandle(generation, block + HEADER);
}

/** Tells the block at `next`, if that is not the frame's end, which one is before it and whether that is free. */
function tellNext(next: usize, block: usize, free: u32): void {
  if (offsetIn(next) == 0) return;
  store<u32>(next, (load<u32>(next) & ~(PREVIOUS_MASK | PREVIOUS_FREE)) | (offsetIn(block) << PREVIOUS_SHIFT) | free);
}

/** A whole frame for a page that is kept as it is. ENOMEM without a frame. */
export function mallocRaw(pool: usize): u32 {
  const data = takeFrame(pool, FRAME_RAW);
  if (data == 0) return noFrame();
  const entry = entryAt(data);
  store<u32>(entry, RAW_FIELD | USED, FIELDS);
  countObject(pool, PAGE_SIZE);
  return handleOf(data);
}

/** EINVAL for a handle that is not live here, EBUSY while it is mapped. It is resolved here, since the field is wanted again. */
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
  age(entry, generation);
  if (field == 0) flipStart(startBitmapOf(entry), start);
  else store<u16>(field, 0);
  if ((start == 0 || freeBlock(pool, data - HEADER)) && !isIsolated(entry)) {
    listRemove(pool + POOL_LRU, entry, LRU_LINKS);
    releaseFrame(pool, entry);
  }
  return 0;
}

/** X16..X18. Whether the frame is one free block now; that is on no list. */
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
  tellNext(next, block, PREVIOUS_FREE);
  return false;
}

/** There are none. */
export function ownerOf(pool: usize, handle: u32): usize {
  return 0;
}

/** Address of an object's first byte. EINVAL. */
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

/** Like span, and counts the map. EBUSY at 65535 maps of one object; ENOMEM for the second mapped object of a frame. */
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

/** Objects stay where they are. */
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

/** Takes the least recently used frame without a mapped object off the LRU. Its frame number, 0 for none. */
export function isolate(pool: usize): u32 {
  return frameOf(victimTake(pool, LRU_LINKS, MAPPED));
}

/** The entry of a victim of this pool, 0 for any other number. */
function victimEntry(pool: usize, victim: u32): usize {
  const entry = ownEntry(pool, victim);
  return entry != 0 && isIsolated(entry) ? entry : 0;
}

/** The first live handle of a victim at or behind a cursor (0: from the start), 0 for none; the next cursor in OUT_CURSOR. EINVAL. */
export function victimNext(pool: usize, victim: u32, cursor: u32): u32 {
  const entry = victimEntry(pool, victim);
  if (entry == 0) return EINVAL;
  const start = nextStart(entry, cursor);
  setOut(OUT_CURSOR, start + 1);
  return start == NONE ? 0 : handleOf(frameAddress(victim) + <usize>(start << 2));
}

/** Ends the reclaim of a victim: frames given back (1), or 0 and it is at the front of the LRU again. EINVAL. */
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

/** Nothing is put off. */
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

/** The lists. */
export function tables(pool: usize): u32 {
  return LISTS;
}

/** One word: free blocks on a list, those of 32 + 8 · list bytes and 4 more. EINVAL beyond the last. */
export function table(pool: usize, nth: u32, to: usize): u32 {
  if (nth >= LISTS) return EINVAL;
  store<u32>(to, listCount(listCell(pool, nth) + POOL_TABLES, PREVIOUS));
  return 0;
}

/** Reports what lies in a frame of the pool to mem/walk.ts. */
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
