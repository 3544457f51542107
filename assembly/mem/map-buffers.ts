/**
 * Map buffers: an object that lies in two frames has its bytes in one piece while it is mapped.
 *
 * A map gives one address. An object whose bytes lie in two frames (a straddling
 * object of zsmalloc, two blocks of xcfmalloc) is copied into a frame of type
 * FRAME_BUFFER at its first map. All its maps share this buffer frame. The last
 * unmap copies the bytes back, if a map was for writing or the object was written
 * meanwhile, and frees the buffer frame.
 *
 *   frame entry   8 object: address of its record or descriptor, which holds the number of this frame
 *                12 the same value: write back at the end; its complement: do not write back
 *                16 a word for the allocator, or 0
 *
 * Functions get the place of an object as a span (mem/span.ts).
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

/** The word of the allocator in the frame entry of a buffer. */
export function bufferWord(frame: u32): u32 {
  return bufferAt(frame).word;
}

/** The object of a buffer: address of its record or descriptor. */
export function bufferObject(frame: u32): usize {
  return bufferAt(frame).object;
}

/**
 * Takes a buffer for an object of `size` bytes, whose span begins at `from`.
 * @param word a word for the allocator (bufferWord)
 * @param discard true when the old bytes are not needed: the buffer starts with zeros
 * @returns the buffer frame, 0 without a frame
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

/** Notes that the object may be changed in its buffer: the last unmap writes it back. */
export function bufferWrites(frame: u32): void {
  bufferAt(frame).writeback = bufferAt(frame).object;
}

/**
 * The span of an object of `size` bytes while it is mapped: all its bytes are in its buffer.
 * @param writing true when the access changes the object
 */
export function bufferSpan(frame: u32, size: u32, writing: bool): u32 {
  if (writing) bufferWrites(frame);
  setOut(OUT_LENGTH, size);
  setOut(OUT_SECOND, 0);
  return <u32>frameAddress(frame);
}

/**
 * Frees a buffer. Copies its bytes to the span of the object, which begins at `to`, if they have to be written back.
 */
export function bufferEnd(frame: u32, to: usize, size: u32): void {
  if (bufferAt(frame).writeback == bufferAt(frame).object) scatter(frameAddress(frame), to, size);
  frameFree(frame);
}

// ── check ────────────────────────────────────────────────────────────────────

/** True when a number (from anywhere) is the buffer frame of this object. */
export function isBufferOf(pool: usize, frame: u32, object: usize): bool {
  return (
    frameExists(frame) &&
    entryOwner(entryOf(frame)) == ((<u32>pool) | FRAME_BUFFER) &&
    bufferAt(frame).object == <u32>object
  );
}

/** True when the frame entry of a buffer is correct, apart from object and word: the allocator checks these. */
export function bufferIsSound(frame: u32): bool {
  const entry = bufferAt(frame);
  return (entry.writeback == entry.object || entry.writeback == ~entry.object) && entry.zero == 0 && entry.zeroes == 0;
}
