/**
 * Scratch: buffers of one instance, outside the state of the RAM.
 *
 * Everything here may be overwritten by the next call. It is addressed through
 * one base that is set once per instance, so that a second worker on the same
 * RAM could be given its own.
 *
 *   base  +0      results (u32 words: abi.ts, and WORK_… below)
 *         +4096   CRC-32C tables, 4 KiB
 *         +8192   tables of the compressors, 16 KiB (lz4 takes 8); or gather: a
 *                 straddling object made contiguous for a load, 4 KiB
 *         +24576  page: input of the page path and of the codecs, 4 or 64 KiB
 *         then    block: output of the codecs, 8 or 68 KiB
 *
 * A RAM below 1 MiB gets the small buffers (9 frames), any other the large ones
 * (39 frames): codec calls above 4 KiB need those.
 */
import { BOOT_SCRATCH, PAGE_SIZE, boot } from './layout';

export const SCRATCH_SMALL: u32 = 9;
export const SCRATCH_LARGE: u32 = 39;
export const LARGE_SCRATCH_FROM: u32 = 256; // frames of the RAM

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
const PAGE: usize = 24576;

/** Set once per instance; a place, not state. */
let base: usize = 0;

export function setScratch(address: usize): void {
  base = address;
}

/** Sets a word of the result area: OUT_… of abi.ts, or WORK_…. */
// @ts-ignore: decorator
@inline export function setOut(at: u32, value: u32): void {
  store<u32>(base + (<usize>at << 2), value);
}

// @ts-ignore: decorator
@inline export function out(at: u32): u32 {
  return load<u32>(base + (<usize>at << 2));
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
  return base + PAGE;
}

/** Bytes that one codec call may take. */
// @ts-ignore: decorator
@inline export function pageBufferBytes(): u32 {
  return boot(BOOT_SCRATCH) == SCRATCH_LARGE ? 16 * PAGE_SIZE : PAGE_SIZE;
}

// @ts-ignore: decorator
@inline export function blockBuffer(): usize {
  return base + PAGE + pageBufferBytes();
}

/** Bytes of the block buffer: one frame more than the page buffer, so that an incompressible page still fits. */
// @ts-ignore: decorator
@inline export function blockBufferBytes(): u32 {
  return pageBufferBytes() + PAGE_SIZE;
}
