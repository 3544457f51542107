/** A copy of the tree to which a contributor's files and rows are added. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const NOT_COPIED = ['node_modules', '.git', 'build', 'dist', 'coverage', 'docs'];

/** A line that a contributor adds to a file: before another line, or at the end. */
export interface Row {
  file: string;
  before?: string;
  row: string;
}

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

export class CopiedTree {
  readonly #folder = mkdtempSync(join(tmpdir(), 'compcache-contributor-'));

  constructor() {
    for (const name of readdirSync(ROOT).filter((name) => !NOT_COPIED.includes(name)))
      cpSync(join(ROOT, name), this.#at(name), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), this.#at('node_modules'));
  }

  #at(path: string): string {
    return join(this.#folder, path);
  }

  /** Adds a file of the folder files/. */
  addFile(from: string, to: string): void {
    cpSync(join(import.meta.dirname, 'files', from), this.#at(to));
  }

  write(file: string, text: string): void {
    writeFileSync(this.#at(file), text);
  }

  addRow({ file, before, row }: Row): void {
    const lines = readFileSync(this.#at(file), 'utf8').split('\n');
    const at = before === undefined ? lines.length - 1 : lines.indexOf(before);
    expect(at, `${file} has the line ${before}`).toBeGreaterThan(0);
    this.write(file, [...lines.slice(0, at), row, ...lines.slice(at)].join('\n'));
  }

  copy(from: string, to: string): void {
    cpSync(this.#at(from), this.#at(to));
  }

  /** Runs a script with Node in the copy. It must succeed. */
  run(...given: string[]): void {
    const { status, stdout, stderr } = this.#program({}, given);
    expect(status, `${stdout}${stderr}`).toBe(0);
  }

  /**
   * Runs tests in the copy, with environment variables. No test may fail. @returns the full names of the tests that
   * passed
   */
  test(variables: Record<string, string>, ...given: string[]): string[] {
    this.#program(variables, [
      'node_modules/vitest/vitest.mjs',
      'run',
      '--project',
      'node',
      '--reporter=json',
      '--outputFile=report.json',
      ...given,
    ]);
    const report = JSON.parse(readFileSync(this.#at('report.json'), 'utf8')) as Report;
    // A file that cannot be loaded has no test that could fail.
    const broken = report.testResults.filter(({ status }) => status !== 'passed');
    const failures = broken.map(({ name, message, assertionResults }) => [
      name,
      message,
      ...assertionResults.flatMap(({ failureMessages }) => failureMessages),
    ]);
    expect(failures).toEqual([]);
    const all = report.testResults.flatMap(({ assertionResults }) => assertionResults);
    return all.filter(({ status }) => status === 'passed').map(({ fullName }) => fullName.trim());
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #program(
    variables: Record<string, string>,
    given: string[],
  ): { status: number | null; stdout: string; stderr: string } {
    const env = { ...process.env, VITE_BUILDS: 'checked', ...variables };
    return spawnSync(process.execPath, given, { cwd: this.#folder, encoding: 'utf8', env });
  }
}
