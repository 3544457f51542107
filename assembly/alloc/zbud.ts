/**
 * zbud: two buddies in a frame.
 *
 * What it is. The simplest allocator for compressed pages. At most two objects
 * share a frame: FIRST at its start, LAST at its end. The free bytes of a frame are
 * one gap between them. So no object ever has to move, no free ranges have to be
 * merged, and on average at least every second free gives a frame back. Reclaim is
 * predictable: a victim frame has one or two objects.
 *
 * What it is not. It is not dense: a frame has one or two objects, and objects of
 * more than half a frame never share one.
 *
 *   layout '6.1'    ┌────────┬───────────────┬·················┬────────────────┐
 *   (63 chunks)     │ header │ FIRST  ───►   │       gap       │   ◄───   LAST  │
 *                   └────────┴───────────────┴·················┴────────────────┘
 *                   0        64                                               4096
 *   layout '2013'   ┌───────────────┬···················┬─────────────────┐
 *   (64 chunks)     │ FIRST  ───►   │        gap        │    ◄───   LAST  │
 *                   └───────────────┴···················┴─────────────────┘
 *
 * Sizes are counted in chunks of 64 bytes. The header chunk of layout '6.1' stays
 * unused. It exists because the geometry (and so every figure) depends on it. All
 * metadata is in the frame table, so a free or a search touches no cold frame.
 *
 *   frame entry   8 size of FIRST (bit 15: isolated)   10 size of LAST
 *                12 maps of FIRST                      14 maps of LAST
 *                16 links: gap list                    24 links: LRU
 *   pool         gap lists, by chunks (mem/bitmap-lists.ts)
 *
 * A full frame is on no gap list: no request looks for one, and the order of full
 * frames has no effect. So a free and the next malloc touch one frame entry each,
 * and its two neighbours on the LRU.
 *
 * A frame of type FRAME_RAW is one raw page (page/path.ts): a FIRST of 4096 bytes
 * at offset 0, on the LRU, on no gap list.
 *
 * Handle: generation | FIRST or LAST | frame, from the high bits down. Handles of
 * every allocator have the frame in the lowest bits (see mem/handle.ts). The
 * generation (genA for FIRST, genB for LAST; mem/generation.ts) has 16 bits up to
 * 128 MiB of RAM, 11 at 4 GiB. So a stale handle is refused until the same buddy of
 * the frame was freed 2^16 or 2^11 times more.
 *
 * Vital statistics: largest object 3968 bytes ('6.1') or 4096 ('2013'); overhead: the
 * frame table and the header chunk, 0 bytes for each object; malloc and free O(1): one
 * count of trailing zeros finds the best fit.
 *
 * Source: Linux mm/zbud.c of 6.1 and the zbud patch v11 of 2013-05; rules
 * B1..B9 of docs/rules/zbud-z3fold.md, cited below. Differences: handles are
 * validated, maps are counted, destroy frees everything. The historic destroy
 * leaked live frames, and the historic free accepted any number.
 */
import { OUT_CURSOR } from '../abi';
import { EBUSY, EINVAL, ENOMEM, ENOSPC } from '../base/errno';
import { listNext, listPush, listRemove, toFront } from '../base/list';
import {
  LISTS,
  listHead,
  listMask,
  listsAbove,
  nodesOnList,
  putOnList,
  soundLength,
  takeOffList,
} from '../mem/bitmap-lists';
import { frameAlloc, frameFree, needed } from '../mem/frame';
import { advanced, generationMask, settled } from '../mem/generation';
import {
  BOOT_BUMP,
  BOOT_FIRST,
  FRAME_DATA,
  FRAME_RAW,
  PAGE_MASK,
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
  genB,
  setGenA,
  setGenB,
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
  setPoolOption,
  uncountMap,
  uncountObject,
  victimTake,
} from '../mem/pool';
import { setOut } from '../mem/scratch';
import { locateWhole, spanWhole } from '../mem/span';
import {
  FRAME_EITHER,
  RULE_ENTRY,
  RULE_LIST,
  RULE_LRU,
  RULE_MAPS,
  RULE_OBJECT,
  RULE_POOL,
  RULE_POOL_COUNT,
  UNSOUND,
  broken,
  listLength,
} from '../mem/verify';
import { walkFree, walkObject } from '../mem/walk';

// ── constants ────────────────────────────────────────────────────────────────

const CHUNK: u32 = 64;
const CHUNK_SHIFT: u32 = 6;
const GAP_LINKS: usize = 16;
const LRU_LINKS: usize = 24;
const MAPS: usize = 12;
const MAPS_MAX: u32 = 0xffff;
const ISOLATED: u32 = 0x8000;
const SIZE_MASK: u32 = 0x1fff;

const FIRST: u32 = 0;
const LAST: u32 = 1;

/** Option word 0: the number of header chunks, 1 for '6.1' and 0 for '2013'. */
/* @inline */ function headerChunks(pool: usize): u32 {
  return poolOption(pool, 0);
}

// ── accessors ────────────────────────────────────────────────────────────────

/* @inline */ function chunksOf(size: u32): u32 {
  return (size + CHUNK - 1) >> CHUNK_SHIFT;
}

/* @inline */ function sizeOf(entry: usize, buddy: u32): u32 {
  return (<u32>load<u16>(entry + ((<usize>buddy) << 1), 8)) & SIZE_MASK;
}

/* @inline */ function setSize(entry: usize, buddy: u32, size: u32): void {
  const at = entry + ((<usize>buddy) << 1);
  store<u16>(at, <u16>(((<u32>load<u16>(at, 8)) & ISOLATED) | size), 8);
}

/* @inline */ function isIsolated(entry: usize): bool {
  return ((<u32>load<u16>(entry, 8)) & ISOLATED) != 0;
}

/* @inline */ function mapsOf(entry: usize, buddy: u32): u32 {
  return <u32>load<u16>(entry + ((<usize>buddy) << 1), 12);
}

/* @inline */ function setMaps(entry: usize, buddy: u32, maps: u32): void {
  store<u16>(entry + ((<usize>buddy) << 1), <u16>maps, 12);
}

/* @inline */ function isRaw(entry: usize): bool {
  return (entryOwner(entry) & PAGE_MASK) == FRAME_RAW;
}

/** Free chunks of a frame (B1). */
/* @inline */ function gapOf(pool: usize, entry: usize): u32 {
  return LISTS - headerChunks(pool) - chunksOf(sizeOf(entry, FIRST)) - chunksOf(sizeOf(entry, LAST));
}

/** Offset of the data of a buddy in its frame. */
/* @inline */ function offsetOf(pool: usize, entry: usize, buddy: u32): u32 {
  if (buddy == LAST) return PAGE_SIZE - (chunksOf(sizeOf(entry, LAST)) << CHUNK_SHIFT);
  return isRaw(entry) ? 0 : headerChunks(pool) << CHUNK_SHIFT;
}

// ── handles ──────────────────────────────────────────────────────────────────

/* @inline */ function mask(): u32 {
  return generationMask(min<u32>(16, 31 - frameBits()));
}

/**
 * Generation counter of a buddy: genA for FIRST, genB for LAST. There is no branch, since it could not be predicted.
 */
/* @inline */ function counterOf(entry: usize, buddy: u32): u32 {
  return <u32>load<u16>(entry + ((<usize>buddy) << 1), 4);
}

/* @inline */ function generationOf(entry: usize, buddy: u32): u32 {
  return counterOf(entry, buddy) & mask();
}

/** Increments the generation of a buddy that is freed: its handle is stale now. */
/* @inline */ function advanceGeneration(entry: usize, buddy: u32): void {
  store<u16>(entry + ((<usize>buddy) << 1), <u16>advanced(counterOf(entry, buddy), mask()), 4);
}

function handleOf(entry: usize, buddy: u32): u32 {
  return (((generationOf(entry, buddy) << 1) | buddy) << frameBits()) | frameOf(entry);
}

/** The buddy that a handle stands for: FIRST or LAST. */
/* @inline */ function buddyOf(handle: u32): u32 {
  return (handle >> frameBits()) & 1;
}

/** The frame entry of a live handle of this pool, 0 for any other number. */
function resolve(pool: usize, handle: u32): usize {
  const bits = frameBits();
  const frame = handle & ((1 << bits) - 1);
  if (!frameExists(frame)) return 0;
  const entry = entryOf(frame);
  // FRAME_DATA or FRAME_RAW
  if ((entryOwner(entry) ^ (<u32>pool)) - FRAME_DATA > FRAME_RAW - FRAME_DATA) return 0;
  const buddy = buddyOf(handle);
  return sizeOf(entry, buddy) != 0 && generationOf(entry, buddy) == handle >> (bits + 1) ? entry : 0;
}

// ── lists ────────────────────────────────────────────────────────────────────

/** The gap list for a frame with an object. 0 when both buddies are in use: such a frame is on no list (B2, B5). */
function listOf(pool: usize, entry: usize): u32 {
  return sizeOf(entry, FIRST) != 0 && sizeOf(entry, LAST) != 0 ? 0 : gapOf(pool, entry);
}

/** Puts a frame on a gap list; 0 means none. */
/* @inline */ function enlistAt(pool: usize, entry: usize, list: u32): void {
  if (list != 0) putOnList(pool, list, entry, GAP_LINKS);
}

/** Takes a frame off a gap list; 0 means none. */
/* @inline */ function delistAt(pool: usize, entry: usize, list: u32): void {
  if (list != 0) takeOffList(pool, list, entry, GAP_LINKS);
}

function enlist(pool: usize, entry: usize): void {
  enlistAt(pool, entry, listOf(pool, entry));
}

function delist(pool: usize, entry: usize): void {
  delistAt(pool, entry, listOf(pool, entry));
}

// ── algorithm ────────────────────────────────────────────────────────────────

/** None: a pool takes only its header frame. */
export function initFrames(a: u32, b: u32, c: u32): u32 {
  return 0;
}

/**
 * @param headers header chunks: 1 (layout '6.1') or 0 ('2013'). EINVAL, also for owner bytes: there are no records for
 *   them.
 */
export function init(pool: usize, headers: u32, b: u32, c: u32, ownerBytes: u32): u32 {
  if (headers > 1 || (b | c | ownerBytes) != 0) return EINVAL;
  setPoolOption(pool, 0, headers);
  return 0;
}

/** The largest object: 3968 bytes ('6.1'), 4096 ('2013'). */
export function largest(pool: usize): u32 {
  return headerChunks(pool) != 0 ? PAGE_SIZE - 2 * CHUNK : PAGE_SIZE;
}

export function hugeSize(pool: usize): u32 {
  return largest(pool);
}

/** Whole chunks. */
export function rounded(pool: usize, size: u32): u32 {
  return chunksOf(size) << CHUNK_SHIFT;
}

function takeFrame(pool: usize, type: u32): usize {
  const frame = frameAlloc((<u32>pool) | type);
  if (frame == 0) {
    needed(1);
    return 0;
  }
  const entry = entryOf(frame);
  setGenA(entry, settled(genA(entry), mask()));
  setGenB(entry, settled(genB(entry), mask()));
  poolAt(pool).frames += 1;
  return entry;
}

function releaseFrame(pool: usize, entry: usize): void {
  poolAt(pool).frames -= 1;
  frameFree(frameOf(entry));
}

/** Called for each frame of a pool that is destroyed: the handles of live objects go stale. */
export function frameEnds(entry: usize): void {
  if (entryType(entry) < FRAME_DATA) return;
  advanceGeneration(entry, FIRST);
  advanceGeneration(entry, LAST);
}

/** B2..B5. EINVAL for size 0, ENOSPC above the largest size, ENOMEM without a frame. */
export function malloc(pool: usize, size: u32): u32 {
  if (size == 0) return EINVAL;
  if (size > largest(pool)) return ENOSPC;
  const chunks = chunksOf(size);
  const fitting = listsAbove(listMask(pool), chunks - 1); // no list for 64 chunks
  let entry: usize;
  let buddy = FIRST;
  if (fitting != 0) {
    const list = <u32>ctz<u64>(fitting);
    entry = listHead(pool, list);
    delistAt(pool, entry, list);
    buddy = <u32>(sizeOf(entry, FIRST) != 0);
    setSize(entry, buddy, size);
    toFront(pool + POOL_LRU, entry, LRU_LINKS);
  } else {
    entry = takeFrame(pool, FRAME_DATA);
    if (entry == 0) return ENOMEM;
    setSize(entry, FIRST, size);
    listPush(pool + POOL_LRU, entry, LRU_LINKS);
    enlist(pool, entry);
  }
  countObject(pool, size);
  return handleOf(entry, buddy);
}

/** An object of 4096 bytes: in layout '6.1' a frame of type FRAME_RAW. ENOMEM without a frame. */
export function mallocRaw(pool: usize): u32 {
  if (headerChunks(pool) == 0) return malloc(pool, PAGE_SIZE);
  const entry = takeFrame(pool, FRAME_RAW);
  if (entry == 0) return ENOMEM;
  setSize(entry, FIRST, PAGE_SIZE);
  listPush(pool + POOL_LRU, entry, LRU_LINKS);
  countObject(pool, PAGE_SIZE);
  return handleOf(entry, FIRST);
}

/** B6. EINVAL for a number that is no live handle of the pool, EBUSY while the object is mapped. */
export function free(pool: usize, handle: u32): u32 {
  const entry = resolve(pool, handle);
  if (entry == 0) return EINVAL;
  const buddy = buddyOf(handle);
  if (mapsOf(entry, buddy) != 0) return EBUSY;
  uncountObject(pool, sizeOf(entry, buddy));
  advanceGeneration(entry, buddy);
  const other = sizeOf(entry, buddy ^ 1);
  if (other == 0) {
    freeLast(pool, entry);
  } else {
    setSize(entry, buddy, 0);
    // The frame was full, so it was on no list.
    if (!isIsolated(entry)) enlistAt(pool, entry, LISTS - headerChunks(pool) - chunksOf(other));
  }
  return 0;
}

/** Frees the only object of a frame, and the frame itself unless it is isolated. */
function freeLast(pool: usize, entry: usize): void {
  if (!isIsolated(entry)) {
    if (!isRaw(entry)) delist(pool, entry);
    listRemove(pool + POOL_LRU, entry, LRU_LINKS);
    releaseFrame(pool, entry);
  } else {
    store<u32>(entry, ISOLATED, 8);
  }
}

/** There are no owner bytes. */
export function ownerOf(pool: usize, handle: u32): usize {
  return 0;
}

/** Address of the first byte of an object. EINVAL. */
export function span(pool: usize, handle: u32, writing: bool): u32 {
  const entry = resolve(pool, handle);
  if (entry == 0) return EINVAL;
  spanWhole(sizeOf(entry, buddyOf(handle)));
  return <u32>frameAddress(frameOf(entry)) + offsetOf(pool, entry, buddyOf(handle));
}

export function locate(pool: usize, handle: u32): u32 {
  return locateWhole(span(pool, handle, false));
}

/** Like span, and counts the map. EBUSY at 65535 maps of one object. */
export function map(pool: usize, handle: u32, writable: bool, discard: bool): u32 {
  const entry = resolve(pool, handle);
  if (entry == 0) return EINVAL;
  const maps = mapsOf(entry, buddyOf(handle));
  if (maps == MAPS_MAX) return EBUSY;
  setMaps(entry, buddyOf(handle), maps + 1);
  countMap(pool);
  return span(pool, handle, false);
}

/** EINVAL also for an object that is not mapped. */
export function unmap(pool: usize, handle: u32): u32 {
  const entry = resolve(pool, handle);
  if (entry == 0) return EINVAL;
  const maps = mapsOf(entry, buddyOf(handle));
  if (maps == 0) return EINVAL;
  setMaps(entry, buddyOf(handle), maps - 1);
  uncountMap(pool);
  return 0;
}

// ── compaction ───────────────────────────────────────────────────────────────

/** Objects cannot move. */
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

// ── reclaim (B7) ─────────────────────────────────────────────────────────────

/** Takes the least recently used frame without a mapped object off all lists. Returns its number, 0 for none. */
export function isolate(pool: usize): u32 {
  const entry = victimTake(pool, LRU_LINKS, MAPS);
  if (entry == 0) return 0;
  if (!isRaw(entry)) delist(pool, entry);
  store<u16>(entry, <u16>((<u32>load<u16>(entry, 8)) | ISOLATED), 8);
  return frameOf(entry);
}

/** True when a number (from anywhere) is that of a victim of this pool. */
function isVictim(pool: usize, victim: u32): bool {
  if (!frameExists(victim)) return false;
  const owner = entryOwner(entryOf(victim));
  return (owner == ((<u32>pool) | FRAME_DATA) || owner == ((<u32>pool) | FRAME_RAW)) && isIsolated(entryOf(victim));
}

/**
 * The first live handle of a victim from a cursor on (0: from the start), 0 for none; the next cursor in OUT_CURSOR.
 * EINVAL.
 */
export function victimNext(pool: usize, victim: u32, cursor: u32): u32 {
  if (!isVictim(pool, victim)) return EINVAL;
  const entry = entryOf(victim);
  for (; cursor <= LAST; cursor++) {
    if (sizeOf(entry, cursor) != 0) {
      setOut(OUT_CURSOR, cursor + 1);
      return handleOf(entry, cursor);
    }
  }
  return 0;
}

/** Ends the reclaim of a victim. Returns 1 when its frame is freed, 0 when it goes to the front of the LRU. EINVAL. */
export function release(pool: usize, victim: u32): u32 {
  if (!isVictim(pool, victim)) return EINVAL;
  const entry = entryOf(victim);
  store<u16>(entry, <u16>((<u32>load<u16>(entry, 8)) & ~ISOLATED), 8);
  countIsolated(pool, -1);
  if (sizeOf(entry, FIRST) == 0 && sizeOf(entry, LAST) == 0) {
    releaseFrame(pool, entry);
    return 1;
  }
  listPush(pool + POOL_LRU, entry, LRU_LINKS);
  if (!isRaw(entry)) enlist(pool, entry);
  return 0;
}

/** There is no deferred work. */
export function runDeferred(pool: usize, force: u32): u32 {
  return 0;
}

// ── statistics ───────────────────────────────────────────────────────────────

/** There are no descriptors. */
export function descriptorFrames(pool: usize): u32 {
  return 0;
}

export function ownsFrames(): u32 {
  return (1 << FRAME_DATA) | (1 << FRAME_RAW);
}

/** No object lies in two frames. */
export function spanning(pool: usize): u32 {
  return 0;
}

/** A row for each list. */
export function tables(pool: usize): u32 {
  return LISTS;
}

/** A row has one word: the number of frames on a list. EINVAL after the last row. */
export function table(pool: usize, nth: u32, to: usize): u32 {
  if (nth >= LISTS) return EINVAL;
  store<u32>(to, listLengthOf(pool, nth));
  return 0;
}

/** Number of frames with `list` free chunks; for 0, of full frames. */
function listLengthOf(pool: usize, list: u32): u32 {
  if (list != 0) return nodesOnList(pool, list, GAP_LINKS);
  let full: u32 = 0;
  const bump = boot(BOOT_BUMP);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) == ((<u32>pool) | FRAME_DATA) && !isIsolated(entry) && listOf(pool, entry) == 0) full += 1;
  }
  return full;
}

// ── walk ─────────────────────────────────────────────────────────────────────

/** Reports the contents of a frame of the pool to mem/walk.ts. */
export function walk(pool: usize, frame: u32): void {
  const entry = entryOf(frame);
  for (let buddy = FIRST; buddy <= LAST; buddy++) {
    const size = sizeOf(entry, buddy);
    if (size != 0) walkObject(handleOf(entry, buddy), offsetOf(pool, entry, buddy), size);
  }
  if (isRaw(entry)) return;
  const gap = gapOf(pool, entry) << CHUNK_SHIFT;
  if (gap != 0) walkFree((headerChunks(pool) + chunksOf(sizeOf(entry, FIRST))) << CHUNK_SHIFT, gap);
}

// ── check ────────────────────────────────────────────────────────────────────

/** Verifies every frame, list and counter of the pool. 0 or EUCLEAN. */
export function check(pool: usize): u32 {
  const poolFrame = frameOfPool(pool);
  if (headerChunks(pool) > 1 || poolOption(pool, 1) != 0 || poolOption(pool, 2) != 0 || poolOption(pool, 3) != 0) {
    return broken(RULE_POOL, poolFrame);
  }
  // There are no descriptors and no handle records, so the caches are empty.
  for (let at = POOL_HANDLES; at < POOL_DESCRIPTORS + 16; at += 4) {
    if (load<u32>(pool + at) != 0) return broken(RULE_POOL, poolFrame);
  }
  let frames: u32 = 0;
  let objects: u32 = 0;
  let bytes: u32 = 0;
  let maps: u32 = 0;
  let isolated: u32 = 0;
  let listed: u32 = 0;
  const bump = boot(BOOT_BUMP);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = entryOf(frame);
    const owner = entryOwner(entry);
    if (owner != ((<u32>pool) | FRAME_DATA) && owner != ((<u32>pool) | FRAME_RAW)) continue;
    if (!entryIsSound(pool, entry)) return broken(RULE_OBJECT, frame);
    frames += 1;
    for (let buddy = FIRST; buddy <= LAST; buddy++) {
      const size = sizeOf(entry, buddy);
      if (size != 0) objects += 1;
      else if (mapsOf(entry, buddy) != 0) return broken(RULE_MAPS, frame);
      bytes += size;
      maps += mapsOf(entry, buddy);
    }
    if (isIsolated(entry)) {
      isolated += 1;
      if (load<u64>(entry, 16) != 0 || load<u64>(entry, 24) != 0) return broken(RULE_ENTRY, frame);
    } else if (isRaw(entry) || listOf(pool, entry) == 0) {
      if (load<u64>(entry, 16) != 0) return broken(RULE_ENTRY, frame);
    } else {
      listed += 1;
    }
  }
  if (
    frames != poolAt(pool).frames ||
    objects != poolAt(pool).objects ||
    bytes != poolAt(pool).liveBytes ||
    isolated != poolAt(pool).isolated
  )
    return broken(RULE_POOL_COUNT, poolFrame);
  if (maps != poolAt(pool).maps) return broken(RULE_MAPS, poolFrame);
  return zbudListsCheck(pool, poolFrame, frames - isolated, listed);
}

/* @inline */ function frameOfPool(pool: usize): u32 {
  return <u32>(pool >> 12);
}

/** True when sizes, gap and flags of one frame are correct. */
function entryIsSound(pool: usize, entry: usize): bool {
  const first = <u32>load<u16>(entry, 8);
  const last = <u32>load<u16>(entry, 10);
  if ((first & ~(ISOLATED | SIZE_MASK)) != 0 || (last & ~SIZE_MASK) != 0) return false;
  const firstSize = first & SIZE_MASK;
  if (firstSize == 0 && last == 0 && (first & ISOLATED) == 0) return false;
  if (generationOf(entry, FIRST) == mask() || generationOf(entry, LAST) == mask()) return false;
  // In layout '2013' the largest object has 4096 bytes, so there is no frame of type FRAME_RAW (mallocRaw).
  if (isRaw(entry))
    return headerChunks(pool) != 0 && (firstSize == PAGE_SIZE || (firstSize == 0 && isIsolated(entry))) && last == 0;
  if (firstSize > largest(pool) || last > largest(pool)) return false;
  return chunksOf(firstSize) + chunksOf(last) <= LISTS - headerChunks(pool);
}

/** Verifies that each frame that is not isolated is on the LRU, and on the right gap list unless it is full. */
function zbudListsCheck(pool: usize, poolFrame: u32, onLru: u32, listed: u32): u32 {
  for (let list: u32 = 0; list < LISTS; list++) {
    const length = soundLength(pool, list, GAP_LINKS, list == 0 ? 0 : listed, (<u32>pool) | FRAME_DATA, 0);
    if (length == UNSOUND) return broken(RULE_LIST, poolFrame);
    for (let entry = listHead(pool, list); entry != 0; entry = listNext(entry, GAP_LINKS)) {
      if (isIsolated(entry) || listOf(pool, entry) != list) return broken(RULE_LIST, frameOf(entry));
    }
    listed -= length;
  }
  if (listed != 0) return broken(RULE_LIST, poolFrame);
  if (listLength(pool + POOL_LRU, LRU_LINKS, onLru, (<u32>pool) | FRAME_EITHER, 0) != onLru)
    return broken(RULE_LRU, poolFrame);
  return 0;
}
