/** Codecs outside the core, loaded when asked for. */
import { CompcacheError, show } from '../errors.ts';
import type { Codec } from '../types.ts';

/** Names that loadCodec knows. */
export const LOADABLE_CODECS = ['lz4js'] as const;
export type LoadableCodec = (typeof LOADABLE_CODECS)[number];

/**
 * Loads a codec that is not in the core.
 * @param name 'lz4js': the portable reference
 * @throws EINVAL for an unknown name
 */
export async function loadCodec(name: LoadableCodec): Promise<Codec> {
  if (name === 'lz4js') return (await import('./lz4js.ts')).loadLz4js();
  throw new CompcacheError('EINVAL', 'loadCodec', `unknown codec ${show(name)}; known: ${LOADABLE_CODECS.join(', ')}`);
}
