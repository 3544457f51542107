/** What is said when a call of a pool fails. */
import { OUT_NEEDED } from '../assembly/abi.ts';
import { CompcacheError, show, type ErrorCode } from './errors.ts';
import type { Core } from './wasm.ts';

/** Refuses what cannot be a handle. @throws EINVAL */
export function notAHandle(op: string, handle: unknown): never {
  throw new CompcacheError('EINVAL', op, `${show(handle)} is no handle: it must be a whole number from 1 to 4294967295`);
}

/** Why the core has answered an error. @param what the size or handle that the call was given */
export function explain({ exports, out }: Core, pool: number, name: string, op: string, code: ErrorCode, what: number): string {
  switch (code) {
    case 'ENOMEM': return `no frame: ${out[OUT_NEEDED]} needed, ${exports.ramFree() >>> 0} free`;
    case 'ENOSPC': return `size ${what} is beyond the largest object, ${exports.zpoolMax(pool) >>> 0} bytes`;
    case 'ERANGE': return `the range does not fit the object of ${exports.zpoolSize(pool, what) >>> 0} bytes`;
    case 'EBUSY': return op === 'zpool.map' ? 'the object has as many maps as can be counted' : op === 'zpool.destroy' ? 'an object is mapped or under reclaim' : 'the object is mapped';
    case 'EIO': return 'the object is no page that was stored with this codec';
    default:
      if (op === 'zpool.malloc') return 'size must be at least 1';
      if (op === 'zpool.unmap') return `handle ${what} is not live in this pool, or not mapped`;
      return `handle ${what} is not live in pool ${show(name)}`;
  }
}
