/**
 * Stores of many pages by number: put all, get, overwrite all, and what memory that takes. Each store has a process of its
 * own; they work in turn, a slice of the pages a round.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Contender, Table } from '../../cli/bench/types.ts';
import { lacks } from '../peers.ts';
import { STORES } from '../stores/index.ts';
import type { Hello, Rate, State, Work } from '../stores/protocol.ts';

const WORKER = fileURLToPath(new URL('../stores/worker.ts', import.meta.url));

/** A store in its process. */
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
    this.#gone.catch(() => undefined); // it does end, after the last question
  }

  /** Whether it has the store. */
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

  /** Lets it end by itself: it has files to remove. */
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

/** @param rounds of the measurement: each works on a slice, one more warms up */
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
