/**
 * The same work in a RAM of 16 MiB and in a RAM of 1 GiB, both half full. The cost of an operation must not grow with
 * the pool, except for cache misses: the caches hold the small pool. Both pools are first brought to a steady state:
 * each object is replaced about three times (a page once). The C library's malloc with about as many objects shows the
 * effect of the caches.
 */
import {
  ALLOCATORS,
  PAGE_SIZE,
  Ram,
  type AllocatorName,
  type Handle,
  type PageEntry,
  type Zpool,
} from '../../bindings/index.ts';
import { createDraw, sizeOf } from '../../cli/bench/draw.ts';
import { time } from '../../cli/bench/measure.ts';
import type { Contender, Corpus, Table } from '../../cli/bench/types.ts';
import { libcMalloc } from '../libc.ts';

const SIZES = [
  ['16 MiB', 16 * 2 ** 20],
  ['1 GiB', 2 ** 30],
] as const;
const SHARE = 0.5; // the share of the RAM that objects take
const STEPS = 50_000;

/** A pool that fills half of its RAM. `replace` and `look` work on one of its objects. */
interface Filled {
  name: string;
  count: number;
  replace(nth: number): void;
  look(nth: number): void;
}

async function pool(allocator: AllocatorName, bytes: number): Promise<{ zpool: Zpool; half: () => boolean }> {
  const ram = await Ram.create({ bytes });
  const zpool = ram.zpool(allocator);
  return { zpool, half: () => zpool.totalBytes < SHARE * bytes };
}

async function objects(allocator: AllocatorName, [name, bytes]: (typeof SIZES)[number]): Promise<Filled> {
  const { zpool, half } = await pool(allocator, bytes);
  const draw = createDraw(2);
  const handles: Handle[] = [];
  while (half()) handles.push(zpool.malloc(sizeOf(draw)));
  return settled(
    {
      name,
      count: handles.length,
      replace(nth) {
        zpool.free(handles[nth] as Handle);
        handles[nth] = zpool.malloc(sizeOf(draw));
      },
      look: (nth) => void zpool.size(handles[nth] as Handle),
    },
    3,
  );
}

async function pages(allocator: AllocatorName, [name, bytes]: (typeof SIZES)[number], corpus: Corpus): Promise<Filled> {
  const { zpool, half } = await pool(allocator, bytes);
  const into = new Uint8Array(PAGE_SIZE);
  const page = (nth: number): Uint8Array => corpus.pages[nth % corpus.pages.length] as Uint8Array;
  const entries: PageEntry[] = [];
  while (half()) entries.push(zpool.storePage(page(entries.length)));
  return settled(
    {
      name,
      count: entries.length,
      replace(nth) {
        zpool.freePage(entries[nth] as PageEntry);
        entries[nth] = zpool.storePage(page(nth));
      },
      look: (nth) => zpool.loadPage(entries[nth] as PageEntry, into),
    },
    1,
  );
}

/** Replaces objects at random, `times` times as often as there are objects. */
function settled(filled: Filled, times: number): Filled {
  const draw = createDraw(4);
  for (let step = 0; step < times * filled.count; step++) filled.replace(draw() % filled.count);
  return filled;
}

function tables(allocator: AllocatorName, filled: readonly Filled[], replacing: string, looking: string): Table[] {
  const table = (title: string, run: (one: Filled, nth: number) => void): Table => ({
    title: `${allocator}: ${title}`,
    unit: 'ns',
    contenders: filled.map((one): Contender => {
      const draw = createDraw(5);
      return {
        name: one.name,
        round: () =>
          time(STEPS, () => {
            for (let step = 0; step < STEPS; step++) run(one, draw() % one.count);
          }),
        figures: () => ({ objects: one.count }),
      };
    }),
  });
  return [table(replacing, (one, nth) => one.replace(nth)), table(looking, (one, nth) => one.look(nth))];
}

/** Live objects in the two sizes, about as many as the allocators hold. */
const LIBC_OBJECTS = [5_000, 340_000] as const;

async function* libc(): AsyncGenerator<Table> {
  const both = LIBC_OBJECTS.map((live) => libcMalloc(live, `${live.toLocaleString('en-US')} objects`)).filter(
    (one) => one !== undefined,
  );
  if (both.length === 0) return;
  yield { title: 'malloc of the C library: free and malloc', unit: 'ns', contenders: both };
  both.forEach((one) => one.end());
}

export async function* scaleSuite(corpus: Corpus): AsyncGenerator<Table> {
  yield* libc();
  for (const allocator of ALLOCATORS) {
    yield* tables(
      allocator,
      await Promise.all(SIZES.map((size) => objects(allocator, size))),
      'free and malloc',
      'size of an object',
    );
    yield* tables(
      allocator,
      await Promise.all(SIZES.map((size) => pages(allocator, size, corpus))),
      'free and store a page',
      'load a page',
    );
  }
}
