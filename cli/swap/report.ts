/** The output of `swap` as text. */
import { codecAndRam, describe, fixed, printable, whole } from '../report.ts';
import { aligned } from '../table.ts';
import type { SwapReport } from './figures.ts';
import type { Latency, Rejects, Result } from './replay.ts';

interface Column {
  title: string;
  cell: (result: Result) => string;
}

const COLUMNS: Column[] = [
  { title: 'allocator', cell: (result) => result.allocator },
  { title: 'victims', cell: (result) => result.victims },
  { title: 'hit ratio', cell: (result) => fixed(result.hitRatio, 3) },
  { title: 'hits', cell: (result) => whole(result.hits) },
  { title: 'same-filled', cell: (result) => whole(result.sameFilledHits) },
  { title: 'reads', cell: (result) => whole(result.reads) },
  { title: 'misses', cell: (result) => whole(result.misses) },
  { title: 'writebacks', cell: (result) => whole(result.writebacks) },
  { title: 'rejects', cell: (result) => whole(result.rejected) },
  { title: 'µs/store', cell: (result) => latency(result.latency.store) },
  { title: 'µs/hit', cell: (result) => latency(result.latency.hit) },
  { title: 'µs/read', cell: (result) => latency(result.latency.read) },
];

/** The text for each reason of a reject. */
const REASONS: Record<keyof Rejects, string> = {
  poolLimit: 'at the limit of the pool',
  reclaimFail: 'nothing could be written back',
  compressFail: 'the codec failed',
  compressPoor: 'do not compress',
  allocFail: 'no frame for the page',
  kmemcacheFail: 'no frame for its entry',
};

/** The header, the table, and the reasons why pages were refused. */
export function toText(report: SwapReport): string {
  const table = aligned([
    COLUMNS.map(({ title }) => title),
    ...report.results.map((result) => COLUMNS.map(({ cell }) => cell(result))),
  ]);
  const rejects = report.results.filter(({ rejected }) => rejected !== 0).map(rejectsOf);
  const lines = [
    describe(report.input),
    describeTrace(report),
    settings(report),
    '',
    table,
    'µs: 50% / 90% / 99% / 99.9% / the longest',
    ...rejects,
  ];
  return `${lines.join('\n')}\n`;
}

function describeTrace({ trace }: SwapReport): string {
  const { source, stores, loads, invalidates, areaInvalidates, pages, recipe } = trace;
  const how =
    recipe === undefined
      ? printable(source)
      : `Zipf's law (exponent ${recipe.zipf}, ${fixed(recipe.writes * 100, 0)}% writes, seed ${recipe.seed})`;
  const dropped = invalidates + areaInvalidates === 0 ? '' : `, ${whole(invalidates + areaInvalidates)} invalidations`;
  return `${how}: ${whole(stores)} stores, ${whole(loads)} loads${dropped} on ${whole(pages)} pages`;
}

function settings({ codec, ramBytes, store, maxPoolPercent, acceptThresholdPercent }: SwapReport): string {
  return `${codecAndRam(codec, ramBytes)}, limit ${maxPoolPercent}%, accept threshold ${acceptThresholdPercent}%; store: ${printable(store)}`;
}

function latency(value: Latency | null): string {
  return value === null
    ? '-'
    : [value.p50, value.p90, value.p99, value.p999, value.max]
        .map((one) => (one >= 100 ? whole(Math.round(one)) : fixed(one, 1)))
        .join(' / ');
}

function rejectsOf({ allocator, victims, rejects }: Result): string {
  const counted = Object.entries(rejects).filter(([, count]) => count !== 0);
  return `rejects, ${allocator}, ${victims}: ${counted.map(([reason, count]) => `${whole(count as number)} ${REASONS[reason as keyof Rejects]}`).join(', ')}`;
}
