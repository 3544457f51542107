/** `compcache rzscontrol`: controls a device of `compcache serve`. The option names are those of rzscontrol of 2009. */
import { resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import {
  ALLOCATORS,
  CompcacheError,
  type AllocatorName,
  type BdStat,
  type IoStat,
  type MmStat,
  type RamzswapStats,
} from '../bindings/index.ts';
import { CODECS, parseCodec, parseCodecs, parseCount, type CodecName } from './arguments.ts';
import { askControl, type AskOptions } from './nbd/index.ts';
import { InputError } from './pages.ts';
import { toJson } from './report.ts';

const KB = 1024;
/** Milliseconds that an action may take: it runs beside other I/O, and waits for earlier actions. */
const ACTION_MS = 600_000;
const SELECTIONS = ['idle', 'huge', 'huge_idle', 'incompressible'] as const;
const RECOMPRESS = ['idle', 'huge', 'huge_idle', 'all'] as const;

interface Options {
  init?: boolean;
  disksize_kb?: number;
  memlimit_kb?: number;
  backing_swap?: string;
  allocator?: AllocatorName;
  codec?: CodecName;
  recomp?: CodecName[];
  swap_header?: boolean;
  reset?: boolean;
  compact?: boolean;
  idle?: number | true;
  writeback?: (typeof SELECTIONS)[number];
  recompress?: (typeof RECOMPRESS)[number];
  save?: string;
  stats?: boolean;
  control?: string;
  json?: boolean;
}

type Stats = RamzswapStats & { allocator: string; codec: string; mmStat: MmStat; ioStat: IoStat; bdStat: BdStat };

/** The actions. Only one may be given, with or without --stats. */
const ACTIONS = ['init', 'reset', 'compact', 'idle', 'writeback', 'recompress', 'save'] as const;
type Action = (typeof ACTIONS)[number];
/** Options that need --init. */
const INIT_ONLY = ['disksize_kb', 'backing_swap', 'allocator', 'codec', 'recomp', 'swap_header'] as const;

export function addRzscontrol(program: Command): void {
  program
    .command('rzscontrol')
    .description('Controls a device of compcache serve.')
    .argument('<path>', 'its NBD socket, or its control socket')
    .option('--init', 'initialise the device')
    .option('--disksize_kb <n>', 'with --init: KiB of the device', parseCount)
    .option(
      '--memlimit_kb <n>',
      'KiB of memory at most, 0 for no limit: with --init, or by itself at any time',
      parseKb,
    )
    .option('--backing_swap <file>', 'with --init: file for pages that do not compress or find no memory')
    .addOption(new Option('--allocator <name>', 'with --init').choices([...ALLOCATORS]))
    .option('--codec <name>', `with --init: ${CODECS.join(', ')}`, parseCodec)
    .option('--recomp <names>', 'with --init: further codecs for --recompress, separated by commas', parseCodecs)
    .option('--swap_header', 'with --init: make page 0 a swap header')
    .option('--reset', 'give all memory back; the device is not initialised then')
    .option('--compact', 'move objects together')
    .option('--idle [seconds]', 'mark pages as idle that were not used for this time; default: all pages', parseKb)
    .addOption(new Option('--writeback <pages>', 'move pages to the backing file').choices([...SELECTIONS]))
    .addOption(
      new Option('--recompress <pages>', 'compress pages again with the further codecs').choices([...RECOMPRESS]),
    )
    .option('--save <file>', 'write an image of the device to a file, for serve --image; I/O waits meanwhile')
    .option('--stats', 'show the statistics, after any other action')
    .option('--control <path>', 'control socket; default: PATH.ctl, or else PATH itself')
    .option('--json', 'answer in JSON')
    .action(rzscontrol);
}

/** A whole number. */
function parseKb(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value * KB)) return value;
  throw new InvalidArgumentError('It must be a whole number.');
}

async function rzscontrol(path: string, options: Options): Promise<void> {
  const action = actionOf(options);
  const ask = (op: string, args?: Record<string, unknown>, more?: AskOptions): Promise<unknown> =>
    options.control === undefined
      ? askControl(`${path}.ctl`, op, args, { ...more, orElse: path })
      : askControl(options.control, op, args, more);
  const answers: Record<string, unknown> = {};
  try {
    if (action !== undefined) answers[action] = await ask(action, argumentsOf(action, options), { timeout: ACTION_MS });
    if (action !== 'init' && options.memlimit_kb !== undefined)
      answers.memlimit = await ask('memlimit', { memlimit: options.memlimit_kb * KB });
    if (options.stats === true) answers.stats = await ask('stats');
  } catch (error) {
    throw error instanceof CompcacheError ? new InputError(plain(error), { cause: error }) : error;
  }
  process.stdout.write(options.json === true ? toJson(answers) : textOf(answers));
}

/**
 * The action, if there is one. InputError for several, for nothing to do, and for an option that needs another action.
 */
function actionOf(options: Options): Action | undefined {
  const given = ACTIONS.filter((action) => options[action] !== undefined);
  if (given.length > 1) throw new InputError(`--${given[0]} and --${given[1]} cannot be given together`);
  const alone = given.length === 0 && options.memlimit_kb === undefined && options.stats !== true;
  if (alone)
    throw new InputError(
      `nothing to do: give ${ACTIONS.map((action) => `--${action}`).join(', ')}, --memlimit_kb or --stats`,
    );
  const lost = given[0] === 'init' ? undefined : INIT_ONLY.find((key) => options[key] !== undefined);
  if (lost !== undefined) throw new InputError(`--${lost} is for --init`);
  if (given[0] === 'init' && options.disksize_kb === undefined) throw new InputError('--init needs --disksize_kb');
  return given[0];
}

function argumentsOf(action: Action, options: Options): Record<string, unknown> {
  switch (action) {
    case 'init':
      return defined({
        disksize: (options.disksize_kb as number) * KB,
        memlimit: options.memlimit_kb === undefined ? undefined : options.memlimit_kb * KB,
        backing: options.backing_swap === undefined ? undefined : resolve(options.backing_swap),
        allocator: options.allocator,
        codec: options.codec,
        recomp: options.recomp,
        swapHeader: options.swap_header,
      });
    case 'idle':
      return typeof options.idle === 'number' ? { age: options.idle } : {};
    case 'writeback':
      return { type: options.writeback };
    case 'save':
      return { file: resolve(options.save as string) };
    case 'recompress':
      return options.recompress === 'all' ? {} : { type: options.recompress };
    default:
      return {};
  }
}

function defined(args: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(args).filter(([, value]) => value !== undefined));
}

/** The message without the names of calls before it. */
function plain({ message }: CompcacheError): string {
  return message.replace(/^(?:[\w.]+: )+/, '');
}

// ── text ─────────────────────────────────────────────────────────────────────

function textOf({ stats, ...answers }: Record<string, unknown>): string {
  const lines = Object.entries(answers).map(([action, answer]) => sentence(action, answer as Record<string, number>));
  return [...lines, ...(stats === undefined ? [] : statistics(stats as Stats))].map((line) => `${line}\n`).join('');
}

function sentence(action: string, answer: Record<string, number>): string {
  switch (action) {
    case 'init':
      return `initialised: ${answer.disksize as number} bytes`;
    case 'reset':
      return 'reset';
    case 'compact':
      return `${answer.pagesCompacted} frames given back`;
    case 'idle':
      return `${answer.pages} pages are idle`;
    case 'writeback':
      return `${answer.pages} pages written back`;
    case 'save':
      return `saved: ${answer.bytes} bytes`;
    case 'recompress':
      return `${answer.pages} pages take less`;
    default:
      return `memory limit: ${answer.memlimit} bytes`;
  }
}

/** The statistics in the format of 2009, one line for each. */
function statistics(stats: Stats): string[] {
  const inMemory = stats.pagesStored - stats.pagesSame - stats.bdStat.bdCount;
  const percent = (pages: number): string => `${inMemory === 0 ? 0 : Math.round((100 * pages) / inMemory)} %`;
  const kb = (bytes: number): string => `${Math.round(bytes / KB)} kB`;
  const rows: [string, string | number][] = [
    ['DiskSize', kb(stats.disksize)],
    ['MemLimit', stats.memlimit === 0 ? 'none' : kb(stats.memlimit)],
    ['Allocator', stats.allocator],
    ['Codec', stats.codec],
    ['NumReads', stats.numReads],
    ['NumWrites', stats.numWrites],
    ['FailedReads', stats.failedReads],
    ['FailedWrites', stats.failedWrites],
    ['InvalidIO', stats.invalidIo],
    ['NotifyFree', stats.notifyFree],
    ['Discard', stats.discard],
    ['SamePages', stats.pagesSame],
    ['GoodCompress', percent(stats.goodCompress)],
    ['NoCompress', percent(stats.pagesExpand)],
    ['PagesStored', stats.pagesStored],
    ['PagesUsed', stats.pagesUsed],
    ['OrigDataSize', kb(stats.origDataSize)],
    ['ComprDataSize', kb(stats.comprDataSize)],
    ['MemUsedTotal', kb(stats.memUsedTotal)],
    ['MemUsedMax', kb(stats.mmStat.memUsedMax)],
    ['BDevPages', stats.bdStat.bdCount],
    ['BDevNumReads', stats.bdevNumReads],
    ['BDevNumWrites', stats.bdevNumWrites],
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => `${`${name}:`.padEnd(width)}${value}`);
}
