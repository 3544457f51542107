/**
 * Raw deflate in JavaScript by fflate, for hosts without zlib. It reads zlib's blocks and zlib its.
 *
 * What is minded here: fflate's decoder writes past the end of a buffer that it was given into nothing and does not say so,
 * so it gets one byte more than dst, and a block that fills it is refused; it takes no bytes at all for a whole block; it
 * passes over a distance of zero, so the buffer is cleared lest bytes of an earlier block show. It checks less than zlib: a block
 * that was changed may decode to other bytes, and what follows the end of a block is not looked at.
 */
import { deflateSync, inflateSync } from 'fflate';
import type { Codec } from '../plain-types.ts';
import { deliver, deliverDecoded, encoded, notABlock, roomOf, takeBlock, takeSource } from './blocks.ts';

const LEVEL = 1;

export function fflateDeflate(): Codec {
  let buffer = new Uint8Array(0);
  return {
    name: 'deflate',
    compress(src, dst) {
      const bytes = takeSource(src, dst);
      return deliver(
        encoded(() => deflateSync(bytes, { level: LEVEL })),
        dst,
      );
    },
    decompress(src, dst) {
      const block = takeBlock(src, dst);
      const room = roomOf(dst);
      if (block.length === 0) throw notABlock('deflate', dst);
      if (buffer.length <= room) buffer = new Uint8Array(room + 1);
      const out = buffer.subarray(0, room + 1).fill(0);
      let decoded: Uint8Array;
      try {
        decoded = inflateSync(block, { out });
      } catch (cause) {
        throw notABlock('deflate', dst, { cause });
      }
      if (decoded.length > room) throw notABlock('deflate', dst);
      return deliverDecoded(decoded, dst);
    },
  };
}
