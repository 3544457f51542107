/**
 * Writes of entries to the store: a slot is taken and composed, the store is called, and the core is told the result.
 * The store is foreign code. So is the codec, when pages are written raw.
 */
import {
  OUT_GENERATION,
  OUT_JOB,
  OUT_KEY_HIGH,
  OUT_KEY_LOW,
  OUT_SLOT,
  WRITE_DONE,
  WRITE_FAILED,
  WRITE_LATE,
} from '../../../assembly/abi.ts';
import { ERRNO_MIN, codeOf } from '../../errors.ts';
import { type Steps } from '../../steps.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import type { Outcome, StoreIo } from '../common/store-io.ts';
import type { Run } from './run.ts';
import { noSlot, type State } from './state.ts';

/** One write to the store. */
export interface Job {
  offset: number;
  type: number;
  job: number;
  slot: number;
  generation: number;
  /** The number of the budget that the page was taken from. */
  budget: number;
  bytes: Uint8Array;
  /** True when the bytes are a part of the RAM: for a store that keeps no buffer. */
  isOurs: boolean;
}

/**
 * Begins the write of a record: takes a slot and composes it. undefined when that fails; the run then has the failure.
 */
export function begin(state: State, op: string, record: number, run: Run): Job | undefined {
  const { out } = state.core;
  const { raw } = state.settings;
  if (raw && !preparePage(state, op, record)) return undefined;
  const length = state.front.zswapWrite(state.address, record, raw ? 1 : 0) >>> 0;
  if (length < ERRNO_MIN) {
    state.budget.take();
    return jobOf(state, out[OUT_KEY_LOW] as number, out[OUT_KEY_HIGH] as number, out[OUT_JOB] as number, length);
  }
  if (codeOf(length) === 'ENOSPC') run.failure = noSlot(op);
  return undefined;
}

/**
 * Prepares the write of a raw page: if a foreign codec made the block, decompresses it into the page buffer. False when
 * that fails.
 */
function preparePage(state: State, op: string, record: number): boolean {
  const length = state.front.zswapForeign(state.address, record) >>> 0;
  if (length === 0 || length === PAGE_SIZE) return true;
  if (length >= ERRNO_MIN) return false;
  const { calls } = state;
  try {
    const page = state.decompressed(op);
    // If the codec has called back, the record may belong to another page now.
    if (state.calls !== calls) return false;
    state.core.bytes.set(page, state.core.pageAddress);
    return true;
  } catch {
    return false;
  }
}

/**
 * The job for the slot that the core has composed. It has a copy of the slot, or the slot itself if the store does not
 * use it after the call.
 */
export function jobOf(
  { core, blockAddress, budget, io }: State,
  offset: number,
  type: number,
  job: number,
  length: number,
): Job {
  const { out, bytes } = core;
  const end = blockAddress + length;
  const isOurs = io?.keepsNoBuffer('write') === true;
  return {
    offset,
    type,
    job,
    slot: out[OUT_SLOT] as number,
    generation: out[OUT_GENERATION] as number,
    budget: budget.number,
    bytes: isOurs ? bytes.subarray(blockAddress, end) : bytes.slice(blockAddress, end),
    isOurs,
  };
}

/** The result of a write, as a number for the core. */
export function doneBy(outcome: Outcome<unknown>): number {
  if ('value' in outcome) return WRITE_DONE;
  return outcome.late === undefined ? WRITE_FAILED : WRITE_LATE;
}

/** Counts a write that failed. If the write may still happen, its slot stays in use until the write has ended. */
export function noteFailure(state: State, { slot }: Job, outcome: Outcome<unknown>): void {
  if (!('failure' in outcome)) return;
  state.figures.count('writebackFail');
  void outcome.late?.then(() => {
    if (state.isGone) return;
    state.front.frontSettled(state.address, slot);
    state.frees?.drain();
  });
}

const NONE = new Set<never>();

/**
 * The writes of one run, as many at a time as the store may have. With a synchronous store, each has ended when make
 * returns.
 */
export class Writes {
  readonly #state: State;
  readonly #io: StoreIo;
  readonly #op: string;
  readonly #run: Run;
  /** Empty with a synchronous store. */
  readonly #underWay: Set<Promise<void>>;
  /** May be smaller than the set: a write leaves the set only when its promise has settled. */
  #size = 0;

  constructor(state: State, io: StoreIo, op: string, run: Run) {
    this.#state = state;
    this.#io = io;
    this.#op = op;
    this.#run = run;
    this.#underWay = io.isSync ? NONE : new Set();
  }

  /** How many writes have not ended. */
  get size(): number {
    return this.#size;
  }

  /** True when one more write may be made now. */
  get hasRoom(): boolean {
    return this.#io.hasRoom;
  }

  /** Writes to the store. */
  make(job: Job): void {
    const io = this.#io;
    this.#run.writes += 1;
    if (io.isSync) {
      this.#ended(
        job,
        io.now(this.#op, () => io.write(job.slot, job.bytes, job.isOurs)),
      );
      return;
    }
    this.#size += 1;
    const write = this.#soon(job).finally(() => this.#underWay.delete(write));
    this.#underWay.add(write);
  }

  async #soon(job: Job): Promise<void> {
    const io = this.#io;
    const outcome = await io.soon(this.#op, () => io.write(job.slot, job.bytes, job.isOurs));
    // In the same step as #ended: otherwise a moved page would count twice, and the run would end too early.
    this.#size -= 1;
    this.#ended(job, outcome);
  }

  #ended(job: Job, outcome: Outcome<unknown>): void {
    const { front, address, isGone, budget, frees } = this.#state;
    if (isGone) return;
    const run = this.#run;
    const moved =
      front.zswapWriteEnd(address, job.offset, job.type, job.job, job.slot, job.generation, doneBy(outcome)) !== 0;
    run.tries = moved ? 0 : run.tries + 1;
    if (moved) run.moved += 1;
    else budget.giveBack(job.budget);
    if ('failure' in outcome) {
      run.failure ??= outcome.failure;
      noteFailure(this.#state, job, outcome);
    }
    frees?.drain();
  }

  /** Waits until one more write may be made. @throws EIO when all calls of the store hang */
  *room(): Steps<void> {
    yield* this.#io.untilRoom(this.#op);
  }

  /** Waits until one of the writes has ended. There is at least one. */
  *one(): Steps<void> {
    yield Promise.race(this.#underWay);
  }

  /** Waits until all have ended. */
  *all(): Steps<void> {
    yield Promise.all(this.#underWay);
  }
}
