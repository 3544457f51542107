/**
 * Handles: the indirection table of allocators whose objects move.
 *
 * A record is 8 bytes, in a slab of the pool's own (FRAME_HANDLES):
 *
 *   word 0   bits 0..27  location: frame << 8 | slot    (the allocator's)
 *            bit 28      DEFERRED: freed during the reclaim of its zspage
 *            bit 30      BUFFERED: bits 0..19 name the buffer frame instead
 *            bit 31      free record (mem/slab.ts)
 *   word 1   bits 0..11  size - 1
 *            bits 12..21 maps, up to 1023
 *            bits 22..31 frees of this record since its frame became a handle frame
 *
 *   entry of the frame: genA = generation at which the frame began (below g),
 *            genB = the most frees that a record of it has seen
 *
 * A handle is   generation << placeBits | address of the record >> 3   with
 * placeBits = 9 + the bits of a frame number of this RAM. It is refused in O(1)
 * from what lies in the RAM: the frame must be a handle frame of this pool, the
 * record used, the generations equal.
 *
 * The generation of a record rises by one each time it is freed, and a frame
 * that comes back as a handle frame starts beyond all generations it had, so a
 * stale handle stays refused until a record's generation has come round: after
 * 2^g - 1 frees of that very record, g = min(10, 32 - placeBits). That is 1023
 * up to 32 MiB of RAM, 511 at 64 MiB, 31 at 1 GiB, 7 at 4 GiB; FIFO reuse
 * within a slab frame multiplies it by the free records of that frame. The
 * value "all ones" is left out, which keeps handles below the error numbers.
 *
 * Vital statistics: 8 bytes an object; 512 records a frame.
 */
import {
  FRAME_HANDLES, PAGE_MASK, PAGE_SHIFT, RECORD_FREE, SLAB_FRESH, entryOf, entryOwner, frameBits, frameExists, genA,
  genB, setGenA, setGenB,
} from './layout';
import { slabAlloc, slabFree, slabInit } from './slab';
import { POOL_HANDLES } from './pool';

// @ts-ignore: decorator
@inline export const RECORD_BYTES: u32 = 8;
// @ts-ignore: decorator
@inline const RECORD_SHIFT: u32 = 3;
// @ts-ignore: decorator
@inline export const DEFERRED: u32 = 1 << 28;
// @ts-ignore: decorator
@inline export const BUFFERED: u32 = 1 << 30;
// @ts-ignore: decorator
@inline const SIZE_MASK: u32 = 0xFFF;
// @ts-ignore: decorator
@inline const MAP_SHIFT: u32 = 12;
// @ts-ignore: decorator
@inline export const MAPS_MAX: u32 = 1023;
// @ts-ignore: decorator
@inline const GENERATION_SHIFT: u32 = 22;
// @ts-ignore: decorator
@inline const GENERATION_MASK: u32 = 0xFFC00000;
// In the entry of a slab frame: records in use, then the fresh mark (mem/slab.ts).
// @ts-ignore: decorator
@inline const SLAB_USED: usize = 12;
// @ts-ignore: decorator
@inline const ONE_USED_ONE_FRESH: u32 = 0x00010001; // what only a new frame has

// @ts-ignore: decorator
@inline function placeBits(): u32 {
  return frameBits() + (PAGE_SHIFT - RECORD_SHIFT);
}

/** How many different generations a record goes through. */
// @ts-ignore: decorator
@inline function generations(): u32 {
  return generationsFor(placeBits(), 10);
}

// ── generations of records, for every cache whose records handles stand for ──

/** How many different generations there are above `place` bits of a handle, where a record keeps `bits` of them. */
// @ts-ignore: decorator
@inline export function generationsFor(place: u32, bits: u32): u32 {
  return (1 << min<u32>(bits, 32 - place)) - 1;
}

/** Generation of a record of a frame, from the frees of the record. */
// @ts-ignore: decorator
@inline export function generationAt(entry: usize, age: u32, generations: u32): u32 {
  const generation = genA(entry) + age;
  return generation >= generations ? generation - generations : generation;
}

/** After taking a record from a frame: a new frame goes on from the generations of its former lives. */
// @ts-ignore: decorator
@inline export function frameBegins(entry: usize, generations: u32): void {
  if (load<u32>(entry + SLAB_USED) == ONE_USED_ONE_FRESH) {
    setGenA(entry, genA(entry) % generations);
    setGenB(entry, 0);
  }
}

/** Age of a record whose handle has just become stale; the frame remembers the highest. */
// @ts-ignore: decorator
@inline export function older(entry: usize, age: u32, generations: u32): u32 {
  age += 1;
  if (age > genB(entry)) setGenB(entry, age);
  return age >= generations ? 0 : age;
}

/** Gives a record back to its cache. */
export function recordFree(cache: usize, record: usize): void {
  const entry = entryOf(<u32>(record >> PAGE_SHIFT));
  if (load<u16>(entry + SLAB_USED) == 1) handleFrameEnds(entry);
  slabFree(cache, record);
}

// ── accessors ────────────────────────────────────────────────────────────────

// @ts-ignore: decorator
@inline export function recordWord(record: usize): u32 {
  return load<u32>(record);
}

// @ts-ignore: decorator
@inline export function setRecordWord(record: usize, word: u32): void {
  store<u32>(record, word);
}

/** Requested bytes of the object. */
// @ts-ignore: decorator
@inline export function recordSize(record: usize): u32 {
  return (load<u32>(record, 4) & SIZE_MASK) + 1;
}

// @ts-ignore: decorator
@inline export function recordMaps(record: usize): u32 {
  return (load<u32>(record, 4) >> MAP_SHIFT) & MAPS_MAX;
}

// @ts-ignore: decorator
@inline export function addRecordMaps(record: usize, by: i32): void {
  store<u32>(record, load<u32>(record, 4) + ((<u32>by) << MAP_SHIFT), 4);
}

/** Generation of a record: where its frame began plus the frees since. */
// @ts-ignore: decorator
@inline function recordGeneration(record: usize, entry: usize): u32 {
  return generationAt(entry, load<u32>(record, 4) >> GENERATION_SHIFT, generations());
}

/** The handle that stands for a used record. */
export function handleOf(record: usize): u32 {
  const entry = entryOf(<u32>(record >> PAGE_SHIFT));
  return (recordGeneration(record, entry) << placeBits()) | (<u32>record >> RECORD_SHIFT);
}

// ── API ──────────────────────────────────────────────────────────────────────

export function handleInit(pool: usize): void {
  slabInit(pool + POOL_HANDLES, RECORD_BYTES, FRAME_HANDLES);
}

/** Takes a record for an object of `size` bytes; 0 without a frame. */
export function handleAlloc(pool: usize, size: u32): usize {
  const record = slabAlloc(pool + POOL_HANDLES);
  if (record == 0) return 0;
  const entry = entryOf(<u32>(record >> PAGE_SHIFT));
  frameBegins(entry, generations());
  store<u32>(record, (load<u32>(record, 4) & GENERATION_MASK) | (size - 1), 4);
  return record;
}

/** Takes a record back: its handle is refused from now on. */
export function handleFree(pool: usize, record: usize): void {
  const entry = entryOf(<u32>(record >> PAGE_SHIFT));
  const age = older(entry, load<u32>(record, 4) >> GENERATION_SHIFT, generations());
  store<u32>(record, age << GENERATION_SHIFT, 4);
  recordFree(pool + POOL_HANDLES, record);
}

/** A handle frame is given back: its next life begins beyond all generations of this one. */
export function handleFrameEnds(entry: usize): void {
  setGenA(entry, (genA(entry) + genB(entry) + 1) & 0xFFFF);
  setGenB(entry, 0);
}

/** The record of a live handle of this pool; 0 for any other number. */
export function handleRecord(pool: usize, handle: u32): usize {
  const bits = placeBits();
  const place = handle & ((1 << bits) - 1);
  const frame = place >> (PAGE_SHIFT - RECORD_SHIFT);
  if (!frameExists(frame)) return 0;
  const entry = entryOf(frame);
  if (entryOwner(entry) != (<u32>pool | FRAME_HANDLES)) return 0;
  const record = <usize>(place << RECORD_SHIFT);
  const index = (<u32>record & PAGE_MASK) >> RECORD_SHIFT;
  if (index >= <u32>load<u16>(entry + SLAB_FRESH)) return 0;
  if ((load<u32>(record) & (RECORD_FREE | DEFERRED)) != 0) return 0;
  if (recordGeneration(record, entry) != handle >> bits) return 0;
  return record;
}

/** Whether the generation of a used record agrees with its frame; for check(). */
export function recordIsSound(record: usize): bool {
  const entry = entryOf(<u32>(record >> PAGE_SHIFT));
  return genA(entry) < generations() && (load<u32>(record, 4) >> GENERATION_SHIFT) <= genB(entry);
}
