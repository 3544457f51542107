/**
 * zsmalloc: slots of one size packed across chained frames.
 *
 * What it is. The densest of the five for compressed pages. A zspage is a chain
 * of 1..16 frames seen as one run of bytes and cut into N slots of its class's
 * size; a slot may straddle two frames, so almost nothing is lost at frame ends.
 * Handles go through a table of records (mem/handle.ts), so objects can be moved
 * and compact() can empty sparse zspages into fuller ones.
 *
 *   zspage of class 1632, 2 frames, 5 slots
 *   ┌──────────────┬──────────────┬───────╫───────┬──────────────┬────────────┬──┐
 *   │ slot 0       │ slot 1       │ slot 2        │ slot 3       │ slot 4     │  │
 *   └──────────────┴──────────────┴───────╫───────┴──────────────┴────────────┴──┘
 *   0            1632           3264     4096    4896          6528        8160  8192
 *   slot: [ 4 bytes | payload, slack ]
 *
 * The 4 bytes are kept free, since the geometry (and so every figure) depends on
 * them, but nothing is stored there: the words of slots are in the descriptor of
 * their zspage. In the slot each free and each malloc would touch a cold line of a
 * cold page, which was a fifth of what they cost. What both ask of a zspage lies in the
 * table entry of its first frame, so the way there is record, entry, class: they are
 * drawn in zsmalloc-zspage.ts.
 *
 * A fresh zspage is not written: its slots are handed out in ascending order
 * from the fresh mark once the list of freed slots (last freed first) is empty,
 * which is the same order as a list made of all of them (F1, F2).
 *
 * Each fullness group of a class has a list, that of the full ones too, though
 * nothing looks there (G3): so a zspage that changes its group always leaves a
 * list and joins one.
 *
 * Vital statistics: largest object 4096; overhead an object 4 (in the slot) + 4
 * (word) + 8 (record) + at most 15 (class step) bytes; a zspage 8 and 4 a frame, its
 * descriptor rounded up to the next size; malloc and free O(1); density 0.97 on
 * uniform sizes at chain 8.
 *
 * Options: word 0 chain 1..16, word 1 chain rule, word 2 fullness groups. 12
 * groups come with insertion at the head and the compaction of 6.4, 4 groups
 * with "second place" insertion and the compaction of 6.1 (V1).
 *
 * Source: Linux mm/zsmalloc.c of 6.1 (percent rule, 4 groups), 6.4 and 6.12
 * (bytes rule, 12 groups; the LRU as in 6.2..6.4). Rule numbers (C, S, F, G, L,
 * M, D, K, J, U, E, P, Q) are those of docs/rules/zsmalloc.md.
 * Ours: validated handles, map counts, and of the defects of the historic
 * writeback patches none: freed handles under reclaim are released when the
 * reclaim of that zspage ends, a victim is chosen by LRU over all classes, full
 * zspages are candidates.
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
  handleEnd,
  handleFor,
  handleFrameEnds,
  handleInit,
  handleOf,
  handleOwner,
  handleReady,
  handleRecord,
  handleUnready,
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

/** Frames of class records; 0 for options out of range. */
export function initFrames(chain: u32, rule: u32, groups: u32): u32 {
  return chain < 1 || chain > CHAIN_MAX || rule > RULE_PERCENT ? 0 : classFrames(chain, rule);
}

/** Class records go to frames of their own. EINVAL for options out of range, ENOMEM without a frame. */
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

/** zs_huge_class_size: the largest class with two or more slots a zspage, without the word of a slot. */
export function hugeSize(pool: usize): u32 {
  for (let ordinal: u32 = 0; ordinal < load<u32>(pool + CLASS_COUNT); ordinal++) {
    const cls = classAt(pool, ordinal);
    if (!isHuge(cls)) return <u32>sizeClass(cls).size - WORD;
  }
  return 0;
}

/** Bytes of the class, its word included. */
export function rounded(pool: usize, size: u32): u32 {
  return sizeClass(classFor(pool, size)).size;
}

/** M1..M4. EINVAL size 0, ENOSPC above 4096, ENOMEM without a frame. */
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

/** An object as any other. */
export function mallocRaw(pool: usize): u32 {
  return malloc(pool, PAGE_SIZE);
}

/** In the object's handle record. */
export function ownerOf(pool: usize, handle: u32): usize {
  return handleOwner(pool, handle);
}

/** Readies a handle record and, unless there is one with room, a zspage. 0 without a frame, and nothing has changed. */
function makeRoom(pool: usize, cls: usize, zspage: usize): usize {
  let frames = slabNeeds(pool + POOL_HANDLES);
  if (zspage == 0) frames += slabNeeds(slabOf(pool, cls)) + <u32>sizeClass(cls).pages;
  if (!frameRoom(frames) || !handleReady(pool)) return 0;
  if (zspage == 0) {
    zspage = zspageCreate(pool, cls);
    if (zspage == 0) handleUnready(pool);
  }
  return zspage;
}

/** D1, E5. EINVAL for a handle that is not live here, EBUSY while it is mapped. */
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
    // The record stays until the reclaim of its zspage ends, so that the handle is not given out anew.
    zspageAt(zspage).word = word;
    setSlotWord(zspage, cls, slotOf(place), (<u32>record) | TAG_DEFERRED);
    setRecordWord(record, place | DEFERRED);
    return 0;
  }
  giveSlot(zspage, cls, slotOf(place));
  handleEnd(pool, record);
  if ((word & LOW) == 0) zspageEnds(pool, zspage, word);
  else regroup(pool, cls, zspage, word);
  return 0;
}

/** The last object of a zspage is freed. */
function zspageEnds(pool: usize, zspage: usize, word: u32): void {
  zspageAt(zspage).word = word;
  delist(classOf(pool, zspage), zspage);
  zspageFree(pool, zspage);
}

/**
 * The bytes of an object where they lie: address of the first, OUT_LENGTH bytes
 * there, the rest at OUT_SECOND (0: all in one frame), OUT_SIZE in all. While
 * the object is mapped through a buffer, that is where its bytes are.
 * @param writing the access changes the object: U4
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

/** Splits the payload of a slot into its one or two parts; see span. */
function payload(cls: usize, zspage: usize, slot: u32, size: u32): u32 {
  const at = payloadAt(cls, slot);
  const room = PAGE_SIZE - (at & PAGE_MASK);
  setOut(OUT_LENGTH, min(size, room));
  setOut(OUT_SECOND, size <= room ? 0 : <u32>frameAddress(frameInChain(zspage, (at >> PAGE_SHIFT) + 1)));
  return <u32>frameAddress(frameInChain(zspage, at >> PAGE_SHIFT)) + (at & PAGE_MASK);
}

/**
 * P1, Q2: where an object lies. Frame; offset of the data in OUT_OFFSET,
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
  // The frame in which the slot begins: its word and its data are never parted.
  return frameInChain(zspage, at >> PAGE_SHIFT);
}

// ── mapping (P1) ─────────────────────────────────────────────────────────────

/**
 * Address of all the object's bytes in one piece until unmap; size in OUT_SIZE.
 * A straddling object is mapped through a buffer frame, one for all its maps.
 * @param writable rw or wo: the buffer is written back at the last unmap
 * @param discard wo: the buffer starts as zeros, and the zspage moves to the
 *   front of the LRU (U2)
 * @returns EINVAL, ENOMEM without a frame for the buffer, EBUSY at 1023 maps
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
  // S5: by the slot, not by the payload.
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

/** Takes a buffer for a straddling object whose payload() has just been split. */
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

/** E2: takes the least recently written zspage without a mapped object off all lists. Its first frame, 0 for none. */
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

/** The zspage of a victim's number; 0 for any other. */
function victimZspage(pool: usize, victim: u32): usize {
  if (!frameExists(victim)) return 0;
  const entry = entryOf(victim);
  // The word of a further frame is 0.
  return entryOwner(entry) == ((<u32>pool) | FRAME_DATA) && (stateOf(entry) & ISOLATED) != 0 ? entry : 0;
}

/** E3: the first live handle of a victim at or behind slot `cursor`, 0 for none; the next cursor in OUT_CURSOR. EINVAL. */
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

/** E6..E9: ends the reclaim of a victim. Frames given back, or 0 and it is at the front of the LRU again. EINVAL. */
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

/** E9: ascending over all slots that are not allocated; the records of E5 are let go. */
function rebuildFreeList(pool: usize, cls: usize, zspage: usize): void {
  let head = NONE;
  for (let slot = freshOf(zspage); slot-- > 0;) {
    const word = slotWord(zspage, cls, slot);
    if ((word & TAG_USED) != 0) continue;
    if ((word & TAGS) == TAG_DEFERRED) handleEnd(pool, <usize>(word & ~TAGS));
    setSlotWord(zspage, cls, slot, head << NEXT_SHIFT);
    head = slot;
  }
  setFreed(zspage, head);
}

/** Nothing is put off. */
export function runDeferred(pool: usize, force: u32): u32 {
  return 0;
}
