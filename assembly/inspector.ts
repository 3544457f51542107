/** The export surface of the inspector: no logic, numbers only. See inspect.ts. */
import { crc32c, crcInit } from './base/crc';
import { attach as findScratch } from './mem/module';
import { crcTables } from './mem/scratch';

export { layoutVersion } from './mem/module';
export { frameSaved as ramSaved, fixedFrames as ramFixed, frameCounter as ramCounter } from './mem/frame';
export {
  ramCheck, tableSeek, zpoolCounter, zpoolIdentity, zpoolLocate, zpoolMetadataFrames, zpoolNext, zpoolSpanning, zpoolTable,
  zpoolTables, zpoolWalk,
} from './inspect';

/** Readies an instance for its RAM: places the scratch, makes the checksum tables. */
export function attach(): void {
  findScratch();
  crcInit(crcTables());
}

/** CRC-32C over memory, continued from `crc` (0 to start). */
export function checksum(from: usize, bytes: u32, crc: u32): u32 {
  return crc32c(crcTables(), from, bytes, crc);
}
