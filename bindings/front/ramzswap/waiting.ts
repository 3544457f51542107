/**
 * Calls that may have to wait, each described once. What can be done at once is done by a plain function; what is left, if
 * anything, is a body of steps (../../steps.ts), which runNow and runSoon finish. Knows no device.
 */
import type { MaybePromise } from '../../backing/types.ts';
import { runAsync, runSync, wait, type Steps } from '../../steps.ts';
import type { Outcome, StoreIo } from '../common/store-io.ts';

/** What is left to do of a call: undefined when it is done. */
export type Rest = Steps<void> | undefined;

/** Finishes a call that does not wait. */
export function runNow(rest: Rest): void {
  if (rest !== undefined) runSync(rest);
}

/** Finishes a call that may wait. */
export function runSoon(rest: Rest): MaybePromise<void> {
  return rest && runAsync(rest);
}

/**
 * A body that is active from its first step, which may run foreign code, until it has ended. It is taken out of the calls that
 * are active without a reaction to a promise: one makes an asynchronous read from memory an eighth slower.
 */
export function* whileActive<T>(active: Set<Promise<unknown>>, body: Steps<T>): Steps<T> {
  let end = (): void => undefined;
  const over = new Promise<void>((resolve) => (end = resolve));
  active.add(over);
  try {
    return yield* body;
  } finally {
    active.delete(over);
    end();
  }
}

/** Calls a store, and waits for it where it is asynchronous. The call is made at once. */
export function* answer<T>(io: StoreIo, op: string, call: () => MaybePromise<T>): Steps<Outcome<T>> {
  return io.isSync ? io.now(op, call) : yield* wait(io.soon(op, call));
}

/** Waits until one more call of an asynchronous store may be made. EIO when all of them hang. */
export function* untilRoom(io: StoreIo, op: string): Steps<void> {
  while (!io.hasRoom) yield* wait(io.room(op));
}
