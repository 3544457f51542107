/** The codecs on the scratch buffers: pages in the page buffer, blocks in the block buffer. */
import { blockBuffer, blockBufferBytes, pageBuffer, pageBufferBytes } from '../mem/scratch';
import { compress } from './compress';
import { lz4Decompress } from './lz4';

/** LZ4 by one of the compressors: page buffer to block buffer. Bytes written, 0 when they exceed `most`. */
export function codecCompress(codec: u32, bytes: u32, most: u32): u32 {
  return compress(codec, pageBuffer(), min(bytes, pageBufferBytes()), blockBuffer(), min(most, blockBufferBytes()));
}

/** LZ4, dense or not: block buffer to page buffer. Bytes written, EIO for anything malformed. */
export function codecDecompress(bytes: u32, most: u32): u32 {
  return lz4Decompress(blockBuffer(), min(bytes, blockBufferBytes()), pageBuffer(), min(most, pageBufferBytes()));
}
