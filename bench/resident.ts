/**
 * One subject of the suite `resident`, in its own process. It runs several rounds of random work. After each round, the
 * memory of the process is measured.
 *
 * `rss less heap` is the resident memory without V8's heap, because V8 may enlarge its young generation at any time.
 */
import { MemoryStore, PAGE_SIZE, Ram, Ramzswap, Zswap, type BackingStore, type Handle } from '../bindings/index.ts';
import { createDraw } from '../cli/bench/draw.ts';

export interface MemoryUsage {
  rss: number;
  heapTotal: number;
  arrayBuffers: number;
  /** Nanoseconds per operation. */
  spent: number;
}

export const OPERATIONS = 36_000;
const PAGES = 6000;

/** A store with an array for each slot, for comparison. */
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

/** A page of some noise and otherwise zeros. Its block is about as long as the noise. */
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
  'ramzswap, an array for each slot': () => ramzswap(new ArrayStore()),
  'zswap, MemoryStore': () => zswap(new MemoryStore()),
  'zsmalloc, free and malloc': zsmalloc,
};

if (process.send !== undefined) {
  const [name, rounds] = process.argv.slice(2) as [string, string];
  const run = await (SUBJECTS[name] as (typeof SUBJECTS)[string])();
  const collect = (globalThis as { gc?: () => void }).gc;
  const usages: MemoryUsage[] = [];
  for (let i = 0; i < Number(rounds); i++) {
    const start = performance.now();
    run();
    const spent = ((performance.now() - start) * 1e6) / OPERATIONS;
    for (let collection = 0; collection < 3; collection++) {
      collect?.();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const { rss, heapTotal, arrayBuffers } = process.memoryUsage();
    usages.push({ rss, heapTotal, arrayBuffers, spent });
  }
  process.send(usages);
  process.disconnect();
}
