/**
 * 64 lists of a pool, and a bitmap of the lists that are not empty.
 *
 * zbud and z3fold keep their frames on such lists, by the number of free chunks;
 * xcfmalloc keeps its free blocks on them, by the number of units. The bitmap gives
 * the first list that is not empty, from a given one on, by counting zeros.
 *
 *   pool  256 heads of the lists (base/list.ts), 64 u32
 *         512 u64: bit n is set while list n is not empty
 *
 * The functions that malloc and free use are inlined.
 */
import { link, listCount, unlink } from '../base/list';
import { POOL_TABLES } from './pool';
import { UNSOUND, listLength } from './verify';

export const LISTS: u32 = 64;
const LIST_MASK: usize = POOL_TABLES + 4 * <usize>LISTS;

/* @inline */ export function listAt(pool: usize, list: u32): usize {
  return pool + POOL_TABLES + ((<usize>list) << 2);
}

/** The first node of a list, 0 when it is empty. */
/* @inline */ export function listHead(pool: usize, list: u32): usize {
  return <usize>load<u32>(pool + ((<usize>list) << 2), POOL_TABLES);
}

/** The lists that are not empty, as bits. */
/* @inline */ export function listMask(pool: usize): u64 {
  return load<u64>(pool, LIST_MASK);
}

/* @inline */ export function setListMask(pool: usize, mask: u64): void {
  store<u64>(pool, mask, LIST_MASK);
}

/* @inline */ export function listBit(list: u32): u64 {
  return (<u64>1) << list;
}

/** The lists of a set that are `list` (0..63) or above. */
/* @inline */ export function listsFrom(mask: u64, list: u32): u64 {
  return mask & ((<u64>-1) << list);
}

/** The lists of a set that are above `list` (0..63). */
/* @inline */ export function listsAbove(mask: u64, list: u32): u64 {
  return mask & ((<u64>-2) << list);
}

/** Puts a node, with its links at offset `at`, at the head of a list. */
/* @inline */ export function putOnList(pool: usize, list: u32, node: usize, at: usize): void {
  link(listAt(pool, list), node, at);
  setListMask(pool, listMask(pool) | listBit(list));
}

/** Takes a node off its list and clears its links. */
/* @inline */ export function takeOffList(pool: usize, list: u32, node: usize, at: usize): void {
  const head = listAt(pool, list);
  unlink(head, node, at);
  store<u64>(node + at, 0);
  if (load<u32>(head) == 0) setListMask(pool, listMask(pool) & ~listBit(list));
}

/** Number of nodes on a list. */
export function nodesOnList(pool: usize, list: u32, at: usize): u32 {
  return listCount(listAt(pool, list), at);
}

/** listLength for one of these lists. The result is UNSOUND also when the bit of the list in the bitmap is wrong. */
export function soundLength(pool: usize, list: u32, at: usize, most: u32, owner: u32, bytes: u32): u32 {
  const length = listLength(listAt(pool, list), at, most, owner, bytes);
  return (length != 0) == ((listMask(pool) & listBit(list)) != 0) ? length : UNSOUND;
}
