/** LZ4 in the core, as a Codec: source and destination are copied through the scratch buffers. */
import { CompcacheError, ERRNO_MIN, requireBytes } from '../errors.ts';
import type { Codec } from '../types.ts';
import type { Core } from '../wasm.ts';

/** Blocks of up to 64 KiB, 4 KiB in a RAM below 1 MiB: EINVAL beyond. */
export class CoreLz4 implements Codec {
  readonly name = 'lz4';
  readonly #core: (op: string) => Core;

  /** @param core gives the instance, or throws ECLOSED for a call */
  constructor(core: (op: string) => Core) {
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
    if (src.length > most) throw tooLong('codec.compress', src.length, most);
    bytes.set(src, exports.pageBuffer() >>> 0);
    const written = exports.codecCompress(src.length, dst.length) >>> 0;
    if (written !== 0) copyOut(bytes, exports.blockBuffer() >>> 0, written, dst);
    return written;
  }

  /**
   * @returns bytes written to dst
   * @throws EIO for anything malformed or longer than dst, EINVAL, ECLOSED
   */
  decompress(src: Uint8Array, dst: Uint8Array): number {
    requireBytes('codec.decompress', 'src', src);
    requireBytes('codec.decompress', 'dst', dst);
    const { exports, bytes } = this.#core('codec.decompress');
    const most = exports.blockBufferBytes();
    if (src.length > most) throw tooLong('codec.decompress', src.length, most);
    bytes.set(src, exports.blockBuffer() >>> 0);
    const written = exports.codecDecompress(src.length, dst.length) >>> 0;
    if (written >= ERRNO_MIN) throw new CompcacheError('EIO', 'codec.decompress', `not an LZ4 block that fits ${dst.length} bytes`);
    copyOut(bytes, exports.pageBuffer() >>> 0, written, dst);
    return written;
  }
}

function copyOut(memory: Uint8Array, from: number, length: number, dst: Uint8Array): void {
  dst.set(memory.subarray(from, from + length));
}

function tooLong(op: string, length: number, most: number): CompcacheError {
  return new CompcacheError('EINVAL', op, `src is ${length} bytes, at most ${most} in a RAM of this size`);
}
