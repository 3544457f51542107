/**
 * The limit of a zswap: how many frames it may have, when it refuses a page, and
 * how much each store writes back, so that the limit is rarely reached.
 *
 *   frames   accept threshold        mark             limit
 *   ──────────────┼───────────────────┼─────────────────┼──
 *                 └─ records age      └─ stores owe 1 … OWED_MOST entries
 *
 * "A store owes n entries" means: the call writes n entries back, beside storing
 * its own page. The mark lies in the middle between the accept threshold and the
 * limit. Above the mark every store owes entries, if there is a backing store: the
 * nearer to the limit, the more. This depends on frames and settings only, so a
 * restored RAM goes on in the same way.
 *
 * When the limit is reached nevertheless, the store that reached it makes room for
 * its own page only. Each later store owes OWED_PAYING entries until the accept
 * threshold is reached; the flag PAYING says so. Without a backing store, pages
 * are refused until then; the flag REACHED_FULL says so.
 *
 * Where victims are pages, a store takes further victims until it has written what
 * it owes. It writes the last victim completely, but not more than 8 entries in
 * all, or as many as it owes. The rest of that victim is kept (zswap-victim.ts).
 * While a victim is kept, each store owes at least one entry and goes on with it.
 *
 * The search for the next victim skips records that were used since the last
 * search, and clears their mark. So that no store has to skip very many, each
 * store above the accept threshold skips some in advance, in the same order as
 * the search itself.
 */
import { OUT_OWED, POOL_LIMIT_HIT } from '../abi';
import { listTail, listToFront } from '../base/list';
import { framesFree } from '../mem/frame';
import { BOOT_FRAMES, boot } from '../mem/layout';
import { POOL_LRU, poolAt } from '../mem/pool';
import { setOut } from '../mem/scratch';
import { SLOTS, metadataFrames } from './backed';
import { slotMapFrames } from './slot-map';
import {
  LINKS,
  PAYING,
  POOL_COUNT,
  REACHED_FULL,
  REFERENCED,
  frontAt,
  isFront,
  prefix,
  recordAt,
  usedAt,
  victimAt,
  zswapCount,
} from './zswap-layout';

/** The most entries that a store owes because of the number of frames. */
const OWED_MOST: u32 = 16;
/** Entries that a store owes after the limit was reached, until the accept threshold. */
const OWED_PAYING: u32 = 8;
/** How many records a store skips in advance, at most. */
const AGED: u32 = 32;

/** Frames of a zswap: its pools, index, records, slot map. */
export function zswapFrames(front: usize): u32 {
  if (!isFront(front)) return 0;
  let frames = metadataFrames(front);
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    const pool = <usize>usedAt(front, index).pool;
    if (pool != 0) frames += poolAt(pool).frames + metadataFrames(pool);
  }
  return frames;
}

/* @inline */ function percentOf(frames: u32, percent: u32): u32 {
  return <u32>((<u64>frames * percent) / 100);
}

/** The limit in frames: the percentage of the RAM, but not more frames than the RAM can give. */
export function limitOf(front: usize, frames: u32): u32 {
  return min(percentOf(boot(BOOT_FRAMES), frontAt(front).limitPercent), frames + framesFree());
}

/**
 * The number of frames at which pages are accepted again after the limit was reached: the accept threshold, at least
 * one below the limit.
 */
function targetOf(front: usize, limit: u32): u32 {
  return min(percentOf(limit, frontAt(front).thresholdPercent), max(limit, 1) - 1);
}

/**
 * True when the limit is reached, or was reached and the accept threshold is not. OUT_OWED has the entries that this
 * store owes, in either case.
 */
export function isFull(front: usize): bool {
  const frames = zswapFrames(front);
  const limit = limitOf(front, frames);
  const flags = frontAt(front).flags;
  setOut(OUT_OWED, slotMapFrames(front + SLOTS) != 0 ? owed(front, frames, limit) : 0);
  if (frames >= limit) {
    zswapCount(front, POOL_LIMIT_HIT);
    frontAt(front).flags |= REACHED_FULL;
    return true;
  }
  if ((flags & REACHED_FULL) == 0) return false;
  if (frames > percentOf(limit, frontAt(front).thresholdPercent)) return true;
  frontAt(front).flags &= ~REACHED_FULL;
  return false;
}

/** Entries that a store owes with this number of frames. */
function owed(front: usize, frames: u32, limit: u32): u32 {
  const target = targetOf(front, limit);
  const kept = <u32>(victimAt(front).frame != 0);
  if (frames <= target) {
    frontAt(front).flags &= ~PAYING;
    return kept;
  }
  if (prefix(front) == 0) nextVictim(front, AGED);
  const room = (limit - target) / 2;
  const mark = limit - room;
  const due: u32 = frames <= mark ? 0 : min(1 + ((frames - mark) * (OWED_MOST - 1)) / max(room, 1), OWED_MOST);
  return (frontAt(front).flags & PAYING) != 0 ? max(due, OWED_PAYING) : max(due, kept);
}

/**
 * Finds the least recently used record that is not referenced. It skips referenced records: they lose that flag and
 * move to the front.
 * @param most how many records it may skip
 * @returns 0 when there is no such record, or more would have to be skipped
 */
export function nextVictim(front: usize, most: u32): usize {
  for (let record = listTail(front + POOL_LRU, LINKS); record != 0; record = listTail(front + POOL_LRU, LINKS)) {
    const flags = recordAt(record).flags;
    if ((flags & REFERENCED) == 0) return record;
    if (most-- == 0) break;
    recordAt(record).flags = flags & ~REFERENCED;
    listToFront(front + POOL_LRU, record, LINKS);
  }
  return 0;
}

/** Accepts pages again before the accept threshold is reached. Stores then owe entries until it is (PAYING). */
export function zswapAccept(front: usize): void {
  if (isFront(front)) frontAt(front).flags = (frontAt(front).flags & ~REACHED_FULL) | PAYING;
}

/**
 * How many frames must be given back until pages are accepted again: down to the accept threshold, at least one below
 * the limit.
 */
export function zswapExcess(front: usize): u32 {
  if (!isFront(front)) return 0;
  const frames = zswapFrames(front);
  const limit = limitOf(front, frames);
  const target = targetOf(front, limit);
  return frames > target ? frames - target : 0;
}
