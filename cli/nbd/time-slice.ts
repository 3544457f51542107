/**
 * The time that the work for one connection may take before the event loop serves other clients. After that the next
 * part of the work waits for one turn of the event loop.
 */
const SLICE_MS = 4;

export class TimeSlice {
  #since = performance.now();
  readonly #waiting: (() => void)[] = [];

  /** Called after each part of the work. Waits when the time is used up. */
  async yield(): Promise<void> {
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
