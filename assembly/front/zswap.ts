/**
 * zswap: a compressed cache of swapped pages. The coldest pages are written to a
 * backing store.
 *
 * The index says for each key (type, offset) where the page is: compressed in a
 * zpool, as a fill word in the index itself, or in a slot of the store. This file
 * and its neighbours also decide when a page is refused, which page is written
 * next, and what the result of a write means.
 *
 * They do not call the store: one call composes a slot, another one is told the
 * result of the write. In between the caller writes, at once or with waiting.
 * Anything may happen in between, so the second call looks everything up again.
 *
 *                 index (page/table.ts), 8 bytes a page
 *   (type, offset) ──► cell ──┬─ ENTRY ───► record ──► object of a zpool
 *                             ├─ FILL       the fill word
 *                             ├─ WRITTEN    slot, generation
 *                             └─ PENDING    job: being written, not in the pool
 *
 *   record, 28 bytes
 *     0 pool | flags << 8    4 offset   8 type   12 handle
 *    16 previous  20 next: LRU of records, most recent first; without those that have a job
 *    24 job: number of the write of this entry that is under way, 0 for none
 *
 *   cell    state: kind in 4 bits, generation above
 *
 *   header: a pool header (mem/pool.ts) whose page table is the index, then
 *   256 current pool      260 limit, percent     264 accept threshold, percent
 *   268 flags             272 last job           276 last generation
 *   280 epoch             284 entries            288 same-filled pages
 *   292 pages in the store 296 pages pending     300 raw pages
 *   304 entries with a job 308 pools to destroy   312 sum over all records (for check())
 *   320 slot map          352 counters           416 pools: address, codec, entries
 *  1184 budget: pages that may still be written back (f64)
 *  1192 kept victim (zswap-victim.ts)
 *
 * There are two ways to choose what is written (FRONT_VICTIMS):
 *   entry  the least recently used record, with a second chance: a record that is
 *          new or was loaded is skipped once. As in Linux since 6.6 and 6.12.
 *   page   the least recently used frame or zspage of the zpool, with all its
 *          objects, as in older Linux. Each object then begins with the 8-byte key
 *          of its page, so that its record can be found. A raw page has no room for
 *          a key: for it the index has a second key, made of handle and pool.
 *
 * This file creates the zswap and has its figures. The others: zswap-entries
 * (store, load, invalidate), zswap-writeback (writes to the store), zswap-limit
 * (the limit, and what each store writes back), zswap-victim (a victim that several
 * stores write), zswap-layout, zswap-restore, zswap-check.
 *
 * Costs: 28 bytes for a page in the pool, and 20 to 40 in the index (8 if the index
 * is dense). A page that is same-filled or in the store only costs the bytes in the
 * index. There are up to 64 zpools at once: one is current, the others drain.
 *
 * Trade-offs: handles in the cells would cost less memory than records. But records
 * give one LRU across all pools, and each write has a number (job). A page that is
 * being written can be read, replaced and removed as usual: this cancels the job,
 * and when the write ends, its slot is only freed.
 *
 * Source: Linux mm/zswap.c 6.1 (page), 6.12 (entry). The index of written pages
 * is our own: in Linux the swap offset is the place on the device.
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
 * @param epoch word that tells the slots of this zswap from those of others
 * @param name address of the name, UTF-8
 * @returns the front end; EINVAL, ENOMEM
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

/** Sets the settings that may change. EINVAL. */
export function zswapSet(front: usize, limitPercent: u32, thresholdPercent: u32, same: u32, raw: u32): u32 {
  if (!isFront(front) || limitPercent > 100 || thresholdPercent > 100) return EINVAL;
  frontAt(front).limitPercent = limitPercent;
  frontAt(front).thresholdPercent = thresholdPercent;
  frontAt(front).flags =
    (frontAt(front).flags & LIMIT_FLAGS) | (same != 0 ? SAME_FILLED : 0) | (raw != 0 ? KEEP_RAW : 0);
  writePoolChecksum(front, zswapSettings(front));
  return 0;
}

/** The index of a pool with this codec in the list of pools, NO_POOL when it is not in the list. */
function poolNumbered(front: usize, pool: u32, codec: u32): u32 {
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    if (usedAt(front, index).pool == pool && usedAt(front, index).codec == codec) return index;
  }
  return NO_POOL;
}

/**
 * Makes a pool the current one: new pages go there. Returns its index in the list of pools; EINVAL; ENOSPC when 64
 * pools are in use.
 */
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

/** Address of the counter of drained pools, so that the bindings can read it directly. EINVAL. */
export function zswapDrainedAt(front: usize): u32 {
  return isFront(front) ? <u32>(changetype<usize>(frontAt(front)) + offsetof<Front>('drained')) : EINVAL;
}

/**
 * Takes a pool from the list that is not current and has no pages. The caller must destroy it. Returns its index, which
 * is free then; NO_POOL for none.
 */
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

/** One figure: a counter (POOL_LIMIT_HIT and so on) or a current number (ZSWAP_STORED and so on). */
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

/** Frames of all pools. */
function poolFrames(front: usize): u32 {
  let frames: u32 = 0;
  for (let index: u32 = 0; index < POOL_COUNT; index++) {
    const pool = <usize>usedAt(front, index).pool;
    if (pool != 0) frames += poolAt(pool).frames;
  }
  return frames;
}

/**
 * Address of the pool at an index of the list, 0 for none. Its entries are in OUT_ENTRIES, its codec in
 * OUT_BLOCK_CODEC.
 */
export function zswapUsed(front: usize, index: u32): u32 {
  if (!isFront(front) || index >= POOL_COUNT) return 0;
  setOut(OUT_ENTRIES, usedAt(front, index).entries);
  setOut(OUT_BLOCK_CODEC, usedAt(front, index).codec);
  return usedAt(front, index).pool;
}
