/**
 * Calls of a backing store on behalf of a front end: one at a time or several at once, none of which may throw, hang or
 * lie about having been one.
 *
 * A call that takes longer than the timeout has failed as far as anybody waits for it, but it may still happen. Whoever made
 * it learns when it has ended (`late`), so that a slot is not given to another page while an old write may strike it. Such
 * calls go on counting as in flight, so their number stays bounded whatever the store does.
 *
 * The store is foreign code, and so is all that it gives or throws: a getter, a Proxy, a thenable that answers twice. Each is
 * looked at once, in here, before the call has ended for its caller. So nothing foreign runs between the end of a call and
 * what its caller makes of it.
 */
import { ownMethods } from '../../backing/own.ts';
import type { BackingStore } from '../../backing/types.ts';
import { lengthOf } from '../../bytes.ts';
import { CompcacheError, isU32, show } from '../../errors.ts';
import { inside } from '../../nested.ts';
import { wait, type Steps } from '../../steps.ts';

/**
 * How a call ended: with a value, or with a failure and, after a timeout, a promise of its real end. `notFound`: the store
 * says that the slot holds nothing.
 */
export type Outcome<T> = { value: T } | Failure;
type Failure = { failure: CompcacheError; notFound?: boolean; late?: Promise<void> };

const nothing = (): void => undefined;

export class StoreIo {
  readonly store: BackingStore;
  readonly isSync: boolean;
  readonly maxInFlight: number;
  readonly #timeout: number;
  /** Called when a call has ended or hangs, before those that wait go on. */
  readonly #changed: () => void;
  #inFlight = 0;
  /** Synchronous calls on the stack. */
  #depth = 0;
  #hung = 0;
  readonly #own: ReturnType<typeof ownMethods>;
  #waiting: { resolve: () => void; reject: (error: CompcacheError) => void }[] = [];

  /** @param isSync whether its mode was 'sync' when it was checked */
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
    this.#own = isSync ? ownMethods(store) : undefined;
  }

  /** Whether a call of that method has no use for its array when it returns: it may be memory of ours. It returns at once. */
  lends(method: 'read' | 'write'): boolean {
    return this.#own !== undefined && this.store[method] === this.#own[method];
  }

  /** Calls under way, hung ones included. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether the store is at work: calls are under way, or it calls back from one. */
  get isAtWork(): boolean {
    return this.#inFlight + this.#depth !== 0;
  }

  /** Whether one more may be made now. */
  get hasRoom(): boolean {
    return this.#inFlight < this.maxInFlight;
  }

  /** Whether no more can be made until one that hangs has ended. */
  get allHang(): boolean {
    return this.#hung >= this.maxInFlight;
  }

  /** Waits for a call to end. Then others may have been first: ask hasRoom again. @throws EIO when all of them hang */
  async room(op: string): Promise<void> {
    if (this.allHang) throw this.#allHang(op);
    await new Promise<void>((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Waits until no call is under way but those that hang. */
  async idle(): Promise<void> {
    while (this.#inFlight > this.#hung)
      await new Promise<void>((resolve) => this.#waiting.push({ resolve, reject: () => resolve() }));
  }

  /** Waits until no call is under way at all, those that hang included. */
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
        failure: new CompcacheError('EIO', op, "the backing store's mode is 'sync', but it gave a Promise"),
        late,
      };
    } catch (cause) {
      return failed(op, cause);
    } finally {
      this.#depth -= 1;
    }
  }

  // ── any store ──────────────────────────────────────────────────────────────

  /** Calls a store and waits, at most as long as the timeout. The call is made before this returns. */
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

  /** Calls a store, and waits for it where it is asynchronous. The call is made at once. */
  *answer<T>(op: string, call: () => T | Promise<T>): Steps<Outcome<T>> {
    return this.isSync ? this.now(op, call) : ((yield this.soon(op, call)) as Outcome<T>);
  }

  /** Waits until one more call may be made. @throws EIO when all of them hang */
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

/** A call made now, and its answer or throw as a promise of ours, whose `then` is the engine's. */
function settled<T>(call: () => T | Promise<T>): Promise<T> {
  return new Promise((resolve) => resolve(call()));
}

function isThenable(value: unknown): value is Promise<never> {
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function';
  return isObject && typeof (value as { then?: unknown }).then === 'function';
}

/** The failure of a store: ENOSPC stays what it is, all else is EIO. */
function failed(op: string, cause: unknown): Failure {
  const { code, message } = look(cause);
  if (code === 'ENOSPC') return { failure: new CompcacheError('ENOSPC', op, 'the backing store is full', { cause }) };
  return {
    failure: new CompcacheError('EIO', op, `the backing store failed: ${message}`, { cause }),
    notFound: code === 'ENOENT',
  };
}

/** Code and message of what was thrown. It may be anything, and may throw itself when it is looked at. */
function look(thrown: unknown): { code?: unknown; message: string } {
  if (typeof thrown === 'object' && thrown !== null) {
    try {
      const { code, message } = thrown as { code?: unknown; message?: unknown };
      return { code, message: typeof message === 'string' ? message : show(thrown) };
    } catch {
      // It cannot be read: then it says nothing.
    }
  }
  return { message: show(thrown) };
}

/**
 * Bytes that a read has brought: what `into` takes when the store does not say. Or its failure; taking `into` away is one.
 * The store had `into`, so only its real length counts.
 */
export function bytesRead(op: string, outcome: Outcome<unknown>, into: Uint8Array): number | CompcacheError {
  if ('failure' in outcome) return outcome.failure;
  const length = lengthOf(into);
  if (length === 0)
    return new CompcacheError('EIO', op, 'the backing store has detached the buffer that it was to read into');
  return isU32(outcome.value) ? Math.min(outcome.value, length) : length;
}
