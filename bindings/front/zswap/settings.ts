/**
 * Options (ZswapOptions) and settings of a zswap. Options are read once and checked. Only tellSettings and Budget call
 * the core.
 */
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
  /**
   * A RAM that other front ends or pools may use, too. Default: a new RAM, made with `bytes`, `limit`, `build`, `simd`,
   * `module`.
   */
  ram?: Ram;
  /** Default 'zsmalloc'. */
  allocator?: AllocatorName;
  /** Options of that allocator: `layout`, `chainSize`, … */
  zpool?: Omit<ZpoolOptions, 'name' | 'evict'>;
  /** A codec of the core ('lz4', 'lz4hc'), one that loadCodec has, or any other. Default 'lz4'. */
  codec?: CoreCodecName | LoadableCodec | Codec;
  /**
   * True when pages are stored. With false, pages that are there stay until they are loaded, invalidated or written
   * back. Default true.
   */
  enabled?: boolean;
  /** The most frames it may have, with its metadata, in percent of all frames of the RAM, 0 … 100. Default 100. */
  maxPoolPercent?: number;
  /**
   * Without a store: after the limit was reached, pages are accepted again at this percentage of the limit, 0 … 100;
   * with 100, at once. With a store: each store() above the middle between this and the limit writes 1 to 16 entries
   * back, so that the limit is rarely reached. If it is reached, each store() writes 8 or more back until this
   * percentage is reached. With victims 'page', several stores share a zspage that has more entries. With 100, nothing
   * is written before the limit. Default 90.
   */
  acceptThresholdPercent?: number;
  /** True when a same-filled page is stored as its fill word, without memory of the pool. Default true. */
  sameFilled?: boolean;
  /** True when a load removes the page, for callers that then have it themselves. Default false. */
  exclusiveLoads?: boolean;
  /**
   * What is written back first: the least recently used page, or all pages of the pool's least recently used frame or
   * zspage. Default 'entry'.
   */
  victims?: 'entry' | 'page';
  /**
   * What happens to a page that does not compress: it is stored raw, or refused. Default: 'keep' if there is a store,
   * else 'refuse'.
   */
  incompressible?: 'keep' | 'refuse';
  /**
   * 'dense' takes 8 bytes for a page instead of 20 to 40, if offsets lie close together. It has only type 0 and victims
   * 'entry'. Default 'sparse'.
   */
  index?: 'sparse' | 'dense';
  /**
   * Where the coldest pages go. The caller closes it. It belongs to one front end at a time: another one gets EBUSY
   * until the first one is closed and its last call of the store has ended. Its `mode` and `slots` are read once.
   * Default: no store, and nothing is written back.
   */
  store?: BackingStore;
  /** True when compressed blocks are written as they are. With false, pages are decompressed first. Default true. */
  writebackCompressed?: boolean;
  /** How many pages may be written back from now on. Default Infinity. */
  writebackLimit?: number;
  /** The most calls of an asynchronous store at a time, 1 … 1024. Default 32. */
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
/** Options of a zswap in checked form. */
export interface TakenZswapOptions extends Omit<ZswapOptions, 'store'> {
  store?: TakenStore;
}

/**
 * Checks all options that need no RAM. EINVAL.
 * @returns a copy of the checked options, because create waits, and the caller may change the object meanwhile
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

/** Settings that can be changed at any time. */
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

/** All settings of a zswap, which are also in its RAM. */
export interface SettingValues {
  enabled: boolean;
  exclusiveLoads: boolean;
  maxPoolPercent: number;
  acceptThresholdPercent: number;
  sameFilled: boolean;
  readonly victims: 'entry' | 'page';
  /** True when pages that do not compress are stored raw. */
  readonly keep: boolean;
  /** True when raw pages are written, not their blocks. */
  readonly raw: boolean;
  readonly maxInFlight: number;
  readonly timeout: number;
}

/** The settings from checked options. */
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

/** Tells the core the settings that it needs. */
export function tellSettings(
  { maxPoolPercent, acceptThresholdPercent, sameFilled, keep }: SettingValues,
  front: CoreExports,
  address: number,
): void {
  front.zswapSet(address, maxPoolPercent, acceptThresholdPercent, sameFilled ? 1 : 0, keep ? 1 : 0);
}

/** How many pages may still be written back. The core has the number; this class has a copy of it. */
export class Budget {
  readonly #front: CoreExports;
  readonly #address: number;
  #left: number;
  #number = 0;

  /** Reads the budget of a zswap from the core. */
  constructor(front: CoreExports, address: number) {
    this.#front = front;
    this.#address = address;
    this.#left = front.zswapBudget(address);
  }

  get left(): number {
    return this.#left;
  }

  /** How often the budget was set. A write that fails gives its page back only to the budget that it was taken from. */
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

  /** Gives one page back, if the budget was not set since. */
  giveBack(number: number): void {
    if (number === this.#number) this.#keep(this.#left + 1);
  }

  #keep(left: number): void {
    this.#left = left;
    this.#front.zswapSetBudget(this.#address, left);
  }
}
