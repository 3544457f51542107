/**
 * Writes a page to the pool, or to the store if the pool does not take it. A write that fails keeps the old data. Of
 * two writes of one page, the later one wins.
 */
import { ENOMEM, FIRST_FOREIGN, OVER_LIMIT, POOR } from '../../../assembly/abi.ts';
import { copyOf, copyOut, requireUnshrunk } from '../../bytes.ts';
import { CompcacheError, codeOf } from '../../errors.ts';
import { wait, type Steps } from '../../steps.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import { noFrame } from '../../zpool-errors.ts';
import { zpools } from '../../zpool.ts';
import type { StoreIo } from '../common/store-io.ts';
import { CODEC_FAILED, codecNumber } from './codecs.ts';
import { tryPool, type Offered } from './pool.ts';
import { pageOf } from './reading.ts';
import { isGone, live, requireSameDevice, secondOf, type Call, type Device, type State } from './state.ts';
import { compose, endQueued } from './store-writes.ts';
import type { QueuedWrite } from './write-queue.ts';
import type { Continuation } from './waiting.ts';

/** A page that the pool did not take. It is a copy. */
interface Refused extends Offered {
  /** The page does not compress. */
  isPoor: boolean;
}

/** Writes a page of the caller. The returned steps write it to the store. ENOMEM, ENOSPC, EIO, EAGAIN. */
export function put(state: State, call: Call, index: number, page: Uint8Array): Continuation {
  const device = live(state, call.op);
  const refused = keep(state, call, device, index, page);
  if (refused === undefined) return undefined;
  const io = device.io as StoreIo;
  if (!io.isSync && !call.waits)
    throw new CompcacheError('EAGAIN', call.op, 'the page is for an asynchronous store: use the …Async variant');
  const sending = send(state, call.op, device, refused, state.writeQueue.enqueue(index));
  return io.isSync ? sending : state.active.during(sending);
}

/** Stores a page in the pool. Returns the page when the store must take it; then there is a store. ENOMEM, EIO. */
function keep(
  state: State,
  { op, time }: Call,
  device: Device,
  index: number,
  given: Uint8Array,
  queued?: QueuedWrite,
): Refused | undefined {
  const isForeign = codecNumber(state, 0) >= FIRST_FOREIGN;
  const page = isForeign ? copyOf(op, 'page', given) : given; // the codec may change its array
  const now = secondOf(device, time);
  let result = tryPool(state, op, device, { index, page, now }, false, queued);
  // The device had a store when it was made, and was opened again without one.
  if (result === POOR && device.io === undefined)
    result = tryPool(state, op, device, { index, page, now }, true, queued);
  if (result === 0) return undefined;
  requireStore(state, op, device, result);
  return { index, page: isForeign ? page : copyOf(op, 'page', given), now, isPoor: result === POOR };
}

/** Requires a store for a page that the pool did not take. ENOMEM, EIO. */
function requireStore(state: State, op: string, device: Device, result: number): void {
  if (result === CODEC_FAILED) throw new CompcacheError('EIO', op, 'the codec failed');
  if (result !== OVER_LIMIT && result !== POOR && result !== ENOMEM)
    throw new CompcacheError(codeOf(result), op, `page beyond the device`);
  if (device.io !== undefined) return;
  const bytes = zpools.frameCounts(device.pool).frames * PAGE_SIZE;
  if (result === OVER_LIMIT)
    throw new CompcacheError(
      'ENOMEM',
      op,
      `memlimit is ${state.memlimit} bytes, the pool has ${bytes}: 1 frame needed, 0 free`,
    );
  throw noFrame(op, device.core, codeOf(result));
}

/**
 * Writes a page to the store. With an asynchronous store it waits for earlier writes of the page, and for room. A
 * cancelled write does nothing.
 */
function* send(state: State, op: string, device: Device, refused: Refused, queued: QueuedWrite): Steps<void> {
  const { index, page } = refused;
  const io = device.io as StoreIo;
  try {
    for (;;) {
      if (!io.isSync) {
        yield* wait(state.writeQueue.untilFirst(index, queued));
        yield* io.untilRoom(op);
        if (!state.writeQueue.isQueued(index, queued)) return;
        requireSameDevice(state, op, device);
      }
      try {
        const job = compose(op, device, index, page);
        const outcome = yield* io.answer(op, () => io.store.write(job.slot, job.bytes));
        endQueued(state, op, device, job, outcome, queued);
        return;
      } catch (error) {
        const full = CompcacheError.made(error) && error.code === 'ENOSPC' && error.cause === undefined;
        if (io.isSync || !full || (yield* wait(device.frees?.freed())) !== true) throw error;
      }
    }
  } catch (error) {
    if (!keepAfterAll(state, op, device, refused, queued)) throw error;
  } finally {
    state.writeQueue.leave(index, queued);
  }
}

/**
 * Called when the store did not take a page. If the page only did not compress, the pool stores it raw. If a later
 * write has replaced it, nothing is to be done. False when the write has failed.
 */
function keepAfterAll(state: State, op: string, device: Device, refused: Refused, queued: QueuedWrite): boolean {
  if (isGone(state, device)) return false;
  if (!state.writeQueue.isQueued(refused.index, queued)) return true;
  return refused.isPoor && tryPool(state, op, device, refused, true, queued) === 0;
}

/**
 * Writes a part of a page; the other bytes stay as earlier writes left them. The part is a copy if the call waits. With
 * an asynchronous store it waits for those writes. Then nothing runs between reading the page and writing it. EAGAIN.
 */
export function* patch(
  state: State,
  call: Call,
  index: number,
  part: Uint8Array,
  from: number,
  length: number,
): Steps<void> {
  const { op } = call;
  const { writeQueue } = state;
  const isQueued = live(state, op).io?.isSync === false && call.waits;
  if (!isQueued) {
    if (writeQueue.has(index))
      throw new CompcacheError('EAGAIN', op, `a write of page ${index} is under way: use the …Async variant`);
    const rest = put(state, call, index, patched(op, yield* pageOf(state, call, index), part, from, length));
    if (rest !== undefined) yield* rest;
    return;
  }
  const queued = writeQueue.enqueue(index);
  try {
    if (!writeQueue.isFirst(index, queued)) yield* wait(writeQueue.untilFirst(index, queued));
    const whole = yield* pageOf(state, call, index);
    if (!writeQueue.isQueued(index, queued)) return;
    const page = patched(op, whole, part, from, length);
    const device = live(state, op);
    const refused = keep(state, call, device, index, page, queued);
    if (refused !== undefined) yield* send(state, op, device, refused, queued);
  } finally {
    writeQueue.leave(index, queued);
  }
}

/**
 * A copy of a page with some bytes replaced. EINVAL when the length of the part has changed, because reading the page
 * may have run foreign code.
 */
function patched(op: string, page: Uint8Array, part: Uint8Array, from: number, length: number): Uint8Array {
  const copy = page.slice();
  requireUnshrunk(op, 'bytes', part, length);
  copyOut(op, 'bytes', copy, part, from);
  return copy;
}
