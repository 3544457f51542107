/**
 * Everything that one episode attacks, and the judge of each call.
 *
 * A world has one RAM at a time, in which a witness (witness.ts) lies beside the attacked objects. Each action draws from dice of
 * its own, so that actions can be left out of a list and the others still do nearly the same. What callbacks do comes from the
 * dice of the action that is running.
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
  /** 'Zpool.write'; a setter is 'Zswap.codec='. */
  readonly name: string;
  /** How often by the others of its class; 2 unless given. */
  readonly weight: number;
  /** Makes the call, on an object of the world. SKIP when there is none. */
  readonly run: (world: World) => unknown;
}

export const SKIP = Symbol('skip');

/** Methods that throw what a callback has thrown: the visit of walk, and the clock of a block device. */
const PASSES_ON = /^(Zpool\.walk|Ramzswap)\b/;

/** A pool and what was had of it. */
export interface PoolBox {
  readonly pool: Zpool;
  readonly handles: Handle[];
  readonly entries: PageEntry[];
}

/** Something whose pages have one owner (content.ts); only whether they are the right ones is not looked at once a codec may lie. */
export interface Owned<T> {
  readonly it: T;
  readonly owner: number;
  lied: boolean;
}

/** Something went wrong that must not. */
export class Fault extends Error {
  readonly #made = true;

  /** `instanceof` would ask what was thrown. */
  static made(thrown: unknown): thrown is Fault {
    return typeof thrown === 'object' && thrown !== null && #made in thrown;
  }
}

const DEEPEST = 2;
const MOST_ACTS = 5;
const HANGS_MS = 5_000;

/** Takes the part behind a list's length out. */
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
  /** Pools that are somebody else's: the witness's device's, those of front ends. */
  held: Zpool[] = [];
  tables: Owned<PageTable>[] = [];
  codecs: Codec[] = [];
  zswaps: Owned<Zswap>[] = [];
  spaces: Owned<SwapSpace>[] = [];
  devices: Owned<Ramzswap>[] = [];
  stores: BackingStore[] = [];
  /** Those that a front end may have, whose slots hold its pages. */
  readonly lent = new WeakSet<BackingStore>();
  iterators: { name: string; next: () => unknown; end: () => unknown }[] = [];
  /** An image of this RAM. */
  image: Uint8Array | undefined;
  /** Calls made, those of callbacks included. */
  calls = 0;
  /** What callbacks have thrown. */
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

  /** A call of a class; of any class unless one is named. */
  draw(name = this.dice.of([...this.classes.keys()])): Entry {
    const entries = this.classes.get(name) as readonly Entry[];
    let nth = this.dice.below(entries.reduce((sum, { weight }) => sum + weight, 0));
    return entries.find(({ weight }) => (nth -= weight) < 0) as Entry;
  }

  entry(name: string): Entry {
    return this.classes.get(name.slice(0, name.search(/[.[]/)))?.find((entry) => entry.name === name) as Entry;
  }

  /** Makes a call and judges how it ends. */
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

  /** One call from outside, and a look at everything after it. @throws Fault */
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

  /** @throws Fault when something is not as it must be */
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

  /** Lets everything end that is under way. @throws Fault when it does not */
  async settle(name: string): Promise<void> {
    const until = Date.now() + HANGS_MS;
    while (this.#pending.size > 0) {
      this.#settles.splice(0).forEach((settle) => settle());
      await Promise.race([...this.#pending.keys(), new Promise((resolve) => setTimeout(resolve, 1))]);
      if (Date.now() > until) throw new Fault(`after ${name} these hang: ${[...this.#pending.values()].join(', ')}`);
    }
    this.#look(name);
  }

  /** Another RAM in place of one that was closed. */
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

  /** Ends the episode: all that was attacked goes, and every frame has to be there again. @throws Fault */
  async finish(): Promise<void> {
    this.#acts = MOST_ACTS; // callbacks only answer from now on
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

/** What was thrown, for a message. */
export function describe(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  } catch {
    return 'something that cannot be read';
  }
}

/** Thrown by entries that see wrong bytes. */
export function must(holds: boolean, what: string): void {
  if (!holds) throw new Fault(what);
}

/** `instanceof`, for what may be an object of bad will that a getter gives back. */
function isPromiseOfOurs(value: unknown): value is Promise<unknown> {
  try {
    return value instanceof Promise;
  } catch {
    return false;
  }
}
