/** The five allocators in a churn, by the C library's malloc on the same one; and how densely they pack. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { AllocatorName } from '../../bindings/index.ts';
import { churns } from '../../cli/bench/allocator.ts';
import type { Contender, Table } from '../../cli/bench/types.ts';
import { densities } from '../density.ts';
import { lacks } from '../peers.ts';

/** The churn in C, as a process that runs a round when asked; undefined without a compiler. */
function libcMalloc(): (Contender & { end(): void }) | undefined {
  const program = join(mkdtempSync(join(tmpdir(), 'compcache-bench-')), 'churn');
  try {
    execFileSync('cc', ['-O2', '-o', program, fileURLToPath(new URL('../peers/churn.c', import.meta.url))], { stdio: 'pipe' });
  } catch (error) {
    lacks('malloc of the C library', (error as Error).message.split('\n')[0] as string);
    return undefined;
  }
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    name: 'malloc of the C library',
    async round() {
      child.stdin.write('\n');
      return Number((await answers.next()).value);
    },
    end: () => child.stdin.end(),
  };
}

export async function* allocatorSuite(): AsyncGenerator<Table> {
  const malloc = libcMalloc();
  const own = (await churns()).map((contender) => ({ ...contender, figures: () => densities(contender.name as AllocatorName) }));
  yield { title: 'free and malloc, 50,000 live objects', unit: 'ns', contenders: malloc === undefined ? own : [malloc, ...own] };
  malloc?.end();
}
