/**
 * The synchronous stores of this package. They copy the bytes that they get, and keep no reference to them. So a front
 * end may give them a buffer that it uses again, or a part of the RAM. Every other store gets an array of its own.
 *
 * A store of a caller must not pass for one of these. So the methods are those that the class had when it was loaded, and
 * no code of the caller runs in the check: no getter, and no trap of a Proxy.
 */
import type { BackingStore } from './types.ts';

type Methods = Pick<BackingStore, 'read' | 'write'>;

/** The prototypes of these classes. */
const prototypes = new WeakSet<object>();
/** The stores, with the methods of their class. */
const stores = new WeakMap<BackingStore, Methods>();

/**
 * Registers a class of this package. Called once, when the class is loaded.
 * @returns its methods
 */
export function registerClass(prototype: Methods): Methods {
  prototypes.add(prototype);
  const { read, write } = prototype;
  return { read, write };
}

/** Registers a synchronous store when it is made. @param methods what registerClass returned for its class */
export function registerStore(store: BackingStore, methods: Methods): void {
  stores.set(store, methods);
}

/** The methods of such a store; undefined for any other store. */
export function methodsOfClass(store: BackingStore): Methods | undefined {
  return stores.get(store);
}

/** True when `store[name]` is this method of its class, and neither a subclass nor anybody else has replaced it. */
export function isUnchanged(store: BackingStore, name: keyof Methods, method: unknown): boolean {
  // A registered store is no Proxy, and neither are the prototypes of our classes. At anything else the search ends.
  for (let at: object | null = store; at === store || (at !== null && prototypes.has(at));) {
    if (Object.hasOwn(at, name)) return Object.getOwnPropertyDescriptor(at, name)?.value === method;
    at = Object.getPrototypeOf(at) as object | null;
  }
  return false;
}
