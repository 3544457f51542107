/** stats, walk and locate agree after any sequence of calls. */
import { expect, test } from 'vitest';
import type { Handle, PageEntry } from '../../../bindings/index.ts';
import { expectIntact, mixedSizes, noise, put, putAll } from '../../harness.ts';
import type { Stored } from '../../harness.ts';
import { createDraw } from '../../models/trace.ts';
import { recount, verifyStatistics } from '../../recount.ts';
import type { Subject } from './subject.ts';

export function statistics(subject: Subject): void {
  const { row } = subject;

  test('stats() equals a count by walk(), after objects and raw pages were allocated, mapped, freed, evicted and moved', async () => {
    let live: Stored[] = [];
    const { ram, pool } = await subject.fresh(
      { bytes: '16MiB' },
      {
        evict: (handle, from) => {
          from.free(handle);
          live = live.filter((one) => one.handle !== handle);
        },
      },
    );
    const draw = createDraw(5);
    for (let step = 1; step <= 1500; step++) {
      const kind = draw() % 16;
      if (kind < 9 || live.length === 0) {
        live.push(put(pool, 1 + (draw() % row.largest), step));
      } else if (kind === 9) {
        const bytes = noise(4096, step);
        live.push({ handle: pool.storePage(bytes) as number as Handle, bytes });
      } else {
        const { handle } = live.splice(draw() % live.length, 1)[0] as Stored;
        pool.freePage(handle as number as PageEntry);
      }
      if (step % 300 === 0) pool.shrink(5);
      if (step % 400 === 0) pool.compact();
      if (step % 200 === 0) pool.runDeferred();
      if (step % 100 !== 0) continue;
      verifyStatistics(row, ram, pool, live);
      const mapped = live.filter((_, i) => i % 3 === 0);
      for (const { handle } of mapped) pool.map(handle, 'ro');
      verifyStatistics(row, ram, pool, live, mapped.length);
      for (const { handle } of mapped) pool.unmap(handle);
    }
    expectIntact(pool, live);
  });

  test('compact() counts the moved objects and their bytes', async () => {
    const { ram, pool } = await subject.fresh({ bytes: '8MiB' });
    const all = putAll(pool, mixedSizes(row, 400));
    const live = all.filter(({ handle }, i) => i % 3 === 0 || void pool.free(handle));
    const before = { stats: pool.stats(), parts: recount(pool).parts };
    pool.compact();
    const after = recount(pool).parts;
    // Objects whose place has changed. z3fold does not count moves inside a frame.
    const moved = live
      .map(({ handle }) =>
        (after.get(handle) ?? []).filter(
          ({ frame, offset }) =>
            !(before.parts.get(handle) ?? []).some(
              (old) => old.frame === frame && (row.allocator === 'z3fold' || old.offset === offset),
            ),
        ),
      )
      .filter(({ length }) => length > 0);
    const objectsMoved = pool.stats().objectsMoved - before.stats.objectsMoved;
    const bytesMoved = pool.stats().bytesMoved - before.stats.bytesMoved;
    const bytes = moved.flat().reduce((sum, part) => sum + part.bytes, 0);
    expect(objectsMoved).toBeGreaterThanOrEqual(moved.length);
    expect(bytesMoved).toBeGreaterThanOrEqual(bytes);
    // K5: with 12 groups no object is copied twice; z3fold moves no guest twice.
    if (row.allocator === 'z3fold' || (row.allocator === 'zsmalloc' && row.options.fullnessGroups !== 4)) {
      expect([objectsMoved, bytesMoved]).toEqual([moved.length, bytes]);
    }
    expect(moved.length > 0).toBe(row.movable);
    expectIntact(pool, live);
    pool.runDeferred();
    verifyStatistics(row, ram, pool, live);
  });

  test('walk() shows mapped objects like others; stats() counts their maps', async () => {
    const { ram, pool } = await subject.fresh();
    const live = putAll(pool, [1630, 1630, 1630, 1630, 1630, 100, row.largest]);
    const before = recount(pool);
    const { metadataBytes } = pool.stats();
    for (const { handle } of live) pool.map(handle, 'ro');
    for (const { handle } of live) pool.map(handle, 'rw');
    expect(recount(pool)).toEqual(before);
    expect([pool.stats().maps, ram.stats().maps]).toEqual([14, 14]);
    expect(pool.stats().metadataBytes).toBeGreaterThanOrEqual(metadataBytes);
    const { owners, usedFrames } = ram.stats();
    expect(Object.values(owners).reduce((sum, owner) => sum + owner.frames + owner.metadataFrames, 0)).toBe(usedFrames);
    for (const { handle } of [...live, ...live]) pool.unmap(handle);
    expect(pool.stats()).toMatchObject({ maps: 0, metadataBytes });
  });

  test('the callback of walk() may use the pool, even free the object it gets, and its errors are thrown', async () => {
    const { ram, pool } = await subject.fresh();
    const live = putAll(pool, mixedSizes(row, 60));
    const gone = new Set<Handle>();
    pool.walk(({ objects }) => {
      for (const { handle } of objects) {
        if (gone.has(handle)) continue;
        expect(pool.read(handle).length).toBe(pool.size(handle));
        pool.free(handle);
        gone.add(handle);
      }
    });
    expect(gone.size).toBe(live.length);
    pool.runDeferred();
    expect(pool.totalPages).toBe(row.idleFrames);
    put(pool, 100);
    expect(() =>
      pool.walk(() => {
        throw new RangeError('mine');
      }),
    ).toThrow(RangeError);
    ram.check();
  });

  test('the high-water mark is the largest number of frames ever in use', async () => {
    const { ram, pool } = await subject.fresh();
    const live = putAll(pool, new Array<number>(20).fill(row.largest));
    const { usedFrames } = ram.stats();
    expect(ram.stats().highWaterFrames).toBe(usedFrames);
    for (const { handle } of live) pool.free(handle);
    expect(ram.stats().highWaterFrames).toBe(usedFrames);
    put(pool, 100).bytes.set(noise(1, 1));
    expect(ram.stats().highWaterFrames).toBe(usedFrames);
  });
}
