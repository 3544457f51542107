/**
 * Reads slots for a front end. The store may still change the buffer after its call, so the bytes are copied once, and
 * the copy is used if its checksum is right. The front end must then test if the page is still in that slot.
 */
import { DECOMPRESS, OUT_GENERATION, OUT_SLOT } from '../../../assembly/abi.ts';
import { SLOT_BYTES, type MaybePromise } from '../../backing/types.ts';
import { copyIn, firstOf } from '../../bytes.ts';
import type { Steps } from '../../steps.ts';
import { PAGE_SIZE, type Core } from '../../wasm.ts';
import type { Outcome, StoreIo } from './store-io.ts';

/** A slot that was read. */
export interface SlotRead {
  slot: number;
  generation: number;
  /** The buffer that the store has read into. */
  buffer: Uint8Array;
  outcome: Outcome<unknown>;
}

/**
 * Reads the slot in the core's result words. There must be room for a call. The call is made at once.
 * @param ours a buffer of ours to read into, at least SLOT_BYTES, if the store keeps no buffer. Nobody else may use it
 *   until openSlot. Default: a new array
 */
export function* readSlot(op: string, { out }: Core, io: StoreIo, ours?: Uint8Array): Steps<SlotRead> {
  const slot = out[OUT_SLOT] as number;
  const generation = out[OUT_GENERATION] as number;
  const buffer = ours ?? new Uint8Array(SLOT_BYTES);
  const read = (): MaybePromise<number | void> => io.read(slot, buffer, ours !== undefined);
  return { slot, generation, buffer, outcome: yield* io.answer<number | void>(op, read) };
}

/**
 * Opens a slot that was read.
 * @param address of the front end
 * @param length how many bytes were read (bytesRead)
 * @param decompress decompresses the block in the block buffer. It runs foreign code
 * @returns the page, in a buffer that the next call may use; undefined when the slot does not hold what was written
 *   there
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
