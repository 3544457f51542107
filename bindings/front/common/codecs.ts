/**
 * JavaScript codecs of a front end: the one place where a front end calls them. They are foreign code: they may throw, lie, and
 * call back (codec/foreign.ts guards what they get and give). Whoever calls one looks at everything anew after it.
 */
import { FIRST_FOREIGN, OUT_BLOCK_BYTES, OUT_BLOCK_CODEC } from '../../../assembly/abi.ts';
import { CORE_CODECS } from '../../codec/core.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { CompcacheError } from '../../errors.ts';
import type { Core } from '../../wasm.ts';
import { CODECS_MAX, shortName } from './given-codecs.ts';

const NO_BLOCK = new Uint8Array(0);

/** Codecs by the numbers that the core knows them by: those outside the core count from FIRST_FOREIGN. */
export class ForeignCodecs {
  readonly #codecs: ForeignCodec[] = [];

  /** The number that a codec has, or would get. @throws EBUSY when there is none left */
  numberOf(op: string, codec: ForeignCodec): number {
    const at = this.#codecs.findIndex(({ source }) => source === codec.source);
    const next = at === -1 ? this.#codecs.length : at;
    if (next >= CODECS_MAX) throw new CompcacheError('EBUSY', op, `${CODECS_MAX} codecs have been used`);
    return FIRST_FOREIGN + next;
  }

  /** Whether there is a codec of that number. */
  has(number: number): boolean {
    return number < FIRST_FOREIGN + this.#codecs.length;
  }

  /** Gives a codec that number, unless another one has it. It is kept for the blocks that it makes. */
  keep(number: number, codec: ForeignCodec): void {
    this.#codecs[number - FIRST_FOREIGN] ??= codec;
  }

  /** Names of those outside the core, as they are kept, in the order of their numbers. */
  get names(): string[] {
    return this.#codecs.map(({ name }) => shortName(name));
  }

  /** Name of a codec, of the core or not. */
  nameOf(number: number): string {
    return Object.keys(CORE_CODECS)[number] ?? this.#at(number).name;
  }

  /** The block of a page by the codec of that number: as compressed. */
  compressed(op: string, number: number, page: Uint8Array, most: number): Uint8Array | undefined {
    return compressed(op, this.#codecs, number, page, most);
  }

  /** The page of the block in the block buffer: as decompressed. */
  decompressed(op: string, core: Core): Uint8Array {
    return decompressed(op, core, this.#codecs);
  }

  #at(number: number): ForeignCodec {
    return this.#codecs[number - FIRST_FOREIGN] as ForeignCodec;
  }
}

/**
 * The block of a page.
 * @param codecs those outside the core, by number from FIRST_FOREIGN on
 * @param page bytes of ours
 * @param most the most bytes that the block may have
 * @returns the block, in memory of ours: of 0 bytes when it would be longer; undefined when the codec fails
 */
export function compressed(
  op: string,
  codecs: readonly ForeignCodec[],
  number: number,
  page: Uint8Array,
  most: number,
): Uint8Array | undefined {
  const codec = codecs[number - FIRST_FOREIGN] as ForeignCodec;
  try {
    return codec.compress(op, page, most) ?? NO_BLOCK;
  } catch {
    return undefined;
  }
}

/**
 * The page whose block the core has put into the block buffer.
 * @param codecs those outside the core, by number from FIRST_FOREIGN on
 * @returns a page in memory of ours
 * @throws EIO when the codec does not give a page, or there is none of that number
 */
export function decompressed(op: string, { out, blockBuffer }: Core, codecs: readonly ForeignCodec[]): Uint8Array {
  const block = blockBuffer.slice(0, out[OUT_BLOCK_BYTES] as number);
  const number = out[OUT_BLOCK_CODEC] as number;
  const codec = codecs[number - FIRST_FOREIGN];
  // An image, or a store, from outside may say so.
  if (codec === undefined) throw new CompcacheError('EIO', op, `the page is of codec ${number}, which there is not`);
  return codec.decompress(op, block);
}
