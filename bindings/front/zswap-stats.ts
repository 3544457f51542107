/** What a zswap counts: names, and the numbers that the core has for them (assembly/front/zswap.ts). */

/** The counters of /sys/kernel/debug/zswap, and what there is beside them. */
export interface ZswapStats {
  /** Times that a page came while the limit was reached. */
  poolLimitHit: number;
  /** Pages that went from the pool to the store. */
  writtenBackPages: number;
  /** Pages refused because room could not be made. */
  rejectReclaimFail: number;
  /** Pages refused because the codec failed. */
  rejectCompressFail: number;
  /** Pages refused because they do not compress. */
  rejectCompressPoor: number;
  /** Loads that failed because the codec did. */
  decompressFail: number;
  /** Pages refused because the allocator had no frame. */
  rejectAllocFail: number;
  /** Pages refused because there was no frame for their entry. */
  rejectKmemcacheFail: number;
  /** Stores in place of an older copy. */
  duplicateEntry: number;
  /** Pages in the pool, same-filled ones included. */
  storedPages: number;
  /** Bytes of the pools' frames. */
  poolTotalSize: number;
  sameFilledPages: number;
  /** Pages kept as they are. */
  storedIncompressiblePages: number;
  /** Writes that failed, or ended too late. */
  writebackFail: number;
  /** Reads that failed, or gave other bytes than were written. */
  readFail: number;
  /** Pages that are in the store and not in the pool. */
  backingPages: number;
  /** Writes under way. */
  inFlight: number;
  /** Slots of the store that are not free. */
  backingSlots: number;
  /** Frames it has, metadata included. */
  frames: number;
  /** The most frames it may have now. */
  limitFrames: number;
  /** Zpools, those that drain included. */
  pools: number;
}

/** Counters of the core, by number. */
export const COUNTERS = [
  'poolLimitHit', 'writtenBackPages', 'rejectReclaimFail', 'rejectCompressFail', 'rejectCompressPoor', 'decompressFail',
  'rejectAllocFail', 'rejectKmemcacheFail', 'duplicateEntry', 'writebackFail', 'readFail',
] as const;
export type Counter = (typeof COUNTERS)[number];
export const DUPLICATES = COUNTERS.indexOf('duplicateEntry');

/** Figures of the core, by number. */
export const STORED = 16;
export const POOL_FRAMES = 17;
export const SAME_FILLED_PAGES = 18;
export const RAW_PAGES = 19;
export const BACKING_PAGES = 20;
export const IN_FLIGHT = 21;
export const SLOTS_TAKEN = 24;
export const LIMIT_FRAMES = 25;
export const ENTRIES = 27;
