/** free and malloc with 50,000 live objects of 32 … 3072 bytes. */
import { ALLOCATORS, Ram } from '../../bindings/index.ts';
import { Churn } from './churn.ts';
import { time } from './measure.ts';
import type { Contender, Table } from './types.ts';

export const LIVE = 50_000;
const STEPS = 200_000;
const SEED = 2;

/** All allocators, each with its live objects. */
export async function allocatorTable(): Promise<Table> {
  const contenders = await Promise.all(
    ALLOCATORS.map(async (allocator): Promise<Contender> => {
      const ram = await Ram.create({ bytes: '512MiB' });
      const churn = new Churn(ram.zpool(allocator), SEED, LIVE);
      return { name: allocator, round: () => time(STEPS, () => churn.run(STEPS)) };
    }),
  );
  return { title: `free and malloc, ${LIVE.toLocaleString('en-US')} live objects`, unit: 'ns', contenders };
}
