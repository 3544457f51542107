/**
 * Where pages come from: files, standard input, the memory of a process.
 *
 * Every input is cut into pages of 4 KiB; the last one of a file is padded with zeros. Nothing larger than a block is held
 * here: `parts` gathers as many pages as its caller wants at a time.
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
const STDIN = 0; // its descriptor

/** A fault of the caller's: one line on stderr, exit code 2. */
export class InputError extends Error {}

/** What was read. Complete when `parts` has ended. */
export interface InputSummary {
  /** For people: the file names, '-' being 'standard input', or the process. */
  name: string;
  pages: number;
  /** Bytes read: padding is not counted. */
  bytes: number;
  /** Zero bytes that fill up the last page of an input. */
  paddedBytes: number;
  /** Whether reading stopped at the limit of pages, so that there may be more. */
  limited: boolean;
  process?: ProcessSummary;
}

/** Pages are of 4 KiB, and of private writable mappings only. */
export interface ProcessSummary {
  pid: number;
  command: string;
  /** Pages that were never touched, or dropped since. */
  absentPages: number;
  swappedPages: number;
  /** Pages that were present and could not be read: of a device, or gone meanwhile. */
  unreadablePages: number;
}

/** Some pages, and the zero bytes at the end of the last one. */
interface Block {
  pages: Uint8Array[];
  padding: number;
}

export interface Input {
  readonly summary: InputSummary;
  /** Pages to come, as far as is known: 0 for a pipe. */
  readonly expectedPages: number;
  blocks(): AsyncGenerator<Block>;
}

/** What a command says of its input, beside the files. */
export interface InputOptions {
  pid?: number | undefined;
  /** Whether no more than so many pages are read. If not, an input without end is refused. */
  isBounded?: boolean;
}

/**
 * The input that the command line names.
 * @param files names, '-' for standard input; none and no pid: standard input, if it is a pipe or a file
 * @throws InputError for what cannot be read
 */
export async function openInput(
  files: readonly string[],
  { pid, isBounded = false }: InputOptions = {},
): Promise<Input> {
  if (pid === undefined) return openFiles(files.length === 0 ? [standardInput()] : files, isBounded);
  if (files.length !== 0) throw new InputError('give either files or --pid, not both');
  return openProcess(pid);
}

/** The name of standard input, if somebody has sent something there: a terminal or the null device is no input. */
function standardInput(): string {
  if (isPipeOrFile(STDIN)) return '-';
  throw new InputError("there is nothing to read: name a FILE, give --pid N, or send pages to standard input ('-')");
}

/** A program in Node gives its children sockets for pipes. */
function isPipeOrFile(descriptor: number): boolean {
  try {
    const found = fstatSync(descriptor);
    return found.isFIFO() || found.isFile() || found.isSocket();
  } catch {
    return false; // it is closed
  }
}

/**
 * The pages of an input, so many at a time; the last part may be smaller.
 * @param limit the most pages of all parts
 * @throws InputError when there is no page at all, or one cannot be read
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

/** What is known of a file that can be read, as far as can be told without reading it. Its size is 0 for a device or pipe. */
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

/** Character devices tell no size, and many give bytes for ever. A terminal does not, nor does the null device. */
function mayBeEndless(file: string, found: Stats): boolean {
  if (!found.isCharacterDevice()) return false;
  return !(file === '-' && isatty(STDIN)) && found.rdev !== nullDevice();
}

/** The number of the null device; undefined where it has none. */
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

/** The pages of a zeroed buffer that is filled so far. */
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

/** The fault of a file that cannot be read. @param name for people */
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
// It goes on running meanwhile, so its pages are not of one moment. That does not matter here: each is read once.

const PRESENT = 0x80; // of the highest byte of a pagemap entry: bit 63
const SWAPPED = 0x40; // bit 62
const ENTRY_BYTES = 8;
const ENTRIES_AT_ONCE = 65536;
const AT_PAGESZ = 6;

/** Memory from address to address + bytes, all of it mapped or present. */
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

/** The present pages of a process's private writable mappings; the others are counted. */
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

/** So many pagemap entries; those that the kernel does not give (the mapping is gone) are 0: absent. */
function readEntries(pagemap: number, first: number, length: number): Uint8Array {
  const entries = new Uint8Array(length * ENTRY_BYTES);
  for (let at = 0, read = 1; read !== 0 && at < entries.length; at += read) {
    read = readSync(pagemap, entries, at, entries.length - at, first * ENTRY_BYTES + at);
  }
  return entries;
}

/** Appends the present pages to ranges, joined where they touch, and counts the others. */
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

/** Bytes of a page of this kernel, from the auxiliary vector of this process: pairs of 64-bit words. */
function kernelPageBytes(): number {
  const vector = readFileSync('/proc/self/auxv');
  for (let at = 0; at + 16 <= vector.length; at += 16) {
    if (vector.readUInt32LE(at) === AT_PAGESZ) return vector.readUInt32LE(at + 8);
  }
  return PAGE_SIZE;
}

/** The pages of a range; one that cannot be read is counted and left out. */
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

/** Bytes that could be read at an address: 0 where the first cannot. */
function readSome(memory: number, into: Uint8Array, address: number): number {
  try {
    return readSync(memory, into, 0, into.length, address);
  } catch (error) {
    if (['EIO', 'EFAULT', 'ESRCH'].includes(codeOf(error))) return 0;
    throw error;
  }
}
