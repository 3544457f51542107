/** Bytes in tests: comparing large arrays with toEqual takes seconds. */
import { expect } from 'vitest';

/** Index of the first difference, -1 for none; a difference in length counts. */
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
