/**
 * What the front ends call in the core. They are a module of their own
 * (front.ts) on the core's memory, so an allocator and a codec exist once: in
 * the core, whose exports are imported here. A call across costs a few ns.
 */

// @ts-ignore: decorator
@external("core", "zpoolMalloc")
export declare function zpoolMalloc(pool: usize, size: u32): u32;
// @ts-ignore: decorator
@external("core", "zpoolMallocRaw")
export declare function zpoolMallocRaw(pool: usize): u32;
// @ts-ignore: decorator
@external("core", "zpoolMax")
export declare function zpoolMax(pool: usize): u32;
// @ts-ignore: decorator
@external("core", "zpoolFree")
export declare function zpoolFree(pool: usize, handle: u32): u32;
// @ts-ignore: decorator
@external("core", "zpoolSize")
export declare function zpoolSize(pool: usize, handle: u32): u32;
// @ts-ignore: decorator
@external("core", "zpoolRange")
export declare function zpoolRange(pool: usize, handle: u32, at: u32, length: u32, writing: u32): u32;
// @ts-ignore: decorator
@external("core", "pageLoad")
export declare function pageLoad(pool: usize, handle: u32): u32;
// @ts-ignore: decorator
@external("core", "pageFill")
export declare function pageFill(word: u32): u32;
// @ts-ignore: decorator
@external("core", "codecCompress")
export declare function codecCompress(codec: u32, bytes: u32, most: u32): u32;
// @ts-ignore: decorator
@external("core", "codecDecompress")
export declare function codecDecompress(bytes: u32, most: u32): u32;
