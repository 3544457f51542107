/** The public types. */
export type { AllocatorName } from './allocators.ts';
export type * from './plain-types.ts';
export type { EvictCallback, ZpoolOptions } from './zpool.ts';
