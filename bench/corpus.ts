/**
 * Pages for measurements: samples of real memory (bench/corpus), generated pages that are the same in every run, the
 * Node executable, or any file or folder.
 *
 * bench/corpus has 128 pages from each of four running programs, sampled at equal distances.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PAGE_SIZE } from '../bindings/index.ts';
import { readCorpus } from '../cli/bench/corpus.ts';
import { createDraw } from '../cli/bench/draw.ts';
import type { Corpus } from '../cli/bench/types.ts';
import { InputError } from '../cli/pages.ts';

const GENERATED_PAGES = 256;
const MEMORY = fileURLToPath(new URL('corpus/', import.meta.url));
const WORDS =
  'the of page memory frame and a list is to in handle that for it pool with was on zero as object his by at full'.split(
    ' ',
  );

type Draw = () => number;

function text(bytes: number, draw: Draw): string {
  let all = '';
  while (all.length < bytes) all += WORDS[draw() % WORDS.length] + (draw() % 9 === 0 ? '.\n' : ' ');
  return all.slice(0, bytes);
}

function json(bytes: number, draw: Draw): string {
  const record = (): object => ({
    id: draw(),
    name: text(8 + (draw() % 12), draw),
    price: (draw() % 10000) / 100,
    tags: [text(5, draw), text(7, draw)],
    stock: draw() % 2 === 0,
  });
  let all = '[';
  while (all.length < bytes) all += `${JSON.stringify(record())},`;
  return all.slice(0, bytes);
}

/** Measurements that change slowly: the upper bytes of neighbours are equal. */
function floats(bytes: number, draw: Draw): Buffer {
  let value = 20;
  return Buffer.from(Float64Array.from({ length: bytes / 8 }, () => (value += ((draw() % 2001) - 1000) / 1000)).buffer);
}

/** Functions that make one page. */
const GENERATED: Record<string, (draw: Draw) => Buffer> = {
  zero: () => Buffer.alloc(PAGE_SIZE),
  'same-filled': (draw) => Buffer.from(new Uint32Array(PAGE_SIZE / 4).fill(draw()).buffer),
  json: (draw) => Buffer.from(json(PAGE_SIZE, draw)),
  text: (draw) => Buffer.from(text(PAGE_SIZE, draw)),
  floats: (draw) => floats(PAGE_SIZE, draw),
  incompressible: (draw) => Buffer.from(Uint8Array.from({ length: PAGE_SIZE }, () => draw() >>> 8)),
};

function generated(name: string, make: (draw: Draw) => Buffer): Corpus {
  const draw = createDraw(1);
  return { name, pages: Array.from({ length: GENERATED_PAGES }, () => make(draw)) };
}

/** Names for --corpus, besides files and folders. */
export const CORPORA = ['memory', 'executable', ...Object.keys(GENERATED)];

/**
 * A corpus by its name, or the corpus of a file or folder.
 * @throws InputError
 */
export function corpus(name: string): Corpus {
  if (name === 'memory') return { ...readCorpus(MEMORY), name };
  if (name === 'executable') return { ...readCorpus(process.execPath, 1024), name };
  const make = Object.hasOwn(GENERATED, name) ? GENERATED[name] : undefined;
  if (make !== undefined) return generated(name, make);
  if (!existsSync(name)) throw new InputError(`no corpus, file or folder ${name}; known: ${CORPORA.join(', ')}`);
  return readCorpus(name);
}
