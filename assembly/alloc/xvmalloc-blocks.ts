/**
 * Blocks of xvmalloc: headers, starts, handles, free lists, map counts. The
 * allocator is in xvmalloc.ts.
 *
 *   header        bits  0..11 size without the header: as requested (used), a multiple of 4 (free)
 *                 bit  12 FREE    13 PREVIOUS_FREE    14..23 offset of the previous block in the frame, / 4
 *                 bits 24..31 generation (used)
 *   frame entry    8 starts: six u16, USED | data offset / 4 << 5 | padded size / 128 of a used block, or 0.
 *                    After a seventh object: u16 HAS_BITMAP, u16 0, u32 address of a start bitmap, u32 0.
 *                    FRAME_RAW: USED (0 when the page was freed under reclaim), then RAW_FIELD
 *                 20 link to the mapped objects
 *                 24 links: LRU; both 0 while the frame is isolated
 *   start bitmap  record of 132 bytes: frame, then a bit for each data offset / 4
 *   map record    12 bytes: frame, link, count
 *   count         key << 18 | maps << 2 | INLINE; key: data offset / 4, with 4 bits computed from it above
 *   link          0, the address of a map record, or the count of the last (or only) mapped object
 *   pool          256 heads of the 508 lists     2288 bitmap of the lists that are not empty, u64 x 8
 *
 * Starts. A handle contains an offset in a frame, and the bytes there may be payload
 * that looks like a header. So the frame entry stores exactly where used blocks begin,
 * in the cache line that malloc and free need anyway. A frame that ever had more than
 * six objects has a start bitmap until the frame is freed. The size beside a start tells
 * a free where the next block begins, so it can fetch that line together with the line
 * of the block itself. Maps are stored in the same way: the frame entry counts the maps
 * of one object, and records count those of other objects of the frame.
 */
import { generationMask } from '../mem/generation';
import {
  FRAME_DATA,
  FRAME_RAW,
  PAGE_MASK,
  PAGE_SHIFT,
  PAGE_SIZE,
  entryOf,
  entryOwner,
  frameAddress,
  frameBits,
  frameExists,
  genA,
  setGenA,
} from '../mem/layout';
import { POOL_DESCRIPTORS, POOL_TABLES, poolAt } from '../mem/pool';
import { scratchBase } from '../mem/scratch';
import { slabAlloc } from '../mem/slab';

// ── layout ───────────────────────────────────────────────────────────────────

export const HEADER: u32 = 4;
export const MAX_SIZE: u32 = 4088;
export const WHOLE: u32 = PAGE_SIZE - HEADER; // size of a block that fills its frame
export const SIZE_MASK: u32 = 0xfff;
export const FREE: u32 = 1 << 12;
export const PREVIOUS_FREE: u32 = 1 << 13;
export const PREVIOUS_MASK: u32 = 0xffc000;
export const PREVIOUS_SHIFT: u32 = 12; // for an offset in bytes, a multiple of 4
export const GENERATION_SHIFT: u32 = 24;

export const LISTS: u32 = 508;
export const MIN_LISTED: u32 = 32;
export const PREVIOUS: usize = 4; // offsets of the links in a free block
export const NEXT: usize = 8;
export const LIST_MASKS: usize = POOL_TABLES + 4 * 508; // u64 x 8

export const FIELDS: usize = 8;
export const FIELDS_END: usize = 20;
export const USED: u32 = 0x8000;
const START_SHIFT: u32 = 5;
const HINT_MASK: u32 = 31;
const HINT_UNIT: u32 = 7; // 128 bytes, as a power of two
export const HAS_BITMAP: u32 = 1;
export const RAW_FIELD: u32 = 0x10000; // the second field of a raw page
export const START_BITMAP_BYTES: u32 = 132;
export const NONE: u32 = 0x400; // in place of a start; startOfField gives it for an empty field

export const MAPPED: usize = 20;
export const INLINE: u32 = 2;
export const ONE_MAP: u32 = 4;
export const MAPS_MASK: u32 = 0x3fffc;
export const KEY_SHIFT: u32 = 18;
export const MAP_BYTES: u32 = 12;
export const MAP_NEXT: usize = 4;
export const MAP_WORD: usize = 8;

export const LRU_LINKS: usize = 24;
const NOWHERE: usize = 128; // offset in scratch, for stores that must have no effect

// ── accessors ────────────────────────────────────────────────────────────────

/* @inline */ export function roundUp(size: u32): u32 {
  return (size + 3) & ~3;
}

/* @inline */ export function offsetIn(address: usize): u32 {
  return (<u32>address) & PAGE_MASK;
}

/* @inline */ export function frameAt(address: usize): u32 {
  return <u32>(address >> PAGE_SHIFT);
}

/** Frame entry of the frame that contains an address. */
export function entryAt(address: usize): usize {
  return entryOf(frameAt(address));
}

/** True when a frame entry is that of a frame with objects of this pool. */
/* @inline */ function isOwn(pool: usize, entry: usize): bool {
  return (entryOwner(entry) ^ (<u32>pool)) - FRAME_DATA <= FRAME_RAW - FRAME_DATA;
}

/** Frame entry of a frame with objects of this pool, 0 for any other number. */
export function ownEntry(pool: usize, frame: u32): usize {
  if (!frameExists(frame)) return 0;
  const entry = entryOf(frame);
  return isOwn(pool, entry) ? entry : 0;
}

/** X2: address of the next block; for the last block, the end of the frame. */
/* @inline */ export function blockEnd(block: usize, header: u32): usize {
  return block + HEADER + roundUp(header & SIZE_MASK);
}

/** Data offset / 4. */
/* @inline */ export function startOf(data: usize): u32 {
  return offsetIn(data) >> 2;
}

/** Bytes of a live object. */
/* @inline */ export function sizeAt(data: usize): u32 {
  return offsetIn(data) == 0 ? PAGE_SIZE : load<u32>(data - HEADER) & SIZE_MASK;
}

/* @inline */ export function isRaw(entry: usize): bool {
  return (entryOwner(entry) & PAGE_MASK) == FRAME_RAW;
}

/** True when a frame is isolated. Every other frame is on the LRU, where its link to the previous frame is not 0. */
/* @inline */ export function isIsolated(entry: usize): bool {
  return load<u32>(entry, LRU_LINKS) == 0;
}

// ── starts ───────────────────────────────────────────────────────────────────

/* @inline */ export function hasStartBitmap(entry: usize): bool {
  return <u32>load<u16>(entry, FIELDS) == HAS_BITMAP;
}

/* @inline */ export function startBitmapOf(entry: usize): usize {
  return <usize>load<u32>(entry, FIELDS + 4);
}

/**
 * Sets the highest bit of each u16 of `fields` that is zero, apart from the size and the lowest bit of the start. Above
 * the lowest such u16, a bit may be set wrongly.
 */
/* @inline */ function zeroFields(fields: u64): u64 {
  return ((fields & 0xffc0ffc0ffc0ffc0) - 0x0001000100010001) & ~fields & 0x8000800080008000;
}

/**
 * Address of the field with the start in a granule; the end of the fields for none. Four fields are compared at once,
 * since a branch for each could not be predicted.
 * @param value USED and the start (granuleField), or 0 for an empty field; the size in a field does not count
 */
/* @inline */ export function startFieldOf(entry: usize, value: u32): usize {
  const values = <u64>value * 0x0001000100010001;
  const low = zeroFields(load<u64>(entry, FIELDS) ^ values);
  const high = zeroFields(load<u64>(entry, FIELDS + 4) ^ values);
  const at = low != 0 ? ctz<u64>(low) >> 3 : (ctz<u64>(high) >> 3) + 4;
  return entry + FIELDS + <usize>(at & ~1);
}

/** The value that startFieldOf needs for a granule. */
/* @inline */ export function granuleField(granule: u32): u32 {
  return USED | (granule << (START_SHIFT + 1));
}

/** Start of the object whose data begin in a granule (8 bytes) of the frame, NONE for none. */
export function startIn(entry: usize, granule: u32): u32 {
  return hasStartBitmap(entry)
    ? startInBitmap(entry, granule)
    : startAt(entry, startFieldOf(entry, granuleField(granule)));
}

/** startIn for a frame with a start bitmap. */
export function startInBitmap(entry: usize, granule: u32): u32 {
  const start = granule << 1;
  const bits = (load<u32>(startBitmapOf(entry) + <usize>((start >> 5) << 2), 4) >> (start & 31)) & 3;
  return bits - 1 < 2 ? start | (bits >> 1) : NONE;
}

/** The start in a field that startFieldOf has found, NONE at the fields' end. */
/* @inline */ export function startAt(entry: usize, field: usize): u32 {
  return field < entry + FIELDS_END ? startOfField(field) : NONE;
}

/** The start in a field, NONE in an empty one. */
/* @inline */ function startOfField(field: usize): u32 {
  return ((<u32>load<u16>(field)) >> START_SHIFT) ^ NONE;
}

/** The lowest start from `from` on, NONE for none. */
export function nextStart(entry: usize, from: u32): u32 {
  let next = NONE;
  if (hasStartBitmap(entry)) {
    while (from < 1024 && startIn(entry, from >> 1) != from) from += 1;
    return from < 1024 ? from : next;
  }
  const end = entry + FIELDS_END;
  for (entry += FIELDS; entry < end; entry += 2) {
    const start = startOfField(entry);
    if (start >= from && start < next) next = start;
  }
  return next;
}

export function flipStart(bitmap: usize, start: u32): void {
  const at = bitmap + <usize>((start >> 5) << 2);
  store<u32>(at, load<u32>(at, 4) ^ (1 << (start & 31)), 4);
}

/** Contents of the field of a used block, given its size rounded up to 4. */
/* @inline */ export function startFieldFor(start: u32, rounded: u32): u32 {
  return USED | (start << START_SHIFT) | (rounded >> HINT_UNIT);
}

/**
 * Fetches two cache lines. A block probably ends in one of them, as its field tells. The loaded values are not used.
 */
/* @inline */ export function fetchEnd(base: usize, field: u32): void {
  const near = ((field >> START_SHIFT) << 2) + ((field & HINT_MASK) << HINT_UNIT);
  load<u32>(base + <usize>((near + 28) & PAGE_MASK));
  load<u32>(base + <usize>((near + 92) & PAGE_MASK));
}

/** Stores the start of a block. False without a frame for a start bitmap; then nothing has changed. */
export function addStart(pool: usize, entry: usize, data: usize, rounded: u32): bool {
  if (!hasStartBitmap(entry)) {
    let field = startFieldOf(entry, 0);
    if (field < entry + FIELDS_END) {
      store<u16>(field, <u16>startFieldFor(startOf(data), rounded));
      return true;
    }
    const bitmap = slabAlloc(pool + POOL_DESCRIPTORS);
    if (bitmap == 0) return false;
    memory.fill(bitmap, 0, START_BITMAP_BYTES);
    store<u32>(bitmap, frameAt(data));
    for (field = entry + FIELDS; field < entry + FIELDS_END; field += 2) {
      flipStart(bitmap, startOfField(field));
      store<u16>(field, 0);
    }
    store<u32>(entry, HAS_BITMAP, FIELDS);
    store<u32>(entry, <u32>bitmap, FIELDS + 4);
  }
  flipStart(startBitmapOf(entry), startOf(data));
  return true;
}

// ── handles ──────────────────────────────────────────────────────────────────

/* @inline */ export function mask(): u32 {
  return generationMask(min<u32>(8, 23 - frameBits()));
}

/**
 * Generation of a live object, by the address of its data. For a raw page, the only object of its frame, it is genA.
 */
/* @inline */ export function generationOf(entry: usize, data: usize): u32 {
  return (<u32>load<u8>(offsetIn(data) == 0 ? entry + 4 : data - 1)) & mask();
}

/* @inline */ export function makeHandle(generation: u32, data: usize): u32 {
  return (((generation << 9) | (offsetIn(data) >> 3)) << frameBits()) | frameAt(data);
}

/** Increments the generation of a frame after a free, until it differs from the generation of the freed object. */
/* @inline */ export function advanceGeneration(entry: usize, generation: u32): void {
  const most = mask();
  let next = genA(entry);
  do {
    next += 1;
  } while ((next & most) == most || (next & most) == generation);
  setGenA(entry, next);
}

export function handleOf(data: usize): u32 {
  return makeHandle(generationOf(entryAt(data), data), data);
}

/** The frame entry of the frame in a handle, if the frame has objects of this pool; 0 if not. */
/* @inline */ export function handleEntry(pool: usize, frame: u32, granule: u32): usize {
  if (!frameExists(frame)) return 0;
  // The block is cold, so this load fetches it while the frame entry is tested.
  load<u32>(frameAddress(frame) + <usize>(granule << 3));
  const entry = entryOf(frame);
  return isOwn(pool, entry) ? entry : 0;
}

/**
 * Address of the data of a live handle of this pool, 0 for any other number. Only a raw page begins at the start of its
 * frame.
 */
export function resolve(pool: usize, handle: u32): usize {
  const bits = frameBits();
  const frame = handle & ((1 << bits) - 1);
  handle >>= bits;
  const entry = handleEntry(pool, frame, handle & 511);
  if (entry == 0) return 0;
  const start = startIn(entry, handle & 511);
  if (start == NONE) return 0;
  const data = frameAddress(frame) + <usize>(start << 2);
  return generationOf(entry, data) == handle >> 9 ? data : 0;
}

// ── lists ────────────────────────────────────────────────────────────────────

/** Address of the head of a list, less POOL_TABLES. */
/* @inline */ export function listAt(pool: usize, list: u32): usize {
  return pool + ((<usize>list) << 2);
}

/** Address of the u64 with the bit of a list, less LIST_MASKS. */
/* @inline */ export function listMask(pool: usize, list: u32): usize {
  return pool + ((<usize>(list >> 6)) << 3);
}

/**
 * X4, X5, X7: puts a free block at the head of its list, or takes it out. Unlike the lists of base/list.ts, these lists
 * end with 0 on both sides: so a neighbour, whose line is cold, is only written and never read.
 */
export function relist(pool: usize, block: usize, size: u32, insert: bool): void {
  if (size < MIN_LISTED) return;
  const list = (size - MIN_LISTED) >> 3;
  const head = listAt(pool, list);
  let next = load<u32>(head, POOL_TABLES);
  let first = <u32>block;
  if (insert) {
    store<u64>(block, (<u64>next) << 32, PREVIOUS);
    store<u32>(neighbour(next), first, PREVIOUS);
  } else {
    const previous = load<u32>(block, PREVIOUS);
    first = previous != 0 ? next : load<u32>(block, NEXT);
    next = load<u32>(block, NEXT);
    store<u32>(neighbour(previous), next, NEXT);
    store<u32>(neighbour(next), previous, PREVIOUS);
  }
  store<u32>(head, first, POOL_TABLES);
  const mask = listMask(pool, list);
  const others = load<u64>(mask, LIST_MASKS) & ~((<u64>1) << list);
  store<u64>(mask, others | ((<u64>(first != 0)) << list), LIST_MASKS);
}

/**
 * Where to store the link of a neighbour: in scratch when there is none. A branch would cost as much as the cold line.
 */
/* @inline */ function neighbour(block: u32): usize {
  return block != 0 ? <usize>block : scratchBase() + NOWHERE;
}

/** X6: the first block of the first list, from `list` on, that is not empty. Skips blocks of victims. 0 for none. */
export function find(pool: usize, list: u32): usize {
  while (list < LISTS) {
    const mask = load<u64>(listMask(pool, list), LIST_MASKS) >> list;
    if (mask == 0) {
      list = (list | 63) + 1;
      continue;
    }
    list += <u32>ctz<u64>(mask);
    let block = <usize>load<u32>(listAt(pool, list), POOL_TABLES);
    if (poolAt(pool).isolated == 0) return block;
    while (block != 0 && isIsolated(entryAt(block))) block = load<u32>(block, NEXT);
    if (block != 0) return block;
    list += 1;
  }
  return 0;
}

// ── maps ───────────────────────────────────────────────────────────────────────

/** A start with 4 check bits above it (xor of its nibbles), so that a single changed nibble makes no valid key. */
export function mapKey(start: u32): u32 {
  return start | (((start ^ (start >> 4) ^ (start >> 8)) & 15) << 10);
}

/** Address of the count of the object of a link. */
/* @inline */ export function mapWord(link: usize): usize {
  const word = load<u32>(link);
  return (word & INLINE) != 0 ? link : <usize>word + MAP_WORD;
}

/** Address of the link to a mapped object, 0 when the object is not mapped. */
export function mapLink(entry: usize, start: u32): usize {
  const key = mapKey(start);
  let link = entry + MAPPED;
  while (load<u32>(link) != 0) {
    const word = mapWord(link);
    if (load<u32>(word) >> KEY_SHIFT == key) return link;
    if (word == link) break;
    link = <usize>load<u32>(link) + MAP_NEXT;
  }
  return 0;
}
