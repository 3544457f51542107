/**
 * ramzswap: a block device whose pages lie compressed in the RAM.
 *
 * What it is. A table of pages, in which each is nothing yet (it reads as
 * zeros), same-filled, an object of a zpool, or in a slot of a backing store;
 * and what has to be known about them: what is idle, what did not compress, and
 * with which codec the rest was. What it is not. It knows no sectors and no
 * protocol, asks no store itself (composing a slot and taking note of what
 * became of it are two calls), and does not remember writes under way: the
 * caller knows which pages have changed since.
 *
 *   table: the header's dense page table (page/table.ts), 8 bytes a page
 *     value   handle, word of a same-filled page, slot
 *     state   kind in 4 bits, then for an object
 *             bit 4 idle   5 huge: kept as it is   6 incompressible: not to be tried again
 *             7..8 codec, by priority   9..31 last access (ramzswap-time.ts)
 *             and for a slot its generation
 *
 *   header: a pool header (mem/pool.ts) whose page table that is, then
 *   256 pool             260 pages of the device   264 most bytes of a block
 *   268 limit in frames, 0 for none               272 flags
 *   276 last generation  280 epoch                284 objects
 *   288 same-filled      292 huge                 296 in the store
 *   300 huge ever        304 most frames ever     308 blocks of half a page or less
 *   312 second from which times of access are exact
 *   320 slot map (slot-map.ts)
 *   352 bytes of objects, f64                     360 codecs by priority
 *
 * Vital statistics: 8 bytes for a page that holds something, in leaves of 512;
 * 2^32 pages; a slot map of a quarter of a byte a slot.
 *
 * Trade-offs: a page that is overwritten has two objects for a moment, because
 * the old one goes only when the new one is safe. The last access has 23 bits:
 * what is older than 24 days is known to 256 seconds only.
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
const BACKED: u32 = 1; // huge pages are refused: they go to the store

/** Number of the codec of a priority. */
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
 * Creates a device; its pool is given it by ramzUse.
 * @param pages of the device
 * @param slots of the backing store, 0 for none
 * @param epoch word that tells this one's slots from those of others
 * @param name its address, UTF-8
 * @returns the front; EINVAL; ENOMEM, and nothing is left
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

/** Names pool, the most bytes of a block (a page with a longer one is huge), limit in frames (0: none). EINVAL. */
export function ramzUse(front: usize, pool: usize, most: u32, limit: u32): u32 {
  if (!isDevice(front) || !isPool(pool) || most >= PAGE_SIZE) return EINVAL;
  deviceAt(front).pool = <u32>pool;
  deviceAt(front).most = most;
  deviceAt(front).limit = limit;
  writePoolChecksum(front, ramzSettings(front));
  notePeak(front);
  return 0;
}

/** Names the codec of a priority; 0 is the one that writes use. EINVAL. */
export function ramzCodec(front: usize, priority: u32, codec: u32): u32 {
  if (!isDevice(front) || priority > PRIORITY_MASK) return EINVAL;
  store<u32>(front + CODECS + <usize>(priority << 2), codec);
  writePoolChecksum(front, ramzSettings(front));
  return 0;
}

// ── write ────────────────────────────────────────────────────────────────────

/** Gives up what a cell holds, but not the cell. */
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
 * Begins writing the page in the page buffer: a same-filled one is written.
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

/** ramzBegin, then all of it with a codec of the core. @param now second of this access */
export function ramzWrite(front: usize, index: u32, now: u32): u32 {
  const result = ramzBegin(front, index);
  if (result != COMPRESS) return result;
  return ramzPut(front, index, codecCompress(codecOf(front, 0), PAGE_SIZE, deviceAt(front).most), now);
}

/**
 * Writes a page: the block of `bytes` bytes in the block buffer, or with 0 bytes the page in the page buffer as it is. The
 * old one stays until that is done.
 * @returns 0; POOR a page that does not compress, which is for the store; OVER_LIMIT; ENOMEM; EINVAL
 */
export function ramzPut(front: usize, index: u32, bytes: u32, now: u32): u32 {
  if (!isDevice(front) || index >= deviceAt(front).pages || bytes > deviceAt(front).most) return EINVAL;
  return bytes == 0 && (deviceAt(front).flags & BACKED) != 0 ? POOR : put(front, index, bytes, now);
}

/** Writes the page in the page buffer as it is, also where there is a store: that has not taken it. As ramzPut. */
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

/** A pool may have frames before it has objects, and keep those of an object that was given back. */
function notePeak(front: usize): void {
  const frames = poolAt(deviceAt(front).pool).frames;
  if (frames > deviceAt(front).peak) deviceAt(front).peak = frames;
}

/** An object with the block in the block buffer, or the page in the page buffer (0 bytes). 0 beyond the limit; an error of malloc. */
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
 * @returns PAGE_SIZE; IN_STORE: in OUT_SLOT and OUT_GENERATION; DECOMPRESS: a block of OUT_BLOCK_BYTES is in the block
 *   buffer, by the codec OUT_BLOCK_CODEC; EIO it does not decompress; EINVAL beyond the device
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

/** The page of an object: PAGE_SIZE, DECOMPRESS, EIO. */
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

/** Whether a page is in this very slot still. */
export function ramzIsIn(front: usize, index: u32, slot: u32, generation: u32): u32 {
  if (!isDevice(front)) return 0;
  const cell = cellOf(front, index);
  return cell != 0 && stateOf(cell) == (WRITTEN | (generation << KIND_BITS)) && load<u32>(cell) == slot ? 1 : 0;
}

/** A page is nothing again: it reads as zeros. Whether it was something. */
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
 * The first page at or behind `index` that holds something: 1, with its number in OUT_KEY_LOW, OUT_PAGE_STATE and
 * OUT_PAGE_BYTES. 0 at the end.
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
 * Of the pages from `first` until before `end`, marks as idle the objects that were last accessed before this second, and no
 * others. How many there are.
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

/** Second of the last access, of an object in that state. */
export function ramzSecond(front: usize, state: u32): u32 {
  return isDevice(front) && kindOfState(state) == ENTRY ? secondOf(front, state) : 0;
}

/** Marks an object as one that no codec makes smaller. */
export function ramzGiveUp(front: usize, index: u32): void {
  if (!isDevice(front)) return;
  const cell = cellOf(front, index);
  if (cell != 0 && kindOfState(stateOf(cell)) == ENTRY) setState(front, cell, index, stateOf(cell) | INCOMPRESSIBLE);
}

// ── backing store ────────────────────────────────────────────────────────────

/**
 * Begins the write of an object to the store: takes a slot and composes it in the block buffer.
 * @returns bytes of the slot; its place in OUT_SLOT and OUT_GENERATION. ENOENT it is no object; ENOSPC no free slot; EIO it cannot
 *   be read
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

/** Begins the write of the page in the page buffer, which is not in the pool. As ramzOut; ENOMEM no frame for the table. */
export function ramzDirect(front: usize, index: u32): u32 {
  if (!isDevice(front) || index >= deviceAt(front).pages) return EINVAL;
  const slot = slotTake(front + SLOTS);
  if (slot == NO_SLOT) return ENOSPC;
  memory.copy(slotData(), pageBuffer(), PAGE_SIZE);
  return compose(front, SLOT_RAW, PAGE_SIZE, slot);
}

/** A page is in the store now, in place of what it was. 0; ENOMEM no frame for the table, and the slot is the caller's to settle. */
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

/** Whether a block of one size takes less of its pool than one of another. */
function isSmaller(pool: usize, bytes: u32, than: u32): bool {
  return zpoolRounded(pool, bytes) < zpoolRounded(pool, than);
}

/**
 * Puts a page's object into one with the block of `bytes` bytes in the block buffer, by the codec of that priority, if that
 * takes less memory.
 * @param threshold only if it has fewer bytes than that
 * @returns REPLACED; 0 it would not be smaller; TOO_LONG; ENOENT it is no object; ENOMEM no frame, or the limit; EIO, EINVAL
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

/** The page of an object, for recompression: it is no access, but the page is not idle any more. As ramzRead; ENOENT it is no object. */
export function ramzPeek(front: usize, index: u32): u32 {
  if (!isDevice(front)) return EINVAL;
  const cell = cellOf(front, index);
  if (cell == 0 || kindOfState(stateOf(cell)) != ENTRY) return ENOENT;
  setState(front, cell, index, stateOf(cell) & ~IDLE);
  return pageOf(front, load<u32>(cell), stateOf(cell));
}

/** ramzPeek and ramzReplace with a codec of the core; DECOMPRESS when the page is by another. */
export function ramzRecompress(front: usize, index: u32, priority: u32, threshold: u32): u32 {
  const result = ramzPeek(front, index);
  if (result != PAGE_SIZE) return result;
  const bytes = codecCompress(codecOf(front, priority), PAGE_SIZE, deviceAt(front).most);
  return bytes == 0 ? 0 : ramzReplace(front, index, bytes, priority, threshold);
}

// ── figures ──────────────────────────────────────────────────────────────────

/** One figure, RAMZ_OBJECTS and so on. */
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

/** The highest number of frames from now on counts from what there is now. */
export function ramzResetPeak(front: usize): void {
  if (isDevice(front)) deviceAt(front).peak = poolAt(deviceAt(front).pool).frames;
}
