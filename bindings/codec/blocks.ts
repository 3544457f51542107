/** What the codecs outside the core share: their limits, and the check of their arguments. */
import { lengthOf, requireBytes } from '../bytes.ts';
import { CompcacheError } from '../errors.ts';

/** The most bytes that one block may hold. */
export const BLOCK_MAX = 65536;

/** Requires what compress takes. EINVAL. */
export function requireSource(src: unknown, dst: unknown): void {
  const op = 'codec.compress';
  requireBytes(op, 'src', src);
  requireBytes(op, 'dst', dst);
  if (lengthOf(src) > BLOCK_MAX) throw new CompcacheError('EINVAL', op, `src is ${lengthOf(src)} bytes, at most ${BLOCK_MAX}`);
}

/** Requires what decompress takes. EINVAL. */
export function requireBlock(src: unknown, dst: unknown): void {
  requireBytes('codec.decompress', 'src', src);
  requireBytes('codec.decompress', 'dst', dst);
}

/** The most bytes that a block may decode to: what dst takes, and no more than a block holds, however large dst is. */
export function roomOf(dst: Uint8Array): number {
  return Math.min(lengthOf(dst), BLOCK_MAX);
}

/** The error for a block that is none, or one of more bytes than dst has. */
export function notABlock(format: string, dst: Uint8Array, options?: { cause?: unknown }): CompcacheError {
  return new CompcacheError('EIO', 'codec.decompress', `not a ${format} block that fits ${roomOf(dst)} bytes`, options);
}

/** Copies a block out; 0 when it does not fit. */
export function deliver(block: Uint8Array, dst: Uint8Array): number {
  if (block.length > lengthOf(dst)) return 0;
  dst.set(block);
  return block.length;
}

/** The same bytes out of reach of other threads: foreign code may read them twice and must find them unchanged. */
export function unshared(bytes: Uint8Array): Uint8Array {
  const shared = Object.prototype.toString.call(bytes.buffer) === '[object SharedArrayBuffer]';
  return shared ? new Uint8Array(bytes) : bytes;
}
