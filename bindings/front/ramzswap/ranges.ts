/**
 * Reads and writes of pages, sectors and bytes, page by page. The caller's array is checked here, and only
 * ../../bytes.ts copies it. Reads and writes are counted here.
 */
import { copyOf, copyOut, lengthOf, requireBytes, requireUnshrunk, viewOf } from '../../bytes.ts';
import { requirePage } from '../../codec/foreign.ts';
import { CompcacheError } from '../../errors.ts';
import type { Steps } from '../../steps.ts';
import { PAGE_SIZE } from '../../wasm.ts';
import { requireRange } from '../common/options.ts';
import { pageNow, pageOf } from './reading.ts';
import { beyond, live, requirePages, type Call, type State } from './state.ts';
import type { Continuation } from './waiting.ts';
import { patch, put } from './writing.ts';

export const SECTOR = 512;

/**
 * The part of a range that lies in one page: the page, the offset in the page, the offset in the caller's array, and
 * the length.
 */
interface Part {
  index: number;
  from: number;
  at: number;
  length: number;
}

/** Reads a page. */
export function readPage(state: State, call: Call, index: number, into: Uint8Array): Continuation {
  requirePage(call.op, 'into', into);
  requirePages(state, call.op, live(state, call.op), index, 1);
  return readPart(state, call, { index, from: 0, at: 0, length: PAGE_SIZE }, into);
}

/** Writes a page. */
export function writePage(state: State, call: Call, index: number, page: Uint8Array): Continuation {
  requirePage(call.op, 'page', page);
  requirePages(state, call.op, live(state, call.op), index, 1);
  return writePart(state, call, { index, from: 0, at: 0, length: PAGE_SIZE }, page, PAGE_SIZE);
}

/** Reads a range of the device. @param place where it begins, in units */
export function read(state: State, call: Call, place: number, unit: number, into: Uint8Array): Continuation {
  const all = requireLength(state, call.op, 'into', into, place, unit);
  return inParts(call, 'into', place * unit, into, all, (part, target) => readPart(state, call, part, target));
}

/** Writes a range of the device. @param place where it begins, in units */
export function write(state: State, call: Call, place: number, unit: number, bytes: Uint8Array): Continuation {
  const all = requireLength(state, call.op, 'bytes', bytes, place, unit);
  return inParts(call, 'bytes', place * unit, bytes, all, (part, source) => writePart(state, call, part, source, all));
}

/** Checks the range, which begins at `place` units, and returns its bytes. EINVAL. */
function requireLength(state: State, op: string, what: string, bytes: Uint8Array, place: number, unit: number): number {
  requireBytes(op, what, bytes);
  const length = lengthOf(bytes);
  if (length % unit !== 0)
    throw new CompcacheError('EINVAL', op, `${what} must have a multiple of ${unit} bytes, not ${length}`);
  requireRange(op, unit === SECTOR ? 'sector' : 'offset', place, 0, Math.floor(Number.MAX_SAFE_INTEGER / unit));
  const device = live(state, op);
  if (place * unit + length > device.pages * PAGE_SIZE) throw beyond(state, op, device);
  return length;
}

/** Handles a range page by page. If it lies in one page, the caller's array is used; else a view of it. */
function inParts(
  call: Call,
  what: string,
  offset: number,
  bytes: Uint8Array,
  all: number,
  one: (part: Part, bytes: Uint8Array) => Continuation,
): Continuation {
  if (all === 0) return undefined;
  const part = partAt(offset, 0, all);
  return part.length === all ? one(part, bytes) : eachPart(call, offset, viewOf(call.op, what, bytes), all, one);
}

function* eachPart(
  { waits }: Call,
  offset: number,
  view: Uint8Array,
  all: number,
  one: (part: Part, view: Uint8Array) => Continuation,
): Steps<void> {
  for (let at = 0; at < all;) {
    const part = partAt(offset, at, all);
    const rest = one(part, view);
    if (rest !== undefined) yield* rest;
    if (waits) yield; // other calls may run between two pages
    at += part.length;
  }
}

/** The part of a range that begins `at` bytes after the start of the range. The range has `all` bytes. */
function partAt(offset: number, at: number, all: number): Part {
  const from = (offset + at) % PAGE_SIZE;
  return { index: Math.floor((offset + at) / PAGE_SIZE), from, at, length: Math.min(PAGE_SIZE - from, all - at) };
}

function readPart(state: State, call: Call, part: Part, into: Uint8Array): Continuation {
  state.counters.numReads += 1;
  if (call.waits) return counted(state, 'Reads', state.active.during(handedOver(state, call, part, into)));
  try {
    handOver(call, part, pageNow(state, call, part.index), into);
    return undefined;
  } catch (error) {
    throw failed(state, 'Reads', error);
  }
}

function* handedOver(state: State, call: Call, part: Part, into: Uint8Array): Steps<void> {
  handOver(call, part, yield* pageOf(state, call, part.index), into);
}

/** Copies the part of a page to its place in the caller's array. */
function handOver({ op }: Call, { from, at, length }: Part, page: Uint8Array, into: Uint8Array): void {
  copyOut(op, 'into', into, length === PAGE_SIZE ? page : page.subarray(from, from + length), at);
}

function writePart(state: State, call: Call, part: Part, bytes: Uint8Array, all: number): Continuation {
  state.counters.numWrites += 1;
  try {
    const rest = putOrPatch(state, call, part, bytes, all);
    return rest && counted(state, 'Writes', rest);
  } catch (error) {
    throw failed(state, 'Writes', error);
  }
}

/** A whole page is written without reading; a part of a page is written into the page that is there. */
function putOrPatch(
  state: State,
  call: Call,
  { index, from, at, length }: Part,
  bytes: Uint8Array,
  all: number,
): Continuation {
  const source = length === all ? bytes : stepOf(call.op, bytes, all, at, length);
  if (length === PAGE_SIZE) return put(state, call, index, source);
  if (!call.waits) return patch(state, call, index, source, from, length);
  return state.active.during(patch(state, call, index, exactly(call.op, source, length), from, length));
}

/** The bytes of the view for the next page. EINVAL when the view has become shorter. */
function stepOf(op: string, view: Uint8Array, all: number, at: number, length: number): Uint8Array {
  requireUnshrunk(op, 'bytes', view, all);
  return view.subarray(at, at + length);
}

/** A copy of these bytes. EINVAL when the length has changed. */
function exactly(op: string, part: Uint8Array, length: number): Uint8Array {
  const copy = copyOf(op, 'bytes', part);
  requireUnshrunk(op, 'bytes', copy, length);
  return copy;
}

/** Runs the steps and counts a failure. */
function* counted(state: State, what: 'Reads' | 'Writes', rest: Steps<void>): Steps<void> {
  try {
    yield* rest;
  } catch (error) {
    throw failed(state, what, error);
  }
}

/** Counts a failure. A call that failed with EAGAIN is not counted, because the caller calls again. */
function failed({ counters }: State, what: 'Reads' | 'Writes', error: unknown): unknown {
  if (CompcacheError.made(error) && error.code === 'EAGAIN') counters[`num${what}`] -= 1;
  else counters[`failed${what}`] += 1;
  return error;
}
