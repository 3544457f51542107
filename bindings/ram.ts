/// <reference lib="esnext.disposable" preserve="true" />
/** Ram: a simulated RAM. It is one instance of the core on one memory. */
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
 * A simulated RAM: frames, the pools in them, and all metadata, in one linear memory.
 *
 * Errors of every method: ECLOSED after close.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Ram {
  #core: Core;
  readonly #owner: Owner;
  readonly #pools = new Map<string, Zpool>();
  /** The open front ends. */
  readonly #fronts = new Set<FrontEnd>();
  /** Front ends of the image that were not opened yet. */
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
      core: (op, ram) => ram.#requireOpen(op),
      requireIdle: (op, ram) => ram.#requireIdle(op),
      noteFront: (ram, front, present) => void (present ? ram.#fronts.add(front) : ram.#fronts.delete(front)),
      freshName: (op, ram, kind) => ram.#freshName(op, kind),
      isClosed: (ram) => ram.#closed,
      close: (ram) => {
        ram.#close();
      },
      check: (ram) => {
        ram.#check();
      },
      makeFrontPool: (op, ram, allocator, options) => {
        const pool = ram.#zpool(op, allocator, options);
        zpools.setFrontOwned(pool);
        return pool;
      },
      unopened: (op, ram, name, kind) => ram.#unopenedOne(op, name, kind),
      opened: (ram, { name }) => void ram.#unopened.delete(name),
      poolAt: (ram, address) => [...ram.#pools.values()].find((pool) => zpools.address(pool) === address) as Zpool,
    };
  }

  // ── creating and closing ───────────────────────────────────────────────────

  /**
   * Creates a RAM.
   * @throws EINVAL for options out of range or a module that is not this core, ENOMEM when the host refuses the memory,
   *   ENODEV when the host has no WebAssembly or forbids it
   */
  static async create(options: RamOptions = {}): Promise<Ram> {
    const taken = takeOptions<RamOptions>('Ram.create', options, RAM_OPTIONS);
    return Ram.#make('Ram.create', taken, await moduleFor('Ram.create', taken));
  }

  /**
   * Creates a RAM without a promise. On the main thread, browsers also compile a core of this size synchronously.
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
   * Makes a RAM from an image. It continues from the state of the image: pools, handles (also those that are refused),
   * LRU order, limits, and even an armed fault injector. Evict callbacks are not in an image: give them again with
   * openZpool. A zswap or ramzswap is restored too, but is not open: ram.fronts() lists it. Until Zswap.open or
   * Ramzswap.open opens it, or dropFront frees it, changes of its pools give EBUSY. Its backing store is not in the
   * image.
   * @param image bytes of snapshot(), of any build; they must not change until the RAM is restored
   * @param options bytes: at least those of the image's RAM (the default); more bytes are reserved but not used,
   *   because handles depend on the number of frames. limit: a new limit
   * @throws EIO for an image that is damaged, truncated, not from this package, or of another layout, that has less
   *   room for static data or scratch than this version needs, or whose tables are inconsistent; EINVAL, ENOMEM, ENODEV
   *   as create; EBUSY inside an evict callback
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
    // Other threads can change shared memory, so it is copied before it is checked.
    const parsed = parseImage(op, isShared(view) ? view.slice() : view);
    const least = parsed.totalFrames * PAGE_SIZE;
    const bytes = memoryBytes(op, options, least);
    if (bytes < least)
      throw new CompcacheError('EINVAL', op, `bytes must be at least the image's ${least}, not ${bytes}`);
    const limit = limitFrames(op, options, bytes);
    const core = loadImage(op, instantiate(op, module, reserve(op, bytes)), parsed);
    if (core.exports.ramCheck(parsed.totalFrames) !== 0) {
      throw new CompcacheError('EIO', op, 'the tables of the image are inconsistent', { cause: unclean(op, core) });
    }
    requireWhole(op, core, parsed);
    if (options.limit !== undefined) core.exports.ramLimit(limit);
    const ram = new Ram(MAKER, core);
    if (!ram.#open()) throw new CompcacheError('EIO', op, 'two pools of the image have the same name');
    return ram;
  }

  /**
   * Releases the memory. Every later call on the RAM or its pools gives ECLOSED. Idempotent. @throws EBUSY inside an
   * evict callback
   */
  close(): void {
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#requireIdle('ram.close');
    this.#closed = true;
    this.#core = closedCore();
    this.#pools.forEach((pool) => zpools.detach(pool));
    this.#pools.clear();
    this.#unopened.clear();
  }

  [DISPOSE](): void {
    this.close();
  }

  /** True when the RAM is closed. @internal */
  get isClosed(): boolean {
    return this.#closed;
  }

  #requireOpen(op: string): Core {
    if (this.#closed) throw new CompcacheError('ECLOSED', op, 'the RAM is closed');
    return this.#core;
  }

  /** Requires that no evict callback runs. EBUSY. */
  #requireIdle(op: string): void {
    if (this.#owner.evicting !== 0) throw new CompcacheError('EBUSY', op, 'an evict callback is running');
  }

  #freshName(op: string, kind: string): string {
    const taken = new Set([
      ...this.#pools.keys(),
      ...this.#unopened.keys(),
      ...[...this.#fronts].map((front) => front.name),
    ]);
    let n = (this.#requireOpen(op).exports.ramCounter(RAM_POOLS) >>> 0) + 1;
    while (taken.has(`${kind}#${n}`)) n += 1;
    return `${kind}#${n}`;
  }

  // ── images ─────────────────────────────────────────────────────────────────

  /**
   * An image of the RAM: its used frames and metadata, with a checksum. Equal states give equal bytes.
   * @throws EBUSY while an object is mapped, or inside an evict callback
   */
  snapshot(): Uint8Array {
    const chunks = [...imageChunks(() => this.#requireQuiescent('ram.snapshot'))];
    const image = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let at = 0;
    for (const chunk of chunks) {
      image.set(chunk, at);
      at += chunk.length;
    }
    return image;
  }

  /**
   * The same image in parts of up to 1 MiB, for writing to a file. The RAM must not change before the last part is
   * taken. Each iteration takes a new image.
   * @throws as snapshot, at the call and with each part; EBUSY with the last part when the RAM has changed
   */
  snapshotChunks(): Iterable<Uint8Array> {
    const op = 'ram.snapshotChunks';
    this.#requireQuiescent(op);
    return { [Symbol.iterator]: () => imageChunks(() => this.#requireQuiescent(op), op) };
  }

  /** The core. Requires that no object is mapped and no work is under way. EBUSY. */
  #requireQuiescent(op: string): Core {
    const core = this.#requireOpen(op);
    this.#requireIdle(op);
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
    const core = this.#requireOpen(op);
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

  /**
   * Makes the pool objects of a restored RAM. Pools of a front end can be changed only by it. False when two have the
   * same name.
   */
  #open(): boolean {
    const { pools, fronts } = contentsOf(this.#core);
    for (const { name, address, allocator } of pools)
      this.#pools.set(name, zpools.make({ owner: this.#owner, core: this.#core, address, allocator, name }));
    for (const front of fronts) this.#unopened.set(front.name, front);
    const pooled = new Set(fronts.flatMap((front) => front.pools));
    for (const pool of this.#pools.values()) if (pooled.has(zpools.address(pool))) zpools.setFrontOwned(pool);
    return new Set([...pools, ...fronts].map(({ name }) => name)).size === pools.length + fronts.length;
  }

  #unopenedOne(op: string, name: unknown, kind?: FrontKind): FrontIn {
    this.#requireOpen(op);
    this.#requireIdle(op);
    if (typeof name !== 'string') throw new CompcacheError('EINVAL', op, `name must be a string, not ${show(name)}`);
    if ([...this.#fronts].some((front) => front.name === name))
      throw new CompcacheError('EBUSY', op, `${show(name)} is open`);
    const front = this.#unopened.get(name);
    if (front === undefined) throw new CompcacheError('ENOENT', op, `no front end ${show(name)}`);
    if (kind !== undefined && front.kind !== kind)
      throw new CompcacheError('EINVAL', op, `${show(name)} is a ${front.kind}`);
    return front;
  }

  /** All front ends in the RAM, oldest first: the open ones, and those of the image that were not opened yet. */
  fronts(): { name: string; kind: FrontKind }[] {
    return contentsOf(this.#requireOpen('ram.fronts')).fronts.map(({ name, kind }) => ({ name, kind }));
  }

  /**
   * Destroys a front end of a restored RAM that was not opened yet, and its pools.
   * @throws ENOENT when there is no such front end; EINVAL; EBUSY when it is open, while an object of its pools is
   *   mapped, or inside an evict callback
   */
  dropFront(name: string): void {
    const op = 'ram.dropFront';
    const front = this.#unopenedOne(op, name);
    if (destroyFront(this.#core, front) !== 0)
      throw new CompcacheError('EBUSY', op, `an object of a pool of ${show(name)} is mapped`);
    this.#unopened.delete(name);
    for (const [key, pool] of this.#pools) {
      if (!front.pools.includes(zpools.address(pool))) continue;
      zpools.detach(pool);
      this.#pools.delete(key);
    }
  }

  /** All pools of the RAM, oldest first. */
  pools(): Zpool[] {
    this.#requireOpen('ram.pools');
    return [...this.#pools.values()];
  }

  /**
   * Finds a pool by its name, for example after restore.
   * @param callbacks.evict from now on the pool's evict callback
   * @throws ENOENT when there is no such pool; EINVAL; EBUSY for a callback for a front end's pool
   */
  openZpool(name: string, callbacks: { evict?: EvictCallback } = {}): Zpool {
    const op = 'ram.openZpool';
    const { evict } = takeOptions<{ evict?: EvictCallback }>(op, callbacks, ['evict']);
    if (evict !== undefined && typeof evict !== 'function')
      throw new CompcacheError('EINVAL', op, 'evict must be a function');
    this.#requireOpen(op);
    const pool = this.#pools.get(name);
    if (pool === undefined)
      throw new CompcacheError('ENOENT', op, `no pool ${show(name)}`, { detail: { name: String(name) } });
    if (evict !== undefined) zpools.setEvict(op, pool, evict);
    return pool;
  }

  /**
   * A codec of the core, for the caller's own bytes.
   * @param name 'lz4'; or 'lz4hc', which makes smaller blocks and takes ten times as long: for cold data. Each decodes
   *   the other's blocks
   * @throws EINVAL for an unknown name
   */
  codec(name: CoreCodecName): Codec {
    this.#requireOpen('ram.codec');
    if (typeof name !== 'string' || !Object.hasOwn(CORE_CODECS, name)) {
      throw new CompcacheError(
        'EINVAL',
        'ram.codec',
        `unknown codec ${show(name)}; in the core: ${Object.keys(CORE_CODECS).join(', ')}`,
      );
    }
    return new CoreCodec(MAKER, name, (op) => this.#requireOpen(op));
  }

  // ── checks and figures ─────────────────────────────────────────────────────

  /**
   * Checks every structure of the RAM.
   * @throws EUCLEAN, with the frame and the rule that is broken
   */
  check(): void {
    this.#check();
  }

  #check(): void {
    const core = this.#requireOpen('ram.check');
    if (core.exports.ramCheck(core.bytes.length / PAGE_SIZE) !== 0) throw unclean('ram.check', core);
  }

  /**
   * Fault injection: lets some frame requests succeed and then makes requests fail.
   * @param after how many more requests succeed; null ends the injection
   * @param times how many requests then fail; default: all, until null
   * @throws EINVAL
   */
  failFrames(after: number | null, times?: number): void {
    if (after !== null) requireU32('ram.failFrames', 'after', after);
    if (times !== undefined) requireU32('ram.failFrames', 'times', times);
    this.#requireOpen('ram.failFrames').exports.ramFail(after ?? NEVER, times ?? NEVER);
  }

  /** Frames of the memory, metadata included. */
  get totalFrames(): number {
    return this.#requireOpen('ram.totalFrames').exports.ramCounter(RAM_FRAMES) >>> 0;
  }

  /** Frames that can still be handed out. */
  get freeFrames(): number {
    return this.#requireOpen('ram.freeFrames').exports.ramFree() >>> 0;
  }

  stats(): RamStats {
    const { exports, bytes } = this.#requireOpen('ram.stats');
    const counter = (which: number): number => exports.ramCounter(which) >>> 0;
    // fromEntries works even for a pool with the name '__proto__'.
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
