/** Pages of a pool with a codec that is not from the core: the codec compresses, then malloc and write are called. */
import { copyOf, copyOut } from './bytes.ts';
import type { ForeignCodec } from './codec/foreign.ts';
import { ERRNO_MIN, type CompcacheError } from './errors.ts';
import type { PagesOf } from './page-table.ts';
import type { PageEntry } from './plain-types.ts';
import { sameFilledEntry, sameFilledWord } from './same-filled.ts';
import { PAGE_SIZE, type Core } from './wasm.ts';

/** The pool at the moment of each call: a codec may close the pool or its RAM. */
export interface PoolNow {
  core(): Core;
  /** Address of the pool's header, for calls that change the pool; 0 when the core must refuse them. */
  own(): number;
  /** The bytes of an object. @throws as zpool.read */
  read(op: string, handle: number): Uint8Array;
  /** The error for a failed call that changes the pool. */
  refusal(op: string, result: number, what: number): CompcacheError;
}

/** zpool.storePage with a foreign codec. */
export function storeWith(pool: PoolNow, op: string, given: Uint8Array, codec: ForeignCodec): PageEntry {
  const page = copyOf(op, 'page', given);
  const word = sameFilledWord(page);
  if (word !== undefined) return sameFilledEntry(word);
  const most = Math.min(pool.core().exports.zpoolMax(pool.own()) >>> 0, PAGE_SIZE - 1);
  const bytes = codec.compress(op, page, most) ?? page;
  const { exports, page: buffer } = pool.core();
  const own = pool.own();
  const handle = (bytes !== page ? exports.zpoolMalloc(own, bytes.length) : exports.zpoolMallocRaw(own)) >>> 0;
  if (handle >= ERRNO_MIN) throw pool.refusal(op, handle, bytes.length);
  buffer.set(bytes);
  exports.zpoolWrite(own, handle | 0, 0, bytes.length);
  return handle as PageEntry;
}

/** zpool.loadPage with a foreign codec, for a page with an object. */
export function loadWith(pool: PoolNow, op: string, entry: PageEntry, into: Uint8Array, codec: ForeignCodec): void {
  const stored = pool.read(op, entry);
  copyOut(op, 'into', into, stored.length === PAGE_SIZE ? stored : codec.decompress(op, stored));
}

/** The same for any entry, also that of a same-filled page. */
function loadAny(pool: PoolNow, op: string, entry: PageEntry, into: Uint8Array, codec: ForeignCodec): void {
  if (entry >= 0) return loadWith(pool, op, entry, into, codec);
  const core = pool.core();
  core.exports.pageFill(-1 - entry);
  copyOut(op, 'into', into, core.page);
}

/** The functions that the pool's page table needs. */
export function pagesOf(pool: PoolNow, name: string): PagesOf {
  return {
    name,
    storeWith: (op, page, codec) => storeWith(pool, op, page, codec),
    loadWith: (op, entry, into, codec) => loadAny(pool, op, entry, into, codec),
  };
}
