/** Frames: a full RAM, fault injection at every frame request, and the return of every frame. */
import { expect, test } from 'vitest';
import type { Handle, PageEntry, Ram, Zpool } from '../../../bindings/index.ts';
import {
  allocators,
  changesNothing,
  createPool,
  expectBytes,
  expectIntact,
  fault,
  freeAll,
  mixedSizes,
  noise,
  objectFrames,
  otherRow,
  outcome,
  picture,
  put,
  putAll,
  putUntilFull,
} from '../../harness.ts';
import type { Stored } from '../../harness.ts';
import type { Subject } from './subject.ts';

const ENOMEM_SAYS = /\d+ needed, \d+ free/;

/**
 * Runs an operation while the frame requests from the n-th on fail, for n = 0, 1, … until it succeeds. A failure must
 * change nothing. Returns the number of frames that the operation took.
 */
function atEveryFailure(ram: Ram, op: string, operation: () => void): number {
  for (let n = 0; n < 200; n++) {
    for (const times of [undefined, 1]) {
      const before = picture(ram);
      ram.failFrames(n, times);
      if (outcome(operation) !== 'ENOMEM') {
        ram.failFrames(null);
        ram.check();
        return n;
      }
      ram.check();
      expect(picture(ram)).toBe(before);
      if (times === undefined) fault({ code: 'ENOMEM', op, says: ENOMEM_SAYS }, operation);
      ram.failFrames(null);
      expect(picture(ram)).toBe(before);
    }
  }
  throw new Error(`${op} does not succeed with 200 frames`);
}

const handlesOf = (stored: readonly Stored[]): Handle[] => stored.map(({ handle }) => handle);

export function frames(subject: Subject): void {
  const { row } = subject;

  test('a full RAM: ENOMEM that tells the number of frames; stored objects stay; every frame comes back', async () => {
    const { ram, pool } = await subject.fresh({ bytes: '512KiB' });
    const { usedFrames } = ram.stats();
    const counts: number[] = [];
    for (let round = 0; round < 3; round++) {
      const sizes = mixedSizes(row, 4000);
      const stored = putUntilFull(pool, (i) => sizes[i] as number);
      counts.push(stored.length);
      changesNothing(ram, () =>
        fault({ code: 'ENOMEM', op: 'zpool.malloc', says: ENOMEM_SAYS }, () =>
          pool.malloc(sizes[stored.length] as number),
        ),
      );
      expectIntact(pool, stored);
      freeAll(pool, handlesOf(stored));
      expect([ram.stats().usedFrames, pool.totalPages, pool.stats().objects]).toEqual([usedFrames, row.idleFrames, 0]);
    }
    expect(new Set(counts).size).toBe(1);
    ram.check();
  });

  test('a limit that is reached: the same, and freeFrames counts down to 0', async () => {
    const { ram, pool } = await subject.fresh({ limit: 60 * 4096 });
    expect(ram.freeFrames).toBe(60 - ram.stats().usedFrames);
    const stored = putUntilFull(pool, () => row.largest);
    expect(ram.freeFrames).toBe(0);
    expect(ram.stats()).toMatchObject({ usedFrames: 60, limitFrames: 60, highWaterFrames: 60 });
    pool.free(stored[5]?.handle as Handle);
    pool.malloc(row.largest);
    ram.check();
  });

  test('a full RAM still takes an object that fits in a frame of the pool', async () => {
    const { ram, pool } = await subject.fresh({ bytes: '256KiB' });
    // A multiple of 8: xvmalloc does not find a free block of another size for a request of the same size (X8).
    const stored = putUntilFull(pool, () => 1504);
    const { handle } = stored[stored.length >> 1] as (typeof stored)[number];
    freeAll(pool, [handle]);
    put(pool, 1504);
    ram.check();
  });

  test('after all objects are freed and the pool destroyed, any allocator can use the whole RAM', async () => {
    const ram = await subject.ram({ bytes: '2MiB' });
    const { freeFrames } = ram;
    for (const shape of [row, ...allocators]) {
      const pool = createPool(ram, shape);
      const sizes = mixedSizes(shape, 5000);
      const stored = putUntilFull(pool, (i) => sizes[i] as number);
      expect(stored.length).toBeGreaterThan(50);
      freeAll(pool, handlesOf(stored));
      expect(pool.totalPages).toBe(shape.idleFrames);
      pool.destroy();
      expect([ram.freeFrames, ram.stats().usedFrames]).toEqual([freeFrames, 0]);
      ram.check();
    }
    const pool = createPool(ram, row);
    while (outcome(() => pool.malloc(row.largest)) !== 'ENOMEM');
    while (outcome(() => pool.malloc(1)) !== 'ENOMEM');
    expect(ram.freeFrames).toBe(0);
    pool.destroy();
    expect(ram.freeFrames).toBe(freeFrames);
  });

  test('destroy with live objects gives all frames back, and does not change other pools', async () => {
    const { ram, pool } = await subject.fresh();
    const other = createPool(ram, otherRow(row));
    const theirs = putAll(other, mixedSizes(otherRow(row), 40));
    const used = ram.stats().usedFrames;
    const second = subject.pool(ram);
    putAll(second, mixedSizes(row, 60));
    second.destroy();
    expect(ram.stats().usedFrames).toBe(used);
    expectIntact(other, theirs);
    pool.destroy();
    other.destroy();
    expect(ram.stats().usedFrames).toBe(0);
    ram.check();
  });

  test('destroy with a mapped object is EBUSY, nothing changes', async () => {
    const { ram, pool } = await subject.fresh();
    const stored = putAll(pool, [1630, 1630, 1630, 100, row.largest]);
    for (const { handle } of stored) {
      pool.map(handle, 'ro');
      changesNothing(ram, () => {
        fault({ code: 'EBUSY', op: 'zpool.destroy', says: 'mapped' }, () => pool.destroy());
        fault({ code: 'EBUSY', op: 'zpool.destroy', says: 'mapped' }, () => pool.close());
      });
      pool.unmap(handle);
    }
    expectIntact(pool, stored);
    pool.destroy();
    expect(ram.stats().usedFrames).toBe(0);
  });

  test('failFrames at every n of malloc: first objects, and objects of every kind later', async () => {
    for (const before of [0, 3, 40]) {
      for (const size of [1, 100, 1630, 2500, row.largest]) {
        const { ram, pool } = await subject.fresh();
        const stored = putAll(pool, mixedSizes(row, before));
        const seen: Handle[] = [];
        atEveryFailure(ram, 'zpool.malloc', () => seen.push(pool.malloc(size)));
        expect(seen.length).toBe(1);
        expectIntact(pool, stored);
        freeAll(pool, handlesOf(stored));
        pool.free(seen[0] as Handle);
        expect(pool.totalPages).toBe(row.idleFrames);
        ram.check();
      }
    }
  });

  test('failFrames at every n of the creation of a pool', async () => {
    const { ram, pool } = await subject.fresh();
    const stored = putAll(pool, mixedSizes(row, 30));
    const { length } = ram.pools();
    atEveryFailure(ram, 'ram.zpool', () => void subject.pool(ram, { name: 'late' }));
    expect(ram.pools().length).toBe(length + 1);
    put(ram.openZpool('late'), 100);
    ram.openZpool('late').destroy();
    expectIntact(pool, stored);
  });

  test('failFrames at every n of map: only a straddling object takes a frame', async () => {
    const { ram, pool } = await subject.fresh();
    const stored = putAll(pool, [...mixedSizes(row, 20), 1630, 1630, 1630, 1630, 1630]);
    for (const mode of ['ro', 'rw', 'wo'] as const) {
      for (const { handle, bytes } of stored) {
        const taken = atEveryFailure(ram, 'zpool.map', () => void pool.map(handle, mode));
        expect(taken).toBeLessThanOrEqual(1);
        ram.failFrames(0);
        pool.map(handle, 'ro'); // a second map shares the buffer
        pool.unmap(handle);
        ram.failFrames(null);
        if (mode === 'wo') pool.write(handle, bytes);
        pool.unmap(handle);
      }
    }
    expectIntact(pool, stored);
  });

  test('failFrames at every n of storePage', async () => {
    const compressible = new Uint8Array(4096).map((_, i) => (i >> 5) & 255);
    for (const page of [compressible, noise(4096, 4)]) {
      const { ram, pool } = await subject.fresh();
      const entries: PageEntry[] = [];
      atEveryFailure(ram, 'zpool.storePage', () => entries.push(pool.storePage(page)));
      const into = new Uint8Array(4096);
      ram.failFrames(0);
      pool.loadPage(entries[0] as PageEntry, into);
      expectBytes(into, page);
      pool.freePage(entries[0] as PageEntry);
      ram.failFrames(null);
      expect(pool.totalPages).toBe(row.idleFrames);
      ram.check();
    }
  });

  test('free, write, read, compact, shrink and snapshot take no frame', async () => {
    const { ram, pool } = await subject.fresh({}, { evict: (handle, from) => from.free(handle) });
    const stored = putAll(pool, mixedSizes(row, 60));
    ram.failFrames(0);
    stored.forEach(({ handle }, i) => i % 2 === 0 && pool.free(handle));
    pool.compact();
    const kept = stored.filter((_, i) => i % 2 === 1);
    expectIntact(pool, kept);
    for (const { handle, bytes } of kept) pool.write(handle, bytes);
    pool.shrink(3);
    expect(ram.snapshot().length).toBeGreaterThan(0);
    fault({ code: 'ENOMEM', op: 'ram.zpool', says: ENOMEM_SAYS }, () => subject.pool(ram));
    ram.failFrames(null);
    ram.check();
  });

  test('the last free takes no frame either, and the next malloc restores the reserve', async () => {
    const { ram, pool } = await subject.fresh({ bytes: '8MiB' });
    const { usedFrames } = ram.stats();
    const stored = putAll(pool, mixedSizes(row, 300));
    ram.failFrames(0);
    freeAll(pool, handlesOf(stored));
    ram.check();
    expect(objectFrames(pool)).toBe(0);
    expect(ram.stats().usedFrames).toBeLessThanOrEqual(usedFrames);
    ram.failFrames(null);
    freeAll(pool, [pool.malloc(1)]);
    expect([ram.stats().usedFrames, pool.totalPages]).toEqual([usedFrames, row.idleFrames]);
    ram.check();
  });

  test('failFrames at every n of a shrink whose callback allocates: no object is lost, and the shrink can be repeated', async () => {
    for (let n = 0; n < 12; n++) {
      let live: Stored[] = [];
      const { ram, pool } = await subject.fresh(
        {},
        {
          ...row.frugal,
          evict: (handle, from) => {
            for (const size of [row.largest, 100]) {
              const made = outcome(() => put(from, size, live.length));
              if (made !== 'ENOMEM') live.push(made as Stored);
            }
            from.free(handle);
            live = live.filter((one) => one.handle !== handle);
          },
        },
      );
      const { usedFrames } = ram.stats();
      live = putAll(pool, mixedSizes(row, 30));
      for (const times of [1, undefined, null]) {
        ram.failFrames(times === null ? null : n, times ?? undefined);
        expect(pool.shrink(1)).toBeGreaterThan(0);
        ram.check();
        expectIntact(pool, live);
      }
      freeAll(pool, handlesOf(live));
      expect([ram.stats().usedFrames, objectFrames(pool)]).toEqual([usedFrames, 0]);
    }
  });

  test('failFrames(after, count) fails that many requests, failFrames(null) ends it; bad numbers are EINVAL', async () => {
    const { ram, pool } = await subject.fresh({}, row.frugal);
    const attempt = (): boolean => outcome(() => pool.malloc(row.largest)) !== 'ENOMEM';
    for (let i = 0; i < 3; i++) attempt(); // the frames for handles and descriptors exist now
    ram.failFrames(2, 3);
    expect(Array.from({ length: 8 }, attempt)).toEqual([true, true, false, false, false, true, true, true]);
    ram.failFrames(1);
    expect(Array.from({ length: 5 }, attempt)).toEqual([true, false, false, false, false]);
    ram.failFrames(null);
    expect(Array.from({ length: 3 }, attempt)).toEqual([true, true, true]);
    ram.failFrames(0, 0);
    expect(attempt()).toBe(true);
    for (const bad of [-1, 0.5, NaN, 2 ** 32, '1', undefined]) {
      fault({ code: 'EINVAL', op: 'ram.failFrames', says: 'after' }, () => ram.failFrames(bad as number));
      if (bad !== undefined)
        fault({ code: 'EINVAL', op: 'ram.failFrames', says: 'times' }, () => ram.failFrames(0, bad as number));
    }
    expect(attempt()).toBe(true);
  });

  test('fault injection while the pool is used: calls that failed can be repeated', async () => {
    const { ram, pool } = await subject.fresh({}, row.frugal);
    const live: { handle: Handle; bytes: Uint8Array }[] = [];
    const sizes = mixedSizes(row, 200);
    let failed = 0;
    for (let i = 0; i < 200; i++) {
      const size = sizes[i] as number;
      ram.failFrames(i % 3, 1);
      let stored = outcome(() => put(pool, size, i));
      if (stored === 'ENOMEM') {
        failed++;
        ram.failFrames(null);
        stored = put(pool, size, i);
      }
      live.push(stored as (typeof live)[number]);
      if (i % 3 === 2) pool.free((live.splice((i * 7) % live.length, 1)[0] as (typeof live)[number]).handle);
      ram.check();
    }
    ram.failFrames(null);
    expect(failed).toBeGreaterThan(0);
    expectIntact(pool as Zpool, live);
  });
}
