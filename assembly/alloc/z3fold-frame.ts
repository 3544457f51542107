/**
 * Frames of z3fold: their layout, buddies and lists. The allocator is in z3fold.ts.
 *
 *   frame entry    8 shape: chunks of FIRST, of MIDDLE, of LAST, start of MIDDLE in chunks
 *                    (0 without MIDDLE), from the low byte up; always read and written as one word
 *                 12 descriptor | number of guests (0..3) | PENDING 4 | ISOLATED 8
 *                 16 links: gap list, or list of deferred work      24 links: LRU
 *   descriptor, in a slab: 16 bytes
 *                  0, 4, 8 address >> 3 of the handle record of FIRST, MIDDLE, LAST, 0 for none
 *                 12 frame
 *   handle record  word 0 (mem/handle.ts): frame << 8 | first chunk << 2 | buddy, and bit 29 for
 *                  a guest; an access to the object needs nothing else
 *   pool           gap lists, by chunks (mem/bitmap-lists.ts). The links in the frame entry have the
 *                  same offset as in zbud.
 *
 * A guest is an object that was moved into the frame from another one; the kernel counts guests as
 * `foreign_handles`.
 */
import { listBit, listHead, listMask, listsFrom, putOnList, takeOffList } from '../mem/bitmap-lists';
import { recordMaps, recordWord, setRecordWord } from '../mem/handle';
import { entryOf, frameOf } from '../mem/layout';

// ── constants ────────────────────────────────────────────────────────────────

export const CHUNK: u32 = 64;
export const CHUNK_SHIFT: u32 = 6;
export const CHUNKS: u32 = 64; // chunks of a frame
export const HEADER: u32 = 1; // chunks of the header
export const BUDDY_MAX: u32 = 62; // most chunks of a buddy; a larger object makes a headless frame (Z2)
export const SLIDE_MIN: i32 = 3; // chunks; Z15
export const START_SHIFT: u32 = 24;
const ALL_TAKEN: u32 = 0x808080;

export const FIRST: u32 = 0;
export const MIDDLE: u32 = 1;
export const LAST: u32 = 2;
export const BUDDIES: u32 = 3;

// In word 12 of the frame entry.
export const GUESTS: u32 = 3;
export const PENDING: u32 = 4;
export const ISOLATED: u32 = 8;
export const HELD: u32 = PENDING | ISOLATED;
export const LINKS: usize = 16;
export const LRU_LINKS: usize = 24;
export const DESCRIPTOR_BYTES: u32 = 16;

// In word 0 of a handle record.
export const GUEST: u32 = 1 << 29;

// Numbers of lists.
export const WORK: u32 = 63; // the list of deferred work
export const NO_LIST: u32 = 64; // in place of a list

// ── accessors ────────────────────────────────────────────────────────────────

/* @inline */ export function chunksOf(size: u32): u32 {
  return (size + CHUNK - 1) >> CHUNK_SHIFT;
}

/* @inline */ export function shapeOf(entry: usize): u32 {
  return load<u32>(entry, 8);
}

/* @inline */ export function setShape(entry: usize, shape: u32): void {
  store<u32>(entry, shape, 8);
}

/** Chunks of a buddy, 0 for none. */
/* @inline */ export function chunksIn(shape: u32, buddy: u32): u32 {
  return (shape >> (buddy << 3)) & 0xff;
}

/* @inline */ export function startIn(shape: u32): u32 {
  return shape >> START_SHIFT;
}

/** True when a frame takes no further object: it has three, or a headless one. */
export function isClosed(shape: u32): bool {
  return chunksIn(shape, FIRST) > BUDDY_MAX || taken(shape) == ALL_TAKEN;
}

/** Bit 7, 15, 23 for FIRST, MIDDLE, LAST in use. (No byte of a shape is above 64.) */
/* @inline */ export function taken(shape: u32): u32 {
  return (shape + 0x7f7f7f) & ALL_TAKEN;
}

/** Descriptor, guests and flags. */
/* @inline */ export function stateOf(entry: usize): u32 {
  return load<u32>(entry, 12);
}

/* @inline */ export function setState(entry: usize, state: u32): void {
  store<u32>(entry, state, 12);
}

/* @inline */ export function descriptorOf(entry: usize): usize {
  return <usize>(stateOf(entry) & ~(HELD | GUESTS));
}

/** The handle record of a buddy, 0 for none. */
export function recordIn(entry: usize, buddy: u32): usize {
  return <usize>(load<u32>(descriptorOf(entry) + ((<usize>buddy) << 2)) << 3);
}

/* @inline */ function setRecord(entry: usize, buddy: u32, record: usize): void {
  store<u32>(descriptorOf(entry) + ((<usize>buddy) << 2), (<u32>record) >> 3);
}

/** Frame entry of the frame of an object, given word 0 of its record. */
/* @inline */ export function entryOfWord(word: u32): usize {
  return entryOf((word & ~GUEST) >> 8);
}

/** Address of the first byte of an object. */
/* @inline */ export function addressOf(record: usize): usize {
  return <usize>(((recordWord(record) & ~GUEST) >> 2) << CHUNK_SHIFT);
}

/** Links a buddy and its handle record to each other. */
export function bind(entry: usize, buddy: u32, chunk: u32, record: usize, guest: u32): void {
  setRecord(entry, buddy, record);
  setRecordWord(record, guest | (frameOf(entry) << 8) | (chunk << 2) | buddy);
}

export function isMapped(entry: usize): bool {
  for (let buddy = FIRST; buddy <= LAST; buddy++) {
    if (chunksIn(shapeOf(entry), buddy) != 0 && recordMaps(recordIn(entry, buddy)) != 0) return true;
  }
  return false;
}

/** Removes a buddy from the frame entry and descriptor. */
export function clear(entry: usize, buddy: u32): void {
  setRecord(entry, buddy, 0);
  setShape(entry, shapeOf(entry) & (buddy == MIDDLE ? 0xff00ff : ~(0xff << (buddy << 3))));
}

// ── lists ────────────────────────────────────────────────────────────────────

/** The list for a frame: a gap list (Z4, Z5), the list of deferred work, or NO_LIST. */
export function listOf(entry: usize): u32 {
  const state = stateOf(entry);
  const shape = shapeOf(entry);
  if ((state & PENDING) != 0) return WORK;
  if ((state & ISOLATED) != 0 || isClosed(shape)) return NO_LIST;
  const first = chunksIn(shape, FIRST);
  const middle = chunksIn(shape, MIDDLE);
  const last = chunksIn(shape, LAST);
  if (middle == 0) return CHUNKS - HEADER - first - last;
  const start = startIn(shape);
  return max(first == 0 ? start - HEADER : 0, last == 0 ? CHUNKS - start - middle : 0);
}

export function enlist(pool: usize, entry: usize): void {
  const list = listOf(entry);
  if (list != NO_LIST) putOnList(pool, list, entry, LINKS);
}

/** Takes a frame off a list; NO_LIST means none. */
export function takeOff(pool: usize, entry: usize, list: u32): void {
  if (list != NO_LIST) takeOffList(pool, list, entry, LINKS);
}

export function delist(pool: usize, entry: usize): void {
  takeOff(pool, entry, listOf(entry));
}

/** Z6: takes the best fitting frame off its list. Returns its frame entry, 0 for none. */
export function search(pool: usize, chunks: u32): usize {
  const fitting = listsFrom(listMask(pool) & ~listBit(WORK), chunks);
  if (fitting == 0) return 0;
  const list = <u32>ctz<u64>(fitting);
  const entry = listHead(pool, list);
  takeOff(pool, entry, list);
  return entry;
}

/* @inline */ export function hasWork(pool: usize): bool {
  return (listMask(pool) & listBit(WORK)) != 0;
}
