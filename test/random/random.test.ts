/**
 * Random actions on every allocator in every build, against the models: a short run for each change. A failure prints
 * the seed and the shrunk actions; VITE_SEED repeats it. test/random/long.ts runs for as long as one likes.
 */
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { builds, modelled } from '../harness.ts';
import { SEED } from '../seed.ts';
import { actions } from './arbitrary.ts';
import { Machine } from './machine.ts';

describe.each(builds)('random actions, %s', (build) => {
  for (const row of modelled) {
    test(row.title, async () => {
      const property = fc.asyncProperty(actions(row, 250), async (list) => {
        const machine = await Machine.create(row, build);
        for (const action of list) await machine.apply(action);
        machine.finish();
      });
      await fc.assert(property, { numRuns: 120, includeErrorInReport: true, seed: SEED });
    });
  }
});
