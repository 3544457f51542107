/**
 * What the five models share: ids, sizes and codes, map counts, and the loop of reclaim (R1 to R5 of
 * docs/rules/README.md). A model adds the places of objects, and what happens to a frame.
 */
import { EAGAIN, EBUSY, EINVAL, ENOSPC, isU32, shrinkByReclaim } from './types.ts';
import type { Evict, MapMode, PoolModel } from './types.ts';

/** The properties of an object in every model; each model adds the place. */
export interface LiveObject {
  readonly id: number;
  readonly bytes: number;
  maps: number;
}

/** `Place` is the unit of reclaim: a frame or a zspage. */
export abstract class BaseModel<Item extends LiveObject, Place> implements PoolModel {
  /** By id, in the order of their allocation. */
  protected readonly live = new Map<number, Item>();
  #nextId = 1;
  #liveBytes = 0;

  abstract readonly maxSize: number;
  abstract readonly pages: number;

  get objects(): number {
    return this.live.size;
  }

  get liveBytes(): number {
    return this.#liveBytes;
  }

  ids(): number[] {
    return [...this.live.keys()];
  }

  // ---- objects

  malloc(size: number): number {
    if (!isU32(size) || size === 0) return EINVAL;
    if (size > this.maxSize) return ENOSPC;
    const object = this.put(this.#nextId++, size);
    this.live.set(object.id, object);
    this.#liveBytes += size;
    return object.id;
  }

  /** Makes an object of a size that is allowed, and puts it in its place. */
  protected abstract put(id: number, bytes: number): Item;

  free(id: number): number {
    const object = this.live.get(id);
    if (object === undefined) return EINVAL;
    if (object.maps > 0) return EBUSY;
    this.live.delete(id);
    this.#liveBytes -= object.bytes;
    this.remove(object);
    return 0;
  }

  /** Takes an object that is no longer live out of its place. */
  protected abstract remove(object: Item): void;

  size(id: number): number {
    return this.live.get(id)?.bytes ?? EINVAL;
  }

  write(id: number): number {
    const object = this.live.get(id);
    if (object === undefined) return EINVAL;
    this.written(object);
    return 0;
  }

  map(id: number, mode: MapMode): number {
    const object = this.live.get(id);
    if (object === undefined) return EINVAL;
    object.maps++;
    if (mode === 'wo') this.written(object);
    return 0;
  }

  unmap(id: number): number {
    const object = this.live.get(id);
    if (object === undefined || object.maps === 0) return EINVAL;
    object.maps--;
    return 0;
  }

  /** Called when an object was written or mapped 'wo', for models in which this marks a place as recently used. */
  protected written(_object: Item): void {}

  protected object(id: number): Item {
    const object = this.live.get(id);
    if (object === undefined) throw new Error(`no object ${id}`);
    return object;
  }

  // ---- reclaim

  shrink(pages: number, evict?: Evict): number {
    return shrinkByReclaim(pages, () => this.reclaim(8, evict));
  }

  reclaim(tries: number, evict?: Evict): number {
    if (evict === undefined || tries === 0) return EINVAL;
    for (let attempt = 0; attempt < tries; attempt++) {
      const victim = this.victim();
      if (victim === undefined) return attempt === 0 ? EINVAL : EAGAIN;
      this.isolate(victim);
      for (const object of this.residents(victim)) {
        // The callback may have freed other objects as well.
        if (!this.live.has(object.id)) continue;
        const answer = evict(object.id);
        if (answer === 'free' && this.live.has(object.id)) this.free(object.id);
        if (answer === 'keep') break;
      }
      const frames = this.release(victim);
      if (frames > 0) return frames;
    }
    return EAGAIN;
  }

  /** The least recently used place that may be reclaimed; one with a mapped object is passed over. */
  protected abstract victim(): Place | undefined;

  /** Takes a victim off all lists, so that nothing is placed in it meanwhile. */
  protected abstract isolate(victim: Place): void;

  /** The objects of a place in the order of their eviction, at this moment: a new array. */
  protected abstract residents(place: Place): Item[];

  /** Ends the reclaim of a victim. @returns the frames that came back; 0 when it is in use again */
  protected abstract release(victim: Place): number;

  // ---- what only some allocators do

  compact(_options?: { victims?: number }): number {
    return 0;
  }

  freeable(): number {
    return 0;
  }

  runDeferred(): void {}

  renumber(_framesOf: (id: number) => readonly number[]): void {}

  abstract placement(id: number): number;
  abstract where(id: number): number;
  abstract check(): void;
}
