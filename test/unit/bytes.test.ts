/** Byte arrays of callers: their own properties are not trusted, and none of their methods is called. */
import { describe, expect, test } from 'vitest';
import {
  ALLOCATORS,
  CompcacheError,
  PAGE_SIZE,
  Ram,
  loadCodec,
  type Codec,
  type Handle,
  type PageTable,
  type Zpool,
} from '../../bindings/index.ts';
import { noise } from '../harness.ts';

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof CompcacheError) return error.code;
    throw error;
  }
  return 'nothing thrown';
}

/** Arrays of `length` bytes of 7 that lie about themselves. */
function liars(length: number): [name: string, bytes: Uint8Array][] {
  const plain = (): Uint8Array => new Uint8Array(length).fill(7);
  const fail = (): never => {
    throw new Error('a method of the caller was called');
  };
  const methods = Object.fromEntries(
    ['subarray', 'set', 'slice', 'fill', 'copyWithin'].map((name) => [name, { value: fail }]),
  );
  class Species extends Uint8Array {
    static get [Symbol.species](): Uint8ArrayConstructor {
      return fail();
    }
  }
  const own = (name: string, value: unknown): Uint8Array => Object.defineProperty(plain(), name, { get: () => value });
  // Pages that are not cross-origin isolated have no SharedArrayBuffer, but shared memory of WebAssembly.
  const pages = Math.ceil(length / 65536);
  const shared = new Uint8Array(
    new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer,
    0,
    length,
  ).fill(7);
  return [
    ['methods of its own', Object.defineProperties(plain(), methods)],
    ['a species of its own', new Species(length).fill(7)],
    ['another length', own('length', 1 << 20)],
    ['no length', own('length', 0)],
    ['another byteLength', own('byteLength', 1 << 20)],
    ['another buffer', own('buffer', new ArrayBuffer(1 << 20))],
    ['another offset', own('byteOffset', 5)],
    ['no prototype', Object.setPrototypeOf(plain(), null) as Uint8Array],
    ['shared memory', shared],
    ['a longer buffer around it', new Uint8Array(new ArrayBuffer(length + 64), 32, length).fill(7)],
  ];
}

/** A view of `length` bytes on a resizable buffer, and a function that shrinks it. */
function shrinking(length: number): { bytes: Uint8Array; shrink: () => void } {
  const Resizable = ArrayBuffer as unknown as new (
    length: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer & { resize(length: number): void };
  const buffer = new Resizable(length, { maxByteLength: length * 2 });
  return { bytes: new Uint8Array(buffer).fill(7), shrink: () => buffer.resize(16) };
}

const SMALL = { bytes: '512KiB' }; // the page buffer is one page: bytes beyond it would damage other data

describe.each(ALLOCATORS)('%s', (allocator) => {
  /** A pool with another pool of the same allocator, whose objects must not change. */
  async function guarded(): Promise<{ ram: Ram; pool: Zpool; intact: () => void }> {
    const ram = await Ram.create(SMALL);
    const pool = ram.zpool(allocator);
    const witness = ram.zpool(allocator);
    const objects = new Map<Handle, Uint8Array>();
    for (let i = 0; i < 20; i++) {
      const bytes = noise(500 + 100 * i, i + 1);
      const handle = witness.malloc(bytes.length);
      witness.write(handle, bytes);
      objects.set(handle, bytes);
    }
    const intact = (): void => {
      for (const [handle, bytes] of objects) expect(witness.read(handle)).toEqual(bytes);
      ram.check();
    };
    return { ram, pool, intact };
  }

  test('arrays that lie: their real bytes are read and written', async () => {
    const { pool, intact } = await guarded();
    const handle = pool.malloc(300);
    for (const [name, bytes] of liars(200)) {
      pool.write(handle, new Uint8Array(300));
      pool.write(handle, bytes, 50);
      expect(pool.read(handle), name).toEqual(
        Uint8Array.from({ length: 300 }, (_, at) => (at >= 50 && at < 250 ? 7 : 0)),
      );
      intact();
    }
    for (const [name, into] of liars(400)) {
      const answer = pool.read(handle, into);
      expect(Object.getPrototypeOf(answer) === Uint8Array.prototype && answer.length === 300, name).toBe(true);
      expect(Uint8Array.prototype.slice.call(answer, 0, 60).filter((byte) => byte === 7).length, name).toBe(10);
      intact();
    }
    for (const [name, page] of liars(PAGE_SIZE)) {
      const table = pool.pageTable();
      const entry = pool.storePage(page);
      table.put(5, page);
      for (const [other, into] of liars(PAGE_SIZE)) {
        new Uint8Array(PAGE_SIZE).fill(9); // the old bytes do not matter
        pool.loadPage(entry, into);
        expect(table.get(5, into), `${name} into ${other}`).toBe(true);
      }
      intact();
    }
  });

  test('a codec that shrinks, detaches or keeps the page: the page is stored with its old bytes, or not at all', async () => {
    const { ram, pool, intact } = await guarded();
    const page = noise(PAGE_SIZE, 99);
    for (const answer of [0, 5]) {
      for (const way of ['shrink', 'detach', 'overwrite'] as const) {
        const { bytes, shrink } = shrinking(PAGE_SIZE);
        bytes.set(page);
        const before = pool.stats().objects;
        const codec: Codec = {
          name: 'hostile',
          compress: (src, dst) => {
            if (way === 'shrink') shrink();
            else if (way === 'detach') structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
            else bytes.fill(1);
            src.fill(3);
            dst.fill(4);
            return answer;
          },
          decompress: (_src, dst) => (dst.set(page), PAGE_SIZE),
        };
        const entry = pool.storePage(bytes, codec);
        const into = new Uint8Array(PAGE_SIZE);
        pool.loadPage(entry, into, codec);
        expect(into, `${way}, ${answer}`).toEqual(page);
        pool.freePage(entry);
        expect(pool.stats().objects).toBe(before);
        intact();
      }
    }
    expect(ram.stats().maps).toBe(0);
  });

  test('a codec that shrinks or detaches the array to load into: EINVAL', async () => {
    const { pool, intact } = await guarded();
    const page = noise(PAGE_SIZE, 99);
    const table: PageTable = pool.pageTable();
    const plain: Codec = { name: 'five', compress: () => 5, decompress: (_src, dst) => (dst.set(page), PAGE_SIZE) };
    const entry = pool.storePage(page, plain);
    table.put(1, page, plain);
    for (const get of [
      (into: Uint8Array, codec: Codec) => pool.loadPage(entry, into, codec),
      (into: Uint8Array, codec: Codec) => table.get(1, into, codec),
    ]) {
      const { bytes, shrink } = shrinking(PAGE_SIZE);
      expect(
        codeOf(() => get(bytes, { ...plain, decompress: (src, dst) => (shrink(), plain.decompress(src, dst)) })),
      ).toBe('EINVAL');
      expect(Array.from(bytes)).toEqual(Array<number>(16).fill(7));
      intact();
    }
  });

  test('getters of a codec run before the arguments are checked', async () => {
    const { pool, intact } = await guarded();
    const { bytes, shrink } = shrinking(PAGE_SIZE);
    const codec = Object.defineProperty({ name: 'late', decompress: () => PAGE_SIZE }, 'compress', {
      get: () => (shrink(), () => 5),
    }) as unknown as Codec;
    expect(codeOf(() => pool.storePage(bytes, codec))).toBe('EINVAL');
    expect(pool.stats().objects).toBe(0);
    intact();
  });
});

describe('other calls', () => {
  test('codecs of the core and of loadCodec take arrays that lie', async () => {
    const ram = await Ram.create();
    const codecs = [ram.codec('lz4'), ram.codec('lz4hc'), await loadCodec('lz4js'), await loadCodec('deflate')];
    for (const codec of codecs) {
      for (const [name, src] of liars(1000)) {
        for (const [other, dst] of liars(1200)) {
          const written = codec.compress(src, dst);
          expect(written, `${codec.name}, ${name} into ${other}`).toBeGreaterThan(0);
          const back = new Uint8Array(1000);
          expect(
            codec.decompress(
              Uint8Array.prototype.slice.call(
                Object.setPrototypeOf(dst, Uint8Array.prototype) as Uint8Array,
                0,
                written,
              ),
              back,
            ),
          ).toBe(1000);
          expect(back).toEqual(new Uint8Array(1000).fill(7));
        }
      }
    }
    ram.check();
  });

  test('an image array that lies is restored from its real bytes; one that shrinks meanwhile is refused', async () => {
    const ram = await Ram.create(SMALL);
    const pool = ram.zpool('zbud');
    const handle = pool.malloc(100);
    pool.write(handle, new Uint8Array(100).fill(5));
    const image = ram.snapshot();
    for (const [name, bytes] of liars(image.length)) {
      Uint8Array.prototype.set.call(bytes, image);
      const copy = await Ram.restore(bytes);
      expect(copy.snapshot(), name).toEqual(image);
      copy.close();
    }
    const { bytes, shrink } = shrinking(image.length);
    bytes.set(image);
    const promise = Ram.restore(bytes);
    shrink();
    await expect(promise).rejects.toMatchObject({ name: 'CompcacheError', code: 'EINVAL' });
  });

  test('options are read once, when the call is made', async () => {
    let reads = 0;
    const changing = {
      get bytes(): number {
        reads += 1;
        return reads === 1 ? 2 ** 20 : 2 ** 40;
      },
    };
    const ram = await Ram.create(changing);
    expect([reads, ram.totalFrames]).toEqual([1, 256]);
    const options: Record<string, unknown> = { bytes: '1MiB' };
    const promise = Ram.create(options);
    options['bytes'] = 'nonsense';
    expect((await promise).totalFrames).toBe(256);
    const throwing = Object.defineProperty({}, 'bytes', {
      enumerable: true,
      get: () => {
        throw new Error('mine');
      },
    });
    expect(codeOf(() => Ram.createSync(throwing))).toBe('EINVAL');
    expect(
      codeOf(() =>
        ram.zpool(
          'zbud',
          new Proxy(
            {},
            {
              ownKeys: () => {
                throw new Error('mine');
              },
            },
          ),
        ),
      ),
    ).toBe('EINVAL');
  });

  test('constructors that are not public name the function to call', async () => {
    const ram = await Ram.create(SMALL);
    const pool = ram.zpool('zbud');
    for (const [object, instead] of [
      [ram, 'Ram.create'],
      [pool, 'ram.zpool'],
      [pool.pageTable(), 'pool.pageTable'],
      [ram.codec('lz4'), 'ram.codec'],
    ] as const) {
      const Class = object.constructor as new (...given: unknown[]) => object;
      expect(() => new Class()).toThrow(instead);
      expect(codeOf(() => new Class(Symbol('compcache'), 'lz4', () => ram))).toBe('EINVAL');
    }
  });

  test('changed properties of an object have no effect', async () => {
    const ram = await Ram.create(SMALL);
    const pool = ram.zpool('zsmalloc', { name: 'mine' });
    for (const [key, value] of [
      ['name', 'other'],
      ['allocator', 'zbud'],
      ['held', false],
      ['address', 0],
    ] as const) {
      try {
        Object.assign(pool, { [key]: value });
      } catch {
        // It cannot be changed at all.
      }
    }
    expect([pool.name, pool.allocator]).toEqual(['mine', 'zsmalloc']);
    expect(pool.stats().classes).toBeDefined();
    pool.destroy();
    expect(ram.pools()).toEqual([]);
    const named = ram.zpool('zbud', { name: '__proto__' });
    expect(Object.keys(ram.stats().owners)).toEqual(['__proto__']);
    named.destroy();
  });
});
