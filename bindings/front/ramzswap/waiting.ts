/**
 * Calls that may have to wait, each described once. What can be done at once is done by a plain function; what is left, if
 * anything, is a body of steps (../../steps.ts), which runNow and runSoon finish. Knows no device.
 */
import type { MaybePromise } from '../../backing/types.ts';
import { runAsync, runSync, type Steps } from '../../steps.ts';

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
