/**
 * LZ4 block codec, high compression
 * =================================
 *
 * Writes blocks in the format of lz4.ts, in ten times the time. They are smaller, and lz4Decompress decodes
 * them faster. It is meant for pages that have been cold for long. There is no streaming.
 *
 * How it works
 * ------------
 * The source is cut into segments. Each segment takes four steps:
 *
 *   link    enter every position into the chain of the positions whose next 4 bytes have the same hash
 *   search  find the longest match that begins at each position
 *   parse   backwards: find the cheapest path from each position to the end of the segment
 *   write   forwards: write the sequences of the cheapest path
 *
 * An LZ4 match costs 3 bytes, whatever its offset and (nearly) whatever its length, and after a longer match
 * the rest never costs more. So `parse` needs only the longest match at each position. Its result is optimal,
 * apart from length bytes and the borders of segments.
 *
 * `search` does not start again at each position. Say the longest match that is known at position i ends at
 * `reach`. A match that begins at i or later and ends further on must contain the 4 bytes that end with the
 * byte at `reach`:
 *
 *           i                       at       reach
 *   ────────┼────────────────────────┼──┴──┴──┼──────────
 *           └ longest match so far ───────────┘ (`reach` is the first byte after it)
 *
 * All such matches are on one chain, the one of `at` = reach - 3. `search` follows it once. It extends each match
 * that it finds to both sides, and notes it at the position where it begins, which is i or later. The positions
 * after i inherit the match of i, and take the matches noted for them. A new search begins only when `reach` has
 * changed. Without a match, reach is i + 3, and this is the usual search.
 *
 * Work area, 16 KiB
 * -----------------
 *   source up to 4096 bytes: all links are made at once, then the plan overwrites the heads
 *   ┌──────────────────────┬──────────────────────┐
 *   │ chain, 4096 × u16    │ heads, then plan     │      plan: 2048 × (u16 offset, u16 length or cost)
 *   └──────────────────────┴──────────────────────┘
 *   longer sources: the chain is a ring of the last 4096 positions
 *   ┌──────────────────────┬───────────┬──────────┐
 *   │ chain                │ heads     │ plan     │
 *   └──────────────────────┴───────────┴──────────┘
 *
 * Vital statistics
 * ----------------
 *   source         0 … 65,536 bytes; worst case n + n/255 + 16 bytes of block
 *   work           at most 2 chains for a position, CHAIN_TRIES links of each, NICE_LENGTH bytes compared to each
 *                  side at a link: so the time is never quadratic. Zeros and periods take 0.1 to 2 ns a byte, noise
 *                  11 to 16, the worst source found (two or four values at random) 30 to 50
 *   size           1.01 to 1.02 of liblz4 at level 9 on pages of program memory, 0.8 to 0.9 of lz4.ts
 *   speed          such a page takes 29 to 38 µs, 0.8 to 1.15 of the time of liblz4 at level 9; decoding takes 0.88
 *                  of the time for the blocks of lz4.ts (2-core EPYC, Node 20; liblz4 1.9.2 as in lz4.ts)
 *
 * Trade-offs
 * ----------
 * * CHAIN_TRIES: 8 takes 2 % less time for 0.2 % more output; 64 gives 0.6 % less output for 20 % more time.
 * * No chain is followed where the current match is longer than NICE_LENGTH: in memory pages such matches end
 *   where their object ends.
 * * Sources above 4 KiB: the ring forgets positions. A match more than about 3 KiB back is found only when it is
 *   the last one of its hash. So blocks of 64 KiB are 2 to 3 % larger than with a chain of all positions (which
 *   would take 128 KiB): 3 to 5 % larger than the blocks of liblz4, in two thirds of its time.
 *
 * Source of the design: the published description of the LZ4 block format. Hash chains and cheapest paths are
 * common knowledge; one search for each `reach` is our own.
 */

import {
  MATCH_START_MARGIN,
  MIN_MATCH,
  NIBBLE_MAX,
  SOURCE_MAX,
  equalBytes,
  equalBytesSeldom,
  finish,
  writeSequence,
} from './block';

// ── Constants ────────────────────────────────────────────────────────────────

/** Positions that the chains remember: all positions of a page. A power of two. */
const CHAIN_POSITIONS: u32 = 4096;
const CHAIN_BYTES: usize = 2 * CHAIN_POSITIONS;
/** Number of chain heads, as a power of two: for sources of up to CHAIN_POSITIONS bytes, and for longer ones. */
const HEAD_BITS: u32 = 12;
const HEAD_BITS_LONG: u32 = 11;
/** No longer match is searched for when a match has this length. */
const NICE_LENGTH: u32 = 64;
/** Positions in a segment, for the same two cases. The plan has NICE_LENGTH items more. */
const SEGMENT: u32 = 2048 - NICE_LENGTH;
const SEGMENT_LONG: u32 = 1024 - NICE_LENGTH;
/** The most links of a chain that a search follows. */
const CHAIN_TRIES: u32 = 10;
/** 2^32 / golden ratio, odd. */
const HASH_MULTIPLIER: u32 = 0x9e3779b1;

// ── Plan ─────────────────────────────────────────────────────────────────────
//
// The plan has an item of 4 bytes for each position of a segment: offset and length of a match that begins there.
// `parse` replaces the length by the cost, and the offset by 0 where a literal is cheaper.

/* @inline */ function match(offset: u32, length: u32): u32 {
  return offset | (length << 16);
}

/* @inline */ function offsetOf(item: usize): u32 {
  return <u32>load<u16>(item);
}

/* @inline */ function lengthOf(item: usize): u32 {
  return <u32>load<u16>(item, 2);
}

/* @inline */ function costOf(item: usize): u32 {
  return <u32>load<u16>(item, 2);
}

// ── Steps ────────────────────────────────────────────────────────────────────

/* @inline */ function chainLink(chain: usize, position: u32): usize {
  return chain + ((<usize>(position & (CHAIN_POSITIONS - 1))) << 1);
}

/** Enters the positions `from` to `to` - 1 into their chains. A link of 0 means position 0 and the end of the chain. */
function link(src: usize, from: u32, to: u32, chain: usize, heads: usize, headBits: u32): void {
  for (let i = from; i < to; ++i) {
    const head = heads + ((<usize>((load<u32>(src + i) * HASH_MULTIPLIER) >> (32 - headBits))) << 1);
    store<u16>(chainLink(chain, i), load<u16>(head));
    store<u16>(head, <u16>i);
  }
}

/**
 * Number of equal bytes before `ip` and before `ref`, up to `most`.
 * @param below bytes of source before ref. When fewer than 8 of them are left, they count as different.
 */
/* @inline */ function equalBefore(ip: usize, ref: usize, most: u32, below: u32): u32 {
  let n: u32 = 0;
  for (; n < most && n + 8 <= below; n += 8) {
    const difference = load<u64>(ip - n - 8) ^ load<u64>(ref - n - 8);
    if (difference != 0) return min(n + ((<u32>clz(difference)) >> 3), most);
  }
  return min(n, most);
}

/**
 * Finds the longest match for each position of a segment, and puts it into the plan.
 * @param lastStart last position where a match may begin
 * @param oldest    oldest position that the chains remember, 0 for all
 */
function search(src: usize, from: u32, to: u32, lastStart: u32, oldest: u32, chain: usize, plan: usize): void {
  memory.fill(plan, 0, (<usize>(to - from + NICE_LENGTH)) << 2);
  const items = plan - ((<usize>from) << 2); // address of the item of position 0, if the plan began there
  let reach: u32 = 0; // end of the longest match at i, or i + 3
  let offset: u32 = 0;
  let followed: u32 = 0; // the last reach for which a chain was followed
  let searchFrom = max<u32>(from, 1); // no chain is followed before this position
  let i = from;
  while (i < to) {
    let item = items + ((<usize>i) << 2);
    while (true) {
      if (i + lengthOf(item) > reach) {
        reach = i + lengthOf(item);
        offset = offsetOf(item);
      }
      if (reach < i + MIN_MATCH) {
        reach = i + (MIN_MATCH - 1);
        offset = 0;
      }
      const at = reach - (MIN_MATCH - 1);
      if (i < searchFrom || reach == followed || at > lastStart) break;
      if (reach > i + NICE_LENGTH) {
        searchFrom = reach - NICE_LENGTH;
        break;
      }
      followed = reach;

      const quad = load<u32>(src + at);
      let tail = src + at; // 4 bytes must be equal here for the match to be longer than the best one at i
      let tailQuad = quad;
      let q = at;
      let tries = CHAIN_TRIES;
      do {
        q = <u32>load<u16>(chainLink(chain, q));
        const distance = at - q;
        if (load<u32>(tail - distance) != tailQuad || load<u32>(src + q) != quad) continue;
        const start = at - equalBefore(src + at, src + q, min(at - i, q), q);
        const more = equalBytes(src + at + MIN_MATCH, src + q + MIN_MATCH, lastStart - at);
        const length = at + MIN_MATCH + more - start;
        const found = items + ((<usize>start) << 2);
        if (length <= lengthOf(found)) continue;
        store<u32>(found, match(distance, length));
        if (more >= NICE_LENGTH) {
          searchFrom = start;
          break;
        }
        if (start == i) {
          tail = src + i + length - (MIN_MATCH - 1);
          tailQuad = load<u32>(tail);
        }
      } while (q > oldest && --tries != 0);
    }
    // The next positions inherit the match, up to the first one that needs work.
    const same = min(reach == followed ? reach - (MIN_MATCH - 1) : min(searchFrom, reach - (MIN_MATCH - 1)), to);
    do {
      store<u32>(item, match(offset, reach - i));
      item += 4;
      ++i;
    } while (i < same && lengthOf(item) == 0);
  }
}

/** Decides for each position of a segment between its match and a literal: the cheaper one. */
function parse(plan: usize, positions: u32): void {
  const end = plan + ((<usize>positions) << 2);
  store<u32>(end, 0);
  let next: u32 = 0; // cost from the next position on
  for (let item = end; item != plan;) {
    item -= 4;
    const length = lengthOf(item); // 3 for no match: such a match is never cheaper than a literal
    const behind = costOf(min(item + ((<usize>length) << 2), end));
    const taken: u32 = behind + 3 + <u32>(length >= NIBBLE_MAX + MIN_MATCH);
    const literal = next + 1;
    next = min(taken, literal);
    store<u32>(item, match(taken <= literal ? offsetOf(item) : 0, next));
  }
}

/**
 * Compresses one block with high compression.
 *
 * As with lz4Compress, the block keeps the end rules of LZ4 and depends on the source bytes alone.
 *
 * @param src      address of the source
 * @param srcBytes its length, 0 … 65,536 bytes; 0 gives the one-byte block 0x00
 * @param dst      address of the buffer for the block; it must not overlap source or work area
 * @param dstBytes its capacity in bytes; srcBytes + srcBytes / 255 + 16 is always enough. After a result
 *                 of 0, and after the end of a block, the contents are undefined.
 * @param work     address of 16 KiB of scratch, 4-byte aligned for speed; contents are undefined before and after
 * @returns bytes of the block, 1 or more; 0 when it does not fit `dstBytes` or `srcBytes` is above 65,536
 */
export function lz4hcCompress(src: usize, srcBytes: u32, dst: usize, dstBytes: u32, work: usize): u32 {
  if (srcBytes > SOURCE_MAX) return 0;
  if (srcBytes <= MATCH_START_MARGIN) return finish(dst, dstBytes, dst, src, srcBytes);

  const long = srcBytes > CHAIN_POSITIONS;
  const headBits = long ? HEAD_BITS_LONG : HEAD_BITS;
  const segment = long ? SEGMENT_LONG : SEGMENT;
  const heads = work + CHAIN_BYTES;
  const plan = long ? heads + (2 << HEAD_BITS_LONG) : heads;
  memory.fill(heads, 0, 2 << headBits); // every head names position 0, so that all chains contain it

  const lastStart = srcBytes - MATCH_START_MARGIN;
  const dstEnd = dst + dstBytes; // may be 2^32, which is 0 here: for differences only
  let op = dst;
  let anchor: u32 = 0; // first position not yet in the block
  let linked: u32 = 0;
  let i: u32 = 0;
  while (i <= lastStart) {
    const from = i;
    const to = min(from + segment, lastStart + 1);
    const ahead = long ? min(to + NICE_LENGTH, srcBytes - 3) : srcBytes - 3; // `search` needs the links up to here
    if (linked < ahead) {
      link(src, linked, ahead, work, heads, headBits);
      linked = ahead;
    }
    search(src, from, to, lastStart, linked - min(linked, CHAIN_POSITIONS), work, plan);
    parse(plan, to - from);

    while (i < to) {
      const offset = offsetOf(plan + ((<usize>(i - from)) << 2));
      if (offset == 0) {
        ++i;
        continue;
      }
      const ip = src + i;
      const length = equalBytesSeldom(ip + MIN_MATCH, ip + MIN_MATCH - offset, lastStart - i);
      op = writeSequence(op, <u32>(dstEnd - op), src + anchor, i - anchor, offset, length);
      if (op == 0) return 0;
      i += length + MIN_MATCH;
      anchor = i;
    }
  }
  return finish(dst, dstBytes, op, src + anchor, srcBytes - anchor);
}
