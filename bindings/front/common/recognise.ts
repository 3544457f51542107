/**
 * Tests if a store is the one that a restored front end had. It reads some of the slots that hold pages, until one has
 * the header that was written there (number, generation, epoch). One such slot is enough, and its data may be damaged.
 * Other slots may be damaged, old or unreadable: this is found when their pages are read, as usual. The front end does
 * not change.
 */
import { copyIn, firstOf } from '../../bytes.ts';
import { CompcacheError } from '../../errors.ts';
import { runAsync } from '../../steps.ts';
import type { Core } from '../../wasm.ts';
import { readSlot } from './slot-reads.ts';
import { bytesRead, type StoreIo } from './store-io.ts';

/** How many slots are read at most. */
const LOOKS = 16;

/**
 * @param slots how many pages are in the store
 * @param next puts the slot and generation of the next of those pages into the core's result words; false at the end
 * @throws EINVAL for another store, for an older state of the store in which none of these slots is the same, and for a
 *   store that gives none of these slots
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
  let looks = 0;
  let failure: CompcacheError | undefined;
  for (let nth = 0; looks < LOOKS && next(); nth++) {
    if (nth % every !== 0) continue;
    looks += 1;
    const read = await runAsync(readSlot(op, core, io));
    const length = bytesRead(op, read.outcome, read.buffer);
    if (length instanceof CompcacheError) {
      failure ??= length;
      // The store did not answer in time: do not wait for it again.
      if ('failure' in read.outcome && read.outcome.late !== undefined) break;
      continue;
    }
    copyIn(op, 'slot', core.blockBuffer, firstOf(read.buffer, length));
    if (core.exports.frontKnows(front, length, read.slot, read.generation) !== 0) return;
  }
  if (looks === 0) return;
  throw new CompcacheError(
    'EINVAL',
    op,
    `the store is not the one that the front end had: none of ${looks} slots holds what was written there`,
    failure && { cause: failure },
  );
}
