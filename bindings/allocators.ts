/**
 * What the bindings know about each allocator: one row for each. A new allocator needs a row here, and its kind under
 * the same name in assembly/alloc/index.ts. Then it appears wherever allocators are listed (options, estimate, swap,
 * serve, bench).
 */
import {
  ROW_ALLOCATED,
  ROW_FREEABLE,
  ROW_GROUPS,
  ROW_INDEX,
  ROW_LENGTH,
  ROW_OBJECTS,
  ROW_PAGES,
  ROW_SIZE,
  ROW_USED,
  ROW_ZSPAGES,
  RESERVE_LIST,
  XCF_UNIT,
} from '../assembly/abi.ts';
import * as kinds from '../assembly/alloc/index.ts';
import { CompcacheError, isU32, show, takeOptions } from './errors.ts';
import type { ClassStats, Location, ZpoolOptionsOf, ZpoolStats } from './plain-types.ts';

/** Options of a pool. The parameter type of its evict callback does not matter here. */
type PoolOptions = ZpoolOptionsOf<never>;

/** An option of an allocator. Its value becomes one of the three option words of the core. */
interface AllocatorOption {
  readonly key: keyof PoolOptions;
  /** The option word for a value. Undefined stands for the default. EINVAL. */
  word(op: string, value: unknown): number;
}

/** An option with a few possible values. The first one is the default. */
function choice(
  key: keyof PoolOptions,
  ...choices: readonly (readonly [value: unknown, word: number])[]
): AllocatorOption {
  const words = new Map(choices);
  return {
    key,
    word: (op, value = choices[0]?.[0]) => {
      const word = words.get(value);
      if (word === undefined)
        throw new CompcacheError(
          'EINVAL',
          op,
          `${key} must be ${[...words.keys()].map(show).join(' or ')}, not ${show(value)}`,
          { detail: { argument: key } },
        );
      return word;
    },
  };
}

/** An option that is a whole number from `least` to `most`. */
function range(key: keyof PoolOptions, least: number, most: number, otherwise: number): AllocatorOption {
  return {
    key,
    word: (op, value = otherwise) => {
      if (!isU32(value) || value < least || value > most)
        throw new CompcacheError('EINVAL', op, `${key} must be ${least} to ${most}, not ${show(value)}`, {
          detail: { argument: key, least, most },
        });
      return value;
    },
  };
}

/** What the bindings know about one allocator. */
interface AllocatorRow {
  /** Options that only this allocator has, at most three: a, b and c of the core's init. */
  readonly options: readonly AllocatorOption[];
  /** True when compact() moves objects. */
  readonly isMovable: boolean;
  /** True when a caller may sleep while it holds a map. */
  readonly canSleepMapped: boolean;
  /** True when freeable() does not have to look at the objects. Then a front end may call it before every write. */
  readonly knowsFreeable: boolean;
  /** Where an object lies. The arguments are what the core's locate returns: frame, offset and two more words. */
  location(frame: number, offset: number, b: number, c: number): Location;
  /**
   * Figures of the allocator's own table. `rows`: the rows of the table as words. `options`: the pool's three option
   * words.
   */
  figures(
    rows: readonly Uint32Array[],
    options: readonly number[],
  ): Pick<ZpoolStats, 'lists' | 'classes' | 'reserveFrames'>;
}

const inOnePiece = (frame: number, offset: number): Location => ({ frame, offset });
const lengths = (rows: readonly Uint32Array[]): number[] => rows.map((words) => words[ROW_LENGTH] as number);

const ROWS = {
  zbud: {
    options: [choice('layout', ['6.1', 1], ['2013', 0])],
    isMovable: false,
    canSleepMapped: true,
    knowsFreeable: false,
    location: inOnePiece,
    figures: (rows) => ({ lists: lengths(rows) }),
  },
  z3fold: {
    options: [choice('deferred', ['afterFree', 0], ['manual', 1])],
    isMovable: true,
    canSleepMapped: true,
    knowsFreeable: false,
    location: inOnePiece,
    figures: (rows) => ({ lists: lengths(rows) }),
  },
  zsmalloc: {
    options: [
      range('chainSize', 1, 16, 8),
      choice('chainRule', ['bytes', 0], ['percent', 1]),
      choice('fullnessGroups', [12, 12], [4, 4]),
    ],
    isMovable: true,
    canSleepMapped: false,
    knowsFreeable: true,
    location: (frame, offset, classIndex, objectIndex) => ({ frame, offset, classIndex, objectIndex }),
    figures: (rows, [, , groups = 0]) => ({
      classes: rows.map((words): ClassStats => ({
        index: words[ROW_INDEX] as number,
        size: words[ROW_SIZE] as number,
        pages: words[ROW_PAGES] as number,
        objectsPerZspage: words[ROW_OBJECTS] as number,
        allocated: words[ROW_ALLOCATED] as number,
        used: words[ROW_USED] as number,
        freeable: words[ROW_FREEABLE] as number,
        zspages: words[ROW_ZSPAGES] as number,
        groups: Array.from(words.subarray(ROW_GROUPS, ROW_GROUPS + groups)),
      })),
    }),
  },
  xvmalloc: {
    options: [],
    isMovable: false,
    canSleepMapped: true,
    knowsFreeable: false,
    location: inOnePiece,
    figures: (rows) => ({ lists: lengths(rows) }),
  },
  xcfmalloc: {
    options: [choice('blocks', [2, 2], [1, 1]), range('reserve', 0, 1024, 32)],
    isMovable: true,
    canSleepMapped: true,
    knowsFreeable: false,
    location: (frame, offset, secondFrame, secondOffset) => ({
      frame,
      offset,
      blocks: [
        { frame, offset: offset - (offset % XCF_UNIT) },
        ...(secondFrame === 0 ? [] : [{ frame: secondFrame, offset: secondOffset }]),
      ],
    }),
    figures: (rows) => ({ lists: lengths(rows), reserveFrames: lengths(rows)[RESERVE_LIST] as number }),
  },
} satisfies Record<string, AllocatorRow>;

export type AllocatorName = keyof typeof ROWS;

/** Names of the allocators. */
export const ALLOCATORS: readonly AllocatorName[] = Object.keys(ROWS) as AllocatorName[];

/** The allocator of a front end by default, as in zram and zswap today. */
export const DEFAULT_ALLOCATOR: AllocatorName = 'zsmalloc';

/** The row of an allocator. */
export function rowOf(allocator: AllocatorName): AllocatorRow {
  return ROWS[allocator];
}

/** The number of an allocator's kind in the core. */
export function kindOf(allocator: AllocatorName): number {
  return kinds[allocator];
}

/** The allocator of a kind. Undefined for the kind of a front end. */
export function allocatorOf(kind: number): AllocatorName | undefined {
  return ALLOCATORS.find((name) => kinds[name] === kind);
}

/** Requires the name of an allocator. EINVAL. */
export function requireAllocator(op: string, name: unknown): asserts name is AllocatorName {
  if (!(ALLOCATORS as readonly unknown[]).includes(name))
    throw new CompcacheError('EINVAL', op, `unknown allocator ${show(name)}; known: ${ALLOCATORS.join(', ')}`, {
      detail: { argument: 'allocator' },
    });
}

/** Options that only the pools of some allocators have. */
export const ALLOCATOR_OPTIONS: readonly (keyof PoolOptions)[] = ALLOCATORS.flatMap(optionsOf);

/** Options that only the pools of this allocator have. */
export function optionsOf(allocator: AllocatorName): (keyof PoolOptions)[] {
  return rowOf(allocator).options.map(({ key }) => key);
}

/** Reads the options of a pool, each one once. EINVAL for an option of another allocator. */
export function takeZpoolOptions<Pool>(op: string, allocator: AllocatorName, options: unknown): ZpoolOptionsOf<Pool> {
  return takeOptions<ZpoolOptionsOf<Pool>>(op, options, ['name', 'evict', ...optionsOf(allocator)]);
}

/** The three option words of a pool (assembly/alloc/index.ts, init). EINVAL for a bad value. */
export function optionWords(op: string, allocator: AllocatorName, options: PoolOptions): [number, number, number] {
  if (options.evict !== undefined && typeof options.evict !== 'function')
    throw new CompcacheError('EINVAL', op, 'evict must be a function');
  const [a = 0, b = 0, c = 0] = rowOf(allocator).options.map(({ key, word }) => word(op, options[key]));
  return [a, b, c];
}
