/**
 * Walk: reports the contents of a frame in one form for all allocators.
 *
 * The walk function of an allocator reports each object (or the part of an object
 * that lies in this frame) and each free range. They are collected in the scratch
 * buffers; the bindings read them there. Statistics, drawings and tests use this.
 *
 *   block buffer: objects, { handle, offset in the frame, bytes }, u32 each (WALK_… of abi.ts)
 *   page buffer:  free ranges, { offset, bytes }, u32 each
 *
 * A frame holds at most 512 objects and 512 free ranges (of 8 bytes).
 */
import {
  OUT_WALK_FREE,
  OUT_WALK_OBJECTS,
  WALK_BYTES,
  WALK_FREE_BYTES,
  WALK_FREE_OFFSET,
  WALK_FREE_WORDS,
  WALK_HANDLE,
  WALK_OBJECT_WORDS,
  WALK_OFFSET,
} from '../abi';
import { blockBuffer, out, pageBuffer, setOut } from './scratch';

export function walkStart(): void {
  setOut(OUT_WALK_OBJECTS, 0);
  setOut(OUT_WALK_FREE, 0);
}

export function walkObject(handle: u32, offset: u32, bytes: u32): void {
  const count = out(OUT_WALK_OBJECTS);
  const at = blockBuffer() + ((<usize>(count * WALK_OBJECT_WORDS)) << 2);
  store<u32>(at + ((<usize>WALK_HANDLE) << 2), handle);
  store<u32>(at + ((<usize>WALK_OFFSET) << 2), offset);
  store<u32>(at + ((<usize>WALK_BYTES) << 2), bytes);
  setOut(OUT_WALK_OBJECTS, count + 1);
}

export function walkFree(offset: u32, bytes: u32): void {
  const count = out(OUT_WALK_FREE);
  const at = pageBuffer() + ((<usize>(count * WALK_FREE_WORDS)) << 2);
  store<u32>(at + ((<usize>WALK_FREE_OFFSET) << 2), offset);
  store<u32>(at + ((<usize>WALK_FREE_BYTES) << 2), bytes);
  setOut(OUT_WALK_FREE, count + 1);
}
