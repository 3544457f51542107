/** One run of writing back: what it is to reach, and how far it has come. It touches nothing else. */
import type { CompcacheError } from '../../errors.ts';

/** Entries written between two looks at the frames that came back. */
const BATCH = 8;
/** Attempts in a row that moved nothing, after which writing back ends, as in the kernel's reclaim. */
export const TRIES = 8;

/** What writing back is to reach: so many entries, or so many frames. */
export interface Goal {
  entries: number;
  frames: number;
  /** Frames or zspages that compaction may empty at a time. */
  victims: number;
}

/** How far it came. */
export interface Run {
  moved: number;
  /** Writes that were made, whatever became of them. */
  writes: number;
  tries: number;
  failure: CompcacheError | undefined;
}

/** How far frames have come back. */
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

  /** Whether to look at the frames now: every so many entries. */
  isDue(moved: number): boolean {
    if (moved !== 0 && moved < this.#next) return false;
    this.#next = moved + BATCH;
    return true;
  }

  /** Whether to compact now: after twice as many entries each time, since it may cost as much as there are objects. */
  compactionIsDue(moved: number): boolean {
    if (moved < this.#compactAt) return false;
    this.#compactAt *= 2;
    return true;
  }
}
