/**
 * xcfmalloc: golden traces, the numbered rules of docs/rules/xvmalloc-xcfmalloc.md (S, C, I) and README.md (R: maps,
 * reclaim, errors), and random calls compared with the model of test/models.
 */
import { describe, expect, it } from 'vitest';
import {
  CompcacheError,
  PAGE_SIZE,
  Ram,
  type Handle,
  type MapMode,
  type Zpool,
  type ZpoolOptions,
} from '../../bindings/index.ts';
import { createDraw, runT1, runT3, runT6, size1, type Draw, type TraceTarget } from '../models/trace.ts';
import { XcfmallocModel } from '../models/xcfmalloc.ts';

const LONG = { timeout: 60_000 };
const HEADER = 12;
const MAX = PAGE_SIZE - HEADER;

// ---- helpers

function ramWith(bytes: string | number = '16MiB'): Ram {
  return Ram.createSync({ bytes });
}

function poolIn(ram: Ram, options: ZpoolOptions = {}): Zpool {
  return ram.zpool('xcfmalloc', options);
}

/** The code of the error of a call; undefined when it does not fail. */
function codeOf(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (error instanceof CompcacheError) return error.code;
    throw error;
  }
}

function blocksOf(pool: Zpool, handle: Handle): { frame: number; offset: number }[] {
  const { blocks } = pool.locate(handle);
  if (blocks === undefined) throw new Error('locate gives no blocks');
  return blocks;
}

/** S17. */
function placement(pool: Zpool, handle: Handle): number {
  const [first, second] = blocksOf(pool, handle);
  return (first?.offset ?? 0) + 1 + (second === undefined ? 0 : 7 * (second.offset + 1));
}

function traceTarget(pool: Zpool): TraceTarget {
  return {
    malloc: (size) => pool.malloc(size),
    free: (handle) => pool.free(handle as Handle),
    placement: (handle) => placement(pool, handle as Handle),
    where: (handle) =>
      blocksOf(pool, handle as Handle).reduce((sum, { frame, offset }) => sum * 2 ** 26 + frame * 64 + offset / 64, 1),
    compact: () => pool.compact(),
    get pages() {
      return pool.totalPages;
    },
  };
}

/** Bytes that depend on a seed and on their place. */
function pattern(seed: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let x = Math.imul(seed, 2654435761) >>> 0;
  for (let i = 0; i < size; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

/** Allocates and writes. */
function put(pool: Zpool, size: number, seed = size): Handle {
  const handle = pool.malloc(size);
  pool.write(handle, pattern(seed, size));
  return handle;
}

function expectContent(pool: Zpool, handle: Handle, seed: number, size: number): void {
  const bytes = pool.read(handle);
  const expected = pattern(seed, size);
  if (bytes.length !== size || bytes.some((byte, i) => byte !== expected[i]))
    throw new Error(`contents of object ${handle} differ`);
}

/** expect().toEqual() takes a second for a megabyte. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function freeAll(pool: Zpool, handles: Iterable<Handle>): void {
  for (const handle of handles) pool.free(handle);
}

/** Allocates `count` objects and frees every second one: compaction has work then. */
function thinned(pool: Zpool, count: number, seed: number): Handle[] {
  const draw = createDraw(seed);
  const handles = Array.from({ length: count }, (_, i) => put(pool, size1(draw), i));
  freeAll(
    pool,
    handles.filter((_, i) => i % 2 === 1),
  );
  return handles.filter((_, i) => i % 2 === 0);
}

// ---- golden figures

describe.each([
  {
    blocks: 1 as const,
    t1: { pages: 39428, placement: 970496480 },
    t3: { full: 39510, half: 32703, placement: 372976160, compacted: 19683, moved: 15501 },
    copies: { objectsMoved: 16582, bytesMoved: 16285687 },
    t6: { filled: 2602, marks: [2646, 2644, 2619, 2596, 2676], peak: 2706, placement: 3945866152, drained: 32 },
    spanning: 0,
    scenario: ['A:3072', 'B:0', 'A:64', 'B:1536', 'C:0'],
    descriptors: 42,
  },
  {
    blocks: 2 as const,
    t1: { pages: 39112, placement: 1938949168 },
    t3: { full: 39180, half: 39167, placement: 1605723476, compacted: 19607, moved: 29342 },
    copies: { objectsMoved: 33407, bytesMoved: 26856952 },
    t6: { filled: 2590, marks: [2593, 2587, 2573, 2546, 2637], peak: 2656, placement: 606996331, drained: 32 },
    spanning: 35929,
    scenario: ['A:64 + A:3072', 'A:3200 + B:0', 'A:192', 'A:256 + B:640', 'C:0'],
    descriptors: 43,
  },
])('golden figures, blocks $blocks', ({ blocks, t1, t3, t6, copies, spanning, scenario, descriptors }) => {
  it('S1-S14, S17: T1', LONG, () => {
    const ram = ramWith('256MiB');
    const pool = poolIn(ram, { blocks });
    const result = runT1(traceTarget(pool), { drain: false });
    expect(result).toMatchObject(t1);
    const stats = pool.stats();
    expect(stats).toMatchObject({ objects: 100_000, liveBytes: 155_298_994, frames: t1.pages, spanning });
    expect(stats.frames - (stats.reserveFrames ?? 0)).toBe(blocks === 1 ? 39_396 : 39_081);
    if (blocks === 2) {
      // C9, I4: after T1 no frame can be freed, and no object moves.
      expect(pool.freeable()).toBe(0);
      expect(pool.compact()).toBe(0);
      expect(pool.stats().objectsMoved).toBe(0);
    }
    ram.check();
  });

  it('S16, S8, C1-C7, I3-I6: T3', LONG, () => {
    const ram = ramWith('256MiB');
    const pool = poolIn(ram, { blocks });
    expect(runT3(traceTarget(pool))).toMatchObject({
      ...t3,
      compactFreed: t3.half - t3.compacted,
      compactAgain: 0,
      drained: 32,
    });
    // I4: the second call moved nothing.
    expect(pool.stats()).toMatchObject({ ...copies, frames: 32, objects: 0, reserveFrames: 32 });
    ram.check();
  });

  it('S5, S11, S12: T6', LONG, () => {
    const ram = ramWith('32MiB');
    expect(runT6(traceTarget(poolIn(ram, { blocks })))).toMatchObject(t6);
    ram.check();
  });

  it('S6-S13: hand-checkable scenario', () => {
    const ram = ramWith();
    const pool = poolIn(ram, { blocks });
    const letters = new Map<number, string>();
    const take = (size: number): { handle: Handle; place: string } => {
      const handle = pool.malloc(size);
      const parts = blocksOf(pool, handle).map(({ frame, offset }) => {
        if (!letters.has(frame)) letters.set(frame, 'ABCDEF'[letters.size] ?? '?');
        return `${letters.get(frame)}:${offset}`;
      });
      return { handle, place: parts.join(' + ') };
    };
    const start = [52, 53, 500, 2000, 300].map(take);
    expect(start.map(({ place }) => place)).toEqual(['A:0', 'A:64', 'A:192', 'A:704', 'A:2752']);
    expect([pool.totalPages, pool.stats().reserveFrames]).toEqual([33, 32]);
    pool.free((start[1] as { handle: Handle }).handle);
    const seen = [take(180)];
    pool.free((start[2] as { handle: Handle }).handle);
    seen.push(take(1500), take(52), take(1200));
    expect([pool.totalPages, pool.stats().reserveFrames]).toEqual([34, 32]);
    pool.free((seen[1] as { handle: Handle }).handle);
    seen.push(take(4084));
    expect(seen.map(({ place }) => place)).toEqual(scenario);
    let blocksInAll = 0;
    pool.walk(({ objects, free }) => (blocksInAll += objects.length + free.length));
    expect(blocksInAll).toBe(descriptors);
    ram.check();
  });
});

// ---- API

describe('API', () => {
  it('S10: sizes and their codes', () => {
    const ram = ramWith();
    const pool = poolIn(ram);
    expect(codeOf(() => pool.malloc(0))).toBe('EINVAL');
    expect(codeOf(() => pool.malloc(MAX + 1))).toBe('ENOSPC');
    expect(codeOf(() => pool.malloc(2 ** 32 - 1))).toBe('ENOSPC');
    for (const size of [1, 52, 53, 116, 117, MAX - 1, MAX]) {
      const handle = put(pool, size);
      expect(pool.size(handle)).toBe(size);
      expectContent(pool, handle, size, size);
    }
    expect(pool).toMatchObject({
      allocator: 'xcfmalloc',
      evictable: true,
      canSleepMapped: true,
      mallocSupportMovable: true,
    });
    expect(pool.stats()).toMatchObject({ objects: 7, liveBytes: 1 + 52 + 53 + 116 + 117 + MAX - 1 + MAX, maps: 0 });
    ram.check();
  });

  it('options: blocks 1 or 2, reserve 0 to 1024', () => {
    const ram = ramWith();
    for (const options of [
      { blocks: 3 },
      { blocks: 0 },
      { reserve: 1025 },
      { reserve: -1 },
      { reserve: 1.5 },
      { chainSize: 4 },
    ]) {
      expect(codeOf(() => poolIn(ram, options as ZpoolOptions))).toBe('EINVAL');
    }
    expect(codeOf(() => ram.zpool('zbud', { reserve: 3 }))).toBe('EINVAL');
    expect(poolIn(ram, { reserve: 1024 }).totalPages).toBe(1024);
    ram.check();
  });

  it.each([0, 1, 5, 32])('S7, S8, S9: a reserve of %i, filled before the search', (reserve) => {
    const ram = ramWith();
    const pool = poolIn(ram, { reserve });
    expect(pool.totalPages).toBe(reserve);
    const handles = [MAX, MAX, 100].map((size) => put(pool, size));
    expect(pool.totalPages).toBe(3 + Math.max(reserve - 1, 0));
    ram.check();
    freeAll(pool, handles);
    expect([pool.totalPages, pool.stats().reserveFrames]).toEqual([reserve, reserve]);
    expect(pool.totalBytes).toBe(reserve * PAGE_SIZE);
    ram.check();
    pool.destroy();
    expect(ram.stats().usedFrames).toBe(0);
    ram.check();
  });

  it('S7: a reserve is filled as far as the RAM has frames', () => {
    const ram = Ram.createSync({ bytes: '256KiB', limit: 20 * PAGE_SIZE });
    const pool = poolIn(ram);
    // One frame for the pool, one for descriptors.
    expect(pool.totalPages).toBe(18);
    expect(pool.stats().reserveFrames).toBe(18);
    ram.check();
    // All frames of the reserve can be used.
    const handles: Handle[] = [];
    while (codeOf(() => handles.push(put(pool, MAX, 7))) === undefined) ram.check();
    expect(handles.length).toBe(18);
    freeAll(pool, handles);
    expect(pool.stats().reserveFrames).toBe(18);
    ram.check();
  });

  it('S2: when there is no frame for a descriptor, one of the reserve is given back', () => {
    const ram = Ram.createSync({ bytes: '256KiB', limit: 30 * PAGE_SIZE });
    const pool = poolIn(ram);
    const handles: Handle[] = [];
    while (codeOf(() => handles.push(put(pool, 1, handles.length))) === undefined)
      if (handles.length % 10 === 0) ram.check();
    // 64 blocks a frame and 32 bytes a block: two data frames to a frame of descriptors.
    expect(handles.length).toBeGreaterThan(19 * 64 - 64);
    expect(ram.freeFrames).toBe(0);
    handles.forEach((handle, i) => expectContent(pool, handle, i, 1));
    freeAll(pool, handles);
    ram.check();
    expect(pool.stats().objects).toBe(0);
  });

  it('S17: locate; walk shows each block with its part', () => {
    const ram = ramWith();
    const pool = poolIn(ram);
    const a = put(pool, 2036);
    const b = put(pool, 1000);
    const c = put(pool, 3000);
    const [first, second] = blocksOf(pool, c);
    expect(second).toBeDefined();
    expect(pool.locate(a)).toEqual({ frame: first?.frame, offset: 12, blocks: [{ frame: first?.frame, offset: 0 }] });
    expect(pool.locate(c)).toMatchObject({ frame: first?.frame, offset: (first?.offset ?? 0) + 12 });
    const frames = new Map<
      number,
      { objects: { handle: Handle; offset: number; bytes: number }[]; free: { offset: number; bytes: number }[] }
    >();
    pool.walk(({ frame, objects, free }) => frames.set(frame, { objects, free }));
    expect(frames.size).toBe(pool.totalPages);
    expect(frames.get(first?.frame ?? 0)).toEqual({
      objects: [
        { handle: a, offset: 12, bytes: 2036 },
        { handle: b, offset: 2060, bytes: 1000 },
        { handle: c, offset: 3084, bytes: 1012 },
      ],
      free: [],
    });
    expect(frames.get(second?.frame ?? 0)).toEqual({
      objects: [{ handle: c, offset: 12, bytes: 1988 }],
      free: [{ offset: 2048, bytes: 2048 }],
    });
    expect(pool.stats()).toMatchObject({ spanning: 1, reserveFrames: 31 });
    expect(pool.stats().lists?.[31]).toBe(1);
  });

  it('read and write over both blocks, ranges too', () => {
    const ram = ramWith();
    const pool = poolIn(ram);
    put(pool, 3000);
    const handle = put(pool, 2500);
    expect(blocksOf(pool, handle).length).toBe(2);
    const bytes = pattern(2500, 2500);
    for (const [at, length] of [
      [0, 2500],
      [0, 10],
      [1000, 100],
      [1010, 200],
      [1100, 1400],
      [2499, 1],
      [2500, 0],
    ] as const) {
      const part = pattern(at + length, length);
      pool.write(handle, part, at);
      bytes.set(part, at);
      expect(pool.read(handle)).toEqual(bytes);
      expect(pool.read(handle, undefined, at)).toEqual(bytes.subarray(at));
    }
    expect(codeOf(() => pool.write(handle, new Uint8Array(2), 2499))).toBe('ERANGE');
    expect(pool.read(handle)).toEqual(bytes);
    ram.check();
  });

  it('handles: freed, foreign and made-up ones are refused', () => {
    const ram = ramWith();
    const pool = poolIn(ram);
    const other = poolIn(ram);
    const handles = [3000, 2500, 40].map((size) => put(pool, size));
    const bad: number[] = [0, 1, 0xffffffff, put(other, 100)];
    // Every descriptor near those of the objects: free blocks and second blocks among them.
    for (const handle of handles)
      for (let by = -60; by <= 60; by++) if (!handles.includes((handle + by) as Handle)) bad.push((handle + by) >>> 0);
    for (const handle of handles) for (let bit = 20; bit < 32; bit++) bad.push((handle ^ (1 << bit)) >>> 0);
    for (const handle of bad as Handle[]) {
      for (const call of [
        () => pool.free(handle),
        () => pool.size(handle),
        () => pool.map(handle, 'ro'),
        () => pool.read(handle),
        () => pool.locate(handle),
        () => pool.unmap(handle),
      ]) {
        expect(codeOf(call)).toBe('EINVAL');
      }
    }
    freeAll(pool, handles);
    for (const handle of handles) expect(codeOf(() => pool.free(handle))).toBe('EINVAL');
    ram.check();
  });

  it('a stale handle is refused while its place is used again', () => {
    const ram = ramWith();
    const pool = poolIn(ram, { reserve: 1 });
    const stale = pool.malloc(500);
    pool.free(stale);
    for (let i = 0; i < 8000; i++) {
      const handle = pool.malloc(1 + (i % MAX));
      expect(handle).not.toBe(stale);
      if (i % 100 === 0) expect(codeOf(() => pool.free(stale))).toBe('EINVAL');
      pool.free(handle);
    }
    const live = pool.malloc(500);
    pool.destroy();
    const again = poolIn(ram, { reserve: 1 });
    for (let i = 0; i < 300; i++) put(again, 60);
    expect(codeOf(() => again.free(stale))).toBe('EINVAL');
    expect(codeOf(() => again.free(live))).toBe('EINVAL');
    ram.check();
  });

  it('destroy gives every frame back, live objects included; EBUSY while one is mapped', () => {
    const ram = ramWith();
    const pool = poolIn(ram);
    const handle = thinned(pool, 500, 5)[0] as Handle;
    pool.map(handle, 'ro');
    expect(codeOf(() => pool.destroy())).toBe('EBUSY');
    pool.unmap(handle);
    pool.destroy();
    expect(ram.stats().usedFrames).toBe(0);
    ram.check();
  });

  it('a restored image behaves as the RAM', async () => {
    const ram = ramWith();
    const pool = poolIn(ram, { name: 'x' });
    const handles = thinned(pool, 400, 6);
    const copy = await Ram.restore(ram.snapshot());
    const twin = copy.openZpool('x');
    for (const [r, p] of [
      [ram, pool],
      [copy, twin],
    ] as const) {
      p.free(handles[3] as Handle);
      for (let i = 0; i < 50; i++) put(p, 100 + 13 * i);
      p.compact();
      r.check();
    }
    expect(sameBytes(copy.snapshot(), ram.snapshot())).toBe(true);
  });

  it('raw pages: a frame of 4096 bytes each', () => {
    const ram = ramWith();
    const evicted: number[] = [];
    const pool = poolIn(ram, { evict: (handle, of) => (evicted.push(handle), of.free(handle)) });
    const small = put(pool, 100);
    const page = pattern(1, PAGE_SIZE);
    const entry = pool.storePage(page);
    const handle = entry as unknown as Handle;
    expect([pool.size(handle), pool.totalPages]).toEqual([PAGE_SIZE, 33]);
    expect(pool.locate(handle)).toMatchObject({ offset: 0, blocks: [{ offset: 0 }] });
    const into = new Uint8Array(PAGE_SIZE);
    pool.loadPage(entry, into);
    expect(into).toEqual(page);
    const view = pool.map(handle, 'rw');
    expect(view.length).toBe(PAGE_SIZE);
    view[0] = 77;
    expect(codeOf(() => pool.freePage(entry))).toBe('EBUSY');
    // Neither compaction nor reclaim takes a mapped one.
    expect(pool.compact()).toBe(0);
    ram.check();
    pool.unmap(handle);
    expect(pool.read(handle)[0]).toBe(77);
    const second = pool.storePage(pattern(2, PAGE_SIZE));
    expect(pool.freeable()).toBe(0);
    ram.check();
    // LRU: small, the first page, the second.
    const pages = pool.totalPages;
    expect(pool.shrink(2)).toBe(2);
    expect(evicted).toEqual([small, handle]);
    expect(pool.totalPages).toBe(pages - 2);
    ram.check();
    pool.freePage(second);
    expect(pool.stats()).toMatchObject({ objects: 0, liveBytes: 0, reserveFrames: pool.totalPages });
    expect(codeOf(() => pool.freePage(second))).toBe('EINVAL');
    ram.check();
  });
});

// ---- maps

describe('maps', () => {
  /** A pool with an object in one block and one in two. */
  function mappable(): { ram: Ram; pool: Zpool; one: Handle; two: Handle } {
    const ram = ramWith();
    const pool = poolIn(ram);
    const one = put(pool, 3000);
    const two = put(pool, 2500);
    return { ram, pool, one, two };
  }

  it('one block: in place', () => {
    const { ram, pool, one } = mappable();
    const used = ram.stats().usedFrames;
    const view = pool.map(one, 'rw');
    const again = pool.map(one, 'ro');
    expect(ram.stats().usedFrames).toBe(used);
    view[5] = 1;
    expect(again[5]).toBe(1);
    expect(pool.read(one)[5]).toBe(1);
    expect(codeOf(() => pool.free(one))).toBe('EBUSY');
    pool.unmap(one);
    ram.check();
    pool.unmap(one);
    expect(codeOf(() => pool.unmap(one))).toBe('EINVAL');
    ram.check();
  });

  it.each([
    ['rw', true],
    ['ro', false],
    ['wo', true],
  ] as [MapMode, boolean][])('two blocks, %s: one buffer, written back at the last unmap: %s', (mode, kept) => {
    const { ram, pool, two } = mappable();
    const used = ram.stats().usedFrames;
    const view = pool.map(two, mode);
    expect(ram.stats().usedFrames).toBe(used + 1);
    expect(view.length).toBe(2500);
    expect(view).toEqual(mode === 'wo' ? new Uint8Array(2500) : pattern(2500, 2500));
    const shared = pool.map(two, 'ro');
    view.fill(9, 1000, 1100);
    expect(shared.subarray(1000, 1100)).toEqual(new Uint8Array(100).fill(9));
    expect(pool.read(two)).toEqual(view);
    ram.check();
    pool.unmap(two);
    ram.check();
    const expected = kept ? Uint8Array.from(view) : pattern(2500, 2500);
    pool.unmap(two);
    expect(ram.stats().usedFrames).toBe(used);
    expect(pool.read(two)).toEqual(expected);
    ram.check();
  });

  it('a write to an object with a read-only map buffer is kept', () => {
    const { ram, pool, two } = mappable();
    pool.map(two, 'ro');
    pool.write(two, Uint8Array.of(1, 2, 3), 1010);
    pool.unmap(two);
    expect(pool.read(two).subarray(1010, 1013)).toEqual(Uint8Array.of(1, 2, 3));
    ram.check();
  });

  it('no frame for the map buffer: ENOMEM, and nothing changes', () => {
    const { ram, pool, two } = mappable();
    ram.failFrames(0);
    expect(codeOf(() => pool.map(two, 'rw'))).toBe('ENOMEM');
    ram.failFrames(null);
    expect(pool.stats().maps).toBe(0);
    ram.check();
    expectContent(pool, two, 2500, 2500);
  });

  it('EBUSY at 65535 maps', () => {
    const { ram, pool, two } = mappable();
    for (let i = 0; i < 65535; i++) pool.map(two, 'ro');
    expect(codeOf(() => pool.map(two, 'ro'))).toBe('EBUSY');
    ram.check();
    for (let i = 0; i < 65535; i++) pool.unmap(two);
    expect(codeOf(() => pool.unmap(two))).toBe('EINVAL');
    ram.check();
  });
});

// ---- compaction

describe('compaction', () => {
  it.each([1, 2] as const)('I1, I3, I5, I6: contents, sizes and handles stay, blocks %i', LONG, (blocks) => {
    const ram = ramWith('64MiB');
    const pool = poolIn(ram, { blocks });
    const handles = thinned(pool, 10_000, 3);
    const before = pool.stats();
    const free = ram.freeFrames;
    const promised = pool.freeable();
    const freed = pool.compact();
    ram.check();
    const after = pool.stats();
    expect(freed).toBeGreaterThan(1000);
    expect(freed).toBeLessThanOrEqual(promised);
    expect(after.frames).toBe(before.frames - freed);
    expect(ram.freeFrames).toBeGreaterThanOrEqual(free + freed);
    expect(after).toMatchObject({
      liveBytes: before.liveBytes,
      objects: before.objects,
      reserveFrames: before.reserveFrames,
    });
    expect(after.density).toBeGreaterThan(0.95);
    handles.forEach((handle, i) => {
      expectContent(pool, handle, 2 * i, pool.size(handle));
      expect(blocksOf(pool, handle).length).toBeLessThanOrEqual(blocks);
    });
    // I4
    expect(pool.compact()).toBe(0);
    expect(pool.stats()).toEqual(after);
    freeAll(pool, handles);
    expect([pool.totalPages, pool.stats().reserveFrames]).toEqual([32, 32]);
    ram.check();
    pool.destroy();
    expect(ram.stats().usedFrames).toBe(0);
  });

  it('C3, I2: no block of a mapped object moves, and its holes are still filled', LONG, () => {
    const ram = ramWith('64MiB');
    const pool = poolIn(ram);
    const handles = thinned(pool, 5000, 77);
    const mapped = handles.filter((_, i) => i % 25 === 0);
    const views = mapped.map((handle) => pool.map(handle, 'rw'));
    const places = mapped.map((handle) => JSON.stringify(blocksOf(pool, handle)));
    expect(pool.compact()).toBeGreaterThan(500);
    ram.check();
    expect(mapped.map((handle) => JSON.stringify(blocksOf(pool, handle)))).toEqual(places);
    views.forEach((view) => (view[0] = 123));
    for (const handle of mapped) pool.unmap(handle);
    handles.forEach((handle, i) => {
      if (i % 25 === 0) expect(pool.read(handle)[0]).toBe(123);
      else expectContent(pool, handle, 2 * i, pool.size(handle));
    });
    ram.check();
  });

  it('C8: victims bounds a call; many small calls free as much as one', LONG, () => {
    const pools = [1, 2].map(() => poolIn(ramWith('32MiB')));
    for (const pool of pools) thinned(pool, 4000, 78);
    const [one, many] = pools as [Zpool, Zpool];
    const whole = one.compact();
    expect(many.compact({ victims: 0 })).toBe(0);
    let total = 0;
    for (;;) {
      const freed = many.compact({ victims: 50 });
      expect(freed).toBeLessThanOrEqual(50);
      if (freed === 0) break;
      total += freed;
    }
    expect(Math.abs(total - whole)).toBeLessThanOrEqual(5);
  });

  it('I7: it needs no frame and no descriptor', LONG, () => {
    const ram = ramWith('16MiB');
    const pool = poolIn(ram);
    const handles: Handle[] = [];
    while (codeOf(() => handles.push(put(pool, 700 + (handles.length % 900), handles.length))) === undefined);
    freeAll(
      pool,
      handles.filter((_, i) => i % 3 === 1),
    );
    ram.failFrames(0);
    const promised = pool.freeable();
    const freed = pool.compact();
    expect(freed).toBeGreaterThan(promised * 0.9);
    expect(freed).toBeLessThanOrEqual(promised);
    ram.check();
    handles.forEach((handle, i) => {
      if (i % 3 !== 1) expectContent(pool, handle, i, 700 + (i % 900));
    });
  });

  it('C4: a block of 64 units is never put into the reserve', () => {
    const ram = ramWith();
    const pool = poolIn(ram);
    const handle = put(pool, MAX);
    const place = JSON.stringify(pool.locate(handle));
    expect([pool.freeable(), pool.compact()]).toEqual([0, 0]);
    expect(JSON.stringify(pool.locate(handle))).toBe(place);
    expect(pool.stats().reserveFrames).toBe(31);
    ram.check();
  });
});

// ---- reclaim

describe('reclaim', () => {
  it('tail first, in address order, an object once and whole; the reserve stays', () => {
    const ram = ramWith();
    const evicted: number[] = [];
    const pool = poolIn(ram, { evict: (handle, of) => (evicted.push(handle), of.free(handle)) });
    const [a, b, c] = [2036, 1000, 3000].map((size) => put(pool, size)) as [Handle, Handle, Handle];
    // c fills the frame of a and b and goes on in the next: both came to the front, that one last.
    expect(blocksOf(pool, c).length).toBe(2);
    expect(pool.shrink(1)).toBe(1);
    expect(evicted).toEqual([a, b, c]);
    // The victim goes back to the RAM, the other frame fills up the reserve.
    expect([pool.totalPages, pool.stats().reserveFrames]).toEqual([32, 32]);
    ram.check();
    expect(codeOf(() => pool.shrink(1))).toBe('EINVAL');
  });

  it('frames that become free because second blocks are gone count', () => {
    const ram = ramWith();
    const pool = poolIn(ram, { reserve: 0, evict: (handle, of) => of.free(handle) });
    put(pool, 2036);
    put(pool, 1000);
    put(pool, 3000);
    expect(pool.totalPages).toBe(2);
    expect(pool.shrink(1)).toBe(2);
    expect(pool.totalPages).toBe(0);
    ram.check();
  });

  it('free, map, write and compaction do not touch the LRU; malloc does', () => {
    const ram = ramWith();
    const evicted: number[] = [];
    const pool = poolIn(ram, { evict: (handle, of) => (evicted.push(handle), of.free(handle)) });
    const [a, b, gap, c] = [4000, 2000, 1900, 4000].map((size) => put(pool, size)) as [Handle, Handle, Handle, Handle];
    pool.map(a, 'rw');
    pool.unmap(a);
    pool.write(a, Uint8Array.of(1));
    pool.free(gap);
    pool.compact();
    const late = put(pool, 1900);
    expect(blocksOf(pool, late)[0]?.frame).toBe(blocksOf(pool, b)[0]?.frame);
    pool.shrink(3);
    expect(evicted).toEqual([a, c, b, late]);
    ram.check();
  });

  it('a refusal puts the frame at the front; eight tries; the last throw is the cause', () => {
    const ram = ramWith();
    const seen: number[] = [];
    const reason = new Error('no');
    let refuse = (_handle: Handle): boolean => true;
    const pool = poolIn(ram, {
      evict: (handle, of) => {
        seen.push(handle);
        if (refuse(handle)) throw reason;
        of.free(handle);
        return undefined;
      },
    });
    const handles = Array.from({ length: 10 }, () => put(pool, 4000));
    try {
      pool.shrink(1);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'EAGAIN', cause: reason });
    }
    expect(seen).toEqual(handles.slice(0, 8));
    seen.length = 0;
    refuse = (handle) => handle === handles[8];
    expect(pool.shrink(10)).toBe(9);
    expect(seen).toEqual([
      handles[8],
      handles[9],
      ...handles.slice(0, 8),
      ...Array<Handle>(8).fill(handles[8] as Handle),
    ]);
    ram.check();
  });

  it('frames with a block of a mapped object are passed over, keep their place and cost no try', () => {
    const ram = ramWith();
    const evicted: number[] = [];
    const pool = poolIn(ram, { evict: (handle, of) => (evicted.push(handle), of.free(handle)) });
    const [a, b] = [3000, 2500].map((size) => put(pool, size)) as [Handle, Handle];
    const c = put(pool, 4000);
    expect(blocksOf(pool, b).length).toBe(2);
    // Both frames of b.
    pool.map(b, 'ro');
    expect(pool.shrink(1)).toBe(1);
    expect(evicted).toEqual([c]);
    expect(codeOf(() => pool.shrink(1))).toBe('EINVAL');
    pool.unmap(b);
    expect(pool.shrink(1)).toBeGreaterThan(0);
    expect(evicted).toEqual([c, a, b]);
    ram.check();
  });

  it('an object that is neither freed nor refused is visited once, although both its blocks are in the frame', () => {
    const ram = ramWith();
    const seen: number[] = [];
    const pool = poolIn(ram, { evict: (handle) => void seen.push(handle) });
    const [a, b, c] = [52, 53, 3800].map((size) => put(pool, size)) as [Handle, Handle, Handle];
    pool.free(b);
    const d = put(pool, 130);
    expect(blocksOf(pool, d).map(({ frame }) => frame)).toEqual(Array(2).fill(blocksOf(pool, a)[0]?.frame));
    expect(codeOf(() => pool.shrink(1))).toBe('EAGAIN');
    expect(seen.slice(0, 3)).toEqual([a, d, c]);
    expect(seen.length).toBe(24);
    ram.check();
  });

  it('an object that a callback allocates lies elsewhere, even when the callback has just freed room', () => {
    const ram = ramWith();
    const fresh: Handle[] = [];
    const pool = poolIn(ram, {
      reserve: 0,
      evict: (handle, of) => {
        const frame = blocksOf(of, handle)[0]?.frame;
        const size = of.size(handle);
        of.free(handle);
        ram.check();
        const copy = put(of, size);
        for (const block of blocksOf(of, copy)) expect(block.frame).not.toBe(frame);
        fresh.push(copy);
        of.compact();
        ram.check();
      },
    });
    for (let i = 0; i < 40; i++) put(pool, 100 + 50 * i);
    expect(pool.shrink(1)).toBeGreaterThanOrEqual(1);
    for (const handle of fresh) expectContent(pool, handle, pool.size(handle), pool.size(handle));
    ram.check();
  });
});

// ---- exhaustion and failing frames

describe('when frames run out', () => {
  it('S15: a full RAM refuses and nothing changes; freeing gives every frame back', LONG, () => {
    const ram = Ram.createSync({ bytes: '1MiB' });
    const pool = poolIn(ram);
    const start = ram.stats().usedFrames;
    const draw = createDraw(9);
    const live = new Map<Handle, number>();
    for (let round = 0; round < 3; round++) {
      for (let refused = 0; refused < 20;) {
        const size = 1 + (draw() % MAX);
        const before = ram.freeFrames === 0 ? ram.snapshot() : new Uint8Array();
        let handle: Handle | undefined;
        const code = codeOf(() => (handle = pool.malloc(size)));
        if (handle !== undefined) {
          pool.write(handle, pattern(handle, size));
          live.set(handle, size);
        } else {
          expect(code).toBe('ENOMEM');
          refused++;
          expect(sameBytes(ram.snapshot(), before)).toBe(true);
        }
      }
      ram.check();
      expect(ram.freeFrames).toBe(0);
      for (const [handle, size] of live) {
        expectContent(pool, handle, handle, size);
        if (draw() % 2 === 0) {
          pool.free(handle);
          live.delete(handle);
        }
      }
      ram.check();
    }
    freeAll(pool, live.keys());
    expect([pool.totalPages, pool.stats().reserveFrames, ram.stats().usedFrames]).toEqual([32, 32, start]);
    ram.check();
  });

  it.each([0, 2, 32])('each frame request fails in turn; a reserve of %i', LONG, (reserve) => {
    for (let n = 0; n < 40; n++) {
      const ram = Ram.createSync({ bytes: '1MiB' });
      ram.failFrames(n, 1 + (n % 3));
      let pool: Zpool | undefined;
      if (codeOf(() => (pool = poolIn(ram, { reserve }))) !== undefined) {
        ram.check();
        pool = poolIn(ram, { reserve });
      }
      const own = pool as Zpool;
      const draw = createDraw(n + 1);
      const live = new Map<Handle, number>();
      for (let step = 0; step < 120; step++) {
        const size = draw() % 3 === 0 ? 1 + (draw() % 60) : 1 + (draw() % MAX);
        const pages = own.totalPages;
        const code = codeOf(() => {
          const handle = own.malloc(size);
          own.write(handle, pattern(step, size));
          live.set(handle, step);
        });
        if (code !== undefined) expect([code, own.totalPages]).toEqual(['ENOMEM', pages]);
        if (step % 3 === 2 && live.size !== 0) {
          const handle = [...live.keys()][draw() % live.size] as Handle;
          if (codeOf(() => own.map(handle, 'rw')) === undefined) own.unmap(handle);
          expectContent(own, handle, live.get(handle) ?? -1, own.size(handle));
          own.free(handle);
          live.delete(handle);
        }
        if (step % 40 === 39) own.compact();
        ram.check();
      }
      for (const [handle, seed] of live) expectContent(own, handle, seed, own.size(handle));
      freeAll(own, live.keys());
      ram.check();
      expect(own.totalPages).toBeLessThanOrEqual(reserve);
      own.destroy();
      expect(ram.stats().usedFrames).toBe(0);
    }
  });
});

// ---- side by side with the model

interface Twin {
  handle: Handle;
  /** -1 until the model has replayed the malloc. */
  id: number;
  size: number;
  seed: number;
  maps: MapMode[];
}

type Action =
  | { kind: 'malloc'; twin: Twin }
  | { kind: 'free'; twin: Twin; busy: boolean }
  | { kind: 'compact'; victims: number; freed: number; frames: Map<Twin, number[]> }
  | { kind: 'shrink'; log: ShrinkLog };

interface ShrinkLog {
  pages: number;
  result: number;
  calls: { twin: Twin; actions: Action[]; answer: 'free' | 'keep' | 'ok' }[];
}

/** Runs calls on a pool, then the same ones on the model, and compares. */
class Pair {
  readonly ram: Ram;
  readonly pool: Zpool;
  readonly model: XcfmallocModel;
  readonly live = new Set<Twin>();
  readonly #byHandle = new Map<number, Twin>();
  readonly #byId = new Map<number, Twin>();
  readonly #draw: Draw;
  readonly #shrinks: ShrinkLog[] = [];
  #seed = 0;

  constructor(ram: Ram, options: { blocks: 1 | 2; reserve: number }, draw: Draw) {
    this.ram = ram;
    this.#draw = draw;
    this.pool = poolIn(ram, { ...options, evict: (handle) => this.#evict(handle) });
    this.model = new XcfmallocModel(options);
  }

  size(): number {
    const kind = this.#draw() % 4;
    return kind === 0 ? 1 + (this.#draw() % 64) : kind === 1 ? MAX - (this.#draw() % 64) : 1 + (this.#draw() % MAX);
  }

  any(): Twin | undefined {
    return [...this.live][this.#draw() % Math.max(this.live.size, 1)];
  }

  // Each action runs on the pool; the model then repeats it.

  malloc(): Action {
    const size = this.size();
    const twin: Twin = { handle: this.pool.malloc(size), id: -1, size, seed: this.#seed++, maps: [] };
    this.pool.write(twin.handle, pattern(twin.seed, size));
    this.live.add(twin);
    this.#byHandle.set(twin.handle, twin);
    return { kind: 'malloc', twin };
  }

  free(twin: Twin): Action {
    const code = codeOf(() => this.pool.free(twin.handle));
    const busy = twin.maps.length !== 0;
    expect(code).toBe(busy ? 'EBUSY' : undefined);
    if (!busy) {
      this.live.delete(twin);
      this.#byHandle.delete(twin.handle);
    }
    return { kind: 'free', twin, busy };
  }

  compact(): Action {
    const frames = new Map(
      [...this.live].map((twin) => [twin, blocksOf(this.pool, twin.handle).map(({ frame }) => frame)]),
    );
    const victims = this.#draw() % 3 === 0 ? this.#draw() % 4 : 1e6;
    const promised = this.pool.freeable();
    const freed = this.pool.compact({ victims });
    expect(freed).toBeLessThanOrEqual(promised);
    return { kind: 'compact', victims, freed, frames };
  }

  shrink(pages: number): Action {
    const log: ShrinkLog = { pages, result: 0, calls: [] };
    this.#shrinks.push(log);
    const code = codeOf(() => (log.result = this.pool.shrink(pages)));
    this.#shrinks.pop();
    if (code !== undefined) log.result = code === 'EINVAL' ? -22 : code === 'EAGAIN' ? -11 : NaN;
    return { kind: 'shrink', log };
  }

  #evict(handle: Handle): boolean {
    const log = this.#shrinks.at(-1) as ShrinkLog;
    const twin = this.#byHandle.get(handle) as Twin;
    const call: ShrinkLog['calls'][number] = { twin, actions: [], answer: 'ok' };
    log.calls.push(call);
    const draw = this.#draw;
    if (draw() % 8 === 0) this.ram.check();
    const kind = draw() % 16;
    if (kind === 0) call.actions.push(this.malloc());
    if (kind === 1) call.actions.push(this.free(this.any() as Twin));
    if (kind === 2) call.actions.push(this.compact());
    if (kind === 3 && this.#shrinks.length < 3) call.actions.push(this.shrink(1 + (draw() % 2)));
    const answer = draw() % 16;
    call.answer = answer === 0 ? 'keep' : answer === 1 ? 'ok' : 'free';
    // Nothing else is done to the object after the answer, so the model may free it there.
    if (call.answer === 'free' && this.live.has(twin)) this.free(twin);
    return call.answer !== 'keep';
  }

  /** The same on the model. */
  replay(action: Action): void {
    const { model } = this;
    switch (action.kind) {
      case 'malloc':
        action.twin.id = model.malloc(action.twin.size);
        this.#byId.set(action.twin.id, action.twin);
        break;
      case 'free':
        expect(model.free(action.twin.id)).toBe(action.busy ? -16 : 0);
        break;
      case 'compact':
        model.renumber((id) => action.frames.get(this.#byId.get(id) as Twin) ?? []);
        expect(model.compact({ victims: action.victims })).toBe(action.freed);
        break;
      default: {
        let next = 0;
        const result = model.shrink(action.log.pages, (id) => {
          const call = action.log.calls[next++];
          expect(call?.twin.id).toBe(id);
          for (const inner of call?.actions ?? []) this.replay(inner);
          return call?.answer ?? 'keep';
        });
        expect([result, next]).toEqual([action.log.result, action.log.calls.length]);
      }
    }
  }

  map(twin: Twin, mode: MapMode): void {
    const view = this.pool.map(twin.handle, mode);
    expect(this.model.map(twin.id, mode)).toBe(0);
    expect(view.length).toBe(twin.size);
    if (mode === 'wo') {
      twin.seed = this.#seed++;
      view.set(pattern(twin.seed, twin.size));
    }
    twin.maps.push(mode);
  }

  unmap(twin: Twin): void {
    this.pool.unmap(twin.handle);
    expect(this.model.unmap(twin.id)).toBe(0);
    twin.maps.pop();
  }

  compare(all: boolean): void {
    const { pool, model, ram } = this;
    ram.check();
    expect([pool.totalPages, this.live.size]).toEqual([model.pages, model.objects]);
    if (!all) return;
    model.check();
    expect(pool.stats()).toMatchObject({
      liveBytes: model.liveBytes,
      objects: model.objects,
      spanning: model.objectsInTwoBlocks,
      reserveFrames: model.reserve,
    });
    expect(pool.freeable()).toBe(model.freeable());
    for (const twin of this.live) {
      const offsets = blocksOf(pool, twin.handle).map(({ offset }) => offset);
      expect(offsets).toEqual(model.places(twin.id).map(({ offset }) => offset));
      expectContent(pool, twin.handle, twin.seed, twin.size);
    }
  }
}

describe.each([
  { blocks: 2 as const, reserve: 32, build: 'release' as const },
  { blocks: 2 as const, reserve: 0, build: 'checked' as const },
  { blocks: 2 as const, reserve: 3, build: 'release' as const },
  { blocks: 1 as const, reserve: 4, build: 'checked' as const },
])('as the model: blocks $blocks, reserve $reserve, $build', ({ blocks, reserve, build }) => {
  it.each([1, 2, 3])('random calls, seed %i', LONG, async (seed) => {
    const ram = await Ram.create({ bytes: '8MiB', build });
    const draw = createDraw(seed * 1000 + reserve * 10 + blocks);
    const pair = new Pair(ram, { blocks, reserve }, draw);
    let target = 150;
    for (let step = 0; step < 2500; step++) {
      if (step % 250 === 0) target = 20 + (draw() % 250);
      const kind = draw() % 64;
      const twin = pair.any();
      if (kind < 2) pair.replay(pair.compact());
      else if (kind < 4) pair.replay(pair.shrink(draw() % 4));
      else if (kind < 8 && twin !== undefined) pair.map(twin, (['ro', 'rw', 'wo'] as const)[draw() % 3] as MapMode);
      else if (kind < 16 && twin !== undefined && twin.maps.length !== 0) pair.unmap(twin);
      else if (kind < 20)
        for (const mapped of [...pair.live].filter(({ maps }) => maps.length !== 0).slice(0, 3)) pair.unmap(mapped);
      else if (twin !== undefined && draw() % (2 * target) < pair.live.size) pair.replay(pair.free(twin));
      else pair.replay(pair.malloc());
      pair.compare(step % 10 === 0);
    }
    for (const twin of [...pair.live]) {
      while (twin.maps.length !== 0) pair.unmap(twin);
      pair.replay(pair.free(twin));
    }
    pair.compare(true);
    expect(pair.pool.totalPages).toBe(reserve);
    pair.pool.destroy();
    expect(ram.stats().usedFrames).toBe(0);
  });
});
