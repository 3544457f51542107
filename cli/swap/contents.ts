/** Which page each key should hold: the page that was stored last, and whether it should still be there. */
import { createHash } from 'node:crypto';

/** What is known about one key. */
interface Held {
  /** Index of the input's page that was stored last. */
  page: number;
  /** True while zswap should have the page. */
  there: boolean;
}

/** The pages of the input. For each page, the next one with different bytes is known. */
export class Pages {
  readonly all: readonly Uint8Array[];
  /** The number of different pages. */
  readonly distinct: number;
  readonly #next: Uint32Array;
  readonly #sameFilled: Uint8Array;

  constructor(all: readonly Uint8Array[]) {
    this.all = all;
    const kinds = new Map<string, number>();
    const kindOf = Uint32Array.from(all, (page) => {
      const digest = createHash('sha1').update(page).digest('base64');
      const kind = kinds.get(digest) ?? kinds.size;
      kinds.set(digest, kind);
      return kind;
    });
    this.distinct = kinds.size;
    this.#next = nextOfAnotherKind(kindOf);
    this.#sameFilled = Uint8Array.from(all, (page) => (isSameFilled(page) ? 1 : 0));
  }

  /** The page to store when a key is stored again: one with different bytes, if there is any. */
  after(page: number): number {
    return this.#next[page] as number;
  }

  isSameFilled(page: number): boolean {
    return this.#sameFilled[page] === 1;
  }
}

function nextOfAnotherKind(kindOf: Uint32Array): Uint32Array {
  const count = kindOf.length;
  const next = Uint32Array.from(kindOf, (_, page) => page);
  for (let step = 2 * count - 1; step >= 0; step--) {
    const page = step % count;
    const neighbour = (page + 1) % count;
    next[page] = kindOf[neighbour] !== kindOf[page] ? neighbour : (next[neighbour] as number);
  }
  // When all pages are equal, the result does not matter.
  return next;
}

function isSameFilled(page: Uint8Array): boolean {
  const { buffer, byteOffset, length } = page;
  const view = new DataView(buffer, byteOffset, length);
  const first = view.getUint32(0);
  for (let at = 4; at < length; at += 4) if (view.getUint32(at) !== first) return false;
  return true;
}

/**
 * The page that each key should hold. When a key is stored again, it gets different bytes, so that a stale page is
 * noticed.
 */
export class Contents {
  readonly #pages: Pages;
  readonly #areas = new Map<number, Map<number, Held>>();
  #keys = 0;

  constructor(pages: Pages) {
    this.#pages = pages;
  }

  /** The page to store now under a key. It counts as there after `accept`. */
  next(type: number, offset: number): number {
    let area = this.#areas.get(type);
    if (area === undefined) this.#areas.set(type, (area = new Map()));
    const held = area.get(offset);
    if (held === undefined) {
      const page = this.#keys++ % this.#pages.all.length;
      area.set(offset, { page, there: false });
      return page;
    }
    held.there = false;
    return (held.page = this.#pages.after(held.page));
  }

  accept(type: number, offset: number): void {
    (this.#areas.get(type)?.get(offset) as Held).there = true;
  }

  /** The page that a key should hold. Undefined when there is none. */
  at(type: number, offset: number): number | undefined {
    const held = this.#areas.get(type)?.get(offset);
    return held?.there === true ? held.page : undefined;
  }

  /** Drops the page of a key. True when it was there. */
  drop(type: number, offset: number): boolean {
    const held = this.#areas.get(type)?.get(offset);
    const was = held?.there === true;
    if (was) (held as Held).there = false;
    return was;
  }

  /** Drops all pages of an area. Returns how many were there. */
  dropArea(type: number): number {
    let dropped = 0;
    for (const held of this.#areas.get(type)?.values() ?? []) {
      if (held.there) dropped += 1;
      held.there = false;
    }
    return dropped;
  }
}
