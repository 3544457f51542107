/** Replays a trace on one zswap, compares every page that it gives, and counts. */
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

const BATCH = 256; // operations before events (a signal) are let in

export const VICTIMS = ['entry', 'page'] as const;
export type Victims = (typeof VICTIMS)[number];

/** A zswap to try. */
export interface Setting {
  allocator: AllocatorName;
  victims: Victims;
  codec: Codec | undefined;
  ramBytes: number;
  maxPoolPercent: number;
  acceptThresholdPercent: number;
}

/** Microseconds of the calls of one kind; nearest ranks. */
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
  /** The limit was reached, and is not yet left by enough. */
  poolLimit: number;
  /** No page could be written back to make room. */
  reclaimFail: number;
  compressFail: number;
  compressPoor: number;
  allocFail: number;
  /** There was no frame for the page's entry. */
  kmemcacheFail: number;
}

/** The figures of one zswap. */
export interface Result {
  allocator: AllocatorName;
  victims: Victims;
  stores: number;
  /** Stores of pages that were there: an older copy went. */
  duplicates: number;
  /** Stores that were refused, for these reasons. */
  rejected: number;
  rejects: Rejects;
  /** hits + reads + misses. */
  loads: number;
  /** Loads that were served by the pool, same-filled pages included. */
  hits: number;
  sameFilledHits: number;
  /** Loads that were served by the store. */
  reads: number;
  /** Loads of pages that are nowhere: never stored, refused, or dropped. */
  misses: number;
  /** hits / loads; null without loads. */
  hitRatio: number | null;
  /** Pages dropped by invalidations. */
  invalidated: number;
  /** Pages that went from the pool to the store. */
  writebacks: number;
  /** Bytes that the store has taken. */
  writtenBytes: number;
  /** Writes to the store that failed; the page stays in the pool, or is refused. */
  failedWrites: number;
  poolLimitHits: number;
  /** At the end. */
  storedPages: number;
  backingPages: number;
  frames: number;
  latency: { store: Latency | null; hit: Latency | null; read: Latency | null };
  /** Loads and invalidations that did not give what was stored. */
  different: number;
  /** The first of them, by its place in the trace, counted from 1; null when there is none. */
  firstDifferent: number | null;
}

/** Replays a trace. @throws InputError for a RAM that is too small */
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

  /** One operation. */
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

  /** Whether the page is what was stored, or as rightly nowhere. */
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

  /** A page that cannot be loaded is as bad as one that is not there. */
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

/** The counters of the reasons; the limit has none of its own. */
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

/** @param milliseconds of each call */
export function latencyOf(milliseconds: readonly number[]): Latency | null {
  if (milliseconds.length === 0) return null;
  const sorted = Float64Array.from(milliseconds).sort();
  const rank = (share: number): number => (sorted[Math.ceil(share * sorted.length) - 1] as number) * 1000;
  return { count: sorted.length, p50: rank(0.5), p90: rank(0.9), p99: rank(0.99), p999: rank(0.999), max: rank(1) };
}
