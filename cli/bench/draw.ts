/** Draws of the published traces: sizes and choices that are the same in every run and every language. */

/** 24 random bits a call. */
export function createDraw(seed: number): () => number {
  let state = seed | 0; // signed: V8 would put a number above 2^31 in a box, at every draw
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state >>> 8;
  };
}

/** 32 … 3072 bytes. */
export function sizeOf(draw: () => number): number {
  return 32 + (draw() % 3041);
}
