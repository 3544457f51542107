/** Reset and close of a device. Before that, the store is told which slots are free, and is asked to sync. */
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

/** A slice of a reset looks at this many pages at least. */
const LEAST = 32;

/** Resets the device without waiting. EBUSY, EAGAIN. */
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
  if (state.device === device) forget(state, op); // a store may have closed the device meanwhile
}

/** Resets the device and waits until its slots are free at the store. EBUSY. */
export async function resetSoon(state: State, op: string): Promise<void> {
  const device = resettable(state, op);
  if (device === undefined) return;
  state.resetting = true;
  try {
    await state.active.run(resetSteps(state, op, device));
  } finally {
    state.resetting = false;
  }
}

/** The device, if no call is under way. EBUSY. */
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

function* resetSteps(state: State, op: string, device: Device): Steps<void> {
  yield* untilIdle(op, device);
  yield* freeSlots(state, device, new Slices(LEAST));
  yield* untilIdle(op, device);
  if (state.device === device) forget(state, op);
}

/** Waits until no call of an asynchronous store is under way. EBUSY when one hangs. */
function* untilIdle(op: string, { io, ram }: Device): Steps<void> {
  if (io === undefined || io.isSync) {
    yield;
    return;
  }
  yield* wait(io.idle());
  if (io.isAtWork && !rams.isClosed(ram)) throw new CompcacheError('EBUSY', op, 'a call of the backing store hangs');
}

/** Drops all pages that are in the store, and begins to free their slots. */
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

/** Requires that release will succeed: a RAM cannot be closed while an evict callback runs. EBUSY. */
export function requireReleasable({ device }: State, op: string): void {
  if (device !== undefined && !rams.isClosed(device.ram)) rams.requireIdle(op, device.ram);
}

/** Destroys the device. Its store is given back when no call of it is under way. */
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

/** Closes the device. Further calls get the same promise. EBUSY when it cannot be closed now. */
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
  state.closing = new Promise((resolve) => (end = resolve)); // set before the store is called, which may call close
  end(runAsync(closeSteps(state, op)));
  return state.closing;
}

/** Waits for nothing if the store is synchronous and no call is active. */
function* closeSteps(state: State, op: string): Steps<void> {
  while (state.active.size !== 0) yield* wait(state.active.settled());
  const io = state.device?.io;
  if (io?.isSync === false) yield* wait(io.idle());
  const outcome: Outcome<void> = io === undefined ? { value: undefined } : yield* sync(op, io);
  release(state, op);
  if ('failure' in outcome) throw outcome.failure;
}

/** Asks the store to write everything to its medium. */
function sync(op: string, io: StoreIo): Steps<Outcome<void>> {
  return io.answer(op, () => io.store.sync?.());
}

/** Syncs the store for a caller. EIO. */
export async function flush(state: State, op: string): Promise<void> {
  const { io } = live(state, op);
  if (io === undefined) return;
  const syncing = syncWhenRoom(op, io);
  const outcome = await runAsync(io.isSync ? syncing : state.active.during(syncing));
  if ('failure' in outcome) throw outcome.failure;
}

function* syncWhenRoom(op: string, io: StoreIo): Steps<Outcome<void>> {
  yield* io.untilRoom(op);
  return yield* sync(op, io);
}
