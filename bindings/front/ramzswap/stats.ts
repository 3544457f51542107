/** The statistics of a ramzswap. */

/** The statistics record of ramzswap (2009), in camelCase. Sizes are bytes. */
export interface RamzswapStats {
  disksize: number;
  memlimit: number;
  /** Page reads and writes, those that failed included. */
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
  /** Pages of equal words now; those of zeros are among them. */
  pagesSame: number;
  /** Pages that hold something now: same-filled, compressed, huge, or in the backing store. */
  pagesStored: number;
  /** Frames of the pool. */
  pagesUsed: number;
  /** Pages compressed to half or less, and pages that are kept as they are: of those in memory, counts. */
  goodCompress: number;
  pagesExpand: number;
  origDataSize: number;
  comprDataSize: number;
  memUsedTotal: number;
  /** Page reads from the backing store, and writes to it. */
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
  /** Seconds since the device was made, of the last access; 0 for what is no object. */
  accessTime: number;
  /** s same-filled, w in the store, h huge, i idle, r recompressed, n no codec makes it smaller; '.' where not. */
  flags: string;
  /** Bytes of the object, 0 for what is none. */
  bytes: number;
}
