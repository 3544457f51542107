/** An instance of the core and the RAM that it works on. */
import { crcInit } from '../base/crc';
import { EIO, EUCLEAN } from '../base/errno';
import { frameCounter, isBoot } from './frame';
import { LAYOUT_VERSION } from './layout';
import { crcTables, placeScratch } from './scratch';

/** Version of the RAM layout that this core works on. */
export function layoutVersion(): u32 {
  return LAYOUT_VERSION;
}

/**
 * Readies an instance for the RAM in its memory: finds the scratch, makes the
 * checksum tables. Nothing but ramInit and ramCounter may be called before.
 * @param frames 4 KiB frames of the memory
 * @returns 0; EUCLEAN for a boot frame that is none of this layout, EIO when it
 *   leaves less room than this build needs (ramCounter 8 to 11)
 */
export function attach(frames: u32): u32 {
  if (!isBoot(frames)) return EUCLEAN;
  if (frameCounter(8) < frameCounter(10) || frameCounter(9) < frameCounter(11)) return EIO;
  placeScratch();
  crcInit(crcTables());
  return 0;
}
