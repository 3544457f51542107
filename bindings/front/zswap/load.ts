/**
 * Loads a page: from the pool, from its copy while it is being written, or from the store. If no foreign codec is
 * needed, a page in the pool is loaded directly. For the store, one body of steps serves both kinds of calls. Store and
 * codec are foreign code: after each call, everything is looked up again, and the length of the caller's array is
 * tested.
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

/** Loads a page without waiting. @throws EAGAIN it is in an asynchronous store */
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
  // Inside a call of the store there is only one try. Otherwise the number of calls would be 8 to the power of their
  // depth.
  const buffer = io.keepsNoBuffer('read') ? state.slotBuffer : undefined;
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

/** Asks the core for a page. The result says where it is; the page buffer has it if possible. */
function find({ front, address, settings }: State, type: number, offset: number): number {
  return front.zswapLoad(address, offset, type, settings.exclusiveLoads ? 1 : 0) >>> 0;
}

/** find, when anything may have happened before. */
function look(state: State, op: string, type: number, offset: number, into: Uint8Array): number {
  state.live(op);
  requireUnshrunk(op, 'into', into, PAGE_SIZE);
  return find(state, type, offset);
}

/**
 * Loads a page, and reads the store while the page is there.
 * @param result what find gave
 * @param most how often to try, because the page may move during each try
 * @param buffer to read slots into; without it, each read gets a new one
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
        throw new CompcacheError('EAGAIN', op, `the page has moved during each of ${most} reads of the store`);
      tries += 1;
      const read = yield* readSlot(op, state.core, io, buffer);
      if (io.isSync) yield; // also with a synchronous store, the rest happens after loadAsync has returned
      state.live(op);
      requireUnshrunk(op, 'into', into, PAGE_SIZE);
      // The store may have called back, and moved the page.
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

/** Copies a page out that need not be read from the store. `into` has 4096 bytes. False when there is no page. */
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
  // If the codec has called back, another page may have this key now: do not remove it.
  if (state.settings.exclusiveLoads && state.calls === calls) state.drop(type, offset);
  return true;
}

function isIn({ front, address }: State, type: number, offset: number, { slot, generation }: SlotRead): boolean {
  return front.zswapIsIn(address, offset, type, slot, generation) !== 0;
}

/** Copies out what was read from a slot. If the slot does not hold the page, the page is lost and removed. EIO. */
function deliver(state: State, op: string, type: number, offset: number, into: Uint8Array, read: SlotRead): void {
  const { calls } = state;
  const { outcome } = read;
  const length = bytesRead(op, outcome, read.buffer);
  if (length instanceof CompcacheError) {
    state.figures.count('readFail');
    if ('failure' in outcome && outcome.notFound === true) state.drop(type, offset);
    throw length;
  }
  const page = openSlot(op, state.core, state.address, read, length, () => state.decompressed(op));
  if (page === undefined) {
    state.figures.count('readFail');
    state.drop(type, offset);
    throw new CompcacheError(
      'EIO',
      op,
      `slot ${read.slot} of the store does not hold what was written there: the page is lost`,
    );
  }
  copyOut(op, 'into', into, page);
  if (state.settings.exclusiveLoads && state.calls === calls) state.drop(type, offset);
}
