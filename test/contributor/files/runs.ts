/**
 * runs: a codec of byte runs, the smallest that keeps the contract of a codec, as a beginning for others. A test adds it to a copy of
 * the tree (contributor.test.ts).
 *
 * What it is. A block is RUNS and a row of pairs, each how often a byte stands there, less one, and the byte; or, where that would be
 * longer, PLAIN and the bytes as they are. A block of at most 1/8 more than its source is what loadCodec asks of a codec.
 */
import type { Codec } from '../plain-types.ts';
import { deliver, deliverDecoded, notABlock, roomOf, takeBlock, takeSource } from './blocks.ts';

const PLAIN = 0;
const RUNS = 1;
const RUN_MAX = 256;

export function runs(): Codec {
  return {
    name: 'runs',
    compress: (src, dst) => deliver(encode(takeSource(src, dst)), dst),
    decompress(src, dst) {
      const bytes = decode(takeBlock(src, dst), roomOf(dst));
      if (bytes === undefined) throw notABlock('runs', dst);
      return deliverDecoded(bytes, dst);
    },
  };
}

function encode(bytes: Uint8Array): Uint8Array {
  const block = new Uint8Array(1 + bytes.length);
  let length = 1;
  for (let at = 0; at < bytes.length;) {
    let end = at + 1;
    while (end < bytes.length && end - at < RUN_MAX && bytes[end] === bytes[at]) end += 1;
    if (length + 2 > block.length) {
      block[0] = PLAIN;
      block.set(bytes, 1);
      return block;
    }
    block[length++] = end - at - 1;
    block[length++] = bytes[at] as number;
    at = end;
  }
  block[0] = RUNS;
  return block.subarray(0, length);
}

/** The bytes of a block, undefined for one that is malformed or has more than `room`. */
function decode(block: Uint8Array, room: number): Uint8Array | undefined {
  if (block[0] === PLAIN) return block.length - 1 <= room ? block.subarray(1) : undefined;
  if (block[0] !== RUNS || block.length % 2 !== 1) return undefined;
  const bytes = new Uint8Array(room);
  let length = 0;
  for (let at = 1; at < block.length; at += 2) {
    const run = (block[at] as number) + 1;
    if (run > room - length) return undefined;
    bytes.fill(block[at + 1] as number, length, length + run);
    length += run;
  }
  return bytes.subarray(0, length);
}
