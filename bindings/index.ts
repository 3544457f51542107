/** compcache: compressed memory for JavaScript. */
export { Ram } from './ram.ts';
export { ALLOCATORS, Zpool } from './zpool.ts';
export { PageTable, type PageTableKeys } from './page-table.ts';
export { CompcacheError, type ErrorCode } from './errors.ts';
export { LOADABLE_CODECS, loadCodec, type LoadableCodec } from './codec/index.ts';
export { PAGE_SIZE } from './wasm.ts';
export type * from './types.ts';
