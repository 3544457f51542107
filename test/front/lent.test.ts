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
