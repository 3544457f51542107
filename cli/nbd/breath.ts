/** Lets events in between pieces of long work, so that one client's requests do not keep the others waiting. */
import { setImmediate as nextTurn } from 'node:timers/promises';

const SLICE_MS = 4;

export class Breath {
  #since = performance.now();

  /** After each piece of work. */
  async take(): Promise<void> {
    if (performance.now() - this.#since < SLICE_MS) return;
    await nextTurn();
    this.#since = performance.now();
  }
}
