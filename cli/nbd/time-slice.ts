/**
 * The time that the work of one connection may take before other clients have their turn. After that the next piece of work
 * waits for one turn of the event loop.
 */
const SLICE_MS = 4;

export class TimeSlice {
  #since = performance.now();
  readonly #waiting: (() => void)[] = [];

  /** Called after each piece of work: waits when the time is over. */
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
