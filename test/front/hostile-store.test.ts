/**
 * Hostile stores: they throw, lie, keep buffers, call back and detach buffers. Only CompcacheErrors are thrown, and
 * pages stay unchanged.
 */
import { describe, expect, test } from 'vitest';
import {
  CompcacheError,
  PAGE_SIZE,
  SLOT_BYTES,
  SwapSpace,
  Zswap,
  loadCodec,
  type BackingStore,
  type Codec,
  type ErrorCode,
  type ZswapOptions,
} from '../../bindings/index.ts';
import { builds, buildOptions, expectBytes } from '../harness.ts';
import { RecordingStore, codeOf, pageOf, rawPage } from './pages.ts';
import { detach } from './hostile-arrays.ts';

const build = builds[builds.length - 1] ?? 'release';
type Op = 'read' | 'write' | 'free' | 'sync';
const OPS: readonly Op[] = ['read', 'write', 'free', 'sync'];
const MODES = ['sync', 'async'] as const;

function create(options: ZswapOptions): Promise<SwapSpace> {
  return SwapSpace.create({ bytes: '1MiB', ...buildOptions(build), ...options });
}

/** A correct store, until a test replaces a call or adds something after it. */
class Store implements BackingStore {
  readonly mode: 'sync' | 'async';
  readonly #isSync: boolean;
  readonly inner = new RecordingStore();
  /** Gives an answer in place of the real one. */
  instead: ((op: Op) => unknown) | undefined;
  /** Called with the array of a read or write after the call has done its work. */
  after: ((op: Op, bytes: Uint8Array) => void) | undefined;

  constructor(mode: 'sync' | 'async' = 'sync') {
    this.mode = mode;
    this.#isSync = mode === 'sync';
  }

  #call(op: Op, bytes: Uint8Array, call: () => unknown): never {
    if (this.instead !== undefined) return this.instead(op) as never;
    const answer = call();
    this.after?.(op, bytes);
    return (this.#isSync ? answer : Promise.resolve(answer)) as never;
  }

  read(slot: number, into: Uint8Array): number {
    return this.#call('read', into, () => this.inner.read(slot, into));
  }

  write(slot: number, bytes: Uint8Array): void {
    return this.#call('write', bytes, () => this.inner.write(slot, bytes.slice()));
  }

  free(slot: number): void {
    return this.#call('free', new Uint8Array(0), () => this.inner.free(slot));
  }

  sync(): void {
    return this.#call('sync', new Uint8Array(0), () => this.inner.sync());
  }

  close(): void {
    this.inner.close();
  }
}

/** The error of a call that is synchronous or not; it must be a CompcacheError. */
async function errorOf(call: () => unknown): Promise<CompcacheError | undefined> {
  try {
    await call();
    return undefined;
  } catch (error) {
    if (!CompcacheError.made(error)) throw new Error('another error than ours came out');
    return error;
  }
}

async function expectSlot(space: SwapSpace, slot: number, page: Uint8Array): Promise<void> {
  const into = new Uint8Array(PAGE_SIZE);
  expect(await space.pageInAsync(slot, into)).toBe(true);
  expectBytes(into, page, `slot ${slot}`);
}

/** A space with slots 0 … 5 in the pool and 6 … 9 in the store. */
async function filled(store: Store, options: ZswapOptions = {}): Promise<SwapSpace> {
  const space = await create({ store, ...options });
  for (let slot = 0; slot < 6; slot++) await space.pageOutAsync(slot, pageOf(slot));
  space.zswap.enabled = false;
  for (let slot = 6; slot < 10; slot++) await space.pageOutAsync(slot, pageOf(slot));
  space.zswap.enabled = true;
  return space;
}

const traps = (): never => {
  throw new Error('do not look at me');
};
const evil = new Proxy(
  {},
  { get: traps, has: traps, getPrototypeOf: traps, ownKeys: traps, getOwnPropertyDescriptor: traps },
);
const revoked = ((): object => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
})();

/** Values that a store may throw, and the code that they lead to. */
const THROWN: [what: string, value: unknown, code: ErrorCode][] = [
  ['undefined', undefined, 'EIO'],
  ['null', null, 'EIO'],
  ['a number', 28, 'EIO'],
  ['a string', 'ENOSPC', 'EIO'],
  ['a symbol', Symbol('x'), 'EIO'],
  ['a bigint', 5n, 'EIO'],
  ['a function', () => undefined, 'EIO'],
  ['a Proxy that throws', evil, 'EIO'],
  ['a Proxy that is revoked', revoked, 'EIO'],
  ['an Error', new Error('broken'), 'EIO'],
  ['an Error whose message throws', Object.defineProperty(new Error('x'), 'message', { get: traps }), 'EIO'],
  ['an Error whose code throws', Object.defineProperty(new Error('x'), 'code', { get: traps }), 'EIO'],
  ['an Error whose message is a symbol', Object.assign(new Error('x'), { message: Symbol('x') }), 'EIO'],
  ['an Error whose message is no text', Object.assign(new Error('x'), { message: { toString: traps } }), 'EIO'],
  ['an object without a prototype', Object.create(null), 'EIO'],
  ['ENOSPC', Object.assign(new Error('full'), { code: 'ENOSPC' }), 'ENOSPC'],
  ['an ENOSPC of ours', new CompcacheError('ENOSPC', 'x', 'full'), 'ENOSPC'],
  ['an EBUSY of ours', new CompcacheError('EBUSY', 'x', 'busy'), 'EIO'],
  ['an EAGAIN of ours', new CompcacheError('EAGAIN', 'x', 'again'), 'EIO'],
  ['an ECLOSED of ours', new CompcacheError('ECLOSED', 'x', 'closed'), 'EIO'],
];

describe.each(MODES)('a store of mode %s', (mode) => {
  test.each(THROWN)('that throws %s', async (_, value, code) => {
    const ways: ((op: Op) => unknown)[] = [
      () => {
        throw value;
      },
    ];
    if (mode === 'async')
      ways.push(
        () => Promise.reject(value as Error),
        () => ({ then: (__: unknown, reject: (cause: unknown) => void) => reject(value) }),
      );
    for (const way of ways) {
      const store = new Store(mode);
      const space = await filled(store);
      store.instead = way;
      const errors = [
        await errorOf(() => space.zswap.writebackAsync(2)),
        await errorOf(() => space.zswap.shrinkAsync(2)),
        await errorOf(() => space.pageInAsync(7, new Uint8Array(PAGE_SIZE))),
        await errorOf(() => ((space.zswap.enabled = false), space.pageOutAsync(11, pageOf(1)))),
        ...(mode === 'async'
          ? []
          : [
              await errorOf(() => space.zswap.writeback(2)),
              await errorOf(() => space.pageIn(7, new Uint8Array(PAGE_SIZE))),
              await errorOf(() => space.pageOut(11, pageOf(1))),
            ]),
      ];
      expect(errors.map((error) => error?.code)).toEqual(errors.map(() => code));
      for (const error of errors) expect(error?.cause === value).toBe(true);
      expect(space.free(9)).toBe(true);
      space.zswap.check();
      store.instead = undefined;
      for (let slot = 0; slot < 9; slot++) await expectSlot(space, slot, pageOf(slot));
      const { inFlight, backingPages, backingSlots, writebackFail, readFail } = space.stats();
      expect([inFlight, backingPages, backingSlots, readFail]).toEqual([0, 3, 3, mode === 'async' ? 1 : 2]);
      expect(writebackFail).toBeGreaterThanOrEqual(3);
      store.instead = way;
      const last = await errorOf(() => space.close());
      expect([last?.code, last?.cause === value]).toEqual([code, true]);
    }
  });

  test('a thrown value is read once, before anything is decided', async () => {
    const store = new Store(mode);
    const space = await filled(store);
    let looked = 0;
    store.instead = () => {
      throw Object.defineProperty(new Error('gone'), 'code', {
        get: () => {
          looked += 1;
          space.zswap.enabled = true;
          space.zswap.store(0, 7, pageOf(77));
          return 'ENOENT';
        },
      });
    };
    // The page was replaced while the error was read: the new page is there.
    const into = new Uint8Array(PAGE_SIZE);
    expect(await space.pageInAsync(7, into)).toBe(true);
    expectBytes(into, pageOf(77));
    // The read that failed, and the free of its slot.
    expect(looked).toBe(2);
    store.instead = undefined;
    await expectSlot(space, 7, pageOf(77));
    space.zswap.check();
    await space.close();
  });

  test('a read buffer that the store detaches, shrinks or changes later', async () => {
    const takes: [what: string, take: (into: Uint8Array) => void, code: ErrorCode | undefined][] = [
      ['detaches it', detach, 'EIO'],
      ['gives it a length', (into) => void Object.defineProperty(into, 'length', { value: 2 ** 31 }), undefined],
      ['gives it no length', (into) => void Object.defineProperty(into, 'length', { value: 0 }), undefined],
      [
        'gives it methods',
        (into) =>
          void Object.assign(into, { subarray: () => new Uint8Array(70_000).fill(0xee), slice: traps, set: traps }),
        undefined,
      ],
      [
        'gives it another buffer',
        (into) =>
          void Object.defineProperties(into, {
            buffer: { get: traps },
            byteOffset: { get: traps },
            byteLength: { get: traps },
          }),
        undefined,
      ],
      ['takes its prototype', (into) => void Object.setPrototypeOf(into, evil), undefined],
    ];
    for (const [what, take, code] of takes) {
      const store = new Store(mode);
      const space = await filled(store);
      store.after = (op, bytes) => void (op === 'read' && take(bytes));
      expect((await errorOf(() => expectSlot(space, 7, pageOf(7))))?.code, what).toBe(code);
      if (mode === 'sync')
        expect(
          codeOf(() => space.pageIn(8, new Uint8Array(PAGE_SIZE))),
          what,
        ).toBe(code);
      store.after = undefined;
      space.zswap.check();
      for (let slot = 0; slot < 10; slot++) await expectSlot(space, slot, pageOf(slot));
      await space.close();
    }
  });

  test('a write buffer that the store detaches or changes later', async () => {
    const kept: Uint8Array[] = [];
    const store = new Store(mode);
    const space = await create({ store });
    store.after = (op, bytes) => {
      if (op !== 'write') return;
      if (kept.push(bytes) % 2 === 0) detach(bytes);
      else bytes.fill(0xee);
    };
    for (let slot = 0; slot < 10; slot++) await space.pageOutAsync(slot, pageOf(slot));
    expect(await space.zswap.writebackAsync(5)).toBe(5);
    space.zswap.enabled = false;
    for (let slot = 10; slot < 14; slot++) await space.pageOutAsync(slot, pageOf(slot));
    expect(kept).toHaveLength(9);
    for (let slot = 0; slot < 14; slot++) await expectSlot(space, slot, pageOf(slot));
    space.zswap.check();
    await space.close();
  });

  test('a store that returns a wrong length from a read', async () => {
    const answers: unknown[] = [
      -1,
      0,
      1,
      31,
      32,
      4127,
      SLOT_BYTES,
      SLOT_BYTES + 1,
      2 ** 31,
      2 ** 32,
      NaN,
      Infinity,
      0.5,
      '4128',
      null,
      undefined,
      5n,
      Symbol('x'),
      evil,
      revoked,
      [],
      {},
      () => 5,
    ];
    const store = new Store(mode);
    const space = await filled(store);
    for (const answer of answers) {
      for (const slot of [7, 8]) {
        if (!space.zswap.has(0, slot))
          await space.pageOutAsync(slot, pageOf(slot)).then(() => space.zswap.writebackAsync(1));
        const read = Store.prototype.read.bind(store);
        store.read = (at, into) => (
          read(at, into),
          (mode === 'sync' ? answer : Promise.resolve(1).then(() => answer)) as never
        );
        const into = new Uint8Array(PAGE_SIZE);
        const load =
          mode === 'sync' && slot === 7 ? () => space.pageIn(slot, into) : () => space.pageInAsync(slot, into);
        const error = await errorOf(load);
        expect([undefined, 'EIO']).toContain(error?.code);
        if (error === undefined) expectBytes(into, pageOf(slot));
        else expect(into.every((byte) => byte === 0)).toBe(true);
        store.read = read;
      }
      space.zswap.check();
    }
    for (let slot = 0; slot < 6; slot++) await expectSlot(space, slot, pageOf(slot));
    await space.close();
  });

  test('a store that returns unusual promises', async () => {
    const throwing = Object.defineProperty({}, 'then', { get: traps });
    const own = (): unknown => Object.assign(Promise.resolve(), { then: traps });
    const constructed = (): unknown => Object.defineProperty(Promise.resolve(), 'constructor', { get: traps });
    const answers: [what: string, answer: () => unknown, isFine: boolean][] = [
      ['a then that throws when it is read', () => throwing, false],
      ['a then that throws', () => ({ then: traps }), false],
      ['a promise with a then of its own', own, false],
      ['a promise whose constructor throws', constructed, false],
      [
        'one that answers twice',
        () => ({ then: (yes: () => void, no: (cause: unknown) => void) => (yes(), yes(), no(new Error('no'))) }),
        true,
      ],
      ['one that answers, then throws', () => ({ then: (yes: () => void) => (yes(), traps()) }), true],
      [
        'one that refuses twice',
        () => ({
          then: (yes: () => void, no: (cause: unknown) => void) => (no(new Error('no')), no(new Error('no')), yes()),
        }),
        false,
      ],
      ['a function that is one', () => Object.assign(() => undefined, { then: (yes: () => void) => yes() }), true],
      [
        'one that answers with itself',
        () => {
          const it: { then: (yes: (value: unknown) => void) => void } = { then: (yes) => yes(Promise.resolve(1)) };
          return it;
        },
        true,
      ],
    ];
    for (const [what, answer, isFine] of answers) {
      const store = new Store(mode);
      const space = await filled(store);
      store.instead = answer;
      const written = await errorOf(() => space.zswap.writebackAsync(2));
      // A synchronous store must not return a promise.
      expect(written?.code, what).toBe(mode === 'async' && isFine ? undefined : 'EIO');
      if (mode === 'sync')
        expect(
          codeOf(() => space.zswap.writeback(1)),
          what,
        ).toBe('EIO');
      expect([undefined, 'EIO']).toContain(
        (await errorOf(() => space.pageInAsync(7, new Uint8Array(PAGE_SIZE))))?.code,
      );
      space.free(8);
      await new Promise((resolve) => setTimeout(resolve, 0));
      store.instead = undefined;
      space.zswap.check();
      expect(space.stats().inFlight).toBe(0);
      await expectSlot(space, 9, pageOf(9));
      await space.close();
    }
  });

  test('a store whose properties change', async () => {
    const store = new Store(mode);
    let reads = 0;
    let changed = false;
    Object.defineProperties(store, {
      mode: {
        get: () => {
          reads += 1;
          if (changed) traps();
          return mode;
        },
      },
      slots: {
        get: () => {
          reads += 1;
          return changed ? 1 : 6;
        },
      },
    });
    const space = await create({ store });
    expect(reads).toBe(2);
    changed = true;
    for (let slot = 0; slot < 10; slot++) await space.pageOutAsync(slot, pageOf(slot));
    expect(await space.zswap.writebackAsync(10)).toBe(6);
    for (let slot = 0; slot < 10; slot++) await expectSlot(space, slot, pageOf(slot));
    expect(reads).toBe(2);
    for (const op of OPS) Object.defineProperty(store, op, { get: traps, configurable: true });
    expect((await errorOf(() => space.pageInAsync(0, new Uint8Array(PAGE_SIZE))))?.code).toBe('EIO');
    expect(space.free(0)).toBe(true);
    expect((await errorOf(() => space.close()))?.code).toBe('EIO');
    // Methods that are missing, or not functions.
    const next = await filled(new Store(mode));
    await next.close();
  });

  test('a store that calls back endlessly is stopped at a depth', async () => {
    for (const victims of ['entry', 'page'] as const) {
      const store = new Store(mode);
      const space = await filled(store, { victims, maxInFlight: 1024, bytes: '4MiB' });
      const { zswap } = space;
      for (let slot = 20; slot < 120; slot++) expect(zswap.store(0, slot, pageOf(slot))).toBe(true);
      let deepest = 0;
      let depth = 0;
      const back: ((n: number) => unknown)[] = [
        () => zswap.writebackAsync(50),
        () => zswap.writeback(50),
        (n) => zswap.load(0, 6 + (n % 4), new Uint8Array(PAGE_SIZE)),
        () => zswap.shrink(3),
        (n) => space.free(1000 + n),
        (n) => zswap.store(1, n, rawPage(n)),
        (n) => space.pageInAsync(6 + (n % 4), new Uint8Array(PAGE_SIZE)),
      ];
      let n = 0;
      let budget = 3000;
      store.after = () => {
        if (budget-- < 0) return;
        depth += 1;
        deepest = Math.max(deepest, depth);
        for (const call of [back[n % back.length], back[0]] as ((n: number) => unknown)[]) {
          try {
            const answer: unknown = call(n++);
            if (answer instanceof Promise) answer.catch(() => undefined);
          } catch (error) {
            if (!CompcacheError.made(error)) throw error;
          }
        }
        depth -= 1;
      };
      await errorOf(() => zswap.writebackAsync(20));
      await errorOf(() => space.pageInAsync(7, new Uint8Array(PAGE_SIZE)));
      store.after = undefined;
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 0));
      expect(deepest).toBeGreaterThan(3);
      expect(deepest).toBeLessThanOrEqual(32);
      zswap.check();
      expect(zswap.stats().inFlight).toBe(0);
      for (const slot of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 60, 119]) await expectSlot(space, slot, pageOf(slot));
      await space.close();
    }
  });
});

test('a synchronous store that moves the page in every read: EAGAIN, and the page is intact', async () => {
  const store = new Store();
  const space = await filled(store);
  let moves = 0;
  store.after = (op) => {
    if (op !== 'read') return;
    moves += 1;
    store.after = undefined;
    space.zswap.store(0, 7, pageOf(7));
    space.zswap.writeback(10);
    store.after = again;
  };
  const again = store.after;
  expect(codeOf(() => space.pageIn(7, new Uint8Array(PAGE_SIZE)))).toBe('EAGAIN');
  expect(moves).toBe(9 - 1);
  store.after = undefined;
  await expectSlot(space, 7, pageOf(7));
  space.zswap.check();
  await space.close();
});

test('a synchronous store that moves the page in every read and reads it again', async () => {
  const store = new Store();
  const space = await filled(store);
  let reads = 0;
  store.after = (op) => {
    if (op !== 'read') return;
    reads += 1;
    if (reads > 5000) throw new Error('too many');
    codeOf(() => space.pageIn(7, new Uint8Array(PAGE_SIZE)));
    space.zswap.store(0, 7, pageOf(7));
    codeOf(() => space.zswap.writeback(10));
  };
  codeOf(() => space.pageIn(7, new Uint8Array(PAGE_SIZE)));
  expect(reads).toBeLessThan(1000);
  store.after = undefined;
  await expectSlot(space, 7, pageOf(7));
  space.zswap.check();
  await space.close();
});

test('a codec that calls writeback or shrink in every call', async () => {
  const deflate = await loadCodec('deflate');
  for (const victims of ['entry', 'page'] as const) {
    for (const store of [new Store('sync'), new Store('async')]) {
      let calls = 0;
      let isOn = false;
      const back = (): void => {
        if (!isOn) return;
        calls += 1;
        if (calls > 5000) throw new Error('too many');
        codeOf(() => zswap.writeback(3));
        codeOf(() => (calls % 3 === 0 ? zswap.shrink(2) : zswap.has(0, 1)));
      };
      const codec: Codec = {
        name: 'writing',
        compress: (from, to) => (back(), deflate.compress(from, to)),
        decompress: (from, to) => (back(), deflate.decompress(from, to)),
      };
      const zswap: Zswap = await Zswap.create({
        bytes: '4MiB',
        ...buildOptions(build),
        codec,
        victims,
        writebackCompressed: false,
        store,
      });
      for (let offset = 0; offset < 100; offset++) expect(zswap.store(0, offset, pageOf(offset))).toBe(true);
      isOn = true;
      const into = new Uint8Array(PAGE_SIZE);
      await errorOf(() => zswap.writebackAsync(5));
      await errorOf(() => zswap.shrinkAsync(5));
      codeOf(() => zswap.writeback(5));
      zswap.load(0, 3, into);
      zswap.store(0, 200, pageOf(200));
      isOn = false;
      expect(calls).toBeLessThan(5000);
      zswap.check();
      expect(zswap.stats().inFlight).toBe(0);
      for (let offset = 0; offset < 100; offset++) {
        expect(await zswap.loadAsync(0, offset, into)).toBe(true);
        expectBytes(into, pageOf(offset));
      }
      await zswap.close();
    }
  }
});

test('a codec that calls back endlessly is stopped at a depth', async () => {
  const deflate = await loadCodec('deflate');
  let recursing = false;
  let deepest = 0;
  let depth = 0;
  const into = new Uint8Array(PAGE_SIZE);
  const recurse = (call: () => unknown): void => {
    if (!recursing) return;
    depth += 1;
    deepest = Math.max(deepest, depth);
    try {
      call();
    } catch (error) {
      if (!CompcacheError.made(error)) throw error;
    } finally {
      depth -= 1;
    }
  };
  const codec: Codec = {
    name: 'recursing',
    compress: (from, to) => (recurse(() => zswap.store(0, 1, pageOf(1))), deflate.compress(from, to)),
    decompress: (from, to) => (recurse(() => zswap.load(0, 0, into)), deflate.decompress(from, to)),
  };
  const zswap: Zswap = await Zswap.create({
    bytes: '1MiB',
    ...buildOptions(build),
    codec,
    writebackCompressed: false,
    store: new RecordingStore(),
  });
  zswap.store(0, 0, pageOf(0));
  recursing = true;
  expect(zswap.store(0, 1, pageOf(1))).toBe(true);
  expect(zswap.load(0, 0, into)).toBe(true);
  expectBytes(into, pageOf(0));
  expect(deepest).toBe(32);
  zswap.writeback(2);
  recursing = false;
  zswap.check();
  for (const offset of [0, 1]) {
    expect(zswap.load(0, offset, into)).toBe(true);
    expectBytes(into, pageOf(offset));
  }
  await zswap.close();
});

test('a value that is not a store, or cannot be read, is EINVAL', async () => {
  const whole = new RecordingStore();
  const missing = (key: string, value?: unknown): unknown =>
    new Proxy(whole, { get: (target, name) => (name === key ? value : Reflect.get(target, name)) as unknown });
  for (const store of [
    null,
    5,
    'store',
    () => undefined,
    {},
    evil,
    revoked,
    missing('read'),
    missing('write', 5),
    missing('free', {}),
    missing('mode', 'other'),
    missing('mode'),
    missing('slots', 0),
    missing('slots', -1),
    missing('slots', 1.5),
    missing('slots', '8'),
  ]) {
    for (const make of [
      () => Zswap.create({ store: store as never }),
      () => SwapSpace.create({ store: store as never }),
    ]) {
      if (store === null || store === undefined) continue;
      expect((await errorOf(make))?.code).toBe('EINVAL');
    }
  }
});
