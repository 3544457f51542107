/** write and read: offsets, lengths, kinds of arrays. */
import { expect, test } from 'vitest';
import { changesNothing, expectBytes, fault, mixedSizes, noise, put, putAll } from '../../harness.ts';
import type { Subject } from './subject.ts';

const NOT_BYTES = [
  null,
  'abc',
  5,
  [1, 2],
  {},
  new ArrayBuffer(4),
  new Uint16Array(2),
  new Int8Array(2),
  new Uint8ClampedArray(2),
  new DataView(new ArrayBuffer(4)),
];
const NOT_OFFSETS = [-1, 0.5, NaN, Infinity, 2 ** 32, '1', null, {}, 1n];

function detached(length: number): Uint8Array {
  const bytes = noise(length, 1);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
  return bytes;
}

/** Shared memory, also on hosts that hide the constructor. */
function shared(length: number): Uint8Array {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  return new Uint8Array(memory.buffer, 16, length);
}

class Subclass extends Uint8Array {}

export function bytes(subject: Subject): void {
  const { row } = subject;

  test('write and read at every kind of offset, compared with a plain array', async () => {
    const { ram, pool } = await subject.fresh();
    for (const { handle, bytes: content } of putAll(pool, mixedSizes(row, 80))) {
      const size = content.length;
      for (const [at, length] of [
        [0, 0],
        [size, 0],
        [0, 1],
        [size - 1, 1],
        [0, size],
        [size >> 1, size - (size >> 1)],
        [size >> 2, size >> 2],
        [size >> 1, 1],
      ] as const) {
        const part = noise(length, at + length + 7);
        pool.write(handle, part, at);
        content.set(part, at);
        expectBytes(pool.read(handle), content);
        expectBytes(pool.read(handle, undefined, at), content.subarray(at));
      }
    }
    ram.check();
  });

  test('every pair of offset and length of one object, which straddles two frames where the allocator allows it', async () => {
    const { pool } = await subject.fresh();
    const stored = putAll(
      pool,
      Array.from({ length: 12 }, () => Math.min(row.largest, 1630)),
    );
    for (const { handle, bytes: content } of stored) {
      for (let at = 0; at < content.length; at += 181) {
        for (let length = 0; length <= content.length - at; length += 173) {
          const part = noise(length, at * length);
          pool.write(handle, part, at);
          content.set(part, at);
          expectBytes(pool.read(handle, undefined, at), content.subarray(at));
        }
      }
      expectBytes(pool.read(handle), content);
    }
  });

  test('a write beyond the object is ERANGE, and nothing is written', async () => {
    const { ram, pool } = await subject.fresh();
    const { handle } = put(pool, 100);
    putAll(pool, [100, row.largest]);
    changesNothing(ram, () => {
      for (const [length, at] of [
        [101, 0],
        [1, 100],
        [100, 1],
        [0, 101],
        [1, 2 ** 32 - 1],
        [50, 51],
        [5000, 0],
        [200, 2 ** 32 - 100],
      ] as const) {
        fault({ code: 'ERANGE', op: 'zpool.write', says: '100 bytes' }, () =>
          pool.write(handle, new Uint8Array(length), at),
        );
      }
    });
  });

  test('arguments that are not bytes or not offsets: EINVAL, which names the argument', async () => {
    const { ram, pool } = await subject.fresh();
    const { handle } = put(pool, 100);
    changesNothing(ram, () => {
      for (const bad of [...NOT_BYTES, undefined])
        fault({ code: 'EINVAL', op: 'zpool.write', says: 'bytes' }, () => pool.write(handle, bad as never));
      for (const bad of NOT_BYTES)
        fault({ code: 'EINVAL', op: 'zpool.read', says: 'into' }, () => pool.read(handle, bad as never));
      for (const at of NOT_OFFSETS) {
        fault({ code: 'EINVAL', op: 'zpool.write', says: 'at must' }, () =>
          pool.write(handle, new Uint8Array(1), at as number),
        );
        fault({ code: 'EINVAL', op: 'zpool.read', says: 'at must' }, () => pool.read(handle, undefined, at as number));
      }
    });
  });

  test('detached buffers are EINVAL', async () => {
    const { ram, pool } = await subject.fresh();
    const { handle } = put(pool, 100);
    changesNothing(ram, () => {
      fault({ code: 'EINVAL', op: 'zpool.write', says: /bytes.*detached/ }, () => pool.write(handle, detached(100)));
      fault({ code: 'EINVAL', op: 'zpool.read', says: /into.*detached/ }, () => pool.read(handle, detached(100)));
    });
  });

  test('shared buffers, subclasses and views with an offset are accepted', async () => {
    const { pool } = await subject.fresh();
    const stored = putAll(pool, [300, 1630, 1630, 1630, 1630, 1630]);
    for (const { handle, bytes: content } of stored) {
      const size = content.length;
      const memory = shared(size);
      memory.set(noise(size, 77));
      pool.write(handle, memory);
      expectBytes(pool.read(handle), noise(size, 77));
      memory.fill(0);
      expectBytes(pool.read(handle), noise(size, 77));
      expectBytes(pool.read(handle, memory), noise(size, 77));
      pool.write(handle, Subclass.from(noise(size, 78)));
      const wide = new Uint8Array(size + 20).fill(9);
      expectBytes(pool.read(handle, wide.subarray(10)), noise(size, 78));
      expect([wide[9], wide[size + 10]]).toEqual([9, 9]);
      pool.write(handle, wide.subarray(10, size + 10));
      expectBytes(pool.read(handle), noise(size, 78));
    }
  });

  test('read gives exactly the bytes of the object: in a new array, or in a view of `into`', async () => {
    const { ram, pool } = await subject.fresh();
    for (const { handle, bytes: content } of putAll(pool, [1, 100, 1630, 1630, 1630, row.largest])) {
      const size = content.length;
      const first = pool.read(handle);
      expect(first.byteLength).toBe(first.buffer.byteLength);
      first.fill(0);
      expectBytes(pool.read(handle), content);
      const into = new Uint8Array(size);
      expect(pool.read(handle, into)).toBe(into);
      const longer = new Uint8Array(size + 5).fill(7);
      const view = pool.read(handle, longer);
      expect([view.buffer === longer.buffer, view.byteOffset, view.length]).toEqual([true, 0, size]);
      expect(longer.subarray(size)).toEqual(new Uint8Array(5).fill(7));
      expect(pool.read(handle, undefined, size).length).toBe(0);
      expect(pool.read(handle, new Uint8Array(0), size).length).toBe(0);
      const short = new Uint8Array(size - 1).fill(5);
      fault({ code: 'ERANGE', op: 'zpool.read', says: `into has ${size - 1} bytes, ${size} are needed` }, () =>
        pool.read(handle, short),
      );
      expect(short.every((byte) => byte === 5)).toBe(true);
      expectBytes(pool.read(handle, short, 1), content.subarray(1));
      for (const at of [size + 1, 5000, 2 ** 32 - 1])
        fault({ code: 'ERANGE', op: 'zpool.read', says: `at is ${at}` }, () => pool.read(handle, undefined, at));
    }
    ram.check();
  });

  test('a write of one object does not change its neighbours', async () => {
    const { ram, pool } = await subject.fresh();
    const stored = putAll(pool, mixedSizes(row, 120, 5));
    stored.forEach(({ handle, bytes: content }, i) => {
      content.set(noise(content.length, i + 1000));
      pool.write(handle, content);
    });
    for (const { handle, bytes: content } of stored) expectBytes(pool.read(handle), content);
    ram.check();
  });
}
