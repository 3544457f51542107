/**
 * What the pages of a ramzswap must be, and the actions that its machine knows (ramzswap-machine.ts). Knows no device.
 *
 * An action is plain data; numbers are taken modulo what there is. A page's truth is its content when nothing was under way,
 * and the calls since, in the order in which they were made: those that succeed count, in that order, those that fail do not,
 * and a read may see any of those that were under way with it.
 */
import type { AllocatorName, WritebackSelection } from '../../bindings/index.ts';
import { must, sameBytes } from '../harness.ts';
import type { ChaosStore, Op } from './chaos-store.ts';
import type { CodecName, PageKind } from './swap-machine.ts';

export const PAGE_SIZE = 4096;
export const SECTOR = 512;
/** Pages of the device. */
export const PAGES = 20;
/** The most calls whose effect on one page is open. */
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
  | { kind: 'weather'; weather: ChaosStore['weather'] }
  | { kind: 'settle'; calls: number }
  | { kind: 'reset'; after: number };

/** What a call does to a page. */
export interface Change {
  readonly apply: (page: Uint8Array) => Uint8Array;
  /** Whether the page holds something afterwards. */
  readonly present: boolean;
  state: 'open' | 'done' | 'failed';
}

export interface Truth {
  base: Uint8Array;
  present: boolean;
  changes: Change[];
  /** Reads under way. */
  reads: number;
  /** Seconds of the device's life at which it was read or written. */
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

/** A range of the device, in units of so many bytes. */
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

/** The truths of all pages. */
export class Truths {
  readonly #all: Truth[];
  readonly #second: () => number;

  /** Of a device on which nothing was written. @param second of its life */
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

  /** What has ended and is not seen by a read under way goes into the base. */
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

  /** A page is accessed now. */
  access(index: number): void {
    this.of(index).times.add(this.#second());
  }

  /** Requires that what a read gave is a state of the page, in which `certain` changes are. */
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
