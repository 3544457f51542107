/**
 * The exact sizes of the blocks of the benchmark pages. An encoder that finds fewer matches makes larger blocks, and no other
 * test finds this. The size depends only on the page, so it is the same in all builds and on all machines.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { corpus } from '../../bench/corpus.ts';
import { PAGE_SIZE, Ram } from '../../bindings/index.ts';
import { buildOptions, builds } from '../harness.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Bytes of all blocks: of 128 pages each of four programs, and of 256 generated pages. */
const BYTES: Record<'lz4' | 'lz4hc', Record<string, number>> = {
  lz4: { chromium: 135496, gcc: 124929, node: 143611, python: 159141, json: 511022, text: 587028, floats: 970275 },
  lz4hc: { chromium: 119336, gcc: 107205, node: 130069, python: 135233, json: 440964, text: 483021, floats: 849561 },
};

function pagesOf(name: string): readonly Uint8Array[] {
  const program = join(ROOT, `bench/corpus/${name}.pages`);
  return corpus(existsSync(program) ? program : name).pages;
}

describe.each(builds)('blocks, %s', (build) => {
  test.each(['lz4', 'lz4hc'] as const)('of %s have the expected sizes', async (name) => {
    const codec = (await Ram.create({ bytes: '1MiB', ...buildOptions(build) })).codec(name);
    const into = new Uint8Array(2 * PAGE_SIZE);
    const bytes: Record<string, number> = {};
    for (const pages of Object.keys(BYTES[name])) {
      bytes[pages] = pagesOf(pages).reduce((sum, page) => sum + codec.compress(page, into), 0);
    }
    expect(bytes).toEqual(BYTES[name]);
  });

  test('of one source of 64 KiB and one of each length up to 300 bytes have the expected sizes', async () => {
    const ram = await Ram.create({ bytes: '4MiB', ...buildOptions(build) });
    const source = new Uint8Array(65536);
    corpus(join(ROOT, 'bench/corpus/gcc.pages'))
      .pages.slice(20, 36)
      .forEach((page, i) => source.set(page, i * PAGE_SIZE));
    const into = new Uint8Array(70_000);
    const bytes = (['lz4', 'lz4hc'] as const).map((name) => {
      const codec = ram.codec(name);
      let short = 0;
      for (let length = 1; length <= 300; length++) short += codec.compress(source.subarray(4096, 4096 + length), into);
      return [codec.compress(source, into), short];
    });
    expect(bytes).toEqual([
      [12359, 24329],
      [10566, 21928],
    ]);
  });
});
