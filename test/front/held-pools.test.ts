/** The pools of a zswap: other code can read them, but cannot change them. */
import { describe, expect, test } from 'vitest';
import {
  ALLOCATORS,
  PAGE_SIZE,
  Ram,
  Zswap,
  type AllocatorName,
  type Handle,
  type MapMode,
  type PageEntry,
  type Zpool,
} from '../../bindings/index.ts';
import { builds, buildOptions, changesNothing, expectBytes, fault, must } from '../harness.ts';
import { RecordingStore, codeOf, filledPage, pageOf, rawPage } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';
const PAGES = 60;

function page(offset: number): Uint8Array {
  return offset % 9 === 0 ? rawPage(offset) : offset % 7 === 0 ? filledPage(offset) : pageOf(offset);
}

/**
 * A zswap with a pool of each allocator; all pools but the current one are draining. Some of the pages are in the
 * store.
 */
async function create(victims: 'entry' | 'page', current: AllocatorName): Promise<Zswap> {
  const zswap = await Zswap.create({
    bytes: '4MiB',
    ...buildOptions(build),
    victims,
    allocator: 'zbud',
    store: new RecordingStore(),
  });
  const order = [...ALLOCATORS.filter((one) => one !== current), current];
  for (let offset = 0; offset < PAGES; offset++) {
    zswap.allocator = order[Math.floor((offset * order.length) / PAGES)] as AllocatorName;
    must(zswap.store(0, offset, page(offset)), `page ${offset} was refused`);
  }
  return zswap;
}

function expectAll(zswap: Zswap): void {
  const into = new Uint8Array(PAGE_SIZE);
  for (let offset = 0; offset < PAGES; offset++) {
    expect(zswap.load(0, offset, into)).toBe(true);
    expectBytes(into, page(offset), `page ${offset}`);
  }
}

/** One of the live handles of a pool. */
function handleOf(pool: Zpool): Handle {
  let found: Handle | undefined;
  pool.walk(({ objects }) => void (found ??= objects[0]?.handle));
  must(found !== undefined, `${pool.name} has no object`);
  return found;
}

const other = {
  name: 'other',
  compress: (): number => 0,
  decompress: (_: Uint8Array, into: Uint8Array): number => into.fill(1).length,
};
const CHANGES: Record<string, (pool: Zpool, handle: Handle) => unknown> = {
  malloc: (pool) => pool.malloc(100),
  free: (pool, handle) => pool.free(handle),
  'free of a number that is not a handle': (pool) => pool.free(4_000_000 as Handle),
  write: (pool, handle) => pool.write(handle, new Uint8Array(1)),
  'write of no bytes': (pool, handle) => pool.write(handle, new Uint8Array(0)),
  unmap: (pool, handle) => pool.unmap(handle),
  storePage: (pool) => pool.storePage(pageOf(1)),
  'storePage, same-filled': (pool) => pool.storePage(filledPage(1)),
  'storePage by a codec': (pool) => pool.storePage(pageOf(1), other),
  freePage: (pool, handle) => pool.freePage(handle as number as PageEntry),
  pageTable: (pool) => pool.pageTable(),
  'pageTable, sparse': (pool) => pool.pageTable('sparse'),
  'shrink by 0': (pool) => pool.shrink(0),
  shrink: (pool) => pool.shrink(1),
  compact: (pool) => pool.compact(),
  'compact of one victim': (pool) => pool.compact({ victims: 1 }),
  runDeferred: (pool) => pool.runDeferred(),
  destroy: (pool) => pool.destroy(),
  close: (pool) => pool.close(),
  dispose: (pool) => pool[(Symbol.dispose ?? Symbol.for('Symbol.dispose')) as typeof Symbol.dispose](),
};
for (const mode of ['rw', 'ro', 'wo'] as MapMode[]) CHANGES[`map, ${mode}`] = (pool, handle) => pool.map(handle, mode);

describe.each(ALLOCATORS)('pools of a zswap whose current one is %s', (allocator) => {
  test.each(['entry', 'page'] as const)(
    'victims by %s: every change by other code is EBUSY, and changes nothing',
    async (victims) => {
      const zswap = await create(victims, allocator);
      const { ram } = zswap;
      expect(
        ram
          .pools()
          .map((pool) => pool.allocator)
          .sort(),
      ).toEqual([...ALLOCATORS].sort());
      for (const given of ram.pools()) {
        for (const pool of [given, ram.openZpool(given.name)]) {
          for (const [what, change] of Object.entries(CHANGES)) {
            const handle = handleOf(pool);
            changesNothing(ram, () =>
              expect(
                codeOf(() => change(pool, handle)),
                `${what} on ${pool.name}`,
              ).toBe('EBUSY'),
            );
          }
        }
        changesNothing(
          ram,
          () =>
            void fault({ code: 'EBUSY', op: 'ram.openZpool' }, () =>
              ram.openZpool(given.name, { evict: (handle, pool) => pool.free(handle) }),
            ),
        );
      }
      expectAll(zswap);
      // The same while victims are being written to the store.
      const seen: unknown[] = [];
      const store = new RecordingStore();
      const beside = await Zswap.create({ ram, victims, allocator, store });
      for (let offset = 0; offset < 8; offset++) beside.store(0, offset, pageOf(offset));
      store.write = () => {
        for (const pool of ram.pools())
          seen.push(...Object.values(CHANGES).map((change) => codeOf(() => change(pool, handleOf(pool)))));
        throw new Error('not now');
      };
      expect(codeOf(() => beside.writeback(2))).toBe('EIO');
      expect(new Set(seen)).toEqual(new Set(['EBUSY']));
      ram.check();
      await beside.close();
      expectAll(zswap);
      await zswap.close();
    },
  );

  test('other code can read the pools; after close their objects are ECLOSED', async () => {
    const zswap = await create('entry', allocator);
    const { ram } = zswap;
    const pools = ram.pools();
    for (const pool of pools) {
      changesNothing(ram, () => {
        let objects = 0;
        pool.walk((contents) => void (objects += contents.objects.length));
        expect(objects).toBeGreaterThan(0);
        const handle = handleOf(pool);
        const size = pool.size(handle);
        expect(pool.read(handle)).toHaveLength(size);
        expect(pool.read(handle, new Uint8Array(size))).toHaveLength(size);
        expect(pool.locate(handle).frame).toBeGreaterThan(0);
        expect(pool.stats().objects).toBeGreaterThan(0);
        expect(pool.totalPages).toBe(pool.totalBytes / PAGE_SIZE);
        expect(pool.freeable()).toBeGreaterThanOrEqual(0);
        expect([pool.evictable, pool.allocator, ram.openZpool(pool.name) === pool]).toEqual([
          true,
          pool.allocator,
          true,
        ]);
      });
    }
    const current = pools.find((pool) => pool.allocator === allocator) as Zpool;
    const into = new Uint8Array(PAGE_SIZE);
    current.loadPage(handleOf(current) as number as PageEntry, into);
    expect(
      Array.from({ length: PAGES }, (_, offset) => page(offset)).some((one) =>
        one.every((byte, i) => byte === into[i]),
      ),
    ).toBe(true);
    await zswap.close();
    for (const pool of pools) expect(codeOf(() => pool.totalPages)).toBe('ECLOSED');
  });

  test('other code cannot free or write a handle that is used again after wrapping around: pages stay unchanged', async () => {
    const ram = await Ram.create({ bytes: '2MiB', ...buildOptions(build) });
    const zswap = await Zswap.create({ ram, allocator });
    for (let round = 0; round < 80; round++) {
      expect(zswap.store(0, 1, pageOf(round))).toBe(true);
      const pool = ram.pools()[0] as Zpool;
      expect(codeOf(() => pool.free(handleOf(pool)))).toBe('EBUSY');
      expect(codeOf(() => pool.write(handleOf(pool), Uint8Array.of(round)))).toBe('EBUSY');
      const into = new Uint8Array(PAGE_SIZE);
      expect(zswap.load(0, 1, into)).toBe(true);
      expectBytes(into, pageOf(round));
    }
    ram.check();
    await zswap.close();
    expect(ram.pools()).toHaveLength(0);
    ram.close();
  });
});
