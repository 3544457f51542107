/**
 * The one way in, and out, for bytes of a caller.
 *
 * A caller's array is not trusted after it was checked. It may have a `subarray`, a `length` or a species of its own, its
 * buffer may be detached or shrink in the next callback, and another thread may let a shared one grow between two statements.
 * So buffer, offset and length are read by the getters of the engine, no method of the array is called, and a copy is bounded
 * by a view of ours: either exactly the bytes that were checked are copied, or none.
 *
 *   requireBytes   is it a Uint8Array that can be read?   lengthOf   its real length
 *   viewOf         a plain view of ours on its memory, of the length that it has now; for work that is done in parts
 *   requireUnshrunk  whether such a view still has its length: asked after each call of foreign code, and after each wait
 *   copyOf         its bytes in memory of ours, which foreign code may have
 *   copyIn         its bytes into a view of ours        copyOut   bytes of ours into it
 *
 * What it cannot do: the contents of shared memory may change while they are copied. They are copied once, and only the copy
 * is looked at.
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

/** The real length of an array that requireBytes has let through, whatever properties it was given. */
export function lengthOf(bytes: Uint8Array): number {
  return LENGTH.call(bytes);
}

/**
 * Requires bytes that can be read: a Uint8Array (a Buffer is one) of any realm. EINVAL otherwise, for a view of a detached
 * buffer too. Views of shared memory are allowed: their bytes are copied.
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

/** Only such a view refuses to be copied from. */
function isDetached(view: Uint8Array): boolean {
  try {
    NOTHING.set(view);
    return false;
  } catch {
    return true;
  }
}

/** A plain view on the same memory, of the length that the caller's array has now. EINVAL. */
export function viewOf(op: string, what: string, value: unknown): Uint8Array {
  requireBytes(op, what, value);
  return new Uint8Array(BUFFER.call(value), OFFSET.call(value), LENGTH.call(value));
}

/** The first `length` bytes of a caller's array, which has as many, as a view: the array itself when those are all. */
export function firstOf(bytes: Uint8Array, length: number): Uint8Array {
  return LENGTH.call(bytes) === length ? bytes : new Uint8Array(BUFFER.call(bytes), OFFSET.call(bytes), length);
}

/** Requires that a view of viewOf, or a caller's array, has the length that it had: its buffer may have shrunk, or been detached, meanwhile. EINVAL. */
export function requireUnshrunk(op: string, what: string, view: Uint8Array, length: number): void {
  if (LENGTH.call(view) !== length) throw shrunk(op, what);
}

/** The bytes in memory of ours. EINVAL. */
export function copyOf(op: string, what: string, value: unknown): Uint8Array<ArrayBuffer> {
  requireBytes(op, what, value);
  const copy = new Uint8Array(LENGTH.call(value));
  copyIn(op, what, copy, value);
  return copy;
}

/** Copies a caller's bytes to the start of a view of ours. Nothing is copied when they are more than it holds. EINVAL. */
export function copyIn(op: string, what: string, target: Uint8Array, bytes: Uint8Array): void {
  try {
    target.set(bytes);
  } catch (cause) {
    throw shrunk(op, what, { cause });
  }
}

/** Copies bytes of ours into a caller's array, from `at`. Nothing is copied when it does not hold them. EINVAL. */
export function copyOut(op: string, what: string, into: Uint8Array, bytes: Uint8Array, at = 0): void {
  try {
    SET.call(into, bytes, at);
  } catch (cause) {
    throw shrunk(op, what, { cause });
  }
}

/**
 * Whether the memory of an array is shared with other threads, which may change it between two looks at it. Pages that are not
 * isolated have shared memory of WebAssembly, too, though they have no SharedArrayBuffer to ask.
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
