/** The results of a benchmark run: a file in bench/results. */
import type { Machine } from '../cli/bench/machine.ts';
import type { MeasuredTable } from '../cli/bench/types.ts';

export interface Results extends Machine {
  /** Commit of this repository; with '-dirty' when there are uncommitted changes. */
  commit: string;
  corpora: string[];
  suites: Record<string, MeasuredTable[]>;
  /** Contenders that were missing, and the reasons. */
  leftOut: Record<string, string>;
}
