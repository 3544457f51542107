/**
 * The numbers that the core and the bindings share. Each is defined once, here.
 *
 * AssemblyScript compiles this file as a part of the core, TypeScript as a part of
 * the bindings. So it holds plain constants only, and it imports nothing. The
 * type after `as` is for AssemblyScript; for TypeScript each of these types is
 * `number` (bindings/assemblyscript.d.ts).
 */

// ── RAM ──────────────────────────────────────────────────────────────────────

/** Bytes of a frame, and of a page. */
export const PAGE_SIZE = 4096 as u32;
/** Version of the layout of the RAM: core, bindings and image must agree. */
export const LAYOUT_VERSION = 2 as u32;
/** Frames of the smallest and of the largest RAM. */
export const FRAMES_MIN = 64 as u32;
export const FRAMES_MAX = 0x100000 as u32;
/** The most UTF-8 bytes in the name of a pool or front end. */
export const NAME_BYTES = 64 as u32;

/** In place of a number of frames or victims: there is no limit. */
export const NO_LIMIT = 0xffffffff as u32;
/**
 * Fault injection, in place of a number of requests: never (for `after`), or until it is switched off (for `times`).
 */
export const NEVER = 0xffffffff as u32;
/** In place of a frame number, where 0 is a valid one. */
export const NO_FRAME = 0xffffffff as u32;
/** In place of the number of a slot in a backing store. */
export const NO_SLOT = 0xffffffff as u32;
/** In place of the number of a pool of a zswap. */
export const NO_POOL = 0xffffffff as u32;

// ── errors: a result of ERRNO_MIN or more is a negative Linux errno ──────────

export const ERRNO_MIN = 0xfffff000 as u32;
export const ENOENT = 0xfffffffe as u32; // -2
export const EIO = 0xfffffffb as u32; // -5
export const ENOMEM = 0xfffffff4 as u32; // -12
export const EBUSY = 0xfffffff0 as u32; // -16
export const EEXIST = 0xffffffef as u32; // -17
export const EINVAL = 0xffffffea as u32; // -22
export const ENOSPC = 0xffffffe4 as u32; // -28
export const ERANGE = 0xffffffde as u32; // -34
export const EUCLEAN = 0xffffff8b as u32; // -117

// ── results: words at the scratch base (mem/scratch.ts) ──────────────────────

// Where the bytes of an object lie (mem/span.ts).
export const OUT_LENGTH = 0 as u32; // bytes at the address that the call returned
export const OUT_SECOND = 1 as u32; // address of the other bytes, 0 for none
export const OUT_SIZE = 2 as u32; // bytes of the whole object
// Errors.
export const OUT_NEEDED = 3 as u32; // ENOMEM: frames that the call needed
export const OUT_RULE = 4 as u32; // check: the broken rule
export const OUT_RULE_FRAME = 5 as u32; // check: the frame where the rule is broken
// Pages and page tables.
export const OUT_FILL = 6 as u32; // fill word of the same-filled page that was stored
export const OUT_VALUE = 7 as u32; // value of a key: handle or fill word
export const OUT_KEY_LOW = 8 as u32; // key of a page, low word; zswap: the offset; ramzswap: the page number
export const OUT_KEY_HIGH = 9 as u32; // key of a page, high word; zswap: the swap type
export const OUT_PLACE = 10 as u32; // position of that key in the table
// Objects of a pool.
export const OUT_CURSOR = 11 as u32; // where the next step of a walk or a compaction begins
export const OUT_OFFSET = 12 as u32; // offset of an object's data in its frame
// More about the place of an object. zsmalloc: size class (A) and slot in the zspage (B). xcfmalloc: frame of the
// second block, 0 for none (A), and offset of its header (B).
export const OUT_PLACE_A = 13 as u32;
export const OUT_PLACE_B = 14 as u32;
export const OUT_WALK_OBJECTS = 15 as u32; // walk: objects in the frame
export const OUT_WALK_FREE = 16 as u32; // walk: free ranges in the frame
// Front ends.
export const OUT_SLOT = 17 as u32; // slot of the backing store
export const OUT_GENERATION = 18 as u32; // generation of the slot: it changes with each write to the slot
export const OUT_JOB = 19 as u32; // number of a write in progress
export const OUT_BLOCK_BYTES = 20 as u32; // DECOMPRESS: bytes of the block
export const OUT_BLOCK_CODEC = 21 as u32; // DECOMPRESS: number of its codec
export const OUT_PAGE_STATE = 22 as u32; // ramzswap: state of the page
export const OUT_PAGE_BYTES = 23 as u32; // ramzswap: bytes of its object, 0 for none
export const OUT_ENTRIES = 24 as u32; // zswap: entries in one of its pools
export const OUT_OWED = 25 as u32; // zswap: entries that this store has to write back
export const OUT_POOL = 26 as u32; // zswap: number of the pool of a victim
/** Number of result words. */
export const OUT_WORDS = 27 as u32;

// ── rules that check() verifies; bindings/rules.ts describes each ────────────

export const RULE_BOOT = 1 as u32;
export const RULE_BOOT_CHECK = 2 as u32;
export const RULE_BUMP = 3 as u32;
export const RULE_FREE_LIST = 4 as u32;
export const RULE_USED = 5 as u32;
export const RULE_OWNER = 6 as u32;
export const RULE_ENTRY = 7 as u32;
export const RULE_POOL_LIST = 8 as u32;
export const RULE_POOL = 9 as u32;
export const RULE_POOL_COUNT = 10 as u32;
export const RULE_MAPS = 11 as u32;
export const RULE_SLAB = 12 as u32;
export const RULE_SLAB_COUNT = 13 as u32;
export const RULE_SLAB_FREE = 14 as u32;
export const RULE_SLAB_LIST = 15 as u32;
export const RULE_HANDLE = 16 as u32;
export const RULE_LIST = 17 as u32;
export const RULE_LRU = 18 as u32;
export const RULE_OBJECT = 19 as u32;
export const RULE_CLASS = 20 as u32;
export const RULE_ZSPAGE = 21 as u32;
export const RULE_SLOT = 22 as u32;
export const RULE_BUFFER = 23 as u32;
export const RULE_INDEX = 24 as u32;
export const RULE_SLOTS = 25 as u32;
export const RULE_FRONT = 26 as u32;

// ── ramCounter: words of the RAM ─────────────────────────────────────────────

export const RAM_FRAMES = 0 as u32; // in all
export const RAM_USED = 1 as u32;
export const RAM_LIMIT = 2 as u32;
export const RAM_HIGH_WATER = 3 as u32; // the most frames in use at once so far
export const RAM_MAPS = 4 as u32; // live maps
export const RAM_ISOLATED = 5 as u32; // victims under reclaim
export const RAM_POOLS = 6 as u32; // pools and front ends ever created
export const RAM_FIXED = 7 as u32; // fixed frames and frame tables
export const RAM_STATIC = 8 as u32; // frames of static data
export const RAM_SCRATCH = 9 as u32; // frames of scratch
export const RAM_STATIC_NEEDED = 10 as u32; // frames of static data that this build needs
export const RAM_SCRATCH_NEEDED = 11 as u32; // frames of scratch that this build needs

// ── pools ────────────────────────────────────────────────────────────────────

/**
 * Kinds of pools. Allocators have the kinds 1 to 63 (alloc/index.ts), front ends those from 64 on: a front end owns
 * frames in the same way as a pool. Headers in the RAM store these numbers.
 */
export const FRONT_KINDS_FROM = 64 as u32;
export const ZSWAP = 64 as u32;
export const RAMZSWAP = 65 as u32;

// zpoolCounter: counters of a pool.
export const COUNT_FRAMES = 0 as u32; // frames of objects
export const COUNT_OBJECTS = 1 as u32;
export const COUNT_LIVE_BYTES = 2 as u32;
export const COUNT_MAPS = 3 as u32; // live maps
export const COUNT_OBJECTS_MOVED = 4 as u32;
export const COUNT_BYTES_MOVED = 5 as u32;

// zpoolIdentity: kind, name and options of a pool.
export const IDENTITY_KIND = 0 as u32;
export const IDENTITY_NAME_BYTES = 1 as u32;
export const IDENTITY_NAME = 2 as u32; // address of the name
export const IDENTITY_OPTIONS = 3 as u32; // the first of three option words

// Modes of a map.
export const MODE_RO = 0 as u32;
export const MODE_RW = 1 as u32;
export const MODE_WO = 2 as u32;

// zpoolWalk: the words for each object in the block buffer, and for each free range in the page buffer.
export const WALK_HANDLE = 0 as u32;
export const WALK_OFFSET = 1 as u32;
export const WALK_BYTES = 2 as u32;
export const WALK_OBJECT_WORDS = 3 as u32;
export const WALK_FREE_OFFSET = 0 as u32;
export const WALK_FREE_BYTES = 1 as u32;
export const WALK_FREE_WORDS = 2 as u32;

// zpoolTable: the words of a row in the block buffer. zsmalloc, a row for each size class:
export const ROW_INDEX = 0 as u32;
export const ROW_SIZE = 1 as u32;
export const ROW_PAGES = 2 as u32; // frames in a zspage
export const ROW_OBJECTS = 3 as u32; // objects in a full zspage
export const ROW_ALLOCATED = 4 as u32;
export const ROW_USED = 5 as u32;
export const ROW_FREEABLE = 6 as u32;
export const ROW_ZSPAGES = 7 as u32;
export const ROW_GROUPS = 8 as u32; // zspages in each fullness group, up to 12 words
export const ROW_WORDS = 20 as u32;
// The other allocators, a row for each list:
export const ROW_LENGTH = 0 as u32;
/** xcfmalloc: the list of reserve frames. */
export const RESERVE_LIST = 63 as u32;

/** xcfmalloc: alignment of blocks in bytes. */
export const XCF_UNIT = 64 as u32;
/** zsmalloc: bytes at the start of an object slot that the object does not use. */
export const ZS_WORD = 4 as u32;

// ── codecs of the core; each front end numbers its foreign codecs ────────────

export const CODEC_LZ4 = 0 as u32;
export const CODEC_LZ4HC = 1 as u32;
export const FIRST_FOREIGN = 2 as u32;
/** The highest codec number: the header of a slot has one byte for it. */
export const CODEC_MAX = 255 as u32;

// ── page tables ──────────────────────────────────────────────────────────────

// Shapes; 0 means that there is no table.
export const DENSE = 1 as u32;
export const SPARSE = 2 as u32;

// States of cells in the page table of a pool.
export const HANDLE = 1 as u32;
export const FILL = 2 as u32; // a same-filled page: the value is its fill word

// ── front ends ───────────────────────────────────────────────────────────────

/** The header before the data of a slot in a backing store. */
export const SLOT_HEADER_BYTES = 32 as u32;

// Kinds of cells, in the low bits of their state. FILL is the kind of a same-filled page here too.
export const ENTRY = 1 as u32; // ramzswap: the value is the handle of an object; zswap: the record of an entry
export const WRITTEN = 5 as u32; // the page is in a slot of the backing store
export const KIND_MASK = 15 as u32;

// Results of front end calls, beside 0, PAGE_SIZE, other sizes and errors.
export const FULL = 1 as u32; // zswap: the limit is reached, or usage is not yet below the accept threshold
export const POOR = 2 as u32; // the page does not compress, and the settings refuse such pages
export const COMPRESS = 3 as u32; // the caller has to compress the page, then put the block
export const IN_STORE = 4 as u32; // the page is in a slot: OUT_SLOT, OUT_GENERATION
export const BEING_WRITTEN = 5 as u32; // zswap: the page is in no pool; write OUT_JOB has it
export const DECOMPRESS = 6 as u32; // the block is in the block buffer: a foreign codec has to decompress it
export const OVER_LIMIT = 7 as u32; // ramzswap: the pool would exceed its limit of frames
export const REPLACED = 8 as u32; // ramzswap: a smaller object replaced the old one
export const TOO_LONG = 9 as u32; // ramzswap: the new object would be smaller, but not below the threshold
/** The bindings define the results from here on. */
export const ANSWERS_END = 16 as u32;

// How a write to the store has ended.
export const WRITE_FAILED = 0 as u32; // the slot may hold anything
export const WRITE_DONE = 1 as u32;
export const WRITE_LATE = 2 as u32; // nobody waits for the write any more, but it may still happen

// ── zswap ────────────────────────────────────────────────────────────────────

/** Swap types are below this number; the index uses the high words from here on for its own keys. */
export const RAW_KEYS = 0xffffff00 as u32;

/** The most pools of a zswap: the current one, and those that are draining. */
export const POOLS_OF_ZSWAP = 64 as u32;

// What writeback takes: one entry, or all objects of a victim.
export const VICTIM_ENTRY = 0 as u32;
export const VICTIM_PAGE = 1 as u32;

// zswapCount and zswapFigure: counters.
export const POOL_LIMIT_HIT = 0 as u32;
export const WRITTEN_BACK = 1 as u32;
export const REJECT_RECLAIM_FAIL = 2 as u32;
export const REJECT_COMPRESS_FAIL = 3 as u32;
export const REJECT_COMPRESS_POOR = 4 as u32;
export const DECOMPRESS_FAIL = 5 as u32;
export const REJECT_ALLOC_FAIL = 6 as u32;
export const REJECT_KMEMCACHE_FAIL = 7 as u32;
export const DUPLICATE_ENTRY = 8 as u32;
export const WRITEBACK_FAIL = 9 as u32;
export const READ_FAIL = 10 as u32;
/** Number of counters. */
export const COUNTER_COUNT = 11 as u32;
// zswapFigure: current state.
export const ZSWAP_STORED = 11 as u32; // pages in the pools, same-filled ones included
export const ZSWAP_POOL_FRAMES = 12 as u32;
export const ZSWAP_SAME_FILLED = 13 as u32;
export const ZSWAP_RAW = 14 as u32; // pages stored raw
export const ZSWAP_WRITTEN = 15 as u32; // pages in the store
export const ZSWAP_IN_FLIGHT = 16 as u32; // writes in progress
export const ZSWAP_SLOTS = 17 as u32; // slots that are not free
export const ZSWAP_LIMIT = 18 as u32; // the most frames that the zswap may have now
export const ZSWAP_ENTRIES = 19 as u32; // objects in the pools
export const ZSWAP_CURRENT = 20 as u32; // number of the pool that takes pages
export const ZSWAP_VICTIMS = 21 as u32; // VICTIM_ENTRY or VICTIM_PAGE
export const ZSWAP_STORE_SLOTS = 22 as u32; // slots that the store must have, 0 for no store

// ── ramzswap ─────────────────────────────────────────────────────────────────

// Flags in the state of a cell of kind ENTRY.
export const IDLE = 16 as u32;
export const HUGE = 32 as u32; // the page is stored raw
export const INCOMPRESSIBLE = 64 as u32; // no codec makes it smaller
export const PRIORITY_SHIFT = 7 as u32; // priority of the codec that compressed the page
export const PRIORITY_MASK = 3 as u32;

/** Access times are seconds below this number. */
export const TIME_END = 0x40000000 as u32;

// ramzFigure: current state.
export const RAMZ_OBJECTS = 0 as u32;
export const RAMZ_SAME = 1 as u32; // same-filled pages
export const RAMZ_HUGE = 2 as u32;
export const RAMZ_WRITTEN = 3 as u32; // pages in the store
export const RAMZ_HUGE_EVER = 4 as u32; // huge pages ever written
export const RAMZ_PEAK = 5 as u32; // the most frames of the pool so far
export const RAMZ_BYTES = 6 as u32; // bytes of all objects
export const RAMZ_GOOD = 7 as u32; // objects of half a page or less
export const RAMZ_SLOTS = 8 as u32; // slots that are not free
export const RAMZ_FRAMES = 9 as u32; // frames of the pool
export const RAMZ_PAGES = 10 as u32; // pages of the device
export const RAMZ_STORE = 11 as u32; // slots of the store that the slot map describes, 0 without a store
