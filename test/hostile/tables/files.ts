/** Calls of FileStore, for hosts that have files. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { SLOT_BYTES } from '../../../bindings/index.ts';
import { FileStore, type FileRegion, type FileStoreOptions } from '../../../bindings/backing/file.ts';
import { oddNumber, options, proxy } from '../values.ts';
import type { Entry, World } from '../world.ts';
import { entry, num, size, some, text, without, type Makers } from './arguments.ts';
import { methods, ofClass } from './stores.ts';

const folder = mkdtempSync(join(tmpdir(), 'compcache-hostile-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const NAMES = ['a', 'b', 'c', 'd'];
const SLOTS = 12;

/**
 * A path of a file in the folder, of the folder, or an odd path. No odd path is a name under which a file could be
 * made.
 */
function path(world: World): string | URL {
  const { dice } = world;
  const file = join(folder, dice.of(NAMES));
  switch (dice.below(12)) {
    case 0:
      return pathToFileURL(file);
    case 1:
      return new URL('file://host/x');
    case 2:
      return folder;
    case 3:
      return dice.of<unknown>([
        '',
        'a\0b',
        new URL('http://127.0.0.1/'),
        1n,
        null,
        Symbol('path'),
        {},
        join(folder, 'none', 'x'),
        join(folder, '\ud800'),
      ]) as string;
    case 4:
      return proxy(world, pathToFileURL(file));
    case 5:
      return Object.defineProperty(pathToFileURL(file), 'protocol', {
        get: () => (world.act(), world.dice.once(2) ? 'file:' : world.throw()),
      });
    default:
      return file;
  }
}

export const regionMakers = (world: World): Makers<FileRegion> => ({
  path: () => path(world),
  offset: () => size(world, world.dice.of([0, 10 * SLOT_BYTES])),
  length: () => size(world, 10 * SLOT_BYTES),
});

export function fileMakers(world: World): Makers<FileStoreOptions> {
  const { dice } = world;
  const regions = (): unknown =>
    Array.from({ length: dice.below(4) }, () =>
      dice.once(8) ? oddNumber(world) : some(world, without(regionMakers(world), 'path'), { path: path(world) }, 2),
    );
  return {
    path: () => path(world),
    size: () => size(world, 20 * SLOT_BYTES),
    files: () => (dice.once(6) ? options(world, regions() as object) : regions()),
    slots: () => num(world, SLOTS),
    mode: () => text(world, dice.of(['sync', 'async'])),
    existing: () => text(world, dice.of(['reopen', 'refuse', 'discard', 'overwrite'])),
  };
}

async function makeFile(world: World): Promise<void> {
  const always: Partial<FileStoreOptions> = { path: path(world), slots: SLOTS, existing: 'overwrite' };
  const given = world.dice.once(6)
    ? some(world, fileMakers(world))
    : some(world, without(fileMakers(world), 'path', 'files'), always, 5);
  const store = await FileStore.open(given);
  if (world.dice.once(2)) world.stores.push(store);
  else await store.close();
}

export const FILE_STORE: readonly Entry[] = [
  entry(
    'FileStore.constructor',
    (world) => new (FileStore as unknown as new (...given: unknown[]) => unknown)('sync', options(world, {})),
    1,
  ),
  entry('FileStore.open', makeFile),
  ...methods('FileStore', ofClass(FileStore), makeFile, ['sync', 'used', '[asyncDispose]']),
];
