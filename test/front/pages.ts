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
