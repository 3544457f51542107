/**
 * Ramzswap, compared with the same pages in a zpool without keys and in a page table; sectors and parts of pages; and
 * the device of `compcache serve` over NBD, compared with nbdkit's RAM disk, which does not compress.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PAGE_SIZE, Ram, Ramzswap, type AllocatorName, type PageEntry } from '../../bindings/index.ts';
import { requireSame } from '../../cli/bench/codec.ts';
import { median, time } from '../../cli/bench/measure.ts';
import type { Contender, Corpus, Table } from '../../cli/bench/types.ts';
import { Server, client, hasProgram, hasServe } from '../nbd.ts';

const ALLOCATORS = ['zsmalloc', 'xvmalloc'] as const;
const RAM_BYTES = '256MiB';
const PAGES_A_ROUND = 4096; // at least
const SECTOR = 512;
const DEVICE_BYTES = 128 * 2 ** 20;
const DEVICE_PAGES = DEVICE_BYTES / PAGE_SIZE;
/**
 * Each copy of the corpus has its pages rotated by this many bytes more: no two pages are equal, and all compress as
 * before.
 */
const ROTATION = 64;
const OPERATIONS = 1000;
/** Pages between one operation and the next, so that the operations cover the whole device. */
const STRIDE = 1031;

// ── in this process ──────────────────────────────────────────────────────────

/** Stores pages by number. */
interface Container {
  name: string;
  ram: Ram;
  put(number: number, page: Uint8Array): void;
  get(number: number, into: Uint8Array): void;
  clear(count: number): void;
}

async function entries(allocator: AllocatorName): Promise<Container> {
  const ram = await Ram.create({ bytes: RAM_BYTES });
  const pool = ram.zpool(allocator);
  const all: PageEntry[] = [];
  return {
    name: 'storePage, loadPage',
    ram,
    put: (number, page) => void (all[number] = pool.storePage(page)),
    get: (number, into) => pool.loadPage(all[number] as PageEntry, into),
    clear: () => all.forEach((entry) => pool.freePage(entry)),
  };
}

async function table(allocator: AllocatorName): Promise<Container> {
  const ram = await Ram.create({ bytes: RAM_BYTES });
  const keys = ram.zpool(allocator).pageTable('sparse');
  return {
    name: 'pageTable',
    ram,
    put: (number, page) => keys.put(number, page),
    get: (number, into) => void keys.get(number, into),
    clear: (count) => repeat(count, (number) => void keys.delete(number)),
  };
}

async function device(allocator: AllocatorName, pages: number): Promise<Container & { device: Ramzswap }> {
  const ram = await Ram.create({ bytes: RAM_BYTES });
  const made = await Ramzswap.create({ ram, allocator, disksize: pages * PAGE_SIZE });
  return {
    name: 'ramzswap',
    ram,
    device: made,
    put: (number, page) => made.writePage(number, page),
    get: (number, into) => made.readPage(number, into),
    clear: (count) => void made.discard(0, count),
  };
}

/** Writes pages to an empty container, and reads pages. */
async function* pageIo({ name, pages }: Corpus, allocator: AllocatorName): AsyncGenerator<Table> {
  const count = roundOf(pages);
  const into = Buffer.alloc(PAGE_SIZE);
  const containers = [await entries(allocator), await table(allocator), await device(allocator, count)];
  const fill = (container: Container): void =>
    repeat(count, (number) => container.put(number, pages[number % pages.length] as Buffer));
  containers.forEach(fill);
  yield {
    title: `write a page, ${name}, ${allocator}`,
    unit: 'ns',
    contenders: containers.map((container): Contender => ({
      name: container.name,
      round: () => {
        container.clear(count);
        return time(count, () => fill(container));
      },
      figures: () => ({ memory: container.ram.stats().usedFrames / count }),
    })),
  };
  for (const container of containers) {
    repeat(count, (number) => {
      container.get(number, into);
      requireSame(container.name, pages[number % pages.length] as Buffer, into);
    });
  }
  yield {
    title: `read a page, ${name}, ${allocator}`,
    unit: 'ns',
    contenders: containers.map((container) => ({
      name: container.name,
      round: () => time(count, () => repeat(count, (number) => container.get(number, into))),
    })),
  };
  containers.forEach(({ ram }) => ram.close());
}

/** Sectors and other parts of pages, on pages with contents. */
async function* byteIo({ name, pages }: Corpus): AsyncGenerator<Table> {
  const count = roundOf(pages);
  const { device: made, ram } = await device('zsmalloc', count);
  const pageOf = (number: number): Buffer => pages[number % pages.length] as Buffer;
  const [page, sector] = [Buffer.alloc(PAGE_SIZE), Buffer.alloc(SECTOR)];
  repeat(count, (number) => made.writePage(number, pageOf(number)));
  const contender = (what: string, run: (number: number) => void): Contender => ({
    name: what,
    round: () => time(count, () => repeat(count, run)),
  });
  const sectorsOf = (number: number): number => number * (PAGE_SIZE / SECTOR);
  yield {
    title: `write over what is there, ${name}, zsmalloc`,
    unit: 'ns',
    contenders: [
      contender('a page', (number) => made.writePage(number, pageOf(number))),
      contender('8 sectors, a page', (number) => made.writeSectors(sectorsOf(number), pageOf(number))),
      contender('a sector', (number) =>
        made.writeSectors(sectorsOf(number) + 3, pageOf(number).subarray(3 * SECTOR, 4 * SECTOR)),
      ),
      contender('512 bytes at an odd offset', (number) =>
        made.write(number * PAGE_SIZE + 77, pageOf(number).subarray(77, 77 + SECTOR)),
      ),
    ],
  };
  repeat(count, (number) => {
    made.readPage(number, page);
    requireSame('ramzswap', pageOf(number), page);
  });
  yield {
    title: `read, ${name}, zsmalloc`,
    unit: 'ns',
    contenders: [
      contender('a page', (number) => made.readPage(number, page)),
      contender('8 sectors, a page', (number) => made.readSectors(sectorsOf(number), page)),
      contender('a sector', (number) => made.readSectors(sectorsOf(number) + 3, sector)),
      contender('512 bytes at an odd offset', (number) => made.read(number * PAGE_SIZE + 77, sector)),
    ],
  };
  await made.close();
  ram.close();
}

function roundOf(pages: readonly unknown[]): number {
  return Math.ceil(PAGES_A_ROUND / pages.length) * pages.length;
}

function repeat(count: number, run: (number: number) => void): void {
  for (let number = 0; number < count; number++) run(number);
}

// ── over NBD ─────────────────────────────────────────────────────────────────

/** Writes a file of the device's size. */
function writeImage(path: string, pages: readonly Buffer[]): void {
  const file = openSync(path, 'w');
  for (let copy = 0; copy * pages.length < DEVICE_PAGES; copy++) {
    const from = (copy * ROTATION) % PAGE_SIZE;
    const rotated = pages.flatMap((page) => [page.subarray(from), page.subarray(0, from)]);
    writeSync(file, Buffer.concat(rotated, Math.min(pages.length, DEVICE_PAGES - copy * pages.length) * PAGE_SIZE));
  }
  closeSync(file);
}

/** Nanoseconds per page, for the whole run of a client. */
async function timeCopy(from: string, to: string): Promise<number> {
  const start = performance.now();
  await client('nbdcopy', [from, to]);
  return ((performance.now() - start) * 1e6) / DEVICE_PAGES;
}

async function* copies(servers: readonly Server[], name: string, image: string, folder: string): AsyncGenerator<Table> {
  const title = (verb: string): string => `nbdcopy ${verb}, a page, ${DEVICE_BYTES / 2 ** 20} MiB of ${name}`;
  yield {
    title: title('in'),
    unit: 'ns',
    contenders: servers.map((server) => ({
      name: server.name,
      round: () => timeCopy(image, server.uri),
      figures: () => server.memory(DEVICE_BYTES),
    })),
  };
  for (const { name: server, uri } of servers) {
    const back = join(folder, 'back');
    await client('nbdcopy', [uri, back]);
    requireSame(server, readFileSync(image), readFileSync(back));
    rmSync(back);
  }
  yield {
    title: title('out'),
    unit: 'ns',
    contenders: servers.map(({ name: server, uri }) => ({ name: server, round: () => timeCopy(uri, 'null:') })),
  };
}

/** The median time of an operation. OPERATIONS operations run one after the other, and qemu-io measures them. */
async function latency(uri: string, command: (page: number) => string): Promise<number> {
  const script = Array.from({ length: OPERATIONS }, (_, nth) => `${command((nth * STRIDE) % DEVICE_PAGES)}\n`).join('');
  const said = await client('qemu-io', ['-f', 'raw', uri], `${script}quit\n`);
  const rates = [...said.matchAll(/\b4096,1,[\d:.]+,[\d.]+,([\d.]+)$/gm)].map(([, rate]) => Number(rate));
  if (rates.length !== OPERATIONS) throw new Error(`qemu-io: ${rates.length} of ${OPERATIONS} operations, ${uri}`);
  return median(rates.map((rate) => 1e9 / rate));
}

async function* latencies(servers: readonly Server[], { name, pages }: Corpus, folder: string): AsyncGenerator<Table> {
  pages.forEach((page, nth) => writeFileSync(join(folder, `page-${nth}`), page));
  const commands = {
    write: (page: number): string =>
      `write -C -s ${join(folder, `page-${page % pages.length}`)} ${page * PAGE_SIZE} ${PAGE_SIZE}`,
    read: (page: number): string => `read -C ${page * PAGE_SIZE} ${PAGE_SIZE}`,
  };
  for (const [verb, command] of Object.entries(commands)) {
    yield {
      title: `qemu-io ${verb}, one page at a time, ${name}`,
      unit: 'ns',
      contenders: servers.map(({ name: server, uri }) => ({ name: server, round: () => latency(uri, command) })),
    };
  }
}

/**
 * Compares our server with nbdkit's, if it is installed. Without our server, or without any client, there is no table.
 */
async function* overNbd(corpus: Corpus, folder: string): AsyncGenerator<Table> {
  const image = join(folder, 'image');
  const [hasCopy, hasIo] = [hasProgram('nbdcopy'), hasProgram('qemu-io')];
  if (!hasServe() || !(hasCopy || hasIo)) return;
  writeImage(image, corpus.pages);
  const servers: Server[] = [];
  try {
    if (hasProgram('nbdkit')) servers.push(await Server.nbdkit(folder, DEVICE_BYTES));
    servers.push(await Server.compcache(folder, DEVICE_BYTES));
    if (hasCopy) yield* copies(servers, corpus.name, image, folder);
    if (hasIo) yield* latencies(servers, corpus, folder);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

export async function* ramzswapSuite(corpora: readonly Corpus[]): AsyncGenerator<Table> {
  for (const corpus of corpora) {
    for (const allocator of ALLOCATORS) yield* pageIo(corpus, allocator);
    yield* byteIo(corpus);
    const folder = mkdtempSync(join(tmpdir(), 'compcache-bench-'));
    try {
      yield* overNbd(corpus, folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
}
