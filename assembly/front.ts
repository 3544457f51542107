/** The export surface of the front ends: no logic, numbers only. */
import { crcInit } from './base/crc';
import { attach as findScratch } from './mem/module';
import { crcTables } from './mem/scratch';

export { layoutVersion } from './mem/module';
export { frontFreed, frontFreeing, frontOpen, frontSettled } from './front/backed';
export {
  zswapAccept, zswapBegin, zswapCount, zswapCreate, zswapDirect, zswapDirectEnd, zswapDrained, zswapExcess, zswapFigure, zswapForeign,
  zswapFrames, zswapHas, zswapInvalidate, zswapInvalidateArea, zswapIsIn, zswapLoad, zswapMost, zswapOwner, zswapPass, zswapPend,
  zswapPut, zswapSet, zswapStore, zswapUse, zswapUsed, zswapVictim, zswapWrite, zswapWriteEnd,
} from './front/zswap';

export {
  ramzBegin, ramzCodec, ramzCreate, ramzDirect, ramzDrop, ramzFigure, ramzGiveUp, ramzIdle, ramzIsIn, ramzKeep, ramzNext, ramzOut,
  ramzPeek, ramzPut, ramzRead, ramzRecompress, ramzReplace, ramzResetPeak, ramzSecond, ramzUse, ramzWrite, ramzWritten,
} from './front/ramzswap';

/** Readies an instance for its RAM: places the scratch, makes the checksum tables. */
export function attach(): void {
  findScratch();
  crcInit(crcTables());
}
