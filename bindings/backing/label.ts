/**
 * Labels: the first 512 bytes of each extent of a volume. Also CRC-32C, the checksum of labels and slot map. Little
 * endian.
 *
 *     0  magic, 8 bytes        32  index of the extent      48  mark: 0 in all extents but the first,
 *     8  version               36  extents of the volume        1 dirty, 2 clean
 *    12  bytes of a unit       40  slots of the volume      52  CRC-32C of the slot map when clean, otherwise 0
 *    16  id, 16 random bytes   44  CRC-32C of the table    508  CRC-32C of bytes 0 … 507
 *        of the volume             of extents                   the rest is 0
 *
 * A label fits into one sector, so a disk writes all of it or nothing. The CRC detects a label that was written only in
 * part.
 */
import { SLOT_BYTES } from './types.ts';

export const LABEL_BYTES = 512;
export const LABEL_VERSION = 1;
const MAGIC = Uint8Array.from('compcswp', (letter) => letter.charCodeAt(0));
const ID_BYTES = 16;
const AT_CRC = LABEL_BYTES - 4;

export type Mark = 'none' | 'dirty' | 'clean';
const MARKS: readonly Mark[] = ['none', 'dirty', 'clean'];

export interface Label {
  /** Hexadecimal digits. */
  id: string;
  /** Which extent of the volume this is. */
  index: number;
  /** How many extents the volume has. */
  extents: number;
  slots: number;
  /** CRC-32C of the table of extents. */
  table: number;
  mark: Mark;
  /** CRC-32C of the slot map. */
  map: number;
}

let crcTable: Uint32Array | undefined;

function makeTable(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0x82f63b78 : byte >>> 1;
    return byte;
  });
}

/** CRC-32C (Castagnoli). */
export function crc32c(bytes: Uint8Array): number {
  const table = (crcTable ??= makeTable());
  let crc = ~0;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ (table[(crc ^ (bytes[i] as number)) & 255] as number);
  return ~crc >>> 0;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The id of a new volume. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(ID_BYTES)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}

/** The bytes of a label. */
export function encodeLabel(label: Label): Uint8Array {
  const bytes = new Uint8Array(LABEL_BYTES);
  const view = viewOf(bytes);
  bytes.set(MAGIC);
  view.setUint32(8, LABEL_VERSION, true);
  view.setUint32(12, SLOT_BYTES, true);
  for (let i = 0; i < ID_BYTES; i++) bytes[16 + i] = parseInt(label.id.slice(2 * i, 2 * i + 2), 16);
  const words = [label.index, label.extents, label.slots, label.table, MARKS.indexOf(label.mark), label.map];
  words.forEach((word, i) => view.setUint32(32 + 4 * i, word, true));
  view.setUint32(AT_CRC, crc32c(bytes.subarray(0, AT_CRC)), true);
  return bytes;
}

function isOurs(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, i) => bytes[i] === byte);
}

/**
 * Reads the first bytes of an extent. They are fewer than a label's when the medium ends there.
 * @returns the label; 'foreign' for bytes that are not a label; 'damaged' for a label that is not valid any more
 */
export function decodeLabel(bytes: Uint8Array): Label | 'foreign' | 'damaged' {
  if (!isOurs(bytes)) return 'foreign';
  if (bytes.length < LABEL_BYTES) return 'damaged';
  const view = viewOf(bytes);
  const word = (at: number): number => view.getUint32(at, true);
  const mark = MARKS[word(48)];
  const holds =
    word(AT_CRC) === crc32c(bytes.subarray(0, AT_CRC)) && word(8) === LABEL_VERSION && word(12) === SLOT_BYTES;
  if (!holds || mark === undefined) return 'damaged';
  const id = Array.from(bytes.subarray(16, 16 + ID_BYTES), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { id, index: word(32), extents: word(36), slots: word(40), table: word(44), mark, map: word(52) };
}
