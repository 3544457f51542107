/** Pages and stores for the tests of the front ends. */
import { CompcacheError, PAGE_SIZE, type BackingStore, type ErrorCode } from '../../bindings/index.ts';
import { noise } from '../harness.ts';

/** A page whose block takes about `bytes` bytes. */
export function pageOf(seed: number, bytes = 100 + ((seed * 37) % 1500)): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  page.set(noise(bytes, seed), seed % 1000);
  page[PAGE_SIZE - 1] = 1 + (seed % 250);
  return page;
}

/** A page that no codec makes smaller. */
export function rawPage(seed: number): Uint8Array {
  return noise(PAGE_SIZE, seed);
}

/** A page that repeats one word. */
export function filledPage(word: number): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  new Uint32Array(page.buffer).fill(word >>> 0);
  return page;
}

/**
 * Compresses a page by leaving out the zeros at its end: the compress of a codec whose decompress only has to copy.
 * @returns bytes written, 0 when they do not fit
 */
export function trimZeros(page: Uint8Array, into: Uint8Array): number {
  let length = PAGE_SIZE;
  while (length > 1 && page[length - 1] === 0) length -= 1;
  if (length > into.length) return 0;
  into.set(page.subarray(0, length));
  return length;
}

/** A synchronous store that records its calls, and can fail or change its answers. */
export class RecordingStore implements BackingStore {
  readonly mode = 'sync';
  readonly slots?: number;
  readonly held = new Map<number, Uint8Array>();
  readonly written: number[] = [];
  readonly freed: number[] = [];
  /** The error of the next write. */
  failure: Error | undefined;
  /** Gives other bytes in place of those of a read. */
  change: ((bytes: Uint8Array) => Uint8Array) | undefined;
  synced = 0;

  constructor(slots?: number) {
    if (slots !== undefined) this.slots = slots;
  }

  read(slot: number, into: Uint8Array): number {
    const held = this.held.get(slot);
    if (held === undefined) throw Object.assign(new Error('nothing there'), { code: 'ENOENT' });
    const bytes = this.change === undefined ? held : this.change(held.slice());
    into.set(bytes);
    return bytes.length;
  }

  write(slot: number, bytes: Uint8Array): void {
    if (this.failure !== undefined) throw this.failure;
    this.written.push(slot);
    this.held.set(slot, bytes);
  }

  free(slot: number): void {
    this.freed.push(slot);
    this.held.delete(slot);
  }

  sync(): void {
    this.synced += 1;
  }

  close(): void {
    this.held.clear();
  }
}

/** A store with the same slots. */
export function copyOfStore(store: RecordingStore): RecordingStore {
  const copy = new RecordingStore(store.slots);
  for (const [slot, bytes] of store.held) copy.held.set(slot, bytes.slice());
  return copy;
}

/** The same store with promises. @param slots how many it says that it has */
export function withPromises(store: RecordingStore, slots = store.slots ?? 1000): BackingStore {
  return {
    mode: 'async',
    slots,
    read: async (slot, into) => store.read(slot, into),
    write: async (slot, bytes) => store.write(slot, bytes),
    free: async (slot) => store.free(slot),
    close: () => undefined,
  };
}

/** Code of the error that a call throws; undefined when it throws none. */
export function codeOf(call: () => unknown): ErrorCode | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (error instanceof CompcacheError) return error.code;
    throw error;
  }
}
