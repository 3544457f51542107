/** Checks of the arguments of the stores' methods. */
import { lengthOf, requireBytes } from '../bytes.ts';
import { CompcacheError, requireU32, show } from '../errors.ts';
import { SLOT_BYTES } from './types.ts';

/** Slots of a store whose options give no number. */
export const MOST_SLOTS = 0xffffffff;

/** Reads the option `slots`. EINVAL for anything that is not a number of slots. */
export function takeSlots(op: string, slots: unknown): number | undefined {
  if (slots === undefined) return undefined;
  requireU32(op, 'slots', slots);
  if (slots === 0) throw new CompcacheError('EINVAL', op, 'slots must be at least 1');
  return slots;
}

/** Requires the number of a slot. EINVAL for anything else, ENOSPC when the store has no such slot. */
export function requireSlot(op: string, slot: unknown, slots: number = MOST_SLOTS): asserts slot is number {
  requireU32(op, 'slot', slot);
  if (slot >= slots)
    throw new CompcacheError('ENOSPC', op, `slot ${slot} is beyond the store's ${slots} slots`, {
      detail: { slot, slots },
    });
}

/** Requires an array with room for a slot. EINVAL. */
export function requireRoom(op: string, into: unknown): asserts into is Uint8Array {
  requireBytes(op, 'into', into);
  if (lengthOf(into) < SLOT_BYTES)
    throw new CompcacheError('EINVAL', op, `into must have at least ${SLOT_BYTES} bytes, not ${lengthOf(into)}`);
}

/** Requires bytes that fit into a slot. EINVAL. */
export function requireContent(op: string, bytes: unknown): asserts bytes is Uint8Array {
  requireBytes(op, 'bytes', bytes);
  const length = lengthOf(bytes);
  if (length < 1 || length > SLOT_BYTES)
    throw new CompcacheError('EINVAL', op, `a slot holds 1 to ${SLOT_BYTES} bytes, not ${length}`);
}

/** Reads an option that is one of a few words. Undefined when the option is not given. EINVAL for another word. */
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

/** The error for reading or freeing an empty slot. */
export function emptySlot(op: string, slot: number): CompcacheError {
  return new CompcacheError('ENOENT', op, `slot ${slot} holds nothing`, { detail: { slot } });
}

/** The error for every call after close. */
export function closedStore(op: string): CompcacheError {
  return new CompcacheError('ECLOSED', op, 'the store is closed');
}
