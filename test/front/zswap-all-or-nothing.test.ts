/** Calls of a zswap with several steps: all steps or none, whichever step fails and wherever the call comes from. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  ALLOCATORS,
  MemoryStore,
  PAGE_SIZE,
  Ram,
  SwapSpace,
  Zswap,
  loadCodec,
  type BackingStore,
  type Codec,
  type ZswapOptions,
} from '../../bindings/index.ts';
import { builds, buildOptions, changesNothing, expectBytes, fault, picture, rejected } from '../harness.ts';
import { ChaosStore } from './chaos-store.ts';
import { Clock, TIMEOUT, quiet } from './clock.ts';
import { RecordingStore, codeOf, filledPage, pageOf, rawPage } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';
const VICTIMS = ['entry', 'page'] as const;
const DISPOSE: typeof Symbol.dispose = (Symbol.dispose ?? Symbol.for('Symbol.dispose')) as typeof Symbol.dispose;
const clock = new Clock();
beforeEach(() => void clock.install());
afterEach(() => clock.restore());

function createRam(bytes = '2MiB'): Promise<Ram> {
  return Ram.create({ bytes, ...buildOptions(build) });
}

function expectPage(zswap: Zswap, offset: number, page: Uint8Array): void {
  const into = new Uint8Array(PAGE_SIZE);
  expect(zswap.load(0, offset, into)).toBe(true);
  expectBytes(into, page, `page ${offset}`);
}

/** Runs a call inside an evict callback of a separate pool. */
function insideEvict(ram: Ram, call: () => void): void {
  const pool = ram.zpool('zbud', {
    evict: (handle, from) => {
      call();
      from.free(handle);
    },
  });
  pool.malloc(100);
  expect(pool.shrink(1)).toBe(1);
  pool.destroy();
}

/** A codec that is not in the core: deflate under another name. */
async function anotherCodec(): Promise<Codec> {
  const deflate = await loadCodec('deflate');
  return {
    name: 'another',
    compress: (from, to) => deflate.compress(from, to),
    decompress: (from, to) => deflate.decompress(from, to),
  };
}

describe('close', () => {
  test('inside an evict callback of its RAM is EBUSY, changes nothing, and can be repeated', async () => {
    for (const own of [false, true]) {
      for (const make of [
        (options: ZswapOptions) => Zswap.create(options),
        (options: ZswapOptions) => SwapSpace.create(options),
      ]) {
        const ram = await createRam();
        const before = picture(ram);
        const store = new RecordingStore();
        const front = await make({
          store,
          victims: 'page',
          ...(own ? { bytes: '2MiB', ...buildOptions(build) } : { ram }),
        });
        const zswap = front instanceof SwapSpace ? front.zswap : front;
        for (let offset = 0; offset < 40; offset++)
          zswap.store(0, offset, offset % 5 === 0 ? rawPage(offset) : pageOf(offset));
        zswap.allocator = 'zbud';
        zswap.writeback(3);
        const refusals: Promise<unknown>[] = [];
        for (let round = 0; round < 3; round++) {
          insideEvict(zswap.ram, () => {
            changesNothing(zswap.ram, () => {
              refusals.push(rejected({ code: 'EBUSY', op: 'zswap.close', says: /evict callback/ }, front.close()));
              fault({ code: 'EBUSY', op: 'zswap.close' }, () => front[DISPOSE]());
            });
            expect(zswap.store(0, 100 + round, pageOf(round))).toBe(true);
          });
        }
        await Promise.all(refusals);
        expect(store.synced).toBe(0);
        for (let offset = 0; offset < 40; offset++)
          expectPage(zswap, offset, offset % 5 === 0 ? rawPage(offset) : pageOf(offset));
        zswap.check();
        await front.close();
        await front.close();
        front[DISPOSE]();
        expect(store.synced).toBe(1);
        expect(codeOf(() => zswap.has(0, 1))).toBe('ECLOSED');
        expect(picture(ram)).toBe(before);
        ram.check();
        ram.close();
      }
    }
  });

  test('inside an evict callback of a pool in another RAM works', async () => {
    const [ram, other] = [await createRam(), await createRam()];
    const before = picture(ram);
    const zswap = await Zswap.create({ ram, store: new MemoryStore() });
    zswap.store(0, 1, pageOf(1));
    insideEvict(other, () => void zswap.close());
    expect(picture(ram)).toBe(before);
  });

  test('called from any call of store or codec gives all frames back, once', async () => {
    for (const victims of VICTIMS) {
      for (const op of ['read', 'write', 'free', 'sync', 'compress', 'decompress'] as const) {
        const ram = await createRam();
        const before = picture(ram);
        const store = new ChaosStore({ mode: 'sync' });
        let inside = (): void => undefined;
        const deflate = await anotherCodec();
        const codec: Codec = {
          name: 'closing',
          compress: (from, to) => (op === 'compress' && inside(), deflate.compress(from, to)),
          decompress: (from, to) => (op === 'decompress' && inside(), deflate.decompress(from, to)),
        };
        const space = await SwapSpace.create({
          ram,
          store: store as BackingStore,
          victims,
          codec,
          writebackCompressed: false,
        });
        for (let slot = 0; slot < 20; slot++) space.pageOut(slot, pageOf(slot));
        space.zswap.writeback(5);
        const closed: Promise<void>[] = [];
        inside = () => void closed.push(space.close());
        store.inside = (what) => void (what === op && inside());
        const into = new Uint8Array(PAGE_SIZE);
        for (const call of [
          () => space.zswap.writeback(3),
          () => space.free(0),
          () => space.pageIn(1, into),
          () => space.pageIn(15, into),
          () => space.pageOut(30, pageOf(30)),
          () => space.zswap.shrink(5),
        ])
          codeOf(call);
        await space.close();
        await Promise.all(closed);
        expect(closed.length).toBeGreaterThan(0);
        expect(store.calls.sync).toBe(1);
        expect(picture(ram), `${victims}, ${op}`).toBe(before);
        store.verify();
        ram.check();
        ram.close();
      }
    }
  });

  test('called by a codec that then throws: the call is ECLOSED', async () => {
    for (const closes of [(space: SwapSpace) => void space.close(), (space: SwapSpace) => space.zswap.ram.close()]) {
      const ram = await createRam();
      let space: SwapSpace | undefined = undefined as SwapSpace | undefined;
      const codec: Codec = {
        name: 'closing',
        compress: () => {
          closes(space as SwapSpace);
          throw new Error('and gone');
        },
        decompress: () => 0,
      };
      space = await SwapSpace.create({ ram, codec });
      expect(codeOf(() => space?.pageOut(1, pageOf(1)))).toBe('ECLOSED');
      expect(codeOf(() => space?.zswap.store(0, 1, pageOf(1)))).toBe('ECLOSED');
      await space.close();
      ram.close();
    }
  });

  test('of the RAM inside any call of store or codec: every call is ECLOSED then, and close finishes', async () => {
    for (const victims of VICTIMS) {
      for (const mode of ['sync', 'async'] as const) {
        for (const op of ['read', 'write', 'free', 'sync', 'compress', 'decompress'] as const) {
          const ram = await createRam();
          const store = new ChaosStore({ mode });
          const deflate = await anotherCodec();
          let inside = (): void => undefined;
          const codec: Codec = {
            name: 'closing',
            compress: (from, to) => (op === 'compress' && inside(), deflate.compress(from, to)),
            decompress: (from, to) => (op === 'decompress' && inside(), deflate.decompress(from, to)),
          };
          const space = await SwapSpace.create({
            ram,
            store: store as BackingStore,
            victims,
            codec,
            writebackCompressed: false,
          });
          const busy = async (call: () => unknown): Promise<string | undefined> => {
            const ended = (async () => call())().then(
              () => undefined,
              (error: unknown) => (error as { code: string }).code,
            );
            for (let turn = 0; turn < 40; turn++) {
              await quiet();
              store.settle();
            }
            return ended;
          };
          for (let slot = 0; slot < 20; slot++) space.pageOut(slot, pageOf(slot));
          await busy(() => space.zswap.writebackAsync(5));
          inside = () => ram.close();
          store.inside = (what) => void (what === op && inside());
          const into = new Uint8Array(PAGE_SIZE);
          const calls = [
            () => space.zswap.writebackAsync(3),
            () => space.free(0),
            () => space.pageInAsync(1, into),
            () => space.pageIn(15, into),
            () => space.pageOutAsync(30, pageOf(30)),
            () => space.zswap.shrinkAsync(5),
          ];
          for (const call of calls) expect([undefined, 'ECLOSED', 'EIO']).toContain(await busy(call));
          if (op !== 'sync') for (const call of calls) expect(await busy(call)).toBe('ECLOSED');
          expect([undefined, 'EIO']).toContain(await busy(() => space.close()));
          store.verify();
          store.inside = undefined;
          const next = await Zswap.create({ bytes: '1MiB', ...buildOptions(build), store: store as BackingStore });
          await busy(() => next.close());
        }
      }
    }
  });

  test('completes all other steps when the sync of the store fails', async () => {
    const ram = await createRam();
    const before = picture(ram);
    const store = new ChaosStore({ mode: 'sync' });
    const zswap = await Zswap.create({ ram, store: store as BackingStore });
    zswap.store(0, 1, pageOf(1));
    store.condition = 'gone';
    await rejected({ code: 'EIO', op: 'zswap.close' }, zswap.close());
    expect(picture(ram)).toBe(before);
    store.condition = 'fine';
    await (await Zswap.create({ ram, store: store as BackingStore })).close();
    expect(picture(ram)).toBe(before);
  });
});

describe('a store belongs to one front end', () => {
  test('a second front end is EBUSY and changes nothing; after close, or a create that failed, the store is free', async () => {
    const ram = await createRam();
    const store = new RecordingStore();
    const first = await Zswap.create({ ram, store });
    const before = picture(ram);
    await rejected({ code: 'EBUSY', op: 'Zswap.create', says: /another front end/ }, Zswap.create({ ram, store }));
    await rejected({ code: 'EBUSY', op: 'SwapSpace.create' }, SwapSpace.create({ bytes: '1MiB', store }));
    expect(picture(ram)).toBe(before);
    first.store(0, 1, pageOf(1));
    first.writeback(1);
    expectPage(first, 1, pageOf(1));
    await first.close();
    // An unknown codec, a full RAM, a closed RAM.
    await rejected({ code: 'EINVAL', op: 'loadCodec' }, Zswap.create({ ram, store, codec: 'none' as never }));
    ram.failFrames(0);
    await rejected({ code: 'ENOMEM', op: 'Zswap.create' }, Zswap.create({ ram, store }));
    ram.failFrames(null);
    const closed = await createRam();
    closed.close();
    await rejected({ code: 'ECLOSED', op: 'Zswap.create' }, Zswap.create({ ram: closed, store }));
    const both = await Promise.allSettled([Zswap.create({ ram, store }), Zswap.create({ ram, store })]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    for (const one of both) if (one.status === 'fulfilled') await one.value.close();
    await (await SwapSpace.create({ ram, store })).close();
    // The caller closes the RAM without the zswap.
    const last = await Zswap.create({ ram, store });
    ram.close();
    await last.close();
    await (await Zswap.create({ bytes: '1MiB', ...buildOptions(build), store })).close();
  });

  test('while a write of the first front end hangs, the store is not free', async () => {
    const store = new ChaosStore();
    const zswap = await Zswap.create({
      bytes: '1MiB',
      ...buildOptions(build),
      store: store as BackingStore,
      timeout: TIMEOUT,
    });
    zswap.store(0, 1, pageOf(1));
    store.plan('write', 'hang');
    const moved = rejected({ code: 'EIO', op: 'zswap.writebackAsync' }, zswap.writebackAsync(1));
    await quiet();
    clock.pass(TIMEOUT);
    await moved;
    store.giveUp();
    const closed = zswap.close();
    await quiet();
    store.settleOf('sync');
    await closed;
    await rejected(
      { code: 'EBUSY', op: 'Zswap.create' },
      Zswap.create({ bytes: '1MiB', ...buildOptions(build), store: store as BackingStore }),
    );
    store.release();
    await quiet();
    const next = await Zswap.create({ bytes: '1MiB', ...buildOptions(build), store: store as BackingStore });
    expect(await Promise.race([next.close(), quiet().then(() => (store.settle(), next.close()))])).toBe(undefined);
  });
});

describe('frames that fail', () => {
  /**
   * Makes the frame requests after the first 0, 1, 2 … fail until the call succeeds. Each failure must be ENOMEM and
   * change nothing.
   */
  function untilItWorks(ram: Ram, call: () => void): number {
    for (let after = 0; ; after++) {
      const before = picture(ram);
      ram.failFrames(after);
      const code = codeOf(call);
      ram.failFrames(null);
      ram.check();
      if (code === undefined) return after;
      expect([code, picture(ram) === before]).toEqual(['ENOMEM', true]);
    }
  }

  test('in create', async () => {
    for (const allocator of ALLOCATORS) {
      for (const [victims, index] of [
        ['entry', 'dense'],
        ['entry', 'sparse'],
        ['page', 'sparse'],
      ] as const) {
        const ram = await createRam();
        const before = picture(ram);
        const store = new RecordingStore();
        let failed = 0;
        for (let zswap: Zswap | undefined; zswap === undefined; failed++) {
          ram.failFrames(failed);
          zswap = await Zswap.create({ ram, allocator, victims, index, store }).catch((error: unknown) => {
            expect((error as { code: string }).code).toBe('ENOMEM');
            return undefined;
          });
          ram.failFrames(null);
          ram.check();
          if (zswap === undefined) expect(picture(ram)).toBe(before);
          else await zswap.close();
        }
        expect(failed).toBeGreaterThan(2);
        expect(picture(ram)).toBe(before);
        ram.close();
      }
    }
  });

  test('when allocator and codec are set', async () => {
    const ram = await createRam('4MiB');
    const zswap = await Zswap.create({ ram, store: new RecordingStore() });
    const codec = await anotherCodec();
    for (let offset = 0; offset < 20; offset++) zswap.store(0, offset, pageOf(offset));
    for (const inside of [(call: () => void) => call(), (call: () => void) => insideEvict(ram, call)]) {
      for (const allocator of ALLOCATORS) {
        inside(() => {
          const was = [zswap.allocator, zswap.codec];
          const failures = untilItWorks(ram, () => {
            try {
              zswap.allocator = allocator;
            } catch (error) {
              expect([zswap.allocator, zswap.codec]).toEqual(was);
              throw error;
            }
          });
          expect(failures > 0 || was[0] === allocator || ram.pools().some((pool) => pool.allocator === allocator)).toBe(
            true,
          );
          expect(zswap.allocator).toBe(allocator);
          for (const value of [codec, 'lz4hc', 'lz4'] as const) untilItWorks(ram, () => (zswap.codec = value));
          zswap.store(0, 100, pageOf(100));
        });
        for (let offset = 0; offset < 20; offset++) expectPage(zswap, offset, pageOf(offset));
        expectPage(zswap, 100, pageOf(100));
      }
    }
    await zswap.close();
    expect(ram.pools()).toHaveLength(0);
  });

  test('a codec whose pool cannot be made gets no number; a codec that is set again keeps its number', async () => {
    const ram = await createRam('4MiB');
    const zswap = await Zswap.create({ ram });
    for (let n = 0; n < 300; n++) {
      ram.failFrames(0);
      const codec = await anotherCodec();
      expect(codeOf(() => (zswap.codec = codec))).toBe('ENOMEM');
      ram.failFrames(null);
    }
    const [one, two] = [await anotherCodec(), await anotherCodec()];
    for (let n = 0; n < 300; n++) zswap.codec = n % 2 === 0 ? one : two;
    expect(zswap.stats().pools).toBe(1);
    for (let n = 0; n < 252; n++) zswap.codec = await anotherCodec();
    const last = await anotherCodec();
    changesNothing(ram, () => void fault({ code: 'EBUSY', op: 'zswap.codec' }, () => (zswap.codec = last)));
    zswap.codec = one;
    expect(zswap.store(0, 1, pageOf(1))).toBe(true);
    expectPage(zswap, 1, pageOf(1));
    zswap.check();
    await zswap.close();
  });

  test('with 64 draining pools one more is EBUSY, and no frame is lost', async () => {
    const ram = await createRam('8MiB');
    const zswap = await Zswap.create({ ram, allocator: 'xvmalloc' });
    for (let n = 0; n < 64; n++) {
      zswap.store(0, n, pageOf(n));
      if (n < 63) zswap.codec = await anotherCodec();
    }
    const codec = await anotherCodec();
    for (const call of [() => (zswap.codec = codec), () => (zswap.allocator = 'zbud')])
      changesNothing(ram, () => expect(codeOf(call)).toBe('EBUSY'));
    for (let n = 0; n < 64; n++) expectPage(zswap, n, pageOf(n));
    expect(zswap.invalidatePage(0, 5)).toBe(true);
    zswap.codec = codec;
    zswap.store(0, 5, pageOf(5));
    expectPage(zswap, 5, pageOf(5));
    zswap.check();
    await zswap.close();
    expect(ram.pools()).toHaveLength(0);
  });

  test('store, pageOut, writeback, shrink and all other calls lose no other page', async () => {
    for (const victims of VICTIMS) {
      for (const allocator of ALLOCATORS) {
        const ram = await createRam();
        const space = await SwapSpace.create({ ram, allocator, victims, store: new RecordingStore() });
        const { zswap } = space;
        const pages = new Map<number, Uint8Array>();
        const keep = (slot: number, page: Uint8Array): void => {
          pages.set(slot, page);
          space.pageOut(slot, page);
        };
        for (let slot = 0; slot < 60; slot++)
          keep(slot, slot % 6 === 0 ? rawPage(slot) : slot % 7 === 0 ? filledPage(slot) : pageOf(slot));
        const calls: ((n: number) => void)[] = [
          (n) => void zswap.writeback(2 + (n % 3)),
          () => void zswap.shrink(2),
          () => void zswap.invalidateArea(1),
          (n) => void zswap.store(1, n, rawPage(n)),
          (n) => {
            pages.delete(n % 60);
            const page = n % 2 === 0 ? rawPage(n) : pageOf(n);
            space.pageOut(n % 60, page);
            pages.set(n % 60, page);
          },
        ];
        for (const inside of [(call: () => void) => call(), (call: () => void) => insideEvict(ram, call)]) {
          for (let n = 0; n < 60; n++) {
            inside(() => {
              ram.failFrames(n % 12);
              const code = codeOf(() => (calls[n % calls.length] as (n: number) => void)(n));
              ram.failFrames(null);
              expect([undefined, 'ENOMEM']).toContain(code);
              ram.check();
            });
          }
        }
        for (let slot = 0; slot < 60; slot++) {
          expect(zswap.has(0, slot)).toBe(pages.has(slot));
          if (pages.has(slot)) expectPage(zswap, slot, pages.get(slot) as Uint8Array);
        }
        const { inFlight, backingPages, backingSlots } = zswap.stats();
        expect([inFlight, backingSlots]).toEqual([0, backingPages]);
        await space.close();
        expect(ram.pools()).toHaveLength(0);
        ram.close();
      }
    }
  });
});

test('objects are constructed only by create, and their properties cannot be set', async () => {
  for (const [what, make] of [
    ['Zswap', Zswap],
    ['SwapSpace', SwapSpace],
  ] as const) {
    for (const given of [[], [undefined, {}], [Symbol('compcache'), 'x', {}]]) {
      fault(
        { code: 'EINVAL', op: `new ${what}`, says: `${what}.create` },
        () => Reflect.construct(make as never, given) as unknown,
      );
    }
  }
  const space = await SwapSpace.create({ bytes: '1MiB', ...buildOptions(build) });
  const { zswap } = space;
  for (const [object, key] of [
    [space, 'zswap'],
    [zswap, 'ram'],
    [zswap, 'name'],
    [zswap, 'victims'],
  ] as const) {
    const was: unknown = Reflect.get(object, key);
    expect(Reflect.set(object, key, 'other')).toBe(false);
    expect(Reflect.get(object, key)).toBe(was);
  }
  expect(['writeThrough', 'writeThroughAsync', 'make'].filter((key) => key in zswap || key in Zswap)).toEqual([]);
  space.pageOut(1, rawPage(1));
  expectPage(zswap, 1, rawPage(1));
  await space.close();
});
