/** Bad arguments of every kind: a CompcacheError, never an error of the engine, and nothing changes. */
import { describe, expect, test } from 'vitest';
import {
  ALLOCATORS,
  CompcacheError,
  Ram,
  loadCodec,
  type Codec,
  type Handle,
  type Zpool,
} from '../../bindings/index.ts';
import { firstDifference } from '../bytes.ts';

const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const tagged = {
  get [Symbol.toStringTag](): string {
    throw new Error('no tag');
  },
};
const NOTHING = Object.create(null) as object;
const NUMBERS: unknown[] = [
  NaN,
  -1,
  0.5,
  2 ** 32,
  1n,
  '1',
  null,
  undefined,
  true,
  Symbol('s'),
  {},
  [],
  NOTHING,
  tagged,
  revoked(),
  () => 1,
];
const BYTES: unknown[] = [
  null,
  undefined,
  1,
  'bytes',
  [],
  {},
  NOTHING,
  tagged,
  revoked(),
  new ArrayBuffer(8),
  new DataView(new ArrayBuffer(8)),
  new Uint16Array(2),
  new Proxy(new Uint8Array(2), {}),
  Object.create(Uint8Array.prototype),
];

function code(call: () => unknown): string {
  try {
    call();
    return 'nothing thrown';
  } catch (error) {
    return error instanceof CompcacheError ? error.code : String(error);
  }
}

async function fresh(): Promise<{ ram: Ram; pool: Zpool; handle: Handle }> {
  const ram = await Ram.create({ bytes: '1MiB' });
  const pool = ram.zpool('zsmalloc');
  return { ram, pool, handle: pool.malloc(1000) };
}

describe('bad arguments are EINVAL, and nothing changes', () => {
  test('numbers', async () => {
    const { ram, pool, handle } = await fresh();
    const before = ram.snapshot();
    for (const bad of NUMBERS as never[]) {
      const calls = [
        () => pool.malloc(bad),
        () => pool.free(bad),
        () => pool.size(bad),
        () => pool.read(bad),
        () => pool.map(bad, 'ro'),
        () => pool.unmap(bad),
        () => pool.locate(bad),
        () => pool.shrink(bad),
        () => pool.write(bad, new Uint8Array(1)),
      ];
      if (bad !== -1) calls.push(() => pool.loadPage(bad, new Uint8Array(4096))); // -1 is a same-filled page
      for (const call of calls) expect(code(call)).toBe('EINVAL');
      if (bad !== undefined) {
        expect(code(() => pool.write(handle, new Uint8Array(1), bad))).toBe('EINVAL');
        expect(code(() => pool.read(handle, undefined, bad))).toBe('EINVAL');
      }
    }
    expect(firstDifference(ram.snapshot(), before)).toBe(-1);
  });

  test('bytes', async () => {
    const { ram, pool, handle } = await fresh();
    const before = ram.snapshot();
    const codec = ram.codec('lz4');
    const good = new Uint8Array(100);
    for (const bad of BYTES as never[]) {
      const calls = [
        () => pool.write(handle, bad),
        () => pool.storePage(bad),
        () => codec.compress(bad, good),
        () => codec.compress(good, bad),
        () => codec.decompress(bad, good),
        () => codec.decompress(good, bad),
      ];
      if (bad !== undefined) calls.push(() => void pool.read(handle, bad));
      for (const call of calls) expect(code(call)).toBe('EINVAL');
    }
    expect(firstDifference(ram.snapshot(), before)).toBe(-1);
  });

  test('views that lost their bytes, or lie about their length', async () => {
    const { ram, pool, handle } = await fresh();
    const detached = new Uint8Array(8);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    expect(code(() => pool.write(handle, detached))).toBe('EINVAL');
    const Resizable = ArrayBuffer as unknown as new (
      bytes: number,
      options: { maxByteLength: number },
    ) => ArrayBuffer & { resize(bytes: number): void };
    const buffer = new Resizable(64, { maxByteLength: 64 });
    const outside = new Uint8Array(buffer, 32, 16);
    buffer.resize(8);
    expect(code(() => pool.write(handle, outside))).toBe('EINVAL');
    const small = pool.malloc(10);
    const liar = Object.defineProperty(new Uint8Array(100), 'length', { value: 4 });
    expect(code(() => pool.write(small, liar))).toBe('ERANGE');
    ram.check();
  });

  test('names, modes, options, callbacks', async () => {
    const { ram, pool, handle } = await fresh();
    for (const bad of [null, 1, 'x', ['rw'], NOTHING, revoked(), Symbol('s')] as never[]) {
      expect(code(() => pool.map(handle, bad))).toBe('EINVAL');
      expect(code(() => ram.zpool(bad))).toBe('EINVAL');
      expect(code(() => ram.codec(bad))).toBe('EINVAL');
      expect(code(() => pool.walk(bad))).toBe('EINVAL');
      expect(code(() => Ram.createSync({ build: bad }))).toBe('EINVAL');
      expect(code(() => Ram.createSync({ module: bad }))).toBe('EINVAL');
      expect(code(() => ram.zpool('zbud', { evict: bad }))).toBe('EINVAL');
    }
    expect(code(() => ram.openZpool(pool.name, null as never))).toBe('EINVAL');
    expect(code(() => ram.zpool('zbud', { chainSize: 4 }))).toBe('EINVAL');
    expect(code(() => Ram.createSync({ byts: 5 } as never))).toBe('EINVAL');
    expect(code(() => Ram.createSync({ bytes: 262_143 }))).toBe('EINVAL');
    for (const name of ['', 'x'.repeat(65), 'ä'.repeat(33), 'a\uD800', 5 as never])
      expect(code(() => ram.zpool('zbud', { name }))).toBe('EINVAL');
    const globals = new WebAssembly.Module(
      new Uint8Array([
        0,
        97,
        115,
        109,
        1,
        0,
        0,
        0,
        6,
        6,
        1,
        127,
        0,
        65,
        1,
        11,
        7,
        17,
        1,
        13,
        ...new TextEncoder().encode('layoutVersion'),
        3,
        0,
      ]),
    );
    expect(code(() => Ram.createSync({ module: globals }))).toBe('EINVAL');
  });

  test('names are kept byte for byte, also in an image', async () => {
    const { ram } = await fresh();
    const names = ['\uFEFFx', 'x', 'ä'.repeat(32), '\u0000', '😀'];
    names.forEach((name) => ram.zpool('zbud', { name }));
    const copy = await Ram.restore(ram.snapshot());
    for (const name of names) expect(copy.openZpool(name).name).toBe(name);
  });
});

describe('foreign code', () => {
  test('a codec that throws, lies or detaches the page: a typed error, nothing stored, no frame lost', async () => {
    const { ram, pool } = await fresh();
    const page = Uint8Array.from({ length: 4096 }, (_, i) => (i * 7919) >> 3);
    const lies: [Codec['compress'], string][] = [
      [
        () => {
          throw new RangeError('mine');
        },
        'EIO',
      ],
      [() => 4096, 'EIO'],
      [() => -1, 'EIO'],
      [() => NaN, 'EIO'],
      [() => undefined as never, 'EIO'],
      [
        (_src, dst) => {
          structuredClone(dst.buffer, { transfer: [dst.buffer as ArrayBuffer] });
          return 5;
        },
        'EIO',
      ],
    ];
    const before = ram.snapshot();
    for (const [compress, expected] of lies) {
      expect(code(() => pool.storePage(page.slice(), { name: 'lz4', compress, decompress: () => 0 }))).toBe(expected);
    }
    expect(firstDifference(ram.snapshot(), before)).toBe(-1);
    const entry = pool.storePage(page, {
      name: 'mine',
      compress: (_src, dst) => dst.fill(1, 0, 5) && 5,
      decompress: () => 17,
    });
    const into = new Uint8Array(4096);
    expect(code(() => pool.loadPage(entry, into, { name: 'mine', compress: () => 0, decompress: () => 17 }))).toBe(
      'EIO',
    );
    expect(
      code(() =>
        pool.loadPage(entry, into, {
          name: 'mine',
          compress: () => 0,
          decompress: () => {
            throw new Error('x');
          },
        }),
      ),
    ).toBe('EIO');
  });

  test('an evict callback that returns a Promise: EINVAL, and its rejection is handled', async () => {
    const ram = await Ram.create({ bytes: '1MiB' });
    let calls = 0;
    const pool = ram.zpool('zbud', {
      evict: (async () => {
        calls += 1;
        throw new Error('late');
      }) as never,
    });
    pool.malloc(100);
    expect(code(() => pool.shrink(1))).toBe('EINVAL');
    expect(calls).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(pool.stats().objects).toBe(1);
    ram.check();
  });

  test('a callback of walk that returns a Promise: EINVAL, and its rejection is handled', async () => {
    const ram = await Ram.create({ bytes: '1MiB' });
    const pool = ram.zpool('zbud');
    pool.malloc(100);
    expect(
      code(() =>
        pool.walk((async () => {
          throw new Error('late');
        }) as never),
      ),
    ).toBe('EINVAL');
    const thrown = new Error('of the visit');
    expect(() =>
      pool.walk(() => {
        throw thrown;
      }),
    ).toThrow(thrown);
    await new Promise((resolve) => setTimeout(resolve, 5));
    ram.check();
  });

  test.each<[string, () => unknown]>([
    [
      'whose then throws',
      () => ({
        get then() {
          throw new Error('then');
        },
      }),
    ],
    [
      'that is a function',
      () =>
        Object.assign(() => 1, { then: (_: unknown, reject: (reason: Error) => void) => reject(new Error('late')) }),
    ],
    [
      'whose catch throws',
      () =>
        Object.assign(Promise.resolve(), {
          catch: () => {
            throw new Error('catch');
          },
        }),
    ],
  ])('an object %s counts as a Promise: EINVAL from evict and walk, EIO from a codec', async (_, make) => {
    const ram = await Ram.create({ bytes: '1MiB' });
    const pool = ram.zpool('zbud', { evict: make as never });
    pool.malloc(100);
    expect(code(() => pool.shrink(1))).toBe('EINVAL');
    expect(code(() => pool.walk(make as never))).toBe('EINVAL');
    const page = new Uint8Array(4096).fill(1, 5);
    expect(code(() => pool.storePage(page, { name: 'odd', compress: make, decompress: make } as never))).toBe('EIO');
    await new Promise((resolve) => setTimeout(resolve, 5));
    ram.check();
  });

  test('evict callbacks that shrink their own pool again and free nothing: the number of calls is limited, and no victim stays isolated', async () => {
    for (const allocator of ALLOCATORS) {
      const ram = await Ram.create({ bytes: '16MiB' });
      let calls = 0;
      const codes = new Set<string>();
      const pool: Zpool = ram.zpool(allocator, {
        evict: () => {
          calls += 1;
          codes.add(code(() => pool.shrink(1)));
          return false;
        },
      });
      for (let i = 0; i < 1000; i++) pool.write(pool.malloc(3000), new Uint8Array(3000));
      const before = ram.stats();
      expect(
        code(() => pool.shrink(1)),
        allocator,
      ).toBe('EAGAIN');
      expect(calls, allocator).toBeLessThanOrEqual(256);
      expect(
        [...codes].filter((one) => one !== 'EAGAIN' && one !== 'EINVAL'),
        allocator,
      ).toEqual([]); // EINVAL: no victim is left
      expect(ram.stats(), allocator).toEqual(before);
      ram.check();
      ram.snapshot();
    }
  });

  test('shrink at the end of the stack: EAGAIN, and no victim stays isolated', async () => {
    const ram = await Ram.create({ bytes: '1MiB' });
    const pool: Zpool = ram.zpool('zbud', { evict: () => false });
    for (let i = 0; i < 100; i++) pool.malloc(3000);
    let least = Infinity;
    const deeper = (): void => {
      try {
        deeper();
      } catch {
        // The stack has ended: from here up there is a little more room in each call.
      }
      if (least > 0) {
        least = Math.min(least, 1);
        try {
          const answer = code(() => pool.shrink(1));
          if (answer !== 'EAGAIN') throw new Error(answer);
          least = 0;
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
      }
    };
    deeper();
    ram.check();
    ram.snapshot();
    expect(pool.stats().objects).toBe(100);
  });

  test('lz4js gives a block when it fits, and refuses bad blocks', async () => {
    const lz4js = await loadCodec('lz4js');
    const ram = await Ram.create({ bytes: '1MiB' });
    const block = new Uint8Array(70_000);
    for (const length of [0, 1, 3, 15, 16, 270, 300, 5000]) {
      const src = Uint8Array.from({ length }, (_, i) => (i * i * 31) >> 2);
      const written = lz4js.compress(src, block);
      expect(written).toBeGreaterThan(0);
      const out = new Uint8Array(length);
      expect(ram.codec('lz4').decompress(block.subarray(0, written), out)).toBe(length);
      expect(out).toEqual(src);
      expect(lz4js.decompress(block.subarray(0, written), out)).toBe(length);
    }
    expect(code(() => lz4js.decompress(new Uint8Array([255, 255]), block))).toBe('EIO');
    expect(code(() => lz4js.decompress(new Uint8Array(0), block))).toBe('EIO');
  });

  test('a block that decodes to more than a small RAM holds is EINVAL, not EIO', async () => {
    const large = await Ram.create({ bytes: '1MiB' });
    const small = await Ram.create({ bytes: '256KiB' });
    const block = new Uint8Array(100);
    const length = large.codec('lz4').compress(new Uint8Array(5000), block);
    expect(code(() => small.codec('lz4').decompress(block.subarray(0, length), new Uint8Array(8192)))).toBe('EINVAL');
    expect(code(() => small.codec('lz4').compress(new Uint8Array(5000), block))).toBe('EINVAL');
  });
});

describe('ENOMEM', () => {
  test('from a pool that needs five frames: the error tells the number, and nothing changes', async () => {
    for (const frames of [0, 1, 4]) {
      const ram = await Ram.create({ bytes: '1MiB', limit: frames * 4096 });
      const before = ram.snapshot();
      expect(() => ram.zpool('zsmalloc')).toThrowError(`5 needed, ${frames} free`);
      expect(firstDifference(ram.snapshot(), before)).toBe(-1);
    }
  });

  test('fault injection counts only successful requests', async () => {
    const ram = await Ram.create({ bytes: '1MiB', limit: 2 * 4096 });
    const pool = ram.zpool('zbud');
    const handle = pool.malloc(3000);
    ram.failFrames(1);
    expect(code(() => pool.malloc(3000))).toBe('ENOMEM'); // because of the limit
    pool.free(handle);
    pool.malloc(3000);
    ram.check();
  });
});
