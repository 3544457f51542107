/**
 * Compaction: moving objects together, so that frames come back.
 *
 * A module of its own (compactor.ts) on the memory of the core, because it is
 * long code that is seldom wanted. It works between two calls of the core; all
 * that it needs to know lies in the RAM.
 *
 * z3fold's compaction within a frame is not here: its frees do that.
 */
import { EINVAL } from './base/errno';
import { xcfCompact, xcfFreeable } from './alloc/xcfmalloc-compact';
import { z3foldCompact, z3foldFreeable } from './alloc/z3fold';
import { zsCompact, zsFreeable } from './alloc/zsmalloc';
import { XCFMALLOC, Z3FOLD, ZSMALLOC, isPool, kindOf } from './mem/pool';

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
