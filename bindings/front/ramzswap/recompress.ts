/** Compresses pages again with the further codecs. Foreign codecs may change anything meanwhile. */
import {
  DECOMPRESS,
  ENOENT,
  ENOMEM,
  FIRST_FOREIGN,
  HUGE,
  IDLE,
  INCOMPRESSIBLE,
  PRIORITY_MASK,
  PRIORITY_SHIFT,
  REPLACED,
} from '../../../assembly/abi.ts';
import { CompcacheError, requireU32, takeOptions } from '../../errors.ts';
import { runSync, wait, type Steps } from '../../steps.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import { requireRange, requireWord } from '../common/options.ts';
import { replaced } from './changes.ts';
import { CODEC_FAILED, codecNumber, compress, decompress } from './codecs.ts';
import { allPages, isObject, nextPage, type Found } from './pages.ts';
import { compactInSlices, compactPool } from './pool.ts';
import { Slices } from './slices.ts';
import { isGone, live, type Device, type State } from './state.ts';

/** A slice tries this many pages at least. */
const LEAST = 8;

export interface RecompressOptions {
  /** Default: any page. */
  type?: 'idle' | 'huge' | 'huge_idle';
  /** Replaces a page only if the result has fewer bytes than this. Default: any result. */
  threshold?: number;
  /** The most pages that are tried. */
  maxPages?: number;
  /**
   * Tries only the codec of this priority, 1 … 3. Default: each codec above the page's own, until one makes the page
   * smaller.
   */
  priority?: number;
}

/** The options in checked form. */
interface Wanted {
  /** Marks that a page must have. */
  mask: number;
  /** The least number of bytes of the page's present block. */
  least: number;
  threshold: number;
  maxPages: number;
  priority: number | undefined;
  /** Priority of the last codec. */
  last: number;
}

/**
 * The result of a page: 'never' when no codec makes it smaller, 'not now' when that is unknown; undefined without a
 * frame.
 */
type Verdict = 'smaller' | 'never' | 'not now' | undefined;

/** Recompresses without waiting. @returns pages that take less now */
export function recompressNow(state: State, given: RecompressOptions): number {
  const op = 'ramzswap.recompress';
  return runSync(recompressed(state, op, beginRun(state, op, given), undefined));
}

/** Recompresses in slices. */
export async function recompressSoon(state: State, given: RecompressOptions): Promise<number> {
  const op = 'ramzswap.recompressAsync';
  return state.active.run(recompressed(state, op, beginRun(state, op, given), new Slices(LEAST)));
}

interface Run {
  device: Device;
  wanted: Wanted;
}

function beginRun(state: State, op: string, given: RecompressOptions): Run {
  const options = takeOptions<RecompressOptions>(op, given, ['type', 'threshold', 'maxPages', 'priority']);
  const device = live(state, op);
  return { device, wanted: requireWanted(state, op, options) };
}

function* recompressed(state: State, op: string, { device, wanted }: Run, slices: Slices | undefined): Steps<number> {
  const { maxPages, threshold, priority, last } = wanted;
  let tried = 0;
  let smaller = 0;
  let compacted = false;
  for (const page of allPages(state)) {
    let tries = triesOf(page, wanted);
    if (tries.length !== 0) {
      if (tried++ >= maxPages) break;
      let verdict = tryPage(state, op, device, page.index, tries, threshold);
      if (verdict === undefined && !compacted) {
        compacted = true; // only once: objects of the pages before may be compacted
        if (slices === undefined) compactPool(state, op, device);
        else yield* compactInSlices(state, op, device, slices);
        tries = triesAgain(device, page, tries, wanted);
        verdict = tryPage(state, op, device, page.index, tries, threshold);
      }
      if (verdict === undefined) break;
      if (verdict === 'smaller') smaller += 1;
      else if (verdict === 'never' && tries.at(-1) === last && (priority === undefined || last === 1))
        device.front.ramzGiveUp(device.address, page.index);
    }
    if (slices?.isOver === true) yield* wait(slices.turn());
    if (live(state, op) !== device) break;
  }
  return smaller;
}

/** Tests a page again after other calls may have run: it has lost its idle mark, and may have changed. */
function triesAgain(device: Device, page: Found, tries: number[], wanted: Wanted): number[] {
  const now = nextPage(device, page.index);
  if (now?.index !== page.index) return [];
  return (now.state | IDLE) === (page.state | IDLE) && now.bytes === page.bytes ? tries : triesOf(now, wanted);
}

/** The options in checked form, for this device. EINVAL. */
function requireWanted(
  { codecs, most }: State,
  op: string,
  { type, threshold, maxPages = Infinity, priority }: RecompressOptions,
): Wanted {
  if (type !== undefined) requireWord(op, 'type', type, ['idle', 'huge', 'huge_idle']);
  if (threshold !== undefined) requireRange(op, 'threshold', threshold, 1, most);
  if (maxPages !== Infinity) requireU32(op, 'maxPages', maxPages);
  const last = codecs.numbers.length - 1;
  if (last === 0) throw new CompcacheError('EINVAL', op, 'there are no further codecs');
  if (priority !== undefined) requireRange(op, 'priority', priority, 1, last);
  const mask = type === 'idle' ? IDLE : type === 'huge' ? HUGE : type === 'huge_idle' ? HUGE | IDLE : 0;
  return { mask, least: threshold ?? 0, threshold: threshold ?? PAGE_SIZE, maxPages, priority, last };
}

/** Priorities of the codecs to try on a page, in order. */
function triesOf(page: Found, { mask, least, priority, last }: Wanted): number[] {
  const { state, bytes } = page;
  if (!isObject(page) || (state & mask) !== mask || (state & INCOMPRESSIBLE) !== 0 || bytes < least) return [];
  const from = (state & HUGE) !== 0 ? 1 : ((state >>> PRIORITY_SHIFT) & PRIORITY_MASK) + 1;
  if (priority === undefined) return range(from, last);
  return priority >= from ? [priority] : [];
}

function range(first: number, last: number): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
}

/** Tries the codecs on a page. */
function tryPage(
  state: State,
  op: string,
  device: Device,
  index: number,
  priorities: readonly number[],
  threshold: number,
): Verdict {
  const { front, address } = device;
  let verdict: 'never' | 'not now' = 'never';
  for (const priority of priorities) {
    let result = DECOMPRESS;
    if (codecNumber(state, priority) < FIRST_FOREIGN)
      result = front.ramzRecompress(address, index, priority, threshold) >>> 0;
    if (result === DECOMPRESS) result = tryWith(state, op, device, index, priority, threshold);
    if (result === REPLACED) {
      replaced(state, index);
      return 'smaller';
    }
    if (result === ENOMEM) return undefined;
    if (result === ENOENT) return 'not now';
    if (result !== 0) verdict = 'not now';
  }
  return verdict;
}

/** Tries one codec, foreign or not. Results as ramzReplace, or CODEC_FAILED. */
function tryWith(state: State, op: string, device: Device, index: number, priority: number, threshold: number): number {
  const { core, front, address, blockAddress } = device;
  const peeked = front.ramzPeek(address, index) >>> 0;
  if (peeked !== PAGE_SIZE && peeked !== DECOMPRESS) return peeked;
  const { changes } = state;
  // The foreign codec may have written the page, or closed the device.
  const isOld = (): boolean => isGone(state, device) || state.changes !== changes;
  let page: Uint8Array;
  try {
    page = peeked === DECOMPRESS ? decompress(state, op, device) : core.page.slice();
  } catch {
    return CODEC_FAILED;
  }
  if (isOld()) return CODEC_FAILED;
  const number = codecNumber(state, priority);
  let length: number;
  if (number < FIRST_FOREIGN) {
    core.page.set(page);
    length = core.exports.codecCompress(number, PAGE_SIZE, state.most) >>> 0;
  } else {
    const block = compress(state, op, number, page);
    if (block === undefined || isOld()) return CODEC_FAILED;
    core.bytes.set(block, blockAddress);
    length = block.length;
  }
  return length === 0 ? 0 : front.ramzReplace(address, index, length, priority, threshold) >>> 0;
}
