/**
 * Slots that are read on behalf of a front end. The store has the buffer while it reads, so what it gives is copied out of it
 * once, and only the copy is believed, if its checksum holds. Whether the page has moved meanwhile is for the front end.
 */
import { DECOMPRESS, OUT_GENERATION, OUT_SLOT } from '../../../assembly/abi.ts';
import { SLOT_BYTES } from '../../backing/types.ts';
import { copyIn, firstOf } from '../../bytes.ts';
import type { Steps } from '../../steps.ts';
import { PAGE_SIZE, type Core } from '../../wasm.ts';
import type { Outcome, StoreIo } from './store-io.ts';

/** A slot that was read. */
export interface SlotRead {
  slot: number;
  generation: number;
  /** What the store has read into. */
  buffer: Uint8Array;
  outcome: Outcome<unknown>;
}

/**
 * Reads the slot that the core has noted. There must be room for a call, which is made at once.
 * @param buffer to read into, at least SLOT_BYTES: nobody else uses it until the slot was opened
 */
export function* readSlot(
  op: string,
  { out }: Core,
  io: StoreIo,
  buffer: Uint8Array = new Uint8Array(SLOT_BYTES),
): Steps<SlotRead> {
  const slot = out[OUT_SLOT] as number;
  const generation = out[OUT_GENERATION] as number;
  return { slot, generation, buffer, outcome: yield* io.answer(op, () => io.store.read(slot, buffer)) };
}

/**
 * The page of a slot that was read.
 * @param address of the front end
 * @param length of what was read (bytesRead)
 * @param decompress gives the page of a block that the core has put into the block buffer; it is foreign code
 * @returns the page, in a buffer that the next call may use; undefined when the slot does not hold what was written there
 */
export function openSlot(
  op: string,
  core: Core,
  address: number,
  { slot, generation, buffer }: SlotRead,
  length: number,
  decompress: () => Uint8Array,
): Uint8Array | undefined {
  copyIn(op, 'slot', core.blockBuffer, firstOf(buffer, length));
  const result = core.exports.frontOpen(address, length, slot, generation) >>> 0;
  if (result === PAGE_SIZE) return core.page;
  return result === DECOMPRESS ? decompress() : undefined;
}
