/**
 * Pools: the part of a pool header that all allocators share.
 *
 * The address of its header frame identifies a pool. The owner word of each of its
 * frames contains this address (a multiple of 4096), so one compare tells whether a
 * frame belongs to a pool.
 *
 *   0 kind            4 data frames      8 objects        12 live bytes
 *  16 LRU             20 previous pool   24 next pool     28 live maps
 *  32 isolated victims                   36 frames of tables (this one and more)
 *  40 cache: handle records (16 bytes)   56 cache: descriptors (16 bytes)
 *  72 objects moved (f64)                80 payload bytes moved (f64)
 *  88 checksum over 0, 72, 80, 92..179 and 208..255, and what a front end adds      92 bytes of the name
 *  96 name, 64 bytes                    160 options: 4 words of the allocator
 * 176 root of the page table (page/table.ts)
 * 256 tables of the allocator, to the end of the frame
 *
 * `objects moved` counts copies: with 4 fullness groups, zsmalloc may copy an
 * object more than once in one compact().
 */
import {
  BOOT_ISOLATED,
  BOOT_MAPS,
  BOOT_POOL_COUNT,
  BOOT_POOL_HEAD,
  BOOT_SERIAL,
  FRAME_POOL,
  PAGE_MASK,
  PAGE_SHIFT,
  boot,
  entryOf,
  entryOwner,
  frameAddress,
  frameExists,
  setBoot,
} from './layout';
import { frameAlloc, writeBootChecksum } from './frame';
import { listPrevious, listPush, listRemove, listTail } from '../base/list';

export { FRONT_KINDS_FROM, NAME_BYTES, RAMZSWAP, ZSWAP } from '../abi';

export const POOL_NAME: usize = 96;
export const POOL_OPTIONS: usize = 160;
export const POOL_TABLES: usize = 256;
export const POOL_LRU: usize = 16; // head of the LRU list
export const POOL_HANDLES: usize = 40; // cache of handle records
export const POOL_DESCRIPTORS: usize = 56; // cache of descriptors

export const POOL_INDEX: usize = 176; // root of the page table
const INDEX_COUNTS: usize = 180; // the words of the root that change
const INDEX_END: usize = 208;
const POOL_LINKS: usize = 20;


@unmanaged
export class Pool {
  kind: u32;
  frames: u32;
  objects: u32;
  liveBytes: u32;
  lru: u32;
  previous: u32;
  next: u32;
  maps: u32;
  isolated: u32;
  tableFrames: u32;
  handles0: u32;
  handles1: u32;
  handles2: u32;
  handles3: u32;
  descriptors0: u32;
  descriptors1: u32;
  descriptors2: u32;
  descriptors3: u32;
  objectsMoved: f64;
  bytesMoved: f64;
  check: u32;
  nameBytes: u32;
}

/* @inline */ export function poolAt(address: usize): Pool {
  return changetype<Pool>(address);
}

/** True when a number (from anywhere) is the address of a pool. */
export function isPool(address: usize): bool {
  return kindOf(address) != 0;
}

/** Kind of a pool, 0 for a number that is no pool. */
/* @inline */ export function kindOf(pool: usize): u32 {
  const frame = <u32>(pool >> PAGE_SHIFT);
  return ((<u32>pool) & PAGE_MASK) == 0 &&
    frameExists(frame) &&
    entryOwner(entryOf(frame)) == ((<u32>pool) | FRAME_POOL)
    ? poolAt(pool).kind
    : 0;
}

/* @inline */ export function poolOption(pool: usize, index: u32): u32 {
  return load<u32>(pool + POOL_OPTIONS + ((<usize>index) << 2));
}

/* @inline */ export function setPoolOption(pool: usize, index: u32, value: u32): void {
  store<u32>(pool + POOL_OPTIONS + ((<usize>index) << 2), value);
}

/** Checksum of the two counters of moves. */
function movesChecksum(pool: usize): u32 {
  return (
    load<u32>(pool, 72) ^
    rotl<u32>(load<u32>(pool, 76), 8) ^
    rotl<u32>(load<u32>(pool, 80), 16) ^
    rotl<u32>(load<u32>(pool, 84), 24)
  );
}

/**
 * Checksum of the words of a pool header that check() cannot derive from other words.
 * @param further checksum of such words from POOL_TABLES on; only front ends have some
 */
export function poolChecksum(pool: usize, further: u32): u32 {
  let sum: u32 = rotl<u32>(load<u32>(pool), 5);
  for (let at: usize = 92; at < POOL_TABLES; at += 4) {
    if (at == INDEX_COUNTS) at = INDEX_END;
    sum = rotl<u32>(sum ^ load<u32>(pool + at), 5) + 1;
  }
  return sum ^ movesChecksum(pool) ^ further;
}

/** Frames of the page table. */
/* @inline */ export function indexFrames(pool: usize): u32 {
  return load<u32>(pool, POOL_INDEX + 16);
}

/** Increments the number of pools ever created; default names contain that number. */
export function poolNumber(): void {
  setBoot(BOOT_SERIAL, boot(BOOT_SERIAL) + 1);
  writeBootChecksum();
}

/** @param further as for poolChecksum */
export function writePoolChecksum(pool: usize, further: u32 = 0): void {
  poolAt(pool).check = poolChecksum(pool, further);
}

/** Counts objects moved by compaction and their payload. */
export function countMoves(pool: usize, objects: f64, bytes: f64): void {
  const before = movesChecksum(pool);
  poolAt(pool).objectsMoved += objects;
  poolAt(pool).bytesMoved += bytes;
  poolAt(pool).check ^= before ^ movesChecksum(pool);
}

/** Takes a header frame and puts the pool on the RAM's list. 0 when there is no frame. */
export function poolCreate(kind: u32): usize {
  const frame = frameAlloc(FRAME_POOL);
  if (frame == 0) return 0;
  const pool = frameAddress(frame);
  store<u32>(entryOf(frame), (<u32>pool) | FRAME_POOL);
  poolAt(pool).kind = kind;
  poolAt(pool).tableFrames = 1;
  listPush(BOOT_POOL_HEAD, pool, POOL_LINKS);
  setBoot(BOOT_POOL_COUNT, boot(BOOT_POOL_COUNT) + 1);
  return pool;
}

/** Takes the pool off the list of pools. The caller has to free its frames. */
export function poolUnlink(pool: usize): void {
  listRemove(BOOT_POOL_HEAD, pool, POOL_LINKS);
  setBoot(BOOT_POOL_COUNT, boot(BOOT_POOL_COUNT) - 1);
}

// ── counting ─────────────────────────────────────────────────────────────────

/* @inline */ export function countObject(pool: usize, bytes: u32): void {
  poolAt(pool).objects += 1;
  poolAt(pool).liveBytes += bytes;
}

/* @inline */ export function uncountObject(pool: usize, bytes: u32): void {
  poolAt(pool).objects -= 1;
  poolAt(pool).liveBytes -= bytes;
}

/* @inline */ export function countMap(pool: usize): void {
  poolAt(pool).maps += 1;
  setBoot(BOOT_MAPS, boot(BOOT_MAPS) + 1);
}

/* @inline */ export function uncountMap(pool: usize): void {
  poolAt(pool).maps -= 1;
  setBoot(BOOT_MAPS, boot(BOOT_MAPS) - 1);
}

/** Counts a victim isolated (1) or released (-1). */
export function countIsolated(pool: usize, by: i32): void {
  poolAt(pool).isolated += by;
  setBoot(BOOT_ISOLATED, boot(BOOT_ISOLATED) + by);
}

// ── victims ──────────────────────────────────────────────────────────────────

/**
 * Takes the least recently used frame without a mapped object off the LRU, as a victim.
 * Returns its frame entry, 0 for none.
 * @param links offset of the LRU links in a frame entry
 * @param mapped offset of a word in a frame entry that is 0 while no object of the frame is mapped
 */
export function victimTake(pool: usize, links: usize, mapped: usize): usize {
  const first = <usize>load<u32>(pool + POOL_LRU);
  let entry = listTail(pool + POOL_LRU, links);
  while (entry != 0 && load<u32>(entry + mapped) != 0) entry = entry == first ? 0 : listPrevious(entry, links);
  if (entry == 0) return 0;
  listRemove(pool + POOL_LRU, entry, links);
  countIsolated(pool, 1);
  return entry;
}
