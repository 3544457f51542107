/** The dispatch has a case for each allocator in each function of the contract, and no default. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ALLOCATORS } from '../../bindings/index.ts';
import { dispatchOf, readContract } from '../../scripts/dispatch.mjs';

const ROOT = join(import.meta.dirname, '../..');
const SOURCE = readFileSync(join(ROOT, 'assembly/alloc/index.ts'), 'utf8');

describe('the dispatch', () => {
  const { functions, rows } = readContract(SOURCE);

  test('is the generated one, and has each allocator in each function', () => {
    const text = dispatchOf(readContract(SOURCE));
    expect(readFileSync(join(ROOT, 'assembly/generated/dispatch.ts'), 'utf8')).toBe(text);
    expect(functions.length).toBeGreaterThan(20);
    expect(rows.map(({ name }) => name)).toEqual(ALLOCATORS); // the allocators of the bindings
    for (const { name } of functions) for (const row of rows) expect(text).toContain(` ${row.name}.${name}(`);
    expect(text).not.toContain('default');
  });

  test('cannot be made with a kind that is used twice or belongs to a front end, or from a contract that it cannot parse', () => {
    expect(() => readContract(SOURCE.replace('zbud = 1', 'zbud = 2'))).toThrow('z3fold or its kind is used twice');
    expect(() => readContract(SOURCE.replace('zbud = 1', 'zbud = 64'))).toThrow('the kind of zbud must be 1 to 63');
    expect(() => readContract(SOURCE.replace('freeable(pool: usize): u32;', 'freeable: u32;'))).toThrow(
      'not a function of the contract',
    );
    expect(() => readContract('')).toThrow('no contract');
  });
});
