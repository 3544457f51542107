/**
 * Zspages of zsmalloc: layout, fullness groups and their lists, slots. The allocator
 * is in zsmalloc.ts. A slot is room for one object in a zspage.
 *
 *   handle record  word 0 (mem/handle.ts): first frame of the zspage << 8 | slot
 *   frame entry of the first frame; its address stands for the zspage in the code below
 *     8 u16 objects in use   10 u8 class   11 u8 fullness group | LRU 0x10 | isolated 0x20
 *    12 u16 last freed slot (or NONE)      14 u16 fresh mark: slots from here on were never used
 *    16 links: list of the group           24 descriptor          28 u16 objects mapped
 *   frame entry of another frame of the zspage: 24 descriptor, rest zero
 *   zspage descriptor, in the slab of its size (32, 64 ... 512, 1364 bytes)
 *     0 first frame   4 links: LRU   12 the other frames, then a word for each slot:
 *       handle record | 1 allocated, next free slot << 2 free, handle record | 2 freed under reclaim
 *   pool  256 class map and class table (zsmalloc-classes.ts)   540 slabs of descriptors
 *
 * While a straddling object is mapped, its record has the number of a buffer frame
 * instead (mem/map-buffers.ts). The frame entry of the buffer then holds word 0 of
 * the record.
 */
import { invariant } from '../base/debug';
import { listNext, listPrevious, listPush, listRemove, listToFront } from '../base/list';
import { frameAlloc, frameFree } from '../mem/frame';
import { BUFFERED, recordWord } from '../mem/handle';
import {
  BOOT_BUMP,
  BOOT_FIRST,
  FRAME_DATA,
  PAGE_MASK,
  PAGE_SIZE,
  boot,
  entryOf,
  entryOwner,
  frameOf,
} from '../mem/layout';
import { bufferWord } from '../mem/map-buffers';
import { POOL_LRU, poolAt, poolOption } from '../mem/pool';
import { slabAlloc, slabFrames, slabFree, slabRecordBytes } from '../mem/slab';
import { RING_LINKS, SCALE_SHIFT, SizeClass, WORD, classAt, ordinalFor, ringOf, scaleOf } from './zsmalloc-classes';

// ── layout ───────────────────────────────────────────────────────────────────

export const NONE: u32 = 0xffff;
export const LOW: u32 = 0xffff;
const ORDINAL_SHIFT: u32 = 16;
export const STATE_SHIFT: u32 = 24;
const FRESH_SHIFT: u32 = 16;
const GROUP_MASK: u32 = 0x0f;
export const ON_LRU: u32 = 0x10;
export const ISOLATED: u32 = 0x20;
export const LRU_LINKS: usize = 4; // in a descriptor
const FRAMES: usize = 8; // offset in a descriptor: 4 bytes before the second frame, so that frame n is at FRAMES + 4 n
const SLABS: usize = 540; // in the pool header
export const SLAB_COUNT: u32 = 6;
const CACHE_BYTES: usize = 16;
const SMALLEST_SHIFT: u32 = 5; // bytes of the smallest descriptors, log2
const LARGEST: u32 = 1364; // bytes of the largest descriptors
export const TAG_USED: u32 = 1;
export const TAG_DEFERRED: u32 = 2;
export const TAGS: u32 = 3;
export const NEXT_SHIFT: u32 = 2;
export const CHAIN_MAX: u32 = 16;


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

// ── accessors ────────────────────────────────────────────────────────────────

/* @inline */ export function zspageAt(address: usize): Zspage {
  return changetype<Zspage>(address);
}

/* @inline */ export function sizeClass(record: usize): SizeClass {
  return changetype<SizeClass>(record);
}

// `word` and `slots` are always read and written as a whole: a word that was written in parts is slow to read.

/* @inline */ export function inuseOf(zspage: usize): u32 {
  return zspageAt(zspage).word & LOW;
}

/* @inline */ export function ordinalOf(zspage: usize): u32 {
  return (zspageAt(zspage).word >> ORDINAL_SHIFT) & 0xff;
}

/* @inline */ export function stateOf(zspage: usize): u32 {
  return zspageAt(zspage).word >> STATE_SHIFT;
}

/* @inline */ export function setState(zspage: usize, state: u32): void {
  zspageAt(zspage).word = (zspageAt(zspage).word & ((1 << STATE_SHIFT) - 1)) | (state << STATE_SHIFT);
}

/* @inline */ export function freshOf(zspage: usize): u32 {
  return zspageAt(zspage).slots >> FRESH_SHIFT;
}

/* @inline */ export function freedOf(zspage: usize): u32 {
  return zspageAt(zspage).slots & LOW;
}

/* @inline */ export function setFreed(zspage: usize, slot: u32): void {
  zspageAt(zspage).slots = (zspageAt(zspage).slots & ~LOW) | slot;
}

/* @inline */ export function classOf(pool: usize, zspage: usize): usize {
  return classAt(pool, ordinalOf(zspage));
}

/* @inline */ export function twelveGroups(pool: usize): bool {
  return poolOption(pool, 2) == 12;
}

/**
 * The slab for the descriptors of a class. Sizes that are powers of two take the least memory. With a slab for each
 * exact size (and so at least one frame for each), the pages of five programs took 281 frames of descriptors instead of
 * 185 at 20,000 pages, and 201 instead of 32 at 300.
 */
export function slabOf(pool: usize, cls: usize): usize {
  const bytes = <u32>FRAMES + 4 * (<u32>sizeClass(cls).pages + <u32>sizeClass(cls).objects);
  return slabAt(pool, min<u32>(32 - clz<u32>((bytes - 1) >> SMALLEST_SHIFT), SLAB_COUNT - 1));
}

/* @inline */ export function slabAt(pool: usize, index: u32): usize {
  return pool + SLABS + <usize>index * CACHE_BYTES;
}

/** Bytes of the descriptors in a slab. */
/* @inline */ export function slabBytes(index: u32): u32 {
  return index == SLAB_COUNT - 1 ? LARGEST : 1 << (SMALLEST_SHIFT + index);
}

/** Frames of all descriptors. */
export function descriptorFrames(pool: usize): u32 {
  let frames: u32 = 0;
  for (let index: u32 = 0; index < SLAB_COUNT; index++) frames += slabFrames(slabAt(pool, index));
  return frames;
}

/* @inline */ export function descriptorOf(zspage: usize): usize {
  return <usize>zspageAt(zspage).descriptor;
}

/** The zspage of a descriptor. */
/* @inline */ export function zspageIn(descriptor: usize): usize {
  return entryOf(load<u32>(descriptor));
}

/* @inline */ export function isHuge(cls: usize): bool {
  return sizeClass(cls).objects == 1;
}

export function frameInChain(zspage: usize, place: u32): u32 {
  const descriptor = descriptorOf(zspage);
  return load<u32>(place == 0 ? descriptor : descriptor + FRAMES + ((<usize>place) << 2));
}

/** True when a slot lies in two frames (S5). */
/* @inline */ export function straddles(size: u32, slot: u32): bool {
  return ((slot * size) & PAGE_MASK) + size > PAGE_SIZE;
}

/** Address of the word of a slot (S2). */
/* @inline */ export function wordAt(zspage: usize, cls: usize, slot: u32): usize {
  return descriptorOf(zspage) + FRAMES + ((<usize>(<u32>sizeClass(cls).pages + slot)) << 2);
}

/* @inline */ export function slotWord(zspage: usize, cls: usize, slot: u32): u32 {
  return load<u32>(wordAt(zspage, cls, slot));
}

/* @inline */ export function setSlotWord(zspage: usize, cls: usize, slot: u32, word: u32): void {
  store<u32>(wordAt(zspage, cls, slot), word);
}

/** Word 0 of the record of the object in a slot (S4). */
/* @inline */ export function locationOf(zspage: usize, slot: u32): u32 {
  return (frameOf(zspage) << 8) | slot;
}

/** The location of a live object, also while it is mapped through a buffer. */
export function location(record: usize): u32 {
  const word = recordWord(record);
  return (word & BUFFERED) != 0 ? bufferWord(word & ~BUFFERED) : word;
}

/* @inline */ export function zspageOf(place: u32): usize {
  return entryOf(place >> 8);
}

/* @inline */ export function slotOf(place: u32): u32 {
  return place & 0xff;
}

// ── fullness groups and lists (G, L) ─────────────────────────────────────────

/* @inline */ export function fullGroup(pool: usize): u32 {
  return twelveGroups(pool) ? 11 : 3;
}

/** G1, G2: the group of a zspage with `inuse` objects. */
export function groupFor(pool: usize, cls: usize, inuse: u32): u32 {
  const objects = <u32>sizeClass(cls).objects;
  if (inuse == 0) return 0;
  if (twelveGroups(pool)) return groupOfTwelve(cls, inuse);
  if (inuse == objects) return 3;
  return inuse <= (3 * objects) / 4 ? 1 : 2;
}

/** groupFor with twelve groups, for a zspage that is not empty. */
/* @inline */ function groupOfTwelve(cls: usize, inuse: u32): u32 {
  return 1 + ((inuse * scaleOf(cls)) >> SCALE_SHIFT);
}

/* @inline */ export function groupOf(zspage: usize): u32 {
  return stateOf(zspage) & GROUP_MASK;
}

/* @inline */ export function ringNext(node: usize): usize {
  return listNext(node, RING_LINKS);
}

/* @inline */ function ringPrevious(node: usize): usize {
  return listPrevious(node, RING_LINKS);
}

/** Makes two nodes of a ring neighbours. */
/* @inline */ function linkNodes(left: usize, right: usize): void {
  store<u32>(left, <u32>right, RING_LINKS + 4);
  store<u32>(right, <u32>left, RING_LINKS);
}

/* @inline */ function isEmpty(ring: usize): bool {
  return ringNext(ring) == ring;
}

/** L2, L3: puts a zspage on the list of its group. */
export function enlist(pool: usize, cls: usize, zspage: usize): void {
  const inuse = inuseOf(zspage);
  const group = groupFor(pool, cls, inuse);
  const ring = ringOf(cls, group);
  let left = ring;
  // V1: after the first zspage of the list, if that one has more objects.
  if (!twelveGroups(pool) && !isEmpty(ring) && inuse < inuseOf(ringNext(ring))) left = ringNext(ring);
  setState(zspage, (stateOf(zspage) & ~GROUP_MASK) | group);
  linkNodes(zspage, ringNext(left));
  linkNodes(left, zspage);
  sizeClass(cls).groups = <u16>((<u32>sizeClass(cls).groups) | ((<u32>1) << group));
}

export function delist(cls: usize, zspage: usize): void {
  const group = groupOf(zspage);
  const ring = ringOf(cls, group);
  linkNodes(ringPrevious(zspage), ringNext(zspage));
  store<u64>(zspage, 0, RING_LINKS);
  sizeClass(cls).groups = <u16>((<u32>sizeClass(cls).groups) & ~((<u32>isEmpty(ring)) << group));
}

/**
 * L4: stores the new `word` of a zspage and moves it to the list of its new group. When
 * the group is the same, the zspage stays where it is. There is no branch for this: it
 * could hardly be predicted, and its condition would be known late when the zspage is
 * cold. So the same stores happen in both cases.
 */
/* @inline */ export function regroup(pool: usize, cls: usize, zspage: usize, word: u32): void {
  if (!twelveGroups(pool)) return regroupFour(pool, cls, zspage, word);
  const old = (word >> STATE_SHIFT) & GROUP_MASK;
  const group = groupOfTwelve(cls, word & LOW);
  const moves = group != old;
  const left = ringPrevious(zspage);
  const right = ringNext(zspage);
  const ring = ringOf(cls, group);
  const first = ringNext(ring);
  // A store that must have no effect goes to the zspage itself, so it touches no other cold line.
  store<u32>(select<usize>(left, zspage, moves), <u32>right, RING_LINKS + 4);
  store<u32>(select<usize>(right, zspage, moves), <u32>left, RING_LINKS);
  store<u32>(select<usize>(first, zspage, moves), <u32>zspage, RING_LINKS);
  store<u32>(ring, <u32>select<usize>(zspage, first, moves), RING_LINKS + 4);
  store<u32>(zspage, <u32>select<usize>(ring, left, moves), RING_LINKS);
  store<u32>(zspage, <u32>select<usize>(first, right, moves), RING_LINKS + 4);
  zspageAt(zspage).word = word + ((group - old) << STATE_SHIFT);
  sizeClass(cls).groups = <u16>(
    (((<u32>sizeClass(cls).groups) & ~((<u32>isEmpty(ringOf(cls, old))) << old)) | ((<u32>1) << group))
  );
}

function regroupFour(pool: usize, cls: usize, zspage: usize, word: u32): void {
  zspageAt(zspage).word = word;
  if (groupFor(pool, cls, word & LOW) == groupOf(zspage)) return;
  delist(cls, zspage);
  enlist(pool, cls, zspage);
}

/** The groups of a class that have a zspage with a free slot, as bits. */
/* @inline */ function openGroups(pool: usize, cls: usize): u32 {
  return (<u32>sizeClass(cls).groups) & ((1 << fullGroup(pool)) - 1);
}

/** First zspage of the fullest group, apart from full zspages; 0 for none (M1). */
/* @inline */ export function fullest(pool: usize, cls: usize): usize {
  const groups = openGroups(pool, cls);
  return groups == 0 ? 0 : ringNext(ringOf(cls, 31 - clz<u32>(groups)));
}

/** First zspage of the emptiest group, 0 for none. */
/* @inline */ export function emptiest(pool: usize, cls: usize): usize {
  const groups = openGroups(pool, cls);
  return groups == 0 ? 0 : ringNext(ringOf(cls, ctz<u32>(groups)));
}

// ── slots and zspages ────────────────────────────────────────────────────────

/** F2: takes the last freed slot, else the first one that was never used. */
/* @inline */ export function takeSlot(zspage: usize, cls: usize): u32 {
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

/** F2: puts a slot at the head of the free list. */
/* @inline */ export function giveSlot(zspage: usize, cls: usize, slot: u32): void {
  const slots = zspageAt(zspage).slots;
  setSlotWord(zspage, cls, slot, (slots & LOW) << NEXT_SHIFT);
  zspageAt(zspage).slots = (slots & ~LOW) | slot;
}

/**
 * M3: creates a zspage and puts it on the list of group 0. Returns 0 without enough frames; then nothing has changed.
 */
export function zspageCreate(pool: usize, cls: usize): usize {
  const pages = <u32>sizeClass(cls).pages;
  const slab = slabOf(pool, cls);
  const descriptor = slabAlloc(slab);
  if (descriptor == 0) return 0;
  memory.fill(descriptor, 0, slabRecordBytes(slab));
  for (let place: u32 = 0; place < pages; place++) {
    const frame = frameAlloc((<u32>pool) | FRAME_DATA);
    if (frame == 0) {
      freeFrames(slab, descriptor, place);
      return 0;
    }
    store<u32>(place == 0 ? descriptor : descriptor + FRAMES + ((<usize>place) << 2), frame);
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

/** Frees a descriptor and its first `pages` frames. */
function freeFrames(slab: usize, descriptor: usize, pages: u32): void {
  while (pages-- > 0) frameFree(load<u32>(pages == 0 ? descriptor : descriptor + FRAMES + ((<usize>pages) << 2)));
  slabFree(slab, descriptor);
}

/** D1: frees an empty zspage that is on no group list, with its descriptor. Returns the number of frames. */
export function zspageFree(pool: usize, zspage: usize): u32 {
  const cls = classOf(pool, zspage);
  const pages = <u32>sizeClass(cls).pages;
  if (!ASC_NO_ASSERT) invariant(inuseOf(zspage) == 0);
  if ((stateOf(zspage) & ON_LRU) != 0) listRemove(pool + POOL_LRU, descriptorOf(zspage), LRU_LINKS);
  sizeClass(cls).allocated -= <u32>sizeClass(cls).objects;
  poolAt(pool).frames -= pages;
  freeFrames(slabOf(pool, cls), descriptorOf(zspage), pages);
  return pages;
}

/** U2, U5: puts a zspage at the front of the LRU after a write, unless it is isolated. */
export function touch(pool: usize, zspage: usize): void {
  const state = stateOf(zspage);
  if ((state & ISOLATED) != 0) return;
  if ((state & ON_LRU) != 0) {
    listToFront(pool + POOL_LRU, descriptorOf(zspage), LRU_LINKS);
    return;
  }
  setState(zspage, state | ON_LRU);
  listPush(pool + POOL_LRU, descriptorOf(zspage), LRU_LINKS);
}

/** Offset of the payload of a slot in its zspage. */
/* @inline */ export function payloadAt(cls: usize, slot: u32): u32 {
  return slot * <u32>sizeClass(cls).size + (isHuge(cls) ? 0 : WORD);
}

/** The next zspage of the pool after `zspage` (0: the first one), in the order of first frames; 0 at the end. */
export function nextZspage(pool: usize, zspage: usize): usize {
  const bump = boot(BOOT_BUMP);
  for (let frame = zspage == 0 ? boot(BOOT_FIRST) : frameOf(zspage) + 1; frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) == ((<u32>pool) | FRAME_DATA) && load<u32>(descriptorOf(entry)) == frame) return entry;
  }
  return 0;
}

/** Index of a frame in its zspage; `pages` or more when it is not in the zspage. */
export function placeIn(zspage: usize, pages: u32, frame: u32): u32 {
  let place: u32 = 0;
  while (place < pages && frameInChain(zspage, place) != frame) place += 1;
  return place;
}
