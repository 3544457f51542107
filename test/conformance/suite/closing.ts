/** After destroy and after close: every call throws ECLOSED, and a second close does nothing. */
import { expect, test } from 'vitest';
import type { Handle, PageEntry, Ram, Zpool } from '../../../bindings/index.ts';
import { createPool, expectIntact, fault, otherRow, put, putAll } from '../../harness.ts';
import type { Subject } from './subject.ts';

const DISPOSE: typeof Symbol.dispose = (Symbol.dispose ?? Symbol.for('Symbol.dispose')) as typeof Symbol.dispose;
const HANDLE = 5 as Handle;
const PAGE = new Uint8Array(4096);

const POOL_CALLS: Record<string, (pool: Zpool) => unknown> = {
  malloc: (pool) => pool.malloc(100),
  free: (pool) => pool.free(HANDLE),
  size: (pool) => pool.size(HANDLE),
  write: (pool) => pool.write(HANDLE, PAGE),
  read: (pool) => pool.read(HANDLE),
  map: (pool) => pool.map(HANDLE, 'ro'),
  unmap: (pool) => pool.unmap(HANDLE),
  locate: (pool) => pool.locate(HANDLE),
  shrink: (pool) => pool.shrink(1),
  compact: (pool) => pool.compact(),
  freeable: (pool) => pool.freeable(),
  runDeferred: (pool) => pool.runDeferred(),
  totalPages: (pool) => pool.totalPages,
  stats: (pool) => pool.stats(),
  walk: (pool) => pool.walk(() => undefined),
  storePage: (pool) => pool.storePage(PAGE),
  loadPage: (pool) => pool.loadPage(HANDLE as number as PageEntry, PAGE),
  freePage: (pool) => pool.freePage(HANDLE as number as PageEntry),
  destroy: (pool) => pool.destroy(),
};

const RAM_CALLS: Record<string, (ram: Ram) => unknown> = {
  snapshot: (ram) => ram.snapshot(),
  snapshotChunks: (ram) => ram.snapshotChunks(),
  zpool: (ram) => ram.zpool('zbud'),
  pools: (ram) => ram.pools(),
  openZpool: (ram) => ram.openZpool('zbud#1'),
  codec: (ram) => ram.codec('lz4'),
  check: (ram) => ram.check(),
  failFrames: (ram) => ram.failFrames(1),
  totalFrames: (ram) => ram.totalFrames,
  freeFrames: (ram) => ram.freeFrames,
  stats: (ram) => ram.stats(),
};

function poolIsClosed(pool: Zpool): void {
  for (const [name, call] of Object.entries(POOL_CALLS))
    fault({ code: 'ECLOSED', op: `zpool.${name}` }, () => call(pool));
  fault({ code: 'ECLOSED', op: 'zpool.totalBytes' }, () => pool.totalBytes);
  fault({ code: 'ECLOSED', op: 'zpool.shrink' }, () => pool.shrink(0));
  fault({ code: 'ECLOSED', op: 'zpool.storePage' }, () => pool.storePage(PAGE.slice().fill(1, 0, 5)));
  fault({ code: 'ECLOSED', op: 'zpool.loadPage' }, () => pool.loadPage(-1 as PageEntry, PAGE));
  fault({ code: 'ECLOSED', op: 'zpool.freePage' }, () => pool.freePage(-1 as PageEntry));
  pool.close();
  pool.close();
  pool[DISPOSE]();
}

export function closing(subject: Subject): void {
  const { row } = subject;

  test('every call of a destroyed pool is ECLOSED', async () => {
    const { ram, pool } = await subject.fresh();
    putAll(pool, [100, 200, 3000]);
    pool.destroy();
    poolIsClosed(pool);
    expect(ram.pools()).toEqual([]);
    ram.check();
  });

  test('every call of a closed or disposed pool is ECLOSED; other pools still work', async () => {
    const ram = await subject.ram();
    const other = createPool(ram, otherRow(row));
    const theirs = putAll(other, [100, 200, 3000]);
    for (const end of [(pool: Zpool) => pool.close(), (pool: Zpool) => pool[DISPOSE]()]) {
      const pool = subject.pool(ram);
      const { handle } = put(pool, 100);
      end(pool);
      poolIsClosed(pool);
      // A new pool in the same frames must not make the old one usable again.
      const next = subject.pool(ram);
      put(next, 100);
      poolIsClosed(pool);
      fault({ code: 'EINVAL', op: 'zpool.size' }, () => next.size(handle));
      next.close();
    }
    expectIntact(other, theirs);
    ram.check();
  });

  test('every call of a closed RAM, its pools and its codec is ECLOSED', async () => {
    for (const end of [(ram: Ram) => ram.close(), (ram: Ram) => ram[DISPOSE]()]) {
      const { ram, pool } = await subject.fresh({}, { evict: (handle, from) => from.free(handle) });
      putAll(pool, [100, 200, 3000]);
      const codec = ram.codec('lz4');
      const chunks = ram.snapshotChunks()[Symbol.iterator]();
      end(ram);
      for (const [name, call] of Object.entries(RAM_CALLS))
        fault({ code: 'ECLOSED', op: `ram.${name}` }, () => call(ram));
      poolIsClosed(pool);
      fault({ code: 'ECLOSED', op: 'codec.compress' }, () => codec.compress(PAGE, PAGE));
      fault({ code: 'ECLOSED', op: 'codec.decompress' }, () => codec.decompress(PAGE, PAGE));
      expect(chunks).toBeDefined();
      ram.close();
      ram[DISPOSE]();
    }
  });

  test('a RAM can be closed while objects are mapped', async () => {
    const { ram, pool } = await subject.fresh();
    const { handle } = put(pool, 100);
    pool.map(handle, 'ro');
    ram.close();
    fault({ code: 'ECLOSED', op: 'zpool.unmap' }, () => pool.unmap(handle));
  });
}
