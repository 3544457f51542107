/** The core's LZ4 codecs, as a Codec: source and result are copied through the scratch buffers. */
import { CODEC_LZ4, CODEC_LZ4HC } from '../../assembly/abi.ts';
import { copyIn, copyOut, lengthOf, requireBytes } from '../bytes.ts';
import { CompcacheError, ERRNO_MIN, requireMaker } from '../errors.ts';
import type { Codec } from '../plain-types.ts';
import type { Core } from '../wasm.ts';

/** The core's codecs and their numbers. Both use the same block format. */
export const CORE_CODECS = { lz4: CODEC_LZ4, lz4hc: CODEC_LZ4HC } as const;
export type CoreCodecName = keyof typeof CORE_CODECS;

/** Works on up to 64 KiB, or 4 KiB in a RAM below 1 MiB. EINVAL for more. */
export class CoreCodec implements Codec {
  readonly #name: CoreCodecName;
  readonly #core: (op: string) => Core;

  /** @param core returns the core for a call, or throws ECLOSED */
  constructor(maker: unknown, name: CoreCodecName, core: (op: string) => Core) {
    requireMaker(maker, 'CoreCodec', 'ram.codec');
    this.#name = name;
    this.#core = core;
  }

  get name(): CoreCodecName {
    return this.#name;
  }

  /** The number of the core's codec. Undefined for any other value. Reads no property of the value. @internal */
  static numberOf(codec: unknown): number | undefined {
    return typeof codec === 'object' && codec !== null && #name in codec ? CORE_CODECS[codec.#name] : undefined;
  }

  /**
   * @param src 0 … 65536 bytes
   * @returns bytes written to dst, 0 when the block does not fit
   * @throws EINVAL for a source that is too long, ECLOSED
   */
  compress(src: Uint8Array, dst: Uint8Array): number {
    const op = 'codec.compress';
    requireBytes(op, 'src', src);
    requireBytes(op, 'dst', dst);
    const { exports, memory, pageBuffer, blockBuffer } = this.#core(op);
    const length = lengthOf(src);
    if (length > pageBuffer.length) throw tooLong(op, `src is ${length} bytes`, pageBuffer.length);
    copyIn(op, 'src', pageBuffer, src);
    const written = exports.codecCompress(CORE_CODECS[this.#name], length, lengthOf(dst)) >>> 0;
    if (written !== 0) copyOut(op, 'dst', dst, new Uint8Array(memory.buffer, blockBuffer.byteOffset, written)); // subarray takes longer
    return written;
  }

  /**
   * @returns bytes written to dst
   * @throws EIO for a malformed block, or one that decodes to more than dst; EINVAL for a block that is too long for
   *   the buffers of this RAM, or that may decode to more than they hold; ECLOSED
   */
  decompress(src: Uint8Array, dst: Uint8Array): number {
    const op = 'codec.decompress';
    requireBytes(op, 'src', src);
    requireBytes(op, 'dst', dst);
    const { exports, memory, pageBuffer, blockBuffer } = this.#core(op);
    const length = lengthOf(src);
    if (length > blockBuffer.length) throw tooLong(op, `src is ${length} bytes`, blockBuffer.length);
    copyIn(op, 'src', blockBuffer, src);
    const room = lengthOf(dst);
    const written = exports.codecDecompress(length, room) >>> 0;
    if (written >= ERRNO_MIN) {
      if (room > pageBuffer.length) throw tooLong(op, 'src is malformed, or decodes to more', pageBuffer.length);
      throw new CompcacheError('EIO', op, `not an LZ4 block that fits ${room} bytes`);
    }
    copyOut(op, 'dst', dst, new Uint8Array(memory.buffer, pageBuffer.byteOffset, written));
    return written;
  }
}

function tooLong(op: string, what: string, most: number): CompcacheError {
  return new CompcacheError('EINVAL', op, `${what}, at most ${most} in a RAM of this size`);
}
