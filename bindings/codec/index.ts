/** Codecs outside the core. Each is loaded when needed. */
import { PAGE_SIZE } from '../../assembly/abi.ts';
import { CompcacheError, show } from '../errors.ts';
import type { Codec } from '../plain-types.ts';
import { SOURCE_BYTES_MAX } from './blocks.ts';

type Maker = () => Promise<Codec | undefined>;

/** For each codec, functions that make it, best first. They return undefined on a host that does not have it. */
const MAKERS = {
  lz4js: [async () => (await import('./lz4js.ts')).loadLz4js()],
  deflate: [
    async () => (await import('./zlib.ts')).zlibDeflate(),
    async () => (await import('./fflate.ts')).fflateDeflate(),
  ],
  zstd: [async () => (await import('./zlib.ts')).zlibZstd()],
} satisfies Record<string, Maker[]>;

export type LoadableCodec = keyof typeof MAKERS;
/** Names that loadCodec knows. */
export const LOADABLE_CODECS = Object.keys(MAKERS) as readonly LoadableCodec[];

/** True when a codec decodes its own block of these bytes. */
function reads(codec: Codec, bytes: Uint8Array): boolean {
  const block = new Uint8Array(bytes.length + (bytes.length >>> 3) + 1024);
  const written = codec.compress(bytes, block);
  const decoded = new Uint8Array(bytes.length);
  return (
    written > 0 &&
    codec.decompress(block.subarray(0, written), decoded) === bytes.length &&
    decoded.every((byte, i) => byte === bytes[i])
  );
}

/**
 * Tests a codec with no bytes, a page, and the largest source full of noise. False when it cannot decode its own
 * blocks. Throws the codec's errors.
 */
function readsItsBlocks(codec: Codec): boolean {
  const page = Uint8Array.from({ length: PAGE_SIZE }, (_, i) => (i >>> 3) * 31);
  let state = 1;
  const noise = Uint8Array.from(
    { length: SOURCE_BYTES_MAX },
    () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24,
  );
  return [new Uint8Array(0), page, noise].every((bytes) => reads(codec, bytes));
}

/**
 * Loads a codec that is not in the core. Its blocks hold up to 64 KiB. A codec that cannot decode its own blocks on
 * this host is refused.
 * @param name 'lz4js': the portable reference LZ4. 'deflate': raw deflate, level 1, by the host's zlib, or else by
 *   fflate; each decodes the other's blocks. 'zstd': Zstandard, level 1, by the host's zlib
 * @throws EINVAL for an unknown name; ENODEV for 'zstd' on a host without zlib or whose zlib lacks it (Node has it in
 *   22.15 or later, and in 23.8 or later), and for a codec that fails here or cannot be imported
 */
export async function loadCodec(name: LoadableCodec): Promise<Codec> {
  if (typeof name !== 'string' || !Object.hasOwn(MAKERS, name)) {
    throw new CompcacheError(
      'EINVAL',
      'loadCodec',
      `unknown codec ${show(name)}; known: ${LOADABLE_CODECS.join(', ')}`,
    );
  }
  let found = false;
  let cause: unknown;
  for (const make of MAKERS[name] as Maker[]) {
    try {
      const codec = await make();
      if (codec === undefined) continue;
      found = true;
      if (readsItsBlocks(codec)) return codec;
    } catch (error) {
      found = true;
      cause ??= error;
    }
  }
  const message = found
    ? `the ${name} of this host cannot be used: it fails, or cannot read its own blocks`
    : 'this host has no zstd; Node has it in 22.15 or later, and in 23.8 or later';
  throw new CompcacheError('ENODEV', 'loadCodec', message, cause === undefined ? undefined : { cause });
}
