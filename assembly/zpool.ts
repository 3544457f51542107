/**
 * zpool: one API over the allocators, and the RAM as a whole.
 *
 * A zpool is the address of a pool header. Dispatch is one `switch` on its
 * kind. Every function validates the pool it is given, so a wrong number gets
 * EINVAL; handles are validated by the allocators.
 *
 * Reclaim is steps, so that a front end can wait for an asynchronous store in
 * between: isolate a victim (a frame, or the first frame of a zspage), list its
 * live handles, release it. The loop over them (shrink) is the caller's.
 *
 * check() lives here because it is the first layer that sees all of the RAM.
 */
import { EBUSY, EINVAL, ENOMEM, ENOSPC, ERANGE, isError } from './base/errno';
import {
  zbudCheck, zbudData, zbudFrameEnds, zbudFree, zbudInit, zbudIsolate, zbudListLength, zbudMalloc, zbudMallocRaw, zbudMap, zbudMax,
  zbudRelease, zbudUnmap, zbudVictimNext, zbudWalk,
} from './alloc/zbud';
import {
  zsCheck, zsClassStats, zsClasses, zsCompact, zsFree, zsFreeable, zsInit, zsIsolate, zsLocate, zsMalloc, zsMap, zsRelease,
  zsSize, zsSpan, zsSpanning, zsUnmap, zsVictimNext, zsWalk,
} from './alloc/zsmalloc';
import {
  xcfCheck, xcfFree, xcfInit, xcfIsolate, xcfListLength, xcfLocate, xcfMalloc, xcfMallocRaw, xcfMap, xcfRelease, xcfSize,
  xcfSpan, xcfSpanning, xcfUnmap, xcfVictimNext, xcfWalk,
} from './alloc/xcfmalloc';
import { xcfCompact, xcfFreeable } from './alloc/xcfmalloc-compact';
import { bootCheckWord, fixedFrames, frameEnd, frameFree, freeNext, lastSection, needed } from './mem/frame';
import { handleFrameEnds } from './mem/handle';
import {
  BOOT_BUMP, BOOT_CHECK, BOOT_END, BOOT_FIRST, BOOT_FRAMES, BOOT_FREE_COUNT, BOOT_FREE_HEAD, BOOT_ISOLATED, BOOT_MAGIC,
  BOOT_MAPS, BOOT_POOL_COUNT, BOOT_POOL_HEAD, BOOT_SCRATCH, BOOT_USED, BOOT_VERSION, FRAME_BUFFER, FRAME_DATA,
  FRAME_FIXED, FRAME_FREE, FRAME_HANDLES, FRAME_NEVER, FRAME_POOL, FRAME_POOL_MORE, FRAME_RAW, FRAME_SLAB, FRAME_TABLE,
  FRAME_TYPES, LAST_FRAME, LAYOUT_VERSION, MAGIC, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, SCRATCH_FRAME, SECTION_MASK,
  SECTION_SHIFT, TABLE_INDEX, boot, entryOf, entryOwner, entryPool, entryType, frameAddress, frameExists,
} from './mem/layout';
import {
  NAME_BYTES, POOL_DESCRIPTORS, POOL_HANDLES, POOL_LINKS, POOL_NAME, isPool, poolAt, poolCheckWord, poolCreate,
  poolOption, poolUnlink, sealPool,
} from './mem/pool';
import { OUT_A, OUT_LENGTH, OUT_SECOND, OUT_SIZE, blockBuffer, out, setOut } from './mem/scratch';
import { slabFrames } from './mem/slab';
import { gather, scatter } from './mem/span';
import {
  RULE_BOOT, RULE_BOOT_CHECK, RULE_BUMP, RULE_ENTRY, RULE_FREE_LIST, RULE_MAPS, RULE_OWNER, RULE_POOL, RULE_POOL_COUNT,
  RULE_POOL_LIST, RULE_USED, broken,
} from './mem/verify';
import { walkStart } from './mem/walk';

/** Kinds of allocators; stored in pool headers, so never renumbered. */
// @ts-ignore: decorator
@inline export const ZBUD: u32 = 1;
// @ts-ignore: decorator
@inline export const ZSMALLOC: u32 = 3;
// @ts-ignore: decorator
@inline export const XCFMALLOC: u32 = 5;

/** Map modes. */
// @ts-ignore: decorator
@inline const MODE_RO: u32 = 0;
// @ts-ignore: decorator
@inline const MODE_RW: u32 = 1;
// @ts-ignore: decorator
@inline const MODE_WO: u32 = 2;

/** Kind of a pool, 0 for a number that is no pool. */
function kindOf(pool: usize): u32 {
  return isPool(pool) ? poolAt(pool).kind : 0;
}

// ── life of a pool ───────────────────────────────────────────────────────────

/**
 * Creates a pool.
 * @param kind ZBUD, ZSMALLOC, XCFMALLOC
 * @param a zbud: header chunks 0 or 1; zsmalloc: chain 1..16; xcfmalloc: blocks of an object, 1 or 2
 * @param b zsmalloc: chain rule, 0 bytes, 1 percent; xcfmalloc: frames of the reserve, 0..1024
 * @param c zsmalloc: fullness groups, 12 or 4
 * @param name address of the name, UTF-8
 * @param nameBytes 1..64; that the name is free is the caller's to see to
 * @returns the pool; EINVAL, ENOMEM
 */
export function zpoolCreate(kind: u32, a: u32, b: u32, c: u32, name: usize, nameBytes: u32): u32 {
  if ((kind != ZBUD && kind != ZSMALLOC && kind != XCFMALLOC) || nameBytes == 0 || nameBytes > NAME_BYTES) return EINVAL;
  const pool = poolCreate(kind);
  if (pool == 0) {
    needed(1);
    return ENOMEM;
  }
  memory.copy(pool + POOL_NAME, name, nameBytes);
  poolAt(pool).nameBytes = nameBytes;
  const result = kind == ZBUD ? zbudInit(pool, a) : kind == XCFMALLOC ? xcfInit(pool, a, b) : zsInit(pool, a, b, c);
  if (result != 0) {
    giveFramesBack(pool);
    return result;
  }
  sealPool(pool);
  return <u32>pool;
}

/** Takes a pool off the list and gives back every frame that it owns. */
function giveFramesBack(pool: usize): void {
  const kind = poolAt(pool).kind;
  const bump = boot(BOOT_BUMP);
  poolUnlink(pool);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryPool(entry) != pool) continue;
    const type = entryType(entry);
    if (type == FRAME_HANDLES) handleFrameEnds(entry);
    else if (kind == ZBUD && (type == FRAME_DATA || type == FRAME_RAW)) zbudFrameEnds(entry);
    frameFree(frame);
  }
}

/** Destroys a pool, live objects included. EINVAL; EBUSY while an object is mapped or a victim isolated. */
export function zpoolDestroy(pool: usize): u32 {
  if (kindOf(pool) == 0) return EINVAL;
  if (poolAt(pool).maps != 0 || poolAt(pool).isolated != 0) return EBUSY;
  giveFramesBack(pool);
  return 0;
}

/** The pool after this one (0: the first), newest first; 0 at the end. EINVAL. */
export function zpoolNext(pool: usize): u32 {
  if (pool == 0) return boot(BOOT_POOL_HEAD);
  return kindOf(pool) == 0 ? EINVAL : poolAt(pool).next;
}

// ── objects ──────────────────────────────────────────────────────────────────

/** @returns the handle; EINVAL size 0 (or no pool), ENOSPC beyond the largest object, ENOMEM no frame */
export function zpoolMalloc(pool: usize, size: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsMalloc(pool, size);
    case ZBUD: return zbudMalloc(pool, size);
    case XCFMALLOC: return xcfMalloc(pool, size);
    default: return EINVAL;
  }
}

/** The largest object in bytes. EINVAL. */
export function zpoolMax(pool: usize): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return PAGE_SIZE;
    case ZBUD: return zbudMax(pool);
    case XCFMALLOC: return PAGE_SIZE - 12;
    default: return EINVAL;
  }
}

/**
 * An object of 4096 bytes for a page that is kept as it is: in the allocator
 * where that holds one, else in a frame of its own that belongs to the pool.
 * EINVAL, ENOMEM.
 */
export function zpoolMallocRaw(pool: usize): u32 {
  if (kindOf(pool) == ZBUD && zbudMax(pool) < PAGE_SIZE) return zbudMallocRaw(pool);
  if (kindOf(pool) == XCFMALLOC) return xcfMallocRaw(pool);
  return zpoolMalloc(pool, PAGE_SIZE);
}

/** EINVAL never allocated, freed, foreign; EBUSY mapped. Nothing changes then. */
export function zpoolFree(pool: usize, handle: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsFree(pool, handle);
    case ZBUD: return zbudFree(pool, handle);
    case XCFMALLOC: return xcfFree(pool, handle);
    default: return EINVAL;
  }
}

/** Requested bytes of an object. EINVAL. */
export function zpoolSize(pool: usize, handle: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsSize(pool, handle);
    case XCFMALLOC: return xcfSize(pool, handle);
    case ZBUD: {
      const address = zbudData(pool, handle);
      return isError(address) ? address : out(OUT_SIZE);
    }
    default: return EINVAL;
  }
}

/**
 * Where the bytes of an object lie, for a copy in or out.
 * @param writing 1: the copy goes in. It counts as a write for the LRU.
 * @returns address of the first byte; OUT_LENGTH bytes lie there, what is left
 *   of OUT_SIZE begins at OUT_SECOND (0: nothing). EINVAL.
 */
export function zpoolSpan(pool: usize, handle: u32, writing: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsSpan(pool, handle, writing != 0);
    case XCFMALLOC: return xcfSpan(pool, handle, writing != 0);
    case ZBUD: {
      const address = zbudData(pool, handle);
      setOut(OUT_LENGTH, out(OUT_SIZE));
      setOut(OUT_SECOND, 0);
      return address;
    }
    default: return EINVAL;
  }
}

/**
 * Like zpoolSpan for `length` bytes from byte `at` of the object; OUT_LENGTH and
 * OUT_SECOND are those of the part. ERANGE, and no LRU changes, when it does not fit.
 */
export function zpoolRange(pool: usize, handle: u32, at: u32, length: u32, writing: u32): u32 {
  const size = zpoolSize(pool, handle);
  if (isError(size)) return size;
  if (at > size || length > size - at) return ERANGE;
  let address = zpoolSpan(pool, handle, writing);
  const first = out(OUT_LENGTH);
  if (at >= first && out(OUT_SECOND) != 0) {
    address = out(OUT_SECOND) + (at - first);
    setOut(OUT_LENGTH, length);
    setOut(OUT_SECOND, 0);
  } else {
    address += at;
    const room = first - at;
    setOut(OUT_LENGTH, min(room, length));
    if (length <= room) setOut(OUT_SECOND, 0);
  }
  return address;
}

/** Copies a whole object out. EINVAL. */
export function zpoolCopyOut(pool: usize, handle: u32, to: usize): u32 {
  const address = zpoolSpan(pool, handle, 0);
  if (isError(address)) return address;
  gather(to, address, out(OUT_SIZE));
  return out(OUT_SIZE);
}

/** Copies a whole object in, as a write. EINVAL. */
export function zpoolCopyIn(pool: usize, handle: u32, from: usize): u32 {
  const address = zpoolSpan(pool, handle, 1);
  if (isError(address)) return address;
  scatter(from, address, out(OUT_SIZE));
  return 0;
}

/**
 * Maps an object.
 * @param mode 0 ro, 1 rw, 2 wo
 * @returns address of its OUT_SIZE bytes until unmap; EINVAL, EBUSY too many
 *   maps, ENOMEM no frame for the buffer of a straddling object
 */
export function zpoolMap(pool: usize, handle: u32, mode: u32): u32 {
  if (mode > MODE_WO) return EINVAL;
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsMap(pool, handle, mode != MODE_RO, mode == MODE_WO);
    case ZBUD: return zbudMap(pool, handle);
    case XCFMALLOC: return xcfMap(pool, handle, mode != MODE_RO, mode == MODE_WO);
    default: return EINVAL;
  }
}

/** EINVAL also for an object that is not mapped. */
export function zpoolUnmap(pool: usize, handle: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsUnmap(pool, handle);
    case ZBUD: return zbudUnmap(pool, handle);
    case XCFMALLOC: return xcfUnmap(pool, handle);
    default: return EINVAL;
  }
}

/** Frame of an object's data; offset in OUT_A; zsmalloc: class index in OUT_B, slot in OUT_C; xcfmalloc: see xcfLocate. EINVAL. */
export function zpoolLocate(pool: usize, handle: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsLocate(pool, handle);
    case XCFMALLOC: return xcfLocate(pool, handle);
    case ZBUD: {
      const address = zbudData(pool, handle);
      if (isError(address)) return address;
      setOut(OUT_A, address & PAGE_MASK);
      return address >> PAGE_SHIFT;
    }
    default: return EINVAL;
  }
}

// ── compaction and reclaim ───────────────────────────────────────────────────

/** Frames given back; 0 where objects cannot move. @param victims budget. EINVAL. */
export function zpoolCompact(pool: usize, victims: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsCompact(pool, victims);
    case XCFMALLOC: return xcfCompact(pool, victims);
    case ZBUD: return 0;
    default: return EINVAL;
  }
}

/** Frames that zpoolCompact would give back. EINVAL. */
export function zpoolFreeable(pool: usize): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsFreeable(pool);
    case XCFMALLOC: return xcfFreeable(pool);
    case ZBUD: return 0;
    default: return EINVAL;
  }
}

/** Takes the least recently used victim off all lists: its frame number, 0 when nothing is evictable. EINVAL. */
export function zpoolIsolate(pool: usize): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsIsolate(pool);
    case ZBUD: return zbudIsolate(pool);
    case XCFMALLOC: return xcfIsolate(pool);
    default: return EINVAL;
  }
}

/** The next live handle of a victim from `cursor` on, 0 for none; the cursor behind it in OUT_A. EINVAL. */
export function zpoolVictimNext(pool: usize, victim: u32, cursor: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsVictimNext(pool, victim, cursor);
    case ZBUD: return zbudVictimNext(pool, victim, cursor);
    case XCFMALLOC: return xcfVictimNext(pool, victim, cursor);
    default: return EINVAL;
  }
}

/** Ends a reclaim: frames given back, or 0 and the victim is at the front of the LRU again. EINVAL. */
export function zpoolRelease(pool: usize, victim: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsRelease(pool, victim);
    case ZBUD: return zbudRelease(pool, victim);
    case XCFMALLOC: return xcfRelease(pool, victim);
    default: return EINVAL;
  }
}

// ── statistics and walk ──────────────────────────────────────────────────────

/** Frames of tables, descriptors, records and buffers that a pool owns. EINVAL. */
export function zpoolMetadataFrames(pool: usize): u32 {
  if (kindOf(pool) == 0) return EINVAL;
  return poolAt(pool).tableFrames + slabFrames(pool + POOL_HANDLES) + slabFrames(pool + POOL_DESCRIPTORS);
}

/** One counter: 0 frames, 1 objects, 2 live bytes, 3 live maps, 4 objects moved, 5 payload bytes moved. -1 for no pool. */
export function zpoolCounter(pool: usize, which: u32): f64 {
  if (kindOf(pool) == 0) return -1;
  switch (which) {
    case 0: return <f64>poolAt(pool).frames;
    case 1: return <f64>poolAt(pool).objects;
    case 2: return <f64>poolAt(pool).liveBytes;
    case 3: return <f64>poolAt(pool).maps;
    case 4: return poolAt(pool).objectsMoved;
    default: return poolAt(pool).bytesMoved;
  }
}

/** What a pool is: word 0 its kind, 1 bytes of its name, 2 address of its name, 3.. its options. EINVAL. */
export function zpoolIdentity(pool: usize, word: u32): u32 {
  const kind = kindOf(pool);
  if (kind == 0) return EINVAL;
  switch (word) {
    case 0: return kind;
    case 1: return poolAt(pool).nameBytes;
    case 2: return <u32>(pool + POOL_NAME);
    default: return word < 6 ? poolOption(pool, word - 3) : EINVAL;
  }
}

/** Objects that straddle two frames. EINVAL. */
export function zpoolSpanning(pool: usize): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsSpanning(pool);
    case XCFMALLOC: return xcfSpanning(pool);
    case ZBUD: return 0;
    default: return EINVAL;
  }
}

/** Classes of a zsmalloc pool, lists of a zbud or xcfmalloc pool. EINVAL. */
export function zpoolTables(pool: usize): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsClasses(pool);
    case XCFMALLOC: return 64;
    case ZBUD: return 64;
    default: return EINVAL;
  }
}

/** One of them, as words in the block buffer: zsClassStats, or the frames (xcfmalloc: free blocks) on the list. EINVAL. */
export function zpoolTable(pool: usize, nth: u32): u32 {
  switch (kindOf(pool)) {
    case ZSMALLOC: return zsClassStats(pool, nth, blockBuffer());
    case XCFMALLOC: {
      const length = xcfListLength(pool, nth);
      if (isError(length)) return length;
      store<u32>(blockBuffer(), length);
      return 0;
    }
    case ZBUD: {
      const length = zbudListLength(pool, nth);
      if (isError(length)) return length;
      store<u32>(blockBuffer(), length);
      return 0;
    }
    default: return EINVAL;
  }
}

/**
 * The pool's first frame of objects behind `frame` (0: from the start), 0 at the
 * end. Its contents are in the scratch buffers (mem/walk.ts). EINVAL.
 */
export function zpoolWalk(pool: usize, frame: u32): u32 {
  const kind = kindOf(pool);
  if (kind == 0) return EINVAL;
  const bump = boot(BOOT_BUMP);
  for (frame = max(frame + 1, boot(BOOT_FIRST)); frame < bump; frame++) {
    const owner = entryOwner(entryOf(frame));
    if (owner != (<u32>pool | FRAME_DATA) && owner != (<u32>pool | FRAME_RAW)) continue;
    walkStart();
    if (kind == ZSMALLOC) zsWalk(pool, frame);
    else if (kind == XCFMALLOC) xcfWalk(pool, frame);
    else zbudWalk(pool, frame);
    return frame;
  }
  return 0;
}

// ── check ────────────────────────────────────────────────────────────────────

/**
 * Walks every structure of the RAM. 0, or EUCLEAN with the rule that is broken
 * and the frame where in the scratch words. Survives any contents: it is also
 * what decides whether an image from outside is a RAM.
 * @param frames 4 KiB frames of the memory
 */
export function ramCheck(frames: u32): u32 {
  let result = bootCheck(frames);
  if (result == 0) result = entriesCheck();
  if (result == 0) result = freeListCheck();
  if (result == 0) result = poolsCheck();
  return result;
}

/** Magic, geometry, words that nothing else confirms, rest zero. */
function bootCheck(frames: u32): u32 {
  const total = boot(BOOT_FRAMES);
  if (boot(BOOT_MAGIC) != MAGIC || boot(BOOT_VERSION) != LAYOUT_VERSION) return broken(RULE_BOOT, 0);
  if (total < 64 || total > frames || total > LAST_FRAME + 1) return broken(RULE_BOOT, 0);
  if (boot(BOOT_SCRATCH) != fixedFrames(total) - SCRATCH_FRAME) return broken(RULE_BOOT, 0);
  if (boot(BOOT_CHECK) != bootCheckWord()) return broken(RULE_BOOT_CHECK, 0);
  const first = boot(BOOT_FIRST);
  const bump = boot(BOOT_BUMP);
  if (first < fixedFrames(total) || first >= frameEnd() || bump < first || bump > frameEnd()) return broken(RULE_BUMP, 0);
  for (let at = BOOT_END; at < PAGE_SIZE; at += 4) {
    if (boot(at) != 0) return broken(RULE_BOOT, 0);
  }
  return 0;
}

/** Owner word of every frame, and that what is free or was never used is empty. */
function entriesCheck(): u32 {
  const first = boot(BOOT_FIRST);
  const bump = boot(BOOT_BUMP);
  const fixed = fixedFrames(boot(BOOT_FRAMES));
  for (let frame: u32 = 0; frame < fixed; frame++) {
    if (entryOwner(entryOf(frame)) != (frame == TABLE_INDEX ? FRAME_TABLE : FRAME_FIXED)) return broken(RULE_OWNER, frame);
    if (!isEmpty(entryOf(frame), 4)) return broken(RULE_ENTRY, frame);
  }
  for (let section = first >> SECTION_SHIFT; section <= lastSection(); section++) {
    const table = (section << SECTION_SHIFT) | TABLE_INDEX;
    if (entryOwner(entryOf(table)) != FRAME_TABLE || !isEmpty(entryOf(table), 4)) return broken(RULE_OWNER, table);
  }
  let used: u32 = 0;
  let free: u32 = 0;
  for (let frame = first; frame < bump; frame++) {
    const entry = entryOf(frame);
    const type = entryType(entry);
    const pool = <u32>entryPool(entry);
    if ((frame & SECTION_MASK) == TABLE_INDEX) continue;
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

/** Entries behind the bump mark, in the section it has reached, were never written. */
function beyondBumpCheck(bump: u32): u32 {
  const last = min(bump, frameEnd() - 1);
  const end = min((last | SECTION_MASK) + 1, boot(BOOT_FRAMES));
  for (let frame = bump; frame < end; frame++) {
    if (frame == TABLE_INDEX || (frame & SECTION_MASK) == TABLE_INDEX) continue;
    if (entryOwner(entryOf(frame)) != FRAME_NEVER || !isEmpty(entryOf(frame), 4)) return broken(RULE_BUMP, frame);
  }
  return 0;
}

/** Whether an entry is zero from byte `at` on. */
function isEmpty(entry: usize, at: u32): bool {
  for (; at < 32; at += 4) {
    if (load<u32>(entry + <usize>at) != 0) return false;
  }
  return true;
}

/** The list of free frames holds each of them once. */
function freeListCheck(): u32 {
  let left = boot(BOOT_FREE_COUNT);
  let frame = boot(BOOT_FREE_HEAD);
  for (; left != 0; left--) {
    if (frame < boot(BOOT_FIRST) || !frameExists(frame) || entryType(entryOf(frame)) != FRAME_FREE) return broken(RULE_FREE_LIST, frame);
    frame = freeNext(entryOf(frame));
  }
  return frame == 0 ? 0 : broken(RULE_FREE_LIST, frame);
}

/** The list of pools, then each pool. */
function poolsCheck(): u32 {
  const count = boot(BOOT_POOL_COUNT);
  let pool = boot(BOOT_POOL_HEAD);
  let last: u32 = 0;
  let maps: u32 = 0;
  let isolated: u32 = 0;
  for (let left = count; left != 0; left--) {
    if (!isPool(pool) || (last != 0 && poolAt(pool).previous != last)) return broken(RULE_POOL_LIST, pool >> PAGE_SHIFT);
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

/** As many pool headers as pools on the list. */
function poolFramesCheck(count: u32): u32 {
  const bump = boot(BOOT_BUMP);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    if (entryType(entryOf(frame)) == FRAME_POOL) count -= 1;
  }
  return count == 0 ? 0 : broken(RULE_POOL_LIST, 0);
}

function poolCheck(pool: usize): u32 {
  const frame = <u32>(pool >> PAGE_SHIFT);
  if (poolAt(pool).check != poolCheckWord(pool) || poolAt(pool).nameBytes - 1 >= NAME_BYTES) return broken(RULE_POOL, frame);
  // Frames of types that the allocator has none of would otherwise be looked at by nobody.
  const kind = poolAt(pool).kind;
  let tables: u32 = 0;
  const bump = boot(BOOT_BUMP);
  for (let other = boot(BOOT_FIRST); other < bump; other++) {
    const entry = entryOf(other);
    if (entryPool(entry) != pool) continue;
    const type = entryType(entry);
    if (type == FRAME_POOL || type == FRAME_POOL_MORE) tables += 1;
    else if (kind == ZBUD && type != FRAME_DATA && type != FRAME_RAW) return broken(RULE_OWNER, other);
    else if (kind == ZSMALLOC && type == FRAME_RAW) return broken(RULE_OWNER, other);
    else if (kind == XCFMALLOC && type == FRAME_SLAB) return broken(RULE_OWNER, other);
  }
  if (tables != poolAt(pool).tableFrames) return broken(RULE_POOL_COUNT, frame);
  switch (kind) {
    case ZSMALLOC: return zsCheck(pool);
    case ZBUD: return zbudCheck(pool);
    case XCFMALLOC: return xcfCheck(pool);
    default: return broken(RULE_POOL, frame);
  }
}
