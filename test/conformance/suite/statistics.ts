/** stats, walk and locate say the same, after any sequence. */
import { expect, test } from 'vitest';
import { PAGE_SIZE } from '../../../bindings/index.ts';
import type { AllocatorName, FrameContents, Handle, Ram, Zpool } from '../../../bindings/index.ts';
import { expectIntact, mixedSizes, must, noise, put, putAll, slotBytes } from '../../harness.ts';
import type { Stored } from '../../harness.ts';
import { createDraw } from '../../models/trace.ts';
import type { Subject } from './subject.ts';

interface Recount {
  frames: FrameContents[];
  /** The parts of each object, in the order of the walk. */
  parts: Map<Handle, { frame: number; offset: number; bytes: number }[]>;
}

/** Walks a pool and verifies the form of what it says. */
function recount(pool: Zpool): Recount {
  const frames: FrameContents[] = [];
  const parts: Recount['parts'] = new Map();
  pool.walk((contents) => {
    frames.push(contents);
    for (const { handle, offset, bytes } of contents.objects) parts.set(handle, [...(parts.get(handle) ?? []), { frame: contents.frame, offset, bytes }]);
  });
  expect(frames.map(({ frame }) => frame)).toEqual(frames.map(({ frame }) => frame).sort((a, b) => a - b));
  expect(new Set(frames.map(({ frame }) => frame)).size).toBe(frames.length);
  for (const { frame, objects, free } of frames) {
    let end = 0;
    for (const range of [...objects, ...free].sort((a, b) => a.offset - b.offset)) {
      must(range.bytes > 0 && range.offset >= end, `frame ${frame}: a range of ${range.bytes} at ${range.offset}, behind ${end}`);
      end = range.offset + range.bytes;
    }
    must(end <= PAGE_SIZE, `frame ${frame}: ends at ${end}`);
  }
  return { frames, parts };
}

/** Every byte of every object is accounted for, where locate() says that it begins. */
function verifyParts(pool: Zpool, { parts }: Recount, live: readonly Stored[]): void {
  expect([...parts.keys()].sort()).toEqual(live.map(({ handle }) => handle).sort());
  for (const { handle, bytes } of live) {
    const pieces = parts.get(handle) as { frame: number; offset: number; bytes: number }[];
    must(pieces.reduce((sum, piece) => sum + piece.bytes, 0) === bytes.length, `the parts of ${handle} add up to its size`);
    const { frame, offset } = pool.locate(handle);
    must(pieces.some((piece) => piece.frame === frame && piece.offset === offset), `one part of ${handle} is where locate() says`);
  }
}

function verifyCounters(ram: Ram, pool: Zpool, { frames, parts }: Recount, live: readonly Stored[]): void {
  const stats = pool.stats();
  const liveBytes = live.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const total = stats.frames * PAGE_SIZE;
  expect(stats).toMatchObject({ liveBytes, objects: parts.size, maps: 0 });
  expect(stats.frames).toBe(frames.length);
  expect([pool.totalPages, pool.totalBytes]).toEqual([stats.frames, total]);
  expect(stats.density).toBe(total === 0 ? 0 : liveBytes / total);
  expect(stats.densityWithMetadata).toBe(liveBytes / (total + stats.metadataBytes));
  expect(stats.metadataBytes % PAGE_SIZE).toBe(0);
  const inParts = [...parts.values()].filter(({ length }) => length > 1).length;
  // zsmalloc: a slot may straddle where the object in it does not; see verifyClasses.
  if (pool.allocator === 'zsmalloc') expect(stats.spanning).toBeGreaterThanOrEqual(inParts);
  else expect(stats.spanning).toBe(inParts);
  const { owners, usedFrames, freeFrames, metadataFrames, limitFrames, totalFrames, fixedFrames } = ram.stats();
  expect(owners[pool.name]).toEqual({ frames: stats.frames, metadataFrames: stats.metadataBytes / PAGE_SIZE });
  expect(Object.values(owners).reduce((sum, owner) => sum + owner.frames + owner.metadataFrames, 0)).toBe(usedFrames);
  expect(Object.values(owners).reduce((sum, owner) => sum + owner.metadataFrames, 0)).toBe(metadataFrames);
  expect([freeFrames, limitFrames]).toEqual([limitFrames - usedFrames, totalFrames - fixedFrames]);
  expect([ram.freeFrames, ram.totalFrames]).toEqual([freeFrames, totalFrames]);
}

/** zsmalloc: the table of classes, from locate() of every object. */
function verifyClasses(pool: Zpool, live: readonly Stored[]): void {
  const { classes, spanning, frames } = pool.stats();
  if (classes === undefined) return;
  const used = new Map<number, number>();
  let straddling = 0;
  for (const { handle } of live) {
    const { classIndex = -1, objectIndex = -1 } = pool.locate(handle);
    used.set(classIndex, (used.get(classIndex) ?? 0) + 1);
    const bytes = slotBytes(classIndex);
    if (((objectIndex * bytes) % PAGE_SIZE) + bytes > PAGE_SIZE) straddling++;
  }
  expect(spanning).toBe(straddling);
  for (const { index, size, pages, objectsPerZspage, allocated, used: counted, freeable, zspages, groups } of classes) {
    expect([size, objectsPerZspage]).toEqual([slotBytes(index), Math.floor((pages * PAGE_SIZE) / size)]);
    expect([counted, allocated]).toEqual([used.get(index) ?? 0, zspages * objectsPerZspage]);
    expect(freeable).toBe(Math.floor((allocated - counted) / objectsPerZspage) * pages);
    expect(groups[0]).toBe(0);
    expect(groups.reduce((sum, count) => sum + count, 0)).toBe(zspages);
  }
  expect(classes.reduce((sum, { zspages, pages }) => sum + zspages * pages, 0)).toBe(frames);
  expect(classes.reduce((sum, { freeable }) => sum + freeable, 0)).toBe(pool.freeable());
}

/** The table of lists, counted anew from the walk. */
function verifyLists(pool: Zpool, { frames }: Recount): void {
  const { lists, reserveFrames } = pool.stats();
  if (pool.allocator === 'zsmalloc') return;
  const expected = new Array<number>(lists?.length ?? 0).fill(0);
  const count = (list: number): void => void (expected[list] = (expected[list] as number) + 1);
  for (const contents of frames) LISTS[pool.allocator](contents, count);
  expect(lists).toEqual(expected);
  expect(reserveFrames).toBe(pool.allocator === 'xcfmalloc' ? expected[63] : undefined);
}

/** On which lists a frame, or what is free in it, must be. */
const LISTS: Record<Exclude<AllocatorName, 'zsmalloc'>, (contents: FrameContents, count: (list: number) => void) => void> = {
  zbud: ({ objects, free }, count) => count(objects.length === 2 ? 0 : free.reduce((sum, { bytes }) => sum + bytes, 0) / 64),
  z3fold: (contents, count) => {
    const gap = z3foldGap(contents);
    if (gap !== undefined) count(gap);
  },
  xvmalloc: ({ free }, count) => {
    for (const { bytes } of free) if (bytes >= 32) count(Math.min(Math.floor((bytes - 32) / 8), 507));
  },
  xcfmalloc: ({ free }, count) => {
    for (const { bytes } of free) count(bytes / 64 - 1);
  },
};

/** Z4: the largest gap at an open end, in chunks; undefined for a frame that is on no list. FIRST begins at 64, LAST ends the frame. */
function z3foldGap({ objects }: FrameContents): number | undefined {
  const places = objects.map(({ offset, bytes }) => ({ start: offset / 64, end: offset / 64 + Math.ceil(bytes / 64) }));
  const first = places.find(({ start }) => start <= 1);
  const last = places.find(({ end }) => end === 64);
  const middle = places.find((one) => one !== first && one !== last);
  if (first?.start === 0 || (first !== undefined && middle !== undefined && last !== undefined)) return undefined;
  if (middle === undefined) return (last?.start ?? 64) - (first?.end ?? 1);
  return Math.max(first === undefined ? middle.start - 1 : 0, last === undefined ? 64 - middle.end : 0);
}

export function statistics(subject: Subject): void {
  const { row } = subject;

  test('equal a recount by walking, between random operations', async () => {
    const { ram, pool } = await subject.fresh({ bytes: '16MiB' });
    const draw = createDraw(5);
    const live: Stored[] = [];
    for (let step = 1; step <= 1200; step++) {
      const kind = draw() % 8;
      if (kind < 5 || live.length === 0) live.push(put(pool, 1 + (draw() % row.largest), step));
      else pool.free((live.splice(draw() % live.length, 1)[0] as Stored).handle);
      if (step % 400 === 0) pool.compact();
      if (step % 200 !== 0) continue;
      pool.runDeferred();
      const counted = recount(pool);
      verifyParts(pool, counted, live);
      verifyCounters(ram, pool, counted, live);
      verifyClasses(pool, live);
      verifyLists(pool, counted);
    }
    expectIntact(pool, live);
  });

  test('objects moved and their bytes, counted by compact()', async () => {
    const { ram, pool } = await subject.fresh({ bytes: '8MiB' });
    const all = putAll(pool, mixedSizes(row, 400));
    const live = all.filter(({ handle }, i) => i % 3 === 0 || void pool.free(handle));
    const before = { stats: pool.stats(), parts: recount(pool).parts };
    pool.compact();
    const after = recount(pool).parts;
    // What lies elsewhere than before; z3fold does not count what it moves inside a frame.
    const moved = live.map(({ handle }) => (after.get(handle) ?? []).filter(({ frame, offset }) =>
      !(before.parts.get(handle) ?? []).some((old) => old.frame === frame && (row.allocator === 'z3fold' || old.offset === offset)))).filter(({ length }) => length > 0);
    const objectsMoved = pool.stats().objectsMoved - before.stats.objectsMoved;
    const bytesMoved = pool.stats().bytesMoved - before.stats.bytesMoved;
    const bytes = moved.flat().reduce((sum, part) => sum + part.bytes, 0);
    expect(objectsMoved).toBeGreaterThanOrEqual(moved.length);
    expect(bytesMoved).toBeGreaterThanOrEqual(bytes);
    // K5: with 12 groups no object is copied twice; nor is a guest of z3fold.
    if (row.allocator === 'z3fold' || (row.allocator === 'zsmalloc' && row.options.fullnessGroups !== 4)) {
      expect([objectsMoved, bytesMoved]).toEqual([moved.length, bytes]);
    }
    expect(moved.length > 0).toBe(row.movable);
    expectIntact(pool, live);
    const counted = recount(pool);
    verifyParts(pool, counted, live);
    verifyCounters(ram, pool, counted, live);
  });

  test('mapped objects are walked like others; their maps are counted', async () => {
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

  test('walk: the callback may use the pool, even free what it sees, and what it throws comes out', async () => {
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
    expect(() => pool.walk(() => {
      throw new RangeError('mine');
    })).toThrow(RangeError);
    ram.check();
  });

  test('the high-water mark is the most frames ever in use', async () => {
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
