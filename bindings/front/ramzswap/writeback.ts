/**
 * Idle marks and writeback: pages in memory are moved to the store, the largest first. A page that is changed during
 * its write stays in memory; changes.ts removes its job from `moving`.
 */
import { TIME_END } from '../../../assembly/abi.ts';
import type { MaybePromise } from '../../backing/types.ts';
import { CompcacheError, ERRNO_MIN, codeOf, requireU32 } from '../../errors.ts';
import { runSync, wait, type Steps } from '../../steps.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import type { Outcome, StoreIo } from '../common/store-io.ts';
import { settle } from './changes.ts';
import { saveSettings } from './note.ts';
import { allPages, isObject, type Found } from './pages.ts';
import { takeSelection, wantedBy, type WritebackSelection } from './selection.ts';
import { Slices } from './slices.ts';
import { isGone, live, secondOf, type Call, type Device, type Job, type State } from './state.ts';
import { composed } from './store-writes.ts';

const BUCKET = 64;
/** Pages that are marked, or looked at, before other calls may run. */
const PART = 4096;
const LOOKS = 64;
/** A slice moves this many pages at least. */
const LEAST = 32;

/** Marks objects as idle that were not used for `age` seconds, and removes the mark from others. @returns how many */
export function markIdle(state: State, { op, time }: Call, age: number | 'all'): number {
  const device = live(state, op);
  return device.front.ramzIdle(device.address, secondBefore(device, op, time, age), 0, device.pages) >>> 0;
}

/** Marks idle objects in slices. A page that is accessed meanwhile is not idle at the end. */
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

/** An object is idle if its last access was before this second. EINVAL. */
function secondBefore(device: Device, op: string, time: number, age: number | 'all'): number {
  if (age === 'all') return TIME_END;
  requireU32(op, 'age', age);
  return Math.max(0, secondOf(device, time) - age + 1);
}

/** Moves the selected pages without waiting. @returns pages moved */
export function writebackNow(state: State, op: string, selection: WritebackSelection): number {
  const run = beginRun(state, op, selection);
  if (!run.io.isSync) throw new CompcacheError('EAGAIN', op, 'the store is asynchronous: use writebackAsync');
  return runSync(move(state, op, run, undefined));
}

/** Moves the selected pages, with waiting, in slices. */
export async function writebackSoon(state: State, op: string, selection: WritebackSelection): Promise<number> {
  const run = beginRun(state, op, selection);
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
  /** The first failure. No write begins after it. */
  failure: CompcacheError | undefined;
}

function beginRun(state: State, op: string, selection: WritebackSelection): Run {
  const taken = takeSelection(op, selection);
  const device = live(state, op);
  const wanted = wantedBy(op, taken, device.pages);
  const { io } = device;
  if (io === undefined) throw new CompcacheError('ENODEV', op, 'there is no backing store');
  if (state.busy) throw new CompcacheError('EBUSY', op, 'another writeback is running');
  if (state.budget <= 0) throw new CompcacheError('EIO', op, 'writebackLimit is used up');
  return { device, io, wanted, moved: 0, failure: undefined };
}

/** Moves the pages. Several writes of an asynchronous store are under way at a time. */
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
 * Gives the pages to move, largest first in steps of 64 bytes. It looks for the pages of a step when the step begins.
 * While it finds none, it gives undefined now and then.
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

/** Begins the write of a page; undefined when this page, or no page, can be moved. */
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

/** Subtracts pages from the budget. */
function spend(state: State, op: string, pages: number): void {
  if (state.budget === Infinity) return;
  state.budget -= pages;
  saveSettings(state, op);
}

/** Ends the write: the page is in the store now, unless the write failed or the page was changed meanwhile. */
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
