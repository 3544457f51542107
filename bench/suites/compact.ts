/**
 * Compaction: nanoseconds per moved object, after every second of 100,000 objects was freed. The objects are written
 * first, as in a real program. Otherwise the first move of an object would cost a page fault of the host.
 */
import { PAGE_SIZE, Ram, type AllocatorName, type ZpoolOptions } from '../../bindings/index.ts';
import { createDraw, sizeOf } from '../../cli/bench/draw.ts';
import type { Contender, Table } from '../../cli/bench/types.ts';

const OBJECTS = 100_000;

const POOLS: [string, AllocatorName, ZpoolOptions][] = [
  ['zsmalloc, chain 8', 'zsmalloc', {}],
  ['zsmalloc, chain 4', 'zsmalloc', { chainSize: 4 }],
  ['z3fold, by hand', 'z3fold', { deferred: 'manual' }],
  ['xcfmalloc', 'xcfmalloc', {}],
];

function contender([name, allocator, options]: (typeof POOLS)[number]): Contender {
  let figures: Record<string, number> = {};
  return {
    name,
    round() {
      const ram = Ram.createSync({ bytes: '512MiB' });
      const pool = ram.zpool(allocator, options);
      const draw = createDraw(3);
      const bytes = new Uint8Array(PAGE_SIZE).fill(1);
      const handles = Array.from({ length: OBJECTS }, () => {
        const size = sizeOf(draw);
        const handle = pool.malloc(size);
        pool.write(handle, bytes.subarray(0, size));
        return handle;
      });
      handles.forEach((handle, nth) => nth % 2 === 1 && pool.free(handle));
      const before = pool.totalPages;
      const start = performance.now();
      pool.compact();
      const spent = (performance.now() - start) * 1e6;
      const { objectsMoved, bytesMoved, frames } = pool.stats();
      figures = { moved: objectsMoved, 'moved bytes': bytesMoved, 'frames before': before, 'frames after': frames };
      ram.close();
      return spent / objectsMoved;
    },
    figures: () => figures,
  };
}

export async function* compactSuite(): AsyncGenerator<Table> {
  yield { title: 'compact, for each object moved', unit: 'ns', contenders: POOLS.map(contender) };
}
