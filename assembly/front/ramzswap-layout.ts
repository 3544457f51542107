/** The header of a ramzswap and the states of its pages: what is said in ramzswap.ts, as numbers. */
import { POOL_INDEX } from '../mem/pool';
import { cellSet, stateOf } from '../page/table';
import { SLOTS } from './backed';

// ── states ───────────────────────────────────────────────────────────────────

/** Below are kind, marks and priority (abi.ts), from here on the time of the last access (ramzswap-time.ts). */
export const TIME_SHIFT: u32 = 9;

// ── header ───────────────────────────────────────────────────────────────────

@unmanaged
export class Device {
  pool: u32;
  pages: u32;
  most: u32;
  limit: u32;
  flags: u32;
  generation: u32;
  epoch: u32;
  objects: u32;
  same: u32;
  huge: u32;
  written: u32;
  hugeEver: u32;
  peak: u32;
  good: u32;
  /** From this second on times are exact (ramzswap-time.ts). */
  since: u32;
}

/* @inline */ export function deviceAt(front: usize): Device {
  return changetype<Device>(front + 256);
}

/* @inline */ export function bytesOf(front: usize): f64 {
  return load<f64>(front, 352);
}

/** Where the codecs are, by priority. */
export const CODECS: usize = 360;
/** Where the header has nothing any more. */
export const HEADER_END: usize = 376;

/**
 * What the settings add up to, for the check word of the header (mem/pool.ts): words that nothing else confirms, and that change
 * only when somebody sets them. `since` is one of them: times are not known without it.
 */
export function ramzSettings(front: usize): u32 {
  let sum = deviceAt(front).pages;
  sum = rotl<u32>(sum, 5) ^ deviceAt(front).most;
  sum = rotl<u32>(sum, 5) ^ deviceAt(front).epoch;
  sum = rotl<u32>(sum, 5) ^ load<u32>(front + SLOTS);
  sum = rotl<u32>(sum, 5) ^ deviceAt(front).pool;
  sum = rotl<u32>(sum, 5) ^ deviceAt(front).limit;
  sum = rotl<u32>(sum, 5) ^ deviceAt(front).since;
  for (let at = CODECS; at < HEADER_END; at += 4) sum = rotl<u32>(sum, 5) ^ load<u32>(front + at);
  return sum;
}

export function addBytes(front: usize, by: f64): void {
  store<f64>(front, bytesOf(front) + by, 352);
}

// ── cells ────────────────────────────────────────────────────────────────────

export function setCell(front: usize, cell: usize, index: u32, value: u32, state: u32): void {
  cellSet(front + POOL_INDEX, cell, index, value, state);
}

/** The state anew, if it is another. */
export function setState(front: usize, cell: usize, index: u32, state: u32): void {
  if (stateOf(cell) != state) setCell(front, cell, index, load<u32>(cell), state);
}
