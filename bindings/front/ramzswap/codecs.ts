/**
 * The codecs of a device: their numbers, and calls of foreign codecs. After such a call, the caller must look up all
 * state again.
 */
import { ANSWERS_END, FIRST_FOREIGN } from '../../../assembly/abi.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { compressed, decompressed } from '../common/codecs.ts';
import { codecNow } from '../common/options.ts';
import type { Settings } from './settings.ts';
import type { Codecs, Device, State } from './state.ts';

/** A result besides those of the core. */
export const CODEC_FAILED = ANSWERS_END;

/** The codecs of the settings, with their numbers. EINVAL. */
export function numbered({ loaded }: State, op: string, settings: Settings): Codecs {
  const foreign: ForeignCodec[] = [];
  const numbers = [settings.codec ?? 0, ...(settings.recompCodecs ?? [])].map((taken) => {
    const codec = typeof taken === 'string' ? (loaded.get(taken) ?? codecNow(op, taken)) : taken;
    if (typeof codec === 'number') return codec;
    foreign.push(codec);
    return FIRST_FOREIGN + foreign.length - 1;
  });
  return { numbers, foreign };
}

/** The number of the codec with this priority. Writes use priority 0. */
export function codecNumber({ codecs }: State, priority: number): number {
  return codecs.numbers[priority] as number;
}

/** Decompresses the block in the block buffer. Returns a copy of the page. Runs foreign code. EIO. */
export function decompress({ codecs }: State, op: string, { core }: Device): Uint8Array {
  return decompressed(op, core, codecs.foreign);
}

/**
 * Compresses a page with a foreign codec. Returns 0 bytes when the block is too long; undefined when the codec fails.
 */
export function compress(
  { codecs, most }: State,
  op: string,
  number: number,
  page: Uint8Array,
): Uint8Array | undefined {
  return compressed(op, codecs.foreign, number, page, most);
}
