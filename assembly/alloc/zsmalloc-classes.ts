/**
 * zsmalloc: the table of size classes.
 *
 * There are 255 candidates, 32 to 4096 bytes in steps of 16. For each candidate a
 * chain length is chosen (the number of frames in a zspage). Then a candidate is
 * merged into the next larger class when both have the same number of frames and
 * objects (C1..C9). The result is a map from candidate to class, and a structure of
 * 128 bytes for each class:
 *
 *   0 u16 object bytes    2 u8 class index (the largest candidate)   3 u8 frames
 *   4 u16 objects (N)     6 u16 fullness groups that are not empty, as bits
 *   8 allocated objects  12 used objects
 *  16 rings, one for each fullness group: 12, each two links (base/list.ts)
 * 112 10 << 20 / N, rounded up: multiplied by the objects in use, it gives the group
 *     of a zspage without a division (N <= 256, so the rounding has no effect)
 *
 * The map has 255 bytes in the pool header. The default chain of 8 gives 119 classes
 * (four frames); the most is 192 (chain 16).
 */
import { ZS_WORD } from '../abi';
import { PAGE_SHIFT, PAGE_SIZE } from '../mem/layout';
import { POOL_TABLES } from '../mem/pool';

const CLASSES: u32 = 255;
export const CLASS_BYTES: u32 = 128;
const CLASS_SHIFT: u32 = 7;
const SIZE_MIN: u32 = 32;
const STEP_SHIFT: u32 = 4;
export const WORD: u32 = ZS_WORD; // unused bytes at the start of a slot (in the kernel: the handle)

export const SCALE_SHIFT: u32 = 20;

// In the pool header:
export const CLASS_MAP: usize = POOL_TABLES; // a u8 for each candidate: ordinal of its class in the class table
export const CLASS_COUNT: usize = POOL_TABLES + 256; // u32
export const CLASS_FRAMES: usize = POOL_TABLES + 260; // addresses of its frames, up to CLASS_FRAMES_MAX

export const CLASS_FRAMES_MAX: u32 = 6;
export const GROUPS: u32 = 12;
const SCALE: usize = 112;
export const CLASS_END: u32 = 116; // zero from here

/** Rules that choose the chain length. */
const RULE_BYTES: u32 = 0;
export const RULE_PERCENT: u32 = 1;


@unmanaged
export class SizeClass {
  size: u16;
  index: u8;
  pages: u8;
  objects: u16;
  groups: u16;
  allocated: u32;
  used: u32;
}

/** 10 << SCALE_SHIFT / N, rounded up. */
/* @inline */ export function scaleOf(cls: usize): u32 {
  return load<u32>(cls, SCALE);
}

/** C2, C3: frames in a zspage for objects of this size. */
function chainPages(size: u32, chain: u32, rule: u32): u32 {
  if (rule == RULE_BYTES && (size & (size - 1)) == 0) return 1;
  let best: u32 = 1;
  let bestWaste: u32 = PAGE_SIZE;
  let bestPercent: u32 = 0;
  for (let pages: u32 = 1; pages <= chain; pages++) {
    const bytes = pages << PAGE_SHIFT;
    const waste = bytes % size;
    if (rule == RULE_BYTES) {
      if (waste < bestWaste) {
        bestWaste = waste;
        best = pages;
      }
    } else {
      const percent: u32 = (100 * (bytes - waste)) / bytes;
      if (percent > bestPercent) {
        bestPercent = percent;
        best = pages;
      }
    }
  }
  return best;
}

/* @inline */ function classSize(index: u32): u32 {
  return SIZE_MIN + (index << STEP_SHIFT);
}

/** C6: the candidate for a request. WORD is added for huge objects too. */
/* @inline */ export function classIndex(bytes: u32): u32 {
  const slot = bytes + WORD;
  if (slot <= SIZE_MIN) return 0;
  return min<u32>(CLASSES - 1, (slot - SIZE_MIN + 15) >> STEP_SHIFT);
}

/** Number of classes for this chain and rule. */
function countClasses(chain: u32, rule: u32): u32 {
  let count: u32 = 0;
  let lastPages: u32 = 0;
  let lastObjects: u32 = 0;
  for (let index: i32 = CLASSES - 1; index >= 0; index--) {
    const size = classSize(index);
    const pages = chainPages(size, chain, rule);
    const objects = (pages << PAGE_SHIFT) / size;
    if (pages != lastPages || objects != lastObjects) count += 1;
    lastPages = pages;
    lastObjects = objects;
  }
  return count;
}

/** Frames that the class table of a pool needs. */
export function classFrames(chain: u32, rule: u32): u32 {
  return (countClasses(chain, rule) * CLASS_BYTES + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/** Address of a class, by its ordinal. */
/* @inline */ export function classAt(pool: usize, ordinal: u32): usize {
  const at = <usize>(ordinal << CLASS_SHIFT);
  return <usize>load<u32>(pool + CLASS_FRAMES + ((at >> PAGE_SHIFT) << 2)) + (at & (PAGE_SIZE - 1));
}

/** Ordinal of a class, by its address. */
/* @inline */ export function ordinalFor(pool: usize, cls: usize): u32 {
  return <u32>load<u8>(pool + CLASS_MAP + <usize>changetype<SizeClass>(cls).index);
}

/** Address of the class for a request. */
/* @inline */ export function classFor(pool: usize, bytes: u32): usize {
  return classAt(pool, load<u8>(pool + CLASS_MAP + <usize>classIndex(bytes)));
}

/**
 * C5: writes the map and the class table, the largest class first (ordinal 0). With `verify`, compares them instead.
 * The frames of the class table must exist; they are zeros before the write. Returns false for a difference.
 */
export function layClasses(pool: usize, chain: u32, rule: u32, verify: bool): bool {
  let ordinal: u32 = 0xffffffff;
  let lastPages: u32 = 0;
  let lastObjects: u32 = 0;
  let same = true;
  for (let index: i32 = CLASSES - 1; index >= 0; index--) {
    const size = classSize(index);
    const pages = chainPages(size, chain, rule);
    const objects = (pages << PAGE_SHIFT) / size;
    if (pages != lastPages || objects != lastObjects) {
      ordinal += 1;
      same = storeOrCompare(classAt(pool, ordinal), size | ((<u32>index) << 16) | (pages << 24), verify) && same;
      const record = changetype<SizeClass>(classAt(pool, ordinal));
      if (!verify) record.objects = <u16>objects;
      same = same && record.objects == objects;
      if (!verify) ringsInit(classAt(pool, ordinal));
      same =
        storeOrCompare(classAt(pool, ordinal) + SCALE, ((10 << SCALE_SHIFT) + objects - 1) / objects, verify) && same;
    }
    if (!verify) store<u8>(pool + CLASS_MAP + <usize>index, <u8>ordinal);
    same = same && <u32>load<u8>(pool + CLASS_MAP + <usize>index) == ordinal;
    lastPages = pages;
    lastObjects = objects;
  }
  return storeOrCompare(pool + CLASS_COUNT, ordinal + 1, verify) && same;
}

// A list is a ring that includes a node for the head. So a node can be taken out
// without a branch. Nodes have their links at RING_LINKS.
export const RING_LINKS: usize = 16;

/** The node that stands for the head of the list of a group. */
/* @inline */ export function ringOf(cls: usize, group: u32): usize {
  return cls + <usize>(group << 3);
}

function ringsInit(cls: usize): void {
  for (let group: u32 = 0; group < GROUPS; group++) {
    const ring = ringOf(cls, group);
    store<u64>(ring, (<u64>ring) | ((<u64>ring) << 32), RING_LINKS);
  }
}

/** Stores a word; with `verify`, compares it instead. */
function storeOrCompare(at: usize, word: u32, verify: bool): bool {
  if (!verify) store<u32>(at, word);
  return load<u32>(at) == word;
}
