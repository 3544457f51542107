/** Sizes as people write them: 4096, '64MiB', '512K'. Units are binary. */
import { CompcacheError, show } from './errors.ts';

const UNITS: Record<string, number> = { '': 1, B: 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/**
 * @param value bytes, or a string of digits (a fraction is allowed) and K, M, G, KiB, MiB or GiB
 * @returns whole bytes
 * @throws EINVAL for anything else
 */
export function parseBytes(op: string, what: string, value: unknown): number {
  const bytes = typeof value === 'string' ? fromText(value) : value;
  if (typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  throw new CompcacheError(
    'EINVAL',
    op,
    `${what} must be a number of bytes or a size like '64MiB', not ${show(value)}`,
    { detail: { argument: what } },
  );
}

function fromText(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(?:([KMG])(?:i?B)?|B)?\s*$/i.exec(text);
  if (match === null) return NaN;
  return Number(match[1]) * (UNITS[(match[2] ?? '').toUpperCase()] as number);
}
