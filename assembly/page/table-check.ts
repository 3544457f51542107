/** The check of a page table. It survives any bytes in the frames. */
import { DENSE, FILL, HANDLE, SPARSE } from '../abi';
import {
  BOOT_BUMP,
  BOOT_FIRST,
  FRAME_INDEX,
  PAGE_MASK,
  PAGE_SHIFT,
  boot,
  entryOf,
  entryOwner,
  frameAddress,
  frameExists,
} from '../mem/layout';
import { WORK_FRAMES, WORK_KEYS, WORK_MOST, WORK_SUM, out, setOut } from '../mem/scratch';
import { RULE_INDEX, broken } from '../mem/verify';
import { HEIGHT_MAX, LEAF_BITS, denseCell, shiftAt } from './dense';
import {
  DEPTH_MAX,
  ITEMS,
  SPLIT_AT,
  bitsBelow,
  directoryAt,
  directoryFrames,
  homeOf,
  itemAt,
  itemHash,
  itemState,
} from './sparse';
import { STATE_BITS, termOf } from './table';
import { NODE_MASK, isPlaced, leafDepth, rootAt, stateOf, usedIn, wordAt } from './table-layout';

/**
 * Verifies a table: each of its frames is reached once, each key is where a search
 * finds it, counters are right, unused cells are zero. 0 or EUCLEAN.
 */
export function tableCheck(root: usize): u32 {
  const home = <u32>(root >> PAGE_SHIFT);
  const owner = ((<u32>root) & ~PAGE_MASK) | FRAME_INDEX;
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
  if (rootAt(root).mustVerify > (rootAt(root).keys == 0 ? 0 : 1)) return broken(RULE_INDEX, home);
  if (rootAt(root).top == 0)
    return frames == 0 && (rootAt(root).height | rootAt(root).deepest | rootAt(root).sum) == 0
      ? 0
      : broken(RULE_INDEX, home);
  setOut(WORK_FRAMES, 0);
  setOut(WORK_KEYS, 0);
  setOut(WORK_MOST, frames); // with this limit the check ends whatever the frames hold
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
  return out(WORK_FRAMES) == frames && out(WORK_KEYS) == rootAt(root).keys && out(WORK_SUM) == rootAt(root).sum
    ? 0
    : broken(RULE_INDEX, home);
}

/** Counts a frame that the table refers to. True when it belongs to the table, and the count is not too high. */
function isOurs(owner: u32, frame: u32): bool {
  const seen = out(WORK_FRAMES) + 1;
  setOut(WORK_FRAMES, seen);
  return seen <= out(WORK_MOST) && frameExists(frame) && entryOwner(entryOf(frame)) == owner;
}

/** True when a word can be the state of a used cell. */
function isState(word: u32): bool {
  return word == FILL || (word & bitsBelow(STATE_BITS)) == HANDLE;
}

/** Verifies a node or leaf, and everything below it. */
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
    // A top node with only child 0 is always freed.
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

/**
 * Verifies a leaf: the hash of each key ends in the bits of the leaf, and a search from its first item finds the key.
 */
function leafCheck(leaf: u32, bits: u32): u32 {
  const base = frameAddress(leaf);
  let used: u32 = 0;
  for (let index: u32 = 0; index < ITEMS; index++) {
    const item = itemAt(base, index);
    if (itemState(item) == 0) {
      if ((load<u64>(item) | load<u64>(item, 8)) != 0) return broken(RULE_INDEX, leaf);
      continue;
    }
    used += 1;
    setOut(WORK_SUM, out(WORK_SUM) ^ termOf(load<u64>(item), load<u64>(item, 8)));
    const hash = itemHash(item);
    if (!isState(itemState(item)) || (hash & bitsBelow(leafDepth(leaf))) != bits) return broken(RULE_INDEX, leaf);
    for (let way = homeOf(hash); (way & (ITEMS - 1)) != index; way++) {
      const before = itemAt(base, way);
      if (itemState(before) == 0 || load<u64>(before) == load<u64>(item)) return broken(RULE_INDEX, leaf);
    }
  }
  setOut(WORK_KEYS, out(WORK_KEYS) + used);
  return used == usedIn(leaf) && used <= SPLIT_AT ? 0 : broken(RULE_INDEX, leaf);
}
