/**
 * `compcache estimate`: how many frames would these pages need with each allocator, and how fast would it be?
 *
 * The input is read in parts that fit into one RAM. Each part is stored with every allocator, each in its own RAM,
 * loaded and compared. When a RAM is full before the end of a part, a new RAM takes the rest. Figures are summed over
 * all RAMs.
 */
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import type { Command } from 'commander';
import {
  ALLOCATORS,
  CompcacheError,
  PAGE_SIZE,
  Ram,
  type AllocatorName,
  type Codec,
  type Handle,
  type PageEntry,
  type Zpool,
} from '../bindings/index.ts';
import {
  CODECS,
  INPUT_HELP,
  codecNamed,
  parseAllocators,
  parseCodec,
  parseCount,
  ramBytesOf,
  type CodecName,
} from './arguments.ts';
import { median } from './bench/measure.ts';
import { InputError, openInput, parts, type Input } from './pages.ts';
import type { Report, Result } from './estimate-report.ts';
import { createProgress, toJson, toText, type Progress } from './report.ts';

const EXIT_DIFFERENT = 1;
const WARM_UP_PAGES = 1000;
const WARM_UP_RAM = '16MiB';
const PART = 15 / 16; // of a RAM's frames: this many pages fit even when none can be compressed
const BATCH = 64; // pages that are timed together, because the clock is too coarse for one
const BATCHES_AT_ONCE = 16; // then the event loop runs once, for example for a signal

/** The input and the options of an estimate. */
export interface Request {
  input: Input;
  allocators: readonly AllocatorName[];
  codecName: string;
  /** Undefined for the core's LZ4. */
  codec: Codec | undefined;
  ramBytes: number;
  /** The most pages to look at. */
  maxPages?: number;
}

// ── command ──────────────────────────────────────────────────────────────────

interface Options {
  pid?: number;
  allocator?: AllocatorName[];
  codec: CodecName;
  ram: string;
  pages?: number;
  json?: boolean;
}

const HELP = `
  compcache estimate data.bin more.bin                 the pages of files
  tar c src | compcache estimate                       the pages of a pipe
  compcache estimate --pid 4711                        the memory of a process
  compcache estimate --pages 1000 /dev/urandom         the first pages of a device`;

/** Adds the command to the program. */
export function addEstimate(program: Command): void {
  program
    .command('estimate')
    .description('store the pages of files or of a process under each allocator, and say what that takes')
    .argument('[FILE...]', INPUT_HELP)
    .option('--pid <N>', 'the private writable pages of a running process instead (Linux)', parseCount)
    .option(
      '--allocator <names>',
      `allocators, separated by commas (default: all: ${ALLOCATORS.join(',')})`,
      parseAllocators,
    )
    .option('--codec <name>', `one of ${CODECS.join(', ')}`, parseCodec, 'lz4')
    .option('--ram <size>', 'size of a RAM; a larger input is cut into several', '256MiB')
    .option('--pages <N>', 'look at the first N pages only; a device without end needs it', parseCount)
    .option('--json', 'print one JSON object')
    .addHelpText('after', HELP)
    .action(run);
}

async function run(files: string[], options: Options): Promise<void> {
  const ramBytes = await ramBytesOf(options.ram);
  const request: Request = {
    input: await openInput(files, { pid: options.pid, isBounded: options.pages !== undefined }),
    allocators: options.allocator ?? ALLOCATORS,
    codecName: options.codec,
    codec: await codecNamed(options.codec),
    ramBytes,
    ...(options.pages !== undefined && { maxPages: options.pages }),
  };
  process.exitCode = await runEstimate(request, options.json === true, process);
}

/** Makes and prints the estimate. Returns the exit code. */
export async function runEstimate(
  request: Request,
  asJson: boolean,
  { stdout, stderr }: { stdout: NodeJS.WritableStream; stderr: NodeJS.WriteStream },
): Promise<number> {
  const progress = createProgress(stderr);
  let report: Report;
  try {
    report = await estimate(request, progress);
  } finally {
    progress.stop();
  }
  stdout.write(asJson ? toJson(report) : toText(report));
  for (const { allocator, pages, different, firstDifferent } of report.results) {
    if (different === 0) continue;
    stderr.write(
      `compcache: ${allocator}: ${different} of ${pages} pages came back different, the first is page ${firstDifferent}\n`,
    );
  }
  return report.results.some(({ different }) => different !== 0) ? EXIT_DIFFERENT : 0;
}

// ── estimate ─────────────────────────────────────────────────────────────────

/** Stores, loads and compares every page with every allocator. */
export async function estimate(request: Request, progress: Progress): Promise<Report> {
  const { input, allocators, codec, ramBytes, maxPages } = request;
  const trials = allocators.map((allocator) => new Trial(allocator, codec, ramBytes, progress));
  const stepsPerPage = 2 * trials.length;
  progress.expect(Math.min(input.expectedPages, maxPages ?? Infinity) * stepsPerPage);
  for await (const pages of parts(input, Math.floor((ramBytes / PAGE_SIZE) * PART), maxPages)) {
    progress.expect(input.summary.pages * stepsPerPage);
    for (const trial of trials) await trial.add(pages);
  }
  return { input: input.summary, codec: request.codecName, ramBytes, results: trials.map((trial) => trial.result()) };
}

/** One allocator, and the sums over all its pages. */
class Trial {
  readonly #allocator: AllocatorName;
  readonly #codec: Codec | undefined;
  readonly #ramBytes: number;
  readonly #progress: Progress;
  readonly #stores = new Timing();
  readonly #loads = new Timing();
  readonly #buffers = Array.from({ length: BATCH }, () => new Uint8Array(PAGE_SIZE));
  readonly #sums = {
    pages: 0,
    sameFilled: 0,
    incompressible: 0,
    compressedBytes: 0,
    poolFrames: 0,
    framesUsed: 0,
    rams: 0,
    different: 0,
  };
  #firstDifferent: number | null = null;

  constructor(allocator: AllocatorName, codec: Codec | undefined, ramBytes: number, progress: Progress) {
    this.#allocator = allocator;
    this.#codec = codec;
    this.#ramBytes = ramBytes;
    this.#progress = progress;
  }

  /** Stores and loads a part of the input, in as many RAMs as needed. */
  async add(pages: readonly Uint8Array[]): Promise<void> {
    if (this.#sums.pages === 0) await this.#warmUp(pages);
    for (let first = 0; first < pages.length;) {
      const stored = await this.#fill(pages.slice(first));
      if (stored === 0) throw new InputError(`no page fits a RAM of ${this.#ramBytes} bytes under ${this.#allocator}`);
      first += stored;
    }
  }

  result(): Result {
    const { pages, compressedBytes, poolFrames, framesUsed } = this.#sums;
    return {
      allocator: this.#allocator,
      ...this.#sums,
      effectiveRatio: framesUsed === 0 ? null : pages / framesUsed,
      density: poolFrames === 0 ? null : compressedBytes / (poolFrames * PAGE_SIZE),
      storeMicroseconds: this.#stores.median(),
      loadMicroseconds: this.#loads.median(),
      firstDifferent: this.#firstDifferent,
    };
  }

  /** Stores and loads the first 1,000 pages in a RAM of their own. Fewer pages are repeated. */
  async #warmUp(pages: readonly Uint8Array[]): Promise<void> {
    const ram = await Ram.create({ bytes: WARM_UP_RAM });
    const pool = ram.zpool(this.#allocator);
    const repeated = Array.from({ length: WARM_UP_PAGES }, (_, n) => pages[n % pages.length] as Uint8Array);
    const entries: PageEntry[] = [];
    this.#store(pool, repeated, entries);
    for (let first = 0; first < entries.length; first += BATCH) this.#load(pool, entries.slice(first, first + BATCH));
    ram.close();
  }

  /** Stores pages in a new RAM until it is full, loads them and compares them. Returns how many pages fit. */
  async #fill(pages: readonly Uint8Array[]): Promise<number> {
    const ram = await Ram.create({ bytes: this.#ramBytes });
    try {
      const pool = ram.zpool(this.#allocator);
      const entries = await this.#storeAll(pool, pages);
      await this.#loadAll(pool, pages, entries);
      this.#count(pool, entries);
      this.#sums.framesUsed += ram.stats().usedFrames;
      return entries.length;
    } finally {
      ram.close();
    }
  }

  async #storeAll(pool: Zpool, pages: readonly Uint8Array[]): Promise<PageEntry[]> {
    const entries: PageEntry[] = [];
    for (let first = 0; first === entries.length && first < pages.length; first += BATCH) {
      const batch = pages.slice(first, first + BATCH);
      const start = performance.now();
      this.#store(pool, batch, entries);
      this.#stores.add(performance.now() - start, entries.length - first);
      await this.#advance(first, entries.length - first, 'store');
    }
    return entries;
  }

  async #loadAll(pool: Zpool, pages: readonly Uint8Array[], entries: readonly PageEntry[]): Promise<void> {
    for (let first = 0; first < entries.length; first += BATCH) {
      const batch = entries.slice(first, first + BATCH);
      for (const buffer of this.#buffers) buffer.fill(0xa5);
      const start = performance.now();
      const lost = this.#load(pool, batch);
      this.#loads.add(performance.now() - start, batch.length);
      this.#compare(pages, first, batch.length, lost);
      await this.#advance(first, batch.length, 'load');
    }
  }

  /** Stores pages and appends their entries. Stops early when the RAM is full. */
  #store(pool: Zpool, pages: readonly Uint8Array[], entries: PageEntry[]): void {
    try {
      for (const page of pages) entries.push(pool.storePage(page, this.#codec));
    } catch (error) {
      if (!(error instanceof CompcacheError && error.code === 'ENOMEM')) throw error;
    }
  }

  /** Loads at most a batch into the buffers. Returns the indexes of pages that could not be loaded. */
  #load(pool: Zpool, entries: readonly PageEntry[]): Set<number> {
    const lost = new Set<number>();
    for (let n = 0; n < entries.length; n++) {
      try {
        pool.loadPage(entries[n] as PageEntry, this.#buffers[n] as Uint8Array, this.#codec);
      } catch (error) {
        if (!(error instanceof CompcacheError)) throw error;
        lost.add(n);
      }
    }
    return lost;
  }

  #compare(pages: readonly Uint8Array[], first: number, length: number, lost: Set<number>): void {
    for (let n = 0; n < length; n++) {
      if (!lost.has(n) && Buffer.compare(this.#buffers[n] as Uint8Array, pages[first + n] as Uint8Array) === 0)
        continue;
      this.#sums.different += 1;
      this.#firstDifferent ??= this.#sums.pages + first + n;
    }
  }

  #count(pool: Zpool, entries: readonly PageEntry[]): void {
    const sums = this.#sums;
    for (const entry of entries) {
      const size = entry < 0 ? 0 : pool.size(entry as number as Handle);
      if (entry < 0) sums.sameFilled += 1;
      if (size === PAGE_SIZE) sums.incompressible += 1;
      sums.compressedBytes += size;
    }
    sums.pages += entries.length;
    sums.poolFrames += pool.totalPages;
    sums.rams += 1;
  }

  async #advance(first: number, pages: number, verb: string): Promise<void> {
    this.#progress.step(pages, `${verb}, ${this.#allocator}`);
    if ((first / BATCH) % BATCHES_AT_ONCE === 0) await yieldToEvents();
  }
}

/** The times of batches. Shorter batches are less exact: they count only when there is no full batch. */
class Timing {
  readonly #full: number[] = [];
  readonly #short: number[] = [];

  add(milliseconds: number, pages: number): void {
    if (pages !== 0) (pages === BATCH ? this.#full : this.#short).push((milliseconds * 1000) / pages);
  }

  /** Median microseconds per page. */
  median(): number {
    return median(this.#full.length === 0 ? this.#short : this.#full);
  }
}
