/** A swap space whose store is a Redis that is killed and comes back empty. */
import KeyvRedis from '@keyv/redis';
import { Keyv } from 'keyv';
import { expect, test } from 'vitest';
import { KeyvStore } from '../../bindings/backing/keyv.ts';
import { PAGE_SIZE, SwapSpace, type CompcacheError } from '../../bindings/index.ts';
import { expectBytes } from '../harness.ts';
import { pageOf } from '../front/pages.ts';
import { RedisServer } from './redis.ts';

const settled = (call: Promise<unknown>): Promise<unknown> =>
  call.catch((error: unknown) => (error as CompcacheError).code);

test('a Redis that is killed and restarted: EIO, never other bytes, and pages that were not lost can be read', async () => {
  const server = await RedisServer.start();
  const redis = new KeyvRedis<unknown>({ url: server.url, socket: { reconnectStrategy: 50 } });
  const store = await KeyvStore.open(new Keyv(redis), { timeout: 300 });
  const space = await SwapSpace.create({ bytes: '8MiB', store, timeout: 600, maxInFlight: 8 });
  const into = new Uint8Array(PAGE_SIZE);
  try {
    for (let slot = 0; slot < 60; slot++) space.pageOut(slot, pageOf(slot));
    expect(await space.zswap.writebackAsync(30)).toBe(30);
    for (let slot = 0; slot < 60; slot++) {
      expect(await space.pageInAsync(slot, into)).toBe(true);
      expectBytes(into, pageOf(slot), `slot ${slot}`);
    }
    const underWay = [
      settled(space.zswap.writebackAsync(10)),
      ...[0, 1, 2].map((slot) => settled(space.pageInAsync(slot, new Uint8Array(PAGE_SIZE)))),
    ];
    await server.kill();
    await Promise.all(underWay);
    space.zswap.check();
    // While the store does not answer, no page is lost.
    expect(await settled(space.pageInAsync(5, into))).toBe('EIO');
    expect(space.zswap.has(0, 5)).toBe(true);
    expect([0, 'EIO']).toContain(await settled(space.zswap.writebackAsync(4)));
    space.pageOut(70, pageOf(70));
    await server.restart();
    let lost = 0;
    for (let slot = 0; slot < 60; slot++) {
      let answer: unknown;
      // The store does not answer until it is connected again.
      do answer = await settled(space.pageInAsync(slot, into));
      while (answer === 'EIO' && space.zswap.has(0, slot));
      if (answer === true) {
        expectBytes(into, pageOf(slot), `slot ${slot}`);
      } else {
        expect(answer).toBe('EIO');
        expect(await space.pageInAsync(slot, into)).toBe(false);
        lost += 1;
      }
    }
    expect(lost).toBeGreaterThanOrEqual(30);
    expect(await space.zswap.writebackAsync(5)).toBe(5);
    for (const slot of [59, 70]) {
      expect(await space.pageInAsync(slot, into)).toBe(true);
      expectBytes(into, pageOf(slot));
    }
    space.zswap.check();
  } finally {
    await space.close().catch(() => undefined);
    await store.close();
    await redis.disconnect(true);
    await server.stop();
  }
});
