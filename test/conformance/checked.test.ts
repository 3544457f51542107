/**
 * The contract of all allocators (docs/rules, R) in the checked build. One file for each build, so that they run in
 * parallel.
 */
import { describe } from 'vitest';
import { allocators, builds } from '../harness.ts';
import { conformance } from './suite/index.ts';

describe.skipIf(!builds.includes('checked'))('conformance', () => {
  for (const row of allocators) conformance(row, 'checked');
});
