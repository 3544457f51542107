/// <reference lib="esnext.disposable" preserve="true" />
/** Zpool: one pool of one allocator in a RAM. */
import { isCoreCodec, requireCodec, requirePage } from './codec/pages.ts';
import { DISPOSE } from './dispose.ts';
import { lengthOf, requireBytes } from './bytes.ts';
import { CompcacheError, ERRNO_MIN, codeOf, isU32, requireOptions, requireU32, show, type ErrorCode } from './errors.ts';
import { PageTable, SHAPES, type PageTableKeys } from './page-table.ts';
import type {
  AllocatorName, ClassStats, Codec, EvictCallback, FrameContents, Handle, Location, MapMode, PageEntry, ZpoolOptions, ZpoolStats,
} from './types.ts';
import { OUT_A, OUT_B, OUT_C, OUT_LENGTH, OUT_NEEDED, OUT_SECOND, OUT_SIZE, PAGE_SIZE, closedCore, type Core, type KeeperExports } from './wasm.ts';

/** Numbers of the allocators in the core (assembly/zpool.ts). */
export const KINDS: Record<AllocatorName, number> = { zbud: 1, z3fold: 2, zsmalloc: 3, xvmalloc: 4, xcfmalloc: 5 };

/** Names of the allocators. */
export const ALLOCATORS = Object.keys(KINDS) as readonly AllocatorName[];

const MODES: Record<MapMode, number> = { ro: 0, rw: 1, wo: 2 };
const TRIES = 8;
/** Calls that take more stack than releasing a victim. */
const STACK_CALLS = 256;

/** What a pool needs of its RAM beside the public API. */
export interface Owner {
  /** Depth of evict callbacks that are running. */
  evicting: number;
  forget(name: string): void;
}

/** Depth of evict callbacks in all RAMs of this realm, for Ram.restore. */
export const callbacks = { running: 0 };

// The symbol's name is computed (dispose.ts), so TypeScript must be told of the method.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface Zpool {
  [Symbol.dispose](): void;
}

/**
 * One pool of objects in a RAM. Made by {@link Ram.zpool}, {@link Ram.pools} or {@link Ram.openZpool}.
 *
 * Errors of every method: EINVAL for an argument that is no number of 0 … 2^32 - 1, or a handle that was never given out,
 * was freed, or belongs to another pool; ECLOSED after destroy, close, or closing the RAM. Nothing changes when one is thrown.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Zpool {
  readonly allocator: AllocatorName;
  readonly name: string;
  /** Whether shrink can evict: true for all allocators. */
  readonly evictable = true;
  /** Whether a holder of a map may sleep: false for zsmalloc only, as in the kernel. */
  readonly canSleepMapped: boolean;
  /** Whether compact() can move objects. */
  readonly mallocSupportMovable: boolean;

  readonly #owner: Owner;
  #core: Core;
  #address: number;
  #evict: EvictCallback | undefined;
  #pages: PageTable | undefined;
  #spare: Uint8Array | undefined;

  private constructor(owner: Owner, core: Core, address: number, allocator: AllocatorName, name: string, evict: EvictCallback | undefined) {
    this.#owner = owner;
    this.#core = core;
    this.#address = address;
    this.#evict = evict;
    this.allocator = allocator;
    this.name = name;
    this.canSleepMapped = allocator !== 'zsmalloc';
    this.mallocSupportMovable = allocator === 'zsmalloc' || allocator === 'z3fold' || allocator === 'xcfmalloc';
  }

  /** @internal */
  static of(owner: Owner, core: Core, address: number, allocator: AllocatorName, name: string, evict?: EvictCallback): Zpool {
    return new Zpool(owner, core, address, allocator, name, evict);
  }

  /** The pool or its RAM is gone: every further call is ECLOSED, and the memory is let go. @internal */
  orphan(): void {
    this.#address = 0;
    this.#core = closedCore();
    this.#pages?.orphan();
  }

  /** Whether a front end has it, which alone may destroy it. @internal */
  held = false;

  /** Where its header lies. @internal */
  get address(): number {
    return this.#address;
  }

  /** @internal */
  setEvict(evict: EvictCallback): void {
    this.#evict = evict;
  }

  // ── objects ────────────────────────────────────────────────────────────────

  /**
   * Allocates an object. Its bytes are undefined until written.
   * @param size bytes, 1 … the allocator's largest object (zsmalloc, z3fold 4096; xvmalloc 4088; xcfmalloc 4084; zbud 3968, layout '2013' 4096)
   * @throws EINVAL for 0, ENOSPC beyond the largest object, ENOMEM without a frame
   * @see Linux 6.1 mm/zpool.c zpool_malloc
   */
  malloc(size: number): Handle {
    if (!isU32(size)) requireU32('zpool.malloc', 'size', size);
    const handle = this.#core.exports.zpoolMalloc(this.#address, size | 0) >>> 0;
    if (handle >= ERRNO_MIN) throw this.#failure('zpool.malloc', handle, size);
    return handle as Handle;
  }

  /**
   * Frees an object.
   * @throws EBUSY while it is mapped (inside an evict callback too)
   * @see Linux 6.1 mm/zpool.c zpool_free
   */
  free(handle: Handle): void {
    this.#free('zpool.free', handle);
  }

  #free(op: string, handle: number): void {
    if (!isU32(handle)) this.#notAHandle(op, handle);
    const result = this.#core.exports.zpoolFree(this.#address, handle | 0) >>> 0;
    if (result !== 0) throw this.#failure(op, result, handle);
  }

  /** The bytes that were asked for. */
  size(handle: Handle): number {
    return this.#size('zpool.size', handle);
  }

  #size(op: string, handle: number): number {
    if (!isU32(handle)) this.#notAHandle(op, handle);
    const size = this.#core.exports.zpoolSize(this.#address, handle | 0) >>> 0;
    if (size >= ERRNO_MIN) throw this.#failure(op, size, handle);
    return size;
  }

  /**
   * Copies bytes into an object. For zsmalloc this is what makes its zspage the most recently used.
   * While the object is mapped through a buffer, the bytes go there, and are kept whatever the mode of the map.
   * @param bytes any length that fits; a view of shared memory is copied, one of a detached buffer EINVAL
   * @param at first byte in the object, default 0
   * @throws ERANGE, and nothing is written, when at + bytes.length exceeds the object
   */
  write(handle: Handle, bytes: Uint8Array, at = 0): void {
    if (!isU32(handle)) this.#notAHandle('zpool.write', handle);
    requireBytes('zpool.write', 'bytes', bytes);
    requireU32('zpool.write', 'at', at);
    const core = this.#core;
    const length = lengthOf(bytes);
    const address = core.exports.zpoolRange(this.#address, handle | 0, at, length, 1) >>> 0;
    if (address >= ERRNO_MIN) throw this.#failure('zpool.write', address, handle);
    const second = core.out[OUT_SECOND] as number;
    if (second === 0) {
      core.bytes.set(bytes, address);
    } else {
      const first = core.out[OUT_LENGTH] as number;
      core.bytes.set(bytes.subarray(0, first), address);
      core.bytes.set(bytes.subarray(first), second);
    }
  }

  /**
   * Copies an object out. While it is mapped through a buffer, the bytes are those of the buffer.
   * @param into where to; its first bytes are used. Default: a new array of exactly the right length
   * @param at first byte of the object to read, default 0
   * @returns exactly the object's bytes from `at`; a view of `into` when that was given
   * @throws ERANGE when `at` is beyond the object or `into` too short
   */
  read(handle: Handle, into?: Uint8Array, at = 0): Uint8Array {
    requireU32('zpool.read', 'at', at);
    if (into !== undefined) requireBytes('zpool.read', 'into', into);
    return this.#read('zpool.read', handle, into, at);
  }

  #read(op: string, handle: number, into: Uint8Array | undefined, at: number): Uint8Array {
    const size = this.#size(op, handle);
    const length = size - at;
    if (length < 0 || (into !== undefined && lengthOf(into) < length)) {
      throw new CompcacheError('ERANGE', op, length < 0
        ? `at is ${at}, the object has ${size} bytes`
        : `into has ${lengthOf(into as Uint8Array)} bytes, ${length} are needed`);
    }
    const core = this.#core;
    const address = core.exports.zpoolRange(this.#address, handle | 0, at, length, 0) >>> 0;
    if (address >= ERRNO_MIN) throw this.#failure(op, address, handle);
    const target = into === undefined ? new Uint8Array(length) : lengthOf(into) === length ? into : into.subarray(0, length);
    const second = core.out[OUT_SECOND] as number;
    if (second === 0) {
      target.set(core.bytes.subarray(address, address + length));
    } else {
      const first = core.out[OUT_LENGTH] as number;
      target.set(core.bytes.subarray(address, address + first));
      target.set(core.bytes.subarray(second, second + length - first), first);
    }
    return target;
  }

  /**
   * Maps an object: a view of exactly its bytes until unmap. Hot code uses read and write.
   *
   * Maps of one object are counted. One that straddles two frames is mapped through a buffer that all its maps share; it
   * is written back at the last unmap if any map was 'rw' or 'wo'. A 'wo' map of such an object starts as zeros if it is
   * the first. The view is dead after unmap; using, posting or cloning it then is the caller's fault.
   * @throws ENOMEM without a frame for the buffer (xvmalloc: for the record of a second mapped object of one frame); EBUSY at
   *   1023 maps of a zsmalloc or z3fold object, 65535 of a zbud, xvmalloc or xcfmalloc one
   * @see Linux 6.1 mm/zpool.c zpool_map_handle, mm/zsmalloc.c zs_map_object
   */
  map(handle: Handle, mode: MapMode): Uint8Array {
    if (!isU32(handle)) this.#notAHandle('zpool.map', handle);
    const number = typeof mode === 'string' && Object.hasOwn(MODES, mode) ? MODES[mode] : undefined;
    if (number === undefined) throw new CompcacheError('EINVAL', 'zpool.map', `mode must be 'rw', 'ro' or 'wo', not ${show(mode)}`);
    const core = this.#core;
    const address = core.exports.zpoolMap(this.#address, handle | 0, number) >>> 0;
    if (address >= ERRNO_MIN) throw this.#failure('zpool.map', address, handle);
    return new Uint8Array(core.memory.buffer, address, core.out[OUT_SIZE]);
  }

  /** Ends one map of an object. @throws EINVAL also for an object that is not mapped */
  unmap(handle: Handle): void {
    if (!isU32(handle)) this.#notAHandle('zpool.unmap', handle);
    const result = this.#core.exports.zpoolUnmap(this.#address, handle | 0) >>> 0;
    if (result !== 0) throw this.#failure('zpool.unmap', result, handle);
  }

  /** Where an object's data lie. Moves with compaction, unless the object is mapped. */
  locate(handle: Handle): Location {
    if (!isU32(handle)) this.#notAHandle('zpool.locate', handle);
    const { out, inspect } = this.#core;
    const frame = inspect('zpool.locate').zpoolLocate(this.#address, handle) >>> 0;
    if (frame >= ERRNO_MIN) throw this.#failure('zpool.locate', frame, handle);
    const offset = out[OUT_A] as number;
    if (this.allocator === 'xcfmalloc') {
      const blocks = [{ frame, offset: offset - (offset % 64) }];
      if (out[OUT_B] !== 0) blocks.push({ frame: out[OUT_B] as number, offset: out[OUT_C] as number });
      return { frame, offset, blocks };
    }
    return this.allocator === 'zsmalloc'
      ? { frame, offset, classIndex: out[OUT_B] as number, objectIndex: out[OUT_C] as number }
      : { frame, offset };
  }

  // ── pages ──────────────────────────────────────────────────────────────────

  /**
   * Stores a page of 4096 bytes, compressed.
   *
   * With a codec of the core (lz4, the default, or lz4hc) it is one call into it: same-filled test, compress, malloc,
   * copy. A page whose block would exceed the allocator's largest object is kept as it is, in a whole frame if need be.
   * @param codec default lz4; one that is not of the core must load the page too
   * @returns an entry for loadPage and freePage: a handle of this pool, or a negative number for a same-filled page
   * @throws EINVAL unless page has 4096 bytes; ENOMEM without a frame; EIO for a codec that gives nonsense
   */
  storePage(page: Uint8Array, codec?: Codec): PageEntry {
    requirePage('zpool.storePage', 'page', page);
    if (this.#isGone()) throw this.#closed('zpool.storePage');
    requireCodec('zpool.storePage', codec);
    if (!isCoreCodec(codec)) return this.#storeWith(page, codec);
    const { exports, bytes, out, pageAddress } = this.#core;
    bytes.set(page, pageAddress);
    const entry = exports.pageStore(this.#address, codec?.number ?? 0) >>> 0;
    if (entry >= ERRNO_MIN) throw this.#failure('zpool.storePage', entry, PAGE_SIZE);
    return (entry === 0 ? sameFilledEntry(out[OUT_A] as number) : entry) as PageEntry;
  }

  /** The two-step path of a codec in JavaScript: compress into the spare buffer, then malloc and write. */
  #storeWith(page: Uint8Array, codec: Codec): PageEntry {
    const op = 'zpool.storePage';
    const word = sameFilledWord(page);
    if (word !== undefined) return sameFilledEntry(word);
    const most = Math.min(this.#core.exports.zpoolMax(this.#address) >>> 0, PAGE_SIZE - 1);
    const buffer = this.#takeSpare();
    const written = runCodec(op, () => codec.compress(page, buffer.subarray(0, most)));
    // The codec was foreign code: it may have detached the page or the buffer, or closed the pool or the RAM.
    if (!isU32(written) || written > most || buffer.length === 0) {
      throw new CompcacheError('EIO', op, `the codec says it wrote ${show(written)} bytes into ${most}`);
    }
    const bytes = written !== 0 ? buffer.subarray(0, written) : page;
    requireBytes(op, 'page', bytes);
    const { exports } = this.#core;
    const handle = (written !== 0 ? exports.zpoolMalloc(this.#address, written) : exports.zpoolMallocRaw(this.#address)) >>> 0;
    if (handle >= ERRNO_MIN) throw this.#failure(op, handle, written);
    this.write(handle as Handle, bytes);
    this.#spare = buffer;
    return handle as PageEntry;
  }

  /**
   * The buffer between a codec in JavaScript and the objects. It is the codec's while that runs: when the codec uses the
   * pool meanwhile, another is made, and one that is not put back, or was detached, is let go. A view of the RAM itself
   * would spare a copy of the block on the way out, but what a codec does meanwhile could move or free it.
   */
  #takeSpare(): Uint8Array {
    const spare = this.#spare;
    this.#spare = undefined;
    return spare !== undefined && spare.length !== 0 ? spare : new Uint8Array(PAGE_SIZE);
  }

  /**
   * Loads a stored page.
   * @param entry what storePage gave
   * @param into 4096 bytes
   * @param codec the one that stored it, default the core's, which load each other's pages
   * @throws EINVAL for a bad entry or into; EIO when the object is no page of that codec
   */
  loadPage(entry: PageEntry, into: Uint8Array, codec?: Codec): void {
    requirePage('zpool.loadPage', 'into', into);
    requireCodec('zpool.loadPage', codec);
    const { exports, page } = this.#core;
    if (typeof entry === 'number' && entry < 0) {
      if (!isU32(-1 - entry)) this.#notAHandle('zpool.loadPage', entry);
      if (this.#isGone()) throw this.#closed('zpool.loadPage');
      exports.pageFill(-1 - entry);
    } else {
      if (!isU32(entry)) this.#notAHandle('zpool.loadPage', entry);
      if (!isCoreCodec(codec)) return this.#loadWith(entry, into, codec);
      const result = exports.pageLoad(this.#address, entry | 0) >>> 0;
      if (result !== PAGE_SIZE) throw this.#failure('zpool.loadPage', result, entry);
    }
    into.set(page);
  }

  #loadWith(entry: PageEntry, into: Uint8Array, codec: Codec): void {
    const op = 'zpool.loadPage';
    const buffer = this.#takeSpare();
    const stored = this.#read(op, entry, buffer, 0);
    if (stored.length === PAGE_SIZE) {
      into.set(stored);
    } else {
      const written = runCodec(op, () => codec.decompress(stored, into));
      if (written !== PAGE_SIZE) throw new CompcacheError('EIO', op, `the codec gave ${show(written)} bytes, not a page`);
    }
    this.#spare = buffer;
  }

  /** Frees a stored page. A same-filled one takes no memory. @throws EBUSY while it is mapped */
  freePage(entry: PageEntry): void {
    if (typeof entry === 'number' && entry < 0 && isU32(-1 - entry)) {
      if (this.#isGone()) throw this.#closed('zpool.freePage');
      return;
    }
    this.#free('zpool.freePage', entry);
  }

  /**
   * The pool's page table: pages under numbers instead of entries. It is made at the first call and lies in the RAM, so
   * after restore it is there again. A pool has at most one; what storePage and malloc give is beside it.
   * @param keys 'dense' for keys close together (up to 2^32 - 1), 'sparse' for any up to 2^53 - 1. Default: what the table
   *   is, or 'dense' for a new one
   * @throws EEXIST when the table is of the other kind; EINVAL
   */
  pageTable(keys?: PageTableKeys): PageTable {
    const op = 'zpool.pageTable';
    if (keys !== undefined && keys !== 'dense' && keys !== 'sparse') throw new CompcacheError('EINVAL', op, `keys must be 'dense' or 'sparse', not ${show(keys)}`);
    if (this.#isGone()) throw this.#closed(op);
    const { exports } = this.#core;
    const is = SHAPES[exports.tableKind(this.#address)] as 'none' | PageTableKeys;
    const wanted = keys ?? (is === 'none' ? 'dense' : is);
    if (is !== 'none' && is !== wanted) throw new CompcacheError('EEXIST', op, `the page table of pool ${show(this.name)} is ${is}`);
    this.#number(op, this.#core.keep(op).tableOpen(this.#address, SHAPES.indexOf(wanted)));
    return (this.#pages ??= PageTable.of(this, this.#core, this.#address, wanted));
  }

  // ── reclaim and compaction ─────────────────────────────────────────────────

  /**
   * Evicts, least recently used first, until at least so many frames came back. The evict callback is called for each
   * object of a victim, in the allocator's order, and frees it; a victim that keeps an object goes to the front of the
   * LRU and costs one of eight tries. Victims with a mapped object are passed over, keep their place and cost no try.
   * @param pages frames wanted; 0 does nothing
   * @returns frames that came back; a zspage may bring several more than were wanted, and for xcfmalloc those are counted
   *   that second blocks of evicted objects have emptied
   * @throws only when none came back: EINVAL nothing evictable, no evict callback, or one that gives a Promise; EAGAIN after
   *   eight tries (the callback's last throw is its cause)
   * @see Linux 6.1 mm/zbud.c zbud_reclaim_page; 6.2 mm/zsmalloc.c zs_reclaim_page
   */
  shrink(pages: number): number {
    requireU32('zpool.shrink', 'pages', pages);
    if (this.#isGone()) throw this.#closed('zpool.shrink');
    if (pages === 0) return 0;
    const evict = this.#evict;
    if (evict === undefined) throw new CompcacheError('EINVAL', 'zpool.shrink', 'the pool has no evict callback');
    let freed = 0;
    const keeper = this.#core.keep('zpool.shrink');
    while (freed < pages) {
      const { frames, failure } = this.#reclaim(keeper, evict);
      keeper.zpoolRunDeferred(this.#address, 0);
      freed += frames;
      if (frames !== 0) continue;
      if (freed !== 0) break;
      throw failure;
    }
    return freed;
  }

  /** Up to eight victims, until one is empty: the frames it brought, or why none did. */
  #reclaim(keeper: KeeperExports, evict: EvictCallback): { frames: number; failure?: CompcacheError } {
    const op = 'zpool.shrink';
    let cause: { cause: unknown } | undefined;
    for (let tries = 0; tries < TRIES; tries++) {
      requireStack(STACK_CALLS);
      const victim = keeper.zpoolIsolate(this.#address) >>> 0;
      if (victim === 0 && tries === 0) return { frames: 0, failure: new CompcacheError('EINVAL', op, 'nothing is evictable') };
      if (victim === 0) break;
      let answer: EvictAnswer;
      let frames = 0;
      try {
        answer = this.#evictAll(keeper, victim, evict);
      } finally {
        frames = keeper.zpoolRelease(this.#address, victim) >>> 0;
      }
      if (frames !== 0) return { frames };
      if (answer === 'promise') {
        return { frames: 0, failure: new CompcacheError('EINVAL', op, 'the evict callback returned a Promise; it must be synchronous') };
      }
      if (typeof answer === 'object') cause = answer;
    }
    return { frames: 0, failure: new CompcacheError('EAGAIN', op, `no frame came back in ${TRIES} tries`, cause) };
  }

  /** Calls evict for each object of a victim until one is refused. */
  #evictAll(keeper: KeeperExports, victim: number, evict: EvictCallback): EvictAnswer {
    const { out } = this.#core;
    let cursor = 0;
    for (;;) {
      const handle = keeper.zpoolVictimNext(this.#address, victim, cursor) >>> 0;
      if (handle === 0) return 'done';
      cursor = out[OUT_A] as number;
      callbacks.running += 1;
      this.#owner.evicting += 1;
      try {
        const answer: unknown = evict(handle as Handle, this);
        if (answer === false) return 'refused';
        if (isPromise(answer)) return 'promise';
      } catch (cause) {
        return { cause };
      } finally {
        callbacks.running -= 1;
        this.#owner.evicting -= 1;
      }
    }
  }

  /**
   * Moves objects so that frames come back.
   * @param options.victims the most zspages to empty in this call (z3fold: frames, after its deferred work; xcfmalloc: frames);
   *   default no limit. It bounds what is moved: z3fold and xcfmalloc look through all their frames in every call
   * @returns frames given back; 0 for zbud and xvmalloc, which cannot move
   * @see Linux 6.4 mm/zsmalloc.c zs_compact (12 groups), 6.1 (4 groups); 6.1 mm/z3fold.c do_compact_page
   */
  compact(options?: { victims?: number }): number {
    if (options !== undefined) requireOptions('zpool.compact', options, ['victims']);
    const victims = options?.victims ?? 0xffffffff;
    requireU32('zpool.compact', 'victims', victims);
    return this.#number('zpool.compact', this.#core.keep('zpool.compact').zpoolCompact(this.#address, victims));
  }

  /** Frames that compact() would give back; it may give back fewer (when objects are mapped; of xcfmalloc a few always), never more. */
  freeable(): number {
    return this.#number('zpool.freeable', this.#core.keep('zpool.freeable').zpoolFreeable(this.#address));
  }

  /** Does the work that frees have put off. Only z3fold with deferred: 'manual' has any; nothing happens for the others. */
  runDeferred(): void {
    this.#number('zpool.runDeferred', this.#core.keep('zpool.runDeferred').zpoolRunDeferred(this.#address, 1));
  }

  // ── statistics ─────────────────────────────────────────────────────────────

  /** Frames of objects; xcfmalloc's reserve is among them. */
  get totalPages(): number {
    return this.#counter('zpool.totalPages', 0);
  }

  /** totalPages × 4096. */
  get totalBytes(): number {
    return this.#counter('zpool.totalBytes', 0) * PAGE_SIZE;
  }

  /** Frames of objects and of metadata, without the cost of stats(). @internal */
  frameCounts(): { frames: number; metadataFrames: number } {
    const op = 'zpool.stats';
    return { frames: this.#counter(op, 0), metadataFrames: this.#number(op, this.#core.inspect(op).zpoolMetadataFrames(this.#address)) };
  }

  stats(): ZpoolStats {
    const op = 'zpool.stats';
    const { frames, metadataFrames } = this.frameCounts();
    const liveBytes = this.#counter(op, 2);
    const metadataBytes = metadataFrames * PAGE_SIZE;
    const total = frames * PAGE_SIZE;
    return {
      liveBytes,
      objects: this.#counter(op, 1),
      frames,
      metadataBytes,
      density: total === 0 ? 0 : liveBytes / total,
      densityWithMetadata: liveBytes / (total + metadataBytes),
      objectsMoved: this.#counter(op, 4),
      bytesMoved: this.#counter(op, 5),
      spanning: this.#number(op, this.#core.inspect(op).zpoolSpanning(this.#address)),
      maps: this.#counter(op, 3),
      ...(this.allocator === 'zsmalloc' ? { classes: this.#classes() } : this.#lists()),
    };
  }

  /** The rows of the allocator's own table, as words. */
  #tables(): Uint32Array[] {
    const { exports, memory } = this.#core;
    const inspector = this.#core.inspect('zpool.stats');
    const rows = inspector.zpoolTables(this.#address) >>> 0;
    const buffer = exports.blockBuffer() >>> 0;
    return Array.from({ length: rows }, (_, nth) => {
      inspector.zpoolTable(this.#address, nth);
      return new Uint32Array(memory.buffer, buffer, 20).slice();
    });
  }

  #lists(): Pick<ZpoolStats, 'lists' | 'reserveFrames'> {
    const lists = this.#tables().map((words) => words[0] as number);
    return this.allocator === 'xcfmalloc' ? { lists, reserveFrames: lists[63] as number } : { lists };
  }

  #classes(): ClassStats[] {
    const rows = this.#tables();
    const groups = this.#number('zpool.stats', this.#core.inspect('zpool.stats').zpoolIdentity(this.#address, 5));
    return rows.map((words) => {
      const [index, size, pages, objectsPerZspage, allocated, used, freeable, zspages] = words as unknown as [number, number, number, number, number, number, number, number];
      return { index, size, pages, objectsPerZspage, allocated, used, freeable, zspages, groups: Array.from(words.subarray(8, 8 + groups)) };
    });
  }

  /**
   * Visits every frame of objects with what lies in it, in frame order. The callback may use the pool; what it changes
   * in frames still to come is seen.
   */
  walk(visit: (contents: FrameContents) => void): void {
    if (typeof visit !== 'function') throw new CompcacheError('EINVAL', 'zpool.walk', `visit must be a function, not ${show(visit)}`);
    const { exports, memory, out } = this.#core;
    const inspector = this.#core.inspect('zpool.walk');
    let frame = 0;
    for (;;) {
      frame = inspector.zpoolWalk(this.#address, frame) >>> 0;
      if (frame >= ERRNO_MIN) throw this.#failure('zpool.walk', frame, 0);
      if (frame === 0) return;
      const objects = new Uint32Array(memory.buffer, exports.blockBuffer() >>> 0, 3 * (out[OUT_A] as number)).slice();
      const free = new Uint32Array(memory.buffer, exports.pageBuffer() >>> 0, 2 * (out[OUT_B] as number)).slice();
      visit({
        frame,
        objects: Array.from({ length: objects.length / 3 }, (_, i) => ({
          handle: objects[3 * i] as Handle, offset: objects[3 * i + 1] as number, bytes: objects[3 * i + 2] as number,
        })),
        free: Array.from({ length: free.length / 2 }, (_, i) => ({ offset: free[2 * i] as number, bytes: free[2 * i + 1] as number })),
      });
    }
  }

  // ── end ────────────────────────────────────────────────────────────────────

  /**
   * Destroys the pool: every frame and descriptor goes back to the RAM, live objects included.
   * @throws EBUSY while an object is mapped or an evict callback runs, or for the pool of a zswap or ramzswap; ECLOSED the
   *   second time
   */
  destroy(): void {
    if (this.#isGone()) throw this.#closed('zpool.destroy');
    if (this.#owner.evicting !== 0) throw new CompcacheError('EBUSY', 'zpool.destroy', 'an evict callback is running');
    if (this.held) throw new CompcacheError('EBUSY', 'zpool.destroy', `pool ${show(this.name)} belongs to a front end`);
    const result = this.#core.keep('zpool.destroy').zpoolDestroy(this.#address) >>> 0;
    if (result !== 0) throw this.#failure('zpool.destroy', result, 0);
    this.orphan();
    this.#owner.forget(this.name);
  }

  /** destroy(), and nothing when that is done already. */
  close(): void {
    if (!this.#isGone()) this.destroy();
  }

  [DISPOSE](): void {
    this.close();
  }

  // ── errors ─────────────────────────────────────────────────────────────────

  #isGone(): boolean {
    return this.#address === 0;
  }

  #closed(op: string): CompcacheError {
    return new CompcacheError('ECLOSED', op, `pool ${show(this.name)} is destroyed or its RAM closed`);
  }

  #notAHandle(op: string, handle: unknown): never {
    throw new CompcacheError('EINVAL', op, `${show(handle)} is no handle: it must be a whole number from 1 to 4294967295`);
  }

  #number(op: string, result: number): number {
    result >>>= 0;
    if (result >= ERRNO_MIN) throw this.#failure(op, result, 0);
    return result;
  }

  #counter(op: string, which: number): number {
    const value = this.#core.inspect(op).zpoolCounter(this.#address, which);
    if (value < 0) throw this.#closed(op);
    return value;
  }

  /** The error for a failed call of the core. `what` is the size or handle that the call was given. */
  #failure(op: string, result: number, what: number): CompcacheError {
    if (this.#isGone()) return this.#closed(op);
    const code = codeOf(result);
    return new CompcacheError(code, op, this.#explain(op, code, what));
  }

  #explain(op: string, code: ErrorCode, what: number): string {
    const { exports, out } = this.#core;
    switch (code) {
      case 'ENOMEM': return `no frame: ${out[OUT_NEEDED]} needed, ${exports.ramFree() >>> 0} free`;
      case 'ENOSPC': return `size ${what} is beyond the largest object, ${exports.zpoolMax(this.#address) >>> 0} bytes`;
      case 'ERANGE': return `the range does not fit the object of ${exports.zpoolSize(this.#address, what) >>> 0} bytes`;
      case 'EBUSY': return op === 'zpool.map' ? 'the object has as many maps as can be counted' : op === 'zpool.destroy' ? 'an object is mapped or under reclaim' : 'the object is mapped';
      case 'EIO': return 'the object is no page that was stored with this codec';
      default:
        if (op === 'zpool.malloc') return 'size must be at least 1';
        if (op === 'zpool.unmap') return `handle ${what} is not live in this pool, or not mapped`;
        return `handle ${what} is not live in pool ${show(this.name)}`;
    }
  }
}

/** Calls a codec that is not ours: what it throws becomes EIO, unless it is one of our errors. */
function runCodec(op: string, call: () => unknown): unknown {
  try {
    const answer = call();
    if (isPromise(answer)) throw new CompcacheError('EIO', op, 'the codec gave a Promise; it must be synchronous');
    return answer;
  } catch (cause) {
    if (cause instanceof CompcacheError) throw cause;
    throw new CompcacheError('EIO', op, 'the codec threw', { cause });
  }
}

/**
 * Throws the engine's RangeError unless so many more calls fit the stack. A victim that was isolated must be released
 * whatever happens, and that takes more stack than isolating it did: so callbacks that re-enter without end are stopped
 * before, not between.
 */
function requireStack(calls: number): number {
  return calls === 0 ? 0 : 1 + requireStack(calls - 1);
}

/** How the calls of evict for one victim ended; an object holds what the callback threw. */
type EvictAnswer = 'done' | 'refused' | 'promise' | { cause: unknown };

/** Whether a callback or a codec gave a Promise; its rejection is taken care of, since nobody else will. @internal */
export function isPromise(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || typeof (value as { then?: unknown }).then !== 'function') return false;
  Promise.resolve(value).catch(() => undefined);
  return true;
}

function sameFilledEntry(word: number): PageEntry {
  return (-1 - word) as PageEntry;
}

/** The word of a same-filled page, for codecs outside the core. */
function sameFilledWord(page: Uint8Array): number | undefined {
  for (let at = 4; at < PAGE_SIZE; at++) {
    if (page[at] !== page[at - 4]) return undefined;
  }
  return new DataView(page.buffer, page.byteOffset, 4).getUint32(0, true);
}

/** The options that an allocator has beside those of all pools. */
export const ALLOCATOR_OPTIONS: Record<AllocatorName, readonly (keyof ZpoolOptions)[]> = {
  zbud: ['layout'],
  z3fold: ['deferred'],
  zsmalloc: ['chainSize', 'chainRule', 'fullnessGroups'],
  xvmalloc: [],
  xcfmalloc: ['blocks', 'reserve'],
};

/** The three option words of a pool (assembly/zpool.ts zpoolCreate). EINVAL for a bad value or another allocator's option. */
export function optionWords(allocator: AllocatorName, options: ZpoolOptions): [number, number, number] {
  const op = 'ram.zpool';
  requireOptions(op, options, ['name', 'evict', ...ALLOCATOR_OPTIONS[allocator]]);
  const pick = <T>(name: string, value: T | undefined, choices: Map<T, number>, otherwise: T): number => {
    const word = choices.get(value ?? otherwise);
    if (word === undefined) throw new CompcacheError('EINVAL', op, `${name} must be ${[...choices.keys()].map(show).join(' or ')}, not ${show(value)}`);
    return word;
  };
  if (options.evict !== undefined && typeof options.evict !== 'function') throw new CompcacheError('EINVAL', op, 'evict must be a function');
  if (allocator === 'zbud') return [pick('layout', options.layout, new Map([['6.1', 1], ['2013', 0]]), '6.1'), 0, 0];
  if (allocator === 'z3fold') return [pick('deferred', options.deferred, new Map([['afterFree', 0], ['manual', 1]]), 'afterFree'), 0, 0];
  if (allocator === 'xvmalloc') return [0, 0, 0];
  if (allocator === 'xcfmalloc') {
    const reserve = options.reserve ?? 32;
    if (!isU32(reserve) || reserve > 1024) throw new CompcacheError('EINVAL', op, `reserve must be 0 to 1024, not ${show(reserve)}`);
    return [pick('blocks', options.blocks, new Map([[1, 1], [2, 2]]), 2), reserve, 0];
  }
  const chain = options.chainSize ?? 8;
  if (!isU32(chain) || chain < 1 || chain > 16) throw new CompcacheError('EINVAL', op, `chainSize must be 1 to 16, not ${show(chain)}`);
  return [
    chain,
    pick('chainRule', options.chainRule, new Map([['bytes', 0], ['percent', 1]]), 'bytes'),
    pick('fullnessGroups', options.fullnessGroups, new Map([[12, 12], [4, 4]]), 12),
  ];
}
