/**
 * Victims by page that several store calls write: how much one call writes, and changes of the victim between two
 * calls.
 */
import { describe, expect, test } from 'vitest';
import { ALLOCATORS, PAGE_SIZE, Ram, Zswap, type AllocatorName, type ZswapOptions } from '../../bindings/index.ts';
import { contentsOf, type FrontIn } from '../../bindings/fronts.ts';
import { rams } from '../../bindings/ram.ts';
import { buildOptions, builds, expectBytes } from '../harness.ts';
import { RecordingStore, codeOf, pageOf } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';
/** The most entries that one store call writes in order to lower the level of the pool. */
const OWED_MOST = 16;
/** The number of entries of a victim that one store call writes, even when fewer would do. */
const STEP = 8;

interface Made {
  zswap: Zswap;
  store: RecordingStore;
  /** Stores one more page. @returns the number of entries that this wrote */
  next: () => number;
  /** Pages stored so far: 0 … stored - 1, all of type 0. */
  stored: () => number;
}

async function make(options: ZswapOptions = {}): Promise<Made> {
  const store = new RecordingStore();
  const zswap = await Zswap.create({
    ...(options.ram === undefined ? { bytes: '2MiB', ...buildOptions(build) } : {}),
    victims: 'page',
    maxPoolPercent: 50,
    acceptThresholdPercent: 80,
    store,
    ...options,
  });
  let stored = 0;
  const next = (): number => {
    const before = store.written.length;
    expect(zswap.store(0, stored, pageOf(stored))).toBe(true);
    stored += 1;
    return store.written.length - before;
  };
  return { zswap, store, next, stored: () => stored };
}

/** The number of kept victims in the RAM of a zswap. */
function keptVictims(ram: Ram): number {
  return rams.core('test', ram).exports.zswapVictims();
}

/** Stores pages until a victim is kept. */
async function withKeptVictim(options: ZswapOptions = {}): Promise<Made> {
  const made = await make(options);
  for (let n = 0; n < 20_000 && keptVictims(made.zswap.ram) === 0; n++) made.next();
  expect(keptVictims(made.zswap.ram)).toBe(1);
  return made;
}

function expectAll({ zswap, stored }: Made, from = 0): void {
  const into = new Uint8Array(PAGE_SIZE);
  for (let offset = from; offset < stored(); offset++) {
    expect(zswap.load(0, offset, into), `page ${offset}`).toBe(true);
    expectBytes(into, pageOf(offset), `page ${offset}`);
  }
}

describe.each(ALLOCATORS)('%s', (allocator: AllocatorName) => {
  test.each(['entry', 'page'] as const)('victims by %s: no store call writes more than its bound', async (victims) => {
    const made = await make({ allocator, victims });
    const { zswap, store, next } = made;
    while (store.written.length === 0) next();
    const most = Array.from({ length: 1500 }, next).reduce((a, b) => Math.max(a, b));
    expect(most).toBeLessThanOrEqual(OWED_MOST);
    expect(zswap.stats()).toMatchObject({
      poolLimitHit: 0,
      rejectReclaimFail: 0,
      writtenBackPages: store.written.length,
    });
    zswap.check();
    expectAll(made);
    await zswap.close();
  });

  test('all frames come back when every page is dropped', async () => {
    const made = await make({ allocator });
    const before = made.zswap.stats().frames;
    while (made.store.written.length === 0) made.next();
    for (let n = 0; n < 40; n++) {
      made.next();
      made.zswap.check();
    }
    made.zswap.invalidateArea(0);
    made.zswap.check();
    expect(keptVictims(made.zswap.ram)).toBe(0);
    expect(made.zswap.stats()).toMatchObject({ storedPages: 0, backingPages: 0 });
    expect(made.zswap.stats().frames).toBeLessThanOrEqual(before + 2);
    await made.zswap.close();
  });
});

describe('a victim that is kept between two store calls', () => {
  test('is written to its end by later store calls, even when the level needs no writeback', async () => {
    const made = await withKeptVictim();
    const { zswap, next } = made;
    zswap.acceptThresholdPercent = 100;
    zswap.maxPoolPercent = 100;
    const written: number[] = [];
    while (keptVictims(zswap.ram) !== 0) written.push(next());
    expect(written.slice(0, -1).every((entries) => entries === STEP)).toBe(true);
    expect(next()).toBe(0);
    zswap.check();
    expectAll(made);
    await zswap.close();
  });

  test('is taken first by writeback and shrink, which keep none', async () => {
    for (const call of [(zswap: Zswap) => zswap.writeback(1), (zswap: Zswap) => zswap.shrink(1)]) {
      const made = await withKeptVictim();
      expect(call(made.zswap)).toBeGreaterThan(0);
      expect(keptVictims(made.zswap.ram)).toBe(0);
      made.zswap.check();
      expectAll(made);
      await made.zswap.close();
    }
  });

  test('loses the pages that are replaced, dropped or loaded exclusively, and then its frames', async () => {
    for (const lose of [
      (zswap: Zswap, offset: number) => zswap.invalidatePage(0, offset),
      (zswap: Zswap, offset: number) => zswap.load(0, offset, new Uint8Array(PAGE_SIZE)),
    ]) {
      const made = await withKeptVictim({ exclusiveLoads: true });
      const { zswap, stored } = made;
      const before = zswap.stats().frames;
      for (let offset = 0; offset < stored() && keptVictims(zswap.ram) !== 0; offset++) {
        lose(zswap, offset);
        if (offset % 16 === 0) zswap.check();
      }
      expect(keptVictims(zswap.ram)).toBe(0);
      expect(zswap.stats().frames).toBeLessThan(before);
      zswap.check();
      await zswap.close();
    }
    const made = await withKeptVictim();
    made.zswap.writebackLimit = 0;
    for (let offset = 0; offset < 400; offset++) made.zswap.store(0, offset, pageOf(offset));
    expect(keptVictims(made.zswap.ram)).toBe(0);
    made.zswap.check();
    await made.zswap.close();
  });

  test('is given up when the writeback limit is 0, and when the store fails', async () => {
    const made = await withKeptVictim();
    made.zswap.writebackLimit = 0;
    expect(made.next()).toBe(0);
    expect(keptVictims(made.zswap.ram)).toBe(0);
    made.zswap.check();
    await made.zswap.close();
    const failing = await withKeptVictim();
    failing.store.failure = new Error('no');
    failing.next();
    expect(keptVictims(failing.zswap.ram)).toBe(0);
    expect(failing.zswap.stats().writebackFail).toBe(1);
    failing.zswap.check();
    expectAll(failing);
    await failing.zswap.close();
  });

  test('is written on in the old pool after another allocator was set, and the old pool is destroyed', async () => {
    const { zswap, next } = await withKeptVictim();
    zswap.allocator = 'zbud';
    zswap.check();
    next();
    zswap.writeback(0xffffffff);
    zswap.check();
    expect(keptVictims(zswap.ram)).toBe(0);
    expect(zswap.stats().pools).toBe(1);
    await zswap.close();
    const dropped = await withKeptVictim();
    dropped.zswap.allocator = 'zbud';
    dropped.zswap.invalidateArea(0);
    expect(dropped.zswap.stats().pools).toBe(1);
    dropped.zswap.check();
    await dropped.zswap.close();
  });

  test('is part of an image, and an opened zswap behaves as the original', async () => {
    const made = await withKeptVictim();
    const { zswap, store, stored } = made;
    const image = zswap.ram.snapshot();
    const ram = await Ram.restore(image, buildOptions(build));
    ram.check();
    expect(keptVictims(ram)).toBe(1);
    expectBytes(ram.snapshot(), image, 'image');
    const copy = new RecordingStore();
    for (const [slot, bytes] of store.held) copy.held.set(slot, bytes.slice());
    const other = await Zswap.open(ram, zswap.name, { store: copy });
    for (let n = 0; n < 200; n++) {
      const offset = stored();
      const before = copy.written.length;
      other.store(0, offset, pageOf(offset));
      expect([made.next(), keptVictims(zswap.ram)]).toEqual([copy.written.length - before, keptVictims(ram)]);
    }
    expectBytes(ram.snapshot(), zswap.ram.snapshot(), 'image');
    other.check();
    await other.close();
    expect(ram.stats().usedFrames).toBe(0);
    await zswap.close();
  });

  test('does not prevent dropFront of a zswap that was not opened', async () => {
    const { zswap } = await withKeptVictim();
    const ram = await Ram.restore(zswap.ram.snapshot(), buildOptions(build));
    ram.dropFront(zswap.name);
    ram.check();
    expect(ram.stats().usedFrames).toBe(0);
    await zswap.close();
  });

  test('does not prevent close in a RAM of the caller', async () => {
    const ram = await Ram.create({ bytes: '2MiB', ...buildOptions(build) });
    const { zswap } = await withKeptVictim({ ram });
    await zswap.close();
    ram.check();
    expect(ram.stats().usedFrames).toBe(0);
  });

  test('is EUCLEAN when it is not a victim of the pool', async () => {
    const { zswap } = await withKeptVictim();
    const core = rams.core('test', zswap.ram);
    const { exports } = core;
    const [{ address }] = contentsOf(core).fronts as [FrontIn];
    const victim = exports.zswapVictimTake(address) >>> 0;
    expect(codeOf(() => zswap.ram.snapshot())).toBe('EBUSY');
    exports.zswapVictimKeep(address, 0, victim + 1, 0);
    expect(codeOf(() => zswap.check())).toBe('EUCLEAN');
    exports.zswapVictimTake(address);
    exports.zswapVictimKeep(address, 0, victim, 0);
    zswap.check();
    await zswap.close();
  });
});
