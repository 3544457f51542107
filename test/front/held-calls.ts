/** Calls of a store that end when a test says so, and the state of promises. */
import { quiet } from './clock.ts';

/** A call that waits. */
export interface HeldCall {
  /** Makes the call. */
  call: () => Promise<unknown>;
  end: (value?: unknown) => void;
  fail: (error: unknown) => void;
}

export function heldCall(): HeldCall {
  let end: HeldCall['end'] = () => undefined;
  let fail: HeldCall['fail'] = () => undefined;
  const promise = new Promise<unknown>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  return { call: () => promise, end, fail };
}

/** The state of a promise once nothing else happens: 'open', its value ('done' for none), or the code of its error. */
export async function stateOf(promise: Promise<unknown>): Promise<unknown> {
  let state: unknown = 'open';
  promise.then(
    (value) => (state = value ?? 'done'),
    (error: unknown) => (state = (error as { code?: string }).code),
  );
  await quiet();
  return state;
}
