/**
 * z3fold: the golden traces, the numbered rules that no trace shows (docs/rules/zbud-z3fold.md), and random calls
 * compared with the model, which knows the place of every object.
 */
import { describe, expect, test } from 'vitest';
import { type CompcacheError, Ram, type Handle, type Zpool, type ZpoolOptions } from '../../bindings/index.ts';
import { errorOf } from '../harness.ts';
import {
  createDraw,
  runE10,
  runE6,
  runE7,
  runE8,
  runE9,
  runT1,
  runT3,
  size1,
  type Draw,
  type TraceTarget,
} from '../models/trace.ts';
import type { EvictAnswer } from '../models/types.ts';
import { Z3foldModel } from '../models/z3fold.ts';

const PAGE = 4096;

/** A pool in a RAM of its own whose evict callback can be changed. */
class Bench {
  readonly ram: Ram;
  readonly pool: Zpool;
  evict: (handle: Handle) => void | boolean = (handle) => this.pool.free(handle);

  constructor(options: ZpoolOptions = {}, bytes = '4MiB') {
    this.ram = Ram.createSync({ bytes });
    this.pool = this.ram.zpool('z3fold', { evict: (handle) => this.evict(handle), ...options });
  }

  get pages(): number {
    return this.pool.totalPages;
  }

  mallocs(...sizes: number[]): Handle[] {
    return sizes.map((size) => this.pool.malloc(size));
  }

  offset(handle: Handle): number {
    return this.pool.locate(handle).offset;
  }

  frame(handle: Handle): number {
    return this.pool.locate(handle).frame;
  }

  /** Frees everything, and requires that only the pool's header is left. */
  drain(): void {
    const handles: Handle[] = [];
    this.pool.walk(({ objects }) => handles.push(...objects.map(({ handle }) => handle)));
    for (const handle of handles) this.pool.free(handle);
    this.pool.runDeferred();
    this.ram.check();
    expect(this.pool.stats()).toMatchObject({ objects: 0, liveBytes: 0, frames: 0, metadataBytes: PAGE });
  }
}

function codeOf(call: () => unknown): string {
  return errorOf(call).code;
}

// ── golden figures ───────────────────────────────────────────────────────────

function trace(bytes = '192MiB'): { bench: Bench; target: TraceTarget } {
  const bench = new Bench({}, bytes);
  const { pool } = bench;
  const target: TraceTarget = {
    malloc: (size) => pool.malloc(size),
    free: (handle) => pool.free(handle as Handle),
    placement: (handle) => pool.locate(handle as Handle).offset,
    get pages() {
      return pool.totalPages;
    },
    map: (handle, mode) => pool.map(handle as Handle, mode),
    unmap: (handle) => pool.unmap(handle as Handle),
    shrink(pages, evict) {
      bench.evict = (handle) => {
        if (evict(handle) === 'keep') return false;
        pool.free(handle);
        return true;
      };
      try {
        return pool.shrink(pages);
      } catch (error) {
        return (error as CompcacheError).errno;
      }
    },
  };
  return { bench, target };
}

describe('golden figures', () => {
  test('T1: Z1..Z9', () => {
    const { bench, target } = trace();
    const result = runT1(target);
    expect(result).toMatchObject({ pages: 39780, placement: 140965776, requested: 155298994, drained: 0 });
    expect(result.density.toFixed(4)).toBe('0.9531');
    bench.drain();
  });

  test('T3: Z10..Z17', () => {
    const { bench, target } = trace();
    const result = runT3(target, { drain: false });
    expect(result).toMatchObject({
      full: 39860,
      freeMarks: [39858, 39823, 39482, 36003, 20585],
      half: 20585,
      placement: 419192144,
      liveBytes: 77783483,
    });
    expect(result.density.toFixed(4)).toBe('0.9225');
    bench.ram.check();
    // Section 3: moves between frames; slides are not counted.
    expect(bench.pool.stats()).toMatchObject({ objects: 50000, liveBytes: 77783483, objectsMoved: 19192 });
    bench.drain();
  });

  test('section 3: first 24 of T1, size@offset', () => {
    const bench = new Bench();
    const draw = createDraw(1);
    const seen = Array.from({ length: 24 }, () => size1(draw)).map(
      (size) => `${size}@${bench.offset(bench.pool.malloc(size))}`,
    );
    expect(seen.join(' ')).toBe(
      '1633@64 848@3200 2788@64 2602@64 2615@64 1963@64 1163@2880 1539@2496 3052@64 2234@64 ' +
        '2283@64 825@3264 2591@64 1151@2944 2815@64 1045@3008 1611@2432 1169@2880 2840@64 ' +
        '224@2688 1106@2944 2209@64 633@3456 843@1728',
    );
  });

  test.each([
    [10, 7, 49015],
    [100, 47, 7944954],
    [1_000, 397, 808090388],
    [10_000, 3969, 4028813064],
  ])('section 3: T1 after %i mallocs', (count, pages, placement) => {
    const { bench, target } = trace('32MiB');
    expect(runT1(target, { drain: false }, count)).toMatchObject({ pages, placement });
    bench.ram.check();
  });

  test('section 3: moves in T3', () => {
    const { bench, target } = trace();
    const draw = createDraw(3);
    const handles = Array.from({ length: 100_000 }, () => target.malloc(size1(draw)));
    const seen: string[] = [];
    for (let frees = 1; frees <= 10_000; frees++) {
      target.free(handles[2 * frees - 1] as number);
      if ([10, 100, 1_000, 10_000].includes(frees))
        seen.push(`${frees}: ${target.pages} ${bench.pool.stats().objectsMoved}`);
    }
    expect(seen).toEqual(['10: 39858 2', '100: 39823 37', '1000: 39482 377', '10000: 36003 3852']);
  });

  test('E6, churn then reclaim: Z9, Z10, Z16, Z19, Z20', () => {
    const { bench, target } = trace('64MiB');
    const r = runE6(target);
    expect([r.before, r.after, r.evicted, r.evictionChecksum, r.placement, r.drained]).toEqual([
      8395, 7895, 756, 2860094559, 21458272, 0,
    ]);
    expect(r.firstEvicted.slice(0, 4)).toEqual([3234, 11075, 14549, 15463]);
    bench.drain();
  });

  test('E7, refusals: Z5, Z20, Z21', () => {
    const { bench, target } = trace('32MiB');
    const r = runE7(target);
    expect([r.filled, r.afterFirst, r.refilled, r.end, r.placement, r.drained]).toEqual([
      2026, 1669, 3380, 2880, 1248450312, 0,
    ]);
    expect([r.first.ok, r.first.again, r.first.evicted, r.first.refused, r.first.evictionChecksum]).toEqual([
      357, 143, 1613, 2093, 103698420,
    ]);
    expect([r.second.ok, r.second.again, r.second.evicted, r.second.evictionChecksum]).toEqual([
      500, 0, 2843, 2743844380,
    ]);
    bench.drain();
  });

  test('E8, thinned then reclaim: Z10, Z16, Z17, Z19', () => {
    const { bench, target } = trace('64MiB');
    const r = runE8(target);
    expect([r.full, r.thinned, r.end, r.evicted, r.evictionChecksum, r.placement, r.drained]).toEqual([
      7889, 5381, 4881, 1153, 1348960099, 3022946448, 0,
    ]);
    bench.drain();
  });

  test('E9, maps: Z4, Z7, Z15, Z18', () => {
    const { bench, target } = trace('64MiB');
    const r = runE9(target);
    expect([r.full, r.freed, r.refilled, r.end, r.placement, r.drained]).toEqual([
      7964, 5197, 6739, 5224, 3594181300, 0,
    ]);
    bench.drain();
  });

  test('E10, headless too: Z2, Z20', () => {
    const { bench, target } = trace('32MiB');
    const r = runE10(target);
    expect([r.full, r.thinned, r.end, r.evicted, r.evictionChecksum, r.placement, r.drained]).toEqual([
      5268, 3507, 3007, 923, 594116297, 1073843720, 0,
    ]);
    bench.drain();
  });
});

// ── rules ────────────────────────────────────────────────────────────────────

describe('API', () => {
  test('properties, options', () => {
    const { ram, pool } = new Bench();
    expect(pool).toMatchObject({
      allocator: 'z3fold',
      evictable: true,
      canSleepMapped: true,
      mallocSupportMovable: true,
    });
    expect(codeOf(() => ram.zpool('z3fold', { deferred: 'never' as never }))).toBe('EINVAL');
    expect(codeOf(() => ram.zpool('z3fold', { layout: '6.1' }))).toBe('EINVAL');
    expect(codeOf(() => ram.zpool('zbud', { deferred: 'manual' }))).toBe('EINVAL');
    ram.zpool('z3fold', { deferred: 'afterFree', name: 'a' });
    ram.zpool('z3fold', { deferred: 'manual', name: 'b' });
    ram.check();
  });

  test('codes; nothing changes on an error', () => {
    const { ram, pool } = new Bench();
    const other = ram.zpool('z3fold');
    const before = ram.snapshot();
    for (const size of [0, -1, 1.5, NaN, 2 ** 32]) expect(codeOf(() => pool.malloc(size))).toBe('EINVAL');
    expect(codeOf(() => pool.malloc(PAGE + 1))).toBe('ENOSPC');
    expect(ram.snapshot()).toEqual(before);
    const handle = pool.malloc(1000);
    const headless = pool.malloc(PAGE);
    const taken = ram.snapshot();
    expect(codeOf(() => pool.unmap(handle))).toBe('EINVAL');
    expect(codeOf(() => other.free(handle))).toBe('EINVAL');
    for (const bad of [0, 1, handle + 1, handle ^ 0x80000000, 0xffffffff] as Handle[]) {
      if ((bad as number) === (headless as number)) continue;
      for (const call of [
        () => pool.free(bad),
        () => pool.size(bad),
        () => pool.read(bad),
        () => pool.map(bad, 'ro'),
        () => pool.locate(bad),
      ]) {
        expect(codeOf(call)).toBe('EINVAL');
      }
    }
    expect(ram.snapshot()).toEqual(taken);
    for (const each of [handle, headless]) {
      pool.map(each, 'rw');
      pool.map(each, 'ro');
      pool.unmap(each);
      expect(codeOf(() => pool.free(each))).toBe('EBUSY');
      expect(codeOf(() => pool.destroy())).toBe('EBUSY');
      ram.check();
      pool.unmap(each);
      pool.free(each);
      expect(codeOf(() => pool.free(each))).toBe('EINVAL');
    }
    ram.check();
  });

  test('1023 maps of one object, then EBUSY', () => {
    const { ram, pool } = new Bench();
    const handle = pool.malloc(100);
    for (let i = 0; i < 1023; i++) pool.map(handle, 'ro');
    expect(codeOf(() => pool.map(handle, 'ro'))).toBe('EBUSY');
    ram.check();
    for (let i = 0; i < 1023; i++) pool.unmap(handle);
    pool.free(handle);
    ram.check();
  });

  test('Z2: sizes at the borders; walk, lists', () => {
    const bench = new Bench();
    const { pool } = bench;
    const [buddied, headless] = bench.mallocs(3968, 3969) as [Handle, Handle];
    expect([buddied, headless].map((handle) => [pool.size(handle), bench.offset(handle)])).toEqual([
      [3968, 64],
      [3969, 0],
    ]);
    expect(bench.pages).toBe(2);
    // The gap of one chunk behind 3968 is open, the headless page has none.
    bench.mallocs(64, 64);
    expect(bench.pages).toBe(3);
    const contents = new Map<number, unknown>();
    pool.walk((each) => contents.set(each.frame, each));
    expect(contents.get(bench.frame(headless))).toEqual({
      frame: bench.frame(headless),
      objects: [{ handle: headless, offset: 0, bytes: 3969 }],
      free: [],
    });
    expect(contents.get(bench.frame(buddied))).toMatchObject({
      objects: [
        { handle: buddied, offset: 64, bytes: 3968 },
        { offset: 4032, bytes: 64 },
      ],
      free: [],
    });
    const { lists } = pool.stats();
    expect(lists).toHaveLength(64);
    expect([lists?.[0], lists?.[62], lists?.reduce((sum, length) => sum + length)]).toEqual([1, 1, 2]);
    bench.drain();
  });

  test('walk reports the gaps on both sides of a MIDDLE', () => {
    const bench = new Bench();
    const [first, last, middle] = bench.mallocs(640, 640, 64) as [Handle, Handle, Handle];
    bench.pool.map(middle, 'ro');
    bench.pool.free(first);
    bench.pool.free(last);
    bench.pool.walk(({ objects, free }) => {
      expect(objects).toEqual([{ handle: middle, offset: 704, bytes: 64 }]);
      expect(free).toEqual([
        { offset: 64, bytes: 640 },
        { offset: 768, bytes: 3328 },
      ]);
    });
  });

  test('a page whose block is too large is stored raw, in the allocator', () => {
    const bench = new Bench();
    const noise = crypto.getRandomValues(new Uint8Array(PAGE));
    const into = new Uint8Array(PAGE);
    const entry = bench.pool.storePage(noise);
    bench.pool.loadPage(entry, into);
    expect(into).toEqual(noise);
    expect(bench.pages).toBe(1);
    bench.pool.freePage(entry);
    bench.drain();
  });

  test('destroy gives everything back; images carry everything', async () => {
    const { ram, pool } = new Bench({ deferred: 'manual' });
    const empty = ram.freeFrames + 1;
    const handles = Array.from({ length: 60 }, (_, i) => pool.malloc(1 + ((i * 613) % 4096)));
    handles.forEach((handle, i) => i % 3 === 0 && pool.free(handle));
    const copy = await Ram.restore(ram.snapshot());
    const twin = copy.openZpool(pool.name);
    expect(copy.snapshot()).toEqual(ram.snapshot());
    for (const each of [pool, twin]) each.runDeferred();
    expect(copy.snapshot()).toEqual(ram.snapshot());
    for (const handle of handles.filter((_, i) => i % 3 === 0)) expect(codeOf(() => twin.free(handle))).toBe('EINVAL');
    pool.destroy();
    ram.check();
    expect(ram.freeFrames).toBe(empty);
  });
});

describe('placement and work', () => {
  test('stats(): a frame with deferred work is on list 63 until the work is done', () => {
    const { pool } = new Bench({ deferred: 'manual' });
    const [first] = [1000, 1500].map((size) => pool.malloc(size)) as [Handle];
    expect(pool.stats().lists?.[63]).toBe(0);
    pool.free(first);
    expect([pool.stats().lists?.[63], pool.stats().lists?.reduce((sum, frames) => sum + frames, 0)]).toEqual([1, 1]);
    pool.runDeferred();
    expect([pool.stats().lists?.[63], pool.stats().lists?.[63 - 24]]).toEqual([0, 1]);
  });

  test('Z5, Z7, Z8: MIDDLE directly behind FIRST; thirds', () => {
    const bench = new Bench();
    const thirds = bench.mallocs(1344, 1344, 1344);
    expect(bench.pages).toBe(1);
    expect(thirds.map((handle) => bench.offset(handle))).toEqual([64, 64 * 43, 64 * 22]);
  });

  test('Z14.2, Z6, Z13: with manual work a pending frame is counted and takes no object', () => {
    const bench = new Bench({ deferred: 'manual' });
    const { ram, pool } = bench;
    const [a, b] = bench.mallocs(1000, 1000) as [Handle, Handle];
    pool.free(a);
    expect(pool.stats().lists?.[63]).toBe(1);
    const [c] = bench.mallocs(1000) as [Handle];
    expect(bench.pages).toBe(2);
    pool.free(b);
    expect(bench.pages).toBe(2);
    ram.check();
    expect(pool.freeable()).toBeGreaterThanOrEqual(1);
    pool.runDeferred();
    expect(bench.pages).toBe(1);
    pool.free(c);
    expect(bench.pages).toBe(0);
    bench.drain();
  });

  test('Z13, Z14: the work is done oldest first', () => {
    const bench = new Bench({ deferred: 'manual' });
    const { pool } = bench;
    // Two frames with two objects each; both get a lone object. The older one's object finds no other frame, the
    // younger one's moves to it.
    const [a1, a2, b1, b2] = bench.mallocs(1900, 1900, 1900, 1900) as [Handle, Handle, Handle, Handle];
    const [frameOfA, frameOfB] = [bench.frame(a1), bench.frame(b1)];
    pool.free(b2);
    pool.free(a2);
    expect(pool.compact()).toBe(1);
    expect([bench.frame(a1), bench.frame(b1)]).toEqual([frameOfB, frameOfB]);
    expect(frameOfA).not.toBe(frameOfB);
    bench.drain();
  });

  test('Z12: the work of a full frame is done inside free', () => {
    const bench = new Bench({ deferred: 'manual' });
    const [, last, middle] = bench.mallocs(1000, 1000, 1000) as [Handle, Handle, Handle];
    expect(bench.offset(middle)).toBe(64 * 17);
    bench.pool.free(last);
    expect(bench.pool.stats().lists?.[63]).toBe(0);
    expect(bench.offset(bench.pool.malloc(1000))).toBe(64 * 48);
    expect(bench.pages).toBe(1);
    bench.drain();
  });

  test('Z12: also inside an evict callback, while other work waits (Z13)', () => {
    const bench = new Bench();
    const { pool } = bench;
    const [victim] = bench.mallocs(3900) as [Handle];
    const [, , middle, , other] = bench.mallocs(640, 640, 640, 3200, 640) as Handle[] as [
      Handle,
      Handle,
      Handle,
      Handle,
      Handle,
    ];
    const [first] = [...frameOf(bench, middle)] as [Handle];
    const seen: unknown[] = [];
    bench.evict = (handle) => {
      pool.free(first);
      seen.push(bench.offset(middle));
      pool.free(other);
      seen.push(pool.stats().lists?.[63]);
      pool.free(handle);
    };
    expect(bench.offset(middle)).toBe(64 * 11);
    expect(pool.shrink(1)).toBe(1);
    // MIDDLE slid against LAST at once; the other frame was worked on after the reclaim.
    expect(seen).toEqual([64 * 44, 1]);
    expect(pool.stats().lists?.[63]).toBe(0);
    expect(() => pool.size(victim)).toThrow();
    bench.drain();
  });

  test('Z15: slides at 3 chunks, not at 2; renames; a map of MIDDLE holds it, one of FIRST does not (Z18)', () => {
    const bench = new Bench();
    const { pool } = bench;
    const bytes = Uint8Array.from({ length: 320 }, (_, i) => i);
    // FIRST 3, LAST 10, MIDDLE 5 at 4.
    const [first, last, middle] = bench.mallocs(192, 640, 320) as [Handle, Handle, Handle];
    pool.write(middle, bytes);
    pool.free(last);
    expect(bench.offset(middle)).toBe(64 * 4);
    pool.map(middle, 'ro');
    pool.map(middle, 'ro');
    pool.unmap(middle);
    pool.free(first);
    expect(bench.offset(middle)).toBe(64 * 4);
    // Z7: FIRST as soon as it fits, however big the other side; then LAST.
    const [again, behind] = bench.mallocs(192, 64) as [Handle, Handle];
    expect([again, behind].map((handle) => bench.offset(handle))).toEqual([64, 64 * 63]);
    pool.unmap(middle);
    expect(bench.offset(middle)).toBe(64 * 4); // 6 f
    pool.map(behind, 'ro');
    pool.free(again);
    expect(bench.offset(middle)).toBe(64 * 58);
    pool.unmap(behind);
    pool.free(behind);
    expect(bench.offset(middle)).toBe(64);
    expect(pool.read(middle)).toEqual(bytes);
    expect(bench.ram.check()).toBeUndefined();
    expect(pool.stats().objectsMoved).toBe(0);
    bench.drain();
  });

  test.each([2, 3])('Z15: a gap of %i chunks between MIDDLE and LAST', (gap) => {
    const bench = new Bench();
    // FIRST 10, MIDDLE 5, the gap, LAST.
    const [first, last, middle] = bench.mallocs(64 * 10, 64 * (48 - gap), 64 * 5) as [Handle, Handle, Handle];
    expect(bench.offset(last)).toBe(64 * (16 + gap));
    expect(bench.offset(middle)).toBe(64 * 11);
    bench.pool.free(first);
    expect(bench.offset(middle)).toBe(gap < 3 ? 64 * 11 : 64 * 14);
  });

  test('Z16: the target keeps its place in the LRU; Z17: an object moves once, and its frame is no victim', () => {
    const bench = new Bench();
    const { pool, ram } = bench;
    const bytes = Uint8Array.from({ length: 1900 }, (_, i) => i * 7);
    const [a1, a2, b1, b2] = bench.mallocs(1900, 1900, 1900, 1900) as [Handle, Handle, Handle, Handle];
    pool.write(b1, bytes);
    pool.free(a2);
    pool.free(b2);
    expect(bench.pages).toBe(1);
    expect([bench.frame(b1), bench.offset(b1)]).toEqual([bench.frame(a1), PAGE - 1920]);
    expect(pool.read(b1)).toEqual(bytes);
    expect(pool.stats()).toMatchObject({ objectsMoved: 1, bytesMoved: 1900 });
    // R4: nothing evictable (Z19 says EAGAIN).
    expect(codeOf(() => pool.shrink(1))).toBe('EINVAL');
    // The object is alone now, and there is a frame with room: it stays. Not even compact() moves it.
    pool.free(a1);
    const [c] = bench.mallocs(3000) as [Handle];
    ram.check();
    expect([bench.pages, bench.offset(b1), pool.compact()]).toEqual([2, PAGE - 1920, 0]);
    pool.free(c);
    bench.mallocs(1900);
    expect(bench.pages).toBe(1);
    pool.free(b1);
    expect(pool.shrink(1)).toBe(1);
    bench.drain();
  });

  test('Z10, Z16: neither free nor being the target of a move changes the order of eviction', () => {
    const bench = new Bench();
    const { pool } = bench;
    const [a1, a2, b1, b2] = bench.mallocs(1900, 1900, 2000, 1900) as [Handle, Handle, Handle, Handle];
    const [d1] = bench.mallocs(3900) as [Handle];
    pool.free(a2); // a1 is in the older frame
    pool.free(b2); // b1 needs 32 chunks and moves to the frame of a1, which has 33
    expect(bench.frame(b1)).toBe(bench.frame(a1));
    pool.free(b1); // the guest is gone: a is evictable again
    const evicted: Handle[] = [];
    bench.evict = (handle) => {
      evicted.push(handle);
      pool.free(handle);
    };
    expect(pool.shrink(2)).toBe(2);
    expect(evicted).toEqual([a1, d1]);
    bench.drain();
  });

  test('Z18: a map in a frame prevents its lone object from moving; unmap starts no work', () => {
    const bench = new Bench();
    const { pool } = bench;
    const [a1, a2, b1, b2] = bench.mallocs(1900, 1900, 1900, 1900) as [Handle, Handle, Handle, Handle];
    for (const handle of [a1, b1]) pool.map(handle, 'ro');
    for (const handle of [a2, b2]) pool.free(handle);
    expect(bench.pages).toBe(2);
    expect(pool.compact()).toBe(0);
    for (const handle of [a1, b1]) pool.unmap(handle);
    expect(bench.pages).toBe(2);
    // No free looks at these objects again, but compact() does.
    expect(pool.freeable()).toBeGreaterThanOrEqual(1);
    expect(pool.compact()).toBe(1);
    expect(pool.compact()).toBe(0);
    bench.drain();
  });
});

/** Live objects of the frame of an object: FIRST, MIDDLE, LAST. */
function frameOf(bench: Bench, handle: Handle): Handle[] {
  const frame = bench.frame(handle);
  const found: Handle[] = [];
  bench.pool.walk((each) => each.frame === frame && found.push(...each.objects.map((object) => object.handle)));
  return found;
}

describe('reclaim', () => {
  /** An evict callback that records the objects and refuses them. */
  function refusing(bench: Bench): Handle[] {
    const seen: Handle[] = [];
    bench.evict = (handle) => {
      seen.push(handle);
      return false;
    };
    return seen;
  }

  test('Z19: EINVAL without a callback, with nothing to evict; EAGAIN after eight tries', () => {
    const bench = new Bench();
    expect(codeOf(() => bench.ram.zpool('z3fold').shrink(1))).toBe('EINVAL');
    expect(bench.pool.shrink(0)).toBe(0);
    expect(codeOf(() => bench.pool.shrink(1))).toBe('EINVAL');
    bench.mallocs(1000);
    const seen = refusing(bench);
    expect(codeOf(() => bench.pool.shrink(1))).toBe('EAGAIN');
    expect(seen).toHaveLength(8);
  });

  test('Z19, R4: a frame with a mapped object is passed over, keeps its place, costs no try', () => {
    const bench = new Bench();
    const { pool } = bench;
    const handles = bench.mallocs(3900, 4096, 3900) as [Handle, Handle, Handle];
    pool.map(handles[0], 'ro');
    pool.map(handles[1], 'ro');
    const seen: Handle[] = [];
    bench.evict = (handle) => {
      seen.push(handle);
      pool.free(handle);
    };
    expect(pool.shrink(1)).toBe(1);
    expect(codeOf(() => pool.shrink(1))).toBe('EINVAL');
    pool.unmap(handles[1]);
    pool.unmap(handles[0]);
    expect(pool.shrink(2)).toBe(2);
    expect(seen).toEqual([handles[2], handles[0], handles[1]]);
    bench.drain();
  });

  test('Z20: MIDDLE, FIRST, LAST; a refusal skips the rest', () => {
    const bench = new Bench();
    const [first, last, middle] = bench.mallocs(1000, 1000, 1000) as [Handle, Handle, Handle];
    const seen: Handle[] = [];
    bench.evict = (handle) => {
      seen.push(handle);
      return handle !== first;
    };
    expect(codeOf(() => bench.pool.shrink(1))).toBe('EAGAIN');
    expect(seen.slice(0, 4)).toEqual([middle, first, middle, first]);
    expect(seen).not.toContain(last);
  });

  test('Z21: a frame that is kept goes to the front of the LRU and the head of its list, without being compacted', () => {
    const bench = new Bench();
    const { pool } = bench;
    const [, , middle] = bench.mallocs(640, 640, 640) as [Handle, Handle, Handle];
    const [lone] = bench.mallocs(3900) as [Handle];
    const [first] = frameOf(bench, middle) as [Handle];
    const seen: Handle[] = [];
    bench.evict = (handle) => {
      seen.push(handle);
      if (handle === middle) return false; // first try: nothing goes
      pool.free(handle);
      return true;
    };
    expect(pool.shrink(1)).toBe(1);
    expect(seen).toEqual([middle, lone]);
    // Now the callback frees FIRST and keeps MIDDLE: MIDDLE does not slide, although its gap to LAST is wide.
    bench.evict = (handle) => {
      if (handle !== middle) throw new Error('only MIDDLE is asked for');
      if (bench.pages === 1 && pool.stats().objects === 3) pool.free(first);
      return false;
    };
    const error = errorOf(() => pool.shrink(1));
    expect(error.code).toBe('EAGAIN');
    expect(bench.offset(middle)).toBe(64 * 11);
    bench.ram.check();
    // It is listed by its wider gap, before MIDDLE.
    const again = pool.malloc(640);
    expect([bench.frame(again), bench.offset(again)]).toEqual([bench.frame(middle), 64]);
    bench.drain();
  });

  test('Z13, Z22: frees made by a callback wait for the end of the reclaim', () => {
    const bench = new Bench();
    const { pool } = bench;
    const [a1, a2, b1, b2] = bench.mallocs(2000, 1900, 2000, 1900) as [Handle, Handle, Handle, Handle];
    const [c] = bench.mallocs(3900) as [Handle];
    const seen: number[] = [];
    bench.evict = (handle) => {
      if (seen.length === 0) pool.free(b2);
      seen.push(handle, bench.pages);
      if (handle === a2) return false;
      pool.free(handle);
      return true;
    };
    expect(pool.shrink(1)).toBe(1);
    expect(seen.slice(0, 4)).toEqual([a1, 3, a2, 3]);
    expect(() => pool.size(b1)).toThrow();
    expect([pool.size(a2), pool.size(c), bench.pages]).toEqual([1900, 3900, 2]);
    bench.drain();
  });

  test('6 a, b: nothing is left of guests and refused evictions', () => {
    const bench = new Bench();
    const { pool } = bench;
    const handles = Array.from({ length: 400 }, (_, i) => pool.malloc(200 + ((i * 997) % 2500)));
    handles.forEach((handle, i) => i % 2 === 1 && pool.free(handle));
    expect(pool.stats().objectsMoved).toBeGreaterThan(20);
    let n = 0;
    bench.evict = (handle) => {
      if (n++ % 3 === 0) return false;
      pool.free(handle);
      return true;
    };
    for (let i = 0; i < 50; i++) {
      try {
        pool.shrink(1);
      } catch (error) {
        expect((error as CompcacheError).code).toMatch(/EAGAIN|EINVAL/);
      }
      bench.ram.check();
    }
    bench.drain();
  });

  test('6 c: a frame emptied under reclaim is released although work is pending', () => {
    for (const emptied of [false, true]) {
      const bench = new Bench({ deferred: 'manual' });
      const { pool } = bench;
      const [a, b] = bench.mallocs(1000, 1000) as [Handle, Handle];
      pool.free(a);
      if (emptied) pool.free(b);
      let calls = 0;
      bench.evict = (handle) => {
        calls += 1;
        pool.free(handle);
      };
      expect(pool.shrink(1)).toBe(1);
      expect([calls, bench.pages, pool.stats().lists?.[63]]).toEqual([emptied ? 0 : 1, 0, 0]);
      bench.ram.check();
      pool.runDeferred();
      bench.drain();
    }
  });

  test('6 c: work that is pending stays so through a refused reclaim', () => {
    const bench = new Bench({ deferred: 'manual' });
    const { pool } = bench;
    const [a, b] = bench.mallocs(1000, 1000) as [Handle, Handle];
    pool.free(a);
    refusing(bench);
    expect(codeOf(() => pool.shrink(1))).toBe('EAGAIN');
    expect(pool.stats().lists?.[63]).toBe(1);
    bench.ram.check();
    expect(bench.frame(pool.malloc(1000))).not.toBe(bench.frame(b));
    pool.runDeferred();
    expect(bench.pages).toBe(1);
    bench.drain();
  });

  test('Z14.3: work that a callback starts does not touch the victim, which is put on its list when it is kept', () => {
    const bench = new Bench({ deferred: 'manual' });
    const { pool } = bench;
    const [a, b] = bench.mallocs(1000, 1000) as [Handle, Handle];
    pool.free(a);
    bench.evict = () => {
      pool.runDeferred();
      pool.compact();
      bench.ram.check();
      return false;
    };
    expect(codeOf(() => pool.shrink(1))).toBe('EAGAIN');
    bench.ram.check();
    expect(bench.frame(pool.malloc(1000))).toBe(bench.frame(b));
    bench.drain();
  });

  test('Z14.2, Z14.3: such work does not slide in a victim either, or release an empty one before its reclaim ends', () => {
    const bench = new Bench({ deferred: 'manual' });
    const { pool } = bench;
    const [first, , middle] = bench.mallocs(640, 640, 640) as [Handle, Handle, Handle];
    const last = frameOf(bench, middle)[2] as Handle;
    pool.free(last); // full before: worked on and listed at once
    pool.free(first); // pending
    const seen: number[] = [];
    bench.evict = (handle) => {
      pool.runDeferred();
      seen.push(bench.offset(middle), bench.pages);
      pool.free(handle);
      pool.runDeferred();
      bench.ram.check();
      seen.push(bench.pages);
    };
    expect(pool.shrink(1)).toBe(1);
    expect(seen).toEqual([64 * 11, 1, 1]);
    bench.drain();
    // The same with the work still pending when the last object goes.
    const [a, b] = bench.mallocs(1000, 1000) as [Handle, Handle];
    pool.free(a);
    bench.evict = () => {
      pool.free(b);
      pool.runDeferred();
      expect(bench.pages).toBe(1);
    };
    expect(pool.shrink(1)).toBe(1);
    expect(bench.pages).toBe(0);
    bench.drain();
  });

  test('6 d: an isolated frame cannot be the victim of a reclaim inside the callback', () => {
    for (const size of [4096, 1000]) {
      const bench = new Bench();
      const { pool } = bench;
      const handle = pool.malloc(size);
      const seen: unknown[] = [];
      bench.evict = (offered) => {
        seen.push(
          offered,
          codeOf(() => pool.shrink(1)),
        );
        pool.free(offered);
        expect(codeOf(() => pool.shrink(1))).toBe('EINVAL');
      };
      expect(pool.shrink(1)).toBe(1);
      expect(seen).toEqual([handle, 'EINVAL']);
      bench.drain();
    }
  });

  test('6 e: whether a frame is free is decided by its objects, not by the answer of the callback', () => {
    for (const size of [4096, 1000]) {
      const bench = new Bench();
      const { pool } = bench;
      const kept = pool.malloc(size);
      bench.evict = () => true; // accepted, and nothing freed
      expect(codeOf(() => pool.shrink(1))).toBe('EAGAIN');
      expect(pool.size(kept)).toBe(size);
      bench.evict = (handle) => {
        pool.free(handle);
        return false; // refused, but freed
      };
      expect(pool.shrink(1)).toBe(1);
      expect(bench.pages).toBe(0);
      bench.drain();
    }
  });

  test('a callback that maps its object: free is EBUSY, the frame is kept', () => {
    const bench = new Bench();
    const { pool } = bench;
    const [a, b] = bench.mallocs(1000, 1000) as [Handle, Handle];
    bench.evict = (handle) => {
      pool.map(handle, 'ro');
      pool.free(handle);
    };
    const error = errorOf(() => pool.shrink(1));
    expect([error.code, (error.cause as CompcacheError).code]).toEqual(['EAGAIN', 'EBUSY']);
    bench.ram.check();
    expect(codeOf(() => pool.shrink(1))).toBe('EINVAL');
    pool.unmap(a);
    bench.evict = (handle) => pool.free(handle);
    expect(pool.shrink(1)).toBe(1);
    expect(() => pool.size(b)).toThrow();
    bench.drain();
  });
});

// ── compaction ───────────────────────────────────────────────────────────────

describe('compact', () => {
  /** A pool with lone objects that could not move when others were freed, because they were mapped. */
  function scattered(seed: number): { bench: Bench; live: Map<Handle, Uint8Array> } {
    const bench = new Bench({}, '8MiB');
    const { pool } = bench;
    const draw = createDraw(seed);
    const handles = Array.from({ length: 600 }, () => pool.malloc(size1(draw)));
    const live = new Map<Handle, Uint8Array>();
    for (const handle of handles) {
      if (draw() % 3 !== 0) continue;
      const bytes = Uint8Array.from({ length: pool.size(handle) }, () => draw());
      pool.write(handle, bytes);
      pool.map(handle, 'ro');
      live.set(handle, bytes);
    }
    for (const handle of handles) if (!live.has(handle)) pool.free(handle);
    for (const handle of live.keys()) pool.unmap(handle);
    return { bench, live };
  }

  test.each([1, 2, 3, 4, 5])(
    'frees the number of frames that it returns, at most freeable(), keeps every byte; the second call gives 0 (seed %i)',
    (seed) => {
      const { bench, live } = scattered(seed);
      const { pool, ram } = bench;
      const [before, most, moved] = [bench.pages, pool.freeable(), pool.stats().objectsMoved];
      const freed = pool.compact();
      ram.check();
      expect(freed).toBeGreaterThan(20);
      expect(most).toBeGreaterThanOrEqual(freed);
      expect(bench.pages).toBe(before - freed);
      expect(pool.stats().objectsMoved - moved).toBe(freed);
      for (const [handle, bytes] of live) expect(pool.read(handle)).toEqual(bytes);
      expect(pool.compact()).toBe(0);
      ram.check();
      bench.drain();
    },
  );

  test('victims bounds the moves', () => {
    const { bench } = scattered(6);
    const { pool } = bench;
    expect(pool.compact({ victims: 0 })).toBe(0);
    let sum = 0;
    for (let freed = 7; freed === 7; sum += freed) {
      freed = pool.compact({ victims: 7 });
      expect(freed).toBeLessThanOrEqual(7);
      bench.ram.check();
    }
    expect(sum).toBeGreaterThan(20);
    expect(pool.compact()).toBe(0);
  });

  test('the deferred work of a manual pool is done first, whatever the budget', () => {
    const bench = new Bench({ deferred: 'manual' });
    const { pool } = bench;
    const [a1, a2, b1, b2] = bench.mallocs(1900, 1900, 1900, 1900) as [Handle, Handle, Handle, Handle];
    for (const handle of [a1, a2, b2]) pool.free(handle);
    expect(bench.pages).toBe(2);
    expect(pool.freeable()).toBeGreaterThanOrEqual(1);
    expect(pool.compact({ victims: 0 })).toBe(1);
    expect(pool.size(b1)).toBe(1900);
    bench.drain();
  });

  test('freeable() without deferred work', () => {
    const bench = new Bench();
    const { pool } = bench;
    expect([pool.freeable(), pool.compact()]).toEqual([0, 0]);
    bench.mallocs(3900, 3800, 4096); // alone, and no frame has room for any
    expect([pool.freeable(), pool.compact()]).toEqual([0, 0]);
  });
});

// ── failing frames ───────────────────────────────────────────────────────────

describe('ENOMEM', () => {
  test.each(['afterFree', 'manual'] as const)(
    'at every frame request, %s: nothing changes, nothing is lost',
    (deferred) => {
      for (let after = 0; after < 12; after++) {
        const bench = new Bench({ deferred });
        const { ram, pool } = bench;
        const draw = createDraw(after + 1);
        ram.failFrames(after);
        const live: Handle[] = [];
        let error: CompcacheError | undefined;
        while (error === undefined) {
          const size = draw() % 4 === 0 ? 4000 : size1(draw);
          const before = [pool.stats(), ram.freeFrames, live.map((handle) => bench.offset(handle))];
          try {
            live.push(pool.malloc(size));
          } catch (thrown) {
            error = thrown as CompcacheError;
            ram.check();
            expect([pool.stats(), ram.freeFrames, live.map((handle) => bench.offset(handle))]).toEqual(before);
          }
        }
        expect(error).toMatchObject({ code: 'ENOMEM', errno: -12, op: 'zpool.malloc' });
        // Calls that need no frame work: free, map, compaction, reclaim.
        if (live.length > 2) pool.free(live.splice(1, 1)[0] as Handle);
        if (live.length > 0) {
          pool.map(live[0] as Handle, 'rw').fill(1);
          pool.unmap(live[0] as Handle);
        }
        pool.compact();
        ram.check();
        ram.failFrames(null);
        bench.mallocs(4096, 100, 2000);
        bench.drain();
      }
    },
  );

  test('a full RAM: every frame is used, and comes back', () => {
    const bench = new Bench({}, '256KiB');
    const { ram, pool } = bench;
    const free = ram.freeFrames;
    expect(
      codeOf(() => {
        for (;;) pool.malloc(3000);
      }),
    ).toBe('ENOMEM');
    expect(bench.pages + pool.stats().metadataBytes / PAGE - 1).toBe(free);
    ram.check();
    expect(pool.shrink(3)).toBe(3);
    bench.drain();
    expect(ram.freeFrames).toBe(free);
  });
});

// ── random calls, model and core side by side ────────────────────────────────

/** What an evict callback does, decided once for both sides. */
interface Decision {
  id: number;
  answer: EvictAnswer;
  act: (side: Side) => void;
}

/** The calls that callbacks make, in terms of the model's ids. */
interface Side {
  malloc(id: number, size: number): void;
  free(id: number): void;
  map(id: number): void;
  unmap(id: number): void;
  runDeferred(): void;
  shrink(pages: number): number;
}

class Pair {
  readonly bench: Bench;
  readonly model: Z3foldModel;
  readonly handles = new Map<number, Handle>();
  readonly bytes = new Map<number, Uint8Array>();
  readonly #draw: Draw;
  readonly #modelSide: Side;
  readonly #coreSide: Side;
  #decisions: Decision[] = [];
  #next = 0;
  #depth = 0;

  constructor(deferred: 'afterFree' | 'manual', seed: number) {
    this.#draw = createDraw(seed);
    this.bench = new Bench({ deferred }, '8MiB');
    this.bench.evict = (handle) => this.#replay(handle);
    this.model = new Z3foldModel({ deferred });
    const { model, handles } = this;
    const { pool } = this.bench;
    const handleOf = (id: number): Handle => handles.get(id) ?? (0xfffff as Handle);
    const quietly = (call: () => unknown): number => {
      try {
        const result = call();
        return typeof result === 'number' ? result : 0;
      } catch (error) {
        return (error as CompcacheError).errno;
      }
    };
    this.#modelSide = {
      malloc: (_, size) => void model.malloc(size),
      free: (id) => void model.free(id),
      map: (id) => void model.map(id, 'ro'),
      unmap: (id) => void model.unmap(id),
      runDeferred: () => model.runDeferred(),
      shrink: (pages) => model.shrink(pages, (id) => this.#decide(id)),
    };
    this.#coreSide = {
      malloc: (id, size) => this.#fill(id, pool.malloc(size), size),
      free: (id) => void quietly(() => pool.free(handleOf(id))),
      map: (id) => void quietly(() => pool.map(handleOf(id), 'ro')),
      unmap: (id) => void quietly(() => pool.unmap(handleOf(id))),
      runDeferred: () => pool.runDeferred(),
      shrink: (pages) => quietly(() => pool.shrink(pages)),
    };
  }

  #fill(id: number, handle: Handle, size: number): void {
    this.handles.set(id, handle);
    const bytes = new Uint8Array(size).fill(id);
    bytes[0] = id >>> 8;
    this.bytes.set(id, bytes);
    this.bench.pool.write(handle, bytes);
  }

  size(): number {
    const kind = this.#draw() % 16;
    const r = this.#draw();
    if (kind === 0) return 3950 + (r % 147);
    if (kind < 5) return 1 + (r % 300);
    return 1 + (r % 3100);
  }

  /** A live object, or one that was freed. */
  any(): number {
    const ids = this.model.ids();
    return ids.length === 0 || this.#draw() % 50 === 0
      ? 1 + (this.#draw() % 5000)
      : (ids[this.#draw() % ids.length] as number);
  }

  /** In the model: draws what a callback does, and notes it. */
  #decide(id: number): EvictAnswer {
    this.#depth += 1;
    const kind = this.#draw() % 16;
    const answer: EvictAnswer = kind < 9 ? 'free' : kind < 13 ? 'keep' : 'ok';
    const other = this.any();
    const size = this.size();
    const extra = this.#draw() % 24;
    let act: (side: Side) => void = () => undefined;
    if (extra === 0) act = (side) => side.free(other);
    else if (extra === 1) act = (side) => side.free(id);
    else if (extra === 3) act = (side) => side.map(other);
    else if (extra === 4) act = (side) => side.unmap(other);
    else if (extra === 5) act = (side) => side.runDeferred();
    else if (extra === 6 && this.#depth < 3) act = (side) => void side.shrink(1);
    else if (extra < 10)
      act = (side) => {
        side.free(other);
        side.free(other + 1);
        side.free(other + 2);
      };
    if (extra === 2) {
      const born = this.model.malloc(size);
      act = (side) => side.malloc(born, size);
    }
    this.#decisions.push({ id, answer, act });
    if (extra !== 2) act(this.#modelSide);
    this.#depth -= 1;
    return answer;
  }

  /** In the core: does what the model's callback did. */
  #replay(handle: Handle): boolean {
    const decision = this.#decisions[this.#next++];
    expect(decision, 'the core evicts more than the model').toBeDefined();
    const { id, answer, act } = decision as Decision;
    expect(handle, `victim ${this.#next}`).toBe(this.handles.get(id));
    act(this.#coreSide);
    if (answer === 'free') this.#coreSide.free(id);
    return answer !== 'keep';
  }

  step(): void {
    const { model } = this;
    const { pool } = this.bench;
    const kind = this.#draw() % 40;
    const wants = model.objects < 250 ? 22 : 14;
    if (kind < wants) {
      const size = this.size();
      this.#fill(model.malloc(size), pool.malloc(size), size);
    } else if (kind < 33) {
      const id = this.any();
      this.#modelSide.free(id);
      this.#coreSide.free(id);
    } else if (kind < 35) {
      const id = this.any();
      this.#modelSide.map(id);
      this.#coreSide.map(id);
    } else if (kind < 37) {
      const id = this.any();
      this.#modelSide.unmap(id);
      this.#coreSide.unmap(id);
    } else if (kind < 39) {
      this.#decisions = [];
      this.#next = 0;
      const pages = 1 + (this.#draw() % 3);
      const expected = this.#modelSide.shrink(pages);
      expect(this.#coreSide.shrink(pages)).toBe(expected);
      expect(this.#next, 'evictions').toBe(this.#decisions.length);
    } else if (this.#draw() % 4 === 0) {
      this.#modelSide.runDeferred();
      this.#coreSide.runDeferred();
    } else {
      // Sometimes all maps are removed, so that frames do not all stay pinned.
      for (const id of model.ids()) {
        this.#modelSide.unmap(id);
        this.#coreSide.unmap(id);
      }
    }
  }

  /** Requires that every object has the place that the model has, with the same other objects in its frame. */
  compare(): void {
    const { model, handles } = this;
    const { pool, ram } = this.bench;
    ram.check();
    expect([pool.totalPages, pool.stats().objects, pool.stats().liveBytes]).toEqual([
      model.pages,
      model.objects,
      model.liveBytes,
    ]);
    const frames = new Map<number, number>();
    for (const id of model.ids()) {
      const { frame, offset } = pool.locate(handles.get(id) as Handle);
      if (offset !== model.placement(id)) expect(offset, `object ${id}`).toBe(model.placement(id));
      const page = Math.floor(model.where(id) / PAGE);
      const known = frames.get(frame);
      if (known !== undefined && known !== page) expect(page, `frame of object ${id}`).toBe(known);
      frames.set(frame, page);
    }
  }

  /** Requires that every object has its bytes, and that freed ones are refused. */
  compareBytes(): void {
    const live = new Set(this.model.ids());
    for (const [id, handle] of this.handles) {
      if (live.has(id)) {
        if (this.bench.pool.read(handle).some((byte, i) => byte !== this.bytes.get(id)?.[i]))
          throw new Error(`bytes of object ${id}`);
      } else {
        expect(codeOf(() => this.bench.pool.size(handle))).toBe('EINVAL');
        this.handles.delete(id);
        this.bytes.delete(id);
      }
    }
  }
}

describe('random calls, compared with the model after each', () => {
  for (const deferred of ['afterFree', 'manual'] as const) {
    test.each([1, 2, 3])(`${deferred}, seed %i`, (seed) => {
      const pair = new Pair(deferred, seed);
      for (let step = 0; step < 3000; step++) {
        try {
          pair.step();
          pair.compare();
          if (step % 100 === 99) pair.compareBytes();
        } catch (error) {
          throw new Error(`${deferred}, seed ${seed}, step ${step}: ${(error as Error).message}`, { cause: error });
        }
      }
      pair.compareBytes();
      for (const id of pair.model.ids()) {
        const handle = pair.handles.get(id) as Handle;
        for (let maps = 0; maps < 100; maps++) {
          try {
            pair.bench.pool.unmap(handle);
          } catch {
            break;
          }
        }
      }
      pair.bench.drain();
    });
  }
});
