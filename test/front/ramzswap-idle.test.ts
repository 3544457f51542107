/** Ramzswap: access times of pages, and idle marks. */
import { describe, expect, test } from 'vitest';
import { MemoryStore, PAGE_SIZE, Ram, Ramzswap, type Codec, type RamzswapOptions } from '../../bindings/index.ts';
import { builds, buildOptions, expectBytes, noise } from '../harness.ts';
import { codeOf, filledPage, pageOf, rawPage } from './pages.ts';

const build = builds[builds.length - 1] ?? 'release';
const DAY = 86_400;
const YEAR = 365 * DAY;

async function rig(options: RamzswapOptions = {}): Promise<{ device: Ramzswap; at: (second: number) => void }> {
  let now = 1e9;
  const ram = await Ram.create({ bytes: '2MiB', ...buildOptions(build) });
  const device = await Ramzswap.create({ disksize: '512KiB', ram, clock: () => now, ...options });
  return {
    device,
    at: (second) => {
      now = 1e9 + second;
    },
  };
}

function idle(device: Ramzswap): number[] {
  return [...device.blockState()].filter(({ flags }) => flags.includes('i')).map(({ index }) => index);
}

function times(device: Ramzswap): number[] {
  return [...device.blockState()].map(({ accessTime }) => accessTime);
}

describe('markIdle', () => {
  test('marks pages that are old enough, and unmarks younger ones', async () => {
    const { device, at } = await rig();
    for (let n = 0; n < 6; n++) {
      at(10 * n);
      device.writePage(n, pageOf(n));
    }
    device.writePage(6, filledPage(7)); // same-filled: it has no object
    at(60);
    expect([device.markIdle(), idle(device)]).toEqual([6, [0, 1, 2, 3, 4, 5]]);
    expect([device.markIdle(40), idle(device)]).toEqual([3, [0, 1, 2]]);
    expect([device.markIdle(60), idle(device)]).toEqual([1, [0]]);
    expect([device.markIdle(61), idle(device)]).toEqual([0, []]);
    expect([device.markIdle(2 ** 32 - 1), idle(device)]).toEqual([0, []]);
    expect([device.markIdle(0), idle(device)]).toEqual([6, [0, 1, 2, 3, 4, 5]]);
    device.readPage(1, new Uint8Array(PAGE_SIZE));
    device.write(2 * PAGE_SIZE + 5, Uint8Array.of(1));
    expect(idle(device)).toEqual([0, 3, 4, 5]);
    at(20); // a clock that goes back
    expect([device.markIdle('all'), idle(device).length]).toEqual([6, 6]);
    device.check();
  });

  test('is right for 34 years: to the second for 24 days, to 256 seconds for older accesses', async () => {
    const { device, at } = await rig();
    const accesses = [
      0,
      1,
      97 * DAY,
      97 * DAY + 1,
      98 * DAY,
      120 * DAY,
      YEAR,
      YEAR + 24 * DAY,
      5 * YEAR,
      12 * YEAR,
      30 * YEAR,
      30 * YEAR + 1,
      34 * YEAR,
    ];
    accesses.forEach((second, n) => {
      at(second);
      device.writePage(n, pageOf(n));
      expect(times(device)[n]).toBe(second);
      // All earlier times are exact, or too early by less than the allowed error.
      times(device).forEach((time, i) => {
        const late = (accesses[i] as number) - time;
        expect(late).toBeGreaterThanOrEqual(0);
        expect(late, `access at ${accesses[i]}, at ${second}`).toBeLessThan(
          second - (accesses[i] as number) <= 24 * DAY ? 1 : 256,
        );
      });
      device.check();
      for (let i = 0; i <= n; i++) {
        const age = second - (accesses[i] as number);
        device.markIdle(age);
        expect(idle(device)).toContain(i);
        device.markIdle(age + 256);
        expect(idle(device)).not.toContain(i);
        if (age > 24 * DAY) continue;
        device.markIdle(age + 1);
        expect(idle(device)).not.toContain(i);
      }
    });
    // A page that is read now is young again.
    device.readPage(0, new Uint8Array(PAGE_SIZE));
    expect(times(device)[0]).toBe(34 * YEAR);
    device.markIdle(1);
    expect(idle(device)).not.toContain(0);
    // Times beyond the range count as its last second.
    at(200 * YEAR);
    device.writePage(20, pageOf(20));
    expect(times(device).at(-1)).toBe(2 ** 30 - 1);
    device.markIdle(1);
    expect(idle(device)).not.toContain(20);
    accesses.forEach((_, n) => {
      const into = new Uint8Array(PAGE_SIZE);
      device.readPage(n, into);
      expectBytes(into, pageOf(n));
    });
    device.check();
  });

  test('works when the clock goes back or jumps', async () => {
    const { device, at } = await rig();
    for (const [n, second] of [
      [0, 5 * YEAR],
      [1, 10],
      [2, 5 * YEAR + 3],
      [3, 4 * YEAR],
      [4, 33 * YEAR],
      [5, 0],
    ] as const) {
      at(second);
      device.writePage(n, pageOf(n));
      expect(Math.abs((times(device)[n] as number) - second)).toBeLessThan(256);
      device.check();
    }
    at(-5); // before the device was made
    device.writePage(6, pageOf(6));
    expect(times(device)[6]).toBe(0);
  });
});

describe('recompression', () => {
  /** A codec that keeps only the first bytes of a page; the test pages have zeros behind them. */
  function keeping(name: string, kept: number): Codec {
    return {
      name,
      compress: (page, into) =>
        page.subarray(kept).some((byte) => byte !== 0) ? 0 : (into.set(page.subarray(0, kept)), kept),
      decompress: (block, into) => (into.fill(0), into.set(block), PAGE_SIZE),
    };
  }

  test('removes the idle mark of every page that it tries, and of no other', async () => {
    for (const codecs of [
      ['lz4', 'lz4hc'],
      [keeping('large', 3000), keeping('small', 1500)],
    ] as const) {
      const store = new MemoryStore();
      const { device } = await rig({ backing: store, codec: codecs[0], recompCodecs: [codecs[1]] });
      for (let n = 0; n < 4; n++) {
        const page = new Uint8Array(PAGE_SIZE);
        page.set(noise(1500, n).map((byte) => byte & 15));
        device.writePage(n, page);
      }
      device.markIdle();
      expect(device.recompress({ type: 'idle', maxPages: 3 })).toBeLessThanOrEqual(3);
      expect(idle(device)).toEqual([3]);
      expect(device.writeback('idle')).toBe(1);
      device.recompress();
      device.markIdle();
      expect(idle(device)).toEqual([0, 1, 2]);
      expect(device.recompress({ type: 'idle' })).toBe(0); // no page is tried
      expect(idle(device)).toEqual([0, 1, 2]);
      device.check();
    }
  });

  test('removes the idle mark also when the page becomes no smaller', async () => {
    const { device } = await rig({
      backing: new MemoryStore(),
      codec: keeping('one', 2000),
      recompCodecs: [keeping('other', 1999)],
    });
    for (let n = 0; n < 4; n++) device.writePage(n, rawPage(n).fill(0, 1999));
    device.markIdle();
    expect(device.recompress({ type: 'idle' })).toBe(0);
    expect(idle(device)).toEqual([]);
    expect(device.writeback('idle')).toBe(0);
    expect(device.bdStat().bdCount).toBe(0);
  });

  test('does not count as an access', async () => {
    const { device, at } = await rig({ recompCodecs: ['lz4hc'] });
    device.writePage(0, pageOf(1, 1500));
    at(100);
    device.recompress();
    expect(times(device)).toEqual([0]);
    expect(codeOf(() => device.markIdle(-1))).toBe('EINVAL');
  });
});
