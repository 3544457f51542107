/** A fixed history of each allocator, and of both kinds of page tables, each compared with one number (pin.ts). */
import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, Ram, type Handle, type PageEntry, type PageTable, type Zpool } from '../../bindings/index.ts';
import { allocators, buildOptions, builds, createPool, noise, type AllocatorRow } from '../harness.ts';
import { filledPage, pageOf, rawPage } from '../front/pages.ts';
import { Pin, dice } from './pin.ts';
import { PINS } from './pins.ts';

const build = builds[0] ?? 'release';
const MODES = ['ro', 'rw', 'wo'] as const;

/** A pool with its objects. */
class History {
  readonly pin = new Pin();
  readonly #draw;
  readonly #ram: Ram;
  readonly #row: AllocatorRow;
  readonly #pool: Zpool;
  readonly #live: Handle[] = [];
  /** Handles of freed objects. */
  readonly #stale: Handle[] = [];
  readonly #mapped: Handle[] = [];
  readonly #entries: PageEntry[] = [];
  #depth = 0;
  /** True while the objects are small, with many in a frame. */
  #small = false;

  constructor(ram: Ram, row: AllocatorRow, seed: number) {
    this.#ram = ram;
    this.#row = row;
    this.#draw = dice(seed);
    this.#pool = createPool(ram, row, { name: 'pinned', evict: (handle) => this.#evict(handle) });
  }

  play(steps: number): void {
    for (let step = 0; step < steps; step++) {
      this.#small = Math.floor(step / 800) % 2 === 1;
      this.#step();
      // A frame request fails where a first object needs several frames.
      if (step % 60 === 0) this.#first();
    }
  }

  /** The first object of a pool, while frame requests fail. */
  #first(): void {
    for (const handle of this.#mapped.splice(0)) this.#pool.unmap(handle);
    for (const entry of this.#entries.splice(0)) this.pin.call(() => this.#pool.freePage(entry));
    this.#emptied();
    this.#ram.failFrames(this.#draw(4), 1);
    this.#malloc();
    this.#ram.failFrames(null);
    this.#ram.check();
    this.pin.word(this.#ram.stats().usedFrames);
  }

  /** Unmaps everything, and adds the image. */
  end(): void {
    this.#ram.failFrames(null);
    for (const handle of this.#mapped.splice(0)) this.#pool.unmap(handle);
    this.pin.word(this.#pool.totalPages);
    this.pin.value(this.#pool.stats());
    this.pin.ram(this.#ram);
    // A new pool in the same frames must continue their generations.
    this.#pool.destroy();
    const next = createPool(this.#ram, this.#row, { name: 'next' });
    for (let i = 0; i < 40; i++) this.pin.call(() => next.malloc(this.#size()));
    this.pin.ram(this.#ram);
  }

  #one(from: Handle[]): Handle {
    return from[this.#draw(Math.max(from.length, 1))] ?? (0 as Handle);
  }

  #size(): number {
    const kind = this.#draw(8);
    if (this.#small) return 1 + this.#draw(kind === 0 ? 700 : 180);
    if (kind === 0) return 1 + this.#draw(64);
    if (kind === 1) return 1800 + this.#draw(600);
    if (kind === 2) return 3900 + this.#draw(200);
    return 1 + this.#draw(4096);
  }

  #step(): void {
    const { pin } = this;
    const pool = this.#pool;
    const action = this.#draw(100);
    if (action < 34) this.#malloc();
    else if (action < 58) this.#free();
    else if (action < 64) pin.call(() => pool.size(this.#one(this.#stale)));
    else if (action < 68) this.#write();
    else if (action < 73) this.#map();
    else if (action < 78) this.#unmap();
    else if (action < 81) this.#store();
    else if (action < 84) this.#freePage();
    else if (action < 87) pin.call(() => pool.read(this.#one(this.#live)));
    else if (action < 89) pin.call(() => pool.locate(this.#one(this.#live)));
    else if (action < 92) pin.call(() => pool.shrink(1 + this.#draw(3)));
    else if (action < 94) pin.call(() => pool.compact({ victims: this.#draw(4) }));
    else if (action < 95) pin.call(() => pool.freeable());
    else if (action < 96) pin.call(() => pool.runDeferred());
    else if (action < 97) pin.call(() => pool.compact());
    else if (action < 99) this.#ram.failFrames(this.#draw(3), 1 + this.#draw(2));
    else this.#emptied();
  }

  #malloc(): void {
    const size = this.#size();
    const handle = this.pin.call(() => this.#pool.malloc(size));
    if (handle === undefined) return;
    this.#live.push(handle);
    this.#pool.write(handle, noise(Math.min(size, 16), handle));
  }

  #free(): void {
    const handle = this.#one(this.#live);
    const isFreed = this.pin.call(() => (this.#pool.free(handle), true));
    if (isFreed === true) this.#gone(handle);
  }

  #gone(handle: Handle): void {
    const at = this.#live.indexOf(handle);
    if (at !== -1) this.#live.splice(at, 1);
    this.#stale.push(handle);
    if (this.#stale.length > 64) this.#stale.shift();
  }

  #write(): void {
    const handle = this.#one(this.#live);
    const bytes = noise(1 + this.#draw(40), handle);
    const at = this.#draw(2100);
    this.pin.call(() => this.#pool.write(handle, bytes, at));
  }

  #map(): void {
    const handle = this.#one(this.#live);
    const view = this.pin.call(() => this.#pool.map(handle, MODES[this.#draw(3)] as 'ro'));
    if (view === undefined) return;
    this.#mapped.push(handle);
    view[this.#draw(view.length)] = 1 + this.#draw(250);
  }

  #unmap(): void {
    const handle = this.#mapped.splice(this.#draw(Math.max(this.#mapped.length, 1)), 1)[0];
    if (handle !== undefined) this.pin.call(() => this.#pool.unmap(handle));
  }

  #store(): void {
    const seed = this.#draw(1000);
    const page = [pageOf(seed), rawPage(seed), filledPage(seed)][this.#draw(3)] as Uint8Array;
    const entry = this.pin.call(() => this.#pool.storePage(page));
    if (entry !== undefined) this.#entries.push(entry);
  }

  #freePage(): void {
    const into = new Uint8Array(PAGE_SIZE);
    const entry = this.#entries.splice(this.#draw(Math.max(this.#entries.length, 1)), 1)[0];
    if (entry === undefined) return;
    this.pin.call(() => this.#pool.loadPage(entry, into));
    this.pin.bytes(into.subarray(0, 64));
    this.pin.call(() => this.#pool.freePage(entry));
  }

  /** Frees all objects that are not mapped, in random order. */
  #emptied(): void {
    while (this.#live.length > this.#mapped.length) {
      const before = this.#live.length;
      for (let i = 0; i < before; i++) this.#free();
      if (this.#live.length === before) return;
    }
  }

  /** The evict callback: it frees most objects, and sometimes does something else. */
  #evict(handle: Handle): boolean {
    this.pin.word(handle);
    const kind = this.#draw(12);
    if (kind === 0) return false;
    if (this.#depth < 2 && kind < 4) {
      this.#depth += 1;
      this.#step();
      this.#depth -= 1;
    }
    try {
      this.#pool.free(handle);
      this.#gone(handle);
      return true;
    } catch {
      return false;
    }
  }
}

describe('a fixed history of', () => {
  test.each(allocators.map((row) => [row.title, row] as const))('%s', async (title, row) => {
    const sums: string[] = [];
    // A small RAM; a large one, where frame numbers have more bits and generations fewer; and one with a limit.
    for (const [bytes, limit] of [['1MiB'], ['512MiB'], ['4MiB', '640KiB']] as const) {
      const ram = await Ram.create({ bytes, ...(limit === undefined ? {} : { limit }), ...buildOptions(build) });
      const history = new History(ram, row, 7);
      history.play(6000);
      history.end();
      sums.push(history.pin.sum);
    }
    expect(sums.join(' ')).toBe(PINS[title]);
  });

  /** The nth of the keys whose hashes (page/sparse.ts) end in the same 12 bits: their leaf is split until the directory has upper frames. */
  function deepKey(n: number): number {
    let hash = (n << 12) | 0x5a5;
    hash ^= hash >>> 16;
    hash = Math.imul(hash, 0x7ed1b41d);
    hash ^= (hash >>> 13) ^ (hash >>> 26);
    hash = Math.imul(hash, 0xa5cb9243);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  /** Keys close together, and random keys. */
  const KEYS = {
    dense: (draw: (below: number) => number) => [
      draw(700),
      524_288 - 2 + draw(4),
      2 ** 29 - 2 + draw(4),
      2 ** 32 - 1 - draw(3),
    ],
    sparse: (draw: (below: number) => number) => [draw(3000), draw(2000) * 2 ** 33, deepKey(draw(900)), draw(2 ** 30)],
  };

  test.each(['dense', 'sparse'] as const)('a page table, %s', async (keysAre) => {
    const ram = await Ram.create({ bytes: '4MiB', ...buildOptions(build) });
    const pin = new Pin();
    const draw = dice(11);
    const pool = ram.zpool('zsmalloc', { name: 'pinned' });
    const table: PageTable = pool.pageTable(keysAre);
    const into = new Uint8Array(PAGE_SIZE);
    const keys: number[] = [];
    for (let step = 0; step < 14_000; step++) {
      const grows = Math.floor(step / 3500) % 2 === 0;
      const action = draw(100);
      const key =
        keys.length !== 0 && draw(3) === 0
          ? (keys[draw(keys.length)] as number)
          : (KEYS[keysAre](draw)[draw(4)] as number);
      if (action < (grows ? 60 : 20)) {
        const page = draw(8) === 0 ? pageOf(draw(900), 60) : filledPage(draw(1000));
        pin.call(() => table.put(key, page));
        keys.push(key);
      } else if (action < 88) pin.call(() => table.delete(keys.splice(draw(keys.length), 1)[0] ?? key));
      else if (action < 94) pin.call(() => table.get(key, into) && into[0]);
      else if (action < 96) pin.call(() => table.size);
      else if (action < 99) ram.failFrames(draw(4), 1 + draw(2));
      else if (draw(60) === 0) pin.call(() => table.clear());
    }
    ram.failFrames(null);
    pin.ram(ram);
    table.clear();
    pin.ram(ram);
    expect(pin.sum).toBe(PINS[`a page table, ${keysAre}`]);
  });
});
