/** Functions of a pool that only this package may call. zpool.ts makes the object. The package does not export it. */
import type { AllocatorName } from './allocators.ts';
import type { EvictCallbackOf } from './plain-types.ts';
import type { Core } from './wasm.ts';
import type { Owner } from './zpool-reclaim.ts';

/** The arguments for making a pool object. */
export interface ZpoolParts<Zpool> {
  owner: Owner;
  core: Core;
  /** Address of the pool's header. */
  address: number;
  allocator: AllocatorName;
  name: string;
  evict?: EvictCallbackOf<Zpool> | undefined;
}

/** Functions of pools that only this package may call. @internal */
export interface ZpoolAccess<Zpool> {
  make(parts: ZpoolParts<Zpool>): Zpool;
  /** Address of the pool's header; 0 when the pool is gone. */
  address(pool: Zpool): number;
  /** Makes the pool a front end's: from now on, changes by others give EBUSY. */
  setFrontOwned(pool: Zpool): void;
  /** compact and destroy for the front end that holds the pool. */
  compact(op: string, pool: Zpool, victims?: number): number;
  /**
   * Compacts a part of the pool, from `cursor` on. Returns the frames given back and the next cursor, 0 at the end.
   * @param most zspages to empty or frames to look at, at least 2
   */
  compactFrom(op: string, pool: Zpool, cursor: number, most: number): { frames: number; cursor: number };
  destroy(op: string, pool: Zpool): void;
  /** Called when the pool or its RAM is gone. Every later call gives ECLOSED, and the memory is released. */
  detach(pool: Zpool): void;
  /** @throws EBUSY for a front end's pool */
  setEvict(op: string, pool: Zpool, evict: EvictCallbackOf<Zpool>): void;
  /** Frames of objects and of metadata. Faster than stats(). */
  frameCounts(pool: Zpool): { frames: number; metadataFrames: number };
}
