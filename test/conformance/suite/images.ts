/** snapshot and restore: the original and the copy behave the same afterwards. */
import { expect, test } from 'vitest';
import { Ram } from '../../../bindings/index.ts';
import type { Handle, Zpool } from '../../../bindings/index.ts';
import {
  ALL_BUILDS,
  buildOptions,
  createPool,
  expectBytes,
  fault,
  mixedSizes,
  noise,
  otherRow,
  outcome,
  picture,
  put,
  putAll,
  rejected,
} from '../../harness.ts';
import { createDraw } from '../../models/trace.ts';
import type { Subject } from './subject.ts';

/**
 * A run of operations that depends only on the pool and the seed; gives a list of their results. The list has handles,
 * error codes, bytes and places, so that two equal lists mean equal behaviour.
 */
function goOn(ram: Ram, pool: Zpool, seed: number, steps: number): unknown[] {
  const draw = createDraw(seed);
  const log: unknown[] = [];
  const live: Handle[] = [];
  pool.walk(({ objects }) => {
    for (const { handle } of objects) if (!live.includes(handle)) live.push(handle);
  });
  const stale: Handle[] = [];
  const pick = (): Handle => live[draw() % Math.max(1, live.length)] ?? (1 as Handle);
  ram.openZpool(pool.name, {
    evict: (handle, from) => {
      log.push(['evict', handle]);
      if (handle % 3 === 0) return false;
      from.free(handle);
      live.splice(live.indexOf(handle), 1);
    },
  });
  for (let step = 0; step < steps; step++) {
    const kind = draw() % 10;
    if (kind < 4) {
      const handle = outcome(() => pool.malloc(1 + (draw() % 4000)));
      log.push(handle);
      if (typeof handle === 'number') live.push(handle);
    } else if (kind < 6) {
      const handle = pick();
      log.push(['free', handle, outcome(() => pool.free(handle))]);
      if (live.includes(handle)) stale.push(...live.splice(live.indexOf(handle), 1));
    } else if (kind === 6) {
      const handle = pick();
      log.push(
        outcome(() => pool.write(handle, noise(1 + (draw() % 500), step))),
        outcome(() => pool.locate(handle)),
      );
    } else if (kind === 7) {
      const handle = pick();
      log.push(
        outcome(() => [
          ...pool
            .map(handle, 'rw')
            .fill(step & 255)
            .subarray(0, 5),
        ]),
        outcome(() => pool.unmap(handle)),
      );
    } else if (kind === 8) {
      log.push(['stale', ...stale.slice(-9).map((handle) => outcome(() => pool.free(handle)))]);
    } else if (step % 3 === 0) {
      log.push(['compact', pool.compact()]);
    } else {
      log.push(['shrink', outcome(() => pool.shrink(draw() % 3))]);
    }
  }
  log.push(pool.stats(), ram.stats());
  return log;
}

export function images(subject: Subject): void {
  const { row } = subject;

  async function populated(): Promise<{ ram: Ram; pool: Zpool; stale: Handle[] }> {
    const { ram, pool } = await subject.fresh({}, { name: 'main' });
    const stale: Handle[] = [];
    putAll(pool, mixedSizes(row, 120)).forEach(({ handle }, i) => {
      if (i % 3 !== 0) return;
      pool.free(handle);
      stale.push(handle);
    });
    return { ram, pool, stale };
  }

  test('a snapshot in the middle of use: the same operations give the same results on the original and on copies in every build', async () => {
    const { ram, pool, stale } = await populated();
    const image = ram.snapshot();
    const copies = await Promise.all(ALL_BUILDS.map((build) => Ram.restore(image, buildOptions(build))));
    const before = picture(ram);
    const expected = goOn(ram, pool, 9, 300);
    ram.check();
    const end = ram.snapshot();
    for (const copy of copies) {
      expect(picture(copy)).toBe(before);
      expectBytes(copy.snapshot(), image, 'image of the copy');
      const theirs = copy.openZpool('main');
      for (const handle of stale) fault({ code: 'EINVAL', op: 'zpool.free' }, () => theirs.free(handle));
      expect(goOn(copy, theirs, 9, 300)).toEqual(expected);
      copy.check();
      expectBytes(copy.snapshot(), end, 'image after the same operations');
    }
  });

  test('stale handles are refused in the copy too; live handles work', async () => {
    const { ram, pool, stale } = await populated();
    const other = createPool(ram, otherRow(row), { name: 'other' });
    const theirs = putAll(other, [100, 200, 3000]);
    const mine = putAll(pool, [100, 200, 3000]);
    const copy = await Ram.restore(ram.snapshot(), buildOptions(subject.build));
    const [copied, otherCopied] = [copy.openZpool('main'), copy.openZpool('other')];
    for (const { handle, bytes } of mine) expectBytes(copied.read(handle), bytes);
    for (const { handle, bytes } of theirs) expectBytes(otherCopied.read(handle), bytes);
    for (const handle of stale) fault({ code: 'EINVAL', op: 'zpool.read' }, () => copied.read(handle));
    for (const { handle } of theirs) fault({ code: 'EINVAL', op: 'zpool.read' }, () => copied.read(handle));
    for (const { handle } of mine) fault({ code: 'EINVAL', op: 'zpool.read' }, () => otherCopied.read(handle));
  });

  test('pools are restored in order, with names, options and limits, but without callbacks', async () => {
    const ram = await subject.ram({ limit: (100 + 5 * row.idleFrames) * 4096 });
    const names = ['ein Pool', '日本', 'x'.repeat(64)];
    for (const name of names) put(subject.pool(ram, { name, evict: () => false }), 500);
    ram.failFrames(50);
    const copy = await Ram.restore(ram.snapshot(), buildOptions(subject.build));
    expect(copy.pools().map(({ name, allocator }) => [name, allocator])).toEqual(
      names.map((name) => [name, row.allocator]),
    );
    expect(copy.pools().map((pool) => pool.stats())).toEqual(ram.pools().map((pool) => pool.stats()));
    expect(copy.freeFrames).toBe(ram.freeFrames);
    expect(copy.openZpool('日本')).toBe(copy.pools()[1]);
    expect(copy.openZpool('日本')).toMatchObject({
      canSleepMapped: row.canSleepMapped,
      mallocSupportMovable: row.movable,
    });
    fault({ code: 'EINVAL', op: 'zpool.shrink' }, () => copy.openZpool('日本').shrink(1));
    fault({ code: 'EEXIST', op: 'ram.zpool' }, () => subject.pool(copy, { name: '日本' }));
    expect(subject.pool(copy).name).toBe(subject.pool(ram).name);
    for (const each of [ram, copy]) while (outcome(() => each.openZpool('日本').malloc(row.largest)) !== 'ENOMEM'); // fault injection is on in both
    expect(copy.stats()).toEqual(ram.stats());
    expectBytes(copy.snapshot(), ram.snapshot());
  });

  test('equal histories give equal images, for a full pool and for an empty one', async () => {
    const [a, b] = [await populated(), await populated()];
    expectBytes(a.ram.snapshot(), b.ram.snapshot());
    expectBytes(Uint8Array.from([...a.ram.snapshotChunks()].flatMap((chunk) => [...chunk])), b.ram.snapshot());
    goOn(a.ram, a.pool, 4, 200);
    goOn(b.ram, b.pool, 4, 200);
    expectBytes(a.ram.snapshot(), b.ram.snapshot());
  });

  test('snapshot is EBUSY while an object is mapped', async () => {
    const { ram, pool } = await populated();
    for (const { handle } of putAll(pool, [100, 1630, 1630, 1630, row.largest])) {
      pool.map(handle, 'ro');
      fault({ code: 'EBUSY', op: 'ram.snapshot', says: 'mapped' }, () => ram.snapshot());
      fault({ code: 'EBUSY', op: 'ram.snapshotChunks', says: 'mapped' }, () => ram.snapshotChunks());
      pool.unmap(handle);
      ram.snapshot();
    }
  });

  test('restore is EIO for an image that is cut off or has one changed bit', async () => {
    const { ram } = await populated();
    const image = ram.snapshot();
    for (const length of [0, 3, 4, 27, 28, 100, 4096, image.length - 1])
      await rejected({ code: 'EIO', op: 'Ram.restore', says: 'image' }, Ram.restore(image.subarray(0, length)));
    await rejected({ code: 'EIO', op: 'Ram.restore' }, Ram.restore(Uint8Array.from([...image, 0])));
    for (let i = 0; i < 40; i++) {
      const damaged = image.slice();
      const at = i < 28 ? i : (i * 7919) % image.length;
      damaged[at] = (damaged[at] as number) ^ (1 << (i & 7));
      await rejected({ code: 'EIO', op: 'Ram.restore' }, Ram.restore(damaged));
    }
    for (const bad of [null, 'abc', new ArrayBuffer(8), [1, 2]])
      await rejected({ code: 'EINVAL', op: 'Ram.restore', says: 'image' }, Ram.restore(bad as never));
  });
}
