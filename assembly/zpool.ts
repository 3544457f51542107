/**
 * zpool: one API over the allocators, and the RAM as a whole.
 *
 * A zpool is the address of a pool header. Dispatch is one `switch` on its
 * kind. Every function validates the pool it is given, so a wrong number gets
 * EINVAL; handles are validated by the allocators.
 *
 * Two modules of their own, on the same memory, have what is rarely wanted: inspect.ts what only looks, keep.ts what
 * creates and destroys pools, compacts and reclaims.
 */
import { EBUSY, EINVAL, ENOMEM, ENOSPC, ERANGE, isError } from './base/errno';
import { zbudData, zbudFree, zbudMalloc, zbudMallocRaw, zbudMap, zbudMax, zbudUnmap } from './alloc/zbud';
import { z3foldData, z3foldFree, z3foldMalloc, z3foldMap, z3foldUnmap } from './alloc/z3fold';
import { xvFree, xvMalloc, xvMallocRaw, xvMap, xvMax, xvSpan, xvUnmap } from './alloc/xvmalloc';
import { zsFree, zsMalloc, zsMap, zsSpan, zsUnmap } from './alloc/zsmalloc';
import { xcfFree, xcfMalloc, xcfMallocRaw, xcfMap, xcfMax, xcfSpan, xcfUnmap } from './alloc/xcfmalloc';
import { PAGE_SIZE } from './mem/layout';
import { XCFMALLOC, XVMALLOC, Z3FOLD, ZBUD, ZSMALLOC, kindOf, kindOfPool } from './mem/pool';
import { OUT_LENGTH, OUT_SECOND, OUT_SIZE, out, pageBuffer, setOut } from './mem/scratch';
import { scatter } from './mem/span';

/** Map modes; 1 is rw. */
// @ts-ignore: decorator
@inline const MODE_RO: u32 = 0;
// @ts-ignore: decorator
@inline const MODE_WO: u32 = 2;

// ── objects ──────────────────────────────────────────────────────────────────

/** @returns the handle; EINVAL size 0 (or no pool), ENOSPC beyond the largest object, ENOMEM no frame */
export function zpoolMalloc(pool: usize, size: u32): u32 {
  switch (kindOfPool(pool)) {
    case ZSMALLOC: return zsMalloc(pool, size);
    case Z3FOLD: return z3foldMalloc(pool, size);
    case ZBUD: return zbudMalloc(pool, size);
    case XVMALLOC: return xvMalloc(pool, size);
    case XCFMALLOC: return xcfMalloc(pool, size);
    default: return EINVAL;
  }
}

/** The largest object in bytes. EINVAL. */
export function zpoolMax(pool: usize): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC:
    case Z3FOLD: return PAGE_SIZE;
    case ZBUD: return zbudMax(pool);
    case XVMALLOC: return xvMax();
    case XCFMALLOC: return xcfMax();
    default: return EINVAL;
  }
}

/**
 * An object of 4096 bytes for a page that is kept as it is: in the allocator
 * where that holds one, else in a frame of its own that belongs to the pool.
 * EINVAL, ENOMEM.
 */
export function zpoolMallocRaw(pool: usize): u32 {
  if (kindOf(pool) == ZBUD && zbudMax(pool) < PAGE_SIZE) return zbudMallocRaw(pool);
  if (kindOf(pool) == XVMALLOC) return xvMallocRaw(pool);
  if (kindOf(pool) == XCFMALLOC) return xcfMallocRaw(pool);
  return zpoolMalloc(pool, PAGE_SIZE);
}

/** EINVAL never allocated, freed, foreign; EBUSY mapped. Nothing changes then. */
export function zpoolFree(pool: usize, handle: u32): u32 {
  return freeIn(pool, handle);
}

/** zpoolFree, inlined. */
// @ts-ignore: decorator
@inline export function freeIn(pool: usize, handle: u32): u32 {
  switch (kindOfPool(pool)) {
    case ZSMALLOC: return zsFree(pool, handle);
    case Z3FOLD: return z3foldFree(pool, handle);
    case ZBUD: return zbudFree(pool, handle);
    case XVMALLOC: return xvFree(pool, handle);
    case XCFMALLOC: return xcfFree(pool, handle);
    default: return EINVAL;
  }
}

/** Requested bytes of an object. EINVAL. */
export function zpoolSize(pool: usize, handle: u32): u32 {
  const address = zpoolSpan(pool, handle, 0);
  return isError(address) ? address : out(OUT_SIZE);
}

/**
 * Where the bytes of an object lie, for a copy in or out.
 * @param writing 1: the copy goes in. It counts as a write for the LRU.
 * @returns address of the first byte; OUT_LENGTH bytes lie there, what is left
 *   of OUT_SIZE begins at OUT_SECOND (0: nothing). EINVAL.
 */
export function zpoolSpan(pool: usize, handle: u32, writing: u32): u32 {
  let address: u32;
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsSpan(pool, handle, writing != 0);
    case XCFMALLOC: return xcfSpan(pool, handle, writing != 0);
    case ZBUD: address = zbudData(pool, handle); break;
    case Z3FOLD: address = z3foldData(pool, handle); break;
    case XVMALLOC: address = xvSpan(pool, handle); break;
    default: return EINVAL;
  }
  // The others keep an object in one piece.
  setOut(OUT_LENGTH, out(OUT_SIZE));
  setOut(OUT_SECOND, 0);
  return address;
}

/**
 * Like zpoolSpan for `length` bytes from byte `at` of the object; OUT_LENGTH and
 * OUT_SECOND are those of the part. ERANGE, and no LRU changes, when it does not fit.
 */
export function zpoolRange(pool: usize, handle: u32, at: u32, length: u32, writing: u32): u32 {
  let address = zpoolSpan(pool, handle, 0);
  if (isError(address)) return address;
  const size = out(OUT_SIZE);
  if (at > size || length > size - at) return ERANGE;
  if (writing != 0) address = zpoolSpan(pool, handle, 1);
  const first = out(OUT_LENGTH);
  if (at >= first && out(OUT_SECOND) != 0) {
    address = out(OUT_SECOND) + (at - first);
    setOut(OUT_LENGTH, length);
    setOut(OUT_SECOND, 0);
  } else {
    address += at;
    const room = first - at;
    setOut(OUT_LENGTH, min(room, length));
    if (length <= room) setOut(OUT_SECOND, 0);
  }
  return address;
}

/** Copies `length` bytes of the page buffer into an object, from its byte `at` on. EINVAL; ERANGE when they do not fit. Nothing is written then. */
export function zpoolWrite(pool: usize, handle: u32, at: u32, length: u32): u32 {
  const address = zpoolRange(pool, handle, at, length, 1);
  if (isError(address)) return address;
  scatter(pageBuffer(), address, length);
  return 0;
}

/** Copies a whole object in, as a write. EINVAL. */
export function zpoolCopyIn(pool: usize, handle: u32, from: usize): u32 {
  const address = zpoolSpan(pool, handle, 1);
  if (isError(address)) return address;
  scatter(from, address, out(OUT_SIZE));
  return 0;
}

/**
 * Maps an object.
 * @param mode 0 ro, 1 rw, 2 wo
 * @returns address of its OUT_SIZE bytes until unmap; EINVAL, EBUSY too many
 *   maps, ENOMEM no frame for the buffer of a straddling object
 */
export function zpoolMap(pool: usize, handle: u32, mode: u32): u32 {
  if (mode > MODE_WO) return EINVAL;
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsMap(pool, handle, mode != MODE_RO, mode == MODE_WO);
    case Z3FOLD: return z3foldMap(pool, handle);
    case ZBUD: return zbudMap(pool, handle);
    case XVMALLOC: return xvMap(pool, handle);
    case XCFMALLOC: return xcfMap(pool, handle, mode != MODE_RO, mode == MODE_WO);
    default: return EINVAL;
  }
}

/** EINVAL also for an object that is not mapped. */
export function zpoolUnmap(pool: usize, handle: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsUnmap(pool, handle);
    case Z3FOLD: return z3foldUnmap(pool, handle);
    case ZBUD: return zbudUnmap(pool, handle);
    case XVMALLOC: return xvUnmap(pool, handle);
    case XCFMALLOC: return xcfUnmap(pool, handle);
    default: return EINVAL;
  }
}
