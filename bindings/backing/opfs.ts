/// <reference lib="esnext.disposable" preserve="true" />
/**
 * `compcache/backing/opfs`: a backing store in a file of the browser's origin-private file system.
 *
 * Only a dedicated worker may have synchronous access to such a file (createSyncAccessHandle); elsewhere opening is ENODEV.
 * The browser lets one handle at a time have that access (EBUSY), and takes it away when the worker ends. The format is that of
 * FileStore, and so is what is promised (volume.ts).
 */
import { DISPOSE } from '../dispose.ts';
import { CompcacheError, requireOptions, show } from '../errors.ts';
import { parseBytes } from '../sizes.ts';
import { takeSlots, takeWord } from './arguments.ts';
import { bytesFor } from './geometry.ts';
import { failure, type Medium } from './medium.ts';
import { runSync } from './steps.ts';
import { EXISTING, VolumeStore, openVolume, type Existing, type Volume } from './volume.ts';

export interface OpfsStoreOptions {
  /** Name of the file in the root of the file system; made where there is none. Either this or `handle`. */
  name?: string;
  /** The file. */
  handle?: FileSystemFileHandle;
  /** Slots; as many as fit unless given. A new file needs this or `size`. */
  slots?: number;
  /** The most bytes that the file may have, or a size like '64MiB'. */
  size?: number | string;
  /** What to do where something is already; 'reopen' unless given. */
  existing?: Existing;
}

const OPTIONS: readonly (keyof OpfsStoreOptions)[] = ['name', 'handle', 'slots', 'size', 'existing'];

/** A FileSystemSyncAccessHandle, which the types of a page do not have. */
interface SyncAccess {
  read(into: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(bytes: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

type SyncAccessible = FileSystemFileHandle & { createSyncAccessHandle?: () => Promise<SyncAccess> };

function nameOf(error: unknown): string {
  return error instanceof Error || error instanceof DOMException ? error.name : '';
}

/** The file of that name. ENODEV without such a file system, EINVAL for a name that it does not take, EIO. */
async function fileOf(op: string, name: string): Promise<SyncAccessible> {
  const root = globalThis.navigator?.storage?.getDirectory;
  if (root === undefined) throw new CompcacheError('ENODEV', op, 'this host has no origin-private file system');
  try {
    return await (await root.call(navigator.storage)).getFileHandle(name, { create: true });
  } catch (cause) {
    if (nameOf(cause) === 'SecurityError') throw new CompcacheError('ENODEV', op, 'this host allows no origin-private file system', { cause });
    if (nameOf(cause) === 'TypeError') throw new CompcacheError('EINVAL', op, `name must be a file's name, not ${show(name)}`, { cause });
    throw failure(op, cause);
  }
}

function requestedFile(op: string, { name, handle }: OpfsStoreOptions): Promise<SyncAccessible> | SyncAccessible {
  if ((name === undefined) === (handle === undefined)) throw new CompcacheError('EINVAL', op, 'either name or handle must be given');
  if (name !== undefined) {
    if (typeof name !== 'string') throw new CompcacheError('EINVAL', op, `name must be a text, not ${show(name)}`);
    return fileOf(op, name);
  }
  if (typeof handle !== 'object' || handle === null || handle.kind !== 'file') throw new CompcacheError('EINVAL', op, `handle must be a FileSystemFileHandle, not ${show(handle)}`);
  return handle;
}

/** ENODEV outside a dedicated worker, EBUSY where the file is open already, EIO. */
async function accessTo(op: string, file: SyncAccessible): Promise<SyncAccess> {
  if (typeof file.createSyncAccessHandle !== 'function') throw new CompcacheError('ENODEV', op, 'synchronous access to files needs a dedicated worker');
  try {
    return await file.createSyncAccessHandle();
  } catch (cause) {
    if (nameOf(cause) === 'NoModificationAllowedError') throw new CompcacheError('EBUSY', op, 'the file is open elsewhere', { cause });
    if (nameOf(cause) === 'InvalidStateError') throw new CompcacheError('ENODEV', op, 'this file allows no synchronous access', { cause });
    throw failure(op, cause);
  }
}

/**
 * What Chromium 156's `write` returns, instead of throwing, in a private window whose quota is used up: a code of its own, -8,
 * as an unsigned number. Its `truncate` then does nothing, and says nothing.
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
      if (count === NO_SPACE) throw full();
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
 * A backing store in the origin-private file system. Its calls answer at once.
 *
 * Errors of every method: EINVAL for a bad argument, ENOSPC for a slot beyond `slots`, EIO for a file that fails, ECLOSED
 * after close.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class OpfsStore extends VolumeStore<'sync'> {
  private constructor(volume: Volume) {
    super('OpfsStore', 'sync', volume);
  }

  /**
   * Opens a store, or makes one where there is none.
   * @throws ENODEV outside a dedicated worker; EBUSY for a file open elsewhere; EINVAL for bad options, a size without room for
   *   a slot, and bytes of somebody else; EEXIST with existing: 'refuse'; EUCLEAN for a store that was not closed, is damaged,
   *   or was made with another size or other slots; ENOSPC where the quota is used up; ENOMEM; EIO
   */
  static async open(options: OpfsStoreOptions): Promise<OpfsStore> {
    const op = 'OpfsStore.open';
    requireOptions(op, options, OPTIONS);
    const slots = takeSlots(op, options.slots);
    const size = options.size === undefined ? undefined : parseBytes(op, 'size', options.size);
    const existing = takeWord(op, 'existing', options.existing, EXISTING, 'reopen');
    const access = await accessTo(op, await requestedFile(op, options));
    try {
      const length = size ?? (slots === undefined ? access.getSize() : bytesFor(slots));
      if (length === 0) throw new CompcacheError('EINVAL', op, 'the file is new: give size or slots');
      const volume = runSync(openVolume(op, [{ medium: mediumOf(access), offset: 0, length }], { slots, existing }));
      return new OpfsStore(volume);
    } catch (error) {
      access.close();
      throw failure(op, error);
    }
  }

  [DISPOSE](): void {
    this.close();
  }
}
