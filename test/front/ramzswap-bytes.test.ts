/** Ramzswap with hostile buffers, clocks, stores and codecs: the right bytes, or an error. */
import { describe, expect, test } from 'vitest';
import {
  CompcacheError,
  PAGE_SIZE,
  Ram,
  Ramzswap,
  type BackingStore,
  type Codec,
  type ErrorCode,
  type RamzswapOptions,
} from '../../bindings/index.ts';
import { builds, buildOptions, expectBytes, noise } from '../harness.ts';
import { RecordingStore, codeOf, pageOf, rawPage } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';

/** A device and, in the same RAM, objects that must not change. */
interface Rig {
  device: Ramzswap;
  verify: () => void;
}

async function rig(options: RamzswapOptions = {}): Promise<Rig> {
  const ram = await Ram.create({ bytes: '2MiB', ...buildOptions(build) });
  const witness = ram.zpool('zsmalloc', { name: 'witness' });
  const held = Array.from({ length: 60 }, (_, n) => ({
    handle: witness.malloc(100 + n * 60),
    bytes: noise(100 + n * 60, n),
  }));
  held.forEach(({ handle, bytes }) => {
    witness.write(handle, bytes);
  });
  const device = await Ramzswap.create({ disksize: '256KiB', ram, ...options });
  const verify = (): void => {
    held.forEach(({ handle, bytes }, n) => {
      expectBytes(witness.read(handle), bytes, `object ${n}`);
    });
    ram.check();
  };
  return { device, verify };
}

function got(device: Ramzswap, index: number): Uint8Array {
  const into = new Uint8Array(PAGE_SIZE).fill(0xa5);
  device.readPage(index, into);
  return into;
}

/** The code of the error that a call throws or rejects with. */
async function outcome(call: () => unknown): Promise<ErrorCode | undefined> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return codeOf(() => {
      throw error as Error;
    });
  }
}

/** An array whose lengths, offsets and methods lie. */
function liar(bytes: Uint8Array): Uint8Array {
  const other = (): Uint8Array => new Uint8Array(60_000).fill(0x66);
  class Liar extends Uint8Array {
    static get [Symbol.species](): unknown {
      return function make() {
        return other();
      };
    }
    override get [Symbol.toStringTag](): 'Uint8Array' {
      return 'Uint8Array';
    }
  }
  const array = new Liar(bytes.length);
  Uint8Array.prototype.set.call(array, bytes);
  for (const name of ['subarray', 'slice', 'set', 'copyWithin', 'fill', 'at', Symbol.iterator])
    Object.defineProperty(array, name, { value: other });
  for (const [name, value] of [
    ['length', 4096],
    ['byteLength', 1 << 20],
    ['byteOffset', 0],
    ['buffer', new ArrayBuffer(60_000)],
  ] as const) {
    Object.defineProperty(array, name, { get: () => value });
  }
  return array;
}

/** An array on a buffer that can shrink, and the function that shrinks it. */
function shrinkable(bytes: Uint8Array): { array: Uint8Array; shrink: (to: number) => void } {
  const Resizable = ArrayBuffer as unknown as new (
    length: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer & { resize(to: number): void };
  const buffer = new Resizable(bytes.length, { maxByteLength: bytes.length });
  const array = new Uint8Array(buffer);
  array.set(bytes);
  return {
    array,
    shrink: (to) => {
      buffer.resize(to);
    },
  };
}

test('arrays with methods, lengths and a species of their own: their real bytes are written and read', async () => {
  const first: Codec = {
    name: 'copy',
    compress: (page, into) => (
      into.set(page.subarray(0, 3000)),
      page.subarray(3000).some((byte) => byte !== 0) ? 0 : 3000
    ),
    decompress: (block, into) => (into.set(block), PAGE_SIZE),
  };
  for (const options of [
    {},
    { codec: first },
    { backing: new RecordingStore() },
    { backing: new RecordingStore(), memlimit: 1, codec: first },
  ] as RamzswapOptions[]) {
    const { device, verify } = await rig(options);
    for (const page of [pageOf(1, 2000), rawPage(2)]) {
      device.writePage(0, liar(page));
      expectBytes(got(device, 0), page);
      await device.writePageAsync(1, liar(page));
      expectBytes(got(device, 1), page);
      const into = liar(new Uint8Array(PAGE_SIZE));
      device.readPage(0, into);
      expectBytes(
        Uint8Array.from({ length: PAGE_SIZE }, (_, i) => into[i] as number),
        page,
      );
    }
    const bytes = noise(10_240, 7);
    const part = new Uint8Array(10_240);
    for (const write of [
      () => {
        device.write(5000, liar(bytes));
      },
      () => device.writeAsync(5000, liar(bytes)),
    ]) {
      await write();
      device.read(5000, part);
      expectBytes(part, bytes);
      device.write(5000, new Uint8Array(10_240));
    }
    device.writeSectors(3, liar(bytes));
    await device.writeSectorsAsync(40, liar(bytes));
    for (const [at, read] of [
      [
        3,
        () => {
          device.readSectors(3, part);
        },
      ],
      [40, () => device.readSectorsAsync(40, part)],
    ] as const) {
      await read();
      expectBytes(part, bytes, `sector ${at}`);
      const into = liar(new Uint8Array(10_240));
      await (at === 3 ? device.read(at * 512, into) : device.readAsync(at * 512, into));
      expectBytes(
        Uint8Array.from({ length: 10_240 }, (_, i) => into[i] as number),
        bytes,
      );
    }
    expect(
      codeOf(() => {
        device.writePage(0, liar(new Uint8Array(100)));
      }),
    ).toBe('EINVAL');
    verify();
    await device.close();
  }
});

describe('a buffer that shrinks or is detached during the call', () => {
  const before = (n: number): Uint8Array => pageOf(n, 1500);
  const bytes = noise(3 * PAGE_SIZE, 9);
  const calls: Record<
    string,
    { length: number; writes: boolean; run: (device: Ramzswap, array: Uint8Array) => unknown }
  > = {
    readPage: {
      length: PAGE_SIZE,
      writes: false,
      run: (device, array) => {
        device.readPage(1, array);
      },
    },
    readPageAsync: { length: PAGE_SIZE, writes: false, run: (device, array) => device.readPageAsync(1, array) },
    read: {
      length: 3 * PAGE_SIZE,
      writes: false,
      run: (device, array) => {
        device.read(100, array);
      },
    },
    readAsync: { length: 3 * PAGE_SIZE, writes: false, run: (device, array) => device.readAsync(100, array) },
    readSectors: {
      length: 3 * PAGE_SIZE,
      writes: false,
      run: (device, array) => {
        device.readSectors(1, array);
      },
    },
    readSectorsAsync: {
      length: 3 * PAGE_SIZE,
      writes: false,
      run: (device, array) => device.readSectorsAsync(1, array),
    },
    writePage: {
      length: PAGE_SIZE,
      writes: true,
      run: (device, array) => {
        device.writePage(1, array);
      },
    },
    writePageAsync: { length: PAGE_SIZE, writes: true, run: (device, array) => device.writePageAsync(1, array) },
    write: {
      length: 3 * PAGE_SIZE,
      writes: true,
      run: (device, array) => {
        device.write(100, array);
      },
    },
    writeAsync: { length: 3 * PAGE_SIZE, writes: true, run: (device, array) => device.writeAsync(100, array) },
    writeSectors: {
      length: 3 * PAGE_SIZE,
      writes: true,
      run: (device, array) => {
        device.writeSectors(1, array);
      },
    },
    writeSectorsAsync: {
      length: 3 * PAGE_SIZE,
      writes: true,
      run: (device, array) => device.writeSectorsAsync(1, array),
    },
  };
  const PLACES = ['clock', 'store.read', 'store.write', 'compress', 'decompress'] as const;

  test.each(Object.keys(calls))('%s: EINVAL or the right bytes', async (name) => {
    const { length, writes, run } = calls[name] as (typeof calls)[string];
    for (const place of PLACES) {
      for (const mode of ['sync', 'async'] as const) {
        if (mode === 'async' && !name.endsWith('Async')) continue;
        for (const how of ['to nothing', 'to a part', 'detach'] as const) {
          let act = (): void => undefined;
          const at = (where: string): void => {
            if (where === place) act();
          };
          const inner = new RecordingStore();
          const backing: BackingStore = {
            mode,
            read: (slot, into) => {
              at('store.read');
              return mode === 'sync' ? inner.read(slot, into) : (Promise.resolve(inner.read(slot, into)) as never);
            },
            write: (slot, given) => {
              at('store.write');
              inner.write(slot, given);
              return (mode === 'sync' ? undefined : Promise.resolve()) as never;
            },
            free: (slot) => {
              inner.free(slot);
              return (mode === 'sync' ? undefined : Promise.resolve()) as never;
            },
            close: () => undefined,
          };
          // Pages 0 and 2 compress; 1 and 3 do not, and are in the store.
          const codec: Codec = {
            name: 'one',
            compress: (page, into) => {
              at('compress');
              if (page.subarray(2600).some((byte) => byte !== 0)) return 0;
              into.set(page.subarray(0, 2600));
              return 2600;
            },
            decompress: (block, into) => {
              at('decompress');
              into.fill(0);
              into.set(block);
              return PAGE_SIZE;
            },
          };
          const { device, verify } = await rig({
            backing,
            codec,
            clock: () => {
              at('clock');
              return 1;
            },
          });
          const old = [before(0).fill(0, 2600), rawPage(1), before(2).fill(0, 2600), rawPage(3)];
          for (const [n, page] of old.entries()) await device.writePageAsync(n, page);
          const { array, shrink } = shrinkable(bytes.subarray(0, length));
          act = () => {
            act = () => undefined;
            if (how === 'detach') structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
            else shrink(how === 'to nothing' ? 0 : 700);
          };
          const code = await outcome(() => run(device, array));
          expect([undefined, 'EINVAL'], `${place} ${mode} ${how}: ${code}`).toContain(code);
          act = () => undefined;
          const offset = name.includes('Sectors') ? 512 : name.includes('Page') ? PAGE_SIZE : 100;
          const whole = new Uint8Array(4 * PAGE_SIZE);
          old.forEach((page, n) => {
            whole.set(page, n * PAGE_SIZE);
          });
          const after = whole.slice();
          // The clock is called before the buffer is read, so that only the rest of the buffer counts.
          if (writes)
            after.set(
              bytes.subarray(0, place !== 'clock' || name.includes('Page') ? length : how === 'to a part' ? 700 : 0),
              offset,
            );
          // Each page has its old or its new content; the pages before one that failed are written.
          for (let n = 0; n < 4; n++) {
            const into = new Uint8Array(PAGE_SIZE);
            await device.readPageAsync(n, into);
            const is = (of: Uint8Array): boolean =>
              of.subarray(n * PAGE_SIZE, (n + 1) * PAGE_SIZE).every((byte, i) => byte === into[i]);
            expect(is(after) || (code === 'EINVAL' && is(whole)), `${place} ${mode} ${how}: page ${n}`).toBe(true);
          }
          verify();
          await device.close();
        }
      }
    }
  });

  test('by the store while a write waits: no old bytes of the scratch are stored', async () => {
    let wake: (() => void) | undefined;
    const inner = new RecordingStore();
    const backing: BackingStore = {
      mode: 'async',
      read: async (slot, into) => inner.read(slot, into),
      write: (slot, given) =>
        new Promise<void>((resolve) => {
          wake = () => {
            inner.write(slot, given);
            resolve();
          };
        }),
      free: async (slot) => {
        inner.free(slot);
      },
      close: async () => undefined,
    };
    const { device, verify } = await rig({ backing });
    const { array, shrink } = shrinkable(noise(2 * PAGE_SIZE, 3));
    const write = device.writeAsync(0, array);
    while (wake === undefined) await Promise.resolve();
    shrink(PAGE_SIZE);
    device.writePage(5, pageOf(5)); // the page buffer in the scratch has another page now
    wake();
    expect(await outcome(() => write)).toBe('EINVAL');
    const into = new Uint8Array(PAGE_SIZE);
    await device.readPageAsync(0, into);
    expectBytes(into, noise(2 * PAGE_SIZE, 3).subarray(0, PAGE_SIZE));
    expectBytes(got(device, 1), new Uint8Array(PAGE_SIZE));
    verify();
  });
});

test('a buffer that grows during the call: its bytes at the start count, and bytes behind them are not touched', async () => {
  type Growable = ArrayBuffer & { resize?(to: number): void; grow?(to: number): void };
  const kinds = [
    ArrayBuffer,
    ...(typeof SharedArrayBuffer === 'undefined' ? [] : [SharedArrayBuffer]),
  ] as unknown as (new (length: number, options: { maxByteLength: number }) => Growable)[];
  const enlarge = (buffer: Growable): void => {
    if (buffer.byteLength === 65_536) return;
    buffer.grow?.(65_536);
    buffer.resize?.(65_536);
  };
  for (const Kind of kinds) {
    for (const place of ['compress', 'decompress', 'read', 'write'] as const) {
      let grow = (): void => undefined;
      const at = (where: string): void => {
        if (where === place) grow();
      };
      const inner = new RecordingStore();
      const backing: BackingStore = {
        mode: 'sync',
        free: (slot) => {
          inner.free(slot);
        },
        close: () => undefined,
        read: (slot, into) => {
          at('read');
          return inner.read(slot, into);
        },
        write: (slot, bytes) => {
          at('write');
          inner.write(slot, bytes);
        },
      };
      const codec: Codec = {
        name: 'one',
        compress: (page, into) => {
          at('compress');
          if (page.subarray(2600).some((byte) => byte !== 0)) return 0;
          into.set(page.subarray(0, 2600));
          return 2600;
        },
        decompress: (block, into) => {
          at('decompress');
          into.fill(0);
          into.set(block);
          return PAGE_SIZE;
        },
      };
      const { device, verify } = await rig({ backing, codec });
      for (const page of [pageOf(1, 1000).fill(0, 2600), rawPage(2)]) {
        for (const length of [PAGE_SIZE, 300]) {
          const buffer = new Kind(length, { maxByteLength: 65_536 });
          const array = new Uint8Array(buffer);
          array.set(page.subarray(0, length));
          device.writePage(0, page);
          grow = () => {
            enlarge(buffer);
          };
          const write = (): void => {
            if (length === PAGE_SIZE) device.writePage(0, array);
            else device.write(0, array);
          };
          const code = codeOf(write);
          expect([undefined, 'EINVAL']).toContain(code); // a part of a buffer with other bytes is refused
          grow = () => undefined;
          expectBytes(got(device, 0), page);
          const into = new Uint8Array(new Kind(length, { maxByteLength: 65_536 }));
          const room = into.buffer as Growable;
          grow = () => {
            enlarge(room);
          };
          device.read(0, into);
          expectBytes(into.slice(0, length), page.subarray(0, length));
          expect(into.subarray(length).every((byte) => byte === 0)).toBe(true);
          grow = () => undefined;
          verify();
        }
      }
      await device.close();
    }
  }
});

describe('a clock', () => {
  test('that writes, reads and frees other pages does not change the result of the call', async () => {
    let act = (): void => undefined;
    const clock = (): number => {
      const now = act;
      act = () => undefined;
      now();
      return 5;
    };
    const { device, verify } = await rig({ clock });
    const callbacks: (() => void)[] = [
      () => {
        device.writePage(9, pageOf(99));
      },
      () => {
        device.readPage(9, new Uint8Array(PAGE_SIZE));
      },
      () => {
        device.write(9 * PAGE_SIZE + 5, noise(5000, 1));
      },
      () => {
        device.freeNotify(9);
      },
    ];
    for (const callback of callbacks) {
      device.writePage(9, pageOf(9));
      act = callback;
      device.writePage(3, pageOf(3));
      expectBytes(got(device, 3), pageOf(3));
      act = callback;
      expectBytes(got(device, 3), pageOf(3));
      act = callback;
      device.write(4 * PAGE_SIZE + 77, noise(6000, 2));
      const part = new Uint8Array(6000);
      act = callback;
      device.read(4 * PAGE_SIZE + 77, part);
      expectBytes(part, noise(6000, 2));
      act = callback;
      await device.writePageAsync(3, pageOf(33));
      act = callback;
      await device.readPageAsync(3, part.subarray(0, PAGE_SIZE));
      expectBytes(part.subarray(0, PAGE_SIZE), pageOf(33));
      act = callback;
      device.markIdle();
      verify();
    }
  });

  test('that resets, initialises or closes the device: the call sees the new state of the device', async () => {
    for (const [callback, code] of [
      [
        (device: Ramzswap) => {
          device.reset();
        },
        'ENODEV',
      ],
      [
        (device: Ramzswap) => {
          device.reset();
          device.init({ disksize: '8KiB' });
        },
        'EINVAL',
      ],
      [
        (device: Ramzswap) => {
          void device.close();
        },
        'ECLOSED',
      ],
    ] as const) {
      const page = pageOf(1);
      for (const run of [
        (device: Ramzswap) => {
          device.writePage(3, page);
        },
        (device: Ramzswap) => {
          device.readPage(3, page);
        },
        (device: Ramzswap) => {
          device.write(16_000, page);
        },
        (device: Ramzswap) => {
          device.readSectors(30, page);
        },
        (device: Ramzswap) => device.writePageAsync(3, page),
        (device: Ramzswap) => device.readPageAsync(3, page),
      ]) {
        let act = (): void => undefined;
        const { device, verify } = await rig({
          clock: () => {
            const now = act;
            act = () => undefined;
            now();
            return 0;
          },
        });
        device.writePage(3, page);
        act = () => {
          callback(device);
        };
        expect(await outcome(() => run(device))).toBe(code);
        verify();
        await device.close();
      }
    }
  });

  test('that gives no finite number is EINVAL; an error that it throws is thrown; nothing changes', async () => {
    let answer: () => unknown = () => 0;
    const { device, verify } = await rig({ clock: () => answer() as number });
    device.writePage(0, pageOf(1));
    const page = pageOf(2);
    const calls = [
      () => {
        device.writePage(0, page);
      },
      () => {
        device.readPage(0, new Uint8Array(PAGE_SIZE));
      },
      () => {
        device.write(1, page);
      },
      () => device.markIdle(),
      () => device.writePageAsync(0, page),
      () => device.readAsync(0, page),
      () => {
        device.init();
      },
    ];
    for (const bad of [NaN, Infinity, -Infinity, '5', undefined, null, 5n, {}]) {
      answer = () => bad;
      for (const call of calls) expect(await outcome(call)).toBe('EINVAL');
    }
    const mine = new RangeError('stopped');
    answer = () => {
      throw mine;
    };
    for (const call of calls) await expect((async () => call())()).rejects.toBe(mine);
    answer = () => 1e300; // far beyond the range of times
    expectBytes(got(device, 0), pageOf(1));
    expect(device.markIdle()).toBe(1);
    verify();
  });
});

describe('stores and codecs', () => {
  const taints: ((array: Uint8Array) => void)[] = [
    (array) => {
      for (const name of ['subarray', 'slice', 'set'])
        Object.defineProperty(array, name, { value: () => new Uint8Array(60_000).fill(0x77) });
    },
    (array) => {
      for (const name of ['subarray', 'slice']) Object.defineProperty(array, name, { value: () => new Uint8Array(10) });
    },
    (array) => {
      Object.defineProperty(array, 'length', { get: () => 60_000 });
    },
    (array) => {
      Object.defineProperty(array, 'buffer', { get: () => new ArrayBuffer(60_000) });
    },
    (array) => {
      Object.defineProperty(array, 'subarray', {
        get: () => {
          throw new RangeError('no');
        },
      });
    },
    (array) => {
      structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
    },
  ];

  test('that lie about their arrays or detach them: only real bytes are stored', async () => {
    for (const taint of taints) {
      for (const place of [
        'compress page',
        'compress into',
        'decompress block',
        'decompress into',
        'read',
        'write',
      ] as const) {
        let armed = false;
        const at = (where: string, array: Uint8Array): void => {
          if (armed && where === place) taint(array);
        };
        const inner = new RecordingStore();
        const backing: BackingStore = {
          mode: 'sync',
          free: (slot) => {
            inner.free(slot);
          },
          close: () => undefined,
          read: (slot, into) => {
            const length = inner.read(slot, into);
            at('read', into);
            return length;
          },
          write: (slot, bytes) => {
            inner.write(slot, bytes.slice());
            at('write', bytes);
          },
        };
        const codec: Codec = {
          name: 'one',
          compress: (page, into) => {
            const poor = page.subarray(2600).some((byte) => byte !== 0);
            if (!poor) into.set(page.subarray(0, 2600));
            at('compress page', page);
            at('compress into', into);
            return poor ? 0 : 2600;
          },
          decompress: (block, into) => {
            into.fill(0);
            into.set(block);
            at('decompress block', block);
            at('decompress into', into);
            return PAGE_SIZE;
          },
        };
        const second: Codec = {
          ...codec,
          name: 'two',
          compress: (page, into) => {
            const poor = page.subarray(2000).some((byte) => byte !== 0);
            into.set(page.subarray(0, 2000));
            at('compress page', page);
            at('compress into', into);
            return poor ? 0 : 2000;
          },
        };
        const { device, verify } = await rig({ backing, codec, recompCodecs: [second] });
        const pages = [pageOf(1, 500).fill(0, 2000), rawPage(2), pageOf(3, 1500).fill(0, 2600)];
        pages.forEach((page, n) => {
          device.writePage(n, page);
        });
        armed = true;
        for (const call of [
          () => {
            device.writePage(0, pages[0] as Uint8Array);
          },
          () => {
            device.writePage(1, pages[1] as Uint8Array);
          },
          () => {
            got(device, 0);
          },
          () => {
            got(device, 1);
          },
          () => {
            device.write(10, (pages[0] as Uint8Array).subarray(10, 300));
          },
          () => {
            device.write(PAGE_SIZE + 9, (pages[1] as Uint8Array).subarray(9, 100));
          },
          () => device.recompress(),
        ]) {
          expect([undefined, 'EIO']).toContain(codeOf(call));
          verify();
        }
        armed = false;
        pages.forEach((page, n) => {
          expectBytes(got(device, n), page, `${place}: page ${n}`);
        });
        verify();
      }
    }
  });
});

test('a selection and options of recompress are read once; values that cannot be read are EINVAL', async () => {
  const { device } = await rig({ backing: new RecordingStore(), recompCodecs: ['lz4hc'] });
  for (let n = 0; n < 5; n++) device.writePage(n, pageOf(n));
  const mine = new RangeError('no');
  const throws = {
    get pages(): never {
      throw mine;
    },
  };
  const proxy = new Proxy([], {
    get: () => {
      throw mine;
    },
  });
  for (const bad of [
    throws,
    { pages: proxy },
    { pages: [proxy] },
    { pages: Object.assign([1], { length: 4e9 }) },
    { pages: [[1]] },
    { pages: [-1] },
  ]) {
    expect(codeOf(() => device.writeback(bad as never))).toBe('EINVAL');
  }
  let reads = 0;
  const list = [0, 1];
  list.map = () => {
    throw mine;
  };
  expect(
    device.writeback({
      get pages() {
        reads += 1;
        return list;
      },
    }),
  ).toBe(2);
  expect(reads).toBe(1);
  expect(
    codeOf(() =>
      device.recompress({
        get type(): never {
          throw mine;
        },
      }),
    ),
  ).toBe('EINVAL');
  expect(
    codeOf(() =>
      device.recompress(
        new Proxy(
          {},
          {
            ownKeys: () => {
              throw mine;
            },
          },
        ),
      ),
    ),
  ).toBe('EINVAL');
  expect(() =>
    device.recompress({
      get type(): never {
        throw new CompcacheError('EBUSY', 'x', 'y');
      },
    }),
  ).toThrow(CompcacheError);
});
