/**
 * The check of an xcfmalloc pool. xcfmalloc-blocks.ts shows the layout that it
 * verifies; the allocator is in xcfmalloc.ts.
 */
import { listNext } from '../base/list';
import { listHead, soundLength } from '../mem/bitmap-lists';
import {
  BOOT_BUMP,
  BOOT_FIRST,
  FRAME_BUFFER,
  FRAME_RAW,
  FRAME_SLAB,
  PAGE_SHIFT,
  PAGE_SIZE,
  RECORD_FREE,
  SLAB_FRESH,
  boot,
  entryOf,
  entryOwner,
  entryType,
  frameAddress,
} from '../mem/layout';
import { bufferIsSound, bufferObject, bufferWord, isBufferOf } from '../mem/map-buffers';
import { POOL_DESCRIPTORS, POOL_HANDLES, POOL_LRU, POOL_OPTIONS, poolAt } from '../mem/pool';
import { pageBuffer } from '../mem/scratch';
import { slabCheck, slabUsed } from '../mem/slab';
import {
  FRAME_EITHER,
  RULE_LIST,
  RULE_LRU,
  RULE_OBJECT,
  RULE_POOL,
  RULE_POOL_COUNT,
  RULE_SLAB_FREE,
  UNSOUND,
  broken,
  isRecord,
  listLength,
} from '../mem/verify';
import {
  BLOCK_BYTES,
  FIRST,
  FREE,
  HEADER,
  ISOLATED,
  LIST_LINKS,
  LRU_LINKS,
  RAW,
  RESERVE_MAX,
  SECOND,
  UNIT,
  UNITS,
  addUsedUnits,
  blockAt,
  blocksOption,
  bytesIn,
  dataAt,
  firstOf,
  generationMask,
  generationOf,
  givenFrames,
  hasHandleLayout,
  hasObjects,
  isIsolated,
  isNewMaximum,
  reserveFrames,
  reserveOption,
  stateOf,
  unitMask,
  unitsOf,
  usedUnits,
  wordAt,
} from './xcfmalloc-blocks';

/**
 * A copy of the pool header, in scratch. The check subtracts everything that it finds
 * in the frames, so the counters must be zero at the end. Three words are used as
 * counters of the check instead.
 */
@unmanaged
class HeaderCopy {
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
 * Verifies every block, frame, list and counter of the pool. Returns 0 or EUCLEAN. It trusts nothing that it reads.
 * (`|` in place of `||` makes shorter code here; the order of these tests does not matter.)
 */
export function check(pool: usize): u32 {
  const copy = pageBuffer();
  const rest = changetype<HeaderCopy>(copy);
  let rule = RULE_POOL;
  if (
    ((<u32>(blocksOption(pool) - 1 > 1)) |
      (<u32>(reserveOption(pool) > RESERVE_MAX)) |
      (poolAt(pool).tableFrames ^ 1) |
      (<u32>!hasHandleLayout(pool)) |
      (<u32>(
        ((load<u64>(pool, POOL_OPTIONS + 8) | load<u64>(pool, POOL_HANDLES) | load<u64>(pool, POOL_HANDLES + 8)) != 0)
      ))) ==
    0
  ) {
    let result = slabCheck(pool + POOL_DESCRIPTORS, BLOCK_BYTES, FRAME_SLAB);
    if (result == 0) result = freeDescriptorsCheck(pool);
    memory.copy(copy, pool, PAGE_SIZE);
    memory.fill(copy + offsetof<HeaderCopy>('listed'), 0, 12);
    const bump = boot(BOOT_BUMP);
    for (let frame = boot(BOOT_FIRST); frame < bump && result == 0; frame++) {
      const entry = entryOf(frame);
      const sound = hasObjects(pool, entry)
        ? frameCheck(pool, entry, frame, copy)
        : entryOwner(entry) != ((<u32>pool) | FRAME_BUFFER) || bufferCheck(pool, frame);
      if (!sound) result = broken(RULE_OBJECT, frame);
    }
    if (result != 0) return result;
    rule = RULE_POOL_COUNT;
    if (
      (rest.frames |
        rest.objects |
        rest.bytes |
        rest.maps |
        rest.isolated |
        usedUnits(copy) |
        (rest.blocks ^ slabUsed(pool + POOL_DESCRIPTORS)) |
        (poolAt(pool).isolated == 0 ? givenFrames(pool) : 0)) ==
      0
    ) {
      rule = RULE_LRU;
      if (listLength(pool + POOL_LRU, LRU_LINKS, rest.onLru, (<u32>pool) | FRAME_EITHER, 0) == rest.onLru) {
        rule = RULE_LIST;
        if (listsCheck(pool, rest.listed)) return 0;
      }
    }
  }
  return broken(rule, <u32>(pool >> PAGE_SHIFT));
}

/** True when an address (from anywhere) is that of a descriptor in use. */
function isBlock(pool: usize, block: usize): bool {
  return isRecord(block, (<u32>pool) | FRAME_SLAB, BLOCK_BYTES);
}

/**
 * True when blocks fill a frame without gaps, no two free blocks are neighbours, and the frame entry matches the
 * blocks.
 */
function frameCheck(pool: usize, at: usize, frame: u32, copy: usize): bool {
  const entry = dataAt(at);
  const rest = changetype<HeaderCopy>(copy);
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
    if (
      (<u32>(extent == 0)) |
      (<u32>(units > UNITS)) |
      (<u32>((state | last) == FREE)) |
      (blockAt(block).left ^ (<u32>left)) |
      (blockAt(block).word ^ (word | state)) |
      (<u32>((state == RAW) != (entryType(at) == FRAME_RAW)))
    )
      return false;
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
  const onLru = (<u32>(used != 0)) & ~isolated;
  rest.onLru += onLru;
  rest.frames -= 1;
  rest.isolated -= isolated;
  addUsedUnits(copy, 0 - used);
  return (
    ((<u32>block) |
      (entry.state ^ (mapped | (isolated * ISOLATED))) |
      (<u32>(entry.free != free)) |
      (<u32>((load<u64>(at, LRU_LINKS) != 0) != (onLru != 0)))) ==
    0
  );
}

/**
 * Verifies the free descriptors in the slab: their maps and frees, which the next block with such a descriptor relies
 * on.
 */
function freeDescriptorsCheck(pool: usize): u32 {
  const bump = boot(BOOT_BUMP);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const slab = entryOf(frame);
    if (entryOwner(slab) != ((<u32>pool) | FRAME_SLAB)) continue;
    const fresh = <u32>load<u16>(slab + SLAB_FRESH);
    for (let at: u32 = 0; at < fresh; at += BLOCK_BYTES) {
      const block = frameAddress(frame) + <usize>at;
      if ((blockAt(block).word & RECORD_FREE) != 0 && (<u32>blockAt(block).maps != 0 || !hasValidFrees(slab, block)))
        return broken(RULE_SLAB_FREE, frame);
    }
  }
  return 0;
}

/** True when both counts of the frees of a descriptor agree, and are not above the highest count of the slab frame. */
/* @inline */ function hasValidFrees(slab: usize, block: usize): bool {
  const frees = blockAt(block).frees;
  return blockAt(block).freesAgain == frees && !isNewMaximum(slab, frees);
}

/** True when the descriptor of a block is correct: size, frees, the other block of the object, the buffer. */
function isSound(pool: usize, block: usize, state: u32): bool {
  const bytes = <u32>blockAt(block).bytes;
  const maps = <u32>blockAt(block).maps;
  const slab = entryOf(<u32>(block >> PAGE_SHIFT));
  if (!hasValidFrees(slab, block)) return false;
  if ((state & FIRST) != 0 && generationOf(pool, slab, block) == generationMask(pool)) return false;
  if (state == FREE) return ((bytes % UNIT) | maps) == 0;
  if (state == RAW) return ((<u64>(bytes ^ PAGE_SIZE)) | load<u64>(block, LIST_LINKS)) == 0;
  const other = <usize>blockAt(block).other;
  const buffer = blockAt(block).buffer;
  if (bytes <= HEADER) return false;
  if (other == 0) return (buffer | (state ^ FIRST)) == 0;
  // S13: the first of two blocks is full.
  if (
    !isBlock(pool, other) ||
    (<u32>(blocksOption(pool) == 1)) |
      (blockAt(other).other ^ (<u32>block)) |
      (stateOf(other) ^ state ^ (FIRST | SECOND)) |
      ((state & FIRST) * (bytes % UNIT))
  )
    return false;
  if (state == SECOND || maps == 0) return (buffer | maps) == 0;
  return isBufferOf(pool, buffer, block);
}

/** True when a buffer belongs to an object. */
function bufferCheck(pool: usize, frame: u32): bool {
  const first = bufferObject(frame);
  return (
    bufferIsSound(frame) &&
    bufferWord(frame) == 0 &&
    isBlock(pool, first) &&
    ((stateOf(first) ^ FIRST) | (blockAt(first).buffer ^ frame)) == 0
  );
}

/** True when each free block is on the list of its units; only the free blocks of isolated frames are on no list. */
function listsCheck(pool: usize, left: u32): bool {
  let length: u32 = 0;
  for (let list: u32 = 0; list < UNITS; list++) {
    length = soundLength(pool, list, LIST_LINKS, left, (<u32>pool) | FRAME_SLAB, BLOCK_BYTES);
    if (length == UNSOUND) return false;
    for (let block = listHead(pool, list); block != 0; block = listNext(block, LIST_LINKS)) {
      if (stateOf(block) | (unitsOf(block) ^ (list + 1))) return false;
    }
    left -= length;
  }
  return (left | (length ^ reserveFrames(pool)) | (<u32>(length > reserveOption(pool)))) == 0;
}
