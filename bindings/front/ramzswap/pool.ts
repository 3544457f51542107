/** Pages into the pool, by whatever codec writes have. A codec that is not of the core is foreign code, and runs in here. */
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

/** A page for the pool. */
export interface Offered {
  index: number;
  /** Memory of ours, where a codec outside the core has a part. */
  page: Uint8Array;
  /** Second of the access. */
  now: number;
}

/** One try to keep a page in the pool, as it is if need be: 0, or why not. */
export function tryPool(
  state: State,
  op: string,
  device: Device,
  offered: Offered,
  asIs: boolean,
  queued?: QueuedWrite,
): number {
  let result = attempt(state, op, device, offered, asIs);
  // Asking zsmalloc what compaction would bring costs little; the others would go through all their frames.
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
  const begun = front.ramzBegin(address, index) >>> 0;
  if (begun !== COMPRESS) return begun;
  const block = compress(state, op, number, page);
  if (live(state, op) !== device) throw new CompcacheError('EIO', op, 'the codec has reset the device');
  if (block === undefined) return CODEC_FAILED;
  if (block.length === 0) core.page.set(page);
  else core.bytes.set(block, blockAddress);
  return front.ramzPut(address, index, block.length, now) >>> 0;
}

/** Whether compaction would bring a frame, where the allocator knows. */
function isFreeable({ core, pool, settings: { allocator = DEFAULT_ALLOCATOR } }: Device): boolean {
  return rowOf(allocator).knowsFreeable && core.exports.zpoolFreeable(zpools.address(pool)) >>> 0 !== 0;
}

/** Zspages that a part of a compaction empties, or frames that it looks at: some hundred microseconds. */
const PART = 32;
/** Rounds of a compaction in parts over the whole pool: writes beside it could make work for ever. */
const ROUNDS = 3;

/**
 * The same in slices, and in parts that are small: round after round, until one gives nothing back. It ends with the device.
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

/** Moves objects together. @returns frames given back, which are counted */
export function compactPool(state: State, op: string, { pool }: Device): number {
  const frames = zpools.compact(op, pool);
  state.counters.compacted += frames;
  return frames;
}
