/**
 * The memory of a MemoryStore: up to SLOT_BYTES bytes for each number, without fragmentation.
 *
 * With a separate array for each number, the heap would get holes, and the process would grow although it stores no
 * more. So the bytes of a number, a piece, lie in a size class. Sizes are rounded up to 128 bytes. The pieces of a
 * class are numbered without gaps: when one is deleted, the last piece of the class moves to its index. A class
 * consists of slabs of 64 KiB. A leaf holds the indexes of 256 numbers. So the memory in use depends only on the pieces
 * that exist now. At most 127 bytes are lost for each piece, and two slabs for each class.
 */
import { SLOT_BYTES } from './types.ts';

const STEP = 128;
const SLAB_BYTES = 65536;
const LEAF = 256;

/** The pieces of one size class. */
interface SizeClass {
  readonly cellBytes: number;
  /** Cells of a slab. */
  readonly cells: number;
  readonly slabs: { readonly memory: Uint8Array; readonly numbers: Uint32Array }[];
  /** Pieces in the class. */
  count: number;
}

interface Leaf {
  /** For each number: the index of its piece in its class, and the piece's bytes, 0 for none. */
  readonly indexes: Uint32Array;
  readonly lengths: Uint16Array;
  used: number;
}

const SLAB_COST = SLAB_BYTES + 4 * (SLAB_BYTES / STEP);
const LEAF_COST = 6 * LEAF;

export class Pieces {
  readonly #classes = Array.from({ length: Math.ceil(SLOT_BYTES / STEP) }, (_, i): SizeClass => {
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

  /** Bytes of memory that are allocated, as an upper bound. */
  get reserved(): number {
    return this.#classes.reduce((sum, { slabs }) => sum + slabs.length, 0) * SLAB_COST + this.#leaves.size * LEAF_COST;
  }

  /** The piece of a number, as a view. Undefined when there is none. */
  get(number: number): Uint8Array | undefined {
    const leaf = this.#leaves.get(Math.floor(number / LEAF));
    const length = leaf?.lengths[number % LEAF] ?? 0;
    return leaf === undefined || length === 0
      ? undefined
      : view(this.#classOf(length), leaf.indexes[number % LEAF] as number, length);
  }

  /**
   * Sets the piece of a number, 1 … SLOT_BYTES bytes, in place of the old one.
   * @param fill writes the bytes into the new piece. When it throws, or when there is no memory (a RangeError), nothing
   *   changes
   */
  put(number: number, length: number, fill: (into: Uint8Array) => void): void {
    const leaf = this.#leaves.get(Math.floor(number / LEAF));
    const before = leaf?.lengths[number % LEAF] ?? 0;
    const sizeClass = this.#classOf(length);
    if (leaf !== undefined && before !== 0 && this.#classOf(before) === sizeClass) {
      fill(view(sizeClass, leaf.indexes[number % LEAF] as number, length));
      leaf.lengths[number % LEAF] = length;
      this.#bytes += length - before;
      return;
    }
    // Allocate first: this may fail.
    const home = leaf ?? { indexes: new Uint32Array(LEAF), lengths: new Uint16Array(LEAF), used: 0 };
    const index = sizeClass.count;
    if (index === sizeClass.slabs.length * sizeClass.cells)
      sizeClass.slabs.push({ memory: new Uint8Array(SLAB_BYTES), numbers: new Uint32Array(sizeClass.cells) });
    fill(view(sizeClass, index, length));
    this.delete(number);
    sizeClass.count += 1;
    this.#add(number, home, sizeClass, index, length);
  }

  /** Deletes the piece of a number. False when it has none. */
  delete(number: number): boolean {
    const leaf = this.#leaves.get(Math.floor(number / LEAF));
    const length = leaf?.lengths[number % LEAF] ?? 0;
    if (leaf === undefined || length === 0) return false;
    const sizeClass = this.#classOf(length);
    const index = leaf.indexes[number % LEAF] as number;
    const last = sizeClass.count - 1;
    if (index !== last) {
      view(sizeClass, index, sizeClass.cellBytes).set(view(sizeClass, last, sizeClass.cellBytes));
      const moved = numberAt(sizeClass, last);
      setNumber(sizeClass, index, moved);
      (this.#leaves.get(Math.floor(moved / LEAF)) as Leaf).indexes[moved % LEAF] = index;
    }
    sizeClass.count = last;
    // One more slab than needed may stay. Otherwise a piece that is deleted and set again would allocate a slab each
    // time.
    if (sizeClass.slabs.length > Math.ceil(last / sizeClass.cells) + 1) sizeClass.slabs.pop();
    leaf.lengths[number % LEAF] = 0;
    leaf.used -= 1;
    if (leaf.used === 0) this.#leaves.delete(Math.floor(number / LEAF));
    this.#count -= 1;
    this.#bytes -= length;
    return true;
  }

  #add(number: number, leaf: Leaf, sizeClass: SizeClass, index: number, length: number): void {
    this.#leaves.set(Math.floor(number / LEAF), leaf);
    setNumber(sizeClass, index, number);
    leaf.indexes[number % LEAF] = index;
    leaf.lengths[number % LEAF] = length;
    leaf.used += 1;
    this.#count += 1;
    this.#bytes += length;
  }

  #classOf(length: number): SizeClass {
    return this.#classes[Math.ceil(length / STEP) - 1] as SizeClass;
  }
}

/** The first bytes of the piece at an index of a class. */
function view({ slabs, cells, cellBytes }: SizeClass, index: number, length: number): Uint8Array {
  const at = (index % cells) * cellBytes;
  return (slabs[Math.floor(index / cells)] as SizeClass['slabs'][0]).memory.subarray(at, at + length);
}

/** The number whose piece is at an index of a class. */
function numberAt({ slabs, cells }: SizeClass, index: number): number {
  return (slabs[Math.floor(index / cells)] as SizeClass['slabs'][0]).numbers[index % cells] as number;
}

function setNumber({ slabs, cells }: SizeClass, index: number, number: number): void {
  (slabs[Math.floor(index / cells)] as SizeClass['slabs'][0]).numbers[index % cells] = number;
}
