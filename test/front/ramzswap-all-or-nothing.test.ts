/** Ramzswap: a call that fails changes nothing and can be repeated; a device owns its pool, options and store. */
import { describe, expect, test } from 'vitest';
import {
  ALLOCATORS,
  PAGE_SIZE,
  Ram,
  Ramzswap,
  type BackingStore,
  type CompcacheError,
  type Codec,
  type ErrorCode,
  type Handle,
  type PageEntry,
  type RamzswapOptions,
  type RamzswapSettings,
  type Zpool,
} from '../../bindings/index.ts';
import { builds, buildOptions, expectBytes } from '../harness.ts';
import { ChaosStore } from './chaos-store.ts';
import { quiet } from './clock.ts';
import { RecordingStore, codeOf, filledPage, pageOf, rawPage } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';

async function rejectedWith(call: Promise<unknown>): Promise<ErrorCode | undefined> {
  return call.then(
    () => undefined,
    (error: unknown) =>
      codeOf(() => {
        throw error as Error;
      }),
  );
}

function newRam(): Promise<Ram> {
  return Ram.create({ bytes: '2MiB', ...buildOptions(build) });
}

function create(options: RamzswapOptions): Promise<Ramzswap> {
  return Ramzswap.create({
    disksize: '256KiB',
    ...(options.ram === undefined ? { bytes: '2MiB', ...buildOptions(build) } : {}),
    ...options,
  });
}

function got(device: Ramzswap, index: number): Uint8Array {
  const into = new Uint8Array(PAGE_SIZE).fill(0xa5);
  device.readPage(index, into);
  return into;
}

async function settled<T>(store: ChaosStore, call: Promise<T>): Promise<T> {
  let over = false;
  const done = (): void => void (over = true);
  call.then(done, done);
  for (let n = 0; n < 500 && !over; n++) {
    await quiet();
    store.settle(0);
  }
  return call;
}

describe.each(ALLOCATORS)('the pool of a device on %s', (allocator) => {
  test('can be read by other code, but not changed', async () => {
    const ram = await newRam();
    const device = await create({ ram, allocator });
    const pages = Array.from({ length: 24 }, (_, n) => (n % 5 === 0 ? rawPage(n) : pageOf(n)));
    pages.forEach((page, n) => {
      device.writePage(n, page);
    });
    const found = ram.pools().find(({ name }) => name.includes('/pool')) as Zpool;
    const handles: Handle[] = [];
    found.walk(({ objects }) => {
      objects.forEach(({ handle }) => {
        if (handle !== 0) handles.push(handle);
      });
    });
    expect(handles.length).toBeGreaterThan(0);
    const image = (): string => JSON.stringify([found.stats(), ram.stats(), [...device.blockState()]]);
    const before = image();
    const snapshot = ram.snapshot();
    for (const pool of [found, ram.openZpool(found.name)]) {
      for (const handle of [...new Set([handles[0], handles.at(-1)])] as Handle[]) {
        const changes: Record<string, () => unknown> = {
          malloc: () => pool.malloc(100),
          free: () => {
            pool.free(handle);
          },
          write: () => {
            pool.write(handle, Uint8Array.of(1, 2, 3));
          },
          'map rw': () => pool.map(handle, 'rw'),
          'map ro': () => pool.map(handle, 'ro'),
          'map wo': () => pool.map(handle, 'wo'),
          unmap: () => {
            pool.unmap(handle);
          },
          storePage: () => pool.storePage(pageOf(1)),
          'storePage, raw': () => pool.storePage(rawPage(1)),
          freePage: () => {
            pool.freePage(handle as number as PageEntry);
          },
          'storePage, foreign': () =>
            pool.storePage(pageOf(1), {
              name: 'x',
              compress: (_, into) => into.fill(1, 0, 9) && 9,
              decompress: () => PAGE_SIZE,
            }),
          pageTable: () => pool.pageTable(),
          'sparse pageTable': () => pool.pageTable('sparse'),
          shrink: () => pool.shrink(1),
          compact: () => pool.compact(),
          'compact some': () => pool.compact({ victims: 1 }),
          runDeferred: () => {
            pool.runDeferred();
          },
          destroy: () => {
            pool.destroy();
          },
          close: () => {
            pool.close();
          },
          evict: () => ram.openZpool(pool.name, { evict: () => true }),
        };
        for (const [name, change] of Object.entries(changes)) expect(codeOf(change), name).toBe('EBUSY');
        expect(pool.size(handle)).toBeGreaterThan(0);
        expect(pool.read(handle).length).toBe(pool.size(handle));
        pool.locate(handle);
        expect(pool.freeable()).toBeGreaterThanOrEqual(0);
      }
    }
    expect(image()).toBe(before);
    expectBytes(ram.snapshot(), snapshot);
    pages.forEach((page, n) => {
      expectBytes(got(device, n), page);
    });
    ram.check();
    await device.close();
    expect(ram.stats().usedFrames).toBe(0);
    expect(codeOf(() => found.malloc(1))).toBe('ECLOSED');
  });
});

describe('inside an evict callback', () => {
  /** Runs `call` in an evict callback of this RAM. */
  function inEvict<T>(ram: Ram, call: () => T): T {
    let result: T | undefined;
    const pool = ram.zpool('zbud', {
      evict: (handle, self) => {
        result = call();
        self.free(handle);
      },
    });
    pool.malloc(100);
    pool.shrink(1);
    pool.destroy();
    return result as T;
  }

  test.each(['own', 'given'] as const)(
    'reset, resetAsync and close are EBUSY in an %s RAM, change nothing, and can be repeated',
    async (whose) => {
      for (const kind of ['none', 'sync', 'async'] as const) {
        for (const how of ['reset', 'resetAsync', 'close'] as const) {
          const given = whose === 'given' ? await newRam() : undefined;
          const chaos = new ChaosStore({ mode: 'async' });
          const backing: BackingStore | undefined =
            kind === 'none' ? undefined : kind === 'sync' ? new RecordingStore() : (chaos as BackingStore);
          const device = await create({
            ...(given === undefined ? {} : { ram: given }),
            ...(backing === undefined ? {} : { backing }),
            codec: 'lz4hc',
          });
          for (let n = 0; n < 9; n++) device.writePage(n, pageOf(n));
          if (kind === 'sync') device.writePage(9, rawPage(9));
          const { ram } = device;
          const used = ram.stats().usedFrames;
          for (let n = 0; n < 2; n++) {
            const call = inEvict(ram, () =>
              how === 'reset'
                ? Promise.resolve(
                    codeOf(() => {
                      device.reset();
                    }),
                  )
                : rejectedWith(device[how]()),
            );
            expect(await call, `${whose} ${kind} ${how}`).toBe('EBUSY');
          }
          expect([device.initstate, device.codec, ram.stats().usedFrames]).toEqual([true, 'lz4hc', used]);
          for (let n = 0; n < 9; n++) expectBytes(got(device, n), pageOf(n));
          device.check();
          if (how === 'reset') device.reset();
          else await settled(chaos, device[how]());
          expect(device.initstate).toBe(false);
          if (given === undefined) expect(codeOf(() => ram.stats())).toBe('ECLOSED');
          else expect(given.stats().usedFrames).toBe(0);
          if (how !== 'close') device.init({ disksize: '8KiB' });
          await settled(chaos, device.close());
        }
      }
    },
  );

  test('init is EBUSY, and can be repeated', async () => {
    const ram = await newRam();
    const device = await create({ ram, disksize: undefined as never });
    expect(
      inEvict(ram, () =>
        codeOf(() => {
          device.init({ disksize: '64KiB' });
        }),
      ),
    ).toBe('EBUSY');
    expect([device.initstate, device.disksize, ram.pools().length]).toEqual([false, 0, 0]);
    device.init({ disksize: '64KiB' });
    device.writePage(1, pageOf(1));
    device.check();
  });

  test('a device can be read and written', async () => {
    const ram = await newRam();
    const device = await create({ ram });
    inEvict(ram, () => {
      device.writePage(1, pageOf(1));
    });
    expectBytes(got(device, 1), pageOf(1));
    ram.check();
  });
});

describe('init', () => {
  test('leaves no settings, no store and no frame when it fails', async () => {
    const ram = await newRam();
    const store = new RecordingStore();
    let broken = true;
    const codec: Codec = {
      name: 'one',
      compress: (page, into) => {
        if (broken) throw new Error('no');
        into.set(page.subarray(0, 3000));
        return 3000;
      },
      decompress: () => PAGE_SIZE,
    };
    const device = await create({ ram, disksize: undefined as never });
    const other = await create({ ram: await newRam(), disksize: undefined as never });
    const settings: RamzswapSettings = {
      disksize: '64KiB',
      codec,
      backing: store,
      swapHeader: true,
      allocator: 'zbud',
      memlimit: '100KiB',
    };
    for (let n = 0; n < 3; n++) {
      expect(
        codeOf(() => {
          device.init(settings);
        }),
      ).toBe('EIO');
      expect([
        device.initstate,
        device.disksize,
        device.codec,
        device.backing,
        device.allocator,
        device.memlimit,
      ]).toEqual([false, 0, 'lz4', undefined, 'zsmalloc', 0]);
      expect([ram.stats().usedFrames, ram.pools().length, store.held.size]).toEqual([0, 0, 0]);
    }
    other.init({ disksize: '64KiB', backing: store }); // the store has no owner
    expect(
      codeOf(() => {
        device.init({ ...settings, swapHeader: false });
      }),
    ).toBe('EBUSY');
    expect([device.initstate, ram.stats().usedFrames, ram.pools().length]).toEqual([false, 0, 0]);
    other.reset();
    broken = false;
    device.init(settings);
    expect([device.initstate, device.codec, device.allocator, device.memlimit]).toEqual([true, 'one', 'zbud', 102_400]);
    for (const bad of [
      { zpool: { chainSize: 99 } },
      { zpool: { layout: '6.1' } },
      { disksize: 0 },
      { backing: { ...store, slots: 0 } },
      { codec: 'none' },
    ]) {
      expect(
        codeOf(() => {
          other.init({ disksize: '64KiB', ...bad } as RamzswapSettings);
        }),
        JSON.stringify(bad),
      ).toBe('EINVAL');
      expect(other.initstate).toBe(false);
    }
    ram.check();
  });

  test('is EBUSY when the clock, options, codec or store call init first, and there is one device', async () => {
    const ram = await newRam();
    const device: Ramzswap = await create({ ram, disksize: undefined as never, clock: () => 0 });
    let armed = false;
    const act = <T>(value: T): T => {
      if (armed) {
        armed = false;
        device.init({ disksize: '8KiB' });
      }
      return value;
    };
    const store = new RecordingStore();
    const traps: RamzswapSettings[] = [
      {
        get disksize() {
          return act('64KiB');
        },
      },
      {
        disksize: '64KiB',
        codec: {
          get name() {
            return act('x');
          },
          compress: () => 0,
          decompress: () => 0,
        },
      },
      {
        disksize: '64KiB',
        recompCodecs: new Proxy(['lz4hc' as const], { get: (list, key) => act(Reflect.get(list, key) as unknown) }),
      },
      {
        disksize: '64KiB',
        zpool: {
          get chainSize() {
            return act(4);
          },
        },
      },
      {
        disksize: '64KiB',
        backing: {
          get mode() {
            return act('sync' as const);
          },
          read: () => 0,
          write: () => undefined,
          free: () => undefined,
          close: () => undefined,
        },
      },
      {
        disksize: '64KiB',
        backing: {
          mode: 'sync',
          get slots() {
            return act(9);
          },
          read: () => 0,
          write: () => undefined,
          free: () => undefined,
          close: () => undefined,
        },
      },
    ];
    for (const trap of traps) {
      armed = true;
      expect(
        codeOf(() => {
          device.init(trap);
        }),
      ).toBe('EBUSY');
      expect([armed, device.disksize, ram.pools().length, store.held.size]).toEqual([false, 8192, 1, 0]);
      ram.check();
      device.reset();
      expect(ram.stats().usedFrames).toBe(0);
    }
    const clocked: Ramzswap = await create({
      ram,
      disksize: undefined as never,
      clock: () => {
        if (armed) {
          armed = false;
          clocked.init({ disksize: '8KiB' });
        }
        return 0;
      },
    });
    armed = true;
    expect(
      codeOf(() => {
        clocked.init({ disksize: '64KiB' });
      }),
    ).toBe('EBUSY');
    expect([clocked.disksize, ram.pools().length]).toEqual([8192, 1]);
  });
});

describe('options', () => {
  test('are copied deeply at create and at init, and read once', async () => {
    const zpool = { chainSize: 1 };
    const recompCodecs: ('lz4hc' | 'lz4')[] = ['lz4hc'];
    const device = await create({ zpool, recompCodecs, disksize: undefined as never });
    zpool.chainSize = 99;
    recompCodecs.push('lz4', 'lz4', 'lz4');
    for (let n = 0; n < 2; n++) {
      device.init({ disksize: '64KiB' });
      const pool = device.ram.pools()[0] as Zpool;
      expect(Math.max(...(pool.stats().classes ?? []).map(({ pages }) => pages))).toBe(1);
      expect(codeOf(() => device.recompress({ priority: 2 }))).toBe('EINVAL');
      device.reset();
    }
    const reads = new Map<PropertyKey, number>();
    const counted = new Proxy(
      {
        disksize: '64KiB',
        memlimit: 8192,
        codec: 'lz4hc',
        zpool: { chainSize: 2 },
        ...buildOptions(build),
        bytes: '1MiB',
      } as RamzswapOptions,
      {
        get: (target, key) => {
          reads.set(key, (reads.get(key) ?? 0) + 1);
          return Reflect.get(target, key) as unknown;
        },
      },
    );
    await (await Ramzswap.create(counted)).close();
    expect([...reads].filter(([, count]) => count !== 1)).toEqual([]);
  });

  test('that throw when they are read are EINVAL', async () => {
    const mine = new RangeError('no');
    const throws = new Proxy(
      {},
      {
        get: () => {
          throw mine;
        },
        ownKeys: () => {
          throw mine;
        },
      },
    );
    const list = new Proxy([], {
      get: () => {
        throw mine;
      },
    });
    const device = await create({ disksize: undefined as never });
    for (const bad of [
      throws,
      { zpool: throws },
      { recompCodecs: list },
      { recompCodecs: [throws] },
      { codec: throws },
      { backing: throws },
    ]) {
      expect(await rejectedWith(Ramzswap.create(bad as RamzswapOptions))).toBe('EINVAL');
      expect(
        codeOf(() => {
          device.init(bad === throws ? bad : { disksize: '64KiB', ...bad });
        }),
      ).toBe('EINVAL');
    }
    expect(
      codeOf(() => {
        device.codec = throws as Codec;
      }),
    ).toBe('EINVAL');
    expect(
      codeOf(() => {
        device.backing = throws as BackingStore;
      }),
    ).toBe('EINVAL');
    device.init({ disksize: '64KiB' });
  });

  test('the error for a bad disksize names limits that are valid sizes', async () => {
    for (const bad of [0, 2 ** 45, '99999G']) {
      const error = await create({ disksize: bad }).then(
        () => undefined,
        (cause: unknown) => cause as CompcacheError,
      );
      const limits = [...(/from (\S+) to (\S+) bytes/.exec(error?.message ?? '') ?? [])].slice(1);
      expect([error?.code, limits]).toEqual(['EINVAL', ['1', '17592186040320']]);
      const device = await create({ disksize: undefined as never });
      for (const limit of limits) {
        device.disksize = limit;
        device.disksize = Number(limit);
        expect(device.disksize).toBe(Number(limit));
      }
    }
  });

  test('the constructor is not public', () => {
    const Anything = Ramzswap as unknown as new (...rest: unknown[]) => Ramzswap;
    for (const given of [[], [Symbol('compcache'), {}], [undefined, {}, {}, {}]]) {
      expect(codeOf(() => new Anything(...given))).toBe('EINVAL');
      expect(() => new Anything(...given)).toThrow(/Ramzswap\.create/);
    }
  });
});

describe('a backing store', () => {
  test('belongs to one device at a time, from init until reset or close', async () => {
    const store = new RecordingStore();
    const one = await create({ backing: store });
    one.writePage(0, rawPage(1));
    expect(await rejectedWith(create({ backing: store }))).toBe('EBUSY');
    const two = await create({ disksize: undefined as never });
    two.backing = store;
    expect(
      codeOf(() => {
        two.init({ disksize: '64KiB' });
      }),
    ).toBe('EBUSY');
    expect([two.initstate, store.held.size]).toEqual([false, 1]);
    expectBytes(got(one, 0), rawPage(1));
    one.reset();
    two.init({ disksize: '64KiB' });
    expect(
      codeOf(() => {
        one.init();
      }),
    ).toBe('EBUSY');
    await two.close();
    one.init();
    one.ram.close(); // the device still has the store until it is closed
    expect(await rejectedWith(create({ backing: store }))).toBe('EBUSY');
    await one.close();
    await (await create({ backing: store })).close();
  });

  test('that hangs belongs to its device until the last call has ended', async () => {
    const store = new ChaosStore({ mode: 'async' });
    const device = await create({ backing: store, timeout: 20 });
    device.writePage(1, pageOf(1));
    device.memlimit = 1;
    store.condition = 'stuck';
    expect(await rejectedWith(device.writePageAsync(0, rawPage(1)))).toBe('EIO');
    expect(await rejectedWith(device.close())).toBe('EIO'); // its sync hangs too
    expect(await rejectedWith(create({ backing: store }))).toBe('EBUSY');
    store.recover();
    while (store.release()) await quiet();
    while (store.settle()) await quiet();
    await quiet();
    await settled(store, (await create({ backing: store })).close());
  });
});

describe('resetAsync', () => {
  test('waits for slots that are being freed; when a free hangs it is EBUSY, and can be repeated', async () => {
    const store = new ChaosStore({ mode: 'async' });
    const device = await create({ backing: store, timeout: 20 });
    for (let n = 0; n < 4; n++) await settled(store, device.writePageAsync(n, rawPage(n)));
    store.condition = 'stuck';
    device.freeNotify(0);
    expect(await rejectedWith(device.resetAsync())).toBe('EBUSY');
    // After the reset that failed, nothing has changed.
    expect([device.initstate, device.bdStat().bdCount]).toEqual([true, 3]);
    store.recover();
    const into = new Uint8Array(PAGE_SIZE);
    await settled(store, device.readPageAsync(1, into));
    expectBytes(into, rawPage(1));
    device.writePage(9, filledPage(7));
    while (store.release()) await quiet();
    while (store.settle()) await quiet();
    device.freeNotify(1);
    await settled(store, device.resetAsync());
    expect([device.initstate, store.owned.size]).toEqual([false, 0]);
    store.verify();
  });

  test('is EBUSY when a store calls it in the middle of a call', async () => {
    for (const what of ['sync', 'read', 'write'] as const) {
      const codes: Promise<ErrorCode | undefined>[] = [];
      const act = (where: string): void => {
        if (where === what) codes.push(rejectedWith(device.resetAsync()));
      };
      const inner = new RecordingStore();
      const backing: BackingStore = {
        mode: 'async',
        close: async () => undefined,
        free: async (slot) => {
          inner.free(slot);
        },
        sync: async () => {
          act('sync');
        },
        read: async (slot, into) => {
          act('read');
          return inner.read(slot, into);
        },
        write: async (slot, bytes) => {
          act('write');
          inner.write(slot, bytes);
        },
      };
      const device: Ramzswap = await create({ backing });
      await device.writePageAsync(0, rawPage(1));
      await device.readPageAsync(0, new Uint8Array(PAGE_SIZE));
      await device.flush();
      expect(await Promise.all(codes)).toEqual(['EBUSY']);
    }
  });
});

test('a store that closes the device in its sync, several times', async () => {
  const inner = new RecordingStore();
  const closes: Promise<void>[] = [];
  inner.sync = () => {
    closes.push(device.close());
  };
  const device: Ramzswap = await create({ backing: inner });
  const closed = device.close();
  expect(closes.length).toBe(1);
  await Promise.all([closed, ...closes]);
  expect(device.initstate).toBe(false);
});
