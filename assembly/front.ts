/** The export surface of the front ends: no logic, numbers only. */
import { crcInit } from './base/crc';
import { attach as findScratch } from './mem/module';
import { crcTables } from './mem/scratch';

export { layoutVersion } from './mem/module';
export {
  zswapBegin, zswapCount, zswapCreate, zswapDirect, zswapDirectEnd, zswapDrained, zswapExcess, zswapFigure, zswapForeign,
  zswapFrames, zswapFreed, zswapFreeing, zswapHas, zswapInvalidate, zswapInvalidateArea, zswapIsIn, zswapLoad, zswapMost,
  zswapOpen, zswapOwner, zswapPass, zswapPend, zswapPool, zswapPut, zswapSet, zswapSettled, zswapStore, zswapUse, zswapUsed, zswapVictim, zswapWrite, zswapWriteEnd,
} from './front/zswap';

/** Readies an instance for its RAM: places the scratch, makes the checksum tables. */
export function attach(): void {
  findScratch();
  crcInit(crcTables());
}
