/**
 * The README's tables of measured figures, generated from bench/results. Each table lies between two markers, <!--
 * bench:NAME --> and <!-- /bench -->. The text between them is never edited by hand.
 */
import type { MeasuredTable, Row } from '../cli/bench/types.ts';
import type { Results } from './results.ts';

/** A table of the README: the suite with its results, and a function that makes its lines. */
interface Block {
  suite: string;
  lines(tables: readonly MeasuredTable[]): string[];
}

export const BLOCKS: Record<string, Block> = {
  allocators: { suite: 'allocator', lines: ([churn]) => allocators(churn) },
  codecs: { suite: 'codec', lines: ([compress, decompress]) => codecs(compress, decompress) },
  stores: { suite: 'store', lines: stores },
  zswap: { suite: 'zswap', lines: zswap },
  ramzswap: { suite: 'ramzswap', lines: ramzswap },
  orders: { suite: 'orders', lines: ([table]) => orders(table) },
};

const MARKED = /<!-- bench:(\S+) -->\n[^]*?<!-- \/bench -->/g;

/**
 * Replaces the tables between all markers of a text.
 * @param results returns the results of a suite
 * @throws Error for a marker with an unknown name
 */
export function rewrite(text: string, results: (suite: string) => Results): string {
  return text.replace(MARKED, (_, name: string) => `<!-- bench:${name} -->\n${block(name, results)}\n<!-- /bench -->`);
}

/** One table, and a line that says where it was measured. */
export function block(name: string, results: (suite: string) => Results): string {
  const found = Object.hasOwn(BLOCKS, name) ? BLOCKS[name] : undefined;
  if (found === undefined) throw new Error(`no table bench:${name}; known: ${Object.keys(BLOCKS).join(', ')}`);
  const from = results(found.suite);
  const tables = from.suites[found.suite] ?? [];
  return [...found.lines(tables), '', provenance(from, tables[0])].join('\n');
}

function provenance({ machine, node, commit, date }: Results, table: MeasuredTable | undefined): string {
  return `Medians of ${table?.rounds} interleaved rounds; Node ${node}, ${machine}; commit ${commit}, ${date.slice(0, 10)}.`;
}

function markdown(heading: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(heading), line(heading.map((_, column) => (column === 0 ? '---' : '--:'))), ...rows.map(line)];
}

/**
 * A table with a column for each allocator. If there was a C compiler, the first row of the suite is the C library's
 * malloc.
 */
function allocators(table: MeasuredTable | undefined): string[] {
  const rows = table?.rows ?? [];
  const own = rows.filter(({ figures }) => figures !== undefined);
  const line = (title: string, cell: (row: Row) => string): string[] => [title, ...own.map(cell)];
  const density = (title: string, name: string): string[] =>
    line(title, ({ figures }) => (figures?.[name] ?? NaN).toFixed(3));
  const malloc = rows.find(({ figures }) => figures === undefined);
  return markdown(
    ['', ...own.map(({ name }) => name)],
    [
      line('ns for free and malloc, 50,000 live objects', ({ median }) => median.toFixed(0)),
      ...(malloc === undefined
        ? []
        : [
            line(
              `relative to the C library's malloc, in C (${malloc.median.toFixed(0)} ns)`,
              ({ ratio }) => `${ratio.toFixed(2)}×`,
            ),
          ]),
      density('density of 100,000 objects of 32 … 3072 bytes', 'filled'),
      density('after every second was freed, and `compact()`', 'compacted'),
      density('of 50,000 objects, after 1,000,000 calls of free and malloc', 'churned'),
    ],
  );
}

/** Time, ratio, and perhaps more text. */
function microseconds(row: Row | undefined, more = ''): string {
  return row === undefined ? '' : `${(row.median / 1000).toFixed(2)} (${row.ratio.toFixed(2)}×${more})`;
}

function named(table: MeasuredTable | undefined, name: string): Row | undefined {
  return table?.rows.find((row) => row.name === name);
}

function codecs(compress: MeasuredTable | undefined, decompress: MeasuredTable | undefined): string[] {
  const back = new Map(decompress?.rows.map((row) => [row.name, row]));
  return markdown(
    ['codec, a page of memory', 'compress µs', 'decompress µs', 'mean bytes'],
    (compress?.rows ?? []).map((row) => [
      row.name,
      microseconds(row),
      microseconds(back.get(row.name)),
      (row.figures?.bytes ?? NaN).toFixed(0),
    ]),
  );
}

function stores(tables: readonly MeasuredTable[]): string[] {
  const [put, ...others] = tables;
  const last = others.at(-1);
  const rate = (row: Row | undefined): string =>
    row === undefined ? '' : `${Math.round(row.median / 1000)}k (${row.ratio.toFixed(2)}×)`;
  const memory = (row: Row | undefined): string => (row?.figures?.rss ?? NaN).toFixed(2);
  return markdown(
    ['store', 'put/s', 'get/s', 'get/s, Zipf', 'overwrite/s', 'memory / raw bytes', 'after overwriting'],
    (put?.rows ?? []).map((row) => [
      row.name,
      rate(row),
      ...others.map((table) => rate(named(table, row.name))),
      memory(row),
      memory(named(last, row.name)),
    ]),
  );
}

/** Two tables: one for work in memory only, one for work with a backing store. */
function zswap([store, load, writeback, read, pageOut, pageIn]: readonly MeasuredTable[]): string[] {
  const calls = (row: Row | undefined): string =>
    microseconds(row, `, ${(row?.figures?.['store calls'] ?? NaN).toFixed(2)}`);
  return [
    ...markdown(
      ['a page of memory, LZ4, zsmalloc', 'store µs', 'load µs'],
      (store?.rows ?? []).map((row) => [row.name, microseconds(row), microseconds(named(load, row.name))]),
    ),
    '',
    ...markdown(
      [
        'zswap over a',
        'write back µs',
        'load from there µs (ratio to a hit)',
        'pageOut µs (ratio, writes)',
        'pageIn µs (ratio, reads)',
      ],
      (writeback?.rows ?? []).map((row) => [
        row.name,
        microseconds(row),
        microseconds(named(read, row.name)),
        calls(named(pageOut, row.name)),
        calls(named(pageIn, row.name)),
      ]),
    ),
  ];
}

/** Three tables: whole pages, parts of pages, and NBD if its servers and clients were installed. */
function ramzswap(tables: readonly MeasuredTable[]): string[] {
  const titled = (title: string): MeasuredTable | undefined => tables.find((table) => table.title.startsWith(title));
  const memory = (row: Row | undefined, name: string): string => (row?.figures?.[name] ?? NaN).toFixed(2);
  const pages = ['zsmalloc', 'xvmalloc'].flatMap((allocator) => {
    const of = (verb: string): MeasuredTable | undefined =>
      tables.find(({ title }) => title.startsWith(`${verb} a page, `) && title.endsWith(allocator));
    return (of('write')?.rows ?? []).map((row) => [
      `${allocator}: ${row.name}`,
      microseconds(row),
      microseconds(named(of('read'), row.name)),
      memory(row, 'memory'),
    ]);
  });
  const read = titled('read, ');
  const [copyIn, copyOut, write, readOver] = [
    titled('nbdcopy in'),
    titled('nbdcopy out'),
    titled('qemu-io write'),
    titled('qemu-io read'),
  ];
  return [
    ...markdown(['a page of memory, LZ4', 'write µs', 'read µs', 'memory / raw bytes'], pages),
    '',
    ...markdown(
      ['ramzswap, zsmalloc', 'overwrite µs', 'read µs'],
      (titled('write over')?.rows ?? []).map((row) => [
        row.name,
        microseconds(row),
        microseconds(named(read, row.name)),
      ]),
    ),
    ...(copyIn === undefined
      ? []
      : [
          '',
          ...markdown(
            [
              'over NBD',
              'nbdcopy in, MiB/s',
              'out, MiB/s',
              'write 4 KiB, µs',
              'read 4 KiB, µs',
              'growth of the process / raw bytes',
              'MiB in total',
            ],
            copyIn.rows.map((row) => [
              row.name,
              throughput(row),
              throughput(named(copyOut, row.name)),
              microseconds(named(write, row.name)),
              microseconds(named(readOver, row.name)),
              memory(row, 'grown') + (row.figures?.pool === undefined ? '' : ` (pages ${memory(row, 'pool')})`),
              (row.figures?.rssMiB ?? NaN).toFixed(0),
            ]),
          ),
        ]),
  ];
}

/** One row for each request. There are no ratios, because a ratio of longest reads would say little. */
function orders(table: MeasuredTable | undefined): string[] {
  return markdown(
    [
      '128 MiB served, during',
      'the request takes ms',
      'median read of 4 KiB, µs',
      '99th percentile, ms',
      'longest, ms',
    ],
    (table?.rows ?? []).map(({ name, median, figures }) => [
      name,
      (figures?.['request ms'] ?? NaN).toFixed(0),
      (figures?.['median µs'] ?? NaN).toFixed(0),
      (figures?.['p99 ms'] ?? NaN).toFixed(2),
      (median / 1e6).toFixed(2),
    ]),
  );
}

/** MiB/s, from the time of a page. */
function throughput(row: Row | undefined): string {
  return row === undefined
    ? ''
    : `${((4096 * 1e9) / 2 ** 20 / row.median).toFixed(0)} (${(1 / row.ratio).toFixed(2)}×)`;
}
