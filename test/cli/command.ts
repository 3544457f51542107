/** Runs the command line as its users do: a process, its output, its exit code. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import type { Report } from '../../cli/estimate.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `compcache` with arguments and, if given, bytes in a pipe at standard input (otherwise an empty pipe). */
export function compcache(args: readonly string[], input: Uint8Array | string = '', env = process.env): Promise<Outcome> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'cli/main.ts', ...args], { cwd: ROOT, stdio: 'pipe', env });
  const outcome: Outcome = { code: null, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (outcome.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (outcome.stderr += text));
  child.stdin.on('error', () => {}); // a command that does not read it
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...outcome, code }));
  });
}

/** The JSON of `compcache estimate --json …`, which must succeed without a word on stderr. */
export async function estimateJson(args: readonly string[], input?: Uint8Array | string): Promise<Report> {
  const { code, stdout, stderr } = await compcache(['estimate', '--json', ...args], input);
  if (code !== 0 || stderr !== '') throw new Error(`exit code ${code}: ${stderr}`);
  return JSON.parse(stdout) as Report;
}

/** Makes files in a folder that is gone after the tests of the file. */
export function temporaryFiles(): (name: string, bytes: Uint8Array | string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'compcache-cli-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  return (name, bytes) => {
    const file = join(folder, name);
    writeFileSync(file, bytes);
    return file;
  };
}
