/** The core's compressors, by number (CODEC_… of abi.ts); both write blocks of one format, which lz4Decompress reads. */
import { CODEC_LZ4HC } from '../abi';
import { lz4Compress } from './lz4';
import { lz4hcCompress } from './lz4hc';
import { compressorTables } from '../mem/scratch';

/**
 * Compresses with the tables of the scratch.
 * @param codec CODEC_LZ4HC, or anything else for lz4
 * @returns bytes written to dst, 0 when they exceed `most`
 */
export function compress(codec: u32, src: usize, bytes: u32, dst: usize, most: u32): u32 {
  if (codec == CODEC_LZ4HC) return lz4hcCompress(src, bytes, dst, most, compressorTables());
  return lz4Compress(src, bytes, dst, most, compressorTables());
}
