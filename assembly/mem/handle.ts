/**
 * Handles: the handle records of allocators that can move objects.
 *
 * A handle record has 8 bytes, in a slab of its pool (FRAME_HANDLES):
 *
 *   word 0   bits 0..27  location of the object, defined by the allocator: frame << 8 | 8 bits
 *            bit 28      DEFERRED: freed during the reclaim of its zspage
 *            bit 29      defined by the allocator (z3fold: the object is a guest)
 *            bit 30      BUFFERED: bits 0..19 are the number of the buffer frame instead
 *            bit 31      the record is free (mem/slab.ts)
 *   word 1   bits 0..11  size - 1
 *            bits 12..21 maps, up to 1023
 *            bits 22..31 number of frees of this record since its frame became a handle frame
 *
 *   words 2..5  owner bytes, in a pool that was created with them: a record then has 24 bytes
 *
 *   frame entry: genA = the generation when the frame became a handle frame (mem/generation.ts)
 *
 * A handle is   generation << placeBits | offset of the record in its frame / 8 << frameBits | frame
 * with placeBits = 9 + frameBits; frameBits is the number of bits of a frame number in
 * this RAM. The handles of every allocator have the frame in these low bits, so no
 * number is a handle of two pools. The test of a handle reads only the RAM, in O(1):
 * the frame must be a handle frame of this pool, the record must be in use, and the
 * generations must be equal.
 *
 * Each free of a record increments its generation, which has g =
 * min(10, 32 - placeBits) bits. So a stale handle is refused until that record was
 * freed 2^g times more. That is 1024 times up to 32 MiB of RAM, 512 at 64 MiB, 32 at
 * 1 GiB, 8 at 4 GiB (minus one: all ones is skipped); records of a slab frame are
 * reused in FIFO order, which multiplies this number by the free records of the
 * frame. When a frame becomes a handle frame again, it begins above all its earlier
 * generations. So when one record of the frame wraps around, the handles of its other
 * records may be accepted again earlier than that.
 *
 * Vital statistics: 8 bytes for each object, 512 records in a frame; with owner bytes 24 and 170.
 */
import {
  FRAME_HANDLES,
  PAGE_MASK,
  PAGE_SHIFT,
  RECORD_FREE,
  SLAB_CACHE,
  SLAB_FRESH,
  SLAB_USED,
  entryAround,
  entryOf,
  entryOwner,
  frameAddress,
  frameAround,
  frameBits,
  frameExists,
  genA,
  setGenA,
} from './layout';
import { generationMask } from './generation';
import { slabCheck, slabGive, slabGrow, slabInit, slabRecordBytes, slabRoom, slabShrink, slabTake } from './slab';
import { POOL_HANDLES, poolOption, setPoolOption } from './pool';
import { RULE_POOL, broken } from './verify';

const RECORD_BYTES: u32 = 8; // without owner bytes
const RECORD_SHIFT: u32 = 3; // records lie at multiples of 8
const OWNER: usize = 8; // offset of the owner bytes in a record
export const OWNER_BYTES: u32 = 16;
const OWNER_OPTION: u32 = 3;
export const DEFERRED: u32 = 1 << 28;
export const BUFFERED: u32 = 1 << 30;
const SIZE_MASK: u32 = 0xfff;
const MAP_SHIFT: u32 = 12;
export const MAPS_MAX: u32 = 1023;
const GENERATION_SHIFT: u32 = 22;
const GENERATION_MASK: u32 = 0xffc00000;
const ONE_FREE: u32 = 1 << GENERATION_SHIFT;

/* @inline */ function placeBits(bits: u32): u32 {
  return bits + (PAGE_SHIFT - RECORD_SHIFT);
}

/** Mask of a generation. `bits`, here and below, is frameBits(): a call reads it once. */
/* @inline */ function mask(bits: u32): u32 {
  return generationMask(min<u32>(10, 32 - placeBits(bits)));
}

// ── accessors ────────────────────────────────────────────────────────────────

/* @inline */ export function recordWord(record: usize): u32 {
  return load<u32>(record);
}

/* @inline */ export function setRecordWord(record: usize, word: u32): void {
  store<u32>(record, word);
}

/** Requested bytes of the object. */
/* @inline */ export function recordSize(record: usize): u32 {
  return (load<u32>(record, 4) & SIZE_MASK) + 1;
}

/* @inline */ export function recordMaps(record: usize): u32 {
  return (load<u32>(record, 4) >> MAP_SHIFT) & MAPS_MAX;
}

/* @inline */ export function addRecordMaps(record: usize, by: i32): void {
  store<u32>(record, load<u32>(record, 4) + ((<u32>by) << MAP_SHIFT), 4);
}

/** Generation of a record, given its second word: genA of its frame plus the number of frees. */
/* @inline */ function generationIn(entry: usize, word: u32, bits: u32): u32 {
  return (genA(entry) + (word >> GENERATION_SHIFT)) & mask(bits);
}

/* @inline */ function makeHandle(record: usize, generation: u32, bits: u32): u32 {
  const index = ((<u32>record) & PAGE_MASK) >> RECORD_SHIFT;
  return (((generation << (PAGE_SHIFT - RECORD_SHIFT)) | index) << bits) | (<u32>(record >> PAGE_SHIFT));
}

/** The handle of a used record. */
export function handleOf(record: usize): u32 {
  const bits = frameBits();
  return makeHandle(record, generationIn(entryAround(record), load<u32>(record, 4), bits), bits);
}

// ── API ──────────────────────────────────────────────────────────────────────

/**
 * @param ownerBytes 0 or OWNER_BYTES; stored in the last option word of the pool
 * @returns false for any other number
 */
export function handleInit(pool: usize, ownerBytes: u32): bool {
  if (ownerBytes != 0 && ownerBytes != OWNER_BYTES) return false;
  setPoolOption(pool, OWNER_OPTION, ownerBytes);
  slabInit(pool + POOL_HANDLES, RECORD_BYTES + ownerBytes, FRAME_HANDLES);
  return true;
}

/** Bytes of a handle record of the pool. */
/* @inline */ export function recordBytes(pool: usize): u32 {
  return slabRecordBytes(pool + POOL_HANDLES);
}

/** Makes sure that the next recordTake needs no frame. False without a frame. */
export function handleReserve(pool: usize): bool {
  return slabRoom(pool + POOL_HANDLES) != 0 || slabGrow(pool + POOL_HANDLES);
}

/** Undoes handleReserve when no record was taken. */
export function handleUnreserve(pool: usize): void {
  const entry = slabRoom(pool + POOL_HANDLES);
  if (load<u16>(entry + SLAB_USED) == 0) slabShrink(pool + POOL_HANDLES, entry);
}

/** Takes a record; handleReserve must have been called. The caller has to set its first word, the location. Inlined. */
/* @inline */ export function recordTake(pool: usize): usize {
  const bytes = recordBytes(pool);
  const record = slabTake(pool + POOL_HANDLES, bytes);
  if (bytes != RECORD_BYTES) memory.fill(record + OWNER, 0, OWNER_BYTES);
  return record;
}

/** The handle of a record that was just taken for an object of `size` bytes. Inlined. */
/* @inline */ export function handleFor(record: usize, size: u32): u32 {
  const bits = frameBits();
  let word = (load<u32>(record, 4) & GENERATION_MASK) | (size - 1);
  let generation = generationIn(entryAround(record), word, bits);
  if (generation == mask(bits)) {
    word += ONE_FREE;
    generation = 0;
  }
  store<u32>(record, word, 4);
  return makeHandle(record, generation, bits);
}

/** Frees a record: its handle is refused from now on. Inlined. */
/* @inline */ export function handleFree(pool: usize, record: usize): void {
  const entry = entryAround(record);
  store<u32>(record, (load<u32>(record, 4) & GENERATION_MASK) + ONE_FREE, 4);
  const bytes = recordBytes(pool);
  if (load<u16>(entry + SLAB_USED) == bytes) handleFrameEnds(entry);
  slabGive(pool + POOL_HANDLES, entry, record, bytes);
}

/** Called before a handle frame is freed: moves genA above all generations of its records. */
export function handleFrameEnds(entry: usize): void {
  const records = frameAround(entry);
  const bytes = slabRecordBytes(<usize>load<u32>(entry + SLAB_CACHE));
  let frees: u32 = 0;
  for (let at = <u32>load<u16>(entry + SLAB_FRESH); at != 0; at -= bytes) {
    frees = max(frees, load<u32>(records + <usize>(at - bytes), 4) >> GENERATION_SHIFT);
  }
  setGenA(entry, genA(entry) + frees + 1);
}

/** The record of a live handle of this pool; 0 for any other number. */
/* @inline */ export function handleRecord(pool: usize, handle: u32): usize {
  const bits = frameBits();
  const frame = handle & ((1 << bits) - 1);
  if (!frameExists(frame)) return 0;
  const entry = entryOf(frame);
  if (entryOwner(entry) != ((<u32>pool) | FRAME_HANDLES)) return 0;
  const offset = ((handle >> bits) & (PAGE_MASK >> RECORD_SHIFT)) << RECORD_SHIFT;
  // Owner bytes may look like a record.
  if (recordBytes(pool) != RECORD_BYTES && offset % (RECORD_BYTES + OWNER_BYTES) != 0) return 0;
  const record = frameAddress(frame) + <usize>offset;
  const word = load<u32>(record);
  // A record that was never used is zero. (No object lies in frame 0.)
  if (word == 0 || (word & (RECORD_FREE | DEFERRED)) != 0) return 0;
  return generationIn(entry, load<u32>(record, 4), bits) == handle >> placeBits(bits) ? record : 0;
}

/**
 * Address of the owner bytes of a live object; 0 in a pool without owner bytes, and for a number that is no live
 * handle.
 */
export function handleOwner(pool: usize, handle: u32): usize {
  const record = handleRecord(pool, handle);
  return record == 0 || recordBytes(pool) == RECORD_BYTES ? 0 : record + OWNER;
}

/** True when a used record has a generation that a handle may have; for check(). */
export function recordIsSound(record: usize): bool {
  const bits = frameBits();
  return generationIn(entryAround(record), load<u32>(record, 4), bits) != mask(bits);
}

/** Verifies the handle frames of a pool. 0 or EUCLEAN. */
export function handleCheck(pool: usize): u32 {
  const ownerBytes = poolOption(pool, OWNER_OPTION);
  if (ownerBytes != 0 && ownerBytes != OWNER_BYTES) return broken(RULE_POOL, <u32>(pool >> PAGE_SHIFT));
  return slabCheck(pool + POOL_HANDLES, RECORD_BYTES + ownerBytes, FRAME_HANDLES);
}
