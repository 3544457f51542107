/**
 * A random machine: one ramzswap over a ChaosStore and the expected content of each page, driven by actions.
 *
 * The expected contents are in ramzswap-model.ts, the rows and random actions in ramzswap-rows.ts. It uses no test
 * framework, because ramzswap-long.ts runs it too.
 */
import {
  CompcacheError,
  Ram,
  Ramzswap,
  type BackingStore,
  type BlockState,
  type Codec,
  type ErrorCode,
  type RamzswapSettings,
  type RecompressOptions,
  type WritebackSelection,
} from '../../bindings/index.ts';
import { RAMZ_OBJECTS, RAMZ_SAME, RAMZ_WRITTEN } from '../../assembly/abi.ts';
import { rams } from '../../bindings/ram.ts';
import { must, noise, type Build, buildOptions } from '../harness.ts';
import { ChaosStore, faultsOf, type Fault } from './chaos-store.ts';
import { TIMEOUT, quiet, type Clock } from './clock.ts';
import { copied, goesOn, served } from './ramzswap-copies.ts';
import { Trimmer, pageOf, type CodecName } from './swap-machine.ts';
import {
  PAGES,
  PAGE_SIZE,
  SECTOR,
  Truths,
  clip,
  isSameFilled,
  partsOf,
  selection,
  type Change,
  type Part,
  type RamzAction,
  type RamzRow,
} from './ramzswap-model.ts';

/** Fault injection of frames is switched off after this number of actions. */
const ARMED = 10;
function codeOf(error: unknown): ErrorCode {
  if (error instanceof CompcacheError) return error.code;
  throw error;
}

type Recompress = Extract<RamzAction, { kind: 'recompress' | 'recompressAsync' }>;

export class RamzMachine {
  readonly row: RamzRow;
  readonly #build: Build;
  #ram: Ram;
  readonly #clock: Clock;
  readonly #trimmer: Trimmer;
  /** The codecs that are not in the core. How long loading one takes depends on the host. */
  readonly #codecs: readonly Codec[];
  #store: ChaosStore | undefined;
  #device: Ramzswap;
  #settings: RamzswapSettings;
  readonly #usedBefore: number;
  #truths = new Truths(() => this.#time.now - this.#started);
  readonly #underWay = new Set<Promise<void>>();
  readonly #errors: unknown[] = [];
  readonly #time = { now: 0 };
  /** The expected counters. */
  #expected = { numReads: 0, numWrites: 0, failedReads: 0, failedWrites: 0, invalidIo: 0, notifyFree: 0, discard: 0 };
  #emptyFrames = 0;
  #armed = 0;
  #everArmed = false;
  #everLimited = false;
  #used = 0;
  /** When the device was made. After a restore it is later, by the time that is not recorded in any page. */
  #started = 0;
  #untold = 0;
  #eio = 0;
  /** True when a call of the store may have hung or timed out. */
  #everHung = false;
  /** Pages that may be idle. */
  readonly #idle = new Set<number>();
  /** True while the device is being closed. */
  #isEnding = false;
  actions = 0;

  private constructor(
    row: RamzRow,
    ram: Ram,
    device: Ramzswap,
    store: ChaosStore | undefined,
    parts: {
      build: Build;
      clock: Clock;
      trimmer: Trimmer;
      deflate: Codec;
      settings: RamzswapSettings;
      time: { now: number };
      before: number;
    },
  ) {
    this.row = row;
    this.#ram = ram;
    this.#device = device;
    this.#store = store;
    this.#build = parts.build;
    this.#clock = parts.clock;
    this.#trimmer = parts.trimmer;
    this.#codecs = [parts.trimmer, parts.deflate];
    this.#settings = parts.settings;
    this.#time = parts.time;
    this.#usedBefore = parts.before;
    this.#everLimited = row.memlimit !== 0;
    this.#begin();
  }

  /** `deflate` is loaded once; `clock` is installed. */
  static async create(row: RamzRow, build: Build, clock: Clock, deflate: Codec, seed: number): Promise<RamzMachine> {
    clock.isHasty = true;
    const ram = await Ram.create({ bytes: '1MiB', ...buildOptions(build) });
    ram.zpool('zbud', { name: 'other' }).malloc(100);
    const trimmer = new Trimmer();
    const codecs: Record<CodecName, Codec | 'lz4' | 'lz4hc'> = { lz4: 'lz4', lz4hc: 'lz4hc', deflate, trimmer };
    const { backing, slots, maxInFlight, allocator, memlimit } = row;
    const store = backing === 'none' ? undefined : new ChaosStore({ mode: backing, slots, seed, maxInFlight });
    const settings: RamzswapSettings = {
      disksize: PAGES * PAGE_SIZE,
      allocator,
      ...(allocator === 'xcfmalloc' ? { zpool: { reserve: 0 } } : {}),
      memlimit: memlimit * PAGE_SIZE,
      codec: codecs[row.codec],
      recompCodecs: row.recompCodecs.map((name) => codecs[name]),
      ...(store === undefined ? {} : { backing: store as BackingStore }),
    };
    const time = { now: 0 };
    const before = ram.stats().usedFrames;
    const device = await Ramzswap.create({ ...settings, ram, maxInFlight, timeout: TIMEOUT, clock: () => time.now });
    return new RamzMachine(row, ram, device, store, { build, clock, trimmer, deflate, settings, time, before });
  }

  /** The device is in the state after init. */
  #begin(): void {
    this.#truths = new Truths(() => this.#time.now - this.#started);
    this.#idle.clear();
    this.#expected = {
      numReads: 0,
      numWrites: 0,
      failedReads: 0,
      failedWrites: 0,
      invalidIo: 0,
      notifyFree: 0,
      discard: 0,
    };
    this.#emptyFrames = this.#ram.stats().usedFrames;
    this.#used = this.#device.stats().pagesUsed;
    this.#started = this.#time.now;
    this.#untold = 0;
  }

  // ── actions ────────────────────────────────────────────────────────────────

  /** Carries out one action and compares. Gives a promise only where the action waits. */
  apply(action: RamzAction): Promise<void> | undefined {
    this.actions += 1;
    if (this.#armed !== 0 && this.actions > this.#armed) this.#disarm();
    const wait = this.#do(action);
    if (wait === undefined) {
      this.#compare();
      return undefined;
    }
    return wait.then(() => this.#compare());
  }

  #disarm(): void {
    this.#ram.failFrames(null);
    this.#armed = 0;
  }

  #do(action: RamzAction): Promise<void> | undefined {
    switch (action.kind) {
      case 'writePage':
        return this.#writePage(action.index % PAGES, pageOf(action.page));
      case 'writePageAsync':
        return this.#writePageSoon(action.index % PAGES, pageOf(action.page));
      case 'readPage':
        return this.#read((action.index % PAGES) * PAGE_SIZE, PAGE_SIZE, (into) =>
          this.#device.readPage(action.index % PAGES, into),
        );
      case 'readPageAsync':
        return this.#readSoon((action.index % PAGES) * PAGE_SIZE, PAGE_SIZE, (into) =>
          this.#device.readPageAsync(action.index % PAGES, into),
        );
      case 'freeNotify':
        return this.#freeNotify(action.index % PAGES);
      case 'discard':
        return this.#discard(action.index % PAGES, 1 + (action.count % (PAGES - (action.index % PAGES))));
      case 'write': {
        const [offset, length] = clip(action.offset, action.length, 1);
        return this.#write(offset, noise(length, action.salt), (bytes) => this.#device.write(offset, bytes));
      }
      case 'writeSectors': {
        const [offset, length] = clip(action.offset, action.length, SECTOR);
        return this.#write(offset, noise(length, action.salt), (bytes) =>
          this.#device.writeSectors(offset / SECTOR, bytes),
        );
      }
      case 'writeAsync': {
        const [offset, length] = clip(action.offset, action.length, 1);
        return this.#writeSoon(offset, noise(length, action.salt));
      }
      case 'read': {
        const [offset, length] = clip(action.offset, action.length, 1);
        return this.#read(offset, length, (into) => this.#device.read(offset, into));
      }
      case 'readSectors': {
        const [offset, length] = clip(action.offset, action.length, SECTOR);
        return this.#read(offset, length, (into) => this.#device.readSectors(offset / SECTOR, into));
      }
      case 'readAsync': {
        const [offset, length] = clip(action.offset, action.length, 1);
        const { index, from } = partsOf(offset, length)[0] as Part;
        const most = Math.min(length, PAGE_SIZE - from);
        return this.#readSoon(index * PAGE_SIZE + from, most, (into) =>
          this.#device.readAsync(index * PAGE_SIZE + from, into),
        );
      }
      case 'markIdle':
        return this.#markIdle(action.age, (age) => this.#device.markIdle(age));
      case 'markIdleAsync':
        return this.#markIdle(action.age, (age) => this.#device.markIdleAsync(age));
      case 'writeback':
        return this.#writeback(selection(action), action.limit);
      case 'writebackAsync':
        return this.#writebackSoon(selection(action), action.limit);
      case 'recompress':
        return this.#recompress(action);
      case 'recompressAsync':
        return this.#recompressSoon(action);
      case 'compactAsync':
        return this.#compactSoon();
      case 'image':
        return this.#image();
      case 'compact':
        this.#device.compact();
        return undefined;
      case 'beyond':
        return this.#beyond();
      case 'memlimit':
        // Calls under way may have taken frames since the last comparison, under the old limit: they keep these frames.
        this.#used = this.#device.stats().pagesUsed;
        this.#device.memlimit = action.frames * PAGE_SIZE;
        this.#everLimited ||= action.frames !== 0;
        return undefined;
      case 'frames':
        this.#ram.failFrames(action.after, action.times);
        this.#armed = this.actions + ARMED;
        this.#everArmed = true;
        return undefined;
      case 'codec fault':
        this.#trimmer.plan(action.on, action.fault, action.after);
        return undefined;
      case 'fault': {
        const faults = faultsOf(action.op);
        this.#store?.plan(action.op, faults[action.fault % faults.length] as Fault, action.after);
        return undefined;
      }
      case 'condition':
        this.#everHung ||= action.condition === 'stuck';
        if (this.#store !== undefined)
          this.#store.condition =
            action.condition === 'stuck' && this.row.backing === 'sync' ? 'gone' : action.condition;
        return undefined;
      case 'quiet':
        return quiet();
      case 'settle':
        return this.#settle(action.calls);
      case 'time':
        return this.#pass();
      case 'release':
        this.#store?.release();
        return quiet();
      case 'drain':
        return this.#drain();
      case 'restore':
        return this.#restore();
      default:
        return this.#reset(action.after);
    }
  }

  #track(call: Promise<void>): void {
    const tracked: Promise<void> = call
      .catch((error: unknown) => void this.#errors.push(error))
      .finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
  }

  // ── writing ────────────────────────────────────────────────────────────────

  #requireCode(error: unknown, codes: readonly ErrorCode[], what: string): ErrorCode {
    const code = codeOf(error);
    must(codes.includes(code), `${what} gave ${String(error)}`, error);
    return code;
  }

  /** The reason for a failed write. */
  #writeCode(error: unknown, isSync: boolean): ErrorCode {
    const code = this.#requireCode(error, ['ENOMEM', 'ENOSPC', 'EIO', 'EAGAIN'], 'a write');
    if (code === 'ENOMEM')
      must(this.#everArmed || this.#everLimited, `a write without memory: ${String(error)}`, error);
    if (code === 'EAGAIN') must(isSync && this.row.backing === 'async', 'EAGAIN without a reason', error);
    if (code === 'ENOSPC')
      must(
        this.#store !== undefined && (this.#everArmed || this.#everLimited),
        'ENOSPC without a store, or with memory',
        error,
      );
    return code;
  }

  /**
   * The same for a whole page: no read is needed, and a page that the store refuses stays in memory if there is room.
   */
  #pageCode(error: unknown, isSync: boolean): ErrorCode {
    const code = this.#writeCode(error, isSync);
    if (code === 'EIO')
      must(
        /codec/.test(String(error)) || this.#everArmed || this.#everLimited,
        `a store failed, and there is memory: ${String(error)}`,
        error,
      );
    return code;
  }

  #writePage(index: number, page: Uint8Array): undefined {
    if (this.#truths.isOpen(index)) return;
    const change = this.#truths.begin(index, () => page);
    this.#expected.numWrites += 1;
    try {
      this.#device.writePage(index, page);
      this.#truths.end(index, change, 'done');
      this.#idle.delete(index);
    } catch (error) {
      this.#truths.end(index, change, 'failed');
      if (this.#pageCode(error, true) === 'EAGAIN') this.#expected.numWrites -= 1;
      else this.#expected.failedWrites += 1;
    }
  }

  #writePageSoon(index: number, page: Uint8Array): undefined {
    if (this.#truths.isOpen(index)) return;
    const change = this.#truths.begin(index, () => page);
    this.#expected.numWrites += 1;
    const given = page.slice();
    this.#track(this.#ended(index, change, this.#device.writePageAsync(index, given), true));
    given.fill(0xee); // it was copied at once
  }

  async #ended(index: number, change: Change, call: Promise<void>, isWhole: boolean): Promise<void> {
    try {
      await call;
      this.#truths.end(index, change, 'done');
    } catch (error) {
      this.#truths.end(index, change, 'failed');
      this.#expected.failedWrites += 1;
      if (isWhole) this.#pageCode(error, false);
      else this.#writeCode(error, false);
    }
  }

  #patching({ index, from, at, length }: Part, bytes: Uint8Array): Change {
    return this.#truths.begin(index, (page) => {
      const copy = page.slice();
      copy.set(bytes.subarray(at, at + length), from);
      return copy;
    });
  }

  /** The parts before the one that failed are written: the counter tells how many. */
  #write(offset: number, bytes: Uint8Array, call: (bytes: Uint8Array) => void): undefined {
    const parts = partsOf(offset, bytes.length);
    if (parts.some(({ index }) => this.#truths.isOpen(index))) return;
    const changes = parts.map((part) => this.#patching(part, bytes));
    const before = this.#device.stats().numWrites;
    let done = parts.length;
    let failed = false;
    try {
      call(bytes);
    } catch (error) {
      failed = this.#writeCode(error, true) !== 'EAGAIN';
      done = this.#device.stats().numWrites - before - (failed ? 1 : 0);
      must(done >= 0 && done < parts.length, `${done} of ${parts.length} parts were written`);
    }
    this.#expected.numWrites += done + (failed ? 1 : 0);
    this.#expected.failedWrites += failed ? 1 : 0;
    parts.forEach(({ index }, i) => {
      this.#truths.end(index, changes[i] as Change, i < done ? 'done' : 'failed');
      if (i < done) this.#idle.delete(index);
    });
  }

  /** Writes a part of one page; or parts of several pages, and then nothing else happens until the write has ended. */
  #writeSoon(offset: number, bytes: Uint8Array): Promise<void> | undefined {
    const parts = partsOf(offset, bytes.length);
    if (parts.some(({ index }) => this.#truths.isOpen(index))) return undefined;
    if (parts.length === 1) {
      const part = parts[0] as Part;
      const change = this.#patching(part, bytes);
      this.#expected.numWrites += 1;
      this.#track(this.#ended(part.index, change, this.#device.writeAsync(offset, bytes), part.length === PAGE_SIZE));
      return undefined;
    }
    return this.#drain().then(() => {
      const changes = parts.map((part) => this.#patching(part, bytes));
      const before = this.#device.stats().numWrites;
      const ended = this.#device.writeAsync(offset, bytes).then(
        () => parts.length,
        (error: unknown) => {
          this.#writeCode(error, false);
          this.#expected.failedWrites += 1;
          return this.#device.stats().numWrites - before - 1;
        },
      );
      this.#track(
        ended.then((done) => {
          this.#expected.numWrites += Math.min(done + 1, parts.length);
          parts.forEach(({ index }, i) => this.#truths.end(index, changes[i] as Change, i < done ? 'done' : 'failed'));
        }),
      );
      return this.#drain();
    });
  }

  // ── reading ────────────────────────────────────────────────────────────────

  #readCode(error: unknown, isSync: boolean): ErrorCode {
    const code = this.#requireCode(error, ['EIO', 'EAGAIN'], 'a read');
    if (code === 'EAGAIN') must(isSync && this.row.backing === 'async', 'EAGAIN without a reason', error);
    else if (!/hang/.test(String(error))) this.#eio += 1;
    return code;
  }

  #read(offset: number, length: number, call: (into: Uint8Array) => void): undefined {
    const into = new Uint8Array(length).fill(0xa5);
    const before = this.#device.stats().numReads;
    const parts = partsOf(offset, length);
    parts.forEach(({ index }) => this.#truths.access(index));
    let done = parts.length;
    let failed = false;
    try {
      call(into);
    } catch (error) {
      failed = this.#readCode(error, true) !== 'EAGAIN';
      done = this.#device.stats().numReads - before - (failed ? 1 : 0);
      const rest = into.subarray(parts[done]?.at ?? 0);
      must(
        rest.every((byte) => byte === 0xa5),
        'a read that failed has written',
      );
    }
    this.#expected.numReads += done + (failed ? 1 : 0);
    this.#expected.failedReads += failed ? 1 : 0;
    for (const part of parts.slice(0, done)) {
      this.#truths.requireState(
        part.index,
        into.slice(part.at, part.at + part.length),
        part,
        this.#truths.certain(part.index),
        'a read',
      );
      this.#idle.delete(part.index);
    }
  }

  #readSoon(offset: number, length: number, call: (into: Uint8Array) => Promise<void>): undefined {
    const index = Math.floor(offset / PAGE_SIZE);
    if (this.#truths.isOpen(index)) return;
    const into = new Uint8Array(length).fill(0xa5);
    const certain = this.#truths.certain(index);
    const truth = this.#truths.of(index);
    truth.reads += 1;
    this.#truths.access(index);
    this.#expected.numReads += 1;
    const ended = call(into).then(
      () =>
        this.#truths.requireState(index, into, { from: offset % PAGE_SIZE, length }, certain, 'an asynchronous read'),
      (error: unknown) => {
        this.#expected.failedReads += 1;
        this.#readCode(error, false);
        must(
          into.every((byte) => byte === 0xa5),
          'a read that failed has written',
        );
      },
    );
    this.#track(
      ended.finally(() => {
        truth.reads -= 1;
        this.#truths.fold(index);
      }),
    );
  }

  // ── the rest ───────────────────────────────────────────────────────────────

  /** Indices of the pages that hold something. */
  #present(): Set<number> {
    return new Set([...this.#device.blockState()].map(({ index }) => index));
  }

  #freeNotify(index: number): undefined {
    const there = this.#present().has(index);
    const change = this.#truths.begin(index, () => new Uint8Array(PAGE_SIZE), false);
    this.#device.freeNotify(index);
    this.#expected.notifyFree += there ? 1 : 0;
    this.#truths.end(index, change, 'done');
  }

  #discard(index: number, count: number): undefined {
    const there = [...this.#present()].filter((page) => page >= index && page < index + count).length;
    const freed = this.#device.discard(index, count);
    must(freed === there, `${freed} pages were freed, ${there} were there`);
    this.#expected.discard += freed;
    for (let page = index; page < index + count; page++)
      this.#truths.end(
        page,
        this.#truths.begin(page, () => new Uint8Array(PAGE_SIZE), false),
        'done',
      );
  }

  /** markIdleAsync marks all pages in its first slice, but gives their number only at the end. */
  #markIdle(age: number, call: (age: number | 'all') => number | Promise<number>): undefined {
    // Sometimes a month or two pass: then the device stores older times in coarser units.
    this.#time.now += this.actions % 7 === 0 ? 4_000_000 : 1;
    const marked = call(age === 0 ? 'all' : age);
    const objects = [...this.#device.blockState()].filter(({ bytes }) => bytes !== 0);
    const due = objects
      .filter(({ accessTime }) => age === 0 || accessTime <= this.#time.now - this.#started - age)
      .map(({ index }) => index);
    const idle = objects.filter(({ flags }) => flags.includes('i')).map(({ index }) => index);
    must(idle.join() === due.join(), `pages ${idle.join()} are idle, ${due.join()} were due`);
    const compare = (given: number): void =>
      must(given === due.length, `${given} pages were marked, ${due.length} were due`);
    if (typeof marked === 'number') compare(marked);
    else {
      this.#requireUnderWay();
      this.#track(marked.then(compare));
    }
    this.#idle.clear();
    idle.forEach((index) => this.#idle.add(index));
  }

  #writebackCode(error: unknown): void {
    this.#requireCode(
      error,
      this.#store === undefined ? ['ENODEV'] : ['EIO', 'ENOSPC', 'EAGAIN', 'EBUSY'],
      'writeback',
    );
  }

  #writeback(what: WritebackSelection, limit: number): undefined {
    this.#device.writebackLimit = limit > 8 ? Infinity : limit;
    const before = this.#device.stats();
    try {
      const moved = this.#device.writeback(what);
      const after = this.#device.bdStat();
      must(
        moved <= this.#device.stats().pagesStored && after.bdWrites - before.bdevNumWrites >= moved,
        `${moved} pages were moved in ${after.bdWrites - before.bdevNumWrites} writes`,
      );
      if (limit <= 8)
        must(
          this.#device.writebackLimit === limit - moved,
          `limit ${limit}, ${moved} moved, ${this.#device.writebackLimit} left`,
        );
    } catch (error) {
      this.#writebackCode(error);
    }
  }

  #writebackSoon(what: WritebackSelection, limit: number): undefined {
    this.#device.writebackLimit = limit > 8 ? Infinity : limit;
    this.#track(
      this.#device.writebackAsync(what).then(
        (moved) => must(moved >= 0 && moved <= PAGES, `${moved} moved`),
        (error: unknown) => this.#writebackCode(error),
      ),
    );
  }

  #recompressOptions({ which, threshold, priority, most }: Omit<Recompress, 'kind'>): RecompressOptions {
    const type = ([undefined, 'idle', 'huge', 'huge_idle'] as const)[which % 4];
    const levels = this.row.recompCodecs.length;
    return {
      ...(type === undefined ? {} : { type }),
      ...(threshold % 4 === 0 ? { threshold: 100 + threshold } : {}),
      ...(priority % 3 === 0 ? { priority: 1 + (priority % Math.max(levels, 1)) } : {}),
      ...(most % 3 === 0 ? { maxPages: most } : {}),
    };
  }

  /** Recompresses in slices: the pages may be changed between two slices. */
  #recompressSoon(action: Recompress): undefined {
    const options = this.#recompressOptions(action);
    const levels = this.row.recompCodecs.length;
    this.#track(
      this.#device.recompressAsync(options).then(
        (smaller) => must(levels > 0 && smaller >= 0 && smaller <= PAGES, `${smaller} pages are said to be smaller`),
        (error: unknown) => {
          this.#requireCode(error, ['EINVAL', ...this.#ending], 'recompressAsync');
          must(levels === 0 || this.#isEnding, `recompressAsync gave ${String(error)}`, error);
        },
      ),
    );
  }

  #compactSoon(): undefined {
    const compacting = this.#device.compactAsync();
    this.#requireUnderWay();
    this.#track(
      compacting.then(
        (frames) => must(frames >= 0, `${frames} frames came back`),
        (error: unknown) => void this.#requireCode(error, this.#ending, 'compactAsync'),
      ),
    );
  }

  /** Results that a call in slices may have when the device is closed between two slices. */
  get #ending(): readonly ErrorCode[] {
    return this.#isEnding ? ['ECLOSED'] : [];
  }

  /** While a call is between two slices, the device must not be reset. */
  #requireUnderWay(): void {
    try {
      this.#device.reset();
      must(false, 'it was reset between two slices of a call');
    } catch (error) {
      this.#requireCode(error, ['EBUSY'], 'reset');
    }
    this.#track(
      this.#device.resetAsync().then(
        () => must(false, 'it was reset between two slices of a call'),
        (error: unknown) => void this.#requireCode(error, ['EBUSY'], 'resetAsync'),
      ),
    );
  }

  /**
   * A snapshot at any time, also between slices: it is refused only for writes to the store that are under way, and is
   * sound.
   */
  async #image(): Promise<void> {
    let image: Uint8Array;
    try {
      image = this.#ram.snapshot();
    } catch (error) {
      this.#requireCode(error, ['EBUSY'], 'snapshot');
      must(this.#store !== undefined && this.#underWay.size !== 0, 'snapshot gave EBUSY without a reason', error);
      return;
    }
    const stored = this.#device.stats().pagesStored;
    const back = await Ram.restore(image, buildOptions(this.#build));
    back.check();
    const [front] = back.fronts();
    const { exports } = rams.core('image', back);
    const { address } = rams.unopened('image', back, front?.name ?? '', 'ramzswap');
    const there = [RAMZ_OBJECTS, RAMZ_SAME, RAMZ_WRITTEN].reduce(
      (sum, which) => sum + exports.ramzFigure(address, which),
      0,
    );
    must(there === stored, `the image has ${there} pages, the device ${stored}`);
    back.close();
  }

  #recompress({ which, threshold, priority, most }: Omit<Recompress, 'kind'>): undefined {
    const options = this.#recompressOptions({ which, threshold, priority, most });
    const levels = this.row.recompCodecs.length;
    const sizes = (): Map<number, number> =>
      new Map([...this.#device.blockState()].map(({ index, bytes }) => [index, bytes]));
    const marks = (): Map<number, string> =>
      new Map([...this.#device.blockState()].map(({ index, flags }) => [index, flags]));
    const before = sizes();
    const given = marks();
    try {
      const smaller = this.#device.recompress(options);
      const after = sizes();
      const less = [...after].filter(([index, bytes]) => bytes < (before.get(index) as number)).length;
      must(less === smaller, `${smaller} pages are said to be smaller, ${less} are`);
      must(
        [...after].every(([index, bytes]) => bytes <= (before.get(index) as number)),
        'a page has become larger',
      );
      const now = marks();
      const tried = [...after].filter(
        ([index, bytes]) =>
          bytes < (before.get(index) as number) || now.get(index)?.includes('n') !== given.get(index)?.includes('n'),
      );
      tried.forEach(([index]) => this.#idle.delete(index));
      if (options.maxPages !== undefined) must(smaller <= options.maxPages, 'more pages than the most');
    } catch (error) {
      const code = this.#requireCode(error, ['EINVAL'], 'recompress');
      must(code === 'EINVAL' && levels === 0, `recompress gave ${String(error)}`, error);
    }
  }

  #beyond(): undefined {
    const page = new Uint8Array(PAGE_SIZE);
    const calls = [
      () => this.#device.readPage(PAGES, page),
      () => this.#device.writePage(PAGES, page),
      () => this.#device.discard(PAGES - 1, 2),
      () => this.#device.freeNotify(PAGES),
      () => this.#device.read(PAGES * PAGE_SIZE - 1, page),
      () => this.#device.writeSectors(PAGES * 8 - 7, page),
    ];
    for (const call of calls) {
      try {
        call();
        must(false, 'a request beyond the device succeeds');
      } catch (error) {
        this.#requireCode(error, ['EINVAL'], 'a request beyond the device');
        this.#expected.invalidIo += 1;
      }
    }
  }

  // ── time ───────────────────────────────────────────────────────────────────

  async #settle(calls: number): Promise<void> {
    for (let i = 0; i < calls; i++) {
      await quiet();
      if (this.#store?.settle() !== true) break;
    }
    await quiet();
  }

  /** Lets time pass until all calls under way time out. */
  async #pass(): Promise<void> {
    this.#everHung = true;
    this.#store?.giveUp();
    this.#clock.pass(TIMEOUT);
    await quiet();
  }

  /** Waits until no call is under way, neither here nor in the store. */
  async #drain(): Promise<void> {
    for (let round = 0; ; round++) {
      await quiet();
      must(round < 5000, 'calls stay under way');
      if (this.#store?.settle() === true) continue;
      if (this.#underWay.size !== 0)
        await (this.#store === undefined || this.#store.underWay === 0 ? quiet() : this.#pass());
      else if (this.#store?.release() !== true) break;
      // A call that hung may hang again. This must not go on for ever.
      if (round > 500) this.#store?.recover();
    }
    this.#throwErrors();
    this.#compareIdle();
  }

  /** Resets the device and initialises it again; the first init fails at the nth frame. */
  async #reset(after: number): Promise<void> {
    await this.#drain();
    this.#store?.recover();
    this.#disarm();
    const sync = this.row.backing !== 'async' || this.#device.bdStat().bdCount === 0;
    try {
      this.#device.reset();
      must(sync, 'reset has freed slots of an asynchronous store');
    } catch (error) {
      this.#requireCode(error, ['EAGAIN'], 'reset');
      must(!sync, 'reset gave EAGAIN', error);
      this.#track(this.#device.resetAsync());
      for (let round = 0; this.#underWay.size !== 0 && round < 1000; round++) await this.#settle(1);
      this.#throwErrors();
    }
    must(!this.#device.initstate && this.#device.writebackLimit === Infinity, 'reset has left settings');
    must((this.#store?.owned.size ?? 0) === 0, `${this.#store?.owned.size} slots are left after reset`);
    must(
      this.#ram.stats().usedFrames === this.#usedBefore,
      `${this.#ram.stats().usedFrames - this.#usedBefore} frames are left after reset`,
    );
    this.#ram.failFrames(after, 1);
    try {
      this.#device.init({ ...this.#settings, swapHeader: true });
      this.#device.discard(0);
    } catch (error) {
      this.#requireCode(error, ['ENOMEM', 'EAGAIN', 'EIO', 'ENOSPC'], 'init');
      must(!this.#device.initstate, 'an init that failed leaves a device');
      must(
        this.#ram.stats().usedFrames === this.#usedBefore,
        `${this.#ram.stats().usedFrames - this.#usedBefore} frames are left after an init that failed`,
      );
    }
    this.#ram.failFrames(null);
    this.#trimmer.recover();
    this.#ram.check();
    if (this.#device.initstate) this.#device.reset();
    this.#device.init(this.#settings);
    this.#begin();
  }

  /** Saves and restores the device, runs the same calls on both copies, and continues with the second one. */
  async #restore(): Promise<void> {
    this.#store?.recover();
    await this.#drain();
    this.#store?.recover();
    this.#trimmer.recover();
    const first = { ram: this.#ram, device: this.#device, store: this.#store };
    const second = await copied(first, this.#build, () => this.#time.now, this.#codecs);
    if (second === undefined) return;
    const { device, ram, store } = second;
    const untold = this.#time.now - this.#started - second.second;
    this.#untold += untold;
    this.#started += untold;
    const writes = new Map(
      [1, 300, 2500, PAGE_SIZE].map((bytes, i): [number, Uint8Array] => {
        const page = new Uint8Array(PAGE_SIZE);
        page.set(noise(bytes, this.actions + i));
        return [(this.actions * (i + 1)) % PAGES, page];
      }),
    );
    const written = await goesOn(first, second, PAGES, writes);
    [this.#ram, this.#device, this.#store] = [ram, device, store];
    if (store !== undefined) this.#settings = { ...this.#settings, backing: store as BackingStore };
    for (let index = 0; index < PAGES; index++) this.#truths.access(index);
    for (const [index, page] of written) Object.assign(this.#truths.of(index), { base: page, present: true });
    this.#idle.clear();
    for (const { index, flags } of device.blockState()) if (flags.includes('i')) this.#idle.add(index);
    const { numReads, numWrites, failedReads, failedWrites, invalidIo, notifyFree, discard } = device.stats();
    must(
      numReads === PAGES &&
        numWrites === writes.size &&
        failedWrites === writes.size - written.size &&
        invalidIo + notifyFree + discard === 0,
      'I/O was counted that was not done',
    );
    this.#expected = { numReads, numWrites, failedReads, failedWrites, invalidIo, notifyFree, discard };
    this.#eio += failedReads;
    await served(first.device.close(), first.store);
    first.ram.close();
  }

  // ── comparison ─────────────────────────────────────────────────────────────

  #throwErrors(): void {
    if (this.#errors.length !== 0) throw this.#errors[0];
  }

  /** Invariants at any time: the figures equal those of a recount. */
  #compare(): void {
    this.#throwErrors();
    this.#store?.verify();
    this.#ram.check();
    const blocks = [...this.#device.blockState()];
    const having = (flag: string): number => blocks.filter(({ flags }) => flags.includes(flag)).length;
    const objects = blocks.filter(({ flags }) => !/[sw]/.test(flags));
    const bytes = objects.reduce((sum, block) => sum + block.bytes, 0);
    const pool = this.#ram.pools().find(({ name }) => name.includes('/pool'));
    const live = pool?.stats();
    must(
      live?.objects === objects.length && live.liveBytes === bytes,
      `the pool has ${live?.objects} objects of ${live?.liveBytes} bytes, the device ${objects.length} of ${bytes}`,
    );
    const { stats, mm, bd, io } = {
      stats: this.#device.stats(),
      mm: this.#device.mmStat(),
      bd: this.#device.bdStat(),
      io: this.#device.ioStat(),
    };
    equal(stats, {
      disksize: PAGES * PAGE_SIZE,
      memlimit: this.#device.memlimit,
      pagesSame: having('s'),
      pagesStored: blocks.length,
      pagesUsed: live.frames,
      goodCompress: objects.filter((block) => block.bytes <= PAGE_SIZE / 2).length,
      pagesExpand: having('h'),
      origDataSize: blocks.length * PAGE_SIZE,
      comprDataSize: bytes,
      memUsedTotal: live.frames * PAGE_SIZE,
      bdevNumReads: bd.bdReads,
      bdevNumWrites: bd.bdWrites,
    });
    equal(mm, {
      origDataSize: stats.origDataSize,
      comprDataSize: bytes,
      memUsedTotal: stats.memUsedTotal,
      memLimit: stats.memlimit,
      samePages: stats.pagesSame,
      hugePages: stats.pagesExpand,
    });
    equal(io, {
      failedReads: stats.failedReads,
      failedWrites: stats.failedWrites,
      invalidIo: stats.invalidIo,
      notifyFree: stats.notifyFree,
    });
    must(bd.bdCount === having('w'), `${bd.bdCount} pages are in the store, ${having('w')} have the mark`);
    must(
      mm.memUsedMax >= mm.memUsedTotal && mm.hugePagesSince >= mm.hugePages,
      'the total is less than the present number',
    );
    must((this.#store?.owned.size ?? 0) >= bd.bdCount, 'more pages in the store than slots');
    const { numReads, numWrites, invalidIo, notifyFree, discard } = this.#expected;
    equal(stats, { numReads, numWrites, invalidIo, notifyFree, discard });
    must(
      this.#device.memlimit === 0 || stats.memUsedTotal <= Math.max(this.#device.memlimit, this.#used * PAGE_SIZE),
      `${stats.pagesUsed} frames, the limit is ${this.#device.memlimit / PAGE_SIZE}, there were ${this.#used}`,
    );
    this.#used = stats.pagesUsed;
    this.#compareAccess(blocks);
    this.#comparePages(new Map(blocks.map(({ index, flags }) => [index, flags])));
    const reasons = (this.#store?.failed.read ?? 0) + (this.#store?.damaged ?? 0) + this.#trimmer.failed.decompress;
    must(this.#eio <= reasons, `${this.#eio} reads failed, for ${reasons} reasons`);
  }

  /** Compares the pages that no call is about. */
  #comparePages(flags: ReadonlyMap<number, string>): void {
    this.#truths.all.forEach(({ base, present, changes }, index) => {
      if (changes.length !== 0) return;
      const mark = flags.get(index);
      must((mark !== undefined) === present, `page ${index} is ${present ? 'not ' : ''}there`);
      if (mark?.includes('s') === true) must(isSameFilled(base), `page ${index} is not same-filled`);
      else if (present && !this.#everArmed) must(!isSameFilled(base), `page ${index} is same-filled, and not marked`);
      if (mark?.includes('h') === true) must(this.#hasRefused(), `page ${index} is huge, and there is a store`);
    });
  }

  /** True when there is no store, or the store has refused a page, or may have. */
  #hasRefused(): boolean {
    return this.#store === undefined || this.#store.failed.write !== 0 || this.#everHung || this.row.slots < 1000;
  }

  /** Compares idle marks and access times: an idle page was not accessed since it was marked. */
  #compareAccess(blocks: readonly BlockState[]): void {
    for (const { index, flags, bytes, accessTime } of blocks) {
      if (!flags.includes('i')) this.#idle.delete(index);
      else must(this.#idle.has(index), `page ${index} is idle, but was accessed`);
      if (bytes === 0) continue;
      const late = [...this.#truths.of(index).times].map((time) => time - accessTime);
      must(
        late.some(
          (by) =>
            by === 0 || (by > 0 && by < 256 && this.#time.now - this.#started + this.#untold - accessTime > 2 ** 21),
        ),
        `page ${index} was not accessed at second ${accessTime}`,
      );
    }
  }

  #compareIdle(): void {
    const { failedReads, failedWrites } = this.#device.stats();
    equal(
      { failedReads, failedWrites },
      { failedReads: this.#expected.failedReads, failedWrites: this.#expected.failedWrites },
    );
    const { bdCount } = this.#device.bdStat();
    if (this.#store !== undefined)
      must(this.#store.owned.size === bdCount, `the store has ${this.#store.owned.size} slots for ${bdCount} pages`);
    must(
      this.#truths.all.every(({ changes, reads }) => changes.length === 0 && reads === 0),
      'calls have no end',
    );
  }

  /** The end of a run: every page is read, all are dropped, the device is closed. */
  async finish(): Promise<void> {
    this.#disarm();
    await this.#drain();
    this.#store?.recover();
    this.#trimmer.recover();
    this.#device.memlimit = 0;
    for (let index = 0; index < PAGES; index++)
      this.#readSoon(index * PAGE_SIZE, PAGE_SIZE, (into) => this.#device.readPageAsync(index, into));
    await this.#drain();
    this.#compare();
    this.#discard(0, PAGES);
    await this.#drain();
    this.#device.compact();
    this.#compare();
    const stats = this.#device.stats();
    must(
      stats.pagesStored === 0 && stats.comprDataSize === 0 && (this.#store?.owned.size ?? 0) === 0,
      'pages are left',
    );
    const left = this.#ram.stats().usedFrames - this.#emptyFrames;
    must(left <= 0, `${left} frames are left`);
    this.#isEnding = true;
    this.#compactSoon();
    if (this.row.recompCodecs.length !== 0)
      this.#recompressSoon({ kind: 'recompressAsync', which: 0, threshold: 1, priority: 1, most: 1 });
    const closed = this.#device.close();
    this.#track(closed);
    for (let round = 0; this.#underWay.size !== 0 && round < 50; round++) await this.#settle(1);
    this.#throwErrors();
    must(this.#underWay.size === 0, 'close does not end');
    must(
      this.#ram.stats().usedFrames === this.#usedBefore,
      `${this.#ram.stats().usedFrames - this.#usedBefore} frames are left after close`,
    );
    this.#ram.check();
    this.#ram.close();
  }
}

function equal(actual: object, expected: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(expected)) {
    const given = (actual as Record<string, unknown>)[key];
    must(given === value, `${key} is ${String(given)}, a recount gives ${String(value)}`);
  }
}
