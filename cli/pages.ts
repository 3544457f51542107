/**
 * Where pages come from: files, standard input, the memory of a process.
 *
 * Every input is cut into pages of 4 KiB. The last page of a file is padded with zeros. Only one block of an input is
 * in memory at a time. `parts` collects as many pages as its caller wants.
 */
import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  type Stats,
} from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { devNull } from 'node:os';
import { isatty } from 'node:tty';
import { PAGE_SIZE } from '../bindings/index.ts';

const BLOCK_BYTES = 256 * PAGE_SIZE;
const NAMES_SHOWN = 3;
const STDIN = 0; // the descriptor

/** A mistake of the user. It is shown in one line on stderr, with exit code 2. */
export class InputError extends Error {}

/** A summary of what was read. Complete when `parts` has ended. */
export interface InputSummary {
  /** For display: the file names ('standard input' for '-'), or the process. */
  name: string;
  pages: number;
  /** Bytes read, without padding. */
  bytes: number;
  /** Zero bytes that pad the last page of each input. */
  paddedBytes: number;
  /** True when reading stopped at the limit of pages. There may be more pages. */
  limited: boolean;
  process?: ProcessSummary;
}

/** Counts of 4 KiB pages in private writable mappings. */
export interface ProcessSummary {
  pid: number;
  command: string;
  /** Pages that were never touched, or were dropped. */
  absentPages: number;
  swappedPages: number;
  /** Pages that were present but could not be read: they belong to a device, or are gone. */
  unreadablePages: number;
}

/** Some pages, and the number of zero bytes that pad the last one. */
interface Block {
  pages: Uint8Array[];
  padding: number;
}

export interface Input {
  readonly summary: InputSummary;
  /** The expected number of pages, 0 when it is not known (a pipe). */
  readonly expectedPages: number;
  blocks(): AsyncGenerator<Block>;
}

/** Options of the input, besides the files. */
export interface InputOptions {
  pid?: number | undefined;
  /** True when only a limited number of pages is read. Otherwise an input that may be endless is refused. */
  isBounded?: boolean;
}

/**
 * Opens the input that the command line names.
 * @param files names, '-' for standard input; without files and pid: standard input, if it is a pipe or a file
 * @throws InputError when the input cannot be read
 */
export async function openInput(
  files: readonly string[],
  { pid, isBounded = false }: InputOptions = {},
): Promise<Input> {
  if (pid === undefined) return openFiles(files.length === 0 ? [standardInput()] : files, isBounded);
  if (files.length !== 0) throw new InputError('give either files or --pid, not both');
  return openProcess(pid);
}

/** The name of standard input, if it is redirected: a terminal or the null device is not an input. */
function standardInput(): string {
  if (isPipeOrFile(STDIN)) return '-';
  throw new InputError("there is nothing to read: name a FILE, give --pid N, or send pages to standard input ('-')");
}

/** True for a pipe, a file or a socket. A Node program gives its child processes sockets instead of pipes. */
function isPipeOrFile(descriptor: number): boolean {
  try {
    const found = fstatSync(descriptor);
    return found.isFIFO() || found.isFile() || found.isSocket();
  } catch {
    return false; // the descriptor is closed
  }
}

/**
 * The pages of an input, in parts of `partPages` pages. The last part may be smaller.
 * @param limit the most pages of all parts together
 * @throws InputError when there are no pages, or the input cannot be read
 */
export async function* parts(input: Input, partPages: number, limit = Infinity): AsyncGenerator<Uint8Array[]> {
  const { summary } = input;
  let part: Uint8Array[] = [];
  for await (const { pages, padding } of input.blocks()) {
    const taken = Math.min(pages.length, limit - summary.pages);
    count(summary, taken, taken === pages.length ? padding : 0);
    for (const page of pages.slice(0, taken)) {
      part.push(page);
      if (part.length < partPages) continue;
      yield part;
      part = [];
    }
    summary.limited = summary.pages === limit;
    if (summary.limited) break;
  }
  if (part.length !== 0) yield part;
  if (summary.pages === 0) throw new InputError(nothingIn(summary));
}

function count(summary: InputSummary, pages: number, padding: number): void {
  summary.pages += pages;
  summary.bytes += pages * PAGE_SIZE - padding;
  summary.paddedBytes += padding;
}

function nothingIn({ name, process }: InputSummary): string {
  return process === undefined ? `${name} is empty` : `${name} has no private writable page in memory that can be read`;
}

function newSummary(name: string, process?: ProcessSummary): InputSummary {
  return { name, pages: 0, bytes: 0, paddedBytes: 0, limited: false, ...(process && { process }) };
}

// ── files and standard input ─────────────────────────────────────────────────

async function openFiles(files: readonly string[], isBounded: boolean): Promise<Input> {
  if (files.filter((file) => file === '-').length > 1)
    throw new InputError("standard input ('-') can be read only once");
  let expectedPages = 0;
  for (const file of files) {
    const found = await readableStats(file);
    if (!isBounded && mayBeEndless(file, found))
      throw new InputError(`${nameOf(file)} is a device that may have no end: give --pages N`);
    expectedPages += Math.ceil(found.size / PAGE_SIZE);
  }
  return {
    summary: newSummary(files.length > NAMES_SHOWN ? `${files.length} files` : files.map(nameOf).join(', ')),
    expectedPages,
    async *blocks() {
      for (const file of files) yield* streamBlocks(file);
    },
  };
}

function nameOf(file: string): string {
  if (file === '') return "''";
  return file === '-' ? 'standard input' : file;
}

/** Checks that a file can be read, without reading it. Returns its stats. The size of a device or pipe is 0. */
async function readableStats(file: string): Promise<Stats> {
  try {
    if (file !== '-') await access(file, constants.R_OK);
    const found = file === '-' ? fstatSync(STDIN) : await stat(file);
    if (found.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
    return found;
  } catch (error) {
    throw unreadable(nameOf(file), error);
  }
}

/** Character devices have no size, and many are endless. A terminal and the null device are not. */
function mayBeEndless(file: string, found: Stats): boolean {
  if (!found.isCharacterDevice()) return false;
  return !(file === '-' && isatty(STDIN)) && found.rdev !== nullDevice();
}

/** The device number of the null device. Undefined when there is none. */
function nullDevice(): number | undefined {
  try {
    return statSync(devNull).rdev;
  } catch {
    return undefined;
  }
}

async function* streamBlocks(file: string): AsyncGenerator<Block> {
  try {
    yield* cut(file === '-' ? process.stdin : createReadStream(file, { highWaterMark: BLOCK_BYTES }));
  } catch (error) {
    throw unreadable(nameOf(file), error);
  }
}

/** Cuts a stream of chunks of any size into pages. */
async function* cut(stream: AsyncIterable<Buffer>): AsyncGenerator<Block> {
  let bytes = Buffer.alloc(BLOCK_BYTES);
  let filled = 0;
  for await (const chunk of stream) {
    for (let at = 0; at < chunk.length;) {
      const copied = chunk.copy(bytes, filled, at);
      at += copied;
      filled += copied;
      if (filled < BLOCK_BYTES) continue;
      yield toBlock(bytes, filled);
      bytes = Buffer.alloc(BLOCK_BYTES);
      filled = 0;
    }
  }
  if (filled !== 0) yield toBlock(bytes, filled);
}

/** The pages of a zeroed buffer whose first `filled` bytes are used. */
function toBlock(bytes: Uint8Array, filled: number): Block {
  const length = Math.ceil(filled / PAGE_SIZE);
  const pages = Array.from({ length }, (_, n) => bytes.subarray(n * PAGE_SIZE, (n + 1) * PAGE_SIZE));
  return { pages, padding: length * PAGE_SIZE - filled };
}

const REASONS: Record<string, string> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a directory',
};

/** The error for a file that cannot be read. @param name for display */
export function unreadable(name: string, error: unknown): InputError {
  return new InputError(`cannot read ${name}: ${REASONS[codeOf(error)] ?? String((error as Error).message)}`, {
    cause: error,
  });
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code);
}

// ── a process ────────────────────────────────────────────────────────────────
//
// The process keeps running, so its pages are not from one moment. That does not matter: each page is read only once.

const PRESENT = 0x80; // in the highest byte of a pagemap entry: bit 63
const SWAPPED = 0x40; // bit 62
const ENTRY_BYTES = 8;
const ENTRIES_AT_ONCE = 65536;
const AT_PAGESZ = 6;

/** The memory from address to address + bytes. */
export interface Range {
  address: number;
  bytes: number;
}

function openProcess(pid: number): Input {
  if (process.platform !== 'linux') throw new InputError('--pid needs Linux');
  try {
    return inputOf(pid);
  } catch (error) {
    throw noAccess(pid, error);
  }
}

function inputOf(pid: number): Input {
  const command = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  const found: ProcessSummary = { pid, command, absentPages: 0, swappedPages: 0, unreadablePages: 0 };
  const ranges = presentRanges(pid, found);
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  return {
    summary: newSummary(`process ${pid} (${command})`, found),
    expectedPages: ranges.reduce((sum, { bytes }) => sum + bytes / PAGE_SIZE, 0),
    async *blocks() {
      try {
        for (const range of ranges) yield* readRange(memory, range, found);
      } finally {
        closeSync(memory);
      }
    },
  };
}

function noAccess(pid: number, error: unknown): unknown {
  const cause = { cause: error };
  switch (codeOf(error)) {
    case 'ENOENT':
    case 'ESRCH':
      return new InputError(`no such process: ${pid}`, cause);
    case 'EACCES':
    case 'EPERM':
      return new InputError(`no permission to read the memory of process ${pid}`, cause);
    default:
      return error;
  }
}

/** The private writable mappings in the text of /proc/PID/maps. */
export function privateWritable(maps: string): Range[] {
  const ranges: Range[] = [];
  for (const match of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) .w.p /gm)) {
    const address = Number.parseInt(match[1] as string, 16);
    ranges.push({ address, bytes: Number.parseInt(match[2] as string, 16) - address });
  }
  return ranges;
}

/** The present pages in a process's private writable mappings. Counts the other pages. */
function presentRanges(pid: number, found: ProcessSummary): Range[] {
  const kernelPage = kernelPageBytes();
  const pagemap = openSync(`/proc/${pid}/pagemap`, 'r');
  const ranges: Range[] = [];
  try {
    for (const mapping of privateWritable(readFileSync(`/proc/${pid}/maps`, 'latin1'))) {
      const end = mapping.address + mapping.bytes;
      const step = ENTRIES_AT_ONCE * kernelPage;
      for (let at = mapping.address; at < end; at += step) {
        const entries = readEntries(pagemap, at / kernelPage, Math.min(step, end - at) / kernelPage);
        sortPages(entries, at, kernelPage, ranges, found);
      }
    }
  } finally {
    closeSync(pagemap);
  }
  return ranges;
}

/** Reads pagemap entries. Entries that the kernel does not give (the mapping is gone) are 0, which means absent. */
function readEntries(pagemap: number, first: number, length: number): Uint8Array {
  const entries = new Uint8Array(length * ENTRY_BYTES);
  for (let at = 0, read = 1; read !== 0 && at < entries.length; at += read) {
    read = readSync(pagemap, entries, at, entries.length - at, first * ENTRY_BYTES + at);
  }
  return entries;
}

/** Appends the present pages to ranges, merges adjacent ranges, and counts the other pages. */
export function sortPages(
  entries: Uint8Array,
  address: number,
  pageBytes: number,
  ranges: Range[],
  found: ProcessSummary,
): void {
  for (let at = ENTRY_BYTES - 1; at < entries.length; at += ENTRY_BYTES, address += pageBytes) {
    const flags = entries[at] as number;
    const last = ranges.at(-1);
    if ((flags & SWAPPED) !== 0) found.swappedPages += pageBytes / PAGE_SIZE;
    else if ((flags & PRESENT) === 0) found.absentPages += pageBytes / PAGE_SIZE;
    else if (last !== undefined && last.address + last.bytes === address) last.bytes += pageBytes;
    else ranges.push({ address, bytes: pageBytes });
  }
}

/**
 * The kernel's page size in bytes. It is in this process's auxiliary vector, which consists of pairs of 64-bit words.
 */
function kernelPageBytes(): number {
  const vector = readFileSync('/proc/self/auxv');
  for (let at = 0; at + 16 <= vector.length; at += 16) {
    if (vector.readUInt32LE(at) === AT_PAGESZ) return vector.readUInt32LE(at + 8);
  }
  return PAGE_SIZE;
}

/** The pages of a range. Pages that cannot be read are counted and left out. */
function* readRange(memory: number, range: Range, found: ProcessSummary): Generator<Block> {
  const end = range.address + range.bytes;
  for (let at = range.address; at < end;) {
    const bytes = new Uint8Array(Math.min(BLOCK_BYTES, end - at));
    const pages = Math.floor(readSome(memory, bytes, at) / PAGE_SIZE);
    if (pages === 0) found.unreadablePages += 1;
    else yield toBlock(bytes, pages * PAGE_SIZE);
    at += Math.max(1, pages) * PAGE_SIZE;
  }
}

/** Reads bytes at an address. Returns the number of bytes, 0 when the first one cannot be read. */
function readSome(memory: number, into: Uint8Array, address: number): number {
  try {
    return readSync(memory, into, 0, into.length, address);
  } catch (error) {
    if (['EIO', 'EFAULT', 'ESRCH'].includes(codeOf(error))) return 0;
    throw error;
  }
}
