/**
 * Makes the jobs for writes to the store, and ends the writes of new pages. writing.ts and writeback.ts call the store.
 */
import { OUT_GENERATION, OUT_SLOT } from '../../../assembly/abi.ts';
import { CompcacheError, ERRNO_MIN, codeOf } from '../../errors.ts';
import { noFrame } from '../../zpool-errors.ts';
import type { Outcome } from '../common/store-io.ts';
import { changed, settle } from './changes.ts';
import { requireSameDevice, type Device, type Job, type State } from './state.ts';
import type { QueuedWrite } from './write-queue.ts';

/** Takes a slot and composes a new page for it. The page is a copy. ENOSPC. */
export function compose(op: string, device: Device, index: number, page: Uint8Array): Job {
  const { core, front, address } = device;
  core.page.set(page);
  const length = front.ramzDirect(address, index) >>> 0;
  if (length >= ERRNO_MIN) throw new CompcacheError(codeOf(length), op, 'no slot of the backing store is free');
  return composed(device, index, length);
}

/** The job for the slot that the core has composed in the block buffer. */
export function composed({ core, blockAddress }: Device, index: number, length: number): Job {
  const { out, bytes } = core;
  return {
    index,
    slot: out[OUT_SLOT] as number,
    generation: out[OUT_GENERATION] as number,
    bytes: bytes.slice(blockAddress, blockAddress + length),
  };
}

/**
 * Ends the write of a new page: the page is in the store now, unless a later write ended first. EIO, ENOSPC, ENOMEM.
 */
export function endQueued(
  state: State,
  op: string,
  device: Device,
  job: Job,
  outcome: Outcome<unknown>,
  queued: QueuedWrite,
): void {
  const newest = state.writeQueue.isQueued(job.index, queued);
  requireSameDevice(state, op, device);
  if ('failure' in outcome) {
    settle(state, device, job, outcome);
    throw outcome.failure;
  }
  state.counters.bdWrites += 1;
  const result = newest ? device.front.ramzWritten(device.address, job.index, job.slot, job.generation) >>> 0 : 0;
  if (newest && result === 0) changed(state, device, job.index, queued);
  else settle(state, device, job, outcome);
  if (result !== 0) throw noFrame(op, device.core, codeOf(result));
}
