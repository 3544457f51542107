/**
 * Handles: the indirection table of allocators whose objects move.
 *
 * A record is 8 bytes, in a slab of the pool's own (FRAME_HANDLES):
 *
 *   word 0   bits 0..27  location: frame << 8 | slot    (the allocator's)
 *            bit 28      DEFERRED: freed during the reclaim of its zspage
 *            bit 29      the allocator's (z3fold: moved in from another frame)
 *            bit 30      BUFFERED: bits 0..19 name the buffer frame instead
 *            bit 31      free record (mem/slab.ts)
 *   word 1   bits 0..11  size - 1
 *            bits 12..21 maps, up to 1023
 *            bits 22..31 frees of this record since its frame became a handle frame
 *
 *   entry of the frame: genA = generation at which the frame began (below g),
 *            genB = the most frees that a record of it has seen,
 *            28 = genA as the owner before left it: an allocator that counts
 *            further than g goes on from there when it gets the frame back
 *
 * A handle is   generation << placeBits | record in its frame << frameBits | frame
 * with placeBits = 9 + frameBits, the bits of a frame number of this RAM. Every
 * allocator has the frame in these low bits, so that no number is a handle of
 * two pools, whatever their allocators. A handle is refused in O(1) from what
 * lies in the RAM: the frame must be a handle frame of this pool, the
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
  FRAME_HANDLES, PAGE_MASK, PAGE_SHIFT, RECORD_FREE, SLAB_FRESH, entryOf, entryOwner, frameAddress, frameBits, frameExists, genA,
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
// In the entry of a slab frame: records in use (mem/slab.ts).
// @ts-ignore: decorator
@inline const SLAB_USED: usize = 12;
// @ts-ignore: decorator
@inline const EPOCH: usize = 28; // in the entry: genA at the start, not yet reduced

// @ts-ignore: decorator
@inline function placeBits(): u32 {
  return frameBits() + (PAGE_SHIFT - RECORD_SHIFT);
}

// @ts-ignore: decorator
@inline function generationBits(): u32 {
  return min<u32>(10, 32 - placeBits());
}

/** How many different generations a record goes through. */
// @ts-ignore: decorator
@inline function generations(): u32 {
  return (1 << generationBits()) - 1;
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
  const generation = genA(entry) + (load<u32>(record, 4) >> GENERATION_SHIFT);
  const count = generations();
  return generation >= count ? generation - count : generation;
}

/** The handle that stands for a used record. */
export function handleOf(record: usize): u32 {
  const frame = <u32>(record >> PAGE_SHIFT);
  const index = (<u32>record & PAGE_MASK) >> RECORD_SHIFT;
  return (recordGeneration(record, entryOf(frame)) << placeBits()) | (index << frameBits()) | frame;
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
  // Two narrow loads: one wide load could not be served from the narrow stores just made, and would wait for the cache.
  if (load<u16>(entry + SLAB_USED) == 1 && load<u16>(entry + SLAB_FRESH) == 1) {
    store<u32>(entry + EPOCH, genA(entry));
    setGenA(entry, genA(entry) % generations());
    setGenB(entry, 0);
  }
  store<u32>(record, (load<u32>(record, 4) & GENERATION_MASK) | (size - 1), 4);
  return record;
}

/** Takes a record back: its handle is refused from now on. */
export function handleFree(pool: usize, record: usize): void {
  const entry = entryOf(<u32>(record >> PAGE_SHIFT));
  let age = (load<u32>(record, 4) >> GENERATION_SHIFT) + 1;
  if (age > genB(entry)) setGenB(entry, age);
  if (age >= generations()) age = 0;
  store<u32>(record, age << GENERATION_SHIFT, 4);
  if (load<u16>(entry + SLAB_USED) == 1) handleFrameEnds(entry);
  slabFree(pool + POOL_HANDLES, record);
}

/** Takes back a record whose handle was never given out: its generation stays. */
export function handleCancel(pool: usize, record: usize): void {
  const entry = entryOf(<u32>(record >> PAGE_SHIFT));
  store<u32>(record, load<u32>(record, 4) & GENERATION_MASK, 4);
  if (load<u16>(entry + SLAB_USED) == 1) handleFrameEnds(entry);
  slabFree(pool + POOL_HANDLES, record);
}

/** A handle frame is given back: its next life begins beyond all generations of this one. */
export function handleFrameEnds(entry: usize): void {
  const most = generations() << (16 - generationBits()); // a multiple, so that coming round shifts no generation
  const epoch = load<u32>(entry + EPOCH) + genB(entry) + 1;
  setGenA(entry, epoch >= most ? epoch - most : epoch);
  setGenB(entry, 0);
}

/** The record of a live handle of this pool; 0 for any other number. */
export function handleRecord(pool: usize, handle: u32): usize {
  const bits = frameBits();
  const frame = handle & ((1 << bits) - 1);
  if (!frameExists(frame)) return 0;
  const entry = entryOf(frame);
  if (entryOwner(entry) != (<u32>pool | FRAME_HANDLES)) return 0;
  const index = (handle >> bits) & (PAGE_MASK >> RECORD_SHIFT);
  const record = frameAddress(frame) + <usize>(index << RECORD_SHIFT);
  if (index >= <u32>load<u16>(entry + SLAB_FRESH)) return 0;
  if ((load<u32>(record) & (RECORD_FREE | DEFERRED)) != 0) return 0;
  if (recordGeneration(record, entry) != handle >> placeBits()) return 0;
  return record;
}

/** Whether the generation of a used record agrees with its frame; for check(). */
export function recordIsSound(record: usize): bool {
  const entry = entryOf(<u32>(record >> PAGE_SHIFT));
  const epoch = load<u32>(entry + EPOCH);
  return epoch <= 0xFFFF && genA(entry) == epoch % generations() && (load<u32>(record, 4) >> GENERATION_SHIFT) <= genB(entry);
}
