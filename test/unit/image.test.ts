/** Images: snapshot, restore, and images that must be refused. */
import { describe, expect, test } from 'vitest';
import { CompcacheError, PAGE_SIZE, Ram, type Handle, type Zpool } from '../../bindings/index.ts';
import { expectSameBytes } from '../bytes.ts';
import { OUT_RULE, RAM_SCRATCH, RAM_STATIC, RAM_STATIC_NEEDED } from '../../assembly/abi.ts';
import { moduleFor } from '../../bindings/builds.ts';
import { runsOf } from '../../bindings/image.ts';
import { rams } from '../../bindings/ram.ts';
import type { RamOptions } from '../../bindings/types.ts';
import { instantiate, reserve, type Instance } from '../../bindings/wasm.ts';
import { EUCLEAN, crc32c, frameEntryOf, rawOf, withChecksum } from '../raw.ts';

const BUILDS = [{ simd: true }, { simd: false }, { build: 'checked' }] as const;

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'nothing thrown',
    (error: unknown) => (error instanceof CompcacheError ? error.code : String(error)),
  );
}

/** A RAM with two pools in use: live, freed and written objects. */
async function used(options = {}): Promise<{ ram: Ram; pools: Zpool[]; handles: Handle[][]; stale: Handle[][] }> {
  const ram = await Ram.create({ bytes: '2MiB', ...options });
  const pools = [ram.zpool('zbud', { name: 'first' }), ram.zpool('zsmalloc', { name: 'zweitér' })];
  const handles: Handle[][] = [[], []];
  const stale: Handle[][] = [[], []];
  pools.forEach((pool, p) => {
    for (let i = 0; i < 60; i++) {
      const handle = pool.malloc(1 + ((i * 733) % 3000));
      if (i % 4 !== 3) pool.write(handle, new Uint8Array(pool.size(handle)).fill(i));
      (i % 5 === 4 ? (stale[p] as Handle[]) : (handles[p] as Handle[])).push(handle);
    }
    stale[p]?.forEach((handle) => pool.free(handle));
  });
  return { ram, pools, handles, stale };
}

/** Makes the same calls on any copy. */
function goOn(ram: Ram): void {
  const evicted: Handle[] = [];
  for (const name of ['first', 'zweitér']) {
    const pool = ram.openZpool(name, {
      evict: (handle, owner) => {
        evicted.push(handle);
        owner.free(handle);
      },
    });
    const more = Array.from({ length: 40 }, (_, i) => pool.malloc(10 + i * 70));
    more.forEach((handle, i) => pool.write(handle, new Uint8Array([i]), 3));
    pool.shrink(4);
    pool.compact();
  }
  expect(evicted.length).toBeGreaterThan(0);
}

describe('two RAMs in the same state', () => {
  test('have equal images; all copies behave the same, in every build', async () => {
    const { ram, handles, stale } = await used();
    const image = ram.snapshot();
    goOn(ram);
    const after = ram.snapshot();
    for (const build of BUILDS) {
      const copy = await Ram.restore(image, build);
      expectSameBytes(copy.snapshot(), image);
      copy.check();
      expect(copy.pools().map((pool) => [pool.name, pool.allocator])).toEqual([
        ['first', 'zbud'],
        ['zweitér', 'zsmalloc'],
      ]);
      copy.pools().forEach((pool, p) => {
        for (const handle of handles[p] as Handle[]) pool.read(handle);
        for (const handle of [...(stale[p] as Handle[]), ...(handles[1 - p] as Handle[])]) {
          expect(() => pool.read(handle)).toThrowError(expect.objectContaining({ code: 'EINVAL' }) as Error);
        }
      });
      goOn(copy);
      expectSameBytes(copy.snapshot(), after);
    }
  });

  test('have equal images in every build', async () => {
    const images = await Promise.all(BUILDS.map(async (build) => (await used(build)).ram.snapshot()));
    for (const other of images.slice(1)) expectSameBytes(other, images[0] as Uint8Array);
  });

  test('an image has the limits and the fault injection', async () => {
    const ram = await Ram.create({ bytes: '1MiB', limit: '100K' });
    ram.zpool('zbud', { name: 'p' });
    ram.failFrames(3, 1);
    const copy = await Ram.restore(ram.snapshot());
    const pool = copy.openZpool('p');
    for (let i = 0; i < 3; i++) pool.malloc(3000);
    expect(() => pool.malloc(3000)).toThrowError(expect.objectContaining({ code: 'ENOMEM' }) as Error);
    expect(copy.stats().limitFrames).toBe(25);
    while (copy.freeFrames > 0) pool.malloc(3000);
    expect(pool.totalPages).toBe(24);
    expect((await Ram.restore(ram.snapshot(), { limit: '200K' })).stats().limitFrames).toBe(50);
  });

  test('the name of a restored pool is in use, and new default names are different', async () => {
    const { ram } = await used();
    const copy = await Ram.restore(ram.snapshot());
    expect(() => copy.zpool('zbud', { name: 'first' })).toThrowError(
      expect.objectContaining({ code: 'EEXIST' }) as Error,
    );
    const names = new Set([copy.zpool('zbud').name, copy.zpool('zbud').name]);
    expect(names.size).toBe(2);
    expect(() => copy.openZpool('nobody')).toThrowError(expect.objectContaining({ code: 'ENOENT' }) as Error);
  });
});

describe('size and parts', () => {
  test('the image of 4 GiB with 100 frames used is under 1 MB', async () => {
    const ram = await Ram.create({ bytes: '4GiB' });
    const pool = ram.zpool('zbud');
    for (let i = 0; i < 99; i++) pool.malloc(3000);
    expect(ram.stats().usedFrames).toBe(100);
    const image = ram.snapshot();
    expect(image.length).toBeLessThan(1_000_000);
    const copy = await Ram.restore(image);
    expect(copy.totalFrames).toBe(2 ** 20);
  });

  test('the chunks together are the snapshot; a change in between is EBUSY', async () => {
    const { ram, pools, handles } = await used();
    const chunks = [...ram.snapshotChunks()];
    expect(chunks.length).toBeGreaterThan(2);
    const joined = new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    expectSameBytes(joined, ram.snapshot());
    const iterator = ram.snapshotChunks()[Symbol.iterator]();
    iterator.next();
    iterator.next();
    (pools[0] as Zpool).write(handles[0]?.[1] as Handle, new Uint8Array([99, 98]));
    (pools[0] as Zpool).malloc(77);
    expect(() => {
      while (!iterator.next().done);
    }).toThrowError(expect.objectContaining({ code: 'EBUSY' }) as Error);
  });

  test('a snapshot is EBUSY while an object is mapped', async () => {
    const { ram, pools, handles } = await used();
    const handle = handles[1]?.[0] as Handle;
    (pools[1] as Zpool).map(handle, 'ro');
    expect(() => ram.snapshot()).toThrowError(expect.objectContaining({ code: 'EBUSY' }) as Error);
    expect(() => ram.snapshotChunks()).toThrowError(expect.objectContaining({ code: 'EBUSY' }) as Error);
    (pools[1] as Zpool).unmap(handle);
    ram.snapshot();
  });

  test('bytes: at least that of the image; more is allowed', async () => {
    const image = (await used()).ram.snapshot();
    expect(await codeOf(Ram.restore(image, { bytes: '1MiB' }))).toBe('EINVAL');
    const larger = await Ram.restore(image, { bytes: '4MiB' });
    larger.check();
    expectSameBytes(larger.snapshot(), image);
  });
});

describe('bad images are EIO', () => {
  test('damaged, truncated, lengthened, foreign', async () => {
    const image = (await used()).ram.snapshot();
    for (const length of [0, 1, 23, 24, 100, image.length - PAGE_SIZE, image.length - 1]) {
      expect(await codeOf(Ram.restore(image.slice(0, length)))).toBe('EIO');
    }
    const longer = new Uint8Array(image.length + 1);
    longer.set(image);
    expect(await codeOf(Ram.restore(longer))).toBe('EIO');
    expect(await codeOf(Ram.restore(crypto.getRandomValues(new Uint8Array(10_000))))).toBe('EIO');
    for (let at = 0; at < image.length; at += 7919) {
      const damaged = image.slice();
      (damaged[at] as number) ^= 0x10;
      expect(await codeOf(Ram.restore(damaged))).toBe('EIO');
    }
    expect(await codeOf(Ram.restore('image' as never))).toBe('EINVAL');
  });

  test('a header with false values and a right checksum', async () => {
    const image = (await used()).ram.snapshot();
    const lies: [at: number, value: number][] = [
      [0, 1],
      [4, 2],
      [8, 3],
      [12, 0],
      [12, 2 ** 20 + 16],
      [12, 0xffffffff],
      [12, 64],
      [16, 0],
      [16, 0xffffffff],
      [20, 0],
      [20, 0xffffffff],
      [24, 1],
      [28, 0],
      [28, 1],
      [28, 0xffffffff],
      [32, 2],
      [32, 4],
      [32, 0xffffffff],
      [36, 0xffffffff],
    ];
    for (const [at, value] of lies) {
      const copy = image.slice();
      new DataView(copy.buffer).setUint32(at, value, true);
      expect(await codeOf(Ram.restore(withChecksum(copy)))).toBe('EIO');
    }
  });

  test('an image of layout 1 is EIO, which names both layouts', async () => {
    const image = (await Ram.create({ bytes: '256KiB' })).snapshot();
    const view = new DataView(image.buffer);
    expect(view.getUint32(8, true)).toBe(2);
    view.setUint32(8, 1, true);
    const refused = { code: 'EIO', message: expect.stringMatching(/layout 1.*layout 2/) as string };
    await expect(Ram.restore(withChecksum(image))).rejects.toMatchObject(refused);
    // Nothing behind this word is read, because the content of other layouts is unknown.
    await expect(Ram.restore(image.fill(0xff, 12))).rejects.toMatchObject(refused);
    await expect(Ram.restore(image.slice(0, 28))).rejects.toMatchObject(refused);
  });

  test('a boot frame of layout 1 is refused before any other word is read', async () => {
    const image = (await Ram.create({ bytes: '256KiB' })).snapshot();
    const raw = await rawOf(image);
    raw.setWord(4, 1);
    for (let at = 8; at < PAGE_SIZE; at += 4) raw.setWord(at, 0xffffffff);
    expect([raw.check(), raw.core.out[OUT_RULE]]).toEqual([EUCLEAN, 1]);
    new DataView(image.buffer).setUint32(32 + 4, 1, true);
    await expect(Ram.restore(withChecksum(image))).rejects.toMatchObject({
      code: 'EIO',
      message: expect.stringContaining('boot frame') as string,
    });
  });

  test('the checksum of the core is CRC-32C', async () => {
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
    const image = (await used()).ram.snapshot();
    expectSameBytes(withChecksum(image), image);
  });

  test('inconsistent tables with a right checksum: never a trap, an endless loop or a wrong RAM that is not noticed', async () => {
    const { ram, pools, handles } = await used();
    // Some structures exist only while an object is mapped; an image cannot have them, but a forged one may claim it.
    (pools[1] as Zpool).read(handles[1]?.[0] as Handle);
    const image = ram.snapshot();
    let seed = 12345;
    const draw = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (const options of [{}, { build: 'checked' }] as const) {
      const raw = await rawOf(image, options);
      // All words except the bytes of objects, which can have any value.
      const places: number[] = [];
      for (let frame = 0; frame < raw.word(20); frame++) {
        if (frame > 1 && [0, 2, 8, 9].includes(raw.word(frameEntryOf(frame)) & 4095)) continue;
        for (let at = frame * PAGE_SIZE; at < (frame + 1) * PAGE_SIZE; at += 4) if (raw.word(at) !== 0) places.push(at);
      }
      let noticed = 0;
      for (let round = 0; round < 4000; round++) {
        const saved = new Map<number, number>();
        for (let changes = 1 + draw(3); changes > 0; changes--) {
          const at = places[draw(places.length)] as number;
          const word = raw.word(at);
          if (!saved.has(at)) saved.set(at, word);
          const other = raw.word(places[draw(places.length)] as number);
          raw.setWord(at, [0, 0xffffffff, draw(2 ** 32), word ^ (1 << draw(32)), other][draw(5)] as number);
        }
        const result = raw.check();
        expect([0, 0xffffff8b]).toContain(result);
        if (result !== 0) noticed += 1;
        saved.forEach((word, at) => raw.setWord(at, word));
      }
      expect(raw.check()).toBe(0);
      expect(noticed).toBeGreaterThan(3000);
    }
  });

  test('frames that an image cannot have, maps, and isolated victims', async () => {
    const { ram } = await used();
    const image = ram.snapshot();
    const view = new DataView(image.buffer);
    const runs = view.getUint32(20, true);
    const last = 24 + 8 * (runs - 1);
    const end = view.getUint32(last, true) + view.getUint32(last + 4, true);
    // Used frames behind the last one, in a run of their own.
    for (const [first, count] of [
      [end + 3, 5],
      [end + 1, 1],
      [257, 1],
    ] as const) {
      const longer = new Uint8Array(image.length + 8 + count * PAGE_SIZE).fill(0x11);
      longer.set(image.subarray(0, last + 8));
      longer.set(image.subarray(last + 8, -4), last + 16);
      const header = new DataView(longer.buffer);
      header.setUint32(16, view.getUint32(16, true) + count, true);
      header.setUint32(20, runs + 1, true);
      header.setUint32(last + 8, first, true);
      header.setUint32(last + 12, count, true);
      expect(await codeOf(Ram.restore(withChecksum(longer)))).toBe('EIO');
    }
    const raw = await rawOf(image);
    const boot = 24 + 8 * runs;
    for (const [at, value] of [
      [48, 1],
      [52, 1],
      [12, 38 + 16],
    ] as const) {
      const copy = image.slice();
      new DataView(copy.buffer).setUint32(boot + at, value, true);
      expect(await codeOf(Ram.restore(withChecksum(copy)))).toBe('EIO');
    }
    expect(raw.check()).toBe(0);
  });

  test('an owner for a frame below firstFrame', async () => {
    const ram = await Ram.create({ bytes: '1MiB', firstFrame: 100 });
    ram.zpool('zbud').malloc(100);
    const raw = await rawOf(ram.snapshot());
    const pool = raw.word(40);
    for (const [frame, owner] of [
      [60, pool | 8],
      [99, pool | 8],
      [60, 0xdeadbeef],
      [43, 1],
    ] as const) {
      raw.setWord(frameEntryOf(frame), owner >>> 0);
      expect(raw.check()).toBe(0xffffff8b);
      raw.setWord(frameEntryOf(frame), 0);
    }
    expect(raw.check()).toBe(0);
  });

  test('chunks taken while something is mapped, or after close', async () => {
    const { ram, pools, handles } = await used();
    const chunks = ram.snapshotChunks();
    expect([...chunks].length).toBe([...chunks].length);
    (pools[1] as Zpool).map(handles[1]?.[0] as Handle, 'rw');
    expect(() => [...chunks]).toThrowError(expect.objectContaining({ code: 'EBUSY' }) as Error);
    ram.close();
    expect(() => [...chunks]).toThrowError(expect.objectContaining({ code: 'ECLOSED' }) as Error);
  });
});

const OWN = 0xffffffff;

/** An instance with an empty RAM, as made by a build with these numbers of frames for static data and scratch. */
async function made(
  frames: number,
  statics: number,
  scratch: number,
  options: RamOptions = {},
): Promise<{ instance: Instance; result: number }> {
  const instance = instantiate('test', await moduleFor('test', options), reserve('test', frames * PAGE_SIZE));
  return { instance, result: instance.exports.ramInit(frames, OWN, 0, statics, scratch) };
}

/** The image of this RAM. */
async function imageOf(frames: number, statics: number, scratch: number): Promise<Uint8Array> {
  const { instance, result } = await made(frames, statics, scratch);
  expect(result).toBe(0);
  const runs = runsOf(instance);
  const parts = [
    new Uint8Array(
      new Uint32Array([0x4d494343, 1, 2, frames, runs.reduce((sum, { count }) => sum + count, 0), runs.length]).buffer,
    ),
    ...runs.map(({ first, count }) => new Uint8Array(new Uint32Array([first, count]).buffer)),
    ...runs.map(({ first, count }) => instance.bytes.subarray(first * PAGE_SIZE, (first + count) * PAGE_SIZE)),
    new Uint8Array(4),
  ];
  const image = new Uint8Array(await new Blob(parts).arrayBuffer());
  return withChecksum(image);
}

/** Uses all of the scratch: both compressors, objects that straddle, a sparse table that splits its leaves. */
function useScratch(ram: Ram, keys: number): void {
  const pageOf = (n: number): Uint8Array =>
    Uint8Array.from({ length: PAGE_SIZE }, (_, i) => ((i * (n + 7)) % 251) & (i % 3 === 0 ? 0xff : 0x0f));
  const table = ram.zpool('zsmalloc').pageTable('sparse');
  const into = new Uint8Array(PAGE_SIZE);
  for (let n = 0; n < keys; n++) table.put(n * 0x12345, pageOf(n), n % 2 === 0 ? ram.codec('lz4hc') : undefined);
  for (let n = 0; n < keys; n++) {
    expect(table.get(n * 0x12345, into)).toBe(true);
    expectSameBytes(into, pageOf(n));
  }
  for (const name of ['lz4', 'lz4hc'] as const) {
    const codec = ram.codec(name);
    const bytes = Uint8Array.from({ length: rams.core('test', ram).pageBuffer.length }, (_, i) => (i >> 3) ^ (i % 11));
    const block = new Uint8Array(bytes.length + PAGE_SIZE);
    const decoded = new Uint8Array(bytes.length);
    codec.decompress(block.subarray(0, codec.compress(bytes, block)), decoded);
    expectSameBytes(decoded, bytes);
  }
  ram.check();
}

describe('frames for static data and scratch, as the boot frame has them', () => {
  test('a new RAM and an image have those of this build', async () => {
    for (const [frames, scratch] of [
      [64, 9],
      [240, 9],
      [256, 39],
      [512, 39],
    ] as const) {
      const ram = await Ram.create({ bytes: frames * PAGE_SIZE });
      expectSameBytes(ram.snapshot(), await imageOf(frames, 2, scratch));
      expectSameBytes(ram.snapshot(), await imageOf(frames, OWN, OWN));
      const { ramCounter, ramFixed } = rams.core('test', ram).exports;
      expect([ramCounter(RAM_STATIC), ramCounter(RAM_SCRATCH), ramFixed()]).toEqual([2, scratch, 4 + scratch]);
    }
  });

  test.each([
    [512, 2, 40],
    [512, 5, 39],
    [512, 9, 64],
    [512, 60, 66],
    [128, 2, 10],
    [128, 7, 31],
  ])('a RAM of %i frames, %i static, %i scratch works', async (frames, statics, scratch) => {
    const image = await imageOf(frames, statics, scratch);
    for (const build of BUILDS) {
      const { instance } = await made(frames, OWN, OWN, build);
      const ram = await Ram.restore(image, build);
      const core = rams.core('test', ram);
      const buffer = frames < 256 ? 1 : 16;
      const end = 2 + statics + scratch;
      expect(
        [
          core.out.byteOffset,
          core.pageBuffer.byteOffset,
          core.pageBuffer.length,
          core.blockBuffer.byteOffset,
          core.blockBuffer.length,
        ].map((bytes) => bytes / PAGE_SIZE),
      ).toEqual([2 + statics, end - 2 * buffer - 1, buffer, end - buffer - 1, buffer + 1]);
      expect(ram.stats().fixedFrames).toBe(end + Math.ceil(frames / 128) - 1);
      useScratch(ram, frames < 256 ? 40 : 300);
      const pool = ram.zpool('zbud', { name: 'after' });
      const handle = pool.malloc(100);
      expect(handle).toBeGreaterThan(0);
      // The static data did not change.
      expectSameBytes(
        core.bytes.slice(2 * PAGE_SIZE, (2 + statics) * PAGE_SIZE),
        instance.bytes.slice(2 * PAGE_SIZE, (2 + statics) * PAGE_SIZE),
      );
      const after = ram.snapshot();
      const copy = await Ram.restore(after);
      expectSameBytes(copy.snapshot(), after);
      copy.check();
      expect(copy.openZpool('after').size(handle)).toBe(100);
    }
  });

  test('too few for this build: EIO, which names both numbers', async () => {
    for (const build of BUILDS) {
      const {
        instance: { exports, bytes },
      } = await made(512, OWN, OWN, build);
      // The number of frames that the core reports is the size of its data segments.
      const needs = exports.ramCounter(RAM_STATIC_NEEDED);
      expect(needs).toBe(
        Math.ceil((bytes.findLastIndex((byte, at) => byte !== 0 && at >= 2 * PAGE_SIZE) + 1) / PAGE_SIZE) - 2,
      );
      expect(needs).toBeGreaterThan(0);
      await Ram.restore(await imageOf(512, needs, 39), build);
      const refused = (message: RegExp): object => ({ code: 'EIO', message: expect.stringMatching(message) as string });
      await expect(Ram.restore(await imageOf(512, needs - 1, 39), build)).rejects.toMatchObject(
        refused(new RegExp(`has ${needs - 1} frames for static data, .* needs ${needs} `)),
      );
      await expect(Ram.restore(await imageOf(512, 2, 38), build)).rejects.toMatchObject(
        refused(/has 38 frames for scratch, .* needs 39 /),
      );
      await expect(Ram.restore(await imageOf(64, 2, 8), build)).rejects.toMatchObject(
        refused(/has 8 frames for scratch, .* needs 9 /),
      );
      await expect(Ram.restore(await imageOf(64, 0, 0), build)).rejects.toMatchObject(
        refused(/has 0 frames for static data, .*; the image has 0 frames for scratch, /),
      );
    }
  });

  test('impossible numbers, and a boot frame with a wrong checksum', async () => {
    for (const [frames, statics, scratch] of [
      [512, 61, 66],
      [512, 128, 0],
      [512, 0xfffffffe, 39],
      [512, 2, 0xfffffffe],
      [64, 40, 22],
    ] as const) {
      expect((await made(frames, statics, scratch)).result >>> 0).toBe(0xffffffea);
    }
    const image = await imageOf(512, 2, 39);
    for (const [at, value] of [
      [72, 3],
      [12, 40],
      [72, 0],
      [72, 0xffffffff],
      [12, 0xffffffff],
      [64, 0],
    ] as const) {
      const copy = image.slice();
      new DataView(copy.buffer).setUint32(32 + at, value, true);
      await expect(Ram.restore(withChecksum(copy))).rejects.toMatchObject({
        code: 'EIO',
        message: expect.stringContaining('boot frame') as string,
      });
    }
  });
});
