/**
 * Page tables: from the key of a page to its cell, inside the RAM.
 *
 * What it is. The index of a pool of compressed pages. A key leads to a cell of 8
 * bytes, whose contents the owner of the table defines (a handle, a fill word, flags).
 * One shape is for keys that are close together, such as the pages of a device (DENSE,
 * a radix tree: dense.ts). The other shape is for any keys, such as (type, offset)
 * (SPARSE, extendible hashing: sparse.ts).
 * What it is not. It does not use pools or pages, it has no order by use, and its
 * cells move: the address of a cell is valid until the next tableMake or tableRemove.
 *
 * Other modules use a table through this file only, and only this file tests the
 * shape. The check is in table-check.ts, the shared parts are in table-layout.ts.
 *
 * A cell, in both shapes:  0 value   4 state, never 0 in a used cell
 *
 * Root, 32 bytes in the header of the owner:
 *   0 shape   4 top frame   8 height (dense), depth (sparse)
 *  12 keys   16 frames   20 number of leaves with the depth of the directory (sparse)
 *  24 1 when cells may be out of date: set by the owner, 0 again when there are no keys
 *  28 checksum of all used cells and their keys: check() cannot derive them from anything else
 *
 * Vital statistics: 8 bytes for each key and 0.8 % (dense, keys without gaps); 20 to 40
 * bytes for each key (sparse). At most 2^20 leaves. (For times see bench/.)
 *
 * Source: our own. (The kernel: mm/zswap.c, an rbtree for each swap type up to 6.6 and
 * an xarray since then; drivers/block/zram, an array.) Extendible hashing is that of
 * Fagin, Nievergelt, Pippenger and Strong, 1979.
 */
import { DENSE } from '../abi';
import { invariant } from '../base/debug';
import { denseFind, denseMake, denseNext, denseRemove } from './dense';
import { sparseFind, sparseMake, sparseNext, sparseRemove } from './sparse';
import { rootAt, stateOf } from './table-layout';

export { stateOf };

/** Bits of a state that hold HANDLE or FILL (page/store.ts). The owner of the table defines the bits above. */
export const STATE_BITS: u32 = 2;

// ── checksum of the cells ────────────────────────────────────────────────────

/**
 * The term of one cell in the checksum, from its key and contents. A changed word changes it, apart from one case in
 * 2^32.
 */
/* @inline */ export function termOf(key: u64, contents: u64): u32 {
  const mixed = (rotl<u64>((key + 1) * 0x9e3779b97f4a7c15, 32) ^ contents) * 0xd6e8feb86659fd93;
  return (<u32>(mixed >> 32)) ^ (<u32>mixed);
}

/** termOf for a cell. @param low the key in a dense table; in a sparse table, the key is in memory before the cell */
/* @inline */ function term(root: usize, cell: usize, low: u32): u32 {
  return termOf(rootAt(root).shape == DENSE ? <u64>low : load<u64>(cell - 8), load<u64>(cell));
}

// ── root ─────────────────────────────────────────────────────────────────────

/** Creates an empty table at a root of zeros. */
export function tableStart(root: usize, shape: u32): void {
  rootAt(root).shape = shape;
}

/** DENSE or SPARSE; 0 for a root without a table. */
/* @inline */ export function tableShape(root: usize): u32 {
  return rootAt(root).shape;
}

/* @inline */ export function tableKeys(root: usize): u32 {
  return rootAt(root).keys;
}

/** Notes that cells may be out of date from now on: their objects must be verified. */
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
 * The cell of a key, created if necessary. A new cell has state 0; the caller must set its contents
 * at once, with cellSet.
 * @param high 0 in a dense table
 * @returns the cell; 0 without a frame, and then no key has changed
 */
export function tableMake(root: usize, low: u32, high: u32): usize {
  const cell = rootAt(root).shape == DENSE ? denseMake(root, low) : sparseMake(root, low, high);
  if (cell == 0) return 0;
  if (stateOf(cell) == 0) rootAt(root).keys += 1;
  return cell;
}

/** Sets the contents of a cell. @param low low word of its key @param state not 0 */
export function cellSet(root: usize, cell: usize, low: u32, value: u32, state: u32): void {
  let sum = rootAt(root).sum;
  if (stateOf(cell) != 0) sum ^= term(root, cell, low);
  store<u64>(cell, (<u64>value) | ((<u64>state) << 32));
  rootAt(root).sum = sum ^ term(root, cell, low);
}

/** Removes the key of a cell. @param low low word of the key */
export function tableRemove(root: usize, cell: usize, low: u32): void {
  invariant(stateOf(cell) != 0);
  rootAt(root).sum ^= term(root, cell, low);
  rootAt(root).keys -= 1;
  if (rootAt(root).keys == 0) rootAt(root).mustVerify = 0;
  if (rootAt(root).shape == DENSE) denseRemove(root, cell, low);
  else sparseRemove(root, cell - 8);
}

/**
 * The first used cell from a position on; a loop over all keys begins with position 0.
 * Dense: the position is the key, and keys ascend. Sparse: the position is 256 · word of
 * the directory + item, and keys are in no order.
 * @returns the cell, its key in OUT_KEY_LOW and OUT_KEY_HIGH, its position in OUT_PLACE; 0 at the end
 */
export function tableNext(root: usize, place: u32): usize {
  if (rootAt(root).keys == 0) return 0;
  return rootAt(root).shape == DENSE ? denseNext(root, place) : sparseNext(root, place);
}
