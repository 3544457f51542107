/**
 * A sixth allocator takes four steps (assembly/alloc/index.ts): this test makes them in a copy of the tree, with single.ts, builds the
 * copy and runs the conformance suite on it there.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const NOT_COPIED = ['node_modules', '.git', 'dist', 'coverage', 'docs'];

/** The rows, and the line before which each stands. */
const ROWS = [
  { file: 'assembly/alloc/index.ts', before: undefined, row: 'export const single = 6 as u32;' },
  {
    file: 'bindings/allocators.ts', before: '} satisfies Record<string, AllocatorRow>;',
    row: '  single: { options: [], isMovable: false, canSleepMapped: true, knowsFreeable: false, location: inOnePiece, figures: (rows) => ({ lists: lengths(rows) }) },',
  },
  {
    file: 'test/harness.ts', before: '  // the end of the rows',
    row: `  { title: 'single', allocator: 'single', options: {}, largest: PAGE_SIZE, movable: false, canSleepMapped: true, lruByWrite: false, rawFrames: false,
    ...NO_RESERVE, straddles: false, staleUses: 2000, edges: [] },`,
  },
];

function addRow(folder: string, { file, before, row }: (typeof ROWS)[number]): void {
  const path = join(folder, file);
  const lines = readFileSync(path, 'utf8').split('\n');
  const at = before === undefined ? lines.length - 1 : lines.indexOf(before);
  expect(at, `${file} has the line ${before}`).toBeGreaterThan(0);
  writeFileSync(path, [...lines.slice(0, at), row, ...lines.slice(at)].join('\n'));
}

interface Report {
  readonly numFailedTests: number;
  readonly testResults: readonly { readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[] }[];
}

test('a sixth allocator by its file and three rows passes the conformance suite', () => {
  const folder = mkdtempSync(join(tmpdir(), 'compcache-contributor-'));
  try {
    for (const name of readdirSync(ROOT).filter((name) => !NOT_COPIED.includes(name))) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    cpSync(join(import.meta.dirname, 'single.ts'), join(folder, 'assembly/alloc/single.ts'));
    for (const row of ROWS) addRow(folder, row);
    const run = (...given: string[]): string => {
      const { status, stdout, stderr } = spawnSync(process.execPath, given, { cwd: folder, encoding: 'utf8', env: { ...process.env, VITE_BUILDS: 'checked' } });
      expect(status, `${stdout}${stderr}`).toBe(0);
      return stdout;
    };
    run('scripts/build.mjs', 'core', 'checked');
    run('node_modules/typescript/bin/tsc', '--noEmit', '-p', 'tsconfig.json');
    run('node_modules/vitest/vitest.mjs', 'run', '--project', 'node', 'test/conformance/checked.test.ts', '-t', 'single', '--reporter=json', '--outputFile=report.json');
    const report = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as Report;
    const results = report.testResults.flatMap(({ assertionResults }) => assertionResults).filter(({ status }) => status === 'passed');
    expect(report.numFailedTests).toBe(0);
    expect(results.length).toBeGreaterThan(80);
    expect(results.every(({ fullName }) => fullName.includes('single'))).toBe(true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 300_000);
