/**
 * `compcache/backing/file`: a backing store in files, regions of files, or block devices, for Node.
 *
 * Reads and writes by position through the host's page cache. `sync` and `close` call fsync. volume.ts says what is
 * promised after a crash, and what a store refuses to open. New files have mode 0600, because they will hold the memory
 * of a program.
 *
 * Only one store at a time may have a file open (EBUSY). This works among processes that see each other's names
 * (file-lock.ts). On hosts other than Linux and Windows, or where the host forbids such names, a second store is not
 * noticed.
 */
import * as fs from 'node:fs';
import type { Server } from 'node:net';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CompcacheError, MAKER, requireMaker, show, takeOptions } from '../errors.ts';
import { parseBytes } from '../sizes.ts';
import { takeSlots, takeWord } from './arguments.ts';
import { lockFile } from './file-lock.ts';
import { bytesFor, type Extent } from './geometry.ts';
import { failure, sizeOf, textOf, type Medium } from './medium.ts';
import { registerClass } from './own.ts';
import { runAsync } from '../steps.ts';
import type { BackingStore } from './types.ts';
import { EXISTING, VolumeStore, closeAll, openVolume, requireApart, type Existing, type Volume } from './volume.ts';

/** A file, or a region of one. */
export interface FileRegion {
  path: string | URL;
  /** Where the region begins: bytes, or a size like '64MiB'. Default 0. */
  offset?: number | string;
  /**
   * Bytes of the region, or a size. Default: the rest of the file from `offset` on. No byte behind the region is
   * written.
   */
  length?: number | string;
}

export interface FileStoreOptions<M extends BackingStore['mode'] = BackingStore['mode']> {
  /** The file. Either this or `files`. */
  path?: string | URL;
  /** With `path`: the most bytes that the file may have, or a size like '64MiB'. A new file needs this or `slots`. */
  size?: number | string;
  /** Files and regions of files, at most 65,536. Together they make one store, in this order. */
  files?: readonly FileRegion[];
  /** Slots of the store. Default: as many as fit. */
  slots?: number;
  /** 'sync' (default): calls return at once. 'async': calls return promises. */
  mode?: M;
  /**
   * What to do when the files have contents already. A block device, or a file that was filled with zeros before,
   * counts as having contents: the first store there needs 'overwrite'.
   */
  existing?: Existing;
}

const OPTIONS: readonly (keyof FileStoreOptions)[] = ['path', 'size', 'files', 'slots', 'mode', 'existing'];
const REGION_OPTIONS: readonly (keyof FileRegion)[] = ['path', 'offset', 'length'];
const MOST_FILES = 65536;
const PRIVATE = 0o600;
/** Errors of the host for opening a directory, a socket or an absent device. */
const NO_FILE = ['EISDIR', 'ENXIO', 'ENODEV'];

// ── the options ──────────────────────────────────────────────────────────────

interface Region {
  path: string;
  offset: number;
  length: number | undefined;
}

const HREF = Object.getOwnPropertyDescriptor(URL.prototype, 'href')?.get as () => string;

/** The path of a file: URL. Throws for anything else. */
function pathOfUrl(url: unknown): string {
  return fileURLToPath(HREF.call(url));
}

function takePath(op: string, path: unknown): string {
  let taken = path;
  let cause: unknown;
  try {
    if (typeof path === 'object') taken = pathOfUrl(path);
  } catch (error) {
    cause = error;
  }
  if (typeof taken === 'string' && taken !== '' && !taken.includes('\0')) return taken;
  throw new CompcacheError(
    'EINVAL',
    op,
    `path must be a path or the file: URL of a local file, not ${show(path)}`,
    cause === undefined ? undefined : { cause },
  );
}

function takeRegion(op: string, region: unknown): Region {
  const { path, offset = 0, length } = takeOptions<FileRegion>(op, region, REGION_OPTIONS);
  const taken = {
    path: takePath(op, path),
    offset: parseBytes(op, 'offset', offset),
    length: length === undefined ? undefined : parseBytes(op, 'length', length),
  };
  if (!Number.isSafeInteger(taken.offset + (taken.length ?? 0)))
    throw new CompcacheError('EINVAL', op, `a region of ${taken.path} ends beyond 2^53 bytes`);
  return taken;
}

/** The items of a list, each read once. EINVAL. */
function takeList(op: string, files: unknown): unknown[] {
  let cause: unknown;
  try {
    if (Array.isArray(files)) {
      const length: unknown = files.length;
      if (typeof length === 'number' && length >= 1 && length <= MOST_FILES)
        return Array.from({ length }, (_, i) => (files as unknown[])[i]);
    }
  } catch (error) {
    cause = error;
  }
  throw new CompcacheError(
    'EINVAL',
    op,
    `files must be a list of 1 to ${MOST_FILES} files, not ${show(files)}`,
    cause === undefined ? undefined : { cause },
  );
}

function takeRegions(op: string, { path, size, files }: FileStoreOptions): Region[] {
  if ((path === undefined) === (files === undefined))
    throw new CompcacheError('EINVAL', op, 'either path or files must be given');
  if (path !== undefined) return [takeRegion(op, size === undefined ? { path } : { path, length: size })];
  if (size !== undefined)
    throw new CompcacheError('EINVAL', op, 'size goes with path; each item of files has its own length');
  return takeList(op, files).map((region) => takeRegion(op, region));
}

// ── the media ────────────────────────────────────────────────────────────────

const open = promisify(fs.open);
const close = promisify(fs.close);
const fstat = promisify(fs.fstat) as (fd: number, options: { bigint: true }) => Promise<fs.BigIntStats>;
const readlink = promisify(fs.readlink) as (path: string) => Promise<string>;
const realpath = promisify(fs.realpath) as (path: string) => Promise<string>;
const stat = promisify(fs.stat) as (path: string, options: { bigint: true }) => Promise<fs.BigIntStats>;
const ftruncate = promisify(fs.ftruncate);
const fsync = promisify(fs.fsync);
const read = promisify(fs.read) as (
  fd: number,
  into: Uint8Array,
  offset: number,
  length: number,
  at: number,
) => Promise<{ bytesRead: number }>;
const write = promisify(fs.write) as (
  fd: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  at: number,
) => Promise<{ bytesWritten: number }>;

const unlink = promisify(fs.unlink);

/** An open file. */
interface File {
  path: string;
  fd: number;
  /** The path where this call made the file. Undefined for a file that existed. */
  made: string | undefined;
  /** Identifies the file: two paths to the same file give the same key. */
  key: string;
  /** True for a regular file, whose size is known. The size of a block device is not. */
  regular: boolean;
  lock: Server | undefined;
}

function asyncMedium({ fd, regular, lock }: File): Medium {
  return {
    size: async () => (regular ? Number((await fstat(fd, { bigint: true })).size) : Infinity),
    resize: (bytes) => ftruncate(fd, bytes),
    readAt: async (into, at) => (await read(fd, into, 0, into.length, at)).bytesRead,
    writeAt: async (bytes, at) => (await write(fd, bytes, 0, bytes.length, at)).bytesWritten,
    flush: () => fsync(fd),
    close: () => close(fd).finally(() => lock?.close()),
  };
}

function syncMedium({ fd, regular, lock }: File): Medium {
  return {
    size: () => (regular ? fs.fstatSync(fd).size : Infinity),
    resize: (bytes) => fs.ftruncateSync(fd, bytes),
    readAt: (into, at) => fs.readSync(fd, into, 0, into.length, at),
    writeAt: (bytes, at) => fs.writeSync(fd, bytes, 0, bytes.length, at),
    flush: () => fs.fsyncSync(fd),
    close: () => {
      try {
        fs.closeSync(fd);
      } finally {
        lock?.close();
      }
    },
  };
}

const MOST_LINKS = 40;
/** The most times that openLocked tries a path whose file disappears. */
const MOST_REMOVED = 10;

/** The target of a symbolic link. The path itself when it is not a link. */
async function linkedFrom(path: string): Promise<string> {
  try {
    return resolve(await realpath(dirname(path)), await readlink(path));
  } catch {
    return path;
  }
}

/** Opens a file, or makes it. `made` is the path of a new file. Throws the host's errors. */
async function openOrMake(path: string): Promise<{ fd: number; made: string | undefined }> {
  for (let at = path, tries = 0; ; tries++, at = await linkedFrom(at)) {
    try {
      return { fd: await open(at, fs.constants.O_RDWR), made: undefined };
    } catch (error) {
      if (textOf(error, 'code') !== 'ENOENT' || tries === MOST_LINKS) throw error;
    }
    try {
      // With O_EXCL we know that we made the file. A link to a missing file counts as existing, so the loop follows it.
      return {
        fd: await open(at, fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL, PRIVATE),
        made: resolve(at),
      };
    } catch (error) {
      if (textOf(error, 'code') !== 'EEXIST') throw error;
    }
  }
}

function noFile(op: string, path: string, cause?: unknown): CompcacheError {
  return new CompcacheError(
    'EINVAL',
    op,
    `${path} must be a regular file or a block device`,
    cause === undefined ? undefined : { cause },
  );
}

/** The key of a file: two paths to the same file give the same key. Undefined for anything that cannot hold a store. */
function keyOf(stats: fs.BigIntStats): string | undefined {
  if (stats.isFile()) return `${stats.dev}-${stats.ino}`;
  return stats.isBlockDevice() ? `device-${stats.rdev}` : undefined;
}

/** Opens a file, or makes it. EINVAL for anything that is neither a file nor a block device, ENOSPC, EIO. */
async function openFile(op: string, path: string): Promise<File> {
  let opened: { fd: number; made: string | undefined };
  try {
    opened = await openOrMake(path);
  } catch (error) {
    throw NO_FILE.includes(textOf(error, 'code') ?? '') ? noFile(op, path, error) : failure(op, error);
  }
  const { fd, made } = opened;
  try {
    const stats = await fstat(fd, { bigint: true });
    const key = keyOf(stats);
    if (key === undefined) throw noFile(op, path);
    return { path, fd, made, key, regular: stats.isFile(), lock: undefined };
  } catch (error) {
    await close(fd).catch(() => {});
    throw failure(op, error);
  }
}

/** True when a path still leads to the file that was opened by it. */
async function leadsTo({ path, key }: File): Promise<boolean> {
  return stat(path, { bigint: true }).then(
    (stats) => keyOf(stats) === key,
    () => false,
  );
}

/**
 * Opens a file and locks it. Between the two steps, a store that failed to open may remove the file: then it tries
 * again. EBUSY, and the errors of openFile.
 */
async function openLocked(op: string, path: string, known: (key: string) => boolean): Promise<File> {
  for (let tries = 1; ; tries++) {
    const file = await openFile(op, path);
    if (known(file.key)) return file;
    try {
      file.lock = await lockFile(op, path, file.key);
    } catch (error) {
      await close(file.fd).catch(() => {});
      throw error;
    }
    if (tries === MOST_REMOVED || (await leadsTo(file))) return file;
    await close(file.fd).catch(() => {});
    file.lock?.close();
  }
}

/** The media of a store's files: one for each file, even when the store uses several regions of it. */
class Media {
  readonly #op: string;
  readonly #make: (file: File) => Medium;
  readonly #byKey = new Map<string, Medium>();
  readonly #folders = new Set<string>();
  readonly #made: string[] = [];

  constructor(op: string, mode: BackingStore['mode']) {
    this.#op = op;
    this.#make = mode === 'sync' ? syncMedium : asyncMedium;
  }

  /** The medium of a file. EBUSY when another store has the file open. */
  async of(path: string): Promise<Medium> {
    const file = await openLocked(this.#op, path, (key) => this.#byKey.has(key));
    const known = this.#byKey.get(file.key);
    if (known !== undefined) {
      await close(file.fd).catch(() => {});
      return known;
    }
    const medium = this.#make(file);
    this.#byKey.set(file.key, medium);
    this.#folders.add(dirname(path));
    if (file.made !== undefined) this.#made.push(file.made);
    return medium;
  }

  /** Makes the directory entries of new files durable, where the host can sync a folder. */
  async flushFolders(): Promise<void> {
    for (const folder of this.#folders) {
      try {
        const fd = await open(folder, fs.constants.O_RDONLY);
        await fsync(fd).finally(() => close(fd));
      } catch {
        continue; // Windows cannot sync a folder
      }
    }
  }

  /**
   * Removes the files that were made, and closes all files. Ignores errors: the caller reports the error that came
   * first.
   */
  async drop(): Promise<void> {
    // Remove first: all files are still locked, so no other store can have opened one.
    for (const path of this.#made) await unlink(path).catch(() => {});
    await runAsync(closeAll(this.#op, [...this.#byKey.values()])).catch(() => {});
  }
}

// ── the store ────────────────────────────────────────────────────────────────

/** The bytes of a region: its option `length`, or else what `slots` need, or else the rest of the file. */
function bytesOf(op: string, region: Region, slots: number | undefined, size: number): number {
  const length = region.length ?? (slots === undefined ? Math.max(size - region.offset, 0) : bytesFor(slots));
  if (length === Infinity)
    throw new CompcacheError('EINVAL', op, `${region.path} does not tell its size: give size or length`);
  if (length === 0) throw new CompcacheError('EINVAL', op, `${region.path} is new: give size, length or slots`);
  return length;
}

async function extentsOf(
  op: string,
  regions: readonly Region[],
  slots: number | undefined,
  media: Media,
): Promise<Extent[]> {
  const lone = regions.length === 1 ? slots : undefined;
  const extents: Extent[] = [];
  for (const region of regions) {
    const medium = await media.of(region.path);
    const size = await runAsync(sizeOf(op, medium));
    extents.push({ medium, offset: region.offset, length: bytesOf(op, region, lone, size) });
  }
  requireApart(op, extents);
  return extents;
}

/**
 * A backing store in files. Its calls return at once or return promises, depending on the mode.
 *
 * Errors of every method: EINVAL for a bad argument, ENOSPC for a slot beyond `slots` or a full disk, EIO for a file
 * that fails, ECLOSED after close.
 */
export class FileStore<M extends BackingStore['mode'] = BackingStore['mode']> extends VolumeStore<M> {
  static {
    registerClass(FileStore.prototype);
  }

  private constructor(maker: unknown, mode: M, volume: Volume) {
    requireMaker(maker, 'FileStore', 'FileStore.open');
    super(MAKER, 'FileStore', mode, volume);
  }

  /**
   * Opens a store, or makes one when there is none. A store that was not closed in order, or has another size or other
   * regions or slots, is replaced by a new, empty one, unless `existing` says otherwise. Each file or region holds its
   * label (one unit of SLOT_BYTES bytes) and whole slots of SLOT_BYTES bytes. The first one also holds the slot map.
   * When the store cannot be opened, files that were made for it are removed.
   * @throws EINVAL for bad options, for regions that overlap or are too small, and for anything that is not a file (a
   *   directory, a pipe); EBUSY for a file that is open in another store, with the process id of its owner when known;
   *   EUCLEAN for bytes that are not from this package, and with existing: 'reopen' for a store that was not closed, is
   *   damaged, or was made with other regions or slots; EEXIST with 'refuse'; ENOMEM when the host has no memory for
   *   the slot map; ENOSPC; EIO
   */
  static async open<M extends BackingStore['mode'] = 'sync'>(options: FileStoreOptions<M>): Promise<FileStore<M>> {
    const op = 'FileStore.open';
    const taken = takeOptions<FileStoreOptions>(op, options, OPTIONS);
    const regions = takeRegions(op, taken);
    const slots = takeSlots(op, taken.slots);
    const mode = takeWord<BackingStore['mode']>(op, 'mode', taken.mode, ['sync', 'async']) ?? 'sync';
    const existing = takeWord(op, 'existing', taken.existing, EXISTING);
    const trim = taken.path !== undefined && existing !== 'overwrite';
    const media = new Media(op, mode);
    try {
      const extents = await extentsOf(op, regions, slots, media);
      const volume = await runAsync(openVolume(op, extents, { slots, existing, trim }));
      if (volume.fresh) await media.flushFolders();
      return new FileStore<M>(MAKER, mode as M, volume);
    } catch (error) {
      await media.drop();
      throw failure(op, error);
    }
  }
}
