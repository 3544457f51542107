/** `compcache serve` and `compcache rzscontrol`: a device with real clients, and its control commands. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Ramzswap, type BdStat, type RamzswapStats } from '../../bindings/index.ts';
import { askControl } from '../../cli/nbd/index.ts';
import { output, run } from '../nbd/programs.ts';
import { READ, RawClient, WRITE, requestBytes } from '../nbd/raw-client.ts';
import { COMPCACHE, ROOT, compcache, type Outcome } from './command.ts';

const MIB = 2 ** 20;
const PAGE = 4096;

/** The answers of rzscontrol, as JSON. */
interface Answers extends Record<string, unknown> {
  stats: RamzswapStats & { bdStat: BdStat };
}

interface Served {
  child: ChildProcess;
  folder: string;
  socket: string;
  uri: string;
  /** The line that the server printed when it was ready. */
  line: string;
  /** All output so far. */
  said: { out: string; error: string };
  rzscontrol(...args: string[]): Promise<Outcome>;
  json(...args: string[]): Promise<Answers>;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'compcache-serve-'));
  ends.push(async () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts `compcache serve`, and waits until it serves. */
async function serve(args: readonly string[], folder = temporaryFolder()): Promise<Served> {
  const socket = join(folder, 's');
  const where = args.includes('--port') ? [] : ['--socket', socket];
  const child = spawn(process.execPath, [...COMPCACHE, 'serve', ...where, ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', error: '' };
  const gone = once(child, 'close');
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.error += text));
  await new Promise<void>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said.out += text;
      if (said.out.includes('\n')) resolve();
    });
    child.on('close', () => reject(new Error(`it ended: ${said.error}`)));
  });
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await gone;
    return child.exitCode;
  };
  ends.unshift(async () => void (await stop('SIGKILL')));
  const rzscontrol = (...more: string[]): Promise<Outcome> => compcache(['rzscontrol', socket, ...more]);
  const json = async (...more: string[]): Promise<Answers> => {
    const { code, stdout, stderr } = await rzscontrol('--json', ...more);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(stdout) as Answers;
  };
  return {
    child,
    folder,
    socket,
    uri: `nbd+unix:///?socket=${socket}`,
    line: said.out.trim(),
    said,
    rzscontrol,
    json,
    stop,
  };
}

/** Half repetitive text, half random bytes. */
function mixed(bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 8192) randomFillSync(buffer, at, Math.min(4096, bytes - at));
  for (let at = 4096; at < bytes; at += 8192)
    buffer.fill(`page ${at} of a file that repeats itself; `, at, Math.min(at + 4096, bytes));
  return buffer;
}

/** Pages of words, all different, which lz4hc compresses better than lz4. */
function mixedText(bytes: number): Buffer {
  const words = Array.from({ length: 200 }, (_, nth) => `${(nth * 7919).toString(36)}${(nth * 104729).toString(36)} `);
  let state = 1;
  const text = Array.from({ length: MIB / 4 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return words[(state >>> 16) % words.length] as string;
  }).join('');
  const buffer = Buffer.alloc(bytes);
  for (let page = 0; page * PAGE < bytes; page++)
    buffer.write(text.slice((page * 173) % (text.length - PAGE)), page * PAGE, PAGE, 'latin1');
  return buffer;
}

describe('a served device', () => {
  test('has the bytes that were copied to it, with and without a backing file', async () => {
    for (const more of [[], ['--memlimit', '4M', '--allocator', 'xvmalloc']]) {
      const folder = temporaryFolder();
      const backing = more.length === 0 ? [] : ['--backing', join(folder, 'back')];
      const served = await serve(['--disksize', '64M', ...more, ...backing], folder);
      expect(served.line).toContain('67108864 bytes');
      expect(await output('nbdinfo', '--size', served.uri)).toBe(`${64 * MIB}\n`);
      const bytes = mixed(32 * MIB);
      writeFileSync(join(folder, 'in'), bytes);
      await output('nbdcopy', '--connections=3', join(folder, 'in'), served.uri);
      await output('nbdcopy', '--connections=2', served.uri, join(folder, 'out'));
      const out = readFileSync(join(folder, 'out'));
      expect(out.length).toBe(64 * MIB);
      expect(Buffer.compare(out.subarray(0, bytes.length), bytes)).toBe(0);
      expect(out.subarray(bytes.length).every((byte) => byte === 0)).toBe(true);
      const { stats } = await served.json('--stats');
      expect(stats).toMatchObject({ disksize: 64 * MIB, pagesStored: 8192, failedReads: 0, failedWrites: 0 });
      if (more.length !== 0) expect(stats.memUsedTotal).toBeLessThanOrEqual(4 * MIB);
      expect(stats.bdStat.bdCount > 4000).toBe(more.length !== 0);
      expect(await served.stop()).toBe(0);
      expect(readdirSync(folder).filter((name) => name.startsWith('s'))).toEqual([]);
    }
  });

  test('passes QEMU’s patterns at any offset, discards and zeroes', async () => {
    const served = await serve(['--disksize', '16M']);
    const commands = [
      'write -P 0xab 1234567 3654321',
      'read -P 0xab 1234567 3654321',
      'write -P 0xcd 511 1',
      'read -P 0xcd 511 1',
      'read -P 0 512 3000',
      'discard 1236992 65536',
      'read -P 0 1236992 65536',
      'write -z 1300001 9999',
      'read -P 0 1300001 9999',
      'read -P 0xab 1310000 100',
      'flush',
    ];
    const text = await output('qemu-io', '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), served.uri);
    expect(text).not.toContain('failed');
    expect(text).not.toContain('error');
  });

  test('holds a qcow2 image and a file system', async () => {
    const served = await serve(['--disksize', '96M', '--allocator', 'zbud', '--codec', 'lz4hc']);
    const path = (name: string): string => join(served.folder, name);
    writeFileSync(path('raw'), mixed(16 * MIB));
    await output('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', path('raw'), path('image'));
    await output('qemu-img', 'convert', '-n', '-f', 'qcow2', '-O', 'raw', path('image'), served.uri);
    const back = await output('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', served.uri, path('image'));
    expect(back).toContain('identical');
    writeFileSync(path('fs'), '');
    truncateSync(path('fs'), 96 * MIB);
    await output('mke2fs', '-q', '-t', 'ext4', '-d', join(ROOT, 'docs'), path('fs'));
    await output('nbdcopy', path('fs'), served.uri);
    await output('nbdcopy', served.uri, path('fs2'));
    await output('e2fsck', '-fn', path('fs2'));
    expect(Buffer.compare(readFileSync(path('fs')), readFileSync(path('fs2')))).toBe(0);
  });

  test('has a swap header when told so', async () => {
    const served = await serve(['--disksize', '16M', '--swap-header']);
    await output('nbdcopy', served.uri, join(served.folder, 'out'));
    expect(await output('blkid', '-p', '-s', 'TYPE', '-o', 'value', join(served.folder, 'out'))).toBe('swap\n');
    expect(await output('file', '-b', join(served.folder, 'out'))).toContain('swap file');
  });

  test('is full when its memory limit is reached and there is no file behind it', async () => {
    const served = await serve(['--disksize', '16M', '--memlimit', '1M']);
    writeFileSync(join(served.folder, 'in'), randomFillSync(Buffer.alloc(4 * MIB)));
    const { code, stderr } = await run('nbdcopy', join(served.folder, 'in'), served.uri);
    expect(code).not.toBe(0);
    expect(stderr).toContain('No space left on device');
    const { stats } = await served.json('--stats');
    expect(stats.failedWrites).toBeGreaterThan(0);
    expect(stats.memUsedTotal).toBeLessThanOrEqual(MIB);
    await output(
      'qemu-io',
      '-f',
      'raw',
      '-c',
      'discard 0 16M',
      '-c',
      'write -P 1 0 4k',
      '-c',
      'read -P 1 0 4k',
      served.uri,
    );
  });

  test('survives a client that is killed; when the server is killed, the next server replaces its socket', async () => {
    const folder = temporaryFolder();
    const served = await serve(['--disksize', '256M'], folder);
    writeFileSync(join(folder, 'in'), mixed(64 * MIB));
    const client = spawn('nbdcopy', [join(folder, 'in'), served.uri], { stdio: 'ignore' });
    await new Promise((resolve) => setTimeout(resolve, 60));
    client.kill('SIGKILL');
    await once(client, 'close');
    expect(await output('nbdinfo', '--size', served.uri)).toBe(`${256 * MIB}\n`);
    await served.stop('SIGKILL');
    expect(existsSync(served.socket)).toBe(true);
    const next = await serve(['--disksize', '16M'], folder);
    expect(await output('nbdinfo', '--size', next.uri)).toBe(`${16 * MIB}\n`);
    await next.json('--stats');
  });

  test('serves other clients normally while hostile clients hold all the connections and memory that they can get', async () => {
    const served = await serve(['--disksize', '64M']);
    const server = { address: { path: served.socket } };
    const hostile: RawClient[] = [];
    ends.unshift(async () => hostile.forEach((client) => client.vanish()));
    for (let i = 0; i < 48; i++) {
      const client = await RawClient.going(server);
      hostile.push(client);
      client.socket.pause();
      if (i % 3 === 0) client.send(...Array.from({ length: 60 }, () => requestBytes({ command: READ, length: MIB })));
      else if (i % 3 === 1) client.send(requestBytes({ command: READ, length: 32 * MIB }));
      else client.send(requestBytes({ command: WRITE, length: 32 * MIB }), Buffer.alloc(4 * MIB));
    }
    for (let i = 0; i < 100; i++) hostile.push(await RawClient.connect(server));
    writeFileSync(join(served.folder, 'in'), mixed(16 * MIB));
    await output('nbdcopy', '--connections=4', join(served.folder, 'in'), served.uri);
    await output('nbdcopy', '--connections=4', served.uri, join(served.folder, 'out'));
    expect(
      Buffer.compare(
        readFileSync(join(served.folder, 'out')).subarray(0, 16 * MIB),
        readFileSync(join(served.folder, 'in')),
      ),
    ).toBe(0);
    await output('qemu-io', '-f', 'raw', '-c', 'write -P 3 777 1M', '-c', 'read -P 3 777 1M', served.uri);
    if (process.platform === 'linux') {
      const most = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${served.child.pid}/status`, 'utf8'))?.[1];
      expect(Number(most) / 1024).toBeLessThan(512); // 160 MiB, Node, the disk, and garbage that was not collected yet
    }
    expect(await served.stop()).toBe(0);
  });

  test('listens on a port of the loopback address', async () => {
    const served = await serve(['--disksize', '16M', '--port', '0']);
    const uri = /nbd:\/\/\S+/.exec(served.line)?.[0] as string;
    expect(uri).toContain('127.0.0.1');
    expect(await output('nbdinfo', '--size', uri)).toBe(`${16 * MIB}\n`);
    expect(served.said.error).toBe('');
  });

  test('warns when the port is open to other machines', async () => {
    for (const [bind, warns] of [
      ['0.0.0.0', true],
      ['::', true],
      ['localhost', false],
      ['127.0.0.2', false],
    ] as const) {
      const served = await serve(['--disksize', '1M', '--port', '0', '--bind', bind]);
      const uri = /nbd:\/\/\S+/.exec(served.line)?.[0] as string;
      expect(await served.stop()).toBe(0);
      expect(served.said.error).toBe(
        warns
          ? `compcache: warning: ${uri} is open to other machines: everyone who reaches it can read and write the whole device\n`
          : '',
      );
    }
  });

  test('does not remove its socket and control socket when another server has replaced them', async () => {
    const folder = temporaryFolder();
    const first = await serve(['--disksize', '1M'], folder);
    rmSync(first.socket);
    rmSync(`${first.socket}.ctl`);
    const second = await serve(['--disksize', '2M'], folder);
    expect(await first.stop()).toBe(0);
    expect(await output('nbdinfo', '--size', second.uri)).toBe(`${2 * MIB}\n`);
    expect((await second.json('--stats')).stats.disksize).toBe(2 * MIB);
    expect(await second.stop()).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('leaves its own backing file behind, and does not change a foreign file', async () => {
    const folder = temporaryFolder();
    const back = join(folder, 'back');
    writeFileSync(back, 'somebody else’s');
    const socket = join(folder, 's');
    const { code, stderr } = await compcache(['serve', '--socket', socket, '--disksize', '1M', '--backing', back]);
    expect(code).toBe(2);
    expect(stderr).toContain('not from compcache');
    expect(readFileSync(back, 'utf8')).toBe('somebody else’s');
    rmSync(back);
    for (let round = 0; round < 2; round++) {
      const served = await serve(['--disksize', '1M', '--backing', back], folder);
      await served.stop();
      expect(statSync(back).size).toBeGreaterThan(MIB);
    }
  });
});

describe('a saved device', () => {
  /** Saves a device, ends its server, and serves it in another process. */
  async function again(served: Served, ...more: string[]): Promise<Served> {
    const image = join(served.folder, 'image');
    const { code, stdout, stderr } = await served.rzscontrol('--save', image);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(`saved: ${statSync(image).size} bytes\n`);
    expect(statSync(image).mode & 0o777).toBe(0o600);
    expect(await served.stop()).toBe(0);
    return serve(['--image', image, ...more], served.folder);
  }

  test.each([
    ['in memory', ['--disksize', '48M', '--allocator', 'zbud', '--codec', 'deflate']],
    ['over a file', ['--disksize', '48M', '--memlimit', '3M', '--recomp', 'lz4hc', '--backing', 'back']],
  ])('%s is served unchanged by another process', async (_, args) => {
    const folder = temporaryFolder();
    const path = (name: string): string => join(folder, name);
    const full = args.map((arg) => (arg === 'back' ? path('back') : arg));
    const first = await serve(full, folder);
    writeFileSync(path('fs'), '');
    truncateSync(path('fs'), 48 * MIB);
    await output('mke2fs', '-q', '-t', 'ext4', '-d', join(ROOT, 'docs'), path('fs'));
    await output('nbdcopy', path('fs'), first.uri);
    const noise = join(folder, 'noise');
    writeFileSync(noise, mixed(4 * MIB));
    await output('qemu-io', '-f', 'raw', '-c', `write -s ${noise} 40M 4M`, first.uri);
    await output('nbdcopy', first.uri, path('before'));
    const { stats } = await first.json('--stats');
    const backing = full.includes('--backing') ? ['--backing', path('back')] : [];
    const second = await again(first, ...backing);
    expect(second.line).toContain(`${48 * MIB} bytes`);
    await output('nbdcopy', second.uri, path('after'));
    expect(Buffer.compare(readFileSync(path('after')), readFileSync(path('before')))).toBe(0);
    await output('e2fsck', '-fn', path('after'));
    const now = (await second.json('--stats')).stats;
    const same = [
      'disksize',
      'memlimit',
      'pagesStored',
      'pagesSame',
      'pagesUsed',
      'comprDataSize',
      'pagesExpand',
      'allocator',
      'codec',
    ] as const;
    for (const key of same as readonly (keyof typeof now)[]) expect([key, now[key]]).toEqual([key, stats[key]]);
    expect(now.bdStat.bdCount).toBe(stats.bdStat.bdCount);
    expect(now.bdStat.bdCount > 0).toBe(backing.length !== 0);
    // The device can be written, saved and served once more.
    await output('qemu-io', '-f', 'raw', '-c', 'write -P 7 12345 3M', second.uri);
    await output('nbdcopy', second.uri, path('before'));
    const third = await again(second, ...backing);
    await output('nbdcopy', third.uri, path('after'));
    expect(Buffer.compare(readFileSync(path('after')), readFileSync(path('before')))).toBe(0);
    await third.json('--reset');
    await third.json('--init', '--disksize_kb', '1024');
    expect(await output('nbdinfo', '--size', third.uri)).toBe(`${MIB}\n`);
    expect(await third.stop()).toBe(0);
    expect(readdirSync(folder).filter((name) => name.includes('tmp') || name.startsWith('s'))).toEqual([]);
  });

  test('is the state of one moment, even while clients write', async () => {
    const served = await serve(['--disksize', '64M']);
    const image = join(served.folder, 'image');
    writeFileSync(join(served.folder, 'in'), mixed(32 * MIB));
    const copies = Promise.all(
      [1, 2, 3].map(async () => output('nbdcopy', '--connections=2', join(served.folder, 'in'), served.uri)),
    );
    const saves = await Promise.all([1, 2].map((n) => served.rzscontrol('--save', `${image}${n}`)));
    expect(saves.map(({ code }) => code)).toEqual([0, 0]);
    await copies;
    await served.json('--compact', '--stats');
    expect(await served.stop()).toBe(0);
    for (const n of [1, 2]) expect(await (await serve(['--image', `${image}${n}`], served.folder)).stop()).toBe(0);
  });

  test('an error of save or restore is one line, and leaves no file', async () => {
    const folder = temporaryFolder();
    const served = await serve([], folder);
    const refused = async ({ code, stdout, stderr }: Outcome, says: RegExp): Promise<void> => {
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(says);
      expect(stderr.trim().split('\n')).toHaveLength(1);
    };
    const image = join(folder, 'image');
    await refused(await served.rzscontrol('--save', image), /not initialised/);
    await served.json('--init', '--disksize_kb', '4096', '--backing_swap', join(folder, 'back'));
    await refused(await served.rzscontrol('--save', join(folder, 'no', 'image')), /cannot write/);
    await refused(await served.rzscontrol('--save', folder), /cannot write/);
    await refused(await served.rzscontrol('--save', image, '--compact'), /together/);
    writeFileSync(join(folder, 'in'), mixed(MIB));
    await output('nbdcopy', join(folder, 'in'), served.uri);
    await served.json('--save', image);
    expect(await served.stop()).toBe(0);
    expect(readdirSync(folder).sort()).toEqual(['back', 'image', 'in']);
    const socket = ['--socket', join(folder, 's')];
    const one = async (...args: string[]): Promise<Outcome> => compcache(['serve', ...socket, ...args]);
    await refused(await one('--image', image), /pages are in a backing store/);
    await refused(await one('--image', image, '--backing', join(folder, 'in')), /not from compcache/);
    await refused(await one('--image', image, '--backing', join(folder, 'none')), /there is no backing file/);
    await refused(await one('--image', image, '--disksize', '1M'), /--disksize comes from the image/);
    await refused(await one('--image', image, '--swap-header'), /--swap-header comes from the image/);
    await refused(await one('--image', join(folder, 'nothing')), /cannot read the image/);
    await refused(await one('--image', folder), /cannot read the image/);
    await refused(await one('--image', join(folder, 'in')), /image/);
    const bytes = readFileSync(image);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
    writeFileSync(join(folder, 'damaged'), bytes);
    await refused(await one('--image', join(folder, 'damaged'), '--backing', join(folder, 'back')), /image/);
    // All this has not changed the backing file.
    expect(await (await serve(['--image', image, '--backing', join(folder, 'back')], folder)).stop()).toBe(0);
    await (await serve(['--image', image, '--backing', join(folder, 'back')], folder)).stop('SIGKILL');
    await refused(
      await one('--image', image, '--backing', join(folder, 'back')),
      /cannot use the backing file .*: the volume was not closed$/m,
    );
  });
});

describe('rzscontrol', () => {
  test('initialises, shows, limits, compacts, marks, recompresses, writes back and resets', async () => {
    const served = await serve([]);
    expect(served.line).toContain('not initialised');
    expect((await run('nbdinfo', '--size', served.uri)).code).not.toBe(0);
    const back = join(served.folder, 'back');
    const settings = [
      '--memlimit_kb',
      '32768',
      '--backing_swap',
      back,
      '--allocator',
      'zsmalloc',
      '--codec',
      'lz4',
      '--recomp',
      'lz4hc,deflate',
      '--swap_header',
    ];
    const { code, stdout } = await served.rzscontrol('--init', '--disksize_kb', '65536', ...settings);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `initialised: ${64 * MIB} bytes\n` });
    writeFileSync(join(served.folder, 'in'), mixed(8 * MIB));
    await output('nbdcopy', join(served.folder, 'in'), served.uri);
    const before = await served.json('--stats');
    expect(before.stats).toMatchObject({
      disksize: 64 * MIB,
      memlimit: 32 * MIB,
      allocator: 'zsmalloc',
      codec: 'lz4',
      pagesStored: 2048,
      mmStat: { memLimit: 32 * MIB },
    });
    expect(await served.json('--idle')).toMatchObject({ idle: { pages: 1024 } });
    expect((await served.json('--recompress', 'all')).recompress).toHaveProperty('pages');
    expect((await served.json('--writeback', 'idle')).writeback).toEqual({ pages: 0 }); // pages that recompression tried are no longer idle
    expect(await served.json('--idle')).toMatchObject({ idle: { pages: 1024 } });
    expect(await served.json('--writeback', 'idle', '--stats')).toMatchObject({
      writeback: { pages: 1024 },
      stats: { bdStat: { bdCount: 2048 }, memUsedTotal: 0 },
    });
    expect(await served.json('--compact')).toEqual({ compact: { pagesCompacted: 0 } });
    expect(await served.json('--memlimit_kb', '0')).toEqual({ memlimit: { memlimit: 0 } });
    const text = await served.rzscontrol('--stats');
    expect(text.stdout).toMatch(/^DiskSize: +65536 kB$/m);
    expect(text.stdout).toMatch(/^BDevPages: +2048$/m);
    await output('nbdcopy', served.uri, join(served.folder, 'out'));
    expect(
      Buffer.compare(
        readFileSync(join(served.folder, 'out')).subarray(0, 8 * MIB),
        readFileSync(join(served.folder, 'in')),
      ),
    ).toBe(0);
    expect(await served.json('--reset')).toEqual({ reset: {} });
    expect((await run('nbdinfo', '--size', served.uri)).code).not.toBe(0);
    await served.json('--init', '--disksize_kb', '1024', '--backing_swap', back);
    expect(await output('nbdinfo', '--size', served.uri)).toBe(`${MIB}\n`);
  });

  test('refuses calls in the wrong order with one line, and changes nothing', async () => {
    const served = await serve([]);
    const refused = async (args: string[], says: RegExp): Promise<void> => {
      const { code, stdout, stderr } = await served.rzscontrol(...args);
      expect({ args, code, stdout }).toEqual({ args, code: 2, stdout: '' });
      expect(stderr).toMatch(says);
      expect(stderr.trim().split('\n')).toHaveLength(1);
    };
    for (const order of ['--stats', '--compact', '--reset', '--idle']) await refused([order], /not initialised/);
    await refused([], /nothing to do/);
    await refused(['--init'], /--disksize_kb/);
    await refused(['--disksize_kb', '1024'], /nothing to do|--init/);
    await refused(['--init', '--reset', '--disksize_kb', '1024'], /together/);
    await refused(['--init', '--disksize_kb', '0'], /whole number/);
    await refused(['--init', '--disksize_kb', 'x'], /whole number/);
    await refused(['--init', '--disksize_kb', '1024', '--allocator', 'slab'], /allocator/);
    await refused(['--compact', '--allocator', 'zbud'], /--init/);
    await refused(['--writeback', 'everything'], /writeback/);
    await refused(['--init', '--disksize_kb', '1024', '--backing_swap', '/nonexistent/x'], /./);
    await served.json('--init', '--disksize_kb', '1024');
    await refused(['--init', '--disksize_kb', '2048'], /initialised/);
    await refused(['--writeback', 'idle'], /backing/);
    await refused(['--recompress', 'idle'], /codecs/);
    expect((await served.json('--stats')).stats).toMatchObject({ disksize: MIB });
  });

  test('does not reset a device that a client uses', async () => {
    const served = await serve(['--disksize', '1M']);
    const client = await RawClient.going({ address: { path: served.socket } });
    const { code, stderr } = await served.rzscontrol('--reset');
    expect(code).toBe(2);
    expect(stderr).toContain('1 client uses');
    await client.disconnect();
    await served.json('--reset');
  });

  test('accepts the path of the control socket as well', async () => {
    const folder = temporaryFolder();
    const control = join(folder, 'X');
    const served = await serve(['--disksize', '1M', '--port', '0', '--control', control], folder);
    const { code, stdout, stderr } = await compcache(['rzscontrol', control, '--json', '--stats']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect((JSON.parse(stdout) as Answers).stats.disksize).toBe(MIB);
    expect((await compcache(['rzscontrol', 'nowhere', '--control', control, '--reset', '--json'])).code).toBe(0);
    // The device answers ENODEV. This must not be taken for a missing server.
    expect((await compcache(['rzscontrol', control, '--compact'])).stderr).toContain('not initialised');
    await served.stop();
    const after = await compcache(['rzscontrol', control, '--stats']);
    expect(after.code).toBe(2);
    expect(after.stderr).toContain(`no server listens on ${control}.ctl or ${control}`);
    const other = await serve([], folder);
    expect((await compcache(['rzscontrol', `${other.socket}.ctl`, '--init', '--disksize_kb', '1024'])).code).toBe(0);
  });

  test('reports that no server listens', async () => {
    const folder = temporaryFolder();
    const { code, stderr } = await compcache(['rzscontrol', join(folder, 'nothing'), '--stats']);
    expect({ code, lines: stderr.trim().split('\n').length }).toEqual({ code: 2, lines: 1 });
    const silent = createServer().listen(join(folder, 'other.ctl'));
    await once(silent, 'listening');
    silent.on('connection', (socket) => socket.end('nonsense\n'));
    expect((await compcache(['rzscontrol', join(folder, 'other'), '--stats'])).code).toBe(2);
    silent.close();
  });
});

describe('a long control request', () => {
  const DISK = 48 * MIB;

  /** A device full of pages that lz4hc makes smaller, with a backing file, and a client. */
  async function full(): Promise<{ served: Served; client: RawClient; bytes: Buffer }> {
    const folder = temporaryFolder();
    const served = await serve(
      ['--disksize', `${DISK}`, '--recomp', 'lz4hc', '--backing', join(folder, 'back')],
      folder,
    );
    const client = await RawClient.going({ address: { path: served.socket } });
    ends.unshift(async () => client.vanish());
    const bytes = mixedText(DISK);
    for (let at = 0; at < DISK; at += MIB)
      expect(await client.request({ command: WRITE, offset: at, payload: bytes.subarray(at, at + MIB) })).toBe(0);
    return { served, client, bytes };
  }

  /**
   * Reads one page after the other until a control request has been answered. @returns the answer, and the number of
   * reads
   */
  async function beside(
    order: Promise<unknown>,
    client: RawClient,
    bytes: Buffer,
  ): Promise<{ answer: unknown; reads: number }> {
    let over = false;
    const ended = order.finally(() => (over = true));
    ended.catch(() => undefined);
    let reads = 0;
    for (; !over; reads++) {
      const offset = ((reads * 1031) % (DISK / PAGE)) * PAGE;
      const data = await client.read(offset, PAGE);
      expect(Buffer.compare(data, bytes.subarray(offset, offset + PAGE))).toBe(0);
    }
    return { answer: await ended, reads };
  }

  test('does not block reads; other control requests wait for it', async () => {
    const { served, client, bytes } = await full();
    const ctl = `${served.socket}.ctl`;
    expect(await askControl(ctl, 'idle')).toEqual({ pages: DISK / PAGE });
    const alone = await Ramzswap.create({ disksize: DISK, recompCodecs: ['lz4hc'] });
    alone.write(0, bytes);
    const recompress = await beside(askControl(ctl, 'recompress'), client, bytes);
    expect(recompress.answer).toEqual({ pages: alone.recompress() });
    expect(await askControl(ctl, 'stats')).toMatchObject({ comprDataSize: alone.stats().comprDataSize });
    await alone.close();
    expect(recompress.reads).toBeGreaterThan(100);
    const [writeback, compact, stats] = [
      askControl(ctl, 'writeback', { type: 'huge_idle' }),
      askControl(ctl, 'compact'),
      askControl(ctl, 'stats'),
    ];
    expect(await writeback).toEqual({ pages: 0 });
    expect(await compact).toHaveProperty('pagesCompacted');
    expect(await stats).toMatchObject({ pagesStored: DISK / PAGE });
    await askControl(ctl, 'idle');
    const moved = await beside(askControl(ctl, 'writeback', { type: 'idle' }), client, bytes);
    expect((moved.answer as { pages: number }).pages).toBeGreaterThan(DISK / PAGE / 2); // pages that were read meanwhile are not idle
    expect(moved.reads).toBeGreaterThan(20);
    await client.disconnect();
    expect(await askControl(ctl, 'reset')).toEqual({});
    await expect(askControl(ctl, 'compact')).rejects.toMatchObject({ code: 'ENODEV' });
  });

  test('goes on when its client disconnects; requests behind it are carried out in order; statistics and signals do not wait', async () => {
    const { served, client, bytes } = await full();
    const ctl = `${served.socket}.ctl`;
    const gone = connect({ path: ctl });
    gone.write('{"op":"recompress"}\n');
    await client.read(0, PAGE);
    gone.destroy();
    const order: string[] = [];
    const idle = askControl(ctl, 'idle').then(() => order.push('idle'));
    const stats = askControl(ctl, 'stats').then(() => order.push('stats'));
    expect((await beside(Promise.all([idle, stats]), client, bytes)).reads).toBeGreaterThan(100);
    expect(order).toEqual(['stats', 'idle']);
    const refused = askControl(ctl, 'reset').catch((error: unknown) => (error as { code: string }).code);
    expect(await refused).toBe('EBUSY'); // because of the client
    const again = askControl(ctl, 'recompress', {}).catch(() => undefined);
    expect(await served.stop()).toBe(0);
    await again;
    expect(served.said.error).toBe('');
  });
});

test('serve needs a place to listen; settings need a device', async () => {
  const folder = temporaryFolder();
  for (const args of [
    [],
    ['--socket', join(folder, 's'), '--port', '0'],
    ['--socket', join(folder, 's'), '--bind', '::1'],
    ['--socket', join(folder, 's'), '--memlimit', '1M'],
    ['--socket', join(folder, 's'), '--disksize', 'much'],
    ['--port', '70000'],
  ]) {
    const { code, stderr } = await compcache(['serve', ...args]);
    expect({ args, code }).toEqual({ args, code: 2 });
    expect(stderr.trim().split('\n')).toHaveLength(1);
  }
});
