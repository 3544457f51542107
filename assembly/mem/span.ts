/**
 * Spans: the bytes of an object that may lie in two frames.
 *
 * A span is the address of the first byte and three result words: OUT_LENGTH bytes
 * lie at that address; the rest of the OUT_SIZE bytes begins at OUT_SECOND. gather
 * copies from such a span, scatter copies to it.
 */
import { OUT_LENGTH, OUT_OFFSET, OUT_SECOND, OUT_SIZE } from '../abi';
import { isError } from '../base/errno';
import { PAGE_MASK, PAGE_SHIFT } from './layout';
import { out, setOut } from './scratch';

/** Copies the `size` bytes of a span that begins at `from` to one range at `to`. */
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

/** Sets the result words of a span whose bytes lie in one piece. */
/* @inline */ export function spanWhole(size: u32): void {
  setOut(OUT_SIZE, size);
  setOut(OUT_LENGTH, size);
  setOut(OUT_SECOND, 0);
}

/**
 * Frame and offset (OUT_OFFSET) of an object in one piece.
 * @param address the result of span: an address or an error
 */
export function locateWhole(address: u32): u32 {
  if (isError(address)) return address;
  setOut(OUT_OFFSET, address & PAGE_MASK);
  return address >> PAGE_SHIFT;
}
