/**
 * The codec as the LZ4 tests see it: three functions on a memory of a chosen
 * size, nothing else in that memory. `codecUnderTest` is the one place that
 * knows where they come from; for now it compiles the two files by themselves.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const modules = new Map<Build, WebAssembly.Module>();

function compile(build: Build): WebAssembly.Module {
  const folder = mkdtempSync(join(tmpdir(), 'lz4-'));
  try {
    const outFile = join(folder, 'codec.wasm');
    execFileSync(process.execPath, [
      join(ROOT, 'node_modules/assemblyscript/bin/asc.js'),
      'assembly/codec/lz4.ts', 'assembly/codec/samefill.ts', '--config', 'none',
      '-O3', '--converge', '--noAssert', '--runtime', 'stub', '--importMemory', '--memoryBase', '8192',
      build === 'simd' ? '--enable' : '--disable', 'simd', '--outFile', outFile,
    ], { cwd: ROOT, stdio: 'pipe' });
    return new WebAssembly.Module(readFileSync(outFile));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A fresh instance on its own memory of `pages` times 64 KiB. */
export function codecUnderTest(build: Build, pages = 8): Codec {
  let module = modules.get(build);
  if (module === undefined) modules.set(build, module = compile(build));
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const core = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  return {
    bytes: new Uint8Array(memory.buffer),
    compress: (src, srcBytes, dst, dstBytes, table) => core.lz4Compress(src, srcBytes, dst, dstBytes, table) >>> 0,
    decompress: (src, srcBytes, dst, dstBytes) => core.lz4Decompress(src, srcBytes, dst, dstBytes) >>> 0,
    sameFilled: (page, bytes) => core.sameFilled(page, bytes) !== 0,
  };
}
