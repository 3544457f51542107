/**
 * Codecs of a device: their numbers, and calls of those that are not of the core. Such a codec is foreign code: whoever calls
 * it looks at the state anew afterwards.
 */
import { ANSWERS_END, FIRST_FOREIGN } from '../../../assembly/abi.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { compressed, decompressed } from '../common/codecs.ts';
import { codecNow } from '../common/options.ts';
import type { Settings } from './settings.ts';
import type { Codecs, Device, State } from './state.ts';

/** An answer of ours, beside those of the core. */
export const CODEC_FAILED = ANSWERS_END;

/** The codecs that settings name, numbered. EINVAL. */
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

/** Number of the codec of that priority; 0 is the one of writes. */
export function codecNumber({ codecs }: State, priority: number): number {
  return codecs.numbers[priority] as number;
}

/** The page whose block the core has put into the block buffer, in memory of ours. Foreign code runs. EIO. */
export function decompress({ codecs }: State, op: string, { core }: Device): Uint8Array {
  return decompressed(op, core, codecs.foreign);
}

/** The block of a page by a codec that is not of the core: of 0 bytes when it is too long; undefined when the codec fails. */
export function compress(
  { codecs, most }: State,
  op: string,
  number: number,
  page: Uint8Array,
): Uint8Array | undefined {
  return compressed(op, codecs.foreign, number, page, most);
}
