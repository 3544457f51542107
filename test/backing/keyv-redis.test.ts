/** KeyvStore on a real Redis that is killed and restarted, with Keyv 5 and 6. */
import KeyvRedis from '@keyv/redis';
import { Keyv } from 'keyv';
import { Keyv as Keyv6 } from 'keyv6';
import { beforeAll, describe, expect, test } from 'vitest';
import { KeyvStore, type KeyvLike } from '../../bindings/backing/keyv.ts';
import { SLOT_BYTES } from '../../bindings/backing/types.ts';
import type { CompcacheError } from '../../bindings/errors.ts';
import { content } from './content.ts';
import { openCode, watchStrays } from './keyv-use.ts';
import { RedisServer } from './redis.ts';
import { codeOf, expectContent, testBackingStore } from './suite.ts';

const into = new Uint8Array(SLOT_BYTES);

watchStrays();

describe('KeyvStore on Redis', () => {
  let server: RedisServer;
  const adapters: KeyvRedis<unknown>[] = [];

  beforeAll(async () => {
    server = await RedisServer.start();
    return async () => {
      await Promise.all(adapters.map((adapter) => adapter.disconnect(true)));
      await server.stop();
    };
  });

  function adapter(): KeyvRedis<unknown> {
    const made = new KeyvRedis<unknown>({ url: server.url, socket: { reconnectStrategy: 50 } });
    adapters.push(made);
    return made;
  }

  const remotes: [string, () => KeyvLike][] = [
    ['Keyv on Redis', () => new Keyv(adapter())],
    ['Keyv on Redis, without its own prefix', () => new Keyv({ store: adapter(), useKeyPrefix: false, namespace: '' })],
    ['Redis without Keyv', () => adapter() as KeyvLike],
    // Keyv 6 throws its 'error' events when nobody listens, as Node's emitters do. After close, the application must
    // listen.
    ['Keyv 6 on Redis', () => new Keyv6({ store: adapter() }).on('error', () => {}) as Keyv6],
    [
      'Keyv on Redis that throws',
      () => new Keyv({ store: Object.assign(adapter(), { throwOnErrors: true }), throwOnErrors: true }),
    ],
  ];
  for (const [i, [name, make]] of remotes.entries()) {
    let opened = 0;
    testBackingStore({
      name,
      mode: 'async',
      type: 'KeyvStore',
      open: (slots) => KeyvStore.open(make(), { slots, prefix: `suite-${i}-${opened++}:` }),
    });
  }

  test('is refused at once when Keyv has no serializer: the adapter takes no objects', async () => {
    expect(await openCode(new Keyv({ store: adapter(), serialize: undefined, deserialize: undefined } as object))).toBe(
      'EIO',
    );
  });

  test('gives ENOSPC when Redis has no memory, and works again when it has', async () => {
    const redis = adapter();
    const store = await KeyvStore.open(new Keyv(redis), { prefix: 'memory:' });
    const client = await redis.getClient();
    const limit = async (bytes: string): Promise<unknown> =>
      (client as unknown as { sendCommand(words: string[]): Promise<unknown> }).sendCommand([
        'CONFIG',
        'SET',
        'maxmemory',
        bytes,
      ]);
    await limit('1');
    try {
      expect(await codeOf(store, () => store.write(0, content(0, 1, 100)))).toBe('ENOSPC');
    } finally {
      await limit('0');
    }
    await store.write(0, content(0, 1, 100));
    await expectContent(store, 0, content(0, 1, 100));
  });

  test.each(remotes)(
    'Redis killed and restarted, %s: EIO while it is dead, never ENOENT, then the store works again',
    async (_, make) => {
      const store = await KeyvStore.open(make(), { prefix: 'killed:', timeout: 300 });
      await store.write(0, content(0, 1, 1000));
      server.pause(true);
      const under = [0, 1, 2, 3].map((slot) => codeOf(store, () => store.read(slot, into)));
      await server.kill();
      expect(await Promise.all(under), 'calls under way').toEqual(['EIO', 'EIO', 'EIO', 'EIO']);
      for (const slot of [0, 7]) {
        expect(await codeOf(store, () => store.read(slot, into))).toBe('EIO');
        expect(await codeOf(store, () => store.write(slot, content(slot, 2, 1000)))).toBe('EIO');
        expect(await codeOf(store, () => store.free(slot))).toBe('EIO');
      }
      await server.restart();
      // The Redis client decides when it connects again.
      let code: string;
      do
        code = await store.write(5, content(5, 1, 1000)).then(
          () => 'written',
          (error: unknown) => (error as CompcacheError).code,
        );
      while (code === 'EIO');
      expect(code).toBe('written');
      await expectContent(store, 5, content(5, 1, 1000));
      await store.free(5);
      expect(await codeOf(store, () => store.read(5, into))).toBe('ENOENT');
      await store.close();
    },
  );

  test('gives EIO after the timeout when Redis does not answer', async () => {
    const store = await KeyvStore.open(new Keyv(adapter()), { prefix: 'paused:', timeout: 100 });
    await store.write(0, content(0, 1, 1000));
    server.pause(true);
    try {
      expect(await codeOf(store, () => store.read(0, into))).toBe('EIO');
      expect(await codeOf(store, () => store.read(1, into))).toBe('EIO');
    } finally {
      server.pause(false);
    }
    await expectContent(store, 0, content(0, 1, 1000));
  });

  test('cannot be opened while Redis is dead, and can be when it runs', async () => {
    await server.kill();
    const redis = new KeyvRedis<unknown>({ url: server.url, socket: { reconnectStrategy: false } });
    adapters.push(redis);
    const keyv = new Keyv(redis);
    expect(await openCode(keyv, { timeout: 500 })).toBe('EIO');
    await server.restart();
    expect(await openCode(keyv, { timeout: 5000 })).toBe('opened');
  });
});
