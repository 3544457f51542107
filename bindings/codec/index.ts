/** Codecs outside the core, loaded when asked for. */
import { CompcacheError, show } from '../errors.ts';
import type { Codec } from '../types.ts';

const LOADERS = {
  lz4js: async (): Promise<Codec> => (await import('./lz4js.ts')).loadLz4js(),
  deflate: async (): Promise<Codec> => (await import('./zlib.ts')).zlibDeflate() ?? (await import('./fflate.ts')).fflateDeflate(),
  zstd: async (): Promise<Codec | undefined> => (await import('./zlib.ts')).zlibZstd(),
};

export type LoadableCodec = keyof typeof LOADERS;
/** Names that loadCodec knows. */
export const LOADABLE_CODECS = Object.keys(LOADERS) as readonly LoadableCodec[];

/**
 * Loads a codec that is not in the core. Its blocks hold up to 64 KiB.
 * @param name 'lz4js': the portable reference LZ4. 'deflate': raw deflate, level 1, by the host's zlib or else by fflate; each
 *   reads the other's blocks. 'zstd': Zstandard, level 1, by the host's zlib
 * @throws EINVAL for an unknown name; ENODEV for 'zstd' on a host whose zlib lacks it (Node has it in 22.15 or later, and in 23.8 or later) or that has none
 */
export async function loadCodec(name: LoadableCodec): Promise<Codec> {
  if (typeof name !== 'string' || !Object.hasOwn(LOADERS, name)) {
    throw new CompcacheError('EINVAL', 'loadCodec', `unknown codec ${show(name)}; known: ${LOADABLE_CODECS.join(', ')}`);
  }
  const codec = await LOADERS[name]();
  if (codec === undefined) throw new CompcacheError('ENODEV', 'loadCodec', 'this host has no zstd; Node has it in 22.15 or later, and in 23.8 or later');
  return codec;
}
