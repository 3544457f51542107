/**
 * The golden traces on the real pools: published figures where there are any (docs/rules: README.md, zbud-z3fold.md
 * section 5); for everything else, the figures of the independent models on the same trace.
 *
 * Large traces run on one build (golden-large.test.ts has more of them); each build runs short traces, compared with
 * the models.
 */
import { describe, expect, test } from 'vitest';
import { builds, createPool, createRam, zsmallocRow } from '../harness.ts';
import { runChurn, runE6, runE7, runE8, runE9, runT1, runT3, size1, skewed } from '../models/trace.ts';
import type { TraceTarget } from '../models/trace.ts';
import { ZsmallocModel } from '../models/zsmalloc.ts';
import chain4bytes from '../data/zsmalloc-classes/zsmalloc-classes-chain4-bytes.tsv?raw';
import chain4percent from '../data/zsmalloc-classes/zsmalloc-classes-chain4-percent.tsv?raw';
import chain8bytes from '../data/zsmalloc-classes/zsmalloc-classes-chain8-bytes.tsv?raw';
import chain8percent from '../data/zsmalloc-classes/zsmalloc-classes-chain8-percent.tsv?raw';
import chain10bytes from '../data/zsmalloc-classes/zsmalloc-classes-chain10-bytes.tsv?raw';
import chain10percent from '../data/zsmalloc-classes/zsmalloc-classes-chain10-percent.tsv?raw';
import chain16bytes from '../data/zsmalloc-classes/zsmalloc-classes-chain16-bytes.tsv?raw';
import chain16percent from '../data/zsmalloc-classes/zsmalloc-classes-chain16-percent.tsv?raw';
import { ROWS, big, likeTheModel, names, real, type RowName } from './golden.ts';

interface Figures {
  t1: { pages: number; placement: number; density?: string };
  t3: {
    full: number;
    half: number;
    halfDensity?: string;
    placement: number;
    compacted?: number;
    compactFreed?: number;
    /** Objects whose place compact() has changed, and the number of copies that it made: slots, or blocks. */
    moved?: number;
    copies?: number;
    density?: string;
  };
}

/**
 * docs/rules/README.md, "Golden figures". The original z3fold has no compact(); its figures here are those of the
 * model.
 */
const PUBLISHED: Partial<Record<RowName, Figures>> = {
  zbud61: {
    t1: { pages: 50000, placement: 310588432, density: '0.7583' },
    t3: { full: 50003, half: 42628, placement: 955218512, density: '0.4455' },
  },
  zbud2013: {
    t1: { pages: 50000, placement: 4146934224 },
    t3: { full: 50003, half: 43000, placement: 3774517200 },
  },
  z3fold: {
    t1: { pages: 39780, placement: 140965776, density: '0.9531' },
    t3: {
      full: 39860,
      half: 20585,
      halfDensity: '0.9225',
      placement: 419192144,
      compacted: 20582,
      compactFreed: 3,
      moved: 3,
    },
  },
  xvmalloc: {
    t1: { pages: 38607, placement: 262119256, density: '0.9821' },
    t3: { full: 38671, half: 32221, placement: 1526136064, density: '0.5894' },
  },
  xcf1: {
    t1: { pages: 39428, placement: 970496480, density: '0.9616' },
    t3: {
      full: 39510,
      half: 32703,
      halfDensity: '0.5807',
      placement: 372976160,
      compacted: 19683,
      compactFreed: 13020,
      moved: 15501,
      copies: 16582,
      density: '0.9648',
    },
  },
  xcf2: {
    t1: { pages: 39112, placement: 1938949168, density: '0.9694' },
    t3: {
      full: 39180,
      half: 39167,
      placement: 1605723476,
      compacted: 19607,
      compactFreed: 19560,
      moved: 29342,
      copies: 33407,
      density: '0.9685',
    },
  },
  chain4: {
    t1: { pages: 39991, placement: 801515732, density: '0.9481' },
    t3: {
      full: 40054,
      half: 37542,
      placement: 2794240782,
      compacted: 20068,
      compactFreed: 17474,
      moved: 16925,
      copies: 16925,
      density: '0.9463',
    },
  },
  chain8: {
    t1: { pages: 38989, placement: 3997402640, density: '0.9724' },
    t3: {
      full: 39049,
      half: 37817,
      placement: 3312425085,
      compacted: 19672,
      compactFreed: 18145,
      moved: 18130,
      copies: 18130,
      density: '0.9653',
    },
  },
  v61: {
    t1: { pages: 39990, placement: 569036928, density: '0.9481' },
    t3: {
      full: 40054,
      half: 37542,
      placement: 2532555911,
      compacted: 20067,
      compactFreed: 17475,
      moved: 21143,
      copies: 24997,
      density: '0.9463',
    },
  },
};

const published = names.flatMap((name) => {
  const figures = PUBLISHED[name];
  return figures === undefined ? [] : [[name, figures] as const];
});

describe.each(published)('%s, published figures', (name, { t1, t3 }) => {
  const row = ROWS[name];

  test('T1', async () => {
    const { ram, target } = await real(big, row);
    const { density, ...figures } = t1;
    const result = runT1(target, { drain: false });
    expect(result).toMatchObject({ ...figures, requested: 155298994 });
    if (density !== undefined) expect(result.density.toFixed(4)).toBe(density);
    expect(target.pool.stats().density).toBe(result.density);
    ram.check();
    target.pool.destroy();
    expect(ram.stats().usedFrames).toBe(0);
    ram.close();
  });

  test('T3', async () => {
    const { ram, target } = await real(big, row);
    const { density, halfDensity, copies, ...figures } = t3;
    const result = runT3(target);
    expect(result).toMatchObject({
      compacted: t3.half,
      ...figures,
      requested: 155572740,
      liveBytes: 77783483,
      drained: row.idleFrames,
    });
    if (target.compact !== undefined) expect(result.compactAgain).toBe(0);
    if (density !== undefined) expect(result.density.toFixed(4)).toBe(density);
    if (halfDensity !== undefined) expect((result.liveBytes / (result.half * 4096)).toFixed(4)).toBe(halfDensity);
    if (name === 'zbud61') expect(result.freeMarks).toEqual([50002, 49991, 49866, 48531, 42628]);
    if (name === 'z3fold') expect(result.freeMarks).toEqual([39858, 39823, 39482, 36003, 20585]);
    // Q3, K5: with 4 groups an object may be copied more than once.
    if (copies !== undefined) expect(target.pool.stats().objectsMoved).toBe(copies);
    ram.check();
    ram.close();
  });
});

describe('zbud 6.1, published figures', () => {
  const run = async <T>(trace: (target: TraceTarget) => T): Promise<T> => {
    const { ram, target } = await real(big, ROWS.zbud61, '64MiB');
    const result = trace(target);
    ram.check();
    ram.close();
    return result;
  };

  test.each([
    [10, 7, 49015],
    [100, 51, 7520250],
    [1_000, 500, 741037844],
    [10_000, 5002, 2683689224],
  ])('T1 after %i mallocs', async (count, pages, placement) => {
    expect(await run((target) => runT1(target, {}, count))).toMatchObject({ pages, placement, drained: 0 });
  });

  test('B5, B6, B7: E6', async () => {
    const result = await run(runE6);
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

  test('B7: E7', async () => {
    expect(await run(runE7)).toMatchObject({
      filled: 2501,
      afterFirst: 2109,
      refilled: 4369,
      end: 3869,
      placement: 3363316680,
      drained: 0,
      first: { ok: 392, again: 108, evicted: 1262, refused: 2023, evictionChecksum: 2574616998 },
      second: { ok: 500, again: 0, evicted: 2262, evictionChecksum: 506443753 },
    });
  });

  test('B6, B7: E8', async () => {
    expect(await run(runE8)).toMatchObject({
      full: 10000,
      thinned: 9430,
      end: 8930,
      evicted: 699,
      evictionChecksum: 171069742,
      placement: 76294352,
      drained: 0,
    });
  });

  test('B9: E9', async () => {
    expect(await run(runE9)).toEqual({
      full: 10001,
      freed: 8475,
      refilled: 8501,
      end: 8385,
      placement: 3175925684,
      drained: 0,
    });
  });
});

describe.each(names)('%s gives the same figures as its model', (name) => {
  const row = ROWS[name];

  for (const build of builds) {
    test(`short traces, ${build}`, async () => {
      const bytes = '32MiB';
      await likeTheModel(build, row, (target, options) => runT1(target, options, 5_000), bytes);
      for (const sizeOf of [size1, skewed]) {
        for (const seed of [11, 12]) {
          await likeTheModel(
            build,
            row,
            (target, options) =>
              runChurn(target, { ...options, seed, live: 600, steps: 4_000, sizeOf, markEvery: 100 }),
            bytes,
          );
        }
      }
      await likeTheModel(
        build,
        row,
        (target, options) => runE6(target, options, { live: 1_000, steps: 2_000, times: 150 }),
        bytes,
      );
    });
  }
});

describe('zsmalloc class tables', () => {
  const files: [number, 'bytes' | 'percent', string][] = [
    [4, 'bytes', chain4bytes],
    [4, 'percent', chain4percent],
    [8, 'bytes', chain8bytes],
    [8, 'percent', chain8percent],
    [10, 'bytes', chain10bytes],
    [10, 'percent', chain10percent],
    [16, 'bytes', chain16bytes],
    [16, 'percent', chain16percent],
  ];

  const rowsOf = async (chainSize: number, chainRule: 'bytes' | 'percent'): Promise<number[][]> => {
    const ram = await createRam(big, { bytes: '256KiB' });
    const { classes = [] } = createPool(ram, zsmallocRow({ chainSize, chainRule })).stats();
    return classes.map(({ index, size, pages, objectsPerZspage }) => [
      index,
      size,
      pages,
      objectsPerZspage,
      4096 * pages - size * objectsPerZspage,
    ]);
  };

  test.each(files)('C1-C5: chain %i, %s rule, as published', async (chainSize, chainRule, text) => {
    const [, ...lines] = text.trim().split('\n');
    expect(await rowsOf(chainSize, chainRule)).toEqual(lines.map((line) => line.split('\t').map(Number)));
  });

  test('C1-C5: every chain and rule, same as the model', async () => {
    for (let chainSize = 1; chainSize <= 16; chainSize++) {
      for (const chainRule of ['bytes', 'percent'] as const) {
        const model = new ZsmallocModel({ chainSize, chainRule }).classTable();
        expect(await rowsOf(chainSize, chainRule)).toEqual(
          model.map(({ index, size, pages, objs, tailWaste }) => [index, size, pages, objs, tailWaste]),
        );
      }
    }
  });
});
