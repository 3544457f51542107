/** Arguments and options of both front ends. Each is read once and checked. */
import type { BackingStore } from '../../backing/types.ts';
import { CORE_CODECS, type CoreCodecName } from '../../codec/core.ts';
import { takeCodec, type ForeignCodec } from '../../codec/foreign.ts';
import { loadCodec, type LoadableCodec } from '../../codec/index.ts';
import { CompcacheError, show } from '../../errors.ts';
import { RAM_OPTIONS } from '../../ram-options.ts';
import { rams, type Ram } from '../../ram.ts';
import type { RamOptions } from '../../types.ts';

/** Options of a RAM that the front end makes itself. */
export const RAM_KEYS = RAM_OPTIONS.filter((key) => key !== 'firstFrame');

/** Requires a percentage. EINVAL. */
export function requirePercent(op: string, what: string, value: unknown): asserts value is number {
  requireRange(op, what, value, 0, 100);
}

/** Requires a whole number in a range. EINVAL. */
export function requireRange(
  op: string,
  what: string,
  value: unknown,
  least: number,
  most: number,
): asserts value is number {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) {
    throw new CompcacheError(
      'EINVAL',
      op,
      `${what} must be a whole number from ${least} to ${most}, not ${show(value)}`,
      { detail: { argument: what, least, most } },
    );
  }
}

/** Requires true or false. EINVAL. */
export function requireFlag(op: string, what: string, value: unknown): asserts value is boolean {
  if (typeof value !== 'boolean')
    throw new CompcacheError('EINVAL', op, `${what} must be true or false, not ${show(value)}`, {
      detail: { argument: what },
    });
}

/** Requires one of these words. EINVAL. */
export function requireWord(op: string, what: string, value: unknown, words: readonly string[]): void {
  if (!words.includes(value as string))
    throw new CompcacheError('EINVAL', op, `${what} must be ${words.map(show).join(' or ')}, not ${show(value)}`, {
      detail: { argument: what },
    });
}

/** A backing store, with its mode and size at the time of the check. Both are read once. */
export interface TakenStore {
  source: BackingStore;
  isSync: boolean;
  /** Slots that the front end can use. */
  slots: number;
}

/** The most slots that a front end can use. */
const SLOTS_MAX = 2 ** 32 - 1;

/** Checks a backing store. EINVAL. */
export function requireTakenStore(op: string, store: unknown): TakenStore {
  let given: Partial<BackingStore>;
  try {
    const { mode, slots, read, write, free } = (store ?? {}) as BackingStore;
    given = { mode, slots, read, write, free } as Partial<BackingStore>;
  } catch (cause) {
    throw new CompcacheError('EINVAL', op, 'store cannot be read', { cause });
  }
  const { mode, slots = SLOTS_MAX } = given;
  const whole = [given.read, given.write, given.free].every((method) => typeof method === 'function');
  if (typeof store !== 'object' || !whole || (mode !== 'sync' && mode !== 'async')) {
    throw new CompcacheError('EINVAL', op, `store must be a BackingStore, not ${show(store)}`);
  }
  requireRange(op, 'store.slots', slots, 1, 2 ** 32);
  return { source: store as BackingStore, isSync: mode === 'sync', slots: Math.min(slots, SLOTS_MAX) };
}

/** Options of every front end for its RAM and for the calls of its store. */
interface Place extends RamOptions {
  ram?: Ram;
  maxInFlight?: number;
  timeout?: number;
}

/** Checks these options. Options of a RAM are not allowed when `ram` is given. EINVAL. */
export function requirePlace(op: string, options: Place): void {
  const { ram, maxInFlight, timeout } = options;
  if (ram !== undefined && !rams.is(ram)) throw new CompcacheError('EINVAL', op, `ram must be a Ram, not ${show(ram)}`);
  const both = RAM_KEYS.find((key) => ram !== undefined && options[key] !== undefined);
  if (both !== undefined)
    throw new CompcacheError('EINVAL', op, `${both} is only for a RAM that the front end makes itself; ram is given`);
  if (maxInFlight !== undefined) requireRange(op, 'maxInFlight', maxInFlight, 1, 1024);
  if (timeout !== undefined) requireRange(op, 'timeout', timeout, 1, 2 ** 31 - 1);
}

/** The codec that an option names: a number for a codec of the core, else the codec. EINVAL, ENODEV. */
export async function resolveCodec(op: string, codec: unknown): Promise<number | ForeignCodec> {
  return codecNow(
    op,
    typeof codec === 'string' && !Object.hasOwn(CORE_CODECS, codec) ? await loadCodec(codec as LoadableCodec) : codec,
  );
}

/** resolveCodec for codecs that need not be loaded. EINVAL. */
export function codecNow(op: string, codec: unknown): number | ForeignCodec {
  if (typeof codec !== 'string') return takeCodec(op, codec);
  if (Object.hasOwn(CORE_CODECS, codec)) return CORE_CODECS[codec as CoreCodecName];
  throw new CompcacheError(
    'EINVAL',
    op,
    `codec must be of the core (${Object.keys(CORE_CODECS).join(', ')}) or a Codec (see loadCodec), not ${show(codec)}`,
  );
}
