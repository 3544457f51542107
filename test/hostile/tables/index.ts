/** The calls of all classes that need no Node module. */
import type { Entry } from '../world.ts';
import { CODEC, PAGE_TABLE, RAM, ZPOOL } from './core.ts';
import { RAMZSWAP, SWAP_SPACE, ZSWAP } from './fronts.ts';
import { KEYV_STORE, MEMORY_STORE, OPFS_STORE } from './stores.ts';

export const CLASSES: ReadonlyMap<string, readonly Entry[]> = new Map(
  Object.entries({
    Ram: RAM,
    Zpool: ZPOOL,
    PageTable: PAGE_TABLE,
    Codec: CODEC,
    Zswap: ZSWAP,
    SwapSpace: SWAP_SPACE,
    Ramzswap: RAMZSWAP,
    MemoryStore: MEMORY_STORE,
    KeyvStore: KEYV_STORE,
    OpfsStore: OPFS_STORE,
  }),
);
