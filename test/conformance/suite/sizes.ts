/** malloc: every allowed size and every bad size. */
import { expect, test } from 'vitest';
import { changesNothing, fault, noise, expectBytes } from '../../harness.ts';
import type { Subject } from './subject.ts';

const NOT_NUMBERS = [
  NaN,
  Infinity,
  -Infinity,
  0.5,
  1.5,
  100.25,
  -1,
  -4096,
  -0.5,
  2 ** 32,
  2 ** 32 + 100,
  2 ** 53,
  '100',
  '1K',
  '',
  null,
  undefined,
  true,
  {},
  [100],
  100n,
  Symbol('100'),
];

export function sizes(subject: Subject): void {
  const { row } = subject;

  test('sizes 1, each class edge and its neighbours, the largest: size() is the requested size, and all bytes can be used', async () => {
    const { ram, pool } = await subject.fresh({ bytes: '16MiB' });
    const wanted = new Set([
      1,
      2,
      3,
      row.largest - 1,
      row.largest,
      ...row.edges.flatMap((edge) => [edge - 1, edge, edge + 1]),
    ]);
    wanted.delete(0);
    const stored = [...wanted].map((size) => ({ size, handle: pool.malloc(size), bytes: noise(size, size) }));
    for (const { handle, bytes } of stored) pool.write(handle, bytes);
    for (const { handle, bytes, size } of stored) {
      expect(pool.size(handle)).toBe(size);
      expectBytes(pool.read(handle), bytes);
    }
    ram.check();
  });

  test('a handle is a u32, not 0, below the error numbers, and different from all others', async () => {
    const { pool } = await subject.fresh();
    const handles = Array.from({ length: 300 }, () => pool.malloc(40));
    for (const handle of handles) expect(handle > 0 && handle < 0xfffff000 && handle >>> 0 === handle).toBe(true);
    expect(new Set(handles).size).toBe(300);
  });

  test('malloc of 0 bytes is EINVAL', async () => {
    const { ram, pool } = await subject.fresh();
    changesNothing(ram, () =>
      fault({ code: 'EINVAL', op: 'zpool.malloc', says: /size.*at least 1/ }, () => pool.malloc(0)),
    );
    fault({ code: 'EINVAL', op: 'zpool.malloc' }, () => pool.malloc(-0));
  });

  test('malloc of more than the largest object is ENOSPC, which names the size', async () => {
    const { ram, pool } = await subject.fresh();
    pool.malloc(100);
    changesNothing(ram, () => {
      for (const size of [
        row.largest + 1,
        row.largest + 2,
        4097,
        5000,
        65536,
        2 ** 31 - 1,
        2 ** 31,
        2 ** 32 - 4097,
        2 ** 32 - 4096,
        2 ** 32 - 1,
      ]) {
        fault({ code: 'ENOSPC', op: 'zpool.malloc', says: new RegExp(`size ${size} .*${row.largest} bytes`) }, () =>
          pool.malloc(size),
        );
      }
    });
  });

  test('a size that is not a whole number of 0 … 2^32 - 1 is EINVAL, which names the argument', async () => {
    const { ram, pool } = await subject.fresh();
    pool.malloc(100);
    changesNothing(ram, () => {
      for (const size of NOT_NUMBERS)
        fault({ code: 'EINVAL', op: 'zpool.malloc', says: 'size' }, () => pool.malloc(size as number));
    });
  });
}
