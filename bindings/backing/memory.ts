/// <reference lib="esnext.disposable" preserve="true" />
/** A backing store in the JavaScript heap: for tests, and for swapped pages that may stay in the process. */
import { copyIn, copyOut, lengthOf } from '../bytes.ts';
import { DISPOSE } from '../dispose.ts';
import { CompcacheError, takeOptions } from '../errors.ts';
import { closedStore, emptySlot, requireContent, requireRoom, requireSlot, takeSlots } from './arguments.ts';
import { registerClass, registerStore } from './own.ts';
import { Pieces } from './pieces.ts';
import type { BackingStore } from './types.ts';

export interface MemoryStoreOptions {
  /** Slots of the store, 1 … 2^32 - 1. Default: as many as the memory allows. */
  slots?: number;
}

// The symbol's name is computed (dispose.ts), so TypeScript must be told of the method.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface MemoryStore {
  [Symbol.dispose](): void;
}

/**
 * Stores the bytes of each slot as a copy. A copy takes its own length, rounded up to 128 bytes, in slabs of 64 KiB
 * (pieces.ts). After close the bytes are gone.
 *
 * Errors of every method: EINVAL for a bad argument, ENOSPC for a slot beyond `slots` or when there is no memory for
 * it, ECLOSED after close.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class MemoryStore implements BackingStore {
  static readonly #methods = registerClass(MemoryStore.prototype);
  readonly mode = 'sync';
  /** Slots of the store. Undefined means 2^32 - 1. */
  readonly slots?: number;
  readonly #slots: number | undefined;
  #held = new Pieces();
  #closed = false;

  /** @throws EINVAL for a bad option */
  constructor(options: MemoryStoreOptions = {}) {
    this.#slots = takeSlots('MemoryStore', takeOptions<MemoryStoreOptions>('MemoryStore', options, ['slots']).slots);
    if (this.#slots !== undefined) this.slots = this.#slots;
    registerStore(this, MemoryStore.#methods);
  }

  /** Slots in use; 0 after close. */
  get used(): number {
    return this.#held.count;
  }

  /** Bytes in all slots; 0 after close. */
  get bytes(): number {
    return this.#held.bytes;
  }

  /** Bytes of memory that are allocated for the slots; 0 after close. */
  get reservedBytes(): number {
    return this.#held.reserved;
  }

  /**
   * Copies a slot's bytes to `into`.
   * @returns the number of bytes read: exactly the bytes that were written
   * @throws ENOENT for an empty slot
   */
  read(slot: number, into: Uint8Array): number {
    const op = 'MemoryStore.read';
    this.#require(op, slot);
    requireRoom(op, into);
    const held = this.#held.get(slot);
    if (held === undefined) throw emptySlot(op, slot);
    copyOut(op, 'into', into, held);
    return held.length;
  }

  /** Writes 1 … SLOT_BYTES bytes to a slot, in place of its old contents. The bytes are copied. */
  write(slot: number, bytes: Uint8Array): void {
    const op = 'MemoryStore.write';
    this.#require(op, slot);
    requireContent(op, bytes);
    try {
      this.#held.put(slot, lengthOf(bytes), (into) => copyIn(op, 'bytes', into, bytes));
    } catch (cause) {
      if (CompcacheError.made(cause)) throw cause;
      throw new CompcacheError('ENOSPC', op, `this host has no memory for more than ${this.#held.count} slots`, {
        cause,
      });
    }
  }

  /** Frees a slot. @throws ENOENT for an empty slot */
  free(slot: number): void {
    const op = 'MemoryStore.free';
    this.#require(op, slot);
    if (!this.#held.delete(slot)) throw emptySlot(op, slot);
  }

  /** Drops everything. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#held = new Pieces();
  }

  #require(op: string, slot: number): void {
    if (this.#closed) throw closedStore(op);
    requireSlot(op, slot, this.#slots);
  }

  [DISPOSE](): void {
    this.close();
  }
}
