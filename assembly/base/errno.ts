/**
 * Error numbers of the core.
 *
 * Every exported function returns a u32. A value >= ERRNO_MIN (0xFFFFF000) is a
 * negative Linux errno, everything below is a result. So no result may ever be
 * that large: the last 4 KiB of a 4 GiB memory are never handed out, and no
 * handle has all generation bits set (see mem/handle.ts).
 */

export const ERRNO_MIN: u32 = 0xFFFFF000;
export const ENOENT: u32 = 0xFFFFFFFE; // -2
export const EIO: u32 = 0xFFFFFFFB; // -5
export const ENOMEM: u32 = 0xFFFFFFF4; // -12
export const EBUSY: u32 = 0xFFFFFFF0; // -16
export const EEXIST: u32 = 0xFFFFFFEF; // -17
export const EINVAL: u32 = 0xFFFFFFEA; // -22
export const ENOSPC: u32 = 0xFFFFFFE4; // -28
export const ERANGE: u32 = 0xFFFFFFDE; // -34
export const EUCLEAN: u32 = 0xFFFFFF8B; // -117

/** Whether a result is an error number. */
// @ts-ignore: decorator
@inline export function isError(result: u32): bool {
  return result >= ERRNO_MIN;
}
