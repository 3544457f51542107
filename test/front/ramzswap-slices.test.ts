/** Ramzswap: long calls in slices, and other calls between the slices. */
import { describe, expect, test } from 'vitest';
import {
  ALLOCATORS,
  MemoryStore,
  PAGE_SIZE,
  Ram,
  Ramzswap,
  type AllocatorName,
  type BackingStore,
  type RamzswapOptions,
} from '../../bindings/index.ts';
import { builds, buildOptions, expectBytes } from '../harness.ts';

const build = builds[builds.length - 1] ?? 'release';
const PAGES = 3000;
const LIMIT_MS = 60_000;

/** A page of words, some of them random; each page has versions. */
function contents(index: number, version = 0): Uint8Array {
  const text = new TextEncoder().encode(`page ${index % 50}, as it is written down here; `);
  const page = new Uint8Array(PAGE_SIZE);
  for (let at = 0; at < PAGE_SIZE; at += text.length) page.set(text.subarray(0, PAGE_SIZE - at), at);
  const words = new DataView(page.buffer);
  let state = (index * 2654435761 + version * 40503 + 1) >>> 0;
  for (let at = 0; at < (index * 97) % 3800; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    if (at % 32 < 20) words.setUint32(at, state, true);
  }
  return page;
}

/** A store that answers with promises. */
function asynchronous(store: MemoryStore): BackingStore {
  return {
    mode: 'async',
    slots: PAGES,
    write: async (slot, bytes) => store.write(slot, bytes),
    read: async (slot, into) => store.read(slot, into),
    free: async (slot) => store.free(slot),
    close: async () => store.close(),
  };
}

async function filled(options: RamzswapOptions = {}): Promise<Ramzswap> {
  const device = await Ramzswap.create({
    disksize: PAGES * PAGE_SIZE,
    clock: () => 1000,
    recompCodecs: ['lz4hc'],
    ...buildOptions(build),
    ...options,
  });
  for (let index = 0; index < PAGES; index++) device.writePage(index, contents(index));
  return device;
}

/** The code of the error of a call. */
async function endOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return (error as { code: unknown }).code;
  }
}

/** Frees every second page, so that compaction has something to do. */
function halved(device: Ramzswap): Ramzswap {
  for (let index = 1; index < PAGES; index += 2) device.freeNotify(index);
  return device;
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/**
 * Runs `act` in each turn of the event loop until a call has ended. @returns the result of the call, and the number of
 * turns
 */
async function beside<T>(
  call: Promise<T>,
  each: (nth: number) => void = () => undefined,
): Promise<{ result: T; turns: number }> {
  let over = false;
  const ended = call.finally(() => (over = true));
  ended.catch(() => undefined);
  let turns = 0;
  for (await turn(); !over; await turn()) each(turns++);
  return { result: await ended, turns };
}

function expectContents(device: Ramzswap, versions: ReadonlyMap<number, Uint8Array> = new Map(), step = 1): void {
  const page = new Uint8Array(PAGE_SIZE);
  for (let index = 0; index < PAGES; index += step) {
    device.readPage(index, page);
    expectBytes(page, versions.get(index) ?? contents(index), `page ${index}`);
  }
  device.check();
}

const states = (device: Ramzswap): string[] =>
  [...device.blockState()].map(({ index, flags, bytes }) => `${index} ${flags} ${bytes}`);

describe('a long call in slices, with reads in between, has the same result as the synchronous call', () => {
  const reads = (device: Ramzswap): ((nth: number) => void) => {
    const page = new Uint8Array(PAGE_SIZE);
    return (nth) => {
      const index = 2 * ((nth * 271) % (PAGES / 2));
      device.readPage(index, page);
      expectBytes(page, contents(index), `page ${index}`);
    };
  };

  test(
    'recompress',
    async () => {
      const [alone, sliced] = [await filled(), await filled()];
      const smaller = alone.recompress();
      const { result, turns } = await beside(sliced.recompressAsync(), reads(sliced));
      expect([result, states(sliced)]).toEqual([smaller, states(alone)]);
      expect(smaller).toBeGreaterThan(PAGES / 4);
      expect(turns).toBeGreaterThan(5);
      expectContents(sliced);
      await alone.close();
      await sliced.close();
    },
    LIMIT_MS,
  );

  test.each([
    ['sync', false],
    ['async', true],
  ] as const)(
    'writeback to a store that is %s',
    async (_, isAsync) => {
      const [first, second] = [new MemoryStore({ slots: PAGES }), new MemoryStore({ slots: PAGES })];
      const [alone, sliced] = [
        await filled({ backing: first }),
        await filled({ backing: isAsync ? asynchronous(second) : second }),
      ];
      for (const device of [alone, sliced]) device.markIdle();
      const moved = alone.writeback('idle');
      const { result, turns } = await beside(sliced.writebackAsync('idle'));
      expect([result, states(sliced), sliced.bdStat()]).toEqual([moved, states(alone), alone.bdStat()]);
      expect([moved > PAGES - 100, second.used]).toEqual([true, first.used]);
      expect(turns).toBeGreaterThan(2);
      if (!isAsync) expectContents(sliced);
      await alone.close();
      await sliced.close();
    },
    LIMIT_MS,
  );

  test.each(ALLOCATORS)(
    'compact of %s, except for a few frames',
    async (allocator: AllocatorName) => {
      const [alone, sliced] = [halved(await filled({ allocator })), halved(await filled({ allocator }))];
      const frames = alone.compact();
      const { result } = await beside(sliced.compactAsync(), reads(sliced));
      expect(Math.abs(result - frames)).toBeLessThanOrEqual(Math.ceil(frames / 50));
      expect(sliced.mmStat().pagesCompacted).toBe(result);
      expectContents(sliced, undefined, 2);
      await alone.close();
      await sliced.close();
    },
    LIMIT_MS,
  );

  test('markIdle', async () => {
    let now = 1000;
    const device = await filled({ clock: () => now });
    now = 1100;
    for (let index = 0; index < 500; index++) device.writePage(index, contents(index));
    expect(await device.markIdleAsync(50)).toBe(device.markIdle(50));
    expect(await device.markIdleAsync()).toBe(device.markIdle());
    expect(await device.markIdleAsync(101)).toBe(0);
    expect(await endOf(() => device.markIdleAsync(-1))).toBe('EINVAL');
    expect(await endOf(() => device.markIdleAsync('some' as 'all'))).toBe('EINVAL');
    await device.close();
    expect(await endOf(() => device.markIdleAsync())).toBe('ECLOSED');
  });

  test(
    'reset, after which all slots are free',
    async () => {
      const store = new MemoryStore({ slots: PAGES });
      const device = await filled({ backing: store });
      device.writeback({ pages: [[0, PAGES - 1]] });
      expect(store.used).toBeGreaterThan(PAGES - 100);
      await beside(device.resetAsync());
      expect([store.used, device.initstate]).toEqual([0, false]);
      device.init({ disksize: PAGE_SIZE, backing: store });
      await device.close();
    },
    LIMIT_MS,
  );
});

describe('between slices', () => {
  test(
    'pages can be written, freed and read; the newest content counts',
    async () => {
      const store = new MemoryStore({ slots: PAGES });
      const device = await filled({ backing: store });
      const versions = new Map<number, Uint8Array>();
      const change = (nth: number): void => {
        const index = (nth * 613) % PAGES;
        const page = nth % 7 === 0 ? new Uint8Array(PAGE_SIZE) : contents(index, nth + 1);
        if (nth % 7 === 0) device.freeNotify(index);
        else device.writePage(index, page);
        versions.set(index, page);
      };
      expect((await beside(device.recompressAsync(), change)).turns).toBeGreaterThan(5);
      expectContents(device, versions);
      device.markIdle();
      await beside(device.writebackAsync('idle'), change);
      expectContents(device, versions);
      await beside(device.compactAsync(), change);
      expectContents(device, versions);
      await device.close();
    },
    LIMIT_MS,
  );

  test(
    'other long calls can run, and all of them end',
    async () => {
      const device = await filled({ backing: new MemoryStore({ slots: PAGES }) });
      const calls = [
        device.recompressAsync(),
        device.compactAsync(),
        device.markIdleAsync(),
        device.writebackAsync('huge'),
        device.recompressAsync({ type: 'idle' }),
      ];
      expect((await Promise.all(calls)).every((result) => result >= 0)).toBe(true);
      expectContents(device);
      await device.close();
    },
    LIMIT_MS,
  );

  test(
    'reset is EBUSY, and works afterwards',
    async () => {
      const device = await filled();
      const going = device.recompressAsync();
      await turn();
      expect(await endOf(() => device.reset())).toBe('EBUSY');
      expect(await endOf(() => device.resetAsync())).toBe('EBUSY');
      expect(await going).toBeGreaterThan(0);
      device.reset();
      expect(device.initstate).toBe(false);
      expect(await endOf(() => device.recompressAsync())).toBe('ENODEV');
      await device.close();
    },
    LIMIT_MS,
  );

  test(
    'I/O is EBUSY during a reset',
    async () => {
      const device = await filled({ backing: new MemoryStore({ slots: PAGES }) });
      device.writeback({ pages: [[0, PAGES - 1]] });
      const going = device.resetAsync();
      if (device.initstate) expect(await endOf(() => device.readPage(0, new Uint8Array(PAGE_SIZE)))).toBe('EBUSY');
      await going;
      expect(await endOf(() => device.readPage(0, new Uint8Array(PAGE_SIZE)))).toBe('ENODEV');
      await device.close();
    },
    LIMIT_MS,
  );

  test(
    'close ends the calls: finished work stays, and close waits for them',
    async () => {
      for (const [name, call] of Object.entries({
        recompress: (device: Ramzswap) => device.recompressAsync(),
        writeback: (device: Ramzswap) => device.writebackAsync({ pages: [[0, PAGES - 1]] }),
      })) {
        const store = new MemoryStore({ slots: PAGES });
        const device = await filled({ backing: store });
        let moved = 0;
        const going = endOf(async () => (moved = await call(device)));
        await turn();
        const closing = device.close();
        expect(await going).toBe(name === 'recompress' ? 'ECLOSED' : undefined);
        await closing;
        expect(moved).toBeLessThan(PAGES - 100);
        const next = await Ramzswap.create({ disksize: PAGE_SIZE, backing: store }); // other devices can use the store
        await next.close();
      }
    },
    LIMIT_MS,
  );

  test(
    'closing the RAM ends the calls',
    async () => {
      const ram = await Ram.create({ bytes: '32MiB', ...buildOptions(build) });
      const device = await Ramzswap.create({ ram, disksize: PAGES * PAGE_SIZE, recompCodecs: ['lz4hc'] });
      for (let index = 0; index < PAGES; index++) device.writePage(index, contents(index));
      const going = endOf(() => device.recompressAsync());
      ram.close(); // the call has had one slice
      expect(await going).toBe('ECLOSED');
      await device.close();
    },
    LIMIT_MS,
  );
});
