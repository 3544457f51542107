/**
 * What the test suites of the allocators share: builds, rows of allocators, RAMs, errors and bytes.
 *
 * Portable: no Node module and no test framework, so that the same files run in Node, in a browser and in
 * test/random/long.ts. A new allocator joins every suite by a row in `allocators`; a row with a model joins the
 * comparisons with models too.
 */
import { CompcacheError, PAGE_SIZE, Ram } from '../bindings/index.ts';
import type {
  AllocatorName,
  ErrorCode,
  FrameContents,
  Handle,
  Location,
  RamOptions,
  Zpool,
  ZpoolOptions,
} from '../bindings/index.ts';
import type { TraceTarget } from './models/trace.ts';
import { EAGAIN, EINVAL } from './models/types.ts';
import type { PoolModel } from './models/types.ts';
import { XcfmallocModel } from './models/xcfmalloc.ts';
import { XvmallocModel } from './models/xvmalloc.ts';
import { Z3foldModel } from './models/z3fold.ts';
import { ZbudModel } from './models/zbud.ts';
import type { ZbudLayout } from './models/zbud.ts';
import { ZsmallocModel } from './models/zsmalloc.ts';
import type { ZsmallocModelOptions } from './models/zsmalloc.ts';

// ---- builds

export type Build = 'release' | 'scalar' | 'checked';

export const ALL_BUILDS: readonly Build[] = ['release', 'scalar', 'checked'];

/** An environment variable `VITE_…` of the test run; undefined outside of vitest. */
function variable(name: string): string | undefined {
  return (import.meta as { env?: Record<string, string | undefined> }).env?.[name];
}

/** The builds under test: all three, or those that VITE_BUILDS names ("checked,release"). */
export const builds: readonly Build[] = ALL_BUILDS.filter(
  (build) => variable('VITE_BUILDS')?.split(',').includes(build) ?? true,
);

/** Options of Ram.create that choose a build. */
export function buildOptions(build: Build): RamOptions {
  return build === 'checked' ? { build } : { build: 'release', simd: build === 'release' };
}

/** A RAM of one build; 4 MiB (974 frames to hand out) unless the options say otherwise. */
export function createRam(build: Build, options: RamOptions = {}): Promise<Ram> {
  return Ram.create({ bytes: '4MiB', ...options, ...buildOptions(build) });
}

// ---- allocators

export interface AllocatorRow {
  readonly title: string;
  readonly allocator: AllocatorName;
  readonly options: ZpoolOptions;
  /** Bytes of the largest object. An object of this size is alone in its frame. */
  readonly largest: number;
  readonly movable: boolean;
  readonly canSleepMapped: boolean;
  /** True when only a write puts an object's frame on the LRU and at its front; otherwise only malloc does. */
  readonly lruByWrite: boolean;
  /** True when raw pages lie in a whole frame outside the allocator's own layout. */
  readonly rawFrames: boolean;
  /** True when two objects never share a frame, however small they are. */
  readonly isAlone?: boolean;
  /** The frames of a pool without objects: the reserve of xcfmalloc. */
  readonly idleFrames: number;
  /**
   * The frames of a pool with this number of objects that fill a frame each, when nothing was freed except by eviction.
   */
  framesFilled(count: number): number;
  /** Options with which malloc takes no frame that it does not need at once. */
  readonly frugal: ZpoolOptions;
  /** True when shrink() counts every frame that goes back to the RAM meanwhile, not only the victims. */
  readonly countsAllFrames: boolean;
  /** True when objects may lie in two frames; they are then mapped through a buffer. */
  readonly straddles: boolean;
  /**
   * In a RAM of a few MiB, a slot (or its frame, when the frame has the generation) can be used this often before a
   * handle is given out again.
   */
  readonly staleUses: number;
  /** Sizes at which the placement changes: an object of this size is placed differently from one a byte larger. */
  readonly edges: readonly number[];
  /** The lists of stats() that a frame is on, or its free bytes; undefined when the allocator has no lists. */
  readonly lists?: (contents: FrameContents, count: (list: number) => void) => void;
}

/** A row with a model: it takes part in the random comparison and in the traces. */
export interface ModelledRow extends AllocatorRow {
  /** True when compact() goes by frame numbers, which the model must be told. */
  readonly compactsByFrame: boolean;
  createModel(): PoolModel;
  /** p of the placement checksum (docs/rules/README.md). */
  placement(location: Location): number;
  /** Names of the frames in which the parts of a live object of the model begin, in the order of locations(). */
  frameKeys(model: PoolModel, id: number): string[];
  /** For a class of zsmalloc: used and allocated slots, zspages, and zspages by fullness group. */
  classCounts?(model: PoolModel, index: number): unknown;
  /**
   * Only xcfmalloc can work with fewer frames than it wants, with a smaller reserve. Its model is told what the RAM
   * gave: the number of frames of the pool after a call, and the parts of the object after a malloc.
   */
  readonly short?: {
    malloc(model: PoolModel, size: number, pages: number, parts: number): number;
    lack(model: PoolModel, pages: number): void;
  };
}

function range(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => from + i * step);
}

export function zbudRow(layout: ZbudLayout): ModelledRow {
  const largest = layout === '6.1' ? 3968 : 4096;
  return {
    title: `zbud ${layout}`,
    allocator: 'zbud',
    options: { layout },
    largest,
    movable: false,
    canSleepMapped: true,
    lruByWrite: false,
    rawFrames: layout === '6.1',
    ...NO_RESERVE,
    straddles: false,
    compactsByFrame: false,
    staleUses: 2000,
    edges: range(64, largest - 64, 64),
    lists: ({ objects, free }, count) =>
      count(objects.length === 2 ? 0 : free.reduce((sum, { bytes }) => sum + bytes, 0) / 64),
    createModel: () => new ZbudModel(layout),
    placement: ({ offset }) => offset,
    frameKeys: frameOfWhere,
  };
}

/** The frame of an object of a model whose where() is frame × 4096 + offset. */
function frameOfWhere(model: PoolModel, id: number): string[] {
  return [String(Math.floor(model.where(id) / PAGE_SIZE))];
}

const NO_RESERVE = { idleFrames: 0, framesFilled: (count: number) => count, frugal: {}, countsAllFrames: false };

export function z3foldRow(deferred: 'afterFree' | 'manual' = 'afterFree'): ModelledRow {
  return {
    title: `z3fold ${deferred}`,
    allocator: 'z3fold',
    options: { deferred },
    largest: PAGE_SIZE,
    movable: true,
    canSleepMapped: true,
    lruByWrite: false,
    rawFrames: false,
    ...NO_RESERVE,
    straddles: false,
    compactsByFrame: true,
    staleUses: 1000,
    edges: range(64, 3968, 64),
    lists: (contents, count) => {
      const gap = z3foldGap(contents);
      if (gap !== undefined) count(gap);
    },
    createModel: () => new Z3foldModel({ deferred }),
    placement: ({ offset }) => offset,
    frameKeys: frameOfWhere,
  };
}

/** Z4: the largest gap at an open end, in chunks; undefined for a frame that is on no list. FIRST begins at 64, LAST ends the frame. */
function z3foldGap({ objects }: FrameContents): number | undefined {
  const places = objects.map(({ offset, bytes }) => ({ start: offset / 64, end: offset / 64 + Math.ceil(bytes / 64) }));
  const first = places.find(({ start }) => start <= 1);
  const last = places.find(({ end }) => end === 64);
  const middle = places.find((one) => one !== first && one !== last);
  if (first?.start === 0 || (first !== undefined && middle !== undefined && last !== undefined)) return undefined;
  if (middle === undefined) return (last?.start ?? 64) - (first?.end ?? 1);
  return Math.max(first === undefined ? middle.start - 1 : 0, last === undefined ? 64 - middle.end : 0);
}

export function xvmallocRow(): ModelledRow {
  return {
    title: 'xvmalloc',
    allocator: 'xvmalloc',
    options: {},
    largest: 4088,
    movable: false,
    canSleepMapped: true,
    lruByWrite: false,
    rawFrames: true,
    ...NO_RESERVE,
    straddles: false,
    compactsByFrame: false,
    staleUses: 250,
    edges: range(32, 4080, 8),
    lists: ({ free }, count) => {
      for (const { bytes } of free) if (bytes >= 32) count(Math.min(Math.floor((bytes - 32) / 8), 507));
    },
    createModel: () => new XvmallocModel(),
    placement: ({ offset }) => offset,
    frameKeys: frameOfWhere,
  };
}

/**
 * malloc fills the reserve up to 32 frames and may take one of them; free fills the reserve again, an eviction does
 * not.
 */
export function xcfmallocRow(blocks: 1 | 2): ModelledRow {
  return {
    title: `xcfmalloc blocks ${blocks}`,
    allocator: 'xcfmalloc',
    options: { blocks },
    largest: 4084,
    movable: true,
    canSleepMapped: true,
    lruByWrite: false,
    rawFrames: true,
    idleFrames: 32,
    framesFilled: (count) => (count === 0 ? 32 : count + 31),
    frugal: { reserve: 0 },
    countsAllFrames: true,
    straddles: blocks === 2,
    compactsByFrame: true,
    staleUses: 2000,
    edges: range(52, 4020, 64),
    lists: ({ free }, count) => {
      for (const { bytes } of free) count(bytes / 64 - 1);
    },
    createModel: () => new XcfmallocModel({ blocks }),
    placement: (location) =>
      frameParts(location).reduce((sum, { offset }, i) => sum + (i === 0 ? 1 : 7) * (offset + 1), 0),
    frameKeys: (model, id) => (model as XcfmallocModel).frameSerials(id).map(String),
    short: {
      malloc: (model, size, pages, parts) => {
        const before = model.pages;
        // An object as large as a frame is in two blocks only when the reserve was empty: the new frames of the pool
        // came after it.
        const isLate = parts === 2 && size > 4020;
        return (model as XcfmallocModel).mallocShort(size, isLate ? 0 : Math.max(0, pages - before));
      },
      lack: (model, pages) => (model as XcfmallocModel).lackFrames(pages),
    },
  };
}

/** Where the parts of an object begin: the blocks of xcfmalloc in their order, or one place. */
export function frameParts({ frame, offset, blocks }: Location): readonly { frame: number; offset: number }[] {
  return blocks ?? [{ frame, offset }];
}

/** Frames of a pool with an object in them. */
export function objectFrames(pool: Zpool): number {
  return pool.totalPages - (pool.stats().reserveFrames ?? 0);
}

/** The size of the slots of a zsmalloc class. */
export function slotBytes(classIndex: number): number {
  return 32 + 16 * classIndex;
}

export function zsmallocRow(options: ZsmallocModelOptions): ModelledRow {
  const { chainSize = 8, chainRule = 'bytes', fullnessGroups = 12 } = options;
  const sizes = new ZsmallocModel(options).classTable().map(({ size }) => size - 4);
  return {
    title: `zsmalloc chain ${chainSize}, ${chainRule}, ${fullnessGroups} groups`,
    allocator: 'zsmalloc',
    options,
    largest: PAGE_SIZE,
    movable: true,
    canSleepMapped: false,
    lruByWrite: true,
    rawFrames: false,
    ...NO_RESERVE,
    straddles: chainSize > 1,
    compactsByFrame: false,
    staleUses: 1000,
    edges: sizes.slice(0, -1),
    createModel: () => new ZsmallocModel(options),
    placement: ({ classIndex = 0, objectIndex = 0 }) => objectIndex + 1024 * classIndex,
    classCounts: (model, index) => {
      const { used, allocated, zspages } = (model as ZsmallocModel).classCounts(index);
      return [used, allocated, zspages, (model as ZsmallocModel).groupLists(index).map(({ length }) => length)];
    },
    frameKeys: (model, id) => {
      const where = model.where(id);
      const slot = where % 1024;
      const bytes = slotBytes(Math.floor(model.placement(id) / 1024));
      return [`${Math.floor(where / 1024)}/${Math.floor((slot * bytes) / PAGE_SIZE)}`];
    },
  };
}

/** Every allocator and layout. */
const ROWS: readonly AllocatorRow[] = [
  zbudRow('6.1'),
  zbudRow('2013'),
  z3foldRow('afterFree'),
  z3foldRow('manual'),
  xvmallocRow(),
  xcfmallocRow(1),
  xcfmallocRow(2),
  zsmallocRow({}),
  zsmallocRow({ chainSize: 4, chainRule: 'percent', fullnessGroups: 4 }),
  zsmallocRow({ chainSize: 1 }),
  zsmallocRow({ chainSize: 16 }),
  // the end of the rows
];

/** The rows under test: all of them, or those of the allocator that VITE_ALLOCATOR names. */
export const allocators: readonly AllocatorRow[] = ROWS.filter(
  ({ allocator }) => allocator === (variable('VITE_ALLOCATOR') ?? allocator),
);

/** The rows with a model. */
export const modelled: readonly ModelledRow[] = allocators.filter((row): row is ModelledRow => 'createModel' in row);

/** Creates a pool with the options of a row. */
export function createPool(ram: Ram, row: AllocatorRow, options: ZpoolOptions = {}): Zpool {
  return ram.zpool(row.allocator, { ...row.options, ...options });
}

/** A row of another allocator than this one. */
export function otherRow(row: AllocatorRow): AllocatorRow {
  return ROWS.find(({ allocator }) => allocator !== row.allocator) as AllocatorRow;
}

// ---- faults

/** Linux's numbers, written here independently of the code under test. */
const ERRNO: Record<ErrorCode, number> = {
  ENOENT: -2,
  EIO: -5,
  ECLOSED: -9,
  EAGAIN: -11,
  ENOMEM: -12,
  EBUSY: -16,
  EEXIST: -17,
  ENODEV: -19,
  EINVAL: -22,
  ENOSPC: -28,
  ERANGE: -34,
  EUCLEAN: -117,
};

export interface ExpectedFault {
  code: ErrorCode;
  op: string;
  /** A part of the message: the argument, or the allowed values. */
  says?: RegExp | string;
}

/** Throws unless the condition holds. */
export function must(holds: boolean, what: string, cause?: unknown): asserts holds {
  if (!holds) throw new Error(what, { cause });
}

function judge(error: unknown, { code, op, says }: ExpectedFault): CompcacheError {
  must(error instanceof CompcacheError, `${op}: a ${code} was expected, not ${String(error)}`, error);
  must(error.name === 'CompcacheError' && error.code === code, `${op}: ${code} was expected, not ${error.code}`, error);
  must(error.errno === ERRNO[code], `${code} is ${ERRNO[code]}, not ${error.errno}`, error);
  must(error.op === op, `the call is ${op}, not ${error.op}`, error);
  must(error.message.startsWith(`${op}: `), 'a message begins with the call', error);
  if (says !== undefined)
    must(new RegExp(says).test(error.message), `${String(says)} is not in: ${error.message}`, error);
  return error;
}

/** Requires that a call throws a CompcacheError as described. @returns the error */
export function fault(expected: ExpectedFault, call: () => unknown): CompcacheError {
  let value: unknown;
  try {
    value = call();
  } catch (error) {
    return judge(error, expected);
  }
  throw new Error(`${expected.op}: a ${expected.code} was expected, but it returned ${String(value)}`);
}

/** The CompcacheError that a call throws; fails when it throws another error or none. */
export function errorOf(call: () => unknown): CompcacheError {
  try {
    call();
  } catch (error) {
    must(error instanceof CompcacheError, `one of our errors was expected, not ${String(error)}`, error);
    return error;
  }
  throw new Error('nothing was thrown');
}

/** The same for a call that rejects. */
export async function rejected(expected: ExpectedFault, promise: Promise<unknown>): Promise<CompcacheError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return judge(error, expected);
  }
  throw new Error(`${expected.op}: a ${expected.code} was expected, but it returned ${String(value)}`);
}

/** The code of a call that throws, or its value. */
export function outcome<T>(call: () => T): T | ErrorCode {
  try {
    return call();
  } catch (error) {
    if (error instanceof CompcacheError) return error.code;
    throw error;
  }
}

// ---- bytes

/** Pseudo-random bytes: a function of length and seed. */
export function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = (Math.imul(seed, 2654435761) ^ length) >>> 0;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

/** Equality of bytes, by words where both arrays are aligned: the long runs spend half of their time here. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  const { length } = a;
  if (length !== b.length) return false;
  const words = ((a.byteOffset | b.byteOffset) & 3) === 0 ? length >> 2 : 0;
  const [left, right] = [
    new Uint32Array(a.buffer, words && a.byteOffset, words),
    new Uint32Array(b.buffer, words && b.byteOffset, words),
  ];
  for (let i = 0; i < words; i++) if (left[i] !== right[i]) return false;
  for (let i = 4 * words; i < length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Requires equal bytes, and reports the first difference. */
export function expectBytes(actual: Uint8Array, expected: Uint8Array, what = 'bytes'): void {
  if (sameBytes(actual, expected)) return;
  const at = expected.findIndex((byte, i) => byte !== actual[i]);
  throw new Error(`${what}: ${actual.length} bytes, expected ${expected.length}, first difference at ${at}`);
}

// ---- objects

/** An object and the bytes that were written into it. */
export interface Stored {
  handle: Handle;
  bytes: Uint8Array;
}

/** Allocates an object and writes all its bytes. */
export function put(pool: Zpool, size: number, seed = size): Stored {
  const handle = pool.malloc(size);
  const bytes = noise(size, seed);
  pool.write(handle, bytes);
  return { handle, bytes };
}

/** One object for each size. */
export function putAll(pool: Zpool, sizes: readonly number[]): Stored[] {
  return sizes.map((size, i) => put(pool, size, i + 1));
}

/** Allocates objects until the RAM has no frame left. */
export function putUntilFull(pool: Zpool, sizeOf: (i: number) => number): Stored[] {
  const stored: Stored[] = [];
  for (;;) {
    const size = sizeOf(stored.length);
    const handle = outcome(() => pool.malloc(size));
    if (handle === 'ENOMEM') return stored;
    must(typeof handle === 'number', `malloc(${size}) gave ${handle}`);
    const bytes = noise(size, stored.length);
    pool.write(handle, bytes);
    stored.push({ handle, bytes });
  }
}

/** Frees objects, and runs deferred work (only z3fold with deferred 'manual' has any). */
export function freeAll(pool: Zpool, handles: Iterable<Handle>): void {
  for (const handle of handles) pool.free(handle);
  pool.runDeferred();
}

export function expectIntact(pool: Zpool, stored: readonly Stored[]): void {
  for (const { handle, bytes } of stored) expectBytes(pool.read(handle), bytes, `object ${handle}`);
}

/** Sizes from the whole range of a row, with its edges and the largest. */
export function mixedSizes(row: AllocatorRow, count: number, seed = 1): number[] {
  const random = noise(4 * count, seed);
  return Array.from({ length: count }, (_, i) => {
    const word = new DataView(random.buffer).getUint32(4 * i, true);
    if (i % 7 === 0 && row.edges.length > 0) return row.edges[word % row.edges.length] as number;
    if (i % 31 === 0) return row.largest;
    return 1 + ((word >>> 8) % row.largest);
  });
}

// ---- a picture of all that can be seen from outside

/**
 * Everything that the public API shows of a RAM, except its high-water mark, as text. Two equal pictures mean the same
 * visible state.
 */
export function picture(ram: Ram): string {
  const frames = { ...ram.stats(), highWaterFrames: 0 };
  const pools = ram.pools().map((pool) => {
    const walked: unknown[] = [];
    const sums = new Map<Handle, string>();
    pool.walk((contents) => {
      walked.push(contents);
      for (const { handle } of contents.objects) sums.set(handle, `${pool.size(handle)}:${digest(pool.read(handle))}`);
    });
    return { name: pool.name, stats: pool.stats(), walked, contents: [...sums] };
  });
  return JSON.stringify({ frames, pools });
}

/** FNV-1a. */
function digest(bytes: Uint8Array): number {
  let sum = 0x811c9dc5;
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 16777619);
  return sum >>> 0;
}

/** Requires that a call which fails changes nothing visible. */
export function changesNothing(ram: Ram, call: () => void): void {
  const before = picture(ram);
  call();
  ram.check();
  const after = picture(ram);
  must(after === before, `a call that failed changed something:\n${before.slice(0, 2000)}\n${after.slice(0, 2000)}`);
}

// ---- real pools on the traces of test/models/trace.ts

/** A real pool as the target of a trace. */
export function traceTarget(ram: Ram, row: ModelledRow): TraceTarget & { readonly pool: Zpool } {
  let answer: (handle: number) => 'free' | 'keep' = () => 'keep';
  const word = Uint8Array.of(1, 2, 3, 4);
  const pool = createPool(ram, row, {
    evict: (handle, from) => {
      if (answer(handle) === 'keep') return false;
      from.free(handle);
    },
  });
  const target: TraceTarget & { readonly pool: Zpool } = {
    pool,
    malloc: (size) => pool.malloc(size),
    free: (handle) => pool.free(handle as Handle),
    placement: (handle) => row.placement(pool.locate(handle as Handle)),
    get pages() {
      return pool.totalPages;
    },
    where: (handle) =>
      frameParts(pool.locate(handle as Handle)).reduce(
        (sum, { frame, offset }) => sum * 2 ** 26 + frame * 64 + offset / 64,
        1,
      ),
    write: (handle) => pool.write(handle as Handle, word.subarray(0, Math.min(4, pool.size(handle as Handle)))),
    map: (handle, mode) => pool.map(handle as Handle, mode),
    unmap: (handle) => pool.unmap(handle as Handle),
    runDeferred: () => pool.runDeferred(),
    shrink: (pages, evict) => {
      answer = evict;
      const freed = outcome(() => pool.shrink(pages));
      if (typeof freed === 'number') return freed;
      return freed === 'EAGAIN' ? EAGAIN : EINVAL;
    },
  };
  if (row.movable) target.compact = () => pool.compact();
  return target;
}
