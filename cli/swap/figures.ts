/** The figures that `swap` makes and shows. */
import type { InputSummary } from '../pages.ts';
import type { Result } from './replay.ts';
import type { Recipe, TraceSummary } from './trace.ts';

export interface SwapReport {
  input: InputSummary;
  /** Pages of the input with different bytes. */
  distinctPages: number;
  trace: TraceSummary & { source: string; recipe?: Recipe };
  codec: string;
  ramBytes: number;
  maxPoolPercent: number;
  acceptThresholdPercent: number;
  /** For people: the path, or what it is. */
  store: string;
  /** What went wrong with the store, first of all; null when nothing did. */
  storeFault: string | null;
  results: Result[];
}
