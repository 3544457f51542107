/**
 * Pins: a fixed history is played, and its results are compared with one number.
 *
 * The number covers every answer and error, and the image of the RAM at the end. So it covers the order of every list,
 * every counter and every handle, and a fault that no other test finds changes it. A different number does not say what has
 * changed. When only this test fails, another test is missing, or the change is intended; the failure shows the new number.
 */
import { CompcacheError, type Ram } from '../../bindings/index.ts';
import { dice } from '../front/chaos-store.ts';

export { dice };

/** Computes one number from words, bytes and texts (FNV-1a). */
export class Pin {
  #sum = 0x811c9dc5;

  word(value: number): void {
    // All 64 bits, because numbers may be large, negative or fractions.
    for (const part of new Uint32Array(new Float64Array([value]).buffer)) this.#add(part);
  }

  bytes(bytes: Uint8Array): void {
    for (const byte of bytes) this.#add(byte);
  }

  text(text: string): void {
    for (let i = 0; i < text.length; i++) this.#add(text.charCodeAt(i));
  }

  /** Adds a number, a boolean, bytes, an error (its code), or an object that contains these. */
  value(value: unknown): void {
    if (typeof value === 'number') this.word(value);
    else if (value instanceof Uint8Array) this.bytes(value);
    else this.text(JSON.stringify(value) ?? 'undefined');
  }

  /** Adds the answer of a call, or the code of its error. @returns the answer; undefined after an error */
  call<T>(call: () => T): T | undefined {
    try {
      const answer = call();
      this.value(answer);
      return answer;
    } catch (error) {
      this.text(codeOf(error));
      return undefined;
    }
  }

  /** Adds the image of a RAM. Nothing may be under way in it. */
  ram(ram: Ram): void {
    ram.check();
    const image = ram.snapshot();
    this.bytes(image.subarray(image.length - 4)); // its checksum
    this.word(image.length);
  }

  get sum(): string {
    return (this.#sum >>> 0).toString(16).padStart(8, '0');
  }

  #add(part: number): void {
    this.#sum = Math.imul(this.#sum ^ (part & 0xffff), 0x01000193);
    this.#sum = Math.imul(this.#sum ^ (part >>> 16), 0x01000193);
  }
}

/** The code of an error of this package. Any other error is thrown again. */
export function codeOf(error: unknown): string {
  if (error instanceof CompcacheError) return error.code;
  throw error;
}

/** Makes the random numbers of front ends the same in every run while `call` runs. */
export async function withoutChance<T>(call: () => Promise<T>): Promise<T> {
  const { random } = Math;
  Math.random = () => 0.625;
  try {
    return await call();
  } finally {
    Math.random = random;
  }
}
