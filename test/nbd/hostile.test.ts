/**
 * Hostile clients that lie, stall, disconnect or do not read: other clients are not affected, and memory stays within
 * the limit of a connection.
 */
import { describe, expect, test } from 'vitest';
import { MemoryDevice, later } from './memory-device.ts';
import {
  GO,
  LIST,
  READ,
  RawClient,
  TRIM,
  WRITE,
  WRITE_ZEROES,
  infoData,
  optionBytes,
  requestBytes,
  u32,
} from './raw-client.ts';
import { MIB, expectAlive, serve, until, watchStrays } from './serving.ts';

watchStrays();

describe('a client that disconnects', () => {
  const DIALOGUE = Buffer.concat([u32(3), optionBytes(5), optionBytes(LIST), optionBytes(GO, infoData('ram', 3))]);

  test('after any byte of the negotiation', async () => {
    const server = await serve({ exportName: 'ram' });
    for (let sent = 0; sent <= DIALOGUE.length; sent++) {
      const client = await RawClient.connect(server);
      client.send(DIALOGUE.subarray(0, sent));
      if (sent % 2 === 0) client.vanish();
      else client.socket.end();
    }
    await until(() => server.connections === 0, 'the end of all connections');
    await expectAlive(server);
  });

  test.each([
    ['at once', 'a Unix socket', undefined, {}],
    ['with promises', 'a Unix socket', later, {}],
    ['at once', 'TCP', undefined, { port: 0 }],
    ['with promises', 'TCP', later, { port: 0 }],
  ])(
    'after any byte of a request, on a device that answers %s, over %s: a write is whole or not at all',
    async (_, _over, before, where) => {
      const device = new MemoryDevice(MIB);
      if (before !== undefined) device.before = before();
      const server = await serve({ device, ...where });
      const write = requestBytes({ command: WRITE, offset: 10, payload: Buffer.alloc(50, 7) });
      for (let sent = 0; sent <= write.length; sent++) {
        device.bytes.fill(0);
        const client = await RawClient.going(server);
        client.send(write.subarray(0, sent));
        if (sent % 3 === 0) client.socket.end();
        else if (sent % 3 === 1 && 'port' in where) client.socket.resetAndDestroy();
        else client.vanish();
        await until(() => server.connections === 0, 'the end of the connection');
        const written = device.bytes.filter((byte) => byte === 7).length;
        expect(sent < write.length ? [0] : [0, 50]).toContain(written);
      }
      await expectAlive(server);
    },
  );

  test('in the middle of a long reply', async () => {
    const server = await serve({ device: new MemoryDevice(40 * MIB) });
    for (const taken of [0, 1, 15, 16, 17, 5000, MIB]) {
      const client = await RawClient.going(server);
      client.send(requestBytes({ command: READ, length: 32 * MIB }), requestBytes({ command: READ, length: 32 * MIB }));
      if (taken > 0) await client.receive(taken);
      client.vanish();
    }
    await until(() => server.connections === 0, 'the end of all connections');
    await expectAlive(server);
  });

  test('while the device is still working for it', async () => {
    const device = new MemoryDevice(MIB);
    const server = await serve({ device });
    const waiting: (() => void)[] = [];
    device.before = () => new Promise((resolve) => waiting.push(resolve));
    const client = await RawClient.going(server);
    client.send(
      ...[READ, WRITE, TRIM, WRITE_ZEROES].map((command) =>
        requestBytes({ command, ...(command === WRITE ? { payload: Buffer.alloc(4096) } : { length: 4096 }) }),
      ),
    );
    await until(() => waiting.length === 4, 'four calls');
    client.vanish();
    await new Promise((resolve) => setTimeout(resolve, 20));
    device.before = () => {};
    waiting.forEach((done) => done());
    await until(() => server.connections === 0, 'the end of the connection');
    await expectAlive(server);
  });

  test('a thousand times', async () => {
    const server = await serve();
    for (let i = 0; i < 1000; i++) {
      const client = await RawClient.connect(server);
      if (i % 3 !== 0) client.send(u32(3), optionBytes(GO, infoData('')), requestBytes({ command: READ, length: MIB }));
      client.vanish();
    }
    await until(() => server.connections === 0, 'the end of all connections');
    await expectAlive(server);
  });
});

describe('a client that sends false data', () => {
  test.each([
    ['a wrong magic', requestBytes({ command: READ, length: 1, magic: 0x25609514 })],
    ['the magic of a reply', requestBytes({ command: READ, length: 1, magic: 0x67446698 })],
    ['text', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
    [
      'the payload of a command that has none',
      Buffer.concat([requestBytes({ command: TRIM, length: 4096 }), Buffer.alloc(4096, 1)]),
    ],
  ])('with %s is disconnected, and no other client is', async (_what, bytes) => {
    const server = await serve();
    const good = await RawClient.going(server);
    const bad = await RawClient.going(server);
    bad.send(bytes);
    await bad.rest();
    await until(() => server.connections === 1, 'the end of the connection');
    expect(await good.read(0, 10)).toEqual(Buffer.alloc(10));
  });

  test('random bytes in every phase do not affect other clients', async () => {
    const server = await serve();
    const good = await RawClient.going(server);
    let x = 1;
    const random = (): number => (x = (Math.imul(x, 1664525) + 1013904223) >>> 0) >>> 8;
    for (let i = 0; i < 300; i++) {
      const client = await (i % 3 === 0
        ? RawClient.connect(server)
        : i % 3 === 1
          ? RawClient.greeted(server)
          : RawClient.going(server));
      const bytes =
        i % 3 === 2
          ? requestBytes({
              command: random() % 9,
              flags: random() % 32,
              offset: random() * (i % 2 ? 1 : 2 ** 30),
              length: random() % 100_000,
            })
          : Buffer.alloc(40);
      for (let flips = random() % 8; flips > 0; flips--) bytes[random() % bytes.length] = random();
      client.send(bytes);
      await new Promise((resolve) => setImmediate(resolve));
      client.vanish();
    }
    expect(await good.read(0, 10)).toHaveLength(10);
    await until(() => server.connections === 1, 'the end of all others');
  });

  test('announcing 4 GiB of payload takes no memory, however the connection ends', async () => {
    const server = await serve();
    const before = process.memoryUsage().arrayBuffers;
    const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.going(server)));
    for (const client of clients) client.send(requestBytes({ command: WRITE, length: 0xffffffff }), Buffer.alloc(MIB));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * MIB); // with the memory of this test's clients
    await expectAlive(server);
    for (const client of clients) client.vanish();
    await until(() => server.connections === 0, 'the end of all connections');
  });
});

describe('a client that does not read', () => {
  /** Bytes that the process holds in buffers. */
  const held = (): number => process.memoryUsage().arrayBuffers;

  test('gets no more requests read: the server holds 32 MiB of replies at most', async () => {
    const device = new MemoryDevice(MIB);
    const server = await serve({ device });
    const client = await RawClient.going(server);
    const good = await RawClient.going(server);
    client.socket.pause();
    const before = held();
    for (let i = 0; i < 2000; i++) client.send(requestBytes({ command: READ, length: MIB }));
    await until(() => device.calls.length >= 32, 'as many reads as there is room for');
    for (let i = 0; i < 20; i++) {
      expect(await good.read(0, 4096)).toHaveLength(4096);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(device.calls.filter(({ length }) => length === MIB).length).toBeLessThan(40);
    expect(held() - before).toBeLessThan(48 * MIB);
    client.vanish();
    await until(() => server.connections === 1, 'the end of the connection');
  });

  test('and asks for small replies: their number is limited as well', async () => {
    const device = new MemoryDevice(MIB);
    const server = await serve({ device });
    const client = await RawClient.going(server);
    client.socket.pause();
    const flood = Buffer.concat(Array.from({ length: 1000 }, () => requestBytes({ command: TRIM, length: 1 })));
    for (let i = 0; i < 1000; i++) client.socket.write(flood, () => {});
    let last = -1;
    while (last !== device.calls.length) {
      last = device.calls.length;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(last).toBeLessThan(100_000); // the kernel holds some replies, the server 64
    expect(client.socket.writableLength).toBeGreaterThan(10 * MIB); // the rest waits at the client
    await expectAlive(server);
    client.vanish();
  });

  test('and has a slow device: the number of requests under way is limited', async () => {
    const device = new MemoryDevice(MIB);
    const server = await serve({ device });
    const waiting: (() => void)[] = [];
    device.before = () => new Promise((resolve) => waiting.push(resolve));
    const client = await RawClient.going(server);
    client.send(...Array.from({ length: 500 }, () => requestBytes({ command: WRITE, payload: Buffer.alloc(100) })));
    await until(() => waiting.length >= 64, '64 calls');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(waiting.length).toBe(64);
    device.before = () => {};
    waiting.forEach((done) => done());
    for (let i = 0; i < 500; i++) expect((await client.reply()).error).toBe(0);
    expect(device.mostAtOnce).toBe(64);
  });

  test('for a while gets all replies in the end', async () => {
    const device = new MemoryDevice(8 * MIB);
    for (let i = 0; i < device.bytes.length; i += 997) device.bytes[i] = i;
    const server = await serve({ device });
    const client = await RawClient.going(server);
    client.send(...Array.from({ length: 10 }, () => requestBytes({ command: READ, length: 8 * MIB })));
    for (let i = 0; i < 10; i++) {
      client.socket.pause();
      await new Promise((resolve) => setTimeout(resolve, 20));
      client.socket.resume();
      const { error, data } = await client.reply(8 * MIB);
      expect(error).toBe(0);
      expect(Buffer.compare(data, device.bytes)).toBe(0);
    }
  });
});

describe('a client that stalls', () => {
  test.each([
    ['in the header of a request', Buffer.from([0x25, 0x60])],
    ['in the payload of a write', requestBytes({ command: WRITE, length: 100, payload: Buffer.alloc(50) })],
    ['before the payload of a write', requestBytes({ command: WRITE, length: 100 })],
    [
      'in a payload that is thrown away',
      requestBytes({ command: WRITE, length: 0xffffffff, payload: Buffer.alloc(50) }),
    ],
  ])('%s is dropped after a time', async (_what, bytes) => {
    const server = await serve({ stallTimeout: 100 });
    const client = await RawClient.going(server);
    client.send(bytes);
    await client.rest();
    await until(() => server.connections === 0, 'the end of the connection');
  });

  test('while it gets its replies is dropped after a time', async () => {
    const server = await serve({ stallTimeout: 200 });
    const client = await RawClient.going(server);
    client.socket.pause();
    client.send(...Array.from({ length: 32 }, () => requestBytes({ command: READ, length: MIB })));
    await until(() => server.connections === 0, 'the end of the connection');
    client.vanish();
  });

  test('between two requests may wait without limit', async () => {
    const server = await serve({ stallTimeout: 50 });
    const client = await RawClient.going(server);
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      expect(await client.read(0, 100)).toHaveLength(100);
    }
    client.send(requestBytes({ command: READ, length: 1 }).subarray(0, 20));
    await client.rest();
  });

  test('is not dropped while it waits for a slow device', async () => {
    const device = new MemoryDevice(MIB);
    device.before = () => new Promise((resolve) => setTimeout(resolve, 300));
    const client = await RawClient.going(await serve({ device, stallTimeout: 50 }));
    expect(await client.read(0, 100)).toHaveLength(100);
  });
});

describe('a client that does not close its connection', () => {
  test.each([
    ['after NBD_CMD_DISC', requestBytes({ command: 2 })],
    ['after nonsense', Buffer.alloc(28)],
  ])('%s is disconnected', async (_, bytes) => {
    const server = await serve();
    const client = await RawClient.going(server);
    client.socket.allowHalfOpen = true;
    client.send(bytes);
    await client.rest();
    const timer = setInterval(() => client.socket.writable && client.send(Buffer.alloc(1000)), 10);
    await until(() => server.connections === 0, 'the end of the connection');
    clearInterval(timer);
    client.vanish();
  });
});

describe('many clients', () => {
  test('one client with the longest requests does not make another wait for all of them', async () => {
    const device = new MemoryDevice(32 * MIB);
    const server = await serve({ device });
    const greedy = await RawClient.going(server);
    const modest = await RawClient.going(server);
    greedy.send(...Array.from({ length: 64 }, () => requestBytes({ command: WRITE_ZEROES, length: 32 * MIB })));
    await until(() => device.calls.length > 0, 'the first of them');
    await modest.read(0, 512);
    // 128 pieces; a few of them are done in a turn of the event loop.
    expect(device.calls.findIndex(({ call }) => call === 'read')).toBeLessThan(64);
    for (let i = 0; i < 64; i++) expect((await greedy.reply()).error).toBe(0);
  });
});
