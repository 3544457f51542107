/**
 * Requests of rzscontrol (`orders`) to a device of `compcache serve`: how long does the longest read of a page take
 * while each of them runs? The read waits for the part of the work that has begun. A round without a request shows how
 * much the host itself delays reads.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PAGE_SIZE } from '../../bindings/index.ts';
import { median } from '../../cli/bench/measure.ts';
import type { Contender, Corpus, Table } from '../../cli/bench/types.ts';
import { NbdClient } from '../nbd-client.ts';
import { Server, hasServe, type Compressed } from '../nbd.ts';

const DEVICE_BYTES = 128 * 2 ** 20;
const DEVICE_PAGES = DEVICE_BYTES / PAGE_SIZE;
const REQUEST_BYTES = 2 ** 20;
/** Each copy of the corpus has its pages rotated by this many bytes more, so that no two pages are equal. */
const ROTATION = 64;
/** Pages between one read and the next, so that the reads cover the whole device. */
const STRIDE = 1031;
const NO_REQUEST_MS = 1000;

type ControlRequest = (server: Compressed) => Promise<unknown>;

/** Each request with its name, and what to do with the full device before it. */
const REQUESTS: [
  name: string,
  request: ControlRequest,
  before?: (server: Compressed, client: NbdClient) => Promise<unknown>,
][] = [
  ['no request', () => new Promise((resolve) => setTimeout(resolve, NO_REQUEST_MS))],
  ['idle', (server) => server.ask('idle')],
  ['recompress', (server) => server.ask('recompress')],
  [
    'compact',
    (server) => server.ask('compact'),
    async (_, client) => {
      for (let page = 1; page < DEVICE_PAGES; page += 2) await client.trim(page * PAGE_SIZE, PAGE_SIZE);
    },
  ],
  ['writeback', (server) => server.ask('writeback', { type: 'idle' }), (server) => server.ask('idle')],
];

async function fill(client: NbdClient, pages: readonly Buffer[]): Promise<void> {
  const request = Buffer.alloc(REQUEST_BYTES);
  for (let at = 0; at < DEVICE_BYTES; at += REQUEST_BYTES) {
    for (let to = 0; to < REQUEST_BYTES; to += PAGE_SIZE) {
      const nth = (at + to) / PAGE_SIZE;
      const page = pages[nth % pages.length] as Buffer;
      const from = (Math.floor(nth / pages.length) * ROTATION) % PAGE_SIZE;
      page.copy(request, to, from);
      page.copy(request, to + PAGE_SIZE - from, 0, from);
    }
    await client.write(at, request);
  }
}

/** Reads one page after the other until the request has ended. Returns the nanoseconds of each read. */
async function readsDuring(client: NbdClient, request: Promise<unknown>): Promise<number[]> {
  let over = false;
  const ended = request.finally(() => (over = true));
  const times: number[] = [];
  while (!over) {
    const start = performance.now();
    await client.read(((times.length * STRIDE) % DEVICE_PAGES) * PAGE_SIZE, PAGE_SIZE);
    times.push((performance.now() - start) * 1e6);
  }
  await ended;
  return times;
}

function contender(
  server: Compressed,
  client: NbdClient,
  pages: readonly Buffer[],
  [name, request, before]: (typeof REQUESTS)[number],
): Contender {
  const [took, middle, late]: [number[], number[], number[]] = [[], [], []];
  return {
    name,
    round: async () => {
      await fill(client, pages);
      await before?.(server, client);
      const start = performance.now();
      const times = (await readsDuring(client, request(server))).sort((a, b) => a - b);
      took.push(performance.now() - start);
      middle.push(median(times) / 1000);
      late.push((times[Math.ceil(times.length * 0.99) - 1] as number) / 1e6);
      return times.at(-1) as number;
    },
    figures: () => ({ 'request ms': median(took), 'median µs': median(middle), 'p99 ms': median(late) }),
  };
}

export async function* ordersSuite(corpora: readonly Corpus[]): AsyncGenerator<Table> {
  if (!hasServe()) return;
  for (const { name, pages } of corpora) {
    const folder = mkdtempSync(join(tmpdir(), 'compcache-bench-'));
    const server = await Server.compcache(folder, DEVICE_BYTES, [
      '--recomp',
      'lz4hc',
      '--backing',
      join(folder, 'backing'),
    ]);
    const client = await NbdClient.open(server.socket);
    try {
      yield {
        title: `the longest read of a page during a request, ${DEVICE_BYTES / 2 ** 20} MiB of ${name}`,
        unit: 'ns',
        contenders: REQUESTS.map((request) => contender(server, client, pages, request)),
      };
    } finally {
      client.close();
      await server.stop();
      rmSync(folder, { recursive: true });
    }
  }
}
