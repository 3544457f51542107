/**
 * Frames of z3fold: their layout, buddies and lists. The allocator is in z3fold.ts.
 *
 *   entry   8 shape: chunks of FIRST, of MIDDLE, of LAST, start of MIDDLE in chunks
 *             (0 without one), from the low byte up; always read and written whole
 *          12 descriptor | guests (0..3) | PENDING 4 | ISOLATED 8
 *          16 links: list of the gap, or deferred work      24 links: LRU
 *   descriptor, in a slab: 16 bytes
 *           0, 4, 8 address >> 3 of the handle record of FIRST, MIDDLE, LAST, 0 for none
 *          12 frame
 *   record  word 0 (mem/handle.ts): frame << 8 | first chunk << 2 | buddy, and bit 29
 *           for a guest; so an access needs nothing else
 *   pool  lists by gap in chunks (mem/bitmap-lists.ts; with the links of an entry at the
 *             same place as in zbud, so that inspect.ts has one function for their lengths)
 */
import { listBit, listHead, listMask, listsFrom, putOnList, takeOffList } from '../mem/bitmap-lists';
import { recordMaps, recordWord, setRecordWord } from '../mem/handle';
import { entryOf, frameOf } from '../mem/layout';

// ── constants ────────────────────────────────────────────────────────────────

export const CHUNK: u32 = 64;
export const CHUNK_SHIFT: u32 = 6;
export const CHUNKS: u32 = 64; // of a frame
export const HEADER: u32 = 1; // of them
export const BUDDY_MAX: u32 = 62; // more make a headless frame: Z2
export const SLIDE_MIN: i32 = 3; // Z15
export const START_SHIFT: u32 = 24;
const ALL_TAKEN: u32 = 0x808080;

export const FIRST: u32 = 0;
export const MIDDLE: u32 = 1;
export const LAST: u32 = 2;
export const BUDDIES: u32 = 3;

// In the entry.
export const GUESTS: u32 = 3;
export const PENDING: u32 = 4;
export const ISOLATED: u32 = 8;
export const HELD: u32 = PENDING | ISOLATED;
export const LINKS: usize = 16;
export const LRU_LINKS: usize = 24;
export const DESCRIPTOR_BYTES: u32 = 16;

// In a record's word.
export const GUEST: u32 = 1 << 29;

// Of the lists.
export const WORK: u32 = 63; // list of deferred work
export const NO_LIST: u32 = 64;

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

/** Whether no object fits or belongs into a frame: three are there, or a headless one. */
export function isClosed(shape: u32): bool {
  return chunksIn(shape, FIRST) > BUDDY_MAX || taken(shape) == ALL_TAKEN;
}

/** Bit 7, 15, 23 for each place that is taken: no byte is above 64. */
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

/** Entry of the frame of an object. */
/* @inline */ export function entryOfWord(word: u32): usize {
  return entryOf((word & ~GUEST) >> 8);
}

/** Address of an object's first byte. */
/* @inline */ export function addressOf(record: usize): usize {
  return <usize>(((recordWord(record) & ~GUEST) >> 2) << CHUNK_SHIFT);
}

/** Makes a buddy and its handle record know each other. */
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

/** Empties a place. */
export function clear(entry: usize, buddy: u32): void {
  setRecord(entry, buddy, 0);
  setShape(entry, shapeOf(entry) & (buddy == MIDDLE ? 0xff00ff : ~(0xff << (buddy << 3))));
}

// ── lists ────────────────────────────────────────────────────────────────────

/** The list on which a frame belongs: that of its gap (Z4, Z5), of deferred work, or none. */
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

/** Takes a frame off a list. */
export function takeOff(pool: usize, entry: usize, list: u32): void {
  if (list != NO_LIST) takeOffList(pool, list, entry, LINKS);
}

export function delist(pool: usize, entry: usize): void {
  takeOff(pool, entry, listOf(entry));
}

/** Z6: takes the best fitting frame off its list; 0 for none. */
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
