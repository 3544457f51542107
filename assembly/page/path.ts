/**
 * The page path: one call stores a page in a pool, another call loads it.
 *
 * Store: same-filled test, compress to scratch, malloc, copy. A page is
 * incompressible when its block is larger than the largest object of the pool, or
 * not smaller than the page. Such a page is stored raw: in an object of 4096 bytes,
 * or in a whole frame of the pool when the allocator has no such objects. So an
 * object of 4096 bytes is a raw page, any other object is an LZ4 block, and no tag
 * is needed. Load: the reverse, directly from the object into the page buffer.
 *
 * Page buffer and block buffer are in scratch, so a load needs no frame.
 */
import { OUT_FILL, OUT_LENGTH, OUT_SIZE } from '../abi';
import { EIO, isError } from '../base/errno';
import { compress } from '../codec/compress';
import { lz4Decompress } from '../codec/lz4';
import { sameFilled } from '../codec/samefill';
import { PAGE_SIZE } from '../mem/layout';
import { blockBuffer, gatherBuffer, out, pageBuffer, setOut } from '../mem/scratch';
import { gather } from '../mem/span';
import { zpoolCopyIn, zpoolMalloc, zpoolMallocRaw, zpoolMax, zpoolSpan } from '../zpool';

/**
 * Stores the page in the page buffer.
 * @param pool the zpool
 * @param codec number of the compressor (codec/compress.ts)
 * @returns the handle; 0 for a same-filled page, which takes no memory (its fill word is
 *   in OUT_FILL); EINVAL for no pool, ENOMEM without a frame
 */
export function pageStore(pool: usize, codec: u32): u32 {
  const page = pageBuffer();
  if (sameFilled(page, PAGE_SIZE)) {
    setOut(OUT_FILL, load<u32>(page));
    return 0;
  }
  const most = zpoolMax(pool);
  if (isError(most)) return most;
  const block = blockBuffer();
  const bytes = compress(codec, page, PAGE_SIZE, block, min(most, PAGE_SIZE - 1));
  const handle = bytes != 0 ? zpoolMalloc(pool, bytes) : zpoolMallocRaw(pool);
  if (isError(handle)) return handle;
  const result = zpoolCopyIn(pool, handle, bytes != 0 ? block : page);
  return isError(result) ? result : handle;
}

/**
 * Loads a stored page into the page buffer.
 * @returns 4096; EINVAL for no pool or no handle, EIO when the object is not a page
 */
export function pageLoad(pool: usize, handle: u32): u32 {
  const address = zpoolSpan(pool, handle, 0);
  if (isError(address)) return address;
  const bytes = out(OUT_SIZE);
  if (bytes == PAGE_SIZE) {
    gather(pageBuffer(), address, PAGE_SIZE);
    return PAGE_SIZE;
  }
  let block = <usize>address;
  if (out(OUT_LENGTH) < bytes) {
    block = gatherBuffer();
    gather(block, address, bytes);
  }
  return lz4Decompress(block, bytes, pageBuffer(), PAGE_SIZE) == PAGE_SIZE ? PAGE_SIZE : EIO;
}

/** Fills the page buffer with one word. Returns 4096, its bytes. */
export function pageFill(word: u32): u32 {
  const page = pageBuffer();
  const words = (<u64>word) | ((<u64>word) << 32);
  for (let at: usize = 0; at < PAGE_SIZE; at += 8) store<u64>(page + at, words);
  return PAGE_SIZE;
}
