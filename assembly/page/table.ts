/**
 * Page tables: from the number of a page to its cell, inside the RAM.
 *
 * What it is. The index that makes a pool of compressed pages a store of pages:
 * a key finds 8 bytes that its owner fills as it likes (a handle, a fill word,
 * flags). There is one shape for keys that lie close together, such as the pages
 * of a device (DENSE, a radix tree: dense.ts), and one for keys that may lie
 * anywhere, such as (type, offset) (SPARSE, extendible hashing: sparse.ts).
 * What it is not. It knows neither pools nor pages, gives no order by use, and
 * its cells move: an address is good until the next tableMake or tableRemove.
 *
 * This file is what others use of a table, and the one place that asks for its
 * shape; the check is in table-check.ts, what all of them share in table-layout.ts.
 *
 * A cell, of both shapes:  0 value   4 state, never 0 in a used cell
 *
 * Root, 32 bytes that lie with the owner:
 *   0 shape   4 frame of the top   8 height (dense), depth (sparse)
 *  12 keys   16 frames   20 leaves as deep as the directory (sparse)
 *  24 whether cells may be out of date: set by the owner, 0 again without keys
 *  28 what all used cells and their keys add up to: nothing else would contradict a changed one (check())
 *
 * Vital statistics: 8 bytes a key and 0.8 % (dense, keys without gaps); 20 to 40
 * bytes a key (sparse). At most 2^20 leaves. (What it costs in time: bench/.)
 *
 * Source: our own. (The kernel: mm/zswap.c, an rbtree a swap type up to 6.6 and
 * an xarray since; drivers/block/zram, a plain array.) Extendible hashing is that
 * of Fagin, Nievergelt, Pippenger and Strong, 1979.
 */
import { DENSE } from '../abi';
import { invariant } from '../base/debug';
import { denseFind, denseMake, denseNext, denseRemove } from './dense';
import { sparseFind, sparseMake, sparseNext, sparseRemove } from './sparse';
import { rootAt, stateOf } from './table-layout';

export { stateOf };

/** Bits of a state: HANDLE or FILL (page/store.ts). Above those of a HANDLE lies what its owner adds. */
export const STATE_BITS: u32 = 2;

// ── the sum over the cells ───────────────────────────────────────────────────

/** What a key and its contents add to a sum: any other word gives, but for one case in 2^32, another number. */
/* @inline */ export function termOf(key: u64, contents: u64): u32 {
  const mixed = (rotl<u64>((key + 1) * 0x9e3779b97f4a7c15, 32) ^ contents) * 0xd6e8feb86659fd93;
  return (<u32>(mixed >> 32)) ^ (<u32>mixed);
}

/** That of a cell, given its key in a dense table; in a sparse one the key lies before it. */
/* @inline */ function term(root: usize, cell: usize, low: u32): u32 {
  return termOf(rootAt(root).shape == DENSE ? <u64>low : load<u64>(cell - 8), load<u64>(cell));
}

// ── root ─────────────────────────────────────────────────────────────────────

/** Begins an empty table at a root of zeros. */
export function tableStart(root: usize, shape: u32): void {
  rootAt(root).shape = shape;
}

/** DENSE, SPARSE; 0 for a root where no table was begun. */
/* @inline */ export function tableShape(root: usize): u32 {
  return rootAt(root).shape;
}

/* @inline */ export function tableKeys(root: usize): u32 {
  return rootAt(root).keys;
}

/** Notes that cells may be out of date from now on. */
/* @inline */ export function startVerifying(root: usize): void {
  if (rootAt(root).keys != 0) rootAt(root).mustVerify = 1;
}

/* @inline */ export function mustVerify(root: usize): bool {
  return rootAt(root).mustVerify != 0;
}

// ── cells ────────────────────────────────────────────────────────────────────

/** The cell of a key, 0 when it is not in the table. */
export function tableFind(root: usize, low: u32, high: u32): usize {
  if (rootAt(root).keys == 0) return 0;
  if (rootAt(root).shape == DENSE) return high == 0 ? denseFind(root, low) : 0;
  return sparseFind(root, low, high);
}

/**
 * The cell of a key; a new one has state 0, and the caller must give it its contents at once,
 * with cellSet.
 * @param high 0 in a dense table
 * @returns 0 without a frame; no key has changed then
 */
export function tableMake(root: usize, low: u32, high: u32): usize {
  const cell = rootAt(root).shape == DENSE ? denseMake(root, low) : sparseMake(root, low, high);
  if (cell == 0) return 0;
  if (stateOf(cell) == 0) rootAt(root).keys += 1;
  return cell;
}

/** Gives a cell its contents, state never 0. @param low word of its key */
export function cellSet(root: usize, cell: usize, low: u32, value: u32, state: u32): void {
  let sum = rootAt(root).sum;
  if (stateOf(cell) != 0) sum ^= term(root, cell, low);
  store<u64>(cell, (<u64>value) | ((<u64>state) << 32));
  rootAt(root).sum = sum ^ term(root, cell, low);
}

/** Takes the key of a cell (tableFind) out of the table. */
export function tableRemove(root: usize, cell: usize, low: u32): void {
  invariant(stateOf(cell) != 0);
  rootAt(root).sum ^= term(root, cell, low);
  rootAt(root).keys -= 1;
  if (rootAt(root).keys == 0) rootAt(root).mustVerify = 0;
  if (rootAt(root).shape == DENSE) denseRemove(root, cell, low);
  else sparseRemove(root, cell - 8);
}

/**
 * The first cell at or behind a place, for going through all keys from place 0
 * on. Dense: the place is the key, keys ascend. Sparse: 256 · word of the
 * directory + slot; no order.
 * @returns the cell, its key in OUT_KEY_LOW and OUT_KEY_HIGH, its place in OUT_PLACE; 0 at the end
 */
export function tableNext(root: usize, place: u32): usize {
  if (rootAt(root).keys == 0) return 0;
  return rootAt(root).shape == DENSE ? denseNext(root, place) : sparseNext(root, place);
}
