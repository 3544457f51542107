/** Arguments that more than one command takes. */
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

/** The codecs of the command line: the core's own and those that are loaded. */
export const CODECS = ['lz4', 'lz4hc', ...LOADABLE_CODECS] as const;
export type CodecName = (typeof CODECS)[number];

/** What commands say of the files that they cut into pages. */
export const INPUT_HELP =
  "files to cut into pages, '-' for standard input (default: standard input, if it is a pipe or a file)";

/** A whole number from 1. */
export function parseCount(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError('It must be a whole number from 1.');
}

/** Names of allocators, separated by commas; several times the option add up. */
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

/** Bytes of a RAM of that size, which is rounded up. @throws InputError */
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

/** A codec by its name; those of the core are the same in any RAM. @throws InputError where this host lacks it */
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

/** What is wrong, without the call in front, the code behind, and hints at options that only programs have. */
export function reasonOf({ code, message, op }: CompcacheError): string {
  const own = message.slice(op.length + 2, -(code.length + 3));
  return own.split("; existing: '")[0] as string;
}
