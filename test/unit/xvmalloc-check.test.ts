/**
 * check() of xvmalloc pools: every link, count, flag and header is changed, one at a time, and check() must notice; and
 * check() must end when frames have random content.
 *
 * Not included, because nothing can contradict them: contents of objects, generations.
 */
import { expect, test } from 'vitest';
import { OUT_CURSOR, OUT_WALK_OBJECTS } from '../../assembly/abi.ts';
import { PAGE_SIZE, Ram, type Handle } from '../../bindings/index.ts';
import { createDraw } from '../models/trace.ts';
import { EUCLEAN, frameEntryOf, notices, rawOf, type Raw } from '../raw.ts';

const DATA = 8;
const RAW = 9;
const HANDLES = 7;
const SLAB = 6;
const POOL = 4;
const GENERATION = 0xff000000;
const FREE = 1 << 12;

/** A RAM whose only pool has frames with few and with many objects, free blocks on many lists, and a raw page. */
async function populated(): Promise<Raw> {
  const ram = await Ram.create({ bytes: '1MiB' });
  const pool = ram.zpool('xvmalloc');
  const draw = createDraw(9);
  const live: Handle[] = [];
  for (let i = 0; i < 330; i++) {
    const handle = pool.malloc(i % 2 === 0 ? 1 + (draw() % 2500) : 1 + (draw() % 100));
    pool.write(
      handle,
      Uint8Array.from({ length: pool.size(handle) }, () => draw()),
    );
    live.push(handle);
    if (draw() % 3 === 0) pool.free(live.splice(draw() % live.length, 1)[0] as Handle);
  }
  pool.storePage(Uint8Array.from({ length: PAGE_SIZE }, () => draw()));
  ram.check();
  return rawOf(ram.snapshot());
}

/** Handles of all objects, in address order. */
function handlesOf(raw: Raw, pool: number): number[] {
  const { exports, out } = raw.core;
  const handles: number[] = [];
  for (let frame = exports.zpoolWalk(pool, 0); frame !== 0; frame = exports.zpoolWalk(pool, frame)) {
    const at = exports.blockBuffer() >>> 2;
    for (let i = 0; i < (out[OUT_WALK_OBJECTS] as number); i++) handles.push(raw.words[at + 3 * i] as number);
  }
  return handles;
}

/** Frames by the type of their entry. */
function framesOf(raw: Raw, ...types: number[]): number[] {
  return Array.from({ length: raw.word(20) }, (_, frame) => frame).filter((frame) =>
    types.includes(raw.word(frameEntryOf(frame)) & 4095),
  );
}

test('check() notices a change of every header and link of a block', async () => {
  const raw = await populated();
  expect(raw.check()).toBe(0);
  let listed = 0;
  for (const frame of framesOf(raw, DATA)) {
    for (let at = 0; at < PAGE_SIZE;) {
      const block = frame * PAGE_SIZE + at;
      const header = raw.word(block);
      const size = header & 4095;
      const isFree = (header & FREE) !== 0;
      notices(raw, block, 'header', isFree ? 0xffffffff : ~GENERATION);
      if (isFree && size >= 32) {
        listed += 1;
        notices(raw, block + 4, 'previous');
        notices(raw, block + 8, 'next');
      }
      at += 4 + Math.ceil(size / 4) * 4;
    }
  }
  expect(listed).toBeGreaterThan(10);
  expect(raw.check()).toBe(0);
});

test('check() notices a change of every word of a frame entry, of the pool and of a record', async () => {
  const raw = await populated();
  const frames = framesOf(raw, DATA, RAW);
  for (const frame of frames)
    for (let at = 0; at < 32; at += 4) if (at !== 4) notices(raw, frameEntryOf(frame) + at, 'entry');
  const [pool = 0] = framesOf(raw, POOL);
  for (let at = 0; at < 2352; at += 4) notices(raw, pool * PAGE_SIZE + at, 'pool');
  const slabs = framesOf(raw, SLAB);
  expect(slabs.length).toBeGreaterThan(0);
  for (const frame of slabs) {
    const fresh = raw.word(frameEntryOf(frame) + 12) >>> 16;
    for (let at = 0; at < fresh; at += 4)
      if (at % 132 === 0 || raw.word(frame * PAGE_SIZE + at - (at % 132)) >>> 31 === 0)
        notices(raw, frame * PAGE_SIZE + at, 'record');
  }
  expect(raw.check()).toBe(0);
});

test('check() notices changes while objects are mapped and frames under reclaim', async () => {
  const raw = await populated();
  const { exports, out } = raw.core;
  const pool = (framesOf(raw, POOL)[0] ?? 0) * PAGE_SIZE;
  const handles = handlesOf(raw, pool);
  const some = handles.filter((_, i) => i < 60 || i % 40 === 0);
  for (const [i, handle] of some.entries()) for (let maps = 0; maps <= i % 3; maps++) exports.zpoolMap(pool, handle, 0);
  const victims = [raw.core.exports.zpoolIsolate(pool), raw.core.exports.zpoolIsolate(pool)];
  for (let cursor = 0; ;) {
    const handle = raw.core.exports.zpoolVictimNext(pool, victims[0] as number, cursor) >>> 0;
    if (handle === 0) break;
    cursor = out[OUT_CURSOR] as number;
    expect(exports.zpoolFree(pool, handle)).toBe(0);
    expect(raw.check()).toBe(0);
  }
  const records = framesOf(raw, HANDLES);
  expect(records.length).toBe(1);
  for (const frame of records) {
    const fresh = raw.word(frameEntryOf(frame) + 12) >>> 16;
    expect(fresh).toBeGreaterThan(10);
    for (let at = 0; at < fresh; at += 4) notices(raw, frame * PAGE_SIZE + at, 'record of a mapped object');
  }
  for (const frame of framesOf(raw, DATA, RAW))
    for (let at = 0; at < 32; at += 4) if (at !== 4) notices(raw, frameEntryOf(frame) + at, 'entry');
  for (let at = 0; at < 96; at += 4) notices(raw, pool + at, 'pool');
  for (const victim of victims) raw.core.exports.zpoolRelease(pool, victim);
  for (const [i, handle] of some.entries())
    for (let maps = 0; maps <= i % 3; maps++) expect(exports.zpoolUnmap(pool, handle)).toBe(0);
  expect(raw.check()).toBe(0);
  for (const handle of handles) exports.zpoolFree(pool, handle);
  expect(raw.check()).toBe(0);
  expect(framesOf(raw, DATA, RAW, SLAB, HANDLES)).toEqual([]);
});

test('check() ends on random content', async () => {
  const raw = await populated();
  const draw = createDraw(21);
  const pool = (framesOf(raw, POOL)[0] ?? 0) * PAGE_SIZE;
  for (const handle of handlesOf(raw, pool).slice(0, 80)) raw.core.exports.zpoolMap(pool, handle, 0);
  raw.core.exports.zpoolIsolate(pool);
  expect(raw.check()).toBe(0);
  const before = raw.words.slice();
  const places = [...framesOf(raw, DATA, SLAB, HANDLES, HANDLES).map((frame) => frame * PAGE_SIZE), pool];
  const bump = raw.word(20);
  let noticed = 0;
  for (let round = 0; round < 3_000; round++) {
    for (let changes = 1 + (draw() % 4); changes > 0; changes--) {
      const inEntry = draw() % 3 === 0;
      const address = inEntry
        ? frameEntryOf(draw() % bump) + 8 + 4 * (draw() % 6)
        : (places[draw() % places.length] as number) + 4 * (draw() % 1024);
      const value = [
        draw() * 256 + draw(),
        draw() % 64,
        (places[draw() % places.length] as number) + 4 * (draw() % 1024),
        raw.word(address) ^ (1 << (draw() % 32)),
        frameEntryOf(draw() % bump),
      ][draw() % 5];
      raw.setWord(address, (value as number) >>> 0);
    }
    if (raw.check() === EUCLEAN) noticed += 1;
    raw.words.set(before);
  }
  expect(noticed).toBeGreaterThan(1_000);
  expect(raw.check()).toBe(0);
});
