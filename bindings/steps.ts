/** One body for synchronous and asynchronous calls: a generator that yields whatever has to be waited for. */
import type { MaybePromise } from './backing/types.ts';

export type Steps<T> = Generator<unknown, T, unknown>;

/** Waits for a value, in a body. */
export function* wait<T>(value: MaybePromise<T>): Steps<T> {
  return (yield value) as T;
}

/** Runs a body that never yields a promise. */
export function runSync<T>(steps: Steps<T>): T {
  let step = steps.next();
  while (!step.done) step = steps.next(step.value);
  return step.value;
}

/** Runs a body whose values may be promises. Its first step is taken at once. */
export async function runAsync<T>(steps: Steps<T>): Promise<T> {
  let step = steps.next();
  while (!step.done) {
    let value: unknown;
    try {
      value = await step.value;
    } catch (error) {
      step = steps.throw(error);
      continue;
    }
    step = steps.next(value);
  }
  return step.value;
}
