/**
 * z3fold: up to three buddies a frame, and it tidies up by itself.
 *
 * What it is. zbud with a third place: FIRST left-justified, LAST
 * right-justified, MIDDLE directly behind FIRST when both ends are taken. A free
 * is followed by work on its frame: a lone object moves into another frame and
 * its own goes back; a MIDDLE slides against its one neighbour when that joins
 * gaps of three chunks or more. So a pool stays dense after half of it was freed
 * without anybody calling compact().
 *
 * What it is not. Cheap to free from: the work copies payloads. And not able to
 * evict everything: a frame that holds a guest (an object moved in from another
 * frame) is passed over by reclaim until that guest is freed.
 *
 *   ┌────────┬──────────────┬──────────────┬········┬─────────────┐
 *   │ header │ FIRST  ───►  │ MIDDLE       │  gap   │  ◄──  LAST  │   63 chunks of 64 bytes
 *   └────────┴──────────────┴──────────────┴········┴─────────────┘
 *   0        64             start                                4096
 *   ┌─────────────────────────────────────────────────────────────┐
 *   │ headless: one object of 3969..4096 bytes, no header         │   a FIRST of 63 or 64 chunks
 *   └─────────────────────────────────────────────────────────────┘
 *
 * The header chunk is kept free, because the geometry (and so every figure)
 * depends on it, but nothing is stored there. What a free or a malloc asks of a
 * frame lies in the frame table, and the way from a buddy to its handle record in
 * a descriptor: with that in the header, each of them stored into a cold frame,
 * which cost 15 % of a free+malloc pair.
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
 *   pool  256 lists by gap in chunks, 64 cells   512 u64: which lists have a frame (both
 *             as in zbud, so that zpool.ts has one function for the lengths of lists)
 *
 * An empty frame is never looked for, so the list of gap 63 is free to hold the
 * deferred work: pushed at the head, done from the tail.
 *
 * A full or headless frame is on no list. A pending frame is on that of deferred
 * work instead of its gap's, from where a search could only have dropped it (Z11).
 *
 * The original's handle is a slot in a table of four that belongs to the frame
 * where the object was born and outlives that frame when the object moves (Z23).
 * Ours is a record in a slab of the pool, 8 bytes an object, given back by the
 * free; there are no tables that a dead frame or a refused eviction could leak.
 *
 * Vital statistics: largest object 4096; overhead 8 bytes an object, 16 a frame
 * and the header chunk; malloc O(1), free O(1) and at most one copy of at most 62
 * chunks; isolate walks over the frames at the LRU's end that are mapped or have
 * guests; density 0.95 on uniform sizes, 0.92 after every second object was freed.
 *
 * Options: word 0, when deferred work is done: 0 after each free, at once unless
 * a victim is isolated (then by zpoolRunDeferred, which ends a reclaim: Z13); 1
 * only in runDeferred and compact. In either, a frame that was full is worked on
 * inside the free (Z12).
 *
 * Source: Linux mm/z3fold.c of 6.1, 32-bit geometry; rules Z1..Z24 of
 * docs/rules/zbud-z3fold.md, cited below. Differences: real map counts (the
 * original's MIDDLE has one bit, its page two); a frame with a mapped object is
 * no victim; there is a compact(); when every frame has guests or maps shrink
 * gives EINVAL, nothing evictable, where Z19 has EAGAIN. Of its defects none:
 * no table leaks (6 a, b); a frame emptied by reclaim is released although work
 * is pending (6 c); an isolated frame is no candidate again (6 d); also for a
 * headless page what is left decides, not the handler's answer (6 e). As in the
 * original, unmap asks for no work (6 f).
 *
 * Compaction. A lone object that found no room when it became lone, or was mapped
 * then, is looked at by no free again; compact() does. First the deferred work,
 * all of it. Then, in the order of frame numbers, the work of a free (Z14, steps
 * 4 to 6) on each frame that at its turn holds exactly one object, buddied, that
 * hosts no guest and is no victim: so the object goes where Z16 finds room, and
 * its frame back; else it is compacted in its frame, which becomes the head of
 * its list. There is one such round.
 */
import { OUT_CURSOR, OUT_SIZE } from '../abi';
import { EBUSY, EINVAL, ENOMEM, ENOSPC } from '../base/errno';
import { link, listNext, listPrevious, listPush, listRemove, listTail, toFront, unlink } from '../base/list';
import { frameAlloc, frameFree, needed } from '../mem/frame';
import {
  MAPS_MAX, RECORD_BYTES, addRecordMaps, handleEnd, handleFor, handleInit, handleOf, handleReady, handleRecord,
  handleUnready, recordIsSound, recordMaps, recordSize, recordTake, recordWord, setRecordWord,
} from '../mem/handle';
import {
  BOOT_BUMP, BOOT_FIRST, FRAME_DATA, FRAME_HANDLES, FRAME_SLAB, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, boot, entryOf, entryOwner,
  frameExists, frameOf,
} from '../mem/layout';
import {
  POOL_DESCRIPTORS, POOL_HANDLES, POOL_LRU, POOL_TABLES, countIsolated, countMap, countMoves, countObject, poolAt, poolOption,
  setPoolOption, uncountMap, uncountObject,
} from '../mem/pool';
import { setOut } from '../mem/scratch';
import { slabAlloc, slabCheck, slabFree, slabInit, slabNext, slabRoom, slabUsed } from '../mem/slab';
import {
  RULE_ENTRY, RULE_HANDLE, RULE_LIST, RULE_LRU, RULE_OBJECT, RULE_POOL, RULE_POOL_COUNT, UNSOUND, broken, isRecord,
  listLength,
} from '../mem/verify';
import { walkFree, walkObject } from '../mem/walk';

// ── constants ────────────────────────────────────────────────────────────────

const CHUNK: u32 = 64;
const CHUNK_SHIFT: u32 = 6;
const CHUNKS: u32 = 64; // of a frame
const HEADER: u32 = 1; // of them
const BUDDY_MAX: u32 = 62; // more make a headless frame: Z2
const SLIDE_MIN: i32 = 3; // Z15
const START_SHIFT: u32 = 24;
const ALL_TAKEN: u32 = 0x808080;

const FIRST: u32 = 0;
const MIDDLE: u32 = 1;
const LAST: u32 = 2;
const BUDDIES: u32 = 3;

// In the entry.
const GUESTS: u32 = 3;
const PENDING: u32 = 4;
const ISOLATED: u32 = 8;
const HELD: u32 = PENDING | ISOLATED;
const LINKS: usize = 16;
const LRU_LINKS: usize = 24;
const DESCRIPTOR_BYTES: u32 = 16;

// In a record's word.
const GUEST: u32 = 1 << 29;

// In the pool.
const LISTS: u32 = 64;
const WORK: u32 = 63; // list of deferred work
const NO_LIST: u32 = 64;
const LIST_CELLS: usize = POOL_TABLES;
const LIST_MASK: usize = POOL_TABLES + 4 * <usize>LISTS;

// ── accessors ────────────────────────────────────────────────────────────────

// @ts-ignore: decorator
@inline function chunksOf(size: u32): u32 {
  return (size + CHUNK - 1) >> CHUNK_SHIFT;
}

// @ts-ignore: decorator
@inline function shapeOf(entry: usize): u32 {
  return load<u32>(entry, 8);
}

// @ts-ignore: decorator
@inline function setShape(entry: usize, shape: u32): void {
  store<u32>(entry, shape, 8);
}

/** Chunks of a buddy, 0 for none. */
// @ts-ignore: decorator
@inline function chunksIn(shape: u32, buddy: u32): u32 {
  return shape >> (buddy << 3) & 0xFF;
}

// @ts-ignore: decorator
@inline function startIn(shape: u32): u32 {
  return shape >> START_SHIFT;
}

/** Whether no object fits or belongs into a frame: three are there, or a headless one. */
function isClosed(shape: u32): bool {
  return chunksIn(shape, FIRST) > BUDDY_MAX || taken(shape) == ALL_TAKEN;
}

/** Bit 7, 15, 23 for each place that is taken: no byte is above 64. */
// @ts-ignore: decorator
@inline function taken(shape: u32): u32 {
  return (shape + 0x7F7F7F) & ALL_TAKEN;
}

/** Descriptor, guests and flags. */
// @ts-ignore: decorator
@inline function stateOf(entry: usize): u32 {
  return load<u32>(entry, 12);
}

// @ts-ignore: decorator
@inline function setState(entry: usize, state: u32): void {
  store<u32>(entry, state, 12);
}

// @ts-ignore: decorator
@inline function descriptorOf(entry: usize): usize {
  return <usize>(stateOf(entry) & ~(HELD | GUESTS));
}

/** The handle record of a buddy, 0 for none. */
function recordIn(entry: usize, buddy: u32): usize {
  return <usize>(load<u32>(descriptorOf(entry) + (<usize>buddy << 2)) << 3);
}

// @ts-ignore: decorator
@inline function setRecord(entry: usize, buddy: u32, record: usize): void {
  store<u32>(descriptorOf(entry) + (<usize>buddy << 2), <u32>record >> 3);
}

/** Entry of the frame of an object. */
// @ts-ignore: decorator
@inline function entryOfWord(word: u32): usize {
  return entryOf((word & ~GUEST) >> 8);
}

/** Address of an object's first byte. */
// @ts-ignore: decorator
@inline function addressOf(record: usize): usize {
  return <usize>((recordWord(record) & ~GUEST) >> 2 << CHUNK_SHIFT);
}

/** Makes a buddy and its handle record know each other. */
function bind(entry: usize, buddy: u32, chunk: u32, record: usize, guest: u32): void {
  setRecord(entry, buddy, record);
  setRecordWord(record, guest | (frameOf(entry) << 8) | (chunk << 2) | buddy);
}

function isMapped(entry: usize): bool {
  for (let buddy = FIRST; buddy <= LAST; buddy++) {
    if (chunksIn(shapeOf(entry), buddy) != 0 && recordMaps(recordIn(entry, buddy)) != 0) return true;
  }
  return false;
}

/** Empties a place. */
function clear(entry: usize, buddy: u32): void {
  setRecord(entry, buddy, 0);
  setShape(entry, shapeOf(entry) & (buddy == MIDDLE ? 0xFF00FF : ~(0xFF << (buddy << 3))));
}

// ── lists ────────────────────────────────────────────────────────────────────

/** The list on which a frame belongs: that of its gap (Z4, Z5), of deferred work, or none. */
function listOf(entry: usize): u32 {
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

// @ts-ignore: decorator
@inline function listCell(pool: usize, list: u32): usize {
  return pool + LIST_CELLS + (<usize>list << 2);
}

function enlist(pool: usize, entry: usize): void {
  const list = listOf(entry);
  if (list == NO_LIST) return;
  link(listCell(pool, list), entry, LINKS);
  store<u64>(pool, load<u64>(pool, LIST_MASK) | (<u64>1 << list), LIST_MASK);
}

/** Takes a frame off a list. */
function takeOff(pool: usize, entry: usize, list: u32): void {
  if (list == NO_LIST) return;
  const cell = listCell(pool, list);
  unlink(cell, entry, LINKS);
  store<u64>(entry, 0, LINKS);
  if (load<u32>(cell) == 0) store<u64>(pool, load<u64>(pool, LIST_MASK) & ~(<u64>1 << list), LIST_MASK);
}

function delist(pool: usize, entry: usize): void {
  takeOff(pool, entry, listOf(entry));
}

/** Z6: takes the best fitting frame off its list; 0 for none. */
function search(pool: usize, chunks: u32): usize {
  const fitting = load<u64>(pool, LIST_MASK) << 1 >> (chunks + 1); // without the deferred work
  if (fitting == 0) return 0;
  const list = chunks + <u32>ctz<u64>(fitting);
  const entry = <usize>load<u32>(listCell(pool, list));
  takeOff(pool, entry, list);
  return entry;
}

// @ts-ignore: decorator
@inline function hasWork(pool: usize): bool {
  return <i64>load<u64>(pool, LIST_MASK) < 0; // bit 63
}

// ── algorithm ────────────────────────────────────────────────────────────────

/** Puts an object into a frame that has room for it: Z7, Z8. @param guest GUEST or 0 */
function place(entry: usize, record: usize, chunks: u32, guest: u32): void {
  let shape = shapeOf(entry);
  const first = chunksIn(shape, FIRST);
  let buddy = FIRST;
  let chunk: u32 = chunks > BUDDY_MAX ? 0 : HEADER;
  if (chunksIn(shape, MIDDLE) != 0) {
    if (first != 0 || chunks > startIn(shape) - HEADER) buddy = LAST;
  } else if (first != 0) {
    buddy = chunksIn(shape, LAST) != 0 ? MIDDLE : LAST;
  }
  if (buddy == LAST) {
    chunk = CHUNKS - chunks;
  } else if (buddy == MIDDLE) {
    chunk = HEADER + first;
    shape |= chunk << START_SHIFT;
  }
  setShape(entry, shape | chunks << (buddy << 3));
  bind(entry, buddy, chunk, record, guest);
}

/** An empty frame with its descriptor, at the front of the LRU; 0 without a frame for either. */
function takeFrame(pool: usize): usize {
  const descriptor = slabAlloc(pool + POOL_DESCRIPTORS);
  if (descriptor == 0) return 0;
  memory.fill(descriptor, 0, DESCRIPTOR_BYTES);
  const frame = frameAlloc(<u32>pool | FRAME_DATA);
  if (frame == 0) {
    slabFree(pool + POOL_DESCRIPTORS, descriptor);
    return 0;
  }
  const entry = entryOf(frame);
  setState(entry, <u32>descriptor);
  store<u32>(descriptor, frame, 12);
  poolAt(pool).frames += 1;
  listPush(pool + POOL_LRU, entry, LRU_LINKS);
  return entry;
}

/** Takes an empty frame off the LRU and gives it back. */
function releaseFrame(pool: usize, entry: usize): void {
  slabFree(pool + POOL_DESCRIPTORS, descriptorOf(entry));
  listRemove(pool + POOL_LRU, entry, LRU_LINKS);
  poolAt(pool).frames -= 1;
  frameFree(frameOf(entry));
}

/** Z16: moves the lone object of a frame that is off its list to another frame; false when it is mapped or none has room. */
function moveAway(pool: usize, entry: usize): bool {
  const shape = shapeOf(entry);
  const buddy = ctz<u32>(taken(shape)) >> 3;
  const record = recordIn(entry, buddy);
  if (recordMaps(record) != 0) return false;
  const chunks = chunksIn(shape, buddy);
  const target = search(pool, chunks);
  if (target == 0) return false;
  const from = addressOf(record);
  const size = recordSize(record);
  clear(entry, buddy);
  place(target, record, chunks, GUEST);
  setState(target, stateOf(target) + 1);
  memory.copy(addressOf(record), from, size);
  enlist(pool, target);
  countMoves(pool, 1, <f64>size);
  return true;
}

/** Whether the one object of a frame may move, maps aside: Z14.4. */
function isLone(entry: usize): bool {
  const shape = shapeOf(entry);
  return popcnt<u32>(taken(shape)) == 1 && chunksIn(shape, FIRST) <= BUDDY_MAX && (stateOf(entry) & (GUESTS | ISOLATED)) == 0;
}

/** Z15: MIDDLE slides against its one neighbour, or becomes FIRST when it has none. */
function compactInFrame(entry: usize): void {
  const shape = shapeOf(entry);
  const first = chunksIn(shape, FIRST);
  const middle = chunksIn(shape, MIDDLE);
  const last = chunksIn(shape, LAST);
  if (middle == 0 || (first != 0 && last != 0)) return;
  const record = recordIn(entry, MIDDLE);
  if (recordMaps(record) != 0) return;
  const from = addressOf(record);
  const guest = recordWord(record) & GUEST;
  if (first == last) {
    clear(entry, MIDDLE);
    place(entry, record, middle, guest);
  } else {
    const start = last == 0 ? HEADER + first : CHUNKS - last - middle;
    if (abs<i32>(start - startIn(shape)) < SLIDE_MIN) return;
    setShape(entry, (shape & 0xFFFFFF) | start << START_SHIFT);
    bind(entry, MIDDLE, start, record, guest);
  }
  memory.copy(addressOf(record), from, recordSize(record));
}

/** Z14: the work on a frame that is on no list. */
function work(pool: usize, entry: usize): void {
  if ((stateOf(entry) & ISOLATED) != 0) return;
  if (shapeOf(entry) == 0 || (isLone(entry) && moveAway(pool, entry))) {
    releaseFrame(pool, entry);
    return;
  }
  compactInFrame(entry);
  enlist(pool, entry);
}

/** Whether a free is followed by the work that it asks for: Z13. */
// @ts-ignore: decorator
@inline function worksNow(pool: usize): bool {
  return (poolOption(pool, 0) | poolAt(pool).isolated) == 0;
}

/**
 * Does the deferred work, oldest first (Z13).
 * @param force 0: the end of a reclaim; the work waits if the option says so or another victim is isolated
 */
export function z3foldRunDeferred(pool: usize, force: u32): u32 {
  if (force == 0 && !worksNow(pool)) return 0;
  while (hasWork(pool)) {
    const entry = listTail(listCell(pool, WORK), LINKS);
    takeOff(pool, entry, WORK);
    setState(entry, stateOf(entry) & ~PENDING);
    work(pool, entry);
  }
  return 0;
}

// ── API ──────────────────────────────────────────────────────────────────────

/** @param deferred 0 after each free, 1 only when asked for. EINVAL. */
export function z3foldInit(pool: usize, deferred: u32): u32 {
  if (deferred > 1) return EINVAL;
  setPoolOption(pool, 0, deferred);
  handleInit(pool);
  slabInit(pool + POOL_DESCRIPTORS, DESCRIPTOR_BYTES, FRAME_SLAB);
  return 0;
}

/** Z9. EINVAL size 0, ENOSPC above 4096, ENOMEM without a frame. */
export function z3foldMalloc(pool: usize, size: u32): u32 {
  if (size - 1 >= PAGE_SIZE) return size == 0 ? EINVAL : ENOSPC;
  const chunks = chunksOf(size);
  let entry: usize = 0;
  if (slabRoom(pool + POOL_HANDLES) == 0 && !handleReady(pool)) return noFrame();
  if (chunks <= BUDDY_MAX) entry = search(pool, chunks);
  if (entry != 0) {
    toFront(pool + POOL_LRU, entry, LRU_LINKS);
  } else {
    entry = takeFrame(pool);
    if (entry == 0) {
      handleUnready(pool);
      return noFrame();
    }
  }
  const record = recordTake(pool);
  const handle = handleFor(record, size);
  place(entry, record, chunks, 0);
  enlist(pool, entry);
  countObject(pool, size);
  return handle;
}

function noFrame(): u32 {
  needed(1);
  return ENOMEM;
}

/** Z10, Z12. EINVAL for a handle that is not live here, EBUSY while it is mapped. */
export function z3foldFree(pool: usize, handle: u32): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  if (recordMaps(record) != 0) return EBUSY;
  // Only when a reclaim was left without its end.
  if (hasWork(pool)) z3foldRunDeferred(pool, 0);
  const word = recordWord(record);
  const entry = entryOfWord(word);
  const state = stateOf(entry);
  const wasClosed = isClosed(shapeOf(entry));
  if ((state & HELD) == 0) delist(pool, entry);
  uncountObject(pool, recordSize(record));
  handleEnd(pool, record);
  clear(entry, word & 3);
  setState(entry, state - (word & GUEST) / GUEST);
  if ((state & HELD) != 0) return 0;
  if (wasClosed || worksNow(pool) || shapeOf(entry) == 0) {
    work(pool, entry);
  } else {
    setState(entry, stateOf(entry) | PENDING);
    enlist(pool, entry);
  }
  return 0;
}

/** Address of an object's first byte; its size in OUT_SIZE. EINVAL. */
export function z3foldData(pool: usize, handle: u32): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  setOut(OUT_SIZE, recordSize(record));
  return <u32>addressOf(record);
}

/** Like z3foldData, and counts the map. EBUSY at 1023 maps of one object. */
export function z3foldMap(pool: usize, handle: u32): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  if (recordMaps(record) == MAPS_MAX) return EBUSY;
  addRecordMaps(record, 1);
  countMap(pool);
  return z3foldData(pool, handle);
}

/** EINVAL also for an object that is not mapped. Asks for no work: Z18. */
export function z3foldUnmap(pool: usize, handle: u32): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0 || recordMaps(record) == 0) return EINVAL;
  addRecordMaps(record, -1);
  uncountMap(pool);
  return 0;
}

// ── compaction ───────────────────────────────────────────────────────────────

/**
 * See the top of the file. One round is enough: a gap only gets smaller in it, but
 * for a lone MIDDLE that becomes FIRST, and what found no room before does not fit
 * beside that either (or it would have moved to where the other is).
 * @param victims the most frames to give back after the deferred work
 * @returns frames given back
 */
export function z3foldCompact(pool: usize, victims: u32): u32 {
  const before = poolAt(pool).frames;
  z3foldRunDeferred(pool, 1);
  const bump = boot(BOOT_BUMP);
  const left = poolAt(pool).frames;
  for (let frame = boot(BOOT_FIRST); frame < bump && left - poolAt(pool).frames < victims; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) != (<u32>pool | FRAME_DATA) || !isLone(entry)) continue;
    delist(pool, entry);
    work(pool, entry);
  }
  return before - poolAt(pool).frames;
}

/**
 * Frames that compact() may give back, never fewer than it does: those with
 * nothing left (their work, or their reclaim, still to end) and those with a lone
 * object that compact() would look at, mapped or not, if a frame on a list has a
 * gap for it. That may be its own, whose gap is what FIRST and LAST leave; a lone
 * MIDDLE always counts, and while there is deferred work, which can make room, all
 * do. One pass over the frame table.
 */
export function z3foldFreeable(pool: usize): u32 {
  const mask = hasWork(pool) ? ~0 : load<u64>(pool, LIST_MASK);
  const bump = boot(BOOT_BUMP);
  let frames: u32 = 0;
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) != (<u32>pool | FRAME_DATA)) continue;
    const shape = shapeOf(entry);
    const chunks = chunksIn(shape, FIRST) + chunksIn(shape, LAST);
    if (shape == 0 || (isLone(entry) && mask >> chunks != 0)) frames += 1;
  }
  return frames;
}

// ── reclaim (Z19..Z22) ───────────────────────────────────────────────────────

/** Z19: takes the least recently used frame without a guest or a mapped object off all lists. Its number, 0 for none. */
export function z3foldIsolate(pool: usize): u32 {
  const first = <usize>load<u32>(pool + POOL_LRU);
  let entry = listTail(pool + POOL_LRU, LRU_LINKS);
  while (entry != 0 && ((stateOf(entry) & GUESTS) != 0 || isMapped(entry))) {
    entry = entry == first ? 0 : listPrevious(entry, LRU_LINKS);
  }
  if (entry == 0) return 0;
  listRemove(pool + POOL_LRU, entry, LRU_LINKS);
  if ((stateOf(entry) & PENDING) == 0) delist(pool, entry);
  setState(entry, stateOf(entry) | ISOLATED);
  countIsolated(pool, 1);
  return frameOf(entry);
}

/** The entry of a victim of this pool; 0 for any other number. */
function victimEntry(pool: usize, victim: u32): usize {
  if (!frameExists(victim)) return 0;
  const entry = entryOf(victim);
  return entryOwner(entry) == (<u32>pool | FRAME_DATA) && (stateOf(entry) & ISOLATED) != 0 ? entry : 0;
}

/** Z20: MIDDLE, FIRST, LAST; the first that is live at or behind a cursor (0: from the start), 0 for none; the next cursor in OUT_CURSOR. EINVAL. */
export function z3foldVictimNext(pool: usize, victim: u32, cursor: u32): u32 {
  const entry = victimEntry(pool, victim);
  if (entry == 0) return EINVAL;
  for (; cursor < BUDDIES; cursor++) {
    const buddy = cursor == LAST ? LAST : cursor ^ 1;
    if (chunksIn(shapeOf(entry), buddy) == 0) continue;
    setOut(OUT_CURSOR, cursor + 1);
    return handleOf(recordIn(entry, buddy));
  }
  return 0;
}

/**
 * Z21: ends the reclaim of a victim: frames given back (1), or 0 and it is at
 * the front of the LRU again. EINVAL. The caller ends the whole of its reclaim
 * with zpoolRunDeferred.
 */
export function z3foldRelease(pool: usize, victim: u32): u32 {
  const entry = victimEntry(pool, victim);
  if (entry == 0) return EINVAL;
  setState(entry, stateOf(entry) & ~ISOLATED);
  countIsolated(pool, -1);
  listPush(pool + POOL_LRU, entry, LRU_LINKS);
  const isPending = (stateOf(entry) & PENDING) != 0;
  if (shapeOf(entry) != 0) {
    if (!isPending) enlist(pool, entry);
    return 0;
  }
  if (isPending) takeOff(pool, entry, WORK);
  releaseFrame(pool, entry);
  return 1;
}

// ── walk ─────────────────────────────────────────────────────────────────────

/** Reports what lies in a frame of the pool to mem/walk.ts. */
export function z3foldWalk(pool: usize, frame: u32): void {
  const entry = entryOf(frame);
  const shape = shapeOf(entry);
  let end: u32 = CHUNK;
  for (let buddy = FIRST; buddy <= LAST; buddy++) {
    if (chunksIn(shape, buddy) == 0) continue;
    const record = recordIn(entry, buddy);
    const offset = <u32>addressOf(record) & PAGE_MASK;
    if (offset > end) walkFree(end, offset - end);
    walkObject(handleOf(record), offset, recordSize(record));
    end = offset + (chunksIn(shape, buddy) << CHUNK_SHIFT);
  }
  if (end < PAGE_SIZE && chunksIn(shape, FIRST) <= BUDDY_MAX) walkFree(end, PAGE_SIZE - end);
}

// ── check ────────────────────────────────────────────────────────────────────

/** Verifies every frame, record, list and counter of the pool. 0 or EUCLEAN; trusts nothing it reads. */
export function z3foldCheck(pool: usize): u32 {
  const poolFrame = <u32>(pool >> PAGE_SHIFT);
  if (poolOption(pool, 0) > 1 || (poolOption(pool, 1) | poolOption(pool, 2) | poolOption(pool, 3)) != 0) {
    return broken(RULE_POOL, poolFrame);
  }
  let result = slabCheck(pool + POOL_HANDLES, RECORD_BYTES, FRAME_HANDLES);
  if (result == 0) result = slabCheck(pool + POOL_DESCRIPTORS, DESCRIPTOR_BYTES, FRAME_SLAB);
  if (result != 0) return result;
  let frames: u32 = 0;
  let objects: u32 = 0;
  let isolated: u32 = 0;
  let listed: u32 = 0;
  const bump = boot(BOOT_BUMP);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) != (<u32>pool | FRAME_DATA)) continue;
    const rule = brokenRule(pool, entry, frame);
    if (rule != 0) return broken(rule, frame);
    frames += 1;
    objects += popcnt<u32>(taken(shapeOf(entry)));
    if ((stateOf(entry) & ISOLATED) != 0) isolated += 1;
    if (listOf(entry) != NO_LIST) listed += 1;
  }
  let bytes: u32 = 0;
  let maps: u32 = 0;
  for (let record = slabNext(pool + POOL_HANDLES, 0); record != 0; record = slabNext(pool + POOL_HANDLES, record)) {
    bytes += recordSize(record);
    maps += recordMaps(record);
  }
  // Each buddy has a record that names it, each frame a descriptor: with equal numbers of them none is left over.
  const found = poolAt(pool);
  if (((frames ^ found.frames) | (frames ^ slabUsed(pool + POOL_DESCRIPTORS)) | (objects ^ found.objects)
    | (objects ^ slabUsed(pool + POOL_HANDLES)) | (bytes ^ found.liveBytes) | (maps ^ found.maps) | (isolated ^ found.isolated)) != 0) {
    return broken(RULE_POOL_COUNT, poolFrame);
  }
  frames -= isolated;
  if (listLength(pool + POOL_LRU, LRU_LINKS, frames, <u32>pool | FRAME_DATA, 0) != frames) return broken(RULE_LRU, poolFrame);
  return listsCheck(pool, poolFrame, listed);
}

/** The rule that one frame breaks, lists aside; 0 for none. */
function brokenRule(pool: usize, entry: usize, frame: u32): u32 {
  const descriptor = descriptorOf(entry);
  if (!isRecord(descriptor, <u32>pool | FRAME_SLAB, DESCRIPTOR_BYTES) || load<u32>(descriptor, 12) != frame) return RULE_ENTRY;
  const state = stateOf(entry);
  const shape = shapeOf(entry);
  const isPending = (state & PENDING) != 0;
  const isIsolated = (state & ISOLATED) != 0;
  if (isIsolated && load<u64>(entry, LRU_LINKS) != 0) return RULE_ENTRY;
  if (listOf(entry) == NO_LIST && load<u64>(entry, LINKS) != 0) return RULE_ENTRY;
  // An empty frame is held by its reclaim or its work only, a closed one has no work to wait for.
  if (isPending ? isClosed(shape) : !isIsolated && shape == 0) return RULE_OBJECT;
  const first = chunksIn(shape, FIRST);
  const middle = chunksIn(shape, MIDDLE);
  const last = chunksIn(shape, LAST);
  const start = startIn(shape);
  let chunk: u32 = first > BUDDY_MAX ? 0 : HEADER; // where FIRST begins
  const most = CHUNKS - last;
  if (chunk + first > most || (middle == 0 ? start != 0 : start < chunk + first || start + middle > most)) return RULE_OBJECT;
  let guests: u32 = 0;
  for (let buddy = FIRST; buddy <= LAST; buddy++) {
    const chunks = chunksIn(shape, buddy);
    const named = load<u32>(descriptor + (<usize>buddy << 2));
    if (buddy != FIRST) chunk = buddy == MIDDLE ? start : CHUNKS - chunks;
    if (chunks == 0) {
      if (named != 0) return RULE_OBJECT;
      continue;
    }
    const record = recordIn(entry, buddy);
    if (named != <u32>record >> 3 || !isRecord(record, <u32>pool | FRAME_HANDLES, RECORD_BYTES) || !recordIsSound(record)) return RULE_HANDLE;
    const word = recordWord(record);
    if (chunksOf(recordSize(record)) != chunks || (word & ~GUEST) != ((frame << 8) | (chunk << 2) | buddy)) return RULE_HANDLE;
    if ((word & GUEST) != 0) guests += 1;
  }
  return (state & GUESTS) == guests ? 0 : RULE_OBJECT;
}

/** Each frame is on the list where it belongs. */
function listsCheck(pool: usize, poolFrame: u32, listed: u32): u32 {
  const mask = load<u64>(pool, LIST_MASK);
  for (let list: u32 = 0; list < LISTS; list++) {
    const cell = listCell(pool, list);
    const length = listLength(cell, LINKS, listed, <u32>pool | FRAME_DATA, 0);
    if (length == UNSOUND || (length != 0) != ((mask >> list & 1) != 0)) return broken(RULE_LIST, poolFrame);
    for (let entry = <usize>load<u32>(cell); entry != 0; entry = listNext(entry, LINKS)) {
      if (listOf(entry) != list) return broken(RULE_LIST, frameOf(entry));
    }
    listed -= length;
  }
  return listed != 0 ? broken(RULE_LIST, poolFrame) : 0;
}
