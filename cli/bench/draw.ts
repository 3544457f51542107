/** The random numbers of the published traces. They are the same in every run and every language. */

/** A generator. Each call returns 24 random bits. */
export function createDraw(seed: number): () => number {
  let state = seed | 0; // signed: V8 would box a number above 2^31 at every call
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state >>> 8;
  };
}

/** A random size of 32 … 3072 bytes. */
export function sizeOf(draw: () => number): number {
  return 32 + (draw() % 3041);
}
