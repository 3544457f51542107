/** Negotiation, byte by byte: each option, each answer, and wrong data of every kind. */
import { describe, expect, test } from 'vitest';
import { MemoryDevice } from './memory-device.ts';
import {
  ABORT,
  ACK,
  ERR_INVALID,
  ERR_TOO_BIG,
  ERR_UNKNOWN,
  ERR_UNSUP,
  EXPORT_NAME,
  GO,
  INFO,
  LIST,
  REP_INFO,
  RawClient,
  SERVER,
  infoData,
  optionBytes,
  u16,
  u32,
  u64,
} from './raw-client.ts';
import { MIB, expectAlive, serve, until, watchStrays } from './serving.ts';

watchStrays();

/** HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES, CAN_MULTI_CONN, FAST_ZERO. */
const EXPORT_FLAGS = 0b1001_0110_1101;
const NAMED = { exportName: 'ram', description: 'a RAM' };

function types(replies: { type: number }[]): number[] {
  return replies.map(({ type }) => type);
}

describe('the handshake', () => {
  test('is fixed newstyle, without zeroes when the client can do that', async () => {
    const client = await RawClient.connect(await serve());
    expect(await client.receive(18)).toEqual(Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), u16(3)]));
  });

  test.each([4, 8, 0x80000003, 0xffffffff])('ends at the unknown client flags %s', async (flags) => {
    const server = await serve();
    const client = await RawClient.greeted(server, flags);
    expect(await client.rest()).toEqual(Buffer.alloc(0));
    await expectAlive(server);
  });

  test('a client of the older newstyle can choose the export and nothing else', async () => {
    const server = await serve(NAMED);
    const old = await RawClient.greeted(server, 0);
    old.send(optionBytes(EXPORT_NAME, Buffer.from('ram')));
    expect(await old.receive(134)).toEqual(Buffer.concat([u64(MIB), u16(EXPORT_FLAGS), Buffer.alloc(124)]));
    expect(await old.read(0, 10)).toEqual(Buffer.alloc(10));
    const other = await RawClient.greeted(server, 2);
    other.send(optionBytes(LIST));
    expect(await other.rest()).toEqual(Buffer.alloc(0));
  });
});

describe('NBD_OPT_EXPORT_NAME', () => {
  test.each([
    ['', 3, 10],
    ['ram', 3, 10],
    ['ram', 1, 134],
  ])('%j with client flags %i gives %i bytes, and transmission begins', async (name, flags, bytes) => {
    const client = await RawClient.greeted(await serve(NAMED), flags);
    client.send(optionBytes(EXPORT_NAME, Buffer.from(name)));
    const answer = await client.receive(bytes);
    expect(answer.subarray(0, 10)).toEqual(Buffer.concat([u64(MIB), u16(EXPORT_FLAGS)]));
    expect(answer.subarray(10)).toEqual(Buffer.alloc(bytes - 10));
    expect(await client.read(100, 10)).toEqual(Buffer.alloc(10));
  });

  test.each(['other', 'ra', 'ram\0', 'RAM'])('%j is no export: the connection ends', async (name) => {
    const client = await RawClient.greeted(await serve(NAMED));
    client.send(optionBytes(EXPORT_NAME, Buffer.from(name)));
    expect(await client.rest()).toEqual(Buffer.alloc(0));
  });

  test('a name of 4 GiB ends the connection at once', async () => {
    const client = await RawClient.greeted(await serve(NAMED));
    client.send(optionBytes(EXPORT_NAME, Buffer.from('ram'), 0xffffffff));
    expect(await client.rest()).toEqual(Buffer.alloc(0));
  });
});

describe('NBD_OPT_LIST', () => {
  test('gives the export with its description', async () => {
    const client = await RawClient.greeted(await serve(NAMED));
    expect(await client.option(LIST)).toEqual([
      { option: LIST, type: SERVER, data: Buffer.concat([u32(3), Buffer.from('ram'), Buffer.from('a RAM')]) },
      { option: LIST, type: ACK, data: Buffer.alloc(0) },
    ]);
  });

  test('gives the default export under its empty name', async () => {
    const client = await RawClient.greeted(await serve());
    expect((await client.option(LIST))[0]).toEqual({ option: LIST, type: SERVER, data: u32(0) });
  });

  test('with data is an error', async () => {
    const client = await RawClient.greeted(await serve());
    expect(types(await client.option(LIST, Buffer.from('x')))).toEqual([ERR_INVALID]);
    expect(types(await client.option(LIST))).toEqual([SERVER, ACK]);
  });
});

describe.each([
  ['NBD_OPT_INFO', INFO],
  ['NBD_OPT_GO', GO],
])('%s', (_, option) => {
  const EXPORT = { option, type: REP_INFO, data: Buffer.concat([u16(0), u64(MIB), u16(EXPORT_FLAGS)]) };
  const DONE = { option, type: ACK, data: Buffer.alloc(0) };

  test.each(['', 'ram'])('for %j gives the required information', async (name) => {
    const client = await RawClient.greeted(await serve(NAMED));
    expect(await client.option(option, infoData(name))).toEqual([EXPORT, DONE]);
  });

  test('gives name, description and block sizes when asked, and ignores unknown kinds of information', async () => {
    const client = await RawClient.greeted(await serve(NAMED));
    expect(await client.option(option, infoData('', 1, 2, 3, 0, 4, 65535))).toEqual([
      EXPORT,
      { option, type: REP_INFO, data: Buffer.concat([u16(1), Buffer.from('ram')]) },
      { option, type: REP_INFO, data: Buffer.concat([u16(2), Buffer.from('a RAM')]) },
      { option, type: REP_INFO, data: Buffer.concat([u16(3), u32(1), u32(4096), u32(32 * MIB)]) },
      DONE,
    ]);
  });

  test('of an unknown export is answered ERR_UNKNOWN, and negotiation continues', async () => {
    const client = await RawClient.greeted(await serve(NAMED));
    expect(types(await client.option(option, infoData('other')))).toEqual([ERR_UNKNOWN]);
    expect(types(await client.option(GO, infoData('ram')))).toEqual([REP_INFO, ACK]);
    expect(await client.read(0, 1)).toEqual(Buffer.alloc(1));
  });

  test.each([
    ['no data', Buffer.alloc(0)],
    ['five bytes', Buffer.alloc(5)],
    ['a name longer than the data', Buffer.concat([u32(1), u16(0)])],
    ['a name of 4 GiB', Buffer.concat([u32(0xffffffff), u16(0)])],
    ['fewer requests than it says', Buffer.concat([u32(0), u16(2), u16(3)])],
    ['more than it says', Buffer.concat([u32(0), u16(0), u16(3)])],
    ['a byte too many', Buffer.concat([infoData(''), Buffer.alloc(1)])],
    ['a name above 4096 bytes', infoData('x'.repeat(4097))],
  ])('with %s is answered ERR_INVALID', async (_what, data) => {
    const client = await RawClient.greeted(await serve(NAMED));
    expect(types(await client.option(option, data))).toEqual([ERR_INVALID]);
    expect(types(await client.option(GO, infoData('ram')))).toEqual([REP_INFO, ACK]);
  });

  test('with too much data is answered ERR_TOO_BIG', async () => {
    const client = await RawClient.greeted(await serve(NAMED));
    expect(types(await client.option(option, Buffer.alloc(100_000)))).toEqual([ERR_TOO_BIG]);
    expect(types(await client.option(GO, infoData('ram')))).toEqual([REP_INFO, ACK]);
  });
});

describe('other options', () => {
  test('NBD_OPT_ABORT is acknowledged, with data or without, and ends negotiation', async () => {
    const server = await serve();
    for (const data of [Buffer.alloc(0), Buffer.from('bye')]) {
      const client = await RawClient.greeted(server);
      expect(types(await client.option(ABORT, data))).toEqual([ACK]);
      expect(await client.rest()).toEqual(Buffer.alloc(0));
    }
  });

  test.each([0, 4, 5, 8, 9, 10, 11, 12, 0xffffffff])(
    'option %i is answered ERR_UNSUP, whatever its data',
    async (option) => {
      const client = await RawClient.greeted(await serve());
      expect(types(await client.option(option))).toEqual([ERR_UNSUP]);
      expect(types(await client.option(option, Buffer.alloc(1000)))).toEqual([ERR_UNSUP]);
      expect(types(await client.option(option, Buffer.alloc(1_000_000)))).toEqual([ERR_UNSUP]);
      expect(types(await client.option(GO, infoData('')))).toEqual([REP_INFO, ACK]);
    },
  );

  test('bytes that are not an option end the connection', async () => {
    const server = await serve();
    const client = await RawClient.greeted(server);
    client.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    expect(await client.rest()).toEqual(Buffer.alloc(0));
    await expectAlive(server);
  });

  test('options that are sent without waiting for replies are answered in order', async () => {
    const client = await RawClient.greeted(await serve());
    client.send(optionBytes(5), optionBytes(LIST), optionBytes(GO, infoData('')));
    expect(types(await client.optionReplies())).toEqual([ERR_UNSUP]);
    expect(types(await client.optionReplies())).toEqual([SERVER, ACK]);
    expect(types(await client.optionReplies())).toEqual([REP_INFO, ACK]);
  });
});

describe('a device that is not initialised', () => {
  test('is not listed and cannot be chosen', async () => {
    const device = new MemoryDevice(MIB);
    device.isReady = false;
    const server = await serve({ device, ...NAMED });
    const client = await RawClient.greeted(server);
    expect(types(await client.option(LIST))).toEqual([ACK]);
    expect(types(await client.option(INFO, infoData('ram')))).toEqual([ERR_UNKNOWN]);
    expect(types(await client.option(GO, infoData('')))).toEqual([ERR_UNKNOWN]);
    const other = await RawClient.greeted(server);
    other.send(optionBytes(EXPORT_NAME));
    expect(await other.rest()).toEqual(Buffer.alloc(0));
    device.isReady = true;
    expect(types(await client.option(GO, infoData('')))).toEqual([REP_INFO, ACK]);
    expect(server.users).toBe(1);
  });
});

describe('the time for negotiation', () => {
  const START = Buffer.concat([u32(3), optionBytes(LIST), optionBytes(GO, infoData('', 3))]);

  test.each([0, 3, 4, 12, 20, 40, START.length - 1])('ends for a client that stops after %i bytes', async (sent) => {
    const server = await serve({ negotiationTimeout: 100 });
    const client = await RawClient.connect(server);
    client.send(START.subarray(0, sent));
    await client.rest();
    await until(() => server.connections === 0, 'the end of the connection');
  });

  test('ends for a client that keeps asking and reads nothing', async () => {
    const server = await serve({ negotiationTimeout: 300 });
    const client = await RawClient.connect(server);
    client.socket.pause();
    client.send(u32(3));
    const timer = setInterval(() => client.send(...Array.from({ length: 1000 }, () => optionBytes(LIST))), 1);
    await until(() => server.connections === 0, 'the end of the connection');
    clearInterval(timer);
    client.vanish();
  });

  test('does not run in transmission', async () => {
    const server = await serve({ negotiationTimeout: 50 });
    const client = await RawClient.going(server);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await client.read(0, 5)).toEqual(Buffer.alloc(5));
  });
});
