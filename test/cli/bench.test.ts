/** `compcache bench`: its output and its refusals. Speed is not tested. */
import { describe, expect, it } from 'vitest';
import { ALLOCATORS } from '../../bindings/index.ts';
import type { BenchReport } from '../../cli/bench.ts';
import { compcache, strangeOptions, temporaryFiles } from './command.ts';
import { randomPages, textPages } from './samples.ts';

const file = temporaryFiles();
const pages = file('pages', Buffer.concat([textPages(20), randomPages(3), Buffer.from('the rest')]));

describe.concurrent('bench', () => {
  it('prints tables, and nothing on stderr', async ({ expect }) => {
    const { code, stdout, stderr } = await compcache(['bench', 'codec', 'page', '--rounds', '1', '--corpus', pages]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const titles = stdout
      .split('\n')
      .filter((line) => line.includes('median ns'))
      .map((line) => line.split(',')[0]);
    expect(titles).toEqual(['compress a page', 'decompress a page', 'store a page', 'load a page']);
    for (const allocator of ALLOCATORS) expect(stdout).toMatch(new RegExp(`^  ${allocator} +[\\d.,]+ `, 'm'));
  });

  it('is one JSON object with --json', async ({ expect }) => {
    const { code, stdout, stderr } = await compcache([
      'bench',
      'codec',
      'codec',
      '--json',
      '--rounds',
      '2',
      '--corpus',
      pages,
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const report = JSON.parse(stdout) as BenchReport;
    expect(report).toMatchObject({ node: process.version, corpus: { name: 'pages', pages: 23 } });
    expect(Object.keys(report.suites)).toEqual(['codec']);
    const [compress, decompress] = report.suites.codec ?? [];
    expect([compress?.rounds, compress?.unit]).toEqual([2, 'ns']);
    expect(compress?.rows.map(({ name }) => name).slice(0, 4)).toEqual(['lz4', 'lz4hc', 'lz4js', 'deflate']);
    expect(decompress?.rows.map(({ name }) => name)).toEqual(compress?.rows.map(({ name }) => name));
    for (const row of compress?.rows ?? []) {
      expect(row.min).toBeGreaterThan(0);
      expect(row.min).toBeLessThanOrEqual(row.median);
      expect(row.median).toBeLessThanOrEqual(row.max);
      expect(row.figures?.bytes).toBeLessThan(4096);
    }
  });

  const faults: [string, string[], RegExp][] = [
    ['unknown suite', ['bench', 'speed'], /Unknown suite 'speed'; known: codec, allocator, page/],
    ['no such corpus', ['bench', 'codec', '--corpus', '/nonexistent/x'], /cannot read \/nonexistent\/x/],
    ['a corpus of less than a page', ['bench', 'codec', '--corpus', file('short', 'x')], /has no whole page/],
    [
      'a device',
      ['bench', 'codec', '--corpus', '/dev/zero'],
      process.platform === 'win32' ? /cannot read/ : /\/dev\/zero is neither a file nor a folder/,
    ],
    ['no name of a corpus', ['bench', 'codec', '--corpus', ''], /cannot read '': no such file/],
    ['no rounds', ['bench', '--rounds', '0'], /'0' is invalid/],
    ['half a round', ['bench', '--rounds', '1.5'], /'1.5' is invalid/],
  ];
  it.each(faults)('%s: one line on stderr, exit code 2', async (_, args, message) => {
    const { code, stdout, stderr } = await compcache(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^compcache: [^\n]+\n$/);
    expect(stderr).toMatch(message);
    expect(await strangeOptions('bench', stderr)).toEqual([]);
  });
});
