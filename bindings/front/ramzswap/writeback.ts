/**
 * Idle pages, and writeback: pages that are in memory go to the store, the largest first. A page that is changed while its
 * write is under way stays where it is; changes.ts takes its job out of `moving`.
 */
import { TIME_END } from '../../../assembly/abi.ts';
import type { MaybePromise } from '../../backing/types.ts';
import { CompcacheError, ERRNO_MIN, codeOf, requireU32 } from '../../errors.ts';
import { runSync, wait, type Steps } from '../../steps.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import type { Outcome, StoreIo } from '../common/store-io.ts';
import { settle } from './changes.ts';
import { keepSettings } from './note.ts';
import { allPages, isObject, type Found } from './pages.ts';
import { takeSelection, wantedBy, type WritebackSelection } from './selection.ts';
import { Slices } from './slices.ts';
import { isGone, live, secondOf, type Call, type Device, type Job, type State } from './state.ts';
import { composed } from './store-writes.ts';

const BUCKET = 64;
/** Pages that are marked at a time, and those that are looked at before others may have their turn. */
const PART = 4096;
const LOOKS = 64;
/** Pages that are moved in a slice at least. */
const LEAST = 32;

/** Marks the pages idle that were not used for so many seconds, and no others. @returns how many */
export function markIdle(state: State, { op, time }: Call, age: number | 'all'): number {
  const device = live(state, op);
  return device.front.ramzIdle(device.address, secondBefore(device, op, time, age), 0, device.pages) >>> 0;
}

/** The same in slices. A page that is accessed meanwhile is not idle, or not any more. */
export async function markIdleSoon(state: State, { op, time }: Call, age: number | 'all'): Promise<number> {
  const device = live(state, op);
  return state.active.run(marked(state, op, device, secondBefore(device, op, time, age)));
}

function* marked(state: State, op: string, device: Device, before: number): Steps<number> {
  const slices = new Slices();
  let idle = 0;
  for (let first = 0; first < device.pages && live(state, op) === device; first += PART) {
    idle += device.front.ramzIdle(device.address, before, first, Math.min(device.pages, first + PART)) >>> 0;
    if (slices.isOver) yield* wait(slices.turn());
  }
  return idle;
}

/** The second before which a page that is idle was accessed last. EINVAL. */
function secondBefore(device: Device, op: string, time: number, age: number | 'all'): number {
  if (age === 'all') return TIME_END;
  requireU32(op, 'age', age);
  return Math.max(0, secondOf(device, time) - age + 1);
}

/** Moves what is selected, by a call that does not wait. @returns pages moved */
export function writebackNow(state: State, op: string, selection: WritebackSelection): number {
  const run = begun(state, op, selection);
  if (!run.io.isSync) throw new CompcacheError('EAGAIN', op, 'the store is asynchronous: use writebackAsync');
  return runSync(move(state, op, run, undefined));
}

/** The same by one that may wait, in slices. */
export async function writebackSoon(state: State, op: string, selection: WritebackSelection): Promise<number> {
  const run = begun(state, op, selection);
  state.busy = true;
  try {
    return await state.active.run(move(state, op, run, new Slices(LEAST)));
  } finally {
    state.busy = false;
  }
}

/** A writeback that is under way. */
interface Run {
  device: Device;
  io: StoreIo;
  wanted: (page: Found) => boolean;
  moved: number;
  /** The first one; no more is begun then. */
  failure: CompcacheError | undefined;
}

function begun(state: State, op: string, selection: WritebackSelection): Run {
  const taken = takeSelection(op, selection);
  const device = live(state, op);
  const wanted = wantedBy(op, taken, device.pages);
  const { io } = device;
  if (io === undefined) throw new CompcacheError('ENODEV', op, 'there is no backing store');
  if (state.busy) throw new CompcacheError('EBUSY', op, 'another writeback runs');
  if (state.budget <= 0) throw new CompcacheError('EIO', op, 'writebackLimit is used up');
  return { device, io, wanted, moved: 0, failure: undefined };
}

/** Several writes of an asynchronous store are under way at a time. */
function* move(state: State, op: string, run: Run, slices: Slices | undefined): Steps<number> {
  const { device, io } = run;
  const active = new Set<Promise<void>>();
  for (const index of candidates(state, run)) {
    if (slices?.isOver === true) yield* wait(slices.turn());
    if (index === undefined) continue;
    try {
      yield* io.untilRoom(op);
    } catch (error) {
      run.failure ??= error as CompcacheError;
    }
    if (run.failure !== undefined || state.device !== device || state.closed) break;
    const job = beginMove(state, op, run, index);
    if (job === undefined) continue;
    const write = (): MaybePromise<void> => io.store.write(job.slot, job.bytes);
    if (io.isSync) {
      endMove(state, op, run, job, io.now(op, write));
    } else {
      const moving = io
        .soon(op, write)
        .then((outcome) => endMove(state, op, run, job, outcome))
        .finally(() => active.delete(moving));
      active.add(moving);
    }
  }
  if (active.size !== 0) yield* wait(Promise.all(active));
  if (run.moved === 0 && run.failure !== undefined) throw run.failure;
  return run.moved;
}

/**
 * Pages to move, largest first in steps of 64 bytes. Those of a step are looked for when their turn comes. Undefined now and
 * then, while none is found.
 */
function* candidates(state: State, { device, wanted }: Run): Generator<number | undefined> {
  const sizes = new Uint32Array(PAGE_SIZE / BUCKET + 1);
  let looked = 0;
  for (const page of allPages(state)) {
    if (isObject(page) && wanted(page)) (sizes[bucketOf(page)] as number) += 1;
    if (++looked % LOOKS === 0) yield undefined;
    if (state.device !== device || state.closed) return;
  }
  for (let bucket = sizes.length - 1; bucket >= 0; bucket--) {
    if (sizes[bucket] === 0) continue;
    for (const page of allPages(state)) {
      if (isObject(page) && bucketOf(page) === bucket && wanted(page) && !state.moving.has(page.index))
        yield page.index;
      else if (++looked % LOOKS === 0) yield undefined;
      if (state.device !== device || state.closed) return;
    }
  }
}

function bucketOf({ bytes }: Found): number {
  return Math.floor(bytes / BUCKET);
}

/** The write of a page as it is now; undefined when it cannot be moved, or nothing can. */
function beginMove(state: State, op: string, run: Run, index: number): Job | undefined {
  const { device } = run;
  if (state.budget <= 0) {
    run.failure = new CompcacheError('EIO', op, 'writebackLimit is used up');
    return undefined;
  }
  const length = device.front.ramzOut(device.address, index) >>> 0;
  if (codeOf(length) === 'ENOSPC' && length >= ERRNO_MIN)
    run.failure = new CompcacheError('ENOSPC', op, 'no slot of the backing store is free');
  if (length >= ERRNO_MIN) return undefined;
  const job = composed(device, index, length);
  spend(state, op, 1);
  state.moving.set(index, job);
  return job;
}

/** So many pages fewer may be written. */
function spend(state: State, op: string, pages: number): void {
  if (state.budget === Infinity) return;
  state.budget -= pages;
  keepSettings(state, op);
}

/** Ends it: the page is in the store now, unless the write failed or the page was changed meanwhile. */
function endMove(state: State, op: string, run: Run, job: Job, outcome: Outcome<unknown>): void {
  const { device } = run;
  if (isGone(state, device)) return;
  const unchanged = state.moving.get(job.index) === job;
  if (unchanged) state.moving.delete(job.index);
  if ('failure' in outcome) run.failure ??= outcome.failure;
  else state.counters.bdWrites += 1;
  const moved =
    unchanged &&
    !('failure' in outcome) &&
    device.front.ramzWritten(device.address, job.index, job.slot, job.generation) === 0;
  if (moved) run.moved += 1;
  else {
    spend(state, op, -1);
    settle(state, device, job, outcome);
  }
  device.frees?.drain();
}
