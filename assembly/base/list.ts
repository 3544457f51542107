/**
 * Intrusive doubly linked lists.
 *
 * A list is one u32 word, its head, which holds the address of the first node; 0
 * means an empty list. A node has two links at a fixed offset `at`: previous, then
 * next. The `previous` of the first node is the last node, so the tail is reached
 * in O(1) from the head. The `next` of the last node is 0.
 *
 *   head ──► first ⇄ second ⇄ last ─► 0
 *              └──── previous ────►
 *
 * A node is a frame entry or a descriptor, given by its address, which is never 0.
 *
 * link, unlink and toFront are inlined: use them where every malloc or free comes
 * by, because there a call costs as much as the work. listPush, listRemove and
 * listToFront do the same and are not inlined.
 */

/* @inline */ export function listNext(node: usize, at: usize): usize {
  return load<u32>(node + at + 4);
}

/* @inline */ export function listPrevious(node: usize, at: usize): usize {
  return load<u32>(node + at);
}

/** The last node, 0 when the list is empty. */
/* @inline */ export function listTail(head: usize, at: usize): usize {
  const first = <usize>load<u32>(head);
  return first != 0 ? listPrevious(first, at) : 0;
}

/** Number of nodes. */
export function listCount(head: usize, at: usize): u32 {
  let count: u32 = 0;
  for (let node = <usize>load<u32>(head); node != 0; node = listNext(node, at)) count += 1;
  return count;
}

/** Inserts at the head. */
/* @inline */ export function link(head: usize, node: usize, at: usize): void {
  const first = <usize>load<u32>(head);
  let last = node;
  if (first != 0) {
    last = listPrevious(first, at);
    store<u32>(first + at, <u32>node);
  }
  store<u64>(node + at, (<u64>last) | ((<u64>first) << 32));
  store<u32>(head, <u32>node);
}

/** Takes a node out. Its own links keep their values. */
/* @inline */ export function unlink(head: usize, node: usize, at: usize): void {
  const previous = listPrevious(node, at);
  const next = listNext(node, at);
  const first = <usize>load<u32>(head);
  if (node == first) store<u32>(head, <u32>next);
  else store<u32>(previous + at + 4, <u32>next);
  if (next != 0) store<u32>(next + at, <u32>previous);
  else if (node != first) store<u32>(first + at, <u32>previous);
}

/** Moves a node of the list to the head. */
/* @inline */ export function toFront(head: usize, node: usize, at: usize): void {
  const first = <usize>load<u32>(head);
  if (first != node) {
    const previous = listPrevious(node, at);
    const next = listNext(node, at);
    let last = listPrevious(first, at);
    store<u32>(previous + at + 4, <u32>next);
    if (next != 0) store<u32>(next + at, <u32>previous);
    else last = previous;
    store<u32>(first + at, <u32>node);
    store<u64>(node + at, (<u64>last) | ((<u64>first) << 32));
    store<u32>(head, <u32>node);
  }
}

export function listPush(head: usize, node: usize, at: usize): void {
  link(head, node, at);
}

/** Inserts at the tail. */
export function listAppend(head: usize, node: usize, at: usize): void {
  link(head, node, at);
  const next = listNext(node, at);
  if (next == 0) return;
  // The list is a ring seen through `previous`: with the head one node further, the new node is the last.
  const last = listPrevious(node, at);
  store<u32>(last + at + 4, <u32>node);
  store<u32>(node + at + 4, 0);
  store<u32>(head, <u32>next);
}

/** Takes a node out and clears its links. */
export function listRemove(head: usize, node: usize, at: usize): void {
  unlink(head, node, at);
  store<u64>(node + at, 0);
}

/**
 * Puts a node back where listRemove took it from.
 * @param links the links of the node before listRemove. All later changes of the list must have been undone.
 */
export function listRestore(head: usize, node: usize, at: usize, links: u64): void {
  store<u64>(node + at, links);
  const next = listNext(node, at);
  const first = <usize>load<u32>(head);
  if (first == next) store<u32>(head, <u32>node);
  else store<u32>(listPrevious(node, at) + at + 4, <u32>node);
  if (next != 0) store<u32>(next + at, <u32>node);
  else if (first != 0) store<u32>(first + at, <u32>node);
}

export function listToFront(head: usize, node: usize, at: usize): void {
  toFront(head, node, at);
}
