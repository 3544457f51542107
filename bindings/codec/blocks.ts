/**
 * Functions that the codecs outside the core share: limits, reading the caller's bytes, and writing the result.
 *
 * Foreign code (zlib, fflate, lz4js) gets copies and never a caller's array. It may read bytes twice and must find them
 * unchanged, some hosts refuse views of shared or resizable memory, and a caller's array may have its own methods.
 */
import { copyOf, copyOut, lengthOf, requireBytes } from '../bytes.ts';
import { CompcacheError } from '../errors.ts';

/** The most bytes that one block may decode to. */
export const SOURCE_BYTES_MAX = 65536;

/** A copy of compress's source. Checks dst too. EINVAL. */
export function takeSource(src: unknown, dst: unknown): Uint8Array<ArrayBuffer> {
  const op = 'codec.compress';
  requireBytes(op, 'src', src);
  requireBytes(op, 'dst', dst);
  if (lengthOf(src) > SOURCE_BYTES_MAX)
    throw new CompcacheError('EINVAL', op, `src is ${lengthOf(src)} bytes, at most ${SOURCE_BYTES_MAX}`);
  return copyOf(op, 'src', src);
}

/** A copy of decompress's block. Checks dst too. EINVAL. */
export function takeBlock(src: unknown, dst: unknown): Uint8Array<ArrayBuffer> {
  requireBytes('codec.decompress', 'src', src);
  requireBytes('codec.decompress', 'dst', dst);
  return copyOf('codec.decompress', 'src', src);
}

/** The most bytes that a block may decode to: the length of dst, and never more than SOURCE_BYTES_MAX. */
export function roomOf(dst: Uint8Array): number {
  return Math.min(lengthOf(dst), SOURCE_BYTES_MAX);
}

/** The error for bytes that are not a valid block, or for a block that decodes to more bytes than dst has. */
export function notABlock(format: string, dst: Uint8Array, options?: { cause?: unknown }): CompcacheError {
  return new CompcacheError('EIO', 'codec.decompress', `not a ${format} block that fits ${roomOf(dst)} bytes`, options);
}

/** Calls foreign code that makes a block. Its errors become EIO. */
export function encoded(encode: () => Uint8Array): Uint8Array {
  try {
    return encode();
  } catch (cause) {
    throw new CompcacheError('EIO', 'codec.compress', 'the encoder of this host failed', { cause });
  }
}

/** Copies a block to dst. Returns 0 when it does not fit. */
export function deliver(block: Uint8Array, dst: Uint8Array): number {
  if (block.length > lengthOf(dst)) return 0;
  copyOut('codec.compress', 'dst', dst, block);
  return block.length;
}

/** Copies decoded bytes to dst. EINVAL when they no longer fit there. */
export function deliverDecoded(bytes: Uint8Array, dst: Uint8Array): number {
  copyOut('codec.decompress', 'dst', dst, bytes);
  return bytes.length;
}
