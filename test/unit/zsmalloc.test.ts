/**
 * zsmalloc rule by rule: the worked examples of docs/rules/zsmalloc.md section 13 (X1 to X8), and rules that no trace
 * shows, on the real pool. Zspages are named A, B, C… in order of creation; "B3" is slot 3 of B.
 *
 * The order of the LRU is found by evicting everything in a copy of the RAM. "One attempt" of the examples: after the
 * first victim was visited, one object of every other zspage is mapped, so that shrink finds no second victim.
 */
import { describe, expect, test } from 'vitest';
import { Ram } from '../../bindings/index.ts';
import type { Handle, Zpool } from '../../bindings/index.ts';
import { buildOptions, builds, createRam, expectBytes, fault, noise, outcome } from '../harness.ts';
import type { Build } from '../harness.ts';

type Answer = 'free' | 'keep' | 'ok';

const FRAME = 4096;

/** A pool of chain 4 whose zspages and slots have names. */
class Lettered {
  readonly ram: Ram;
  readonly pool: Zpool;
  readonly size: number;
  readonly #build: Build;
  /** Frame → letter. */
  #letters = new Map<number, string>();
  #next = 0;
  /** Name at allocation → handle; freed ones stay in the map. */
  readonly #byName = new Map<string, Handle>();

  private constructor(ram: Ram, build: Build, groups: 12 | 4, size: number) {
    this.ram = ram;
    this.#build = build;
    this.size = size;
    this.pool = ram.zpool('zsmalloc', { name: 'x', chainSize: 4, fullnessGroups: groups });
  }

  static async create(build: Build, groups: 12 | 4, size: number): Promise<Lettered> {
    return new Lettered(await createRam(build, { bytes: '1MiB' }), build, groups, size);
  }

  /** Names new zspages by their new frames; frames that are gone lose their letter. */
  #learn(): void {
    const frames: number[] = [];
    this.pool.walk(({ frame }) => frames.push(frame));
    const fresh = frames.filter((frame) => !this.#letters.has(frame));
    this.#letters = new Map(
      frames.flatMap((frame) => (this.#letters.has(frame) ? [[frame, this.#letters.get(frame) as string]] : [])),
    );
    const letter = String.fromCharCode(65 + this.#next);
    if (fresh.length > 0) this.#next++;
    for (const frame of fresh) this.#letters.set(frame, letter);
  }

  letter(handle: Handle): string {
    return this.#letters.get(this.pool.locate(handle).frame) ?? '?';
  }

  name(handle: Handle): string {
    return `${this.letter(handle)}${this.pool.locate(handle).objectIndex}`;
  }

  /** The handle of the object that was allocated last at this place. */
  handle(name: string): Handle {
    return this.#byName.get(name) as Handle;
  }

  malloc(count: number): string {
    const names: string[] = [];
    for (let i = 0; i < count; i++) {
      const handle = this.pool.malloc(this.size);
      this.#learn();
      this.#byName.set(this.name(handle), handle);
      names.push(this.name(handle));
    }
    this.ram.check();
    return names.join(' ');
  }

  free(names: string): void {
    for (const name of names.split(' ')) {
      this.pool.free(this.handle(name));
      this.#learn();
      this.ram.check();
    }
  }

  write(names: string): void {
    for (const name of names.split(' ')) this.pool.write(this.handle(name), Uint8Array.of(1));
  }

  writeByMap(name: string): void {
    this.pool.map(this.handle(name), 'wo');
    this.pool.unmap(this.handle(name));
  }

  live(): Handle[] {
    const handles = new Set<Handle>();
    this.pool.walk(({ objects }) => objects.forEach(({ handle }) => handles.add(handle)));
    return [...handles];
  }

  /** Zspages of each fullness group that is not full and has any. */
  groups(): Record<number, number> {
    const row = this.pool.stats().classes?.find(({ used, allocated }) => used > 0 || allocated > 0);
    const found = (row?.groups ?? []).slice(0, -1).map((count, group): [number, number] => [group, count]);
    return Object.fromEntries(found.filter(([, count]) => count > 0));
  }

  /** Letters of the zspages on the LRU, front to tail. */
  async lru(): Promise<string> {
    const copy = await Ram.restore(this.ram.snapshot(), buildOptions(this.#build));
    const order: string[] = [];
    const pool = copy.openZpool('x', {
      evict: (handle, from) => {
        const letter = this.#letters.get(from.locate(handle).frame) as string;
        if (order[0] !== letter) order.unshift(letter);
        from.free(handle);
      },
    });
    outcome(() => pool.shrink(10_000));
    copy.close();
    return order.join(' ');
  }

  /** One attempt of a reclaim. @returns the frames that came back, or an error code */
  reclaimOnce(answer: (handle: Handle, name: string) => Answer): number | string {
    const mapped: Handle[] = [];
    const hold = (handle: Handle): void => void (this.pool.map(handle, 'ro'), mapped.push(handle));
    let first = true;
    this.ram.openZpool('x', {
      evict: (handle, from) => {
        if (first) this.#eachOther(this.letter(handle)).forEach(hold);
        first = false;
        const decision = answer(handle, this.name(handle));
        if (decision === 'free') from.free(handle);
        if (typeof outcome(() => from.size(handle)) === 'number') hold(handle);
        this.ram.check();
        return decision !== 'keep';
      },
    });
    const result = outcome(() => this.pool.shrink(1));
    for (const handle of mapped) this.pool.unmap(handle);
    this.#learn();
    this.ram.check();
    return result;
  }

  /** One object of each zspage but this one. */
  #eachOther(letter: string): Handle[] {
    const found = new Map<string, Handle>();
    for (const handle of this.live()) found.set(this.letter(handle), handle);
    found.delete(letter);
    return [...found.values()];
  }

  /** Runs compact(). @returns "from→to" of each object that has moved */
  compact(expectedPages: number): string {
    const before = new Map(this.live().map((handle) => [handle, this.name(handle)]));
    for (const handle of before.keys()) this.pool.write(handle, noise(this.size, handle));
    expect(this.pool.freeable()).toBeGreaterThanOrEqual(expectedPages);
    expect(this.pool.compact()).toBe(expectedPages);
    this.#learn();
    this.ram.check();
    for (const handle of before.keys()) expectBytes(this.pool.read(handle), noise(this.size, handle));
    return [...before]
      .filter(([handle, was]) => this.name(handle) !== was)
      .map(([handle, was]) => `${was}→${this.name(handle)}`)
      .sort()
      .join(' ');
  }

  /** The same without the writes, which would change the LRU. */
  compactOnly(): number {
    const freed = this.pool.compact();
    this.#learn();
    this.ram.check();
    return freed;
  }
}

describe.each(builds)('zsmalloc, %s', (build) => {
  describe.each([12, 4] as const)('%i groups', (groups) => {
    const create = (size: number): Promise<Lettered> => Lettered.create(build, groups, size);

    /** X1: the pool after its mallocs and frees. */
    async function afterX1(): Promise<Lettered> {
      const x = await create(1628);
      expect(x.malloc(20)).toBe('A0 A1 A2 A3 A4 B0 B1 B2 B3 B4 C0 C1 C2 C3 C4 D0 D1 D2 D3 D4');
      x.free('A1 A3 C0 C4 C2 D1 B2 B3 D0 C1');
      return x;
    }

    test('X1 (F1, G1, G2, L2, L3, L4)', async () => {
      const x = await afterX1();
      expect(x.groups()).toEqual(groups === 12 ? { 7: 3, 3: 1 } : { 1: 4 });
      expect(x.pool.locate(x.handle('A0'))).toMatchObject({ classIndex: 100, objectIndex: 0, offset: 4 });
    });

    test('X2, X3, X4 (M1, L4, K2-K4, J2-J4)', async () => {
      const x = await afterX1();
      const names = x.malloc(5);
      expect(names).toBe(groups === 12 ? 'D0 D1 B3 B2 A3' : 'D0 D1 B3 B2 C1');
      x.free(names);
      expect(x.groups()).toEqual(groups === 12 ? { 7: 3, 3: 1 } : { 1: 4 });
      expect(x.compact(4)).toBe(groups === 12 ? 'B0→A1 B1→D1 B4→D0 C3→A3' : 'A0→C2 A2→C4 A4→C0 B0→D1 B1→D0 B4→C1');
      expect(x.pool.stats()).toMatchObject({
        objectsMoved: groups === 12 ? 4 : 6,
        bytesMoved: (groups === 12 ? 4 : 6) * 1628,
        frames: 4,
      });
      expect(x.compact(0)).toBe('');
    });

    test('X5 (L4: a zspage keeps its place within its group)', async () => {
      const x = await create(28);
      x.malloc(300);
      x.free('A10 B12 A11 A12');
      expect(x.malloc(6)).toBe('B12 A12 A11 A10 C44 C45');
    });

    test('X6 (E2-E9, U2: refusal, ascending rebuild, LRU front)', async () => {
      const x = await create(1628);
      for (let i = 0; i < 15; i++) x.writeByMap(x.malloc(1));
      x.free('B1 B3');
      x.writeByMap('A0');
      expect(await x.lru()).toBe('A C B');
      const called: string[] = [];
      const answer = (handle: Handle, name: string): Answer => (
        called.push(name),
        handle === x.handle('B2') ? 'keep' : 'free'
      );
      expect(x.reclaimOnce(answer)).toBe('EAGAIN');
      expect(called.splice(0)).toEqual(['B0', 'B2']);
      expect(await x.lru()).toBe('B A C');
      expect(x.malloc(3)).toBe('B0 B1 B3');
      expect(x.reclaimOnce(answer)).toBe(2);
      expect(called).toEqual(['C0', 'C1', 'C2', 'C3', 'C4']);
      expect(x.pool.totalPages).toBe(4);
      expect(await x.lru()).toBe('B A');
    });

    test('X7 (J2.2, L3: a source put back behind the head)', async () => {
      const x = await create(508);
      x.malloc(16);
      expect(x.pool.locate(x.handle('A0')).classIndex).toBe(30);
      x.free('A0 A1 B0 B1 B2');
      expect(x.compact(0)).toBe('');
      expect(x.malloc(5)).toBe('A1 A0 B2 B1 B0');
    });

    test('X8 (E1, E4, E7, U2, U3, K7)', async () => {
      const x = await create(1628);
      x.malloc(15);
      expect(x.reclaimOnce(() => 'free')).toBe('EINVAL');
      x.write('A0 B0 C0');
      expect(x.malloc(1)).toBe('D0');
      expect(await x.lru()).toBe('C B A');
      const accepted = x.reclaimOnce((handle, name) => {
        if (name !== 'A4') return 'free';
        x.pool.free(handle);
        return 'keep';
      });
      expect(accepted).toBe(2);
      expect(await x.lru()).toBe('C B');
      const called: string[] = [];
      expect(x.reclaimOnce((_, name) => (called.push(name), name === 'B1' ? 'ok' : 'free'))).toBe('EAGAIN');
      expect(called).toEqual(['B0', 'B1', 'B2', 'B3', 'B4']);
      expect(await x.lru()).toBe('B C');
      x.free('B1');
      expect(await x.lru()).toBe('C');
      x.write('D0');
      expect(await x.lru()).toBe('D C');
      x.free('C0 C1 C2 C3');
      const [c4, d0] = [x.handle('C4'), x.handle('D0')];
      expect(x.compactOnly()).toBe(2);
      expect([x.name(d0), x.name(c4)]).toEqual(groups === 12 ? ['C3', 'C4'] : ['D0', 'D1']);
      expect(await x.lru()).toBe(groups === 12 ? 'C' : 'D');
    });

    test('K8: a mapped source stops its class; a mapped destination does not', async () => {
      const x = await create(1628);
      x.malloc(15);
      x.free('A0 B0 B1 B2 C0 C1 C2 C3');
      x.pool.map(x.handle('C4'), 'ro');
      expect(x.compactOnly()).toBe(0);
      x.pool.unmap(x.handle('C4'));
      x.pool.map(x.handle('A1'), 'ro');
      expect(x.compact(2)).toBe(groups === 12 ? 'C4→A0' : 'B3→A0 B4→C3');
      x.pool.unmap(x.handle('A1'));
    });

    test('U2, U4: a wo map and a write move a zspage to the front; malloc, free, read, other maps and compact do not', async () => {
      const x = await create(1628);
      x.malloc(15);
      expect(await x.lru()).toBe('');
      x.write('A0 B0 C0');
      expect(await x.lru()).toBe('C B A');
      x.pool.read(x.handle('A1'));
      for (const mode of ['ro', 'rw'] as const) {
        x.pool.map(x.handle('A2'), mode).fill(1);
        x.pool.unmap(x.handle('A2'));
      }
      x.free('A3');
      expect(x.malloc(1)).toBe('A3');
      x.pool.compact();
      expect(await x.lru()).toBe('C B A');
      x.writeByMap('A4');
      expect(await x.lru()).toBe('A C B');
      x.pool.write(x.handle('B2'), new Uint8Array(0)); // U4: whatever the length of the write
      expect(await x.lru()).toBe('B A C');
      fault({ code: 'ERANGE', op: 'zpool.write' }, () => x.pool.write(x.handle('C0'), new Uint8Array(2000)));
      fault({ code: 'ERANGE', op: 'zpool.write' }, () => x.pool.write(x.handle('C0'), new Uint8Array(1), 1629));
      expect(await x.lru()).toBe('B A C');
      x.pool.storePage(noise(FRAME, 1)); // storing a page counts as a write: zspage D, of the huge class
      const copy = x.ram.snapshot();
      expect(copy.length).toBeGreaterThan(0);
    });

    test('U2: a wo map that fails because there is no frame does not change the LRU', async () => {
      const x = await create(1628);
      x.malloc(10);
      x.write('A0 B0');
      x.ram.failFrames(0);
      fault({ code: 'ENOMEM', op: 'zpool.map' }, () => x.pool.map(x.handle('A2'), 'wo')); // A2 straddles
      x.ram.failFrames(null);
      expect(await x.lru()).toBe('B A');
    });

    test('E5: a handle freed in a zspage under reclaim is refused, and not given out again before the reclaim ends', async () => {
      const x = await create(1628);
      x.malloc(10);
      x.write('A0 B0');
      const made: Handle[] = [];
      const freed: Handle[] = [];
      const result = x.reclaimOnce((handle, name) => {
        if (name === 'A0') {
          for (const each of ['A3', 'A0']) {
            x.pool.free(x.handle(each));
            freed.push(x.handle(each));
            fault({ code: 'EINVAL', op: 'zpool.free' }, () => x.pool.free(x.handle(each)));
            fault({ code: 'EINVAL', op: 'zpool.read' }, () => x.pool.read(x.handle(each)));
          }
          for (let i = 0; i < 20; i++) made.push(x.pool.malloc(1628));
          for (const each of made) expect(freed).not.toContain(each);
          expect(made.map((each) => x.letter(each))).not.toContain('A');
          x.pool.compact();
          return 'ok';
        }
        expect(name).not.toBe('A3');
        return handle === x.handle('A1') ? 'keep' : 'free';
      });
      expect(result).toBe('EAGAIN');
      expect(x.pool.stats().objects).toBe(10 - 2 + 20);
    });

    test('E9: the list of a zspage that was put back is ascending over all free slots, older ones too', async () => {
      const x = await create(508); // 8 slots
      x.malloc(8);
      x.write('A0');
      x.free('A6 A1 A4');
      expect(x.reclaimOnce((_, name) => (name === 'A5' ? 'keep' : name === 'A3' ? 'ok' : 'free'))).toBe('EAGAIN');
      expect(x.malloc(5)).toBe('A0 A1 A2 A4 A6');
    });

    test('E10: a success counts its k frames', async () => {
      const x = await create(1628);
      x.malloc(20);
      x.write('A0 B0 C0 D0');
      x.ram.openZpool('x', { evict: (handle, from) => from.free(handle) });
      expect(x.pool.shrink(1)).toBe(2);
      expect(x.pool.shrink(3)).toBe(4);
      expect(x.pool.shrink(1)).toBe(2);
      fault({ code: 'EINVAL', op: 'zpool.shrink' }, () => x.pool.shrink(1));
    });

    test('L3, L5 by the random tests; F2: last freed, first reused', async () => {
      const x = await create(508);
      x.malloc(16);
      x.free('A2 A5 A3');
      expect(x.malloc(3)).toBe('A3 A5 A2');
    });

    test('M3: a zspage that cannot get all its frames gives them back', async () => {
      const x = await create(1628);
      x.malloc(5);
      const used = x.ram.stats().usedFrames;
      x.ram.failFrames(1);
      fault({ code: 'ENOMEM', op: 'zpool.malloc', says: '2 needed' }, () => x.pool.malloc(1628));
      x.ram.failFrames(null);
      x.ram.check();
      expect([x.ram.stats().usedFrames, x.pool.totalPages]).toEqual([used, 2]);
      expect(x.malloc(1)).toBe('B0');
    });
  });

  test('C6, C8: class of a request', async () => {
    const ram = await createRam(build, { bytes: '1MiB' });
    const classOf = (chainSize: number, size: number): number => {
      const pool = ram.zpool('zsmalloc', { chainSize });
      const { classIndex = -1 } = pool.locate(pool.malloc(size));
      pool.destroy();
      return classIndex;
    };
    expect([1, 28, 29, 3260, 3261, 4093, 4096].map((size) => classOf(4, size))).toEqual([0, 0, 1, 202, 254, 254, 254]);
    expect([3628, 3629].map((size) => classOf(8, size))).toEqual([225, 254]);
    const huge = [
      [1, 2045],
      [4, 3261],
      [5, 3405],
      [6, 3501],
      [7, 3581],
      [8, 3629],
      [9, 3677],
      [10, 3709],
      [11, 3741],
      [12, 3773],
      [13, 3789],
      [14, 3805],
      [15, 3837],
      [16, 3837],
    ] as const;
    for (const [chain, size] of huge)
      expect([chain, classOf(chain, size), classOf(chain, size - 1) < 254]).toEqual([chain, 254, true]);
  });

  test('S1, S2, S5: places of slots; a slot of the huge class begins at 0 and has no word', async () => {
    const ram = await createRam(build, { bytes: '1MiB' });
    const pool = ram.zpool('zsmalloc', { chainSize: 4 });
    const frames: number[] = [];
    for (let slot = 0; slot < 5; slot++) {
      const { frame, offset, objectIndex } = pool.locate(pool.malloc(1628));
      if (!frames.includes(frame)) frames.push(frame);
      expect([objectIndex, frames.indexOf(frame) * FRAME + offset]).toEqual([slot, slot * 1632 + 4]);
    }
    expect(pool.stats().spanning).toBe(1);
    const huge = pool.malloc(4096);
    expect(pool.locate(huge)).toMatchObject({ offset: 0, objectIndex: 0, classIndex: 254 });
    pool.write(huge, noise(4096, 1));
    expectBytes(pool.read(huge), noise(4096, 1));
    ram.check();
  });
});
