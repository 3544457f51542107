/**
 * The codec as the LZ4 tests see it: three functions on a memory of a chosen
 * size, nothing else in that memory. scripts/build.mjs compiles the two files by
 * themselves for it, because the core exports them on its own buffers only.
 */
import { fromBase64 } from '../../bindings/wasm.ts';
import { base64 as scalar } from '../generated/codec-scalar.ts';
import { base64 as simd } from '../generated/codec-simd.ts';

export type Build = 'simd' | 'scalar';

/** Results of -4095 … -1 as u32 are negative errnos. */
export const ERRNO_MIN = 0xFFFFF000;
export const EIO = 0xFFFFFFFB;
export const PAGE = 4096;
export const TABLE_BYTES = 8192;
/** Below this address lies the module's static data. */
export const FREE_FROM = 16384;

export interface Codec {
  /** All of the memory; `bytes.length` is the address behind the last byte. */
  readonly bytes: Uint8Array;
  compress(src: number, srcBytes: number, dst: number, dstBytes: number, table: number): number;
  decompress(src: number, srcBytes: number, dst: number, dstBytes: number): number;
  sameFilled(page: number, bytes: number): boolean;
}

interface Exports {
  lz4Compress(src: number, srcBytes: number, dst: number, dstBytes: number, table: number): number;
  lz4Decompress(src: number, srcBytes: number, dst: number, dstBytes: number): number;
  sameFilled(page: number, bytes: number): number;
}

const modules = new Map<Build, WebAssembly.Module>();

/** A fresh instance on its own memory of `pages` times 64 KiB. */
export function codecUnderTest(build: Build, pages = 8): Codec {
  let module = modules.get(build);
  if (module === undefined) modules.set(build, (module = new WebAssembly.Module(fromBase64(build === 'simd' ? simd : scalar))));
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const core = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  return {
    bytes: new Uint8Array(memory.buffer),
    compress: (src, srcBytes, dst, dstBytes, table) => core.lz4Compress(src, srcBytes, dst, dstBytes, table) >>> 0,
    decompress: (src, srcBytes, dst, dstBytes) => core.lz4Decompress(src, srcBytes, dst, dstBytes) >>> 0,
    sameFilled: (page, bytes) => core.sameFilled(page, bytes) !== 0,
  };
}
