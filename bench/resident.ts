/**
 * One subject of the suite `resident`, in a process of its own: turns of churn, and after each what the process holds.
 *
 * `rss less heap` is the resident memory without the heap of the engine, whose young generation V8 makes larger when it likes.
 */
import { MemoryStore, PAGE_SIZE, Ram, Ramzswap, Zswap, type BackingStore, type Handle } from '../bindings/index.ts';
import { createDraw } from '../cli/bench/draw.ts';

export interface Held {
  rss: number;
  heapTotal: number;
  arrayBuffers: number;
  /** Nanoseconds of an operation. */
  spent: number;
}

export const OPERATIONS = 36_000;
const PAGES = 6000;

/** The store as it would be with an array for each slot: what the others are compared with. */
class ArrayStore implements BackingStore {
  readonly mode = 'sync';
  readonly #held = new Map<number, Uint8Array>();

  read(slot: number, into: Uint8Array): number {
    const held = this.#held.get(slot) as Uint8Array;
    into.set(held);
    return held.length;
  }

  write(slot: number, bytes: Uint8Array): void {
    this.#held.set(slot, new Uint8Array(bytes));
  }

  free(slot: number): void {
    this.#held.delete(slot);
  }

  close(): void {
    this.#held.clear();
  }
}

const draw = createDraw(1);
const page = new Uint8Array(PAGE_SIZE);
const noise = Uint8Array.from({ length: 16 * PAGE_SIZE }, () => draw());

/** A page of so much noise and zeros: its block is about as long as the noise. */
function drawPage(): Uint8Array {
  const length = draw() % 4 === 0 ? PAGE_SIZE : 200 + (draw() % 2400);
  const from = draw() % (noise.length - PAGE_SIZE);
  page.fill(0);
  page.set(noise.subarray(from, from + length));
  return page;
}

async function ramzswap(backing: BackingStore): Promise<() => void> {
  const device = await Ramzswap.create({ bytes: '32MiB', disksize: PAGES * PAGE_SIZE, backing });
  return () => {
    for (let i = 0; i < OPERATIONS; i++) {
      const index = draw() % PAGES;
      const kind = draw() % 10;
      if (kind < 6) device.writePage(index, drawPage());
      else if (kind < 9) device.readPage(index, page);
      else device.freeNotify(index);
      if (i % 1000 !== 999) continue;
      device.markIdle();
      device.writeback('idle');
    }
  };
}

async function zswap(store: BackingStore): Promise<() => void> {
  const front = await Zswap.create({ bytes: '8MiB', store });
  return () => {
    for (let i = 0; i < OPERATIONS; i++) {
      const offset = draw() % PAGES;
      const kind = draw() % 10;
      if (kind < 6) front.store(0, offset, drawPage());
      else if (kind < 9) front.load(0, offset, page);
      else front.invalidatePage(0, offset);
    }
  };
}

function zsmalloc(): () => void {
  const pool = Ram.createSync({ bytes: '64MiB' }).zpool('zsmalloc');
  const size = (): number => 200 + (draw() % 2400);
  const live: Handle[] = Array.from({ length: 20_000 }, () => pool.malloc(size()));
  return () => {
    for (let i = 0; i < OPERATIONS; i++) {
      const at = draw() % live.length;
      pool.free(live[at] as Handle);
      const bytes = size();
      live[at] = pool.malloc(bytes);
      pool.write(live[at], page.subarray(0, bytes));
    }
  };
}

export const SUBJECTS: Record<string, () => (() => void) | Promise<() => void>> = {
  'ramzswap, MemoryStore': () => ramzswap(new MemoryStore()),
  'ramzswap, an array a slot': () => ramzswap(new ArrayStore()),
  'zswap, MemoryStore': () => zswap(new MemoryStore()),
  'zsmalloc, free and malloc': zsmalloc,
};

if (process.send !== undefined) {
  const [name, turns] = process.argv.slice(2) as [string, string];
  const turn = await (SUBJECTS[name] as (typeof SUBJECTS)[string])();
  const collect = (globalThis as { gc?: () => void }).gc;
  const held: Held[] = [];
  for (let i = 0; i < Number(turns); i++) {
    const start = performance.now();
    turn();
    const spent = ((performance.now() - start) * 1e6) / OPERATIONS;
    for (let round = 0; round < 3; round++) {
      collect?.();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const { rss, heapTotal, arrayBuffers } = process.memoryUsage();
    held.push({ rss, heapTotal, arrayBuffers, spent });
  }
  process.send(held);
  process.disconnect();
}
