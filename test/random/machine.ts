/**
 * A random machine: one pool, its independent model and a plain map of contents, driven by actions and compared after
 * each.
 *
 * An action is plain data with numbers for all choices, so that fast-check can shrink lists of actions and a failure
 * can be repeated. It uses no test framework, because long.ts runs it too.
 */
import { Ram } from '../../bindings/index.ts';
import type { EvictCallback, Handle, MapMode, RamOptions, Zpool } from '../../bindings/index.ts';
import {
  buildOptions,
  createPool,
  createRam,
  expectBytes,
  fault,
  frameParts,
  must,
  noise,
  objectFrames,
  otherRow,
  outcome,
  put,
  sameBytes,
} from '../harness.ts';
import type { ModelledRow, Build, Stored } from '../harness.ts';
import { EAGAIN, EINVAL } from '../models/types.ts';
import type { EvictAnswer, PoolModel } from '../models/types.ts';
import { verifyStatistics } from '../recount.ts';

/** What an evict callback does with its object. */
export const POLICIES = [
  'free',
  'refuse',
  'throw',
  'free other',
  'allocate',
  'nothing',
  'free and refuse',
  'shrink',
  'compact',
  'run deferred',
  'map',
] as const;
export type Policy = (typeof POLICIES)[number];

/** Numbers that are not handles of the pool. */
export const BAD_HANDLES = ['freed', 'zero', 'random', 'beyond', 'fraction', 'nan', 'foreign'] as const;
export type BadHandle = (typeof BAD_HANDLES)[number];

export const MODES = ['ro', 'rw', 'wo'] as const;

/** `pick`, `at`, `salt` are any numbers; they are taken modulo the number of choices. */
export type Action =
  | { kind: 'malloc'; size: number }
  | { kind: 'free'; pick: number }
  | { kind: 'write'; pick: number; at: number; length: number; salt: number }
  | { kind: 'read'; pick: number; at: number }
  | { kind: 'map'; pick: number; mode: MapMode; salt: number }
  | { kind: 'unmap'; pick: number }
  | { kind: 'compact' }
  | { kind: 'run deferred' }
  | { kind: 'shrink'; pages: number; policies: Policy[]; salt: number }
  | { kind: 'snapshot'; build: Build }
  | { kind: 'fail'; after: number; times: number }
  | { kind: 'bad'; what: BadHandle; pick: number; call: number };

/** A live object. */
interface Item {
  readonly handle: Handle;
  /** The model's id of the object; 0 until the model has followed. */
  id: number;
  bytes: Uint8Array;
  /** Its live maps, the latest last. */
  views: Uint8Array[];
}

/** One call of the evict callback: its object, and the steps for the model. */
interface Call {
  readonly item: Item;
  readonly steps: (() => void)[];
  answer: EvictAnswer;
}

const BAD_CALLS: [string, (pool: Zpool, handle: Handle) => unknown][] = [
  ['free', (pool, handle) => pool.free(handle)],
  ['size', (pool, handle) => pool.size(handle)],
  ['read', (pool, handle) => pool.read(handle)],
  ['write', (pool, handle) => pool.write(handle, Uint8Array.of(1))],
  ['map', (pool, handle) => pool.map(handle, 'rw')],
  ['unmap', (pool, handle) => pool.unmap(handle)],
  ['locate', (pool, handle) => pool.locate(handle)],
];

/** Actions after which objects may lie elsewhere. */
const MOVING: ReadonlySet<Action['kind']> = new Set(['compact', 'run deferred', 'shrink']);

/** Below this number of live objects everything is checked after each action, above it after every thousandth. */
const FEW = 200;
const SOMETIMES = 1000;
/** The number of freed handles that are remembered, to test that they are refused. */
const REMEMBERED = 64;
/** Fault injection that has had no effect is switched off after this number of actions. */
const ARMED = 20;
/** No malloc takes more frames: a zspage of 16, a frame of handle records. */
const MOST_FRAMES = 17;

export class Machine {
  readonly row: ModelledRow;
  #ram: Ram;
  #pool: Zpool;
  readonly #model: PoolModel;
  readonly #items: Item[] = [];
  readonly #byHandle = new Map<Handle, Item>();
  readonly #freed: Handle[] = [];
  readonly #foreign: Stored[];
  #maps = 0;
  #actions = 0;
  /** Frame requests may fail by injection up to this action. */
  #armedUntil = 0;
  #calls: Call[] = [];
  #decide: EvictCallback = () => false;
  #seed = 1;

  private constructor(row: ModelledRow, ram: Ram) {
    this.row = row;
    this.#ram = ram;
    const other = createPool(ram, otherRow(row), { name: 'other' });
    this.#foreign = [100, 700, 2000].map((size, i) => put(other, size, i));
    this.#pool = createPool(ram, row, { name: 'main', evict: (handle, pool) => this.#decide(handle, pool) });
    this.#model = row.createModel();
  }

  static async create(row: ModelledRow, build: Build, options: RamOptions = {}): Promise<Machine> {
    return new Machine(row, await createRam(build, { bytes: '1MiB', ...options }));
  }

  get live(): number {
    return this.#items.length;
  }

  get actions(): number {
    return this.#actions;
  }

  /** Carries out one action and compares. Asynchronous only where an image is restored. */
  apply(action: Action): void | Promise<void> {
    this.#actions++;
    if (this.#actions === this.#armedUntil) this.#ram.failFrames(null);
    if (action.kind === 'snapshot') return this.#snapshot(action.build).then(() => this.#compare());
    this.#do(action);
    if (MOVING.has(action.kind) && this.live < FEW) this.#comparePlaces();
    this.#compare();
  }

  #do(action: Exclude<Action, { kind: 'snapshot' }>): void {
    switch (action.kind) {
      case 'malloc':
        return void this.#malloc(action.size);
      case 'free':
        return this.#onItem(action.pick, (item) => this.#free(item));
      case 'write':
        return this.#onItem(action.pick, (item) => this.#write(item, action.at, action.length, action.salt));
      case 'read':
        return this.#onItem(action.pick, (item) => this.#read(item, action.at));
      case 'map':
        return this.#onItem(action.pick, (item) => this.#map(item, action.mode, action.salt));
      case 'unmap':
        return this.#onItem(action.pick, (item) => this.#unmap(item));
      case 'compact':
        return this.#compact();
      case 'run deferred':
        return this.#runDeferred();
      case 'shrink':
        return this.#shrink(action.pages, action.policies, action.salt);
      case 'fail':
        return this.#fail(action.after, action.times);
      case 'bad':
        return this.#bad(action.what, action.pick, action.call);
    }
  }

  #onItem(pick: number, act: (item: Item) => void): void {
    const item = this.#items[pick % this.#items.length];
    if (item !== undefined) act(item);
  }

  // ---- objects

  /** Allocates and fills an object; undefined when there is no frame. The model follows in `then`. */
  #malloc(size: number, then: (follow: () => void) => void = (follow) => follow()): Item | undefined {
    const handle = outcome(() => this.#pool.malloc(size));
    if (handle === 'ENOMEM') {
      must(
        this.#isArmed() || this.#ram.freeFrames < MOST_FRAMES,
        `malloc(${size}) failed with ${this.#ram.freeFrames} free frames`,
      );
      return undefined;
    }
    must(typeof handle === 'number', `malloc(${size}) gave ${handle}`);
    must(!this.#byHandle.has(handle), `handle ${handle} is live already`);
    must(!this.#freed.includes(handle), `handle ${handle} was freed a moment ago`);
    must(this.#pool.size(handle) === size, `size of ${handle}`);
    const item: Item = { handle, id: 0, bytes: noise(size, this.#seed++), views: [] };
    const location = this.#pool.locate(handle);
    const placement = this.row.placement(location);
    this.#pool.write(handle, item.bytes);
    this.#items.push(item);
    this.#byHandle.set(handle, item);
    const pages = this.#pool.totalPages;
    const isShort = this.#isShort();
    const comparePages = this.#notePages();
    then(() => {
      item.id =
        (isShort ? this.row.short?.malloc(this.#model, size, pages, frameParts(location).length) : undefined) ??
        this.#model.malloc(size);
      const expected = this.#model.placement(item.id);
      must(placement === expected, `malloc(${size}) was placed at ${placement}, the model says ${expected}`);
      this.#model.write(item.id);
      comparePages();
    });
    return item;
  }

  /** Records the number of frames of the pool after a call, for the model to compare later. */
  #notePages(): () => void {
    const pages = this.#pool.totalPages;
    const isShort = this.#isShort();
    return () => {
      if (isShort && pages < this.#model.pages) this.row.short?.lack(this.#model, pages);
      must(pages === this.#model.pages, `${pages} pages, the model says ${this.#model.pages}`);
    };
  }

  /** True when a frame request may have failed unnoticed: there are not both a frame and one for its descriptor. */
  #isShort(): boolean {
    return this.#isArmed() || this.#ram.freeFrames < 2;
  }

  #isArmed(): boolean {
    return this.#actions < this.#armedUntil;
  }

  #fail(after: number, times: number): void {
    this.#ram.failFrames(after, times);
    this.#armedUntil = this.#actions + ARMED;
  }

  #free(item: Item, then: (follow: () => void) => void = (follow) => follow()): void {
    if (item.views.length > 0) {
      fault({ code: 'EBUSY', op: 'zpool.free' }, () => this.#pool.free(item.handle));
      return;
    }
    this.#freeReal(item);
    const comparePages = this.#notePages();
    then(() => {
      this.#model.free(item.id);
      comparePages();
    });
  }

  #freeReal(item: Item): void {
    this.#pool.free(item.handle);
    this.#byHandle.delete(item.handle);
    const at = this.#items.indexOf(item);
    const last = this.#items.pop() as Item;
    if (last !== item) this.#items[at] = last;
    this.#freed.push(item.handle);
    if (this.#freed.length > REMEMBERED) this.#freed.shift();
  }

  #write(item: Item, at: number, length: number, salt: number): void {
    const { bytes, handle } = item;
    at %= bytes.length + 2;
    length %= bytes.length + 2;
    const part = noise(length, salt);
    if (at + length > bytes.length) {
      fault({ code: 'ERANGE', op: 'zpool.write' }, () => this.#pool.write(handle, part, at));
    } else {
      this.#pool.write(handle, part, at);
      bytes.set(part, at);
      this.#model.write(item.id);
    }
    this.#read(item, 0);
  }

  #read(item: Item, at: number): void {
    at %= item.bytes.length + 2;
    if (at > item.bytes.length)
      fault({ code: 'ERANGE', op: 'zpool.read' }, () => this.#pool.read(item.handle, undefined, at));
    else
      expectBytes(
        this.#pool.read(item.handle, undefined, at),
        item.bytes.subarray(at),
        `read of ${item.handle} from ${at}`,
      );
  }

  #map(item: Item, mode: MapMode, salt: number): void {
    if (item.views.length >= 40) return;
    const view = outcome(() => this.#pool.map(item.handle, mode));
    if (view === 'ENOMEM') return;
    must(view instanceof Uint8Array && view.length === item.bytes.length, `map gave ${String(view)}`);
    this.#model.map(item.id, mode);
    const zeros = mode === 'wo' && item.views.length === 0 && view.every((byte) => byte === 0);
    if (!zeros) expectBytes(view, item.bytes, `${mode} view of ${item.handle}`);
    item.views.push(view);
    this.#maps++;
    if (mode === 'wo') item.bytes = noise(view.length, salt);
    if (mode === 'rw') item.bytes[salt % view.length] = salt & 255;
    if (mode !== 'ro') view.set(item.bytes);
    for (const other of item.views) must(sameBytes(other, item.bytes), `the maps of ${item.handle} differ`);
  }

  #unmap(item: Item): void {
    if (item.views.pop() === undefined) {
      fault({ code: 'EINVAL', op: 'zpool.unmap' }, () => this.#pool.unmap(item.handle));
      return;
    }
    this.#pool.unmap(item.handle);
    this.#model.unmap(item.id);
    this.#maps--;
    this.#read(item, 0);
  }

  #bad(what: BadHandle, pick: number, call: number): void {
    const [name, run] = BAD_CALLS[call % BAD_CALLS.length] as (typeof BAD_CALLS)[number];
    const handle = this.#badHandle(what, pick);
    if (handle === undefined || this.#byHandle.has(handle)) return;
    fault({ code: 'EINVAL', op: `zpool.${name}`, says: 'handle' }, () => run(this.#pool, handle));
  }

  #badHandle(what: BadHandle, pick: number): Handle | undefined {
    const some = (this.#items[pick % this.#items.length]?.handle ?? 77) as number;
    switch (what) {
      case 'freed':
        return this.#freed[pick % this.#freed.length];
      case 'zero':
        return 0 as Handle;
      case 'random':
        return (Math.imul(pick, 2654435761) >>> 0) as Handle;
      case 'beyond':
        return (some + 2 ** 32) as Handle;
      case 'fraction':
        return (some + 0.5) as Handle;
      case 'nan':
        return NaN as Handle;
      case 'foreign':
        return this.#foreign[pick % this.#foreign.length]?.handle;
    }
  }

  // ---- compaction and reclaim

  /** The model follows in `then`. */
  #compact(then: (follow: () => void) => void = (follow) => follow()): void {
    const frames = this.row.compactsByFrame ? this.#items.map((item) => ({ item, frames: this.#framesOf(item) })) : [];
    const promised = this.#pool.freeable();
    const freed = this.#pool.compact();
    must(freed <= promised, `compact() gave ${freed}, freeable() promised ${promised}`);
    then(() => {
      if (this.row.compactsByFrame) {
        const byId = new Map(frames.map(({ item, frames: numbers }) => [item.id, numbers]));
        this.#model.renumber((id) => byId.get(id) ?? []);
      }
      const [expected, theirs] = [this.#model.freeable(), this.#model.compact()];
      must(
        promised === expected && freed === theirs,
        `compact() ${freed} of ${promised}, the model says ${theirs} of ${expected}`,
      );
    });
  }

  #framesOf({ handle }: Item): number[] {
    return frameParts(this.#pool.locate(handle)).map(({ frame }) => frame);
  }

  /** The model follows in `then`. */
  #runDeferred(then: (follow: () => void) => void = (follow) => follow()): void {
    this.#pool.runDeferred();
    const comparePages = this.#notePages();
    then(() => {
      this.#model.runDeferred();
      comparePages();
    });
  }

  /** Runs shrink on the pool, records every call of the callback, and then does the same on the model. */
  #shrink(pages: number, policies: Policy[], salt: number): void {
    this.#calls = [];
    this.#decide = (handle) => this.#evict(handle, policies, salt);
    const freed = outcome(() => this.#pool.shrink(pages));
    this.#decide = () => false;
    const comparePages = this.#notePages();
    const theirs = this.#model.shrink(pages, (id) => this.#follow(id));
    must(freed === nameOf(theirs), `shrink(${pages}) gave ${freed}, the model says ${nameOf(theirs)}`);
    must(this.#calls.length === 0, `${this.#calls.length} more evictions than in the model`);
    comparePages();
  }

  #evict(handle: Handle, policies: Policy[], salt: number): void | boolean {
    const item = this.#byHandle.get(handle);
    must(item !== undefined, `evict was called for ${handle}, which is not live`);
    const call: Call = { item, steps: [], answer: 'ok' };
    const nth = this.#calls.push(call) + salt;
    return this.#obey(policies[nth % policies.length] ?? 'free', call, nth);
  }

  #obey(policy: Policy, call: Call, nth: number): void | boolean {
    const { item, steps } = call;
    switch (policy) {
      case 'refuse':
        call.answer = 'keep';
        return false;
      case 'throw':
        call.answer = 'keep';
        throw new Error('refused by a throw');
      case 'nothing':
        return undefined;
      case 'free and refuse':
        this.#evictOne(call, item);
        call.answer = 'keep';
        return false;
      case 'free other':
        this.#onItem(nth, (other) => this.#evictOne(call, other));
        break;
      case 'allocate':
        this.#malloc(1 + ((nth * 97) % this.row.largest), (follow) => steps.push(follow));
        break;
      case 'shrink':
        if (this.#calls.length < 12) this.#nested(call);
        break;
      case 'compact':
        this.#compact((follow) => steps.push(follow));
        break;
      case 'run deferred':
        this.#runDeferred((follow) => steps.push(follow));
        break;
      case 'map': {
        const view = outcome(() => this.#pool.map(item.handle, 'ro'));
        if (view === 'ENOMEM') break;
        must(view instanceof Uint8Array && sameBytes(view, item.bytes), 'the view inside evict');
        fault({ code: 'EBUSY', op: 'zpool.free' }, () => this.#pool.free(item.handle));
        this.#pool.unmap(item.handle);
        break;
      }
      case 'free':
        break;
    }
    this.#evictOne(call, item);
    return undefined;
  }

  /** Frees an object inside the callback, unless it is gone or mapped. */
  #evictOne({ steps }: Call, item: Item): void {
    if (this.#byHandle.get(item.handle) !== item || item.views.length > 0) return;
    expectBytes(this.#pool.read(item.handle), item.bytes, `evicted ${item.handle}`);
    this.#free(item, (follow) => steps.push(follow));
  }

  #nested({ steps }: Call): void {
    const freed = outcome(() => this.#pool.shrink(1));
    steps.push(() => {
      const theirs = this.#model.shrink(1, (id) => this.#follow(id));
      must(freed === nameOf(theirs), `a nested shrink gave ${freed}, the model says ${nameOf(theirs)}`);
    });
  }

  /** Does on the model what the pool's callback did. */
  #follow(id: number): EvictAnswer {
    const call = this.#calls.shift();
    must(call !== undefined, 'the model evicts more than the pool did');
    must(call.item.id === id, `the pool evicted ${call.item.id}, the model wants ${id}`);
    for (const step of call.steps) step();
    return call.answer;
  }

  // ---- images

  async #snapshot(build: Build): Promise<void> {
    if (this.#maps > 0) {
      fault({ code: 'EBUSY', op: 'ram.snapshot' }, () => this.#ram.snapshot());
      return;
    }
    const image = this.#ram.snapshot();
    const copy = await Ram.restore(image, buildOptions(build));
    expectBytes(copy.snapshot(), image, 'image of the copy');
    this.#ram.close();
    this.#ram = copy;
    this.#pool = copy.openZpool('main', { evict: (handle, pool) => this.#decide(handle, pool) });
  }

  // ---- comparison

  #compare(): void {
    must(
      this.#pool.totalPages === this.#model.pages,
      `${this.#pool.totalPages} pages, the model says ${this.#model.pages}`,
    );
    if (this.live >= FEW && this.#actions % SOMETIMES !== 0) return;
    this.#ram.check();
    if (this.#actions % 50 === 0) this.#compareAll();
    if (this.#actions % 500 === 0) this.#compareTables();
  }

  /** Compares everything: contents, counters, places. */
  #compareAll(): void {
    for (const { handle, bytes } of this.#items) expectBytes(this.#pool.read(handle), bytes, `object ${handle}`);
    const { objects, liveBytes, maps } = this.#pool.stats();
    const expected = this.#items.reduce((sum, { bytes }) => sum + bytes.length, 0);
    must(
      objects === this.live && liveBytes === expected && maps === this.#maps,
      `stats: ${objects} objects, ${liveBytes} bytes, ${maps} maps`,
    );
    must(this.#model.objects === this.live && this.#model.liveBytes === expected, 'the model has lost count');
    must(
      this.#pool.freeable() === this.#model.freeable(),
      `freeable() is ${this.#pool.freeable()}, the model says ${this.#model.freeable()}`,
    );
    this.#model.check();
    this.#comparePlaces();
  }

  /** Compares zsmalloc's classes and groups with the model; the lists of the others with a count. */
  #compareTables(): void {
    const { classes } = this.#pool.stats();
    for (const { index, ...counts } of classes ?? []) {
      const theirs = this.row.classCounts?.(this.#model, index);
      const mine = JSON.stringify([counts.used, counts.allocated, counts.zspages, counts.groups]);
      must(mine === JSON.stringify(theirs), `class ${index}: ${mine}, the model says ${JSON.stringify(theirs)}`);
    }
    if (this.live < FEW) verifyStatistics(this.row, this.#ram, this.#pool, this.#items, this.#maps);
  }

  /** Requires the same places, and the same objects together in frames. */
  #comparePlaces(): void {
    const frames = new Map<string, number>();
    const keys = new Map<number, string>();
    for (const { handle, id } of this.#items) {
      const location = this.#pool.locate(handle);
      const placement = this.row.placement(location);
      must(
        placement === this.#model.placement(id),
        `${handle} lies at ${placement}, in the model at ${this.#model.placement(id)}`,
      );
      const theirs = this.row.frameKeys(this.#model, id);
      const parts = frameParts(location);
      must(parts.length === theirs.length, `${handle} has ${parts.length} parts, in the model ${theirs.length}`);
      parts.forEach(({ frame }, i) => {
        const key = theirs[i] as string;
        must((frames.get(key) ?? frame) === frame, `the model's frame ${key} is two frames`);
        must((keys.get(frame) ?? key) === key, `frame ${frame} is two of the model's`);
        frames.set(key, frame);
        keys.set(frame, key);
      });
    }
  }

  /** The end of a run: everything is compared and freed, and every frame must come back. */
  finish(): void {
    this.#ram.failFrames(null);
    this.#armedUntil = 0;
    this.#ram.check();
    this.#compareAll();
    this.#compareTables();
    for (const item of [...this.#items]) {
      while (item.views.length > 0) this.#unmap(item);
      this.#free(item);
    }
    this.#runDeferred();
    must(objectFrames(this.#pool) === 0, `${objectFrames(this.#pool)} frames with objects are left`);
    // The next malloc restores a reserve that a full RAM had made smaller.
    this.#pool.free(this.#pool.malloc(1));
    must(this.#pool.totalPages === this.row.idleFrames, `${this.#pool.totalPages} pages are left`);
    const other = this.#ram.openZpool('other');
    for (const { handle, bytes } of this.#foreign) expectBytes(other.read(handle), bytes, 'the other pool');
    this.#pool.destroy();
    other.destroy();
    this.#ram.check();
    must(this.#ram.stats().usedFrames === 0, `${this.#ram.stats().usedFrames} frames are lost`);
    this.#ram.close();
  }
}

/** A model's result in the form of outcome(). */
function nameOf(result: number): number | string {
  if (result === EINVAL) return 'EINVAL';
  return result === EAGAIN ? 'EAGAIN' : result;
}
