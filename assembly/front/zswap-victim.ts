/**
 * The kept victim of a zswap: a victim that several stores write back, one after
 * the other. Only where victims are pages.
 *
 * A zspage may have more objects than one store should write. So a store writes
 * some of them and keeps the victim: it stays isolated in its pool, and the header
 * has its frame and the cursor of the walk over its objects. The next store goes
 * on with it. A pool puts no new object into an isolated victim, so its objects
 * only become fewer. When no object is left behind the cursor, for any reason, the
 * reclaim of the victim ends, and its frames are freed if it is empty.
 *
 *   1192 victim: its frame, 0 for none   1196 number of its pool   1200 cursor
 *
 * These words are a part of the RAM's state. An image may be made while a victim
 * is kept; the zswap that is opened from it goes on with that victim.
 */
import { OUT_CURSOR, OUT_POOL } from '../abi';
import { isError } from '../base/errno';
import { BOOT_POOL_HEAD, boot } from '../mem/layout';
import { ZSWAP, poolAt } from '../mem/pool';
import { out, setOut } from '../mem/scratch';
import { zpoolRelease, zpoolRunDeferred, zpoolVictimNext } from '../zpool';
import { POOL_COUNT, isFront, setVictim, usedAt, victimAt } from './zswap-layout';

/** Keeps an isolated victim of a pool, with the cursor to go on from. No other victim may be kept. */
export function zswapVictimKeep(front: usize, index: u32, victim: u32, cursor: u32): void {
  if (isFront(front) && index < POOL_COUNT) setVictim(front, victim, index, cursor);
}

/**
 * Takes the kept victim: it is not kept any more, and the caller must release it. Its pool is in OUT_POOL, the cursor
 * in OUT_CURSOR. 0 for none.
 */
export function zswapVictimTake(front: usize): u32 {
  if (!isFront(front)) return 0;
  const victim = victimAt(front).frame;
  setOut(OUT_POOL, victimAt(front).index);
  setOut(OUT_CURSOR, victimAt(front).cursor);
  if (victim != 0) setVictim(front, 0, 0, 0);
  return victim;
}

/** Ends the reclaim of the kept victim, if there is one. */
export function zswapVictimEnd(front: usize): void {
  const victim = zswapVictimTake(front);
  if (victim == 0) return;
  const pool = <usize>usedAt(front, out(OUT_POOL)).pool;
  zpoolRelease(pool, victim);
  zpoolRunDeferred(pool, 0);
}

/**
 * Called when an object of this pool was freed. Ends the reclaim of the kept victim if no object of it is left to
 * write.
 */
export function victimShrinks(front: usize, index: u32): void {
  const victim = victimAt(front);
  if (victim.frame == 0 || victim.index != index) return;
  if (zpoolVictimNext(usedAt(front, index).pool, victim.frame, victim.cursor) == 0) zswapVictimEnd(front);
}

/** True when the words in the header that describe the kept victim are valid. */
export function victimIsSound(front: usize): bool {
  const victim = victimAt(front);
  if (victim.frame == 0) return (victim.index | victim.cursor) == 0;
  if (victim.index >= POOL_COUNT) return false;
  const next = zpoolVictimNext(usedAt(front, victim.index).pool, victim.frame, victim.cursor);
  return next != 0 && !isError(next);
}

/** How many victims are kept in the whole RAM. */
export function zswapVictims(): u32 {
  let victims: u32 = 0;
  for (let pool = boot(BOOT_POOL_HEAD); pool != 0; pool = poolAt(pool).next) {
    if (poolAt(pool).kind == ZSWAP && victimAt(pool).frame != 0) victims += 1;
  }
  return victims;
}
