/**
 * Allocators: the contract for all of them, and the list of them.
 *
 * An allocator is a module in this folder that exports every function of `Allocator` below under the same name. It uses
 * frames (mem/) and its own pool, and no other allocator. Only zpool.ts and inspect.ts call it, through a dispatch that
 * scripts/dispatch.mjs generates from this file: for each function of the contract one `switch` with one case for each
 * row, and no default (assembly/generated/dispatch.ts). A module does not compile when a function is missing or has
 * other parameters.
 *
 * A new allocator takes four steps:
 *   1. the file assembly/alloc/<name>.ts, with a description at its top (what it is, layout, vital statistics, source);
 *   2. a row at the end of this file;
 *   3. a row in bindings/allocators.ts: its options, and the meaning of its figures;
 *   4. a row in test/harness.ts: this puts it into the conformance suite.
 * test/contributor/ contains an allocator of 280 lines; a test adds it with these four steps. Begin with a copy of it.
 *
 * Layout. The address of its header frame identifies a pool (mem/pool.ts). The caller of these functions has already
 * verified that `pool` is a pool of this allocator. The allocator owns bytes 256..4095 of the header, the caches of
 * handle records and of descriptors, and the 24 bytes after the generations in the frame entry of each of its frames.
 * Its frames have the owner word `pool | type`, with one of the types of `ownsFrames`. It counts frames, objects, live
 * bytes, maps, isolated victims and moves with the functions of mem/pool.ts.
 *
 * Rules for all functions:
 *   - They return a u32: a result, or an error number (base/errno.ts). No argument makes them trap.
 *   - They check a handle first, from the contents of the RAM, in O(1): a number that is not the handle of a live
 *     object of this pool gives EINVAL. A handle has the number of a frame of the pool in its low bits (mem/handle.ts),
 *     is never 0, and is below every error number. After the free it is refused until its generation wraps around
 *     (mem/generation.ts).
 *   - A call that fails changes nothing: no frame, no counter, no list.
 *   - Before an ENOMEM, they note the number of frames that they needed (mem/frame.ts: needed, frameRoom).
 *   - Results depend on the RAM alone: the module has no variables that outlive a call.
 *
 * A raw page has 4096 bytes (page/path.ts): mallocRaw finds room for it even when the largest object is smaller.
 *
 * Owner bytes. A pool may be created with 16 bytes beside each object, which the owner of the pool reads and writes in
 * place (the cache does). They are in the handle record of the object, so they never move, and they are zeros after
 * malloc. An allocator without handle records has no room for them and refuses such a pool:
 *   zsmalloc, z3fold   yes: handle records of 24 bytes instead of 8, 170 in a frame instead of 512
 *   zbud, xvmalloc     EINVAL: they have no record of an object outside its frame
 *   xcfmalloc          EINVAL: it has a descriptor for each block, up to two for an object, with no byte left
 */
export interface Allocator {
  // ── life of a pool ─────────────────────────────────────────────────────────

  /** Frames that init takes. Any number for options that init refuses. */
  initFrames(a: u32, b: u32, c: u32): u32;

  /**
   * Prepares the tables of a new pool. Its header is zeros, apart from the part that all pools have.
   * @param a, b, c options, as bindings/allocators.ts makes them; stored with setPoolOption. 0 for an option that does
   *   not exist
   * @param ownerBytes 16 for a pool with owner bytes, else 0
   * @returns 0; EINVAL for wrong options, ENOMEM without a frame. After an error the caller frees all frames of the
   *   pool.
   */
  init(pool: usize, a: u32, b: u32, c: u32, ownerBytes: u32): u32;

  /**
   * Called before a frame of a destroyed pool is freed; `entry` is its frame entry. Must make the handles of the frame
   * stale.
   */
  frameEnds(entry: usize): void;

  // ── objects ────────────────────────────────────────────────────────────────

  /** Bytes of the largest object. */
  largest(pool: usize): u32;

  /**
   * Objects above this size in bytes are huge in zram, which stores such pages raw. It differs from `largest` in
   * zsmalloc only (zs_huge_class_size).
   */
  hugeSize(pool: usize): u32;

  /**
   * Bytes that the allocator sets aside for an object of `size` bytes, without headers. Two sizes with the same result
   * take the same room.
   */
  rounded(pool: usize, size: u32): u32;

  /** A new object. @returns its handle; EINVAL for size 0, ENOSPC above the largest size, ENOMEM without a frame */
  malloc(pool: usize, size: u32): u32;

  /** A new object of 4096 bytes; in a frame of type FRAME_RAW when `largest` is smaller. @returns its handle; ENOMEM */
  mallocRaw(pool: usize): u32;

  /**
   * Frees an object. In an isolated victim, the frame stays until `release`.
   * @returns 0; EBUSY while the object is mapped
   */
  free(pool: usize, handle: u32): u32;

  /** Address of the owner bytes of an object; 0 when the pool has no owner bytes, or no such object. */
  ownerOf(pool: usize, handle: u32): usize;

  /**
   * The span of an object (mem/span.ts), for a copy in or out.
   * @param writing true for a copy in: it counts as a write for the LRU, if the kernel source counts it, and for a map
   *   buffer
   * @returns address of the first byte; OUT_LENGTH bytes lie there, the rest of the OUT_SIZE bytes at OUT_SECOND (0: no
   *   rest)
   */
  span(pool: usize, handle: u32, writing: bool): u32;

  /**
   * Frame where the data of an object begin; their offset in the frame in OUT_OFFSET, more about the place in
   * OUT_PLACE_A and OUT_PLACE_B.
   */
  locate(pool: usize, handle: u32): u32;

  /**
   * Maps an object: until the last unmap, it does not move, and its OUT_SIZE bytes lie in one piece at the address
   * returned.
   * @param writable true when the caller may change the bytes
   * @param discard true when the old bytes are not needed
   * @returns the address; EBUSY when the object has the maximum number of maps, ENOMEM without a frame for a map buffer
   */
  map(pool: usize, handle: u32, writable: bool, discard: bool): u32;

  /** Ends one map. 0; EINVAL also for an object that is not mapped. */
  unmap(pool: usize, handle: u32): u32;

  // ── compaction ─────────────────────────────────────────────────────────────

  /**
   * Moves objects together.
   * @param victims the most frames or zspages to empty
   * @returns frames freed; 0 when objects cannot move
   */
  compact(pool: usize, victims: u32): u32;

  /**
   * Compaction in steps. The pool may change between two steps.
   * @param cursor 0 for the first step, then OUT_CURSOR of the step before
   * @param most limit of one step: zspages to empty, or frames to look at
   * @returns frames freed; the next cursor in OUT_CURSOR, 0 after the last step
   */
  compactFrom(pool: usize, cursor: u32, most: u32): u32;

  /** Frames that compact may free; never fewer than it does free. */
  freeable(pool: usize): u32;

  // ── reclaim ────────────────────────────────────────────────────────────────

  /**
   * Takes the least recently used frame (or zspage) without a mapped object off all lists. Returns its frame number, 0
   * for none.
   */
  isolate(pool: usize): u32;

  /**
   * The first live handle of an isolated victim from `cursor` on (0: the first one), 0 for none; the next cursor in
   * OUT_CURSOR. EINVAL.
   */
  victimNext(pool: usize, victim: u32, cursor: u32): u32;

  /**
   * Ends the reclaim of a victim. Returns the frames freed; a victim that still has objects goes to the front of the
   * LRU. EINVAL.
   */
  release(pool: usize, victim: u32): u32;

  /** Does the deferred work. @param force 1: in any case; 0: at the end of a reclaim @returns 0 */
  runDeferred(pool: usize, force: u32): u32;

  // ── statistics and check ───────────────────────────────────────────────────

  /** Frames of descriptors, without those of handle records (pool + POOL_HANDLES) and those that init takes. */
  descriptorFrames(pool: usize): u32;

  /**
   * The frame types that a pool may own, apart from its header and tables: a bit for each, 1 << FRAME_DATA and so on.
   */
  ownsFrames(): u32;

  /** Objects that lie in two frames. */
  spanning(pool: usize): u32;

  /** Number of rows of the allocator's table: lists or size classes. */
  tables(pool: usize): u32;

  /**
   * Writes row `nth` as words at `to`, at most 20; bindings/allocators.ts reads them. Returns 0; EINVAL after the last
   * row.
   */
  table(pool: usize, nth: u32, to: usize): u32;

  /** Reports each object and each free range of a frame of type FRAME_DATA or FRAME_RAW to mem/walk.ts. */
  walk(pool: usize, frame: u32): void;

  /**
   * Verifies everything. Returns 0, or EUCLEAN by `broken` (mem/verify.ts). It must trust nothing that it reads, and
   * every loop must end.
   */
  check(pool: usize): u32;
}

// ── the allocators ───────────────────────────────────────────────────────────
// A row for each: the name of the file, which is also the public name, and the kind, 1..63. Pool headers, and so
// images, contain kinds: never reuse the kind of a removed allocator.

export const zbud = 1 as u32;
export const z3fold = 2 as u32;
export const zsmalloc = 3 as u32;
export const xvmalloc = 4 as u32;
export const xcfmalloc = 5 as u32;
