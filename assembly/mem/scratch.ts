/**
 * Scratch: buffers of one instance, outside the state of the RAM.
 *
 * Everything here may be overwritten by the next call. Its places are set once
 * per instance, so that a second worker on the same RAM could be given its own.
 *
 *   base  +0      results and fault report (u32 words)
 *         +4096   CRC-32C tables, 4 KiB
 *         +8192   tables of the compressors, what the rest leaves: 16 KiB in a new
 *                 RAM (lz4 takes 8); or gather: a straddling object made contiguous
 *                 for a load, 4 KiB
 *   page          input of the page path and of the codecs, 4 or 64 KiB
 *   block         output of the codecs, 8 or 68 KiB, up to the end
 *
 * A RAM below 1 MiB has the small buffers, any other the large ones: codec calls
 * above 4 KiB need those. The boot frame has the number of frames in all (9 or 39
 * in a new RAM), so where there are more of them, the tables are larger.
 */
import { BOOT_FRAMES, BOOT_SCRATCH, PAGE_SHIFT, PAGE_SIZE, boot, frameAddress, scratchFrame } from './layout';

const LARGE_FROM: u32 = 256; // frames of the RAM
const LARGE_FRAMES: u32 = 16; // of the page buffer
const OTHER_FRAMES: u32 = 3; // results, CRC-32C tables, and by what the block buffer is the larger one

export const TABLE_FRAMES: u32 = 4; // of the compressors' tables in a new RAM
export const TABLE_FRAMES_LEAST: u32 = 4; // without which the codecs of this build cannot work

/** Words of the result area. */
export const OUT_LENGTH: usize = 0; // bytes in the first frame
export const OUT_SECOND: usize = 4; // address of the rest, 0 for none
export const OUT_SIZE: usize = 8; // bytes of the object
export const OUT_NEEDED: usize = 12; // frames that an ENOMEM lacked
export const OUT_A: usize = 16; // further results, named where they are set
export const OUT_B: usize = 20;
export const OUT_C: usize = 24;
export const OUT_RULE: usize = 28; // check(): rule that is broken
export const OUT_FRAME: usize = 32; // check(): frame where it is broken

const CRC: usize = 4096;
const TABLES: usize = 8192;

// Set once per instance; places, not state.
let base: usize = 0;
let page: usize = 0;
let block: usize = 0;

/** Frames of the page buffer in a RAM of so many. */
function pageBufferFrames(frames: u32): u32 {
  return frames >= LARGE_FROM ? LARGE_FRAMES : 1;
}

/** Frames of a scratch with so many for the compressors' tables, in a RAM of `frames`. */
export function scratchFrames(frames: u32, tables: u32): u32 {
  return OTHER_FRAMES + tables + 2 * pageBufferFrames(frames);
}

/** Finds the places in the scratch that the boot frame names. */
export function placeScratch(): void {
  const bytes = <usize>pageBufferFrames(boot(BOOT_FRAMES)) << PAGE_SHIFT;
  base = frameAddress(scratchFrame());
  block = base + (<usize>boot(BOOT_SCRATCH) << PAGE_SHIFT) - (bytes + PAGE_SIZE);
  page = block - bytes;
}

// @ts-ignore: decorator
@inline export function setOut(at: usize, value: u32): void {
  store<u32>(base + at, value);
}

// @ts-ignore: decorator
@inline export function out(at: usize): u32 {
  return load<u32>(base + at);
}

// @ts-ignore: decorator
@inline export function scratchBase(): usize {
  return base;
}

// @ts-ignore: decorator
@inline export function crcTables(): usize {
  return base + CRC;
}

// @ts-ignore: decorator
@inline export function compressorTables(): usize {
  return base + TABLES;
}

/** In the place of those: a load does not compress. */
// @ts-ignore: decorator
@inline export function gatherBuffer(): usize {
  return base + TABLES;
}

// @ts-ignore: decorator
@inline export function pageBuffer(): usize {
  return page;
}

/** Bytes that one codec call may take. */
// @ts-ignore: decorator
@inline export function pageBufferBytes(): u32 {
  return <u32>(block - page);
}

// @ts-ignore: decorator
@inline export function blockBuffer(): usize {
  return block;
}

/** Bytes of the block buffer: one frame more than the page buffer, so that an incompressible page still fits. */
// @ts-ignore: decorator
@inline export function blockBufferBytes(): u32 {
  return pageBufferBytes() + PAGE_SIZE;
}
