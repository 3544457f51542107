/** compcache: compressed memory for JavaScript. */
export { Ram } from './ram.ts';
export { ALLOCATORS } from './allocators.ts';
export { Zpool } from './zpool.ts';
export { PageTable, type PageTableKeys } from './pages.ts';
export { CompcacheError, type ErrorCode } from './errors.ts';
export { LOADABLE_CODECS, loadCodec, type LoadableCodec } from './codec/index.ts';
export { PAGE_SIZE } from './wasm.ts';
export { MemoryStore, type MemoryStoreOptions } from './backing/memory.ts';
export { SLOT_BYTES, type BackingStore } from './backing/types.ts';
export { Zswap } from './front/zswap/index.ts';
export type { ZswapOpenOptions } from './front/zswap/reopen.ts';
export type { ZswapStats } from './front/zswap/stats.ts';
export { SwapSpace, type SwapSpaceOpenOptions, type SwapSpaceOptions } from './front/swap-space.ts';
export {
  Ramzswap,
  type BdStat,
  type BlockState,
  type IoStat,
  type MmStat,
  type RamzswapOpenOptions,
  type RamzswapOptions,
  type RamzswapSettings,
  type RamzswapStats,
  type RecompressOptions,
  type WritebackSelection,
} from './front/ramzswap/index.ts';
export type { ZswapOptions } from './front/zswap/settings.ts';
export type * from './types.ts';
