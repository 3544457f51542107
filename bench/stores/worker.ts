/**
 * A process with one store: bench/stores/worker.ts STORE PAGES CORPUS… It holds nothing else, so its memory is that of
 * the store.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { PAGE_SIZE } from '../../bindings/index.ts';
import { createDraw } from '../../cli/bench/draw.ts';
import { zipf } from '../../cli/zipf.ts';
import { corpus } from '../corpus.ts';
import { leftOut } from '../peers.ts';
import { STORES } from './index.ts';
import type { Hello, Rate, State, Work } from './protocol.ts';
import type { Store } from './types.ts';

const CHECKED = 1000;

const [name, count, ...corpora] = process.argv.slice(2) as [string, string, ...string[]];
const total = Number(count);
const samples = corpora.flatMap((each) => corpus(each).pages);
const draw = createDraw(11);
const popular = zipf(total, 1 << 20, draw);
const into = Buffer.alloc(PAGE_SIZE);
const before = { rss: 0, heap: 0 };
interface Span {
  startTime: number;
  duration: number;
}
const works: Span[] = [];
const collections: Span[] = [];

/** The contents of a page. */
function page(number: number, version: number): Buffer {
  return samples[(number + 7 * version) % samples.length] as Buffer;
}

async function put(store: Store, { first, count, version }: Work & { do: 'put' }): Promise<void> {
  const end = Math.min(first + count, total);
  for (let number = first; number < end; number++) {
    const done = store.put(number, page(number, version));
    if (store.awaits === true) await done;
  }
  await store.settle?.();
}

let next = 0;

async function get(store: Store, { count, by }: Work & { do: 'get' }): Promise<void> {
  for (let turn = 0; turn < count; turn++) {
    const number = by === 'uniform' ? draw() % total : (popular[next++ & (popular.length - 1)] as number);
    const done = store.get(number, into);
    if (store.awaits === true) await done;
  }
}

async function rate(work: () => Promise<void>, count: number): Promise<Rate> {
  const startTime = performance.now();
  await work();
  const duration = performance.now() - startTime;
  works.push({ startTime, duration });
  return { perSecond: (count * 1000) / duration };
}

/** Memory and garbage collection so far. Throws when a page differs from the page that was put. */
async function state(store: Store, version: number): Promise<State> {
  const { rss, heapUsed } = process.memoryUsage();
  for (let turn = 0; turn < CHECKED; turn++) {
    const number = draw() % total;
    if (Buffer.compare(await store.get(number, into), page(number, version)) !== 0)
      throw new Error(`${name}: page ${number} came back different`);
  }
  return { rss: (rss - before.rss) / (total * PAGE_SIZE), heap: (heapUsed - before.heap) / total, gc: collecting() };
}

/** Garbage collection in percent of the working time. Collections while other processes work do not count. */
function collecting(): number {
  const sum = (spans: readonly Span[]): number => spans.reduce((total, { duration }) => total + duration, 0);
  const within = (one: Span): boolean =>
    works.some(({ startTime, duration }) => one.startTime >= startTime && one.startTime < startTime + duration);
  return (100 * sum(collections.filter(within))) / sum(works);
}

function answer(store: Store, work: Work): Promise<Rate | State> {
  switch (work.do) {
    case 'put':
      return rate(() => put(store, work), Math.max(0, Math.min(work.count, total - work.first)));
    case 'get':
      return rate(() => get(store, work), work.count);
    case 'state':
      return state(store, work.version);
  }
}

new PerformanceObserver((list) => collections.push(...list.getEntries())).observe({ entryTypes: ['gc'] });
const store = await STORES[name]?.(total);
Object.assign(before, { rss: process.memoryUsage.rss(), heap: process.memoryUsage().heapUsed });
process.on('message', async (work: Work) => process.send?.(await answer(store as Store, work)));
process.on('disconnect', () => process.exit());
process.send?.({ ready: store !== undefined, leftOut: leftOut() } satisfies Hello);
