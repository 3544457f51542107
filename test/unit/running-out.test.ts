/** Frames run out in a step that needs several: page tables that grow, objects in two blocks, exact limits. */
import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, Ram, type CompcacheError, type Handle } from '../../bindings/index.ts';
import { expectBytes, noise } from '../harness.ts';
import { filledPage } from '../front/pages.ts';

const codeOf = (call: () => unknown): string => {
  try {
    call();
    return 'done';
  } catch (error) {
    return (error as CompcacheError).code;
  }
};

/** The nth of the keys whose hashes (page/sparse.ts) end in the same 14 bits. */
function deepKey(n: number): number {
  let hash = (n << 14) | 0x25a5;
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x7ed1b41d);
  hash ^= (hash >>> 13) ^ (hash >>> 26);
  hash = Math.imul(hash, 0xa5cb9243);
  return (hash ^ (hash >>> 16)) >>> 0;
}

describe('a page table that must grow', () => {
  /** The keys of a table just before it grows, the key that makes it grow, and the fewest frames that this needs. */
  const CASES = {
    'a leaf that is cut until the directory has upper frames': {
      keys: Array.from({ length: 208 }, (_, n) => deepKey(n)),
      next: deepKey(208),
      kind: 'sparse',
      frames: 17,
    },
    'a tree of one level, which gets four': { keys: [0], next: 2 ** 32 - 1, kind: 'dense', frames: 6 },
    'an empty tree whose first key is the last one': { keys: [], next: 2 ** 32 - 1, kind: 'dense', frames: 4 },
    'an empty sparse table': { keys: [], next: 77, kind: 'sparse', frames: 2 },
  } as const;

  test.each(Object.entries(CASES))(
    '%s: wherever a frame lacks, no key has changed',
    async (_, { keys, next, kind, frames }) => {
      const ram = await Ram.create({ bytes: '1MiB' });
      const pool = ram.zpool('zsmalloc');
      const table = pool.pageTable(kind);
      keys.forEach((key) => table.put(key, filledPage(key)));
      const before = ram.stats().usedFrames;
      let after = 0;
      for (; ; after++) {
        ram.failFrames(after, 1);
        const is = codeOf(() => table.put(next, filledPage(5)));
        ram.failFrames(null);
        ram.check();
        if (is === 'done') break;
        expect(is).toBe('ENOMEM');
        expect([table.size, table.has(next)]).toEqual([keys.length, false]);
        // A leaf that was split before stays split.
        if (keys.length < 2) expect(ram.stats().usedFrames).toBe(before);
      }
      expect(after).toBeGreaterThanOrEqual(frames);
      const into = new Uint8Array(PAGE_SIZE);
      for (const key of keys) {
        expect(table.get(key, into)).toBe(true);
        expectBytes(into, filledPage(key));
      }
      table.delete(next);
      keys.forEach((key) => table.delete(key));
      ram.check();
      expect(table.size).toBe(0);
      expect(ram.stats().usedFrames).toBeLessThanOrEqual(before);
    },
  );

  test('shrinks again: the same frames become free, key by key', async () => {
    const ram = await Ram.create({ bytes: '1MiB' });
    const table = ram.zpool('zsmalloc').pageTable('sparse');
    const frames: number[] = [];
    for (let n = 0; n < 230; n++) {
      table.put(deepKey(n), filledPage(n));
      frames.push(ram.stats().usedFrames);
    }
    for (let n = 229; n > 0; n--) {
      table.delete(deepKey(n));
      if (n % 10 === 0) ram.check();
      expect(ram.stats().usedFrames).toBeLessThanOrEqual(frames[Math.max(n - 1, 228)] as number);
    }
    // With few keys the table is one leaf again.
    expect(ram.stats().usedFrames).toBe(frames[0]);
  });
});

describe('xcfmalloc', () => {
  test('an object in two blocks, without a frame for the second block: the first block is free as before', async () => {
    const ram = await Ram.create({ bytes: '1MiB' });
    const pool = ram.zpool('xcfmalloc', { blocks: 2, reserve: 0 });
    const handles = [1000, 1000, 1000, 900].map((size) => pool.malloc(size));
    pool.free(handles[1] as Handle);
    const lists = pool.stats().lists;
    ram.failFrames(0);
    expect(codeOf(() => pool.malloc(2500))).toBe('ENOMEM');
    ram.failFrames(null);
    ram.check();
    expect(pool.stats().lists).toEqual(lists);
    const large = pool.malloc(2500);
    pool.write(large, noise(2500, 3));
    expect(pool.locate(large).blocks).toHaveLength(2);
    expectBytes(pool.read(large), noise(2500, 3));
    ram.check();
  });

  test('a reclaim finds an object with both blocks in one frame once', async () => {
    const met: Handle[] = [];
    const pool = (await Ram.create({ bytes: '1MiB' })).zpool('xcfmalloc', {
      blocks: 2,
      reserve: 0,
      evict: (handle) => (met.push(handle), true), // it frees nothing
    });
    const handles = [900, 900, 900, 900].map((size) => pool.malloc(size));
    pool.free(handles[0] as Handle);
    pool.free(handles[2] as Handle);
    const large = pool.malloc(1700);
    const blocks = pool.locate(large).blocks ?? [];
    expect(blocks).toHaveLength(2);
    expect(blocks[0]?.frame).toBe(blocks[1]?.frame);
    expect(codeOf(() => pool.shrink(1))).toBe('EAGAIN');
    // Eight tries, and three objects in each.
    expect(met).toHaveLength(24);
    expect(new Set(met.slice(0, 3))).toEqual(new Set([handles[1], handles[3], large]));
  });
});

test('the limit of a RAM is exact for every caller, and can be set below the number of used frames', async () => {
  const ram = await Ram.create({ bytes: '1MiB', limit: '128KiB' });
  const pool = ram.zpool('zbud');
  const handles: Handle[] = [];
  while (codeOf(() => handles.push(pool.malloc(3000))) === 'done');
  expect([ram.stats().usedFrames, ram.freeFrames]).toEqual([32, 0]);
  pool.free(handles.pop() as Handle);
  expect(ram.freeFrames).toBe(1);
  expect(codeOf(() => ram.zpool('xvmalloc'))).toBe('done');
  expect(codeOf(() => pool.malloc(3000))).toBe('ENOMEM');
  ram.check();
});
