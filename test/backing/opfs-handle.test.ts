/** OpfsStore on fake handles: hosts other than a dedicated worker, and the errors of a browser. */
import { describe, expect, test } from 'vitest';
import { bytesFor } from '../../bindings/backing/geometry.ts';
import { OpfsStore, type OpfsStoreOptions } from '../../bindings/backing/opfs.ts';
import { SLOT_BYTES } from '../../bindings/backing/types.ts';
import { fault, rejected } from '../harness.ts';
import { content } from './content.ts';
import { TestMedium } from './medium.ts';
import { codeOf, expectContent, testBackingStore } from './suite.ts';

type Handle = NonNullable<OpfsStoreOptions['handle']>;

function accessOf(medium: TestMedium): object {
  return {
    read: (into: Uint8Array, { at }: { at: number }) => medium.readAt(into, at),
    write: (bytes: Uint8Array, { at }: { at: number }) => medium.writeAt(bytes, at),
    truncate: (bytes: number) => medium.resize(bytes),
    getSize: () => medium.size(),
    flush: () => medium.flush(),
    close: () => medium.close(),
  };
}

function handleOf(medium: TestMedium, quirks: object = {}): Handle {
  return {
    kind: 'file',
    createSyncAccessHandle: async () => ({ ...accessOf(medium), ...quirks }),
  } as unknown as Handle;
}

testBackingStore({
  name: 'OpfsStore on a made-up handle',
  mode: 'sync',
  type: 'OpfsStore',
  open: (slots) => OpfsStore.open({ handle: handleOf(new TestMedium()), slots }),
});

describe('OpfsStore', () => {
  const open = (handle: unknown): Promise<OpfsStore> => OpfsStore.open({ handle: handle as Handle, slots: 4 });
  const op = 'OpfsStore.open';

  test('is ENODEV where the host has no such file system, or no synchronous access', async () => {
    if (globalThis.navigator?.storage === undefined)
      await rejected({ code: 'ENODEV', op }, OpfsStore.open({ name: 'x', slots: 4 }));
    await rejected({ code: 'ENODEV', op, says: 'worker' }, open({ kind: 'file' }));
    await rejected({ code: 'EINVAL', op }, open({ kind: 'directory' }));
  });

  test.each([
    ['NoModificationAllowedError', 'EBUSY'],
    ['InvalidStateError', 'ENODEV'],
    ['NotFoundError', 'EIO'],
    ['QuotaExceededError', 'ENOSPC'],
  ] as const)('a %s of the browser is %s', async (name, code) => {
    const cause = new DOMException('no', name);
    const error = await rejected(
      { code, op },
      open({ kind: 'file', createSyncAccessHandle: () => Promise.reject(cause) }),
    );
    expect(error.cause).toBe(cause);
  });

  test('an access handle whose then throws when it is read is EIO, or the store works', async () => {
    for (const nth of [1, 2, 3]) {
      let asked = 0;
      const access = {
        ...accessOf(new TestMedium()),
        get then() {
          return ++asked === nth
            ? ((): never => {
                throw new Error('then');
              })()
            : undefined;
        },
      };
      const opening = open({ kind: 'file', createSyncAccessHandle: async () => ({ access }).access });
      await opening.then(
        (store) => store.close(),
        (error) => expect(error).toMatchObject({ name: 'CompcacheError', code: 'EIO' }),
      );
    }
  });

  test('closes a file that it refuses', async () => {
    const medium = new TestMedium('sync', new Uint8Array(100));
    await rejected({ code: 'EUCLEAN', op, says: 'not from compcache' }, open(handleOf(medium)));
    medium.bytes = new Uint8Array(0);
    medium.fails.resize = new DOMException('full', 'QuotaExceededError');
    await rejected({ code: 'ENOSPC', op }, open(handleOf(medium)));
    expect(medium.closed).toBe(2);
  });

  test('a write that ends short is ENOSPC, and so is one that writes no byte', async () => {
    const medium = new TestMedium();
    const store = await open(
      handleOf(medium, {
        write: (bytes: Uint8Array, { at }: { at: number }) =>
          medium.writeAt(bytes.subarray(0, Math.max(0, Math.min(bytes.length, 3 * SLOT_BYTES + 1000 - at))), at),
      }),
    );
    store.write(0, content(0, 1, SLOT_BYTES));
    for (const slot of [1, 2])
      expect(await codeOf(store, () => store.write(slot, content(slot, 1, SLOT_BYTES)))).toBe('ENOSPC');
    await expectContent(store, 0, content(0, 1, SLOT_BYTES));
  });

  test('makes a new store when the old one was not closed or has another size, unless existing: reopen', async () => {
    const medium = new TestMedium();
    const at = async (options: Partial<OpfsStoreOptions>): Promise<number> =>
      (await OpfsStore.open({ handle: handleOf(medium), slots: 4, ...options })).used;
    const store = await open(handleOf(medium));
    store.write(1, content(1, 1, 10));
    store.close();
    expect(await at({})).toBe(1);
    await rejected({ code: 'EUCLEAN', op, says: 'not closed' }, at({ existing: 'reopen' }));
    expect(await at({})).toBe(0);
    expect(await at({ slots: 3 })).toBe(0);
    expect(medium.bytes.length).toBe(bytesFor(3));
  });

  test('throws only CompcacheErrors, however the handle behaves', async () => {
    const no = (): never => {
      throw Object.defineProperty({}, 'message', {
        get() {
          throw new Error('no');
        },
      }) as Error;
    };
    const hostile = new Proxy({}, { get: no, getPrototypeOf: no });
    await rejected({ code: 'EINVAL', op }, open(hostile));
    await rejected({ code: 'EINVAL', op }, open(7));
    await rejected({ code: 'EIO', op }, open({ kind: 'file', createSyncAccessHandle: no }));
    for (const access of [undefined, 7, {}, hostile])
      await rejected({ code: 'EIO', op }, open({ kind: 'file', createSyncAccessHandle: () => access }));
    for (const size of [NaN, -1, '9', null, { valueOf: no }])
      await rejected({ code: 'EIO', op }, open(handleOf(new TestMedium(), { getSize: () => size })));
    for (const quirk of ['read', 'write', 'truncate', 'getSize', 'flush']) {
      const medium = new TestMedium();
      (await open(handleOf(medium))).close();
      if (quirk === 'truncate') medium.bytes = new Uint8Array(0);
      await rejected({ code: 'EIO', op }, open(handleOf(medium, { [quirk]: no, close: no })));
    }
    const store = await open(
      handleOf(new TestMedium(), { write: (bytes: Uint8Array) => bytes.length, read: () => hostile }),
    );
    store.write(0, content(0, 1, 10));
    expect(await codeOf(store, () => store.read(0, new Uint8Array(SLOT_BYTES)))).toBe('EIO');
  });

  test('the constructor is not public; options are read once', async () => {
    const Open = OpfsStore as unknown as new (...args: unknown[]) => unknown;
    for (const args of [[], [{}], [Symbol('compcache'), {}]])
      fault({ code: 'EINVAL', op: 'new OpfsStore', says: 'OpfsStore.open' }, () => new Open(...args));
    let asked = 0;
    const store = await OpfsStore.open({
      handle: handleOf(new TestMedium()),
      get slots() {
        return asked++ === 0 ? 2 : 0;
      },
    });
    expect([store.slots, asked]).toEqual([2, 1]);
  });

  test('a truncate without effect is ENOSPC', async () => {
    await rejected({ code: 'ENOSPC', op }, open(handleOf(new TestMedium(), { truncate: () => {} })));
  });

  test("a write that returns one of Chromium's error numbers is ENOSPC when the number means that, otherwise EIO", async () => {
    const medium = new TestMedium();
    const store = await open(handleOf(medium));
    for (const [count, code] of [
      [0xfffffff8, 'ENOSPC'],
      [0xfffffffe, 'EIO'],
    ] as const) {
      medium.says = count;
      expect(await codeOf(store, () => store.write(0, content(0, 1, SLOT_BYTES)))).toBe(code);
    }
    medium.says = undefined;
    store.write(0, content(0, 1, SLOT_BYTES));
    await expectContent(store, 0, content(0, 1, SLOT_BYTES));
    medium.fails.write = new DOMException('full', 'QuotaExceededError');
    expect(await codeOf(store, () => store.write(1, content(0, 1, 10)))).toBe('ENOSPC');
  });
});
