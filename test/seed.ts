/**
 * The seed of random tests: the same in every run of `npm test`, so that a run tells of the code and not of its luck. VITE_SEED
 * gives another one; `npm run test:long` (test/random/long.ts) draws a new one each time, and runs for as long as one likes.
 */
const given = (import.meta as { env?: Record<string, string | undefined> }).env ?? {};

export const SEED = given.VITE_SEED === undefined ? 20_261_128 : Number(given.VITE_SEED);

/**
 * The length of random tests: each says what it draws in Node, which is 1. vitest.config.ts gives less to Chromium, and
 * VITE_BUDGET any other one.
 */
const BUDGET = given.VITE_BUDGET === undefined ? 1 : Number(given.VITE_BUDGET);

/** So many runs or calls of a random test, as far as the budget goes. */
export function budgeted(count: number): number {
  return Math.ceil(count * BUDGET);
}
