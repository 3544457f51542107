/**
 * What the two LZ4 compressors share
 * ==================================
 *
 * The constants of the block format, and the code that writes a block once the matches are known. lz4.ts
 * describes the format.
 */

// ── Constants ────────────────────────────────────────────────────────────────

/** Shortest match that the format can express, in bytes. */
export const MIN_MATCH: u32 = 4;
/** The last bytes of a block are literals: this many. */
export const LAST_LITERALS: u32 = 5;
/** The last match must start this many bytes before the end of the source, or more. */
export const MATCH_START_MARGIN: u32 = 12;
/** A nibble of this value means that length bytes follow. */
export const NIBBLE_MAX: u32 = 15;
/** Longest source in bytes: every position must fit a u16. */
export const SOURCE_MAX: u32 = 65536;

/**
 * Copies 16 bytes in two steps, so it can copy matches at offsets of 8 and more. The SIMD build does this too:
 * one wide copy made the decoder 6 % slower, since a wide load waits for the narrower stores just before it.
 */
/* @inline */ export function copy16(to: usize, from: usize): void {
  store<u64>(to, load<u64>(from));
  store<u64>(to, load<u64>(from, 8), 8);
}

// ── Writing a block ──────────────────────────────────────────────────────────

/**
 * Number of equal bytes at `ip` and at `ref`, up to where a match may end. `ref` is below `ip`.
 * @param last distance from ip to the last 8 bytes of the source, 0 or more
 */
/* @inline */ export function equalBytes(ip: usize, ref: usize, last: u32): u32 {
  const limit = last + (8 - LAST_LITERALS);
  let n: u32 = 0;
  do {
    const difference = load<u64>(ip + n) ^ load<u64>(ref + n);
    if (difference != 0) return min(n + ((<u32>ctz(difference)) >> 3), limit);
    n += 8;
  } while (n <= last);
  while (n < limit && load<u8>(ip + n) == load<u8>(ref + n)) ++n;
  return min(n, limit);
}

/** equalBytes as a call, for places where inlining does not pay. */
export function equalBytesSeldom(ip: usize, ref: usize, last: u32): u32 {
  return equalBytes(ip, ref, last);
}

/** Number of length bytes for a length: 0 up to 14. */
/* @inline */ export function lengthBytes(length: u32): u32 {
  return (length + (255 - NIBBLE_MAX)) / 255;
}

/** Writes the length bytes; `rest` is the length - 15. Returns the address after them. */
/* @inline */ export function writeLength(op: usize, rest: u32): usize {
  for (; rest >= 255; rest -= 255) store<u8>(op++, 255);
  store<u8>(op, <u8>rest);
  return op + 1;
}

/** Writes a token with `low` as its low nibble, then the literals. Returns the address after them. */
function writeLiterals(op: usize, from: usize, literals: u32, low: u32): usize {
  store<u8>(op++, <u8>((min(literals, NIBBLE_MAX) << 4) | low));
  if (literals >= NIBBLE_MAX) op = writeLength(op, literals - NIBBLE_MAX);
  memory.copy(op, from, literals);
  return op + literals;
}

/** Writes a sequence. `length` is the length of the match - 4. Returns the address after it, 0 when it does not fit. */
export function writeSequence(op: usize, room: u32, from: usize, literals: u32, offset: u32, length: u32): usize {
  // The sequence must fit, and the 6 bytes that follow at least: a token and the last literals.
  if (room < 1 + lengthBytes(literals) + literals + 2 + lengthBytes(length) + 1 + LAST_LITERALS) return 0;
  op = writeLiterals(op, from, literals, min(length, NIBBLE_MAX));
  store<u16>(op, <u16>offset);
  op += 2;
  return length < NIBBLE_MAX ? op : writeLength(op, length - NIBBLE_MAX);
}

/** Ends a block with its last literals. Returns the length of the block in bytes, 0 when it does not fit. */
export function finish(dst: usize, dstBytes: u32, op: usize, from: usize, literals: u32): u32 {
  if (dstBytes - <u32>(op - dst) < 1 + lengthBytes(literals) + literals) return 0;
  return <u32>(writeLiterals(op, from, literals, 0) - dst);
}
