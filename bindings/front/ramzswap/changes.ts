/**
 * A page is not what it was: what that means for writes to the store that were begun before, and for slots. Every room that
 * changes a page says so here.
 */
import type { Outcome } from '../common/store-io.ts';
import { isGone, type Device, type Job, type State } from './state.ts';
import type { QueuedWrite } from './write-queue.ts';

/** A page has been written: writes of it that were begun before that one, or all, lead to nothing. */
export function changed(state: State, { frees }: Device, index: number, queued?: QueuedWrite): void {
  state.changes += 1;
  if (state.moving.size !== 0) state.moving.delete(index);
  if (state.writeQueue.size !== 0) state.writeQueue.cancel(index, queued);
  frees?.drain();
}

/** A page has another object with the same contents: what is to come in its place comes. */
export function replaced(state: State, index: number): void {
  state.changes += 1;
  state.moving.delete(index);
}

/** Frees a page. @returns how many held something, 0 or 1; its slot waits to be drained */
export function drop(state: State, { front, address }: Device, index: number): number {
  state.changes += 1;
  state.moving.delete(index);
  state.writeQueue.cancel(index);
  return front.ramzDrop(address, index);
}

/** A slot that leads to nothing is doomed, once nobody may write it any more. */
export function settle(state: State, device: Device, { slot }: Job, outcome: Outcome<unknown>): void {
  const doom = (): void => {
    if (isGone(state, device)) return;
    device.front.frontSettled(device.address, slot);
    device.frees?.drain();
  };
  if ('failure' in outcome && outcome.late !== undefined) void outcome.late.then(doom);
  else doom();
}
