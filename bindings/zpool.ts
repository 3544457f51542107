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

/** Called by shrink for each object of a victim. See ZpoolOptions.evict. */
export type EvictCallback = EvictCallbackOf<Zpool>;
/** Options of a new pool. */
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
 * One pool of objects in a RAM. Use {@link Ram.zpool}, {@link Ram.pools} or {@link Ram.openZpool} to get one.
 *
 * Errors of every method: EINVAL for an argument that is not a whole number from 0 to 2^32 - 1, or a handle that was
 * never given out, was freed, or belongs to another pool; ECLOSED after destroy, close, or closing the RAM. A call that
 * throws changes nothing.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Zpool {
  readonly #allocator: AllocatorName;
  readonly #name: string;
  readonly #owner: Owner;
  #core: Core;
  /** Address of the pool's header, for calls that only read; 0 when the pool is gone. */
  #address: number;
  /** The same for calls that change the pool; also 0 while a front end holds it: then the core refuses them. */
  #own: number;
  #evict: EvictCallback | undefined;
  #pages: PageTable | undefined;
  /** For codecs that are not from the core. */
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
      setFrontOwned: (pool) => void (pool.#own = 0),
      compact: (op, pool, victims = NO_LIMIT) =>
        pool.#number(op, pool.#core.exports.zpoolCompact(pool.#address, victims)),
      compactFrom: (op, pool, cursor, most) => {
        const frames = pool.#number(op, pool.#core.exports.zpoolCompactFrom(pool.#address, cursor, most));
        return { frames, cursor: pool.#core.out[OUT_CURSOR] as number };
      },
      destroy: (op, pool) => pool.#destroy(op),
      detach: (pool) => pool.#detach(),
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

  /** True when shrink can evict. All allocators can. */
  get evictable(): boolean {
    return true;
  }

  /** True when a caller may sleep while it holds a map: false only for zsmalloc, as in the kernel. */
  get canSleepMapped(): boolean {
    return rowOf(this.#allocator).canSleepMapped;
  }

  /** True when compact() can move objects. */
  get mallocSupportMovable(): boolean {
    return rowOf(this.#allocator).isMovable;
  }

  #detach(): void {
    this.#address = 0;
    this.#own = 0;
    this.#core = closedCore();
    if (this.#pages !== undefined) pageTables.detach(this.#pages);
  }

  /** Called before changes that are not a single call of the core. EBUSY, ECLOSED. */
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
   * @throws EBUSY while it is mapped (also inside an evict callback)
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

  /** The size of an object in bytes, as given to malloc. */
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
   * Copies bytes into an object. For zsmalloc, this makes its zspage the most recently used one. While the object is
   * mapped through a buffer, the bytes go to the buffer. They are then written back whatever the mode of the map.
   * @param bytes any length that fits; shared memory is copied, a view of a detached buffer gives EINVAL
   * @param at first byte in the object, default 0
   * @throws ERANGE when at + bytes.length exceeds the object: nothing is written
   */
  write(handle: Handle, bytes: Uint8Array, at = 0): void {
    if (!isU32(handle)) notAHandle('zpool.write', handle);
    requireBytes('zpool.write', 'bytes', bytes);
    requireU32('zpool.write', 'at', at);
    const length = lengthOf(bytes);
    const { exports, page } = this.#core;
    // More bytes than a page fit no object: the core returns an error. (`page` has no bytes after close.)
    if (length <= page.length) copyIn('zpool.write', 'bytes', page, bytes);
    const result = exports.zpoolWrite(this.#own, handle | 0, at | 0, length) >>> 0;
    if (result !== 0) throw this.#refusal('zpool.write', result, handle);
  }

  /**
   * Reads an object. While it is mapped through a buffer, the bytes come from the buffer.
   * @param into the bytes are written to its start. Default: a new array of exactly the right length
   * @param at first byte of the object to read, default 0
   * @returns exactly the object's bytes from `at` on; a view of `into` when it was given
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
   * Maps an object: returns a view of exactly its bytes, valid until unmap. In hot code, use read and write instead.
   *
   * The maps of an object are counted. An object that spans two frames is mapped through a buffer, which all its maps
   * share. The last unmap writes the buffer back if any map was 'rw' or 'wo'. If the first map of such an object is
   * 'wo', the buffer starts with zeros. After unmap the view must not be used, posted or cloned.
   * @throws ENOMEM without a frame for the buffer (xvmalloc: for the record of a second mapped object of a frame);
   *   EBUSY at 1023 maps of a zsmalloc or z3fold object, 65535 of a zbud, xvmalloc or xcfmalloc object
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

  /** The place of an object's data. Compaction changes it, unless the object is mapped. */
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
   * With a codec of the core (lz4, the default, or lz4hc) this is one call into the core: same-filled test, compress,
   * malloc, copy. When the block would be larger than the allocator's largest object, the page is stored uncompressed,
   * in a whole frame if needed.
   * @param codec default lz4; a codec that is not from the core must also be given to loadPage
   * @returns an entry for loadPage and freePage: a handle of this pool, or a negative number for a same-filled page
   * @throws EINVAL unless page has 4096 bytes; ENOMEM without a frame; EIO for a codec with an invalid result
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
   * @param entry the result of storePage
   * @param into 4096 bytes
   * @param codec the codec that stored the page; default: the core's codecs, which decode each other's blocks
   * @throws EINVAL for a bad entry or into; EIO when the object is not a page of that codec
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

  /** Frees a stored page. A same-filled page takes no memory. @throws EBUSY while it is mapped */
  freePage(entry: PageEntry): void {
    if (typeof entry === 'number' && entry < 0 && isU32(-1 - entry)) {
      if (this.#isGone()) throw this.#closed('zpool.freePage');
      return;
    }
    this.#free('zpool.freePage', entry);
  }

  /**
   * The pool's page table: it finds pages by key. The first call makes it. It lies in the RAM, so an image contains it.
   * A pool has at most one. Objects and entries of malloc and storePage are not in it.
   * @param keys 'dense' for keys that are close together (up to 2^32 - 1), 'sparse' for any keys up to 2^53 - 1.
   *   Default: the kind of the existing table, or 'dense' for a new one
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
   * Evicts objects, least recently used first, until at least `pages` frames came back. Calls the evict callback for
   * each object of a victim, in the allocator's order. The callback frees the object. A victim with an object that was
   * not freed moves to the front of the LRU list and counts as one of eight tries. A victim with a mapped object is
   * skipped: it keeps its position and does not count as a try.
   * @param pages frames wanted; 0 does nothing
   * @returns frames that came back. A zspage may give back several more than were wanted. For xcfmalloc, frames
   *   also count that are empty because they held second blocks of evicted objects
   * @throws only when no frame came back: EINVAL when nothing is evictable, there is no evict callback, or it returns a
   *   Promise; EAGAIN after eight tries (the callback's last error is the cause), or after 256 tries of nested shrinks
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
   * Moves objects so that frames become free.
   * @param options.victims the most zspages to empty in this call (z3fold: frames, after its deferred work; xcfmalloc:
   *   frames); default: no limit. It limits only the moves: z3fold and xcfmalloc look at all their frames in every call
   * @returns frames given back; 0 for zbud and xvmalloc, which cannot move objects
   * @see Linux 6.4 mm/zsmalloc.c zs_compact (12 groups), 6.1 (4 groups); 6.1 mm/z3fold.c do_compact_page
   */
  compact(options?: { victims?: number }): number {
    const op = 'zpool.compact';
    const victims = takeVictims(op, options);
    this.#requireOwn(op);
    return this.#number(op, this.#core.exports.zpoolCompact(this.#own, victims));
  }

  /** The most frames that compact() would give back; fewer when objects are mapped, and a few fewer for xcfmalloc. */
  freeable(): number {
    return this.#number('zpool.freeable', this.#core.exports.zpoolFreeable(this.#address));
  }

  /** Does the deferred work of earlier frees. Only z3fold with deferred: 'manual' has such work. */
  runDeferred(): void {
    this.#requireOwn('zpool.runDeferred');
    this.#number('zpool.runDeferred', this.#core.exports.zpoolRunDeferred(this.#own, 1));
  }

  // ── statistics ─────────────────────────────────────────────────────────────

  /** Frames of objects, including xcfmalloc's reserve. */
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
   * Visits every frame with objects, in frame order, with the contents of the frame. The callback may use the pool. Its
   * changes to frames that were not visited yet are seen.
   * @throws the errors of the callback; EINVAL when it returns a Promise
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

  // ── destroying ─────────────────────────────────────────────────────────────

  /**
   * Destroys the pool and frees its objects: all its frames go back to the RAM.
   * @throws EBUSY while an object is mapped or an evict callback runs, or for the pool of a zswap or ramzswap; ECLOSED
   *   the second time
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
    this.#detach();
    this.#owner.forget(this.#name);
  }

  /** As destroy(), but does nothing when the pool is destroyed already. */
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

  /** The error for a failed call of the core. `what` is the size or handle that was passed to the call. */
  #failure(op: string, result: number, what: number): CompcacheError {
    if (this.#isGone()) return this.#closed(op);
    const code = codeOf(result);
    return failureOf(this.#core, this.#address, this.#name, op, code, what);
  }

  /** The error for a failed call that changes the pool. EBUSY for the pool of a front end. */
  #refusal(op: string, result: number, what: number): CompcacheError {
    const isHeld = this.#own === 0 && !this.#isGone();
    return isHeld
      ? new CompcacheError('EBUSY', op, `pool ${show(this.#name)} belongs to a front end: only that may change it`)
      : this.#failure(op, result, what);
  }
}
