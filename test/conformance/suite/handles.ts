/** Handles: a number that was never given out, was freed, or belongs to another pool is EINVAL, and nothing changes. */
import { expect, test } from 'vitest';
import type { Handle, PageEntry, Ram, Zpool } from '../../../bindings/index.ts';
import {
  allocators,
  changesNothing,
  createPool,
  expectIntact,
  fault,
  freeAll,
  mixedSizes,
  noise,
  otherRow,
  picture,
  put,
  putAll,
} from '../../harness.ts';
import type { Subject } from './subject.ts';

/** Every call that takes a handle. */
const CALLS: Record<string, (pool: Zpool, handle: Handle) => unknown> = {
  free: (pool, handle) => pool.free(handle),
  size: (pool, handle) => pool.size(handle),
  write: (pool, handle) => pool.write(handle, new Uint8Array(1)),
  read: (pool, handle) => pool.read(handle),
  map: (pool, handle) => pool.map(handle, 'rw'),
  unmap: (pool, handle) => pool.unmap(handle),
  locate: (pool, handle) => pool.locate(handle),
  loadPage: (pool, handle) => pool.loadPage(handle as unknown as PageEntry, new Uint8Array(4096)),
  freePage: (pool, handle) => pool.freePage(handle as unknown as PageEntry),
};

/**
 * Requires that every call refuses the handle. Negative whole numbers are page entries, so the page calls are left out
 * for them.
 */
function refused(pool: Zpool, handle: unknown): void {
  for (const [name, call] of Object.entries(CALLS)) {
    if (name.endsWith('Page') && typeof handle === 'number' && handle < 0 && Number.isInteger(handle)) continue;
    fault({ code: 'EINVAL', op: `zpool.${name}`, says: 'handle' }, () => call(pool, handle as Handle));
  }
}

const NO_HANDLES = [
  NaN,
  Infinity,
  -Infinity,
  0.5,
  -0.5,
  -1,
  -100,
  2 ** 32,
  2 ** 53,
  '1',
  '',
  null,
  undefined,
  {},
  [],
  true,
  5n,
  Symbol('h'),
];

export function handles(subject: Subject): void {
  const { row } = subject;

  async function populated(): Promise<{ ram: Ram; pool: Zpool; live: Handle[] }> {
    const { ram, pool } = await subject.fresh();
    return { ram, pool, live: putAll(pool, mixedSizes(row, 40)).map(({ handle }) => handle) };
  }

  test('numbers that are not u32, and values that are not numbers, are refused', async () => {
    const { ram, pool, live } = await populated();
    changesNothing(ram, () => {
      for (const handle of NO_HANDLES) refused(pool, handle);
      for (const handle of live.slice(0, 5)) {
        for (const near of [
          handle + 0.5,
          handle + 2 ** 32,
          handle - 2 ** 32,
          handle + 2 ** 33,
          -handle,
          String(handle),
          [handle],
          BigInt(handle),
        ])
          refused(pool, near);
      }
    });
  });

  test('0, and u32 numbers that were never given out, are refused', async () => {
    const { ram, pool, live } = await populated();
    const given = new Set<number>(live);
    changesNothing(ram, () => {
      for (const handle of [0, 1, 2, 0xffffffff, 0xfffff000, 0xffffefff, 0x7fffffff, 0x80000000]) refused(pool, handle);
      const random = new Uint32Array(noise(4 * 500, 3).buffer);
      for (const handle of random) if (!given.has(handle)) refused(pool, handle);
      for (const handle of live) {
        for (let bit = 0; bit < 32; bit++) {
          const near = (handle ^ (1 << bit)) >>> 0;
          if (!given.has(near)) fault({ code: 'EINVAL', op: 'zpool.size' }, () => pool.size(near as Handle));
        }
      }
      for (let low = 0; low < 4096; low++)
        if (!given.has(low)) fault({ code: 'EINVAL', op: 'zpool.free' }, () => pool.free(low as Handle));
    });
  });

  test('a freed handle is refused', async () => {
    const { ram, pool, live } = await populated();
    live.forEach((handle, i) => i % 2 === 0 && pool.free(handle));
    changesNothing(ram, () => live.forEach((handle, i) => i % 2 === 0 && refused(pool, handle)));
    freeAll(
      pool,
      live.filter((_, i) => i % 2 === 1),
    );
    live.forEach((handle) => refused(pool, handle));
    expect(pool.totalPages).toBe(row.idleFrames);
    ram.check();
  });

  test('handles of other pools, of the same and of every other allocator, are refused in both directions', async () => {
    const { ram, pool, live } = await populated();
    for (const shape of [row, ...allocators]) {
      const other = createPool(ram, shape);
      const theirs = putAll(other, mixedSizes(shape, 20)).map(({ handle }) => handle);
      changesNothing(ram, () => {
        for (const handle of theirs) if (!live.includes(handle)) refused(pool, handle);
        for (const handle of live) if (!theirs.includes(handle)) refused(other, handle);
      });
      expect(theirs.filter((handle) => live.includes(handle))).toEqual([]);
    }
  });

  test('a number is never a live handle of two pools', async () => {
    const { ram, pool } = await subject.fresh({ bytes: '2MiB' });
    const other = createPool(ram, otherRow(row));
    const mine = Array.from({ length: 200 }, () => pool.malloc(1));
    const theirs = Array.from({ length: 40 }, () => other.malloc(1));
    const live = new Set<number>(mine);
    for (let i = 0; i < 40 * 300; i++) {
      other.free(theirs.shift() as Handle);
      const handle = other.malloc(1);
      if (live.has(handle)) throw new Error(`${handle} is live in both`);
      theirs.push(handle);
    }
    for (const handle of mine) fault({ code: 'EINVAL', op: 'zpool.size' }, () => other.size(handle));
  });

  test(`a stale handle is refused after its slot was reused ${row.staleUses} times`, async () => {
    const { ram, pool } = await subject.fresh();
    const neighbour = put(pool, 100);
    const stale: Handle[] = [];
    for (let i = 0; i < row.staleUses; i++) {
      const handle = pool.malloc(100);
      stale.push(handle);
      pool.free(handle);
    }
    expect(new Set(stale).size).toBe(row.staleUses);
    const live = put(pool, 100);
    changesNothing(ram, () => {
      for (const handle of stale) fault({ code: 'EINVAL', op: 'zpool.free' }, () => pool.free(handle));
      for (const handle of stale.filter((_, i) => i % 100 === 0)) refused(pool, handle);
    });
    expectIntact(pool, [neighbour, live]);
  });

  test('a stale handle is refused after its frame was used by other pools and came back', async () => {
    const { ram } = await subject.fresh({ bytes: '1MiB' });
    const stale: Record<string, Set<Handle>> = { [row.allocator]: new Set(), [otherRow(row).allocator]: new Set() };
    for (let round = 0; round < Math.min(40, row.staleUses / 25); round++) {
      for (const shape of [row, otherRow(row), row]) {
        const pool = createPool(ram, shape, { name: `pool ${round % 3}` });
        const old = stale[shape.allocator] as Set<Handle>;
        const first = Array.from({ length: 20 }, (_, i) => pool.malloc(50 + 100 * i));
        for (const handle of first) expect(old.has(handle)).toBe(false);
        first.forEach((handle, i) => i % 2 === 0 && pool.free(handle));
        let nth = round;
        for (const handle of old)
          if (nth++ % 40 === 0) fault({ code: 'EINVAL', op: 'zpool.size' }, () => pool.size(handle));
        for (const handle of first) old.add(handle);
        pool.destroy();
      }
    }
    ram.check();
  });

  test('a frame keeps its generation while another allocator uses it: no handle is given out twice', async () => {
    const { ram, pool } = await subject.fresh({ bytes: '1MiB' });
    const other = createPool(ram, otherRow(row));
    const given = new Set<Handle>();
    const take = (): Handle => {
      const handle = pool.malloc(row.largest);
      if (given.has(handle)) throw new Error(`handle ${handle} was given out before`);
      given.add(handle);
      return handle;
    };
    for (let i = 0; i < row.staleUses * (row.allocator === 'zbud' ? 1 : 0.4); i++) pool.free(take());
    for (let round = 0; round < 10; round++) {
      other.free(other.malloc(100));
      const held = Array.from({ length: 12 }, take);
      for (const handle of held.reverse()) pool.free(handle);
    }
    ram.check();
  });

  test('two RAMs with the same history give the same handles; each accepts only its own', async () => {
    const a = await populated();
    const b = await populated();
    expect(b.live).toEqual(a.live);
    expect(picture(b.ram)).toBe(picture(a.ram));
    a.pool.free(a.live[3] as Handle);
    refused(a.pool, b.live[3]);
    expect(b.pool.size(b.live[3] as Handle)).toBeGreaterThan(0);
  });
}
