/** Transmission, byte by byte: each command with each flag, at any offset and length, on devices of every kind. */
import { describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../bindings/errors.ts';
import { MemoryDevice, later } from './memory-device.ts';
import {
  DF,
  FAST_ZERO,
  FLUSH,
  FUA,
  NO_HOLE,
  READ,
  RawClient,
  TRIM,
  WRITE,
  WRITE_ZEROES,
  requestBytes,
  type RequestBytes,
} from './raw-client.ts';
import { MIB, expectAlive, serve, takeReported, until, watchStrays } from './serving.ts';

watchStrays();

const EIO = 5,
  EINVAL = 22,
  ENOSPC = 28,
  ENOTSUP = 95,
  ESHUTDOWN = 108;
const MAXIMUM = 32 * MIB;

function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, x = seed >>> 0; i < length; i++) bytes[i] = (x = (Math.imul(x, 1664525) + 1013904223) >>> 0) >>> 24;
  return bytes;
}

async function start(
  size = MIB,
  before?: MemoryDevice['before'],
): Promise<{ device: MemoryDevice; client: RawClient }> {
  const device = new MemoryDevice(size);
  if (before !== undefined) device.before = before;
  return { device, client: await RawClient.going(await serve({ device })) };
}

describe.each([
  ['at once', undefined],
  ['with promises', later],
])('a device that answers %s', (_, before) => {
  test('reads what was written, at any offset and length', async () => {
    const { device, client } = await start(MIB, before?.());
    const model = Buffer.from(device.bytes);
    for (const [offset, length] of [
      [0, 1],
      [511, 2],
      [4095, 4098],
      [8192, 4096],
      [1, 300_000],
      [MIB - 1, 1],
      [0, MIB],
    ] as const) {
      const bytes = noise(length, offset + length);
      bytes.copy(model, offset);
      expect(await client.request({ command: WRITE, offset, payload: bytes })).toBe(0);
      expect(Buffer.compare(await client.read(offset, length), bytes)).toBe(0);
      expect(Buffer.compare(device.bytes, model)).toBe(0);
    }
  });

  test('answers each of many requests with its cookie', async () => {
    const { client } = await start(MIB, before?.());
    const pages = Array.from({ length: 256 }, (_x, page) => noise(4096, page));
    client.send(
      ...pages.map((payload, page) =>
        requestBytes({ command: WRITE, offset: page * 4096, payload, cookie: BigInt(page) << 40n }),
      ),
    );
    const written = new Set<bigint>();
    while (written.size < pages.length) written.add((await client.reply()).cookie);
    expect([...written].map((cookie) => Number(cookie >> 40n)).sort((a, b) => a - b)).toEqual(
      pages.map((_x, page) => page),
    );
    client.send(
      ...pages.map((_x, page) =>
        requestBytes({ command: READ, offset: page * 4096, length: 4096, cookie: BigInt(page) }),
      ),
    );
    for (let left = pages.length; left > 0; left--) {
      const { error, cookie, data } = await client.reply(4096);
      expect(error).toBe(0);
      expect(Buffer.compare(data, pages[Number(cookie)] as Buffer)).toBe(0);
    }
  });

  test('writes zeroes and trims', async () => {
    const { device, client } = await start(MIB, before?.());
    device.bytes.fill(1);
    expect(await client.request({ command: WRITE_ZEROES, offset: 10, length: 20 })).toBe(0);
    expect(await client.request({ command: WRITE_ZEROES, offset: 30, length: 20, flags: NO_HOLE })).toBe(0);
    expect(await client.request({ command: TRIM, offset: 4096, length: 8192 })).toBe(0);
    expect(device.calls).toEqual([
      { call: 'writeZeroes', offset: 10, length: 20, mayTrim: true },
      { call: 'writeZeroes', offset: 30, length: 20, mayTrim: false },
      { call: 'trim', offset: 4096, length: 8192 },
    ]);
  });

  test.each<[string, RequestBytes]>([
    ['write', { command: WRITE, payload: Buffer.alloc(10), flags: FUA }],
    ['trim', { command: TRIM, length: 4096, flags: FUA }],
    ['write zeroes', { command: WRITE_ZEROES, length: 4096, flags: FUA }],
    ['flush', { command: FLUSH }],
    ['flush with FUA', { command: FLUSH, flags: FUA }],
  ])('flushes before it answers %s', async (_what, request) => {
    const { device, client } = await start(MIB, before?.());
    expect(await client.request(request)).toBe(0);
    expect(device.calls.map(({ call }) => call).filter((call) => call === 'flush')).toEqual(['flush']);
    expect(device.calls.at(-1)?.call).toBe('flush');
  });
});

describe('lengths', () => {
  test('of 0 are accepted', async () => {
    const { device, client } = await start();
    for (const command of [READ, WRITE, TRIM, WRITE_ZEROES]) {
      expect(await client.request({ command, offset: 0, length: 0 })).toBe(0);
      expect(await client.request({ command, offset: MIB, length: 0 })).toBe(0);
    }
    expect(device.calls).toEqual([]);
  });

  test('of 32 MiB are split into pieces for the device, of whole pages except at the ends', async () => {
    const { device, client } = await start(40 * MIB);
    const bytes = noise(MAXIMUM, 1);
    expect(await client.request({ command: WRITE, offset: 5000, payload: bytes })).toBe(0);
    expect(Buffer.compare(device.bytes.subarray(5000, 5000 + MAXIMUM), bytes)).toBe(0);
    expect(Buffer.compare(await client.read(5000, MAXIMUM), bytes)).toBe(0);
    const [first, ...others] = device.calls.filter(({ call }) => call === 'write');
    expect(first).toMatchObject({ offset: 5000, length: MIB - 5000 });
    expect(others.every(({ offset, length }) => offset % MIB === 0 && length <= MIB)).toBe(true);
  });

  test('above 32 MiB are refused; the payload is skipped and the connection continues', async () => {
    const { device, client } = await start(64 * MIB);
    expect(await client.request({ command: READ, length: MAXIMUM + 1 })).toBe(EINVAL);
    expect(await client.request({ command: READ, length: 0xffffffff })).toBe(EINVAL);
    expect(await client.request({ command: WRITE, payload: Buffer.alloc(MAXIMUM + 1, 7) })).toBe(EINVAL);
    expect(device.calls).toEqual([]);
    expect(await client.read(0, 10)).toEqual(Buffer.alloc(10));
  });

  test('of commands without payload may be anything that fits', async () => {
    const { device, client } = await start(100 * MIB);
    device.bytes.fill(9);
    expect(await client.request({ command: WRITE_ZEROES, offset: 1, length: 100 * MIB - 2 })).toBe(0);
    expect(device.bytes[0]).toBe(9);
    expect(device.bytes.subarray(1, -1).every((byte) => byte === 0)).toBe(true);
    expect(device.bytes.at(-1)).toBe(9);
    expect(await client.request({ command: TRIM, offset: 0, length: 100 * MIB })).toBe(0);
  });
});

describe('requests outside the device', () => {
  const cases: [number | bigint, number][] = [
    [MIB, 1],
    [MIB - 1, 2],
    [0, MIB + 1],
    [MIB + 1, 0],
    [2n ** 53n, 1],
    [2n ** 64n - 1n, 1],
    [2n ** 64n - 4096n, 8192],
    [2n ** 63n, 4096],
  ];

  test.each(cases)('at %s with %i bytes are refused, and change nothing', async (offset, length) => {
    const { device, client } = await start();
    expect(await client.request({ command: READ, offset, length })).toBe(EINVAL);
    expect(await client.request({ command: TRIM, offset, length })).toBe(EINVAL);
    expect(await client.request({ command: WRITE, offset, payload: Buffer.alloc(length) })).toBe(ENOSPC);
    expect(await client.request({ command: WRITE_ZEROES, offset, length })).toBe(ENOSPC);
    expect(device.calls).toEqual([]);
    expect(await client.read(0, 1)).toEqual(Buffer.alloc(1));
  });
});

describe('flags and commands', () => {
  test.each([
    ['read with DF', READ, DF],
    ['read with NO_HOLE', READ, NO_HOLE],
    ['write with NO_HOLE', WRITE, NO_HOLE],
    ['write with an unknown flag', WRITE, 0x8000],
    ['trim with FAST_ZERO', TRIM, FAST_ZERO],
    ['flush with DF', FLUSH, DF],
    ['write zeroes with DF', WRITE_ZEROES, DF],
    ['cache', 5, 0],
    ['block status', 7, 0],
    ['an unknown command', 99, 0],
    ['command 65535', 65535, 0xffff],
  ])('%s is EINVAL', async (_what, command, flags) => {
    const { device, client } = await start();
    const payload = command === WRITE ? Buffer.alloc(5000) : undefined;
    expect(
      await client.request({ command, flags, ...(payload ? { payload } : { length: command === FLUSH ? 0 : 4096 }) }),
    ).toBe(EINVAL);
    expect(device.calls).toEqual([]);
    expect(await client.read(0, 1)).toEqual(Buffer.alloc(1));
  });

  test('a flush with an offset or length is EINVAL', async () => {
    const { client } = await start();
    expect(await client.request({ command: FLUSH, offset: 1 })).toBe(EINVAL);
    expect(await client.request({ command: FLUSH, length: 1 })).toBe(EINVAL);
  });

  test('FUA is accepted with every command', async () => {
    const { client } = await start();
    for (const command of [READ, WRITE, TRIM, WRITE_ZEROES, FLUSH])
      expect(await client.request({ command, flags: FUA })).toBe(0);
  });

  test('FAST_ZERO works where whole pages are dropped, and is ENOTSUP elsewhere, with nothing changed', async () => {
    const { device, client } = await start();
    expect(await client.request({ command: WRITE_ZEROES, offset: 4096, length: 8192, flags: FAST_ZERO })).toBe(0);
    expect(device.calls.splice(0)).toEqual([{ call: 'writeZeroes', offset: 4096, length: 8192, mayTrim: true }]);
    expect(
      await client.request({ command: WRITE_ZEROES, offset: 4096, length: 8192, flags: FAST_ZERO | NO_HOLE }),
    ).toBe(ENOTSUP);
    expect(await client.request({ command: WRITE_ZEROES, offset: 4097, length: 4096, flags: FAST_ZERO | FUA })).toBe(
      ENOTSUP,
    );
    expect(await client.request({ command: WRITE_ZEROES, offset: 4096, length: 100, flags: FAST_ZERO })).toBe(ENOTSUP);
    expect(device.calls).toEqual([]);
  });
});

describe('errors of the device', () => {
  const codes: [ErrorCode, number][] = [
    ['ENOMEM', ENOSPC],
    ['ENOSPC', ENOSPC],
    ['EIO', EIO],
    ['EINVAL', EINVAL],
    ['ERANGE', EINVAL],
    ['ENODEV', ESHUTDOWN],
    ['ECLOSED', ESHUTDOWN],
    ['EBUSY', EIO],
    ['EAGAIN', EIO],
    ['EUCLEAN', EIO],
  ];

  test.each(codes)('%s becomes %i, for every command', async (code, expected) => {
    const { device, client } = await start();
    for (const [call, request] of [
      ['read', { command: READ, length: 100 }],
      ['write', { command: WRITE, payload: Buffer.alloc(100) }],
      ['trim', { command: TRIM, length: 100 }],
      ['writeZeroes', { command: WRITE_ZEROES, length: 100 }],
      ['flush', { command: FLUSH }],
      ['flush', { command: WRITE, payload: Buffer.alloc(1), flags: FUA }],
    ] as const) {
      device.fail(call, code);
      expect(await client.request(request), call).toBe(expected);
    }
    device.before = () => {};
    expect(await client.read(0, 100)).toEqual(Buffer.alloc(100));
  });

  test('that are not CompcacheErrors become EIO and are reported; with promises too', async () => {
    const { device, client } = await start();
    const fault = new TypeError('a bug');
    device.before = () => {
      throw fault;
    };
    expect(await client.request({ command: READ, length: 1 })).toBe(EIO);
    device.before = () => Promise.reject(fault);
    expect(await client.request({ command: READ, length: 1 })).toBe(EIO);
    expect(takeReported()).toEqual([fault, fault]);
    device.before = () => {};
  });

  test('in the middle of a long read: no bytes of the read are sent', async () => {
    const { device, client } = await start(8 * MIB);
    let reads = 0;
    device.before = () => {
      if (++reads === 5) device.fail('read', 'EIO');
    };
    expect(await client.request({ command: READ, length: 8 * MIB })).toBe(EIO);
    device.before = () => {};
    expect(await client.read(0, 8)).toEqual(Buffer.alloc(8));
  });

  test('a device that is reset answers ESHUTDOWN, and works again when it is back', async () => {
    const { device, client } = await start();
    device.isReady = false;
    for (const command of [READ, TRIM, WRITE_ZEROES])
      expect(await client.request({ command, length: 4096 })).toBe(ESHUTDOWN);
    expect(await client.request({ command: WRITE, payload: Buffer.alloc(4096) })).toBe(ESHUTDOWN);
    expect(await client.request({ command: FLUSH })).toBe(ESHUTDOWN);
    device.isReady = true;
    expect(await client.read(0, 100)).toEqual(Buffer.alloc(100));
  });
});

describe('several connections', () => {
  test("see each other's writes, and a flush is for all", async () => {
    const device = new MemoryDevice(MIB);
    const server = await serve({ device });
    const [one, two] = [await RawClient.going(server), await RawClient.going(server)];
    expect(await one.request({ command: WRITE, payload: Buffer.from('hello') })).toBe(0);
    expect(await two.read(0, 5)).toEqual(Buffer.from('hello'));
    expect(await two.request({ command: FLUSH })).toBe(0);
    expect(server.connections).toBe(2);
    expect(server.users).toBe(2);
    await one.disconnect();
    expect(await two.read(0, 5)).toEqual(Buffer.from('hello'));
    await until(() => server.connections === 1, 'one connection less');
  });

  test('a slow request on one does not delay another', async () => {
    const device = new MemoryDevice(MIB);
    const server = await serve({ device });
    let finish = (): void => {};
    device.before = (call) => (call === 'write' ? new Promise((resolve) => (finish = resolve)) : undefined);
    const [one, two] = [await RawClient.going(server), await RawClient.going(server)];
    one.send(requestBytes({ command: WRITE, payload: Buffer.from('x') }));
    expect(await two.read(0, 1)).toEqual(Buffer.alloc(1));
    expect(await one.read(0, 1)).toEqual(Buffer.alloc(1)); // replies overtake each other on one connection as well
    finish();
    expect((await one.reply()).error).toBe(0);
  });
});

describe('NBD_CMD_DISC', () => {
  test('ends the connection after all earlier requests are answered', async () => {
    const { device, client } = await start(MIB, later());
    client.send(
      ...Array.from({ length: 20 }, (_, i) =>
        requestBytes({ command: WRITE, offset: i, payload: Buffer.from([i + 1]) }),
      ),
      requestBytes({ command: 2, length: 5 }),
    );
    expect((await client.rest()).length).toBe(20 * 16);
    expect([...device.bytes.subarray(0, 20)]).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  });

  test('a client that sends nothing more and only reads gets its replies', async () => {
    const device = new MemoryDevice(MIB);
    device.before = () => new Promise((resolve) => setTimeout(resolve, 50));
    const server = await serve({ device });
    const client = await RawClient.going(server);
    client.socket.end(requestBytes({ command: READ, length: 100_000 }));
    expect((await client.rest()).length).toBe(100_016);
    await until(() => server.connections === 0, 'the end of the connection');
    await expectAlive(server);
  });
});
