/**
 * The output of `estimate`: the table, the JSON object, and the progress bar on a terminal. Other commands use parts of
 * it.
 */
import { SingleBar } from 'cli-progress';
import type { Report, Result } from './estimate-report.ts';
import type { InputSummary, ProcessSummary } from './pages.ts';
import { aligned } from './table.ts';

const NONE = '-';
const MIB = 2 ** 20;

// ── table ────────────────────────────────────────────────────────────────────

interface Column {
  title: string;
  cell: (result: Result) => string;
}

const COLUMNS: Column[] = [
  { title: 'allocator', cell: (result) => result.allocator },
  { title: 'pages in', cell: (result) => whole(result.pages) },
  { title: 'same-filled', cell: (result) => whole(result.sameFilled) },
  { title: 'incompressible', cell: (result) => whole(result.incompressible) },
  { title: 'compressed bytes', cell: (result) => whole(result.compressedBytes) },
  { title: 'frames used', cell: (result) => whole(result.framesUsed) },
  { title: 'effective ratio', cell: (result) => fixed(result.effectiveRatio, 3) },
  { title: 'density', cell: (result) => fixed(result.density, 3) },
  { title: 'µs/store', cell: (result) => fixed(result.storeMicroseconds, 2) },
  { title: 'µs/load', cell: (result) => fixed(result.loadMicroseconds, 2) },
];

/** The header and the table as text. */
export function toText(report: Report): string {
  return `${describe(report.input)}\n${settings(report)}\n\n${table(report.results)}\n`;
}

/** One JSON object. */
export function toJson(report: object): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}

/** Describes the input. */
export function describe(input: InputSummary): string {
  const { name, pages, bytes, paddedBytes, limited, process } = input;
  const parts = [`${limited ? 'first ' : ''}${plural(pages, 'page')}`, plural(bytes, 'byte')];
  if (paddedBytes !== 0) parts.push(`padded with ${plural(paddedBytes, 'zero byte')}`);
  return `${printable(name)}: ${parts.join(', ')}${process === undefined ? '' : skipped(process)}`;
}

function skipped({ absentPages, swappedPages, unreadablePages }: ProcessSummary): string {
  const unreadable = unreadablePages === 0 ? '' : `, ${whole(unreadablePages)} unreadable`;
  return `; pages left out: ${whole(absentPages)} absent, ${whole(swappedPages)} swapped${unreadable}`;
}

function settings({ codec, ramBytes, results }: Report): string {
  const rams = Math.max(...results.map((result) => result.rams));
  const cut = rams > 1 ? `, cut into ${rams} of them` : '';
  return `${codecAndRam(codec, ramBytes)}${cut}`;
}

/** Describes the codec and the RAM, for `estimate` and `swap`. */
export function codecAndRam(codec: string, ramBytes: number): string {
  return `codec ${codec}, RAM of ${ramBytes % MIB === 0 ? `${ramBytes / MIB} MiB` : `${ramBytes / 1024} KiB`}`;
}

function table(results: readonly Result[]): string {
  return aligned([
    COLUMNS.map(({ title }) => title),
    ...results.map((result) => COLUMNS.map(({ cell }) => cell(result))),
  ]);
}

export function whole(value: number): string {
  return value.toLocaleString('en-US');
}

export function fixed(value: number | null, digits: number): string {
  return value === null ? NONE : value.toFixed(digits);
}

export function plural(value: number, noun: string): string {
  return `${whole(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** Replaces control characters, which could move the cursor. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}

// ── progress ─────────────────────────────────────────────────────────────────

/** Progress in steps. A step is a page that is stored or loaded, or an operation, for each allocator. */
export interface Progress {
  /** @param steps the number that is known now; it may grow */
  expect(steps: number): void;
  step(steps: number, doing: string): void;
  stop(): void;
}

export const SILENT: Progress = { expect() {}, step() {}, stop() {} };
const SIGNALS: NodeJS.Signals[] = ['SIGINT', 'SIGTERM'];

/** A progress bar on a terminal, nothing elsewhere. */
export function createProgress(stream: NodeJS.WriteStream): Progress {
  return stream.isTTY ? new Bar(stream) : SILENT;
}

class Bar implements Progress {
  readonly #bar: SingleBar;
  #total = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#bar = new SingleBar({ stream, format: '{bar} {percentage}% {doing}', clearOnComplete: true, barsize: 30 });
    this.#bar.start(1, 0, { doing: 'reading' });
    for (const signal of SIGNALS) process.once(signal, this.#interrupted);
  }

  expect(steps: number): void {
    this.#total = Math.max(this.#total, steps);
    this.#bar.setTotal(Math.max(1, this.#total));
  }

  step(steps: number, doing: string): void {
    this.#bar.increment(steps, { doing });
  }

  stop(): void {
    for (const signal of SIGNALS) process.off(signal, this.#interrupted);
    this.#bar.stop();
  }

  /** Removes the bar, and lets the signal end the process as usual. */
  readonly #interrupted = (signal: NodeJS.Signals): void => {
    this.stop();
    process.kill(process.pid, signal);
  };
}
