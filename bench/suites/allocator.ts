/** free + malloc in a churn of 50,000 live objects of 32 … 3072 bytes, from JavaScript. */
import { ALLOCATORS, Ram, type Handle } from '../../bindings/index.ts';
import { createDraw, size1 } from '../../test/models/trace.ts';
import { time, type Contender } from '../measure.ts';

const LIVE = 50_000;
const STEPS = 200_000;

export async function contenders(): Promise<Contender[]> {
  return Promise.all(ALLOCATORS.map(async (allocator) => {
    const ram = await Ram.create({ bytes: '512MiB' });
    const pool = ram.zpool(allocator);
    const draw = createDraw(2);
    const objects = Array.from({ length: LIVE }, () => pool.malloc(size1(draw)));
    return {
      name: allocator,
      round: () => time(STEPS, () => {
        for (let step = 0; step < STEPS; step++) {
          const i = draw() % LIVE;
          pool.free(objects[i] as Handle);
          objects[i] = pool.malloc(size1(draw));
        }
      }),
    };
  }));
}
