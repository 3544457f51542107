/**
 * Codecs: those of the core, with and without the copies of a call from JavaScript; loadable ones; those of other
 * packages.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CompcacheError, LOADABLE_CODECS, PAGE_SIZE, Ram, loadCodec, type Codec } from '../../bindings/index.ts';
import { BLOCK_ROOM, codecTables, requireSame, trialOf, type Trial } from '../../cli/bench/codec.ts';
import type { Corpus, Table } from '../../cli/bench/types.ts';
import { lz4Npm, otherCodecs } from '../peers.ts';

/** A module with only the core's LZ4 (scripts/build.mjs). It works on any addresses. */
interface CodecModule {
  memory: WebAssembly.Memory;
  lz4Compress(src: number, bytes: number, dst: number, most: number, table: number): number;
  lz4Decompress(src: number, bytes: number, dst: number, most: number): number;
}

const TABLE = 65536;
const BLOCK = TABLE + 65536;
const INTO = BLOCK + 65536;
const PAGES = INTO + 65536;

/**
 * The core's LZ4 on pages and blocks that are already in linear memory, as in the page path. Pages and blocks lie close
 * together, like the objects of a pool and the Buffers of the other contenders. With gaps between them, cache misses
 * would cost more than the differences between the codecs.
 */
async function inPlace(name: string, build: string, { pages }: Corpus): Promise<Trial> {
  const size = Math.ceil((PAGES + pages.length * (PAGE_SIZE + BLOCK_ROOM)) / 65536);
  const wasm = readFileSync(fileURLToPath(new URL(`../../build/${build}.wasm`, import.meta.url)));
  const memory = new WebAssembly.Memory({ initial: size, maximum: 65536 });
  const { instance } = await WebAssembly.instantiate(wasm, { env: { memory, abort() {} } });
  const { lz4Compress, lz4Decompress } = instance.exports as unknown as CodecModule;
  const bytes = new Uint8Array(memory.buffer);
  let end = PAGES + pages.length * PAGE_SIZE;
  const blocks = pages.map((page, nth) => {
    bytes.set(page, PAGES + nth * PAGE_SIZE);
    const block = { at: end, length: lz4Compress(PAGES + nth * PAGE_SIZE, PAGE_SIZE, end, BLOCK_ROOM, TABLE) };
    end += Math.ceil(block.length / 8) * 8;
    return block;
  });
  const trial: Trial = {
    name,
    compress: (page) => lz4Compress(PAGES + page * PAGE_SIZE, PAGE_SIZE, BLOCK, BLOCK_ROOM, TABLE),
    decompress: (page) => {
      const { at, length } = blocks[page] as { at: number; length: number };
      lz4Decompress(at, length, INTO, PAGE_SIZE);
    },
  };
  pages.forEach((page, nth) => {
    trial.decompress(nth);
    requireSame(name, page, bytes.subarray(INTO, INTO + PAGE_SIZE));
  });
  return trial;
}

/** The codecs of this package's core. */
async function coreCodecs(): Promise<Codec[]> {
  const ram = await Ram.create({ bytes: '1MiB' });
  return available(['lz4', 'lz4hc'], async (name) => ram.codec(name as 'lz4'), 'EINVAL');
}

/** The codecs that can be loaded. An error with the code `unless` means that a codec is not available. */
async function available<Name>(
  names: readonly Name[],
  load: (name: Name) => Promise<Codec>,
  unless: string,
): Promise<Codec[]> {
  const codecs: Codec[] = [];
  for (const name of names) {
    try {
      codecs.push(await load(name));
    } catch (error) {
      if (!(error instanceof CompcacheError && error.code === unless)) throw error;
    }
  }
  return codecs;
}

export async function* codecSuite(corpora: readonly Corpus[]): AsyncGenerator<Table> {
  const first = lz4Npm();
  const rest = [
    ...(await coreCodecs()),
    ...(await available(LOADABLE_CODECS, loadCodec, 'ENODEV')),
    ...(await otherCodecs()),
  ];
  for (const corpus of corpora) {
    const here = [
      await inPlace('lz4, in place', 'codec-simd', corpus),
      await inPlace('lz4 scalar, in place', 'codec-scalar', corpus),
    ];
    yield* codecTables(corpus, [
      ...(first === undefined ? [] : [trialOf(first, corpus)]),
      ...here,
      ...rest.map((codec) => trialOf(codec, corpus)),
    ]);
  }
}
