/** Types of measurements and their results. */

/** 'ns': nanoseconds per operation, less is better. 'op/s': operations per second, more is better. */
export type Unit = 'ns' | 'op/s';

/** One of the things that a table compares. */
export interface Contender {
  name: string;
  /** Runs one round, on at least a thousand pages or objects. Returns a figure in the table's unit. */
  round(): number | Promise<number>;
  /** Figures that are not times (bytes of a block, density). Called once, after the last round. */
  figures?(): Record<string, number> | Promise<Record<string, number>>;
}

/** Contenders that do the same work. The others are compared with the first. */
export interface Table {
  title: string;
  unit: Unit;
  contenders: Contender[];
}

/** The rounds of one contender. */
export interface Row {
  name: string;
  /** Median of the rounds. */
  median: number;
  min: number;
  max: number;
  /**
   * Median over the rounds of this contender's figure divided by the first contender's in the same round. Slow changes
   * of the machine's speed cancel out.
   */
  ratio: number;
  figures?: Record<string, number>;
}

export interface MeasuredTable {
  title: string;
  unit: Unit;
  /** Rounds that count. One more round ran before them to warm up. */
  rounds: number;
  rows: Row[];
}

/** Pages for a measurement. */
export interface Corpus {
  name: string;
  pages: Buffer[];
}
