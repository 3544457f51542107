/**
 * Images: a RAM as bytes.
 *
 *   0 "CCIM"   4 format   8 layout version   12 frames of the RAM
 *  16 frames in the image                    20 runs
 *  24 runs, { first frame, frames } u32 each, ascending
 *     the frames
 *     CRC-32C of everything before
 *
 * All numbers are little endian. An image holds only frames with state: the boot frame, the frame tables in use, and
 * the frames that have an owner. So the size of an image depends on what the RAM stores, and equal states give equal
 * bytes.
 */
import { FRAMES_MAX, FRAMES_MIN, LAYOUT_VERSION, NO_FRAME, RAM_FRAMES } from '../assembly/abi.ts';
import { CompcacheError } from './errors.ts';
import { PAGE_SIZE, attach, type Core, type Instance } from './wasm.ts';

const IMAGE_MAGIC = 0x4d494343; // "CCIM"
const FORMAT = 1;
const HEADER_BYTES = 24;
const PART_FRAMES = 256;

export interface Run {
  first: number;
  count: number;
}

/** The runs of frames that an image of this RAM holds. */
export function runsOf({ exports }: Instance): Run[] {
  const { ramSaved } = exports;
  const runs: Run[] = [];
  let last: Run | undefined;
  for (let frame = ramSaved(0) >>> 0; frame !== NO_FRAME; frame = ramSaved(frame + 1) >>> 0) {
    if (last !== undefined && frame === last.first + last.count) last.count += 1;
    else runs.push((last = { first: frame, count: 1 }));
  }
  return runs;
}

/** CRC-32C of bytes outside the memory. They go through the page buffer. */
function checksumOf(core: Core, bytes: Uint8Array, crc: number): number {
  const { checksum } = core.exports;
  for (let from = 0; from < bytes.length; from += PAGE_SIZE) {
    const part = bytes.subarray(from, from + PAGE_SIZE);
    core.page.set(part);
    crc = checksum(core.pageAddress, part.length, crc) >>> 0;
  }
  return crc;
}

/**
 * The image in parts: header, runs of frames (copies, at most 1 MiB each), checksum.
 * @param quiescent returns the core, or throws when no image can be taken now; called before each part
 * @param verify the name of the call for the error when the frames have changed at the end (EBUSY); undefined: no check
 *   is needed
 */
export function* imageChunks(quiescent: () => Core, verify?: string): Generator<Uint8Array<ArrayBuffer>> {
  const core = quiescent();
  const { exports } = core;
  const runs = runsOf(core);
  const header = new Uint32Array(HEADER_BYTES / 4 + 2 * runs.length);
  const saved = runs.reduce((sum, run) => sum + run.count, 0);
  header.set([IMAGE_MAGIC, FORMAT, LAYOUT_VERSION, exports.ramCounter(RAM_FRAMES) >>> 0, saved, runs.length]);
  runs.forEach((run, i) => header.set([run.first, run.count], HEADER_BYTES / 4 + 2 * i));
  const head = new Uint8Array(header.buffer);
  const start = checksumOf(core, head, 0);
  const parts = runs.flatMap(inParts);
  const checksumPart = (crc: number, part: Run): number =>
    exports.checksum(part.first * PAGE_SIZE, part.count * PAGE_SIZE, crc) >>> 0;
  yield head;
  let crc = start;
  for (const part of parts) {
    quiescent();
    crc = checksumPart(crc, part);
    yield core.bytes.slice(part.first * PAGE_SIZE, (part.first + part.count) * PAGE_SIZE);
  }
  quiescent();
  if (verify !== undefined && parts.reduce(checksumPart, start) !== crc) {
    throw new CompcacheError('EBUSY', verify, 'the RAM changed while its image was taken');
  }
  yield new Uint8Array(new Uint32Array([crc]).buffer);
}

/** Cuts a run into parts of up to PART_FRAMES frames. */
function inParts({ first, count }: Run): Run[] {
  return Array.from({ length: Math.ceil(count / PART_FRAMES) }, (_, i) => ({
    first: first + i * PART_FRAMES,
    count: Math.min(PART_FRAMES, count - i * PART_FRAMES),
  }));
}

export interface ParsedImage {
  /** Frames of the RAM that the image was taken of. */
  totalFrames: number;
  runs: Run[];
  bytes: Uint8Array;
}

function damaged(op: string, why: string): CompcacheError {
  return new CompcacheError('EIO', op, `the image is not a whole RAM: ${why}`);
}

/** Reads and checks the header of an image, but not its checksum. EIO. */
export function parseImage(op: string, bytes: Uint8Array): ParsedImage {
  if (bytes.length < HEADER_BYTES + 4) throw damaged(op, 'too short');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const word = (at: number): number => view.getUint32(at, true);
  if (word(0) !== IMAGE_MAGIC) throw damaged(op, 'it is not an image');
  if (word(4) !== FORMAT) throw damaged(op, `it has format ${word(4)}, this version reads format ${FORMAT}`);
  if (word(8) !== LAYOUT_VERSION)
    throw new CompcacheError('EIO', op, `the image has layout ${word(8)}, this version reads layout ${LAYOUT_VERSION}`);
  const totalFrames = word(12);
  const saved = word(16);
  const count = word(20);
  if (totalFrames < FRAMES_MIN || totalFrames > FRAMES_MAX || totalFrames % 16 !== 0)
    throw damaged(op, `${totalFrames} frames`);
  if (bytes.length !== HEADER_BYTES + 8 * count + PAGE_SIZE * saved + 4) throw damaged(op, 'wrong length');
  const runs: Run[] = [];
  let next = 0;
  let sum = 0;
  for (let at = HEADER_BYTES; at < HEADER_BYTES + 8 * count; at += 8) {
    const run = { first: word(at), count: word(at + 4) };
    if (run.first < next || run.count === 0 || run.first + run.count > totalFrames)
      throw damaged(op, 'runs out of order');
    next = run.first + run.count;
    sum += run.count;
    runs.push(run);
  }
  if (sum !== saved || runs[0]?.first !== 0 || runs[0].count !== 2) throw damaged(op, 'runs do not add up');
  return { totalFrames, runs, bytes };
}

/**
 * Copies an image into the untouched memory of an instance, and verifies its checksum. EIO. The first run is copied
 * first: frames 0 and 1, the boot frame and the first frame table. They tell where static data and scratch are, and
 * other runs must not write there.
 */
export function loadImage(op: string, instance: Instance, image: ParsedImage): Core {
  const { bytes, runs } = image;
  const head = HEADER_BYTES + 8 * runs.length;
  const end = bytes.length - 4;
  let at = head;
  const copy = ({ first, count }: Run): void => {
    instance.bytes.set(bytes.subarray(at, (at += count * PAGE_SIZE)), first * PAGE_SIZE);
  };
  const [start, ...others] = runs as [Run, ...Run[]];
  copy(start);
  const core = attach(op, instance);
  const { checksum, ramFixed } = core.exports;
  if (others.some(({ first }) => first < ramFixed())) throw damaged(op, 'frames where none can be');
  others.forEach(copy);
  const crc = runs.reduce(
    (sum, { first, count }) => checksum(first * PAGE_SIZE, count * PAGE_SIZE, sum) >>> 0,
    checksumOf(core, bytes.subarray(0, head), 0),
  );
  if (crc !== new DataView(bytes.buffer, bytes.byteOffset + end, 4).getUint32(0, true))
    throw damaged(op, 'wrong checksum');
  return core;
}
