/** `compcache swap`: its figures compared with a separate replay, traces, errors. Speed is not tested. */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ALLOCATORS, PAGE_SIZE, Zswap, loadCodec, type BackingStore, type Codec } from '../../bindings/index.ts';
import { openInput } from '../../cli/pages.ts';
import { runSwap, swap, type SwapRequest } from '../../cli/swap.ts';
import type { SwapReport } from '../../cli/swap/figures.ts';
import { Pages } from '../../cli/swap/contents.ts';
import { VICTIMS, latencyOf } from '../../cli/swap/replay.ts';
import { makeTrace, readTrace, summaryOf, writeTrace } from '../../cli/swap/trace.ts';
import { compcache, counters, strangeOptions, swapJson, temporaryFiles } from './command.ts';
import { mixedPages, textPages } from './samples.ts';

const file = temporaryFiles();
const silent = { expect() {}, step() {}, stop() {} };
const RAM_BYTES = 512 * 1024;
const RECIPE = { pages: 600, operations: 4000, zipf: 0.8, writes: 0.4, seed: 3 };
const mixed = mixedPages();

/** Operations of each kind on three areas, some of them on pages that do not exist. */
function areas(): string {
  const lines = [];
  for (let round = 0; round < 4; round++) {
    for (let n = 0; n < 300; n++) lines.push(`store ${n % 3} ${n}`, `load ${(n + round) % 3} ${(n * 7) % 300}`);
    for (let n = 0; n < 100; n++) lines.push(`invalidate ${n % 2} ${n * 3}`);
    lines.push(`invalidateArea ${round}`, `load ${round} 1`);
  }
  return lines.join('\n');
}

async function request(trace: string, options: Partial<SwapRequest> = {}): Promise<SwapRequest> {
  return {
    input: await openInput([file('mixed', mixed)]),
    trace: await readTrace(trace),
    source: trace,
    allocators: ALLOCATORS,
    victims: VICTIMS,
    codecName: 'lz4',
    codec: undefined,
    ramBytes: RAM_BYTES,
    maxPoolPercent: 100,
    acceptThresholdPercent: 90,
    store: { kind: 'memory' },
    ...options,
  };
}

function zipfTrace(name: string): string {
  const path = file(name, '');
  writeTrace(path, makeTrace(RECIPE));
  return path;
}

// ── a replay of its own ──────────────────────────────────────────────────────

/** The same work, done from the text of the trace. It uses nothing of the command except the rule for the next page. */
class Recount {
  readonly counts = { stores: 0, rejected: 0, loads: 0, hits: 0, reads: 0, misses: 0, invalidated: 0, different: 0 };
  storeWrites = 0;
  storeReads = 0;
  readonly #slots = new Map<number, Uint8Array>();
  readonly #last = new Map<string, number>();
  readonly #there = new Map<string, Uint8Array>();
  readonly #pages = Array.from({ length: mixed.length / PAGE_SIZE }, (_, n) =>
    mixed.subarray(n * PAGE_SIZE, (n + 1) * PAGE_SIZE),
  );

  readonly store: BackingStore = {
    mode: 'sync',
    read: (slot, into) => {
      this.storeReads += 1;
      const bytes = this.#slots.get(slot) as Uint8Array;
      into.set(bytes);
      return bytes.length;
    },
    write: (slot, bytes) => {
      this.storeWrites += 1;
      this.#slots.set(slot, bytes.slice());
    },
    free: (slot) => void this.#slots.delete(slot),
    close() {},
  };

  run(zswap: Zswap, trace: string): void {
    for (const line of trace.split('\n')) {
      const [word, type = 0, offset = 0] = line.split(' ').map((one, nth) => (nth === 0 ? one : Number(one))) as [
        string,
        number?,
        number?,
      ];
      const key = `${type} ${offset}`;
      if (word === 'store') this.#store(zswap, type, offset, key);
      if (word === 'load') this.#load(zswap, type, offset, key);
      if (word === 'invalidate')
        this.counts.invalidated += Number(zswap.invalidatePage(type, offset) && this.#there.delete(key));
      if (word === 'invalidateArea') {
        zswap.invalidateArea(type);
        for (const one of this.#there.keys())
          if (one.startsWith(`${type} `)) this.counts.invalidated += Number(this.#there.delete(one));
      }
    }
  }

  #store(zswap: Zswap, type: number, offset: number, key: string): void {
    const count = this.#pages.length;
    const before = this.#last.get(key);
    let next = this.#last.size % count;
    if (before !== undefined) {
      next = (before + 1) % count;
      while (this.#pages[next]?.equals(this.#pages[before] as Buffer)) next = (next + 1) % count;
    }
    this.#last.set(key, next);
    this.#there.delete(key);
    this.counts.stores += 1;
    if (zswap.store(type, offset, this.#pages[next] as Buffer)) this.#there.set(key, this.#pages[next] as Buffer);
    else this.counts.rejected += 1;
  }

  #load(zswap: Zswap, type: number, offset: number, key: string): void {
    const into = Buffer.alloc(PAGE_SIZE);
    const before = this.storeReads;
    const found = zswap.load(type, offset, into);
    const expected = this.#there.get(key);
    this.counts.loads += 1;
    if (!found) this.counts.misses += 1;
    else if (this.storeReads === before) this.counts.hits += 1;
    else this.counts.reads += 1;
    if (found ? expected === undefined || !into.equals(expected) : expected !== undefined) this.counts.different += 1;
  }
}

describe('figures', () => {
  const traces: [string, () => string, Partial<SwapRequest>][] = [
    ["Zipf's law", () => zipfTrace('zipf'), {}],
    ['areas and invalidations', () => file('areas', areas()), {}],
    [
      'a limit below the RAM, reached at once',
      () => zipfTrace('limit'),
      { maxPoolPercent: 40, acceptThresholdPercent: 80 },
    ],
    ['a limit of nothing', () => zipfTrace('nothing'), { maxPoolPercent: 0 }],
  ];

  it.each(traces)(
    '%s: are the same as those of a replay by hand, under every allocator and both kinds of victims',
    async (_, trace, options) => {
      const path = trace();
      const asked = await request(path, options);
      const { results } = await swap(asked, silent);
      expect(results.map(({ allocator, victims }) => `${allocator} ${victims}`)).toEqual(
        ALLOCATORS.flatMap((allocator) => VICTIMS.map((one) => `${allocator} ${one}`)),
      );
      const { ramBytes: bytes, maxPoolPercent, acceptThresholdPercent } = asked;
      for (const result of results) {
        const recount = new Recount();
        const zswap = await Zswap.create({
          bytes,
          allocator: result.allocator,
          victims: result.victims,
          maxPoolPercent,
          acceptThresholdPercent,
          store: recount.store,
        });
        recount.run(zswap, readFileSync(path, 'utf8').replace(/^#.*\n/, ''));
        expect(result).toMatchObject(recount.counts);
        expect(result.different).toBe(0);
        expect(result.writebacks).toBe(recount.storeWrites);
        expect(result.reads).toBe(recount.storeReads);
        expect(result.hits + result.reads + result.misses).toBe(result.loads);
        expect(Object.values(result.rejects).reduce((sum, count) => sum + count, 0)).toBe(result.rejected);
        expect(Math.min(...Object.values(result.rejects))).toBe(0);
        expect(result.hitRatio).toBe(result.hits / result.loads);
        const { storedPages, backingPages, frames, poolLimitHit, duplicateEntry } = zswap.stats();
        expect(result).toMatchObject({
          storedPages,
          backingPages,
          frames,
          poolLimitHits: poolLimitHit,
          duplicates: duplicateEntry,
        });
        await zswap.close();
      }
    },
  );

  it('pages that all fit are all hits, and nothing is written back', async () => {
    const { results } = await swap(await request(zipfTrace('fits'), { ramBytes: 16 * 2 ** 20 }), silent);
    for (const result of results)
      expect(result).toMatchObject({ writebacks: 0, writtenBytes: 0, reads: 0, misses: 0, rejected: 0, hitRatio: 1 });
    for (const { sameFilledHits, hits } of results) {
      expect(sameFilledHits).toBeGreaterThan(0);
      expect(sameFilledHits).toBeLessThan(hits);
    }
  });

  it('times are counted separately for each kind of call', async () => {
    const { results } = await swap(await request(zipfTrace('times')), silent);
    for (const { latency, stores, hits, reads } of results) {
      expect([latency.store?.count, latency.hit?.count, latency.read?.count]).toEqual([stores, hits, reads]);
    }
  });

  it('percentiles are nearest ranks, in microseconds', () => {
    expect(latencyOf([])).toBeNull();
    expect(latencyOf([2])).toEqual({ count: 1, p50: 2000, p90: 2000, p99: 2000, p999: 2000, max: 2000 });
    const hundred = Array.from({ length: 100 }, (_, n) => ((n * 37) % 100) + 1);
    expect(latencyOf(hundred)).toEqual({
      count: 100,
      p50: 50_000,
      p90: 90_000,
      p99: 99_000,
      p999: 100_000,
      max: 100_000,
    });
  });
});

describe('pages', () => {
  const pagesOf = (...bytes: number[]): Pages => new Pages(bytes.map((byte) => new Uint8Array(PAGE_SIZE).fill(byte)));

  it('the page after a page is the next one with other bytes', () => {
    const pages = pagesOf(1, 1, 2, 1, 1);
    expect([0, 1, 2, 3, 4].map((page) => pages.after(page))).toEqual([2, 2, 3, 2, 2]);
    expect(pages.distinct).toBe(2);
  });

  it('when all pages are alike, the page after a page is any of them', () => {
    const pages = pagesOf(5, 5, 5);
    for (const page of [0, 1, 2]) expect([0, 1, 2]).toContain(pages.after(page));
    expect(pagesOf(1).after(0)).toBe(0);
  });
});

describe('traces', () => {
  it('store every page once, then follow the recipe', () => {
    const trace = makeTrace(RECIPE);
    expect(trace.length).toBe(4600);
    for (let at = 0; at < 600; at++) expect([trace.kind(at), trace.type(at), trace.offset(at)]).toEqual([0, 0, at]);
    const { stores, loads, pages, invalidates, areaInvalidates } = summaryOf(trace);
    expect({ pages, invalidates, areaInvalidates, both: stores + loads }).toEqual({
      pages: 600,
      invalidates: 0,
      areaInvalidates: 0,
      both: 4600,
    });
    expect((stores - 600) / 4000).toBeCloseTo(0.4, 1);
  });

  it('may have comments, empty lines, any blanks, and any end of line', async () => {
    const trace = await readTrace(
      file('blanks', '# all\n\n store\t7 4294967295 # one\r\n\r\nload  4294967039   1\ninvalidateArea 7'),
    );
    expect(Array.from({ length: trace.length }, (_, at) => [trace.kind(at), trace.type(at), trace.offset(at)])).toEqual(
      [
        [0, 7, 4294967295],
        [1, 4294967039, 1],
        [3, 7, 0],
      ],
    );
    expect(summaryOf(trace)).toEqual({
      operations: 3,
      stores: 1,
      loads: 1,
      invalidates: 0,
      areaInvalidates: 1,
      pages: 1,
    });
  });

  it('longer than a chunk of a file are read completely', async () => {
    const trace = await readTrace(
      file('long', Array.from({ length: 30_000 }, (_, n) => `store 1 ${n * 1000}\n`).join('')),
    );
    expect(trace.length).toBe(30_000);
    for (let at = 0; at < trace.length; at++) if (trace.offset(at) !== at * 1000) throw new Error(`operation ${at}`);
  });

  it.concurrent('that are recorded and replayed give the same figures', async ({ expect }) => {
    const pages = file('round-trip', mixed);
    const recorded = file('recorded', '');
    const again = file('again', '');
    const common = [pages, '--ram', '512K', '--memory-store'];
    const made = await swapJson([
      ...common,
      '--pages',
      '500',
      '--ops',
      '3000',
      '--seed',
      '9',
      '--writes',
      '.5',
      '--zipf',
      '0.7',
      '--record',
      recorded,
    ]);
    const replayed = await swapJson([...common, '--trace', recorded, '--record', again]);
    expect(made.trace).toMatchObject({
      source: 'zipf',
      operations: 3500,
      pages: 500,
      recipe: { pages: 500, operations: 3000, zipf: 0.7, writes: 0.5, seed: 9 },
    });
    expect(replayed.trace).toMatchObject({ source: recorded, operations: 3500, pages: 500 });
    expect(replayed.trace.recipe).toBeUndefined();
    expect(counters(replayed)).toEqual(counters(made));
    expect(readFileSync(again)).toEqual(readFileSync(recorded));
  });
});

describe.concurrent('output', () => {
  it('is one JSON object with --json', async ({ expect }) => {
    const report = await swapJson([
      file('json', mixed),
      '--ram',
      '512K',
      '--pages',
      '400',
      '--ops',
      '1000',
      '--allocator',
      'zsmalloc,zbud',
      '--victims',
      'page',
      '--codec',
      'lz4js',
    ]);
    expect(report).toMatchObject({
      codec: 'lz4js',
      ramBytes: RAM_BYTES,
      maxPoolPercent: 100,
      acceptThresholdPercent: 90,
      store: 'a temporary file',
      storeFault: null,
    });
    expect(report.input).toMatchObject({ pages: 320, limited: false });
    expect(report.distinctPages).toBe(150 + 1 + 10); // the random, zero and text pages: ten different ones, repeated
    expect(report.results.map(({ allocator, victims }) => [allocator, victims])).toEqual([
      ['zsmalloc', 'page'],
      ['zbud', 'page'],
    ]);
    for (const result of report.results) {
      expect(Object.keys(result).sort()).toEqual([
        'allocator',
        'backingPages',
        'different',
        'duplicates',
        'failedWrites',
        'firstDifferent',
        'frames',
        'hitRatio',
        'hits',
        'invalidated',
        'latency',
        'loads',
        'misses',
        'poolLimitHits',
        'reads',
        'rejected',
        'rejects',
        'sameFilledHits',
        'storedPages',
        'stores',
        'victims',
        'writebacks',
        'writtenBytes',
      ]);
      expect(Object.keys(result.latency)).toEqual(['store', 'hit', 'read']);
      expect(Object.keys(result.latency.store ?? {})).toEqual(['count', 'p50', 'p90', 'p99', 'p999', 'max']);
      expect(result).toMatchObject({ different: 0, firstDifferent: null });
    }
  });

  it('is a header, a table, and the reasons of rejects', async ({ expect }) => {
    const pages = file('table', mixed);
    const { code, stdout, stderr } = await compcache([
      'swap',
      pages,
      '--ram',
      '512K',
      '--pages',
      '300',
      '--ops',
      '500',
      '--max-pool-percent',
      '0',
      '--allocator',
      'zbud',
      '--memory-store',
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [input, trace, settings, empty, heading, entry, page, unit, ...rejects] = stdout.split('\n');
    expect(input).toBe(`${pages}: first 300 pages, 1,228,800 bytes`);
    expect(trace).toMatch(/^Zipf's law \(exponent 0\.99, 30% writes, seed 1\): \d+ stores, \d+ loads on 300 pages$/);
    expect(settings).toBe('codec lz4, RAM of 512 KiB, limit 0%, accept threshold 90%; store: memory');
    expect(empty).toBe('');
    expect(heading?.split(/ {2,}/)).toEqual([
      'allocator',
      'victims',
      'hit ratio',
      'hits',
      'same-filled',
      'reads',
      'misses',
      'writebacks',
      'rejects',
      'µs/store',
      'µs/hit',
      'µs/read',
    ]);
    for (const row of [entry, page]) expect(row).toHaveLength(heading?.length as number);
    expect(unit).toMatch(/^µs: /);
    expect(rejects).toEqual([
      expect.stringMatching(/^rejects, zbud, entry: \d+ nothing could be written back$/),
      expect.stringMatching(/^rejects, zbud, page: /),
      '',
    ]);
  });

  it('is the same for the same seed, except for the times', async ({ expect }) => {
    const args = [
      file('seed', mixed),
      '--ram',
      '512K',
      '--pages',
      '300',
      '--ops',
      '1500',
      '--allocator',
      'zsmalloc',
      '--memory-store',
    ];
    const [one, two, other] = (await Promise.all([args, args, [...args, '--seed', '2']].map(swapJson))) as [
      SwapReport,
      SwapReport,
      SwapReport,
    ];
    expect(counters(two)).toEqual(counters(one));
    expect(counters(other)).not.toEqual(counters(one));
  });

  it('--help explains traces', async ({ expect }) => {
    const { code, stdout } = await compcache(['swap', '--help']);
    expect(code).toBe(0);
    for (const word of ['store 0 17', 'load 0 17', 'invalidate 0 17', 'invalidateArea 0', '--memory-store'])
      expect(stdout).toContain(word);
  });
});

describe('a page that comes back different', () => {
  async function run(spoil: (page: Uint8Array) => void): Promise<{ code: number; stdout: string; stderr: string }> {
    const sound = await loadCodec('lz4js');
    const codec: Codec = {
      name: 'faulty',
      compress: (src, dst) => sound.compress(src, dst),
      decompress(src, dst) {
        const bytes = sound.decompress(src, dst);
        spoil(dst);
        return bytes;
      },
    };
    const trace = file('faulty-trace', 'store 0 1\nload 0 1\nstore 0 2\nload 0 2\nload 0 3\nload 0 2');
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const asked = await request(trace, {
      input: await openInput([file('faulty', textPages(3))]),
      codec,
      codecName: codec.name,
      allocators: ['zbud'],
    });
    const code = await runSwap(asked, true, { stdout, stderr: stderr as unknown as NodeJS.WriteStream });
    return { code, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') };
  }

  const spoilSecond = (page: Uint8Array): void => {
    if (page[0] === '1'.charCodeAt(0)) page[4095] = (page[4095] as number) ^ 1;
  };

  it('is counted and named; exit code 1, with all figures', async () => {
    const { code, stdout, stderr } = await run(spoilSecond);
    expect(code).toBe(1);
    for (const result of (JSON.parse(stdout) as SwapReport).results)
      expect(result).toMatchObject({ loads: 4, hits: 3, misses: 1, different: 2, firstDifferent: 4 });
    expect(stderr.trim().split('\n')).toEqual(
      VICTIMS.map(
        (one) => `compcache: zbud, ${one}: 2 of 6 operations did not give what was stored, the first is operation 4`,
      ),
    );
  });

  it('a page that cannot be loaded is counted as different, too', async () => {
    const { code, stdout } = await run((page) => {
      if (page[0] === '1'.charCodeAt(0)) throw new Error('no');
    });
    expect(code).toBe(1);
    for (const result of (JSON.parse(stdout) as SwapReport).results)
      expect(result).toMatchObject({ loads: 4, hits: 1, misses: 3, different: 2, firstDifferent: 4 });
  });

  it('a correct codec gives exit code 0', async () => {
    expect(await run(() => {})).toMatchObject({ code: 0, stderr: '' });
  });
});

describe.concurrent('errors are one line on stderr, exit code 2, nothing on stdout', () => {
  const good = file('good', textPages(2));
  const trace = (name: string, text: string): string => file(`bad-${name}`, text);
  const cases: [string, string[], RegExp][] = [
    [
      'unknown operation',
      ['--trace', trace('word', 'store 0 1\n\n# x\nstorm 0 1\n')],
      /bad-word:4: unknown operation 'storm'; known: store, load, invalidate, invalidateArea$/m,
    ],
    ['no offset', ['--trace', trace('offset', 'load 1')], /bad-offset:1: load takes a type and an offset/],
    [
      'too many numbers',
      ['--trace', trace('many', 'store 0 1\ninvalidateArea 1 2')],
      /bad-many:2: invalidateArea takes a type/,
    ],
    [
      'offset too large',
      ['--trace', trace('large', 'load 0 4294967296')],
      /bad-large:1: offset '4294967296' is not a whole number from 0 to 4294967295/,
    ],
    [
      'type too large',
      ['--trace', trace('type', 'load 4294967040 0')],
      /bad-type:1: type '4294967040' is not a whole number from 0 to 4294967039/,
    ],
    ['negative offset', ['--trace', trace('negative', 'load 0 -1')], /bad-negative:1: offset '-1'/],
    ['hexadecimal offset', ['--trace', trace('hex', 'load 0 0x1')], /bad-hex:1: offset '0x1'/],
    [
      'a line without end',
      ['--trace', trace('endless', 'x'.repeat(200_000))],
      /bad-endless:1: the line is longer than 1000 bytes/,
    ],
    ['control characters', ['--trace', trace('control', 'load\x1b[2J 0 1')], /unknown operation 'load \[2J'/],
    ['empty trace', ['--trace', trace('empty', '# nothing\n')], /bad-empty has no operation/],
    ['no such trace', ['--trace', '/nonexistent/x'], /cannot read \/nonexistent\/x: no such file/],
    ['trace and recipe', ['--trace', good, '--zipf', '1'], /'--trace <file>' cannot be used with option '--zipf/],
    ['two stores', ['--store', 'x', '--memory-store'], /'--memory-store' cannot be used with option '--store/],
    ['record nowhere', ['--record', '/nonexistent/x', '--ops', '1'], /cannot write \/nonexistent\/x/],
    [
      'store nowhere',
      ['--store', '/nonexistent/x', '--ops', '1', '--ram', '256K'],
      /cannot use \/nonexistent\/x for a store/,
    ],
    ['store without a name', ['--store', ''], /cannot use '' for a store/],
    ['store in a folder', ['--store', dirname(good), '--ops', '1', '--ram', '256K'], /cannot use .* for a store/],
    ['trace from standard input', ['--trace', '-'], /cannot read -: no such file/],
    ['unknown victims', ['--victims', 'entry,oldest'], /Unknown victims 'oldest'; known: entry, page/],
    ['unknown allocator', ['--allocator', 'slab'], /Unknown allocator 'slab'/],
    ['percent', ['--max-pool-percent', '101'], /'101' is invalid.*from 0 to 100/],
    ['half a percent', ['--accept-threshold-percent', '0.5'], /'0.5' is invalid/],
    ['share', ['--writes', '1.1'], /'1.1' is invalid.*from 0 to 1\./],
    ['exponent', ['--zipf', 'steep'], /'steep' is invalid/],
    ['seed', ['--seed', '4294967296'], /'4294967296' is invalid/],
    ['too many operations', ['--ops', '16777217'], /at most 16777216/],
    ['RAM', ['--ram', 'much'], /--ram 'much'/],
    ['no such file', ['/nonexistent/x'], /cannot read \/nonexistent\/x: no such file/],
  ];

  it.each(cases)('%s', async (_, args, message) => {
    const { code, stdout, stderr } = await compcache([
      'swap',
      ...(args[0] === '/nonexistent/x' ? [] : [good]),
      ...args,
    ]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^compcache: [^\n]+\n$/);
    expect(stderr).toMatch(message);
    expect(await strangeOptions('swap', stderr)).toEqual([]);
  });
});
