/**
 * Limits how deep calls of stores and codecs may nest. A store or codec that calls back without end fails here, long
 * before the stack is full. A full stack could stop our code, or the core, between any two steps.
 */
import { CompcacheError } from './errors.ts';

const NESTED_MAX = 32;
let nested = 0;

/** Calls foreign code. @throws EIO when such calls nest too deep; the errors of the foreign code */
export function inside<T>(op: string, call: () => T): T {
  if (nested >= NESTED_MAX)
    throw new CompcacheError('EIO', op, `calls of stores and codecs nest more than ${NESTED_MAX} deep`);
  nested += 1;
  try {
    return call();
  } finally {
    nested -= 1;
  }
}
