/**
 * How a front end takes a RAM and a store, and gives them back. Nothing here calls a store or a codec.
 */
import type { BackingStore } from '../../backing/types.ts';
import { CompcacheError, ERRNO_MIN, codeOf } from '../../errors.ts';
import type { Core } from '../../wasm.ts';
import { noFrame } from '../../zpool-errors.ts';
import type { TakenStore } from './options.ts';
import { StoreIo } from './store-io.ts';

/**
 * Makes something in steps. When a step fails, the steps before it are undone, the last one first.
 * @param make calls `undo` with a function that undoes the step that it has just done
 */
export function withUndo<T>(make: (undo: (step: () => void) => void) => T): T {
  const steps: (() => void)[] = [];
  try {
    return make((step) => void steps.push(step));
  } catch (error) {
    for (const step of steps.reverse()) step();
    throw error;
  }
}

/**
 * Creates a front end in the core.
 * @param create gets a random number, which tells the slots of this front end from those of an older one, and the
 *   address of the name
 * @returns the address of the front end
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

/** `changed` is called when a call of the store has ended or hangs. The front end sets it once it is made. */
export interface StoreEvents {
  changed: () => void;
}

/**
 * Makes the object that calls a store, and the events that it reports, for a front end that is made later.
 * @param place the options of that name of the front end
 */
export function ioFor(
  store: TakenStore | undefined,
  { maxInFlight = 32, timeout = 30_000 }: { maxInFlight?: number | undefined; timeout?: number | undefined },
): { io: StoreIo | undefined; events: StoreEvents } {
  const events: StoreEvents = { changed: () => undefined };
  const changed = (): void => events.changed();
  return { io: store && new StoreIo(store.source, maxInFlight, timeout, changed, store.isSync), events };
}

/** Stores that belong to a front end. Two front ends would overwrite each other's slots. */
const taken = new WeakSet<BackingStore>();

/** Takes a store for one front end. @throws EBUSY another front end has it */
export function takeStore(op: string, store: BackingStore): void {
  if (taken.has(store))
    throw new CompcacheError('EBUSY', op, 'the backing store belongs to another front end: close that first');
  taken.add(store);
}

/** Gives the store back, so that another front end can have it. */
export function releaseStore(store: BackingStore): void {
  taken.delete(store);
}

/** releaseStore, but not before all calls of the store have ended: a write that hangs may still change a slot. */
export function releaseWhenEnded(io: StoreIo): void {
  if (io.inFlight === 0) releaseStore(io.store);
  else void io.ended().then(() => releaseStore(io.store));
}
