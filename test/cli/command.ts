/** Runs the command line as users do: a process, its output, its exit code. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, inject } from 'vitest';
import type { Report } from '../../cli/estimate-report.ts';
import type { SwapReport } from '../../cli/swap/figures.ts';
import type { Result } from '../../cli/swap/replay.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The command, with the options that Node needs for it. */
export const COMPCACHE = ['--enable-source-maps', join(inject('programs'), 'compcache.mjs')];

/** Runs `compcache` with arguments; standard input is a pipe with the given bytes, or an empty pipe. */
export function compcache(
  args: readonly string[],
  input: Uint8Array | string = '',
  env = process.env,
): Promise<Outcome> {
  const child = spawn(process.execPath, [...COMPCACHE, ...args], { cwd: ROOT, stdio: 'pipe', env });
  child.stdin.on('error', () => {}); // a command that does not read its input
  child.stdin.end(input);
  return outcomeOf(child);
}

/** Runs `compcache` with standard input from an open file, or from the null device. */
export function compcacheFrom(stdin: number | 'ignore', args: readonly string[]): Promise<Outcome> {
  return outcomeOf(spawn(process.execPath, [...COMPCACHE, ...args], { cwd: ROOT, stdio: [stdin, 'pipe', 'pipe'] }));
}

/**
 * Runs `compcache` in a shell.
 * @param script in which "$@" is the command and $FILE a file
 */
export function compcacheIn(script: string, args: readonly string[], file = ''): Promise<Outcome> {
  const env = { ...process.env, FILE: file };
  return outcomeOf(
    spawn('sh', ['-c', script, 'sh', process.execPath, ...COMPCACHE, ...args], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    }),
  );
}

/** Runs `compcache`, reads its output until something has come, and then closes the pipe. */
export async function compcacheUnread(args: readonly string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [...COMPCACHE, ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.once('data', () => child.stdout.destroy());
  return outcomeOf(child);
}

const helps = new Map<string, Promise<Outcome>>();

/** Words in a message that look like options, but are not options of the command. */
export async function strangeOptions(command: string, message: string): Promise<string[]> {
  const words = message.match(/(?<![\w'-])--?[a-z][\w-]*|\b\w+: '\w+' \w+/g) ?? [];
  let help = helps.get(command);
  if (help === undefined) helps.set(command, (help = compcache([command, '--help'])));
  const { stdout } = await help;
  const known = [...stdout.matchAll(/--[a-z][\w-]*/g)].map(([word]) => word);
  return words.filter((word) => !known.includes(word));
}

function outcomeOf(child: ChildProcess): Promise<Outcome> {
  const outcome: Outcome = { code: null, stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (outcome.stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (outcome.stderr += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...outcome, code }));
  });
}

/** The JSON of `compcache estimate --json …`, which must succeed and print nothing on stderr. */
export async function estimateJson(args: readonly string[], input?: Uint8Array | string): Promise<Report> {
  const { code, stdout, stderr } = await compcache(['estimate', '--json', ...args], input);
  if (code !== 0 || stderr !== '') throw new Error(`exit code ${code}: ${stderr}`);
  return JSON.parse(stdout) as Report;
}

/** The JSON of `compcache swap --json …`, which must succeed and print nothing on stderr. */
export async function swapJson(args: readonly string[]): Promise<SwapReport> {
  const { code, stdout, stderr } = await compcache(['swap', '--json', ...args]);
  if (code !== 0 || stderr !== '') throw new Error(`exit code ${code}: ${stderr}`);
  return JSON.parse(stdout) as SwapReport;
}

/** All figures of swap except the times. */
export function counters({ results }: SwapReport): Omit<Result, 'latency'>[] {
  return results.map(({ latency, ...others }) => ({
    ...others,
    timed: Object.values(latency).map((one) => one?.count ?? 0),
  }));
}

/** Returns a function that makes files in a folder, which is removed after the tests of the file. */
export function temporaryFiles(): (name: string, bytes: Uint8Array | string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'compcache-cli-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  return (name, bytes) => {
    const file = join(folder, name);
    writeFileSync(file, bytes);
    return file;
  };
}
