/** Hostile calls that need files or threads: FileStore, and shared buffers that another thread grows during a copy. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { ALLOCATORS, PAGE_SIZE, Ram, Ramzswap, Zswap } from '../../bindings/index.ts';
import { FileStore } from '../../bindings/backing/file.ts';
import { isOurs } from './actors.ts';
import { pageAt, equal } from './content.ts';
import { callable, known } from './coverage.ts';
import { drawEpisode, play, report } from './play.ts';
import { fileMakers, regionMakers, FILE_STORE } from './tables/files.ts';
import { CLASSES } from './tables/index.ts';
import { Witness } from './witness.ts';
import { World } from './world.ts';
import { SEED, budgeted } from '../seed.ts';

const classes = new Map([...CLASSES, ['FileStore', FILE_STORE]]);

describe('hostile callers with files', () => {
  test('the generator has every method and option of FileStore', async () => {
    expect(known(classes, 'FileStore')).toEqual(callable('FileStore', FileStore));
    const world = await World.create('release', classes, 1);
    await expect(FileStore.open({ '?': 1 } as never)).rejects.toThrow(
      `known: ${Object.keys(fileMakers(world)).join(', ')} `,
    );
    await expect(FileStore.open({ files: [{ '?': 1 }] } as never)).rejects.toThrow(
      `known: ${Object.keys(regionMakers(world)).join(', ')} `,
    );
  });

  test('FileStore', async () => {
    const before = readdirSync('.');
    let calls = 0;
    for (let nth = 0; calls < budgeted(1000); nth++) {
      const episode = drawEpisode(classes, 'release', SEED + nth, 'FileStore', 120);
      const result = await play(classes, episode);
      if ('fault' in result) throw await report(classes, episode, result.fault, 20_000);
      calls += result.calls;
    }
    expect(readdirSync('.')).toEqual(before); // no file may be left in the folder that the tests run in
  });
});

/** A worker that grows every shared buffer it is sent, as far as possible. */
const GROWS = `
  const { parentPort } = require('node:worker_threads');
  parentPort.on('message', (buffer) => {
    while (buffer.byteLength < buffer.maxByteLength) buffer.grow(Math.min(buffer.byteLength + 4096, buffer.maxByteLength));
    parentPort.postMessage('grown');
  });
`;

describe('a shared buffer that grows in another thread', () => {
  const GROWN = 2 ** 20;
  const newShared = SharedArrayBuffer as unknown as new (
    bytes: number,
    options: { maxByteLength: number },
  ) => SharedArrayBuffer;

  test.each(ALLOCATORS)('is copied with its old length, or refused, %s', async (allocator) => {
    const worker = new Worker(GROWS, { eval: true });
    await once(worker, 'online');
    try {
      const ram = await Ram.create({ bytes: '2MiB' });
      const free = ram.freeFrames;
      const witness = await Witness.create(ram, allocator);
      const pool = ram.zpool(allocator);
      const handle = pool.malloc(3000);
      const zswap = await Zswap.create({ ram, allocator });
      const device = await Ramzswap.create({ ram, allocator, disksize: 8 * PAGE_SIZE });
      const right = pageAt(20, 1);
      const codec = ram.codec('lz4');
      const into = new Uint8Array(2 * PAGE_SIZE);
      let room: Uint8Array = into;
      const calls = [
        (bytes: Uint8Array) => pool.write(handle, bytes),
        (bytes: Uint8Array) => void pool.freePage(pool.storePage(bytes)),
        () => void pool.read(handle, room),
        (bytes: Uint8Array) => void zswap.store(0, 1, bytes),
        (bytes: Uint8Array) => device.writePage(1, bytes),
        (bytes: Uint8Array) => device.write(100, bytes),
        () => device.readPage(1, room),
        (bytes: Uint8Array) => void codec.compress(bytes, into),
      ];
      for (let round = 0; round < 25; round++) {
        const shared = new newShared(PAGE_SIZE, { maxByteLength: GROWN });
        const bytes = new Uint8Array(shared); // the length of the array follows the buffer
        bytes.set(right);
        const target = new newShared(PAGE_SIZE, { maxByteLength: GROWN });
        room = new Uint8Array(target);
        const grown = once(worker, 'message');
        const until = Date.now() + 10_000;
        worker.postMessage(shared);
        worker.postMessage(target);
        while (shared.byteLength < GROWN && Date.now() < until) {
          for (const call of calls) {
            try {
              call(bytes);
            } catch (error) {
              if (!isOurs(error)) throw error;
            }
          }
        }
        await grown;
        expect(witness.changed()).toBe(undefined);
        ram.check();
      }
      const page = new Uint8Array(PAGE_SIZE);
      if (zswap.load(0, 1, page)) expect(equal(page, right)).toBe(true);
      await zswap.close();
      await device.close();
      pool.destroy();
      await witness.close();
      expect(ram.freeFrames).toBe(free);
    } finally {
      await worker.terminate();
    }
  });
});
