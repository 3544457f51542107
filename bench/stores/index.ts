/** The stores that are compared, by name. */
import { loadCodec } from '../../bindings/index.ts';
import { lz4Napi, lz4Npm, zstdNapi } from '../peers.ts';
import { compcache } from './compcache.ts';
import { keyv, lmdb, lruCache, mapOfBlocks, mapOfBlocksToBuffers, mapOfBuffers } from './others.ts';
import type { Store } from './types.ts';

type Maker = (pages: number) => Store | undefined | Promise<Store | undefined>;

/**
 * Functions that make a store. They return undefined when a package is missing. The first store that can be made is the
 * one that the others are compared with.
 */
export const STORES: Record<string, Maker> = {
  'Map + lz4 (npm)': () => withCodec(lz4Npm(), mapOfBlocks),
  'compcache, zsmalloc': (pages) => compcache('zsmalloc', pages),
  'compcache, xcfmalloc': (pages) => compcache('xcfmalloc', pages),
  'Map + lz4 (npm), a new Buffer each': () => withCodec(lz4Npm(), mapOfBlocksToBuffers),
  'Map of Buffers': mapOfBuffers,
  'Map + lz4-napi': () => withCodec(lz4Napi(), mapOfBlocks),
  'Map + zstd-napi 1': () => withCodec(zstdNapi(), mapOfBlocks),
  'Map + lz4js': async () => mapOfBlocks(await loadCodec('lz4js')),
  'lru-cache + lz4-napi': (pages) => withCodec(lz4Napi(), (codec) => lruCache(codec, pages)),
  'lmdb, compressed': lmdb,
  keyv: keyv,
};

function withCodec<T, R>(codec: T | undefined, make: (codec: T) => R): R | undefined {
  return codec === undefined ? undefined : make(codec);
}
