/** Ramzswap, one feature at a time. ramzswap-random.test.ts tests all of them together. */
import { describe, expect, test } from 'vitest';
import {
  ALLOCATORS,
  MemoryStore,
  PAGE_SIZE,
  Ram,
  Ramzswap,
  loadCodec,
  type Codec,
  type ErrorCode,
  type RamzswapOptions,
} from '../../bindings/index.ts';
import { builds, buildOptions, expectBytes, noise } from '../harness.ts';
import { ChaosStore } from './chaos-store.ts';
import { quiet } from './clock.ts';
import { RecordingStore, codeOf, filledPage, pageOf, rawPage } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';
const zeros = new Uint8Array(PAGE_SIZE);

function create(options: RamzswapOptions = {}): Promise<Ramzswap> {
  const own = options.ram === undefined ? { bytes: '4MiB', ...buildOptions(build) } : {};
  return Ramzswap.create({ disksize: '1MiB', ...own, ...options });
}

function got(device: Ramzswap, index: number): Uint8Array {
  const into = new Uint8Array(PAGE_SIZE).fill(0xa5);
  device.readPage(index, into);
  return into;
}

async function gotAsync(device: Ramzswap, index: number): Promise<Uint8Array> {
  const into = new Uint8Array(PAGE_SIZE).fill(0xa5);
  await device.readPageAsync(index, into);
  return into;
}

async function rejectedWith(call: Promise<unknown>): Promise<ErrorCode | undefined> {
  return call.then(
    () => undefined,
    (error: unknown) =>
      codeOf(() => {
        throw error as Error;
      }),
  );
}

function flags(device: Ramzswap, index: number): string | undefined {
  return [...device.blockState()].find((block) => block.index === index)?.flags;
}

/** Writes pages until one is refused. @returns how many were written */
function fill(device: Ramzswap, page: (n: number) => Uint8Array, most = 256): number {
  for (let n = 0; n < most; n++)
    if (
      codeOf(() => {
        device.writePage(n, page(n));
      }) !== undefined
    )
      return n;
  return most;
}

/**
 * A codec that records its calls. It keeps the first `kept` bytes of a page; the pages of these tests have zeros behind
 * them.
 */
function shortCodec(kept: number, name = 'short'): Codec & { asked: number } {
  return {
    name,
    asked: 0,
    compress(page, into) {
      this.asked += 1;
      if (kept > into.length) return 0;
      into.set(page.subarray(0, kept));
      return kept;
    },
    decompress(block, into) {
      into.fill(0);
      into.set(block);
      return PAGE_SIZE;
    },
  };
}

describe('life', () => {
  test('before init there is no I/O and there are no figures; after init settings cannot be changed; reset undoes init', async () => {
    const store = new RecordingStore();
    const device = await Ramzswap.create({ ...buildOptions(build), bytes: '4MiB' });
    const page = pageOf(1);
    const calls = [
      () => {
        device.readPage(0, page);
      },
      () => {
        device.writePage(0, page);
      },
      () => {
        device.read(0, page);
      },
      () => {
        device.write(0, page);
      },
      () => {
        device.readSectors(0, page);
      },
      () => {
        device.writeSectors(0, page);
      },
      () => device.discard(0),
      () => {
        device.freeNotify(0);
      },
      () => device.compact(),
      () => device.markIdle(),
      () => device.writeback('idle'),
      () => device.recompress(),
      () => device.stats(),
      () => device.mmStat(),
      () => device.ioStat(),
      () => device.bdStat(),
      () => device.blockState(),
      () => {
        device.check();
      },
      () => device.ram,
      () => {
        device.resetMemUsedMax();
      },
    ];
    const none = (): void => expect(calls.map(codeOf)).toEqual(calls.map(() => 'ENODEV'));
    none();
    expect(await rejectedWith(device.readPageAsync(0, page))).toBe('ENODEV');
    expect(await rejectedWith(device.writePageAsync(0, page))).toBe('ENODEV');
    expect(await rejectedWith(device.writebackAsync('idle'))).toBe('ENODEV');
    expect(await rejectedWith(device.flush())).toBe('ENODEV');
    expect(device.initstate).toBe(false);
    device.reset();
    expect(
      codeOf(() => {
        device.init();
      }),
    ).toBe('EINVAL');
    device.disksize = 10 * PAGE_SIZE - 1;
    device.allocator = 'xvmalloc';
    device.codec = 'lz4hc';
    device.memlimit = '64KiB';
    device.backing = store;
    device.writebackLimit = 5;
    device.init();
    expect([
      device.initstate,
      device.disksize,
      device.allocator,
      device.codec,
      device.memlimit,
      device.backing,
    ]).toEqual([true, 40_960, 'xvmalloc', 'lz4hc', 65_536, store]);
    for (const set of [
      () => {
        device.disksize = 1;
      },
      () => {
        device.allocator = 'zbud';
      },
      () => {
        device.codec = 'lz4';
      },
      () => {
        device.backing = undefined;
      },
      () => {
        device.init();
      },
    ]) {
      expect(codeOf(set)).toBe('EBUSY');
    }
    device.writePage(3, rawPage(1));
    device.writePage(4, page);
    expect(store.held.size).toBe(1);
    expect(
      codeOf(() => {
        device.readPage(10, page);
      }),
    ).toBe('EINVAL');
    device.check();
    device.reset();
    none();
    expect([
      store.held.size,
      device.disksize,
      device.allocator,
      device.codec,
      device.memlimit,
      device.backing,
      device.writebackLimit,
    ]).toEqual([0, 0, 'zsmalloc', 'lz4', 0, undefined, Infinity]);
    device.init({ disksize: 4096 });
    expect(device.stats()).toMatchObject({
      numReads: 0,
      numWrites: 0,
      invalidIo: 0,
      pagesStored: 0,
      bdevNumWrites: 0,
      comprDataSize: 0,
    });
    expectBytes(got(device, 0), zeros);
    await device.close();
    expect(
      codeOf(() => {
        device.init();
      }),
    ).toBe('ECLOSED');
    expect(
      codeOf(() => {
        device.writebackLimit = 1;
      }),
    ).toBe('ECLOSED');
    expect(codeOf(() => device.stats())).toBe('ECLOSED');
  });

  test('init that fails at any frame request leaves nothing, and can be repeated', async () => {
    for (const allocator of ALLOCATORS) {
      for (const shared of [false, true]) {
        const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
        if (shared) ram.zpool('zbud').malloc(10);
        const before = ram.stats().usedFrames;
        const store = new MemoryStore();
        const device = await Ramzswap.create({
          ram,
          disksize: undefined as never,
          allocator,
          backing: store,
          swapHeader: true,
        });
        let failed = 0;
        for (let after = 0; ; after++) {
          ram.failFrames(after, 1);
          const code = codeOf(() => {
            device.init({ disksize: '64KiB' });
          });
          ram.failFrames(null);
          if (code === undefined && after > 12) break;
          ram.check();
          if (code === undefined) {
            device.reset();
          } else {
            expect(code).toBe('ENOMEM');
            failed += 1;
            expect([device.initstate, device.disksize]).toEqual([false, 0]);
          }
          expect(ram.stats().usedFrames).toBe(before);
          expect(store.used, `${allocator} ${after} ${code}`).toBe(0);
          expect(ram.pools().length).toBe(shared ? 1 : 0);
        }
        expect(failed).toBeGreaterThan(2);
        expect(device.mmStat().origDataSize).toBe(PAGE_SIZE);
        device.discard(0);
        await device.close();
        expect([ram.stats().usedFrames, store.used]).toEqual([before, 0]);
        ram.close();
      }
    }
  });

  test('create that fails leaves the RAM of the caller unchanged', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    for (let after = 0; after < 4; after++) {
      ram.failFrames(after, 1);
      expect(await rejectedWith(create({ ram, swapHeader: true }))).toBe('ENOMEM');
      ram.failFrames(null);
      expect(ram.stats().usedFrames).toBe(0);
      ram.check();
    }
    const broken: Codec = {
      name: 'broken',
      compress: () => {
        throw new Error('no');
      },
      decompress: () => 0,
    };
    expect(await rejectedWith(create({ ram, swapHeader: true, codec: broken }))).toBe('EIO');
    const clock = (): number => {
      throw new RangeError('no clock');
    };
    await expect(create({ ram, clock })).rejects.toThrow(RangeError);
    expect([ram.stats().usedFrames, ram.pools().length]).toEqual([0, 0]);
    ram.check();
  });

  test('close with a synchronous store is finished when it returns', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    for (const backing of [undefined, new RecordingStore()]) {
      const device = await create({ ram, ...(backing === undefined ? {} : { backing }) });
      device.writePage(0, pageOf(1));
      const closed = device.close();
      expect(ram.stats().usedFrames).toBe(0);
      await closed;
      if (backing !== undefined) expect(backing.synced).toBe(1);
    }
  });

  test('bad options', async () => {
    const bad: object[] = [
      { disksize: 0 },
      { disksize: -1 },
      { disksize: 'x' },
      { disksize: 2 ** 53 },
      { memlimit: -1 },
      { allocator: 'slab' },
      { codec: 'none' },
      { codec: {} },
      { recompCodecs: 'lz4' },
      { recompCodecs: ['lz4', 'lz4', 'lz4', 'lz4'] },
      { backing: {} },
      { swapHeader: 1 },
      { zpool: { name: 'x' } },
      { maxInFlight: 0 },
      { timeout: 0 },
      { clock: 1 },
      { ram: {} },
      { more: 1 },
    ];
    for (const options of bad)
      expect(await rejectedWith(create(options as RamzswapOptions)), JSON.stringify(options)).toMatch(/EINVAL|ENODEV/);
  });

  test('a swap header is page 0, and all counters stay right when it is overwritten and freed', async () => {
    const device = await create({ swapHeader: true });
    const header = got(device, 0);
    expect(new TextDecoder().decode(header.subarray(PAGE_SIZE - 10))).toBe('SWAPSPACE2');
    expect(new Uint32Array(header.buffer, 1024, 2)).toEqual(Uint32Array.of(1, 255));
    const recount = (stored: number): void => {
      expect(device.stats()).toMatchObject({ pagesStored: stored, origDataSize: stored * PAGE_SIZE });
      expect([...device.blockState()].length).toBe(stored);
      device.check();
    };
    recount(1);
    device.writePage(0, pageOf(5));
    recount(1);
    device.writePage(0, zeros);
    recount(1);
    device.freeNotify(0);
    recount(0);
    device.freeNotify(0);
    device.discard(0, 256);
    recount(0);
    expect(device.stats()).toMatchObject({
      pagesSame: 0,
      comprDataSize: 0,
      goodCompress: 0,
      pagesExpand: 0,
      notifyFree: 1,
      discard: 0,
    });
  });
});

describe.each(ALLOCATORS)('pages on %s', (allocator) => {
  test('of every kind can be read with every codec; same-filled pages take no memory', async () => {
    for (const codec of ['lz4', 'lz4hc', 'lz4js', 'deflate', shortCodec(4000)] as const) {
      const device = await create({ allocator, codec });
      const pages = Array.from({ length: 40 }, (_, n) =>
        n % 5 === 0 ? filledPage(n) : n % 7 === 0 ? rawPage(n) : pageOf(n),
      );
      if (typeof codec === 'object')
        pages.forEach((page) => {
          page.fill(0, 4000);
        });
      pages.forEach((page, n) => {
        device.writePage(n, page);
      });
      pages.forEach((page, n) => {
        expectBytes(got(device, n), page, `page ${n}`);
      });
      expectBytes(got(device, 200), zeros);
      device.check();
      const stats = device.stats();
      expect(stats).toMatchObject({ pagesStored: 40, numWrites: 40, numReads: 41, failedReads: 0, failedWrites: 0 });
      expect(stats.comprDataSize).toBe([...device.blockState()].reduce((sum, { bytes }) => sum + bytes, 0));
      device.discard(0, 40);
      device.compact();
      const empty = device.stats().pagesUsed;
      for (let n = 0; n < 256; n++) device.writePage(n, filledPage(n * 77));
      expect(device.stats()).toMatchObject({ pagesSame: 256, pagesUsed: empty, comprDataSize: 0 });
      for (let n = 0; n < 256; n++) expectBytes(got(device, n), filledPage(n * 77));
      device.check();
      await device.close();
    }
  });

  test('an overwrite that fails keeps the old page', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    const device = await create({ ram, allocator });
    device.writePage(7, pageOf(1));
    for (let after = 0; after < 3; after++) {
      for (const page of [rawPage(2), pageOf(3, 3000), pageOf(4, 1500)]) {
        ram.failFrames(after, 9);
        const code = codeOf(() => {
          device.writePage(7, page);
        });
        ram.failFrames(null);
        expect([undefined, 'ENOMEM']).toContain(code);
        expectBytes(got(device, 7), code === undefined ? page : pageOf(1));
        device.check();
        device.writePage(7, pageOf(1));
      }
    }
  });

  test('memlimit counts frames; pages beyond the limit go to the store, and count as no failure', async () => {
    const zpool = allocator === 'xcfmalloc' ? { reserve: 0 } : {};
    const device = await create({ allocator, zpool, memlimit: 10 * PAGE_SIZE });
    const accepted = fill(device, (n) => pageOf(n, 3000));
    expect(accepted).toBeGreaterThan(3);
    expect(accepted).toBeLessThan(256);
    expect(device.stats().pagesUsed).toBeLessThanOrEqual(10);
    expect(device.stats()).toMatchObject({ failedWrites: 1, numWrites: accepted + 1 });
    device.memlimit = 0;
    device.writePage(accepted, pageOf(accepted, 3000));
    device.memlimit = 4096;
    expect(
      codeOf(() => {
        device.writePage(0, pageOf(99, 3000));
      }),
    ).toBe('ENOMEM');
    expectBytes(got(device, 0), pageOf(0, 3000));
    device.memlimit = 2 ** 52;
    device.writePage(0, pageOf(98, 3000));
    device.check();
    const store = new RecordingStore();
    const backed = await create({ allocator, zpool, memlimit: 10 * PAGE_SIZE, backing: store });
    for (let n = 0; n < 100; n++) backed.writePage(n, pageOf(n, 3000));
    for (let n = 0; n < 100; n++) expectBytes(got(backed, n), pageOf(n, 3000));
    expect(backed.stats().pagesUsed).toBeLessThanOrEqual(10);
    expect(backed.stats()).toMatchObject({
      failedWrites: 0,
      failedReads: 0,
      pagesStored: 100,
      bdevNumWrites: store.written.length,
      bdevNumReads: store.held.size,
    });
    expect(backed.bdStat()).toMatchObject({ bdCount: store.held.size });
    backed.check();
    backed.discard(0, 100);
    expect(store.held.size).toBe(0);
  });
});

describe('bytes and sectors', () => {
  test('reads and writes at any alignment, compared with a plain array', async () => {
    for (const backing of [undefined, new MemoryStore()]) {
      const device = await create({ disksize: 64 * PAGE_SIZE, ...(backing === undefined ? {} : { backing }) });
      const plain = new Uint8Array(64 * PAGE_SIZE);
      for (let n = 0; n < 150; n++) {
        const offset = (n * 7919 * 13) % (60 * PAGE_SIZE);
        const bytes = noise(1 + ((n * 997) % 12_000), n).map((byte) => (n % 3 === 0 ? byte : byte & 3));
        device.write(offset, bytes);
        plain.set(bytes, offset);
        const sectors = bytes.subarray(0, bytes.length - (bytes.length % 512));
        device.writeSectors((n * 31) % 480, sectors);
        plain.set(sectors, ((n * 31) % 480) * 512);
        const into = new Uint8Array(1 + ((n * 577) % 9000));
        device.read(offset, into);
        expectBytes(into, plain.slice(offset, offset + into.length));
      }
      const all = new Uint8Array(plain.length);
      device.readSectors(0, all);
      expectBytes(all, plain);
      device.check();
      device.write(plain.length, new Uint8Array(0));
      expect(device.stats().invalidIo).toBe(0);
      expect(
        codeOf(() => {
          device.write(plain.length - 1, new Uint8Array(2));
        }),
      ).toBe('EINVAL');
      expect(
        codeOf(() => {
          device.readSectors(512, new Uint8Array(512));
        }),
      ).toBe('EINVAL');
      expect(
        codeOf(() => {
          device.readSectors(0, new Uint8Array(511));
        }),
      ).toBe('EINVAL');
      expect(device.ioStat()).toMatchObject({ invalidIo: 2, failedReads: 0, failedWrites: 0 });
    }
  });

  test('a discard frees only whole pages; a range beyond the device frees none', async () => {
    const device = await create({ disksize: 4 * PAGE_SIZE });
    for (let n = 0; n < 4; n++) device.writePage(n, pageOf(n + 1));
    expect(codeOf(() => device.discard(2, 3))).toBe('EINVAL');
    expect(codeOf(() => device.discard(0.5))).toBe('EINVAL');
    expect(device.stats()).toMatchObject({ pagesStored: 4, discard: 0, invalidIo: 1 });
    expect(device.discard(1, 2)).toBe(2);
    expect(device.discard(0, 4)).toBe(2);
    expect(device.discard(0, 4)).toBe(0);
    expect(device.stats()).toMatchObject({ pagesStored: 0, discard: 4 });
    expectBytes(got(device, 1), zeros);
  });
});

describe('two devices', () => {
  test('in one RAM have separate settings, figures and pages', async () => {
    const ram = await Ram.create({ bytes: '4MiB', ...buildOptions(build) });
    const stores = [new RecordingStore(), new RecordingStore()] as const;
    const one = await create({ ram, backing: stores[0], memlimit: '40KiB', codec: 'lz4hc', recompCodecs: ['deflate'] });
    const two = await create({ ram, backing: stores[1], allocator: 'zbud', disksize: '2MiB' });
    one.memlimit = '80KiB';
    one.writebackLimit = 3;
    for (let n = 0; n < 60; n++) {
      one.writePage(n, pageOf(n));
      two.writePage(n, pageOf(1000 + n));
    }
    expect([two.memlimit, two.writebackLimit, two.codec, two.disksize]).toEqual([0, Infinity, 'lz4', 2 ** 21]);
    two.markIdle();
    expect([...one.blockState()].some(({ flags: marks }) => marks.includes('i'))).toBe(false);
    expect(stores[1].held.size).toBe(0);
    two.writeback('idle');
    expect(one.stats().bdevNumWrites).toBe(stores[0].written.length);
    one.reset();
    expect(stores[0].held.size).toBe(0);
    for (let n = 0; n < 60; n++) expectBytes(got(two, n), pageOf(1000 + n));
    ram.check();
    await two.close();
    expect(ram.stats().usedFrames).toBe(0);
  });
});

describe('writeback', () => {
  test('takes idle, huge, idle or huge, incompressible, or named pages, the largest first', async () => {
    const store = new RecordingStore();
    let now = 0;
    const device = await create({ backing: store, clock: () => now, recompCodecs: ['lz4hc'] });
    for (let n = 0; n < 10; n++) {
      now = n;
      device.writePage(n, pageOf(n, 300 * (n + 1)));
    }
    device.writePage(10, filledPage(3));
    now = 20;
    expect(device.markIdle(15)).toBe(6);
    expect(flags(device, 5)).toBe('...i..');
    got(device, 5);
    expect(flags(device, 5)).toBe('......');
    device.writePage(4, pageOf(4, 1500));
    device.writebackLimit = 3;
    expect(device.writeback('idle')).toBe(3);
    expect(flags(device, 3)).toBe('.w....');
    expect(flags(device, 0)).toBe('...i..');
    expect(device.writebackLimit).toBe(0);
    expect(codeOf(() => device.writeback('idle'))).toBe('EIO');
    device.writebackLimit = Infinity;
    expect(device.writeback('idle')).toBe(1);
    expect(device.writeback('idle')).toBe(0);
    expect(device.writeback({ pages: [9, [5, 7], 10, 100] })).toBe(4);
    device.recompress();
    const poor = [...device.blockState()].filter(({ flags: marks }) => marks.includes('n')).length;
    expect(poor).toBeGreaterThan(0);
    expect(device.writeback('incompressible')).toBe(poor);
    for (let n = 0; n < 10; n++) expectBytes(got(device, n), pageOf(n, n === 4 ? 1500 : 300 * (n + 1)));
    expect(device.bdStat().bdCount).toBe(store.held.size);
    for (const bad of ['all', { pages: [256] }, { pages: [[3, 2]] }, { pages: 1 }, null])
      expect(codeOf(() => device.writeback(bad as never))).toBe('EINVAL');
    device.check();
    const without = await create();
    expect(codeOf(() => without.writeback('idle'))).toBe('ENODEV');
  });

  test('a store that fails, is full, tears writes or gives other bytes: a typed error, never other bytes', async () => {
    const store = new RecordingStore(8);
    const device = await create({ backing: store });
    for (let n = 0; n < 20; n++) device.writePage(n, pageOf(n));
    device.markIdle();
    store.failure = new Error('gone');
    expect(codeOf(() => device.writeback('idle'))).toBe('EIO');
    device.memlimit = 1; // so that there is no room in memory either
    expect(
      codeOf(() => {
        device.writePage(0, rawPage(1));
      }),
    ).toBe('EIO');
    expectBytes(got(device, 0), pageOf(0));
    store.failure = undefined;
    device.markIdle();
    expect(device.writeback('idle')).toBe(8);
    expect(codeOf(() => device.writeback('idle'))).toBe('ENOSPC');
    expect(
      codeOf(() => {
        device.writePage(1, rawPage(1));
      }),
    ).toBe('ENOSPC');
    device.check();
    const changes: ((bytes: Uint8Array) => Uint8Array)[] = [
      (bytes) => bytes.slice(0, 40),
      () => new Uint8Array(0),
      (bytes) => bytes.fill(0),
      (bytes) => bytes.map((byte, i) => (i === 50 ? byte ^ 1 : byte)),
      () => [...store.held.values()][0] as Uint8Array,
    ];
    const there = [...device.blockState()].filter(({ flags: marks }) => marks.includes('w')).map(({ index }) => index);
    for (const change of changes) {
      store.change = change;
      for (const index of there.slice(1)) {
        const into = new Uint8Array(PAGE_SIZE).fill(7);
        const code = codeOf(() => {
          device.readPage(index, into);
        });
        expectBytes(into, code === undefined ? pageOf(index) : new Uint8Array(PAGE_SIZE).fill(7));
        expect([undefined, 'EIO']).toContain(code);
      }
    }
    store.change = undefined;
    expect(device.stats().failedReads).toBeGreaterThan(10);
    for (let n = 0; n < 20; n++) expectBytes(got(device, n), pageOf(n));
    const first = there[0] as number;
    device.memlimit = 0;
    store.held.clear();
    expect(
      codeOf(() => {
        device.write(first * PAGE_SIZE + 9, Uint8Array.of(1));
      }),
    ).toBe('EIO');
    device.writePage(first, pageOf(77));
    expectBytes(got(device, first), pageOf(77));
    device.check();
  });
});

describe('recompression', () => {
  test('goes by priority, counts only a smaller size class as a success, and gives up on a page until it is written', async () => {
    const [large, same, small] = [shortCodec(2000, 'large'), shortCodec(1999, 'same'), shortCodec(600, 'small')];
    const device = await create({ codec: large, recompCodecs: [same, small] });
    const page = pageOf(1, 500).fill(0, 600);
    page.set(noise(600, 4));
    device.writePage(0, page);
    const longer = noise(PAGE_SIZE, 5).fill(0, 2000);
    expect(device.recompress({ threshold: 500 })).toBe(0);
    expect(flags(device, 0)).toBe('......');
    expect(device.recompress({ priority: 1 })).toBe(0);
    expect(flags(device, 0)).toBe('......');
    expect(device.recompress()).toBe(1);
    expect([...device.blockState()]).toMatchObject([{ index: 0, flags: '....r.', bytes: 600 }]);
    expectBytes(got(device, 0), page);
    expect(device.recompress()).toBe(0);
    device.writePage(0, page);
    expect(flags(device, 0)).toBe('......');
    device.check();
    const poor = await create({ codec: large, recompCodecs: [same] });
    poor.writePage(0, longer);
    poor.writePage(1, filledPage(0));
    expect(poor.recompress()).toBe(0);
    expect(flags(poor, 0)).toBe('.....n');
    const { asked } = same;
    expect(poor.recompress()).toBe(0);
    expect(same.asked).toBe(asked);
    poor.writePage(0, longer);
    expect(poor.recompress()).toBe(0);
    expect(same.asked).toBe(asked + 1);
    expectBytes(got(poor, 0), longer);
    expect(codeOf(() => poor.recompress({ priority: 2 }))).toBe('EINVAL');
    const none = await create();
    expect(codeOf(() => none.recompress())).toBe('EINVAL');
  });

  test('after a codec failed, the page can be tried again; a codec that lies gives EIO, never other bytes', async () => {
    const answers: (() => unknown)[] = [
      () => 5000,
      () => -1,
      () => NaN,
      () => 1.5,
      () => undefined,
      () => Promise.reject(new Error('late')),
      () => 'x',
    ];
    const codec: Codec = { name: 'liar', compress: () => answers[0]?.() as number, decompress: () => PAGE_SIZE - 1 };
    const device = await create({ recompCodecs: [codec] });
    device.writePage(0, pageOf(1));
    for (; answers.length !== 0; answers.shift()) {
      expect(device.recompress()).toBe(0);
      expect(flags(device, 0)).toBe('......');
    }
    const short: Codec = {
      name: 'short',
      compress: (page, into) => (into.set(page.subarray(0, 9)), 9),
      decompress: () => PAGE_SIZE - 1,
    };
    const bad = await create({ codec: short });
    bad.writePage(0, pageOf(1));
    const into = new Uint8Array(PAGE_SIZE).fill(3);
    expect(
      codeOf(() => {
        bad.readPage(0, into);
      }),
    ).toBe('EIO');
    expectBytes(into, new Uint8Array(PAGE_SIZE).fill(3));
    expect(
      codeOf(() => {
        bad.write(5, Uint8Array.of(1));
      }),
    ).toBe('EIO');
    expect(bad.stats()).toMatchObject({ failedReads: 1, failedWrites: 1 });
  });

  test('of a page that the codec itself writes meanwhile keeps the new content', async () => {
    const small = shortCodec(600);
    const inner = pageOf(9, 100);
    const device: Ramzswap = await create({
      recompCodecs: [
        {
          name: 'calls back',
          decompress: (block, into) => small.decompress(block, into),
          compress(page, into) {
            device.writePage(0, inner);
            return small.compress(page, into);
          },
        },
      ],
    });
    device.writePage(0, pageOf(1, 2000));
    expect(device.recompress()).toBe(0);
    expectBytes(got(device, 0), inner);
    device.check();
  });
});

describe('asynchronous calls', () => {
  /** A device with most of its pages in the store. */
  async function mostlyInStore(maxInFlight = 32): Promise<{ device: Ramzswap; store: ChaosStore }> {
    const store = new ChaosStore({ mode: 'async', maxInFlight });
    return { store, device: await create({ backing: store, maxInFlight, recompCodecs: ['lz4hc'] }) };
  }

  async function settled<T>(store: ChaosStore, call: Promise<T>): Promise<T> {
    let over = false;
    const done = (): void => void (over = true);
    call.then(done, done);
    for (let n = 0; n < 500; n++) {
      await quiet();
      if (over) break;
      store.settle(0);
    }
    return call;
  }

  test('overlapping reads give each its own page', async () => {
    const device = await create();
    for (let n = 0; n < 8; n++) device.writePage(n, pageOf(n));
    const pages = await Promise.all(Array.from({ length: 8 }, (_, n) => gotAsync(device, n)));
    pages.forEach((page, n) => {
      expectBytes(page, pageOf(n), `page ${n}`);
    });
    const bytes = [new Uint8Array(5000), new Uint8Array(5000)] as const;
    await Promise.all([device.readAsync(10, bytes[0]), device.readAsync(3 * PAGE_SIZE, bytes[1])]);
    expectBytes(bytes[0].subarray(0, PAGE_SIZE - 10), pageOf(0).subarray(10));
    expectBytes(bytes[1].subarray(0, PAGE_SIZE), pageOf(3));
  });

  test('overlapping writes of parts of one page are all done', async () => {
    const { device, store } = await mostlyInStore();
    await settled(store, device.writePageAsync(0, rawPage(1)));
    const expected = rawPage(1);
    const parts = Array.from({ length: 8 }, (_, n) => noise(512, 50 + n));
    const calls = parts.map((part, n) => device.writeSectorsAsync(n, part));
    expect(
      codeOf(() => {
        device.write(1, Uint8Array.of(1));
      }),
    ).toBe('EAGAIN');
    await settled(store, Promise.all(calls));
    parts.forEach((part, n) => {
      expected.set(part, n * 512);
    });
    expectBytes(await settled(store, gotAsync(device, 0)), expected);
    const whole = device.writePageAsync(1, rawPage(2));
    const part = device.writeAsync(PAGE_SIZE + 100, Uint8Array.of(1, 2, 3));
    await settled(store, Promise.all([whole, part]));
    const both = rawPage(2);
    both.set([1, 2, 3], 100);
    expectBytes(await settled(store, gotAsync(device, 1)), both);
    device.check();
    store.verify();
  });

  test('a write that succeeded stays when a later one fails', async () => {
    const { device, store } = await mostlyInStore();
    device.writePage(9, pageOf(9));
    device.memlimit = 1;
    store.plan('write', 'undone', 1);
    const first = device.writePageAsync(0, rawPage(1));
    const second = device.writePageAsync(0, rawPage(2));
    await settled(store, first);
    expect(await rejectedWith(settled(store, second))).toBe('EIO');
    expectBytes(await settled(store, gotAsync(device, 0)), rawPage(1));
  });

  test('recompression, idle marks and compaction do not undo a write under way; a discard and a later write replace it', async () => {
    const { device, store } = await mostlyInStore();
    device.writePage(0, pageOf(1, 2000).fill(65, 0, 1500));
    const text = Uint8Array.from({ length: PAGE_SIZE }, (_, i) => 97 + ((i * i) % 23) * Number(i % 7 < 5));
    device.writePage(1, text);
    const writes = [0, 1, 2, 3].map((index) => device.writePageAsync(index, rawPage(index)));
    device.recompress();
    device.compact();
    device.markIdle();
    device.discard(2);
    device.writePage(3, pageOf(3));
    await settled(store, Promise.all(writes));
    for (const [index, page] of [rawPage(0), rawPage(1), zeros, pageOf(3)].entries())
      expectBytes(await settled(store, gotAsync(device, index)), page, `page ${index}`);
    await quiet();
    while (store.settle()) await quiet();
    expect(store.owned.size).toBe(2);
    device.check();
  });

  test('a call that gives EAGAIN is not counted', async () => {
    const { device, store } = await mostlyInStore();
    expect(
      codeOf(() => {
        device.writePage(0, rawPage(1));
      }),
    ).toBe('EAGAIN');
    await settled(store, device.writePageAsync(0, rawPage(1)));
    expect(codeOf(() => got(device, 0))).toBe('EAGAIN');
    await settled(store, gotAsync(device, 0));
    expect(device.stats()).toMatchObject({
      numReads: 1,
      numWrites: 1,
      failedReads: 0,
      failedWrites: 0,
      bdevNumReads: 1,
      bdevNumWrites: 1,
    });
  });

  test('reset waits for the store, and no call under way reaches the next device', async () => {
    const { device, store } = await mostlyInStore();
    for (let n = 0; n < 6; n++) await settled(store, device.writePageAsync(n, rawPage(n)));
    expect(
      codeOf(() => {
        device.reset();
      }),
    ).toBe('EAGAIN');
    const read = gotAsync(device, 1);
    expect(
      codeOf(() => {
        device.reset();
      }),
    ).toBe('EBUSY');
    await settled(store, read);
    const second = gotAsync(device, 2);
    expect(await rejectedWith(device.resetAsync())).toBe('EBUSY');
    await settled(store, second);
    device.discard(0, 2); // it waits for slots that are being freed
    expect(
      codeOf(() => {
        device.reset();
      }),
    ).toBe('EBUSY');
    const reset = device.resetAsync();
    expect(
      codeOf(() => {
        device.writePage(0, zeros);
      }),
    ).toBe('EBUSY');
    await settled(store, reset);
    expect([store.owned.size, device.initstate]).toEqual([0, false]);
    device.init();
    await settled(store, device.writePageAsync(0, rawPage(9)));
    expectBytes(await settled(store, gotAsync(device, 0)), rawPage(9));
    store.verify();
  });

  test('never more calls under way than maxInFlight, sync included', async () => {
    const { device, store } = await mostlyInStore(2);
    const writes = Array.from({ length: 10 }, (_, n) => device.writePageAsync(n, rawPage(n)));
    const flushed = device.flush();
    await settled(store, Promise.all([...writes, flushed]));
    store.verify();
    const closed = device.close();
    await settled(store, closed);
    store.verify();
  });

  test('a store that hangs: EIO after the timeout, the old page stays', async () => {
    const store = new ChaosStore({ mode: 'async' });
    const device = await create({ backing: store, timeout: 20 });
    device.writePage(0, pageOf(1));
    device.memlimit = 1;
    store.condition = 'stuck';
    expect(await rejectedWith(device.writePageAsync(0, rawPage(1)))).toBe('EIO');
    expectBytes(got(device, 0), pageOf(1));
    device.markIdle();
    expect(await rejectedWith(device.writebackAsync('idle'))).toBe('EIO');
    expectBytes(got(device, 0), pageOf(1));
    expect(
      codeOf(() => {
        device.reset();
      }),
    ).toBe('EBUSY');
    store.recover();
    while (store.release()) await quiet();
    while (store.settle()) await quiet();
    device.check();
    expect(store.owned.size).toBe(0);
    device.reset();
    store.verify();
  });
});

describe('calls from inside a store or codec', () => {
  /** What a store or codec does while it is called. */
  const callbacks: Record<string, (device: Ramzswap, page: Uint8Array) => void> = {
    'writes the page': (device, page) => {
      device.writePage(0, page);
    },
    'writes a part of it': (device) => {
      device.write(8, Uint8Array.of(1, 2));
    },
    'frees it': (device) => {
      device.freeNotify(0);
    },
    'discards all': (device) => {
      device.discard(0, 256);
    },
    'moves pages': (device) => {
      device.writeback({ pages: [[0, 255]] });
    },
    recompresses: (device) => {
      device.recompress();
    },
    'resets it': (device) => {
      device.reset();
    },
    'makes it anew': (device) => {
      device.reset();
      device.init();
    },
    'closes it': (device) => {
      void device.close();
    },
    'closes the RAM': (device) => {
      device.ram.close();
    },
  };
  const tasks: Record<string, (device: Ramzswap) => unknown> = {
    'a write to the pool': (device) => {
      device.writePage(0, pageOf(5));
    },
    'a write to the store': (device) => {
      device.writePage(0, rawPage(5));
    },
    'a write of a part': (device) => {
      device.write(100, noise(5000, 3));
    },
    'a read': (device) => {
      got(device, 1);
    },
    'a read of a part': (device) => {
      device.read(4000, new Uint8Array(9000));
    },
    'a discard': (device) => device.discard(0, 9),
    writeback: (device) => device.writeback({ pages: [[0, 9]] }),
    recompress: (device) => device.recompress(),
    reset: (device) => {
      device.reset();
    },
  };

  test.each(Object.keys(callbacks))('a store or codec that %s', async (callback) => {
    for (const [name, task] of Object.entries(tasks)) {
      for (const where of ['compress', 'decompress', 'read', 'write', 'free'] as const) {
        for (const own of [true, false]) {
          let armed = false;
          const ram = own ? undefined : await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
          const act = (here: string): void => {
            if (!armed || here !== where) return;
            armed = false;
            const code = codeOf(() => {
              (callbacks[callback] as (typeof callbacks)[string])(device, pageOf(77));
            });
            expect([undefined, 'EBUSY', 'ENODEV', 'ECLOSED', 'EIO', 'EINVAL']).toContain(code);
          };
          const inner = new RecordingStore();
          const backing = {
            mode: 'sync' as const,
            read: (slot: number, into: Uint8Array) => {
              act('read');
              return inner.read(slot, into);
            },
            write: (slot: number, bytes: Uint8Array) => {
              act('write');
              inner.write(slot, bytes);
            },
            free: (slot: number) => {
              act('free');
              inner.free(slot);
            },
            close: () => undefined,
          };
          const codecs = [shortCodec(2000, 'first'), shortCodec(1500, 'second')].map((codec): Codec => ({
            name: codec.name,
            compress: (page, into) => {
              act('compress');
              return page.subarray(3000).some((byte) => byte !== 0) ? 0 : codec.compress(page, into);
            },
            decompress: (block, into) => {
              act('decompress');
              return codec.decompress(block, into);
            },
          }));
          const settings = { disksize: '1MiB', backing, codec: codecs[0] as Codec, recompCodecs: codecs.slice(1) };
          const device: Ramzswap = await (ram === undefined ? create(settings) : create({ ram, ...settings }));
          const page = (n: number): Uint8Array => Uint8Array.from(pageOf(n, 600).fill(0, 1400));
          for (let n = 0; n < 8; n++) device.writePage(n, n % 3 === 1 ? rawPage(n) : page(n));
          device.writeback({ pages: [2] });
          armed = true;
          const code = codeOf(() => task(device));
          expect([undefined, 'EBUSY', 'ENODEV', 'ECLOSED', 'EIO', 'EINVAL'], `${name}, ${where}`).toContain(code);
          armed = false;
          if (codeOf(() => device.stats()) === undefined) {
            device.check();
            // The other pages are unchanged, or empty after a reset or discard.
            for (let n = 3; n < 8; n++) {
              const now = got(device, n);
              if (!['a discard', 'reset', 'a write of a part'].includes(name) && !/discards|anew/.test(callback))
                expectBytes(now, n % 3 === 1 ? rawPage(n) : page(n), `${name}, ${where}: page ${n}`);
            }
            device.discard(0, 256);
            expect(inner.held.size, `${name}, ${where}`).toBe(0);
            device.check();
          }
          await device.close().catch(() => undefined);
          if (ram?.isClosed === false) {
            ram.check();
            expect(ram.stats().usedFrames, `${name}, ${where}`).toBe(0);
            ram.close();
          }
        }
      }
    }
  });
});

test('a codec of loadCodec can be used', async () => {
  const deflate = await loadCodec('deflate');
  const device = await create({ codec: deflate, recompCodecs: ['lz4hc', 'deflate', 'lz4js'] });
  for (let n = 0; n < 30; n++) device.writePage(n, pageOf(n));
  device.recompress();
  for (let n = 0; n < 30; n++) expectBytes(got(device, n), pageOf(n));
  device.check();
});
