/**
 * Traces of swapping: the stores, loads and invalidations in order. A trace is read from a file, or generated with
 * Zipf's law. It can be written to a file. docs/swap.md has the format.
 */
import { createReadStream, writeFileSync } from 'node:fs';
import { createDraw } from '../bench/draw.ts';
import { InputError, unreadable } from '../pages.ts';
import { zipf } from '../zipf.ts';

export const STORE = 0;
export const LOAD = 1;
export const INVALIDATE = 2;
export const INVALIDATE_AREA = 3;
const WORDS = ['store', 'load', 'invalidate', 'invalidateArea'] as const;

/** The highest type and offset that zswap accepts. */
const TYPE_MAX = 0xfffffeff;
const OFFSET_MAX = 0xffffffff;
/** The most operations and pages, because a random number has 24 bits. */
export const LENGTH_MAX = 2 ** 24;
const LINE_MAX = 1000;

/** A list of operations. An operation on a whole area has offset 0. */
export class Trace {
  #length = 0;
  #kinds = new Uint8Array(1024);
  #types = new Uint32Array(1024);
  #offsets = new Uint32Array(1024);

  get length(): number {
    return this.#length;
  }

  kind(at: number): number {
    return this.#kinds[at] as number;
  }

  type(at: number): number {
    return this.#types[at] as number;
  }

  offset(at: number): number {
    return this.#offsets[at] as number;
  }

  add(kind: number, type: number, offset: number): void {
    if (this.#length === this.#kinds.length) this.#grow();
    this.#kinds[this.#length] = kind;
    this.#types[this.#length] = type;
    this.#offsets[this.#length] = offset;
    this.#length += 1;
  }

  #grow(): void {
    const [kinds, types, offsets] = [this.#kinds, this.#types, this.#offsets];
    this.#kinds = new Uint8Array(2 * kinds.length);
    this.#types = new Uint32Array(2 * kinds.length);
    this.#offsets = new Uint32Array(2 * kinds.length);
    this.#kinds.set(kinds);
    this.#types.set(types);
    this.#offsets.set(offsets);
  }
}

/** The number of operations of each kind, and of pages. */
export interface TraceSummary {
  operations: number;
  stores: number;
  loads: number;
  invalidates: number;
  areaInvalidates: number;
  /** Pages that are stored at least once. */
  pages: number;
}

export function summaryOf(trace: Trace): TraceSummary {
  const kinds = [0, 0, 0, 0];
  const areas = new Map<number, Set<number>>();
  for (let at = 0; at < trace.length; at++) {
    const kind = trace.kind(at);
    kinds[kind] = (kinds[kind] as number) + 1;
    if (kind !== STORE) continue;
    const area = areas.get(trace.type(at));
    if (area === undefined) areas.set(trace.type(at), new Set([trace.offset(at)]));
    else area.add(trace.offset(at));
  }
  const [stores = 0, loads = 0, invalidates = 0, areaInvalidates = 0] = kinds;
  const pages = [...areas.values()].reduce((sum, { size }) => sum + size, 0);
  return { operations: trace.length, stores, loads, invalidates, areaInvalidates, pages };
}

// ── generated ────────────────────────────────────────────────────────────────

/** The parameters of a generated trace. */
export interface Recipe {
  /** Pages of the working set: offsets 0 … pages - 1 of type 0. */
  pages: number;
  /** Operations after each page was stored once. */
  operations: number;
  /** Exponent of Zipf's law. */
  zipf: number;
  /** Share of stores; the others are loads. */
  writes: number;
  seed: number;
}

/** First stores all pages. Then stores and loads pages chosen by Zipf's law. */
export function makeTrace({ pages, operations, zipf: exponent, writes, seed }: Recipe): Trace {
  const trace = new Trace();
  const draw = createDraw(seed);
  for (let page = 0; page < pages; page++) trace.add(STORE, 0, page);
  for (const page of zipf(pages, operations, draw, exponent))
    trace.add(draw() < writes * 2 ** 24 ? STORE : LOAD, 0, page);
  return trace;
}

// ── files ────────────────────────────────────────────────────────────────────

/** @throws InputError for a file that cannot be read, and for an invalid line, with its number */
export async function readTrace(file: string): Promise<Trace> {
  const trace = new Trace();
  let lines = 0;
  const take = (line: string): void => {
    lines += 1;
    const fault = addLine(trace, line);
    if (fault !== undefined) throw new InputError(`${file}:${lines}: ${fault}`);
  };
  try {
    let rest = '';
    for await (const chunk of createReadStream(file, 'latin1') as AsyncIterable<string>) {
      const whole = (rest + chunk).split('\n');
      rest = whole.pop() as string;
      whole.forEach(take);
      if (rest.length > LINE_MAX) take(rest);
    }
    if (rest !== '') take(rest);
  } catch (error) {
    throw error instanceof InputError ? error : unreadable(file, error);
  }
  if (trace.length === 0) throw new InputError(`${file} has no operation`);
  return trace;
}

/** Adds the operation of a line, if there is one. Returns what is wrong with the line, or undefined. */
function addLine(trace: Trace, line: string): string | undefined {
  if (line.length > LINE_MAX) return `the line is longer than ${LINE_MAX} bytes`;
  const [word = '', ...numbers] = line.replace(/#.*/, '').trim().split(/\s+/);
  if (word === '') return undefined;
  const kind = (WORDS as readonly string[]).indexOf(word);
  if (kind === -1) return `unknown operation '${word}'; known: ${WORDS.join(', ')}`;
  const wanted = kind === INVALIDATE_AREA ? 1 : 2;
  if (numbers.length !== wanted) return wanted === 1 ? `${word} takes a type` : `${word} takes a type and an offset`;
  const [type = 0, offset = 0] = numbers.map((text) => (/^\d{1,10}$/.test(text) ? Number(text) : NaN));
  if (!(type <= TYPE_MAX)) return `type '${numbers[0]}' is not a whole number from 0 to ${TYPE_MAX}`;
  if (!(offset <= OFFSET_MAX)) return `offset '${numbers[1]}' is not a whole number from 0 to ${OFFSET_MAX}`;
  if (trace.length === LENGTH_MAX) return `more than ${LENGTH_MAX} operations`;
  trace.add(kind, type, offset);
  return undefined;
}

/** Writes a trace to a file, in place of its old contents. @throws InputError */
export function writeTrace(file: string, trace: Trace): void {
  const lines = ['# compcache swap: operation, type, offset'];
  for (let at = 0; at < trace.length; at++) {
    const kind = trace.kind(at);
    lines.push(`${WORDS[kind]} ${trace.type(at)}${kind === INVALIDATE_AREA ? '' : ` ${trace.offset(at)}`}`);
  }
  try {
    writeFileSync(file, `${lines.join('\n')}\n`);
  } catch (error) {
    throw new InputError(`cannot write ${file}: ${(error as Error).message}`, { cause: error });
  }
}
