/**
 * Scratch: buffers of one instance, outside the state of the RAM.
 *
 * Everything here may be overwritten by the next call. Its places are set once
 * per instance, so that a second worker on the same RAM could be given its own.
 *
 *   base  +0      results (u32 words: abi.ts, and WORK_… below)
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

// Words of the result area that stay in the core, beside those of abi.ts. (xvmalloc has words 32 to 34 and, for its check, 64 to 82.)
export const WORK_FRAMES: u32 = 40; // check of a page table: frames met
export const WORK_KEYS: u32 = 41; // keys met
export const WORK_MOST: u32 = 42; // the most frames that may be met
export const WORK_SUM: u32 = 43; // what cells add up to
export const WORK_MOVED: u32 = 44; // compaction: objects moved
export const WORK_PAYLOAD: u32 = 45; // bytes moved
export const WORK_BUDGET: u32 = 46; // victims that may still be taken

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
  const bytes = (<usize>pageBufferFrames(boot(BOOT_FRAMES))) << PAGE_SHIFT;
  base = frameAddress(scratchFrame());
  block = base + ((<usize>boot(BOOT_SCRATCH)) << PAGE_SHIFT) - (bytes + PAGE_SIZE);
  page = block - bytes;
}

/** Sets a word of the result area: OUT_… of abi.ts, or WORK_…. */
/* @inline */ export function setOut(at: u32, value: u32): void {
  store<u32>(base + ((<usize>at) << 2), value);
}

/* @inline */ export function out(at: u32): u32 {
  return load<u32>(base + ((<usize>at) << 2));
}

/* @inline */ export function scratchBase(): usize {
  return base;
}

/* @inline */ export function crcTables(): usize {
  return base + CRC;
}

/* @inline */ export function compressorTables(): usize {
  return base + TABLES;
}

/** In the place of those: a load does not compress. */
/* @inline */ export function gatherBuffer(): usize {
  return base + TABLES;
}

/* @inline */ export function pageBuffer(): usize {
  return page;
}

/** Bytes that one codec call may take. */
/* @inline */ export function pageBufferBytes(): u32 {
  return <u32>(block - page);
}

/* @inline */ export function blockBuffer(): usize {
  return block;
}

/** Bytes of the block buffer: one frame more than the page buffer, so that an incompressible page still fits. */
/* @inline */ export function blockBufferBytes(): u32 {
  return pageBufferBytes() + PAGE_SIZE;
}
