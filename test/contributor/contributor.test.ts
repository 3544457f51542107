/** The steps of CONTRIBUTING.md, done in a copy of the tree: an allocator, a codec, a backing store. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CopiedTree } from './copied-tree.ts';

let tree: CopiedTree;

beforeEach(() => {
  tree = new CopiedTree();
});

afterEach(() => {
  tree.remove();
});

test('a sixth allocator, added as a file and three rows, passes the conformance suite', () => {
  tree.addFile('single.ts', 'assembly/alloc/single.ts');
  tree.addRow({ file: 'assembly/alloc/index.ts', row: 'export const single = 63 as u32;' });
  tree.addRow({
    file: 'bindings/allocators.ts',
    before: '} satisfies Record<string, AllocatorRow>;',
    row: '  single: { options: [], isMovable: false, canSleepMapped: true, knowsFreeable: false, location: inOnePiece, figures: (rows) => ({ lists: lengths(rows) }) },',
  });
  tree.addRow({
    file: 'test/harness.ts',
    before: '  // the end of the rows',
    row: `  { title: 'single', allocator: 'single', options: {}, largest: PAGE_SIZE, movable: false, canSleepMapped: true, lruByWrite: false, rawFrames: false,
    ...NO_RESERVE, isAlone: true, straddles: false, staleUses: 2000, edges: [] },`,
  });
  // One build is enough: this build is used for all three.
  tree.run('scripts/build.mjs', 'quick');
  tree.run('node_modules/typescript/bin/tsc', '--noEmit', '-p', 'tsconfig.json');
  const passed = tree.test({ VITE_ALLOCATOR: 'single' }, 'test/conformance/checked.test.ts');
  expect(passed.length).toBeGreaterThan(80);
  expect(passed.every((name) => name.includes('single'))).toBe(true);
}, 300_000);

test('a codec and a backing store, each added as a file and a row, pass the tests of their kind and the layer rules', () => {
  tree.addFile('runs.ts', 'bindings/codec/runs.ts');
  tree.addRow({
    file: 'bindings/codec/index.ts',
    before: '} satisfies Record<string, Maker[]>;',
    row: "  runs: [async () => (await import('./runs.ts')).runs()],",
  });
  tree.addFile('array-store.ts', 'bindings/backing/array.ts');
  tree.addRow({ file: 'bindings/index.ts', row: "export { ArrayStore } from './backing/array.ts';" });
  tree.write(
    'test/backing/array.test.ts',
    `import { ArrayStore } from '../../bindings/index.ts';
import { testBackingStore } from './suite.ts';

testBackingStore({
  name: 'ArrayStore',
  mode: 'sync',
  type: 'ArrayStore',
  open: async (slots) => new ArrayStore(slots),
});
`,
  );
  tree.run('node_modules/typescript/bin/tsc', '--noEmit', '-p', 'tsconfig.json');
  const passed = tree.test({}, 'test/unit/codecs.test.ts', 'test/backing/array.test.ts', 'test/node/imports.test.ts');
  expect(passed.filter((name) => name.startsWith('runs ')).length).toBeGreaterThan(30);
  expect(passed.filter((name) => name.startsWith('ArrayStore ')).length).toBeGreaterThan(10);
}, 300_000);
