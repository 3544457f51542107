/** Walks over the pages of a device that hold something. It reads only. */
import { ENTRY, KIND_MASK, OUT_KEY_LOW, OUT_PAGE_BYTES, OUT_PAGE_STATE } from '../../../assembly/abi.ts';
import { isGone, type Device, type State } from './state.ts';

/** A page that holds something. */
export interface Found {
  index: number;
  state: number;
  bytes: number;
}

/** True when the page is an object in memory. */
export function isObject({ state }: Found): boolean {
  return (state & KIND_MASK) === ENTRY;
}

/** The first page that holds something, from a page number on. */
export function nextPage({ front, address, core: { out } }: Device, index: number): Found | undefined {
  if (front.ramzNext(address, index) === 0) return undefined;
  return {
    index: out[OUT_KEY_LOW] as number,
    state: out[OUT_PAGE_STATE] as number,
    bytes: out[OUT_PAGE_BYTES] as number,
  };
}

/** All pages that hold something, in order, until the device ends. */
export function* allPages(state: State): Generator<Found> {
  const { device } = state;
  for (let index = 0; device !== undefined && !isGone(state, device); index++) {
    const found = nextPage(device, index);
    if (found === undefined) return;
    index = found.index;
    yield found;
  }
}
