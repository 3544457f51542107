/// <reference lib="esnext.disposable" preserve="true" />
/** A backing store in the JavaScript heap: for tests, and where swapped pages may stay in the process. */
import { copyOf, copyOut } from '../bytes.ts';
import { DISPOSE } from '../dispose.ts';
import { CompcacheError, takeOptions } from '../errors.ts';
import { closedStore, emptySlot, requireContent, requireRoom, requireSlot, takeSlots } from './arguments.ts';
import type { BackingStore } from './types.ts';

export interface MemoryStoreOptions {
  /** Slots that exist, 1 … 2^32 - 1; without it as many as there is memory for. */
  slots?: number;
}

// The symbol's name is computed (dispose.ts), so TypeScript must be told of the method.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface MemoryStore {
  [Symbol.dispose](): void;
}

/**
 * Slots as copies of the bytes written; they cost their own length, and are gone after close.
 *
 * Errors of every method: EINVAL for a bad argument, ENOSPC for a slot beyond `slots` or where there is no memory for it, ECLOSED
 * after close.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class MemoryStore implements BackingStore {
  readonly mode = 'sync';
  /** Slots that exist; 2^32 - 1 where undefined. */
  readonly slots?: number;
  readonly #slots: number | undefined;
  readonly #held = new Map<number, Uint8Array>();
  #bytes = 0;
  #closed = false;

  /** @throws EINVAL for a bad option */
  constructor(options: MemoryStoreOptions = {}) {
    this.#slots = takeSlots('MemoryStore', takeOptions<MemoryStoreOptions>('MemoryStore', options, ['slots']).slots);
    if (this.#slots !== undefined) this.slots = this.#slots;
  }

  /** Slots in use; 0 after close. */
  get used(): number {
    return this.#held.size;
  }

  /** Bytes held; 0 after close. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Copies a slot out.
   * @returns the bytes read, exactly those written
   * @throws ENOENT for a slot that holds nothing
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

  /** Copies 1 … SLOT_BYTES bytes in, in place of what the slot held. */
  write(slot: number, bytes: Uint8Array): void {
    const op = 'MemoryStore.write';
    this.#require(op, slot);
    requireContent(op, bytes);
    const copy = copyOf(op, 'bytes', bytes);
    const before = this.#held.get(slot)?.length ?? 0;
    try {
      this.#held.set(slot, copy);
    } catch (cause) {
      throw new CompcacheError('ENOSPC', op, `a Map of this host holds no more than ${this.#held.size} slots`, { cause });
    }
    this.#bytes += copy.length - before;
  }

  /** @throws ENOENT for a slot that holds nothing */
  free(slot: number): void {
    const op = 'MemoryStore.free';
    this.#require(op, slot);
    const held = this.#held.get(slot);
    if (held === undefined) throw emptySlot(op, slot);
    this.#bytes -= held.length;
    this.#held.delete(slot);
  }

  /** Drops everything. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#held.clear();
    this.#bytes = 0;
  }

  #require(op: string, slot: number): void {
    if (this.#closed) throw closedStore(op);
    requireSlot(op, slot, this.#slots);
  }

  [DISPOSE](): void {
    this.close();
  }
}
