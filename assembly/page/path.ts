/**
 * The page path: one call stores a page in a pool, one loads it.
 *
 * Store: same-filled test, compress to scratch, malloc, copy. A page whose
 * block is larger than the pool's largest object (or no smaller than the page)
 * is incompressible and kept as it is, in an object of 4096 bytes where the
 * allocator holds one, else in a whole frame that belongs to the pool. So
 * an object of 4096 bytes is a raw page and any other is an LZ4 block: no tag is
 * needed. Load: the reverse, straight from the object into the page buffer.
 *
 * Page and block buffers are scratch, fixed at creation: a load needs no frame.
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
 * @returns the handle; 0 for a same-filled page, whose word is in OUT_FILL and
 *   which takes no memory; EINVAL no pool, ENOMEM no frame
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
 * @returns 4096; EINVAL no pool or handle, EIO when the object is not a page
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

/** Fills the page buffer with one word. Returns its 4096 bytes. */
export function pageFill(word: u32): u32 {
  const page = pageBuffer();
  const words = (<u64>word) | ((<u64>word) << 32);
  for (let at: usize = 0; at < PAGE_SIZE; at += 8) store<u64>(page + at, words);
  return PAGE_SIZE;
}
