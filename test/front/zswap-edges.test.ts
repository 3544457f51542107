/** Rare cases of zswap: exact limits, frame requests that fail at every point, codecs that store the page that is being loaded, snapshots during a write. */
import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, Ram, SwapSpace, Zswap, type BackingStore, type Codec } from '../../bindings/index.ts';
import { buildOptions, builds, expectBytes } from '../harness.ts';
import { ChaosStore } from './chaos-store.ts';
import { quiet } from './clock.ts';
import { RecordingStore, codeOf, filledPage, pageOf, rawPage, trimZeros } from './pages.ts';

const build = builds[0] ?? 'release';
const createRam = (bytes = '1MiB'): Promise<Ram> => Ram.create({ bytes, ...buildOptions(build) });

function loaded(zswap: Zswap, offset: number): Uint8Array | undefined {
  const into = new Uint8Array(PAGE_SIZE);
  return zswap.load(0, offset, into) ? into : undefined;
}

/** A codec that leaves out the zeros at the end, and calls `run` once when it decompresses. */
function codecWith(inside: { run?: (() => void) | undefined }): Codec {
  return {
    name: 'zeros',
    compress: (page, into) => {
      return trimZeros(page, into);
    },
    decompress: (block, into) => {
      const { run } = inside;
      inside.run = undefined;
      run?.();
      into.set(block);
      return PAGE_SIZE;
    },
  };
}

describe('an exclusive load whose codec calls back', () => {
  const [A, B] = [pageOf(1, 300), pageOf(2, 500)].map((page) => page.fill(0, 2000)) as [Uint8Array, Uint8Array];

  test.each(['memory', 'the store', 'an asynchronous store'] as const)(
    'from %s: a page that the codec stores in the same place stays',
    async (where) => {
      const inside: { run?: (() => void) | undefined } = {};
      const chaos = where === 'an asynchronous store' ? new ChaosStore({ mode: 'async' }) : undefined;
      const store = (chaos ?? new RecordingStore()) as BackingStore;
      const zswap = await Zswap.create({
        ram: await createRam(),
        store,
        codec: codecWith(inside),
        exclusiveLoads: true,
      });
      zswap.store(0, 7, A);
      if (where === 'the store') expect(zswap.writeback(1)).toBe(1);
      if (chaos !== undefined) {
        const moved = zswap.writebackAsync(1);
        await quiet();
        chaos.settle();
        expect(await moved).toBe(1);
      }
      inside.run = () => expect(zswap.store(0, 7, B)).toBe(true);
      const into = new Uint8Array(PAGE_SIZE);
      const load = chaos === undefined ? zswap.load(0, 7, into) : zswap.loadAsync(0, 7, into);
      await quiet();
      while (chaos?.settle() === true) await quiet();
      expect(await load).toBe(true);
      expectBytes(into, A);
      expect(zswap.has(0, 7)).toBe(true);
      zswap.exclusiveLoads = false;
      expectBytes(loaded(zswap, 7) as Uint8Array, B);
      zswap.check();
    },
  );

  test('a page that the codec removes or loads itself is gone, and no other page is', async () => {
    const inside: { run?: (() => void) | undefined } = {};
    const zswap = await Zswap.create({ ram: await createRam(), codec: codecWith(inside), exclusiveLoads: true });
    for (const run of [() => void zswap.invalidatePage(0, 7), () => void loaded(zswap, 7)]) {
      zswap.store(0, 7, A);
      zswap.store(0, 8, B);
      inside.run = run;
      expectBytes(loaded(zswap, 7) as Uint8Array, A);
      expect([zswap.has(0, 7), zswap.has(0, 8)]).toEqual([false, true]);
      zswap.check();
    }
  });
});

describe('frame requests that fail at every point', () => {
  test.each([
    ['page', 'zsmalloc', rawPage],
    ['page', 'zbud', rawPage],
    ['page', 'xvmalloc', (seed: number) => pageOf(seed, 900)],
    ['entry', 'zsmalloc', rawPage],
    ['entry', 'xcfmalloc', (seed: number) => pageOf(seed, 900)],
  ] as const)('victims %s, %s, no store: of a page that is refused nothing stays', async (victims, allocator, page) => {
    const ram = await createRam('4MiB');
    const before = ram.stats().usedFrames;
    const zswap = await Zswap.create({ ram, victims, allocator, maxPoolPercent: 100, incompressible: 'keep' });
    const empty = ram.stats().usedFrames;
    for (let offset = 0; offset < 220; offset++) {
      for (let after = 0; ; after++) {
        ram.failFrames(after, 1);
        const isThere = zswap.store(0, offset, page(offset));
        ram.failFrames(null);
        expect(zswap.has(0, offset)).toBe(isThere);
        if (after === 0 || isThere) zswap.check();
        if (isThere) break;
      }
    }
    expect(zswap.stats().storedPages).toBe(220);
    for (let offset = 0; offset < 220; offset++) expect(zswap.invalidatePage(0, offset)).toBe(true);
    zswap.check();
    // All frames of records and index are free again; xcfmalloc keeps its reserve.
    if (allocator !== 'xcfmalloc') expect(ram.stats().usedFrames).toBe(empty);
    await zswap.close();
    expect(ram.stats().usedFrames).toBe(before);
  });
});

describe('limits', () => {
  test.each([0, 50, 90, 100])(
    'a page is accepted below the limit, and then down from %i percent of it, to the frame',
    async (threshold) => {
      const zswap = await Zswap.create({
        ram: await createRam(),
        allocator: 'zbud',
        maxPoolPercent: 25,
        acceptThresholdPercent: threshold,
        incompressible: 'keep',
      });
      const { limitFrames } = zswap.stats();
      expect(limitFrames).toBe(64); // 25 % of 256
      let pages = 0;
      while (zswap.store(0, pages, rawPage(pages))) {
        pages += 1;
        expect(zswap.stats().frames).toBeLessThanOrEqual(limitFrames);
      }
      expect(zswap.stats().frames).toBe(limitFrames);
      expect(zswap.stats().poolLimitHit).toBe(1);
      let hits = 1;
      for (;;) {
        const { frames } = zswap.stats();
        const isBelow = frames < limitFrames && frames <= Math.floor((limitFrames * threshold) / 100);
        if (frames >= limitFrames) hits += 1;
        // A same-filled page needs no frame, but is refused like any other page.
        expect(zswap.store(1, 0, filledPage(9)), `${frames} frames`).toBe(isBelow);
        expect(zswap.stats().poolLimitHit).toBe(hits);
        if (isBelow || pages === 0) break;
        zswap.invalidatePage(0, --pages);
      }
      expect(pages === 0).toBe(threshold === 0);
      await zswap.close();
    },
  );

  test('the limit of writeback is exact, and failed writes do not count', async () => {
    const store = new RecordingStore();
    const zswap = await Zswap.create({ ram: await createRam(), store, writebackLimit: 3 });
    for (let offset = 0; offset < 8; offset++) zswap.store(0, offset, pageOf(offset));
    store.failure = new Error('not now');
    expect(codeOf(() => zswap.writeback(2))).toBe('EIO');
    expect(zswap.writebackLimit).toBe(3);
    store.failure = undefined;
    expect(zswap.writeback(2)).toBe(2);
    expect([zswap.writeback(5), zswap.writeback(5), zswap.writebackLimit]).toEqual([1, 0, 0]);
    zswap.writebackLimit = 1;
    expect([zswap.writeback(5), zswap.writebackLimit]).toEqual([1, 0]);
    expect(zswap.stats()).toMatchObject({ writtenBackPages: 4, writebackFail: 1, backingPages: 4, storedPages: 4 });
  });

  test('the oldest page is written first; a page that was loaded has a second chance, one whose write failed goes to the end', async () => {
    const store = new RecordingStore();
    const zswap = await Zswap.create({ ram: await createRam(), store });
    for (let offset = 0; offset < 6; offset++) zswap.store(0, offset, pageOf(offset));
    expect(zswap.writeback(1)).toBe(1); // all pages lose their second chance, and page 0 is written
    loaded(zswap, 1);
    expect(zswap.writeback(2)).toBe(2); // page 1 gets its second chance
    expect([0, 1, 2, 3, 4, 5].filter((offset) => isInStore(zswap, store, offset))).toEqual([0, 2, 3]);
    store.failure = new Error('not now');
    expect(codeOf(() => zswap.writeback(1))).toBe('EIO');
    store.failure = undefined;
    // Page 4 is still the next one: a failed write puts its page at the end of the list.
    expect(zswap.writeback(1)).toBe(1);
    expect([1, 4, 5].filter((offset) => isInStore(zswap, store, offset))).toEqual([4]);
  });
});

/** True when a page is in the store: then a load reads it there. */
function isInStore(zswap: Zswap, store: RecordingStore, offset: number): boolean {
  let asked = false;
  const { read } = store;
  store.read = (slot, into) => ((asked = true), read.call(store, slot, into));
  loaded(zswap, offset);
  store.read = read;
  return asked;
}

describe('a page that changes while foreign code runs', () => {
  test('a page that is replaced while it is read from the store: load gives the new page; one that is removed is not found', async () => {
    const store = new ChaosStore({ mode: 'async' });
    const zswap = await Zswap.create({ ram: await createRam(), store: store as BackingStore });
    for (const offset of [1, 2]) zswap.store(0, offset, pageOf(offset));
    const moved = zswap.writebackAsync(2);
    await quiet();
    while (store.settle()) await quiet();
    expect(await moved).toBe(2);
    const [one, two] = [new Uint8Array(PAGE_SIZE), new Uint8Array(PAGE_SIZE)];
    const loads = [zswap.loadAsync(0, 1, one), zswap.loadAsync(0, 2, two)];
    await quiet();
    expect(zswap.store(0, 1, pageOf(77))).toBe(true);
    expect(zswap.invalidatePage(0, 2)).toBe(true);
    while (store.settle()) await quiet();
    expect(await Promise.all(loads)).toEqual([true, false]);
    expectBytes(one, pageOf(77));
    expectBytes(two, new Uint8Array(PAGE_SIZE));
  });

  test('a page that cannot be decompressed is skipped, and the pages after it are written', async () => {
    const codec = codecWith({});
    const bad = pageOf(3, 300).fill(0, 2000);
    const { decompress } = codec;
    codec.decompress = (block, into) => {
      if (block[10] === bad[10] && block[20] === bad[20] && block[3] === bad[3]) throw new Error('damaged');
      return decompress.call(codec, block, into);
    };
    const store = new RecordingStore();
    const zswap = await Zswap.create({ ram: await createRam(), store, codec, writebackCompressed: false });
    zswap.store(0, 0, bad);
    for (const offset of [1, 2, 3]) zswap.store(0, offset, pageOf(40 + offset, 300).fill(0, 2000));
    expect(zswap.writeback(2)).toBe(2);
    expect(zswap.writeback(1)).toBe(1);
    expect(store.written).toHaveLength(3);
  });
});

describe('a snapshot while a write is under way', () => {
  test('is EBUSY for a page of the pool and for a page that goes directly to the store, and works before and after', async () => {
    const ram = await createRam();
    const store = new ChaosStore({ mode: 'async' });
    const space = await SwapSpace.create({ ram, store: store as BackingStore });
    space.pageOut(1, pageOf(1));
    ram.snapshot();
    const moved = space.zswap.writebackAsync(1);
    expect(codeOf(() => ram.snapshot())).toBe('EBUSY');
    await quiet();
    expect(codeOf(() => [...ram.snapshotChunks()])).toBe('EBUSY');
    store.settle();
    expect(await moved).toBe(1);
    ram.snapshot();
    space.zswap.enabled = false;
    const out = space.pageOutAsync(2, pageOf(2));
    expect(codeOf(() => ram.snapshot())).toBe('EBUSY');
    await quiet();
    store.settle();
    await out;
    ram.snapshot();
    // A read does not change the contents of an image.
    const into = new Uint8Array(PAGE_SIZE);
    const read = space.pageInAsync(2, into);
    ram.snapshot();
    await quiet();
    store.settle();
    expect(await read).toBe(true);
  });

  test('in parts is EBUSY when a write begins between two parts', async () => {
    const ram = await createRam();
    const store = new ChaosStore({ mode: 'async' });
    const zswap = await Zswap.create({ ram, store: store as BackingStore });
    zswap.store(0, 1, pageOf(1));
    const parts = ram.snapshotChunks()[Symbol.iterator]();
    parts.next();
    void zswap.writebackAsync(1);
    expect(codeOf(() => parts.next())).toBe('EBUSY');
  });
});
