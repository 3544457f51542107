/**
 * z3fold: up to three buddies in a frame, compacted after each free.
 *
 * What it is. zbud with a third buddy: FIRST at the start of a frame, LAST at its
 * end, MIDDLE directly after FIRST when both ends are in use. A free is followed by
 * work on its frame: a lone object moves into another frame, and its own frame is
 * freed; a MIDDLE with one neighbour slides next to it, when this moves it by three
 * chunks or more. So a pool stays dense after half of its objects were freed, without
 * a call of compact().
 *
 * What it is not. A free is not cheap: the work copies payloads. And reclaim cannot
 * evict everything: it skips a frame that holds a guest (an object that was moved in
 * from another frame; the kernel says "foreign handle") until the guest is freed.
 *
 *   ┌────────┬──────────────┬──────────────┬········┬─────────────┐
 *   │ header │ FIRST  ───►  │ MIDDLE       │  gap   │  ◄──  LAST  │   63 chunks of 64 bytes
 *   └────────┴──────────────┴──────────────┴········┴─────────────┘
 *   0        64             start                                4096
 *   ┌─────────────────────────────────────────────────────────────┐
 *   │ headless: one object of 3969..4096 bytes, no header         │   a FIRST of 63 or 64 chunks
 *   └─────────────────────────────────────────────────────────────┘
 *
 * The header chunk stays unused. It exists because the geometry (and so every figure)
 * depends on it. The state that malloc and free need is in the frame table, and the
 * links from buddies to handle records are in a descriptor. With these links in the
 * header chunk, malloc and free would each write to a cold frame: 15 % of the time of
 * a free+malloc pair.
 *
 * z3fold-frame.ts shows the layout of frame entry, descriptor and handle record.
 *
 * No request looks for an empty frame, so the gap list 63 can hold the deferred work
 * instead: pushed at the head, done from the tail.
 *
 * A full or headless frame is on no list. A pending frame is on the list of deferred
 * work and not on a gap list, where a search could only skip it (Z11).
 *
 * In the kernel, a handle is a slot in a table of four. The table belongs to the first
 * frame of the object and outlives that frame when the object moves (Z23). Here, a
 * handle is a record in a slab of the pool, 8 bytes for each object, and the free of
 * the object frees it. There are no tables that a freed frame or a refused eviction
 * could leak.
 *
 * Vital statistics: largest object 4096 bytes; overhead 8 bytes for each object, 16 for
 * each frame, and the header chunk; malloc O(1), free O(1) plus at most one copy of up
 * to 62 chunks; isolate skips frames at the end of the LRU that have mapped objects or
 * guests; density 0.95 on uniform sizes, 0.92 after every second object was freed.
 *
 * Option word 0, when the deferred work is done. 0: after each free, unless a victim is
 * isolated (then zpoolRunDeferred does it at the end of the reclaim: Z13). 1: only in
 * runDeferred and compact. In both cases, the free of an object in a full frame does
 * the work at once (Z12).
 *
 * Source: Linux mm/z3fold.c of 6.1, 32-bit geometry; rules Z1..Z24 of
 * docs/rules/zbud-z3fold.md, cited below. Differences: real map counts (the kernel has
 * one bit for MIDDLE, two for the page); a frame with a mapped object is no victim;
 * there is a compact(); when every frame has guests or maps, shrink gives EINVAL
 * (nothing evictable), where Z19 has EAGAIN. The defects of the kernel are absent: no
 * table leaks (6 a, b); a frame that reclaim has emptied is freed although work is
 * pending (6 c); an isolated frame is not isolated again (6 d); also for a headless
 * page, the objects that are left decide, not the result of the handler (6 e). As in
 * the kernel, unmap causes no work (6 f).
 *
 * Compaction. When a lone object finds no room, or is mapped at that time, no later free
 * looks at it again; compact() does. First compact() does all deferred work. Then it does
 * the work of a free (Z14, steps 4 to 6) in the order of frame numbers, on each frame
 * that then has exactly one object, no guest, is not headless and no victim. The object
 * moves where Z16 finds room, and its frame is freed; otherwise it is compacted in its
 * frame, which goes to the head of its list. There is one such round.
 */
import { OUT_CURSOR } from '../abi';
import { EBUSY, EINVAL, ENOMEM, ENOSPC } from '../base/errno';
import { listPrevious, listPush, listRemove, listTail, toFront } from '../base/list';
import { LISTS, listAt, listMask, nodesOnList } from '../mem/bitmap-lists';
import { frameAlloc, frameFree, needed } from '../mem/frame';
import {
  MAPS_MAX,
  addRecordMaps,
  handleFree,
  handleFor,
  handleFrameEnds,
  handleInit,
  handleOf,
  handleOwner,
  handleReserve,
  handleRecord,
  handleUnreserve,
  recordMaps,
  recordSize,
  recordTake,
  recordWord,
} from '../mem/handle';
import {
  BOOT_BUMP,
  BOOT_FIRST,
  FRAME_DATA,
  FRAME_HANDLES,
  FRAME_SLAB,
  PAGE_MASK,
  PAGE_SIZE,
  boot,
  entryOf,
  entryOwner,
  entryType,
  frameExists,
  frameOf,
} from '../mem/layout';
import {
  POOL_DESCRIPTORS,
  POOL_HANDLES,
  POOL_LRU,
  countIsolated,
  countMap,
  countMoves,
  countObject,
  poolAt,
  poolOption,
  setPoolOption,
  uncountMap,
  uncountObject,
} from '../mem/pool';
import { setOut } from '../mem/scratch';
import { slabAlloc, slabFrames, slabFree, slabInit, slabRoom } from '../mem/slab';
import { locateWhole, spanWhole } from '../mem/span';
import { walkFree, walkObject } from '../mem/walk';
import {
  BUDDIES,
  BUDDY_MAX,
  CHUNK,
  CHUNKS,
  CHUNK_SHIFT,
  DESCRIPTOR_BYTES,
  FIRST,
  GUEST,
  GUESTS,
  HEADER,
  HELD,
  ISOLATED,
  LAST,
  LINKS,
  LRU_LINKS,
  MIDDLE,
  PENDING,
  SLIDE_MIN,
  START_SHIFT,
  WORK,
  addressOf,
  bind,
  chunksIn,
  chunksOf,
  clear,
  delist,
  descriptorOf,
  enlist,
  entryOfWord,
  hasWork,
  isClosed,
  isMapped,
  recordIn,
  search,
  setShape,
  setState,
  shapeOf,
  startIn,
  stateOf,
  takeOff,
  taken,
} from './z3fold-frame';

export { check } from './z3fold-check';

// ── algorithm ────────────────────────────────────────────────────────────────

/** Puts an object into a frame that has room for it (Z7, Z8). @param guest GUEST or 0 */
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
  setShape(entry, shape | (chunks << (buddy << 3)));
  bind(entry, buddy, chunk, record, guest);
}

/**
 * Takes a frame with its descriptor, and puts it at the front of the LRU. Returns its frame entry, 0 without a frame.
 */
function takeFrame(pool: usize): usize {
  const descriptor = slabAlloc(pool + POOL_DESCRIPTORS);
  if (descriptor == 0) return 0;
  memory.fill(descriptor, 0, DESCRIPTOR_BYTES);
  const frame = frameAlloc((<u32>pool) | FRAME_DATA);
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

/** Takes an empty frame off the LRU and frees it. */
function releaseFrame(pool: usize, entry: usize): void {
  slabFree(pool + POOL_DESCRIPTORS, descriptorOf(entry));
  listRemove(pool + POOL_LRU, entry, LRU_LINKS);
  poolAt(pool).frames -= 1;
  frameFree(frameOf(entry));
}

/**
 * Z16: moves the lone object of a frame, which is on no list, to another frame. False when it is mapped or no frame has
 * room.
 */
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

/** True when a frame has one object, which may move unless it is mapped (Z14.4). */
function isLone(entry: usize): bool {
  const shape = shapeOf(entry);
  return (
    popcnt<u32>(taken(shape)) == 1 && chunksIn(shape, FIRST) <= BUDDY_MAX && (stateOf(entry) & (GUESTS | ISOLATED)) == 0
  );
}

/** Z15: moves MIDDLE next to its one neighbour, or makes it FIRST when it has none. */
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
    setShape(entry, (shape & 0xffffff) | (start << START_SHIFT));
    bind(entry, MIDDLE, start, record, guest);
  }
  memory.copy(addressOf(record), from, recordSize(record));
}

/** Z14: does the work on a frame that is on no list. */
function doWork(pool: usize, entry: usize): void {
  if ((stateOf(entry) & ISOLATED) != 0) return;
  if (shapeOf(entry) == 0 || (isLone(entry) && moveAway(pool, entry))) {
    releaseFrame(pool, entry);
    return;
  }
  compactInFrame(entry);
  enlist(pool, entry);
}

/** True when a free does its work at once (Z13). */
/* @inline */ function worksNow(pool: usize): bool {
  return (poolOption(pool, 0) | poolAt(pool).isolated) == 0;
}

/**
 * Does the deferred work, oldest first (Z13).
 * @param force 0 at the end of a reclaim: the work waits further if the option says so, or if another victim is
 *   isolated
 */
export function runDeferred(pool: usize, force: u32): u32 {
  if (force == 0 && !worksNow(pool)) return 0;
  while (hasWork(pool)) {
    const entry = listTail(listAt(pool, WORK), LINKS);
    takeOff(pool, entry, WORK);
    setState(entry, stateOf(entry) & ~PENDING);
    doWork(pool, entry);
  }
  return 0;
}

// ── API ──────────────────────────────────────────────────────────────────────

/** None: a pool takes only its header frame. */
export function initFrames(a: u32, b: u32, c: u32): u32 {
  return 0;
}

/** @param deferred when deferred work is done: 0 after each free, 1 in runDeferred and compact. EINVAL. */
export function init(pool: usize, deferred: u32, b: u32, c: u32, ownerBytes: u32): u32 {
  if (deferred > 1 || (b | c) != 0 || !handleInit(pool, ownerBytes)) return EINVAL;
  setPoolOption(pool, 0, deferred);
  slabInit(pool + POOL_DESCRIPTORS, DESCRIPTOR_BYTES, FRAME_SLAB);
  return 0;
}

/** Called for each frame of a pool that is destroyed: the handles of live objects go stale. */
export function frameEnds(entry: usize): void {
  if (entryType(entry) == FRAME_HANDLES) handleFrameEnds(entry);
}

export function largest(pool: usize): u32 {
  return PAGE_SIZE;
}

export function hugeSize(pool: usize): u32 {
  return PAGE_SIZE;
}

/** Whole chunks. */
export function rounded(pool: usize, size: u32): u32 {
  return chunksOf(size) << CHUNK_SHIFT;
}

/** Z9. EINVAL for size 0, ENOSPC above 4096, ENOMEM without a frame. */
export function malloc(pool: usize, size: u32): u32 {
  if (size - 1 >= PAGE_SIZE) return size == 0 ? EINVAL : ENOSPC;
  const chunks = chunksOf(size);
  let entry: usize = 0;
  if (slabRoom(pool + POOL_HANDLES) == 0 && !handleReserve(pool)) return noFrame();
  if (chunks <= BUDDY_MAX) entry = search(pool, chunks);
  if (entry != 0) {
    toFront(pool + POOL_LRU, entry, LRU_LINKS);
  } else {
    entry = takeFrame(pool);
    if (entry == 0) {
      handleUnreserve(pool);
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

/** An object like any other. */
export function mallocRaw(pool: usize): u32 {
  return malloc(pool, PAGE_SIZE);
}

function noFrame(): u32 {
  needed(1);
  return ENOMEM;
}

/** Z10, Z12. EINVAL for a number that is no live handle of the pool, EBUSY while the object is mapped. */
export function free(pool: usize, handle: u32): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  if (recordMaps(record) != 0) return EBUSY;
  // Only after a reclaim that did not call runDeferred at its end.
  if (hasWork(pool)) runDeferred(pool, 0);
  const word = recordWord(record);
  const entry = entryOfWord(word);
  const state = stateOf(entry);
  const wasClosed = isClosed(shapeOf(entry));
  if ((state & HELD) == 0) delist(pool, entry);
  uncountObject(pool, recordSize(record));
  handleFree(pool, record);
  clear(entry, word & 3);
  setState(entry, state - (word & GUEST) / GUEST);
  if ((state & HELD) != 0) return 0;
  if (wasClosed || worksNow(pool) || shapeOf(entry) == 0) {
    doWork(pool, entry);
  } else {
    setState(entry, stateOf(entry) | PENDING);
    enlist(pool, entry);
  }
  return 0;
}

/** The owner bytes are in the handle record. */
export function ownerOf(pool: usize, handle: u32): usize {
  return handleOwner(pool, handle);
}

/** Address of the first byte of an object. EINVAL. */
export function span(pool: usize, handle: u32, writing: bool): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  spanWhole(recordSize(record));
  return <u32>addressOf(record);
}

export function locate(pool: usize, handle: u32): u32 {
  return locateWhole(span(pool, handle, false));
}

/** Like span, and counts the map. EBUSY at 1023 maps of one object. */
export function map(pool: usize, handle: u32, writable: bool, discard: bool): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  if (recordMaps(record) == MAPS_MAX) return EBUSY;
  addRecordMaps(record, 1);
  countMap(pool);
  return span(pool, handle, false);
}

/** EINVAL also for an object that is not mapped. Causes no work (Z18). */
export function unmap(pool: usize, handle: u32): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0 || recordMaps(record) == 0) return EINVAL;
  addRecordMaps(record, -1);
  uncountMap(pool);
  return 0;
}

// ── compaction ───────────────────────────────────────────────────────────────

/**
 * See the top of the file. One round is enough: gaps only get smaller in a round, except
 * when a lone MIDDLE becomes FIRST. An object that found no room before does not fit
 * beside that FIRST either: otherwise FIRST would have moved to the frame of that object.
 * @param victims the most frames to free after the deferred work
 * @returns frames freed
 */
export function compact(pool: usize, victims: u32): u32 {
  const before = poolAt(pool).frames;
  runDeferred(pool, 1);
  const bump = boot(BOOT_BUMP);
  const left = poolAt(pool).frames;
  for (let frame = boot(BOOT_FIRST); frame < bump && left - poolAt(pool).frames < victims; frame++) {
    compactFrame(pool, entryOf(frame));
  }
  return before - poolAt(pool).frames;
}

/** compact in steps of `most` frames. The cursor is a frame number. The first step does the deferred work. */
export function compactFrom(pool: usize, cursor: u32, most: u32): u32 {
  const before = poolAt(pool).frames;
  if (cursor == 0) runDeferred(pool, 1);
  const bump = boot(BOOT_BUMP);
  const first = max(cursor, boot(BOOT_FIRST));
  const end = bump - min(first, bump) > most ? first + most : bump;
  for (let frame = first; frame < end; frame++) compactFrame(pool, entryOf(frame));
  setOut(OUT_CURSOR, end < bump ? end : 0);
  return before - poolAt(pool).frames;
}

/** Does the work on a frame with a lone object. */
/* @inline */ function compactFrame(pool: usize, entry: usize): void {
  if (entryOwner(entry) != ((<u32>pool) | FRAME_DATA) || !isLone(entry)) return;
  delist(pool, entry);
  doWork(pool, entry);
}

/**
 * Frames that compact() may free; never fewer than it does free. One pass over the frame
 * table. It counts empty frames (pending or isolated ones), and frames with a lone object,
 * mapped or not, when some frame on a gap list has room for the object. That frame may be
 * its own, with the gap that FIRST and LAST leave. A lone MIDDLE always counts. While there
 * is deferred work, every lone object counts, since the work can make room.
 */
export function freeable(pool: usize): u32 {
  const mask = hasWork(pool) ? ~0 : listMask(pool);
  const bump = boot(BOOT_BUMP);
  let frames: u32 = 0;
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) != ((<u32>pool) | FRAME_DATA)) continue;
    const shape = shapeOf(entry);
    const chunks = chunksIn(shape, FIRST) + chunksIn(shape, LAST);
    if (shape == 0 || (isLone(entry) && mask >> chunks != 0)) frames += 1;
  }
  return frames;
}

// ── reclaim (Z19..Z22) ───────────────────────────────────────────────────────

/**
 * Z19: takes the least recently used frame without a guest or a mapped object off all lists. Returns its number, 0 for
 * none.
 */
export function isolate(pool: usize): u32 {
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

/** The frame entry of a victim of this pool; 0 for any other number. */
function victimEntry(pool: usize, victim: u32): usize {
  if (!frameExists(victim)) return 0;
  const entry = entryOf(victim);
  return entryOwner(entry) == ((<u32>pool) | FRAME_DATA) && (stateOf(entry) & ISOLATED) != 0 ? entry : 0;
}

/**
 * Z20: the first live handle of a victim from a cursor on (0: from the start), 0 for none; the next cursor in
 * OUT_CURSOR. The order is MIDDLE, FIRST, LAST. EINVAL.
 */
export function victimNext(pool: usize, victim: u32, cursor: u32): u32 {
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
 * Z21: ends the reclaim of a victim. Returns 1 when its frame is freed, 0 when it goes to
 * the front of the LRU. EINVAL. After all its victims, the caller must call
 * zpoolRunDeferred.
 */
export function release(pool: usize, victim: u32): u32 {
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

// ── statistics ───────────────────────────────────────────────────────────────

export function descriptorFrames(pool: usize): u32 {
  return slabFrames(pool + POOL_DESCRIPTORS);
}

export function ownsFrames(): u32 {
  return (1 << FRAME_SLAB) | (1 << FRAME_HANDLES) | (1 << FRAME_DATA);
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
 * A row has one word: the number of frames on a gap list; in the last row, on the list of deferred work. EINVAL after
 * it.
 */
export function table(pool: usize, nth: u32, to: usize): u32 {
  if (nth >= LISTS) return EINVAL;
  store<u32>(to, nodesOnList(pool, nth, LINKS));
  return 0;
}

// ── walk ─────────────────────────────────────────────────────────────────────

/** Reports the contents of a frame of the pool to mem/walk.ts. */
export function walk(pool: usize, frame: u32): void {
  const entry = entryOf(frame);
  const shape = shapeOf(entry);
  let end: u32 = CHUNK;
  for (let buddy = FIRST; buddy <= LAST; buddy++) {
    if (chunksIn(shape, buddy) == 0) continue;
    const record = recordIn(entry, buddy);
    const offset = (<u32>addressOf(record)) & PAGE_MASK;
    if (offset > end) walkFree(end, offset - end);
    walkObject(handleOf(record), offset, recordSize(record));
    end = offset + (chunksIn(shape, buddy) << CHUNK_SHIFT);
  }
  if (end < PAGE_SIZE && chunksIn(shape, FIRST) <= BUDDY_MAX) walkFree(end, PAGE_SIZE - end);
}
