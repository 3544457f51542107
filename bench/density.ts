/** How densely each allocator packs the objects of the published traces. No times are measured here. */
import { Ram, type AllocatorName, type Handle, type Zpool } from '../bindings/index.ts';
import { Churn } from '../cli/bench/churn.ts';
import { createDraw, sizeOf } from '../cli/bench/draw.ts';

const OBJECTS = 100_000;
const LIVE = 50_000;
const CHURN_STEPS = 1_000_000;

/** Requested bytes of live objects divided by bytes of frames, in three situations. */
export interface Densities {
  /** T1: 100,000 objects of 32 … 3072 bytes. */
  filled: number;
  /** T3: 100,000 objects, every second one freed, then compact(). */
  compacted: number;
  /** 50,000 objects, after free and malloc were called 1,000,000 times. */
  churned: number;
}

export async function densities(allocator: AllocatorName): Promise<Densities & Record<string, number>> {
  const measured = async (use: (pool: Zpool) => void): Promise<number> => {
    const ram = await Ram.create({ bytes: '512MiB' });
    const pool = ram.zpool(allocator);
    use(pool);
    const { density } = pool.stats();
    ram.close();
    return density;
  };
  return {
    filled: await measured((pool) => void fill(pool, 1)),
    compacted: await measured(halve),
    churned: await measured(churn),
  };
}

function fill(pool: Zpool, seed: number): Handle[] {
  const draw = createDraw(seed);
  return Array.from({ length: OBJECTS }, () => pool.malloc(sizeOf(draw)));
}

function halve(pool: Zpool): void {
  fill(pool, 3).forEach((handle, nth) => nth % 2 === 1 && pool.free(handle));
  pool.compact();
}

function churn(pool: Zpool): void {
  new Churn(pool, 2, LIVE).run(CHURN_STEPS);
}
