/**
 * Scratch: buffers of one instance. They are not part of the state of the RAM.
 *
 * The next call may overwrite everything here. The addresses are set once for each
 * instance, so that a second worker on the same RAM could get a scratch of its own.
 *
 *   base  +0      results (u32 words: abi.ts, and WORK_… below)
 *         +4096   CRC-32C tables, 4 KiB
 *         +8192   tables of the compressors: 16 KiB in a new RAM (lz4 uses 8). A load
 *                 uses the first 4 KiB as gather buffer: it copies a straddling object
 *                 there, in one piece
 *   page buffer   input of the page path and of the codecs, 4 or 64 KiB
 *   block buffer  output of the codecs, 8 or 68 KiB, up to the end
 *
 * A RAM below 1 MiB has the small buffers, a larger RAM the large ones; codec calls
 * above 4 KiB need the large ones. The boot frame holds the number of all scratch
 * frames (9 or 39 in a new RAM). Any further frames make the tables larger.
 */
import { BOOT_FRAMES, BOOT_SCRATCH, PAGE_SHIFT, PAGE_SIZE, boot, frameAddress, scratchFrame } from './layout';

const LARGE_FROM: u32 = 256; // frames of a RAM from which on the buffers are large
const LARGE_FRAMES: u32 = 16; // frames of a large page buffer
const OTHER_FRAMES: u32 = 3; // results, CRC-32C tables, and the extra frame of the block buffer

export const TABLE_FRAMES: u32 = 4; // frames of the compressors' tables in a new RAM
export const TABLE_FRAMES_LEAST: u32 = 4; // the fewest such frames with which the codecs of this build can work

// Words of the result area that only the core uses, beside those of abi.ts. (xvmalloc uses words 32 to 34 and, in its
// check, 64 to 82.)
export const WORK_FRAMES: u32 = 40; // check of a page table: frames visited
export const WORK_KEYS: u32 = 41; // check of a page table: keys visited
export const WORK_MOST: u32 = 42; // check of a page table: the most frames that it may visit
export const WORK_SUM: u32 = 43; // check of a page table: checksum of the cells
export const WORK_MOVED: u32 = 44; // compaction: objects moved
export const WORK_PAYLOAD: u32 = 45; // compaction: bytes moved
export const WORK_BUDGET: u32 = 46; // compaction: victims that may still be taken

const CRC: usize = 4096;
const TABLES: usize = 8192;

// Set once for each instance: addresses, not state.
let base: usize = 0;
let page: usize = 0;
let block: usize = 0;

/** Frames of the page buffer in a RAM of `frames` frames. */
function pageBufferFrames(frames: u32): u32 {
  return frames >= LARGE_FROM ? LARGE_FRAMES : 1;
}

/** Frames of scratch in a RAM of `frames` frames, with `tables` frames for the compressors' tables. */
export function scratchFrames(frames: u32, tables: u32): u32 {
  return OTHER_FRAMES + tables + 2 * pageBufferFrames(frames);
}

/** Computes the addresses of the buffers from the boot frame. */
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

/** The gather buffer: at the compressors' tables, since a load does not compress. */
/* @inline */ export function gatherBuffer(): usize {
  return base + TABLES;
}

/* @inline */ export function pageBuffer(): usize {
  return page;
}

/** The most bytes that one codec call may take as input. */
/* @inline */ export function pageBufferBytes(): u32 {
  return <u32>(block - page);
}

/* @inline */ export function blockBuffer(): usize {
  return block;
}

/** Bytes of the block buffer: one frame more than the page buffer, so that the block of an incompressible page fits. */
/* @inline */ export function blockBufferBytes(): u32 {
  return pageBufferBytes() + PAGE_SIZE;
}
