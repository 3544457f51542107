/** Subjects for mutation-use.ts: a zswap or ramzswap over a store in memory, with pages of every kind. */
import {
  MemoryStore,
  PAGE_SIZE,
  Ram,
  Ramzswap,
  Zswap,
  loadCodec,
  type AllocatorName,
  type Codec,
} from '../../bindings/index.ts';
import { filledPage, pageOf, rawPage } from '../front/pages.ts';
import { must, sameBytes } from '../harness.ts';
import { allowing, type Loss, type Subject } from './mutation-use.ts';

/** Makes the RAM without random numbers, so that two subjects are equal. */
async function withoutChance<T>(make: () => Promise<T>): Promise<T> {
  const { random } = Math;
  Math.random = () => 0.37;
  try {
    return await make();
  } finally {
    Math.random = random;
  }
}

function somePage(n: number): Uint8Array {
  return n % 5 === 0 ? filledPage(n) : n % 7 === 3 ? rawPage(n) : pageOf(n);
}

const into = new Uint8Array(PAGE_SIZE);

/** Whether a page is lost. With `loss` it may be gone or different, because its block may have been changed. */
function isLost(loss: Loss, what: string, expected: Uint8Array, load: () => boolean): boolean {
  const found = allowing(loss === 'nothing' ? [] : ['EIO'], load);
  if (found === true && sameBytes(into, expected)) return false;
  must(loss !== 'nothing', `${what} is ${found === true ? 'another' : 'gone'}`);
  return true;
}

class ZswapSubject implements Subject {
  readonly title: string;
  readonly ram: Ram;
  readonly fresh: () => Promise<Subject>;
  readonly #zswap: Zswap;
  readonly #pages = new Map<number, Uint8Array>();

  constructor(title: string, zswap: Zswap, fresh: () => Promise<Subject>) {
    this.title = title;
    this.ram = zswap.ram;
    this.fresh = fresh;
    this.#zswap = zswap;
    const half = (from: number): void => {
      for (let n = from; n < from + 20; n++) {
        must(zswap.store(n % 2, n * 77, somePage(n)), 'a page was refused');
        this.#pages.set(n, somePage(n));
      }
      zswap.writeback(6);
    };
    half(0);
    zswap.codec = 'lz4hc';
    half(20);
    for (const n of [3, 11, 24]) {
      zswap.invalidatePage(n % 2, n * 77);
      this.#pages.delete(n);
    }
  }

  #verify(loss: Loss): void {
    for (const [n, page] of this.#pages) {
      if (isLost(loss, `page ${n}`, page, () => this.#zswap.load(n % 2, n * 77, into))) this.#pages.delete(n);
    }
  }

  #store(n: number, page: Uint8Array): void {
    if (this.#zswap.store(n % 2, n * 77, page)) this.#pages.set(n, page);
    else this.#pages.delete(n);
  }

  async use(loss: Loss): Promise<void> {
    const zswap = this.#zswap;
    this.#verify(loss);
    for (let n = 30; n < 46; n++) this.#store(n, somePage(n + 500));
    zswap.check();
    for (const n of [1, 9, 33, 45]) {
      zswap.invalidatePage(n % 2, n * 77);
      this.#pages.delete(n);
    }
    allowing(['EAGAIN'], () => zswap.writeback(5));
    zswap.check();
    this.#verify(loss);
    zswap.allocator = zswap.allocator === 'zbud' ? 'z3fold' : 'zbud';
    for (let n = 0; n < 8; n++) this.#store(n, somePage(n + 900));
    allowing(['EAGAIN'], () => zswap.shrink(2));
    zswap.check();
    this.#verify(loss);
    zswap.invalidateArea(0);
    for (const n of this.#pages.keys()) if (n % 2 === 0) this.#pages.delete(n);
    zswap.check();
    this.#verify(loss);
    zswap.invalidateArea(1);
    zswap.check();
    // A key that was changed may be in no area that was asked for.
    must(loss !== 'nothing' || zswap.stats().storedPages + zswap.stats().backingPages === 0, 'pages are left');
    await zswap.close();
    this.ram.check();
    must(loss !== 'nothing' || this.ram.pools().length === 0, 'pools are left');
  }

  reset(): void {
    this.#pages.clear();
  }
}

export async function zswapSubject(allocator: AllocatorName, victims: 'entry' | 'page'): Promise<Subject> {
  const fresh = async (): Promise<Subject> => {
    const zswap = await withoutChance(() =>
      Zswap.create({
        ram: Ram.createSync({ bytes: '1MiB' }),
        allocator,
        victims,
        store: new MemoryStore({ slots: 300 }),
        zpool: allocator === 'xcfmalloc' ? { reserve: 2 } : {},
      }),
    );
    return new ZswapSubject(`zswap, ${allocator}, victims ${victims}`, zswap, fresh);
  };
  return fresh();
}

class RamzswapSubject implements Subject {
  readonly title: string;
  readonly ram: Ram;
  readonly fresh: () => Promise<Subject>;
  readonly #device: Ramzswap;
  readonly #pages = new Map<number, Uint8Array>();

  constructor(title: string, device: Ramzswap, fresh: () => Promise<Subject>) {
    this.title = title;
    this.ram = device.ram;
    this.fresh = fresh;
    this.#device = device;
    for (let n = 0; n < 30; n++) this.#write(n * 41, somePage(n));
    device.markIdle();
    for (let n = 0; n < 30; n += 3) device.readPage(n * 41, into);
    device.writeback('idle');
    for (let n = 30; n < 44; n++) this.#write(n * 41, somePage(n));
    device.recompress({ threshold: 3000 });
    for (const n of [5, 31]) this.#drop(n * 41);
  }

  #write(index: number, page: Uint8Array): void {
    if (
      allowing(['ENOMEM', 'ENOSPC'], () => {
        this.#device.writePage(index, page);
        return true;
      }) === true
    )
      this.#pages.set(index, page);
  }

  #drop(index: number): void {
    this.#device.freeNotify(index);
    this.#pages.delete(index);
  }

  #verify(loss: Loss): void {
    for (const [index, page] of this.#pages) {
      if (
        isLost(loss, `page ${index}`, page, () => {
          this.#device.readPage(index, into);
          return true;
        })
      )
        this.#pages.delete(index);
    }
  }

  async use(loss: Loss): Promise<void> {
    const device = this.#device;
    const codes = loss === 'nothing' ? [] : ['EIO'];
    this.#verify(loss);
    for (let n = 25; n < 40; n++) this.#write(n * 41, somePage(n + 500));
    device.check();
    for (const n of [1, 9, 33]) this.#drop(n * 41);
    device.markIdle();
    allowing(codes, () => device.recompress({ type: 'idle' }));
    device.check();
    this.#verify(loss);
    device.markIdle();
    for (let n = 0; n < 10; n++) this.#write(n * 41, somePage(n + 700));
    allowing(codes, () => device.writeback('idle'));
    device.compact();
    device.check();
    this.#verify(loss);
    device.discard(0, 1000);
    for (const index of this.#pages.keys()) if (index < 1000) this.#pages.delete(index);
    device.check();
    this.#verify(loss);
    device.reset();
    this.ram.check();
    await device.close();
    this.ram.check();
  }

  reset(): void {
    this.#pages.clear();
  }
}

export async function ramzswapSubject(allocator: AllocatorName): Promise<Subject> {
  const deflate: Codec = await loadCodec('deflate');
  const fresh = async (): Promise<Subject> => {
    const device = await withoutChance(() =>
      Ramzswap.create({
        ram: Ram.createSync({ bytes: '1MiB' }),
        disksize: 2000 * PAGE_SIZE,
        allocator,
        recompCodecs: [deflate],
        backing: new MemoryStore({ slots: 300 }),
        clock: () => 5,
        zpool: allocator === 'xcfmalloc' ? { reserve: 2 } : {},
      }),
    );
    return new RamzswapSubject(`ramzswap, ${allocator}`, device, fresh);
  };
  return fresh();
}
