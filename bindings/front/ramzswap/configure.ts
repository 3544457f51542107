/** Sets single settings of a device: most of them until init, the limits at any time. settings.ts checks the values. */
import { parseBytes } from '../../sizes.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import { zpools } from '../../zpool.ts';
import { requireRange } from '../common/options.ts';
import { saveSettings } from './note.ts';
import { takeSettings, type RamzswapSettings, type Settings } from './settings.ts';
import { live, requireOpen, requireUninitialised, type Device, type State } from './state.ts';

/** The current settings. */
export function settingsNow({ device, settings }: State): Settings {
  return device?.settings ?? settings;
}

/** Bytes of the device. Before init: as set, else 0. */
export function disksizeOf({ device, settings }: State): number {
  return device !== undefined ? device.pages * PAGE_SIZE : (settings.disksize ?? 0);
}

export function memlimitOf({ device, settings, memlimit }: State): number {
  return device === undefined ? (settings.memlimit ?? 0) : memlimit;
}

/** Sets a setting that can be changed until init; undefined removes it. EBUSY, EINVAL. */
export function setSetting<K extends keyof RamzswapSettings & keyof Settings>(
  state: State,
  key: K,
  value: RamzswapSettings[K],
): void {
  const op = `ramzswap.${key}`;
  requireUninitialised(state, op);
  const taken = takeSettings(op, { [key]: value });
  requireUninitialised(state, op); // reading the codec or the store may have run code of the caller
  const others = Object.entries(state.settings).filter(([name]) => name !== key);
  state.settings = { ...(Object.fromEntries(others) as Settings), ...taken };
}

export function setMemlimit(state: State, value: number | string): void {
  const op = 'ramzswap.memlimit';
  requireOpen(state, op);
  const bytes = parseBytes(op, 'memlimit', value);
  if (state.device === undefined) {
    state.settings = { ...state.settings, memlimit: bytes };
    return;
  }
  const device = live(state, op);
  state.memlimit = bytes;
  usePool(state, device);
  saveSettings(state, op);
}

export function setWritebackLimit(state: State, value: number): void {
  const op = 'ramzswap.writebackLimit';
  requireOpen(state, op);
  if (value !== Infinity) requireRange(op, 'writebackLimit', value, 0, Number.MAX_SAFE_INTEGER);
  state.budget = value;
  saveSettings(state, op);
}

/** Tells the core the pool and the limits. */
export function usePool({ most, memlimit }: State, { front, address, pool }: Device): void {
  const frames = memlimit === 0 ? 0 : Math.min(Math.max(1, Math.floor(memlimit / PAGE_SIZE)), 0xffffffff);
  front.ramzUse(address, zpools.address(pool), most, frames);
}
