/** The arrays that a store gets in write: a copy, except for the built-in stores, which keep no reference. */
import { expect, test } from 'vitest';
import { MemoryStore, PAGE_SIZE, Zswap, type BackingStore } from '../../bindings/index.ts';
import { rams } from '../../bindings/ram.ts';
import { buildOptions, builds, expectBytes } from '../harness.ts';
import { pageOf } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';
const PAGES = 40;

/** A MemoryStore whose write records its arrays. */
class Subclass extends MemoryStore {
  readonly given: Uint8Array[] = [];

  override write(slot: number, bytes: Uint8Array): void {
    this.given.push(bytes);
    super.write(slot, bytes);
  }
}

/** The same with a replaced method. */
function patched(): MemoryStore & { given: Uint8Array[] } {
  const store = Object.assign(new MemoryStore(), { given: [] as Uint8Array[] });
  const write = store.write.bind(store);
  store.write = (slot, bytes) => {
    store.given.push(bytes);
    write(slot, bytes);
  };
  return store;
}

async function written(store: BackingStore): Promise<Zswap> {
  const zswap = await Zswap.create({ bytes: '1MiB', ...buildOptions(build), store });
  for (let offset = 0; offset < PAGES; offset++) zswap.store(0, offset, pageOf(offset));
  expect(zswap.writeback(PAGES)).toBe(PAGES);
  return zswap;
}

test.each([
  ['a subclass', () => new Subclass()],
  ['another method', patched],
])('%s of MemoryStore gets arrays that are not changed after the call', async (_, make) => {
  const store = make();
  const zswap = await written(store);
  const { memory } = rams.core('test', zswap.ram);
  expect(store.given.every(({ buffer }) => buffer !== memory.buffer)).toBe(true);
  expect(new Set(store.given.map(({ buffer }) => buffer)).size).toBe(PAGES);
  await zswap.close();
});

/** Replaces a method in ways that only show when it is called, or only from the second time on. */
const HIDDEN: Record<string, (store: MemoryStore, given: Uint8Array[]) => void> = {
  'a getter that gives the own method first': (store, given) => {
    const own = store.write;
    let asked = 0;
    const hostile = (slot: number, bytes: Uint8Array): void => {
      given.push(bytes);
      own.call(store, slot, bytes);
    };
    Object.defineProperty(store, 'write', { get: () => (asked++ % 2 === 0 ? own : hostile) });
  },
  'a prototype that is a Proxy': (store, given) => {
    let asked = 0;
    const hostile = function (this: MemoryStore, slot: number, bytes: Uint8Array): void {
      given.push(bytes);
      MemoryStore.prototype.write.call(this, slot, bytes);
    };
    const get = (target: object, key: string | symbol, receiver: unknown): unknown =>
      key === 'write' && asked++ % 2 === 1 ? hostile : Reflect.get(target, key, receiver);
    Object.setPrototypeOf(store, new Proxy(MemoryStore.prototype, { get }));
  },
};

test.each(Object.entries(HIDDEN))('%s gets no part of the RAM', async (_, hide) => {
  const given: Uint8Array[] = [];
  const store = new MemoryStore();
  const zswap = await Zswap.create({ bytes: '1MiB', ...buildOptions(build), store });
  hide(store, given);
  for (let offset = 0; offset < PAGES; offset++) zswap.store(0, offset, pageOf(offset));
  expect(zswap.writeback(PAGES)).toBe(PAGES);
  const { memory } = rams.core('test', zswap.ram);
  expect(given.every(({ buffer }) => buffer !== memory.buffer)).toBe(true);
  zswap.ram.check();
  await zswap.close();
});

test('a method of the class that was replaced before the store was made gets no part of the RAM', async () => {
  const given: Uint8Array[] = [];
  const { write } = MemoryStore.prototype;
  MemoryStore.prototype.write = function (slot, bytes) {
    given.push(bytes);
    write.call(this, slot, bytes);
  };
  try {
    const zswap = await written(new MemoryStore());
    const { memory } = rams.core('test', zswap.ram);
    expect(given).toHaveLength(PAGES);
    expect(given.every(({ buffer }) => buffer !== memory.buffer)).toBe(true);
    await zswap.close();
  } finally {
    MemoryStore.prototype.write = write;
  }
});

test('a getter of the store is not asked before the call, and what it throws is a failed write', async () => {
  const store = new MemoryStore();
  const zswap = await Zswap.create({ bytes: '1MiB', ...buildOptions(build), store });
  for (let offset = 0; offset < PAGES; offset++) zswap.store(0, offset, pageOf(offset));
  Object.defineProperty(store, 'write', {
    get: () => {
      throw new Error('no');
    },
  });
  expect(() => zswap.writeback(1)).toThrow(expect.objectContaining({ code: 'EIO' }));
  expect(zswap.stats().writebackFail).toBe(1);
  zswap.ram.check();
  await zswap.close();
});

test('pages written to a MemoryStore can be read', async () => {
  const zswap = await written(new MemoryStore());
  const into = new Uint8Array(PAGE_SIZE);
  for (let offset = 0; offset < PAGES; offset++) {
    zswap.load(0, offset, into);
    expectBytes(into, pageOf(offset), `page ${offset}`);
  }
  expect(zswap.stats().backingPages).toBe(PAGES);
  await zswap.close();
});
