/** Resident memory of a process over ten turns of churn: what it is after the first full one, and how far it grows from there. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Contender, Table } from '../../cli/bench/types.ts';
import { OPERATIONS, SUBJECTS, type Held } from '../resident.ts';

const TURNS = 11;
const MIB = 2 ** 20;

function measured(name: string): Promise<Held[]> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('../resident.ts', import.meta.url)), [name, String(TURNS)], {
      execArgv: [...process.execArgv, '--expose-gc'],
    });
    child.once('message', (held) => resolve(held as Held[]));
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`resident: ${name} ended with ${code}`)));
  });
}

/** How far a figure grows beyond that after the first turn, in percent. */
function growth(held: readonly Held[], figure: (held: Held) => number): number {
  const [first, ...rest] = held.slice(1).map(figure) as [number, ...number[]];
  return Math.max(...rest.map((later) => (100 * Math.max(0, later - first)) / first));
}

function contender(name: string): Contender {
  let held: Held[] = [];
  return {
    name,
    async round() {
      held = await measured(name);
      return held.reduce((sum, { spent }) => sum + spent, 0) / held.length;
    },
    figures: () => ({
      MiB: (held[1] as Held).rss / MIB,
      'rss %': growth(held, ({ rss }) => rss),
      'rss less heap %': growth(held, ({ rss, heapTotal }) => rss - heapTotal),
      'array buffers %': growth(held, ({ arrayBuffers }) => arrayBuffers + MIB),
    }),
  };
}

export async function* residentSuite(): AsyncGenerator<Table> {
  yield {
    title: `resident memory, turns of ${OPERATIONS} operations`,
    unit: 'ns',
    contenders: Object.keys(SUBJECTS).map(contender),
  };
}
