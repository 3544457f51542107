/**
 * Compaction of zsmalloc: objects of sparse zspages move into fuller zspages of the
 * same class. Rules K and J of docs/rules/zsmalloc.md; the allocator is in
 * zsmalloc.ts.
 */
import { OUT_CURSOR } from '../abi';
import { recordSize, setRecordWord } from '../mem/handle';
import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, frameAddress } from '../mem/layout';
import { countMoves } from '../mem/pool';
import { WORK_BUDGET, out, setOut } from '../mem/scratch';
import { CLASS_COUNT, classAt } from './zsmalloc-classes';
import {
  TAGS,
  TAG_USED,
  delist,
  emptiest,
  enlist,
  frameInChain,
  freshOf,
  fullest,
  giveSlot,
  inuseOf,
  locationOf,
  payloadAt,
  setSlotWord,
  sizeClass,
  slotWord,
  takeSlot,
  twelveGroups,
  zspageAt,
  zspageFree,
} from './zsmalloc-zspage';

/** K1: frames that compaction of a class may free. */
/* @inline */ export function classFreeable(cls: usize): u32 {
  return ((sizeClass(cls).allocated - sizeClass(cls).used) / <u32>sizeClass(cls).objects) * <u32>sizeClass(cls).pages;
}

/** Frames that compact() may free; never fewer than it does free. */
export function freeable(pool: usize): u32 {
  const count = load<u32>(pool + CLASS_COUNT);
  let frames: u32 = 0;
  for (let ordinal: u32 = 0; ordinal < count; ordinal++) frames += classFreeable(classAt(pool, ordinal));
  return frames;
}

/** Copies bytes from one zspage to another, across the frame borders of both. */
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

/** Moves the object of one slot (K2.3). Returns its size in bytes. */
function moveObject(cls: usize, source: usize, slot: u32, target: usize): u32 {
  const record = <usize>(slotWord(source, cls, slot) & ~TAGS);
  const size = recordSize(record);
  const to = takeSlot(target, cls);
  zspageAt(target).word += 1;
  copyRun(target, payloadAt(cls, to), source, payloadAt(cls, slot), size);
  setRecordWord(record, locationOf(target, to));
  setSlotWord(target, cls, to, (<u32>record) | TAG_USED);
  giveSlot(source, cls, slot);
  zspageAt(source).word -= 1;
  return size;
}

/* @inline */ function isFull(cls: usize, zspage: usize): bool {
  return inuseOf(zspage) == <u32>sizeClass(cls).objects;
}

/**
 * Moves the objects of `source` from slot `from` on into `target`, until `target` is
 * full or no object is left. Returns the slot where it stopped (N: no object is left).
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
 * Moves the objects of sparse zspages into fuller ones, class by class.
 * @param victims the most zspages to take as a source
 * @returns frames freed
 */
export function compact(pool: usize, victims: u32): u32 {
  const count = load<u32>(pool + CLASS_COUNT);
  let freed: u32 = 0;
  setOut(WORK_BUDGET, victims);
  for (let ordinal: u32 = 0; ordinal < count; ordinal++) freed += compactClass(pool, ordinal);
  return freed;
}

/**
 * compact in steps of `most` source zspages. The cursor is the ordinal of the class where the next step begins, plus
 * one.
 */
export function compactFrom(pool: usize, cursor: u32, most: u32): u32 {
  const count = load<u32>(pool + CLASS_COUNT);
  let freed: u32 = 0;
  let ordinal: u32 = cursor == 0 ? 0 : cursor - 1;
  setOut(WORK_BUDGET, most);
  for (; ordinal < count && out(WORK_BUDGET) != 0; ordinal++) freed += compactClass(pool, ordinal);
  setOut(OUT_CURSOR, out(WORK_BUDGET) == 0 ? ordinal : 0);
  return freed;
}

function compactClass(pool: usize, ordinal: u32): u32 {
  const cls = classAt(pool, ordinal);
  return twelveGroups(pool) ? compactTwelve(pool, cls) : compactFour(pool, cls);
}

/** Takes one source from the budget. False when the budget is used up. */
function takeFromBudget(): bool {
  const left = out(WORK_BUDGET);
  if (left == 0) return false;
  setOut(WORK_BUDGET, left - 1);
  return true;
}

/** K2..K5, K8. */
function compactTwelve(pool: usize, cls: usize): u32 {
  let freed: u32 = 0;
  let target: usize = 0;
  while (classFreeable(cls) != 0 && takeFromBudget()) {
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

/** Takes a zspage with room off the list of its group: the head of the fuller of the two lists (J1). */
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
    if (classFreeable(cls) == 0 || zspageAt(source).mapped != 0 || !takeFromBudget()) {
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
