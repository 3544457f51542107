/** The header of a ramzswap and the states of its pages, as constants. The comment in ramzswap.ts shows the layout. */
import { POOL_INDEX } from '../mem/pool';
import { cellSet, stateOf } from '../page/table';
import { SLOTS } from './backed';

// ── states ───────────────────────────────────────────────────────────────────

/**
 * The bits below hold kind, marks and priority (abi.ts). From this bit on lies the time of the last access
 * (ramzswap-time.ts).
 */
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
  /** Times of access from this second on are exact (ramzswap-time.ts). */
  since: u32;
}

/* @inline */ export function deviceAt(front: usize): Device {
  return changetype<Device>(front + 256);
}

/* @inline */ export function bytesOf(front: usize): f64 {
  return load<f64>(front, 352);
}

/** Offset of the codecs, one word for each priority. */
export const CODECS: usize = 360;
/** End of the header's words. From here to the note all bytes are zero. */
export const HEADER_END: usize = 376;

/**
 * Checksum of the settings, a part of the header's checksum (mem/pool.ts). It covers words that check() cannot derive
 * from other words and that change only when they are set. `since` is one of them: without it the times of access
 * cannot be read.
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

/** Sets the state of a cell, if it differs from the one that the cell has. */
export function setState(front: usize, cell: usize, index: u32, state: u32): void {
  if (stateOf(cell) != state) setCell(front, cell, index, load<u32>(cell), state);
}
