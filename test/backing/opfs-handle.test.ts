/** OpfsStore on handles that are made up: what hosts other than a dedicated worker say, and what a browser says when it fails. */
import { describe, expect, test } from 'vitest';
import { OpfsStore, type OpfsStoreOptions } from '../../bindings/backing/opfs.ts';
import { SLOT_BYTES } from '../../bindings/backing/types.ts';
import { rejected } from '../harness.ts';
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
  return { kind: 'file', createSyncAccessHandle: async () => ({ ...accessOf(medium), ...quirks }) } as unknown as Handle;
}

testBackingStore({ name: 'OpfsStore on a made-up handle', mode: 'sync', type: 'OpfsStore', open: (slots) => OpfsStore.open({ handle: handleOf(new TestMedium()), slots }) });

describe('OpfsStore', () => {
  const open = (handle: unknown): Promise<OpfsStore> => OpfsStore.open({ handle: handle as Handle, slots: 4 });
  const op = 'OpfsStore.open';

  test('is ENODEV where there is no such file system, or no synchronous access', async () => {
    if (globalThis.navigator?.storage === undefined) await rejected({ code: 'ENODEV', op }, OpfsStore.open({ name: 'x', slots: 4 }));
    await rejected({ code: 'ENODEV', op, says: 'worker' }, open({ kind: 'file' }));
    await rejected({ code: 'EINVAL', op }, open({ kind: 'directory' }));
  });

  test.each([['NoModificationAllowedError', 'EBUSY'], ['InvalidStateError', 'ENODEV'], ['NotFoundError', 'EIO'], ['QuotaExceededError', 'ENOSPC']] as const)('%s is %s', async (name, code) => {
    const cause = new DOMException('no', name);
    const error = await rejected({ code, op }, open({ kind: 'file', createSyncAccessHandle: () => Promise.reject(cause) }));
    expect(error.cause).toBe(cause);
  });

  test('closes the file that it refuses', async () => {
    const medium = new TestMedium('sync', new Uint8Array(100));
    await rejected({ code: 'EUCLEAN', op, says: 'somebody else' }, open(handleOf(medium)));
    medium.bytes = new Uint8Array(0);
    medium.fails.resize = new DOMException('full', 'QuotaExceededError');
    await rejected({ code: 'ENOSPC', op }, open(handleOf(medium)));
    expect(medium.closed).toBe(2);
  });

  test('a truncate that does nothing is ENOSPC', async () => {
    await rejected({ code: 'ENOSPC', op }, open(handleOf(new TestMedium(), { truncate: () => {} })));
  });

  test('a write that says a number of Chromium\'s is ENOSPC where that means so, otherwise EIO', async () => {
    const medium = new TestMedium();
    const store = await open(handleOf(medium));
    for (const [count, code] of [[0xfffffff8, 'ENOSPC'], [0xfffffffe, 'EIO']] as const) {
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
