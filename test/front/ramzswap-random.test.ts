/**
 * Random actions on a ramzswap, for every row, with a store, a codec and a RAM that fail: a short run for each change. A failure
 * prints the seed and the shrunk actions; VITE_SEED repeats it, VITE_RUNS runs longer. test/random/long.ts has no end.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { loadCodec, type Codec } from '../../bindings/index.ts';
import { ALL_BUILDS } from '../harness.ts';
import { SEED } from '../seed.ts';
import { Clock } from './clock.ts';
import { RamzMachine, dice, drawn, ramzRows, type RamzAction } from './ramzswap-machine.ts';

const { VITE_RUNS: runs = '30' } = (import.meta as unknown as { env: Record<string, string | undefined> }).env;
const clock = new Clock();
let deflate: Codec;

beforeAll(async () => {
  deflate = await loadCodec('deflate');
  clock.install();
});

afterAll(() => clock.restore());

/** An action of its own seed, so that a list shrinks by leaving actions out. */
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
      await fc.assert(property, { numRuns: Number(runs), includeErrorInReport: true, seed: SEED });
    });
  });
});
