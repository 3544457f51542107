/** The memory of a server with hostile clients: it is limited for all of them together, and other clients can work. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, onTestFinished, test } from 'vitest';
import { serveControl } from '../../cli/nbd/index.ts';
import { MemoryDevice } from './memory-device.ts';
import { output } from './programs.ts';
import { READ, RawClient, WRITE, requestBytes } from './raw-client.ts';
import { MIB, serve, temporaryFolder, until, watchStrays } from './serving.ts';

watchStrays();

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes of live objects, with buffers. */
function held(): number {
  for (let i = 0; i < 3; i++) collect(); // collecting an array buffer can make another one collectable
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('unread replies', () => {
  test('of 64 clients take 160 MiB together, and other clients can work', async () => {
    const device = new MemoryDevice(32 * MIB);
    const server = await serve({ device });
    const before = held();
    const good = await RawClient.going(server);
    for (let i = 0; i < 62; i++) {
      const deaf = await RawClient.going(server);
      onTestFinished(() => deaf.vanish());
      deaf.socket.pause();
      deaf.send(...Array.from({ length: 60 }, () => requestBytes({ command: READ, length: MIB })));
    }
    let last = -1;
    while (last !== device.calls.length) {
      last = device.calls.length;
      await pause(200);
    }
    const most = 224 * MIB; // with the memory of this test's clients
    expect(held() - before).toBeLessThan(most);
    for (let i = 0; i < 20; i++) expect(await good.read(0, MIB)).toHaveLength(MIB);
    expect(
      await output('qemu-io', '-f', 'raw', '-c', 'write -P 7 5000 1M', '-c', 'read -P 7 5000 1M', server.uri),
    ).not.toContain('failed');
    expect(held() - before).toBeLessThan(most);
  });

  test('of two clients do not stop the longest requests of another', async () => {
    const device = new MemoryDevice(32 * MIB);
    const server = await serve({ device });
    for (let i = 0; i < 2; i++) {
      const deaf = await RawClient.going(server);
      onTestFinished(() => deaf.vanish());
      deaf.socket.pause();
      deaf.send(...Array.from({ length: 3 }, () => requestBytes({ command: READ, length: 32 * MIB })));
    }
    await until(() => device.calls.length >= 64, 'two long reads');
    const good = await RawClient.going(server);
    for (let i = 0; i < 3; i++) expect(await good.read(0, 32 * MIB)).toHaveLength(32 * MIB);
    expect(await good.request({ command: WRITE, payload: Buffer.alloc(32 * MIB, 1) })).toBe(0);
  });

  test('are freed when their clients disconnect, and so are writes whose bytes never came', async () => {
    const device = new MemoryDevice(32 * MIB);
    const server = await serve({ device });
    for (let round = 0; round < 3; round++) {
      const clients = await Promise.all(Array.from({ length: 12 }, () => RawClient.going(server)));
      for (const [i, client] of clients.entries()) {
        client.socket.pause();
        client.send(
          requestBytes(
            i % 2 === 0
              ? { command: READ, length: 32 * MIB }
              : { command: WRITE, length: 32 * MIB, payload: Buffer.alloc(100) },
          ),
        );
      }
      await pause(50);
      for (const client of clients) client.vanish();
      await until(() => server.connections === 0, 'the end of all connections');
    }
    const good = await RawClient.going(server);
    good.send(...[1n, 2n, 3n].map((cookie) => requestBytes({ command: READ, length: 32 * MIB, cookie })));
    for (let i = 0; i < 3; i++) expect((await good.reply(32 * MIB)).error).toBe(0);
  });
});

describe('unfinished writes', () => {
  test('of 63 clients take 160 MiB together, and another client can work', async () => {
    const server = await serve({ device: new MemoryDevice(32 * MIB) });
    const good = await RawClient.going(server);
    const before = held();
    for (let i = 0; i < 63; i++) {
      const client = await RawClient.going(server);
      onTestFinished(() => client.vanish());
      client.send(requestBytes({ command: WRITE, length: 32 * MIB, payload: Buffer.alloc(1000) }));
    }
    await pause(300);
    expect(held() - before).toBeLessThan(180 * MIB);
    for (let i = 0; i < 20; i++) expect(await good.request({ command: WRITE, payload: Buffer.alloc(MIB, i) })).toBe(0);
    expect(await good.read(0, MIB)).toEqual(Buffer.alloc(MIB, 19));
  });
});

describe('many tiny packets', () => {
  test('to a busy server take no more memory than their bytes', async () => {
    const device = new MemoryDevice(MIB);
    const server = await serve({ device });
    device.before = (call) => (call === 'read' ? new Promise(() => {}) : undefined);
    const client = await RawClient.going(server);
    client.send(...Array.from({ length: 64 }, () => requestBytes({ command: READ, length: 1 })));
    await until(() => device.calls.length === 64, '64 calls');
    const before = held();
    const requests = Buffer.concat(Array.from({ length: 2000 }, () => requestBytes({ command: READ, length: 1 })));
    for (let at = 0; at < requests.length; at++) {
      client.socket.write(requests.subarray(at, at + 1));
      await turn();
    }
    expect(held() - before).toBeLessThan(2 * MIB);
    client.vanish();
  });

  test('to the control socket take no more memory than their bytes', async () => {
    const path = join(temporaryFolder(), 'ctl');
    const server = await serveControl({ path, handlers: { size: ({ text }) => (text as string).length } });
    const socket = connect({ path });
    await once(socket, 'connect');
    const before = held();
    const line = Buffer.from(JSON.stringify({ op: 'size', args: { text: 'x'.repeat(60_000) } }));
    for (let at = 0; at < line.length; at++) {
      socket.write(line.subarray(at, at + 1));
      await turn();
      await turn();
    }
    expect(held() - before).toBeLessThan(2 * MIB);
    socket.write('\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(JSON.parse(answer.toString())).toEqual({ ok: true, result: 60_000 });
    socket.destroy();
    await server.close();
  });
});
