/** Whether a front end in a restored RAM must accept a store. */
import { OUT_KEY_LOW, OUT_PLACE, OUT_SLOT } from '../../assembly/abi.ts';
import { CompcacheError, type Ram } from '../../bindings/index.ts';
import { rams } from '../../bindings/ram.ts';
import { must } from '../harness.ts';
import type { ChaosStore } from './chaos-store.ts';

/** The number of slots that are read. */
const LOOKS = 16;

/** The slots of the pages of an unopened front end, in the order of its table. */
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

/** True when one of the slots that are read has the right header, or when no store is needed. */
export function isRecognised(ram: Ram, name: string, store: ChaosStore): boolean {
  const slots = slotsOf(ram, name);
  const every = Math.max(1, Math.floor(slots.length / LOOKS));
  const looked = slots.filter((_, i) => i % every === 0).slice(0, LOOKS);
  return slots.length === 0 || looked.some((slot) => store.begins(slot));
}

/** Requires that open refuses the store. */
export async function requireRefused(opening: Promise<unknown>): Promise<void> {
  const error = await opening.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  must(CompcacheError.made(error) && error.code === 'EINVAL', `open gave ${String(error)}`, error);
}
