/** Subjects for mutation-use.ts: a pool of each allocator with objects and pages, alone in a small RAM. */
import { PAGE_SIZE, type Handle, type PageTable, type Ram, type Zpool } from '../../bindings/index.ts';
import { rams } from '../../bindings/ram.ts';
import { zpools } from '../../bindings/zpool.ts';
import { createPool, createRam, must, noise, sameBytes, type AllocatorRow } from '../harness.ts';
import { createDraw } from '../models/trace.ts';
import { allowing, type Loss, type Subject } from './mutation-use.ts';

const OBJECTS = 40;
const KEYS = 12;

function pageOf(seed: number): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  page.set(noise(200 + ((seed * 331) % 1200), seed));
  return page;
}

class PoolSubject implements Subject {
  readonly title: string;
  readonly ram: Ram;
  readonly #row: AllocatorRow;
  readonly #pool: Zpool;
  readonly #table: PageTable;
  readonly #objects = new Map<Handle, Uint8Array>();
  readonly #pages = new Map<number, Uint8Array>();
  /** The live objects during `use`. */
  #live = new Map<Handle, Uint8Array>();

  constructor(ram: Ram, row: AllocatorRow, keys: 'dense' | 'sparse', seed: number) {
    this.title = `${row.title}, ${keys} keys`;
    this.ram = ram;
    this.#row = row;
    this.#pool = createPool(ram, row, {
      evict: (handle, pool) => {
        this.#live.delete(handle);
        pool.free(handle);
      },
    });
    this.#table = this.#pool.pageTable(keys);
    const draw = createDraw(seed);
    // A pool that was destroyed, so that frames are on the free list.
    const gone = createPool(ram, row);
    for (let i = 0; i < 8; i++) gone.malloc(1000 + i);
    gone.destroy();
    const handles: Handle[] = [];
    for (let i = 0; i < OBJECTS * 2; i++) {
      const handle = this.#malloc(1 + (draw() % (i % 3 === 0 ? row.largest : 700)), i, this.#objects);
      if (handle !== undefined) handles.push(handle);
      if (i % 2 === 1) {
        const [out] = handles.splice(draw() % handles.length, 1) as [Handle];
        this.#pool.free(out);
        this.#objects.delete(out);
      }
    }
    // Free records, descriptors and slots.
    for (let i = 0; i < OBJECTS / 4; i++) {
      const [out] = handles.splice(draw() % handles.length, 1) as [Handle];
      this.#pool.free(out);
      this.#objects.delete(out);
    }
    this.#pool.storePage(noise(PAGE_SIZE, 99));
    for (let i = 0; i < KEYS; i++) {
      const page = i % 4 === 0 ? new Uint8Array(PAGE_SIZE).fill(i) : pageOf(i);
      this.#table.put(i * 1009, page);
      this.#pages.set(i * 1009, page);
    }
  }

  reset(): void {
    this.#live = new Map();
  }

  #malloc(size: number, seed: number, into: Map<Handle, Uint8Array>): Handle | undefined {
    const handle = allowing(['ENOMEM'], () => this.#pool.malloc(size));
    if (handle === undefined) return undefined;
    must(!into.has(handle), `handle ${handle} came twice`);
    const bytes = noise(size, seed);
    this.#pool.write(handle, bytes);
    into.set(handle, bytes);
    return handle;
  }

  /** Requires that every object is unchanged. With `loss` one may be gone, or have one changed word. */
  #verify(loss: Loss): void {
    let lost = 0;
    for (const [handle, bytes] of this.#live) {
      const found = allowing(loss === 'object' ? ['EINVAL'] : [], () => this.#pool.read(handle));
      if (found === undefined) {
        this.#live.delete(handle);
      } else if (!sameBytes(found, bytes)) {
        must(
          loss !== 'nothing' &&
            lost++ === 0 &&
            found.length === bytes.length &&
            found.filter((byte, i) => byte !== bytes[i]).length <= 4,
          `object ${handle} has other bytes`,
        );
        this.#live.set(handle, found);
      }
    }
  }

  #verifyPages(loss: Loss, expected: Map<number, Uint8Array>): void {
    let lost = 0;
    const into = new Uint8Array(PAGE_SIZE);
    for (const [key, page] of expected) {
      const found = allowing(loss === 'nothing' ? [] : ['EIO'], () => this.#table.get(key, into));
      if (found === true && sameBytes(into, page)) continue;
      must(loss !== 'nothing' && lost++ === 0, `page ${key} is ${found === true ? 'another' : 'gone'}`);
      expected.delete(key);
    }
  }

  use(loss: Loss): void {
    const pool = this.#pool;
    const live = (this.#live = new Map(this.#objects));
    const pages = new Map(this.#pages);
    const draw = createDraw(5);
    const handles = (): Handle[] => [...live.keys()];
    const pick = (): Handle => handles()[draw() % live.size] as Handle;
    this.#verify(loss);
    this.#verifyPages(loss, pages);
    for (let i = 0; i < 24; i++) {
      this.#malloc(
        i % 4 === 0 ? (this.#row.edges[draw() % this.#row.edges.length] as number) : 1 + (draw() % 1500),
        1000 + i,
        live,
      );
      if (i % 2 === 0) {
        const handle = pick();
        pool.free(handle);
        live.delete(handle);
      }
    }
    this.ram.check();
    for (let i = 0; i < 6; i++) {
      const handle = pick();
      const view = allowing(['ENOMEM'], () => pool.map(handle, i % 2 === 0 ? 'rw' : 'ro'));
      if (view === undefined) continue;
      if (i % 2 === 0) {
        view.set(noise(view.length, i));
        live.set(handle, noise(view.length, i));
      }
      this.ram.check();
      pool.unmap(handle);
    }
    for (let i = 0; i < 3; i++) {
      const entry = allowing(['ENOMEM'], () => pool.storePage(i === 0 ? noise(PAGE_SIZE, 7) : pageOf(70 + i)));
      const into = new Uint8Array(PAGE_SIZE);
      if (entry === undefined) continue;
      pool.loadPage(entry, into);
      must(sameBytes(into, i === 0 ? noise(PAGE_SIZE, 7) : pageOf(70 + i)), 'a page is another');
      pool.freePage(entry);
    }
    this.#verify(loss);
    this.ram.check();
    this.#verifyPages(loss, pages);
    for (const key of [...pages.keys()].slice(0, 3)) {
      if (
        allowing(['ENOMEM'], () => {
          this.#table.put(key, pageOf(key + 1));
          return true;
        }) === true
      )
        pages.set(key, pageOf(key + 1));
    }
    for (const key of [...pages.keys()].slice(3, 5)) {
      must(this.#table.delete(key), `key ${key} is gone`);
      pages.delete(key);
    }
    this.#verifyPages(loss, pages);
    pool.compact();
    pool.runDeferred();
    this.ram.check();
    this.#verify(loss);
    this.#verifyPages(loss, pages);
    // Pages may be evicted from here on.
    allowing(['EAGAIN', 'EINVAL'], () => pool.shrink(3));
    this.ram.check();
    this.#verify(loss);
    this.#table.clear();
    this.ram.check();
    for (const handle of handles()) pool.free(handle);
    const left = new Set<Handle>();
    pool.walk(({ objects }) => objects.forEach(({ handle }) => left.add(handle)));
    left.forEach((handle) => pool.free(handle));
    pool.runDeferred();
    this.ram.check();
    must(pool.stats().objects === 0, 'objects are left');
    must(rams.core('test', this.ram).exports.zpoolDestroy(zpools.address(pool)) === 0, 'the pool cannot be destroyed');
    this.ram.check();
  }
}

/** A pool of a row in a RAM of 1 or 2 MiB. */
export async function poolSubject(row: AllocatorRow, keys: 'dense' | 'sparse', seed = 11): Promise<Subject> {
  return new PoolSubject(
    await createRam('release', { bytes: row.allocator === 'zsmalloc' ? '2MiB' : '1MiB' }),
    { ...row, options: { ...row.options, ...(row.allocator === 'xcfmalloc' ? { reserve: 3 } : {}) } },
    keys,
    seed,
  );
}
