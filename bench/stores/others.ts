/** Alternatives to compcache. */
import { mkdtempSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PAGE_SIZE, type Codec } from '../../bindings/index.ts';
import { BLOCK_ROOM } from '../../cli/bench/codec.ts';
import { peer } from '../peers.ts';
import type { Store } from './types.ts';

/** A map of copies. */
export function mapOfBuffers(): Store {
  const pages = new Map<number, Buffer>();
  return { put: (number, page) => pages.set(number, Buffer.from(page)), get: (number) => pages.get(number) as Buffer };
}

interface Blocks {
  get(number: number): Uint8Array | undefined;
  set(number: number, block: Uint8Array): unknown;
}

/**
 * A map of blocks, or an object with a map's methods. Each block is an array of exactly its length. get writes the page
 * into the caller's buffer.
 */
export function mapOfBlocks(codec: Codec, blocks: Blocks = new Map<number, Uint8Array>()): Store {
  const buffer = Buffer.alloc(BLOCK_ROOM);
  return {
    put: (number, page) => blocks.set(number, Buffer.from(buffer.subarray(0, codec.compress(page, buffer)))),
    get: (number, into) => {
      codec.decompress(blocks.get(number) as Uint8Array, into);
      return into;
    },
  };
}

/** The same in its most common form: each get returns a new buffer. */
export function mapOfBlocksToBuffers(codec: Codec): Store {
  const { put, get } = mapOfBlocks(codec);
  return { put, get: (number) => get(number, Buffer.allocUnsafe(PAGE_SIZE)) };
}

/** lru-cache with a limit in bytes that is never reached. */
export function lruCache(codec: Codec, pages: number): Store | undefined {
  const module = peer<{ LRUCache: new (options: object) => Blocks }>('lru-cache');
  if (module === undefined) return undefined;
  const sizeCalculation = (block: Uint8Array): number => block.length;
  return mapOfBlocks(codec, new module.LRUCache({ maxSize: pages * PAGE_SIZE, sizeCalculation }));
}

/** lmdb with its own compression, on a RAM file system if there is one. */
export function lmdb(): Store | undefined {
  interface Database {
    put(key: number, value: Uint8Array): Promise<unknown>;
    get(key: number): Uint8Array;
    flushed: Promise<unknown>;
  }
  const module = peer<{ open(options: object): Database }>('lmdb');
  if (module === undefined) return undefined;
  const path = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'compcache-bench-'));
  process.on('exit', () => rmSync(path, { recursive: true, force: true }));
  const database = module.open({
    path: join(path, 'pages'),
    compression: true,
    encoding: 'binary',
    keyEncoding: 'uint32',
    noSync: true,
  });
  let last: Promise<unknown> = Promise.resolve();
  return {
    put: (number, page) => (last = database.put(number, Buffer.from(page))),
    get: (number) => database.get(number),
    settle: () => last,
  };
}

/** keyv on its own map. */
export function keyv(): Store | undefined {
  interface Keyv {
    set(key: string, value: Buffer): Promise<unknown>;
    get(key: string): Promise<Buffer>;
  }
  const module = peer<{ Keyv: new () => Keyv }>('keyv');
  if (module === undefined) return undefined;
  const pages = new module.Keyv();
  return {
    awaits: true,
    put: (number, page) => pages.set(String(number), page),
    get: (number) => pages.get(String(number)),
  };
}
