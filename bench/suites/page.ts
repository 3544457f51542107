/** The page path: compressing alone, then storing and loading pages of a corpus under each allocator. */
import { ALLOCATORS, PAGE_SIZE, Ram, type PageEntry } from '../../bindings/index.ts';
import { time, type Contender } from '../measure.ts';

export async function contenders(pages: Uint8Array[]): Promise<Contender[]> {
  const ram = await Ram.create({ bytes: '1MiB' });
  const codec = ram.codec('lz4');
  const block = new Uint8Array(PAGE_SIZE + 64);
  const alone = { name: 'codec lz4 compress', round: () => time(pages.length, () => pages.forEach((page) => codec.compress(page, block))) };
  const stores = await Promise.all(ALLOCATORS.map(async (allocator) => {
    const home = await Ram.create({ bytes: '256MiB' });
    const pool = home.zpool(allocator);
    const into = new Uint8Array(PAGE_SIZE);
    let entries: PageEntry[] = [];
    return [
      {
        name: `${allocator} store`,
        round: () => {
          entries.forEach((entry) => pool.freePage(entry));
          entries = [];
          return time(pages.length, () => pages.forEach((page) => void entries.push(pool.storePage(page))));
        },
      },
      { name: `${allocator} load`, round: () => time(pages.length, () => entries.forEach((entry) => pool.loadPage(entry, into))) },
    ];
  }));
  return [alone, ...stores.flat()];
}
