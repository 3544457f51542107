/** Stores pages by number in a zpool. Its page table is the index. */
import { PAGE_SIZE, Ram, type AllocatorName } from '../../bindings/index.ts';
import type { Store } from './types.ts';

/** @param pages the most pages that will be stored */
export async function compcache(allocator: AllocatorName, pages: number): Promise<Store> {
  const ram = await Ram.create({ bytes: Math.min(2 ** 32, pages * PAGE_SIZE + 2 ** 26) });
  const table = ram.zpool(allocator).pageTable('dense');
  return {
    put: (number, page) => table.put(number, page),
    get(number, into) {
      table.get(number, into);
      return into;
    },
  };
}
