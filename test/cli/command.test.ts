/** The command line from outside: output, errors, exit codes, standard input. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ALLOCATORS, PAGE_SIZE } from '../../bindings/index.ts';
import manifest from '../../package.json' with { type: 'json' };
import { ROOT, compcache, estimateJson, temporaryFiles } from './command.ts';
import { textPages, zeroPages } from './samples.ts';

const file = temporaryFiles();

describe.concurrent('output', () => {
  it('is a header and a right-aligned table, and no progress bar in a pipe', async ({ expect }) => {
    const name = file('text', Buffer.concat([textPages(2000), Buffer.from('end')]));
    const { code, stdout, stderr } = await compcache(['estimate', name]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [input, settings, empty, heading, ...rows] = stdout.split('\n');
    expect(input).toBe(`${name}: 2,001 pages, 8,192,003 bytes, padded with 4,093 zero bytes`);
    expect(settings).toBe('codec lz4, RAM of 256 MiB');
    expect(empty).toBe('');
    expect(heading?.split(/ {2,}/)).toEqual([
      'allocator', 'pages in', 'same-filled', 'incompressible', 'compressed bytes', 'frames used', 'effective ratio', 'density', 'µs/store', 'µs/load',
    ]);
    expect(rows.pop()).toBe('');
    expect(rows.map((row) => row.split(/ +/).slice(0, 2))).toEqual(ALLOCATORS.map((allocator) => [allocator, '2,001']));
    for (const row of rows) expect(row).toHaveLength(heading?.length as number);
  });

  it('is one JSON object with --json', async ({ expect }) => {
    const name = file('json', zeroPages(3));
    const report = await estimateJson([name]);
    expect(report).toMatchObject({ codec: 'lz4', ramBytes: 256 * 2 ** 20 });
    expect(report.input).toEqual({ name, pages: 3, bytes: 3 * PAGE_SIZE, paddedBytes: 0, limited: false });
    expect(report.results.map(({ allocator }) => allocator)).toEqual([...ALLOCATORS]);
    for (const result of report.results) {
      expect(Object.keys(result).sort()).toEqual([
        'allocator', 'compressedBytes', 'density', 'different', 'effectiveRatio', 'firstDifferent', 'framesUsed', 'incompressible',
        'loadMicroseconds', 'pages', 'poolFrames', 'rams', 'sameFilled', 'storeMicroseconds',
      ]);
    }
  });

  it('names the allocators that were asked for, once each', async ({ expect }) => {
    const { results, codec } = await estimateJson(['--allocator', 'zsmalloc, zbud', '--allocator', 'zbud', '--codec', 'lz4js', file('two', textPages(2))]);
    expect(results.map(({ allocator }) => allocator)).toEqual(['zsmalloc', 'zbud']);
    expect(codec).toBe('lz4js');
  });

  it('takes lz4hc, which makes smaller blocks than lz4', async () => {
    const [dense, quick] = await Promise.all(['lz4hc', 'lz4'].map((codec) => estimateJson(['--allocator', 'zsmalloc', '--codec', codec, '--pages', '20', join(ROOT, 'bench/corpus/node.pages')])));
    expect(dense?.codec).toBe('lz4hc');
    expect(dense?.results[0]).toMatchObject({ different: 0, pages: 20 });
    expect(dense?.results[0]?.compressedBytes).toBeLessThan(quick?.results[0]?.compressedBytes as number);
  });

  it('takes Zstandard where the host has it, and says where it has not', async ({ expect }) => {
    const { code, stdout, stderr } = await compcache(['estimate', '--codec', 'zstd', file('zstd', textPages(2))]);
    const has = 'zstdCompressSync' in zlib;
    expect({ code, stderr }).toEqual(has ? { code: 0, stderr: '' } : { code: 2, stderr: 'compcache: loadCodec: this host has no zstd (ENODEV)\n' });
    expect(stdout.includes('codec zstd')).toBe(has);
  });

  it('says into how many RAMs the input was cut', async ({ expect }) => {
    const { stdout } = await compcache(['estimate', '--ram', '256K', file('cut', zeroPages(180))]);
    expect(stdout).toContain('RAM of 256 KiB, cut into 3 of them'); // 60 pages each
  });

  it('--version is that of the package', async ({ expect }) => {
    expect(await compcache(['--version'])).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: '' });
  });

  it('--help goes to stdout', async ({ expect }) => {
    const { code, stdout, stderr } = await compcache(['estimate', '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('--allocator');
  });
});

describe.concurrent('standard input', () => {
  it("is read for '-'", async ({ expect }) => {
    const { input, results } = await estimateJson(['-'], Buffer.concat([zeroPages(400), textPages(100), Buffer.from('x')]));
    expect(input).toEqual({ name: 'standard input', pages: 501, bytes: 500 * PAGE_SIZE + 1, paddedBytes: PAGE_SIZE - 1, limited: false });
    for (const result of results) expect(result).toMatchObject({ pages: 501, sameFilled: 400, different: 0 });
  });

  it("is not read without '-': the Node executable is taken", async ({ expect }) => {
    const { input, results } = await estimateJson(['--pages', '200'], zeroPages(300));
    expect(input).toEqual({ name: process.execPath, pages: 200, bytes: 200 * PAGE_SIZE, paddedBytes: 0, limited: true });
    for (const result of results) expect(result).toMatchObject({ pages: 200, different: 0 });
  });

  it('may be left before its end', async ({ expect }) => {
    const { input } = await estimateJson(['--pages', '5', '-'], zeroPages(5000));
    expect(input).toMatchObject({ pages: 5, limited: true });
  });
});

describe.concurrent('errors are one line on stderr, exit code 2, nothing on stdout', () => {
  const good = file('good', 'x');
  const cases: [string, string[], RegExp][] = [
    ['no command', [], /a command is needed/],
    ['unknown command', ['estimat'], /unknown command 'estimat'/],
    ['unknown option', ['estimate', '--jason'], /unknown option '--jason'/],
    ['missing value', ['estimate', '--pid'], /argument missing/],
    ['no such file', ['estimate', good, '/nonexistent/a\nb'], /cannot read \/nonexistent\/a b: no such file/],
    ['directory', ['estimate', tmpdir()], /it is a directory/],
    ['empty file', ['estimate', file('empty', '')], /empty is empty/],
    ['empty standard input', ['estimate', '-', '--json'], /standard input is empty/],
    ['standard input twice', ['estimate', '-', '-'], /only once/],
    ['unknown allocator', ['estimate', '--allocator', 'zbud,slab', good], new RegExp(`Unknown allocator 'slab'; known: ${ALLOCATORS.join(', ')}`)],
    ['no allocator', ['estimate', '--allocator', '', good], /Unknown allocator ''/],
    ['unknown codec', ['estimate', '--codec', 'toString', good], /Unknown codec 'toString'; known: lz4, lz4hc, lz4js/],
    ['bad RAM size', ['estimate', '--ram', 'much', good], /--ram 'much'/],
    ['RAM too small', ['estimate', '--ram', '4K', good], /256 KiB/],
    ['bad page count', ['estimate', '--pages', '0', good], /'0' is invalid/],
    ['bad pid', ['estimate', '--pid', '1e3'], /'1e3' is invalid/],
    ['negative pid', ['estimate', '--pid', '-1'], /'-1' is invalid/],
    ['files and pid', ['estimate', '--pid', '1', good], /not both/],
  ];

  it.each(cases)('%s', async (_, args, message) => {
    const { code, stdout, stderr } = await compcache(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^compcache: [^\n]+\n$/);
    expect(stderr).toMatch(message);
  });

  it.runIf(process.platform === 'linux')('no such process', async () => {
    const pid = 2 ** 22 + 1; // beyond the kernel's largest
    expect(await compcache(['estimate', '--pid', String(pid)])).toEqual({ code: 2, stdout: '', stderr: `compcache: no such process: ${pid}\n` });
  });
});
