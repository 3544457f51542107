/** Two copies of one ramzswap: a restored device must equal the original, and behave the same afterwards. */
import { PAGE_SIZE, Ram, Ramzswap, type BackingStore, type Codec, type CompcacheError } from '../../bindings/index.ts';
import { rams } from '../../bindings/ram.ts';
import { must, sameBytes, type Build, buildOptions } from '../harness.ts';
import type { ChaosStore } from './chaos-store.ts';
import { quiet } from './clock.ts';
import { isRecognised, requireRefused } from './recognition.ts';

/** A device and the store behind it, which has no faults. */
export interface Copy {
  ram: Ram;
  device: Ramzswap;
  store: ChaosStore | undefined;
}

/** Waits for a call, while its store ends one call after the other. */
export async function served<T>(call: Promise<T>, store: ChaosStore | undefined): Promise<T> {
  let ended = false;
  const end = (): void => void (ended = true);
  call.then(end, end);
  for (let round = 0; ; round++) {
    await quiet();
    if (ended) return call;
    must(round < 5000, 'a call does not end');
    store?.settle();
  }
}

/**
 * Saves, restores and opens a device on which no call is under way.
 * @param codecs those of the caller's
 * @returns the copy, and the second at which its time continues; undefined when its store cannot be recognised, and was
 * refused
 */
export async function copied(
  { ram, device, store }: Copy,
  build: Build,
  clock: () => number,
  codecs: readonly Codec[],
): Promise<(Copy & { second: number }) | undefined> {
  const name = ram.fronts().find(({ kind }) => kind === 'ramzswap')?.name as string;
  const back = await Ram.restore(ram.snapshot(), buildOptions(build));
  const copy = store?.copy();
  const second =
    rams.core('copied', back).exports.ramzLastSecond(rams.unopened('copied', back, name, 'ramzswap').address) >>> 0;
  const isKnown = copy === undefined || isRecognised(back, name, copy);
  const opening = served(
    Ramzswap.open(back, name, { clock, codecs, ...(copy === undefined ? {} : { backing: copy as BackingStore }) }),
    copy,
  );
  if (!isKnown) {
    await requireRefused(opening);
    back.close();
    return undefined;
  }
  try {
    const other = await opening;
    if (copy !== undefined) await served(quiet(), copy);
    for (let round = 0; copy?.settle() === true; round++) {
      must(round < 5000, 'calls stay under way');
      await quiet();
    }
    requireEqual(device, other);
    return { ram: back, device: other, store: copy, second };
  } catch (error) {
    back.close();
    throw error;
  }
}

/**
 * Makes the same calls on both and requires the same results: reads all pages, writes some, recompresses, compacts,
 * marks.
 * @returns the pages that were written
 */
export async function goesOn(
  first: Copy,
  second: Copy,
  pages: number,
  writes: ReadonlyMap<number, Uint8Array>,
): Promise<Map<number, Uint8Array>> {
  /** Makes a call on both; its result in both is undefined or an error code. */
  const both = async (what: string, call: (device: Ramzswap, into: Uint8Array) => Promise<void>): Promise<unknown> => {
    const [one, other] = (await Promise.all(
      [first, second].map(async ({ device, store }) => {
        const into = new Uint8Array(PAGE_SIZE);
        const failed = await served(
          call(device, into).then(
            () => undefined,
            (error: CompcacheError) => error.code,
          ),
          store,
        );
        return { into, failed };
      }),
    )) as [{ into: Uint8Array; failed: unknown }, { into: Uint8Array; failed: unknown }];
    must(
      one.failed === other.failed && sameBytes(one.into, other.into),
      `${what} differs in the copy: ${String(one.failed)}, ${String(other.failed)}`,
    );
    return one.failed;
  };
  for (let index = 0; index < pages; index++)
    await both(`page ${index}`, (device, into) => device.readPageAsync(index, into));
  const written = new Map<number, Uint8Array>();
  for (const [index, page] of writes) {
    if ((await both(`a write of page ${index}`, (device) => device.writePageAsync(index, page))) === undefined)
      written.set(index, page);
  }
  const results = [first, second].map(({ device }) => {
    let smaller: unknown;
    try {
      smaller = device.recompress();
    } catch (error) {
      smaller = (error as CompcacheError).code;
    }
    return [smaller, device.compact(), device.markIdle('all')].join();
  });
  must(results[0] === results[1], `${results[0]} in the first one, ${results[1]} in the copy`);
  requireEqual(first.device, second.device, false);
  for (const { ram } of [first, second]) ram.check();
  return written;
}

/** Requires that two devices have the same figures, except for the counters of I/O. */
function requireEqual(one: Ramzswap, other: Ramzswap, withTimes = true): void {
  const [expected, given] = [one, other].map((device) =>
    JSON.stringify([
      device.mmStat().memUsedMax,
      { ...device.mmStat(), pagesCompacted: 0 },
      device.stats().goodCompress,
      device.bdStat().bdCount,
      device.allocator,
      device.codec,
      device.disksize,
      device.writebackLimit,
      [...device.blockState()].map((block) => (withTimes ? block : { ...block, accessTime: 0 })),
    ]),
  );
  must(expected === given, `the copy has ${given}, the first one ${expected}`);
}
