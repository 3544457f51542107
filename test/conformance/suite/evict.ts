/** shrink and its callback: what the callback may do, what is refused, and the order of victims. */
import { expect, test } from 'vitest';
import { CompcacheError, Ram } from '../../../bindings/index.ts';
import type { EvictCallback, Handle, Zpool } from '../../../bindings/index.ts';
import {
  changesNothing,
  createPool,
  expectIntact,
  fault,
  mixedSizes,
  otherRow,
  objectFrames,
  outcome,
  put,
  putAll,
  rejected,
} from '../../harness.ts';
import type { Stored } from '../../harness.ts';
import type { Subject } from './subject.ts';

const TRIES = 8;

const frees: EvictCallback = (handle, pool) => pool.free(handle);

interface Scene {
  ram: Ram;
  pool: Zpool;
  /** Objects that are alone in a frame, in LRU order, the oldest first. */
  alone: Stored[];
  /** Handles for which the callback was called, in order. */
  called: Handle[];
}

export function evict(subject: Subject): void {
  const { row } = subject;

  /** A pool with objects that are each alone in a frame. */
  async function scene(count: number, callback: EvictCallback): Promise<Scene> {
    const called: Handle[] = [];
    const { ram, pool } = await subject.fresh(
      {},
      {
        evict: (handle, from) => {
          called.push(handle);
          return callback(handle, from);
        },
      },
    );
    const alone = Array.from({ length: count }, (_, i) => put(pool, row.largest, i));
    expect(pool.totalPages).toBe(row.framesFilled(count));
    return { ram, pool, alone, called };
  }

  const handlesOf = (stored: readonly Stored[]): Handle[] => stored.map(({ handle }) => handle);

  test('frees the least recently used objects first, until the wanted number of frames is free', async () => {
    const { ram, pool, alone, called } = await scene(10, frees);
    expect(pool.shrink(1)).toBe(1);
    expect(called).toEqual(handlesOf(alone.slice(0, 1)));
    expect(pool.shrink(4)).toBe(4);
    expect(called).toEqual(handlesOf(alone.slice(0, 5)));
    expect(pool.totalPages).toBe(row.framesFilled(10) - 5);
    expectIntact(pool, alone.slice(5));
    expect(pool.shrink(100)).toBe(5);
    expect(called).toEqual(handlesOf(alone));
    expect(pool.totalPages).toBe(row.framesFilled(10) - 10);
    ram.check();
  });

  test('when objects share frames: frees all objects of a victim, and at least the wanted number of frames', async () => {
    const { ram, pool } = await subject.fresh({}, { evict: frees });
    const stored = putAll(pool, mixedSizes(row, 100));
    for (let wanted = 1; objectFrames(pool) > 0; wanted++) {
      const pages = pool.totalPages;
      const freed = pool.shrink(wanted);
      expect(pool.totalPages).toBe(pages - freed);
      expect(freed >= wanted || objectFrames(pool) === 0).toBe(true);
      ram.check();
    }
    for (const { handle } of stored) fault({ code: 'EINVAL', op: 'zpool.free' }, () => pool.free(handle));
  });

  test('the callback gets the handle and the pool, and can read the object', async () => {
    const seen: [Zpool, number][] = [];
    const { pool, alone } = await scene(3, (handle, from) => {
      seen.push([from, from.read(handle)[0] as number]);
      from.free(handle);
    });
    pool.shrink(3);
    expect(seen).toEqual(alone.map(({ bytes }) => [pool, bytes[0]]));
  });

  test('shrink of 0 frames gives 0; a bad number is EINVAL', async () => {
    const { ram, pool, called } = await scene(2, frees);
    changesNothing(ram, () => {
      expect(pool.shrink(0)).toBe(0);
      for (const pages of [-1, 0.5, NaN, 2 ** 32, '1', null, undefined, 1n])
        fault({ code: 'EINVAL', op: 'zpool.shrink', says: 'pages' }, () => pool.shrink(pages as number));
    });
    expect(called).toEqual([]);
  });

  test('EINVAL without a callback, and when nothing is evictable', async () => {
    const { ram, pool } = await subject.fresh();
    putAll(pool, [100, 200]);
    changesNothing(ram, () => fault({ code: 'EINVAL', op: 'zpool.shrink', says: 'evict' }, () => pool.shrink(1)));
    expect(pool.shrink(0)).toBe(0);
    const empty = subject.pool(ram, { evict: frees });
    changesNothing(ram, () => fault({ code: 'EINVAL', op: 'zpool.shrink', says: 'evictable' }, () => empty.shrink(1)));
    ram.openZpool(pool.name, { evict: frees });
    expect(pool.shrink(1)).toBeGreaterThan(0);
  });

  for (const [how, answer] of Object.entries({
    'returns false': () => false,
    'returns true but frees nothing': () => true,
    'returns nothing and frees nothing': () => undefined,
  } satisfies Record<string, EvictCallback>)) {
    test(`callback ${how}: the object stays; EAGAIN after eight tries, each with another victim, which goes to the front`, async () => {
      const { ram, pool, alone, called } = await scene(11, answer);
      const error = fault({ code: 'EAGAIN', op: 'zpool.shrink', says: 'tries' }, () => pool.shrink(2));
      expect(error.cause).toBeUndefined();
      expect(called).toEqual(handlesOf(alone.slice(0, TRIES)));
      expectIntact(pool, alone);
      ram.check();
      ram.openZpool(pool.name, { evict: (handle, from) => (called.push(handle), from.free(handle)) });
      called.length = 0;
      expect(pool.shrink(11)).toBe(11);
      expect(called).toEqual(handlesOf([...alone.slice(TRIES), ...alone.slice(0, TRIES)]));
    });
  }

  test('callback throws: the object stays; the last error is the cause', async () => {
    const { ram, pool, alone, called } = await scene(10, () => {
      throw new Error(`no ${called.length}`);
    });
    const error = fault({ code: 'EAGAIN', op: 'zpool.shrink' }, () => pool.shrink(1));
    expect((error.cause as Error).message).toBe(`no ${TRIES}`);
    expect(called).toEqual(handlesOf(alone.slice(0, TRIES)));
    expectIntact(pool, alone);
    ram.check();
  });

  test('callback throws a value that is not an Error, also undefined', async () => {
    for (const thrown of ['text', 0, null]) {
      const { pool } = await scene(1, () => {
        throw thrown;
      });
      expect(fault({ code: 'EAGAIN', op: 'zpool.shrink' }, () => pool.shrink(1)).cause).toBe(thrown);
    }
    const { pool } = await scene(1, () => {
      throw undefined;
    });
    fault({ code: 'EAGAIN', op: 'zpool.shrink' }, () => pool.shrink(1));
  });

  test('callback throws a few times, then frees: no error', async () => {
    const { pool, alone, called } = await scene(10, (handle, from) => {
      if (called.length < 6) throw new Error('not yet');
      from.free(handle);
    });
    expect(pool.shrink(1)).toBe(1);
    expect(called).toEqual(handlesOf(alone.slice(0, 6)));
  });

  test('callback throws or refuses after it has freed: the freed frame counts', async () => {
    for (const end of [
      () => false,
      () => {
        throw new Error('late');
      },
    ] as EvictCallback[]) {
      const { ram, pool, alone, called } = await scene(3, (handle, from) => {
        from.free(handle);
        return end(handle, from);
      });
      expect(pool.shrink(2)).toBe(2);
      expect(called).toEqual(handlesOf(alone.slice(0, 2)));
      ram.check();
    }
  });

  test('callback returns a Promise: the object stays, EINVAL', async () => {
    for (const promise of [() => Promise.resolve(true), () => ({ then: () => undefined })]) {
      const { ram, pool, alone } = await scene(2, promise as unknown as EvictCallback);
      let error: unknown;
      try {
        pool.shrink(1);
      } catch (thrown) {
        error = thrown;
      }
      const codes = [error, (error as CompcacheError).cause].map((one) =>
        one instanceof CompcacheError ? one.code : undefined,
      );
      expect(codes).toContain('EINVAL');
      expectIntact(pool, alone);
      ram.check();
    }
  });

  test('a partial success gives the number of frames, not an error', async () => {
    let left = 3;
    const { pool, called } = await scene(20, (handle, from) => left-- > 0 && void from.free(handle));
    expect(pool.shrink(10)).toBe(3);
    expect(called.length).toBe(3 + TRIES);
    fault({ code: 'EAGAIN', op: 'zpool.shrink' }, () => pool.shrink(1));
  });

  test('a victim with several objects: a refusal ends the visit; objects freed before stay freed', async () => {
    const called: Handle[] = [];
    const { ram, pool } = await subject.fresh(
      {},
      {
        evict: (handle, from) => {
          called.push(handle);
          if (called.length === 2) return false;
          return from.free(handle);
        },
      },
    );
    const [first, second] = putAll(pool, [1900, 1900]) as [Stored, Stored];
    if (row.isAlone) {
      expect(pool.locate(first.handle).frame).not.toBe(pool.locate(second.handle).frame);
      return; // this allocator has no victim with several objects
    }
    expect(pool.locate(first.handle).frame).toBe(pool.locate(second.handle).frame);
    expect(pool.shrink(1)).toBeGreaterThan(0);
    expect(called).toEqual([first.handle, second.handle, second.handle]); // the second try
    expect(pool.totalPages).toBe(row.idleFrames);
    ram.check();
  });

  test('callback frees other objects: also of the next victims or of the same victim; it is not called for those again', async () => {
    let alone: Stored[] = [];
    const first = await scene(6, (handle, from) => {
      if (alone.length > 0) for (const other of alone.splice(0)) if (other.handle !== handle) from.free(other.handle);
      from.free(handle);
    });
    alone = first.alone.slice(0, 4);
    const pages = first.pool.totalPages;
    const freed = first.pool.shrink(1);
    expect(freed).toBe(row.countsAllFrames ? pages - first.pool.totalPages : 1);
    expect(objectFrames(first.pool)).toBe(2);
    expect(first.pool.shrink(5)).toBe(2);
    expect(first.called).toEqual(handlesOf([first.alone[0], first.alone[4], first.alone[5]] as Stored[]));
    first.ram.check();

    const called: Handle[] = [];
    const { ram, pool } = await subject.fresh(
      {},
      {
        evict: (handle, from) => {
          called.push(handle);
          for (const { handle: each } of pair) from.free(each);
          ram.check();
          fault({ code: 'EINVAL', op: 'zpool.free' }, () => from.free(handle));
        },
      },
    );
    const pair = putAll(pool, [1900, 1900]);
    expect(pool.shrink(1)).toBeGreaterThan(0);
    expect(called.length).toBe(1);
    expect(pool.totalPages).toBe(row.idleFrames);
  });

  test('callback allocates: the new object is not in the victim; a handle freed there is not reused at once', async () => {
    const made: Stored[] = [];
    const { ram, pool, alone } = await scene(4, (handle, from) => {
      const { frame } = from.locate(handle);
      from.free(handle);
      for (const size of [10, 500, 1900]) {
        const stored = put(from, size, made.length);
        expect(from.locate(stored.handle).frame).not.toBe(frame);
        expect(handlesOf(alone)).not.toContain(stored.handle);
        made.push(stored);
      }
      ram.check();
    });
    expect(pool.shrink(2)).toBeGreaterThanOrEqual(2);
    expectIntact(pool, [
      ...made.filter(({ handle }) => typeof outcome(() => pool.size(handle)) === 'number'),
      ...alone.slice(2),
    ]);
    ram.check();
  });

  test('callback allocates until ENOMEM', async () => {
    const { ram, pool } = await subject.fresh(
      { bytes: '256KiB' },
      {
        evict: (handle, from) => {
          while (outcome(() => from.malloc(row.largest)) !== 'ENOMEM');
          from.free(handle);
          ram.check();
        },
      },
    );
    put(pool, row.largest);
    expect(pool.shrink(1)).toBe(1);
    ram.check();
    pool.malloc(row.largest);
  });

  test('callback calls shrink, on this pool and on others', async () => {
    let depth = 0;
    const { ram, pool, alone, called } = await scene(8, (handle, from) => {
      const level = ++depth;
      if (level < 4) expect(from.shrink(1)).toBe(1);
      else expect(other.shrink(1)).toBeGreaterThan(0);
      from.free(handle);
      ram.check();
    });
    const other = createPool(ram, otherRow(row), { evict: frees });
    put(other, otherRow(row).largest);
    expect(pool.shrink(1)).toBe(1);
    expect(called).toEqual(handlesOf(alone.slice(0, 4)));
    expect(pool.totalPages).toBe(row.framesFilled(8) - 4);
    expect(other.totalPages).toBe(otherRow(row).idleFrames);
    ram.check();
  });

  test('callback calls shrink until only the victim is left', async () => {
    const { ram, pool, called } = await scene(5, (handle, from) => {
      if (called.length === 5) fault({ code: 'EINVAL', op: 'zpool.shrink' }, () => from.shrink(1));
      else from.shrink(1);
      from.free(handle);
    });
    expect(pool.shrink(1)).toBe(1);
    expect(pool.totalPages).toBe(row.framesFilled(5) - 5);
    ram.check();
  });

  test('callback compacts: the victim does not take part, and the other objects are intact', async () => {
    const { ram, pool } = await subject.fresh(
      {},
      {
        evict: (handle, from) => {
          const place = from.locate(handle);
          from.compact();
          ram.check();
          if (live.has(handle)) expect(from.locate(handle)).toEqual(place);
          live.delete(handle);
          from.free(handle);
          from.compact();
          ram.check();
        },
      },
    );
    const stored = putAll(pool, mixedSizes(row, 80));
    const live = new Map(stored.map((one) => [one.handle, one]));
    stored.forEach(({ handle }, i) => {
      if (i % 2 === 0) return;
      pool.free(handle);
      live.delete(handle);
    });
    pool.shrink(5);
    expectIntact(pool, [...live.values()]);
    ram.check();
  });

  test('callback maps: free of a mapped object is EBUSY; an object left mapped stays, and can be evicted when unmapped', async () => {
    const { ram, pool, alone, called } = await scene(2, (handle, from) => {
      const view = from.map(handle, 'rw');
      fault({ code: 'EBUSY', op: 'zpool.free' }, () => from.free(handle));
      view.fill(3);
      ram.check();
      if (handle === alone[0]?.handle && called.length === 1) return; // it was left mapped
      from.unmap(handle);
      from.free(handle);
    });
    expect(pool.shrink(1)).toBe(1);
    expect(called).toEqual(handlesOf(alone));
    ram.check();
    const first = alone[0] as Stored;
    expect(pool.read(first.handle).every((byte) => byte === 3)).toBe(true);
    fault({ code: 'EINVAL', op: 'zpool.shrink', says: 'evictable' }, () => pool.shrink(1));
    pool.unmap(first.handle);
    expect(pool.shrink(1)).toBe(1);
    ram.check();
  });

  test('mapped objects are passed over: they keep their place and cost no try', async () => {
    const { ram, pool, alone, called } = await scene(15, frees);
    const mapped = alone.slice(0, 12);
    for (const { handle } of mapped) pool.map(handle, 'ro');
    expect(pool.shrink(2)).toBe(2);
    expect(called).toEqual(handlesOf(alone.slice(12, 14)));
    expect(pool.shrink(5)).toBe(1);
    fault({ code: 'EINVAL', op: 'zpool.shrink', says: 'evictable' }, () => pool.shrink(1));
    expectIntact(pool, mapped);
    for (const { handle } of [...mapped].reverse()) pool.unmap(handle);
    called.length = 0;
    expect(pool.shrink(12)).toBe(12);
    expect(called).toEqual(handlesOf(mapped));
    ram.check();
  });

  test('callback calls destroy, close, snapshot or restore: EBUSY, for every pool', async () => {
    const pending: Promise<unknown>[] = [];
    const image = await subject.ram().then((ram) => ram.snapshot());
    const { ram, pool } = await scene(2, (handle, from) => {
      for (const each of [from, other]) {
        fault({ code: 'EBUSY', op: 'zpool.destroy', says: 'evict' }, () => each.destroy());
        fault({ code: 'EBUSY', op: 'zpool.destroy', says: 'evict' }, () => each.close());
      }
      fault({ code: 'EBUSY', op: 'ram.close' }, () => ram.close());
      fault({ code: 'EBUSY', op: 'ram.snapshot' }, () => ram.snapshot());
      fault({ code: 'EBUSY', op: 'ram.snapshotChunks' }, () => ram.snapshotChunks());
      pending.push(rejected({ code: 'EBUSY', op: 'Ram.restore' }, Ram.restore(image)));
      ram.check();
      from.free(handle);
    });
    const other = createPool(ram, otherRow(row));
    expect(pool.shrink(1)).toBe(1);
    await Promise.all(pending);
    expect(pending.length).toBe(1);
    other.destroy();
    ram.snapshot();
    pool.destroy();
    ram.close();
  });

  test('callback may create pools', async () => {
    const { ram, pool } = await scene(1, (handle, from) => {
      put(subject.pool(ram, { name: 'inside' }), 100);
      from.free(handle);
    });
    pool.shrink(1);
    expect(ram.openZpool('inside').stats().objects).toBe(1);
    ram.check();
  });
}
