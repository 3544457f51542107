/**
 * Calls of stores and codecs inside each other. One that calls back without end is stopped here, well before the stack ends:
 * where that ends, it ends between any two steps of ours or of the core.
 */
import { CompcacheError } from './errors.ts';

const NESTED_MAX = 32;
let nested = 0;

/** Calls foreign code. @throws EIO when such calls are too many inside each other; what it throws */
export function inside<T>(op: string, call: () => T): T {
  if (nested >= NESTED_MAX)
    throw new CompcacheError('EIO', op, `calls of stores and codecs are ${NESTED_MAX} deep inside each other`);
  nested += 1;
  try {
    return call();
  } finally {
    nested -= 1;
  }
}
