/** The codecs on the scratch buffers: pages in the page buffer, blocks in the block buffer. */
import { blockBuffer, blockBufferBytes, pageBuffer, pageBufferBytes } from '../mem/scratch';
import { compress } from './compress';
import { lz4Decompress } from './lz4';

/** Compresses the page buffer into the block buffer. Returns the bytes written, 0 when they would exceed `most`. */
export function codecCompress(codec: u32, bytes: u32, most: u32): u32 {
  return compress(codec, pageBuffer(), min(bytes, pageBufferBytes()), blockBuffer(), min(most, blockBufferBytes()));
}

/** Decompresses the block buffer into the page buffer. Returns the bytes written, EIO for a malformed block. */
export function codecDecompress(bytes: u32, most: u32): u32 {
  return lz4Decompress(blockBuffer(), min(bytes, blockBufferBytes()), pageBuffer(), min(most, pageBufferBytes()));
}
