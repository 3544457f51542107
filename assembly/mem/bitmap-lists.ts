/**
 * 64 lists of a pool, and a mask of those that have a node.
 *
 * zbud and z3fold keep their frames in such lists, by free chunks; xcfmalloc its
 * free blocks, by units. With the mask the first list from a given one on that
 * has a node is found by counting zeros.
 *
 *   pool  256 cells of the lists (base/list.ts), 64 u32
 *         512 u64: bit n is set while list n has a node
 *
 * What malloc and free use is inlined.
 */
import { link, listCount, unlink } from '../base/list';
import { POOL_TABLES } from './pool';
import { UNSOUND, listLength } from './verify';

export const LISTS: u32 = 64;
const LIST_MASK: usize = POOL_TABLES + 4 * <usize>LISTS;

/* @inline */ export function listCell(pool: usize, list: u32): usize {
  return pool + POOL_TABLES + ((<usize>list) << 2);
}

/** The first node of a list, 0 when it is empty. */
/* @inline */ export function listHead(pool: usize, list: u32): usize {
  return <usize>load<u32>(pool + ((<usize>list) << 2), POOL_TABLES);
}

/** The lists that have a node, as bits. */
/* @inline */ export function listMask(pool: usize): u64 {
  return load<u64>(pool, LIST_MASK);
}

/* @inline */ export function setListMask(pool: usize, mask: u64): void {
  store<u64>(pool, mask, LIST_MASK);
}

/* @inline */ export function listBit(list: u32): u64 {
  return (<u64>1) << list;
}

/** Of a set of lists, those from `list` (0..63) on. */
/* @inline */ export function listsFrom(mask: u64, list: u32): u64 {
  return mask & ((<u64>-1) << list);
}

/** Of a set of lists, those above `list` (0..63). */
/* @inline */ export function listsAbove(mask: u64, list: u32): u64 {
  return mask & ((<u64>-2) << list);
}

/** Puts a node, whose links are at `at`, at the head of a list. */
/* @inline */ export function putOnList(pool: usize, list: u32, node: usize, at: usize): void {
  link(listCell(pool, list), node, at);
  setListMask(pool, listMask(pool) | listBit(list));
}

/** Takes a node off its list and clears its links. */
/* @inline */ export function takeOffList(pool: usize, list: u32, node: usize, at: usize): void {
  const cell = listCell(pool, list);
  unlink(cell, node, at);
  store<u64>(node + at, 0);
  if (load<u32>(cell) == 0) setListMask(pool, listMask(pool) & ~listBit(list));
}

/** Nodes of a list. */
export function nodesOnList(pool: usize, list: u32, at: usize): u32 {
  return listCount(listCell(pool, list), at);
}

/** listLength for one of these lists: UNSOUND also when its bit in the mask is wrong. */
export function soundLength(pool: usize, list: u32, at: usize, most: u32, owner: u32, bytes: u32): u32 {
  const length = listLength(listCell(pool, list), at, most, owner, bytes);
  return (length != 0) == ((listMask(pool) & listBit(list)) != 0) ? length : UNSOUND;
}
