/** KeyvStore.close while calls are under way: the store listens to 'error' events until the last call has ended. */
import { EventEmitter } from 'node:events';
import { describe, expect, test } from 'vitest';
import { KeyvStore } from '../../bindings/backing/keyv.ts';
import { SLOT_BYTES } from '../../bindings/backing/types.ts';
import { content } from './content.ts';
import { codeOf } from './suite.ts';

/** An adapter whose calls wait, when a test says so, until the test ends them. */
class SlowAdapter extends EventEmitter {
  readonly #map = new Map<string, string>();
  readonly waiting: (() => void)[] = [];
  isSlow = false;

  async get(key: string): Promise<string | undefined> {
    await this.#turn();
    return this.#map.get(key);
  }

  async set(key: string, value: string): Promise<void> {
    await this.#turn();
    this.#map.set(key, value);
  }

  async delete(key: string): Promise<boolean> {
    await this.#turn();
    return this.#map.delete(key);
  }

  #turn(): Promise<void> | undefined {
    return this.isSlow ? new Promise((resolve) => this.waiting.push(resolve)) : undefined;
  }
}

const into = new Uint8Array(SLOT_BYTES);

async function opened(timeout = 10_000): Promise<{ adapter: SlowAdapter; store: KeyvStore }> {
  const adapter = new SlowAdapter();
  const store = await KeyvStore.open(adapter, { timeout });
  await store.write(0, content(0, 1, 100));
  return { adapter, store };
}

/** Lets promises run. */
const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('KeyvStore.close', () => {
  test('removes the listener at once when no call is under way', async () => {
    const { adapter, store } = await opened();
    expect(adapter.listenerCount('error')).toBe(1);
    await store.close();
    expect(adapter.listenerCount('error')).toBe(0);
  });

  test('an error event while it waits for a call fails that call and has no other effect', async () => {
    const { adapter, store } = await opened();
    adapter.isSlow = true;
    const write = codeOf(store, () => store.write(1, content(1, 1, 100)));
    const other = store.read(0, into);
    let isClosed = false;
    const closing = store.close().then(() => (isClosed = true));
    await turns();
    expect(isClosed).toBe(false);
    expect(adapter.waiting).toHaveLength(2);
    // Without a listener, emit would throw this error.
    adapter.emit('error', new Error('the connection is lost'));
    adapter.waiting.forEach((go) => go());
    expect(await write).toBe('EIO');
    expect(await other).toBe(100); // this call has got its value
    await closing;
    expect(adapter.listenerCount('error')).toBe(0);
  });

  test('the listener stays until a call that was longer than its timeout has ended', async () => {
    const { adapter, store } = await opened(20);
    adapter.isSlow = true;
    const read = codeOf(store, () => store.read(0, into));
    await store.close();
    expect(await read).toBe('EIO');
    expect(adapter.listenerCount('error')).toBe(1);
    adapter.emit('error', new Error('the connection is lost'));
    adapter.waiting.forEach((go) => go());
    await turns();
    expect(adapter.listenerCount('error')).toBe(0);
  });

  test('refuses further calls at once, and is idempotent', async () => {
    const { adapter, store } = await opened();
    adapter.isSlow = true;
    const read = store.read(0, into);
    const closing = [store.close(), store.close()];
    for (const call of [() => store.read(0, into), () => store.write(0, content(0, 2, 9)), () => store.free(0)])
      expect(await codeOf(store, call)).toBe('ECLOSED');
    await turns();
    adapter.waiting.forEach((go) => go());
    expect(await read).toBe(100);
    await Promise.all(closing);
    await store.close();
  });

  test('a store that could not be opened removes its listener when its calls have ended', async () => {
    const adapter = new SlowAdapter();
    adapter.isSlow = true;
    const opening = KeyvStore.open(adapter, { timeout: 20 });
    await expect(opening).rejects.toMatchObject({ code: 'EIO' });
    expect(adapter.listenerCount('error')).toBe(1);
    adapter.isSlow = false;
    adapter.waiting.forEach((go) => go());
    await turns();
    await turns();
    expect(adapter.listenerCount('error')).toBe(0);
  });
});
