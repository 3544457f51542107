/** A page, from wherever it is: from the core, or from the store, whose answer the core opens. Changes no page. */
import { DECOMPRESS, IN_STORE } from '../../../assembly/abi.ts';
import { SLOT_BYTES } from '../../backing/types.ts';
import { CompcacheError } from '../../errors.ts';
import { runSync, wait, type Steps } from '../../steps.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import { notedPlace } from '../common/slot-reads.ts';
import { bytesRead, type Outcome, type StoreIo } from '../common/store-io.ts';
import { decompress } from './codecs.ts';
import { live, secondOf, type Call, type State } from './state.ts';
import { answer } from './waiting.ts';

/** A page, in a buffer that the next call may use. EIO, EAGAIN. */
export function* pageOf(state: State, call: Call, index: number): Steps<Uint8Array> {
  return here(state, call, index) ?? (yield* fetched(state, call, index));
}

/** The same for a call that does not wait: without a generator, when the page is in memory. */
export function pageNow(state: State, call: Call, index: number): Uint8Array {
  return here(state, call, index) ?? runSync(fetched(state, call, index));
}

/** A page that is not in the store; undefined for one that is, whose place the core has noted. EIO. */
function here(state: State, { op, time }: Call, index: number): Uint8Array | undefined {
  const device = live(state, op);
  const { front, address, core } = device;
  const result = front.ramzRead(address, index, secondOf(device, time)) >>> 0;
  if (result === PAGE_SIZE) return core.page;
  if (result === IN_STORE) return undefined;
  if (result === DECOMPRESS) return decompress(state, op, device);
  throw new CompcacheError('EIO', op, `page ${index} does not decompress`);
}

/** A page whose place in the store the core has noted. When it has moved meanwhile, it is looked for again. */
function* fetched(state: State, call: Call, index: number): Steps<Uint8Array> {
  const { op, waits } = call;
  for (;;) {
    const device = live(state, op);
    const io = device.io as StoreIo;
    if (!io.isSync && !waits)
      throw new CompcacheError('EAGAIN', op, 'the page is in an asynchronous store: use the …Async twin');
    if (io.isSync || io.hasRoom) {
      const [slot, generation] = notedPlace(device.core);
      const buffer = new Uint8Array(SLOT_BYTES);
      const outcome = yield* answer(io, op, () => io.store.read(slot, new Uint8Array(buffer.buffer)));
      const page = opened(state, op, { index, slot, generation, buffer, outcome });
      if (page !== undefined) return page;
    } else {
      yield* wait(io.room(op));
    }
    const page = here(state, call, index);
    if (page !== undefined) return page;
  }
}

/** What was read of a slot, by a store that had another view on that memory. */
interface Read {
  index: number;
  slot: number;
  generation: number;
  buffer: Uint8Array;
  outcome: Outcome<unknown>;
}

/** The page of it; undefined when the page has moved meanwhile. EIO. */
function opened(state: State, op: string, { index, slot, generation, buffer, outcome }: Read): Uint8Array | undefined {
  const device = live(state, op);
  const { front, address, core, blockAddress } = device;
  state.counters.bdReads += 1;
  if (front.ramzIsIn(address, index, slot, generation) === 0) return undefined;
  const length = bytesRead(op, outcome, buffer);
  if (length instanceof CompcacheError) throw length;
  core.bytes.set(buffer.subarray(0, length), blockAddress);
  const result = front.frontOpen(address, length, slot, generation) >>> 0;
  if (result === PAGE_SIZE) return core.page;
  if (result === DECOMPRESS) return decompress(state, op, device);
  throw new CompcacheError('EIO', op, `slot ${slot} of the store does not hold what was written there`);
}
