/** Fixed histories of a ramzswap in which store and codecs fail, hang and call back, each compared with one number (pin.ts). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  PAGE_SIZE,
  Ram,
  Ramzswap,
  type BackingStore,
  type RamzswapOptions,
  type RecompressOptions,
  type WritebackSelection,
} from '../../bindings/index.ts';
import { buildOptions, builds, noise } from '../harness.ts';
import { Clock, TIMEOUT } from '../front/clock.ts';
import { FrontHistory } from './front.ts';
import { Pin, withoutChance } from './pin.ts';
import { PINS } from './pins.ts';

const build = builds[0] ?? 'release';
const clock = new Clock();
const { now } = performance;
beforeEach(() => {
  clock.install();
  performance.now = () => 5; // no slice ends because of the time
});
afterEach(() => {
  clock.restore();
  performance.now = now;
});

const EPISODES = 12;
const STEPS = 220;
const PAGES = 80;
const SELECTIONS: readonly WritebackSelection[] = ['idle', 'huge', 'huge_idle', 'incompressible'];
const TYPES = [undefined, 'idle', 'huge', 'huge_idle'] as const;

class RamzswapHistory extends FrontHistory {
  #device: Ramzswap | undefined;
  #time = 0;

  async begin(options: RamzswapOptions, foreign: boolean): Promise<void> {
    this.#device = await Ramzswap.create({
      ram: this.ram,
      disksize: PAGES * PAGE_SIZE,
      timeout: TIMEOUT,
      clock: () => this.#time,
      recompCodecs: foreign ? ['lz4hc', this.codec('second')] : ['lz4hc'],
      ...(foreign ? { codec: this.codec('first') } : {}),
      ...(this.store === undefined ? {} : { backing: this.store as BackingStore }),
      ...options,
    });
  }

  figures(): unknown {
    const device = this.#mine;
    return [device.stats(), device.mmStat(), device.ioStat(), device.bdStat(), [...device.blockState()]];
  }

  close(): Promise<void> {
    return this.#mine.close();
  }

  async another(): Promise<void> {
    const { ram, store } = this;
    const backing = store === undefined ? {} : { backing: store as BackingStore };
    const device = await Ramzswap.create({ ram, disksize: PAGE_SIZE, ...backing });
    return device.close();
  }

  get #mine(): Ramzswap {
    return this.#device as Ramzswap;
  }

  act(nested: boolean): void {
    const device = this.#mine;
    const at = this.place(PAGES, nested);
    const kind = this.draw(100);
    const waits = this.draw(2) === 0;
    const into = new Uint8Array(PAGE_SIZE);
    if (this.draw(3) === 0) this.#time += this.draw(40);
    if (!device.initstate && !nested) this.answer(() => device.init({ disksize: PAGES * PAGE_SIZE }));
    if (kind < 30) {
      const page = this.page();
      if (waits) this.later(device.writePageAsync(at, page));
      else this.answer(() => device.writePage(at, page));
    } else if (kind < 46) {
      if (waits) this.later(device.readPageAsync(at, into));
      else this.answer(() => device.readPage(at, into));
      this.filled(into);
    } else if (kind < 53) {
      const bytes = noise(1 + this.draw(9000), at);
      const offset = this.draw(PAGES * PAGE_SIZE);
      if (waits) this.later(device.writeAsync(offset, bytes));
      else this.answer(() => device.write(offset, bytes));
    } else if (kind < 57) {
      const offset = this.draw(PAGES * 8);
      if (waits) this.later(device.readSectorsAsync(offset, into));
      else this.answer(() => device.readSectors(offset, into));
      this.filled(into);
    } else if (kind < 61) this.answer(() => device.discard(at, this.draw(5)));
    else if (kind < 64) this.answer(() => device.freeNotify(at));
    else if (kind < 67)
      this.#waits(
        waits,
        () => device.compact(),
        () => device.compactAsync(),
      );
    else if (kind < 72) {
      const age = this.draw(3) === 0 ? 'all' : this.draw(100);
      this.#waits(
        waits,
        () => device.markIdle(age),
        () => device.markIdleAsync(age),
      );
    } else if (kind < 80) {
      const selection = SELECTIONS[this.draw(5)] ?? { pages: [at, [at, Math.min(PAGES - 1, at + this.draw(20))]] };
      this.#waits(
        waits,
        () => device.writeback(selection as 'idle'),
        () => device.writebackAsync(selection as 'idle'),
      );
    } else if (kind < 89) {
      const options = this.#recompression();
      this.#waits(
        waits,
        () => device.recompress(options),
        () => device.recompressAsync(options),
      );
    } else if (kind < 91) this.answer(() => (device.writebackLimit = waits ? Infinity : this.draw(20)));
    else if (kind < 93) this.answer(() => (device.memlimit = this.draw(3) === 0 ? 0 : this.draw(70) * PAGE_SIZE));
    else if (kind < 95) this.answer(() => this.figures());
    else if (kind < 96) this.answer(() => this.ram.snapshot().length);
    else if (kind < 97 && this.store?.mode === 'sync') this.later(device.flush());
    else if (kind < 98) this.#again(waits, nested);
    else if (nested && this.draw(8) === 0) this.later(this.close());
  }

  #waits(waits: boolean, now: () => unknown, soon: () => Promise<unknown>): void {
    if (waits) this.later(soon());
    else this.answer(now);
  }

  #recompression(): RecompressOptions {
    const type = TYPES[this.draw(4)];
    return {
      ...(type === undefined ? {} : { type }),
      ...(this.draw(3) === 0 ? { threshold: 200 + this.draw(1500) } : {}),
      ...(this.draw(3) === 0 ? { maxPages: this.draw(12) } : {}),
      ...(this.draw(3) === 0 ? { priority: 1 + this.draw(2) } : {}),
    };
  }

  /** Resets the device. The next action initialises it again. */
  #again(waits: boolean, nested: boolean): void {
    const device = this.#mine;
    this.#waits(
      waits,
      () => device.reset(),
      () => device.resetAsync(),
    );
    if (nested) this.answer(() => device.init({ disksize: PAGES * PAGE_SIZE }));
  }
}

const ROWS: [string, 'sync' | 'async' | undefined, boolean, RamzswapOptions][] = [
  ['a synchronous store', 'sync', false, { swapHeader: true }],
  ['a synchronous store, foreign codecs', 'sync', true, { allocator: 'xvmalloc' }],
  ['an asynchronous store', 'async', false, { maxInFlight: 3, allocator: 'zbud' }],
  ['an asynchronous store, foreign codecs', 'async', true, { maxInFlight: 2 }],
  ['no store', undefined, false, { allocator: 'xcfmalloc' }],
  ['no store, foreign codecs', undefined, true, { allocator: 'z3fold' }],
];

describe('a fixed history of a', () => {
  test.each(ROWS)('ramzswap with %s', async (title, mode, foreign, options) => {
    const pin = new Pin();
    for (let episode = 0; episode < EPISODES; episode++) {
      const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
      const history = new RamzswapHistory(ram, clock, episode, mode, options.maxInFlight ?? 32);
      await withoutChance(() => history.begin(options, foreign));
      await history.play(STEPS);
      await history.end(pin);
    }
    expect(pin.sum).toBe(PINS[`ramzswap with ${title}`]);
  });
});
