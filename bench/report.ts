/**
 * The README's tables from bench/results. npm run bench:report prints them. With -- --write it puts them between their
 * markers in the README. With -- --check it exits with 1 when the README differs.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { BLOCKS, block, rewrite } from './markdown.ts';
import type { Results } from './results.ts';

const README = fileURLToPath(new URL('../README.md', import.meta.url));

function file(suite: string): URL {
  return new URL(`results/${suite}.json`, import.meta.url);
}

function results(suite: string): Results {
  return JSON.parse(readFileSync(file(suite), 'utf8')) as Results;
}

const { write, check } = new Command('bench:report')
  .option('--write', 'put the tables between the markers in README.md')
  .option('--check', 'exit with 1 when README.md differs')
  .parse()
  .opts<{ write?: boolean; check?: boolean }>();
const text = readFileSync(README, 'utf8');
const made = rewrite(text, results);
if (write === true) {
  writeFileSync(README, made);
} else if (check === true) {
  if (made !== text) {
    console.error('README.md differs from bench/results: npm run bench:report -- --write');
    process.exitCode = 1;
  }
} else {
  for (const [name, { suite }] of Object.entries(BLOCKS))
    if (existsSync(file(suite))) console.log(`${block(name, results)}\n`);
}
