/**
 * The expected contents of the pages of a ramzswap, and the actions of its random machine (ramzswap-machine.ts). It
 * uses no device.
 *
 * An action is plain data; numbers are taken modulo the number of choices. The truth of a page is its content when no
 * call was under way, and the calls since, in the order in which they were made: calls that succeed count, in this
 * order; calls that fail do not. A read may see any state between the calls that were under way at the same time.
 */
import type { AllocatorName, WritebackSelection } from '../../bindings/index.ts';
import { must, sameBytes } from '../harness.ts';
import type { ChaosStore, Op } from './chaos-store.ts';
import type { CodecName, PageKind } from './swap-machine.ts';

export const PAGE_SIZE = 4096;
export const SECTOR = 512;
/** Pages of the device. */
export const PAGES = 20;
/** The most calls on one page that may be under way. */
const OPEN = 6;

export interface RamzRow {
  readonly title: string;
  readonly allocator: AllocatorName;
  readonly codec: CodecName;
  readonly recompCodecs: readonly CodecName[];
  readonly backing: 'none' | 'sync' | 'async';
  readonly slots: number;
  readonly maxInFlight: number;
  readonly memlimit: number;
}

export type RamzAction =
  | { kind: 'writePage' | 'writePageAsync'; index: number; page: PageKind }
  | { kind: 'readPage' | 'readPageAsync' | 'freeNotify'; index: number }
  | { kind: 'write' | 'writeSectors' | 'writeAsync'; offset: number; length: number; salt: number }
  | { kind: 'read' | 'readSectors' | 'readAsync'; offset: number; length: number }
  | { kind: 'discard'; index: number; count: number }
  | { kind: 'markIdle' | 'markIdleAsync'; age: number }
  | { kind: 'writeback' | 'writebackAsync'; which: number; index: number; limit: number }
  | { kind: 'recompress' | 'recompressAsync'; which: number; threshold: number; priority: number; most: number }
  | { kind: 'compact' | 'compactAsync' | 'image' | 'beyond' | 'quiet' | 'time' | 'release' | 'drain' | 'restore' }
  | { kind: 'memlimit'; frames: number }
  | { kind: 'frames'; after: number; times: number }
  | { kind: 'codec fault'; on: 'compress' | 'decompress'; fault: number; after: number }
  | { kind: 'fault'; op: Op; fault: number; after: number }
  | { kind: 'condition'; condition: ChaosStore['condition'] }
  | { kind: 'settle'; calls: number }
  | { kind: 'reset'; after: number };

/** The effect of a call on a page. */
export interface Change {
  readonly apply: (page: Uint8Array) => Uint8Array;
  /** True when the page holds something afterwards. */
  readonly present: boolean;
  state: 'open' | 'done' | 'failed';
}

export interface Truth {
  base: Uint8Array;
  present: boolean;
  changes: Change[];
  /** The number of reads under way. */
  reads: number;
  /** The seconds of the device's life at which the page may have been accessed last. */
  times: Set<number>;
}

export function isSameFilled(page: Uint8Array): boolean {
  const words = new Uint32Array(page.buffer, page.byteOffset, PAGE_SIZE / 4);
  return words.every((word) => word === words[0]);
}

export interface Part {
  index: number;
  from: number;
  at: number;
  length: number;
}

export function partsOf(offset: number, length: number): Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < length;) {
    const from = (offset + at) % PAGE_SIZE;
    const part = Math.min(PAGE_SIZE - from, length - at);
    parts.push({ index: Math.floor((offset + at) / PAGE_SIZE), from, at, length: part });
    at += part;
  }
  return parts;
}

/** A range of the device, in units of this number of bytes. */
export function clip(offset: number, length: number, unit: number): [offset: number, length: number] {
  const units = (PAGES * PAGE_SIZE) / unit;
  const first = Math.floor(offset / unit) % units;
  return [first * unit, Math.min(Math.max(1, Math.ceil(length / unit)), units - first) * unit];
}

export function selection({ which, index }: { which: number; index: number }): WritebackSelection {
  const first = index % PAGES;
  const choices: WritebackSelection[] = [
    'idle',
    'huge',
    'huge_idle',
    'incompressible',
    { pages: [first] },
    { pages: [[first, PAGES - 1]] },
    { pages: [[0, PAGES - 1]] },
  ];
  return choices[which % choices.length] as WritebackSelection;
}

/** The expected states of all pages. */
export class Truths {
  readonly #all: Truth[];
  readonly #second: () => number;

  /** The state of a device without pages. @param second of its life */
  constructor(second: () => number) {
    this.#second = second;
    this.#all = Array.from({ length: PAGES }, () => ({
      base: new Uint8Array(PAGE_SIZE),
      present: false,
      changes: [],
      reads: 0,
      times: new Set<number>(),
    }));
  }

  get all(): readonly Truth[] {
    return this.#all;
  }

  of(index: number): Truth {
    return this.#all[index] as Truth;
  }

  begin(index: number, apply: Change['apply'], present = true): Change {
    const change: Change = { apply, present, state: 'open' };
    this.access(index);
    this.of(index).changes.push(change);
    return change;
  }

  end(index: number, change: Change, state: 'done' | 'failed'): void {
    change.state = state;
    this.fold(index);
  }

  /** Moves changes into the base when they have ended and no read under way can see the state before them. */
  fold(index: number): void {
    const truth = this.of(index);
    if (truth.reads !== 0 || truth.changes.some(({ state }) => state === 'open')) return;
    for (const { apply, present, state } of truth.changes) {
      if (state !== 'done') continue;
      truth.base = apply(truth.base);
      truth.present = present;
    }
    truth.changes = [];
  }

  /** The page is accessed now. */
  access(index: number): void {
    this.of(index).times.add(this.#second());
  }

  /** Requires that a read gave a possible state of the page, with all `certain` changes in it. */
  requireState(
    index: number,
    given: Uint8Array,
    { from, length }: Pick<Part, 'from' | 'length'>,
    certain: ReadonlySet<Change>,
    what: string,
  ): void {
    let states = [this.of(index).base];
    for (const change of this.of(index).changes) {
      if (change.state === 'failed') continue;
      const after = states.map((state) => change.apply(state));
      states = certain.has(change) ? after : [...states, ...after];
    }
    must(
      states.some((state) => sameBytes(state.slice(from, from + length), given)),
      `${what} of page ${index} gave other bytes`,
    );
  }

  certain(index: number): Set<Change> {
    return new Set(this.of(index).changes.filter(({ state }) => state === 'done'));
  }

  isOpen(index: number): boolean {
    return this.of(index).changes.length >= OPEN;
  }
}
