/** Checks arguments of a pool's calls, and copies the bytes of an object. */
import {
  MODE_RO,
  MODE_RW,
  MODE_WO,
  NO_LIMIT,
  OUT_LENGTH,
  OUT_OFFSET,
  OUT_PLACE_A,
  OUT_PLACE_B,
  OUT_SECOND,
} from '../assembly/abi.ts';
import { rowOf, type AllocatorName } from './allocators.ts';
import { copyOut, firstOf, lengthOf } from './bytes.ts';
import { CompcacheError, requireU32, show, takeOptions } from './errors.ts';
import type { Location, MapMode } from './plain-types.ts';
import type { Core } from './wasm.ts';

const MODES: Record<MapMode, number> = { ro: MODE_RO, rw: MODE_RW, wo: MODE_WO };

/** The core's number for a map mode. @throws EINVAL */
export function modeNumber(mode: MapMode): number {
  const number = typeof mode === 'string' && Object.hasOwn(MODES, mode) ? MODES[mode] : undefined;
  if (number !== undefined) return number;
  throw new CompcacheError('EINVAL', 'zpool.map', `mode must be 'rw', 'ro' or 'wo', not ${show(mode)}`);
}

/** Reads the option of zpool.compact. @throws EINVAL */
export function takeVictims(op: string, options: { victims?: number } | undefined): number {
  if (options === undefined) return NO_LIMIT;
  const { victims = NO_LIMIT } = takeOptions<{ victims?: number }>(op, options, ['victims']);
  requireU32(op, 'victims', victims);
  return victims;
}

/** @throws ERANGE when `at` is beyond the object's `size` bytes, or `into` is too short for the bytes after `at` */
export function requireRead(op: string, size: number, at: number, into: Uint8Array | undefined): void {
  if (at > size) throw new CompcacheError('ERANGE', op, `at is ${at}, the object has ${size} bytes`);
  if (into === undefined || lengthOf(into) >= size - at) return;
  throw new CompcacheError('ERANGE', op, `into has ${lengthOf(into)} bytes, ${size - at} are needed`);
}

/**
 * Copies the bytes that zpoolRange just found: they begin at one address and may continue at a second one.
 * @param into default: a new array
 * @returns exactly those bytes; a view of `into` when it was given
 */
export function copyRange(op: string, core: Core, from: number, length: number, into?: Uint8Array): Uint8Array {
  const target = into ?? new Uint8Array(length);
  const second = core.out[OUT_SECOND] as number;
  if (second === 0) {
    copyOut(op, 'into', target, core.bytes.subarray(from, from + length));
  } else {
    const first = core.out[OUT_LENGTH] as number;
    copyOut(op, 'into', target, core.bytes.subarray(from, from + first));
    copyOut(op, 'into', target, core.bytes.subarray(second, second + length - first), first);
  }
  return firstOf(target, length);
}

/** The location that zpoolLocate just returned. @param out the result area */
export function locationAt(allocator: AllocatorName, frame: number, out: Uint32Array): Location {
  const at = (word: number): number => out[word] as number;
  return rowOf(allocator).location(frame, at(OUT_OFFSET), at(OUT_PLACE_A), at(OUT_PLACE_B));
}
