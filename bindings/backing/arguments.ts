/** The arguments of the stores' methods, and what they refuse. */
import { lengthOf, requireBytes } from '../bytes.ts';
import { CompcacheError, requireU32, show } from '../errors.ts';
import { SLOT_BYTES } from './types.ts';

/** Slots of a store that names no number. */
export const MOST_SLOTS = 0xffffffff;

/** The option `slots`. EINVAL for what is no number of slots. */
export function takeSlots(op: string, slots: unknown): number | undefined {
  if (slots === undefined) return undefined;
  requireU32(op, 'slots', slots);
  if (slots === 0) throw new CompcacheError('EINVAL', op, 'slots must be at least 1');
  return slots;
}

/** Requires the number of a slot: EINVAL for none, ENOSPC beyond the store. */
export function requireSlot(op: string, slot: unknown, slots: number = MOST_SLOTS): asserts slot is number {
  requireU32(op, 'slot', slot);
  if (slot >= slots)
    throw new CompcacheError('ENOSPC', op, `slot ${slot} is beyond the store's ${slots} slots`, {
      detail: { slot, slots },
    });
}

/** Requires room for a slot. EINVAL. */
export function requireRoom(op: string, into: unknown): asserts into is Uint8Array {
  requireBytes(op, 'into', into);
  if (lengthOf(into) < SLOT_BYTES)
    throw new CompcacheError('EINVAL', op, `into must have at least ${SLOT_BYTES} bytes, not ${lengthOf(into)}`);
}

/** Requires bytes that fit a slot. EINVAL. */
export function requireContent(op: string, bytes: unknown): asserts bytes is Uint8Array {
  requireBytes(op, 'bytes', bytes);
  const length = lengthOf(bytes);
  if (length < 1 || length > SLOT_BYTES)
    throw new CompcacheError('EINVAL', op, `a slot holds 1 to ${SLOT_BYTES} bytes, not ${length}`);
}

/** One of some words; undefined where none is given. EINVAL. */
export function takeWord<W extends string>(
  op: string,
  what: string,
  value: unknown,
  words: readonly W[],
): W | undefined {
  if (value === undefined) return undefined;
  if (!words.includes(value as W))
    throw new CompcacheError(
      'EINVAL',
      op,
      `${what} must be ${words.map((word) => `'${word}'`).join(' or ')}, not ${show(value)}`,
    );
  return value as W;
}

/** The error of a read or free of an empty slot. */
export function emptySlot(op: string, slot: number): CompcacheError {
  return new CompcacheError('ENOENT', op, `slot ${slot} holds nothing`, { detail: { slot } });
}

/** The error of every call after close. */
export function closedStore(op: string): CompcacheError {
  return new CompcacheError('ECLOSED', op, 'the store is closed');
}
