/**
 * zsmalloc: slots of one size, packed across chained frames.
 *
 * What it is. The densest of the five allocators for compressed pages. A zspage is a
 * chain of 1..16 frames, used as one run of bytes and divided into N slots of its
 * class size. A slot is room for one object. It may straddle two frames, so almost
 * nothing is lost at the end of a frame. Handles are records (mem/handle.ts), so
 * objects can move, and compact() can move the objects of sparse zspages into fuller
 * ones.
 *
 *   zspage of class 1632, 2 frames, 5 slots
 *   ┌──────────────┬──────────────┬───────╫───────┬──────────────┬────────────┬──┐
 *   │ slot 0       │ slot 1       │ slot 2        │ slot 3       │ slot 4     │  │
 *   └──────────────┴──────────────┴───────╫───────┴──────────────┴────────────┴──┘
 *   0            1632           3264     4096    4896          6528        8160  8192
 *   slot: [ 4 bytes | payload, slack ]
 *
 * The 4 bytes stay unused. They exist because the geometry (and so every figure)
 * depends on them. The word of a slot is in the descriptor of its zspage instead: in
 * the slot, each malloc and free would touch a cold line of a cold frame, which was a
 * fifth of their time. The state of a zspage that malloc and free need is in the frame
 * entry of its first frame. So they go from handle record to frame entry to class; see
 * zsmalloc-zspage.ts for the layout.
 *
 * A new zspage is not written: its slots are handed out in ascending order from the
 * fresh mark on, once the list of freed slots (last freed first) is empty. This is the
 * same order as with a free list of all slots (F1, F2).
 *
 * Each fullness group of a class has a list, the group of full zspages too, though
 * nothing looks for these (G3). So a zspage that changes its group always moves from
 * one list to another.
 *
 * Vital statistics: largest object 4096 bytes; overhead for each object 4 (in the slot) +
 * 4 (word) + 8 (record) + at most 15 (class step) bytes; for each zspage 8 bytes and 4 for
 * each frame, with the descriptor rounded up to the next size; malloc and free O(1);
 * density 0.97 on uniform sizes at chain 8.
 *
 * Options: word 0 chain 1..16, word 1 chain rule, word 2 fullness groups. 12
 * groups mean insertion at the head and the compaction of 6.4; 4 groups mean
 * insertion at the head or second place, and the compaction of 6.1 (V1).
 *
 * Source: Linux mm/zsmalloc.c of 6.1 (percent rule, 4 groups), 6.4 and 6.12
 * (bytes rule, 12 groups; the LRU as in 6.2..6.4). Rule numbers (C, S, F, G, L,
 * M, D, K, J, U, E, P, Q) are those of docs/rules/zsmalloc.md.
 * Differences: handles are validated, maps are counted. The defects of the historic
 * writeback patches are absent: the handles of objects freed under reclaim are
 * released when the reclaim of their zspage ends, one LRU over all classes chooses
 * the victim, and full zspages can be victims.
 */
import { OUT_CURSOR, OUT_LENGTH, OUT_OFFSET, OUT_PLACE_A, OUT_PLACE_B, OUT_SECOND, OUT_SIZE } from '../abi';
import { EBUSY, EINVAL, ENOMEM, ENOSPC } from '../base/errno';
import { listPrevious, listRemove, listTail } from '../base/list';
import { frameAlloc, frameRoom } from '../mem/frame';
import {
  BUFFERED,
  DEFERRED,
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
  setRecordWord,
} from '../mem/handle';
import {
  FRAME_DATA,
  FRAME_HANDLES,
  FRAME_POOL_MORE,
  FRAME_SLAB,
  PAGE_MASK,
  PAGE_SHIFT,
  PAGE_SIZE,
  entryOf,
  entryOwner,
  entryType,
  frameAddress,
  frameExists,
} from '../mem/layout';
import { bufferEnd, bufferSpan, bufferTake, bufferWrites } from '../mem/map-buffers';
import {
  POOL_HANDLES,
  POOL_LRU,
  countIsolated,
  countMap,
  countObject,
  poolAt,
  setPoolOption,
  uncountMap,
  uncountObject,
} from '../mem/pool';
import { setOut } from '../mem/scratch';
import { slabInit, slabNeeds, slabRoom } from '../mem/slab';
import {
  CLASS_COUNT,
  CLASS_FRAMES,
  RULE_PERCENT,
  WORD,
  classAt,
  classFor,
  classFrames,
  layClasses,
} from './zsmalloc-classes';
import {
  CHAIN_MAX,
  ISOLATED,
  LOW,
  LRU_LINKS,
  NEXT_SHIFT,
  NONE,
  SLAB_COUNT,
  STATE_SHIFT,
  TAGS,
  TAG_DEFERRED,
  TAG_USED,
  classOf,
  delist,
  enlist,
  frameInChain,
  freshOf,
  fullest,
  giveSlot,
  inuseOf,
  isHuge,
  location,
  locationOf,
  payloadAt,
  regroup,
  setFreed,
  setSlotWord,
  setState,
  sizeClass,
  slabAt,
  slabBytes,
  slabOf,
  slotOf,
  slotWord,
  stateOf,
  straddles,
  takeSlot,
  touch,
  zspageAt,
  zspageCreate,
  zspageFree,
  zspageIn,
  zspageOf,
} from './zsmalloc-zspage';

export { descriptorFrames } from './zsmalloc-zspage';
export { compact, compactFrom, freeable } from './zsmalloc-compact';
export { ownsFrames, spanning, table, tables, walk } from './zsmalloc-inspect';
export { check } from './zsmalloc-check';

// ── API ──────────────────────────────────────────────────────────────────────

/** Frames of the class table; 0 for options out of range. */
export function initFrames(chain: u32, rule: u32, groups: u32): u32 {
  return chain < 1 || chain > CHAIN_MAX || rule > RULE_PERCENT ? 0 : classFrames(chain, rule);
}

/** Creates the class table, in frames of its own. EINVAL for options out of range, ENOMEM without a frame. */
export function init(pool: usize, chain: u32, rule: u32, groups: u32, ownerBytes: u32): u32 {
  if (initFrames(chain, rule, groups) == 0 || (groups != 12 && groups != 4) || !handleInit(pool, ownerBytes))
    return EINVAL;
  setPoolOption(pool, 0, chain);
  setPoolOption(pool, 1, rule);
  setPoolOption(pool, 2, groups);
  const frames = classFrames(chain, rule);
  for (let i: u32 = 0; i < frames; i++) {
    const frame = frameAlloc((<u32>pool) | FRAME_POOL_MORE);
    if (frame == 0) return ENOMEM;
    store<u32>(pool + CLASS_FRAMES + ((<usize>i) << 2), <u32>frameAddress(frame));
    poolAt(pool).tableFrames += 1;
  }
  layClasses(pool, chain, rule, false);
  for (let index: u32 = 0; index < SLAB_COUNT; index++) slabInit(slabAt(pool, index), slabBytes(index), FRAME_SLAB);
  return 0;
}

/** Called for each frame of a pool that is destroyed: the handles of live objects go stale. */
export function frameEnds(entry: usize): void {
  if (entryType(entry) == FRAME_HANDLES) handleFrameEnds(entry);
}

export function largest(pool: usize): u32 {
  return PAGE_SIZE;
}

/** zs_huge_class_size: the size of the largest class with two or more slots in a zspage, less WORD. */
export function hugeSize(pool: usize): u32 {
  for (let ordinal: u32 = 0; ordinal < load<u32>(pool + CLASS_COUNT); ordinal++) {
    const cls = classAt(pool, ordinal);
    if (!isHuge(cls)) return <u32>sizeClass(cls).size - WORD;
  }
  return 0;
}

/** Size of the class in bytes, WORD included. */
export function rounded(pool: usize, size: u32): u32 {
  return sizeClass(classFor(pool, size)).size;
}

/** M1..M4. EINVAL for size 0, ENOSPC above 4096, ENOMEM without a frame. */
export function malloc(pool: usize, size: u32): u32 {
  if (size - 1 >= PAGE_SIZE) return size == 0 ? EINVAL : ENOSPC;
  const cls = classFor(pool, size);
  let zspage = fullest(pool, cls);
  if (zspage == 0 || slabRoom(pool + POOL_HANDLES) == 0) {
    zspage = makeRoom(pool, cls, zspage);
    if (zspage == 0) return ENOMEM;
  }
  const slot = takeSlot(zspage, cls);
  regroup(pool, cls, zspage, zspageAt(zspage).word + 1);
  const record = recordTake(pool);
  setRecordWord(record, locationOf(zspage, slot));
  setSlotWord(zspage, cls, slot, (<u32>record) | TAG_USED);
  sizeClass(cls).used += 1;
  countObject(pool, size);
  return handleFor(record, size);
}

/** An object like any other. */
export function mallocRaw(pool: usize): u32 {
  return malloc(pool, PAGE_SIZE);
}

/** The owner bytes are in the handle record. */
export function ownerOf(pool: usize, handle: u32): usize {
  return handleOwner(pool, handle);
}

/**
 * Makes room for a handle record and, if `zspage` is 0, creates a zspage. Returns 0 without a frame; then nothing has
 * changed.
 */
function makeRoom(pool: usize, cls: usize, zspage: usize): usize {
  let frames = slabNeeds(pool + POOL_HANDLES);
  if (zspage == 0) frames += slabNeeds(slabOf(pool, cls)) + <u32>sizeClass(cls).pages;
  if (!frameRoom(frames) || !handleReserve(pool)) return 0;
  if (zspage == 0) {
    zspage = zspageCreate(pool, cls);
    if (zspage == 0) handleUnreserve(pool);
  }
  return zspage;
}

/** D1, E5. EINVAL for a number that is no live handle of the pool, EBUSY while the object is mapped. */
export function free(pool: usize, handle: u32): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  if (recordMaps(record) != 0) return EBUSY;
  const place = recordWord(record);
  const zspage = zspageOf(place);
  const cls = classOf(pool, zspage);
  uncountObject(pool, recordSize(record));
  sizeClass(cls).used -= 1;
  const word = zspageAt(zspage).word - 1;
  if ((word & (ISOLATED << STATE_SHIFT)) != 0) {
    // The record stays in use until the reclaim of its zspage ends, so that the handle is not given to another object.
    zspageAt(zspage).word = word;
    setSlotWord(zspage, cls, slotOf(place), (<u32>record) | TAG_DEFERRED);
    setRecordWord(record, place | DEFERRED);
    return 0;
  }
  giveSlot(zspage, cls, slotOf(place));
  handleFree(pool, record);
  if ((word & LOW) == 0) freeLastObject(pool, zspage, word);
  else regroup(pool, cls, zspage, word);
  return 0;
}

/** Frees a zspage whose last object is freed. */
function freeLastObject(pool: usize, zspage: usize, word: u32): void {
  zspageAt(zspage).word = word;
  delist(classOf(pool, zspage), zspage);
  zspageFree(pool, zspage);
}

/**
 * The span of an object: address of its first byte, OUT_LENGTH bytes there, the rest
 * of the OUT_SIZE bytes at OUT_SECOND (0: all in one frame). While the object is mapped
 * through a buffer, its bytes are in the buffer.
 * @param writing true when the access changes the object (U4)
 */
export function span(pool: usize, handle: u32, writing: bool): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  const size = recordSize(record);
  const place = location(record);
  const zspage = zspageOf(place);
  if (writing) touch(pool, zspage);
  setOut(OUT_SIZE, size);
  const word = recordWord(record);
  if ((word & BUFFERED) != 0) return bufferSpan(word & ~BUFFERED, size, writing);
  return payload(classOf(pool, zspage), zspage, slotOf(place), size);
}

/** Divides the payload of a slot into its one or two parts; see span. */
function payload(cls: usize, zspage: usize, slot: u32, size: u32): u32 {
  const at = payloadAt(cls, slot);
  const room = PAGE_SIZE - (at & PAGE_MASK);
  setOut(OUT_LENGTH, min(size, room));
  setOut(OUT_SECOND, size <= room ? 0 : <u32>frameAddress(frameInChain(zspage, (at >> PAGE_SHIFT) + 1)));
  return <u32>frameAddress(frameInChain(zspage, at >> PAGE_SHIFT)) + (at & PAGE_MASK);
}

/**
 * P1, Q2: the place of an object. Returns its frame; offset of the data in OUT_OFFSET,
 * class index in OUT_PLACE_A, slot in OUT_PLACE_B. EINVAL.
 */
export function locate(pool: usize, handle: u32): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  const place = location(record);
  const zspage = zspageOf(place);
  const cls = classOf(pool, zspage);
  const at = payloadAt(cls, slotOf(place));
  setOut(OUT_OFFSET, at & PAGE_MASK);
  setOut(OUT_PLACE_A, sizeClass(cls).index);
  setOut(OUT_PLACE_B, slotOf(place));
  // This is also the frame where the slot begins: WORD and the first data byte are never in different frames.
  return frameInChain(zspage, at >> PAGE_SHIFT);
}

// ── mapping (P1) ─────────────────────────────────────────────────────────────

/**
 * Maps an object: all its bytes are in one piece until unmap; size in OUT_SIZE.
 * A straddling object is mapped through a buffer frame, one for all its maps.
 * @param writable rw or wo: the buffer is written back at the last unmap
 * @param discard wo: the buffer starts with zeros, and the zspage moves to the
 *   front of the LRU (U2)
 * @returns the address; EINVAL, ENOMEM without a frame for the buffer, EBUSY at 1023 maps
 */
export function map(pool: usize, handle: u32, writable: bool, discard: bool): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  if (recordMaps(record) == MAPS_MAX) return EBUSY;
  const place = location(record);
  const zspage = zspageOf(place);
  const cls = classOf(pool, zspage);
  const size = recordSize(record);
  let address = payload(cls, zspage, slotOf(place), size);
  // S5: what counts is the slot, not the payload.
  if (straddles(sizeClass(cls).size, slotOf(place))) {
    if ((recordWord(record) & BUFFERED) == 0 && !attachBuffer(pool, record, place, address, discard)) return ENOMEM;
    const buffer = recordWord(record) & ~BUFFERED;
    if (writable) bufferWrites(buffer);
    address = <u32>frameAddress(buffer);
  }
  if (recordMaps(record) == 0) zspageAt(zspage).mapped += 1;
  addRecordMaps(record, 1);
  countMap(pool);
  if (discard) touch(pool, zspage);
  setOut(OUT_SIZE, size);
  return address;
}

/** Takes a buffer for a straddling object. `payload` must have set the words of its span. */
function attachBuffer(pool: usize, record: usize, place: u32, address: u32, discard: bool): bool {
  const frame = bufferTake(pool, record, place, address, recordSize(record), discard);
  if (frame != 0) setRecordWord(record, BUFFERED | frame);
  return frame != 0;
}

/** Ends one map. EINVAL also for an object that is not mapped. */
export function unmap(pool: usize, handle: u32): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0 || recordMaps(record) == 0) return EINVAL;
  addRecordMaps(record, -1);
  uncountMap(pool);
  if (recordMaps(record) != 0) return 0;
  const place = location(record);
  const zspage = zspageOf(place);
  zspageAt(zspage).mapped -= 1;
  const word = recordWord(record);
  if ((word & BUFFERED) == 0) return 0;
  const size = recordSize(record);
  bufferEnd(word & ~BUFFERED, payload(classOf(pool, zspage), zspage, slotOf(place), size), size);
  setRecordWord(record, place);
  return 0;
}

// ── reclaim (E) ──────────────────────────────────────────────────────────────

/**
 * E2: takes the least recently written zspage without a mapped object off all lists. Returns its first frame, 0 for
 * none.
 */
export function isolate(pool: usize): u32 {
  const first = <usize>load<u32>(pool + POOL_LRU);
  let descriptor = listTail(pool + POOL_LRU, LRU_LINKS);
  while (descriptor != 0 && zspageAt(zspageIn(descriptor)).mapped != 0) {
    descriptor = descriptor == first ? 0 : listPrevious(descriptor, LRU_LINKS);
  }
  if (descriptor == 0) return 0;
  const zspage = zspageIn(descriptor);
  listRemove(pool + POOL_LRU, descriptor, LRU_LINKS);
  delist(classOf(pool, zspage), zspage);
  setState(zspage, ISOLATED);
  countIsolated(pool, 1);
  return load<u32>(descriptor);
}

/** The zspage of a victim, by its first frame; 0 for any other number. */
function victimZspage(pool: usize, victim: u32): usize {
  if (!frameExists(victim)) return 0;
  const entry = entryOf(victim);
  // `word` is 0 in the frame entries of the other frames of a zspage.
  return entryOwner(entry) == ((<u32>pool) | FRAME_DATA) && (stateOf(entry) & ISOLATED) != 0 ? entry : 0;
}

/** E3: the first live handle of a victim from slot `cursor` on, 0 for none; the next cursor in OUT_CURSOR. EINVAL. */
export function victimNext(pool: usize, victim: u32, cursor: u32): u32 {
  const zspage = victimZspage(pool, victim);
  if (zspage == 0) return EINVAL;
  const cls = classOf(pool, zspage);
  const fresh = freshOf(zspage);
  for (; cursor < fresh; cursor++) {
    const word = slotWord(zspage, cls, cursor);
    if ((word & TAG_USED) != 0) {
      setOut(OUT_CURSOR, cursor + 1);
      return handleOf(<usize>(word & ~TAGS));
    }
  }
  return 0;
}

/**
 * E6..E9: ends the reclaim of a victim. Returns the frames freed, or 0 when it goes to the front of the LRU. EINVAL.
 */
export function release(pool: usize, victim: u32): u32 {
  const zspage = victimZspage(pool, victim);
  if (zspage == 0) return EINVAL;
  const cls = classOf(pool, zspage);
  countIsolated(pool, -1);
  setState(zspage, 0);
  rebuildFreeList(pool, cls, zspage);
  if (inuseOf(zspage) == 0) return zspageFree(pool, zspage);
  enlist(pool, cls, zspage);
  touch(pool, zspage);
  return 0;
}

/** E9: makes a new free list of all free slots, in ascending order, and frees the records of E5. */
function rebuildFreeList(pool: usize, cls: usize, zspage: usize): void {
  let head = NONE;
  for (let slot = freshOf(zspage); slot-- > 0;) {
    const word = slotWord(zspage, cls, slot);
    if ((word & TAG_USED) != 0) continue;
    if ((word & TAGS) == TAG_DEFERRED) handleFree(pool, <usize>(word & ~TAGS));
    setSlotWord(zspage, cls, slot, head << NEXT_SHIFT);
    head = slot;
  }
  setFreed(zspage, head);
}

/** There is no deferred work. */
export function runDeferred(pool: usize, force: u32): u32 {
  return 0;
}
