/** Calls that wait, and have things to put back when what they wait for has come. Closing waits for them. It touches nothing else. */
import { runAsync, type Steps } from '../../steps.ts';

export class ActiveCalls {
  readonly #calls = new Set<Promise<void>>();

  get size(): number {
    return this.#calls.size;
  }

  /**
   * A body that is active from its first step, which may run foreign code, until it has ended. It is taken out of the calls that
   * are active without a reaction to a promise: one makes an asynchronous read from memory an eighth slower.
   */
  *during<T>(body: Steps<T>): Steps<T> {
    let end = (): void => undefined;
    const over = new Promise<void>((resolve) => (end = resolve));
    this.#calls.add(over);
    try {
      return yield* body;
    } finally {
      this.#calls.delete(over);
      end();
    }
  }

  /** Runs a body that is active meanwhile. */
  run<T>(body: Steps<T>): Promise<T> {
    return runAsync(this.during(body));
  }

  /** Waits until those that there are now have ended. Others may have begun meanwhile: ask size again. */
  async settled(): Promise<void> {
    await Promise.all(this.#calls);
  }
}
