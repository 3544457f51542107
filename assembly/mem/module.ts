/** What every module that works on a RAM exports. */
import { LAYOUT_VERSION, SCRATCH_FRAME, frameAddress } from './layout';
import { setScratch } from './scratch';

/** Version of the RAM layout that this module works on. */
export function layoutVersion(): u32 {
  return LAYOUT_VERSION;
}

/** Readies an instance for its RAM: places the scratch. */
export function attach(): void {
  setScratch(frameAddress(SCRATCH_FRAME));
}
