/**
 * Slab: caches of records (descriptors and handle records).
 *
 * A cache hands out records of one size. It takes whole frames from the RAM and
 * cuts them into records. (A frame has no header: 512 records of 8 bytes fill it
 * exactly.) It frees a frame as soon as the last record of the frame is free, so an
 * empty pool has no slab frames.
 *
 *   cache (16 bytes, in the pool header)
 *     0 record bytes | frame type << 16     4 list of frames with room
 *     8 records in use                     12 frames
 *
 *   frame entry of a slab frame
 *     8 u16 first free record (NONE)   10 u16 last free record
 *    12 u16 records in use             14 u16 records ever used ("fresh mark"),
 *       all four as byte offsets or byte counts, which saves multiplications and divisions
 *    16 links of the list of frames with room
 *    24 address of the cache           28 zero
 *
 * The cache owns the top bit of the first word of a record: it is set in a free
 * record (with the next free record in the low bits) and clear in a used one. Free
 * records of a frame are reused in FIFO order, so the generation of a handle wraps
 * around as late as possible. Records that were never used are taken last, so a
 * new frame is not written before this is necessary.
 */
import { invariant } from '../base/debug';
import { link, listPush, listRemove, unlink } from '../base/list';
import { RULE_SLAB, RULE_SLAB_COUNT, RULE_SLAB_FREE, RULE_SLAB_LIST, broken, listLength } from './verify';
import { frameAlloc, frameFree } from './frame';
import {
  BOOT_BUMP,
  BOOT_FIRST,
  FRAME_SLAB,
  PAGE_MASK,
  PAGE_SHIFT,
  PAGE_SIZE,
  RECORD_FREE,
  boot,
  entryOf,
  entryOwner,
  entryAround,
  frameAddress,
  frameAround,
  frameOf,
} from './layout';

const NONE: u32 = 0xffff;
const EMPTY: u32 = 0xffffffff; // an empty free list
const LOW: u32 = 0xffff; // mask of the lower u16 in a word
const LINKS: usize = 16;


@unmanaged
class Cache {
  shape: u32;
  room: u32;
  used: u32;
  frames: u32;
}


@unmanaged
class SlabEntry {
  owner: u32;
  genA: u16;
  genB: u16;
  free: u32; // first | last << 16
  counts: u32; // in use | fresh mark << 16
  previous: u32;
  next: u32;
  cache: u32;
  zero: u32;
}

/* @inline */ function cacheAt(cache: usize): Cache {
  return changetype<Cache>(cache);
}

/* @inline */ function slabAt(entry: usize): SlabEntry {
  return changetype<SlabEntry>(entry);
}

/** Bytes of a record of the cache. */
/* @inline */ export function slabRecordBytes(cache: usize): u32 {
  return cacheAt(cache).shape & LOW;
}

/** The cache of a record. */
/* @inline */ export function slabOwner(record: usize): usize {
  return <usize>slabAt(entryAround(record)).cache;
}

/** Bytes of the records in use. */
/* @inline */ function usedIn(entry: usize): u32 {
  return slabAt(entry).counts & LOW;
}

/** Bytes of the records ever used: the fresh mark. */
/* @inline */ function freshIn(entry: usize): u32 {
  return slabAt(entry).counts >> 16;
}

/* @inline */ function poolOfCache(cache: usize): u32 {
  return (<u32>cache) & ~PAGE_MASK;
}

/* @inline */ function ownerOf(cache: usize): u32 {
  return poolOfCache(cache) | (cacheAt(cache).shape >> 16);
}

/** @param type FRAME_SLAB or FRAME_HANDLES */
export function slabInit(cache: usize, bytes: u32, type: u32): void {
  cacheAt(cache).shape = bytes | (type << 16);
}

/** Number of records in use. */
/* @inline */ export function slabUsed(cache: usize): u32 {
  return cacheAt(cache).used;
}

/* @inline */ export function slabFrames(cache: usize): u32 {
  return cacheAt(cache).frames;
}

/** Frames that the next slabAlloc takes: 0 or 1. */
/* @inline */ export function slabNeeds(cache: usize): u32 {
  return cacheAt(cache).room == 0 ? 1 : 0;
}

/** Takes a frame from the RAM, so that the cache has room. False without a frame. */
export function slabGrow(cache: usize): bool {
  const frame = frameAlloc(ownerOf(cache));
  if (frame == 0) return false;
  const entry = entryOf(frame);
  slabAt(entry).free = EMPTY;
  slabAt(entry).cache = <u32>cache;
  cacheAt(cache).frames += 1;
  listPush(cache + 4, entry, LINKS);
  return true;
}

/** Frees a slab frame that has no record in use. */
export function slabShrink(cache: usize, entry: usize): void {
  listRemove(cache + 4, entry, LINKS);
  cacheAt(cache).frames -= 1;
  frameFree(frameOf(entry));
}

/** The frame entry of the frame of the next record, 0 when the cache needs another frame for it. */
/* @inline */ export function slabRoom(cache: usize): usize {
  return <usize>cacheAt(cache).room;
}

/**
 * Hands out a record of a cache that has room. Its first word is 0; its other words
 * are as the last user left them, or zero. Inlined. `size` is slabRecordBytes.
 */
/* @inline */ export function slabTake(cache: usize, size: u32): usize {
  const entry = slabRoom(cache);
  const counts = slabAt(entry).counts + size;
  const free = slabAt(entry).free;
  let record = frameAround(entry);
  if (free != EMPTY) {
    record += <usize>(free & LOW);
    const next = load<u32>(record) & LOW;
    slabAt(entry).free = next == NONE ? EMPTY : (free & ~LOW) | next;
    slabAt(entry).counts = counts;
  } else {
    record += <usize>(counts >> 16);
    slabAt(entry).counts = counts + (size << 16);
  }
  store<u32>(record, 0);
  if ((counts & LOW) + size > PAGE_SIZE) {
    unlink(cache + 4, entry, LINKS);
    store<u64>(entry, 0, LINKS);
  }
  cacheAt(cache).used += 1;
  return record;
}

/**
 * Frees a record; `entry` is the frame entry of its frame. Its words keep their values, apart from the first. Inlined.
 */
/* @inline */ export function slabGive(cache: usize, entry: usize, record: usize, size: u32): void {
  if (!ASC_NO_ASSERT) invariant(entryOwner(entry) == ownerOf(cache));
  const counts = slabAt(entry).counts;
  const at = (<u32>record) & PAGE_MASK;
  cacheAt(cache).used -= 1;
  slabAt(entry).counts = counts - size;
  const free = slabAt(entry).free;
  // The last free record links to this one. If there is none, this record gets the link, and the next line overwrites
  // it.
  store<u32>(free == EMPTY ? record : (record & ~(<usize>PAGE_MASK)) + <usize>(free >> 16), RECORD_FREE | at);
  store<u32>(record, RECORD_FREE | NONE);
  slabAt(entry).free = (free == EMPTY ? at : free & LOW) | (at << 16);
  if ((counts & LOW) + size > PAGE_SIZE) link(cache + 4, entry, LINKS);
  if ((counts & LOW) == size) slabShrink(cache, entry);
}

/** slabTake, which takes a new frame if necessary. Returns 0 without a frame. */
export function slabAlloc(cache: usize): usize {
  return slabRoom(cache) != 0 || slabGrow(cache) ? slabTake(cache, slabRecordBytes(cache)) : 0;
}

export function slabFree(cache: usize, record: usize): void {
  slabGive(cache, entryAround(record), record, slabRecordBytes(cache));
}

// ── walk ─────────────────────────────────────────────────────────────────────

/** The next used record of the cache after `record` (0: the first one), 0 at the end. */
export function slabNext(cache: usize, record: usize): usize {
  const size = slabRecordBytes(cache);
  const owner = ownerOf(cache);
  const bump = boot(BOOT_BUMP);
  let frame = record == 0 ? boot(BOOT_FIRST) : <u32>(record >> PAGE_SHIFT);
  let at: u32 = record == 0 ? 0 : ((<u32>record) & PAGE_MASK) + size;
  for (; frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) == owner && slabAt(entry).cache == <u32>cache) {
      for (; at < freshIn(entry); at += size) {
        const found = frameAddress(frame) + <usize>at;
        if ((load<u32>(found) & RECORD_FREE) == 0) return found;
      }
    }
    at = 0;
  }
  return 0;
}

// ── check ────────────────────────────────────────────────────────────────────

/** Verifies the frames, free lists and counts of a cache. 0 or EUCLEAN. */
export function slabCheck(cache: usize, bytes: u32, type: u32): u32 {
  const poolFrame = <u32>(cache >> PAGE_SHIFT);
  if (cacheAt(cache).shape != (bytes | (type << 16))) return broken(RULE_SLAB, poolFrame);
  const owner = ownerOf(cache);
  const most = (PAGE_SIZE / bytes) * bytes;
  const bump = boot(BOOT_BUMP);
  let frames: u32 = 0;
  let used: u32 = 0;
  let room: u32 = 0;
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) != owner) continue;
    // A frame of no cache would make the count of frames below too small.
    if (slabAt(entry).cache != <u32>cache) continue;
    if (slabAt(entry).zero != 0) return broken(RULE_SLAB, frame);
    frames += 1;
    used += usedIn(entry) / bytes;
    if (usedIn(entry) < most) room += 1;
    else if (load<u64>(entry + LINKS) != 0) return broken(RULE_SLAB_LIST, frame);
    const result = slabFrameCheck(entry, frame, bytes, most);
    if (result != 0) return result;
  }
  if (frames != cacheAt(cache).frames || used != cacheAt(cache).used) return broken(RULE_SLAB_COUNT, poolFrame);
  let entry = <usize>cacheAt(cache).room;
  if (listLength(cache + 4, LINKS, room, owner, 0) != room) return broken(RULE_SLAB_LIST, poolFrame);
  while (entry != 0) {
    if (usedIn(entry) >= most) return broken(RULE_SLAB_LIST, frameOf(entry));
    entry = <usize>slabAt(entry).next;
  }
  return 0;
}

/** Verifies one frame: its free list holds each free record below the fresh mark once, and nothing else. */
function slabFrameCheck(entry: usize, frame: u32, bytes: u32, most: u32): u32 {
  const fresh = freshIn(entry);
  const used = usedIn(entry);
  if (used == 0 || used > fresh || fresh > most || ((used % bytes) | (fresh % bytes)) != 0)
    return broken(RULE_SLAB_COUNT, frame);
  const base = frameAddress(frame);
  for (let at = fresh; at < PAGE_SIZE; at += 4) {
    if (load<u32>(base + <usize>at) != 0) return broken(RULE_SLAB_FREE, frame);
  }
  let marked: u32 = 0;
  for (let at: u32 = 0; at < fresh; at += bytes) {
    if ((load<u32>(base + <usize>at) & RECORD_FREE) != 0) marked += 1;
  }
  if (marked * bytes != fresh - used) return broken(RULE_SLAB_FREE, frame);
  let last = NONE;
  let at = slabAt(entry).free & LOW;
  for (let left = marked; left != 0; left--) {
    if (at >= fresh || at % bytes != 0) return broken(RULE_SLAB_FREE, frame);
    const word = load<u32>(base + <usize>at);
    if ((word & ~LOW) != RECORD_FREE) return broken(RULE_SLAB_FREE, frame);
    last = at;
    at = word & LOW;
  }
  // A list that ends after exactly `marked` steps has visited no record twice.
  if (at != NONE || last != slabAt(entry).free >> 16) return broken(RULE_SLAB_FREE, frame);
  return 0;
}
