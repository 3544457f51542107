/**
 * Hostile callers, codecs and stores, in every class: a short run for each change. A failure prints the seed and the
 * shrunk actions; VITE_SEED repeats it, VITE_BUDGET makes the run longer. test/random/long.ts runs without end.
 */
import { describe, expect, test } from 'vitest';
import { builds } from '../harness.ts';
import { SEED, budgeted } from '../seed.ts';
import { drawEpisode, play, report } from './play.ts';
import { CLASSES } from './tables/index.ts';

const LENGTH = 160;
const CALLS = budgeted(15_000);
const SHRINK_MS = 20_000;

describe.each(builds)('hostile callers, %s', (build) => {
  test.each([...CLASSES.keys()])('%s', async (name) => {
    const least = CALLS / builds.length / CLASSES.size;
    let calls = 0;
    for (let nth = 0; calls < least; nth++) {
      const episode = drawEpisode(CLASSES, build, SEED + nth, name, LENGTH);
      const result = await play(CLASSES, episode);
      if ('fault' in result) throw await report(CLASSES, episode, result.fault, SHRINK_MS);
      calls += result.calls;
    }
    expect(calls).toBeGreaterThanOrEqual(least);
  });
});
