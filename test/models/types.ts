/**
 * What the allocator models share: their interface, the errno values, and a linked list.
 *
 * A model is the allocator as the texts describe it, in plain objects, without memory: it knows the place of every
 * object, but not its content. Tests run the same calls on a model and on the real core and compare. Codes, shrink and
 * mapped objects follow R1 to R5 of docs/rules/README.md; placement() is p of its placement checksum.
 */

export const EAGAIN = -11;
export const EBUSY = -16;
export const EINVAL = -22;
export const ENOSPC = -28;

export const PAGE_SIZE = 4096;

export type MapMode = 'rw' | 'ro' | 'wo';

/**
 * The answer of an evict callback.
 * - `free`: accepted; the model frees the object, unless the callback has done so already.
 * - `keep`: refused (nonzero in the originals), whatever the callback did to the object itself.
 * - `ok`: accepted (0 in the originals), and the model frees nothing: only the callback's own frees count.
 */
export type EvictAnswer = 'free' | 'keep' | 'ok';

/** Called for each object of a victim. It may call any method of the model. */
export type Evict = (id: number) => EvictAnswer;

export interface PoolModel {
  /** A new object's id, > 0 and never used twice, or EINVAL (0, not a u32), ENOSPC (too big). */
  malloc(size: number): number;
  /** 0, or EINVAL (no such object), EBUSY (mapped). */
  free(id: number): number;
  /** The requested bytes, or EINVAL. */
  size(id: number): number;
  /**
   * 0 or EINVAL. Contents are not modelled; a write only moves a place on the LRU where it does so in the allocator.
   */
  write(id: number): number;
  /** 0 or EINVAL; maps are counted per object. */
  map(id: number, mode: MapMode): number;
  /** 0, or EINVAL (no such object, not mapped). */
  unmap(id: number): number;
  /** Reclaims until this number of frames came back. @returns how many, or an errno if none did; 0 for 0 */
  shrink(pages: number, evict?: Evict): number;
  /** One reclaim of up to `tries` attempts; the frames of the page or zspage freed, or an errno. */
  reclaim(tries: number, evict?: Evict): number;
  /** Frames given back. @param options.victims the most places to empty */
  compact(options?: { victims?: number }): number;
  /** What compact() would give back, never less. */
  freeable(): number;
  /** Runs the deferred work of frees (z3fold). */
  runDeferred(): void;
  /**
   * Gives the frames the numbers that they have in the RAM of another implementation, for each object's frames: needed
   * where compaction goes by frame numbers.
   */
  renumber(framesOf: (id: number) => readonly number[]): void;
  /** p of the placement checksum, for the object's present place. */
  placement(id: number): number;
  /** A number that changes if and only if the object moves. */
  where(id: number): number;
  /** Ids of all live objects, in the order of their allocation. */
  ids(): number[];
  readonly pages: number;
  readonly liveBytes: number;
  readonly objects: number;
  /** Throws when the model's own state is inconsistent. */
  check(): void;
}

export function isU32(value: number): boolean {
  return value >>> 0 === value;
}

export function invariant(condition: boolean, rule: string): void {
  if (!condition) throw new Error(`model invariant: ${rule}`);
}

/**
 * R3: reclaims with eight tries each time, until at least `pages` frames came back. An error counts only when none came
 * back.
 */
export function shrinkByReclaim(pages: number, reclaim: () => number): number {
  let freed = 0;
  while (freed < pages) {
    const result = reclaim();
    if (result < 0) return freed > 0 ? freed : result;
    freed += result;
  }
  return freed;
}

interface Node<T> {
  readonly item: T;
  previous: Node<T> | undefined;
  next: Node<T> | undefined;
}

/** A doubly linked list in which an item can be only once. */
export class List<T> {
  readonly #nodes = new Map<T, Node<T>>();
  #head: Node<T> | undefined;
  #tail: Node<T> | undefined;

  get size(): number {
    return this.#nodes.size;
  }

  get head(): T | undefined {
    return this.#head?.item;
  }

  has(item: T): boolean {
    return this.#nodes.has(item);
  }

  insertHead(item: T): void {
    this.#insertBetween(undefined, item, this.#head);
  }

  /** Right behind the head; the list must not be empty. */
  insertSecond(item: T): void {
    if (this.#head === undefined) throw new Error('no head to stand behind');
    this.#insertBetween(this.#head, item, this.#head.next);
  }

  remove(item: T): void {
    const node = this.#nodes.get(item);
    if (node === undefined) throw new Error('not in this list');
    this.#nodes.delete(item);
    if (node.previous === undefined) this.#head = node.next;
    else node.previous.next = node.next;
    if (node.next === undefined) this.#tail = node.previous;
    else node.next.previous = node.previous;
  }

  /** Head first. */
  toArray(): T[] {
    const items: T[] = [];
    for (let node = this.#head; node !== undefined; node = node.next) items.push(node.item);
    return items;
  }

  /** The first item from the tail for which `wanted` holds. */
  findFromTail(wanted: (item: T) => boolean): T | undefined {
    let node = this.#tail;
    while (node !== undefined && !wanted(node.item)) node = node.previous;
    return node?.item;
  }

  #insertBetween(previous: Node<T> | undefined, item: T, next: Node<T> | undefined): void {
    if (this.#nodes.has(item)) throw new Error('already in this list');
    const node: Node<T> = { item, previous, next };
    this.#nodes.set(item, node);
    if (previous === undefined) this.#head = node;
    else previous.next = node;
    if (next === undefined) this.#tail = node;
    else next.previous = node;
  }
}
