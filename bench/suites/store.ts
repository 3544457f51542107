/**
 * Stores of many pages by number: put all, get, overwrite all, and the memory that they take. Each store has its own
 * process. In each round, every store works on a slice of the pages, one store after the other.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Contender, Table } from '../../cli/bench/types.ts';
import { lacks } from '../peers.ts';
import { STORES } from '../stores/index.ts';
import type { Hello, Rate, State, Work } from '../stores/protocol.ts';

const WORKER = fileURLToPath(new URL('../stores/worker.ts', import.meta.url));

/** A store in its own process. */
class Remote {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #gone: Promise<never>;

  constructor(name: string, pages: number, corpora: readonly string[]) {
    this.name = name;
    this.#child = fork(WORKER, [name, String(pages), ...corpora], { execArgv: ['--import', 'tsx'] });
    this.#gone = once(this.#child, 'exit').then(() => {
      throw new Error(`the process of ${this.name} ended`);
    });
    this.#gone.catch(() => undefined); // the process ends after the last request; this is not an error
  }

  /** True when the process has made the store. */
  async ready(): Promise<boolean> {
    const { ready, leftOut } = (await this.#answer()) as Hello;
    for (const [package_, reason] of Object.entries(leftOut)) lacks(package_, reason);
    return ready;
  }

  async rate(work: Work): Promise<number> {
    return ((await this.#ask(work)) as Rate).perSecond;
  }

  async state(version: number): Promise<State> {
    return (await this.#ask({ do: 'state', version })) as State;
  }

  /** Lets the process end by itself, because it has files to remove. */
  end(): void {
    this.#child.disconnect();
  }

  #ask(work: Work): Promise<unknown> {
    this.#child.send(work);
    return this.#answer();
  }

  async #answer(): Promise<unknown> {
    const [message] = await Promise.race([once(this.#child, 'message'), this.#gone]);
    return message;
  }
}

async function remotes(pages: number, corpora: readonly string[]): Promise<Remote[]> {
  const ready: Remote[] = [];
  for (const name of Object.keys(STORES)) {
    const remote = new Remote(name, pages, corpora);
    if (await remote.ready()) ready.push(remote);
    else remote.end();
  }
  return ready;
}

/** @param rounds of the measurement; each works on one slice, and one more round warms up */
export async function* storeSuite(corpora: readonly string[], pages: number, rounds: number): AsyncGenerator<Table> {
  const count = Math.ceil(pages / (rounds + 1));
  const all = await remotes(pages, corpora);
  const table = (title: string, work: (round: number) => Work, version?: number): Table => ({
    title: `${title}, ${pages.toLocaleString('en-US')} pages of ${corpora.join(' and ')}`,
    unit: 'op/s',
    contenders: all.map((remote): Contender => {
      let round = 0;
      return {
        name: remote.name,
        round: () => remote.rate(work(round++)),
        ...(version !== undefined && { figures: async () => ({ ...(await remote.state(version)) }) }),
      };
    }),
  });
  try {
    yield table('put', (round) => ({ do: 'put', first: round * count, count, version: 0 }), 0);
    yield table('get', () => ({ do: 'get', count, by: 'uniform' }));
    yield table('get by Zipf’s law', () => ({ do: 'get', count, by: 'zipf' }));
    yield table('overwrite', (round) => ({ do: 'put', first: round * count, count, version: 1 }), 1);
  } finally {
    all.forEach((remote) => remote.end());
  }
}
