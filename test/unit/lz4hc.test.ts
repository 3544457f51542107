import js from 'lz4js';
import { beforeAll, describe, expect, it } from 'vitest';
import { Ram, loadCodec } from '../../bindings/index.ts';
import { KINDS, generate, parseBlock, randomSource, samples } from './lz4-blocks.ts';
import {
  BUILDS,
  FREE_FROM,
  LOW,
  PAGE,
  PLACEMENTS,
  TABLE,
  bound,
  codecUnderTest,
  compress,
  compressHc,
  decompress,
  equal,
  expectEndRules,
  expectExactFit,
} from './lz4-harness.ts';
import type { Codec } from './lz4-harness.ts';

const lz4js = js as {
  decompressBlock(src: Uint8Array, dst: Uint8Array, index: number, length: number, outIndex: number): number;
};

/** `pattern` repeated, with a byte changed here and there. */
function periodic(period: number, bytes: number, flaws: number, seed = period): Uint8Array {
  const random = randomSource(seed);
  const pattern = Uint8Array.from({ length: period }, () => random(256));
  const data = Uint8Array.from({ length: bytes }, (_, i) => pattern[i % period]!);
  for (let i = 0; i < flaws; ++i) data[random(bytes)] = random(256);
  return data;
}

const lengthBytes = (length: number): number => (length < 15 ? 0 : Math.floor((length - 15) / 255) + 1);

/** The size of the smallest block that the format allows for the data: all matches and runs of literals are tried. */
function smallest(data: Uint8Array): number {
  const n = data.length;
  const longest = new Array<number>(n).fill(0);
  for (let i = 1; i <= n - 12; ++i) {
    for (let from = 0; from < i; ++from) {
      let length = 0;
      while (i + length < n - 5 && data[from + length] === data[i + length]) ++length;
      longest[i] = Math.max(longest[i]!, length);
    }
  }
  const cost: number[] = [];
  for (let i = n; i >= 0; --i) {
    let least = 1 + lengthBytes(n - i) + n - i; // literals to the end
    for (let at = i; at <= n - 12; ++at) {
      for (let length = longest[at]!; length >= 4; --length) {
        least = Math.min(least, 3 + lengthBytes(at - i) + at - i + lengthBytes(length - 4) + cost[at + length]!);
      }
    }
    cost[i] = least;
  }
  return cost[0]!;
}

describe.each(BUILDS)('lz4hc, %s', (build) => {
  let codec: Codec;
  beforeAll(() => {
    codec = codecUnderTest(build);
  }, 60_000);

  function roundTrip(data: Uint8Array, name: string): Uint8Array {
    const block = compressHc(codec, data);
    if (block === undefined) throw new Error(`${name} did not fit`);
    expectEndRules(block, data.length);
    expect(equal(decompress(codec, block, data.length)!, data), name).toBe(true);
    return block;
  }

  it('compresses to blocks that any decoder reads', () => {
    for (const { name, data } of samples()) {
      const block = roundTrip(data, name);
      for (const placement of PLACEMENTS)
        expect(equal(compressHc(codec, data, undefined, placement)!, block), name).toBe(true);
      expect(decompress(codec, block, data.length - 1), name).toBeUndefined();
      const out = new Uint8Array(data.length);
      expect(lz4js.decompressBlock(block, out, 0, block.length, 0), name).toBe(data.length);
      expect(equal(out, data), name).toBe(true);
    }
  });

  it.each(KINDS)('round trips every short size: %s', (kind) => {
    const data = generate(kind, 600, 5);
    for (let bytes = 0; bytes <= 600; ++bytes) roundTrip(data.subarray(600 - bytes), `${kind} ${bytes}`);
  });

  it('round trips the sizes near the limits of its chain and its segments', () => {
    for (const kind of ['json', 'mixed', 'pointers']) {
      const data = generate(kind, 9000, 3);
      for (const around of [960, 1920, 1984, 3968, 4096, 5056, 8192]) {
        for (let bytes = around - 14; bytes <= around + 14; ++bytes)
          roundTrip(data.subarray(0, bytes), `${kind} ${bytes}`);
      }
    }
  });

  it('makes smaller blocks than lz4', () => {
    for (const kind of ['json', 'text', 'pointers', 'mixed']) {
      for (const bytes of [PAGE, 16384, 65536]) {
        const data = generate(kind, bytes, 1);
        expect(compressHc(codec, data)!.length, `${kind} ${bytes}`).toBeLessThan(compress(codec, data)!.length);
      }
    }
    expect(compressHc(codec, generate('random', PAGE, 1))!.length).toBe(
      compress(codec, generate('random', PAGE, 1))!.length,
    );
  });

  it('finds the smallest block of short data, within 1 %', () => {
    let ours = 0;
    let least = 0;
    for (let seed = 1; seed <= 60; ++seed) {
      const data =
        seed % 3 === 0 ? periodic(seed, 200 + seed, 12) : generate(KINDS[seed % KINDS.length]!, 100 + 4 * seed, seed);
      const block = compressHc(codec, data)!.length;
      const best = smallest(data);
      expect(block, `seed ${seed}`).toBeGreaterThanOrEqual(best);
      expect(block, `seed ${seed}`).toBeLessThanOrEqual(best + 8);
      ours += block;
      least += best;
    }
    expect(ours).toBeLessThanOrEqual(least * 1.01);
  });

  it('compresses 0 bytes to a one-byte block, and refuses 65,537 bytes', () => {
    expect(compressHc(codec, new Uint8Array(0))).toEqual(Uint8Array.of(0));
    expect(compressHc(codec, new Uint8Array(0), 0)).toBeUndefined();
    expect(codec.compressHc(LOW, 65537, LOW + 65537, 70000, TABLE)).toBe(0);
  });

  it('does not depend on the old content of its work area', () => {
    const random = randomSource(9);
    for (const { name, data } of samples().filter((_, i) => i % 3 === 0)) {
      const block = compressHc(codec, data)!;
      for (const dirt of [0, 255, random(256)])
        expect(equal(compressHc(codec, data, undefined, 'source last', dirt)!, block), name).toBe(true);
    }
  });

  it('fits to the byte, or gives 0 and writes nothing outside', () => {
    for (const kind of KINDS) {
      for (const bytes of [0, 1, 12, 13, 40, 300, 1000, PAGE]) {
        expectExactFit(codec, compressHc, generate(kind, bytes, 21), `${kind} ${bytes}`);
      }
    }
  });

  it('handles data that are hard for hash chains: periods, exact or with errors, runs of runs, in pages and in 64 KiB', () => {
    for (const bytes of [PAGE, 65536]) {
      for (let period = 1; period <= 20; ++period) {
        expect(roundTrip(periodic(period, bytes, 0), `period ${period}`).length).toBeLessThan(40 + bytes / 200);
        roundTrip(periodic(period, bytes, bytes / 50), `period ${period}, flawed`);
      }
      for (const step of [61, 64, 67, 130]) {
        // runs that begin and end where matches count as long enough
        roundTrip(
          Uint8Array.from({ length: bytes }, (_, i) => (i % step === 0 ? (i / step) & 255 : 0)),
          `runs of ${step}`,
        );
      }
      roundTrip(
        Uint8Array.from({ length: bytes }, (_, i) => i & (i >> 3) & 1),
        'two values',
      );
      roundTrip(
        Uint8Array.from({ length: bytes }, (_, i) => Math.floor(Math.sqrt(i)) & 1),
        'runs that grow',
      );
    }
  });

  it('finds the last match at any distance, up to 64 KiB', () => {
    const random = randomSource(3);
    const noise = Uint8Array.from({ length: 65536 }, () => random(256));
    for (const at of [40, 3000, 4090, 4200, 30000, 65536 - 60]) {
      const data = noise.slice();
      data.set(data.subarray(0, 40), at);
      const offsets = parseBlock(roundTrip(data, `match at ${at}`))!
        .filter(({ length }) => length >= 36)
        .map(({ offset }) => offset);
      if (at <= 3000) expect(offsets).toEqual([at]);
    }
  });

  it('compresses random mixtures into random capacities', () => {
    const random = randomSource(31337);
    for (let i = 0; i < 2000; ++i) {
      const kind = KINDS[random(KINDS.length)]!;
      const data = generate(kind, 1 + random(i % 20 === 0 ? 12_000 : 400), i + 1);
      const capacity = random(bound(data.length) + 1);
      const whole = roundTrip(data, `${kind} ${i}`);
      const block = compressHc(codec, data, capacity, PLACEMENTS[i & 1]);
      if (capacity < whole.length) expect(block).toBeUndefined();
      else expect(equal(block!, whole)).toBe(true);
    }
  });

  it('works on both sides of 2 GiB and up to the last byte of 4 GiB', () => {
    const big = codecUnderTest(build, 65536);
    const work = 0x90000000;
    for (const kind of KINDS) {
      for (const bytes of [13, 40, 600, PAGE, 65536]) {
        const data = generate(kind, bytes, 6);
        const block = compressHc(codec, data)!;
        for (const at of [0x80000000 - (bytes >> 1), 2 ** 32 - bytes]) {
          big.bytes.set(data, at);
          const size = big.compressHc(at, bytes, FREE_FROM, bound(bytes), work);
          expect(equal(big.bytes.subarray(FREE_FROM, FREE_FROM + size), block), `${kind} ${bytes}`).toBe(true);
        }
        big.bytes.set(data, FREE_FROM);
        const last = 2 ** 32 - block.length;
        expect(big.compressHc(FREE_FROM, bytes, last, block.length, work)).toBe(block.length);
        expect(equal(big.bytes.subarray(last), block)).toBe(true);
        expect(big.compressHc(FREE_FROM, bytes, last + 1, block.length - 1, work)).toBe(0);
      }
    }
  }, 60_000);
});

describe('lz4hc', () => {
  it('gives the same blocks with and without SIMD', () => {
    const [simd, scalar] = BUILDS.map((build) => codecUnderTest(build));
    for (const { name, data } of samples())
      expect(equal(compressHc(simd!, data)!, compressHc(scalar!, data)!), name).toBe(true);
  });

  it('is a codec of every RAM, and makes the smallest blocks for pages', async () => {
    for (const [bytes, most] of [
      ['256KiB', PAGE],
      ['1MiB', 65536],
    ] as const) {
      const ram = await Ram.create({ bytes });
      const [dense, fast, foreign] = [ram.codec('lz4hc'), ram.codec('lz4'), await loadCodec('lz4js')];
      expect([dense.name, fast.name]).toEqual(['lz4hc', 'lz4']);
      for (const length of [0, 1, 20, PAGE - 1, PAGE, most]) {
        const data = generate('json', length, 4);
        const block = new Uint8Array(bound(length));
        const written = dense.compress(data, block);
        expect(dense.compress(data, block.subarray(0, written - 1))).toBe(0);
        for (const codec of [dense, fast, foreign]) {
          const out = new Uint8Array(length);
          expect(codec.decompress(block.subarray(0, written), out)).toBe(length);
          expect(equal(out, data)).toBe(true);
        }
        if (length >= PAGE - 1) expect(written).toBeLessThan(fast.compress(data, new Uint8Array(bound(length))));
      }
      const incompressible = generate('random', most, 4);
      expect(dense.compress(incompressible, new Uint8Array(bound(most)))).toBeGreaterThan(most);
      expect(() => dense.compress(new Uint8Array(most + 1), new Uint8Array(most))).toThrowError(`${most}`);
      ram.close();
      expect(() => dense.compress(new Uint8Array(1), new Uint8Array(9))).toThrowError('ECLOSED');
    }
  });

  it('stores pages in one call, in fewer bytes, and any codec of the core can load them', async () => {
    const ram = await Ram.create({ bytes: '1MiB' });
    const [dense, fast] = [ram.codec('lz4hc'), ram.codec('lz4')];
    const pool = ram.zpool('zsmalloc');
    const page = generate('json', PAGE, 4);
    const block = new Uint8Array(PAGE);
    const entries = [pool.storePage(page, dense), pool.storePage(page, fast), pool.storePage(page)];
    const sizes = [dense, fast, fast].map((codec) => codec.compress(page, block));
    expect(entries.map((entry) => pool.size(entry as never))).toEqual(sizes);
    expect(sizes[0]).toBeLessThan(sizes[1]!);
    for (const entry of entries) {
      for (const codec of [dense, fast, undefined]) {
        const into = new Uint8Array(PAGE);
        pool.loadPage(entry, into, codec);
        expect(equal(into, page)).toBe(true);
      }
    }
    expect(pool.storePage(new Uint8Array(PAGE).fill(3), dense)).toBeLessThan(0);
    const raw = pool.storePage(generate('random', PAGE, 4), dense);
    expect(pool.size(raw as never)).toBe(PAGE);
    ram.check();
  });
});
