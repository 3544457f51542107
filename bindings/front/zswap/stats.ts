/** What a zswap counts: names, and the numbers that the core has for them. It only asks the core, and adds to its counters. */
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

  /** Frames it has, metadata included. */
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
