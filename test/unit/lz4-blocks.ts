/**
 * Helpers that the LZ4 tests compare the codec with: a parser, a decoder, and data to compress. They are written only
 * from the block format, byte by byte.
 */

/** xorshift32: the same numbers for the same seed everywhere. */
export function randomSource(seed: number): (below: number) => number {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

// ── the format ───────────────────────────────────────────────────────────────

export interface Sequence {
  /** Output position of the literals, and how many. */
  at: number;
  literals: number;
  /** Address of the literals in the block. */
  from: number;
  /** 0 for the last sequence, which has no match. */
  offset: number;
  length: number;
}

/** The sequences of a block; undefined when it is malformed (offsets below the output included). */
export function parseBlock(block: Uint8Array): Sequence[] | undefined {
  const sequences: Sequence[] = [];
  let ip = 0;
  let at = 0;
  const readLength = (nibble: number): number | undefined => {
    if (nibble < 15) return nibble;
    let length = 15;
    for (;;) {
      const more = block[ip++];
      if (more === undefined) return undefined;
      length += more;
      if (more < 255) return length;
    }
  };
  for (;;) {
    const token = block[ip++];
    if (token === undefined) return undefined;
    const literals = readLength(token >> 4);
    if (literals === undefined || ip + literals > block.length) return undefined;
    const from = ip;
    ip += literals;
    if (ip === block.length) {
      sequences.push({ at, literals, from, offset: 0, length: 0 });
      return sequences;
    }
    if (ip + 2 > block.length) return undefined;
    const offset = block[ip]! | (block[ip + 1]! << 8);
    ip += 2;
    if (offset === 0 || offset > at + literals) return undefined;
    const length = readLength(token & 15);
    if (length === undefined) return undefined;
    sequences.push({ at, literals, from, offset, length: length + 4 });
    at += literals + length + 4;
  }
}

/** Decodes a block; undefined when it is malformed or needs more than `capacity` bytes. */
export function referenceDecode(block: Uint8Array, capacity: number): Uint8Array | undefined {
  const sequences = parseBlock(block);
  if (sequences === undefined) return undefined;
  const bytes = sequences.reduce((sum, sequence) => sum + sequence.literals + sequence.length, 0);
  if (bytes > capacity) return undefined;
  const out = new Uint8Array(bytes);
  for (const { at, literals, from, offset, length } of sequences) {
    out.set(block.subarray(from, from + literals), at);
    const end = at + literals + length;
    for (let i = at + literals; i < end; ++i) out[i] = out[i - offset]!;
  }
  return out;
}

/** A block of random sequences, as no encoder writes them: every length and offset, no end rules. */
export function randomBlock(random: (below: number) => number, outputMost: number): Uint8Array {
  const block: number[] = [];
  let at = 0;
  const pushLength = (length: number): void => {
    if (length < 15) return;
    for (length -= 15; length >= 255; length -= 255) block.push(255);
    block.push(length);
  };
  const pick = (): number => {
    const kind = random(8);
    return kind < 4 ? random(6) : kind < 6 ? random(20) : kind < 7 ? random(60) : random(700);
  };
  for (;;) {
    const literals = Math.min(at === 0 ? pick() + 1 : pick(), outputMost - at);
    const room = outputMost - at - literals;
    const last = room < 4 || random(12) === 0;
    const length = last ? 4 : Math.min(4 + pick(), room);
    block.push((Math.min(literals, 15) << 4) | (last ? random(16) : Math.min(length - 4, 15)));
    pushLength(literals);
    for (let i = 0; i < literals; ++i) block.push(random(256));
    at += literals;
    if (last) return Uint8Array.from(block);
    const offset = 1 + random(random(2) === 0 ? Math.min(at, 20) : Math.min(at, 65535));
    block.push(offset & 255, offset >> 8);
    pushLength(length - 4);
    at += length;
  }
}

// ── data ─────────────────────────────────────────────────────────────────────

export interface Sample {
  name: string;
  data: Uint8Array;
}

const WORDS = (
  'the of and to in page memory frame pool handle free list class object zero is that for was on are with as his they ' +
  'compress allocator buddy chunk write read cold hot store load evict reclaim 4096 0x7fff'
).split(' ');

const makers: Record<string, (random: (below: number) => number, i: number) => string | number[]> = {
  text: (random) => WORDS[random(WORDS.length)]! + (random(9) === 0 ? '.\n' : ' '),
  json: (random, i) => `{"id":${i},"name":"${WORDS[random(WORDS.length)]}","size":${random(5000)},"tags":["a","b"]},\n`,
  floats: (random, i) => [...new Uint8Array(Float64Array.of(Math.sin(i / 10) + random(4)).buffer)],
  pointers: (random) => [...new Uint8Array(Uint32Array.of(0x40000000 + random(4096) * 16, 0x7f3a).buffer)],
  random: (random) => [random(256)],
  mixed: (random, i) =>
    random(3) === 0
      ? [...new Uint8Array(random(40)).fill(random(256))]
      : random(2) === 0
        ? WORDS[i % 7]!
        : [random(256), random(256), random(256)],
};

/** `bytes` bytes of this kind. */
export function generate(kind: string, bytes: number, seed: number): Uint8Array {
  if (kind === 'zero') return new Uint8Array(bytes);
  if (kind === 'same') return Uint8Array.from({ length: bytes }, (_, i) => [0xef, 0xbe, 0xad, 0xde][i & 3]!);
  const random = randomSource(seed);
  const out: number[] = [];
  for (let i = 0; out.length < bytes; ++i) {
    const piece = makers[kind]!(random, i);
    if (typeof piece === 'string') for (let k = 0; k < piece.length; ++k) out.push(piece.charCodeAt(k));
    else out.push(...piece);
  }
  return Uint8Array.from(out.slice(0, bytes));
}

export const KINDS = ['zero', 'same', ...Object.keys(makers)];

/** Every kind at the sizes that matter: short ones, near the limits of the format, a page, 64 KiB. */
export function samples(): Sample[] {
  const sizes = [
    1, 4, 5, 11, 12, 13, 14, 15, 16, 17, 31, 64, 100, 270, 511, 512, 1000, 2047, 2048, 4095, 4096, 16384, 65535, 65536,
  ];
  return KINDS.flatMap((kind, k) =>
    sizes.map((size) => ({ name: `${kind} ${size}`, data: generate(kind, size, 77 + k) })),
  );
}
