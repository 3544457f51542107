/**
 * Raw deflate in JavaScript by fflate, for hosts without zlib. fflate reads zlib's blocks, and zlib reads fflate's.
 *
 * This file works around some properties of fflate's decoder:
 * - It writes beyond the end of its output buffer without an error. So the buffer has one byte more than dst, and a
 *   block that fills it is refused.
 * - It accepts empty input as a whole block. So empty input is refused here.
 * - It accepts a distance of zero. So the buffer is cleared first, or bytes of an earlier block could show.
 *
 * The decoder checks less than zlib does: a changed block may decode to other bytes, and bytes behind the end of a
 * block are ignored.
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
