/**
 * The seed of random tests: the same in every run of `npm test`, so that the result depends only on the code. VITE_SEED
 * gives another one; `npm run test:long` (test/random/long.ts) draws a new one each time.
 */
const given = (import.meta as { env?: Record<string, string | undefined> }).env ?? {};

export const SEED = given.VITE_SEED === undefined ? 20_261_128 : Number(given.VITE_SEED);

/**
 * The length of random tests. A test gives its length in Node, where the budget is 1. vitest.config.ts gives a smaller
 * budget to Chromium; VITE_BUDGET gives any other.
 */
const BUDGET = given.VITE_BUDGET === undefined ? 1 : Number(given.VITE_BUDGET);

/** The number of runs or calls of a random test, scaled by the budget. */
export function budgeted(count: number): number {
  return Math.ceil(count * BUDGET);
}
