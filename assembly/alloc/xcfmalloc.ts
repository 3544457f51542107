/**
 * xcfmalloc: objects in one or two relocatable blocks.
 *
 * What it is. A scatter-gather allocator. Blocks of whole 64-byte units fill a frame
 * without gaps. An object has one or two blocks, which may be in different frames, so
 * it can use small holes that other allocators lose. Every block, free or used, has a
 * descriptor outside the data frames, and a handle refers to the descriptor of the
 * first block of an object. So blocks can move, and compact() moves the blocks of
 * sparse frames into the holes of fuller ones.
 *
 * What it is not. It needs much metadata: a descriptor for every block, free ones
 * included. An object in two blocks cannot be mapped in place; it is mapped through a
 * buffer. And a pool always has frames: it holds a reserve of free frames.
 *
 *   ┌────┬──────────────┬────┬─────────────────┬────┬───────┬────┬──────────────┐
 *   │ 12 │ A, all of it │ 12 │ free, 7 units   │ 12 │ B, 1st│ 12 │ C            │
 *   └────┴──────────────┴────┴─────────────────┴────┴───┬───┴────┴──────────────┘
 *   0                  704                   1152       │ 2112                  4096
 *   ┌────┬────────┬────┬────────────────────────────────│───────────────────────┐
 *   │ 12 │ B, 2nd │ 12 │ free, 58 units           ◄─────┘                       │
 *   └────┴────────┴────┴────────────────────────────────────────────────────────┘
 *
 * Each block has a header of 12 bytes (S1). It stays unused: it exists because the
 * geometry depends on it, and its contents are in the descriptor instead.
 * xcfmalloc-blocks.ts shows the layout of descriptors, frame entries and lists. The free
 * blocks of u units are on list u - 1. The last list, of free frames, is the reserve. A
 * malloc first fills the reserve from the RAM. Then it takes a block that fits exactly,
 * else (for the first of two blocks) the largest smaller one, else the low units of the
 * smallest larger one. A free merges each block with its free neighbours, then frees the
 * frames that the reserve has too many.
 *
 * A frame of type FRAME_RAW is one raw page (page/path.ts): a block of 64 units
 * without a header. It comes from the reserve, like any other free frame.
 *
 * An object in two blocks is mapped through a buffer (mem/map-buffers.ts), which
 * belongs to the descriptor of its first block.
 *
 * Handle: generation | index of the descriptor in its slab frame, 7 bits | slab frame,
 * from the high bits down. The generation has 11 bits at 64 MiB, 7 at 1 GiB, 5 at
 * 4 GiB, never more than 16. So a stale handle is refused until objects with the same
 * first descriptor were freed 2^11 - 1 (or 2^7 - 1, 2^5 - 1) times more; the
 * descriptors of a slab frame are reused in FIFO order.
 *
 * Vital statistics: largest object 4084 bytes; overhead for each block at most 63 + 12
 * bytes in the frame and 32 for the descriptor; malloc and free O(1); density 0.969 on
 * uniform sizes, and after half of the objects were freed, compact() restores it.
 * At most 65535 maps of one object.
 *
 * Option word 0: the most blocks of an object, 2, or 1 as in the text of 2011. Option
 * word 1: the frames of the reserve, 32, at most 1024. With 0, a malloc that finds no
 * block takes one frame for itself.
 *
 * Source: xcfmalloc v1, posted to linux-mm in September 2011, never merged;
 * rules S1..S17 of docs/rules/xvmalloc-xcfmalloc.md. Four defects of the original stay,
 * since the figures depend on them: the one-unit holes that (b) of S11 does not use,
 * the reserve that every malloc fills, the 12-byte header (it contains a debug
 * sentinel), and, with option word 0 = 1, the single block. The other defects are
 * absent: destroy frees everything, a request without a descriptor fails before it
 * changes anything, totals include the reserve. Differences: validated handles, maps,
 * raw pages, a reserve that gives up a frame when a descriptor needs one, reclaim, and
 * the compaction that the original announced (xcfmalloc-compact.ts).
 *
 * Reclaim. The LRU has the frames in the order of the last malloc that placed a block in
 * each; free, map, write and compaction do not change it. The frames of the reserve are
 * never victims. The free blocks of an isolated frame are off the lists, so the objects
 * that a callback allocates go to other frames. When the frame is not freed at the end,
 * its free blocks return to the heads of their lists, in address order. A victim without
 * objects is freed; it does not go to the reserve. The second blocks of evicted objects
 * are in other frames, which may become empty as well: release counts all freed frames.
 */
import { OUT_CURSOR, OUT_LENGTH, OUT_OFFSET, OUT_PLACE_A, OUT_PLACE_B, OUT_SECOND, OUT_SIZE } from '../abi';
import { EBUSY, EINVAL, ENOMEM, ENOSPC } from '../base/errno';
import { listPush } from '../base/list';
import { LISTS, listBit, listHead, listMask, listsFrom, nodesOnList } from '../mem/bitmap-lists';
import { frameFree, needed } from '../mem/frame';
import {
  FRAME_BUFFER,
  FRAME_DATA,
  FRAME_RAW,
  FRAME_SLAB,
  PAGE_MASK,
  PAGE_SHIFT,
  PAGE_SIZE,
  RECORD_FREE,
  entryOf,
  entryOwner,
  entryType,
  frameAddress,
  frameExists,
  frameOf,
} from '../mem/layout';
import { bufferEnd, bufferSpan, bufferTake, bufferWrites } from '../mem/map-buffers';
import {
  POOL_DESCRIPTORS,
  POOL_LRU,
  countIsolated,
  countMap,
  countObject,
  poolAt,
  setPoolOption,
  uncountMap,
  uncountObject,
  victimTake,
} from '../mem/pool';
import { out, setOut } from '../mem/scratch';
import { slabFrames, slabInit, slabNeeds, slabNext } from '../mem/slab';
import { walkFree, walkObject } from '../mem/walk';
import {
  ALL_FREE,
  BLOCK_BYTES,
  BLOCK_SHIFT,
  FIRST,
  FREE,
  HEADER,
  INDEX_BITS,
  ISOLATED,
  LIST_LINKS,
  LRU_LINKS,
  RAW,
  RESERVE_MAX,
  SECOND,
  UNIT_SHIFT,
  DataEntry,
  addressIn,
  bitsOfFrame,
  blockAt,
  blocksOption,
  bytesIn,
  splitBlock,
  dataAt,
  dropRecord,
  enlist,
  enlistFrame,
  entryFor,
  firstOf,
  frameIn,
  generationMask,
  generationOf,
  givenFrames,
  countFree,
  hasObjects,
  headerOf,
  isIsolated,
  occupy,
  pop,
  releaseBlock,
  reserveFrames,
  reserveOption,
  setGivenFrames,
  setHandleLayout,
  slabEnds,
  stateOf,
  takeFrame,
  fillReserve,
  trim,
  trimTo,
  unitsIn,
  unitsOf,
  wordAt,
} from './xcfmalloc-blocks';

export { compact, compactFrom, freeable } from './xcfmalloc-compact';
export { check } from './xcfmalloc-check';

const SIZE_MAX: u32 = PAGE_SIZE - HEADER;
const MAPS_MAX: u32 = 0xffff;

// ── accessors ────────────────────────────────────────────────────────────────

/** S3: bytes of an object. */
function sizeOf(first: usize): u32 {
  const second = <usize>blockAt(first).other;
  return bytesIn(first) + (second != 0 ? bytesIn(second) : 0);
}

/** Address of the bytes of the object that lie in this block. */
function dataOf(block: usize): u32 {
  return <u32>addressIn(blockAt(block).word) + headerOf(block);
}

// ── handles ──────────────────────────────────────────────────────────────────

/* @inline */ function handleOf(pool: usize, first: usize): u32 {
  const frame = <u32>(first >> PAGE_SHIFT);
  const index = ((<u32>first) & PAGE_MASK) >> BLOCK_SHIFT;
  return (((generationOf(pool, entryOf(frame), first) << INDEX_BITS) | index) << bitsOfFrame(pool)) | frame;
}

/** The first block of a live object of this pool; 0 for any other number. */
/* @inline */ function resolve(pool: usize, handle: u32): usize {
  const bits = bitsOfFrame(pool);
  const frame = handle & ((1 << bits) - 1);
  if (!frameExists(frame)) return 0;
  const entry = entryOf(frame);
  if (entryOwner(entry) != ((<u32>pool) | FRAME_SLAB)) return 0;
  const rest = handle >> bits;
  const block = frameAddress(frame) + <usize>((rest & ((1 << INDEX_BITS) - 1)) << BLOCK_SHIFT);
  // A record that was never used is zero, like a free block.
  if ((blockAt(block).word & (RECORD_FREE | FIRST)) != FIRST) return 0;
  return generationOf(pool, entry, block) == rest >> INDEX_BITS ? block : 0;
}

/** Called for each frame of a pool that is destroyed: the handles of live objects go stale. */
export function frameEnds(entry: usize): void {
  if (entryType(entry) == FRAME_SLAB) slabEnds(entry);
}

// ── algorithm ────────────────────────────────────────────────────────────────

/** None: init fills the reserve only as far as there are frames. */
export function initFrames(a: u32, b: u32, c: u32): u32 {
  return 0;
}

/**
 * Fills the reserve, as far as the RAM has frames. EINVAL for options out of range, and for owner bytes: a descriptor
 * has no byte left.
 */
export function init(pool: usize, blocks: u32, reserve: u32, c: u32, ownerBytes: u32): u32 {
  if (blocks - 1 > 1 || reserve > RESERVE_MAX || (c | ownerBytes) != 0) return EINVAL;
  setPoolOption(pool, 0, blocks);
  setPoolOption(pool, 1, reserve);
  setHandleLayout(pool);
  slabInit(pool + POOL_DESCRIPTORS, BLOCK_BYTES, FRAME_SLAB);
  fillReserve(pool, reserveOption(pool));
  return 0;
}

/**
 * S11: chooses a free block for `units` units; it stays on its list. 0 without a frame.
 * @param split true when it may be smaller
 */
function select(pool: usize, units: u32, split: bool): usize {
  const mask = listMask(pool);
  const fitting = listsFrom(mask, units - 1);
  const best = <u32>ctz<u64>(fitting);
  if (split && best != units - 1) {
    // (b) of S11: list 0 is not used.
    const smaller = mask & (listBit(units - 1) - 1) & ~listBit(0);
    if (smaller != 0) return listHead(pool, 63 - <u32>clz<u64>(smaller));
  }
  return fitting != 0 ? listHead(pool, best) : takeFrame(pool);
}

export function largest(pool: usize): u32 {
  return SIZE_MAX;
}

export function hugeSize(pool: usize): u32 {
  return SIZE_MAX;
}

/** Whole units. */
export function rounded(pool: usize, size: u32): u32 {
  return unitsIn(size) << UNIT_SHIFT;
}

/** S10..S15. EINVAL for size 0, ENOSPC above 4084, ENOMEM without a frame. */
export function malloc(pool: usize, size: u32): u32 {
  if (size == 0) return EINVAL;
  if (size > SIZE_MAX) return ENOSPC;
  return place(pool, size, size + HEADER, FIRST);
}

/** A whole frame for a raw page. ENOMEM without a frame. */
export function mallocRaw(pool: usize): u32 {
  return place(pool, PAGE_SIZE, PAGE_SIZE, RAW);
}

/** Places an object of `size` bytes. @param rest `size` and the bytes of the block header @param state FIRST or RAW */
function place(pool: usize, size: u32, rest: u32, state: u32): u32 {
  const frames = poolAt(pool).frames;
  let first: usize = 0;
  let length: u32 = 0;
  let block: usize = 0;
  if (reserveFrames(pool) < reserveOption(pool)) fillReserve(pool, reserveOption(pool));
  while (true) {
    const units = unitsIn(rest);
    block = select(pool, units, first == 0 && state == FIRST && blocksOption(pool) == 2);
    if (block != 0) {
      const extent = unitsOf(block);
      if (extent > units) {
        block = splitBlock(pool, block, units);
      } else {
        pop(pool, block, extent);
        if (extent < units) {
          // S13: the first of two blocks is used completely.
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
    if (state == RAW) dataAt(entryFor(first)).owner = (<u32>pool) | FRAME_RAW;
  }
  countObject(pool, size);
  const slab = entryOf(<u32>(first >> PAGE_SHIFT));
  if (generationOf(pool, slab, first) == generationMask(pool)) countFree(slab, first);
  return handleOf(pool, first);
}

/** S16, S8. EINVAL for a number that is no live handle of the pool, EBUSY while the object is mapped. */
export function free(pool: usize, handle: u32): u32 {
  const first = resolve(pool, handle);
  if (first == 0) return EINVAL;
  if (blockAt(first).maps != 0) return EBUSY;
  countFree(entryOf(<u32>(first >> PAGE_SHIFT)), first);
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

/**
 * The span of an object, without its buffer: address of the first byte, OUT_LENGTH bytes there, the rest of OUT_SIZE at
 * OUT_SECOND (0: no rest).
 */
function parts(first: usize): u32 {
  const second = <usize>blockAt(first).other;
  setOut(OUT_SIZE, sizeOf(first));
  setOut(OUT_LENGTH, bytesIn(first));
  setOut(OUT_SECOND, second != 0 ? dataOf(second) : 0);
  return dataOf(first);
}

/**
 * The span of an object; see parts(). While the object is mapped through a buffer, its
 * bytes are in the buffer. EINVAL.
 * @param writing true when the access changes the object
 */
export function span(pool: usize, handle: u32, writing: bool): u32 {
  const first = resolve(pool, handle);
  if (first == 0) return EINVAL;
  const address = parts(first);
  const buffer = blockAt(first).buffer;
  return buffer == 0 ? address : bufferSpan(buffer, out(OUT_SIZE), writing);
}

/** There are no owner bytes. */
export function ownerOf(pool: usize, handle: u32): usize {
  return 0;
}

/**
 * S17: the place of an object. Returns the frame of its first block; offset of the data in
 * OUT_OFFSET (the header is 12 bytes before; a raw page has none). The frame of the second
 * block is in OUT_PLACE_A, 0 for none, the offset of its header in OUT_PLACE_B. EINVAL.
 */
export function locate(pool: usize, handle: u32): u32 {
  const first = resolve(pool, handle);
  if (first == 0) return EINVAL;
  const second = <usize>blockAt(first).other;
  setOut(OUT_OFFSET, dataOf(first) & PAGE_MASK);
  const word = second != 0 ? blockAt(second).word : 0;
  setOut(OUT_PLACE_A, frameIn(word));
  setOut(OUT_PLACE_B, (<u32>addressIn(word)) & PAGE_MASK);
  return frameIn(blockAt(first).word);
}

// ── mapping ──────────────────────────────────────────────────────────────────

/**
 * Changes the count of mapped blocks in the frames of an object: by 1 when it is mapped, by -1 after its last unmap.
 */
function mapBlocks(first: usize, by: u32): void {
  for (let block = first; block != 0; block = stateOf(block) == FIRST ? <usize>blockAt(block).other : 0) {
    const entry = dataAt(entryFor(block));
    entry.state += by;
  }
}

/**
 * Maps an object: all its bytes are in one piece until unmap; size in OUT_SIZE.
 * An object in two blocks is mapped through a buffer frame, one for all its maps.
 * @param writable rw or wo: the buffer is written back at the last unmap
 * @param discard wo: the buffer starts with zeros
 * @returns the address; EINVAL, ENOMEM without a frame for the buffer, EBUSY at 65535 maps
 */
export function map(pool: usize, handle: u32, writable: bool, discard: bool): u32 {
  const first = resolve(pool, handle);
  if (first == 0) return EINVAL;
  const maps = <u32>blockAt(first).maps;
  if (maps == MAPS_MAX) return EBUSY;
  let address = parts(first);
  if (out(OUT_SECOND) != 0) {
    let buffer = blockAt(first).buffer;
    if (buffer == 0) {
      buffer = bufferTake(pool, first, 0, address, out(OUT_SIZE), discard);
      if (buffer == 0) return ENOMEM;
      blockAt(first).buffer = buffer;
    }
    if (writable) bufferWrites(buffer);
    address = <u32>frameAddress(buffer);
  }
  if (maps == 0) mapBlocks(first, 1);
  blockAt(first).maps = <u16>(maps + 1);
  countMap(pool);
  return address;
}

/** Ends one map. EINVAL also for an object that is not mapped. */
export function unmap(pool: usize, handle: u32): u32 {
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
  bufferEnd(buffer, address, out(OUT_SIZE));
  return 0;
}

// ── reclaim ──────────────────────────────────────────────────────────────────

/**
 * Takes the least recently used frame without a block of a mapped object off all lists. Returns its number, 0 for none.
 */
export function isolate(pool: usize): u32 {
  // While a frame is on the LRU, its state word is the count of blocks of mapped objects.
  const entry = victimTake(pool, LRU_LINKS, offsetof<DataEntry>('state'));
  if (entry == 0) return 0;
  dataAt(entry).state = ISOLATED;
  enlistFrame(pool, entry, false);
  return frameOf(entry);
}

/** Frame entry of a victim of this pool, 0 for any other number. */
function victimEntry(pool: usize, victim: u32): usize {
  if (!frameExists(victim)) return 0;
  const entry = entryOf(victim);
  return hasObjects(pool, entry) && isIsolated(entry) ? entry : 0;
}

/**
 * The handle of the first object with a block in a victim, from unit `cursor` on (0: from
 * the start), 0 for none; the next cursor in OUT_CURSOR. An object with both blocks in the
 * victim is reported once, at the lower block. EINVAL.
 */
export function victimNext(pool: usize, victim: u32, cursor: u32): u32 {
  const entry = victimEntry(pool, victim);
  if (entry == 0) return EINVAL;
  const base = wordAt(victim, 0);
  for (let block = <usize>dataAt(entry).first; block != 0; block = blockAt(block).right) {
    const at = blockAt(block).word - base;
    if (stateOf(block) == FREE || at < wordAt(0, cursor)) continue;
    const other = <usize>blockAt(block).other;
    // Already reported when the other block is in this frame too, and lower.
    if (other != 0 && blockAt(other).word - base < at) continue;
    setOut(OUT_CURSOR, (at >> 2) + 1);
    return handleOf(pool, firstOf(block));
  }
  return 0;
}

/**
 * Ends the reclaim of a victim. Its frame is freed when it is empty; otherwise it goes
 * to the front of the LRU. Returns the frames that the pool has freed since the victim
 * was isolated and that no release has counted yet. EINVAL.
 */
export function release(pool: usize, victim: u32): u32 {
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

/** There is no deferred work. */
export function runDeferred(pool: usize, force: u32): u32 {
  return 0;
}

// ── statistics ───────────────────────────────────────────────────────────────

/** A row for each list. */
export function tables(pool: usize): u32 {
  return LISTS;
}

/**
 * A row has one word: the number of free blocks on a list, of list + 1 units; the last list is the reserve. EINVAL
 * after it.
 */
export function table(pool: usize, nth: u32, to: usize): u32 {
  if (nth >= LISTS) return EINVAL;
  store<u32>(to, nodesOnList(pool, nth, LIST_LINKS));
  return 0;
}

export function descriptorFrames(pool: usize): u32 {
  return slabFrames(pool + POOL_DESCRIPTORS);
}

export function ownsFrames(): u32 {
  return (1 << FRAME_SLAB) | (1 << FRAME_DATA) | (1 << FRAME_RAW) | (1 << FRAME_BUFFER);
}

/** Number of objects in two blocks. */
export function spanning(pool: usize): u32 {
  const cache = pool + POOL_DESCRIPTORS;
  let spanning: u32 = 0;
  for (let block = slabNext(cache, 0); block != 0; block = slabNext(cache, block)) {
    if (stateOf(block) == SECOND) spanning += 1;
  }
  return spanning;
}

// ── walk ─────────────────────────────────────────────────────────────────────

/**
 * Reports the contents of a frame. An object in two blocks appears once for each block, with the part in that block.
 */
export function walk(pool: usize, frame: u32): void {
  for (let block = <usize>dataAt(entryOf(frame)).first; block != 0; block = blockAt(block).right) {
    if (stateOf(block) == FREE) walkFree((<u32>addressIn(blockAt(block).word)) & PAGE_MASK, blockAt(block).bytes);
    else walkObject(handleOf(pool, firstOf(block)), dataOf(block) & PAGE_MASK, bytesIn(block));
  }
}
