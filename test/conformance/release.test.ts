/** Every allocator passes one contract (docs/rules, R) in the release build. One file a build, so that they run side by side. */
import { describe } from 'vitest';
import { allocators, builds } from '../harness.ts';
import { conformance } from './suite/index.ts';

describe.skipIf(!builds.includes('release'))('conformance', () => {
  for (const row of allocators) conformance(row, 'release');
});
