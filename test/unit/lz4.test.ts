import js from 'lz4js';
import { beforeAll, describe, expect, it } from 'vitest';
import { KINDS, generate, randomBlock, randomSource, referenceDecode, samples } from './lz4-blocks.ts';
import {
  BUILDS,
  EIO,
  FREE_FROM,
  LOW,
  PAGE,
  PLACEMENTS,
  TABLE,
  bound,
  codecUnderTest,
  compress,
  decompress,
  equal,
  expectEndRules,
  expectExactFit,
} from './lz4-harness.ts';
import type { Codec } from './lz4-harness.ts';

/** lz4js: its table must be zeroed for every block and its source index be 0 (elsewhere it misjudges). */
interface Lz4js {
  compressBlock(src: Uint8Array, dst: Uint8Array, index: number, length: number, table: Uint32Array): number;
  decompressBlock(src: Uint8Array, dst: Uint8Array, index: number, length: number, outIndex: number): number;
}
const lz4js = js as Lz4js;

describe.each(BUILDS)('lz4, %s', (build) => {
  let codec: Codec;
  beforeAll(() => {
    codec = codecUnderTest(build);
  }, 60_000);

  it('decodes what it compressed', () => {
    for (const { name, data } of samples()) {
      const block = compress(codec, data);
      if (block === undefined) throw new Error(`${name} did not fit`);
      expectEndRules(block, data.length);
      for (const placement of PLACEMENTS) {
        expect(equal(decompress(codec, block, data.length, placement)!, data), name).toBe(true);
        expect(equal(compress(codec, data, undefined, placement)!, block), name).toBe(true);
      }
      expect(decompress(codec, block, data.length - 1), name).toBeUndefined();
      expect(equal(decompress(codec, block, data.length + 100)!, data), name).toBe(true);
    }
  });

  it.each(KINDS)('round trips every short size: %s', (kind) => {
    const data = generate(kind, 600, 5);
    for (let bytes = 0; bytes <= 600; ++bytes) {
      const part = data.subarray(600 - bytes);
      const block = compress(codec, part)!;
      expectEndRules(block, bytes);
      expect(equal(decompress(codec, block, bytes)!, part), `${kind} ${bytes}`).toBe(true);
    }
  });

  it('finds repetitions', () => {
    const size = (kind: string): number => compress(codec, generate(kind, PAGE, 1))!.length;
    expect(size('zero')).toBeLessThan(32);
    expect(size('same')).toBeLessThan(32);
    expect(size('json')).toBeLessThan(PAGE / 2);
    expect(size('text')).toBeLessThan(PAGE * 0.7);
    expect(size('random')).toBeLessThanOrEqual(PAGE + 18);
  });

  it('compresses 0 bytes to a one-byte block, and refuses 65,537 bytes', () => {
    expect(compress(codec, new Uint8Array(0))).toEqual(Uint8Array.of(0));
    expect(compress(codec, new Uint8Array(0), 1)).toEqual(Uint8Array.of(0));
    expect(compress(codec, new Uint8Array(0), 0)).toBeUndefined();
    expect(decompress(codec, Uint8Array.of(0), 0)).toEqual(new Uint8Array(0));
    expect(decompress(codec, Uint8Array.of(0), 10)).toEqual(new Uint8Array(0));
    expect(codec.compress(LOW, 65537, LOW + 65537, 70000, TABLE)).toBe(0);
  });

  it('does not depend on the old content of its table', () => {
    const random = randomSource(9);
    for (const kind of KINDS) {
      for (const bytes of [40, 700, PAGE, 65536]) {
        const data = generate(kind, bytes, 3);
        const clean = compress(codec, data, undefined, undefined, 0)!;
        for (let i = 0; i < 4; ++i) {
          expect(equal(compress(codec, data, undefined, undefined, random(256))!, clean), kind).toBe(true);
        }
      }
    }
  });

  it('fits exactly or gives 0, at every capacity near the needed one', () => {
    for (const kind of KINDS) {
      for (const bytes of [1, 12, 13, 20, 60, 300, 1100, PAGE]) {
        expectExactFit(codec, compress, generate(kind, bytes, 21), `${kind} ${bytes}`);
      }
    }
  });

  it('decodes at every capacity from the size on, and at none below', () => {
    for (const kind of KINDS) {
      for (const bytes of [1, 13, 60, 300, 1100]) {
        const data = generate(kind, bytes, 22);
        const block = compress(codec, data)!;
        for (let capacity = Math.max(0, bytes - 80); capacity <= bytes + 80; ++capacity) {
          const got = decompress(codec, block, capacity);
          if (capacity < bytes) expect(got).toBeUndefined();
          else expect(equal(got!, data), `${kind} ${bytes} in ${capacity}`).toBe(true);
        }
      }
    }
  });

  it('decodes every overlap: offsets 1 to 40, ending at the end of the buffer or before', () => {
    for (let offset = 1; offset <= 40; ++offset) {
      for (let length = 4; length <= 90; ++length) {
        const literals = offset + 3;
        const block = [(Math.min(literals, 15) << 4) | Math.min(length - 4, 15)];
        if (literals >= 15) block.push(literals - 15);
        for (let i = 0; i < literals; ++i) block.push(i + 1);
        block.push(offset, 0);
        if (length - 4 >= 15) block.push(length - 4 - 15);
        block.push(0); // lz4js-like: nothing follows the match
        const bytes = Uint8Array.from(block);
        const expected = referenceDecode(bytes, 1000)!;
        for (const slack of [0, 1, 7, 8, 15, 16, 40, 100]) {
          expect(equal(decompress(codec, bytes, expected.length + slack)!, expected), `${offset} ${length}`).toBe(true);
        }
      }
    }
  });

  it('gives EIO for malformed blocks', () => {
    const cases: [string, number[]][] = [
      ['empty', []],
      ['literals cut off', [0x50, 1, 2, 3, 4]],
      ['literal length cut off', [0xf0]],
      ['literal length cut off after 255', [0xf0, 255]],
      ['offset cut off', [0x10, 1, 1]],
      ['ends behind a match', [0x10, 1, 1, 0]],
      ['match length cut off', [0x1f, 1, 1, 0]],
      ['match length cut off after 255', [0x1f, 1, 1, 0, 255, 255]],
      ['offset 0', [0x10, 1, 0, 0, 0x50, 1, 2, 3, 4, 5]],
      ['offset below the output', [0x10, 1, 2, 0, 0x50, 1, 2, 3, 4, 5]],
      ['match without output', [0x00, 1, 0, 0x50, 1, 2, 3, 4, 5]],
    ];
    for (const [name, block] of cases) {
      for (const placement of PLACEMENTS) {
        for (const capacity of [0, 5, 64, PAGE]) {
          expect(decompress(codec, Uint8Array.from(block), capacity, placement), name).toBeUndefined();
        }
      }
    }
    expect(codec.decompress(LOW, 0x1000001, LOW, 0)).toBe(EIO);
    expect(codec.decompress(LOW, 0xffffffff, LOW, 0)).toBe(EIO);
  });

  it('handles lengths that add up to almost 4 GiB', () => {
    const big = codecUnderTest(build, 270);
    const src = 128;
    const block = 1 << 24;
    big.bytes.fill(255, FREE_FROM, FREE_FROM + block);
    expect(big.decompress(FREE_FROM, block, src, 100)).toBe(EIO); // a literal run
    big.bytes.set([0x1f, 1, 1, 0], FREE_FROM); // a match
    expect(big.decompress(FREE_FROM, block, src, 100)).toBe(EIO);
    // 15 + 255 * 16,843,009 + 1 = 2^32 + 15: in 32 bits a run of 15, which is there.
    const count = 16_843_009;
    big.bytes.fill(255, FREE_FROM, FREE_FROM + 1 + count);
    big.bytes[FREE_FROM] = 0xf0;
    big.bytes[FREE_FROM + 1 + count] = 1;
    expect(big.decompress(FREE_FROM, 1 + count + 1 + 15, src, 100)).toBe(EIO);
  });

  it('refuses a match that begins one byte too early, anywhere in a block', () => {
    const filler = compress(codec, generate('json', 600, 2))!;
    for (let literals = 1; literals < 40; ++literals) {
      for (const length of [4, 18, 19, 60]) {
        for (const early of [0, 1, 2, 200]) {
          const block = [(Math.min(literals, 15) << 4) | Math.min(length - 4, 15)];
          if (literals >= 15) block.push(literals - 15);
          for (let i = 0; i < literals; ++i) block.push(i);
          block.push(literals + early, 0);
          if (length >= 19) block.push(length - 19);
          for (const tail of [[0], [...filler]]) {
            const whole = Uint8Array.from([...block, ...tail]);
            const got = decompress(codec, whole, 1000);
            if (early > 0) expect(got).toBeUndefined();
            else expect(equal(got!, referenceDecode(whole, 1000)!)).toBe(true);
          }
        }
      }
    }
  });

  it('exchanges blocks with lz4js, both ways', () => {
    for (const { name, data } of samples()) {
      const block = compress(codec, data)!;
      const out = new Uint8Array(data.length);
      expect(lz4js.decompressBlock(block, out, 0, block.length, 0), name).toBe(data.length);
      expect(equal(out, data), name).toBe(true);

      const theirs = new Uint8Array(bound(data.length) + 64);
      const size = lz4js.compressBlock(data, theirs, 0, data.length, new Uint32Array(65536));
      if (size === 0) continue; // nothing found
      for (const placement of PLACEMENTS) {
        expect(equal(decompress(codec, theirs.subarray(0, size), data.length, placement)!, data), name).toBe(true);
      }
    }
  });

  it('decodes any sequences as the reference does', () => {
    const random = randomSource(4242);
    for (let i = 0; i < 4000; ++i) {
      const block = randomBlock(random, 1 + random(i % 8 === 0 ? 5000 : 300));
      const expected = referenceDecode(block, Infinity)!;
      const capacity = expected.length + (random(2) === 0 ? 0 : random(70));
      const got = decompress(codec, block, capacity, PLACEMENTS[i & 1]);
      expect(got !== undefined && equal(got, expected), `case ${i}`).toBe(true);
    }
  });

  it('gives the same results as the reference on 20,000 damaged or random streams', () => {
    const random = randomSource(20260101);
    const blocks = KINDS.flatMap((kind) =>
      [30, 200, 900, PAGE].map((bytes) => compress(codec, generate(kind, bytes, bytes))!),
    );
    let accepted = 0;
    for (let i = 0; i < 20_000; ++i) {
      let block: Uint8Array;
      if (i % 10 === 0) {
        block = Uint8Array.from({ length: random(80) }, () => random(256));
      } else {
        block = i % 3 === 0 ? randomBlock(random, 1 + random(600)) : blocks[random(blocks.length)]!.slice();
        if (random(3) === 0) block = block.slice(0, random(block.length + 1));
        for (let n = random(5); n > 0 && block.length > 0; --n) {
          block[random(block.length)] = random(4) === 0 ? 255 : random(256);
        }
      }
      const whole = referenceDecode(block, 1 << 20);
      const capacity =
        whole === undefined || random(3) === 0 ? random(5000) : Math.max(0, whole.length + random(40) - 10);
      const expected = whole !== undefined && whole.length <= capacity ? whole : undefined;
      for (const placement of PLACEMENTS) {
        const got = decompress(codec, block, capacity, placement);
        const same = got === undefined || expected === undefined ? got === expected : equal(got, expected);
        if (!same) throw new Error(`case ${i}, ${placement}, capacity ${capacity}: [${block.join()}]`);
      }
      if (expected !== undefined) ++accepted;
    }
    expect(accepted).toBeGreaterThan(2000); // otherwise the streams would be too broken to test much
  }, 60_000);

  it('compresses random mixtures into random capacities', () => {
    const random = randomSource(31337);
    for (let i = 0; i < 3000; ++i) {
      const kind = KINDS[random(KINDS.length)]!;
      const data = generate(kind, 1 + random(i % 20 === 0 ? 6000 : 400), i + 1);
      const capacity = random(bound(data.length) + 1);
      const block = compress(codec, data, capacity, PLACEMENTS[i & 1]);
      const whole = compress(codec, data)!;
      if (capacity < whole.length) expect(block).toBeUndefined();
      else expect(equal(block!, whole)).toBe(true);
      expect(equal(decompress(codec, whole, data.length)!, data), `${kind} ${i}`).toBe(true);
    }
  });

  it('works on both sides of 2 GiB and up to the last byte of 4 GiB', () => {
    const big = codecUnderTest(build, 65536);
    const data = generate('mixed', PAGE, 8);
    const block = compress(codec, data)!;
    const table = 0x90000000;
    for (const at of [0x80000000 - 2000, 0x80000000, 0xc0000000, 2 ** 32 - PAGE]) {
      big.bytes.set(data, at);
      for (const dst of [FREE_FROM, 0x7fffff00]) {
        if (dst + 8192 > at && dst < at + PAGE) continue;
        const size = big.compress(at, PAGE, dst, 8192, table);
        expect(equal(big.bytes.subarray(dst, dst + size), block)).toBe(true);
      }
      big.bytes.set(block, FREE_FROM);
      big.bytes.fill(0, at, at + PAGE);
      expect(big.decompress(FREE_FROM, block.length, at, PAGE)).toBe(PAGE);
      expect(equal(big.bytes.subarray(at, at + PAGE), data)).toBe(true);
      big.bytes.fill(1, at, at + PAGE);
      expect(big.sameFilled(at, PAGE)).toBe(true);
    }
    const last = 2 ** 32 - block.length;
    big.bytes.set(data, FREE_FROM);
    expect(big.compress(FREE_FROM, PAGE, last, block.length, table)).toBe(block.length);
    expect(big.decompress(last, block.length, FREE_FROM + PAGE, PAGE)).toBe(PAGE);
    expect(equal(big.bytes.subarray(FREE_FROM + PAGE, FREE_FROM + 2 * PAGE), data)).toBe(true);
    for (const kind of KINDS) {
      // the search moves fast through incompressible data, and must not pass 2^32
      for (const bytes of [13, 40, 600, 65536]) {
        const source = generate(kind, bytes, 6);
        big.bytes.set(source, 2 ** 32 - bytes);
        const size = big.compress(2 ** 32 - bytes, bytes, FREE_FROM, bound(bytes), table);
        expect(equal(big.bytes.subarray(FREE_FROM, FREE_FROM + size), compress(codec, source)!)).toBe(true);
      }
    }
    for (const kind of KINDS) {
      // whole blocks and damaged ones, with each end at 2^32
      const random = randomSource(1);
      for (let i = 0; i < 300; ++i) {
        const source = generate(kind, 1 + random(400), i + 1);
        const good = compress(codec, source)!;
        if (i % 2 === 1) good[random(good.length)] = random(256);
        const expected = decompress(codec, good, source.length);
        const places: [number, number][] = [
          [2 ** 32 - good.length, FREE_FROM],
          [FREE_FROM, 2 ** 32 - source.length],
        ];
        for (const [from, to] of places) {
          big.bytes.set(good, from);
          const size = big.decompress(from, good.length, to, source.length);
          if (expected === undefined) expect(size).toBe(EIO);
          else expect(equal(big.bytes.subarray(to, to + size), expected)).toBe(true);
        }
      }
    }
  }, 60_000);

  it('recognises a same-filled page', () => {
    const end = codec.bytes.length;
    for (const bytes of [64, 128, PAGE, 65536]) {
      const at = end - bytes;
      for (const word of [0, 1, 0x01020304, 0xffffffff, 0x80000000]) {
        const words = new Uint32Array(bytes / 4).fill(word);
        codec.bytes.set(new Uint8Array(words.buffer), at);
        expect(codec.sameFilled(at, bytes)).toBe(true);
      }
    }
    codec.bytes.set(generate('same', PAGE, 0), LOW + 3);
    expect(codec.sameFilled(LOW + 3, PAGE)).toBe(true);
    expect(codec.sameFilled(end, 0)).toBe(true);
  });

  it('notices one different byte, wherever it is', () => {
    for (const fill of [0, 0x77]) {
      codec.bytes.fill(fill, LOW, LOW + PAGE);
      for (let i = 0; i < PAGE; ++i) {
        codec.bytes[LOW + i] = fill ^ (1 << (i & 7));
        expect(codec.sameFilled(LOW, PAGE)).toBe(false);
        codec.bytes[LOW + i] = fill;
      }
      expect(codec.sameFilled(LOW, PAGE)).toBe(true);
    }
    const two = new Uint32Array(PAGE / 4).map((_, i) => i & 1); // period 8, not 4
    codec.bytes.set(new Uint8Array(two.buffer), LOW);
    expect(codec.sameFilled(LOW, PAGE)).toBe(false);
  });
});

describe('lz4', () => {
  it('gives the same blocks with and without SIMD', () => {
    const [simd, scalar] = BUILDS.map((build) => codecUnderTest(build));
    for (const { name, data } of samples()) {
      expect(equal(compress(simd!, data)!, compress(scalar!, data)!), name).toBe(true);
    }
    for (let seed = 1; seed < 300; ++seed) {
      const data = generate(KINDS[seed % KINDS.length]!, seed * 13, seed);
      expect(equal(compress(simd!, data)!, compress(scalar!, data)!), `seed ${seed}`).toBe(true);
    }
  });
});
