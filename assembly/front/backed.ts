/**
 * What all front ends with a backing store share: the slot map in their header, the generations, and how a slot is
 * composed and opened.
 *
 * In the header of every front end:
 *   276 last generation   280 epoch   320 slot map (slot-map.ts)
 * The cell of a page that is in the store (page/table.ts) has the slot as its value, and as its state WRITTEN with the
 * generation above it.
 */
import {
  DECOMPRESS,
  EINVAL,
  FIRST_FOREIGN,
  FRONT_KINDS_FROM,
  NO_SLOT,
  OUT_BLOCK_BYTES,
  OUT_BLOCK_CODEC,
  OUT_GENERATION,
  OUT_SLOT,
} from '../abi';
import { EIO, isError } from '../base/errno';
import { PAGE_SIZE } from '../mem/layout';
import { POOL_DESCRIPTORS, indexFrames, kindOf, poolAt } from '../mem/pool';
import { blockBuffer, pageBuffer, setOut } from '../mem/scratch';
import { slabFrames } from '../mem/slab';
import { gather, scatter } from '../mem/span';
import { codecDecompress } from '../codec/buffers';
import { zpoolRange, zpoolSize, zpoolTableFrames } from '../zpool';
import { SLOT_LZ4, SLOT_RAW, slotCodec, slotCompose, slotData, slotIsKnown, slotIsWhole, slotLength } from './slot';
import { SLOT_USED, slotToFree, slotFreed, slotFreeing, slotMapFrames, slotState, slotsToFreeAt } from './slot-map';

/** How many bits of a cell's state hold its kind (ENTRY and so on). They are the bits of KIND_MASK. */
export const KIND_BITS: u32 = 4;
const GENERATION_MASK: u32 = 0xffffffff >> KIND_BITS;

const GENERATION: usize = 276;
const EPOCH: usize = 280;
export const SLOTS: usize = 320;

/** True when a number from outside is the address of a front end. */
export function isFrontEnd(front: usize): bool {
  return kindOf(front) >= FRONT_KINDS_FROM;
}

/**
 * Frames of a pool or front end for tables, records, descriptors, index and slot map: all frames but those of objects
 * and map buffers.
 */
export function metadataFrames(pool: usize): u32 {
  if (!isFrontEnd(pool)) return zpoolTableFrames(pool);
  return (
    poolAt(pool).tableFrames + slabFrames(pool + POOL_DESCRIPTORS) + indexFrames(pool) + slotMapFrames(pool + SLOTS)
  );
}

/** The number in a slot header for the codec with this number. */
/* @inline */ export function slotCodecOf(codec: u32): u32 {
  return codec < FIRST_FOREIGN ? SLOT_LZ4 : codec;
}

/** Copies bytes into an object of a zpool, from byte `at` of the object on. The bytes must fit. */
export function objectIn(pool: usize, handle: u32, at: u32, from: usize, bytes: u32): void {
  scatter(from, zpoolRange(pool, handle, at, bytes, 1), bytes);
}

/**
 * Copies an object of a zpool from its byte `at` to its end. Returns the number of bytes; EIO when there are none or
 * more than a page.
 */
export function objectOut(pool: usize, handle: u32, at: u32, to: usize): u32 {
  const size = zpoolSize(pool, handle);
  if (isError(size) || size <= at || size > PAGE_SIZE) return EIO;
  gather(to, zpoolRange(pool, handle, at, size - at, 0), size - at);
  return size - at;
}

/**
 * Composes a slot from the data in the block buffer. Returns the bytes of the slot. OUT_SLOT and OUT_GENERATION say
 * where it goes.
 */
export function compose(front: usize, codec: u32, length: u32, slot: u32): u32 {
  const generation = (load<u32>(front + GENERATION) + 1) & GENERATION_MASK;
  store<u32>(front + GENERATION, generation);
  setOut(OUT_SLOT, slot);
  setOut(OUT_GENERATION, generation);
  return slotCompose(codec, length, slot, generation, load<u32>(front + EPOCH));
}

/**
 * Opens a slot that was read into the block buffer.
 * @returns PAGE_SIZE: the page is in the page buffer; DECOMPRESS: the block buffer has a block of OUT_BLOCK_BYTES, made
 *   by the codec OUT_BLOCK_CODEC; EIO: the bytes are not those that were written
 */
export function frontOpen(front: usize, bytes: u32, slot: u32, generation: u32): u32 {
  if (!isFrontEnd(front) || !slotIsWhole(bytes, slot, generation, load<u32>(front + EPOCH))) return EIO;
  const codec = slotCodec();
  const length = slotLength();
  if (codec == SLOT_RAW) {
    if (length != PAGE_SIZE) return EIO;
    memory.copy(pageBuffer(), slotData(), PAGE_SIZE);
    return PAGE_SIZE;
  }
  memory.copy(blockBuffer(), slotData(), length);
  if (codec == SLOT_LZ4) return codecDecompress(length, PAGE_SIZE) == PAGE_SIZE ? PAGE_SIZE : EIO;
  setOut(OUT_BLOCK_BYTES, length);
  setOut(OUT_BLOCK_CODEC, codec);
  return DECOMPRESS;
}

/**
 * 1 when the bytes read into the block buffer begin with the header of the slot that was written, else 0. With 1, the
 * store is the one that the front end had.
 */
export function frontKnows(front: usize, bytes: u32, slot: u32, generation: u32): u32 {
  return <u32>(isFrontEnd(front) && slotIsKnown(bytes, slot, generation, load<u32>(front + EPOCH)));
}

/**
 * Address of the counter of slots that are to be freed at the store, so that the bindings can read it directly. EINVAL.
 */
export function frontToFreeAt(front: usize): u32 {
  return isFrontEnd(front) ? <u32>slotsToFreeAt(front + SLOTS) : EINVAL;
}

/** Next slot to free at the store; call frontFreed when the store has freed it. NO_SLOT when there is none. */
export function frontFreeing(front: usize): u32 {
  return isFrontEnd(front) ? slotFreeing(front + SLOTS) : NO_SLOT;
}

/** The store has freed a slot that frontFreeing gave: the slot is free. */
export function frontFreed(front: usize, slot: u32): void {
  if (isFrontEnd(front)) slotFreed(front + SLOTS, slot);
}

/** A write that its caller gave up has ended, or its result is not used: its slot is to be freed. */
export function frontSettled(front: usize, slot: u32): void {
  if (isFrontEnd(front) && slotState(front + SLOTS, slot) == SLOT_USED) slotToFree(front + SLOTS, slot);
}
