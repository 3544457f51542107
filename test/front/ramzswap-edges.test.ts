/** Rare cases of ramzswap: exact thresholds and ranges, snapshots during a write. */
import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, Ram, Ramzswap, type BackingStore, type Codec, type RamzswapOptions } from '../../bindings/index.ts';
import { buildOptions, builds, expectBytes } from '../harness.ts';
import { ChaosStore } from './chaos-store.ts';
import { quiet } from './clock.ts';
import { RecordingStore, codeOf, filledPage, pageOf, rawPage } from './pages.ts';

const build = builds[0] ?? 'release';
const createRam = (bytes = '1MiB'): Promise<Ram> => Ram.create({ bytes, ...buildOptions(build) });

async function create(options: RamzswapOptions = {}): Promise<Ramzswap> {
  return Ramzswap.create({ ram: await createRam(), disksize: 64 * PAGE_SIZE, ...options });
}

/** A codec whose blocks have a given number of bytes. */
function sized(bytes: number, name = `sized ${bytes}`): Codec {
  return {
    name,
    compress: (page, into) => {
      if (bytes > into.length) return 0;
      into.set(page.subarray(0, bytes));
      return bytes;
    },
    decompress: (block, into) => {
      into.fill(0);
      into.set(block);
      return PAGE_SIZE;
    },
  };
}

/** A page that each of these codecs can restore. */
function shortPage(seed: number): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  page.set(pageOf(seed).subarray(seed % 1000, (seed % 1000) + 100));
  page[0] = 1 + (seed % 200);
  return page;
}

function sizes(device: Ramzswap): number[] {
  return [...device.blockState()].map(({ bytes }) => bytes);
}

describe('recompression at a threshold', () => {
  test.each([
    [1499, 1],
    [1500, 1],
    [1501, 0],
  ])('of a block of 1500 bytes with threshold %i: %i', async (threshold, smaller) => {
    const device = await create({ codec: sized(1500), recompCodecs: [sized(300)] });
    device.writePage(3, shortPage(1));
    expect(device.recompress({ threshold })).toBe(smaller);
    expect(sizes(device)).toEqual([smaller === 1 ? 300 : 1500]);
  });

  test.each([
    [699, 0],
    [700, 0],
    [701, 1],
  ])('that gives 700 bytes with threshold %i: %i', async (threshold, smaller) => {
    const device = await create({ codec: sized(1500), recompCodecs: [sized(700)] });
    device.writePage(3, shortPage(1));
    expect(device.recompress({ threshold })).toBe(smaller);
    expect(sizes(device)).toEqual([smaller === 1 ? 700 : 1500]);
    // A block that is too long for the threshold can be used without a threshold.
    expect(device.recompress()).toBe(1 - smaller);
  });

  test('thresholds are exact with a codec of the core too', async () => {
    const device = await create({ codec: sized(2000), recompCodecs: ['lz4'] });
    const page = pageOf(5, 600).fill(0, 2000);
    device.writePage(0, page);
    const { length } = lz4Block(device.ram, page);
    expect(device.recompress({ threshold: length })).toBe(0);
    expect(sizes(device)).toEqual([2000]);
    expect(device.recompress({ threshold: length + 1 })).toBe(1);
    expect(sizes(device)).toEqual([length]);
  });

  test('maxPages is exact, and each page gets the codec of its priority', async () => {
    const device = await create({ codec: sized(1500), recompCodecs: [sized(900), sized(300)] });
    for (let index = 0; index < 5; index++) device.writePage(index, shortPage(index));
    expect(device.recompress({ maxPages: 0 })).toBe(0);
    expect(device.recompress({ maxPages: 2 })).toBe(2);
    expect(sizes(device)).toEqual([900, 900, 1500, 1500, 1500]);
    expect(device.recompress({ priority: 1 })).toBe(3);
    expect(device.recompress({ priority: 1 })).toBe(0);
    expect(device.recompress({ priority: 2, maxPages: 4 })).toBe(4);
    expect(sizes(device)).toEqual([300, 300, 300, 300, 900]);
  });
});

function lz4Block(ram: Ram, page: Uint8Array): Uint8Array {
  const into = new Uint8Array(2 * PAGE_SIZE);
  return into.subarray(0, ram.codec('lz4').compress(page, into));
}

describe('limits and ranges', () => {
  test('memlimit is exact: the pool gets so many frames and not one more', async () => {
    const device = await create({ allocator: 'zbud', memlimit: 5 * PAGE_SIZE });
    for (let index = 0; index < 5; index++) device.writePage(index, rawPage(index));
    expect(codeOf(() => device.writePage(5, rawPage(5)))).toBe('ENOMEM');
    expect(codeOf(() => device.writePage(5, filledPage(5)))).toBeUndefined();
    expect(device.mmStat()).toMatchObject({ memUsedTotal: 5 * PAGE_SIZE });
    device.memlimit = 6 * PAGE_SIZE;
    expect(codeOf(() => device.writePage(6, rawPage(6)))).toBeUndefined();
    device.check();
  });

  test('a page is idle when it has the given age, exact to a second', async () => {
    let time = 0;
    const device = await create({ clock: () => time });
    for (const at of [0, 9, 10, 11]) {
      time = at;
      device.writePage(at, shortPage(at));
    }
    time = 20;
    const idle = (): number[] =>
      [...device.blockState()].filter(({ flags }) => flags.includes('i')).map(({ index }) => index);
    expect(device.markIdle(10)).toBe(3);
    expect(idle()).toEqual([0, 9, 10]);
    expect(device.markIdle(11)).toBe(2);
    expect(idle()).toEqual([0, 9]);
    expect(device.markIdle(21)).toBe(0);
    expect(device.markIdle(20)).toBe(1);
    expect(device.markIdle('all')).toBe(4);
    device.readPage(9, new Uint8Array(PAGE_SIZE));
    expect(idle()).toEqual([0, 10, 11]);
  });

  test('the first and the last page of a discard, of a selection, and of the device', async () => {
    const store = new RecordingStore();
    const device = await create({ backing: store });
    const all = (): number[] => [...device.blockState()].map(({ index }) => index);
    for (const index of [0, 3, 4, 5, 6, 63]) device.writePage(index, pageOf(index));
    expect(device.discard(4, 2)).toBe(2);
    expect(all()).toEqual([0, 3, 6, 63]);
    expect(codeOf(() => device.discard(63, 2))).toBe('EINVAL');
    expect(codeOf(() => device.discard(64, 0))).toBeUndefined();
    expect(codeOf(() => device.readPage(64, new Uint8Array(PAGE_SIZE)))).toBe('EINVAL');
    expect(device.writeback({ pages: [[3, 6]] })).toBe(2);
    expect(device.writeback({ pages: [63, 0] })).toBe(2);
    expect(device.bdStat()).toMatchObject({ bdCount: 4 });
    expect(store.held.size).toBe(4);
    for (const index of [0, 3, 6, 63]) {
      const into = new Uint8Array(PAGE_SIZE);
      device.readPage(index, into);
      expectBytes(into, pageOf(index));
    }
    expect(device.discard(0, 64)).toBe(4);
    expect([all(), store.held.size]).toEqual([[], 0]);
  });

  test('writeback takes the largest pages first, and not more than its limit', async () => {
    const store = new RecordingStore();
    const device = await create({ backing: store, codec: 'lz4' });
    const bytes = [300, 1800, 900, 2500];
    bytes.forEach((size, index) => device.writePage(index, pageOf(index, size)));
    device.markIdle();
    device.writebackLimit = 2;
    expect(device.writeback('idle')).toBe(2);
    expect(device.writebackLimit).toBe(0);
    expect(codeOf(() => device.writeback('idle'))).toBe('EIO');
    expect([...device.blockState()].filter(({ flags }) => flags.includes('w')).map(({ index }) => index)).toEqual([
      1, 3,
    ]);
    store.failure = new Error('not now');
    device.writebackLimit = 1;
    expect(codeOf(() => device.writeback('idle'))).toBe('EIO');
    expect(device.writebackLimit).toBe(1); // failed writes do not count
  });
});

describe('a snapshot while a write is under way', () => {
  test('is EBUSY for a new page and for a page that moves to the store, and works before and after', async () => {
    const ram = await createRam();
    const store = new ChaosStore({ mode: 'async' });
    const device = await create({ ram, backing: store as BackingStore });
    device.writePage(0, pageOf(1));
    ram.snapshot();
    const written = device.writePageAsync(1, rawPage(1));
    expect(codeOf(() => ram.snapshot())).toBe('EBUSY');
    await quiet();
    expect(codeOf(() => ram.snapshot())).toBe('EBUSY');
    store.settle();
    await written;
    ram.snapshot();
    const moved = device.writebackAsync({ pages: [0] });
    await quiet();
    expect(codeOf(() => ram.snapshot())).toBe('EBUSY');
    store.settle();
    expect(await moved).toBe(1);
    ram.snapshot();
  });
});
