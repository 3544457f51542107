/** One run of writeback: its goal, and its progress. */
import type { CompcacheError } from '../../errors.ts';

/** The frames are counted again each time that this many entries were written. */
const BATCH = 8;
/** A run ends after this many tries in a row that moved nothing, as in the kernel's reclaim. */
export const TRIES = 8;

/** The goal of a run: a number of entries or of frames. */
export interface Goal {
  entries: number;
  frames: number;
  /** The most frames or zspages that one compaction may empty. */
  victims: number;
}

/** The state of a run. */
export interface Run {
  moved: number;
  /** How many writes were made, failed or not. */
  writes: number;
  tries: number;
  failure: CompcacheError | undefined;
}

/** How many frames have become free so far. */
export class Progress {
  readonly goal: Goal;
  readonly #before: number;
  #next = BATCH;
  #compactAt = 8 * BATCH;

  constructor(goal: Goal, frames: number) {
    this.goal = goal;
    this.#before = frames;
  }

  reached(frames: number): boolean {
    return this.#before - frames >= this.goal.frames;
  }

  /** True when the frames should be counted again: every BATCH entries. */
  isDue(moved: number): boolean {
    if (moved !== 0 && moved < this.#next) return false;
    this.#next = moved + BATCH;
    return true;
  }

  /**
   * True when it is time to compact. Each time after twice as many entries, because a compaction may look at all
   * objects.
   */
  compactionIsDue(moved: number): boolean {
    if (moved < this.#compactAt) return false;
    this.#compactAt *= 2;
    return true;
  }
}
