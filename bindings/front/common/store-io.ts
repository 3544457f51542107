/**
 * Calls of a backing store for a front end, with a limit of calls at a time and a timeout.
 *
 * A call that takes longer than the timeout has failed for its caller, but it may still take effect. The caller gets a
 * promise of its real end (`late`), so that the slot is not used for another page before. Such a call hangs. It still
 * counts as in flight, so the number of calls is limited whatever the store does.
 *
 * The store is foreign code, and so is everything that it returns or throws: it may be a getter, a Proxy, or a thenable
 * that answers twice. All of this is read here once, before the call ends for its caller. So no foreign code runs
 * between the end of a call and the code that uses its result.
 */
import { isUnchanged, methodsOfClass } from '../../backing/own.ts';
import type { BackingStore, MaybePromise } from '../../backing/types.ts';
import { lengthOf } from '../../bytes.ts';
import { CompcacheError, isU32, show } from '../../errors.ts';
import { inside } from '../../nested.ts';
import { wait, type Steps } from '../../steps.ts';

/**
 * How a call ended: with a value or with a failure. After a timeout, `late` is a promise of its real end. `notFound`:
 * the store says that the slot holds nothing.
 */
export type Outcome<T> = { value: T } | Failure;
type Failure = { failure: CompcacheError; notFound?: boolean; late?: Promise<void> };

const nothing = (): void => undefined;

export class StoreIo {
  readonly store: BackingStore;
  readonly isSync: boolean;
  readonly maxInFlight: number;
  readonly #timeout: number;
  /** Called when a call has ended or hangs, before waiting calls go on. */
  readonly #changed: () => void;
  #inFlight = 0;
  /** Synchronous calls that are running, one inside the other. */
  #depth = 0;
  #hung = 0;
  /** The methods of its class, for a synchronous store of this package. */
  readonly #methods: ReturnType<typeof methodsOfClass>;
  #waiting: { resolve: () => void; reject: (error: CompcacheError) => void }[] = [];

  /** @param isSync true when its mode was 'sync' at the time of the check */
  constructor(
    store: BackingStore,
    maxInFlight: number,
    timeout: number,
    changed: () => void,
    isSync = store.mode === 'sync',
  ) {
    this.store = store;
    this.isSync = isSync;
    this.maxInFlight = maxInFlight;
    this.#timeout = timeout;
    this.#changed = changed;
    this.#methods = isSync ? methodsOfClass(store) : undefined;
  }

  /**
   * True when this method of the store returns at once and does not use its array afterwards. Then the array may be a
   * buffer of ours, and the call must be made with `isOurs`. Runs no code of the caller.
   */
  keepsNoBuffer(method: 'read' | 'write'): boolean {
    return this.#methods !== undefined && isUnchanged(this.store, method, this.#methods[method]);
  }

  /**
   * Calls the store's read, inside now, soon or answer.
   * @param isOurs the array is a buffer of ours: keepsNoBuffer was true. The method is then that of the class, whatever
   *   the store has now
   */
  read(slot: number, into: Uint8Array, isOurs: boolean): MaybePromise<number | void> {
    return isOurs && this.#methods !== undefined
      ? this.#methods.read.call(this.store, slot, into)
      : this.store.read(slot, into);
  }

  /** Calls the store's write, as read. */
  write(slot: number, bytes: Uint8Array, isOurs: boolean): MaybePromise<void> {
    return isOurs && this.#methods !== undefined
      ? this.#methods.write.call(this.store, slot, bytes)
      : this.store.write(slot, bytes);
  }

  /** Calls under way, with those that hang. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** True while a call of the store is under way, or the store calls back. */
  get isAtWork(): boolean {
    return this.#inFlight + this.#depth !== 0;
  }

  /** True when one more call may be made now. */
  get hasRoom(): boolean {
    return this.#inFlight < this.maxInFlight;
  }

  /** True when no call can be made until one that hangs has ended. */
  get allHang(): boolean {
    return this.#hung >= this.maxInFlight;
  }

  /**
   * Waits for a call to end. Other waiting calls may take its place first, so test hasRoom again.
   * @throws EIO when all calls hang
   */
  async room(op: string): Promise<void> {
    if (this.allHang) throw this.#allHang(op);
    await new Promise<void>((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Waits until no call is under way except those that hang. */
  async idle(): Promise<void> {
    while (this.#inFlight > this.#hung)
      await new Promise<void>((resolve) => this.#waiting.push({ resolve, reject: () => resolve() }));
  }

  /** Waits until no call is under way, not even one that hangs. */
  async ended(): Promise<void> {
    while (this.#inFlight !== 0)
      await new Promise<void>((resolve) => this.#waiting.push({ resolve, reject: () => resolve() }));
  }

  #allHang(op: string): CompcacheError {
    return new CompcacheError('EIO', op, `all ${this.maxInFlight} calls of the backing store hang`);
  }

  #wake(): void {
    this.#changed();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve } of waiting) resolve();
  }

  // ── synchronous stores ─────────────────────────────────────────────────────

  /** Calls a synchronous store. */
  now<T>(op: string, call: () => T | Promise<T>): Outcome<T> {
    this.#depth += 1;
    try {
      const value = inside(op, call);
      if (!isThenable(value)) return { value: value as T };
      const late = settled(() => value).then(nothing, nothing);
      return {
        failure: new CompcacheError('EIO', op, "the backing store's mode is 'sync', but it returned a Promise"),
        late,
      };
    } catch (cause) {
      return failed(op, cause);
    } finally {
      this.#depth -= 1;
    }
  }

  // ── any store ──────────────────────────────────────────────────────────────

  /** Calls a store and waits for it, up to the timeout. The call is made before this function returns. */
  async soon<T>(op: string, call: () => T | Promise<T>): Promise<Outcome<T>> {
    if (this.isSync) return this.now(op, call);
    this.#inFlight += 1;
    const made = settled(() => inside(op, call));
    const outcome = await this.#limited(op, made);
    if ('value' in outcome || outcome.late === undefined) {
      this.#inFlight -= 1;
    } else {
      this.#hung += 1;
      if (this.allHang) this.#giveUp(op);
      void outcome.late.then(() => {
        this.#inFlight -= 1;
        this.#hung -= 1;
        this.#wake();
      });
    }
    this.#wake();
    return outcome;
  }

  // ── in a body of steps ─────────────────────────────────────────────────────

  /** Calls a store, and waits if it is asynchronous. The call is made at once. */
  *answer<T>(op: string, call: () => T | Promise<T>): Steps<Outcome<T>> {
    return this.isSync ? this.now(op, call) : ((yield this.soon(op, call)) as Outcome<T>);
  }

  /** Waits until one more call may be made. @throws EIO when all calls hang */
  *untilRoom(op: string): Steps<void> {
    while (!this.hasRoom) yield* wait(this.room(op));
  }

  #giveUp(op: string): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(this.#allHang(op));
  }

  #limited<T>(op: string, made: Promise<T>): Promise<Outcome<T>> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        const failure = new CompcacheError('EIO', op, `the backing store did not answer within ${this.#timeout} ms`);
        resolve({ failure, late: made.then(nothing, nothing) });
      }, this.#timeout);
      made.then(
        (value) => {
          clearTimeout(timer);
          resolve({ value });
        },
        (cause: unknown) => {
          clearTimeout(timer);
          resolve(failed(op, cause));
        },
      );
    });
  }
}

/** Makes a call. Its result or error becomes a native promise. */
function settled<T>(call: () => T | Promise<T>): Promise<T> {
  return new Promise((resolve) => resolve(call()));
}

function isThenable(value: unknown): value is Promise<never> {
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function';
  return isObject && typeof (value as { then?: unknown }).then === 'function';
}

/** The failure of a store: ENOSPC stays, everything else becomes EIO. */
function failed(op: string, cause: unknown): Failure {
  const { code, message } = look(cause);
  if (code === 'ENOSPC') return { failure: new CompcacheError('ENOSPC', op, 'the backing store is full', { cause }) };
  return {
    failure: new CompcacheError('EIO', op, `the backing store failed: ${message}`, { cause }),
    notFound: code === 'ENOENT',
  };
}

/** Code and message of what was thrown. It may be any value, and reading it may throw again. */
function look(thrown: unknown): { code?: unknown; message: string } {
  if (typeof thrown === 'object' && thrown !== null) {
    try {
      const { code, message } = thrown as { code?: unknown; message?: unknown };
      return { code, message: typeof message === 'string' ? message : show(thrown) };
    } catch {
      // It cannot be read, so it has no code.
    }
  }
  return { message: show(thrown) };
}

/**
 * How many bytes a read gave: all of `into` if the store does not say. Or the failure of the read. It is also a failure
 * when the store has detached `into`. The store had `into`, so its real length is taken.
 */
export function bytesRead(op: string, outcome: Outcome<unknown>, into: Uint8Array): number | CompcacheError {
  if ('failure' in outcome) return outcome.failure;
  const length = lengthOf(into);
  if (length === 0)
    return new CompcacheError('EIO', op, 'the backing store has detached the buffer that it was to read into');
  return isU32(outcome.value) ? Math.min(outcome.value, length) : length;
}
