/**
 * The parts that both shapes of a page table share: the root, cells, and the frames of
 * the table with their frame entries. table.ts, dense.ts and sparse.ts show the layout.
 */
import { OUT_KEY_HIGH, OUT_KEY_LOW, OUT_PLACE } from '../abi';
import { frameAlloc, frameFree } from '../mem/frame';
import { FRAME_INDEX, PAGE_MASK, entryOf, frameAddress } from '../mem/layout';
import { setOut } from '../mem/scratch';

export const NODE_BITS: u32 = 10; // frame numbers in a frame, log2: children of a node, words of a directory
export const NODE_MASK: u32 = 1023;


@unmanaged
export class Root {
  shape: u32;
  top: u32;
  height: u32;
  keys: u32;
  frames: u32;
  deepest: u32;
  mustVerify: u32;
  sum: u32;
}


@unmanaged
export class IndexEntry {
  owner: u32;
  generations: u32;
  used: u16;
  depth: u16;
  place: u32;
}

/* @inline */ export function rootAt(root: usize): Root {
  return changetype<Root>(root);
}

/* @inline */ export function indexEntry(frame: u32): IndexEntry {
  return changetype<IndexEntry>(entryOf(frame));
}

/* @inline */ export function usedIn(frame: u32): u32 {
  return <u32>indexEntry(frame).used;
}

/* @inline */ export function addUsed(frame: u32, by: i32): void {
  indexEntry(frame).used = <u16>(<i32>indexEntry(frame).used + by);
}

/* @inline */ export function leafDepth(leaf: u32): u32 {
  return <u32>indexEntry(leaf).depth;
}

/** Notes the position of a frame in the table, so that check() finds a frame that is used twice. */
export function setPlace(frame: u32, depth: u32, place: u32): void {
  indexEntry(frame).depth = <u16>depth;
  indexEntry(frame).place = place;
}

export function isPlaced(frame: u32, depth: u32, place: u32): bool {
  return leafDepth(frame) == depth && indexEntry(frame).place == place;
}

/** Address of word `index` in a frame of frame numbers. */
/* @inline */ export function wordAt(frame: u32, index: u32): usize {
  return frameAddress(frame) + <usize>(index << 2);
}

/* @inline */ export function stateOf(cell: usize): u32 {
  return load<u32>(cell, 4);
}

/** Sets the result words of tableNext: key and position of a cell. Returns the cell. */
export function found(cell: usize, low: u32, high: u32, place: u32): usize {
  setOut(OUT_KEY_LOW, low);
  setOut(OUT_KEY_HIGH, high);
  setOut(OUT_PLACE, place);
  return cell;
}

/** Takes a frame for the table; 0 without a frame. The owner is the pool whose header contains the root. */
export function takeFrame(root: usize): u32 {
  const frame = frameAlloc(((<u32>root) & ~PAGE_MASK) | FRAME_INDEX);
  if (frame != 0) rootAt(root).frames += 1;
  return frame;
}

export function giveFrame(root: usize, frame: u32): void {
  rootAt(root).frames -= 1;
  frameFree(frame);
}
