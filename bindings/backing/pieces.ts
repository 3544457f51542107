/**
 * Pieces: up to SLOT_BYTES bytes each, by number, in memory that does not wear out as they come and go.
 *
 * An array and an object for each piece would be an allocation of the host's heap and one of the JavaScript heap for each;
 * such heaps get holes, and the process grows for a while though no more is stored. So pieces of one size, rounded up to 128
 * bytes, lie in a row, without holes: where one is dropped, the last of its row takes its place. A row is cut into slabs of 64
 * KiB, and where a number's piece is stands in leaves of 256 numbers. So the memory depends on what is held and on nothing
 * that was: at most 127 bytes for each piece are lost, and for each size two slabs.
 */
import { SLOT_BYTES } from './types.ts';

const STEP = 128;
const SLAB_BYTES = 65536;
const LEAF = 256;

/** Pieces of one size. */
interface Row {
  readonly cellBytes: number;
  /** Cells of a slab. */
  readonly cells: number;
  readonly slabs: { readonly memory: Uint8Array; readonly numbers: Uint32Array }[];
  count: number;
}

interface Leaf {
  /** Of each number: its place in its row, and the bytes of its piece, 0 for none. */
  readonly places: Uint32Array;
  readonly lengths: Uint16Array;
  used: number;
}

const SLAB_COST = SLAB_BYTES + 4 * (SLAB_BYTES / STEP);
const LEAF_COST = 6 * LEAF;

export class Pieces {
  readonly #rows = Array.from({ length: Math.ceil(SLOT_BYTES / STEP) }, (_, i): Row => {
    const cellBytes = (i + 1) * STEP;
    return { cellBytes, cells: Math.floor(SLAB_BYTES / cellBytes), slabs: [], count: 0 };
  });
  readonly #leaves = new Map<number, Leaf>();
  #count = 0;
  #bytes = 0;

  get count(): number {
    return this.#count;
  }

  /** Bytes of all pieces. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of the memory that is set aside for them, at the most. */
  get reserved(): number {
    return this.#rows.reduce((sum, { slabs }) => sum + slabs.length, 0) * SLAB_COST + this.#leaves.size * LEAF_COST;
  }

  /** The piece of a number as a view, undefined for none. */
  get(number: number): Uint8Array | undefined {
    const leaf = this.#leaves.get(Math.floor(number / LEAF));
    const length = leaf?.lengths[number % LEAF] ?? 0;
    return leaf === undefined || length === 0
      ? undefined
      : view(this.#row(length), leaf.places[number % LEAF] as number, length);
  }

  /**
   * Makes a piece of 1 … SLOT_BYTES bytes that of a number, in place of the one it had.
   * @param fill puts the bytes in; when it throws, it has put none, and nothing has changed; no more than when there is no memory (a RangeError)
   */
  put(number: number, length: number, fill: (into: Uint8Array) => void): void {
    const leaf = this.#leaves.get(Math.floor(number / LEAF));
    const before = leaf?.lengths[number % LEAF] ?? 0;
    const row = this.#row(length);
    if (leaf !== undefined && before !== 0 && this.#row(before) === row) {
      fill(view(row, leaf.places[number % LEAF] as number, length));
      leaf.lengths[number % LEAF] = length;
      this.#bytes += length - before;
      return;
    }
    // What may fail for want of memory comes first.
    const home = leaf ?? { places: new Uint32Array(LEAF), lengths: new Uint16Array(LEAF), used: 0 };
    const place = row.count;
    if (place === row.slabs.length * row.cells)
      row.slabs.push({ memory: new Uint8Array(SLAB_BYTES), numbers: new Uint32Array(row.cells) });
    fill(view(row, place, length));
    this.delete(number);
    row.count += 1;
    this.#note(number, home, row, place, length);
  }

  /** Drops the piece of a number. False when it has none. */
  delete(number: number): boolean {
    const leaf = this.#leaves.get(Math.floor(number / LEAF));
    const length = leaf?.lengths[number % LEAF] ?? 0;
    if (leaf === undefined || length === 0) return false;
    const row = this.#row(length);
    const place = leaf.places[number % LEAF] as number;
    const last = row.count - 1;
    if (place !== last) {
      view(row, place, row.cellBytes).set(view(row, last, row.cellBytes));
      const moved = numberAt(row, last);
      setNumber(row, place, moved);
      (this.#leaves.get(Math.floor(moved / LEAF)) as Leaf).places[moved % LEAF] = place;
    }
    row.count = last;
    // One slab more than the row needs may stay, so that a piece that comes and goes takes none each time.
    if (row.slabs.length > Math.ceil(last / row.cells) + 1) row.slabs.pop();
    leaf.lengths[number % LEAF] = 0;
    leaf.used -= 1;
    if (leaf.used === 0) this.#leaves.delete(Math.floor(number / LEAF));
    this.#count -= 1;
    this.#bytes -= length;
    return true;
  }

  #note(number: number, leaf: Leaf, row: Row, place: number, length: number): void {
    this.#leaves.set(Math.floor(number / LEAF), leaf);
    setNumber(row, place, number);
    leaf.places[number % LEAF] = place;
    leaf.lengths[number % LEAF] = length;
    leaf.used += 1;
    this.#count += 1;
    this.#bytes += length;
  }

  #row(length: number): Row {
    return this.#rows[Math.ceil(length / STEP) - 1] as Row;
  }
}

/** The first bytes of a place of a row. */
function view({ slabs, cells, cellBytes }: Row, place: number, length: number): Uint8Array {
  const at = (place % cells) * cellBytes;
  return (slabs[Math.floor(place / cells)] as Row['slabs'][0]).memory.subarray(at, at + length);
}

/** The number whose piece lies at a place. */
function numberAt({ slabs, cells }: Row, place: number): number {
  return (slabs[Math.floor(place / cells)] as Row['slabs'][0]).numbers[place % cells] as number;
}

function setNumber({ slabs, cells }: Row, place: number, number: number): void {
  (slabs[Math.floor(place / cells)] as Row['slabs'][0]).numbers[place % cells] = number;
}
