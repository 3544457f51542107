/** Rows for the random machine of ramzswap, and random actions for long runs. */
import type { AllocatorName } from '../../bindings/index.ts';
import type { CodecName, PageKind } from './swap-machine.ts';
import { PAGES, PAGE_SIZE, type RamzAction, type RamzRow } from './ramzswap-model.ts';

const ALLOCATOR_NAMES: readonly AllocatorName[] = ['zbud', 'z3fold', 'zsmalloc', 'xvmalloc', 'xcfmalloc'];

/** Each allocator without a store, and with both kinds of store; every codec with each allocator. */
export const ramzRows: readonly RamzRow[] = ALLOCATOR_NAMES.flatMap((allocator, i) =>
  (['none', 'sync', 'async'] as const).map((backing, j): RamzRow => {
    const n = 3 * i + j;
    const codec = (['lz4', 'trimmer', 'deflate', 'lz4hc'] as const)[(i + j) % 4] as CodecName;
    const recompCodecs = (
      [['lz4hc', 'deflate', 'trimmer'], ['deflate'], [], ['trimmer', 'lz4hc'], ['deflate', 'lz4']] as const
    )[n % 5] as readonly CodecName[];
    const memlimit = [0, 6, 12][(i + 2 * j) % 3] as number;
    return {
      title: `${allocator}, ${codec}${recompCodecs.length === 0 ? '' : `, then ${recompCodecs.join(', ')}`}, store ${backing}, limit ${memlimit}`,
      allocator,
      codec,
      recompCodecs,
      backing,
      memlimit,
      slots: [1024, 12, 30][n % 3] as number,
      maxInFlight: [4, 1, 2, 32][n % 4] as number,
    };
  }),
);

/** The next action of a long run. */
export function drawn(draw: (below: number) => number): RamzAction {
  const of = <T>(...choices: readonly T[]): T => choices[draw(choices.length)] as T;
  const index = draw(PAGES);
  const page = (): PageKind =>
    draw(6) === 0
      ? { word: of(0, 1, 0xdeadbeef) }
      : { noise: of(1 + draw(4087), 1 + draw(400), of(4096, 4095, 4000)), salt: draw(1000) };
  const place = (): { offset: number; length: number } => ({
    offset: draw(PAGES * PAGE_SIZE),
    length: 1 + draw(of(100, 600, 4096, 9000)),
  });
  switch (draw(40)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return { kind: 'writePage', index, page: page() };
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
      return { kind: 'writePageAsync', index, page: page() };
    case 9:
    case 10:
      return { kind: of('write', 'writeSectors'), ...place(), salt: draw(1000) };
    case 11:
    case 12:
    case 13:
      return {
        kind: 'writeAsync',
        offset: draw(PAGES) * PAGE_SIZE + draw(3000),
        length: 1 + draw(of(100, 1000, 1000, 5000)),
        salt: draw(1000),
      };
    case 14:
      return { kind: 'readPage', index };
    case 15:
    case 16:
      return { kind: 'readPageAsync', index };
    case 17:
      return { kind: of('read', 'readSectors', 'readAsync'), ...place() };
    case 18:
      return { kind: 'freeNotify', index };
    case 19:
      return { kind: 'discard', index, count: draw(of(2, 4, PAGES)) };
    case 20:
    case 21:
      return { kind: of('markIdle', 'markIdleAsync'), age: draw(5) };
    case 22:
      return { kind: 'writeback', which: draw(7), index, limit: of(0, 1, 3, 9, 9) };
    case 23:
    case 24:
      return { kind: 'writebackAsync', which: draw(7), index, limit: of(1, 3, 9, 9) };
    case 25:
    case 26:
      return {
        kind: of('recompress', 'recompressAsync'),
        which: draw(4),
        threshold: draw(2000),
        priority: draw(9),
        most: draw(9),
      };
    case 27:
      return { kind: of('compact', 'compactAsync', 'compactAsync', 'image', 'image', 'beyond', 'time', 'release') };
    case 28:
      return { kind: 'memlimit', frames: of(0, 0, 2, 5, 9, 20) };
    case 29:
      return { kind: 'frames', after: draw(6), times: 1 + draw(3) };
    case 30:
      return { kind: 'codec fault', on: of('compress', 'decompress'), fault: draw(9), after: draw(5) };
    case 31:
    case 32:
      return { kind: 'fault', op: of('read', 'write', 'write', 'free', 'sync'), fault: draw(30), after: draw(5) };
    case 33:
      return { kind: 'condition', condition: of('fine', 'fine', 'fine', 'full', 'gone', 'stuck') };
    case 35:
      return { kind: of('restore', 'quiet', 'quiet', 'quiet') };
    case 34:
      return draw(6) === 0 ? { kind: 'reset', after: draw(9) } : { kind: 'drain' };
    default:
      return { kind: 'settle', calls: of(0, 1, 1, 2, 5, 20) };
  }
}
