/**
 * runs: a codec of byte runs. It is the smallest codec that keeps the contract of a codec, as a start for contributors.
 * A test adds it to a copy of the tree (contributor.test.ts).
 *
 * A block is RUNS and pairs of bytes: the length of a run less one, and the byte. Where this would be longer, a block
 * is PLAIN and the bytes themselves. loadCodec wants blocks that are at most 1/8 longer than their source.
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

/** The bytes of a block; undefined for a block that is malformed or has more bytes than `room`. */
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
