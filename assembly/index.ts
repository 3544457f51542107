/**
 * The exports of the core. This file has no logic.
 *
 * Every function takes and returns numbers. The result is a u32 (JavaScript gets it
 * as a signed number and converts it with `>>> 0`); a value >= 0xFFFFF000 is a
 * negative errno.
 */
import { crc32c } from './base/crc';
import { blockBuffer, blockBufferBytes, crcTables, pageBuffer, pageBufferBytes, scratchBase } from './mem/scratch';

// ── the RAM ──────────────────────────────────────────────────────────────────
export { attach, layoutVersion } from './mem/module';
export { fixedFrames as ramFixed } from './mem/layout';
export {
  frameCounter as ramCounter,
  frameFail as ramFail,
  frameInit as ramInit,
  frameLimit as ramLimit,
  frameSaved as ramSaved,
  framesFree as ramFree,
} from './mem/frame';
export { pageBuffer, pageBufferBytes, blockBuffer, blockBufferBytes, scratchBase };

// ── pools ────────────────────────────────────────────────────────────────────
export {
  zpoolCompact,
  zpoolCompactFrom,
  zpoolCreate,
  zpoolDestroy,
  zpoolFreeable,
  zpoolHugeSize,
  zpoolIsolate,
  zpoolMalloc,
  zpoolMallocRaw,
  zpoolMap,
  zpoolMax,
  zpoolOwner,
  zpoolRange,
  zpoolRelease,
  zpoolRunDeferred,
  zpoolSize,
  zpoolUnmap,
  zpoolVictimNext,
  zpoolWrite,
} from './zpool';
export {
  ramCheck,
  tableSeek,
  zpoolCounter,
  zpoolIdentity,
  zpoolLocate,
  zpoolMetadataFrames,
  zpoolNext,
  zpoolSpanning,
  zpoolTable,
  zpoolTables,
  zpoolWalk,
} from './inspect';

// ── pages ────────────────────────────────────────────────────────────────────
export { pageStore, pageLoad, pageFill } from './page/path';
export {
  objectFree as zpoolFree,
  tableOpen,
  tableKind,
  tableCount,
  tableSet,
  tablePut,
  tableGet,
  tableLoad,
  tableDelete,
  tableClear,
} from './page/store';

// ── front ends ───────────────────────────────────────────────────────────────
export { frontNote, frontSetNote } from './front/note';
export { zswapBudget, zswapDestroy, zswapSetBudget, zswapSettle, zswapWritten } from './front/zswap-restore';
export { ramzBacked, ramzDestroy, ramzLastSecond, ramzPool, ramzSettle } from './front/ramzswap-restore';
export { frontToFreeAt, frontFreed, frontFreeing, frontKnows, frontOpen, frontSettled } from './front/backed';
export { zswapCreate, zswapDrained, zswapDrainedAt, zswapFigure, zswapSet, zswapUse, zswapUsed } from './front/zswap';
export {
  zswapBegin,
  zswapHas,
  zswapInvalidate,
  zswapInvalidateArea,
  zswapIsIn,
  zswapLoad,
  zswapMost,
  zswapPut,
  zswapStore,
} from './front/zswap-entries';
export {
  zswapDirect,
  zswapDirectEnd,
  zswapForeign,
  zswapOwner,
  zswapPass,
  zswapPend,
  zswapVictim,
  zswapWrite,
  zswapWriteEnd,
} from './front/zswap-writeback';
export { zswapCount } from './front/zswap-layout';
export { zswapAccept, zswapExcess, zswapFrames } from './front/zswap-limit';
export { zswapVictimEnd, zswapVictimKeep, zswapVictimTake, zswapVictims } from './front/zswap-victim';
export {
  ramzBegin,
  ramzCodec,
  ramzCreate,
  ramzDirect,
  ramzDrop,
  ramzFigure,
  ramzGiveUp,
  ramzIdle,
  ramzIsIn,
  ramzNext,
  ramzOut,
  ramzPeek,
  ramzKeep,
  ramzPut,
  ramzRead,
  ramzRecompress,
  ramzReplace,
  ramzResetPeak,
  ramzSecond,
  ramzUse,
  ramzWrite,
  ramzWritten,
} from './front/ramzswap';

// ── codecs and checksums ─────────────────────────────────────────────────────
export { codecCompress, codecDecompress } from './codec/buffers';

/** CRC-32C of `bytes` bytes at `from`, continued from `crc` (0 at the start). */
export function checksum(from: usize, bytes: u32, crc: u32): u32 {
  return crc32c(crcTables(), from, bytes, crc);
}
