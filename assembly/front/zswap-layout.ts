/** The layout of a zswap in its header, records and cells. The comment in zswap.ts shows it. */
import { COUNTER_COUNT, KIND_MASK, VICTIM_PAGE, POOLS_OF_ZSWAP } from '../abi';
import { POOL_INDEX, ZSWAP, kindOf, poolAt, poolOption } from '../mem/pool';
import { cellSet, stateOf, tableFind, termOf } from '../page/table';
import { KIND_BITS, SLOTS } from './backed';

// Further kinds of cells, which only the core uses (abi.ts has the others).
export const PENDING: u32 = 9;
export const RAW_KEY: u32 = 13; // under (handle, pool): the record of a raw page

// Flags of a record, above the number of its pool.
export const POOL_MASK: u32 = 0xff;
export const REFERENCED: u32 = 1 << 8;
export const RAW: u32 = 1 << 9;

export const RECORD_BYTES: u32 = 28;
export const LINKS: usize = 16;
/** Bytes of the page's key before its block, when victims are pages. */
export const KEY_BYTES: u32 = 8;

// Options of the header.
export const FRONT_VICTIMS: u32 = 0; // VICTIM_ENTRY or VICTIM_PAGE
// Flags that may change.
export const SAME_FILLED: u32 = 1;
export const KEEP_RAW: u32 = 2;
export const REACHED_FULL: u32 = 4; // the limit was reached: no page is taken until the accept threshold
export const PAYING: u32 = 8; // the limit was reached: stores write back more until the accept threshold
export const LIMIT_FLAGS: u32 = REACHED_FULL | PAYING;
export const FLAGS_MAX: u32 = 15;

export const COUNTERS: usize = 352;
export const POOLS: usize = 416;
export const POOL_COUNT: u32 = POOLS_OF_ZSWAP;
export const POOL_BYTES: usize = 12;
export const BUDGET: usize = POOLS + <usize>POOL_COUNT * POOL_BYTES; // pages that may still be written back (f64)
export const VICTIM: usize = BUDGET + 8; // the kept victim (zswap-victim.ts), three words
export const VICTIM_END: usize = VICTIM + 12;


@unmanaged
export class Front {
  current: u32;
  limitPercent: u32;
  thresholdPercent: u32;
  flags: u32;
  lastJob: u32;
  lastGeneration: u32;
  epoch: u32;
  entries: u32;
  sameFilledPages: u32;
  written: u32;
  pending: u32;
  raw: u32;
  inFlight: u32;
  drained: u32;
  sum: u32;
}


@unmanaged
export class Used {
  pool: u32;
  codec: u32;
  entries: u32;
}


@unmanaged
export class Victim {
  frame: u32;
  index: u32;
  cursor: u32;
}


@unmanaged
export class Record {
  flags: u32;
  offset: u32;
  type: u32;
  handle: u32;
  previous: u32;
  next: u32;
  job: u32;
}

/* @inline */ export function frontAt(front: usize): Front {
  return changetype<Front>(front + 256);
}

/* @inline */ export function recordAt(record: usize): Record {
  return changetype<Record>(record);
}

/* @inline */ export function usedAt(front: usize, index: u32): Used {
  return changetype<Used>(front + POOLS + <usize>index * POOL_BYTES);
}

/** The kept victim (zswap-victim.ts). */
/* @inline */ export function victimAt(front: usize): Victim {
  return changetype<Victim>(front + VICTIM);
}

// ── settings ─────────────────────────────────────────────────────────────────

/**
 * Checksum of the settings, a part of the header's checksum (mem/pool.ts). It covers words that check() cannot derive
 * from other words and that change only when they are set. The budget and the kept victim are covered, too.
 */
export function zswapSettings(front: usize): u32 {
  let sum = frontAt(front).limitPercent;
  sum = rotl<u32>(sum, 5) ^ frontAt(front).thresholdPercent;
  sum = rotl<u32>(sum, 5) ^ frontAt(front).epoch;
  sum = rotl<u32>(sum, 5) ^ load<u32>(front + SLOTS);
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    sum = rotl<u32>(sum, 5) ^ usedAt(front, index).pool;
    sum = rotl<u32>(sum, 5) ^ usedAt(front, index).codec;
  }
  return sum ^ writebackChecksum(front);
}

/** The part of that checksum for the budget and the kept victim. */
function writebackChecksum(front: usize): u32 {
  let sum: u32 = 0;
  for (let at = BUDGET; at < VICTIM_END; at += 4) sum = rotl<u32>(sum, 13) ^ load<u32>(front + at);
  return sum;
}

/** Sets the budget and corrects the checksum. This happens for every page that is written back. */
export function setBudget(front: usize, left: f64): void {
  const before = writebackChecksum(front);
  store<f64>(front + BUDGET, left);
  poolAt(front).check ^= before ^ writebackChecksum(front);
}

/** Sets the kept victim: its frame (0: none), the number of its pool, and the cursor of the walk over its objects. */
export function setVictim(front: usize, frame: u32, index: u32, cursor: u32): void {
  const before = writebackChecksum(front);
  store<u32>(front + VICTIM, frame);
  store<u32>(front + VICTIM, index, 4);
  store<u32>(front + VICTIM, cursor, 8);
  poolAt(front).check ^= before ^ writebackChecksum(front);
}

// ── index and records ────────────────────────────────────────────────────────

/* @inline */ export function indexOf(front: usize): usize {
  return front + POOL_INDEX;
}

/* @inline */ export function kindOfCell(cell: usize): u32 {
  return stateOf(cell) & KIND_MASK;
}

/* @inline */ export function valueOf(cell: usize): u32 {
  return load<u32>(cell);
}

/** Sets a cell. @param low the low word of its key */
export function setCell(front: usize, cell: usize, low: u32, kind: u32, value: u32, generation: u32): void {
  cellSet(indexOf(front), cell, low, value, kind | (generation << KIND_BITS));
}

/* @inline */ export function poolIndex(record: usize): u32 {
  return recordAt(record).flags & POOL_MASK;
}

/* @inline */ export function poolOf(record: usize, front: usize): usize {
  return <usize>usedAt(front, poolIndex(record)).pool;
}

/** How many bytes of an object lie before the block. */
/* @inline */ export function prefix(front: usize): u32 {
  return poolOption(front, FRONT_VICTIMS) == VICTIM_PAGE ? KEY_BYTES : 0;
}

/** What a record adds to the sum over all records: its handle, its pool and whether its page is raw. */
export function recordTerm(record: usize): u32 {
  return termOf(record, (<u64>recordAt(record).handle) | ((<u64>(recordAt(record).flags & (POOL_MASK | RAW))) << 32));
}

export function isFront(front: usize): bool {
  return kindOf(front) == ZSWAP;
}

/* @inline */ export function cellOf(front: usize, offset: u32, type: u32): usize {
  return tableFind(indexOf(front), offset, type);
}

/** Adds one to a counter. @param which POOL_LIMIT_HIT and so on */
export function zswapCount(front: usize, which: u32): void {
  if (!isFront(front) || which >= COUNTER_COUNT) return;
  const at = front + COUNTERS + <usize>(which << 2);
  store<u32>(at, load<u32>(at) + 1);
}
