/** Stops the use of a device for a while: calls under way are finished, and new calls wait. */
import type { BlockDevice } from './device.ts';

export class Gate {
  /** Resolves when calls may pass again. */
  #held: Promise<void> | undefined;
  /** Calls that have passed and are not finished. */
  readonly #inside = new Set<Promise<unknown>>();

  /** Makes a call: at once, or after the gate opens again. */
  pass<T>(call: () => T | Promise<T>): T | Promise<T> {
    if (this.#held !== undefined) return this.#held.then(() => this.pass(call));
    const result = call();
    if (!(result instanceof Promise)) return result;
    const done = (): void => void this.#inside.delete(result);
    this.#inside.add(result);
    result.then(done, done);
    return result;
  }

  /** Does some work while no call is under way and new calls wait. Works that overlap run one after the other. */
  async hold<T>(work: () => Promise<T>): Promise<T> {
    while (this.#held !== undefined) await this.#held;
    let open = (): void => undefined;
    this.#held = new Promise((resolve) => (open = resolve));
    try {
      await Promise.allSettled(this.#inside);
      return await work();
    } finally {
      this.#held = undefined;
      open();
    }
  }
}

/** A device whose calls pass a gate. */
export function gated(device: BlockDevice, gate: Gate): BlockDevice {
  return {
    get size() {
      return device.size;
    },
    get isReady() {
      return device.isReady;
    },
    read: (offset, into) => gate.pass(() => device.read(offset, into)),
    write: (offset, bytes) => gate.pass(() => device.write(offset, bytes)),
    trim: (offset, length) => gate.pass(() => device.trim(offset, length)),
    writeZeroes: (offset, length, mayTrim) => gate.pass(() => device.writeZeroes(offset, length, mayTrim)),
    flush: () => gate.pass(() => device.flush()),
  };
}
