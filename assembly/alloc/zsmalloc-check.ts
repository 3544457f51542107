/**
 * The check of a zsmalloc pool. zsmalloc-zspage.ts shows the layout that it verifies;
 * the allocator is in zsmalloc.ts.
 */
import { listNext } from '../base/list';
import {
  BUFFERED,
  DEFERRED,
  handleCheck,
  recordBytes,
  recordIsSound,
  recordMaps,
  recordSize,
  recordWord,
} from '../mem/handle';
import {
  BOOT_BUMP,
  BOOT_FIRST,
  FRAME_BUFFER,
  FRAME_DATA,
  FRAME_HANDLES,
  FRAME_POOL_MORE,
  FRAME_SLAB,
  PAGE_MASK,
  PAGE_SHIFT,
  boot,
  entryOf,
  entryOwner,
  frameExists,
  frameOf,
} from '../mem/layout';
import { bufferIsSound, bufferObject, bufferWord, isBufferOf } from '../mem/map-buffers';
import { POOL_DESCRIPTORS, POOL_HANDLES, POOL_LRU, poolAt, poolOption } from '../mem/pool';
import { blockBuffer } from '../mem/scratch';
import { slabCheck, slabNext, slabOwner, slabRecordBytes, slabUsed } from '../mem/slab';
import {
  RULE_BUFFER,
  RULE_CLASS,
  RULE_ENTRY,
  RULE_HANDLE,
  RULE_LIST,
  RULE_LRU,
  RULE_MAPS,
  RULE_POOL,
  RULE_POOL_COUNT,
  RULE_SLOT,
  RULE_ZSPAGE,
  ANY_SIZE,
  UNSOUND,
  broken,
  isRecord,
  listLength,
  ringLength,
} from '../mem/verify';
import {
  CLASS_BYTES,
  CLASS_COUNT,
  CLASS_END,
  CLASS_FRAMES,
  CLASS_FRAMES_MAX,
  GROUPS,
  RING_LINKS,
  RULE_PERCENT,
  classAt,
  classFor,
  classFrames,
  layClasses,
  ringOf,
} from './zsmalloc-classes';
import {
  CHAIN_MAX,
  ISOLATED,
  LRU_LINKS,
  NEXT_SHIFT,
  NONE,
  ON_LRU,
  SLAB_COUNT,
  TAGS,
  TAG_DEFERRED,
  TAG_USED,
  classOf,
  descriptorOf,
  frameInChain,
  freedOf,
  freshOf,
  groupFor,
  groupOf,
  inuseOf,
  locationOf,
  nextZspage,
  ordinalOf,
  placeIn,
  ringNext,
  sizeClass,
  slabAt,
  slabBytes,
  slabOf,
  slotOf,
  slotWord,
  stateOf,
  straddles,
  wordAt,
  zspageAt,
  zspageIn,
} from './zsmalloc-zspage';

/**
 * Verifies classes, zspages, slots, records, buffers, lists and counters. Returns 0 or EUCLEAN. It trusts nothing that
 * it reads.
 */
export function check(pool: usize): u32 {
  const poolFrame = <u32>(pool >> PAGE_SHIFT);
  const chain = poolOption(pool, 0);
  const rule = poolOption(pool, 1);
  const groups = poolOption(pool, 2);
  if (chain < 1 || chain > CHAIN_MAX || rule > RULE_PERCENT || (groups != 12 && groups != 4)) {
    return broken(RULE_POOL, poolFrame);
  }
  if ((load<u64>(pool, POOL_DESCRIPTORS) | load<u64>(pool, POOL_DESCRIPTORS + 8)) != 0)
    return broken(RULE_POOL, poolFrame);
  let result = handleCheck(pool);
  for (let index: u32 = 0; index < SLAB_COUNT; index++) {
    if (result == 0) result = slabCheck(slabAt(pool, index), slabBytes(index), FRAME_SLAB);
  }
  if (result == 0) result = classesCheck(pool, poolFrame, chain, rule);
  if (result == 0) result = framesCheck(pool, poolFrame);
  if (result == 0) result = zspagesCheck(pool, poolFrame);
  if (result == 0) result = recordsCheck(pool, poolFrame);
  return result;
}

/** Verifies that the class table is the one that belongs to the options. */
function classesCheck(pool: usize, poolFrame: u32, chain: u32, rule: u32): u32 {
  const frames = classFrames(chain, rule);
  if (poolAt(pool).tableFrames != 1 + frames) return broken(RULE_POOL, poolFrame);
  for (let i: u32 = 0; i < CLASS_FRAMES_MAX; i++) {
    const address = load<u32>(pool + CLASS_FRAMES + ((<usize>i) << 2));
    if (i >= frames) {
      if (address != 0) return broken(RULE_POOL, poolFrame);
      continue;
    }
    const frame = address >> PAGE_SHIFT;
    if (
      (address & PAGE_MASK) != 0 ||
      !frameExists(frame) ||
      entryOwner(entryOf(frame)) != ((<u32>pool) | FRAME_POOL_MORE)
    ) {
      return broken(RULE_POOL, poolFrame);
    }
    for (let j: u32 = 0; j < i; j++) {
      if (load<u32>(pool + CLASS_FRAMES + ((<usize>j) << 2)) == address) return broken(RULE_POOL, poolFrame);
    }
  }
  return layClasses(pool, chain, rule, true) ? 0 : broken(RULE_CLASS, poolFrame);
}

/** Verifies every zspage with its frames and slots, then the counters and lists of each class. */
function zspagesCheck(pool: usize, poolFrame: u32): u32 {
  const sums = blockBuffer(); // allocated and used objects of each class
  const count = load<u32>(pool + CLASS_COUNT);
  memory.fill(sums, 0, <usize>(count << 3));
  let isolated: u32 = 0;
  let onLru: u32 = 0;
  let listed: u32 = 0;
  let frames: u32 = 0;
  let descriptors: u32 = 0;
  for (let zspage = nextZspage(pool, 0); zspage != 0; zspage = nextZspage(pool, zspage)) {
    const result = zspageCheck(pool, zspage, count);
    if (result != 0) return result;
    descriptors += 1;
    const cls = classOf(pool, zspage);
    const state = stateOf(zspage);
    const sum = sums + ((<usize>ordinalOf(zspage)) << 3);
    store<u32>(sum, load<u32>(sum) + <u32>sizeClass(cls).objects);
    store<u32>(sum, load<u32>(sum, 4) + inuseOf(zspage), 4);
    frames += <u32>sizeClass(cls).pages;
    if ((state & ISOLATED) != 0) isolated += 1;
    else listed += 1;
    if ((state & ON_LRU) != 0) onLru += 1;
  }
  // Each zspage has its own descriptor. When the numbers are equal, there are no other descriptors.
  for (let index: u32 = 0; index < SLAB_COUNT; index++) descriptors -= slabUsed(slabAt(pool, index));
  if (descriptors != 0 || frames != poolAt(pool).frames || isolated != poolAt(pool).isolated)
    return broken(RULE_POOL_COUNT, poolFrame);
  for (let ordinal: u32 = 0; ordinal < count; ordinal++) {
    const cls = classAt(pool, ordinal);
    const classFrame = <u32>(cls >> PAGE_SHIFT);
    const sum = sums + ((<usize>ordinal) << 3);
    if (sizeClass(cls).allocated != load<u32>(sum) || sizeClass(cls).used != load<u32>(sum, 4)) {
      return broken(RULE_CLASS, classFrame);
    }
    for (let group: u32 = 0; group < GROUPS; group++) {
      const ring = ringOf(cls, group);
      const length = ringLength(ring, RING_LINKS, listed, (<u32>pool) | FRAME_DATA);
      if (length == UNSOUND) return broken(RULE_LIST, classFrame);
      if ((length != 0) != ((((<u32>sizeClass(cls).groups) >> group) & 1) != 0)) return broken(RULE_LIST, classFrame);
      for (let zspage = ringNext(ring); zspage != ring; zspage = ringNext(zspage)) {
        // The frame entry of a frame that is not the first of its zspage has word 0. Group 0 is always empty after a
        // call.
        if (ordinalOf(zspage) != ordinal || groupOf(zspage) != group || group == 0)
          return broken(RULE_LIST, frameOf(zspage));
      }
      listed -= length;
    }
    if ((<u32>sizeClass(cls).groups) >> GROUPS != 0) return broken(RULE_LIST, classFrame);
    for (let at = CLASS_END; at < CLASS_BYTES; at += 4) {
      if (load<u32>(cls + <usize>at) != 0) return broken(RULE_LIST, classFrame);
    }
  }
  if (listed != 0) return broken(RULE_LIST, poolFrame);
  if (listLength(pool + POOL_LRU, LRU_LINKS, onLru, (<u32>pool) | FRAME_SLAB, ANY_SIZE) != onLru)
    return broken(RULE_LRU, poolFrame);
  for (
    let descriptor = <usize>load<u32>(pool + POOL_LRU);
    descriptor != 0;
    descriptor = listNext(descriptor, LRU_LINKS)
  ) {
    if ((stateOf(zspageIn(descriptor)) & ON_LRU) == 0) return broken(RULE_LRU, load<u32>(descriptor));
  }
  return 0;
}

/** Verifies one zspage (state, frames, slots) whose descriptor is already verified. */
function zspageCheck(pool: usize, zspage: usize, classes: u32): u32 {
  const where = frameOf(zspage);
  const page = zspageAt(zspage);
  if (ordinalOf(zspage) >= classes || page.zero != 0) return broken(RULE_ZSPAGE, where);
  const cls = classOf(pool, zspage);
  const descriptor = descriptorOf(zspage);
  const objects = <u32>sizeClass(cls).objects;
  const inuse = inuseOf(zspage);
  const fresh = freshOf(zspage);
  const state = stateOf(zspage);
  if (inuse > objects || fresh > objects || inuse > fresh || slabOwner(descriptor) != slabOf(pool, cls))
    return broken(RULE_ZSPAGE, where);
  if ((state & ISOLATED) != 0) {
    if (state != ISOLATED) return broken(RULE_ZSPAGE, where);
  } else if (inuse == 0 || (state & ~ON_LRU) != groupFor(pool, cls, inuse)) return broken(RULE_ZSPAGE, where);
  if ((state & ISOLATED) != 0 && (page.previous | page.next) != 0) return broken(RULE_LIST, where);
  if ((state & ON_LRU) == 0 && (load<u32>(descriptor, LRU_LINKS) | load<u32>(descriptor, LRU_LINKS + 4)) != 0)
    return broken(RULE_LRU, where);
  for (let place: u32 = 1; place < <u32>sizeClass(cls).pages; place++) {
    const frame = frameInChain(zspage, place);
    if (!frameExists(frame)) return broken(RULE_ZSPAGE, where);
    const entry = zspageAt(entryOf(frame));
    if (entry.owner != ((<u32>pool) | FRAME_DATA) || entry.descriptor != <u32>descriptor || frame == where)
      return broken(RULE_ENTRY, frame);
  }
  const end = descriptor + <usize>slabRecordBytes(slabOf(pool, cls));
  for (let at = wordAt(zspage, cls, fresh); at < end; at += 4) {
    if (load<u32>(at) != 0) return broken(RULE_ZSPAGE, where);
  }
  return slotsCheck(pool, zspage, cls);
}

/** Verifies the slots of a zspage whose frames are already verified. */
function slotsCheck(pool: usize, zspage: usize, cls: usize): u32 {
  const where = frameOf(zspage);
  const page = zspageAt(zspage);
  const fresh = freshOf(zspage);
  const size = <u32>sizeClass(cls).size;
  let used: u32 = 0;
  let free: u32 = 0;
  let mapped: u32 = 0;
  for (let slot: u32 = 0; slot < fresh; slot++) {
    const word = slotWord(zspage, cls, slot);
    const tag = word & TAGS;
    if (tag == 0) {
      free += 1;
      continue;
    }
    if (tag == TAGS || (tag == TAG_DEFERRED && (stateOf(zspage) & ISOLATED) == 0)) return broken(RULE_SLOT, where);
    const record = <usize>(word & ~TAGS);
    if (!isRecord(record, (<u32>pool) | FRAME_HANDLES, recordBytes(pool))) return broken(RULE_SLOT, where);
    const place = locationOf(zspage, slot) | (tag == TAG_DEFERRED ? DEFERRED : 0);
    if (wordOfRecord(pool, record) != place) return broken(RULE_SLOT, where);
    if (classFor(pool, recordSize(record)) != cls) return broken(RULE_HANDLE, where);
    if (tag == TAG_USED) used += 1;
    if (recordMaps(record) != 0) mapped += 1;
    if (
      recordMaps(record) != 0 &&
      (tag == TAG_DEFERRED || ((recordWord(record) & BUFFERED) != 0) != straddles(size, slot))
    ) {
      return broken(RULE_MAPS, where);
    }
  }
  if (used != inuseOf(zspage)) return broken(RULE_ZSPAGE, where);
  if (mapped != <u32>page.mapped) return broken(RULE_MAPS, where);
  // A list that ends after exactly `free` steps has visited no slot twice.
  let slot = freedOf(zspage);
  for (; free != 0; free--) {
    if (slot >= fresh) return broken(RULE_SLOT, where);
    const word = slotWord(zspage, cls, slot);
    if ((word & TAGS) != 0) return broken(RULE_SLOT, where);
    slot = word >> NEXT_SHIFT;
  }
  return slot == NONE ? 0 : broken(RULE_SLOT, where);
}

/**
 * Word 0 of a record; while it has a buffer, the word in the frame entry of the buffer. All ones when the buffer is
 * wrong.
 */
function wordOfRecord(pool: usize, record: usize): u32 {
  const word = recordWord(record);
  if ((word & BUFFERED) == 0) return word;
  const frame = word & ~BUFFERED;
  return recordMaps(record) != 0 && isBufferOf(pool, frame, record) ? bufferWord(frame) : 0xffffffff;
}

/** Verifies that every data frame has a descriptor and is in its zspage, and that every buffer has its record. */
function framesCheck(pool: usize, poolFrame: u32): u32 {
  const classes = load<u32>(pool + CLASS_COUNT);
  const bump = boot(BOOT_BUMP);
  let frames: u32 = 0;
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    const owner = entryOwner(entryOf(frame));
    if (owner == ((<u32>pool) | FRAME_DATA)) {
      const entry = zspageAt(entryOf(frame));
      frames += 1;
      if (!isRecord(entry.descriptor, (<u32>pool) | FRAME_SLAB, ANY_SIZE)) return broken(RULE_ENTRY, frame);
      const first = load<u32>(entry.descriptor);
      if (first == frame) continue;
      if (!frameExists(first)) return broken(RULE_ENTRY, frame);
      const zspage = entryOf(first);
      if (
        entryOwner(zspage) != owner ||
        descriptorOf(zspage) != <usize>entry.descriptor ||
        ordinalOf(zspage) >= classes
      )
        return broken(RULE_ENTRY, frame);
      const pages = <u32>sizeClass(classOf(pool, zspage)).pages;
      if (placeIn(zspage, pages, frame) >= pages) return broken(RULE_ENTRY, frame);
      if ((entry.word | entry.slots | entry.previous | entry.next | (<u32>entry.mapped) | (<u32>entry.zero)) != 0)
        return broken(RULE_ENTRY, frame);
    } else if (owner == ((<u32>pool) | FRAME_BUFFER)) {
      const record = bufferObject(frame);
      if (!bufferIsSound(frame) || !isRecord(record, (<u32>pool) | FRAME_HANDLES, recordBytes(pool)))
        return broken(RULE_BUFFER, frame);
      if (recordWord(record) != (BUFFERED | frame)) return broken(RULE_BUFFER, frame);
    }
  }
  return frames == poolAt(pool).frames ? 0 : broken(RULE_POOL_COUNT, poolFrame);
}

/** Verifies that every used record belongs to one slot, and that the counters of the pool are right. */
function recordsCheck(pool: usize, poolFrame: u32): u32 {
  const cache = pool + POOL_HANDLES;
  let objects: u32 = 0;
  let bytes: u32 = 0;
  let maps: u32 = 0;
  for (let record = slabNext(cache, 0); record != 0; record = slabNext(cache, record)) {
    const where = <u32>(record >> PAGE_SHIFT);
    const place = wordOfRecord(pool, record);
    const deferred = (place & DEFERRED) != 0;
    const frame = (place & ~DEFERRED) >> 8;
    if (!frameExists(frame) || entryOwner(entryOf(frame)) != ((<u32>pool) | FRAME_DATA))
      return broken(RULE_HANDLE, where);
    const zspage = entryOf(frame);
    if (load<u32>(descriptorOf(zspage)) != frame) return broken(RULE_HANDLE, where);
    const cls = classOf(pool, zspage);
    const slot = slotOf(place);
    if (slot >= freshOf(zspage)) return broken(RULE_HANDLE, where);
    if (slotWord(zspage, cls, slot) != ((<u32>record) | (deferred ? TAG_DEFERRED : TAG_USED)))
      return broken(RULE_HANDLE, where);
    if (!recordIsSound(record)) return broken(RULE_HANDLE, where);
    maps += recordMaps(record);
    if (deferred) continue;
    objects += 1;
    bytes += recordSize(record);
  }
  if (objects != poolAt(pool).objects || bytes != poolAt(pool).liveBytes) return broken(RULE_POOL_COUNT, poolFrame);
  return maps == poolAt(pool).maps ? 0 : broken(RULE_MAPS, poolFrame);
}
