/** What the page path asks of its arguments. */
import { lengthOf, requireBytes } from '../bytes.ts';
import { CompcacheError, show } from '../errors.ts';
import type { Codec } from '../types.ts';
import { PAGE_SIZE } from '../wasm.ts';
import { CoreCodec } from './core.ts';

/** Whether to take the core's own path; any codec of the core is the same there. */
export function isCoreCodec(codec: Codec | undefined): codec is undefined | CoreCodec {
  return codec === undefined || codec instanceof CoreCodec;
}

/** Requires a codec, or none; EINVAL otherwise. */
export function requireCodec(op: string, codec: unknown): void {
  if (codec === undefined) return;
  const { compress, decompress } = (codec ?? {}) as Partial<Codec>;
  if (typeof compress !== 'function' || typeof decompress !== 'function') throw new CompcacheError('EINVAL', op, `codec must be a Codec, not ${show(codec)}`);
}

/** Requires 4096 bytes; EINVAL otherwise. */
export function requirePage(op: string, what: string, page: Uint8Array): void {
  requireBytes(op, what, page);
  if (lengthOf(page) !== PAGE_SIZE) throw new CompcacheError('EINVAL', op, `${what} must have ${PAGE_SIZE} bytes, not ${lengthOf(page)}`);
}
