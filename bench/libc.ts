/** The C library's malloc with the same work (peers/churn.c). It is a process that runs a round on request. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Contender } from '../cli/bench/types.ts';
import { lacks } from './peers.ts';

const SOURCE = fileURLToPath(new URL('peers/churn.c', import.meta.url));

/** A contender that must be ended. */
export type Running = Contender & { end(): void };

/**
 * @param live the number of objects that are allocated at any time
 * @returns undefined without a C compiler
 */
export function libcMalloc(live: number, name = 'malloc of the C library'): Running | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'compcache-bench-'));
  const program = join(folder, 'churn');
  try {
    execFileSync('cc', ['-O2', '-o', program, SOURCE], { stdio: 'pipe' });
  } catch (error) {
    rmSync(folder, { recursive: true });
    lacks('malloc of the C library', (error as Error).message.split('\n')[0] as string);
    return undefined;
  }
  const child = spawn(program, [String(live)], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.once('spawn', () => rmSync(folder, { recursive: true })); // the running program does not need its file
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    name,
    async round() {
      child.stdin.write('\n');
      return Number((await answers.next()).value);
    },
    end: () => child.kill(),
  };
}
