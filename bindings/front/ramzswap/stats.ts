/** The statistics of a ramzswap, from the figures of the core and the I/O counters. */
import {
  ENTRY,
  FILL,
  HUGE,
  IDLE,
  INCOMPRESSIBLE,
  KIND_MASK,
  PRIORITY_MASK,
  PRIORITY_SHIFT,
  RAMZ_BYTES,
  RAMZ_FRAMES,
  RAMZ_GOOD,
  RAMZ_HUGE,
  RAMZ_HUGE_EVER,
  RAMZ_OBJECTS,
  RAMZ_PEAK,
  RAMZ_SAME,
  RAMZ_WRITTEN,
  WRITTEN,
} from '../../../assembly/abi.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import { allPages } from './pages.ts';
import { live, type Device, type State } from './state.ts';

/** The statistics of ramzswap (2009), in camelCase. Sizes are bytes. */
export interface RamzswapStats {
  disksize: number;
  memlimit: number;
  /** Page reads and writes, with those that failed. */
  numReads: number;
  numWrites: number;
  failedReads: number;
  failedWrites: number;
  /** Requests beyond the device. */
  invalidIo: number;
  /** Pages freed by freeNotify. */
  notifyFree: number;
  /** Pages freed by discard. */
  discard: number;
  /** Pages that are same-filled now, with those of zeros. */
  pagesSame: number;
  /** Pages that hold something now: same-filled, compressed, raw, or in the backing store. */
  pagesStored: number;
  /** Frames of the pool. */
  pagesUsed: number;
  /** Pages compressed to half or less, and raw pages: how many of those in memory. */
  goodCompress: number;
  pagesExpand: number;
  origDataSize: number;
  comprDataSize: number;
  memUsedTotal: number;
  /** Page reads from the backing store, and page writes to it. */
  bdevNumReads: number;
  bdevNumWrites: number;
}

/** zram's mm_stat. Sizes are bytes. */
export interface MmStat {
  origDataSize: number;
  comprDataSize: number;
  memUsedTotal: number;
  memLimit: number;
  memUsedMax: number;
  samePages: number;
  pagesCompacted: number;
  hugePages: number;
  hugePagesSince: number;
}

/** zram's io_stat. */
export interface IoStat {
  failedReads: number;
  failedWrites: number;
  invalidIo: number;
  notifyFree: number;
}

/** zram's bd_stat, in pages. */
export interface BdStat {
  bdCount: number;
  bdReads: number;
  bdWrites: number;
}

/** One page in block_state. */
export interface BlockState {
  index: number;
  /** Seconds from the device's creation to the last access; 0 when the page is no object. */
  accessTime: number;
  /**
   * s same-filled, w in the store, h huge, i idle, r recompressed, n incompressible; '.' for each that does not apply.
   */
  flags: string;
  /** Bytes of the object; 0 when the page is no object. */
  bytes: number;
}

/** The statistics of ramzswap. */
export function ramzswapStats({ counters, memlimit }: State, device: Device): RamzswapStats {
  const { numReads, numWrites, failedReads, failedWrites, invalidIo, notifyFree, discard, bdReads, bdWrites } =
    counters;
  const figures = figuresOf(device);
  return {
    disksize: device.pages * PAGE_SIZE,
    memlimit,
    numReads,
    numWrites,
    failedReads,
    failedWrites,
    invalidIo,
    notifyFree,
    discard,
    pagesSame: figures.same,
    pagesStored: figures.stored,
    pagesUsed: figures.frames,
    goodCompress: figures.good,
    pagesExpand: figures.huge,
    origDataSize: figures.stored * PAGE_SIZE,
    comprDataSize: figures.bytes,
    memUsedTotal: figures.frames * PAGE_SIZE,
    bdevNumReads: bdReads,
    bdevNumWrites: bdWrites,
  };
}

export function mmStat({ counters, memlimit }: State, device: Device): MmStat {
  const figures = figuresOf(device);
  return {
    origDataSize: figures.stored * PAGE_SIZE,
    comprDataSize: figures.bytes,
    memUsedTotal: figures.frames * PAGE_SIZE,
    memLimit: memlimit,
    memUsedMax: figures.peak * PAGE_SIZE,
    samePages: figures.same,
    pagesCompacted: counters.compacted,
    hugePages: figures.huge,
    hugePagesSince: figures.hugeEver,
  };
}

export function ioStat({ counters: { failedReads, failedWrites, invalidIo, notifyFree } }: State): IoStat {
  return { failedReads, failedWrites, invalidIo, notifyFree };
}

export function bdStat({ counters: { bdReads, bdWrites } }: State, device: Device): BdStat {
  return { bdCount: figuresOf(device).written, bdReads, bdWrites };
}

/** Every page that holds something, in order of its number. The device is the one at the first call of next(). */
export function* blockState(state: State): Generator<BlockState> {
  const { front, address } = state.device ?? live(state, 'ramzswap.blockState');
  for (const { index, state: page, bytes } of allPages(state)) {
    const kind = page & KIND_MASK;
    const object = kind === ENTRY;
    const recompressed = object && ((page >>> PRIORITY_SHIFT) & PRIORITY_MASK) !== 0;
    const flags = [
      kind === FILL ? 's' : '.',
      kind === WRITTEN ? 'w' : '.',
      object && (page & HUGE) !== 0 ? 'h' : '.',
      object && (page & IDLE) !== 0 ? 'i' : '.',
      recompressed ? 'r' : '.',
      object && (page & INCOMPRESSIBLE) !== 0 ? 'n' : '.',
    ];
    yield { index, accessTime: front.ramzSecond(address, page) >>> 0, flags: flags.join(''), bytes };
  }
}

function figuresOf({
  front,
  address,
}: Device): Record<'stored' | 'same' | 'huge' | 'written' | 'hugeEver' | 'peak' | 'bytes' | 'good' | 'frames', number> {
  const figure = (which: number): number => front.ramzFigure(address, which);
  const same = figure(RAMZ_SAME);
  const written = figure(RAMZ_WRITTEN);
  return {
    stored: figure(RAMZ_OBJECTS) + same + written,
    same,
    huge: figure(RAMZ_HUGE),
    written,
    hugeEver: figure(RAMZ_HUGE_EVER),
    peak: figure(RAMZ_PEAK),
    bytes: figure(RAMZ_BYTES),
    good: figure(RAMZ_GOOD),
    frames: figure(RAMZ_FRAMES),
  };
}
