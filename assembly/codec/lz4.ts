/**
 * LZ4 block codec
 * ===============
 *
 * Compresses one page (or any bytes up to 64 KiB) into one LZ4 block, and decompresses it, inside linear
 * memory. Arguments and results are addresses and byte counts; the codec has no state. Two calls may run
 * at the same time on different buffers and, for compression, different tables.
 *
 * It does not implement the LZ4 *frame* format (no magic, no checksum, no stored length), streaming (each
 * block stands alone, there is no dictionary), or high compression (lz4hc.ts writes the same format with
 * another search). A block does not contain its decompressed size: the caller must know it, or pass a
 * capacity and use the returned length.
 *
 * The format
 * ----------
 * A block is a list of sequences. A sequence is a run of literal bytes, then one match: a copy of earlier
 * output.
 *
 *    token          more literal length   literals    offset       more match length
 *   ┌───────┬───────┬───────────────────┬───────────┬────────────┬───────────────────┐
 *   │ lit:4 │ len:4 │ 255 255 … last    │ lit bytes │ u16, LE    │ 255 255 … last    │
 *   └───────┴───────┴───────────────────┴───────────┴────────────┴───────────────────┘
 *     high    low     when lit is 15                  1 … 65535    when len is 15
 *
 * After a nibble of 15, length bytes follow; all are added up, and the first one that is not 255 is the
 * last. The match length is `len + 4`. A match may overlap its own output (offset 1 repeats one byte).
 * The last sequence ends after its literals. An encoder keeps two more rules, because native decoders
 * rely on them for their wide copies: the last 5 bytes are literals, and the last match starts at least
 * 12 bytes before the end.
 *
 * Vital statistics
 * ----------------
 *   scratch            8 KiB: 4,096 u16 positions, cleared at the start of each call
 *   block, source      0 … 65,536 bytes; worst case n + n/255 + 16 bytes of block, ratio at best 255:1
 *   block, decoder     up to 16 MiB of input, any output capacity
 *   static data        256 bytes with SIMD, 64 without, never written
 *   speed              compresses a page of program memory in 3 to 4 µs (0.86 to 0.92 of the time of native
 *                      liblz4), decompresses it in 0.9 to 1.1 µs (0.75 to 0.84 of that time; 0.79 to 0.87
 *                      without SIMD); a zero page in 0.25 and 0.09 µs. Measured with blocks close together:
 *                      gaps between them cost up to 30 % (2-core EPYC, Node 20; liblz4 1.9.2 called through
 *                      the `lz4` package)
 *
 * Trade-offs
 * ----------
 * * The search is greedy and tries one candidate for each hash, no chains. A page of program memory gives
 *   180 to 240 sequences, and branch misses cost more than the work itself. So lengths up to 16 are
 *   counted without a branch.
 * * Memory consists of 8-byte words, and two similar words mostly differ in their low bytes. So after a
 *   match, and before any search, one comparison tests whether the match continues at the same offset
 *   after a gap of one or two bytes. This finds a quarter to a half of all matches: 10 % less time, 3 %
 *   less output. A gap of three would save 3 % more time, but programs outside the corpora would pay up
 *   to 2 % of output for it.
 * * A gap of two is not used when the table has a match after one byte that reaches further. If it were
 *   always used, programs that consist of small records with pointers (a Redis server) would pay 1 to 4 %
 *   of output. The test is made so that its result is nearly always "no": a predictable branch is what
 *   counts, and the test costs 1 to 2 % of time. A test for any match in the table would cost all the
 *   time that gaps save.
 * * The hash covers 42 bits (5 bytes and a quarter of the sixth), though 4 bytes are enough for a match:
 *   it misses short matches and finds longer ones. 40 bits give 0.3 % less output on memory pages and
 *   1.4 % less on text, for 1 % and 5 % more time. 44 bits give 0.3 % and 0.6 % more output, for 1 % and
 *   2 % less time.
 * * Positions are u16: this is the reason for the 64 KiB limit. A table that needs no clearing (epochs)
 *   costs more in the search than the 30 to 60 ns of `memory.fill`.
 * * The decoder is written twice. The loop in `lz4Decompress` handles sequences whose wide copies stay
 *   inside both buffers. It never fails: at any other sequence it stops, and leaves the whole sequence to
 *   `decodeStrict`, which handles ends, errors and tiny blocks. `decodeStrict` alone defines the result;
 *   without the loop the results would be the same.
 * * The ends of matches and runs are not slow either: `decodeStrict` copies in wide steps too, and its
 *   last step is narrower or overlaps the one before.
 * * The compiler decides every branch on ASC_FEATURE_SIMD. Both builds give the same bytes.
 *
 * Source of the design: the published description of the LZ4 block format.
 */

import { EIO } from '../base/errno';
import {
  LAST_LITERALS,
  MATCH_START_MARGIN,
  MIN_MATCH,
  NIBBLE_MAX,
  SOURCE_MAX,
  copy16,
  equalBytes,
  finish,
  lengthBytes,
  writeLength,
} from './block';

// ── Constants ────────────────────────────────────────────────────────────────

/** Longest block that the decoder accepts, in bytes: 255 times this number fits a u32, so no length can wrap around. */
const BLOCK_MAX: u32 = 1 << 24;
/** Number of positions in the table (buckets of one), as a power of two. */
const TABLE_BITS: u32 = 12;
const TABLE_BYTES: usize = 2 << TABLE_BITS;
/** Number of tries (log2) after which the search takes wider steps: it gets through incompressible bytes faster. */
const SKIP_BITS: u32 = 6;
/** 2^64 / golden ratio (odd), shifted so that only the low 42 bits of the operand count. */
const HASH_MULTIPLIER: u64 = 0x9e3779b97f4a7c15 << 22;
/** Bytes that may differ between two matches of the same offset. */
const GAP_MAX: u32 = 2;
/** The largest word whose bytes are zero after the first one, or after the first two. */
const FIRST_BYTE: u64 = 0xff;
const FIRST_TWO_BYTES: u64 = 0xffff;
/** At this distance from the last match start or more, 20 bytes of match can be read, and 8 bytes follow them. */
const FAST_LEFT: u32 = 16;
/** Bytes in dst for a sequence without length bytes, written with a wide copy, and for the bytes that must follow. */
const FAST_ROOM: u32 = 32;

/** Bytes of input that one round of the loop in lz4Decompress needs: token, 16 bytes read as literals, offset. */
const FAST_INPUT: u32 = 20;
/** Bytes of output that one round needs: 16 of literals, 32 of match, one wide store more. */
const FAST_OUTPUT: u32 = 64;
/** From this number of literals on, a call to memory.copy is faster. */
const LONG_RUN: u32 = 512;
/** Bytes of output after a copied run or match: its last step may write beyond its end. */
const OVERSHOOT: u32 = 32;

// ── Copies ───────────────────────────────────────────────────────────────────

/**
 * Copies `bytes` rounded up to a multiple of 16, at least 16. The offset of a match must be `patternLimit()` or more.
 */
/* @inline */ function copyOver(to: usize, from: usize, bytes: u32): void {
  let done: u32 = 0;
  do {
    if (ASC_FEATURE_SIMD) v128.store(to + done, v128.load(from + done));
    else copy16(to + done, from + done);
    done += 16;
  } while (done < bytes);
}

/**
 * Copies `bytes` rounded up to a multiple of 32, at least 32. The offset of a match must be `patternLimit()` or more.
 */
/* @inline */ function copyOver32(to: usize, from: usize, bytes: u32): void {
  let done: u32 = 0;
  do {
    if (ASC_FEATURE_SIMD) {
      v128.store(to + done, v128.load(from + done));
      v128.store(to + done, v128.load(from + done, 16), 16);
    } else {
      copy16(to + done, from + done);
      copy16(to + done + 16, from + done + 16);
    }
    done += 32;
  } while (done < bytes);
}

/** Copies exactly `bytes`, fewer than 16, between ranges that do not overlap. */
/* @inline */ function copyFew(to: usize, from: usize, bytes: u32): void {
  if (bytes >= 8) {
    store<u64>(to, load<u64>(from));
    store<u64>(to + bytes - 8, load<u64>(from + bytes - 8));
  } else if (bytes >= 4) {
    store<u32>(to, load<u32>(from));
    store<u32>(to + bytes - 4, load<u32>(from + bytes - 4));
  } else if (bytes > 0) {
    store<u8>(to, load<u8>(from));
    store<u8>(to + (bytes >> 1), load<u8>(from + (bytes >> 1)));
    store<u8>(to + bytes - 1, load<u8>(from + bytes - 1));
  }
}

/** Copies exactly `bytes`; `from` lies outside the target or at least 16 bytes below it. */
/* @inline */ function copyExact(to: usize, from: usize, bytes: u32): void {
  if (bytes < 16) {
    copyFew(to, from, bytes);
  } else {
    copyOver(to, from, bytes - 15); // stops before it would overshoot
    // The last step overlaps the one before, and writes the same bytes there again.
    copy16(to + bytes - 16, from + bytes - 16);
  }
}

/** Stores the low `bytes` (fewer than 8) of a word. */
/* @inline */ function storeFew(to: usize, word: u64, bytes: u32): void {
  if (bytes & 4) {
    store<u32>(to, <u32>word);
    word >>= 32;
    to += 4;
  }
  if (bytes & 2) {
    store<u16>(to, <u16>word);
    word >>= 16;
    to += 2;
  }
  if (bytes & 1) store<u8>(to, <u8>word);
}

// ── Patterns: matches that overlap themselves ────────────────────────────────
//
// A match at a small offset repeats a pattern of `offset` bytes. The decoder builds one wide word that is
// full of the pattern, and stores it repeatedly, `patternStep` bytes apart. That is the largest multiple of
// the offset that is not wider than the word.

/**
 * With SIMD: 16 rows of 16 bytes. Row n counts modulo n; it gives the lanes for a swizzle. Without SIMD: 8
 * factors 1 + 2^k + 2^2k …, k = 8 * offset. The product of a pattern and its factor has copies of the pattern
 * side by side, and its high bits are lost.
 */
const PATTERNS: usize = ASC_FEATURE_SIMD
  ? memory.data<u8>(
      [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0,
        1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1,
        2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2,
        3, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3,
        4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 6, 7, 8,
        9, 10, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
        12, 0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
        14, 0,
      ],
      16,
    )
  : memory.data<u64>(
      [
        0, 0x0101010101010101, 0x0001000100010001, 0x0001000001000001, 0x0000000100000001, 0x0000010000000001,
        0x0001000000000001, 0x0100000000000001,
      ],
      8,
    );

/** Offsets below this one repeat within one wide word. */
/* @inline */ function patternLimit(): u32 {
  return ASC_FEATURE_SIMD ? 16 : 8;
}

/** Distance between two stores of a pattern, in bytes, for offsets 1 … patternLimit - 1. */
/* @inline */ function patternStep(offset: u32): u32 {
  if (ASC_FEATURE_SIMD) return ((<u32>((<u64>0xedcba98fdbefeff0) >> ((<u64>offset) << 2))) & 15) + 1;
  return (((<u32>0x65475770) >> (offset << 2)) & 15) + 1;
}

/** 16 bytes full of the pattern of `offset` bytes at `from`. Reads 16 bytes. */
/* @inline */ function pattern128(from: usize, offset: u32): v128 {
  return i8x16.swizzle(v128.load(from), v128.load(PATTERNS + ((<usize>offset) << 4)));
}

/** 8 bytes full of the pattern of `offset` bytes at `from`. Reads 8 bytes. */
/* @inline */ function pattern64(from: usize, offset: u32): u64 {
  const mask = ((<u64>1) << ((<u64>offset) << 3)) - 1;
  return (load<u64>(from) & mask) * load<u64>(PATTERNS + ((<usize>offset) << 3));
}

/** Writes a match of a small offset: `bytes`, and up to one wide word more. */
/* @inline */ function patternOver(to: usize, offset: u32, bytes: u32): void {
  const step = patternStep(offset);
  let done: u32 = 0;
  if (ASC_FEATURE_SIMD) {
    const word = pattern128(to - offset, offset);
    do {
      v128.store(to + done, word);
      done += step;
    } while (done < bytes);
  } else {
    const word = pattern64(to - offset, offset);
    do {
      store<u64>(to + done, word);
      done += step;
    } while (done < bytes);
  }
}

/** Writes exactly `bytes` of a match of a small offset. One wide word must be readable at its source. */
/* @inline */ function patternExact(to: usize, offset: u32, bytes: u32): void {
  const step = patternStep(offset);
  if (ASC_FEATURE_SIMD) {
    const word = pattern128(to - offset, offset);
    while (bytes >= 16) {
      v128.store(to, word);
      to += step;
      bytes -= step;
    }
    let low = i64x2.extract_lane(word, 0);
    if (bytes & 8) {
      store<u64>(to, low);
      low = i64x2.extract_lane(word, 1);
      to += 8;
    }
    storeFew(to, low, bytes);
  } else {
    const word = pattern64(to - offset, offset);
    while (bytes >= 8) {
      store<u64>(to, word);
      to += step;
      bytes -= step;
    }
    storeFew(to, word, bytes);
  }
}

/** Copies exactly `bytes` of a match at any offset. `room` is the bytes left in dst, `bytes` or more. */
function matchExact(to: usize, offset: u32, bytes: u32, room: u32): void {
  if (offset >= 16) {
    copyExact(to, to - offset, bytes);
  } else if (!ASC_FEATURE_SIMD && offset >= 8) {
    let from = to - offset;
    for (; bytes >= 8; bytes -= 8, to += 8, from += 8) store<u64>(to, load<u64>(from));
    copyFew(to, from, bytes);
  } else if (room + offset >= patternLimit()) {
    patternExact(to, offset, bytes);
  } else {
    // The last few bytes of dst: a wide read would reach beyond its end.
    for (let i: u32 = 0; i < bytes; ++i) store<u8>(to + i, load<u8>(to + i - offset));
  }
}

// ── Compression ──────────────────────────────────────────────────────────────

/** Address of the bucket for the bytes at `ip`; reads 8 bytes. */
/* @inline */ function bucketOf(table: usize, ip: usize): usize {
  return table + ((<usize>((load<u64>(ip) * HASH_MULTIPLIER) >> (64 - TABLE_BITS))) << 1);
}

/** Stores a position in a bucket and returns the one that was there. */
/* @inline */ function exchange(bucket: usize, position: u32): u32 {
  const before = <u32>load<u16>(bucket);
  store<u16>(bucket, <u16>position);
  return before;
}

/** Length of a match after its first 4 bytes, up to 16. There is no branch, since it could not be predicted. */
/* @inline */ function equalOf16(ip: usize, ref: usize): u32 {
  const low = (<u32>ctz(load<u64>(ip, 4) ^ load<u64>(ref, 4))) >> 3; // ctz(0) is 64: 8 bytes
  const high = (<u32>ctz(load<u64>(ip, 12) ^ load<u64>(ref, 12))) >> 3;
  return low + (high & (0 - (low >> 3))); // the second word counts when the first is equal
}

/**
 * 0 when the match of ip + 1 with `ref` is better than the match of ip + 2 at `offset`, not 0 otherwise. It is better
 * when 8 bytes are equal: it ends further on. With 7 equal bytes it ends at the same byte and saves a literal, but
 * loses an offset that may be good for more. So 7 are enough only when the offset ends here: the third byte of the next
 * word differs (a gap could skip the first two).
 */
/* @inline */ function compareWithGap(ip: usize, ref: usize, offset: u32): u64 {
  const offsetEnds = load<u8>(ip, 10) != load<u8>(ip + 10 - offset);
  return (load<u64>(ip, 1) ^ load<u64>(ref)) << ((<u64>offsetEnds) << 3);
}

/**
 * Compresses one block.
 *
 * The block keeps the end rules of LZ4, so liblz4 decodes it into a buffer of exactly `srcBytes`. The block
 * depends on the source bytes alone, not on the old contents of the table, the build, or `dstBytes`.
 *
 * @param src      address of the source
 * @param srcBytes its length, 0 … 65,536 bytes; 0 gives the one-byte block 0x00
 * @param dst      address of the buffer for the block; it must not overlap source or table
 * @param dstBytes its capacity in bytes; srcBytes + srcBytes / 255 + 16 is always enough. After a result
 *                 of 0, and after the end of a block, the contents are undefined.
 * @param table    address of 8 KiB of scratch, 2-byte aligned for speed; contents are undefined before and after
 * @returns bytes of the block, 1 or more; 0 when it does not fit `dstBytes` or `srcBytes` is above 65,536
 */
export function lz4Compress(src: usize, srcBytes: u32, dst: usize, dstBytes: u32, table: usize): u32 {
  if (srcBytes > SOURCE_MAX) return 0;
  // The ends may be 2^32, which is 0 here. So the code uses them in differences only and never compares them.
  const srcEnd = src + srcBytes;
  const dstEnd = dst + dstBytes;
  if (srcBytes <= MATCH_START_MARGIN) return finish(dst, dstBytes, dst, src, srcBytes);

  memory.fill(table, 0, TABLE_BYTES); // every bucket holds position 0; nothing else would enter that position

  const lastStart = srcEnd - MATCH_START_MARGIN;
  const lastWord = srcEnd - 8;
  let op = dst;
  let anchor = src; // first byte not yet in the block
  let ip = src + 1;
  while (true) {
    if (ip > lastStart) return finish(dst, dstBytes, op, anchor, <u32>(srcEnd - anchor));
    // Search the next position whose bucket names the same 4 bytes. The next bucket is computed before the current
    // one is tested. There are two tries in a round, so each branch has its own history in the predictor.
    let tries: u32 = 1 << SKIP_BITS;
    let bucket = bucketOf(table, ip);
    let ref: usize;
    while (true) {
      const step = tries >> SKIP_BITS;
      ref = src + exchange(bucket, <u32>(ip - src));
      if (step > <u32>(lastStart - ip)) return finish(dst, dstBytes, op, anchor, <u32>(srcEnd - anchor));
      bucket = bucketOf(table, ip + step);
      if (load<u32>(ref) == load<u32>(ip)) break;
      ip += step;
      tries += 2;
      ref = src + exchange(bucket, <u32>(ip - src));
      if (step > <u32>(lastStart - ip)) return finish(dst, dstBytes, op, anchor, <u32>(srcEnd - anchor));
      bucket = bucketOf(table, ip + step);
      if (load<u32>(ref) == load<u32>(ip)) break;
      ip += step;
    }
    // The match may begin earlier: the search skips positions, and the table forgets some.
    while (ip > anchor && ref > src && load<u8>(ip - 1) == load<u8>(ref - 1)) {
      --ip;
      --ref;
    }

    while (true) {
      const literals = <u32>(ip - anchor);
      const offset = <u32>(ip - ref);
      const left = <u32>(lastStart - ip); // also the distance from ip + MIN_MATCH to the last 8 bytes
      let length: u32;
      if (left >= FAST_LEFT) length = equalOf16(ip, ref);
      else length = equalBytes(ip + MIN_MATCH, ref + MIN_MATCH, left);

      if (literals < NIBBLE_MAX && left >= FAST_LEFT && <u32>(dstEnd - op) >= FAST_ROOM) {
        store<u8>(op++, <u8>((literals << 4) | min(length, NIBBLE_MAX)));
        copy16(op, anchor);
      } else {
        // The sequence must fit, and the 6 bytes that follow at least: a token and the last literals.
        const needed: u32 = 1 + lengthBytes(literals) + literals + 2 + 1 + LAST_LITERALS;
        if (<u32>(dstEnd - op) < needed) return 0;
        store<u8>(op++, <u8>((min(literals, NIBBLE_MAX) << 4) | min(length, NIBBLE_MAX)));
        if (literals >= NIBBLE_MAX) op = writeLength(op, literals - NIBBLE_MAX);
        memory.copy(op, anchor, literals);
      }
      op += literals;
      store<u16>(op, <u16>offset);
      op += 2;
      ip += length + MIN_MATCH;
      if (length >= NIBBLE_MAX) {
        if (left >= FAST_LEFT && length == 16) {
          // equalOf16 stopped here
          const more = equalBytes(ip, ref + MIN_MATCH + 16, <u32>(lastWord - ip));
          ip += more;
          length += more;
        }
        const rest = length - NIBBLE_MAX;
        if (<u32>(dstEnd - op) < rest / 255 + 1 + 1 + LAST_LITERALS) return 0;
        op = writeLength(op, rest);
      }

      anchor = ip;
      if (ip > lastStart) return finish(dst, dstBytes, op, anchor, <u32>(srcEnd - anchor));
      // Enter one position inside the match, then try its end: often the next match begins there.
      store<u16>(bucketOf(table, ip - 1), <u16>(ip - 1 - src));
      ref = src + exchange(bucketOf(table, ip), <u32>(ip - src));
      if (load<u32>(ref) == load<u32>(ip)) continue;
      // Else the match may continue after a gap, for example where two structures differ in the low bytes of a word.
      if (<u32>(lastStart - ip) < GAP_MAX) break;
      const difference = load<u64>(ip) ^ load<u64>(ip - offset);
      if (difference > FIRST_TWO_BYTES) break;
      // Before a gap of two bytes, look in the table for a better match after one byte. There is seldom one, and a
      // single branch with all conditions is predictable; so the look-up is done for a gap of one byte too.
      ref = src + exchange(bucketOf(table, ip + 1), <u32>(ip + 1 - src));
      if (((<u64>(difference <= FIRST_BYTE)) | compareWithGap(ip, ref, offset)) == 0) {
        ++ip;
        continue;
      }
      ip += 1 + <u32>(difference > FIRST_BYTE);
      ref = ip - offset;
    }
    ++ip;
  }
}

// ── Decompression ────────────────────────────────────────────────────────────

/**
 * Decodes from the token at `ip` on; dst is filled up to `op`. This function defines what the decoder accepts. It is
 * separate also because a call (memory.copy) in the same function makes the loop of lz4Decompress 4 % slower.
 */
function decodeStrict(ip: usize, srcEnd: usize, op: usize, dst: usize, dstEnd: usize): u32 {
  while (ip != srcEnd) {
    const token = <u32>load<u8>(ip++);
    let bytes = token >> 4;
    if (bytes == NIBBLE_MAX) {
      let more: u32;
      do {
        if (ip == srcEnd) return EIO;
        more = load<u8>(ip++);
        bytes += more;
      } while (more == 255);
    }
    if (bytes > <u32>(srcEnd - ip) || bytes > <u32>(dstEnd - op)) return EIO;
    if (bytes > LONG_RUN) memory.copy(op, ip, bytes);
    else copyExact(op, ip, bytes);
    ip += bytes;
    op += bytes;
    if (ip == srcEnd) return <u32>(op - dst);

    if (<u32>(srcEnd - ip) < 2) return EIO;
    const offset = <u32>load<u16>(ip);
    ip += 2;
    if (offset - 1 >= <u32>(op - dst)) return EIO;
    bytes = token & NIBBLE_MAX;
    if (bytes == NIBBLE_MAX) {
      let more: u32;
      do {
        if (ip == srcEnd) return EIO;
        more = load<u8>(ip++);
        bytes += more;
      } while (more == 255);
    }
    bytes += MIN_MATCH;
    const room = <u32>(dstEnd - op);
    if (bytes > room) return EIO;
    matchExact(op, offset, bytes, room);
    op += bytes;
  }
  return EIO; // the block is empty, or ends after a match
}

/**
 * Decompresses one block.
 *
 * Accepts every well-formed block, also a block that breaks the end rules of the encoder (lz4js writes such).
 * Whatever the block holds, it never reads outside the block or below `dst`, and never writes outside the
 * capacity of `dst`. It may change the bytes between the returned length and `dstBytes`; after an error, all
 * of `dst`.
 *
 * @param src      address of the block
 * @param srcBytes its exact length in bytes, 1 … 16 MiB
 * @param dst      address of the output; it must not overlap the block
 * @param dstBytes its capacity in bytes, 0 or more
 * @returns bytes of output (0 for the block 0x00); EIO when the block is empty, longer than 16 MiB,
 *          truncated, has a match that begins before `dst` or has offset 0, or needs more than `dstBytes`
 */
export function lz4Decompress(src: usize, srcBytes: u32, dst: usize, dstBytes: u32): u32 {
  if (srcBytes > BLOCK_MAX) return EIO;
  const srcEnd = src + srcBytes; // may be 2^32, which is 0 here: for differences only, as in lz4Compress
  const dstEnd = dst + dstBytes;
  let ip = src;
  let op = dst;

  // `break` leaves ip and op at the start of the sequence; decodeStrict then decodes it from there.
  if (srcBytes >= FAST_INPUT && dstBytes >= FAST_OUTPUT) {
    const ipLimit = srcEnd - FAST_INPUT;
    const opLimit = dstEnd - FAST_OUTPUT;
    const copyLimit = dstEnd - OVERSHOOT;
    while (ip <= ipLimit && op <= opLimit) {
      const token = <u32>load<u8>(ip);
      let from = ip + 1;
      let to = op;
      let bytes = token >> 4;
      if (bytes == NIBBLE_MAX) {
        let more: u32;
        do {
          more = load<u8>(from++);
          bytes += more;
        } while (more == 255 && from <= ipLimit);
        if (from > ipLimit || bytes > <u32>(ipLimit - from) || bytes > <u32>(opLimit - to)) break;
        copyOver(to, from, bytes);
      } else {
        copy16(to, from);
      }
      from += bytes;
      to += bytes;

      const offset = <u32>load<u16>(from);
      from += 2;
      if (offset - 1 >= <u32>(to - dst)) break;
      bytes = token & NIBBLE_MAX;
      if (bytes == NIBBLE_MAX) {
        let more: u32;
        do {
          more = load<u8>(from++);
          bytes += more;
        } while (more == 255 && from <= ipLimit);
        if (more == 255 || bytes + MIN_MATCH > <u32>(copyLimit - to)) break;
        bytes += MIN_MATCH;
        if (offset >= patternLimit()) copyOver32(to, to - offset, bytes);
        else patternOver(to, offset, bytes);
      } else {
        bytes += MIN_MATCH;
        if (offset >= 8) {
          const ref = to - offset;
          store<u64>(to, load<u64>(ref));
          store<u64>(to, load<u64>(ref, 8), 8);
          store<u32>(to, load<u32>(ref, 16), 16);
        } else if (ASC_FEATURE_SIMD) {
          // Two stores are enough for 18 bytes: the step is 12 or more.
          const word = pattern128(to - offset, offset);
          v128.store(to, word);
          v128.store(to + patternStep(offset), word);
        } else {
          patternOver(to, offset, bytes);
        }
      }
      ip = from;
      op = to + bytes;
    }
  }

  return decodeStrict(ip, srcEnd, op, dst, dstEnd);
}
