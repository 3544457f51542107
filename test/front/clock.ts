/** Simulated time for tests: timers that fire when a test says so, and a wait until all promises have settled. */

/**
 * The timeout of the stores under test. Only timers of exactly this length are simulated; all others stay with the
 * host.
 */
export const TIMEOUT = 4321;

interface Timer {
  at: number;
  call: () => void;
}

interface Timers {
  setTimeout(call: () => void, after?: number, ...rest: unknown[]): unknown;
  clearTimeout(id: unknown): void;
}

/** Replaces the host's timers between `install` and `restore`. */
export class Clock {
  readonly #timers = new Map<object, Timer>();
  readonly #host = globalThis as unknown as Timers;
  readonly #realNow = performance.now.bind(performance);
  #before: Timers | undefined;
  #now = 0;
  #ahead = 0;
  /**
   * True when each call of performance.now() is some milliseconds later. Work in slices then has the shortest slices.
   */
  isHasty = false;

  install(): this {
    const { setTimeout, clearTimeout } = this.#host;
    this.#before = { setTimeout, clearTimeout };
    performance.now = () => this.#realNow() + (this.#ahead += this.isHasty ? 2 : 0);
    this.#host.setTimeout = (call, after, ...rest) => {
      if (after !== TIMEOUT) return setTimeout(call, after, ...rest);
      const id = {};
      this.#timers.set(id, { at: this.#now + after, call });
      return id;
    };
    this.#host.clearTimeout = (id) => {
      if (!this.#timers.delete(id as object)) clearTimeout(id);
    };
    return this;
  }

  restore(): void {
    if (this.#before !== undefined) Object.assign(this.#host, this.#before);
    performance.now = this.#realNow;
    this.#before = undefined;
    this.#timers.clear();
  }

  /** The number of waiting timers. */
  get size(): number {
    return this.#timers.size;
  }

  /** Advances the time, and fires the timers that are due, in order. */
  pass(time: number): void {
    this.#now += time;
    const due = [...this.#timers]
      .filter(([, { at }]) => at <= this.#now)
      .sort(([, left], [, right]) => left.at - right.at);
    for (const [id, { call }] of due) if (this.#timers.delete(id)) call();
  }
}

let turn: (() => Promise<void>) | undefined;

function makeTurn(): () => Promise<void> {
  // Node delivers a thousand messages of a port in one turn of its loop, so that work in slices would not continue.
  const { setImmediate: immediate } = globalThis as { setImmediate?: (call: () => void) => unknown };
  if (immediate !== undefined) return () => new Promise((resolve) => void immediate(resolve));
  const { port1, port2 } = new MessageChannel();
  const waiting: (() => void)[] = [];
  port1.onmessage = () => waiting.shift()?.();
  // In Node, a port that listens keeps the process alive.
  const { ref, unref } = port1 as unknown as { ref?: () => void; unref?: () => void };
  unref?.call(port1);
  return () =>
    new Promise((resolve) => {
      ref?.call(port1);
      waiting.push(() => {
        unref?.call(port1);
        resolve();
      });
      port2.postMessage(0);
    });
}

/** Waits until every promise that can settle has done so: one turn of the event loop, without a timer. */
export function quiet(): Promise<void> {
  turn ??= makeTurn();
  return turn();
}
