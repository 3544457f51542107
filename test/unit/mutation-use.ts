/**
 * Mutation, then use: single words of a RAM are changed, and when check() notices nothing the RAM is used. Then no call
 * may give EUCLEAN, trap, or fail in a way that is impossible without the change, and no bytes may be wrong except
 * those of the changed word.
 *
 * For each kind of word that nothing can contradict, lossOf gives the possible loss: for a generation its handle, for
 * the contents of an object these bytes. Everything else is a fault.
 *
 * Portable: no Node module and no test framework.
 */
import { CompcacheError, type Ram } from '../../bindings/index.ts';
import { runsOf } from '../../bindings/image.ts';
import { rams } from '../../bindings/ram.ts';
import { PAGE_SIZE, type Core } from '../../bindings/wasm.ts';
import { must, sameBytes } from '../harness.ts';
import { createDraw } from '../models/trace.ts';
import { EUCLEAN, frameEntryOf } from '../raw.ts';

/** Types of frames (assembly/mem/layout.ts). */
export const TYPE = {
  table: 3,
  pool: 4,
  more: 5,
  slab: 6,
  handles: 7,
  data: 8,
  raw: 9,
  buffer: 10,
  index: 11,
  slots: 12,
};

/**
 * The possible loss by a change that check() cannot notice: nothing; the object or key that the word names; or only
 * bytes.
 */
export type Loss = 'nothing' | 'object' | 'bytes';

export interface Mutation {
  address: number;
  before: number;
  after: number;
  type: number;
  loss: Loss;
}

/** A RAM with contents, and the calls that use it. */
export interface Subject {
  readonly title: string;
  readonly ram: Ram;
  /** Uses everything in it, to the last free. Throws when something is wrong. */
  use(loss: Loss): void | Promise<void>;
  /** Restores the state outside the RAM to that at the start; not needed with `fresh`. */
  reset(): void;
  /** Makes another subject, equal to the last byte, when not all of its state is in its RAM. */
  readonly fresh?: () => Promise<Subject>;
}

/** A word that was changed, as text. */
export function told({ address, before, after, type }: Mutation): string {
  return `word ${address % PAGE_SIZE} of frame ${Math.floor(address / PAGE_SIZE)} (type ${type}): ${before.toString(16)} → ${after.toString(16)}`;
}

/** The result of a call; undefined where it fails with one of the codes. */
export function allowing<T>(codes: readonly string[], call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (error instanceof CompcacheError && codes.includes(error.code)) return undefined;
    throw error;
  }
}

/** The words of a RAM and the types of their frames. */
export class Mutator {
  readonly #subject: Subject;
  readonly #core: Core;
  readonly #words: Uint32Array;
  readonly #saved: Uint8Array;
  readonly #frames: number;

  constructor(subject: Subject) {
    this.#subject = subject;
    this.#core = rams.core('test', subject.ram);
    this.#frames = this.#core.bytes.length / PAGE_SIZE;
    this.#words = new Uint32Array(this.#core.bytes.buffer);
    this.#saved = this.#core.bytes.slice();
  }

  /** Addresses of all words of an image that may matter; of the contents of frames only every nth word. */
  addresses(contents: number): number[] {
    return runsOf(this.#core)
      .flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i))
      .flatMap((frame) => {
        const type = this.#type(frame);
        const step = type === TYPE.data || type === TYPE.raw ? contents : 1;
        return Array.from(
          { length: Math.ceil(PAGE_SIZE / 4 / step) },
          (_, i) => frame * PAGE_SIZE + 4 * ((i * step + frame) % (PAGE_SIZE / 4)),
        );
      });
  }

  #type(frame: number): number {
    return (this.#words[frameEntryOf(frame) >>> 2] as number) & 4095;
  }

  /** Values to put in place of a word. */
  values(address: number, draw: () => number): number[] {
    const at = address >>> 2;
    const word = this.#words[at] as number;
    const others = [
      this.#words[at + 1] as number,
      this.#words[(address ^ 8) >>> 2] as number,
      this.#words[(address ^ 32) >>> 2] as number,
    ];
    const flips = [1, 2, 4, 8, 0x10, 0x40, 0x100, 0x1000, 0x8000, 0x10000, 0x400000, 0x80000000].map(
      (bit) => (word ^ bit) >>> 0,
    );
    const values = [0, 1, 0xffffffff, word + 1, word - 1, draw() * 256, ...others, ...flips].map(
      (value) => value >>> 0,
    );
    return [...new Set(values)].filter((value) => value !== word);
  }

  /** The possible loss by this change. */
  #loss(address: number, change: number): Loss {
    const frame = Math.floor(address / PAGE_SIZE);
    const type = this.#type(frame);
    const at = address % PAGE_SIZE;
    // Generations: of frames, and of handle records.
    if (type === TYPE.table) return at % 32 === 4 ? 'object' : 'nothing';
    if (type === TYPE.handles && at % 8 === 4) return (change & 0x3fffff) === 0 ? 'object' : 'nothing';
    if (type === TYPE.raw) return 'bytes';
    // xvmalloc has its headers between the objects; a header has a generation.
    if (type === TYPE.data) return 'object';
    return 'nothing';
  }

  /** Changes a word and uses the RAM if check() notices nothing. @returns whether check() noticed */
  async try(address: number, after: number): Promise<boolean> {
    const at = address >>> 2;
    const before = this.#words[at] as number;
    const mutation: Mutation = {
      address,
      before,
      after,
      type: this.#type(Math.floor(address / PAGE_SIZE)),
      loss: this.#loss(address, before ^ after),
    };
    this.#words[at] = after;
    const result = this.#core.exports.ramCheck(this.#frames) >>> 0;
    if (result !== 0) {
      this.#words[at] = before;
      must(result === EUCLEAN, `${told(mutation)}: check() gave ${result}`);
      return true;
    }
    try {
      await this.use(mutation);
    } catch (cause) {
      throw new Error(
        `${this.#subject.title}, ${told(mutation)}: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      );
    }
    return false;
  }

  /** Uses the RAM with a changed word, or unchanged; then restores its state. */
  async use(mutation?: Mutation): Promise<void> {
    const { fresh } = this.#subject;
    const loss = mutation?.loss ?? 'nothing';
    if (mutation !== undefined) this.#words[mutation.address >>> 2] = mutation.before;
    if (fresh !== undefined) {
      const other = await fresh();
      const { bytes } = rams.core('test', other.ram);
      must(sameState(bytes, this.#saved, runsOf(this.#core)), 'two subjects differ');
      if (mutation !== undefined) new Uint32Array(bytes.buffer)[mutation.address >>> 2] = mutation.after;
      await other.use(loss);
      return;
    }
    if (mutation !== undefined) this.#words[mutation.address >>> 2] = mutation.after;
    try {
      await this.#subject.use(loss);
    } finally {
      this.#core.bytes.set(this.#saved);
      this.#subject.reset();
    }
  }
}

/** Whether the frames of an image are the same in both. */
function sameState(a: Uint8Array, b: Uint8Array, runs: readonly { first: number; count: number }[]): boolean {
  return runs.every(({ first, count }) =>
    sameBytes(
      a.subarray(first * PAGE_SIZE, (first + count) * PAGE_SIZE),
      b.subarray(first * PAGE_SIZE, (first + count) * PAGE_SIZE),
    ),
  );
}

export interface Figures {
  changes: number;
  unseen: number;
  faults: string[];
}

export interface Extent {
  /** The number of random values for each word. */
  values: number;
  /** Of the contents of frames every nth word. */
  contents: number;
  /** Of the words above every nth one. */
  every?: number;
}

const MOST_FAULTS = 20;

/** Changes words of a subject, one at a time. */
export async function mutate(
  subject: Subject,
  seed: number,
  { values, contents, every = 1 }: Extent,
): Promise<Figures> {
  const draw = createDraw(seed);
  const mutator = new Mutator(subject);
  const figures: Figures = { changes: 0, unseen: 0, faults: [] };
  await mutator.use();
  const addresses = mutator.addresses(contents);
  for (let nth = draw() % every; nth < addresses.length; nth += 1 + (draw() % (2 * every - 1))) {
    const address = addresses[nth] as number;
    const all = mutator.values(address, draw);
    for (let i = 0; i < values && all.length !== 0; i++) {
      const [value] = all.splice(Math.floor((draw() / 2 ** 24) * all.length), 1) as [number];
      figures.changes += 1;
      try {
        if (!(await mutator.try(address, value))) figures.unseen += 1;
      } catch (error) {
        figures.faults.push((error as Error).message);
        if (figures.faults.length === MOST_FAULTS) return figures;
      }
    }
  }
  return figures;
}
