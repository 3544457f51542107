/**
 * The compressors of the core, by number (CODEC_… in abi.ts). Both write the same format, which lz4Decompress reads.
 */
import { CODEC_LZ4HC } from '../abi';
import { lz4Compress } from './lz4';
import { lz4hcCompress } from './lz4hc';
import { compressorTables } from '../mem/scratch';

/**
 * Compresses, with the compressors' tables in scratch.
 * @param codec CODEC_LZ4HC; any other number means lz4
 * @returns bytes written to dst, 0 when they would exceed `most`
 */
export function compress(codec: u32, src: usize, bytes: u32, dst: usize, most: u32): u32 {
  if (codec == CODEC_LZ4HC) return lz4hcCompress(src, bytes, dst, most, compressorTables());
  return lz4Compress(src, bytes, dst, most, compressorTables());
}
