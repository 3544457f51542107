/** Real clients: those of libnbd and QEMU, and file systems on top of them. */
import { randomFillSync } from 'node:crypto';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { serveNbd, type NbdServer } from '../../cli/nbd/index.ts';
import { MemoryDevice, later } from './memory-device.ts';
import { output, run, start as startProgram } from './programs.ts';
import { MIB, expectAlive, serve, temporaryFolder, until, watchStrays } from './serving.ts';

watchStrays();

async function start(
  size: number,
  options: { before?: MemoryDevice['before']; port?: number } = {},
): Promise<{ device: MemoryDevice; server: NbdServer; folder: string; uri: string }> {
  const device = new MemoryDevice(size);
  if (options.before !== undefined) device.before = options.before;
  const server = await serve({ device, ...(options.port === undefined ? {} : { port: options.port }) });
  return { device, server, folder: temporaryFolder(), uri: server.uri };
}

function randomFile(path: string, size: number): Buffer {
  const bytes = randomFillSync(Buffer.alloc(size));
  writeFileSync(path, bytes);
  return bytes;
}

describe('nbdinfo', () => {
  test.each([
    ['a Unix socket', {}],
    ['TCP', { port: 0 }],
  ])('over %s shows what the server can do', async (_, where) => {
    const { uri } = await serve({ exportName: 'a ram', description: 'a RAM', ...where });
    const { exports, protocol, structured, TLS } = JSON.parse(await output('nbdinfo', '--json', uri)) as {
      exports: object[];
      protocol: string;
      structured: boolean;
      TLS: boolean;
    };
    expect({ protocol, structured, TLS }).toEqual({ protocol: 'newstyle-fixed', structured: false, TLS: false });
    expect(exports[0]).toMatchObject({
      'export-name': 'a ram',
      description: 'a RAM',
      'export-size': MIB,
      is_read_only: false,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      can_fast_zero: true,
      can_df: false,
      can_cache: false,
      block_size_minimum: 1,
      block_size_preferred: 4096,
      block_size_maximum: 32 * MIB,
    });
  });

  test('lists the export, and none while there is no device', async () => {
    const device = new MemoryDevice(MIB);
    const { uri } = await serve({ device, exportName: 'ram' });
    const list = async (): Promise<string[]> =>
      (
        JSON.parse(await output('nbdinfo', '--json', '--list', uri)) as { exports: { 'export-name': string }[] }
      ).exports.map((found) => found['export-name']);
    expect(await list()).toEqual(['ram']);
    device.isReady = false;
    expect(await list()).toEqual([]);
    expect((await run('nbdinfo', '--size', uri)).code).not.toBe(0);
  });

  test('does not find an export of another name', async () => {
    const { uri } = await serve({ exportName: 'ram' });
    expect((await run('nbdinfo', '--size', uri.replace('/ram', '/other'))).stderr).toContain("no export named 'other'");
  });
});

describe('nbdcopy', () => {
  test.each([
    ['at once', undefined],
    ['with promises', later()],
  ])('copies in and out, four connections at a time, on a device that answers %s', async (_, before) => {
    const { device, uri, folder } = await start(64 * MIB, { before });
    const bytes = randomFile(join(folder, 'in'), 64 * MIB);
    await output('nbdcopy', '--connections=4', '--requests=64', '--flush', join(folder, 'in'), uri);
    expect(Buffer.compare(device.bytes, bytes)).toBe(0);
    expect(device.calls.at(-1)?.call).toBe('flush');
    await output('nbdcopy', '--connections=4', uri, join(folder, 'out'));
    expect(Buffer.compare(readFileSync(join(folder, 'out')), bytes)).toBe(0);
  });

  test('copies a file with holes, and from one server to another', async () => {
    const { device, uri, folder } = await start(32 * MIB);
    device.bytes.fill(0xff);
    const bytes = randomFile(join(folder, 'in'), MIB);
    truncateSync(join(folder, 'in'), 32 * MIB);
    await output('nbdcopy', '--allocated', join(folder, 'in'), uri);
    expect(Buffer.compare(device.bytes, Buffer.concat([bytes, Buffer.alloc(31 * MIB)]))).toBe(0);
    const other = await start(32 * MIB);
    other.device.bytes.fill(0xff);
    await output('nbdcopy', uri, other.uri);
    expect(Buffer.compare(other.device.bytes, device.bytes)).toBe(0);
    expect(other.device.calls.some(({ call }) => call === 'writeZeroes')).toBe(true);
  });

  test('fails on a full device, and other clients can continue', async () => {
    const { device, uri, folder, server } = await start(8 * MIB);
    randomFile(join(folder, 'in'), 8 * MIB);
    device.fail('write', 'ENOSPC');
    const { code, stderr } = await run('nbdcopy', join(folder, 'in'), uri);
    expect(code).not.toBe(0);
    expect(stderr).toContain('No space left on device');
    device.before = () => {};
    await output('nbdcopy', join(folder, 'in'), uri);
    await expectAlive(server);
  });

  test('fails when the server ends', async () => {
    const device = new MemoryDevice(64 * MIB);
    const folder = temporaryFolder();
    const server = await serveNbd({ device, socket: join(folder, 's') });
    device.before = () => new Promise((resolve) => setTimeout(resolve, 5));
    randomFile(join(folder, 'in'), 64 * MIB);
    const copy = run('nbdcopy', join(folder, 'in'), server.uri);
    await until(() => device.calls.length > 10, 'some writes');
    await server.close();
    expect((await copy).code).not.toBe(0);
    expect(device.calls.at(-1)?.call).toBe('flush');
  });
});

describe('QEMU', () => {
  const io = (uri: string, ...commands: string[]): Promise<string> =>
    output('qemu-io', '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri);

  test.each([
    ['a Unix socket', {}],
    ['TCP', { port: 0 }],
    ['a Unix socket, with promises', { before: later() }],
  ])('qemu-io writes patterns and verifies them, at any offset, over %s', async (_, options) => {
    const { device, uri } = await start(64 * MIB, options);
    const text = await io(
      uri,
      'write -P 0x11 0 64M',
      'write -P 0x5a 513 5000',
      'read -P 0x5a 513 5000',
      'read -P 0x11 0 513',
      'write -f -P 0x22 40000000 70000',
      'read -P 0x22 40000000 70000',
      'write -z 4096 1M',
      'read -P 0 4096 1M',
      'write -z -u 2M 3M',
      'read -P 0 2M 3M',
      'write -z 6000000 100',
      'read -P 0 6000000 100',
      'discard 8M 4M',
      'aio_write -P 0x33 16M 1M',
      'aio_write -P 0x44 17M 1M',
      'aio_flush',
      'read -P 0x33 16M 1M',
      'read -P 0x44 17M 1M',
      'flush',
    );
    expect(text).not.toMatch(/failed|error|Pattern/i);
    expect(device.calls.some(({ call }) => call === 'trim')).toBe(true);
    expect(device.calls.some(({ call, mayTrim }) => call === 'writeZeroes' && mayTrim === true)).toBe(true);
    expect(device.calls.some(({ call, mayTrim }) => call === 'writeZeroes' && mayTrim === false)).toBe(true);
    expect(device.calls.some(({ call }) => call === 'flush')).toBe(true);
  });

  test('qemu-io shows each error by its name', async () => {
    const { device, uri } = await start(MIB);
    for (const [call, code, words] of [
      ['read', 'EIO', 'Input/output error'],
      ['write', 'ENOMEM', 'No space left on device'],
      ['write', 'ENOSPC', 'No space left on device'],
      ['write', 'ERANGE', 'Invalid argument'],
    ] as const) {
      device.fail(call, code);
      const { stdout, stderr } = await run('qemu-io', '-f', 'raw', '-c', `${call} 0 4096`, uri);
      expect(stdout + stderr, `${call} ${code}`).toContain(words);
      device.before = () => {};
    }
  });

  test('qemu-img makes a qcow2 image on the device, converts into and out of it, checks and compares', async () => {
    const { uri, folder } = await start(64 * MIB);
    const [raw, back] = [join(folder, 'raw'), join(folder, 'back')];
    randomFile(raw, 5 * MIB);
    truncateSync(raw, 40 * MIB);
    await output('qemu-img', 'create', '-f', 'qcow2', uri, '40M');
    expect(JSON.parse(await output('qemu-img', 'info', '--output=json', uri))).toMatchObject({
      format: 'qcow2',
      'virtual-size': 40 * MIB,
    });
    await output('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'qcow2', raw, uri);
    await output('qemu-img', 'check', '-f', 'qcow2', uri);
    expect(await output('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', raw, uri)).toContain('Images are identical');
    await output('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', uri, back);
    expect(Buffer.compare(readFileSync(back), readFileSync(raw))).toBe(0);
  });

  test('qemu-img converts a raw image, many requests out of order', async () => {
    const { device, uri, folder } = await start(64 * MIB, { before: later() });
    const bytes = randomFile(join(folder, 'raw'), 64 * MIB);
    await output('qemu-img', 'convert', '-n', '-W', '-m', '16', '-f', 'raw', '-O', 'raw', join(folder, 'raw'), uri);
    expect(Buffer.compare(device.bytes, bytes)).toBe(0);
    expect(device.mostAtOnce).toBeGreaterThan(1);
    expect(await output('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', join(folder, 'raw'), uri)).toContain(
      'Images are identical',
    );
  });
});

describe('several clients at the same time', () => {
  test('each read what they have written', async () => {
    const { uri } = await start(64 * MIB, { before: later() });
    await Promise.all(
      Array.from({ length: 8 }, (_, i) => {
        const [at, pattern] = [`${i * 8}M`, `${i + 1}`];
        return output(
          'qemu-io',
          '-f',
          'raw',
          ...['write', 'read'].flatMap((what) => ['-c', `${what} -P ${pattern} ${at} 8M`]),
          '-c',
          'flush',
          '-c',
          `read -P ${pattern} ${at} 8M`,
          uri,
        ).then((text) => expect(text).not.toMatch(/failed|Pattern/));
      }),
    );
  });

  test('are not affected when others are killed', async () => {
    const { device, server, uri, folder } = await start(64 * MIB, {
      before: () => new Promise((resolve) => setTimeout(resolve, 1)),
    });
    randomFile(join(folder, 'in'), 64 * MIB);
    const good = run(
      'qemu-io',
      '-f',
      'raw',
      '-c',
      'aio_read 0 64M',
      '-c',
      'aio_flush',
      '-c',
      'read 0 64M',
      '-c',
      'flush',
      uri,
    );
    for (const args of [
      [join(folder, 'in'), uri],
      [uri, join(folder, 'out')],
    ]) {
      const before = device.calls.length;
      const copy = startProgram('nbdcopy', ...args);
      await until(() => device.calls.length > before + 20, 'some requests');
      copy.kill();
      expect((await copy.ended).code).toBe(null);
    }
    expect((await good).code).toBe(0);
    await until(() => server.connections === 0, 'the end of all connections');
    await expectAlive(server);
  });
});

describe('a file system', () => {
  test('ext4 is copied in, read back, checked, and its files are whole', async () => {
    const { uri, folder } = await start(64 * MIB);
    const [image, back] = [join(folder, 'image'), join(folder, 'back')];
    mkdirSync(join(folder, 'root/inner'), { recursive: true });
    const bytes = randomFile(join(folder, 'root/inner/random'), 3 * MIB);
    writeFileSync(join(folder, 'root/text'), 'a text\n'.repeat(10_000));
    await output('mke2fs', '-q', '-t', 'ext4', '-L', 'compcache', '-d', join(folder, 'root'), image, '64M');
    await output('nbdcopy', image, uri);
    await output('nbdcopy', uri, back);
    expect(Buffer.compare(readFileSync(back), readFileSync(image))).toBe(0);
    await output('e2fsck', '-f', '-n', back);
    expect(await output('blkid', '-p', '-o', 'export', back)).toMatch(/^LABEL=compcache$[^]*^TYPE=ext4$/m);
    expect(await output('file', '-b', back)).toContain('ext4 filesystem data');
    await output('debugfs', '-R', `dump /inner/random ${join(folder, 'random')}`, back);
    expect(Buffer.compare(readFileSync(join(folder, 'random')), bytes)).toBe(0);
  });
});
