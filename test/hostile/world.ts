/**
 * The world: everything that one episode attacks, and the judgement of each call.
 *
 * A world has one RAM at a time, in which a witness (witness.ts) lies beside the attacked objects. Each action has its
 * own random numbers, so that actions can be left out of a list and the others still do nearly the same. Callbacks use
 * the random numbers of the action that is running.
 */
import {
  ALLOCATORS,
  type Ram,
  type BackingStore,
  type Codec,
  type FrameContents,
  type Handle,
  type PageEntry,
  type PageTable,
  type Ramzswap,
  type SwapSpace,
  type Zpool,
  type Zswap,
} from '../../bindings/index.ts';
import { createRam, type Build } from '../harness.ts';
import { change } from './buffers.ts';
import { isOurs } from './actors.ts';
import { Dice } from './dice.ts';
import { thrown, type Scene } from './values.ts';
import { FIRST_OWNER, Witness } from './witness.ts';

/** One call that the generator can make. */
export interface Entry {
  /** Name of the call, as 'Zpool.write'; a setter is 'Zswap.codec='. */
  readonly name: string;
  /** Weight among the calls of its class; 2 unless given. */
  readonly weight: number;
  /** Makes the call on an object of the world. SKIP when there is none. */
  readonly run: (world: World) => unknown;
}

export const SKIP = Symbol('skip');

/** Methods that throw what a callback has thrown: walk, and calls of a block device with its clock. */
const PASSES_ON = /^(Zpool\.walk|Ramzswap)\b/;

/** A pool and the handles and views that it gave. */
export interface PoolBox {
  readonly pool: Zpool;
  readonly handles: Handle[];
  readonly entries: PageEntry[];
}

/** An object whose pages have one owner (content.ts). Once a codec may lie, its pages are no longer checked. */
export interface Owned<T> {
  readonly it: T;
  readonly owner: number;
  lied: boolean;
}

/** A failure of the code under test. */
export class Fault extends Error {
  readonly #made = true;

  /** `instanceof` would read properties of the thrown value. */
  static made(thrown: unknown): thrown is Fault {
    return typeof thrown === 'object' && thrown !== null && #made in thrown;
  }
}

const DEEPEST = 2;
const MOST_ACTS = 5;
const HANGS_MS = 5_000;

/** Removes the items beyond a list's maximum. */
function keepLast<T>(list: T[], most: number): T[] {
  return list.length > most ? list.splice(0, list.length - most) : [];
}

export class World implements Scene {
  readonly build: Build;
  readonly classes: ReadonlyMap<string, readonly Entry[]>;
  dice: Dice;
  ram!: Ram;
  witness!: Witness;
  #free = 0;
  #witnesses: readonly Zpool[] = [];
  pools: PoolBox[] = [];
  /** Pools that belong to front ends or to the device of the witness. */
  held: Zpool[] = [];
  tables: Owned<PageTable>[] = [];
  codecs: Codec[] = [];
  zswaps: Owned<Zswap>[] = [];
  spaces: Owned<SwapSpace>[] = [];
  devices: Owned<Ramzswap>[] = [];
  stores: BackingStore[] = [];
  /** Stores that a front end may have, whose slots hold its pages. */
  readonly lent = new WeakSet<BackingStore>();
  iterators: { name: string; next: () => unknown; end: () => unknown }[] = [];
  /** An image of this RAM. */
  image: Uint8Array | undefined;
  /** The number of calls, with those of callbacks. */
  calls = 0;
  /** The values that callbacks have thrown. */
  readonly #passed = new Set<unknown>();
  readonly #buffers: ArrayBuffer[] = [];
  readonly #kept: Uint8Array[] = [];
  #settles: (() => void)[] = [];
  /** Calls that have not ended, with their names. */
  readonly #pending = new Map<Promise<void>, string>();
  readonly #faults: Fault[] = [];
  #depth = 0;
  #acts = 0;
  #owners = FIRST_OWNER;

  private constructor(build: Build, classes: ReadonlyMap<string, readonly Entry[]>, seed: number) {
    this.build = build;
    this.classes = classes;
    this.dice = new Dice(seed);
  }

  static async create(build: Build, classes: ReadonlyMap<string, readonly Entry[]>, seed: number): Promise<World> {
    const world = new World(build, classes, seed);
    await world.#begin();
    return world;
  }

  async #begin(): Promise<void> {
    this.ram = await createRam(this.build, { bytes: this.dice.of(['1MiB', '1MiB', '2MiB', '768KiB']) });
    this.#free = this.ram.freeFrames;
    this.witness = await Witness.create(this.ram, this.dice.of(ALLOCATORS));
    this.#witnesses = this.ram.pools();
  }

  owner(): number {
    return (this.#owners = (this.#owners + 1) % 4000);
  }

  // ── what callbacks do ──────────────────────────────────────────────────────

  act(): void {
    if (this.#depth >= DEEPEST || this.#acts >= MOST_ACTS) return;
    this.#acts += 1;
    this.#depth += 1;
    try {
      this.#actOnce();
    } finally {
      this.#depth -= 1;
    }
  }

  #actOnce(): void {
    const { dice } = this;
    const buffer = this.#buffers.length === 0 ? undefined : dice.of(this.#buffers);
    const kept = this.#kept.length === 0 ? undefined : dice.of(this.#kept);
    switch (dice.below(6)) {
      case 0:
      case 1: {
        if (buffer !== undefined) change(this, buffer);
        return;
      }
      case 2: {
        if (kept !== undefined && kept.length > 0) kept.fill(dice.below(256));
        return;
      }
      case 3: {
        this.#settles.splice(dice.below(this.#settles.length + 1), 1).forEach((settle) => settle());
        return;
      }
      default:
        this.call(this.draw());
    }
  }

  throw(): never {
    throw thrown(this);
  }

  passes(thing: unknown): void {
    this.#passed.add(thing);
  }

  note(buffer: ArrayBuffer): void {
    this.#buffers.push(buffer);
    keepLast(this.#buffers, 4);
  }

  keep(bytes: Uint8Array): void {
    this.#kept.push(bytes);
    keepLast(this.#kept, 6);
  }

  later(settle: () => void): void {
    this.#settles.push(settle);
  }

  // ── calls ──────────────────────────────────────────────────────────────────

  /** A random call of this class; of any class when none is named. */
  draw(name = this.dice.of([...this.classes.keys()])): Entry {
    const entries = this.classes.get(name) as readonly Entry[];
    let nth = this.dice.below(entries.reduce((sum, { weight }) => sum + weight, 0));
    return entries.find(({ weight }) => (nth -= weight) < 0) as Entry;
  }

  entry(name: string): Entry {
    return this.classes.get(name.slice(0, name.search(/[.[]/)))?.find((entry) => entry.name === name) as Entry;
  }

  /** Makes a call and judges its result. */
  call(entry: Entry): void {
    try {
      const result = entry.run(this);
      if (result === SKIP) return;
      this.calls += 1;
      if (isPromiseOfOurs(result)) this.#await(entry, result);
    } catch (error) {
      this.calls += 1;
      this.#judge(entry, error);
    }
  }

  #await(entry: Entry, promise: Promise<unknown>): void {
    const ended: Promise<void> = promise
      .then(
        () => undefined,
        (error: unknown) => this.#judge(entry, error),
      )
      .then(() => void this.#pending.delete(ended));
    this.#pending.set(ended, entry.name);
  }

  #judge({ name }: Entry, error: unknown): void {
    if (Fault.made(error)) this.#faults.push(error);
    else if (!isOurs(error)) {
      if (PASSES_ON.test(name) && this.#passed.has(error)) return;
      this.#faults.push(new Fault(`${name} threw ${describe(error)}`, { cause: error }));
    } else if (error.code === 'EUCLEAN' && !error.op.endsWith('Store.open')) {
      this.#faults.push(new Fault(`${name}: EUCLEAN`, { cause: error }));
    }
  }

  // ── an action ──────────────────────────────────────────────────────────────

  /** One call from outside, then a check of everything. @throws Fault */
  async step(entry: Entry, seed: number): Promise<void> {
    this.dice = new Dice(seed);
    this.#acts = 0;
    this.call(entry);
    this.#look(entry.name);
    if (this.dice.once(4)) this.#settles.splice(0, 1).forEach((settle) => settle());
    for (let turns = this.dice.below(4); turns > 0; turns--) await undefined;
    if (this.#pending.size > 8) await this.settle(entry.name);
    else if (this.#pending.size > 0) this.#look(entry.name);
    if (this.#isClosed()) await this.#again();
    this.#tidy();
  }

  #isClosed(): boolean {
    return this.ram.isClosed;
  }

  /** @throws Fault when an invariant does not hold */
  #look(name: string): void {
    const [fault] = this.#faults;
    if (fault !== undefined) throw fault;
    if (this.#isClosed()) return;
    try {
      this.ram.check();
    } catch (cause) {
      throw new Fault(`check() after ${name}: ${describe(cause)}`, { cause });
    }
    let changed: string | undefined;
    try {
      changed = this.witness.changed();
    } catch (cause) {
      throw new Fault(`the witness after ${name}: ${describe(cause)}`, { cause });
    }
    if (changed !== undefined) throw new Fault(`${changed} has changed after ${name}`);
  }

  /** Waits until all calls under way have ended. @throws Fault when one does not end */
  async settle(name: string): Promise<void> {
    const until = Date.now() + HANGS_MS;
    while (this.#pending.size > 0) {
      this.#settles.splice(0).forEach((settle) => settle());
      await Promise.race([...this.#pending.keys(), new Promise((resolve) => setTimeout(resolve, 1))]);
      if (Date.now() > until) throw new Fault(`after ${name} these hang: ${[...this.#pending.values()].join(', ')}`);
    }
    this.#look(name);
  }

  /** Makes another RAM after one was closed. */
  async #again(): Promise<void> {
    await this.settle('closing the RAM');
    await this.#closeFronts();
    this.pools = [];
    this.held = [];
    this.tables = [];
    this.codecs = [];
    this.iterators = [];
    this.image = undefined;
    await this.#begin();
  }

  /** Keeps the world small, so that frames are left. */
  #tidy(): void {
    for (const { pool, handles } of this.pools) {
      for (const handle of keepLast(handles, 40)) quietly(() => pool.free(handle));
    }
    if (this.dice.once(20)) this.ram.failFrames(null);
    this.tables = this.tables.filter(({ it }) => this.pools.some(({ pool }) => pool === it.pool));
    keepLast(this.iterators, 6);
    keepLast(this.codecs, 6);
    keepLast(this.stores, 8);
  }

  async #closeFronts(): Promise<void> {
    const fronts = [...this.zswaps, ...this.spaces, ...this.devices].map(({ it }) => it);
    this.zswaps = [];
    this.spaces = [];
    this.devices = [];
    for (const front of fronts) this.#await({ name: 'close', weight: 0, run: () => undefined }, front.close());
    await this.settle('closing all front ends');
  }

  /** Ends the episode: all attacked objects are removed, and every frame must be free again. @throws Fault */
  async finish(): Promise<void> {
    this.#acts = MOST_ACTS; // callbacks do nothing but answer from now on
    await this.settle('the last call');
    await this.#closeFronts();
    if (this.#isClosed()) return;
    this.ram.failFrames(null);
    for (const pool of this.ram.pools()) {
      if (this.#witnesses.includes(pool) || isHeld(pool)) continue;
      unmapAll(pool);
      pool.destroy();
    }
    this.#look('destroying all pools');
    await this.witness.close();
    const names = this.ram.pools().map(({ name }) => name);
    if (names.length > 0) throw new Fault(`pools are left: ${names.join(', ')}`);
    if (this.ram.freeFrames !== this.#free)
      throw new Fault(`${this.#free - this.ram.freeFrames} frames did not come back`);
    this.ram.check();
    this.ram.close();
  }
}

function quietly(call: () => unknown): void {
  try {
    call();
  } catch (error) {
    if (!isOurs(error)) throw error;
  }
}

/** Whether a front end has the pool. */
export function isHeld(pool: Zpool): boolean {
  try {
    pool.shrink(0);
    return false;
  } catch (error) {
    return isOurs(error) && error.code === 'EBUSY';
  }
}

function unmapAll(pool: Zpool): void {
  const handles = new Set<Handle>();
  if (pool.stats().maps > 0)
    pool.walk(({ objects }: FrameContents) => objects.forEach(({ handle }) => handles.add(handle)));
  for (const handle of handles) {
    while (pool.stats().maps > 0) {
      try {
        pool.unmap(handle);
      } catch {
        break;
      }
    }
  }
}

/** A thrown value as text. */
export function describe(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  } catch {
    return 'something that cannot be read';
  }
}

/** Throws a Fault unless the condition holds. */
export function must(holds: boolean, what: string): void {
  if (!holds) throw new Fault(what);
}

/** `instanceof` for a value that may be a hostile object from a getter. */
function isPromiseOfOurs(value: unknown): value is Promise<unknown> {
  try {
    return value instanceof Promise;
  } catch {
    return false;
  }
}
