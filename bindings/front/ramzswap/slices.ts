/**
 * Slices: a long call that may wait works for a millisecond at a time. Between two slices the event loop runs once, so
 * that other calls can use the device. A call that does not wait works in one piece.
 */
const SLICE_MS = 1;

/**
 * Runs the event loop once. The function is read when this file is loaded, so that later changes of globalThis do not
 * matter.
 */
const { setImmediate: immediate } = globalThis as { setImmediate?: (call: () => void) => unknown };

function nextTurn(): Promise<void> {
  if (immediate !== undefined) return new Promise((resolve) => void immediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

export class Slices {
  readonly #least: number;
  #pieces = 0;
  #end = performance.now() + SLICE_MS;

  /** @param least the least pieces of work in a slice. They should take about a millisecond or less */
  constructor(least = 1) {
    this.#least = least;
  }

  /** Call it after each piece of work. True when the slice is over. */
  get isOver(): boolean {
    this.#pieces += 1;
    return this.#pieces >= this.#least && performance.now() >= this.#end;
  }

  /** Lets other calls run. Anything may have changed afterwards. */
  async turn(): Promise<void> {
    await nextTurn();
    this.#pieces = 0;
    this.#end = performance.now() + SLICE_MS;
  }
}
