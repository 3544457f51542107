/**
 * Writes pages to the store that the pool has refused: SwapSpace needs this, Zswap alone does not do it. Until such a
 * page is written, a copy is in memory and loads read it. The store is foreign code. One body of steps serves both
 * kinds of stores.
 */
import { ENOENT, ENOSPC, NO_SLOT, WRITE_FAILED } from '../../../assembly/abi.ts';
import { CompcacheError, ERRNO_MIN } from '../../errors.ts';
import { runSync, wait, type Steps } from '../../steps.ts';
import type { Outcome, StoreIo } from '../common/store-io.ts';
import { noSlot, type State } from './state.ts';
import type { Storing } from './store.ts';
import { doneBy, jobOf, noteFailure, type Job } from './writes.ts';

/** A page that is being written to the store, or waits for that. */
type Pending = Pick<Job, 'type' | 'offset' | 'job'>;

/**
 * Stores a page of type 0. If the pool refuses it, writes it to the store; there is a store.
 * @throws EAGAIN the store is asynchronous
 */
export function pageOut(state: State, storing: Storing, op: string, offset: number, given: Uint8Array): void {
  const page = storing.offer(op, 0, offset, given, true);
  if (page === undefined) return;
  state.live(op);
  const io = state.io as StoreIo;
  if (!io.isSync)
    throw new CompcacheError(
      'EAGAIN',
      op,
      `the page is for an asynchronous store: use ${op.slice(op.indexOf('.') + 1)}Async`,
    );
  runSync(send(state, op, io, pend(state, op, 0, offset, page)));
}

/** pageOut that waits. */
export async function pageOutAsync(
  state: State,
  storing: Storing,
  op: string,
  offset: number,
  given: Uint8Array,
): Promise<void> {
  const page = storing.offer(op, 0, offset, given, true);
  if (page === undefined) return;
  state.live(op);
  await state.active.run(send(state, op, state.io as StoreIo, pend(state, op, 0, offset, page)));
}

/** Makes a page pending. It is a copy. */
function pend(state: State, op: string, type: number, offset: number, page: Uint8Array): Pending {
  const job = state.front.zswapPend(state.address, offset, type) >>> 0;
  if (job >= ERRNO_MIN) throw state.failure(op, job);
  state.direct.set(job, page);
  state.settle();
  return { type, offset, job };
}

/** Writes a pending page as soon as there is room for a call and a free slot. After an error the page is lost. */
function* send(state: State, op: string, io: StoreIo, pending: Pending): Steps<void> {
  try {
    for (;;) {
      if (!io.hasRoom) yield* io.untilRoom(op);
      const job = compose(state, op, pending);
      if (job === undefined) return; // a later call has replaced or removed the page
      if (job !== 'full') {
        const outcome = yield* io.answer(op, () => io.write(job.slot, job.bytes, job.isOurs));
        if (io.isSync) yield; // also with a synchronous store, the write ends after pageOutAsync has returned
        end(state, op, job, outcome);
        return;
      }
      if (io.isSync || !(yield* wait(state.frees?.freed()))) throw noSlot(op);
    }
  } catch (error) {
    if (state.direct.has(pending.job)) forget(state, { ...pending, slot: NO_SLOT, generation: 0 }, WRITE_FAILED);
    throw error;
  }
}

/** Takes a slot for a pending page and composes it. undefined when the page was replaced or removed meanwhile. */
function compose(state: State, op: string, { type, offset, job }: Pending): Job | 'full' | undefined {
  if (state.isGone) throw state.closedError(op);
  state.core.page.set(state.direct.get(job) as Uint8Array);
  const length = state.front.zswapDirect(state.address, offset, type, job) >>> 0;
  if (length === ENOENT) {
    state.direct.delete(job);
    return undefined;
  }
  if (length === ENOSPC) return 'full';
  if (length >= ERRNO_MIN) throw state.failure(op, length);
  return jobOf(state, offset, type, job, length);
}

function end(state: State, op: string, job: Job, outcome: Outcome<unknown>): void {
  forget(state, job, doneBy(outcome));
  if (state.isGone) throw state.closedError(op);
  noteFailure(state, job, outcome);
  state.frees?.drain();
  if ('failure' in outcome) throw outcome.failure;
}

/** Tells the core how the write of a pending page has ended. */
function forget(
  state: State,
  { offset, type, job, slot, generation }: Pending & Pick<Job, 'slot' | 'generation'>,
  how: number,
): void {
  state.direct.delete(job);
  if (!state.isGone) state.front.zswapDirectEnd(state.address, offset, type, job, slot, generation, how);
}
