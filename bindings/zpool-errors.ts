/** The errors of a pool's calls. */
import { OUT_NEEDED } from '../assembly/abi.ts';
import { CompcacheError, show, type ErrorCode, type ErrorDetail } from './errors.ts';
import type { Core } from './wasm.ts';

/** The error for a value that cannot be a handle. @throws EINVAL */
export function notAHandle(op: string, handle: unknown): never {
  throw new CompcacheError(
    'EINVAL',
    op,
    `${show(handle)} is no handle: it must be a whole number from 1 to 4294967295`,
    { detail: { argument: 'handle' } },
  );
}

/** The error for a result of the core. @param what the size or handle that was passed to the call */
export function failureOf(
  core: Core,
  pool: number,
  name: string,
  op: string,
  code: ErrorCode,
  what: number,
): CompcacheError {
  const failure = (message: string, detail?: ErrorDetail): CompcacheError =>
    new CompcacheError(code, op, message, { detail });
  switch (code) {
    case 'ENOMEM':
      return noFrame(op, core);
    case 'ENOSPC': {
      const largest = core.exports.zpoolMax(pool) >>> 0;
      return failure(`size ${what} is beyond the largest object, ${largest} bytes`, { size: what, largest });
    }
    case 'ERANGE': {
      const size = core.exports.zpoolSize(pool, what) >>> 0;
      return failure(`the range does not fit the object of ${size} bytes`, { size });
    }
    case 'EBUSY':
      return failure(
        op === 'zpool.map'
          ? 'the object has the most maps that can be counted'
          : op === 'zpool.destroy'
            ? 'an object is mapped or under reclaim'
            : 'the object is mapped',
      );
    case 'EIO':
      return failure('the object is not a page that was stored with this codec');
    default:
      if (op === 'zpool.malloc') return failure('size must be at least 1', { argument: 'size' });
      if (op === 'zpool.unmap')
        return failure(`handle ${what} is not live in this pool, or is not mapped`, { handle: what });
      return failure(`handle ${what} is not live in pool ${show(name)}`, { handle: what });
  }
}

/** The error when frames are missing. The core has just written how many it needs. @param code default: ENOMEM */
export function noFrame(
  op: string,
  { exports, out }: Core,
  code: ErrorCode = 'ENOMEM',
  what = 'no frame',
): CompcacheError {
  const needed = out[OUT_NEEDED] as number;
  const free = exports.ramFree() >>> 0;
  return new CompcacheError(code, op, `${what}: ${needed} needed, ${free} free`, { detail: { needed, free } });
}
