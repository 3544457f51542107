/**
 * Blocks of xcfmalloc: layout, lists, splitting and merging. The allocator is in
 * xcfmalloc.ts, the compaction in xcfmalloc-compact.ts, the check in
 * xcfmalloc-check.ts.
 *
 *   block descriptor (for free and used blocks): 32 bytes in a slab
 *    0 frame << 8 | unit << 2 | state         (bit 31 belongs to the slab)
 *    4 u16 bytes: all bytes of a free block, data + 12 of a used one (S2)
 *    6 u16 maps, in the first block of an object
 *    8 free: links of the list      used: 8 the other block of the object, 0 for none
 *                                        12 buffer frame while the object is mapped through one (mem/map-buffers.ts)
 *   16 left neighbour in the frame           20 right neighbour, 0 at the ends
 *   24 number of frees of objects whose first block this was, since the slab frame was taken   28 the same number again
 *
 *   frame entry of a data frame
 *    8 first block
 *   12 blocks of mapped objects | isolated << 8 | next frame in the order of a compaction << 12
 *   16 links: LRU                            24 u64: free units, as bits
 *
 *   pool  lists of free blocks by units (mem/bitmap-lists.ts); the last list is the reserve
 *         520 frames of the reserve    524 used units, 64 for a raw page
 *         528 frames freed since a victim was isolated
 *         532 bits of a frame number    536 generation of all ones
 *
 * The descriptor of a block links to its neighbours. So the header that S1 gives
 * every block stays unused. It exists because the geometry (and so every figure)
 * depends on it. Splitting and merging touch descriptors only, never a cold frame.
 * And the frame entry tells which units are free, so a free touches the descriptor
 * of a neighbour only when there is one to merge.
 */
import { RESERVE_LIST, XCF_UNIT } from '../abi';
import { listPush, listRemove, toFront } from '../base/list';
import { listBit, listAt, listHead, listMask, putOnList, setListMask, takeOffList } from '../mem/bitmap-lists';
import { frameAlloc, frameFree } from '../mem/frame';
import {
  FRAME_DATA,
  FRAME_RAW,
  PAGE_SHIFT,
  SLAB_USED,
  entryOf,
  entryOwner,
  frameAddress,
  frameBits,
  genA,
  genB,
  setGenA,
  setGenB,
} from '../mem/layout';
import { POOL_DESCRIPTORS, POOL_LRU, POOL_OPTIONS, poolAt } from '../mem/pool';
import { slabAlloc, slabFree, slabFrames, slabUsed } from '../mem/slab';

// ── constants ────────────────────────────────────────────────────────────────

export { RESERVE_LIST } from '../abi';

export const BLOCK_BYTES: u32 = 32; // bytes of a descriptor
export const BLOCK_SHIFT: u32 = 5;
const BLOCKS_A_FRAME: u32 = 128; // descriptors in a slab frame
export const INDEX_BITS: u32 = 7;
export const HEADER: u32 = 12; // S1
export const UNIT: u32 = XCF_UNIT;
export const UNIT_SHIFT: u32 = 6;
export const UNITS: u32 = 64; // units of a frame; also the number of lists
export const RESERVE_MAX: u32 = 1024; // frames

// States of a block. Bit 0 is set in the blocks that handles refer to: FIRST and RAW.
export const FREE: u32 = 0;
export const FIRST: u32 = 1;
export const SECOND: u32 = 2;
export const RAW: u32 = 3; // a raw page: the whole frame, no header
const STATE: u32 = 3;
const PLACE_SHIFT: u32 = 2;

export const LIST_LINKS: usize = 8;
export const LRU_LINKS: usize = 16;
// Offsets in the pool header.
const RESERVE: usize = 520;
const USED_UNITS: usize = 524;
const GIVEN: usize = 528;
const FRAME_BITS: usize = 532;
const GENERATION_MASK: usize = 536;


@unmanaged
export class Block {
  word: u32;
  bytes: u16;
  maps: u16;
  other: u32;
  buffer: u32;
  left: u32;
  right: u32;
  frees: u32;
  freesAgain: u32;
}


@unmanaged
export class DataEntry {
  owner: u32;
  generations: u32;
  first: u32;
  state: u32;
  lruPrevious: u32;
  lruNext: u32;
  free: u64;
}

// In the state word of the frame entry of a data frame.
export const ISOLATED: u32 = 0x100;
const MAPPED: u32 = 0xff;
export const ORDER_SHIFT: u32 = 12;
/** Free units of a frame without a used block. */
export const ALL_FREE: u64 = 0xffffffffffffffff;

// ── accessors ────────────────────────────────────────────────────────────────

/* @inline */ export function blockAt(block: usize): Block {
  return changetype<Block>(block);
}

/* @inline */ export function dataAt(entry: usize): DataEntry {
  return changetype<DataEntry>(entry);
}

/** Number of frames in the reserve. */
/* @inline */ export function reserveFrames(pool: usize): u32 {
  return load<u32>(pool, RESERVE);
}

/* @inline */ function setReserveFrames(pool: usize, frames: u32): void {
  store<u32>(pool, frames, RESERVE);
}

/* @inline */ export function usedUnits(pool: usize): u32 {
  return load<u32>(pool, USED_UNITS);
}

/* @inline */ export function addUsedUnits(pool: usize, units: u32): void {
  store<u32>(pool, load<u32>(pool, USED_UNITS) + units, USED_UNITS);
}

/* @inline */ export function isIsolated(entry: usize): bool {
  return (dataAt(entry).state & ISOLATED) != 0;
}

/** Number of blocks of mapped objects in a frame. */
/* @inline */ export function mappedBlocks(entry: usize): u32 {
  return dataAt(entry).state & MAPPED;
}

/** Number of used units in a frame. */
/* @inline */ export function unitsUsed(entry: usize): u32 {
  return UNITS - <u32>popcnt<u64>(dataAt(entry).free);
}

/** Number of free blocks in a frame; no two of them are neighbours. A search for them can stop after so many. */
/* @inline */ export function freeBlocks(entry: usize): u32 {
  const free = dataAt(entry).free;
  return <u32>popcnt<u64>(free & ~(free << 1));
}

/** Frames freed since a victim was isolated that no release has counted yet. */
/* @inline */ export function givenFrames(pool: usize): u32 {
  return load<u32>(pool, GIVEN);
}

/* @inline */ export function setGivenFrames(pool: usize, frames: u32): void {
  store<u32>(pool, frames, GIVEN);
}

/** The most blocks of an object: option word 0. */
/* @inline */ export function blocksOption(pool: usize): u32 {
  return load<u32>(pool, POOL_OPTIONS);
}

/** Number of frames that the reserve should have: option word 1. */
/* @inline */ export function reserveOption(pool: usize): u32 {
  return load<u32>(pool, POOL_OPTIONS + 4);
}

/* @inline */ export function stateOf(block: usize): u32 {
  return blockAt(block).word & STATE;
}

/** S2: units that `bytes` bytes take. */
/* @inline */ export function unitsIn(bytes: u32): u32 {
  return (bytes + (UNIT - 1)) >> UNIT_SHIFT;
}

/* @inline */ export function unitsOf(block: usize): u32 {
  return unitsIn(blockAt(block).bytes);
}

/** The frame in the first word of a descriptor. */
/* @inline */ export function frameIn(word: u32): u32 {
  return word >> 8;
}

/** The first word of the descriptor of a free block at this unit. */
/* @inline */ export function wordAt(frame: u32, unit: u32): u32 {
  return (frame << 8) | (unit << PLACE_SHIFT);
}

/** Address of the header of a block, given the first word of its descriptor. */
export function addressIn(word: u32): usize {
  return frameAddress(frameIn(word)) + <usize>((word & 0xfc) << (UNIT_SHIFT - PLACE_SHIFT));
}

/* @inline */ export function headerOf(block: usize): u32 {
  return stateOf(block) == RAW ? 0 : HEADER;
}

/** Bytes of the object that lie in this block. */
/* @inline */ export function bytesIn(block: usize): u32 {
  return <u32>blockAt(block).bytes - headerOf(block);
}

/** The first block of the object of a used block. */
/* @inline */ export function firstOf(block: usize): usize {
  return stateOf(block) == SECOND ? <usize>blockAt(block).other : block;
}

/** True when a frame is one of the pool with objects: FRAME_DATA or FRAME_RAW. */
/* @inline */ export function hasObjects(pool: usize, entry: usize): bool {
  return ((entryOwner(entry) ^ (<u32>pool)) | 1) == (FRAME_DATA | FRAME_RAW);
}

/** Frame entry of the frame of a block. */
/* @inline */ export function entryFor(block: usize): usize {
  return entryOf(frameIn(blockAt(block).word));
}

// ── generations ──────────────────────────────────────────────────────────────
// The generation of a handle is genA of the slab frame (constant while the pool
// has the frame) plus the number of frees of the record. genB - genA is the highest
// number of frees of any record of the frame, so that the next owner of the frame
// can begin above all these generations. As in every other frame, genA and genB are
// only incremented.

/** Bits of a frame number, as the pool header stores them. */
/* @inline */ export function bitsOfFrame(pool: usize): u32 {
  return load<u32>(pool, FRAME_BITS);
}

/** The generation of all ones. No handle has it, which keeps handles below the error numbers. */
/* @inline */ export function generationMask(pool: usize): u32 {
  return load<u32>(pool, GENERATION_MASK);
}

/** Generation of the object whose first block has this descriptor, or the next one that would have it. */
/* @inline */ export function generationOf(pool: usize, entry: usize, block: usize): u32 {
  return (genA(entry) + blockAt(block).frees) & generationMask(pool);
}

/** Those two words of the header, as the size of the RAM demands them. */
function handleLayout(): u64 {
  const bits = frameBits();
  const generation = min<u32>(16, 32 - INDEX_BITS - bits);
  return (<u64>bits) | ((<u64>((1 << generation) - 1)) << 32);
}

export function setHandleLayout(pool: usize): void {
  store<u64>(pool, handleLayout(), FRAME_BITS);
}

/* @inline */ export function hasHandleLayout(pool: usize): bool {
  return load<u64>(pool, FRAME_BITS) == handleLayout();
}

/** The highest number of frees of a record of a slab frame. */
/* @inline */ function mostFrees(entry: usize): u32 {
  return (genB(entry) - genA(entry)) & 0xffff;
}

/** True when a record has more frees than any record of its slab frame had before. False once that number is 65535. */
/* @inline */ export function isNewMaximum(entry: usize, frees: u32): bool {
  const most = mostFrees(entry);
  return frees > most && most != 0xffff;
}

/** Called for a new slab frame: sets both counters to the later of the two. */
function slabBegins(entry: usize): void {
  if (mostFrees(entry) < 0x8000) setGenA(entry, genB(entry));
  else setGenB(entry, genA(entry));
}

/** Called before a slab frame is freed: moves both counters above all generations of its records. */
export function slabEnds(entry: usize): void {
  setGenA(entry, genB(entry) + 1);
  setGenB(entry, genA(entry));
}

/** Increments the generation of a record. */
/* @inline */ export function countFree(entry: usize, block: usize): void {
  const frees = blockAt(block).frees + 1;
  blockAt(block).frees = frees;
  blockAt(block).freesAgain = frees;
  if (isNewMaximum(entry, frees)) setGenB(entry, genB(entry) + 1);
}

// ── lists (S5, S6) ───────────────────────────────────────────────────────────

/** S6: puts a free block at the head of its list. */
/* @inline */ function push(pool: usize, block: usize): void {
  const list = unitsOf(block) - 1;
  putOnList(pool, list, block, LIST_LINKS);
  if (list == RESERVE_LIST) setReserveFrames(pool, reserveFrames(pool) + 1);
}

export function enlist(pool: usize, block: usize): void {
  push(pool, block);
}

export function delist(pool: usize, block: usize): void {
  const list = unitsOf(block) - 1;
  takeOffList(pool, list, block, LIST_LINKS);
  if (list == RESERVE_LIST) setReserveFrames(pool, reserveFrames(pool) - 1);
}

/** delist for the first block of a list. The links of the block keep their values. */
/* @inline */ export function pop(pool: usize, block: usize, units: u32): void {
  const next = <usize>blockAt(block).buffer;
  store<u32>(listAt(pool, units - 1), <u32>next);
  if (next != 0) blockAt(next).other = blockAt(block).other;
  else setListMask(pool, listMask(pool) & ~listBit(units - 1));
  if (units == UNITS) setReserveFrames(pool, reserveFrames(pool) - 1);
}

/** Puts all free blocks of a frame on their lists, in address order, or takes them off. */
export function enlistFrame(pool: usize, entry: usize, on: bool): void {
  let left = freeBlocks(entry);
  for (let block = <usize>dataAt(entry).first; left != 0; block = blockAt(block).right) {
    if (stateOf(block) != FREE) continue;
    left -= 1;
    if (on) enlist(pool, block);
    else delist(pool, block);
  }
}

// ── frames and descriptors ───────────────────────────────────────────────────

/** Takes a descriptor: its first word and its maps are 0, and it has its number of frees. 0 without a frame. */
function takeRecord(pool: usize): usize {
  const record = slabAlloc(pool + POOL_DESCRIPTORS);
  if (record != 0) {
    const entry = entryOf(<u32>(record >> PAGE_SHIFT));
    // This is the first record of a new slab frame.
    if (load<u32>(entry + SLAB_USED) == (BLOCK_BYTES | (BLOCK_BYTES << 16))) slabBegins(entry);
  }
  return record;
}

export function dropRecord(pool: usize, record: usize): void {
  const entry = entryOf(<u32>(record >> PAGE_SHIFT));
  if (load<u16>(entry + SLAB_USED) == BLOCK_BYTES) slabEnds(entry);
  slabFree(pool + POOL_DESCRIPTORS, record);
}

/** Takes a frame from the RAM into the reserve. Returns its only block, 0 without a frame or a descriptor. */
export function takeFrame(pool: usize): usize {
  const frame = frameAlloc((<u32>pool) | FRAME_DATA);
  if (frame == 0) return 0;
  const block = takeRecord(pool);
  if (block == 0) {
    frameFree(frame);
    return 0;
  }
  const entry = entryOf(frame);
  dataAt(entry).first = <u32>block;
  dataAt(entry).free = ALL_FREE;
  blockAt(block).word = wordAt(frame, 0);
  blockAt(block).bytes = <u16>(UNITS * UNIT);
  store<u64>(block, 0, LIST_LINKS + 8);
  enlist(pool, block);
  poolAt(pool).frames += 1;
  return block;
}

/** Frees a frame that is off all lists. A reclaim counts it. */
export function giveFrame(pool: usize, frame: u32): void {
  if (poolAt(pool).isolated != 0) setGivenFrames(pool, givenFrames(pool) + 1);
  dropFrame(pool, frame);
}

/** Frees a frame that is off all lists and that never held an object. A reclaim does not count it. */
function dropFrame(pool: usize, frame: u32): void {
  poolAt(pool).frames -= 1;
  frameFree(frame);
}

/** S7: fills the reserve up to `frames` frames, as far as the RAM has frames. */
export function fillReserve(pool: usize, frames: u32): void {
  while (reserveFrames(pool) < frames && takeFrame(pool) != 0);
}

/** Takes a frame out of the reserve and returns its block. The caller has to free the frame and the descriptor. */
function takeReserve(pool: usize): usize {
  const block = listHead(pool, RESERVE_LIST);
  delist(pool, block);
  return block;
}

/**
 * Frees a frame of the reserve; a reclaim does not count it. Returns its descriptor, which the caller can use or free.
 */
function dropReserve(pool: usize): usize {
  const block = takeReserve(pool);
  dropFrame(pool, frameIn(blockAt(block).word));
  return block;
}

/**
 * S8: frees the frames that the reserve has too many. When no object is left, the
 * descriptors of the reserve may be spread over many slab frames: then all frames of
 * the reserve are freed and taken again, so that these slab frames are freed.
 */
export function trim(pool: usize): void {
  const keep = min(reserveFrames(pool), reserveOption(pool));
  let most = keep;
  const cache = pool + POOL_DESCRIPTORS;
  if ((poolAt(pool).objects | poolAt(pool).isolated) == 0 && slabFrames(cache) > slabUsed(cache) / BLOCKS_A_FRAME + 1)
    most = 0;
  while (reserveFrames(pool) > most) {
    const block = takeReserve(pool);
    giveFrame(pool, frameIn(blockAt(block).word));
    dropRecord(pool, block);
  }
  fillReserve(pool, keep);
}

/**
 * Frees the frames that a failed request has taken, until the pool has `frames` frames. All of them are in the reserve.
 */
export function trimTo(pool: usize, frames: u32): void {
  while (poolAt(pool).frames > frames) dropRecord(pool, dropReserve(pool));
}

/**
 * A descriptor for the rest of a split block. When the RAM has no frame for one, a
 * frame of the reserve is freed and its descriptor used.
 */
function restRecord(pool: usize): usize {
  const record = takeRecord(pool);
  return record != 0 || reserveFrames(pool) == 0 ? record : dropReserve(pool);
}

// ── splitting and merging ────────────────────────────────────────────────────

/** Makes two blocks of a frame neighbours. With `left` 0, `right` becomes the first block of the frame. */
/* @inline */ function linkBlocks(entry: usize, left: usize, right: usize): void {
  blockAt(right).left = <u32>left;
  if (left != 0) blockAt(left).right = <u32>right;
  else dataAt(entry).first = <u32>right;
}

/** Inserts a block between `right` and its left neighbour. */
export function insertLeft(entry: usize, block: usize, right: usize): void {
  linkBlocks(entry, blockAt(right).left, block);
  blockAt(right).left = <u32>block;
  blockAt(block).right = <u32>right;
}

/** Takes a block out from between its neighbours. It must not be the first block. */
export function unlinkBlock(block: usize): void {
  const left = <usize>blockAt(block).left;
  const right = <usize>blockAt(block).right;
  blockAt(left).right = <u32>right;
  if (right != 0) blockAt(right).left = <u32>left;
}

/**
 * S12: takes the low `units` units of a free block that is on a list. The rest keeps the
 * descriptor and goes to the head of its own list, so that the descriptors of freed
 * objects are reused as late as possible. Returns the block for the low units, still
 * FREE; 0 without a descriptor, and then nothing has changed.
 */
export function splitBlock(pool: usize, free: usize, units: u32): usize {
  const rest = unitsOf(free) - units;
  delist(pool, free);
  if (rest == 0) return free;
  const block = restRecord(pool);
  if (block != 0) {
    const word = blockAt(free).word;
    blockAt(block).word = word;
    blockAt(free).word = word + wordAt(0, units);
    blockAt(free).bytes = <u16>(rest << UNIT_SHIFT);
    insertLeft(entryOf(frameIn(word)), block, free);
  }
  enlist(pool, free);
  return block;
}

/** The units of a block as bits. */
/* @inline */ export function unitMask(word: u32, units: u32): u64 {
  const run = ALL_FREE >> ((UNITS - units) as u64);
  return run << ((word >> PLACE_SHIFT) as u64);
}

/** Marks a block of a frame as used. @param word the first word of its descriptor: place and state */
/* @inline */ export function markUsed(pool: usize, entry: usize, block: usize, word: u32, bytes: u32): void {
  const units = unitsIn(bytes);
  blockAt(block).word = word;
  blockAt(block).bytes = <u16>bytes;
  dataAt(entry).free &= ~unitMask(word, units);
  addUsedUnits(pool, units);
}

/** Marks a block that is off its list as used, and puts its frame at the front of the LRU. */
export function occupy(pool: usize, block: usize, state: u32, bytes: u32, other: usize): void {
  const entry = entryOf(frameIn(blockAt(block).word));
  if (dataAt(entry).free != ALL_FREE) toFront(pool + POOL_LRU, entry, LRU_LINKS);
  else listPush(pool + POOL_LRU, entry, LRU_LINKS);
  markUsed(pool, entry, block, blockAt(block).word | state, bytes);
  blockAt(block).other = <u32>other;
  blockAt(block).buffer = 0;
}

/** Merges a free block with its right neighbour, which is free and off its list. */
function mergeRight(pool: usize, left: usize, right: usize): void {
  blockAt(left).bytes += blockAt(right).bytes;
  unlinkBlock(right);
  dropRecord(pool, right);
}

/**
 * S16: frees a block and merges it with free neighbours. The free blocks of an
 * isolated frame are on no list.
 */
export function releaseBlock(pool: usize, block: usize): void {
  const word = blockAt(block).word;
  const entry = entryOf(frameIn(word));
  const units = unitsOf(block);
  const mask = unitMask(word, units);
  const listed = !isIsolated(entry);
  const free = dataAt(entry).free;
  dataAt(entry).owner = (<u32>pool) | FRAME_DATA; // also when it was a raw page
  dataAt(entry).free = free | mask;
  addUsedUnits(pool, 0 - units);
  blockAt(block).word = word & ~STATE;
  blockAt(block).bytes = <u16>(units << UNIT_SHIFT);
  if ((free & (mask << 1)) != 0) {
    const right = <usize>blockAt(block).right;
    if (listed) delist(pool, right);
    mergeRight(pool, block, right);
  }
  if ((free & (mask >> 1)) != 0) {
    const left = <usize>blockAt(block).left;
    if (listed) delist(pool, left);
    mergeRight(pool, left, block);
    block = left;
  }
  if (!listed) {
    store<u64>(block, 0, LIST_LINKS);
    return;
  }
  push(pool, block);
  if (dataAt(entry).free == ALL_FREE) listRemove(pool + POOL_LRU, entry, LRU_LINKS);
}
