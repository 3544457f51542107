/**
 * Whether a store is the one that a restored front end had: some of the slots that it refers to are read, until one begins as the
 * slot that was written there, with its number, generation and epoch. One is enough, and its data may be damaged: a slot that is
 * damaged, or older, or cannot be read, is found when its page is read, as at any other time. Nothing of the front end changes.
 */
import { copyIn, firstOf } from '../../bytes.ts';
import { CompcacheError } from '../../errors.ts';
import { runAsync } from '../../steps.ts';
import type { Core } from '../../wasm.ts';
import { readSlot } from './slot-reads.ts';
import { bytesRead, type StoreIo } from './store-io.ts';

/** The most slots that are looked at. */
const LOOKS = 16;

/**
 * @param slots how many pages are in the store
 * @param next notes slot and generation of the next of those pages in the core; false at the end
 * @throws EINVAL for another store, an older state of it in which none of those slots is the same, and one that gives none of them
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
      // One that does not answer is not waited for again.
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
