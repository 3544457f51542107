/**
 * A front end comes to a RAM and a store, and leaves them again. All that happens here is of ours: no store or codec is called.
 */
import type { BackingStore } from '../../backing/types.ts';
import { CompcacheError, ERRNO_MIN, codeOf } from '../../errors.ts';
import type { Core } from '../../wasm.ts';
import { noFrame } from '../../zpool-errors.ts';
import type { StoreIo } from './store-io.ts';

/**
 * Makes something in steps. When one fails, what the earlier ones have done is undone, the last one first.
 * @param make notes with `undo` how to undo what it has just done
 */
export function attached<T>(make: (undo: (step: () => void) => void) => T): T {
  const steps: (() => void)[] = [];
  try {
    return make((step) => void steps.push(step));
  } catch (error) {
    for (const step of steps.reverse()) step();
    throw error;
  }
}

/**
 * Makes a front end in the core.
 * @param create gets a number that tells its slots from those of an older one, and where the name lies
 * @returns its address
 * @throws ENOMEM without frames
 */
export function createFront(
  op: string,
  core: Core,
  name: string,
  create: (epoch: number, name: number, nameBytes: number) => number,
): number {
  const utf8 = new TextEncoder().encode(name);
  core.page.set(utf8);
  const address = create(Math.floor(Math.random() * 2 ** 32), core.pageAddress, utf8.length) >>> 0;
  if (address < ERRNO_MIN) return address;
  throw noFrame(op, core, codeOf(address));
}

/** Stores that a front end has. Two would overwrite each other's slots. */
const taken = new WeakSet<BackingStore>();

/** Takes a store for one front end. @throws EBUSY when another has it */
export function takeStore(op: string, store: BackingStore): void {
  if (taken.has(store))
    throw new CompcacheError('EBUSY', op, 'the backing store belongs to another front end: close that first');
  taken.add(store);
}

/** Lets another front end have the store. */
export function leaveStore(store: BackingStore): void {
  taken.delete(store);
}

/** The same once no call is under way: a write that hangs may still strike a slot, and until then nobody else is to have the store. */
export function leaveWhenEnded(io: StoreIo): void {
  if (io.inFlight === 0) leaveStore(io.store);
  else void io.ended().then(() => leaveStore(io.store));
}
