/**
 * The limit of a zswap: how many frames it may have, when a page is refused, and
 * how much each store writes back so that the limit is hardly ever reached.
 *
 *   frames   accept threshold        mark             limit
 *   ──────────────┼───────────────────┼─────────────────┼──
 *                 └─ records age      └─ stores owe 1 … OWED_MOST entries
 *
 * With a backing store, a store above the mark, which is in the middle between
 * the accept threshold and the limit, owes the more entries the nearer the limit
 * is. That depends on frames and settings only, so a RAM that was restored goes
 * on where it was. When the limit is reached all the same, the store that met it
 * makes room for its page only, and those behind it owe OWED_PAYING each until
 * the accept threshold: PAYING says so. Without a store pages are refused that
 * long: REACHED_FULL.
 *
 * Where victims are pages, a store takes one more victim until it has paid, and
 * writes the last one to its end, but no more than 8 entries in all, or as many as
 * it owes. What is left of the victim is kept (zswap-victim.ts), and the next
 * stores owe at least one entry, so that they go on with it.
 *
 * What is written next is found by passing over records that were used. So that
 * no store has to pass over all of them, each one above the accept threshold
 * passes over some in advance: what the next victims would have done, in the same
 * order.
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

/** The most entries that a store owes. */
const OWED_MOST: u32 = 16;
/** What it owes when the limit was reached, until the accept threshold. */
const OWED_PAYING: u32 = 8;
/** Records that a store passes over in advance. */
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

/** The limit in frames: the percentage, or all that the RAM can still give. */
export function limitOf(front: usize, frames: u32): u32 {
  return min(percentOf(boot(BOOT_FRAMES), frontAt(front).limitPercent), frames + framesFree());
}

/** Frames down to which pages are to go once the limit was reached: the accept threshold, at least one below the limit. */
function targetOf(front: usize, limit: u32): u32 {
  return min(percentOf(limit, frontAt(front).thresholdPercent), max(limit, 1) - 1);
}

/** Whether the limit is reached, or was and is not yet left by enough. In OUT_OWED entries that the store is to write back, page or not. */
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

/** Entries that a store is to write back with so many frames. */
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
 * The least recently used record that is not referenced, where those that are
 * lose that and go to the front.
 * @param most that it passes over
 * @returns 0 when there is none, or it lies behind more
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

/** Accepts pages again though the threshold is not reached yet: stores owe what lies between. */
export function zswapAccept(front: usize): void {
  if (isFront(front)) frontAt(front).flags = (frontAt(front).flags & ~REACHED_FULL) | PAYING;
}

/** Frames to give back until pages are accepted again: down to the accept threshold, at least one below the limit. */
export function zswapExcess(front: usize): u32 {
  if (!isFront(front)) return 0;
  const frames = zswapFrames(front);
  const limit = limitOf(front, frames);
  const target = targetOf(front, limit);
  return frames > target ? frames - target : 0;
}
