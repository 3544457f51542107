/** What both front ends do with a core: pages of codecs outside it, places it has noted, frames it lacks, calls that wait. */
import { FIRST_FOREIGN, OUT_BLOCK_BYTES, OUT_BLOCK_CODEC, OUT_GENERATION, OUT_NEEDED, OUT_SLOT } from '../../../assembly/abi.ts';
import type { BackingStore } from '../../backing/types.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { CompcacheError, codeOf } from '../../errors.ts';
import { type Core } from '../../wasm.ts';

/**
 * The page whose block the core has put into the block buffer. The codec is foreign code: look at everything anew after it.
 * @param codecs those outside the core, by number from FIRST_FOREIGN on
 * @returns a page in memory of ours
 * @throws EIO when the codec does not give a page
 */
export function decompressed(op: string, { out, blockBuffer }: Core, codecs: readonly ForeignCodec[]): Uint8Array {
  const block = blockBuffer.slice(0, out[OUT_BLOCK_BYTES] as number);
  return (codecs[(out[OUT_BLOCK_CODEC] as number) - FIRST_FOREIGN] as ForeignCodec).decompress(op, block);
}

/** Stores that a front end has. Two would overwrite each other's slots. */
const taken = new WeakSet<BackingStore>();

/** Takes a store for one front end. @throws EBUSY when another has it */
export function takeStore(op: string, store: BackingStore): void {
  if (taken.has(store)) throw new CompcacheError('EBUSY', op, 'the backing store belongs to another front end: close that first');
  taken.add(store);
}

/** Lets another front end have the store. */
export function leaveStore(store: BackingStore): void {
  taken.delete(store);
}

/** Slot and generation that the core has noted. */
export function notedPlace({ out }: Core): [slot: number, generation: number] {
  return [out[OUT_SLOT] as number, out[OUT_GENERATION] as number];
}

/** The error for a result of the core that means that a frame is lacking. */
export function noFrame(op: string, { exports, out }: Core, result: number): CompcacheError {
  return new CompcacheError(codeOf(result), op, `no frame: ${out[OUT_NEEDED]} needed, ${exports.ramFree() >>> 0} free`);
}

/** Notes a call as active until it has ended. */
export function tracked<T>(active: Set<Promise<unknown>>, call: Promise<T>): Promise<T> {
  active.add(call);
  const done = (): void => void active.delete(call);
  call.then(done, done);
  return call;
}
