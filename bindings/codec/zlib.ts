/**
 * Codecs made of Node's zlib: raw deflate, and Zstandard where it has that (Node 22.15, 23.8 and later).
 *
 * Its one-shot calls make their output in buffers of `chunkSize`, one after the other; with a chunk of one byte more than dst
 * and `maxOutputLength` a block that decodes to more than dst ends after the first, so memory stays bounded. A Zstandard frame
 * says itself how large a window it needs: one that asks for much is refused. So that no frame of ours does, the encoder is
 * told its limit and the size of the source: Deno's does not find that out by itself, and asks for a window of 2 MiB. And it has
 * room for the whole frame in one chunk: when Deno's needs a second one, it adds a second, empty frame.
 */
import { PAGE_SIZE } from '../../assembly/abi.ts';
import type { Codec } from '../plain-types.ts';
import { deliver, deliverDecoded, encoded, notABlock, roomOf, takeBlock, takeSource } from './blocks.ts';
import { isWholeFrame } from './zstd-frame.ts';

interface Options {
  chunkSize?: number;
  maxOutputLength?: number;
}

/** What is used of node:zlib; the types of Node 20 do not know Zstandard. */
interface Zlib {
  deflateRawSync(bytes: Uint8Array, options: Options & { level: number; windowBits: number }): Uint8Array;
  /** With `info`: the output, and the stream, which has counted what it took in. */
  inflateRawSync(
    bytes: Uint8Array,
    options: Options & { info: true },
  ): { buffer: Uint8Array; engine: { bytesWritten: number } };
  zstdCompressSync?(
    bytes: Uint8Array,
    options: { pledgedSrcSize: number; chunkSize: number; params: Record<number, number> },
  ): Uint8Array;
  zstdDecompressSync?(bytes: Uint8Array, options: Options & { params: Record<number, number> }): Uint8Array;
  constants: { ZSTD_c_compressionLevel: number; ZSTD_c_windowLog: number; ZSTD_d_windowLogMax: number };
}

/** The fastest level of both: deflate's 6 makes blocks of memory pages a tenth smaller in half as much time again. */
const LEVEL = 1;
const PAGE_WINDOW = { bytes: PAGE_SIZE, bits: 12 }; // a window of 4 KiB sees all of a page and is sooner made ready
const WINDOW_BITS = 15;
const FRAME_WINDOW_BITS = 17; // a frame may ask for 128 KiB; no block that is written in one call needs more
const FRAME_EXTRA = 1024; // noise grows by less: 3 bytes for each of its blocks, and a header
const CHUNK_MIN = 64; // zlib's own limit

/** Node's zlib, without importing it: bundlers for browsers must not meet its name. */
function nodeZlib(): Zlib | undefined {
  const host = globalThis.process as { getBuiltinModule?: (name: string) => unknown } | undefined;
  return host?.getBuiltinModule?.('node:zlib') as Zlib | undefined;
}

/** Raw deflate (RFC 1951) by zlib; undefined on a host without it. */
export function zlibDeflate(): Codec | undefined {
  const zlib = nodeZlib();
  return (
    zlib && {
      name: 'deflate',
      compress(src, dst) {
        const bytes = takeSource(src, dst);
        const windowBits = bytes.length <= PAGE_WINDOW.bytes ? PAGE_WINDOW.bits : WINDOW_BITS;
        return deliver(
          encoded(() => zlib.deflateRawSync(bytes, { level: LEVEL, windowBits })),
          dst,
        );
      },
      decompress(src, dst) {
        const block = takeBlock(src, dst);
        return bounded('deflate', dst, (limits) => {
          const { buffer, engine } = zlib.inflateRawSync(block, { ...limits, info: true });
          return engine.bytesWritten === block.length ? buffer : undefined;
        });
      },
    }
  );
}

/** Zstandard (RFC 8878) by zlib; undefined on a host without it. */
export function zlibZstd(): Codec | undefined {
  const zlib = nodeZlib();
  if (zlib?.zstdCompressSync === undefined || zlib.zstdDecompressSync === undefined) return undefined;
  const { zstdCompressSync, zstdDecompressSync, constants } = zlib;
  const params = { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_windowLog]: FRAME_WINDOW_BITS };
  const window = { [constants.ZSTD_d_windowLogMax]: FRAME_WINDOW_BITS };
  return {
    name: 'zstd',
    compress(src, dst) {
      const bytes = takeSource(src, dst);
      return deliver(
        encoded(() =>
          zstdCompressSync(bytes, { pledgedSrcSize: bytes.length, chunkSize: bytes.length + FRAME_EXTRA, params }),
        ),
        dst,
      );
    },
    decompress(src, dst) {
      const frame = takeBlock(src, dst);
      return bounded('Zstandard', dst, (limits) =>
        isWholeFrame(frame) ? zstdDecompressSync(frame, { ...limits, params: window }) : undefined,
      );
    },
  };
}

/**
 * Decodes into dst, with no more memory than that takes. EIO for what is no block, or more than dst holds.
 * @param decode gives the bytes; undefined, or a throw, for no whole block
 */
function bounded(format: string, dst: Uint8Array, decode: (limits: Options) => Uint8Array | undefined): number {
  const room = roomOf(dst);
  let decoded: Uint8Array | undefined;
  try {
    decoded = decode({ chunkSize: Math.max(CHUNK_MIN, room + 1), maxOutputLength: Math.max(1, room) });
  } catch (cause) {
    throw notABlock(format, dst, { cause });
  }
  if (decoded === undefined || decoded.length > room) throw notABlock(format, dst);
  return deliverDecoded(decoded, dst);
}
