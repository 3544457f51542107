/**
 * The seed of random tests: the same in every run of `npm test`, so that a run tells of the code and not of its luck. VITE_SEED
 * gives another one; `npm run test:long` (test/random/long.ts) draws a new one each time, and runs for as long as one likes.
 */
const given = (import.meta as { env?: Record<string, string | undefined> }).env?.VITE_SEED;

export const SEED = given === undefined ? 20_261_128 : Number(given);
