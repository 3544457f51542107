/** Promises from foreign code. */

/**
 * True when a value of foreign code is a Promise, or has a `then`, even one that cannot be read. A later rejection of
 * it is ignored here, because nobody else handles it.
 */
export function isPromise(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  try {
    if (typeof (value as { then?: unknown }).then !== 'function') return false;
  } catch {
    return true;
  }
  // No method of the value is called here. If its `then` throws, our own promise rejects.
  new Promise((resolve) => resolve(value)).catch(() => undefined);
  return true;
}
