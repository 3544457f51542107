/**
 * Mutation: every link, count, flag and owner word of a live RAM is changed, one at a time and in several ways, and
 * check() must notice each change.
 *
 * Not included, because nothing can contradict them: the contents of objects, generations, records and slots that are
 * free (except their links), bytes behind a fresh mark (records that were never used).
 */
import { describe, expect, test } from 'vitest';
import { OUT_WALK_OBJECTS } from '../../assembly/abi.ts';
import { PAGE_SIZE, Ram, type Handle, type Zpool } from '../../bindings/index.ts';
import { allocators, type AllocatorRow } from '../harness.ts';
import { frameEntryOf, notices as noticesFlips, rawOf, type Raw } from '../raw.ts';
import { ramzswapSubject, zswapSubject } from './mutation-fronts.ts';
import { poolSubject } from './mutation-pools.ts';
import { mutate, type Subject } from './mutation-use.ts';

const TYPE = { free: 1, table: 3, pool: 4, more: 5, slab: 6, handles: 7, data: 8, raw: 9 };

/** Bits to flip in a word: flipping each bit would be slow and show no more. */
const FLIPS = [1, 2, 0x10, 0x100, 0x8000, 0x10000, 0x400000, 0x80000000];
const notices = (raw: Raw, address: number, what: string, mask?: number): void =>
  noticesFlips(raw, address, what, mask, FLIPS);

function populate(pool: Zpool, page?: Uint8Array): Handle[] {
  const handles = Array.from({ length: 90 }, (_, i) => pool.malloc(1 + ((i * 613) % 3300)));
  handles.forEach((handle, i) => i % 3 === 0 && pool.write(handle, new Uint8Array([i])));
  handles.filter((_, i) => i % 4 === 1).forEach((handle) => pool.free(handle));
  if (page !== undefined) pool.storePage(page);
  return handles.filter((_, i) => i % 4 !== 1);
}

async function image(): Promise<{ bytes: Uint8Array }> {
  const ram = await Ram.create({ bytes: '4MiB' });
  const noise = crypto.getRandomValues(new Uint8Array(PAGE_SIZE));
  const pools = [
    ram.zpool('zbud'),
    ram.zpool('zbud', { layout: '2013' }),
    ram.zpool('zsmalloc'),
    ram.zpool('zsmalloc', { chainSize: 4, fullnessGroups: 4 }),
  ];
  for (const pool of pools) populate(pool, noise);
  // Frames on the free list, several of them.
  const gone = ram.zpool('zbud');
  populate(gone);
  gone.destroy();
  ram.check();
  return { bytes: ram.snapshot() };
}

describe('check() notices a change of', () => {
  test('every word of the boot frame', async () => {
    const raw = await rawOf((await image()).bytes);
    expect(raw.check()).toBe(0);
    for (let at = 0; at < 80; at += 4) notices(raw, at, 'boot');
    notices(raw, 4092, 'boot, last word');
    expect(raw.check()).toBe(0);
  });

  test('every word of the frame table but the generations', async () => {
    const raw = await rawOf((await image()).bytes);
    const bump = raw.word(20);
    for (let frame = 0; frame < bump + 3; frame++) {
      const entry = frameEntryOf(frame);
      for (let at = 0; at < 32; at += 4) {
        if (at !== 4) notices(raw, entry + at, `entry of frame ${frame}, type ${raw.word(entry) & 4095}, word`);
      }
    }
    expect(raw.check()).toBe(0);
  });

  test('every word of pool headers and class tables', async () => {
    const raw = await rawOf((await image()).bytes);
    const bump = raw.word(20);
    let classes = 0;
    for (let frame = 0; frame < bump; frame++) {
      const type = raw.word(frameEntryOf(frame)) & 4095;
      const base = frame * PAGE_SIZE;
      if (type === TYPE.pool) {
        const kind = raw.word(base);
        for (let at = 0; at < (kind === 1 ? 520 : 636); at += 4)
          notices(raw, base + at, `header of a pool of kind ${kind}`, at === 508 && kind === 3 ? 0xffffff : undefined);
      } else if (type === TYPE.more) {
        for (let record = 0; record < PAGE_SIZE; record += 128) {
          if (raw.word(base + record) === 0) continue;
          classes += 1;
          for (let at = 0; at < 128; at += 4) notices(raw, base + record + at, 'size class');
        }
      }
    }
    expect(classes).toBe(119 + 69);
    expect(raw.check()).toBe(0);
  });

  test('every word of a used descriptor, location, size and map count of a used handle record, and links of free ones', async () => {
    const raw = await rawOf((await image()).bytes);
    const bump = raw.word(20);
    let records = 0;
    for (let frame = 0; frame < bump; frame++) {
      const entry = frameEntryOf(frame);
      const owner = raw.word(entry);
      const type = owner & 4095;
      if (type !== TYPE.slab && type !== TYPE.handles) continue;
      const bytes = raw.word(raw.word(entry + 24)) & 0xffff;
      const fresh = raw.word(entry + 12) >>> 16;
      if (fresh + 8 <= PAGE_SIZE) notices(raw, frame * PAGE_SIZE + fresh + 4, 'record that was never used');
      for (let at = frame * PAGE_SIZE; at < frame * PAGE_SIZE + fresh; at += bytes) {
        const isFree = raw.word(at) >>> 31 === 1;
        records += 1;
        if (type === TYPE.handles) {
          notices(raw, at, 'record');
          if (!isFree) notices(raw, at + 4, 'record', 0x3fffff);
        } else {
          // Links, frames and the words of all slots, with those that were never used.
          for (let word = 0; word < (isFree ? 4 : bytes); word += 4)
            notices(raw, at + word, `descriptor${isFree ? ' (free)' : ''}, word ${word}`);
        }
      }
    }
    expect(records).toBeGreaterThan(150);
    expect(raw.check()).toBe(0);
  });

  test('map counts, buffers and isolated victims while there are some', async () => {
    const raw = await rawOf((await image()).bytes);
    const { exports, out } = raw.core;
    const core = raw.core.exports;
    const pools: number[] = [];
    for (let pool = core.zpoolNext(0) >>> 0; pool !== 0; pool = core.zpoolNext(pool) >>> 0) pools.push(pool);
    const mapped: [pool: number, handle: number, frame: number][] = [];
    for (const pool of pools) {
      const handles = new Set<number>();
      for (let frame = core.zpoolWalk(pool, 0); frame !== 0; frame = core.zpoolWalk(pool, frame)) {
        const at = exports.blockBuffer() >>> 2;
        for (let i = 0; i < (out[OUT_WALK_OBJECTS] as number); i++) handles.add(raw.words[at + 3 * i] as number);
      }
      for (const handle of [...handles].slice(0, 12)) {
        exports.zpoolMap(pool, handle, handle % 3);
        mapped.push([pool, handle, core.zpoolLocate(pool, handle)]);
      }
      expect(raw.core.exports.zpoolIsolate(pool)).toBeGreaterThan(0);
    }
    expect(raw.check()).toBe(0);
    let buffers = 0;
    for (let frame = 0; frame < raw.word(20); frame++) {
      const entry = frameEntryOf(frame);
      if ((raw.word(entry) & 4095) === 10) buffers += 1;
      for (let at = 0; at < 32; at += 4) if (at !== 4) notices(raw, entry + at, `entry of frame ${frame}`);
    }
    expect(buffers).toBeGreaterThan(0);
    for (const pool of pools) for (let at = 0; at < 96; at += 4) notices(raw, pool + at, 'header of a pool');
    for (const at of [48, 52]) notices(raw, at, 'boot');
    for (const [pool, handle] of mapped) exports.zpoolUnmap(pool, handle);
    expect(raw.check()).toBe(0);
  });
});

/**
 * Changes each word of a RAM to this number of values; of the contents of frames every nth word. test:long tries more
 * values.
 */
async function expectNoFault(subject: Subject, contents: number, every: number): Promise<void> {
  const { changes, unseen, faults } = await mutate(subject, 20261128, { values: 1, contents, every });
  expect(faults).toEqual([]);
  expect(changes).toBeGreaterThan(100);
  expect(unseen).toBeGreaterThan(0);
}

describe('a change that check() does not notice does no harm in use:', () => {
  const rows: [string, AllocatorRow, 'dense' | 'sparse'][] = allocators.map((row, i) => [
    row.title,
    row,
    i % 2 === 0 ? 'dense' : 'sparse',
  ]);

  test.each(rows)('%s', async (_, row, keys) => {
    await expectNoFault(await poolSubject(row, keys), 256, row.allocator === 'zsmalloc' ? 16 : 4);
  });

  test.each(['zbud', 'zsmalloc'] as const)('zswap on %s', async (allocator) => {
    await expectNoFault(await zswapSubject(allocator, allocator === 'zbud' ? 'page' : 'entry'), 1024, 24);
  });

  test.each(['xvmalloc', 'xcfmalloc'] as const)('ramzswap on %s', async (allocator) => {
    await expectNoFault(await ramzswapSubject(allocator), 1024, 24);
  });
});

test('check() notices two starts in a granule of a start bitmap of xvmalloc', async () => {
  const ram = await Ram.create({ bytes: '1MiB' });
  const pool = ram.zpool('xvmalloc');
  for (let i = 0; i < 40; i++) pool.malloc(60);
  const raw = await rawOf(ram.snapshot());
  expect(raw.check()).toBe(0);
  let words = 0;
  for (let frame = 0; frame < raw.word(20); frame++) {
    if ((raw.word(frameEntryOf(frame)) & 4095) !== TYPE.slab) continue;
    for (let at = frame * PAGE_SIZE + 4; at < frame * PAGE_SIZE + 132; at += 4) {
      for (let pair = 0; pair < 32; pair += 2) noticesFlips(raw, at, 'start bitmap', undefined, [(3 << pair) >>> 0]);
      words += 1;
    }
  }
  expect(words).toBeGreaterThan(31);
});

test('check() notices a page whose handle is not live, or is that of another page', async () => {
  const ram = await Ram.create({ bytes: '1MiB' });
  const pool = ram.zpool('zbud');
  const table = pool.pageTable('dense');
  for (let key = 0; key < 8; key++)
    table.put(
      key,
      new Uint8Array(PAGE_SIZE).map((_, i) => (i < 100 ? key + i : 0)),
    );
  const raw = await rawOf(ram.snapshot());
  const leaf = Array.from({ length: raw.word(20) }, (_, frame) => frame).find(
    (frame) => (raw.word(frameEntryOf(frame)) & 4095) === 11,
  ) as number;
  for (let key = 0; key < 8; key++) {
    const at = leaf * PAGE_SIZE + 8 * key;
    for (const word of [at, at + 4]) noticesFlips(raw, word, `cell of key ${key}`);
    const other = raw.word(leaf * PAGE_SIZE + 8 * ((key + 1) % 8));
    noticesFlips(raw, at, `cell of key ${key}`, undefined, [(raw.word(at) ^ other) >>> 0]);
    // The generation of its frame makes the handle stale.
    noticesFlips(
      raw,
      frameEntryOf(raw.word(at) & 255) + 4,
      'generation',
      undefined,
      [1, 0x10000].slice((raw.word(at) >>> 8) & 1, ((raw.word(at) >>> 8) & 1) + 1),
    );
  }
  expect(raw.check()).toBe(0);
});
