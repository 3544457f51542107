/**
 * Spans: the bytes of an object that may lie in two frames.
 *
 * An allocator answers "where are the bytes" with the address of the first and
 * three scratch words: OUT_LENGTH bytes lie there, the rest, up to OUT_SIZE,
 * begins at OUT_SECOND. These two functions copy to and from such a span.
 */
import { OUT_LENGTH, OUT_SECOND } from '../abi';
import { out } from './scratch';

/** Copies the `size` bytes of a span that begins at `from` to one place. */
export function gather(to: usize, from: usize, size: u32): void {
  const length = out(OUT_LENGTH);
  memory.copy(to, from, length);
  if (length < size) memory.copy(to + length, out(OUT_SECOND), size - length);
}

/** Copies `size` bytes into a span that begins at `to`. */
export function scatter(from: usize, to: usize, size: u32): void {
  const length = out(OUT_LENGTH);
  memory.copy(to, from, length);
  if (length < size) memory.copy(out(OUT_SECOND), from + length, size - length);
}
