/** PageTable: pages by key, in a pool. */
import {
  DENSE,
  EINVAL,
  ENOENT,
  FILL,
  HANDLE,
  OUT_KEY_HIGH,
  OUT_KEY_LOW,
  OUT_PLACE,
  OUT_VALUE,
  SPARSE,
} from '../assembly/abi.ts';
import { copyIn, copyOut } from './bytes.ts';
import { requirePage, takeCodec, type ForeignCodec } from './codec/foreign.ts';
import { CompcacheError, ERRNO_MIN, MAKER, codeOf, isU32, requireMaker, show } from './errors.ts';
import type { Codec, PageEntry } from './plain-types.ts';
import { closedCore, type Core } from './wasm.ts';
import { noFrame } from './zpool-errors.ts';

export type PageTableKeys = 'dense' | 'sparse';

/** The core's numbers for the kinds of page tables. */
export const SHAPES: Record<PageTableKeys, number> = { dense: DENSE, sparse: SPARSE };

/**
 * The kind of keys for a table. Default: the kind of the existing table, or 'dense' for a new one.
 * @param shape returns the core's number for the pool's table, 0 when there is none; called after `keys` was checked
 * @throws EINVAL for an unknown kind, EEXIST when the table of pool `name` has the other kind
 */
export function wantedKeys(
  op: string,
  keys: PageTableKeys | undefined,
  shape: () => number,
  name: string,
): PageTableKeys {
  if (keys !== undefined && keys !== 'dense' && keys !== 'sparse')
    throw new CompcacheError('EINVAL', op, `keys must be 'dense' or 'sparse', not ${show(keys)}`);
  const has = shape();
  const is = (Object.keys(SHAPES) as PageTableKeys[]).find((each) => SHAPES[each] === has);
  if (is !== undefined && keys !== undefined && keys !== is)
    throw new CompcacheError('EEXIST', op, `the page table of pool ${show(name)} is ${is}`);
  return keys ?? is ?? 'dense';
}

/** Functions of page tables that only this package may call. @internal */
export interface PageTableAccess {
  make<Pool>(pool: Pool, pages: PagesOf, core: Core, address: number, keysAre: PageTableKeys): PageTableOf<Pool>;
  /** Called when the pool is gone. Every further call gives ECLOSED, and the memory is released. */
  detach(table: PageTableOf<unknown>): void;
}

/** What a page table needs of its pool: storePage and loadPage with a codec that is not from the core. @internal */
export interface PagesOf {
  /** Name of the pool. */
  readonly name: string;
  storeWith(op: string, page: Uint8Array, codec: ForeignCodec): PageEntry;
  loadWith(op: string, entry: PageEntry, into: Uint8Array, codec: ForeignCodec): void;
}

/** Not exported from the package. @internal */
export let pageTables: PageTableAccess;

/**
 * A table that finds the pages of a pool by key. The table lies in the RAM. Made by {@link Zpool.pageTable}.
 *
 * A key takes 8 bytes when the keys are close together ('dense'), 20 to 40 bytes when they are not ('sparse'), and no
 * JavaScript object. Storing or loading a page is one call into the core.
 *
 * Errors of every method: EINVAL for a bad key; ECLOSED after the pool is destroyed or its RAM closed. A call that
 * throws changes nothing. When an object is freed or written by its handle (in an evict callback, for example), its
 * page is lost. Its key then counts as absent, but `size` includes the key until a call finds it.
 */
export class PageTableOf<Pool> {
  readonly #pool: Pool;
  readonly #pages: PagesOf;
  readonly #keysAre: PageTableKeys;
  #core: Core;
  readonly #address: number;

  private constructor(maker: unknown, pool: Pool, pages: PagesOf, core: Core, address: number, keysAre: PageTableKeys) {
    requireMaker(maker, 'PageTable', 'pool.pageTable');
    this.#pool = pool;
    this.#pages = pages;
    this.#keysAre = keysAre;
    this.#core = core;
    this.#address = address;
  }

  static {
    pageTables = {
      make: (pool, pages, core, address, keysAre) => new PageTableOf(MAKER, pool, pages, core, address, keysAre),
      detach: (table) => void (table.#core = closedCore()),
    };
  }

  get pool(): Pool {
    return this.#pool;
  }

  /** 'dense': keys 0 … 2^32 - 1, best close together. 'sparse': keys 0 … 2^53 - 1, in any distribution. */
  get keysAre(): PageTableKeys {
    return this.#keysAre;
  }

  /** Keys in the table. */
  get size(): number {
    this.#requireOpen('pageTable.size');
    return this.#core.exports.tableCount(this.#address) >>> 0;
  }

  /**
   * Stores a page under a key, in place of the old page.
   * @param page 4096 bytes
   * @param codec as for {@link Zpool.storePage}; get needs the same codec
   * @throws EINVAL unless page has 4096 bytes; ENOMEM without a frame, EIO for a codec with an invalid result, EBUSY
   *   while the old page's object is mapped: the old page stays
   */
  put(key: number, page: Uint8Array, codec?: Codec): void {
    const op = 'pageTable.put';
    if (!this.#isKey(key)) this.#notAKey(op, key);
    const taken = takeCodec(op, codec);
    requirePage(op, 'page', page);
    this.#requireOpen(op);
    if (typeof taken !== 'number') return this.#putWith(op, key, page, taken);
    const { page: buffer, exports } = this.#core;
    copyIn(op, 'page', buffer, page);
    const result = exports.tablePut(this.#address, key | 0, highOf(key), taken) >>> 0;
    if (result !== 0) throw this.#failure(op, result);
  }

  #putWith(op: string, key: number, page: Uint8Array, codec: ForeignCodec): void {
    const entry = this.#pages.storeWith(op, page, codec);
    const { exports } = this.#core;
    const [value, state] = entry < 0 ? [-1 - entry, FILL] : [entry as number, HANDLE];
    const result = exports.tableSet(this.#address, key | 0, highOf(key), value, state) >>> 0;
    if (result === 0) return;
    const failure = this.#failure(op, result);
    if (state === HANDLE) exports.zpoolFree(this.#address, value | 0);
    throw failure;
  }

  /**
   * Loads the page of a key.
   * @param into 4096 bytes; unchanged when there is no page
   * @returns true when the key has a page
   * @throws EINVAL unless into has 4096 bytes; EIO when the object is not a page of that codec
   */
  get(key: number, into: Uint8Array, codec?: Codec): boolean {
    const op = 'pageTable.get';
    if (!this.#isKey(key)) this.#notAKey(op, key);
    const taken = takeCodec(op, codec);
    requirePage(op, 'into', into);
    if (typeof taken !== 'number') return this.#getWith(op, key, into, taken);
    const { exports, page } = this.#core;
    const result = exports.tableLoad(this.#address, key | 0, highOf(key)) >>> 0;
    if (result >= ERRNO_MIN) {
      if (result === ENOENT) return false;
      throw this.#failure(op, result);
    }
    copyOut(op, 'into', into, page);
    return true;
  }

  #getWith(op: string, key: number, into: Uint8Array, codec: ForeignCodec): boolean {
    const entry = this.#entry(op, key);
    if (entry === undefined) return false;
    this.#pages.loadWith(op, entry, into, codec);
    return true;
  }

  /** The entry of a key, as loadPage takes it: a handle or the number of a same-filled page. */
  #entry(op: string, key: number): PageEntry | undefined {
    const { exports, out } = this.#core;
    const state = exports.tableGet(this.#address, key | 0, highOf(key)) >>> 0;
    if (state === ENOENT) return undefined;
    if (state >= ERRNO_MIN) throw this.#failure(op, state);
    const value = out[OUT_VALUE] as number;
    return (state === FILL ? -1 - value : value) as PageEntry;
  }

  /** True when a key has a page. */
  has(key: number): boolean {
    if (!this.#isKey(key)) this.#notAKey('pageTable.has', key);
    return this.#entry('pageTable.has', key) !== undefined;
  }

  /**
   * Deletes a key and frees its page.
   * @returns true when the key was there
   * @throws EBUSY while the page's object is mapped
   */
  delete(key: number): boolean {
    const op = 'pageTable.delete';
    if (!this.#isKey(key)) this.#notAKey(op, key);
    const result = this.#core.exports.tableDelete(this.#address, key | 0, highOf(key)) >>> 0;
    if (result === ENOENT) return false;
    if (result !== 0) throw this.#failure(op, result);
    return true;
  }

  /** Deletes all keys and frees their pages. @throws EBUSY while an object of the pool is mapped */
  clear(): void {
    const result = this.#core.exports.tableClear(this.#address) >>> 0;
    if (result !== 0) throw this.#failure('pageTable.clear', result);
  }

  /**
   * All keys: ascending when dense, in no order when sparse. A key that is put or deleted during the iteration may be
   * given, given twice, or left out.
   */
  *keys(): IterableIterator<number> {
    for (let place = 0; place < 2 ** 32; place++) {
      const { exports, out } = this.#core;
      const found = exports.tableSeek(this.#address, place) >>> 0;
      if (found === 0) return;
      if (found !== 1) throw this.#failure('pageTable.keys', found);
      place = out[OUT_PLACE] as number;
      yield (out[OUT_KEY_HIGH] as number) * 2 ** 32 + (out[OUT_KEY_LOW] as number);
    }
  }

  // ── errors ─────────────────────────────────────────────────────────────────

  #isKey(key: unknown): key is number {
    return isU32(key) || (this.#keysAre === 'sparse' && Number.isSafeInteger(key) && (key as number) >= 0);
  }

  #notAKey(op: string, key: unknown): never {
    const most = this.#keysAre === 'dense' ? 0xffffffff : Number.MAX_SAFE_INTEGER;
    throw new CompcacheError('EINVAL', op, `key must be a whole number from 0 to ${most}, not ${show(key)}`, {
      detail: { argument: 'key', least: 0, most },
    });
  }

  #requireOpen(op: string): void {
    if (this.#core.bytes.length === 0) throw this.#failure(op, EINVAL);
  }

  #failure(op: string, result: number): CompcacheError {
    if (this.#core.bytes.length === 0)
      return new CompcacheError('ECLOSED', op, `pool ${show(this.#pages.name)} is destroyed or its RAM closed`);
    const code = codeOf(result);
    if (code === 'ENOMEM') return noFrame(op, this.#core);
    if (code === 'EBUSY') return new CompcacheError(code, op, 'an object is mapped');
    return new CompcacheError(code, op, 'the object of this key is not a page that was stored with this codec');
  }
}

/** The upper 32 bits of a key. */
function highOf(key: number): number {
  return key > 0xffffffff ? Math.floor(key / 2 ** 32) : 0;
}
