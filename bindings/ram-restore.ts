/** What a restored RAM is checked for, and what its check says. */
import { OUT_RULE, OUT_RULE_FRAME, RAM_FRAMES, RAM_ISOLATED, RAM_MAPS } from '../assembly/abi.ts';
import { CompcacheError } from './errors.ts';
import { runsOf, type ParsedImage } from './image.ts';
import { ruleOf } from './rules.ts';
import type { Core } from './wasm.ts';

/** Victims under reclaim, without those that a zswap keeps between two stores: an image may have these. */
export function isolatedNow({ exports }: Core): number {
  return (exports.ramCounter(RAM_ISOLATED) >>> 0) - (exports.zswapVictims() >>> 0);
}

/** Refuses an image that has more frames, other frames, or things under way that no image can have. EIO. */
export function requireWhole(op: string, core: Core, image: ParsedImage): void {
  const counter = (which: number): number => core.exports.ramCounter(which) >>> 0;
  const sameRuns = JSON.stringify(runsOf(core)) === JSON.stringify(image.runs);
  if (counter(RAM_FRAMES) !== image.totalFrames || counter(RAM_MAPS) !== 0 || isolatedNow(core) !== 0 || !sameRuns) {
    throw new CompcacheError('EIO', op, 'the image has frames or work under way that no image has');
  }
}

/** What ramCheck has found. */
export function unclean(op: string, core: Core): CompcacheError {
  const rule = core.out[OUT_RULE] as number;
  const frame = core.out[OUT_RULE_FRAME] as number;
  return new CompcacheError('EUCLEAN', op, `frame ${frame}: ${ruleOf(rule)} (rule ${rule})`, {
    detail: { frame, rule },
  });
}
