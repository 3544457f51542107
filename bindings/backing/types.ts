/** Backing stores: they hold the pages that leave the RAM. */
import { PAGE_SIZE, SLOT_HEADER_BYTES } from '../../assembly/abi.ts';

/** The most bytes of a slot: its header and one page. */
export const SLOT_BYTES = PAGE_SIZE + SLOT_HEADER_BYTES;

/** The result of a call in either mode. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * A store of slots of up to {@link SLOT_BYTES} bytes, numbered from 0.
 *
 * A front end decides which slot holds what, and checks what it reads (magic, slot, generation, CRC-32C). A call that
 * throws or rejects has failed, and only that call. A store does not have to understand the bytes. Calls on different
 * slots may overlap. The caller waits for a write or free of a slot before its next call on that slot. Reads may
 * overlap each other, and a later call on the slot need not wait for them. Then the result of the read does not matter.
 *
 * Errors of the stores in this package: ENOENT for reading or freeing an empty slot; EIO for a medium that fails, and
 * never ENOENT for a medium that cannot be reached; ENOSPC for a slot beyond `slots`, or a medium that is full; EINVAL
 * for a bad argument; ECLOSED after close. An 'async' store of this package rejects and never throws. A 'sync' store
 * never returns a promise.
 *
 * After a failed write, the contents of the slot are unknown: the old bytes, the new bytes, a mixture, or nothing. The
 * slot may be written again or freed. If that free gives ENOENT, the slot is empty.
 */
export interface BackingStore {
  /**
   * 'sync': the methods return at once. 'async': they return promises. A front end's asynchronous calls work with a
   * 'sync' store too.
   */
  readonly mode: 'sync' | 'async';
  /** Slots of the store: numbers 0 … slots - 1. Undefined means 2^32 - 1. */
  readonly slots?: number;
  /**
   * Reads a slot. ENOENT when it is empty.
   * @param into at least SLOT_BYTES bytes; after the call, the bytes behind those read are undefined
   * @returns the number of bytes read: at least as many as were written last. Undefined means that all of `into` was
   *   filled
   */
  read(slot: number, into: Uint8Array): MaybePromise<number | void>;
  /**
   * Writes a slot, in place of its old contents.
   * @param bytes 1 … SLOT_BYTES bytes; nobody changes them afterwards, so the store may keep them
   */
  write(slot: number, bytes: Uint8Array): MaybePromise<void>;
  /** Frees a slot: its contents are not needed any more. ENOENT when it is empty. */
  free(slot: number): MaybePromise<void>;
  /** Makes everything durable that was written before. */
  sync?(): MaybePromise<void>;
  /** Closes what the store has open, after the calls under way. Idempotent. */
  close(): MaybePromise<void>;
}
