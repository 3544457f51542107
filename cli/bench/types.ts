/** What is measured, and what comes out. */

/** 'ns': nanoseconds of one operation, less is better. 'op/s': operations a second, more is better. */
export type Unit = 'ns' | 'op/s';

/** One of those that are compared. */
export interface Contender {
  name: string;
  /** One round, on at least a thousand pages or objects; gives a figure in the table's unit. */
  round(): number | Promise<number>;
  /** Figures that are no times (bytes of a block, density). Asked once, after the last round. */
  figures?(): Record<string, number> | Promise<Record<string, number>>;
}

/** Contenders that do the same work. The first one is what the others are compared with. */
export interface Table {
  title: string;
  unit: Unit;
  contenders: Contender[];
}

/** The rounds of one contender. */
export interface Row {
  name: string;
  /** Middle of the rounds: half of them took less, half more. */
  median: number;
  min: number;
  max: number;
  /** Median over the rounds of this contender's figure by that of the first in the same round, so that drift cancels out. */
  ratio: number;
  figures?: Record<string, number>;
}

export interface MeasuredTable {
  title: string;
  unit: Unit;
  /** Rounds that count; one more was run before them to warm up. */
  rounds: number;
  rows: Row[];
}

/** Pages to measure on. */
export interface Corpus {
  name: string;
  pages: Buffer[];
}
