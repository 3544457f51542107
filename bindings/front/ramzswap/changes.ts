/**
 * What must be done when a page changes: writes to the store that began before are cancelled, and slots become free.
 * Every file that changes a page calls this one.
 */
import type { Outcome } from '../common/store-io.ts';
import { isGone, type Device, type Job, type State } from './state.ts';
import type { QueuedWrite } from './write-queue.ts';

/**
 * Called when a page was written: cancels the writes of the page that began before that one, or all writes without one.
 */
export function changed(state: State, { frees }: Device, index: number, queued?: QueuedWrite): void {
  state.changes += 1;
  if (state.moving.size !== 0) state.moving.delete(index);
  if (state.writeQueue.size !== 0) state.writeQueue.cancel(index, queued);
  frees?.drain();
}

/**
 * Called when a page has a new object with the same contents: a write of the old object is cancelled, a queued write is
 * not.
 */
export function replaced(state: State, index: number): void {
  state.changes += 1;
  state.moving.delete(index);
}

/** Frees a page. Its slot is freed by a later drain. @returns how many pages held something, 0 or 1 */
export function drop(state: State, { front, address }: Device, index: number): number {
  state.changes += 1;
  state.moving.delete(index);
  state.writeQueue.cancel(index);
  return front.ramzDrop(address, index);
}

/** Frees the slot of a write whose result is not used, as soon as the store cannot write it any more. */
export function settle(state: State, device: Device, { slot }: Job, outcome: Outcome<unknown>): void {
  const freeSlot = (): void => {
    if (isGone(state, device)) return;
    device.front.frontSettled(device.address, slot);
    device.frees?.drain();
  };
  if ('failure' in outcome && outcome.late !== undefined) void outcome.late.then(freeSlot);
  else freeSlot();
}
