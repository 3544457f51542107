/** The rules that check() finds broken. */
import {
  RULE_BOOT, RULE_BOOT_CHECK, RULE_BUFFER, RULE_BUMP, RULE_CLASS, RULE_ENTRY, RULE_FREE_LIST, RULE_FRONT, RULE_HANDLE, RULE_INDEX,
  RULE_LIST, RULE_LRU, RULE_MAPS, RULE_OBJECT, RULE_OWNER, RULE_POOL, RULE_POOL_COUNT, RULE_POOL_LIST, RULE_SLAB, RULE_SLAB_COUNT,
  RULE_SLAB_FREE, RULE_SLAB_LIST, RULE_SLOT, RULE_SLOTS, RULE_USED, RULE_ZSPAGE,
} from '../assembly/abi.ts';

const SENTENCES = new Map<number, string>([
  [RULE_BOOT, 'boot frame: magic, layout version and geometry'],
  [RULE_BOOT_CHECK, 'boot frame: check word'],
  [RULE_BUMP, 'bump mark and the frames behind it'],
  [RULE_FREE_LIST, 'free list of frames'],
  [RULE_USED, 'number of frames in use'],
  [RULE_OWNER, 'owner word of a frame'],
  [RULE_ENTRY, 'table entry of a frame'],
  [RULE_POOL_LIST, 'list of pools'],
  [RULE_POOL, 'header of a pool'],
  [RULE_POOL_COUNT, 'counters of a pool'],
  [RULE_MAPS, 'map counts'],
  [RULE_SLAB, 'descriptor cache'],
  [RULE_SLAB_COUNT, 'descriptor cache: counts'],
  [RULE_SLAB_FREE, 'descriptor cache: free records'],
  [RULE_SLAB_LIST, 'descriptor cache: frames with room'],
  [RULE_HANDLE, 'handle record'],
  [RULE_LIST, 'list of an allocator'],
  [RULE_LRU, 'LRU of a pool'],
  [RULE_OBJECT, 'object of an allocator'],
  [RULE_CLASS, 'size class'],
  [RULE_ZSPAGE, 'zspage'],
  [RULE_SLOT, 'slot of a zspage'],
  [RULE_BUFFER, 'buffer of a mapped object'],
  [RULE_INDEX, 'page table'],
  [RULE_SLOTS, 'slot map of a backing store'],
  [RULE_FRONT, 'entry or counter of a front end'],
]);

/** What a rule says. */
export function ruleOf(rule: number): string {
  return SENTENCES.get(rule) ?? 'unknown rule';
}
