/**
 * Random actions on every row, with a store, a codec and a RAM that fail: a short run for each change. A failure prints
 * the seed and the shrunk actions; VITE_SEED repeats it, VITE_BUDGET makes the run longer. test/random/long.ts runs
 * without end.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { loadCodec, type Codec } from '../../bindings/index.ts';
import { ALL_BUILDS } from '../harness.ts';
import { SEED, budgeted } from '../seed.ts';
import { actions, rows } from './swap-actions.ts';
import { Clock } from './clock.ts';
import { FrontMachine } from './swap-machine.ts';

const clock = new Clock();
let deflate: Codec;

beforeAll(async () => {
  deflate = await loadCodec('deflate');
  clock.install();
});

afterAll(() => clock.restore());

describe('random actions on a swap space', () => {
  for (const [i, row] of rows.entries()) {
    test(row.title, async () => {
      const property = fc.asyncProperty(actions(250), fc.nat(), async (list, order) => {
        const machine = await FrontMachine.create(row, ALL_BUILDS[i % 3] ?? 'release', clock, deflate, order);
        for (const action of list) {
          const wait = machine.apply(action);
          if (wait !== undefined) await wait;
        }
        await machine.finish();
      });
      await fc.assert(property, { numRuns: budgeted(10), includeErrorInReport: true, seed: SEED });
    });
  }
});
