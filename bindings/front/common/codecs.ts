/**
 * JavaScript codecs of a front end. Front ends call codecs only here. A codec is foreign code: it may throw, give wrong
 * results, or call the front end back (codec/foreign.ts checks what it gives). After a call, the caller must look up
 * all state again.
 */
import { FIRST_FOREIGN, OUT_BLOCK_BYTES, OUT_BLOCK_CODEC } from '../../../assembly/abi.ts';
import { CORE_CODECS } from '../../codec/core.ts';
import type { ForeignCodec } from '../../codec/foreign.ts';
import { CompcacheError } from '../../errors.ts';
import type { Core } from '../../wasm.ts';
import { CODECS_MAX, shortName } from './given-codecs.ts';

const NO_BLOCK = new Uint8Array(0);

/** Codecs by the numbers that the core uses for them. The numbers of foreign codecs begin at FIRST_FOREIGN. */
export class ForeignCodecs {
  readonly #codecs: ForeignCodec[] = [];

  /** The number that a codec has, or would get. @throws EBUSY no number is left */
  numberOf(op: string, codec: ForeignCodec): number {
    const at = this.#codecs.findIndex(({ source }) => source === codec.source);
    const next = at === -1 ? this.#codecs.length : at;
    if (next >= CODECS_MAX) throw new CompcacheError('EBUSY', op, `${CODECS_MAX} codecs have been used`);
    return FIRST_FOREIGN + next;
  }

  /** True when there is a codec with this number. */
  has(number: number): boolean {
    return number < FIRST_FOREIGN + this.#codecs.length;
  }

  /**
   * Gives a codec this number, unless the number is in use. The codec stays as long as the front end, because its
   * blocks need it.
   */
  keep(number: number, codec: ForeignCodec): void {
    this.#codecs[number - FIRST_FOREIGN] ??= codec;
  }

  /** Names of the foreign codecs in the order of their numbers, as the note has them. */
  get names(): string[] {
    return this.#codecs.map(({ name }) => shortName(name));
  }

  /** Name of a codec of the core or a foreign codec. */
  nameOf(number: number): string {
    return Object.keys(CORE_CODECS)[number] ?? this.#at(number).name;
  }

  /** Compresses a page with the codec of this number; see compressed below. */
  compressed(op: string, number: number, page: Uint8Array, most: number): Uint8Array | undefined {
    return compressed(op, this.#codecs, number, page, most);
  }

  /** Decompresses the block in the block buffer; see decompressed below. */
  decompressed(op: string, core: Core): Uint8Array {
    return decompressed(op, core, this.#codecs);
  }

  #at(number: number): ForeignCodec {
    return this.#codecs[number - FIRST_FOREIGN] as ForeignCodec;
  }
}

/**
 * Compresses a page with a foreign codec.
 * @param codecs the foreign codecs, by number from FIRST_FOREIGN on
 * @param page a page that belongs to this package
 * @param most the most bytes that the block may have
 * @returns the block, copied; 0 bytes when it would be longer; undefined when the codec fails
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
 * Decompresses the block that the core has put into the block buffer.
 * @param codecs the foreign codecs, by number from FIRST_FOREIGN on
 * @returns the page, copied
 * @throws EIO when the codec does not give a page, or no codec has this number
 */
export function decompressed(op: string, { out, blockBuffer }: Core, codecs: readonly ForeignCodec[]): Uint8Array {
  const block = blockBuffer.slice(0, out[OUT_BLOCK_BYTES] as number);
  const number = out[OUT_BLOCK_CODEC] as number;
  const codec = codecs[number - FIRST_FOREIGN];
  // The number comes from an image or a store, so it may be wrong.
  if (codec === undefined) throw new CompcacheError('EIO', op, `the page needs codec ${number}, which does not exist`);
  return codec.decompress(op, block);
}
