/** The page path: storing and loading pages with each allocator, compared with compressing and decompressing alone. */
import { ALLOCATORS, PAGE_SIZE, Ram, type AllocatorName, type PageEntry } from '../../bindings/index.ts';
import { overPages, trialOf } from './codec.ts';
import { time } from './measure.ts';
import type { Contender, Corpus, Table } from './types.ts';

const RAM_BYTES = '256MiB';

/** Storing and loading with one allocator. */
async function paths(allocator: AllocatorName, { pages }: Corpus): Promise<{ store: Contender; load: Contender }> {
  const ram = await Ram.create({ bytes: RAM_BYTES });
  const pool = ram.zpool(allocator);
  const into = new Uint8Array(PAGE_SIZE);
  const passes = Math.ceil(1000 / pages.length);
  let entries: PageEntry[] = [];
  const store = (): number => {
    entries.forEach((entry) => pool.freePage(entry));
    entries = [];
    return time(passes * pages.length, () => {
      for (let pass = 0; pass < passes; pass++) {
        for (const page of pages) entries.push(pool.storePage(page));
      }
    });
  };
  return {
    store: { name: allocator, round: store },
    load: {
      name: allocator,
      round: () => overPages(entries.length, (page) => pool.loadPage(entries[page] as PageEntry, into)),
    },
  };
}

export async function pageTables(corpus: Corpus): Promise<Table[]> {
  const ram = await Ram.create({ bytes: '1MiB' });
  const alone = trialOf(ram.codec('lz4'), corpus, 'codec alone');
  const count = corpus.pages.length;
  const all = await Promise.all(ALLOCATORS.map((allocator) => paths(allocator, corpus)));
  return [
    {
      title: `store a page, ${corpus.name}`,
      unit: 'ns',
      contenders: [
        { name: alone.name, round: () => overPages(count, alone.compress) },
        ...all.map(({ store }) => store),
      ],
    },
    {
      title: `load a page, ${corpus.name}`,
      unit: 'ns',
      contenders: [
        { name: alone.name, round: () => overPages(count, alone.decompress) },
        ...all.map(({ load }) => load),
      ],
    },
  ];
}
