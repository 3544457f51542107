/** Ramzswap: incompressible pages that the backing store does not take. */
import { describe, expect, test } from 'vitest';
import { ALLOCATORS, PAGE_SIZE, Ram, Ramzswap, type ErrorCode, type RamzswapOptions } from '../../bindings/index.ts';
import { builds, buildOptions, expectBytes } from '../harness.ts';
import { ChaosStore } from './chaos-store.ts';
import { quiet } from './clock.ts';
import { RecordingStore, codeOf, pageOf, rawPage } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';

async function create(options: RamzswapOptions): Promise<Ramzswap> {
  return Ramzswap.create({ disksize: '1MiB', bytes: '4MiB', ...buildOptions(build), ...options });
}

function got(device: Ramzswap, index: number): Uint8Array {
  const into = new Uint8Array(PAGE_SIZE).fill(0xa5);
  device.readPage(index, into);
  return into;
}

async function rejectedWith(call: Promise<unknown>): Promise<ErrorCode | undefined> {
  return call.then(
    () => undefined,
    (error: unknown) =>
      codeOf(() => {
        throw error as Error;
      }),
  );
}

async function settled<T>(store: ChaosStore, call: Promise<T>): Promise<T> {
  let over = false;
  const done = (): void => void (over = true);
  call.then(done, done);
  for (let n = 0; n < 2000 && !over; n++) {
    await quiet();
    store.settle(0);
  }
  return call;
}

function huge(device: Ramzswap): number {
  return [...device.blockState()].filter(({ flags }) => flags.includes('h')).length;
}

describe.each(ALLOCATORS)('on %s', (allocator) => {
  const zpool = allocator === 'xcfmalloc' ? { reserve: 0 } : {};

  test('a full store: pages stay in memory, and are refused only when memory is full too', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    const store = new RecordingStore(10);
    const device = await Ramzswap.create({ ram, disksize: '2MiB', backing: store, allocator, zpool });
    let accepted = 0;
    while (
      codeOf(() => {
        device.writePage(accepted, rawPage(accepted));
      }) === undefined
    )
      accepted += 1;
    expect(accepted).toBeGreaterThan(150);
    expect([device.bdStat().bdCount, huge(device)]).toEqual([10, accepted - 10]);
    expect(
      codeOf(() => {
        device.writePage(accepted, rawPage(accepted));
      }),
    ).toBe('ENOSPC');
    for (let n = 0; n < accepted; n++) expectBytes(got(device, n), rawPage(n), `page ${n}`);
    device.check();
    // An overwrite that is refused keeps the old page; a slot that becomes free is used again.
    expect(
      codeOf(() => {
        device.writePage(0, rawPage(1000));
      }),
    ).toBe('ENOSPC');
    expectBytes(got(device, 0), rawPage(0));
    device.freeNotify(1);
    device.writePage(accepted, rawPage(accepted));
    expect(device.bdStat().bdCount).toBe(10);
    expect(device.stats()).toMatchObject({ failedWrites: 3 });
    device.discard(20, 100);
    device.compact();
    for (let n = 20; n < 60; n++) device.writePage(n, rawPage(2 * n));
    for (let n = 20; n < 60; n++) expectBytes(got(device, n), rawPage(2 * n));
    device.check();
  });

  test('a store that fails: pages stay in memory; when memory is full too, the error is that of the store', async () => {
    const store = new RecordingStore();
    const device = await create({ backing: store, allocator, zpool });
    store.failure = new Error('gone');
    for (let n = 0; n < 50; n++) device.writePage(n, rawPage(n));
    device.write(3 * PAGE_SIZE + 10, rawPage(7).subarray(0, 100));
    const third = rawPage(3);
    third.set(rawPage(7).subarray(0, 100), 10);
    for (let n = 0; n < 50; n++) expectBytes(got(device, n), n === 3 ? third : rawPage(n));
    expect([huge(device), device.bdStat().bdCount, device.stats().failedWrites]).toEqual([50, 0, 0]);
    device.memlimit = PAGE_SIZE;
    expect(
      codeOf(() => {
        device.writePage(50, rawPage(50));
      }),
    ).toBe('EIO');
    device.memlimit = 0;
    store.failure = undefined;
    expect(device.writeback('huge')).toBe(50);
    for (let n = 0; n < 50; n++) expectBytes(got(device, n), n === 3 ? third : rawPage(n));
    device.check();
    expect(store.held.size).toBe(50);
  });
});

describe('an asynchronous store', () => {
  test('that is full, fails or hangs: pages stay in memory', async () => {
    for (const condition of ['full', 'gone', 'stuck'] as const) {
      const store = new ChaosStore({ mode: 'async', maxInFlight: 4 });
      const device = await create({ backing: store, maxInFlight: 4, timeout: 20 });
      store.condition = condition;
      const writes = Array.from({ length: 20 }, (_, n) => device.writePageAsync(n, rawPage(n)));
      await settled(store, Promise.all(writes));
      for (let n = 0; n < 20; n++) expectBytes(got(device, n), rawPage(n), `${condition}: page ${n}`);
      expect([huge(device), device.bdStat().bdCount, device.stats().failedWrites]).toEqual([20, 0, 0]);
      await settled(store, device.writeAsync(5 * PAGE_SIZE + 1, Uint8Array.of(9, 9)));
      expect(got(device, 5).subarray(1, 3)).toEqual(Uint8Array.of(9, 9));
      device.memlimit = PAGE_SIZE;
      expect(await rejectedWith(settled(store, device.writePageAsync(30, rawPage(30))))).toBe(
        condition === 'full' ? 'ENOSPC' : 'EIO',
      );
      store.recover();
      while (store.release()) await quiet();
      while (store.settle()) await quiet();
      device.check();
      expect(store.owned.size).toBe(0);
      store.verify();
    }
  });

  test('of two writes of one page the later one counts, whichever the store refuses', async () => {
    for (const refused of [0, 1]) {
      const store = new ChaosStore({ mode: 'async' });
      const device = await create({ backing: store });
      store.plan('write', 'undone', refused);
      const writes = [device.writePageAsync(0, rawPage(1)), device.writePageAsync(0, rawPage(2))];
      await settled(store, Promise.all(writes));
      expect(store.failed.write).toBe(1);
      const into = new Uint8Array(PAGE_SIZE);
      await settled(store, device.readPageAsync(0, into));
      expectBytes(into, rawPage(2), `refused ${refused}`);
      device.check();
    }
  });

  test('a write that a later one has replaced has no effect, also when the store refuses it', async () => {
    const store = new ChaosStore({ mode: 'async' });
    const device = await create({ backing: store });
    store.plan('write', 'undone', 0);
    const write = device.writePageAsync(0, rawPage(1));
    for (let n = 0; n < 5; n++) await quiet();
    device.writePage(0, pageOf(2));
    await settled(store, write);
    expect(store.failed.write).toBe(1);
    expectBytes(got(device, 0), pageOf(2));
    expect(huge(device)).toBe(0);
    device.check();
  });
});
