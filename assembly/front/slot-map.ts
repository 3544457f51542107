/**
 * Slot map: which slots of a backing store are in use.
 *
 * Two bits for each slot, in frames of the RAM. Such a frame is allocated before
 * the first of its slots is needed, because writeback is there to free memory and
 * must not need any.
 *
 *   state  0 free            1 used: it holds a page, or is being written
 *          2 to be freed at the store   3 being freed at the store
 *
 *   root, 28 bytes in the header of the front end
 *     0 slots of the store   4 frame with the frame numbers   8 frames (that one too)
 *    12 slots used, to be freed or being freed     16 slots to be freed
 *    20 where the search for a free slot goes on   24 where that for one to free goes on
 *
 *   frame with the frame numbers: 1024 words ──► maps, 16,384 slots each
 *   frame entry of a map   8 slots that are not free    12 slots to be freed    16 its place + 1
 *
 * Costs: a quarter of a byte for a slot. There are up to 2^24 slots (64 GiB of
 * pages). Free slots are taken in ascending order, from the last one taken on, so
 * that pages that are written together lie together in the store.
 */
import { NO_SLOT } from '../abi';
import { frameAlloc, frameFree } from '../mem/frame';
import {
  BOOT_BUMP,
  BOOT_FIRST,
  FRAME_SLOTS,
  PAGE_MASK,
  PAGE_SHIFT,
  boot,
  entryOf,
  entryOwner,
  frameAddress,
  frameExists,
} from '../mem/layout';
import { RULE_SLOTS, broken } from '../mem/verify';

export const SLOT_FREE: u32 = 0;
export const SLOT_USED: u32 = 1;
export const SLOT_TO_FREE: u32 = 2;
export const SLOT_FREEING: u32 = 3;

const MAP_BITS: u32 = 14;
const MAP_SLOTS: u32 = 1 << MAP_BITS;
const MAPS: u32 = 1024;
export const SLOTS_MAX: u32 = MAPS << MAP_BITS;


@unmanaged
class Root {
  slots: u32;
  top: u32;
  frames: u32;
  taken: u32;
  toFree: u32;
  freeHint: u32;
  toFreeHint: u32;
}


@unmanaged
class MapEntry {
  owner: u32;
  generations: u32;
  taken: u32;
  toFree: u32;
  place: u32;
}

/* @inline */ function rootAt(root: usize): Root {
  return changetype<Root>(root);
}

/* @inline */ function mapEntry(frame: u32): MapEntry {
  return changetype<MapEntry>(entryOf(frame));
}

/* @inline */ function ownerOf(root: usize): u32 {
  return ((<u32>root) & ~PAGE_MASK) | FRAME_SLOTS;
}

/** Frame number of the nth map, 0 when it does not exist. */
function mapFrame(root: usize, nth: u32): u32 {
  return load<u32>(frameAddress(rootAt(root).top) + <usize>(nth << 2));
}

/** How many slots of the store the nth map covers. */
function mapSlots(root: usize, nth: u32): u32 {
  return min(rootAt(root).slots - (nth << MAP_BITS), MAP_SLOTS);
}

/** How many maps cover all slots. */
function mapsOf(root: usize): u32 {
  return (rootAt(root).slots + MAP_SLOTS - 1) >> MAP_BITS;
}

function addMap(root: usize, nth: u32): bool {
  const frame = frameAlloc(ownerOf(root));
  if (frame == 0) return false;
  mapEntry(frame).place = nth + 1;
  store<u32>(frameAddress(rootAt(root).top) + <usize>(nth << 2), frame);
  rootAt(root).frames += 1;
  return true;
}

/** Makes a slot map at a root of zeros. False when two frames are not available. */
export function slotMapStart(root: usize, slots: u32): bool {
  const top = frameAlloc(ownerOf(root));
  if (top == 0) return false;
  rootAt(root).slots = min(slots, SLOTS_MAX);
  rootAt(root).top = top;
  rootAt(root).frames = 1;
  if (addMap(root, 0)) return true;
  frameFree(top);
  memory.fill(root, 0, offsetof<Root>());
  return false;
}

/* @inline */ export function slotMapFrames(root: usize): u32 {
  return rootAt(root).frames;
}

/** Address of the counter of slots to be freed. */
export function slotsToFreeAt(root: usize): usize {
  return root + offsetof<Root>('toFree');
}

/** How many slots the map covers; 0 when there is no map. */
export function slotsThere(root: usize): u32 {
  return rootAt(root).slots;
}

/** Slots that are not free: used, to be freed or being freed. */
/* @inline */ export function slotsTaken(root: usize): u32 {
  return rootAt(root).taken;
}

function wordOf(frame: u32, slot: u32): usize {
  return frameAddress(frame) + <usize>(((slot & (MAP_SLOTS - 1)) >> 4) << 2);
}

/** State of a slot. A slot that no map covers is free. */
export function slotState(root: usize, slot: u32): u32 {
  if (rootAt(root).top == 0 || slot >= rootAt(root).slots) return SLOT_FREE;
  const frame = mapFrame(root, slot >> MAP_BITS);
  return frame == 0 ? SLOT_FREE : (load<u32>(wordOf(frame, slot)) >> ((slot & 15) << 1)) & 3;
}

function setState(root: usize, slot: u32, state: u32): void {
  const frame = mapFrame(root, slot >> MAP_BITS);
  const word = wordOf(frame, slot);
  const shift = (slot & 15) << 1;
  const before = (load<u32>(word) >> shift) & 3;
  store<u32>(word, load<u32>(word) ^ ((before ^ state) << shift));
  const taken = (state != SLOT_FREE ? 1 : 0) - (before != SLOT_FREE ? 1 : 0);
  const toFree = (state == SLOT_TO_FREE ? 1 : 0) - (before == SLOT_TO_FREE ? 1 : 0);
  mapEntry(frame).taken += taken;
  mapEntry(frame).toFree += toFree;
  rootAt(root).taken += taken;
  rootAt(root).toFree += toFree;
}

/** The first slot with this state in a map, from slot `from` on. NO_SLOT when there is none. */
function seek(root: usize, nth: u32, from: u32, state: u32): u32 {
  const frame = mapFrame(root, nth);
  const end = (nth << MAP_BITS) + mapSlots(root, nth);
  const same = state * 0x55555555;
  for (let slot = from; slot < end;) {
    // Both bits of a pair are 0 where a slot has the state.
    const differs = load<u32>(wordOf(frame, slot)) ^ same;
    const hits = (~(differs | (differs >> 1)) & 0x55555555) >> ((slot & 15) << 1);
    if (hits != 0) {
      slot += ctz<u32>(hits) >> 1;
      return slot < end ? slot : NO_SLOT;
    }
    slot = (slot | 15) + 1;
  }
  return NO_SLOT;
}

/**
 * The first slot with this state, from slot `from` to the last one, then from slot 0. It looks only into maps that have
 * such a slot.
 */
function find(root: usize, from: u32, state: u32): u32 {
  const maps = mapsOf(root);
  if (from >= rootAt(root).slots) from = 0;
  const first = from >> MAP_BITS;
  for (let step: u32 = 0; step <= maps; step++) {
    let nth = first + step;
    if (nth >= maps) nth -= maps;
    const frame = mapFrame(root, nth);
    if (frame == 0) continue;
    const has = state == SLOT_FREE ? mapSlots(root, nth) - mapEntry(frame).taken : mapEntry(frame).toFree;
    if (has == 0) continue;
    const slot = seek(root, nth, step == 0 ? from : nth << MAP_BITS, state);
    if (slot != NO_SLOT) return slot;
  }
  return NO_SLOT;
}

/** Adds a map when less than half a map of slots is left free. Without a frame for it, the present maps go on. */
function growAhead(root: usize): void {
  const maps = mapsOf(root);
  const have = rootAt(root).frames - 1;
  if (have < maps && (have << MAP_BITS) - rootAt(root).taken < MAP_SLOTS / 2) addMap(root, have);
}

/** Takes a free slot. NO_SLOT when all are taken. */
export function slotTake(root: usize): u32 {
  if (rootAt(root).top == 0) return NO_SLOT;
  growAhead(root);
  const slot = find(root, rootAt(root).freeHint, SLOT_FREE);
  if (slot == NO_SLOT) return NO_SLOT;
  setState(root, slot, SLOT_USED);
  rootAt(root).freeHint = slot + 1;
  return slot;
}

/** A used slot is not needed any more: it is to be freed. */
export function slotToFree(root: usize, slot: u32): void {
  setState(root, slot, SLOT_TO_FREE);
  rootAt(root).toFreeHint = slot;
}

/** Takes a slot that is to be freed, and marks it as being freed. NO_SLOT when there is none. */
export function slotFreeing(root: usize): u32 {
  if (rootAt(root).toFree == 0) return NO_SLOT;
  const slot = find(root, rootAt(root).toFreeHint, SLOT_TO_FREE);
  setState(root, slot, SLOT_FREEING);
  rootAt(root).toFreeHint = slot + 1;
  return slot;
}

/** The store has freed a slot: the slot is free. */
export function slotFreed(root: usize, slot: u32): void {
  if (slotState(root, slot) == SLOT_FREEING) setState(root, slot, SLOT_FREE);
}

// ── after a restore ──────────────────────────────────────────────────────────

/** Marks every slot that is not free as to be freed. The caller then calls slotKeep for each slot that holds a page. */
export function slotsToFreeAll(root: usize): void {
  if (rootAt(root).top == 0) return;
  rootAt(root).toFree = 0;
  for (let nth: u32 = 0; nth < rootAt(root).frames - 1; nth++) {
    const frame = mapFrame(root, nth);
    for (let word = frameAddress(frame); word < frameAddress(frame + 1); word += 4) {
      const states = load<u32>(word);
      store<u32>(word, ((states | (states >> 1)) & 0x55555555) << 1); // SLOT_TO_FREE in each pair that is not SLOT_FREE
    }
    mapEntry(frame).toFree = mapEntry(frame).taken;
    rootAt(root).toFree += mapEntry(frame).taken;
  }
}

/** Marks a slot as used again, when slotsToFreeAll has marked it as to be freed. */
export function slotKeep(root: usize, slot: u32): void {
  if (slotState(root, slot) == SLOT_TO_FREE) setState(root, slot, SLOT_USED);
}

// ── check ────────────────────────────────────────────────────────────────────

/** Verifies the frames and counts of a map. 0 or EUCLEAN. */
export function slotMapCheck(root: usize): u32 {
  const home = <u32>(root >> PAGE_SHIFT);
  const owner = ownerOf(root);
  const bump = boot(BOOT_BUMP);
  let frames: u32 = 0;
  for (let frame = boot(BOOT_FIRST); frame < bump; frame++) {
    if (entryOwner(entryOf(frame)) == owner) frames += 1;
  }
  const top = rootAt(root).top;
  if (frames != rootAt(root).frames || (frames == 0) != (top == 0)) return broken(RULE_SLOTS, home);
  if (top == 0)
    return rootAt(root).slots == 0 && rootAt(root).taken == 0 && rootAt(root).toFree == 0
      ? 0
      : broken(RULE_SLOTS, home);
  if (!frameExists(top) || entryOwner(entryOf(top)) != owner || mapEntry(top).place != 0)
    return broken(RULE_SLOTS, home);
  if (rootAt(root).slots == 0 || rootAt(root).slots > SLOTS_MAX || frames < 2 || frames - 1 > mapsOf(root))
    return broken(RULE_SLOTS, home);
  let taken: u32 = 0;
  let toFree: u32 = 0;
  for (let nth: u32 = 0; nth < MAPS; nth++) {
    const frame = mapFrame(root, nth);
    if (nth >= frames - 1) {
      if (frame != 0) return broken(RULE_SLOTS, top);
      continue;
    }
    if (!frameExists(frame) || entryOwner(entryOf(frame)) != owner || mapEntry(frame).place != nth + 1)
      return broken(RULE_SLOTS, top);
    const result = mapCheck(root, nth, frame);
    if (result != 0) return result;
    taken += mapEntry(frame).taken;
    toFree += mapEntry(frame).toFree;
  }
  return taken == rootAt(root).taken && toFree == rootAt(root).toFree ? 0 : broken(RULE_SLOTS, home);
}

function mapCheck(root: usize, nth: u32, frame: u32): u32 {
  let taken: u32 = 0;
  let toFree: u32 = 0;
  const slots = mapSlots(root, nth);
  for (let slot: u32 = 0; slot < MAP_SLOTS; slot++) {
    const state = (load<u32>(wordOf(frame, slot)) >> ((slot & 15) << 1)) & 3;
    if (state != SLOT_FREE) taken += 1;
    if (state == SLOT_TO_FREE) toFree += 1;
    if (slot >= slots && state != SLOT_FREE) return broken(RULE_SLOTS, frame);
  }
  return taken == mapEntry(frame).taken && toFree == mapEntry(frame).toFree ? 0 : broken(RULE_SLOTS, frame);
}
