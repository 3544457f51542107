/** Helpers for the tests of KeyvStore, with and without Redis. */
import { afterAll, beforeAll, expect } from 'vitest';
import { KeyvStore, type KeyvLike, type KeyvStoreOptions } from '../../bindings/backing/keyv.ts';
import type { CompcacheError } from '../../bindings/errors.ts';

/** 'opened', or the code of the error. */
export async function openCode(keyv: unknown, options?: KeyvStoreOptions): Promise<string> {
  return KeyvStore.open(keyv as KeyvLike, options).then(
    () => 'opened',
    (error: unknown) => (error as CompcacheError).code,
  );
}

/** Call it once in each file: it fails the tests when a rejection or an 'error' event reaches the process. */
export function watchStrays(): void {
  const strays: unknown[] = [];
  const stray = (error: unknown): void => void strays.push(error);
  beforeAll(() => void process.on('unhandledRejection', stray).on('uncaughtException', stray));
  afterAll(() => {
    process.off('unhandledRejection', stray).off('uncaughtException', stray);
    expect(strays).toEqual([]);
  });
}
