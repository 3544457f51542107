/** `--pid`: the pages of a process that are read, and those that are left out. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { PAGE_SIZE } from '../../bindings/index.ts';
import { InputError, openInput, privateWritable, sortPages, type ProcessSummary, type Range } from '../../cli/pages.ts';
import { estimateJson } from './command.ts';

const RANDOM_PAGES = 1024;
const UNTOUCHED_PAGES = 4096;
const HOLDER = `
  const random = require('crypto').randomFillSync(Buffer.allocUnsafeSlow(${RANDOM_PAGES * PAGE_SIZE}));
  const untouched = new ArrayBuffer(${UNTOUCHED_PAGES * PAGE_SIZE});
  console.log('ready');
  setInterval(() => [random, untouched], 1e6);
`;

function newSummary(): ProcessSummary {
  return { pid: 1, command: 'x', absentPages: 0, swappedPages: 0, unreadablePages: 0 };
}

describe('mappings', () => {
  it('are read when private and writable', () => {
    const maps = [
      '00400000-00452000 r-xp 00000000 08:02 173521  /usr/bin/rw-p',
      '00651000-00652000 r--p 00051000 08:02 173521  /usr/bin/x',
      '00652000-00655000 rw-p 00052000 08:02 173521  /usr/bin/x',
      '35b1800000-35b1820000 rw-s 00000000 08:02 135522  /dev/shm/x',
      '7f0000000000-7f0000001000 rwxp 00000000 00:00 0 ',
      '7fffb2c0d000-7fffb2c2e000 rw-p 00000000 00:00 0  [stack]',
      'ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]',
      '',
    ].join('\n');
    expect(privateWritable(maps)).toEqual([
      { address: 0x652000, bytes: 0x3000 },
      { address: 0x7f0000000000, bytes: 0x1000 },
      { address: 0x7fffb2c0d000, bytes: 0x21000 },
    ]);
  });
});

describe('pagemap entries', () => {
  /** pagemap entries with these two highest bits, and with all other bits set that mean something else. */
  function entries(...states: ('present' | 'swapped' | 'absent')[]): Uint8Array {
    const top = { present: 0x80, swapped: 0x40, absent: 0 };
    return Uint8Array.from(states.flatMap((state) => [255, 255, 255, 255, 255, 255, 255, top[state] | 0x21]));
  }

  it('make one range where present pages are adjacent; absent and swapped pages are counted', () => {
    const ranges: Range[] = [{ address: 0x1000, bytes: 0x1000 }];
    const found = newSummary();
    sortPages(entries('present', 'present', 'absent', 'swapped', 'present'), 0x2000, 4096, ranges, found);
    expect(ranges).toEqual([
      { address: 0x1000, bytes: 0x3000 },
      { address: 0x6000, bytes: 0x1000 },
    ]);
    expect(found).toMatchObject({ absentPages: 1, swappedPages: 1, unreadablePages: 0 });
  });

  it('of a kernel with larger pages stand for several pages of 4 KiB', () => {
    const ranges: Range[] = [];
    const found = newSummary();
    sortPages(entries('present', 'absent', 'swapped'), 0x10000, 16384, ranges, found);
    expect(ranges).toEqual([{ address: 0x10000, bytes: 16384 }]);
    expect(found).toMatchObject({ absentPages: 4, swappedPages: 4 });
  });
});

describe.runIf(process.platform === 'linux')('a running process', () => {
  let holder: ChildProcess | undefined;
  afterEach(() => holder?.kill('SIGKILL'));

  async function startHolder(): Promise<number> {
    holder = spawn(process.execPath, ['-e', HOLDER], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(holder.stdout as NodeJS.ReadableStream, 'data');
    holder.kill('SIGSTOP');
    return holder.pid as number;
  }

  /** Resident pages of the private writable mappings, as the kernel counts them. */
  function residentPages(pid: number): number {
    const mappings = readFileSync(`/proc/${pid}/smaps`, 'latin1').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
    const kib = mappings
      .filter((mapping) => / .w.p /.test(mapping))
      .map((mapping) => Number(/^Rss: +(\d+)/m.exec(mapping)?.[1]));
    return kib.reduce((sum, one) => sum + one, 0) / 4;
  }

  it('gives its present pages, and counts the absent pages', async () => {
    const pid = await startHolder();
    const { input, results } = await estimateJson(['--pid', String(pid), '--allocator', 'zbud']);
    const command = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    expect(input).toMatchObject({ name: `process ${pid} (${command})`, paddedBytes: 0, process: { pid, command } });
    expect(input.bytes).toBe(input.pages * PAGE_SIZE);
    expect(input.process?.absentPages).toBeGreaterThanOrEqual(UNTOUCHED_PAGES - 1);
    const taken = input.pages + (input.process?.unreadablePages as number);
    const resident = residentPages(pid);
    expect(Math.abs(taken - resident)).toBeLessThanOrEqual(resident * 0.01); // smaps leaves zero pages out
    expect(results[0]).toMatchObject({ pages: input.pages, different: 0 });
    expect(results[0]?.incompressible).toBeGreaterThanOrEqual(RANDOM_PAGES - 1);
  });

  it.runIf(process.geteuid?.() === 0)('of another user is refused', async () => {
    process.seteuid?.(65534);
    try {
      await expect(openInput([], { pid: 1 })).rejects.toThrow(
        new InputError('no permission to read the memory of process 1'),
      );
    } finally {
      process.seteuid?.(0);
    }
  });
});
