/** Settings and options of a ramzswap. Each is read once and copied. */
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
/** Pages of the largest device: page numbers have 32 bits. */
const PAGES_MAX = 2 ** 32 - 1;

type CodecOption = CoreCodecName | LoadableCodec | Codec;

/** What can be set until init. */
export interface RamzswapSettings {
  /** Bytes of the device, or '256MiB'; rounded up to whole pages. */
  disksize?: number | string;
  /** The most bytes of the pool's frames; 0: no limit. May be changed later. Default 0. */
  memlimit?: number | string;
  /** Default 'zsmalloc', as in zram. The ramzswap of 2009 had 'xvmalloc'. */
  allocator?: AllocatorName;
  /** Options of that allocator. */
  zpool?: Omit<ZpoolOptions, 'name' | 'evict'>;
  /** Default 'lz4'. A codec that must be loaded is loaded by create, not by init. */
  codec?: CodecOption;
  /** Up to three further codecs for recompress, by priority 1 … 3. */
  recompCodecs?: readonly CodecOption[];
  /**
   * Where pages go that do not compress, or that have no room in memory. The caller closes it. It belongs to one front
   * end at a time: from init until reset or close has ended, with all its calls.
   */
  backing?: BackingStore;
  /** Whether page 0 is made a swap header, as ramzswap did. Default false. */
  swapHeader?: boolean;
}

export interface RamzswapOptions extends RamzswapSettings, Omit<RamOptions, 'firstFrame'> {
  /** A RAM that other front ends or pools may use, too. Default: a new RAM, large enough if no page compresses. */
  ram?: Ram;
  /** The most calls of an asynchronous store at a time, 1 … 1024. Default 32. */
  maxInFlight?: number;
  /** Milliseconds after which a call of an asynchronous store has failed. Default 30000. */
  timeout?: number;
  /**
   * Gives seconds, for the age of pages; for tests. Default: a monotonic clock. Each call that reads, writes or marks
   * calls it first. If it throws, that call throws the same; if it gives no finite number, EINVAL.
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

/**
 * A codec in checked form: a number for one of the core, a foreign codec, or the name of a codec that must be loaded.
 */
export type TakenCodec = number | ForeignCodec | string;

/** Settings in checked form. */
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

/** Reads the options of create, apart from the settings. EINVAL. */
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

/** Reads the settings of the caller's object: checks them and makes deep copies. EINVAL. */
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

/** Name of a codec in checked form. */
export function codecName(codec: TakenCodec = 0): string {
  if (typeof codec === 'number') return Object.keys(CORE_CODECS)[codec] as CoreCodecName;
  return typeof codec === 'string' ? codec : codec.name;
}

/** Pages of a device of this many bytes. EINVAL. */
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
