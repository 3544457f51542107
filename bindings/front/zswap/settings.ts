/** What a zswap is told, at first (ZswapOptions) and later. Options are read once and checked; only tellSettings and Budget touch the core. */
import { ALLOCATOR_OPTIONS, requireAllocator } from '../../allocators.ts';
import type { BackingStore } from '../../backing/types.ts';
import type { CoreCodecName } from '../../codec/core.ts';
import type { LoadableCodec } from '../../codec/index.ts';
import { CompcacheError, takeOptions } from '../../errors.ts';
import type { Ram } from '../../ram.ts';
import type { AllocatorName, Codec, RamOptions, ZpoolOptions } from '../../types.ts';
import type { CoreExports } from '../../wasm.ts';
import {
  RAM_KEYS,
  requireFlag,
  requirePercent,
  requirePlace,
  requireRange,
  requireTakenStore,
  requireWord,
  type TakenStore,
} from '../common/options.ts';

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
   * Without a store: once that limit was reached, pages are accepted again at this percentage of it, 0 … 100; 100: at once.
   * With one, each store() above the middle between this and the limit writes 1 to 16 entries back, so that the limit is hardly
   * ever reached; if it is, 8 or more each until this percentage. A zspage with more (victims 'page') is written by several. 100: nothing is written before the limit. Default 90.
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
  'ram',
  'allocator',
  'zpool',
  'codec',
  'enabled',
  'maxPoolPercent',
  'acceptThresholdPercent',
  'sameFilled',
  'exclusiveLoads',
  'victims',
  'incompressible',
  'index',
  'store',
  'writebackCompressed',
  'writebackLimit',
  'maxInFlight',
  'timeout',
] as const;
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
  if (options.incompressible !== undefined)
    requireWord(op, 'incompressible', options.incompressible, ['keep', 'refuse']);
  if (options.index !== undefined) requireWord(op, 'index', options.index, ['sparse', 'dense']);
  if (options.index === 'dense' && options.victims === 'page')
    throw new CompcacheError('EINVAL', op, "index 'dense' needs victims 'entry'");
  if (options.zpool !== undefined) options.zpool = takeOptions<ZpoolOptions>(op, options.zpool, ALLOCATOR_OPTIONS);
  if (writebackLimit !== undefined && writebackLimit !== Infinity)
    requireRange(op, 'writebackLimit', writebackLimit, 0, Number.MAX_SAFE_INTEGER);
  const { store, ...others } = options;
  return store === undefined ? others : { ...others, store: requireTakenStore(op, store) };
}

/** Settings that may be changed while there are pages. */
export type Setting = 'enabled' | 'exclusiveLoads' | 'maxPoolPercent' | 'acceptThresholdPercent' | 'sameFilled';

const CHECKS: Record<Setting, (op: string, what: string, value: unknown) => void> = {
  enabled: requireFlag,
  exclusiveLoads: requireFlag,
  maxPoolPercent: requirePercent,
  acceptThresholdPercent: requirePercent,
  sameFilled: requireFlag,
};

/** Checks the value of a setting. EINVAL. */
export function requireSetting(op: string, which: Setting, value: unknown): void {
  CHECKS[which](op, which, value);
}

/** All that a zswap goes by, and that is kept in its RAM. */
export interface SettingValues {
  enabled: boolean;
  exclusiveLoads: boolean;
  maxPoolPercent: number;
  acceptThresholdPercent: number;
  sameFilled: boolean;
  readonly victims: 'entry' | 'page';
  /** Whether pages that do not compress are kept. */
  readonly keep: boolean;
  /** Whether pages are written as they are, not their blocks. */
  readonly raw: boolean;
  readonly maxInFlight: number;
  readonly timeout: number;
}

/** The settings that options ask for. */
export function settingsOf(options: TakenZswapOptions): SettingValues {
  return {
    enabled: options.enabled ?? true,
    exclusiveLoads: options.exclusiveLoads ?? false,
    maxPoolPercent: options.maxPoolPercent ?? 100,
    acceptThresholdPercent: options.acceptThresholdPercent ?? 90,
    sameFilled: options.sameFilled ?? true,
    victims: options.victims ?? 'entry',
    keep: (options.incompressible ?? (options.store === undefined ? 'refuse' : 'keep')) === 'keep',
    raw: options.writebackCompressed === false,
    maxInFlight: options.maxInFlight ?? 32,
    timeout: options.timeout ?? 30_000,
  };
}

/** Tells the core those settings that it has to know. */
export function tellSettings(
  { maxPoolPercent, acceptThresholdPercent, sameFilled, keep }: SettingValues,
  front: CoreExports,
  address: number,
): void {
  front.zswapSet(address, maxPoolPercent, acceptThresholdPercent, sameFilled ? 1 : 0, keep ? 1 : 0);
}

/** How many pages may still be written back. The core keeps the number, and this one what it was last. */
export class Budget {
  readonly #front: CoreExports;
  readonly #address: number;
  #left: number;
  #number = 0;

  /** The budget of a zswap, as it is in the core. */
  constructor(front: CoreExports, address: number) {
    this.#front = front;
    this.#address = address;
    this.#left = front.zswapBudget(address);
  }

  get left(): number {
    return this.#left;
  }

  /** How often it was set: what a write gives back, it gives to the one that it took from. */
  get number(): number {
    return this.#number;
  }

  set(left: number): void {
    this.#keep(left);
    this.#number += 1;
  }

  take(): void {
    this.#keep(this.#left - 1);
  }

  /** Gives one back to the budget with that number, if that is still the one. */
  giveBack(number: number): void {
    if (number === this.#number) this.#keep(this.#left + 1);
  }

  #keep(left: number): void {
    this.#left = left;
    this.#front.zswapSetBudget(this.#address, left);
  }
}
