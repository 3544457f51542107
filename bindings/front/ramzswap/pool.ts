/** Stores pages in the pool, with the codec of writes. A foreign codec runs in here. */
import { COMPRESS, ENOMEM, FIRST_FOREIGN, OVER_LIMIT } from '../../../assembly/abi.ts';
import { DEFAULT_ALLOCATOR, rowOf } from '../../allocators.ts';
import { copyIn } from '../../bytes.ts';
import { CompcacheError } from '../../errors.ts';
import { wait, type Steps } from '../../steps.ts';
import { zpools } from '../../zpool.ts';
import { changed } from './changes.ts';
import { CODEC_FAILED, codecNumber, compress } from './codecs.ts';
import type { Slices } from './slices.ts';
import { live, type Device, type State } from './state.ts';
import type { QueuedWrite } from './write-queue.ts';

/** A page to be stored in the pool. */
export interface Offered {
  index: number;
  /** Must be a copy of the caller's page if a foreign codec compresses it. */
  page: Uint8Array;
  /** Second of the access. */
  now: number;
}

/** Tries once to store a page in the pool, raw if it does not compress. Returns 0 or the reason for the failure. */
export function tryPool(
  state: State,
  op: string,
  device: Device,
  offered: Offered,
  asIs: boolean,
  queued?: QueuedWrite,
): number {
  let result = attempt(state, op, device, offered, asIs);
  // zsmalloc knows without a search if compaction would free a frame; the other allocators would look at all their
  // frames.
  if ((result === OVER_LIMIT || result === ENOMEM) && isFreeable(device)) {
    compactPool(state, op, device);
    result = attempt(state, op, device, offered, asIs);
  }
  if (result === 0) changed(state, device, offered.index, queued);
  return result;
}

function attempt(state: State, op: string, device: Device, { index, page, now }: Offered, asIs: boolean): number {
  const { core, front, address, blockAddress } = device;
  copyIn(op, 'page', core.page, page);
  if (asIs) return front.ramzKeep(address, index, now) >>> 0;
  const number = codecNumber(state, 0);
  if (number < FIRST_FOREIGN) return front.ramzWrite(address, index, now) >>> 0;
  const result = front.ramzBegin(address, index) >>> 0;
  if (result !== COMPRESS) return result;
  const block = compress(state, op, number, page);
  if (live(state, op) !== device) throw new CompcacheError('EIO', op, 'the codec has reset the device');
  if (block === undefined) return CODEC_FAILED;
  if (block.length === 0) core.page.set(page);
  else core.bytes.set(block, blockAddress);
  return front.ramzPut(address, index, block.length, now) >>> 0;
}

/** True when the allocator knows that compaction would free a frame. */
function isFreeable({ core, pool, settings: { allocator = DEFAULT_ALLOCATOR } }: Device): boolean {
  return rowOf(allocator).knowsFreeable && core.exports.zpoolFreeable(zpools.address(pool)) >>> 0 !== 0;
}

/** Zspages that one part of a compaction empties, or frames that it looks at. This takes some hundred microseconds. */
const PART = 32;
/**
 * Compaction in parts goes over the whole pool at most this often, because writes that run meanwhile could go on making
 * work.
 */
const ROUNDS = 3;

/**
 * Compacts the pool in slices of small parts. It goes over the pool until that gives no frame back, or the device ends.
 * @throws ECLOSED
 */
export function* compactInSlices(state: State, op: string, device: Device, slices: Slices): Steps<number> {
  let frames = 0;
  for (let round = 0, last = 1; round < ROUNDS && last !== 0; round++) {
    last = 0;
    let cursor = 0;
    do {
      const part = zpools.compactFrom(op, device.pool, cursor, PART);
      last += part.frames;
      state.counters.compacted += part.frames;
      cursor = part.cursor;
      if (slices.isOver) yield* wait(slices.turn());
      if (live(state, op) !== device) return frames + last;
    } while (cursor !== 0);
    frames += last;
  }
  return frames;
}

/** Compacts the pool. The frames are counted. @returns frames given back */
export function compactPool(state: State, op: string, { pool }: Device): number {
  const frames = zpools.compact(op, pool);
  state.counters.compacted += frames;
  return frames;
}
