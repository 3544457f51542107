/**
 * Error numbers of the core.
 *
 * Every exported function returns a u32. A value >= ERRNO_MIN (0xFFFFF000) is a
 * negative Linux errno; a smaller value is a result. So no result may be that
 * large: the last 4 KiB of a 4 GiB memory are never handed out, and no handle has
 * all generation bits set (see mem/handle.ts).
 */

import { ERRNO_MIN } from '../abi';

export { EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENOMEM, ENOSPC, ERANGE, ERRNO_MIN, EUCLEAN } from '../abi';

/** True when a result is an error number. */
/* @inline */ export function isError(result: u32): bool {
  return result >= ERRNO_MIN;
}
