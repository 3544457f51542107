/**
 * Public types that need no class: options, results, brands. Types that name a class are in types.ts.
 *
 * frame       4096 bytes of the simulated RAM
 * zpool       a pool of one allocator in a RAM
 * handle      a u32 that stands for an object of one pool
 * zspage      zsmalloc: a chain of frames that is cut into objects of one size
 * buddy       zbud, z3fold: one of the two or three objects of a frame
 * block       xcfmalloc: a run of 64-byte units of a frame; an object has one or two blocks
 * reserve     xcfmalloc: wholly free frames that a pool holds
 * same-filled a page whose 32-bit words are all equal; it takes no memory
 * raw page    a page that is stored uncompressed because its block would be too large
 */

declare const brand: unique symbol;

/** Stands for one object of one zpool: a u32, never 0. */
export type Handle = number & { readonly [brand]: 'Handle' };

/** The result of storePage: a handle, or a negative number that holds the word of a same-filled page. */
export type PageEntry = number & { readonly [brand]: 'PageEntry' };

export type MapMode = 'rw' | 'ro' | 'wo';

export interface RamOptions {
  /**
   * Bytes of the whole linear memory, metadata included: a number, or a size like '64MiB'. 256 KiB … 4 GiB, rounded up
   * to 64 KiB. The memory is reserved at creation, but its frames are touched only when they are used. Default '64MiB';
   * for restore, the size of the image's RAM.
   */
  bytes?: number | string;
  /** The most bytes of frames that may be in use at once, at most `bytes`. Default: no limit but `bytes`. */
  limit?: number | string;
  /** 'checked' is the core with its assertions, loaded from `compcache/checked`. Default 'release'. */
  build?: 'release' | 'checked';
  /** True for the SIMD build. Default: true when the host has SIMD. */
  simd?: boolean;
  /** A compiled core (of `compcache/core.wasm`, for example). Several workers can share one compilation this way. */
  module?: WebAssembly.Module;
  /** For tests: the lowest frame that is handed out. High addresses can then be tested with little memory in use. */
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
  /** Frames that are never handed out: boot frame, static data, scratch, frame tables, and the last frame of 4 GiB. */
  fixedFrames: number;
  /** Frames handed out for metadata: headers, tables, descriptors, handle records, map buffers. */
  metadataFrames: number;
  /** The most frames that were in use at once since the RAM exists. */
  highWaterFrames: number;
  /** The most frames that may be in use at once. */
  limitFrames: number;
  /** Maps of all objects now. */
  maps: number;
  /** Frames by owner: pool name → frames of objects and of metadata. */
  owners: Record<string, { frames: number; metadataFrames: number }>;
}

export interface ZpoolOptionsOf<Pool> {
  /** Unique in the RAM, 1 … 64 UTF-8 bytes. Default 'allocator#n'. */
  name?: string;
  /**
   * Called by shrink for each object of a victim. It must free the handle. If it returns `false`, throws or returns a
   * Promise (it must be synchronous), the object stays. It may malloc, free, read, shrink and compact on any pool.
   * Inside it, destroying a pool, taking an image and restoring one give EBUSY.
   */
  evict?: EvictCallbackOf<Pool>;
  /**
   * zbud: '6.1' leaves the first 64 bytes of a frame free (63 chunks, objects up to 3968); '2013' uses them. Default
   * '6.1'.
   */
  layout?: '6.1' | '2013';
  /**
   * z3fold: when deferred work is done (moving a lone object to another frame, closing gaps in the frame). 'afterFree':
   * after each free, or after a shrink for frees inside its evict callback. 'manual': only in runDeferred() and
   * compact(). Until then the frame takes no new objects. Default 'afterFree'.
   */
  deferred?: 'afterFree' | 'manual';
  /** zsmalloc: the most frames of a zspage, 1 … 16. Default 8. */
  chainSize?: number;
  /**
   * zsmalloc: how many frames the zspages of a class get: for the least waste in bytes (6.3+), or for the highest
   * percentage used. Default 'bytes'.
   */
  chainRule?: 'bytes' | 'percent';
  /** zsmalloc: 12 fullness groups (6.4+) or 4. The two differ in list insertion and compaction. Default 12. */
  fullnessGroups?: 12 | 4;
  /** xcfmalloc: the most blocks of an object. 2 fills small holes; 1 is as written in 2011. Default 2. */
  blocks?: 1 | 2;
  /**
   * xcfmalloc: wholly free frames that the pool holds, 0 … 1024. The pool takes them at creation, as far as the RAM has
   * them, and every malloc fills the reserve up again. They count in totalPages. With 0, a malloc that finds no block
   * takes one frame. Default 32.
   */
  reserve?: number;
}

export interface Location {
  /** Frame of the object's first data byte. */
  frame: number;
  /** Offset of that byte in the frame. */
  offset: number;
  /** zsmalloc: the largest class index that was merged into the object's class (0 is 32 bytes, in steps of 16). */
  classIndex?: number;
  /** zsmalloc: index of the object in its zspage, from 0. */
  objectIndex?: number;
  /**
   * xcfmalloc: the object's one or two blocks in order. Each offset is that of the block's header; its data begin 12
   * bytes later.
   */
  blocks?: { frame: number; offset: number }[];
}

export interface ClassStats {
  index: number;
  /** Bytes of an object, its 4-byte header word included. */
  size: number;
  /** Frames of a zspage. */
  pages: number;
  /** Objects that fit into a zspage. */
  objectsPerZspage: number;
  /** Objects that fit into all zspages. */
  allocated: number;
  /** Objects in use. */
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
  /**
   * Copies made by compaction since the pool exists. z3fold counts moves to another frame, but not moves inside a
   * frame.
   */
  objectsMoved: number;
  /** Payload bytes of those copies. */
  bytesMoved: number;
  /** Objects that span two frames now; for xcfmalloc, objects with two blocks. */
  spanning: number;
  /** Maps of the pool's objects now. */
  maps: number;
  /** zsmalloc: its classes, smallest first. */
  classes?: ClassStats[];
  /**
   * zbud, z3fold: frames by the free chunks (64 bytes each) in their largest gap. zbud: index 0 counts the frames with
   * two objects. z3fold: index 63 counts the frames with deferred work; frames with three objects and headless frames
   * are on no list. xvmalloc: free blocks by size, from 32 bytes in steps of 8. xcfmalloc: free blocks of index + 1
   * units (64 bytes each); index 63 counts the reserve.
   */
  lists?: number[];
  /** xcfmalloc: frames of the reserve. */
  reserveFrames?: number;
}

/**
 * The contents of one frame. An object that spans two frames appears in both, each time with its part in that frame.
 */
export interface FrameContents {
  frame: number;
  objects: { handle: Handle; offset: number; bytes: number }[];
  free: { offset: number; bytes: number }[];
}

export type EvictCallbackOf<Pool> = (handle: Handle, pool: Pool) => void | boolean;

/** A compressor and its decompressor, for blocks that decode to up to 64 KiB. Both are synchronous. */
export interface Codec {
  readonly name: string;
  /** Returns the bytes written to dst, or 0 when the block does not fit into dst. */
  compress(src: Uint8Array, dst: Uint8Array): number;
  /** Returns the bytes written to dst. Throws EIO for anything malformed. Writes nothing outside dst. */
  decompress(src: Uint8Array, dst: Uint8Array): number;
}
