/**
 * Slices: a long call that may wait works for a millisecond at a time, with a turn of the event loop between, in which
 * others come to the device. What a call that does not wait does is one piece. Knows no device.
 */
const SLICE_MS = 1;

/** A turn of the event loop: what has come meanwhile is seen to. Taken when this is loaded, whatever a program puts there later. */
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

  /** @param least pieces of a slice at least: how many take less than the millisecond, or little more */
  constructor(least = 1) {
    this.#least = least;
  }

  /** Asked after each piece of work: whether it is the turn of others. */
  get isOver(): boolean {
    this.#pieces += 1;
    return this.#pieces >= this.#least && performance.now() >= this.#end;
  }

  /** Lets others have it. Then anything may have changed. */
  async turn(): Promise<void> {
    await nextTurn();
    this.#pieces = 0;
    this.#end = performance.now() + SLICE_MS;
  }
}
