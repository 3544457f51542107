/**
 * The contract of a codec, as tests for every codec: the core's, those of loadCodec, and one that a contributor adds.
 * Portable.
 */
import { describe, expect, test } from 'vitest';
import type { Codec } from '../../bindings/index.ts';
import { expectSameBytes } from '../bytes.ts';
import { fault, noise } from '../harness.ts';
import { bytesOf, lying } from '../lying.ts';

export const BLOCK_MAX = 65536;
const GUARD = 0xa5;

/** A codec to test. */
export interface Row {
  title: string;
  codec: Codec;
  /** True when it refuses blocks with bytes after their end, and blocks that were cut off. */
  strict: boolean;
}

/** Words as in a text, so that blocks have matches and many different bytes. */
export function text(length: number): Uint8Array {
  const words = ['frame', 'page', 'zspage', 'handle', 'buddy', 'list', ' of ', ' in ', '\n', '0x', '17', '{"a":'];
  const choices = noise(length, 5);
  let all = '';
  for (let i = 0; all.length < length; i++) all += words[(choices[i] as number) % words.length];
  return new TextEncoder().encode(all).subarray(0, length);
}

export const SAMPLES: [string, Uint8Array][] = [
  ['nothing', new Uint8Array(0)],
  ['one byte', Uint8Array.of(7)],
  ['13 bytes', noise(13, 1)],
  ['a page of zeros', new Uint8Array(4096)],
  ['a page of text', text(4096)],
  ['a page of noise', noise(4096, 2)],
  ['half noise', noise(4096, 3).fill(1, 2000)],
  ['64 KiB of text', text(BLOCK_MAX)],
  ['64 KiB of noise', noise(BLOCK_MAX, 4)],
  ['64 KiB of zeros', new Uint8Array(BLOCK_MAX)],
];

export function blockOf(codec: Codec, bytes: Uint8Array): Uint8Array {
  const dst = new Uint8Array(bytes.length + 1024);
  const written = codec.compress(bytes, dst);
  expect(written).toBeGreaterThan(0);
  return dst.slice(0, written);
}

/** dst in the middle of a guarded buffer. */
function guarded(length: number): { dst: Uint8Array; intact: () => void } {
  const whole = new Uint8Array(length + 128).fill(GUARD);
  return {
    dst: whole.subarray(64, 64 + length),
    intact: () =>
      expectSameBytes(
        Uint8Array.of(...whole.subarray(0, 64), ...whole.subarray(64 + length)),
        new Uint8Array(128).fill(GUARD),
      ),
  };
}

/** The number of bytes decoded, or -1 for EIO; any other error fails. */
export function decode(codec: Codec, block: Uint8Array, room: number): number {
  const { dst, intact } = guarded(room);
  let written = -1;
  try {
    written = codec.decompress(block, dst);
  } catch (error) {
    expect(error).toMatchObject({ name: 'CompcacheError', code: 'EIO', op: 'codec.decompress' });
  }
  intact();
  expect(written).toBeLessThanOrEqual(room);
  return written;
}

export function testCodec({ title, codec, strict }: Row): void {
  describe(title, () => {
    test.each(SAMPLES)('%s can be decoded, into exactly enough room', (_, bytes) => {
      const block = blockOf(codec, bytes);
      const { dst, intact } = guarded(bytes.length);
      expect(codec.decompress(block, dst)).toBe(bytes.length);
      expectSameBytes(dst, bytes);
      intact();
    });

    test.each(SAMPLES)('%s: a block fits its own length, and not a byte less', (_, bytes) => {
      const block = blockOf(codec, bytes);
      const { dst, intact } = guarded(block.length);
      expect(codec.compress(bytes, dst)).toBe(block.length);
      expectSameBytes(dst, block);
      intact();
      const short = guarded(block.length - 1);
      expect(codec.compress(bytes, short.dst)).toBe(0);
      short.intact();
      expect(codec.compress(bytes, new Uint8Array(0))).toBe(0);
    });

    test.each(SAMPLES.filter(([, bytes]) => bytes.length > 0))('%s into one byte too few is EIO', (_, bytes) => {
      const block = blockOf(codec, bytes);
      expect(decode(codec, block, bytes.length - 1)).toBe(-1);
      expect(decode(codec, block, 0)).toBe(-1);
      expect(decode(codec, block, bytes.length + 100)).toBe(bytes.length);
    });

    test('a block that was cut off is EIO, or fewer bytes', () => {
      const bytes = text(3000);
      const block = blockOf(codec, bytes);
      expect(decode(codec, new Uint8Array(0), 4096)).toBe(-1);
      for (let length = 0; length < block.length; length++) {
        const written = decode(codec, block.subarray(0, length), 4096);
        expect(written).toBeLessThan(strict ? 0 : bytes.length);
      }
    });

    test('a block with bytes after its end: EIO where this can be seen, and nothing is written outside dst', () => {
      const block = blockOf(codec, text(3000));
      for (const extra of [1, 2, 100]) {
        const written = decode(codec, Uint8Array.of(...block, ...noise(extra, extra)), 4096);
        if (strict) expect(written).toBe(-1);
      }
      if (strict) expect(decode(codec, Uint8Array.of(...block, ...block), 8192)).toBe(-1);
    });

    test('changed blocks and noise: EIO, or bytes inside dst', () => {
      for (const [seed, bytes] of [text(2000), noise(300, 1).fill(0, 40), new Uint8Array(4096)].entries()) {
        const block = blockOf(codec, bytes);
        const draws = noise(4000, 100 + seed);
        for (let i = 0; i + 4 <= draws.length; i += 4) {
          const [low, high, value, other] = draws.subarray(i) as unknown as [number, number, number, number];
          const changed = block.slice();
          changed[(low | (high << 8)) % block.length] = value;
          if (other < 64) changed[other % block.length] = other;
          decode(codec, changed, 4096);
          decode(codec, changed, bytes.length - 1);
        }
        for (let i = 0; i < 300; i++) decode(codec, noise(1 + (i % 90), i), 4096);
      }
      // The codec still works.
      const page = text(4096);
      const into = new Uint8Array(4096);
      expect(codec.decompress(blockOf(codec, page), into)).toBe(4096);
      expectSameBytes(into, page);
    });

    test('decoding a changed block depends on the block alone', () => {
      const block = blockOf(codec, text(2000));
      const draws = noise(600, 9);
      for (let i = 0; i < draws.length; i += 2) {
        const changed = block.slice();
        changed[(draws[i] as number) % block.length] = draws[i + 1] as number;
        const results = [0x11, 0x22].map((filling) => {
          codec.decompress(blockOf(codec, new Uint8Array(4096).fill(filling)), new Uint8Array(4096));
          const dst = new Uint8Array(4096).fill(0xee);
          return decode(codec, changed, 4096) < 0 ? undefined : dst.subarray(0, codec.decompress(changed, dst));
        });
        expect(results[0]?.length).toBe(results[1]?.length);
        if (results[0] !== undefined) expectSameBytes(results[0], results[1] as Uint8Array);
      }
    });

    test('views of shared memory work; those of detached buffers are EINVAL', () => {
      const bytes = text(1000);
      if (typeof SharedArrayBuffer !== 'undefined') {
        const shared = (length: number): Uint8Array => new Uint8Array(new SharedArrayBuffer(length + 8), 8, length);
        const src = shared(1000);
        src.set(bytes);
        const block = shared(2000);
        const written = codec.compress(src, block);
        const into = shared(1000);
        expect(codec.decompress(block.subarray(0, written), into)).toBe(1000);
        expectSameBytes(into, bytes);
      }
      const block = blockOf(codec, bytes);
      const gone = new Uint8Array(1000);
      structuredClone(gone.buffer, { transfer: [gone.buffer] });
      for (const bad of [gone, null, undefined, 'x', [1], new ArrayBuffer(9), new Uint16Array(9)] as Uint8Array[]) {
        fault({ code: 'EINVAL', op: 'codec.compress', says: 'src' }, () => codec.compress(bad, new Uint8Array(9)));
        fault({ code: 'EINVAL', op: 'codec.compress', says: 'dst' }, () => codec.compress(bytes, bad));
        fault({ code: 'EINVAL', op: 'codec.decompress', says: 'src' }, () => codec.decompress(bad, new Uint8Array(9)));
        fault({ code: 'EINVAL', op: 'codec.decompress', says: 'dst' }, () => codec.decompress(block, bad));
      }
      fault({ code: 'EINVAL', op: 'codec.compress', says: 'src' }, () =>
        codec.compress(new Uint8Array(BLOCK_MAX + 1), new Uint8Array(BLOCK_MAX)),
      );
    });

    test("no property of a caller's array is used, and buffers that can shrink work", () => {
      const page = text(4096);
      const block = blockOf(codec, page);
      const src = lying(4096);
      Uint8Array.prototype.set.call(src, page);
      const dst = lying(5000, GUARD);
      expect(codec.compress(src, dst)).toBe(block.length);
      expectSameBytes(bytesOf(dst).subarray(0, block.length), block);
      expectSameBytes(bytesOf(dst).subarray(block.length), new Uint8Array(5000 - block.length).fill(GUARD));
      const lied = lying(block.length);
      Uint8Array.prototype.set.call(lied, block);
      const into = lying(4096);
      expect(codec.decompress(lied, into)).toBe(4096);
      expectSameBytes(bytesOf(into), page);
      expect(codec.compress(src, lying(block.length - 1))).toBe(0);
      fault({ code: 'EIO', op: 'codec.decompress' }, () => codec.decompress(lied, lying(4095)));
      const Resizable = ArrayBuffer as unknown as new (
        length: number,
        options: { maxByteLength: number },
      ) => ArrayBuffer;
      const resizable = (bytes: Uint8Array): Uint8Array => {
        const view = new Uint8Array(new Resizable(bytes.length, { maxByteLength: bytes.length }));
        view.set(bytes);
        return view;
      };
      const room = resizable(new Uint8Array(4096));
      expect(codec.decompress(resizable(block), room)).toBe(4096);
      expectSameBytes(room, page);
      expect(codec.compress(resizable(page), resizable(new Uint8Array(block.length)))).toBe(block.length);
    });

    test('nothing is written to the source', () => {
      const bytes = text(4096);
      const block = blockOf(codec, bytes);
      const copy = block.slice();
      codec.decompress(block, new Uint8Array(4096));
      expectSameBytes(block, copy);
      expectSameBytes(bytes, text(4096));
    });
  });
}
