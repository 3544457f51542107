/** Calls of Zswap, SwapSpace and Ramzswap. */
import {
  ALLOCATORS,
  CompcacheError,
  LOADABLE_CODECS,
  PAGE_SIZE,
  Ram,
  Ramzswap,
  SwapSpace,
  Zswap,
  type AllocatorName,
  type BackingStore,
  type BlockState,
  type Codec,
  type RamzswapOpenOptions,
  type RamzswapOptions,
  type RamzswapSettings,
  type RecompressOptions,
  type WritebackSelection,
  type ZpoolOptions,
  type ZswapOpenOptions,
  type ZswapOptions,
} from '../../../bindings/index.ts';
import { ASYNC_DISPOSE, DISPOSE } from '../../../bindings/dispose.ts';
import { hostileCodec, hostileStore, oddCodec, oddStore } from '../actors.ts';
import { hostileBytes } from '../buffers.ts';
import { bytesAt, pageAt } from '../content.ts';
import { callback, oddNumber, options, proxy } from '../values.ts';
import { SKIP, type Entry, type Owned, type World } from '../world.ts';
import { iterated, poolMakers } from './core.ts';
import { below, entry, num, page, requireBelongs, room, size, some, text, without, type Makers } from './arguments.ts';

const PAGES = 24;

/** Codecs that lie. */
const liars = new WeakSet<Codec>();

function codecOption(world: World): Codec | string {
  const { dice } = world;
  if (dice.once(6)) return oddCodec(world);
  if (dice.once(2)) return dice.of(['lz4', 'lz4hc', ...LOADABLE_CODECS.filter((name) => name !== 'zstd')]);
  const lies = dice.once(4);
  const codec = hostileCodec(world, lies);
  if (lies) liars.add(codec);
  return codec;
}

function lies(codec: unknown): boolean {
  return typeof codec === 'object' && codec !== null && liars.has(codec as Codec);
}

function storeOption(world: World): BackingStore {
  const { dice, stores } = world;
  if (dice.once(8)) return oddStore(world);
  if (stores.length > 0 && dice.once(3)) {
    const store = dice.of(stores);
    world.lent.add(store);
    return store;
  }
  const store = hostileStore(world);
  stores.push(store);
  return store;
}

/** Options for a RAM of its own, or for the world's RAM. */
function place(world: World): Pick<Makers<ZswapOptions>, 'ram' | 'bytes' | 'limit' | 'build' | 'simd' | 'module'> {
  const { dice } = world;
  return {
    ram: () => (dice.once(6) ? proxy(world, world.ram) : world.ram),
    bytes: () => size(world, dice.of(['256KiB', '1MiB'])),
    limit: () => size(world, dice.of([0, '128KiB'])),
    build: () => 'release',
    simd: () => dice.once(2),
    module: () => ({}),
  };
}

/** Options for the pool of a front end. */
function inner(world: World): () => Omit<ZpoolOptions, 'name' | 'evict'> {
  return () => {
    const makers = poolMakers(world, world.dice.of(ALLOCATORS));
    return some(world, world.dice.once(8) ? makers : without(makers, 'name', 'evict'), {}, 3);
  };
}

// ── Zswap ────────────────────────────────────────────────────────────────────

export function zswapMakers(world: World): Makers<ZswapOptions> {
  const { dice } = world;
  const percent = (): number => below(world, 101);
  const flag = (): boolean => dice.once(2);
  return {
    ...place(world),
    allocator: () => text(world, dice.of(ALLOCATORS)) as AllocatorName,
    zpool: inner(world),
    codec: () => codecOption(world) as Codec,
    enabled: () => !dice.once(4),
    maxPoolPercent: percent,
    acceptThresholdPercent: percent,
    sameFilled: flag,
    exclusiveLoads: flag,
    victims: () => dice.of(['entry', 'page']),
    incompressible: () => dice.of(['keep', 'refuse']),
    index: () => dice.of(['sparse', 'dense']),
    store: () => storeOption(world),
    writebackCompressed: flag,
    writebackLimit: () => below(world, 50),
    maxInFlight: () => num(world, 1 + dice.below(8)),
    timeout: () => num(world, dice.of([5, 30_000])),
  };
}

/** Options in the world's RAM, mostly with a store. */
function zswapOptions(world: World): { given: ZswapOptions; lied: boolean } {
  const always: Partial<ZswapOptions> = world.dice.once(12) ? { bytes: '256KiB' } : { ram: world.ram };
  if (world.dice.once(2)) always.store = storeOption(world);
  const codec = world.dice.once(3) ? codecOption(world) : undefined;
  if (codec !== undefined) always.codec = codec as Codec;
  return { given: some(world, without(zswapMakers(world), 'codec', 'ram', 'bytes'), always, 9), lied: lies(codec) };
}

async function makeZswap(world: World): Promise<void> {
  const { given, lied } = zswapOptions(world);
  const it = await Zswap.create(given);
  world.zswaps.push({ it, owner: world.owner(), lied });
  if (world.zswaps.length > 3) await gone(world, 'zswaps', it, it.close());
}

export function openZswapMakers(world: World): Makers<ZswapOpenOptions> {
  const { dice } = world;
  const codecs = (): unknown[] => Array.from({ length: dice.below(4) }, () => codecOption(world));
  return {
    store: () => storeOption(world),
    codecs: () =>
      (dice.once(8) ? oddNumber(world) : dice.once(8) ? proxy(world, codecs()) : options(world, codecs())) as Codec[],
  };
}

/**
 * Opens a front end of the RAM, which is refused because it is open, or of an image of the RAM, and uses it there for a
 * while.
 */
async function openAt(world: World, goOn: (there: Ram, name: string, given: unknown) => Promise<void>): Promise<void> {
  const { dice, ram } = world;
  const back = dice.once(3) ? undefined : await Ram.restore(ram.snapshot());
  const there = back ?? (dice.once(6) ? proxy(world, ram) : ram);
  try {
    const name = text(world, dice.of(['zswap#1', ...(back ?? ram).fronts().map((front) => front.name)]));
    await goOn(there, name, some(world, openZswapMakers(world), {}, 3));
    if (back !== undefined && !back.isClosed) back.check();
  } finally {
    back?.close();
  }
}

function openZswap(world: World): Promise<void> {
  return openAt(world, async (there, name, given) => {
    const it = await Zswap.open(there, name, given as ZswapOpenOptions);
    for (let offset = 0; offset < 8; offset++)
      await it.loadAsync(0, offset, new Uint8Array(PAGE_SIZE)).catch(() => false);
    await it.close();
  });
}

function openSpace(world: World): Promise<void> {
  return openAt(world, async (there, name, given) => {
    const it = await SwapSpace.open(there, name, given as ZswapOpenOptions);
    for (let slot = 0; slot < 8; slot++) {
      await it.pageInAsync(slot, new Uint8Array(PAGE_SIZE)).catch(() => false);
      await it.pageOutAsync(slot, new Uint8Array(PAGE_SIZE).fill(slot)).catch(() => undefined);
    }
    await it.close();
  });
}

function withZswap(run: (of: Owned<Zswap>, world: World) => unknown): (world: World) => unknown {
  return (world) => (world.zswaps.length === 0 ? makeZswap(world) : run(world.dice.of(world.zswaps), world));
}

function placeOf(world: World): { type: number; offset: number; number: number } {
  const [type, offset] = [below(world, 3), below(world, PAGES)];
  const known =
    typeof type === 'number' && typeof offset === 'number' && Number.isInteger(type) && Number.isInteger(offset);
  return { type, offset, number: known ? (Math.abs(type) % 2 ** 20) * 100 + (Math.abs(offset) % 2 ** 20) : 0 };
}

function zswapSetter(name: string, value: (world: World) => unknown): Entry {
  return entry(
    `Zswap.${name}=`,
    withZswap(({ it }, world) => {
      (it as unknown as Record<string, unknown>)[name] = world.dice.once(5) ? oddNumber(world) : value(world);
    }),
    1,
  );
}

function zswapGetters(...names: (keyof Zswap & string)[]): Entry[] {
  return names.map((name) =>
    entry(
      `Zswap.${name}`,
      withZswap(({ it }) => it[name]),
      1,
    ),
  );
}

export const ZSWAP: readonly Entry[] = [
  entry(
    'Zswap.constructor',
    (world) =>
      new (Zswap as unknown as new (...given: unknown[]) => unknown)('op', world.ram, {}, 0, options(world, {})),
    1,
  ),
  entry('Zswap.create', makeZswap, 3),
  entry('Zswap.open', openZswap, 1),
  entry(
    'Zswap.store',
    withZswap((of, world) => {
      const { type, offset, number } = placeOf(world);
      return of.it.store(type, offset, page(world, of.owner, number));
    }),
    24,
  ),
  entry(
    'Zswap.load',
    withZswap((of, world) => {
      const { type, offset, number } = placeOf(world);
      const into = room(world);
      if (of.it.load(type, offset, into)) requireBelongs('Zswap.load', of, into, pageAt(of.owner, number));
    }),
    12,
  ),
  entry(
    'Zswap.loadAsync',
    withZswap(async (of, world) => {
      const { type, offset, number } = placeOf(world);
      const into = room(world);
      if (await of.it.loadAsync(type, offset, into))
        requireBelongs('Zswap.loadAsync', of, into, pageAt(of.owner, number));
    }),
    8,
  ),
  entry(
    'Zswap.has',
    withZswap(({ it }, world) => it.has(below(world, 3), below(world, PAGES))),
  ),
  entry(
    'Zswap.invalidatePage',
    withZswap(({ it }, world) => it.invalidatePage(below(world, 3), below(world, PAGES))),
    4,
  ),
  entry(
    'Zswap.invalidateArea',
    withZswap(({ it }, world) => it.invalidateArea(below(world, 3))),
    1,
  ),
  entry(
    'Zswap.writeback',
    withZswap(({ it }, world) => it.writeback(below(world, 6))),
    5,
  ),
  entry(
    'Zswap.writebackAsync',
    withZswap(({ it }, world) => it.writebackAsync(below(world, 6))),
    5,
  ),
  entry(
    'Zswap.shrink',
    withZswap(({ it }, world) => it.shrink(below(world, 6))),
    4,
  ),
  entry(
    'Zswap.shrinkAsync',
    withZswap(({ it }, world) => it.shrinkAsync(below(world, 6))),
    4,
  ),
  entry(
    'Zswap.stats',
    withZswap(({ it }) => it.stats()),
  ),
  entry(
    'Zswap.check',
    withZswap(({ it }) => it.check()),
  ),
  ...zswapGetters(
    'name',
    'ram',
    'victims',
    'enabled',
    'maxPoolPercent',
    'acceptThresholdPercent',
    'sameFilled',
    'exclusiveLoads',
    'writebackLimit',
    'allocator',
    'codec',
  ),
  zswapSetter('enabled', ({ dice }) => !dice.once(4)),
  zswapSetter('maxPoolPercent', ({ dice }) => dice.below(101)),
  zswapSetter('acceptThresholdPercent', ({ dice }) => dice.below(101)),
  zswapSetter('sameFilled', ({ dice }) => dice.once(2)),
  zswapSetter('exclusiveLoads', ({ dice }) => dice.once(2)),
  zswapSetter('writebackLimit', ({ dice }) => dice.of([Infinity, 0, 5])),
  zswapSetter('allocator', ({ dice }) => dice.of(ALLOCATORS)),
  entry(
    'Zswap.codec=',
    withZswap((of, world) => {
      const codec = codecOption(world);
      of.lied ||= lies(codec);
      of.it.codec = codec as Codec;
    }),
    1,
  ),
  entry(
    'Zswap.close',
    withZswap(({ it }, world) => (world.dice.once(8) ? gone(world, 'zswaps', it, it.close()) : SKIP)),
    2,
  ),
  entry(
    'Zswap[dispose]',
    withZswap(({ it }, world) => (world.dice.once(16) ? it[DISPOSE]() : SKIP)),
    1,
  ),
  entry(
    'Zswap[asyncDispose]',
    withZswap(({ it }, world) => (world.dice.once(16) ? it[ASYNC_DISPOSE]() : SKIP)),
    1,
  ),
];

/** Forgets a front end that is closed; its calls may go on for a while. */
async function gone(
  world: World,
  list: 'zswaps' | 'spaces' | 'devices',
  it: unknown,
  closing: Promise<void>,
): Promise<void> {
  await closing; // a front end whose close was refused is closed at the end
  if (world.dice.once(2))
    (world[list] as Owned<unknown>[]) = (world[list] as Owned<unknown>[]).filter((one) => one.it !== it);
}

// ── SwapSpace ────────────────────────────────────────────────────────────────

async function makeSpace(world: World): Promise<void> {
  const { given, lied } = zswapOptions(world);
  const it = await SwapSpace.create(given);
  world.spaces.push({ it, owner: world.owner(), lied });
  if (world.spaces.length > 2) await gone(world, 'spaces', it, it.close());
}

function withSpace(run: (of: Owned<SwapSpace>, world: World) => unknown): (world: World) => unknown {
  return (world) => (world.spaces.length === 0 ? makeSpace(world) : run(world.dice.of(world.spaces), world));
}

export const SWAP_SPACE: readonly Entry[] = [
  entry(
    'SwapSpace.constructor',
    (world) => new (SwapSpace as unknown as new (...given: unknown[]) => unknown)(options(world, {})),
    1,
  ),
  entry('SwapSpace.create', makeSpace),
  entry('SwapSpace.open', openSpace, 1),
  entry(
    'SwapSpace.pageOut',
    withSpace((of, world) => {
      const slot = below(world, PAGES);
      of.it.pageOut(slot, page(world, of.owner, slot));
    }),
    14,
  ),
  entry(
    'SwapSpace.pageOutAsync',
    withSpace((of, world) => {
      const slot = below(world, PAGES);
      return of.it.pageOutAsync(slot, page(world, of.owner, slot));
    }),
    14,
  ),
  entry(
    'SwapSpace.pageIn',
    withSpace((of, world) => {
      const [slot, into] = [below(world, PAGES), room(world)];
      if (of.it.pageIn(slot, into)) requireBelongs('SwapSpace.pageIn', of, into, pageAt(of.owner, slot));
    }),
    10,
  ),
  entry(
    'SwapSpace.pageInAsync',
    withSpace(async (of, world) => {
      const [slot, into] = [below(world, PAGES), room(world)];
      if (await of.it.pageInAsync(slot, into))
        requireBelongs('SwapSpace.pageInAsync', of, into, pageAt(of.owner, slot));
    }),
    10,
  ),
  entry(
    'SwapSpace.free',
    withSpace(({ it }, world) => it.free(below(world, PAGES))),
    4,
  ),
  entry(
    'SwapSpace.freeAsync',
    withSpace(({ it }, world) => it.freeAsync(below(world, PAGES))),
  ),
  entry(
    'SwapSpace.zswap',
    withSpace(({ it }) => it.zswap),
    1,
  ),
  entry(
    'SwapSpace.stats',
    withSpace(({ it }) => it.stats()),
  ),
  entry(
    'SwapSpace.close',
    withSpace(({ it }, world) => (world.dice.once(8) ? gone(world, 'spaces', it, it.close()) : SKIP)),
  ),
  entry(
    'SwapSpace[dispose]',
    withSpace(({ it }, world) => (world.dice.once(16) ? it[DISPOSE]() : SKIP)),
    1,
  ),
  entry(
    'SwapSpace[asyncDispose]',
    withSpace(({ it }, world) => (world.dice.once(16) ? it[ASYNC_DISPOSE]() : SKIP)),
    1,
  ),
];

// ── Ramzswap ─────────────────────────────────────────────────────────────────

export function settingMakers(world: World): Makers<RamzswapSettings> {
  const { dice } = world;
  return {
    disksize: () => size(world, dice.of([PAGES * PAGE_SIZE, '64KiB', 1, 5000])),
    memlimit: () => size(world, dice.of([0, '64KiB', '256K'])),
    allocator: () => text(world, dice.of(ALLOCATORS)) as AllocatorName,
    zpool: inner(world),
    codec: () => codecOption(world) as Codec,
    recompCodecs: () =>
      dice.once(8)
        ? oddNumber(world)
        : options(
            world,
            Array.from({ length: dice.below(5) }, () => codecOption(world)),
          ),
    backing: () => storeOption(world),
    swapHeader: () => dice.once(2),
  };
}

export function deviceMakers(world: World): Makers<RamzswapOptions> {
  return {
    ...settingMakers(world),
    ...place(world),
    maxInFlight: () => num(world, 1 + world.dice.below(8)),
    timeout: () => num(world, world.dice.of([5, 30_000])),
    clock: () => callback(world, () => (world.dice.once(6) ? (oddNumber(world) as number) : performance.now() / 1000)),
  };
}

/** Records the settings that decide which bytes a page has. */
function known<T extends RamzswapSettings>(
  world: World,
  makers: Makers<T>,
  always: Partial<T>,
): { given: T; lied: boolean } {
  const codecs = Array.from({ length: world.dice.below(4) }, () => codecOption(world));
  const first = world.dice.once(3) ? codecOption(world) : undefined;
  const header = world.dice.once(8);
  const plain = {
    ...always,
    ...(header ? { swapHeader: true } : {}),
    ...(codecs.length > 0 ? { recompCodecs: codecs } : {}),
    ...(first === undefined ? {} : { codec: first }),
  };
  return {
    given: some(world, without(makers, 'codec', 'recompCodecs', 'swapHeader'), plain as Partial<T>, 8),
    lied: header || [first, ...codecs].some(lies),
  };
}

async function makeDevice(world: World): Promise<void> {
  const { dice } = world;
  const always: Partial<RamzswapOptions> = dice.once(12) ? { bytes: '1MiB' } : { ram: world.ram };
  if (!dice.once(4)) always.disksize = PAGES * PAGE_SIZE;
  if (dice.once(2)) always.backing = storeOption(world);
  const { given, lied } = known(world, without(deviceMakers(world), 'ram', 'bytes'), always);
  const it = await Ramzswap.create(given);
  world.devices.push({ it, owner: world.owner(), lied });
  if (world.devices.length > 3) await gone(world, 'devices', it, it.close());
}

export function deviceOpenMakers(world: World): Makers<RamzswapOpenOptions> {
  const { backing, clock } = deviceMakers(world);
  return {
    backing,
    clock,
    codecs: () =>
      (world.dice.once(8)
        ? oddNumber(world)
        : options(
            world,
            Array.from({ length: world.dice.below(4) }, () => codecOption(world) as Codec),
          )) as Codec[],
  };
}

/** Opens a device of an image, with a store that may be the wrong one. The content of its pages is then unknown. */
async function openDevice(world: World): Promise<void> {
  const { dice } = world;
  const ram = dice.once(6) ? world.ram : await Ram.restore(world.image ?? world.ram.snapshot());
  try {
    const names = ram.fronts().map(({ name }) => name);
    const name = text(world, names.length === 0 || dice.once(8) ? 'ramzswap#1' : dice.of(names));
    const it = await Ramzswap.open(ram, name, dice.once(6) ? undefined : some(world, deviceOpenMakers(world), {}, 3));
    const into = new Uint8Array(PAGE_SIZE);
    for (const { index } of [...it.blockState()]) await it.readPageAsync(index, into).catch(refused);
    await it.writePageAsync(0, into).catch(refused);
    it.check();
    await it.close();
  } finally {
    if (ram !== world.ram) ram.close();
  }
}

/** Accepts only CompcacheErrors. */
function refused(error: unknown): void {
  if (!(error instanceof CompcacheError)) throw error;
}

function withDevice(run: (of: Owned<Ramzswap>, world: World) => unknown): (world: World) => unknown {
  return (world) => (world.devices.length === 0 ? makeDevice(world) : run(world.dice.of(world.devices), world));
}

function setter(name: string, value: (world: World) => unknown): Entry {
  return entry(
    `Ramzswap.${name}=`,
    withDevice(({ it }, world) => {
      (it as unknown as Record<string, unknown>)[name] = world.dice.once(5) ? oddNumber(world) : value(world);
    }),
    1,
  );
}

function getters(...names: (keyof Ramzswap & string)[]): Entry[] {
  return names.map((name) =>
    entry(
      `Ramzswap.${name}`,
      withDevice(({ it }) => it[name]),
      1,
    ),
  );
}

/** A range of sectors or bytes of a device. */
function part(world: World, unit: number): { at: number; offset: number; length: number } {
  const { dice } = world;
  const at = below(world, (PAGES * PAGE_SIZE) / unit);
  const length = dice.of([0, 1, 8, 20]) * dice.of(unit === 1 ? [1, 100, 512] : [512]);
  return { at, offset: typeof at === 'number' && at >= 0 && at < 2 ** 32 ? at * unit : 0, length };
}

function reading(name: 'readSectors' | 'readSectorsAsync' | 'read' | 'readAsync', unit: number): Entry {
  return entry(
    `Ramzswap.${name}`,
    withDevice((of, world) => {
      const { at, offset, length } = part(world, unit);
      const into = room(world, length);
      const seen = (): void => requireBelongs(`Ramzswap.${name}`, of, into, bytesAt(of.owner, offset, length));
      const result = of.it[name](at, into) as Promise<void> | undefined;
      return result === undefined ? seen() : result.then(seen);
    }),
    6,
  );
}

function writing(name: 'writeSectors' | 'writeSectorsAsync' | 'write' | 'writeAsync', unit: number): Entry {
  return entry(
    `Ramzswap.${name}`,
    withDevice((of, world) => {
      const { at, offset, length } = part(world, unit);
      return of.it[name](at, hostileBytes(world, bytesAt(of.owner, offset, length)));
    }),
    6,
  );
}

export function recompressMakers(world: World): Makers<RecompressOptions> {
  const { dice } = world;
  return {
    type: () => dice.of(['idle', 'huge', 'huge_idle']),
    threshold: () => below(world, 4000),
    maxPages: () => below(world, 9),
    priority: () => below(world, 4),
  };
}

function selection(world: World): WritebackSelection {
  const { dice } = world;
  const range = (): unknown =>
    dice.once(2)
      ? below(world, PAGES)
      : dice.once(6)
        ? oddNumber(world)
        : [below(world, 4), num(world, 4 + dice.below(20))];
  const pages = (): unknown =>
    dice.once(8) ? oddNumber(world) : dice.once(8) ? proxy(world, [range()]) : [range(), range()];
  return (
    dice.once(3)
      ? options(world, { pages: pages() })
      : text(world, dice.of(['idle', 'huge', 'huge_idle', 'incompressible']))
  ) as WritebackSelection;
}

function age(world: World): number | 'all' | undefined {
  const { dice } = world;
  return dice.once(2) ? undefined : dice.once(2) ? 'all' : below(world, 10);
}

function pageRead(name: 'readPage' | 'readPageAsync'): Entry {
  return entry(
    `Ramzswap.${name}`,
    withDevice((of, world) => {
      const [index, into] = [below(world, PAGES), room(world)];
      const seen = (): void => requireBelongs(`Ramzswap.${name}`, of, into, pageAt(of.owner, index));
      const result = of.it[name](index, into) as Promise<void> | undefined;
      return result === undefined ? seen() : result.then(seen);
    }),
    8,
  );
}

function pageWrite(name: 'writePage' | 'writePageAsync'): Entry {
  return entry(
    `Ramzswap.${name}`,
    withDevice((of, world) => {
      const index = below(world, PAGES);
      return of.it[name](index, page(world, of.owner, index));
    }),
    12,
  );
}

export const RAMZSWAP: readonly Entry[] = [
  entry(
    'Ramzswap.constructor',
    (world) => new (Ramzswap as unknown as new (...given: unknown[]) => unknown)(options(world, {}), oddNumber(world)),
    1,
  ),
  entry('Ramzswap.create', makeDevice),
  entry('Ramzswap.open', openDevice, 2),
  entry(
    'Ramzswap.init',
    withDevice((of, world) => {
      const always: Partial<RamzswapSettings> = world.dice.once(4) ? {} : { disksize: PAGES * PAGE_SIZE };
      const { given, lied } = known(world, settingMakers(world), always);
      of.lied ||= lied;
      of.it.init(given);
    }),
    4,
  ),
  entry(
    'Ramzswap.reset',
    withDevice(({ it }) => it.reset()),
    1,
  ),
  entry(
    'Ramzswap.resetAsync',
    withDevice(({ it }) => it.resetAsync()),
    1,
  ),
  pageRead('readPage'),
  pageRead('readPageAsync'),
  pageWrite('writePage'),
  pageWrite('writePageAsync'),
  reading('readSectors', 512),
  reading('readSectorsAsync', 512),
  reading('read', 1),
  reading('readAsync', 1),
  writing('writeSectors', 512),
  writing('writeSectorsAsync', 512),
  writing('write', 1),
  writing('writeAsync', 1),
  entry(
    'Ramzswap.discard',
    withDevice(({ it }, world) => it.discard(below(world, PAGES), world.dice.once(2) ? undefined : below(world, 5))),
    3,
  ),
  entry(
    'Ramzswap.freeNotify',
    withDevice(({ it }, world) => it.freeNotify(below(world, PAGES))),
  ),
  entry(
    'Ramzswap.compact',
    withDevice(({ it }) => it.compact()),
  ),
  entry(
    'Ramzswap.compactAsync',
    withDevice(({ it }) => it.compactAsync()),
  ),
  entry(
    'Ramzswap.markIdle',
    withDevice(({ it }, world) => it.markIdle(age(world))),
  ),
  entry(
    'Ramzswap.markIdleAsync',
    withDevice(({ it }, world) => it.markIdleAsync(age(world))),
  ),
  entry(
    'Ramzswap.writeback',
    withDevice(({ it }, world) => it.writeback(selection(world))),
    5,
  ),
  entry(
    'Ramzswap.writebackAsync',
    withDevice(({ it }, world) => it.writebackAsync(selection(world))),
    5,
  ),
  entry(
    'Ramzswap.recompress',
    withDevice(({ it }, world) =>
      it.recompress(world.dice.once(3) ? undefined : some(world, recompressMakers(world), {}, 3)),
    ),
    4,
  ),
  entry(
    'Ramzswap.recompressAsync',
    withDevice(({ it }, world) =>
      it.recompressAsync(world.dice.once(3) ? undefined : some(world, recompressMakers(world), {}, 3)),
    ),
    4,
  ),
  entry(
    'Ramzswap.flush',
    withDevice(({ it }) => it.flush()),
  ),
  entry(
    'Ramzswap.stats',
    withDevice(({ it }) => it.stats()),
    1,
  ),
  entry(
    'Ramzswap.mmStat',
    withDevice(({ it }) => it.mmStat()),
    1,
  ),
  entry(
    'Ramzswap.resetMemUsedMax',
    withDevice(({ it }) => it.resetMemUsedMax()),
    1,
  ),
  entry(
    'Ramzswap.ioStat',
    withDevice(({ it }) => it.ioStat()),
    1,
  ),
  entry(
    'Ramzswap.bdStat',
    withDevice(({ it }) => it.bdStat()),
    1,
  ),
  entry(
    'Ramzswap.blockState',
    withDevice(({ it }, world) =>
      iterated(world, 'Ramzswap.blockState', () => it.blockState() as Iterator<BlockState>),
    ),
  ),
  entry(
    'Ramzswap.check',
    withDevice(({ it }) => it.check()),
    1,
  ),
  ...getters('initstate', 'disksize', 'allocator', 'codec', 'backing', 'memlimit', 'writebackLimit'),
  entry(
    'Ramzswap.ram',
    withDevice(({ it }) => it.ram),
    1,
  ),
  setter('disksize', (world) => size(world, '64KiB')),
  setter('allocator', ({ dice }) => dice.of(ALLOCATORS)),
  setter('memlimit', (world) => size(world, world.dice.of([0, '64KiB', '512K']))),
  setter('writebackLimit', ({ dice }) => dice.of([Infinity, 0, 5])),
  setter('backing', storeOption),
  entry(
    'Ramzswap.codec=',
    withDevice((of, world) => {
      const codec = codecOption(world);
      of.lied ||= lies(codec);
      of.it.codec = codec as Codec;
    }),
    1,
  ),
  entry(
    'Ramzswap.close',
    withDevice(({ it }, world) => (world.dice.once(10) ? gone(world, 'devices', it, it.close()) : SKIP)),
  ),
  entry(
    'Ramzswap[dispose]',
    withDevice(({ it }, world) => (world.dice.once(20) ? it[DISPOSE]() : SKIP)),
    1,
  ),
  entry(
    'Ramzswap[asyncDispose]',
    withDevice(({ it }, world) => (world.dice.once(20) ? it[ASYNC_DISPOSE]() : SKIP)),
    1,
  ),
];
