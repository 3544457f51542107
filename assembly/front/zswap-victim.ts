/**
 * The victim of a zswap that several stores write, where victims are pages.
 *
 * A zspage may have more objects than one store is to write. So a store writes
 * some of them and keeps the victim: it stays isolated in its pool, and the header
 * says which it is and where the walk over its objects goes on. The next store
 * goes on with it. A pool puts no object into an isolated victim, so what is left
 * only becomes less. When nothing is left behind the cursor, by whatever call, the
 * reclaim of the victim ends, and its frames come back if it is empty.
 *
 *   1192 victim: its frame, 0 for none   1196 number of its pool   1200 cursor
 *
 * These words are state of the RAM like any other: an image may be made while a
 * victim is kept, and a zswap that is opened in it goes on with that victim.
 */
import { OUT_CURSOR, OUT_POOL } from '../abi';
import { isError } from '../base/errno';
import { BOOT_POOL_HEAD, boot } from '../mem/layout';
import { ZSWAP, poolAt } from '../mem/pool';
import { out, setOut } from '../mem/scratch';
import { zpoolRelease, zpoolRunDeferred, zpoolVictimNext } from '../zpool';
import { POOL_COUNT, isFront, setVictim, usedAt, victimAt } from './zswap-layout';

/** Keeps an isolated victim of one of the pools, to go on with at a cursor. There is none so far. */
export function zswapVictimKeep(front: usize, index: u32, victim: u32, cursor: u32): void {
  if (isFront(front) && index < POOL_COUNT) setVictim(front, victim, index, cursor);
}

/** The victim that is kept. From now on it is not: the caller releases it. Its pool in OUT_POOL, the cursor in OUT_CURSOR. 0 for none. */
export function zswapVictimTake(front: usize): u32 {
  if (!isFront(front)) return 0;
  const victim = victimAt(front).frame;
  setOut(OUT_POOL, victimAt(front).index);
  setOut(OUT_CURSOR, victimAt(front).cursor);
  if (victim != 0) setVictim(front, 0, 0, 0);
  return victim;
}

/** Ends the reclaim of the victim that is kept, if there is one. */
export function zswapVictimEnd(front: usize): void {
  const victim = zswapVictimTake(front);
  if (victim == 0) return;
  const pool = <usize>usedAt(front, out(OUT_POOL)).pool;
  zpoolRelease(pool, victim);
  zpoolRunDeferred(pool, 0);
}

/** The same if no object of it is left to be written. An object of this pool has gone. */
export function victimShrinks(front: usize, index: u32): void {
  const victim = victimAt(front);
  if (victim.frame == 0 || victim.index != index) return;
  if (zpoolVictimNext(usedAt(front, index).pool, victim.frame, victim.cursor) == 0) zswapVictimEnd(front);
}

/** Whether what the header says of a victim is so. */
export function victimIsSound(front: usize): bool {
  const victim = victimAt(front);
  if (victim.frame == 0) return (victim.index | victim.cursor) == 0;
  if (victim.index >= POOL_COUNT) return false;
  const next = zpoolVictimNext(usedAt(front, victim.index).pool, victim.frame, victim.cursor);
  return next != 0 && !isError(next);
}

/** Victims that are kept, in the whole RAM. */
export function zswapVictims(): u32 {
  let victims: u32 = 0;
  for (let pool = boot(BOOT_POOL_HEAD); pool != 0; pool = poolAt(pool).next) {
    if (poolAt(pool).kind == ZSWAP && victimAt(pool).frame != 0) victims += 1;
  }
  return victims;
}
