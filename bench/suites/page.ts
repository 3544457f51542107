/** The page path, for each corpus. */
import { pageTables } from '../../cli/bench/page.ts';
import type { Corpus, Table } from '../../cli/bench/types.ts';

export async function* pageSuite(corpora: readonly Corpus[]): AsyncGenerator<Table> {
  for (const corpus of corpora) yield* await pageTables(corpus);
}
