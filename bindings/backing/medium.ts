/** Media: what volumes lie on. */
import { CompcacheError, show } from '../errors.ts';
import { wait, type Steps } from '../steps.ts';
import type { MaybePromise } from './types.ts';

/** Bytes that are read and written by position. Its methods fail with the errors of its host. */
export interface Medium {
  /** Bytes that there are; Infinity where that is not known. */
  size(): MaybePromise<number>;
  /** Gives it that many bytes, new ones as zeros. */
  resize(bytes: number): MaybePromise<void>;
  /** @returns bytes read, possibly fewer than there is room for; 0 at the end */
  readAt(into: Uint8Array, at: number): MaybePromise<number>;
  /** @returns bytes written, possibly fewer than there are */
  writeAt(bytes: Uint8Array, at: number): MaybePromise<number>;
  /** Returns when all that was written is durable. */
  flush(): MaybePromise<void>;
  close(): MaybePromise<void>;
}

const NO_ROOM = ['ENOSPC', 'EDQUOT', 'EFBIG', 'QuotaExceededError'];

/** A property of what was thrown, which may be anything; undefined where it is no text. */
export function textOf(error: unknown, property: 'code' | 'name' | 'message'): string | undefined {
  try {
    const text = (error as Record<string, unknown> | null | undefined)?.[property];
    return typeof text === 'string' ? text : undefined;
  } catch {
    return undefined;
  }
}

/** The error of ours for one of a medium: ENOSPC when it is full, EIO otherwise. */
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

/** One call of a medium. ENOSPC, EIO. */
export function* ask<T>(op: string, call: () => MaybePromise<T>): Steps<T> {
  try {
    return yield* wait(call());
  } catch (error) {
    throw failure(op, error);
  }
}

/** The bytes that a medium has. EIO where it does not say so. */
export function* sizeOf(op: string, medium: Medium): Steps<number> {
  const size = yield* ask(op, () => medium.size());
  if (!(typeof size === 'number' && size >= 0))
    throw new CompcacheError('EIO', op, `the medium says that it has ${show(size)} bytes`);
  return size;
}

/** Requires a count that a call on so many bytes can give. EIO. */
function requireCount(op: string, count: number, bytes: number): void {
  if (!(Number.isInteger(count) && count >= 0 && count <= bytes))
    throw new CompcacheError('EIO', op, `the medium says ${show(count)} of ${bytes} bytes`);
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

/** Fills `into`. EIO, also where the medium ends before. */
export function* readAll(op: string, medium: Medium, into: Uint8Array, at: number): Steps<void> {
  const count = yield* readUpTo(op, medium, into, at);
  if (count < into.length)
    throw new CompcacheError('EIO', op, `the medium ends at byte ${at + count}, within what should be read`);
}

/** Writes all of it, however short the single writes are. ENOSPC, EIO. */
export function* writeAll(op: string, medium: Medium, bytes: Uint8Array, at: number): Steps<void> {
  let done = 0;
  while (done < bytes.length) {
    const count = yield* ask(op, () => medium.writeAt(bytes.subarray(done), at + done));
    requireCount(op, count, bytes.length - done);
    if (count === 0) throw new CompcacheError('EIO', op, `the medium takes no byte at ${at + done}`);
    done += count;
  }
}
