/**
 * Random actions on a ramzswap, for every row, with a store, a codec and a RAM that fail: a short run for each change.
 * A failure prints the seed and the shrunk actions; VITE_SEED repeats it, VITE_BUDGET makes the run longer.
 * test/random/long.ts runs without end.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { loadCodec, type Codec } from '../../bindings/index.ts';
import { ALL_BUILDS } from '../harness.ts';
import { SEED, budgeted } from '../seed.ts';
import { Clock } from './clock.ts';
import { dice } from './chaos-store.ts';
import { RamzMachine } from './ramzswap-machine.ts';
import type { RamzAction, RamzRow } from './ramzswap-model.ts';
import { drawn, ramzRows } from './ramzswap-rows.ts';

const clock = new Clock();
let deflate: Codec;

beforeAll(async () => {
  deflate = await loadCodec('deflate');
  clock.install();
});

afterAll(() => clock.restore());

/** An action with its own seed, so that fast-check can shrink a list by leaving actions out. */
const action: fc.Arbitrary<RamzAction> = fc.noShrink(fc.integer()).map((number): RamzAction => {
  const draw = dice(number);
  for (let i = 0; i < 4; i++) draw(2);
  return drawn(draw);
});

describe('random actions on a ramzswap', () => {
  ramzRows.forEach((row, i) => {
    test(row.title, async () => {
      const property = fc.asyncProperty(
        fc.array(action, { minLength: 1, maxLength: 160, size: 'max' }),
        fc.nat(),
        async (list, order) => {
          const machine = await RamzMachine.create(row, ALL_BUILDS[i % 3] ?? 'release', clock, deflate, order);
          for (const one of list) {
            const wait = machine.apply(one);
            if (wait !== undefined) await wait;
          }
          await machine.finish();
        },
      );
      await fc.assert(property, { numRuns: budgeted(30), includeErrorInReport: true, seed: SEED });
    });
  });
});

/** Lists of actions that have failed before, with row, build and seed. */
const ONCE: readonly { title: string; row: string; order: number; actions: readonly RamzAction[] }[] = [
  {
    title: 'a limit is lowered when writes under way have taken frames since the last comparison',
    row: 'xcfmalloc, deflate, then deflate, lz4, store async, limit 12',
    order: 4741,
    actions: [
      { kind: 'writePageAsync', index: 7, page: { noise: 34, salt: 908 } },
      { kind: 'writePageAsync', index: 1, page: { noise: 1412, salt: 540 } },
      { kind: 'writeAsync', offset: 16625, length: 846, salt: 740 },
      { kind: 'write', offset: 58780, length: 8189, salt: 847 },
      { kind: 'writePage', index: 6, page: { noise: 4000, salt: 885 } },
      { kind: 'write', offset: 12257, length: 490, salt: 779 },
      { kind: 'writePage', index: 2, page: { noise: 375, salt: 565 } },
      { kind: 'writePage', index: 9, page: { noise: 1669, salt: 139 } },
      { kind: 'writePage', index: 14, page: { noise: 2740, salt: 972 } },
      { kind: 'write', offset: 61421, length: 1622, salt: 856 },
      { kind: 'writebackAsync', which: 6, index: 14, limit: 9 },
      { kind: 'time' },
      { kind: 'writePageAsync', index: 12, page: { noise: 4096, salt: 957 } },
      { kind: 'writePage', index: 15, page: { noise: 139, salt: 84 } },
      { kind: 'memlimit', frames: 5 },
    ],
  },
];

test.each(ONCE)('$title', async ({ row: title, order, actions }) => {
  const row = ramzRows.find((one) => one.title === title) as RamzRow;
  const machine = await RamzMachine.create(row, 'scalar', clock, deflate, order);
  for (const one of actions) await machine.apply(one);
  await machine.finish();
});
