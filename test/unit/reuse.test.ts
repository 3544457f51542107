/** Reuse: freed frames, records and slots are used again in the documented order, and old handles stay invalid. */
import { describe, expect, test } from 'vitest';
import { ALLOCATORS, Ram, type Handle, type Zpool } from '../../bindings/index.ts';
import { expectBytes, noise } from '../harness.ts';

/** Bits of a frame number in a RAM of 64 MiB. They also give the bits of the index of a handle record (mem/handle.ts). */
const FRAME_BITS = 14;
const PLACE_BITS = 9 + FRAME_BITS;

function isRefused(pool: Zpool, handle: Handle): boolean {
  try {
    pool.size(handle);
    return false;
  } catch (error) {
    expect(error).toMatchObject({ code: 'EINVAL' });
    return true;
  }
}

describe('an object that is allocated and freed many times while other objects of its frame live', () => {
  test.each(ALLOCATORS)('%s: each handle is new, and the handle before it is refused', async (allocator) => {
    const pool = (await Ram.create()).zpool(allocator);
    const neighbours = [700, 900].map((size) => {
      const handle = pool.malloc(size);
      pool.write(handle, noise(size, size));
      return { handle, size };
    });
    let last: Handle | undefined;
    // More often than the generations of xvmalloc wrap around. xvmalloc has the fewest: 255.
    for (let round = 0; round < 600; round++) {
      const handle = pool.malloc(800);
      expect(handle).not.toBe(last);
      if (last !== undefined) expect(isRefused(pool, last)).toBe(true);
      pool.free(handle);
      expect(isRefused(pool, handle)).toBe(true);
      last = handle;
    }
    for (const { handle, size } of neighbours) expectBytes(pool.read(handle), noise(size, size));
  });

  test.each(ALLOCATORS)(
    '%s: its handle is refused, however often another object of the frame was freed meanwhile',
    async (allocator) => {
      const pool = (await Ram.create()).zpool(allocator);
      pool.malloc(500);
      for (let frees = 200; frees < 300; frees++) {
        // The generation of the frame wraps around to that of the old object, and one further.
        const old = pool.malloc(600);
        for (let i = 0; i < frees; i++) pool.free(pool.malloc(1000));
        pool.free(old);
        expect(isRefused(pool, old)).toBe(true);
        const next = pool.malloc(600);
        expect(next).not.toBe(old);
        expect(isRefused(pool, old)).toBe(true);
        pool.free(next);
      }
    },
  );
});

describe('handle records', () => {
  test.each(['zsmalloc', 'z3fold'] as const)(
    '%s: first in, first out; those never used come last',
    async (allocator) => {
      const pool = (await Ram.create()).zpool(allocator);
      const place = (handle: Handle): number => handle % 2 ** PLACE_BITS;
      const handles = Array.from({ length: 60 }, () => pool.malloc(900));
      const freed = [5, 40, 17, 39, 6, 0, 59].map((at) => handles[at] as Handle);
      freed.forEach((handle) => pool.free(handle));
      const again = freed.map(() => pool.malloc(900));
      expect(again.map(place)).toEqual(freed.map(place));
      const places = new Set(handles.map(place));
      expect(places.has(place(pool.malloc(900)))).toBe(false);
    },
  );

  test('zsmalloc: the record that is freed next in a full frame of records is used again', async () => {
    const ram = await Ram.create();
    const pool = ram.zpool('zsmalloc');
    const handles = Array.from({ length: 1024 }, () => pool.malloc(40));
    const frames = ram.stats().usedFrames;
    for (const at of [100, 511, 0, 700, 1023]) {
      const freed = handles[at] as Handle;
      pool.free(freed);
      const next = pool.malloc(40);
      expect(next % 2 ** PLACE_BITS).toBe(freed % 2 ** PLACE_BITS);
    }
    expect(ram.stats().usedFrames).toBe(frames);
  });

  test('a frame of records that is used again continues after the generation of the record that was freed most often', async () => {
    const pool = (await Ram.create()).zpool('zsmalloc');
    const seen = new Set<Handle>();
    for (let life = 0; life < 12; life++) {
      const lives = Array.from({ length: 5 }, () => pool.malloc(40));
      // Each record is freed a different number of times, the first and the last one the fewest times.
      const middle = lives[2] as Handle;
      for (const handle of [...lives, middle]) expect(seen.has(handle) && handle !== middle).toBe(false);
      let last = middle;
      for (let i = 0; i < 10; i++) {
        pool.free(last);
        last = pool.malloc(40);
        expect(seen.has(last)).toBe(false);
        seen.add(last);
      }
      lives.forEach((handle) => seen.add(handle));
      for (const handle of [lives[0], lives[1], lives[3], lives[4], last]) pool.free(handle as Handle);
      expect(pool.stats().objects).toBe(0);
    }
  });
});

describe('frames', () => {
  test('are used last in, first out, and are filled with zeros', async () => {
    const ram = await Ram.create();
    const pool = ram.zpool('zbud');
    const frame = (handle: Handle): number => pool.locate(handle).frame;
    const handles = Array.from({ length: 8 }, () => pool.malloc(3000));
    const frames = handles.map(frame);
    for (const at of [1, 6, 3]) {
      pool.write(handles[at] as Handle, noise(3000, at));
      pool.free(handles[at] as Handle);
    }
    const again = [0, 1, 2].map(() => pool.malloc(3000));
    expect(again.map(frame)).toEqual([frames[3], frames[6], frames[1]]);
    for (const handle of again) expectBytes(pool.read(handle), new Uint8Array(3000));
    expect(frame(pool.malloc(3000))).toBe((frames[7] as number) + 1);
  });

  test('slots of a zspage are used last in, first out; after a reclaim that left objects, in ascending order', async () => {
    const kept = new Set<Handle>();
    const pool = (await Ram.create()).zpool('zsmalloc', {
      evict: (handle, from) => {
        if (kept.has(handle)) return true;
        from.free(handle);
        return true;
      },
    });
    const slot = (handle: Handle): number | undefined => pool.locate(handle).objectIndex;
    const handles = Array.from({ length: 20 }, () => pool.malloc(100));
    handles.forEach((handle) => pool.write(handle, noise(100, 1)));
    for (const at of [4, 11, 7]) pool.free(handles[at] as Handle);
    expect([0, 1, 2].map(() => slot(pool.malloc(100)))).toEqual([7, 11, 4]);
    for (const at of [0, 3, 9]) kept.add(handles[at] as Handle);
    expect(() => pool.shrink(1)).toThrowError(expect.objectContaining({ code: 'EAGAIN' }) as Error);
    expect(Array.from({ length: 5 }, () => slot(pool.malloc(100)))).toEqual([1, 2, 4, 5, 6]);
  });
});

describe('a frame that another allocator had', () => {
  /** In a RAM of 4 GiB the generations have 3 bits, the highest bits of a handle, except those of zbud. */
  test.each(['xvmalloc', 'zsmalloc', 'z3fold'] as const)(
    'gives %s no handle with the generation of all ones, whatever the counter of the frame is',
    async (allocator) => {
      const ram = await Ram.create({ bytes: '4GiB' });
      for (let frees = 0; frees < 40; frees++) {
        const zbud = ram.zpool('zbud', { name: 'before' });
        const one = zbud.malloc(1000);
        for (let i = 0; i < frees; i++) zbud.free(zbud.malloc(1000));
        zbud.free(one);
        zbud.destroy();
        const pool = ram.zpool(allocator, { name: 'after' });
        for (let i = 0; i < 12; i++) expect(pool.malloc(300 + i) >>> 29).toBeLessThan(7);
        pool.destroy();
      }
    },
  );

  test('gives zbud no handle with the generation of all ones either', async () => {
    const ram = await Ram.create({ bytes: '4GiB' });
    const pool = ram.zpool('zbud');
    for (let i = 0; i < 5000; i++) {
      const handles = [pool.malloc(1000), pool.malloc(1000)];
      for (const handle of handles) expect(handle >>> 21).toBeLessThan(2047);
      handles.forEach((handle) => pool.free(handle));
    }
  });
});

describe('xvmalloc, a frame of many small objects', () => {
  test('a seventh object without a frame for its record: nothing changes, and it fits there later', async () => {
    const ram = await Ram.create();
    const pool = ram.zpool('xvmalloc');
    const handles = Array.from({ length: 6 }, () => pool.malloc(100));
    const frames = ram.stats().usedFrames;
    const lists = pool.stats().lists;
    ram.failFrames(0, 1);
    expect(() => pool.malloc(100)).toThrowError(expect.objectContaining({ code: 'ENOMEM' }) as Error);
    ram.failFrames(null);
    ram.check();
    expect(pool.stats().lists).toEqual(lists);
    expect(ram.stats().usedFrames).toBe(frames);
    handles.push(pool.malloc(100));
    expect(new Set(handles.map((handle) => pool.locate(handle).frame)).size).toBe(1);
    expect(ram.stats().usedFrames).toBe(frames + 1); // the record
    handles.forEach((handle) => pool.free(handle));
    expect(ram.stats().usedFrames).toBe(frames - 1);
  });

  test('a reclaim finds a block at the last possible offset', async () => {
    const met: number[] = [];
    const pool = (await Ram.create()).zpool('xvmalloc', {
      evict: (handle, from) => {
        met.push(from.size(handle));
        from.free(handle);
        return true;
      },
    });
    // Each object has a header of 4 bytes: 4060 bytes are before the last object.
    const sizes = [4, 8, 12, 4, 8, 12, 4, 3976, 32];
    const handles = sizes.map((size) => pool.malloc(size));
    expect(pool.locate(handles.at(-1) as Handle).offset).toBe(4064);
    expect(pool.totalPages).toBe(1);
    expect(pool.shrink(1)).toBe(1);
    expect(met).toEqual(sizes);
  });

  test.each([1, 8, 28, 60])('of %i bytes: a reclaim finds each object once, also the last one', async (size) => {
    const met: Handle[] = [];
    const pool = (await Ram.create()).zpool('xvmalloc', {
      evict: (handle, from) => {
        met.push(handle);
        from.free(handle);
        return true;
      },
    });
    const handles: Handle[] = [];
    for (let handle = pool.malloc(size); ; handle = pool.malloc(size)) {
      if (pool.totalPages === 2) {
        pool.free(handle);
        break;
      }
      handles.push(handle);
    }
    expect(pool.shrink(1)).toBe(1);
    expect(met).toEqual(handles); // from the beginning of the frame to its end
    expect(pool.totalPages).toBe(0);
  });
});
