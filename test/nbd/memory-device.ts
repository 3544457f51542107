/** A block device in plain memory for tests: it answers at once or with promises, can fail, and records its calls. */
import type { BlockDevice } from '../../cli/nbd/device.ts';
import { CompcacheError, type ErrorCode } from '../../bindings/errors.ts';

type Call = 'read' | 'write' | 'trim' | 'writeZeroes' | 'flush';

export class MemoryDevice implements BlockDevice {
  readonly bytes: Uint8Array;
  /** All calls, with offset and length. */
  readonly calls: { call: Call; offset: number; length: number; mayTrim?: boolean }[] = [];
  isReady = true;
  /** Called before each call; the call throws its error, or waits for its promise. */
  before: (call: Call, offset: number, length: number) => void | Promise<void> = () => {};
  /** The most calls that were under way at the same time. */
  mostAtOnce = 0;
  #atOnce = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  get size(): number {
    if (!this.isReady) throw new CompcacheError('ENODEV', 'device.size', 'not initialised');
    return this.bytes.length;
  }

  read(offset: number, into: Uint8Array): void | Promise<void> {
    return this.#do('read', offset, into.length, () => into.set(this.bytes.subarray(offset, offset + into.length)));
  }

  write(offset: number, bytes: Uint8Array): void | Promise<void> {
    return this.#do('write', offset, bytes.length, () => this.bytes.set(bytes, offset));
  }

  trim(offset: number, length: number): void | Promise<void> {
    return this.#do('trim', offset, length, () => this.bytes.fill(0, offset, offset + length));
  }

  writeZeroes(offset: number, length: number, mayTrim: boolean): void | Promise<void> {
    return this.#do('writeZeroes', offset, length, () => this.bytes.fill(0, offset, offset + length), mayTrim);
  }

  flush(): void | Promise<void> {
    return this.#do('flush', 0, 0, () => {});
  }

  /** Makes a kind of call fail with this code from now on. */
  fail(call: Call, code: ErrorCode): void {
    this.before = (what) => {
      if (what === call) throw new CompcacheError(code, `device.${call}`, 'on purpose');
    };
  }

  #do(call: Call, offset: number, length: number, action: () => void, mayTrim?: boolean): void | Promise<void> {
    if (!this.isReady) throw new CompcacheError('ENODEV', `device.${call}`, 'not initialised');
    if (offset < 0 || offset + length > this.bytes.length)
      throw new Error(`${call} of ${length} at ${offset}: outside`);
    this.calls.push({ call, offset, length, ...(mayTrim === undefined ? {} : { mayTrim }) });
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#atOnce);
    let pending: void | Promise<void>;
    try {
      pending = this.before(call, offset, length);
    } catch (error) {
      this.#atOnce--;
      throw error;
    }
    if (pending === undefined) {
      this.#atOnce--;
      return action();
    }
    return pending.then(action).finally(() => this.#atOnce--);
  }
}

/** Answers each call after a varying number of turns of the event loop, so that replies overtake each other. */
export function later(): () => Promise<void> {
  let call = 0;
  return async () => {
    for (let turns = (call++ * 7) % 5; turns >= 0; turns--) await new Promise((resolve) => setImmediate(resolve));
  };
}
