/** Hostile arrays of callers: pages are stored as they were at the call, and loaded completely or not at all. */
import { describe, expect, test } from 'vitest';
import {
  PAGE_SIZE,
  Ram,
  SwapSpace,
  type Zswap,
  type BackingStore,
  type Codec,
  type ZswapOptions,
  type Zpool,
  type Handle,
} from '../../bindings/index.ts';
import { builds, buildOptions, expectBytes, noise, rejected } from '../harness.ts';
import { RecordingStore, codeOf, filledPage, pageOf, rawPage, trimZeros } from './pages.ts';
import { GROWING, SHRINKING, detach, liars } from './hostile-arrays.ts';

const build = builds[builds.length - 1] ?? 'release';
const VICTIMS = ['entry', 'page'] as const;

/** A RAM with a zswap and an object whose bytes must not change. */
interface Subject {
  zswap: Zswap;
  space: SwapSpace;
  /** Checks the RAM and the object, and closes everything. */
  end(): Promise<void>;
}

async function create(options: ZswapOptions = {}): Promise<Subject> {
  const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
  const witness: [Zpool, Handle][] = (['zsmalloc', 'zbud'] as const).map((allocator) => {
    const pool = ram.zpool(allocator);
    const handle = pool.malloc(3000);
    pool.write(handle, noise(3000, 5));
    return [pool, handle];
  });
  const space = await SwapSpace.create({ ram, store: new RecordingStore(), ...options });
  const end = async (): Promise<void> => {
    ram.check();
    for (const [pool, handle] of witness) expectBytes(pool.read(handle), noise(3000, 5), 'the witness');
    await space.close();
    ram.close();
  };
  return { zswap: space.zswap, space, end };
}

function expectPage(zswap: Zswap, offset: number, page: Uint8Array): void {
  const into = new Uint8Array(PAGE_SIZE);
  expect(zswap.load(0, offset, into)).toBe(true);
  expectBytes(into, page, `page ${offset}`);
}

/** A codec that leaves out the zeros at the end, and calls `run` first. */
function codec(inside: { run?: (() => void) | undefined }): Codec {
  return {
    name: 'zeros',
    compress: (page, into) => {
      inside.run?.();
      return trimZeros(page, into);
    },
    decompress: (block, into) => {
      inside.run?.();
      into.set(block);
      return PAGE_SIZE;
    },
  };
}

function shortPage(seed: number): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  page.set(noise(500, seed));
  return page;
}

test('no method and no property of an array is used', async () => {
  for (const foreign of [undefined, codec({})]) {
    const { zswap, space, end } = await create(foreign === undefined ? {} : { codec: foreign });
    const asked: string[] = [];
    for (const [i, page] of [
      ...liars(pageOf(1), asked),
      ...liars(shortPage(2), asked),
      ...liars(rawPage(3), asked),
      ...liars(filledPage(4), asked),
    ].entries()) {
      expect(zswap.store(0, i, page)).toBe(true);
      space.pageOut(100 + i, page);
      await space.pageOutAsync(200 + i, page);
      zswap.enabled = false;
      space.pageOut(300 + i, page);
      await space.pageOutAsync(400 + i, page);
      zswap.enabled = true;
      const want = [pageOf(1), shortPage(2), rawPage(3), filledPage(4)][Math.floor(i / 3)] as Uint8Array;
      for (const at of [i, 100 + i, 200 + i, 300 + i, 400 + i]) expectPage(zswap, at, want);
      for (const into of liars(new Uint8Array(PAGE_SIZE), asked)) {
        for (const load of [
          () => zswap.load(0, i, into),
          () => zswap.loadAsync(0, i, into),
          () => space.pageIn(300 + i, into),
          () => space.pageInAsync(300 + i, into),
        ]) {
          Uint8Array.prototype.fill.call(into, 9);
          expect(await load()).toBe(true);
          expectBytes(
            new Uint8Array(
              Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), 'buffer')?.get?.call(
                into,
              ) as ArrayBuffer,
            ),
            want,
          );
        }
      }
    }
    expect(asked).toEqual([]);
    await end();
  }
});

test('a page of another length is EINVAL and changes nothing, in every call', async () => {
  const { zswap, space, end } = await create();
  const gone = new Uint8Array(PAGE_SIZE);
  detach(gone);
  const lying = Object.defineProperty(new Uint8Array(100), 'length', { value: PAGE_SIZE });
  zswap.store(0, 1, pageOf(1));
  for (const bad of [
    new Uint8Array(PAGE_SIZE - 1),
    new Uint8Array(PAGE_SIZE + 1),
    new Uint8Array(0),
    gone,
    lying,
    new Uint16Array(PAGE_SIZE / 2),
    'page',
    null,
    new Proxy(new Uint8Array(PAGE_SIZE), {}),
  ] as never[]) {
    for (const call of [
      () => zswap.store(0, 1, bad),
      () => space.pageOut(1, bad),
      () => zswap.load(0, 1, bad),
      () => space.pageIn(1, bad),
    ])
      expect(codeOf(call)).toBe('EINVAL');
    await rejected({ code: 'EINVAL', op: 'swapSpace.pageOutAsync' }, space.pageOutAsync(1, bad));
    await rejected({ code: 'EINVAL', op: 'zswap.loadAsync' }, zswap.loadAsync(0, 1, bad));
    await rejected({ code: 'EINVAL', op: 'swapSpace.pageInAsync' }, space.pageInAsync(1, bad));
    expectPage(zswap, 1, pageOf(1));
  }
  await end();
});

describe.each(Object.entries({ ...SHRINKING, ...GROWING }))(
  'a page that %s during the call is stored as it was at the call',
  (_, make) => {
    test('changed by a codec that is not in the core', async () => {
      for (const victims of VICTIMS) {
        for (const page of [shortPage(1), rawPage(1)]) {
          const inside: { run?: (() => void) | undefined } = {};
          const { zswap, space, end } = await create({ codec: codec(inside), victims });
          for (const [at, call] of [
            (bytes: Uint8Array) => zswap.store(0, 0, bytes),
            (bytes: Uint8Array) => space.pageOut(1, bytes),
            (bytes: Uint8Array) => space.pageOutAsync(2, bytes),
          ].entries()) {
            const resized = make(page);
            inside.run = () => {
              inside.run = undefined;
              resized.resize();
            };
            await call(resized.bytes);
            expect(inside.run).toBe(undefined);
            expectPage(zswap, at, page);
          }
          await end();
        }
      }
    });

    test('changed by a synchronous store, when zswap makes room for the page', async () => {
      for (const victims of VICTIMS) {
        for (const pays of [false, true]) {
          const store = new RecordingStore();
          const { zswap, end } = await create({ store, victims, maxPoolPercent: 40, acceptThresholdPercent: 80 });
          const write = store.write.bind(store);
          let offset = 0;
          while (store.written.length === 0) expect(zswap.store(0, offset, pageOf(offset++, 1800))).toBe(true);
          // This store either writes back a little because the level is above the mark, or is at the limit and must
          // make room first.
          if (pays)
            while (zswap.stats().frames <= zswap.stats().limitFrames * 0.9 + 1)
              zswap.store(0, offset, pageOf(offset++, 1800));
          else zswap.maxPoolPercent = 30;
          const resized = make(pageOf(7777));
          let writes = 0;
          store.write = (slot, bytes) => {
            if (writes++ === 0) resized.resize();
            write(slot, bytes);
          };
          expect(zswap.store(0, 1_000_000, resized.bytes)).toBe(true);
          expect(writes).toBeGreaterThan(0);
          expectPage(zswap, 1_000_000, pageOf(7777));
          await end();
        }
      }
    });

    test('changed by a store that is told of a free slot, when zswap is off', async () => {
      const store = new RecordingStore();
      const { zswap, space, end } = await create({ store });
      zswap.enabled = false;
      for (const [i, call] of [
        (bytes: Uint8Array) => space.pageOut(0, bytes),
        (bytes: Uint8Array) => space.pageOutAsync(1, bytes),
      ].entries()) {
        space.pageOut(i, pageOf(1));
        const resized = make(pageOf(2));
        const freed = store.freed.length;
        store.free = (slot) => {
          resized.resize();
          store.freed.push(slot);
        };
        await call(resized.bytes);
        expect(store.freed.length).toBe(freed + 1);
        store.free = RecordingStore.prototype.free.bind(store);
        expectPage(zswap, i, pageOf(2));
      }
      await end();
    });
  },
);

describe.each(Object.entries(SHRINKING))('an array to load into that %s during the call is EINVAL', (_, make) => {
  test('changed by a codec that is not in the core', async () => {
    for (const victims of VICTIMS) {
      for (const exclusiveLoads of [false, true]) {
        const inside: { run?: (() => void) | undefined } = {};
        const { zswap, space, end } = await create({ codec: codec(inside), victims, exclusiveLoads: false });
        space.pageOut(1, shortPage(1));
        for (const written of [false, true]) {
          if (written) expect(zswap.writeback(1)).toBe(1);
          zswap.exclusiveLoads = exclusiveLoads;
          for (const load of [
            (into: Uint8Array) => zswap.load(0, 1, into),
            (into: Uint8Array) => zswap.loadAsync(0, 1, into),
            (into: Uint8Array) => space.pageIn(1, into),
            (into: Uint8Array) => space.pageInAsync(1, into),
          ]) {
            const resized = make(new Uint8Array(PAGE_SIZE));
            inside.run = () => resized.resize();
            const code = await (async () => load(resized.bytes))().catch(
              (error: unknown) => (error as { code: string }).code,
            );
            expect(code).toBe('EINVAL');
            inside.run = undefined;
          }
          zswap.exclusiveLoads = false;
          expectPage(zswap, 1, shortPage(1));
        }
        await end();
      }
    }
  });

  test('changed by a store of either mode', async () => {
    for (const mode of ['sync', 'async'] as const) {
      for (const exclusiveLoads of [false, true]) {
        const noting = new RecordingStore();
        let resize = (): void => undefined;
        const store: BackingStore = {
          mode,
          read: (slot, into) => {
            const length = noting.read(slot, into);
            resize();
            return mode === 'sync' ? length : Promise.resolve(length);
          },
          write: (slot, bytes) => (noting.write(slot, bytes), mode === 'sync' ? undefined : Promise.resolve()),
          free: (slot) => (noting.free(slot), mode === 'sync' ? undefined : Promise.resolve()),
          close: () => undefined,
        };
        const { zswap, space, end } = await create({ store, exclusiveLoads });
        zswap.enabled = false;
        for (let slot = 0; slot < 4; slot++) await space.pageOutAsync(slot, pageOf(slot));
        const loads = [
          (into: Uint8Array) => zswap.loadAsync(0, 0, into),
          (into: Uint8Array) => space.pageInAsync(1, into),
          (into: Uint8Array) => zswap.load(0, 2, into),
          (into: Uint8Array) => space.pageIn(3, into),
        ];
        for (const [slot, load] of loads.entries()) {
          if (mode === 'async' && slot > 1) continue;
          const resized = make(new Uint8Array(PAGE_SIZE));
          resize = resized.resize;
          const code = await (async () => load(resized.bytes))().catch(
            (error: unknown) => (error as { code: string }).code,
          );
          expect(code).toBe('EINVAL');
          resize = () => undefined;
          const into = new Uint8Array(PAGE_SIZE);
          expect(await zswap.loadAsync(0, slot, into)).toBe(true);
          expectBytes(into, pageOf(slot));
          // The same between the call and the answer of an asynchronous store.
          if (mode === 'sync' || exclusiveLoads) continue;
          const later = make(new Uint8Array(PAGE_SIZE));
          const call = zswap.loadAsync(0, slot, later.bytes);
          later.resize();
          await rejected({ code: 'EINVAL', op: 'zswap.loadAsync' }, call);
        }
        await end();
      }
    }
  });
});

test('an array to load into that grows during the call gets the page', async () => {
  for (const make of Object.values(GROWING)) {
    const store = new RecordingStore();
    const { zswap, end } = await create({ store });
    zswap.store(0, 1, pageOf(1));
    expect(zswap.writeback(1)).toBe(1);
    for (const load of [
      (into: Uint8Array) => zswap.load(0, 1, into),
      (into: Uint8Array) => zswap.loadAsync(0, 1, into),
    ]) {
      const resized = make(new Uint8Array(PAGE_SIZE));
      const read = RecordingStore.prototype.read.bind(store);
      store.read = (slot, into) => (resized.resize(), read(slot, into));
      expect(await load(resized.bytes)).toBe(true);
      expectBytes(resized.bytes.slice(0, PAGE_SIZE), pageOf(1));
      expect(resized.bytes.slice(PAGE_SIZE).every((byte) => byte === 0)).toBe(true);
    }
    await end();
  }
});
