/**
 * The settings of a device in its RAM (../common/note.ts), for Ramzswap.open. They are written when the device is made
 * and when a setting changes. The core knows the number of slots of the store. The I/O counters are not written.
 */
import { RAMZ_PAGES } from '../../../assembly/abi.ts';
import { DEFAULT_ALLOCATOR, optionWords, takeZpoolOptions, type AllocatorName } from '../../allocators.ts';
import { CORE_CODECS } from '../../codec/core.ts';
import { CompcacheError } from '../../errors.ts';
import { PAGE_SIZE, type Core } from '../../wasm.ts';
import { shortName } from '../common/given-codecs.ts';
import { writeNote, readNote } from '../common/note.ts';
import { requirePlace, requireRange } from '../common/options.ts';
import {
  PRIORITIES,
  codecName,
  pagesOf,
  takeSettings,
  type RamzswapOptions,
  type Settings,
  type TakenCodec,
} from './settings.ts';
import type { State } from './state.ts';

/** The settings that open finds in the RAM. */
export interface SavedSettings {
  /** All settings but codecs and store. */
  settings: Settings;
  pages: number;
  /** Codecs by priority: the number of a codec of the core, or the name of another codec. */
  codecs: readonly (number | string)[];
  /** How many pages writeback may still write. */
  budget: number;
  place: Pick<RamzswapOptions, 'maxInFlight' | 'timeout'>;
}

/** Writes the settings of the device into its RAM, if there is a device. */
export function saveSettings({ device, memlimit, budget, options: { maxInFlight, timeout } }: State, op: string): void {
  if (device === undefined) return;
  const { disksize, allocator = DEFAULT_ALLOCATOR, zpool, swapHeader, codec, recompCodecs = [] } = device.settings;
  const note: Record<keyof typeof KEYS, unknown> = {
    disksize,
    memlimit,
    allocator,
    zpool,
    swapHeader,
    maxInFlight,
    timeout,
    codecs: [codec, ...recompCodecs].map(keptCodec),
    writebackLimit: budget === Infinity ? undefined : budget,
  };
  writeNote(op, device.core, device.address, note);
}

const KEYS = {
  disksize: 0,
  memlimit: 0,
  allocator: 0,
  zpool: 0,
  swapHeader: 0,
  codecs: 0,
  writebackLimit: 0,
  maxInFlight: 0,
  timeout: 0,
};

function keptCodec(codec: TakenCodec = 0): number | string {
  return typeof codec === 'number' ? codec : shortName(codecName(codec));
}

/** Reads the settings of an unopened device, and checks them like options of a caller. EIO. */
export function readSettings(op: string, core: Core, address: number, allocator: AllocatorName): SavedSettings {
  const note = readNote(op, core, address);
  try {
    return taken(op, note, core.exports.ramzFigure(address, RAMZ_PAGES), allocator);
  } catch (cause) {
    throw new CompcacheError('EIO', op, 'the settings in the RAM are invalid', { cause });
  }
}

function taken(
  op: string,
  note: Partial<Record<keyof typeof KEYS, unknown>>,
  pages: number,
  poolAllocator: AllocatorName,
): SavedSettings {
  const {
    disksize,
    memlimit,
    allocator,
    zpool = {},
    swapHeader,
    codecs,
    writebackLimit = Infinity,
    maxInFlight,
    timeout,
  } = note;
  const unknown = Object.keys(note).find((key) => !Object.hasOwn(KEYS, key));
  if (unknown !== undefined) throw new CompcacheError('EINVAL', op, `there is no setting '${unknown}'`);
  if (pagesOf(op, disksize) !== pages)
    throw new CompcacheError('EINVAL', op, `the device has ${pages * PAGE_SIZE} bytes, not ${String(disksize)}`);
  if (allocator !== poolAllocator) throw new CompcacheError('EINVAL', op, `the pool is of ${poolAllocator}`);
  if (writebackLimit !== Infinity) requireRange(op, 'writebackLimit', writebackLimit, 0, Number.MAX_SAFE_INTEGER);
  const place = {
    ...(maxInFlight === undefined ? {} : { maxInFlight }),
    ...(timeout === undefined ? {} : { timeout }),
  } as SavedSettings['place'];
  requirePlace(op, place);
  const given = { disksize, memlimit, allocator, zpool, swapHeader } as Parameters<typeof takeSettings>[1];
  const settings = takeSettings(op, given);
  optionWords(op, poolAllocator, takeZpoolOptions(op, poolAllocator, settings.zpool));
  return { settings, pages, codecs: codecsOf(op, codecs), budget: writebackLimit as number, place };
}

function codecsOf(op: string, codecs: unknown): (number | string)[] {
  const whole =
    Array.isArray(codecs) &&
    codecs.length >= 1 &&
    codecs.length <= PRIORITIES &&
    codecs.every((codec) => typeof codec === 'string' || Object.values<unknown>(CORE_CODECS).includes(codec));
  if (!whole) throw new CompcacheError('EINVAL', op, `codecs must be 1 to ${PRIORITIES} names or numbers`);
  return codecs as (number | string)[];
}
