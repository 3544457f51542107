/**
 * The export surface of the core: no logic, numbers only.
 *
 * Every function returns a u32 (JavaScript sees it signed and shifts it back);
 * a value >= 0xFFFFF000 is a negative errno.
 */
import { crc32c, crcInit } from './base/crc';
import {
  blockBuffer, blockBufferBytes, crcTables, hashTable, pageBuffer, pageBufferBytes, scratchBase,
} from './mem/scratch';
import { attach as findScratch } from './mem/module';
import { lz4Compress, lz4Decompress } from './codec/lz4';

export {
  frameInit as ramInit, frameFail as ramFail, frameLimit as ramLimit, framesFree as ramFree, frameCounter as ramCounter,
  frameSaved as ramSaved, fixedFrames as ramFixed,
} from './mem/frame';
export {
  zpoolCreate, zpoolDestroy, zpoolNext, zpoolMalloc, zpoolMax, zpoolMallocRaw, zpoolFree, zpoolSize,
  zpoolRange, zpoolMap, zpoolUnmap, zpoolLocate, zpoolIsolate, zpoolVictimNext,
  zpoolRelease, zpoolRunDeferred, zpoolMetadataFrames, zpoolCounter, zpoolIdentity,
} from './zpool';
export { pageStore, pageLoad, pageFill } from './page/path';
export {
  tableOpen, tableKind, tableCount, tableSet, tablePut, tableGet, tableLoad, tableDelete, tableClear, tableSeek,
} from './page/store';
export { layoutVersion } from './mem/module';
export { pageBuffer, pageBufferBytes, blockBuffer, blockBufferBytes, scratchBase };

/** Readies an instance for its RAM: places the scratch, makes the checksum tables. */
export function attach(): void {
  findScratch();
  crcInit(crcTables());
}

/** CRC-32C over memory, continued from `crc` (0 to start). */
export function checksum(from: usize, bytes: u32, crc: u32): u32 {
  return crc32c(crcTables(), from, bytes, crc);
}

/** LZ4: page buffer to block buffer. Bytes written, 0 when they exceed `most`. */
export function codecCompress(bytes: u32, most: u32): u32 {
  return lz4Compress(pageBuffer(), min(bytes, pageBufferBytes()), blockBuffer(), min(most, blockBufferBytes()), hashTable());
}

/** LZ4: block buffer to page buffer. Bytes written, EIO for anything malformed. */
export function codecDecompress(bytes: u32, most: u32): u32 {
  return lz4Decompress(blockBuffer(), min(bytes, blockBufferBytes()), pageBuffer(), min(most, pageBufferBytes()));
}
