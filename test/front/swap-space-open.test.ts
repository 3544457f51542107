/** SwapSpace.open: a swap area in a restored RAM can be used again. */
import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, Ram, Ramzswap, SwapSpace, Zswap, type ZswapOptions } from '../../bindings/index.ts';
import { expectSameBytes } from '../bytes.ts';
import { builds, buildOptions, expectBytes, rejected } from '../harness.ts';
import { Trimmer } from './swap-machine.ts';
import { RecordingStore, copyOfStore, pageOf, rawPage } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';
const PAGES = 100;
const OP = 'SwapSpace.open';

/** Every third page does not compress, and goes to the store when zswap refuses it. */
const page = (slot: number): Uint8Array => (slot % 3 === 0 ? rawPage(slot) : pageOf(slot));

async function make(options: ZswapOptions = {}): Promise<{ ram: Ram; space: SwapSpace; store: RecordingStore }> {
  const [ram, store] = [await Ram.create({ bytes: '1MiB', ...buildOptions(build) }), new RecordingStore(200)];
  return { ram, store, space: await SwapSpace.create({ ram, store, incompressible: 'refuse', ...options }) };
}

function expectAll(space: SwapSpace): void {
  const into = new Uint8Array(PAGE_SIZE);
  for (let slot = 0; slot < PAGES; slot++) {
    expect(space.pageIn(slot, into)).toBe(true);
    expectBytes(into, page(slot), `slot ${slot}`);
  }
}

const restored = (ram: Ram): Promise<Ram> => Ram.restore(ram.snapshot(), buildOptions(build));

describe('SwapSpace.open', () => {
  test('gives all pages, takes the codec, and pages that zswap refuses go to the store', async () => {
    const codec = new Trimmer();
    const { ram, space, store } = await make({ codec });
    for (let slot = 0; slot < PAGES; slot++) space.pageOut(slot, page(slot));
    const refused = space.stats().rejectCompressPoor;
    expect([refused > 0, store.held.size > 0]).toEqual([true, true]);
    const back = await restored(ram);
    expect(back.fronts()).toEqual([{ name: space.zswap.name, kind: 'zswap' }]);
    const options = { store: copyOfStore(store), codecs: [codec] };
    const opened = await SwapSpace.open(back, space.zswap.name, options);
    expect(opened).toBeInstanceOf(SwapSpace);
    expect(opened.stats()).toEqual(space.stats());
    expectAll(opened);
    for (let slot = 0; slot < PAGES; slot += 3) opened.pageOut(slot, page(slot));
    await opened.pageOutAsync(3, page(3));
    expect(opened.stats().rejectCompressPoor).toBeGreaterThan(refused);
    expectAll(opened);
    expect([opened.free(3), await opened.freeAsync(3)]).toEqual([true, false]);
    await rejected({ code: 'EBUSY', op: OP }, SwapSpace.open(back, space.zswap.name, options));
    opened.zswap.check();
    await opened.close();
    expect(back.pools()).toEqual([]);
    await space.close();
  });

  test('makes a store in memory when no page is in the store; otherwise it needs the old store', async () => {
    const { ram, space } = await make();
    space.pageOut(1, pageOf(1));
    const empty = await restored(ram);
    const opened = await SwapSpace.open(empty, space.zswap.name);
    for (let slot = 0; slot < PAGES; slot++) opened.pageOut(slot, page(slot));
    expect(opened.stats().backingPages).toBeGreaterThan(0);
    expectAll(opened);
    await opened.close();
    space.pageOut(0, rawPage(0));
    const needed = await restored(ram);
    const error = await rejected({ code: 'EINVAL', op: OP }, SwapSpace.open(needed, space.zswap.name));
    expect(error.message).toMatch(/1 pages are in a backing store: give it as store/);
    await rejected(
      { code: 'EINVAL', op: OP },
      SwapSpace.open(needed, space.zswap.name, { store: new RecordingStore(200) }),
    );
    expectSameBytes(needed.snapshot(), ram.snapshot());
  });

  test('opens a zswap that was made with a store, and Zswap.open opens a swap space; it opens nothing else', async () => {
    const ram = await Ram.create({ bytes: '2MiB', ...buildOptions(build) });
    const plain = await Zswap.create({ ram });
    const stored = await Zswap.create({ ram, store: new RecordingStore(10) });
    const device = await Ramzswap.create({ ram, disksize: '64KiB' });
    stored.store(0, 7, pageOf(7));
    const back = await restored(ram);
    const [, , disk] = back.fronts();
    const error = await rejected({ code: 'EINVAL', op: OP }, SwapSpace.open(back, plain.name));
    expect(error.message).toMatch(/had no backing store/);
    await rejected({ code: 'EINVAL', op: OP }, SwapSpace.open(back, disk?.name ?? ''));
    await rejected({ code: 'ENOENT', op: OP }, SwapSpace.open(back, 'nobody'));
    await rejected({ code: 'EINVAL', op: OP }, SwapSpace.open({} as Ram, stored.name));
    await rejected({ code: 'EINVAL', op: OP }, SwapSpace.open(back, stored.name, { backing: 1 } as never));
    const space = await SwapSpace.open(back, stored.name);
    const into = new Uint8Array(PAGE_SIZE);
    expect(space.pageIn(7, into)).toBe(true);
    expectBytes(into, pageOf(7), 'page 7');
    const again = await restored(back);
    const zswap = await Zswap.open(again, stored.name);
    expect(zswap.load(0, 7, into)).toBe(true);
    for (const one of [zswap, space, plain, stored, device]) await one.close();
  });
});
