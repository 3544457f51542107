/**
 * zbud rule by rule (docs/rules/zbud-z3fold.md section 1, B1 to B9) on the real pool, in both layouts.
 *
 * The order of the LRU is found by evicting everything in a copy of the RAM.
 */
import { describe, expect, test } from 'vitest';
import { Ram } from '../../bindings/index.ts';
import type { Handle, Zpool } from '../../bindings/index.ts';
import { buildOptions, builds, createRam, fault, outcome } from '../harness.ts';
import type { Build } from '../harness.ts';
import { createDraw, size1 } from '../models/trace.ts';

const CHUNK = 64;

interface Bench {
  ram: Ram;
  pool: Zpool;
  /** Allocates an object of this number of chunks. */
  take(chunks: number): Handle;
  frame(handle: Handle): number;
  offset(handle: Handle): number;
  /** Handles of the frames on the LRU, front to tail, in the order of the evict callback. */
  lru(): Promise<Handle[][]>;
  /** The number of frames on each list that has any. */
  lists(): Record<number, number>;
}

async function bench(
  build: Build,
  layout: '6.1' | '2013',
  evict?: (handle: Handle, pool: Zpool) => void | boolean,
): Promise<Bench> {
  const ram = await createRam(build, { bytes: '1MiB' });
  const pool = ram.zpool('zbud', evict === undefined ? { layout, name: 'z' } : { layout, name: 'z', evict });
  return {
    ram,
    pool,
    take: (chunks) => pool.malloc(chunks * CHUNK),
    frame: (handle) => pool.locate(handle).frame,
    offset: (handle) => pool.locate(handle).offset,
    async lru() {
      ram.check();
      const copy = await Ram.restore(ram.snapshot(), buildOptions(build));
      const order: Handle[][] = [];
      let last = 0;
      const theirs = copy.openZpool('z', {
        evict: (handle, from) => {
          const { frame } = from.locate(handle);
          if (frame !== last) order.unshift([]);
          last = frame;
          order[0]?.push(handle);
          from.free(handle);
        },
      });
      outcome(() => theirs.shrink(10_000));
      copy.close();
      return order;
    },
    lists: () =>
      Object.fromEntries((pool.stats().lists ?? []).flatMap((count, list) => (count > 0 ? [[list, count]] : []))),
  };
}

describe.each(builds)('zbud, %s', (build) => {
  test('B1, B4: first 24 of T1, size@offset', async () => {
    const { pool } = await bench(build, '6.1');
    const draw = createDraw(1);
    const seen = Array.from({ length: 24 }, () => {
      const size = size1(draw);
      return `${size}@${pool.locate(pool.malloc(size)).offset}`;
    });
    expect(seen.join(' ')).toBe(
      '1633@64 848@3200 2788@64 2602@64 2615@64 1963@64 1163@2880 1539@2496 3052@64 2234@64 ' +
        '2283@64 825@3264 2591@64 1151@2944 2815@64 1045@3008 1611@2432 1169@2880 2840@64 ' +
        '224@3840 1106@2944 2209@64 633@3456 843@3200',
    );
  });

  describe.each([
    ['6.1', 63, 64, 3968],
    ['2013', 64, 0, 4096],
  ] as const)('layout %s', (layout, usable, firstOffset, largest) => {
    test('B1: FIRST from the left, LAST from the right, sizes in chunks', async () => {
      const { pool, offset, frame } = await bench(build, layout);
      for (const [a, b] of [
        [1, 1],
        [64, 65],
        [1000, 2900],
        [1900, 1900],
      ] as const) {
        const first = pool.malloc(a);
        const last = pool.malloc(b);
        expect(frame(last)).toBe(frame(first));
        expect([offset(first), offset(last)]).toEqual([firstOffset, 4096 - CHUNK * Math.ceil(b / CHUNK)]);
        pool.free(first);
        pool.free(last);
      }
    });

    test('B1: the largest object that fits beside another, to the byte', async () => {
      for (let chunks = 1; chunks < usable; chunks += 5) {
        const { pool, take, frame } = await bench(build, layout);
        const first = take(chunks);
        const beside = pool.malloc((usable - chunks) * CHUNK);
        expect(frame(beside)).toBe(frame(first));
        pool.free(beside);
        if ((usable - chunks) * CHUNK < largest)
          expect(frame(pool.malloc((usable - chunks) * CHUNK + 1))).not.toBe(frame(first));
      }
    });

    test('B2: 0, the largest, one more; a lone object leaves a gap; two objects are on list 0 whatever their slack', async () => {
      const { ram, pool, lists, take } = await bench(build, layout);
      fault({ code: 'EINVAL', op: 'zpool.malloc' }, () => pool.malloc(0));
      fault({ code: 'ENOSPC', op: 'zpool.malloc' }, () => pool.malloc(largest + 1));
      pool.malloc(largest);
      expect(lists()).toEqual({ [usable - largest / CHUNK]: 1 });
      const a = take(10);
      expect(lists()).toEqual({ [usable - largest / CHUNK]: 1, [usable - 10]: 1 });
      take(10);
      expect(lists()[0]).toBe(usable - largest / CHUNK === 0 ? 2 : 1);
      pool.free(a);
      expect(lists()[usable - 10]).toBe(1);
      ram.check();
    });

    test('B3: the smallest gap that fits, of that the newest listed; list 0 and others never', async () => {
      const { take, frame, pool } = await bench(build, layout);
      const gaps = [30, 20, 25, 25, 20].map((gap) => take(usable - gap));
      expect(new Set(gaps.map(frame)).size).toBe(5);
      expect(frame(take(21))).toBe(frame(gaps[3] as Handle));
      expect(frame(take(21))).toBe(frame(gaps[2] as Handle));
      expect(frame(take(20))).toBe(frame(gaps[4] as Handle));
      expect(frame(take(5))).toBe(frame(gaps[1] as Handle));
      expect(frame(take(5))).toBe(frame(gaps[0] as Handle));
      const pages = pool.totalPages;
      take(1);
      expect(pool.totalPages).toBe(pages + 1); // slack beside two objects is not used
    });

    test('B4: an object takes the empty buddy, FIRST before LAST; in a new page it is FIRST', async () => {
      const { pool, take, offset, frame } = await bench(build, layout);
      const first = take(10);
      const last = take(12);
      const where = frame(first);
      pool.free(first);
      const again = take(11);
      expect([frame(again), offset(again)]).toEqual([where, firstOffset]);
      pool.free(last);
      const other = take(13);
      expect([frame(other), offset(other)]).toEqual([where, 4096 - 13 * CHUNK]);
      const fresh = take(50);
      expect([frame(fresh) === where, offset(fresh)]).toEqual([false, firstOffset]);
    });

    test('B5: malloc puts the page at the LRU front, from wherever it is', async () => {
      const { take, lru } = await bench(build, layout);
      const a = take(40);
      const b = take(41);
      const c = take(42);
      expect(await lru()).toEqual([[c], [b], [a]]);
      const d = take(usable - 40); // fits a only
      expect(await lru()).toEqual([[a, d], [c], [b]]);
    });

    test('B6: free lists at the head, leaves the LRU alone, and releases an empty page', async () => {
      const { pool, take, frame, lru } = await bench(build, layout);
      const pairs = [0, 1, 2].map(() => [take(30), take(30)] as [Handle, Handle]);
      pool.free(pairs[0]?.[1] as Handle);
      pool.free(pairs[2]?.[1] as Handle);
      pool.free(pairs[1]?.[0] as Handle);
      expect((await lru()).map((frames) => frames.length)).toEqual([1, 1, 1]);
      expect((await lru()).flat()).toEqual([pairs[2]?.[0], pairs[1]?.[1], pairs[0]?.[0]]);
      expect(frame(take(30))).toBe(frame(pairs[1]?.[1] as Handle)); // freed last, listed first
      expect(frame(take(30))).toBe(frame(pairs[2]?.[0] as Handle));
      expect(frame(take(30))).toBe(frame(pairs[0]?.[0] as Handle));
      const pages = pool.totalPages;
      pool.free(take(60));
      expect(pool.totalPages).toBe(pages);
    });

    test('B6: the freed slot and the slack are one gap', async () => {
      const { pool, take, frame, lists } = await bench(build, layout);
      const a = take(20);
      const b = take(20);
      pool.free(a);
      expect(lists()).toEqual({ [usable - 20]: 1 });
      expect(frame(take(usable - 20))).toBe(frame(b));
    });

    test('B7: tail first, FIRST then LAST; a refusal skips the rest; back at the head of its list and the LRU front', async () => {
      const called: Handle[] = [];
      const refused = new Set<Handle>();
      const { pool, take, frame, lru } = await bench(build, layout, (handle, from) => {
        called.push(handle);
        if (refused.has(handle)) return false;
        from.free(handle);
      });
      const [a1, a2] = [take(30), take(30)];
      const [b1, b2] = [take(31), take(31)];
      const c = take(40);
      const d = take(40);
      refused.add(a1);
      expect(pool.shrink(1)).toBe(1);
      expect(called.splice(0)).toEqual([a1, b1, b2]); // A is refused at FIRST: the callback is not called for LAST; then B
      expect(await lru()).toEqual([[a1, a2], [d], [c]]);
      refused.add(d);
      expect(pool.shrink(1)).toBe(1);
      expect(called.splice(0)).toEqual([c]);
      const e = take(40);
      refused.delete(a1);
      refused.add(a2);
      expect(pool.shrink(1)).toBe(1); // D refused, A loses FIRST but keeps LAST, E goes
      expect(called.splice(0)).toEqual([d, a1, a2, e]);
      expect(await lru()).toEqual([[a2], [d]]);
      expect(frame(take(usable - 40))).toBe(frame(d));
      refused.clear();
      called.length = 0;
      expect(pool.shrink(9)).toBe(2);
    });

    test('B7: the counts decide, not the last answer; EAGAIN after the last try; EINVAL on an empty LRU', async () => {
      let answer: 'free and refuse' | 'keep' | 'free' = 'free and refuse';
      const { ram, pool, take } = await bench(build, layout, (handle, from) => {
        if (answer !== 'keep') from.free(handle);
        return answer === 'free';
      });
      fault({ code: 'EINVAL', op: 'zpool.shrink' }, () => pool.shrink(1));
      take(60);
      expect(pool.shrink(1)).toBe(1);
      take(30);
      const last = take(30);
      expect(pool.shrink(1)).toBe(1); // FIRST freed and refused: LAST is visited at the next try
      fault({ code: 'EINVAL', op: 'zpool.size' }, () => pool.size(last));
      take(60);
      answer = 'keep';
      fault({ code: 'EAGAIN', op: 'zpool.shrink' }, () => pool.shrink(1));
      ram.check();
    });

    test('B7: after a refusal the page is found at the head of its gap list', async () => {
      const { pool, take, frame } = await bench(build, layout, () => false);
      const pages = [take(40), take(40), take(40)];
      fault({ code: 'EAGAIN', op: 'zpool.shrink' }, () => pool.shrink(1));
      // Eight tries over three pages, oldest first: the second page was the last.
      expect(frame(take(20))).toBe(frame(pages[1] as Handle));
      expect(frame(take(20))).toBe(frame(pages[0] as Handle));
      expect(frame(take(20))).toBe(frame(pages[2] as Handle));
    });

    test('B8: until the wanted number of pages is freed or one call fails', async () => {
      let left = 5;
      const { pool, take } = await bench(build, layout, (handle, from) => left-- > 0 && void from.free(handle));
      for (let i = 0; i < 9; i++) take(60);
      expect([pool.shrink(2), pool.shrink(9), pool.totalPages]).toEqual([2, 3, 4]);
    });

    test('B9: maps, reads and writes change nothing; a handler may free and allocate, but not in the page under reclaim', async () => {
      const made: Handle[] = [];
      const scene = await bench(build, layout, (handle, from) => {
        const { frame } = from.locate(handle);
        from.free(handle);
        for (const chunks of [1, 20, 30]) {
          made.push(scene.take(chunks));
          expect(scene.frame(made.at(-1) as Handle)).not.toBe(frame);
        }
        scene.ram.check();
      });
      const { pool, take, lru, lists } = scene;
      const [a, b, c] = [take(40), take(41), take(42)];
      const before = lists();
      for (const mode of ['ro', 'rw', 'wo'] as const) {
        pool.map(a, mode).fill(1);
        pool.unmap(a);
      }
      pool.write(a, new Uint8Array(100));
      pool.read(a);
      expect(await lru()).toEqual([[c], [b], [a]]);
      expect(lists()).toEqual(before);
      expect(pool.shrink(1)).toBe(1);
      fault({ code: 'EINVAL', op: 'zpool.size' }, () => pool.size(a));
      expect(made.length).toBe(3);
    });

    test('R4: a page with a mapped object is passed over, keeps its place, costs no try', async () => {
      const called: Handle[] = [];
      const { pool, take } = await bench(build, layout, (handle, from) => (called.push(handle), from.free(handle)));
      const pages = Array.from({ length: 12 }, () => take(60));
      for (const handle of pages.slice(0, 10)) pool.map(handle, 'ro');
      expect(pool.shrink(1)).toBe(1);
      for (const handle of pages.slice(0, 10)) pool.unmap(handle);
      expect(pool.shrink(11)).toBe(11);
      expect(called).toEqual([pages[10], ...pages.slice(0, 10), pages[11]]);
    });
  });
});
