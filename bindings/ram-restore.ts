/** Checks of a restored RAM. */
import { OUT_RULE, OUT_RULE_FRAME, RAM_FRAMES, RAM_ISOLATED, RAM_MAPS } from '../assembly/abi.ts';
import { CompcacheError } from './errors.ts';
import { runsOf, type ParsedImage } from './image.ts';
import { ruleOf } from './rules.ts';
import type { Core } from './wasm.ts';

/** Victims under reclaim, without those that a zswap keeps between two stores: an image may have these. */
export function isolatedNow({ exports }: Core): number {
  return (exports.ramCounter(RAM_ISOLATED) >>> 0) - (exports.zswapVictims() >>> 0);
}

/** Requires that the restored RAM matches its image: the same frames, no maps, no victims under reclaim. EIO. */
export function requireWhole(op: string, core: Core, image: ParsedImage): void {
  const counter = (which: number): number => core.exports.ramCounter(which) >>> 0;
  const sameRuns = JSON.stringify(runsOf(core)) === JSON.stringify(image.runs);
  if (counter(RAM_FRAMES) !== image.totalFrames || counter(RAM_MAPS) !== 0 || isolatedNow(core) !== 0 || !sameRuns) {
    throw new CompcacheError('EIO', op, 'the image has wrong frames, or work under way that no image can hold');
  }
}

/** The error for the broken rule that ramCheck found. */
export function unclean(op: string, core: Core): CompcacheError {
  const rule = core.out[OUT_RULE] as number;
  const frame = core.out[OUT_RULE_FRAME] as number;
  return new CompcacheError('EUCLEAN', op, `frame ${frame}: ${ruleOf(rule)} (rule ${rule})`, {
    detail: { frame, rule },
  });
}
