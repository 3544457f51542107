/**
 * Error numbers of the core.
 *
 * Every exported function returns a u32. A value >= ERRNO_MIN (0xFFFFF000) is a
 * negative Linux errno, everything below is a result. So no result may ever be
 * that large: the last 4 KiB of a 4 GiB memory are never handed out, and no
 * handle has all generation bits set (see mem/handle.ts).
 */

// @ts-ignore: decorator
@inline export const ERRNO_MIN: u32 = 0xFFFFF000;
// @ts-ignore: decorator
@inline export const ENOENT: u32 = 0xFFFFFFFE; // -2
// @ts-ignore: decorator
@inline export const EIO: u32 = 0xFFFFFFFB; // -5
// @ts-ignore: decorator
@inline export const ENOMEM: u32 = 0xFFFFFFF4; // -12
// @ts-ignore: decorator
@inline export const EBUSY: u32 = 0xFFFFFFF0; // -16
// @ts-ignore: decorator
@inline export const EEXIST: u32 = 0xFFFFFFEF; // -17
// @ts-ignore: decorator
@inline export const EINVAL: u32 = 0xFFFFFFEA; // -22
// @ts-ignore: decorator
@inline export const ENOSPC: u32 = 0xFFFFFFE4; // -28
// @ts-ignore: decorator
@inline export const ERANGE: u32 = 0xFFFFFFDE; // -34
// @ts-ignore: decorator
@inline export const EUCLEAN: u32 = 0xFFFFFF8B; // -117

/** Whether a result is an error number. */
// @ts-ignore: decorator
@inline export function isError(result: u32): bool {
  return result >= ERRNO_MIN;
}
