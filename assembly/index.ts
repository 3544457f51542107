/**
 * The export surface of the core: no logic, numbers only.
 *
 * Every function returns a u32 (JavaScript sees it signed and shifts it back);
 * a value >= 0xFFFFF000 is a negative errno.
 */
import { blockBuffer, blockBufferBytes, pageBuffer, pageBufferBytes, scratchBase } from './mem/scratch';
import { compress } from './codec/compress';
import { lz4Decompress } from './codec/lz4';

export { frameFail as ramFail, frameLimit as ramLimit, framesFree as ramFree } from './mem/frame';
export {
  zpoolMalloc, zpoolMax, zpoolMallocRaw, zpoolSize, zpoolRange, zpoolWrite, zpoolMap, zpoolUnmap,
} from './zpool';
export { pageStore, pageLoad, pageFill } from './page/path';
export {
  objectFree as zpoolFree, tableKind, tableCount, tableSet, tablePut, tableGet, tableLoad, tableDelete, tableClear,
} from './page/store';
export { attach, layoutVersion } from './mem/module';
export { pageBuffer, pageBufferBytes, blockBuffer, blockBufferBytes, scratchBase };

/** LZ4 by one of the compressors: page buffer to block buffer. Bytes written, 0 when they exceed `most`. */
export function codecCompress(codec: u32, bytes: u32, most: u32): u32 {
  return compress(codec, pageBuffer(), min(bytes, pageBufferBytes()), blockBuffer(), min(most, blockBufferBytes()));
}

/** LZ4, dense or not: block buffer to page buffer. Bytes written, EIO for anything malformed. */
export function codecDecompress(bytes: u32, most: u32): u32 {
  return lz4Decompress(blockBuffer(), min(bytes, blockBufferBytes()), pageBuffer(), min(most, pageBufferBytes()));
}
