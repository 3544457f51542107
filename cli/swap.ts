/**
 * `compcache swap`: how well does a compressed cache in front of a backing store work for these pages, when not all of
 * them fit?
 *
 * A trace of stores, loads and invalidations is replayed on a new zswap, for each allocator and each kind of victims.
 * The pages come from the input. Every loaded page is compared with the page that was stored.
 */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { ALLOCATORS, PAGE_SIZE, MemoryStore, type AllocatorName, type Codec } from '../bindings/index.ts';
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
import { openInput, parts, type Input } from './pages.ts';
import { SILENT, createProgress, plural, printable, toJson, type Progress } from './report.ts';
import { Pages } from './swap/contents.ts';
import { VICTIMS, replay, type Result, type Setting, type Victims } from './swap/replay.ts';
import type { SwapReport } from './swap/figures.ts';
import { toText } from './swap/report.ts';
import { CountingStore, Stores, type StoreChoice } from './swap/store.ts';
import { LENGTH_MAX, makeTrace, readTrace, summaryOf, writeTrace, type Recipe, type Trace } from './swap/trace.ts';

const EXIT_DIFFERENT = 1;
const EXIT_STORE_FAILED = 2;
/** Pages of the working set, as a multiple of the RAM's frames. */
const WORKING_SET = 4;
const WARM_UP: Recipe = { pages: 400, operations: 2000, zipf: 0.99, writes: 0.3, seed: 1 };
const WARM_UP_RAM = 512 * 1024;
const EXPONENT_MAX = 10;
const STORE_NAMES = { temporary: 'a temporary file', memory: 'memory' };

/** What to replay, and on which zswap. */
export interface SwapRequest {
  input: Input;
  trace: Trace;
  /** For display: the trace file, or 'zipf'. */
  source: string;
  recipe?: Recipe;
  allocators: readonly AllocatorName[];
  victims: readonly Victims[];
  codecName: string;
  /** Undefined for the core's LZ4. */
  codec: Codec | undefined;
  ramBytes: number;
  maxPoolPercent: number;
  acceptThresholdPercent: number;
  store: StoreChoice;
}

// ── command ──────────────────────────────────────────────────────────────────

interface Options {
  pid?: number;
  allocator?: AllocatorName[];
  victims?: Victims[];
  codec: CodecName;
  ram: string;
  maxPoolPercent: number;
  acceptThresholdPercent: number;
  pages?: number;
  ops: number;
  zipf: number;
  writes: number;
  seed: number;
  trace?: string;
  record?: string;
  store?: string;
  memoryStore?: boolean;
  json?: boolean;
}

const HELP = `
A trace has one operation in each line, with decimal numbers. Text after a # is a comment:

  store 0 17          swaps out page 17 of area 0
  load 0 17           swaps it in
  invalidate 0 17     frees its slot
  invalidateArea 0    frees all slots of the area

When a key is stored again, it gets another page of the input with different bytes. Every page that
is loaded is compared. The exit code is 1 when a page differs.

  compcache swap --ram 16MiB data.bin                  pages of a file, 4 times the RAM, Zipf's law
  compcache swap --pid 4711 --allocator zsmalloc       the memory of a process
  compcache swap data.bin --record t.txt --seed 7      writes its trace to a file
  compcache swap data.bin --trace t.txt --victims page replays that trace`;

/** Adds the command to the program. */
export function addSwap(program: Command): void {
  program
    .command('swap')
    .description('replay swapping on a RAM that is too small, with a compressed cache in front of a store')
    .argument('[FILE...]', INPUT_HELP)
    .option('--pid <N>', 'the private writable pages of a running process instead (Linux)', parseCount)
    .option(
      '--allocator <names>',
      `allocators, separated by commas (default: all: ${ALLOCATORS.join(',')})`,
      parseAllocators,
    )
    .option(
      '--victims <names>',
      "what is written back first: the coldest 'entry', or the coldest 'page' of the allocator (default: entry,page)",
      parseVictims,
    )
    .option('--codec <name>', `one of ${CODECS.join(', ')}`, parseCodec, 'lz4')
    .option('--ram <size>', 'size of the RAM', '16MiB')
    .option('--max-pool-percent <N>', 'the most frames that zswap may use, in percent of the RAM', parsePercent, 100)
    .option(
      '--accept-threshold-percent <N>',
      'after zswap was full, it accepts pages again below this percentage of its limit',
      parsePercent,
      90,
    )
    .option(
      '--pages <N>',
      'pages of the working set; all of them are stored first (default: 4 times those of the RAM)',
      parseLength,
    )
    .option('--ops <N>', 'operations after that', parseLength, 100_000)
    .option(
      '--zipf <exponent>',
      "exponent of Zipf's law for the choice of pages; 0: all equally often",
      parseExponent,
      0.99,
    )
    .option('--writes <share>', 'share of the operations that are stores; the others are loads', parseShare, 0.3)
    .option('--seed <N>', 'seed of the random choices', parseSeed, 1)
    .addOption(
      new Option('--trace <file>', 'replay the operations of a file instead').conflicts([
        'pages',
        'ops',
        'zipf',
        'writes',
        'seed',
      ]),
    )
    .option('--record <file>', 'write the replayed operations to a file')
    .option('--store <path>', 'the file to write back to; an existing store is discarded (default: a temporary file)')
    .addOption(new Option('--memory-store', 'write back to memory instead').conflicts('store'))
    .option('--json', 'print one JSON object')
    .addHelpText('after', HELP)
    .action(run);
}

async function run(files: string[], options: Options): Promise<void> {
  const { maxPoolPercent, acceptThresholdPercent } = options;
  const ramBytes = await ramBytesOf(options.ram);
  const recipe = options.trace === undefined ? recipeOf(options, ramBytes) : undefined;
  const codec = await codecNamed(options.codec);
  // A trace is finite, and only as many pages are read as it has keys.
  const input = await openInput(files, { pid: options.pid, isBounded: true });
  const trace = recipe === undefined ? await readTrace(options.trace as string) : makeTrace(recipe);
  if (options.record !== undefined) writeTrace(options.record, trace);
  const request: SwapRequest = {
    input,
    trace,
    source: options.trace ?? 'zipf',
    ...(recipe && { recipe }),
    allocators: options.allocator ?? ALLOCATORS,
    victims: options.victims ?? VICTIMS,
    codecName: options.codec,
    codec,
    ramBytes,
    maxPoolPercent,
    acceptThresholdPercent,
    store: storeOf(options),
  };
  process.exitCode = await runSwap(request, options.json === true, process);
}

function recipeOf({ pages, ops, zipf, writes, seed }: Options, ramBytes: number): Recipe {
  return { pages: pages ?? (WORKING_SET * ramBytes) / PAGE_SIZE, operations: ops, zipf, writes, seed };
}

function storeOf({ store, memoryStore }: Options): StoreChoice {
  if (store !== undefined) return { kind: 'file', path: store };
  return { kind: memoryStore === true ? 'memory' : 'temporary' };
}

/** Replays the trace and prints the report. Returns the exit code. */
export async function runSwap(
  request: SwapRequest,
  asJson: boolean,
  { stdout, stderr }: { stdout: NodeJS.WritableStream; stderr: NodeJS.WriteStream },
): Promise<number> {
  const progress = createProgress(stderr);
  let report: SwapReport;
  try {
    report = await swap(request, progress);
  } finally {
    progress.stop();
  }
  stdout.write(asJson ? toJson(report) : toText(report));
  for (const { allocator, victims, different, firstDifferent } of report.results) {
    if (different === 0) continue;
    stderr.write(
      `compcache: ${allocator}, ${victims}: ${different} of ${request.trace.length} operations did not give what was stored, the first is operation ${firstDifferent}\n`,
    );
  }
  if (report.storeFault !== null) stderr.write(`compcache: ${printable(storeFailed(report))}\n`);
  if (report.results.some(({ different }) => different !== 0)) return EXIT_DIFFERENT;
  return report.storeFault === null ? 0 : EXIT_STORE_FAILED;
}

function storeFailed({ store, storeFault, results }: SwapReport): string {
  const failed = results.reduce((sum, { failedWrites }) => sum + failedWrites, 0);
  const unwritten =
    failed === 0
      ? ''
      : `; ${plural(failed, 'write')} failed, so these are the figures of a store without room for them`;
  return `the store (${store}) failed: ${storeFault as string}${unwritten}`;
}

function parseVictims(text: string, previous: Victims[] = []): Victims[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !(VICTIMS as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw new InvalidArgumentError(`Unknown victims '${unknown}'; known: ${VICTIMS.join(', ')}`);
  return [...new Set([...previous, ...(names as Victims[])])];
}

function parseLength(text: string): number {
  const value = parseCount(text);
  if (value <= LENGTH_MAX) return value;
  throw new InvalidArgumentError(`It must be at most ${LENGTH_MAX}.`);
}

function parsePercent(text: string): number {
  if (/^\d+$/.test(text) && Number(text) <= 100) return Number(text);
  throw new InvalidArgumentError('It must be a whole number from 0 to 100.');
}

function parseSeed(text: string): number {
  if (/^\d+$/.test(text) && Number(text) < 2 ** 32) return Number(text);
  throw new InvalidArgumentError('It must be a whole number from 0 to 4294967295.');
}

function parseShare(text: string): number {
  return parseDecimal(text, 1);
}

function parseExponent(text: string): number {
  return parseDecimal(text, EXPONENT_MAX);
}

function parseDecimal(text: string, most: number): number {
  if (/^(\d+\.?\d*|\.\d+)$/.test(text) && Number(text) <= most) return Number(text);
  throw new InvalidArgumentError(`It must be a number from 0 to ${most}.`);
}

// ── swap ─────────────────────────────────────────────────────────────────────

/** Replays the trace on a zswap for each allocator and kind of victims. */
export async function swap(request: SwapRequest, progress: Progress): Promise<SwapReport> {
  const { input, trace, allocators, victims, codec, ramBytes, maxPoolPercent, acceptThresholdPercent } = request;
  const settings = allocators.flatMap((allocator) =>
    victims.map((one): Setting => ({
      allocator,
      victims: one,
      codec,
      ramBytes,
      maxPoolPercent,
      acceptThresholdPercent,
    })),
  );
  const summary = summaryOf(trace);
  const pages = await pagesOf(input, Math.max(summary.pages, 1));
  progress.expect(settings.length * trace.length);
  const stores = new Stores(request.store);
  const results: Result[] = [];
  try {
    for (const setting of settings)
      results.push(await tried(setting, request, pages, stores, summary.pages + 1, progress));
  } finally {
    stores.end();
  }
  return {
    input: input.summary,
    distinctPages: pages.distinct,
    trace: { ...summary, source: request.source, ...(request.recipe && { recipe: request.recipe }) },
    codec: request.codecName,
    ramBytes,
    maxPoolPercent,
    acceptThresholdPercent,
    store: request.store.kind === 'file' ? request.store.path : STORE_NAMES[request.store.kind],
    storeFault: stores.fault ?? null,
    results,
  };
}

/** The pages of the input, at most one for each key. With fewer pages, several keys share a page. */
async function pagesOf(input: Input, limit: number): Promise<Pages> {
  const all: Uint8Array[] = [];
  for await (const part of parts(input, limit, limit)) all.push(...part);
  return new Pages(all);
}

/** Replays the trace on one zswap, after a short trace for warm-up. */
async function tried(
  setting: Setting,
  { trace }: SwapRequest,
  pages: Pages,
  stores: Stores,
  slots: number,
  progress: Progress,
): Promise<Result> {
  await replay(
    { ...setting, ramBytes: WARM_UP_RAM },
    makeTrace(WARM_UP),
    pages,
    new CountingStore(new MemoryStore()),
    SILENT,
  );
  const store = await stores.open(slots);
  try {
    return await replay(setting, trace, pages, store, progress);
  } finally {
    await stores.close(store);
  }
}
