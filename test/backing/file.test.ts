/** FileStore on real files: the suite, the options, locks, and files that a killed process leaves. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  linkSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { FileStore, type FileStoreOptions } from '../../bindings/backing/file.ts';
import { bytesFor } from '../../bindings/backing/geometry.ts';
import { SLOT_BYTES, type BackingStore } from '../../bindings/backing/types.ts';
import { CompcacheError, type ErrorCode } from '../../bindings/errors.ts';
import { fault, rejected } from '../harness.ts';
import { content } from './content.ts';
import type { Line } from './file-child.ts';
import { expectContent, expectModel, play, testBackingStore } from './suite.ts';

let folder = '';
let made = 0;
/** The import of FileStore in a script that runs in its own process. */
const FILE_STORE = JSON.stringify(pathToFileURL(join(inject('programs'), 'file-store.mjs')));

beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'compcache-file-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A path of a file that does not exist. */
function fresh(): string {
  return join(folder, `store-${made++}`);
}

async function openCode(options: unknown): Promise<ErrorCode | 'opened'> {
  try {
    await (await FileStore.open(options as FileStoreOptions)).close();
    return 'opened';
  } catch (error) {
    if (!(error instanceof CompcacheError)) throw error;
    expect(error.op).toBe('FileStore.open');
    return error.code;
  }
}

/** Several files, with regions out of order and holes between them. One region has room for a single slot. */
function scattered(): FileStoreOptions['files'] {
  const [a, b] = [fresh(), fresh()];
  return [
    { path: a, offset: '1MiB', length: 20 * SLOT_BYTES + 5 },
    { path: b, length: 2 * SLOT_BYTES },
    { path: a, offset: 777, length: 12 * SLOT_BYTES },
    { path: b, offset: '64K', length: '100K' },
  ];
}

for (const mode of ['sync', 'async'] as const) {
  testBackingStore({
    name: `FileStore, ${mode}`,
    mode,
    type: 'FileStore',
    open: (slots) => FileStore.open<BackingStore['mode']>({ path: fresh(), slots, mode }),
  });
  testBackingStore({
    name: `FileStore, ${mode}, of several files and regions`,
    mode,
    type: 'FileStore',
    open: (slots) => FileStore.open<BackingStore['mode']>({ files: scattered() as [], slots, mode }),
  });
}

describe('FileStore', () => {
  test('reopens with its slots, in either mode, from a path or a URL', async () => {
    for (const files of [[{ path: fresh(), length: '1MiB' }], scattered() as []]) {
      let model = new Map<number, Uint8Array>();
      for (const mode of ['sync', 'async', 'sync'] as const) {
        const store = await FileStore.open({ files, mode });
        expect(store.used).toBe(model.size);
        await expectModel(store, store.slots, model);
        for (const slot of model.keys()) await store.free(slot);
        model = await play(store, store.slots, 60, made);
        await store.sync();
        await store[Symbol.asyncDispose]();
      }
    }
    const path = fresh();
    const store = await FileStore.open({ path, slots: 3 });
    store.write(2, content(2, 1, 100));
    store.close();
    const again = await FileStore.open({ path: pathToFileURL(path) });
    expect([again.slots, again.used]).toEqual([3, 1]);
    again.close();
  });

  test('has as many slots as fit the size, and needs no byte more', async () => {
    for (const [size, slots] of [
      ['1MiB', 252],
      [3 * SLOT_BYTES, 1],
      [bytesFor(33025) + 1, 33025],
    ] as const) {
      const path = fresh();
      const store = await FileStore.open({ path, size });
      expect(store.slots).toBe(slots);
      store.write(slots - 1, content(1, 1, SLOT_BYTES));
      store.close();
      expect(statSync(path).size).toBe(bytesFor(slots));
    }
  });

  test('does not change the bytes around its regions', async () => {
    const path = fresh();
    writeFileSync(path, new Uint8Array(100_000).fill(0x5a));
    const files = [
      { path, offset: 10_001, length: 30_000 },
      { path, offset: 50_003, length: 30_000 },
    ];
    expect(await openCode({ files })).toBe('EUCLEAN');
    const store = await FileStore.open({ files, existing: 'overwrite' });
    for (let slot = 0; slot < store.slots; slot++) store.write(slot, content(slot, 1, SLOT_BYTES));
    for (let slot = 0; slot < store.slots; slot++) await expectContent(store, slot, content(slot, 1, SLOT_BYTES));
    store.close();
    const bytes = readFileSync(path);
    expect(bytes.length).toBe(100_000);
    for (const [from, to] of [
      [0, 10_001],
      [40_001, 50_003],
      [80_003, 100_000],
    ])
      expect(bytes.subarray(from, to).every((byte) => byte === 0x5a)).toBe(true);
  });

  test('creates its file so that only its owner can read and write it', async () => {
    const path = fresh();
    await openCode({ path, slots: 1 });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('handles an existing file as the option existing says', async () => {
    const path = fresh();
    const theirs = fresh();
    writeFileSync(theirs, 'a letter to somebody');
    expect(await openCode({ path, slots: 2, existing: 'refuse' })).toBe('opened');
    for (const [existing, ours, foreign] of [
      ['refuse', 'EEXIST', 'EEXIST'],
      [undefined, 'opened', 'EUCLEAN'],
      ['reopen', 'opened', 'EUCLEAN'],
      ['discard', 'opened', 'EUCLEAN'],
    ]) {
      expect(await openCode({ path, slots: 2, existing })).toBe(ours);
      expect(await openCode({ path: theirs, slots: 2, existing })).toBe(foreign);
    }
    expect(readFileSync(theirs, 'utf8')).toBe('a letter to somebody');
    truncateSync(path, bytesFor(2) - 1);
    for (const options of [{ path }, { path, slots: 2 }, { path, size: '1MiB' }])
      expect(await openCode({ ...options, existing: 'reopen' })).toBe('EUCLEAN');
    expect(await openCode({ path, slots: 2 })).toBe('opened');
    expect(await openCode({ path, slots: 2, existing: 'reopen' })).toBe('opened');
    expect(await openCode({ path: theirs, slots: 2, existing: 'overwrite' })).toBe('opened');
  });

  test.each(['sync', 'async'] as const)(
    'an existing store of another size is replaced, and the file gets the new size, %s',
    async (mode) => {
      const path = fresh();
      for (const slots of [5, 3, 8]) {
        const store = await FileStore.open({ path, slots, mode });
        expect([store.slots, store.used, statSync(path).size]).toEqual([slots, 0, bytesFor(slots)]);
        await store.write(slots - 1, content(1, 1, 100));
        await store.close();
        const again = await FileStore.open({ path, slots, mode });
        expect(again.used).toBe(1);
        await again.close();
        expect(await openCode({ path, slots: slots + 1, existing: 'reopen' })).toBe('EUCLEAN');
      }
      const files = [
        { path: fresh(), length: '1MiB' },
        { path: fresh(), length: '1MiB' },
      ];
      const store = await FileStore.open({ files });
      store.write(300, content(1, 1, 100));
      store.close();
      const more = [...files, { path: fresh(), length: '1MiB' }];
      expect(await openCode({ files: more, existing: 'reopen' })).toBe('EUCLEAN');
      const larger = await FileStore.open({ files: more });
      expect([larger.slots, larger.used]).toEqual([3 * 253 - 1, 0]);
      larger.close();
    },
  );

  test('an open that fails creates no file, and does not change existing files', async () => {
    const theirs = fresh();
    writeFileSync(theirs, 'a letter to somebody');
    const before = readdirSync(folder);
    const link = `${fresh()}-link`;
    symlinkSync('nowhere', link);
    for (const mode of ['sync', 'async']) {
      for (const [options, code] of [
        [{ path: fresh() }, 'EINVAL'],
        [{ path: fresh(), size: 100 }, 'EINVAL'],
        [{ path: fresh(), size: 3 * SLOT_BYTES, slots: 2 }, 'EINVAL'],
        [{ path: link, size: 1 }, 'EINVAL'],
        [
          {
            files: [
              { path: fresh(), length: '1MiB' },
              { path: theirs, length: '1MiB' },
            ],
          },
          'EUCLEAN',
        ],
        [
          {
            files: [
              { path: fresh(), length: '1MiB' },
              { path: folder, length: '1MiB' },
            ],
          },
          'EINVAL',
        ],
        [
          {
            files: [
              { path: fresh(), length: '1MiB' },
              { path: join(folder, 'no', 'such'), length: '1MiB' },
            ],
          },
          'EIO',
        ],
        // Larger than a file may be: ENOSPC, after the region behind the foreign content has its label.
        [
          {
            files: [
              { path: theirs, offset: 4096, length: '1MiB' },
              { path: fresh(), offset: 2 ** 52, length: '1MiB' },
            ],
          },
          'ENOSPC',
        ],
        [
          {
            files: [
              { path: theirs, offset: 4096, length: '1MiB' },
              { path: fresh(), offset: 2 ** 53 - 10, length: '1MiB' },
            ],
          },
          'EINVAL',
        ],
      ] as const)
        expect(await openCode({ ...options, mode }), JSON.stringify(options)).toBe(code);
    }
    rmSync(link);
    expect(readdirSync(folder)).toEqual(before);
    expect(readFileSync(theirs, 'utf8')).toBe('a letter to somebody');
  });

  test('follows a symbolic link whose target does not exist yet', async () => {
    const [path, target] = [fresh(), fresh()];
    symlinkSync(target, path);
    expect(await openCode({ path, slots: 1 })).toBe('opened');
    expect(statSync(target).size).toBe(bytesFor(1));
    const round = fresh();
    symlinkSync(round, round);
    expect(await openCode({ path: round, slots: 1 })).toBe('EIO');
  });

  test('refuses bad options', async () => {
    const path = fresh();
    const region = { path, length: '1MiB' };
    for (const options of [
      undefined,
      null,
      'path',
      {},
      { path, files: [region] },
      { path },
      { path: '' },
      { path: 'a\0b', slots: 1 },
      { path: 7, slots: 1 },
      { path: new URL('http://localhost/x'), slots: 1 },
      { path, slots: 0 },
      { path, slots: 1.5 },
      { path, size: 'much' },
      { path, size: -1 },
      { path, size: 3 * SLOT_BYTES - 1 },
      { path, size: 3 * SLOT_BYTES, slots: 2 },
      { path, slots: 1, mode: 'later' },
      { path, slots: 1, existing: 'keep' },
      { path, slots: 1, length: 4 },
      { files: [] },
      { files: region },
      { files: [region], size: 4 },
      { files: [null] },
      { files: [{ ...region, at: 1 }] },
      { files: [{ path }] },
      { files: [{ ...region, offset: -1 }] },
      { files: [region, region] },
      { files: [region, { path, offset: '512K', length: '1MiB' }] },
      { files: [region, { path: fresh(), length: SLOT_BYTES }] },
      { path: new URL('file://elsewhere/x'), slots: 1 },
      { path: new URL('file:///a%2Fb'), slots: 1 },
      { path: new URL('file:///a%00b'), slots: 1 },
      { path: { protocol: 'file:', href: 'file:///x' }, slots: 1 },
      { files: Array(2 ** 32 - 1) },
    ])
      expect(await openCode(options)).toBe('EINVAL');
    const no = (): never => {
      throw new Error('no');
    };
    const hostile = new Proxy({}, { get: no, has: no, ownKeys: no, getPrototypeOf: no });
    const revoked = Proxy.revocable<unknown[]>([], {});
    revoked.revoke();
    for (const options of [
      hostile,
      { path: hostile, slots: 1 },
      { path: Object.create(URL.prototype) as URL, slots: 1 },
      { files: hostile },
      { files: revoked.proxy },
      { files: [hostile] },
      { files: new Proxy([region], { get: no }) },
      { path, slots: hostile },
      { path, size: hostile },
      { path, mode: hostile, slots: 1 },
      {
        get path() {
          return no();
        },
      },
    ])
      expect(await openCode(options)).toBe('EINVAL');
  });

  test('reads each option once', async () => {
    const [path, other] = [fresh(), fresh()];
    const asked: Record<string, number> = {};
    const options = new Proxy<Record<string, unknown>>(
      { path, slots: 2, mode: 'sync' },
      {
        get: (target, name: string) => {
          asked[name] = (asked[name] ?? 0) + 1;
          return asked[name] === 1 ? target[name] : other;
        },
      },
    );
    expect(await openCode(options)).toBe('opened');
    expect(statSync(path).size).toBe(bytesFor(2));
    expect(Object.values(asked).every((times) => times === 1)).toBe(true);
  });

  test('the constructor is not public', () => {
    const Open = FileStore as unknown as new (...args: unknown[]) => unknown;
    const Base = Object.getPrototypeOf(FileStore) as typeof Open;
    for (const args of [[], ['sync', {}], [Symbol('compcache'), 'sync', {}]]) {
      fault({ code: 'EINVAL', op: 'new FileStore', says: 'FileStore.open' }, () => new Open(...args));
      fault({ code: 'EINVAL', op: 'new VolumeStore', says: 'FileStore.open' }, () => new Base(...args));
    }
  });

  test('refuses a path that is not a file; a file that cannot be opened is EIO with the cause', async () => {
    expect(await openCode({ path: '/dev/null', slots: 1 })).toBe('EINVAL');
    expect(await openCode({ path: folder, slots: 1 })).toBe('EINVAL');
    expect(await openCode({ path: `${folder}/`, slots: 1 })).toBe('EINVAL');
    const socket = createServer().listen(`${folder}/socket`);
    await once(socket, 'listening');
    expect(await openCode({ path: `${folder}/socket`, slots: 1 })).toBe('EINVAL');
    socket.close();
    const error = await FileStore.open({ path: join(folder, 'no', 'such'), slots: 1 }).catch(
      (caught: unknown) => caught as CompcacheError,
    );
    expect(error).toMatchObject({ code: 'EIO', cause: { code: 'ENOENT' } });
  });

  test('keeps no file open after it was refused or closed', async () => {
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const theirs = fresh();
    writeFileSync(theirs, 'a letter to somebody');
    await openCode({ path: fresh(), slots: 1 });
    const before = descriptors();
    for (let i = 0; i < 5; i++) {
      expect(
        await openCode({
          files: [
            { path: fresh(), length: '1MiB' },
            { path: theirs, length: '1MiB' },
          ],
        }),
      ).toBe('EUCLEAN');
      expect(await openCode({ path: folder, slots: 1 })).toBe('EINVAL');
      expect(await openCode({ path: '/dev/null', slots: 1 })).toBe('EINVAL');
      expect(await openCode({ path: fresh(), slots: 1, mode: 'async' })).toBe('opened');
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(descriptors()).toBeLessThanOrEqual(before);
  });
});

describe('a file that is open in a store', () => {
  test('cannot be opened a second time, under any name (EBUSY), until it is closed', async () => {
    const path = fresh();
    const names = [path, `${path}-symbolic`, `${path}-hard`, pathToFileURL(path)];
    const store = await FileStore.open({ path, slots: 4 });
    symlinkSync(path, `${path}-symbolic`);
    linkSync(path, `${path}-hard`);
    for (const name of names) {
      for (const existing of ['reopen', 'overwrite'] as const)
        expect(await openCode({ path: name, slots: 4, existing })).toBe('EBUSY');
    }
    expect(
      await openCode({
        files: [
          { path: fresh(), length: '1MiB' },
          { path, offset: '1MiB', length: '1MiB' },
        ],
      }),
    ).toBe('EBUSY');
    store.write(0, content(0, 1, 10));
    store.close();
    for (const name of names) expect(await openCode({ path: name, slots: 4 })).toBe('opened');
  });

  test('does not keep the process alive', async () => {
    const script = `import { FileStore } from ${FILE_STORE}; await FileStore.open({ path: ${JSON.stringify(fresh())}, slots: 1 });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      cwd: join(import.meta.dirname, '../..'),
      stdio: 'ignore',
    });
    expect(await new Promise((resolve) => child.on('exit', resolve))).toBe(0);
  });
});

// ── killed processes ─────────────────────────────────────────────────────────

/**
 * Runs a store in a process. Kills the process when `when` returns true, unless it kills itself first. @returns the
 * lines that it printed
 */
function killedProcess(
  args: readonly (string | number)[],
  when: (line: Line, count: number) => boolean,
): Promise<Line[]> {
  const child = spawn(process.execPath, [join(inject('programs'), 'file-child.mjs'), ...args.map(String)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: Line[] = [];
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text) as Line;
    if (when(line, lines.push(line))) child.kill('SIGKILL');
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (_, signal) => {
      if (signal === 'SIGKILL') resolve(lines);
      else reject(new Error(`the process ended by itself (${signal})`));
    });
  });
}

/**
 * After a kill: the store has the slots of the last close (or of the close that was running), or it is refused, but the
 * default option makes a new store. No lock is left.
 */
async function expectAllOrNothing(path: string, lines: readonly Line[]): Promise<'opened' | 'refused'> {
  const code = await openCode({ path, slots: 64, existing: 'reopen' });
  if (code !== 'opened') {
    expect(code).toBe('EUCLEAN');
    const anew = await FileStore.open({ path, slots: 64 });
    expect(anew.used).toBe(0);
    anew.close();
    return 'refused';
  }
  const store = await FileStore.open({ path, slots: 64 });
  const states = (['closed', 'closing'] as const).map(
    (state) => lines.findLast(({ did }) => did === state)?.slots ?? [],
  );
  const checks = states.map((slots) =>
    expectModel(store, 64, new Map(slots.map(([slot, version]) => [slot, content(slot, version, 3000)]))),
  );
  await Promise.any(checks);
  store.close();
  return 'opened';
}

describe.each(['sync', 'async'] as const)('after SIGKILL, %s', (mode) => {
  test.each([1, 17, 70])('in write %i: the store is refused, or a new one is made', async (writes) => {
    const path = fresh();
    const lines = await killedProcess([path, mode, writes, writes], () => false);
    expect(lines.at(-1)?.did).toBe('open');
    expect(await expectAllOrNothing(path, lines)).toBe('refused');
  });

  test.each([1, 2, 3, 4, 5, 6])(
    'near a close, run %i: the store has the slots of a close, or is refused',
    async (run) => {
      const path = fresh();
      const lines = await killedProcess(
        [path, mode, run, 0],
        ({ did }, count) => count >= 3 * run && did === (run % 2 === 0 ? 'closing' : 'open'),
      );
      await expectAllOrNothing(path, lines);
    },
  );
});

/** A process that opens a store, and then runs `then`. */
async function owner(path: string, then: string): Promise<ChildProcess> {
  const script = `import { FileStore } from ${FILE_STORE}; const store = await FileStore.open({ path: ${JSON.stringify(path)}, slots: 4 }); console.log('open'); ${then}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: join(import.meta.dirname, '../..'),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return child;
}

test.each([
  ['idle', 'setInterval(() => {}, 1e6);'],
  ['busy', 'for (;;) store.write(0, new Uint8Array(9));'],
])(
  'a store that another process has open, %s, is EBUSY with its process number until the process is killed',
  async (_, then) => {
    const path = fresh();
    const child = await owner(path, then);
    for (const name of [path, pathToFileURL(path)]) {
      const error = await rejected(
        { code: 'EBUSY', op: 'FileStore.open', says: path },
        FileStore.open({ path: name, slots: 4 }),
      );
      expect(error.message).toContain(`process ${child.pid}`);
    }
    child.kill('SIGKILL');
    await new Promise((resolve) => child.on('exit', resolve));
    expect(await openCode({ path, slots: 4, existing: 'reopen' })).toBe('EUCLEAN');
    expect(await openCode({ path, slots: 4 })).toBe('opened');
  },
);

test('of several stores that open one file at the same time, at most one opens; the others do not take its lock', async () => {
  for (let round = 0; round < 20; round++) {
    const path = fresh();
    const opened = await Promise.allSettled([
      FileStore.open({ path, slots: 4 }),
      FileStore.open({ path, size: 100 }),
      FileStore.open({ path, slots: 4, mode: 'async' }),
      FileStore.open({ files: [{ path, length: 1 }] }),
    ]);
    const stores = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(stores.length).toBeLessThanOrEqual(1);
    for (const result of opened)
      if (result.status === 'rejected') expect(['EBUSY', 'EINVAL']).toContain((result.reason as CompcacheError).code);
    for (const store of stores) {
      await store.write(1, content(1, round, 100));
      await store.close();
      const again = await FileStore.open({ path });
      expect(again.used).toBe(1);
      again.close();
    }
  }
});
