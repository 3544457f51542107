/**
 * Allocators: the contract that each of them keeps, and the list of them.
 *
 * An allocator is a module in this folder that exports every function of `Allocator` below under its name. It knows frames
 * (mem/) and its own pool, and no other allocator. Nobody calls it but zpool.ts and inspect.ts, through the dispatch that
 * scripts/dispatch.mjs makes of this file: for each function of the contract one `switch` with one case for each row, and no
 * default (assembly/generated/dispatch.ts). A module that lacks a function, or has it with other parameters, does not compile.
 *
 * A new allocator takes four steps:
 *   1. the file: assembly/alloc/<name>.ts, with an essay at its head (what it is, layout, vital statistics, source);
 *   2. a row at the end of this file;
 *   3. a row in bindings/allocators.ts: its options, and how its figures read;
 *   4. a row in test/harness.ts: with that it is in the conformance suite.
 * test/contributor/ has one of 280 lines that is added in just this way by a test: begin with a copy of it.
 *
 * What lies where. A pool is known by the address of its header frame (mem/pool.ts), which is in the RAM and has been found to be
 * a pool of this allocator before any function is called. The allocator owns bytes 256..4095 of the header, the caches of
 * handle records and of descriptors, and in the entry of each of its frames the 24 bytes behind the generations. Its frames have
 * the owner word `pool | type`, with one of the types of `ownsFrames`. It counts frames, objects, live bytes, maps, isolated
 * victims and moves with the functions of mem/pool.ts.
 *
 * Rules for all functions:
 *   - They answer a u32: a result, or an error number (base/errno.ts). They never trap on a number from outside.
 *   - A handle is checked by what lies in the RAM, in O(1), before anything is done with it: whatever is not the handle of a
 *     live object of this pool is EINVAL. It has the number of a frame of the pool in its low bits (mem/handle.ts), is never 0
 *     and below every error number, and is refused after the free for as long as generations allow (mem/generation.ts).
 *   - A call that fails changes nothing: no frame, no counter, no list.
 *   - Before an ENOMEM, the frames that were needed are noted (mem/frame.ts, needed and frameRoom).
 *   - What is answered depends on the RAM alone: the module has no variables of its own that outlive a call.
 *
 * A page that is kept as it is has 4096 bytes (page/path.ts): mallocRaw finds room for it even where objects are smaller.
 *
 * Owner bytes. A pool may ask at creation for 16 bytes beside each object, which its owner reads and writes in place (the cache
 * does). They lie with the object's record, move with it never, and are zeros after malloc. An allocator without records has
 * no place for them and refuses such a pool:
 *   zsmalloc, z3fold   yes: handle records of 24 bytes instead of 8, 170 a frame instead of 512
 *   zbud, xvmalloc     EINVAL: they have no record of an object outside the frame that it lies in
 *   xcfmalloc          EINVAL: its descriptors are those of blocks, two to an object, and have no byte left
 */
export interface Allocator {
  // ── life of a pool ─────────────────────────────────────────────────────────

  /** Frames that init takes; those options that init refuses may get any number. */
  initFrames(a: u32, b: u32, c: u32): u32;

  /**
   * Prepares the tables of a pool whose header is zeros but for what all pools have.
   * @param a, b, c options, as bindings/allocators.ts makes them; noted with setPoolOption. 0 where the allocator has fewer
   * @param ownerBytes 0, or 16: owner bytes are asked for
   * @returns 0; EINVAL for options that there are not, ENOMEM without a frame. The caller gives all frames back then.
   */
  init(pool: usize, a: u32, b: u32, c: u32, ownerBytes: u32): u32;

  /** A frame of a pool that is destroyed is about to go back; `entry` is its entry. The handles in it have to go stale. */
  frameEnds(entry: usize): void;

  // ── objects ────────────────────────────────────────────────────────────────

  /** Bytes of the largest object. */
  largest(pool: usize): u32;

  /** Bytes above which zram calls an object huge and keeps the page as it is: less than the largest in zsmalloc only (zs_huge_class_size). */
  hugeSize(pool: usize): u32;

  /** Bytes that are set aside for an object of `size` bytes, its share of headers left aside: what two sizes differ by. */
  rounded(pool: usize, size: u32): u32;

  /** A new object. @returns its handle; EINVAL for size 0, ENOSPC beyond the largest, ENOMEM without a frame */
  malloc(pool: usize, size: u32): u32;

  /** A new object of 4096 bytes, in a frame of type FRAME_RAW where the allocator has no such objects. ENOMEM. */
  mallocRaw(pool: usize): u32;

  /** Frees an object. 0; EBUSY while it is mapped. In an isolated victim it is gone as well, its frame only with release. */
  free(pool: usize, handle: u32): u32;

  /** Address of the owner bytes of an object; 0 where the pool has none, or no such object. */
  ownerOf(pool: usize, handle: u32): usize;

  /**
   * Where the bytes of an object lie, for a copy in or out.
   * @param writing the copy goes in: a write for the LRU, where the allocator's source has that, and for a map buffer
   * @returns address of the first byte; OUT_LENGTH bytes lie there, the rest of the OUT_SIZE bytes from OUT_SECOND on (0: nothing)
   */
  span(pool: usize, handle: u32, writing: bool): u32;

  /** Frame in which an object's bytes begin, their offset there in OUT_OFFSET. What else is to be said of the place is in OUT_PLACE_A and OUT_PLACE_B. */
  locate(pool: usize, handle: u32): u32;

  /**
   * Maps an object: its OUT_SIZE bytes lie at the address returned, in one piece, until as many unmaps. It does not move.
   * @param writable the bytes may be changed there
   * @param discard what they were is not needed
   * @returns EBUSY at the most maps that are counted, ENOMEM without a frame for what the map needs
   */
  map(pool: usize, handle: u32, writable: bool, discard: bool): u32;

  /** Ends one map. 0; EINVAL also for an object that is not mapped. */
  unmap(pool: usize, handle: u32): u32;

  // ── compaction ─────────────────────────────────────────────────────────────

  /** Moves objects together. @param victims at most so many sources are emptied @returns frames given back; 0 where objects cannot move */
  compact(pool: usize, victims: u32): u32;

  /**
   * Compaction in parts, between which anything may happen to the pool.
   * @param cursor where to begin, 0 for the beginning
   * @param most zspages to empty, or frames to look at: what one call may do
   * @returns frames given back; where to go on in OUT_CURSOR, 0 when all of the pool was looked at
   */
  compactFrom(pool: usize, cursor: u32, most: u32): u32;

  /** Frames that compact would give back, never fewer than it does. */
  freeable(pool: usize): u32;

  // ── reclaim ────────────────────────────────────────────────────────────────

  /** Takes the least recently used frame (or zspage) without a mapped object off all lists: its frame number, 0 for none. */
  isolate(pool: usize): u32;

  /** The first live handle of an isolated victim from `cursor` on (0: the first), 0 for none; the next cursor in OUT_CURSOR. EINVAL. */
  victimNext(pool: usize, victim: u32, cursor: u32): u32;

  /** Ends the reclaim of a victim: frames given back; 0, and what has objects left is at the front of the LRU again. EINVAL. */
  release(pool: usize, victim: u32): u32;

  /** Does work that was put off. @param force 1: now; 0: a reclaim has ended @returns 0 */
  runDeferred(pool: usize, force: u32): u32;

  // ── looking ────────────────────────────────────────────────────────────────

  /** Frames of descriptors and records, beside those of handle records (pool + POOL_HANDLES) and of init. */
  descriptorFrames(pool: usize): u32;

  /** The types of frames that a pool may own beside its header and tables: a bit for each, 1 << FRAME_DATA and so on. */
  ownsFrames(): u32;

  /** Objects that lie in two frames. */
  spanning(pool: usize): u32;

  /** Rows of the allocator's own table: lists, classes. */
  tables(pool: usize): u32;

  /** Writes row `nth` as words at `to`, at most 20; bindings/allocators.ts reads them. 0; EINVAL beyond the last. */
  table(pool: usize, nth: u32, to: usize): u32;

  /** Tells mem/walk.ts of each object and each free range in a frame of FRAME_DATA or FRAME_RAW. */
  walk(pool: usize, frame: u32): void;

  /** Verifies everything: 0, or EUCLEAN by `broken` (mem/verify.ts). It trusts nothing that it reads, and every loop ends. */
  check(pool: usize): u32;
}

// ── the allocators ───────────────────────────────────────────────────────────
// A row each: the name of the file, which is also the name for users, and the kind, 1..63. Kinds are stored in the headers of
// pools and so in images: they are never given anew.

export const zbud = 1 as u32;
export const z3fold = 2 as u32;
export const zsmalloc = 3 as u32;
export const xvmalloc = 4 as u32;
export const xcfmalloc = 5 as u32;
