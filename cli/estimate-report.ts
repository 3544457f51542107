/** The results of `estimate`. */
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
  /** Pages whose block is larger than the allocator's largest object: they are stored uncompressed. */
  incompressible: number;
  /** Bytes of all stored objects; 4096 for a raw page. */
  compressedBytes: number;
  /** Frames of objects. */
  poolFrames: number;
  /** All frames in use: of objects, raw pages and metadata. */
  framesUsed: number;
  /** Bytes of the input divided by bytes of the frames used; null when no frame is used. */
  effectiveRatio: number | null;
  /** Compressed bytes divided by bytes of the pool's frames; null when the pool has none. */
  density: number | null;
  /** Median over all batches of the mean time per page. */
  storeMicroseconds: number;
  loadMicroseconds: number;
  /** The number of RAMs that were needed. */
  rams: number;
  /** Pages that came back different. */
  different: number;
  /** The number of the first such page, from 0; null when there is none. */
  firstDifferent: number | null;
}
