/** The addresses that the server listens on, its socket files, and its end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import type { CompcacheError } from '../../bindings/errors.ts';
import { serveNbd, type NbdServerOptions } from '../../cli/nbd/index.ts';
import { MemoryDevice } from './memory-device.ts';
import { FLUSH, READ, RawClient, WRITE, requestBytes } from './raw-client.ts';
import { MIB, expectAlive, serve, temporaryFolder, until, watchStrays } from './serving.ts';

watchStrays();

async function codeOf(options: Partial<NbdServerOptions>): Promise<string> {
  return serveNbd({ device: new MemoryDevice(MIB), ...options }).then(
    async (server) => {
      await server.close();
      return 'served';
    },
    (error: CompcacheError) => error.code,
  );
}

/** Leaves a socket file that no process listens on, as a killed server does. */
async function leaveStale(path: string): Promise<void> {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', script], { stdio: 'ignore' }), 'exit');
}

describe('a Unix socket', () => {
  test('exists until the end, for this user only', async () => {
    const path = join(temporaryFolder(), 'a socket');
    const before = process.umask(0);
    const server = await serve({ socket: path });
    expect(process.umask(before)).toBe(0);
    expect(lstatSync(path).isSocket()).toBe(true);
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    expect(server.address).toEqual({ path });
    expect(server.uri).toBe(`nbd+unix:///?socket=${path.replace(' ', '%20')}`);
    await expectAlive(server);
    await server.close();
    expect(existsSync(path)).toBe(false);
  });

  test('that a killed server left behind is replaced', async () => {
    const path = join(temporaryFolder(), 's');
    await leaveStale(path);
    expect(lstatSync(path).isSocket()).toBe(true);
    await expectAlive(await serve({ socket: path }));
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
  });

  test('that another server listens on is not replaced: EBUSY', async () => {
    const server = await serve();
    const path = 'path' in server.address ? server.address.path : '';
    expect(await codeOf({ socket: path })).toBe('EBUSY');
    await expectAlive(server);
  });

  test('does not replace another kind of file: EEXIST', async () => {
    const folder = temporaryFolder();
    const file = join(folder, 'file');
    writeFileSync(file, 'precious');
    mkdirSync(join(folder, 'folder'));
    symlinkSync(file, join(folder, 'link'));
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'));
    for (const name of ['file', 'folder', 'link', 'dangling'])
      expect(await codeOf({ socket: join(folder, name) }), name).toBe('EEXIST');
    expect(readFileSync(file, 'utf8')).toBe('precious');
  });

  test('is not removed at the end when another server has replaced it', async () => {
    const path = join(temporaryFolder(), 's');
    const first = await serve({ socket: path });
    const user = await RawClient.going(first);
    unlinkSync(path);
    const second = await serve({ socket: path });
    await first.close();
    expect(await user.rest()).toEqual(Buffer.alloc(0));
    expect(lstatSync(path).isSocket()).toBe(true);
    await expectAlive(second);
    await second.close();
    expect(existsSync(path)).toBe(false);
  });

  test('is not removed at the end when it is gone or a regular file now', async () => {
    const path = join(temporaryFolder(), 's');
    for (const replace of [
      () => writeFileSync(path, 'precious'),
      () => {},
      () => rmSync(dirname(path), { recursive: true }),
    ]) {
      const server = await serve({ socket: path });
      unlinkSync(path);
      replace();
      await server.close();
      if (existsSync(path)) expect(readFileSync(path, 'utf8')).toBe('precious');
      rmSync(path, { force: true });
    }
  });

  test('is the only file that is made, also with the shortest and the longest name', async () => {
    const folder = temporaryFolder();
    const deep = join(folder, 'x'.repeat(107 - 2 - 1 - folder.length - 1));
    mkdirSync(deep);
    expect(join(deep, 'ab')).toHaveLength(107);
    for (const path of [join(folder, 's'), join(deep, 'a'), join(deep, 'ab')]) {
      const server = await serve({ socket: path });
      await expectAlive(server);
      expect(readdirSync(dirname(path)).filter((name) => !name.startsWith('x'))).toEqual([basename(path)]);
      await server.close();
      expect(readdirSync(dirname(path)).filter((name) => !name.startsWith('x'))).toEqual([]);
    }
    expect(await codeOf({ socket: join(folder, 'x'.repeat(20)) })).toBe('served');
    writeFileSync(join(folder, 'file'), '');
    expect(await codeOf({ socket: join(folder, 'file') })).toBe('EEXIST');
    expect(readdirSync(folder).filter((name) => !name.startsWith('x'))).toEqual(['file']);
  });

  test('goes to one server when many try to open it, stale or not', async () => {
    const path = join(temporaryFolder(), 's');
    await leaveStale(path);
    const tries = await Promise.allSettled(
      Array.from({ length: 8 }, () => serveNbd({ device: new MemoryDevice(MIB), socket: path })),
    );
    const servers = tries.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(servers).toHaveLength(1);
    expect(
      tries.flatMap((result) => (result.status === 'rejected' ? [(result.reason as CompcacheError).code] : [])),
    ).toEqual(Array(7).fill('EBUSY'));
    await expectAlive(servers[0]!);
    await servers[0]!.close();
  });

  test('needs an existing folder, and a name that is not too long', async () => {
    const folder = temporaryFolder();
    expect(await codeOf({ socket: join(folder, 'no', 's') })).toBe('ENOENT');
    expect(await codeOf({ socket: join(folder, 'x'.repeat(120)) })).toBe('EINVAL');
    expect(await codeOf({ socket: '' })).toBe('EINVAL');
    expect(await codeOf({ socket: '\0abstract' })).toBe('EINVAL');
    writeFileSync(join(folder, 'file'), '');
    expect(await codeOf({ socket: join(folder, 'file', 's') })).toBe('EINVAL');
  });
});

describe('a port', () => {
  test('is on the loopback address unless an address is given', async () => {
    const server = await serve({ port: 0, exportName: 'a/b' });
    const { host, port } = server.address as { host: string; port: number };
    expect(host).toBe('127.0.0.1');
    expect(port).toBeGreaterThan(0);
    expect(server.uri).toBe(`nbd://127.0.0.1:${port}/a%2Fb`);
    await expectAlive(server);
    await expect(RawClient.connect({ ...server, address: { host: '127.0.0.2', port } })).rejects.toThrow();
  });

  test('can be on another address', async () => {
    const server = await serve({ port: 0, bind: '0.0.0.0' });
    await expectAlive({ ...server, address: { host: '127.0.0.2', port: (server.address as { port: number }).port } });
  });

  test.each([
    ['127.0.0.1', true],
    ['127.1.2.3', true],
    ['localhost', true],
    ['::1', true],
    ['::ffff:127.0.0.1', true],
    ['0.0.0.0', false],
    ['::', false],
  ])('on %s counts as local: %s', async (bind, isLocal) => {
    expect((await serve({ port: 0, bind })).isLocal).toBe(isLocal);
  });

  test('that is in use is EBUSY; an address of another machine is EINVAL', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void other.close());
    await once(other, 'listening');
    expect(await codeOf({ port: (other.address() as { port: number }).port })).toBe('EBUSY');
    expect(await codeOf({ port: 0, bind: '192.0.2.1' })).toBe('EINVAL');
  });
});

test.each<Partial<NbdServerOptions>>([
  {},
  { socket: '/tmp/x', port: 1 },
  { socket: '/tmp/x', bind: '127.0.0.1' },
  { port: -1 },
  { port: 65536 },
  { port: 1.5 },
  { port: 0, bind: '' },
  { port: 0, exportName: 'x\0' },
  { port: 0, exportName: 'x'.repeat(4097) },
  { port: 0, description: 'x'.repeat(4097) },
])('with options %j is EINVAL', async (options) => {
  expect(await codeOf(options)).toBe('EINVAL');
});

describe('close', () => {
  test('answers calls under way, refuses new ones, flushes, and gives one promise', async () => {
    const device = new MemoryDevice(MIB);
    const server = await serve({ device });
    let finish = (): void => {};
    device.before = (call) => (call === 'write' ? new Promise((resolve) => (finish = resolve)) : undefined);
    const client = await RawClient.going(server);
    const idle = await RawClient.going(server);
    const negotiating = await RawClient.greeted(server);
    client.send(requestBytes({ command: WRITE, payload: Buffer.from('hello'), cookie: 1n }));
    await until(() => device.calls.length === 1, 'the write');
    const closing = server.close();
    expect(server.close()).toBe(closing);
    client.send(
      requestBytes({ command: READ, length: 5, cookie: 2n }),
      requestBytes({ command: WRITE, payload: Buffer.from('x'), cookie: 3n }),
    );
    expect(await client.reply()).toMatchObject({ error: 108, cookie: 2n });
    expect(await client.reply()).toMatchObject({ error: 108, cookie: 3n });
    finish();
    expect(await client.reply()).toMatchObject({ error: 0, cookie: 1n });
    for (const one of [client, idle, negotiating]) expect(await one.rest()).toEqual(Buffer.alloc(0));
    await closing;
    expect(device.calls.map(({ call }) => call)).toEqual(['write', 'flush']);
    expect(Buffer.from(device.bytes.subarray(0, 5)).toString()).toBe('hello');
    expect(server.connections).toBe(0);
    await expect(RawClient.connect(server)).rejects.toThrow();
  });

  test('waits only a limited time for clients that send, stall or do not read', async () => {
    const device = new MemoryDevice(32 * MIB);
    const server = await serve({ device, closeTimeout: 200 });
    const deaf = await RawClient.going(server);
    deaf.socket.pause();
    deaf.send(requestBytes({ command: READ, length: 32 * MIB }));
    const stalled = await RawClient.going(server);
    stalled.send(requestBytes({ command: WRITE, length: 100 }));
    const loud = await RawClient.going(server);
    const timer = setInterval(() => loud.socket.writable && loud.send(requestBytes({ command: FLUSH })), 1);
    await until(() => device.calls.some(({ call }) => call === 'read'), 'the read');
    await server.close();
    clearInterval(timer);
    expect(server.connections).toBe(0);
    deaf.vanish();
  });

  test('waits only a limited time for the device', async () => {
    const device = new MemoryDevice(MIB);
    const server = await serve({ device, closeTimeout: 100 });
    device.before = (call) => (call === 'read' ? new Promise(() => {}) : undefined);
    const client = await RawClient.going(server);
    client.send(requestBytes({ command: READ, length: 1 }));
    await until(() => device.calls.length === 1, 'the read');
    await server.close();
    expect(await client.rest()).toEqual(Buffer.alloc(0));
  });

  test('reports a flush that fails, after everything else is done', async () => {
    const device = new MemoryDevice(MIB);
    const path = join(temporaryFolder(), 's');
    const server = await serveNbd({ device, socket: path });
    device.fail('flush', 'EIO');
    await expect(server.close()).rejects.toMatchObject({ code: 'EIO' });
    expect(existsSync(path)).toBe(false);
  });

  test('does not flush a device that is not initialised', async () => {
    const device = new MemoryDevice(MIB);
    const server = await serve({ device });
    device.isReady = false;
    await server.close();
    expect(device.calls).toEqual([]);
  });
});

describe('a process', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)('ends in order at %s', async (signal) => {
    const path = join(temporaryFolder(), 's');
    const child = spawn(process.execPath, [join(inject('programs'), 'serve-child.mjs'), path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    await until(() => output.includes('ready'), 'the server');
    const client = await RawClient.going({ address: { path } } as never);
    client.send(requestBytes({ command: WRITE, payload: Buffer.alloc(10) })); // the device needs some time
    await until(() => output.includes('write'), 'the write');
    child.kill(signal);
    expect((await client.reply()).error).toBe(0);
    const [code] = (await once(child, 'close')) as [number];
    expect(output.trim().split('\n')).toEqual(['ready', 'write', signal, 'flush', 'closed']);
    expect(code).toBe(0);
    expect(existsSync(path)).toBe(false);
  });
});
