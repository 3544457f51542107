/**
 * zbud as a plain model: up to two objects in a frame, FIRST from the left, LAST from the right.
 *
 * Follows docs/rules/zbud-z3fold.md section 1 (rules B1 to B9); layout '2013' as at
 * the end of it: 64 chunks, no header in the frame, sizes to 4096. Passing over frames with a
 * mapped object, and the error codes, are R1 to R5.
 */
import { BaseModel } from './base.ts';
import type { LiveObject } from './base.ts';
import { invariant, List, PAGE_SIZE } from './types.ts';

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
interface Resident extends LiveObject {
  readonly chunks: number;
  readonly frame: Frame;
}

export class ZbudModel extends BaseModel<Resident, Frame> {
  readonly usableChunks: number; // B1
  readonly maxSize: number; // B2
  readonly #firstOffset: number;
  /** Index k: frames whose gap is k chunks and that have an empty slot; 0 is never searched. */
  readonly #gapLists: List<Frame>[] = [];
  readonly #full = new List<Frame>();
  /** Head = front = newest. */
  readonly #lru = new List<Frame>();
  readonly #frames = new Set<Frame>();
  #nextSerial = 0;

  constructor(layout: ZbudLayout = '6.1') {
    super();
    this.#firstOffset = layout === '6.1' ? CHUNK : 0;
    this.usableChunks = layout === '6.1' ? 63 : 64;
    this.maxSize = layout === '6.1' ? 3968 : 4096;
    for (let gap = 0; gap <= this.usableChunks; gap++) this.#gapLists.push(new List());
  }

  get pages(): number {
    return this.#frames.size;
  }

  protected override put(id: number, bytes: number): Resident {
    const chunks = Math.ceil(bytes / CHUNK);
    const frame = this.#findFrame(chunks) ?? this.#newFrame();
    const object: Resident = { id, bytes, chunks, frame, maps: 0 };
    // B4
    if (frame.first === undefined) frame.first = object;
    else frame.last = object;
    // B5
    this.#relist(frame);
    if (this.#lru.has(frame)) this.#lru.remove(frame);
    this.#lru.insertHead(frame);
    return object;
  }

  protected override remove(object: Resident): void {
    const { frame } = object;
    if (frame.first === object) frame.first = undefined;
    else frame.last = undefined;
    // B6
    if (frame.underReclaim) return;
    this.#unlist(frame);
    if (frame.first === undefined && frame.last === undefined) {
      this.#lru.remove(frame);
      this.#frames.delete(frame);
    } else {
      this.#relist(frame);
    }
  }

  // ---- reclaim (B7 to B9)

  protected override victim(): Frame | undefined {
    return this.#lru.findFromTail((frame) => (frame.first?.maps ?? 0) === 0 && (frame.last?.maps ?? 0) === 0);
  }

  protected override isolate(frame: Frame): void {
    this.#lru.remove(frame);
    this.#unlist(frame);
    frame.underReclaim = true;
  }

  protected override residents(frame: Frame): Resident[] {
    return [frame.first, frame.last].filter((object) => object !== undefined);
  }

  protected override release(frame: Frame): number {
    frame.underReclaim = false;
    if (frame.first === undefined && frame.last === undefined) {
      this.#frames.delete(frame);
      return 1;
    }
    this.#relist(frame);
    this.#lru.insertHead(frame);
    return 0;
  }

  // B1
  placement(id: number): number {
    const object = this.object(id);
    if (object.frame.first === object) return this.#firstOffset;
    return PAGE_SIZE - CHUNK * object.chunks;
  }

  where(id: number): number {
    const object = this.object(id);
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
        invariant(this.live.get(object.id) === object, 'a slot holds a live object');
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
    invariant(residents === this.live.size, 'every object is in a slot');
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
}
