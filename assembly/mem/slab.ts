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
 *    12 u16 records in use             14 u16 records ever used ("fresh mark")
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
import { listPush, listRemove } from '../base/list';
import { RULE_SLAB, RULE_SLAB_COUNT, RULE_SLAB_FREE, RULE_SLAB_LIST, broken, listLength } from './verify';
import { frameAlloc, frameFree } from './frame';
import {
  BOOT_BUMP, BOOT_FIRST, FRAME_SLAB, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, RECORD_FREE, boot, entryOf, entryOwner,
  frameAddress, frameOf,
} from './layout';

// @ts-ignore: decorator
@inline const NONE: u32 = 0xFFFF;
// @ts-ignore: decorator
@inline const LINKS: usize = 16;

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
  freeHead: u16;
  freeTail: u16;
  used: u16;
  fresh: u16;
  previous: u32;
  next: u32;
  cache: u32;
  zero: u32;
}

// @ts-ignore: decorator
@inline function cacheAt(cache: usize): Cache {
  return changetype<Cache>(cache);
}

// @ts-ignore: decorator
@inline function slabAt(entry: usize): SlabEntry {
  return changetype<SlabEntry>(entry);
}

// @ts-ignore: decorator
@inline function recordBytes(cache: usize): u32 {
  return cacheAt(cache).shape & 0xFFFF;
}

// @ts-ignore: decorator
@inline function poolOfCache(cache: usize): u32 {
  return <u32>cache & ~PAGE_MASK;
}

// @ts-ignore: decorator
@inline function ownerOf(cache: usize): u32 {
  return poolOfCache(cache) | (cacheAt(cache).shape >> 16);
}

/** @param type FRAME_SLAB or FRAME_HANDLES */
export function slabInit(cache: usize, bytes: u32, type: u32): void {
  cacheAt(cache).shape = bytes | (type << 16);
}

/** Records in use. */
// @ts-ignore: decorator
@inline export function slabUsed(cache: usize): u32 {
  return cacheAt(cache).used;
}

// @ts-ignore: decorator
@inline export function slabFrames(cache: usize): u32 {
  return cacheAt(cache).frames;
}

/** Frames that the next slabAlloc takes: 0 or 1. */
// @ts-ignore: decorator
@inline export function slabNeeds(cache: usize): u32 {
  return cacheAt(cache).room == 0 ? 1 : 0;
}

/** Hands out a record, its words as the last user (or zero) left them but the first, which is 0. Returns 0 without a frame. */
export function slabAlloc(cache: usize): usize {
  const size = recordBytes(cache);
  let entry = <usize>cacheAt(cache).room;
  if (entry == 0) {
    const frame = frameAlloc(ownerOf(cache));
    if (frame == 0) return 0;
    entry = entryOf(frame);
    slabAt(entry).freeHead = <u16>NONE;
    slabAt(entry).freeTail = <u16>NONE;
    slabAt(entry).cache = <u32>cache;
    cacheAt(cache).frames += 1;
    listPush(cache + 4, entry, LINKS);
  }
  const base = frameAddress(frameOf(entry));
  let record: usize;
  const head = <u32>slabAt(entry).freeHead;
  if (head != NONE) {
    record = base + <usize>(head * size);
    const next = load<u32>(record) & 0xFFFF;
    slabAt(entry).freeHead = <u16>next;
    if (next == NONE) slabAt(entry).freeTail = <u16>NONE;
  } else {
    const fresh = <u32>slabAt(entry).fresh;
    record = base + <usize>(fresh * size);
    slabAt(entry).fresh = <u16>(fresh + 1);
  }
  store<u32>(record, 0);
  const used = <u32>slabAt(entry).used + 1;
  slabAt(entry).used = <u16>used;
  if ((used + 1) * size > PAGE_SIZE) listRemove(cache + 4, entry, LINKS);
  cacheAt(cache).used += 1;
  return record;
}

/** Takes a record back. Its words but the first stay until it is used again. */
export function slabFree(cache: usize, record: usize): void {
  const size = recordBytes(cache);
  const entry = entryOf(<u32>(record >> PAGE_SHIFT));
  invariant(entryOwner(entry) == ownerOf(cache));
  const used = <u32>slabAt(entry).used;
  const wasFull = (used + 1) * size > PAGE_SIZE;
  cacheAt(cache).used -= 1;
  if (used == 1) {
    if (!wasFull) listRemove(cache + 4, entry, LINKS);
    cacheAt(cache).frames -= 1;
    frameFree(<u32>(record >> PAGE_SHIFT));
    return;
  }
  const index = (<u32>record & PAGE_MASK) / size;
  store<u32>(record, RECORD_FREE | NONE);
  const tail = <u32>slabAt(entry).freeTail;
  if (tail == NONE) slabAt(entry).freeHead = <u16>index;
  else store<u32>((record & ~(<usize>PAGE_MASK)) + <usize>(tail * size), RECORD_FREE | index);
  slabAt(entry).freeTail = <u16>index;
  slabAt(entry).used = <u16>(used - 1);
  if (wasFull) listPush(cache + 4, entry, LINKS);
}

// ── walk ─────────────────────────────────────────────────────────────────────

/** The next used record of the cache after `record` (0: the first), 0 at the end. */
export function slabNext(cache: usize, record: usize): usize {
  const size = recordBytes(cache);
  const owner = ownerOf(cache);
  const bump = boot(BOOT_BUMP);
  let frame = record == 0 ? boot(BOOT_FIRST) : <u32>(record >> PAGE_SHIFT);
  let index: u32 = record == 0 ? 0 : (<u32>record & PAGE_MASK) / size + 1;
  for (; frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) == owner && slabAt(entry).cache == <u32>cache) {
      const fresh = <u32>slabAt(entry).fresh;
      for (; index < fresh; index++) {
        const found = frameAddress(frame) + <usize>(index * size);
        if ((load<u32>(found) & RECORD_FREE) == 0) return found;
      }
    }
    index = 0;
  }
  return 0;
}

// ── check ────────────────────────────────────────────────────────────────────

/** Verifies the frames, free lists and counts of a cache. 0 or EUCLEAN. */
export function slabCheck(cache: usize, bytes: u32, type: u32): u32 {
  const poolFrame = <u32>(cache >> PAGE_SHIFT);
  if (cacheAt(cache).shape != (bytes | (type << 16))) return broken(RULE_SLAB, poolFrame);
  const owner = ownerOf(cache);
  const most = PAGE_SIZE / bytes;
  const bump = boot(BOOT_BUMP);
  let frames: u32 = 0;
  let used: u32 = 0;
  let room: u32 = 0;
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) != owner) continue;
    if (slabAt(entry).cache != <u32>cache || slabAt(entry).zero != 0) return broken(RULE_SLAB, frame);
    frames += 1;
    used += <u32>slabAt(entry).used;
    if (<u32>slabAt(entry).used < most) room += 1;
    else if (load<u64>(entry + LINKS) != 0) return broken(RULE_SLAB_LIST, frame);
    const result = slabFrameCheck(entry, frame, bytes, most);
    if (result != 0) return result;
  }
  if (frames != cacheAt(cache).frames || used != cacheAt(cache).used) return broken(RULE_SLAB_COUNT, poolFrame);
  let entry = <usize>cacheAt(cache).room;
  if (listLength(cache + 4, LINKS, room, owner, 0) != room) return broken(RULE_SLAB_LIST, poolFrame);
  while (entry != 0) {
    if (<u32>slabAt(entry).used >= most) return broken(RULE_SLAB_LIST, frameOf(entry));
    entry = <usize>slabAt(entry).next;
  }
  return 0;
}

/** One frame: its free list holds each free record below the fresh mark once, and no other. */
function slabFrameCheck(entry: usize, frame: u32, bytes: u32, most: u32): u32 {
  const fresh = <u32>slabAt(entry).fresh;
  const used = <u32>slabAt(entry).used;
  if (used == 0 || used > fresh || fresh > most) return broken(RULE_SLAB_COUNT, frame);
  const base = frameAddress(frame);
  for (let at = fresh * bytes; at < PAGE_SIZE; at += 4) {
    if (load<u32>(base + <usize>at) != 0) return broken(RULE_SLAB_FREE, frame);
  }
  let marked: u32 = 0;
  for (let index: u32 = 0; index < fresh; index++) {
    if ((load<u32>(base + <usize>(index * bytes)) & RECORD_FREE) != 0) marked += 1;
  }
  if (marked != fresh - used) return broken(RULE_SLAB_FREE, frame);
  let last = NONE;
  let index = <u32>slabAt(entry).freeHead;
  for (let left = marked; left != 0; left--) {
    if (index >= fresh) return broken(RULE_SLAB_FREE, frame);
    const word = load<u32>(base + <usize>(index * bytes));
    if ((word & ~(<u32>0xFFFF)) != RECORD_FREE) return broken(RULE_SLAB_FREE, frame);
    last = index;
    index = word & 0xFFFF;
  }
  // A list that ends after exactly `marked` steps visited no record twice.
  if (index != NONE || last != <u32>slabAt(entry).freeTail) return broken(RULE_SLAB_FREE, frame);
  return 0;
}

