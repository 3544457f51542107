/**
 * zpool: one API over the allocators.
 *
 * A zpool is the address of a pool header. Dispatch is one `switch` on its
 * kind. Every function validates the pool it is given, so a wrong number gets
 * EINVAL; handles are validated by the allocators. What only looks at pools is
 * in inspect.ts.
 *
 * Reclaim is steps, so that a front end can wait for an asynchronous store in
 * between: isolate a victim (a frame, or the first frame of a zspage), list its
 * live handles, release it. The loop over them (shrink) is the caller's.
 */
import { MODE_RO, MODE_WO, OUT_LENGTH, OUT_SECOND, OUT_SIZE } from './abi';
import { EBUSY, EINVAL, ENOMEM, ENOSPC, ERANGE, isError } from './base/errno';
import { xcfCompact, xcfFreeable } from './alloc/xcfmalloc-compact';
import {
  xcfFrameEnds, xcfFree, xcfInit, xcfIsolate, xcfMalloc, xcfMallocRaw, xcfMap, xcfMax, xcfRelease, xcfSpan, xcfUnmap, xcfVictimNext,
} from './alloc/xcfmalloc';
import {
  xvFrameEnds, xvFree, xvInit, xvIsolate, xvMalloc, xvMallocRaw, xvMap, xvMax, xvRelease, xvSpan, xvUnmap, xvVictimNext,
} from './alloc/xvmalloc';
import {
  z3foldCompact, z3foldData, z3foldFree, z3foldFreeable, z3foldInit, z3foldIsolate, z3foldMalloc, z3foldMap, z3foldRelease,
  z3foldRunDeferred, z3foldUnmap, z3foldVictimNext,
} from './alloc/z3fold';
import {
  zbudData, zbudFrameEnds, zbudFree, zbudInit, zbudIsolate, zbudMalloc, zbudMallocRaw, zbudMap, zbudMax, zbudRelease, zbudUnmap,
  zbudVictimNext,
} from './alloc/zbud';
import {
  zsCompact, zsFree, zsFreeable, zsInit, zsIsolate, zsMalloc, zsMap, zsRelease, zsSpan, zsTableFrames, zsUnmap, zsVictimNext,
} from './alloc/zsmalloc';
import { frameFree, frameRoom } from './mem/frame';
import { handleFrameEnds } from './mem/handle';
import {
  BOOT_BUMP, BOOT_FIRST, FRAME_DATA, FRAME_HANDLES, FRAME_RAW, PAGE_SIZE, boot, entryOf, entryPool, entryType,
} from './mem/layout';
import {
  NAME_BYTES, POOL_NAME, XCFMALLOC, XVMALLOC, Z3FOLD, ZBUD, ZSMALLOC, isPool, kindOf, kindOfPool, poolAt, poolCreate, poolNumber,
  poolUnlink, sealPool,
} from './mem/pool';
import { out, pageBuffer, setOut } from './mem/scratch';
import { scatter } from './mem/span';

// ── life of a pool ───────────────────────────────────────────────────────────

/**
 * Creates a pool.
 * @param kind ZBUD, Z3FOLD, ZSMALLOC, XVMALLOC (no options), XCFMALLOC
 * @param a zbud: header chunks 0 or 1; z3fold: deferred work 0 after each free, 1 when asked for; zsmalloc: chain 1..16;
 *   xcfmalloc: blocks of an object, 1 or 2
 * @param b zsmalloc: chain rule, 0 bytes, 1 percent; xcfmalloc: frames of the reserve, 0..1024
 * @param c zsmalloc: fullness groups, 12 or 4
 * @param name address of the name, UTF-8
 * @param nameBytes 1..64; that the name is free is the caller's to see to
 * @returns the pool; EINVAL, ENOMEM
 */
export function zpoolCreate(kind: u32, a: u32, b: u32, c: u32, name: usize, nameBytes: u32): u32 {
  if (kind < ZBUD || kind > XCFMALLOC || nameBytes == 0 || nameBytes > NAME_BYTES) return EINVAL;
  if (!frameRoom(kind == ZSMALLOC ? 1 + zsTableFrames(a, b) : 1)) return ENOMEM;
  const pool = poolCreate(kind);
  if (pool == 0) return ENOMEM;
  memory.copy(pool + POOL_NAME, name, nameBytes);
  poolAt(pool).nameBytes = nameBytes;
  const result = initPool(pool, kind, a, b, c);
  if (result != 0) {
    giveFramesBack(pool);
    return result;
  }
  sealPool(pool);
  poolNumber();
  return <u32>pool;
}

function initPool(pool: usize, kind: u32, a: u32, b: u32, c: u32): u32 {
  switch (kind) {
    case ZSMALLOC: return zsInit(pool, a, b, c);
    case ZBUD: return zbudInit(pool, a);
    case Z3FOLD: return z3foldInit(pool, a);
    case XCFMALLOC: return xcfInit(pool, a, b);
    default: return xvInit(pool);
  }
}

/** Takes a pool off the list and gives back every frame that it owns. */
function giveFramesBack(pool: usize): void {
  const kind = poolAt(pool).kind;
  const bump = boot(BOOT_BUMP);
  poolUnlink(pool);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryPool(entry) != pool) continue;
    const type = entryType(entry);
    if (kind == XCFMALLOC) xcfFrameEnds(entry);
    else if (type == FRAME_HANDLES) handleFrameEnds(entry);
    else if (kind == ZBUD && (type == FRAME_DATA || type == FRAME_RAW)) zbudFrameEnds(entry);
    else if (kind == XVMALLOC) xvFrameEnds(entry);
    frameFree(frame);
  }
}

/** Destroys a pool, live objects included. EINVAL; EBUSY while an object is mapped or a victim isolated. */
export function zpoolDestroy(pool: usize): u32 {
  if (kindOf(pool) == 0) return EINVAL;
  if (poolAt(pool).maps != 0 || poolAt(pool).isolated != 0) return EBUSY;
  giveFramesBack(pool);
  return 0;
}

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
 * @param mode MODE_RO, MODE_RW or MODE_WO
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

// ── compaction ───────────────────────────────────────────────────────────────

/** Frames given back; 0 where objects cannot move. @param victims budget. EINVAL. */
export function zpoolCompact(pool: usize, victims: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsCompact(pool, victims);
    case Z3FOLD: return z3foldCompact(pool, victims);
    case XCFMALLOC: return xcfCompact(pool, victims);
    default: return isPool(pool) ? 0 : EINVAL;
  }
}

/** Frames that zpoolCompact would give back. EINVAL. */
export function zpoolFreeable(pool: usize): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsFreeable(pool);
    case Z3FOLD: return z3foldFreeable(pool);
    case XCFMALLOC: return xcfFreeable(pool);
    default: return isPool(pool) ? 0 : EINVAL;
  }
}

// ── reclaim ───────────────────────────────────────────────────

/** Takes the least recently used victim off all lists: its frame number, 0 when nothing is evictable. EINVAL. */
export function zpoolIsolate(pool: usize): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsIsolate(pool);
    case Z3FOLD: return z3foldIsolate(pool);
    case ZBUD: return zbudIsolate(pool);
    case XVMALLOC: return xvIsolate(pool);
    case XCFMALLOC: return xcfIsolate(pool);
    default: return EINVAL;
  }
}

/** The next live handle of a victim from `cursor` on, 0 for none; the cursor behind it in OUT_CURSOR. EINVAL. */
export function zpoolVictimNext(pool: usize, victim: u32, cursor: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsVictimNext(pool, victim, cursor);
    case Z3FOLD: return z3foldVictimNext(pool, victim, cursor);
    case ZBUD: return zbudVictimNext(pool, victim, cursor);
    case XVMALLOC: return xvVictimNext(pool, victim, cursor);
    case XCFMALLOC: return xcfVictimNext(pool, victim, cursor);
    default: return EINVAL;
  }
}

/** Ends a reclaim: frames given back, or 0 and the victim is at the front of the LRU again. EINVAL. */
export function zpoolRelease(pool: usize, victim: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsRelease(pool, victim);
    case Z3FOLD: return z3foldRelease(pool, victim);
    case ZBUD: return zbudRelease(pool, victim);
    case XVMALLOC: return xvRelease(pool, victim);
    case XCFMALLOC: return xcfRelease(pool, victim);
    default: return EINVAL;
  }
}

/**
 * Does the work that was put off; only z3fold has any.
 * @param force 1: now. 0: a reclaim (isolate, release, as often as it takes) has
 *   ended; does what had to wait for that, unless the pool puts all work off
 *   until it is asked for. EINVAL.
 */
export function zpoolRunDeferred(pool: usize, force: u32): u32 {
  const kind = kindOf(pool);
  if (kind == 0) return EINVAL;
  return kind == Z3FOLD ? z3foldRunDeferred(pool, force) : 0;
}
