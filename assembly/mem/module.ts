/** Attaches an instance of the core to the RAM in its memory. */
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
 * Prepares an instance for the RAM in its memory: finds the scratch, computes the
 * checksum tables. Before this call, only ramInit and ramCounter may be called.
 * @param frames 4 KiB frames of the memory
 * @returns 0; EUCLEAN when there is no boot frame of this layout version; EIO when the RAM
 *   has fewer frames of static data or scratch than this build needs (ramCounter 8 to 11)
 */
export function attach(frames: u32): u32 {
  if (!isBoot(frames)) return EUCLEAN;
  if (frameCounter(8) < frameCounter(10) || frameCounter(9) < frameCounter(11)) return EIO;
  placeScratch();
  crcInit(crcTables());
  return 0;
}
