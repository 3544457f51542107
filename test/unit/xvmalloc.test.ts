/**
 * xvmalloc through the public API: rules X1..X19 of docs/rules/xvmalloc-xcfmalloc.md, the golden traces, and features
 * that the original does not have (handles, maps, reclaim, raw pages), compared with the independent model of
 * test/models/xvmalloc.ts.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CompcacheError, PAGE_SIZE, Ram, type Handle, type Zpool } from '../../bindings/index.ts';
import { createDraw, runT6, size6, type Draw, type TraceTarget } from '../models/trace.ts';
import { XvmallocModel } from '../models/xvmalloc.ts';

const LONG = { timeout: 120_000 };
const LARGEST = 4088;

let ram: Ram;
let pool: Zpool;

beforeEach(() => {
  ram = Ram.createSync();
  pool = ram.zpool('xvmalloc');
});

afterEach(() => ram.close());

/** The code that a call throws, '' when it does not. */
function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof CompcacheError) return error.code;
    throw error;
  }
  return '';
}

function mallocs(...sizes: number[]): Handle[] {
  return sizes.map((size) => pool.malloc(size));
}

function offsets(handles: Handle[]): number[] {
  return handles.map((handle) => pool.locate(handle).offset);
}

/** Returns a function that allocates, and gives the place relative to the frame of the pool's first object. */
function taker(): (size: number) => [string, Handle] {
  const frames = new Map<number, number>();
  return (size) => {
    const handle = pool.malloc(size);
    const { frame, offset } = pool.locate(handle);
    if (!frames.has(frame)) frames.set(frame, frames.size + 1);
    return [`${frames.get(frame)}:${offset}`, handle];
  };
}

/** Everything visible of a pool. */
function picture(of: Zpool): string {
  const frames: unknown[] = [];
  of.walk((contents) => frames.push(contents));
  return JSON.stringify([frames, of.stats()]);
}

// ── golden traces ────────────────────────────────────────────────────────────

/** T1 and T3 are in conformance/golden.test.ts, T2 in golden-large.test.ts. */
describe('golden traces', () => {
  let big: Ram;
  let target: TraceTarget;

  beforeEach(() => {
    big = Ram.createSync({ bytes: '256MiB' });
    const traced = big.zpool('xvmalloc');
    target = {
      malloc: (size) => traced.malloc(size),
      free: (handle) => traced.free(handle as Handle),
      placement: (handle) => traced.locate(handle as Handle).offset,
      get pages() {
        return traced.totalPages;
      },
    };
  });

  afterEach(() => {
    big.check();
    big.close();
  });

  it('X4, X9, X12, X15: T6', LONG, () => {
    expect(runT6(target)).toMatchObject({
      filled: 2555,
      marks: [2577, 2580, 2546, 2528, 2613],
      peak: 2646,
      placement: 931153724,
      drained: 0,
    });
  });
});

// ── scenarios ────────────────────────────────────────────────────────────────

describe('placement', () => {
  it('X4..X8, X12..X16: scenario XA', () => {
    const take = taker();
    const [o1, first] = take(100);
    const [o2, thirtyThree] = take(33);
    const [o3, one] = take(1);
    const [o4, second] = take(100);
    const [o5] = take(2000);
    expect([o1, o2, o3, o4, o5]).toEqual(['1:4', '1:108', '1:148', '1:156', '1:260']);
    pool.free(thirtyThree);
    expect(take(36)[0]).toBe('1:2264');
    pool.free(one);
    expect(take(36)[0]).toBe('1:108');
    pool.free(first);
    pool.free(second);
    expect(take(104)[0]).toBe('1:148');
    expect(take(1500)[0]).toBe('1:2304');
    expect(take(8)[0]).toBe('1:4');
    expect(pool.totalPages).toBe(1);
    ram.check();
  });

  it('X7: scenario XB, the last freed first', () => {
    const handles = mallocs(504, 504, 504, 504, 504, 504, 504, 504);
    expect(offsets(handles)).toEqual([4, 512, 1020, 1528, 2036, 2544, 3052, 3560]);
    for (const nth of [1, 5, 3]) pool.free(handles[nth] as Handle);
    expect(offsets(mallocs(504, 504, 504))).toEqual([1528, 2544, 512]);
    expect(pool.totalPages).toBe(1);
    ram.check();
  });

  it('X5, X6, X9: scenario XC', () => {
    const take = taker();
    expect([4088, 4084, 4081].map((size) => take(size)[0])).toEqual(['1:4', '2:4', '3:4']);
    ram.check();
  });

  it('X9: sizes 4089..4092 are refused before the pool grows', () => {
    for (const size of [4089, 4090, 4091, 4092, 4093, 4096, 2 ** 31, 2 ** 32 - 1]) {
      expect(codeOf(() => pool.malloc(size))).toBe('ENOSPC');
    }
    expect(codeOf(() => pool.malloc(0))).toBe('EINVAL');
    expect(pool.totalPages).toBe(0);
    expect(ram.stats().highWaterFrames).toBe(1);
    ram.check();
  });

  it('X8: a block of 4-mod-8 size is invisible to a request of its size', () => {
    const [a = 0 as Handle] = mallocs(100, 3960);
    pool.free(a);
    expect(pool.locate(pool.malloc(100)).offset).toBe(4);
    expect(pool.totalPages).toBe(2);
    expect(pool.locate(pool.malloc(96)).offset).toBe(4);
    expect(pool.totalPages).toBe(2);
  });

  it('X2, X14: the size is the requested one, and so are the bytes', () => {
    const handles = [1, 2, 3, 4, 5, 31, 32, 33, 4087, LARGEST].map((size) => {
      const handle = pool.malloc(size);
      pool.write(handle, new Uint8Array(size).fill(size));
      return [handle, size] as const;
    });
    for (const [handle, size] of handles) {
      expect(pool.size(handle)).toBe(size);
      expect(pool.read(handle)).toEqual(new Uint8Array(size).fill(size));
    }
    ram.check();
  });

  it('X5: stats count the free blocks of each of the 508 lists', () => {
    const handles = mallocs(36, 4, 44, 4, 40, 4, 28, 4);
    for (const nth of [0, 2, 4, 6]) pool.free(handles[nth] as Handle);
    const lists = pool.stats().lists as number[];
    expect(lists.length).toBe(508);
    expect(lists.slice(0, 3)).toEqual([1, 2, 0]);
    expect(lists.reduce((sum, length) => sum + length)).toBe(4);
  });

  it('X1: walk tiles each frame', () => {
    const draw = createDraw(11);
    const live: Handle[] = [];
    for (let i = 0; i < 400; i++) {
      live.push(pool.malloc(size6(draw)));
      if (draw() % 2 === 0) pool.free(live.splice(draw() % live.length, 1)[0] as Handle);
    }
    let objects = 0;
    pool.walk((contents) => {
      const blocks = [...contents.objects, ...contents.free].sort((a, b) => a.offset - b.offset);
      let end = 0;
      for (const { offset, bytes } of blocks) {
        expect([4, 8]).toContain(offset - end); // a header, or also the header of a free block without bytes
        end = offset + Math.ceil(bytes / 4) * 4;
      }
      expect([PAGE_SIZE, PAGE_SIZE - 4]).toContain(end);
      for (const { handle, offset, bytes } of contents.objects) {
        expect([pool.locate(handle), pool.size(handle)]).toEqual([{ frame: contents.frame, offset }, bytes]);
      }
      objects += contents.objects.length;
    });
    expect(objects).toBe(live.length);
  });
});

// ── handles ──────────────────────────────────────────────────────────────────

describe('handles', () => {
  const small = (): { tiny: Ram; of: Zpool } => {
    const tiny = Ram.createSync({ bytes: '1MiB' });
    return { tiny, of: tiny.zpool('xvmalloc') };
  };

  /** The handles that are accepted among all places of a frame and 256 generations. */
  function accepted(of: Zpool, frame: number, before: (generation: number) => void): number[] {
    const found: number[] = [];
    for (let generation = 0; generation < 256; generation++) {
      before(generation);
      for (let place = 0; place < 512; place++) {
        const handle = (generation * 512 + place) * 256 + frame; // 1 MiB has 256 frames
        if (codeOf(() => of.size(handle as Handle)) === '') found.push(handle);
      }
    }
    return found.sort((a, b) => a - b);
  }

  /** A payload all of whose words look like headers of used blocks. */
  function headers(bytes: number, generation: number): Uint8Array {
    const words = new Uint32Array(Math.ceil(bytes / 4)).fill((generation << 24) | 100);
    return new Uint8Array(words.buffer, 0, bytes);
  }

  it('a payload that looks like headers makes no handle valid', LONG, () => {
    const { of } = small();
    const whole = of.malloc(LARGEST);
    const { frame } = of.locate(whole);
    expect(accepted(of, frame, (generation) => of.write(whole, headers(LARGEST, generation)))).toEqual([whole]);
  });

  it('such payloads make no handle valid among many objects, free blocks and merged ones either', LONG, () => {
    const { tiny, of } = small();
    const all = Array.from({ length: 60 }, (_, i) => of.malloc(1 + ((i * 7) % 90)));
    const { frame } = of.locate(all[0] as Handle);
    const live: Handle[] = [];
    for (const [i, handle] of all.entries()) {
      if (of.locate(handle).frame !== frame) continue;
      of.write(handle, headers(of.size(handle), i));
      if (i % 3 === 1 || i % 7 === 0) of.free(handle);
      else live.push(handle);
    }
    expect(accepted(of, frame, () => undefined)).toEqual(live.sort((a, b) => a - b));
    tiny.check();
  });

  it('a freed handle is refused when its block is in use again, 254 times', () => {
    const stale: Handle[] = [];
    const keep = pool.malloc(2000);
    for (let i = 0; i < 254; i++) {
      const handle = pool.malloc(500);
      expect(stale).not.toContain(handle);
      for (const old of stale) expect(codeOf(() => pool.free(old))).toBe('EINVAL');
      pool.free(handle);
      expect(codeOf(() => pool.free(handle))).toBe('EINVAL');
      stale.push(handle);
    }
    pool.free(keep);
    ram.check();
  });

  it('the same when the frame goes back each time and another pool uses it', () => {
    const other = ram.zpool('zbud');
    const stale: Handle[] = [];
    for (let i = 0; i < 120; i++) {
      const handle = pool.malloc(500);
      for (const old of stale) expect(codeOf(() => pool.size(old))).toBe('EINVAL');
      expect(codeOf(() => other.size(handle))).toBe('EINVAL');
      pool.free(handle);
      stale.push(handle);
      if (i % 3 === 0) other.free(other.malloc(700));
    }
    expect(pool.totalPages).toBe(0);
  });

  it('a long-lived object that is freed leaves no valid handle, whatever its generation', () => {
    const fresh = Ram.createSync({ bytes: '1MiB' });
    const of = fresh.zpool('xvmalloc');
    for (let frees = 0; frees < 520; frees++) {
      const old = of.malloc(500);
      const beside = of.malloc(500);
      for (let i = 0; i < frees % 260; i++) of.free(of.malloc(300));
      of.free(old);
      const next = of.malloc(500);
      expect(next).not.toBe(old);
      expect(codeOf(() => of.free(old))).toBe('EINVAL');
      of.free(next);
      of.free(beside);
    }
    fresh.check();
  });

  it('handles of live objects stay refused when their pool is destroyed', () => {
    const handles = mallocs(100, 100, 4000, 50, 60, 70, 80, 90, 100, 110);
    pool.destroy();
    expect(ram.stats().usedFrames).toBe(0);
    ram.check();
    const next = ram.zpool('xvmalloc');
    const again = [100, 100, 4000, 50, 60, 70, 80, 90, 100, 110].map((size) => next.malloc(size));
    for (const handle of handles) {
      expect(again).not.toContain(handle);
      expect(codeOf(() => next.size(handle))).toBe('EINVAL');
    }
  });

  it('4 GiB addresses: no handle is an error number', () => {
    const high = Ram.createSync({ bytes: '4GiB', firstFrame: 0xffff0 });
    const of = high.zpool('xvmalloc');
    for (let i = 0; i < 100; i++) {
      const live = [LARGEST, LARGEST, 3000, 500, 20, 1, 1, 1, 1, 1, 1, 1].map((size) => of.malloc(size));
      for (const handle of live) of.write(handle, new Uint8Array(of.size(handle)).fill(i));
      for (const handle of live) expect(of.read(handle).every((byte) => byte === i)).toBe(true);
      for (const handle of live) of.free(handle);
    }
    high.check();
    expect(high.stats().usedFrames).toBe(1);
  });
});

// ── maps ─────────────────────────────────────────────────────────────────────

describe('maps', () => {
  it('are counted by object, up to 65535', () => {
    const [a = 0 as Handle, b = 0 as Handle] = mallocs(100, 200);
    expect(codeOf(() => pool.unmap(a))).toBe('EINVAL');
    for (let i = 0; i < 65535; i++) pool.map(a, 'ro');
    expect(codeOf(() => pool.map(a, 'ro'))).toBe('EBUSY');
    expect(codeOf(() => pool.free(a))).toBe('EBUSY');
    expect(codeOf(() => pool.unmap(b))).toBe('EINVAL');
    ram.check();
    expect(pool.stats().maps).toBe(65535);
    for (let i = 0; i < 65535; i++) pool.unmap(a);
    expect(codeOf(() => pool.unmap(a))).toBe('EINVAL');
    pool.free(a);
    pool.free(b);
    ram.check();
  });

  it('a view is the bytes themselves', () => {
    const handle = pool.malloc(1000);
    pool.map(handle, 'wo').fill(7);
    expect(pool.read(handle)).toEqual(new Uint8Array(1000).fill(7));
    const view = pool.map(handle, 'rw');
    pool.write(handle, Uint8Array.of(1, 2, 3), 997);
    expect(view.subarray(996)).toEqual(Uint8Array.of(7, 1, 2, 3));
    pool.unmap(handle);
    pool.unmap(handle);
  });

  it('the first map of a frame needs no memory, further ones a record each', () => {
    const handles = mallocs(...Array.from({ length: 200 }, () => 8));
    const used = ram.stats().usedFrames;
    ram.failFrames(0);
    pool.map(handles[0] as Handle, 'rw');
    expect(codeOf(() => pool.map(handles[1] as Handle, 'rw'))).toBe('ENOMEM');
    expect(codeOf(() => pool.unmap(handles[1] as Handle))).toBe('EINVAL');
    ram.check();
    ram.failFrames(null);
    for (const handle of handles) pool.map(handle, 'rw');
    ram.check();
    expect(pool.stats().maps).toBe(201);
    // Unmapped in an order that removes records from the middle, the end and the front.
    const order = [
      ...handles.filter((_, i) => i % 3 === 1),
      ...handles.filter((_, i) => i % 3 === 0),
      ...handles.filter((_, i) => i % 3 === 2),
    ];
    for (const handle of order) {
      expect(codeOf(() => pool.free(handle))).toBe('EBUSY');
      pool.unmap(handle);
      ram.check();
    }
    pool.unmap(handles[0] as Handle);
    expect(ram.stats().usedFrames).toBe(used);
    for (const handle of handles) pool.free(handle);
    expect(ram.stats().usedFrames).toBe(1);
  });

  it('prevent destroy', () => {
    const handle = pool.malloc(10);
    pool.map(handle, 'ro');
    expect(codeOf(() => pool.destroy())).toBe('EBUSY');
    pool.unmap(handle);
    pool.destroy();
  });
});

// ── reclaim ──────────────────────────────────────────────────────────────────

describe('reclaim', () => {
  let evicted: Handle[];

  beforeEach(() => {
    evicted = [];
    pool = ram.zpool('xvmalloc', {
      evict: (handle, of) => {
        evicted.push(handle);
        of.free(handle);
      },
    });
  });

  it('malloc alone moves a frame to the front; tail first, address order', () => {
    const [a1 = 0 as Handle, a2 = 0 as Handle, b1, b2] = mallocs(2040, 2040, 2040, 2040);
    pool.map(a1, 'rw');
    pool.unmap(a1);
    pool.write(a1, new Uint8Array(5));
    pool.free(a2);
    const [a3] = mallocs(100);
    expect(pool.shrink(2)).toBe(2);
    expect(evicted).toEqual([b1, b2, a1, a3]);
    expect(codeOf(() => pool.shrink(1))).toBe('EINVAL');
    ram.check();
  });

  it('frames with a mapped object are passed over and keep their place', () => {
    const [a, b = 0 as Handle, c] = mallocs(4000, 4000, 4000);
    pool.map(b, 'ro');
    expect(pool.shrink(1)).toBe(1);
    expect(pool.shrink(5)).toBe(1);
    expect(evicted).toEqual([a, c]);
    expect(codeOf(() => pool.shrink(1))).toBe('EINVAL');
    pool.unmap(b);
    expect(pool.shrink(1)).toBe(1);
    expect(evicted).toEqual([a, c, b]);
  });

  it('a refusal puts the frame at the front; eight are EAGAIN', () => {
    const refused = new Set<Handle>();
    const asked: Handle[] = [];
    const of = ram.zpool('xvmalloc', {
      evict: (handle) => {
        asked.push(handle);
        if (refused.has(handle)) throw new Error('kept');
        of.free(handle);
      },
    });
    const handles = Array.from({ length: 10 }, () => of.malloc(4000));
    for (const handle of handles.slice(0, 8)) refused.add(handle);
    let caught: unknown;
    try {
      of.shrink(1);
    } catch (error) {
      caught = error;
    }
    expect(caught).toMatchObject({ code: 'EAGAIN', cause: { message: 'kept' } });
    expect(asked).toEqual(handles.slice(0, 8));
    expect(of.shrink(2)).toBe(2);
    expect(asked.slice(8)).toEqual(handles.slice(8));
    refused.clear();
    expect(of.shrink(8)).toBe(8);
    expect(asked.slice(10)).toEqual(handles.slice(0, 8));
    ram.check();
  });

  it('X17: a victim stays until its reclaim ends, and malloc does not use it', () => {
    const of = ram.zpool('xvmalloc', {
      evict: (handle) => {
        const { frame } = of.locate(handle);
        of.free(handle);
        ram.check();
        const other = of.malloc(40);
        expect(of.locate(other).frame).not.toBe(frame);
        expect(of.totalPages).toBe(2);
        of.free(other);
        expect(of.totalPages).toBe(1);
      },
    });
    for (const size of [1000, 40, 1000, 40]) of.malloc(size);
    expect(of.shrink(1)).toBe(1);
    expect(of.totalPages).toBe(0);
    ram.check();
  });

  it('a raw page has its own frame, on the LRU', () => {
    const draw = createDraw(5);
    const page = Uint8Array.from({ length: PAGE_SIZE }, () => draw() & 255);
    const before = pool.malloc(500);
    const entry = pool.storePage(page);
    const handle = entry as unknown as Handle;
    expect([pool.size(handle), pool.locate(handle).offset, pool.totalPages]).toEqual([PAGE_SIZE, 0, 2]);
    const into = new Uint8Array(PAGE_SIZE);
    pool.loadPage(entry, into);
    expect(into).toEqual(page);
    ram.check();
    const { frame } = pool.locate(handle);
    const wrong = [1, 511, 256, 512].map((place) => handle + place * ram.totalFrames);
    for (const number of wrong) expect(codeOf(() => pool.size(number as Handle))).toBe('EINVAL');
    pool.map(handle, 'ro');
    expect(codeOf(() => pool.free(handle))).toBe('EBUSY');
    expect(pool.shrink(1)).toBe(1);
    ram.check();
    pool.unmap(handle);
    pool.malloc(500);
    expect(pool.shrink(1)).toBe(1);
    expect(evicted).toEqual([before, handle]);
    const again = pool.storePage(page) as unknown as Handle;
    expect(pool.locate(again).frame).toBe(frame);
    expect(codeOf(() => pool.free(handle))).toBe('EINVAL');
    let seen: unknown;
    pool.walk((contents) => {
      if (contents.frame === frame) seen = contents;
    });
    expect(seen).toEqual({ frame, objects: [{ handle: again, offset: 0, bytes: PAGE_SIZE }], free: [] });
    pool.free(again);
    ram.check();
  });
});

// ── failures ─────────────────────────────────────────────────────────────────

describe('ENOMEM', () => {
  it('at every n-th frame request leaves everything as it was', LONG, () => {
    for (let n = 0; ; n++) {
      const fresh = Ram.createSync({ bytes: '512KiB' });
      const of = fresh.zpool('xvmalloc', { evict: (handle) => of.free(handle) });
      const draw = createDraw(77);
      const live: Handle[] = [];
      let failed = 0;
      fresh.failFrames(n, 1);
      for (let step = 0; step < 150; step++) {
        const before = picture(of);
        const code = codeOf(() => live.push(of.malloc(draw() % 8 === 0 ? 1 + (draw() % 3000) : 1 + (draw() % 60))));
        if (code !== '') {
          expect(code).toBe('ENOMEM');
          expect(picture(of)).toBe(before);
          failed += 1;
        }
        if (draw() % 4 === 0 && live.length !== 0) of.free(live.splice(draw() % live.length, 1)[0] as Handle);
        fresh.check();
      }
      for (const handle of live) of.free(handle);
      fresh.check();
      expect(fresh.stats().usedFrames).toBe(1);
      fresh.close();
      if (failed === 0) break;
      expect(failed).toBe(1);
    }
  });

  it('tells how many frames were needed', () => {
    const tight = Ram.createSync({ bytes: '1MiB', limit: 2 * PAGE_SIZE });
    const of = tight.zpool('xvmalloc');
    of.malloc(LARGEST);
    expect(() => of.malloc(1)).toThrow('1 needed, 0 free');
    expect(codeOf(() => of.storePage(Uint8Array.from({ length: PAGE_SIZE }, (_, i) => (i * i * 31) >> 3)))).toBe(
      'ENOMEM',
    );
    tight.check();
  });
});

// ── images ───────────────────────────────────────────────────────────────────

it('a restored image behaves as the RAM', async () => {
  const draw = createDraw(3);
  const run = (of: Zpool, live: Handle[], steps: number, random: Draw): void => {
    for (let i = 0; i < steps; i++) {
      live.push(of.malloc(size6(random)));
      if (random() % 3 !== 0) of.free(live.splice(random() % live.length, 1)[0] as Handle);
    }
  };
  const live: Handle[] = [];
  run(pool, live, 2_000, draw);
  const restored = await Ram.restore(ram.snapshot());
  const twin = restored.pools()[0] as Zpool;
  expect(picture(twin)).toBe(picture(pool));
  const twinLive = [...live];
  run(pool, live, 500, createDraw(4));
  run(twin, twinLive, 500, createDraw(4));
  expect(twinLive).toEqual(live);
  restored.check();
  const image = ram.snapshot();
  expect(restored.snapshot().every((byte, at) => byte === image[at])).toBe(true);
  restored.close();
});

// ── random calls, on the model and on the core ───────────────────────────────

/** The model or the core, with object numbers; results below 0 are errno values. */
interface Side {
  malloc(object: number, size: number): number;
  free(object: number): number;
  map(object: number): number;
  unmap(object: number): number;
  shrink(pages: number, evict: (object: number) => boolean): number;
  readonly pages: number;
  /** A name of the frame, and the offset in it. */
  place(object: number): [number, number];
  check(): void;
}

function modelSide(): Side {
  const model = new XvmallocModel();
  const ids = new Map<number, number>();
  const objects = new Map<number, number>();
  const id = (object: number): number => ids.get(object) ?? 0;
  return {
    malloc(object, size) {
      const result = model.malloc(size);
      if (result > 0) {
        ids.set(object, result);
        objects.set(result, object);
      }
      return Math.min(result, 0);
    },
    free: (object) => model.free(id(object)),
    map: (object) => model.map(id(object), 'ro'),
    unmap: (object) => model.unmap(id(object)),
    shrink: (pages, evict) => model.shrink(pages, (evictee) => (evict(objects.get(evictee) ?? -1) ? 'ok' : 'keep')),
    get pages() {
      return model.pages;
    },
    place: (object) => [Math.floor(model.where(id(object)) / PAGE_SIZE), model.placement(id(object))],
    check: () => model.check(),
  };
}

function coreSide(): Side {
  let answer: (object: number) => boolean = () => false;
  const of = ram.zpool('xvmalloc', { evict: (handle) => answer(objects.get(handle) ?? -1) });
  const handles = new Map<number, Handle>();
  const objects = new Map<Handle, number>();
  const attempt = (call: () => number | void): number => {
    try {
      return call() ?? 0;
    } catch (error) {
      if (error instanceof CompcacheError) return error.errno;
      throw error;
    }
  };
  const handleOf = (object: number): Handle => handles.get(object) ?? (0 as Handle);
  return {
    malloc: (object, size) =>
      attempt(() => {
        const handle = of.malloc(size);
        handles.set(object, handle);
        objects.set(handle, object);
      }),
    free: (object) => attempt(() => of.free(handleOf(object))),
    map: (object) => attempt(() => void of.map(handleOf(object), 'ro')),
    unmap: (object) => attempt(() => of.unmap(handleOf(object))),
    shrink: (pages, evict) => {
      const outer = answer;
      answer = evict;
      const result = attempt(() => of.shrink(pages));
      answer = outer;
      return result;
    },
    get pages() {
      return of.totalPages;
    },
    place: (object) => {
      const { frame, offset } = of.locate(handleOf(object));
      return [frame, offset];
    },
    check: () => ram.check(),
  };
}

/** The objects of a run; the same on both sides as long as they behave the same. */
class Script {
  readonly live: number[] = [];
  readonly maps: number[] = [];
  readonly log: string[] = [];
  #next = 1;
  #depth = 0;
  readonly #side: Side;
  readonly #sizeOf: (draw: Draw) => number;

  constructor(side: Side, sizeOf: (draw: Draw) => number) {
    this.#side = side;
    this.#sizeOf = sizeOf;
  }

  #note(what: string, object: number, result: number): number {
    this.log.push(`${what} ${object}: ${result}`);
    return result;
  }

  malloc(size: number): void {
    const object = this.#next++;
    if (this.#note(`malloc ${size}`, object, this.#side.malloc(object, size)) === 0) this.live.push(object);
  }

  free(object: number): void {
    if (this.#note('free', object, this.#side.free(object)) === 0) this.live.splice(this.live.indexOf(object), 1);
  }

  any(draw: Draw, from = this.live): number {
    return from[draw() % Math.max(1, from.length)] ?? 0;
  }

  map(object: number): void {
    if (this.#note('map', object, this.#side.map(object)) === 0) this.maps.push(object);
  }

  unmap(object: number): void {
    if (this.#note('unmap', object, this.#side.unmap(object)) === 0) this.maps.splice(this.maps.indexOf(object), 1);
  }

  shrink(draw: Draw): void {
    this.#depth += 1;
    this.#note(
      'shrink',
      0,
      this.#side.shrink(1 + (draw() % 2), (object) => this.#evict(draw, object)),
    );
    this.#depth -= 1;
  }

  #evict(draw: Draw, object: number): boolean {
    this.log.push(`evict ${object}`);
    switch (draw() % 12) {
      case 0:
        return false;
      case 1:
        return true;
      case 2:
        this.free(object);
        this.malloc(this.#sizeOf(draw));
        return true;
      case 3:
        this.malloc(this.#sizeOf(draw));
        this.free(object);
        this.free(this.any(draw));
        return true;
      case 4:
        if (this.#depth < 3) this.shrink(draw);
        this.free(object);
        return draw() % 2 === 0;
      case 5:
        this.map(object);
        return true;
      default:
        this.free(object);
        return true;
    }
  }

  step(seed: number): void {
    const draw = createDraw(seed);
    draw();
    const kind = draw() % 100;
    if (kind < 46) this.malloc(this.#sizeOf(draw));
    else if (kind < 80) this.free(this.any(draw));
    else if (kind < 88) this.map(this.any(draw));
    else if (kind < 97) this.unmap(this.any(draw, this.maps));
    else this.shrink(draw);
  }
}

const MIXES: [string, (draw: Draw) => number][] = [
  ['of all sizes', size6],
  ['mostly small', (draw) => (draw() % 10 === 0 ? 1 + (draw() % LARGEST) : 1 + (draw() % 100))],
  ['of half a frame', (draw) => 300 + (draw() % 1500)],
];

describe.each(MIXES)('random calls, objects %s', (_, sizeOf) => {
  it.each([1, 2, 3, 4])('seed %i: same as the model', LONG, (seed) => {
    const sides = [modelSide(), coreSide()] as const;
    const scripts = sides.map((side) => new Script(side, sizeOf)) as [Script, Script];
    for (let step = 0; step < 2_500; step++) {
      for (const script of scripts) {
        script.log.length = 0;
        script.step(seed * 1_000_000 + step);
      }
      const [model, core] = scripts;
      if (core.log.join() !== model.log.join()) expect(core.log, `step ${step}`).toEqual(model.log);
      if (sides[0].pages !== sides[1].pages) expect(sides[1].pages, `pages after step ${step}`).toBe(sides[0].pages);
      const frames = new Map<number, number>();
      for (const object of model.live) {
        const [serial, placement] = sides[0].place(object);
        const [frame, offset] = sides[1].place(object);
        if (offset !== placement || (frames.get(serial) ?? frame) !== frame) {
          expect([frame, offset], `object ${object} after step ${step}`).toEqual([frames.get(serial), placement]);
        }
        frames.set(serial, frame);
      }
      expect(new Set(frames.values()).size).toBe(frames.size);
      sides[1].check();
      if (step % 100 === 0) sides[0].check();
    }
    const script = scripts[1];
    for (const object of [...script.maps]) script.unmap(object);
    for (const object of [...script.live]) script.free(object);
    expect(sides[1].pages).toBe(0);
    sides[1].check();
    expect(ram.stats().usedFrames).toBe(2); // the headers of two pools
  });
});
