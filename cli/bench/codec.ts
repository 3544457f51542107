/** Codecs on the pages of a corpus: the time to compress and to decompress a page, and the mean bytes of a block. */
import { PAGE_SIZE, type Codec } from '../../bindings/index.ts';
import { time } from './measure.ts';
import type { Contender, Corpus, Table } from './types.ts';

const PAGES_A_ROUND = 1000; // at least
/** The most bytes that a codec may make of a page. */
export const BLOCK_ROOM = PAGE_SIZE + 1024;

/** A codec on the pages of one corpus. */
export interface Trial {
  name: string;
  /** Compresses a page into a shared buffer. Returns the bytes of the block. */
  compress(page: number): number;
  /** Decompresses the block of a page into a shared buffer. */
  decompress(page: number): void;
}

/** Prepares a codec, or any object with its methods. @throws Error when a page comes back different */
export function trialOf(codec: Codec, { pages }: Corpus, name = codec.name): Trial {
  const block = Buffer.alloc(BLOCK_ROOM);
  const into = Buffer.alloc(PAGE_SIZE);
  const blocks = pages.map((page) => Buffer.from(block.subarray(0, codec.compress(page, block))));
  const trial: Trial = {
    name,
    compress: (page) => codec.compress(pages[page] as Buffer, block),
    decompress: (page) => void codec.decompress(blocks[page] as Buffer, into),
  };
  pages.forEach((page, nth) => {
    trial.decompress(nth);
    requireSame(name, page, into);
  });
  return trial;
}

/** Requires that a page came back unchanged. The times of a codec that changes pages must not be reported. */
export function requireSame(name: string, page: Uint8Array, back: Uint8Array): void {
  if (Buffer.compare(page, back) !== 0) throw new Error(`${name}: a page came back different`);
}

/** Two tables: compress and decompress. All codecs are compared with the first. */
export function codecTables(corpus: Corpus, trials: readonly Trial[]): Table[] {
  const count = corpus.pages.length;
  const contender = ({ name }: Trial, run: (page: number) => void, figures?: Contender['figures']): Contender => ({
    name,
    round: () => overPages(count, run),
    ...(figures && { figures }),
  });
  return [
    {
      title: `compress a page, ${corpus.name}`,
      unit: 'ns',
      contenders: trials.map((trial) => contender(trial, trial.compress, () => ({ bytes: meanBytes(trial, count) }))),
    },
    {
      title: `decompress a page, ${corpus.name}`,
      unit: 'ns',
      contenders: trials.map((trial) => contender(trial, trial.decompress)),
    },
  ];
}

/** Nanoseconds per page. Runs over all pages, several times if needed, to reach PAGES_A_ROUND pages. */
export function overPages(count: number, run: (page: number) => void): number {
  const passes = Math.ceil(PAGES_A_ROUND / count);
  return time(passes * count, () => {
    for (let pass = 0; pass < passes; pass++) {
      for (let page = 0; page < count; page++) run(page);
    }
  });
}

/** Mean bytes of a block. A page that does not get smaller counts with its own bytes. */
function meanBytes(trial: Trial, count: number): number {
  let sum = 0;
  for (let page = 0; page < count; page++) sum += Math.min(PAGE_SIZE, trial.compress(page));
  return sum / count;
}
