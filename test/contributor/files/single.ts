/**
 * single: one object in each frame. It is the smallest allocator that keeps the contract of alloc/index.ts, as a start
 * for contributors; a test adds it to a copy of the tree (contributor.test.ts).
 *
 * Each object has a frame of its own and begins at the start of the frame. Every call is O(1). Objects are never moved,
 * and maps need no buffer. It wastes memory for small objects.
 *
 *   frame entry   8 u16 bytes of the object, 0 once it is freed under reclaim     10 u16 1 while isolated
 *                12 u32 maps      16 zero      24 links: LRU
 *
 * Handle: generation | frame, from the high bits down. The generation (genA, mem/generation.ts) has 16 bits up to 256
 * MiB of RAM, 12 at 4 GiB.
 *
 * Vital statistics: largest object 4096; no overhead beside the frame table; density is the mean size / 4096.
 */
import { OUT_CURSOR } from '../abi';
import { EBUSY, EINVAL, ENOMEM, ENOSPC } from '../base/errno';
import { listPush, listRemove } from '../base/list';
import { frameAlloc, frameFree, needed } from '../mem/frame';
import { advanced, generationMask, settled } from '../mem/generation';
import {
  BOOT_BUMP,
  BOOT_FIRST,
  FRAME_DATA,
  PAGE_SHIFT,
  PAGE_SIZE,
  boot,
  entryOf,
  entryOwner,
  entryType,
  frameAddress,
  frameBits,
  frameExists,
  frameOf,
  genA,
  setGenA,
} from '../mem/layout';
import {
  POOL_DESCRIPTORS,
  POOL_HANDLES,
  POOL_LRU,
  countIsolated,
  countMap,
  countObject,
  poolAt,
  poolOption,
  uncountMap,
  uncountObject,
  victimTake,
} from '../mem/pool';
import { setOut } from '../mem/scratch';
import { locateWhole, spanWhole } from '../mem/span';
import { RULE_LRU, RULE_MAPS, RULE_OBJECT, RULE_POOL, RULE_POOL_COUNT, broken, listLength } from '../mem/verify';
import { walkFree, walkObject } from '../mem/walk';

const SIZE: usize = 8;
const ISOLATED: usize = 10;
const MAPS: usize = 12;
const ZERO: usize = 16;
const LRU_LINKS: usize = 24;
const MAPS_MAX: u32 = 0xffffffff;

function sizeOf(entry: usize): u32 {
  return <u32>load<u16>(entry, SIZE);
}

function isIsolated(entry: usize): bool {
  return load<u16>(entry, ISOLATED) != 0;
}

function mask(): u32 {
  return generationMask(min<u32>(16, 32 - frameBits()));
}

function handleOf(entry: usize): u32 {
  return ((genA(entry) & mask()) << frameBits()) | frameOf(entry);
}

/** The frame entry of a live object of this pool, 0 for any other number. */
function resolve(pool: usize, handle: u32): usize {
  const frame = handle & ((1 << frameBits()) - 1);
  if (!frameExists(frame)) return 0;
  const entry = entryOf(frame);
  if (entryOwner(entry) != ((<u32>pool) | FRAME_DATA) || sizeOf(entry) == 0) return 0;
  return handleOf(entry) == handle ? entry : 0;
}

// ── life of a pool ───────────────────────────────────────────────────────────

/** A pool has no frame but its header. */
export function initFrames(a: u32, b: u32, c: u32): u32 {
  return 0;
}

/** EINVAL for options (this allocator has none) and for owner bytes (there is no record to keep them in). */
export function init(pool: usize, a: u32, b: u32, c: u32, ownerBytes: u32): u32 {
  return (a | b | c | ownerBytes) != 0 ? EINVAL : 0;
}

/** The handle of a live object goes stale. */
export function frameEnds(entry: usize): void {
  if (entryType(entry) == FRAME_DATA) setGenA(entry, advanced(genA(entry), mask()));
}

// ── objects ──────────────────────────────────────────────────────────────────

export function largest(pool: usize): u32 {
  return PAGE_SIZE;
}

export function hugeSize(pool: usize): u32 {
  return PAGE_SIZE;
}

/** Every object takes a whole frame. */
export function rounded(pool: usize, size: u32): u32 {
  return PAGE_SIZE;
}

/** EINVAL size 0, ENOSPC above 4096, ENOMEM without a frame. */
export function malloc(pool: usize, size: u32): u32 {
  if (size - 1 >= PAGE_SIZE) return size == 0 ? EINVAL : ENOSPC;
  const frame = frameAlloc((<u32>pool) | FRAME_DATA);
  if (frame == 0) {
    needed(1);
    return ENOMEM;
  }
  const entry = entryOf(frame);
  setGenA(entry, settled(genA(entry), mask()));
  store<u16>(entry, <u16>size, SIZE);
  listPush(pool + POOL_LRU, entry, LRU_LINKS);
  poolAt(pool).frames += 1;
  countObject(pool, size);
  return handleOf(entry);
}

/** A raw page is an object like any other. */
export function mallocRaw(pool: usize): u32 {
  return malloc(pool, PAGE_SIZE);
}

/** EINVAL for a handle that is not live here, EBUSY while it is mapped. */
export function free(pool: usize, handle: u32): u32 {
  const entry = resolve(pool, handle);
  if (entry == 0) return EINVAL;
  if (load<u32>(entry, MAPS) != 0) return EBUSY;
  uncountObject(pool, sizeOf(entry));
  setGenA(entry, advanced(genA(entry), mask()));
  store<u16>(entry, 0, SIZE);
  if (isIsolated(entry)) return 0;
  listRemove(pool + POOL_LRU, entry, LRU_LINKS);
  giveFrame(pool, entry);
  return 0;
}

function giveFrame(pool: usize, entry: usize): void {
  poolAt(pool).frames -= 1;
  frameFree(frameOf(entry));
}

/** There are no owner bytes. */
export function ownerOf(pool: usize, handle: u32): usize {
  return 0;
}

export function span(pool: usize, handle: u32, writing: bool): u32 {
  const entry = resolve(pool, handle);
  if (entry == 0) return EINVAL;
  spanWhole(sizeOf(entry));
  return <u32>frameAddress(frameOf(entry));
}

export function locate(pool: usize, handle: u32): u32 {
  return locateWhole(span(pool, handle, false));
}

export function map(pool: usize, handle: u32, writable: bool, discard: bool): u32 {
  const entry = resolve(pool, handle);
  if (entry == 0) return EINVAL;
  if (load<u32>(entry, MAPS) == MAPS_MAX) return EBUSY;
  store<u32>(entry, load<u32>(entry, MAPS) + 1, MAPS);
  countMap(pool);
  return span(pool, handle, false);
}

export function unmap(pool: usize, handle: u32): u32 {
  const entry = resolve(pool, handle);
  if (entry == 0 || load<u32>(entry, MAPS) == 0) return EINVAL;
  store<u32>(entry, load<u32>(entry, MAPS) - 1, MAPS);
  uncountMap(pool);
  return 0;
}

// ── compaction and reclaim ───────────────────────────────────────────────────

/** Objects stay where they are. */
export function compact(pool: usize, victims: u32): u32 {
  return 0;
}

export function compactFrom(pool: usize, cursor: u32, most: u32): u32 {
  setOut(OUT_CURSOR, 0);
  return 0;
}

export function freeable(pool: usize): u32 {
  return 0;
}

export function isolate(pool: usize): u32 {
  const entry = victimTake(pool, LRU_LINKS, MAPS);
  if (entry == 0) return 0;
  store<u16>(entry, 1, ISOLATED);
  return frameOf(entry);
}

/** The frame entry of an isolated victim of this pool, 0 for any other number. */
function victimEntry(pool: usize, victim: u32): usize {
  if (!frameExists(victim)) return 0;
  const entry = entryOf(victim);
  return entryOwner(entry) == ((<u32>pool) | FRAME_DATA) && isIsolated(entry) ? entry : 0;
}

export function victimNext(pool: usize, victim: u32, cursor: u32): u32 {
  const entry = victimEntry(pool, victim);
  if (entry == 0) return EINVAL;
  if (cursor != 0 || sizeOf(entry) == 0) return 0;
  setOut(OUT_CURSOR, 1);
  return handleOf(entry);
}

export function release(pool: usize, victim: u32): u32 {
  const entry = victimEntry(pool, victim);
  if (entry == 0) return EINVAL;
  store<u16>(entry, 0, ISOLATED);
  countIsolated(pool, -1);
  if (sizeOf(entry) == 0) {
    giveFrame(pool, entry);
    return 1;
  }
  listPush(pool + POOL_LRU, entry, LRU_LINKS);
  return 0;
}

/** There is no deferred work. */
export function runDeferred(pool: usize, force: u32): u32 {
  return 0;
}

// ── looking ──────────────────────────────────────────────────────────────────

export function descriptorFrames(pool: usize): u32 {
  return 0;
}

export function ownsFrames(): u32 {
  return 1 << FRAME_DATA;
}

export function spanning(pool: usize): u32 {
  return 0;
}

/** There is no table. */
export function tables(pool: usize): u32 {
  return 0;
}

export function table(pool: usize, nth: u32, to: usize): u32 {
  return EINVAL;
}

export function walk(pool: usize, frame: u32): void {
  const entry = entryOf(frame);
  const size = sizeOf(entry);
  if (size != 0) walkObject(handleOf(entry), 0, size);
  if (size < PAGE_SIZE) walkFree(size, PAGE_SIZE - size);
}

export function check(pool: usize): u32 {
  const home = <u32>(pool >> PAGE_SHIFT);
  for (let word: u32 = 0; word < 4; word++) {
    if (poolOption(pool, word) != 0) return broken(RULE_POOL, home);
  }
  for (let at = POOL_HANDLES; at < POOL_DESCRIPTORS + 16; at += 4) {
    if (load<u32>(pool + at) != 0) return broken(RULE_POOL, home);
  }
  let frames: u32 = 0;
  let objects: u32 = 0;
  let bytes: u32 = 0;
  let maps: u32 = 0;
  let isolated: u32 = 0;
  const bump = boot(BOOT_BUMP);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) != ((<u32>pool) | FRAME_DATA)) continue;
    const size = sizeOf(entry);
    if (size > PAGE_SIZE || load<u16>(entry, ISOLATED) > 1 || load<u64>(entry, ZERO) != 0)
      return broken(RULE_OBJECT, frame);
    if ((genA(entry) & mask()) == mask() || (size == 0 && !isIsolated(entry))) return broken(RULE_OBJECT, frame);
    if (load<u32>(entry, MAPS) != 0 && size == 0) return broken(RULE_MAPS, frame);
    if (isIsolated(entry) && load<u64>(entry, LRU_LINKS) != 0) return broken(RULE_LRU, frame);
    frames += 1;
    objects += <u32>(size != 0);
    bytes += size;
    maps += load<u32>(entry, MAPS);
    isolated += <u32>isIsolated(entry);
  }
  if (
    frames != poolAt(pool).frames ||
    objects != poolAt(pool).objects ||
    bytes != poolAt(pool).liveBytes ||
    isolated != poolAt(pool).isolated
  )
    return broken(RULE_POOL_COUNT, home);
  if (maps != poolAt(pool).maps) return broken(RULE_MAPS, home);
  const listed = frames - isolated;
  return listLength(pool + POOL_LRU, LRU_LINKS, listed, (<u32>pool) | FRAME_DATA, 0) == listed
    ? 0
    : broken(RULE_LRU, home);
}
