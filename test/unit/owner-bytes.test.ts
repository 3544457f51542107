/**
 * Owner bytes: 16 bytes beside each object, for the owner of the pool (assembly/alloc/index.ts). The bindings make no
 * such pools, so these tests use the exports of a bare core.
 */
import { describe, expect, test } from 'vitest';
import { EINVAL, NEVER, PAGE_SIZE } from '../../assembly/abi.ts';
import * as kinds from '../../assembly/alloc/index.ts';
import { optionWords } from '../../bindings/allocators.ts';
import { ALLOCATORS, Ram, type AllocatorName } from '../../bindings/index.ts';
import { buildOptions, builds, type Build } from '../harness.ts';
import { createDraw } from '../models/trace.ts';
import { rawOf, type Raw } from '../raw.ts';

const OWNER_BYTES = 16;
const HAVE = ['zsmalloc', 'z3fold'] as const;
const HAVE_NOT = ['zbud', 'xvmalloc', 'xcfmalloc'] as const;

interface Pool {
  readonly raw: Raw;
  readonly address: number;
}

/** A pool with owner bytes in a bare core. The number of its address is an error where there is none. */
async function poolOf(build: Build, allocator: AllocatorName, ownerBytes = OWNER_BYTES): Promise<Pool> {
  const ram = await Ram.create({ bytes: '4MiB', ...buildOptions(build) });
  const raw = await rawOf(ram.snapshot(), buildOptions(build));
  ram.close();
  const { core } = raw;
  core.page.set([111, 119, 110]);
  return {
    raw,
    address:
      core.exports.zpoolCreate(
        kinds[allocator],
        ...optionWords('test', allocator, {}),
        ownerBytes,
        core.pageAddress,
        3,
      ) >>> 0,
  };
}

const ownerOf = ({ raw, address }: Pool, handle: number): number =>
  raw.core.exports.zpoolOwner(address, handle | 0) >>> 0;
const words = ({ raw }: Pool, at: number): number[] => [0, 4, 8, 12].map((offset) => raw.word(at + offset));

function mark({ raw }: Pool, at: number, mark: number): void {
  for (const [i, offset] of [0, 4, 8, 12].entries()) raw.setWord(at + offset, (mark * 4 + i) >>> 0);
}

const marked = (mark: number): number[] => [0, 1, 2, 3].map((i) => (mark * 4 + i) >>> 0);

describe.each(builds)('owner bytes, %s', (build) => {
  test.each(HAVE)(
    "%s: zeros after malloc, then the owner's bytes, wherever the object moves; they are freed with it",
    async (allocator) => {
      const pool = await poolOf(build, allocator);
      const { raw, address } = pool;
      const { exports } = raw.core;
      const used = exports.ramFree() >>> 0;
      const draw = createDraw(3);
      const live = new Map<number, { at: number; mark: number }>();
      for (let step = 0; step < 6000; step++) {
        if (draw() % 5 < 3 || live.size === 0) {
          const handle = exports.zpoolMalloc(address, 1 + (draw() % 3000)) >>> 0;
          if (handle >= 0xfffff000) continue;
          const at = ownerOf(pool, handle);
          expect(words(pool, at)).toEqual([0, 0, 0, 0]);
          mark(pool, at, step);
          live.set(handle, { at, mark: step });
        } else {
          const handle = [...live.keys()][draw() % live.size] as number;
          expect(exports.zpoolFree(address, handle | 0)).toBe(0);
          live.delete(handle);
          expect(ownerOf(pool, handle)).toBe(0);
        }
        if (step % 500 === 0) {
          exports.zpoolCompact(address, 0x7fffffff);
          expect(raw.check()).toBe(0);
          for (const [handle, { at, mark }] of live)
            expect([ownerOf(pool, handle), ...words(pool, at)]).toEqual([at, ...marked(mark)]);
        }
      }
      expect(live.size).toBeGreaterThan(170); // more records than fit in one frame
      for (const handle of live.keys()) exports.zpoolFree(address, handle | 0);
      exports.zpoolRunDeferred(address, 1);
      expect([exports.ramFree() >>> 0, raw.check()]).toEqual([used, 0]);
    },
  );

  test.each(HAVE)('%s: owner bytes that look like a record are not taken for one', async (allocator) => {
    const pool = await poolOf(build, allocator);
    const { raw, address } = pool;
    const { exports } = raw.core;
    const handles = Array.from({ length: 100 }, () => exports.zpoolMalloc(address, 700) >>> 0);
    const records = handles.map((handle) => ownerOf(pool, handle) - 8);
    // Copies each record twice into the owner bytes of another.
    for (const [i, at] of records.entries()) {
      const other = records[(i + 1) % records.length] as number;
      for (const offset of [8, 16]) {
        raw.setWord(at + offset, raw.word(other));
        raw.setWord(at + offset + 4, raw.word(other + 4));
      }
    }
    const bits = 32 - Math.clz32(raw.frames - 1);
    const frame = ((records[0] as number) / PAGE_SIZE) >>> 0;
    let known = 0;
    for (let generation = 0; generation < 4; generation++) {
      for (let index = 0; index < PAGE_SIZE / 8; index++) {
        const handle = ((generation * 512 + index) * 2 ** bits + frame) >>> 0;
        const size = exports.zpoolSize(address, handle | 0) >>> 0;
        expect(size === EINVAL, `${handle}`).toBe(!handles.includes(handle));
        known += Number(size !== EINVAL);
      }
    }
    expect([known, raw.check()]).toEqual([handles.length, 0]);
  });

  test('other allocators have no owner bytes, and no pool has another number of them: EINVAL, nothing changed', async () => {
    for (const allocator of [...HAVE, ...HAVE_NOT]) {
      for (const bytes of (HAVE as readonly string[]).includes(allocator)
        ? [1, 8, 15, 17, 32, NEVER]
        : [OWNER_BYTES, 1, NEVER]) {
        const { raw, address } = await poolOf(build, allocator, bytes);
        const { exports } = raw.core;
        expect([allocator, bytes, address, exports.zpoolNext(0), raw.check()]).toEqual([
          allocator,
          bytes,
          EINVAL,
          0,
          0,
        ]);
      }
    }
  });

  test('a pool without owner bytes gives 0', async () => {
    for (const allocator of ALLOCATORS) {
      const pool = await poolOf(build, allocator, 0);
      const handle = pool.raw.core.exports.zpoolMalloc(pool.address, 100) >>> 0;
      expect([allocator, ownerOf(pool, handle), ownerOf(pool, 0), ownerOf({ ...pool, address: 0 }, handle)]).toEqual([
        allocator,
        0,
        0,
        0,
      ]);
    }
  });
});
