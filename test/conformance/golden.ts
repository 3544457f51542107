/** Rows for the golden traces, and the comparison of a pool with its model on a trace. */
import { expect } from 'vitest';
import type { Ram } from '../../bindings/index.ts';
import {
  allocators,
  builds,
  createRam,
  traceTarget,
  xcfmallocRow,
  xvmallocRow,
  z3foldRow,
  zbudRow,
  zsmallocRow,
} from '../harness.ts';
import type { Build, ModelledRow } from '../harness.ts';
import type { TraceOptions, TraceTarget } from '../models/trace.ts';

export const ROWS = {
  zbud61: zbudRow('6.1'),
  zbud2013: zbudRow('2013'),
  z3fold: z3foldRow('afterFree'),
  z3foldManual: z3foldRow('manual'),
  xvmalloc: xvmallocRow(),
  xcf1: xcfmallocRow(1),
  xcf2: xcfmallocRow(2),
  chain4: zsmallocRow({ chainSize: 4 }),
  chain8: zsmallocRow({}),
  v61: zsmallocRow({ chainSize: 4, chainRule: 'percent', fullnessGroups: 4 }),
  chain1: zsmallocRow({ chainSize: 1 }),
  chain16: zsmallocRow({ chainSize: 16 }),
} satisfies Record<string, ModelledRow>;

export type RowName = keyof typeof ROWS;

/** The rows of the allocators under test. */
export const names = (Object.keys(ROWS) as RowName[]).filter((name) =>
  allocators.some(({ allocator }) => allocator === ROWS[name].allocator),
);

/** The build for the large traces. They take long, and no figure depends on the build. */
export const big = builds[0] as Build;

const LARGE = '320MiB';

interface Real {
  ram: Ram;
  target: ReturnType<typeof traceTarget>;
}

export async function real(build: Build, row: ModelledRow, bytes = LARGE): Promise<Real> {
  const ram = await createRam(build, { bytes });
  return { ram, target: traceTarget(ram, row) };
}

/** Requires that a trace gives the same figures on the pool and on the model. */
export async function likeTheModel<T>(
  build: Build,
  row: ModelledRow,
  run: (target: TraceTarget, options: TraceOptions) => T,
  bytes = LARGE,
): Promise<T> {
  const options = { write: row.lruByWrite };
  const { ram, target } = await real(build, row, bytes);
  const result = run(target, options);
  ram.check();
  expect(result).toEqual(run(row.createModel(), options));
  expect(target.pool.stats()).toMatchObject({ objects: 0, liveBytes: 0, maps: 0 });
  ram.close();
  return result;
}
