/** Calls of Ram, Zpool, PageTable and of codecs. */
import {
  ALLOCATORS,
  LOADABLE_CODECS,
  PAGE_SIZE,
  PageTable,
  Ram,
  Zpool,
  loadCodec,
  type AllocatorName,
  type Handle,
  type PageEntry,
  type RamOptions,
  type ZpoolOptions,
} from '../../../bindings/index.ts';
import { optionsOf } from '../../../bindings/allocators.ts';
import { moduleFor } from '../../../bindings/builds.ts';
import { buildOptions } from '../../harness.ts';
import { DISPOSE } from '../../../bindings/dispose.ts';
import { hostileBytes } from '../buffers.ts';
import { bytesAt, pageAt } from '../content.ts';
import { callback, oddNumber, oddString, options } from '../values.ts';
import { SKIP, must, type Entry, type Owned, type PoolBox, type World } from '../world.ts';
import {
  adoptPool,
  below,
  codec,
  entry,
  evict,
  handle,
  num,
  page,
  poolBox,
  requireBelongs,
  room,
  size,
  some,
  text,
  type Makers,
} from './arguments.ts';

const core = await moduleFor('test', { simd: false });

// ── Ram ──────────────────────────────────────────────────────────────────────

export function ramMakers(world: World): Makers<RamOptions> {
  const { dice } = world;
  return {
    bytes: () => size(world, dice.of([2 ** 18, '256KiB', '1M', 300_000])),
    limit: () => size(world, dice.of([0, 2 ** 17, '64KiB', '1M'])),
    build: () => dice.of(['release', 'checked']),
    simd: () => dice.once(2),
    module: () => dice.of([core, {}, null]),
    firstFrame: () => below(world, 300),
  };
}

function ramOptions(world: World): RamOptions {
  return some(world, ramMakers(world), { bytes: '256KiB', ...buildOptions(world.build) });
}

/** Uses a RAM a little, and closes it. */
function used(ram: Ram): void {
  const pool = ram.zpool('zbud');
  pool.malloc(100);
  ram.check();
  ram.close();
}

async function restored(world: World): Promise<void> {
  const { dice, ram, witness } = world;
  const image = world.image ?? ram.snapshot();
  world.image = image;
  const damaged = dice.once(3);
  const bytes = damaged ? image.slice() : image;
  if (damaged) bytes[dice.below(bytes.length)] = dice.below(256);
  const back = await Ram.restore(
    dice.once(2) ? hostileBytes(world, bytes) : bytes,
    dice.once(2) ? {} : ramOptions(world),
  );
  back.check();
  const changed = ram.isClosed ? undefined : witness.changedIn(back);
  must(changed === undefined, `${changed} is not the same in an image`);
  back.close();
}

/** Continues an iteration of this name that is under way, or begins one. */
function iterate(world: World, name: string, begin: () => Iterator<unknown>): unknown {
  const under = world.iterators.filter((one) => one.name === name);
  if (under.length > 0 && world.dice.once(2)) {
    const one = world.dice.of(under);
    return world.dice.once(5) ? one.end() : one.next();
  }
  const iterator = begin();
  world.iterators.push({
    name,
    next: () => iterator.next(oddNumber(world) as never),
    end: () => iterator.return?.(oddNumber(world)),
  });
  return iterator.next();
}

export const iterated = iterate;

/** Of the calls on a RAM only close closes the world's RAM, and it is rare. */
export const RAM: readonly Entry[] = [
  entry(
    'Ram.constructor',
    (world) => new (Ram as unknown as new (...given: unknown[]) => Ram)(oddNumber(world), options(world, {})),
    1,
  ),
  entry('Ram.create', async (world) => used(await Ram.create(ramOptions(world))), 1),
  entry('Ram.createSync', (world) => used(Ram.createSync(ramOptions(world))), 1),
  entry('Ram.restore', restored, 1),
  entry(
    'Ram.snapshot',
    (world) => {
      world.image = world.ram.snapshot();
    },
    1,
  ),
  entry('Ram.snapshotChunks', (world) =>
    iterate(world, 'Ram.snapshotChunks', () => world.ram.snapshotChunks()[Symbol.iterator]()),
  ),
  entry(
    'Ram.zpool',
    (world) => {
      const { dice } = world;
      const allocator = dice.of(ALLOCATORS);
      const pool = world.ram.zpool(
        text(world, allocator) as AllocatorName,
        dice.once(8) ? undefined : poolOptions(world, allocator),
      );
      if (world.pools.length < 5) adoptPool(world, pool);
      else pool.destroy();
    },
    4,
  ),
  entry('Ram.pools', (world) => {
    const mine = world.pools.map(({ pool }) => pool);
    world.held = world.ram.pools().filter((pool) => pool !== world.witness.pool && !mine.includes(pool));
  }),
  entry('Ram.openZpool', (world) => {
    const { dice, witness, pools } = world;
    const own = pools.length > 0 && dice.once(2) ? dice.of(pools).pool.name : undefined;
    world.ram.openZpool(
      (own ?? (dice.once(2) ? witness.pool.name : oddString(world))) as string,
      own === undefined ? undefined : some(world, openMakers(world)),
    );
  }),
  entry('Ram.codec', (world) =>
    world.codecs.push(world.ram.codec(text(world, world.dice.of(['lz4', 'lz4hc'])) as 'lz4')),
  ),
  entry('Ram.check', (world) => world.ram.check()),
  entry('Ram.failFrames', (world) =>
    world.ram.failFrames(world.dice.once(4) ? null : below(world, 6), world.dice.once(4) ? undefined : below(world, 3)),
  ),
  entry('Ram.totalFrames', (world) => world.ram.totalFrames),
  entry('Ram.freeFrames', (world) => world.ram.freeFrames),
  entry('Ram.isClosed', (world) => world.ram.isClosed, 1),
  entry('Ram.stats', (world) => world.ram.stats()),
  entry('Ram.fronts', (world) => world.ram.fronts()),
  entry('Ram.dropFront', (world) =>
    world.ram.dropFront(
      text(world, world.dice.of(['zswap#1', 'ramzswap#1', ...world.ram.fronts().map(({ name }) => name)])),
    ),
  ),
  entry('Ram.close', (world) => (world.dice.once(12) ? world.ram.close() : SKIP), 1),
  entry('Ram[dispose]', (world) => (world.dice.once(20) ? world.ram[DISPOSE]() : SKIP), 1),
];

export function openMakers(world: World): Makers<{ evict?: ZpoolOptions['evict'] }> {
  return { evict: () => evict(world) };
}

// ── Zpool ────────────────────────────────────────────────────────────────────

/** Makers for all options of an allocator's pools. */
export function poolMakers(world: World, allocator: AllocatorName): Makers<ZpoolOptions> {
  const { dice } = world;
  const all: Makers<ZpoolOptions> = {
    name: () => text(world, dice.of(['a', 'b', '__proto__', 'constructor', 'zbud#1'])),
    evict: () => evict(world),
    layout: () => dice.of(['6.1', '2013']),
    deferred: () => dice.of(['afterFree', 'manual']),
    chainSize: () => num(world, 1 + dice.below(16)),
    chainRule: () => dice.of(['bytes', 'percent']),
    fullnessGroups: () => dice.of([4, 12]),
    blocks: () => dice.of([1, 2]),
    reserve: () => below(world, 20),
  };
  return Object.fromEntries(
    (['name', 'evict', ...optionsOf(allocator)] as const).map((key) => [key, all[key]]),
  ) as Makers<ZpoolOptions>;
}

function poolOptions(world: World, allocator: AllocatorName): ZpoolOptions {
  return some(world, poolMakers(world, world.dice.once(10) ? world.dice.of(ALLOCATORS) : allocator), {}, 3);
}

/** A pool that may be attacked, or a pool of a front end, which refuses all changes. */
function anyBox(world: World): PoolBox {
  const { held, dice } = world;
  return held.length > 0 && dice.once(6) ? { pool: dice.of(held), handles: [], entries: [] } : poolBox(world);
}

/** The same, or the pool of the witness: for calls that change nothing. */
function looked(world: World): PoolBox {
  return world.dice.once(4)
    ? { pool: world.witness.pool, handles: [...world.witness.handles], entries: [] }
    : anyBox(world);
}

export const compactMakers = (world: World): Makers<{ victims?: number }> => ({ victims: () => below(world, 4) });

function remember(list: number[], value: number): void {
  list.push(value);
}

export const ZPOOL: readonly Entry[] = [
  entry(
    'Zpool.constructor',
    (world) => new (Zpool as unknown as new (...given: unknown[]) => Zpool)(oddNumber(world), {}, {}, 1),
    1,
  ),
  entry('Zpool.allocator', (world) => looked(world).pool.allocator, 1),
  entry('Zpool.name', (world) => looked(world).pool.name, 1),
  entry('Zpool.evictable', (world) => looked(world).pool.evictable, 1),
  entry('Zpool.canSleepMapped', (world) => looked(world).pool.canSleepMapped, 1),
  entry('Zpool.mallocSupportMovable', (world) => looked(world).pool.mallocSupportMovable, 1),
  entry(
    'Zpool.malloc',
    (world) => {
      const box = anyBox(world);
      remember(
        box.handles,
        box.pool.malloc(num(world, world.dice.of([1, 64, 500, 2000, 4000, 1 + world.dice.below(4096)]))),
      );
    },
    14,
  ),
  entry(
    'Zpool.free',
    (world) => {
      const box = anyBox(world);
      box.pool.free(handle(world, box));
    },
    5,
  ),
  entry('Zpool.size', (world) => {
    const box = looked(world);
    return box.pool.size(handle(world, box));
  }),
  entry(
    'Zpool.write',
    (world) => {
      const box = anyBox(world);
      const bytes = hostileBytes(world, bytesAt(9, 0, world.dice.of([0, 1, 100, 500, 2000, 4096, 5000])));
      box.pool.write(handle(world, box), bytes, world.dice.once(2) ? undefined : below(world, 600));
    },
    10,
  ),
  entry(
    'Zpool.read',
    (world) => {
      const box = looked(world);
      const into = world.dice.once(4) ? undefined : room(world, world.dice.of([0, 100, 4096, 5000]));
      return box.pool.read(handle(world, box), into, world.dice.once(2) ? undefined : below(world, 600));
    },
    5,
  ),
  entry(
    'Zpool.map',
    (world) => {
      const { dice } = world;
      const box = anyBox(world);
      const what = handle(world, box);
      const mode = text(world, dice.of(['rw', 'ro', 'wo'])) as 'rw';
      const view = box.pool.map(what, mode);
      if (mode !== ('ro' as string)) {
        view.fill(0xee);
        // The object may be the page of a key.
        if (!box.handles.includes(what)) world.tables.forEach((table) => (table.lied ||= table.it.pool === box.pool));
      }
      if (dice.once(3)) box.pool.write(handle(world, box), view);
      if (!dice.once(4)) box.pool.unmap(what);
    },
    4,
  ),
  entry('Zpool.unmap', (world) => {
    const box = anyBox(world);
    box.pool.unmap(handle(world, box));
  }),
  entry('Zpool.locate', (world) => {
    const box = looked(world);
    return box.pool.locate(handle(world, box));
  }),
  entry(
    'Zpool.storePage',
    (world) => {
      const box = anyBox(world);
      remember(box.entries, box.pool.storePage(page(world, 9, world.dice.below(50)), codec(world, true)));
    },
    8,
  ),
  entry(
    'Zpool.loadPage',
    (world) => {
      const box = anyBox(world);
      const { entries } = box;
      const what =
        entries.length > 0 && !world.dice.once(4)
          ? world.dice.of(entries)
          : world.dice.once(2)
            ? -1 - world.dice.word()
            : handle(world, box);
      box.pool.loadPage(what as PageEntry, room(world), codec(world, true));
    },
    6,
  ),
  entry(
    'Zpool.freePage',
    (world) => {
      const box = anyBox(world);
      const { entries } = box;
      box.pool.freePage(
        (entries.length > 0 ? entries.splice(world.dice.below(entries.length), 1)[0] : handle(world, box)) as PageEntry,
      );
    },
    6,
  ),
  entry('Zpool.pageTable', (world) => {
    const table = anyBox(world).pool.pageTable(
      world.dice.once(3) ? undefined : (text(world, world.dice.of(['dense', 'sparse'])) as 'dense'),
    );
    adoptTable(world, table);
  }),
  entry('Zpool.shrink', (world) => anyBox(world).pool.shrink(below(world, 5)), 5),
  entry(
    'Zpool.compact',
    (world) => anyBox(world).pool.compact(world.dice.once(2) ? undefined : some(world, compactMakers(world), {}, 2)),
    3,
  ),
  entry('Zpool.freeable', (world) => looked(world).pool.freeable()),
  entry('Zpool.runDeferred', (world) => anyBox(world).pool.runDeferred()),
  entry('Zpool.totalPages', (world) => looked(world).pool.totalPages, 1),
  entry('Zpool.totalBytes', (world) => looked(world).pool.totalBytes, 1),
  entry('Zpool.stats', (world) => looked(world).pool.stats()),
  entry(
    'Zpool.walk',
    (world) => {
      const seen: Handle[] = [];
      const visit = callback(
        world,
        ({ objects }: { objects: { handle: Handle }[] }) => void objects.forEach((one) => seen.push(one.handle)),
      );
      looked(world).pool.walk((world.dice.once(10) ? oddNumber(world) : visit) as typeof visit);
    },
    3,
  ),
  entry('Zpool.destroy', (world) => (world.dice.once(2) ? anyBox(world).pool.destroy() : SKIP), 1),
  entry('Zpool.close', (world) => (world.dice.once(2) ? anyBox(world).pool.close() : SKIP), 1),
  entry('Zpool[dispose]', (world) => (world.dice.once(2) ? anyBox(world).pool[DISPOSE]() : SKIP), 1),
];

// ── PageTable ────────────────────────────────────────────────────────────────

function adoptTable(world: World, it: PageTable): Owned<PageTable> {
  const known = world.tables.find((table) => table.it === it);
  if (known !== undefined) return known;
  const table: Owned<PageTable> = { it, owner: world.owner(), lied: false };
  world.tables.push(table);
  return table;
}

function tableOf(world: World): Owned<PageTable> {
  const { tables, dice } = world;
  return tables.length > 0
    ? dice.of(tables)
    : adoptTable(world, poolBox(world).pool.pageTable(dice.of(['dense', 'sparse'] as const)));
}

function key(world: World): number {
  return num(world, world.dice.of([0, 1, 2, 3, 7, 511, 512, 2 ** 32 - 1, 2 ** 32 + 5, 2 ** 40]));
}

export const PAGE_TABLE: readonly Entry[] = [
  entry(
    'PageTable.constructor',
    (world) => new (PageTable as unknown as new (...given: unknown[]) => PageTable)(oddNumber(world), {}, {}, 1),
    1,
  ),
  entry('PageTable.pool', (world) => tableOf(world).it.pool, 1),
  entry('PageTable.keysAre', (world) => tableOf(world).it.keysAre, 1),
  entry('PageTable.size', (world) => tableOf(world).it.size, 1),
  entry(
    'PageTable.put',
    (world) => {
      const table = tableOf(world);
      const at = key(world);
      const by = codec(world, true);
      // The caller that loads the page may use another codec.
      if (by !== undefined) table.lied = true;
      table.it.put(at, page(world, table.owner, at), by);
    },
    12,
  ),
  entry(
    'PageTable.get',
    (world) => {
      const table = tableOf(world);
      const [at, into, by] = [key(world), room(world), codec(world, true)];
      if (table.it.get(at, into, by) && by === undefined)
        requireBelongs('PageTable.get', table, into, pageAt(table.owner, at));
    },
    8,
  ),
  entry('PageTable.has', (world) => tableOf(world).it.has(key(world))),
  entry('PageTable.delete', (world) => tableOf(world).it.delete(key(world)), 4),
  entry('PageTable.clear', (world) => tableOf(world).it.clear(), 1),
  entry('PageTable.keys', (world) => iterate(world, 'PageTable.keys', () => tableOf(world).it.keys()), 2),
];

// ── codecs ───────────────────────────────────────────────────────────────────

function codecOf(world: World): World['codecs'][number] {
  const { codecs, dice, ram } = world;
  if (codecs.length === 0) codecs.push(ram.codec(dice.of(['lz4', 'lz4hc'] as const)));
  return dice.of(codecs);
}

const SIZES = [0, 1, 100, 4096, 65536, 65537];

export const CODEC: readonly Entry[] = [
  entry('Codec.loadCodec', async (world) =>
    world.codecs.push(await loadCodec(text(world, world.dice.of(LOADABLE_CODECS)) as 'lz4js')),
  ),
  entry(
    'Codec.constructor',
    (world) =>
      void new (codecOf(world).constructor as new (...given: unknown[]) => unknown)(
        oddNumber(world),
        'lz4',
        () => SKIP,
      ),
    1,
  ),
  entry('Codec.name', (world) => codecOf(world).name, 1),
  entry(
    'Codec.compress',
    (world) => {
      const { dice } = world;
      codecOf(world).compress(
        hostileBytes(world, bytesAt(9, dice.below(8) * PAGE_SIZE, dice.of(SIZES))),
        room(world, dice.of(SIZES)),
      );
    },
    8,
  ),
  entry(
    'Codec.decompress',
    (world) => {
      const { dice } = world;
      const block = new Uint8Array(5000);
      const codec = codecOf(world);
      const written = dice.once(4) ? dice.below(300) : codec.compress(pageAt(9, dice.below(40)), block);
      codec.decompress(
        hostileBytes(world, block.subarray(0, written)),
        room(world, dice.of([0, 100, 4096, 4096, 4096, 70000])),
      );
    },
    8,
  ),
];
