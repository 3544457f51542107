/**
 * Pages by key: the page path and a page table in one call.
 *
 * A pool has at most one page table; its root lies in the pool's header, its
 * frames are the pool's. What a cell says of its page:
 *
 *   HANDLE  value = handle of the object that holds the page; in the state's
 *           upper 30 bits the seal of what is in it
 *   FILL    value = the word that fills it; it takes no memory beside the cell
 *
 * A page is replaced only when its successor is stored: a call that fails leaves
 * the old one. An object may be freed behind the table's back (by an evict
 * callback, say): then its page is gone, and the first call that meets it drops
 * the key. check() does not mind such a key. Its handle comes round sooner or
 * later (mem/generation.ts) and is another object's then, perhaps another key's
 * page: that is what the seal is for. An object with another seal is neither
 * loaded nor freed; one with the same seal has, but for one case in 2^30, the
 * same bytes. Seals are looked at only once something was freed by its handle
 * while the table had keys: it takes reading the whole block.
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

/** Root of a pool's page table, 0 when it has none (or is no pool). */
function rootOf(pool: usize): usize {
  if (!isPool(pool)) return 0;
  const root = pool + POOL_INDEX;
  return tableShape(root) != 0 ? root : 0;
}

/** Shape of a pool's page table, 0 for none. */
export function tableKind(pool: usize): u32 {
  const root = rootOf(pool);
  return root == 0 ? 0 : tableShape(root);
}

/** Keys of a page table. */
export function tableCount(pool: usize): u32 {
  const root = rootOf(pool);
  return root == 0 ? 0 : tableKeys(root);
}

// ── seals ────────────────────────────────────────────────────────────────────

/* @inline */ function stir(sum: u64, from: usize): u64 {
  return rotl<u64>(sum ^ load<u64>(from), 29) * FACTOR;
}

/** 30 bits that tell blocks apart; four sums side by side, since each waits for its multiplication. */
function blockHash(from: usize, bytes: u32): u32 {
  let a: u64 = bytes;
  let b: u64 = 1;
  let c: u64 = 2;
  let d: u64 = 3;
  for (; bytes >= 32; bytes -= 32) {
    a = stir(a, from);
    b = stir(b, from + 8);
    c = stir(c, from + 16);
    d = stir(d, from + 24);
    from += 32;
  }
  for (; bytes >= 8; bytes -= 8) {
    b = stir(b, from);
    from += 8;
  }
  for (; bytes != 0; bytes--) c = rotl<u64>(c ^ (<u64>load<u8>(from++)), 29) * FACTOR;
  a = (rotl<u64>(a, 17) ^ b) * FACTOR + rotl<u64>(c, 41);
  a = (a ^ (a >> 29)) * FACTOR + d;
  return <u32>(((a ^ (a >> 32)) * FACTOR) >> (32 + STATE_BITS));
}

/** The state of a cell that holds this object; 0 when there is none. */
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

/** Whether a cell has a page: a fill word, or an object that is still what was put there. */
function isCurrent(pool: usize, cell: usize): bool {
  return (
    !mustVerify(pool + POOL_INDEX) || stateOf(cell) == FILL || stateOf(cell) == stateOfObject(pool, load<u32>(cell))
  );
}

/** Frees what a cell holds. 0; EBUSY while it is mapped. */
function release(pool: usize, cell: usize): u32 {
  const state = stateOf(cell);
  if (state == 0 || state == FILL || !isCurrent(pool, cell)) return 0;
  return zpoolFree(pool, load<u32>(cell)) == EBUSY ? EBUSY : 0;
}

// ── API ──────────────────────────────────────────────────────────────────────

/** zpoolFree for those outside: the page table may have had the object. */
export function objectFree(pool: usize, handle: u32): u32 {
  const result = zpoolFree(pool, handle);
  if (result == 0) startVerifying(pool + POOL_INDEX);
  return result;
}

/**
 * Puts a handle (state HANDLE) or a fill word (FILL) under a key, and frees what was there.
 * @returns 0; EINVAL no table, no such object, or a high word in a dense table; ENOMEM no frame; EBUSY the old page is mapped
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
  // A handle that was freed behind the table's back may have come round just now, for this page.
  const again = state != FILL && load<u32>(cell) == value;
  if (!again && release(pool, cell) != 0) return EBUSY;
  cellSet(root, cell, low, value, state);
  return 0;
}

/** Stores the page in the page buffer under a key, with that codec. 0, or an error of pageStore or tableSet, and the old page stays. */
export function tablePut(pool: usize, low: u32, high: u32, codec: u32): u32 {
  if (rootOf(pool) == 0) return EINVAL;
  const handle = pageStore(pool, codec);
  if (isError(handle)) return handle;
  const result =
    handle != 0 ? tableSet(pool, low, high, handle, HANDLE) : tableSet(pool, low, high, out(OUT_FILL), FILL);
  if (result != 0 && handle != 0) zpoolFree(pool, handle);
  return result;
}

/** What is under a key: HANDLE or FILL, the value in OUT_VALUE. ENOENT, also when its object is gone: the key goes too. EINVAL no table. */
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

/** Loads the page under a key into the page buffer. 4096; ENOENT, EINVAL no table, EIO when the object is not a page. */
export function tableLoad(pool: usize, low: u32, high: u32): u32 {
  const state = tableGet(pool, low, high);
  if (isError(state)) return state;
  const value = out(OUT_VALUE);
  if (state == FILL) return pageFill(value);
  const result = pageLoad(pool, value);
  return result == EINVAL ? EIO : result; // only in an image that was made up can there be no such object
}

/** Takes a key out and frees its page. 0; ENOENT, EINVAL no table, EBUSY the page is mapped. */
export function tableDelete(pool: usize, low: u32, high: u32): u32 {
  const root = rootOf(pool);
  if (root == 0) return EINVAL;
  const cell = tableFind(root, low, high);
  if (cell == 0) return ENOENT;
  if (release(pool, cell) != 0) return EBUSY;
  tableRemove(root, cell, low);
  return 0;
}

/** Takes all keys out. 0; EINVAL no table, EBUSY an object of the pool is mapped. */
export function tableClear(pool: usize): u32 {
  const root = rootOf(pool);
  if (root == 0) return EINVAL;
  if (poolAt(pool).maps != 0) return EBUSY;
  // Joined leaves may bring keys behind the place that was reached: hence more than one round.
  while (tableKeys(root) != 0) {
    let place: u32 = 0;
    for (let cell = tableNext(root, 0); cell != 0; cell = tableNext(root, place)) {
      place = out(OUT_PLACE);
      const low = out(OUT_KEY_LOW);
      release(pool, cell);
      tableRemove(root, cell, low);
    }
  }
  return 0;
}

/** Gives a pool a page table. 0, also when it has one of that shape; EEXIST one of the other; EINVAL no pool, no shape. */
export function tableOpen(pool: usize, shape: u32): u32 {
  if (!isPool(pool) || shape < DENSE || shape > SPARSE) return EINVAL;
  const root = pool + POOL_INDEX;
  if (tableShape(root) != 0) return tableShape(root) == shape ? 0 : EEXIST;
  tableStart(root, shape);
  writePoolChecksum(pool);
  return 0;
}
