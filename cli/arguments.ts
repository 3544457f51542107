/** Arguments that more than one command takes. */
import { InvalidArgumentError } from 'commander';
import { ALLOCATORS, CompcacheError, LOADABLE_CODECS, Ram, loadCodec, type AllocatorName, type Codec } from '../bindings/index.ts';
import { InputError } from './pages.ts';

/** The codecs of the command line: the core's own and those that are loaded. */
export const CODECS = ['lz4', 'lz4hc', ...LOADABLE_CODECS] as const;
export type CodecName = (typeof CODECS)[number];

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
  if (unknown !== undefined) throw new InvalidArgumentError(`Unknown allocator '${unknown}'; known: ${ALLOCATORS.join(', ')}`);
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
    throw error instanceof CompcacheError ? new InputError(`--ram '${size}': ${error.message}`, { cause: error }) : error;
  }
}

/** A codec by its name; those of the core are the same in any RAM. */
export async function codecNamed(name: CodecName): Promise<Codec | undefined> {
  if (name === 'lz4') return undefined;
  return name === 'lz4hc' ? (await Ram.create({ bytes: '1MiB' })).codec(name) : loadCodec(name);
}
