/**
 * Pins: a fixed history is played, and what comes of it is compared with one number.
 *
 * The number is taken over every answer and error on the way, and over the image of the RAM at the end: so over the order of
 * every list, every counter, every handle. A fault that no other test asks about changes it. It says that something has changed,
 * not what: where it fails alone, either a test lacks, or the change is meant. Then the failure shows the new number.
 */
import { CompcacheError, type Ram } from '../../bindings/index.ts';
import { dice } from '../front/chaos-store.ts';

export { dice };

/** Takes words, bytes and texts, and makes one number of them (FNV-1a). */
export class Pin {
  #sum = 0x811c9dc5;

  word(value: number): void {
    // All of a number: those above 32 bits, negative ones and fractions, too.
    for (const part of new Uint32Array(new Float64Array([value]).buffer)) this.#add(part);
  }

  bytes(bytes: Uint8Array): void {
    for (const byte of bytes) this.#add(byte);
  }

  text(text: string): void {
    for (let i = 0; i < text.length; i++) this.#add(text.charCodeAt(i));
  }

  /** A number, truth value, bytes, code of an error, or an object of these. */
  value(value: unknown): void {
    if (typeof value === 'number') this.word(value);
    else if (value instanceof Uint8Array) this.bytes(value);
    else this.text(JSON.stringify(value) ?? 'undefined');
  }

  /** What a call answers, or the code of what it throws. @returns the answer; undefined when it threw */
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

  /** The image of a RAM in which nothing is under way. */
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

/** The code of an error of ours; anything else is thrown on. */
export function codeOf(error: unknown): string {
  if (error instanceof CompcacheError) return error.code;
  throw error;
}

/** The numbers that a front end draws for its slots, always the same ones while `call` runs. */
export async function withoutChance<T>(call: () => Promise<T>): Promise<T> {
  const { random } = Math;
  Math.random = () => 0.625;
  try {
    return await call();
  } finally {
    Math.random = random;
  }
}
