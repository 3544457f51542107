/** Fixed histories of a zswap in which store and codec fail, hang and call back, each compared with one number (pin.ts). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  ALLOCATORS,
  PAGE_SIZE,
  Ram,
  SwapSpace,
  type AllocatorName,
  type BackingStore,
  Zswap,
  type SwapSpaceOptions,
} from '../../bindings/index.ts';
import { buildOptions, builds } from '../harness.ts';
import { Clock, TIMEOUT } from '../front/clock.ts';
import { FrontHistory } from './front.ts';
import { Pin, withoutChance } from './pin.ts';
import { PINS } from './pins.ts';

const build = builds[0] ?? 'release';
const clock = new Clock();
beforeEach(() => void clock.install());
afterEach(() => clock.restore());

const EPISODES = 12;
const STEPS = 220;
const PAGES = 90;
const PERCENTS = [0, 6, 8, 10, 14, 40, 90, 100];

class ZswapHistory extends FrontHistory {
  /** undefined without a store. */
  #space: SwapSpace | undefined;
  #zswap: Zswap | undefined;

  async begin(options: SwapSpaceOptions, foreign: boolean): Promise<void> {
    const all = {
      ram: this.ram,
      maxPoolPercent: 9,
      timeout: TIMEOUT,
      ...(foreign ? { codec: this.codec('first') } : {}),
      ...options,
    };
    if (this.store === undefined) this.#zswap = await Zswap.create(all);
    else this.#space = await SwapSpace.create({ ...all, store: this.store as BackingStore });
    this.#zswap ??= this.#space?.zswap;
  }

  figures(): unknown {
    return this.#mine.stats();
  }

  close(): Promise<void> {
    return this.#mine.close();
  }

  async another(): Promise<void> {
    const { ram, store } = this;
    const zswap = await Zswap.create({ ram, ...(store === undefined ? {} : { store: store as BackingStore }) });
    zswap.store(0, 1, this.page());
    return zswap.close();
  }

  get #mine(): Zswap {
    return this.#zswap as Zswap;
  }

  act(nested: boolean): void {
    const space = this.#space;
    const zswap = this.#mine;
    const at = this.place(PAGES, nested);
    const type = this.draw(6) === 0 ? 1 : 0;
    const kind = this.draw(100);
    const into = new Uint8Array(PAGE_SIZE);
    if (kind < 26) this.answer(() => zswap.store(type, at, this.page()));
    else if (kind < 36 && space !== undefined) {
      const page = this.page();
      if (this.draw(2) === 0) this.answer(() => space.pageOut(at, page));
      else this.later(space.pageOutAsync(at, page));
    } else if (kind < 46) {
      this.answer(() => zswap.load(type, at, into));
      this.filled(into);
    } else if (kind < 58) {
      this.later(zswap.loadAsync(type, at, into));
      this.filled(into);
    } else if (kind < 64) this.answer(() => zswap.invalidatePage(type, at));
    else if (kind < 65) this.answer(() => zswap.invalidateArea(1));
    else if (kind < 68) this.answer(() => zswap.has(type, at));
    else if (kind < 72) this.answer(() => zswap.writeback(this.draw(6)));
    else if (kind < 77) this.later(zswap.writebackAsync(this.draw(6)));
    else if (kind < 79) this.answer(() => zswap.shrink(this.draw(3)));
    else if (kind < 82) this.later(zswap.shrinkAsync(this.draw(3)));
    else if (kind < 94) this.#set();
    else if (kind < 96) this.answer(() => this.figures());
    else if (kind < 97) this.answer(() => this.ram.snapshot().length);
    else if (kind < 98) this.answer(() => zswap.writebackLimit);
    else if (nested && this.draw(6) === 0) this.later(this.close());
  }

  #set(): void {
    const zswap = this.#mine;
    const percent = PERCENTS[this.draw(PERCENTS.length)] as number;
    const is = this.draw(2) === 0;
    const kind = this.draw(20);
    this.answer(() => {
      if (kind < 3) zswap.maxPoolPercent = Math.max(percent, 5);
      else if (kind < 5) zswap.acceptThresholdPercent = percent;
      else if (kind < 9) zswap.exclusiveLoads = is;
      else if (kind < 11) zswap.sameFilled = is;
      else if (kind < 13) zswap.enabled = is || this.draw(3) !== 0;
      else if (kind < 15) zswap.writebackLimit = is ? Infinity : this.draw(30);
      else if (kind < 17) zswap.allocator = ALLOCATORS[this.draw(ALLOCATORS.length)] as AllocatorName;
      else if (kind < 19) zswap.codec = is ? 'lz4' : this.codec('next');
    });
  }
}

const ROWS: [string, 'sync' | 'async' | undefined, boolean, SwapSpaceOptions][] = [
  ['a synchronous store', 'sync', false, {}],
  ['a synchronous store, victims by page', 'sync', false, { victims: 'page', allocator: 'zbud' }],
  ['a synchronous store, a foreign codec, pages written as they are', 'sync', true, { writebackCompressed: false }],
  [
    'a synchronous store, victims by page, a foreign codec',
    'sync',
    true,
    { victims: 'page', writebackCompressed: false },
  ],
  ['an asynchronous store', 'async', false, { maxInFlight: 3, index: 'dense' }],
  ['an asynchronous store, victims by page', 'async', false, { maxInFlight: 2, victims: 'page', allocator: 'z3fold' }],
  ['an asynchronous store, a foreign codec', 'async', true, { maxInFlight: 4, writebackCompressed: false }],
  ['no store', undefined, false, { incompressible: 'keep' }],
  ['no store, victims by page, a foreign codec', undefined, true, { incompressible: 'keep', victims: 'page' }],
];

describe('a fixed history of a', () => {
  test.each(ROWS)('zswap with %s', async (title, mode, foreign, options) => {
    const pin = new Pin();
    for (let episode = 0; episode < EPISODES; episode++) {
      const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
      const history = new ZswapHistory(ram, clock, episode, mode, options.maxInFlight ?? 32);
      await withoutChance(() => history.begin(options, foreign));
      await history.play(STEPS);
      await history.end(pin);
    }
    expect(pin.sum).toBe(PINS[`zswap with ${title}`]);
  });
});
