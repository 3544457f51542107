/** The inner side of a pool: an object of functions that zpool.ts makes, and that is not exported from the package. */
import type { AllocatorName } from './allocators.ts';
import type { EvictCallbackOf } from './plain-types.ts';
import type { Core } from './wasm.ts';
import type { Owner } from './zpool-reclaim.ts';

/** What a pool object is made of. */
export interface ZpoolParts<Zpool> {
  owner: Owner;
  core: Core;
  /** Where its header lies. */
  address: number;
  allocator: AllocatorName;
  name: string;
  evict?: EvictCallbackOf<Zpool> | undefined;
}

/** What this package may do with pools and callers may not. @internal */
export interface ZpoolAccess<Zpool> {
  make(parts: ZpoolParts<Zpool>): Zpool;
  /** Where its header lies; 0 once it is gone. */
  address(pool: Zpool): number;
  /** Makes it a front end's: every change by others is EBUSY from now on. */
  hold(pool: Zpool): void;
  /** compact and destroy for whoever holds it. */
  compact(op: string, pool: Zpool, victims?: number): number;
  /** A part of that, from `cursor` on: frames given back, and where to go on, 0 at the end. @param most zspages to empty or frames to look at, at least 2 */
  compactFrom(op: string, pool: Zpool, cursor: number, most: number): { frames: number; cursor: number };
  destroy(op: string, pool: Zpool): void;
  /** The pool or its RAM is gone: every further call is ECLOSED, and the memory is let go. */
  orphan(pool: Zpool): void;
  /** @throws EBUSY for a front end's */
  setEvict(op: string, pool: Zpool, evict: EvictCallbackOf<Zpool>): void;
  /** Frames of objects and of metadata, without the cost of stats(). */
  frameCounts(pool: Zpool): { frames: number; metadataFrames: number };
}
