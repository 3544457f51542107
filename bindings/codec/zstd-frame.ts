/**
 * Finds the end of a Zstandard frame (RFC 8878, 3.1.1) from its header and the headers of its blocks.
 *
 *   magic 4 │ descriptor 1 │ window 0-1 │ dictionary 0-4 │ content size 0-8 │ blocks: header 3, data … │ checksum 0-4
 *
 * Node 22.15 decodes a truncated frame to zero bytes without an error. So its decoder must not get one.
 */
const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const DICTIONARY_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;
const BLOCK_HEADER = 3;
const RUN_LENGTH = 1;
const RESERVED = 3;

/** True when the bytes are exactly one whole frame. The contents of its blocks are not checked. */
export function isWholeFrame(bytes: Uint8Array): boolean {
  if (bytes.length < MAGIC.length + 1 || MAGIC.some((byte, at) => bytes[at] !== byte)) return false;
  const descriptor = bytes[MAGIC.length] as number;
  const end = blocksEnd(bytes, MAGIC.length + 1 + headerRest(descriptor));
  return end + (descriptor & 4) === bytes.length;
}

/** Bytes of the header after the descriptor. */
function headerRest(descriptor: number): number {
  const single = (descriptor >> 5) & 1; // single segment: no window, and a content size of at least one byte
  const contentSize = CONTENT_SIZE_BYTES[(descriptor >> 6) as 0 | 1 | 2 | 3];
  return 1 - single + DICTIONARY_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3] + Math.max(single, contentSize);
}

/** Where the last block ends. NaN when a block header is missing or has the reserved type. */
function blocksEnd(bytes: Uint8Array, at: number): number {
  while (at + BLOCK_HEADER <= bytes.length) {
    const header = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);
    const type = (header >> 1) & 3;
    if (type === RESERVED) break;
    at += BLOCK_HEADER + (type === RUN_LENGTH ? 1 : header >> 3);
    if ((header & 1) === 1) return at;
  }
  return NaN;
}
