/** Where pages are written back to: a temporary file, a file of the caller's, or memory; and what is counted of it. */
import { existsSync, mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileStore } from '../../bindings/backing/file.ts';
import { CompcacheError, MemoryStore, type BackingStore } from '../../bindings/index.ts';
import { reasonOf } from '../arguments.ts';
import { InputError } from '../pages.ts';

/** Kinds of stores; a path is that of the caller's. */
export type StoreChoice = { kind: 'temporary' } | { kind: 'memory' } | { kind: 'file'; path: string };

const SIGNALS: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
/** The most slots that a front end uses. */
const SLOTS_MAX = 2 ** 24;

/**
 * Opens one store after another, each of them empty.
 *
 * A full disk does not end the command. Where there is no room for a store at the start, one that is full stands in for it and
 * for all that follow, so that their figures can be compared.
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

  /** The first thing that went wrong with a store since it was asked for, calls of the replay included. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** @param slots that are needed at most @throws InputError where there cannot be a store, for another reason than room */
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

  /** Closes a store. What went wrong with it is kept: the figures are there all the same. */
  async close(store: CountingStore): Promise<void> {
    this.#fault ??= store.fault;
    const file = this.#folder === undefined ? undefined : join(this.#folder.path, 'store');
    // What is of no use to anybody need not reach the disk first.
    if (file !== undefined && existsSync(file)) truncateSync(file, 0);
    try {
      await store.end();
    } catch (error) {
      if (!(error instanceof CompcacheError)) throw error;
      this.#fault ??= reasonOf(error);
    }
    if (file !== undefined) rmSync(file, { force: true });
  }

  /** Leaves nothing of a temporary file. */
  end(): void {
    this.#folder?.remove();
    this.#folder = undefined;
  }
}

/** A folder that goes with this process, also when that is interrupted. */
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

  /** Removes it, with all that is in it. */
  readonly remove = (): void => {
    process.off('exit', this.remove);
    for (const signal of SIGNALS) process.off(signal, this.#interrupted);
    rmSync(this.path, { recursive: true, force: true });
  };

  /** Dies of the signal, as without a folder. */
  readonly #interrupted = (signal: NodeJS.Signals): void => {
    this.remove();
    process.kill(process.pid, signal);
  };
}

/** A store on a medium that has no room for one. */
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

/** A synchronous store that counts its calls. What it holds need not last, so it has no `sync`. */
export class CountingStore implements BackingStore {
  readonly mode = 'sync';
  readonly slots?: number;
  reads = 0;
  writes = 0;
  writtenBytes = 0;
  failedWrites = 0;
  /** Why the first write that failed did so. */
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

  /** Nothing: zswap goes before the store does. */
  close(): void {}

  /** Closes the store. */
  async end(): Promise<void> {
    await this.#store.close();
  }
}
