/** The arithmetic of the benchmarks, their corpora, and the README's figures. Times are not tested. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CORPORA, corpus } from '../../bench/corpus.ts';
import { block, rewrite } from '../../bench/markdown.ts';
import type { Results } from '../../bench/results.ts';
import { compcache } from '../../bench/stores/compcache.ts';
import { mapOfBlocks } from '../../bench/stores/others.ts';
import { ALLOCATORS, PAGE_SIZE, Ram, loadCodec } from '../../bindings/index.ts';
import { Churn } from '../../cli/bench/churn.ts';
import { codecTables, trialOf } from '../../cli/bench/codec.ts';
import { createDraw, sizeOf } from '../../cli/bench/draw.ts';
import { measure, median, summary } from '../../cli/bench/measure.ts';
import { toText } from '../../cli/bench/report.ts';
import type { MeasuredTable } from '../../cli/bench/types.ts';
import { zipf } from '../../cli/zipf.ts';
import * as trace from '../models/trace.ts';

const ROOT = join(import.meta.dirname, '../..');

describe('statistics', () => {
  test('the median is the middle value, or the mean of the middle two, in any order', () => {
    expect([median([5]), median([3, 1]), median([9, 1, 2]), median([4, 1, 100, 2])]).toEqual([5, 2, 2, 3]);
  });

  test('a ratio is taken within each round', () => {
    // Twice the first one in every round, although the machine became slower.
    expect(summary('b', [20, 40, 200], [10, 20, 100])).toEqual({ name: 'b', median: 40, min: 20, max: 200, ratio: 2 });
    expect(summary('b', [20, 40, 90], [10, 40, 100]).ratio).toBe(1);
    // Not the ratio of the medians, which is 2.
    expect(summary('b', [10, 40, 100], [20, 10, 30]).ratio).toBeCloseTo(10 / 3);
  });

  test('the first round is a warm-up, each later round begins with another contender, and figures are taken last', async () => {
    const order: string[] = [];
    const contender = (name: string): { name: string; round(): number } => ({
      name,
      round: () => (order.push(name), order.length),
    });
    const figures = (): Record<string, number> => (order.push('figures'), { n: 1 });
    const { rows, rounds } = await measure(
      { title: 't', unit: 'ns', contenders: [contender('a'), { ...contender('b'), figures }, contender('c')] },
      3,
    );
    expect(order.join(' ')).toBe('a b c a b c b c a c a b figures');
    expect(rows.map(({ name, median: middle }) => [name, middle])).toEqual([
      ['a', 9],
      ['b', 7],
      ['c', 8],
    ]);
    expect([rounds, rows[1]?.figures, rows[0]?.ratio]).toEqual([3, { n: 1 }, 1]);
  });

  test('draws and sizes are those of the published traces', () => {
    const [own, published] = [createDraw(1), trace.createDraw(1)];
    for (let i = 0; i < 1000; i++) expect(sizeOf(own)).toBe(trace.size1(published));
  });

  test('Zipf’s law: the most popular number gets its share, and all numbers are in range', () => {
    const drawn = zipf(1000, 100_000, createDraw(3));
    const counts = new Array<number>(1000).fill(0);
    for (const number of drawn) counts[number] = (counts[number] as number) + 1;
    const sorted = counts.toSorted((a, b) => b - a);
    const weight = Array.from({ length: 1000 }, (_, rank) => 1 / (rank + 1) ** 0.99);
    const sum = weight.reduce((a, b) => a + b);
    for (const rank of [0, 1, 9])
      expect((sorted[rank] as number) / 100_000).toBeCloseTo((weight[rank] as number) / sum, 2);
  });
});

describe('corpora', () => {
  test.each(CORPORA)('%s has whole pages, the same each time', (name) => {
    const { pages } = corpus(name);
    expect(pages.length).toBeGreaterThanOrEqual(256);
    expect(new Set(pages.map(({ length }) => length))).toEqual(new Set([PAGE_SIZE]));
    expect(Buffer.compare(Buffer.concat(pages), Buffer.concat(corpus(name).pages))).toBe(0);
  });

  test('memory has 128 pages of each of four programs', () => {
    expect(corpus('memory').pages).toHaveLength(512);
    expect(corpus(join(ROOT, 'bench/corpus/gcc.pages')).pages).toHaveLength(128);
  });

  test('a large file is sampled evenly, from its first page on', () => {
    const { pages } = corpus('executable');
    expect(pages).toHaveLength(1024);
    expect(pages[0]?.subarray(0, 64)).toEqual(readFileSync(process.execPath).subarray(0, 64));
  });

  test('a missing file gives an error that names it', () => {
    expect(() => corpus('/nonexistent/x')).toThrowError(/no corpus, file or folder/);
    expect(() => corpus(join(ROOT, 'LICENSE'))).toThrowError(/no whole page/);
  });
});

describe('the measured calls work', () => {
  test('stores read what was written last', async () => {
    const { pages } = corpus('memory');
    const into = Buffer.alloc(PAGE_SIZE);
    for (const store of [await compcache('zsmalloc', 100), mapOfBlocks(await loadCodec('lz4js'))]) {
      for (const version of [0, 1]) {
        for (let number = 0; number < 100; number++) store.put(number, pages[number + 7 * version] as Buffer);
        for (let number = 0; number < 100; number++)
          expect(Buffer.compare(await store.get(number, into), pages[number + 7 * version] as Buffer)).toBe(0);
      }
    }
  });

  test('a codec that decodes wrong bytes is not measured', () => {
    const wrong = { name: 'wrong', compress: () => 1, decompress: () => PAGE_SIZE };
    expect(() => trialOf(wrong, corpus('text'))).toThrowError(/wrong: a page came back different/);
  });

  test('bytes of a block: a page that becomes no smaller counts with its full size', async () => {
    const codec = Ram.createSync().codec('lz4');
    const bytes = async (name: string): Promise<unknown> => {
      const [table] = codecTables(corpus(name), [trialOf(codec, corpus(name))]);
      return table?.contenders[0]?.figures?.();
    };
    expect(await bytes('incompressible')).toEqual({ bytes: PAGE_SIZE });
    expect(((await bytes('text')) as { bytes: number }).bytes).toBeLessThan(3000);
  });

  test.each(ALLOCATORS)('%s: a churn keeps its number of objects', (allocator) => {
    const ram = Ram.createSync({ bytes: '16MiB' });
    const pool = ram.zpool(allocator);
    new Churn(pool, 2, 500).run(2000);
    expect(pool.stats().objects).toBe(500);
    ram.check();
  });
});

describe('tables', () => {
  const row = {
    name: 'zbud',
    median: 115.4,
    min: 100,
    max: 1234.5,
    ratio: 0.861,
    figures: { filled: 0.7583, compacted: 0.4455, churned: 0.7541 },
  };
  const table: MeasuredTable = {
    title: 'churn',
    unit: 'ns',
    rounds: 7,
    rows: [{ name: 'malloc', median: 134, min: 130, max: 140, ratio: 1 }, row],
  };
  const results: Results = {
    machine: '2 × CPU',
    node: 'v20.0.0',
    date: '2026-01-02T03:04:05.000Z',
    commit: 'abc1234',
    corpora: [],
    leftOut: {},
    suites: { allocator: [table] },
  };

  test('as text: columns aligned, a dash where there is no figure', () => {
    expect(toText(table)).toBe(
      [
        'churn     median ns  min    max  ratio  filled  compacted  churned',
        '  malloc        134  130    140   1.00       -          -        -',
        '  zbud          115  100  1,235   0.86   0.758      0.446    0.754',
        '',
      ].join('\n'),
    );
  });

  test('as Markdown, only between the markers', () => {
    const made = rewrite(
      'before\n<!-- bench:allocators -->\nold\n<!-- /bench -->\nafter <!-- /bench -->\n',
      () => results,
    );
    expect(made).toBe(
      [
        'before',
        '<!-- bench:allocators -->',
        '|  | zbud |',
        '| --- | --: |',
        '| ns for free and malloc, 50,000 live objects | 115 |',
        "| relative to the C library's malloc, in C (134 ns) | 0.86× |",
        '| density of 100,000 objects of 32 … 3072 bytes | 0.758 |',
        '| after every second was freed, and `compact()` | 0.446 |',
        '| of 50,000 objects, after 1,000,000 calls of free and malloc | 0.754 |',
        '',
        'Medians of 7 interleaved rounds; Node v20.0.0, 2 × CPU; commit abc1234, 2026-01-02.',
        '<!-- /bench -->',
        'after <!-- /bench -->',
        '',
      ].join('\n'),
    );
    expect(rewrite(made, () => results)).toBe(made);
    expect(() => rewrite('<!-- bench:nothing -->\n<!-- /bench -->', () => results)).toThrowError(
      /no table bench:nothing/,
    );
  });

  test('ramzswap without servers: it has no table', () => {
    const made = { ...table, title: 'write a page, memory, zsmalloc', rows: [{ ...row, figures: { memory: 0.3 } }] };
    expect(block('ramzswap', () => ({ ...results, suites: { ramzswap: [made] } }))).not.toMatch(/NBD|NaN|undefined/);
  });

  test('the README has the figures of bench/results', () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
    const file = (suite: string): string => join(ROOT, `bench/results/${suite}.json`);
    expect(rewrite(readme, (suite) => JSON.parse(readFileSync(file(suite), 'utf8')) as Results)).toBe(readme);
  });

  test.each(['allocators', 'codecs', 'stores', 'zswap', 'ramzswap'])(
    'the committed results give the table %s',
    (name) => {
      const text = block(
        name,
        (suite) => JSON.parse(readFileSync(join(ROOT, `bench/results/${suite}.json`), 'utf8')) as Results,
      );
      expect(existsSync(join(ROOT, 'bench/results'))).toBe(true);
      expect(text).not.toMatch(/NaN|undefined/);
      expect(text.split('\n').length).toBeGreaterThan(6);
    },
  );
});
