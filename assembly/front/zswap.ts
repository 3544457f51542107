/**
 * zswap: a compressed cache of swapped pages, and the way of the coldest to a
 * backing store.
 *
 * What it is. An index from (type, offset) to where the page is: in a zpool,
 * compressed; nowhere, because it is same-filled; or in a slot of the store. And
 * all that has to be decided about that: limits, what to write next, what a write
 * that has ended means. What it is not. It asks no store itself: composing a slot
 * and taking note of what became of it are two calls, between which the caller
 * writes, at once or waiting. Nothing is assumed about what happens in between:
 * the second call looks everything up again.
 *
 *                 index (page/table.ts), 8 bytes a page
 *   (type, offset) ──► cell ──┬─ ENTRY ───► record ──► object of a zpool
 *                             ├─ FILL       the word itself
 *                             ├─ WRITTEN    slot, generation
 *                             └─ PENDING    job: being written, not in the pool
 *
 *   record, 28 bytes
 *     0 pool | flags << 8    4 offset   8 type   12 handle
 *    16 previous  20 next: LRU of records, most recent first; without a job
 *    24 job: the write of this entry that is under way, 0 for none
 *
 *   cell    state: kind in 4 bits, generation above
 *
 *   header: a pool header (mem/pool.ts) whose page table is the index, then
 *   256 current pool      260 limit, percent     264 accept threshold, percent
 *   268 flags             272 last job           276 last generation
 *   280 epoch             284 entries            288 same-filled pages
 *   292 pages in the store 296 pages pending     300 pages kept raw
 *   304 entries with a job 308 pools to destroy   312 what records add up to (check())
 *   320 slot map          352 counters           416 pools: address, codec, entries
 *  1184 budget: pages that may still be written back (f64)
 *  1192 victim that is kept (zswap-victim.ts)
 *
 * Two ways to choose what to write (FRONT_VICTIMS):
 *   entry  the least recently used record, second chance: one that was loaded
 *          or is new is passed over once. As in Linux since 6.6 and 6.12.
 *   page   the zpool's least recently used frame or zspage, whole, as before.
 *          Then an object begins with the 8 bytes of its page's key, which is how
 *          the victim's owner is found; for a page kept raw, which leaves no room
 *          for them, the index has a second key: handle and pool.
 *
 * Here are its life and its figures. Beside it: zswap-entries (store, load, invalidate),
 * zswap-writeback (writes to the store), zswap-limit (the limit, and what each store
 * owes), zswap-victim (a victim that several stores write), zswap-layout,
 * zswap-restore, zswap-check.
 *
 * Vital statistics: 28 bytes a page in the pool and 20 to 40 in the index (8 when
 * that is dense); none but those of the index once it is written or same-filled.
 * 64 zpools at once, of which one is current and the others drain.
 *
 * Trade-offs: records cost memory that handles in cells would not, and buy an
 * LRU across all pools, and writes that can be told from each other. A page that
 * is being written can be read, replaced and dropped as if it were not: whoever
 * touches it takes the job away, and the write, when it ends, finds nothing to
 * do but to give the slot back.
 *
 * Source: Linux mm/zswap.c 6.1 (page), 6.12 (entry). The index of written pages
 * is ours: there the swap offset is the place on the device.
 */
import {
  COUNTER_COUNT,
  DENSE,
  NO_POOL,
  OUT_BLOCK_CODEC,
  OUT_ENTRIES,
  SPARSE,
  VICTIM_PAGE,
  ZSWAP_CURRENT,
  ZSWAP_IN_FLIGHT,
  ZSWAP_LIMIT,
  ZSWAP_POOL_FRAMES,
  ZSWAP_RAW,
  ZSWAP_SAME_FILLED,
  ZSWAP_SLOTS,
  ZSWAP_STORED,
  ZSWAP_STORE_SLOTS,
  ZSWAP_VICTIMS,
  ZSWAP_WRITTEN,
} from '../abi';
import { EINVAL, ENOMEM, ENOSPC } from '../base/errno';
import { frameRoom } from '../mem/frame';
import { FRAME_SLAB } from '../mem/layout';
import {
  NAME_BYTES,
  POOL_DESCRIPTORS,
  POOL_NAME,
  ZSWAP,
  kindOf,
  poolAt,
  poolCreate,
  poolNumber,
  poolOption,
  writePoolChecksum,
  setPoolOption,
} from '../mem/pool';
import { setOut } from '../mem/scratch';
import { slabInit } from '../mem/slab';
import { tableStart } from '../page/table';
import { zpoolDestroy } from '../zpool';
import { SLOTS } from './backed';
import { slotMapStart, slotsTaken, slotsThere } from './slot-map';
import { limitOf, zswapFrames } from './zswap-limit';
import {
  COUNTERS,
  FRONT_VICTIMS,
  Front,
  KEEP_RAW,
  LIMIT_FLAGS,
  POOLS,
  POOL_BYTES,
  POOL_COUNT,
  RECORD_BYTES,
  SAME_FILLED,
  frontAt,
  indexOf,
  isFront,
  usedAt,
  zswapSettings,
} from './zswap-layout';

// ── life ─────────────────────────────────────────────────────────────────────

/**
 * Creates a zswap.
 * @param victims VICTIM_ENTRY or VICTIM_PAGE
 * @param shape of the index: SPARSE, or DENSE (type 0 and victims by entry only)
 * @param slots of the store, 0 for no store
 * @param epoch word that tells this one's slots from those of others
 * @param name its address, UTF-8
 * @returns the front; EINVAL, ENOMEM
 */
export function zswapCreate(victims: u32, shape: u32, slots: u32, epoch: u32, name: usize, nameBytes: u32): u32 {
  if (
    victims > VICTIM_PAGE ||
    shape < DENSE ||
    shape > SPARSE ||
    (victims == VICTIM_PAGE && shape == DENSE) ||
    nameBytes == 0 ||
    nameBytes > NAME_BYTES
  )
    return EINVAL;
  if (!frameRoom(slots == 0 ? 1 : 3)) return ENOMEM;
  const front = poolCreate(ZSWAP);
  if (front == 0) return ENOMEM;
  memory.copy(front + POOL_NAME, name, nameBytes);
  poolAt(front).nameBytes = nameBytes;
  setPoolOption(front, FRONT_VICTIMS, victims);
  slabInit(front + POOL_DESCRIPTORS, RECORD_BYTES, FRAME_SLAB);
  tableStart(indexOf(front), shape);
  frontAt(front).current = NO_POOL;
  frontAt(front).epoch = epoch;
  if (slots != 0 && !slotMapStart(front + SLOTS, slots)) {
    zpoolDestroy(front);
    return ENOMEM;
  }
  writePoolChecksum(front, zswapSettings(front));
  poolNumber();
  return <u32>front;
}

/** Sets what may change. EINVAL. */
export function zswapSet(front: usize, limitPercent: u32, thresholdPercent: u32, same: u32, raw: u32): u32 {
  if (!isFront(front) || limitPercent > 100 || thresholdPercent > 100) return EINVAL;
  frontAt(front).limitPercent = limitPercent;
  frontAt(front).thresholdPercent = thresholdPercent;
  frontAt(front).flags =
    (frontAt(front).flags & LIMIT_FLAGS) | (same != 0 ? SAME_FILLED : 0) | (raw != 0 ? KEEP_RAW : 0);
  writePoolChecksum(front, zswapSettings(front));
  return 0;
}

/** The number of a pool with this codec that is in use, NO_POOL for none. */
function poolNumbered(front: usize, pool: u32, codec: u32): u32 {
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    if (usedAt(front, index).pool == pool && usedAt(front, index).codec == codec) return index;
  }
  return NO_POOL;
}

/** Makes a pool the current one: new pages go there. Its number; EINVAL; ENOSPC when 64 are in use. */
export function zswapUse(front: usize, pool: u32, codec: u32): u32 {
  if (!isFront(front) || kindOf(pool) == 0) return EINVAL;
  let index = poolNumbered(front, pool, codec);
  if (index == NO_POOL) index = poolNumbered(front, 0, 0);
  if (index == NO_POOL) return ENOSPC;
  usedAt(front, index).pool = pool;
  usedAt(front, index).codec = codec;
  writePoolChecksum(front, zswapSettings(front));
  const before = frontAt(front).current;
  frontAt(front).current = index;
  if (before != NO_POOL && before != index && usedAt(front, before).entries == 0) frontAt(front).drained += 1;
  return index;
}

/** Address of the number of pools that zswapDrained would give, for a view of it. EINVAL. */
export function zswapDrainedAt(front: usize): u32 {
  return isFront(front) ? <u32>(changetype<usize>(frontAt(front)) + offsetof<Front>('drained')) : EINVAL;
}

/** A pool that is neither current nor has pages, to be destroyed by the caller; its number is free then. NO_POOL for none. */
export function zswapDrained(front: usize): u32 {
  if (!isFront(front)) return NO_POOL;
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    if (usedAt(front, index).pool == 0 || index == frontAt(front).current || usedAt(front, index).entries != 0)
      continue;
    memory.fill(front + POOLS + <usize>index * POOL_BYTES, 0, POOL_BYTES);
    writePoolChecksum(front, zswapSettings(front));
    return index;
  }
  frontAt(front).drained = 0;
  return NO_POOL;
}

// ── figures ──────────────────────────────────────────────────────────────────

/** One counter, POOL_LIMIT_HIT and so on, or what there is now, ZSWAP_STORED and so on. */
export function zswapFigure(front: usize, which: u32): u32 {
  if (!isFront(front)) return 0;
  if (which < COUNTER_COUNT) return load<u32>(front + COUNTERS + <usize>(which << 2));
  switch (which) {
    case ZSWAP_STORED:
      return frontAt(front).entries + frontAt(front).sameFilledPages;
    case ZSWAP_POOL_FRAMES:
      return poolFrames(front);
    case ZSWAP_SAME_FILLED:
      return frontAt(front).sameFilledPages;
    case ZSWAP_RAW:
      return frontAt(front).raw;
    case ZSWAP_WRITTEN:
      return frontAt(front).written;
    case ZSWAP_IN_FLIGHT:
      return frontAt(front).inFlight + frontAt(front).pending;
    case ZSWAP_SLOTS:
      return slotsTaken(front + SLOTS);
    case ZSWAP_LIMIT:
      return limitOf(front, zswapFrames(front));
    case ZSWAP_CURRENT:
      return frontAt(front).current;
    case ZSWAP_VICTIMS:
      return poolOption(front, FRONT_VICTIMS);
    case ZSWAP_STORE_SLOTS:
      return slotsThere(front + SLOTS);
    default:
      return frontAt(front).entries; // ZSWAP_ENTRIES
  }
}

/** Frames of objects. */
function poolFrames(front: usize): u32 {
  let frames: u32 = 0;
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    const pool = <usize>usedAt(front, index).pool;
    if (pool != 0) frames += poolAt(pool).frames;
  }
  return frames;
}

/** Address of the pool by that number, 0 for none; its entries in OUT_ENTRIES, its codec in OUT_BLOCK_CODEC. */
export function zswapUsed(front: usize, index: u32): u32 {
  if (!isFront(front) || index >= POOL_COUNT) return 0;
  setOut(OUT_ENTRIES, usedAt(front, index).entries);
  setOut(OUT_BLOCK_CODEC, usedAt(front, index).codec);
  return usedAt(front, index).pool;
}
