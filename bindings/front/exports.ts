/** The module of the front ends (assembly/front.ts): its exports, and how it is joined to a core. */
import { fromBase64 } from '../base64.ts';
import { kept } from '../builds.ts';
import { base64 as frontWasm } from '../generated/front.ts';
import { join, type Core } from '../wasm.ts';

/** Exports; all numbers are u32. What they answer is said in assembly/front/zswap.ts. */
export interface FrontExports {
  attach(): void;
  zswapCreate(victims: number, shape: number, slots: number, epoch: number, name: number, nameBytes: number): number;
  zswapSet(front: number, limitPercent: number, thresholdPercent: number, same: number, raw: number): number;
  zswapUse(front: number, pool: number, codec: number): number;
  zswapUsed(front: number, index: number): number;
  zswapDrained(front: number): number;
  zswapFrames(front: number): number;
  zswapExcess(front: number): number;
  zswapAccept(front: number): void;
  zswapBegin(front: number, offset: number, type: number): number;
  zswapStore(front: number, offset: number, type: number): number;
  zswapMost(front: number): number;
  zswapPut(front: number, offset: number, type: number, bytes: number): number;
  zswapLoad(front: number, offset: number, type: number, exclusive: number): number;
  zswapHas(front: number, offset: number, type: number): number;
  zswapInvalidate(front: number, offset: number, type: number): number;
  zswapInvalidateArea(front: number, type: number): number;
  zswapVictim(front: number): number;
  zswapOwner(front: number, index: number, handle: number): number;
  zswapForeign(front: number, record: number): number;
  zswapPass(front: number, record: number): void;
  zswapWrite(front: number, record: number, raw: number): number;
  zswapWriteEnd(front: number, offset: number, type: number, job: number, slot: number, generation: number, done: number): number;
  zswapPend(front: number, offset: number, type: number): number;
  zswapDirect(front: number, offset: number, type: number, job: number): number;
  zswapDirectEnd(front: number, offset: number, type: number, job: number, slot: number, generation: number, done: number): number;
  frontSettled(front: number, slot: number): void;
  frontOpen(front: number, bytes: number, slot: number, generation: number): number;
  zswapIsIn(front: number, offset: number, type: number, slot: number, generation: number): number;
  frontFreeing(front: number): number;
  frontFreed(front: number, slot: number): void;
  ramzCreate(pages: number, slots: number, epoch: number, name: number, nameBytes: number): number;
  ramzUse(front: number, pool: number, most: number, limit: number): number;
  ramzCodec(front: number, priority: number, codec: number): number;
  ramzBegin(front: number, index: number): number;
  ramzWrite(front: number, index: number, now: number): number;
  ramzPut(front: number, index: number, bytes: number, now: number): number;
  ramzKeep(front: number, index: number, now: number): number;
  ramzRead(front: number, index: number, now: number): number;
  ramzIsIn(front: number, index: number, slot: number, generation: number): number;
  ramzDrop(front: number, index: number): number;
  ramzNext(front: number, index: number): number;
  ramzIdle(front: number, second: number): number;
  ramzSecond(front: number, state: number): number;
  ramzGiveUp(front: number, index: number): void;
  ramzOut(front: number, index: number): number;
  ramzDirect(front: number, index: number): number;
  ramzWritten(front: number, index: number, slot: number, generation: number): number;
  ramzPeek(front: number, index: number): number;
  ramzReplace(front: number, index: number, bytes: number, priority: number, threshold: number): number;
  ramzRecompress(front: number, index: number, priority: number, threshold: number): number;
  ramzResetPeak(front: number): void;
  /** f64 */
  ramzFigure(front: number, which: number): number;
  zswapCount(front: number, which: number): void;
  zswapFigure(front: number, which: number): number;
}

/** The module, compiled. ENODEV where the host does not. */
export async function frontModule(op: string, checked: boolean): Promise<WebAssembly.Module> {
  return checked
    ? kept(op, 'front-checked', (await import('../checked.ts')).frontWasm)
    : kept(op, 'front', () => fromBase64(frontWasm));
}

/** Joins the front ends to a core. ENODEV where the host does not compile them. */
export async function joinFront(op: string, core: Core): Promise<FrontExports> {
  return join<FrontExports>(core, await frontModule(op, core.checked));
}
