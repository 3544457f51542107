/** Promises of foreign code. */

/**
 * Whether foreign code gave a Promise, or anything with a `then`, be it one that cannot be read. Its rejection is taken
 * care of, since nobody else will.
 */
export function isPromise(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  try {
    if (typeof (value as { then?: unknown }).then !== 'function') return false;
  } catch {
    return true;
  }
  // No method of the value's own is called here, and what its `then` throws becomes a rejection of ours.
  new Promise((resolve) => resolve(value)).catch(() => undefined);
  return true;
}
