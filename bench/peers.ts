/**
 * The software that compcache is compared with: the packages of bench/peers, which `npm run bench:peers` installs, and
 * a C compiler. If one is missing, the benchmarks report that and run without it.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Codec } from '../bindings/index.ts';

const PEERS = new URL('peers/', import.meta.url);
const require = createRequire(new URL('package.json', PEERS));
const missing = new Map<string, string>();

/**
 * A package of bench/peers. Undefined, and noted as missing, when it is not installed there or does not load. The
 * packages of this project itself are not used.
 */
export function peer<T>(name: string): T | undefined {
  try {
    if (!existsSync(new URL(`node_modules/${name}`, PEERS))) throw new Error('not installed');
    return require(name) as T;
  } catch (error) {
    lacks(name, (error as Error).message.split('\n')[0] as string);
    return undefined;
  }
}

/** Notes that a contender is missing. */
export function lacks(name: string, reason: string): void {
  missing.set(name, reason);
}

/** The missing contenders and the reasons. */
export function leftOut(): Record<string, string> {
  return Object.fromEntries(missing);
}

interface Lz4 {
  encodeBlock(src: Uint8Array, dst: Uint8Array): number;
  encodeBlockHC(src: Uint8Array, dst: Uint8Array, level: number): number;
  decodeBlock(src: Uint8Array, dst: Uint8Array): number;
}

interface OneShot {
  compress(src: Uint8Array): Uint8Array;
  decompress(src: Uint8Array): Uint8Array;
}

/** A library that returns a new array for each block. */
function oneShot(name: string, { compress, decompress }: OneShot): Codec {
  const deliver = (bytes: Uint8Array, dst: Uint8Array): number => (dst.set(bytes), bytes.length);
  return {
    name,
    compress: (src, dst) => deliver(compress(src), dst),
    decompress: (src, dst) => deliver(decompress(src), dst),
  };
}

/** npm lz4: liblz4 through node-gyp. */
export function lz4Npm(): Codec | undefined {
  const lz4 = peer<Lz4>('lz4');
  return (
    lz4 && {
      name: 'lz4 (npm)',
      compress: (src, dst) => lz4.encodeBlock(src, dst),
      decompress: (src, dst) => lz4.decodeBlock(src, dst),
    }
  );
}

/** The same with high compression, level 9. */
export function lz4NpmHc(): Codec | undefined {
  const lz4 = peer<Lz4>('lz4');
  return (
    lz4 && {
      name: 'lz4 HC 9 (npm)',
      compress: (src, dst) => lz4.encodeBlockHC(src, dst, 9),
      decompress: (src, dst) => lz4.decodeBlock(src, dst),
    }
  );
}

export function lz4Napi(): Codec | undefined {
  const lz4 = peer<{ compressSync: OneShot['compress']; uncompressSync: OneShot['decompress'] }>('lz4-napi');
  return lz4 && oneShot('lz4-napi', { compress: lz4.compressSync, decompress: lz4.uncompressSync });
}

export function zstdNapi(): Codec | undefined {
  const zstd = peer<{
    compress(src: Uint8Array, options: { compressionLevel: number }): Uint8Array;
    decompress: OneShot['decompress'];
  }>('zstd-napi');
  return (
    zstd &&
    oneShot('zstd-napi 1', {
      compress: (src) => zstd.compress(src, { compressionLevel: 1 }),
      decompress: zstd.decompress,
    })
  );
}

function fflate(): Codec | undefined {
  const module = peer<{
    deflateSync(src: Uint8Array, options: { level: number }): Uint8Array;
    inflateSync: OneShot['decompress'];
  }>('fflate');
  return (
    module &&
    oneShot('fflate 1', { compress: (src) => module.deflateSync(src, { level: 1 }), decompress: module.inflateSync })
  );
}

async function zstdWasm(): Promise<Codec | undefined> {
  const zstd = peer<{
    init(): Promise<void>;
    compress(src: Uint8Array, level: number): Uint8Array;
    decompress: OneShot['decompress'];
  }>('@bokuweb/zstd-wasm');
  await zstd?.init();
  return (
    zstd && oneShot('@bokuweb/zstd-wasm 1', { compress: (src) => zstd.compress(src, 1), decompress: zstd.decompress })
  );
}

/** The installed codecs of other packages, without lz4Npm. */
export async function otherCodecs(): Promise<Codec[]> {
  const wasm = peer<OneShot>('lz4-wasm-nodejs');
  const all = [lz4Napi(), wasm && oneShot('lz4-wasm-nodejs', wasm), lz4NpmHc(), fflate(), zstdNapi(), await zstdWasm()];
  return all.filter((codec) => codec !== undefined);
}
