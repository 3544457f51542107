/** Types that know no class: options, results, brands. Those that name one are in types.ts. Glossary at the end of this comment.
 *
 * frame       4 KiB of the simulated RAM
 * zpool       a pool of one allocator in a RAM
 * handle      a u32 that stands for an object of one pool
 * zspage      zsmalloc: a chain of frames cut into slots of one size
 * buddy       zbud, z3fold: one of the two or three objects of a frame
 * block       xcfmalloc: a run of 64-byte units of a frame; an object lies in one or two
 * reserve     xcfmalloc: wholly free frames that a pool holds
 * same-filled a page whose 32-bit words are all equal; it takes no memory
 * raw page    a page kept as it is because its block is too large
 */

declare const brand: unique symbol;

/** Stands for one object of one zpool: a u32, never 0. */
export type Handle = number & { readonly [brand]: 'Handle' };

/** What storePage gives back: a handle, or (negative) the word of a same-filled page. */
export type PageEntry = number & { readonly [brand]: 'PageEntry' };

export type MapMode = 'rw' | 'ro' | 'wo';

export interface RamOptions {
  /**
   * The whole linear memory in bytes, metadata included; a number or a size like '64MiB'. 256 KiB … 4 GiB, rounded up
   * to 64 KiB. Reserved at creation, touched only as used. Default '64MiB'; for restore, the size of the image's RAM.
   */
  bytes?: number | string;
  /** The most bytes of frames that may be handed out at once, not above `bytes`. Default: all that fit. */
  limit?: number | string;
  /** 'checked' has the core's assertions on and is loaded from `compcache/checked`. Default 'release'. */
  build?: 'release' | 'checked';
  /** Whether to use the SIMD build. Default: when the host has SIMD. */
  simd?: boolean;
  /** A compiled core (of `compcache/core.wasm`, say), so that several workers share one compilation. */
  module?: WebAssembly.Module;
  /** For tests: the lowest frame that is handed out, so that high addresses are reached with little memory. */
  firstFrame?: number;
}

export interface RamStats {
  /** Bytes of linear memory. */
  bytes: number;
  /** Frames of the memory, metadata included. */
  totalFrames: number;
  /** Frames handed out. */
  usedFrames: number;
  /** Frames that can still be handed out. */
  freeFrames: number;
  /** Frames that are never handed out: boot, static data, scratch, frame tables, the last one of 4 GiB. */
  fixedFrames: number;
  /** Of the frames handed out: headers, tables, descriptors, handle records, map buffers. */
  metadataFrames: number;
  /** The most frames that were ever handed out at once. */
  highWaterFrames: number;
  /** The most frames that may be handed out at once. */
  limitFrames: number;
  /** Objects mapped now, counted by maps. */
  maps: number;
  /** Frames by owner: pool name → frames of objects and of metadata. */
  owners: Record<string, { frames: number; metadataFrames: number }>;
}

export interface ZpoolOptionsOf<Pool> {
  /** Unique in the RAM, 1 … 64 UTF-8 bytes. Default 'allocator#n'. */
  name?: string;
  /**
   * Called by shrink for each object of a victim. It frees the handle itself; `false` or a throw keeps the object, and so
   * does a Promise (the callback must be synchronous). It may malloc, free, read, shrink and compact on any pool;
   * destroying a pool, taking an image or restoring one inside it is EBUSY.
   */
  evict?: EvictCallbackOf<Pool>;
  /** zbud: '6.1' keeps the first 64 bytes of a frame free (63 chunks, objects up to 3968), '2013' does not. Default '6.1'. */
  layout?: '6.1' | '2013';
  /**
   * z3fold: when the work that a free asks for is done (moving a lone object to another frame, closing gaps in the frame):
   * right after each free (after a shrink, for frees inside its evict callback), or only in runDeferred() and compact().
   * Until then the frame takes no new objects. Default 'afterFree'.
   */
  deferred?: 'afterFree' | 'manual';
  /** zsmalloc: the most frames of a zspage, 1 … 16. Default 8. */
  chainSize?: number;
  /** zsmalloc: how a class's chain is chosen: least waste in bytes (6.3+) or highest percentage used. Default 'bytes'. */
  chainRule?: 'bytes' | 'percent';
  /** zsmalloc: 12 fullness groups (6.4+) or 4, each with its own list insertion and compaction. Default 12. */
  fullnessGroups?: 12 | 4;
  /** xcfmalloc: the most blocks of an object. 2 fills small holes; 1 is the text of 2011 as written. Default 2. */
  blocks?: 1 | 2;
  /**
   * xcfmalloc: wholly free frames that the pool holds, 0 … 1024. They are taken at creation, as far as the RAM has them,
   * topped up by every malloc and count in totalPages. With 0 a malloc that finds no block takes one frame. Default 32.
   */
  reserve?: number;
}

export interface Location {
  /** Frame of the object's first data byte. */
  frame: number;
  /** Offset of that byte in the frame. */
  offset: number;
  /** zsmalloc: the largest class index merged into the object's class (0 is 32 bytes, steps of 16). */
  classIndex?: number;
  /** zsmalloc: slot in the zspage, from 0. */
  objectIndex?: number;
  /** xcfmalloc: the object's one or two blocks in their order, each where its header begins (its data 12 bytes behind). */
  blocks?: { frame: number; offset: number }[];
}

export interface ClassStats {
  index: number;
  /** Bytes of a slot, its 4-byte word included. */
  size: number;
  /** Frames of a zspage. */
  pages: number;
  /** Slots of a zspage. */
  objectsPerZspage: number;
  /** Slots of all zspages. */
  allocated: number;
  /** Slots in use. */
  used: number;
  /** Frames that compact() would give back. */
  freeable: number;
  zspages: number;
  /** Zspages by fullness group, emptiest first: index 0 is the empty group (always 0), the last the full one. */
  groups: number[];
}

export interface ZpoolStats {
  /** Requested bytes of all objects. */
  liveBytes: number;
  objects: number;
  /** Frames of objects. */
  frames: number;
  /** Bytes of the pool's header, tables, descriptors, handle records and map buffers. */
  metadataBytes: number;
  /** liveBytes / (frames · 4096); 0 for an empty pool. */
  density: number;
  /** liveBytes / (frames · 4096 + metadataBytes). */
  densityWithMetadata: number;
  /** Copies made by compaction, since the pool exists; z3fold counts moves to another frame, not those inside one. */
  objectsMoved: number;
  /** Payload bytes of those copies. */
  bytesMoved: number;
  /** Objects that straddle two frames now; for xcfmalloc, those in two blocks. */
  spanning: number;
  /** Live maps. */
  maps: number;
  /** zsmalloc: its classes, smallest first. */
  classes?: ClassStats[];
  /**
   * zbud, z3fold: frames by free chunks (64 bytes each) in their largest gap. zbud: index 0 holds the frames with two
   * objects. z3fold: index 63 holds the frames with deferred work; those with three objects and headless ones are on none.
   * xvmalloc: free blocks by size, from 32 bytes in steps of 8.
   * xcfmalloc: free blocks of index + 1 units (64 bytes each); index 63 is the reserve.
   */
  lists?: number[];
  /** xcfmalloc: frames of the reserve. */
  reserveFrames?: number;
}

/** What lies in one frame. A straddling object appears in both of its frames, with its part in each. */
export interface FrameContents {
  frame: number;
  objects: { handle: Handle; offset: number; bytes: number }[];
  free: { offset: number; bytes: number }[];
}

export type EvictCallbackOf<Pool> = (handle: Handle, pool: Pool) => void | boolean;

/** A compressor and its decompressor, synchronous, for blocks of up to 64 KiB. */
export interface Codec {
  readonly name: string;
  /** Bytes written to dst, 0 when the block does not fit it. */
  compress(src: Uint8Array, dst: Uint8Array): number;
  /** Bytes written to dst. Throws EIO on anything malformed; writes nothing outside dst. */
  decompress(src: Uint8Array, dst: Uint8Array): number;
}
