/**
 * Slots: what a front end writes to a backing store, and how it knows it again.
 *
 *   0       4         5       6       8        12     16           20      24   28      32
 *   ┌───────┬─────────┬───────┬───────┬────────┬──────┬────────────┬───────┬────┬───────┬──────
 *   │ magic │ version │ codec │ 0     │ length │ slot │ generation │ epoch │ 0  │ crc32c│ data
 *   └───────┴─────────┴───────┴───────┴────────┴──────┴────────────┴───────┴────┴───────┴──────
 *
 *   codec       0 the page as it is, 1 an LZ4 block, others numbered by the front end
 *   length      bytes of data, 1 … 4096
 *   generation  counts the front end's writes; with the epoch, drawn when it was
 *               made, it tells what was written last from what a store kept,
 *               lost or took from elsewhere
 *   crc32c      of the bytes before it and the data
 *
 * All words little-endian. A slot is composed and opened in the block buffer.
 */
import { SLOT_HEADER_BYTES } from '../abi';
import { crc32c } from '../base/crc';
import { PAGE_SIZE } from '../mem/layout';
import { blockBuffer, crcTables } from '../mem/scratch';

export const SLOT_RAW: u32 = 0;
export const SLOT_LZ4: u32 = 1;
const MAGIC: u32 = 0x4c534343; // "CCSL"
const VERSION: u32 = 1;
const CRC_AT: u32 = 28;


@unmanaged
class Header {
  magic: u32;
  kind: u32; // version | codec << 8
  length: u32;
  slot: u32;
  generation: u32;
  epoch: u32;
  zero: u32;
  crc: u32;
}

/* @inline */ function header(): Header {
  return changetype<Header>(blockBuffer());
}

/** Where the data of a slot lie. */
/* @inline */ export function slotData(): usize {
  return blockBuffer() + <usize>SLOT_HEADER_BYTES;
}

function sum(length: u32): u32 {
  const tables = crcTables();
  return crc32c(tables, slotData(), length, crc32c(tables, blockBuffer(), CRC_AT, 0));
}

/** Writes the header before `length` bytes of data. Returns the bytes of the slot. */
export function slotCompose(codec: u32, length: u32, slot: u32, generation: u32, epoch: u32): u32 {
  header().magic = MAGIC;
  header().kind = VERSION | (codec << 8);
  header().length = length;
  header().slot = slot;
  header().generation = generation;
  header().epoch = epoch;
  header().zero = 0;
  header().crc = sum(length);
  return SLOT_HEADER_BYTES + length;
}

/** Whether `bytes` bytes that were read begin as the slot that was written. Its data may be damaged. */
export function slotIsKnown(bytes: u32, slot: u32, generation: u32, epoch: u32): bool {
  return (
    bytes > SLOT_HEADER_BYTES &&
    header().magic == MAGIC &&
    (header().kind & ~0xff00) == VERSION &&
    header().slot == slot &&
    header().generation == generation &&
    header().epoch == epoch
  );
}

/** Whether `bytes` bytes that were read are the slot that was written. */
export function slotIsWhole(bytes: u32, slot: u32, generation: u32, epoch: u32): bool {
  return (
    slotIsKnown(bytes, slot, generation, epoch) &&
    header().zero == 0 &&
    header().length - 1 < PAGE_SIZE &&
    header().length <= bytes - SLOT_HEADER_BYTES &&
    header().crc == sum(header().length)
  );
}

/** Codec of a whole slot. */
export function slotCodec(): u32 {
  return header().kind >> 8;
}

/** Bytes of its data. */
export function slotLength(): u32 {
  return header().length;
}
