/**
 * Calls that may have to wait, written once for both kinds of calls. A plain function does what can be done at once. If
 * more is to be done, it returns a continuation: steps (../../steps.ts), which runNow or runSoon then run.
 */
import type { MaybePromise } from '../../backing/types.ts';
import { runAsync, runSync, type Steps } from '../../steps.ts';

/** The steps that remain of a call; undefined when it is done. */
export type Continuation = Steps<void> | undefined;

/** Runs the rest of a call that does not wait. */
export function runNow(rest: Continuation): void {
  if (rest !== undefined) runSync(rest);
}

/** Runs the rest of a call that may wait. */
export function runSoon(rest: Continuation): MaybePromise<void> {
  return rest && runAsync(rest);
}
