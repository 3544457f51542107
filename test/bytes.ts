/** Comparison of bytes in tests: toEqual takes seconds for large arrays. */
import { expect } from 'vitest';

/** Index of the first difference, -1 for none; different lengths count as a difference. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return a.length === b.length ? -1 : length;
}

export function expectSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  const at = firstDifference(actual, expected);
  expect(
    at,
    at < 0 ? '' : `byte ${at} is ${actual[at]}, not ${expected[at]}; lengths ${actual.length}, ${expected.length}`,
  ).toBe(-1);
}
