/**
 * zbud as a plain model: up to two objects in a frame, FIRST from the left, LAST from the right.
 *
 * Follows docs/rules/zbud-z3fold.md section 1 (rules B1 to B9); layout '2013' as at
 * the end of it: 64 chunks, no header in the frame, sizes to 4096. Passing over frames with a
 * mapped object, and the error codes, are R1 to R5.
 */
import {
  EAGAIN,
  EBUSY,
  EINVAL,
  ENOSPC,
  invariant,
  isU32,
  List,
  PAGE_SIZE,
  shrinkByReclaim,
} from './types.ts';
import type { Evict, MapMode, PoolModel } from './types.ts';

const CHUNK = 64;

export type ZbudLayout = '6.1' | '2013';

interface Frame {
  readonly serial: number;
  first: Resident | undefined;
  last: Resident | undefined;
  /** The gap list (or the full list) that holds it; undefined while under reclaim. */
  list: List<Frame> | undefined;
  underReclaim: boolean;
}

/** An object. */
interface Resident {
  readonly id: number;
  readonly bytes: number;
  readonly chunks: number;
  readonly frame: Frame;
  maps: number;
}

export class ZbudModel implements PoolModel {
  readonly usableChunks: number; // B1
  readonly maxSize: number; // B2
  readonly #firstOffset: number;
  /** Index k: frames whose gap is k chunks and that have an empty slot; 0 is never searched. */
  readonly #gapLists: List<Frame>[] = [];
  readonly #full = new List<Frame>();
  /** Head = front = newest. */
  readonly #lru = new List<Frame>();
  readonly #frames = new Set<Frame>();
  readonly #objects = new Map<number, Resident>();
  #nextId = 1;
  #nextSerial = 0;

  constructor(layout: ZbudLayout = '6.1') {
    this.#firstOffset = layout === '6.1' ? CHUNK : 0;
    this.usableChunks = layout === '6.1' ? 63 : 64;
    this.maxSize = layout === '6.1' ? 3968 : 4096;
    for (let gap = 0; gap <= this.usableChunks; gap++) this.#gapLists.push(new List());
  }

  get pages(): number {
    return this.#frames.size;
  }

  get objects(): number {
    return this.#objects.size;
  }

  get liveBytes(): number {
    let bytes = 0;
    for (const object of this.#objects.values()) bytes += object.bytes;
    return bytes;
  }

  ids(): number[] {
    return [...this.#objects.keys()];
  }

  malloc(size: number): number {
    if (!isU32(size) || size === 0) return EINVAL;
    if (size > this.maxSize) return ENOSPC;
    const chunks = Math.ceil(size / CHUNK);
    const frame = this.#findFrame(chunks) ?? this.#newFrame();
    const object: Resident = { id: this.#nextId++, bytes: size, chunks, frame, maps: 0 };
    // B4
    if (frame.first === undefined) frame.first = object;
    else frame.last = object;
    this.#objects.set(object.id, object);
    // B5
    this.#relist(frame);
    if (this.#lru.has(frame)) this.#lru.remove(frame);
    this.#lru.insertHead(frame);
    return object.id;
  }

  free(id: number): number {
    const object = this.#objects.get(id);
    if (object === undefined) return EINVAL;
    if (object.maps > 0) return EBUSY;
    const frame = object.frame;
    this.#objects.delete(id);
    if (frame.first === object) frame.first = undefined;
    else frame.last = undefined;
    // B6
    if (frame.underReclaim) return 0;
    this.#unlist(frame);
    if (frame.first === undefined && frame.last === undefined) {
      this.#lru.remove(frame);
      this.#frames.delete(frame);
    } else {
      this.#relist(frame);
    }
    return 0;
  }

  size(id: number): number {
    return this.#objects.get(id)?.bytes ?? EINVAL;
  }

  write(id: number): number {
    return this.#objects.has(id) ? 0 : EINVAL;
  }

  // B9
  map(id: number, _mode: MapMode): number {
    const object = this.#objects.get(id);
    if (object === undefined) return EINVAL;
    object.maps++;
    return 0;
  }

  unmap(id: number): number {
    const object = this.#objects.get(id);
    if (object === undefined || object.maps === 0) return EINVAL;
    object.maps--;
    return 0;
  }

  // B8
  shrink(pages: number, evict?: Evict): number {
    return shrinkByReclaim(pages, () => this.reclaim(8, evict));
  }

  // B7
  reclaim(tries: number, evict?: Evict): number {
    if (evict === undefined || tries === 0 || this.#victim() === undefined) return EINVAL;
    for (let attempt = 0; attempt < tries; attempt++) {
      const frame = this.#victim();
      if (frame === undefined) return EAGAIN;
      this.#lru.remove(frame);
      this.#unlist(frame);
      frame.underReclaim = true;
      for (const object of [frame.first, frame.last]) {
        if (object === undefined || !this.#objects.has(object.id)) continue;
        const answer = evict(object.id);
        if (answer === 'free' && this.#objects.has(object.id)) this.free(object.id);
        if (answer === 'keep') break;
      }
      frame.underReclaim = false;
      if (frame.first === undefined && frame.last === undefined) {
        this.#frames.delete(frame);
        return 1;
      }
      this.#relist(frame);
      this.#lru.insertHead(frame);
    }
    return EAGAIN;
  }

  compact(): number {
    return 0;
  }

  freeable(): number {
    return 0;
  }

  // B1
  placement(id: number): number {
    const object = this.#objects.get(id);
    if (object === undefined) throw new Error(`no object ${id}`);
    if (object.frame.first === object) return this.#firstOffset;
    return PAGE_SIZE - CHUNK * object.chunks;
  }

  where(id: number): number {
    const object = this.#objects.get(id);
    if (object === undefined) throw new Error(`no object ${id}`);
    return object.frame.serial * PAGE_SIZE + this.placement(id);
  }

  /** Frames front to back of the LRU, each as the ids of its FIRST and LAST (0 = empty). */
  lru(): [first: number, last: number][] {
    return this.#lru.toArray().map((frame) => [frame.first?.id ?? 0, frame.last?.id ?? 0]);
  }

  check(): void {
    let residents = 0;
    let listed = this.#full.size;
    for (const list of this.#gapLists) listed += list.size;
    for (const frame of this.#frames) {
      for (const object of [frame.first, frame.last]) {
        if (object === undefined) continue;
        residents++;
        invariant(this.#objects.get(object.id) === object, 'a slot holds a live object');
        invariant(object.frame === frame, 'an object knows its frame');
      }
      invariant(this.#gap(frame) >= 0, 'B1: the objects of a frame do not overlap');
      if (frame.underReclaim) {
        listed++;
        invariant(frame.list === undefined, 'B7: no list while under reclaim');
        invariant(!this.#lru.has(frame), 'B7: not on the LRU while under reclaim');
        continue;
      }
      invariant(frame.first !== undefined || frame.last !== undefined, 'B6: no empty frame');
      invariant(frame.list === this.#listFor(frame), 'B5: on the list of its gap');
      invariant(frame.list?.has(frame) === true, 'B5: on the list it names');
      invariant(this.#lru.has(frame), 'B5: on the LRU');
    }
    invariant(residents === this.#objects.size, 'every object is in a slot');
    invariant(listed === this.#frames.size, 'every frame is on one list');
    const reclaimed = [...this.#frames].filter((frame) => frame.underReclaim).length;
    invariant(this.#lru.size + reclaimed === this.#frames.size, 'every frame is on the LRU');
  }

  // B3
  #findFrame(chunks: number): Frame | undefined {
    for (let gap = chunks; gap <= this.usableChunks; gap++) {
      const frame = this.#gapLists[gap]?.head;
      if (frame === undefined) continue;
      this.#unlist(frame);
      return frame;
    }
    return undefined;
  }

  #newFrame(): Frame {
    const frame: Frame = {
      serial: this.#nextSerial++,
      first: undefined,
      last: undefined,
      list: undefined,
      underReclaim: false,
    };
    this.#frames.add(frame);
    return frame;
  }

  #gap(frame: Frame): number {
    return this.usableChunks - (frame.first?.chunks ?? 0) - (frame.last?.chunks ?? 0);
  }

  #listFor(frame: Frame): List<Frame> | undefined {
    if (frame.first !== undefined && frame.last !== undefined) return this.#full;
    return this.#gapLists[this.#gap(frame)];
  }

  #unlist(frame: Frame): void {
    frame.list?.remove(frame);
    frame.list = undefined;
  }

  #relist(frame: Frame): void {
    frame.list = this.#listFor(frame);
    frame.list?.insertHead(frame);
  }

  /** The LRU tail; a frame with a mapped object is passed over (R4). */
  #victim(): Frame | undefined {
    return this.#lru.findFromTail(
      (frame) => (frame.first?.maps ?? 0) === 0 && (frame.last?.maps ?? 0) === 0,
    );
  }
}
