/**
 * zpool: one API over the allocators.
 *
 * A zpool is the address of a pool header. What an allocator does is said in
 * alloc/index.ts; here is what pools do whatever their allocator. Every function
 * validates the pool it is given, so a wrong number, and the pool of a front end,
 * gets EINVAL; handles are validated by the allocators. What only looks at pools
 * is in inspect.ts.
 *
 * Reclaim is steps, so that a front end can wait for an asynchronous store in
 * between: isolate a victim (a frame, or the first frame of a zspage), list its
 * live handles, release it. The loop over them (shrink) is the caller's.
 */
import { MODE_RO, MODE_WO, OUT_LENGTH, OUT_SECOND, OUT_SIZE } from './abi';
import { EBUSY, EINVAL, ENOMEM, ERANGE, isError } from './base/errno';
import * as alloc from './generated/dispatch';
import { frameFree, frameRoom } from './mem/frame';
import { BOOT_BUMP, BOOT_FIRST, boot, entryOf, entryPool } from './mem/layout';
import {
  NAME_BYTES,
  POOL_HANDLES,
  POOL_NAME,
  indexFrames,
  kindOf,
  poolAt,
  poolCreate,
  poolNumber,
  poolUnlink,
  writePoolChecksum,
} from './mem/pool';
import { out, pageBuffer, setOut } from './mem/scratch';
import { slabFrames } from './mem/slab';
import { scatter } from './mem/span';

// ── life of a pool ───────────────────────────────────────────────────────────

/**
 * Creates a pool.
 * @param kind of the allocator (alloc/index.ts)
 * @param a, b, c its options
 * @param ownerBytes 0, or 16 beside each object for the owner of the pool
 * @param name address of the name, UTF-8
 * @param nameBytes 1..64; that the name is free is the caller's to see to
 * @returns the pool; EINVAL, also where the allocator has no owner bytes; ENOMEM
 */
export function zpoolCreate(kind: u32, a: u32, b: u32, c: u32, ownerBytes: u32, name: usize, nameBytes: u32): u32 {
  if (!alloc.exists(kind) || nameBytes == 0 || nameBytes > NAME_BYTES) return EINVAL;
  if (!frameRoom(1 + alloc.initFrames(kind, a, b, c))) return ENOMEM;
  const pool = poolCreate(kind);
  if (pool == 0) return ENOMEM;
  memory.copy(pool + POOL_NAME, name, nameBytes);
  poolAt(pool).nameBytes = nameBytes;
  const result = alloc.init(kind, pool, a, b, c, ownerBytes);
  if (result != 0) {
    giveFramesBack(pool);
    return result;
  }
  writePoolChecksum(pool);
  poolNumber();
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
    alloc.frameEnds(kind, entry);
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

// ── objects ──────────────────────────────────────────────────────────────────

/** @returns the handle; EINVAL size 0 (or no pool), ENOSPC beyond the largest object, ENOMEM no frame */
export function zpoolMalloc(pool: usize, size: u32): u32 {
  return alloc.malloc(kindOf(pool), pool, size);
}

/** The largest object in bytes. EINVAL. */
export function zpoolMax(pool: usize): u32 {
  return alloc.largest(kindOf(pool), pool);
}

/** Bytes above which zram calls an object huge. EINVAL. */
export function zpoolHugeSize(pool: usize): u32 {
  return alloc.hugeSize(kindOf(pool), pool);
}

/** Bytes that a pool sets aside for an object of `size` bytes, 1 to its largest: what two sizes differ by. EINVAL. */
export function zpoolRounded(pool: usize, size: u32): u32 {
  return alloc.rounded(kindOf(pool), pool, size);
}

/**
 * An object of 4096 bytes for a page that is kept as it is: in the allocator
 * where that holds one, else in a frame of its own that belongs to the pool.
 * EINVAL, ENOMEM.
 */
export function zpoolMallocRaw(pool: usize): u32 {
  return alloc.mallocRaw(kindOf(pool), pool);
}

/** EINVAL never allocated, freed, foreign; EBUSY mapped. Nothing changes then. */
/* @inline */ export function zpoolFree(pool: usize, handle: u32): u32 {
  return alloc.free(kindOf(pool), pool, handle);
}

/** Address of the owner bytes of an object; 0 where there are none. */
export function zpoolOwner(pool: usize, handle: u32): u32 {
  return <u32>alloc.ownerOf(kindOf(pool), pool, handle);
}

/** Requested bytes of an object. EINVAL. */
export function zpoolSize(pool: usize, handle: u32): u32 {
  const address = zpoolSpan(pool, handle, 0);
  return isError(address) ? address : out(OUT_SIZE);
}

/**
 * Where the bytes of an object lie, for a copy in or out.
 * @param writing 1: the copy goes in. It counts as a write for the LRU.
 * @returns address of the first byte; OUT_LENGTH bytes lie there, what is left
 *   of OUT_SIZE begins at OUT_SECOND (0: nothing). EINVAL.
 */
export function zpoolSpan(pool: usize, handle: u32, writing: u32): u32 {
  return alloc.span(kindOf(pool), pool, handle, writing != 0);
}

/**
 * Like zpoolSpan for `length` bytes from byte `at` of the object; OUT_LENGTH and
 * OUT_SECOND are those of the part. ERANGE, and no LRU changes, when it does not fit.
 */
export function zpoolRange(pool: usize, handle: u32, at: u32, length: u32, writing: u32): u32 {
  let address = zpoolSpan(pool, handle, 0);
  if (isError(address)) return address;
  const size = out(OUT_SIZE);
  if (at > size || length > size - at) return ERANGE;
  if (writing != 0) address = zpoolSpan(pool, handle, 1);
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

/** Copies `length` bytes of the page buffer into an object, from its byte `at` on. EINVAL; ERANGE when they do not fit. Nothing is written then. */
export function zpoolWrite(pool: usize, handle: u32, at: u32, length: u32): u32 {
  const address = zpoolRange(pool, handle, at, length, 1);
  if (isError(address)) return address;
  scatter(pageBuffer(), address, length);
  return 0;
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
 * @param mode MODE_RO, MODE_RW or MODE_WO
 * @returns address of its OUT_SIZE bytes until unmap; EINVAL, EBUSY too many
 *   maps, ENOMEM no frame for the buffer of a straddling object
 */
export function zpoolMap(pool: usize, handle: u32, mode: u32): u32 {
  if (mode > MODE_WO) return EINVAL;
  return alloc.map(kindOf(pool), pool, handle, mode != MODE_RO, mode == MODE_WO);
}

/** EINVAL also for an object that is not mapped. */
export function zpoolUnmap(pool: usize, handle: u32): u32 {
  return alloc.unmap(kindOf(pool), pool, handle);
}

// ── compaction ───────────────────────────────────────────────────────────────

/** Frames given back; 0 where objects cannot move. @param victims budget. EINVAL. */
export function zpoolCompact(pool: usize, victims: u32): u32 {
  return alloc.compact(kindOf(pool), pool, victims);
}

/** A part of a compaction, from `cursor` on (0: the beginning): frames given back, and where to go on in OUT_CURSOR, 0 at the end. @param most at least 2. EINVAL. */
export function zpoolCompactFrom(pool: usize, cursor: u32, most: u32): u32 {
  if (most < 2) return EINVAL;
  return alloc.compactFrom(kindOf(pool), pool, cursor, most);
}

/** Frames that zpoolCompact would give back. EINVAL. */
export function zpoolFreeable(pool: usize): u32 {
  return alloc.freeable(kindOf(pool), pool);
}

// ── reclaim ───────────────────────────────────────────────────

/** Takes the least recently used victim off all lists: its frame number, 0 when nothing is evictable. EINVAL. */
export function zpoolIsolate(pool: usize): u32 {
  return alloc.isolate(kindOf(pool), pool);
}

/** The next live handle of a victim from `cursor` on, 0 for none; the cursor behind it in OUT_CURSOR. EINVAL. */
export function zpoolVictimNext(pool: usize, victim: u32, cursor: u32): u32 {
  return alloc.victimNext(kindOf(pool), pool, victim, cursor);
}

/** Ends a reclaim: frames given back, or 0 and the victim is at the front of the LRU again. EINVAL. */
export function zpoolRelease(pool: usize, victim: u32): u32 {
  return alloc.release(kindOf(pool), pool, victim);
}

/**
 * Does the work that was put off; only z3fold has any.
 * @param force 1: now. 0: a reclaim (isolate, release, as often as it takes) has
 *   ended; does what had to wait for that, unless the pool puts all work off
 *   until it is asked for. EINVAL.
 */
export function zpoolRunDeferred(pool: usize, force: u32): u32 {
  return alloc.runDeferred(kindOf(pool), pool, force);
}

// ── figures ──────────────────────────────────────────────────────────────────

/** Frames of tables, descriptors, records and page table: all but those of objects and buffers of maps. EINVAL. */
export function zpoolTableFrames(pool: usize): u32 {
  const descriptors = alloc.descriptorFrames(kindOf(pool), pool);
  if (isError(descriptors)) return descriptors;
  return poolAt(pool).tableFrames + slabFrames(pool + POOL_HANDLES) + descriptors + indexFrames(pool);
}
