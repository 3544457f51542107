/**
 * The check of a z3fold pool. z3fold-frame.ts shows the layout that it verifies; the
 * allocator is in z3fold.ts.
 */
import { listNext } from '../base/list';
import { LISTS, listHead, soundLength } from '../mem/bitmap-lists';
import { handleCheck, recordBytes, recordIsSound, recordMaps, recordSize, recordWord } from '../mem/handle';
import {
  BOOT_BUMP,
  BOOT_FIRST,
  FRAME_DATA,
  FRAME_HANDLES,
  FRAME_SLAB,
  PAGE_SHIFT,
  boot,
  entryOf,
  entryOwner,
  frameOf,
} from '../mem/layout';
import { POOL_DESCRIPTORS, POOL_HANDLES, POOL_LRU, poolAt, poolOption } from '../mem/pool';
import { slabCheck, slabNext, slabUsed } from '../mem/slab';
import {
  RULE_ENTRY,
  RULE_HANDLE,
  RULE_LIST,
  RULE_LRU,
  RULE_OBJECT,
  RULE_POOL,
  RULE_POOL_COUNT,
  UNSOUND,
  broken,
  isRecord,
  listLength,
} from '../mem/verify';
import {
  BUDDY_MAX,
  CHUNKS,
  DESCRIPTOR_BYTES,
  FIRST,
  GUEST,
  GUESTS,
  HEADER,
  ISOLATED,
  LAST,
  LINKS,
  LRU_LINKS,
  MIDDLE,
  NO_LIST,
  PENDING,
  chunksIn,
  chunksOf,
  descriptorOf,
  isClosed,
  listOf,
  recordIn,
  shapeOf,
  startIn,
  stateOf,
  taken,
} from './z3fold-frame';

/**
 * Verifies every frame, record, list and counter of the pool. Returns 0 or EUCLEAN. It trusts nothing that it reads.
 */
export function check(pool: usize): u32 {
  const poolFrame = <u32>(pool >> PAGE_SHIFT);
  if (poolOption(pool, 0) > 1 || (poolOption(pool, 1) | poolOption(pool, 2)) != 0) {
    return broken(RULE_POOL, poolFrame);
  }
  let result = handleCheck(pool);
  if (result == 0) result = slabCheck(pool + POOL_DESCRIPTORS, DESCRIPTOR_BYTES, FRAME_SLAB);
  if (result != 0) return result;
  let frames: u32 = 0;
  let objects: u32 = 0;
  let isolated: u32 = 0;
  let listed: u32 = 0;
  const bump = boot(BOOT_BUMP);
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const entry = entryOf(frame);
    if (entryOwner(entry) != ((<u32>pool) | FRAME_DATA)) continue;
    const rule = brokenRule(pool, entry, frame);
    if (rule != 0) return broken(rule, frame);
    frames += 1;
    objects += popcnt<u32>(taken(shapeOf(entry)));
    if ((stateOf(entry) & ISOLATED) != 0) isolated += 1;
    if (listOf(entry) != NO_LIST) listed += 1;
  }
  let bytes: u32 = 0;
  let maps: u32 = 0;
  for (let record = slabNext(pool + POOL_HANDLES, 0); record != 0; record = slabNext(pool + POOL_HANDLES, record)) {
    bytes += recordSize(record);
    maps += recordMaps(record);
  }
  // Each buddy has its own handle record, each frame its own descriptor. When the numbers are equal, there are no
  // others.
  const found = poolAt(pool);
  if (
    ((frames ^ found.frames) |
      (frames ^ slabUsed(pool + POOL_DESCRIPTORS)) |
      (objects ^ found.objects) |
      (objects ^ slabUsed(pool + POOL_HANDLES)) |
      (bytes ^ found.liveBytes) |
      (maps ^ found.maps) |
      (isolated ^ found.isolated)) !=
    0
  ) {
    return broken(RULE_POOL_COUNT, poolFrame);
  }
  frames -= isolated;
  if (listLength(pool + POOL_LRU, LRU_LINKS, frames, (<u32>pool) | FRAME_DATA, 0) != frames)
    return broken(RULE_LRU, poolFrame);
  return listsCheck(pool, poolFrame, listed);
}

/** The rule that one frame breaks, apart from list rules; 0 for none. */
function brokenRule(pool: usize, entry: usize, frame: u32): u32 {
  const descriptor = descriptorOf(entry);
  if (!isRecord(descriptor, (<u32>pool) | FRAME_SLAB, DESCRIPTOR_BYTES) || load<u32>(descriptor, 12) != frame)
    return RULE_ENTRY;
  const state = stateOf(entry);
  const shape = shapeOf(entry);
  const isPending = (state & PENDING) != 0;
  const isIsolated = (state & ISOLATED) != 0;
  if (isIsolated && load<u64>(entry, LRU_LINKS) != 0) return RULE_ENTRY;
  if (listOf(entry) == NO_LIST && load<u64>(entry, LINKS) != 0) return RULE_ENTRY;
  // Only an isolated or a pending frame can be empty. A closed frame is never pending.
  if (isPending ? isClosed(shape) : !isIsolated && shape == 0) return RULE_OBJECT;
  const first = chunksIn(shape, FIRST);
  const middle = chunksIn(shape, MIDDLE);
  const last = chunksIn(shape, LAST);
  const start = startIn(shape);
  let chunk: u32 = first > BUDDY_MAX ? 0 : HEADER; // where FIRST begins
  const most = CHUNKS - last;
  if (chunk + first > most || (middle == 0 ? start != 0 : start < chunk + first || start + middle > most))
    return RULE_OBJECT;
  let guests: u32 = 0;
  for (let buddy = FIRST; buddy <= LAST; buddy++) {
    const chunks = chunksIn(shape, buddy);
    const named = load<u32>(descriptor + ((<usize>buddy) << 2));
    if (buddy != FIRST) chunk = buddy == MIDDLE ? start : CHUNKS - chunks;
    if (chunks == 0) {
      if (named != 0) return RULE_OBJECT;
      continue;
    }
    const record = recordIn(entry, buddy);
    if (
      named != (<u32>record) >> 3 ||
      !isRecord(record, (<u32>pool) | FRAME_HANDLES, recordBytes(pool)) ||
      !recordIsSound(record)
    )
      return RULE_HANDLE;
    const word = recordWord(record);
    if (chunksOf(recordSize(record)) != chunks || (word & ~GUEST) != ((frame << 8) | (chunk << 2) | buddy))
      return RULE_HANDLE;
    if ((word & GUEST) != 0) guests += 1;
  }
  return (state & GUESTS) == guests ? 0 : RULE_OBJECT;
}

/** Verifies that each frame is on the right list. */
function listsCheck(pool: usize, poolFrame: u32, listed: u32): u32 {
  for (let list: u32 = 0; list < LISTS; list++) {
    const length = soundLength(pool, list, LINKS, listed, (<u32>pool) | FRAME_DATA, 0);
    if (length == UNSOUND) return broken(RULE_LIST, poolFrame);
    for (let entry = listHead(pool, list); entry != 0; entry = listNext(entry, LINKS)) {
      if (listOf(entry) != list) return broken(RULE_LIST, frameOf(entry));
    }
    listed -= length;
  }
  return listed != 0 ? broken(RULE_LIST, poolFrame) : 0;
}
