/** Action lists for fast-check. */
import fc from 'fast-check';
import { ALL_BUILDS } from '../harness.ts';
import type { AllocatorRow } from '../harness.ts';
import { BAD_HANDLES, MODES, POLICIES } from './machine.ts';
import type { Action } from './machine.ts';

const any = fc.nat({ max: 0xffff });

/** A small size, a class edge or its neighbour, the largest, or any size. */
function size(row: AllocatorRow): fc.Arbitrary<number> {
  const edge = fc.constantFrom(...row.edges);
  return fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 1, max: row.largest }) },
    { weight: 2, arbitrary: fc.integer({ min: 1, max: 200 }) },
    { weight: 2, arbitrary: fc.tuple(edge, fc.constantFrom(0, 1)).map(([at, more]) => at + more) },
    { weight: 2, arbitrary: fc.constantFrom(500, 1000, 1630, 2000) },
    { weight: 1, arbitrary: fc.constant(row.largest) },
  );
}

function action(row: AllocatorRow): fc.Arbitrary<Action> {
  const of = <K extends Action['kind']>(
    kind: K,
    rest: { [F in Exclude<keyof Extract<Action, { kind: K }>, 'kind'>]: fc.Arbitrary<Extract<Action, { kind: K }>[F]> },
  ): fc.Arbitrary<Action> => fc.record({ kind: fc.constant(kind), ...rest }) as unknown as fc.Arbitrary<Action>;
  return fc.oneof(
    { weight: 14, arbitrary: of('malloc', { size: size(row) }) },
    { weight: 7, arbitrary: of('free', { pick: any }) },
    { weight: 3, arbitrary: of('write', { pick: any, at: any, length: any, salt: any }) },
    { weight: 2, arbitrary: of('read', { pick: any, at: any }) },
    { weight: 3, arbitrary: of('map', { pick: any, mode: fc.constantFrom(...MODES), salt: any }) },
    { weight: 3, arbitrary: of('unmap', { pick: any }) },
    { weight: 1, arbitrary: of('compact', {}) },
    { weight: 1, arbitrary: of('run deferred', {}) },
    {
      weight: 2,
      arbitrary: of('shrink', {
        pages: fc.nat({ max: 6 }),
        policies: fc.array(fc.constantFrom(...POLICIES), { minLength: 1, maxLength: 4 }),
        salt: fc.nat({ max: 9 }),
      }),
    },
    { weight: 1, arbitrary: of('snapshot', { build: fc.constantFrom(...ALL_BUILDS) }) },
    { weight: 2, arbitrary: of('fail', { after: fc.nat({ max: 6 }), times: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 2, arbitrary: of('bad', { what: fc.constantFrom(...BAD_HANDLES), pick: any, call: any }) },
  );
}

export function actions(row: AllocatorRow, most: number): fc.Arbitrary<Action[]> {
  return fc.array(action(row), { minLength: 1, maxLength: most, size: 'max' });
}
