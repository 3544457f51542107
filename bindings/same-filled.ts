/** Entries of same-filled pages: negative numbers that hold the word which fills the page. */
import { PAGE_SIZE } from '../assembly/abi.ts';
import type { PageEntry } from './plain-types.ts';

export function sameFilledEntry(word: number): PageEntry {
  return (-1 - word) as PageEntry;
}

/** The word of a same-filled page, for codecs outside the core. */
export function sameFilledWord(page: Uint8Array): number | undefined {
  for (let at = 4; at < PAGE_SIZE; at++) {
    if (page[at] !== page[at - 4]) return undefined;
  }
  return new DataView(page.buffer, page.byteOffset, 4).getUint32(0, true);
}
