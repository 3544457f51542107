/** The core's LZ4 codecs, as a Codec: source and destination are copied through the scratch buffers. */
import { lengthOf, requireBytes } from '../bytes.ts';
import { CompcacheError, ERRNO_MIN } from '../errors.ts';
import type { Codec } from '../types.ts';
import type { Core } from '../wasm.ts';

/** The core's codecs: their numbers there (assembly/codec/compress.ts). Both write blocks of one format. */
export const CORE_CODECS = { lz4: 0, lz4hc: 1 } as const;
export type CoreCodecName = keyof typeof CORE_CODECS;

/** Blocks of up to 64 KiB, 4 KiB in a RAM below 1 MiB: EINVAL beyond. */
export class CoreCodec implements Codec {
  readonly name: CoreCodecName;
  /** Number of the compressor. */
  readonly number: number;
  readonly #core: (op: string) => Core;
  // Places and sizes of the buffers, fixed when the RAM was made.
  readonly #page: number;
  readonly #pageBytes: number;
  readonly #block: number;
  readonly #blockBytes: number;

  /** @param core gives the instance, or throws ECLOSED for a call */
  constructor(name: CoreCodecName, core: (op: string) => Core) {
    this.name = name;
    this.number = CORE_CODECS[name];
    this.#core = core;
    const { exports } = core('ram.codec');
    this.#page = exports.pageBuffer() >>> 0;
    this.#pageBytes = exports.pageBufferBytes();
    this.#block = exports.blockBuffer() >>> 0;
    this.#blockBytes = exports.blockBufferBytes();
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
    const length = lengthOf(src);
    if (length > this.#pageBytes) throw tooLong('codec.compress', `src is ${length} bytes`, this.#pageBytes);
    bytes.set(src, this.#page);
    const room = lengthOf(dst);
    const written = exports.codecCompress(this.number, length, room) >>> 0;
    if (written !== 0) copyOut(bytes, this.#block, written, dst);
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
    const length = lengthOf(src);
    if (length > this.#blockBytes) throw tooLong('codec.decompress', `src is ${length} bytes`, this.#blockBytes);
    bytes.set(src, this.#block);
    const room = lengthOf(dst);
    const written = exports.codecDecompress(length, room) >>> 0;
    if (written >= ERRNO_MIN) {
      if (room > this.#pageBytes) throw tooLong('codec.decompress', 'src is malformed, or decodes to more', this.#pageBytes);
      throw new CompcacheError('EIO', 'codec.decompress', `not an LZ4 block that fits ${room} bytes`);
    }
    copyOut(bytes, this.#page, written, dst);
    return written;
  }
}

function copyOut(memory: Uint8Array<ArrayBuffer>, from: number, length: number, dst: Uint8Array): void {
  dst.set(new Uint8Array(memory.buffer, from, length)); // subarray takes longer
}

function tooLong(op: string, what: string, most: number): CompcacheError {
  return new CompcacheError('EINVAL', op, `${what}, at most ${most} in a RAM of this size`);
}
