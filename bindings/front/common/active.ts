/** Calls that wait for a store and have things to put back when it has answered. Closing waits for them. It touches nothing else. */
export class ActiveCalls {
  readonly #calls = new Set<Promise<unknown>>();

  get size(): number {
    return this.#calls.size;
  }

  /** Notes a call as active until it has ended. */
  track<T>(call: Promise<T>): Promise<T> {
    this.#calls.add(call);
    const done = (): void => void this.#calls.delete(call);
    call.then(done, done);
    return call;
  }

  /** Waits until those that there are now have ended. Others may have begun meanwhile: ask size again. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#calls);
  }
}
