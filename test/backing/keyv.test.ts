/**
 * KeyvStore on a Map, and on adapters that fail in different ways; with Keyv 5 and 6. keyv-redis.test.ts tests it on a
 * real Redis.
 */
import { EventEmitter } from 'node:events';
import { Keyv } from 'keyv';
import { Keyv as Keyv6 } from 'keyv6';
import { beforeEach, describe, expect, test } from 'vitest';
import { KeyvStore, type KeyvLike } from '../../bindings/backing/keyv.ts';
import { SLOT_BYTES } from '../../bindings/backing/types.ts';
import type { CompcacheError } from '../../bindings/errors.ts';
import { fault, rejected } from '../harness.ts';
import { content } from './content.ts';
import { openCode, watchStrays } from './keyv-use.ts';
import { codeOf, expectContent, testBackingStore } from './suite.ts';

const into = new Uint8Array(SLOT_BYTES);

watchStrays();

const raw = { serialize: undefined, deserialize: undefined } as object;
const locals: [string, () => KeyvLike][] = [
  ['a Map', () => new Map()],
  ['Keyv on a Map', () => new Keyv()],
  ['Keyv on a Map, without a serializer', () => new Keyv(raw)],
  ['Keyv without a namespace, with a time to live', () => new Keyv({ namespace: '', ttl: 1 })],
  ['Keyv that throws', () => new Keyv({ throwOnErrors: true })],
  ['Keyv 6 on a Map', () => new Keyv6()],
  ['Keyv 6 on a Map, without a serializer', () => new Keyv6({ serialization: false })],
  ['Keyv 6 with a namespace and a time to live', () => new Keyv6({ namespace: 'here', ttl: 1 })],
];
for (const [name, make] of locals) {
  testBackingStore({
    name: `KeyvStore: ${name}`,
    mode: 'async',
    type: 'KeyvStore',
    open: (slots) => KeyvStore.open(make(), { slots }),
  });
}

describe('KeyvStore', () => {
  test('keeps each slot under its prefix and number, and leaves no other entry behind', async () => {
    const map = new Map<string, string>();
    const one = await KeyvStore.open(map);
    const two = await KeyvStore.open(map, { prefix: 'other/' });
    expect([...map.keys()]).toEqual([]);
    await one.write(4294967294, new Uint8Array([1, 2, 255]));
    await two.write(0, new Uint8Array([9]));
    expect([...map]).toEqual([
      ['compcache:4294967294', 'AQL/'],
      ['other/0000000000', 'CQ=='],
    ]);
    expect(await codeOf(one, () => one.read(0, into))).toBe('ENOENT');
    expect(await codeOf(one, () => one.write(0xffffffff, new Uint8Array(1)))).toBe('ENOSPC');
    await one.close();
    expect(await (await KeyvStore.open(map)).read(4294967294, into)).toBe(3);
  });

  test('keeps entries without limit of time, even when the Keyv instance has a time to live', async () => {
    for (const keyv of [new Keyv({ ttl: 1 }), new Keyv6({ ttl: 1 })]) {
      const store = await KeyvStore.open(keyv);
      await store.write(0, content(0, 1, 100));
      await new Promise((resolve) => setTimeout(resolve, 10));
      await expectContent(store, 0, content(0, 1, 100));
    }
  });

  test('refuses bad options', async () => {
    for (const keyv of [undefined, null, 'redis://', {}, { get() {}, set() {} }, () => {}])
      expect(await openCode(keyv)).toBe('EINVAL');
    for (const options of [
      { slots: 0 },
      { slots: 1.5 },
      { prefix: 7 },
      { prefix: '\ud800' },
      { prefix: 'a\udfff:' },
      { timeout: 0 },
      { timeout: -1 },
      { timeout: 2 ** 31 },
      { timeout: '1s' },
      { ttl: 1 },
      null,
    ]) {
      expect(await openCode(new Map(), options as object)).toBe('EINVAL');
    }
  });

  test('stores whose prefixes begin alike do not mix their entries', async () => {
    const map = new Map<string, string>();
    const prefixes = ['', '1', '11', 'c:', 'c:1', 'c:12', 'c:0', 'c:00000000', 'c:1234567890'];
    const slots = [0, 1, 2, 11, 12, 111, 1234567890, 4294967294];
    const stores = await Promise.all(prefixes.map((prefix) => KeyvStore.open(map, { prefix })));
    for (const [i, store] of stores.entries()) for (const slot of slots) await store.write(slot, content(slot, i, 50));
    expect(map.size).toBe(prefixes.length * slots.length);
    for (const [i, store] of stores.entries())
      for (const slot of slots) await expectContent(store, slot, content(slot, i, 50));
  });

  test('the constructor is not public; options are read once', async () => {
    const Open = KeyvStore as unknown as new (...args: unknown[]) => unknown;
    for (const args of [[], [{}, 'x', 1], [Symbol('compcache'), {}, 'x', 1, 1]])
      fault({ code: 'EINVAL', op: 'new KeyvStore', says: 'KeyvStore.open' }, () => new Open(...args));
    const asked: string[] = [];
    const options = new Proxy<Record<string, unknown>>(
      { prefix: 'x', slots: 3, timeout: 50 },
      { get: (target, name: string) => (asked.push(name), target[name]) },
    );
    expect((await KeyvStore.open(new Map(), options)).slots).toBe(3);
    expect(asked.sort()).toEqual(['prefix', 'slots', 'timeout']);
  });

  test('throws only CompcacheErrors, however the Keyv instance behaves', async () => {
    const no = (): never => {
      throw Object.defineProperty({}, 'message', {
        get() {
          throw new Error('no');
        },
      }) as Error;
    };
    const hostile: object = new Proxy({}, { get: no, has: no, getPrototypeOf: no });
    expect(await openCode(hostile)).toBe('EINVAL');
    const methods = { get() {}, set() {}, delete() {} };
    for (const name of ['get', 'set', 'delete', 'store', 'on']) {
      expect(await openCode(Object.defineProperty({ ...methods }, name, { get: no }))).toBe('EINVAL');
      if (name !== 'store') expect(await openCode({ ...methods, [name]: no })).toBe(name === 'on' ? 'EINVAL' : 'EIO');
    }
    expect(await openCode(new Map(), hostile)).toBe('EINVAL');
    const map = new Map<string, unknown>();
    const kept = new EventEmitter();
    const keyv = Object.assign(kept, {
      get: (key: string): unknown => map.get(key),
      set: (key: string, value: unknown): unknown => map.set(key, value),
      delete: (key: string): unknown => map.delete(key),
    });
    const store = await KeyvStore.open(keyv);
    await store.write(0, content(0, 1, 100));
    for (const value of [hostile, 'x'.repeat(1e6), Symbol('x'), 1n]) {
      map.set('compcache:0000000000', value);
      expect(await codeOf(store, () => store.read(0, into))).toBe('EIO');
    }
    keyv.get = () => {
      kept.emit('error', hostile);
      return undefined;
    };
    expect(await codeOf(store, () => store.read(0, into))).toBe('EIO');
    keyv.get = no;
    expect(await codeOf(store, () => store.read(0, into))).toBe('EIO');
    keyv.off = no;
    await store.close();
  });

  test('open ends at its timeout when one of its calls hangs or is slow, and leaves no entry when that call ends later', async () => {
    for (const only of ['get', 'set', 'delete', undefined]) {
      const adapter = new BadAdapter();
      Object.assign(adapter, { failure: only === undefined ? 'lag' : 'hang', only });
      const start = performance.now();
      const error = await rejected(
        { code: 'EIO', op: 'KeyvStore.open', says: '200 ms' },
        KeyvStore.open(adapter as KeyvLike, { timeout: 200 }),
      );
      expect(error.message).toContain('no answer');
      // This test measures time, because it is about timers: an open must not take twice the timeout.
      expect(performance.now() - start).toBeLessThan(390);
      adapter.resume();
      for (let turn = 0; turn < 100 && (adapter.entries.size > 0 || adapter.listenerCount('error') > 0); turn++)
        await new Promise((resolve) => setTimeout(resolve, 10));
      expect([adapter.entries.size, adapter.listenerCount('error')], String(only)).toEqual([0, 0]);
    }
  });

  test('refuses a Keyv instance older than 5.5 that hides its failures', async () => {
    const old = (throwOnErrors: boolean): object => ({
      store: new Map(),
      throwOnErrors,
      get: () => undefined,
      set: () => true,
      delete: () => true,
    });
    expect(await openCode(old(false))).toBe('EINVAL');
    expect(await openCode(old(true))).toBe('EIO');
  });

  test('an entry that another program wrote is EIO', async () => {
    const map = new Map<string, unknown>();
    const store = await KeyvStore.open(map);
    for (const value of ['not base64 §', '', 7, {}, new Uint8Array(5), btoa('x'.repeat(SLOT_BYTES + 1))]) {
      map.set('compcache:0000000000', value);
      expect(await codeOf(store, () => store.read(0, into)), String(value)).toBe('EIO');
    }
  });

  test('open refuses a Keyv that changes the values', async () => {
    expect(await openCode(new Keyv({ serialize: () => '{}' }))).toBe('EIO');
  });
});

// ── adapters that fail ───────────────────────────────────────────────────────

type Failure = 'throw' | 'reject' | 'emit' | 'hang' | 'lag';

/** Milliseconds until a slow call is answered. */
const LAG = 90;

/**
 * An adapter on a Map whose calls fail in a given way while `failure` is set. It is a Node emitter: it throws an
 * 'error' event that nobody listens to.
 */
class BadAdapter extends EventEmitter {
  failure: Failure | undefined;
  /** The kind of calls that fail; all calls when undefined. */
  only: string | undefined;
  calls = 0;
  readonly entries = new Map<string, unknown>();
  readonly opts = {};
  #hanging: (() => void)[] = [];

  get(key: string): unknown {
    return this.#do('get', undefined, () => this.entries.get(key));
  }

  set(key: string, value: unknown): unknown {
    return this.#do('set', undefined, () => void this.entries.set(key, value));
  }

  delete(key: string): unknown {
    return this.#do('delete', false, () => this.entries.delete(key));
  }

  clear(): void {
    this.entries.clear();
  }

  /** Carries out the calls that hang. */
  resume(): void {
    this.failure = undefined;
    for (const go of this.#hanging.splice(0)) go();
  }

  #do(kind: string, nothing: unknown, call: () => unknown): unknown {
    this.calls++;
    const failure = this.only === undefined || this.only === kind ? this.failure : undefined;
    if (failure === 'throw') throw new Error('dead');
    if (failure === 'reject') return Promise.reject(new Error('dead'));
    if (failure === 'hang') return new Promise<void>((resolve) => this.#hanging.push(resolve)).then(call);
    if (failure === 'lag') return new Promise((resolve) => setTimeout(resolve, LAG)).then(call);
    if (failure !== 'emit') return Promise.resolve().then(call);
    return Promise.resolve().then(() => {
      this.emit('error', new Error('dead'));
      return nothing;
    });
  }
}

const wraps: [string, (adapter: BadAdapter) => KeyvLike][] = [
  ['alone', (adapter) => adapter],
  ['under Keyv', (adapter) => new Keyv({ store: adapter })],
  ['under Keyv that emits nothing', (adapter) => new Keyv({ store: adapter, emitErrors: false })],
  ['under Keyv that throws', (adapter) => new Keyv({ store: adapter, throwOnErrors: true })],
  ['under Keyv 6', (adapter) => new Keyv6({ store: adapter })],
];

describe.each(wraps)('an adapter that fails, %s', (_, wrap) => {
  let adapter: BadAdapter;
  let store: KeyvStore;

  beforeEach(async () => {
    adapter = new BadAdapter();
    store = await KeyvStore.open(wrap(adapter), { timeout: 60 });
    await store.write(0, content(0, 1, 100));
  });

  test.each(['throw', 'reject', 'emit', 'hang'] as const)(
    'by %s: EIO for every call, never ENOENT; the store works again afterwards',
    async (failure) => {
      adapter.failure = failure;
      for (const slot of [0, 1]) {
        expect(await codeOf(store, () => store.read(slot, into))).toBe('EIO');
        expect(await codeOf(store, () => store.write(slot, content(slot, 2, 100)))).toBe('EIO');
        expect(await codeOf(store, () => store.free(slot))).toBe('EIO');
      }
      adapter.resume();
      expect(['opened', 'ENOENT']).toContain(
        await store.read(0, into).then(
          () => 'opened',
          (error: unknown) => (error as CompcacheError).code,
        ),
      );
      await store.write(1, content(1, 3, 100));
      await expectContent(store, 1, content(1, 3, 100));
      await store.free(1);
      expect(await codeOf(store, () => store.read(1, into))).toBe('ENOENT');
      await store.close();
    },
  );

  test.each(['throw', 'reject', 'emit'] as const)('by %s: the store cannot be opened', async (failure) => {
    for (const only of ['get', 'set', 'delete']) {
      const bad = new BadAdapter();
      Object.assign(bad, { failure, only });
      expect(await openCode(wrap(bad))).toBe('EIO');
      expect(bad.listenerCount('error')).toBeLessThanOrEqual(1); // the listener of Keyv
    }
  });

  test('a free whose delete alone fails is EIO, not ENOENT', async () => {
    adapter.only = 'delete';
    for (const failure of ['throw', 'reject', 'emit'] as const) {
      adapter.failure = failure;
      expect(await codeOf(store, () => store.free(0))).toBe('EIO');
    }
    adapter.failure = undefined;
    await expectContent(store, 0, content(0, 1, 100));
  });

  test('a call on a slot waits for an earlier call that timed out; when it times out itself, it is never made', async () => {
    adapter.failure = 'hang';
    expect(await codeOf(store, () => store.write(0, content(0, 2, 100)))).toBe('EIO');
    const calls = adapter.calls;
    expect(await codeOf(store, () => store.write(0, content(0, 3, 100)))).toBe('EIO');
    expect(adapter.calls).toBe(calls);
    const last = store.write(0, content(0, 4, 100));
    adapter.resume();
    await last;
    expect(adapter.calls).toBe(calls + 1);
    await expectContent(store, 0, content(0, 4, 100));
  });

  test('an error event between calls, or after close, has no effect', async () => {
    adapter.on('error', () => {}); // the listener of the application, for events after close
    adapter.emit('error', new Error('reconnecting'));
    await expectContent(store, 0, content(0, 1, 100));
    expect(await codeOf(store, () => store.read(1, into))).toBe('ENOENT');
    adapter.failure = 'hang';
    const late = codeOf(store, () => store.read(0, into));
    await store.close();
    expect(await late).toBe('EIO');
    adapter.resume();
    adapter.emit('error', new Error('later'));
  });
});

test('free is EIO when the adapter does not delete the entry and reports no error', async () => {
  const map = new Map<string, string>();
  const store = await KeyvStore.open({
    get: (key) => map.get(key),
    set: (key, value) => map.set(key, value),
    delete: (key) => !key.endsWith(':0000000005') && map.delete(key),
  });
  await store.write(5, new Uint8Array([1]));
  expect(await codeOf(store, () => store.free(5))).toBe('EIO');
  expect(await codeOf(store, () => store.free(6))).toBe('ENOENT');
});
