/**
 * Lets events in between pieces of a connection's work, so that its requests do not keep other clients waiting: after some
 * milliseconds whoever wants to go on waits for a turn of the event loop, one for each.
 */
const SLICE_MS = 4;

export class Breath {
  #since = performance.now();
  readonly #waiting: (() => void)[] = [];

  /** After each piece of work. */
  async take(): Promise<void> {
    if (this.#waiting.length === 0 && performance.now() - this.#since < SLICE_MS) return;
    await new Promise<void>((resolve) => {
      if (this.#waiting.push(resolve) === 1) setImmediate(() => this.#next());
    });
  }

  #next(): void {
    this.#since = performance.now();
    this.#waiting.shift()?.();
    if (this.#waiting.length > 0) setImmediate(() => this.#next());
  }
}
