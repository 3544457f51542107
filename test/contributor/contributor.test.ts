/** The steps of CONTRIBUTING.md, done in a copy of the tree: an allocator, a codec, a backing store. */
import { expect, test } from 'vitest';
import { CopiedTree } from './copied-tree.ts';

function addAllocator(tree: CopiedTree): void {
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
}

function addCodec(tree: CopiedTree): void {
  tree.addFile('runs.ts', 'bindings/codec/runs.ts');
  tree.addRow({
    file: 'bindings/codec/index.ts',
    before: '} satisfies Record<string, Maker[]>;',
    row: "  runs: [async () => (await import('./runs.ts')).runs()],",
  });
}

function addStore(tree: CopiedTree): void {
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
}

test('an allocator, a codec and a backing store, each added as CONTRIBUTING says, pass the tests of their kind', () => {
  const tree = new CopiedTree();
  try {
    addAllocator(tree);
    addCodec(tree);
    addStore(tree);
    // One build is enough: this build is used for all three.
    tree.run('scripts/build.mjs', 'quick');
    tree.run('node_modules/typescript/bin/tsc', '--noEmit', '-p', 'tsconfig.json');
    const passed = tree.test(
      { VITE_ALLOCATOR: 'single' },
      'test/conformance/checked.test.ts',
      'test/unit/codecs.test.ts',
      'test/backing/array.test.ts',
      'test/node/imports.test.ts',
    );
    const count = (word: string): number => passed.filter((name) => name.startsWith(word)).length;
    expect(passed.filter((name) => name.includes('single')).length).toBeGreaterThan(80);
    expect(count('runs ')).toBeGreaterThan(30);
    expect(count('ArrayStore ')).toBeGreaterThan(10);
    expect(count('imports ')).toBeGreaterThan(5);
  } finally {
    tree.remove();
  }
}, 300_000);
