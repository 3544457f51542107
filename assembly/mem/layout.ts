/**
 * The simulated RAM: the layout of linear memory.
 *
 * Linear memory is the RAM, and its image is the whole state: every table,
 * list and counter can be reached from the boot frame at address 0, and no wasm
 * global holds state. The RAM is divided into 4 KiB frames and 512 KiB sections:
 *
 *   section 0 (frames 0..127)            section s (frames 128s..128s+127)
 *   ┌───────┬───────┬────────┬─────────┬─────┐ ┌─────────┬───────┬─────────┐
 *   │ boot  │ table │ static │ scratch │ ... │ │ frames… │ table │ frames… │
 *   │   0   │   1   │  2..   │         │     │ │         │  +t   │ ..+127  │
 *   └───────┴───────┴────────┴─────────┴─────┘ └─────────┴───────┴─────────┘
 *
 * - boot: magic, geometry, state of the frame allocator, list of pools (see below).
 * - table: one frame of every section, the frame table, describes the 128 frames of
 *   the section, 32 bytes each. So the address of a frame entry takes shifts only, the
 *   table of a section is touched only when one of its frames is used, and a RAM of
 *   any size is created in constant time. The table is frame t = (s / 2 mod 16) ^ 1 of
 *   its section. If it were the same one everywhere, all tables would share a few sets
 *   of the TLB (stride of 128 pages), and each access to a frame entry would cost a page
 *   walk: a fifth of malloc and free in zsmalloc. A memory ends at a multiple of 16
 *   frames.
 * - static: the data segments of the module. They begin at frame 2. They are never
 *   written and never part of an image; so images are portable between builds.
 * - scratch: page buffers, tables of the compressors, results. Each instance has its
 *   own; it is not state and never part of an image (mem/scratch.ts).
 *   The boot frame says how many frames static data and scratch have; section 0 holds
 *   them. A build that needs more frames than an image has refuses the image; a build
 *   that needs fewer works on it.
 *
 * A frame table entry ("frame entry")
 *
 *   0        4      6      8                                         32
 *   ┌────────┬──────┬──────┬─────────────────────────────────────────┐
 *   │ owner  │ genA │ genB │ 24 bytes for the owner                  │
 *   └────────┴──────┴──────┴─────────────────────────────────────────┘
 *
 *   owner = address of the header frame of the pool (a multiple of 4096) + frame type.
 *   genA and genB keep their values when the frame is freed and taken again. They
 *   make handles from an earlier use of the frame stale (mem/generation.ts).
 *
 * Vital statistics: 32 bytes of table for each 4096 (0.78 %); fixed frames of a new RAM:
 * 2 + 2 static + scratch (9 in a RAM below 1 MiB, 39 in a larger one); a RAM has at most
 * 2^20 frames, and the last frame of a 4 GiB memory is never handed out.
 *
 * Boot frame, u32 words:
 *   0 magic         4 layout version  8 frames in all   12 scratch frames
 *  16 first frame that is ever handed out               20 bump mark
 *  24 free list head (frame)         28 free list length
 *  32 frames in use                  36 limit of frames in use
 *  40 first pool    44 pools         48 live maps       52 isolated victims
 *  56 frame requests left to succeed 60 requests left to fail  (fault injection)
 *  64 checksum over 4..16, 36, 56, 60, 68 and 72        68 pools ever created
 *  72 static frames
 */

import { FRAMES_MAX, PAGE_SIZE } from '../abi';

export { LAYOUT_VERSION, PAGE_SIZE } from '../abi';

export const PAGE_SHIFT: u32 = 12;
export const PAGE_MASK: u32 = PAGE_SIZE - 1;

export const SECTION_SHIFT: u32 = 7; // frames in a section, as a power of two
export const SECTION_MASK: u32 = 127;
export const TABLE_INDEX: u32 = 1; // frame of the table in section 0
const SKEW_SHIFT: u32 = 8; // the bits of a frame number that move a table
const SKEW_MASK: u32 = 15;
const SECTION_BYTES: usize = (128 << 12) - 1; // as a mask
const ENTRY_SHIFT: u32 = 5;
export const ENTRY_BYTES: u32 = 32;
export const STATIC_FRAME: u32 = 2; // first frame of static data: asconfig.json has memoryBase = 2 * 4096
export const STATIC_FRAMES: u32 = 2; // frames of static data in a new RAM; scripts/build.mjs reads this line
export const FIXED_MOST: u32 = 128; // boot, table, static data and scratch lie in one section
export const LAST_FRAME: u32 = FRAMES_MAX - 1; // last frame of 4 GiB: never handed out (base/errno.ts)

export const MAGIC: u32 = 0x4d524343; // "CCRM"

// Frame types (low bits of the owner word).
// 0: never handed out, at the bump mark or above it
export const FRAME_FREE: u32 = 1; // on the free list
export const FRAME_FIXED: u32 = 2; // boot, static, scratch
export const FRAME_TABLE: u32 = 3; // frame table of a section
export const FRAME_POOL: u32 = 4; // header of a pool
export const FRAME_POOL_MORE: u32 = 5; // further tables of a pool
export const FRAME_SLAB: u32 = 6; // descriptors
export const FRAME_HANDLES: u32 = 7; // handle records
export const FRAME_DATA: u32 = 8; // objects of the allocator
export const FRAME_RAW: u32 = 9; // one raw page
export const FRAME_BUFFER: u32 = 10; // copy of a straddling object while it is mapped
export const FRAME_INDEX: u32 = 11; // node, directory or leaf of a page table
export const FRAME_SLOTS: u32 = 12; // slot map of a front end
export const FRAME_TYPES: u32 = 13;

// Offsets in the boot frame.
export const BOOT_MAGIC: usize = 0;
export const BOOT_VERSION: usize = 4;
export const BOOT_FRAMES: usize = 8;
export const BOOT_SCRATCH: usize = 12;
export const BOOT_FIRST: usize = 16;
export const BOOT_BUMP: usize = 20;
export const BOOT_FREE_HEAD: usize = 24;
export const BOOT_FREE_COUNT: usize = 28;
export const BOOT_USED: usize = 32;
export const BOOT_LIMIT: usize = 36;
export const BOOT_POOL_HEAD: usize = 40;
export const BOOT_POOL_COUNT: usize = 44;
export const BOOT_MAPS: usize = 48;
export const BOOT_ISOLATED: usize = 52;
export const BOOT_FAIL_AFTER: usize = 56;
export const BOOT_FAIL_TIMES: usize = 60;
export const BOOT_CHECK: usize = 64;
export const BOOT_SERIAL: usize = 68;
export const BOOT_STATIC: usize = 72;
export const BOOT_END: usize = 76;

// In the frame entry of a slab or handle frame (mem/slab.ts): bytes of records in use, bytes of records ever used,
// address of the cache.
export const SLAB_USED: usize = 12;
export const SLAB_FRESH: usize = 14;
export const SLAB_CACHE: usize = 24;
// Top bit of the first word of a record: set while the record is free.
export const RECORD_FREE: u32 = 0x80000000;

/** A word of the boot frame. */
/* @inline */ export function boot(at: usize): u32 {
  return load<u32>(at);
}

/* @inline */ export function setBoot(at: usize, value: u32): void {
  store<u32>(at, value);
}

/** The first frame of scratch. */
/* @inline */ export function scratchFrame(): u32 {
  return STATIC_FRAME + boot(BOOT_STATIC);
}

/** Number of fixed frames: boot, table of section 0, static data and scratch. */
/* @inline */ export function fixedFrames(): u32 {
  return scratchFrame() + boot(BOOT_SCRATCH);
}

/** Address of a frame. */
/* @inline */ export function frameAddress(frame: u32): usize {
  return (<usize>frame) << PAGE_SHIFT;
}

/** The frame that holds the frame table of the section of `frame`. */
/* @inline */ export function tableOf(frame: u32): u32 {
  return (frame & ~SECTION_MASK) + (((frame >> SKEW_SHIFT) & SKEW_MASK) ^ TABLE_INDEX);
}

/** Address of the frame entry of a frame. */
/* @inline */ export function entryOf(frame: u32): usize {
  return ((<usize>tableOf(frame)) << PAGE_SHIFT) + (((<usize>frame) & SECTION_MASK) << ENTRY_SHIFT);
}

/** Address of the frame entry of the frame that contains an address. */
/* @inline */ export function entryAround(address: usize): usize {
  return (
    (address & ~SECTION_BYTES) +
    (((address >> (<usize>SKEW_SHIFT)) & (<usize>(SKEW_MASK << PAGE_SHIFT))) ^ (<usize>(TABLE_INDEX << PAGE_SHIFT))) +
    ((address >> (<usize>(PAGE_SHIFT - ENTRY_SHIFT))) & (<usize>(SECTION_MASK << ENTRY_SHIFT)))
  );
}

/** Address of the frame that a frame entry describes. */
/* @inline */ export function frameAround(entry: usize): usize {
  const index = entry & (PAGE_MASK as usize);
  return (entry & ~SECTION_BYTES) + (index << ((PAGE_SHIFT - ENTRY_SHIFT) as usize));
}

/** Number of the frame that a frame entry describes. */
/* @inline */ export function frameOf(entry: usize): u32 {
  return (
    (((<u32>entry) >> (PAGE_SHIFT + SECTION_SHIFT)) << SECTION_SHIFT) | (((<u32>entry) & PAGE_MASK) >> ENTRY_SHIFT)
  );
}

/** True when a number (from anywhere) is that of a frame that was ever handed out. */
/* @inline */ export function frameExists(frame: u32): bool {
  const first = boot(BOOT_FIRST);
  return frame - first < boot(BOOT_BUMP) - first;
}

/* @inline */ export function entryOwner(entry: usize): u32 {
  return load<u32>(entry);
}

/* @inline */ export function entryType(entry: usize): u32 {
  return load<u32>(entry) & PAGE_MASK;
}

/** Address of the pool that owns the frame, 0 for none. */
/* @inline */ export function entryPool(entry: usize): usize {
  return <usize>(load<u32>(entry) & ~PAGE_MASK);
}

/* @inline */ export function genA(entry: usize): u32 {
  return <u32>load<u16>(entry, 4);
}

/* @inline */ export function setGenA(entry: usize, value: u32): void {
  store<u16>(entry, <u16>value, 4);
}

/* @inline */ export function genB(entry: usize): u32 {
  return <u32>load<u16>(entry, 6);
}

/* @inline */ export function setGenB(entry: usize, value: u32): void {
  store<u16>(entry, <u16>value, 6);
}

/** Bits that a frame number of this RAM needs; the layout of handles depends on it. */
/* @inline */ export function frameBits(): u32 {
  return 32 - clz<u32>(boot(BOOT_FRAMES) - 1);
}
