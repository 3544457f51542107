/**
 * The settings of a zswap in its RAM (../common/note.ts), for Zswap.open. They are written when it is created and when
 * a setting changes. The core knows the rest: its pools, which pool is the current one, the number of slots of its
 * store, and how many pages may still be written back.
 */
import { VICTIM_PAGE, ZSWAP_VICTIMS } from '../../../assembly/abi.ts';
import { optionWords, optionsOf, requireAllocator, type AllocatorName } from '../../allocators.ts';
import { CompcacheError, takeOptions } from '../../errors.ts';
import type { ZpoolOptions } from '../../types.ts';
import type { Core } from '../../wasm.ts';
import { packNames, unpackNames } from '../common/given-codecs.ts';
import { writeNote, readNote } from '../common/note.ts';
import { requireFlag, requirePercent, requirePlace, requireWord } from '../common/options.ts';
import type { Pools } from './pools.ts';
import type { SettingValues } from './settings.ts';

/** The settings that open finds in the RAM. */
export interface SavedSettings {
  settings: SettingValues;
  /** The allocator of the first pool, and the options of pools with this allocator. */
  allocator: AllocatorName;
  zpool: Omit<ZpoolOptions, 'name' | 'evict'>;
  /** Names of the foreign codecs, in the order of their numbers. */
  codecs: readonly string[];
}

/** Writes the settings of a zswap, in place of those before. */
export function saveSettings(op: string, core: Core, address: number, settings: SettingValues, pools: Pools): void {
  const { allocator, options } = pools.first;
  writeNote(op, core, address, { ...settings, allocator, zpool: options, codecs: packNames(pools.codecs.names) });
}

/** Reads the settings of an unopened zswap, and checks them like options of a caller. EIO. */
export function readSettings(op: string, core: Core, address: number): SavedSettings {
  const note = readNote(op, core, address);
  try {
    const saved = taken(op, note);
    const victims = core.exports.zswapFigure(address, ZSWAP_VICTIMS) >>> 0 === VICTIM_PAGE ? 'page' : 'entry';
    requireWord(op, 'victims', saved.settings.victims, [victims]);
    return saved;
  } catch (cause) {
    throw new CompcacheError('EIO', op, 'the settings in the RAM are invalid', { cause });
  }
}

const FLAGS = ['enabled', 'exclusiveLoads', 'sameFilled', 'keep', 'raw'] as const;
const PERCENTS = ['maxPoolPercent', 'acceptThresholdPercent'] as const;
const NUMBERS = ['maxInFlight', 'timeout'] as const;

function taken(op: string, note: object): SavedSettings {
  const { allocator, zpool, codecs, ...settings } = takeOptions<SavedSettings & SettingValues>(op, note, [
    ...FLAGS,
    ...PERCENTS,
    ...NUMBERS,
    'victims',
    'allocator',
    'zpool',
    'codecs',
  ]);
  for (const key of FLAGS) requireFlag(op, key, settings[key]);
  for (const key of PERCENTS) requirePercent(op, key, settings[key]);
  for (const key of NUMBERS) if (settings[key] === undefined) throw new CompcacheError('EINVAL', op, `${key} lacks`);
  requirePlace(op, settings);
  requireWord(op, 'victims', settings.victims, ['entry', 'page']);
  requireAllocator(op, allocator);
  const options = takeOptions<ZpoolOptions>(op, zpool, optionsOf(allocator));
  optionWords(op, allocator, options);
  return { settings: settings as unknown as SettingValues, allocator, zpool: options, codecs: unpackNames(op, codecs) };
}
