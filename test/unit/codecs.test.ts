/**
 * The contract of codecs, for every codec: the core's, those of loadCodec, deflate with zlib and with fflate, Zstandard
 * where the host has it.
 */
import { deflateSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { CORE_CODECS, type CoreCodecName } from '../../bindings/codec/core.ts';
import { fflateDeflate } from '../../bindings/codec/fflate.ts';
import { zlibDeflate, zlibZstd } from '../../bindings/codec/zlib.ts';
import { LOADABLE_CODECS, Ram, loadCodec, type LoadableCodec } from '../../bindings/index.ts';
import { expectSameBytes } from '../bytes.ts';
import { lying } from '../lying.ts';
import { SAMPLES, blockOf, decode, testCodec, text, type Row } from './codec-suite.ts';

const CORE_NAMES = Object.keys(CORE_CODECS) as CoreCodecName[];
const ram = await Ram.create({ bytes: '1MiB' });
const zlib = zlibDeflate();
const zstd = zlibZstd();
/** Codecs of loadCodec that refuse blocks with bytes after their end, and blocks that were cut off. */
const STRICT: Partial<Record<LoadableCodec, boolean>> = { deflate: zlib !== undefined, zstd: true };
/** The codecs that this host has. */
const loaded = LOADABLE_CODECS.filter((name) => name !== 'zstd' || zstd !== undefined);
const rows: Row[] = [
  ...CORE_NAMES.map((name) => ({ title: `${name} in the core`, codec: ram.codec(name), strict: false })),
  ...(await Promise.all(
    loaded.map(async (name) => ({ title: name, codec: await loadCodec(name), strict: STRICT[name] === true })),
  )),
  { title: 'deflate by fflate', codec: fflateDeflate(), strict: false },
  ...(zlib === undefined ? [] : [{ title: 'deflate by zlib', codec: zlib, strict: true }]),
];

rows.forEach(testCodec);

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

  test.each(SAMPLES)('%s: each decodes the blocks of the others', (_, bytes) => {
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
    expect(LOADABLE_CODECS).toEqual(expect.arrayContaining(['deflate', 'lz4js', 'zstd']));
    for (const name of loaded) expect((await loadCodec(name)).name).toBe(name);
  });

  test('without zlib, deflate is fflate, and zstd is ENODEV', async () => {
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

  /** Loads a codec on a host with this zlib. */
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

  test('a codec of the host that cannot read its own blocks, or fails, is ENODEV; deflate is fflate then', async () => {
    // A frame of a page as Deno makes it by default: a window of 2 MiB, no content size.
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

  test('zlib gets the size of the source, the window, and plain copies of the bytes', async () => {
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

  test('Zstandard frames have a content size, and no window that the decoder refuses', () => {
    if (zstd === undefined) return;
    for (const [, bytes] of SAMPLES) {
      const block = blockOf(zstd, bytes);
      const descriptor = block[4] as number;
      // A content size and a single segment, whose window is this size; or a window of at most 128 KiB.
      expect(descriptor >> 6 > 0 || (descriptor & 0x20) !== 0).toBe(true);
      if ((descriptor & 0x20) === 0) expect((block[5] as number) >> 3).toBeLessThanOrEqual(7);
    }
  });

  test('zstd exists exactly where zlib has it', async () => {
    const host = globalThis.process as { getBuiltinModule?: (name: string) => object } | undefined;
    const has = 'zstdCompressSync' in (host?.getBuiltinModule?.('node:zlib') ?? {});
    const answer = await loadCodec('zstd').then(
      ({ name }) => name,
      (error: { code: string }) => error.code,
    );
    expect(answer).toBe(has ? 'zstd' : 'ENODEV');
    expect(zstd !== undefined).toBe(has); // this makes sure that the rows above have it
  });

  test('EINVAL for an unknown name', async () => {
    for (const name of ['lz4', 'gzip', '', 'toString', '__proto__', null, undefined, 3, {}]) {
      await expect(loadCodec(name as LoadableCodec)).rejects.toMatchObject({ code: 'EINVAL', op: 'loadCodec' });
    }
  });
});
