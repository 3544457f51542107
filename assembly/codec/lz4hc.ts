/**
 * LZ4 block codec, high compression
 * =================================
 *
 * Writes blocks of the same format as lz4.ts (decoded by lz4Decompress there, and faster), smaller ones, in
 * ten times the time: for pages that were cold for long and are worth a second look. It is no other format
 * and no streaming coder.
 *
 * How it works
 * ------------
 * The source is worked through in segments, each in four steps:
 *
 *   link    every position is entered into the chain of those whose next 4 bytes have the same hash
 *   search  for every position, the longest match that begins there
 *   weigh   backwards: the cheapest way from each position to the segment's end
 *   write   forwards: the sequences of the cheapest way
 *
 * An LZ4 match costs 3 bytes however far and (nearly) however long it is, and what remains behind a longer one
 * never costs more. So the longest match at each position is all that `weigh` has to know, and its result is
 * the best there is, but for length bytes and the borders of segments.
 *
 * `search` does not look for each position anew. Say that what is known reaches, from position i, to `reach`.
 * A match that begins at i or behind and goes further must contain the 4 bytes that end at `reach` itself:
 *
 *           i                       at       reach
 *   ────────┼────────────────────────┼──┴──┴──┼──────────
 *           └ longest match so far ───────────┘ (first byte that is not in it)
 *
 * All of these lie on one chain, that of `at` = reach - 3. It is followed once; what is found is extended both
 * ways and put down where it begins, as long as that is not before i. Positions behind i inherit the match and
 * take over what was put down for them; there is nothing to look for until `reach` has changed. Without a match
 * reach is i + 3, and this is the usual search.
 *
 * Work area, 16 KiB
 * -----------------
 *   source up to 4096 bytes: links are made at once, and the plan takes the place of the heads
 *   ┌──────────────────────┬──────────────────────┐
 *   │ chain, 4096 × u16    │ heads, then plan     │      plan: 2048 × (u16 offset, u16 length or cost)
 *   └──────────────────────┴──────────────────────┘
 *   longer ones: the chain is a ring of the last 4096 positions
 *   ┌──────────────────────┬───────────┬──────────┐
 *   │ chain                │ heads     │ plan     │
 *   └──────────────────────┴───────────┴──────────┘
 *
 * Vital statistics
 * ----------------
 *   source         0 … 65,536 bytes; worst case n + n/255 + 16 bytes of block
 *   work           at most 2 chains a position, CHAIN_TRIES links of each, ENOUGH bytes compared either way at a
 *                  link: so no source is quadratic. Zeros and periods take 0.1 to 2 ns a byte, noise 11 to
 *                  16, the worst found (two or four values at random) 30 to 50
 *   size           1.01 to 1.02 of liblz4's level 9 on pages of program memory, 0.8 to 0.9 of lz4.ts
 *   speed          such a page in 29 to 38 µs, 0.8 to 1.15 of liblz4's time at level 9; decoded in 0.88 of
 *                  the time for lz4.ts's blocks (2-core EPYC, Node 20; liblz4 1.9.2 as in lz4.ts)
 *
 * Trade-offs
 * ----------
 * * CHAIN_TRIES: 8 takes 2 % less time for 0.2 % more output, 64 gives 0.6 % less for 20 % more.
 * * A chain is not followed where the match at hand is longer than ENOUGH: in memory pages such matches end
 *   where their object ends.
 * * Blocks above 4 KiB: the ring forgets. A match further away than about 3 KiB is found only when it is the
 *   last one of its hash, so 64 KiB blocks are 2 to 3 % larger than with a chain of all positions, which would
 *   take 128 KiB: 3 to 5 % above liblz4's, in two thirds of its time.
 *
 * Source of the design: the published description of the LZ4 block format; hash chains and cheapest paths
 * are common knowledge; to search once for each `reach` is our own.
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

/** Positions that the chains remember; a page's all. A power of two. */
const PLACES: u32 = 4096;
const CHAIN_BYTES: usize = 2 * PLACES;
/** Heads of chains, as a power of two: for sources of up to PLACES bytes, and for longer ones. */
const HEAD_BITS: u32 = 12;
const HEAD_BITS_LONG: u32 = 11;
/** Length of a match from which on no longer one is looked for. */
const ENOUGH: u32 = 64;
/** Positions planned at once, likewise. ENOUGH entries more are in the plan. */
const SEGMENT: u32 = 2048 - ENOUGH;
const SEGMENT_LONG: u32 = 1024 - ENOUGH;
/** Links of a chain that are followed. */
const CHAIN_TRIES: u32 = 10;
/** 2^32 / golden ratio, odd. */
const HASH_MULTIPLIER: u32 = 0x9e3779b1;

// ── Plan ─────────────────────────────────────────────────────────────────────
//
// An entry of 4 bytes for each position of a segment: a match that begins there, as offset and length. `weigh`
// replaces the length by the cost, and the offset by 0 where a literal is cheaper.

/* @inline */ function match(offset: u32, length: u32): u32 {
  return offset | (length << 16);
}

/* @inline */ function offsetOf(entry: usize): u32 {
  return <u32>load<u16>(entry);
}

/* @inline */ function lengthOf(entry: usize): u32 {
  return <u32>load<u16>(entry, 2);
}

/* @inline */ function costOf(entry: usize): u32 {
  return <u32>load<u16>(entry, 2);
}

// ── Steps ────────────────────────────────────────────────────────────────────

/* @inline */ function chainEntry(chain: usize, position: u32): usize {
  return chain + ((<usize>(position & (PLACES - 1))) << 1);
}

/** Enters positions into their chains. Those of position 0 end there: its 0 says both. */
function link(src: usize, from: u32, to: u32, chain: usize, heads: usize, headBits: u32): void {
  for (let i = from; i < to; ++i) {
    const head = heads + ((<usize>((load<u32>(src + i) * HASH_MULTIPLIER) >> (32 - headBits))) << 1);
    store<u16>(chainEntry(chain, i), load<u16>(head));
    store<u16>(head, <u16>i);
  }
}

/** Number of equal bytes before `ip` and before `ref`, up to `most`. The last few of the `below` before ref count as different. */
/* @inline */ function equalBefore(ip: usize, ref: usize, most: u32, below: u32): u32 {
  let n: u32 = 0;
  for (; n < most && n + 8 <= below; n += 8) {
    const difference = load<u64>(ip - n - 8) ^ load<u64>(ref - n - 8);
    if (difference != 0) return min(n + ((<u32>clz(difference)) >> 3), most);
  }
  return min(n, most);
}

/**
 * Plans the longest match for each position of a segment.
 * @param lastStart last position where a match may begin
 * @param oldest    oldest position that its chain remembers, 0 for all
 */
function search(src: usize, from: u32, to: u32, lastStart: u32, oldest: u32, chain: usize, plan: usize): void {
  memory.fill(plan, 0, (<usize>(to - from + ENOUGH)) << 2);
  const entries = plan - ((<usize>from) << 2); // entry of position 0, were it there
  let reach: u32 = 0; // end of the longest match at i, or i + 3
  let offset: u32 = 0;
  let followed: u32 = 0; // the reach for which the chain was followed
  let quiet = max<u32>(from, 1); // no chain is followed before this position
  let i = from;
  while (i < to) {
    let entry = entries + ((<usize>i) << 2);
    while (true) {
      if (i + lengthOf(entry) > reach) {
        reach = i + lengthOf(entry);
        offset = offsetOf(entry);
      }
      if (reach < i + MIN_MATCH) {
        reach = i + (MIN_MATCH - 1);
        offset = 0;
      }
      const at = reach - (MIN_MATCH - 1);
      if (i < quiet || reach == followed || at > lastStart) break;
      if (reach > i + ENOUGH) {
        quiet = reach - ENOUGH;
        break;
      }
      followed = reach;

      const quad = load<u32>(src + at);
      let tail = src + at; // where 4 bytes must be equal for the match to go further than the best one at i
      let tailQuad = quad;
      let q = at;
      let tries = CHAIN_TRIES;
      do {
        q = <u32>load<u16>(chainEntry(chain, q));
        const distance = at - q;
        if (load<u32>(tail - distance) != tailQuad || load<u32>(src + q) != quad) continue;
        const start = at - equalBefore(src + at, src + q, min(at - i, q), q);
        const more = equalBytes(src + at + MIN_MATCH, src + q + MIN_MATCH, lastStart - at);
        const length = at + MIN_MATCH + more - start;
        const found = entries + ((<usize>start) << 2);
        if (length <= lengthOf(found)) continue;
        store<u32>(found, match(distance, length));
        if (more >= ENOUGH) {
          quiet = start;
          break;
        }
        if (start == i) {
          tail = src + i + length - (MIN_MATCH - 1);
          tailQuad = load<u32>(tail);
        }
      } while (q > oldest && --tries != 0);
    }
    // The positions behind inherit the match, up to the next one where there is something to do.
    const same = min(reach == followed ? reach - (MIN_MATCH - 1) : min(quiet, reach - (MIN_MATCH - 1)), to);
    do {
      store<u32>(entry, match(offset, reach - i));
      entry += 4;
      ++i;
    } while (i < same && lengthOf(entry) == 0);
  }
}

/** Decides for each position of a segment between its match and a literal. */
function weigh(plan: usize, positions: u32): void {
  const end = plan + ((<usize>positions) << 2);
  store<u32>(end, 0);
  let next: u32 = 0; // cost from the position behind
  for (let entry = end; entry != plan;) {
    entry -= 4;
    const length = lengthOf(entry); // 3 for no match: which is never cheaper than a literal
    const behind = costOf(min(entry + ((<usize>length) << 2), end));
    const taken: u32 = behind + 3 + <u32>(length >= NIBBLE_MAX + MIN_MATCH);
    const literal = next + 1;
    next = min(taken, literal);
    store<u32>(entry, match(taken <= literal ? offsetOf(entry) : 0, next));
  }
}

/**
 * Compresses one block, densely.
 *
 * The block obeys LZ4's end rules, and depends on the source bytes alone, as that of lz4Compress does.
 *
 * @param src      address of the source
 * @param srcBytes its length, 0 … 65,536 bytes; 0 gives the one-byte block 0x00
 * @param dst      address of the block's buffer; overlaps neither source nor work area
 * @param dstBytes its capacity in bytes; srcBytes + srcBytes / 255 + 16 always suffices. After a result
 *                 of 0, and behind a block, its contents are unspecified.
 * @param work     address of 16 KiB of scratch, 4-byte aligned for speed, contents undefined before and after
 * @returns bytes of the block, 1 or more; 0 when it does not fit `dstBytes` or `srcBytes` is above 65,536
 */
export function lz4hcCompress(src: usize, srcBytes: u32, dst: usize, dstBytes: u32, work: usize): u32 {
  if (srcBytes > SOURCE_MAX) return 0;
  if (srcBytes <= MATCH_START_MARGIN) return finish(dst, dstBytes, dst, src, srcBytes);

  const long = srcBytes > PLACES;
  const headBits = long ? HEAD_BITS_LONG : HEAD_BITS;
  const segment = long ? SEGMENT_LONG : SEGMENT;
  const heads = work + CHAIN_BYTES;
  const plan = long ? heads + (2 << HEAD_BITS_LONG) : heads;
  memory.fill(heads, 0, 2 << headBits); // every head says position 0, which is how that one gets in

  const lastStart = srcBytes - MATCH_START_MARGIN;
  const dstEnd = dst + dstBytes; // may be 2^32, which is 0 here: it is used in differences only
  let op = dst;
  let anchor: u32 = 0; // first position not yet in the block
  let linked: u32 = 0;
  let i: u32 = 0;
  while (i <= lastStart) {
    const from = i;
    const to = min(from + segment, lastStart + 1);
    const ahead = long ? min(to + ENOUGH, srcBytes - 3) : srcBytes - 3; // `search` looks that far ahead of a position
    if (linked < ahead) {
      link(src, linked, ahead, work, heads, headBits);
      linked = ahead;
    }
    search(src, from, to, lastStart, linked - min(linked, PLACES), work, plan);
    weigh(plan, to - from);

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
