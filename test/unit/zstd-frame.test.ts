/**
 * The end of a Zstandard frame, on frames of the reference encoder, so that this is tested on hosts without an encoder
 * too.
 */
import { expect, test } from 'vitest';
import { isWholeFrame } from '../../bindings/codec/zstd-frame.ts';

const FRAMES = {
  text: '28b52ffd203d2d0100e06672616d6520706167652068616e646c65206275646479206c697374020097329695e205',
  'text, with a checksum':
    '28b52ffd243d2d0100e06672616d6520706167652068616e646c65206275646479206c697374020097329695e2052f5857ea',
  'text, with a window in place of its length':
    '28b52ffd00002d0100e06672616d6520706167652068616e646c65206275646479206c697374020097329695e205',
  zeros: '28b52ffd60000f4d00001000000100fbf70116',
  'zeros, with a checksum': '28b52ffd642c004d00001000000100272ac00290ea003a',
  nothing: '28b52ffd2000010000',
};

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

test.each(Object.entries(FRAMES))('%s: its length is found to the byte', (_, hex) => {
  const frame = bytesOf(hex);
  expect(isWholeFrame(frame)).toBe(true);
  for (let length = 0; length < frame.length; length++) expect(isWholeFrame(frame.subarray(0, length))).toBe(false);
  expect(isWholeFrame(Uint8Array.of(...frame, 0))).toBe(false);
  expect(isWholeFrame(Uint8Array.of(...frame, ...frame))).toBe(false);
});

test('another magic number or a reserved block type is not a frame', () => {
  const frame = bytesOf(FRAMES.nothing);
  for (let at = 0; at < 4; at++) expect(isWholeFrame(frame.map((byte, i) => (i === at ? byte ^ 1 : byte)))).toBe(false);
  expect(isWholeFrame(Uint8Array.of(...frame.subarray(0, 6), 0b111, 0, 0))).toBe(false);
});

test('a run takes one byte, whatever its length', () => {
  const start = bytesOf('28b52ffd60e802'); // 1000 bytes: 744 + 256
  const first = [0x02 | ((500 << 3) & 0xff), (500 << 3) >> 8, 0, 7]; // 500 of them, not the last block
  const last = [0x03 | ((500 << 3) & 0xff), (500 << 3) >> 8, 0, 7];
  expect(isWholeFrame(Uint8Array.of(...start, ...first, ...last))).toBe(true);
  expect(isWholeFrame(Uint8Array.of(...start, ...first))).toBe(false);
});
