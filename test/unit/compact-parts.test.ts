/**
 * Compaction in parts (compactFrom of assembly/alloc/index.ts), with other calls between the parts: through the exports
 * of a bare core.
 */
import { describe, expect, test } from 'vitest';
import { EINVAL, OUT_CURSOR } from '../../assembly/abi.ts';
import * as kinds from '../../assembly/alloc/index.ts';
import { optionWords } from '../../bindings/allocators.ts';
import { ALLOCATORS, Ram, type AllocatorName, type ZpoolOptions } from '../../bindings/index.ts';
import { buildOptions, builds, type Build } from '../harness.ts';
import { createDraw } from '../models/trace.ts';
import { rawOf, type Raw } from '../raw.ts';

const RO = 0;
const ERROR = 0xfffff000;

const POOLS: [string, AllocatorName, ZpoolOptions][] = [
  ...ALLOCATORS.map((name): [string, AllocatorName, ZpoolOptions] => [name, name, {}]),
  ['zsmalloc, four groups', 'zsmalloc', { fullnessGroups: 4 }],
  ['z3fold, by hand', 'z3fold', { deferred: 'manual' }],
  ['xcfmalloc, whole objects', 'xcfmalloc', { blocks: 1 }],
];

class Pool {
  readonly raw: Raw;
  readonly address: number;
  readonly live: number[] = [];
  readonly #sizes = new Map<number, number>();
  readonly #draw = createDraw(5);

  private constructor(raw: Raw, address: number) {
    this.raw = raw;
    this.address = address;
  }

  static async make(build: Build, allocator: AllocatorName, options: ZpoolOptions): Promise<Pool> {
    const ram = await Ram.create({ bytes: '8MiB', ...buildOptions(build) });
    const raw = await rawOf(ram.snapshot(), buildOptions(build));
    ram.close();
    raw.core.page.set([112]);
    const address =
      raw.core.exports.zpoolCreate(
        kinds[allocator],
        ...optionWords('test', allocator, options),
        0,
        raw.core.pageAddress,
        1,
      ) >>> 0;
    expect(address).toBeLessThan(ERROR);
    return new Pool(raw, address);
  }

  get exports() {
    return this.raw.core.exports;
  }

  malloc(): void {
    const size = 32 + (this.#draw() % 2500);
    const handle = this.exports.zpoolMalloc(this.address, size) >>> 0;
    if (handle >= ERROR) return;
    const at = this.exports.zpoolMap(this.address, handle | 0, 2) >>> 0;
    this.raw.core.bytes.fill((handle * 37) & 255, at, at + size);
    this.exports.zpoolUnmap(this.address, handle | 0);
    this.#sizes.set(handle, size);
    this.live.push(handle);
  }

  free(): void {
    const [handle] = this.live.splice(this.#draw() % this.live.length, 1) as [number];
    expect(this.exports.zpoolFree(this.address, handle | 0)).toBe(0);
  }

  /** Runs all parts of a compaction, and a callback between them. @returns frames given back */
  compact(most: number, between: () => void = () => undefined): number {
    let frames = 0;
    let parts = 0;
    let cursor = 0;
    do {
      const given = this.exports.zpoolCompactFrom(this.address, cursor, most) >>> 0;
      cursor = this.raw.core.out[OUT_CURSOR] as number;
      expect(given).toBeLessThan(ERROR);
      frames += given;
      between();
      expect(++parts).toBeLessThan(20_000);
    } while (cursor !== 0);
    return frames;
  }

  verify(): void {
    expect(this.raw.check()).toBe(0);
    for (const handle of this.live) {
      const at = this.exports.zpoolMap(this.address, handle | 0, RO) >>> 0;
      const bytes = this.raw.core.bytes.subarray(at, at + (this.#sizes.get(handle) as number));
      expect(bytes.every((byte) => byte === ((handle * 37) & 255))).toBe(true);
      this.exports.zpoolUnmap(this.address, handle | 0);
    }
  }

  static async halfEmpty(build: Build, allocator: AllocatorName, options: ZpoolOptions): Promise<Pool> {
    const pool = await Pool.make(build, allocator, options);
    for (let n = 0; n < 2000; n++) pool.malloc();
    while (pool.live.length > 1000) pool.free();
    return pool;
  }
}

describe.each(builds)('compaction in parts, %s', (build) => {
  test.each(POOLS)(
    '%s: frees about as many frames as a whole compaction, and all objects stay',
    async (_, allocator, options) => {
      const [whole, parts] = [
        await Pool.halfEmpty(build, allocator, options),
        await Pool.halfEmpty(build, allocator, options),
      ];
      const frames = whole.exports.zpoolCompact(whole.address, 0x7fffffff) >>> 0;
      const given = parts.compact(7);
      parts.verify();
      expect(given).toBeGreaterThanOrEqual(frames - Math.ceil(frames / 50));
      if (frames === 0) expect(given).toBe(0);
      parts.compact(7);
      expect(parts.exports.zpoolCompact(parts.address, 0x7fffffff) >>> 0).toBeLessThanOrEqual(Math.ceil(frames / 50));
      parts.verify();
    },
  );

  test.each(POOLS)(
    '%s: ends, whatever happens between the parts, also with mapped objects',
    async (_, allocator, options) => {
      const pool = await Pool.halfEmpty(build, allocator, options);
      const mapped = pool.live.filter((_handle, nth) => nth % 9 === 0);
      for (const handle of mapped) pool.exports.zpoolMap(pool.address, handle | 0, RO);
      pool.compact(2);
      for (const handle of mapped) pool.exports.zpoolUnmap(pool.address, handle | 0);
      pool.verify();
      let turn = 0;
      pool.compact(3, () => {
        for (let n = 0; n < 5; n++)
          if (++turn % 2 === 0) pool.malloc();
          else pool.free();
        if (turn % 200 === 0) expect(pool.raw.check()).toBe(0);
      });
      pool.verify();
    },
  );

  test.each(POOLS)(
    '%s: any number is accepted as a cursor; a part of less than two victims, or of no pool, is EINVAL',
    async (_, allocator, options) => {
      const pool = await Pool.halfEmpty(build, allocator, options);
      const { exports, address } = pool;
      for (const most of [0, 1]) expect(exports.zpoolCompactFrom(address, 0, most) >>> 0).toBe(EINVAL);
      for (const no of [0, 1, address + 8]) expect(exports.zpoolCompactFrom(no, 0, 8) >>> 0).toBe(EINVAL);
      for (const cursor of [1, 2, 255, 256, 2047, 2048, 2 ** 24, 3 * 2 ** 24 + 5, 4 * 2 ** 24, 2 ** 31, 2 ** 32 - 1]) {
        for (const most of [2, 64, 2 ** 31, 2 ** 32 - 1]) {
          expect(exports.zpoolCompactFrom(address, cursor | 0, most | 0) >>> 0).toBeLessThan(ERROR);
          expect(pool.raw.check()).toBe(0);
        }
      }
      pool.verify();
    },
  );
});
