/** The counters and figures of a zswap, with the numbers that the core has for them. */
import {
  DECOMPRESS_FAIL,
  DUPLICATE_ENTRY,
  POOL_LIMIT_HIT,
  READ_FAIL,
  REJECT_ALLOC_FAIL,
  REJECT_COMPRESS_FAIL,
  REJECT_COMPRESS_POOR,
  REJECT_KMEMCACHE_FAIL,
  REJECT_RECLAIM_FAIL,
  WRITEBACK_FAIL,
  WRITTEN_BACK,
  ZSWAP_IN_FLIGHT,
  ZSWAP_LIMIT,
  ZSWAP_POOL_FRAMES,
  ZSWAP_RAW,
  ZSWAP_SAME_FILLED,
  ZSWAP_SLOTS,
  ZSWAP_STORED,
  ZSWAP_WRITTEN,
} from '../../../assembly/abi.ts';
import { PAGE_SIZE, type CoreExports } from '../../wasm.ts';

/** The counters of /sys/kernel/debug/zswap, and further figures. */
export interface ZswapStats {
  /** How often a page came while the limit was reached. */
  poolLimitHit: number;
  /** Pages that were moved from the pool to the store. */
  writtenBackPages: number;
  /** Pages that were refused because no room could be made. */
  rejectReclaimFail: number;
  /** Pages that were refused because the codec failed. */
  rejectCompressFail: number;
  /** Pages that were refused because they do not compress. */
  rejectCompressPoor: number;
  /** Loads that failed because the codec failed. */
  decompressFail: number;
  /** Pages that were refused because the allocator had no frame. */
  rejectAllocFail: number;
  /** Pages that were refused because there was no frame for their entry. */
  rejectKmemcacheFail: number;
  /** Stores that replaced an older copy. */
  duplicateEntry: number;
  /** Pages in memory, with same-filled ones. */
  storedPages: number;
  /** Bytes of the pools' frames. */
  poolTotalSize: number;
  sameFilledPages: number;
  /** Raw pages. */
  storedIncompressiblePages: number;
  /** Writes that failed, or ended after the timeout. */
  writebackFail: number;
  /** Reads that failed, or did not give the bytes that were written. */
  readFail: number;
  /** Pages that are in the store and not in the pool. */
  backingPages: number;
  /** Writes under way. */
  inFlight: number;
  /** Slots of the store that are not free. */
  backingSlots: number;
  /** Frames it has, with its metadata. */
  frames: number;
  /** The most frames it may have now. */
  limitFrames: number;
  /** Zpools, with those that drain. */
  pools: number;
}

/** Numbers of the counters in the core. */
const COUNTERS = {
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
type Counter = keyof typeof COUNTERS;

/** The figures of a zswap, by its address. */
export class Figures {
  readonly #front: CoreExports;
  readonly #address: number;

  constructor(front: CoreExports, address: number) {
    this.#front = front;
    this.#address = address;
  }

  /** One figure, by its number in the core. */
  of(which: number): number {
    return this.#front.zswapFigure(this.#address, which) >>> 0;
  }

  count(counter: Counter): void {
    this.#front.zswapCount(this.#address, COUNTERS[counter]);
  }

  /** Frames it has, with its metadata. */
  get frames(): number {
    return this.#front.zswapFrames(this.#address) >>> 0;
  }

  /** Frames above the accept threshold. */
  get excess(): number {
    return this.#front.zswapExcess(this.#address) >>> 0;
  }

  /** @param pools how many zpools there are */
  all(pools: number): ZswapStats {
    const counters = Object.fromEntries(
      Object.entries(COUNTERS).map(([name, which]) => [name, this.of(which)]),
    ) as Record<Counter, number>;
    return {
      ...counters,
      storedPages: this.of(ZSWAP_STORED),
      poolTotalSize: this.of(ZSWAP_POOL_FRAMES) * PAGE_SIZE,
      sameFilledPages: this.of(ZSWAP_SAME_FILLED),
      storedIncompressiblePages: this.of(ZSWAP_RAW),
      backingPages: this.of(ZSWAP_WRITTEN),
      inFlight: this.of(ZSWAP_IN_FLIGHT),
      backingSlots: this.of(ZSWAP_SLOTS),
      frames: this.frames,
      limitFrames: this.of(ZSWAP_LIMIT),
      pools,
    };
  }
}
