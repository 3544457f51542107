/**
 * Statistics counted again: compares stats() of a pool with what walk() and locate() show of its frames. It uses no
 * test framework, because the conformance suite and the random tests use it.
 */
import { PAGE_SIZE } from '../bindings/index.ts';
import type { FrameContents, Handle, Ram, Zpool } from '../bindings/index.ts';
import { must, slotBytes } from './harness.ts';
import type { AllocatorRow, Stored } from './harness.ts';

export interface Recount {
  frames: FrameContents[];
  /** The parts of each object, in the order of the walk. */
  parts: Map<Handle, { frame: number; offset: number; bytes: number }[]>;
}

/** Walks a pool and verifies the form of the result. */
export function recount(pool: Zpool): Recount {
  const frames: FrameContents[] = [];
  const parts: Recount['parts'] = new Map();
  pool.walk((contents) => {
    frames.push(contents);
    for (const { handle, offset, bytes } of contents.objects)
      parts.set(handle, [...(parts.get(handle) ?? []), { frame: contents.frame, offset, bytes }]);
  });
  frames.forEach(({ frame }, i) =>
    must(i === 0 || frame > (frames[i - 1] as FrameContents).frame, `frame ${frame} is visited out of order`),
  );
  for (const { frame, objects, free } of frames) {
    let end = 0;
    for (const range of [...objects, ...free].sort((a, b) => a.offset - b.offset)) {
      must(
        range.bytes > 0 && range.offset >= end,
        `frame ${frame}: a range of ${range.bytes} at ${range.offset}, behind ${end}`,
      );
      end = range.offset + range.bytes;
    }
    must(end <= PAGE_SIZE, `frame ${frame}: ends at ${end}`);
  }
  return { frames, parts };
}

/** Requires equality, as text. */
function same(actual: unknown, expected: unknown, what: string): void {
  const [one, other] = [JSON.stringify(actual), JSON.stringify(expected)];
  must(one === other, `${what}: ${one}, counted ${other}`);
}

/**
 * Verifies all of stats() of a pool with these live objects.
 * @param maps the number of live maps
 */
export function verifyStatistics(
  row: AllocatorRow,
  ram: Ram,
  pool: Zpool,
  live: readonly Pick<Stored, 'handle' | 'bytes'>[],
  maps = 0,
): void {
  const counted = recount(pool);
  verifyParts(pool, counted, live);
  verifyCounters(ram, pool, counted, live, maps);
  verifyClasses(pool, live);
  verifyLists(row, pool, counted);
}

/** Verifies that the parts of every object add up to its size, and begin where locate() says. */
function verifyParts(pool: Zpool, { parts }: Recount, live: readonly Pick<Stored, 'handle' | 'bytes'>[]): void {
  same([...parts.keys()].sort(), live.map(({ handle }) => handle).sort(), 'handles');
  for (const { handle, bytes } of live) {
    const pieces = parts.get(handle) as { frame: number; offset: number; bytes: number }[];
    must(
      pieces.reduce((sum, piece) => sum + piece.bytes, 0) === bytes.length,
      `the parts of ${handle} add up to its size`,
    );
    const { frame, offset } = pool.locate(handle);
    must(
      pieces.some((piece) => piece.frame === frame && piece.offset === offset),
      `one part of ${handle} is where locate() says`,
    );
  }
}

function verifyCounters(
  ram: Ram,
  pool: Zpool,
  { frames, parts }: Recount,
  live: readonly Pick<Stored, 'handle' | 'bytes'>[],
  maps: number,
): void {
  const stats = pool.stats();
  const liveBytes = live.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const total = frames.length * PAGE_SIZE;
  const metadataFrames = stats.metadataBytes / PAGE_SIZE;
  const inParts = [...parts.values()].filter(({ length }) => length > 1).length;
  const { liveBytes: bytes, objects, frames: pages, maps: mapped, density, densityWithMetadata } = stats;
  same(
    { liveBytes: bytes, objects, pages, mapped, density, densityWithMetadata },
    {
      liveBytes,
      objects: parts.size,
      pages: frames.length,
      mapped: maps,
      density: total === 0 ? 0 : liveBytes / total,
      densityWithMetadata: liveBytes / (total + stats.metadataBytes),
    },
    'stats',
  );
  same([pool.totalPages, pool.totalBytes], [frames.length, total], 'pages and bytes');
  must(Number.isInteger(metadataFrames), `${stats.metadataBytes} bytes of metadata`);
  // zsmalloc: a slot may straddle two frames although its object does not; see verifyClasses.
  must(
    pool.allocator === 'zsmalloc' ? stats.spanning >= inParts : stats.spanning === inParts,
    `spanning ${stats.spanning}, counted ${inParts}`,
  );
  const whole = ram.stats();
  const owners = Object.values(whole.owners);
  const metadata = owners.reduce((sum, owner) => sum + owner.metadataFrames, 0);
  same(whole.owners[pool.name], { frames: frames.length, metadataFrames }, 'the pool as an owner');
  same(
    [whole.usedFrames, whole.metadataFrames],
    [owners.reduce((sum, owner) => sum + owner.frames, metadata), metadata],
    'frames of all owners',
  );
  same(
    [whole.freeFrames, whole.limitFrames],
    [whole.limitFrames - whole.usedFrames, whole.totalFrames - whole.fixedFrames],
    'frames of the RAM',
  );
  same([ram.freeFrames, ram.totalFrames], [whole.freeFrames, whole.totalFrames], 'frames of the RAM by name');
}

/** Verifies zsmalloc's table of classes, with locate() of every object. */
function verifyClasses(pool: Zpool, live: readonly Pick<Stored, 'handle' | 'bytes'>[]): void {
  const { classes, spanning, frames } = pool.stats();
  if (classes === undefined) return;
  const used = new Map<number, number>();
  let straddling = 0;
  for (const { handle } of live) {
    const { classIndex = -1, objectIndex = -1 } = pool.locate(handle);
    used.set(classIndex, (used.get(classIndex) ?? 0) + 1);
    const bytes = slotBytes(classIndex);
    if (((objectIndex * bytes) % PAGE_SIZE) + bytes > PAGE_SIZE) straddling++;
  }
  must(spanning === straddling, `spanning ${spanning}, counted ${straddling}`);
  for (const { index, size, pages, objectsPerZspage, allocated, used: counted, freeable, zspages, groups } of classes) {
    same(
      [size, objectsPerZspage, counted, allocated, freeable, groups[0], groups.reduce((sum, count) => sum + count, 0)],
      [
        slotBytes(index),
        Math.floor((pages * PAGE_SIZE) / size),
        used.get(index) ?? 0,
        zspages * objectsPerZspage,
        Math.floor((allocated - counted) / objectsPerZspage) * pages,
        0,
        zspages,
      ],
      `class ${index}`,
    );
  }
  const sums = classes.map(({ zspages, pages, freeable }) => [zspages * pages, freeable] as const);
  same(
    [frames, pool.freeable()],
    [0, 1].map((which) => sums.reduce((sum, pair) => sum + (pair[which] as number), 0)),
    'frames and freeable of all classes',
  );
}

/** Verifies the table of lists. */
function verifyLists(row: AllocatorRow, pool: Zpool, { frames }: Recount): void {
  const { lists = [], reserveFrames } = pool.stats();
  const { lists: listsOf } = row;
  if (listsOf === undefined) return must(lists.length === 0, `${lists.length} lists`);
  // The walk does not show which frames are on list 63, because they have deferred work.
  if (pool.allocator === 'z3fold' && lists[63] !== 0) return;
  const expected = new Array<number>(lists.length).fill(0);
  const count = (list: number): void => void (expected[list] = (expected[list] as number) + 1);
  for (const contents of frames) {
    // The frame of a raw page.
    if (row.rawFrames && contents.objects[0]?.bytes === PAGE_SIZE) continue;
    listsOf(contents, count);
  }
  same(lists, expected, 'lists');
  must(reserveFrames === (pool.allocator === 'xcfmalloc' ? expected[63] : undefined), `reserve ${reserveFrames}`);
}
