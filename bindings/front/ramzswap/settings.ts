/** Settings and options of a ramzswap: each is read once, into what is used from then on. */
import { PRIORITY_MASK } from '../../../assembly/abi.ts';
import { ALLOCATOR_OPTIONS, requireAllocator } from '../../allocators.ts';
import type { BackingStore } from '../../backing/types.ts';
import { CORE_CODECS, type CoreCodecName } from '../../codec/core.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import type { LoadableCodec } from '../../codec/index.ts';
import { CompcacheError, show, takeOptions } from '../../errors.ts';
import type { Ram } from '../../ram.ts';
import { parseBytes } from '../../sizes.ts';
import type { AllocatorName, Codec, RamOptions, ZpoolOptions } from '../../types.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import { RAM_KEYS, codecNow, requireFlag, requirePlace, requireTakenStore } from '../common/options.ts';

export const PRIORITIES = PRIORITY_MASK + 1;
/** Pages of the largest device: they are numbered by 32 bits. */
const PAGES_MAX = 2 ** 32 - 1;

type CodecOption = CoreCodecName | LoadableCodec | Codec;

/** What can be set until init. */
export interface RamzswapSettings {
  /** Bytes of the device, or '256MiB'; rounded up to whole pages. */
  disksize?: number | string;
  /** The most bytes of the pool's frames; 0: no limit. May be changed later. Default 0. */
  memlimit?: number | string;
  /** Default 'zsmalloc', as zram; ramzswap of 2009 had 'xvmalloc'. */
  allocator?: AllocatorName;
  /** Options of that allocator. */
  zpool?: Omit<ZpoolOptions, 'name' | 'evict'>;
  /** Default 'lz4'. A codec that must be loaded is loaded by create, not by init. */
  codec?: CodecOption;
  /** Up to three further codecs for recompress, by priority 1 … 3. */
  recompCodecs?: readonly CodecOption[];
  /**
   * Where pages go that do not compress, or for which there is no memory. It stays the caller's to close, and is for one front
   * end at a time: from init until reset or close has ended, and all its calls with it.
   */
  backing?: BackingStore;
  /** Whether page 0 is made a swap header, as ramzswap did. Default false. */
  swapHeader?: boolean;
}

export interface RamzswapOptions extends RamzswapSettings, Omit<RamOptions, 'firstFrame'> {
  /** A RAM that it shares with others. Default: one of its own, large enough for a device of incompressible pages. */
  ram?: Ram;
  /** The most calls of an asynchronous store that may be under way, 1 … 1024. Default 32. */
  maxInFlight?: number;
  /** Milliseconds after which a call of an asynchronous store has failed. Default 30000. */
  timeout?: number;
  /**
   * Seconds, for the age of pages; for tests. Default: a monotonic clock. Called first in each call that reads, writes or marks:
   * what it throws comes out of that call as it is, and what is no finite number is EINVAL.
   */
  clock?: () => number;
}

export const SETTINGS = [
  'disksize',
  'memlimit',
  'allocator',
  'zpool',
  'codec',
  'recompCodecs',
  'backing',
  'swapHeader',
] as const;

/** A codec that was taken: a number for one of the core, a codec outside it, or the name of one that must be loaded. */
export type TakenCodec = number | ForeignCodec | string;

/** Settings as they were taken. */
export interface Settings {
  disksize?: number;
  memlimit?: number;
  allocator?: AllocatorName;
  zpool?: Omit<ZpoolOptions, 'name' | 'evict'>;
  codec?: TakenCodec;
  recompCodecs?: readonly TakenCodec[];
  backing?: BackingStore;
  swapHeader?: boolean;
}

/** The options of create, without the settings, which are by themselves. EINVAL. */
export function takeRamzswapOptions(op: string, given: unknown): { options: RamzswapOptions; settings: Settings } {
  const options = takeOptions<RamzswapOptions>(op, given, [
    ...SETTINGS,
    ...RAM_KEYS,
    'ram',
    'maxInFlight',
    'timeout',
    'clock',
  ]);
  requirePlace(op, options);
  const { clock } = options;
  if (clock !== undefined && typeof clock !== 'function')
    throw new CompcacheError('EINVAL', op, 'clock must be a function');
  return { options, settings: takeSettings(op, options) };
}

/** Settings that were read from the caller's object, checked, and copied as deep as they go. EINVAL. */
export function takeSettings(
  op: string,
  { disksize, memlimit, allocator, zpool, codec, recompCodecs, backing, swapHeader }: RamzswapSettings,
): Settings {
  const taken: Settings = {};
  if (disksize !== undefined) {
    pagesOf(op, disksize);
    taken.disksize = parseBytes(op, 'disksize', disksize);
  }
  if (memlimit !== undefined) taken.memlimit = parseBytes(op, 'memlimit', memlimit);
  if (allocator !== undefined) {
    requireAllocator(op, allocator);
    taken.allocator = allocator;
  }
  if (swapHeader !== undefined) {
    requireFlag(op, 'swapHeader', swapHeader);
    taken.swapHeader = swapHeader;
  }
  if (zpool !== undefined) taken.zpool = takeOptions<ZpoolOptions>(op, zpool, ALLOCATOR_OPTIONS);
  if (backing !== undefined) taken.backing = requireTakenStore(op, backing).source;
  if (codec !== undefined) taken.codec = takeCodecOption(op, codec);
  if (recompCodecs !== undefined) taken.recompCodecs = listOf(op, recompCodecs).map((one) => takeCodecOption(op, one));
  return taken;
}

function listOf(op: string, list: unknown): unknown[] {
  try {
    if (Array.isArray(list)) {
      const { length } = list;
      if (length < PRIORITIES) return Array.from({ length }, (_, i): unknown => list[i]);
    }
  } catch (cause) {
    throw new CompcacheError('EINVAL', op, 'recompCodecs cannot be read', { cause });
  }
  throw new CompcacheError('EINVAL', op, 'recompCodecs must be an array of up to three codecs');
}

function takeCodecOption(op: string, codec: unknown): TakenCodec {
  return typeof codec === 'string' && !Object.hasOwn(CORE_CODECS, codec) ? codec : codecNow(op, codec);
}

/** Name of a codec that was taken. */
export function codecName(codec: TakenCodec = 0): string {
  if (typeof codec === 'number') return Object.keys(CORE_CODECS)[codec] as CoreCodecName;
  return typeof codec === 'string' ? codec : codec.name;
}

/** Pages of a device of so many bytes. EINVAL. */
export function pagesOf(op: string, disksize: unknown): number {
  const bytes = parseBytes(op, 'disksize', disksize);
  const pages = Math.ceil(bytes / PAGE_SIZE);
  if (pages === 0 || pages > PAGES_MAX)
    throw new CompcacheError(
      'EINVAL',
      op,
      `disksize must be from 1 to ${PAGES_MAX * PAGE_SIZE} bytes, not ${show(disksize)}`,
    );
  return pages;
}
