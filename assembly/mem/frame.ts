/**
 * Frames: the page allocator of the simulated RAM.
 *
 * Hands out 4 KiB frames in O(1): the frame that was freed last (LIFO, its cache
 * lines are warm), else the next fresh frame, at the bump mark. So the creation of
 * a RAM touches no frame, and fresh frames are used in ascending order.
 *
 * Every frame that is handed out is filled with zeros. Fresh memory is zero
 * already; a freed frame is cleared here. So the contents of a RAM depend only on
 * the calls made on it: two RAMs with the same history are equal byte for byte,
 * also when one of them was saved to an image and restored. And no frame shows
 * the data of another pool. (Clearing costs about 60 ns for each reused frame;
 * see bench/.)
 *
 * The number of frames in use has a limit, and requests can be made to fail on
 * purpose (fault injection). Both settings are part of the state.
 *
 * The high-water mark needs no word: a fresh frame is taken only while the free
 * list is empty, so the most frames ever in use at once are the frames below the
 * bump mark.
 */
import {
  FRAMES_MAX,
  FRAMES_MIN,
  NEVER,
  NO_FRAME,
  OUT_NEEDED,
  PAGE_SIZE,
  RAM_FRAMES,
  RAM_HIGH_WATER,
  RAM_ISOLATED,
  RAM_LIMIT,
  RAM_MAPS,
  RAM_POOLS,
  RAM_SCRATCH,
  RAM_SCRATCH_NEEDED,
  RAM_STATIC,
  RAM_STATIC_NEEDED,
  RAM_USED,
} from '../abi';
import { EINVAL } from '../base/errno';
import { invariant } from '../base/debug';
import {
  BOOT_BUMP,
  BOOT_CHECK,
  BOOT_FAIL_AFTER,
  BOOT_FAIL_TIMES,
  BOOT_FIRST,
  BOOT_FRAMES,
  BOOT_FREE_COUNT,
  BOOT_FREE_HEAD,
  BOOT_ISOLATED,
  BOOT_LIMIT,
  BOOT_MAGIC,
  BOOT_MAPS,
  BOOT_SCRATCH,
  BOOT_SERIAL,
  BOOT_STATIC,
  BOOT_USED,
  BOOT_VERSION,
  ENTRY_BYTES,
  FIXED_MOST,
  FRAME_FIXED,
  FRAME_FREE,
  FRAME_POOL,
  FRAME_TABLE,
  LAST_FRAME,
  LAYOUT_VERSION,
  MAGIC,
  PAGE_MASK,
  PAGE_SHIFT,
  SECTION_MASK,
  SECTION_SHIFT,
  STATIC_FRAME,
  STATIC_FRAMES,
  TABLE_INDEX,
  boot,
  entryOf,
  frameAddress,
  setBoot,
  tableOf,
} from './layout';
import { TABLE_FRAMES, TABLE_FRAMES_LEAST, scratchFrames, setOut } from './scratch';

const ENTRY_FREE_NEXT: usize = 8; // next frame on the free list

// ── boot ─────────────────────────────────────────────────────────────────────

/** The frame after the last one that can be handed out. */
/* @inline */ export function frameEnd(): u32 {
  return min(boot(BOOT_FRAMES), LAST_FRAME);
}

/** Number of frame tables below `frame`. */
function tablesBelow(frame: u32): u32 {
  return (frame >> SECTION_SHIFT) + <u32>(tableOf(frame) < frame);
}

/** Frames that could be handed out without a limit. */
function frameCapacity(): u32 {
  const first = boot(BOOT_FIRST);
  const end = frameEnd();
  return end - first - (tablesBelow(end) - tablesBelow(first));
}

/** Checksum of the words of the boot frame that check() cannot derive from other words. BOOT_CHECK stores it. */
export function bootChecksum(): u32 {
  let sum = rotl<u32>(boot(BOOT_VERSION) ^ MAGIC, 3);
  sum = rotl<u32>(sum ^ boot(BOOT_FRAMES), 3);
  sum = rotl<u32>(sum ^ boot(BOOT_SCRATCH), 3);
  sum = rotl<u32>(sum ^ boot(BOOT_FIRST), 3);
  sum = rotl<u32>(sum ^ boot(BOOT_LIMIT), 3);
  sum = rotl<u32>(sum ^ boot(BOOT_FAIL_AFTER), 3);
  sum = rotl<u32>(sum ^ boot(BOOT_FAIL_TIMES), 3);
  sum = rotl<u32>(sum ^ boot(BOOT_STATIC), 3);
  return rotl<u32>(sum ^ boot(BOOT_SERIAL), 3);
}

export function writeBootChecksum(): void {
  setBoot(BOOT_CHECK, bootChecksum());
}

/** True when static data and scratch of these sizes leave frames to hand out. */
function haveRoom(frames: u32, statics: u32, scratch: u32): bool {
  return (
    statics < FIXED_MOST && scratch < FIXED_MOST && STATIC_FRAME + statics + scratch <= min(FIXED_MOST, frames - 1)
  );
}

/**
 * True when the memory begins with a boot frame of this layout version, and its geometry fits a memory of `frames`
 * frames.
 */
export function hasGeometry(frames: u32): bool {
  const total = boot(BOOT_FRAMES);
  return (
    boot(BOOT_MAGIC) == MAGIC &&
    boot(BOOT_VERSION) == LAYOUT_VERSION &&
    total >= FRAMES_MIN &&
    total <= min(frames, LAST_FRAME + 1) &&
    haveRoom(total, boot(BOOT_STATIC), boot(BOOT_SCRATCH))
  );
}

/** hasGeometry, and the checksum is right. This must hold before anything else is read. */
export function isBoot(frames: u32): bool {
  return hasGeometry(frames) && boot(BOOT_CHECK) == bootChecksum();
}

/** Frames that the data segments of this build need. */
function staticNeeded(): u32 {
  return ((<u32>__data_end + PAGE_MASK) >> PAGE_SHIFT) - STATIC_FRAME;
}

/**
 * Writes the boot frame of a RAM whose memory is all zeros.
 * @param frames 4 KiB frames of the memory
 * @param limit the most frames that may be in use, or NO_LIMIT
 * @param first lowest frame that is handed out; 0 for the first one after the
 *   scratch. Tests of high addresses use a higher one.
 * @param statics frames of static data, NEVER for the default of this build.
 *   Tests use other numbers to make a RAM as another build would.
 * @param scratch frames of scratch, NEVER for the default
 * @returns 0, or EINVAL when the numbers do not fit together
 */
export function frameInit(frames: u32, limit: u32, first: u32, statics: u32, scratch: u32): u32 {
  if (statics == NEVER) statics = STATIC_FRAMES;
  if (scratch == NEVER) scratch = scratchFrames(frames, TABLE_FRAMES);
  if (frames < FRAMES_MIN || frames > FRAMES_MAX || !haveRoom(frames, statics, scratch)) return EINVAL;
  const fixed = STATIC_FRAME + statics + scratch;
  if (first == 0) first = fixed;
  if (first < fixed || first >= min(frames, LAST_FRAME)) return EINVAL;
  setBoot(BOOT_MAGIC, MAGIC);
  setBoot(BOOT_VERSION, LAYOUT_VERSION);
  setBoot(BOOT_FRAMES, frames);
  setBoot(BOOT_SCRATCH, scratch);
  setBoot(BOOT_STATIC, statics);
  setBoot(BOOT_FIRST, first);
  setBoot(BOOT_BUMP, first);
  setBoot(BOOT_LIMIT, limit);
  setBoot(BOOT_FAIL_AFTER, NEVER);
  setBoot(BOOT_FAIL_TIMES, NEVER);
  for (let frame: u32 = 0; frame < fixed; frame++) store<u32>(entryOf(frame), FRAME_FIXED);
  store<u32>(entryOf(TABLE_INDEX), FRAME_TABLE);
  writeBootChecksum();
  enterSection(first);
  return 0;
}

/**
 * Marks the frame table of the section that the bump mark has entered. Skips that frame when the bump mark is on it.
 */
function enterSection(bump: u32): void {
  const table = tableOf(bump);
  store<u32>(entryOf(table), FRAME_TABLE);
  if (bump == table) bump += 1;
  setBoot(BOOT_BUMP, bump);
}

// ── fault injection and limits ───────────────────────────────────────────────

/**
 * Fault injection: the next `after` frame requests succeed, the `times` requests after them fail.
 * @param after NEVER switches fault injection off
 * @param times NEVER: all requests fail until fault injection is switched off
 */
export function frameFail(after: u32, times: u32): void {
  setBoot(BOOT_FAIL_AFTER, after);
  setBoot(BOOT_FAIL_TIMES, after == NEVER ? NEVER : times);
  writeBootChecksum();
}

/** Counts one request. True when it has to fail. */
function injected(): bool {
  const after = boot(BOOT_FAIL_AFTER);
  if (after != 0) {
    setBoot(BOOT_FAIL_AFTER, after - 1);
    writeBootChecksum();
    return false;
  }
  const times = boot(BOOT_FAIL_TIMES);
  if (times == 0) {
    frameFail(NEVER, NEVER);
    return false;
  }
  if (times != NEVER) {
    if (times == 1) frameFail(NEVER, NEVER);
    else frameFail(0, times - 1);
  }
  return true;
}

/** Frames that can still be handed out. */
export function framesFree(): u32 {
  const used = boot(BOOT_USED);
  const most = min(frameCapacity(), boot(BOOT_LIMIT));
  return most > used ? most - used : 0;
}

// ── algorithm ────────────────────────────────────────────────────────────────

/**
 * Takes a frame, filled with zeros.
 * @param owner address of the pool + type of the frame
 * @returns the frame number, 0 when no frame is left (or fault injection makes the request fail)
 */
export function frameAlloc(owner: u32): u32 {
  const used = boot(BOOT_USED);
  let frame = boot(BOOT_FREE_HEAD);
  if (used >= boot(BOOT_LIMIT) || (frame == 0 && boot(BOOT_BUMP) >= frameEnd())) return 0;
  if (boot(BOOT_FAIL_AFTER) != NEVER && injected()) return 0;
  let entry: usize;
  if (frame != 0) {
    entry = entryOf(frame);
    setBoot(BOOT_FREE_HEAD, load<u32>(entry + ENTRY_FREE_NEXT));
    setBoot(BOOT_FREE_COUNT, boot(BOOT_FREE_COUNT) - 1);
    store<u32>(entry + ENTRY_FREE_NEXT, 0);
    memory.fill(frameAddress(frame), 0, PAGE_SIZE);
  } else {
    frame = boot(BOOT_BUMP);
    entry = entryOf(frame);
    const bump = frame + 1;
    if (((bump & SECTION_MASK) == 0 || bump == tableOf(bump)) && bump < frameEnd()) enterSection(bump);
    else setBoot(BOOT_BUMP, bump);
  }
  store<u32>(entry, owner);
  setBoot(BOOT_USED, used + 1);
  return frame;
}

/** Frees a frame. Its two generation counters keep their values. */
export function frameFree(frame: u32): void {
  const entry = entryOf(frame);
  if (!ASC_NO_ASSERT) invariant((load<u32>(entry) & PAGE_MASK) > FRAME_TABLE);
  store<u32>(entry, FRAME_FREE);
  memory.fill(entry + ENTRY_FREE_NEXT, 0, ENTRY_BYTES - 8);
  store<u32>(entry + ENTRY_FREE_NEXT, boot(BOOT_FREE_HEAD));
  setBoot(BOOT_FREE_HEAD, frame);
  setBoot(BOOT_FREE_COUNT, boot(BOOT_FREE_COUNT) + 1);
  setBoot(BOOT_USED, boot(BOOT_USED) - 1);
}

/**
 * True when `frames` frames are left. A request for several frames asks this before
 * it changes anything. Notes the number for the message of an ENOMEM. (An injected
 * failure comes later, in frameAlloc; the request then frees what it has taken.)
 */
export function frameRoom(frames: u32): bool {
  setOut(OUT_NEEDED, frames);
  return framesFree() >= frames;
}

/** Notes how many frames a request needed, for the message of an ENOMEM. */
/* @inline */ export function needed(frames: u32): void {
  setOut(OUT_NEEDED, frames);
}

/** The next frame on the free list, 0 at its end; for check(). */
export function freeNext(entry: usize): u32 {
  return load<u32>(entry + ENTRY_FREE_NEXT);
}

// ── statistics and images ────────────────────────────────────────────────────

/** The highest section whose table is in use. */
export function lastSection(): u32 {
  return min(boot(BOOT_BUMP), frameEnd() - 1) >> SECTION_SHIFT;
}

/** The most frames ever in use at once: the frames below the bump mark. */
function frameHighWater(): u32 {
  const first = boot(BOOT_FIRST);
  const bump = boot(BOOT_BUMP);
  return bump - first - (tablesBelow(bump) - tablesBelow(first));
}

/** One word of the RAM's state: RAM_FRAMES and so on. */
export function frameCounter(which: u32): u32 {
  switch (which) {
    case RAM_FRAMES:
      return boot(BOOT_FRAMES);
    case RAM_USED:
      return boot(BOOT_USED);
    case RAM_LIMIT:
      return boot(BOOT_LIMIT);
    case RAM_HIGH_WATER:
      return frameHighWater();
    case RAM_MAPS:
      return boot(BOOT_MAPS);
    case RAM_ISOLATED:
      return boot(BOOT_ISOLATED);
    case RAM_POOLS:
      return boot(BOOT_SERIAL);
    case RAM_STATIC:
      return boot(BOOT_STATIC);
    case RAM_SCRATCH:
      return boot(BOOT_SCRATCH);
    case RAM_STATIC_NEEDED:
      return staticNeeded();
    case RAM_SCRATCH_NEEDED:
      return scratchFrames(boot(BOOT_FRAMES), TABLE_FRAMES_LEAST);
    default:
      return boot(BOOT_FRAMES) - frameCapacity(); // RAM_FIXED
  }
}

/** Sets the limit of frames in use; NO_LIMIT for none. */
export function frameLimit(frames: u32): void {
  setBoot(BOOT_LIMIT, frames);
  writeBootChecksum();
}

/**
 * The first frame from `frame` on that belongs in an image: the boot frame, a frame table in use, or a frame with an
 * owner. NO_FRAME at the end.
 */
export function frameSaved(frame: u32): u32 {
  const first = boot(BOOT_FIRST);
  const bump = boot(BOOT_BUMP);
  if (frame <= TABLE_INDEX) return frame;
  // The table of the first section in use may lie below the first frame.
  const firstTable = tableOf(first);
  if (frame <= firstTable && firstTable < first && firstTable != TABLE_INDEX) return firstTable;
  const end = tableOf(lastSection() << SECTION_SHIFT) + 1;
  for (frame = max(frame, first); frame < max(bump, end); frame++) {
    if (frame == tableOf(frame)) return frame;
    if (frame < bump && (load<u32>(entryOf(frame)) & PAGE_MASK) >= FRAME_POOL) return frame;
  }
  return NO_FRAME;
}
