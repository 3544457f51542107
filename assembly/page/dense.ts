/**
 * DENSE: a radix tree, with as many levels as the largest key needs. Keys have 32 bits.
 *
 *   node, 1024 frame numbers          leaf, 512 cells
 *   ┌────┬────┬────┬─────────┐        ┌───────────────┬───────────────┬─────┐
 *   │ 0  │ 1  │ 2  │ ...     │ ─────> │ value, state  │ value, state  │ ... │
 *   └────┴────┴────┴─────────┘        └───────────────┴───────────────┴─────┘
 *   One level for keys below 512, two below 524,288 (2 GiB of pages), three below
 *   2^29, else four. Empty nodes and unnecessary levels are freed at once.
 *   frame entry   8 u16 used cells or children   10 u16 height above the leaves
 *                12 first key
 */
import { PAGE_SHIFT, frameAddress } from '../mem/layout';
import {
  NODE_BITS,
  NODE_MASK,
  addUsed,
  found,
  giveFrame,
  rootAt,
  setPlace,
  stateOf,
  takeFrame,
  usedIn,
  wordAt,
} from './table-layout';

export const LEAF_BITS: u32 = 9; // cells of a leaf
export const HEIGHT_MAX: u32 = 4;

/** Bits of a key below those that choose a child of a node at this height. */
/* @inline */ export function shiftAt(height: u32): u32 {
  return LEAF_BITS + NODE_BITS * (height - 2);
}

/** True when a tree of this height has a cell for the key. */
function reaches(height: u32, key: u32): bool {
  return height >= HEIGHT_MAX || (height != 0 && key >> (LEAF_BITS + NODE_BITS * (height - 1)) == 0);
}

/* @inline */ function childIndex(height: u32, key: u32): u32 {
  return (key >> shiftAt(height)) & NODE_MASK;
}

/* @inline */ export function denseCell(leaf: u32, key: u32): usize {
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

/** Adds levels until the tree has a cell for the key. False without a frame. */
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

/** The leaf for a key, created if necessary; 0 without a frame. */
function denseMakeLeaf(root: usize, key: u32): u32 {
  if (!denseGrow(root, key)) return 0;
  if (rootAt(root).top == 0) {
    rootAt(root).top = takeFrame(root);
    if (rootAt(root).top != 0) setPlace(rootAt(root).top, rootAt(root).height - 1, 0);
  }
  let frame = rootAt(root).top;
  for (let height = rootAt(root).height; height > 1 && frame != 0; height--) {
    const word = wordAt(frame, childIndex(height, key));
    if (load<u32>(word) == 0) {
      const child = takeFrame(root);
      if (child == 0) return 0;
      store<u32>(word, child);
      addUsed(frame, 1);
      setPlace(child, height - 2, (key >> shiftAt(height)) << shiftAt(height));
    }
    frame = load<u32>(word);
  }
  return frame;
}

/** Frees empty nodes on the path to a key, and top levels that have only child 0. */
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

/** The cell of a key that is in the table, else 0. */
/* @inline */ export function denseFind(root: usize, key: u32): usize {
  const leaf = denseLeaf(root, key);
  if (leaf == 0) return 0;
  const cell = denseCell(leaf, key);
  return stateOf(cell) != 0 ? cell : 0;
}

/** The cell for a key, created if necessary; 0 without a frame. */
/* @inline */ export function denseMake(root: usize, key: u32): usize {
  const leaf = denseMakeLeaf(root, key);
  if (leaf == 0) {
    densePrune(root, key);
    return 0;
  }
  const cell = denseCell(leaf, key);
  if (stateOf(cell) == 0) addUsed(leaf, 1);
  return cell;
}

/* @inline */ export function denseRemove(root: usize, cell: usize, key: u32): void {
  store<u64>(cell, 0);
  addUsed(<u32>(cell >> PAGE_SHIFT), -1);
  if (usedIn(<u32>(cell >> PAGE_SHIFT)) == 0) densePrune(root, key);
}

/** The first used cell from a key on (tableNext). */
export function denseNext(root: usize, key: u32): usize {
  while (reaches(rootAt(root).height, key)) {
    let height = rootAt(root).height;
    let frame = rootAt(root).top;
    for (; height > 1 && frame != 0; height--) frame = load<u32>(wordAt(frame, childIndex(height, key)));
    // Without a leaf, go on with the first key of the next child.
    const step = frame != 0 ? (<u32>1) << LEAF_BITS : (<u32>1) << shiftAt(height + 1);
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
