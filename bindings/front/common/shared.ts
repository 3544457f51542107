/** Names under which ramzswap imports what has a room of its own now: attach.ts, codecs.ts, slot-reads.ts. */
import { FIRST_FOREIGN, OUT_BLOCK_BYTES, OUT_BLOCK_CODEC } from '../../../assembly/abi.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { CompcacheError } from '../../errors.ts';
import type { Core } from '../../wasm.ts';

export { leaveStore, noFrame, takeStore } from './attach.ts';
export { notedPlace } from './slot-reads.ts';

/**
 * The page whose block the core has put into the block buffer. The codec is foreign code: look at everything anew after it.
 * @param codecs those outside the core, by number from FIRST_FOREIGN on
 * @returns a page in memory of ours
 * @throws EIO when the codec does not give a page, or there is none of that number
 */
export function decompressed(op: string, { out, blockBuffer }: Core, codecs: readonly ForeignCodec[]): Uint8Array {
  const block = blockBuffer.slice(0, out[OUT_BLOCK_BYTES] as number);
  const codec = codecs[(out[OUT_BLOCK_CODEC] as number) - FIRST_FOREIGN];
  // An image, or a store, from outside may say so.
  if (codec === undefined) throw new CompcacheError('EIO', op, `the page is of codec ${out[OUT_BLOCK_CODEC]}, which there is not`);
  return codec.decompress(op, block);
}
