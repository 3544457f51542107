/**
 * OpfsStore in Chromium: the suite through a worker, two handles on one file, a full disk, a worker that is terminated.
 */
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { cdp } from 'vitest/browser';
import { bytesFor } from '../../bindings/backing/geometry.ts';
import { OpfsStore, type OpfsStoreOptions } from '../../bindings/backing/opfs.ts';
import { SLOT_BYTES, type BackingStore } from '../../bindings/backing/types.ts';
import { CompcacheError, type ErrorCode } from '../../bindings/errors.ts';
import { rejected } from '../harness.ts';
import { content } from './content.ts';
import type { Reply, Request } from './opfs-worker.ts';
import { expectContent, testBackingStore } from './suite.ts';

/** A worker, and calls to it. */
class Remote {
  readonly #worker = new Worker(new URL('./opfs-worker.ts', import.meta.url), { type: 'module' });
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #count = 0;

  constructor() {
    this.#worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => {
      this.#waiting.get(data.id)?.(data);
      this.#waiting.delete(data.id);
    });
  }

  async ask(request: Request): Promise<Reply> {
    const id = this.#count++;
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#waiting.set(id, resolve);
      this.#worker.addEventListener('error', (event) => reject(new Error(event.message)), { once: true });
      this.#worker.postMessage({ id, ...request });
    });
    if (reply.error === undefined) return reply;
    const { code, op, message } = reply.error;
    if (code === 'foreign') throw new Error(message);
    throw new CompcacheError(code as ErrorCode, op, message);
  }

  end(): void {
    this.#worker.terminate();
  }
}

/** A store in a worker, which tests use as an asynchronous store. */
class RemoteStore implements BackingStore {
  readonly mode = 'async';
  readonly slots: number;
  readonly used: number;
  readonly #remote: Remote;
  readonly #store: number;
  static #count = 0;

  private constructor(remote: Remote, store: number, slots: number, used: number) {
    this.#remote = remote;
    this.#store = store;
    this.slots = slots;
    this.used = used;
  }

  static async open(remote: Remote, options: OpfsStoreOptions): Promise<RemoteStore> {
    const store = RemoteStore.#count++;
    const { value } = await remote.ask({ call: 'open', store, options });
    const { mode, slots, used } = value as { mode: string; slots: number; used: number };
    expect(mode).toBe('sync');
    return new RemoteStore(remote, store, slots, used);
  }

  async read(slot: number, into: Uint8Array): Promise<number> {
    const reply = await this.#remote.ask({ call: 'read', store: this.#store, slot, room: into });
    into.set(reply.bytes as Uint8Array);
    return reply.value as number;
  }

  async write(slot: number, bytes: Uint8Array): Promise<void> {
    await this.#remote.ask({ call: 'write', store: this.#store, slot, bytes });
  }

  async free(slot: number): Promise<void> {
    await this.#remote.ask({ call: 'free', store: this.#store, slot });
  }

  async sync(): Promise<void> {
    await this.#remote.ask({ call: 'sync', store: this.#store });
  }

  async close(): Promise<void> {
    await this.#remote.ask({ call: 'close', store: this.#store });
  }
}

const remote = new Remote();
afterAll(() => remote.end());

let made = 0;
let name = '';

function fresh(): string {
  return (name = `compcache-test-${Date.now()}-${made++}`);
}

async function openCode(options: OpfsStoreOptions, by = remote): Promise<string> {
  return RemoteStore.open(by, options)
    .then((store) => store.close())
    .then(
      () => 'opened',
      (error: unknown) => (error as CompcacheError).code,
    );
}

testBackingStore({
  name: 'OpfsStore',
  mode: 'async',
  type: 'OpfsStore',
  remote: true,
  open: (slots) => RemoteStore.open(remote, { name: fresh(), slots }),
  remove: async () => void (await remote.ask({ call: 'remove', name })),
});

describe('OpfsStore', () => {
  afterEach(async () => {
    await remote.ask({ call: 'remove', name }).catch(() => {});
  });

  test('is ENODEV on the main thread, EINVAL with bad options', async () => {
    fresh();
    const handle = await (await navigator.storage.getDirectory()).getFileHandle(name, { create: true });
    await rejected({ code: 'ENODEV', op: 'OpfsStore.open', says: 'worker' }, OpfsStore.open({ handle, slots: 4 }));
    for (const options of [
      {},
      { name: 'x', handle, slots: 1 },
      { name: 7, slots: 1 },
      { handle: {}, slots: 1 },
      { name: 'x', slots: 0 },
      { name: 'x', size: 'much' },
      { name: 'x', slots: 1, existing: 'keep' },
      { name: 'x', slots: 1, mode: 'sync' },
    ]) {
      await rejected({ code: 'EINVAL', op: 'OpfsStore.open' }, OpfsStore.open(options as object));
    }
    for (const bad of ['', '..', 'a/b']) expect(await openCode({ name: bad, slots: 1 })).toBe('EINVAL');
    expect(await openCode({ name })).toBe('EINVAL');
    expect(await openCode({ name, size: 3 * SLOT_BYTES - 1 })).toBe('EINVAL');
    const root = await navigator.storage.getDirectory();
    await root.getDirectoryHandle(`${name}-folder`, { create: true });
    expect(await openCode({ name: `${name}-folder`, slots: 1 })).toBe('EINVAL');
    await root.removeEntry(`${name}-folder`);
  });

  test('an open that fails creates no file', async () => {
    const root = await navigator.storage.getDirectory();
    const there = async (): Promise<boolean> =>
      root.getFileHandle(name).then(
        () => true,
        () => false,
      );
    await rejected(
      { code: 'ENODEV', op: 'OpfsStore.open', says: 'worker' },
      OpfsStore.open({ name: fresh(), slots: 4 }),
    );
    expect(await there()).toBe(false);
    for (const options of [{}, { size: 100 }, { size: 3 * SLOT_BYTES, slots: 2 }]) {
      expect(await openCode({ name: fresh(), ...options })).toBe('EINVAL');
      expect(await there()).toBe(false);
    }
    expect(await openCode({ name, slots: 1 })).toBe('opened');
    expect(await openCode({ name, size: 100 })).toBe('EINVAL');
    expect(await openCode({ name, slots: 1, existing: 'reopen' })).toBe('opened');
  });

  test('reopens with its slots, by name or by handle; its format is that of volumes', async () => {
    const store = await RemoteStore.open(remote, { name: fresh(), size: 20 * SLOT_BYTES + 1 });
    expect([store.slots, store.used]).toEqual([18, 0]);
    for (const slot of [0, 7, 17]) await store.write(slot, content(slot, 1, 3000));
    await store.close();
    const again = await RemoteStore.open(remote, { name });
    expect([again.slots, again.used]).toEqual([18, 3]);
    for (const slot of [0, 7, 17]) await expectContent(again, slot, content(slot, 1, 3000));
    await again.close();
    const { bytes } = await remote.ask({ call: 'getBytes', name });
    expect(bytes?.length).toBe(20 * SLOT_BYTES);
    expect(new TextDecoder().decode(bytes?.subarray(0, 8))).toBe('compcswp');
    await remote.ask({ call: 'openByHandle', name: `${name}-2` });
    expect((await RemoteStore.open(remote, { name: `${name}-2`, slots: 4 })).used).toBe(1);
  });

  test('is EBUSY while another store has the file open, here or in another worker', async () => {
    const store = await RemoteStore.open(remote, { name: fresh(), slots: 4 });
    expect(await openCode({ name, slots: 4 })).toBe('EBUSY');
    const other = new Remote();
    expect(await openCode({ name, slots: 4 }, other)).toBe('EBUSY');
    await store.close();
    expect(await openCode({ name, slots: 4 }, other)).toBe('opened');
    other.end();
  });

  test("after its worker was terminated the file is not busy: existing: 'reopen' refuses it, the default makes a new store", async () => {
    const other = new Remote();
    const store = await RemoteStore.open(other, { name: fresh(), slots: 4 });
    await store.write(0, content(0, 1, 100));
    other.end();
    let code: string;
    do code = await openCode({ name, slots: 4, existing: 'reopen' });
    while (code === 'EBUSY'); // the browser closes the handle some time later
    expect(code).toBe('EUCLEAN');
    expect(await openCode({ name, slots: 4 })).toBe('opened');
    expect(await openCode({ name, slots: 4, existing: 'reopen' })).toBe('opened');
  });

  test('handles an existing file as the option existing says', async () => {
    await remote.ask({ call: 'putBytes', name: fresh(), bytes: new TextEncoder().encode("somebody else's") });
    for (const [existing, code] of [
      [undefined, 'EUCLEAN'],
      ['reopen', 'EUCLEAN'],
      ['refuse', 'EEXIST'],
      ['discard', 'EUCLEAN'],
      ['overwrite', 'opened'],
      ['reopen', 'opened'],
      ['refuse', 'EEXIST'],
    ] as const) {
      expect(await openCode({ name, slots: 4, ...(existing === undefined ? {} : { existing }) })).toBe(code);
    }
    expect(await openCode({ name, slots: 3, existing: 'reopen' })).toBe('EUCLEAN');
    const { bytes } = await remote.ask({ call: 'getBytes', name });
    await remote.ask({ call: 'putBytes', name, bytes: (bytes as Uint8Array).subarray(0, bytesFor(4) - 1) });
    expect(await openCode({ name, slots: 4, existing: 'reopen' })).toBe('EUCLEAN');
    expect(await openCode({ name, slots: 4 })).toBe('opened');
  });

  test('is ENOSPC beyond the quota; a smaller store can be opened then', async () => {
    const quota = (bytes?: number): Promise<unknown> =>
      cdp().send('Storage.overrideQuotaForOrigin', {
        origin: location.origin,
        ...(bytes === undefined ? {} : { quotaSize: bytes }),
      });
    await quota(1 << 20);
    try {
      expect(await openCode({ name: fresh(), slots: 1000 })).toBe('ENOSPC');
      expect(await openCode({ name, slots: 4 })).toBe('opened');
    } finally {
      await quota();
    }
  });
});
