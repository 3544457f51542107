/**
 * The export surface of the core: no logic, numbers only.
 *
 * Every function returns a u32 (JavaScript sees it signed and shifts it back);
 * a value >= 0xFFFFF000 is a negative errno.
 */
import { crc32c, crcInit } from './base/crc';
import { LAYOUT_VERSION, SCRATCH_FRAME, frameAddress } from './mem/layout';
import {
  blockBuffer, blockBufferBytes, compressorTables, crcTables, pageBuffer, pageBufferBytes, scratchBase, setScratch,
} from './mem/scratch';
import { lz4Compress, lz4Decompress } from './codec/lz4';
import { lz4hcCompress } from './codec/lz4hc';

export {
  frameInit as ramInit, frameFail as ramFail, frameLimit as ramLimit, framesFree as ramFree, frameCounter as ramCounter,
  frameSaved as ramSaved, fixedFrames as ramFixed,
} from './mem/frame';
export {
  zpoolCreate, zpoolDestroy, zpoolNext, zpoolMalloc, zpoolMax, zpoolMallocRaw, zpoolFree, zpoolSize,
  zpoolRange, zpoolMap, zpoolUnmap, zpoolLocate, zpoolCompact, zpoolFreeable, zpoolIsolate, zpoolVictimNext,
  zpoolRelease, zpoolRunDeferred, zpoolMetadataFrames, zpoolCounter, zpoolIdentity,
} from './zpool';
export { pageStore, pageLoad, pageFill } from './page/path';
export { pageBuffer, pageBufferBytes, blockBuffer, blockBufferBytes, scratchBase };

/** Version of the RAM layout that this module works on. */
export function layoutVersion(): u32 {
  return LAYOUT_VERSION;
}

/** Readies an instance for its RAM: places the scratch, makes the checksum tables. */
export function attach(): void {
  setScratch(frameAddress(SCRATCH_FRAME));
  crcInit(crcTables());
}

/** CRC-32C over memory, continued from `crc` (0 to start). */
export function checksum(from: usize, bytes: u32, crc: u32): u32 {
  return crc32c(crcTables(), from, bytes, crc);
}

/** LZ4: page buffer to block buffer. Bytes written, 0 when they exceed `most`. */
export function codecCompress(bytes: u32, most: u32): u32 {
  return lz4Compress(pageBuffer(), min(bytes, pageBufferBytes()), blockBuffer(), min(most, blockBufferBytes()), compressorTables());
}

/** The same, densely and slowly. */
export function codecCompressHc(bytes: u32, most: u32): u32 {
  return lz4hcCompress(pageBuffer(), min(bytes, pageBufferBytes()), blockBuffer(), min(most, blockBufferBytes()), compressorTables());
}

/** LZ4, dense or not: block buffer to page buffer. Bytes written, EIO for anything malformed. */
export function codecDecompress(bytes: u32, most: u32): u32 {
  return lz4Decompress(blockBuffer(), min(bytes, blockBufferBytes()), pageBuffer(), min(most, pageBufferBytes()));
}
