/**
 * Pages by key: the page path and a page table in one call.
 *
 * A pool has at most one page table; its root lies in the pool's header, its
 * frames are the pool's. What a cell says of its page:
 *
 *   HANDLE  value = handle of the object that holds the page
 *   FILL    value = the word that fills it; it takes no memory beside the cell
 *
 * A page is replaced only when its successor is stored: a call that fails leaves
 * the old one. An object may be freed behind the table's back (by an evict
 * callback, say): then its page is gone, and the first call that meets it drops
 * the key. check() does not mind such a key.
 */
import { EBUSY, EINVAL, ENOENT, ENOMEM, isError } from '../base/errno';
import { POOL_INDEX, isPool, poolAt } from '../mem/pool';
import { OUT_A, OUT_C, out, setOut } from '../mem/scratch';
import { needed } from '../mem/frame';
import { zpoolFree } from '../zpool';
import { pageFill, pageLoad, pageStore } from './path';
import {
  DENSE, FILL, HANDLE, stateOf, tableFind, tableKeys, tableMake, tableNext, tableRemove, tableShape,
} from './table';


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

/** Frees what a cell holds. 0; EBUSY while it is mapped. */
function release(pool: usize, cell: usize): u32 {
  return stateOf(cell) == HANDLE && zpoolFree(pool, load<u32>(cell)) == EBUSY ? EBUSY : 0;
}

/**
 * Puts a handle (state HANDLE, 1) or a fill word (FILL, 2) under a key, and frees what was there.
 * @returns 0; EINVAL no table, or a high word in a dense one; ENOMEM no frame; EBUSY the old page is mapped
 */
export function tableSet(pool: usize, low: u32, high: u32, value: u32, state: u32): u32 {
  const root = rootOf(pool);
  if (root == 0 || state < HANDLE || state > FILL || (high != 0 && tableShape(root) == DENSE)) return EINVAL;
  const cell = tableMake(root, low, high);
  if (cell == 0) {
    needed(1);
    return ENOMEM;
  }
  if (release(pool, cell) != 0) return EBUSY;
  store<u32>(cell, value);
  store<u32>(cell, state, 4);
  return 0;
}

/** Stores the page in the page buffer under a key, with that codec. 0, or an error of pageStore or tableSet, and the old page stays. */
export function tablePut(pool: usize, low: u32, high: u32, codec: u32): u32 {
  if (rootOf(pool) == 0) return EINVAL;
  const handle = pageStore(pool, codec);
  if (isError(handle)) return handle;
  const result = handle != 0 ? tableSet(pool, low, high, handle, HANDLE) : tableSet(pool, low, high, out(OUT_A), FILL);
  if (result != 0 && handle != 0) zpoolFree(pool, handle);
  return result;
}

/** What is under a key: its state, the value in OUT_A. ENOENT, EINVAL no table. */
export function tableGet(pool: usize, low: u32, high: u32): u32 {
  const root = rootOf(pool);
  if (root == 0) return EINVAL;
  const cell = tableFind(root, low, high);
  if (cell == 0) return ENOENT;
  setOut(OUT_A, load<u32>(cell));
  return stateOf(cell);
}

/** Loads the page under a key into the page buffer. 4096; ENOENT, EINVAL no table, EIO when the object is not a page. */
export function tableLoad(pool: usize, low: u32, high: u32): u32 {
  const state = tableGet(pool, low, high);
  if (isError(state)) return state;
  const value = out(OUT_A);
  if (state == FILL) return pageFill(value);
  const result = pageLoad(pool, value);
  if (result != EINVAL) return result;
  tableDelete(pool, low, high);
  return ENOENT;
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
      place = out(OUT_C);
      const low = out(OUT_A);
      release(pool, cell);
      tableRemove(root, cell, low);
    }
  }
  return 0;
}
