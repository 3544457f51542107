/**
 * The requests of one connection that have been taken and whose replies the kernel has not: so many, of so many bytes. Who
 * sends requests and does not read the replies is read no further, and costs no more memory than this.
 */
import { BLOCK_SIZE } from './protocol.ts';

const MAX_REQUESTS = 64;
const MAX_BYTES = BLOCK_SIZE.MAXIMUM;

export class Flight {
  #requests = 0;
  #bytes = 0;
  #changed: (() => void) | undefined;

  /** Waits for room for a request with so many bytes of payload, either way. One caller at a time. */
  async enter(bytes: number): Promise<void> {
    while (this.#requests >= MAX_REQUESTS || (this.#requests > 0 && this.#bytes + bytes > MAX_BYTES)) await this.#change();
    this.#requests++;
    this.#bytes += bytes;
  }

  leave(bytes: number): void {
    this.#requests--;
    this.#bytes -= bytes;
    const changed = this.#changed;
    this.#changed = undefined;
    changed?.();
  }

  /** Waits for the last one; after the last `enter`. */
  async landed(): Promise<void> {
    while (this.#requests > 0) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => (this.#changed = resolve));
  }
}
