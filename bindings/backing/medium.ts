/** Media: volumes store their bytes on them. */
import { CompcacheError, show } from '../errors.ts';
import { wait, type Steps } from '../steps.ts';
import type { MaybePromise } from './types.ts';

/** Bytes that are read and written by position. The methods fail with the host's own errors. */
export interface Medium {
  /** The size in bytes. Infinity when it is not known. */
  size(): MaybePromise<number>;
  /** Sets the size. New bytes are zeros. */
  resize(bytes: number): MaybePromise<void>;
  /** @returns the number of bytes read, which may be fewer than asked for; 0 at the end */
  readAt(into: Uint8Array, at: number): MaybePromise<number>;
  /** @returns the number of bytes written, which may be fewer than given */
  writeAt(bytes: Uint8Array, at: number): MaybePromise<number>;
  /** Returns when everything that was written is durable. */
  flush(): MaybePromise<void>;
  close(): MaybePromise<void>;
}

const NO_ROOM = ['ENOSPC', 'EDQUOT', 'EFBIG', 'QuotaExceededError'];

/** A property of a thrown value, which may be anything. Undefined when it is not a string. */
export function textOf(error: unknown, property: 'code' | 'name' | 'message'): string | undefined {
  try {
    const text = (error as Record<string, unknown> | null | undefined)?.[property];
    return typeof text === 'string' ? text : undefined;
  } catch {
    return undefined;
  }
}

/** Our error for an error of a medium: ENOSPC when the medium is full, EIO otherwise. */
export function failure(op: string, error: unknown): CompcacheError {
  if (CompcacheError.made(error)) return error;
  const full = [textOf(error, 'code'), textOf(error, 'name')].some(
    (word) => word !== undefined && NO_ROOM.includes(word),
  );
  return new CompcacheError(
    full ? 'ENOSPC' : 'EIO',
    op,
    full ? 'the medium is full' : `the medium failed: ${textOf(error, 'message') ?? show(error)}`,
    { cause: error },
  );
}

/** Makes one call of a medium. ENOSPC, EIO. */
export function* ask<T>(op: string, call: () => MaybePromise<T>): Steps<T> {
  try {
    return yield* wait(call());
  } catch (error) {
    throw failure(op, error);
  }
}

/** The size of a medium in bytes. EIO when the medium gives no valid size. */
export function* sizeOf(op: string, medium: Medium): Steps<number> {
  const size = yield* ask(op, () => medium.size());
  if (!(typeof size === 'number' && size >= 0))
    throw new CompcacheError('EIO', op, `the medium says that it has ${show(size)} bytes`);
  return size;
}

/** Checks the byte count that a call returned: a whole number from 0 to `bytes`. EIO. */
function requireCount(op: string, count: number, bytes: number): void {
  if (!(Number.isInteger(count) && count >= 0 && count <= bytes))
    throw new CompcacheError('EIO', op, `the medium reports ${show(count)} bytes done of ${bytes}`);
}

/** Reads until `into` is full or the medium ends. EIO. @returns bytes read */
export function* readUpTo(op: string, medium: Medium, into: Uint8Array, at: number): Steps<number> {
  let done = 0;
  while (done < into.length) {
    const count = yield* ask(op, () => medium.readAt(into.subarray(done), at + done));
    requireCount(op, count, into.length - done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** Fills `into`. EIO, also when the medium ends too early. */
export function* readAll(op: string, medium: Medium, into: Uint8Array, at: number): Steps<void> {
  const count = yield* readUpTo(op, medium, into, at);
  if (count < into.length)
    throw new CompcacheError('EIO', op, `the medium ends at byte ${at + count}, before the end of the read`);
}

/** Writes all bytes, with as many calls as the medium needs. ENOSPC, EIO. */
export function* writeAll(op: string, medium: Medium, bytes: Uint8Array, at: number): Steps<void> {
  let done = 0;
  while (done < bytes.length) {
    const count = yield* ask(op, () => medium.writeAt(bytes.subarray(done), at + done));
    requireCount(op, count, bytes.length - done);
    if (count === 0) throw new CompcacheError('EIO', op, `the medium takes no byte at ${at + done}`);
    done += count;
  }
}
