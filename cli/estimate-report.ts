/** The figures that `estimate` makes and shows. */
import type { AllocatorName } from '../bindings/index.ts';
import type { InputSummary } from './pages.ts';

export interface Report {
  input: InputSummary;
  codec: string;
  ramBytes: number;
  results: Result[];
}

/** The figures of one allocator. */
export interface Result {
  allocator: AllocatorName;
  pages: number;
  /** Pages whose 32-bit words are all equal: they take no memory. */
  sameFilled: number;
  /** Pages whose block is larger than the allocator's largest object: kept raw. */
  incompressible: number;
  /** Of all stored objects; 4096 for a raw page. */
  compressedBytes: number;
  /** Frames of objects. */
  poolFrames: number;
  /** All frames in use: of objects, raw pages and metadata. */
  framesUsed: number;
  /** Bytes in / bytes of the frames used; null when none is. */
  effectiveRatio: number | null;
  /** Compressed bytes / bytes of the pool's frames; null when there are none. */
  density: number | null;
  /** Median over batches of the mean of a batch. */
  storeMicroseconds: number;
  loadMicroseconds: number;
  /** RAMs that the input was cut into. */
  rams: number;
  /** Pages that did not come back as they were. */
  different: number;
  /** The first of them, counted from 0; null when there is none. */
  firstDifferent: number | null;
}
