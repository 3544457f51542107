/**
 * Generations: a stale handle is refused until its slot was used again 2^g times, whatever else its frame was used for.
 */
import { describe, expect, test } from 'vitest';
import { Ram, type Handle, type Zpool } from '../../bindings/index.ts';

const refused = (pool: Zpool, handle: Handle): void => {
  expect(() => pool.size(handle)).toThrowError(expect.objectContaining({ code: 'EINVAL' }) as Error);
};

/** Handles of `count` objects, each freed before the next is made. */
function cycle(pool: Zpool, count: number, size: number): Handle[] {
  return Array.from({ length: count }, () => {
    const handle = pool.malloc(size);
    pool.free(handle);
    return handle;
  });
}

describe('one slot used again and again', () => {
  test('zbud: no handle twice in 65,535 uses, and handles still change after that', async () => {
    const pool = (await Ram.create()).zpool('zbud');
    const handles = cycle(pool, 70_000, 3000);
    expect(new Set(handles.slice(0, 65_535)).size).toBe(65_535);
    for (let i = 1; i < handles.length; i++) expect(handles[i] === handles[i - 1]).toBe(false);
  });

  test('zbud at 4 GiB: no handle twice in 2,047 uses', async () => {
    const pool = (await Ram.create({ bytes: '4GiB' })).zpool('zbud');
    const handles = cycle(pool, 5000, 3000);
    for (let from = 0; from + 2047 <= 5000; from += 97)
      expect(new Set(handles.slice(from, from + 2047)).size).toBe(2047);
  });

  test.each([
    ['64MiB', 511],
    ['4GiB', 7],
  ])('zsmalloc at %s: no handle twice in %i frees of one record', async (bytes, uses) => {
    const pool = (await Ram.create({ bytes })).zpool('zsmalloc');
    for (let i = 0; i < 511; i++) pool.malloc(200); // one free record is left in the first handle frame
    const handles = cycle(pool, 4 * uses, 200);
    for (let from = 0; from + uses <= handles.length; from++)
      expect(new Set(handles.slice(from, from + uses)).size).toBe(uses);
  });

  test('a frame that another allocator used in between keeps its generation', async () => {
    const ram = await Ram.create();
    const zbud = ram.zpool('zbud');
    const before = cycle(zbud, 1000, 3000);
    const other = ram.zpool('zsmalloc');
    cycle(other, 3, 4096);
    other.destroy();
    const seen = new Set(before);
    for (const handle of cycle(zbud, 1000, 3000)) expect(seen.has(handle)).toBe(false);
  });

  test('destroying a pool makes the handles of its live objects stale for the next pool in the same frames', async () => {
    for (const allocator of ['zbud', 'z3fold', 'zsmalloc', 'xvmalloc'] as const) {
      const ram = await Ram.create({ bytes: '1MiB' });
      const old: Handle[] = [];
      for (let round = 0; round < 20; round++) {
        const pool = ram.zpool(allocator, { name: 'same' });
        old.forEach((handle) => refused(pool, handle));
        const live = Array.from({ length: 5 }, (_, i) => pool.malloc(500 + i));
        old.forEach((handle) => refused(pool, handle));
        old.push(...live);
        pool.destroy();
      }
    }
  });
});
