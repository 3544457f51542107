/**
 * `compcache bench`: how fast are codecs, allocators and the page path on this machine, with these pages?
 *
 * In each round, all contenders of a table run once, one after the other. Ratios are relative to the first row.
 */
import { InvalidArgumentError, type Command } from 'commander';
import { CompcacheError, LOADABLE_CODECS, Ram, loadCodec, type Codec } from '../bindings/index.ts';
import { parseCount } from './arguments.ts';
import { allocatorTable } from './bench/allocator.ts';
import { codecTables, trialOf } from './bench/codec.ts';
import { readCorpus } from './bench/corpus.ts';
import { machine, type Machine } from './bench/machine.ts';
import { measure } from './bench/measure.ts';
import { pageTables } from './bench/page.ts';
import { toText } from './bench/report.ts';
import type { Corpus, MeasuredTable } from './bench/types.ts';

const PAGES = 1024;

const SUITES = {
  codec: async (corpus: Corpus) =>
    codecTables(
      corpus,
      (await codecs()).map((codec) => trialOf(codec, corpus)),
    ),
  allocator: async () => [await allocatorTable()],
  page: pageTables,
};
type SuiteName = keyof typeof SUITES;
const NAMES = Object.keys(SUITES) as SuiteName[];

/** The core's codecs, and the loadable codecs that this host has. */
async function codecs(): Promise<Codec[]> {
  const ram = await Ram.create({ bytes: '1MiB' });
  const loaded: Codec[] = [ram.codec('lz4'), ram.codec('lz4hc')];
  for (const name of LOADABLE_CODECS) {
    try {
      loaded.push(await loadCodec(name));
    } catch (error) {
      if (!(error instanceof CompcacheError && error.code === 'ENODEV')) throw error;
    }
  }
  return loaded;
}

/** The output of --json. */
export interface BenchReport extends Machine {
  corpus: { name: string; pages: number };
  suites: Partial<Record<SuiteName, MeasuredTable[]>>;
}

interface Options {
  corpus: string;
  rounds: number;
  json?: boolean;
}

/** Adds the command to the program. */
export function addBench(program: Command): void {
  program
    .command('bench')
    .description('measure codecs, allocators and the page path on this machine')
    .argument('[SUITE...]', `some of ${NAMES.join(', ')} (default: all)`, parseSuite)
    .option('--corpus <path>', 'a file, or a folder of files, to take pages from (default: the Node executable)')
    .option('--rounds <N>', 'rounds that count, after one to warm up', parseCount, 7)
    .option('--json', 'print one JSON object')
    .action(run);
}

async function run(
  names: SuiteName[],
  { corpus: path = process.execPath, rounds, json = false }: Options,
): Promise<void> {
  const corpus = readCorpus(path, PAGES);
  let isRead = true;
  process.stdout.once('error', () => (isRead = false));
  const report: BenchReport = { ...machine(), corpus: { name: corpus.name, pages: corpus.pages.length }, suites: {} };
  for (const name of names.length === 0 ? NAMES : names) {
    const measured: MeasuredTable[] = [];
    for (const table of await SUITES[name](corpus)) {
      measured.push(await measure(table, rounds));
      if (!isRead) return; // the reader has gone away
      if (!json) process.stdout.write(`${toText(measured.at(-1) as MeasuredTable)}\n`);
    }
    report.suites[name] = measured;
  }
  if (json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
}

function parseSuite(text: string, previous: SuiteName[] = []): SuiteName[] {
  const name = NAMES.find((known) => known === text);
  if (name === undefined) throw new InvalidArgumentError(`Unknown suite '${text}'; known: ${NAMES.join(', ')}`);
  return [...new Set([...previous, name])];
}
