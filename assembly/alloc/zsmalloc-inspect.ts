/**
 * Functions that read a zsmalloc pool and change nothing: statistics and the walk over
 * the contents of a frame. The allocator is in zsmalloc.ts.
 */
import {
  ROW_ALLOCATED,
  ROW_FREEABLE,
  ROW_GROUPS,
  ROW_INDEX,
  ROW_OBJECTS,
  ROW_PAGES,
  ROW_SIZE,
  ROW_USED,
  ROW_WORDS,
  ROW_ZSPAGES,
} from '../abi';
import { EINVAL } from '../base/errno';
import { handleOf, recordSize } from '../mem/handle';
import { FRAME_BUFFER, FRAME_DATA, FRAME_HANDLES, FRAME_SLAB, PAGE_SHIFT, PAGE_SIZE, entryOf } from '../mem/layout';
import { poolAt } from '../mem/pool';
import { walkFree, walkObject } from '../mem/walk';
import { CLASS_COUNT, classAt, ringOf } from './zsmalloc-classes';
import {
  ISOLATED,
  TAGS,
  TAG_USED,
  classOf,
  descriptorOf,
  freshOf,
  fullGroup,
  nextZspage,
  ordinalOf,
  payloadAt,
  placeIn,
  ringNext,
  sizeClass,
  slotWord,
  stateOf,
  straddles,
  zspageIn,
} from './zsmalloc-zspage';
import { classFreeable } from './zsmalloc-compact';

// ── statistics ───────────────────────────────────────────────────────────────

export function ownsFrames(): u32 {
  return (1 << FRAME_SLAB) | (1 << FRAME_HANDLES) | (1 << FRAME_DATA) | (1 << FRAME_BUFFER);
}

/** A row for each size class. */
export function tables(pool: usize): u32 {
  return load<u32>(pool + CLASS_COUNT);
}

function setRow(row: usize, word: u32, value: u32): void {
  store<u32>(row + ((<usize>word) << 2), value);
}

/** Writes one class, the smallest first, as a row at `to` (ROW_INDEX and so on). EINVAL after the last row. */
export function table(pool: usize, nth: u32, to: usize): u32 {
  const count = load<u32>(pool + CLASS_COUNT);
  if (nth >= count) return EINVAL;
  const ordinal = count - 1 - nth;
  const cls = classAt(pool, ordinal);
  const objects = <u32>sizeClass(cls).objects;
  setRow(to, ROW_INDEX, sizeClass(cls).index);
  setRow(to, ROW_SIZE, sizeClass(cls).size);
  setRow(to, ROW_PAGES, sizeClass(cls).pages);
  setRow(to, ROW_OBJECTS, objects);
  setRow(to, ROW_ALLOCATED, sizeClass(cls).allocated);
  setRow(to, ROW_USED, sizeClass(cls).used);
  setRow(to, ROW_FREEABLE, classFreeable(cls));
  setRow(to, ROW_ZSPAGES, sizeClass(cls).allocated / objects);
  for (let word = ROW_GROUPS; word < ROW_WORDS; word++) setRow(to, word, 0);
  const full = fullGroup(pool);
  let listed: u32 = 0;
  for (let group: u32 = 1; group < full; group++) {
    let length: u32 = 0;
    const ring = ringOf(cls, group);
    for (let zspage = ringNext(ring); zspage != ring; zspage = ringNext(zspage)) length += 1;
    setRow(to, ROW_GROUPS + group, length);
    listed += length;
  }
  setRow(to, ROW_GROUPS + full, sizeClass(cls).allocated / objects - listed - isolatedOf(pool, ordinal));
  return 0;
}

/** Number of isolated zspages of a class. They are in no group. */
function isolatedOf(pool: usize, ordinal: u32): u32 {
  if (poolAt(pool).isolated == 0) return 0;
  let count: u32 = 0;
  for (let zspage = nextZspage(pool, 0); zspage != 0; zspage = nextZspage(pool, zspage)) {
    if (ordinalOf(zspage) == ordinal && (stateOf(zspage) & ISOLATED) != 0) count += 1;
  }
  return count;
}

/** Objects whose slot straddles two frames (S5). */
export function spanning(pool: usize): u32 {
  let spanning: u32 = 0;
  for (let zspage = nextZspage(pool, 0); zspage != 0; zspage = nextZspage(pool, zspage)) {
    const cls = classOf(pool, zspage);
    const size = <u32>sizeClass(cls).size;
    const fresh = freshOf(zspage);
    for (let slot: u32 = 0; slot < fresh; slot++) {
      if (straddles(size, slot) && (slotWord(zspage, cls, slot) & TAG_USED) != 0) spanning += 1;
    }
  }
  return spanning;
}

// ── walk ─────────────────────────────────────────────────────────────────────

/**
 * Reports the contents of a frame. A straddling object appears in both of its frames, with the part that lies there.
 */
export function walk(pool: usize, frame: u32): void {
  const zspage = zspageIn(descriptorOf(entryOf(frame)));
  const cls = classOf(pool, zspage);
  const size = <u32>sizeClass(cls).size;
  const start = placeIn(zspage, sizeClass(cls).pages, frame) << PAGE_SHIFT;
  const end = start + PAGE_SIZE;
  const objects = <u32>sizeClass(cls).objects;
  for (let slot = start / size; slot < objects && slot * size < end; slot++) {
    const word = slot < freshOf(zspage) ? slotWord(zspage, cls, slot) : 0;
    if ((word & TAG_USED) != 0) {
      const record = <usize>(word & ~TAGS);
      const data = payloadAt(cls, slot);
      const from = max(data, start);
      const to = min(data + recordSize(record), end);
      if (from < to) walkObject(handleOf(record), from - start, to - from);
    } else {
      const from = max(slot * size, start);
      walkFree(from - start, min((slot + 1) * size, end) - from);
    }
  }
}
