/** The core's LZ4 codecs, as a Codec: source and destination are copied through the scratch buffers. */
import { CompcacheError, ERRNO_MIN, lengthOf, requireBytes } from '../errors.ts';
import type { Codec } from '../types.ts';
import type { Core } from '../wasm.ts';

/** The core's codecs: their numbers there (assembly/page/path.ts). Both write blocks of one format. */
export const CORE_CODECS = { lz4: 0, lz4hc: 1 } as const;
export type CoreCodecName = keyof typeof CORE_CODECS;

/** Blocks of up to 64 KiB, 4 KiB in a RAM below 1 MiB: EINVAL beyond. */
export class CoreCodec implements Codec {
  readonly name: CoreCodecName;
  /** Number of the compressor. */
  readonly number: number;
  readonly #core: (op: string) => Core;

  /** @param core gives the instance, or throws ECLOSED for a call */
  constructor(name: CoreCodecName, core: (op: string) => Core) {
    this.name = name;
    this.number = CORE_CODECS[name];
    this.#core = core;
  }

  /**
   * @param src 0 … 65536 bytes
   * @returns bytes written to dst, 0 when the block does not fit
   * @throws EINVAL for a source that is too long, ECLOSED
   */
  compress(src: Uint8Array, dst: Uint8Array): number {
    requireBytes('codec.compress', 'src', src);
    requireBytes('codec.compress', 'dst', dst);
    const { exports, bytes } = this.#core('codec.compress');
    const most = exports.pageBufferBytes();
    if (lengthOf(src) > most) throw tooLong('codec.compress', `src is ${lengthOf(src)} bytes`, most);
    bytes.set(src, exports.pageBuffer() >>> 0);
    const dense = this.number === CORE_CODECS.lz4hc;
    const written = (dense ? exports.codecCompressHc(lengthOf(src), lengthOf(dst)) : exports.codecCompress(lengthOf(src), lengthOf(dst))) >>> 0;
    if (written !== 0) copyOut(bytes, exports.blockBuffer() >>> 0, written, dst);
    return written;
  }

  /**
   * @returns bytes written to dst
   * @throws EIO for anything malformed or longer than dst; EINVAL for a block that is too long for the buffers of this RAM, or
   *   may decode to more than they hold; ECLOSED
   */
  decompress(src: Uint8Array, dst: Uint8Array): number {
    requireBytes('codec.decompress', 'src', src);
    requireBytes('codec.decompress', 'dst', dst);
    const { exports, bytes } = this.#core('codec.decompress');
    const most = exports.blockBufferBytes();
    if (lengthOf(src) > most) throw tooLong('codec.decompress', `src is ${lengthOf(src)} bytes`, most);
    bytes.set(src, exports.blockBuffer() >>> 0);
    const room = lengthOf(dst);
    const written = exports.codecDecompress(lengthOf(src), room) >>> 0;
    if (written >= ERRNO_MIN) {
      const held = exports.pageBufferBytes();
      if (room > held) throw tooLong('codec.decompress', 'src is malformed, or decodes to more', held);
      throw new CompcacheError('EIO', 'codec.decompress', `not an LZ4 block that fits ${room} bytes`);
    }
    copyOut(bytes, exports.pageBuffer() >>> 0, written, dst);
    return written;
  }
}

function copyOut(memory: Uint8Array, from: number, length: number, dst: Uint8Array): void {
  dst.set(memory.subarray(from, from + length));
}

function tooLong(op: string, what: string, most: number): CompcacheError {
  return new CompcacheError('EINVAL', op, `${what}, at most ${most} in a RAM of this size`);
}
