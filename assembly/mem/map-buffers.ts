/**
 * Map buffers: the bytes of an object in two places, in one piece while it is mapped.
 *
 * A map is one address. An object whose bytes lie in two frames (a straddling
 * slot of zsmalloc, two blocks of xcfmalloc) is copied into a frame of type
 * FRAME_BUFFER at its first map; all its maps share that. The last unmap copies
 * the bytes back, if one of the maps was for writing or the object was written
 * meanwhile, and gives the frame back.
 *
 *   entry   8 object: the allocator's record or descriptor of it, which names this frame
 *          12 the object again: write back at the end; its complement: do not
 *          16 a word of the allocator's, or 0
 *
 * Where an object lies is given as a span (mem/span.ts).
 */
import { OUT_LENGTH, OUT_SECOND } from '../abi';
import { frameAlloc, frameFree, needed } from './frame';
import { FRAME_BUFFER, entryOf, entryOwner, frameAddress, frameExists } from './layout';
import { setOut } from './scratch';
import { gather, scatter } from './span';


@unmanaged
class BufferEntry {
  owner: u32;
  generations: u32;
  object: u32;
  writeback: u32;
  word: u32;
  zero: u32;
  zeroes: u64;
}

/* @inline */ function bufferAt(frame: u32): BufferEntry {
  return changetype<BufferEntry>(entryOf(frame));
}

/** The word that the allocator keeps with a buffer. */
export function bufferWord(frame: u32): u32 {
  return bufferAt(frame).word;
}

/** Which object a buffer belongs to. */
export function bufferObject(frame: u32): usize {
  return bufferAt(frame).object;
}

/**
 * Takes a buffer for an object of `size` bytes, the span of which begins at `from`.
 * @param word for the allocator
 * @param discard the bytes are not wanted: the buffer starts as zeros
 * @returns its frame, 0 when there is none
 */
export function bufferTake(pool: usize, object: usize, word: u32, from: usize, size: u32, discard: bool): u32 {
  const frame = frameAlloc((<u32>pool) | FRAME_BUFFER);
  if (frame == 0) {
    needed(1);
    return 0;
  }
  if (!discard) gather(frameAddress(frame), from, size);
  bufferAt(frame).object = <u32>object;
  bufferAt(frame).writeback = ~(<u32>object);
  bufferAt(frame).word = word;
  return frame;
}

/** The object may be changed in its buffer: it is to be written back. */
export function bufferWrites(frame: u32): void {
  bufferAt(frame).writeback = bufferAt(frame).object;
}

/**
 * The span of an object of `size` bytes while it is mapped: all of it is in its buffer.
 * @param writing the access changes the object
 */
export function bufferSpan(frame: u32, size: u32, writing: bool): u32 {
  if (writing) bufferWrites(frame);
  setOut(OUT_LENGTH, size);
  setOut(OUT_SECOND, 0);
  return <u32>frameAddress(frame);
}

/** Ends a buffer: copies its bytes, if they are to be written back, to the span of the object, which begins at `to`. */
export function bufferEnd(frame: u32, to: usize, size: u32): void {
  if (bufferAt(frame).writeback == bufferAt(frame).object) scatter(frameAddress(frame), to, size);
  frameFree(frame);
}

// ── check ────────────────────────────────────────────────────────────────────

/** Whether a frame from anywhere is the buffer of this object. */
export function isBufferOf(pool: usize, frame: u32, object: usize): bool {
  return (
    frameExists(frame) &&
    entryOwner(entryOf(frame)) == ((<u32>pool) | FRAME_BUFFER) &&
    bufferAt(frame).object == <u32>object
  );
}

/** Whether the entry of a buffer is sound by itself; its object and the word are the allocator's to check. */
export function bufferIsSound(frame: u32): bool {
  const entry = bufferAt(frame);
  return (entry.writeback == entry.object || entry.writeback == ~entry.object) && entry.zero == 0 && entry.zeroes == 0;
}
