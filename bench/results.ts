/** What a run of the benchmarks leaves: a file of bench/results. */
import type { Machine } from '../cli/bench/machine.ts';
import type { MeasuredTable } from '../cli/bench/types.ts';

export interface Results extends Machine {
  /** Of this repository; '-dirty' with changes that are in no commit. */
  commit: string;
  corpora: string[];
  suites: Record<string, MeasuredTable[]>;
  /** Contenders that were not there, and why. */
  leftOut: Record<string, string>;
}
