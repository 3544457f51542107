/**
 * Loading a page: from the pool, from memory of ours while it is being written, or from the store. What is in the pool and needs
 * no codec of JavaScript's is loaded directly; for the store, one body does both kinds of calls. Store and codec are foreign
 * code: after each, everything is looked at anew, and the caller's array measured.
 */
import { BEING_WRITTEN, DECOMPRESS, IN_STORE, OUT_JOB } from '../../../assembly/abi.ts';
import { copyOut, requireUnshrunk, viewOf } from '../../bytes.ts';
import { requirePage } from '../../codec/foreign.ts';
import { CompcacheError } from '../../errors.ts';
import { runAsync, runSync, wait, type Steps } from '../../steps.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import { openSlot, readSlot, type SlotRead } from '../common/slot-reads.ts';
import { bytesRead, type StoreIo } from '../common/store-io.ts';
import { TRIES } from './run.ts';
import { requireKey, type State } from './state.ts';

/** Loads a page at once. @throws EAGAIN when it is in an asynchronous store */
export function load(state: State, op: string, type: number, offset: number, into: Uint8Array): boolean {
  requireKey(op, type, offset);
  requirePage(op, 'into', into);
  state.live(op);
  const result = find(state, type, offset);
  if (result === 0) return false;
  if (result !== PAGE_SIZE) return loadOtherwise(state, op, type, offset, viewOf(op, 'into', into), result);
  copyOut(op, 'into', into, state.core.page);
  if (state.settings.exclusiveLoads) state.settle();
  return true;
}

function loadOtherwise(
  state: State,
  op: string,
  type: number,
  offset: number,
  into: Uint8Array,
  result: number,
): boolean {
  if (result !== IN_STORE) return give(state, op, type, offset, into, result);
  const io = state.io as StoreIo;
  if (!io.isSync) throw new CompcacheError('EAGAIN', op, 'the page is in an asynchronous store: use loadAsync');
  // Inside a call of the store there is one try: eight each would be eight to the power of their depth.
  const buffer = io.lends('read') ? state.slotBuffer : undefined;
  return runSync(fetchPage(state, op, type, offset, into, result, io.isAtWork ? 1 : TRIES, buffer));
}

/** Loads a page, and waits for an asynchronous store. */
export async function loadAsync(
  state: State,
  op: string,
  type: number,
  offset: number,
  into: Uint8Array,
): Promise<boolean> {
  requireKey(op, type, offset);
  requirePage(op, 'into', into);
  const view = viewOf(op, 'into', into);
  return runAsync(fetchPage(state, op, type, offset, view, look(state, op, type, offset, view), Infinity));
}

/** What the core says of a page, which it puts into the page buffer if it can. */
function find({ front, address, settings }: State, type: number, offset: number): number {
  return front.zswapLoad(address, offset, type, settings.exclusiveLoads ? 1 : 0) >>> 0;
}

/** The same after anything may have happened. */
function look(state: State, op: string, type: number, offset: number, into: Uint8Array): number {
  state.live(op);
  requireUnshrunk(op, 'into', into, PAGE_SIZE);
  return find(state, type, offset);
}

/**
 * Loads a page, from the store while it is there.
 * @param result what the core has just said of it
 * @param most tries, in each of which the store may have moved the page
 * @param buffer to read slots into; an own one each unless given
 */
function* fetchPage(
  state: State,
  op: string,
  type: number,
  offset: number,
  into: Uint8Array,
  result: number,
  most: number,
  buffer?: Uint8Array,
): Steps<boolean> {
  for (let tries = 0; result === IN_STORE;) {
    const io = state.io as StoreIo;
    if (io.hasRoom) {
      if (tries === most)
        throw new CompcacheError('EAGAIN', op, `the store has moved the page in each of ${most} reads`);
      tries += 1;
      const read = yield* readSlot(op, state.core, io, buffer);
      if (io.isSync) yield; // with a synchronous store too, the rest happens after loadAsync has returned
      state.live(op);
      requireUnshrunk(op, 'into', into, PAGE_SIZE);
      // The store may have called back; what it changed is how it is now.
      if (isIn(state, type, offset, read)) {
        deliver(state, op, type, offset, into, read);
        return true;
      }
    } else {
      yield* wait(io.room(op));
    }
    result = look(state, op, type, offset, into);
  }
  return give(state, op, type, offset, into, result);
}

/** Gives a page out that need not be read from the store. `into` still has 4096 bytes. False: there is none. */
function give(state: State, op: string, type: number, offset: number, into: Uint8Array, result: number): boolean {
  if (result === 0) return false;
  const { calls, core } = state;
  switch (result) {
    case PAGE_SIZE:
      copyOut(op, 'into', into, core.page);
      break;
    case DECOMPRESS:
      copyOut(op, 'into', into, state.decompressed(op));
      break;
    case BEING_WRITTEN:
      copyOut(op, 'into', into, state.direct.get(core.out[OUT_JOB] as number) as Uint8Array);
      break;
    default:
      throw state.failure(op, result);
  }
  // A codec that has called back may have put another page there: that one stays.
  if (state.settings.exclusiveLoads && state.calls === calls) state.lose(type, offset);
  return true;
}

function isIn({ front, address }: State, type: number, offset: number, { slot, generation }: SlotRead): boolean {
  return front.zswapIsIn(address, offset, type, slot, generation) !== 0;
}

/** Gives out what was read of a slot. A slot that holds something else, or nothing, has lost the page: it goes. EIO. */
function deliver(state: State, op: string, type: number, offset: number, into: Uint8Array, read: SlotRead): void {
  const { calls } = state;
  const { outcome } = read;
  const length = bytesRead(op, outcome, read.buffer);
  if (length instanceof CompcacheError) {
    state.figures.count('readFail');
    if ('failure' in outcome && outcome.notFound === true) state.lose(type, offset);
    throw length;
  }
  const page = openSlot(op, state.core, state.address, read, length, () => state.decompressed(op));
  if (page === undefined) {
    state.figures.count('readFail');
    state.lose(type, offset);
    throw new CompcacheError(
      'EIO',
      op,
      `slot ${read.slot} of the store does not hold what was written there: the page is lost`,
    );
  }
  copyOut(op, 'into', into, page);
  if (state.settings.exclusiveLoads && state.calls === calls) state.lose(type, offset);
}
