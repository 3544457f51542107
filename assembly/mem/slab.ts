/**
 * Slab: descriptor caches.
 *
 * A cache hands out records of one size. It takes whole frames from the RAM,
 * cuts them into records (no header in the frame: 512 records of 8 bytes fill
 * it exactly) and gives a frame back as soon as its last record is free, so an
 * empty pool holds no descriptors.
 *
 *   cache (16 bytes, in the pool's header)
 *     0 record bytes | frame type << 16     4 list of frames with room
 *     8 records in use                     12 frames
 *
 *   entry of a slab frame
 *     8 u16 first free record (NONE)   10 u16 last free record
 *    12 u16 records in use             14 u16 records ever used ("fresh mark"),
 *       all four in bytes from the frame's start: nothing is multiplied or divided
 *    16 links of the list of frames with room
 *    24 address of the cache           28 zero
 *
 * The first word of a record belongs to the cache as far as its top bit goes:
 * set in a free record (next free record in the low bits), clear in a used one.
 * Free records are used again in FIFO order within their frame, which puts off
 * the moment at which a handle's generation comes round; records that were
 * never used are taken last, so a new frame is not written before it is needed.
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
const EMPTY: u32 = 0xffffffff; // free list without a record
const LOW: u32 = 0xffff; // one of two u16 in a word
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

/** Bytes of the cache's records. */
/* @inline */ export function slabRecordBytes(cache: usize): u32 {
  return cacheAt(cache).shape & LOW;
}

/** The cache that a record belongs to. */
/* @inline */ export function slabOwner(record: usize): usize {
  return <usize>slabAt(entryAround(record)).cache;
}

/** Bytes of records in use. */
/* @inline */ function usedIn(entry: usize): u32 {
  return slabAt(entry).counts & LOW;
}

/** Bytes of records that were ever used. */
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

/** Records in use. */
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

/** Takes a frame from the RAM, so that the cache has room. False without one. */
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

/** Gives a frame back that has no record in use. */
export function slabShrink(cache: usize, entry: usize): void {
  listRemove(cache + 4, entry, LINKS);
  cacheAt(cache).frames -= 1;
  frameFree(frameOf(entry));
}

/** The frame of the next record, 0 when that takes a frame from the RAM. */
/* @inline */ export function slabRoom(cache: usize): usize {
  return <usize>cacheAt(cache).room;
}

/**
 * Hands out a record of a cache that has room, its words as the last user (or
 * zero) left them but the first, which is 0. Inlined; `size` is the cache's.
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

/** Takes a record back, inlined; `entry` is that of its frame. Its words but the first stay until it is used again. */
/* @inline */ export function slabGive(cache: usize, entry: usize, record: usize, size: u32): void {
  if (!ASC_NO_ASSERT) invariant(entryOwner(entry) == ownerOf(cache));
  const counts = slabAt(entry).counts;
  const at = (<u32>record) & PAGE_MASK;
  cacheAt(cache).used -= 1;
  slabAt(entry).counts = counts - size;
  const free = slabAt(entry).free;
  // The last free record names this one. When there is none this one does, and is overwritten.
  store<u32>(free == EMPTY ? record : (record & ~(<usize>PAGE_MASK)) + <usize>(free >> 16), RECORD_FREE | at);
  store<u32>(record, RECORD_FREE | NONE);
  slabAt(entry).free = (free == EMPTY ? at : free & LOW) | (at << 16);
  if ((counts & LOW) + size > PAGE_SIZE) link(cache + 4, entry, LINKS);
  if ((counts & LOW) == size) slabShrink(cache, entry);
}

/** slabTake, in a new frame if need be. Returns 0 without one. */
export function slabAlloc(cache: usize): usize {
  return slabRoom(cache) != 0 || slabGrow(cache) ? slabTake(cache, slabRecordBytes(cache)) : 0;
}

export function slabFree(cache: usize, record: usize): void {
  slabGive(cache, entryAround(record), record, slabRecordBytes(cache));
}

// ── walk ─────────────────────────────────────────────────────────────────────

/** The next used record of the cache after `record` (0: the first), 0 at the end. */
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
    // A frame of no cache is missed below, where frames are counted.
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

/** One frame: its free list holds each free record below the fresh mark once, and no other. */
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
  // A list that ends after exactly `marked` steps visited no record twice.
  if (at != NONE || last != slabAt(entry).free >> 16) return broken(RULE_SLAB_FREE, frame);
  return 0;
}
