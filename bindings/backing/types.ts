/** Backing stores: where pages go that leave the RAM. */
import { PAGE_SIZE, SLOT_HEADER_BYTES } from '../../assembly/abi.ts';

/** The most bytes of a slot: its header and one page. */
export const SLOT_BYTES = PAGE_SIZE + SLOT_HEADER_BYTES;

/** What a call of either mode returns. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * A store of slots of up to {@link SLOT_BYTES} bytes, numbered from 0.
 *
 * Front ends decide which slot holds what, check what they read (magic, slot, generation, CRC-32C), and treat a throw or a
 * rejection as a failure of that one call. A store need not know what the bytes are. Calls on different slots may overlap.
 * A caller waits for a write or free of a slot before the next call on it; reads may overlap each other and be overtaken, and
 * what they give then does not matter.
 *
 * Errors of the stores in this package: ENOENT for reading or freeing a slot that holds nothing; EIO for a medium that
 * fails, and never ENOENT for one that merely cannot be asked; ENOSPC for a slot beyond `slots`, or a medium that is full;
 * EINVAL for a bad argument; ECLOSED after close. An 'async' store of this package rejects and never throws, a 'sync' one
 * never returns a promise.
 *
 * After a write that failed, what the slot holds is not known: what it held, what was written, a mixture, or nothing. It may
 * be written again or freed; ENOENT of that free means that it holds nothing.
 */
export interface BackingStore {
  /** Whether the methods answer at once or with promises. A 'sync' store is also good for the asynchronous calls of a front end. */
  readonly mode: 'sync' | 'async';
  /** Slots that exist: numbers 0 … slots - 1. Without it there are 2^32 - 1. */
  readonly slots?: number;
  /**
   * Reads a slot. ENOENT when it holds nothing.
   * @param into where to, at least SLOT_BYTES; what lies behind the bytes read is undefined
   * @returns the bytes read: at least those that were written last. Nothing: as many as `into` has
   */
  read(slot: number, into: Uint8Array): MaybePromise<number | void>;
  /**
   * Writes a slot, in place of what it held.
   * @param bytes 1 … SLOT_BYTES bytes; nobody changes them afterwards, so the store may keep them
   */
  write(slot: number, bytes: Uint8Array): MaybePromise<void>;
  /** Frees a slot: what it held is not needed any more. ENOENT when it holds nothing. */
  free(slot: number): MaybePromise<void>;
  /** Makes what was written last. */
  sync?(): MaybePromise<void>;
  /** Lets go of what the store holds open, after the calls under way. Idempotent. */
  close(): MaybePromise<void>;
}
