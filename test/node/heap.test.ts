/** The bindings hold nothing that grows with objects: a million mallocs raise the V8 heap by less than 1 MB. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { ALLOCATORS, Ram } from '../../bindings/index.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heap(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

test.each(ALLOCATORS)('%s', async (allocator) => {
  const ram = await Ram.create({ bytes: '3GiB' });
  const pool = ram.zpool(allocator);
  for (let i = 0; i < 1000; i++) pool.malloc(100 + i); // the code is compiled by now
  const before = heap();
  for (let i = 0; i < 1_000_000; i++) pool.malloc(40 + (i & 255));
  expect(heap() - before).toBeLessThan(1_000_000);
  expect(pool.stats().objects).toBe(1_001_000);
});
