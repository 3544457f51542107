/**
 * Random actions on every allocator in every build, compared with the models: a short run for each change. A failure
 * prints the seed and the shrunk actions; VITE_SEED repeats it, VITE_BUDGET makes the run longer. test/random/long.ts
 * runs without end.
 */
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { builds, modelled } from '../harness.ts';
import { SEED, budgeted } from '../seed.ts';
import { actions } from './actions.ts';
import { Machine } from './machine.ts';

describe.each(builds)('random actions, %s', (build) => {
  for (const row of modelled) {
    test(row.title, async () => {
      const property = fc.asyncProperty(actions(row, 250), async (list) => {
        const machine = await Machine.create(row, build);
        for (const action of list) await machine.apply(action);
        machine.finish();
      });
      await fc.assert(property, { numRuns: budgeted(60), includeErrorInReport: true, seed: SEED });
    });
  }
});
