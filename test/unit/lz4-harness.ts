/**
 * The codec for the LZ4 tests: four functions on a memory of a chosen size, with nothing else in it. scripts/build.mjs
 * compiles their files separately, because the core exports them only on its own buffers.
 */
import { expect } from 'vitest';
import { fromBase64 } from '../../bindings/base64.ts';
import { base64 as scalar } from '../generated/codec-scalar.ts';
import { base64 as simd } from '../generated/codec-simd.ts';
import { parseBlock } from './lz4-blocks.ts';

export type Build = 'simd' | 'scalar';

/** Results of -4095 … -1 as u32 are negative errnos. */
export const ERRNO_MIN = 0xfffff000;
export const EIO = 0xfffffffb;
export const PAGE = 4096;
export const TABLE_BYTES = 8192;
/** The size of the work area of lz4hc. */
export const WORK_BYTES = 16384;
/** Below this address lies the module's static data. */
export const FREE_FROM = 16384;

export interface Codec {
  /** All of the memory; `bytes.length` is the address behind its last byte. */
  readonly bytes: Uint8Array;
  readonly compress: (src: number, srcBytes: number, dst: number, dstBytes: number, table: number) => number;
  readonly compressHc: (src: number, srcBytes: number, dst: number, dstBytes: number, work: number) => number;
  decompress(src: number, srcBytes: number, dst: number, dstBytes: number): number;
  sameFilled(page: number, bytes: number): boolean;
}

interface Exports {
  lz4Compress(src: number, srcBytes: number, dst: number, dstBytes: number, table: number): number;
  lz4hcCompress(src: number, srcBytes: number, dst: number, dstBytes: number, work: number): number;
  lz4Decompress(src: number, srcBytes: number, dst: number, dstBytes: number): number;
  sameFilled(page: number, bytes: number): number;
}

const modules = new Map<Build, WebAssembly.Module>();

/** A fresh instance on its own memory of `pages` times 64 KiB. */
export function codecUnderTest(build: Build, pages = 8): Codec {
  let module = modules.get(build);
  if (module === undefined)
    modules.set(build, (module = new WebAssembly.Module(fromBase64(build === 'simd' ? simd : scalar))));
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const core = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  return {
    bytes: new Uint8Array(memory.buffer),
    compress: (src, srcBytes, dst, dstBytes, table) => core.lz4Compress(src, srcBytes, dst, dstBytes, table) >>> 0,
    compressHc: (src, srcBytes, dst, dstBytes, work) => core.lz4hcCompress(src, srcBytes, dst, dstBytes, work) >>> 0,
    decompress: (src, srcBytes, dst, dstBytes) => core.lz4Decompress(src, srcBytes, dst, dstBytes) >>> 0,
    sameFilled: (page, bytes) => core.sameFilled(page, bytes) !== 0,
  };
}

// ── calls between fences ─────────────────────────────────────────────────────

export const BUILDS: Build[] = ['simd', 'scalar'];
const CANARY = 0xa5;
const MARGIN = 64; // bytes checked on either side of a buffer
export const TABLE = FREE_FROM + MARGIN;
/** The address of the buffer that is not at the end of memory. */
export const LOW = TABLE + WORK_BYTES + MARGIN;

/** The most bytes that a block can take. */
export const bound = (bytes: number): number => bytes + Math.floor(bytes / 255) + 16;

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; ++i) if (a[i] !== b[i]) return false;
  return true;
}

/** Fills [at, at + bytes) and both sides of it with known bytes; the returned function checks the sides. */
export function fence(codec: Codec, at: number, bytes: number): () => void {
  const from = at - MARGIN;
  const to = Math.min(at + bytes + MARGIN, codec.bytes.length);
  codec.bytes.fill(CANARY, from, to);
  return () => {
    for (let i = from; i < to; i = i + 1 === at ? at + bytes : i + 1) {
      if (codec.bytes[i] !== CANARY) throw new Error(`byte ${i - at} of a buffer of ${bytes} was written`);
    }
  };
}

/** Order of source and destination: one of them always ends with the memory, where an overrun traps. */
export type Placement = 'source last' | 'destination last';
export const PLACEMENTS: Placement[] = ['source last', 'destination last'];

export function place(
  codec: Codec,
  placement: Placement,
  srcBytes: number,
  dstBytes: number,
): { src: number; dst: number } {
  const end = codec.bytes.length;
  return placement === 'source last' ? { src: end - srcBytes, dst: LOW } : { src: LOW, dst: end - dstBytes };
}

/** Compresses with checked buffers, into `capacity` bytes; undefined when the block does not fit. */
export function compress(
  codec: Codec,
  data: Uint8Array,
  capacity = bound(data.length),
  placement: Placement = 'source last',
  dirt = 0x5a,
): Uint8Array | undefined {
  return compressWith(codec, codec.compress, TABLE_BYTES, data, capacity, placement, dirt);
}

/** The same with lz4hc. */
export function compressHc(
  codec: Codec,
  data: Uint8Array,
  capacity = bound(data.length),
  placement: Placement = 'source last',
  dirt = 0x5a,
): Uint8Array | undefined {
  return compressWith(codec, codec.compressHc, WORK_BYTES, data, capacity, placement, dirt);
}

function compressWith(
  codec: Codec,
  compressor: Codec['compress'],
  tableBytes: number,
  data: Uint8Array,
  capacity: number,
  placement: Placement,
  dirt: number,
): Uint8Array | undefined {
  const { src, dst } = place(codec, placement, data.length, capacity);
  const tableIntact = fence(codec, TABLE, tableBytes);
  const dstIntact = fence(codec, dst, capacity);
  codec.bytes.fill(dirt, TABLE, TABLE + tableBytes);
  codec.bytes.set(data, src);
  const size = compressor(src, data.length, dst, capacity, TABLE);
  tableIntact();
  dstIntact();
  if (!equal(codec.bytes.subarray(src, src + data.length), data)) throw new Error('the source was written');
  expect(size).toBeLessThanOrEqual(capacity);
  return size === 0 ? undefined : codec.bytes.slice(dst, dst + size);
}

/** Decompresses with checked buffers; undefined for EIO, which is the only error. */
export function decompress(
  codec: Codec,
  block: Uint8Array,
  capacity: number,
  placement: Placement = 'destination last',
): Uint8Array | undefined {
  const { src, dst } = place(codec, placement, block.length, capacity);
  const dstIntact = fence(codec, dst, capacity);
  codec.bytes.set(block, src);
  const size = codec.decompress(src, block.length, dst, capacity);
  dstIntact();
  if (size === EIO) return undefined;
  if (size > capacity) throw new Error(`${size} bytes in a buffer of ${capacity}`);
  return codec.bytes.slice(dst, dst + size);
}

/** The rules of LZ4 for the end of a block, which let decoders copy in wide steps. */
export function expectEndRules(block: Uint8Array, bytes: number): void {
  const sequences = parseBlock(block);
  if (sequences === undefined) throw new Error('malformed');
  const last = sequences.at(-1)!;
  expect(last.at + last.literals).toBe(bytes);
  const match = sequences.at(-2);
  if (match !== undefined) {
    expect(last.literals).toBeGreaterThanOrEqual(5);
    expect(match.at + match.literals).toBeLessThanOrEqual(bytes - 12);
  }
}

/** Requires that a block fits its own size and more, that less gives 0, and that nothing is written outside. */
export function expectExactFit(codec: Codec, by: typeof compress, data: Uint8Array, name: string): void {
  const block = by(codec, data)!;
  for (const placement of PLACEMENTS) {
    const from = block.length < 400 ? 0 : block.length - 60;
    for (let capacity = from; capacity <= block.length + 40; ++capacity) {
      const got = by(codec, data, capacity, placement);
      if (capacity < block.length) expect(got).toBeUndefined();
      else expect(equal(got!, block), `${name} in ${capacity}`).toBe(true);
    }
  }
}
