/** Pages in a zpool: numbers to entries, the entries of same-filled pages being negative. */
import { PAGE_SIZE, Ram, type AllocatorName, type PageEntry } from '../../bindings/index.ts';
import type { Store } from './types.ts';

/** Never an entry: a handle is not 0. */
const NONE = 0;

/** @param pages how many pages there will be at most */
export async function compcache(allocator: AllocatorName, pages: number): Promise<Store> {
  const ram = await Ram.create({ bytes: Math.min(2 ** 32, pages * PAGE_SIZE + 2 ** 26) });
  const pool = ram.zpool(allocator);
  const entries = new Float64Array(pages).fill(NONE);
  return {
    put(number, page) {
      const old = entries[number] as number;
      if (old !== NONE) pool.freePage(old as PageEntry);
      entries[number] = pool.storePage(page);
    },
    get(number, into) {
      pool.loadPage(entries[number] as PageEntry, into);
      return into;
    },
  };
}
