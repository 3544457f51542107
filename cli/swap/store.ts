/** The store to write back to: a temporary file, a file that the user names, or memory. Counts its calls. */
import { existsSync, mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileStore } from '../../bindings/backing/file.ts';
import { CompcacheError, MemoryStore, type BackingStore } from '../../bindings/index.ts';
import { reasonOf } from '../arguments.ts';
import { InputError } from '../pages.ts';

/** Kinds of stores. `path` is the file that the user names. */
export type StoreChoice = { kind: 'temporary' } | { kind: 'memory' } | { kind: 'file'; path: string };

const SIGNALS: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
/** The most slots that a front end uses. */
const SLOTS_MAX = 2 ** 24;

/**
 * Opens one store after another. Each of them is empty.
 *
 * A full disk does not end the command. If there is no room for a store at its start, a store that is always full
 * replaces it and all later ones, so that their figures can be compared.
 */
export class Stores {
  readonly #choice: StoreChoice;
  #folder: TemporaryFolder | undefined;
  #isFull = false;
  #fault: string | undefined;

  constructor(choice: StoreChoice) {
    this.#choice = choice;
    if (choice.kind === 'temporary') this.#folder = new TemporaryFolder();
  }

  /** The first error of a store, including errors of calls during the replay. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /**
   * @param slots the most slots that are needed @throws InputError when there cannot be a store, except for lack of
   *   room
   */
  async open(slots: number): Promise<CountingStore> {
    return new CountingStore(await this.#open(Math.min(slots, SLOTS_MAX)));
  }

  async #open(slots: number): Promise<BackingStore> {
    const choice = this.#choice;
    if (choice.kind === 'memory') return new MemoryStore();
    if (this.#isFull) return new FullStore();
    const path = choice.kind === 'file' ? choice.path : join((this.#folder as TemporaryFolder).path, 'store');
    try {
      return await FileStore.open({ path, slots, existing: 'discard' });
    } catch (error) {
      if (!(error instanceof CompcacheError)) throw error;
      const wrong = reasonOf(error);
      if (error.code !== 'ENOSPC')
        throw new InputError(`cannot use ${path === '' ? "''" : path} for a store: ${wrong}`, { cause: error });
      this.#isFull = true;
      this.#fault ??= wrong;
      return new FullStore();
    }
  }

  /** Closes a store. Remembers an error and does not throw it, because the figures are complete. */
  async close(store: CountingStore): Promise<void> {
    this.#fault ??= store.fault;
    const file = this.#folder === undefined ? undefined : join(this.#folder.path, 'store');
    // The contents are not needed any more, so they should not be written to the disk first.
    if (file !== undefined && existsSync(file)) truncateSync(file, 0);
    try {
      await store.end();
    } catch (error) {
      if (!(error instanceof CompcacheError)) throw error;
      this.#fault ??= reasonOf(error);
    }
    if (file !== undefined) rmSync(file, { force: true });
  }

  /** Removes the temporary folder. */
  end(): void {
    this.#folder?.remove();
    this.#folder = undefined;
  }
}

/** A temporary folder. It is removed when the process exits, also after a signal. */
class TemporaryFolder {
  readonly path: string;

  /** @throws InputError */
  constructor() {
    try {
      this.path = mkdtempSync(join(tmpdir(), 'compcache-swap-'));
    } catch (error) {
      throw new InputError(
        `cannot make a temporary file (${(error as Error).message}): give --store PATH or --memory-store`,
        { cause: error },
      );
    }
    process.once('exit', this.remove);
    for (const signal of SIGNALS) process.once(signal, this.#interrupted);
  }

  /** Removes the folder with its contents. */
  readonly remove = (): void => {
    process.off('exit', this.remove);
    for (const signal of SIGNALS) process.off(signal, this.#interrupted);
    rmSync(this.path, { recursive: true, force: true });
  };

  /** Lets the signal end the process as usual. */
  readonly #interrupted = (signal: NodeJS.Signals): void => {
    this.remove();
    process.kill(process.pid, signal);
  };
}

/** A store on a medium without any room. */
class FullStore implements BackingStore {
  readonly mode = 'sync';

  write(): never {
    throw new CompcacheError('ENOSPC', 'store.write', 'the medium is full');
  }

  read(slot: number): never {
    throw new CompcacheError('ENOENT', 'store.read', `slot ${slot} holds nothing`);
  }

  free(): void {}

  close(): void {}
}

/** A synchronous store that counts its calls. Its contents need not be durable, so it has no `sync`. */
export class CountingStore implements BackingStore {
  readonly mode = 'sync';
  readonly slots?: number;
  reads = 0;
  writes = 0;
  writtenBytes = 0;
  failedWrites = 0;
  /** The error of the first failed write. */
  fault: string | undefined;
  readonly #store: BackingStore;

  constructor(store: BackingStore) {
    this.#store = store;
    if (store.slots !== undefined) this.slots = store.slots;
  }

  read(slot: number, into: Uint8Array): ReturnType<BackingStore['read']> {
    this.reads += 1;
    return this.#store.read(slot, into);
  }

  write(slot: number, bytes: Uint8Array): ReturnType<BackingStore['write']> {
    this.writes += 1;
    try {
      const written = this.#store.write(slot, bytes);
      this.writtenBytes += bytes.length;
      return written;
    } catch (error) {
      this.failedWrites += 1;
      this.fault ??= error instanceof CompcacheError ? reasonOf(error) : String(error);
      throw error;
    }
  }

  free(slot: number): ReturnType<BackingStore['free']> {
    return this.#store.free(slot);
  }

  /** Does nothing: zswap is closed before the store. */
  close(): void {}

  /** Closes the store. */
  async end(): Promise<void> {
    await this.#store.close();
  }
}
