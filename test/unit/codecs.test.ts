/** One contract for every codec: the core's, lz4js, deflate by zlib and by fflate, Zstandard where the host has it. */
import { deflateSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { fflateDeflate } from '../../bindings/codec/fflate.ts';
import { zlibDeflate, zlibZstd } from '../../bindings/codec/zlib.ts';
import { LOADABLE_CODECS, Ram, loadCodec, type Codec, type LoadableCodec } from '../../bindings/index.ts';
import { expectSameBytes } from '../bytes.ts';
import { fault, noise } from '../harness.ts';
import { bytesOf, lying } from '../lying.ts';

const BLOCK_MAX = 65536;
const GUARD = 0xa5;

interface Row {
  title: string;
  codec: Codec;
  /** Takes no block with bytes after its end, and none that was cut off. */
  strict: boolean;
}

const ram = await Ram.create({ bytes: '1MiB' });
const deflate = await loadCodec('deflate');
const lz4js = await loadCodec('lz4js');
const zlib = zlibDeflate();
const zstd = zlibZstd();
const rows: Row[] = [
  { title: 'lz4 in the core', codec: ram.codec('lz4'), strict: false },
  { title: 'lz4js', codec: lz4js, strict: false },
  { title: 'deflate as loaded', codec: deflate, strict: zlib !== undefined },
  { title: 'deflate by fflate', codec: fflateDeflate(), strict: false },
  ...(zlib === undefined ? [] : [{ title: 'deflate by zlib', codec: zlib, strict: true }]),
  ...(zstd === undefined ? [] : [{ title: 'zstd', codec: zstd, strict: true }]),
];

/** Words that a text would have, so that blocks have matches and a varied alphabet. */
function text(length: number): Uint8Array {
  const words = ['frame', 'page', 'zspage', 'handle', 'buddy', 'list', ' of ', ' in ', '\n', '0x', '17', '{"a":'];
  const choices = noise(length, 5);
  let all = '';
  for (let i = 0; all.length < length; i++) all += words[(choices[i] as number) % words.length];
  return new TextEncoder().encode(all).subarray(0, length);
}

const SAMPLES: [string, Uint8Array][] = [
  ['nothing', new Uint8Array(0)],
  ['one byte', Uint8Array.of(7)],
  ['13 bytes', noise(13, 1)],
  ['a page of zeros', new Uint8Array(4096)],
  ['a page of text', text(4096)],
  ['a page of noise', noise(4096, 2)],
  ['half noise', noise(4096, 3).fill(1, 2000)],
  ['64 KiB of text', text(BLOCK_MAX)],
  ['64 KiB of noise', noise(BLOCK_MAX, 4)],
  ['64 KiB of zeros', new Uint8Array(BLOCK_MAX)],
];

function blockOf(codec: Codec, bytes: Uint8Array): Uint8Array {
  const dst = new Uint8Array(bytes.length + 1024);
  const written = codec.compress(bytes, dst);
  expect(written).toBeGreaterThan(0);
  return dst.slice(0, written);
}

/** dst in the middle of a guarded buffer. */
function guarded(length: number): { dst: Uint8Array; intact: () => void } {
  const whole = new Uint8Array(length + 128).fill(GUARD);
  return {
    dst: whole.subarray(64, 64 + length),
    intact: () =>
      expectSameBytes(
        Uint8Array.of(...whole.subarray(0, 64), ...whole.subarray(64 + length)),
        new Uint8Array(128).fill(GUARD),
      ),
  };
}

/** Bytes decoded, or -1 for EIO; anything else fails. */
function decode(codec: Codec, block: Uint8Array, room: number): number {
  const { dst, intact } = guarded(room);
  let written = -1;
  try {
    written = codec.decompress(block, dst);
  } catch (error) {
    expect(error).toMatchObject({ name: 'CompcacheError', code: 'EIO', op: 'codec.decompress' });
  }
  intact();
  expect(written).toBeLessThanOrEqual(room);
  return written;
}

describe.each(rows)('$title', ({ codec, strict }) => {
  test.each(SAMPLES)('%s comes back, into exactly enough room', (_, bytes) => {
    const block = blockOf(codec, bytes);
    const { dst, intact } = guarded(bytes.length);
    expect(codec.decompress(block, dst)).toBe(bytes.length);
    expectSameBytes(dst, bytes);
    intact();
  });

  test.each(SAMPLES)('%s: a block fits its own length, and no byte less', (_, bytes) => {
    const block = blockOf(codec, bytes);
    const { dst, intact } = guarded(block.length);
    expect(codec.compress(bytes, dst)).toBe(block.length);
    expectSameBytes(dst, block);
    intact();
    const short = guarded(block.length - 1);
    expect(codec.compress(bytes, short.dst)).toBe(0);
    short.intact();
    expect(codec.compress(bytes, new Uint8Array(0))).toBe(0);
  });

  test.each(SAMPLES.filter(([, bytes]) => bytes.length > 0))('%s into one byte too few is EIO', (_, bytes) => {
    const block = blockOf(codec, bytes);
    expect(decode(codec, block, bytes.length - 1)).toBe(-1);
    expect(decode(codec, block, 0)).toBe(-1);
    expect(decode(codec, block, bytes.length + 100)).toBe(bytes.length);
  });

  test('a block that was cut off is EIO, or fewer bytes', () => {
    const bytes = text(3000);
    const block = blockOf(codec, bytes);
    expect(decode(codec, new Uint8Array(0), 4096)).toBe(-1);
    for (let length = 0; length < block.length; length++) {
      const written = decode(codec, block.subarray(0, length), 4096);
      expect(written).toBeLessThan(strict ? 0 : bytes.length);
    }
  });

  test('bytes after the end of a block: EIO where that can be told, and never written out of place', () => {
    const block = blockOf(codec, text(3000));
    for (const extra of [1, 2, 100]) {
      const written = decode(codec, Uint8Array.of(...block, ...noise(extra, extra)), 4096);
      if (strict) expect(written).toBe(-1);
    }
    if (strict) expect(decode(codec, Uint8Array.of(...block, ...block), 8192)).toBe(-1);
  });

  test('changed blocks and noise: EIO, or bytes in dst', () => {
    for (const [seed, bytes] of [text(2000), noise(300, 1).fill(0, 40), new Uint8Array(4096)].entries()) {
      const block = blockOf(codec, bytes);
      const draws = noise(4000, 100 + seed);
      for (let i = 0; i + 4 <= draws.length; i += 4) {
        const [low, high, value, other] = draws.subarray(i) as unknown as [number, number, number, number];
        const changed = block.slice();
        changed[(low | (high << 8)) % block.length] = value;
        if (other < 64) changed[other % block.length] = other;
        decode(codec, changed, 4096);
        decode(codec, changed, bytes.length - 1);
      }
      for (let i = 0; i < 300; i++) decode(codec, noise(1 + (i % 90), i), 4096);
    }
    // It goes on working.
    const page = text(4096);
    const into = new Uint8Array(4096);
    expect(codec.decompress(blockOf(codec, page), into)).toBe(4096);
    expectSameBytes(into, page);
  });

  test('what a changed block gives depends on the block alone', () => {
    const block = blockOf(codec, text(2000));
    const draws = noise(600, 9);
    for (let i = 0; i < draws.length; i += 2) {
      const changed = block.slice();
      changed[(draws[i] as number) % block.length] = draws[i + 1] as number;
      const results = [0x11, 0x22].map((filling) => {
        codec.decompress(blockOf(codec, new Uint8Array(4096).fill(filling)), new Uint8Array(4096));
        const dst = new Uint8Array(4096).fill(0xee);
        return decode(codec, changed, 4096) < 0 ? undefined : dst.subarray(0, codec.decompress(changed, dst));
      });
      expect(results[0]?.length).toBe(results[1]?.length);
      if (results[0] !== undefined) expectSameBytes(results[0], results[1] as Uint8Array);
    }
  });

  test('views of shared memory are copied; those of detached buffers EINVAL', () => {
    const bytes = text(1000);
    if (typeof SharedArrayBuffer !== 'undefined') {
      const shared = (length: number): Uint8Array => new Uint8Array(new SharedArrayBuffer(length + 8), 8, length);
      const src = shared(1000);
      src.set(bytes);
      const block = shared(2000);
      const written = codec.compress(src, block);
      const into = shared(1000);
      expect(codec.decompress(block.subarray(0, written), into)).toBe(1000);
      expectSameBytes(into, bytes);
    }
    const block = blockOf(codec, bytes);
    const gone = new Uint8Array(1000);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    for (const bad of [gone, null, undefined, 'x', [1], new ArrayBuffer(9), new Uint16Array(9)] as Uint8Array[]) {
      fault({ code: 'EINVAL', op: 'codec.compress', says: 'src' }, () => codec.compress(bad, new Uint8Array(9)));
      fault({ code: 'EINVAL', op: 'codec.compress', says: 'dst' }, () => codec.compress(bytes, bad));
      fault({ code: 'EINVAL', op: 'codec.decompress', says: 'src' }, () => codec.decompress(bad, new Uint8Array(9)));
      fault({ code: 'EINVAL', op: 'codec.decompress', says: 'dst' }, () => codec.decompress(block, bad));
    }
    fault({ code: 'EINVAL', op: 'codec.compress', says: 'src' }, () =>
      codec.compress(new Uint8Array(BLOCK_MAX + 1), new Uint8Array(BLOCK_MAX)),
    );
  });

  test("no property of a caller's array is asked, and buffers that can shrink are good", () => {
    const page = text(4096);
    const block = blockOf(codec, page);
    const src = lying(4096);
    Uint8Array.prototype.set.call(src, page);
    const dst = lying(5000, GUARD);
    expect(codec.compress(src, dst)).toBe(block.length);
    expectSameBytes(bytesOf(dst).subarray(0, block.length), block);
    expectSameBytes(bytesOf(dst).subarray(block.length), new Uint8Array(5000 - block.length).fill(GUARD));
    const lied = lying(block.length);
    Uint8Array.prototype.set.call(lied, block);
    const into = lying(4096);
    expect(codec.decompress(lied, into)).toBe(4096);
    expectSameBytes(bytesOf(into), page);
    expect(codec.compress(src, lying(block.length - 1))).toBe(0);
    fault({ code: 'EIO', op: 'codec.decompress' }, () => codec.decompress(lied, lying(4095)));
    const Resizable = ArrayBuffer as unknown as new (length: number, options: { maxByteLength: number }) => ArrayBuffer;
    const resizable = (bytes: Uint8Array): Uint8Array => {
      const view = new Uint8Array(new Resizable(bytes.length, { maxByteLength: bytes.length }));
      view.set(bytes);
      return view;
    };
    const room = resizable(new Uint8Array(4096));
    expect(codec.decompress(resizable(block), room)).toBe(4096);
    expectSameBytes(room, page);
    expect(codec.compress(resizable(page), room)).toBe(block.length);
  });

  test('nothing is written to the source', () => {
    const bytes = text(4096);
    const block = blockOf(codec, bytes);
    const copy = block.slice();
    codec.decompress(block, new Uint8Array(4096));
    expectSameBytes(block, copy);
    expectSameBytes(bytes, text(4096));
  });
});

describe('memory', () => {
  test('a block that decodes to more than 64 KiB is EIO, however large dst is', async () => {
    const bomb = deflateSync(new Uint8Array(2 << 20), { level: 9 });
    expect(bomb.length).toBeLessThan(4096);
    for (const { codec, title } of rows)
      if (title.startsWith('deflate')) expect(decode(codec, bomb, 4 << 20), title).toBe(-1);
  });

  test('a Zstandard frame that asks for a window of 128 MiB is EIO, one of 64 KiB decodes', async () => {
    const frame = (windowLog: number): Uint8Array =>
      Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3, 3 | (5 << 3), 0, 0, 7);
    if (zstd === undefined) return void (await expect(loadCodec('zstd')).rejects.toMatchObject({ code: 'ENODEV' }));
    expect([16, 17, 18, 27, 31].map((windowLog) => decode(zstd, frame(windowLog), 4096))).toEqual([5, 5, -1, -1, -1]);
  });
});

describe('deflate', () => {
  const all = rows.filter(({ title }) => title.startsWith('deflate')).map(({ codec }) => codec);

  test.each(SAMPLES)('%s: each reads the blocks of the others', (_, bytes) => {
    for (const writer of all) {
      for (const reader of all) {
        const into = new Uint8Array(bytes.length);
        expect(reader.decompress(blockOf(writer, bytes), into)).toBe(bytes.length);
        expectSameBytes(into, bytes);
      }
    }
  });
});

describe('loadCodec', () => {
  test('gives codecs by their names', async () => {
    expect([...LOADABLE_CODECS].sort()).toEqual(['deflate', 'lz4js', 'zstd']);
    for (const name of ['lz4js', 'deflate'] as const) expect((await loadCodec(name)).name).toBe(name);
  });

  test('without zlib deflate is fflate, and zstd ENODEV', async () => {
    const host = globalThis.process as { getBuiltinModule?: unknown } | undefined;
    const own = host && Object.getOwnPropertyDescriptor(host, 'getBuiltinModule');
    if (host !== undefined) Object.defineProperty(host, 'getBuiltinModule', { value: undefined, configurable: true });
    try {
      expect([zlibDeflate(), zlibZstd()]).toEqual([undefined, undefined]);
      const codec = await loadCodec('deflate');
      const bytes = text(4096);
      expectSameBytes(blockOf(codec, bytes), blockOf(fflateDeflate(), bytes));
      await expect(loadCodec('zstd')).rejects.toMatchObject({ code: 'ENODEV', op: 'loadCodec' });
    } finally {
      if (host !== undefined && own !== undefined) Object.defineProperty(host, 'getBuiltinModule', own);
    }
  });

  /** Loads a codec on a host with such a zlib. */
  async function withZlib<T>(zlibOf: object, call: () => T | Promise<T>): Promise<T | undefined> {
    const host = globalThis.process as { getBuiltinModule?: (name: string) => object } | undefined;
    if (host?.getBuiltinModule === undefined) return undefined;
    const own = Object.getOwnPropertyDescriptor(host, 'getBuiltinModule') as PropertyDescriptor;
    Object.defineProperty(host, 'getBuiltinModule', { value: () => zlibOf, configurable: true });
    try {
      return await call();
    } finally {
      Object.defineProperty(host, 'getBuiltinModule', own);
    }
  }
  const constants = { ZSTD_c_compressionLevel: 100, ZSTD_c_windowLog: 101, ZSTD_d_windowLogMax: 100 };
  const fails = (): never => {
    throw new Error('Frame requires too much memory for decoding');
  };

  test("a codec that cannot read its own blocks, or fails, is ENODEV; deflate is fflate's then", async () => {
    // A frame as Deno makes it of a page when it is told nothing: a window of 2 MiB, no size.
    const frame = Uint8Array.from([
      0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x6d, 0, 0, 0x18, 3, 3, 0, 2, 0, 0x2c, 0, 0xbe, 0x58, 0xfe, 7, 0x58,
    ]);
    const wrong = (): Uint8Array => new Uint8Array(4096);
    for (const [compress, decompress] of [
      [() => frame, fails],
      [() => frame, wrong],
      [fails, wrong],
      [() => new Uint8Array(1e6), wrong],
    ]) {
      const zlibOf = {
        constants,
        zstdCompressSync: compress,
        zstdDecompressSync: decompress,
        deflateRawSync: compress,
        inflateRawSync: () => ({ buffer: decompress?.(), engine: { bytesWritten: frame.length } }),
      };
      const answers = await withZlib(zlibOf, async () => {
        const error = await loadCodec('zstd').catch((caught: unknown) => caught);
        return { error, codec: await loadCodec('deflate') };
      });
      if (answers === undefined) return;
      expect(answers.error).toMatchObject({ name: 'CompcacheError', code: 'ENODEV', op: 'loadCodec' });
      expectSameBytes(blockOf(answers.codec, text(4096)), blockOf(fflateDeflate(), text(4096)));
    }
  });

  test('zlib is told the size of the source and the window, and gets plain copies', async () => {
    const given: [Uint8Array, { pledgedSrcSize: number; chunkSize: number; params: Record<number, number> }][] = [];
    const zlibOf = {
      constants,
      zstdCompressSync: (...args: (typeof given)[number]) => (given.push(args), args[0].slice(0, 20)),
      zstdDecompressSync: fails,
      deflateRawSync: (...args: (typeof given)[number]) => (given.push(args), args[0].slice(0, 20)),
    };
    const src = lying(4096, 5);
    const done = await withZlib(zlibOf, () =>
      [zlibZstd(), zlibDeflate()].map((codec) => codec?.compress(src, new Uint8Array(100))),
    );
    if (done === undefined) return;
    expect(done).toEqual([20, 20]);
    for (const [bytes] of given) {
      expect(bytes === src).toBe(false);
      expectSameBytes(bytes, new Uint8Array(4096).fill(5));
    }
    const [, options] = given[0] as (typeof given)[number];
    expect(options.pledgedSrcSize).toBe(4096);
    expect(options.chunkSize).toBeGreaterThan(4096 + 512);
    expect(options.params).toEqual({ 100: 1, 101: 17 });
  });

  test('Zstandard frames say their size, and ask for no window that the decoder refuses', () => {
    if (zstd === undefined) return;
    for (const [, bytes] of SAMPLES) {
      const block = blockOf(zstd, bytes);
      const descriptor = block[4] as number;
      // A size of content, and one segment, whose window is that size; or a window of at most 128 KiB.
      expect(descriptor >> 6 > 0 || (descriptor & 0x20) !== 0).toBe(true);
      if ((descriptor & 0x20) === 0) expect((block[5] as number) >> 3).toBeLessThanOrEqual(7);
    }
  });

  test('zstd is there exactly where zlib has it', async () => {
    const host = globalThis.process as { getBuiltinModule?: (name: string) => object } | undefined;
    const has = 'zstdCompressSync' in (host?.getBuiltinModule?.('node:zlib') ?? {});
    const answer = await loadCodec('zstd').then(
      ({ name }) => name,
      (error: { code: string }) => error.code,
    );
    expect(answer).toBe(has ? 'zstd' : 'ENODEV');
    expect(zstd !== undefined).toBe(has); // so that the rows above have it
  });

  test('EINVAL for an unknown name', async () => {
    for (const name of ['lz4', 'gzip', '', 'toString', '__proto__', null, undefined, 3, {}]) {
      await expect(loadCodec(name as LoadableCodec)).rejects.toMatchObject({ code: 'EINVAL', op: 'loadCodec' });
    }
  });
});
