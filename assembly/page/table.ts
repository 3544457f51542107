/**
 * Page tables: from the number of a page to its cell, inside the RAM.
 *
 * What it is. The index that makes a pool of compressed pages a store of pages:
 * a key finds 8 bytes that its owner fills as it likes (a handle, a fill word,
 * flags). There is one shape for keys that lie close together, such as the pages
 * of a device, and one for keys that may lie anywhere, such as (type, offset).
 * What it is not. It knows neither pools nor pages, gives no order by use, and
 * its cells move: an address is good until the next tableMake or tableRemove.
 *
 * A cell, of both shapes:  0 value   4 state, never 0 in a used cell
 *
 * DENSE: a radix tree, as high as the largest key needs. Keys have 32 bits.
 *
 *   node, 1024 frame numbers          leaf, 512 cells
 *   ┌────┬────┬────┬─────────┐        ┌───────────────┬───────────────┬─────┐
 *   │ 0  │ 1  │ 2  │ ...     │ ─────> │ value, state  │ value, state  │ ... │
 *   └────┴────┴────┴─────────┘        └───────────────┴───────────────┴─────┘
 *   one level below 512 keys, two below 524,288 (2 GiB of pages), three below
 *   2^29, four beyond. Empty nodes and needless levels are given back at once.
 *   entry of a frame   8 u16 used cells or children   10 u16 height above the leaves
 *                      12 first key
 *
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
 * Root, 32 bytes that lie with the owner:
 *   0 shape   4 frame of the top   8 height (dense), depth (sparse)
 *  12 keys   16 frames   20 leaves as deep as the directory (sparse)
 *  24 whether cells may be out of date: set by the owner, 0 again without keys
 *  28 what all used cells and their keys add up to: nothing else would contradict a changed one (check())
 *
 * Vital statistics: 8 bytes a key and 0.8 % (dense, keys without gaps); 20 to 40
 * bytes a key (sparse). At most 2^20 leaves. (What it costs in time: bench/.)
 *
 * Trade-offs: slots keep whole keys, twice the bytes of the cell, so that nothing
 * but the leaf is read to find one. The hash is a fixed function: who chooses
 * all keys freely could fill one leaf until the directory cannot grow further;
 * such a key is refused like one without a frame, and nothing breaks.
 *
 * Source: our own. (The kernel: mm/zswap.c, an rbtree a swap type up to 6.6 and
 * an xarray since; drivers/block/zram, a plain array.) Extendible hashing is that
 * of Fagin, Nievergelt, Pippenger and Strong, 1979.
 */
import { DENSE, FILL, HANDLE, OUT_KEY_HIGH, OUT_KEY_LOW, OUT_PLACE, SPARSE } from '../abi';
import { invariant } from '../base/debug';
import { frameAlloc, frameFree } from '../mem/frame';
import {
  BOOT_BUMP, BOOT_FIRST, FRAME_INDEX, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, boot, entryOf, entryOwner, frameAddress, frameExists,
} from '../mem/layout';
import { WORK_FRAMES, WORK_KEYS, WORK_MOST, WORK_SUM, gatherBuffer, out, setOut } from '../mem/scratch';
import { RULE_INDEX, broken } from '../mem/verify';

// ── layout ───────────────────────────────────────────────────────────────────

/** Bits of a state: HANDLE or FILL (page/store.ts). Above those of a HANDLE lies what its owner adds. */
export const STATE_BITS: u32 = 2;

const LEAF_BITS: u32 = 9; // cells of a dense leaf
const NODE_BITS: u32 = 10; // children of a node
const NODE_MASK: u32 = 1023;
const HEIGHT_MAX: u32 = 4;
const SLOTS: u32 = 256; // of a sparse leaf
const SLOT_SHIFT: u32 = 4;
const SPLIT_AT: u32 = 208;
const JOIN_AT: u32 = 96;
const DEPTH_MAX: u32 = 20;

@unmanaged
class Root {
  shape: u32;
  top: u32;
  height: u32;
  keys: u32;
  frames: u32;
  deepest: u32;
  doubted: u32;
  sum: u32;
}

@unmanaged
class IndexEntry {
  owner: u32;
  generations: u32;
  used: u16;
  depth: u16;
  place: u32;
}

// ── accessors ────────────────────────────────────────────────────────────────

// @ts-ignore: decorator
@inline function rootAt(root: usize): Root {
  return changetype<Root>(root);
}

// @ts-ignore: decorator
@inline function indexEntry(frame: u32): IndexEntry {
  return changetype<IndexEntry>(entryOf(frame));
}

// @ts-ignore: decorator
@inline function usedIn(frame: u32): u32 {
  return <u32>indexEntry(frame).used;
}

// @ts-ignore: decorator
@inline function addUsed(frame: u32, by: i32): void {
  indexEntry(frame).used = <u16>(<i32>indexEntry(frame).used + by);
}

// @ts-ignore: decorator
@inline function leafDepth(leaf: u32): u32 {
  return <u32>indexEntry(leaf).depth;
}

/** Notes for check() where a frame stands, so that none can stand in two places. */
function setPlace(frame: u32, depth: u32, place: u32): void {
  indexEntry(frame).depth = <u16>depth;
  indexEntry(frame).place = place;
}

function isPlaced(frame: u32, depth: u32, place: u32): bool {
  return leafDepth(frame) == depth && indexEntry(frame).place == place;
}

/** Word `index` of a frame of frame numbers. */
// @ts-ignore: decorator
@inline function wordAt(frame: u32, index: u32): usize {
  return frameAddress(frame) + <usize>(index << 2);
}

// @ts-ignore: decorator
@inline export function stateOf(cell: usize): u32 {
  return load<u32>(cell, 4);
}

/** What a key and its contents add to a sum: any other word gives, but for one case in 2^32, another number. */
// @ts-ignore: decorator
@inline export function termOf(key: u64, contents: u64): u32 {
  const mixed = (rotl<u64>((key + 1) * 0x9E3779B97F4A7C15, 32) ^ contents) * 0xD6E8FEB86659FD93;
  return <u32>(mixed >> 32) ^ <u32>mixed;
}

/** That of a cell, given its key in a dense table; in a sparse one the key lies before it. */
// @ts-ignore: decorator
@inline function term(root: usize, cell: usize, low: u32): u32 {
  return termOf(rootAt(root).shape == DENSE ? <u64>low : load<u64>(cell - 8), load<u64>(cell));
}

/** Takes a zeroed frame for the table; 0 for none. The owner is the page in which the root lies. */
function takeFrame(root: usize): u32 {
  const frame = frameAlloc((<u32>root & ~PAGE_MASK) | FRAME_INDEX);
  if (frame != 0) rootAt(root).frames += 1;
  return frame;
}

function giveFrame(root: usize, frame: u32): void {
  rootAt(root).frames -= 1;
  frameFree(frame);
}

// ── dense ────────────────────────────────────────────────────────────────────

/** Bits of a key below those that choose a child of a node at this height. */
// @ts-ignore: decorator
@inline function shiftAt(height: u32): u32 {
  return LEAF_BITS + NODE_BITS * (height - 2);
}

/** Whether a tree of this height has a place for the key. */
function reaches(height: u32, key: u32): bool {
  return height >= HEIGHT_MAX || (height != 0 && key >> (LEAF_BITS + NODE_BITS * (height - 1)) == 0);
}

// @ts-ignore: decorator
@inline function childIndex(height: u32, key: u32): u32 {
  return (key >> shiftAt(height)) & NODE_MASK;
}

// @ts-ignore: decorator
@inline function denseCell(leaf: u32, key: u32): usize {
  return frameAddress(leaf) + <usize>((key & ((1 << LEAF_BITS) - 1)) << 3);
}

/** The leaf for a key, 0 for none. */
function denseLeaf(root: usize, key: u32): u32 {
  let height = rootAt(root).height;
  if (!reaches(height, key)) return 0;
  let frame = rootAt(root).top;
  for (; height > 1 && frame != 0; height--) frame = load<u32>(wordAt(frame, childIndex(height, key)));
  return frame;
}

/** Makes the tree higher until it reaches the key. */
function denseGrow(root: usize, key: u32): bool {
  while (!reaches(rootAt(root).height, key)) {
    if (rootAt(root).top != 0) {
      const frame = takeFrame(root);
      if (frame == 0) return false;
      store<u32>(wordAt(frame, 0), rootAt(root).top);
      addUsed(frame, 1);
      setPlace(frame, rootAt(root).height, 0);
      rootAt(root).top = frame;
    }
    rootAt(root).height += 1;
  }
  return true;
}

/** The leaf for a key, made if need be; 0 without a frame. */
function denseMakeLeaf(root: usize, key: u32): u32 {
  if (!denseGrow(root, key)) return 0;
  if (rootAt(root).top == 0) {
    rootAt(root).top = takeFrame(root);
    if (rootAt(root).top != 0) setPlace(rootAt(root).top, rootAt(root).height - 1, 0);
  }
  let frame = rootAt(root).top;
  for (let height = rootAt(root).height; height > 1 && frame != 0; height--) {
    const cell = wordAt(frame, childIndex(height, key));
    if (load<u32>(cell) == 0) {
      const child = takeFrame(root);
      if (child == 0) return 0;
      store<u32>(cell, child);
      addUsed(frame, 1);
      setPlace(child, height - 2, key >> shiftAt(height) << shiftAt(height));
    }
    frame = load<u32>(cell);
  }
  return frame;
}

/** Gives back empty nodes on the way to a key, and levels that only have a child 0. */
function densePrune(root: usize, key: u32): void {
  while (rootAt(root).top != 0) {
    let parent: u32 = 0;
    let frame = rootAt(root).top;
    let height = rootAt(root).height;
    while (height > 1 && reaches(rootAt(root).height, key)) {
      const child = load<u32>(wordAt(frame, childIndex(height, key)));
      if (child == 0) break;
      parent = frame;
      frame = child;
      height -= 1;
    }
    if (usedIn(frame) != 0) break;
    giveFrame(root, frame);
    if (parent == 0) {
      rootAt(root).top = 0;
    } else {
      store<u32>(wordAt(parent, childIndex(height + 1, key)), 0);
      addUsed(parent, -1);
    }
  }
  if (rootAt(root).top == 0) rootAt(root).height = 0;
  while (rootAt(root).height > 1 && usedIn(rootAt(root).top) == 1) {
    const child = load<u32>(wordAt(rootAt(root).top, 0));
    if (child == 0) break;
    giveFrame(root, rootAt(root).top);
    rootAt(root).top = child;
    rootAt(root).height -= 1;
  }
}

// ── sparse ───────────────────────────────────────────────────────────────────

/** Hash of a key: for one high word a bijection of the low one. */
function hashOf(low: u32, high: u32): u32 {
  let hash = low ^ rotl<u32>(high * 0x9E3779B1, 15) ^ high;
  hash = (hash ^ (hash >> 16)) * 0x85EBCA6B;
  hash = (hash ^ (hash >> 13)) * 0xC2B2AE35;
  return hash ^ (hash >> 16);
}

/** Address of a word of the directory. */
function directoryAt(root: usize, index: u32): usize {
  const top = rootAt(root).top;
  if (rootAt(root).height <= NODE_BITS) return wordAt(top, index);
  return wordAt(load<u32>(wordAt(top, index >> NODE_BITS)), index & NODE_MASK);
}

// @ts-ignore: decorator
@inline function bitsBelow(bits: u32): u32 {
  return (1 << bits) - 1;
}

function leafFor(root: usize, hash: u32): u32 {
  return load<u32>(directoryAt(root, hash & bitsBelow(rootAt(root).height)));
}

// @ts-ignore: decorator
@inline function slotAt(leaf: usize, index: u32): usize {
  return leaf + <usize>((index & (SLOTS - 1)) << SLOT_SHIFT);
}

/** Where the search for a hash begins in its leaf. */
// @ts-ignore: decorator
@inline function homeOf(hash: u32): u32 {
  return hash >> 24;
}

function slotHash(slot: usize): u32 {
  return hashOf(load<u32>(slot), load<u32>(slot, 4));
}

// @ts-ignore: decorator
@inline function slotState(slot: usize): u32 {
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
function directoryFrames(depth: u32): u32 {
  return depth <= NODE_BITS ? 0 : 1 << (depth - NODE_BITS);
}

/** Doubles the directory. */
function directoryDouble(root: usize): bool {
  const depth = rootAt(root).height;
  if (depth == DEPTH_MAX) return false;
  if (depth < NODE_BITS) {
    const first = frameAddress(rootAt(root).top);
    const bytes = <usize>4 << depth;
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
    const bytes = <usize>4 << depth;
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
  const end = <u32>1 << rootAt(root).height;
  for (let index = bits; index < end; index += <u32>1 << depth) store<u32>(directoryAt(root, index), leaf);
}

/** Cuts a full leaf in two. */
function leafSplit(root: usize, leaf: u32, hash: u32): bool {
  const depth = leafDepth(leaf);
  if (depth == rootAt(root).height && !directoryDouble(root)) return false;
  const other = takeFrame(root);
  if (other == 0) {
    trim(root);
    return false;
  }
  const bit = <u32>1 << depth;
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

/** Halves the directory while no leaf is as deep as it. */
function trim(root: usize): void {
  while (rootAt(root).deepest == 0) directoryHalve(root);
}

/** Joins a leaf with its other half when both have few keys; whether it did. */
function leafJoin(root: usize, hash: u32): bool {
  const leaf = leafFor(root, hash);
  const depth = leafDepth(leaf);
  if (depth == 0) return false;
  const bits = hash & bitsBelow(depth - 1);
  const other = load<u32>(directoryAt(root, (hash & bitsBelow(depth)) ^ (<u32>1 << (depth - 1))));
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

/** Takes a slot out of its leaf: those behind it that may, move up. */
function slotRemove(leaf: u32, slot: usize): void {
  const base = frameAddress(leaf);
  let hole = (<u32>slot & PAGE_MASK) >> SLOT_SHIFT;
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

/** Makes a slot for a key, or finds it; 0 without a frame. */
function sparseMake(root: usize, low: u32, high: u32): usize {
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

function sparseRemove(root: usize, slot: usize): void {
  const hash = slotHash(slot);
  slotRemove(<u32>(slot >> PAGE_SHIFT), slot);
  if (rootAt(root).keys == 0) {
    sparseEnd(root);
    return;
  }
  while (leafJoin(root, hash)) {}
}

// ── API ──────────────────────────────────────────────────────────────────────

/** Begins an empty table at a root of zeros. */
export function tableStart(root: usize, shape: u32): void {
  rootAt(root).shape = shape;
}

/** DENSE, SPARSE; 0 for a root where no table was begun. */
// @ts-ignore: decorator
@inline export function tableShape(root: usize): u32 {
  return rootAt(root).shape;
}

// @ts-ignore: decorator
@inline export function tableKeys(root: usize): u32 {
  return rootAt(root).keys;
}

/** Notes that cells may be out of date from now on. */
// @ts-ignore: decorator
@inline export function tableDoubt(root: usize): void {
  if (rootAt(root).keys != 0) rootAt(root).doubted = 1;
}

// @ts-ignore: decorator
@inline export function isDoubted(root: usize): bool {
  return rootAt(root).doubted != 0;
}

/** The cell of a key, 0 when it is not in the table. */
export function tableFind(root: usize, low: u32, high: u32): usize {
  if (rootAt(root).keys == 0) return 0;
  if (rootAt(root).shape == DENSE) {
    const leaf = high == 0 ? denseLeaf(root, low) : 0;
    if (leaf == 0) return 0;
    const cell = denseCell(leaf, low);
    return stateOf(cell) != 0 ? cell : 0;
  }
  const hash = hashOf(low, high);
  const cell = slotFor(leafFor(root, hash), low, high, hash) + 8;
  return stateOf(cell) != 0 ? cell : 0;
}

/**
 * The cell of a key; a new one has state 0, and the caller must give it its contents at once,
 * @param high 0 in a dense table
 * with cellSet.
 * @returns 0 without a frame; no key has changed then
 */
export function tableMake(root: usize, low: u32, high: u32): usize {
  let cell: usize;
  if (rootAt(root).shape == DENSE) {
    const leaf = denseMakeLeaf(root, low);
    if (leaf == 0) {
      densePrune(root, low);
      return 0;
    }
    cell = denseCell(leaf, low);
    if (stateOf(cell) == 0) addUsed(leaf, 1);
  } else {
    cell = sparseMake(root, low, high);
    if (cell == 0) {
      if (rootAt(root).keys == 0) sparseEnd(root);
      return 0;
    }
  }
  if (stateOf(cell) == 0) rootAt(root).keys += 1;
  return cell;
}

/** Gives a cell its contents, state never 0. @param low word of its key */
export function cellSet(root: usize, cell: usize, low: u32, value: u32, state: u32): void {
  let sum = rootAt(root).sum;
  if (stateOf(cell) != 0) sum ^= term(root, cell, low);
  store<u64>(cell, <u64>value | (<u64>state << 32));
  rootAt(root).sum = sum ^ term(root, cell, low);
}

/** Takes the key of a cell (tableFind) out of the table. */
export function tableRemove(root: usize, cell: usize, low: u32): void {
  invariant(stateOf(cell) != 0);
  rootAt(root).sum ^= term(root, cell, low);
  rootAt(root).keys -= 1;
  if (rootAt(root).keys == 0) rootAt(root).doubted = 0;
  if (rootAt(root).shape == DENSE) {
    store<u64>(cell, 0);
    addUsed(<u32>(cell >> PAGE_SHIFT), -1);
    if (usedIn(<u32>(cell >> PAGE_SHIFT)) == 0) densePrune(root, low);
  } else {
    sparseRemove(root, cell - 8);
  }
}

// ── walk ─────────────────────────────────────────────────────────────────────

/** Notes key and place of a cell for the caller of tableNext. */
function found(cell: usize, low: u32, high: u32, place: u32): usize {
  setOut(OUT_KEY_LOW, low);
  setOut(OUT_KEY_HIGH, high);
  setOut(OUT_PLACE, place);
  return cell;
}

/**
 * The first cell at or behind a place, for going through all keys from place 0
 * on. Dense: the place is the key, keys ascend. Sparse: 256 · word of the
 * directory + slot; no order.
 * @returns the cell, its key in OUT_KEY_LOW and OUT_KEY_HIGH, its place in OUT_PLACE; 0 at the end
 */
export function tableNext(root: usize, place: u32): usize {
  if (rootAt(root).keys == 0) return 0;
  return rootAt(root).shape == DENSE ? denseNext(root, place) : sparseNext(root, place);
}

function denseNext(root: usize, key: u32): usize {
  while (reaches(rootAt(root).height, key)) {
    let height = rootAt(root).height;
    let frame = rootAt(root).top;
    for (; height > 1 && frame != 0; height--) frame = load<u32>(wordAt(frame, childIndex(height, key)));
    // Without a leaf: on to the first key of the next child that there could be.
    const step = frame != 0 ? <u32>1 << LEAF_BITS : <u32>1 << shiftAt(height + 1);
    const end = (key & ~(step - 1)) + step;
    if (frame != 0) {
      for (; key != end; key++) {
        const cell = denseCell(frame, key);
        if (stateOf(cell) != 0) return found(cell, key, 0, key);
      }
    }
    if (end == 0) return 0;
    key = end;
  }
  return 0;
}

function sparseNext(root: usize, place: u32): usize {
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

// ── check ────────────────────────────────────────────────────────────────────

/**
 * Verifies a table: every frame of it reached once, keys where they are looked
 * for, counts true, what is unused zero. 0 or EUCLEAN.
 */
export function tableCheck(root: usize): u32 {
  const home = <u32>(root >> PAGE_SHIFT);
  const owner = (<u32>root & ~PAGE_MASK) | FRAME_INDEX;
  const bump = boot(BOOT_BUMP);
  let frames: u32 = 0;
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    if (entryOwner(entryOf(frame)) != owner) continue;
    if ((load<u64>(entryOf(frame), 16) | load<u64>(entryOf(frame), 24)) != 0) return broken(RULE_INDEX, frame);
    frames += 1;
  }
  const shape = rootAt(root).shape;
  if (frames != rootAt(root).frames || shape > SPARSE || (shape == 0 && frames != 0)) return broken(RULE_INDEX, home);
  if ((rootAt(root).keys == 0) != (rootAt(root).top == 0)) return broken(RULE_INDEX, home);
  if (rootAt(root).doubted > (rootAt(root).keys == 0 ? 0 : 1)) return broken(RULE_INDEX, home);
  if (rootAt(root).top == 0) return frames == 0 && (rootAt(root).height | rootAt(root).deepest | rootAt(root).sum) == 0 ? 0 : broken(RULE_INDEX, home);
  setOut(WORK_FRAMES, 0);
  setOut(WORK_KEYS, 0);
  setOut(WORK_MOST, frames); // so the check ends whatever the frames hold
  setOut(WORK_SUM, 0);
  let result: u32;
  if (shape == DENSE) {
    const height = rootAt(root).height;
    if (height == 0 || height > HEIGHT_MAX || rootAt(root).deepest != 0) return broken(RULE_INDEX, home);
    result = denseCheck(owner, rootAt(root).top, height, height, 0);
  } else {
    result = sparseCheck(root, owner);
  }
  if (result != 0) return result;
  return out(WORK_FRAMES) == frames && out(WORK_KEYS) == rootAt(root).keys && out(WORK_SUM) == rootAt(root).sum ? 0 : broken(RULE_INDEX, home);
}

/** Counts a frame that a table names; whether it is one of the table's, and not one too many. */
function isOurs(owner: u32, frame: u32): bool {
  const seen = out(WORK_FRAMES) + 1;
  setOut(WORK_FRAMES, seen);
  return seen <= out(WORK_MOST) && frameExists(frame) && entryOwner(entryOf(frame)) == owner;
}

/** Whether a word can be the state of a used cell. */
function isState(word: u32): bool {
  return word == FILL || (word & bitsBelow(STATE_BITS)) == HANDLE;
}

/** A node or leaf and all below. */
function denseCheck(owner: u32, frame: u32, height: u32, top: u32, key: u32): u32 {
  if (!isOurs(owner, frame) || !isPlaced(frame, height - 1, key)) return broken(RULE_INDEX, frame);
  let used: u32 = 0;
  if (height == 1) {
    for (let index: u32 = 0; index >> LEAF_BITS == 0; index++) {
      const cell = denseCell(frame, index);
      if (stateOf(cell) != 0) {
        used += 1;
        setOut(WORK_SUM, out(WORK_SUM) ^ termOf(<u64>(key + index), load<u64>(cell)));
      }
      if (!isState(stateOf(cell)) && load<u64>(cell) != 0) return broken(RULE_INDEX, frame);
    }
    setOut(WORK_KEYS, out(WORK_KEYS) + used);
  } else {
    for (let index: u32 = 0; index <= NODE_MASK; index++) {
      const child = load<u32>(wordAt(frame, index));
      if (child == 0) continue;
      if (height == HEIGHT_MAX && index >> (32 - shiftAt(HEIGHT_MAX)) != 0) return broken(RULE_INDEX, frame);
      used += 1;
      const result = denseCheck(owner, child, height - 1, top, key + (index << shiftAt(height)));
      if (result != 0) return result;
    }
    // A top with nothing but a child 0 would have been given back.
    if (height == top && used == 1 && load<u32>(wordAt(frame, 0)) != 0) return broken(RULE_INDEX, frame);
  }
  return used != 0 && used == usedIn(frame) ? 0 : broken(RULE_INDEX, frame);
}

function sparseCheck(root: usize, owner: u32): u32 {
  const depth = rootAt(root).height;
  const top = rootAt(root).top;
  if (depth > DEPTH_MAX || !isDirectory(owner, top, 0)) return broken(RULE_INDEX, top);
  const upper = directoryFrames(depth);
  for (let index: u32 = 0; index <= NODE_MASK; index++) {
    const word = load<u32>(wordAt(top, index));
    if (upper == 0 ? index >> depth != 0 : index >= upper) {
      if (word != 0) return broken(RULE_INDEX, top);
    } else if (upper != 0 && !isDirectory(owner, word, index)) {
      return broken(RULE_INDEX, top);
    }
  }
  let deepest: u32 = 0;
  for (let index: u32 = 0; index >> depth == 0; index++) {
    const leaf = load<u32>(directoryAt(root, index));
    if (!frameExists(leaf) || entryOwner(entryOf(leaf)) != owner) return broken(RULE_INDEX, top);
    const own = leafDepth(leaf);
    if (own > depth || !isPlaced(leaf, own, index & bitsBelow(own))) return broken(RULE_INDEX, leaf);
    if (index >> own != 0) {
      if (load<u32>(directoryAt(root, index & bitsBelow(own))) != leaf) return broken(RULE_INDEX, leaf);
      continue;
    }
    isOurs(owner, leaf);
    if (own == depth) deepest += 1;
    const result = leafCheck(leaf, index);
    if (result != 0) return result;
  }
  return deepest != 0 && deepest == rootAt(root).deepest ? 0 : broken(RULE_INDEX, top);
}

function isDirectory(owner: u32, frame: u32, index: u32): bool {
  return isOurs(owner, frame) && usedIn(frame) == 0 && isPlaced(frame, 0, index);
}

/** A leaf: each key's hash ends in the leaf's bits, and no empty slot lies between its home and it. */
function leafCheck(leaf: u32, bits: u32): u32 {
  const base = frameAddress(leaf);
  let used: u32 = 0;
  for (let index: u32 = 0; index < SLOTS; index++) {
    const slot = slotAt(base, index);
    if (slotState(slot) == 0) {
      if ((load<u64>(slot) | load<u64>(slot, 8)) != 0) return broken(RULE_INDEX, leaf);
      continue;
    }
    used += 1;
    setOut(WORK_SUM, out(WORK_SUM) ^ termOf(load<u64>(slot), load<u64>(slot, 8)));
    const hash = slotHash(slot);
    if (!isState(slotState(slot)) || (hash & bitsBelow(leafDepth(leaf))) != bits) return broken(RULE_INDEX, leaf);
    for (let way = homeOf(hash); (way & (SLOTS - 1)) != index; way++) {
      const before = slotAt(base, way);
      if (slotState(before) == 0 || load<u64>(before) == load<u64>(slot)) return broken(RULE_INDEX, leaf);
    }
  }
  setOut(WORK_KEYS, out(WORK_KEYS) + used);
  return used == usedIn(leaf) && used <= SPLIT_AT ? 0 : broken(RULE_INDEX, leaf);
}
