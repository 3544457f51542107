/** What both front ends do with a core: pages of codecs outside it, places it has noted, frames it lacks, calls that wait. */
import { CORE_CODECS } from '../codec/core.ts';
import { CompcacheError, codeOf, show } from '../errors.ts';
import type { Codec } from '../types.ts';
import { OUT_A, OUT_B, OUT_NEEDED, PAGE_SIZE, type Core } from '../wasm.ts';
import { isPromise } from '../zpool.ts';

/** In place of a page: its block is in the block buffer, and a codec outside the core must decompress it (assembly/front/backed.ts). */
export const DECOMPRESS = 6;
/** Codecs of the core have lower numbers. */
export const FIRST_FOREIGN = Object.keys(CORE_CODECS).length;

/**
 * The page whose block the core has put into the block buffer.
 * @param codecs those outside the core, by number from FIRST_FOREIGN on
 * @throws EIO when the codec does not give a page
 */
export function decompressed(op: string, { out, bytes }: Core, blockAddress: number, codecs: readonly Codec[]): Uint8Array {
  const block = bytes.slice(blockAddress, blockAddress + (out[OUT_A] as number));
  const codec = codecs[(out[OUT_B] as number) - FIRST_FOREIGN] as Codec;
  const page = new Uint8Array(PAGE_SIZE);
  let cause: unknown;
  try {
    const written: unknown = codec.decompress(block, page);
    if (written === PAGE_SIZE && page.length === PAGE_SIZE) return page;
    cause = new Error(isPromise(written) ? 'it gave a Promise' : `it gave ${show(written)} bytes`);
  } catch (error) {
    cause = error;
  }
  throw new CompcacheError('EIO', op, `codec ${show(codec.name)} does not decompress the page`, { cause });
}

/** Slot and generation that the core has noted. */
export function notedPlace({ out }: Core): [slot: number, generation: number] {
  return [out[OUT_A] as number, out[OUT_B] as number];
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
