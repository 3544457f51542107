/**
 * Codecs of Node's zlib: raw deflate, and Zstandard if zlib has it (Node 22.15, 23.8 and later).
 *
 * Memory stays bounded as follows. zlib's one-shot calls write their output into buffers of `chunkSize`, one after the
 * other. Here a chunk has one byte more than dst, and `maxOutputLength` is set, so a block that decodes to more than
 * dst ends after the first chunk. A Zstandard frame says how large a window it needs, and a frame with a large window
 * is refused.
 *
 * The encoder gets the same window limit, and the size of the source: Deno's encoder does not find the size itself, and
 * would ask for a window of 2 MiB. The encoder also gets one chunk for the whole frame: when Deno's encoder needs a
 * second chunk, it adds a second, empty frame.
 */
import { PAGE_SIZE } from '../../assembly/abi.ts';
import type { Codec } from '../plain-types.ts';
import { deliver, deliverDecoded, encoded, notABlock, roomOf, takeBlock, takeSource } from './blocks.ts';
import { isWholeFrame } from './zstd-frame.ts';

interface Options {
  chunkSize?: number;
  maxOutputLength?: number;
}

/** The parts of node:zlib that are used. The types of Node 20 do not have Zstandard. */
interface Zlib {
  deflateRawSync(bytes: Uint8Array, options: Options & { level: number; windowBits: number }): Uint8Array;
  /** With `info`: the output, and the stream, which counts the input bytes that it used. */
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

/** The fastest level of both. Deflate level 6 makes blocks of memory pages 10 % smaller in 50 % more time. */
const LEVEL = 1;
const PAGE_WINDOW = { bytes: PAGE_SIZE, bits: 12 }; // a window of 4 KiB covers a page and takes less time to set up
const WINDOW_BITS = 15;
const FRAME_WINDOW_BITS = 17; // a frame may ask for 128 KiB: no block from a single call needs more
const FRAME_EXTRA = 1024; // noise grows by less: 3 bytes for each Zstandard block, and a header
const CHUNK_MIN = 64; // zlib's own limit

/** Node's zlib, without an import: a bundler for browsers must not find its name. */
function nodeZlib(): Zlib | undefined {
  const host = globalThis.process as { getBuiltinModule?: (name: string) => unknown } | undefined;
  return host?.getBuiltinModule?.('node:zlib') as Zlib | undefined;
}

/** Raw deflate (RFC 1951) by zlib. Undefined on a host without zlib. */
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

/** Zstandard (RFC 8878) by zlib. Undefined on a host without it. */
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
 * Decodes into dst with bounded memory. EIO for bytes that are not a block, or a block that decodes to more than dst
 * has.
 * @param decode returns the decoded bytes; returns undefined or throws when the input is not one whole block
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
