/** Rows and lists of actions for the random machine of swap-machine.ts. */
import fc from 'fast-check';
import { ALLOCATORS } from '../../bindings/index.ts';
import type { FrontAction, FrontRow, PageKind, Setting } from './swap-machine.ts';

/** Rows that together have every value of every option, and each allocator with both kinds of victims and stores. */
export const rows: readonly FrontRow[] = ALLOCATORS.flatMap((allocator, i) =>
  (['entry', 'page'] as const).flatMap((victims, j) =>
    (['sync', 'async'] as const).map((mode, k): FrontRow => {
      const n = 4 * i + 2 * j + k;
      const codec = (['lz4', 'trimmer', 'deflate', 'lz4hc', 'trimmer'] as const)[
        (i + 2 * j + k) % 5
      ] as FrontRow['codec'];
      const row: Omit<FrontRow, 'title'> = {
        allocator,
        victims,
        codec,
        mode,
        shared: n % 2 === 0,
        exclusiveLoads: n % 3 === 0,
        writebackCompressed: (i + j + k) % 2 === 0,
        maxInFlight: [4, 1, 2, 32][(i + k) % 4] as number,
        slots: [1024, 12, 40][n % 3] as number,
        index: victims === 'entry' && i % 2 === 1 ? 'dense' : 'sparse',
        incompressible: n % 7 === 0 ? 'refuse' : undefined,
      };
      const raw = row.writebackCompressed ? '' : ', raw writeback';
      const exclusive = row.exclusiveLoads ? ', exclusive loads' : '';
      return { title: `${allocator}, victims ${victims}, ${codec}, ${mode}${raw}${exclusive}`, ...row };
    }),
  ),
);

const OFFSETS = 48;

const page: fc.Arbitrary<PageKind> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ word: fc.constantFrom(0, 1, 0xdeadbeef) }) },
  { weight: 4, arbitrary: fc.record({ noise: fc.integer({ min: 1, max: 4087 }), salt: fc.nat({ max: 999 }) }) },
  { weight: 2, arbitrary: fc.record({ noise: fc.integer({ min: 1, max: 400 }), salt: fc.nat({ max: 999 }) }) },
  { weight: 2, arbitrary: fc.record({ noise: fc.constantFrom(4096, 4095, 4090, 4000), salt: fc.nat({ max: 999 }) }) },
);
const offset = fc.nat({ max: OFFSETS - 1 });
// Mostly type 0, which the swap space uses.
const type = fc.constantFrom(0, 0, 0, 1, 2);
const after = fc.nat({ max: 4 });

const setting: fc.Arbitrary<Setting> = fc.oneof(
  fc.record({
    what: fc.constantFrom('enabled' as const, 'sameFilled' as const, 'exclusiveLoads' as const),
    value: fc.boolean(),
  }),
  fc.record({ what: fc.constant('enabled' as const), value: fc.constant(true) }),
  fc.record({
    what: fc.constantFrom('maxPoolPercent' as const, 'acceptThresholdPercent' as const),
    value: fc.constantFrom(0, 10, 20, 30, 50, 90, 100, 100),
  }),
  fc.record({ what: fc.constant('allocator' as const), value: fc.constantFrom(...ALLOCATORS) }),
  fc.record({
    what: fc.constant('codec' as const),
    value: fc.constantFrom('lz4' as const, 'lz4hc' as const, 'deflate' as const, 'trimmer' as const),
  }),
  fc.record({ what: fc.constant('writebackLimit' as const), value: fc.constantFrom(0, 1, 5, 41, 41, 41) }),
);

type Weighted = { weight: number; arbitrary: fc.Arbitrary<FrontAction> };

function basic(): Weighted[] {
  const of = <T extends FrontAction>(weight: number, arbitrary: fc.Arbitrary<T>): Weighted => ({ weight, arbitrary });
  return [
    of(12, fc.record({ kind: fc.constant('store' as const), type, offset, page })),
    of(6, fc.record({ kind: fc.constant('pageOut' as const), offset, page })),
    of(10, fc.record({ kind: fc.constant('pageOutAsync' as const), offset, page })),
    of(6, fc.record({ kind: fc.constant('load' as const), type, offset })),
    of(8, fc.record({ kind: fc.constant('loadAsync' as const), type, offset })),
    of(5, fc.record({ kind: fc.constant('invalidate' as const), type, offset })),
    of(1, fc.record({ kind: fc.constant('area' as const), type: fc.constantFrom(0, 1, 2) })),
    of(3, fc.record({ kind: fc.constant('writeback' as const), entries: fc.nat({ max: 12 }) })),
    of(5, fc.record({ kind: fc.constant('writebackAsync' as const), entries: fc.nat({ max: 12 }) })),
    of(1, fc.record({ kind: fc.constant('shrink' as const), frames: fc.nat({ max: 6 }) })),
    of(2, fc.record({ kind: fc.constant('shrinkAsync' as const), frames: fc.nat({ max: 6 }) })),
    of(2, fc.record({ kind: fc.constant('set' as const), setting })),
  ];
}

function action(): fc.Arbitrary<FrontAction> {
  const op = fc.constantFrom(
    'read' as const,
    'read' as const,
    'write' as const,
    'write' as const,
    'free' as const,
    'sync' as const,
  );
  const inner = fc.oneof(...basic());
  return fc.oneof(
    ...basic(),
    {
      weight: 14,
      arbitrary: fc.record({ kind: fc.constant('settle' as const), calls: fc.constantFrom(0, 1, 1, 2, 5, 20) }),
    },
    { weight: 2, arbitrary: fc.constant({ kind: 'quiet' as const }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'time' as const }) },
    { weight: 2, arbitrary: fc.constant({ kind: 'release' as const }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('fault' as const), op, fault: fc.nat({ max: 29 }), after }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('condition' as const),
        condition: fc.constantFrom(
          'fine' as const,
          'fine' as const,
          'fine' as const,
          'full' as const,
          'gone' as const,
          'stuck' as const,
        ),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('frames' as const),
        after: fc.nat({ max: 6 }),
        times: fc.integer({ min: 1, max: 3 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('codec fault' as const),
        on: fc.constantFrom('compress' as const, 'decompress' as const),
        fault: fc.nat({ max: 8 }),
        after,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('inside' as const),
        op: fc.oneof(op, fc.constantFrom('compress' as const, 'decompress' as const)),
        action: inner,
      }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'all' as const }) },
    {
      weight: 1,
      arbitrary: fc
        .integer({ min: 0, max: 9 })
        .map((n): FrontAction => (n === 0 ? { kind: 'close' } : { kind: 'settle', calls: n })),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'image' as const }) },
  );
}

/** Lists of actions that fill the space first, so that limits are reached. */
export function actions(most: number): fc.Arbitrary<FrontAction[]> {
  return fc.array(action(), { minLength: 1, maxLength: most, size: 'max' });
}
