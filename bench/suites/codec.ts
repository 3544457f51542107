/** Codecs: those of the core, with and without the copies of a call from JavaScript, the loaded ones, other packages. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CompcacheError, LOADABLE_CODECS, PAGE_SIZE, Ram, loadCodec, type Codec } from '../../bindings/index.ts';
import { BLOCK_ROOM, codecTables, requireSame, trialOf, type Trial } from '../../cli/bench/codec.ts';
import type { Corpus, Table } from '../../cli/bench/types.ts';
import { lz4Npm, otherCodecs } from '../peers.ts';

/** The codec by itself (scripts/build.mjs), on any addresses. */
interface CodecModule {
  memory: WebAssembly.Memory;
  lz4Compress(src: number, bytes: number, dst: number, most: number, table: number): number;
  lz4Decompress(src: number, bytes: number, dst: number, most: number): number;
}

const TABLE = 65536;
const BLOCK = TABLE + 65536;
const INTO = BLOCK + 65536;
const PAGES = INTO + 65536;

/** LZ4 of the core where pages and blocks lie in linear memory already: what the page path does. */
async function inPlace(name: string, build: string, { pages }: Corpus): Promise<Trial> {
  const slot = 2 * BLOCK_ROOM;
  const size = Math.ceil((PAGES + pages.length * slot) / 65536);
  const wasm = readFileSync(fileURLToPath(new URL(`../../build/${build}.wasm`, import.meta.url)));
  const memory = new WebAssembly.Memory({ initial: size, maximum: 65536 });
  const { instance } = await WebAssembly.instantiate(wasm, { env: { memory, abort() {} } });
  const { lz4Compress, lz4Decompress } = instance.exports as unknown as CodecModule;
  const bytes = new Uint8Array(memory.buffer);
  const lengths = pages.map((page, nth) => {
    bytes.set(page, PAGES + nth * slot);
    return lz4Compress(PAGES + nth * slot, PAGE_SIZE, PAGES + nth * slot + BLOCK_ROOM, BLOCK_ROOM, TABLE);
  });
  const trial: Trial = {
    name,
    compress: (page) => lz4Compress(PAGES + page * slot, PAGE_SIZE, BLOCK, BLOCK_ROOM, TABLE),
    decompress: (page) => void lz4Decompress(PAGES + page * slot + BLOCK_ROOM, lengths[page] as number, INTO, PAGE_SIZE),
  };
  pages.forEach((page, nth) => {
    trial.decompress(nth);
    requireSame(name, page, bytes.subarray(INTO, INTO + PAGE_SIZE));
  });
  return trial;
}

/** The codecs that the core of this package has. */
async function coreCodecs(): Promise<Codec[]> {
  const ram = await Ram.create({ bytes: '1MiB' });
  return available(['lz4', 'lz4hc'], async (name) => ram.codec(name as 'lz4'), 'EINVAL');
}

/** Those that can be had; a code that says otherwise is no fault. */
async function available<Name>(names: readonly Name[], load: (name: Name) => Promise<Codec>, unless: string): Promise<Codec[]> {
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
  const rest = [...(await coreCodecs()), ...(await available(LOADABLE_CODECS, loadCodec, 'ENODEV')), ...(await otherCodecs())];
  for (const corpus of corpora) {
    const here = [await inPlace('lz4, in place', 'codec-simd', corpus), await inPlace('lz4 scalar, in place', 'codec-scalar', corpus)];
    yield* codecTables(corpus, [...(first === undefined ? [] : [trialOf(first, corpus)]), ...here, ...rest.map((codec) => trialOf(codec, corpus))]);
  }
}
