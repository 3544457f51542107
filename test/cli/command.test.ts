/** The command line as a process: output, errors, exit codes, standard input. */
import { closeSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ALLOCATORS, PAGE_SIZE } from '../../bindings/index.ts';
import manifest from '../../package.json' with { type: 'json' };
import {
  ROOT,
  compcache,
  compcacheFrom,
  compcacheIn,
  compcacheUnread,
  estimateJson,
  strangeOptions,
  temporaryFiles,
  type Outcome,
} from './command.ts';
import type { Report } from '../../cli/estimate-report.ts';
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
      'allocator',
      'pages in',
      'same-filled',
      'incompressible',
      'compressed bytes',
      'frames used',
      'effective ratio',
      'density',
      'µs/store',
      'µs/load',
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
        'allocator',
        'compressedBytes',
        'density',
        'different',
        'effectiveRatio',
        'firstDifferent',
        'framesUsed',
        'incompressible',
        'loadMicroseconds',
        'pages',
        'poolFrames',
        'rams',
        'sameFilled',
        'storeMicroseconds',
      ]);
    }
  });

  it('lists the allocators of --allocator, each once', async ({ expect }) => {
    const { results, codec } = await estimateJson([
      '--allocator',
      'zsmalloc, zbud',
      '--allocator',
      'zbud',
      '--codec',
      'lz4js',
      file('two', textPages(2)),
    ]);
    expect(results.map(({ allocator }) => allocator)).toEqual(['zsmalloc', 'zbud']);
    expect(codec).toBe('lz4js');
  });

  it('takes lz4hc, which makes smaller blocks than lz4', async () => {
    const [dense, quick] = await Promise.all(
      ['lz4hc', 'lz4'].map((codec) =>
        estimateJson([
          '--allocator',
          'zsmalloc',
          '--codec',
          codec,
          '--pages',
          '20',
          join(ROOT, 'bench/corpus/node.pages'),
        ]),
      ),
    );
    expect(dense?.codec).toBe('lz4hc');
    expect(dense?.results[0]).toMatchObject({ different: 0, pages: 20 });
    expect(dense?.results[0]?.compressedBytes).toBeLessThan(quick?.results[0]?.compressedBytes as number);
  });

  it.each(['estimate', 'swap'])(
    '%s takes Zstandard where the host has it, and says which Node has it',
    async (command) => {
      const bounds = command === 'swap' ? ['--ops', '10', '--pages', '2', '--ram', '256K'] : [];
      const { code, stdout, stderr } = await compcache([
        command,
        '--codec',
        'zstd',
        file(`zstd-${command}`, textPages(2)),
        ...bounds,
      ]);
      const has = 'zstdCompressSync' in zlib;
      const needs =
        'compcache: --codec zstd: this host has no zstd; Node has it in 22.15 or later, and in 23.8 or later\n';
      expect({ code, stderr }).toEqual(has ? { code: 0, stderr: '' } : { code: 2, stderr: needs });
      expect(stdout.includes('codec zstd')).toBe(has);
    },
  );

  it('tells into how many RAMs the input was cut', async ({ expect }) => {
    const { stdout } = await compcache(['estimate', '--ram', '256K', file('cut', zeroPages(180))]);
    expect(stdout).toContain('RAM of 256 KiB, cut into 3 of them'); // 60 pages each
  });

  it('--version is that of the package', async ({ expect }) => {
    expect(await compcache(['--version'])).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: '' });
  });

  it('--help prints to stdout', async ({ expect }) => {
    const { code, stdout, stderr } = await compcache(['estimate', '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('--allocator');
  });

  it('the command without arguments prints its help', async ({ expect }) => {
    const [bare, asked, word] = await Promise.all([[], ['--help'], ['help']].map((args) => compcache(args)));
    expect(bare).toEqual({ code: 0, stdout: asked?.stdout, stderr: '' });
    expect(word).toEqual(bare);
    for (const command of ['estimate', 'swap', 'bench', 'serve', 'rzscontrol', 'help'])
      expect(bare?.stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
  });

  it("'help swap' prints the same as 'swap --help'", async ({ expect }) => {
    const [word, option] = await Promise.all(
      [
        ['help', 'swap'],
        ['swap', '--help'],
      ].map((args) => compcache(args)),
    );
    expect(word).toEqual(option);
  });
});

describe.skipIf(process.platform === 'win32')('stdout that is closed or full', () => {
  const pages = file('unread', textPages(40));
  const cases: [string, string[]][] = [
    ['estimate', ['estimate', pages]],
    ['estimate --json', ['estimate', '--json', pages]],
    ['swap', ['swap', pages, '--ram', '256K', '--pages', '40', '--ops', '100', '--memory-store']],
    ['bench', ['bench', 'codec', 'page', '--rounds', '1', '--corpus', pages]],
    ['help', ['--help']],
  ];
  it.each(cases)('%s: a reader that closes the pipe early is no error', async (_, args) => {
    expect(await compcacheUnread(args)).toMatchObject({ code: 0, stderr: '' });
  });

  it.runIf(process.platform === 'linux').each(cases)('%s: a full disk is an error', async (_, args) => {
    const { code, stdout, stderr } = await compcacheIn('exec "$@" >/dev/full', args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^compcache: cannot write the output: [^\n]+\n$/);
  });
});

describe.concurrent('standard input', () => {
  it("is read for '-'", async ({ expect }) => {
    const { input, results } = await estimateJson(
      ['-'],
      Buffer.concat([zeroPages(400), textPages(100), Buffer.from('x')]),
    );
    expect(input).toEqual({
      name: 'standard input',
      pages: 501,
      bytes: 500 * PAGE_SIZE + 1,
      paddedBytes: PAGE_SIZE - 1,
      limited: false,
    });
    for (const result of results) expect(result).toMatchObject({ pages: 501, sameFilled: 400, different: 0 });
  });

  const given = file('given', zeroPages(30));
  const ofGiven = { name: 'standard input', pages: 30, bytes: 30 * PAGE_SIZE, paddedBytes: 0, limited: false };
  const inputOf = ({ code, stdout, stderr }: Outcome): unknown => {
    if (code !== 0 || stderr !== '') throw new Error(`exit code ${code}: ${stderr}`);
    return (JSON.parse(stdout) as Report).input;
  };

  it('is read without a FILE when the pipe has bytes', async ({ expect }) => {
    expect((await estimateJson([], zeroPages(30))).input).toEqual(ofGiven);
    expect((await estimateJson(['--pages', '20'], zeroPages(30))).input).toMatchObject({
      name: 'standard input',
      pages: 20,
      limited: true,
    });
  });

  it('is read without a FILE when it is a file', async ({ expect }) => {
    const descriptor = openSync(given, 'r');
    expect(inputOf(await compcacheFrom(descriptor, ['estimate', '--json']))).toEqual(ofGiven);
    closeSync(descriptor);
  });

  it.skipIf(process.platform === 'win32')('is read without a FILE when it is a pipe', async ({ expect }) => {
    expect(inputOf(await compcacheIn('cat "$FILE" | "$@"', ['estimate', '--json'], given))).toEqual(ofGiven);
    expect(
      inputOf(
        await compcacheIn(
          'cat "$FILE" | "$@"',
          ['swap', '--json', '--pages', '40', '--ops', '10', '--ram', '256K', '--memory-store'],
          given,
        ),
      ),
    ).toEqual(ofGiven);
  });

  it('is not read when there is a FILE', async ({ expect }) => {
    expect((await estimateJson([given], textPages(2))).input).toEqual({ ...ofGiven, name: given });
  });

  const nothing = {
    code: 2,
    stdout: '',
    stderr: "compcache: there is nothing to read: name a FILE, give --pid N, or send pages to standard input ('-')\n",
  };
  it.each(['estimate', 'swap'])('%s: the null device does not count as input', async (command) => {
    expect(await compcacheFrom('ignore', [command])).toEqual(nothing);
  });

  it.skipIf(process.platform === 'win32')(
    'a device like a terminal, or a closed descriptor, does not count as input',
    async ({ expect }) => {
      const descriptor = openSync('/dev/zero', 'r');
      expect(await compcacheFrom(descriptor, ['estimate', '--pages', '3'])).toEqual(nothing);
      closeSync(descriptor);
      expect(await compcacheIn('exec "$@" <&-', ['estimate'])).toEqual(nothing);
    },
  );

  it('is read only as far as --pages says', async ({ expect }) => {
    const { input } = await estimateJson(['--pages', '5', '-'], zeroPages(5000));
    expect(input).toMatchObject({ pages: 5, limited: true });
  });
});

describe.skipIf(process.platform === 'win32')('devices', () => {
  const endless = (name: string): Outcome => ({
    code: 2,
    stdout: '',
    stderr: `compcache: ${name} is a device that may have no end: give --pages N\n`,
  });

  it('without an end need --pages', async ({ expect }) => {
    const good = file('before-zero', textPages(2));
    expect(await compcache(['estimate', '/dev/zero'])).toEqual(endless('/dev/zero'));
    expect(await compcache(['estimate', good, '/dev/urandom'])).toEqual(endless('/dev/urandom'));
    expect((await estimateJson([good, '/dev/zero', '--pages', '700'])).input).toMatchObject({
      pages: 700,
      limited: true,
    });
  });

  it('without an end need --pages at standard input too', async ({ expect }) => {
    const descriptor = openSync('/dev/zero', 'r');
    expect(await compcacheFrom(descriptor, ['estimate', '-'])).toEqual(endless('standard input'));
    const { code, stdout } = await compcacheFrom(descriptor, ['estimate', '-', '--pages', '3', '--json']);
    closeSync(descriptor);
    expect([code, (JSON.parse(stdout) as Report).input.pages]).toEqual([0, 3]);
  });

  it('are read by swap only as far as there are keys', async ({ expect }) => {
    const { code, stdout, stderr } = await compcache([
      'swap',
      '/dev/zero',
      '--json',
      '--pages',
      '40',
      '--ops',
      '10',
      '--ram',
      '256K',
      '--memory-store',
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect((JSON.parse(stdout) as Report).input).toMatchObject({ pages: 40, limited: true });
  });

  it('that are empty have no page', async ({ expect }) => {
    expect(await compcache(['estimate', '/dev/null'])).toEqual({
      code: 2,
      stdout: '',
      stderr: 'compcache: /dev/null is empty\n',
    });
  });
});

describe.concurrent('errors are one line on stderr, exit code 2, nothing on stdout', () => {
  const good = file('good', 'x');
  const cases: [string, string[], RegExp][] = [
    ['no command', ['--'], /a command is needed/],
    ['help for an unknown command', ['help', 'estimat'], /unknown command 'estimat'; known: estimate, swap,/],
    ['file without a name', ['estimate', ''], /cannot read '': no such file/],
    ['empty standard input without a name', ['estimate'], /standard input is empty/],
    ['unknown command', ['estimat'], /unknown command 'estimat'/],
    ['unknown option', ['estimate', '--jason'], /unknown option '--jason'/],
    ['missing value', ['estimate', '--pid'], /argument missing/],
    ['no such file', ['estimate', good, '/nonexistent/a\nb'], /cannot read \/nonexistent\/a b: no such file/],
    ['directory', ['estimate', tmpdir()], /it is a directory/],
    ['empty file', ['estimate', file('empty', '')], /empty is empty/],
    ['empty standard input', ['estimate', '-', '--json'], /standard input is empty/],
    ['standard input twice', ['estimate', '-', '-'], /only once/],
    [
      'unknown allocator',
      ['estimate', '--allocator', 'zbud,slab', good],
      new RegExp(`Unknown allocator 'slab'; known: ${ALLOCATORS.join(', ')}`),
    ],
    ['no allocator', ['estimate', '--allocator', '', good], /Unknown allocator ''/],
    ['unknown codec', ['estimate', '--codec', 'toString', good], /Unknown codec 'toString'; known: lz4, lz4hc, lz4js/],
    [
      'bad RAM size',
      ['estimate', '--ram', 'much', good],
      /--ram 'much': it must be a size from 256K to 4G, as in 64M or 64MiB$/m,
    ],
    ['RAM too small', ['estimate', '--ram', '4K', good], /--ram '4K': it must be a size from 256K to 4G/],
    ['RAM too large', ['estimate', '--ram', '1T', good], /--ram '1T': it must be a size from 256K to 4G/],
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
    if (['estimate', 'help'].includes(args[0] as string) && !stderr.includes('unknown option'))
      expect(await strangeOptions(args[0] as string, stderr)).toEqual([]);
  });

  it.each(['256K', '4G', '64M', '64MiB'])('--ram %s, a size that error messages name, is accepted', async (size) => {
    expect((await estimateJson(['--ram', size, '--allocator', 'zbud', good])).results[0]).toMatchObject({
      pages: 1,
      different: 0,
    });
  });

  it.runIf(process.platform === 'linux')('no such process', async () => {
    const pid = 2 ** 22 + 1; // above the kernel's largest process number
    expect(await compcache(['estimate', '--pid', String(pid)])).toEqual({
      code: 2,
      stdout: '',
      stderr: `compcache: no such process: ${pid}\n`,
    });
  });
});
