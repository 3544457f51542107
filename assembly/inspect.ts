/**
 * Inspection: functions that read a RAM and change nothing.
 *
 * The check of every structure, the walk over the contents of frames, the tables
 * of an allocator, and counters. This code never runs in a store or load, so the
 * checks can be thorough.
 */
import {
  COUNT_FRAMES,
  COUNT_LIVE_BYTES,
  COUNT_MAPS,
  COUNT_OBJECTS,
  COUNT_OBJECTS_MOVED,
  FILL,
  IDENTITY_KIND,
  IDENTITY_NAME,
  IDENTITY_NAME_BYTES,
  IDENTITY_OPTIONS,
  OUT_PLACE,
} from './abi';
import { EINVAL, isError } from './base/errno';
import * as alloc from './generated/dispatch';
import { bootChecksum, frameEnd, freeNext, hasGeometry, lastSection } from './mem/frame';
import {
  BOOT_BUMP,
  BOOT_CHECK,
  BOOT_END,
  BOOT_FIRST,
  BOOT_FRAMES,
  BOOT_FREE_COUNT,
  BOOT_FREE_HEAD,
  BOOT_ISOLATED,
  BOOT_MAPS,
  BOOT_POOL_COUNT,
  BOOT_POOL_HEAD,
  BOOT_USED,
  FRAME_BUFFER,
  FRAME_DATA,
  FRAME_FIXED,
  FRAME_FREE,
  FRAME_INDEX,
  FRAME_POOL,
  FRAME_POOL_MORE,
  FRAME_RAW,
  FRAME_SLAB,
  FRAME_SLOTS,
  FRAME_TABLE,
  FRAME_TYPES,
  PAGE_SHIFT,
  PAGE_SIZE,
  SECTION_MASK,
  SECTION_SHIFT,
  TABLE_INDEX,
  boot,
  entryOf,
  entryOwner,
  entryPool,
  entryType,
  fixedFrames,
  frameExists,
  tableOf,
} from './mem/layout';
import {
  NAME_BYTES,
  POOL_INDEX,
  POOL_NAME,
  RAMZSWAP,
  ZSWAP,
  isPool,
  kindOf,
  poolAt,
  poolChecksum,
  poolOption,
} from './mem/pool';
import { blockBuffer, out } from './mem/scratch';
import {
  RULE_BOOT,
  RULE_BOOT_CHECK,
  RULE_BUMP,
  RULE_ENTRY,
  RULE_FREE_LIST,
  RULE_INDEX,
  RULE_MAPS,
  RULE_OWNER,
  RULE_POOL,
  RULE_POOL_COUNT,
  RULE_POOL_LIST,
  RULE_USED,
  broken,
} from './mem/verify';
import { walkStart } from './mem/walk';
import { mustVerify, stateOf, tableNext, tableShape } from './page/table';
import { tableCheck } from './page/table-check';
import { zpoolSpan } from './zpool';
import { ramzCheck } from './front/ramzswap-check';
import { ramzSettings } from './front/ramzswap-layout';
import { zswapCheck } from './front/zswap-check';
import { zswapSettings } from './front/zswap-layout';
import { metadataFrames } from './front/backed';

/** The pool after this one (0: the first), newest first; 0 at the end. EINVAL. */
export function zpoolNext(pool: usize): u32 {
  if (pool == 0) return boot(BOOT_POOL_HEAD);
  return kindOf(pool) == 0 ? EINVAL : poolAt(pool).next;
}

/**
 * Frame of the data of an object; offset in OUT_OFFSET, more from the allocator in OUT_PLACE_A and OUT_PLACE_B. EINVAL.
 */
export function zpoolLocate(pool: usize, handle: u32): u32 {
  return alloc.locate(kindOf(pool), pool, handle);
}

// ── statistics ──────────────────────────────────────────────────────

/** Frames of tables, descriptors, handle records, map buffers and page table that a pool owns. EINVAL. */
export function zpoolMetadataFrames(pool: usize): u32 {
  return isPool(pool) ? metadataFrames(pool) + bufferFrames(pool) : EINVAL;
}

/** Frames of map buffers. No counter has them, because a map is brief. */
function bufferFrames(pool: usize): u32 {
  if (poolAt(pool).maps == 0) return 0;
  const bump = boot(BOOT_BUMP);
  let frames: u32 = 0;
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    if (entryOwner(entryOf(frame)) == ((<u32>pool) | FRAME_BUFFER)) frames += 1;
  }
  return frames;
}

/** One counter of a pool: COUNT_FRAMES and so on. -1 for no pool. */
export function zpoolCounter(pool: usize, which: u32): f64 {
  if (kindOf(pool) == 0) return -1;
  switch (which) {
    case COUNT_FRAMES:
      return <f64>poolAt(pool).frames;
    case COUNT_OBJECTS:
      return <f64>poolAt(pool).objects;
    case COUNT_LIVE_BYTES:
      return <f64>poolAt(pool).liveBytes;
    case COUNT_MAPS:
      return <f64>poolAt(pool).maps;
    case COUNT_OBJECTS_MOVED:
      return poolAt(pool).objectsMoved;
    default:
      return poolAt(pool).bytesMoved; // COUNT_BYTES_MOVED
  }
}

/** One word about a pool: IDENTITY_KIND and so on. EINVAL. */
export function zpoolIdentity(pool: usize, word: u32): u32 {
  const kind = kindOf(pool);
  if (kind == 0) return EINVAL;
  switch (word) {
    case IDENTITY_KIND:
      return kind;
    case IDENTITY_NAME_BYTES:
      return poolAt(pool).nameBytes;
    case IDENTITY_NAME:
      return <u32>(pool + POOL_NAME);
    default:
      return word < IDENTITY_OPTIONS + 3 ? poolOption(pool, word - IDENTITY_OPTIONS) : EINVAL;
  }
}

// ── walk ──────────────────────────────────────────────────────

/** Number of objects that lie in two frames. EINVAL. */
export function zpoolSpanning(pool: usize): u32 {
  return alloc.spanning(kindOf(pool), pool);
}

/** Number of rows of the allocator's table. EINVAL. */
export function zpoolTables(pool: usize): u32 {
  return alloc.tables(kindOf(pool), pool);
}

/** Writes one row of the allocator's table into the block buffer. 0; EINVAL. */
export function zpoolTable(pool: usize, nth: u32): u32 {
  return alloc.table(kindOf(pool), pool, nth, blockBuffer());
}

/**
 * The next frame with objects of a pool after `frame` (0: the first one), 0 at the
 * end. Puts its contents into the scratch buffers (mem/walk.ts). EINVAL.
 */
export function zpoolWalk(pool: usize, frame: u32): u32 {
  const kind = kindOf(pool);
  if (kind == 0) return EINVAL;
  const bump = boot(BOOT_BUMP);
  for (frame = max(frame + 1, boot(BOOT_FIRST)); frame < bump; frame++) {
    const owner = entryOwner(entryOf(frame));
    if (owner != ((<u32>pool) | FRAME_DATA) && owner != ((<u32>pool) | FRAME_RAW)) continue;
    walkStart();
    alloc.walk(kind, pool, frame);
    return frame;
  }
  return 0;
}

/**
 * Finds the first key in the page table of a pool from a position on (0: the start).
 * Returns 1, the key in OUT_KEY_LOW and OUT_KEY_HIGH, its position in OUT_PLACE; 0 at
 * the end. EINVAL.
 */
export function tableSeek(pool: usize, place: u32): u32 {
  if (!isPool(pool)) return EINVAL;
  return tableNext(pool + POOL_INDEX, place) != 0 ? 1 : 0;
}

// ── check ────────────────────────────────────────────────────────────────────

/**
 * Verifies every structure of the RAM. It survives any contents, because it also
 * decides whether an image from outside is accepted.
 * @param frames 4 KiB frames of the memory
 * @returns 0, or EUCLEAN with the broken rule in OUT_RULE and its frame in OUT_RULE_FRAME
 */
export function ramCheck(frames: u32): u32 {
  let result = bootCheck(frames);
  if (result == 0) result = entriesCheck();
  if (result == 0) result = freeListCheck();
  if (result == 0) result = poolsCheck();
  if (result == 0) result = frontsCheck();
  return result;
}

/** Verifies the boot frame: magic, geometry, checksum, and zeros in the rest. */
function bootCheck(frames: u32): u32 {
  if (!hasGeometry(frames)) return broken(RULE_BOOT, 0);
  if (boot(BOOT_CHECK) != bootChecksum()) return broken(RULE_BOOT_CHECK, 0);
  const first = boot(BOOT_FIRST);
  const bump = boot(BOOT_BUMP);
  if (first < fixedFrames() || first >= frameEnd() || bump < first || bump > frameEnd()) return broken(RULE_BUMP, 0);
  for (let at = BOOT_END; at < PAGE_SIZE; at += 4) {
    if (boot(at) != 0) return broken(RULE_BOOT, 0);
  }
  return 0;
}

/** Verifies the owner word of every frame, and that the frame entries of free and unused frames are empty. */
function entriesCheck(): u32 {
  const first = boot(BOOT_FIRST);
  const bump = boot(BOOT_BUMP);
  const fixed = fixedFrames();
  for (let frame: u32 = 0; frame < fixed; frame++) {
    if (entryOwner(entryOf(frame)) != (frame == TABLE_INDEX ? FRAME_TABLE : FRAME_FIXED))
      return broken(RULE_OWNER, frame);
    if (!isEmpty(entryOf(frame), 4)) return broken(RULE_ENTRY, frame);
  }
  if (!areEmpty(fixed, min(first, SECTION_MASK + 1)) || !areEmpty(max(first & ~SECTION_MASK, fixed), first)) {
    return broken(RULE_ENTRY, first);
  }
  for (let section = first >> SECTION_SHIFT; section <= lastSection(); section++) {
    const table = tableOf(section << SECTION_SHIFT);
    if (entryOwner(entryOf(table)) != FRAME_TABLE || !isEmpty(entryOf(table), 4)) return broken(RULE_OWNER, table);
  }
  let used: u32 = 0;
  let free: u32 = 0;
  for (let frame = first; frame < bump; frame++) {
    const entry = entryOf(frame);
    const type = entryType(entry);
    const pool = <u32>entryPool(entry);
    if (frame == tableOf(frame)) continue;
    if (type == FRAME_FREE) {
      if (pool != 0) return broken(RULE_OWNER, frame);
      if (!isEmpty(entry, 12)) return broken(RULE_ENTRY, frame);
      free += 1;
    } else {
      if (type < FRAME_POOL || type >= FRAME_TYPES || !isPool(pool)) return broken(RULE_OWNER, frame);
      if (type == FRAME_POOL && pool != frame << PAGE_SHIFT) return broken(RULE_OWNER, frame);
      if ((type == FRAME_POOL || type == FRAME_POOL_MORE) && !isEmpty(entry, 8)) return broken(RULE_ENTRY, frame);
      used += 1;
    }
  }
  if (used != boot(BOOT_USED)) return broken(RULE_USED, 0);
  if (free != boot(BOOT_FREE_COUNT)) return broken(RULE_FREE_LIST, 0);
  return beyondBumpCheck(bump);
}

/** Verifies that the frame entries from the bump mark to the end of its section were never written. */
function beyondBumpCheck(bump: u32): u32 {
  const last = min(bump, frameEnd() - 1);
  return areEmpty(bump, min((last | SECTION_MASK) + 1, boot(BOOT_FRAMES))) ? 0 : broken(RULE_BUMP, bump);
}

/** True when the frame entries of these frames of one section were never written, apart from that of its table. */
function areEmpty(from: u32, end: u32): bool {
  for (let frame = from; frame < end; frame++) {
    if (frame != tableOf(frame) && !isEmpty(entryOf(frame), 0)) return false;
  }
  return true;
}

/** True when a frame entry is zero from byte `at` on. */
function isEmpty(entry: usize, at: u32): bool {
  for (; at < 32; at += 4) {
    if (load<u32>(entry + <usize>at) != 0) return false;
  }
  return true;
}

/** Verifies that the free list holds each free frame once. */
function freeListCheck(): u32 {
  let left = boot(BOOT_FREE_COUNT);
  let frame = boot(BOOT_FREE_HEAD);
  for (; left != 0; left--) {
    if (frame < boot(BOOT_FIRST) || !frameExists(frame) || entryType(entryOf(frame)) != FRAME_FREE)
      return broken(RULE_FREE_LIST, frame);
    frame = freeNext(entryOf(frame));
  }
  return frame == 0 ? 0 : broken(RULE_FREE_LIST, frame);
}

/** Verifies the list of pools, and each pool. */
function poolsCheck(): u32 {
  const count = boot(BOOT_POOL_COUNT);
  let pool = boot(BOOT_POOL_HEAD);
  let last: u32 = 0;
  let maps: u32 = 0;
  let isolated: u32 = 0;
  for (let left = count; left != 0; left--) {
    if (!isPool(pool) || (last != 0 && poolAt(pool).previous != last))
      return broken(RULE_POOL_LIST, pool >> PAGE_SHIFT);
    const result = poolCheck(pool);
    if (result != 0) return result;
    maps += poolAt(pool).maps;
    isolated += poolAt(pool).isolated;
    last = pool;
    pool = poolAt(pool).next;
  }
  if (pool != 0) return broken(RULE_POOL_LIST, 0);
  if (last != 0 && poolAt(boot(BOOT_POOL_HEAD)).previous != last) return broken(RULE_POOL_LIST, 0);
  if (maps != boot(BOOT_MAPS) || isolated != boot(BOOT_ISOLATED)) return broken(RULE_MAPS, 0);
  return poolFramesCheck(count);
}

/** Verifies the front ends, after all pools: their entries refer to objects of pools. */
function frontsCheck(): u32 {
  for (let pool = boot(BOOT_POOL_HEAD); pool != 0; pool = poolAt(pool).next) {
    const kind = poolAt(pool).kind;
    const result = kind == ZSWAP ? zswapCheck(pool) : kind == RAMZSWAP ? ramzCheck(pool) : 0;
    if (result != 0) return result;
  }
  return 0;
}

/** Verifies that there are as many pool headers as pools on the list. */
function poolFramesCheck(count: u32): u32 {
  const bump = boot(BOOT_BUMP);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    if (entryType(entryOf(frame)) == FRAME_POOL) count -= 1;
  }
  return count == 0 ? 0 : broken(RULE_POOL_LIST, 0);
}

function poolCheck(pool: usize): u32 {
  const frame = <u32>(pool >> PAGE_SHIFT);
  const kind = poolAt(pool).kind;
  const settings = kind == ZSWAP ? zswapSettings(pool) : kind == RAMZSWAP ? ramzSettings(pool) : 0;
  if (
    poolAt(pool).check != poolChecksum(pool, settings) ||
    poolAt(pool).nameBytes - 1 >= NAME_BYTES ||
    !(poolAt(pool).objectsMoved >= 0 && poolAt(pool).bytesMoved >= 0)
  )
    return broken(RULE_POOL, frame);
  // No other check looks at a frame whose type the allocator does not use.
  const isFront = kind == ZSWAP || kind == RAMZSWAP;
  if (!isFront && !alloc.exists(kind)) return broken(RULE_POOL, frame);
  const types: u32 = isFront ? (1 << FRAME_SLOTS) | ((<u32>(kind == ZSWAP)) << FRAME_SLAB) : alloc.ownsFrames(kind);
  let tables: u32 = 0;
  const bump = boot(BOOT_BUMP);
  for (let other = boot(BOOT_FIRST); other < bump; other++) {
    const entry = entryOf(other);
    if (entryPool(entry) != pool) continue;
    const type = entryType(entry);
    if (type == FRAME_POOL || type == FRAME_POOL_MORE) tables += 1;
    else if (type != FRAME_INDEX && ((types >> type) & 1) == 0) return broken(RULE_OWNER, other);
  }
  if (tables != poolAt(pool).tableFrames) return broken(RULE_POOL_COUNT, frame);
  let result = tableCheck(pool + POOL_INDEX);
  if (isFront || result != 0) return result; // frontsCheck verifies front ends after all pools
  result = alloc.check(kind, pool);
  return result == 0 && !hasPages(pool) ? broken(RULE_INDEX, frame) : result;
}

/**
 * True when each handle in the page table of a pool is that of an object. Always true while handles must be verified
 * (mustVerify): then an object may be gone. The pool itself must be verified.
 */
function hasPages(pool: usize): bool {
  const root = pool + POOL_INDEX;
  if (tableShape(root) == 0 || mustVerify(root)) return true;
  let place: u32 = 0;
  for (let cell = tableNext(root, 0); cell != 0; cell = tableNext(root, place)) {
    place = out(OUT_PLACE) + 1;
    if (stateOf(cell) != FILL && isError(zpoolSpan(pool, load<u32>(cell), 0))) return false;
    if (place == 0) break;
  }
  return true;
}
