/**
 * ArrayStore: a backing store in one array of slots. It is the smallest store that keeps the contract of a backing
 * store, as a start for contributors. A test adds it to a copy of the tree (contributor.test.ts).
 *
 * Every slot has a copy of its bytes, which is gone after close.
 */
import { copyOf, copyOut } from '../bytes.ts';
import { closedStore, emptySlot, requireContent, requireRoom, requireSlot, takeSlots } from './arguments.ts';
import type { BackingStore } from './types.ts';

/** Errors of every method: EINVAL for a bad argument, ENOSPC for a slot beyond `slots`, ECLOSED after close. */
export class ArrayStore implements BackingStore {
  readonly mode = 'sync';
  readonly slots: number;
  readonly #slots: number;
  #held: (Uint8Array | undefined)[] | undefined = [];

  constructor(slots: number) {
    this.#slots = takeSlots('ArrayStore', slots) ?? 0;
    this.slots = this.#slots;
  }

  /** @throws ENOENT for a slot that holds nothing */
  read(slot: number, into: Uint8Array): number {
    const op = 'ArrayStore.read';
    const held = this.#at(op, slot)[slot];
    requireRoom(op, into);
    if (held === undefined) throw emptySlot(op, slot);
    copyOut(op, 'into', into, held);
    return held.length;
  }

  write(slot: number, bytes: Uint8Array): void {
    const op = 'ArrayStore.write';
    const slots = this.#at(op, slot);
    requireContent(op, bytes);
    slots[slot] = copyOf(op, 'bytes', bytes);
  }

  /** @throws ENOENT for a slot that holds nothing */
  free(slot: number): void {
    const op = 'ArrayStore.free';
    const slots = this.#at(op, slot);
    if (slots[slot] === undefined) throw emptySlot(op, slot);
    slots[slot] = undefined;
  }

  /** Drops everything. Idempotent. */
  close(): void {
    this.#held = undefined;
  }

  /** The array of slots, when this slot exists. */
  #at(op: string, slot: number): (Uint8Array | undefined)[] {
    if (this.#held === undefined) throw closedStore(op);
    requireSlot(op, slot, this.#slots);
    return this.#held;
  }
}
