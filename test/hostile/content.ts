/**
 * Bytes that identify their owner and place. At one place of one owner only one byte value is possible: whatever the
 * mixture of writes, a read gives this byte or zero; any other byte belongs to another page.
 */
import { PAGE_SIZE } from '../../bindings/index.ts';

function mix(a: number, b: number): number {
  const word = Math.imul(a ^ (a >>> 16) ^ Math.imul(b, 0x9e3779b1), 0x85ebca6b);
  return (word ^ (word >>> 13)) >>> 0;
}

const known = new Map<number, Uint8Array>();
const KNOWN = 2 ** 12;

/** The page with a number: equal words, noise, or some noise at its beginning. Callers must not change it. */
export function pageAt(owner: number, number: number): Uint8Array {
  const key = owner + number * 2 ** 12;
  let page = known.get(key);
  if (page === undefined) {
    if (known.size >= KNOWN) known.clear();
    page = newPage(owner, number);
    if (Number.isSafeInteger(key)) known.set(key, page);
  }
  return page;
}

function newPage(owner: number, number: number): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  const seed = mix(mix(owner, 77), number >>> 0) ^ Math.floor(number / 2 ** 32);
  const noisy = [0, PAGE_SIZE, 200, 1500][(owner + number) % 4] as number;
  if (noisy === 0) {
    new Uint32Array(page.buffer).fill(mix(seed, 1) | 1);
    return page;
  }
  for (let at = 0, word = seed; at < noisy; at++) {
    word = mix(word, at);
    page[at] = word;
  }
  page[PAGE_SIZE - 1] = 1 + (seed % 250);
  return page;
}

/** Bytes of a device whose pages are those of pageAt. */
export function bytesAt(owner: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const from = (offset + at) % PAGE_SIZE;
    const part = pageAt(owner, Math.floor((offset + at) / PAGE_SIZE)).subarray(from, from + length - at);
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Whether bytes are the right ones, or zeros where nothing was written. */
export function belongs(bytes: Uint8Array, right: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at++) if (bytes[at] !== 0 && bytes[at] !== right[at]) return false;
  return true;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return a.length === b.length;
}
