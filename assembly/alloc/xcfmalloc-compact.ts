/**
 * Compaction of xcfmalloc: moves the blocks of sparse frames into the holes (free
 * blocks) of fuller frames. The original never had it. The algorithm, its bounds
 * and the figures that it must reach are rules C1..C9 and I1..I7 of
 * docs/rules/xvmalloc-xcfmalloc.md.
 *
 * A pass links the frames that have a used block through their frame entries, the
 * emptiest first (C1). It rebuilds the lists, so that the first hole of each list
 * is in the fullest frame (C2). Then it takes one frame after the other as victim:
 * either all its blocks get new places, or the whole plan is undone, links included.
 *
 * Compaction needs no frame and no new descriptor. A block that moves keeps its
 * descriptor, so its handle stays valid. When it fills a hole, the descriptor of the
 * hole is left over; a hole that it does not fill keeps its descriptor. When a block
 * is divided in two, its second part takes the descriptor of the hole that the first
 * part has filled.
 *
 * A plan takes places from the front of holes, and notes each in a log in scratch:
 *   0 hole   4 block to move, 0 for a hole of the victim itself
 *   8 the links of the hole before   16 the word of the hole before: the place   20 bytes (S2)
 * The log has at most 128 steps: 64 blocks with two places each, and the holes of their frame.
 */
import { OUT_CURSOR } from '../abi';
import { listNext, listRemove, listRestore } from '../base/list';
import { listBit, listAt, listHead, listMask, listsFrom, setListMask } from '../mem/bitmap-lists';
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
  markUsed,
  freeBlocks,
  giveFrame,
  insertLeft,
  isIsolated,
  mappedBlocks,
  reserveFrames,
  stateOf,
  unlinkBlock,
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

/**
 * Offset of the log in the page buffer. Before it lie the heads of the order: a word for each number of used units,
 * with the first frame that has so many.
 */
const LOG: usize = 512;

/* @inline */ function orderHead(heads: usize, units: u32): usize {
  return heads + ((<usize>units) << 2);
}

/** C1: orders the frames by used units; frames with equally many by number. */
function orderFrames(pool: usize, heads: usize): void {
  const first = boot(BOOT_FIRST);
  memory.fill(heads, 0, LOG);
  for (let frame = boot(BOOT_BUMP); frame-- > first;) {
    const entry = entryOf(frame);
    if (entryOwner(entry) != ((<u32>pool) | FRAME_DATA) || isIsolated(entry)) continue;
    const head = orderHead(heads, unitsUsed(entry));
    dataAt(entry).state |= load<u32>(head) << ORDER_SHIFT;
    store<u32>(head, frame);
  }
}

/** The next frame in the order. */
/* @inline */ function orderNext(entry: usize): u32 {
  return dataAt(entry).state >> ORDER_SHIFT;
}

/** C2: rebuilds all lists apart from the reserve. The holes of the fullest frames come last, so they are the heads. */
function rebuildLists(pool: usize, heads: usize): void {
  memory.fill(pool + POOL_TABLES, 0, 4 * <usize>RESERVE_LIST);
  setListMask(pool, listMask(pool) & listBit(RESERVE_LIST));
  for (let units: u32 = 1; units < UNITS; units++) {
    let frame = load<u32>(orderHead(heads, units));
    while (frame != 0) {
      const entry = entryOf(frame);
      enlistFrame(pool, entry, true);
      frame = orderNext(entry);
    }
  }
}

// ── plan (C4) ────────────────────────────────────────────────────────────────

/** Takes `bytes` bytes from the front of a hole for `block`, and notes it in the log. Returns the end of the log. */
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

/** True when a step has used up its hole: only then the word of the hole is still the one in the log. */
/* @inline */ function isExact(step: Step): bool {
  return blockAt(step.hole).word == step.word;
}

/** C5: undoes the steps, from the last to the first. */
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
    listRestore(listAt(pool, list), hole, LIST_LINKS, step.links);
    setListMask(pool, listMask(pool) | listBit(list));
  }
}

/** The smallest hole for `bytes` bytes that is not `other`: the first or second of its list. 0 for none. */
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

/** C4: finds one or two places for a block of the victim. Returns the end of the log, 0 without a place. */
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

/**
 * Inserts a block at the place of a step and marks it as used. Returns the descriptor that is left over, 0 for none.
 */
function insertAt(pool: usize, block: usize, state: u32, step: Step): usize {
  const hole = <usize>step.hole;
  const entry = entryFor(hole);
  let spare: usize = 0;
  insertLeft(entry, block, hole);
  if (isExact(step)) {
    unlinkBlock(hole);
    spare = hole;
  }
  markUsed(pool, entry, block, step.word | state, step.bytes);
  return spare;
}

/** Carries out a plan. Adds the blocks moved to WORK_MOVED, their payload to WORK_PAYLOAD. */
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
      // Free the descriptor of a hole of the victim, or the one that the last block has left over.
      if (block == 0) spare = step.hole;
      if (spare != 0) dropRecord(pool, spare);
      spare = 0;
      if (block == 0) continue;
      state = stateOf(block);
      from = addressIn(blockAt(block).word) + HEADER;
      moved += 1;
    } else {
      // The second place of a block. Its first place has filled a hole, whose descriptor is spare.
      moving = spare;
      blockAt(block).other = <u32>moving;
      blockAt(moving).other = <u32>block;
      blockAt(moving).buffer = 0;
    }
    const length = step.bytes - HEADER;
    memory.copy(addressIn(step.word) + HEADER, from, length);
    from += length;
    payload += length;
    spare = insertAt(pool, moving, state, step);
    last = block;
  }
  if (spare != 0) dropRecord(pool, spare);
  setOut(WORK_MOVED, moved);
  setOut(WORK_PAYLOAD, payload);
}

/**
 * Empties one victim and frees its frame, or changes nothing when a block finds no place. Returns the frames freed: 1
 * or 0.
 */
function emptyFrame(pool: usize, entry: usize): u32 {
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

/** C1..C3: one pass over all frames. Returns the frames freed, at most `most`. */
function compactPass(pool: usize, most: u32): u32 {
  let freed: u32 = 0;
  setOut(WORK_MOVED, 0);
  setOut(WORK_PAYLOAD, 0);
  const heads = pageBuffer();
  orderFrames(pool, heads);
  rebuildLists(pool, heads);
  for (let units: u32 = 0; units <= UNITS; units++) {
    let frame = load<u32>(orderHead(heads, units));
    while (frame != 0) {
      const entry = entryOf(frame);
      frame = orderNext(entry);
      dataAt(entry).state &= (1 << ORDER_SHIFT) - 1;
      if (units != 0 && freed < most && mappedBlocks(entry) == 0) freed += emptyFrame(pool, entry);
    }
  }
  countMoves(pool, <f64>out(WORK_MOVED), <f64>out(WORK_PAYLOAD));
  return freed;
}

/**
 * C7: passes until a pass frees no frame.
 * @param victims the most frames to empty
 * @returns frames freed
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

/** Each of the four rounds of compactFrom empties frames up to so many more used units. */
const ROUND_UNITS: u32 = UNITS / 4;
/** The round in a cursor, above the number of the frame. */
const ROUND_SHIFT: u32 = 24;

/**
 * C10: compact in steps of `most` frames. The frames are not ordered, since the pool may change between two steps.
 * Instead, there are four rounds over all frames. Each round empties fuller frames than the one before, into the holes
 * that are first on their lists. The cursor is a round and a frame number.
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
    if (units > least && units <= least + ROUND_UNITS && mappedBlocks(entry) == 0) freed += emptyFrame(pool, entry);
  }
  countMoves(pool, <f64>out(WORK_MOVED), <f64>out(WORK_PAYLOAD));
  const isLast = end >= bump && least + ROUND_UNITS >= UNITS;
  setOut(OUT_CURSOR, isLast ? 0 : end < bump ? (round << ROUND_SHIFT) | end : (round + 1) << ROUND_SHIFT);
  return freed;
}

/**
 * C9: frames that compact() may free; never fewer than it does free. It is the number of frames outside the reserve
 * (with emptied victims, until their reclaim ends), less the frames that their used units would fill.
 */
export function freeable(pool: usize): u32 {
  return poolAt(pool).frames - reserveFrames(pool) - (usedUnits(pool) + (UNITS - 1)) / UNITS;
}
