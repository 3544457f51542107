/** Arguments that several commands use. */
import { InvalidArgumentError } from 'commander';
import {
  ALLOCATORS,
  CompcacheError,
  LOADABLE_CODECS,
  Ram,
  loadCodec,
  type AllocatorName,
  type Codec,
} from '../bindings/index.ts';
import { InputError } from './pages.ts';

/** The codecs of the command line: those of the core, and those that loadCodec loads. */
export const CODECS = ['lz4', 'lz4hc', ...LOADABLE_CODECS] as const;
export type CodecName = (typeof CODECS)[number];

/** The help text for files that a command cuts into pages. */
export const INPUT_HELP =
  "files to cut into pages, '-' for standard input (default: standard input, if it is a pipe or a file)";

/** A whole number from 1. */
export function parseCount(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError('It must be a whole number from 1.');
}

/** Names of allocators, separated by commas. When the option is given several times, the names add up. */
export function parseAllocators(text: string, previous: AllocatorName[] = []): AllocatorName[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !(ALLOCATORS as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw new InvalidArgumentError(`Unknown allocator '${unknown}'; known: ${ALLOCATORS.join(', ')}`);
  return [...new Set([...previous, ...(names as AllocatorName[])])];
}

export function parseCodec(text: string): CodecName {
  const name = CODECS.find((known) => known === text);
  if (name !== undefined) return name;
  throw new InvalidArgumentError(`Unknown codec '${text}'; known: ${CODECS.join(', ')}`);
}

/** Names of codecs, separated by commas. */
export function parseCodecs(text: string): CodecName[] {
  return text.split(',').map((name) => parseCodec(name.trim()));
}

/** The bytes that a RAM of a given size has, after rounding up. @throws InputError */
export async function ramBytesOf(size: string): Promise<number> {
  try {
    const ram = await Ram.create({ bytes: size });
    const { bytes } = ram.stats();
    ram.close();
    return bytes;
  } catch (error) {
    if (!(error instanceof CompcacheError)) throw error;
    const wrong = error.code === 'EINVAL' ? 'it must be a size from 256K to 4G, as in 64M or 64MiB' : reasonOf(error);
    throw new InputError(`--ram '${size}': ${wrong}`, { cause: error });
  }
}

/**
 * A codec by its name. Undefined means lz4, the default. Codecs of the core work in any RAM. @throws InputError when
 * this host does not have it
 */
export async function codecNamed(name: CodecName): Promise<Codec | undefined> {
  if (name === 'lz4') return undefined;
  if (name === 'lz4hc') return (await Ram.create({ bytes: '1MiB' })).codec(name);
  try {
    return await loadCodec(name);
  } catch (error) {
    throw error instanceof CompcacheError
      ? new InputError(`--codec ${name}: ${reasonOf(error)}`, { cause: error })
      : error;
  }
}

/** The message of an error without the call, the code, and hints about options that only programs have. */
export function reasonOf({ code, message, op }: CompcacheError): string {
  const own = message.slice(op.length + 2, -(code.length + 3));
  return own.split("; existing: '")[0] as string;
}
