/** Figures of a pool, and the contents of its frames. They come from the result area and the buffers of the core. */
import {
  COUNT_BYTES_MOVED,
  COUNT_LIVE_BYTES,
  COUNT_MAPS,
  COUNT_OBJECTS,
  COUNT_OBJECTS_MOVED,
  IDENTITY_OPTIONS,
  OUT_WALK_FREE,
  OUT_WALK_OBJECTS,
  PAGE_SIZE,
  ROW_WORDS,
  WALK_BYTES,
  WALK_FREE_BYTES,
  WALK_FREE_OFFSET,
  WALK_FREE_WORDS,
  WALK_HANDLE,
  WALK_OBJECT_WORDS,
  WALK_OFFSET,
} from '../assembly/abi.ts';
import { rowOf, type AllocatorName } from './allocators.ts';
import { CompcacheError, show } from './errors.ts';
import type { FrameContents, Handle, ZpoolStats } from './plain-types.ts';
import { isPromise } from './promises.ts';
import type { Core } from './wasm.ts';

/** stats() of a pool. */
export function figuresOf(
  core: Core,
  pool: number,
  allocator: AllocatorName,
  { frames, metadataFrames }: { frames: number; metadataFrames: number },
): ZpoolStats {
  const counter = (which: number): number => core.exports.zpoolCounter(pool, which);
  const liveBytes = counter(COUNT_LIVE_BYTES);
  const metadataBytes = metadataFrames * PAGE_SIZE;
  const total = frames * PAGE_SIZE;
  return {
    liveBytes,
    objects: counter(COUNT_OBJECTS),
    frames,
    metadataBytes,
    density: total === 0 ? 0 : liveBytes / total,
    densityWithMetadata: liveBytes / (total + metadataBytes),
    objectsMoved: counter(COUNT_OBJECTS_MOVED),
    bytesMoved: counter(COUNT_BYTES_MOVED),
    spanning: core.exports.zpoolSpanning(pool) >>> 0,
    maps: counter(COUNT_MAPS),
    ...tablesOf(core, pool, allocator),
  };
}

/** Figures of the allocator's own table. */
function tablesOf(
  { exports, memory }: Core,
  pool: number,
  allocator: AllocatorName,
): Pick<ZpoolStats, 'lists' | 'classes' | 'reserveFrames'> {
  const buffer = exports.blockBuffer() >>> 0;
  const rows = Array.from({ length: exports.zpoolTables(pool) >>> 0 }, (_, nth) => {
    exports.zpoolTable(pool, nth);
    return new Uint32Array(memory.buffer, buffer, ROW_WORDS).slice();
  });
  const options = [0, 1, 2].map((nth) => exports.zpoolIdentity(pool, IDENTITY_OPTIONS + nth) >>> 0);
  return rowOf(allocator).figures(rows, options);
}

/** The contents of a frame that the core's walk just visited. */
function contentsOf({ exports, memory, out }: Core, frame: number): FrameContents {
  const objects = new Uint32Array(
    memory.buffer,
    exports.blockBuffer() >>> 0,
    WALK_OBJECT_WORDS * (out[OUT_WALK_OBJECTS] as number),
  ).slice();
  const free = new Uint32Array(
    memory.buffer,
    exports.pageBuffer() >>> 0,
    WALK_FREE_WORDS * (out[OUT_WALK_FREE] as number),
  ).slice();
  return {
    frame,
    objects: startsOf(objects, WALK_OBJECT_WORDS).map((at) => ({
      handle: objects[at + WALK_HANDLE] as Handle,
      offset: objects[at + WALK_OFFSET] as number,
      bytes: objects[at + WALK_BYTES] as number,
    })),
    free: startsOf(free, WALK_FREE_WORDS).map((at) => ({
      offset: free[at + WALK_FREE_OFFSET] as number,
      bytes: free[at + WALK_FREE_BYTES] as number,
    })),
  };
}

/**
 * zpool.walk: visits every frame with objects, in frame order.
 * @param next returns the first such frame after the given one, 0 when there is none; called before each visit, so it
 *   refuses a pool that was closed
 * @throws the errors of visit; EINVAL when visit is not a function or returns a Promise
 */
export function walkFrames(
  op: string,
  visit: (contents: FrameContents) => void,
  next: (frame: number) => number,
  core: () => Core,
): void {
  if (typeof visit !== 'function')
    throw new CompcacheError('EINVAL', op, `visit must be a function, not ${show(visit)}`);
  for (let frame = next(0); frame !== 0; frame = next(frame)) {
    if (isPromise(visit(contentsOf(core(), frame))))
      throw new CompcacheError('EINVAL', op, 'visit returned a Promise; it must be synchronous');
  }
}

/** The index of each record in an array of records with `each` words. */
function startsOf(words: Uint32Array, each: number): number[] {
  return Array.from({ length: words.length / each }, (_, i) => i * each);
}
