/// <reference lib="esnext.disposable" preserve="true" />
/** Ram: simulated RAM, one instance of the core on one memory. */
import {
  NAME_BYTES,
  NEVER,
  RAM_FIXED,
  RAM_FRAMES,
  RAM_HIGH_WATER,
  RAM_LIMIT,
  RAM_MAPS,
  RAM_POOLS,
  RAM_USED,
} from '../assembly/abi.ts';
import { isShared, requireUnshrunk, viewOf } from './bytes.ts';
import { moduleFor, moduleForSync } from './builds.ts';
import { CORE_CODECS, CoreCodec, type CoreCodecName } from './codec/core.ts';
import { DISPOSE } from './dispose.ts';
import { CompcacheError, ERRNO_MIN, MAKER, requireMaker, requireU32, show, takeOptions } from './errors.ts';
import { contentsOf, decodeName, destroyFront, type FrontIn, type FrontKind } from './fronts.ts';
import { imageChunks, loadImage, parseImage } from './image.ts';
import type { FrontEnd, RamAccess } from './ram-access.ts';
import { RAM_OPTIONS, limitFrames, memoryBytes } from './ram-options.ts';
import { isolatedNow, requireWhole, unclean } from './ram-restore.ts';
import type { AllocatorName, Codec, EvictCallback, RamOptions, RamStats, ZpoolOptions } from './types.ts';
import { PAGE_SIZE, attach, closedCore, instantiate, reserve, type Core } from './wasm.ts';
import { kindOf, optionWords, requireAllocator, takeZpoolOptions } from './allocators.ts';
import { callbacks, type Owner } from './zpool-reclaim.ts';
import { noFrame } from './zpool-errors.ts';
import { zpools, type Zpool } from './zpool.ts';

/** Not exported from the package. @internal */
export let rams: RamAccess<Ram>;

// The symbol's name is computed (dispose.ts), so TypeScript must be told of the method.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface Ram {
  [Symbol.dispose](): void;
}

/**
 * A simulated RAM: the frames, the pools in it, and everything about them, in one linear memory.
 *
 * Errors of every method: ECLOSED after close.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Ram {
  #core: Core;
  readonly #owner: Owner;
  readonly #pools = new Map<string, Zpool>();
  /** Front ends that are open. */
  readonly #fronts = new Set<FrontEnd>();
  /** Those of the image that nobody has opened yet. */
  readonly #unopened = new Map<string, FrontIn>();
  #closed = false;

  private constructor(maker: unknown, core: Core) {
    requireMaker(maker, 'Ram', 'Ram.create, Ram.createSync or Ram.restore');
    this.#core = core;
    this.#owner = {
      evicting: 0,
      forget: (name) => void this.#pools.delete(name),
    };
  }

  static {
    rams = {
      is: (value): value is Ram => typeof value === 'object' && value !== null && #core in value,
      core: (op, ram) => ram.#live(op),
      requireIdle: (op, ram) => ram.#idle(op),
      noteFront: (ram, front, present) => void (present ? ram.#fronts.add(front) : ram.#fronts.delete(front)),
      freshName: (op, ram, kind) => ram.#freshName(op, kind),
      isClosed: (ram) => ram.#closed,
      close: (ram) => {
        ram.#close();
      },
      check: (ram) => {
        ram.#check();
      },
      heldPool: (op, ram, allocator, options) => {
        const pool = ram.#zpool(op, allocator, options);
        zpools.hold(pool);
        return pool;
      },
      unopened: (op, ram, name, kind) => ram.#unopenedOne(op, name, kind),
      opened: (ram, { name }) => void ram.#unopened.delete(name),
      poolAt: (ram, address) => [...ram.#pools.values()].find((pool) => zpools.address(pool) === address) as Zpool,
    };
  }

  // ── life ───────────────────────────────────────────────────────────────────

  /**
   * Creates a RAM.
   * @throws EINVAL for options out of range or a foreign module, ENOMEM where the host refuses the memory, ENODEV where it
   *   has or allows no WebAssembly
   */
  static async create(options: RamOptions = {}): Promise<Ram> {
    const taken = takeOptions<RamOptions>('Ram.create', options, RAM_OPTIONS);
    return Ram.#make('Ram.create', taken, await moduleFor('Ram.create', taken));
  }

  /**
   * Creates a RAM at once. Browsers compile a core of this size synchronously on the main thread.
   * @throws as create; EINVAL for build 'checked' without a module
   */
  static createSync(options: RamOptions = {}): Ram {
    const taken = takeOptions<RamOptions>('Ram.createSync', options, RAM_OPTIONS);
    return Ram.#make('Ram.createSync', taken, moduleForSync('Ram.createSync', taken));
  }

  static #make(op: string, options: RamOptions, module: WebAssembly.Module): Ram {
    const bytes = memoryBytes(op, options, '64MiB');
    const limit = limitFrames(op, options, bytes);
    const first = options.firstFrame === undefined ? 0 : options.firstFrame;
    requireU32(op, 'firstFrame', first);
    const instance = instantiate(op, module, reserve(op, bytes));
    if (instance.exports.ramInit(bytes / PAGE_SIZE, limit, first, NEVER, NEVER) !== 0) {
      throw new CompcacheError('EINVAL', op, `firstFrame ${first} is not a frame that can be handed out`);
    }
    return new Ram(MAKER, attach(op, instance));
  }

  /**
   * Makes a RAM from an image. Everything goes on as it would have in the RAM that the image was taken of: pools, handles
   * (refused ones included), LRU order, limits, even an armed fault injector. Evict callbacks are given anew: openZpool. A
   * zswap or ramzswap comes back too, and rests: ram.fronts() names it, and its pools are EBUSY to change until Zswap.open or
   * Ramzswap.open, which go on with it, or dropFront, which frees it. Its backing store is not in the image.
   * @param image bytes of snapshot(), of any build; they must stay as they are until the RAM is there
   * @param options bytes: at least those of the image's RAM (the default); more are reserved but not used, since handles
   *   are laid out by the geometry. limit: a new limit
   * @throws EIO for an image that is damaged, truncated, foreign, of another layout, with less room for static data or scratch
   *   than this version needs, or whose tables do not hold together; EINVAL, ENOMEM, ENODEV as create; EBUSY inside an evict
   *   callback
   */
  static async restore(image: Uint8Array, given: RamOptions = {}): Promise<Ram> {
    const op = 'Ram.restore';
    if (callbacks.running !== 0) throw new CompcacheError('EBUSY', op, 'an evict callback is running');
    const options = takeOptions<RamOptions>(
      op,
      given,
      RAM_OPTIONS.filter((key) => key !== 'firstFrame'),
    );
    const view = viewOf(op, 'image', image);
    const length = view.length;
    const module = await moduleFor(op, options);
    requireUnshrunk(op, 'image', view, length);
    // What other threads can change must be ours before it is verified.
    const parsed = parseImage(op, isShared(view) ? view.slice() : view);
    const least = parsed.totalFrames * PAGE_SIZE;
    const bytes = memoryBytes(op, options, least);
    if (bytes < least)
      throw new CompcacheError('EINVAL', op, `bytes must be at least the image's ${least}, not ${bytes}`);
    const limit = limitFrames(op, options, bytes);
    const core = loadImage(op, instantiate(op, module, reserve(op, bytes)), parsed);
    if (core.exports.ramCheck(parsed.totalFrames) !== 0) {
      throw new CompcacheError('EIO', op, 'the tables of the image do not hold together', { cause: unclean(op, core) });
    }
    requireWhole(op, core, parsed);
    if (options.limit !== undefined) core.exports.ramLimit(limit);
    const ram = new Ram(MAKER, core);
    if (!ram.#open()) throw new CompcacheError('EIO', op, 'two pools of the image have one name');
    return ram;
  }

  /** Lets go of the memory. Idempotent. Every further call on the RAM or its pools is ECLOSED. @throws EBUSY inside an evict callback */
  close(): void {
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#idle('ram.close');
    this.#closed = true;
    this.#core = closedCore();
    this.#pools.forEach((pool) => zpools.orphan(pool));
    this.#pools.clear();
    this.#unopened.clear();
  }

  [DISPOSE](): void {
    this.close();
  }

  /** Whether the RAM is closed. @internal */
  get isClosed(): boolean {
    return this.#closed;
  }

  #live(op: string): Core {
    if (this.#closed) throw new CompcacheError('ECLOSED', op, 'the RAM is closed');
    return this.#core;
  }

  /** EBUSY inside an evict callback. */
  #idle(op: string): void {
    if (this.#owner.evicting !== 0) throw new CompcacheError('EBUSY', op, 'an evict callback is running');
  }

  #freshName(op: string, kind: string): string {
    const taken = new Set([
      ...this.#pools.keys(),
      ...this.#unopened.keys(),
      ...[...this.#fronts].map((front) => front.name),
    ]);
    let n = (this.#live(op).exports.ramCounter(RAM_POOLS) >>> 0) + 1;
    while (taken.has(`${kind}#${n}`)) n += 1;
    return `${kind}#${n}`;
  }

  // ── images ─────────────────────────────────────────────────────────────────

  /**
   * The RAM as bytes: its used frames and metadata with a checksum. Equal states give equal bytes.
   * @throws EBUSY while anything is mapped, or inside an evict callback
   */
  snapshot(): Uint8Array {
    const chunks = [...imageChunks(() => this.#still('ram.snapshot'))];
    const image = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let at = 0;
    for (const chunk of chunks) {
      image.set(chunk, at);
      at += chunk.length;
    }
    return image;
  }

  /**
   * The same in parts of up to 1 MiB, for writing to a file. The RAM must not change before the last part was taken. Each
   * iteration takes the image anew.
   * @throws as snapshot, at the call and with each part; EBUSY with the last one when the RAM has changed meanwhile
   */
  snapshotChunks(): Iterable<Uint8Array> {
    const op = 'ram.snapshotChunks';
    this.#still(op);
    return { [Symbol.iterator]: () => imageChunks(() => this.#still(op), op) };
  }

  /** The core, when nothing is mapped or under way. */
  #still(op: string): Core {
    const core = this.#live(op);
    this.#idle(op);
    if (core.exports.ramCounter(RAM_MAPS) !== 0 || isolatedNow(core) !== 0) {
      throw new CompcacheError('EBUSY', op, 'objects are mapped or under reclaim');
    }
    if ([...this.#fronts].some((front) => front.isBusy()))
      throw new CompcacheError('EBUSY', op, 'a front end waits for its store');
    return core;
  }

  // ── pools ──────────────────────────────────────────────────────────────────

  /**
   * Creates a pool.
   * @param allocator one of ALLOCATORS
   * @throws EINVAL for an unknown allocator, a bad option or an option of another allocator; EEXIST when the name is taken;
   *   ENOMEM without frames for the pool's tables (1; zsmalloc 2 to 7)
   */
  zpool(allocator: AllocatorName, options: ZpoolOptions = {}): Zpool {
    return this.#zpool('ram.zpool', allocator, options);
  }

  #zpool(op: string, allocator: AllocatorName, given: ZpoolOptions): Zpool {
    requireAllocator(op, allocator);
    const options = takeZpoolOptions<Zpool>(op, allocator, given);
    const words = optionWords(op, allocator, options);
    const core = this.#live(op);
    const name = options.name ?? this.#freshName(op, allocator);
    if (typeof name !== 'string') throw new CompcacheError('EINVAL', op, `name must be a string, not ${show(name)}`);
    const utf8 = new TextEncoder().encode(name);
    if (utf8.length === 0 || utf8.length > NAME_BYTES)
      throw new CompcacheError('EINVAL', op, `name must have 1 to ${NAME_BYTES} UTF-8 bytes, not ${utf8.length}`);
    if (decodeName(utf8) !== name)
      throw new CompcacheError('EINVAL', op, `name must be well-formed Unicode, but is ${show(name)}`);
    if (this.#pools.has(name))
      throw new CompcacheError('EEXIST', op, `a pool ${show(name)} exists`, { detail: { name } });
    core.page.set(utf8);
    const address = core.exports.zpoolCreate(kindOf(allocator), ...words, 0, core.pageAddress, utf8.length) >>> 0;
    if (address >= ERRNO_MIN) {
      throw noFrame(op, core, 'ENOMEM', 'no frame for the pool');
    }
    const pool = zpools.make({ owner: this.#owner, core, address, allocator, name, evict: options.evict });
    this.#pools.set(name, pool);
    return pool;
  }

  /** Gives every pool that lies in a restored RAM its object; those of front ends are held until these go. False when two have one name. */
  #open(): boolean {
    const { pools, fronts } = contentsOf(this.#core);
    for (const { name, address, allocator } of pools)
      this.#pools.set(name, zpools.make({ owner: this.#owner, core: this.#core, address, allocator, name }));
    for (const front of fronts) this.#unopened.set(front.name, front);
    const held = new Set(fronts.flatMap((front) => front.pools));
    for (const pool of this.#pools.values()) if (held.has(zpools.address(pool))) zpools.hold(pool);
    return new Set([...pools, ...fronts].map(({ name }) => name)).size === pools.length + fronts.length;
  }

  #unopenedOne(op: string, name: unknown, kind?: FrontKind): FrontIn {
    this.#live(op);
    this.#idle(op);
    if (typeof name !== 'string') throw new CompcacheError('EINVAL', op, `name must be a string, not ${show(name)}`);
    if ([...this.#fronts].some((front) => front.name === name))
      throw new CompcacheError('EBUSY', op, `${show(name)} is open`);
    const front = this.#unopened.get(name);
    if (front === undefined) throw new CompcacheError('ENOENT', op, `no front end ${show(name)}`);
    if (kind !== undefined && front.kind !== kind)
      throw new CompcacheError('EINVAL', op, `${show(name)} is a ${front.kind}`);
    return front;
  }

  /** The front ends in the RAM, oldest first: those that are open, and those of the image that nobody has opened yet. */
  fronts(): { name: string; kind: FrontKind }[] {
    return contentsOf(this.#live('ram.fronts')).fronts.map(({ name, kind }) => ({ name, kind }));
  }

  /**
   * Destroys a front end of a restored RAM that nobody has opened, with its pools.
   * @throws ENOENT for no such front end; EINVAL; EBUSY for one that is open, while an object of its pools is mapped, or inside an
   *   evict callback
   */
  dropFront(name: string): void {
    const op = 'ram.dropFront';
    const front = this.#unopenedOne(op, name);
    if (destroyFront(this.#core, front) !== 0)
      throw new CompcacheError('EBUSY', op, `an object of a pool of ${show(name)} is mapped`);
    this.#unopened.delete(name);
    for (const [key, pool] of this.#pools) {
      if (!front.pools.includes(zpools.address(pool))) continue;
      zpools.orphan(pool);
      this.#pools.delete(key);
    }
  }

  /** All pools of the RAM, oldest first. */
  pools(): Zpool[] {
    this.#live('ram.pools');
    return [...this.#pools.values()];
  }

  /**
   * A pool by its name, after restore say.
   * @param callbacks.evict the pool's evict callback from now on
   * @throws ENOENT for no such pool; EINVAL; EBUSY to give a callback to the pool of a front end
   */
  openZpool(name: string, callbacks: { evict?: EvictCallback } = {}): Zpool {
    const op = 'ram.openZpool';
    const { evict } = takeOptions<{ evict?: EvictCallback }>(op, callbacks, ['evict']);
    if (evict !== undefined && typeof evict !== 'function')
      throw new CompcacheError('EINVAL', op, 'evict must be a function');
    this.#live(op);
    const pool = this.#pools.get(name);
    if (pool === undefined)
      throw new CompcacheError('ENOENT', op, `no pool ${show(name)}`, { detail: { name: String(name) } });
    if (evict !== undefined) zpools.setEvict(op, pool, evict);
    return pool;
  }

  /**
   * A codec of the core, for bytes of the caller's.
   * @param name 'lz4'; or 'lz4hc', which writes smaller blocks in ten times the time: for what is cold. Each decodes the
   *   blocks of the other
   * @throws EINVAL for an unknown name
   */
  codec(name: CoreCodecName): Codec {
    this.#live('ram.codec');
    if (typeof name !== 'string' || !Object.hasOwn(CORE_CODECS, name)) {
      throw new CompcacheError(
        'EINVAL',
        'ram.codec',
        `unknown codec ${show(name)}; in the core: ${Object.keys(CORE_CODECS).join(', ')}`,
      );
    }
    return new CoreCodec(MAKER, name, (op) => this.#live(op));
  }

  // ── checks and figures ─────────────────────────────────────────────────────

  /**
   * Walks every structure of the RAM.
   * @throws EUCLEAN, naming the frame and the rule that is broken
   */
  check(): void {
    this.#check();
  }

  #check(): void {
    const core = this.#live('ram.check');
    if (core.exports.ramCheck(core.bytes.length / PAGE_SIZE) !== 0) throw unclean('ram.check', core);
  }

  /**
   * Fault injection: lets frame requests succeed and then fail.
   * @param after further requests that succeed; null ends the injection
   * @param times requests that fail then; default until null
   * @throws EINVAL
   */
  failFrames(after: number | null, times?: number): void {
    if (after !== null) requireU32('ram.failFrames', 'after', after);
    if (times !== undefined) requireU32('ram.failFrames', 'times', times);
    this.#live('ram.failFrames').exports.ramFail(after ?? NEVER, times ?? NEVER);
  }

  /** Frames of the memory, metadata included. */
  get totalFrames(): number {
    return this.#live('ram.totalFrames').exports.ramCounter(RAM_FRAMES) >>> 0;
  }

  /** Frames that can still be handed out. */
  get freeFrames(): number {
    return this.#live('ram.freeFrames').exports.ramFree() >>> 0;
  }

  stats(): RamStats {
    const { exports, bytes } = this.#live('ram.stats');
    const counter = (which: number): number => exports.ramCounter(which) >>> 0;
    // fromEntries, since a pool may be named '__proto__'.
    const owners: RamStats['owners'] = Object.fromEntries([
      ...[...this.#pools].map(([name, pool]) => [name, zpools.frameCounts(pool)] as const),
      ...[...this.#fronts].map((front) => [front.name, { frames: 0, metadataFrames: front.ownFrames() }] as const),
      ...[...this.#unopened.values()].map(
        ({ name, address }) =>
          [name, { frames: 0, metadataFrames: exports.zpoolMetadataFrames(address) >>> 0 }] as const,
      ),
    ]);
    const fixedFrames = counter(RAM_FIXED);
    return {
      bytes: bytes.length,
      totalFrames: counter(RAM_FRAMES),
      usedFrames: counter(RAM_USED),
      freeFrames: exports.ramFree() >>> 0,
      fixedFrames,
      metadataFrames: Object.values(owners).reduce((sum, owner) => sum + owner.metadataFrames, 0),
      highWaterFrames: counter(RAM_HIGH_WATER),
      limitFrames: Math.min(counter(RAM_LIMIT), counter(RAM_FRAMES) - fixedFrames),
      maps: counter(RAM_MAPS),
      owners,
    };
  }
}
