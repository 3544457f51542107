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
 *   slot: [ word | payload, slack ]   word: handle record | 1      allocated
 *                                           next free slot << 2    free
 *                                           handle record | 2      freed under reclaim
 *
 * The huge class (one slot of 4096 bytes in one frame) has no word in the slot;
 * its handle record is named in the frame's entry.
 *
 *   entry   8 zspage descriptor   12 place in the chain   16 handle record (huge)
 *   zspage descriptor, in a slab: 28 + 4 · chain bytes, rounded up to 16
 *     0 u16 objects in use   2 u8 class   3 u8 fullness group | LRU 0x10 | isolated 0x20
 *     4 u16 last freed slot (or NONE)     6 u16 fresh mark: slots from here were never used
 *     8 u16 objects mapped  12 links: list of the group   20 links: LRU
 *    28 frames
 *   pool  256 class map, class records (zsmalloc-classes.ts)
 *
 * A fresh zspage is not written: its slots are handed out in ascending order
 * from the fresh mark once the list of freed slots (last freed first) is empty,
 * which is the same order as a list made of all of them (F1, F2).
 *
 * Full zspages are on no list of their class: nothing looks for them (G3).
 *
 * While a straddling object is mapped its record names a buffer frame, and the
 * entry of that frame says where the object is:
 *   entry   8 location   12 handle record   16 the record again: write back at the
 *           last unmap; or its complement: do not
 *
 * Vital statistics: largest object 4096; overhead an object 4 (word) + 8
 * (record) + at most 15 (class step) bytes; a zspage 64 bytes at chain 8; malloc
 * and free O(1); density 0.97 on uniform sizes at chain 8.
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
import { EBUSY, EINVAL, ENOMEM, ENOSPC } from '../base/errno';
import { invariant } from '../base/debug';
import { listInsertAfter, listNext, listPrevious, listPush, listRemove, listTail, listToFront } from '../base/list';
import { frameAlloc, frameFree, frameRoom, needed } from '../mem/frame';
import {
  BUFFERED, DEFERRED, MAPS_MAX, RECORD_BYTES, addRecordMaps, handleAlloc, handleCancel, handleFree, handleInit,
  handleOf, handleRecord, recordIsSound, recordMaps, recordSize, recordWord, setRecordWord,
} from '../mem/handle';
import {
  BOOT_BUMP, BOOT_FIRST, FRAME_BUFFER, FRAME_DATA, FRAME_HANDLES, FRAME_POOL_MORE, FRAME_SLAB, PAGE_MASK, PAGE_SHIFT,
  PAGE_SIZE, boot, entryOf, entryOwner, frameAddress, frameExists,
} from '../mem/layout';
import {
  POOL_DESCRIPTORS, POOL_HANDLES, POOL_LRU, countIsolated, countMap, countMoves, countObject, poolAt, poolOption,
  setPoolOption, uncountMap, uncountObject,
} from '../mem/pool';
import { OUT_A, OUT_B, OUT_C, OUT_LENGTH, OUT_SECOND, OUT_SIZE, blockBuffer, out, setOut } from '../mem/scratch';
import { gather, scatter } from '../mem/span';
import { slabAlloc, slabCheck, slabFree, slabInit, slabNeeds, slabNext } from '../mem/slab';
import {
  RULE_BUFFER, RULE_CLASS, RULE_ENTRY, RULE_HANDLE, RULE_LIST, RULE_LRU, RULE_MAPS, RULE_POOL, RULE_POOL_COUNT,
  RULE_SLOT, RULE_ZSPAGE, UNSOUND, broken, isRecord, listLength,
} from '../mem/verify';
import { walkFree, walkObject } from '../mem/walk';
import {
  CLASS_COUNT, CLASS_FRAMES, CLASS_MAP, RULE_PERCENT, WORD, classAt, classFor, classFrames, classIndex, layClasses,
  SizeClass,
} from './zsmalloc-classes';

// ── layout ───────────────────────────────────────────────────────────────────

// @ts-ignore: decorator
@inline const NONE: u32 = 0xFFFF;
// @ts-ignore: decorator
@inline const GROUP_MASK: u32 = 0x0F;
// @ts-ignore: decorator
@inline const ON_LRU: u32 = 0x10;
// @ts-ignore: decorator
@inline const ISOLATED: u32 = 0x20;
// @ts-ignore: decorator
@inline const LINKS: usize = 12;
// @ts-ignore: decorator
@inline const LRU_LINKS: usize = 20;
// @ts-ignore: decorator
@inline const FRAMES: usize = 28;
// @ts-ignore: decorator
@inline const CLASS_LISTS: usize = 16;
// @ts-ignore: decorator
@inline const TAG_USED: u32 = 1;
// @ts-ignore: decorator
@inline const TAG_DEFERRED: u32 = 2;
// @ts-ignore: decorator
@inline const TAGS: u32 = 3;
// @ts-ignore: decorator
@inline const NEXT_SHIFT: u32 = 2;
// @ts-ignore: decorator
@inline const CHAIN_MAX: u32 = 16;

@unmanaged
class Zspage {
  inuse: u16;
  ordinal: u8;
  state: u8;
  freed: u16;
  fresh: u16;
  mapped: u16;
  zero: u16;
  previous: u32;
  next: u32;
  lruPrevious: u32;
  lruNext: u32;
}

@unmanaged
class DataEntry {
  owner: u32;
  generations: u32;
  zspage: u32;
  place: u32;
  record: u32; // huge class only
  zero: u32;
  zeroes: u64;
}

@unmanaged
class BufferEntry {
  owner: u32;
  generations: u32;
  location: u32;
  record: u32;
  writeback: u32;
  zero: u32;
  zeroes: u64;
}

// ── accessors ────────────────────────────────────────────────────────────────

// @ts-ignore: decorator
@inline function zspageAt(address: usize): Zspage {
  return changetype<Zspage>(address);
}

// @ts-ignore: decorator
@inline function sizeClass(record: usize): SizeClass {
  return changetype<SizeClass>(record);
}

// @ts-ignore: decorator
@inline function classOf(pool: usize, zspage: usize): usize {
  return classAt(pool, zspageAt(zspage).ordinal);
}

// @ts-ignore: decorator
@inline function chainSize(pool: usize): u32 {
  return poolOption(pool, 0);
}

// @ts-ignore: decorator
@inline function twelveGroups(pool: usize): bool {
  return poolOption(pool, 2) == 12;
}

// @ts-ignore: decorator
@inline function descriptorBytes(chain: u32): u32 {
  return (<u32>FRAMES + 4 * chain + 15) & ~15;
}

// @ts-ignore: decorator
@inline function isHuge(cls: usize): bool {
  return sizeClass(cls).objects == 1;
}

// @ts-ignore: decorator
@inline function frameInChain(zspage: usize, place: u32): u32 {
  return load<u32>(zspage + FRAMES + (<usize>place << 2));
}

/** Address of a slot's first byte. */
// @ts-ignore: decorator
@inline function slotAddress(zspage: usize, size: u32, slot: u32): usize {
  const at = slot * size;
  return frameAddress(frameInChain(zspage, at >> PAGE_SHIFT)) + <usize>(at & PAGE_MASK);
}

/** S5. */
// @ts-ignore: decorator
@inline function straddles(size: u32, slot: u32): bool {
  return ((slot * size) & PAGE_MASK) + size > PAGE_SIZE;
}

// @ts-ignore: decorator
@inline function hugeRecord(zspage: usize): u32 {
  return load<u32>(entryOf(frameInChain(zspage, 0)), 16);
}

/** The word of a slot (S2): in the slot, for the huge class made from the entry. */
function slotWord(zspage: usize, cls: usize, slot: u32): u32 {
  if (!isHuge(cls)) return load<u32>(slotAddress(zspage, sizeClass(cls).size, slot));
  return hugeRecord(zspage);
}

function setSlotWord(zspage: usize, cls: usize, slot: u32, word: u32): void {
  if (!isHuge(cls)) store<u32>(slotAddress(zspage, sizeClass(cls).size, slot), word);
  else store<u32>(entryOf(frameInChain(zspage, 0)), word, 16);
}

/** Word 0 of the record of an object: S4. */
// @ts-ignore: decorator
@inline function locationOf(zspage: usize, size: u32, slot: u32): u32 {
  return (frameInChain(zspage, (slot * size) >> PAGE_SHIFT) << 8) | slot;
}

/** Where a live object is, also while it is mapped through a buffer. */
function location(record: usize): u32 {
  const word = recordWord(record);
  return (word & BUFFERED) != 0 ? bufferEntry(word).location : word;
}

// @ts-ignore: decorator
@inline function bufferEntry(word: u32): BufferEntry {
  return changetype<BufferEntry>(entryOf(word & 0xFFFFF));
}

// @ts-ignore: decorator
@inline function zspageOf(place: u32): usize {
  return changetype<DataEntry>(entryOf(place >> 8)).zspage;
}

// @ts-ignore: decorator
@inline function slotOf(place: u32): u32 {
  return place & 0xFF;
}

// ── fullness groups and lists (G, L) ─────────────────────────────────────────

// @ts-ignore: decorator
@inline function fullGroup(pool: usize): u32 {
  return twelveGroups(pool) ? 11 : 3;
}

/** G1, G2. */
function groupFor(pool: usize, inuse: u32, objects: u32): u32 {
  if (inuse == 0) return 0;
  if (twelveGroups(pool)) return inuse == objects ? 11 : 1 + 10 * inuse / objects;
  if (inuse == objects) return 3;
  return inuse <= 3 * objects / 4 ? 1 : 2;
}

// @ts-ignore: decorator
@inline function groupOf(zspage: usize): u32 {
  return <u32>zspageAt(zspage).state & GROUP_MASK;
}

// @ts-ignore: decorator
@inline function listCell(cls: usize, group: u32): usize {
  return cls + CLASS_LISTS + (<usize>group << 2);
}

// @ts-ignore: decorator
@inline function listHead(cls: usize, group: u32): usize {
  return <usize>load<u32>(listCell(cls, group));
}

/** L2, L3: puts a zspage on the list of its group. Empty and full ones go on none. */
function enlist(pool: usize, cls: usize, zspage: usize): void {
  const inuse = <u32>zspageAt(zspage).inuse;
  const group = groupFor(pool, inuse, sizeClass(cls).objects);
  zspageAt(zspage).state = <u8>((<u32>zspageAt(zspage).state & ~GROUP_MASK) | group);
  if (group == 0 || group == fullGroup(pool)) return;
  const cell = listCell(cls, group);
  const head = <usize>load<u32>(cell);
  if (!twelveGroups(pool) && head != 0 && inuse < <u32>zspageAt(head).inuse) listInsertAfter(cell, head, zspage, LINKS);
  else listPush(cell, zspage, LINKS);
  sizeClass(cls).groups = <u16>(<u32>sizeClass(cls).groups | (<u32>1 << group));
}

function delist(pool: usize, cls: usize, zspage: usize): void {
  const group = groupOf(zspage);
  if (group == 0 || group == fullGroup(pool)) return;
  const cell = listCell(cls, group);
  listRemove(cell, zspage, LINKS);
  if (load<u32>(cell) == 0) sizeClass(cls).groups = <u16>(<u32>sizeClass(cls).groups & ~(<u32>1 << group));
}

/** L4: a zspage whose group did not change keeps its place. */
function regroup(pool: usize, cls: usize, zspage: usize): void {
  if (groupFor(pool, zspageAt(zspage).inuse, sizeClass(cls).objects) == groupOf(zspage)) return;
  delist(pool, cls, zspage);
  enlist(pool, cls, zspage);
}

/** Head of the fullest list that is not full, 0 when there is none: M1. */
// @ts-ignore: decorator
@inline function fullest(cls: usize): usize {
  const groups = <u32>sizeClass(cls).groups;
  return groups == 0 ? 0 : listHead(cls, 31 - clz<u32>(groups));
}

/** Head of the emptiest list, 0 when there is none. */
// @ts-ignore: decorator
@inline function emptiest(cls: usize): usize {
  const groups = <u32>sizeClass(cls).groups;
  return groups == 0 ? 0 : listHead(cls, ctz<u32>(groups));
}

// ── slots and zspages ────────────────────────────────────────────────────────

/** F2: takes the last freed slot, else the next one never used. */
function takeSlot(zspage: usize, cls: usize): u32 {
  invariant(zspageAt(zspage).inuse < sizeClass(cls).objects);
  let slot = <u32>zspageAt(zspage).freed;
  if (slot != NONE) {
    zspageAt(zspage).freed = <u16>(slotWord(zspage, cls, slot) >> NEXT_SHIFT);
  } else {
    slot = <u32>zspageAt(zspage).fresh;
    zspageAt(zspage).fresh = <u16>(slot + 1);
  }
  zspageAt(zspage).inuse += 1;
  return slot;
}

/** F2: the slot becomes the head of the free list. */
function giveSlot(zspage: usize, cls: usize, slot: u32): void {
  setSlotWord(zspage, cls, slot, <u32>zspageAt(zspage).freed << NEXT_SHIFT);
  zspageAt(zspage).freed = <u16>slot;
  zspageAt(zspage).inuse -= 1;
}

/** M3: a zspage of k frames, on no list; 0 without a frame, and nothing is kept then. */
function zspageCreate(pool: usize, ordinal: u32): usize {
  const cls = classAt(pool, ordinal);
  const pages = <u32>sizeClass(cls).pages;
  const zspage = slabAlloc(pool + POOL_DESCRIPTORS);
  if (zspage == 0) return 0;
  memory.fill(zspage, 0, <usize>descriptorBytes(chainSize(pool)));
  for (let place: u32 = 0; place < pages; place++) {
    const frame = frameAlloc(<u32>pool | FRAME_DATA);
    if (frame == 0) {
      while (place-- > 0) frameFree(frameInChain(zspage, place));
      slabFree(pool + POOL_DESCRIPTORS, zspage);
      return 0;
    }
    store<u32>(zspage + FRAMES + (<usize>place << 2), frame);
    const entry = changetype<DataEntry>(entryOf(frame));
    entry.zspage = <u32>zspage;
    entry.place = place;
  }
  zspageAt(zspage).ordinal = <u8>ordinal;
  zspageAt(zspage).freed = <u16>NONE;
  sizeClass(cls).allocated += <u32>sizeClass(cls).objects;
  poolAt(pool).frames += pages;
  return zspage;
}

/** D1: frames and descriptor of an empty zspage that is off its group's list go back. Returns the frames. */
function zspageFree(pool: usize, zspage: usize): u32 {
  const cls = classOf(pool, zspage);
  const pages = <u32>sizeClass(cls).pages;
  invariant(zspageAt(zspage).inuse == 0);
  if ((<u32>zspageAt(zspage).state & ON_LRU) != 0) listRemove(pool + POOL_LRU, zspage, LRU_LINKS);
  for (let place: u32 = 0; place < pages; place++) frameFree(frameInChain(zspage, place));
  sizeClass(cls).allocated -= <u32>sizeClass(cls).objects;
  poolAt(pool).frames -= pages;
  slabFree(pool + POOL_DESCRIPTORS, zspage);
  return pages;
}

/** U2, U5: a write puts the zspage at the front of the LRU, unless it is under reclaim. */
function touch(pool: usize, zspage: usize): void {
  const state = <u32>zspageAt(zspage).state;
  if ((state & ISOLATED) != 0) return;
  if ((state & ON_LRU) != 0) {
    listToFront(pool + POOL_LRU, zspage, LRU_LINKS);
    return;
  }
  zspageAt(zspage).state = <u8>(state | ON_LRU);
  listPush(pool + POOL_LRU, zspage, LRU_LINKS);
}

// ── API ──────────────────────────────────────────────────────────────────────

/** Frames of class records that a pool with these options takes at once; 0 for options out of range. */
export function zsTableFrames(chain: u32, rule: u32): u32 {
  return chain < 1 || chain > CHAIN_MAX || rule > RULE_PERCENT ? 0 : classFrames(chain, rule);
}

/** Class records go to frames of their own. EINVAL for options out of range, ENOMEM without a frame. */
export function zsInit(pool: usize, chain: u32, rule: u32, groups: u32): u32 {
  if (zsTableFrames(chain, rule) == 0 || (groups != 12 && groups != 4)) return EINVAL;
  setPoolOption(pool, 0, chain);
  setPoolOption(pool, 1, rule);
  setPoolOption(pool, 2, groups);
  const frames = classFrames(chain, rule);
  for (let i: u32 = 0; i < frames; i++) {
    const frame = frameAlloc(<u32>pool | FRAME_POOL_MORE);
    if (frame == 0) return ENOMEM;
    store<u32>(pool + CLASS_FRAMES + (<usize>i << 2), <u32>frameAddress(frame));
    poolAt(pool).tableFrames += 1;
  }
  layClasses(pool, chain, rule, false);
  handleInit(pool);
  slabInit(pool + POOL_DESCRIPTORS, descriptorBytes(chain), FRAME_SLAB);
  return 0;
}

/** M1..M4. EINVAL size 0, ENOSPC above 4096, ENOMEM without a frame. */
export function zsMalloc(pool: usize, size: u32): u32 {
  if (size == 0) return EINVAL;
  if (size > PAGE_SIZE) return ENOSPC;
  const ordinal = <u32>load<u8>(pool + CLASS_MAP + <usize>classIndex(size));
  const cls = classAt(pool, ordinal);
  let zspage = fullest(cls);
  let frames = slabNeeds(pool + POOL_HANDLES);
  if (zspage == 0) frames += slabNeeds(pool + POOL_DESCRIPTORS) + <u32>sizeClass(cls).pages;
  if (frames != 0 && !frameRoom(frames)) return ENOMEM;
  const record = handleAlloc(pool, size);
  if (record == 0) return ENOMEM;
  let slot: u32;
  if (zspage != 0) {
    slot = takeSlot(zspage, cls);
    regroup(pool, cls, zspage);
  } else {
    zspage = zspageCreate(pool, ordinal);
    if (zspage == 0) {
      handleCancel(pool, record);
      return ENOMEM;
    }
    slot = takeSlot(zspage, cls);
    enlist(pool, cls, zspage);
  }
  setRecordWord(record, locationOf(zspage, sizeClass(cls).size, slot));
  setSlotWord(zspage, cls, slot, <u32>record | TAG_USED);
  sizeClass(cls).used += 1;
  countObject(pool, size);
  return handleOf(record);
}

/** D1, E5. EINVAL for a handle that is not live here, EBUSY while it is mapped. */
export function zsFree(pool: usize, handle: u32): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  if (recordMaps(record) != 0) return EBUSY;
  const place = recordWord(record);
  const zspage = zspageOf(place);
  const cls = classOf(pool, zspage);
  uncountObject(pool, recordSize(record));
  sizeClass(cls).used -= 1;
  if ((<u32>zspageAt(zspage).state & ISOLATED) != 0) {
    // The record stays until the reclaim of its zspage ends, so that the handle is not given out anew.
    setSlotWord(zspage, cls, slotOf(place), <u32>record | TAG_DEFERRED);
    setRecordWord(record, place | DEFERRED);
    zspageAt(zspage).inuse -= 1;
    return 0;
  }
  giveSlot(zspage, cls, slotOf(place));
  handleFree(pool, record);
  if (zspageAt(zspage).inuse == 0) {
    delist(pool, cls, zspage);
    zspageFree(pool, zspage);
  } else {
    regroup(pool, cls, zspage);
  }
  return 0;
}

/**
 * The bytes of an object where they lie: address of the first, OUT_LENGTH bytes
 * there, the rest at OUT_SECOND (0: all in one frame), OUT_SIZE in all. While
 * the object is mapped through a buffer, that is where its bytes are.
 * @param writing the access changes the object: U4
 */
export function zsSpan(pool: usize, handle: u32, writing: bool): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  const size = recordSize(record);
  const place = location(record);
  const zspage = zspageOf(place);
  if (writing) touch(pool, zspage);
  setOut(OUT_SIZE, size);
  const word = recordWord(record);
  if ((word & BUFFERED) != 0) {
    if (writing) bufferEntry(word).writeback = <u32>record;
    setOut(OUT_LENGTH, size);
    setOut(OUT_SECOND, 0);
    return <u32>frameAddress(word & 0xFFFFF);
  }
  return payload(classOf(pool, zspage), zspage, slotOf(place), size);
}

/** Splits the payload of a slot into its one or two parts; see zsSpan. */
function payload(cls: usize, zspage: usize, slot: u32, size: u32): u32 {
  const at = slot * <u32>sizeClass(cls).size + (isHuge(cls) ? 0 : WORD);
  const address = <u32>frameAddress(frameInChain(zspage, at >> PAGE_SHIFT)) + (at & PAGE_MASK);
  const room = PAGE_SIZE - (at & PAGE_MASK);
  if (size <= room) {
    setOut(OUT_LENGTH, size);
    setOut(OUT_SECOND, 0);
  } else {
    setOut(OUT_LENGTH, room);
    setOut(OUT_SECOND, <u32>frameAddress(frameInChain(zspage, (at >> PAGE_SHIFT) + 1)));
  }
  return address;
}

/**
 * P1, Q2: where an object lies. Frame; offset of the data in OUT_A, class index
 * in OUT_B, slot in OUT_C. EINVAL.
 */
export function zsLocate(pool: usize, handle: u32): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  const place = location(record);
  const cls = classOf(pool, zspageOf(place));
  const at = slotOf(place) * <u32>sizeClass(cls).size + (isHuge(cls) ? 0 : WORD);
  setOut(OUT_A, at & PAGE_MASK);
  setOut(OUT_B, sizeClass(cls).index);
  setOut(OUT_C, slotOf(place));
  return place >> 8;
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
export function zsMap(pool: usize, handle: u32, writable: bool, discard: bool): u32 {
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
    if (writable) bufferEntry(recordWord(record)).writeback = <u32>record;
    address = <u32>frameAddress(recordWord(record) & 0xFFFFF);
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
  const frame = frameAlloc(<u32>pool | FRAME_BUFFER);
  if (frame == 0) {
    needed(1);
    return false;
  }
  if (!discard) gather(frameAddress(frame), address, recordSize(record));
  const entry = changetype<BufferEntry>(entryOf(frame));
  entry.location = place;
  entry.record = <u32>record;
  entry.writeback = ~<u32>record;
  setRecordWord(record, BUFFERED | frame);
  return true;
}

/** Ends one map. EINVAL also for an object that is not mapped. */
export function zsUnmap(pool: usize, handle: u32): u32 {
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
  const buffer = word & 0xFFFFF;
  if (bufferEntry(word).writeback == <u32>record) {
    const size = recordSize(record);
    scatter(frameAddress(buffer), payload(classOf(pool, zspage), zspage, slotOf(place), size), size);
  }
  setRecordWord(record, place);
  frameFree(buffer);
  return 0;
}

// ── compaction (K, J) ────────────────────────────────────────────────────────

/** K1. */
// @ts-ignore: decorator
@inline function classFreeable(cls: usize): u32 {
  return (sizeClass(cls).allocated - sizeClass(cls).used) / <u32>sizeClass(cls).objects * <u32>sizeClass(cls).pages;
}

/** Frames that compact() would give back; never less than it does. */
export function zsFreeable(pool: usize): u32 {
  const count = load<u32>(pool + CLASS_COUNT);
  let frames: u32 = 0;
  for (let ordinal: u32 = 0; ordinal < count; ordinal++) frames += classFreeable(classAt(pool, ordinal));
  return frames;
}

/** Copies bytes of a zspage, run to run, over frame borders of both. */
function copyRun(target: usize, targetAt: u32, source: usize, sourceAt: u32, bytes: u32): void {
  while (bytes != 0) {
    const room = min(PAGE_SIZE - (targetAt & PAGE_MASK), PAGE_SIZE - (sourceAt & PAGE_MASK));
    const step = min(room, bytes);
    memory.copy(
      frameAddress(frameInChain(target, targetAt >> PAGE_SHIFT)) + <usize>(targetAt & PAGE_MASK),
      frameAddress(frameInChain(source, sourceAt >> PAGE_SHIFT)) + <usize>(sourceAt & PAGE_MASK),
      step,
    );
    targetAt += step;
    sourceAt += step;
    bytes -= step;
  }
}

/** Moves the object of one slot: K2.3. Returns its payload bytes. */
function moveObject(cls: usize, source: usize, slot: u32, target: usize): u32 {
  const size = <u32>sizeClass(cls).size;
  const record = <usize>(slotWord(source, cls, slot) & ~TAGS);
  const to = takeSlot(target, cls);
  copyRun(target, to * size, source, slot * size, size);
  setRecordWord(record, locationOf(target, size, to));
  giveSlot(source, cls, slot);
  return recordSize(record);
}

// @ts-ignore: decorator
@inline function isFull(cls: usize, zspage: usize): bool {
  return zspageAt(zspage).inuse == sizeClass(cls).objects;
}

/**
 * Moves the objects of `source` from slot `from` on into `target`, until that is
 * full or no object is left. Returns the slot at which it stopped (N: none left).
 */
function moveObjects(pool: usize, cls: usize, source: usize, from: u32, target: usize): u32 {
  const fresh = <u32>zspageAt(source).fresh;
  let moved: u32 = 0;
  let bytes: u32 = 0;
  let slot = from;
  for (; slot < fresh; slot++) {
    if ((slotWord(source, cls, slot) & TAG_USED) == 0) continue;
    if (isFull(cls, target)) break;
    bytes += moveObject(cls, source, slot, target);
    moved += 1;
  }
  if (moved != 0) countMoves(pool, <f64>moved, <f64>bytes);
  return slot >= fresh ? <u32>sizeClass(cls).objects : slot;
}

/**
 * Empties sparse zspages into fuller ones, class by class.
 * @param victims the most zspages to take as a source
 * @returns frames given back
 */
export function zsCompact(pool: usize, victims: u32): u32 {
  const count = load<u32>(pool + CLASS_COUNT);
  let freed: u32 = 0;
  setOut(OUT_C, victims);
  for (let ordinal: u32 = 0; ordinal < count; ordinal++) {
    const cls = classAt(pool, ordinal);
    freed += twelveGroups(pool) ? compactTwelve(pool, cls) : compactFour(pool, cls);
  }
  return freed;
}

/** Takes one from the budget; false when it is used up. */
function budget(): bool {
  const left = out(OUT_C);
  if (left == 0) return false;
  setOut(OUT_C, left - 1);
  return true;
}

/** K2..K5, K8. */
function compactTwelve(pool: usize, cls: usize): u32 {
  let freed: u32 = 0;
  let target: usize = 0;
  while (classFreeable(cls) != 0 && budget()) {
    if (target == 0) {
      target = fullest(cls);
      if (target == 0) break;
      delist(pool, cls, target);
    }
    const source = emptiest(cls);
    if (source == 0) break;
    delist(pool, cls, source);
    if (zspageAt(source).mapped != 0) {
      enlist(pool, cls, source);
      break;
    }
    moveObjects(pool, cls, source, 0, target);
    enlist(pool, cls, source);
    if (zspageAt(source).inuse == 0) freed += zspageFree(pool, source);
    if (isFull(cls, target)) {
      enlist(pool, cls, target);
      target = 0;
    }
  }
  if (target != 0) enlist(pool, cls, target);
  return freed;
}

/** Takes the head of the fuller of the two lists off it: J1. */
function takeTarget(pool: usize, cls: usize): usize {
  const target = fullest(cls);
  if (target != 0) delist(pool, cls, target);
  return target;
}

/** J2, J3, K8. */
function compactFour(pool: usize, cls: usize): u32 {
  let freed: u32 = 0;
  while (true) {
    const source = emptiest(cls);
    if (source == 0) return freed;
    delist(pool, cls, source);
    if (classFreeable(cls) == 0 || zspageAt(source).mapped != 0 || !budget()) {
      enlist(pool, cls, source);
      return freed;
    }
    const objects = <u32>sizeClass(cls).objects;
    let slot: u32 = 0;
    while (true) {
      const target = takeTarget(pool, cls);
      if (target == 0) {
        enlist(pool, cls, source);
        return freed;
      }
      slot = moveObjects(pool, cls, source, slot, target);
      enlist(pool, cls, target);
      if (slot == objects) break;
    }
    freed += zspageFree(pool, source);
  }
}

// ── reclaim (E) ──────────────────────────────────────────────────────────────

/** E2: takes the least recently written zspage without a mapped object off all lists. Its first frame, 0 for none. */
export function zsIsolate(pool: usize): u32 {
  const first = <usize>load<u32>(pool + POOL_LRU);
  let zspage = listTail(pool + POOL_LRU, LRU_LINKS);
  while (zspage != 0 && zspageAt(zspage).mapped != 0) {
    zspage = zspage == first ? 0 : listPrevious(zspage, LRU_LINKS);
  }
  if (zspage == 0) return 0;
  listRemove(pool + POOL_LRU, zspage, LRU_LINKS);
  delist(pool, classOf(pool, zspage), zspage);
  zspageAt(zspage).state = <u8>ISOLATED;
  countIsolated(pool, 1);
  return frameInChain(zspage, 0);
}

/** The zspage of a victim's number; 0 for any other. */
function victimZspage(pool: usize, victim: u32): usize {
  if (!frameExists(victim)) return 0;
  const entry = entryOf(victim);
  if (entryOwner(entry) != (<u32>pool | FRAME_DATA) || changetype<DataEntry>(entry).place != 0) return 0;
  const zspage = <usize>changetype<DataEntry>(entry).zspage;
  return (<u32>zspageAt(zspage).state & ISOLATED) != 0 ? zspage : 0;
}

/** E3: the first live handle of a victim at or behind slot `cursor`, 0 for none; the next cursor in OUT_A. EINVAL. */
export function zsVictimNext(pool: usize, victim: u32, cursor: u32): u32 {
  const zspage = victimZspage(pool, victim);
  if (zspage == 0) return EINVAL;
  const cls = classOf(pool, zspage);
  const fresh = <u32>zspageAt(zspage).fresh;
  for (; cursor < fresh; cursor++) {
    const word = slotWord(zspage, cls, cursor);
    if ((word & TAG_USED) != 0) {
      setOut(OUT_A, cursor + 1);
      return handleOf(<usize>(word & ~TAGS));
    }
  }
  return 0;
}

/** E6..E9: ends the reclaim of a victim. Frames given back, or 0 and it is at the front of the LRU again. EINVAL. */
export function zsRelease(pool: usize, victim: u32): u32 {
  const zspage = victimZspage(pool, victim);
  if (zspage == 0) return EINVAL;
  const cls = classOf(pool, zspage);
  countIsolated(pool, -1);
  zspageAt(zspage).state = 0;
  rebuildFreeList(pool, cls, zspage);
  if (zspageAt(zspage).inuse == 0) return zspageFree(pool, zspage);
  enlist(pool, cls, zspage);
  touch(pool, zspage);
  return 0;
}

/** E9: ascending over all slots that are not allocated; the records of E5 are let go. */
function rebuildFreeList(pool: usize, cls: usize, zspage: usize): void {
  let head = NONE;
  for (let slot = <u32>zspageAt(zspage).fresh; slot-- > 0;) {
    const word = slotWord(zspage, cls, slot);
    if ((word & TAG_USED) != 0) continue;
    if ((word & TAGS) == TAG_DEFERRED) handleFree(pool, <usize>(word & ~TAGS));
    setSlotWord(zspage, cls, slot, head << NEXT_SHIFT);
    head = slot;
  }
  zspageAt(zspage).freed = <u16>head;
}

// ── statistics ───────────────────────────────────────────────────────────────

/** Classes of the pool. */
export function zsClasses(pool: usize): u32 {
  return load<u32>(pool + CLASS_COUNT);
}

/**
 * One class, smallest first, as 20 words at `to`: index, bytes,
 * frames, objects, allocated, used, freeable frames, zspages, then 12 counts of
 * zspages by fullness group. EINVAL beyond the last.
 */
export function zsClassStats(pool: usize, nth: u32, to: usize): u32 {
  const count = load<u32>(pool + CLASS_COUNT);
  if (nth >= count) return EINVAL;
  const ordinal = count - 1 - nth;
  const cls = classAt(pool, ordinal);
  const objects = <u32>sizeClass(cls).objects;
  store<u32>(to, sizeClass(cls).index);
  store<u32>(to, sizeClass(cls).size, 4);
  store<u32>(to, sizeClass(cls).pages, 8);
  store<u32>(to, objects, 12);
  store<u32>(to, sizeClass(cls).allocated, 16);
  store<u32>(to, sizeClass(cls).used, 20);
  store<u32>(to, classFreeable(cls), 24);
  store<u32>(to, sizeClass(cls).allocated / objects, 28);
  memory.fill(to + 32, 0, 48);
  const full = fullGroup(pool);
  let listed: u32 = 0;
  for (let group: u32 = 1; group < full; group++) {
    let length: u32 = 0;
    for (let zspage = listHead(cls, group); zspage != 0; zspage = listNext(zspage, LINKS)) length += 1;
    store<u32>(to + 32 + (<usize>group << 2), length);
    listed += length;
  }
  store<u32>(to + 32 + (<usize>full << 2), sizeClass(cls).allocated / objects - listed - isolatedOf(pool, ordinal));
  return 0;
}

/** Zspages of a class that are under reclaim: they are in no group. */
function isolatedOf(pool: usize, ordinal: u32): u32 {
  if (poolAt(pool).isolated == 0) return 0;
  const cache = pool + POOL_DESCRIPTORS;
  let count: u32 = 0;
  for (let zspage = slabNext(cache, 0); zspage != 0; zspage = slabNext(cache, zspage)) {
    if (<u32>zspageAt(zspage).ordinal == ordinal && (<u32>zspageAt(zspage).state & ISOLATED) != 0) count += 1;
  }
  return count;
}

/** Objects whose slot straddles two frames: S5. */
export function zsSpanning(pool: usize): u32 {
  const cache = pool + POOL_DESCRIPTORS;
  let spanning: u32 = 0;
  for (let zspage = slabNext(cache, 0); zspage != 0; zspage = slabNext(cache, zspage)) {
    const cls = classOf(pool, zspage);
    const size = <u32>sizeClass(cls).size;
    const fresh = <u32>zspageAt(zspage).fresh;
    for (let slot: u32 = 0; slot < fresh; slot++) {
      if (straddles(size, slot) && (slotWord(zspage, cls, slot) & TAG_USED) != 0) spanning += 1;
    }
  }
  return spanning;
}

// ── walk ─────────────────────────────────────────────────────────────────────

/** Reports what lies in a frame: a straddling object appears in both frames, with its part in each. */
export function zsWalk(pool: usize, frame: u32): void {
  const entry = changetype<DataEntry>(entryOf(frame));
  const zspage = <usize>entry.zspage;
  const cls = classOf(pool, zspage);
  const size = <u32>sizeClass(cls).size;
  const start = entry.place << PAGE_SHIFT;
  const end = start + PAGE_SIZE;
  const objects = <u32>sizeClass(cls).objects;
  for (let slot = start / size; slot < objects && slot * size < end; slot++) {
    const word = slot < <u32>zspageAt(zspage).fresh ? slotWord(zspage, cls, slot) : 0;
    if ((word & TAG_USED) != 0) {
      const record = <usize>(word & ~TAGS);
      const data = slot * size + (isHuge(cls) ? 0 : WORD);
      const from = max(data, start);
      const to = min(data + recordSize(record), end);
      if (from < to) walkObject(handleOf(record), from - start, to - from);
    } else {
      const from = max(slot * size, start);
      walkFree(from - start, min((slot + 1) * size, end) - from);
    }
  }
}

// ── check ────────────────────────────────────────────────────────────────────

/** Verifies classes, zspages, slots, records, buffers, lists and counters. 0 or EUCLEAN; trusts nothing it reads. */
export function zsCheck(pool: usize): u32 {
  const poolFrame = <u32>(pool >> PAGE_SHIFT);
  const chain = poolOption(pool, 0);
  const rule = poolOption(pool, 1);
  const groups = poolOption(pool, 2);
  if (chain < 1 || chain > CHAIN_MAX || rule > RULE_PERCENT || (groups != 12 && groups != 4) || poolOption(pool, 3) != 0) {
    return broken(RULE_POOL, poolFrame);
  }
  const bytes = descriptorBytes(chain);
  let result = slabCheck(pool + POOL_DESCRIPTORS, bytes, FRAME_SLAB);
  if (result == 0) result = slabCheck(pool + POOL_HANDLES, RECORD_BYTES, FRAME_HANDLES);
  if (result == 0) result = zsClassesCheck(pool, poolFrame, chain, rule);
  if (result == 0) result = zsZspagesCheck(pool, poolFrame, bytes);
  if (result == 0) result = zsFramesCheck(pool, poolFrame, bytes);
  if (result == 0) result = zsRecordsCheck(pool, poolFrame);
  return result;
}

/** The class table is what options demand, and each class adds up. */
function zsClassesCheck(pool: usize, poolFrame: u32, chain: u32, rule: u32): u32 {
  const frames = classFrames(chain, rule);
  if (poolAt(pool).tableFrames != 1 + frames) return broken(RULE_POOL, poolFrame);
  for (let i: u32 = 0; i < 4; i++) {
    const address = load<u32>(pool + CLASS_FRAMES + (<usize>i << 2));
    if (i >= frames) {
      if (address != 0) return broken(RULE_POOL, poolFrame);
      continue;
    }
    const frame = address >> PAGE_SHIFT;
    if ((address & PAGE_MASK) != 0 || !frameExists(frame) || entryOwner(entryOf(frame)) != (<u32>pool | FRAME_POOL_MORE)) {
      return broken(RULE_POOL, poolFrame);
    }
    for (let j: u32 = 0; j < i; j++) {
      if (load<u32>(pool + CLASS_FRAMES + (<usize>j << 2)) == address) return broken(RULE_POOL, poolFrame);
    }
  }
  return layClasses(pool, chain, rule, true) ? 0 : broken(RULE_CLASS, poolFrame);
}

/** Every zspage with its frames and slots; then what they add up to, class by class, and the lists. */
function zsZspagesCheck(pool: usize, poolFrame: u32, bytes: u32): u32 {
  const cache = pool + POOL_DESCRIPTORS;
  const sums = blockBuffer(); // allocated and used of each class
  const count = load<u32>(pool + CLASS_COUNT);
  memory.fill(sums, 0, <usize>(count << 3));
  let isolated: u32 = 0;
  let onLru: u32 = 0;
  let listed: u32 = 0;
  let frames: u32 = 0;
  for (let zspage = slabNext(cache, 0); zspage != 0; zspage = slabNext(cache, zspage)) {
    const result = zspageCheck(pool, zspage, count, bytes);
    if (result != 0) return result;
    const cls = classOf(pool, zspage);
    const state = <u32>zspageAt(zspage).state;
    const sum = sums + (<usize>zspageAt(zspage).ordinal << 3);
    store<u32>(sum, load<u32>(sum) + <u32>sizeClass(cls).objects);
    store<u32>(sum, load<u32>(sum, 4) + <u32>zspageAt(zspage).inuse, 4);
    frames += <u32>sizeClass(cls).pages;
    if ((state & ISOLATED) != 0) isolated += 1;
    else if (groupOf(zspage) != fullGroup(pool)) listed += 1;
    if ((state & ON_LRU) != 0) onLru += 1;
  }
  if (frames != poolAt(pool).frames || isolated != poolAt(pool).isolated) return broken(RULE_POOL_COUNT, poolFrame);
  const owner = <u32>pool | FRAME_SLAB;
  for (let ordinal: u32 = 0; ordinal < count; ordinal++) {
    const cls = classAt(pool, ordinal);
    const classFrame = <u32>(cls >> PAGE_SHIFT);
    const sum = sums + (<usize>ordinal << 3);
    if (sizeClass(cls).allocated != load<u32>(sum) || sizeClass(cls).used != load<u32>(sum, 4)) {
      return broken(RULE_CLASS, classFrame);
    }
    for (let group: u32 = 0; group < 12; group++) {
      const cell = listCell(cls, group);
      const length = listLength(cell, LINKS, listed, owner, bytes);
      if (length == UNSOUND) return broken(RULE_LIST, classFrame);
      if ((length != 0) != ((<u32>sizeClass(cls).groups >> group & 1) != 0)) return broken(RULE_LIST, classFrame);
      for (let zspage = <usize>load<u32>(cell); zspage != 0; zspage = listNext(zspage, LINKS)) {
        if (zspageAt(zspage).ordinal != ordinal || groupOf(zspage) != group || group == 0) {
          return broken(RULE_LIST, <u32>(zspage >> PAGE_SHIFT));
        }
      }
      listed -= length;
    }
    if ((<u32>sizeClass(cls).groups >> 12) != 0) return broken(RULE_LIST, classFrame);
  }
  if (listed != 0) return broken(RULE_LIST, poolFrame);
  if (listLength(pool + POOL_LRU, LRU_LINKS, onLru, owner, bytes) != onLru) return broken(RULE_LRU, poolFrame);
  for (let zspage = <usize>load<u32>(pool + POOL_LRU); zspage != 0; zspage = listNext(zspage, LRU_LINKS)) {
    if ((<u32>zspageAt(zspage).state & ON_LRU) == 0) return broken(RULE_LRU, <u32>(zspage >> PAGE_SHIFT));
  }
  return 0;
}

/** One zspage: state, frames, slots, free list. */
function zspageCheck(pool: usize, zspage: usize, classes: u32, bytes: u32): u32 {
  const where = <u32>(zspage >> PAGE_SHIFT);
  const page = zspageAt(zspage);
  if (<u32>page.ordinal >= classes || page.zero != 0) return broken(RULE_ZSPAGE, where);
  const cls = classAt(pool, page.ordinal);
  const objects = <u32>sizeClass(cls).objects;
  const inuse = <u32>page.inuse;
  const fresh = <u32>page.fresh;
  const state = <u32>page.state;
  if (inuse > objects || fresh > objects || inuse > fresh) return broken(RULE_ZSPAGE, where);
  if ((state & ISOLATED) != 0) {
    if (state != ISOLATED) return broken(RULE_ZSPAGE, where);
  } else if (inuse == 0 || (state & ~ON_LRU) != groupFor(pool, inuse, objects)) return broken(RULE_ZSPAGE, where);
  if (((state & ISOLATED) != 0 || (state & GROUP_MASK) == fullGroup(pool)) && (page.previous != 0 || page.next != 0)) {
    return broken(RULE_LIST, where);
  }
  if ((state & ON_LRU) == 0 && (page.lruPrevious != 0 || page.lruNext != 0)) return broken(RULE_LRU, where);
  const places = (bytes - <u32>FRAMES) >> 2;
  for (let place: u32 = 0; place < places; place++) {
    const frame = frameInChain(zspage, place);
    if (place >= <u32>sizeClass(cls).pages) {
      if (frame != 0) return broken(RULE_ZSPAGE, where);
      continue;
    }
    if (!frameExists(frame)) return broken(RULE_ZSPAGE, where);
    const entry = changetype<DataEntry>(entryOf(frame));
    if (entry.owner != (<u32>pool | FRAME_DATA) || entry.zspage != <u32>zspage || entry.place != place) {
      return broken(RULE_ENTRY, frame);
    }
  }
  return slotsCheck(pool, zspage, cls);
}

/** The slots of a zspage whose frames are sound. */
function slotsCheck(pool: usize, zspage: usize, cls: usize): u32 {
  const where = frameInChain(zspage, 0);
  const page = zspageAt(zspage);
  const fresh = <u32>page.fresh;
  const size = <u32>sizeClass(cls).size;
  let used: u32 = 0;
  let free: u32 = 0;
  let mapped: u32 = 0;
  for (let slot: u32 = 0; slot < fresh; slot++) {
    const word = slotWord(zspage, cls, slot);
    const tag = word & TAGS;
    if (tag == 0) {
      free += 1;
      continue;
    }
    if (tag == TAGS || (tag == TAG_DEFERRED && (<u32>page.state & ISOLATED) == 0)) return broken(RULE_SLOT, where);
    const record = <usize>(word & ~TAGS);
    if (!isRecord(record, <u32>pool | FRAME_HANDLES, RECORD_BYTES)) return broken(RULE_SLOT, where);
    const place = locationOf(zspage, size, slot) | (tag == TAG_DEFERRED ? DEFERRED : 0);
    if (placeOf(pool, record) != place) return broken(RULE_SLOT, where);
    if (classFor(pool, recordSize(record)) != cls) return broken(RULE_HANDLE, where);
    if (tag == TAG_USED) used += 1;
    if (recordMaps(record) != 0) mapped += 1;
    if (recordMaps(record) != 0 && (tag == TAG_DEFERRED || ((recordWord(record) & BUFFERED) != 0) != straddles(size, slot))) {
      return broken(RULE_MAPS, where);
    }
  }
  if (used != <u32>page.inuse) return broken(RULE_ZSPAGE, where);
  if (mapped != <u32>page.mapped) return broken(RULE_MAPS, where);
  // A list that ends after exactly `free` steps visited no slot twice.
  let slot = <u32>page.freed;
  for (; free != 0; free--) {
    if (slot >= fresh) return broken(RULE_SLOT, where);
    const word = slotWord(zspage, cls, slot);
    if ((word & TAGS) != 0) return broken(RULE_SLOT, where);
    slot = word >> NEXT_SHIFT;
  }
  return slot == NONE ? 0 : broken(RULE_SLOT, where);
}

/** Word 0 of a record with its buffer, if it has one, looked through; all ones when that is not sound. */
function placeOf(pool: usize, record: usize): u32 {
  const word = recordWord(record);
  if ((word & BUFFERED) == 0) return word;
  const frame = word & ~BUFFERED;
  if (!frameExists(frame) || recordMaps(record) == 0) return 0xFFFFFFFF;
  const entry = changetype<BufferEntry>(entryOf(frame));
  if (entry.owner != (<u32>pool | FRAME_BUFFER) || entry.record != <u32>record) return 0xFFFFFFFF;
  return entry.location;
}

/** Every data frame is in a zspage, every buffer has its record. */
function zsFramesCheck(pool: usize, poolFrame: u32, bytes: u32): u32 {
  const bump = boot(BOOT_BUMP);
  let frames: u32 = 0;
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const owner = entryOwner(entryOf(frame));
    if (owner == (<u32>pool | FRAME_DATA)) {
      const entry = changetype<DataEntry>(entryOf(frame));
      frames += 1;
      if (entry.zero != 0 || entry.zeroes != 0 || !isRecord(entry.zspage, <u32>pool | FRAME_SLAB, bytes)) {
        return broken(RULE_ENTRY, frame);
      }
      const cls = classOf(pool, entry.zspage);
      if (entry.place >= <u32>sizeClass(cls).pages || frameInChain(entry.zspage, entry.place) != frame) {
        return broken(RULE_ENTRY, frame);
      }
      if (!isHuge(cls) && entry.record != 0) return broken(RULE_ENTRY, frame);
    } else if (owner == (<u32>pool | FRAME_BUFFER)) {
      const entry = changetype<BufferEntry>(entryOf(frame));
      if ((entry.writeback != entry.record && entry.writeback != ~entry.record) || entry.zero != 0 || entry.zeroes != 0) return broken(RULE_BUFFER, frame);
      if (!isRecord(entry.record, <u32>pool | FRAME_HANDLES, RECORD_BYTES)) return broken(RULE_BUFFER, frame);
      if (recordWord(entry.record) != (BUFFERED | frame)) return broken(RULE_BUFFER, frame);
    }
  }
  return frames == poolAt(pool).frames ? 0 : broken(RULE_POOL_COUNT, poolFrame);
}

/** Every record that is in use belongs to one slot, and they add up to the pool's counters. */
function zsRecordsCheck(pool: usize, poolFrame: u32): u32 {
  const cache = pool + POOL_HANDLES;
  let objects: u32 = 0;
  let bytes: u32 = 0;
  let maps: u32 = 0;
  for (let record = slabNext(cache, 0); record != 0; record = slabNext(cache, record)) {
    const where = <u32>(record >> PAGE_SHIFT);
    const place = placeOf(pool, record);
    const deferred = (place & DEFERRED) != 0;
    const frame = (place & ~DEFERRED) >> 8;
    if (!frameExists(frame) || entryOwner(entryOf(frame)) != (<u32>pool | FRAME_DATA)) return broken(RULE_HANDLE, where);
    const zspage = zspageOf(place & ~DEFERRED);
    const cls = classOf(pool, zspage);
    const slot = slotOf(place);
    if (slot >= <u32>zspageAt(zspage).fresh) return broken(RULE_HANDLE, where);
    if (slotWord(zspage, cls, slot) != (<u32>record | (deferred ? TAG_DEFERRED : TAG_USED))) return broken(RULE_HANDLE, where);
    if (!recordIsSound(record)) return broken(RULE_HANDLE, where);
    maps += recordMaps(record);
    if (deferred) continue;
    objects += 1;
    bytes += recordSize(record);
  }
  if (objects != poolAt(pool).objects || bytes != poolAt(pool).liveBytes) return broken(RULE_POOL_COUNT, poolFrame);
  return maps == poolAt(pool).maps ? 0 : broken(RULE_MAPS, poolFrame);
}
