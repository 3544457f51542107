/**
 * The models of z3fold, xvmalloc and xcfmalloc give every published figure of docs/rules: README.md (T1, T3),
 * zbud-z3fold.md sections 3 and 5 (checkpoints, E6 to E10), xvmalloc-xcfmalloc.md sections 1, 2 (hand-checkable
 * scenarios, descriptors), 4 (T6) and 6 (compaction). More tests cover rules that no figure shows: maps, refusals,
 * re-entrant callbacks and codes.
 */
import { describe, expect, it } from 'vitest';
import {
  createDraw,
  PlacementChecksum,
  runChurn2,
  runE10,
  runE6,
  runE7,
  runE8,
  runE9,
  runT1,
  runT3,
  runT6,
  size1,
} from './trace.ts';
import type { SizeOf } from './trace.ts';
import { EAGAIN, EBUSY, EINVAL, ENOSPC } from './types.ts';
import type { Evict, EvictAnswer, PoolModel } from './types.ts';
import { XcfmallocModel } from './xcfmalloc.ts';
import { XvmallocModel } from './xvmalloc.ts';
import { Z3foldModel } from './z3fold.ts';

const LONG = { timeout: 120_000 };

const accept: Evict = () => 'free';
const refuse: Evict = () => 'keep';

/** Mallocs that must succeed. */
function mallocs(pool: PoolModel, ...sizes: number[]): number[] {
  return sizes.map((size) => {
    const id = pool.malloc(size);
    if (id <= 0) throw new Error(`malloc(${size}) gave ${id}`);
    return id;
  });
}

function freeAll(pool: PoolModel, ids: readonly number[]): void {
  for (const id of ids) expect(pool.free(id)).toBe(0);
}

/** The objects that a shrink evicts, in order. */
function recordEvicted(pool: PoolModel, pages: number): { result: number; evicted: number[] } {
  const evicted: number[] = [];
  const result = pool.shrink(pages, (id) => {
    evicted.push(id);
    return 'free';
  });
  return { result, evicted };
}

interface Fuzzed {
  readonly pool: PoolModel;
  readonly sizeOf: SizeOf;
  /** An extra call, for instance deferred work. */
  readonly extra?: () => void;
  readonly pagesWhenEmpty: number;
}

/** Random calls, with evict callbacks that call back; check() after each. */
function fuzz({ pool, sizeOf, extra, pagesWhenEmpty }: Fuzzed, seed: number, steps: number): void {
  const draw = createDraw(seed);
  const live: number[] = [];
  const mapped: number[] = [];
  let depth = 0;

  const pick = (): number => live[draw() % live.length] ?? 0;
  const forgetDead = (): void => {
    const alive = new Set(pool.ids());
    const kept = live.filter((id) => alive.has(id));
    live.splice(0, live.length, ...kept);
  };
  const evict: Evict = (id): EvictAnswer => {
    expect(pool.size(id)).toBeGreaterThan(0);
    depth++;
    const kind = draw() % 8;
    if (kind === 0) step();
    if (kind === 1) expect([0, EBUSY, EINVAL]).toContain(pool.free(id));
    pool.check();
    depth--;
    if (kind === 2) return 'keep';
    return kind === 3 ? 'ok' : 'free';
  };
  const step = (): void => {
    const kind = draw() % 100;
    const wanted = live.length < 400 ? 55 : 45;
    if (live.length === 0 || kind < wanted) {
      live.push(...mallocs(pool, sizeOf(draw)));
    } else if (kind < 90) {
      const id = pick();
      const isMapped = mapped.includes(id);
      const isLive = pool.ids().includes(id);
      const expected = isLive ? (isMapped ? EBUSY : 0) : EINVAL;
      expect(pool.free(id)).toBe(expected);
    } else if (kind < 93) {
      const id = pick();
      if (pool.map(id, 'rw') === 0) mapped.push(id);
    } else if (kind < 96) {
      const id = mapped.splice(0, 1)[0];
      if (id !== undefined) expect(pool.unmap(id)).toBe(0);
    } else if (kind === 96 && depth < 2) {
      const result = pool.shrink(1 + (draw() % 3), evict);
      expect(result > 0 || result === EAGAIN || result === EINVAL).toBe(true);
    } else if (kind === 97) {
      const promised = pool.freeable();
      const before = pool.pages;
      const freed = pool.compact();
      expect(before - pool.pages).toBe(freed);
      expect(freed).toBeLessThanOrEqual(promised);
    } else if (kind === 98) {
      extra?.();
    }
    if (depth === 0) forgetDead();
  };

  for (let i = 0; i < steps; i++) {
    step();
    pool.check();
  }
  for (const id of mapped) expect(pool.unmap(id)).toBe(0);
  freeAll(pool, pool.ids());
  extra?.();
  pool.check();
  expect(pool.pages).toBe(pagesWhenEmpty);
  expect(pool.liveBytes).toBe(0);
}

/** The codes that all three share (R1, R3). */
function itGivesTheCodes(create: () => PoolModel, largest: number): void {
  it('R1: codes of malloc, free, map, unmap, size, write', () => {
    const pool = create();
    for (const size of [0, -1, 1.5, NaN, 2 ** 32]) expect(pool.malloc(size)).toBe(EINVAL);
    expect(pool.malloc(largest + 1)).toBe(ENOSPC);
    const [id = 0] = mallocs(pool, largest);
    expect(pool.size(id)).toBe(largest);
    expect(pool.write(id)).toBe(0);
    expect(pool.unmap(id)).toBe(EINVAL);
    expect([pool.map(id, 'rw'), pool.map(id, 'ro')]).toEqual([0, 0]);
    expect(pool.unmap(id)).toBe(0);
    expect(pool.free(id)).toBe(EBUSY);
    expect(pool.unmap(id)).toBe(0);
    expect(pool.free(id)).toBe(0);
    for (const dead of [id, 0, -1, 99, NaN]) {
      expect(pool.free(dead)).toBe(EINVAL);
      expect(pool.size(dead)).toBe(EINVAL);
      expect(pool.write(dead)).toBe(EINVAL);
      expect(pool.map(dead, 'ro')).toBe(EINVAL);
      expect(pool.unmap(dead)).toBe(EINVAL);
    }
    pool.check();
  });

  it('R3, R4: codes of shrink', () => {
    const pool = create();
    expect(pool.shrink(0, accept)).toBe(0);
    expect(pool.shrink(1, accept)).toBe(EINVAL);
    const ids = mallocs(pool, 2000, 2000);
    expect(pool.shrink(1)).toBe(EINVAL);
    let calls = 0;
    const result = pool.shrink(1, () => {
      calls++;
      return 'keep';
    });
    expect([result, calls]).toEqual([EAGAIN, 8]);
    for (const id of ids) pool.map(id, 'ro');
    expect(pool.shrink(1, accept)).toBe(EINVAL);
    for (const id of ids) pool.unmap(id);
    expect(pool.shrink(9, accept)).toBeGreaterThan(0);
    expect(pool.objects).toBe(0);
    pool.check();
  });
}

// ---------------------------------------------------------------- z3fold

describe('z3fold', () => {
  it('Z1-Z9: T1', () => {
    const result = runT1(new Z3foldModel());
    expect(result).toMatchObject({
      pages: 39780,
      placement: 140965776,
      requested: 155298994,
      drained: 0,
    });
    expect(result.density.toFixed(4)).toBe('0.9531');
  });

  it('Z10-Z17: T3', () => {
    const pool = new Z3foldModel();
    const result = runT3(pool, { drain: false });
    pool.check();
    expect(result).toMatchObject({
      full: 39860,
      freeMarks: [39858, 39823, 39482, 36003, 20585],
      half: 20585,
      placement: 419192144,
      liveBytes: 77783483,
    });
    expect((result.liveBytes / (result.half * 4096)).toFixed(4)).toBe('0.9225');
    // Three lone objects found no room when they became lone, and compact() finds it now.
    expect(result).toMatchObject({ compacted: 20582, compactFreed: 3, moved: 3, compactAgain: 0 });
    freeAll(pool, pool.ids());
    expect(pool.pages).toBe(0);
  });

  it('Z7, Z8: first 24 of T1, size@offset', () => {
    const draw = createDraw(1);
    const pool = new Z3foldModel();
    const seen: string[] = [];
    for (let i = 0; i < 24; i++) {
      const size = size1(draw);
      seen.push(`${size}@${pool.placement(pool.malloc(size))}`);
    }
    expect(seen.join(' ')).toBe(
      '1633@64 848@3200 2788@64 2602@64 2615@64 1963@64 1163@2880 1539@2496 3052@64 2234@64 ' +
        '2283@64 825@3264 2591@64 1151@2944 2815@64 1045@3008 1611@2432 1169@2880 2840@64 ' +
        '224@2688 1106@2944 2209@64 633@3456 843@1728',
    );
  });

  it.each([
    [10, 7, 49015],
    [100, 47, 7944954],
    [1_000, 397, 808090388],
    [10_000, 3969, 4028813064],
  ])('section 3: T1 after %i mallocs', (count, pages, placement) => {
    const pool = new Z3foldModel();
    const result = runT1(pool, { drain: false }, count);
    expect(result).toMatchObject({ pages, placement });
    expect(pool.counts).toEqual({ moves: 0, slides: 0, renames: 0 });
    pool.check();
  });

  it('Z15, Z16, section 3: pages; moves / slides / renames in T3', () => {
    const pool = new Z3foldModel();
    const draw = createDraw(3);
    const ids: number[] = [];
    for (let i = 0; i < 100_000; i++) ids.push(pool.malloc(size1(draw)));
    const seen: string[] = [];
    for (let frees = 1; frees <= 50_000; frees++) {
      pool.free(ids[2 * frees - 1] ?? 0);
      if (![10, 100, 1_000, 10_000, 50_000].includes(frees)) continue;
      const { moves, slides, renames } = pool.counts;
      seen.push(`${frees}: ${pool.pages}; ${moves}/${slides}/${renames}`);
    }
    expect(seen).toEqual([
      '10: 39858; 2/2/0',
      '100: 39823; 37/5/0',
      '1000: 39482; 377/36/0',
      '10000: 36003; 3852/280/0',
      '50000: 20585; 19192/1310/0',
    ]);
  });

  describe.each([
    {
      headerChunks: 1 as const,
      e6: [8395, 7895, 756, 2860094559, 21458272],
      first: [3234, 11075, 14549, 15463],
      e7: [2026, 1669, 3380, 2880, 1248450312],
      e7first: [357, 143, 1613, 2093, 103698420],
      e7second: [500, 0, 2843, 2743844380],
      e8: [7889, 5381, 4881, 1153, 1348960099, 3022946448],
      e9: [7964, 5197, 6739, 5224, 3594181300],
      e10: [5268, 3507, 3007, 923, 594116297, 1073843720],
    },
    {
      headerChunks: 2 as const,
      e6: [8549, 8049, 717, 2593387056, 66347296],
      first: [2430, 16881, 8015, 3151],
      e7: [2057, 1670, 3422, 2922, 3356517896],
      e7first: [387, 113, 1623, 1949, 114795462],
      e7second: [500, 0, 2850, 1501355005],
      e8: [8016, 5481, 4981, 1155, 1320713091, 2230621264],
      e9: [8088, 5192, 6848, 5314, 4080165428],
      e10: [5346, 3563, 3063, 901, 550589291, 1777321480],
    },
  ])('with $headerChunks header chunks', (figures) => {
    const create = (): Z3foldModel => new Z3foldModel({ headerChunks: figures.headerChunks });

    it('Z9, Z10, Z16, Z19, Z20: E6', () => {
      const r = runE6(create());
      expect([r.before, r.after, r.evicted, r.evictionChecksum, r.placement]).toEqual(figures.e6);
      expect(r.firstEvicted.slice(0, 4)).toEqual(figures.first);
      expect(r.drained).toBe(0);
    });

    it('Z5, Z20, Z21: E7', () => {
      const r = runE7(create());
      expect([r.filled, r.afterFirst, r.refilled, r.end, r.placement]).toEqual(figures.e7);
      const { first, second } = r;
      expect([first.ok, first.again, first.evicted, first.refused, first.evictionChecksum]).toEqual(figures.e7first);
      expect([second.ok, second.again, second.evicted, second.evictionChecksum]).toEqual(figures.e7second);
      expect(r.drained).toBe(0);
    });

    it('Z10, Z16, Z17, Z19: E8', () => {
      const r = runE8(create());
      expect([r.full, r.thinned, r.end, r.evicted, r.evictionChecksum, r.placement]).toEqual(figures.e8);
      expect(r.drained).toBe(0);
    });

    it('Z4, Z7, Z15, Z18: E9', () => {
      const r = runE9(create());
      expect([r.full, r.freed, r.refilled, r.end, r.placement]).toEqual(figures.e9);
      expect(r.drained).toBe(0);
    });

    it('Z2, Z20: E10', () => {
      const r = runE10(create());
      expect([r.full, r.thinned, r.end, r.evicted, r.evictionChecksum, r.placement]).toEqual(figures.e10);
      expect(r.drained).toBe(0);
    });
  });

  itGivesTheCodes(() => new Z3foldModel(), 4096);

  it('Z2: sizes at the borders', () => {
    const pool = new Z3foldModel();
    const [buddied = 0, headless = 0] = mallocs(pool, 3968, 3969);
    expect([pool.placement(buddied), pool.placement(headless)]).toEqual([64, 0]);
    expect(pool.pages).toBe(2);
    // The 1-chunk gap behind 3968 is open, the headless page has none.
    mallocs(pool, 64, 64);
    expect(pool.pages).toBe(3);
    // Z1: three objects of 21 chunks fit.
    const thirds = new Z3foldModel();
    const ids = mallocs(thirds, 1344, 1344, 1344);
    expect(thirds.pages).toBe(1);
    expect(ids.map((id) => thirds.placement(id))).toEqual([64, 64 * 43, 64 * 22]);
  });

  it('Z14.2, Z6, Z13: with manual work a pending page is counted and takes no object', () => {
    const pool = new Z3foldModel({ deferred: 'manual' });
    const [a = 0, b = 0] = mallocs(pool, 1000, 1000);
    pool.free(a);
    const [c = 0] = mallocs(pool, 1000);
    expect(pool.pages).toBe(2);
    pool.free(b);
    expect(pool.pages).toBe(2);
    // The page that is empty, and the one with a lone object: while there is work it counts as movable.
    expect(pool.freeable()).toBe(2);
    pool.check();
    pool.runDeferred();
    expect(pool.pages).toBe(1);
    pool.free(c);
    expect(pool.pages).toBe(0);
  });

  it('Z12: a full page is worked on inside free', () => {
    const pool = new Z3foldModel({ deferred: 'manual' });
    const [, last = 0, middle = 0] = mallocs(pool, 1000, 1000, 1000);
    expect(pool.placement(middle)).toBe(64 * 17);
    pool.free(last);
    expect(pool.compact()).toBe(0);
    expect(pool.placement(mallocs(pool, 1000)[0] ?? 0)).toBe(64 * 48);
    expect(pool.pages).toBe(1);
  });

  it('Z15: slides at 3 chunks, not at 2; renames', () => {
    const pool = new Z3foldModel();
    // FIRST 3, LAST 10, MIDDLE 5 at 4.
    const [first = 0, last = 0, middle = 0] = mallocs(pool, 192, 640, 320);
    expect(pool.placement(middle)).toBe(64 * 4);
    pool.free(last);
    expect(pool.placement(middle)).toBe(64 * 4);
    pool.map(middle, 'ro');
    pool.free(first);
    expect(pool.placement(middle)).toBe(64 * 4);
    pool.check();
    // Z7: FIRST as soon as it fits, however big the other side; then LAST. A free of a neighbour also does the work
    // that the map prevented.
    const [again = 0, behind = 0] = mallocs(pool, 192, 64);
    expect([again, behind].map((id) => pool.placement(id))).toEqual([64, 64 * 63]);
    pool.unmap(middle);
    pool.free(again);
    expect(pool.placement(middle)).toBe(64 * 58);
    pool.free(behind);
    expect(pool.placement(middle)).toBe(64);
    expect(pool.counts).toEqual({ moves: 0, slides: 1, renames: 1 });
  });

  it('Z16, Z17, Z19: an object moves once; a page with a guest is not reclaimed', () => {
    const pool = new Z3foldModel();
    // Two pages of two, both thinned: the second lone object moves to the first page.
    const [a1 = 0, a2 = 0, b1 = 0, b2 = 0] = mallocs(pool, 1900, 1900, 1900, 1900);
    pool.free(a2);
    pool.free(b2);
    expect(pool.pages).toBe(1);
    expect(pool.placement(b1)).toBe(4096 - 1920);
    expect(pool.shrink(1, accept)).toBe(EINVAL);
    // The object is alone now, and there is a page with room: it stays.
    pool.free(a1);
    const [c = 0] = mallocs(pool, 3000);
    pool.check();
    expect([pool.pages, pool.placement(b1)]).toEqual([2, 4096 - 1920]);
    pool.free(c);
    mallocs(pool, 1900);
    expect(pool.pages).toBe(1);
    pool.free(b1);
    expect(pool.shrink(1, accept)).toBe(1);
    expect(pool.pages).toBe(0);
  });

  it('Z19, R4: a frame with a mapped object keeps its place and costs no try', () => {
    const pool = new Z3foldModel();
    const ids = mallocs(pool, 3900, 3900, 3900);
    pool.map(ids[0] ?? 0, 'ro');
    expect(recordEvicted(pool, 1)).toEqual({ result: 1, evicted: [ids[1]] });
    pool.unmap(ids[0] ?? 0);
    expect(recordEvicted(pool, 1)).toEqual({ result: 1, evicted: [ids[0]] });
  });

  it('Z10, Z13, Z21: frees made by a callback wait for the end of the reclaim', () => {
    const pool = new Z3foldModel();
    const [a1 = 0, a2 = 0, b1 = 0, b2 = 0] = mallocs(pool, 2000, 1900, 2000, 1900);
    const [c = 0] = mallocs(pool, 3900);
    const seen: number[] = [];
    const result = pool.shrink(1, (id) => {
      pool.free(b2);
      seen.push(id, pool.pages);
      return id === a2 ? 'keep' : 'free';
    });
    // Evicted: a1, b1 (then b's page is empty but pending) after seven refusals at most.
    expect(result).toBe(1);
    expect(seen.slice(0, 4)).toEqual([a1, 3, a2, 3]);
    expect(pool.size(b1)).toBe(EINVAL);
    expect(pool.ids()).toEqual([a2, c]);
    expect(pool.pages).toBe(2);
    pool.check();
  });

  it.each([1, 2, 3])('random calls, also from evict callbacks, seed %i', (seed) => {
    for (const deferred of ['afterFree', 'manual'] as const) {
      const pool = new Z3foldModel({ deferred });
      const sizeOf: SizeOf = (draw) => (draw() % 10 === 0 ? 3900 + (draw() % 197) : size1(draw));
      const extra = (): void => {
        pool.runDeferred();
      };
      fuzz({ pool, sizeOf, extra, pagesWhenEmpty: 0 }, seed, 3_000);
    }
  });
});

// ---------------------------------------------------------------- xvmalloc

describe('xvmalloc', () => {
  it('X1-X14: T1', () => {
    const result = runT1(new XvmallocModel());
    expect(result).toMatchObject({ pages: 38607, placement: 262119256, drained: 0 });
    expect(result.density.toFixed(4)).toBe('0.9821');
  });

  it('X16-X19: T3', () => {
    const pool = new XvmallocModel();
    const result = runT3(pool, { drain: false });
    expect(result).toMatchObject({ full: 38671, half: 32221, moved: 0, placement: 1526136064 });
    expect(result.density.toFixed(4)).toBe('0.5894');
    pool.check();
    freeAll(pool, pool.ids());
    expect(pool.pages).toBe(0);
  });

  it('X12: T2 (as trace.ts has it) ends at 19,290', LONG, () => {
    const result = runChurn2(new XvmallocModel(), 1_000_000);
    expect(result).toMatchObject({ requested: 1630802611, drained: 0 });
    expect(result.marks.at(-1)).toBe(19290);
  });

  it('X4, X9, X12, X15: T6', () => {
    expect(runT6(new XvmallocModel())).toMatchObject({
      filled: 2555,
      marks: [2577, 2580, 2546, 2528, 2613],
      peak: 2646,
      placement: 931153724,
      drained: 0,
    });
  });

  it('X4-X8, X12-X16: scenario XA', () => {
    const pool = new XvmallocModel();
    const take = (size: number): [id: number, offset: number] => {
      const [id = 0] = mallocs(pool, size);
      return [id, pool.placement(id)];
    };
    const [first, o1] = take(100);
    const [thirtyThree, o2] = take(33);
    const [one, o3] = take(1);
    const [second, o4] = take(100);
    const [, o5] = take(2000);
    expect([o1, o2, o3, o4, o5]).toEqual([4, 108, 148, 156, 260]);
    pool.free(thirtyThree);
    expect(take(36)[1]).toBe(2264);
    pool.free(one);
    expect(take(36)[1]).toBe(108);
    freeAll(pool, [first, second]);
    pool.check();
    expect(take(104)[1]).toBe(148);
    expect(take(1500)[1]).toBe(2304);
    expect(take(8)[1]).toBe(4);
    expect(pool.pages).toBe(1);
    pool.check();
  });

  it('X7: scenario XB', () => {
    const pool = new XvmallocModel();
    const ids = mallocs(pool, 504, 504, 504, 504, 504, 504, 504, 504);
    expect(ids.map((id) => pool.placement(id))).toEqual([4, 512, 1020, 1528, 2036, 2544, 3052, 3560]);
    freeAll(pool, [ids[1] ?? 0, ids[5] ?? 0, ids[3] ?? 0]);
    const again = mallocs(pool, 504, 504, 504);
    expect(again.map((id) => pool.placement(id))).toEqual([1528, 2544, 512]);
    expect(pool.pages).toBe(1);
  });

  it('X5, X6, X9: scenario XC', () => {
    const pool = new XvmallocModel();
    const ids = mallocs(pool, 4088, 4084, 4081);
    expect(ids.map((id) => pool.placement(id))).toEqual([4, 4, 4]);
    expect(pool.pages).toBe(3);
    for (const size of [4089, 4090, 4092]) expect(pool.malloc(size)).toBe(ENOSPC);
    expect(pool.pages).toBe(3);
  });

  itGivesTheCodes(() => new XvmallocModel(), 4088);

  it('R6, R7: malloc alone moves a frame; tail first, address order', () => {
    const pool = new XvmallocModel();
    const [a1 = 0, a2 = 0, b1 = 0, b2 = 0] = mallocs(pool, 2040, 2040, 2040, 2040);
    expect(pool.pages).toBe(2);
    pool.map(a1, 'rw');
    pool.unmap(a1);
    pool.write(a1);
    pool.free(a2);
    expect(pool.lru()).toEqual([[b1, b2], [a1]]);
    const [a3 = 0] = mallocs(pool, 100);
    expect(pool.lru()).toEqual([
      [a1, a3],
      [b1, b2],
    ]);
    expect(recordEvicted(pool, 2)).toEqual({ result: 2, evicted: [b1, b2, a1, a3] });
  });

  it('R5, R7: a refusal puts the frame at the front; mapped ones keep their place', () => {
    const pool = new XvmallocModel();
    const [a = 0, b = 0, c = 0] = mallocs(pool, 4000, 4000, 4000);
    pool.map(b, 'ro');
    expect(pool.reclaim(1, refuse)).toBe(EAGAIN);
    expect(pool.lru()).toEqual([[a], [c], [b]]);
    expect(recordEvicted(pool, 1)).toEqual({ result: 1, evicted: [c] });
    pool.unmap(b);
    expect(recordEvicted(pool, 5)).toEqual({ result: 2, evicted: [b, a] });
  });

  it.each([1, 2, 3])('random calls, also from evict callbacks, seed %i', (seed) => {
    const pool = new XvmallocModel();
    const sizeOf: SizeOf = (draw) => (draw() % 3 === 0 ? 1 + (draw() % 64) : 1 + (draw() % 4088));
    fuzz({ pool, sizeOf, pagesWhenEmpty: 0 }, seed, 3_000);
  });
});

// ---------------------------------------------------------------- xcfmalloc

describe.each([
  {
    blocks: 1 as const,
    t1: { pages: 39428, placement: 970496480 },
    t1density: '0.9616',
    t1descriptors: 113_324,
    t1frames: 39_396,
    t3: { full: 39510, half: 32703, placement: 372976160 },
    t3density: '0.5807',
    t3descriptors: 85_765,
    t3frames: 32_671,
    t3split: 0,
    t3compact: { pages: 19_683, objects: 15_501, blocks: 16_582, bytes: 16_285_687 },
    t3compactDensity: '0.9648',
    t2: { pages: 19_695, descriptors: 54_590, frames: 19_663 },
    t2compact: { pages: 19_527, objects: 245, blocks: 245, bytes: 197_751 },
    t6: {
      filled: 2602,
      marks: [2646, 2644, 2619, 2596, 2676],
      peak: 2706,
      placement: 3945866152,
      drained: 32,
    },
  },
  {
    blocks: 2 as const,
    t1: { pages: 39112, placement: 1938949168 },
    t1density: '0.9694',
    t1descriptors: 135_962,
    t1frames: 39_081,
    t3: { full: 39180, half: 39167, placement: 1605723476 },
    t3density: '0.4848', // 77,783,483 / (39,167 * 4096) is 0.4848497
    t3descriptors: 135_420,
    t3frames: 39_135,
    t3split: 18_014,
    t3compact: { pages: 19_607, objects: 29_342, blocks: 33_407, bytes: 26_856_952 },
    t3compactDensity: '0.9685',
    t2: { pages: 19_672, descriptors: 75_704, frames: 19_640 },
    t2compact: { pages: 19_511, objects: 799, blocks: 834, bytes: 472_752 },
    t6: {
      filled: 2590,
      marks: [2593, 2587, 2573, 2546, 2637],
      peak: 2656,
      placement: 606996331,
      drained: 32,
    },
  },
])('xcfmalloc, blocks $blocks', (figures) => {
  const { blocks } = figures;
  const create = (): XcfmallocModel => new XcfmallocModel({ blocks, reserve: 32 });

  it('S1-S14: T1; section 2: descriptors, frames', () => {
    const pool = create();
    const result = runT1(pool, { drain: false });
    expect(result).toMatchObject(figures.t1);
    expect(result.density.toFixed(4)).toBe(figures.t1density);
    expect(pool.descriptors).toBe(figures.t1descriptors);
    expect(pool.pages - pool.reserve).toBe(figures.t1frames);
    expect(pool.objectsInTwoBlocks).toBe(blocks === 2 ? 35_929 : 0);
    if (blocks === 2) expect(pool.freeBlocks).toBe(2);
    pool.check();
    if (blocks === 2) {
      // C9, "Measured": compact() frees nothing after T1.
      expect(pool.freeable()).toBe(0);
      expect(pool.compact()).toBe(0);
      expect(pool.counts.blocksMoved).toBe(0);
    }
    freeAll(pool, pool.ids());
    expect([pool.pages, pool.reserve, pool.descriptors]).toEqual([32, 32, 32]);
  });

  it('S16, S8; C1-C7, C9, I1-I6: T3, compaction', () => {
    // trace.ts compacts T3 at once; this test needs the state before as well.
    const pool = create();
    const draw = createDraw(3);
    const ids: number[] = [];
    const placement = new PlacementChecksum();
    for (let i = 0; i < 100_000; i++) {
      const id = pool.malloc(size1(draw));
      ids.push(id);
      placement.add(pool.placement(id));
    }
    const full = pool.pages;
    for (let i = 1; i < 100_000; i += 2) pool.free(ids[i] ?? 0);
    expect({ full, half: pool.pages, placement: placement.value }).toEqual(figures.t3);
    expect((pool.liveBytes / (pool.pages * 4096)).toFixed(4)).toBe(figures.t3density);
    expect(pool.descriptors).toBe(figures.t3descriptors);
    expect(pool.pages - pool.reserve).toBe(figures.t3frames);
    expect(pool.objectsInTwoBlocks).toBe(figures.t3split);
    if (blocks === 2) expect(pool.freeBlocks).toBe(67_374);
    pool.check();

    const expected = figures.t3compact;
    const before = new Map(pool.ids().map((id) => [id, pool.where(id)]));
    const pages = pool.pages;
    const promised = pool.freeable();
    const freed = pool.compact();
    pool.check();
    expect(pool.pages).toBe(expected.pages);
    expect(freed).toBe(pages - expected.pages);
    expect(pool.reserve).toBe(32);
    expect(freed).toBeLessThanOrEqual(promised);
    if (blocks === 2) expect([promised, freed]).toEqual([19_562, 19_560]);
    const moved = [...before].filter(([id, where]) => pool.where(id) !== where).length;
    expect(moved).toBe(expected.objects);
    expect(pool.counts).toEqual({
      blocksMoved: expected.blocks,
      bytesMoved: expected.bytes,
      passes: 2,
    });
    expect((pool.liveBytes / (pool.pages * 4096)).toFixed(4)).toBe(figures.t3compactDensity);
    if (blocks === 2) expect(pool.descriptors).toBe(68_383);
    expect(pool.liveBytes).toBe(77783483);

    expect(pool.compact()).toBe(0);
    expect(pool.counts.blocksMoved).toBe(expected.blocks);
    freeAll(pool, pool.ids());
    expect([pool.pages, pool.reserve, pool.descriptors]).toEqual([32, 32, 32]);
  });

  it('S10-S17: T3 as trace.ts runs it', () => {
    const result = runT3(create());
    expect(result).toMatchObject({
      ...figures.t3,
      compacted: figures.t3compact.pages,
      moved: figures.t3compact.objects,
      compactAgain: 0,
      drained: 32,
    });
  });

  it('S16; C1-C9: T2 (as trace.ts has it) and its compaction', LONG, () => {
    const pool = create();
    const result = runChurn2(pool, 1_000_000, { drain: false });
    expect(result.marks.at(-1)).toBe(figures.t2.pages);
    expect(pool.descriptors).toBe(figures.t2.descriptors);
    expect(pool.pages - pool.reserve).toBe(figures.t2.frames);
    if (blocks === 2) {
      expect([pool.objectsInTwoBlocks, pool.freeBlocks]).toEqual([24_130, 1_542]);
      expect(pool.freeable()).toBe(180);
    }
    const before = new Map(pool.ids().map((id) => [id, pool.where(id)]));
    const freed = pool.compact();
    pool.check();
    expect(freed).toBe(figures.t2.pages - figures.t2compact.pages);
    expect(pool.pages).toBe(figures.t2compact.pages);
    const moved = [...before].filter(([id, where]) => pool.where(id) !== where).length;
    expect([moved, pool.counts.blocksMoved, pool.counts.bytesMoved]).toEqual([
      figures.t2compact.objects,
      figures.t2compact.blocks,
      figures.t2compact.bytes,
    ]);
    if (blocks === 2) expect(pool.descriptors).toBe(74_763);
  });

  it('S5, S11, S12: T6', () => {
    expect(runT6(create())).toMatchObject(figures.t6);
  });

  it('S6-S13: hand-checkable scenario', () => {
    const pool = create();
    expect([pool.pages, pool.reserve, pool.descriptors]).toEqual([32, 32, 32]);
    const letters = new Map<number, string>();
    const take = (size: number): { id: number; place: string } => {
      const [id = 0] = mallocs(pool, size);
      const parts = pool.places(id).map(({ frame, offset, bytes }) => {
        const letter = letters.get(frame) ?? 'ABCDEF'[letters.size] ?? '?';
        letters.set(frame, letter);
        return `${letter}:${offset}(${bytes})`;
      });
      return { id, place: parts.join(' + ') };
    };
    const start = [52, 53, 500, 2000, 300].map((size) => take(size));
    expect(start.map(({ place }) => place)).toEqual([
      'A:0(52)',
      'A:64(53)',
      'A:192(500)',
      'A:704(2000)',
      'A:2752(300)',
    ]);
    expect([pool.pages, pool.reserve]).toEqual([33, 32]);
    const seen: string[] = [];
    pool.free(start[1]?.id ?? 0);
    seen.push(take(180).place);
    expect([pool.pages, pool.reserve]).toEqual([33, 32]);
    pool.free(start[2]?.id ?? 0);
    const big = take(1500);
    seen.push(big.place, take(52).place, take(1200).place);
    expect([pool.pages, pool.reserve]).toEqual([34, 32]);
    pool.free(big.id);
    seen.push(take(4084).place);
    pool.check();
    expect(seen).toEqual(
      blocks === 1
        ? ['A:3072(180)', 'B:0(1500)', 'A:64(52)', 'B:1536(1200)', 'C:0(4084)']
        : ['A:64(116) + A:3072(64)', 'A:3200(884) + B:0(616)', 'A:192(52)', 'A:256(436) + B:640(764)', 'C:0(4084)'],
    );
    expect(pool.descriptors).toBe(blocks === 1 ? 42 : 43);
  });

  itGivesTheCodes(create, 4084);

  it('S7, S8: reserve of other sizes, 0 too', () => {
    for (const reserve of [0, 1, 5]) {
      const pool = new XcfmallocModel({ blocks, reserve });
      expect(pool.pages).toBe(reserve);
      const ids = mallocs(pool, 4084, 4084, 100);
      // The reserve is filled before each search, not after.
      expect(pool.pages).toBe(3 + Math.max(reserve - 1, 0));
      freeAll(pool, ids);
      expect(pool.pages).toBe(reserve);
      pool.check();
    }
  });

  it('R7: tail first, address order, the whole object once; the reserve stays', () => {
    const pool = create();
    const [a = 0, b = 0, c = 0] = mallocs(pool, 2036, 1000, 3000);
    // blocks 2: c fills A's rest (960) and goes on in B.
    expect(pool.places(c).length).toBe(blocks);
    const seen = recordEvicted(pool, 1);
    expect(seen.evicted).toEqual(blocks === 2 ? [a, b, c] : [a, b]);
    // Two frames became free with blocks 2: the victim goes back, the other fills up the reserve.
    expect(seen.result).toBe(1);
    expect([pool.pages, pool.reserve]).toEqual(blocks === 2 ? [32, 32] : [32, 31]);
    pool.check();
  });

  it('C3, I2: no block of a mapped object moves', () => {
    const pool = create();
    const draw = createDraw(77);
    const ids: number[] = [];
    for (let i = 0; i < 5_000; i++) ids.push(...mallocs(pool, size1(draw)));
    freeAll(
      pool,
      ids.filter((_, i) => i % 2 === 1),
    );
    const mapped = ids.filter((_, i) => i % 50 === 0);
    for (const id of mapped) pool.map(id, 'ro');
    const before = mapped.map((id) => pool.where(id));
    expect(pool.compact()).toBeGreaterThan(0);
    pool.check();
    expect(mapped.map((id) => pool.where(id))).toEqual(before);
  });

  it('C8: victims bounds a call; many small calls free as much as one', () => {
    const one = create();
    const many = create();
    for (const pool of [one, many]) {
      const draw = createDraw(78);
      const ids: number[] = [];
      for (let i = 0; i < 5_000; i++) ids.push(...mallocs(pool, size1(draw)));
      freeAll(
        pool,
        ids.filter((_, i) => i % 2 === 1),
      );
    }
    const whole = one.compact();
    expect(many.compact({ victims: 0 })).toBe(0);
    let total = 0;
    for (;;) {
      const freed = many.compact({ victims: 10 });
      expect(freed).toBeLessThanOrEqual(10);
      many.check();
      if (freed === 0) break;
      total += freed;
    }
    // Each call sorts the frames anew, so that the result can differ a little.
    expect(Math.abs(total - whole)).toBeLessThanOrEqual(5);
  });

  it.each([1, 2, 3])('random calls, also from evict callbacks, seed %i', (seed) => {
    for (const reserve of [0, 4, 32]) {
      const pool = new XcfmallocModel({ blocks, reserve });
      const sizeOf: SizeOf = (draw) => (draw() % 3 === 0 ? 1 + (draw() % 64) : 1 + (draw() % 4084));
      fuzz({ pool, sizeOf, pagesWhenEmpty: reserve }, seed, 2_000);
    }
  });
});
