/**
 * What the codecs outside the core share: their limits, the way in for a caller's bytes, and the way out.
 *
 * Foreign code (zlib, fflate, lz4js) gets copies of ours and never a caller's array: it may read bytes twice and must find
 * them unchanged, some hosts refuse views of shared or resizable memory, and a caller's array may have methods of its own.
 */
import { copyOf, copyOut, lengthOf, requireBytes } from '../bytes.ts';
import { CompcacheError } from '../errors.ts';

/** The most bytes that one block may hold. */
export const SOURCE_BYTES_MAX = 65536;

/** The source of compress, copied; dst is looked at, too. EINVAL. */
export function takeSource(src: unknown, dst: unknown): Uint8Array<ArrayBuffer> {
  const op = 'codec.compress';
  requireBytes(op, 'src', src);
  requireBytes(op, 'dst', dst);
  if (lengthOf(src) > SOURCE_BYTES_MAX)
    throw new CompcacheError('EINVAL', op, `src is ${lengthOf(src)} bytes, at most ${SOURCE_BYTES_MAX}`);
  return copyOf(op, 'src', src);
}

/** The block that decompress is given, copied; dst is looked at, too. EINVAL. */
export function takeBlock(src: unknown, dst: unknown): Uint8Array<ArrayBuffer> {
  requireBytes('codec.decompress', 'src', src);
  requireBytes('codec.decompress', 'dst', dst);
  return copyOf('codec.decompress', 'src', src);
}

/** The most bytes that a block may decode to: what dst takes, and no more than a block holds, however large dst is. */
export function roomOf(dst: Uint8Array): number {
  return Math.min(lengthOf(dst), SOURCE_BYTES_MAX);
}

/** The error for a block that is none, or one of more bytes than dst has. */
export function notABlock(format: string, dst: Uint8Array, options?: { cause?: unknown }): CompcacheError {
  return new CompcacheError('EIO', 'codec.decompress', `not a ${format} block that fits ${roomOf(dst)} bytes`, options);
}

/** Makes a block by foreign code, whose errors are EIO. */
export function encoded(encode: () => Uint8Array): Uint8Array {
  try {
    return encode();
  } catch (cause) {
    throw new CompcacheError('EIO', 'codec.compress', 'the encoder of this host failed', { cause });
  }
}

/** Copies a block out; 0 when it does not fit. */
export function deliver(block: Uint8Array, dst: Uint8Array): number {
  if (block.length > lengthOf(dst)) return 0;
  copyOut('codec.compress', 'dst', dst, block);
  return block.length;
}

/** Copies decoded bytes out. EINVAL when dst does not hold them any more. */
export function deliverDecoded(bytes: Uint8Array, dst: Uint8Array): number {
  copyOut('codec.decompress', 'dst', dst, bytes);
  return bytes.length;
}
