/** free and malloc in a churn of 50,000 live objects of 32 … 3072 bytes. */
import { ALLOCATORS, Ram } from '../../bindings/index.ts';
import { Churn } from './churn.ts';
import { time } from './measure.ts';
import type { Contender } from './types.ts';

const LIVE = 50_000;
const STEPS = 200_000;
const SEED = 2;

/** All allocators, each with its live objects. */
export function churns(): Promise<Contender[]> {
  return Promise.all(ALLOCATORS.map(async (allocator) => {
    const ram = await Ram.create({ bytes: '512MiB' });
    const churn = new Churn(ram.zpool(allocator), SEED, LIVE);
    return { name: allocator, round: () => time(STEPS, () => churn.run(STEPS)) };
  }));
}
