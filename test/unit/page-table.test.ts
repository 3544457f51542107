/** Page tables: pages under keys, dense and sparse, compared with a plain Map. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OUT_RULE, RULE_INDEX } from '../../assembly/abi.ts';
import {
  ALLOCATORS,
  PAGE_SIZE,
  Ram,
  type Codec,
  type Handle,
  type PageTable,
  type PageTableKeys,
  type Zpool,
} from '../../bindings/index.ts';
import {
  allocators,
  builds,
  createPool,
  createRam,
  expectBytes,
  fault,
  noise,
  outcome,
  sameBytes,
} from '../harness.ts';
import { frameEntryOf, rawOf } from '../raw.ts';
import { SEED, budgeted } from '../seed.ts';

const SHAPES: readonly PageTableKeys[] = ['dense', 'sparse'];

/** A page that compresses to a few hundred bytes; every fourth is same-filled, every ninth incompressible. */
function pageOf(seed: number): Uint8Array {
  if (seed % 4 === 0) return new Uint8Array(PAGE_SIZE).fill(seed);
  if (seed % 9 === 0) return noise(PAGE_SIZE, seed);
  const page = new Uint8Array(PAGE_SIZE);
  page.set(noise(100 + ((seed * 37) % 1500), seed), seed % 1000);
  return page;
}

/** A same-filled page: it takes no object. */
function filled(seed: number): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  new Uint32Array(page.buffer).fill(seed >>> 0);
  return page;
}

function loaded(table: PageTable, key: number): Uint8Array | undefined {
  const into = new Uint8Array(PAGE_SIZE);
  return table.get(key, into) ? into : undefined;
}

function expectSame(table: PageTable, expected: Map<number, Uint8Array>): void {
  expect(table.size).toBe(expected.size);
  for (const [key, page] of expected) expectBytes(loaded(table, key) as Uint8Array, page, `page ${key}`);
  const keys = [...table.keys()];
  expect(new Set(keys).size).toBe(keys.length);
  expect(keys.sort((a, b) => a - b)).toEqual([...expected.keys()].sort((a, b) => a - b));
}

type Step =
  | { kind: 'put' | 'get' | 'delete' | 'freeBehind'; key: number; seed: number }
  | { kind: 'fail'; after: number }
  | { kind: 'snapshot' | 'compact' | 'clear' };

/** Keys for full leaves, high trees and long hashes: near 0, near the limits of the levels, and at the end. */
function keys(shape: PageTableKeys): fc.Arbitrary<number> {
  const near = [0, 500, 511, 512, 1023, 524_287, 524_288, 2 ** 29 - 1, 2 ** 29, 2 ** 32 - 1];
  const dense = fc.oneof(
    { weight: 4, arbitrary: fc.nat({ max: 40 }) },
    { weight: 1, arbitrary: fc.constantFrom(...near) },
  );
  if (shape === 'dense') return dense;
  return fc.oneof(
    { weight: 3, arbitrary: dense },
    { weight: 1, arbitrary: fc.constantFrom(2 ** 32, 2 ** 32 + 1, 5 * 2 ** 32, Number.MAX_SAFE_INTEGER) },
  );
}

function steps(shape: PageTableKeys): fc.Arbitrary<Step[]> {
  const seed = fc.nat({ max: 1000 });
  const at = (kind: 'put' | 'get' | 'delete' | 'freeBehind'): fc.Arbitrary<Step> =>
    fc.record({ kind: fc.constant(kind), key: keys(shape), seed });
  return fc.array(
    fc.oneof(
      { weight: 10, arbitrary: at('put') },
      { weight: 4, arbitrary: at('get') },
      { weight: 6, arbitrary: at('delete') },
      { weight: 1, arbitrary: at('freeBehind') },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('fail' as const), after: fc.nat({ max: 5 }) }) },
      { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: 'snapshot' }, { kind: 'compact' }, { kind: 'clear' }) },
    ),
    { minLength: 1, maxLength: 120, size: 'max' },
  );
}

/**
 * Frees the object of one of the pages by its handle, as an evict callback might. @returns the key of its page, if
 * there was one
 */
function freeOne(pool: Zpool, table: PageTable, expected: Map<number, Uint8Array>): void {
  const handles: number[] = [];
  pool.walk(({ objects }) => handles.push(...objects.map(({ handle }) => handle)));
  if (handles.length === 0) return;
  pool.free(handles[0] as never);
  const gone = [...expected.keys()].filter((key) => loaded(table, key) === undefined);
  expect(gone.length).toBe(1);
  gone.forEach((key) => expected.delete(key));
}

describe.each(builds)('page tables, %s', (build) => {
  describe.each(
    allocators
      .filter(({ title }) => /6\.1|zsmalloc chain 8|z3fold|xvmalloc|xcfmalloc/.test(title))
      .map((row) => [row.title, row] as const),
  )('%s', (_, row) => {
    test.each(SHAPES)('random calls compared with a Map, %s', async (shape) => {
      await fc.assert(
        fc.asyncProperty(steps(shape), async (list) => {
          let ram = await createRam(build, { bytes: '1MiB' });
          let pool = createPool(ram, row, { name: 'pages' });
          let table = pool.pageTable(shape);
          const expected = new Map<number, Uint8Array>();
          for (const step of list) {
            switch (step.kind) {
              case 'put': {
                const page = pageOf(step.seed);
                const result = outcome(() => table.put(step.key, page));
                if (result === undefined) expected.set(step.key, page);
                else expect(result).toBe('ENOMEM');
                break;
              }
              case 'get': {
                const page = loaded(table, step.key);
                const wanted = expected.get(step.key);
                expect(page === undefined).toBe(wanted === undefined);
                if (page !== undefined && wanted !== undefined) expectBytes(page, wanted);
                expect(table.has(step.key)).toBe(wanted !== undefined);
                break;
              }
              case 'delete':
                expect(table.delete(step.key)).toBe(expected.delete(step.key));
                break;
              case 'freeBehind':
                freeOne(pool, table, expected);
                break;
              case 'fail':
                ram.failFrames(step.after, 1);
                break;
              case 'compact':
                pool.compact();
                break;
              case 'clear':
                table.clear();
                expected.clear();
                break;
              case 'snapshot': {
                const copy = await Ram.restore(ram.snapshot(), { build: build === 'checked' ? 'checked' : 'release' });
                ram.close();
                ram = copy;
                pool = ram.openZpool('pages');
                table = pool.pageTable();
                expect(table.keysAre).toBe(shape);
                break;
              }
            }
            ram.check();
          }
          ram.failFrames(null);
          expectSame(table, expected);
          table.clear();
          ram.check();
          expect(pool.stats().objects).toBe(0);
          pool.runDeferred();
          expect(pool.totalPages).toBe(row.idleFrames);
          pool.destroy();
          expect(ram.stats().usedFrames).toBe(0);
          ram.close();
        }),
        { numRuns: budgeted(40), seed: SEED },
      );
    });
  });

  test.each(SHAPES)(
    'many keys are added and deleted, %s: every frame comes back, and check() holds meanwhile',
    async (shape) => {
      const ram = await createRam(build, { bytes: '32MiB' });
      const pool = ram.zpool('zbud');
      const table = pool.pageTable(shape);
      const count = 300_000;
      const keyOf = (i: number): number => (shape === 'dense' ? i : (i % 7) * 2 ** 32 + i * 4099);
      for (let i = 0; i < count; i++) {
        table.put(keyOf(i), filled(i));
        if (i % 50_000 === 0) ram.check();
      }
      ram.check();
      expect(table.size).toBe(count);
      const bytes = pool.stats().metadataBytes / count;
      expect(bytes).toBeGreaterThan(8);
      expect(bytes).toBeLessThan(shape === 'dense' ? 8.3 : 34);
      for (let i = 0; i < count; i += 997) expectBytes(loaded(table, keyOf(i)) as Uint8Array, filled(i));
      for (let i = 0; i < count; i += 2) expect(table.delete(keyOf(i))).toBe(true);
      ram.check();
      for (let i = 0; i < count; i += 331) expect(table.has(keyOf(i))).toBe(i % 2 === 1);
      for (let i = 1; i < count; i += 2) {
        table.delete(keyOf(i));
        if (i % 50_001 === 0) ram.check();
      }
      ram.check();
      expect(table.size).toBe(0);
      expect(pool.stats().metadataBytes).toBe(PAGE_SIZE);
    },
  );

  test.each(SHAPES)(
    'failFrames at every n of a put that must grow the table, %s: the old page stays, no frame is lost, the put can be repeated',
    async (shape) => {
      for (let keys = 0; keys < 3; keys++) {
        for (let n = 0; ; n++) {
          const ram = await createRam(build, { bytes: '1MiB' });
          const pool = ram.zpool('zsmalloc');
          const table = pool.pageTable(shape);
          for (let i = 0; i < keys * 208; i++) table.put(i, filled(i));
          const key = keys === 1 ? 2 ** 30 : 0;
          const before = { used: ram.stats().usedFrames, size: table.size };
          ram.failFrames(n, 1);
          const result = outcome(() => table.put(key, pageOf(5)));
          ram.failFrames(null);
          ram.check();
          if (result === undefined) {
            expectBytes(loaded(table, key) as Uint8Array, pageOf(5));
            break;
          }
          expect(result).toBe('ENOMEM');
          expect({ used: ram.stats().usedFrames, size: table.size }).toEqual(before);
          table.put(key, pageOf(5));
          expectBytes(loaded(table, key) as Uint8Array, pageOf(5));
          ram.check();
          ram.close();
        }
      }
    },
  );
});

describe('page tables', () => {
  const table = (shape?: PageTableKeys): { ram: Ram; pool: Zpool; table: PageTable } => {
    const ram = Ram.createSync({ bytes: '1MiB' });
    const pool = ram.zpool('zsmalloc');
    return { ram, pool, table: pool.pageTable(shape) };
  };

  test('a pool has one table: pageTable() gives it again, and EEXIST for the other shape', () => {
    const { pool, table: dense } = table();
    expect(dense.keysAre).toBe('dense');
    expect(pool.pageTable()).toBe(dense);
    expect(pool.pageTable('dense')).toBe(dense);
    fault({ code: 'EEXIST', op: 'zpool.pageTable', says: 'dense' }, () => pool.pageTable('sparse'));
    fault({ code: 'EINVAL', op: 'zpool.pageTable', says: 'keys' }, () => pool.pageTable('radix' as never));
  });

  test.each([
    ['dense', [-1, 0.5, NaN, 2 ** 32, '1', undefined, null]],
    ['sparse', [-1, 0.5, NaN, 2 ** 53, Infinity, '1', undefined, null]],
  ] as const)('bad keys, %s', (shape, bad) => {
    const { table: pages } = table(shape);
    for (const key of bad) {
      for (const [name, call] of Object.entries({
        put: () => pages.put(key as never, new Uint8Array(PAGE_SIZE)),
        get: () => pages.get(key as never, new Uint8Array(PAGE_SIZE)),
        has: () => pages.has(key as never),
        delete: () => pages.delete(key as never),
      }))
        fault({ code: 'EINVAL', op: `pageTable.${name}`, says: 'key' }, call);
    }
    expect(pages.size).toBe(0);
  });

  test('values that are not pages or codecs', () => {
    const { table: pages } = table();
    for (const page of [new Uint8Array(4095), new Uint8Array(4097), 'x', undefined]) {
      fault({ code: 'EINVAL', op: 'pageTable.put', says: 'page' }, () => pages.put(1, page as never));
      fault({ code: 'EINVAL', op: 'pageTable.get', says: 'into' }, () => pages.get(1, page as never));
    }
    fault({ code: 'EINVAL', op: 'pageTable.put', says: 'codec' }, () =>
      pages.put(1, new Uint8Array(PAGE_SIZE), {} as never),
    );
    expect(pages.size).toBe(0);
  });

  test('an absent key leaves the buffer alone', () => {
    const { table: pages } = table();
    const into = new Uint8Array(PAGE_SIZE).fill(9);
    expect(pages.get(3, into)).toBe(false);
    expect(into.every((byte) => byte === 9)).toBe(true);
  });

  test('a mapped page cannot be replaced, deleted or cleared: EBUSY', () => {
    const { ram, pool, table: pages } = table();
    pages.put(1, pageOf(5));
    let handle = 0;
    pool.walk(({ objects }) => objects.forEach((object) => (handle = object.handle)));
    pool.map(handle as never, 'ro');
    const objects = pool.stats().objects;
    fault({ code: 'EBUSY', op: 'pageTable.put' }, () => pages.put(1, pageOf(6)));
    fault({ code: 'EBUSY', op: 'pageTable.put' }, () => pages.put(1, filled(6)));
    fault({ code: 'EBUSY', op: 'pageTable.delete' }, () => pages.delete(1));
    fault({ code: 'EBUSY', op: 'pageTable.clear' }, () => pages.clear());
    ram.check();
    expect([pages.size, pool.stats().objects]).toEqual([1, objects]);
    pool.unmap(handle as never);
    expectBytes(loaded(pages, 1) as Uint8Array, pageOf(5));
    pages.put(1, pageOf(6));
    expect(pool.stats().objects).toBe(1);
  });

  test('codecs of the user follow the same rules', () => {
    const { ram, pool, table: pages } = table('sparse');
    const plain: Codec = {
      name: 'plain',
      compress: (src, dst) => (src[1] === 255 ? 0 : (dst.set(src.subarray(0, 2000)), 2000)),
      decompress: (src, dst) => (dst.fill(0), dst.set(src), PAGE_SIZE),
    };
    const page = new Uint8Array(PAGE_SIZE);
    page.set(noise(1900, 3), 50);
    pages.put(7, page, plain);
    const into = new Uint8Array(PAGE_SIZE);
    expect(pages.get(7, into, plain)).toBe(true);
    expectBytes(into, page);
    pages.put(8, filled(5), plain);
    expect(pages.get(8, into, plain)).toBe(true);
    expectBytes(into, filled(5));
    const thrower: Codec = {
      name: 'thrower',
      compress: () => {
        throw new Error('no');
      },
      decompress: () => 12,
    };
    fault({ code: 'EIO', op: 'pageTable.put' }, () => pages.put(7, page, thrower));
    fault({ code: 'EIO', op: 'pageTable.get' }, () => pages.get(7, into, thrower));
    expect(pages.get(9, into, thrower)).toBe(false);
    ram.check();
    const raw = noise(PAGE_SIZE, 1);
    raw[1] = 255;
    ram.failFrames(0);
    fault({ code: 'ENOMEM', op: 'pageTable.put' }, () => pages.put(2 ** 40, raw, plain));
    ram.failFrames(null);
    expect([pages.size, pool.stats().objects]).toEqual([2, 1]);
  });

  test('a codec that returns a rejected Promise: EIO, and the rejection is handled', async () => {
    const { pool, table: pages } = table();
    const late = {
      name: 'late',
      compress: async () => {
        throw new Error('late');
      },
      decompress: async () => {
        throw new Error('late');
      },
    } as unknown as Codec;
    fault({ code: 'EIO', op: 'pageTable.put', says: 'Promise' }, () => pages.put(1, pageOf(5), late));
    pages.put(1, pageOf(5));
    fault({ code: 'EIO', op: 'pageTable.get', says: 'Promise' }, () => pages.get(1, new Uint8Array(PAGE_SIZE), late));
    await new Promise((done) => setTimeout(done, 5)); // an unhandled rejection would fail the run
    expect(pool.stats().objects).toBe(1);
  });

  test.each(ALLOCATORS)(
    'a handle that was freed without the table and is used again is not taken for the page, %s',
    (allocator) => {
      const ram = Ram.createSync({ bytes: '4GiB' }); // generations wrap around soonest here
      const pool = ram.zpool(allocator);
      const pages = pool.pageTable();
      const live = (): Handle => {
        const found: Handle[] = [];
        pool.walk(({ objects }) => found.push(...objects.map(({ handle }) => handle)));
        expect(found.length).toBe(1);
        return found[0] as Handle;
      };
      const calls: Record<string, () => unknown> = {
        get: () => loaded(pages, 1),
        has: () => pages.has(1),
        delete: () => pages.delete(1),
        put: () => pages.put(1, filled(7)),
        clear: () => undefined,
      };
      for (const [name, call] of Object.entries(calls)) {
        pages.put(1, pageOf(5));
        const handle = live();
        pool.free(handle);
        let rounds = 0;
        for (pages.put(2, pageOf(6)); live() !== handle && rounds < 20_000; rounds++) {
          pages.delete(2);
          pages.put(2, pageOf(6));
        }
        expect(live(), `after ${rounds} rounds`).toBe(handle);
        const result = call();
        if (name === 'get') expect(result).toBeUndefined();
        if (name === 'has') expect(result).toBe(false);
        expectBytes(loaded(pages, 2) as Uint8Array, pageOf(6), name);
        ram.check();
        pages.clear();
        expect([pages.size, pool.stats().objects]).toEqual([0, 0]);
      }
      // The key gets the same handle again: the new page is not taken for the old one.
      pages.put(1, pageOf(5));
      const handle = live();
      pool.free(handle);
      let rounds = 0;
      do {
        if (rounds++ !== 0) pool.freePage(live() as never);
        pages.put(1, pageOf(5));
      } while (live() !== handle && rounds < 20_000);
      expectBytes(loaded(pages, 1) as Uint8Array, pageOf(5));
      ram.close();
    },
  );

  test('every call is ECLOSED after destroy and after close', () => {
    const { ram, pool, table: pages } = table();
    pool.destroy();
    const page = new Uint8Array(PAGE_SIZE);
    for (const [name, call] of Object.entries({
      put: () => pages.put(1, page),
      get: () => pages.get(1, page),
      has: () => pages.has(1),
      delete: () => pages.delete(1),
      clear: () => pages.clear(),
      size: () => pages.size,
      keys: () => [...pages.keys()],
    }))
      fault({ code: 'ECLOSED', op: `pageTable.${name}` }, call);
    const other = ram.zpool('zbud');
    const second = other.pageTable();
    ram.close();
    fault({ code: 'ECLOSED', op: 'pageTable.put' }, () => second.put(1, page));
    fault({ code: 'ECLOSED', op: 'zpool.pageTable' }, () => other.pageTable());
  });

  test('equal histories give equal images, and both copies behave the same', async () => {
    const { ram, table: pages } = table('sparse');
    for (let i = 0; i < 500; i++) pages.put(i * 77_777, pageOf(i * 4));
    const copy = await Ram.restore(ram.snapshot());
    const twin = copy.pools()[0]?.pageTable() as PageTable;
    for (const each of [pages, twin]) {
      for (let i = 0; i < 400; i++) each.delete(i * 77_777);
      for (let i = 0; i < 50; i++) each.put(i, pageOf(4 * i));
    }
    expect(sameBytes(ram.snapshot(), copy.snapshot())).toBe(true);
  });

  test.each(SHAPES)(
    'check() notices a table without a shape, even when the checksum of the header is right, %s',
    async (shape) => {
      const { ram, pool, table: pages } = table(shape);
      pages.put(5, filled(1));
      const raw = await rawOf(ram.snapshot());
      const header = raw.core.exports.zpoolNext(0) >>> 0;
      expect(raw.core.exports.tableKind(header)).toBe(shape === 'dense' ? 1 : 2);
      raw.setWord(header + 176, 0);
      // A forged image can have the right checksum: here it is the checksum of a pool without a table.
      const twin = Ram.createSync({ bytes: '1MiB' });
      twin.zpool('zsmalloc', { name: pool.name });
      const without = await rawOf(twin.snapshot());
      raw.setWord(header + 88, without.word(header + 88));
      expect(raw.check()).toBe(0xffffff8b);
      expect(raw.core.out[OUT_RULE]).toBe(RULE_INDEX);
    },
  );

  test.each(SHAPES)('check() notices every changed word of a table, %s', async (shape) => {
    const { ram, pool, table: pages } = table(shape);
    for (let i = 0; i < 700; i++) pages.put(i * (shape === 'dense' ? 3 : 9973), filled(i + 1));
    expect(pool.stats().objects).toBe(0);
    const raw = await rawOf(ram.snapshot());
    expect(raw.check()).toBe(0);
    const INDEX = 11;
    const missed: string[] = [];
    const missedKeys: string[] = [];
    let keyChanges = 0;
    const change = (address: number, what: string, isKey = false): void => {
      const before = raw.word(address);
      for (const other of [before ^ 4, before ^ 0x400, 0, 0xffffffff]) {
        if (other >>> 0 === before) continue;
        raw.setWord(address, other >>> 0);
        if (isKey) keyChanges += 1;
        if (raw.check() === 0) (isKey ? missedKeys : missed).push(`${what} ${before} -> ${other >>> 0}`);
      }
      raw.setWord(address, before);
    };
    let frames = 0;
    for (let frame = 0; frame < raw.frames; frame++) {
      const entry = frameEntryOf(frame);
      const owner = raw.word(entry);
      if ((owner & 0xfff) === 4) for (let at = 176; at < 204; at += 4) change((owner & ~0xfff) + at, `root +${at}`);
      if ((owner & 0xfff) !== INDEX) continue;
      frames += 1;
      for (let at = 8; at < 32; at += 4) change(entry + at, `entry of ${frame} +${at}`);
      // A node or directory holds frame numbers; a leaf can be told by its count of used cells.
      const isLeaf = (raw.word(entry + 8) & 0xffff) !== 0 && (shape === 'sparse' || raw.word(frame * 4096 + 4) < 3);
      for (let at = 0; at < 4096; at += 4) {
        const address = frame * 4096 + at;
        const cell = shape === 'dense' ? address - (at & 7) : address - (at & 15) + 8;
        const used = isLeaf && raw.word(cell + 4) !== 0;
        // The value of a used cell can be anything.
        if (used && address === cell) continue;
        change(address, `frame ${frame} +${at}`, used && address < cell);
      }
    }
    expect(frames).toBeGreaterThan(4);
    expect(missed).toEqual([]);
    // A changed key may belong in the same place by its hash, but rarely.
    expect(missedKeys.length).toBeLessThan(keyChanges / 10 + 1);
    expect(raw.check()).toBe(0);
  });
});
