/**
 * A random machine: one swap space over a ChaosStore and a map of the expected pages, driven by actions.
 *
 * An action is plain data; numbers are taken modulo the number of choices. The machine waits only where an action says
 * so; the store draws what happens in between. A page has a history: a load that was under way for a while may give any
 * state that the page had meanwhile, and nothing else. It uses no test framework, because swap-long.ts runs it too.
 */
import {
  CompcacheError,
  Ram,
  SwapSpace,
  Zswap,
  type AllocatorName,
  type BackingStore,
  type Codec,
  type ErrorCode,
  type ZswapStats,
} from '../../bindings/index.ts';
import { zswaps } from '../../bindings/front/zswap/index.ts';
import { must, noise, sameBytes, type Build, buildOptions } from '../harness.ts';
import { ChaosStore, faultsOf, type Fault, type Op } from './chaos-store.ts';
import { TIMEOUT, quiet, type Clock } from './clock.ts';
import { trimZeros } from './pages.ts';
import { isRecognised, requireRefused } from './recognition.ts';

export const PAGE_SIZE = 4096;
const TYPES = 3;
/** Fault injection of frames is switched off after this number of actions. */
const ARMED = 12;
/** The most entries that one store call writes back in order to lower the level of the pool. */
const OWED_MOST = 16;
/** With this number of free frames no allocation fails. */
const ROOM = 24;

export type CodecName = 'lz4' | 'lz4hc' | 'deflate' | 'trimmer';

export interface FrontRow {
  readonly title: string;
  readonly allocator: AllocatorName;
  readonly victims: 'entry' | 'page';
  readonly codec: CodecName;
  readonly mode: 'sync' | 'async';
  readonly shared: boolean;
  readonly exclusiveLoads: boolean;
  readonly writebackCompressed: boolean;
  readonly maxInFlight: number;
  readonly slots: number;
  readonly index: 'sparse' | 'dense';
  readonly incompressible: 'keep' | 'refuse' | undefined;
}

/** A page: `noise` bytes that do not compress, then zeros; or one word repeated. */
export type PageKind = { noise: number; salt: number } | { word: number };

export type Setting =
  | { what: 'enabled' | 'sameFilled' | 'exclusiveLoads'; value: boolean }
  | { what: 'maxPoolPercent' | 'acceptThresholdPercent'; value: number }
  | { what: 'allocator'; value: AllocatorName }
  | { what: 'codec'; value: CodecName }
  | { what: 'writebackLimit'; value: number };

export type FrontAction =
  | { kind: 'store'; type: number; offset: number; page: PageKind }
  | { kind: 'pageOut'; offset: number; page: PageKind }
  | { kind: 'pageOutAsync'; offset: number; page: PageKind }
  | { kind: 'load'; type: number; offset: number }
  | { kind: 'loadAsync'; type: number; offset: number }
  | { kind: 'invalidate'; type: number; offset: number }
  | { kind: 'area'; type: number }
  | { kind: 'writeback'; entries: number }
  | { kind: 'writebackAsync'; entries: number }
  | { kind: 'shrink'; frames: number }
  | { kind: 'shrinkAsync'; frames: number }
  | { kind: 'settle'; calls: number }
  | { kind: 'quiet' }
  | { kind: 'time' }
  | { kind: 'release' }
  | { kind: 'fault'; op: Op; fault: number; after: number }
  | { kind: 'condition'; condition: ChaosStore['condition'] }
  | { kind: 'frames'; after: number; times: number }
  | { kind: 'codec fault'; on: 'compress' | 'decompress'; fault: number; after: number }
  | { kind: 'inside'; op: Op | 'compress' | 'decompress'; action: FrontAction }
  | { kind: 'set'; setting: Setting }
  | { kind: 'close' }
  | { kind: 'image' }
  | { kind: 'all' };

export function pageOf(kind: PageKind): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  if ('word' in kind) new Uint32Array(page.buffer).fill(kind.word);
  else page.set(noise(kind.noise, kind.salt));
  return page;
}

function isSameFilled(page: Uint8Array): boolean {
  const words = new Uint32Array(page.buffer);
  return words.every((word) => word === words[0]);
}

// ── the codec under test ─────────────────────────────────────────────────────

/** A codec of the user: it leaves out the zeros at the end. It fails and calls back as planned. */
export class Trimmer implements Codec {
  readonly name = 'trimmer';
  failed = { compress: 0, decompress: 0 };
  inside: ((what: 'compress' | 'decompress') => void) | undefined;
  #plans: { on: 'compress' | 'decompress'; fault: number; after: number }[] = [];

  plan(on: 'compress' | 'decompress', fault: number, after: number): void {
    this.#plans.push({ on, fault, after });
  }

  recover(): void {
    this.#plans = [];
    this.inside = undefined;
  }

  #fault(on: 'compress' | 'decompress'): number | undefined {
    const mine = this.#plans.filter((plan) => plan.on === on);
    const due = mine.find((plan) => plan.after === 0);
    for (const plan of mine) plan.after -= 1;
    if (due === undefined) return undefined;
    this.#plans.splice(this.#plans.indexOf(due), 1);
    this.failed[on] += 1;
    return due.fault;
  }

  /** The value that it returns in place of a number of bytes. */
  #answer(on: 'compress' | 'decompress', fault: number, most: number): number {
    const answers = [
      () => most + 1,
      () => -1,
      () => NaN,
      () => 1.5,
      () => Promise.resolve(7),
      () => Promise.reject(new Error('codec')),
      () => undefined,
      () => 'x',
    ];
    const answer = answers[fault % 9]?.();
    if (answer === undefined && fault % 9 === 8) throw new Error(`${on} failed`);
    return answer as number;
  }

  compress(page: Uint8Array, into: Uint8Array): number {
    this.inside?.('compress');
    const fault = this.#fault('compress');
    if (fault !== undefined) return this.#answer('compress', fault, into.length);
    return trimZeros(page, into);
  }

  decompress(block: Uint8Array, into: Uint8Array): number {
    this.inside?.('decompress');
    const fault = this.#fault('decompress');
    if (fault !== undefined) return this.#answer('decompress', fault, PAGE_SIZE);
    into.set(block);
    into.fill(0, block.length);
    return PAGE_SIZE;
  }
}

// ── the machine ──────────────────────────────────────────────────────────────

/** One state of a key. */
interface Version {
  readonly page: Uint8Array | undefined;
  /** True for a same-filled page, which is not in a pool. */
  readonly fill: boolean;
  /** Action numbers at which the state began and ended. */
  readonly from: number;
  to: number;
  /** While its pageOutAsync is under way: whether a load has found the page gone, as it may if the call fails. */
  pending?: { seenGone: boolean };
}

/** A key with all states that a load under way may still see. */
interface History {
  readonly type: number;
  readonly offset: number;
  versions: Version[];
  /** The number of loads under way. */
  loads: number;
}

const ABSENT: Version = { page: undefined, fill: false, from: 0, to: Infinity };

/** Codes that a failing call may have; ECLOSED only after close. */
function codeOf(error: unknown): ErrorCode {
  if (error instanceof CompcacheError) return error.code;
  throw error;
}

/** Waits for a call, while the store ends its calls. */
async function settled<T>(call: Promise<T>, store: ChaosStore): Promise<T> {
  let ended = false;
  const done = (): void => void (ended = true);
  call.then(done, done);
  for (let round = 0; round < 1000; round++) {
    await quiet();
    if (ended) break;
    store.settle();
  }
  must(ended, 'a call does not end');
  return call;
}

/** All settings that can be set. */
export function settingsOf(zswap: Zswap): object {
  const {
    name,
    victims,
    enabled,
    maxPoolPercent,
    acceptThresholdPercent,
    sameFilled,
    exclusiveLoads,
    writebackLimit,
    allocator,
    codec,
  } = zswap;
  return {
    name,
    victims,
    enabled,
    maxPoolPercent,
    acceptThresholdPercent,
    sameFilled,
    exclusiveLoads,
    writebackLimit: String(writebackLimit),
    allocator,
    codec,
  };
}

export class FrontMachine {
  readonly row: FrontRow;
  readonly #build: Build;
  #ram: Ram;
  readonly #clock: Clock;
  readonly #codecs: Record<CodecName, Codec | 'lz4' | 'lz4hc'>;
  readonly #trimmer = new Trimmer();
  readonly #usedBefore: number;
  readonly #histories = new Map<string, History>();
  #space!: Pick<SwapSpace, 'zswap' | 'pageOut' | 'pageOutAsync' | 'close'>;
  #store!: ChaosStore;
  #created = 0;
  #now = 1;
  #armed = 0;
  /** The action at which all calls were last stuck. */
  #stuckAt = 0;
  #seed: number;
  /** Calls that were not awaited. */
  #underWay = new Set<Promise<void>>();
  #errors: unknown[] = [];
  /** Key of the call that is running now; a callback does not use this key. */
  #busy: string | undefined;
  #depth = 0;
  /** The number of loads that gave EIO: with the page lost, and with the page kept. */
  #lost = 0;
  #kept = 0;
  #emptyFrames = 0;
  #closing = false;
  actions = 0;

  private constructor(row: FrontRow, ram: Ram, build: Build, clock: Clock, deflate: Codec, seed: number) {
    this.row = row;
    this.#build = build;
    this.#ram = ram;
    this.#clock = clock;
    this.#seed = seed;
    this.#usedBefore = ram.stats().usedFrames;
    this.#codecs = { lz4: 'lz4', lz4hc: 'lz4hc', deflate, trimmer: this.#trimmer };
  }

  /** `deflate` is loaded once; `clock` is installed. */
  static async create(
    row: FrontRow,
    build: Build,
    clock: Clock,
    deflate: Codec,
    seed: number,
    bytes = '512KiB',
  ): Promise<FrontMachine> {
    const ram = await Ram.create({ bytes, ...buildOptions(build) });
    if (row.shared) ram.zpool('zbud', { name: 'other' }).malloc(100);
    const machine = new FrontMachine(row, ram, build, clock, deflate, seed);
    await machine.#open();
    return machine;
  }

  async #open(): Promise<void> {
    const {
      allocator,
      victims,
      codec,
      mode,
      exclusiveLoads,
      writebackCompressed,
      maxInFlight,
      slots,
      index,
      incompressible,
    } = this.row;
    this.#seed += 1;
    this.#store = new ChaosStore({ mode, slots, seed: this.#seed, maxInFlight });
    this.#space = await SwapSpace.create({
      ram: this.#ram,
      store: this.#store as BackingStore,
      allocator,
      victims,
      codec: this.#codecs[codec],
      exclusiveLoads,
      writebackCompressed,
      maxInFlight,
      index,
      timeout: TIMEOUT,
      ...(incompressible === undefined ? {} : { incompressible }),
    });
    this.#emptyFrames = this.#zswap.stats().frames;
    this.#lost = this.#kept = 0;
    this.#trimmer.failed = { compress: 0, decompress: 0 };
    this.#created += 1;
  }

  get #zswap(): Zswap {
    return this.#space.zswap;
  }

  // ── histories ──────────────────────────────────────────────────────────────

  #key(type: number, offset: number): string {
    return `${type}/${offset}`;
  }

  #history(type: number, offset: number): History {
    const key = this.#key(type, offset);
    let history = this.#histories.get(key);
    if (history === undefined) this.#histories.set(key, (history = { type, offset, versions: [ABSENT], loads: 0 }));
    return history;
  }

  #current(history: History): Version {
    return history.versions.at(-1) as Version;
  }

  #put(history: History, page: Uint8Array | undefined, fill = false): Version {
    this.#now += 1;
    const last = this.#current(history);
    if (page === undefined && last.page === undefined) return last;
    if (last !== ABSENT) last.to = this.#now;
    const version: Version = { page, fill, from: this.#now, to: Infinity };
    history.versions.push(version);
    if (this.#underWay.size === 0 && this.#depth === 0) history.versions = [version];
    return version;
  }

  /** Requires that a load gave one of the states that the page has had since. */
  #requireState(history: History, given: Uint8Array | undefined, since: number, what: string): void {
    must(
      this.#hasBeen(history, given, since),
      `${what} ${this.#key(history.type, history.offset)} gave ${given === undefined ? 'nothing' : 'other bytes'}`,
    );
  }

  #hasBeen({ versions }: History, given: Uint8Array | undefined, since: number): boolean {
    return versions.some((version, i) => {
      const end = versions[i + 1]?.from ?? Infinity;
      if (end <= since) return false;
      return given === undefined
        ? version.page === undefined
        : version.page !== undefined && sameBytes(version.page, given);
    });
  }

  // ── actions ────────────────────────────────────────────────────────────────

  /** Carries out one action and compares. Gives a promise only where the action waits. */
  apply(action: FrontAction): Promise<void> | undefined {
    this.actions += 1;
    if (this.#isStuck()) this.#stuckAt = this.#now;
    if (this.#armed !== 0 && this.actions > this.#armed) this.#disarm();
    const wait = this.#do(action);
    if (wait === undefined) {
      this.#compare();
      return undefined;
    }
    return wait.then(() => this.#compare());
  }

  #isStuck(): boolean {
    return this.#store.underWay >= this.row.maxInFlight;
  }

  #disarm(): void {
    this.#ram.failFrames(null);
    this.#armed = 0;
  }

  #do(action: FrontAction): Promise<void> | undefined {
    switch (action.kind) {
      case 'settle':
        return this.#settle(action.calls);
      case 'quiet':
        return quiet();
      case 'time':
        return this.#time();
      case 'release':
        this.#store.release();
        return quiet();
      case 'close':
        return this.#close().then(() => this.#open());
      case 'image':
        return this.#image();
      case 'all':
        return this.#drain();
      default:
        this.#act(action);
    }
    return undefined;
  }

  /** The actions that do not wait; they can also run inside a call of a store or codec. */
  #act(action: FrontAction): void {
    switch (action.kind) {
      case 'store':
        return this.#onKey(action, (history) => this.#storePage(history, pageOf(action.page)));
      case 'pageOut':
        return this.#onKey({ type: 0, offset: action.offset }, (history) =>
          this.#pageOut(history, pageOf(action.page)),
        );
      case 'pageOutAsync':
        return this.#onKey({ type: 0, offset: action.offset }, (history) =>
          this.#pageOutSoon(history, pageOf(action.page)),
        );
      case 'load':
        return this.#onKey(action, (history) => this.#load(history));
      case 'loadAsync':
        return this.#onKey(action, (history) => this.#loadSoon(history));
      case 'invalidate':
        return this.#onKey(action, (history) => this.#invalidate(history));
      case 'area':
        return this.#area(action.type);
      case 'writeback':
        return this.#reclaim('writeback', action.entries);
      case 'shrink':
        return this.#reclaim('shrink', action.frames);
      case 'writebackAsync':
        return this.#reclaimSoon('writebackAsync', action.entries);
      case 'shrinkAsync':
        return this.#reclaimSoon('shrinkAsync', action.frames);
      case 'fault': {
        const faults = faultsOf(action.op);
        return this.#store.plan(action.op, faults[action.fault % faults.length] as Fault, action.after);
      }
      case 'condition':
        this.#store.condition = action.condition === 'stuck' && this.row.mode === 'sync' ? 'gone' : action.condition;
        return;
      case 'frames':
        this.#ram.failFrames(action.after, action.times);
        this.#armed = this.actions + ARMED;
        return;
      case 'codec fault':
        return this.#trimmer.plan(action.on, action.fault, action.after);
      case 'inside':
        return this.#inside(action.op, action.action);
      case 'set':
        return this.#set(action.setting);
      default:
        return;
    }
  }

  #onKey({ type, offset }: { type: number; offset: number }, call: (history: History) => void): void {
    const history = this.#history(this.row.index === 'dense' ? 0 : type % TYPES, offset);
    const key = this.#key(history.type, offset);
    if (this.#busy === key) return;
    const before = this.#busy;
    this.#busy ??= key;
    try {
      call(history);
    } finally {
      this.#busy = before;
    }
  }

  /** Whether a page is same-filled. Callbacks are switched off then: no other same-filled page may come or go meanwhile. */
  #isFill(page: Uint8Array): boolean {
    if (!isSameFilled(page)) return false;
    this.#store.inside = undefined;
    this.#trimmer.inside = undefined;
    return true;
  }

  /** Runs an action once, inside the next call of this kind. */
  #inside(op: Op | 'compress' | 'decompress', action: FrontAction): void {
    const act = (): void => {
      if (this.#depth !== 0) return;
      this.#depth += 1;
      try {
        this.#act(action);
      } catch (error) {
        this.#errors.push(error);
      } finally {
        this.#depth -= 1;
      }
    };
    if (op === 'compress' || op === 'decompress') {
      this.#trimmer.inside = (what) => {
        if (what !== op) return;
        this.#trimmer.inside = undefined;
        act();
      };
    } else {
      this.#store.inside = (what) => {
        if (what !== op) return;
        this.#store.inside = undefined;
        act();
      };
    }
  }

  #storePage(history: History, page: Uint8Array): void {
    const { type, offset } = history;
    const before = this.#zswap.stats();
    const fill = this.#isFill(page) && this.#zswap.sameFilled;
    const paysOnly = this.#paysOnly(before);
    const { write } = this.#store.calls;
    const accepted = this.#zswap.store(type, offset, page);
    const writes = this.#store.calls.write - write;
    if (paysOnly && this.#zswap.stats().poolLimitHit === 0)
      must(writes <= OWED_MOST, `a store has written ${writes} entries`);
    this.#put(history, accepted ? page : undefined, accepted && fill);
    if (!accepted && this.#zswap.enabled && this.#depth === 0) this.#requireCounter(before);
  }

  /** True when a store call writes back only to lower the level: room was never short, and nothing calls back. */
  #paysOnly(before: ZswapStats): boolean {
    const alone = this.#depth === 0 && this.#store.inside === undefined && this.#trimmer.inside === undefined;
    return alone && this.#armed === 0 && before.poolLimitHit === 0 && this.#ram.stats().freeFrames >= ROOM;
  }

  /** A refused page is counted, unless the limit was hit before and the level is still above the threshold. */
  #requireCounter(before: ZswapStats): void {
    const after = this.#zswap.stats();
    const names = [
      'poolLimitHit',
      'rejectReclaimFail',
      'rejectCompressFail',
      'rejectCompressPoor',
      'rejectAllocFail',
      'rejectKmemcacheFail',
    ] as const;
    const counted = names.some((name) => after[name] > before[name]);
    must(counted || before.poolLimitHit > 0, 'a page was refused and nothing was counted');
  }

  #pageOut(history: History, page: Uint8Array): void {
    const same = this.#isFill(page);
    const others = this.#zswap.stats().sameFilledPages - (this.#current(history).fill ? 1 : 0);
    try {
      this.#space.pageOut(history.offset, page);
      this.#put(history, page, same && this.#zswap.stats().sameFilledPages > others);
    } catch (error) {
      this.#put(history, undefined);
      const code = codeOf(error);
      must(
        ['ENOSPC', 'EIO', 'ENOMEM'].includes(code) || (code === 'EAGAIN' && this.row.mode === 'async'),
        `pageOut gave ${String(error)}`,
        error,
      );
      this.#requireReason(code, error);
    }
  }

  #pageOutSoon(history: History, page: Uint8Array): void {
    const same = this.#isFill(page);
    const others = this.#zswap.stats().sameFilledPages - (this.#current(history).fill ? 1 : 0);
    const call = this.#space.pageOutAsync(history.offset, page);
    const isThere = this.#zswap.has(0, history.offset);
    const fill = same && isThere && this.#zswap.stats().sameFilledPages > others;
    const version = this.#put(history, isThere ? page : undefined, fill);
    const pending = { seenGone: false };
    if (version.page !== undefined) version.pending = pending;
    this.#track(
      call.then(
        () => {
          delete version.pending;
          must(!pending.seenGone, 'a page was gone, and its pageOutAsync has not failed');
        },
        (error: unknown) => {
          delete version.pending;
          const code = codeOf(error);
          must(['ENOSPC', 'EIO', 'ENOMEM'].includes(code), `pageOutAsync gave ${String(error)}`, error);
          this.#requireReason(code, error);
          if (version.page !== undefined && this.#current(history) === version) this.#put(history, undefined);
        },
      ),
    );
  }

  /** An error of the store must have a cause there. */
  #requireReason(code: ErrorCode, error: unknown): void {
    const { failed } = this.#store;
    const hangs = /hang/.test((error as Error).message);
    if (code === 'EIO') must(failed.write > 0 || hangs, 'EIO, and no write has failed', error);
  }

  #load(history: History): void {
    const { type, offset } = history;
    const into = noise(PAGE_SIZE, 99);
    const since = this.#now;
    const { damaged, failed } = {
      damaged: this.#store.damaged,
      failed: this.#store.failed.read + this.#trimmer.failed.decompress,
    };
    const exclusive = this.#zswap.exclusiveLoads;
    try {
      const found = this.#zswap.load(type, offset, into);
      if (this.#depth === 0)
        must(found === (this.#current(history).page !== undefined), `load of ${this.#key(type, offset)} gave ${found}`);
      this.#requireState(history, found ? into : undefined, since, 'load of');
      if (exclusive && found && !this.#zswap.has(type, offset)) this.#put(history, undefined);
    } catch (error) {
      must(sameBytes(into, noise(PAGE_SIZE, 99)), 'a load that failed has written', error);
      if (codeOf(error) === 'EAGAIN') {
        must(this.row.mode === 'async' && this.#zswap.stats().backingPages > 0, `load gave ${String(error)}`, error);
        return;
      }
      must(codeOf(error) === 'EIO', `load gave ${String(error)}`, error);
      if (this.#zswap.has(type, offset)) {
        must(
          this.#store.failed.read + this.#trimmer.failed.decompress > failed,
          `EIO for ${this.#key(type, offset)}, and nothing has failed`,
          error,
        );
      } else {
        must(this.#store.damaged > damaged, `${this.#key(type, offset)} is lost, and nothing was damaged`, error);
        this.#put(history, undefined);
      }
    }
  }

  #loadSoon(history: History): void {
    const { type, offset } = history;
    const into = noise(PAGE_SIZE, 98);
    const since = this.#now;
    const exclusive = this.#zswap.exclusiveLoads;
    const space = this.#created;
    history.loads += 1;
    this.#track(
      this.#zswap.loadAsync(type, offset, into).then(
        (found) => {
          history.loads -= 1;
          must(found || sameBytes(into, noise(PAGE_SIZE, 98)), 'a load that found nothing has written');
          // An exclusive load under way at the same time may have taken the page; the machine sees this only later.
          const isTaken = !found && history.loads > 0 && (exclusive || this.#zswap.exclusiveLoads);
          // A page whose pageOutAsync has failed may be gone too, before the machine sees the rejection.
          const { pending } = this.#current(history);
          if (!isTaken && !found && pending !== undefined)
            pending.seenGone ||= !this.#hasBeen(history, undefined, since);
          else if (!isTaken) this.#requireState(history, found ? into : undefined, since, 'loadAsync of');
          if (found && (exclusive || this.#zswap.exclusiveLoads) && space === this.#created) this.#vanished(history);
        },
        (error: unknown) => {
          history.loads -= 1;
          must(sameBytes(into, noise(PAGE_SIZE, 98)), 'a load that failed has written', error);
          const code = codeOf(error);
          // After an error just before the end, the space can no longer be asked about the page.
          if ((code === 'ECLOSED' || code === 'EIO') && this.#closing) return;
          must(code === 'EIO', `loadAsync gave ${String(error)}`, error);
          if (/hang/.test((error as Error).message)) {
            // A call may have ended since then, before this rejection arrived.
            must(this.#isStuck() || this.#stuckAt >= since, 'not all calls hang', error);
          } else if (this.#current(history).page !== undefined && !this.#zswap.has(type, offset)) {
            this.#lost += 1;
            this.#put(history, undefined);
          } else {
            this.#kept += 1;
          }
        },
      ),
    );
    if (exclusive) this.#vanished(history);
  }

  /** A page that an exclusive load may have taken. */
  #vanished(history: History): void {
    if (this.#closing || this.#current(history).page === undefined) return;
    if (!this.#zswap.has(history.type, history.offset)) this.#put(history, undefined);
  }

  #invalidate(history: History): void {
    const was = this.#zswap.invalidatePage(history.type, history.offset);
    if (this.#depth === 0)
      must(
        was === (this.#current(history).page !== undefined),
        `invalidate of ${this.#key(history.type, history.offset)} gave ${was}`,
      );
    this.#put(history, undefined);
  }

  #area(type: number): void {
    const of = [...this.#histories.values()].filter(
      (history) => history.type === type % TYPES && this.#busy !== this.#key(history.type, history.offset),
    );
    if (this.#depth !== 0) {
      for (const history of of) this.#invalidate(history);
      return;
    }
    const expected = of.filter((history) => this.#current(history).page !== undefined).length;
    // First the map: the store is told when all pages are gone, and its callbacks come later.
    for (const history of of) this.#put(history, undefined);
    const pages = this.#zswap.invalidateArea(type % TYPES);
    must(pages === expected, `invalidateArea gave ${pages}, not ${expected}`);
  }

  #reclaim(what: 'writeback' | 'shrink', count: number): void {
    const before = this.#zswap.stats();
    const budget = this.#zswap.writebackLimit;
    const alone = this.#depth === 0 && this.#store.inside === undefined && this.#trimmer.inside === undefined;
    try {
      const moved = this.#zswap[what](count);
      must(this.row.mode === 'sync', `${what} of an asynchronous store gave ${moved}`);
      const after = this.#zswap.stats();
      if (alone && what === 'writeback') {
        must(
          moved === after.writtenBackPages - before.writtenBackPages,
          `writeback gave ${moved}, and counted ${after.writtenBackPages - before.writtenBackPages}`,
        );
        must(
          moved <= budget && this.#zswap.writebackLimit === budget - moved,
          `${moved} were written of ${budget}, ${this.#zswap.writebackLimit} are left`,
        );
        if (this.row.victims === 'entry') must(moved <= count, `writeback(${count}) gave ${moved}`);
      }
    } catch (error) {
      const code = codeOf(error);
      if (this.row.mode === 'async') must(code === 'EAGAIN', `${what} gave ${String(error)}`, error);
      else must(code === 'EIO' || code === 'ENOSPC', `${what} gave ${String(error)}`, error);
      this.#requireReason(code, error);
    }
  }

  #reclaimSoon(what: 'writebackAsync' | 'shrinkAsync', count: number): void {
    this.#track(
      this.#zswap[what](count).then(
        (moved) =>
          must(
            Number.isInteger(moved) &&
              moved >= 0 &&
              (what === 'shrinkAsync' || this.row.victims === 'page' || moved <= count),
            `${what}(${count}) gave ${moved}`,
          ),
        (error: unknown) => {
          const code = codeOf(error);
          must(code === 'EIO' || code === 'ENOSPC', `${what} gave ${String(error)}`, error);
          this.#requireReason(code, error);
        },
      ),
    );
  }

  #set(setting: Setting): void {
    const zswap = this.#zswap;
    try {
      switch (setting.what) {
        case 'codec':
          zswap.codec = this.#codecs[setting.value];
          must(
            zswap.codec === setting.value || typeof this.#codecs[setting.value] !== 'string',
            `the codec is ${zswap.codec}`,
          );
          break;
        case 'writebackLimit':
          zswap.writebackLimit = setting.value > 40 ? Infinity : setting.value;
          break;
        default: {
          const { what, value } = setting;
          (zswap as unknown as Record<string, unknown>)[what] = value;
          must(zswap[what] === value, `${what} is ${String(zswap[what])}`);
        }
      }
    } catch (error) {
      const code = codeOf(error);
      must(
        (code === 'ENOMEM' || code === 'EBUSY') && (setting.what === 'codec' || setting.what === 'allocator'),
        `setting ${setting.what} gave ${String(error)}`,
        error,
      );
    }
  }

  // ── waiting ────────────────────────────────────────────────────────────────

  #track(call: Promise<void>): void {
    const tracked = call
      .catch((error: unknown) => void this.#errors.push(error))
      .finally(() => void this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
  }

  async #settle(calls: number): Promise<void> {
    await quiet();
    for (let i = 0; i < calls && this.#store.settle(); i++) await quiet();
  }

  /** All calls under way time out. */
  async #time(): Promise<void> {
    await quiet();
    this.#store.giveUp();
    this.#clock.pass(TIMEOUT);
    await quiet();
  }

  /** Ends all calls until none is under way; hung calls last. */
  async #drain(): Promise<void> {
    this.#store.recover();
    this.#store.inside = undefined;
    this.#trimmer.recover();
    for (let round = 0; round < 100_000; round++) {
      await quiet();
      if (this.#store.settle()) continue;
      if (this.#store.release()) continue;
      if (this.#underWay.size === 0) break;
      must(round < 99_999, `${this.#underWay.size} calls never end`);
      must(this.#clock.size !== 0, `${this.#underWay.size} calls wait without a reason`);
      this.#clock.pass(TIMEOUT);
    }
    this.#compare();
    this.#compareIdle();
  }

  /** Closes the space while calls are under way. */
  async #close(): Promise<void> {
    this.#disarm();
    this.#store.inside = undefined;
    this.#trimmer.inside = undefined;
    this.#closing = true;
    const syncs = this.#store.calls.sync;
    const closed = this.#space.close().then(
      () => this.#store.forbidCalls(),
      (error: unknown) => {
        this.#store.forbidCalls();
        must(codeOf(error) === 'EIO' && this.#store.failed.sync > 0, `close gave ${String(error)}`, error);
      },
    );
    this.#track(closed);
    for (const call of [
      () => this.#zswap.load(0, 0, new Uint8Array(PAGE_SIZE)),
      () => this.#zswap.stats(),
      () => this.#zswap.invalidatePage(0, 0),
    ]) {
      try {
        call();
        must(false, 'a closed space answers');
      } catch (error) {
        must(codeOf(error) === 'ECLOSED', `a closed space gave ${String(error)}`, error);
      }
    }
    for (let round = 0; this.#underWay.size !== 0; round++) {
      await quiet();
      if (this.#store.settle()) continue;
      if (round > 20_000) throw new Error('close does not end');
      this.#store.giveUp();
      this.#clock.pass(TIMEOUT);
    }
    must(this.#store.calls.sync === syncs + 1, 'close has not asked the store to sync');
    this.#throwErrors();
    // Calls that hang end after the space is gone.
    while (this.#store.release()) await quiet();
    this.#store.verify();
    this.#ram.check();
    must(
      this.#ram.stats().usedFrames === this.#usedBefore,
      `${this.#ram.stats().usedFrames - this.#usedBefore} frames are left after close`,
    );
    this.#histories.clear();
    this.#trimmer.recover();
    this.#closing = false;
  }

  /**
   * Restores an image of the RAM, opens the space on a copy of the store, and continues there. Both must be the same to
   * the last byte. When the store is not recognised, open must refuse it, and the machine continues with the original.
   */
  async #image(): Promise<void> {
    await this.#drain();
    const { name } = this.#zswap;
    const before = { settings: settingsOf(this.#zswap), stats: this.#zswap.stats() };
    const image = this.#ram.snapshot();
    const ram = await Ram.restore(image, buildOptions(this.#build));
    this.#seed += 1;
    const store = this.#store.copy(this.#seed);
    const codecs = Object.values(this.#codecs).filter((codec) => typeof codec !== 'string');
    const isKnown = isRecognised(ram, name, store);
    const opening = settled(Zswap.open(ram, name, { store: store as BackingStore, codecs }), store);
    if (!isKnown) {
      await requireRefused(opening);
      must(sameBytes(image, ram.snapshot()), 'the refused open has changed the RAM');
      ram.dropFront(name);
      return ram.close();
    }
    const zswap = await opening;
    must(sameBytes(image, ram.snapshot()), 'open has changed the RAM');
    must(
      JSON.stringify(before) === JSON.stringify({ settings: settingsOf(zswap), stats: zswap.stats() }),
      'the space differs after the restore',
    );
    await settled(this.#space.close(), this.#store);
    this.#ram.close();
    this.#ram = ram;
    this.#store = store;
    this.#space = {
      zswap,
      pageOut: (slot, page) => zswaps.pageOut('swapSpace.pageOut', zswap, slot, page),
      pageOutAsync: (slot, page) => zswaps.pageOutAsync('swapSpace.pageOutAsync', zswap, slot, page),
      close: () => zswap.close(),
    };
    ram.check();
  }

  // ── comparison ─────────────────────────────────────────────────────────────

  #throwErrors(): void {
    if (this.#errors.length !== 0) throw this.#errors[0];
  }

  /** Invariants at any time. */
  #compare(): void {
    this.#throwErrors();
    this.#store.verify();
    this.#ram.check();
    let count = 0;
    let fills = 0;
    for (const history of this.#histories.values()) {
      const { page, fill } = this.#current(history);
      if (page !== undefined) count += 1;
      if (fill) fills += 1;
      must(
        this.#zswap.has(history.type, history.offset) === (page !== undefined),
        `${this.#key(history.type, history.offset)}: ${page === undefined ? 'is there' : 'is not there'}`,
      );
    }
    const stats = this.#zswap.stats();
    const there = stats.storedPages + stats.backingPages;
    must(there <= count && (this.#underWay.size !== 0 || there === count), `${there} pages, the model has ${count}`);
    must(stats.sameFilledPages === fills, `${stats.sameFilledPages} same-filled pages, the model has ${fills}`);
    must(stats.storedIncompressiblePages <= stats.storedPages - stats.sameFilledPages, 'more raw pages than pages');
    const pools = this.#ram.pools().filter(({ name }) => name !== 'other');
    const objects = pools.reduce((sum, pool) => sum + pool.stats().objects, 0);
    must(
      objects === stats.storedPages - stats.sameFilledPages,
      `${objects} objects for ${stats.storedPages - stats.sameFilledPages} entries`,
    );
    // A pool that has drained stays until the writes of its victim have ended.
    must(stats.pools <= pools.length, `${stats.pools} pools of ${pools.length}`);
    must(
      stats.frames === this.#ram.stats().usedFrames - this.#usedBefore || pools.length !== stats.pools,
      `${stats.frames} frames of ${this.#ram.stats().usedFrames - this.#usedBefore}`,
    );
    must(this.#lost <= this.#store.damaged, `${this.#lost} pages were lost, ${this.#store.damaged} reads were damaged`);
    must(
      this.#kept <= this.#store.failed.read + this.#store.damaged + this.#trimmer.failed.decompress,
      `${this.#kept} loads failed without a reason`,
    );
  }

  /** Invariants when no call is under way. */
  #compareIdle(): void {
    const stats = this.#zswap.stats();
    must(stats.inFlight === 0, `${stats.inFlight} writes under way`);
    must(
      stats.pools === this.#ram.pools().filter(({ name }) => name !== 'other').length,
      'a pool that has drained is left',
    );
    must(stats.backingSlots === stats.backingPages, `${stats.backingSlots} slots for ${stats.backingPages} pages`);
    must(
      this.#store.owned.size === stats.backingSlots,
      `the store has ${this.#store.owned.size} slots, ${stats.backingSlots} are in use`,
    );
    for (const history of this.#histories.values()) history.versions = [this.#current(history)];
  }

  /** The end of a run: every page is loaded, all are dropped, the space is closed. */
  async finish(): Promise<void> {
    this.#disarm();
    await this.#drain();
    this.#zswap.exclusiveLoads = false;
    for (const history of [...this.#histories.values()]) {
      if (this.row.mode === 'sync') this.#load(history);
      else this.#loadSoon(history);
      await this.#drain();
    }
    for (const history of this.#histories.values()) this.#invalidate(history);
    await this.#drain();
    const stats = this.#zswap.stats();
    must(stats.storedPages === 0 && stats.backingPages === 0 && stats.backingSlots === 0, 'pages are left');
    must(stats.pools === 1, `${stats.pools} pools are left`);
    this.#leftFrames(stats.frames);
    await this.#close();
    this.#ram.close();
  }

  /** Frames that an empty space keeps: no more than a new space, unless it has a pool of another allocator. */
  #leftFrames(frames: number): void {
    const { allocator } = this.#zswap;
    if (allocator === this.row.allocator)
      must(
        frames <= this.#emptyFrames + (allocator === 'xcfmalloc' ? 32 : 0),
        `${frames} frames are left, a new one has ${this.#emptyFrames}`,
      );
  }
}
