/**
 * The deterministic traces, as drivers over a small interface, for models and real pools alike.
 *
 * T1, T3, the draw, the placement checksum and the eviction checksum follow docs/rules/README.md ("Trace
 * specification"); E6 to E10 follow zbud-z3fold.md section 5, T6 follows xvmalloc-xcfmalloc.md section 4. `churn` is
 * the general form of T2 and T6. A driver asserts nothing: it returns plain figures. A malloc that fails throws.
 */
import { EAGAIN } from './types.ts';

// ---- draws

/** One draw per call: 24 random bits (docs/rules/README.md). */
export type Draw = () => number;

/** A size takes as many draws as it needs. */
export type SizeOf = (draw: Draw) => number;

export function createDraw(seed: number): Draw {
  let x = seed >>> 0;
  return () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x >>> 8;
  };
}

/** 32..3072. */
export const size1: SizeOf = (draw) => 32 + (draw() % 3041);

/** E10: 32..4096. */
export const size10: SizeOf = (draw) => 32 + (draw() % 4065);

/** T6: two draws; 1..64, 4017..4080, or (half of them) 1..4080. */
export const size6: SizeOf = (draw) => {
  const kind = draw() & 3;
  const r = draw();
  if (kind === 0) return 1 + (r % 64);
  if (kind === 1) return 4017 + (r % 64);
  return 1 + (r % 4080);
};

/** Two draws; mostly small, some up to the largest size that every allocator takes. */
export const skewed: SizeOf = (draw) => {
  const r = draw();
  return draw() % 4 === 0 ? 1 + (r % 3968) : 1 + (r % 300);
};

// ---- checksums

/** Sum of k·(p + 1) mod 2^32 over all mallocs, k = 1, 2, … */
export class PlacementChecksum {
  count = 0;
  value = 0;

  add(placement: number): void {
    this.count++;
    this.value = (this.value + Math.imul(this.count, placement + 1)) >>> 0;
  }
}

/** Sum of n·(i + 1) mod 2^32 over all evicted objects, n = 1, 2, …; i = index in obj[]. */
export class EvictionChecksum {
  count = 0;
  value = 0;

  add(index: number): void {
    this.count++;
    this.value = (this.value + Math.imul(this.count, index + 1)) >>> 0;
  }
}

// ---- what a trace runs on

/** A model has this interface; a real pool needs a small adapter. */
export interface TraceTarget {
  /** A handle > 0, or a negative errno (or a throw). */
  malloc(size: number): number;
  free(handle: number): unknown;
  /**
   * p of the placement checksum, of an object just allocated. For xcfmalloc p is (o1 + 1) + 7·(o2 + 1); the checksum
   * adds 1 to this as well.
   */
  placement(handle: number): number;
  readonly pages: number;
  compact?(): number;
  /** Runs deferred work; churn calls it at every mark. */
  runDeferred?(): unknown;
  /** A number that changes if and only if the object moves; needed for T3's `moved`. */
  where?(handle: number): number;
  write?(handle: number): unknown;
  map?(handle: number, mode: 'ro'): unknown;
  unmap?(handle: number): unknown;
  /** Frames that came back, or a negative errno. `free`: the target frees the object. */
  shrink?(pages: number, evict: (handle: number) => 'free' | 'keep'): number;
}

export interface TraceOptions {
  /** Frees everything at the end; `drained` is the page count then, else -1. Default true. */
  drain?: boolean;
  /** Writes each object after its malloc, which puts it on zsmalloc's LRU (U2, U4). Default false. */
  write?: boolean;
}

/** obj[] and the figures of a running trace. */
class Run {
  readonly placement = new PlacementChecksum();
  readonly eviction = new EvictionChecksum();
  readonly draw: Draw;
  /** Bytes asked for by all mallocs. */
  requested = 0;
  liveBytes = 0;
  peak = 0;
  evictedBytes = 0;
  refused = 0;
  firstEvicted: number[] = [];
  readonly #target: TraceTarget;
  readonly #sizeOf: SizeOf;
  readonly #options: TraceOptions;
  /** Index → handle, 0 when freed or evicted. */
  readonly #handles: number[] = [];
  readonly #sizes: number[] = [];
  /** Handle → index, for evict callbacks. */
  readonly #indices = new Map<number, number>();

  constructor(target: TraceTarget, seed: number, sizeOf: SizeOf, options: TraceOptions) {
    this.#target = target;
    this.draw = createDraw(seed);
    this.#sizeOf = sizeOf;
    this.#options = options;
  }

  malloc(index: number): void {
    const size = this.#sizeOf(this.draw);
    const handle = this.#target.malloc(size);
    if (!(handle > 0)) throw new Error(`malloc(${size}) of obj[${index}] gave ${handle}`);
    this.#handles[index] = handle;
    this.#sizes[index] = size;
    this.#indices.set(handle, index);
    this.requested += size;
    this.liveBytes += size;
    this.placement.add(this.#target.placement(handle));
    if (this.#options.write === true) this.#target.write?.(handle);
    this.peak = Math.max(this.peak, this.#target.pages);
  }

  /** obj[from] .. obj[to - 1]. */
  mallocs(from: number, to: number): void {
    for (let index = from; index < to; index++) this.malloc(index);
  }

  isLive(index: number): boolean {
    return this.handle(index) !== 0;
  }

  handle(index: number): number {
    return this.#handles[index] ?? 0;
  }

  free(index: number): void {
    const handle = this.handle(index);
    if (handle === 0) throw new Error(`obj[${index}] is not live`);
    const errno = this.#target.free(handle);
    if (typeof errno === 'number' && errno < 0) throw new Error(`free of obj[${index}]: ${errno}`);
    this.#forget(index);
  }

  /** Calls shrink(1) `times` times; the callback accepts all objects except those that `refuses` names. */
  reclaims(times: number, refuses: (index: number) => boolean = () => false): ReclaimCounts {
    const counts: ReclaimCounts = { ok: 0, again: 0 };
    for (let i = 0; i < times; i++) {
      const result = this.#target.shrink?.(1, (handle) => this.#evict(handle, refuses));
      if (result === undefined) throw new Error('the target cannot shrink');
      if (result > 0) counts.ok++;
      else if (result === EAGAIN) counts.again++;
      else throw new Error(`shrink(1) gave ${result}`);
    }
    return counts;
  }

  /** The places of all live indices. */
  places(): Map<number, number> {
    const places = new Map<number, number>();
    for (let index = 0; index < this.#handles.length; index++) {
      if (!this.isLive(index)) continue;
      places.set(index, this.#target.where?.(this.handle(index)) ?? 0);
    }
    return places;
  }

  drain(): number {
    if (this.#options.drain === false) return -1;
    for (let index = 0; index < this.#handles.length; index++) {
      if (this.isLive(index)) this.free(index);
    }
    return this.#target.pages;
  }

  #evict(handle: number, refuses: (index: number) => boolean): 'free' | 'keep' {
    const index = this.#indices.get(handle);
    if (index === undefined) throw new Error(`evict called for handle ${handle}, not live`);
    if (refuses(index)) {
      this.refused++;
      return 'keep';
    }
    this.eviction.add(index);
    this.evictedBytes += this.#sizes[index] ?? 0;
    if (this.firstEvicted.length < 16) this.firstEvicted.push(index);
    this.#forget(index);
    return 'free';
  }

  #forget(index: number): void {
    this.#indices.delete(this.handle(index));
    this.#handles[index] = 0;
    this.liveBytes -= this.#sizes[index] ?? 0;
  }
}

export interface ReclaimCounts {
  ok: number;
  again: number;
}

/** live requested bytes / (pages × 4096). */
export function density(liveBytes: number, pages: number): number {
  return liveBytes / (pages * 4096);
}

// ---- T1, T3

export interface FillResult {
  pages: number;
  placement: number;
  requested: number;
  density: number;
  drained: number;
}

/** T1: seed 1, 100,000 mallocs. Fewer give the checkpoints of docs/rules/zbud-z3fold.md section 3. */
export function runT1(target: TraceTarget, options: TraceOptions = {}, count = 100_000): FillResult {
  const run = new Run(target, 1, size1, options);
  run.mallocs(0, count);
  const { pages } = target;
  return {
    pages,
    placement: run.placement.value,
    requested: run.requested,
    density: density(run.liveBytes, pages),
    drained: run.drain(),
  };
}

export interface HalfFreedResult {
  full: number;
  /** Pages after 10, 100, 1,000, 10,000 and 50,000 frees. */
  freeMarks: number[];
  half: number;
  /** Without compact(): the same as `half`. */
  compacted: number;
  /** What compact() returned; -1 without one. */
  compactFreed: number;
  /** Live objects whose place compact() changed (Q3); -1 without compact() or where(). */
  moved: number;
  /** What a second compact() returned; -1 without one. */
  compactAgain: number;
  placement: number;
  requested: number;
  liveBytes: number;
  density: number;
  drained: number;
}

/** T3: seed 3, 100,000 mallocs, every second one freed, compact() where there is one. */
export function runT3(target: TraceTarget, options: TraceOptions = {}): HalfFreedResult {
  const count = 100_000;
  const run = new Run(target, 3, size1, options);
  run.mallocs(0, count);
  const full = target.pages;
  const freeMarks: number[] = [];
  let frees = 0;
  for (let index = 1; index < count; index += 2) {
    run.free(index);
    frees++;
    if ([10, 100, 1_000, 10_000, 50_000].includes(frees)) freeMarks.push(target.pages);
  }
  const half = target.pages;
  let compactFreed = -1;
  let compactAgain = -1;
  let moved = -1;
  let compacted = half;
  if (target.compact !== undefined) {
    const before = run.places();
    compactFreed = target.compact();
    compacted = target.pages;
    if (target.where !== undefined) {
      moved = 0;
      for (const [index, place] of run.places()) if (before.get(index) !== place) moved++;
    }
    compactAgain = target.compact();
  }
  return {
    full,
    freeMarks,
    half,
    compacted,
    compactFreed,
    moved,
    compactAgain,
    placement: run.placement.value,
    requested: run.requested,
    liveBytes: run.liveBytes,
    density: density(run.liveBytes, compacted),
    drained: run.drain(),
  };
}

// ---- churn, T6

export interface ChurnOptions extends TraceOptions {
  seed: number;
  live: number;
  steps: number;
  sizeOf: SizeOf;
  /** The page count is recorded after every `markEvery` steps. */
  markEvery: number;
}

export interface ChurnResult {
  filled: number;
  marks: number[];
  /** The highest page count after any malloc. */
  peak: number;
  placement: number;
  requested: number;
  liveBytes: number;
  drained: number;
}

/** `live` mallocs, then steps of: i = draw % live; free(obj[i]); obj[i] = malloc. */
export function runChurn(target: TraceTarget, options: ChurnOptions): ChurnResult {
  const { seed, live, steps, sizeOf, markEvery } = options;
  const run = new Run(target, seed, sizeOf, options);
  run.mallocs(0, live);
  const filled = target.pages;
  const marks: number[] = [];
  for (let step = 1; step <= steps; step++) {
    const index = run.draw() % live;
    run.free(index);
    run.malloc(index);
    if (step % markEvery !== 0) continue;
    target.runDeferred?.();
    marks.push(target.pages);
  }
  return {
    filled,
    marks,
    peak: run.peak,
    placement: run.placement.value,
    requested: run.requested,
    liveBytes: run.liveBytes,
    drained: run.drain(),
  };
}

/** Like T2: seed 2, 50,000 live, size1; ten marks. */
export function runChurn2(target: TraceTarget, steps: number, options: TraceOptions = {}): ChurnResult {
  const markEvery = Math.max(1, Math.floor(steps / 10));
  return runChurn(target, { ...options, seed: 2, live: 50_000, steps, sizeOf: size1, markEvery });
}

/** The same with seed 4 and mostly small sizes. */
export function runChurnSmall(target: TraceTarget, steps: number, options: TraceOptions = {}): ChurnResult {
  const markEvery = Math.max(1, Math.floor(steps / 10));
  return runChurn(target, { ...options, seed: 4, live: 50_000, steps, sizeOf: skewed, markEvery });
}

/** T6, the edge trace: sizes 1..4080, so not for zbud. */
export function runT6(target: TraceTarget, options: TraceOptions = {}): ChurnResult {
  return runChurn(target, {
    ...options,
    seed: 6,
    live: 5_000,
    steps: 100_000,
    sizeOf: size6,
    markEvery: 20_000,
  });
}

// ---- E6 .. E10

export interface EvictionFigures {
  evicted: number;
  evictedBytes: number;
  evictionChecksum: number;
  /** Indices in obj[] of the first sixteen. */
  firstEvicted: number[];
}

function evictionFigures(run: Run): EvictionFigures {
  return {
    evicted: run.eviction.count,
    evictedBytes: run.evictedBytes,
    evictionChecksum: run.eviction.value,
    firstEvicted: [...run.firstEvicted],
  };
}

export interface E6Result extends EvictionFigures {
  before: number;
  after: number;
  reclaims: ReclaimCounts;
  placement: number;
  drained: number;
}

/** E6, churn then reclaim; also with other numbers of live objects, steps and reclaims. */
export function runE6(
  target: TraceTarget,
  options: TraceOptions = {},
  { live = 20_000, steps = 100_000, times = 500 } = {},
): E6Result {
  const run = new Run(target, 6, size1, options);
  run.mallocs(0, live);
  for (let step = 0; step < steps; step++) {
    const index = run.draw() % live;
    run.free(index);
    run.malloc(index);
  }
  const before = target.pages;
  const reclaims = run.reclaims(times);
  return {
    before,
    after: target.pages,
    reclaims,
    ...evictionFigures(run),
    placement: run.placement.value,
    drained: run.drain(),
  };
}

export interface E7Result {
  filled: number;
  afterFirst: number;
  refilled: number;
  end: number;
  first: ReclaimCounts & EvictionFigures & { refused: number };
  /** Counts of the second 500; evictions of the whole trace. */
  second: ReclaimCounts & EvictionFigures;
  placement: number;
  drained: number;
}

/** E7, refusals: even indices are kept in the first 500 reclaims. */
export function runE7(target: TraceTarget, options: TraceOptions = {}): E7Result {
  const run = new Run(target, 7, size1, options);
  run.mallocs(0, 5_000);
  const filled = target.pages;
  const firstCounts = run.reclaims(500, (index) => index % 2 === 0);
  const first = { ...firstCounts, ...evictionFigures(run), refused: run.refused };
  const afterFirst = target.pages;
  run.mallocs(5_000, 10_000);
  const refilled = target.pages;
  const secondCounts = run.reclaims(500);
  return {
    filled,
    afterFirst,
    refilled,
    end: target.pages,
    first,
    second: { ...secondCounts, ...evictionFigures(run) },
    placement: run.placement.value,
    drained: run.drain(),
  };
}

export interface ThinnedResult extends EvictionFigures {
  full: number;
  thinned: number;
  end: number;
  reclaims: ReclaimCounts;
  placement: number;
  drained: number;
}

function runThinned(
  target: TraceTarget,
  options: TraceOptions,
  seed: number,
  count: number,
  sizeOf: SizeOf,
): ThinnedResult {
  const run = new Run(target, seed, sizeOf, options);
  run.mallocs(0, count);
  const full = target.pages;
  for (let index = 1; index < count; index += 3) run.free(index);
  const thinned = target.pages;
  const reclaims = run.reclaims(500);
  return {
    full,
    thinned,
    end: target.pages,
    reclaims,
    ...evictionFigures(run),
    placement: run.placement.value,
    drained: run.drain(),
  };
}

/** E8, thinned then reclaim. */
export function runE8(target: TraceTarget, options: TraceOptions = {}): ThinnedResult {
  return runThinned(target, options, 8, 20_000, size1);
}

/** E10, headless too: sizes to 4096, so not for zbud's layout 6.1. */
export function runE10(target: TraceTarget, options: TraceOptions = {}): ThinnedResult {
  return runThinned(target, options, 10, 10_000, size10);
}

export interface E9Result {
  full: number;
  freed: number;
  refilled: number;
  end: number;
  placement: number;
  drained: number;
}

/** E9, maps. */
export function runE9(target: TraceTarget, options: TraceOptions = {}): E9Result {
  const { map, unmap } = target;
  if (map === undefined || unmap === undefined) throw new Error('the target cannot map');
  const count = 20_000;
  const run = new Run(target, 9, size1, options);
  run.mallocs(0, count);
  const full = target.pages;
  for (let index = 0; index < count; index += 5) map.call(target, run.handle(index), 'ro');
  for (let index = 0; index < count; index++) {
    if (index % 5 === 1 || index % 5 === 2) run.free(index);
  }
  const freed = target.pages;
  run.mallocs(count, count + 5_000);
  const refilled = target.pages;
  for (let index = 0; index < count; index += 5) unmap.call(target, run.handle(index));
  for (let index = 3; index < count; index += 5) run.free(index);
  return {
    full,
    freed,
    refilled,
    end: target.pages,
    placement: run.placement.value,
    drained: run.drain(),
  };
}
