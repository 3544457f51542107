/** Where pages are written back to: a temporary file, a file of the caller's, or memory; and what is counted of it. */
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileStore } from '../../bindings/backing/file.ts';
import { CompcacheError, MemoryStore, type BackingStore } from '../../bindings/index.ts';
import { InputError } from '../pages.ts';

/** Kinds of stores; a path is that of the caller's. */
export type StoreChoice = { kind: 'temporary' } | { kind: 'memory' } | { kind: 'file'; path: string };

const SIGNALS: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Opens one store after another, each of them empty. */
export class Stores {
  readonly #choice: StoreChoice;
  #folder: TemporaryFolder | undefined;

  constructor(choice: StoreChoice) {
    this.#choice = choice;
    if (choice.kind === 'temporary') this.#folder = new TemporaryFolder();
  }

  /** @param slots that are needed at most @throws InputError */
  async open(slots: number): Promise<BackingStore> {
    const choice = this.#choice;
    if (choice.kind === 'memory') return new MemoryStore();
    const path = choice.kind === 'file' ? choice.path : join((this.#folder as TemporaryFolder).path, 'store');
    try {
      return await FileStore.open({ path, slots, existing: 'discard' });
    } catch (error) {
      throw error instanceof CompcacheError ? new InputError(`cannot use ${path} for a store: ${reason(error)}`, { cause: error }) : error;
    }
  }

  /** Closes a store. @throws InputError when its file cannot be written */
  async close(store: BackingStore): Promise<void> {
    const folder = this.#folder;
    // What is of no use to anybody need not reach the disk first.
    if (folder !== undefined) truncateSync(join(folder.path, 'store'), 0);
    try {
      await store.close();
    } catch (error) {
      throw error instanceof CompcacheError ? new InputError(`the store: ${error.message}`, { cause: error }) : error;
    }
    if (folder !== undefined) rmSync(join(folder.path, 'store'));
  }

  /** Leaves nothing of a temporary file. */
  end(): void {
    this.#folder?.remove();
    this.#folder = undefined;
  }
}

/** What is wrong, without the hints for programs. */
function reason({ code, message, op }: CompcacheError): string {
  const own = message.slice(op.length + 2, -(code.length + 3));
  return own.split("; existing: '")[0] as string;
}

/** A folder that goes with this process, also when that is interrupted. */
class TemporaryFolder {
  readonly path: string;

  constructor() {
    this.path = mkdtempSync(join(tmpdir(), 'compcache-swap-'));
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

/** A store that counts its calls. What it holds need not last, so it has no `sync`. */
export class CountingStore implements BackingStore {
  readonly mode: 'sync' | 'async';
  readonly slots?: number;
  reads = 0;
  writes = 0;
  writtenBytes = 0;
  readonly #store: BackingStore;

  constructor(store: BackingStore) {
    this.#store = store;
    this.mode = store.mode;
    if (store.slots !== undefined) this.slots = store.slots;
  }

  read(slot: number, into: Uint8Array): ReturnType<BackingStore['read']> {
    this.reads += 1;
    return this.#store.read(slot, into);
  }

  write(slot: number, bytes: Uint8Array): ReturnType<BackingStore['write']> {
    this.writes += 1;
    this.writtenBytes += bytes.length;
    return this.#store.write(slot, bytes);
  }

  free(slot: number): ReturnType<BackingStore['free']> {
    return this.#store.free(slot);
  }

  /** Nothing: the store is closed by who opened it. */
  close(): void {}
}
