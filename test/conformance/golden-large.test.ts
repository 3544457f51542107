/**
 * Traces that take long, on one build and in Node only: T2 with its published figures, and large traces compared with
 * the independent models. golden.test.ts has the other published figures, and short traces on each build.
 */
import { describe, expect, test } from 'vitest';
import { runChurn, runChurn2, runChurnSmall, runE6, runE7, runE8, runE9, runT6, size6 } from '../models/trace.ts';
import type { TraceOptions, TraceTarget } from '../models/trace.ts';
import { budgeted } from '../seed.ts';
import { ROWS, big, likeTheModel, names, real } from './golden.ts';

describe('T2, published figures', () => {
  test('X12: xvmalloc ends with 19,290 frames', async () => {
    const { ram, target } = await real(big, ROWS.xvmalloc, '256MiB');
    const result = runChurn2(target, 1_000_000);
    expect(result).toMatchObject({ requested: 1630802611, drained: 0 });
    expect(result.marks.at(-1)).toBe(19290);
    ram.check();
    ram.close();
  });

  test.each([
    ['xcf1', { pages: 19695, spanning: 0, compacted: 19527, objectsMoved: 245, bytesMoved: 197751 }],
    ['xcf2', { pages: 19672, spanning: 24130, compacted: 19511, objectsMoved: 834, bytesMoved: 472752 }],
  ] as const)('S16, C1-C9: %s and its compaction', async (name, figures) => {
    const { ram, target } = await real(big, ROWS[name], '128MiB');
    const { pool } = target;
    const result = runChurn2(target, 1_000_000, { drain: false });
    expect([result.marks.at(-1), pool.stats().spanning]).toEqual([figures.pages, figures.spanning]);
    expect(pool.compact()).toBeLessThanOrEqual(figures.pages - figures.compacted);
    const { objectsMoved, bytesMoved } = figures;
    expect(pool.stats()).toMatchObject({ frames: figures.compacted, objectsMoved, bytesMoved });
    ram.check();
    ram.close();
  });
});

describe.each(names)('%s gives the same figures as its model', (name) => {
  const row = ROWS[name];

  test('churn on 50,000 objects', async () => {
    await likeTheModel(big, row, (target, options) => runChurn2(target, budgeted(40_000), options));
  });

  test('churn of small sizes on 50,000 objects', async () => {
    await likeTheModel(big, row, (target, options) => runChurnSmall(target, budgeted(40_000), options));
  });

  test('T6, edge sizes', async () => {
    const trace = (target: TraceTarget, options: TraceOptions): unknown =>
      row.largest >= 4080
        ? runT6(target, options)
        : runChurn(target, {
            ...options,
            seed: 6,
            live: 2_000,
            steps: 20_000,
            sizeOf: (draw) => Math.min(row.largest, size6(draw)),
            markEvery: 2_000,
          });
    await likeTheModel(big, row, trace, '64MiB');
  });

  test('E6 to E9, where not published', async () => {
    if (name === 'zbud61') return;
    await likeTheModel(big, row, (target, options) => runE6(target, options), '128MiB');
    for (const trace of [runE7, runE8, runE9]) await likeTheModel<unknown>(big, row, trace, '128MiB');
  });
});
