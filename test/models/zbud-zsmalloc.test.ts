/**
 * The models compared with the published figures, so that they can be compared with the core.
 *
 * Figures and rule numbers from docs/rules: README.md, zbud-z3fold.md sections 3 and 5, zsmalloc.md sections 1 and 13;
 * class tables from test/data/zsmalloc-classes.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createDraw, runChurn2, runE6, runE7, runE8, runE9, runT1, runT3, size1 } from './trace.ts';
import { EAGAIN, EBUSY, EINVAL, ENOSPC } from './types.ts';
import type { Evict, PoolModel } from './types.ts';
import { ZbudModel } from './zbud.ts';
import { ZsmallocModel } from './zsmalloc.ts';
import type { ClassRow, ZsmallocModelOptions } from './zsmalloc.ts';

const V64 = { chainRule: 'bytes', fullnessGroups: 12 } as const;
const V61 = { chainRule: 'percent', fullnessGroups: 4 } as const;

function mallocs(pool: PoolModel, count: number, size: number): number[] {
  return Array.from({ length: count }, () => pool.malloc(size));
}

describe('traces', () => {
  it('T1: first sizes 1633, 848, 2788, 2602, 2615', () => {
    const draw = createDraw(1);
    expect([1, 2, 3, 4, 5].map(() => size1(draw))).toEqual([1633, 848, 2788, 2602, 2615]);
  });
});

describe('zbud', () => {
  it('B1-B5: T1, layout 6.1', () => {
    const pool = new ZbudModel();
    const result = runT1(pool, { drain: false });
    expect(result).toMatchObject({ pages: 50000, placement: 310588432, requested: 155298994 });
    expect(result.density.toFixed(4)).toBe('0.7583');
    pool.check();
    expect(runT1(new ZbudModel()).drained).toBe(0);
  });

  it('B1-B6: T3, layout 6.1', () => {
    const result = runT3(new ZbudModel('6.1'));
    expect(result).toMatchObject({
      full: 50003,
      freeMarks: [50002, 49991, 49866, 48531, 42628],
      half: 42628,
      compacted: 42628,
      compactFreed: 0,
      moved: 0,
      placement: 955218512,
      requested: 155572740,
      liveBytes: 77783483,
      drained: 0,
    });
    expect(result.density.toFixed(4)).toBe('0.4455');
  });

  it('B3-B9: T1 and T3, layout 2013', () => {
    const t1 = runT1(new ZbudModel('2013'));
    expect(t1).toMatchObject({ pages: 50000, placement: 4146934224, drained: 0 });
    const t3 = runT3(new ZbudModel('2013'));
    expect(t3).toMatchObject({ full: 50003, half: 43000, placement: 3774517200, drained: 0 });
  });

  it('B1, B4: first 24 of T1, size@offset', () => {
    const draw = createDraw(1);
    const pool = new ZbudModel();
    const seen: string[] = [];
    for (let i = 0; i < 24; i++) {
      const size = size1(draw);
      seen.push(`${size}@${pool.placement(pool.malloc(size))}`);
    }
    expect(seen.join(' ')).toBe(
      '1633@64 848@3200 2788@64 2602@64 2615@64 1963@64 1163@2880 1539@2496 3052@64 2234@64 ' +
        '2283@64 825@3264 2591@64 1151@2944 2815@64 1045@3008 1611@2432 1169@2880 2840@64 ' +
        '224@3840 1106@2944 2209@64 633@3456 843@3200',
    );
  });

  it.each([
    [10, 7, 49015],
    [100, 51, 7520250],
    [1_000, 500, 741037844],
    [10_000, 5002, 2683689224],
  ])('checkpoint: T1 after %i mallocs', (count, pages, placement) => {
    expect(runT1(new ZbudModel(), {}, count)).toMatchObject({ pages, placement, drained: 0 });
  });

  it('B5, B6, B7: E6', () => {
    const result = runE6(new ZbudModel());
    expect(result).toMatchObject({
      before: 10007,
      after: 9507,
      reclaims: { ok: 500, again: 0 },
      evicted: 1000,
      evictionChecksum: 633903702,
      placement: 1564683168,
      drained: 0,
    });
    expect(result.firstEvicted.slice(0, 4)).toEqual([10141, 7569, 13603, 9491]);
  });

  it('B7: E7', () => {
    expect(runE7(new ZbudModel())).toMatchObject({
      filled: 2501,
      afterFirst: 2109,
      refilled: 4369,
      end: 3869,
      first: { ok: 392, again: 108, evicted: 1262, refused: 2023, evictionChecksum: 2574616998 },
      second: { ok: 500, again: 0, evicted: 2262, evictionChecksum: 506443753 },
      placement: 3363316680,
      drained: 0,
    });
  });

  it('B6, B7: E8', () => {
    expect(runE8(new ZbudModel())).toMatchObject({
      full: 10000,
      thinned: 9430,
      end: 8930,
      evicted: 699,
      evictionChecksum: 171069742,
      placement: 76294352,
      drained: 0,
    });
  });

  it('B9: E9', () => {
    expect(runE9(new ZbudModel())).toEqual({
      full: 10001,
      freed: 8475,
      refilled: 8501,
      end: 8385,
      placement: 3175925684,
      drained: 0,
    });
  });

  it('B2: sizes and pairing', () => {
    const kernel = new ZbudModel('6.1');
    expect(kernel.malloc(0)).toBe(EINVAL);
    expect(kernel.malloc(1.5)).toBe(EINVAL);
    expect(kernel.malloc(3969)).toBe(ENOSPC);
    expect(kernel.malloc(3968)).toBeGreaterThan(0);
    expect(kernel.pages).toBe(1);
    mallocs(kernel, 2, 1984);
    expect(kernel.pages).toBe(2);
    mallocs(kernel, 2, 1985);
    expect(kernel.pages).toBe(4);
    const first = new ZbudModel('2013');
    mallocs(first, 2, 1985);
    expect(first.pages).toBe(1);
    expect(first.placement(first.malloc(4096))).toBe(0);
    first.malloc(1);
    expect(first.pages).toBe(3);
    expect(first.malloc(4097)).toBe(ENOSPC);
    first.check();
  });

  it('B7, R4: a frame with a mapped object is passed over, keeps its place, costs no try', () => {
    const pool = new ZbudModel();
    const [a, b, c] = mallocs(pool, 3, 3000) as [number, number, number];
    pool.map(a, 'ro');
    expect(pool.free(a)).toBe(EBUSY);
    expect(pool.reclaim(1, () => 'free')).toBe(1);
    expect(pool.lru()).toEqual([
      [c, 0],
      [a, 0],
    ]);
    expect(pool.size(b)).toBe(EINVAL);
    expect(pool.shrink(5, () => 'free')).toBe(1);
    expect(pool.shrink(1, () => 'free')).toBe(EINVAL);
    pool.unmap(a);
    expect(pool.shrink(1)).toBe(EINVAL);
    expect(pool.shrink(0)).toBe(0);
    expect(pool.shrink(1, () => 'keep')).toBe(EAGAIN);
    expect(pool.shrink(1, () => 'free')).toBe(1);
    expect(pool.pages).toBe(0);
  });

  it('B9: the callback may allocate and free; nothing lands in the frame under reclaim', () => {
    const pool = new ZbudModel();
    const [a, b] = mallocs(pool, 2, 1000) as [number, number];
    let c = 0;
    const seen: number[] = [];
    const freed = pool.reclaim(1, (id) => {
      seen.push(id);
      pool.free(b);
      pool.free(a);
      c = pool.malloc(500);
      pool.check();
      return 'keep';
    });
    expect(freed).toBe(1);
    expect(seen).toEqual([a]);
    expect(pool.lru()).toEqual([[c, 0]]);
  });
});

function readClassTable(chain: number, rule: string): ClassRow[] {
  const name = `zsmalloc-classes-chain${chain}-${rule}.tsv`;
  const url = new URL(`../data/zsmalloc-classes/${name}`, import.meta.url);
  const [, ...lines] = readFileSync(url, 'utf8').trim().split('\n');
  return lines.map((line) => {
    const [index, size, pages, objs, tailWaste] = line.split('\t').map(Number);
    return { index, size, pages, objs, tailWaste } as ClassRow;
  });
}

describe('zsmalloc classes', () => {
  for (const chainSize of [4, 8, 10, 16]) {
    for (const chainRule of ['bytes', 'percent'] as const) {
      it(`C1-C5: class table, chain ${chainSize}, ${chainRule} rule`, () => {
        const pool = new ZsmallocModel({ chainSize, chainRule });
        expect(pool.classTable()).toEqual(readClassTable(chainSize, chainRule));
      });
    }
  }

  it.each([
    [4, 69, 69, 3264, 3261],
    [5, 86, 86, 3408, 3405],
    [6, 94, 93, 3504, 3501],
    [7, 110, 112, 3584, 3581],
    [8, 119, 123, 3632, 3629],
    [9, 136, 140, 3680, 3677],
    [10, 141, 143, 3712, 3709],
    [11, 153, 159, 3744, 3741],
    [12, 159, 164, 3776, 3773],
    [13, 173, 180, 3792, 3789],
    [14, 179, 183, 3808, 3805],
    [15, 186, 188, 3840, 3837],
    [16, 192, 191, 3840, 3837],
  ])('C5, C8: chain %i', (chainSize, bytes, percent, watermark, huge) => {
    const byBytes = new ZsmallocModel({ chainSize, chainRule: 'bytes' });
    const byPercent = new ZsmallocModel({ chainSize, chainRule: 'percent' });
    expect(byBytes.classTable().length).toBe(bytes);
    expect(byPercent.classTable().length).toBe(percent);
    for (const pool of [byBytes, byPercent]) {
      expect(pool.classTable().at(-2)?.size).toBe(watermark);
      expect(pool.hugeClassSize()).toBe(huge);
      expect(pool.classIndexOf(huge)).toBe(254);
      expect(pool.classIndexOf(huge - 1)).toBeLessThan(254);
    }
  });

  it('C8: chain 1 gives 2045', () => {
    expect(new ZsmallocModel({ chainSize: 1 }).hugeClassSize()).toBe(2045);
    expect(new ZsmallocModel({ chainSize: 1 }).classIndexOf(2044)).toBeLessThan(254);
    expect(new ZsmallocModel({ chainSize: 1 }).classIndexOf(2045)).toBe(254);
  });

  it('C7, C9: one huge class; at most 256 objects', () => {
    for (let chainSize = 1; chainSize <= 16; chainSize++) {
      for (const chainRule of ['bytes', 'percent'] as const) {
        const table = new ZsmallocModel({ chainSize, chainRule }).classTable();
        expect(table.filter((row) => row.objs === 1)).toMatchObject([{ index: 254, pages: 1 }]);
        expect(Math.max(...table.map((row) => row.objs))).toBeLessThanOrEqual(256);
      }
    }
  });

  it('C6: class of a request', () => {
    const chain4 = new ZsmallocModel({ chainSize: 4 });
    const chain8 = new ZsmallocModel({ chainSize: 8 });
    const of4 = [1, 28, 29, 3260, 3261, 4093, 4096].map((bytes) => chain4.classIndexOf(bytes));
    expect(of4).toEqual([0, 0, 1, 202, 254, 254, 254]);
    expect([3628, 3629].map((bytes) => chain8.classIndexOf(bytes))).toEqual([225, 254]);
  });

  it('P2, R1: errors', () => {
    const pool = new ZsmallocModel();
    expect(pool.malloc(0)).toBe(EINVAL);
    expect(pool.malloc(4097)).toBe(ENOSPC);
    expect(pool.malloc(-1)).toBe(EINVAL);
    expect(pool.free(1)).toBe(EINVAL);
    expect(pool.unmap(pool.malloc(4096))).toBe(EINVAL);
  });
});

describe('zsmalloc golden traces', () => {
  it.each([
    ['v6.4, chain 4', { ...V64, chainSize: 4 }, 39991, '0.9481', 801515732],
    ['v6.4, chain 8', { ...V64, chainSize: 8 }, 38989, '0.9724', 3997402640],
    ['v6.1, chain 4', { ...V61, chainSize: 4 }, 39990, '0.9481', 569036928],
  ])('F1, M1-M4: T1, %s', (_name, options: ZsmallocModelOptions, pages, density, placement) => {
    const result = runT1(new ZsmallocModel(options));
    expect(result).toMatchObject({ pages, placement, requested: 155298994, drained: 0 });
    expect(result.density.toFixed(4)).toBe(density);
  });

  it.each([
    {
      name: 'K1-K6: T3, v6.4, chain 4',
      options: { ...V64, chainSize: 4 },
      full: 40054,
      half: 37542,
      compacted: 20068,
      compactFreed: 17474,
      moved: 16925,
      copies: 16925,
      density: '0.9463',
      placement: 2794240782,
    },
    {
      name: 'K1-K6: T3, v6.4, chain 8',
      options: { ...V64, chainSize: 8 },
      full: 39049,
      half: 37817,
      compacted: 19672,
      compactFreed: 18145,
      moved: 18130,
      copies: 18130,
      density: '0.9653',
      placement: 3312425085,
    },
    {
      name: 'J1-J4, Q3: T3, v6.1, chain 4',
      options: { ...V61, chainSize: 4 },
      full: 40054,
      half: 37542,
      compacted: 20067,
      compactFreed: 17475,
      moved: 21143,
      copies: 24997,
      density: '0.9463',
      placement: 2532555911,
    },
  ])('$name', ({ options, copies, density, name: _name, ...figures }) => {
    const pool = new ZsmallocModel(options);
    const result = runT3(pool, { drain: false });
    expect(result).toMatchObject({ ...figures, compactAgain: 0 });
    expect(result.density.toFixed(4)).toBe(density);
    expect(pool.copies).toBe(copies);
    expect(pool.freeable()).toBe(0);
    for (const { index, objs } of pool.classTable()) {
      const { used, zspages } = pool.classCounts(index);
      expect(zspages).toBe(Math.ceil(used / objs)); // K6
    }
    pool.check();
    for (const id of pool.ids()) pool.free(id);
    expect(pool.pages).toBe(0);
  });
});

/** Letters for zspages in order of creation, as in section 13. */
const letter = (serial: number): string => String.fromCharCode(65 + serial);

/** A pool whose objects are named by the place of their allocation, "B3". */
class Lettered {
  readonly pool: ZsmallocModel;
  readonly size: number;
  readonly index: number;
  readonly #byName = new Map<string, number>();

  constructor(fullnessGroups: 12 | 4, size: number) {
    this.pool = new ZsmallocModel({ chainSize: 4, chainRule: 'bytes', fullnessGroups });
    this.size = size;
    this.index = this.pool.classIndexOf(size);
  }

  name(id: number): string {
    const { zspage, slot } = this.pool.place(id);
    return `${letter(zspage)}${slot}`;
  }

  /** Allocates `count` objects. @returns the names of their places */
  malloc(count: number): string {
    const names = mallocs(this.pool, count, this.size).map((id) => {
      const name = this.name(id);
      this.#byName.set(name, id);
      return name;
    });
    this.pool.check();
    return names.join(' ');
  }

  /** The object that was allocated last at this place. */
  id(name: string): number {
    return this.#byName.get(name) ?? 0;
  }

  free(names: string): void {
    for (const name of names.split(' ')) expect(this.pool.free(this.id(name))).toBe(0);
    this.pool.check();
  }

  write(names: string): void {
    for (const name of names.split(' ')) expect(this.pool.write(this.id(name))).toBe(0);
  }

  /** Group lists that are not full, head first, inuse in brackets. */
  lists(): Record<number, string> {
    const inuse = new Map<string, number>();
    for (const id of this.pool.ids()) {
      const zspage = letter(this.pool.place(id).zspage);
      inuse.set(zspage, (inuse.get(zspage) ?? 0) + 1);
    }
    const lists: Record<number, string> = {};
    const groups = this.pool.groupLists(this.index);
    groups.slice(0, -1).forEach((serials, group) => {
      if (serials.length === 0) return;
      lists[group] = serials.map((s) => `${letter(s)}(${inuse.get(letter(s)) ?? 0})`).join(' ');
    });
    return lists;
  }

  lru(): string {
    return this.pool.lru().map(letter).join(' ');
  }

  /** Runs compact(). @returns "from→to" of each object that has moved, by old name */
  compact(expectedPages: number): string {
    const before = new Map(this.pool.ids().map((id) => [id, this.name(id)]));
    expect(this.pool.freeable()).toBeGreaterThanOrEqual(expectedPages);
    expect(this.pool.compact()).toBe(expectedPages);
    this.pool.check();
    const moves: string[] = [];
    for (const [id, was] of before) {
      if (this.name(id) !== was) moves.push(`${was}→${this.name(id)}`);
    }
    return moves.sort().join(' ');
  }
}

/** Section 13, X1: the pool after its mallocs and frees. */
function afterX1(groups: 12 | 4): Lettered {
  const x = new Lettered(groups, 1628);
  expect(x.malloc(20)).toBe('A0 A1 A2 A3 A4 B0 B1 B2 B3 B4 C0 C1 C2 C3 C4 D0 D1 D2 D3 D4');
  x.free('A1 A3 C0 C4 C2 D1 B2 B3 D0 C1');
  return x;
}

describe.each([12, 4] as const)('zsmalloc worked examples, %i groups', (groups) => {
  it('X1 (G1, G2, L2, L3, L4)', () => {
    const x = afterX1(groups);
    expect(x.lists()).toEqual(groups === 12 ? { 7: 'D(3) B(3) A(3)', 3: 'C(1)' } : { 1: 'D(3) B(3) C(1) A(3)' });
  });

  it('X2, X3, X4 (M1, L4, K2-K4, J2-J4)', () => {
    const x = afterX1(groups);
    const names = x.malloc(5);
    expect(names).toBe(groups === 12 ? 'D0 D1 B3 B2 A3' : 'D0 D1 B3 B2 C1');
    x.free(names);
    expect(x.lists()).toEqual(groups === 12 ? { 7: 'A(3) B(3) D(3)', 3: 'C(1)' } : { 1: 'B(3) D(3) C(1) A(3)' });
    expect(x.compact(4)).toBe(groups === 12 ? 'B0→A1 B1→D1 B4→D0 C3→A3' : 'A0→C2 A2→C4 A4→C0 B0→D1 B1→D0 B4→C1');
    expect(x.pool.copies).toBe(groups === 12 ? 4 : 6);
    expect(x.pool.pages).toBe(4);
  });

  it('X5 (L4: a zspage keeps its place within its group)', () => {
    const x = new Lettered(groups, 28);
    x.malloc(300);
    x.free('A10 B12 A11 A12');
    expect(x.malloc(6)).toBe('B12 A12 A11 A10 C44 C45');
  });

  it('X6 (E2-E9, U2: refusal, ascending rebuild, LRU front)', () => {
    const x = new Lettered(groups, 1628);
    for (let i = 0; i < 15; i++) {
      const name = x.malloc(1);
      expect(x.pool.map(x.id(name), 'wo')).toBe(0);
      expect(x.pool.unmap(x.id(name))).toBe(0);
    }
    x.free('B1 B3');
    x.pool.map(x.id('A0'), 'wo');
    x.pool.unmap(x.id('A0'));
    expect(x.lru()).toBe('A C B');
    const called: string[] = [];
    const evict: Evict = (id) => {
      called.push(x.name(id));
      if (id === x.id('B2')) return 'keep';
      expect(x.pool.free(id)).toBe(0);
      return 'ok';
    };
    expect(x.pool.reclaim(1, evict)).toBe(EAGAIN);
    expect(called.splice(0)).toEqual(['B0', 'B2']);
    expect(x.lru()).toBe('B A C');
    expect(x.malloc(3)).toBe('B0 B1 B3');
    expect(x.pool.reclaim(1, evict)).toBe(2);
    expect(called.splice(0)).toEqual(['C0', 'C1', 'C2', 'C3', 'C4']);
    expect(x.pool.pages).toBe(4);
    expect(x.lru()).toBe('B A');
    x.pool.check();
  });

  it('X7 (J2.2, L3: a source put back behind the head)', () => {
    const x = new Lettered(groups, 508);
    expect(x.index).toBe(30);
    x.malloc(16);
    x.free('A0 A1 B0 B1 B2');
    if (groups === 4) expect(x.lists()).toEqual({ 1: 'B(5) A(6)' });
    expect(x.compact(0)).toBe('');
    if (groups === 4) expect(x.lists()).toEqual({ 1: 'A(6) B(5)' });
    expect(x.malloc(5)).toBe('A1 A0 B2 B1 B0');
  });

  it('X8 (E1, E4, E7, U2, U3, K7)', () => {
    const x = new Lettered(groups, 1628);
    x.malloc(15);
    expect(x.pool.reclaim(8, () => 'free')).toBe(EINVAL);
    x.write('A0 B0 C0');
    expect(x.malloc(1)).toBe('D0');
    expect(x.lru()).toBe('C B A');
    const accepted = x.pool.reclaim(1, (id) => {
      x.pool.free(id);
      return id === x.id('A4') ? 'keep' : 'ok';
    });
    expect(accepted).toBe(2);
    expect(x.lru()).toBe('C B');
    const called: string[] = [];
    const kept = x.pool.reclaim(1, (id) => {
      called.push(x.name(id));
      if (id !== x.id('B1')) x.pool.free(id);
      return 'ok';
    });
    expect(kept).toBe(EAGAIN);
    expect(called).toEqual(['B0', 'B1', 'B2', 'B3', 'B4']);
    expect(x.lru()).toBe('B C');
    x.free('B1');
    expect(x.lru()).toBe('C');
    x.write('D0');
    expect(x.lru()).toBe('D C');
    x.free('C0 C1 C2 C3');
    expect(x.compact(2)).toBe(groups === 12 ? 'D0→C3' : 'C4→D1');
    expect(x.lru()).toBe(groups === 12 ? 'C' : 'D');
  });

  it('K8: a mapped source stops its class; a mapped destination does not', () => {
    const x = new Lettered(groups, 1628);
    x.malloc(15);
    x.free('A0 B0 B1 B2 C0 C1 C2 C3');
    const lists = x.lists();
    x.pool.map(x.id('C4'), 'ro');
    // The source is C in both: head of the emptiest group.
    expect(lists).toEqual(groups === 12 ? { 9: 'A(4)', 5: 'B(2)', 3: 'C(1)' } : { 1: 'C(1) B(2)', 2: 'A(4)' });
    expect(x.compact(0)).toBe('');
    expect(x.lists()).toEqual(groups === 12 ? lists : { 1: 'B(2) C(1)', 2: 'A(4)' }); // L5
    x.pool.unmap(x.id('C4'));
    x.pool.map(x.id('A1'), 'ro');
    expect(x.compact(2)).toBe(groups === 12 ? 'C4→A0' : 'B3→A0 B4→C3');
  });

  it('R4: a zspage with a mapped object keeps its LRU place and costs no try', () => {
    const x = new Lettered(groups, 1628);
    x.malloc(15);
    x.write('A0 B0 C0');
    x.pool.map(x.id('A1'), 'ro');
    expect(x.pool.reclaim(1, () => 'free')).toBe(2);
    expect(x.lru()).toBe('C A');
    expect(x.pool.shrink(3, () => 'free')).toBe(2);
    expect(x.pool.shrink(1, () => 'free')).toBe(EINVAL);
    x.pool.unmap(x.id('A1'));
    expect(x.pool.shrink(1, () => 'free')).toBe(2);
    expect(x.pool.pages).toBe(0);
  });

  it('E2, E5, E11: malloc, compact and a nested reclaim inside the callback', () => {
    const x = new Lettered(groups, 1628);
    x.malloc(15);
    x.write('A0 B0 C0');
    const called: string[] = [];
    const freed = x.pool.reclaim(1, (id) => {
      const name = x.name(id);
      called.push(name);
      if (name === 'A0') {
        x.free('A0 A3');
        expect(x.malloc(1)).toBe('D0');
        expect(x.pool.reclaim(1, () => 'free')).toBe(2);
        expect(x.lru()).toBe('C');
        expect(x.pool.write(x.id('A1'))).toBe(0); // U5
        expect(x.lru()).toBe('C');
        x.pool.compact();
        x.pool.check();
        return 'ok';
      }
      return 'free';
    });
    expect(freed).toBe(2);
    expect(called).toEqual(['A0', 'A1', 'A2', 'A4']);
    expect(x.lists()).toEqual(groups === 12 ? { 3: 'D(1)' } : { 1: 'D(1)' });
    x.pool.check();
  });
});

describe('churn', () => {
  it.each([
    ['zbud', () => new ZbudModel()],
    ['zsmalloc v6.4, chain 8', () => new ZsmallocModel()],
    ['zsmalloc v6.1, chain 4', () => new ZsmallocModel({ ...V61, chainSize: 4 })],
  ])('%s holds its invariants and drains', (_name, create: () => PoolModel) => {
    const pool = create();
    const result = runChurn2(pool, 20_000, { drain: false });
    expect(result.liveBytes).toBe(pool.liveBytes);
    pool.check();
    pool.compact();
    pool.check();
    for (const id of pool.ids()) pool.free(id);
    expect(pool.pages).toBe(0);
  });
});
