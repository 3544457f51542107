/** The properties of a pool: capabilities, names, options, counters of an empty pool. */
import { expect, test } from 'vitest';
import { PAGE_SIZE } from '../../../bindings/index.ts';
import type { AllocatorName, ZpoolOptions } from '../../../bindings/index.ts';
import { changesNothing, createPool, fault, freeAll, otherRow, putAll, mixedSizes } from '../../harness.ts';
import type { Subject } from './subject.ts';

/** The allocator that has this option. */
const OWNERS: Record<string, string> = {
  layout: 'zbud',
  chainSize: 'zsmalloc',
  chainRule: 'zsmalloc',
  fullnessGroups: 'zsmalloc',
  deferred: 'z3fold',
  blocks: 'xcfmalloc',
  reserve: 'xcfmalloc',
};

/** Bad values for options. */
const BAD_OPTIONS: object[] = [
  { layout: '6.2' },
  { layout: 6.1 },
  { chainSize: 0 },
  { chainSize: 17 },
  { chainSize: 1.5 },
  { chainSize: '8' },
  { chainRule: 'best' },
  { fullnessGroups: 8 },
  { fullnessGroups: '4' },
  { deferred: 'never' },
  { deferred: true },
  { blocks: 0 },
  { blocks: 3 },
  { blocks: '1' },
  { reserve: -1 },
  { reserve: 0.5 },
  { reserve: '32' },
];

export function pool(subject: Subject): void {
  const { row } = subject;

  test('capabilities of the pool are those of its allocator', async () => {
    const { pool } = await subject.fresh();
    expect(pool).toMatchObject({
      allocator: row.allocator,
      evictable: true,
      canSleepMapped: row.canSleepMapped,
      mallocSupportMovable: row.movable,
    });
  });

  test('counters of an empty pool', async () => {
    const { ram, pool } = await subject.fresh();
    expect([pool.totalPages, pool.totalBytes]).toEqual([row.idleFrames, row.idleFrames * PAGE_SIZE]);
    expect([pool.compact(), pool.freeable(), pool.shrink(0)]).toEqual([0, 0, 0]);
    pool.runDeferred();
    expect(pool.stats()).toMatchObject({
      liveBytes: 0,
      objects: 0,
      frames: row.idleFrames,
      density: 0,
      densityWithMetadata: 0,
      objectsMoved: 0,
      bytesMoved: 0,
      spanning: 0,
      maps: 0,
    });
    pool.walk(({ objects }) => expect(objects).toEqual([]));
    ram.check();
  });

  test('compact() of an allocator that cannot move objects gives 0', async () => {
    const { ram, pool } = await subject.fresh();
    const stored = putAll(pool, mixedSizes(row, 60));
    stored.forEach(({ handle }, i) => i % 2 === 0 && pool.free(handle));
    const pages = pool.totalPages;
    const freeable = pool.freeable();
    const freed = pool.compact();
    if (!row.movable) expect([freeable, freed]).toEqual([0, 0]);
    expect(freed).toBeLessThanOrEqual(freeable);
    expect(pool.totalPages).toBe(pages - freed);
    expect([pool.compact(), pool.compact({}), pool.compact({ victims: 5 })]).toEqual([0, 0, 0]);
    ram.check();
  });

  test('compact({ victims }) takes a number, and empties no more victims', async () => {
    const { ram, pool } = await subject.fresh();
    const stored = putAll(pool, mixedSizes(row, 90));
    freeAll(
      pool,
      stored.filter((_, i) => i % 2 === 0).map(({ handle }) => handle),
    );
    changesNothing(ram, () => {
      expect(pool.compact({ victims: 0 })).toBe(0);
      for (const victims of [-1, 0.5, NaN, 2 ** 32, '1']) {
        fault({ code: 'EINVAL', op: 'zpool.compact', says: 'victims' }, () =>
          pool.compact({ victims: victims as number }),
        );
      }
      for (const options of [null, 5, 'all'])
        fault({ code: 'EINVAL', op: 'zpool.compact', says: 'options' }, () => pool.compact(options as never));
    });
    const promised = pool.freeable();
    let freed = 0;
    let calls = 0;
    for (let step = -1; step !== 0 && calls < 500; calls++) freed += step = pool.compact({ victims: 1 });
    expect(freed).toBeLessThanOrEqual(promised);
    ram.check();
  });

  test('names: the default, 1 to 64 UTF-8 bytes, unique in the RAM, free again after destroy', async () => {
    const { ram, pool } = await subject.fresh();
    expect(pool.name).toBe(`${row.allocator}#1`);
    expect(subject.pool(ram).name).toBe(`${row.allocator}#2`);
    expect(subject.pool(ram, { name: `${row.allocator}#3` }).name).toBe(`${row.allocator}#3`);
    expect(subject.pool(ram).name).toBe(`${row.allocator}#4`);
    for (const name of ['a', 'x'.repeat(64), 'ä'.repeat(32), '日'.repeat(21), '🐧'.repeat(16)])
      expect(subject.pool(ram, { name }).name).toBe(name);
    changesNothing(ram, () => {
      for (const name of ['', 'x'.repeat(65), 'ä'.repeat(33), '🐧'.repeat(17), 5, {}]) {
        fault({ code: 'EINVAL', op: 'ram.zpool', says: 'name' }, () => subject.pool(ram, { name: name as string }));
      }
      fault({ code: 'EEXIST', op: 'ram.zpool', says: '"a"' }, () => subject.pool(ram, { name: 'a' }));
      fault({ code: 'EEXIST', op: 'ram.zpool' }, () => createPool(ram, otherRow(row), { name: 'a' }));
      fault({ code: 'ENOENT', op: 'ram.openZpool', says: '"b"' }, () => ram.openZpool('b'));
    });
    ram.openZpool('a').destroy();
    fault({ code: 'ENOENT', op: 'ram.openZpool' }, () => ram.openZpool('a'));
    subject.pool(ram, { name: 'a' });
    expect(ram.pools().map(({ name }) => name)).toContain('a');
    expect(ram.openZpool(pool.name)).toBe(pool);
    ram.check();
  });

  test('options: an unknown one, a bad value or one of another allocator is EINVAL', async () => {
    const { ram } = await subject.fresh();
    const own = Object.keys(row.options);
    const good = {
      layout: '6.1',
      chainSize: 8,
      chainRule: 'bytes',
      fullnessGroups: 12,
      deferred: 'manual',
      blocks: 2,
      reserve: 1,
    };
    const foreign = Object.entries(good)
      .filter(([key]) => OWNERS[key] !== row.allocator)
      .map(([key, value]) => ({ [key]: value }));
    const bad = BAD_OPTIONS.filter((options) => OWNERS[Object.keys(options)[0] as string] === row.allocator);
    expect(own.every((key) => OWNERS[key] === row.allocator)).toBe(true);
    changesNothing(ram, () => {
      for (const options of [...foreign, ...bad, { nosuch: 1 }, { evict: 5 }, { evict: null }]) {
        fault({ code: 'EINVAL', op: 'ram.zpool', says: Object.keys(options)[0] as string }, () =>
          ram.zpool(row.allocator, options as ZpoolOptions),
        );
      }
      for (const options of [null, 5, 'zbud'])
        fault({ code: 'EINVAL', op: 'ram.zpool', says: 'options' }, () => ram.zpool(row.allocator, options as never));
      for (const name of ['slab', '', 'toString', '__proto__', null, undefined, 5]) {
        fault({ code: 'EINVAL', op: 'ram.zpool', says: 'allocator' }, () => ram.zpool(name as AllocatorName));
      }
      for (const evict of [5, 'free', null]) {
        fault({ code: 'EINVAL', op: 'ram.openZpool', says: 'evict' }, () =>
          ram.openZpool(`${row.allocator}#1`, { evict: evict as never }),
        );
      }
    });
    expect(ram.zpool(row.allocator, { ...row.options, evict: undefined, name: undefined } as never).name).toMatch('#');
  });
}
