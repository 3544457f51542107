/**
 * The note of a front end: bytes that the bindings keep in the RAM, so that the front end can be opened again after a
 * restore.
 *
 * The settings that the core needs are words of the header. The bindings write all other settings as text into the
 * note: names of codecs and allocators, options of the pools, limits of writeback. The core does not read that text. It
 * only keeps it and verifies its checksum.
 *
 *   header of the front end
 *    2048  CRC-32C over the bytes, 0 for none      2052  bytes, at most 2040      2056  the bytes, then zeros
 *
 * What lies before byte 2048 is described with each kind of front end.
 */
import { EINVAL } from '../abi';
import { crc32c } from '../base/crc';
import { PAGE_SHIFT, PAGE_SIZE } from '../mem/layout';
import { crcTables, pageBuffer } from '../mem/scratch';
import { RULE_FRONT, broken } from '../mem/verify';
import { isFrontEnd } from './backed';

/** Where the note begins. The other words of a header end here at the latest. */
export const NOTE: usize = 2048;
const NOTE_LENGTH: usize = NOTE + 4;
const NOTE_BYTES: usize = NOTE + 8;
const NOTE_MAX: u32 = PAGE_SIZE - <u32>NOTE_BYTES;

/**
 * Writes the first bytes of the page buffer as the note and replaces the note before. 0; EINVAL for no front end or
 * more than 2040 bytes.
 */
export function frontSetNote(front: usize, bytes: u32): u32 {
  if (!isFrontEnd(front) || bytes > NOTE_MAX) return EINVAL;
  memory.fill(front + NOTE, 0, PAGE_SIZE - <u32>NOTE);
  memory.copy(front + NOTE_BYTES, pageBuffer(), bytes);
  store<u32>(front, bytes, NOTE_LENGTH);
  store<u32>(front, sumOf(front, bytes), NOTE);
  return 0;
}

/** Copies the note to the page buffer. Returns its bytes; EINVAL. */
export function frontNote(front: usize): u32 {
  if (!isFrontEnd(front)) return EINVAL;
  const bytes = load<u32>(front, NOTE_LENGTH);
  memory.copy(pageBuffer(), front + NOTE_BYTES, bytes);
  return bytes;
}

function sumOf(front: usize, bytes: u32): u32 {
  return bytes == 0 ? 0 : crc32c(crcTables(), front + NOTE_BYTES, bytes, 0);
}

/** Verifies a note. 0 or EUCLEAN. */
export function noteCheck(front: usize): u32 {
  const home = <u32>(front >> PAGE_SHIFT);
  const bytes = load<u32>(front, NOTE_LENGTH);
  if (bytes > NOTE_MAX || load<u32>(front, NOTE) != sumOf(front, bytes)) return broken(RULE_FRONT, home);
  for (let at = NOTE_BYTES + bytes; at < <usize>PAGE_SIZE; at++) {
    if (load<u8>(front + at) != 0) return broken(RULE_FRONT, home);
  }
  return 0;
}
