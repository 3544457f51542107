/** The selection of writeback: which pages it means. The caller's object is read once. */
import { HUGE, IDLE, INCOMPRESSIBLE } from '../../../assembly/abi.ts';
import { CompcacheError, show } from '../../errors.ts';
import { requireRange } from '../common/options.ts';
import type { Found } from './pages.ts';

/** Which pages writeback takes. */
export type WritebackSelection =
  | 'idle'
  | 'huge'
  | 'huge_idle'
  | 'incompressible'
  | { pages: readonly (number | readonly [first: number, last: number])[] };

const MASKS: Record<string, number> = {
  idle: IDLE,
  huge: HUGE,
  huge_idle: HUGE | IDLE,
  incompressible: INCOMPRESSIBLE,
};

type Range = [first: unknown, last: unknown];

/** A selection in checked form: marks that a page must have, or ranges of pages. */
export type TakenSelection = number | Range[];

/** Reads and checks a selection. EINVAL. */
export function takeSelection(op: string, selection: unknown): TakenSelection {
  if (typeof selection === 'string' && Object.hasOwn(MASKS, selection)) return MASKS[selection] as number;
  let ranges: Range[] | undefined;
  try {
    ranges = rangesOf(op, (selection as { pages?: unknown } | null | undefined)?.pages);
  } catch (cause) {
    if (CompcacheError.made(cause)) throw cause;
    throw new CompcacheError('EINVAL', op, 'selection cannot be read', { cause });
  }
  if (ranges === undefined)
    throw new CompcacheError(
      'EINVAL',
      op,
      `selection must be ${Object.keys(MASKS).map(show).join(', ')} or { pages }, not ${show(selection)}`,
    );
  return ranges;
}

function rangesOf(op: string, list: unknown): Range[] | undefined {
  if (!Array.isArray(list)) return undefined;
  const { length } = list;
  const ranges: Range[] = [];
  for (let i = 0; i < length; i++) {
    const one: unknown = list[i];
    const range: Range = Array.isArray(one) ? [one[0], one[1]] : [one, one];
    // Checked at once, so that an endless list ends with an error.
    requireRange(op, 'first page', range[0], 0, 2 ** 32 - 1);
    ranges.push(range);
  }
  return ranges;
}

/** Makes a test for pages of a device with this many pages: true when the page is selected. EINVAL. */
export function wantedBy(op: string, selection: TakenSelection, pages: number): (page: Found) => boolean {
  if (typeof selection === 'number') return ({ state }) => (state & selection) === selection;
  const ranges = selection.map(([first, last]): [number, number] => {
    requireRange(op, 'first page', first, 0, pages - 1);
    requireRange(op, 'last page', last, first, pages - 1);
    return [first, last];
  });
  return ({ index }) => ranges.some(([first, last]) => index >= first && index <= last);
}
