/**
 * Building blocks of check(): the rules, the report of a broken rule, and a walk
 * over a list that trusts nothing.
 *
 * A check must survive any bytes (an image from outside may hold anything). So it
 * verifies the target of each link before it follows the link, and every loop is
 * bounded by a count.
 */
import { OUT_RULE, OUT_RULE_FRAME } from '../abi';
import { EUCLEAN } from '../base/errno';
import {
  ENTRY_BYTES,
  FRAME_DATA,
  FRAME_RAW,
  PAGE_MASK,
  PAGE_SHIFT,
  RECORD_FREE,
  SLAB_CACHE,
  SLAB_FRESH,
  entryOf,
  entryOwner,
  frameExists,
  frameOf,
  tableOf,
} from './layout';
import { setOut } from './scratch';
import { listNext, listPrevious } from '../base/list';

export {
  RULE_BOOT,
  RULE_BOOT_CHECK,
  RULE_BUFFER,
  RULE_BUMP,
  RULE_CLASS,
  RULE_ENTRY,
  RULE_FREE_LIST,
  RULE_FRONT,
  RULE_HANDLE,
  RULE_INDEX,
  RULE_LIST,
  RULE_LRU,
  RULE_MAPS,
  RULE_OBJECT,
  RULE_OWNER,
  RULE_POOL,
  RULE_POOL_COUNT,
  RULE_POOL_LIST,
  RULE_SLAB,
  RULE_SLAB_COUNT,
  RULE_SLAB_FREE,
  RULE_SLAB_LIST,
  RULE_SLOT,
  RULE_SLOTS,
  RULE_USED,
  RULE_ZSPAGE,
} from '../abi';

/** Reports a broken rule. Returns EUCLEAN, so that a check can return this call. */
export function broken(rule: u32, frame: u32): u32 {
  setOut(OUT_RULE, rule);
  setOut(OUT_RULE_FRAME, frame);
  return EUCLEAN;
}

/** True when an address is that of the frame entry of a frame below the bump mark. */
function isEntry(address: usize): bool {
  if (((<u32>address) & (ENTRY_BYTES - 1)) != 0) return false;
  const frame = <u32>(address >> PAGE_SHIFT);
  if (frame != tableOf(frame)) return false;
  return frameExists(frameOf(address));
}

/** In place of the bytes of a record: any size. Use it only when slabCheck has passed for all caches of that owner. */
export const ANY_SIZE: u32 = 1;

/** True when an address is that of a used record of `bytes` bytes in a slab frame with this owner word. */
export function isRecord(address: usize, owner: u32, bytes: u32): bool {
  const frame = <u32>(address >> PAGE_SHIFT);
  if (!frameExists(frame)) return false;
  const entry = entryOf(frame);
  if (entryOwner(entry) != owner) return false;
  if (bytes == ANY_SIZE) bytes = load<u32>(load<u32>(entry, SLAB_CACHE)) & 0xffff;
  const offset = (<u32>address) & PAGE_MASK;
  if (offset % bytes != 0 || offset >= <u32>load<u16>(entry + SLAB_FRESH)) return false;
  return (load<u32>(address) & RECORD_FREE) == 0;
}

/** In place of a frame type: FRAME_DATA or FRAME_RAW, either of them. */
export const FRAME_EITHER: u32 = 0xfff;
/** Result of listLength for a damaged list. */
export const UNSOUND: u32 = 0xffffffff;

/** True when a node is the frame entry of a frame with this owner (bytes = 0), or a used record in such a frame. */
function isNode(node: usize, owner: u32, bytes: u32): bool {
  if (bytes != 0) return isRecord(node, owner, bytes);
  if (!isEntry(node)) return false;
  if ((owner & PAGE_MASK) != FRAME_EITHER) return entryOwner(node) == owner;
  const type = entryOwner(node) ^ (owner & ~PAGE_MASK);
  return type == FRAME_DATA || type == FRAME_RAW;
}

/**
 * Number of nodes of a list. UNSOUND when a node is not what it should be (isNode), when
 * the links of the two directions disagree, or when there are more than `most` nodes.
 */
export function listLength(head: usize, at: usize, most: u32, owner: u32, bytes: u32): u32 {
  const first = <usize>load<u32>(head);
  let last: usize = 0;
  let seen: u32 = 0;
  for (let node = first; node != 0; node = listNext(node, at)) {
    if (seen == most || !isNode(node, owner, bytes)) return UNSOUND;
    if (last != 0 && listPrevious(node, at) != last) return UNSOUND;
    last = node;
    seen += 1;
  }
  return first != 0 && listPrevious(first, at) != last ? UNSOUND : seen;
}

/** listLength for a ring of frames with this owner. `ring` is the node that stands for the head. */
export function ringLength(ring: usize, at: usize, most: u32, owner: u32): u32 {
  let last = ring;
  let seen: u32 = 0;
  for (let node = listNext(ring, at); node != ring; node = listNext(node, at)) {
    if (seen == most || !isNode(node, owner, 0) || listPrevious(node, at) != last) return UNSOUND;
    last = node;
    seen += 1;
  }
  return listPrevious(ring, at) == last ? seen : UNSOUND;
}
