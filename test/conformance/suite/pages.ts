/** storePage, loadPage, freePage: same-filled, compressed and raw pages. */
import { expect, test } from 'vitest';
import { PAGE_SIZE, loadCodec } from '../../../bindings/index.ts';
import type { Codec, Handle, PageEntry, Zpool } from '../../../bindings/index.ts';
import { changesNothing, expectBytes, fault, noise, objectFrames, outcome, put } from '../../harness.ts';
import type { Subject } from './subject.ts';

function filled(word: number): Uint8Array {
  return new Uint8Array(new Uint32Array(1024).fill(word).buffer);
}

/** A page in which about this number of bytes do not compress. */
function partly(noisy: number, seed: number): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  page.set(noise(noisy, seed));
  return page;
}

function load(pool: Zpool, entry: PageEntry, codec?: Codec): Uint8Array {
  const into = new Uint8Array(PAGE_SIZE).fill(0xee);
  pool.loadPage(entry, into, codec);
  return into;
}

const raw = (seed: number): Uint8Array => noise(PAGE_SIZE, seed);

export function pages(subject: Subject): void {
  const { row } = subject;

  test('a stored page can be loaded: pages from fully compressible to incompressible', async () => {
    const { ram, pool } = await subject.fresh();
    const stored = Array.from({ length: 70 }, (_, i) => partly(Math.min(PAGE_SIZE, i * 60), i)).map((page) => ({
      page,
      entry: pool.storePage(page),
    }));
    ram.check();
    for (const { page, entry } of stored) expectBytes(load(pool, entry), page);
    expect(pool.stats().objects).toBe(69); // the first one is same-filled
    for (const { entry } of stored) pool.freePage(entry);
    pool.runDeferred();
    expect(pool.totalPages).toBe(row.idleFrames);
    ram.check();
  });

  test('a same-filled page takes no memory: its page entry is negative', async () => {
    const { ram, pool } = await subject.fresh();
    changesNothing(ram, () => {
      for (const word of [0, 1, 0xffffffff, 0x80000000, 0x7fffffff, 0xdeadbeef]) {
        const entry = pool.storePage(filled(word));
        expect(entry).toBeLessThan(0);
        expectBytes(load(pool, entry), filled(word));
        pool.freePage(entry);
      }
    });
    const nearly = filled(5);
    nearly[4095] = 1;
    expect(pool.storePage(nearly)).toBeGreaterThan(0);
  });

  test('an incompressible page is stored raw', async () => {
    const { ram, pool } = await subject.fresh();
    const page = raw(1);
    const entry = pool.storePage(page);
    expect([pool.size(entry as number as Handle), pool.totalPages]).toEqual([PAGE_SIZE, row.framesFilled(1)]);
    expectBytes(pool.read(entry as number as Handle), page);
    expectBytes(load(pool, entry), page);
    expect(pool.stats()).toMatchObject({ liveBytes: PAGE_SIZE, objects: 1 });
    const seen: unknown[] = [];
    pool.walk(({ objects, free }) => void (objects.length > 0 && seen.push(...objects, ...free)));
    expect(seen).toEqual([{ handle: entry, offset: 0, bytes: PAGE_SIZE }]);
    const view = pool.map(entry as number as Handle, 'rw');
    expectBytes(view, page);
    fault({ code: 'EBUSY', op: 'zpool.freePage' }, () => pool.freePage(entry));
    view.set(page.fill(3, 0, 10));
    pool.unmap(entry as number as Handle);
    pool.write(entry as number as Handle, page.fill(4, 20, 30));
    expectBytes(load(pool, entry), page);
    ram.check();
    pool.freePage(entry);
    fault({ code: 'EINVAL', op: 'zpool.freePage' }, () => pool.freePage(entry));
    expect(pool.totalPages).toBe(row.idleFrames);
  });

  test('a block larger than the largest object makes a page incompressible', async () => {
    const { pool } = await subject.fresh();
    let raws = 0;
    let blocks = 0;
    for (let noisy = 3700; noisy <= PAGE_SIZE; noisy += 4) {
      const page = partly(noisy, noisy);
      const entry = pool.storePage(page);
      const size = pool.size(entry as number as Handle);
      if (size === PAGE_SIZE) raws++;
      else {
        blocks++;
        expect(size).toBeLessThanOrEqual(row.largest);
        expect(raws).toBe(0);
      }
      expectBytes(load(pool, entry), page);
      pool.freePage(entry);
    }
    expect([raws > 0, blocks > 0]).toEqual([true, true]);
  });

  test('raw pages are on the LRU with all others, and count in totalPages', async () => {
    const called: Handle[] = [];
    const { ram, pool } = await subject.fresh(
      {},
      { evict: (handle, from) => (called.push(handle), from.freePage(handle as number as PageEntry)) },
    );
    const handles: Handle[] = [];
    for (let i = 0; i < 9; i++)
      handles.push(i % 3 === 0 ? put(pool, row.largest, i).handle : (pool.storePage(raw(i)) as number as Handle));
    expect(pool.totalPages).toBe(row.framesFilled(9));
    pool.map(handles[1] as Handle, 'ro');
    expect(pool.shrink(3)).toBe(3);
    expect(called).toEqual([0, 2, 3].map((i) => handles[i]));
    pool.unmap(handles[1] as Handle);
    ram.check();
    expect(pool.shrink(2)).toBe(2);
    expect(called.slice(3)).toEqual([1, 4].map((i) => handles[i]));
    ram.openZpool(pool.name, { evict: () => false });
    fault({ code: 'EAGAIN', op: 'zpool.shrink' }, () => pool.shrink(1));
    expectBytes(load(pool, handles[5] as number as PageEntry), raw(5));
    ram.check();
    pool.destroy();
    expect(ram.stats().usedFrames).toBe(0);
  });

  test('a stored page counts as written: it can be evicted', async () => {
    const { pool } = await subject.fresh({}, { evict: (handle, from) => from.free(handle) });
    for (let i = 0; i < 10; i++) pool.storePage(partly(1500, i));
    expect(pool.shrink(1)).toBeGreaterThan(0);
    const before = objectFrames(pool);
    const entry = pool.storePage(raw(1));
    const pages = pool.totalPages;
    expect(objectFrames(pool)).toBe(before + 1);
    expect(pool.shrink(100)).toBe(pages - pool.totalPages);
    expect(objectFrames(pool)).toBe(0);
    fault({ code: 'EINVAL', op: 'zpool.loadPage' }, () => load(pool, entry));
  });

  test('loadPage of an object that is not a page is EIO', async () => {
    const { ram, pool } = await subject.fresh();
    for (const size of [1, 10, 100, 1630, 1630, 1630, Math.min(row.largest, 4000)]) {
      for (const content of [new Uint8Array(size), new Uint8Array(size).fill(0xff), noise(size, size)]) {
        const handle = pool.malloc(size);
        pool.write(handle, content);
        changesNothing(ram, () =>
          fault({ code: 'EIO', op: 'zpool.loadPage' }, () => load(pool, handle as number as PageEntry)),
        );
      }
    }
    // A block whose source had another length is not a page either.
    const block = new Uint8Array(4096);
    const length = ram.codec('lz4').compress(noise(4095, 2).fill(1, 100), block);
    const handle = pool.malloc(length);
    pool.write(handle, block.subarray(0, length));
    fault({ code: 'EIO', op: 'zpool.loadPage' }, () => load(pool, handle as number as PageEntry));
  });

  test('arguments that are not a page, a buffer or a page entry are EINVAL', async () => {
    const { ram, pool } = await subject.fresh();
    const entry = pool.storePage(partly(500, 1));
    const gone = pool.storePage(partly(600, 1));
    pool.freePage(gone);
    changesNothing(ram, () => {
      for (const bytes of [
        new Uint8Array(4095),
        new Uint8Array(4097),
        new Uint8Array(0),
        null,
        'x',
        new ArrayBuffer(4096),
        undefined,
      ]) {
        fault({ code: 'EINVAL', op: 'zpool.storePage', says: 'page' }, () => pool.storePage(bytes as Uint8Array));
        fault({ code: 'EINVAL', op: 'zpool.loadPage', says: 'into' }, () => pool.loadPage(entry, bytes as Uint8Array));
      }
      for (const bad of [gone, 0, NaN, -0.5, 0.5, -1.5, 2 ** 32, -(2 ** 32) - 1, '1', null, undefined, {}, 1n]) {
        fault({ code: 'EINVAL', op: 'zpool.loadPage', says: 'handle' }, () => load(pool, bad as PageEntry));
        fault({ code: 'EINVAL', op: 'zpool.freePage', says: 'handle' }, () => pool.freePage(bad as PageEntry));
      }
      for (const codec of [null, 'lz4', {}, 5]) {
        fault({ code: 'EINVAL', op: 'zpool.storePage', says: 'codec' }, () => pool.storePage(raw(1), codec as never));
        fault({ code: 'EINVAL', op: 'zpool.loadPage', says: 'codec' }, () =>
          pool.loadPage(entry, raw(1), codec as never),
        );
      }
    });
  });

  test('codecs of the core by name, and codecs in JavaScript', async () => {
    const { ram, pool } = await subject.fresh();
    const lz4js = await loadCodec('lz4js');
    for (const codec of [ram.codec('lz4'), lz4js]) {
      for (const page of [filled(7), partly(100, 1), partly(2000, 2), partly(3900, 3), raw(4)]) {
        const entry = pool.storePage(page, codec);
        expectBytes(load(pool, entry, codec), page, codec.name);
        expectBytes(load(pool, entry, codec === lz4js ? ram.codec('lz4') : lz4js), page, 'the other of the two');
        pool.freePage(entry);
      }
    }
    expect(pool.totalPages).toBe(row.idleFrames);
  });

  test('a codec that fails or gives wrong results: EIO, and nothing is stored', async () => {
    const { ram, pool } = await subject.fresh();
    const entry = pool.storePage(partly(9, 1));
    const answers = [NaN, -1, 0.5, PAGE_SIZE, 5000, 2 ** 32 + 1, Infinity, '12', null, undefined, 12n, {}];
    const faulty: Codec[] = answers.map((answer) => ({
      name: String(answer),
      compress: () => answer as number,
      decompress: () => (answer === PAGE_SIZE ? 17 : (answer as number)),
    }));
    const tooMuch = (_: Uint8Array, dst: Uint8Array): number => (dst.set(new Uint8Array(dst.length + 1)), 100);
    const fails = (): never => {
      throw new TypeError('broken');
    };
    const detaches = (_: Uint8Array, dst: Uint8Array): number => (
      structuredClone(dst.buffer, { transfer: [dst.buffer] }),
      100
    );
    faulty.push(
      { name: 'too much', compress: tooMuch, decompress: tooMuch },
      { name: 'throws', compress: fails, decompress: fails },
    );
    faulty.push({ name: 'detaches', compress: detaches, decompress: () => 100 });
    for (const codec of faulty) {
      changesNothing(ram, () => {
        fault({ code: 'EIO', op: 'zpool.storePage', says: 'codec' }, () => pool.storePage(partly(9, 1), codec));
        fault({ code: 'EIO', op: 'zpool.loadPage', says: 'codec' }, () => load(pool, entry, codec));
      });
    }
    expectBytes(load(pool, entry), partly(9, 1));
    // After an error, the next page is stored normally.
    const lz4js = await loadCodec('lz4js');
    expectBytes(load(pool, pool.storePage(partly(2000, 2), lz4js), lz4js), partly(2000, 2));
    ram.check();
  });

  test('a codec that uses up all frames, or writes beyond the block that it claims', async () => {
    const { ram, pool } = await subject.fresh();
    const short: Codec = {
      name: 'short',
      compress: (_, dst) => (dst.fill(9), 3),
      decompress: (src, dst) => (dst.fill(src.length), dst.length),
    };
    const entry = pool.storePage(partly(9, 1), short);
    expect(pool.size(entry as number as Handle)).toBe(3);
    expectBytes(load(pool, entry, short), new Uint8Array(PAGE_SIZE).fill(3));
    pool.freePage(entry);
    const big: Codec = { ...short, compress: () => Math.min(row.largest, PAGE_SIZE - 1) };
    ram.failFrames(0);
    for (let i = 0; i < row.idleFrames; i++) pool.storePage(partly(9, 1), big);
    changesNothing(ram, () =>
      fault({ code: 'ENOMEM', op: 'zpool.storePage' }, () => pool.storePage(partly(9, 1), big)),
    );
    ram.failFrames(null);
    ram.check();
  });

  test('a codec may use the pool while it runs: store, load, free, compact', async () => {
    const { ram, pool } = await subject.fresh();
    const inner = await loadCodec('lz4js');
    const lengths = [500, 1500, 2500, 3500];
    const others = Array.from({ length: 40 }, (_, i) => pool.storePage(partly(lengths[i % 4] as number, i), inner));
    for (let i = 0; i < 40; i += 2) pool.freePage(others[i] as PageEntry);
    let depth = 0;
    /** Uses the pool before and after its own work, one level deep. */
    const meanwhile = (work: () => number): number => {
      if (depth === 1) return work();
      depth = 1;
      const before = [pool.storePage(partly(1000, 1001), restless), pool.storePage(partly(3000, 1002))];
      const done = work();
      pool.compact();
      before.push(pool.storePage(partly(700, 1003), restless), pool.storePage(raw(1004), restless));
      [partly(1000, 1001), partly(3000, 1002), partly(700, 1003), raw(1004)].forEach((page, i) =>
        expectBytes(load(pool, before[i] as PageEntry, i === 1 ? undefined : restless), page),
      );
      before.forEach((entry) => pool.freePage(entry));
      depth = 0;
      return done;
    };
    const restless: Codec = {
      name: 'restless',
      compress: (src, dst) => meanwhile(() => inner.compress(src, dst)),
      decompress: (src, dst) => meanwhile(() => inner.decompress(src, dst)),
    };
    const before = pool.stats().objects;
    const entries = [partly(600, 50), partly(2600, 51), raw(52)].map((page) => ({
      page,
      entry: pool.storePage(page, restless),
    }));
    expect(pool.stats().objects).toBe(before + 3);
    for (const { page, entry } of entries) {
      expectBytes(load(pool, entry, restless), page);
      expectBytes(load(pool, entry), page);
    }
    for (let i = 1; i < 40; i += 2)
      expectBytes(load(pool, others[i] as PageEntry), partly(lengths[i % 4] as number, i));
    ram.check();
  });

  test('a codec that destroys the pool or closes the RAM: ECLOSED', async () => {
    const { ram, pool } = await subject.fresh();
    const ends = (end: () => void): Codec => ({
      name: 'ends',
      compress: () => (end(), 100),
      decompress: () => PAGE_SIZE,
    });
    fault({ code: 'ECLOSED', op: 'zpool.storePage' }, () =>
      pool.storePage(
        partly(9, 1),
        ends(() => pool.destroy()),
      ),
    );
    expect(ram.stats().usedFrames).toBe(0);
    ram.check();
    fault({ code: 'ECLOSED', op: 'zpool.storePage' }, () =>
      subject.pool(ram).storePage(
        partly(9, 1),
        ends(() => ram.close()),
      ),
    );
  });

  test('pages can be stored until the RAM is full, freed, and stored again', async () => {
    const { ram, pool } = await subject.fresh({ bytes: '2MiB' });
    const counts: number[] = [];
    for (let round = 0; round < 2; round++) {
      const entries: PageEntry[] = [];
      for (;;) {
        const entry = outcome(() =>
          pool.storePage(partly(((entries.length * 997) % 4500) % PAGE_SIZE, entries.length + 1)),
        );
        if (entry === 'ENOMEM') break;
        entries.push(entry as PageEntry);
      }
      ram.check();
      entries.forEach((entry, i) => expectBytes(load(pool, entry), partly(((i * 997) % 4500) % PAGE_SIZE, i + 1)));
      for (const entry of entries) pool.freePage(entry);
      pool.runDeferred();
      counts.push(entries.length);
      expect(pool.totalPages).toBe(row.idleFrames);
    }
    expect(counts[0]).toBe(counts[1]);
    expect(counts[0]).toBeGreaterThan(50);
  });
}
