/** map and unmap: modes, buffers, counts. */
import { expect, test } from 'vitest';
import type { Handle, MapMode, Zpool } from '../../../bindings/index.ts';
import { changesNothing, expectBytes, expectIntact, fault, mixedSizes, noise, putAll } from '../../harness.ts';
import type { Stored } from '../../harness.ts';
import type { Subject } from './subject.ts';

const NOT_MODES = ['', 'RO', 'r', 'rwo', 'toString', '__proto__', 0, null, undefined, {}];

/** Objects whose bytes lie in two frames. */
function straddling(pool: Zpool): Set<Handle> {
  const seen = new Set<Handle>();
  const twice = new Set<Handle>();
  pool.walk(({ objects }) => {
    for (const { handle } of objects) (seen.has(handle) ? twice : seen).add(handle);
  });
  return twice;
}

export function maps(subject: Subject): void {
  const { row } = subject;

  /** Objects of all kinds, among them objects that straddle two frames where the allocator has any. */
  async function populated(): Promise<{
    ram: Awaited<ReturnType<Subject['ram']>>;
    pool: Zpool;
    stored: Stored[];
    split: Set<Handle>;
  }> {
    const { ram, pool } = await subject.fresh();
    const stored = putAll(pool, [...mixedSizes(row, 40), 1630, 1630, 1630, 1630, 1630, 1630, 1, row.largest]);
    return { ram, pool, stored, split: straddling(pool) };
  }

  test('map gives a view of exactly the bytes, in every mode', async () => {
    const { ram, pool, stored } = await populated();
    const used = ram.stats().usedFrames;
    for (const { handle, bytes } of stored) {
      const ro = pool.map(handle, 'ro');
      expectBytes(ro, bytes, 'ro');
      pool.unmap(handle);
      const rw = pool.map(handle, 'rw');
      expectBytes(rw, bytes, 'rw');
      rw[bytes.length >> 1] = bytes[bytes.length >> 1] = 0xa5;
      pool.unmap(handle);
      expectBytes(pool.read(handle), bytes, 'after rw');
      const wo = pool.map(handle, 'wo');
      expect(wo.length).toBe(bytes.length);
      bytes.set(noise(bytes.length, handle));
      wo.set(bytes);
      pool.unmap(handle);
      ram.check();
    }
    expectIntact(pool, stored);
    expect(ram.stats().usedFrames).toBe(used);
  });

  test('a wo view of an object that straddles starts as zeros, and bytes that are not written become zero', async () => {
    const { pool, stored, split } = await populated();
    expect(split.size > 0).toBe(row.straddles);
    for (const { handle, bytes } of stored.filter(({ handle }) => split.has(handle))) {
      const view = pool.map(handle, 'wo');
      expect(view.every((byte) => byte === 0)).toBe(true);
      view[3] = 1;
      pool.unmap(handle);
      const expected = new Uint8Array(bytes.length);
      expected[3] = 1;
      expectBytes(pool.read(handle), expected);
    }
  });

  test('two maps of one object share its bytes; the last unmap writes them back if any map was rw or wo', async () => {
    const { ram, pool, stored } = await populated();
    const orders: [MapMode, MapMode][] = [
      ['ro', 'rw'],
      ['rw', 'ro'],
      ['ro', 'wo'],
      ['wo', 'ro'],
      ['rw', 'rw'],
      ['ro', 'ro'],
    ];
    for (const { handle, bytes } of stored) {
      for (const [first, second] of orders) {
        const a = pool.map(handle, first);
        const b = pool.map(handle, second);
        if (first !== 'ro' || second !== 'ro') {
          bytes.set(noise(bytes.length, bytes.length + 3));
          (first === 'ro' ? b : a).set(bytes);
        }
        expectBytes(a, bytes, `${first} of ${first}, ${second}`);
        expectBytes(b, bytes, `${second} of ${first}, ${second}`);
        expectBytes(pool.read(handle), bytes, 'read meanwhile');
        pool.unmap(handle);
        ram.check();
        expectBytes(a, bytes, 'the map that is left');
        fault({ code: 'EBUSY', op: 'zpool.free' }, () => pool.free(handle));
        pool.unmap(handle);
        expectBytes(pool.read(handle), bytes, `after ${first}, ${second}`);
      }
    }
    ram.check();
  });

  test('write and read use the map while there is one, and its bytes stay after the unmap', async () => {
    const { ram, pool, stored } = await populated();
    for (const { handle, bytes } of stored) {
      const view = pool.map(handle, 'ro');
      const part = noise(bytes.length - (bytes.length >> 1), 5);
      pool.write(handle, part, bytes.length >> 1);
      bytes.set(part, bytes.length >> 1);
      expectBytes(view, bytes, 'the view');
      expectBytes(pool.read(handle, undefined, bytes.length >> 2), bytes.subarray(bytes.length >> 2));
      pool.unmap(handle);
      expectBytes(pool.read(handle), bytes, 'after unmap');
    }
    ram.check();
  });

  test('maps of several objects at the same time do not disturb each other', async () => {
    const { ram, pool, stored } = await populated();
    const views = stored.map(({ handle }, i) => pool.map(handle, i % 2 === 0 ? 'rw' : 'ro'));
    expect([pool.stats().maps, ram.stats().maps]).toEqual([stored.length, stored.length]);
    ram.check();
    views.forEach((view, i) => {
      if (i % 2 === 0) view.set((stored[i] as Stored).bytes.fill(i));
    });
    for (const { handle } of stored) pool.unmap(handle);
    expectIntact(pool, stored);
    expect([pool.stats().maps, ram.stats().maps]).toEqual([0, 0]);
    ram.check();
  });

  test('one object can be mapped 1000 times', async () => {
    const { ram, pool, stored } = await populated();
    for (const { handle, bytes } of stored.slice(-7)) {
      const used = ram.stats().usedFrames;
      for (let i = 0; i < 1000; i++) pool.map(handle, i === 500 ? 'rw' : 'ro');
      expect(ram.stats().usedFrames).toBeLessThanOrEqual(used + 1);
      expect(pool.stats().maps).toBe(1000);
      pool.map(handle, 'rw').set(bytes.fill(7));
      pool.unmap(handle);
      ram.check();
      for (let i = 1000; i > 0; i--) {
        if (i % 100 === 1) fault({ code: 'EBUSY', op: 'zpool.free', says: 'mapped' }, () => pool.free(handle));
        pool.unmap(handle);
      }
      fault({ code: 'EINVAL', op: 'zpool.unmap', says: 'not mapped' }, () => pool.unmap(handle));
      expectBytes(pool.read(handle), bytes);
      pool.free(handle);
      ram.check();
    }
  });

  test('another mode, or one unmap too many, is EINVAL', async () => {
    const { ram, pool, stored } = await populated();
    const { handle } = stored[0] as Stored;
    changesNothing(ram, () => {
      for (const mode of NOT_MODES)
        fault({ code: 'EINVAL', op: 'zpool.map', says: 'mode' }, () => pool.map(handle, mode as MapMode));
      fault({ code: 'EINVAL', op: 'zpool.unmap' }, () => pool.unmap(handle));
    });
  });

  test('free of a mapped object is EBUSY, and nothing changes', async () => {
    const { ram, pool, stored } = await populated();
    for (const { handle } of stored) {
      pool.map(handle, 'ro');
      changesNothing(ram, () => fault({ code: 'EBUSY', op: 'zpool.free', says: 'mapped' }, () => pool.free(handle)));
      fault({ code: 'EBUSY', op: 'zpool.freePage', says: 'mapped' }, () => pool.freePage(handle as never));
      pool.unmap(handle);
    }
  });

  test('compact() does not move a mapped object', async () => {
    const { ram, pool, stored } = await populated();
    const kept = stored.filter((_, i) => i % 3 === 0);
    stored.forEach(({ handle }, i) => i % 3 !== 0 && pool.free(handle));
    const mapped = kept.filter((_, i) => i % 2 === 0);
    const before = mapped.map(({ handle }) => ({ view: pool.map(handle, 'rw'), place: pool.locate(handle) }));
    pool.compact();
    ram.check();
    mapped.forEach(({ handle, bytes }, i) => {
      const { view, place } = before[i] as (typeof before)[number];
      expect(pool.locate(handle)).toEqual(place);
      expectBytes(view, bytes);
      view.set(bytes.fill(i));
      pool.unmap(handle);
    });
    expectIntact(pool, kept);
    pool.compact();
    expectIntact(pool, kept);
    ram.check();
  });
}
