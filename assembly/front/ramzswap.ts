/**
 * ramzswap: a block device whose pages lie compressed in the RAM.
 *
 * The table of the device says for each page where it is: nowhere (the page was
 * never written and reads as zeros), as a fill word, in an object of a zpool, or
 * in a slot of a backing store. It also says which pages are idle, which do not
 * compress, and which codec made a block.
 *
 * This file does not know sectors or protocols, and it does not call the store:
 * it composes a slot in one call and is told the result of the write in another.
 * It does not remember writes under way either: the caller knows which pages have
 * changed since a write began.
 *
 *   table: the dense page table of the header (page/table.ts), 8 bytes a page
 *     value   handle, fill word, or slot
 *     state   kind in 4 bits, then for an object
 *             bit 4 idle   5 huge: stored raw   6 incompressible: do not try again
 *             7..8 priority of the codec   9..31 last access (ramzswap-time.ts)
 *             and for a slot its generation
 *
 *   header: a pool header (mem/pool.ts) with that page table, then
 *   256 pool             260 pages of the device   264 most bytes of a block
 *   268 limit in frames, 0 for none               272 flags
 *   276 last generation  280 epoch                284 objects
 *   288 same-filled      292 huge                 296 in the store
 *   300 huge pages ever  304 most frames ever     308 blocks of half a page or less
 *   312 second from which times of access are exact
 *   320 slot map (slot-map.ts)
 *   352 bytes of objects, f64                     360 codecs by priority
 *
 * Costs: 8 bytes for a page that holds something, in leaves of 512 cells; a
 * quarter of a byte for a slot. A device has up to 2^32 pages.
 *
 * Trade-offs: while a page is overwritten it has two objects, because the old one
 * is freed only when the new one is stored. The time of the last access has 23
 * bits: a time more than 24 days ago is exact to 256 seconds only.
 *
 * Source: ramzswap v3 (2009), and Linux 6.16 drivers/block/zram/zram_drv.c.
 */
import {
  COMPRESS,
  DECOMPRESS,
  DENSE,
  ENTRY,
  FILL,
  FIRST_FOREIGN,
  HUGE,
  IDLE,
  INCOMPRESSIBLE,
  IN_STORE,
  KIND_MASK,
  NO_SLOT,
  OUT_BLOCK_BYTES,
  OUT_BLOCK_CODEC,
  OUT_GENERATION,
  OUT_KEY_LOW,
  OUT_PAGE_BYTES,
  OUT_PAGE_STATE,
  OUT_SLOT,
  OVER_LIMIT,
  POOR,
  PRIORITY_MASK,
  PRIORITY_SHIFT,
  RAMZ_BYTES,
  RAMZ_GOOD,
  RAMZ_HUGE,
  RAMZ_HUGE_EVER,
  RAMZ_OBJECTS,
  RAMZ_PAGES,
  RAMZ_PEAK,
  RAMZ_SAME,
  RAMZ_SLOTS,
  RAMZ_STORE,
  RAMZ_WRITTEN,
  REPLACED,
  TOO_LONG,
  WRITTEN,
} from '../abi';
import { EINVAL, EIO, ENOENT, ENOMEM, ENOSPC, isError } from '../base/errno';
import { sameFilled } from '../codec/samefill';
import { frameRoom } from '../mem/frame';
import { PAGE_SIZE } from '../mem/layout';
import {
  NAME_BYTES,
  POOL_INDEX,
  POOL_NAME,
  RAMZSWAP,
  isPool,
  kindOf,
  poolAt,
  poolCreate,
  poolNumber,
  writePoolChecksum,
} from '../mem/pool';
import { blockBuffer, out, pageBuffer, setOut } from '../mem/scratch';
import { stateOf, tableFind, tableMake, tableNext, tableRemove, tableStart } from '../page/table';
import { KIND_BITS, SLOTS, compose, objectIn, objectOut, slotCodecOf } from './backed';
import { codecCompress } from '../codec/buffers';
import { pageFill, pageLoad } from '../page/path';
import { objectFree as zpoolFree } from '../page/store';
import { zpoolDestroy, zpoolMalloc, zpoolMallocRaw, zpoolRounded, zpoolSize } from '../zpool';
import { CODECS, addBytes, bytesOf, deviceAt, ramzSettings, setCell, setState } from './ramzswap-layout';
import { secondOf, timed } from './ramzswap-time';
import { SLOT_RAW, slotData } from './slot';
import { slotToFree, slotMapStart, slotTake, slotsTaken, slotsThere } from './slot-map';

// ── flags ────────────────────────────────────────────────────────────────────

// Flags of the device.
const BACKED: u32 = 1; // the pool refuses huge pages: they are for the store

/** The number of the codec with this priority. */
/* @inline */ function codecOf(front: usize, priority: u32): u32 {
  return load<u32>(front + CODECS + <usize>(priority << 2));
}

/* @inline */ export function kindOfState(state: u32): u32 {
  return state & KIND_MASK;
}

/* @inline */ function priorityOf(state: u32): u32 {
  return (state >> PRIORITY_SHIFT) & PRIORITY_MASK;
}

export function isDevice(front: usize): bool {
  return kindOf(front) == RAMZSWAP;
}

/* @inline */ function cellOf(front: usize, index: u32): usize {
  return tableFind(front + POOL_INDEX, index, 0);
}

// ── life ─────────────────────────────────────────────────────────────────────

/**
 * Creates a device. Its pool is set later, by ramzUse.
 * @param pages of the device
 * @param slots of the backing store, 0 for none
 * @param epoch word that tells the slots of this device from those of other devices
 * @param name address of the name, UTF-8
 * @returns the front end; EINVAL; ENOMEM, and then nothing was created
 */
export function ramzCreate(pages: u32, slots: u32, epoch: u32, name: usize, nameBytes: u32): u32 {
  if (pages == 0 || nameBytes == 0 || nameBytes > NAME_BYTES) return EINVAL;
  if (!frameRoom(slots == 0 ? 1 : 3)) return ENOMEM;
  const front = poolCreate(RAMZSWAP);
  if (front == 0) return ENOMEM;
  memory.copy(front + POOL_NAME, name, nameBytes);
  poolAt(front).nameBytes = nameBytes;
  tableStart(front + POOL_INDEX, DENSE);
  deviceAt(front).pages = pages;
  deviceAt(front).epoch = epoch;
  deviceAt(front).flags = slots != 0 ? BACKED : 0;
  if (slots != 0 && !slotMapStart(front + SLOTS, slots)) {
    zpoolDestroy(front);
    return ENOMEM;
  }
  writePoolChecksum(front, ramzSettings(front));
  poolNumber();
  return <u32>front;
}

/**
 * Sets the pool, the most bytes of a block (a page with a longer block is huge) and the limit in frames (0: none).
 * EINVAL.
 */
export function ramzUse(front: usize, pool: usize, most: u32, limit: u32): u32 {
  if (!isDevice(front) || !isPool(pool) || most >= PAGE_SIZE) return EINVAL;
  deviceAt(front).pool = <u32>pool;
  deviceAt(front).most = most;
  deviceAt(front).limit = limit;
  writePoolChecksum(front, ramzSettings(front));
  notePeak(front);
  return 0;
}

/** Sets the codec of a priority. Writes use priority 0. EINVAL. */
export function ramzCodec(front: usize, priority: u32, codec: u32): u32 {
  if (!isDevice(front) || priority > PRIORITY_MASK) return EINVAL;
  store<u32>(front + CODECS + <usize>(priority << 2), codec);
  writePoolChecksum(front, ramzSettings(front));
  return 0;
}

// ── write ────────────────────────────────────────────────────────────────────

/** Frees what a cell refers to. The cell itself stays. */
function release(front: usize, cell: usize): void {
  const value = load<u32>(cell);
  const state = stateOf(cell);
  const kind = kindOfState(state);
  if (kind == ENTRY) {
    const pool = <usize>deviceAt(front).pool;
    const size = zpoolSize(pool, value);
    zpoolFree(pool, value);
    uncount(front, state, isError(size) ? 0 : size);
  } else if (kind == FILL) {
    deviceAt(front).same -= 1;
  } else if (kind == WRITTEN) {
    deviceAt(front).written -= 1;
    slotToFree(front + SLOTS, value);
  }
}

function count(front: usize, state: u32, bytes: u32): void {
  deviceAt(front).objects += 1;
  if ((state & HUGE) != 0) deviceAt(front).huge += 1;
  if (bytes <= PAGE_SIZE / 2) deviceAt(front).good += 1;
  addBytes(front, <f64>bytes);
}

function uncount(front: usize, state: u32, bytes: u32): void {
  deviceAt(front).objects -= 1;
  if ((state & HUGE) != 0) deviceAt(front).huge -= 1;
  if (bytes <= PAGE_SIZE / 2) deviceAt(front).good -= 1;
  addBytes(front, -(<f64>bytes));
}

/**
 * Begins to write the page in the page buffer. A same-filled page is written by this call.
 * @returns 0 written; COMPRESS: compress it, then ramzPut; EINVAL beyond the device; ENOMEM no frame for the table
 */
export function ramzBegin(front: usize, index: u32): u32 {
  if (!isDevice(front) || index >= deviceAt(front).pages) return EINVAL;
  const page = pageBuffer();
  if (!sameFilled(page, PAGE_SIZE)) return COMPRESS;
  const cell = tableMake(front + POOL_INDEX, index, 0);
  if (cell == 0) return ENOMEM;
  if (stateOf(cell) != 0) release(front, cell);
  setCell(front, cell, index, load<u32>(page), FILL);
  deviceAt(front).same += 1;
  return 0;
}

/** Writes a page with a codec of the core: ramzBegin, compression and ramzPut. @param now second of this access */
export function ramzWrite(front: usize, index: u32, now: u32): u32 {
  const result = ramzBegin(front, index);
  if (result != COMPRESS) return result;
  return ramzPut(front, index, codecCompress(codecOf(front, 0), PAGE_SIZE, deviceAt(front).most), now);
}

/**
 * Writes a page: the block of `bytes` bytes in the block buffer, or with 0 bytes the page in the page buffer, raw. The
 * old data of the page stay until the new ones are stored.
 * @returns 0; POOR: the page does not compress and is for the store; OVER_LIMIT; ENOMEM; EINVAL
 */
export function ramzPut(front: usize, index: u32, bytes: u32, now: u32): u32 {
  if (!isDevice(front) || index >= deviceAt(front).pages || bytes > deviceAt(front).most) return EINVAL;
  return bytes == 0 && (deviceAt(front).flags & BACKED) != 0 ? POOR : put(front, index, bytes, now);
}

/**
 * Writes the page in the page buffer raw, even if there is a store, because the store did not take it. Results as
 * ramzPut.
 */
export function ramzKeep(front: usize, index: u32, now: u32): u32 {
  return !isDevice(front) || index >= deviceAt(front).pages ? EINVAL : put(front, index, 0, now);
}

function put(front: usize, index: u32, bytes: u32, now: u32): u32 {
  const handle = objectOf(front, bytes);
  if (isError(handle) || handle == 0) return handle == 0 ? OVER_LIMIT : handle;
  const pool = <usize>deviceAt(front).pool;
  const cell = tableMake(front + POOL_INDEX, index, 0);
  if (cell == 0) {
    zpoolFree(pool, handle);
    return ENOMEM;
  }
  if (stateOf(cell) != 0) release(front, cell);
  const state = timed(front, ENTRY | (bytes == 0 ? HUGE : 0), now);
  setCell(front, cell, index, handle, state);
  if (bytes == 0) deviceAt(front).hugeEver += 1;
  count(front, state, bytes == 0 ? PAGE_SIZE : bytes);
  return 0;
}

/**
 * Records the highest number of frames. A pool may have frames before it has objects, and may keep frames after an
 * object was freed.
 */
function notePeak(front: usize): void {
  const frames = poolAt(deviceAt(front).pool).frames;
  if (frames > deviceAt(front).peak) deviceAt(front).peak = frames;
}

/**
 * Makes an object of the block in the block buffer, or with 0 bytes of the page in the page buffer. 0 beyond the limit;
 * an error of malloc.
 */
function objectOf(front: usize, bytes: u32): u32 {
  const pool = <usize>deviceAt(front).pool;
  const handle = bytes == 0 ? zpoolMallocRaw(pool) : zpoolMalloc(pool, bytes);
  if (isError(handle)) return handle;
  const frames = poolAt(pool).frames;
  if (deviceAt(front).limit != 0 && frames > deviceAt(front).limit) {
    zpoolFree(pool, handle);
    notePeak(front);
    return 0;
  }
  notePeak(front);
  const size = bytes == 0 ? PAGE_SIZE : bytes;
  const from = bytes == 0 ? pageBuffer() : blockBuffer();
  objectIn(pool, handle, 0, from, size);
  return handle;
}

// ── read ─────────────────────────────────────────────────────────────────────

/**
 * Reads a page into the page buffer.
 * @returns PAGE_SIZE; IN_STORE: the page is in the slot OUT_SLOT with the generation OUT_GENERATION; DECOMPRESS: the
 *   block buffer has a block of OUT_BLOCK_BYTES, made by the codec OUT_BLOCK_CODEC; EIO: the block does not decompress;
 *   EINVAL beyond the device
 */
export function ramzRead(front: usize, index: u32, now: u32): u32 {
  if (!isDevice(front) || index >= deviceAt(front).pages) return EINVAL;
  const cell = cellOf(front, index);
  if (cell == 0) return pageFill(0);
  const value = load<u32>(cell);
  const state = stateOf(cell);
  const kind = kindOfState(state);
  if (kind == FILL) return pageFill(value);
  if (kind == WRITTEN) {
    setOut(OUT_SLOT, value);
    setOut(OUT_GENERATION, state >> KIND_BITS);
    return IN_STORE;
  }
  setState(front, cell, index, timed(front, state & ~IDLE, now));
  return pageOf(front, value, state);
}

/** Decompresses the page of an object into the page buffer: PAGE_SIZE, DECOMPRESS, EIO as ramzRead. */
function pageOf(front: usize, handle: u32, state: u32): u32 {
  const pool = <usize>deviceAt(front).pool;
  const codec = codecOf(front, priorityOf(state));
  if ((state & HUGE) != 0 || codec < FIRST_FOREIGN) return pageLoad(pool, handle) == PAGE_SIZE ? PAGE_SIZE : EIO;
  const bytes = objectOut(pool, handle, 0, blockBuffer());
  if (isError(bytes)) return EIO;
  setOut(OUT_BLOCK_BYTES, bytes);
  setOut(OUT_BLOCK_CODEC, codec);
  return DECOMPRESS;
}

/** 1 when a page is still in this slot, with this generation. */
export function ramzIsIn(front: usize, index: u32, slot: u32, generation: u32): u32 {
  if (!isDevice(front)) return 0;
  const cell = cellOf(front, index);
  return cell != 0 && stateOf(cell) == (WRITTEN | (generation << KIND_BITS)) && load<u32>(cell) == slot ? 1 : 0;
}

/** Empties a page, so that it reads as zeros. 1 when the page held something. */
export function ramzDrop(front: usize, index: u32): u32 {
  if (!isDevice(front)) return 0;
  const cell = cellOf(front, index);
  if (cell == 0) return 0;
  release(front, cell);
  tableRemove(front + POOL_INDEX, cell, index);
  return 1;
}

// ── going through the pages ──────────────────────────────────────────────────

/**
 * Finds the first page from `index` on that holds something. 1: its number in OUT_KEY_LOW, its state in OUT_PAGE_STATE,
 * its bytes in OUT_PAGE_BYTES. 0 at the end.
 */
export function ramzNext(front: usize, index: u32): u32 {
  if (!isDevice(front)) return 0;
  const cell = tableNext(front + POOL_INDEX, index);
  if (cell == 0) return 0;
  const bytes = kindOfState(stateOf(cell)) == ENTRY ? zpoolSize(deviceAt(front).pool, load<u32>(cell)) : 0;
  setOut(OUT_PAGE_STATE, stateOf(cell));
  setOut(OUT_PAGE_BYTES, isError(bytes) ? 0 : bytes);
  return 1;
}

/**
 * Marks objects as idle that were last accessed before this second, in the pages from `first` to `end` - 1. Removes the
 * mark from the other objects of that range. Returns how many objects are idle.
 */
export function ramzIdle(front: usize, second: u32, first: u32, end: u32): u32 {
  if (!isDevice(front)) return 0;
  let pages: u32 = 0;
  let index = first;
  for (
    let cell = tableNext(front + POOL_INDEX, first);
    cell != 0 && out(OUT_KEY_LOW) < end;
    cell = tableNext(front + POOL_INDEX, index)
  ) {
    index = out(OUT_KEY_LOW) + 1;
    const state = stateOf(cell);
    if (kindOfState(state) == ENTRY) {
      const isIdle = secondOf(front, state) < second;
      setState(front, cell, index - 1, isIdle ? state | IDLE : state & ~IDLE);
      if (isIdle) pages += 1;
    }
    if (index == 0) break;
  }
  return pages;
}

/** The second of the last access, from the state of an object. 0 for any other state. */
export function ramzSecond(front: usize, state: u32): u32 {
  return isDevice(front) && kindOfState(state) == ENTRY ? secondOf(front, state) : 0;
}

/** Marks an object as incompressible: recompression does not try it again. */
export function ramzGiveUp(front: usize, index: u32): void {
  if (!isDevice(front)) return;
  const cell = cellOf(front, index);
  if (cell != 0 && kindOfState(stateOf(cell)) == ENTRY) setState(front, cell, index, stateOf(cell) | INCOMPRESSIBLE);
}

// ── backing store ────────────────────────────────────────────────────────────

/**
 * Begins the write of an object to the store: takes a slot and composes it in the block buffer.
 * @returns the bytes of the slot; where it goes in OUT_SLOT and OUT_GENERATION. ENOENT: the page is no object; ENOSPC:
 *   no slot is free; EIO: the object cannot be read
 */
export function ramzOut(front: usize, index: u32): u32 {
  if (!isDevice(front)) return EINVAL;
  const cell = cellOf(front, index);
  if (cell == 0 || kindOfState(stateOf(cell)) != ENTRY) return ENOENT;
  const state = stateOf(cell);
  const length = objectOut(deviceAt(front).pool, load<u32>(cell), 0, slotData());
  if (isError(length)) return EIO;
  const slot = slotTake(front + SLOTS);
  if (slot == NO_SLOT) return ENOSPC;
  return compose(front, (state & HUGE) != 0 ? SLOT_RAW : slotCodecOf(codecOf(front, priorityOf(state))), length, slot);
}

/**
 * Begins the write of the page in the page buffer to the store; it is not in the pool. Results as ramzOut, and EINVAL
 * beyond the device.
 */
export function ramzDirect(front: usize, index: u32): u32 {
  if (!isDevice(front) || index >= deviceAt(front).pages) return EINVAL;
  const slot = slotTake(front + SLOTS);
  if (slot == NO_SLOT) return ENOSPC;
  memory.copy(slotData(), pageBuffer(), PAGE_SIZE);
  return compose(front, SLOT_RAW, PAGE_SIZE, slot);
}

/**
 * Records that a page is in the store now, in place of its old data. 0; ENOMEM: no frame for the table, and the caller
 * must free the slot.
 */
export function ramzWritten(front: usize, index: u32, slot: u32, generation: u32): u32 {
  if (!isDevice(front) || index >= deviceAt(front).pages) return EINVAL;
  const cell = tableMake(front + POOL_INDEX, index, 0);
  if (cell == 0) return ENOMEM;
  if (stateOf(cell) != 0) release(front, cell);
  setCell(front, cell, index, slot, WRITTEN | (generation << KIND_BITS));
  deviceAt(front).written += 1;
  return 0;
}

// ── recompression ────────────────────────────────────────────────────────────

/** True when a block of `bytes` bytes takes less room in the pool than a block of `than` bytes. */
function isSmaller(pool: usize, bytes: u32, than: u32): bool {
  return zpoolRounded(pool, bytes) < zpoolRounded(pool, than);
}

/**
 * Replaces the object of a page with one for the block of `bytes` bytes in the block buffer, if that takes less memory.
 * The block was made by the codec of `priority`.
 * @param threshold replaces only if the block has fewer bytes than this
 * @returns REPLACED; 0: the block would not take less memory; TOO_LONG; ENOENT: the page is no object; ENOMEM: no
 *   frame, or the limit is reached; EIO, EINVAL
 */
export function ramzReplace(front: usize, index: u32, bytes: u32, priority: u32, threshold: u32): u32 {
  if (!isDevice(front) || bytes == 0 || bytes > deviceAt(front).most || priority > PRIORITY_MASK) return EINVAL;
  const cell = cellOf(front, index);
  if (cell == 0 || kindOfState(stateOf(cell)) != ENTRY) return ENOENT;
  const pool = <usize>deviceAt(front).pool;
  const old = load<u32>(cell);
  const size = zpoolSize(pool, old);
  if (isError(size)) return EIO;
  if (!isSmaller(pool, bytes, size)) return 0;
  if (bytes >= threshold) return TOO_LONG;
  const handle = objectOf(front, bytes);
  if (isError(handle) || handle == 0) return handle == 0 ? ENOMEM : handle;
  const state = stateOf(cell);
  zpoolFree(pool, old);
  uncount(front, state, size);
  const now = (state & ~HUGE & ~(PRIORITY_MASK << PRIORITY_SHIFT)) | (priority << PRIORITY_SHIFT);
  setCell(front, cell, index, handle, now);
  count(front, now, bytes);
  return REPLACED;
}

/**
 * Gives the page of an object, for recompression. This is not an access, but it removes the idle mark. Results as
 * ramzRead; ENOENT: the page is no object.
 */
export function ramzPeek(front: usize, index: u32): u32 {
  if (!isDevice(front)) return EINVAL;
  const cell = cellOf(front, index);
  if (cell == 0 || kindOfState(stateOf(cell)) != ENTRY) return ENOENT;
  setState(front, cell, index, stateOf(cell) & ~IDLE);
  return pageOf(front, load<u32>(cell), stateOf(cell));
}

/**
 * Recompresses a page with a codec of the core: ramzPeek and ramzReplace. DECOMPRESS when another codec made the block.
 */
export function ramzRecompress(front: usize, index: u32, priority: u32, threshold: u32): u32 {
  const result = ramzPeek(front, index);
  if (result != PAGE_SIZE) return result;
  const bytes = codecCompress(codecOf(front, priority), PAGE_SIZE, deviceAt(front).most);
  return bytes == 0 ? 0 : ramzReplace(front, index, bytes, priority, threshold);
}

// ── figures ──────────────────────────────────────────────────────────────────

/** One figure of the device. RAMZ_OBJECTS and so on select it. */
export function ramzFigure(front: usize, which: u32): f64 {
  if (!isDevice(front)) return 0;
  switch (which) {
    case RAMZ_OBJECTS:
      return <f64>deviceAt(front).objects;
    case RAMZ_SAME:
      return <f64>deviceAt(front).same;
    case RAMZ_HUGE:
      return <f64>deviceAt(front).huge;
    case RAMZ_WRITTEN:
      return <f64>deviceAt(front).written;
    case RAMZ_HUGE_EVER:
      return <f64>deviceAt(front).hugeEver;
    case RAMZ_PEAK:
      return <f64>deviceAt(front).peak;
    case RAMZ_BYTES:
      return bytesOf(front);
    case RAMZ_GOOD:
      return <f64>deviceAt(front).good;
    case RAMZ_SLOTS:
      return <f64>slotsTaken(front + SLOTS);
    case RAMZ_PAGES:
      return <f64>deviceAt(front).pages;
    case RAMZ_STORE:
      return <f64>slotsThere(front + SLOTS);
    default:
      return <f64>poolAt(deviceAt(front).pool).frames; // RAMZ_FRAMES
  }
}

/** Sets the highest number of frames to the current number. */
export function ramzResetPeak(front: usize): void {
  if (isDevice(front)) deviceAt(front).peak = poolAt(deviceAt(front).pool).frames;
}
