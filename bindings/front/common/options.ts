/** Options of zswap, and what they mean. */
import { ALLOCATOR_OPTIONS, requireAllocator } from '../../allocators.ts';
import type { BackingStore } from '../../backing/types.ts';
import { CORE_CODECS, type CoreCodecName } from '../../codec/core.ts';
import { takeCodec, type ForeignCodec } from '../../codec/foreign.ts';
import { loadCodec, type LoadableCodec } from '../../codec/index.ts';
import { CompcacheError, show, takeOptions } from '../../errors.ts';
import { RAM_OPTIONS, rams, type Ram } from '../../ram.ts';
import type { AllocatorName, Codec, RamOptions, ZpoolOptions } from '../../types.ts';

export interface ZswapOptions extends Omit<RamOptions, 'firstFrame'> {
  /** A RAM that it shares with others. Default: one of its own, made with `bytes`, `limit`, `build`, `simd`, `module`. */
  ram?: Ram;
  /** Default 'zsmalloc'. */
  allocator?: AllocatorName;
  /** Options of that allocator: `layout`, `chainSize`, … */
  zpool?: Omit<ZpoolOptions, 'name' | 'evict'>;
  /** A codec of the core ('lz4', 'lz4hc'), one that loadCodec knows, or any other. Default 'lz4'. */
  codec?: CoreCodecName | LoadableCodec | Codec;
  /** Whether pages are stored. Without, those that are there stay until they are loaded, invalidated or written back. Default true. */
  enabled?: boolean;
  /** The most frames it may have, its metadata included, in percent of all frames of the RAM, 0 … 100. Default 100. */
  maxPoolPercent?: number;
  /**
   * Once that limit was reached, pages are accepted again at this percentage of it, 0 … 100; 100: at once. Default 90. With a
   * synchronous store one store() in many writes all that lies between: at 100 each of them writes little.
   */
  acceptThresholdPercent?: number;
  /** Whether a page of equal 32-bit words is kept as that word, without memory of the pool. Default true. */
  sameFilled?: boolean;
  /** Whether a page that was loaded goes: for callers that keep it. Default false. */
  exclusiveLoads?: boolean;
  /** What is written back first: the least recently used page, or the pool's least recently used frame or zspage, whole. Default 'entry'. */
  victims?: 'entry' | 'page';
  /** What becomes of a page that does not compress: kept as it is, or refused. Default: kept if there is a store. */
  incompressible?: 'keep' | 'refuse';
  /** 'dense' takes 8 bytes a page instead of 20 to 40, for offsets that lie close together; only type 0 and victims 'entry' then. Default 'sparse'. */
  index?: 'sparse' | 'dense';
  /**
   * Where the coldest pages go. It stays the caller's to close, and belongs to one front end at a time: another one is EBUSY
   * until the first is closed and its last call of the store has ended. Its `mode` and `slots` are read once. Default: none,
   * and nothing is written back.
   */
  store?: BackingStore;
  /** Whether blocks are written as they are. Without, pages are decompressed first. Default true. */
  writebackCompressed?: boolean;
  /** How many pages may be written back from now on. Default Infinity. */
  writebackLimit?: number;
  /** The most calls of an asynchronous store that may be under way, 1 … 1024. Default 32. */
  maxInFlight?: number;
  /** Milliseconds after which a call of an asynchronous store has failed, 1 … 2^31 - 1. Default 30000. */
  timeout?: number;
}

const OWN = [
  'ram', 'allocator', 'zpool', 'codec', 'enabled', 'maxPoolPercent', 'acceptThresholdPercent', 'sameFilled', 'exclusiveLoads', 'victims',
  'incompressible', 'index', 'store', 'writebackCompressed', 'writebackLimit', 'maxInFlight', 'timeout',
] as const;
/** Options of a RAM of its own. */
export const RAM_KEYS = RAM_OPTIONS.filter((key) => key !== 'firstFrame');

/** Requires a percentage. EINVAL. */
export function requirePercent(op: string, what: string, value: unknown): asserts value is number {
  requireRange(op, what, value, 0, 100);
}

/** Requires a whole number of a range. EINVAL. */
export function requireRange(op: string, what: string, value: unknown, least: number, most: number): asserts value is number {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) {
    throw new CompcacheError('EINVAL', op, `${what} must be a whole number from ${least} to ${most}, not ${show(value)}`);
  }
}

/** Requires true or false. EINVAL. */
export function requireFlag(op: string, what: string, value: unknown): asserts value is boolean {
  if (typeof value !== 'boolean') throw new CompcacheError('EINVAL', op, `${what} must be true or false, not ${show(value)}`);
}

/** Requires one of some words. EINVAL. */
export function requireWord(op: string, what: string, value: unknown, words: readonly string[]): void {
  if (!words.includes(value as string)) throw new CompcacheError('EINVAL', op, `${what} must be ${words.map(show).join(' or ')}, not ${show(value)}`);
}

/** A backing store as it was when it was checked: its mode and size are read once. */
export interface TakenStore {
  source: BackingStore;
  isSync: boolean;
  /** Slots that front ends can number. */
  slots: number;
}

/** The most slots that front ends number. */
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

/** What every front end is told of its RAM and of the calls of its store. */
interface Place extends RamOptions {
  ram?: Ram;
  maxInFlight?: number;
  timeout?: number;
}

/** Checks them: a RAM that is given has no options. EINVAL. */
export function requirePlace(op: string, options: Place): void {
  const { ram, maxInFlight, timeout } = options;
  if (ram !== undefined && !rams.is(ram)) throw new CompcacheError('EINVAL', op, `ram must be a Ram, not ${show(ram)}`);
  const both = RAM_KEYS.find((key) => ram !== undefined && options[key] !== undefined);
  if (both !== undefined) throw new CompcacheError('EINVAL', op, `${both} is an option of a RAM of its own; ram is given`);
  if (maxInFlight !== undefined) requireRange(op, 'maxInFlight', maxInFlight, 1, 1024);
  if (timeout !== undefined) requireRange(op, 'timeout', timeout, 1, 2 ** 31 - 1);
}

/** Options of zswap that were checked. */
export interface TakenZswapOptions extends Omit<ZswapOptions, 'store'> {
  store?: TakenStore;
}

/**
 * Checks all options that need no RAM. EINVAL.
 * @returns a copy of them as they were checked: creating waits, and the caller's object may change meanwhile
 */
export function requireZswapOptions(op: string, given: ZswapOptions): TakenZswapOptions {
  const options = takeOptions<ZswapOptions>(op, given, [...OWN, ...RAM_KEYS]);
  const { allocator, maxPoolPercent, acceptThresholdPercent, writebackLimit } = options;
  requirePlace(op, options);
  if (allocator !== undefined) requireAllocator(op, allocator);
  if (maxPoolPercent !== undefined) requirePercent(op, 'maxPoolPercent', maxPoolPercent);
  if (acceptThresholdPercent !== undefined) requirePercent(op, 'acceptThresholdPercent', acceptThresholdPercent);
  for (const key of ['enabled', 'sameFilled', 'exclusiveLoads', 'writebackCompressed'] as const) {
    if (options[key] !== undefined) requireFlag(op, key, options[key]);
  }
  if (options.victims !== undefined) requireWord(op, 'victims', options.victims, ['entry', 'page']);
  if (options.incompressible !== undefined) requireWord(op, 'incompressible', options.incompressible, ['keep', 'refuse']);
  if (options.index !== undefined) requireWord(op, 'index', options.index, ['sparse', 'dense']);
  if (options.index === 'dense' && options.victims === 'page') throw new CompcacheError('EINVAL', op, "index 'dense' needs victims 'entry'");
  if (options.zpool !== undefined) options.zpool = takeOptions<ZpoolOptions>(op, options.zpool, ALLOCATOR_OPTIONS);
  if (writebackLimit !== undefined && writebackLimit !== Infinity) requireRange(op, 'writebackLimit', writebackLimit, 0, Number.MAX_SAFE_INTEGER);
  const { store, ...others } = options;
  return store === undefined ? others : { ...others, store: requireTakenStore(op, store) };
}

/** The codec that an option names: a number for one of the core, else the codec. EINVAL, ENODEV. */
export async function resolveCodec(op: string, codec: unknown): Promise<number | ForeignCodec> {
  return codecNow(op, typeof codec === 'string' && !Object.hasOwn(CORE_CODECS, codec) ? await loadCodec(codec as LoadableCodec) : codec);
}

/** The same for what need not be loaded. EINVAL. */
export function codecNow(op: string, codec: unknown): number | ForeignCodec {
  if (typeof codec !== 'string') return takeCodec(op, codec);
  if (Object.hasOwn(CORE_CODECS, codec)) return CORE_CODECS[codec as CoreCodecName];
  throw new CompcacheError('EINVAL', op, `codec must be of the core (${Object.keys(CORE_CODECS).join(', ')}) or a Codec, which loadCodec gives; not ${show(codec)}`);
}
