/** Replays a trace on one zswap, compares every page that it loads, and counts. */
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import {
  CompcacheError,
  PAGE_SIZE,
  Zswap,
  type AllocatorName,
  type BackingStore,
  type Codec,
  type ZswapStats,
} from '../../bindings/index.ts';
import { reasonOf } from '../arguments.ts';
import { InputError } from '../pages.ts';
import type { Progress } from '../report.ts';
import { Contents, type Pages } from './contents.ts';
import type { CountingStore } from './store.ts';
import { INVALIDATE, INVALIDATE_AREA, LOAD, STORE, type Trace } from './trace.ts';

const BATCH = 256; // then the event loop runs once, for example for a signal

export const VICTIMS = ['entry', 'page'] as const;
export type Victims = (typeof VICTIMS)[number];

/** A zswap to measure. */
export interface Setting {
  allocator: AllocatorName;
  victims: Victims;
  codec: Codec | undefined;
  ramBytes: number;
  maxPoolPercent: number;
  acceptThresholdPercent: number;
}

/** Microseconds of the calls of one kind. Percentiles by nearest rank. */
export interface Latency {
  count: number;
  p50: number;
  p90: number;
  p99: number;
  /** 99.9 of a hundred calls took no longer. */
  p999: number;
  max: number;
}

/** Pages that were refused, by reason. */
export interface Rejects {
  /** The pool was at its limit, or not yet far enough below it again. */
  poolLimit: number;
  /** No page could be written back to make room. */
  reclaimFail: number;
  compressFail: number;
  compressPoor: number;
  allocFail: number;
  /** There was no frame for the page's zswap entry. */
  kmemcacheFail: number;
}

/** The results of one zswap. */
export interface Result {
  allocator: AllocatorName;
  victims: Victims;
  stores: number;
  /** Stores of a key that had a page: the older page was dropped. */
  duplicates: number;
  /** Stores that were refused, for the reasons in `rejects`. */
  rejected: number;
  rejects: Rejects;
  /** hits + reads + misses. */
  loads: number;
  /** Loads from the pool, same-filled pages included. */
  hits: number;
  sameFilledHits: number;
  /** Loads from the backing store. */
  reads: number;
  /** Loads of pages that are not there: never stored, refused, or dropped. */
  misses: number;
  /** hits divided by loads; null without loads. */
  hitRatio: number | null;
  /** Pages dropped by invalidations. */
  invalidated: number;
  /** Pages that were moved from the pool to the store. */
  writebacks: number;
  /** Bytes that were written to the store. */
  writtenBytes: number;
  /** Failed writes to the store. The page then stays in the pool, or is refused. */
  failedWrites: number;
  poolLimitHits: number;
  /** The last three figures of zswap after the replay: pages in the pool, pages in the store, frames. */
  storedPages: number;
  backingPages: number;
  frames: number;
  latency: { store: Latency | null; hit: Latency | null; read: Latency | null };
  /** Loads and invalidations whose result does not match what was stored. */
  different: number;
  /** The first of them: its number in the trace, from 1; null when there is none. */
  firstDifferent: number | null;
}

/** Replays a trace. @throws InputError when the RAM is too small */
export async function replay(
  setting: Setting,
  trace: Trace,
  pages: Pages,
  store: CountingStore,
  progress: Progress,
): Promise<Result> {
  const zswap = await createZswap(setting, store);
  try {
    const run = new Run(setting, zswap, trace, pages, store);
    for (let first = 0; first < trace.length; first += BATCH) {
      const end = Math.min(first + BATCH, trace.length);
      for (let at = first; at < end; at++) run.step(at);
      progress.step(end - first, `${setting.allocator}, ${setting.victims}`);
      await yieldToEvents();
    }
    return run.result();
  } finally {
    await zswap.close();
  }
}

async function createZswap(
  { allocator, victims, codec, ramBytes, maxPoolPercent, acceptThresholdPercent }: Setting,
  store: BackingStore,
): Promise<Zswap> {
  const options = {
    bytes: ramBytes,
    allocator,
    victims,
    store,
    maxPoolPercent,
    acceptThresholdPercent,
    ...(codec && { codec }),
  };
  try {
    return await Zswap.create(options);
  } catch (error) {
    if (!(error instanceof CompcacheError && error.code === 'ENOMEM')) throw error;
    throw new InputError(`no zswap fits a RAM of ${ramBytes} bytes: ${reasonOf(error)}`, { cause: error });
  }
}

class Run {
  readonly #setting: Setting;
  readonly #zswap: Zswap;
  readonly #trace: Trace;
  readonly #pages: Pages;
  readonly #store: CountingStore;
  readonly #contents: Contents;
  readonly #into = new Uint8Array(PAGE_SIZE);
  readonly #times = { store: [] as number[], hit: [] as number[], read: [] as number[] };
  readonly #sums = {
    stores: 0,
    duplicates: 0,
    rejected: 0,
    loads: 0,
    hits: 0,
    sameFilledHits: 0,
    reads: 0,
    misses: 0,
    invalidated: 0,
    different: 0,
  };
  #firstDifferent: number | null = null;

  constructor(setting: Setting, zswap: Zswap, trace: Trace, pages: Pages, store: CountingStore) {
    this.#setting = setting;
    this.#zswap = zswap;
    this.#trace = trace;
    this.#pages = pages;
    this.#store = store;
    this.#contents = new Contents(pages);
  }

  /** Replays one operation. */
  step(at: number): void {
    const type = this.#trace.type(at);
    const offset = this.#trace.offset(at);
    switch (this.#trace.kind(at)) {
      case STORE:
        this.#storePage(type, offset);
        break;
      case LOAD:
        this.#expect(at, this.#loadPage(type, offset));
        break;
      case INVALIDATE:
        this.#expect(at, this.#invalidate(type, offset));
        break;
      case INVALIDATE_AREA:
        this.#expect(at, this.#invalidateArea(type));
        break;
    }
  }

  #storePage(type: number, offset: number): void {
    if (this.#contents.at(type, offset) !== undefined) this.#sums.duplicates += 1;
    const page = this.#pages.all[this.#contents.next(type, offset)] as Uint8Array;
    const start = performance.now();
    const accepted = this.#zswap.store(type, offset, page);
    this.#times.store.push(performance.now() - start);
    this.#sums.stores += 1;
    if (accepted) this.#contents.accept(type, offset);
    else this.#sums.rejected += 1;
  }

  /** Loads a page. True when it is the page that was stored, or when there is none and none was stored. */
  #loadPage(type: number, offset: number): boolean {
    const expected = this.#contents.at(type, offset);
    const before = this.#store.reads;
    this.#into.fill(0xa5);
    const start = performance.now();
    const found = this.#tryLoad(type, offset);
    const took = performance.now() - start;
    this.#sums.loads += 1;
    this.#countLoad(found, this.#store.reads !== before, took);
    if (!found || expected === undefined) return !found && expected === undefined;
    if (this.#pages.isSameFilled(expected) && this.#store.reads === before) this.#sums.sameFilledHits += 1;
    return Buffer.compare(this.#into, this.#pages.all[expected] as Uint8Array) === 0;
  }

  /** A page that cannot be loaded counts as missing. */
  #tryLoad(type: number, offset: number): boolean {
    try {
      return this.#zswap.load(type, offset, this.#into);
    } catch (error) {
      if (error instanceof CompcacheError) return false;
      throw error;
    }
  }

  #countLoad(found: boolean, fromStore: boolean, took: number): void {
    const sums = this.#sums;
    if (!found) {
      sums.misses += 1;
    } else if (fromStore) {
      sums.reads += 1;
      this.#times.read.push(took);
    } else {
      sums.hits += 1;
      this.#times.hit.push(took);
    }
  }

  #invalidate(type: number, offset: number): boolean {
    const was = this.#zswap.invalidatePage(type, offset);
    if (was) this.#sums.invalidated += 1;
    return this.#contents.drop(type, offset) === was;
  }

  #invalidateArea(type: number): boolean {
    const were = this.#zswap.invalidateArea(type);
    this.#sums.invalidated += were;
    return this.#contents.dropArea(type) === were;
  }

  #expect(at: number, right: boolean): void {
    if (right) return;
    this.#sums.different += 1;
    this.#firstDifferent ??= at + 1;
  }

  result(): Result {
    const { allocator, victims } = this.#setting;
    const { duplicates, rejected, hits, loads, ...sums } = this.#sums;
    const stats = this.#zswap.stats();
    return {
      allocator,
      victims,
      ...sums,
      duplicates,
      rejected,
      rejects: rejectsOf(stats, rejected),
      loads,
      hits,
      hitRatio: loads === 0 ? null : hits / loads,
      writebacks: stats.writtenBackPages,
      writtenBytes: this.#store.writtenBytes,
      failedWrites: this.#store.failedWrites,
      poolLimitHits: stats.poolLimitHit,
      storedPages: stats.storedPages,
      backingPages: stats.backingPages,
      frames: stats.frames,
      latency: {
        store: latencyOf(this.#times.store),
        hit: latencyOf(this.#times.hit),
        read: latencyOf(this.#times.read),
      },
      firstDifferent: this.#firstDifferent,
    };
  }
}

/** The counters by reason. zswap has no counter for the limit: it gets the rest. */
function rejectsOf(stats: ZswapStats, rejected: number): Rejects {
  const counted = {
    reclaimFail: stats.rejectReclaimFail,
    compressFail: stats.rejectCompressFail,
    compressPoor: stats.rejectCompressPoor,
    allocFail: stats.rejectAllocFail,
    kmemcacheFail: stats.rejectKmemcacheFail,
  };
  return { poolLimit: Object.values(counted).reduce((left, count) => left - count, rejected), ...counted };
}

/** @param milliseconds the time of each call */
export function latencyOf(milliseconds: readonly number[]): Latency | null {
  if (milliseconds.length === 0) return null;
  const sorted = Float64Array.from(milliseconds).sort();
  const rank = (share: number): number => (sorted[Math.ceil(share * sorted.length) - 1] as number) * 1000;
  return { count: sorted.length, p50: rank(0.5), p90: rank(0.9), p99: rank(0.99), p999: rank(0.999), max: rank(1) };
}
