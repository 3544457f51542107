/**
 * The memory of a process does not grow with the number of operations: after the first rounds, more rounds of churn
 * change it by less than 2 %.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { MemoryStore, PAGE_SIZE, Ramzswap, SLOT_BYTES, Zswap } from '../../bindings/index.ts';
import { noise } from '../harness.ts';
import { createDraw } from '../models/trace.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes of all live ArrayBuffers. Their memory is freed a little later than they are collected. */
async function arrayBuffers(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return process.memoryUsage().arrayBuffers;
}

/**
 * Runs rounds of the same calls; each round ends with the same pages. @returns the largest deviation of the figure from
 * its value after the second round, as a fraction
 */
async function strays(turns: number, figure: () => number | Promise<number>, turn: () => void): Promise<number> {
  turn();
  turn();
  const first = await figure();
  let most = 0;
  for (let i = 2; i < turns; i++) {
    turn();
    most = Math.max(most, Math.abs((await figure()) - first) / first);
  }
  return most;
}

const bytes = noise(SLOT_BYTES, 1);

test('a MemoryStore whose slots are rewritten and freed at random holds the same memory', async () => {
  const store = new MemoryStore();
  const held = new Set<number>();
  const churn = (): void => {
    const draw = createDraw(3);
    for (let i = 0; i < 40_000; i++) {
      const [slot, length, what] = [draw() % 6000, 100 + (draw() % 4000), draw()];
      if (what % 4 !== 0) {
        store.write(slot, bytes.subarray(0, length));
        held.add(slot);
      } else if (held.delete(slot)) {
        store.free(slot);
      }
    }
  };
  expect(await strays(6, () => store.reservedBytes, churn)).toBe(0);
  expect(await strays(4, arrayBuffers, churn)).toBeLessThan(0.02);
  expect(store.reservedBytes).toBeLessThan(store.bytes * 1.3);
});

test('a MemoryStore frees slabs that are empty', () => {
  const store = new MemoryStore();
  for (let slot = 0; slot < 4000; slot++) store.write(slot, bytes.subarray(0, 1 + ((slot * 37) % SLOT_BYTES)));
  expect(store.reservedBytes).toBeGreaterThan(store.bytes);
  for (let slot = 0; slot < 4000; slot++) store.free(slot);
  // One slab of each of 33 sizes stays, with its table.
  expect(store.reservedBytes).toBeLessThanOrEqual(33 * (65536 + 2048));
  store.close();
  expect(store.reservedBytes).toBe(0);
});

/** A page whose block takes about this number of bytes. */
function page(seed: number): Uint8Array {
  const made = new Uint8Array(PAGE_SIZE);
  made.set(noise(200 + ((seed * 29) % 2400), seed));
  return made;
}

const pages = Array.from({ length: 64 }, (_, i) => page(i + 1));

test('a ramzswap over a MemoryStore holds the same memory', async () => {
  const store = new MemoryStore();
  const device = await Ramzswap.create({ bytes: '16MiB', disksize: 3000 * PAGE_SIZE, backing: store });
  const into = new Uint8Array(PAGE_SIZE);
  const churn = (): void => {
    const draw = createDraw(5);
    for (let i = 0; i < 12_000; i++) {
      const index = draw() % 3000;
      if (draw() % 3 === 0) device.readPage(index, into);
      else if (draw() % 8 === 0) device.freeNotify(index);
      else device.writePage(index, pages[draw() % pages.length] as Uint8Array);
      if (i % 500 === 0) {
        device.markIdle();
        device.writeback('idle');
      }
    }
  };
  expect(await strays(5, arrayBuffers, churn)).toBeLessThan(0.02);
  expect(store.used).toBeGreaterThan(2000);
  await device.close();
});

test('a zswap over a MemoryStore holds the same memory', async () => {
  const store = new MemoryStore();
  const zswap = await Zswap.create({ bytes: '2MiB', store });
  const into = new Uint8Array(PAGE_SIZE);
  const churn = (): void => {
    const draw = createDraw(7);
    for (let i = 0; i < 12_000; i++) {
      const offset = draw() % 3000;
      if (draw() % 3 === 0) zswap.load(0, offset, into);
      else if (draw() % 8 === 0) zswap.invalidatePage(0, offset);
      else zswap.store(0, offset, pages[draw() % pages.length] as Uint8Array);
    }
  };
  expect(await strays(5, arrayBuffers, churn)).toBeLessThan(0.02);
  expect(store.used).toBeGreaterThan(1000);
  await zswap.close();
});
