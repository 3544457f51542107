/** Which store a front end in a restored RAM must take, and which it must refuse. */
import { OUT_KEY_LOW, OUT_PLACE, OUT_SLOT } from '../../assembly/abi.ts';
import { CompcacheError, type Ram } from '../../bindings/index.ts';
import { rams } from '../../bindings/ram.ts';
import { must } from '../harness.ts';
import type { ChaosStore } from './chaos-store.ts';

/** Slots that are looked at. */
const LOOKS = 16;

/** Slots that the pages of a front end that rests are in, in the order of its table. */
function slotsOf(ram: Ram, name: string): number[] {
  const kind = ram.fronts().find((front) => front.name === name)?.kind ?? 'zswap';
  const { exports, out } = rams.core('test', ram);
  const { address } = rams.unopened('test', ram, name, kind);
  const slots: number[] = [];
  for (let place = 0; ;) {
    if ((kind === 'zswap' ? exports.zswapWritten(address, place) : exports.ramzBacked(address, place)) === 0)
      return slots;
    slots.push(out[OUT_SLOT] as number);
    place = ((out[kind === 'zswap' ? OUT_PLACE : OUT_KEY_LOW] as number) + 1) >>> 0;
    if (place === 0) return slots;
  }
}

/** Whether one of the slots that are looked at begins as what was written there, or none is needed. */
export function isRecognised(ram: Ram, name: string, store: ChaosStore): boolean {
  const slots = slotsOf(ram, name);
  const every = Math.max(1, Math.floor(slots.length / LOOKS));
  const looked = slots.filter((_, i) => i % every === 0).slice(0, LOOKS);
  return slots.length === 0 || looked.some((slot) => store.begins(slot));
}

/** Requires that an open is refused for its store. */
export async function requireRefused(opening: Promise<unknown>): Promise<void> {
  const error = await opening.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  must(CompcacheError.made(error) && error.code === 'EINVAL', `open gave ${String(error)}`, error);
}
