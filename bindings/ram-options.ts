/** The options of a RAM, and the memory and frames that they ask for. */
import { FRAMES_MAX, FRAMES_MIN, NO_LIMIT } from '../assembly/abi.ts';
import { CompcacheError } from './errors.ts';
import { parseBytes } from './sizes.ts';
import type { RamOptions } from './plain-types.ts';
import { PAGE_SIZE } from './wasm.ts';

/** Options of a RAM. */
export const RAM_OPTIONS: readonly (keyof RamOptions)[] = ['bytes', 'limit', 'build', 'simd', 'module', 'firstFrame'];

const MIN_BYTES = FRAMES_MIN * PAGE_SIZE;
const MAX_BYTES = FRAMES_MAX * PAGE_SIZE;
const WASM_PAGE = 65536;

/** The bytes of memory that the options ask for. */
export function memoryBytes(op: string, options: RamOptions, otherwise: number | string): number {
  const bytes = parseBytes(op, 'bytes', options.bytes === undefined ? otherwise : options.bytes);
  if (bytes < MIN_BYTES || bytes > MAX_BYTES)
    throw new CompcacheError('EINVAL', op, `bytes must be from 256 KiB to 4 GiB, not ${bytes}`);
  return Math.ceil(bytes / WASM_PAGE) * WASM_PAGE;
}

/** The number of frames that the option `limit` allows. */
export function limitFrames(op: string, options: RamOptions, bytes: number): number {
  if (options.limit === undefined) return NO_LIMIT;
  const limit = parseBytes(op, 'limit', options.limit);
  if (limit > bytes) throw new CompcacheError('EINVAL', op, `limit must not exceed bytes (${bytes}), but is ${limit}`);
  return Math.floor(limit / PAGE_SIZE);
}
