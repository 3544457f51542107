/**
 * Intrusive doubly linked lists.
 *
 * A list is one u32 cell that holds the address of its first node, 0 when it is
 * empty. A node carries two links at a fixed offset `at`: previous, then next.
 * The first node's `previous` is the last node, so the tail is reached in O(1)
 * from one cell; the last node's `next` is 0.
 *
 *   cell ──► first ⇄ second ⇄ last ─► 0
 *              └──── previous ────►
 *
 * Nodes are addresses of frame table entries or descriptors, never 0.
 *
 * link, unlink and toFront are inlined where they are called, which is for the
 * ways that malloc and free take every time (a call costs as much as the work);
 * listPush, listRemove and listToFront are the same as functions.
 */

/* @inline */ export function listNext(node: usize, at: usize): usize {
  return load<u32>(node + at + 4);
}

/* @inline */ export function listPrevious(node: usize, at: usize): usize {
  return load<u32>(node + at);
}

/** The last node, 0 when the list is empty. */
/* @inline */ export function listTail(cell: usize, at: usize): usize {
  const first = <usize>load<u32>(cell);
  return first != 0 ? listPrevious(first, at) : 0;
}

/** Number of nodes. */
export function listCount(cell: usize, at: usize): u32 {
  let count: u32 = 0;
  for (let node = <usize>load<u32>(cell); node != 0; node = listNext(node, at)) count += 1;
  return count;
}

/** Inserts at the head. */
/* @inline */ export function link(cell: usize, node: usize, at: usize): void {
  const first = <usize>load<u32>(cell);
  let last = node;
  if (first != 0) {
    last = listPrevious(first, at);
    store<u32>(first + at, <u32>node);
  }
  store<u64>(node + at, (<u64>last) | ((<u64>first) << 32));
  store<u32>(cell, <u32>node);
}

/** Takes a node out; its links stay as they are. */
/* @inline */ export function unlink(cell: usize, node: usize, at: usize): void {
  const previous = listPrevious(node, at);
  const next = listNext(node, at);
  const first = <usize>load<u32>(cell);
  if (node == first) store<u32>(cell, <u32>next);
  else store<u32>(previous + at + 4, <u32>next);
  if (next != 0) store<u32>(next + at, <u32>previous);
  else if (node != first) store<u32>(first + at, <u32>previous);
}

/** Moves a node that is in the list to its head. */
/* @inline */ export function toFront(cell: usize, node: usize, at: usize): void {
  const first = <usize>load<u32>(cell);
  if (first != node) {
    const previous = listPrevious(node, at);
    const next = listNext(node, at);
    let last = listPrevious(first, at);
    store<u32>(previous + at + 4, <u32>next);
    if (next != 0) store<u32>(next + at, <u32>previous);
    else last = previous;
    store<u32>(first + at, <u32>node);
    store<u64>(node + at, (<u64>last) | ((<u64>first) << 32));
    store<u32>(cell, <u32>node);
  }
}

export function listPush(cell: usize, node: usize, at: usize): void {
  link(cell, node, at);
}

/** Inserts at the tail. */
export function listAppend(cell: usize, node: usize, at: usize): void {
  link(cell, node, at);
  const next = listNext(node, at);
  if (next == 0) return;
  // One turn on: what was first is first again, and what was put before it is last.
  const last = listPrevious(node, at);
  store<u32>(last + at + 4, <u32>node);
  store<u32>(node + at + 4, 0);
  store<u32>(cell, <u32>next);
}

/** Takes a node out and clears its links. */
export function listRemove(cell: usize, node: usize, at: usize): void {
  unlink(cell, node, at);
  store<u64>(node + at, 0);
}

/** Puts a node back to where listRemove took it from, given its links of then; all later changes have been undone before. */
export function listRestore(cell: usize, node: usize, at: usize, links: u64): void {
  store<u64>(node + at, links);
  const next = listNext(node, at);
  const first = <usize>load<u32>(cell);
  if (first == next) store<u32>(cell, <u32>node);
  else store<u32>(listPrevious(node, at) + at + 4, <u32>node);
  if (next != 0) store<u32>(next + at, <u32>node);
  else if (first != 0) store<u32>(first + at, <u32>node);
}

export function listToFront(cell: usize, node: usize, at: usize): void {
  toFront(cell, node, at);
}
