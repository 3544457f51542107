/**
 * The benchmarks: npm run bench -- [suite…] [--corpus NAME] [--rounds N] [--json FILE]
 *
 * All figures are compared: the contenders of a table run one round each, one after the other, in one session, and each
 * is compared with the first. The package's command `compcache bench` has some of these suites without the other
 * packages. A figure without a comparison says little, so missing contenders are listed at the end.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { parseCount } from '../cli/arguments.ts';
import { machine } from '../cli/bench/machine.ts';
import { measure } from '../cli/bench/measure.ts';
import { toText } from '../cli/bench/report.ts';
import type { MeasuredTable, Table } from '../cli/bench/types.ts';
import { InputError } from '../cli/pages.ts';
import { CORPORA, corpus } from './corpus.ts';
import { leftOut } from './peers.ts';
import type { Results } from './results.ts';
import { allocatorSuite } from './suites/allocator.ts';
import { codecSuite } from './suites/codec.ts';
import { compactSuite } from './suites/compact.ts';
import { ordersSuite } from './suites/orders.ts';
import { pageSuite } from './suites/page.ts';
import { ramzswapSuite } from './suites/ramzswap.ts';
import { residentSuite } from './suites/resident.ts';
import { scaleSuite } from './suites/scale.ts';
import { storeSuite } from './suites/store.ts';
import { zswapSuite } from './suites/zswap.ts';

interface Options {
  corpus: string[];
  rounds: number;
  pages: number;
  json?: string;
}

const SUITES: Record<string, (options: Options) => AsyncGenerator<Table>> = {
  codec: (options) => codecSuite(options.corpus.map(corpus)),
  allocator: allocatorSuite,
  page: (options) => pageSuite(options.corpus.map(corpus)),
  store: (options) => storeSuite(options.corpus, options.pages, options.rounds),
  scale: (options) => scaleSuite(corpus(options.corpus[0] as string)),
  compact: compactSuite,
  zswap: (options) => zswapSuite(options.corpus.map(corpus)),
  ramzswap: (options) => ramzswapSuite(options.corpus.map(corpus)),
  orders: (options) => ordersSuite(options.corpus.map(corpus)),
  resident: residentSuite,
};

/** The commit that is measured. Changes in bench/results do not count. */
function commit(): string {
  const git = (...words: string[]): string =>
    execFileSync('git', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no', '--', ':/', ':(exclude,top)bench/results');
    return git('rev-parse', '--short', 'HEAD') + (changed === '' ? '' : '-dirty');
  } catch {
    return 'unknown';
  }
}

async function run(names: string[], options: Options): Promise<void> {
  const results: Results = { ...machine(), commit: commit(), corpora: options.corpus, suites: {}, leftOut: {} };
  for (const name of names) {
    const tables: MeasuredTable[] = [];
    const suite = SUITES[name] as (typeof SUITES)[string];
    for await (const table of suite(options)) {
      tables.push(await measure(table, options.rounds));
      console.log(toText(tables.at(-1) as MeasuredTable));
    }
    results.suites[name] = tables;
  }
  results.leftOut = leftOut();
  for (const [name, reason] of Object.entries(results.leftOut)) console.log(`left out: ${name}: ${reason}`);
  if (Object.keys(results.leftOut).length !== 0) console.log('npm run bench:peers installs the packages');
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
}

/** The names of the suites, each once. An unknown name ends the program. */
function suiteNames(words: string[]): string[] {
  const unknown = words.find((word) => !Object.hasOwn(SUITES, word));
  if (unknown !== undefined) program.error(`unknown suite ${unknown}; known: ${Object.keys(SUITES).join(', ')}`);
  return words.length === 0 ? Object.keys(SUITES) : [...new Set(words)];
}

const program = new Command('bench')
  .argument('[suites...]', `some of ${Object.keys(SUITES).join(', ')} (default: all)`)
  .addOption(
    new Option('--corpus <name...>', `${CORPORA.join(', ')}, a file or a folder; several are possible`).default([
      'memory',
    ]),
  )
  .option('--rounds <n>', 'rounds that count, after one to warm up', parseCount, 7)
  .option('--pages <n>', 'pages of the store suite', parseCount, 200_000)
  .option('--json <file>', 'also write the results to this file')
  .action(async (words: string[], options: Options) => {
    try {
      await run(suiteNames(words), options);
    } catch (error) {
      if (error instanceof InputError) program.error(error.message);
      throw error;
    }
  });
await program.parseAsync();
process.exit(); // does not wait for the threads of other packages
