/**
 * Slots: the format of what a front end writes to a backing store, and how it recognises its own data there.
 *
 *   0       4         5       6       8        12     16           20      24   28      32
 *   ┌───────┬─────────┬───────┬───────┬────────┬──────┬────────────┬───────┬────┬───────┬──────
 *   │ magic │ version │ codec │ 0     │ length │ slot │ generation │ epoch │ 0  │ crc32c│ data
 *   └───────┴─────────┴───────┴───────┴────────┴──────┴────────────┴───────┴────┴───────┴──────
 *
 *   codec       0 a raw page, 1 an LZ4 block, other numbers: a codec of the front end
 *   length      bytes of data, 1 … 4096
 *   generation  counts the writes of the front end. The epoch is a random number from
 *               its creation. Both together show whether the store gives the last
 *               write to this slot, or an older write, or data of another front end
 *   crc32c      over the header bytes before it and the data
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

/** Address of the data of the slot in the block buffer. */
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

/**
 * True when the `bytes` bytes that were read begin with the header of the slot that was written. The data may be
 * damaged.
 */
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

/** True when the `bytes` bytes that were read are the complete slot that was written. */
export function slotIsWhole(bytes: u32, slot: u32, generation: u32, epoch: u32): bool {
  return (
    slotIsKnown(bytes, slot, generation, epoch) &&
    header().zero == 0 &&
    header().length - 1 < PAGE_SIZE &&
    header().length <= bytes - SLOT_HEADER_BYTES &&
    header().crc == sum(header().length)
  );
}

/** Codec of a complete slot. */
export function slotCodec(): u32 {
  return header().kind >> 8;
}

/** Bytes of the data of a complete slot. */
export function slotLength(): u32 {
  return header().length;
}
