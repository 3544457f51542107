/** The results of `swap`. */
import type { InputSummary } from '../pages.ts';
import type { Result } from './replay.ts';
import type { Recipe, TraceSummary } from './trace.ts';

export interface SwapReport {
  input: InputSummary;
  /** The number of different pages in the input. */
  distinctPages: number;
  trace: TraceSummary & { source: string; recipe?: Recipe };
  codec: string;
  ramBytes: number;
  maxPoolPercent: number;
  acceptThresholdPercent: number;
  /** For display: the path, or what kind of store it is. */
  store: string;
  /** The first error of the store. Null when there was none. */
  storeFault: string | null;
  results: Result[];
}
