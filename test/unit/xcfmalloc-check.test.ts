/**
 * check() of xcfmalloc pools: every bit of every descriptor, frame entry and pool word is changed, one at a time, and
 * check() must notice; and check() must end when descriptors and frame entries have random content.
 *
 * Not included, because nothing can contradict them: contents of objects, headers of blocks (nothing is stored there),
 * genA and genB, and of a free descriptor its place, bytes and neighbours.
 */
import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, Ram, type Handle } from '../../bindings/index.ts';
import { createDraw } from '../models/trace.ts';
import { EUCLEAN, frameEntryOf, notices, rawOf, type Raw } from '../raw.ts';

const TYPE = { pool: 4, slab: 6, data: 8, raw: 9, buffer: 10 };
const RECORD = 32;
const ISOLATED = 0x100;

/** A RAM whose only pool has objects in one and in two blocks, free blocks on many lists, a reserve and raw pages. */
async function populated(): Promise<{ raw: Raw; pool: number; handles: number[] }> {
  const ram = await Ram.create({ bytes: '1MiB' });
  const pool = ram.zpool('xcfmalloc', { reserve: 4 });
  const draw = createDraw(11);
  const live: Handle[] = [];
  for (let i = 0; i < 260; i++) {
    live.push(pool.malloc(i % 3 === 0 ? 1 + (draw() % 2900) : 1 + (draw() % 300)));
    if (draw() % 3 === 0) pool.free(live.splice(draw() % live.length, 1)[0] as Handle);
  }
  // Merging blocks leaves free descriptors.
  for (let i = 0; i < 60; i++) pool.free(live.splice(draw() % live.length, 1)[0] as Handle);
  for (let i = 0; i < 2; i++)
    live.push(pool.storePage(Uint8Array.from({ length: PAGE_SIZE }, () => draw())) as unknown as Handle);
  expect(pool.stats().spanning).toBeGreaterThan(10);
  ram.check();
  const raw = await rawOf(ram.snapshot());
  expect(raw.check()).toBe(0);
  return { raw, pool: raw.core.exports.zpoolNext(0) >>> 0, handles: live };
}

/** Frames by the type of their entry. */
function framesOf(raw: Raw, ...types: number[]): number[] {
  return Array.from({ length: raw.word(20) }, (_, frame) => frame).filter((frame) =>
    types.includes(raw.word(frameEntryOf(frame)) & 4095),
  );
}

/** Addresses of the descriptors that were ever used. */
function recordsOf(raw: Raw): number[] {
  return framesOf(raw, TYPE.slab).flatMap((frame) => {
    const fresh = raw.word(frameEntryOf(frame) + 12) >>> 16;
    return Array.from({ length: fresh / RECORD }, (_, index) => frame * PAGE_SIZE + index * RECORD);
  });
}

function noticesEntries(raw: Raw, ...types: number[]): number {
  const frames = framesOf(raw, ...types);
  for (const frame of frames)
    for (let at = 0; at < 32; at += 4)
      if (at !== 4) notices(raw, frameEntryOf(frame) + at, `entry of frame ${frame}, word ${at}`);
  return frames.length;
}

describe('check() of xcfmalloc notices a change of', () => {
  test('every word of a descriptor', async () => {
    const { raw } = await populated();
    const states = [0, 0, 0, 0];
    let free = 0;
    for (const record of recordsOf(raw)) {
      const word = raw.word(record);
      if (word >>> 31 === 1) {
        notices(raw, record, 'link of a free descriptor');
        // Words that the next block with this descriptor would rely on: no maps, and the number of frees, stored twice.
        notices(raw, record + 4, 'maps of a free descriptor', 0xffff0000);
        notices(raw, record + 24, 'frees of a free descriptor');
        notices(raw, record + 28, 'frees of a free descriptor');
        free += 1;
        continue;
      }
      states[word & 3] = (states[word & 3] ?? 0) + 1;
      for (let at = 0; at < RECORD; at += 4) notices(raw, record + at, `descriptor of state ${word & 3}, word ${at}`);
    }
    // Free, first, second, raw.
    expect(states.map((count) => count > 1)).toEqual([true, true, true, true]);
    expect(free).toBeGreaterThan(1);
    expect(raw.check()).toBe(0);
  });

  test('every word of its frame entries', async () => {
    const { raw } = await populated();
    expect(noticesEntries(raw, TYPE.data, TYPE.raw, TYPE.slab)).toBeGreaterThan(10);
    expect(raw.check()).toBe(0);
  });

  test('every word of the pool', async () => {
    const { raw, pool } = await populated();
    for (let at = 0; at < 540; at += 4) notices(raw, pool + at, `pool, word ${at}`);
    expect(raw.check()).toBe(0);
  });

  test('maps, buffers and an isolated frame', async () => {
    const { raw, pool, handles } = await populated();
    const { exports } = raw.core;
    handles.slice(0, 40).forEach((handle, i) => i % 4 === 0 && exports.zpoolMap(pool, handle, i % 3));
    const victim = raw.core.exports.zpoolIsolate(pool) >>> 0;
    expect(victim).toBeGreaterThan(0);
    expect(raw.check()).toBe(0);
    expect(noticesEntries(raw, TYPE.buffer)).toBeGreaterThan(0);
    noticesEntries(raw, TYPE.data);
    for (const record of recordsOf(raw)) {
      const word = raw.word(record);
      if (word >>> 31 === 1) continue;
      const isMapped = (word & 3) !== 0 && raw.word(record + 4) >>> 16 !== 0;
      const isIsolated = word >>> 8 === victim;
      for (let at = 0; (isMapped || isIsolated) && at < RECORD; at += 4)
        notices(raw, record + at, `descriptor of state ${word & 3}, word ${at}`);
    }
    for (const at of [28, 32]) notices(raw, pool + at, 'pool');
    expect(raw.word(frameEntryOf(victim) + 12) & ISOLATED).toBe(ISOLATED);
    raw.core.exports.zpoolRelease(pool, victim);
    expect(raw.check()).toBe(0);
  });
});

test('check() ends on random content, and neither traps nor accepts it', async () => {
  const { raw, pool } = await populated();
  const draw = createDraw(5);
  const places = [
    ...recordsOf(raw).flatMap((record) => Array.from({ length: RECORD / 4 }, (_, i) => record + 4 * i)),
    ...framesOf(raw, TYPE.data, TYPE.raw, TYPE.slab).flatMap((frame) =>
      Array.from({ length: 8 }, (_, i) => frameEntryOf(frame) + 4 * i),
    ),
    ...Array.from({ length: 135 }, (_, i) => pool + 4 * i),
  ];
  const interesting = [
    0,
    1,
    0x7fffffff,
    0xffffffff,
    0xfffff000,
    pool,
    raw.word(20) * PAGE_SIZE - 4,
    raw.core.bytes.length - 4,
    raw.core.bytes.length,
  ];
  for (let round = 0; round < 4000; round++) {
    const changed = new Map<number, number>();
    for (let i = 1 + (draw() % 12); i > 0; i--) {
      const at = places[draw() % places.length] as number;
      if (!changed.has(at)) changed.set(at, raw.word(at));
      const kind = draw() % 3;
      raw.setWord(
        at,
        kind === 0
          ? (interesting[draw() % interesting.length] as number)
          : kind === 1
            ? (places[draw() % places.length] as number)
            : draw() * 251 + draw(),
      );
    }
    const result = raw.check();
    if (result !== 0) expect(result).toBe(EUCLEAN);
    for (const [at, word] of changed) raw.setWord(at, word);
  }
  expect(raw.check()).toBe(0);
});
