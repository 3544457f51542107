/** `compcache estimate`: figures, input, several RAMs, and pages that come back different. */
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import {
  ALLOCATORS,
  CompcacheError,
  PAGE_SIZE,
  Ram,
  loadCodec,
  type AllocatorName,
  type Codec,
} from '../../bindings/index.ts';
import { estimate, runEstimate, type Request } from '../../cli/estimate.ts';
import type { Report, Result } from '../../cli/estimate-report.ts';
import { openInput } from '../../cli/pages.ts';
import { temporaryFiles } from './command.ts';
import { randomPages, textPages, zeroPages } from './samples.ts';

const MIB = 2 ** 20;
const file = temporaryFiles();
const silent = { expect() {}, step() {}, stop() {} };

async function request(files: string[], options: Partial<Request> = {}): Promise<Request> {
  return {
    input: await openInput(files),
    allocators: ALLOCATORS,
    codecName: 'lz4',
    codec: undefined,
    ramBytes: 16 * MIB,
    ...options,
  };
}

async function estimateOf(name: string, bytes: Uint8Array | string, options: Partial<Request> = {}): Promise<Report> {
  return estimate(await request([file(name, bytes)], options), silent);
}

function resultOf(report: Report, allocator: AllocatorName): Result {
  const result = report.results.find((one) => one.allocator === allocator);
  if (result === undefined) throw new Error(`no result of ${allocator}`);
  return result;
}

/** The figures of the package itself for the same pages in one RAM. */
function direct(
  allocator: AllocatorName,
  bytes: Uint8Array,
): { framesUsed: number; poolFrames: number; liveBytes: number } {
  const ram = Ram.createSync({ bytes: 16 * MIB });
  const pool = ram.zpool(allocator);
  for (let at = 0; at < bytes.length; at += PAGE_SIZE) pool.storePage(bytes.subarray(at, at + PAGE_SIZE));
  return { framesUsed: ram.stats().usedFrames, poolFrames: pool.totalPages, liveBytes: pool.stats().liveBytes };
}

/** Frames of an empty pool: xcfmalloc keeps a reserve. */
const idle = (allocator: AllocatorName): number => (allocator === 'xcfmalloc' ? 32 : 0);

describe('figures', () => {
  it('lists every allocator of the package, in its order', async () => {
    const { results } = await estimateOf('one', textPages(1));
    expect(results.map(({ allocator }) => allocator)).toEqual([...ALLOCATORS]);
  });

  it.each(ALLOCATORS)('%s: zero pages are same-filled, and take no frame for objects', async (allocator) => {
    const result = resultOf(await estimateOf('zeros', zeroPages(100)), allocator);
    const poolFrames = idle(allocator);
    expect(result).toMatchObject({
      pages: 100,
      sameFilled: 100,
      incompressible: 0,
      compressedBytes: 0,
      poolFrames,
      density: poolFrames === 0 ? null : 0,
      different: 0,
      firstDifferent: null,
      rams: 1,
    });
    expect(result.framesUsed).toBeGreaterThan(0); // the pool's own tables
    expect(result.effectiveRatio).toBe(100 / result.framesUsed);
  });

  it.each(ALLOCATORS)('%s: random pages are incompressible and stored raw', async (allocator) => {
    const result = resultOf(await estimateOf('random', randomPages(100)), allocator);
    // The last page of xcfmalloc has taken a frame of the reserve. The next malloc would fill the reserve again.
    const poolFrames = allocator === 'xcfmalloc' ? 100 + idle(allocator) - 1 : 100;
    expect(result).toMatchObject({
      pages: 100,
      sameFilled: 0,
      incompressible: 100,
      compressedBytes: 100 * PAGE_SIZE,
      poolFrames,
      density: 100 / poolFrames,
    });
    expect(result.framesUsed).toBeGreaterThan(100);
  });

  it.each(ALLOCATORS)('%s: text, zeros and noise give the same figures as the package', async (allocator) => {
    const bytes = Buffer.concat([textPages(100), zeroPages(7), randomPages(5)]);
    const result = resultOf(await estimateOf('mixed', bytes), allocator);
    const { framesUsed, poolFrames, liveBytes } = direct(allocator, bytes);
    expect(result).toMatchObject({
      pages: 112,
      sameFilled: 7,
      incompressible: 5,
      compressedBytes: liveBytes,
      framesUsed,
      poolFrames,
      different: 0,
    });
    expect(result.effectiveRatio).toBeCloseTo(112 / framesUsed, 12);
    expect(result.density).toBeCloseTo(liveBytes / (poolFrames * PAGE_SIZE), 12);
  });

  it('zbud puts two text pages into a frame', async () => {
    const text = textPages(100);
    const result = resultOf(await estimateOf('text', text), 'zbud');
    const codec = Ram.createSync().codec('lz4');
    let bytes = 0;
    for (let at = 0; at < text.length; at += PAGE_SIZE)
      bytes += codec.compress(text.subarray(at, at + PAGE_SIZE), new Uint8Array(PAGE_SIZE));
    expect(result).toMatchObject({ incompressible: 0, compressedBytes: bytes, poolFrames: 50, framesUsed: 51 });
  });

  it('times are per page, and finite also for a single page', async () => {
    for (const pages of [1, 64, 200]) {
      for (const { storeMicroseconds, loadMicroseconds } of (await estimateOf(`text-${pages}`, textPages(pages)))
        .results) {
        for (const time of [storeMicroseconds, loadMicroseconds]) {
          expect(time).toBeGreaterThan(0);
          expect(time).toBeLessThan(10_000);
        }
      }
    }
  });

  it.each(['lz4js', 'deflate'] as const)('accepts the codec %s', async (name) => {
    const report = await estimateOf(name, Buffer.concat([textPages(100), zeroPages(3), randomPages(2)]), {
      codecName: name,
      codec: await loadCodec(name),
    });
    expect(report.codec).toBe(name);
    for (const result of report.results)
      expect(result).toMatchObject({ pages: 105, sameFilled: 3, incompressible: 2, different: 0 });
  });
});

describe('input', () => {
  it('pads the last page of each file, and reports it', async () => {
    const files = [file('a', randomPages(2).subarray(0, PAGE_SIZE + 1)), file('b', 'short'), file('c', '')];
    const { input, results } = await estimate(await request(files), silent);
    expect(input).toMatchObject({
      name: files.join(', '),
      pages: 3,
      bytes: PAGE_SIZE + 6,
      paddedBytes: 2 * PAGE_SIZE - 6,
      limited: false,
    });
    for (const result of results) expect(result).toMatchObject({ pages: 3, incompressible: 1, different: 0 });
  });

  it('reads only the first pages with --pages', async () => {
    const { input, results } = await estimateOf('first', Buffer.concat([zeroPages(300), randomPages(300)]), {
      maxPages: 301,
    });
    expect(input).toMatchObject({ pages: 301, bytes: 301 * PAGE_SIZE, paddedBytes: 0, limited: true });
    for (const result of results) expect(result).toMatchObject({ pages: 301, sameFilled: 300, incompressible: 1 });
  });
});

describe('several RAMs', () => {
  const ramBytes = 256 * 1024;

  it.each(ALLOCATORS)(
    '%s: an input larger than a RAM is cut into several RAMs, each page in one of them',
    async (allocator) => {
      const bytes = Buffer.concat([randomPages(150), zeroPages(50), textPages(300)]);
      const { results } = await estimateOf('large', bytes, { ramBytes, allocators: [allocator] });
      const { liveBytes } = direct(allocator, bytes);
      expect(results).toHaveLength(1);
      expect(results[0]).toMatchObject({
        pages: 500,
        sameFilled: 50,
        incompressible: 150,
        compressedBytes: liveBytes,
        different: 0,
      });
      expect(results[0]?.rams).toBeGreaterThanOrEqual(500 / 64);
    },
  );

  it('takes another RAM when one is full before its part ends', async () => {
    const { results } = await estimateOf('full', randomPages(60), { ramBytes, allocators: ['zbud'] });
    expect(results[0]?.rams).toBeGreaterThan(1);
    expect(results[0]).toMatchObject({ pages: 60, poolFrames: 60 });
    expect(results[0]?.framesUsed).toBe(60 + (results[0]?.rams as number)); // one table frame each
  });
});

describe('a page that comes back different', () => {
  /** The codec lz4js, but `spoil` changes each page that it decompresses. */
  async function faulty(spoil: (page: Uint8Array) => void): Promise<Codec> {
    const codec = await loadCodec('lz4js');
    return {
      name: 'faulty',
      compress: (src, dst) => codec.compress(src, dst),
      decompress(src, dst) {
        const bytes = codec.decompress(src, dst);
        if (dst[0] === '3'.charCodeAt(0)) spoil(dst);
        return bytes;
      },
    };
  }

  async function run(codec: Codec): Promise<{ code: number; stdout: string; stderr: string }> {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const code = await runEstimate(
      await request([file('text', textPages(100))], { codec, codecName: codec.name }),
      true,
      { stdout, stderr: stderr as unknown as NodeJS.WriteStream },
    );
    return { code, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') };
  }

  it('is counted; exit code 1, with all figures', async () => {
    const { code, stdout, stderr } = await run(await faulty((page) => (page[4095] = (page[4095] as number) ^ 1)));
    expect(code).toBe(1);
    for (const result of (JSON.parse(stdout) as Report).results)
      expect(result).toMatchObject({ pages: 100, different: 10, firstDifferent: 3 });
    expect(stderr.trim().split('\n')).toEqual(
      ALLOCATORS.map(
        (allocator) => `compcache: ${allocator}: 10 of 100 pages came back different, the first is page 3`,
      ),
    );
  });

  it('a page that cannot be loaded is counted as different, too', async () => {
    const { code, stdout } = await run(
      await faulty(() => {
        throw new CompcacheError('EIO', 'faulty.decompress', 'no');
      }),
    );
    expect(code).toBe(1);
    for (const result of (JSON.parse(stdout) as Report).results)
      expect(result).toMatchObject({ different: 10, firstDifferent: 3 });
  });

  it('a correct codec gives exit code 0', async () => {
    expect(await run(await faulty(() => {}))).toMatchObject({ code: 0, stderr: '' });
  });
});
