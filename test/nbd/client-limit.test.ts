/** A server with the most connections: which client must go, which is told so, and which is never dropped. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { askControl, serveControl, type ControlHandler, type NbdServer } from '../../cli/nbd/index.ts';
import { MemoryDevice } from './memory-device.ts';
import { output, run } from './programs.ts';
import {
  ABORT,
  ACK,
  ERR_POLICY,
  ERR_UNSUP,
  EXPORT_NAME,
  GO,
  INFO,
  LIST,
  READ,
  RawClient,
  WRITE,
  infoData,
  optionBytes,
  requestBytes,
  u32,
} from './raw-client.ts';
import { MIB, expectAlive, serve, temporaryFolder, until, watchStrays } from './serving.ts';

watchStrays();

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('clients that have not chosen the export', () => {
  test.each<[string, (server: NbdServer) => Promise<RawClient>]>([
    ['say nothing', (server) => RawClient.connect(server)],
    ['only send their flags', (server) => RawClient.greeted(server)],
    [
      'stop in an option',
      async (server) => {
        const client = await RawClient.greeted(server);
        client.send(optionBytes(GO, infoData('')).subarray(0, 20));
        return client;
      },
    ],
    [
      'ask for the list and no more',
      async (server) => {
        const client = await RawClient.greeted(server);
        await client.option(LIST);
        return client;
      },
    ],
    [
      'do not close after the end',
      async (server) => {
        const client = await RawClient.greeted(server);
        client.socket.allowHalfOpen = true;
        await client.option(ABORT);
        return client;
      },
    ],
  ])('and %s do not keep others out, however many there are', async (_what, idle) => {
    const server = await serve();
    for (let i = 0; i < 200; i++) {
      await idle(server);
      expect(server.connections).toBeLessThanOrEqual(64);
    }
    for (let i = 0; i < 70; i++) await expectAlive(server);
    expect(await output('nbdinfo', '--size', server.uri)).toBe(`${MIB}\n`);
  });

  test('are dropped in the order of their last message', async () => {
    const server = await serve({ maxConnections: 3 });
    const clients = [
      await RawClient.greeted(server),
      await RawClient.greeted(server),
      await RawClient.greeted(server),
    ] as const;
    await pause(5);
    await clients[0].option(LIST);
    await pause(5);
    await RawClient.greeted(server);
    await clients[1].rest();
    await RawClient.greeted(server);
    await clients[2].rest();
    expect((await clients[0].option(LIST)).at(-1)?.type).toBe(ACK);
  });

  test('are dropped to make room, but clients that have chosen are not', async () => {
    const server = await serve({ maxConnections: 4 });
    const mounted = [await RawClient.going(server), await RawClient.going(server), await RawClient.going(server)];
    for (let i = 0; i < 50; i++) await RawClient.connect(server);
    const last = await RawClient.going(server);
    for (const client of [...mounted, last]) expect(await client.read(0, 10)).toHaveLength(10);
    expect(server.users).toBe(4);
  });

  test('are dropped after the negotiation timeout, whatever they send', async () => {
    const server = await serve({ negotiationTimeout: 200 });
    const client = await RawClient.greeted(server);
    const timer = setInterval(() => client.socket.writable && client.send(optionBytes(5)), 20);
    onTestFinished(() => clearInterval(timer));
    await until(() => server.connections === 0, 'the end of the connection');
    client.vanish();
  });
});

describe('when all connections are in use', () => {
  async function full(): Promise<{ server: NbdServer; users: RawClient[] }> {
    const server = await serve();
    const users = await Promise.all(Array.from({ length: 64 }, () => RawClient.going(server)));
    return { server, users };
  }

  test('a new client is told so and disconnected, and no other client is dropped', async () => {
    const { server, users } = await full();
    for (const [option, data] of [
      [GO, infoData('')],
      [INFO, infoData('')],
      [LIST, Buffer.alloc(0)],
    ] as const) {
      const client = await RawClient.greeted(server);
      expect((await client.option(5))[0]?.type).toBe(ERR_UNSUP); // structured replies: most clients ask for them first
      const [reply] = await client.option(option, data);
      expect(reply).toMatchObject({ option, type: ERR_POLICY });
      expect(reply?.data.toString()).toContain('all 64 connections are in use');
      await client.rest();
    }
    const client = await RawClient.greeted(server);
    expect((await client.option(ABORT))[0]?.type).toBe(ACK);
    const old = await RawClient.greeted(server);
    old.send(optionBytes(EXPORT_NAME));
    expect(await old.rest()).toEqual(Buffer.alloc(0));
    const { code, stderr } = await run('nbdinfo', '--size', server.uri);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/policy|places/);
    expect((await run('qemu-io', '-f', 'raw', '-c', 'read 0 512', server.uri)).stderr).toContain(
      'all 64 connections are in use',
    );
    expect(server.users).toBe(64);
    for (const user of users) expect(await user.read(0, 10)).toHaveLength(10);
  });

  test('many new clients do no harm, and one is accepted when another leaves', async () => {
    const { server, users } = await full();
    const clients: RawClient[] = [];
    for (let i = 0; i < 200; i++) clients.push(await RawClient.connect(server));
    const told = await RawClient.greeted(server);
    expect((await told.option(GO, infoData('')))[0]?.type).toBe(ERR_POLICY);
    expect(server.connections).toBe(64);
    for (const client of clients.slice(0, 150)) await client.rest();
    for (const user of users) expect(await user.read(0, 10)).toHaveLength(10);
    await users[5]?.disconnect();
    await until(() => server.connections === 63, 'room');
    await expectAlive(server);
  });

  test('the server can still be closed', async () => {
    const { server, users } = await full();
    const waiting = await RawClient.connect(server);
    await server.close();
    for (const client of [waiting, ...users]) await client.rest();
  });
});

describe('a client in transmission', () => {
  test('that sends a byte now and then is dropped after ten times the time', async () => {
    const server = await serve({ stallTimeout: 100 });
    const good = await RawClient.going(server);
    const client = await RawClient.going(server);
    client.send(requestBytes({ command: WRITE, length: MIB }));
    const timer = setInterval(() => client.socket.writable && client.send(Buffer.alloc(1)), 20);
    onTestFinished(() => clearInterval(timer));
    await until(() => server.connections === 1, 'the end of the connection');
    expect(await good.read(0, 10)).toHaveLength(10);
  });

  test('that reads some bytes now and then is dropped after ten times the time', async () => {
    const server = await serve({ device: new MemoryDevice(32 * MIB), stallTimeout: 100 });
    const client = await RawClient.going(server);
    client.socket.on('data', () => void client.socket.pause());
    client.send(requestBytes({ command: READ, length: 32 * MIB }));
    const timer = setInterval(() => client.socket.resume(), 20);
    onTestFinished(() => clearInterval(timer));
    await until(() => server.connections === 0, 'the end of the connection');
    expect(client.socket.bytesRead).toBeLessThan(16 * MIB);
    client.vanish();
  });

  test('that is slow but continues is not dropped', async () => {
    const server = await serve({ stallTimeout: 50 });
    const client = await RawClient.going(server);
    const bytes = Buffer.concat(
      Array.from({ length: 30 }, (_, i) =>
        requestBytes({ command: WRITE, offset: 8 * i, payload: Buffer.alloc(8, i + 1) }),
      ),
    );
    for (let at = 0; at < bytes.length; at += 15) {
      client.send(bytes.subarray(at, at + 15));
      await pause(12);
    }
    for (let i = 0; i < 30; i++) expect((await client.reply()).error).toBe(0);
    expect((await client.read(0, 240))[232]).toBe(30);
  });

  test.runIf(process.platform === 'linux')('is watched by TCP keepalive', async () => {
    const server = await serve({ port: 0 });
    const { port } = server.address as { port: number };
    const client = await RawClient.going(server);
    await client.read(0, 10);
    await until(() => isKeptAlive(port), 'the timer');
    client.vanish();
  });
});

/** True when the established connections of a server's port have the keepalive timer (2). */
function isKeptAlive(port: number): boolean {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = readFileSync('/proc/net/tcp', 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const own = rows.filter(([, from, , state]) => from?.endsWith(local) === true && state === '01');
  return own.length > 0 && own.every((row) => row[5]?.startsWith('02:') === true);
}

describe('the control socket, at its limit of connections', () => {
  async function control(handlers: Record<string, ControlHandler>, idleTimeout?: number): Promise<string> {
    const path = join(temporaryFolder(), 'ctl');
    const server = await serveControl({ path, handlers, ...(idleTimeout === undefined ? {} : { idleTimeout }) });
    onTestFinished(() => server.close());
    return path;
  }

  async function client(path: string, bytes: string): Promise<Socket & { text: string }> {
    const socket = Object.assign(connect({ path }), { text: '' });
    socket.on('error', () => {});
    onTestFinished(() => void socket.destroy());
    socket.setEncoding('utf8').on('data', (more: string) => (socket.text += more));
    await once(socket, 'connect');
    if (bytes !== '') socket.write(bytes);
    return socket;
  }

  test.each([
    ['say nothing', ''],
    ['stop in a request', '{"op":'],
    ['had an answer', '{"op":"one"}\n'],
  ])('stays usable with clients that %s', async (_what, bytes) => {
    const path = await control({ one: () => 1 });
    for (let i = 0; i < 60; i++) await client(path, bytes);
    for (let i = 0; i < 20; i++) expect(await askControl(path, 'one')).toBe(1);
  });

  test('stays usable with clients that do not read their answers', async () => {
    const path = await control({ one: () => 1, big: () => 'x'.repeat(MIB) });
    for (let i = 0; i < 40; i++) (await client(path, '{"op":"big"}\n')).pause();
    await pause(50);
    for (let i = 0; i < 20; i++) expect(await askControl(path, 'one')).toBe(1);
  });

  test('refuses a new client while all clients have requests under way, and drops none of them', async () => {
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => (finish = resolve));
    let calls = 0;
    const path = await control({ one: () => 1, wait: async () => (calls++, await finished, 2) });
    const busy = Array.from({ length: 16 }, () => askControl(path, 'wait'));
    await until(() => calls === 16, '16 requests');
    await expect(askControl(path, 'one')).rejects.toMatchObject({ code: 'EBUSY' });
    const silent = await client(path, '');
    await once(silent, 'end');
    expect(JSON.parse(silent.text)).toMatchObject({ ok: false, code: 'EBUSY' });
    for (let i = 0; i < 50; i++) await client(path, '{"op"');
    finish();
    expect(await Promise.all(busy)).toEqual(Array(16).fill(2));
    await until(() => silent.destroyed, 'the end');
    expect(await askControl(path, 'one')).toBe(1);
  });

  test('drops a client whose request never ends, however many bytes it sends', async () => {
    const path = await control({}, 150);
    const slow = await client(path, '{');
    const timer = setInterval(() => slow.writable && slow.write(' '), 10);
    onTestFinished(() => clearInterval(timer));
    await until(() => slow.destroyed, 'the end');
  });
});

test('loses no byte of a new client that sends everything in one packet', async () => {
  const server = await serve({ maxConnections: 1 });
  await RawClient.going(server);
  const client = await RawClient.connect(server);
  client.send(u32(3), optionBytes(5), optionBytes(GO, infoData('')), requestBytes({ command: READ, length: 10 }));
  await client.receive(18);
  expect((await client.optionReplies())[0]?.type).toBe(ERR_UNSUP);
  expect((await client.optionReplies())[0]?.type).toBe(ERR_POLICY);
  expect(await client.rest()).toEqual(Buffer.alloc(0));
});
