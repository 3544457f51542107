/** Zswap, one feature at a time. swap-random.test.ts tests all of them together. */
import { describe, expect, test, vi } from 'vitest';
import { FRONT_KINDS_FROM, IDENTITY_KIND } from '../../assembly/abi.ts';
import {
  ALLOCATORS,
  MemoryStore,
  PAGE_SIZE,
  Ram,
  SLOT_BYTES,
  SwapSpace,
  Zswap,
  loadCodec,
  type Codec,
  type ZswapOptions,
} from '../../bindings/index.ts';
import { zpools } from '../../bindings/zpool.ts';
import { builds, buildOptions, expectBytes } from '../harness.ts';
import { crc32c, notices, rawOf } from '../raw.ts';
import { RecordingStore, codeOf, filledPage, pageOf, rawPage } from './pages.ts';

const VICTIMS = ['entry', 'page'] as const;
const build = builds[builds.length - 1] ?? 'release';

function create(options: ZswapOptions = {}): Promise<Zswap> {
  const own = options.ram === undefined ? { bytes: '4MiB', ...buildOptions(build) } : {};
  return Zswap.create({ ...own, ...options });
}

function loaded(zswap: Zswap, type: number, offset: number): Uint8Array | undefined {
  const into = new Uint8Array(PAGE_SIZE);
  return zswap.load(type, offset, into) ? into : undefined;
}

function expectPage(zswap: Zswap, offset: number, page: Uint8Array, type = 0): void {
  expectBytes(loaded(zswap, type, offset) as Uint8Array, page, `page ${type}:${offset}`);
}

/** Stores compressible pages 0 … until one is refused or went to the store. @returns how many were accepted */
function fill(zswap: Zswap, most = 20_000): number {
  for (let offset = 0; offset < most; offset++) {
    if (!zswap.store(0, offset, pageOf(offset)) || zswap.stats().writtenBackPages !== 0) return offset;
  }
  return most;
}

/** Objects of all its pools. */
function objects(zswap: Zswap): number {
  return zswap.ram.pools().reduce((sum, pool) => sum + pool.stats().objects, 0);
}

describe.each(ALLOCATORS)('zswap on %s', (allocator) => {
  describe.each(VICTIMS)('victims by %s', (victims) => {
    test('pages of every kind can be loaded, from the pool and from the store', async () => {
      for (const codec of ['lz4', 'lz4hc', 'lz4js', 'deflate'] as const) {
        const store = new RecordingStore();
        const zswap = await create({ allocator, victims, codec, store });
        const pages = new Map<string, Uint8Array>();
        for (let n = 0; n < 60; n++) {
          const page = n % 5 === 0 ? filledPage(n) : n % 7 === 0 ? rawPage(n) : pageOf(n);
          const [type, offset] = [n % 3, n * 1_000_003];
          expect(zswap.store(type, offset, page)).toBe(true);
          pages.set(`${type}:${offset}`, page);
        }
        zswap.check();
        const all = (): void =>
          pages.forEach((page, key) => expectPage(zswap, Number(key.split(':')[1]), page, Number(key.split(':')[0])));
        all();
        expect(zswap.stats()).toMatchObject({ storedPages: 60, sameFilledPages: 12, backingPages: 0 });
        const kept = zswap.stats().storedIncompressiblePages;
        expect(kept).toBeGreaterThanOrEqual(7);
        expect(objects(zswap)).toBe(48);
        const moved = zswap.writeback(10);
        expect(moved).toBeGreaterThanOrEqual(10);
        expect(zswap.stats()).toMatchObject({ writtenBackPages: moved, storedPages: 60 - moved, backingPages: moved });
        expect(store.held.size).toBe(moved);
        zswap.check();
        all();
        zswap.writeback(1000);
        expect(zswap.stats()).toMatchObject({ storedPages: 12, backingPages: 48, storedIncompressiblePages: 0 });
        expect(objects(zswap)).toBe(0);
        zswap.check();
        all();
        for (const key of pages.keys()) {
          const [type, offset] = key.split(':').map(Number) as [number, number];
          expect(zswap.invalidatePage(type, offset)).toBe(true);
          expect(zswap.invalidatePage(type, offset)).toBe(false);
          expect(loaded(zswap, type, offset)).toBeUndefined();
        }
        zswap.check();
        expect(zswap.stats()).toMatchObject({ storedPages: 0, backingPages: 0, backingSlots: 0 });
        expect(store.held.size).toBe(0);
        await zswap.close();
      }
    });

    test('without a store, pages are refused from the limit down to the accept threshold', async () => {
      const zswap = await create({ allocator, victims, maxPoolPercent: 50, acceptThresholdPercent: 80 });
      const count = fill(zswap);
      const limit = Math.floor(zswap.ram.totalFrames / 2);
      expect(zswap.stats()).toMatchObject({ poolLimitHit: 1, limitFrames: limit });
      expect(zswap.stats().frames).toBeGreaterThanOrEqual(limit);
      expect(loaded(zswap, 0, count)).toBeUndefined();
      let freed = 0;
      while (zswap.stats().frames > limit * 0.8) {
        expect(zswap.store(1, 0, filledPage(1))).toBe(false);
        zswap.invalidatePage(0, freed++);
      }
      expect(zswap.store(1, 0, pageOf(1))).toBe(true);
      expect(zswap.stats().frames).toBeGreaterThan(limit * 0.5);
      zswap.check();
      for (let offset = freed; offset < count; offset++) expectPage(zswap, offset, pageOf(offset));
      await zswap.close();
    });

    test('with a store, each store call writes back a little, and the limit is not reached', async () => {
      const store = new RecordingStore();
      const zswap = await create({
        allocator,
        victims,
        store,
        bytes: '16MiB',
        maxPoolPercent: 50,
        acceptThresholdPercent: 80,
        zpool: allocator === 'zsmalloc' ? { chainSize: 4 } : {},
      });
      const begun = fill(zswap);
      const { limitFrames } = zswap.stats();
      expect(zswap.stats().frames).toBeGreaterThan(limitFrames * 0.9 - 8);
      const count = 2 * begun;
      let most = 0;
      for (let offset = begun + 1; offset < count; offset++) {
        const before = store.held.size;
        expect(zswap.store(0, offset, pageOf(offset))).toBe(true);
        most = Math.max(most, store.held.size - before);
      }
      expect(most).toBeLessThanOrEqual(16);
      const { frames, writtenBackPages, poolLimitHit, rejectReclaimFail } = zswap.stats();
      expect([poolLimitHit, rejectReclaimFail]).toEqual([0, 0]);
      expect(frames).toBeGreaterThan(limitFrames * 0.8);
      expect(writtenBackPages).toBe(store.held.size);
      zswap.check();
      for (let offset = 0; offset < begun; offset++) expectPage(zswap, offset, pageOf(offset));
      for (let offset = begun + 1; offset < count; offset++) expectPage(zswap, offset, pageOf(offset));
      await zswap.close();
    });

    test('with a store, a pool at the limit shrinks gradually to the accept threshold, also after a restore', async () => {
      const store = new RecordingStore();
      const zswap = await create({
        allocator,
        victims,
        store,
        bytes: '16MiB',
        maxPoolPercent: 50,
        acceptThresholdPercent: 80,
      });
      let offset = fill(zswap) + 1;
      zswap.maxPoolPercent = 48;
      zswap.maxPoolPercent = 44;
      expect(zswap.store(0, offset, pageOf(offset++))).toBe(true);
      const { poolLimitHit, limitFrames, frames } = zswap.stats();
      expect(poolLimitHit).toBeGreaterThan(0);
      expect(frames).toBeGreaterThan(limitFrames * 0.9);
      (await Ram.restore(zswap.ram.snapshot(), buildOptions(build))).check();
      for (let n = 0; n < 4000 && zswap.stats().frames > limitFrames * 0.8; n++)
        expect(zswap.store(0, offset, pageOf(offset++))).toBe(true);
      expect(zswap.stats().frames).toBeLessThanOrEqual(limitFrames * 0.8);
      expect(zswap.stats().poolLimitHit).toBe(poolLimitHit);
      zswap.check();
      await zswap.close();
    });

    test('a full RAM acts as a limit', async () => {
      const store = new RecordingStore();
      const zswap = await create({ allocator, victims, store, bytes: '1MiB' });
      for (let offset = 0; offset < 1500; offset++) {
        expect(zswap.store(0, offset, pageOf(offset)), `page ${offset}`).toBe(true);
        if (offset % 100 === 0) zswap.check();
      }
      for (let offset = 0; offset < 1500; offset++) expectPage(zswap, offset, pageOf(offset));
      await zswap.close();
    });

    test('a frame request that fails at any step refuses the page, and the older page is dropped', async () => {
      for (const page of [pageOf(7), rawPage(7), filledPage(7)]) {
        const zswap = await create({ allocator, victims, incompressible: 'keep' });
        for (let after = 0; ; after++) {
          zswap.store(2, 9, pageOf(1));
          zswap.invalidateArea(0);
          zswap.invalidatePage(2, 9);
          zswap.ram.failFrames(null);
          zswap.ram.failFrames(after);
          const accepted = zswap.store(2, 9, page);
          zswap.ram.failFrames(null);
          zswap.check();
          const { rejectAllocFail, rejectKmemcacheFail } = zswap.stats();
          expect(loaded(zswap, 2, 9) !== undefined).toBe(accepted);
          if (accepted) {
            expectPage(zswap, 9, page, 2);
            break;
          }
          expect(rejectAllocFail + rejectKmemcacheFail).toBe(after + 1);
          expect(objects(zswap)).toBe(0);
        }
        await zswap.close();
      }
    });

    test('writeback takes no frame', async () => {
      const store = new RecordingStore();
      const zswap = await create({ allocator, victims, store });
      for (let offset = 0; offset < 100; offset++) zswap.store(0, offset, pageOf(offset));
      zswap.ram.failFrames(0);
      expect(zswap.writeback(100)).toBe(100);
      zswap.ram.failFrames(null);
      zswap.check();
      for (let offset = 0; offset < 100; offset++) expectPage(zswap, offset, pageOf(offset));
      await zswap.close();
    });

    test('a store that fails changes nothing', async () => {
      const store = new RecordingStore();
      const zswap = await create({ allocator, victims, store });
      for (let offset = 0; offset < 20; offset++) zswap.store(0, offset, pageOf(offset));
      store.failure = new Error('no medium');
      expect(codeOf(() => zswap.writeback(3))).toBe('EIO');
      expect(zswap.stats()).toMatchObject({ writebackFail: 1, storedPages: 20, writtenBackPages: 0, backingSlots: 0 });
      store.failure = Object.assign(new Error('full'), { code: 'ENOSPC' });
      expect(codeOf(() => zswap.writeback(3))).toBe('ENOSPC');
      expect(codeOf(() => zswap.shrink(3))).toBe('ENOSPC');
      zswap.check();
      store.failure = undefined;
      expect(zswap.writeback(20)).toBe(20);
      for (let offset = 0; offset < 20; offset++) expectPage(zswap, offset, pageOf(offset));
      await zswap.close();
    });

    test('shrink gives back the wanted number of frames', async () => {
      const zswap = await create({ allocator, victims, store: new RecordingStore() });
      for (let offset = 0; offset < 600; offset++) zswap.store(0, offset, pageOf(offset));
      const before = zswap.stats().frames;
      const freed = zswap.shrink(20);
      expect(freed).toBeGreaterThanOrEqual(20);
      expect(zswap.stats().frames).toBe(before - freed);
      expect(zswap.shrink(0)).toBe(0);
      zswap.check();
      await zswap.close();
    });
  });
});

describe('zswap', () => {
  test('a page that is refused is not stored, and the older page is dropped', async () => {
    const zswap = await create();
    const refusals: [string, () => void, Uint8Array][] = [
      ['disabled', () => (zswap.enabled = false), pageOf(2)],
      ['incompressible', () => undefined, rawPage(2)],
      ['limit', () => (zswap.maxPoolPercent = 0), pageOf(2)],
    ];
    for (const [what, refuse, page] of refusals) {
      zswap.enabled = true;
      zswap.maxPoolPercent = 100;
      expect(zswap.store(0, 1, pageOf(1)), what).toBe(true);
      refuse();
      expect(zswap.store(0, 1, page), what).toBe(false);
      expect(loaded(zswap, 0, 1), what).toBeUndefined();
      zswap.check();
    }
    expect(zswap.stats()).toMatchObject({ rejectCompressPoor: 1, poolLimitHit: 1, storedPages: 0 });
    await zswap.close();
  });

  test('while disabled, stored pages can still be loaded', async () => {
    const zswap = await create({ store: new RecordingStore() });
    zswap.store(0, 1, pageOf(1));
    zswap.store(0, 2, pageOf(2));
    zswap.enabled = false;
    zswap.writeback(1);
    expectPage(zswap, 1, pageOf(1));
    expectPage(zswap, 2, pageOf(2));
    await zswap.close();
  });

  test('an exclusive load removes the page, from the pool or the store', async () => {
    const store = new RecordingStore();
    const zswap = await create({ store, exclusiveLoads: true });
    const pages = [pageOf(0), filledPage(1), rawPage(2), pageOf(3)];
    pages.forEach((page, offset) => zswap.store(0, offset, page));
    zswap.writeback(1);
    expect(store.held.size).toBe(1);
    pages.forEach((page, offset) => {
      expectPage(zswap, offset, page);
      expect(loaded(zswap, 0, offset)).toBeUndefined();
    });
    expect(store.held.size).toBe(0);
    expect(zswap.stats()).toMatchObject({ storedPages: 0, backingPages: 0 });
    zswap.check();
    await zswap.close();
  });

  test('same-filled pages take no memory of the pool, or are stored like others when sameFilled is off', async () => {
    const zswap = await create();
    zswap.store(0, 1, filledPage(0xdeadbeef));
    expect(zswap.stats()).toMatchObject({ sameFilledPages: 1, storedPages: 1, poolTotalSize: 0 });
    zswap.sameFilled = false;
    zswap.store(0, 2, filledPage(3));
    expect(zswap.stats()).toMatchObject({ sameFilledPages: 1, storedPages: 2 });
    expect(objects(zswap)).toBe(1);
    expectPage(zswap, 1, filledPage(0xdeadbeef));
    expectPage(zswap, 2, filledPage(3));
    await zswap.close();
  });

  test('a second store of a key counts as a duplicate and replaces the page', async () => {
    const zswap = await create();
    zswap.store(0, 1, pageOf(1));
    zswap.store(0, 1, pageOf(2));
    expectPage(zswap, 1, pageOf(2));
    expect(zswap.stats()).toMatchObject({ duplicateEntry: 1, storedPages: 1 });
    await zswap.close();
  });

  test('invalidateArea drops a whole area', async () => {
    const store = new RecordingStore();
    const zswap = await create({ store });
    for (let offset = 0; offset < 2000; offset++) zswap.store(offset % 2, offset * 7919, pageOf(offset, 40));
    zswap.writeback(500);
    expect(zswap.invalidateArea(1)).toBe(1000);
    expect(zswap.invalidateArea(1)).toBe(0);
    zswap.check();
    for (let offset = 0; offset < 2000; offset++) {
      if (offset % 2 === 0) expectPage(zswap, offset * 7919, pageOf(offset, 40));
      else expect(loaded(zswap, 1, offset * 7919)).toBeUndefined();
    }
    expect(zswap.stats().storedPages + zswap.stats().backingPages).toBe(1000);
    expect(store.held.size).toBe(zswap.stats().backingPages);
    await zswap.close();
  });

  test('the least recently used entry is written back first; an entry that was used since has a second chance', async () => {
    const store = new RecordingStore();
    const zswap = await create({ store, writebackCompressed: false });
    const pages = [0, 1, 2, 3, 4].map((offset) => pageOf(offset));
    pages.forEach((page, offset) => zswap.store(0, offset, page));
    const next = (): number => {
      const before = new Set(store.held.keys());
      expect(zswap.writeback(1)).toBe(1);
      const [slot] = [...store.held.keys()].filter((one) => !before.has(one));
      const bytes = (store.held.get(slot as number) as Uint8Array).subarray(32);
      return pages.findIndex((page) => page.every((byte, at) => byte === bytes[at]));
    };
    expect(next()).toBe(0); // all were new and lost their first chance
    expectPage(zswap, 1, pages[1] as Uint8Array);
    expect(next()).toBe(2); // 1 was used since
    expectPage(zswap, 3, pages[3] as Uint8Array);
    expect([next(), next(), next()]).toEqual([4, 1, 3]);
    await zswap.close();
  });

  test('an entry whose write failed is written back next', async () => {
    const store = new RecordingStore();
    const zswap = await create({ store, writebackCompressed: false });
    for (let offset = 0; offset < 5; offset++) zswap.store(0, offset, pageOf(offset));
    store.failure = new Error('once');
    expect(codeOf(() => zswap.writeback(1))).toBe('EIO');
    store.failure = undefined;
    zswap.writeback(1);
    const [bytes] = store.held.values();
    expectBytes((bytes as Uint8Array).subarray(32), pageOf(0), 'the coldest');
    await zswap.close();
  });

  test('writebackLimit counts down with each page written back', async () => {
    const zswap = await create({ store: new RecordingStore(), writebackLimit: 3 });
    for (let offset = 0; offset < 10; offset++) zswap.store(0, offset, pageOf(offset));
    expect(zswap.writeback(2)).toBe(2);
    expect(zswap.writebackLimit).toBe(1);
    expect(zswap.writeback(5)).toBe(1);
    expect(zswap.writeback(5)).toBe(0);
    zswap.writebackLimit = Infinity;
    expect(zswap.writeback(50)).toBe(7);
    await zswap.close();
  });

  test('a slot has a header and the block, or the page', async () => {
    for (const writebackCompressed of [true, false]) {
      const store = new RecordingStore();
      const zswap = await create({ store, writebackCompressed });
      zswap.store(0, 77, pageOf(5));
      zswap.store(0, 78, pageOf(6));
      zswap.writeback(2);
      const generations = new Set<number>();
      for (const [slot, bytes] of store.held) {
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        const codec = view.getUint8(5);
        expect(String.fromCharCode(...bytes.subarray(0, 4))).toBe('CCSL');
        expect([view.getUint8(4), codec, view.getUint16(6, true)]).toEqual([1, writebackCompressed ? 1 : 0, 0]);
        expect(view.getUint32(8, true)).toBe(bytes.length - 32);
        expect(view.getUint32(12, true)).toBe(slot);
        generations.add(view.getUint32(16, true));
        expect(view.getUint32(28, true)).toBe(
          crc32c(new Uint8Array([...bytes.subarray(0, 28), ...bytes.subarray(32)])),
        );
        if (!writebackCompressed) expect(bytes.length).toBe(SLOT_BYTES);
        else expect(bytes.length).toBeLessThan(2000);
      }
      expect(generations.size).toBe(2);
      await zswap.close();
    }
  });

  test('a slot with one changed bit, a short, an old or an empty slot is EIO once, then the page is gone', async () => {
    const store = new RecordingStore();
    const zswap = await create({ store });
    const damages: ((bytes: Uint8Array) => Uint8Array)[] = [
      ...Array.from({ length: 40 }, (_, at) => (bytes: Uint8Array) => bytes.with(at, (bytes[at] as number) ^ 1)),
      (bytes) => bytes.with(bytes.length - 1, (bytes[bytes.length - 1] as number) ^ 128),
      (bytes) => bytes.subarray(0, bytes.length - 1),
      (bytes) => bytes.subarray(0, 32),
      () => new Uint8Array(0),
      () => new Uint8Array(SLOT_BYTES),
    ];
    for (const damage of damages) {
      zswap.store(0, 5, pageOf(5));
      expect(zswap.writeback(1)).toBe(1);
      store.change = damage;
      const into = new Uint8Array(PAGE_SIZE).fill(9);
      expect(codeOf(() => zswap.load(0, 5, into))).toBe('EIO');
      expectBytes(into, new Uint8Array(PAGE_SIZE).fill(9), 'into');
      store.change = undefined;
      expect(loaded(zswap, 0, 5)).toBeUndefined();
      zswap.check();
    }
    zswap.store(0, 5, pageOf(5));
    zswap.writeback(1);
    const old = [...store.held.values()][0] as Uint8Array;
    zswap.store(0, 5, pageOf(6));
    zswap.writeback(1);
    store.change = () => old;
    expect(codeOf(() => zswap.load(0, 5, new Uint8Array(PAGE_SIZE)))).toBe('EIO');
    store.change = undefined;
    zswap.store(0, 5, pageOf(7));
    zswap.writeback(1);
    store.held.clear();
    expect(codeOf(() => zswap.load(0, 5, new Uint8Array(PAGE_SIZE)))).toBe('EIO');
    expect(loaded(zswap, 0, 5)).toBeUndefined();
    expect(zswap.stats()).toMatchObject({ readFail: damages.length + 2, backingPages: 0, backingSlots: 0 });
    await zswap.close();
  });

  test('a store whose reads fail loses no page', async () => {
    const store = new RecordingStore();
    const zswap = await create({ store });
    zswap.store(0, 5, pageOf(5));
    zswap.writeback(1);
    store.change = () => {
      throw new Error('not now');
    };
    expect(codeOf(() => zswap.load(0, 5, new Uint8Array(PAGE_SIZE)))).toBe('EIO');
    store.change = undefined;
    expectPage(zswap, 5, pageOf(5));
    await zswap.close();
  });

  test('a store that detaches the buffer of a read has failed, and no page is lost', async () => {
    const store = new RecordingStore();
    const zswap = await create({ store });
    zswap.store(0, 1, pageOf(1));
    zswap.writeback(1);
    const read = store.read.bind(store);
    store.read = (slot, into) => {
      structuredClone(into, { transfer: [into.buffer as ArrayBuffer] });
      return read(slot, new Uint8Array(SLOT_BYTES));
    };
    expect(codeOf(() => loaded(zswap, 0, 1))).toBe('EIO');
    expect(zswap.stats()).toMatchObject({ readFail: 1, backingPages: 1 });
    store.read = read;
    expectPage(zswap, 1, pageOf(1));
    await zswap.close();
  });

  test('setting another allocator or codec starts a pool, and the old one drains', async () => {
    const deflate = await loadCodec('deflate');
    const store = new RecordingStore();
    const zswap = await create({ store, zpool: { chainSize: 4 } });
    const changes: (() => void)[] = [
      () => (zswap.allocator = 'zbud'),
      () => (zswap.codec = deflate),
      () => (zswap.allocator = 'xvmalloc'),
      () => (zswap.codec = 'lz4hc'),
      () => (zswap.allocator = 'zsmalloc'),
      () => (zswap.codec = 'lz4'),
    ];
    let offset = 0;
    for (const change of changes) {
      for (let n = 0; n < 10; n++) zswap.store(0, offset, pageOf(offset++));
      change();
      zswap.check();
    }
    expect([zswap.allocator, zswap.codec]).toEqual(['zsmalloc', 'lz4']);
    expect(zswap.stats().pools).toBe(6); // the first is current again
    for (let n = 0; n < offset; n++) expectPage(zswap, n, pageOf(n));
    zswap.writeback(15);
    for (let n = 0; n < offset; n++) expectPage(zswap, n, pageOf(n));
    for (let n = 0; n < 40; n++) zswap.invalidatePage(0, n);
    zswap.check();
    expect(zswap.stats().pools).toBe(3);
    for (let n = 40; n < offset; n++) expectPage(zswap, n, pageOf(n));
    zswap.writeback(1000);
    expect(zswap.stats().pools).toBe(1);
    expect(zswap.ram.pools()).toHaveLength(1);
    for (let n = 40; n < offset; n++) expectPage(zswap, n, pageOf(n));
    zswap.check();
    await zswap.close();
  });

  test('a codec that fails refuses the page or the load, and has no other effect', async () => {
    let mode: 'well' | 'throws' | 'nonsense' | 'much' | 'promise' = 'well';
    const lz4js = await loadCodec('lz4js');
    const codec: Codec = {
      name: 'moody',
      compress: (src, dst) => answer(() => lz4js.compress(src, dst)),
      decompress: (src, dst) => answer(() => lz4js.decompress(src, dst)),
    };
    const answer = (well: () => number): number => {
      if (mode === 'throws') throw new Error('moody');
      if (mode === 'nonsense') return NaN;
      if (mode === 'much') return 5000;
      if (mode === 'promise') return Promise.resolve(3) as never;
      return well();
    };
    const store = new RecordingStore();
    const zswap = await create({ codec, store });
    let failed = 0;
    for (const bad of ['throws', 'nonsense', 'much', 'promise'] as const) {
      mode = 'well';
      zswap.store(0, 1, pageOf(1));
      mode = bad;
      expect(
        codeOf(() => zswap.load(0, 1, new Uint8Array(PAGE_SIZE))),
        bad,
      ).toBe('EIO');
      expect(zswap.store(0, 2, pageOf(2)), bad).toBe(false);
      failed += 1;
      expect(zswap.stats()).toMatchObject({ rejectCompressFail: failed, decompressFail: failed });
      mode = 'well';
      expectPage(zswap, 1, pageOf(1));
      expect(loaded(zswap, 0, 2)).toBeUndefined();
      zswap.check();
    }
    mode = 'throws';
    expect(zswap.writeback(1)).toBe(1); // the block is written without being decompressed
    mode = 'well';
    expectPage(zswap, 1, pageOf(1));
    await zswap.close();
  });

  test('a codec or store that calls back sees a consistent state', async () => {
    const lz4js = await loadCodec('lz4js');
    let nested = 0;
    const codec: Codec = {
      name: 'nested',
      compress: (src, dst) => {
        if (nested++ === 0) zswap.store(0, 1, pageOf(100));
        return lz4js.compress(src, dst);
      },
      decompress: (src, dst) => {
        if (nested === -1) zswap.invalidatePage(0, 1);
        return lz4js.decompress(src, dst);
      },
    };
    const store = new RecordingStore();
    const zswap: Zswap = await create({ codec, store });
    expect(zswap.store(0, 1, pageOf(1))).toBe(true);
    expectPage(zswap, 1, pageOf(1));
    expect(objects(zswap)).toBe(1);
    zswap.check();
    nested = -1;
    expectPage(zswap, 1, pageOf(1));
    expect(zswap.has(0, 1)).toBe(false);
    nested = 1;
    zswap.store(0, 2, pageOf(2));
    const write = store.write.bind(store);
    store.write = (slot, bytes) => {
      zswap.store(0, 2, pageOf(22)); // while it is being written
      write(slot, bytes);
    };
    expect(zswap.writeback(1)).toBe(0);
    expectPage(zswap, 2, pageOf(22));
    expect(store.held.size).toBe(0);
    zswap.check();
    await zswap.close();
  });

  test('a RAM can be shared, and gets every frame back', async () => {
    const ram = await Ram.create({ bytes: '4MiB', ...buildOptions(build) });
    const mine = ram.zpool('zbud');
    const handle = mine.malloc(100);
    const before = ram.freeFrames;
    const store = new RecordingStore();
    for (const victims of VICTIMS) {
      const zswap = await create({ ram, store, victims });
      const other = await create({ ram });
      expect(new Set([zswap.name, other.name]).size).toBe(2);
      for (let offset = 0; offset < 200; offset++) zswap.store(0, offset, pageOf(offset));
      other.store(0, 0, pageOf(1));
      zswap.writeback(50);
      ram.check();
      const owners = ram.stats().owners;
      expect(Object.values(owners).reduce((sum, owner) => sum + owner.frames + owner.metadataFrames, 0)).toBe(
        ram.stats().usedFrames,
      );
      const restored = await Ram.restore(ram.snapshot(), buildOptions(build));
      restored.check();
      expect(restored.pools().length).toBe(ram.pools().length);
      await zswap.close();
      await other.close();
      await zswap.close();
      expect(ram.freeFrames).toBe(before);
      expect(store.synced).toBeGreaterThan(0);
      expect(codeOf(() => zswap.load(0, 0, new Uint8Array(PAGE_SIZE)))).toBe('ECLOSED');
      expect(codeOf(() => zswap.store(0, 0, pageOf(0)))).toBe('ECLOSED');
      ram.check();
    }
    expect(mine.size(handle)).toBe(100);
  });

  test('other code cannot use its pools, also after a restore, until it is dropped', async () => {
    const ram = await Ram.create({ bytes: '4MiB', ...buildOptions(build) });
    const free = ram.freeFrames;
    const zswap = await create({ ram, store: new RecordingStore() });
    for (let offset = 0; offset < 50; offset++) zswap.store(0, offset, pageOf(offset));
    zswap.writeback(10);
    expect(codeOf(() => ram.pools()[0]?.destroy())).toBe('EBUSY');
    expectPage(zswap, 49, pageOf(49));
    const restored = await Ram.restore(ram.snapshot(), buildOptions(build));
    restored.check();
    expect(restored.fronts()).toEqual([{ name: zswap.name, kind: 'zswap' }]);
    for (const pool of restored.pools()) expect(codeOf(() => pool.destroy())).toBe('EBUSY');
    restored.dropFront(zswap.name);
    expect([
      restored.fronts(),
      restored.pools(),
      codeOf(() => restored.dropFront(zswap.name)),
      codeOf(() => ram.dropFront(zswap.name)),
    ]).toEqual([[], [], 'ENOENT', 'EBUSY']);
    restored.check();
    expect(restored.freeFrames).toBe(free);
    await zswap.close();
    expect(ram.freeFrames).toBe(free);
  });

  test('a limit that was lowered by much is reached in steps; pages are refused meanwhile', async () => {
    const store = new RecordingStore();
    const zswap = await create({ bytes: '24MiB', store, acceptThresholdPercent: 50, allocator: 'zbud' });
    let offset = 0;
    while (store.held.size === 0) expect(zswap.store(0, offset, pageOf(offset++, 1800))).toBe(true);
    zswap.maxPoolPercent = 50;
    let refused = 0;
    for (let last = store.held.size; !zswap.store(0, offset, pageOf(offset, 1800)); last = store.held.size) {
      refused += 1;
      expect(store.held.size - last).toBeGreaterThan(0);
      expect(store.held.size - last).toBeLessThan(1000);
    }
    expect(refused).toBeGreaterThan(1);
    zswap.check();
    await zswap.close();
  });

  test('create in a RAM without enough frames is ENOMEM, and takes none', async () => {
    const ram = await Ram.create({ bytes: '4MiB', ...buildOptions(build) });
    const before = ram.freeFrames;
    for (let after = 0; after < 5; after++) {
      ram.failFrames(after);
      await expect(Zswap.create({ ram, store: new RecordingStore() })).rejects.toMatchObject({ code: 'ENOMEM' });
      ram.failFrames(null);
      expect(ram.freeFrames).toBe(before);
      ram.check();
    }
  });

  test('bad arguments are EINVAL', async () => {
    const bad: Record<string, unknown>[] = [
      { allocator: 'slab' },
      { codec: 'lzo' },
      { codec: {} },
      { maxPoolPercent: 101 },
      { acceptThresholdPercent: -1 },
      { victims: 'frame' },
      { sameFilled: 1 },
      { store: {} },
      { index: 'dense', victims: 'page' },
      { incompressible: 'drop' },
      { maxInFlight: 0 },
      { timeout: 0 },
      { writebackLimit: -1 },
      { nonsense: 1 },
      { ram: 5 },
      { bytes: 'x' },
      { zpool: { layout: '2013' } },
      { zpool: { evict: () => undefined } },
    ];
    for (const options of bad)
      await expect(Zswap.create(options as ZswapOptions), JSON.stringify(options)).rejects.toMatchObject({
        code: 'EINVAL',
      });
    const zswap = await create();
    const page = pageOf(1);
    for (const [type, offset] of [
      [-1, 0],
      [0, -1],
      [0.5, 0],
      [0, 2 ** 32],
      [2 ** 32 - 1, 0],
      [NaN, 0],
      [0, '1'],
    ] as [number, number][]) {
      expect(codeOf(() => zswap.store(type, offset, page))).toBe('EINVAL');
      expect(codeOf(() => zswap.load(type, offset, page))).toBe('EINVAL');
      expect(codeOf(() => zswap.invalidatePage(type, offset))).toBe('EINVAL');
    }
    expect(codeOf(() => zswap.store(0, 0, page.subarray(1)))).toBe('EINVAL');
    expect(codeOf(() => zswap.load(0, 0, new Uint8Array(10)))).toBe('EINVAL');
    for (const value of [-1, 0.5, NaN, '1'] as number[]) {
      expect(codeOf(() => zswap.writeback(value))).toBe('EINVAL');
      expect(codeOf(() => zswap.shrink(value))).toBe('EINVAL');
    }
    expect(codeOf(() => zswap.writeback(1))).toBe('ENODEV');
    expect(codeOf(() => (zswap.allocator = 'slab' as never))).toBe('EINVAL');
    expect(codeOf(() => (zswap.codec = 'deflate' as never))).toBe('EINVAL');
    expect(codeOf(() => (zswap.maxPoolPercent = 200))).toBe('EINVAL');
    expect(zswap.stats().storedPages).toBe(0);
    await zswap.close();
    const dense = await create({ index: 'dense' });
    expect(dense.store(0, 5, page)).toBe(true);
    expect(codeOf(() => dense.store(1, 5, page))).toBe('EINVAL');
    expect(dense.invalidateArea(0)).toBe(1);
    await dense.close();
  });

  test('options are copied when create is called', async () => {
    const options: Record<string, unknown> = {
      bytes: '1MiB',
      ...buildOptions(build),
      maxPoolPercent: 50,
      writebackLimit: Infinity,
      zpool: { chainSize: 4 },
    };
    const creating = Zswap.create(options as ZswapOptions);
    options.maxPoolPercent = 'half';
    options.store = 5;
    (options.zpool as Record<string, unknown>).chainSize = 99;
    const zswap = await creating;
    expect([zswap.maxPoolPercent, zswap.writebackLimit]).toEqual([50, Infinity]);
    await zswap.close();
    for (const wrong of [null, 5, { store: null }]) {
      await expect(SwapSpace.create(wrong as never)).rejects.toMatchObject({ code: 'EINVAL' });
    }
  });

  test('a compaction without effect is not tried again before something has changed', async () => {
    const store = new RecordingStore();
    const zswap = await create({ allocator: 'xcfmalloc', bytes: '1MiB', store });
    store.failure = new Error('broken');
    for (let offset = 0; zswap.store(0, offset, pageOf(offset)); offset++);
    const compact = vi.spyOn(zpools, 'compact');
    const times = (call: () => void): number => {
      compact.mockClear();
      call();
      return compact.mock.calls.length;
    };
    for (let n = 0; n < 4; n++) zswap.store(0, 20_000 + n, rawPage(n));
    expect(times(() => zswap.store(0, 30_000, rawPage(1)))).toBe(0);
    expect(times(() => codeOf(() => zswap.shrink(200)))).toBe(1);
    compact.mockRestore();
    zswap.check();
    await zswap.close();
  });

  test('check() notices a changed word', async () => {
    for (const victims of VICTIMS) {
      const zswap = await create({ bytes: '1MiB', store: new RecordingStore(), victims });
      for (let offset = 0; offset < 12; offset++)
        zswap.store(
          0,
          offset,
          offset % 3 === 0 ? filledPage(offset) : offset % 4 === 1 ? rawPage(offset) : pageOf(offset),
        );
      zswap.writeback(2);
      const raw = await rawOf(zswap.ram.snapshot());
      expect(raw.check()).toBe(0);
      const header = frontAddress(
        raw.core.exports.zpoolNext.bind(undefined),
        raw.core.exports.zpoolIdentity.bind(undefined),
      );
      // Current pool, percentages, entries and the counts of each kind; pools; the slot map's root but its hints.
      for (const at of [260, 264, 284, 288, 292, 296, 300, 304, 320, 324, 328, 332, 336])
        notices(raw, header + at, `word ${at} of the header`, at < 268 ? 0xffffff80 : 0xffffffff);
      notices(raw, header + 416, 'address of a pool');
      notices(raw, header + 424, 'entries of a pool');
      await zswap.close();
    }
  });
});

/** Address of the only front end in a RAM: the pool with a kind beyond the allocators. */
function frontAddress(next: (pool: number) => number, identity: (pool: number, word: number) => number): number {
  let pool = next(0) >>> 0;
  while (pool !== 0 && identity(pool, IDENTITY_KIND) < FRONT_KINDS_FROM) pool = next(pool) >>> 0;
  return pool;
}

describe('swap space', () => {
  test('pages that zswap refuses go to the store', async () => {
    const store = new MemoryStore();
    const swap = await SwapSpace.create({ bytes: '1MiB', store, incompressible: 'refuse', ...buildOptions(build) });
    swap.pageOut(3, rawPage(3));
    swap.zswap.enabled = false;
    swap.pageOut(4, pageOf(4));
    expect(swap.stats()).toMatchObject({ storedPages: 0, backingPages: 2, rejectCompressPoor: 1 });
    const into = new Uint8Array(PAGE_SIZE);
    expect(swap.pageIn(3, into)).toBe(true);
    expectBytes(into, rawPage(3), 'refused');
    expect(swap.pageIn(4, into)).toBe(true);
    expectBytes(into, pageOf(4), 'disabled');
    expect(swap.pageIn(5, into)).toBe(false);
    expect([swap.free(3), swap.free(3), await swap.freeAsync(4)]).toEqual([true, false, true]);
    expect(store.used).toBe(0);
    swap.zswap.check();
    await swap.close();
  });

  test('a page for which there is no room anywhere is ENOSPC, and the slot is empty', async () => {
    const swap = await SwapSpace.create({
      bytes: '1MiB',
      store: new MemoryStore({ slots: 2 }),
      incompressible: 'refuse',
      ...buildOptions(build),
    });
    swap.pageOut(1, rawPage(1));
    swap.pageOut(2, rawPage(2));
    swap.pageOut(3, pageOf(3));
    expect(codeOf(() => swap.pageOut(3, rawPage(3)))).toBe('ENOSPC');
    expect(swap.pageIn(3, new Uint8Array(PAGE_SIZE))).toBe(false);
    swap.zswap.check();
    swap.pageOut(1, pageOf(1));
    swap.pageOut(3, rawPage(3));
    expect(swap.stats()).toMatchObject({ storedPages: 1, backingPages: 2 });
    await swap.close();
  });

  test('without a store it makes one in memory', async () => {
    const swap = await SwapSpace.create({ bytes: '1MiB', ...buildOptions(build) });
    for (let slot = 0; slot < 2000; slot++) swap.pageOut(slot, pageOf(slot));
    const into = new Uint8Array(PAGE_SIZE);
    for (let slot = 0; slot < 2000; slot++) {
      expect(swap.pageIn(slot, into)).toBe(true);
      expectBytes(into, pageOf(slot), `slot ${slot}`);
    }
    await swap.close();
  });
});
