/** What the tests of KeyvStore share, with and without Redis. */
import { afterAll, beforeAll, expect } from 'vitest';
import { KeyvStore, type KeyvLike, type KeyvStoreOptions } from '../../bindings/backing/keyv.ts';
import type { CompcacheError } from '../../bindings/errors.ts';

/** 'opened', or the code of why not. */
export async function openCode(keyv: unknown, options?: KeyvStoreOptions): Promise<string> {
  return KeyvStore.open(keyv as KeyvLike, options).then(
    () => 'opened',
    (error: unknown) => (error as CompcacheError).code,
  );
}

/** To be called once in each file: no rejection and no 'error' event may come through to the process. */
export function watchStrays(): void {
  const strays: unknown[] = [];
  const stray = (error: unknown): void => void strays.push(error);
  beforeAll(() => void process.on('unhandledRejection', stray).on('uncaughtException', stray));
  afterAll(() => {
    process.off('unhandledRejection', stray).off('uncaughtException', stray);
    expect(strays).toEqual([]);
  });
}
