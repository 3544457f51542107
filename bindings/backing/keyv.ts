/// <reference lib="esnext.disposable" preserve="true" />
/**
 * `compcache/backing/keyv`: a backing store in any Keyv instance or adapter (Redis, Valkey, SQLite, …), or a Map.
 *
 * Bytes go as base64 text, the one form that every way through Keyv 5.6 and 6.1 keeps. Measured with 5.6, with a Map and with Redis 7 behind it:
 *
 *                                   Uint8Array            Buffer                      base64 text
 *     Map, default serializer       {"0":0,"1":255,…}     kept (it becomes base64)    kept
 *     Map, no serializer            kept                  kept                        kept
 *     Redis, default serializer     {"0":0,"1":255,…}     kept (it becomes base64)    kept
 *     Redis, no serializer          refused: the adapter emits 'error', `set` is true and `get` undefined
 *     Redis adapter without Keyv    decoded as UTF-8      decoded as UTF-8            kept
 *
 * Keyv hides failures. What this file relies on, read in the source of keyv 5.6.0, keyv 6.1.0 and @keyv/redis 5.1.6:
 * - In 5, `get` answers undefined when the adapter throws, and says nothing. `getRaw` has no such catch: it throws. An instance
 *   without `getRaw` (before 5.5) throws if `throwOnErrors` is set; without either it is refused.
 * - In 6, both answer undefined when the adapter throws, after the instance has emitted 'error', which nothing can turn off.
 * - `set` answers false when the adapter throws, `delete` answers false, as it does for a key that is not there.
 * - The Redis adapter, unless told to throw, answers undefined (`get`, `set`) or false (`delete`) when a command fails, and emits
 *   'error' before it answers. So a call during which the instance or the adapter emitted 'error' has failed, unless it brought
 *   the value itself. An error of another call, or of a reconnection, may then fail this one as well: EIO too often, but never
 *   ENOENT for a slot that could not be asked for.
 * - `delete` is false for a key that is not there: whether it is not there is asked with a read.
 * - `set(key, value, 0)` of an instance means no expiry, whatever `ttl` it has.
 *
 * Slots have ten digits in a key, so that no prefix and slot make the key of another prefix and slot ('c:' and 'c:1').
 *
 * A Redis client keeps commands while it has no connection, and sends them when it has one again: a call that has taken longer
 * than `timeout` is EIO but may still happen. So the next call on that slot waits until the one before has ended, within its own
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

/** What is needed of a Keyv instance, an adapter of one, or a Map. */
export interface KeyvLike {
  get(key: string): unknown;
  set(key: string, value: string, ttl?: number): unknown;
  delete(key: string): unknown;
}

export interface KeyvStoreOptions {
  /** What the keys begin with; the slot's number follows, ten digits. 'compcache:' unless given. */
  prefix?: string;
  /** Slots that exist, 1 … 2^32 - 1; without it 2^32 - 1. */
  slots?: number;
  /** Milliseconds, at least 1, after which a call is EIO, open too; 10000 unless given. */
  timeout?: number;
}

const OPTIONS: readonly (keyof KeyvStoreOptions)[] = ['prefix', 'slots', 'timeout'];
const DEFAULT_PREFIX = 'compcache:';
const DEFAULT_TIMEOUT = 10_000;
const MOST_TIMEOUT = 0x7fffffff;
const SLOT_DIGITS = 10;
const MOST_TEXT = 4 * Math.ceil(SLOT_BYTES / 3);

/** In place of an answer that is an object. */
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

/** Whether an instance answers undefined, and says nothing, when its adapter throws. */
function hidesFailures(keyv: KeyvLike): boolean {
  return isInstance(keyv) && keyv.getRaw === undefined && keyv.throwOnErrors !== true;
}

/** What a look at a caller's object gives. EINVAL where it does not let itself be looked at. */
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
  // A store that keeps keys as UTF-8 takes all lone surrogates for the same character.
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

/** The error of a store that does not do what it is asked. ENOSPC for a Redis that is out of memory, EIO otherwise. */
function failed(op: string, message: string, cause?: unknown): CompcacheError {
  const full = textOf(cause, 'message')?.startsWith('OOM ') ?? false;
  return new CompcacheError(full ? 'ENOSPC' : 'EIO', op, message, cause === undefined ? undefined : { cause });
}

/** A Keyv whose failures are EIO. */
class Client {
  readonly #keyv: KeyvLike;
  readonly #isInstance: boolean;
  readonly #emitters: Emitter[];
  #errors = 0;
  #lastError: unknown;
  // One function, so that it can be taken off again.
  readonly #listen = (error: unknown): void => {
    this.#errors++;
    this.#lastError = error;
  };

  /** It throws what the caller's object throws. What `on` and `off` promise, if anything, may be rejected: isPromise minds that. */
  constructor(keyv: KeyvLike) {
    this.#keyv = keyv;
    this.#isInstance = isInstance(keyv);
    const all = isInstance(keyv) ? [keyv, keyv.store] : [keyv];
    this.#emitters = all.filter((value) => hasMethods(value, 'on')) as Emitter[];
    for (const emitter of this.#emitters) isPromise(emitter.on('error', this.#listen));
  }

  /** @returns the value of a key, undefined when it has none */
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

  /** @returns whether there was such a key */
  async delete(op: string, key: string): Promise<boolean> {
    const before = this.#errors;
    const done = await this.#ask(op, () => this.#keyv.delete(key));
    this.#requireQuiet(op, before);
    if (done !== false) return true;
    if ((await this.get(op, key)) !== undefined) throw failed(op, 'the store has not deleted it');
    return false;
  }

  /** Listens no more. */
  leave(): void {
    for (const emitter of this.#emitters) {
      try {
        isPromise(emitter.off?.('error', this.#listen));
      } catch {
        continue; // an emitter that fails here goes on telling us, and nobody listens
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
      // No answer of use is an object, and to pass one on by a promise would ask it for its `then` once more.
      return (typeof answer === 'object' && answer !== null) || typeof answer === 'function' ? NO_TEXT : answer;
    } catch (error) {
      throw failed(op, `the store failed: ${show(textOf(error, 'message') ?? error)}`, error);
    }
  }

  #requireQuiet(op: string, before: number): void {
    if (this.#errors !== before) throw failed(op, 'the store had an error', this.#lastError);
  }
}

/** Until when a call must have an answer. */
interface Deadline {
  /** Milliseconds from the beginning, for the message. */
  timeout: number;
  /** By performance.now. */
  end: number;
}

function deadlineIn(timeout: number): Deadline {
  return { timeout, end: performance.now() + timeout };
}

/** Settles as the call does, or with EIO at the deadline; then it says that it gives up. */
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
 * Slots as entries of a key-value store. The connection stays its opener's: close() does not end it, and ends our listening to
 * its 'error' events, which Keyv 6 throws where nobody listens.
 *
 * Errors of every method: EINVAL for a bad argument, ENOSPC for a slot beyond `slots` or a Redis that is out of memory, EIO for
 * a store that fails or does not answer in time, ECLOSED after close.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class KeyvStore implements BackingStore {
  readonly mode = 'async';
  /** Slots that exist; 2^32 - 1 where undefined. */
  readonly slots?: number;
  readonly #client: Client;
  readonly #slots: number | undefined;
  readonly #prefix: string;
  readonly #timeout: number;
  /** The last call on a key that has one under way; never rejects. */
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
   * Opens a store: writes an entry, reads it, and deletes it, so that a dead store or one that mangles text is noticed now. All
   * of that takes at most the timeout.
   * @throws EINVAL for bad options, or an instance whose failures cannot be told; ENOSPC for a Redis that is out of memory; EIO
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
   * @returns the bytes read, exactly those written
   * @throws ENOENT for a slot that holds nothing; EIO also for an entry that no store of this kind has written
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

  /** Writes 1 … SLOT_BYTES bytes, in place of what the slot held. They are copied before it returns its promise. */
  async write(slot: number, bytes: Uint8Array): Promise<void> {
    const op = 'KeyvStore.write';
    this.#require(op, slot);
    requireContent(op, bytes);
    const text = toBase64(copyOf(op, 'bytes', bytes));
    await this.#call(op, this.#keyOf(slot), (key) => this.#client.set(op, key, text));
  }

  /** @throws ENOENT for a slot that holds nothing */
  async free(slot: number): Promise<void> {
    const op = 'KeyvStore.free';
    this.#require(op, slot);
    if (!(await this.#call(op, this.#keyOf(slot), (key) => this.#client.delete(op, key)))) throw emptySlot(op, slot);
  }

  /** Waits for the calls under way, at most the timeout. The entries stay, and so does the connection. Idempotent. */
  async close(): Promise<void> {
    await within('KeyvStore.close', deadlineIn(this.#timeout), this.#leave(), () => {}).catch(() => {});
  }

  [ASYNC_DISPOSE](): Promise<void> {
    return this.close();
  }

  /** Lets no further calls in, and settles when those under way have. */
  #leave(): Promise<unknown> {
    this.#closed = true;
    // A call may still fail after its timeout: its 'error' event needs a listener until then.
    return Promise.all(this.#underWay.values()).then(() => this.#client.leave());
  }

  #require(op: string, slot: number): void {
    if (this.#closed) throw closedStore(op);
    requireSlot(op, slot, this.#slots);
  }

  #keyOf(slot: number): string {
    return this.#prefix + String(slot).padStart(SLOT_DIGITS, '0');
  }

  /** One call on a key, after the one before it, within the timeout. One that is given up while it waits is not made. EIO. */
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
    // What a call that was given up ends with is seen by nobody.
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
      // An entry that is written after all must not stay. Only the listener waits for that, not the caller.
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
