/**
 * CRC-32C (Castagnoli), four bytes a step.
 *
 * This is the checksum of images and of slots in a backing store. Its four tables
 * of 256 words are computed once for each instance, in scratch. Tables in a data
 * segment would make the module 4 KiB larger.
 */

const POLYNOMIAL: u32 = 0x82f63b78;

/** Computes the tables: 4 KiB at `tables`. */
export function crcInit(tables: usize): void {
  for (let i: u32 = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (POLYNOMIAL & (0 - (crc & 1)));
    store<u32>(tables + ((<usize>i) << 2), crc);
  }
  for (let i: u32 = 0; i < 768; i++) {
    const previous = load<u32>(tables + ((<usize>i) << 2));
    store<u32>(
      tables + ((<usize>i) << 2),
      (previous >> 8) ^ load<u32>(tables + ((<usize>(previous & 0xff)) << 2)),
      1024,
    );
  }
}

/* @inline */ function at(tables: usize, table: usize, index: u32): u32 {
  return load<u32>(tables + (table << 10) + ((<usize>(index & 0xff)) << 2));
}

/** Continues the checksum `crc` over `bytes` bytes at `from`. The first call takes 0. */
export function crc32c(tables: usize, from: usize, bytes: u32, crc: u32): u32 {
  crc = ~crc;
  while (bytes >= 4) {
    crc ^= load<u32>(from);
    crc = at(tables, 3, crc) ^ at(tables, 2, crc >> 8) ^ at(tables, 1, crc >> 16) ^ at(tables, 0, crc >> 24);
    from += 4;
    bytes -= 4;
  }
  while (bytes != 0) {
    crc = (crc >> 8) ^ at(tables, 0, crc ^ (<u32>load<u8>(from)));
    from += 1;
    bytes -= 1;
  }
  return ~crc;
}
