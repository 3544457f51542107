/**
 * Walk: one form for the contents of a frame, whatever the allocator.
 *
 * An allocator's walk function reports each object (or the part of it that lies
 * in this frame) and each free range; they are collected in the scratch buffers
 * from where the bindings read them. Statistics, drawings and tests use it.
 *
 *   block buffer: objects, { handle, offset in the frame, bytes } u32 each
 *   page buffer:  free ranges, { offset, bytes } u32 each
 *
 * No frame holds more than 512 objects or 512 free ranges (blocks of 8 bytes).
 */
import { OUT_A, OUT_B, blockBuffer, out, pageBuffer, setOut } from './scratch';

export function walkStart(): void {
  setOut(OUT_A, 0);
  setOut(OUT_B, 0);
}

export function walkObject(handle: u32, offset: u32, bytes: u32): void {
  const count = out(OUT_A);
  const at = blockBuffer() + <usize>count * 12;
  store<u32>(at, handle);
  store<u32>(at, offset, 4);
  store<u32>(at, bytes, 8);
  setOut(OUT_A, count + 1);
}

export function walkFree(offset: u32, bytes: u32): void {
  const count = out(OUT_B);
  const at = pageBuffer() + <usize>count * 8;
  store<u32>(at, offset);
  store<u32>(at, bytes, 4);
  setOut(OUT_B, count + 1);
}
