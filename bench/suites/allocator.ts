/**
 * The five allocators with 50,000 live objects, compared with the C library's malloc for the same work; and their
 * densities.
 */
import type { AllocatorName } from '../../bindings/index.ts';
import { LIVE, allocatorTable } from '../../cli/bench/allocator.ts';
import type { Table } from '../../cli/bench/types.ts';
import { densities } from '../density.ts';
import { libcMalloc } from '../libc.ts';

export async function* allocatorSuite(): AsyncGenerator<Table> {
  const malloc = libcMalloc(LIVE);
  const table = await allocatorTable();
  const own = table.contenders.map((contender) => ({
    ...contender,
    figures: () => densities(contender.name as AllocatorName),
  }));
  yield { ...table, contenders: malloc === undefined ? own : [malloc, ...own] };
  malloc?.end();
}
