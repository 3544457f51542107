/**
 * Pages by key: the page path and a page table in one call.
 *
 * A pool has at most one page table. Its root is in the pool header; its frames
 * belong to the pool. The cell of a page has one of two kinds:
 *
 *   HANDLE  value = handle of the object that holds the page; the upper 30 bits of
 *           the state are a hash of the bytes of that object
 *   FILL    value = the fill word of a same-filled page, which takes no other memory
 *
 * A page is replaced only when the new page is stored: a call that fails leaves the
 * old page. An object may also be freed by its handle, without the table (by an evict
 * callback, for example). Then its page is gone; the first call that finds this
 * removes the key, and check() accepts such a key. Some time later the handle wraps
 * around (mem/generation.ts) and belongs to another object, perhaps to the page of
 * another key. The hash detects this: an object with another hash is neither loaded
 * nor freed, and an object with the same hash has the same bytes, apart from one case
 * in 2^30. The hash is compared only after an object was freed by its handle while the
 * table had keys (mustVerify), because it means reading the whole object.
 */
import { DENSE, FILL, HANDLE, OUT_FILL, OUT_KEY_LOW, OUT_LENGTH, OUT_PLACE, OUT_SIZE, OUT_VALUE, SPARSE } from '../abi';
import { EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENOMEM, isError } from '../base/errno';
import { POOL_INDEX, isPool, poolAt, writePoolChecksum } from '../mem/pool';
import { gatherBuffer, out, setOut } from '../mem/scratch';
import { gather } from '../mem/span';
import { needed } from '../mem/frame';
import { zpoolFree, zpoolSpan } from '../zpool';
import { pageFill, pageLoad, pageStore } from './path';
import {
  STATE_BITS,
  cellSet,
  mustVerify,
  stateOf,
  startVerifying,
  tableFind,
  tableKeys,
  tableMake,
  tableNext,
  tableRemove,
  tableShape,
  tableStart,
} from './table';

const FACTOR: u64 = 0x9e3779b97f4a7c15;

/** Root of the page table of a pool, 0 without a table (or a pool). */
function rootOf(pool: usize): usize {
  if (!isPool(pool)) return 0;
  const root = pool + POOL_INDEX;
  return tableShape(root) != 0 ? root : 0;
}

/** Shape of the page table of a pool, 0 for none. */
export function tableKind(pool: usize): u32 {
  const root = rootOf(pool);
  return root == 0 ? 0 : tableShape(root);
}

/** Number of keys in the page table of a pool. */
export function tableCount(pool: usize): u32 {
  const root = rootOf(pool);
  return root == 0 ? 0 : tableKeys(root);
}

// ── hashes of objects ────────────────────────────────────────────────────────

/* @inline */ function mix(sum: u64, from: usize): u64 {
  return rotl<u64>(sum ^ load<u64>(from), 29) * FACTOR;
}

/** Hash of 30 bits. It computes four sums in parallel, since each has to wait for its multiplication. */
function blockHash(from: usize, bytes: u32): u32 {
  let a: u64 = bytes;
  let b: u64 = 1;
  let c: u64 = 2;
  let d: u64 = 3;
  for (; bytes >= 32; bytes -= 32) {
    a = mix(a, from);
    b = mix(b, from + 8);
    c = mix(c, from + 16);
    d = mix(d, from + 24);
    from += 32;
  }
  for (; bytes >= 8; bytes -= 8) {
    b = mix(b, from);
    from += 8;
  }
  for (; bytes != 0; bytes--) c = rotl<u64>(c ^ (<u64>load<u8>(from++)), 29) * FACTOR;
  a = (rotl<u64>(a, 17) ^ b) * FACTOR + rotl<u64>(c, 41);
  a = (a ^ (a >> 29)) * FACTOR + d;
  return <u32>(((a ^ (a >> 32)) * FACTOR) >> (32 + STATE_BITS));
}

/** The state of a cell for this object; 0 when there is no such object. */
function stateOfObject(pool: usize, handle: u32): u32 {
  const address = zpoolSpan(pool, handle, 0);
  if (isError(address)) return 0;
  const bytes = out(OUT_SIZE);
  let block = <usize>address;
  if (out(OUT_LENGTH) < bytes) {
    block = gatherBuffer();
    gather(block, address, bytes);
  }
  return HANDLE | (blockHash(block, bytes) << STATE_BITS);
}

/** True when the page of a cell is still there: a fill word, or the object that was put there. */
function isCurrent(pool: usize, cell: usize): bool {
  return (
    !mustVerify(pool + POOL_INDEX) || stateOf(cell) == FILL || stateOf(cell) == stateOfObject(pool, load<u32>(cell))
  );
}

/** Frees the object of a cell, if there is one. 0; EBUSY while it is mapped. */
function freePage(pool: usize, cell: usize): u32 {
  const state = stateOf(cell);
  if (state == 0 || state == FILL || !isCurrent(pool, cell)) return 0;
  return zpoolFree(pool, load<u32>(cell)) == EBUSY ? EBUSY : 0;
}

// ── API ──────────────────────────────────────────────────────────────────────

/** zpoolFree for callers outside the core: the page table may refer to the object. */
export function objectFree(pool: usize, handle: u32): u32 {
  const result = zpoolFree(pool, handle);
  if (result == 0) startVerifying(pool + POOL_INDEX);
  return result;
}

/**
 * Stores a handle (state HANDLE) or a fill word (state FILL) under a key, and frees the old page of the key.
 * @returns 0; EINVAL for no table, no such object, or a high word in a dense table; ENOMEM without a frame; EBUSY while
 *   the old
 *   page is mapped
 */
export function tableSet(pool: usize, low: u32, high: u32, value: u32, state: u32): u32 {
  const root = rootOf(pool);
  if (root == 0 || (high != 0 && tableShape(root) == DENSE)) return EINVAL;
  if (state == HANDLE) state = stateOfObject(pool, value);
  else if (state != FILL) state = 0;
  if (state == 0) return EINVAL;
  const cell = tableMake(root, low, high);
  if (cell == 0) {
    needed(1);
    return ENOMEM;
  }
  // The same handle: the old object was freed without the table, and its handle has wrapped around to the new object.
  const again = state != FILL && load<u32>(cell) == value;
  if (!again && freePage(pool, cell) != 0) return EBUSY;
  cellSet(root, cell, low, value, state);
  return 0;
}

/**
 * Stores the page in the page buffer under a key, with this codec. 0, or an error of pageStore or tableSet; then the
 * old page stays.
 */
export function tablePut(pool: usize, low: u32, high: u32, codec: u32): u32 {
  if (rootOf(pool) == 0) return EINVAL;
  const handle = pageStore(pool, codec);
  if (isError(handle)) return handle;
  const result =
    handle != 0 ? tableSet(pool, low, high, handle, HANDLE) : tableSet(pool, low, high, out(OUT_FILL), FILL);
  if (result != 0 && handle != 0) zpoolFree(pool, handle);
  return result;
}

/**
 * Looks up a key: HANDLE or FILL, the value in OUT_VALUE. ENOENT, also when its object is gone (removes the key).
 * EINVAL for no table.
 */
export function tableGet(pool: usize, low: u32, high: u32): u32 {
  const root = rootOf(pool);
  if (root == 0) return EINVAL;
  const cell = tableFind(root, low, high);
  if (cell == 0) return ENOENT;
  if (!isCurrent(pool, cell)) {
    tableRemove(root, cell, low);
    return ENOENT;
  }
  setOut(OUT_VALUE, load<u32>(cell));
  return stateOf(cell) == FILL ? FILL : HANDLE;
}

/**
 * Loads the page of a key into the page buffer. 4096; ENOENT, EINVAL for no table, EIO when the object is not a page.
 */
export function tableLoad(pool: usize, low: u32, high: u32): u32 {
  const state = tableGet(pool, low, high);
  if (isError(state)) return state;
  const value = out(OUT_VALUE);
  if (state == FILL) return pageFill(value);
  const result = pageLoad(pool, value);
  return result == EINVAL ? EIO : result; // only a forged image can have no such object
}

/** Removes a key and frees its page. 0; ENOENT, EINVAL for no table, EBUSY while the page is mapped. */
export function tableDelete(pool: usize, low: u32, high: u32): u32 {
  const root = rootOf(pool);
  if (root == 0) return EINVAL;
  const cell = tableFind(root, low, high);
  if (cell == 0) return ENOENT;
  if (freePage(pool, cell) != 0) return EBUSY;
  tableRemove(root, cell, low);
  return 0;
}

/** Removes all keys and frees their pages. 0; EINVAL for no table, EBUSY while an object of the pool is mapped. */
export function tableClear(pool: usize): u32 {
  const root = rootOf(pool);
  if (root == 0) return EINVAL;
  if (poolAt(pool).maps != 0) return EBUSY;
  // A merge of leaves may move keys to positions that the loop has already passed: so there may be more than one round.
  while (tableKeys(root) != 0) {
    let place: u32 = 0;
    for (let cell = tableNext(root, 0); cell != 0; cell = tableNext(root, place)) {
      place = out(OUT_PLACE);
      const low = out(OUT_KEY_LOW);
      freePage(pool, cell);
      tableRemove(root, cell, low);
    }
  }
  return 0;
}

/**
 * Creates the page table of a pool.
 * @returns 0, also when it has a table of this shape; EEXIST when it has one of the other shape; EINVAL for no pool or
 *   no shape
 */
export function tableOpen(pool: usize, shape: u32): u32 {
  if (!isPool(pool) || shape < DENSE || shape > SPARSE) return EINVAL;
  const root = pool + POOL_INDEX;
  if (tableShape(root) != 0) return tableShape(root) == shape ? 0 : EEXIST;
  tableStart(root, shape);
  writePoolChecksum(pool);
  return 0;
}
