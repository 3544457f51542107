/// <reference lib="esnext.disposable" preserve="true" />
/**
 * `compcache/backing/keyv`: a backing store in any Keyv instance or adapter (Redis, Valkey, SQLite, …), or a Map.
 *
 * Bytes are stored as base64 text. This is the only form that comes back unchanged from every combination below.
 * Measured with Keyv 5.6, on a Map and on Redis 7 (6.1 also keeps the text):
 *
 *                                   Uint8Array            Buffer                      base64 text
 *     Map, default serializer       {"0":0,"1":255,…}     unchanged (as base64)       unchanged
 *     Map, no serializer            unchanged             unchanged                   unchanged
 *     Redis, default serializer     {"0":0,"1":255,…}     unchanged (as base64)       unchanged
 *     Redis, no serializer          refused: the adapter emits 'error', `set` gives true and `get` undefined
 *     Redis adapter without Keyv    decoded as UTF-8      decoded as UTF-8            unchanged
 *
 * Keyv hides failures. This file relies on the following, read in the source of keyv 5.6.0, keyv 6.1.0 and @keyv/redis
 * 5.1.6:
 * - In 5, `get` returns undefined when the adapter throws, and reports nothing. `getRaw` does not catch the error: it
 *   throws. An instance without `getRaw` (before 5.5) throws if `throwOnErrors` is set. An instance with neither is
 *   refused.
 * - In 6, both return undefined when the adapter throws. Before that, the instance always emits 'error'.
 * - `set` returns false when the adapter throws. `delete` returns false then, and also for a key that does not exist.
 * - When a command fails, the Redis adapter returns undefined (`get`, `set`) or false (`delete`), unless it is told to
 *   throw. It emits 'error' before it returns. So a call fails when the instance or the adapter emitted 'error' during
 *   it, unless the call returned a value. An error of another call, or of a reconnection, may make this call fail too.
 *   So EIO may come too often, but ENOENT never comes for a slot that could not be read.
 * - When `delete` returns false, a read tells whether the key existed.
 * - `set(key, value, 0)` of an instance means no expiry, even when the instance has a `ttl`.
 *
 * The slot in a key has ten digits. So two different prefixes cannot give the same key ('c:' and 'c:1').
 *
 * A Redis client without a connection queues commands and sends them after it reconnects. So a call that took longer
 * than `timeout` gives EIO but may still be done later. The next call on that slot waits for it, within its own
 * timeout.
 */
import { fromBase64, toBase64 } from '../base64.ts';
import { copyOf, copyOut } from '../bytes.ts';
import { ASYNC_DISPOSE } from '../dispose.ts';
import { CompcacheError, MAKER, requireMaker, requireU32, show, takeOptions } from '../errors.ts';
import { isPromise } from '../promises.ts';
import { closedStore, emptySlot, requireContent, requireRoom, requireSlot, takeSlots } from './arguments.ts';
import { textOf } from './medium.ts';
import { SLOT_BYTES, type BackingStore } from './types.ts';

/** The methods that a store needs: those of a Keyv instance, of an adapter, or of a Map. */
export interface KeyvLike {
  get(key: string): unknown;
  set(key: string, value: string, ttl?: number): unknown;
  delete(key: string): unknown;
}

export interface KeyvStoreOptions {
  /** The first part of each key. The slot's number follows, with ten digits. Default 'compcache:'. */
  prefix?: string;
  /** Slots of the store, 1 … 2^32 - 1. Default 2^32 - 1. */
  slots?: number;
  /** Milliseconds, at least 1, after which a call (also open) fails with EIO. Default 10000. */
  timeout?: number;
}

const OPTIONS: readonly (keyof KeyvStoreOptions)[] = ['prefix', 'slots', 'timeout'];
const DEFAULT_PREFIX = 'compcache:';
const DEFAULT_TIMEOUT = 10_000;
const MOST_TIMEOUT = 0x7fffffff;
const SLOT_DIGITS = 10;
const MOST_TEXT = 4 * Math.ceil(SLOT_BYTES / 3);

/** Stands for an answer that is an object. */
const NO_TEXT = Object.freeze({});

interface Emitter {
  on(event: 'error', listener: (error: unknown) => void): unknown;
  off?(event: 'error', listener: (error: unknown) => void): unknown;
}

/** A Keyv instance, as opposed to an adapter. */
interface Instance extends KeyvLike {
  store: unknown;
  throwOnErrors?: boolean;
  getRaw?(key: string): Promise<{ value?: unknown } | null | undefined>;
}

function hasMethods(value: unknown, ...names: string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function');
}

function isInstance(keyv: KeyvLike): keyv is Instance {
  return hasMethods((keyv as Partial<Instance>).store, 'get', 'set', 'delete');
}

function isKeyv(value: unknown): value is KeyvLike {
  return hasMethods(value, 'get', 'set', 'delete');
}

/** True when an instance returns undefined, and reports nothing, when its adapter throws. */
function hidesFailures(keyv: KeyvLike): boolean {
  return isInstance(keyv) && keyv.getRaw === undefined && keyv.throwOnErrors !== true;
}

/** Looks at a caller's object. EINVAL when the object cannot be read. */
function look<T>(op: string, at: () => T): T {
  try {
    return at();
  } catch (cause) {
    throw new CompcacheError('EINVAL', op, 'keyv cannot be read', { cause });
  }
}

function requireKeyv(op: string, keyv: unknown): asserts keyv is KeyvLike {
  if (!look(op, () => isKeyv(keyv)))
    throw new CompcacheError('EINVAL', op, `keyv must be a Keyv instance, an adapter or a Map, not ${show(keyv)}`);
  if (look(op, () => hidesFailures(keyv as KeyvLike))) {
    throw new CompcacheError(
      'EINVAL',
      op,
      'a Keyv instance without getRaw (before 5.5) must have throwOnErrors: true, or its failures cannot be told',
    );
  }
}

function takePrefix(op: string, prefix: unknown): string {
  if (prefix === undefined) return DEFAULT_PREFIX;
  if (typeof prefix !== 'string') throw new CompcacheError('EINVAL', op, `prefix must be a text, not ${show(prefix)}`);
  // A store that encodes keys as UTF-8 turns every lone surrogate into the same character.
  if (/\p{Surrogate}/u.test(prefix)) throw new CompcacheError('EINVAL', op, 'prefix must have no lone surrogates');
  return prefix;
}

function takeTimeout(op: string, timeout: unknown): number {
  if (timeout === undefined) return DEFAULT_TIMEOUT;
  requireU32(op, 'timeout', timeout);
  if (timeout < 1 || timeout > MOST_TIMEOUT)
    throw new CompcacheError('EINVAL', op, `timeout must be 1 to ${MOST_TIMEOUT} milliseconds, not ${timeout}`);
  return timeout;
}

/** The error for a store that fails. ENOSPC for a Redis that is out of memory, EIO otherwise. */
function failed(op: string, message: string, cause?: unknown): CompcacheError {
  const full = textOf(cause, 'message')?.startsWith('OOM ') ?? false;
  return new CompcacheError(full ? 'ENOSPC' : 'EIO', op, message, cause === undefined ? undefined : { cause });
}

/** Calls a Keyv. Its failures become EIO. */
class Client {
  readonly #keyv: KeyvLike;
  readonly #isInstance: boolean;
  readonly #emitters: Emitter[];
  #errors = 0;
  #lastError: unknown;
  // A single function, so that `off` can remove it again.
  readonly #listen = (error: unknown): void => {
    this.#errors++;
    this.#lastError = error;
  };

  /** Throws what the caller's object throws. `on` and `off` may return a promise: isPromise handles its rejection. */
  constructor(keyv: KeyvLike) {
    this.#keyv = keyv;
    this.#isInstance = isInstance(keyv);
    const all = isInstance(keyv) ? [keyv, keyv.store] : [keyv];
    this.#emitters = all.filter((value) => hasMethods(value, 'on')) as Emitter[];
    for (const emitter of this.#emitters) isPromise(emitter.on('error', this.#listen));
  }

  /** @returns the value of a key, undefined when there is none */
  async get(op: string, key: string): Promise<unknown> {
    const before = this.#errors;
    const value = await this.#ask(op, () => this.#value(key));
    if (value === undefined || value === null) {
      this.#requireQuiet(op, before);
      return undefined;
    }
    return value;
  }

  async set(op: string, key: string, value: string): Promise<void> {
    const before = this.#errors;
    const done = await this.#ask(op, () =>
      this.#isInstance ? this.#keyv.set(key, value, 0) : this.#keyv.set(key, value),
    );
    this.#requireQuiet(op, before);
    if (done === false) throw failed(op, 'the store has not taken it');
  }

  /** @returns true when the key existed */
  async delete(op: string, key: string): Promise<boolean> {
    const before = this.#errors;
    const done = await this.#ask(op, () => this.#keyv.delete(key));
    this.#requireQuiet(op, before);
    if (done !== false) return true;
    if ((await this.get(op, key)) !== undefined) throw failed(op, 'the store has not deleted it');
    return false;
  }

  /** Removes the 'error' listeners. */
  leave(): void {
    for (const emitter of this.#emitters) {
      try {
        isPromise(emitter.off?.('error', this.#listen));
      } catch {
        continue; // this emitter still calls our listener, which does no harm
      }
    }
  }

  async #value(key: string): Promise<unknown> {
    const keyv = this.#keyv as Instance;
    if (!this.#isInstance || keyv.getRaw === undefined) return keyv.get(key);
    return (await keyv.getRaw(key))?.value;
  }

  async #ask(op: string, call: () => unknown): Promise<unknown> {
    try {
      const answer = await call();
      // No valid answer is an object. A promise that resolves to an object would read its `then` once more.
      return (typeof answer === 'object' && answer !== null) || typeof answer === 'function' ? NO_TEXT : answer;
    } catch (error) {
      throw failed(op, `the store failed: ${show(textOf(error, 'message') ?? error)}`, error);
    }
  }

  #requireQuiet(op: string, before: number): void {
    if (this.#errors !== before) throw failed(op, 'the store had an error', this.#lastError);
  }
}

/** The time by which a call must have an answer. */
interface Deadline {
  /** Milliseconds from the start, for the message. */
  timeout: number;
  /** The end, in the time of performance.now. */
  end: number;
}

function deadlineIn(timeout: number): Deadline {
  return { timeout, end: performance.now() + timeout };
}

/** Settles as the call does, or fails with EIO at the deadline. At the deadline it calls `giveUp`. */
function within<T>(op: string, { timeout, end }: Deadline, call: Promise<T>, giveUp: () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => {
        giveUp();
        reject(failed(op, `no answer in ${timeout} ms`));
      },
      Math.max(0, end - performance.now()),
    );
    call.finally(() => clearTimeout(timer)).then(resolve, reject);
  });
}

function decode(op: string, value: unknown): Uint8Array {
  if (typeof value !== 'string') throw failed(op, `the store gave ${show(value)}, not the text that was written`);
  if (value.length > MOST_TEXT)
    throw failed(op, `the store gave a text of ${value.length} letters, more than was written`);
  let bytes: Uint8Array;
  try {
    bytes = fromBase64(value);
  } catch (cause) {
    throw failed(op, 'the store gave a text that was not written', cause);
  }
  if (bytes.length < 1 || bytes.length > SLOT_BYTES)
    throw failed(op, `the store gave ${bytes.length} bytes, more or less than a slot has`);
  return bytes;
}

// The symbol's name is computed (dispose.ts), so TypeScript must be told of the method.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface KeyvStore {
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Slots as entries of a key-value store. The connection belongs to the caller: close() does not end it. close() removes
 * our 'error' listeners. Keyv 6 throws such events when there is no other listener.
 *
 * Errors of every method: EINVAL for a bad argument, ENOSPC for a slot beyond `slots` or a Redis that is out of memory,
 * EIO for a store that fails or does not answer in time, ECLOSED after close.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class KeyvStore implements BackingStore {
  readonly mode = 'async';
  /** Slots of the store. Undefined means 2^32 - 1. */
  readonly slots?: number;
  readonly #client: Client;
  readonly #slots: number | undefined;
  readonly #prefix: string;
  readonly #timeout: number;
  /** For each key with calls under way: the last of them. The promises never reject. */
  readonly #underWay = new Map<string, Promise<unknown>>();
  #closed = false;

  private constructor(maker: unknown, client: Client, prefix: string, timeout: number, slots: number | undefined) {
    requireMaker(maker, 'KeyvStore', 'KeyvStore.open');
    this.#slots = slots;
    this.#client = client;
    this.#prefix = prefix;
    this.#timeout = timeout;
    if (slots !== undefined) this.slots = slots;
  }

  /**
   * Opens a store. It writes an entry, reads it and deletes it. This finds a store that does not work or that changes
   * text. All of this takes at most the timeout.
   * @throws EINVAL for bad options, or an instance that hides its failures; ENOSPC for a Redis that is out of memory;
   *   EIO
   */
  static async open(keyv: KeyvLike, options: KeyvStoreOptions = {}): Promise<KeyvStore> {
    const op = 'KeyvStore.open';
    requireKeyv(op, keyv);
    const taken = takeOptions<KeyvStoreOptions>(op, options, OPTIONS);
    const slots = takeSlots(op, taken.slots);
    const prefix = takePrefix(op, taken.prefix);
    const timeout = takeTimeout(op, taken.timeout);
    const store = new KeyvStore(
      MAKER,
      look(op, () => new Client(keyv)),
      prefix,
      timeout,
      slots,
    );
    try {
      await store.#probe(op);
    } catch (error) {
      store.#leave();
      throw error;
    }
    return store;
  }

  /**
   * Reads a slot.
   * @returns the number of bytes read: exactly the bytes that were written
   * @throws ENOENT for an empty slot; EIO also for an entry that was not written by this kind of store
   */
  async read(slot: number, into: Uint8Array): Promise<number> {
    const op = 'KeyvStore.read';
    this.#require(op, slot);
    requireRoom(op, into);
    const value = await this.#call(op, this.#keyOf(slot), (key) => this.#client.get(op, key));
    if (value === undefined) throw emptySlot(op, slot);
    const bytes = decode(op, value);
    copyOut(op, 'into', into, bytes);
    return bytes.length;
  }

  /**
   * Writes 1 … SLOT_BYTES bytes to a slot, in place of its old contents. The bytes are copied before the call returns.
   */
  async write(slot: number, bytes: Uint8Array): Promise<void> {
    const op = 'KeyvStore.write';
    this.#require(op, slot);
    requireContent(op, bytes);
    const text = toBase64(copyOf(op, 'bytes', bytes));
    await this.#call(op, this.#keyOf(slot), (key) => this.#client.set(op, key, text));
  }

  /** Frees a slot. @throws ENOENT for an empty slot */
  async free(slot: number): Promise<void> {
    const op = 'KeyvStore.free';
    this.#require(op, slot);
    if (!(await this.#call(op, this.#keyOf(slot), (key) => this.#client.delete(op, key)))) throw emptySlot(op, slot);
  }

  /** Waits for the calls under way, at most for the timeout. The entries and the connection stay. Idempotent. */
  async close(): Promise<void> {
    await within('KeyvStore.close', deadlineIn(this.#timeout), this.#leave(), () => {}).catch(() => {});
  }

  [ASYNC_DISPOSE](): Promise<void> {
    return this.close();
  }

  /** Refuses further calls. Settles after the calls under way. */
  #leave(): Promise<unknown> {
    this.#closed = true;
    // A call may still fail after its timeout. Its 'error' event needs a listener until then.
    return Promise.all(this.#underWay.values()).then(() => this.#client.leave());
  }

  #require(op: string, slot: number): void {
    if (this.#closed) throw closedStore(op);
    requireSlot(op, slot, this.#slots);
  }

  #keyOf(slot: number): string {
    return this.#prefix + String(slot).padStart(SLOT_DIGITS, '0');
  }

  /**
   * Makes a call on a key, after the previous call on that key, within the timeout. A call that times out while it
   * waits is not made. EIO.
   */
  #call<T>(
    op: string,
    key: string,
    call: (key: string) => Promise<T>,
    deadline = deadlineIn(this.#timeout),
  ): Promise<T> {
    let givenUp = false;
    const before = this.#underWay.get(key);
    const make = async (): Promise<T | undefined> => (givenUp ? undefined : call(key));
    const result = before === undefined ? call(key) : before.then(make);
    const end = (): void => {
      if (this.#underWay.get(key) === ended) this.#underWay.delete(key);
    };
    const ended = result.then(end, end);
    this.#underWay.set(key, ended);
    // After the timeout, nobody sees the result of the call.
    return within(op, deadline, result as Promise<T>, () => (givenUp = true));
  }

  async #probe(op: string): Promise<void> {
    const key = `${this.#prefix}probe-${crypto.getRandomValues(new Uint32Array(2)).join('-')}`;
    const text = toBase64(Uint8Array.from({ length: 256 }, (_, byte) => byte));
    const deadline = deadlineIn(this.#timeout);
    try {
      await this.#call(op, key, (name) => this.#client.set(op, name, text), deadline);
      const value = await this.#call(op, key, (name) => this.#client.get(op, name), deadline);
      if (value !== text) throw failed(op, `the store gave ${show(value)}, not the text that was written`);
      if (!(await this.#call(op, key, (name) => this.#client.delete(op, name), deadline)))
        throw failed(op, 'the store has lost an entry');
    } catch (error) {
      // If the entry is written later after all, it must be deleted. The caller does not wait for that.
      const late = this.#underWay.get(key);
      if (late !== undefined)
        this.#underWay.set(
          key,
          late.then(() => this.#client.delete(op, key)).catch(() => {}),
        );
      throw error;
    }
  }
}
