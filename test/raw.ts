/** Raw access for tests: an image loaded into a bare core, whose memory a test can change. */
import { moduleFor } from '../bindings/builds.ts';
import { loadImage, parseImage } from '../bindings/image.ts';
import type { RamOptions } from '../bindings/types.ts';
import { PAGE_SIZE, instantiate, reserve, type Core } from '../bindings/wasm.ts';
import { must } from './harness.ts';

export interface Raw {
  core: Core;
  words: Uint32Array;
  frames: number;
  /** ramCheck's result, unsigned. */
  check(): number;
  word(address: number): number;
  setWord(address: number, value: number): void;
}

/** A bare core with the state of an image. */
export async function rawOf(image: Uint8Array, options: RamOptions = {}): Promise<Raw> {
  const parsed = parseImage('test', image);
  const core = loadImage(
    'test',
    instantiate('test', await moduleFor('test', options), reserve('test', parsed.totalFrames * PAGE_SIZE)),
    parsed,
  );
  const words = new Uint32Array(core.memory.buffer);
  return {
    core,
    words,
    frames: parsed.totalFrames,
    check: () => core.exports.ramCheck(parsed.totalFrames) >>> 0,
    word: (address) => words[address >>> 2] as number,
    setWord: (address, value) => void (words[address >>> 2] = value),
  };
}

/** Address of a frame entry (assembly/mem/layout.ts). */
export function frameEntryOf(frame: number): number {
  return ((frame & ~127) + (((frame >>> 8) & 15) ^ 1)) * PAGE_SIZE + (frame & 127) * 32;
}

/** CRC-32C, computed bit by bit: independent of the core's tables. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0x82f63b78 & -(crc & 1));
  }
  return ~crc >>> 0;
}

/** The image with a right checksum. */
export function withChecksum(image: Uint8Array): Uint8Array {
  const copy = image.slice();
  new DataView(copy.buffer).setUint32(copy.length - 4, crc32c(copy.subarray(0, copy.length - 4)), true);
  return copy;
}

/** The code of ramCheck for an inconsistent RAM. */
export const EUCLEAN = 0xffffff8b;

const BITS = Array.from({ length: 32 }, (_, bit) => (1 << bit) >>> 0);

/** Changes a word by each of the flips (each bit by default) that touch `mask`: check() must notice each change. */
export function notices(
  raw: Raw,
  address: number,
  what: string,
  mask = 0xffffffff,
  flips: readonly number[] = BITS,
): void {
  const word = raw.word(address);
  for (const flip of flips) {
    if ((flip & mask) === 0) continue;
    raw.setWord(address, word ^ flip);
    must(raw.check() === EUCLEAN, `${what} at ${address}: ${word.toString(16)} ^ ${flip.toString(16)} is not noticed`);
  }
  raw.setWord(address, word);
}
