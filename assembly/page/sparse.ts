/**
 * SPARSE: extendible hashing. Keys have two words. The low bits of a key's hash
 * choose a leaf through the directory, the high eight where to begin in it.
 *
 *   directory, 2^depth frame numbers    leaf, 256 slots, searched linearly
 *   ┌─────┬─────┬─────┬─────┐           ┌────────────────────────┬─────┐
 *   │ 00  │ 01  │ 10  │ 11  │ ────────> │ low, high, value, state│ ... │
 *   └─────┴─────┴─────┴─────┘           └────────────────────────┴─────┘
 *   entry of a leaf    8 u16 used slots   10 u16 its depth: bits that its keys share
 *                      12 those bits; of a frame of the directory its index
 *   A leaf with 208 keys is cut in two by one more bit; two halves with 96 keys
 *   in sum are joined. Up to 2^10 the directory is one frame, beyond that a frame
 *   names its frames; it doubles and halves as the deepest leaves come and go.
 *   So no operation moves more than the slots of two leaves, and no growth
 *   copies more than the directory, 4 bytes a leaf.
 *
 * Trade-offs: slots keep whole keys, twice the bytes of the cell, so that nothing
 * but the leaf is read to find one. The hash is a fixed function: who chooses
 * all keys freely could fill one leaf until the directory cannot grow further;
 * such a key is refused like one without a frame, and nothing breaks.
 */
import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, frameAddress } from '../mem/layout';
import { gatherBuffer } from '../mem/scratch';
import {
  NODE_BITS,
  NODE_MASK,
  addUsed,
  found,
  giveFrame,
  indexEntry,
  leafDepth,
  rootAt,
  setPlace,
  stateOf,
  takeFrame,
  usedIn,
  wordAt,
} from './table-layout';

export const SLOTS: u32 = 256; // of a leaf
const SLOT_SHIFT: u32 = 4;
export const SPLIT_AT: u32 = 208;
const JOIN_AT: u32 = 96;
export const DEPTH_MAX: u32 = 20;

// ── slots and leaves ─────────────────────────────────────────────────────────

/** Hash of a key: for one high word a bijection of the low one. */
function hashOf(low: u32, high: u32): u32 {
  let hash = low ^ rotl<u32>(high * 0x9e3779b1, 15) ^ high;
  hash = (hash ^ (hash >> 16)) * 0x85ebca6b;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae35;
  return hash ^ (hash >> 16);
}

/** Address of a word of the directory. */
export function directoryAt(root: usize, index: u32): usize {
  const top = rootAt(root).top;
  if (rootAt(root).height <= NODE_BITS) return wordAt(top, index);
  return wordAt(load<u32>(wordAt(top, index >> NODE_BITS)), index & NODE_MASK);
}

/* @inline */ export function bitsBelow(bits: u32): u32 {
  return (1 << bits) - 1;
}

function leafFor(root: usize, hash: u32): u32 {
  return load<u32>(directoryAt(root, hash & bitsBelow(rootAt(root).height)));
}

/* @inline */ export function slotAt(leaf: usize, index: u32): usize {
  return leaf + <usize>((index & (SLOTS - 1)) << SLOT_SHIFT);
}

/** Where the search for a hash begins in its leaf. */
/* @inline */ export function homeOf(hash: u32): u32 {
  return hash >> 24;
}

export function slotHash(slot: usize): u32 {
  return hashOf(load<u32>(slot), load<u32>(slot, 4));
}

/* @inline */ export function slotState(slot: usize): u32 {
  return load<u32>(slot, 12);
}

/** The slot of a key in its leaf, or the empty one where it belongs. */
function slotFor(leaf: u32, low: u32, high: u32, hash: u32): usize {
  const base = frameAddress(leaf);
  let index = homeOf(hash);
  while (true) {
    const slot = slotAt(base, index);
    if (slotState(slot) == 0 || (load<u32>(slot) == low && load<u32>(slot, 4) == high)) return slot;
    index += 1;
  }
}

/** Puts a copy of a slot into a leaf. */
function adopt(leaf: u32, from: usize): void {
  const slot = slotFor(leaf, load<u32>(from), load<u32>(from, 4), slotHash(from));
  store<u64>(slot, load<u64>(from));
  store<u64>(slot, load<u64>(from, 8), 8);
  addUsed(leaf, 1);
}

/** Takes a slot out of its leaf: those behind it that may, move up. */
function slotRemove(leaf: u32, slot: usize): void {
  const base = frameAddress(leaf);
  let hole = ((<u32>slot) & PAGE_MASK) >> SLOT_SHIFT;
  for (let index = hole + 1; ; index++) {
    const next = slotAt(base, index);
    if (slotState(next) == 0) break;
    // It may fill the hole unless it begins behind it.
    if (((index - homeOf(slotHash(next))) & (SLOTS - 1)) < ((index - hole) & (SLOTS - 1))) continue;
    store<u64>(slotAt(base, hole), load<u64>(next));
    store<u64>(slotAt(base, hole), load<u64>(next, 8), 8);
    hole = index;
  }
  memory.fill(slotAt(base, hole), 0, 1 << SLOT_SHIFT);
  addUsed(leaf, -1);
}

// ── directory ────────────────────────────────────────────────────────────────

/** Directory and first leaf. */
function sparseStart(root: usize): bool {
  const top = takeFrame(root);
  if (top == 0) return false;
  const leaf = takeFrame(root);
  if (leaf == 0) {
    giveFrame(root, top);
    return false;
  }
  store<u32>(wordAt(top, 0), leaf);
  rootAt(root).top = top;
  rootAt(root).deepest = 1;
  return true;
}

/** Frames of the directory behind its top, by depth. */
export function directoryFrames(depth: u32): u32 {
  return depth <= NODE_BITS ? 0 : 1 << (depth - NODE_BITS);
}

/** Doubles the directory. */
function directoryDouble(root: usize): bool {
  const depth = rootAt(root).height;
  if (depth == DEPTH_MAX) return false;
  if (depth < NODE_BITS) {
    const first = frameAddress(rootAt(root).top);
    const bytes = (<usize>4) << depth;
    memory.copy(first + bytes, first, bytes);
  } else if (!directoryAppend(root, depth)) {
    return false;
  }
  rootAt(root).height = depth + 1;
  rootAt(root).deepest = 0;
  return true;
}

/** Doubling beyond one frame: a copy of each frame of the directory, and a top when there was none. */
function directoryAppend(root: usize, depth: u32): bool {
  let top = rootAt(root).top;
  const alone = depth == NODE_BITS;
  if (alone) {
    top = takeFrame(root);
    if (top == 0) return false;
    store<u32>(wordAt(top, 0), rootAt(root).top);
  }
  const count: u32 = alone ? 1 : directoryFrames(depth);
  for (let index: u32 = 0; index < count; index++) {
    const frame = takeFrame(root);
    if (frame == 0) {
      dropUpper(root, top, count, index);
      if (alone) giveFrame(root, top);
      return false;
    }
    memory.copy(frameAddress(frame), frameAddress(load<u32>(wordAt(top, index))), PAGE_SIZE);
    setPlace(frame, 0, count + index);
    store<u32>(wordAt(top, count + index), frame);
  }
  rootAt(root).top = top;
  return true;
}

/** Gives back `frames` frames of the directory from `from` on. */
function dropUpper(root: usize, top: u32, from: u32, frames: u32): void {
  for (let index = from; index < from + frames; index++) {
    giveFrame(root, load<u32>(wordAt(top, index)));
    store<u32>(wordAt(top, index), 0);
  }
}

/** Halves the directory; no leaf is as deep as it. */
function directoryHalve(root: usize): void {
  const depth = rootAt(root).height - 1;
  const top = rootAt(root).top;
  if (depth < NODE_BITS) {
    const bytes = (<usize>4) << depth;
    memory.fill(frameAddress(top) + bytes, 0, bytes);
  } else if (depth == NODE_BITS) {
    rootAt(root).top = load<u32>(wordAt(top, 0));
    giveFrame(root, load<u32>(wordAt(top, 1)));
    giveFrame(root, top);
  } else {
    dropUpper(root, top, directoryFrames(depth), directoryFrames(depth));
  }
  rootAt(root).height = depth;
  let deepest: u32 = 0;
  for (let index: u32 = 0; index >> depth == 0; index++) {
    if (leafDepth(load<u32>(directoryAt(root, index))) == depth) deepest += 1;
  }
  rootAt(root).deepest = deepest;
}

/** Lets every word of the directory whose index ends in `bits` name a leaf. */
function direct(root: usize, bits: u32, depth: u32, leaf: u32): void {
  const end = (<u32>1) << rootAt(root).height;
  for (let index = bits; index < end; index += (<u32>1) << depth) store<u32>(directoryAt(root, index), leaf);
}

/** Halves the directory while no leaf is as deep as it. */
function trim(root: usize): void {
  while (rootAt(root).deepest == 0) directoryHalve(root);
}

/** Gives back every frame of a table without keys. */
function sparseEnd(root: usize): void {
  const top = rootAt(root).top;
  if (top == 0) return;
  const depth = rootAt(root).height;
  for (let index: u32 = 0; index >> depth == 0; index++) {
    const leaf = load<u32>(directoryAt(root, index));
    if (index >> leafDepth(leaf) == 0) giveFrame(root, leaf);
  }
  dropUpper(root, top, 0, directoryFrames(depth));
  giveFrame(root, top);
  rootAt(root).top = 0;
  rootAt(root).height = 0;
  rootAt(root).deepest = 0;
}

// ── split and join ───────────────────────────────────────────────────────────

/** Cuts a full leaf in two. */
function leafSplit(root: usize, leaf: u32, hash: u32): bool {
  const depth = leafDepth(leaf);
  if (depth == rootAt(root).height && !directoryDouble(root)) return false;
  const other = takeFrame(root);
  if (other == 0) {
    trim(root);
    return false;
  }
  const bit = (<u32>1) << depth;
  const copy = gatherBuffer();
  memory.copy(copy, frameAddress(leaf), PAGE_SIZE);
  memory.fill(frameAddress(leaf), 0, PAGE_SIZE);
  const bits = hash & (bit - 1);
  indexEntry(leaf).used = 0;
  setPlace(leaf, depth + 1, bits);
  setPlace(other, depth + 1, bits | bit);
  direct(root, bits | bit, depth + 1, other);
  if (depth + 1 == rootAt(root).height) rootAt(root).deepest += 2;
  for (let index: u32 = 0; index < SLOTS; index++) {
    const slot = slotAt(copy, index);
    if (slotState(slot) != 0) adopt((slotHash(slot) & bit) != 0 ? other : leaf, slot);
  }
  return true;
}

/** Joins a leaf with its other half when both have few keys; whether it did. */
function leafJoin(root: usize, hash: u32): bool {
  const leaf = leafFor(root, hash);
  const depth = leafDepth(leaf);
  if (depth == 0) return false;
  const bits = hash & bitsBelow(depth - 1);
  const other = load<u32>(directoryAt(root, (hash & bitsBelow(depth)) ^ ((<u32>1) << (depth - 1))));
  if (leafDepth(other) != depth || usedIn(leaf) + usedIn(other) > JOIN_AT) return false;
  const base = frameAddress(other);
  for (let index: u32 = 0; index < SLOTS; index++) {
    if (slotState(slotAt(base, index)) != 0) adopt(leaf, slotAt(base, index));
  }
  setPlace(leaf, depth - 1, bits);
  direct(root, bits, depth - 1, leaf);
  giveFrame(root, other);
  if (depth == rootAt(root).height) {
    rootAt(root).deepest -= 2;
    trim(root);
  }
  return true;
}

// ── keys ─────────────────────────────────────────────────────────────────────

/** The cell of a key that is in a table with keys, else 0. */
/* @inline */ export function sparseFind(root: usize, low: u32, high: u32): usize {
  const hash = hashOf(low, high);
  const cell = slotFor(leafFor(root, hash), low, high, hash) + 8;
  return stateOf(cell) != 0 ? cell : 0;
}

/** Makes a cell for a key, or finds it; 0 without a frame. */
export function sparseMake(root: usize, low: u32, high: u32): usize {
  if (rootAt(root).top == 0 && !sparseStart(root)) return 0;
  const hash = hashOf(low, high);
  while (true) {
    const leaf = leafFor(root, hash);
    const slot = slotFor(leaf, low, high, hash);
    if (slotState(slot) != 0) return slot + 8;
    if (usedIn(leaf) < SPLIT_AT) {
      store<u32>(slot, low);
      store<u32>(slot, high, 4);
      addUsed(leaf, 1);
      return slot + 8;
    }
    if (!leafSplit(root, leaf, hash)) return 0;
  }
}

/** Takes a slot out; the count of keys is already that without it. */
export function sparseRemove(root: usize, slot: usize): void {
  const hash = slotHash(slot);
  slotRemove(<u32>(slot >> PAGE_SHIFT), slot);
  if (rootAt(root).keys == 0) {
    sparseEnd(root);
    return;
  }
  while (leafJoin(root, hash)) {}
}

/** The first cell at or behind a place (tableNext). */
export function sparseNext(root: usize, place: u32): usize {
  const depth = rootAt(root).height;
  for (let index = place >> 8; index >> depth == 0; index++, place = index << 8) {
    const leaf = load<u32>(directoryAt(root, index));
    if (index >> leafDepth(leaf) != 0) continue; // met before
    const base = frameAddress(leaf);
    do {
      const slot = slotAt(base, place);
      if (slotState(slot) != 0) return found(slot + 8, load<u32>(slot), load<u32>(slot, 4), place);
      place += 1;
    } while ((place & (SLOTS - 1)) != 0);
  }
  return 0;
}
