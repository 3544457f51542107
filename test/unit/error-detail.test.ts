/** Error details as data, so that programs need not parse messages. */
import { describe, expect, test } from 'vitest';
import { CompcacheError, MemoryStore, Ram, Zswap } from '../../bindings/index.ts';
import { buildOptions, builds, errorOf } from '../harness.ts';

const build = builds[builds.length - 1] ?? 'release';

describe('CompcacheError.detail', () => {
  test('frames: needed and free', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    const pool = ram.zpool('zsmalloc');
    ram.failFrames(0);
    expect(errorOf(() => pool.malloc(3000))).toMatchObject({
      code: 'ENOMEM',
      detail: { needed: expect.any(Number) as number, free: ram.freeFrames },
    });
    ram.failFrames(null);
    const free = ram.freeFrames;
    const full = errorOf(() => {
      for (;;) pool.malloc(4096);
    });
    expect(full).toMatchObject({ code: 'ENOMEM', detail: { free: ram.freeFrames } });
    expect(ram.freeFrames).toBeLessThan(free);
    expect(full.detail.needed).toBeGreaterThan(full.detail.free as number);
    expect(full.message).toContain(`${full.detail.needed} needed, ${full.detail.free} free`);
  });

  test('arguments, sizes, handles, names, slots', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    const pool = ram.zpool('zbud', { name: 'a' });
    expect(errorOf(() => pool.malloc(5000)).detail).toEqual({ size: 5000, largest: 3968 });
    expect(errorOf(() => pool.malloc('1' as never)).detail).toEqual({ argument: 'size' });
    expect(errorOf(() => pool.free(77 as never)).detail).toEqual({ handle: 77 });
    expect(errorOf(() => pool.write(pool.malloc(10), 'x' as never)).detail).toEqual({ argument: 'bytes' });
    expect(errorOf(() => pool.write(pool.malloc(10), new Uint8Array(11))).detail).toEqual({ size: 10 });
    expect(errorOf(() => ram.zpool('zbud', { name: 'a' })).detail).toEqual({ name: 'a' });
    expect(errorOf(() => ram.zpool('zbud', { layout: '7' as never })).detail).toEqual({ argument: 'layout' });
    expect(errorOf(() => ram.zpool('zsmalloc', { chainSize: 17 })).detail).toEqual({
      argument: 'chainSize',
      least: 1,
      most: 16,
    });
    expect(errorOf(() => ram.zpool('zbud', { wrong: 1 } as never)).detail).toEqual({ argument: 'wrong' });
    expect(errorOf(() => ram.zpool('slab' as never)).detail).toEqual({ argument: 'allocator' });
    expect(errorOf(() => new MemoryStore({ slots: 3 }).write(4, new Uint8Array(1))).detail).toEqual({
      slot: 4,
      slots: 3,
    });
    expect(errorOf(() => Ram.createSync({ bytes: 'much' })).detail).toEqual({ argument: 'bytes' });
    await expect(Zswap.create({ maxPoolPercent: 101 })).rejects.toMatchObject({
      detail: { argument: 'maxPoolPercent', least: 0, most: 100 },
    });
  });

  test('is frozen, and empty where there is nothing to tell; the cause is not changed', () => {
    const cause = new Error('why');
    const error = new CompcacheError('EIO', 'x', 'y', { cause });
    expect([error.detail, error.cause, 'cause' in new CompcacheError('EIO', 'x', 'y')]).toEqual([{}, cause, false]);
    expect(Object.isFrozen(error.detail)).toBe(true);
  });
});
