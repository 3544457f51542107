/**
 * xcfmalloc: objects in one or two relocatable blocks.
 *
 * What it is. A scatter-gather allocator. Frames are tiled by blocks of whole
 * 64-byte units; an object is a chain of up to two blocks, which may lie in
 * different frames, so the small holes that other allocators lose are used up.
 * Every block, free or used, has a descriptor outside the frames, and a handle
 * stands for the descriptor of an object's first block: so blocks can be moved,
 * and compact() empties sparse frames into the holes of fuller ones.
 *
 * What it is not. Frugal with metadata (a descriptor for every block, free ones
 * too), nor made for maps in place: an object in two blocks is mapped through a
 * buffer. And a pool is never empty: it holds a reserve of wholly free frames.
 *
 *   ┌────┬──────────────┬────┬─────────────────┬────┬───────┬────┬──────────────┐
 *   │ 12 │ A, all of it │ 12 │ free, 7 units   │ 12 │ B, 1st│ 12 │ C            │
 *   └────┴──────────────┴────┴─────────────────┴────┴───┬───┴────┴──────────────┘
 *   0                  704                   1152       │ 2112                  4096
 *   ┌────┬────────┬────┬────────────────────────────────│───────────────────────┐
 *   │ 12 │ B, 2nd │ 12 │ free, 58 units           ◄─────┘                       │
 *   └────┴────────┴────┴────────────────────────────────────────────────────────┘
 *
 * Each block pays 12 bytes of header (S1): kept free, since the geometry depends
 * on it, but what it held is in the descriptors. They, the entries and the lists
 * are drawn in xcfmalloc-blocks.ts. The free blocks of u units are on list u - 1;
 * the last list, of the wholly free frames, is the reserve. A malloc first tops
 * the reserve up from the RAM, then takes an exactly fitting block, else (for
 * the first of two blocks) the largest smaller one, else the smallest larger
 * one, whose low units it keeps. A free merges each block with its neighbours,
 * then gives back what the reserve has too much of.
 *
 * A frame of type FRAME_RAW is one page kept as it is (page/path.ts): a block
 * of 64 units without a header. It is taken as any other wholly free frame is.
 *
 * While an object in two blocks is mapped, a frame of type FRAME_BUFFER holds
 * its bytes:   entry   8 descriptor of the first block   12 that to write back, its
 * complement not to
 *
 * Handle: generation | index of the descriptor in its slab frame, 7 bits | that
 * frame, from the high bits down. The generation has 11 bits at 64 MiB, 7 at
 * 1 GiB, 5 at 4 GiB, never more than 16: a stale handle is refused until objects
 * that began at this descriptor were freed 2^11 (or 2^7, 2^5) times more, less
 * one; descriptors come round in FIFO order within their frame.
 *
 * Vital statistics: largest object 4084; overhead an object at most 63 + 12
 * bytes a block in the frame and 32 a descriptor; malloc and free O(1); density
 * 0.969 on uniform sizes, and compact() brings a half freed pool back to that.
 * Maps of one object: 65535.
 *
 * Options: word 0 the most blocks of an object, 2, or 1 as the text of 2011 is
 * written; word 1 the frames of the reserve, 32, at most 1024. With 0 a malloc
 * that finds no block takes one frame for itself.
 *
 * Source: xcfmalloc v1, posted to linux-mm in September 2011, never merged;
 * rules S1..S17 of docs/rules/xvmalloc-xcfmalloc.md. Four defects of the
 * original are its figures and stay: the one-unit holes that (b) of S11 leaves
 * alone, the reserve that every malloc tops up, the 12-byte header (a debug
 * sentinel is in it), and, in blocks 1, the single block. The others are
 * absent: destroy gives back everything, a request without a descriptor fails
 * before anything has changed, totals count the reserve. Ours: handles that are
 * validated, maps, raw pages, a reserve that yields a frame when a descriptor
 * needs one, reclaim, and the compaction that the original announced
 * (xcfmalloc-compact.ts).
 *
 * Reclaim. Frames are on the LRU in the order in which malloc last placed a
 * block in them; free, map, write and compaction do not touch it; the reserve is
 * no candidate. The free blocks of an isolated frame are off the lists, so what
 * a callback allocates lies elsewhere; when the frame is kept they return, each
 * to the head of its list, in address order. An emptied one goes back to the
 * RAM, not to the reserve. The second blocks of what was evicted lie elsewhere
 * and may empty frames as well: xcfRelease counts all frames that went back.
 */
import { OUT_CURSOR, OUT_LENGTH, OUT_OFFSET, OUT_OTHER_FRAME, OUT_OTHER_OFFSET, OUT_SECOND, OUT_SIZE } from '../abi';
import { EBUSY, EINVAL, ENOMEM, ENOSPC } from '../base/errno';
import { listCount, listNext, listPush } from '../base/list';
import { frameAlloc, frameFree, needed } from '../mem/frame';
import {
  BOOT_BUMP, BOOT_FIRST, FRAME_BUFFER, FRAME_DATA, FRAME_RAW, FRAME_SLAB, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, RECORD_FREE, SLAB_FRESH,
  boot, entryOf, entryOwner, entryType, frameAddress, frameExists, frameOf, genA,
} from '../mem/layout';
import {
  POOL_DESCRIPTORS, POOL_HANDLES, POOL_LRU, POOL_OPTIONS, countIsolated, countMap, countObject, poolAt, setPoolOption,
  uncountMap, uncountObject, victimTake,
} from '../mem/pool';
import { out, pageBuffer, setOut } from '../mem/scratch';
import { slabCheck, slabInit, slabNeeds, slabNext, slabUsed } from '../mem/slab';
import { gather, scatter } from '../mem/span';
import {
  FRAME_EITHER, RULE_LIST, RULE_LRU, RULE_OBJECT, RULE_POOL, RULE_POOL_COUNT, RULE_SLAB_FREE, broken, isRecord, listLength,
} from '../mem/verify';
import { walkFree, walkObject } from '../mem/walk';
import {
  ALL_FREE, BLOCK_BYTES, BLOCK_SHIFT, DataEntry, FIRST, FREE, HEADER, INDEX_BITS, ISOLATED, LIST_LINKS, LRU_LINKS, RAW, SECOND,
  UNIT, UNITS, UNIT_SHIFT, addUsedUnits, addressIn, bitsOfFrame, blockAt, blocksOption, carve, dataAt, dropRecord,
  enlist, enlistFrame, entryAt, entryFor, frameIn, generationMask, givenFrames, grow, hasHandleLayout, isIsolated, listCell,
  isMore, listHead, listMask, listsFrom, occupy, pop, releaseBlock, reserveFrames, reserveOption, setGivenFrames,
  setHandleLayout, slabEnds, stateOf, takeFrame, topUp, trim, trimTo, unitMask, unitsIn, unitsOf, usedUnits, wordAt,
} from './xcfmalloc-blocks';

const SIZE_MAX: u32 = PAGE_SIZE - HEADER;
const RESERVE_MAX: u32 = 1024;
const MAPS_MAX: u32 = 0xFFFF;

@unmanaged
class BufferEntry {
  owner: u32;
  generations: u32;
  first: u32;
  writeback: u32;
  zeroes: u64;
  moreZeroes: u64;
}

// @ts-ignore: decorator
@inline function bufferAt(frame: u32): BufferEntry {
  return changetype<BufferEntry>(entryAt(frame));
}

// ── accessors ────────────────────────────────────────────────────────────────

// @ts-ignore: decorator
@inline function headerOf(block: usize): u32 {
  return stateOf(block) == RAW ? 0 : HEADER;
}

/** Bytes of the object that lie in this block. */
// @ts-ignore: decorator
@inline function bytesIn(block: usize): u32 {
  return <u32>blockAt(block).bytes - headerOf(block);
}

/** S3. */
function sizeOf(first: usize): u32 {
  const second = <usize>blockAt(first).other;
  return bytesIn(first) + (second != 0 ? bytesIn(second) : 0);
}

/** Address of the bytes of the object that lie in this block. */
function dataOf(block: usize): u32 {
  return <u32>addressIn(blockAt(block).word) + headerOf(block);
}

/** The first block of the object that a used block belongs to. */
// @ts-ignore: decorator
@inline function firstOf(block: usize): usize {
  return stateOf(block) == SECOND ? <usize>blockAt(block).other : block;
}

// ── handles ──────────────────────────────────────────────────────────────────

/** Generation of the object that begins, or would begin, at a descriptor. */
// @ts-ignore: decorator
@inline function generationOf(pool: usize, entry: usize, block: usize): u32 {
  return (genA(entry) + blockAt(block).frees) & generationMask(pool);
}

function handleOf(pool: usize, first: usize): u32 {
  return makeHandle(pool, first);
}

// @ts-ignore: decorator
@inline function makeHandle(pool: usize, first: usize): u32 {
  const frame = <u32>(first >> PAGE_SHIFT);
  const index = (<u32>first & PAGE_MASK) >> BLOCK_SHIFT;
  return (((generationOf(pool, entryOf(frame), first) << INDEX_BITS) | index) << bitsOfFrame(pool)) | frame;
}

/** The first block of a live object of this pool; 0 for any other number. */
function resolve(pool: usize, handle: u32): usize {
  return firstFor(pool, handle);
}

/** resolve, inlined. */
// @ts-ignore: decorator
@inline function firstFor(pool: usize, handle: u32): usize {
  const bits = bitsOfFrame(pool);
  const frame = handle & ((1 << bits) - 1);
  if (!frameExists(frame)) return 0;
  const entry = entryOf(frame);
  if (entryOwner(entry) != (<u32>pool | FRAME_SLAB)) return 0;
  const rest = handle >> bits;
  const block = frameAddress(frame) + <usize>((rest & ((1 << INDEX_BITS) - 1)) << BLOCK_SHIFT);
  // A record that was never used is zero: a free block.
  if ((blockAt(block).word & (RECORD_FREE | FIRST)) != FIRST) return 0;
  return generationOf(pool, entry, block) == rest >> INDEX_BITS ? block : 0;
}

/** Called for each frame of a pool that is destroyed: the handles of live objects go stale. */
export function xcfFrameEnds(entry: usize): void {
  if (entryType(entry) == FRAME_SLAB) slabEnds(entry);
}

// ── algorithm ────────────────────────────────────────────────────────────────

/** Fills the reserve as far as the RAM has frames. EINVAL for options out of range. */
export function xcfInit(pool: usize, blocks: u32, reserve: u32): u32 {
  if (blocks - 1 > 1 || reserve > RESERVE_MAX) return EINVAL;
  setPoolOption(pool, 0, blocks);
  setPoolOption(pool, 1, reserve);
  setHandleLayout(pool);
  slabInit(pool + POOL_DESCRIPTORS, BLOCK_BYTES, FRAME_SLAB);
  topUp(pool, reserveOption(pool));
  return 0;
}

/** S11: the free block to take for `units`, on its list; 0 without a frame. @param split a smaller one will do */
function select(pool: usize, units: u32, split: bool): usize {
  const mask = listMask(pool);
  const fitting = listsFrom(mask, units);
  const best = <u32>ctz<u64>(fitting);
  if (split && best != units - 1) {
    // (b): from list 1 up only.
    const smaller = mask & ((<u64>1 << (units - 1)) - 1) & ~(<u64>1);
    if (smaller != 0) return listHead(pool, 63 - <u32>clz<u64>(smaller));
  }
  return fitting != 0 ? listHead(pool, best) : takeFrame(pool);
}

export function xcfMax(): u32 {
  return SIZE_MAX;
}

/** S10..S15. EINVAL size 0, ENOSPC above 4084, ENOMEM without a frame. */
export function xcfMalloc(pool: usize, size: u32): u32 {
  if (size == 0) return EINVAL;
  if (size > SIZE_MAX) return ENOSPC;
  return place(pool, size, size + HEADER, FIRST);
}

/** A whole frame for a page that is kept as it is. ENOMEM without a frame. */
export function xcfMallocRaw(pool: usize): u32 {
  return place(pool, PAGE_SIZE, PAGE_SIZE, RAW);
}

/** Places an object of `size` bytes. @param rest its bytes with the header of a block */
function place(pool: usize, size: u32, rest: u32, state: u32): u32 {
  const frames = poolAt(pool).frames;
  let first: usize = 0;
  let length: u32 = 0;
  let block: usize = 0;
  if (reserveFrames(pool) < reserveOption(pool)) topUp(pool, reserveOption(pool));
  while (true) {
    const units = unitsIn(rest);
    block = select(pool, units, first == 0 && state == FIRST && blocksOption(pool) == 2);
    if (block != 0) {
      const extent = unitsOf(block);
      if (extent > units) {
        block = carve(pool, block, units);
      } else {
        pop(pool, block, extent);
        if (extent < units) {
          // S13: the first of two blocks is used whole.
          first = block;
          length = extent << UNIT_SHIFT;
          rest -= length - HEADER;
          continue;
        }
      }
    }
    break;
  }
  if (block == 0) {
    // S15
    if (first != 0) enlist(pool, first);
    trimTo(pool, frames);
    needed(1 + slabNeeds(pool + POOL_DESCRIPTORS));
    return ENOMEM;
  }
  if (first != 0) {
    occupy(pool, first, FIRST, length, block);
    occupy(pool, block, SECOND, rest, first);
  } else {
    first = block;
    occupy(pool, first, state, rest, 0);
    if (state == RAW) dataAt(entryFor(first)).owner = <u32>pool | FRAME_RAW;
  }
  countObject(pool, size);
  const slab = entryOf(<u32>(first >> PAGE_SHIFT));
  if (generationOf(pool, slab, first) == generationMask(pool)) grow(slab, first);
  return makeHandle(pool, first);
}

/** S16, S8. EINVAL for a handle that is not live here, EBUSY while it is mapped. */
export function xcfFree(pool: usize, handle: u32): u32 {
  const first = firstFor(pool, handle);
  if (first == 0) return EINVAL;
  if (blockAt(first).maps != 0) return EBUSY;
  grow(entryOf(<u32>(first >> PAGE_SHIFT)), first);
  let second = <usize>blockAt(first).other;
  uncountObject(pool, 0);
  for (let block = first; block != 0; second = 0) {
    poolAt(pool).liveBytes -= bytesIn(block);
    releaseBlock(pool, block);
    block = second;
  }
  if (reserveFrames(pool) > reserveOption(pool) || poolAt(pool).objects == 0) trim(pool);
  return 0;
}

/** Address of the first byte; OUT_LENGTH bytes there, the rest of OUT_SIZE at OUT_SECOND (0: no rest). */
function parts(first: usize): u32 {
  const second = <usize>blockAt(first).other;
  setOut(OUT_SIZE, sizeOf(first));
  setOut(OUT_LENGTH, bytesIn(first));
  setOut(OUT_SECOND, second != 0 ? dataOf(second) : 0);
  return dataOf(first);
}

/**
 * The bytes of an object where they lie; see parts(). While it is mapped
 * through a buffer, that is where its bytes are. EINVAL.
 * @param writing the access changes the object
 */
export function xcfSpan(pool: usize, handle: u32, writing: bool): u32 {
  const first = resolve(pool, handle);
  if (first == 0) return EINVAL;
  const address = parts(first);
  const buffer = blockAt(first).buffer;
  if (buffer == 0) return address;
  if (writing) bufferAt(buffer).writeback = <u32>first;
  setOut(OUT_LENGTH, out(OUT_SIZE));
  setOut(OUT_SECOND, 0);
  return <u32>frameAddress(buffer);
}

/**
 * S17: frame of the first block; offset of its data in OUT_OFFSET, of its header
 * that less 12 (a raw page: less 0). Of the second block frame, 0 for none, and
 * offset of the header in OUT_OTHER_FRAME and OUT_OTHER_OFFSET. EINVAL.
 */
export function xcfLocate(pool: usize, handle: u32): u32 {
  const first = resolve(pool, handle);
  if (first == 0) return EINVAL;
  const second = <usize>blockAt(first).other;
  setOut(OUT_OFFSET, dataOf(first) & PAGE_MASK);
  const word = second != 0 ? blockAt(second).word : 0;
  setOut(OUT_OTHER_FRAME, frameIn(word));
  setOut(OUT_OTHER_OFFSET, <u32>addressIn(word) & PAGE_MASK);
  return frameIn(blockAt(first).word);
}

// ── mapping ──────────────────────────────────────────────────────────────────

/** Notes in the frames of an object's blocks that it is mapped (by 1), or no longer (by -1). */
function mapBlocks(first: usize, by: u32): void {
  for (let block = first; block != 0; block = stateOf(block) == FIRST ? <usize>blockAt(block).other : 0) {
    const entry = dataAt(entryFor(block));
    entry.state += by;
  }
}

/**
 * Address of all the object's bytes in one piece until unmap; size in OUT_SIZE.
 * An object in two blocks is mapped through a buffer frame, one for all its maps.
 * @param writable rw or wo: the buffer is written back at the last unmap
 * @param discard wo: the buffer starts as zeros
 * @returns EINVAL, ENOMEM without a frame for the buffer, EBUSY at 65535 maps
 */
export function xcfMap(pool: usize, handle: u32, writable: bool, discard: bool): u32 {
  const first = resolve(pool, handle);
  if (first == 0) return EINVAL;
  const maps = <u32>blockAt(first).maps;
  if (maps == MAPS_MAX) return EBUSY;
  let address = parts(first);
  if (out(OUT_SECOND) != 0) {
    let buffer = blockAt(first).buffer;
    if (buffer == 0) {
      buffer = frameAlloc(<u32>pool | FRAME_BUFFER);
      if (buffer == 0) {
        needed(1);
        return ENOMEM;
      }
      if (!discard) gather(frameAddress(buffer), address, out(OUT_SIZE));
      bufferAt(buffer).first = <u32>first;
      bufferAt(buffer).writeback = ~(<u32>first);
      blockAt(first).buffer = buffer;
    }
    if (writable) bufferAt(buffer).writeback = <u32>first;
    address = <u32>frameAddress(buffer);
  }
  if (maps == 0) mapBlocks(first, 1);
  blockAt(first).maps = <u16>(maps + 1);
  countMap(pool);
  return address;
}

/** Ends one map. EINVAL also for an object that is not mapped. */
export function xcfUnmap(pool: usize, handle: u32): u32 {
  const first = resolve(pool, handle);
  if (first == 0 || blockAt(first).maps == 0) return EINVAL;
  const maps = <u32>blockAt(first).maps - 1;
  blockAt(first).maps = <u16>maps;
  uncountMap(pool);
  if (maps != 0) return 0;
  mapBlocks(first, -1);
  const buffer = blockAt(first).buffer;
  if (buffer == 0) return 0;
  blockAt(first).buffer = 0;
  const address = parts(first);
  if (bufferAt(buffer).writeback == <u32>first) scatter(frameAddress(buffer), address, out(OUT_SIZE));
  frameFree(buffer);
  return 0;
}

// ── reclaim ──────────────────────────────────────────────────────────────────

/** Takes the least recently used frame without a block of a mapped object off all lists. Its frame number, 0 for none. */
export function xcfIsolate(pool: usize): u32 {
  // While a frame is on the LRU, its state is the count of those blocks.
  const entry = victimTake(pool, LRU_LINKS, offsetof<DataEntry>('state'));
  if (entry == 0) return 0;
  dataAt(entry).state = ISOLATED;
  enlistFrame(pool, entry, false);
  return frameOf(entry);
}

/** Whether a frame is one of the pool's with objects: FRAME_DATA or FRAME_RAW. */
// @ts-ignore: decorator
@inline function hasObjects(pool: usize, entry: usize): bool {
  return ((entryOwner(entry) ^ <u32>pool) | 1) == (FRAME_DATA | FRAME_RAW);
}

/** Entry of a victim of this pool, 0 for any other number. */
function victimEntry(pool: usize, victim: u32): usize {
  if (!frameExists(victim)) return 0;
  const entry = entryAt(victim);
  return hasObjects(pool, entry) && isIsolated(entry) ? entry : 0;
}

/**
 * The handle of the first object that has a block of a victim at or behind unit
 * `cursor` (0: from the start), 0 for none; the next cursor in OUT_CURSOR. An object
 * with both blocks there is met once, at the lower one. EINVAL.
 */
export function xcfVictimNext(pool: usize, victim: u32, cursor: u32): u32 {
  const entry = victimEntry(pool, victim);
  if (entry == 0) return EINVAL;
  const base = wordAt(victim, 0);
  for (let block = <usize>dataAt(entry).first; block != 0; block = blockAt(block).right) {
    const at = blockAt(block).word - base;
    if (stateOf(block) == FREE || at < wordAt(0, cursor)) continue;
    const other = <usize>blockAt(block).other;
    // Met already when its other block is in this frame, too, and lower.
    if (other != 0 && blockAt(other).word - base < at) continue;
    setOut(OUT_CURSOR, (at >> 2) + 1);
    return handleOf(pool, firstOf(block));
  }
  return 0;
}

/**
 * Ends the reclaim of a victim: it goes back to the RAM when it is empty, else
 * to the front of the LRU. Returns the frames that the pool gave back since the
 * victim was isolated and that no release has counted yet. EINVAL.
 */
export function xcfRelease(pool: usize, victim: u32): u32 {
  const entry = victimEntry(pool, victim);
  if (entry == 0) return EINVAL;
  const first = <usize>dataAt(entry).first;
  countIsolated(pool, -1);
  dataAt(entry).state ^= ISOLATED;
  if (dataAt(entry).free == ALL_FREE) {
    setGivenFrames(pool, givenFrames(pool) + 1);
    poolAt(pool).frames -= 1;
    frameFree(victim);
    dropRecord(pool, first);
  } else {
    listPush(pool + POOL_LRU, entry, LRU_LINKS);
    enlistFrame(pool, entry, true);
  }
  const given = givenFrames(pool);
  setGivenFrames(pool, 0);
  trim(pool);
  return given;
}

// ── statistics ───────────────────────────────────────────────────────────────

/** Free blocks on one list: of list + 1 units; the last is the reserve. EINVAL beyond it. */
export function xcfListLength(pool: usize, list: u32): u32 {
  return list < UNITS ? listCount(listCell(pool, list), LIST_LINKS) : EINVAL;
}

/** Objects in two blocks. */
export function xcfSpanning(pool: usize): u32 {
  const cache = pool + POOL_DESCRIPTORS;
  let spanning: u32 = 0;
  for (let block = slabNext(cache, 0); block != 0; block = slabNext(cache, block)) {
    if (stateOf(block) == SECOND) spanning += 1;
  }
  return spanning;
}

// ── walk ─────────────────────────────────────────────────────────────────────

/** Reports what lies in a frame: an object in two blocks appears once for each, with the part that lies there. */
export function xcfWalk(pool: usize, frame: u32): void {
  for (let block = <usize>dataAt(entryAt(frame)).first; block != 0; block = blockAt(block).right) {
    if (stateOf(block) == FREE) walkFree(<u32>addressIn(blockAt(block).word) & PAGE_MASK, blockAt(block).bytes);
    else walkObject(handleOf(pool, firstOf(block)), dataOf(block) & PAGE_MASK, bytesIn(block));
  }
}

// ── check ────────────────────────────────────────────────────────────────────

/**
 * A copy of the pool's header, in scratch, from which all that is found in its
 * frames is taken away: what remains is zero. Three words are counters instead.
 */
@unmanaged
class Rest {
  kind: u32;
  frames: u32;
  objects: u32;
  bytes: u32;
  listed: u32;
  onLru: u32;
  blocks: u32;
  maps: u32;
  isolated: u32;
}

/**
 * Verifies every block, frame, list and counter of the pool. 0 or EUCLEAN; trusts nothing it reads.
 * (Where `|` stands for `||` it is the shorter code, and nothing depends on the order.)
 */
export function xcfCheck(pool: usize): u32 {
  const copy = pageBuffer();
  const rest = changetype<Rest>(copy);
  let rule = RULE_POOL;
  if ((<u32>(blocksOption(pool) - 1 > 1) | <u32>(reserveOption(pool) > RESERVE_MAX) | (poolAt(pool).tableFrames ^ 1) | <u32>!hasHandleLayout(pool)
    | <u32>((load<u64>(pool, POOL_OPTIONS + 8) | load<u64>(pool, POOL_HANDLES) | load<u64>(pool, POOL_HANDLES + 8)) != 0)) == 0) {
    let result = slabCheck(pool + POOL_DESCRIPTORS, BLOCK_BYTES, FRAME_SLAB);
    if (result == 0) result = spareCheck(pool);
    memory.copy(copy, pool, PAGE_SIZE);
    memory.fill(copy + offsetof<Rest>('listed'), 0, 12);
    const bump = boot(BOOT_BUMP);
    for (let frame = boot(BOOT_FIRST); frame < bump && result == 0; frame++) {
      const entry = entryAt(frame);
      const sound = hasObjects(pool, entry) ? frameCheck(pool, entry, frame, copy)
        : entryOwner(entry) != (<u32>pool | FRAME_BUFFER) || bufferCheck(pool, entry, frame);
      if (!sound) result = broken(RULE_OBJECT, frame);
    }
    if (result != 0) return result;
    rule = RULE_POOL_COUNT;
    if ((rest.frames | rest.objects | rest.bytes | rest.maps | rest.isolated | usedUnits(copy)
      | (rest.blocks ^ slabUsed(pool + POOL_DESCRIPTORS))
      | (poolAt(pool).isolated == 0 ? givenFrames(pool) : 0)) == 0) {
      rule = RULE_LRU;
      if (listLength(pool + POOL_LRU, LRU_LINKS, rest.onLru, <u32>pool | FRAME_EITHER, 0) == rest.onLru) {
        rule = RULE_LIST;
        if (listsCheck(pool, rest.listed)) return 0;
      }
    }
  }
  return broken(rule, <u32>(pool >> PAGE_SHIFT));
}

/** Whether an address from anywhere is that of a descriptor in use. */
function isBlock(pool: usize, block: usize): bool {
  return isRecord(block, <u32>pool | FRAME_SLAB, BLOCK_BYTES);
}

/** One frame: blocks tile it, no two free ones meet, and its entry says what they add up to. */
function frameCheck(pool: usize, at: usize, frame: u32, copy: usize): bool {
  const entry = dataAt(at);
  const rest = changetype<Rest>(copy);
  const isolated = <u32>isIsolated(at);
  let block = <usize>entry.first;
  let left: usize = 0;
  let units: u32 = 0;
  let used: u32 = 0;
  let mapped: u32 = 0;
  let free: u64 = 0;
  let last = RAW;
  while (units < UNITS) {
    if (!isBlock(pool, block)) return false;
    const state = stateOf(block);
    const extent = unitsOf(block);
    const word = wordAt(frame, units);
    units += extent;
    if (<u32>(extent == 0) | <u32>(units > UNITS) | <u32>((state | last) == FREE) | (blockAt(block).left ^ <u32>left)
      | (blockAt(block).word ^ (word | state)) | <u32>((state == RAW) != (entryType(at) == FRAME_RAW))) return false;
    if (!isSound(pool, block, state)) return false;
    if (state != FREE) {
      used += extent;
      rest.bytes -= bytesIn(block);
      rest.maps -= blockAt(block).maps;
      rest.objects -= state & FIRST;
      mapped += <u32>(blockAt(firstOf(block)).maps != 0);
    } else {
      free |= unitMask(word, extent);
      rest.listed += isolated ^ 1;
      if (isolated != 0 && load<u64>(block, LIST_LINKS) != 0) return false;
    }
    rest.blocks += 1;
    last = state;
    left = block;
    block = blockAt(block).right;
  }
  const onLru = <u32>(used != 0) & ~isolated;
  rest.onLru += onLru;
  rest.frames -= 1;
  rest.isolated -= isolated;
  addUsedUnits(copy, 0 - used);
  return (<u32>block | (entry.state ^ (mapped | isolated * ISOLATED)) | <u32>(entry.free != free)
    | <u32>((load<u64>(at, LRU_LINKS) != 0) != (onLru != 0))) == 0;
}

/** Descriptors that are free in their slab: what the next block that takes one relies on. */
function spareCheck(pool: usize): u32 {
  const bump = boot(BOOT_BUMP);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const slab = entryAt(frame);
    if (entryOwner(slab) != (<u32>pool | FRAME_SLAB)) continue;
    const fresh = <u32>load<u16>(slab + SLAB_FRESH);
    for (let at: u32 = 0; at < fresh; at += BLOCK_BYTES) {
      const block = frameAddress(frame) + <usize>at;
      if ((blockAt(block).word & RECORD_FREE) != 0 && (<u32>blockAt(block).maps != 0 || !hasAge(slab, block))) return broken(RULE_SLAB_FREE, frame);
    }
  }
  return 0;
}

/** Whether both counters of a descriptor's frees agree, and none is beyond what its slab frame has seen. */
// @ts-ignore: decorator
@inline function hasAge(slab: usize, block: usize): bool {
  const frees = blockAt(block).frees;
  return blockAt(block).freesAgain == frees && !isMore(slab, frees);
}

/** A block by itself: its size, its age, its object's other block, its buffer. */
function isSound(pool: usize, block: usize, state: u32): bool {
  const bytes = <u32>blockAt(block).bytes;
  const maps = <u32>blockAt(block).maps;
  const slab = entryAt(<u32>(block >> PAGE_SHIFT));
  if (!hasAge(slab, block)) return false;
  if ((state & FIRST) != 0 && generationOf(pool, slab, block) == generationMask(pool)) return false;
  if (state == FREE) return (bytes % UNIT | maps) == 0;
  if (state == RAW) return (<u64>(bytes ^ PAGE_SIZE) | load<u64>(block, LIST_LINKS)) == 0;
  const other = <usize>blockAt(block).other;
  const buffer = blockAt(block).buffer;
  if (bytes <= HEADER) return false;
  if (other == 0) return (buffer | (state ^ FIRST)) == 0;
  // S13: the first of two blocks is used to its end.
  if (!isBlock(pool, other) || (<u32>(blocksOption(pool) == 1) | (blockAt(other).other ^ <u32>block) | (stateOf(other) ^ state ^ (FIRST | SECOND))
    | (state & FIRST) * (bytes % UNIT))) return false;
  if (state == SECOND || maps == 0) return (buffer | maps) == 0;
  return frameExists(buffer) && bufferAt(buffer).owner == (<u32>pool | FRAME_BUFFER) && bufferAt(buffer).first == <u32>block;
}

/** Every buffer has its object. */
function bufferCheck(pool: usize, entry: usize, frame: u32): bool {
  const buffer = changetype<BufferEntry>(entry);
  const first = <usize>buffer.first;
  return (buffer.zeroes | buffer.moreZeroes) == 0 && (buffer.writeback == <u32>first || buffer.writeback == ~(<u32>first)) && isBlock(pool, first)
    && ((stateOf(first) ^ FIRST) | (blockAt(first).buffer ^ frame)) == 0;
}

/** Each free block of a frame that is not isolated is on the list of its units. */
function listsCheck(pool: usize, left: u32): bool {
  let length: u32 = 0;
  for (let list: u32 = 0; list < UNITS; list++) {
    length = listLength(listCell(pool, list), LIST_LINKS, left, <u32>pool | FRAME_SLAB, BLOCK_BYTES);
    // UNSOUND is more than `left`, too.
    if (<u32>(length > left) | (<u32>(length != 0) ^ <u32>(listMask(pool) >> list & 1))) return false;
    for (let block = listHead(pool, list); block != 0; block = listNext(block, LIST_LINKS)) {
      if (stateOf(block) | (unitsOf(block) ^ (list + 1))) return false;
    }
    left -= length;
  }
  return (left | (length ^ reserveFrames(pool)) | <u32>(length > reserveOption(pool))) == 0;
}
