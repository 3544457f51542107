/**
 * The export surface of the inspector: no logic, numbers only. See inspect.ts.
 */
import { LAYOUT_VERSION, SCRATCH_FRAME, frameAddress } from './mem/layout';
import { setScratch } from './mem/scratch';

export { ramCheck, zpoolLocate, zpoolSpanning, zpoolTable, zpoolTables, zpoolWalk } from './inspect';

/** Version of the RAM layout that this module works on. */
export function layoutVersion(): u32 {
  return LAYOUT_VERSION;
}

/** Readies an instance for its RAM: finds the scratch. */
export function attach(): void {
  setScratch(frameAddress(SCRATCH_FRAME));
}
