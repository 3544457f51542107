/** Zswap.open: a zswap in a restored RAM continues without a difference. */
import { describe, expect, test } from 'vitest';
import {
  ALLOCATORS,
  CompcacheError,
  PAGE_SIZE,
  Ram,
  Ramzswap,
  Zswap,
  loadCodec,
  type AllocatorName,
  type BackingStore,
  type Codec,
  type ZswapOpenOptions,
} from '../../bindings/index.ts';
import { expectSameBytes } from '../bytes.ts';
import { builds, buildOptions, changesNothing, expectBytes, must, noise, rejected } from '../harness.ts';
import { Trimmer, settingsOf } from './swap-machine.ts';
import { MAX_NAME, editNote, type Note } from './notes.ts';
import { RecordingStore, copyOfStore, filledPage, pageOf, rawPage, withPromises } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';
const PAGES = 60;

/** A page from which the trimmer leaves something out. */
function trimmed(seed: number): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  page.set(noise(100 + ((seed * 37) % 900), seed));
  return page;
}

function page(offset: number): Uint8Array {
  if (offset % 9 === 0) return rawPage(offset);
  return offset % 7 === 0 ? filledPage(offset) : offset % 2 === 0 ? trimmed(offset) : pageOf(offset);
}

function restore(image: Uint8Array): Promise<Ram> {
  return Ram.restore(image, buildOptions(build));
}

interface Made {
  ram: Ram;
  zswap: Zswap;
  store: RecordingStore;
  image: Uint8Array;
}

/**
 * A zswap with a pool of each allocator and pools of two codecs; all but one are draining. Some of the pages are in the
 * store.
 */
async function make(victims: 'entry' | 'page', current: AllocatorName, codec: Codec): Promise<Made> {
  const ram = await Ram.create({ bytes: '4MiB', ...buildOptions(build) });
  ram.zpool('zbud', { name: 'mine' }).malloc(100);
  const store = new RecordingStore(500);
  const zswap = await Zswap.create({
    ram,
    victims,
    allocator: 'zsmalloc',
    zpool: { chainSize: 4 },
    store,
    maxPoolPercent: 90,
    acceptThresholdPercent: 80,
    sameFilled: true,
    writebackLimit: 77,
    maxInFlight: 3,
    timeout: 1234,
  });
  const order = [...ALLOCATORS.filter((one) => one !== current), current];
  for (let offset = 0; offset < PAGES; offset++) {
    zswap.allocator = order[Math.floor((offset * order.length) / PAGES)] as AllocatorName;
    if (offset === PAGES / 2) zswap.codec = codec;
    must(zswap.store(0, offset, page(offset)), `page ${offset} was refused`);
  }
  expect(zswap.writeback(20)).toBeGreaterThanOrEqual(20);
  zswap.load(0, 50, new Uint8Array(PAGE_SIZE));
  zswap.exclusiveLoads = false;
  return { ram, zswap, store, image: ram.snapshot() };
}

function state(zswap: Zswap): object {
  return {
    settings: settingsOf(zswap),
    stats: zswap.stats(),
    pools: zswap.ram.pools().map((pool) => [pool.name, pool.stats()]),
  };
}

async function expectAll(zswap: Zswap, pages = page): Promise<void> {
  const into = new Uint8Array(PAGE_SIZE);
  for (let offset = 0; offset < PAGES; offset++) {
    expect(await zswap.loadAsync(0, offset, into)).toBe(true);
    expectBytes(into, pages(offset), `page ${offset}`);
  }
}

/** Makes the same calls on any copy. @returns their results */
function goOn(zswap: Zswap, codec: Codec): unknown[] {
  const seen: unknown[] = [];
  const into = new Uint8Array(PAGE_SIZE);
  for (let step = 0; step < 150; step++) {
    const offset = (step * 31) % (PAGES + 5);
    switch (step % 6) {
      case 0:
        seen.push(zswap.store(step % 12 === 0 ? 1 : 0, offset, page(step)));
        break;
      case 1:
        seen.push(zswap.load(0, offset, into), String(into));
        break;
      case 2:
        seen.push(zswap.invalidatePage(0, offset));
        break;
      case 3:
        seen.push(zswap.writeback(step % 5));
        break;
      case 4:
        seen.push(zswap.shrink(step % 3));
        break;
      default:
        seen.push(zswap.has(0, offset), zswap.writebackLimit);
    }
    if (step === 40) zswap.codec = 'lz4hc';
    if (step === 80) zswap.codec = codec;
    if (step === 100) zswap.maxPoolPercent = 3;
  }
  return [...seen, zswap.stats()];
}

describe.each(ALLOCATORS)('a zswap whose current pool is %s', (allocator) => {
  test.each(['entry', 'page'] as const)(
    'victims by %s: has the old state after open, and gives the same results as the original',
    async (victims) => {
      const codec = new Trimmer();
      const { ram, zswap, store, image } = await make(victims, allocator, codec);
      const back = await restore(image);
      const empty = back.pools().find((pool) => pool.name === 'mine');
      expect(back.fronts()).toEqual([{ name: zswap.name, kind: 'zswap' }]);
      const copy = copyOfStore(store);
      const opened = await Zswap.open(back, zswap.name, { store: copy, codecs: [codec] });
      expectSameBytes(back.snapshot(), image);
      expect(state(opened)).toEqual(state(zswap));
      expect(opened.ram).toBe(back);
      await rejected(
        { code: 'EBUSY', op: 'Zswap.open' },
        Zswap.open(back, zswap.name, { store: copyOfStore(store), codecs: [codec] }),
      );
      expect(() => back.dropFront(zswap.name)).toThrow(/is open/);
      await expectAll(opened);
      await expectAll(zswap);
      expect(goOn(opened, codec)).toEqual(goOn(zswap, codec));
      expect(state(opened)).toEqual(state(zswap));
      expect([...copy.held].map(String)).toEqual([...store.held].map(String));
      expectSameBytes(back.snapshot(), ram.snapshot());
      opened.check();
      await opened.close();
      expect(back.pools()).toEqual([empty]);
      back.check();
      back.close();
      await zswap.close();
      ram.close();
    },
  );
});

describe('a store', () => {
  test('that is asynchronous is recognised, and pages can be loaded from it', async () => {
    const { zswap, store, image } = await make('entry', 'zsmalloc', new Trimmer());
    const back = await restore(image);
    const opened = await Zswap.open(back, zswap.name, {
      store: withPromises(copyOfStore(store)),
      codecs: [new Trimmer()],
    });
    expectSameBytes(back.snapshot(), image);
    await expectAll(opened);
    expect(await opened.writebackAsync(5)).toBeGreaterThan(0);
    await expectAll(opened);
    await opened.close();
  });

  test('that is missing, another one, of another front end, smaller or damaged: EINVAL or EBUSY, nothing changes; then the right one opens', async () => {
    const codecs = [new Trimmer()];
    const { zswap, store, image } = await make('entry', 'zbud', codecs[0] as Codec);
    const another = await make('entry', 'zbud', codecs[0] as Codec);
    const back = await restore(image);
    const { name } = zswap;
    const refused = async (code: 'EINVAL' | 'EBUSY', given: BackingStore | undefined, says: RegExp): Promise<void> => {
      const error = await rejected(
        { code, op: 'Zswap.open' },
        Zswap.open(back, name, { codecs, ...(given === undefined ? {} : { store: given }) }),
      );
      expect(error.message).toMatch(says);
      expectSameBytes(back.snapshot(), image);
      expect(back.fronts()).toEqual([{ name, kind: 'zswap' }]);
      expect(() =>
        back
          .pools()
          .find((pool) => pool.name !== 'mine')
          ?.destroy(),
      ).toThrow(/EBUSY/);
    };
    await refused('EINVAL', undefined, /20 pages are in a backing store/);
    await refused('EINVAL', new RecordingStore(500), /is not the one/);
    await refused('EINVAL', copyOfStore(another.store), /is not the one/);
    await refused('EBUSY', store, /another front end/);
    const small = copyOfStore(store);
    Object.assign(small, { slots: 499 });
    await refused('EINVAL', small, /has 499 slots, .* has 500/);
    const broken = copyOfStore(store);
    broken.change = (bytes) => bytes.fill(1);
    await refused('EINVAL', broken, /is not the one/);
    const swapped = copyOfStore(store);
    swapped.held.forEach((_, slot) => swapped.held.set(slot, store.held.get((slot + 1) % 20) as Uint8Array));
    await refused('EINVAL', withPromises(swapped), /is not the one/);
    // A store that was refused is free again.
    broken.change = undefined;
    const opened = await Zswap.open(back, name, { codecs, store: broken });
    await expectAll(opened);
    await opened.close();
  });

  test('that never answers is EINVAL after the timeout, and belongs to the zswap until its call has ended', async () => {
    const { zswap, store, image } = await make('entry', 'zbud', new Trimmer());
    const back = await restore(image);
    editNote(back, zswap.name, (note) => ({ ...note, timeout: 5 }));
    let answer: (bytes: number) => void = () => undefined;
    const slow: BackingStore = {
      ...withPromises(copyOfStore(store)),
      read: () => new Promise((resolve) => (answer = resolve)),
    };
    const options = { store: slow, codecs: [new Trimmer()] };
    await rejected({ code: 'EINVAL', op: 'Zswap.open' }, Zswap.open(back, zswap.name, options));
    await rejected({ code: 'EBUSY', op: 'Zswap.open' }, Zswap.open(back, zswap.name, options));
    answer(0);
    await new Promise((resolve) => void setTimeout(resolve, 1));
    await rejected({ code: 'EINVAL', op: 'Zswap.open' }, Zswap.open(back, zswap.name, options));
    await (await Zswap.open(back, zswap.name, { ...options, store: copyOfStore(store) })).close();
  });

  test('is not asked for when there was none, and can be left out when no page is in it', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    const [none, unused] = [await Zswap.create({ ram }), await Zswap.create({ ram, store: new RecordingStore(10) })];
    for (const zswap of [none, unused])
      for (let offset = 0; offset < 10; offset++) zswap.store(0, offset, pageOf(offset));
    const back = await restore(ram.snapshot());
    expect(back.fronts().map(({ name }) => name)).toEqual([none.name, unused.name]);
    const error = await rejected(
      { code: 'EINVAL', op: 'Zswap.open' },
      Zswap.open(back, none.name, { store: new RecordingStore() }),
    );
    expect(error.message).toMatch(/had no backing store/);
    const opened = [await Zswap.open(back, none.name), await Zswap.open(back, unused.name)] as const;
    for (const zswap of opened) expect(() => zswap.writeback(1)).toThrow(/ENODEV/);
    await opened[1].close();
    const again = await restore(back.snapshot());
    await (await Zswap.open(again, none.name)).close();
    expect(again.fronts()).toEqual([]);
  });

  test('whose write was under way at the image: the page is in its old place, and the slot is freed', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    const slots = new RecordingStore(10);
    let hangs = true;
    const store: BackingStore = {
      ...withPromises(slots),
      write: (slot, bytes) => (hangs ? new Promise(() => undefined) : Promise.resolve(slots.write(slot, bytes))),
    };
    const zswap = await Zswap.create({ ram, store, timeout: 5 });
    for (let offset = 0; offset < 5; offset++) zswap.store(0, offset, pageOf(offset));
    await rejected({ code: 'EIO', op: 'zswap.writebackAsync' }, zswap.writebackAsync(1));
    hangs = false;
    expect(zswap.stats().backingSlots).toBe(1);
    expect(await zswap.writebackAsync(1)).toBe(1);
    const back = await restore(ram.snapshot());
    const copy = copyOfStore(slots);
    const opened = await Zswap.open(back, zswap.name, { store: copy });
    expect(opened.stats()).toEqual({ ...zswap.stats(), backingSlots: 1 });
    expect(copy.freed).toHaveLength(1);
    for (let offset = 0; offset < 5; offset++) {
      const into = new Uint8Array(PAGE_SIZE);
      expect(opened.load(0, offset, into)).toBe(true);
      expectBytes(into, pageOf(offset));
    }
    opened.check();
    await opened.close();
  });
});

describe('codecs', () => {
  test('of the core and of loadCodec are found by name; others are named in the error', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    const zswap = await Zswap.create({ ram, codec: 'deflate' });
    const mine = { ...trimmer(), name: 'mine' };
    for (const codec of ['lz4hc', mine, { ...trimmer(), name: '' }, 'lz4', await loadCodec('lz4js')] as const) {
      zswap.codec = codec;
      for (let offset = 0; offset < 3; offset++) zswap.store(zswap.stats().pools, offset, pageOf(offset));
    }
    zswap.store(0, 0, pageOf(0));
    const image = ram.snapshot();
    const back = await restore(image);
    const lacks = async (codecs: Codec[], says: RegExp): Promise<void> => {
      expect(
        (await rejected({ code: 'EINVAL', op: 'Zswap.open' }, Zswap.open(back, zswap.name, { codecs }))).message,
      ).toMatch(says);
      expectSameBytes(back.snapshot(), image);
    };
    await lacks([], /codecs must have "mine", ""/);
    await lacks(
      [
        { ...trimmer(), name: 'Mine' },
        { ...trimmer(), name: '' },
      ],
      /codecs must have "mine"/,
    );
    const opened = await Zswap.open(back, zswap.name, {
      codecs: [trimmer(), { ...trimmer(), name: '' }, { ...trimmer(), name: 'mine' }],
    });
    expect(state(opened)).toEqual(state(zswap));
    expect(opened.codec).toBe('lz4js');
    const [into, other] = [new Uint8Array(PAGE_SIZE), new Uint8Array(PAGE_SIZE)];
    for (let type = 0; type < 10; type++) {
      for (let offset = 0; offset < 3; offset++) {
        expect(opened.load(type, offset, into)).toBe(zswap.load(type, offset, other));
        expectBytes(into, other);
      }
    }
    await opened.close();
  });

  test('with the same name are taken in their order; of a long name only the beginning counts; too many long names are ENOSPC', async () => {
    const ram = await Ram.create({ bytes: '2MiB', ...buildOptions(build) });
    const long = 'é'.repeat(3000);
    const zswap = await Zswap.create({ ram, codec: marking(1, long) });
    zswap.store(0, 1, trimmed(1));
    for (const mark of [2, 3]) {
      zswap.codec = marking(mark, long);
      zswap.store(0, mark, trimmed(mark));
    }
    let names = 1;
    const add = (): void => {
      for (; names < 100; names++) zswap.codec = marking(9, `${names}${'\0'.repeat(80)}`);
    };
    expect(add).toThrow(/ENOSPC/);
    expect(names).toBeGreaterThan(2);
    changesNothing(ram, () => expect(add).toThrow(/ENOSPC/));
    zswap.codec = 'lz4';
    const others = Array.from({ length: names }, (_, n) => marking(9, `${n}${'\0'.repeat(MAX_NAME)}`));
    const back = await restore(ram.snapshot());
    const opened = await Zswap.open(back, zswap.name, {
      codecs: [...[1, 2, 3].map((mark) => marking(mark, long.slice(0, MAX_NAME))), ...others],
    });
    const into = new Uint8Array(PAGE_SIZE);
    for (const offset of [1, 2, 3]) {
      expect(opened.load(0, offset, into)).toBe(true);
      expectBytes(into, trimmed(offset));
    }
    await opened.close();
    const once = await restore(ram.snapshot());
    const first = await Zswap.open(once, zswap.name, { codecs: [marking(1, long), ...others] });
    expect(first.load(0, 1, into)).toBe(true);
    expect(() => first.load(0, 2, into)).toThrow(/EIO/);
    await first.close();
  });
});

function trimmer(): Codec {
  const codec = new Trimmer();
  return {
    name: codec.name,
    compress: (from, into) => codec.compress(from, into),
    decompress: (from, into) => codec.decompress(from, into),
  };
}

/** A codec whose blocks begin with a mark, and that reads no others. */
function marking(mark: number, name: string): Codec {
  const inner = trimmer();
  return {
    name,
    compress: (from, into) => {
      const length = inner.compress(from, into.subarray(1));
      into[0] = mark;
      return length === 0 ? 0 : length + 1;
    },
    decompress: (from, into) => {
      if (from[0] !== mark) throw new Error('not mine');
      return inner.decompress(from.subarray(1), into);
    },
  };
}

describe('arguments of open', () => {
  test('the wrong kind, bad names, a value that is not a RAM, and front ends that were dropped or closed', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    const [zswap, other] = [await Zswap.create({ ram }), await Zswap.create({ ram })];
    await Ramzswap.create({ ram, disksize: PAGE_SIZE });
    zswap.store(0, 1, pageOf(1));
    await rejected({ code: 'EBUSY', op: 'Zswap.open' }, Zswap.open(ram, zswap.name));
    const image = ram.snapshot();
    const back = await restore(image);
    const device = back.fronts().find(({ kind }) => kind === 'ramzswap')?.name as string;
    await rejected({ code: 'EINVAL', op: 'Zswap.open' }, Zswap.open(back, device));
    await rejected({ code: 'ENOENT', op: 'Zswap.open' }, Zswap.open(back, 'zswap#9'));
    await rejected({ code: 'ENOENT', op: 'Zswap.open' }, Zswap.open(back, `${zswap.name}/zsmalloc#1`));
    for (const name of [undefined, null, 1, {}, [zswap.name]])
      await rejected({ code: 'EINVAL', op: 'Zswap.open' }, Zswap.open(back, name as never));
    for (const one of [undefined, null, {}, zswap, Object.create(back)])
      await rejected({ code: 'EINVAL', op: 'Zswap.open' }, Zswap.open(one as never, zswap.name));
    const odd: unknown[] = [
      null,
      1,
      'x',
      { clock: () => 0 },
      { ram: back },
      { store: null },
      { store: {} },
      { codecs: {} },
      { codecs: 'ab' },
      { codecs: ['deflate'] },
      { codecs: [null] },
      { codecs: new Array(257) },
      {
        codecs: new Proxy([], {
          get: () => {
            throw new Error('no');
          },
        }),
      },
      {
        get store() {
          throw new Error('no');
        },
      },
    ];
    for (const options of odd)
      await rejected({ code: 'EINVAL', op: 'Zswap.open' }, Zswap.open(back, zswap.name, options as ZswapOpenOptions));
    expectSameBytes(back.snapshot(), image);
    back.dropFront(zswap.name);
    await rejected({ code: 'ENOENT', op: 'Zswap.open' }, Zswap.open(back, zswap.name));
    const opened = await Zswap.open(back, other.name);
    await opened.close();
    await rejected({ code: 'ENOENT', op: 'Zswap.open' }, Zswap.open(back, other.name));
    back.close();
    await rejected({ code: 'ECLOSED', op: 'Zswap.open' }, Zswap.open(back, other.name));
  });

  test('of two calls at the same time one succeeds, the other is EBUSY', async () => {
    const codecs = [new Trimmer()];
    const { zswap, store, image } = await make('entry', 'zbud', codecs[0] as Codec);
    const back = await restore(image);
    for (const [one, two] of [
      [copyOfStore(store), copyOfStore(store)],
      [withPromises(copyOfStore(store)), copyOfStore(store)],
    ] as const) {
      const there = await restore(image);
      const first = Zswap.open(there, zswap.name, { store: one, codecs });
      await rejected({ code: 'EBUSY', op: 'Zswap.open' }, Zswap.open(there, zswap.name, { store: two, codecs }));
      await (await first).close();
      there.close();
    }
    const same = copyOfStore(store);
    const beside = await restore(image);
    const both = await Promise.allSettled(
      [back, beside].map((there) => Zswap.open(there, zswap.name, { store: same, codecs })),
    );
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect((both[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'EBUSY' });
  });

  test('drop, close or open inside a call of the store or a codec', async () => {
    const { zswap, store, image } = await make('entry', 'zbud', new Trimmer());
    const { name } = zswap;
    const during = async (mode: 'sync' | 'async', act: (back: Ram) => unknown): Promise<string> => {
      const back = await restore(image);
      const copy = copyOfStore(store);
      let once = true;
      copy.change = (bytes) => {
        if (once) act(back);
        once = false;
        return bytes;
      };
      try {
        await Zswap.open(back, name, { store: mode === 'sync' ? copy : withPromises(copy), codecs: [new Trimmer()] });
        back.check();
        return 'opened';
      } catch (error) {
        if (!(error instanceof CompcacheError)) throw error;
        if (!back.isClosed) back.check();
        return error.code;
      }
    };
    for (const mode of ['sync', 'async'] as const) {
      expect(await during(mode, () => undefined)).toBe('opened');
      expect(await during(mode, (back) => back.dropFront(name))).toBe('ENOENT');
      expect(await during(mode, (back) => back.close())).toBe('ECLOSED');
      expect(
        await during(mode, (back) => {
          back.dropFront(name);
          void Zswap.create({ ram: back });
        }),
      ).toBe('ENOENT');
      const inner: unknown[] = [];
      expect(
        await during(
          mode,
          (back) =>
            void Zswap.open(back, name, { store: copyOfStore(store), codecs: [new Trimmer()] }).catch(
              (error: unknown) => inner.push(error),
            ),
        ),
      ).toBe('opened');
      expect(inner).toMatchObject([{ code: 'EBUSY' }]);
    }
  });

  test('is refused inside an evict callback of its RAM', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    const zswap = await Zswap.create({ ram });
    const mine = ram.zpool('zbud', { name: 'mine' });
    mine.malloc(1000);
    const back = await restore(ram.snapshot());
    let refused: Promise<unknown> | undefined;
    const pool = back.openZpool('mine', {
      evict: (handle, of) => {
        refused ??= rejected({ code: 'EBUSY', op: 'Zswap.open' }, Zswap.open(back, zswap.name));
        of.free(handle);
      },
    });
    pool.shrink(1);
    await refused;
    expect(refused).toBeDefined();
    await (await Zswap.open(back, zswap.name)).close();
  });
});

describe('the settings in the RAM', () => {
  test('follow every change of a property', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    const zswap = await Zswap.create({
      ram,
      allocator: 'xcfmalloc',
      zpool: { blocks: 1, reserve: 3 },
      victims: 'page',
      incompressible: 'keep',
      writebackCompressed: false,
      enabled: false,
    });
    const same = async (): Promise<void> => {
      const opened = await Zswap.open(await restore(ram.snapshot()), zswap.name);
      expect(settingsOf(opened)).toEqual(settingsOf(zswap));
      expect(opened.store(0, 7, rawPage(7))).toBe(zswap.enabled);
      opened.enabled = true;
      opened.allocator = 'zbud';
      opened.allocator = 'xcfmalloc';
      expect(opened.store(0, 8, pageOf(8))).toBe(true);
      opened.ram.close();
    };
    await same();
    const changes: [string, unknown][] = [
      ['enabled', true],
      ['maxPoolPercent', 40],
      ['acceptThresholdPercent', 10],
      ['sameFilled', false],
      ['exclusiveLoads', true],
      ['writebackLimit', 5],
      ['writebackLimit', 0],
      ['writebackLimit', Infinity],
      ['writebackLimit', Number.MAX_SAFE_INTEGER],
      ['allocator', 'z3fold'],
      ['codec', 'lz4hc'],
    ];
    for (const [key, value] of changes) {
      (zswap as unknown as Record<string, unknown>)[key] = value;
      await same();
    }
    await zswap.close();
  });

  test('that are damaged are EIO, and nothing changes', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    const zswap = await Zswap.create({ ram, codec: 'deflate' });
    zswap.store(0, 1, pageOf(1));
    const image = ram.snapshot();
    const { name } = zswap;
    const keys = Object.keys(editNote(await restore(image), name, (note) => note));
    const edits: ((note: Note) => unknown)[] = [
      () => undefined,
      () => null,
      () => [],
      () => 'x',
      () => ({}),
      (note) => ({ ...note, more: 1 }),
      ...keys.map((key) => (note: Note) => ({ ...note, [key]: undefined })),
      (note) => ({ ...note, victims: 'page' }),
      (note) => ({ ...note, victims: 'none' }),
      (note) => ({ ...note, enabled: 1 }),
      (note) => ({ ...note, maxPoolPercent: 101 }),
      (note) => ({ ...note, maxInFlight: 0 }),
      (note) => ({ ...note, timeout: 2 ** 31 }),
      (note) => ({ ...note, allocator: 'none' }),
      (note) => ({ ...note, zpool: { layout: '6.1' } }),
      (note) => ({ ...note, zpool: { chainSize: 17 } }),
      (note) => ({ ...note, zpool: { name: 'x' } }),
      (note) => ({ ...note, codecs: [] }),
      (note) => ({ ...note, codecs: [1] }),
      (note) => ({ ...note, codecs: [['deflate', 255]] }),
      (note) => ({ ...note, codecs: [['deflate', 0]] }),
      (note) => ({ ...note, codecs: ['x'.repeat(MAX_NAME + 1)] }),
    ];
    for (const edit of edits) {
      const back = await restore(image);
      editNote(back, name, edit);
      const edited = back.snapshot();
      await rejected({ code: 'EIO', op: 'Zswap.open' }, Zswap.open(back, name));
      expectSameBytes(back.snapshot(), edited);
      back.dropFront(name);
      back.check();
      back.close();
    }
    const more = await restore(image);
    editNote(more, name, (note) => ({ ...note, codecs: ['deflate', ['lz4js', 3]] }));
    await (await Zswap.open(more, name)).close();
  });
});
