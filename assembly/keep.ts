/**
 * Keeping: what is seldom done to pools and changes them. Creating and destroying
 * one, beginning its page table, compaction (moving objects together, so that
 * frames come back) and reclaim.
 *
 * It is long code, so it is compiled into a module of its own (keeper.ts) that
 * works on the memory of the core between two of its calls; all that it needs to
 * know lies in the RAM. (z3fold's compaction within a frame is not here: its
 * frees do that.)
 *
 * Reclaim is steps, so that a front end can wait for an asynchronous store in
 * between: isolate a victim (a frame, or the first frame of a zspage), list its
 * live handles, release it. The loop over them (shrink) is the caller's.
 */
import { EBUSY, EEXIST, EINVAL, ENOMEM } from './base/errno';
import { xcfCompact, xcfFreeable } from './alloc/xcfmalloc-compact';
import { xcfFrameEnds, xcfInit, xcfIsolate, xcfRelease, xcfVictimNext } from './alloc/xcfmalloc';
import { xvFrameEnds, xvInit, xvIsolate, xvRelease, xvVictimNext } from './alloc/xvmalloc';
import {
  z3foldCompact, z3foldFreeable, z3foldInit, z3foldIsolate, z3foldRelease, z3foldRunDeferred, z3foldVictimNext,
} from './alloc/z3fold';
import { zbudFrameEnds, zbudInit, zbudIsolate, zbudRelease, zbudVictimNext } from './alloc/zbud';
import { zsCompact, zsFreeable, zsInit, zsIsolate, zsRelease, zsTableFrames, zsVictimNext } from './alloc/zsmalloc';
import { frameFree, frameRoom } from './mem/frame';
import { handleFrameEnds } from './mem/handle';
import {
  BOOT_BUMP, BOOT_FIRST, FRAME_DATA, FRAME_HANDLES, FRAME_RAW, boot, entryOf, entryPool, entryType,
} from './mem/layout';
import {
  NAME_BYTES, POOL_INDEX, POOL_NAME, XCFMALLOC, XVMALLOC, Z3FOLD, ZBUD, ZSMALLOC, isPool, kindOf, poolAt, poolCreate,
  poolNumber, poolUnlink, sealPool,
} from './mem/pool';
import { DENSE, SPARSE, tableShape, tableStart } from './page/table';

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

/** Gives a pool a page table. 0, also when it has one of that shape; EEXIST one of the other; EINVAL no pool, no shape. */
export function tableOpen(pool: usize, shape: u32): u32 {
  if (!isPool(pool) || shape < DENSE || shape > SPARSE) return EINVAL;
  const root = pool + POOL_INDEX;
  if (tableShape(root) != 0) return tableShape(root) == shape ? 0 : EEXIST;
  tableStart(root, shape);
  sealPool(pool);
  return 0;
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

/** The next live handle of a victim from `cursor` on, 0 for none; the cursor behind it in OUT_A. EINVAL. */
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
