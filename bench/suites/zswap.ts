/**
 * zswap, compared with the same pages in a zpool without keys and in a page table: stores, loads from the pool, loads
 * from a backing store, and writing back. Also swap spaces whose pages do not all fit into the RAM, even compressed.
 * LZ4, zsmalloc.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileStore } from '../../bindings/backing/file.ts';
import {
  ALLOCATORS,
  MemoryStore,
  PAGE_SIZE,
  Ram,
  SwapSpace,
  Zswap,
  type BackingStore,
  type PageEntry,
} from '../../bindings/index.ts';
import { requireSame } from '../../cli/bench/codec.ts';
import { createDraw } from '../../cli/bench/draw.ts';
import { time } from '../../cli/bench/measure.ts';
import type { Contender, Corpus, Table } from '../../cli/bench/types.ts';
import { CountingStore } from '../../cli/swap/store.ts';
import { zipf } from '../../cli/zipf.ts';

const VICTIMS = ['entry', 'page'] as const;
type Victims = (typeof VICTIMS)[number];

const RAM_BYTES = '256MiB';
const PAGES_A_ROUND = 1024; // at least
const SWAP_FRAMES = 512;
/** Four times as many pages as frames would still fit, compressed. */
const WORKING_SET = 16 * SWAP_FRAMES;
const ASKED_PARTS = 64;

/** Stores pages by number. */
interface Container {
  name: string;
  put(number: number, page: Uint8Array): void;
  get(number: number, into: Uint8Array): void;
  drop(number: number): void;
}

async function entries(): Promise<Container> {
  const pool = (await Ram.create({ bytes: RAM_BYTES })).zpool('zsmalloc');
  const all: PageEntry[] = [];
  return {
    name: 'storePage, loadPage',
    put: (number, page) => void (all[number] = pool.storePage(page)),
    get: (number, into) => pool.loadPage(all[number] as PageEntry, into),
    drop: (number) => pool.freePage(all[number] as PageEntry),
  };
}

async function table(): Promise<Container> {
  const keys = (await Ram.create({ bytes: RAM_BYTES })).zpool('zsmalloc').pageTable('sparse');
  return {
    name: 'pageTable',
    put: (number, page) => keys.put(number, page),
    get: (number, into) => void keys.get(number, into),
    drop: (number) => void keys.delete(number),
  };
}

async function zswapContainer(victims: Victims): Promise<Container> {
  const zswap = await Zswap.create({ bytes: RAM_BYTES, victims, store: new MemoryStore() });
  return {
    name: `zswap, ${victims}`,
    put: (number, page) => void zswap.store(0, number, page),
    get: (number, into) => void zswap.load(0, number, into),
    drop: (number) => void zswap.invalidatePage(0, number),
  };
}

/** Storing and loading in memory only. */
async function* hits({ name, pages }: Corpus): AsyncGenerator<Table> {
  const count = roundOf(pages);
  const into = Buffer.alloc(PAGE_SIZE);
  const containers = [await entries(), await table(), ...(await Promise.all(VICTIMS.map(zswapContainer)))];
  const drop = (container: Container): void => repeat(count, (number) => container.drop(number));
  const fill = (container: Container): void =>
    repeat(count, (number) => container.put(number, pages[number % pages.length] as Buffer));
  containers.forEach(fill);
  yield {
    title: `store a page, ${name}`,
    unit: 'ns',
    contenders: containers.map((container): Contender => ({
      name: container.name,
      round: () => {
        drop(container);
        return time(count, () => fill(container));
      },
    })),
  };
  for (const container of containers) {
    repeat(count, (number) => {
      container.get(number, into);
      requireSame(container.name, pages[number % pages.length] as Buffer, into);
    });
  }
  yield {
    title: `load a page, ${name}`,
    unit: 'ns',
    contenders: containers.map((container) => ({
      name: container.name,
      round: () => time(count, () => repeat(count, (number) => container.get(number, into))),
    })),
  };
}

/** Functions that make a backing store, by name. */
type StoreMaker = (slots: number) => BackingStore | Promise<BackingStore>;
type Stores = Record<string, StoreMaker>;

/** Writing back to a store, and loading from it. */
async function* writeback({ name, pages }: Corpus, stores: Stores): AsyncGenerator<Table> {
  const count = roundOf(pages);
  const into = Buffer.alloc(PAGE_SIZE);
  const fill = (zswap: Zswap): void =>
    repeat(count, (number) => void zswap.store(0, number, pages[number % pages.length] as Buffer));
  const made = async (victims: Victims, store: string): Promise<{ name: string; zswap: Zswap }> => ({
    name: `${store} store, ${victims}`,
    zswap: await Zswap.create({
      bytes: RAM_BYTES,
      victims,
      sameFilled: false,
      store: await (stores[store] as StoreMaker)(count),
    }),
  });
  const pool = await made('entry', 'memory');
  fill(pool.zswap);
  const all = await Promise.all(Object.keys(stores).flatMap((store) => VICTIMS.map((victims) => made(victims, store))));
  const load = (zswap: Zswap): number => time(count, () => repeat(count, (number) => void zswap.load(0, number, into)));
  yield {
    title: `write a page back, ${name}`,
    unit: 'ns',
    contenders: all.map(({ name: contender, zswap }) => ({
      name: contender,
      round: () => {
        zswap.invalidateArea(0);
        fill(zswap);
        return time(count, () => {
          if (zswap.writeback(count) !== count) throw new Error(`${contender}: not all pages were written`);
        });
      },
    })),
  };
  yield {
    title: `load a page from the store, ${name}`,
    unit: 'ns',
    contenders: [
      { name: 'from the pool', round: () => load(pool.zswap) },
      ...all.map(({ name: contender, zswap }) => ({ name: contender, round: () => load(zswap) })),
    ],
  };
  for (const { zswap } of [pool, ...all]) await zswap.close();
}

/** Swap spaces with many times more pages than frames. The pages are chosen by Zipf's law. */
async function* swapping({ name, pages }: Corpus, stores: Stores): AsyncGenerator<Table> {
  const draw = createDraw(1);
  const into = Buffer.alloc(PAGE_SIZE);
  const pageOf = (slot: number): Buffer => pages[slot % pages.length] as Buffer;
  const spaces: { name: string; space: SwapSpace; store: CountingStore }[] = [];
  for (const [kind, make] of Object.entries(stores)) {
    for (const victims of VICTIMS) {
      const store = new CountingStore(await make(WORKING_SET + 1));
      spaces.push({
        name: `${kind} store, ${victims}`,
        space: await SwapSpace.create({ bytes: SWAP_FRAMES * PAGE_SIZE, victims, store }),
        store,
      });
    }
  }
  for (const { space } of spaces) repeat(WORKING_SET, (slot) => space.pageOut(slot, pageOf(slot)));
  const asked = zipf(WORKING_SET, ASKED_PARTS * PAGES_A_ROUND, draw);
  /** Each round uses the next part of the pages. `calls` counts the calls of the store. */
  const contender = (name: string, run: (slot: number) => void, calls: () => number): Contender => {
    let rounds = 0;
    const before = calls();
    return {
      name,
      round: () => {
        const part = asked.subarray((rounds++ % ASKED_PARTS) * PAGES_A_ROUND).subarray(0, PAGES_A_ROUND);
        return time(part.length, () => part.forEach(run));
      },
      figures: () => ({ 'store calls': (calls() - before) / (rounds * PAGES_A_ROUND) }),
    };
  };
  const title = (verb: string): string =>
    `${verb}, ${WORKING_SET.toLocaleString('en-US')} pages of ${name} in a RAM of ${SWAP_FRAMES.toLocaleString('en-US')} frames, Zipf’s law`;
  yield {
    title: title('pageOut'),
    unit: 'ns',
    contenders: spaces.map(({ name: one, space, store }) =>
      contender(
        one,
        (slot) => space.pageOut(slot, pageOf(slot)),
        () => store.writes,
      ),
    ),
  };
  yield {
    title: title('pageIn'),
    unit: 'ns',
    contenders: spaces.map(({ name: one, space, store }) =>
      contender(
        one,
        (slot) => void space.pageIn(slot, into),
        () => store.reads,
      ),
    ),
  };
  for (const { name: one, space } of spaces) {
    repeat(WORKING_SET, (slot) => {
      space.pageIn(slot, into);
      requireSame(one, pageOf(slot), into);
    });
    await space.close();
  }
}

/** Stores into a pool that stays full, over a file: the mean time, and the times of single stores. */
async function* waits({ name, pages }: Corpus, make: StoreMaker): AsyncGenerator<Table> {
  const asked = zipf(WORKING_SET, ASKED_PARTS * PAGES_A_ROUND, createDraw(2));
  const all = await Promise.all(
    ALLOCATORS.flatMap((allocator) =>
      VICTIMS.map(async (victims) => ({
        name: `${allocator}, ${victims}`,
        zswap: await Zswap.create({
          bytes: SWAP_FRAMES * PAGE_SIZE,
          allocator,
          victims,
          store: await make(WORKING_SET + 1),
        }),
        times: [] as number[],
      })),
    ),
  );
  const pageOf = (slot: number): Buffer => pages[slot % pages.length] as Buffer;
  for (const { zswap } of all) repeat(WORKING_SET, (slot) => void zswap.store(0, slot, pageOf(slot)));
  yield {
    title: `store into a full pool over a file, ${name}`,
    unit: 'ns',
    contenders: all.map(({ name: contender, zswap, times }) => ({
      name: contender,
      round: () =>
        time(asked.length, () =>
          asked.forEach((slot) => {
            const start = performance.now();
            zswap.store(0, slot, pageOf(slot));
            times.push(performance.now() - start);
          }),
        ),
      figures: () => {
        const sorted = Float64Array.from(times).sort();
        const microseconds = (share: number): number => (sorted[Math.ceil(share * sorted.length) - 1] as number) * 1000;
        return {
          'p50 µs': microseconds(0.5),
          'p99 µs': microseconds(0.99),
          'p99.9 µs': microseconds(0.999),
          'longest µs': microseconds(1),
        };
      },
    })),
  };
  for (const { zswap } of all) await zswap.close();
}

function roundOf(pages: readonly unknown[]): number {
  return Math.ceil(PAGES_A_ROUND / pages.length) * pages.length;
}

function repeat(count: number, run: (number: number) => void): void {
  for (let number = 0; number < count; number++) run(number);
}

export async function* zswapSuite(corpora: readonly Corpus[]): AsyncGenerator<Table> {
  const folder = mkdtempSync(join(tmpdir(), 'compcache-bench-'));
  let files = 0;
  const stores: Stores = {
    memory: () => new MemoryStore(),
    file: (slots) => FileStore.open({ path: join(folder, String(files++)), slots }),
  };
  try {
    for (const corpus of corpora) {
      yield* hits(corpus);
      yield* writeback(corpus, stores);
      yield* swapping(corpus, stores);
      yield* waits(corpus, stores.file as StoreMaker);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
