/** Media in memory that fail on request, and record all writes and flushes. */
import type { Medium } from '../../bindings/backing/medium.ts';
import type { MaybePromise } from '../../bindings/backing/types.ts';

/** A write, or a flush of all writes before it. */
export type Operation = { at: number; bytes: Uint8Array } | 'flush';

export class TestMedium implements Medium {
  bytes: Uint8Array;
  /** Writes and flushes, in order. */
  operations: Operation[] = [];
  /** The most bytes that one read or write moves. */
  most = Infinity;
  /** The size that the medium cannot exceed. */
  room = Infinity;
  /** The errors of the next calls of each kind; a write that fails has written `torn` bytes before. */
  fails: { read?: Error; write?: Error; flush?: Error; close?: Error; resize?: Error } = {};
  torn = 0;
  /** True when each error is thrown only once. */
  failsOnce = false;
  /** Called before each call. */
  before: () => void = () => {};
  /** The count that reads and writes return in place of the real one. */
  says: number | undefined;
  closed = 0;
  readonly #async: boolean;

  constructor(mode: 'sync' | 'async' = 'sync', bytes: Uint8Array = new Uint8Array(0)) {
    this.#async = mode === 'async';
    this.bytes = bytes;
  }

  size(): MaybePromise<number> {
    return this.#answer(() => this.bytes.length);
  }

  resize(bytes: number): MaybePromise<void> {
    return this.#answer(() => {
      const error = this.fails.resize;
      if (this.failsOnce) delete this.fails.resize;
      if (error) throw error;
      this.#grow(bytes);
    });
  }

  readAt(into: Uint8Array, at: number): MaybePromise<number> {
    return this.#answer(() => {
      if (this.fails.read) throw this.fails.read;
      const part = this.bytes.subarray(at, at + Math.min(into.length, this.most));
      into.set(part);
      return this.says ?? part.length;
    });
  }

  writeAt(bytes: Uint8Array, at: number): MaybePromise<number> {
    return this.#answer(() => {
      const error = this.fails.write;
      if (!error && at >= this.room) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
      const count = Math.min(bytes.length, error ? this.torn : this.most, this.room - at);
      this.#put(bytes.slice(0, count), at);
      if (error) throw error;
      return this.says ?? count;
    });
  }

  flush(): MaybePromise<void> {
    return this.#answer(() => {
      if (this.fails.flush) throw this.fails.flush;
      this.operations.push('flush');
    });
  }

  close(): MaybePromise<void> {
    return this.#answer(() => {
      this.closed++;
      if (this.fails.close) throw this.fails.close;
    });
  }

  #put(bytes: Uint8Array, at: number): void {
    if (bytes.length === 0) return;
    this.#grow(Math.max(this.bytes.length, at + bytes.length));
    this.bytes.set(bytes, at);
    this.operations.push({ at, bytes });
  }

  #grow(length: number): void {
    const grown = new Uint8Array(length);
    grown.set(this.bytes.subarray(0, length));
    this.bytes = grown;
  }

  /** Returns a value or a promise, as the mode wants. */
  #answer<T>(call: () => T): MaybePromise<T> {
    this.before();
    return this.#async ? Promise.resolve().then(call) : call();
  }
}
