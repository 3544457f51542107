/**
 * lz4js as a Codec: the portable reference, ten times slower than the core's LZ4, with the same format.
 *
 * This file works around some properties of lz4js:
 * - A hash table that is not zero gives wrong matches. So the table is cleared before every block.
 * - Its test for incompressible input assumes that the source begins at index 0. So it always does.
 * - It does not check the length of its output buffer. So it gets our own buffer, which is large enough both ways.
 * - When it finds no match, it gives up. Then a block of literals is made here.
 * - Its decoder checks nothing. So the structure of a block is verified before it is decoded.
 */
import { MAKER, requireMaker } from '../errors.ts';
import type { Codec } from '../plain-types.ts';
import { SOURCE_BYTES_MAX, deliver, deliverDecoded, notABlock, roomOf, takeBlock, takeSource } from './blocks.ts';

interface Lz4js {
  compressBlock(src: Uint8Array, dst: Uint8Array, srcIndex: number, srcLength: number, hashTable: Uint32Array): number;
  decompressBlock(src: Uint8Array, dst: Uint8Array, srcIndex: number, srcLength: number, dstIndex: number): number;
  compressBound(bytes: number): number;
}

const HASH_WORDS = 65536;

class Lz4jsCodec implements Codec {
  readonly name = 'lz4js';
  readonly #table = new Uint32Array(HASH_WORDS);
  readonly #buffer: Uint8Array;

  constructor(
    maker: unknown,
    private readonly lz4: Lz4js,
  ) {
    requireMaker(maker, 'Lz4jsCodec', 'loadCodec');
    this.#buffer = new Uint8Array(lz4.compressBound(SOURCE_BYTES_MAX));
  }

  compress(src: Uint8Array, dst: Uint8Array): number {
    const bytes = takeSource(src, dst);
    this.#table.fill(0);
    const matched = this.lz4.compressBlock(bytes, this.#buffer, 0, bytes.length, this.#table);
    return deliver(this.#buffer.subarray(0, matched !== 0 ? matched : literals(bytes, this.#buffer)), dst);
  }

  decompress(src: Uint8Array, dst: Uint8Array): number {
    const block = takeBlock(src, dst);
    const length = decodedLength(block);
    if (!(length >= 0 && length <= roomOf(dst))) throw notABlock('LZ4', dst);
    this.lz4.decompressBlock(block, this.#buffer, 0, block.length, 0);
    return deliverDecoded(this.#buffer.subarray(0, length), dst);
  }
}

/** Writes a block of literals only. Returns its length. */
function literals(src: Uint8Array, block: Uint8Array): number {
  let at = 1;
  block[0] = Math.min(src.length, 15) << 4;
  if (src.length >= 15) {
    let rest = src.length - 15;
    for (; rest >= 255; rest -= 255) block[at++] = 255;
    block[at++] = rest;
  }
  block.set(src, at);
  return at + src.length;
}

/** Walks the sequences of a block. Returns the decoded length, or -1 when the block is malformed. */
function decodedLength(src: Uint8Array): number {
  let at = 0;
  let length = 0;
  const extra = (base: number): number => {
    if (base !== 15) return base;
    for (let byte = 255; byte === 255; base += byte) {
      if (at >= src.length) return NaN;
      byte = src[at++] as number;
    }
    return base;
  };
  while (at < src.length) {
    const token = src[at++] as number;
    const literals = extra(token >> 4);
    at += literals;
    length += literals;
    if (!(at <= src.length)) return -1;
    if (at === src.length) return length;
    const offset = (src[at] as number) | ((src[at + 1] as number) << 8);
    at += 2;
    if (at > src.length || offset === 0 || offset > length) return -1;
    length += extra(token & 15) + 4;
    if (Number.isNaN(length)) return -1;
  }
  return -1;
}

/** Imports lz4js, which allocates about 5 MiB. */
export async function loadLz4js(): Promise<Codec> {
  const imported = (await import('lz4js')) as unknown as Lz4js & { default?: Lz4js };
  return new Lz4jsCodec(MAKER, imported.default ?? imported);
}
