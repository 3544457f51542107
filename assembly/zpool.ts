/**
 * zpool: one API over the allocators.
 *
 * A zpool is the address of a pool header. alloc/index.ts describes what an allocator
 * does; this file has the part that is the same for all allocators. Every function
 * validates its pool argument, so a wrong number, or the header of a front end, gives
 * EINVAL. The allocators validate handles. inspect.ts has the functions that only read
 * pools.
 *
 * Reclaim is done in steps, so that a front end can wait for an asynchronous store in
 * between: isolate a victim (a frame, or the first frame of a zspage), list its live
 * handles, release it. The caller has to write the loop over these steps (shrink).
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
 * @param kind kind of the allocator (alloc/index.ts)
 * @param a, b, c options of the allocator
 * @param ownerBytes bytes beside each object for the owner of the pool: 0 or 16
 * @param name address of the name, UTF-8
 * @param nameBytes bytes of the name, 1..64. The caller must make sure that no other pool has this name.
 * @returns the pool; EINVAL, also when the allocator cannot have owner bytes; ENOMEM without enough frames
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

/** Takes a pool off the list of pools and frees every frame that it owns. */
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

/**
 * Allocates an object.
 * @returns its handle; EINVAL for size 0 or no pool, ENOSPC above zpoolMax, ENOMEM without a frame
 */
export function zpoolMalloc(pool: usize, size: u32): u32 {
  return alloc.malloc(kindOf(pool), pool, size);
}

/** Bytes of the largest object. EINVAL. */
export function zpoolMax(pool: usize): u32 {
  return alloc.largest(kindOf(pool), pool);
}

/** Objects above this size in bytes are huge in zram. EINVAL. */
export function zpoolHugeSize(pool: usize): u32 {
  return alloc.hugeSize(kindOf(pool), pool);
}

/**
 * Bytes that a pool sets aside for an object of `size` bytes (1 to zpoolMax). Two sizes with the same result take the
 * same room. EINVAL.
 */
export function zpoolRounded(pool: usize, size: u32): u32 {
  return alloc.rounded(kindOf(pool), pool, size);
}

/**
 * Allocates an object of 4096 bytes for a raw page. When the allocator has no such
 * objects, it is a frame of the pool by itself. Returns the handle; EINVAL, ENOMEM.
 */
export function zpoolMallocRaw(pool: usize): u32 {
  return alloc.mallocRaw(kindOf(pool), pool);
}

/**
 * Frees an object. 0; EINVAL for a handle of no live object of the pool, EBUSY while the object is mapped. After an
 * error nothing has changed.
 */
/* @inline */ export function zpoolFree(pool: usize, handle: u32): u32 {
  return alloc.free(kindOf(pool), pool, handle);
}

/** Address of the owner bytes of an object; 0 when there are none. */
export function zpoolOwner(pool: usize, handle: u32): u32 {
  return <u32>alloc.ownerOf(kindOf(pool), pool, handle);
}

/** Requested bytes of an object. EINVAL. */
export function zpoolSize(pool: usize, handle: u32): u32 {
  const address = zpoolSpan(pool, handle, 0);
  return isError(address) ? address : out(OUT_SIZE);
}

/**
 * The span of an object (mem/span.ts), for a copy in or out.
 * @param writing 1 for a copy in: it counts as a write for the LRU
 * @returns address of the first byte; OUT_LENGTH bytes lie there, the rest of the
 *   OUT_SIZE bytes begins at OUT_SECOND (0: no rest). EINVAL.
 */
export function zpoolSpan(pool: usize, handle: u32, writing: u32): u32 {
  return alloc.span(kindOf(pool), pool, handle, writing != 0);
}

/**
 * Like zpoolSpan, for `length` bytes from byte `at` of the object on. OUT_LENGTH and
 * OUT_SECOND describe this part. ERANGE when the object is shorter; then the LRU is unchanged.
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

/**
 * Copies `length` bytes of the page buffer into an object, from byte `at` of the object on.
 * 0; EINVAL; ERANGE when they do not fit. After an error nothing is written.
 */
export function zpoolWrite(pool: usize, handle: u32, at: u32, length: u32): u32 {
  const address = zpoolRange(pool, handle, at, length, 1);
  if (isError(address)) return address;
  scatter(pageBuffer(), address, length);
  return 0;
}

/** Copies the bytes at `from` into an object, all of it. It counts as a write for the LRU. 0; EINVAL. */
export function zpoolCopyIn(pool: usize, handle: u32, from: usize): u32 {
  const address = zpoolSpan(pool, handle, 1);
  if (isError(address)) return address;
  scatter(from, address, out(OUT_SIZE));
  return 0;
}

/**
 * Maps an object.
 * @param mode MODE_RO, MODE_RW or MODE_WO
 * @returns address of its OUT_SIZE bytes, valid until unmap; EINVAL, EBUSY for too many
 *   maps, ENOMEM without a frame for a map buffer
 */
export function zpoolMap(pool: usize, handle: u32, mode: u32): u32 {
  if (mode > MODE_WO) return EINVAL;
  return alloc.map(kindOf(pool), pool, handle, mode != MODE_RO, mode == MODE_WO);
}

/** Ends one map of an object. 0; EINVAL, also for an object that is not mapped. */
export function zpoolUnmap(pool: usize, handle: u32): u32 {
  return alloc.unmap(kindOf(pool), pool, handle);
}

// ── compaction ───────────────────────────────────────────────────────────────

/**
 * Compacts a pool.
 * @param victims the most frames or zspages to empty
 * @returns frames freed; 0 when objects cannot move; EINVAL
 */
export function zpoolCompact(pool: usize, victims: u32): u32 {
  return alloc.compact(kindOf(pool), pool, victims);
}

/**
 * One step of a compaction.
 * @param cursor 0 for the first step, then OUT_CURSOR of the step before
 * @param most limit of one step: zspages to empty, or frames to look at; at least 2
 * @returns frames freed; the next cursor in OUT_CURSOR, 0 after the last step; EINVAL
 */
export function zpoolCompactFrom(pool: usize, cursor: u32, most: u32): u32 {
  if (most < 2) return EINVAL;
  return alloc.compactFrom(kindOf(pool), pool, cursor, most);
}

/** Frames that zpoolCompact may free; never fewer than it does free. EINVAL. */
export function zpoolFreeable(pool: usize): u32 {
  return alloc.freeable(kindOf(pool), pool);
}

// ── reclaim ───────────────────────────────────────────────────

/**
 * Takes the least recently used frame or zspage off all lists, as a victim. Returns its frame number, 0 when nothing is
 * evictable. EINVAL.
 */
export function zpoolIsolate(pool: usize): u32 {
  return alloc.isolate(kindOf(pool), pool);
}

/** The next live handle of a victim from `cursor` on, 0 for none; the next cursor in OUT_CURSOR. EINVAL. */
export function zpoolVictimNext(pool: usize, victim: u32, cursor: u32): u32 {
  return alloc.victimNext(kindOf(pool), pool, victim, cursor);
}

/**
 * Ends the reclaim of a victim. Returns the frames freed; a victim that still has objects goes to the front of the LRU.
 * EINVAL.
 */
export function zpoolRelease(pool: usize, victim: u32): u32 {
  return alloc.release(kindOf(pool), pool, victim);
}

/**
 * Does the deferred work; only z3fold has any.
 * @param force 1: does all of it. 0: at the end of a reclaim (any number of isolate and
 *   release); does the work that waited for the end, unless an option of the pool defers all work.
 * @returns 0; EINVAL
 */
export function zpoolRunDeferred(pool: usize, force: u32): u32 {
  return alloc.runDeferred(kindOf(pool), pool, force);
}

// ── figures ──────────────────────────────────────────────────────────────────

/**
 * Frames of tables, descriptors, handle records and page table: all frames apart from those of objects and map buffers.
 * EINVAL.
 */
export function zpoolTableFrames(pool: usize): u32 {
  const descriptors = alloc.descriptorFrames(kindOf(pool), pool);
  if (isError(descriptors)) return descriptors;
  return poolAt(pool).tableFrames + slabFrames(pool + POOL_HANDLES) + descriptors + indexFrames(pool);
}
