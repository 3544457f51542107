/**
 * `compcache/backing/file`: a backing store in files, regions of files, or block devices, for Node.
 *
 * Positioned reads and writes through the host's page cache; fsync at `sync` and `close`. What is promised after a crash, and
 * what a store refuses to open, is in volume.ts. The files are made with mode 0600: they will hold the memory of a program.
 *
 * One file is open in one store at a time (EBUSY). A store holds a name that the kernel gives back when the process ends,
 * however it ends, so that nothing stale can block: on Linux an abstract socket (seen by processes of the same network
 * namespace), on Windows a pipe. Elsewhere, or where the host forbids it, a second store is not noticed.
 */
import * as fs from 'node:fs';
import { createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CompcacheError, requireOptions, show } from '../errors.ts';
import { parseBytes } from '../sizes.ts';
import { takeSlots, takeWord } from './arguments.ts';
import { bytesFor, type Extent } from './geometry.ts';
import { ask, type Medium } from './medium.ts';
import { runAsync } from './steps.ts';
import type { BackingStore } from './types.ts';
import { EXISTING, VolumeStore, closeAll, openVolume, requireApart, type Existing, type Volume } from './volume.ts';

/** A file, or a region of one. */
export interface FileRegion {
  path: string | URL;
  /** Where it begins, bytes or a size like '64MiB'; 0 unless given. */
  offset?: number | string;
  /** Its bytes, or a size; all that the file has from `offset` on unless given. No byte behind it is written. */
  length?: number | string;
}

export interface FileStoreOptions<M extends BackingStore['mode'] = BackingStore['mode']> {
  /** The file. Either this or `files`. */
  path?: string | URL;
  /** With `path`: the most bytes that the file may have, or a size like '64MiB'. A new file needs this or `slots`. */
  size?: number | string;
  /** Files and regions of files, which make one store in this order. */
  files?: readonly FileRegion[];
  /** Slots; as many as fit unless given. */
  slots?: number;
  /** 'sync' (default): calls answer at once; 'async': with promises. */
  mode?: M;
  /**
   * What to do where something is already; 'reopen' unless given. A block device, or a file that was filled with zeros
   * beforehand, is something: its first store takes 'overwrite'.
   */
  existing?: Existing;
}

const OPTIONS: readonly (keyof FileStoreOptions)[] = ['path', 'size', 'files', 'slots', 'mode', 'existing'];
const REGION_OPTIONS: readonly (keyof FileRegion)[] = ['path', 'offset', 'length'];
const FLAGS = fs.constants.O_RDWR | fs.constants.O_CREAT;
const PRIVATE = 0o600;

// ── the options ──────────────────────────────────────────────────────────────

interface Region {
  path: string;
  offset: number;
  length: number | undefined;
}

function takePath(op: string, path: unknown): string {
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return path;
  if (path instanceof URL && path.protocol === 'file:') return fileURLToPath(path);
  throw new CompcacheError('EINVAL', op, `path must be a path or a file: URL, not ${show(path)}`);
}

function takeRegion(op: string, region: FileRegion): Region {
  requireOptions(op, region, REGION_OPTIONS);
  const { path, offset = 0, length } = region;
  return {
    path: takePath(op, path),
    offset: parseBytes(op, 'offset', offset),
    length: length === undefined ? undefined : parseBytes(op, 'length', length),
  };
}

function takeRegions(op: string, { path, size, files }: FileStoreOptions): Region[] {
  if ((path === undefined) === (files === undefined)) throw new CompcacheError('EINVAL', op, 'either path or files must be given');
  if (path !== undefined) return [takeRegion(op, size === undefined ? { path } : { path, length: size })];
  if (size !== undefined) throw new CompcacheError('EINVAL', op, 'size goes with path; the entries of files have a length each');
  if (!Array.isArray(files) || files.length === 0) throw new CompcacheError('EINVAL', op, `files must be a list of at least one file, not ${show(files)}`);
  return (files as FileRegion[]).map((region) => takeRegion(op, region));
}

// ── the lock ─────────────────────────────────────────────────────────────────

function lockName(key: string): string | undefined {
  if (process.platform === 'linux') return `\0compcache-${key}`;
  if (process.platform === 'win32') return `\\\\.\\pipe\\compcache-${key}`;
  return undefined;
}

/** Listens under a name; undefined where the host has or allows no such names. EBUSY when it is taken. */
function hold(op: string, path: string, name: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => void socket.destroy());
    server.on('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EADDRINUSE') reject(new CompcacheError('EBUSY', op, `${path} is open in another store`, { cause }));
      else resolve(undefined);
    });
    server.listen({ path: name, exclusive: true }, () => resolve(server.unref()));
  });
}

// ── the media ────────────────────────────────────────────────────────────────

const open = promisify(fs.open);
const close = promisify(fs.close);
const fstat = promisify(fs.fstat) as (fd: number, options: { bigint: true }) => Promise<fs.BigIntStats>;
const ftruncate = promisify(fs.ftruncate);
const fsync = promisify(fs.fsync);
const read = promisify(fs.read) as (fd: number, into: Uint8Array, offset: number, length: number, at: number) => Promise<{ bytesRead: number }>;
const write = promisify(fs.write) as (fd: number, bytes: Uint8Array, offset: number, length: number, at: number) => Promise<{ bytesWritten: number }>;

/** An open file. */
interface File {
  path: string;
  fd: number;
  /** The same for the same file, whatever its path. */
  key: string;
  /** Whether its size is told: that of a block device is not. */
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
    close: async () => {
      await close(fd);
      lock?.close();
    },
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
      fs.closeSync(fd);
      lock?.close();
    },
  };
}

/** Opens a file, or makes it. EINVAL for what is neither a file nor a block device, EIO. */
async function openFile(op: string, path: string): Promise<File> {
  const fd = await runAsync(ask(op, () => open(path, FLAGS, PRIVATE)));
  const stats = await runAsync(ask(op, () => fstat(fd, { bigint: true })));
  const file = { path, fd, regular: stats.isFile(), lock: undefined };
  if (stats.isFile()) return { ...file, key: `${stats.dev}-${stats.ino}` };
  if (stats.isBlockDevice()) return { ...file, key: `device-${stats.rdev}` };
  await close(fd);
  throw new CompcacheError('EINVAL', op, `${path} must be a regular file or a block device`);
}

/** The media of the files of a store: one for each file, however many regions of it there are. */
class Media {
  readonly #op: string;
  readonly #make: (file: File) => Medium;
  readonly #byKey = new Map<string, Medium>();
  readonly #folders = new Set<string>();

  constructor(op: string, mode: BackingStore['mode']) {
    this.#op = op;
    this.#make = mode === 'sync' ? syncMedium : asyncMedium;
  }

  /** The medium of a file. EBUSY when another store has it open. */
  async of(path: string): Promise<Medium> {
    const file = await openFile(this.#op, path);
    const known = this.#byKey.get(file.key);
    if (known !== undefined) {
      await close(file.fd);
      return known;
    }
    const medium = this.#make({ ...file, lock: await this.#lock(file) });
    this.#byKey.set(file.key, medium);
    this.#folders.add(dirname(path));
    return medium;
  }

  async #lock({ key, path, fd }: File): Promise<Server | undefined> {
    const name = lockName(key);
    try {
      return name === undefined ? undefined : await hold(this.#op, path, name);
    } catch (error) {
      await close(fd);
      throw error;
    }
  }

  /** Makes new files durable as entries of their folders, where the host can do that to a folder. */
  async flushFolders(): Promise<void> {
    for (const folder of this.#folders) {
      try {
        const fd = await open(folder, fs.constants.O_RDONLY);
        await fsync(fd).finally(() => close(fd));
      } catch {
        continue; // Windows cannot
      }
    }
  }

  /** Closes all of them, because of an error that is more interesting than one of closing. */
  async drop(): Promise<void> {
    await runAsync(closeAll(this.#op, [...this.#byKey.values()])).catch(() => {});
  }
}

// ── the store ────────────────────────────────────────────────────────────────

/** The bytes of a region: as given, as the slots of a lone one need, or as the file has. */
function bytesOf(op: string, region: Region, slots: number | undefined, size: number): number {
  const length = region.length ?? (slots === undefined ? Math.max(size - region.offset, 0) : bytesFor(slots));
  if (length === Infinity) throw new CompcacheError('EINVAL', op, `${region.path} does not tell its size: give size or length`);
  if (length === 0) throw new CompcacheError('EINVAL', op, `${region.path} is new: give size, length or slots`);
  return length;
}

async function extentsOf(op: string, regions: readonly Region[], slots: number | undefined, media: Media): Promise<Extent[]> {
  const lone = regions.length === 1 ? slots : undefined;
  const extents: Extent[] = [];
  for (const region of regions) {
    const medium = await media.of(region.path);
    const size = await runAsync(ask(op, () => medium.size()));
    extents.push({ medium, offset: region.offset, length: bytesOf(op, region, lone, size) });
  }
  requireApart(op, extents);
  return extents;
}

/**
 * A backing store in files. Its calls answer at once or with promises, as the mode says.
 *
 * Errors of every method: EINVAL for a bad argument, ENOSPC for a slot beyond `slots`, EIO for a file that fails, ECLOSED
 * after close.
 */
export class FileStore<M extends BackingStore['mode'] = BackingStore['mode']> extends VolumeStore<M> {
  private constructor(mode: M, volume: Volume) {
    super('FileStore', mode, volume);
  }

  /**
   * Opens a store, or makes one where there is none. Each file or region holds whole slots of SLOT_BYTES bytes and one unit of
   * that size more, its label; the first holds the slot map as well.
   * @throws EINVAL for bad options, regions that overlap or have no room, and bytes of somebody else; EEXIST with existing:
   *   'refuse'; EBUSY for a file open in another store; EUCLEAN for a store that was not closed, is damaged, or was made with
   *   other regions or slots; ENOMEM for a slot map that the host refuses; ENOSPC; EIO
   */
  static async open<M extends BackingStore['mode'] = 'sync'>(options: FileStoreOptions<M>): Promise<FileStore<M>> {
    const op = 'FileStore.open';
    requireOptions(op, options, OPTIONS);
    const regions = takeRegions(op, options);
    const slots = takeSlots(op, options.slots);
    const mode = takeWord<BackingStore['mode']>(op, 'mode', options.mode, ['sync', 'async'], 'sync');
    const existing = takeWord(op, 'existing', options.existing, EXISTING, 'reopen');
    const media = new Media(op, mode);
    try {
      const extents = await extentsOf(op, regions, slots, media);
      const volume = await runAsync(openVolume(op, extents, { slots, existing }));
      if (volume.fresh) await media.flushFolders();
      return new FileStore<M>(mode as M, volume);
    } catch (error) {
      await media.drop();
      throw error;
    }
  }
}
