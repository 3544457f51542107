/**
 * Codecs that are not from the core. They are foreign code, which may lie, throw, call back, and keep or detach its
 * arguments.
 *
 * So a codec's methods are read once. It gets copies and buffers that nobody else uses. Its results are checked. Its
 * output is read through a view that the codec never had, because it may change the length and methods of its own view.
 * After a call, the caller must check its own state again: the codec may have closed or changed anything.
 */
import { lengthOf, requireBytes } from '../bytes.ts';
import { CompcacheError, isU32, show } from '../errors.ts';
import { inside } from '../nested.ts';
import { isPromise } from '../promises.ts';
import type { Codec } from '../plain-types.ts';
import { PAGE_SIZE } from '../wasm.ts';
import { CoreCodec } from './core.ts';

export class ForeignCodec {
  /** The caller's object. Two ForeignCodecs with the same source are the same codec. */
  readonly source: Codec;
  readonly name: string;
  readonly #compress: Codec['compress'];
  readonly #decompress: Codec['decompress'];

  /** @throws EINVAL for anything that is not a Codec */
  constructor(op: string, codec: unknown) {
    const given = (codec ?? {}) as Partial<Codec>;
    let taken: [compress: unknown, decompress: unknown, name: unknown];
    try {
      taken = [given.compress, given.decompress, given.name];
    } catch (cause) {
      throw new CompcacheError('EINVAL', op, 'codec cannot be read', { cause });
    }
    const [compress, decompress, name] = taken;
    if (typeof compress !== 'function' || typeof decompress !== 'function')
      throw new CompcacheError('EINVAL', op, `codec must be a Codec, not ${show(codec)}`);
    this.source = codec as Codec;
    this.name = typeof name === 'string' ? name : show(name);
    this.#compress = compress as Codec['compress'];
    this.#decompress = decompress as Codec['decompress'];
  }

  /**
   * Compresses a page.
   * @param page our own memory
   * @param most the most bytes that the block may have
   * @returns the block, in our own memory; undefined when it would be longer
   * @throws EIO when the codec throws or returns an invalid result
   */
  compress(op: string, page: Uint8Array, most: number): Uint8Array | undefined {
    const buffer = new Uint8Array(most);
    const copy = page.slice();
    const written = this.#run(op, () => this.#compress.call(this.source, copy, new Uint8Array(buffer.buffer)));
    if (!isU32(written) || written > most || buffer.length !== most) {
      throw new CompcacheError(
        'EIO',
        op,
        `codec ${show(this.name)} says that it wrote ${show(written)} bytes into ${most}`,
      );
    }
    return written === 0 ? undefined : buffer.subarray(0, written);
  }

  /**
   * Decompresses a block to a page.
   * @param block a copy, which the codec may keep
   * @returns 4096 bytes, in our own memory
   * @throws EIO when the codec throws or does not return a page
   */
  decompress(op: string, block: Uint8Array): Uint8Array {
    const page = new Uint8Array(PAGE_SIZE);
    const written = this.#run(op, () => this.#decompress.call(this.source, block, new Uint8Array(page.buffer)));
    if (written !== PAGE_SIZE || page.length !== PAGE_SIZE) {
      throw new CompcacheError('EIO', op, `codec ${show(this.name)} gave ${show(written)} bytes, not a page`);
    }
    return page;
  }

  /** Calls the codec. An error becomes EIO, unless it is one of our own. */
  #run(op: string, call: () => unknown): unknown {
    try {
      const answer = inside(op, call);
      if (isPromise(answer)) throw new CompcacheError('EIO', op, 'the codec gave a Promise; it must be synchronous');
      return answer;
    } catch (cause) {
      if (CompcacheError.made(cause)) throw cause;
      throw new CompcacheError('EIO', op, `codec ${show(this.name)} threw`, { cause });
    }
  }
}

/** The codec that a caller gave: the number of a codec of the core (0, lz4, by default), or a foreign codec. EINVAL. */
export function takeCodec(op: string, codec: unknown): number | ForeignCodec {
  return codec === undefined ? 0 : (CoreCodec.numberOf(codec) ?? new ForeignCodec(op, codec));
}

/** Requires 4096 bytes; EINVAL otherwise. */
export function requirePage(op: string, what: string, page: Uint8Array): void {
  requireBytes(op, what, page);
  if (lengthOf(page) !== PAGE_SIZE)
    throw new CompcacheError('EINVAL', op, `${what} must have ${PAGE_SIZE} bytes, not ${lengthOf(page)}`);
}
