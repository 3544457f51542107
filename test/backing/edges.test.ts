/** Rare cases of volumes and the memory store: similar extents, the smallest extents, memory that is freed. */
import { describe, expect, test } from 'vitest';
import type { Extent } from '../../bindings/backing/geometry.ts';
import { SLOT_BYTES } from '../../bindings/backing/types.ts';
import { VolumeStore, openVolume, type VolumeOptions } from '../../bindings/backing/volume.ts';
import { MAKER } from '../../bindings/errors.ts';
import { MemoryStore } from '../../bindings/index.ts';
import { runSync } from '../../bindings/steps.ts';
import { codeOf } from '../front/pages.ts';
import { content } from './content.ts';
import { TestMedium } from './medium.ts';

function open(extents: readonly Extent[], options: VolumeOptions = {}): VolumeStore<'sync'> {
  return new VolumeStore(MAKER, 'Test', 'sync', runSync(openVolume('Test.open', extents, options)));
}

describe('a volume', () => {
  test('with equal media in another order is refused', () => {
    const extents = [0, 1, 2, 3].map((): Extent => ({ medium: new TestMedium(), offset: 0, length: 5 * SLOT_BYTES }));
    const store = open(extents);
    for (let slot = 0; slot < store.slots; slot++) store.write(slot, content(slot, 1, 200));
    store.close();
    const [a, b, c, d] = extents as [Extent, Extent, Extent, Extent];
    for (const order of [
      [a, b, d, c],
      [a, c, b, d],
      [b, a, c, d],
      [a, b, c],
      [a, b, c, c],
    ])
      expect(codeOf(() => open(order, { existing: 'reopen' }))).toBe('EUCLEAN');
    const again = open(extents, { existing: 'reopen' });
    expect(again.used).toBe(store.slots);
    const into = new Uint8Array(SLOT_BYTES);
    again.read(store.slots - 1, into);
    expect(into.subarray(0, 200)).toEqual(content(store.slots - 1, 1, 200));
  });

  test('has room for a slot in an extent of two units, and not in a shorter one', () => {
    const extents = (second: number): Extent[] => [
      { medium: new TestMedium(), offset: 0, length: 4 * SLOT_BYTES },
      { medium: new TestMedium(), offset: 64, length: second },
    ];
    expect(open(extents(2 * SLOT_BYTES)).slots).toBe(3);
    for (const bytes of [2 * SLOT_BYTES - 1, SLOT_BYTES, 1]) expect(codeOf(() => open(extents(bytes)))).toBe('EINVAL');
    expect(codeOf(() => open(extents(2 * SLOT_BYTES), { slots: 3 }))).toBeUndefined();
    expect(codeOf(() => open(extents(2 * SLOT_BYTES), { slots: 4 }))).toBe('EINVAL');
  });

  test('stores, frees and counts its first and last slot like any other', () => {
    const store = open([{ medium: new TestMedium(), offset: 0, length: 20 * SLOT_BYTES }]);
    const into = new Uint8Array(SLOT_BYTES);
    for (const slot of [0, 7, 8, store.slots - 1]) {
      expect(codeOf(() => store.read(slot, into))).toBe('ENOENT');
      store.write(slot, content(slot, 1, 10));
      store.write(slot, content(slot, 2, 10));
      expect(store.used).toBe(1);
      store.free(slot);
      expect(codeOf(() => store.free(slot))).toBe('ENOENT');
      expect(store.used).toBe(0);
    }
    expect(codeOf(() => store.write(store.slots, content(0, 1, 10)))).toBe('ENOSPC');
  });
});

describe('the memory store', () => {
  test('frees memory when slots are freed, and keeps one slab for new slots', () => {
    const store = new MemoryStore();
    expect(store.reservedBytes).toBe(0);
    store.write(5, content(5, 1, 300));
    const one = store.reservedBytes;
    store.free(5);
    const slab = store.reservedBytes;
    expect(slab).toBeGreaterThan(65_536);
    expect(slab).toBeLessThan(one);
    for (let round = 0; round < 3; round++) {
      for (let slot = 0; slot < 1000; slot++) store.write(slot * 300, content(slot, 1, 300));
      expect(store.reservedBytes).toBeGreaterThan(5 * slab);
      for (let slot = 999; slot >= 0; slot--) store.free(slot * 300);
      expect([store.reservedBytes, store.used, store.bytes]).toEqual([slab, 0, 0]);
    }
    // A slot that is written and freed at the border of a slab does not allocate a slab each time.
    const cells = Math.floor(65_536 / 384);
    for (let slot = 0; slot <= cells; slot++) store.write(slot, content(slot, 1, 300));
    const two = store.reservedBytes;
    store.free(cells);
    expect(two - store.reservedBytes).toBeLessThan(65_536);
  });

  test('a slot that is rewritten in another size keeps its neighbours', () => {
    const store = new MemoryStore();
    const into = new Uint8Array(SLOT_BYTES);
    for (let slot = 0; slot < 3; slot++) store.write(slot, content(slot, 1, 120));
    store.write(0, content(0, 2, 128));
    store.write(1, content(1, 2, 129));
    store.write(1, content(1, 3, 100));
    for (const [slot, version, length] of [
      [0, 2, 128],
      [1, 3, 100],
      [2, 1, 120],
    ] as const) {
      expect(store.read(slot, into)).toBe(length);
      expect(into.subarray(0, length)).toEqual(content(slot, version, length));
    }
    expect([store.used, store.bytes]).toEqual([3, 348]);
  });
});
