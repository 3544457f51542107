/** The swap header, as mkswap makes it. */
import { PAGE_SIZE } from '../../wasm.ts';

/** Page 0 of a swap device with this many pages. */
export function swapHeader(pages: number): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  const view = new DataView(page.buffer);
  view.setUint32(1024, 1, true); // version
  view.setUint32(1028, pages - 1, true); // last page
  page.set(new TextEncoder().encode('SWAPSPACE2'), PAGE_SIZE - 10);
  return page;
}
