/** Reads a page, from memory or from the store. No page changes. */
import { DECOMPRESS, IN_STORE } from '../../../assembly/abi.ts';
import { CompcacheError } from '../../errors.ts';
import { runSync, wait, type Steps } from '../../steps.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import { openSlot, readSlot, type SlotRead } from '../common/slot-reads.ts';
import { bytesRead, type StoreIo } from '../common/store-io.ts';
import { decompress } from './codecs.ts';
import { live, secondOf, type Call, type State } from './state.ts';

/** Reads a page into a buffer that the next call may use. EIO, EAGAIN. */
export function* pageOf(state: State, call: Call, index: number): Steps<Uint8Array> {
  return readMemory(state, call, index) ?? (yield* readStore(state, call, index));
}

/** pageOf for a call that does not wait. A page in memory is read without a generator, which is faster. */
export function pageNow(state: State, call: Call, index: number): Uint8Array {
  return readMemory(state, call, index) ?? runSync(readStore(state, call, index));
}

/**
 * Reads a page that is not in the store. If it is there, the result is undefined and the core's result words have the
 * slot. EIO.
 */
function readMemory(state: State, { op, time }: Call, index: number): Uint8Array | undefined {
  const device = live(state, op);
  const { front, address, core } = device;
  const result = front.ramzRead(address, index, secondOf(device, time)) >>> 0;
  if (result === PAGE_SIZE) return core.page;
  if (result === IN_STORE) return undefined;
  if (result === DECOMPRESS) return decompress(state, op, device);
  throw new CompcacheError('EIO', op, `page ${index} does not decompress`);
}

/** Reads a page from the slot in the core's result words. If the page has moved meanwhile, it is looked up again. */
function* readStore(state: State, call: Call, index: number): Steps<Uint8Array> {
  const { op, waits } = call;
  for (;;) {
    const device = live(state, op);
    const io = device.io as StoreIo;
    if (!io.isSync && !waits)
      throw new CompcacheError('EAGAIN', op, 'the page is in an asynchronous store: use the …Async variant');
    if (io.isSync || io.hasRoom) {
      const page = openRead(state, op, index, yield* readSlot(op, device.core, io));
      if (page !== undefined) return page;
    } else {
      yield* wait(io.room(op));
    }
    const page = readMemory(state, call, index);
    if (page !== undefined) return page;
  }
}

/** Opens a slot that was read. undefined when the page has moved meanwhile. EIO. */
function openRead(state: State, op: string, index: number, read: SlotRead): Uint8Array | undefined {
  const device = live(state, op);
  const { front, address, core } = device;
  const { slot, generation, buffer, outcome } = read;
  state.counters.bdReads += 1;
  if (front.ramzIsIn(address, index, slot, generation) === 0) return undefined;
  const length = bytesRead(op, outcome, buffer);
  if (length instanceof CompcacheError) throw length;
  const page = openSlot(op, core, address, read, length, () => decompress(state, op, device));
  if (page !== undefined) return page;
  throw new CompcacheError('EIO', op, `slot ${slot} of the store does not hold what was written there`);
}
