/**
 * The benchmark harness: npm run bench -- [suite…] [--corpus FILE] [--rounds N] [--json FILE]
 *
 * Suites: allocator, page. All contenders of a suite run interleaved in one process; the table gives the median of the
 * rounds in nanoseconds and its ratio to the suite's first row.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { Command } from 'commander';
import { PAGE_SIZE } from '../bindings/index.ts';
import { compare, type Row } from './measure.ts';
import { contenders as allocator } from './suites/allocator.ts';
import { contenders as page } from './suites/page.ts';

const PAGES = 4096;

/** Pages of a file, evenly sampled. */
function sample(file: string): Uint8Array[] {
  const bytes = readFileSync(file);
  const all = Math.floor(bytes.length / PAGE_SIZE);
  const count = Math.min(all, PAGES);
  return Array.from({ length: count }, (_, i) => new Uint8Array(bytes.subarray(Math.floor((i * all) / count) * PAGE_SIZE).subarray(0, PAGE_SIZE)));
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

function print(suite: string, rows: Row[]): void {
  console.log(`\n${suite}`.padEnd(28) + 'median ns'.padStart(10) + 'min'.padStart(10) + 'max'.padStart(10) + 'ratio'.padStart(8));
  for (const { name, median, min, max, ratio } of rows) {
    console.log(`  ${name}`.padEnd(27) + [median, min, max].map((value) => value.toFixed(0).padStart(10)).join('') + ratio.toFixed(2).padStart(8));
  }
}

const program = new Command('bench')
  .argument('[suites...]', 'allocator, page', ['allocator', 'page'])
  .option('--corpus <file>', 'pages for the page suite', process.execPath)
  .option('--rounds <n>', 'rounds after the warm-up', '7')
  .option('--json <file>', 'also write the results there')
  .parse();
const { corpus, rounds, json } = program.opts<{ corpus: string; rounds: string; json?: string }>();
const results: Record<string, Row[]> = {};
for (const suite of program.processedArgs[0] as string[]) {
  if (suite !== 'allocator' && suite !== 'page') program.error(`unknown suite ${suite}; known: allocator, page`);
  const rows = compare(suite === 'allocator' ? await allocator() : await page(sample(corpus)), Number(rounds));
  results[suite] = rows;
  print(suite, rows);
}
if (json !== undefined) {
  const machine = `${cpus().length} × ${cpus()[0]?.model}`;
  writeFileSync(json, `${JSON.stringify({ machine, node: process.version, commit: commit(), corpus, results }, null, 2)}\n`);
}
