/** The control socket: handlers, errors, and hostile clients. */
import { once } from 'node:events';
import { existsSync, lstatSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CompcacheError } from '../../bindings/errors.ts';
import { askControl, serveControl, type ControlHandler, type ControlServerOptions } from '../../cli/nbd/index.ts';
import { temporaryFolder, until, watchStrays } from './serving.ts';

watchStrays();

let reported: unknown[] = [];

async function start(
  handlers: Record<string, ControlHandler>,
  options: Partial<ControlServerOptions> = {},
): Promise<string> {
  const path = join(temporaryFolder(), 'nbd.sock.ctl');
  reported = [];
  const server = await serveControl({ path, handlers, report: (error) => reported.push(error), ...options });
  onTestFinished(() => server.close());
  return path;
}

const HANDLERS: Record<string, ControlHandler> = {
  add: ({ a, b }) => (a as number) + (b as number),
  wait: async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return { waited: true };
  },
  nothing: () => {},
  busy: () => {
    throw new CompcacheError('EBUSY', 'device.reset', 'clients are connected');
  },
};

/** Sends bytes. @returns the lines that come back until the server ends the connection, or this number of lines */
async function exchange(path: string, bytes: Uint8Array | string, most = Infinity): Promise<unknown[]> {
  const socket = connect({ path });
  socket.on('error', () => {});
  let text = '';
  socket.setEncoding('utf8').on('data', (more: string) => (text += more));
  socket.write(bytes);
  const lines = (): string[] => text.split('\n').slice(0, -1);
  let over = false;
  socket.on('close', () => (over = true));
  await until(() => over || lines().length >= most, `${most} lines`);
  socket.destroy();
  return lines().map((line) => JSON.parse(line) as unknown);
}

describe('a request', () => {
  test('is answered by its handler', async () => {
    const path = await start(HANDLERS);
    expect(await askControl(path, 'add', { a: 2, b: 3 })).toBe(5);
    expect(await askControl(path, 'wait')).toEqual({ waited: true });
    expect(await askControl(path, 'nothing')).toBe(undefined);
  });

  test('and its answer are a line each on the wire; in order, also when several come at once or in pieces', async () => {
    const path = await start(HANDLERS);
    const lines = '{"op":"wait"}\n{"op":"add","args":{"a":1,"b":"ä"}}\r\n{"op":"nothing"}\n';
    const answers = [{ ok: true, result: { waited: true } }, { ok: true, result: '1ä' }, { ok: true }];
    expect(await exchange(path, lines, 3)).toEqual(answers);
    const socket = connect({ path });
    let text = '';
    socket.setEncoding('utf8').on('data', (more: string) => (text += more));
    for (const byte of Buffer.from(lines)) socket.write(Buffer.from([byte]));
    await until(() => text.split('\n').length === 4, 'three lines');
    expect(
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual(answers);
    socket.destroy();
  });

  test('whose handler fails is answered with code and message, and the client throws the same error', async () => {
    const path = await start(HANDLERS);
    expect(await exchange(path, '{"op":"busy"}\n', 1)).toEqual([
      { ok: false, code: 'EBUSY', message: 'clients are connected' },
    ]);
    await expect(askControl(path, 'busy')).rejects.toMatchObject({
      name: 'CompcacheError',
      code: 'EBUSY',
      message: 'control.busy: clients are connected (EBUSY)',
    });
  });

  test('whose handler has a bug is answered with EIO and no message, and the error is reported', async () => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    const path = await start({
      bug: () => {
        throw new TypeError('secret');
      },
      late: () => Promise.reject(new TypeError('secret')),
      cyclic: () => cyclic,
      big: () => 1n,
    });
    for (const op of ['bug', 'late', 'cyclic', 'big']) {
      const error = await askControl(path, op).catch((caught: CompcacheError) => caught);
      expect(error).toMatchObject({ code: 'EIO' });
      expect((error as Error).message).not.toContain('secret');
    }
    expect(reported).toHaveLength(4);
  });

  test.each([
    '',
    'x',
    '{',
    '[]',
    'null',
    '7',
    '"add"',
    '{}',
    '{"op":7}',
    '{"op":"no"}',
    '{"op":"__proto__"}',
    '{"op":"constructor"}',
    '{"op":"toString"}',
    '{"op":"add","args":[]}',
    '{"op":"add","args":null}',
    '{"op":"add","args":7}',
    Buffer.from([0x22, 0xff, 0x22]),
    '\0',
  ])('%j is EINVAL, and the next one is answered', async (line) => {
    const path = await start(HANDLERS);
    const answers = await exchange(
      path,
      Buffer.concat([Buffer.from(line as string), Buffer.from('\n{"op":"add","args":{"a":1,"b":1}}\n')]),
      2,
    );
    expect(answers[0]).toMatchObject({ ok: false, code: 'EINVAL' });
    expect(answers[1]).toEqual({ ok: true, result: 2 });
  });

  test('may have 64 KiB; a longer one ends the connection', async () => {
    const path = await start({ size: ({ text }) => (text as string).length });
    const line = (length: number): string =>
      JSON.stringify({ op: 'size', args: { text: '' } }).replace('""', `"${'x'.repeat(length)}"`);
    const room = 65536 - line(0).length;
    expect(await exchange(path, `${line(room)}\n`, 1)).toEqual([{ ok: true, result: room }]);
    expect(await exchange(path, `${line(room + 1)}\n${line(1)}\n`)).toEqual([
      expect.objectContaining({ ok: false, code: 'EINVAL' }),
    ]);
    expect(await exchange(path, 'x'.repeat(200_000))).toEqual([expect.objectContaining({ ok: false, code: 'EINVAL' })]);
  });
});

describe('a client', () => {
  test('is ENODEV without a server', async () => {
    const path = join(temporaryFolder(), 's');
    await expect(askControl(path, 'stats')).rejects.toMatchObject({ code: 'ENODEV' });
    await expect(askControl('', 'stats')).rejects.toMatchObject({ code: 'EINVAL' });
  });

  test.each<[string, (socket: Socket) => void]>([
    ['goes', (socket) => void socket.end()],
    ['breaks off', (socket) => void socket.end('{"ok":true')],
    ['answers text', (socket) => void socket.end('hello\n')],
    ['answers something else', (socket) => void socket.end('{"result":1}\n')],
    ['answers an error without a code', (socket) => void socket.end('{"ok":false}\n')],
    ['does not answer', () => {}],
    ['answers too much', (socket) => void socket.end('x'.repeat(17 * 2 ** 20))],
  ])('is EIO when the server %s', async (_what, answer) => {
    const path = join(temporaryFolder(), 's');
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => answer(socket));
    }).listen(path);
    await once(server, 'listening');
    await expect(askControl(path, 'stats', {}, { timeout: 300 })).rejects.toMatchObject({ code: 'EIO' });
    server.close();
  });

  test('that disconnects in the middle of a line, or before its answer, does no harm', async () => {
    const path = await start(HANDLERS);
    const line = '{"op":"wait"}\n';
    for (let sent = 0; sent <= line.length; sent++) {
      const socket = connect({ path });
      await once(socket, 'connect');
      socket.write(line.slice(0, sent));
      if (sent % 2 === 0) socket.destroy();
      else socket.end();
    }
    expect(await askControl(path, 'add', { a: 1, b: 2 })).toBe(3);
  });

  test('that does not read its answers gets no more requests carried out', async () => {
    let calls = 0;
    const path = await start({ big: () => (calls++, 'x'.repeat(100_000)) });
    const socket = connect({ path });
    socket.on('error', () => {});
    socket.pause();
    for (let i = 0; i < 10_000; i++) socket.write('{"op":"big"}\n');
    let last = -1;
    while (last !== calls) {
      last = calls;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(calls).toBeLessThan(100);
    expect(await askControl(path, 'big')).toHaveLength(100_000);
    socket.destroy();
  });

  test('that is idle is dropped after a time; one that waits for its answer is not', async () => {
    const path = await start(
      { slow: () => new Promise((resolve) => setTimeout(() => resolve(1), 300)) },
      { idleTimeout: 100 },
    );
    expect(await exchange(path, '')).toEqual([]);
    expect(await exchange(path, '{"op":')).toEqual([]);
    expect(await askControl(path, 'slow')).toBe(1);
  });
});

describe('the server', () => {
  test('has a socket for this user only, and removes it at the end', async () => {
    const path = join(temporaryFolder(), 's.ctl');
    const server = await serveControl({ path, handlers: HANDLERS });
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    await expect(serveControl({ path, handlers: {} })).rejects.toMatchObject({ code: 'EBUSY' });
    const waiting = askControl(path, 'wait');
    const idle = connect({ path });
    await once(idle, 'connect');
    await new Promise((resolve) => setTimeout(resolve, 10));
    await server.close();
    expect(await waiting).toEqual({ waited: true });
    expect(existsSync(path)).toBe(false);
    await expect(askControl(path, 'add')).rejects.toMatchObject({ code: 'ENODEV' });
  });

  test('takes a limited number of clients, and another one when one leaves', async () => {
    const path = await start(HANDLERS);
    const results = await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) => askControl(path, 'add', { a: i, b: 1 })),
    );
    for (const [i, result] of results.entries()) {
      if (result.status === 'fulfilled') expect(result.value).toBe(i + 1);
      else expect(result.reason).toMatchObject({ code: 'EIO' });
    }
    expect(await askControl(path, 'add', { a: 1, b: 1 })).toBe(2);
  });
});
