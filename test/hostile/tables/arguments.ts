/** Arguments of calls: mostly right values in a hostile form, sometimes wrong ones. */
import {
  PAGE_SIZE,
  type Codec,
  type CompcacheError,
  type Handle,
  type Zpool,
  type ZpoolOptions,
} from '../../../bindings/index.ts';
import { viewOf } from '../../../bindings/bytes.ts';
import { hostileCodec, oddCodec } from '../actors.ts';
import { hostileBytes } from '../buffers.ts';
import { belongs, pageAt } from '../content.ts';
import { callback, oddNumber, oddString, options } from '../values.ts';
import { must, type Entry, type Owned, type PoolBox, type World } from '../world.ts';

export function entry(name: string, run: (world: World) => unknown, weight = 2): Entry {
  return { name, run, weight };
}

/** A number, sometimes an odd one. */
export function num(world: World, right: number): number {
  return (world.dice.once(12) ? oddNumber(world) : right) as number;
}

/** A small number, sometimes an odd one. */
export function below(world: World, most: number): number {
  return num(world, world.dice.below(most));
}

export function text(world: World, right: string): string {
  return (world.dice.once(12) ? oddString(world) : right) as string;
}

/** A size of a RAM or of a device that takes little or no memory. */
export function size(world: World, right: number | string): number | string {
  const odd = num(world, -1);
  if (odd === -1) return right;
  return typeof odd === 'number' && odd > 2 ** 26 && !world.dice.once(50) ? NaN : odd;
}

export type Makers<T> = { [K in keyof Required<T>]: () => unknown };

/**
 * Some of the options, each from its maker or an odd value; the options object may be hostile. A path always comes from
 * its maker: an odd path would be a file in the folder that the tests run in.
 */
export function some<T extends object>(world: World, makers: Makers<T>, always: Partial<T> = {}, one = 5): T {
  const { dice } = world;
  const plain: Record<string, unknown> = { ...always };
  for (const [key, make] of Object.entries<() => unknown>(makers)) {
    if (dice.once(one)) plain[key] = key !== 'path' && dice.once(12) ? oddString(world) : make();
  }
  return options(world, plain) as T;
}

/** The makers without some of the options. */
export function without<T>(makers: Makers<T>, ...keys: (keyof T)[]): Makers<T> {
  return Object.fromEntries(Object.entries(makers).filter(([key]) => !keys.includes(key as keyof T))) as Makers<T>;
}

// ── pages ────────────────────────────────────────────────────────────────────

/** The page with a number, of an owner. */
export function page(world: World, owner: number, number: unknown): Uint8Array {
  return hostileBytes(world, pageAt(owner, typeof number === 'number' ? number : 0));
}

/** Room for bytes, all of them zeros. */
export function room(world: World, length = PAGE_SIZE): Uint8Array {
  return hostileBytes(world, new Uint8Array(length));
}

/** Requires that the array now holds only bytes that belong there. */
export function requireBelongs(name: string, of: Owned<unknown>, into: Uint8Array, right: Uint8Array): void {
  if (of.lied) return;
  let view: Uint8Array;
  try {
    view = viewOf(name, 'into', into);
  } catch {
    return; // it was detached meanwhile
  }
  must(belongs(view.subarray(0, right.length), right), `${name} gave bytes that do not belong there`);
}

// ── codecs ───────────────────────────────────────────────────────────────────

/** A codec, or undefined. */
export function codec(world: World, mayLie: boolean): Codec | undefined {
  const { dice, codecs } = world;
  switch (dice.below(8)) {
    case 0:
      return oddCodec(world);
    case 1:
      return hostileCodec(world, mayLie);
    case 2:
      return codecs.length === 0 ? undefined : dice.of(codecs);
    case 3:
      return hostileCodec(world, false);
    default:
      return undefined;
  }
}

// ── pools ────────────────────────────────────────────────────────────────────

export function evict(world: World): ZpoolOptions['evict'] {
  return callback(world, (handle: Handle, pool: Zpool) => (world.dice.once(5) ? false : pool.free(handle)));
}

export function adoptPool(world: World, pool: Zpool): Zpool {
  world.pools.push({ pool, handles: [], entries: [] });
  return pool;
}

/** A pool that may be attacked; makes one when there is none. */
export function poolBox(world: World): PoolBox {
  world.pools = world.pools.filter((box) => isLive(box.pool));
  if (world.pools.length === 0)
    adoptPool(
      world,
      world.ram.zpool(world.dice.of(['zbud', 'z3fold', 'zsmalloc', 'xvmalloc', 'xcfmalloc'] as const), {
        evict: evict(world) as never,
      }),
    );
  return world.dice.of(world.pools);
}

function isLive(pool: Zpool): boolean {
  try {
    return pool.totalPages >= 0;
  } catch (error) {
    if ((error as CompcacheError).code === 'ECLOSED') return false;
    throw error;
  }
}

/** A handle: of this pool, of another pool, of the witness, a freed one, or a wrong one. */
export function handle(world: World, box: PoolBox): Handle {
  const { dice, witness } = world;
  const known = box.handles.length > 0;
  switch (dice.below(10)) {
    case 0:
      return oddNumber(world) as Handle;
    case 1:
      return dice.of(witness.handles);
    case 2:
      return (dice.of([box, ...world.pools]).handles[0] ?? dice.word()) as Handle;
    case 3:
      return (known ? dice.of(box.handles) + 2 ** 32 : dice.word()) as Handle;
    case 4:
      return (known ? dice.of(box.handles) ^ (1 << dice.below(31)) : 1) as Handle;
    default:
      return (known ? dice.of(box.handles) : dice.below(5)) as Handle;
  }
}
