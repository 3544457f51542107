/**
 * Resident memory of a process in ten rounds of random work: its size after the first full round, and its growth from
 * there.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Contender, Table } from '../../cli/bench/types.ts';
import { OPERATIONS, SUBJECTS, type MemoryUsage } from '../resident.ts';

const ROUNDS = 11;
const MIB = 2 ** 20;

function measured(name: string): Promise<MemoryUsage[]> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('../resident.ts', import.meta.url)), [name, String(ROUNDS)], {
      execArgv: [...process.execArgv, '--expose-gc'],
    });
    child.once('message', (usages) => resolve(usages as MemoryUsage[]));
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`resident: ${name} ended with ${code}`)));
  });
}

/** The growth of a figure after the first full round, in percent. */
function growth(usages: readonly MemoryUsage[], figure: (usage: MemoryUsage) => number): number {
  const [first, ...rest] = usages.slice(1).map(figure) as [number, ...number[]];
  return Math.max(...rest.map((later) => (100 * Math.max(0, later - first)) / first));
}

function contender(name: string): Contender {
  let usages: MemoryUsage[] = [];
  return {
    name,
    async round() {
      usages = await measured(name);
      return usages.reduce((sum, { spent }) => sum + spent, 0) / usages.length;
    },
    figures: () => ({
      MiB: (usages[1] as MemoryUsage).rss / MIB,
      'rss %': growth(usages, ({ rss }) => rss),
      'rss less heap %': growth(usages, ({ rss, heapTotal }) => rss - heapTotal),
      'array buffers %': growth(usages, ({ arrayBuffers }) => arrayBuffers + MIB),
    }),
  };
}

export async function* residentSuite(): AsyncGenerator<Table> {
  yield {
    title: `resident memory, rounds of ${OPERATIONS} operations`,
    unit: 'ns',
    contenders: Object.keys(SUBJECTS).map(contender),
  };
}
