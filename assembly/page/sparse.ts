/**
 * SPARSE: extendible hashing. Keys have two words. The low bits of the hash of a key
 * choose a leaf through the directory; the high eight bits choose the first item to
 * look at in the leaf.
 *
 *   directory, 2^depth frame numbers    leaf, 256 items, searched linearly
 *   ┌─────┬─────┬─────┬─────┐           ┌────────────────────────┬─────┐
 *   │ 00  │ 01  │ 10  │ 11  │ ────────> │ low, high, value, state│ ... │
 *   └─────┴─────┴─────┴─────┘           └────────────────────────┴─────┘
 *   An item is a key and its cell (value, state).
 *   frame entry of a leaf    8 u16 used items   10 u16 depth: number of hash bits that its keys share
 *                           12 these bits; for a frame of the directory: its index
 *   A leaf with 208 keys is split by one more bit. Two halves are merged when they
 *   have 96 keys together. Up to 2^10 words the directory is one frame. A larger one
 *   has a top frame with the numbers of its frames. The directory doubles and halves
 *   with the depth of the deepest leaves. So no operation moves more than the items of
 *   two leaves, and growth copies only the directory, 4 bytes for each leaf.
 *
 * Trade-offs: an item contains the whole key, so that a search reads only the leaf;
 * this doubles the bytes of an item. The hash is a fixed function: a caller who is free
 * to choose all keys could fill one leaf until the directory cannot grow further. Such
 * a key is refused like a key without a frame, and nothing breaks.
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

export const ITEMS: u32 = 256; // items of a leaf
const ITEM_SHIFT: u32 = 4;
export const SPLIT_AT: u32 = 208;
const MERGE_AT: u32 = 96;
export const DEPTH_MAX: u32 = 20;

// ── items and leaves ─────────────────────────────────────────────────────────

/** Hash of a key. For a given high word it is a bijection of the low word. */
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

/* @inline */ export function itemAt(leaf: usize, index: u32): usize {
  return leaf + <usize>((index & (ITEMS - 1)) << ITEM_SHIFT);
}

/** The first item to look at for a hash, in its leaf. */
/* @inline */ export function homeOf(hash: u32): u32 {
  return hash >> 24;
}

export function itemHash(item: usize): u32 {
  return hashOf(load<u32>(item), load<u32>(item, 4));
}

/* @inline */ export function itemState(item: usize): u32 {
  return load<u32>(item, 12);
}

/** The item of a key in its leaf, or the empty item for it. */
function itemFor(leaf: u32, low: u32, high: u32, hash: u32): usize {
  const base = frameAddress(leaf);
  let index = homeOf(hash);
  while (true) {
    const item = itemAt(base, index);
    if (itemState(item) == 0 || (load<u32>(item) == low && load<u32>(item, 4) == high)) return item;
    index += 1;
  }
}

/** Inserts a copy of an item into a leaf. */
function insertCopy(leaf: u32, from: usize): void {
  const item = itemFor(leaf, load<u32>(from), load<u32>(from, 4), itemHash(from));
  store<u64>(item, load<u64>(from));
  store<u64>(item, load<u64>(from, 8), 8);
  addUsed(leaf, 1);
}

/** Removes an item from its leaf. Moves later items up where they may fill the hole. */
function itemRemove(leaf: u32, item: usize): void {
  const base = frameAddress(leaf);
  let hole = ((<u32>item) & PAGE_MASK) >> ITEM_SHIFT;
  for (let index = hole + 1; ; index++) {
    const next = itemAt(base, index);
    if (itemState(next) == 0) break;
    // The item may fill the hole unless the search for its key begins after the hole.
    if (((index - homeOf(itemHash(next))) & (ITEMS - 1)) < ((index - hole) & (ITEMS - 1))) continue;
    store<u64>(itemAt(base, hole), load<u64>(next));
    store<u64>(itemAt(base, hole), load<u64>(next, 8), 8);
    hole = index;
  }
  memory.fill(itemAt(base, hole), 0, 1 << ITEM_SHIFT);
  addUsed(leaf, -1);
}

// ── directory ────────────────────────────────────────────────────────────────

/** Creates the directory and the first leaf. False without a frame. */
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

/** Frames of the directory below its top frame, for a depth. */
export function directoryFrames(depth: u32): u32 {
  return depth <= NODE_BITS ? 0 : 1 << (depth - NODE_BITS);
}

/** Doubles the directory. False without a frame, or at the largest depth. */
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

/** Doubles a directory of at least one full frame: copies each of its frames, and adds a top frame if there is none. */
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

/** Frees `frames` frames of the directory from `from` on. */
function dropUpper(root: usize, top: u32, from: u32, frames: u32): void {
  for (let index = from; index < from + frames; index++) {
    giveFrame(root, load<u32>(wordAt(top, index)));
    store<u32>(wordAt(top, index), 0);
  }
}

/** Halves the directory. No leaf may have its depth. */
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

/** Makes every word of the directory whose index ends in `bits` point to a leaf. */
function pointTo(root: usize, bits: u32, depth: u32, leaf: u32): void {
  const end = (<u32>1) << rootAt(root).height;
  for (let index = bits; index < end; index += (<u32>1) << depth) store<u32>(directoryAt(root, index), leaf);
}

/** Halves the directory while no leaf has its depth. */
function trim(root: usize): void {
  while (rootAt(root).deepest == 0) directoryHalve(root);
}

/** Frees every frame of a table without keys. */
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

// ── split and merge ──────────────────────────────────────────────────────────

/** Splits a full leaf in two. False without a frame. */
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
  pointTo(root, bits | bit, depth + 1, other);
  if (depth + 1 == rootAt(root).height) rootAt(root).deepest += 2;
  for (let index: u32 = 0; index < ITEMS; index++) {
    const item = itemAt(copy, index);
    if (itemState(item) != 0) insertCopy((itemHash(item) & bit) != 0 ? other : leaf, item);
  }
  return true;
}

/** Merges a leaf with its other half when both have few keys. True when it did. */
function leafMerge(root: usize, hash: u32): bool {
  const leaf = leafFor(root, hash);
  const depth = leafDepth(leaf);
  if (depth == 0) return false;
  const bits = hash & bitsBelow(depth - 1);
  const other = load<u32>(directoryAt(root, (hash & bitsBelow(depth)) ^ ((<u32>1) << (depth - 1))));
  if (leafDepth(other) != depth || usedIn(leaf) + usedIn(other) > MERGE_AT) return false;
  const base = frameAddress(other);
  for (let index: u32 = 0; index < ITEMS; index++) {
    if (itemState(itemAt(base, index)) != 0) insertCopy(leaf, itemAt(base, index));
  }
  setPlace(leaf, depth - 1, bits);
  pointTo(root, bits, depth - 1, leaf);
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
  const cell = itemFor(leafFor(root, hash), low, high, hash) + 8;
  return stateOf(cell) != 0 ? cell : 0;
}

/** The cell for a key, created if necessary; 0 without a frame. */
export function sparseMake(root: usize, low: u32, high: u32): usize {
  if (rootAt(root).top == 0 && !sparseStart(root)) return 0;
  const hash = hashOf(low, high);
  while (true) {
    const leaf = leafFor(root, hash);
    const item = itemFor(leaf, low, high, hash);
    if (itemState(item) != 0) return item + 8;
    if (usedIn(leaf) < SPLIT_AT) {
      store<u32>(item, low);
      store<u32>(item, high, 4);
      addUsed(leaf, 1);
      return item + 8;
    }
    if (!leafSplit(root, leaf, hash)) return 0;
  }
}

/** Removes an item. The count of keys must already be one less. */
export function sparseRemove(root: usize, item: usize): void {
  const hash = itemHash(item);
  itemRemove(<u32>(item >> PAGE_SHIFT), item);
  if (rootAt(root).keys == 0) {
    sparseEnd(root);
    return;
  }
  while (leafMerge(root, hash)) {}
}

/** The first used cell from a position on (tableNext). */
export function sparseNext(root: usize, place: u32): usize {
  const depth = rootAt(root).height;
  for (let index = place >> 8; index >> depth == 0; index++, place = index << 8) {
    const leaf = load<u32>(directoryAt(root, index));
    if (index >> leafDepth(leaf) != 0) continue; // this leaf was already visited
    const base = frameAddress(leaf);
    do {
      const item = itemAt(base, place);
      if (itemState(item) != 0) return found(item + 8, load<u32>(item), load<u32>(item, 4), place);
      place += 1;
    } while ((place & (ITEMS - 1)) != 0);
  }
  return 0;
}
