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
 *   header  bits  0..11 size without the header: as requested (used), a multiple of 4 (free)
 *           bit  12 FREE    13 PREVIOUS_FREE    14..23 offset of the block before, / 4
 *           bits 24..31 generation (used)
 *   entry   8 starts: six u16, USED | data offset / 4 << 5 | padded size / 128 of a used block, or 0.
 *             Once there was a seventh: u16 CROWDED, u16 0, u32 address of a crowd record, u32 0.
 *             FRAME_RAW: USED, or 0 once its page is freed under reclaim, then RAW_LANE
 *          20 link of the mapped objects
 *          24 links: LRU; both 0 under reclaim
 *   crowd   record of 132 bytes: frame, then a bit for each data offset / 4
 *   map     record of 12 bytes: frame, link, count
 *   count   key << 18 | maps << 2 | INLINE; key: data offset / 4, 4 bits made from it above
 *   link    0, the address of a map record, or the count of the last (or only) mapped object
 *   pool    256 heads of the 508 lists     2288 which have a block, u64 x 8
 *
 * Starts. A handle names a place in a frame, and what lies there may be payload
 * that looks like a header. So the entry knows where used blocks begin, exactly,
 * in the line that malloc and free need anyway. A frame that ever held more than
 * six objects has a crowd record until it goes back. The size beside a start says
 * where a free will ask for the block on the right, so that this line comes
 * together with that of the block itself, not after it. In the same way as starts one mapped
 * object is counted in the entry, and further ones of that frame in records.
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
import { OUT_CURSOR, OUT_SIZE } from '../abi';
import { EBUSY, EINVAL, ENOMEM, ENOSPC } from '../base/errno';
import { listCount, listPush, listRemove, toFront } from '../base/list';
import { frameAlloc, frameFree, needed } from '../mem/frame';
import { advanced, generationMask, settled } from '../mem/generation';
import {
  BOOT_BUMP, BOOT_FIRST, FRAME_DATA, FRAME_HANDLES, FRAME_RAW, FRAME_SLAB, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, boot,
  entryOf, entryOwner, frameAddress, frameBits, frameExists, frameOf, genA, setGenA,
} from '../mem/layout';
import {
  POOL_DESCRIPTORS, POOL_HANDLES, POOL_LRU, POOL_OPTIONS, POOL_TABLES, countIsolated, countMap, countObject, poolAt,
  uncountMap, uncountObject, victimTake,
} from '../mem/pool';
import { out, scratchBase, setOut } from '../mem/scratch';
import { slabAlloc, slabCheck, slabFree, slabInit } from '../mem/slab';
import {
  FRAME_EITHER, RULE_LIST, RULE_LRU, RULE_MAPS, RULE_OBJECT, RULE_POOL, RULE_POOL_COUNT, broken, isRecord,
  listLength,
} from '../mem/verify';
import { walkFree, walkObject } from '../mem/walk';

// ── layout ───────────────────────────────────────────────────────────────────

const HEADER: u32 = 4;
const MAX_SIZE: u32 = 4088;
const WHOLE: u32 = PAGE_SIZE - HEADER; // size of the block that is a frame
const SIZE_MASK: u32 = 0xFFF;
const FREE: u32 = 1 << 12;
const PREVIOUS_FREE: u32 = 1 << 13;
const PREVIOUS_MASK: u32 = 0xFFC000;
const PREVIOUS_SHIFT: u32 = 12; // of an offset, a multiple of 4
const GENERATION_SHIFT: u32 = 24;

const LISTS: u32 = 508;
const MIN_LISTED: u32 = 32;
const PREVIOUS: usize = 4; // links of a free block
const NEXT: usize = 8;
const LIST_MASKS: usize = POOL_TABLES + 4 * 508; // u64 x 8

const LANES: usize = 8;
const LANES_END: usize = 20;
const USED: u32 = 0x8000;
const START_SHIFT: u32 = 5;
const HINT_MASK: u32 = 31;
const HINT_UNIT: u32 = 7; // bytes, as a power of two
const CROWDED: u32 = 1;
const RAW_LANE: u32 = 0x10000; // what the second lane of a raw page holds
const CROWD_BYTES: u32 = 132;
const NONE: u32 = 0x400; // instead of a start; what an empty lane reads as

const MAPPED: usize = 20;
const INLINE: u32 = 2;
const ONE_MAP: u32 = 4;
const MAPS_MASK: u32 = 0x3FFFC;
const KEY_SHIFT: u32 = 18;
const MAP_BYTES: u32 = 12;
const MAP_NEXT: usize = 4;
const MAP_WORD: usize = 8;

const LRU_LINKS: usize = 24;
const NOWHERE: usize = 128; // in the scratch

// ── accessors ────────────────────────────────────────────────────────────────

// @ts-ignore: decorator
@inline function roundUp(size: u32): u32 {
  return (size + 3) & ~3;
}

// @ts-ignore: decorator
@inline function offsetIn(address: usize): u32 {
  return <u32>address & PAGE_MASK;
}

// @ts-ignore: decorator
@inline function frameAt(address: usize): u32 {
  return <u32>(address >> PAGE_SHIFT);
}

/** Entry of the frame that an address lies in. */
function entryAt(address: usize): usize {
  return entryOf(frameAt(address));
}

/** Whether an entry is that of a frame of objects of this pool. */
// @ts-ignore: decorator
@inline function isOwn(pool: usize, entry: usize): bool {
  return (entryOwner(entry) ^ <u32>pool) - FRAME_DATA <= FRAME_RAW - FRAME_DATA;
}

/** Entry of a frame of objects of this pool, 0 for any other number. */
function ownEntry(pool: usize, frame: u32): usize {
  if (!frameExists(frame)) return 0;
  const entry = entryOf(frame);
  return isOwn(pool, entry) ? entry : 0;
}

/** X2: where the next block begins; the frame's end behind the last. */
// @ts-ignore: decorator
@inline function blockEnd(block: usize, header: u32): usize {
  return block + HEADER + roundUp(header & SIZE_MASK);
}

/** Data offset / 4. */
// @ts-ignore: decorator
@inline function startOf(data: usize): u32 {
  return offsetIn(data) >> 2;
}

/** Bytes of a live object. */
// @ts-ignore: decorator
@inline function sizeAt(data: usize): u32 {
  return offsetIn(data) == 0 ? PAGE_SIZE : load<u32>(data - HEADER) & SIZE_MASK;
}

// @ts-ignore: decorator
@inline function isRaw(entry: usize): bool {
  return (entryOwner(entry) & PAGE_MASK) == FRAME_RAW;
}

/** A frame is on the LRU (where no link to the previous one is 0) or under reclaim. */
// @ts-ignore: decorator
@inline function isIsolated(entry: usize): bool {
  return load<u32>(entry, LRU_LINKS) == 0;
}

// ── starts ───────────────────────────────────────────────────────────────────

// @ts-ignore: decorator
@inline function isCrowded(entry: usize): bool {
  return <u32>load<u16>(entry, LANES) == CROWDED;
}

// @ts-ignore: decorator
@inline function crowdOf(entry: usize): usize {
  return <usize>load<u32>(entry, LANES + 4);
}

/** In each u16 of `lanes` that is zero but for the size and the lowest bit of the start: its highest bit. Above the lowest such one it may say so wrongly. */
// @ts-ignore: decorator
@inline function zeroLanes(lanes: u64): u64 {
  return ((lanes & 0xFFC0FFC0FFC0FFC0) - 0x0001000100010001) & ~lanes & 0x8000800080008000;
}

/** The lane of the start in a granule, with the size left aside (`value` is USED and that start, or 0 for an empty lane); the lanes' end for none. Four lanes at once, since which it is cannot be predicted. */
// @ts-ignore: decorator
@inline function laneOf(entry: usize, value: u32): usize {
  const values = <u64>value * 0x0001000100010001;
  const low = zeroLanes(load<u64>(entry, LANES) ^ values);
  const high = zeroLanes(load<u64>(entry, LANES + 4) ^ values);
  const at = low != 0 ? ctz<u64>(low) >> 3 : (ctz<u64>(high) >> 3) + 4;
  return entry + LANES + <usize>(at & ~1);
}

/** What is searched for the start in a granule. */
// @ts-ignore: decorator
@inline function granuleLane(granule: u32): u32 {
  return USED | (granule << (START_SHIFT + 1));
}

/** Start of the object whose data begin in an 8-byte granule of the frame, NONE for none. */
function startIn(entry: usize, granule: u32): u32 {
  return isCrowded(entry) ? startInCrowd(entry, granule) : startAt(entry, laneOf(entry, granuleLane(granule)));
}

/** startIn for a crowded frame. */
function startInCrowd(entry: usize, granule: u32): u32 {
  const start = granule << 1;
  const bits = (load<u32>(crowdOf(entry) + <usize>(start >> 5 << 2), 4) >> (start & 31)) & 3;
  return bits - 1 < 2 ? start | (bits >> 1) : NONE;
}

/** The start in a lane that laneOf has found, NONE at the lanes' end. */
// @ts-ignore: decorator
@inline function startAt(entry: usize, lane: usize): u32 {
  return lane < entry + LANES_END ? startOfLane(lane) : NONE;
}

/** The start in a lane, NONE in an empty one. */
// @ts-ignore: decorator
@inline function startOfLane(lane: usize): u32 {
  return (<u32>load<u16>(lane) >> START_SHIFT) ^ NONE;
}

/** The lowest start from `from` on, NONE for none. */
function nextStart(entry: usize, from: u32): u32 {
  let next = NONE;
  if (isCrowded(entry)) {
    while (from < 1024 && startIn(entry, from >> 1) != from) from += 1;
    return from < 1024 ? from : next;
  }
  const end = entry + LANES_END;
  for (entry += LANES; entry < end; entry += 2) {
    const start = startOfLane(entry);
    if (start >= from && start < next) next = start;
  }
  return next;
}

function flipStart(crowd: usize, start: u32): void {
  const at = crowd + <usize>(start >> 5 << 2);
  store<u32>(at, load<u32>(at, 4) ^ (1 << (start & 31)), 4);
}

/** The lane of a used block, given its size padded to 4. */
// @ts-ignore: decorator
@inline function laneFor(start: u32, rounded: u32): u32 {
  return USED | (start << START_SHIFT) | (rounded >> HINT_UNIT);
}

/** Fetches the two lines in one of which, by its lane, a block of a frame probably ends. Nothing depends on what is there. */
// @ts-ignore: decorator
@inline function fetchEnd(base: usize, lane: u32): void {
  const near = (lane >> START_SHIFT << 2) + ((lane & HINT_MASK) << HINT_UNIT);
  load<u32>(base + <usize>((near + 28) & PAGE_MASK));
  load<u32>(base + <usize>((near + 92) & PAGE_MASK));
}

/** False, and nothing is changed, when there is no frame for a record. */
function addStart(pool: usize, entry: usize, data: usize, rounded: u32): bool {
  if (!isCrowded(entry)) {
    let lane = laneOf(entry, 0);
    if (lane < entry + LANES_END) {
      store<u16>(lane, <u16>laneFor(startOf(data), rounded));
      return true;
    }
    const crowd = slabAlloc(pool + POOL_DESCRIPTORS);
    if (crowd == 0) return false;
    memory.fill(crowd, 0, CROWD_BYTES);
    store<u32>(crowd, frameAt(data));
    for (lane = entry + LANES; lane < entry + LANES_END; lane += 2) {
      flipStart(crowd, startOfLane(lane));
      store<u16>(lane, 0);
    }
    store<u32>(entry, CROWDED, LANES);
    store<u32>(entry, <u32>crowd, LANES + 4);
  }
  flipStart(crowdOf(entry), startOf(data));
  return true;
}

// ── handles ──────────────────────────────────────────────────────────────────

// @ts-ignore: decorator
@inline function mask(): u32 {
  return generationMask(min<u32>(8, 23 - frameBits()));
}

/** Generation of a live object, by the address of its data. That of a raw page, the only object of its frame, is the frame's. */
// @ts-ignore: decorator
@inline function generationOf(entry: usize, data: usize): u32 {
  return <u32>load<u8>(offsetIn(data) == 0 ? entry + 4 : data - 1) & mask();
}

// @ts-ignore: decorator
@inline function makeHandle(generation: u32, data: usize): u32 {
  return (((generation << 9) | (offsetIn(data) >> 3)) << frameBits()) | frameAt(data);
}

/** An object is freed: the frame's generation moves on, past the object's. */
// @ts-ignore: decorator
@inline function age(entry: usize, generation: u32): void {
  const most = mask();
  let next = genA(entry);
  do {
    next += 1;
  } while ((next & most) == most || (next & most) == generation);
  setGenA(entry, next);
}

function handleOf(data: usize): u32 {
  return makeHandle(generationOf(entryAt(data), data), data);
}

/** The entry of the frame in a handle, if that is one of objects of this pool; 0 if not. */
// @ts-ignore: decorator
@inline function handleEntry(pool: usize, frame: u32, granule: u32): usize {
  if (!frameExists(frame)) return 0;
  // The block is cold, so it is fetched while the entry is asked about it.
  load<u32>(frameAddress(frame) + <usize>(granule << 3));
  const entry = entryOf(frame);
  return isOwn(pool, entry) ? entry : 0;
}

/** Address of the data of a live handle of this pool, 0 for any other number. That of a raw page begins its frame, no other does. */
function resolve(pool: usize, handle: u32): usize {
  const bits = frameBits();
  const frame = handle & ((1 << bits) - 1);
  handle >>= bits;
  const entry = handleEntry(pool, frame, handle & 511);
  if (entry == 0) return 0;
  const start = startIn(entry, handle & 511);
  if (start == NONE) return 0;
  const data = frameAddress(frame) + <usize>(start << 2);
  return generationOf(entry, data) == handle >> 9 ? data : 0;
}

// ── lists ────────────────────────────────────────────────────────────────────

/** Where, POOL_TABLES aside, the head of a list lies. */
// @ts-ignore: decorator
@inline function listCell(pool: usize, list: u32): usize {
  return pool + (<usize>list << 2);
}

/** Where, LIST_MASKS aside, the mask with a list's bit lies. */
// @ts-ignore: decorator
@inline function listMask(pool: usize, list: u32): usize {
  return pool + (<usize>(list >> 6) << 3);
}

/**
 * X4, X5, X7: puts a free block at the head of its list, or takes it out. Unlike the lists of base/list.ts these end with 0
 * on both sides: a neighbour, whose line is cold, is written then and never read.
 */
function relist(pool: usize, block: usize, size: u32, insert: bool): void {
  if (size < MIN_LISTED) return;
  const list = (size - MIN_LISTED) >> 3;
  const cell = listCell(pool, list);
  let next = load<u32>(cell, POOL_TABLES);
  let first = <u32>block;
  if (insert) {
    store<u64>(block, <u64>next << 32, PREVIOUS);
    store<u32>(neighbour(next), first, PREVIOUS);
  } else {
    const previous = load<u32>(block, PREVIOUS);
    first = previous != 0 ? next : load<u32>(block, NEXT);
    next = load<u32>(block, NEXT);
    store<u32>(neighbour(previous), next, NEXT);
    store<u32>(neighbour(next), previous, PREVIOUS);
  }
  store<u32>(cell, first, POOL_TABLES);
  const mask = listMask(pool, list);
  const others = load<u64>(mask, LIST_MASKS) & ~(<u64>1 << list);
  store<u64>(mask, others | (<u64>(first != 0) << list), LIST_MASKS);
}

/** Where to write the link of a neighbour that may not be there: then in the scratch. To ask would take as long as its cold line. */
// @ts-ignore: decorator
@inline function neighbour(block: u32): usize {
  return block != 0 ? <usize>block : scratchBase() + NOWHERE;
}

/** X6: head of the first list from `list` on, blocks of victims passed over; 0 for none. */
function find(pool: usize, list: u32): usize {
  while (list < LISTS) {
    const mask = load<u64>(listMask(pool, list), LIST_MASKS) >> list;
    if (mask == 0) {
      list = (list | 63) + 1;
      continue;
    }
    list += <u32>ctz<u64>(mask);
    let block = <usize>load<u32>(listCell(pool, list), POOL_TABLES);
    if (poolAt(pool).isolated == 0) return block;
    while (block != 0 && isIsolated(entryAt(block))) block = load<u32>(block, NEXT);
    if (block != 0) return block;
    list += 1;
  }
  return 0;
}

// ── algorithm ────────────────────────────────────────────────────────────────

export function xvInit(pool: usize): u32 {
  slabInit(pool + POOL_DESCRIPTORS, CROWD_BYTES, FRAME_SLAB);
  slabInit(pool + POOL_HANDLES, MAP_BYTES, FRAME_HANDLES);
  return 0;
}

/** The largest object. */
// @ts-ignore: decorator
@inline export function xvMax(): u32 {
  return MAX_SIZE;
}

/** Address of a new frame, at the front of the LRU; 0 when there is none. */
function takeFrame(pool: usize, type: u32): usize {
  const frame = frameAlloc(<u32>pool | type);
  if (frame == 0) return 0;
  const entry = entryOf(frame);
  setGenA(entry, settled(genA(entry), mask()));
  poolAt(pool).frames += 1;
  listPush(pool + POOL_LRU, entry, LRU_LINKS);
  return frameAddress(frame);
}

/** X17: an empty frame that is off the LRU goes back. */
function releaseFrame(pool: usize, entry: usize): void {
  if (isCrowded(entry)) slabFree(pool + POOL_DESCRIPTORS, crowdOf(entry));
  poolAt(pool).frames -= 1;
  frameFree(frameOf(entry));
}

/** Called for each frame of a pool that is destroyed: the handles of live objects go stale. */
export function xvFrameEnds(entry: usize): void {
  setGenA(entry, advanced(genA(entry), mask()));
}

function noFrame(): u32 {
  needed(1);
  return ENOMEM;
}

/** X9..X15. EINVAL size 0, ENOSPC beyond 4088, ENOMEM without a frame. */
export function xvMalloc(pool: usize, size: u32): u32 {
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
export function xvMallocRaw(pool: usize): u32 {
  const data = takeFrame(pool, FRAME_RAW);
  if (data == 0) return noFrame();
  const entry = entryAt(data);
  store<u32>(entry, RAW_LANE | USED, LANES);
  countObject(pool, PAGE_SIZE);
  return handleOf(data);
}

/** EINVAL for a handle that is not live here, EBUSY while it is mapped. It is resolved here, since the lane is wanted again. */
export function xvFree(pool: usize, handle: u32): u32 {
  const bits = frameBits();
  const frame = handle & ((1 << bits) - 1);
  handle >>= bits;
  const granule = handle & 511;
  const entry = handleEntry(pool, frame, granule);
  if (entry == 0) return EINVAL;
  const lane = isCrowded(entry) ? <usize>0 : laneOf(entry, granuleLane(granule));
  const start = lane == 0 ? startInCrowd(entry, granule) : startAt(entry, lane);
  if (start == NONE) return EINVAL;
  const data = frameAddress(frame) + <usize>(start << 2);
  if (lane != 0) fetchEnd(frameAddress(frame), load<u16>(lane));
  const generation = generationOf(entry, data);
  if (generation != handle >> 9) return EINVAL;
  if (load<u32>(entry, MAPPED) != 0 && mapLink(entry, start) != 0) return EBUSY;
  uncountObject(pool, sizeAt(data));
  age(entry, generation);
  if (lane == 0) flipStart(crowdOf(entry), start);
  else store<u16>(lane, 0);
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

/** Address of an object's first byte; its size in OUT_SIZE. EINVAL. */
export function xvSpan(pool: usize, handle: u32): u32 {
  const data = resolve(pool, handle);
  if (data == 0) return EINVAL;
  setOut(OUT_SIZE, sizeAt(data));
  return <u32>data;
}

// ── mapping ──────────────────────────────────────────────────────────────────

/** A start with its nibbles' sum in the 4 bits above: no slip makes it that of another object. */
function mapKey(start: u32): u32 {
  return start | ((start ^ (start >> 4) ^ (start >> 8)) & 15) << 10;
}

/** Where the maps of a link's object are counted. */
// @ts-ignore: decorator
@inline function mapWord(link: usize): usize {
  const word = load<u32>(link);
  return (word & INLINE) != 0 ? link : <usize>word + MAP_WORD;
}

/** The link of an object that is mapped, 0 for one that is not. */
function mapLink(entry: usize, start: u32): usize {
  const key = mapKey(start);
  let link = entry + MAPPED;
  while (load<u32>(link) != 0) {
    const word = mapWord(link);
    if (load<u32>(word) >> KEY_SHIFT == key) return link;
    if (word == link) break;
    link = <usize>load<u32>(link) + MAP_NEXT;
  }
  return 0;
}

/** Like xvSpan, and counts the map. EBUSY at 65535 maps of one object; ENOMEM for the second mapped object of a frame. */
export function xvMap(pool: usize, handle: u32): u32 {
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
  return xvSpan(pool, handle);
}

/** EINVAL also for an object that is not mapped. */
export function xvUnmap(pool: usize, handle: u32): u32 {
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

// ── reclaim ──────────────────────────────────────────────────────────────────

/** Takes the least recently used frame without a mapped object off the LRU. Its frame number, 0 for none. */
export function xvIsolate(pool: usize): u32 {
  return frameOf(victimTake(pool, LRU_LINKS, MAPPED));
}

/** The entry of a victim of this pool, 0 for any other number. */
function victimEntry(pool: usize, victim: u32): usize {
  const entry = ownEntry(pool, victim);
  return entry != 0 && isIsolated(entry) ? entry : 0;
}

/** The first live handle of a victim at or behind a cursor (0: from the start), 0 for none; the next cursor in OUT_CURSOR. EINVAL. */
export function xvVictimNext(pool: usize, victim: u32, cursor: u32): u32 {
  const entry = victimEntry(pool, victim);
  if (entry == 0) return EINVAL;
  const start = nextStart(entry, cursor);
  setOut(OUT_CURSOR, start + 1);
  return start == NONE ? 0 : handleOf(frameAddress(victim) + <usize>(start << 2));
}

/** Ends the reclaim of a victim: frames given back (1), or 0 and it is at the front of the LRU again. EINVAL. */
export function xvRelease(pool: usize, victim: u32): u32 {
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

// @ts-ignore: decorator
@inline export function xvLists(): u32 {
  return LISTS;
}

/** Free blocks on one list: those of 32 + 8 · list bytes and 4 more. EINVAL beyond the last list. */
export function xvListLength(pool: usize, list: u32): u32 {
  return list < LISTS ? listCount(listCell(pool, list) + POOL_TABLES, PREVIOUS) : EINVAL;
}

/** Reports what lies in a frame of the pool to mem/walk.ts. */
export function xvWalk(frame: u32): void {
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

// ── check ────────────────────────────────────────────────────────────────────

// Words of the result area: a copy of the pool's header, whose counters are counted down, and how many free blocks were met that are listed.
const COPY: u32 = 64;
const COPY_BYTES: usize = 72;
const LISTED: u32 = COPY + <u32>(COPY_BYTES >> 2);
const FRAMES: u32 = COPY + 1;
const OBJECTS: u32 = COPY + 2;
const LIVE_BYTES: u32 = COPY + 3;
const MAPS: u32 = COPY + 7;
const VICTIMS: u32 = COPY + 8;
const MAP_RECORDS: u32 = COPY + <u32>((POOL_HANDLES + 8) >> 2);
const CROWDS: u32 = COPY + <u32>((POOL_DESCRIPTORS + 8) >> 2);

function met(counter: u32, number: u32): void {
  setOut(counter, out(counter) - number);
}

/** Verifies every frame, block, list, record and counter of the pool. 0 or EUCLEAN; trusts nothing it reads. */
export function xvCheck(pool: usize): u32 {
  const poolFrame = frameAt(pool);
  if ((load<u64>(pool, POOL_OPTIONS) | load<u64>(pool, POOL_OPTIONS + 8)) != 0 || poolAt(pool).tableFrames != 1) {
    return broken(RULE_POOL, poolFrame);
  }
  let result = slabCheck(pool + POOL_DESCRIPTORS, CROWD_BYTES, FRAME_SLAB);
  if (result == 0) result = slabCheck(pool + POOL_HANDLES, MAP_BYTES, FRAME_HANDLES);
  if (result != 0) return result;
  memory.copy(scratchBase() + (<usize>COPY << 2), pool, COPY_BYTES);
  setOut(LISTED, 0);
  const bump = boot(BOOT_BUMP);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = ownEntry(pool, frame);
    if (entry == 0) continue;
    met(FRAMES, 1);
    if (!frameIsSound(pool, entry, frame)) return broken(RULE_OBJECT, frame);
    if (!mapsAreSound(pool, entry, frame)) return broken(RULE_MAPS, frame);
  }
  // Nothing may be left. (Of the records too: each names its frame and was met there.)
  if ((out(FRAMES) | out(OBJECTS) | out(LIVE_BYTES) | out(MAPS) | out(VICTIMS) | out(MAP_RECORDS) | out(CROWDS)) != 0) {
    return broken(RULE_POOL_COUNT, poolFrame);
  }
  const onLru = poolAt(pool).frames - poolAt(pool).isolated;
  if (listLength(pool + POOL_LRU, LRU_LINKS, onLru, <u32>pool | FRAME_EITHER, 0) != onLru) return broken(RULE_LRU, poolFrame);
  return listsCheck(pool, poolFrame);
}

/** X1..X3: blocks that tile the frame, and exactly the starts of the used ones. */
function frameIsSound(pool: usize, entry: usize, frame: u32): bool {
  if (isCrowded(entry)) {
    if (load<u32>(entry, LANES) != CROWDED || load<u32>(entry, LANES + 8) != 0
      || !isRecord(crowdOf(entry), <u32>pool | FRAME_SLAB, CROWD_BYTES) || load<u32>(crowdOf(entry)) != frame) return false;
    met(CROWDS, 1);
  }
  let start = nextStart(entry, 0);
  if (isIsolated(entry)) {
    if (load<u32>(entry, LRU_LINKS + 4) != 0) return false;
    met(VICTIMS, 1);
  } else if (start == NONE) return false;
  const most = mask();
  if ((genA(entry) & most) == most) return false;
  if (isRaw(entry)) {
    if (start != NONE) metObject(PAGE_SIZE);
    return (load<u32>(entry, LANES) & ~USED) == RAW_LANE && load<u64>(entry, LANES + 4) == 0;
  }
  const base = frameAddress(frame);
  let used: u32 = 0;
  let before: u32 = 0; // what a header must say of the block before
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
      if (!isCrowded(entry) && <u32>load<u16>(laneOf(entry, granuleLane(start >> 1))) != laneFor(start, roundUp(size))) return false;
      start = nextStart(entry, start + 1);
      used += 1;
      metObject(size);
    }
    at += HEADER + roundUp(size);
  } while (at < PAGE_SIZE);
  if (at != PAGE_SIZE || start != NONE) return false;
  if (isCrowded(entry)) return crowdStarts(crowdOf(entry)) == used;
  for (let lane = entry + LANES; lane < entry + LANES_END; lane += 2) {
    used -= <u32>(load<u16>(lane) != 0);
  }
  return used == 0;
}

/** Starts in a crowd record: all bits, also two of one granule, of which startIn sees neither. */
function crowdStarts(crowd: usize): u32 {
  let starts: u32 = 0;
  for (let at: usize = 4; at < CROWD_BYTES; at += 4) starts += popcnt<u32>(load<u32>(crowd + at));
  return starts;
}

function metObject(size: u32): void {
  met(OBJECTS, 1);
  met(LIVE_BYTES, size);
}

/** The mapped objects of a frame whose starts are sound: each is live and there once. */
function mapsAreSound(pool: usize, entry: usize, frame: u32): bool {
  let link = entry + MAPPED;
  while (load<u32>(link) != 0) {
    const record = load<u32>(link);
    if ((record & INLINE) == 0) {
      if (!isRecord(record, <u32>pool | FRAME_HANDLES, MAP_BYTES) || load<u32>(record) != frame) return false;
      met(MAP_RECORDS, 1);
    }
    const word = mapWord(link);
    const map = load<u32>(word);
    const start = (map >> KEY_SHIFT) & 1023;
    if (map >> KEY_SHIFT != mapKey(start)) return false;
    // The search ends here at the latest; earlier when the object, or the record, was met before.
    if ((map & (ONE_MAP - 1)) != INLINE || (map & MAPS_MASK) == 0 || startIn(entry, start >> 1) != start
      || mapLink(entry, start) != link) return false;
    met(MAPS, (map & MAPS_MASK) / ONE_MAP);
    if (word == link) break;
    link = <usize>record + MAP_NEXT;
  }
  return true;
}

/** X4, X5: every free block of 32 bytes or more is on its list, and the masks say which lists have one. */
function listsCheck(pool: usize, poolFrame: u32): u32 {
  let left = out(LISTED);
  for (let list: u32 = 0; list < LISTS; list++) {
    const first = <usize>load<u32>(listCell(pool, list), POOL_TABLES);
    let last: u32 = 0;
    for (let block = first; block != 0; block = load<u32>(block, NEXT)) {
      if (left == 0 || !isFreeBlock(pool, block, list) || load<u32>(block, PREVIOUS) != last) return broken(RULE_LIST, frameAt(block));
      last = <u32>block;
      left -= 1;
    }
    if ((load<u64>(listMask(pool, list), LIST_MASKS) >> list & 1) != <u64>(first != 0)) return broken(RULE_LIST, poolFrame);
  }
  return left == 0 && load<u64>(pool, LIST_MASKS + 56) >> 60 == 0 ? 0 : broken(RULE_LIST, poolFrame);
}

/** Whether an address is that of a free block of this list in a frame whose blocks are sound. */
function isFreeBlock(pool: usize, block: usize, list: u32): bool {
  const entry = ownEntry(pool, frameAt(block));
  if (entry == 0 || isRaw(entry) || (block & 3) != 0) return false;
  const header = load<u32>(block);
  const size = header & SIZE_MASK;
  if ((header & FREE) == 0 || size == WHOLE || (size - MIN_LISTED) >> 3 != list) return false;
  if (offsetIn(block) == 0) return true;
  // It begins where a used block ends (X3), and which those are is known.
  const previous = (block & ~(<usize>PAGE_MASK)) + <usize>((header & PREVIOUS_MASK) >> PREVIOUS_SHIFT);
  const start = startOf(previous) + 1;
  return startIn(entry, start >> 1 & 511) == start && blockEnd(previous, load<u32>(previous)) == block;
}
