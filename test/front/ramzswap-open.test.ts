/** Ramzswap.open: a device in a restored RAM continues where it was. */
import { describe, expect, test } from 'vitest';
import {
  ALLOCATORS,
  PAGE_SIZE,
  Ram,
  Ramzswap,
  Zswap,
  loadCodec,
  type BackingStore,
  type Codec,
  type RamzswapOpenOptions,
  type RamzswapOptions,
} from '../../bindings/index.ts';
import { rams } from '../../bindings/ram.ts';
import { builds, buildOptions, changesNothing, expectBytes, fault, noise, rejected } from '../harness.ts';
import { Trimmer } from './swap-machine.ts';
import { RecordingStore, codeOf, copyOfStore, filledPage, pageOf, rawPage } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';
const PAGES = 64;
const OP = 'Ramzswap.open';

/** A page of each kind. */
function page(index: number, round = 0): Uint8Array {
  if (index % 8 === 7) return new Uint8Array(PAGE_SIZE); // never written
  if (index % 8 === 6) return rawPage(index + 1000 * round);
  if (index % 8 === 5) return filledPage(index + round);
  return index % 8 === 4 ? trimmable(index + 1000 * round) : pageOf(index + 1000 * round);
}

/** A page that even a codec that only cuts off zeros can compress. */
function trimmable(seed: number): Uint8Array {
  const given = new Uint8Array(PAGE_SIZE);
  given.set(noise(300 + seed, seed));
  given[300 + seed] = 1;
  return given;
}

/** The same store with promises. */
function asynchronous(store: RecordingStore): BackingStore {
  return {
    mode: 'async',
    ...(store.slots === undefined ? {} : { slots: store.slots }),
    read: async (slot, into) => Promise.resolve(store.read(slot, into)),
    write: async (slot, bytes) => {
      await Promise.resolve();
      store.write(slot, bytes);
    },
    free: async (slot) => {
      await Promise.resolve();
      store.free(slot);
    },
    close: async () => {
      await Promise.resolve();
      store.close();
    },
  };
}

async function create(options: RamzswapOptions = {}): Promise<Ramzswap> {
  const ram = options.ram ?? (await Ram.create({ bytes: '2MiB', ...buildOptions(build) }));
  return Ramzswap.create({ disksize: PAGES * PAGE_SIZE, ram, ...options });
}

async function fill(device: Ramzswap, round = 0): Promise<void> {
  for (let index = 0; index < PAGES; index++)
    if (index % 8 !== 7) await device.writePageAsync(index, page(index, round));
}

async function expectAll(device: Ramzswap, round = 0): Promise<void> {
  const into = new Uint8Array(PAGE_SIZE);
  for (let index = 0; index < PAGES; index++) {
    await device.readPageAsync(index, into);
    expectBytes(into, page(index, round), `page ${index}`);
  }
}

async function restored(device: Ramzswap): Promise<Ram> {
  return Ram.restore(device.ram.snapshot(), buildOptions(build));
}

function nameIn(ram: Ram): string {
  return ram.fronts().find(({ kind }) => kind === 'ramzswap')?.name as string;
}

async function reopened(device: Ramzswap, options: RamzswapOpenOptions = {}): Promise<Ramzswap> {
  const ram = await restored(device);
  return Ramzswap.open(ram, nameIn(ram), options);
}

/** All figures of pages and pool, without the counters of I/O. */
function figures(device: Ramzswap): unknown {
  const {
    disksize,
    memlimit,
    pagesSame,
    pagesStored,
    pagesUsed,
    goodCompress,
    pagesExpand,
    origDataSize,
    comprDataSize,
    memUsedTotal,
  } = device.stats();
  return {
    disksize,
    memlimit,
    pagesSame,
    pagesStored,
    pagesUsed,
    goodCompress,
    pagesExpand,
    origDataSize,
    comprDataSize,
    memUsedTotal,
    mm: { ...device.mmStat(), pagesCompacted: 0 },
    bdCount: device.bdStat().bdCount,
    blocks: [...device.blockState()],
    settings: [
      device.allocator,
      device.codec,
      device.memlimit,
      device.disksize,
      device.writebackLimit,
      device.initstate,
    ],
    owners: device.ram.stats().owners,
  };
}

describe.each(ALLOCATORS)('a device on %s', (allocator) => {
  test.each(['none', 'sync', 'async'] as const)(
    'behaves the same in the copy and in the original, store %s',
    async (mode) => {
      const store = new RecordingStore(1000);
      const given = (one: RecordingStore): RamzswapOpenOptions =>
        mode === 'none' ? {} : { backing: mode === 'sync' ? one : asynchronous(one) };
      const deflate = await loadCodec('deflate');
      const trimmer = new Trimmer();
      const device = await create({
        allocator,
        codec: 'lz4hc',
        recompCodecs: [deflate, trimmer],
        memlimit: 200 * PAGE_SIZE,
        clock: () => 50,
        ...given(store),
      });
      await fill(device);
      device.recompress({ threshold: 300 });
      device.writebackLimit = 100;
      if (mode !== 'none') expect(await device.writebackAsync({ pages: [[8, 15]] })).toBeGreaterThan(0);
      device.discard(1);
      await Promise.resolve();
      const copy = copyOfStore(store);
      const other = await reopened(device, { ...given(copy), codecs: [trimmer], clock: () => 9000 });
      other.check();
      expect(figures(other)).toEqual(figures(device));
      expect(other.backing === undefined).toBe(mode === 'none');
      for (const one of [device, other]) {
        one.memlimit = 0;
        await one.writePageAsync(1, page(1));
        await expectAll(one);
        one.markIdle();
        if (mode !== 'none') await one.writebackAsync('idle');
        await expectAll(one);
        await fill(one, 1);
        await one.writePageAsync(1, page(1, 1));
        await expectAll(one, 1);
        one.recompress();
        one.compact();
        await expectAll(one, 1);
        one.check();
      }
      const plain = (one: Ramzswap): unknown => ({
        ...(figures(one) as object),
        blocks: [...one.blockState()].map((block) => ({ ...block, accessTime: 0 })),
      });
      expect(plain(other)).toEqual(plain(device));
      expect([...copy.held.keys()].sort()).toEqual([...store.held.keys()].sort());
      // Reset keeps the settings, and the RAM belongs to the caller.
      const { ram } = other;
      await other.resetAsync();
      expect([other.initstate, other.disksize, other.allocator, other.codec, copy.held.size]).toEqual([
        false,
        PAGES * PAGE_SIZE,
        allocator,
        'lz4hc',
        0,
      ]);
      other.init();
      await fill(other);
      await expectAll(other);
      await other.close();
      expect([ram.fronts(), ram.pools()]).toEqual([[], []]);
      ram.check();
      await device.close();
    },
  );
});

describe('open', () => {
  test('loads the built-in codecs by their names', async () => {
    for (const codec of ['lz4', 'lz4hc', 'lz4js', 'deflate'] as const) {
      const device = await create({ codec });
      await fill(device);
      const other = await reopened(device);
      expect(other.codec).toBe(codec);
      await expectAll(other);
      // The note is written again: restore a copy of the copy.
      other.memlimit = '128KiB';
      const third = await reopened(other);
      expect([third.codec, third.memlimit]).toEqual([codec, 128 * 1024]);
      await expectAll(third);
    }
  });

  test("names a missing codec, and takes the caller's codec of any name", async () => {
    for (const name of ['mine', 'lz4', 'deflate', 'x'.repeat(5000), '\0\u{1F600}"\ud800'.repeat(500)]) {
      const mine: Codec = Object.assign(new Trimmer(), { name });
      const device = await create({ codec: mine, recompCodecs: [Object.assign(new Trimmer(), { name: 'second' })] });
      await fill(device);
      const ram = await restored(device);
      const lacks = await rejected({ code: 'EINVAL', op: OP }, Ramzswap.open(ram, nameIn(ram), { codecs: [mine] }));
      expect(lacks.message).toContain('"second"');
      const other = await Ramzswap.open(ram, nameIn(ram), {
        codecs: [Object.assign(new Trimmer(), { name: 'second' }), mine],
      });
      expect(other.codec).toBe(name);
      await expectAll(other);
    }
  });

  test('wants the store that the device had', async () => {
    const store = new RecordingStore(500);
    const device = await create({ backing: store });
    await fill(device);
    expect(device.writeback({ pages: [[0, PAGES - 1]] })).toBeGreaterThan(10);
    const ram = await restored(device);
    const name = nameIn(ram);
    const image = ram.snapshot();
    const refused = async (
      backing: BackingStore | undefined,
      code: 'EINVAL' | 'EBUSY',
      text: RegExp,
    ): Promise<void> => {
      const error = await rejected(
        { code, op: OP },
        Ramzswap.open(ram, name, backing === undefined ? {} : { backing }),
      );
      expect(error.message).toMatch(text);
      expect(ram.snapshot()).toEqual(image);
    };
    await refused(undefined, 'EINVAL', /pages are in a backing store/);
    await refused(store, 'EBUSY', /belongs to another/); // the first device has it
    await refused(new RecordingStore(499), 'EINVAL', /has 499 slots/);
    await refused(new RecordingStore(500), 'EINVAL', /not the one/);
    await refused(asynchronous(new RecordingStore()), 'EINVAL', /not the one/);
    const other = copyOfStore(store);
    const slots = [...store.held.keys()];
    slots.forEach((slot, i) =>
      other.held.set(slot, store.held.get(slots[(i + 1) % slots.length] as number) as Uint8Array),
    );
    await refused(other, 'EINVAL', /not the one/);
    const failing = copyOfStore(store);
    failing.change = () => {
      throw new Error('no');
    };
    await refused(failing, 'EINVAL', /not the one/);
    // After each refusal the note is unchanged, and the right store opens it.
    failing.change = undefined;
    const opened = await Ramzswap.open(ram, name, { backing: failing });
    await expectAll(opened);
    await rejected({ code: 'EBUSY', op: OP }, Ramzswap.open(ram, name, { backing: copyOfStore(store) }));
    await opened.close();
    await rejected({ code: 'ENOENT', op: OP }, Ramzswap.open(ram, name));
  });

  test('works without a store when no page is in it, and with none when there was none', async () => {
    const store = new RecordingStore(500);
    const device = await create({ backing: store });
    device.writePage(0, rawPage(0));
    device.discard(0);
    const other = await reopened(device);
    await fill(other);
    await expectAll(other);
    expect([other.mmStat().hugePages, other.bdStat().bdCount, other.backing]).toEqual([8, 0, undefined]);
    await rejected({ code: 'EINVAL', op: OP }, reopened(await create(), { backing: new RecordingStore() }));
  });

  test('frees slots that no page is in', async () => {
    const store = new RecordingStore(500);
    const device = await create({ backing: store });
    await fill(device);
    let image: Uint8Array | undefined;
    const { free } = store;
    store.free = (slot) => {
      image ??= device.ram.snapshot();
      free.call(store, slot);
    };
    const before = copyOfStore(store);
    device.discard(0, 24);
    const ram = await Ram.restore(image as Uint8Array, buildOptions(build));
    const other = await Ramzswap.open(ram, nameIn(ram), { backing: before });
    expect(before.freed.length).toBeGreaterThan(0);
    expect(before.held.size).toBe(other.bdStat().bdCount);
    other.check();
  });

  test('continues its time at the last access', async () => {
    let now = 1e6;
    const device = await create({ clock: () => now });
    for (let n = 0; n < 5; n++) {
      now += 10;
      device.writePage(n, pageOf(n));
    }
    let later = 77.7;
    const other = await reopened(device, { clock: () => later });
    expect([...other.blockState()].map(({ accessTime }) => accessTime)).toEqual([10, 20, 30, 40, 50]);
    expect(other.markIdle(40)).toBe(1);
    later += 5;
    other.writePage(5, pageOf(5));
    expect([...other.blockState()][5]?.accessTime).toBe(55);
    expect([other.markIdle(5), other.markIdle(45)]).toEqual([5, 1]);
    const thrown = new Error('no time');
    await expect(
      reopened(device, {
        clock: () => {
          throw thrown;
        },
      }),
    ).rejects.toBe(thrown);
    await rejected({ code: 'EINVAL', op: OP }, reopened(device, { clock: () => NaN }));
  });

  test('keeps the last limits', async () => {
    const store = new RecordingStore(500);
    const device = await create({ backing: store });
    for (let n = 0; n < 8; n++) device.writePage(n, pageOf(n));
    device.writebackLimit = 5;
    device.memlimit = 77 * PAGE_SIZE;
    expect(device.writeback({ pages: [0, 1, 2] })).toBe(3);
    const other = await reopened(device, { backing: copyOfStore(store) });
    expect([other.writebackLimit, other.memlimit]).toEqual([2, 77 * PAGE_SIZE]);
    expect(other.writeback({ pages: [[0, 7]] })).toBe(2);
    expect([other.writebackLimit, codeOf(() => other.writeback({ pages: [[0, 7]] }))]).toEqual([0, 'EIO']);
    other.writebackLimit = Infinity;
    expect((await reopened(other, { backing: copyOfStore(other.backing as RecordingStore) })).writebackLimit).toBe(
      Infinity,
    );
  });

  test('refuses a RAM or name that it cannot open, and changes nothing', async () => {
    const device = await create();
    await fill(device);
    await Zswap.create({ ram: device.ram, maxPoolPercent: 10 });
    const ram = await restored(device);
    const name = nameIn(ram);
    const image = ram.snapshot();
    const zswap = ram.fronts().find(({ kind }) => kind === 'zswap')?.name as string;
    const bad: [unknown, unknown, unknown, string][] = [
      [ram, 'nobody', {}, 'ENOENT'],
      [ram, zswap, {}, 'EINVAL'],
      [ram, 5, {}, 'EINVAL'],
      [{}, name, {}, 'EINVAL'],
      [undefined, name, {}, 'EINVAL'],
      [ram, name, null, 'EINVAL'],
      [ram, name, { memlimit: 1 }, 'EINVAL'],
      [ram, name, { clock: 1 }, 'EINVAL'],
      [ram, name, { codecs: 1 }, 'EINVAL'],
      [ram, name, { codecs: [1] }, 'EINVAL'],
      [ram, name, { codecs: new Array(1000) }, 'EINVAL'],
      [ram, name, { backing: {} }, 'EINVAL'],
    ];
    for (const [one, called, options, code] of bad)
      await rejected(
        { code: code as 'EINVAL', op: OP },
        Ramzswap.open(one as Ram, called as string, options as object),
      );
    expect(ram.snapshot()).toEqual(image);
    const pool = ram.pools().find((one) => one.name.startsWith(name)) as Parameters<typeof rams.is>[0] as {
      malloc(size: number): number;
    };
    changesNothing(ram, () => fault({ code: 'EBUSY', op: 'zpool.malloc' }, () => pool.malloc(10)));
    const opened = await Ramzswap.open(ram, name);
    fault({ code: 'EBUSY', op: 'zpool.malloc' }, () => pool.malloc(10));
    await expectAll(opened);
    await opened.close();
    ram.close();
    await rejected({ code: 'ECLOSED', op: OP }, Ramzswap.open(ram, name));
  });

  test('of two calls at the same time one succeeds', async () => {
    const store = new RecordingStore(500);
    const device = await create({ backing: store });
    await fill(device);
    const ram = await restored(device);
    const name = nameIn(ram);
    const settled = await Promise.allSettled(
      [0, 1, 2].map(() => Ramzswap.open(ram, name, { backing: asynchronous(copyOfStore(store)) })),
    );
    expect(settled.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected']);
    for (const one of settled)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'EBUSY', op: OP });
    const plain = await restored(await create());
    const both = await Promise.allSettled([Ramzswap.open(plain, nameIn(plain)), Ramzswap.open(plain, nameIn(plain))]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    // A front end that is dropped, or whose RAM is closed, while the store is asked.
    for (const [end, code] of [
      [(one: Ram) => one.dropFront(name), 'ENOENT'],
      [(one: Ram) => one.close(), 'ECLOSED'],
    ] as const) {
      const other = await restored(device);
      const copy = copyOfStore(store);
      copy.change = (bytes) => {
        end(other);
        copy.change = undefined;
        return bytes;
      };
      await rejected({ code, op: OP }, Ramzswap.open(other, name, { backing: copy }));
      // The store is free again.
      await (await reopened(device, { backing: copy })).close();
    }
  });

  test('a damaged note is EIO', async () => {
    const device = await create({ zpool: { chainSize: 4 } });
    await fill(device);
    const ram = await restored(device);
    const name = nameIn(ram);
    const core = rams.core(OP, ram);
    const front = rams.unopened(OP, ram, name, 'ramzswap').address;
    const set = (text: string): void => {
      const bytes = new TextEncoder().encode(text);
      core.page.set(bytes);
      expect(core.exports.frontSetNote(front, bytes.length)).toBe(0);
    };
    const text = new TextDecoder().decode(core.page.slice(0, core.exports.frontNote(front)));
    const note = JSON.parse(text) as Record<string, unknown>;
    const bad: unknown[] = [
      {},
      [],
      5,
      null,
      { ...note, disksize: 4096 },
      { ...note, disksize: { toString: 5 } },
      { ...note, allocator: 'zbud' },
      { ...note, allocator: 7 },
      { ...note, zpool: { chainSize: 99 } },
      { ...note, zpool: { layout: '6.1' } },
      { ...note, zpool: { evict: 1 } },
      { ...note, zpool: 4 },
      { ...note, memlimit: -1 },
      { ...note, codecs: [] },
      { ...note, codecs: [7] },
      { ...note, codecs: [0, 0, 0, 0, 0] },
      { ...note, codecs: 'lz4' },
      { ...note, codecs: [[]] },
      { ...note, writebackLimit: 'x' },
      { ...note, swapHeader: 1 },
      { ...note, maxInFlight: 0 },
      { ...note, timeout: '1' },
      { ...note, more: 1 },
    ];
    for (const one of bad) {
      set(JSON.stringify(one));
      await rejected({ code: 'EIO', op: OP }, Ramzswap.open(ram, name));
    }
    for (const one of ['', '{', '\xff']) {
      set(one);
      await rejected({ code: 'EIO', op: OP }, Ramzswap.open(ram, name));
    }
    set(text);
    await expectAll(await Ramzswap.open(ram, name));
  });

  test('a page with a codec number that is not in the note is EIO', async () => {
    const trimmer = new Trimmer();
    const device = await create({ codec: trimmer });
    await fill(device);
    const ram = await restored(device);
    const name = nameIn(ram);
    const core = rams.core(OP, ram);
    const front = rams.unopened(OP, ram, name, 'ramzswap').address;
    const opened = await Ramzswap.open(ram, name, { codecs: [trimmer] });
    core.exports.ramzCodec(front, 0, 200);
    fault({ code: 'EIO', op: 'ramzswap.readPage' }, () => opened.readPage(4, new Uint8Array(PAGE_SIZE)));
  });

  test('a RAM that the device made itself can be saved and restored too', async () => {
    const device = await Ramzswap.create({ disksize: PAGES * PAGE_SIZE, swapHeader: true, ...buildOptions(build) });
    device.writePage(3, pageOf(3));
    const other = await reopened(device);
    const [first, second] = [new Uint8Array(PAGE_SIZE), new Uint8Array(PAGE_SIZE)];
    device.readPage(0, first);
    other.readPage(0, second);
    expectBytes(second, first);
    const { ram } = other;
    await other.close();
    expect(ram.fronts()).toEqual([]);
    ram.close();
  });
});
