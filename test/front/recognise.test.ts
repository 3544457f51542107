/** How a restored front end recognises its backing store: one slot with the right header is enough. */
import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, Ram, Ramzswap, SwapSpace, Zswap, type BackingStore } from '../../bindings/index.ts';
import { expectSameBytes } from '../bytes.ts';
import { builds, buildOptions, expectBytes, rejected } from '../harness.ts';
import { RecordingStore, copyOfStore, pageOf, rawPage, withPromises } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';
/** The number of pages of a front end. All of them are in the store, and the slots of all are read. */
const PAGES = 12;

interface Subject {
  store: RecordingStore;
  image: Uint8Array;
  /** Writes other pages, and writes them back to the store. */
  goOn(pages: readonly number[]): void;
}

interface Opened {
  read(index: number, into: Uint8Array): Promise<boolean>;
  close(): Promise<void>;
}

interface Kind {
  op: string;
  make(): Promise<Subject>;
  open(ram: Ram, store: BackingStore): Promise<Opened>;
}

const nameIn = (ram: Ram): string => ram.fronts()[0]?.name ?? '';

const page = (index: number, round = 0): Uint8Array =>
  index % 3 === 0 ? rawPage(index + 100 * round) : pageOf(index + 100 * round);

async function ofZswap(ram: Ram, zswap: Zswap, store: RecordingStore): Promise<Subject> {
  for (let index = 0; index < PAGES; index++) zswap.store(0, index, page(index));
  expect(zswap.writeback(PAGES)).toBe(PAGES);
  return {
    store,
    image: ram.snapshot(),
    goOn: (pages) => {
      for (const index of pages) zswap.store(0, index, page(index, 1));
      expect(zswap.writeback(pages.length)).toBe(pages.length);
    },
  };
}

const KINDS: Record<string, Kind> = {
  zswap: {
    op: 'Zswap.open',
    make: async () => {
      const [ram, store] = [await Ram.create({ bytes: '1MiB', ...buildOptions(build) }), new RecordingStore(PAGES)];
      return ofZswap(ram, await Zswap.create({ ram, store }), store);
    },
    open: async (ram, store) => {
      const zswap = await Zswap.open(ram, nameIn(ram), { store });
      return { read: (index, into) => zswap.loadAsync(0, index, into), close: () => zswap.close() };
    },
  },
  'a swap space': {
    op: 'SwapSpace.open',
    make: async () => {
      const [ram, store] = [await Ram.create({ bytes: '1MiB', ...buildOptions(build) }), new RecordingStore(PAGES)];
      const { zswap } = await SwapSpace.create({ ram, store });
      return ofZswap(ram, zswap, store);
    },
    open: async (ram, store) => {
      const space = await SwapSpace.open(ram, nameIn(ram), { store });
      return { read: (index, into) => space.pageInAsync(index, into), close: () => space.close() };
    },
  },
  ramzswap: {
    op: 'Ramzswap.open',
    make: async () => {
      const [ram, store] = [await Ram.create({ bytes: '1MiB', ...buildOptions(build) }), new RecordingStore(PAGES)];
      const device = await Ramzswap.create({ ram, disksize: PAGES * PAGE_SIZE, backing: store });
      for (let index = 0; index < PAGES; index++) device.writePage(index, page(index));
      device.writeback({ pages: [[0, PAGES - 1]] });
      expect(store.held.size).toBe(PAGES);
      return {
        store,
        image: ram.snapshot(),
        goOn: (pages) => {
          for (const index of pages) device.writePage(index, page(index, 1));
          device.writeback({ pages: [[0, PAGES - 1]] });
        },
      };
    },
    open: async (ram, store) => {
      const device = await Ramzswap.open(ram, nameIn(ram), { backing: store });
      return {
        read: (index, into) => device.readPageAsync(index, into).then(() => true),
        close: () => device.close(),
      };
    },
  },
};

/** The bytes of a slot. */
const held = (store: RecordingStore, slot: number): Uint8Array => store.held.get(slot) as Uint8Array;

function flip(bytes: Uint8Array, at: number): void {
  bytes[at] = (bytes[at] as number) ^ 1;
}

/** Ways in which a slot can be wrong. */
const DAMAGE: Record<string, (store: RecordingStore, slot: number) => void> = {
  'lost a slot': (store, slot) => void store.held.delete(slot),
  'has zeros in a slot': (store, slot) => void held(store, slot).fill(0),
  'has half of a header': (store, slot) => void store.held.set(slot, held(store, slot).slice(0, 16)),
  'has another generation in a slot': (store, slot) => flip(held(store, slot), 16),
  'has a slot of another front end': (store, slot) => flip(held(store, slot), 20),
  'has a slot of another number': (store, slot) => flip(held(store, slot), 12),
};

/** The pages that an opened front end gives unchanged; all others must be EIO. */
async function given(opened: Opened): Promise<number[]> {
  const whole: number[] = [];
  for (let index = 0; index < PAGES; index++) {
    const into = new Uint8Array(PAGE_SIZE);
    try {
      expect(await opened.read(index, into)).toBe(true);
      expectBytes(into, page(index), `page ${index}`);
      whole.push(index);
    } catch (error) {
      expect(error).toMatchObject({ code: 'EIO' });
    }
  }
  return whole;
}

describe.each(Object.entries(KINDS))('%s', (_, kind) => {
  const restore = (image: Uint8Array): Promise<Ram> => Ram.restore(image, buildOptions(build));

  async function expectRefused(subject: Subject, store: BackingStore): Promise<Error> {
    const ram = await restore(subject.image);
    const error = await rejected({ code: 'EINVAL', op: kind.op }, kind.open(ram, store));
    expect(error.message).toMatch(/not the one/);
    expectSameBytes(ram.snapshot(), subject.image);
    // The front end is still there, and the right store opens it.
    const opened = await kind.open(ram, copyOfStore(subject.store));
    expect(await given(opened)).toHaveLength(PAGES);
    await opened.close();
    return error;
  }

  test.each(Object.entries(DAMAGE))(
    'a store that %s is accepted; a store without one good slot is refused',
    async (_, damage) => {
      const subject = await kind.make();
      for (const slot of [0, 5, PAGES - 1]) {
        const store = copyOfStore(subject.store);
        damage(store, slot);
        const opened = await kind.open(await restore(subject.image), slot === 5 ? withPromises(store, PAGES) : store);
        expect(await given(opened)).toHaveLength(PAGES - 1);
        await opened.close();
      }
      const [one, none] = [copyOfStore(subject.store), copyOfStore(subject.store)];
      for (let slot = 0; slot < PAGES; slot++) {
        if (slot !== 7) damage(one, slot);
        damage(none, slot);
      }
      const opened = await kind.open(await restore(subject.image), one);
      expect(await given(opened)).toHaveLength(1);
      await opened.close();
      await expectRefused(subject, none);
    },
  );

  test('a slot with damaged data still identifies its store', async () => {
    const subject = await kind.make();
    const store = copyOfStore(subject.store);
    for (const bytes of store.held.values()) flip(bytes, 40);
    const opened = await kind.open(await restore(subject.image), store);
    expect(await given(opened)).toEqual([]);
    await opened.close();
  });

  test('a store that fails in one read is accepted; one that fails in all is refused, with the first error as the cause', async () => {
    const subject = await kind.make();
    const failing = (slots: (slot: number) => boolean): BackingStore & { asked: number } => {
      const store = copyOfStore(subject.store);
      return Object.assign(withPromises(store, PAGES), {
        asked: 0,
        async read(this: { asked: number }, slot: number, into: Uint8Array) {
          this.asked += 1;
          if (slots(slot)) throw new Error(`slot ${slot} is bad`);
          return store.read(slot, into);
        },
      });
    };
    const opened = await kind.open(
      await restore(subject.image),
      failing((slot) => slot !== 3),
    );
    expect(await given(opened)).toHaveLength(1);
    await opened.close();
    const all = failing(() => true);
    const error = await expectRefused(subject, all);
    expect(String(error.cause)).toMatch(/slot \d+ is bad/);
    expect(all.asked).toBe(PAGES);
  });

  test('a store that was used after the image is accepted while one slot is the same; changed pages are EIO', async () => {
    const subject = await kind.make();
    const first = copyOfStore(subject.store);
    subject.goOn([0, 1, 2, 3, 4, 5]);
    const opened = await kind.open(await restore(subject.image), copyOfStore(subject.store));
    const whole = await given(opened);
    expect(whole.length).toBeGreaterThanOrEqual(6);
    expect(whole.length).toBeLessThan(PAGES);
    await opened.close();
    subject.goOn(Array.from({ length: PAGES }, (_, index) => index));
    await expectRefused({ ...subject, store: first }, copyOfStore(subject.store));
  });
});
