import { describe, expect, test } from 'vitest';
import { MemoryStore, SLOT_BYTES } from '../../bindings/index.ts';
import { errorOf, expectBytes, noise } from '../harness.ts';
import { createDraw } from '../models/trace.ts';
import { testBackingStore } from './suite.ts';

testBackingStore({
  name: 'MemoryStore',
  mode: 'sync',
  type: 'MemoryStore',
  open: async (slots) => new MemoryStore({ slots }),
});

describe('MemoryStore', () => {
  test('counts slots in use and bytes', () => {
    const store = new MemoryStore();
    expect([store.slots, store.used, store.bytes]).toEqual([undefined, 0, 0]);
    store.write(4294967294, new Uint8Array(100));
    store.write(0, new Uint8Array(50));
    store.write(0, new Uint8Array(20));
    expect([store.used, store.bytes]).toEqual([2, 120]);
    store.free(4294967294);
    expect([store.used, store.bytes]).toEqual([1, 20]);
    store[Symbol.dispose]();
    expect([store.used, store.bytes]).toEqual([0, 0]);
  });

  test('reads each option once', () => {
    let asked = 0;
    expect(
      new MemoryStore({
        get slots() {
          return asked++ === 0 ? 3 : -1;
        },
      }).slots,
    ).toBe(3);
    for (const options of [
      {
        get slots() {
          throw new Error('no');
        },
      },
      new Proxy(
        {},
        {
          ownKeys() {
            throw new Error('no');
          },
        },
      ),
    ]) {
      expect(errorOf(() => new MemoryStore(options as object)).code).toBe('EINVAL');
    }
  });

  test('holds slots of every size, rewritten in another size and freed in any order', () => {
    const store = new MemoryStore();
    const draw = createDraw(9);
    const expected = new Map<number, Uint8Array>();
    const into = new Uint8Array(SLOT_BYTES);
    for (let i = 0; i < 20_000; i++) {
      const slot = draw() % 700 === 0 ? 0xfffffffe : (draw() % 600) * (draw() % 2 === 0 ? 1 : 65_537);
      if (draw() % 3 === 0) {
        if (expected.delete(slot)) store.free(slot);
        else expect(errorOf(() => store.free(slot)).code).toBe('ENOENT');
      } else {
        const bytes = noise(1 + (draw() % SLOT_BYTES), i);
        store.write(slot, bytes);
        expected.set(slot, bytes);
      }
      if (i % 1000 !== 999) continue;
      expect([store.used, store.bytes]).toEqual([
        expected.size,
        [...expected.values()].reduce((sum, { length }) => sum + length, 0),
      ]);
      for (const [held, bytes] of expected)
        expectBytes(into.subarray(0, store.read(held, into)), bytes, `slot ${held}`);
    }
  });

  test('has 2^32 - 1 slots when no number is given', () => {
    expect(errorOf(() => new MemoryStore().write(0xffffffff, new Uint8Array(1))).code).toBe('ENOSPC');
  });

  test.each([{ slots: 0 }, { slots: -1 }, { slots: 1.5 }, { slots: '8' }, { size: 4096 }, null])(
    'refuses the options %j',
    (options) => {
      expect(errorOf(() => new MemoryStore(options as object)).code).toBe('EINVAL');
    },
  );
});
