/// <reference lib="esnext.disposable" preserve="true" />
/** Zpool: one pool of one allocator in a RAM. */
import { COUNT_FRAMES, NO_LIMIT, OUT_CURSOR, OUT_FILL, OUT_SIZE } from '../assembly/abi.ts';
import { rowOf, type AllocatorName } from './allocators.ts';
import { copyIn, copyOut, lengthOf, requireBytes } from './bytes.ts';
import { requirePage, takeCodec } from './codec/foreign.ts';
import { DISPOSE } from './dispose.ts';
import { CompcacheError, ERRNO_MIN, MAKER, codeOf, isU32, requireMaker, requireU32, show } from './errors.ts';
import { SHAPES, pageTables, wantedKeys, type PageTableKeys, type PageTableOf } from './page-table.ts';
import { sameFilledEntry } from './same-filled.ts';
import type {
  Codec,
  EvictCallbackOf,
  FrameContents,
  Handle,
  Location,
  MapMode,
  PageEntry,
  ZpoolOptionsOf,
  ZpoolStats,
} from './plain-types.ts';
import type { ZpoolAccess, ZpoolParts } from './zpool-access.ts';
import { loadWith, pagesOf, storeWith, type PoolNow } from './zpool-codec.ts';
import { failureOf, notAHandle } from './zpool-errors.ts';
import { figuresOf, walkFrames } from './zpool-figures.ts';
import { copyRange, locationAt, modeNumber, requireRead, takeVictims } from './zpool-objects.ts';
import { reclaim, type Owner } from './zpool-reclaim.ts';
import { PAGE_SIZE, closedCore, type Core } from './wasm.ts';

/** Called by shrink for each object of a victim (ZpoolOptions.evict). */
export type EvictCallback = EvictCallbackOf<Zpool>;
/** What a pool is made with. */
export type ZpoolOptions = ZpoolOptionsOf<Zpool>;
/** The page table of a pool. */
export type PageTable = PageTableOf<Zpool>;

/** Not exported from the package. @internal */
export let zpools: ZpoolAccess<Zpool>;

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
  readonly #allocator: AllocatorName;
  readonly #name: string;
  readonly #owner: Owner;
  #core: Core;
  /** Where its header lies, for calls that only look; 0 once it is gone. */
  #address: number;
  /** The same for calls that change it; 0 also while a front end holds it, so that the core refuses them. */
  #own: number;
  #evict: EvictCallback | undefined;
  #pages: PageTable | undefined;
  /** For codecs that are not of the core. */
  readonly #now: PoolNow = {
    core: () => this.#core,
    own: () => this.#own,
    read: (op, handle) => this.#read(op, handle, undefined, 0),
    refusal: (op, result, what) => this.#refusal(op, result, what),
  };

  private constructor(maker: unknown, parts: ZpoolParts<Zpool>) {
    requireMaker(maker, 'Zpool', 'ram.zpool');
    this.#owner = parts.owner;
    this.#core = parts.core;
    this.#address = parts.address;
    this.#own = parts.address;
    this.#evict = parts.evict;
    this.#allocator = parts.allocator;
    this.#name = parts.name;
  }

  static {
    zpools = {
      make: (parts) => new Zpool(MAKER, parts),
      address: (pool) => pool.#address,
      hold: (pool) => void (pool.#own = 0),
      compact: (op, pool, victims = NO_LIMIT) =>
        pool.#number(op, pool.#core.exports.zpoolCompact(pool.#address, victims)),
      compactFrom: (op, pool, cursor, most) => {
        const frames = pool.#number(op, pool.#core.exports.zpoolCompactFrom(pool.#address, cursor, most));
        return { frames, cursor: pool.#core.out[OUT_CURSOR] as number };
      },
      destroy: (op, pool) => pool.#destroy(op),
      orphan: (pool) => pool.#orphan(),
      setEvict: (op, pool, evict) => {
        pool.#requireOwn(op);
        pool.#evict = evict;
      },
      frameCounts: (pool) => pool.#frameCounts(),
    };
  }

  get allocator(): AllocatorName {
    return this.#allocator;
  }
  get name(): string {
    return this.#name;
  }

  /** Whether shrink can evict: true for all allocators. */
  get evictable(): boolean {
    return true;
  }

  /** Whether a holder of a map may sleep: false for zsmalloc only, as in the kernel. */
  get canSleepMapped(): boolean {
    return rowOf(this.#allocator).canSleepMapped;
  }

  /** Whether compact() can move objects. */
  get mallocSupportMovable(): boolean {
    return rowOf(this.#allocator).isMovable;
  }

  #orphan(): void {
    this.#address = 0;
    this.#own = 0;
    this.#core = closedCore();
    if (this.#pages !== undefined) pageTables.orphan(this.#pages);
  }

  /** Before what changes the pool otherwise than by one call of the core. EBUSY, ECLOSED. */
  #requireOwn(op: string): void {
    if (this.#own === 0) throw this.#refusal(op, 0, 0);
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
    const handle = this.#core.exports.zpoolMalloc(this.#own, size | 0) >>> 0;
    if (handle >= ERRNO_MIN) throw this.#refusal('zpool.malloc', handle, size);
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
    if (!isU32(handle)) notAHandle(op, handle);
    const result = this.#core.exports.zpoolFree(this.#own, handle | 0) >>> 0;
    if (result !== 0) throw this.#refusal(op, result, handle);
  }

  /** The bytes that were asked for. */
  size(handle: Handle): number {
    return this.#size('zpool.size', handle);
  }

  #size(op: string, handle: number): number {
    if (!isU32(handle)) notAHandle(op, handle);
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
    if (!isU32(handle)) notAHandle('zpool.write', handle);
    requireBytes('zpool.write', 'bytes', bytes);
    requireU32('zpool.write', 'at', at);
    const length = lengthOf(bytes);
    const { exports, page } = this.#core;
    // More than a page fits no object: the core says so, or that the handle is bad. (The page of a closed RAM has no bytes.)
    if (length <= page.length) copyIn('zpool.write', 'bytes', page, bytes);
    const result = exports.zpoolWrite(this.#own, handle | 0, at | 0, length) >>> 0;
    if (result !== 0) throw this.#refusal('zpool.write', result, handle);
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
    requireRead(op, size, at, into);
    const core = this.#core;
    const from = core.exports.zpoolRange(this.#address, handle | 0, at, size - at, 0) >>> 0;
    if (from >= ERRNO_MIN) throw this.#failure(op, from, handle);
    return copyRange(op, core, from, size - at, into);
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
    if (!isU32(handle)) notAHandle('zpool.map', handle);
    const number = modeNumber(mode);
    const core = this.#core;
    const address = core.exports.zpoolMap(this.#own, handle | 0, number) >>> 0;
    if (address >= ERRNO_MIN) throw this.#refusal('zpool.map', address, handle);
    return new Uint8Array(core.memory.buffer, address, core.out[OUT_SIZE]);
  }

  /** Ends one map of an object. @throws EINVAL also for an object that is not mapped */
  unmap(handle: Handle): void {
    if (!isU32(handle)) notAHandle('zpool.unmap', handle);
    const result = this.#core.exports.zpoolUnmap(this.#own, handle | 0) >>> 0;
    if (result !== 0) throw this.#refusal('zpool.unmap', result, handle);
  }

  /** Where an object's data lie. Moves with compaction, unless the object is mapped. */
  locate(handle: Handle): Location {
    if (!isU32(handle)) notAHandle('zpool.locate', handle);
    const { out, exports } = this.#core;
    const frame = exports.zpoolLocate(this.#address, handle) >>> 0;
    if (frame >= ERRNO_MIN) throw this.#failure('zpool.locate', frame, handle);
    return locationAt(this.#allocator, frame, out);
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
    const op = 'zpool.storePage';
    const taken = takeCodec(op, codec);
    requirePage(op, 'page', page);
    this.#requireOwn(op);
    if (typeof taken !== 'number') return storeWith(this.#now, op, page, taken);
    const core = this.#core;
    copyIn(op, 'page', core.page, page);
    const entry = core.exports.pageStore(this.#own, taken) >>> 0;
    if (entry >= ERRNO_MIN) throw this.#refusal(op, entry, PAGE_SIZE);
    return (entry === 0 ? sameFilledEntry(core.out[OUT_FILL] as number) : entry) as PageEntry;
  }

  /**
   * Loads a stored page.
   * @param entry what storePage gave
   * @param into 4096 bytes
   * @param codec the one that stored it, default the core's, which load each other's pages
   * @throws EINVAL for a bad entry or into; EIO when the object is no page of that codec
   */
  loadPage(entry: PageEntry, into: Uint8Array, codec?: Codec): void {
    const op = 'zpool.loadPage';
    const taken = takeCodec(op, codec);
    requirePage(op, 'into', into);
    const { exports, page } = this.#core;
    if (typeof entry === 'number' && entry < 0) {
      if (!isU32(-1 - entry)) notAHandle(op, entry);
      if (this.#isGone()) throw this.#closed(op);
      exports.pageFill(-1 - entry);
    } else {
      if (!isU32(entry)) notAHandle(op, entry);
      if (typeof taken !== 'number') return loadWith(this.#now, op, entry, into, taken);
      const result = exports.pageLoad(this.#address, entry | 0) >>> 0;
      if (result !== PAGE_SIZE) throw this.#failure(op, result, entry);
    }
    copyOut(op, 'into', into, page);
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
    const shape = (): number => {
      this.#requireOwn(op);
      return this.#core.exports.tableKind(this.#address);
    };
    const wanted = wantedKeys(op, keys, shape, this.#name);
    this.#number(op, this.#core.exports.tableOpen(this.#address, SHAPES[wanted]));
    return (this.#pages ??= pageTables.make(
      this as Zpool,
      pagesOf(this.#now, this.#name),
      this.#core,
      this.#address,
      wanted,
    ));
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
   *   eight tries (the callback's last throw is its cause), or 256 of all shrinks that run inside each other
   * @see Linux 6.1 mm/zbud.c zbud_reclaim_page; 6.2 mm/zsmalloc.c zs_reclaim_page
   */
  shrink(pages: number): number {
    requireU32('zpool.shrink', 'pages', pages);
    this.#requireOwn('zpool.shrink');
    if (pages === 0) return 0;
    const evict = this.#evict;
    if (evict === undefined) throw new CompcacheError('EINVAL', 'zpool.shrink', 'the pool has no evict callback');
    const { exports, out } = this.#core;
    const call = (handle: Handle): unknown => evict(handle, this);
    return reclaim({ exports, out, address: this.#own, owner: this.#owner, evict: call }, pages);
  }

  /**
   * Moves objects so that frames come back.
   * @param options.victims the most zspages to empty in this call (z3fold: frames, after its deferred work; xcfmalloc: frames);
   *   default no limit. It bounds what is moved: z3fold and xcfmalloc look through all their frames in every call
   * @returns frames given back; 0 for zbud and xvmalloc, which cannot move
   * @see Linux 6.4 mm/zsmalloc.c zs_compact (12 groups), 6.1 (4 groups); 6.1 mm/z3fold.c do_compact_page
   */
  compact(options?: { victims?: number }): number {
    const op = 'zpool.compact';
    const victims = takeVictims(op, options);
    this.#requireOwn(op);
    return this.#number(op, this.#core.exports.zpoolCompact(this.#own, victims));
  }

  /** Frames that compact() would give back; it may give back fewer (when objects are mapped; of xcfmalloc a few always), never more. */
  freeable(): number {
    return this.#number('zpool.freeable', this.#core.exports.zpoolFreeable(this.#address));
  }

  /** Does the work that frees have put off. Only z3fold with deferred: 'manual' has any; nothing happens for the others. */
  runDeferred(): void {
    this.#requireOwn('zpool.runDeferred');
    this.#number('zpool.runDeferred', this.#core.exports.zpoolRunDeferred(this.#own, 1));
  }

  // ── statistics ─────────────────────────────────────────────────────────────

  /** Frames of objects; xcfmalloc's reserve is among them. */
  get totalPages(): number {
    return this.#counter('zpool.totalPages', COUNT_FRAMES);
  }

  /** totalPages × 4096. */
  get totalBytes(): number {
    return this.#counter('zpool.totalBytes', COUNT_FRAMES) * PAGE_SIZE;
  }

  #frameCounts(): { frames: number; metadataFrames: number } {
    const op = 'zpool.stats';
    return {
      frames: this.#counter(op, COUNT_FRAMES),
      metadataFrames: this.#number(op, this.#core.exports.zpoolMetadataFrames(this.#address)),
    };
  }

  stats(): ZpoolStats {
    const counts = this.#frameCounts();
    return figuresOf(this.#core, this.#address, this.#allocator, counts);
  }

  /**
   * Visits every frame of objects with what lies in it, in frame order. The callback may use the pool; what it changes
   * in frames still to come is seen.
   * @throws what the callback throws; EINVAL for one that gives a Promise
   */
  walk(visit: (contents: FrameContents) => void): void {
    const op = 'zpool.walk';
    walkFrames(
      op,
      visit,
      (frame) => this.#number(op, this.#core.exports.zpoolWalk(this.#address, frame)),
      () => this.#core,
    );
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
    this.#requireOwn('zpool.destroy');
    this.#destroy('zpool.destroy');
  }

  #destroy(op: string): void {
    const result = this.#core.exports.zpoolDestroy(this.#address) >>> 0;
    if (result !== 0) throw this.#failure(op, result, 0);
    this.#orphan();
    this.#owner.forget(this.#name);
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
    return new CompcacheError('ECLOSED', op, `pool ${show(this.#name)} is destroyed or its RAM closed`);
  }

  #number(op: string, result: number): number {
    result >>>= 0;
    if (result >= ERRNO_MIN) throw this.#failure(op, result, 0);
    return result;
  }

  #counter(op: string, which: number): number {
    const value = this.#core.exports.zpoolCounter(this.#address, which);
    if (value < 0) throw this.#closed(op);
    return value;
  }

  /** The error for a failed call of the core. `what` is the size or handle that the call was given. */
  #failure(op: string, result: number, what: number): CompcacheError {
    if (this.#isGone()) return this.#closed(op);
    const code = codeOf(result);
    return failureOf(this.#core, this.#address, this.#name, op, code, what);
  }

  /** The error for a failed call that would have changed the pool. EBUSY where that is a front end's. */
  #refusal(op: string, result: number, what: number): CompcacheError {
    const isHeld = this.#own === 0 && !this.#isGone();
    return isHeld
      ? new CompcacheError('EBUSY', op, `pool ${show(this.#name)} belongs to a front end, which alone may change it`)
      : this.#failure(op, result, what);
  }
}
