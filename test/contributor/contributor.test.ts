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
  { file: 'assembly/alloc/index.ts', before: undefined, row: 'export const single = 63 as u32;' },
  {
    file: 'bindings/allocators.ts',
    before: '} satisfies Record<string, AllocatorRow>;',
    row: '  single: { options: [], isMovable: false, canSleepMapped: true, knowsFreeable: false, location: inOnePiece, figures: (rows) => ({ lists: lengths(rows) }) },',
  },
  {
    file: 'test/harness.ts',
    before: '  // the end of the rows',
    row: `  { title: 'single', allocator: 'single', options: {}, largest: PAGE_SIZE, movable: false, canSleepMapped: true, lruByWrite: false, rawFrames: false,
    ...NO_RESERVE, isAlone: true, straddles: false, staleUses: 2000, edges: [] },`,
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
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

test('a sixth allocator by its file and three rows passes the conformance suite', () => {
  const folder = mkdtempSync(join(tmpdir(), 'compcache-contributor-'));
  try {
    for (const name of readdirSync(ROOT).filter((name) => !NOT_COPIED.includes(name)))
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    cpSync(join(import.meta.dirname, 'single.ts'), join(folder, 'assembly/alloc/single.ts'));
    for (const row of ROWS) addRow(folder, row);
    const program = (...given: string[]) =>
      spawnSync(process.execPath, given, {
        cwd: folder,
        encoding: 'utf8',
        env: { ...process.env, VITE_BUILDS: 'checked' },
      });
    const run = (...given: string[]): void => {
      const { status, stdout, stderr } = program(...given);
      expect(status, `${stdout}${stderr}`).toBe(0);
    };
    run('scripts/build.mjs', 'core', 'checked');
    // One build is enough: where the suite wants the others, it gets this one.
    for (const other of ['core', 'core-scalar'])
      cpSync(join(folder, 'bindings/generated/core-checked.ts'), join(folder, `bindings/generated/${other}.ts`));
    run('node_modules/typescript/bin/tsc', '--noEmit', '-p', 'tsconfig.json');
    program(
      'node_modules/vitest/vitest.mjs',
      'run',
      '--project',
      'node',
      'test/conformance/checked.test.ts',
      '-t',
      'single',
      '--reporter=json',
      '--outputFile=report.json',
    );
    const report = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as Report;
    const all = report.testResults.flatMap(({ assertionResults }) => assertionResults);
    expect(
      all
        .filter(({ status }) => status === 'failed')
        .map(({ fullName, failureMessages }) => [fullName, ...failureMessages]),
    ).toEqual([]);
    const results = all.filter(({ status }) => status === 'passed');
    expect(results.length).toBeGreaterThan(80);
    expect(results.every(({ fullName }) => fullName.includes('single'))).toBe(true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 300_000);
