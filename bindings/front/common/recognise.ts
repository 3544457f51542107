/**
 * Whether a store is the one that a restored front end had: some of the slots that it refers to are read, and have to hold what was
 * written there, by their generations and checksums. Nothing of the front end changes.
 */
import { DECOMPRESS } from '../../../assembly/abi.ts';
import { copyIn, firstOf } from '../../bytes.ts';
import { CompcacheError } from '../../errors.ts';
import { PAGE_SIZE, type Core } from '../../wasm.ts';
import { readSlot } from './slot-reads.ts';
import { bytesRead, type StoreIo } from './store-io.ts';

/** Slots that are looked at. */
const LOOKS = 16;

/**
 * @param slots how many pages are in the store
 * @param next notes slot and generation of the next of those pages in the core; false at the end
 * @throws EINVAL for another store, and for one that does not give a slot
 */
export async function requireSameStore(
  op: string,
  core: Core,
  front: number,
  io: StoreIo,
  slots: number,
  next: () => boolean,
): Promise<void> {
  const every = Math.max(1, Math.floor(slots / LOOKS));
  for (let nth = 0, looks = 0; looks < LOOKS && next(); nth++) {
    if (nth % every !== 0) continue;
    looks += 1;
    const read = readSlot(op, core, io);
    const length = bytesRead(op, await read.outcome, read.buffer);
    let result = 0;
    if (typeof length === 'number') {
      copyIn(op, 'slot', core.blockBuffer, firstOf(read.buffer, length));
      result = core.exports.frontOpen(front, length, read.slot, read.generation) >>> 0;
    }
    if (result !== PAGE_SIZE && result !== DECOMPRESS) {
      throw new CompcacheError(
        'EINVAL',
        op,
        `the store is not the one that the front end had: slot ${read.slot} holds something else`,
      );
    }
  }
}
