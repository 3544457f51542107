/**
 * The stores of `compcache swap`: files of the caller, full disks, and the temporary file, which must be removed in
 * every case.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../cli/pages.ts';
import type { SwapReport } from '../../cli/swap/figures.ts';
import { Stores } from '../../cli/swap/store.ts';
import {
  COMPCACHE,
  ROOT,
  compcache,
  compcacheIn,
  counters,
  strangeOptions,
  swapJson,
  temporaryFiles,
  type Outcome,
} from './command.ts';
import { mixedPages } from './samples.ts';

const file = temporaryFiles();
const mixed = mixedPages();

describe.concurrent('stores', () => {
  const small = ['--ram', '512K', '--pages', '400', '--ops', '1000', '--allocator', 'zbud'];

  it('give the same figures, whether they are a temporary file, memory, or a named file', async ({ expect }) => {
    const pages = file('stores', mixed);
    const path = join(dirname(pages), 'own-store');
    const [temporary, memory, own] = (await Promise.all(
      [[], ['--memory-store'], ['--store', path]].map((args) => swapJson([pages, ...small, ...args])),
    )) as [SwapReport, SwapReport, SwapReport];
    expect(counters(temporary)[0]?.writebacks).toBeGreaterThan(0);
    expect(counters(memory)).toEqual(counters(temporary));
    expect(counters(own)).toEqual(counters(temporary));
    expect([temporary.store, memory.store, own.store]).toEqual(['a temporary file', 'memory', path]);
    expect(existsSync(path)).toBe(true);
    expect(counters(await swapJson([pages, ...small, '--store', path]))).toEqual(counters(temporary)); // the file is opened a second time
  });

  it('a foreign file is refused and not changed', async ({ expect }) => {
    const letter = file('letter', 'a letter');
    const { code, stdout, stderr } = await compcache([
      'swap',
      file('letter-pages', mixed),
      ...small,
      '--store',
      letter,
    ]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^compcache: cannot use [^\n]+ for a store: [^\n]+\n$/);
    expect(await strangeOptions('swap', stderr)).toEqual([]);
    expect(readFileSync(letter, 'utf8')).toBe('a letter');
  });
});

describe.skipIf(process.platform === 'win32')('a disk that is full', () => {
  const small = [
    '--ram',
    '512K',
    '--pages',
    '400',
    '--ops',
    '1000',
    '--allocator',
    'zbud,zsmalloc',
    '--victims',
    'entry',
  ];
  const pages = file('full-pages', mixed);
  const beside = (name: string): string => join(dirname(pages), name);
  const FULL = 'the medium is full';

  /** Runs swap where no file may become longer than this number of blocks of 512 bytes. */
  async function limited(blocks: number, args: readonly string[]): Promise<Outcome> {
    return compcacheIn(`ulimit -f ${blocks} && exec "$@"`, ['swap', pages, ...args]);
  }

  function reportOf(stdout: string): SwapReport {
    return JSON.parse(stdout) as SwapReport;
  }

  function lineOf(path: string, { results }: SwapReport): string {
    const failed = results.reduce((sum, result) => sum + result.failedWrites, 0).toLocaleString('en-US');
    return `compcache: the store (${path}) failed: ${FULL}; ${failed} writes failed, so these are the figures of a store without room for them\n`;
  }

  it('from the start: the figures are those of a store without room; exit code 2', async ({ expect }) => {
    const path = beside('full-at-start');
    const { code, stdout, stderr } = await limited(1024, [...small, '--json', '--store', path]);
    const report = reportOf(stdout);
    expect({ code, stderr }).toEqual({ code: 2, stderr: lineOf(path, report) });
    expect(report).toMatchObject({ store: path, storeFault: FULL });
    expect(report.results.map(({ allocator }) => allocator)).toEqual(['zbud', 'zsmalloc']);
    for (const result of report.results) {
      expect(result).toMatchObject({ different: 0, writebacks: 0, writtenBytes: 0, reads: 0, backingPages: 0 });
      for (const count of [result.hits, result.misses, result.failedWrites, result.rejects.reclaimFail])
        expect(count).toBeGreaterThan(0);
    }
  });

  it('in the middle: the figures are those of a store with less room; exit code 2', async ({ expect }) => {
    const path = beside('full-in-the-middle');
    await swapJson([pages, ...small, '--store', path]); // this makes the file long enough, so that later only writes can fail
    const { code, stdout, stderr } = await limited(1024, [...small, '--json', '--store', path]);
    const report = reportOf(stdout);
    expect({ code, stderr }).toEqual({ code: 2, stderr: lineOf(path, report) });
    expect(report).toMatchObject({ store: path, storeFault: FULL });
    for (const result of report.results) {
      expect(result.different).toBe(0);
      for (const count of [result.writebacks, result.reads, result.failedWrites, result.rejected])
        expect(count).toBeGreaterThan(0);
    }
  });

  it('at the end: exit code 2, even when only the close has failed', async ({ expect }) => {
    const path = beside('full-at-end');
    const fits = ['--ram', '16M', '--pages', '400', '--ops', '100', '--allocator', 'zbud', '--json', '--store', path];
    await swapJson([pages, ...fits]);
    const { code, stdout, stderr } = await limited(8, fits);
    expect({ code, stderr }).toEqual({ code: 2, stderr: `compcache: the store (${path}) failed: ${FULL}\n` });
    for (const result of reportOf(stdout).results)
      expect(result).toMatchObject({ different: 0, failedWrites: 0, hitRatio: 1 });
  });

  it('under the temporary file: the table, one line on stderr, exit code 2', async ({ expect }) => {
    const { code, stdout, stderr } = await limited(1024, small);
    expect(code).toBe(2);
    expect(stdout).toMatch(/^zbud +entry +0\.\d+ /m);
    expect(stdout).toMatch(/^rejects, zsmalloc, entry: .* nothing could be written back$/m);
    expect(stderr).toMatch(
      /^compcache: the store \(a temporary file\) failed: the medium is full; [\d,]+ writes failed[^\n]*\n$/,
    );
  });
});

describe('the store that the command opens', () => {
  it('has no more slots than a front end uses', async () => {
    const stores = new Stores({ kind: 'temporary' });
    const store = await stores.open(2 ** 24 + 1); // a trace has at most 2^24 keys; one more was asked for
    expect(store.slots).toBe(2 ** 24);
    await stores.close(store);
    stores.end();
    expect(stores.fault).toBeUndefined();
  });

  it('names the other options when no temporary file can be made', async () => {
    const before = process.env.TMPDIR;
    process.env.TMPDIR = process.env.TEMP = process.env.TMP = join(file('no-folder', ''), 'x');
    try {
      expect(() => new Stores({ kind: 'temporary' })).toThrow(InputError);
      expect(() => new Stores({ kind: 'temporary' })).toThrow(
        /^cannot make a temporary file \(.*\): give --store PATH or --memory-store$/,
      );
    } finally {
      for (const name of ['TMPDIR', 'TEMP', 'TMP']) delete process.env[name];
      if (before !== undefined) process.env.TMPDIR = before;
    }
  });
});

describe.concurrent('the temporary file', () => {
  /** A folder for temporary files, and the files that the command has left there. */
  function temporary(name: string): { env: NodeJS.ProcessEnv; left: () => string[] } {
    const folder = `${file(name, '')}.d`;
    mkdirSync(folder);
    return {
      env: { ...process.env, TMPDIR: folder, TEMP: folder, TMP: folder },
      left: () => readdirSync(folder).filter((one) => one.startsWith('compcache-swap-')),
    };
  }

  it('is removed at the end, and after an error', async ({ expect }) => {
    const { env, left } = temporary('end');
    const pages = file('end-pages', mixed);
    const good = await compcache(['swap', pages, '--ram', '512K', '--pages', '300', '--ops', '100'], '', env);
    const bad = await compcache(['swap', pages, '--pages', '300', '--trace', '/nonexistent/x'], '', env);
    expect([good.code, bad.code]).toEqual([0, 2]);
    expect(left()).toEqual([]);
  });

  it.skipIf(process.platform === 'win32').each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'is removed when %s ends the command',
    async (signal) => {
      const { env, left } = temporary(signal);
      const child = spawn(
        process.execPath,
        [...COMPCACHE, 'swap', file(`${signal}-pages`, mixed), '--ops', '1000000'],
        { cwd: ROOT, env, stdio: 'ignore' },
      );
      const ended = once(child, 'exit');
      while (left().length === 0 || readdirSync(join(env.TMPDIR as string, left()[0] as string)).length === 0)
        await wait(20);
      child.kill(signal);
      expect(await ended).toEqual([null, signal]);
      expect(left()).toEqual([]);
    },
  );
});
