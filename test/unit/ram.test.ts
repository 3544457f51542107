/** The simulated RAM: creation, frames, limits, fault injection, high addresses. */
import { describe, expect, test } from 'vitest';
import { CompcacheError, PAGE_SIZE, Ram, Ramzswap, type Handle } from '../../bindings/index.ts';
import { moduleFor } from '../../bindings/builds.ts';
import { expectSameBytes } from '../bytes.ts';
import { errorOf } from '../harness.ts';

const MIB = 2 ** 20;

async function rejection(promise: Promise<unknown>): Promise<CompcacheError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CompcacheError);
  return error as CompcacheError;
}

describe('creation', () => {
  test('takes bytes as numbers and sizes, and rounds up to 64 KiB', async () => {
    for (const [given, bytes] of [
      [undefined, 64 * MIB],
      [256 * 1024, 256 * 1024],
      ['256K', 256 * 1024],
      ['1MiB', MIB],
      ['1.5m', 1.5 * MIB],
      [300_000, 5 * 65536],
    ] as const) {
      const ram = await Ram.create(given === undefined ? {} : { bytes: given });
      expect(ram.stats().bytes).toBe(bytes);
      expect(ram.totalFrames).toBe(bytes / PAGE_SIZE);
      ram.check();
    }
  });

  test('is EINVAL for sizes out of range, and for values that are not sizes', async () => {
    for (const bytes of [0, 192 * 1024, -1, NaN, 1.5, '12Q', '', 'MiB', 2 ** 32 + 1, '5G', {} as unknown as number]) {
      expect(await rejection(Ram.create({ bytes }))).toMatchObject({ code: 'EINVAL', errno: -22, op: 'Ram.create' });
    }
    expect((await rejection(Ram.create({ bytes: '1MiB', limit: '2MiB' }))).code).toBe('EINVAL');
    expect((await rejection(Ram.create(null as never))).code).toBe('EINVAL');
    expect((await rejection(Ram.create({ build: 'debug' as never }))).code).toBe('EINVAL');
    expect((await rejection(Ram.create({ simd: 1 as never }))).code).toBe('EINVAL');
  });

  test('createSync makes the same RAM; the checked build must be given as a module there', async () => {
    const ram = Ram.createSync({ bytes: '1MiB' });
    expectSameBytes(ram.snapshot(), (await Ram.create({ bytes: '1MiB' })).snapshot());
    expect(errorOf(() => Ram.createSync({ build: 'checked' })).code).toBe('EINVAL');
    const module = await moduleFor('test', { build: 'checked' });
    Ram.createSync({ bytes: '256KiB', module }).check();
  });

  test('without SIMD create loads the scalar core, and createSync is ENODEV with this reason', async () => {
    const expected = (await Ram.create({ bytes: '1MiB' })).snapshot();
    expect(errorOf(() => Ram.createSync({ simd: false }))).toMatchObject({
      code: 'ENODEV',
      message: expect.stringContaining('Ram.create') as string,
    });
    expectSameBytes((await Ram.create({ bytes: '1MiB', simd: false })).snapshot(), expected);
    const { validate } = WebAssembly;
    WebAssembly.validate = () => false; // a host without SIMD
    try {
      expect(errorOf(() => Ram.createSync()).code).toBe('ENODEV');
      const ram = await Ram.create({ bytes: '1MiB' });
      expectSameBytes(ram.snapshot(), expected);
      expectSameBytes((await Ram.restore(expected)).snapshot(), expected);
      const device = await Ramzswap.create({ disksize: '64K' });
      device.writePage(
        3,
        new Uint8Array(PAGE_SIZE).map((_, at) => at),
      );
      device.check();
      await device.close();
      expectSameBytes(Ram.createSync({ bytes: '1MiB', module: await moduleFor('test', {}) }).snapshot(), expected);
    } finally {
      WebAssembly.validate = validate;
    }
  });

  test('a foreign module is EINVAL', async () => {
    const foreign = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
    expect((await rejection(Ram.create({ module: foreign }))).code).toBe('EINVAL');
    expect(errorOf(() => Ram.createSync({ module: {} as never })).code).toBe('EINVAL');
  });

  test('creation uses no memory per frame: the images of an empty 1 MiB and an empty 1 GiB RAM have the same size', async () => {
    const small = (await Ram.create({ bytes: '1MiB' })).snapshot();
    const large = (await Ram.create({ bytes: '1GiB' })).snapshot();
    expect(large.length).toBe(small.length);
  });

  test('close can be repeated, and every other call is ECLOSED after it', async () => {
    const ram = await Ram.create({ bytes: '256KiB' });
    const pool = ram.zpool('zbud');
    const handle = pool.malloc(100);
    const codec = ram.codec('lz4');
    ram.close();
    ram.close();
    const into = new Uint8Array(100);
    const calls = [
      () => ram.check(),
      () => ram.zpool('zbud'),
      () => ram.pools(),
      () => ram.openZpool('zbud#1'),
      () => ram.snapshot(),
      () => ram.snapshotChunks(),
      () => ram.stats(),
      () => ram.totalFrames,
      () => ram.freeFrames,
      () => ram.failFrames(null),
      () => ram.codec('lz4'),
      () => codec.compress(into, into),
      () => pool.malloc(1),
      () => pool.free(handle),
      () => pool.read(handle),
      () => pool.write(handle, into),
      () => pool.stats(),
      () => pool.totalPages,
      () => pool.walk(() => undefined),
      () => pool.destroy(),
      () => pool.shrink(1),
      () => pool.compact(),
    ];
    for (const call of calls) expect(errorOf(call)).toMatchObject({ code: 'ECLOSED', errno: -9 });
    pool.close();
  });

  test('[Symbol.dispose] closes', async () => {
    const dispose = Symbol.dispose ?? Symbol.for('Symbol.dispose');
    const end = (holder: object): void => (holder as Record<symbol, () => void>)[dispose]?.call(holder);
    const ram = await Ram.create({ bytes: '256KiB' });
    const pool = ram.zpool('zsmalloc');
    end(pool);
    expect(ram.pools()).toEqual([]);
    end(ram);
    expect(errorOf(() => ram.check()).code).toBe('ECLOSED');
  });
});

describe('frames', () => {
  test('the numbers of free, used, fixed and limited frames add up', async () => {
    const ram = await Ram.create({ bytes: '4MiB' });
    const before = ram.stats();
    expect(before.freeFrames + before.fixedFrames).toBe(before.totalFrames);
    const pool = ram.zpool('zbud');
    const handles: Handle[] = [];
    for (let i = 0; i < 100; i++) handles.push(pool.malloc(3000));
    const during = ram.stats();
    expect(during.usedFrames).toBe(101);
    expect(during.owners).toEqual({ [pool.name]: { frames: 100, metadataFrames: 1 } });
    expect(during.freeFrames).toBe(before.freeFrames - 101);
    handles.forEach((handle) => pool.free(handle));
    pool.destroy();
    expect(ram.stats()).toMatchObject({ usedFrames: 0, freeFrames: before.freeFrames, highWaterFrames: 101 });
    ram.check();
  });

  test('the limit is kept, and ENOMEM tells how many frames were needed and free', async () => {
    const ram = await Ram.create({ bytes: '4MiB', limit: 10 * PAGE_SIZE });
    const pool = ram.zpool('zbud');
    expect(ram.freeFrames).toBe(9);
    for (let i = 0; i < 9; i++) pool.malloc(3000);
    const error = errorOf(() => pool.malloc(3000));
    expect(error).toMatchObject({ code: 'ENOMEM', errno: -12, op: 'zpool.malloc' });
    expect(error.message).toContain('1 needed, 0 free');
    ram.check();
  });

  test('failFrames lets some requests succeed and then some fail', async () => {
    const ram = await Ram.create({ bytes: '4MiB' });
    const pool = ram.zpool('zbud');
    ram.failFrames(2, 2);
    pool.malloc(3000);
    pool.malloc(3000);
    expect(errorOf(() => pool.malloc(3000)).code).toBe('ENOMEM');
    expect(errorOf(() => pool.malloc(3000)).code).toBe('ENOMEM');
    pool.malloc(3000);
    ram.failFrames(0);
    for (let i = 0; i < 5; i++) expect(errorOf(() => pool.malloc(3000)).code).toBe('ENOMEM');
    ram.failFrames(null);
    pool.malloc(3000);
    expect(errorOf(() => ram.failFrames(-1)).code).toBe('EINVAL');
    expect(errorOf(() => ram.failFrames(1, 1.5)).code).toBe('EINVAL');
    ram.check();
  });

  test('every frame of a RAM can be handed out, and again after it came back', async () => {
    const ram = await Ram.create({ bytes: '2MiB' });
    const pool = ram.zpool('zbud');
    const free = ram.freeFrames;
    for (let round = 0; round < 2; round++) {
      const handles: Handle[] = [];
      for (let i = 0; i < free; i++) handles.push(pool.malloc(3968));
      expect(ram.freeFrames).toBe(0);
      expect(errorOf(() => pool.malloc(65)).code).toBe('ENOMEM');
      ram.check();
      handles.forEach((handle) => pool.free(handle));
      expect(ram.freeFrames).toBe(free);
      ram.check();
    }
  });

  test('a frame that is used again starts as zeros', async () => {
    const ram = await Ram.create({ bytes: '256KiB' });
    const pool = ram.zpool('zbud');
    const first = pool.malloc(3968);
    pool.write(first, new Uint8Array(3968).fill(7));
    pool.free(first);
    expect(pool.read(pool.malloc(3968))).toEqual(new Uint8Array(3968));
  });
});

describe('high addresses', () => {
  /** 4 GiB, with frames handed out from `first` on. */
  const top = (first: number): Promise<Ram> => Ram.create({ bytes: '4GiB', firstFrame: first });
  const content = (length: number, seed: number): Uint8Array =>
    Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 255);

  test.each([
    ['across 2 GiB', 2 ** 19 - 40, 200],
    ['the very last frames', 2 ** 20 - 301, 297],
  ])('%s', async (_, first, most) => {
    for (const allocator of ['zbud', 'zsmalloc'] as const) {
      const ram = await top(first);
      const pool = ram.zpool(allocator, { evict: (handle, owner) => owner.free(handle) });
      const live = new Map<Handle, Uint8Array>();
      try {
        for (let i = 0; ; i++) {
          const bytes = content(1 + ((i * 977) % 3900), i);
          const handle = pool.malloc(bytes.length);
          pool.write(handle, bytes);
          live.set(handle, bytes);
          if (pool.totalPages > most) break;
        }
      } catch (error) {
        expect((error as CompcacheError).code).toBe('ENOMEM');
      }
      ram.check();
      for (const [handle, bytes] of live) expectSameBytes(pool.read(handle), bytes);
      const [handle] = live.keys() as unknown as [Handle];
      expect(pool.map(handle, 'ro')).toEqual(live.get(handle));
      pool.unmap(handle);
      const copy = await Ram.restore(ram.snapshot());
      expectSameBytes(copy.snapshot(), ram.snapshot());
      expect(pool.shrink(3)).toBeGreaterThanOrEqual(3);
      [...live.keys()]
        .filter((_key, i) => i % 2 === 0)
        .forEach((key) => {
          try {
            pool.free(key);
          } catch {
            // evicted
          }
        });
      pool.compact();
      ram.check();
      pool.destroy();
      expect(ram.stats().usedFrames).toBe(0);
    }
  });

  test('the last frame of 4 GiB is never handed out, and no handle looks like an error', async () => {
    const ram = await top(2 ** 20 - 4);
    expect(ram.freeFrames).toBe(3);
    const pool = ram.zpool('zbud');
    for (let i = 0; i < 5000; i++) {
      const handles = [pool.malloc(3000), pool.malloc(3000)];
      for (const handle of handles) {
        expect(pool.locate(handle).frame).toBeLessThan(2 ** 20 - 1);
        pool.free(handle);
      }
    }
    expect((await rejection(top(2 ** 20 - 1))).code).toBe('EINVAL');
  });

  test('addresses of pages: the page path at the end of memory', async () => {
    const ram = await top(2 ** 20 - 60);
    const pool = ram.zpool('zsmalloc');
    const page = content(4096, 1).map((byte, i) => (i < 2000 ? byte : 5));
    const entries = Array.from({ length: 20 }, () => pool.storePage(page));
    const into = new Uint8Array(4096);
    for (const entry of entries) {
      pool.loadPage(entry, into);
      expectSameBytes(into, page);
    }
    ram.check();
  });
});
