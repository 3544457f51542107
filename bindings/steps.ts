/** One function body for synchronous and asynchronous calls: a generator that yields each value it must wait for. */
import type { MaybePromise } from './backing/types.ts';

export type Steps<T> = Generator<unknown, T, unknown>;

/** Waits for a value inside such a generator. */
export function* wait<T>(value: MaybePromise<T>): Steps<T> {
  return (yield value) as T;
}

/** Runs a generator that never yields a promise. */
export function runSync<T>(steps: Steps<T>): T {
  let step = steps.next();
  while (!step.done) step = steps.next(step.value);
  return step.value;
}

/** Runs a generator that may yield promises. Its first step runs at once. */
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
