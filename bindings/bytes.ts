/**
 * The only functions that read or write a caller's bytes.
 *
 * A caller's array is not trusted, even after a check. It may have its own `subarray`, `length` or species. Its buffer
 * may be detached or shrink in the next callback. Another thread may grow a shared buffer between two statements. So
 * buffer, offset and length are read by the engine's own getters, and no method of the array is called. A copy goes to
 * or from one of our views, so either exactly the checked bytes are copied, or none.
 *
 *   requireBytes     requires a Uint8Array that can be read
 *   lengthOf         its real length
 *   viewOf           a plain view of its memory, with its present length; for work in several steps
 *   requireUnshrunk  requires that such a view still has its length; called after foreign code and after each wait
 *   copyOf           its bytes in our own memory, which foreign code may get
 *   copyIn           copies its bytes into one of our views
 *   copyOut          copies our bytes into it
 *
 * The contents of shared memory may still change during a copy. They are copied once, and only the copy is used.
 */
import { CompcacheError, show } from './errors.ts';

const TYPED_ARRAY = Object.getPrototypeOf(Uint8Array.prototype) as object;

function getter<T>(of: object, name: string | symbol): () => T {
  return Object.getOwnPropertyDescriptor(of, name)?.get as () => T;
}

const TAG = getter<string | undefined>(TYPED_ARRAY, Symbol.toStringTag);
const BUFFER = getter<ArrayBufferLike>(TYPED_ARRAY, 'buffer');
const OFFSET = getter<number>(TYPED_ARRAY, 'byteOffset');
const LENGTH = getter<number>(TYPED_ARRAY, 'length');
const UNSHARED_LENGTH = getter<number>(ArrayBuffer.prototype, 'byteLength');
const SET = Uint8Array.prototype.set;
const NOTHING = new Uint8Array(0);

/** The real length of an array that passed requireBytes, whatever its own `length` says. */
export function lengthOf(bytes: Uint8Array): number {
  return LENGTH.call(bytes);
}

/**
 * Requires bytes that can be read: a Uint8Array (a Buffer is one) of any realm. EINVAL for anything else, and for a
 * view of a detached buffer. A view of shared memory is allowed: its bytes are copied.
 */
export function requireBytes(op: string, what: string, value: unknown): asserts value is Uint8Array {
  if (TAG.call(value) !== 'Uint8Array')
    throw new CompcacheError('EINVAL', op, `${what} must be a Uint8Array, not ${show(value)}`, {
      detail: { argument: what },
    });
  if (LENGTH.call(value) === 0 && isDetached(value as Uint8Array)) {
    throw new CompcacheError('EINVAL', op, `${what} is a view of a detached buffer, or lies outside a resized one`, {
      detail: { argument: what },
    });
  }
}

/** True for a view of a detached buffer: only such a view cannot be copied. */
function isDetached(view: Uint8Array): boolean {
  try {
    NOTHING.set(view);
    return false;
  } catch {
    return true;
  }
}

/** A plain view of the caller's memory, with the array's present length. EINVAL. */
export function viewOf(op: string, what: string, value: unknown): Uint8Array {
  requireBytes(op, what, value);
  return new Uint8Array(BUFFER.call(value), OFFSET.call(value), LENGTH.call(value));
}

/** The first `length` bytes of a caller's array, as a view. The array itself when it has exactly that length. */
export function firstOf(bytes: Uint8Array, length: number): Uint8Array {
  return LENGTH.call(bytes) === length ? bytes : new Uint8Array(BUFFER.call(bytes), OFFSET.call(bytes), length);
}

/**
 * Requires that a view or a caller's array still has its length. Its buffer may have shrunk, or been detached. EINVAL.
 */
export function requireUnshrunk(op: string, what: string, view: Uint8Array, length: number): void {
  if (LENGTH.call(view) !== length) throw shrunk(op, what);
}

/** A copy of the bytes in our own memory. EINVAL. */
export function copyOf(op: string, what: string, value: unknown): Uint8Array<ArrayBuffer> {
  requireBytes(op, what, value);
  const copy = new Uint8Array(LENGTH.call(value));
  copyIn(op, what, copy, value);
  return copy;
}

/** Copies a caller's bytes to the start of one of our views. Copies nothing when they do not fit. EINVAL. */
export function copyIn(op: string, what: string, target: Uint8Array, bytes: Uint8Array): void {
  try {
    target.set(bytes);
  } catch (cause) {
    throw shrunk(op, what, { cause });
  }
}

/** Copies our bytes into a caller's array, from `at` on. Copies nothing when they do not fit. EINVAL. */
export function copyOut(op: string, what: string, into: Uint8Array, bytes: Uint8Array, at = 0): void {
  try {
    SET.call(into, bytes, at);
  } catch (cause) {
    throw shrunk(op, what, { cause });
  }
}

/**
 * True when the memory of an array is shared. Other threads may change shared memory between two reads. A web page
 * without isolation has shared WebAssembly memory too, but no SharedArrayBuffer to compare with.
 */
export function isShared(bytes: Uint8Array): boolean {
  try {
    UNSHARED_LENGTH.call(BUFFER.call(bytes));
    return false;
  } catch {
    return true;
  }
}

function shrunk(op: string, what: string, options?: { cause: unknown }): CompcacheError {
  return new CompcacheError('EINVAL', op, `${what} has changed its length, or was detached, during the call`, options);
}
