/** Media in memory that fail as told, and remember what was done to them. */
import type { Medium } from '../../bindings/backing/medium.ts';
import type { MaybePromise } from '../../bindings/backing/types.ts';

/** A write, or a flush of all writes before it. */
export type Deed = { at: number; bytes: Uint8Array } | 'flush';

export class TestMedium implements Medium {
  bytes: Uint8Array;
  /** Writes and flushes, in order. */
  deeds: Deed[] = [];
  /** Bytes that a single read or write moves at most. */
  most = Infinity;
  /** Bytes that there is room for. */
  room = Infinity;
  /** What the next calls of a kind throw; a write takes `torn` bytes before. */
  fails: { read?: Error; write?: Error; flush?: Error; close?: Error; resize?: Error } = {};
  torn = 0;
  /** Whether what fails does so once only. */
  failsOnce = false;
  /** Comes before each call. */
  before: () => void = () => {};
  /** What reads and writes say that they have moved, whatever it was. */
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
      this.deeds.push('flush');
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
    this.deeds.push({ at, bytes });
  }

  #grow(length: number): void {
    const grown = new Uint8Array(length);
    grown.set(this.bytes.subarray(0, length));
    this.bytes = grown;
  }

  /** Answers as the mode says. */
  #answer<T>(call: () => T): MaybePromise<T> {
    this.before();
    return this.#async ? Promise.resolve().then(call) : call();
  }
}
