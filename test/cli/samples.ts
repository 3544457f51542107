/** Inputs with known figures. */
import { PAGE_SIZE } from '../../bindings/index.ts';

/** Pages of a fixed pseudo-random sequence (xorshift32), which no codec makes smaller. */
export function randomPages(count: number): Uint8Array {
  const words = new Uint32Array((count * PAGE_SIZE) / 4);
  let x = 2463534242;
  for (let at = 0; at < words.length; at++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[at] = x;
  }
  return new Uint8Array(words.buffer);
}

export function zeroPages(count: number): Uint8Array {
  return new Uint8Array(count * PAGE_SIZE);
}

/** Pages of text. Each begins with its number modulo 10, so that every tenth page is the same. */
export function textPages(count: number): Uint8Array {
  const text = Array.from({ length: count }, (_, n) =>
    `${n % 10}: the quick brown fox jumps over the lazy dog. `.repeat(90).slice(0, PAGE_SIZE),
  );
  return Buffer.from(text.join(''), 'latin1');
}

/** Noise, zeros and text. */
export function mixedPages(): Buffer {
  return Buffer.concat([randomPages(150), zeroPages(20), textPages(60), randomPages(90)]);
}
