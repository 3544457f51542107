/** Entries of same-filled pages: negative numbers. Each holds the word that fills the page. */
import { PAGE_SIZE } from '../assembly/abi.ts';
import type { PageEntry } from './plain-types.ts';

export function sameFilledEntry(word: number): PageEntry {
  return (-1 - word) as PageEntry;
}

/** The word that fills a page, for codecs outside the core. Undefined when the page is not same-filled. */
export function sameFilledWord(page: Uint8Array): number | undefined {
  for (let at = 4; at < PAGE_SIZE; at++) {
    if (page[at] !== page[at - 4]) return undefined;
  }
  return new DataView(page.buffer, page.byteOffset, 4).getUint32(0, true);
}
