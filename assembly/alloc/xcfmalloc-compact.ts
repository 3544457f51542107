/**
 * Compaction of xcfmalloc: sparse frames are emptied into the holes of fuller
 * ones, block by block. Never shipped by the original; the algorithm, its
 * bounds and the figures it must reach are rules C1..C9 and I1..I7 of
 * docs/rules/xvmalloc-xcfmalloc.md.
 *
 * A pass threads the frames that have a used block through their entries,
 * emptiest first (C1), rebuilds the lists so that at the head of each is a hole
 * of the fullest frame (C2), and then takes one frame after the other as victim:
 * all of its blocks are given places, or the plan is undone to the last link.
 *
 * No frame and no descriptor is ever needed: a block that moves keeps its
 * descriptor, so that its handle stays valid, and so leaves over the one of a
 * hole that it fills; a hole that it does not fill keeps its own. A second block
 * takes the descriptor of the hole that its first has filled.
 *
 * While a victim is planned, places are taken from the front of holes, and a
 * log in scratch says which:
 *   0 hole   4 block to be moved, 0 for a hole of the victim's own
 *   8 the hole's links before   16 its word before: the place   20 bytes (S2)
 * At most 64 blocks with two places each and their frame's holes: 128 records.
 */
import { OUT_CURSOR } from '../abi';
import { listNext, listRemove, listRestore } from '../base/list';
import { listBit, listCell, listHead, listMask, listsFrom, setListMask } from '../mem/bitmap-lists';
import { BOOT_BUMP, BOOT_FIRST, FRAME_DATA, boot, entryOf, entryOwner, frameOf } from '../mem/layout';
import { POOL_LRU, POOL_TABLES, countMoves, poolAt } from '../mem/pool';
import { WORK_MOVED, WORK_PAYLOAD, out, pageBuffer, setOut } from '../mem/scratch';
import {
  FIRST,
  FREE,
  HEADER,
  LIST_LINKS,
  LRU_LINKS,
  ORDER_SHIFT,
  RESERVE_LIST,
  SECOND,
  UNITS,
  UNIT_SHIFT,
  addUsedUnits,
  addressIn,
  blockAt,
  blocksOption,
  dataAt,
  delist,
  dropRecord,
  enlist,
  enlistFrame,
  entryFor,
  fill,
  freeBlocks,
  giveFrame,
  insertLeft,
  isIsolated,
  mappedBlocks,
  reserveFrames,
  stateOf,
  takeOut,
  unitsIn,
  unitsOf,
  unitsUsed,
  usedUnits,
  wordAt,
} from './xcfmalloc-blocks';


@unmanaged
class Step {
  hole: u32;
  block: u32;
  links: u64;
  word: u32;
  bytes: u32;
}

// ── order (C1, C2) ───────────────────────────────────────────────────────────

/** Where the log begins in the page buffer, behind the cells of the order: the first frame with so many used units. */
const LOG: usize = 512;

/* @inline */ function orderCell(cells: usize, units: u32): usize {
  return cells + ((<usize>units) << 2);
}

/** C1: frames by used units, those with equally many by number. */
function orderFrames(pool: usize, cells: usize): void {
  const first = boot(BOOT_FIRST);
  memory.fill(cells, 0, LOG);
  for (let frame = boot(BOOT_BUMP); frame-- > first;) {
    const entry = entryOf(frame);
    if (entryOwner(entry) != ((<u32>pool) | FRAME_DATA) || isIsolated(entry)) continue;
    const cell = orderCell(cells, unitsUsed(entry));
    dataAt(entry).state |= load<u32>(cell) << ORDER_SHIFT;
    store<u32>(cell, frame);
  }
}

/** The frame behind this one in the order. */
/* @inline */ function orderNext(entry: usize): u32 {
  return dataAt(entry).state >> ORDER_SHIFT;
}

/** C2: all holes anew at the heads of their lists, those of the fullest frames last; the reserve stays. */
function rebuildLists(pool: usize, cells: usize): void {
  memory.fill(pool + POOL_TABLES, 0, 4 * <usize>RESERVE_LIST);
  setListMask(pool, listMask(pool) & listBit(RESERVE_LIST));
  for (let units: u32 = 1; units < UNITS; units++) {
    let frame = load<u32>(orderCell(cells, units));
    while (frame != 0) {
      const entry = entryOf(frame);
      enlistFrame(pool, entry, true);
      frame = orderNext(entry);
    }
  }
}

// ── plan (C4) ────────────────────────────────────────────────────────────────

/** Notes that `block` will have so many bytes at the front of a hole, and takes that off the hole. Returns the end of the log. */
function take(pool: usize, hole: usize, block: usize, bytes: u32, log: usize): usize {
  const step = changetype<Step>(log);
  const rest = unitsOf(hole) - unitsIn(bytes);
  step.hole = <u32>hole;
  step.block = <u32>block;
  step.links = load<u64>(hole, LIST_LINKS);
  step.word = blockAt(hole).word;
  step.bytes = bytes;
  delist(pool, hole);
  if (rest != 0) {
    blockAt(hole).word += wordAt(0, unitsIn(bytes));
    blockAt(hole).bytes = <u16>(rest << UNIT_SHIFT);
    enlist(pool, hole);
  }
  return log + offsetof<Step>();
}

/** Whether a step has used its hole up: only then the hole still is where the step found it. */
/* @inline */ function isExact(step: Step): bool {
  return blockAt(step.hole).word == step.word;
}

/** C5: takes back the steps from the last to the first. */
function undo(pool: usize, start: usize, log: usize): void {
  while (log != start) {
    log -= offsetof<Step>();
    const step = changetype<Step>(log);
    const hole = <usize>step.hole;
    if (!isExact(step)) {
      delist(pool, hole);
      blockAt(hole).word = step.word;
      blockAt(hole).bytes += <u16>(unitsIn(step.bytes) << UNIT_SHIFT);
    }
    const list = unitsOf(hole) - 1;
    listRestore(listCell(pool, list), hole, LIST_LINKS, step.links);
    setListMask(pool, listMask(pool) | listBit(list));
  }
}

/** The smallest hole for so many bytes that is not `other`, the first of its list or next to it; 0 for none. */
function holeFor(pool: usize, holes: u64, bytes: u32, other: usize): usize {
  const fitting = listsFrom(holes, unitsIn(bytes) - 1);
  if (fitting == 0) return 0;
  const hole = listHead(pool, <u32>ctz<u64>(fitting));
  if (hole != other) return hole;
  const second = listNext(hole, LIST_LINKS);
  if (second != 0) return second;
  const larger = fitting & (fitting - 1);
  return larger != 0 ? listHead(pool, <u32>ctz<u64>(larger)) : 0;
}

/** C4: finds a block of the victim its one or two places. Returns the end of the log, 0 without a place. */
function plan(pool: usize, block: usize, log: usize): usize {
  const bytes = <u32>blockAt(block).bytes;
  const units = unitsIn(bytes);
  const holes = listMask(pool) & ~listBit(RESERVE_LIST);
  const hole = holeFor(pool, holes, bytes, 0);
  const isExactHole = hole != 0 && unitsOf(hole) == units;
  if (!isExactHole && blocksOption(pool) == 2 && stateOf(block) == FIRST && blockAt(block).other == 0) {
    let smaller = holes & (listBit(units - 1) - 1);
    while (smaller != 0) {
      const list = 63 - <u32>clz<u64>(smaller);
      const first = listHead(pool, list);
      const length = (list + 1) << UNIT_SHIFT;
      const rest = bytes - length + HEADER;
      const second = holeFor(pool, holes, rest, first);
      if (second != 0) return take(pool, second, block, rest, take(pool, first, block, length, log));
      smaller ^= listBit(list);
    }
  }
  return hole != 0 ? take(pool, hole, block, bytes, log) : 0;
}

// ── commit (C6) ──────────────────────────────────────────────────────────────

/** Makes a descriptor that of a used block at the place of a step. Returns the descriptor that this leaves over, 0 for none. */
function settle(pool: usize, block: usize, state: u32, step: Step): usize {
  const hole = <usize>step.hole;
  const entry = entryFor(hole);
  let spare: usize = 0;
  insertLeft(entry, block, hole);
  if (isExact(step)) {
    takeOut(hole);
    spare = hole;
  }
  fill(pool, entry, block, step.word | state, step.bytes);
  return spare;
}

/** Carries a plan out; counts blocks moved in WORK_MOVED, their payload in WORK_PAYLOAD. */
function commit(pool: usize, at: usize, end: usize): void {
  let moved = out(WORK_MOVED);
  let payload = out(WORK_PAYLOAD);
  let last: usize = 0;
  let spare: usize = 0;
  let from: usize = 0;
  for (; at != end; at += offsetof<Step>()) {
    const step = changetype<Step>(at);
    const block = <usize>step.block;
    let moving = block;
    let state = SECOND;
    if (block != last || block == 0) {
      // The hole of the victim, or what the last block left over.
      if (block == 0) spare = step.hole;
      if (spare != 0) dropRecord(pool, spare);
      spare = 0;
      if (block == 0) continue;
      state = stateOf(block);
      from = addressIn(blockAt(block).word) + HEADER;
      moved += 1;
    } else {
      // The second place of a block: its first has filled a hole.
      moving = spare;
      blockAt(block).other = <u32>moving;
      blockAt(moving).other = <u32>block;
      blockAt(moving).buffer = 0;
    }
    const length = step.bytes - HEADER;
    memory.copy(addressIn(step.word) + HEADER, from, length);
    from += length;
    payload += length;
    spare = settle(pool, moving, state, step);
    last = block;
  }
  if (spare != 0) dropRecord(pool, spare);
  setOut(WORK_MOVED, moved);
  setOut(WORK_PAYLOAD, payload);
}

/** One victim: all of its blocks find a place and its frame goes back to the RAM, or nothing has changed. Frames given back. */
function emptyOut(pool: usize, entry: usize): u32 {
  const start = pageBuffer() + LOG;
  let log = start;
  let holes = freeBlocks(entry);
  for (let block = <usize>dataAt(entry).first; holes != 0; block = blockAt(block).right) {
    if (stateOf(block) != FREE) continue;
    holes -= 1;
    log = take(pool, block, 0, blockAt(block).bytes, log);
  }
  for (let block = <usize>dataAt(entry).first; block != 0; block = blockAt(block).right) {
    if (stateOf(block) == FREE) continue;
    const end = plan(pool, block, log);
    if (end == 0) {
      undo(pool, start, log);
      return 0;
    }
    log = end;
  }
  addUsedUnits(pool, 0 - unitsUsed(entry));
  commit(pool, start, log);
  listRemove(pool + POOL_LRU, entry, LRU_LINKS);
  giveFrame(pool, frameOf(entry));
  return 1;
}

// ── API ──────────────────────────────────────────────────────────────────────

/** C1..C3: one pass over all frames. */
function compactPass(pool: usize, most: u32): u32 {
  let freed: u32 = 0;
  setOut(WORK_MOVED, 0);
  setOut(WORK_PAYLOAD, 0);
  const cells = pageBuffer();
  orderFrames(pool, cells);
  rebuildLists(pool, cells);
  for (let units: u32 = 0; units <= UNITS; units++) {
    let frame = load<u32>(orderCell(cells, units));
    while (frame != 0) {
      const entry = entryOf(frame);
      frame = orderNext(entry);
      dataAt(entry).state &= (1 << ORDER_SHIFT) - 1;
      if (units != 0 && freed < most && mappedBlocks(entry) == 0) freed += emptyOut(pool, entry);
    }
  }
  countMoves(pool, <f64>out(WORK_MOVED), <f64>out(WORK_PAYLOAD));
  return freed;
}

/**
 * C7: passes until one gives no frame back.
 * @param victims the most frames to empty
 * @returns frames given back
 */
export function compact(pool: usize, victims: u32): u32 {
  let freed: u32 = 0;
  let last: u32 = 1;
  while (last != 0 && freed < victims) {
    last = compactPass(pool, victims - freed);
    freed += last;
  }
  return freed;
}

/** Used units up to which a frame is emptied in each of the four rounds of compactFrom. */
const ROUND_UNITS: u32 = UNITS / 4;
/** The round in a cursor, above the number of the frame. */
const ROUND_SHIFT: u32 = 24;

/**
 * C10: the same in parts, of so many frames each. Nothing is put in order, since the pool changes between the parts: four
 * rounds over all frames, each of which empties fuller ones than the one before, into the holes that are first on their lists.
 * The cursor is a round and the number of a frame.
 */
export function compactFrom(pool: usize, cursor: u32, most: u32): u32 {
  const bump = boot(BOOT_BUMP);
  const round = cursor >> ROUND_SHIFT;
  const least = round * ROUND_UNITS;
  const first = max(cursor & ((1 << ROUND_SHIFT) - 1), boot(BOOT_FIRST));
  const end = bump - min(first, bump) > most ? first + most : bump;
  let freed: u32 = 0;
  setOut(WORK_MOVED, 0);
  setOut(WORK_PAYLOAD, 0);
  for (let frame = first; frame < end; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) != ((<u32>pool) | FRAME_DATA) || isIsolated(entry)) continue;
    const units = unitsUsed(entry);
    if (units > least && units <= least + ROUND_UNITS && mappedBlocks(entry) == 0) freed += emptyOut(pool, entry);
  }
  countMoves(pool, <f64>out(WORK_MOVED), <f64>out(WORK_PAYLOAD));
  const isLast = end >= bump && least + ROUND_UNITS >= UNITS;
  setOut(OUT_CURSOR, isLast ? 0 : end < bump ? (round << ROUND_SHIFT) | end : (round + 1) << ROUND_SHIFT);
  return freed;
}

/**
 * C9: frames outside the reserve (a victim that was emptied is one until its reclaim ends), less those that their used
 * units would fill. Never less than compact() gives back.
 */
export function freeable(pool: usize): u32 {
  return poolAt(pool).frames - reserveFrames(pool) - (usedUnits(pool) + (UNITS - 1)) / UNITS;
}
