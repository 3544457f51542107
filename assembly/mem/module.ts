/** An instance of the core and the RAM that it works on. */
import { crcInit } from '../base/crc';
import { LAYOUT_VERSION, SCRATCH_FRAME, frameAddress } from './layout';
import { crcTables, setScratch } from './scratch';

/** Version of the RAM layout that this core works on. */
export function layoutVersion(): u32 {
  return LAYOUT_VERSION;
}

/** Readies an instance for its RAM: places the scratch, makes the checksum tables. */
export function attach(): void {
  setScratch(frameAddress(SCRATCH_FRAME));
  crcInit(crcTables());
}
