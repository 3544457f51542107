/** What a zswap counts: names, and the numbers that the core has for them. */

import {
  DECOMPRESS_FAIL, DUPLICATE_ENTRY, POOL_LIMIT_HIT, READ_FAIL, REJECT_ALLOC_FAIL, REJECT_COMPRESS_FAIL, REJECT_COMPRESS_POOR,
  REJECT_KMEMCACHE_FAIL, REJECT_RECLAIM_FAIL, WRITEBACK_FAIL, WRITTEN_BACK,
} from '../../../assembly/abi.ts';

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

/** Numbers of the counters in the core. */
export const COUNTERS = {
  poolLimitHit: POOL_LIMIT_HIT,
  writtenBackPages: WRITTEN_BACK,
  rejectReclaimFail: REJECT_RECLAIM_FAIL,
  rejectCompressFail: REJECT_COMPRESS_FAIL,
  rejectCompressPoor: REJECT_COMPRESS_POOR,
  decompressFail: DECOMPRESS_FAIL,
  rejectAllocFail: REJECT_ALLOC_FAIL,
  rejectKmemcacheFail: REJECT_KMEMCACHE_FAIL,
  duplicateEntry: DUPLICATE_ENTRY,
  writebackFail: WRITEBACK_FAIL,
  readFail: READ_FAIL,
};
export type Counter = keyof typeof COUNTERS;
