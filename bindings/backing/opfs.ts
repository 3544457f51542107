/// <reference lib="esnext.disposable" preserve="true" />
/**
 * `compcache/backing/opfs`: a backing store in a file of the browser's origin-private file system.
 *
 * Only a dedicated worker can use such a file synchronously (createSyncAccessHandle). In other places opening gives
 * ENODEV. The browser allows one access handle at a time (EBUSY), and closes it when the worker ends. The format and
 * its guarantees are those of FileStore (volume.ts).
 */
import { DISPOSE } from '../dispose.ts';
import { CompcacheError, MAKER, requireMaker, show, takeOptions } from '../errors.ts';
import { parseBytes } from '../sizes.ts';
import { takeSlots, takeWord } from './arguments.ts';
import { bytesFor } from './geometry.ts';
import { failure, sizeOf, textOf, type Medium } from './medium.ts';
import { registerClass } from './own.ts';
import { runSync } from '../steps.ts';
import { EXISTING, VolumeStore, openVolume, type Existing, type Volume } from './volume.ts';

export interface OpfsStoreOptions {
  /**
   * Name of the file in the root of the file system. The file is made if it does not exist. Either this or `handle`.
   */
  name?: string;
  /** The file. */
  handle?: FileSystemFileHandle;
  /** Slots of the store. Default: as many as fit. A new file needs this or `size`. */
  slots?: number;
  /** The most bytes that the file may have, or a size like '64MiB'. */
  size?: number | string;
  /** What to do when the file has contents already. */
  existing?: Existing;
}

const OPTIONS: readonly (keyof OpfsStoreOptions)[] = ['name', 'handle', 'slots', 'size', 'existing'];

/** A FileSystemSyncAccessHandle. TypeScript's DOM types, which this file uses, do not have it. */
interface SyncAccess {
  read(into: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(bytes: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

/** The file of a store. `remove` deletes the file if it was made for this store. */
interface Found {
  handle: unknown;
  remove(): Promise<void>;
}

const ABSENT = 'NotFoundError';

/**
 * The file with a name, made if it does not exist. ENODEV without such a file system, EINVAL for a name that the file
 * system refuses, EIO.
 */
async function fileOf(op: string, name: string): Promise<Found> {
  const directory = globalThis.navigator?.storage?.getDirectory;
  if (directory === undefined) throw new CompcacheError('ENODEV', op, 'this host has no origin-private file system');
  try {
    const root = await directory.call(navigator.storage);
    try {
      return { handle: await root.getFileHandle(name), remove: async () => {} };
    } catch (error) {
      if (textOf(error, 'name') !== ABSENT) throw error;
    }
    return { handle: await root.getFileHandle(name, { create: true }), remove: () => root.removeEntry(name) };
  } catch (cause) {
    switch (textOf(cause, 'name')) {
      case 'SecurityError':
        throw new CompcacheError('ENODEV', op, 'this host allows no origin-private file system', { cause });
      case 'TypeError':
        throw new CompcacheError('EINVAL', op, `name must be a file's name, not ${show(name)}`, { cause });
      case 'TypeMismatchError':
        throw new CompcacheError('EINVAL', op, `${show(name)} is a directory`, { cause });
      default:
        throw failure(op, cause);
    }
  }
}

async function requestedFile(op: string, { name, handle }: OpfsStoreOptions): Promise<Found> {
  if ((name === undefined) === (handle === undefined))
    throw new CompcacheError('EINVAL', op, 'either name or handle must be given');
  if (name !== undefined) {
    if (typeof name !== 'string') throw new CompcacheError('EINVAL', op, `name must be a text, not ${show(name)}`);
    return fileOf(op, name);
  }
  return { handle, remove: async () => {} };
}

/**
 * Opens the access handle. EINVAL when `handle` is not a file's handle, ENODEV outside a dedicated worker, EBUSY when
 * the file is already open, EIO.
 */
async function accessTo(op: string, handle: unknown): Promise<{ access: SyncAccess }> {
  let create: unknown;
  try {
    const { kind, createSyncAccessHandle } = handle as { kind?: unknown; createSyncAccessHandle?: unknown };
    if (kind !== 'file') throw new TypeError('kind is not "file"');
    create = createSyncAccessHandle;
  } catch (cause) {
    throw new CompcacheError('EINVAL', op, `handle must be a FileSystemFileHandle, not ${show(handle)}`, { cause });
  }
  if (typeof create !== 'function')
    throw new CompcacheError('ENODEV', op, 'synchronous access to files needs a dedicated worker');
  try {
    // Wrapped in an object of ours: a promise that resolves to the handle itself would read its `then` once more.
    return { access: (await Reflect.apply(create, handle, [])) as SyncAccess };
  } catch (cause) {
    switch (textOf(cause, 'name')) {
      case 'NoModificationAllowedError':
        throw new CompcacheError('EBUSY', op, 'the file is open elsewhere', { cause });
      case 'InvalidStateError':
        throw new CompcacheError('ENODEV', op, 'this file allows no synchronous access', { cause });
      default:
        throw failure(op, cause);
    }
  }
}

/**
 * Chromium 156's `write` returns this in a private window whose quota is used up, instead of throwing. It is Chromium's
 * own error code -8 as an unsigned number. Its `truncate` then does nothing and reports nothing. A browser may also
 * write as much as there is room for, and nothing after that.
 */
const NO_SPACE = 0xfffffff8;

function full(): DOMException {
  return new DOMException('the quota is used up', 'QuotaExceededError');
}

function mediumOf(access: SyncAccess): Medium {
  return {
    size: () => access.getSize(),
    resize: (bytes) => {
      access.truncate(bytes);
      if (access.getSize() !== bytes) throw full();
    },
    readAt: (into, at) => access.read(into, { at }),
    writeAt: (bytes, at) => {
      const count = access.write(bytes, { at });
      if (count === NO_SPACE || (count === 0 && bytes.length > 0)) throw full();
      return count;
    },
    flush: () => access.flush(),
    close: () => access.close(),
  };
}

// The symbol's name is computed (dispose.ts), so TypeScript must be told of the method.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface OpfsStore {
  [Symbol.dispose](): void;
}

/**
 * A backing store in the origin-private file system. Its calls return at once.
 *
 * Errors of every method: EINVAL for a bad argument, ENOSPC for a slot beyond `slots` or a quota that is used up, EIO
 * for a file that fails, ECLOSED after close.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class OpfsStore extends VolumeStore<'sync'> {
  static {
    registerClass(OpfsStore.prototype);
  }

  private constructor(maker: unknown, volume: Volume) {
    requireMaker(maker, 'OpfsStore', 'OpfsStore.open');
    super(MAKER, 'OpfsStore', 'sync', volume);
  }

  /**
   * Opens a store, or makes one when there is none. A store that was not closed in order, or has another size or other
   * slots, is replaced by a new, empty one, unless `existing` says otherwise. When the store cannot be opened, a file
   * that was made for it is removed.
   * @throws ENODEV outside a dedicated worker; EBUSY for a file that is open elsewhere; EINVAL for bad options, or a
   *   size without room for a slot; EUCLEAN for bytes that are not from this package, and with existing: 'reopen' for a
   *   store that was not closed, is damaged, or was made with another size or other slots; EEXIST with 'refuse'; ENOSPC
   *   when the quota is used up; ENOMEM; EIO
   */
  static async open(options: OpfsStoreOptions): Promise<OpfsStore> {
    const op = 'OpfsStore.open';
    const taken = takeOptions<OpfsStoreOptions>(op, options, OPTIONS);
    const slots = takeSlots(op, taken.slots);
    const size = taken.size === undefined ? undefined : parseBytes(op, 'size', taken.size);
    const existing = takeWord(op, 'existing', taken.existing, EXISTING);
    const file = await requestedFile(op, taken);
    try {
      const { access } = await accessTo(op, file.handle);
      try {
        const medium = mediumOf(access);
        const length = size ?? (slots === undefined ? runSync(sizeOf(op, medium)) : bytesFor(slots));
        if (length === 0) throw new CompcacheError('EINVAL', op, 'the file is new: give size or slots');
        const volume = runSync(
          openVolume(op, [{ medium, offset: 0, length }], { slots, existing, trim: existing !== 'overwrite' }),
        );
        return new OpfsStore(MAKER, volume);
      } catch (error) {
        try {
          access.close();
        } catch {
          // The first error says more.
        }
        throw failure(op, error);
      }
    } catch (error) {
      // After EBUSY the file belongs to the store that has it open.
      if ((error as CompcacheError).code !== 'EBUSY') await file.remove().catch(() => {});
      throw error;
    }
  }

  [DISPOSE](): void {
    this.close();
  }
}
