/** How a device ends, by reset or close, and what its store is told before: slots to free, and to make last what it has. */
import { KIND_MASK, RAMZ_SLOTS, WRITTEN } from '../../../assembly/abi.ts';
import { CompcacheError } from '../../errors.ts';
import { rams } from '../../ram.ts';
import { runAsync, runSync, wait, type Steps } from '../../steps.ts';
import { zpools } from '../../zpool.ts';
import type { Outcome, StoreIo } from '../common/store-io.ts';
import { drop } from './changes.ts';
import { allPages } from './pages.ts';
import { Slices } from './slices.ts';
import { live, requireOpen, type Device, type State } from './state.ts';

/** Pages that a slice of a reset looks at, at least. */
const LEAST = 32;

/** Back to before init, by a call that does not wait. EBUSY, EAGAIN. */
export function resetNow(state: State, op: string): void {
  const device = resettable(state, op);
  if (device === undefined) return;
  const { io, ram, front, address } = device;
  if (io?.isAtWork === true && !rams.isClosed(ram)) throw atWork(op);
  if (io?.isSync === false && front.ramzFigure(address, RAMZ_SLOTS) !== 0) {
    throw new CompcacheError('EAGAIN', op, 'slots of an asynchronous store must be freed: use resetAsync');
  }
  state.resetting = true;
  try {
    runSync(freeSlots(state, device, undefined));
  } finally {
    state.resetting = false;
  }
  if (state.device === device) forget(state, op); // a store may have closed it
}

/** The same by one that may wait: until slots that are being freed are free, too. EBUSY. */
export async function resetSoon(state: State, op: string): Promise<void> {
  const device = resettable(state, op);
  if (device === undefined) return;
  state.resetting = true;
  try {
    await state.active.run(emptied(state, op, device));
  } finally {
    state.resetting = false;
  }
}

/** The device, when no call is under way. EBUSY. */
function resettable(state: State, op: string): Device | undefined {
  requireOpen(state, op);
  const { device } = state;
  const isInStore = device?.io?.isSync === true && device.io.isAtWork && !rams.isClosed(device.ram);
  if (state.active.size !== 0 || state.busy || state.resetting || isInStore) throw atWork(op);
  requireReleasable(state, op);
  return device;
}

function atWork(op: string): CompcacheError {
  return new CompcacheError('EBUSY', op, 'a call is under way');
}

function* emptied(state: State, op: string, device: Device): Steps<void> {
  yield* atRest(op, device);
  yield* freeSlots(state, device, new Slices(LEAST));
  yield* atRest(op, device);
  if (state.device === device) forget(state, op);
}

/** Waits until no call of an asynchronous store is under way. EBUSY when one hangs. */
function* atRest(op: string, { io, ram }: Device): Steps<void> {
  if (io === undefined || io.isSync) {
    yield;
    return;
  }
  yield* wait(io.idle());
  if (io.isAtWork && !rams.isClosed(ram)) throw new CompcacheError('EBUSY', op, 'a call of the backing store hangs');
}

/** Drops what is in the store, and begins to tell it. */
function* freeSlots(state: State, device: Device, slices: Slices | undefined): Steps<void> {
  if (device.io === undefined || state.device !== device) return;
  for (const { index, state: page } of allPages(state)) {
    if ((page & KIND_MASK) === WRITTEN) drop(state, device, index);
    if (slices === undefined) continue;
    device.frees?.drain();
    if (slices.isOver) yield* wait(slices.turn());
  }
  device.frees?.drain();
}

function forget(state: State, op: string): void {
  release(state, op);
  state.settings = state.created;
  state.budget = Infinity;
}

/** Requires that release can do all of its work: a RAM cannot be closed while an evict callback runs. EBUSY. */
export function requireReleasable({ device }: State, op: string): void {
  if (device !== undefined && !rams.isClosed(device.ram)) rams.requireIdle(op, device.ram);
}

/** Lets go of the device, and of its store as soon as no call of it is under way. */
export function release(state: State, op: string): void {
  const { device } = state;
  if (device !== undefined && !rams.isClosed(device.ram)) {
    if (device.ram !== state.options.ram) {
      rams.close(device.ram);
    } else {
      zpools.destroy(op, device.pool);
      device.core.exports.zpoolDestroy(device.address);
      rams.noteFront(device.ram, device.end, false);
    }
  }
  state.device = undefined;
  state.moving.clear();
  state.writeQueue.cancelRange(0, Infinity);
  device?.leave();
}

/** Ends it, once. EBUSY when it cannot end now. */
export function close(state: State): Promise<void> {
  if (state.closing !== undefined) return state.closing;
  const op = 'ramzswap.close';
  try {
    requireReleasable(state, op);
  } catch (error) {
    return Promise.reject(error as CompcacheError);
  }
  state.closed = true;
  let end: (ended: Promise<void>) => void = () => undefined;
  state.closing = new Promise((resolve) => (end = resolve)); // before the store is asked: it may call close
  end(runAsync(finished(state, op)));
  return state.closing;
}

/** Nothing is waited for with a synchronous store, unless calls are active. */
function* finished(state: State, op: string): Steps<void> {
  while (state.active.size !== 0) yield* wait(state.active.settled());
  const io = state.device?.io;
  if (io?.isSync === false) yield* wait(io.idle());
  const outcome: Outcome<void> = io === undefined ? { value: undefined } : yield* synced(op, io);
  release(state, op);
  if ('failure' in outcome) throw outcome.failure;
}

/** Has the store make last what was written to it. */
function synced(op: string, io: StoreIo): Steps<Outcome<void>> {
  return io.answer(op, () => io.store.sync?.());
}

/** The same as a call of the caller's. EIO. */
export async function flush(state: State, op: string): Promise<void> {
  const { io } = live(state, op);
  if (io === undefined) return;
  const syncing = syncedInTurn(op, io);
  const outcome = await runAsync(io.isSync ? syncing : state.active.during(syncing));
  if ('failure' in outcome) throw outcome.failure;
}

function* syncedInTurn(op: string, io: StoreIo): Steps<Outcome<void>> {
  yield* io.untilRoom(op);
  return yield* synced(op, io);
}
