/**
 * Stores of this package that are through with a caller's array when a call returns: they copy, and keep nothing. Such a call may be
 * lent memory that is used for something else afterwards, where any other store gets an array of its own.
 */
import type { BackingStore } from './types.ts';

type Methods = Pick<BackingStore, 'read' | 'write'>;

const classMethods = new WeakMap<BackingStore, Methods>();

/** Notes a synchronous store of this package, with the methods of its class. */
export function noteOwn(store: BackingStore, { read, write }: Methods): void {
  classMethods.set(store, { read, write });
}

/** The methods of such a store; undefined for any other. Whoever calls one that the store has no more, lends it nothing. */
export function ownMethods(store: BackingStore): Methods | undefined {
  return classMethods.get(store);
}
