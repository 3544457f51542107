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
 * table entry of its first frame, so the way there is record, entry, class.
 *
 *   record  word 0 (mem/handle.ts): first frame of the zspage << 8 | slot
 *   entry of the first frame: what is called a zspage below
 *     8 u16 objects in use   10 u8 class   11 u8 fullness group | LRU 0x10 | isolated 0x20
 *    12 u16 last freed slot (or NONE)      14 u16 fresh mark: slots from here were never used
 *    16 links: list of the group           24 descriptor          28 u16 objects mapped
 *   entry of a further frame: 24 descriptor, rest zero
 *   descriptor, in the slab of its size (32, 64 ... 512, 1364 bytes)
 *     0 first frame   4 links: LRU   12 further frames, then a word for each slot:
 *       handle record | 1 allocated, next free slot << 2 free, handle record | 2 freed under reclaim
 *   pool  256 class map, class records (zsmalloc-classes.ts)   540 slabs of descriptors
 *
 * A fresh zspage is not written: its slots are handed out in ascending order
 * from the fresh mark once the list of freed slots (last freed first) is empty,
 * which is the same order as a list made of all of them (F1, F2).
 *
 * Each fullness group of a class has a list, that of the full ones too, though
 * nothing looks there (G3): so a zspage that changes its group always leaves a
 * list and joins one.
 *
 * While a straddling object is mapped its record names a buffer frame, and the
 * entry of that frame says where the object is:
 *   entry   8 location   12 handle record   16 the record again: write back at the
 *           last unmap; or its complement: do not
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
import {
  OUT_CLASS, OUT_CLASS_SLOT, OUT_CURSOR, OUT_LENGTH, OUT_OFFSET, OUT_SECOND, OUT_SIZE, ROW_ALLOCATED, ROW_FREEABLE, ROW_GROUPS, ROW_INDEX,
  ROW_OBJECTS, ROW_PAGES, ROW_SIZE, ROW_USED, ROW_WORDS, ROW_ZSPAGES,
} from '../abi';
import { EBUSY, EINVAL, ENOMEM, ENOSPC } from '../base/errno';
import { invariant } from '../base/debug';
import { listNext, listPrevious, listPush, listRemove, listTail, listToFront } from '../base/list';
import { frameAlloc, frameFree, frameRoom, needed } from '../mem/frame';
import {
  BUFFERED, DEFERRED, MAPS_MAX, RECORD_BYTES, addRecordMaps, handleEnd, handleFor, handleFree, handleInit, handleOf, handleReady,
  handleRecord, handleUnready, recordFor, recordIsSound, recordMaps, recordSize, recordTake, recordWord, setRecordWord,
} from '../mem/handle';
import {
  BOOT_BUMP, BOOT_FIRST, FRAME_BUFFER, FRAME_DATA, FRAME_HANDLES, FRAME_POOL_MORE, FRAME_SLAB, PAGE_MASK, PAGE_SHIFT,
  PAGE_SIZE, boot, entryOf, entryOwner, frameAddress, frameExists, frameOf,
} from '../mem/layout';
import {
  POOL_DESCRIPTORS, POOL_HANDLES, POOL_LRU, countIsolated, countMap, countMoves, countObject, poolAt, poolOption,
  setPoolOption, uncountMap, uncountObject,
} from '../mem/pool';
import { WORK_BUDGET, blockBuffer, out, setOut } from '../mem/scratch';
import { gather, scatter } from '../mem/span';
import { slabAlloc, slabCheck, slabFrames, slabFree, slabInit, slabNeeds, slabNext, slabOwner, slabRecordBytes, slabRoom, slabUsed } from '../mem/slab';
import {
  RULE_BUFFER, RULE_CLASS, RULE_ENTRY, RULE_HANDLE, RULE_LIST, RULE_LRU, RULE_MAPS, RULE_POOL, RULE_POOL_COUNT,
  RULE_SLOT, RULE_ZSPAGE, ANY_SIZE, UNSOUND, broken, isRecord, listLength, ringLength,
} from '../mem/verify';
import { walkFree, walkObject } from '../mem/walk';
import {
  CLASS_BYTES, CLASS_COUNT, CLASS_END, CLASS_FRAMES, CLASS_FRAMES_MAX, GROUPS, RING_LINKS, RULE_PERCENT, SCALE_SHIFT,
  SizeClass, WORD, classAt, classFor, classFrames, layClasses, ordinalFor, ringOf, scaleOf,
} from './zsmalloc-classes';

// ── layout ───────────────────────────────────────────────────────────────────

const NONE: u32 = 0xFFFF;
const LOW: u32 = 0xFFFF;
const ORDINAL_SHIFT: u32 = 16;
const STATE_SHIFT: u32 = 24;
const FRESH_SHIFT: u32 = 16;
const GROUP_MASK: u32 = 0x0F;
const ON_LRU: u32 = 0x10;
const ISOLATED: u32 = 0x20;
const LRU_LINKS: usize = 4; // in a descriptor
const FRAMES: usize = 8; // further frames of a descriptor, as if the first were one of them
const SLABS: usize = 540; // in the pool
const SLAB_COUNT: u32 = 6;
const CACHE_BYTES: usize = 16;
const SMALLEST_SHIFT: u32 = 5; // of the descriptors
const LARGEST: u32 = 1364;
const TAG_USED: u32 = 1;
const TAG_DEFERRED: u32 = 2;
const TAGS: u32 = 3;
const NEXT_SHIFT: u32 = 2;
const CHAIN_MAX: u32 = 16;

@unmanaged
class Zspage {
  owner: u32;
  generations: u32;
  word: u32; // objects in use | class << 16 | state << 24
  slots: u32; // last freed | fresh mark << 16
  previous: u32;
  next: u32;
  descriptor: u32;
  mapped: u16;
  zero: u16;
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

// word and slots are read and written whole: a word that was written in parts is slow to read.

// @ts-ignore: decorator
@inline function inuseOf(zspage: usize): u32 {
  return zspageAt(zspage).word & LOW;
}

// @ts-ignore: decorator
@inline function ordinalOf(zspage: usize): u32 {
  return (zspageAt(zspage).word >> ORDINAL_SHIFT) & 0xFF;
}

// @ts-ignore: decorator
@inline function stateOf(zspage: usize): u32 {
  return zspageAt(zspage).word >> STATE_SHIFT;
}

// @ts-ignore: decorator
@inline function setState(zspage: usize, state: u32): void {
  zspageAt(zspage).word = (zspageAt(zspage).word & ((1 << STATE_SHIFT) - 1)) | (state << STATE_SHIFT);
}

// @ts-ignore: decorator
@inline function freshOf(zspage: usize): u32 {
  return zspageAt(zspage).slots >> FRESH_SHIFT;
}

// @ts-ignore: decorator
@inline function freedOf(zspage: usize): u32 {
  return zspageAt(zspage).slots & LOW;
}

// @ts-ignore: decorator
@inline function setFreed(zspage: usize, slot: u32): void {
  zspageAt(zspage).slots = (zspageAt(zspage).slots & ~LOW) | slot;
}

// @ts-ignore: decorator
@inline function classOf(pool: usize, zspage: usize): usize {
  return classAt(pool, ordinalOf(zspage));
}

// @ts-ignore: decorator
@inline function chainSize(pool: usize): u32 {
  return poolOption(pool, 0);
}

// @ts-ignore: decorator
@inline function twelveGroups(pool: usize): bool {
  return poolOption(pool, 2) == 12;
}

/** Which slab has the descriptors of a class. */
function slabOf(pool: usize, cls: usize): usize {
  const bytes = <u32>FRAMES + 4 * (<u32>sizeClass(cls).pages + <u32>sizeClass(cls).objects);
  return slabAt(pool, min<u32>(32 - clz<u32>((bytes - 1) >> SMALLEST_SHIFT), SLAB_COUNT - 1));
}

// @ts-ignore: decorator
@inline function slabAt(pool: usize, index: u32): usize {
  return pool + SLABS + <usize>index * CACHE_BYTES;
}

/** Bytes of the descriptors in a slab. */
// @ts-ignore: decorator
@inline function slabBytes(index: u32): u32 {
  return index == SLAB_COUNT - 1 ? LARGEST : 1 << (SMALLEST_SHIFT + index);
}

/** Frames of all descriptors. */
export function zsDescriptorFrames(pool: usize): u32 {
  let frames: u32 = 0;
  for (let index: u32 = 0; index < SLAB_COUNT; index++) frames += slabFrames(slabAt(pool, index));
  return frames;
}

// @ts-ignore: decorator
@inline function descriptorOf(zspage: usize): usize {
  return <usize>zspageAt(zspage).descriptor;
}

/** The zspage of a descriptor. */
// @ts-ignore: decorator
@inline function zspageIn(descriptor: usize): usize {
  return entryOf(load<u32>(descriptor));
}

// @ts-ignore: decorator
@inline function isHuge(cls: usize): bool {
  return sizeClass(cls).objects == 1;
}

function frameInChain(zspage: usize, place: u32): u32 {
  const descriptor = descriptorOf(zspage);
  return load<u32>(place == 0 ? descriptor : descriptor + FRAMES + (<usize>place << 2));
}

/** S5. */
// @ts-ignore: decorator
@inline function straddles(size: u32, slot: u32): bool {
  return ((slot * size) & PAGE_MASK) + size > PAGE_SIZE;
}

/** Where the word of a slot lies: S2. */
// @ts-ignore: decorator
@inline function wordAt(zspage: usize, cls: usize, slot: u32): usize {
  return descriptorOf(zspage) + FRAMES + (<usize>(<u32>sizeClass(cls).pages + slot) << 2);
}

// @ts-ignore: decorator
@inline function slotWord(zspage: usize, cls: usize, slot: u32): u32 {
  return load<u32>(wordAt(zspage, cls, slot));
}

// @ts-ignore: decorator
@inline function setSlotWord(zspage: usize, cls: usize, slot: u32, word: u32): void {
  store<u32>(wordAt(zspage, cls, slot), word);
}

/** Word 0 of the record of an object: S4. */
// @ts-ignore: decorator
@inline function locationOf(zspage: usize, slot: u32): u32 {
  return (frameOf(zspage) << 8) | slot;
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
  return entryOf(place >> 8);
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
function groupFor(pool: usize, cls: usize, inuse: u32): u32 {
  const objects = <u32>sizeClass(cls).objects;
  if (inuse == 0) return 0;
  if (twelveGroups(pool)) return groupOfTwelve(cls, inuse);
  if (inuse == objects) return 3;
  return inuse <= 3 * objects / 4 ? 1 : 2;
}

/** Of a zspage with an object. */
// @ts-ignore: decorator
@inline function groupOfTwelve(cls: usize, inuse: u32): u32 {
  return 1 + ((inuse * scaleOf(cls)) >> SCALE_SHIFT);
}

// @ts-ignore: decorator
@inline function groupOf(zspage: usize): u32 {
  return stateOf(zspage) & GROUP_MASK;
}

// @ts-ignore: decorator
@inline function ringNext(node: usize): usize {
  return listNext(node, RING_LINKS);
}

// @ts-ignore: decorator
@inline function ringPrevious(node: usize): usize {
  return listPrevious(node, RING_LINKS);
}

/** Makes two nodes of a ring neighbours. */
// @ts-ignore: decorator
@inline function join(left: usize, right: usize): void {
  store<u32>(left, <u32>right, RING_LINKS + 4);
  store<u32>(right, <u32>left, RING_LINKS);
}

// @ts-ignore: decorator
@inline function isEmpty(ring: usize): bool {
  return ringNext(ring) == ring;
}

/** L2, L3: puts a zspage on the list of its group. */
function enlist(pool: usize, cls: usize, zspage: usize): void {
  const inuse = inuseOf(zspage);
  const group = groupFor(pool, cls, inuse);
  const ring = ringOf(cls, group);
  let left = ring;
  // V1: behind the head, unless that has no more objects.
  if (!twelveGroups(pool) && !isEmpty(ring) && inuse < inuseOf(ringNext(ring))) left = ringNext(ring);
  setState(zspage, (stateOf(zspage) & ~GROUP_MASK) | group);
  join(zspage, ringNext(left));
  join(left, zspage);
  sizeClass(cls).groups = <u16>(<u32>sizeClass(cls).groups | (<u32>1 << group));
}

function delist(cls: usize, zspage: usize): void {
  const group = groupOf(zspage);
  const ring = ringOf(cls, group);
  join(ringPrevious(zspage), ringNext(zspage));
  store<u64>(zspage, 0, RING_LINKS);
  sizeClass(cls).groups = <u16>(<u32>sizeClass(cls).groups & ~(<u32>isEmpty(ring) << group));
}

/**
 * L4: gives a zspage its new first word. If its group did not change it keeps its place.
 * Whether that is so can hardly be predicted, and would be known late when the
 * zspage is cold: so all is done in either case, and there is no question.
 */
// @ts-ignore: decorator
@inline function regroup(pool: usize, cls: usize, zspage: usize, word: u32): void {
  if (!twelveGroups(pool)) return regroupFour(pool, cls, zspage, word);
  const old = (word >> STATE_SHIFT) & GROUP_MASK;
  const group = groupOfTwelve(cls, word & LOW);
  const moves = group != old;
  const left = ringPrevious(zspage);
  const right = ringNext(zspage);
  const ring = ringOf(cls, group);
  const first = ringNext(ring);
  // What is not to change is written where the zspage lies itself, which is no other cold line.
  store<u32>(select<usize>(left, zspage, moves), <u32>right, RING_LINKS + 4);
  store<u32>(select<usize>(right, zspage, moves), <u32>left, RING_LINKS);
  store<u32>(select<usize>(first, zspage, moves), <u32>zspage, RING_LINKS);
  store<u32>(ring, <u32>select<usize>(zspage, first, moves), RING_LINKS + 4);
  store<u32>(zspage, <u32>select<usize>(ring, left, moves), RING_LINKS);
  store<u32>(zspage, <u32>select<usize>(first, right, moves), RING_LINKS + 4);
  zspageAt(zspage).word = word + ((group - old) << STATE_SHIFT);
  sizeClass(cls).groups = <u16>((<u32>sizeClass(cls).groups & ~(<u32>isEmpty(ringOf(cls, old)) << old)) | (<u32>1 << group));
}

function regroupFour(pool: usize, cls: usize, zspage: usize, word: u32): void {
  zspageAt(zspage).word = word;
  if (groupFor(pool, cls, word & LOW) == groupOf(zspage)) return;
  delist(cls, zspage);
  enlist(pool, cls, zspage);
}

/** The groups of a class that have a zspage with a free slot. */
// @ts-ignore: decorator
@inline function openGroups(pool: usize, cls: usize): u32 {
  return <u32>sizeClass(cls).groups & ((1 << fullGroup(pool)) - 1);
}

/** Head of the fullest list that is not full, 0 when there is none: M1. */
// @ts-ignore: decorator
@inline function fullest(pool: usize, cls: usize): usize {
  const groups = openGroups(pool, cls);
  return groups == 0 ? 0 : ringNext(ringOf(cls, 31 - clz<u32>(groups)));
}

/** Head of the emptiest list, 0 when there is none. */
// @ts-ignore: decorator
@inline function emptiest(pool: usize, cls: usize): usize {
  const groups = openGroups(pool, cls);
  return groups == 0 ? 0 : ringNext(ringOf(cls, ctz<u32>(groups)));
}

// ── slots and zspages ────────────────────────────────────────────────────────

/** F2: takes the last freed slot, else the next one never used. */
// @ts-ignore: decorator
@inline function takeSlot(zspage: usize, cls: usize): u32 {
  if (!ASC_NO_ASSERT) invariant(inuseOf(zspage) < sizeClass(cls).objects);
  const slots = zspageAt(zspage).slots;
  let slot = slots & LOW;
  if (slot != NONE) {
    zspageAt(zspage).slots = (slots & ~LOW) | (slotWord(zspage, cls, slot) >> NEXT_SHIFT);
  } else {
    zspageAt(zspage).slots = slots + (1 << FRESH_SHIFT);
    slot = slots >> FRESH_SHIFT;
  }
  return slot;
}

/** F2: the slot becomes the head of the free list. */
// @ts-ignore: decorator
@inline function giveSlot(zspage: usize, cls: usize, slot: u32): void {
  const slots = zspageAt(zspage).slots;
  setSlotWord(zspage, cls, slot, (slots & LOW) << NEXT_SHIFT);
  zspageAt(zspage).slots = (slots & ~LOW) | slot;
}

/** M3: a zspage of k frames, on the list of the empty ones; 0 without a frame, and nothing is kept then. */
function zspageCreate(pool: usize, cls: usize): usize {
  const pages = <u32>sizeClass(cls).pages;
  const slab = slabOf(pool, cls);
  const descriptor = slabAlloc(slab);
  if (descriptor == 0) return 0;
  memory.fill(descriptor, 0, slabRecordBytes(slab));
  for (let place: u32 = 0; place < pages; place++) {
    const frame = frameAlloc(<u32>pool | FRAME_DATA);
    if (frame == 0) {
      freeFrames(slab, descriptor, place);
      return 0;
    }
    store<u32>(place == 0 ? descriptor : descriptor + FRAMES + (<usize>place << 2), frame);
    zspageAt(entryOf(frame)).descriptor = <u32>descriptor;
  }
  const zspage = zspageIn(descriptor);
  zspageAt(zspage).word = ordinalFor(pool, cls) << ORDINAL_SHIFT;
  zspageAt(zspage).slots = NONE;
  enlist(pool, cls, zspage);
  sizeClass(cls).allocated += <u32>sizeClass(cls).objects;
  poolAt(pool).frames += pages;
  return zspage;
}

/** Gives a descriptor and its first `pages` frames back. */
function freeFrames(slab: usize, descriptor: usize, pages: u32): void {
  while (pages-- > 0) frameFree(load<u32>(pages == 0 ? descriptor : descriptor + FRAMES + (<usize>pages << 2)));
  slabFree(slab, descriptor);
}

/** D1: frames and descriptor of an empty zspage that is off its group's list go back. Returns the frames. */
function zspageFree(pool: usize, zspage: usize): u32 {
  const cls = classOf(pool, zspage);
  const pages = <u32>sizeClass(cls).pages;
  if (!ASC_NO_ASSERT) invariant(inuseOf(zspage) == 0);
  if ((stateOf(zspage) & ON_LRU) != 0) listRemove(pool + POOL_LRU, descriptorOf(zspage), LRU_LINKS);
  sizeClass(cls).allocated -= <u32>sizeClass(cls).objects;
  poolAt(pool).frames -= pages;
  freeFrames(slabOf(pool, cls), descriptorOf(zspage), pages);
  return pages;
}

/** U2, U5: a write puts the zspage at the front of the LRU, unless it is under reclaim. */
function touch(pool: usize, zspage: usize): void {
  const state = stateOf(zspage);
  if ((state & ISOLATED) != 0) return;
  if ((state & ON_LRU) != 0) {
    listToFront(pool + POOL_LRU, descriptorOf(zspage), LRU_LINKS);
    return;
  }
  setState(zspage, state | ON_LRU);
  listPush(pool + POOL_LRU, descriptorOf(zspage), LRU_LINKS);
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
  for (let index: u32 = 0; index < SLAB_COUNT; index++) slabInit(slabAt(pool, index), slabBytes(index), FRAME_SLAB);
  return 0;
}

/** M1..M4. EINVAL size 0, ENOSPC above 4096, ENOMEM without a frame. */
export function zsMalloc(pool: usize, size: u32): u32 {
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
  setSlotWord(zspage, cls, slot, <u32>record | TAG_USED);
  sizeClass(cls).used += 1;
  countObject(pool, size);
  return handleFor(record, size);
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
export function zsFree(pool: usize, handle: u32): u32 {
  const record = recordFor(pool, handle);
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
    setSlotWord(zspage, cls, slotOf(place), <u32>record | TAG_DEFERRED);
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

/** Where the payload of a slot begins in its zspage. */
// @ts-ignore: decorator
@inline function payloadAt(cls: usize, slot: u32): u32 {
  return slot * <u32>sizeClass(cls).size + (isHuge(cls) ? 0 : WORD);
}

/** Splits the payload of a slot into its one or two parts; see zsSpan. */
function payload(cls: usize, zspage: usize, slot: u32, size: u32): u32 {
  const at = payloadAt(cls, slot);
  const room = PAGE_SIZE - (at & PAGE_MASK);
  setOut(OUT_LENGTH, min(size, room));
  setOut(OUT_SECOND, size <= room ? 0 : <u32>frameAddress(frameInChain(zspage, (at >> PAGE_SHIFT) + 1)));
  return <u32>frameAddress(frameInChain(zspage, at >> PAGE_SHIFT)) + (at & PAGE_MASK);
}

/**
 * P1, Q2: where an object lies. Frame; offset of the data in OUT_OFFSET,
 * class index in OUT_CLASS, slot in OUT_CLASS_SLOT. EINVAL.
 */
export function zsLocate(pool: usize, handle: u32): u32 {
  const record = handleRecord(pool, handle);
  if (record == 0) return EINVAL;
  const place = location(record);
  const zspage = zspageOf(place);
  const cls = classOf(pool, zspage);
  const at = payloadAt(cls, slotOf(place));
  setOut(OUT_OFFSET, at & PAGE_MASK);
  setOut(OUT_CLASS, sizeClass(cls).index);
  setOut(OUT_CLASS_SLOT, slotOf(place));
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
  const record = <usize>(slotWord(source, cls, slot) & ~TAGS);
  const size = recordSize(record);
  const to = takeSlot(target, cls);
  zspageAt(target).word += 1;
  copyRun(target, payloadAt(cls, to), source, payloadAt(cls, slot), size);
  setRecordWord(record, locationOf(target, to));
  setSlotWord(target, cls, to, <u32>record | TAG_USED);
  giveSlot(source, cls, slot);
  zspageAt(source).word -= 1;
  return size;
}

// @ts-ignore: decorator
@inline function isFull(cls: usize, zspage: usize): bool {
  return inuseOf(zspage) == <u32>sizeClass(cls).objects;
}

/**
 * Moves the objects of `source` from slot `from` on into `target`, until that is
 * full or no object is left. Returns the slot at which it stopped (N: none left).
 */
function moveObjects(pool: usize, cls: usize, source: usize, from: u32, target: usize): u32 {
  const fresh = freshOf(source);
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
  setOut(WORK_BUDGET, victims);
  for (let ordinal: u32 = 0; ordinal < count; ordinal++) {
    const cls = classAt(pool, ordinal);
    freed += twelveGroups(pool) ? compactTwelve(pool, cls) : compactFour(pool, cls);
  }
  return freed;
}

/** Takes one from the budget; false when it is used up. */
function budget(): bool {
  const left = out(WORK_BUDGET);
  if (left == 0) return false;
  setOut(WORK_BUDGET, left - 1);
  return true;
}

/** K2..K5, K8. */
function compactTwelve(pool: usize, cls: usize): u32 {
  let freed: u32 = 0;
  let target: usize = 0;
  while (classFreeable(cls) != 0 && budget()) {
    if (target == 0) {
      target = fullest(pool, cls);
      if (target == 0) break;
      delist(cls, target);
    }
    const source = emptiest(pool, cls);
    if (source == 0) break;
    delist(cls, source);
    if (zspageAt(source).mapped != 0) {
      enlist(pool, cls, source);
      break;
    }
    moveObjects(pool, cls, source, 0, target);
    if (inuseOf(source) == 0) freed += zspageFree(pool, source);
    else enlist(pool, cls, source);
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
  const target = fullest(pool, cls);
  if (target != 0) delist(cls, target);
  return target;
}

/** J2, J3, K8. */
function compactFour(pool: usize, cls: usize): u32 {
  let freed: u32 = 0;
  while (true) {
    const source = emptiest(pool, cls);
    if (source == 0) return freed;
    delist(cls, source);
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
  return entryOwner(entry) == (<u32>pool | FRAME_DATA) && (stateOf(entry) & ISOLATED) != 0 ? entry : 0;
}

/** E3: the first live handle of a victim at or behind slot `cursor`, 0 for none; the next cursor in OUT_CURSOR. EINVAL. */
export function zsVictimNext(pool: usize, victim: u32, cursor: u32): u32 {
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
export function zsRelease(pool: usize, victim: u32): u32 {
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
    if ((word & TAGS) == TAG_DEFERRED) handleFree(pool, <usize>(word & ~TAGS));
    setSlotWord(zspage, cls, slot, head << NEXT_SHIFT);
    head = slot;
  }
  setFreed(zspage, head);
}

// ── statistics ───────────────────────────────────────────────────────────────

/** Classes of the pool. */
export function zsClasses(pool: usize): u32 {
  return load<u32>(pool + CLASS_COUNT);
}

function setRow(row: usize, word: u32, value: u32): void {
  store<u32>(row + (<usize>word << 2), value);
}

/** One class, smallest first, as a row at `to` (ROW_INDEX and so on). EINVAL beyond the last. */
export function zsClassStats(pool: usize, nth: u32, to: usize): u32 {
  const count = load<u32>(pool + CLASS_COUNT);
  if (nth >= count) return EINVAL;
  const ordinal = count - 1 - nth;
  const cls = classAt(pool, ordinal);
  const objects = <u32>sizeClass(cls).objects;
  setRow(to, ROW_INDEX, sizeClass(cls).index);
  setRow(to, ROW_SIZE, sizeClass(cls).size);
  setRow(to, ROW_PAGES, sizeClass(cls).pages);
  setRow(to, ROW_OBJECTS, objects);
  setRow(to, ROW_ALLOCATED, sizeClass(cls).allocated);
  setRow(to, ROW_USED, sizeClass(cls).used);
  setRow(to, ROW_FREEABLE, classFreeable(cls));
  setRow(to, ROW_ZSPAGES, sizeClass(cls).allocated / objects);
  for (let word = ROW_GROUPS; word < ROW_WORDS; word++) setRow(to, word, 0);
  const full = fullGroup(pool);
  let listed: u32 = 0;
  for (let group: u32 = 1; group < full; group++) {
    let length: u32 = 0;
    const ring = ringOf(cls, group);
    for (let zspage = ringNext(ring); zspage != ring; zspage = ringNext(zspage)) length += 1;
    setRow(to, ROW_GROUPS + group, length);
    listed += length;
  }
  setRow(to, ROW_GROUPS + full, sizeClass(cls).allocated / objects - listed - isolatedOf(pool, ordinal));
  return 0;
}

/** The pool's first zspage in a frame behind that of `zspage` (0: from the start), 0 at the end. */
function nextZspage(pool: usize, zspage: usize): usize {
  const bump = boot(BOOT_BUMP);
  for (let frame = zspage == 0 ? boot(BOOT_FIRST) : frameOf(zspage) + 1; frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) == (<u32>pool | FRAME_DATA) && load<u32>(descriptorOf(entry)) == frame) return entry;
  }
  return 0;
}

/** Zspages of a class that are under reclaim: they are in no group. */
function isolatedOf(pool: usize, ordinal: u32): u32 {
  if (poolAt(pool).isolated == 0) return 0;
  let count: u32 = 0;
  for (let zspage = nextZspage(pool, 0); zspage != 0; zspage = nextZspage(pool, zspage)) {
    if (ordinalOf(zspage) == ordinal && (stateOf(zspage) & ISOLATED) != 0) count += 1;
  }
  return count;
}

/** Objects whose slot straddles two frames: S5. */
export function zsSpanning(pool: usize): u32 {
  let spanning: u32 = 0;
  for (let zspage = nextZspage(pool, 0); zspage != 0; zspage = nextZspage(pool, zspage)) {
    const cls = classOf(pool, zspage);
    const size = <u32>sizeClass(cls).size;
    const fresh = freshOf(zspage);
    for (let slot: u32 = 0; slot < fresh; slot++) {
      if (straddles(size, slot) && (slotWord(zspage, cls, slot) & TAG_USED) != 0) spanning += 1;
    }
  }
  return spanning;
}

// ── walk ─────────────────────────────────────────────────────────────────────

/** Where a frame is in the chain of its zspage; beyond the chain for one that is not there. */
function placeIn(zspage: usize, pages: u32, frame: u32): u32 {
  let place: u32 = 0;
  while (place < pages && frameInChain(zspage, place) != frame) place += 1;
  return place;
}

/** Reports what lies in a frame: a straddling object appears in both frames, with its part in each. */
export function zsWalk(pool: usize, frame: u32): void {
  const zspage = zspageIn(descriptorOf(entryOf(frame)));
  const cls = classOf(pool, zspage);
  const size = <u32>sizeClass(cls).size;
  const start = placeIn(zspage, sizeClass(cls).pages, frame) << PAGE_SHIFT;
  const end = start + PAGE_SIZE;
  const objects = <u32>sizeClass(cls).objects;
  for (let slot = start / size; slot < objects && slot * size < end; slot++) {
    const word = slot < freshOf(zspage) ? slotWord(zspage, cls, slot) : 0;
    if ((word & TAG_USED) != 0) {
      const record = <usize>(word & ~TAGS);
      const data = payloadAt(cls, slot);
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
  if ((load<u64>(pool, POOL_DESCRIPTORS) | load<u64>(pool, POOL_DESCRIPTORS + 8)) != 0) return broken(RULE_POOL, poolFrame);
  let result = slabCheck(pool + POOL_HANDLES, RECORD_BYTES, FRAME_HANDLES);
  for (let index: u32 = 0; index < SLAB_COUNT; index++) {
    if (result == 0) result = slabCheck(slabAt(pool, index), slabBytes(index), FRAME_SLAB);
  }
  if (result == 0) result = zsClassesCheck(pool, poolFrame, chain, rule);
  if (result == 0) result = zsFramesCheck(pool, poolFrame);
  if (result == 0) result = zsZspagesCheck(pool, poolFrame);
  if (result == 0) result = zsRecordsCheck(pool, poolFrame);
  return result;
}

/** The class table is what options demand, and each class adds up. */
function zsClassesCheck(pool: usize, poolFrame: u32, chain: u32, rule: u32): u32 {
  const frames = classFrames(chain, rule);
  if (poolAt(pool).tableFrames != 1 + frames) return broken(RULE_POOL, poolFrame);
  for (let i: u32 = 0; i < CLASS_FRAMES_MAX; i++) {
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
function zsZspagesCheck(pool: usize, poolFrame: u32): u32 {
  const sums = blockBuffer(); // allocated and used of each class
  const count = load<u32>(pool + CLASS_COUNT);
  memory.fill(sums, 0, <usize>(count << 3));
  let isolated: u32 = 0;
  let onLru: u32 = 0;
  let listed: u32 = 0;
  let frames: u32 = 0;
  let descriptors: u32 = 0;
  for (let zspage = nextZspage(pool, 0); zspage != 0; zspage = nextZspage(pool, zspage)) {
    const result = zspageCheck(pool, zspage, count);
    if (result != 0) return result;
    descriptors += 1;
    const cls = classOf(pool, zspage);
    const state = stateOf(zspage);
    const sum = sums + (<usize>ordinalOf(zspage) << 3);
    store<u32>(sum, load<u32>(sum) + <u32>sizeClass(cls).objects);
    store<u32>(sum, load<u32>(sum, 4) + inuseOf(zspage), 4);
    frames += <u32>sizeClass(cls).pages;
    if ((state & ISOLATED) != 0) isolated += 1;
    else listed += 1;
    if ((state & ON_LRU) != 0) onLru += 1;
  }
  // Each zspage has a descriptor that names it: with equal numbers none is left over.
  for (let index: u32 = 0; index < SLAB_COUNT; index++) descriptors -= slabUsed(slabAt(pool, index));
  if (descriptors != 0 || frames != poolAt(pool).frames || isolated != poolAt(pool).isolated) return broken(RULE_POOL_COUNT, poolFrame);
  for (let ordinal: u32 = 0; ordinal < count; ordinal++) {
    const cls = classAt(pool, ordinal);
    const classFrame = <u32>(cls >> PAGE_SHIFT);
    const sum = sums + (<usize>ordinal << 3);
    if (sizeClass(cls).allocated != load<u32>(sum) || sizeClass(cls).used != load<u32>(sum, 4)) {
      return broken(RULE_CLASS, classFrame);
    }
    for (let group: u32 = 0; group < GROUPS; group++) {
      const ring = ringOf(cls, group);
      const length = ringLength(ring, RING_LINKS, listed, <u32>pool | FRAME_DATA);
      if (length == UNSOUND) return broken(RULE_LIST, classFrame);
      if ((length != 0) != ((<u32>sizeClass(cls).groups >> group & 1) != 0)) return broken(RULE_LIST, classFrame);
      for (let zspage = ringNext(ring); zspage != ring; zspage = ringNext(zspage)) {
        // The word of a further frame is 0, and group 0 is never left with one.
        if (ordinalOf(zspage) != ordinal || groupOf(zspage) != group || group == 0) return broken(RULE_LIST, frameOf(zspage));
      }
      listed -= length;
    }
    if ((<u32>sizeClass(cls).groups >> GROUPS) != 0) return broken(RULE_LIST, classFrame);
    for (let at = CLASS_END; at < CLASS_BYTES; at += 4) {
      if (load<u32>(cls + <usize>at) != 0) return broken(RULE_LIST, classFrame);
    }
  }
  if (listed != 0) return broken(RULE_LIST, poolFrame);
  if (listLength(pool + POOL_LRU, LRU_LINKS, onLru, <u32>pool | FRAME_SLAB, ANY_SIZE) != onLru) return broken(RULE_LRU, poolFrame);
  for (let descriptor = <usize>load<u32>(pool + POOL_LRU); descriptor != 0; descriptor = listNext(descriptor, LRU_LINKS)) {
    if ((stateOf(zspageIn(descriptor)) & ON_LRU) == 0) return broken(RULE_LRU, load<u32>(descriptor));
  }
  return 0;
}

/** One zspage, whose descriptor is one and names it: state, frames, slots. */
function zspageCheck(pool: usize, zspage: usize, classes: u32): u32 {
  const where = frameOf(zspage);
  const page = zspageAt(zspage);
  if (ordinalOf(zspage) >= classes || page.zero != 0) return broken(RULE_ZSPAGE, where);
  const cls = classOf(pool, zspage);
  const descriptor = descriptorOf(zspage);
  const objects = <u32>sizeClass(cls).objects;
  const inuse = inuseOf(zspage);
  const fresh = freshOf(zspage);
  const state = stateOf(zspage);
  if (inuse > objects || fresh > objects || inuse > fresh || slabOwner(descriptor) != slabOf(pool, cls)) return broken(RULE_ZSPAGE, where);
  if ((state & ISOLATED) != 0) {
    if (state != ISOLATED) return broken(RULE_ZSPAGE, where);
  } else if (inuse == 0 || (state & ~ON_LRU) != groupFor(pool, cls, inuse)) return broken(RULE_ZSPAGE, where);
  if ((state & ISOLATED) != 0 && (page.previous | page.next) != 0) return broken(RULE_LIST, where);
  if ((state & ON_LRU) == 0 && (load<u32>(descriptor, LRU_LINKS) | load<u32>(descriptor, LRU_LINKS + 4)) != 0) return broken(RULE_LRU, where);
  for (let place: u32 = 1; place < <u32>sizeClass(cls).pages; place++) {
    const frame = frameInChain(zspage, place);
    if (!frameExists(frame)) return broken(RULE_ZSPAGE, where);
    const entry = zspageAt(entryOf(frame));
    if (entry.owner != (<u32>pool | FRAME_DATA) || entry.descriptor != <u32>descriptor || frame == where) return broken(RULE_ENTRY, frame);
  }
  const end = descriptor + <usize>slabRecordBytes(slabOf(pool, cls));
  for (let at = wordAt(zspage, cls, fresh); at < end; at += 4) {
    if (load<u32>(at) != 0) return broken(RULE_ZSPAGE, where);
  }
  return slotsCheck(pool, zspage, cls);
}

/** The slots of a zspage whose frames are sound. */
function slotsCheck(pool: usize, zspage: usize, cls: usize): u32 {
  const where = frameOf(zspage);
  const page = zspageAt(zspage);
  const fresh = freshOf(zspage);
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
    if (tag == TAGS || (tag == TAG_DEFERRED && (stateOf(zspage) & ISOLATED) == 0)) return broken(RULE_SLOT, where);
    const record = <usize>(word & ~TAGS);
    if (!isRecord(record, <u32>pool | FRAME_HANDLES, RECORD_BYTES)) return broken(RULE_SLOT, where);
    const place = locationOf(zspage, slot) | (tag == TAG_DEFERRED ? DEFERRED : 0);
    if (placeOf(pool, record) != place) return broken(RULE_SLOT, where);
    if (classFor(pool, recordSize(record)) != cls) return broken(RULE_HANDLE, where);
    if (tag == TAG_USED) used += 1;
    if (recordMaps(record) != 0) mapped += 1;
    if (recordMaps(record) != 0 && (tag == TAG_DEFERRED || ((recordWord(record) & BUFFERED) != 0) != straddles(size, slot))) {
      return broken(RULE_MAPS, where);
    }
  }
  if (used != inuseOf(zspage)) return broken(RULE_ZSPAGE, where);
  if (mapped != <u32>page.mapped) return broken(RULE_MAPS, where);
  // A list that ends after exactly `free` steps visited no slot twice.
  let slot = freedOf(zspage);
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

/** Every data frame has a descriptor, every further one is in its chain once; every buffer has its record. */
function zsFramesCheck(pool: usize, poolFrame: u32): u32 {
  const classes = load<u32>(pool + CLASS_COUNT);
  const bump = boot(BOOT_BUMP);
  let frames: u32 = 0;
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const owner = entryOwner(entryOf(frame));
    if (owner == (<u32>pool | FRAME_DATA)) {
      const entry = zspageAt(entryOf(frame));
      frames += 1;
      if (!isRecord(entry.descriptor, <u32>pool | FRAME_SLAB, ANY_SIZE)) return broken(RULE_ENTRY, frame);
      const first = load<u32>(entry.descriptor);
      if (first == frame) continue;
      if (!frameExists(first)) return broken(RULE_ENTRY, frame);
      const zspage = entryOf(first);
      if (entryOwner(zspage) != owner || descriptorOf(zspage) != <usize>entry.descriptor || ordinalOf(zspage) >= classes) return broken(RULE_ENTRY, frame);
      const pages = <u32>sizeClass(classOf(pool, zspage)).pages;
      if (placeIn(zspage, pages, frame) >= pages) return broken(RULE_ENTRY, frame);
      if ((entry.word | entry.slots | entry.previous | entry.next | <u32>entry.mapped | <u32>entry.zero) != 0) return broken(RULE_ENTRY, frame);
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
    const zspage = entryOf(frame);
    if (load<u32>(descriptorOf(zspage)) != frame) return broken(RULE_HANDLE, where);
    const cls = classOf(pool, zspage);
    const slot = slotOf(place);
    if (slot >= freshOf(zspage)) return broken(RULE_HANDLE, where);
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
