/** Zswap over asynchronous stores: other calls while a call is under way, at every turn of the promises. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PAGE_SIZE, Ram, SwapSpace, type BackingStore, type SwapSpaceOptions } from '../../bindings/index.ts';
import { buildOptions, builds, expectBytes, noise, rejected } from '../harness.ts';
import { ChaosStore, type ChaosOptions } from './chaos-store.ts';
import { Clock, TIMEOUT, quiet } from './clock.ts';
import { codeOf, filledPage, pageOf } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';
const clock = new Clock();
beforeEach(() => void clock.install());
afterEach(() => clock.restore());

interface Subject {
  space: SwapSpace;
  store: ChaosStore;
}

async function create(options: SwapSpaceOptions = {}, chaos: ChaosOptions = {}): Promise<Subject> {
  const store = new ChaosStore({ maxInFlight: options.maxInFlight ?? 32, ...chaos });
  const own = options.ram === undefined ? { bytes: '1MiB', ...buildOptions(build) } : {};
  return {
    store,
    space: await SwapSpace.create({ ...own, store: store as BackingStore, timeout: TIMEOUT, ...options }),
  };
}

/** Waits this number of turns of the promises. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await undefined;
}

/** Ends all calls under way, in a random order. */
async function settleAll(store: ChaosStore): Promise<void> {
  await quiet();
  while (store.settle()) await quiet();
}

async function loaded({ space, store }: Subject, slot: number): Promise<Uint8Array | undefined> {
  const into = new Uint8Array(PAGE_SIZE);
  const found = space.pageInAsync(slot, into);
  await settleAll(store);
  return (await found) ? into : undefined;
}

async function expectSlot(subject: Subject, slot: number, page: Uint8Array | undefined): Promise<void> {
  const now = await loaded(subject, slot);
  if (page === undefined) expect(now).toBeUndefined();
  else expectBytes(now as Uint8Array, page, `slot ${slot}`);
}

/** Requires that no call is under way, and that store and space agree on the slots. */
async function expectIdle({ space, store }: Subject): Promise<void> {
  await settleAll(store);
  store.verify();
  space.zswap.check();
  const { inFlight, backingPages, backingSlots } = space.stats();
  expect({ inFlight, slots: backingSlots, owned: store.owned.size }).toEqual({
    inFlight: 0,
    slots: backingPages,
    owned: backingPages,
  });
}

/** The promise's value, or the code of its error. */
function settledAs(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => (error as { code: string }).code);
}

const A = pageOf(1);
const B = pageOf(2);
const FILL = filledPage(7);
/** A zswap that refuses all pages, so that they go to the store at once. */
const REFUSING: SwapSpaceOptions = { enabled: false };

/**
 * Changes of slot 1 while another call is under way, and the content of the slot afterwards; 'A' for the old content.
 */
const CHANGES: Record<string, (space: SwapSpace) => Uint8Array | undefined | 'A'> = {
  overwrite: (space) => (expect(space.zswap.store(0, 1, B)).toBe(true), B),
  'overwrite by a same-filled page': (space) => (expect(space.zswap.store(0, 1, FILL)).toBe(true), FILL),
  'overwrite that is refused': (space) => {
    space.zswap.enabled = false;
    expect(space.zswap.store(0, 1, B)).toBe(false);
    space.zswap.enabled = true;
    return undefined;
  },
  'overwrite by a page that goes to the store': (space) => {
    space.zswap.enabled = false;
    space.pageOutAsync(1, B).catch(() => expect.unreachable());
    space.zswap.enabled = true;
    return B;
  },
  invalidate: (space) => (expect(space.free(1)).toBe(true), undefined),
  'invalidate, and a new page': (space) => {
    space.free(1);
    space.pageOut(1, B);
    return B;
  },
  'invalidate of the area': (space) => (expect(space.zswap.invalidateArea(0)).toBe(1), undefined),
  load: (space) => {
    const into = new Uint8Array(PAGE_SIZE);
    // A page that is already in the store cannot be loaded synchronously.
    if (codeOf(() => expect(space.pageIn(1, into)).toBe(true)) === undefined) expectBytes(into, A);
    return 'A';
  },
  'exclusive load': (space) => {
    const into = new Uint8Array(PAGE_SIZE);
    space.zswap.exclusiveLoads = true;
    const code = codeOf(() => space.pageIn(1, into));
    space.zswap.exclusiveLoads = false;
    if (code !== undefined) return 'A';
    expectBytes(into, A);
    return undefined;
  },
  'another codec': (space) => {
    space.zswap.codec = 'lz4hc';
    return 'A';
  },
  'another allocator': (space) => {
    space.zswap.allocator = 'zbud';
    return 'A';
  },
};

/** The ways in which a write ends. */
const ENDS: Record<string, (store: ChaosStore) => Promise<void>> = {
  done: async (store) => store.settleOf('write'),
  fails: async (store) => store.settleOf('write'),
  'times out, and is done': async (store) => {
    store.giveUp();
    clock.pass(TIMEOUT - 1);
    await turns(3);
    store.settleOf('write');
  },
  'times out': async (store) => {
    store.giveUp();
    clock.pass(TIMEOUT - 1);
  },
};

/** The time of the change: turns after the start of the write, or after its end. */
const MOMENTS = [
  ...Array.from({ length: 5 }, (_, n) => ({ before: n })),
  ...Array.from({ length: 12 }, (_, n) => ({ after: n })),
];

describe.each(['entry', 'page'] as const)('while an entry is written, victims by %s', (victims) => {
  for (const [what, change] of Object.entries(CHANGES)) {
    test.each(Object.keys(ENDS))(`${what}; the write %s`, async (end) => {
      for (const moment of MOMENTS) {
        const subject = await create({ victims });
        const { space, store } = subject;
        space.pageOut(1, A);
        if (end === 'fails') store.plan('write', 'reject');
        const moved = settledAs(space.zswap.writebackAsync(1));
        clock.pass(1); // calls that begin from now on time out later
        let expected: Uint8Array | undefined | 'A' = 'A';
        if ('before' in moment) {
          await turns(moment.before);
          expected = change(space);
        }
        space.zswap.check();
        await (ENDS[end] as (store: ChaosStore) => Promise<void>)(store);
        if ('after' in moment) {
          await turns(moment.after);
          expected = change(space);
        }
        space.zswap.check();
        await settleAll(store);
        expect([0, 1, 'EIO']).toContain(await moved);
        await expectSlot(subject, 1, expected === 'A' ? A : expected);
        await expectIdle(subject);
        await Promise.all([space.close(), settleAll(store)]);
      }
    });
  }
});

describe('while a page goes to the store at once', () => {
  for (const [what, change] of Object.entries(CHANGES)) {
    if (what.startsWith('another')) continue;
    test.each(['in flight', 'waiting for a call', 'waiting for a slot'])(`${what}, %s`, async (where) => {
      for (const moment of MOMENTS) {
        const waits = where !== 'in flight';
        const subject = await create(
          { ...REFUSING, maxInFlight: where === 'waiting for a call' ? 1 : 2 },
          { slots: where === 'waiting for a slot' ? 2 : 8 },
        );
        const { space, store } = subject;
        if (waits) {
          const others = [
            space.pageOutAsync(8, pageOf(8)),
            ...(where === 'waiting for a slot' ? [space.pageOutAsync(9, pageOf(9))] : []),
          ];
          if (where === 'waiting for a slot') {
            await settleAll(store);
            await Promise.all(others);
            space.free(8);
            space.free(9);
          }
        }
        const call = settledAs(space.pageOutAsync(1, A));
        space.zswap.enabled = true;
        const done = async (): Promise<void> => {
          if (waits) store.settle(0);
          else store.settleOf('write');
        };
        if ('after' in moment) await done();
        await turns('after' in moment ? moment.after : moment.before);
        const isArea = what === 'invalidate of the area';
        const expected = isArea ? (space.zswap.invalidateArea(0), undefined) : change(space);
        space.zswap.check();
        if ('before' in moment) await done();
        await settleAll(store);
        expect(await call).toBe(undefined);
        await expectSlot(subject, 1, expected === 'A' ? A : expected);
        await expectIdle(subject);
        await Promise.all([space.close(), settleAll(store)]);
      }
    });
  }

  test('of two pages for one slot the later one counts, however the writes end', async () => {
    for (const first of [0, 1]) {
      for (const failing of [undefined, 0, 1]) {
        const subject = await create(REFUSING);
        const { space, store } = subject;
        if (failing !== undefined) store.plan('write', 'undone', failing);
        const calls = [space.pageOutAsync(1, A), space.pageOutAsync(1, B)].map(settledAs);
        await quiet();
        const into = new Uint8Array(PAGE_SIZE);
        expect(space.pageIn(1, into)).toBe(true);
        expectBytes(into, B);
        store.settle(first);
        await settleAll(store);
        expect(await calls[1]).toBe(failing === 1 ? 'EIO' : undefined);
        await expectSlot(subject, 1, failing === 1 ? undefined : B);
        await expectIdle(subject);
      }
    }
  });

  test('a page that waits for the store is read from a copy, not from the caller’s array', async () => {
    const subject = await create(REFUSING);
    const page = A.slice();
    const call = subject.space.pageOutAsync(1, page);
    page.fill(0);
    await expectSlot(subject, 1, A);
    await call;
    await expectSlot(subject, 1, A);
  });

  test('a page that waits is copied also when slice() of the array makes no copy, as for a Buffer', async () => {
    class BufferLike extends Uint8Array {
      override slice(): Uint8Array<ArrayBuffer> {
        return this.subarray() as Uint8Array<ArrayBuffer>;
      }
    }
    const subject = await create({ ...REFUSING, maxInFlight: 1 });
    const buffers = [new BufferLike(A), new BufferLike(B)];
    const calls = buffers.map((page, slot) => subject.space.pageOutAsync(slot, page));
    for (const page of buffers) page.fill(0);
    const into = new Uint8Array(PAGE_SIZE);
    expect(subject.space.pageIn(1, into)).toBe(true);
    expectBytes(into, B);
    await settleAll(subject.store);
    await Promise.all(calls);
    await expectSlot(subject, 0, A);
    await expectSlot(subject, 1, B);
    await expectIdle(subject);
  });
});

describe('while a page is read', () => {
  /** Slot 1 is in the store, and a read of it is under way. */
  async function reading(
    options: SwapSpaceOptions = {},
  ): Promise<Subject & { into: Uint8Array; found: Promise<unknown> }> {
    const subject = await create({ ...REFUSING, ...options });
    const written = subject.space.pageOutAsync(1, A);
    await settleAll(subject.store);
    await written;
    subject.space.zswap.enabled = true;
    const into = noise(PAGE_SIZE, 5);
    return { ...subject, into, found: settledAs(subject.space.pageInAsync(1, into)) };
  }

  for (const [what, change] of Object.entries(CHANGES)) {
    test(what, async () => {
      for (const moment of MOMENTS) {
        const subject = await reading();
        const { space, store, into, found } = subject;
        if ('after' in moment) store.settleOf('read');
        await turns('after' in moment ? moment.after : moment.before);
        const isArea = what === 'invalidate of the area';
        const now = isArea ? (space.zswap.invalidateArea(0), undefined) : change(space);
        const expected = now === 'A' ? A : now;
        await settleAll(store);
        const answer = await found;
        // A load that had the page before the change gives the old content.
        if ('after' in moment && answer === true)
          expect([A, expected].some((page) => page !== undefined && into.every((byte, i) => byte === page[i]))).toBe(
            true,
          );
        else if (expected === undefined) expect(answer).toBe(false);
        else expectBytes(into, expected, 'what was read');
        if (answer === false) expectBytes(into, noise(PAGE_SIZE, 5), 'what was not read');
        await expectSlot(subject, 1, expected);
        await expectIdle(subject);
      }
    });
  }

  test('its slot gets another page', async () => {
    const subject = await reading();
    const { space, store, into, found } = subject;
    space.free(1);
    store.settleOf('free');
    await quiet();
    space.zswap.enabled = false;
    const other = space.pageOutAsync(2, B);
    await quiet();
    store.settleOf('write');
    await other;
    store.settleOf('read');
    expect(await found).toBe(false);
    expectBytes(into, noise(PAGE_SIZE, 5));
    await expectSlot(subject, 2, B);
    await expectIdle(subject);
  });

  test('of two exclusive loads one gets the page', async () => {
    const subject = await reading({ exclusiveLoads: true });
    const other = subject.space.pageInAsync(1, new Uint8Array(PAGE_SIZE));
    await settleAll(subject.store);
    expect([await subject.found, await other].sort()).toEqual([false, true]);
    await expectSlot(subject, 1, undefined);
    await expectIdle(subject);
  });

  test('a read that times out is EIO, and the page stays', async () => {
    const { space, store, into, found } = await reading();
    await quiet();
    store.giveUp();
    clock.pass(TIMEOUT);
    expect(await found).toBe('EIO');
    expectBytes(into, noise(PAGE_SIZE, 5));
    await expectSlot({ space, store }, 1, A);
    expect(space.stats().readFail).toBe(1);
  });
});

describe('slots', () => {
  test('after a write that failed the entry stays the least recently used, and the slot is free again', async () => {
    const subject = await create();
    const { space, store } = subject;
    for (const slot of [1, 2, 3]) space.pageOut(slot, pageOf(slot));
    store.plan('write', 'torn');
    store.plan('write', 'undone');
    const moved = settledAs(space.zswap.writebackAsync(1));
    await settleAll(store);
    expect(await moved).toBe(1); // the torn write reported success
    store.recover();
    store.plan('write', 'undone');
    const failed = settledAs(space.zswap.writebackAsync(1));
    await settleAll(store);
    expect(await failed).toBe('EIO');
    const again = space.zswap.writebackAsync(1);
    await settleAll(store);
    expect(await again).toBe(1);
    expect(() => space.pageIn(2, new Uint8Array(PAGE_SIZE))).toThrow(
      expect.objectContaining({ code: 'EAGAIN' }) as Error,
    );
    expect(space.pageIn(3, new Uint8Array(PAGE_SIZE))).toBe(true);
    const torn = settledAs(space.pageInAsync(1, new Uint8Array(PAGE_SIZE)));
    await settleAll(store);
    expect(await torn).toBe('EIO');
    await expectSlot(subject, 1, undefined);
    await expectSlot(subject, 2, pageOf(2));
    await expectIdle(subject);
  });

  test('the slot of a write that timed out is not used until the write has ended', async () => {
    for (const fault of ['hang', 'late'] as const) {
      const subject = await create(REFUSING, { slots: 1 });
      const { space, store } = subject;
      if (fault === 'hang') store.plan('write', 'hang');
      const first = settledAs(space.pageOutAsync(1, A));
      await quiet();
      store.giveUp();
      clock.pass(TIMEOUT);
      expect(await first).toBe('EIO');
      await rejected({ code: 'ENOSPC', op: 'swapSpace.pageOutAsync' }, space.pageOutAsync(2, B));
      if (fault === 'hang') store.release();
      else store.settleOf('write');
      await quiet();
      expect(store.pending.map(({ op }) => op)).toEqual(['free']);
      const second = space.pageOutAsync(2, B);
      await settleAll(store);
      await second;
      await expectSlot(subject, 1, undefined);
      await expectSlot(subject, 2, B);
      await expectIdle(subject);
    }
  });

  test('a slot is not written while it is being freed, however long that takes', async () => {
    const subject = await create(REFUSING, { slots: 1 });
    const { space, store } = subject;
    const first = space.pageOutAsync(1, A);
    await settleAll(store);
    await first;
    store.plan('free', 'hang');
    space.free(1);
    const second = settledAs(space.pageOutAsync(2, B));
    await quiet();
    expect(store.calls.write).toBe(1);
    store.giveUp();
    clock.pass(TIMEOUT);
    expect(await second).toBe('ENOSPC');
    store.release();
    await quiet();
    const third = space.pageOutAsync(2, B);
    await settleAll(store);
    await third;
    await expectSlot(subject, 2, B);
    await expectIdle(subject);
  });

  test('when a synchronous store returns a promise from write, its slot is not used until the promise has settled', async () => {
    let write = (): void => undefined;
    const held = new Map<number, Uint8Array>();
    const store: BackingStore = {
      mode: 'sync',
      slots: 1,
      read: (slot, into) => (into.set(held.get(slot) as Uint8Array), (held.get(slot) as Uint8Array).length),
      write: (slot, bytes) => {
        if (write.length === 0 && held.size === 0) {
          return new Promise<void>((resolve) => {
            write = () => {
              held.set(slot, bytes);
              resolve();
            };
          });
        }
        held.set(slot, bytes);
      },
      free: (slot) => void held.delete(slot),
      close: () => undefined,
    };
    const space = await SwapSpace.create({ ...REFUSING, bytes: '1MiB', ...buildOptions(build), store });
    expect(codeOf(() => space.pageOut(1, A))).toBe('EIO');
    expect(codeOf(() => space.pageOut(2, B))).toBe('ENOSPC');
    write();
    await quiet();
    held.set(0, A);
    space.pageOut(2, B);
    const into = new Uint8Array(PAGE_SIZE);
    expect(space.pageIn(2, into)).toBe(true);
    expectBytes(into, B);
    await space.close();
  });

  test('when a synchronous store returns a promise from free, its slot is not used until the promise has settled', async () => {
    const held = new Map<number, Uint8Array>();
    const frees: (() => void)[] = [];
    const store: BackingStore = {
      mode: 'sync',
      slots: 1,
      read: (slot, into) => (into.set(held.get(slot) as Uint8Array), (held.get(slot) as Uint8Array).length),
      write: (slot, bytes) => void held.set(slot, bytes),
      free: (slot) => new Promise((resolve) => frees.push(() => (held.delete(slot), resolve()))),
      close: () => undefined,
    };
    const space = await SwapSpace.create({ ...REFUSING, bytes: '1MiB', ...buildOptions(build), store });
    space.pageOut(1, A);
    space.free(1);
    expect(codeOf(() => space.pageOut(2, B))).toBe('ENOSPC');
    frees.forEach((free) => free());
    await quiet();
    space.pageOut(2, B);
    const into = new Uint8Array(PAGE_SIZE);
    expect(space.pageIn(2, into)).toBe(true);
    expectBytes(into, B);
    await space.close();
  });
});

describe('bounds', () => {
  test.each([1, 2, 5])('at most %i calls at once, of all kinds', async (maxInFlight) => {
    const subject = await create({ ...REFUSING, maxInFlight }, { slots: 30, seed: maxInFlight });
    const { space, store } = subject;
    let most = 0;
    store.inside = () => void (most = Math.max(most, store.underWay + 1));
    const calls: Promise<unknown>[] = [];
    for (let n = 0; n < 20; n++) {
      calls.push(space.pageOutAsync(n, pageOf(n)));
      space.zswap.store(1, n, pageOf(n));
    }
    space.zswap.enabled = true;
    for (let n = 0; n < 20; n++) space.zswap.store(1, n, pageOf(n));
    calls.push(space.zswap.writebackAsync(6), space.zswap.writebackAsync(3));
    for (let n = 0; n < 20; n++) {
      await quiet();
      store.settle();
      if (n % 3 === 0) space.free(n);
      calls.push(space.pageInAsync((n * 7) % 20, new Uint8Array(PAGE_SIZE)));
    }
    await settleAll(store);
    await Promise.all(calls);
    expect(most).toBe(maxInFlight);
    await expectIdle(subject);
  });

  test('when all calls hang, waiting calls are EIO and lose no page; all works again when the calls end', async () => {
    const subject = await create({ ...REFUSING, maxInFlight: 2 });
    const { space, store } = subject;
    const written = [1, 2, 3].map((slot) => space.pageOutAsync(slot, pageOf(slot)));
    await settleAll(store);
    await Promise.all(written);
    store.condition = 'stuck';
    const reads = [1, 2, 3].map((slot) => settledAs(space.pageInAsync(slot, new Uint8Array(PAGE_SIZE))));
    const write = settledAs(space.pageOutAsync(4, B));
    await quiet();
    store.giveUp();
    clock.pass(TIMEOUT);
    expect(await Promise.all(reads)).toEqual(['EIO', 'EIO', 'EIO']);
    expect(await write).toBe('EIO');
    space.free(3);
    store.recover();
    while (store.release()) await quiet();
    for (const slot of [1, 2]) await expectSlot(subject, slot, pageOf(slot));
    await expectSlot(subject, 3, undefined);
    await expectSlot(subject, 4, undefined);
    await expectIdle(subject);
  });

  test('a page that waits for a slot stops waiting when all calls hang', async () => {
    const subject = await create({ ...REFUSING, maxInFlight: 1 }, { slots: 1 });
    const { space, store } = subject;
    const first = space.pageOutAsync(1, A);
    await settleAll(store);
    await first;
    store.plan('free', 'hang');
    space.free(1);
    const second = settledAs(space.pageOutAsync(2, B));
    await quiet();
    store.giveUp();
    clock.pass(TIMEOUT);
    expect(['EIO', 'ENOSPC']).toContain(await second);
    store.release();
    await expectIdle(subject);
  });

  test('a writeback limit that is set while writes are under way counts only later writes', async () => {
    const { space, store } = await create({ writebackLimit: 5 });
    for (const slot of [1, 2, 3]) space.pageOut(slot, pageOf(slot));
    store.plan('write', 'undone');
    const moved = space.zswap.writebackAsync(2);
    await quiet();
    expect(space.zswap.writebackLimit).toBe(3);
    space.zswap.writebackLimit = 0;
    await settleAll(store);
    expect(await moved).toBe(1);
    expect(space.zswap.writebackLimit).toBe(0);
    expect(await space.zswap.writebackAsync(1)).toBe(0);
  });
});

describe('close', () => {
  test('waits for all calls under way, at every turn, and then for the store’s sync; then nothing is left', async () => {
    for (let n = 0; n < 16; n++) {
      const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
      const before = ram.stats().usedFrames;
      const { space, store } = await create(
        { ram, maxInFlight: 2, victims: n % 2 === 0 ? 'entry' : 'page' },
        { seed: n },
      );
      for (let slot = 0; slot < 8; slot++) space.pageOut(slot, pageOf(slot));
      const moved = space.zswap.writebackAsync(3);
      await settleAll(store);
      await moved;
      const calls = [space.zswap.writebackAsync(4), space.pageInAsync(0, new Uint8Array(PAGE_SIZE))].map(settledAs);
      space.zswap.enabled = false;
      const out = [10, 11, 12, 13].map((slot) => settledAs(space.pageOutAsync(slot, pageOf(slot))));
      space.free(1);
      await turns(n);
      if (n > 6) store.settle();
      await turns(n % 5);
      let closed = false;
      const closing = space.close().then(() => {
        closed = true;
        store.forbidCalls();
      });
      expect(codeOf(() => space.stats())).toBe('ECLOSED');
      while (!closed) {
        await quiet();
        if (!closed) expect(store.settle()).toBe(true);
      }
      await closing;
      // Accepted pages are written: close flushes.
      expect(await Promise.all(out)).toEqual([undefined, undefined, undefined, undefined]);
      expect(['ECLOSED', true]).toContain(await calls[1]);
      await calls[0];
      expect(store.calls.sync).toBe(1);
      store.verify();
      ram.check();
      expect(ram.stats().usedFrames).toBe(before);
    }
  });

  test('of the RAM, in the middle of calls', async () => {
    for (const victims of ['entry', 'page'] as const) {
      for (let n = 0; n < 8; n++) {
        const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
        const { space, store } = await create({ ram, maxInFlight: 2, victims });
        for (let slot = 0; slot < 8; slot++) space.pageOut(slot, pageOf(slot));
        const calls = [settledAs(space.zswap.writebackAsync(8)), settledAs(space.zswap.shrinkAsync(4))];
        await turns(n);
        if (n > 4) store.settle();
        await turns(2);
        const { write } = store.calls;
        ram.close();
        await settleAll(store);
        await Promise.all(calls);
        expect(store.calls.write).toBe(write);
        expect(codeOf(() => space.pageIn(1, new Uint8Array(PAGE_SIZE)))).toBe('ECLOSED');
        await Promise.all([space.close(), settleAll(store)]);
        store.verify();
      }
    }
  });

  test('inside a synchronous store, while zswap makes room', async () => {
    for (const victims of ['entry', 'page'] as const) {
      const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
      const before = ram.stats().usedFrames;
      const { space, store } = await create({ ram, victims }, { mode: 'sync' });
      for (let slot = 0; slot < 8; slot++) space.pageOut(slot, pageOf(slot));
      let closing: Promise<void> | undefined;
      store.inside = (op) => void (op === 'write' && (closing ??= space.close()));
      space.zswap.writeback(4);
      await closing;
      expect(ram.stats().usedFrames).toBe(before);
      ram.check();
      store.verify();
    }
  });

  test('setters of a closed zswap are ECLOSED, and do not change another zswap in the same frames', async () => {
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    const { space, store } = await create({ ram });
    const { zswap } = space;
    await Promise.all([space.close(), settleAll(store)]);
    const other = await create({ ram, maxPoolPercent: 50 });
    for (const set of [
      () => (zswap.maxPoolPercent = 0),
      () => (zswap.acceptThresholdPercent = 0),
      () => (zswap.sameFilled = false),
      () => (zswap.enabled = false),
      () => (zswap.exclusiveLoads = true),
      () => (zswap.writebackLimit = 0),
      () => (zswap.allocator = 'zbud'),
      () => (zswap.codec = 'lz4hc'),
    ])
      expect(codeOf(set)).toBe('ECLOSED');
    expect(other.space.zswap.store(0, 1, A)).toBe(true);
    expect(other.space.stats().limitFrames).toBeGreaterThan(0);
  });
});

test('when a store answers all calls in one turn, writebackAsync writes exactly the wanted number of pages', async () => {
  const slots = new Map<number, Uint8Array>();
  let waiting: (() => void)[] = [];
  const store: BackingStore = {
    mode: 'async',
    read: async (slot, into) => void into.set(slots.get(slot) as Uint8Array),
    write: (slot, bytes) =>
      new Promise((resolve) => {
        waiting.push(() => {
          slots.set(slot, bytes.slice());
          resolve();
        });
      }),
    free: async (slot) => void slots.delete(slot),
    close: async () => undefined,
  };
  const space = await SwapSpace.create({ bytes: '8MiB', ...buildOptions(build), store, maxInFlight: 8 });
  for (let slot = 0; slot < 60; slot++) space.pageOut(slot, pageOf(slot));
  let isOver = false;
  const moved = space.zswap.writebackAsync(30).finally(() => (isOver = true));
  while (!isOver) {
    await quiet();
    const answers = waiting;
    waiting = [];
    for (const answer of answers) answer();
  }
  expect(await moved).toBe(30);
  await space.close();
});
